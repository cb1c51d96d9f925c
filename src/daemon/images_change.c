/* SPDX-License-Identifier: Apache-2.0 */
/* images_change - tag, remove, prune and check: Docker's rules about what may go, then
 * one isola-image job after the other. isolad, loop thread. What a container was
 * made from stays on the disk as long as the container: its root is built from
 * the image's layers at each start. */
#include "filter.h"
#include "images_priv.h"

#include "isola/fd.h"
#include "isola/image.h"
#include "isola/json.h"
#include "isola/num.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DELETES_MAX 256 /* by one job */

/* A list of jobs to be run in turn, and what the requester gets at the end. */
struct work {
	struct isolad *d;
	json_object *steps;   /* [{"verb","arg","id","ref"}] */
	size_t at, under_way; /* steps that are done; that the running job does */
	json_object *result;  /* owned */
	int64_t freed_bytes;
	op_done_fn *done;
	void *arg;
};

static void work_free(struct work *w)
{
	if (!w)
		return;
	json_object_put(w->steps);
	json_object_put(w->result);
	free(w);
}

static struct work *work_new(struct isolad *d, op_done_fn *done, void *arg)
{
	struct work *w = calloc(1, sizeof(*w));
	if (!w)
		return NULL;
	*w = (struct work){ .d = d, .done = done, .arg = arg };
	w->steps = json_object_new_array();
	w->result = json_object_new_array();
	if (w->steps && w->result)
		return w;
	work_free(w);
	return NULL;
}

/* @ref: what the event is about ("untag"), or NULL. */
static void add_step(struct work *w, const char *verb, const char *arg, const char *id,
		     const char *ref)
{
	json_object *o = json_object_new_object();
	json_add_str(o, "verb", verb);
	json_add_str(o, "arg", arg);
	json_add_str(o, "id", id);
	json_add_str(o, "ref", ref);
	(void)json_object_array_add(w->steps, o);
}

static void add_result(json_object *result, const char *key, const char *value)
{
	json_object *o = json_object_new_object();
	json_add_str(o, key, value);
	(void)json_object_array_add(result, o);
}

/* Also what was deleted: by now it may have been loaded again. */
static void unmark(struct work *w)
{
	if (!w->d->images) /* isolad ends */
		return;
	for (size_t i = 0; i < json_len(w->steps); i++) {
		json_object *step = json_object_array_get_idx(w->steps, i);
		struct image *image = images_by_id(w->d->images, json_str_or(step, "id", ""));
		if (image)
			image->deleting = false;
	}
}

static void work_end(struct work *w, const struct err *err)
{
	unmark(w);
	/* Only a prune answers with an object. */
	if (json_object_is_type(w->result, json_type_object))
		json_add_i64(w->result, "SpaceReclaimed", w->freed_bytes);
	w->done(w->arg, err, err ? NULL : w->result);
	work_free(w);
}

static void on_step(void *arg, const struct err *err, json_object *result);

/* Removals that follow each other are one job's. */
static int begin_step(struct work *w, struct err *err)
{
	json_object *step = json_object_array_get_idx(w->steps, w->at);
	const char *words[DELETES_MAX + 2] = { json_str_or(step, "verb", "") };
	struct image_job *job;
	size_t n = 0;
	do {
		words[++n] = json_str_or(step, "arg", "");
		step = json_object_array_get_idx(w->steps, w->at + n);
	} while (n < DELETES_MAX && step && !strcmp(words[0], "delete") &&
		 !strcmp(json_str_or(step, "verb", ""), "delete"));
	w->under_way = n;
	return job_start(w->d, words, -1, &job, NULL, on_step, w, err);
}

static void tell(struct work *w, json_object *step)
{
	const char *verb = json_str_or(step, "verb", ""), *id = json_str_or(step, "id", "");
	events_emit_image(w->d, verb, id, json_str_or(step, "ref", id));
}

static void on_step(void *arg, const struct err *err, json_object *result)
{
	struct work *w = arg;
	struct err own = ERR_INIT;
	if (err) {
		work_end(w, err);
		return;
	}
	w->freed_bytes += json_i64_or(result, "Freed", 0);
	for (; w->under_way; w->under_way--)
		tell(w, json_object_array_get_idx(w->steps, w->at++));
	if (w->at == json_len(w->steps))
		work_end(w, NULL);
	else if (begin_step(w, &own) < 0)
		work_end(w, &own);
}

/* Takes @w; its requester hears of a failure later, too. */
static void work_begin(struct work *w)
{
	struct err err = ERR_INIT;
	if (json_len(w->steps) && begin_step(w, &err) >= 0)
		return;
	if (err.code)
		unmark(w);
	later_done(w->d, w->done, w->arg, err.code ? &err : NULL,
		   err.code ? NULL : json_object_get(w->result));
	work_free(w);
}

static void fail(struct isolad *d, struct work *w, const struct err *err, op_done_fn *done,
		 void *arg)
{
	work_free(w);
	later_done(d, done, arg, err, NULL);
}

/* ---- remove ---- */

static const char *short_id(const struct image *image)
{
	static char buf[ID_SHORT_LEN + 1];
	const char *hex = strchr(image_id(image), ':');
	(void)snprintf(buf, sizeof(buf), "%.*s", ID_SHORT_LEN, hex ? hex + 1 : "");
	return buf;
}

static size_t repo_length(const char *full)
{
	const char *slash = strrchr(full, '/');
	const char *end = strpbrk(slash ? slash : full, ":@");
	return end ? (size_t)(end - full) : strlen(full);
}

static bool is_one_repository(const struct image *image)
{
	const char *first = json_len(image->refs) ? json_item_str(image->refs, 0) : "";
	size_t n = repo_length(first);
	for (size_t i = 1; i < json_len(image->refs); i++) {
		const char *ref = json_item_str(image->refs, i);
		if (repo_length(ref) != n || memcmp(ref, first, n) != 0)
			return false;
	}
	return true;
}

static bool is_layer_shared(struct images *t, const struct image *image, const char *layer)
{
	for (size_t i = 0; i < t->n; i++) {
		json_object *layers = json_get(t->items[i]->record, "layers");
		bool other = t->items[i] != image && !t->items[i]->deleting;
		for (size_t k = 0; other && k < json_len(layers); k++) {
			if (!strcmp(json_item_str(layers, k), layer))
				return true;
		}
	}
	return false;
}

static void plan_untag(struct work *w, const struct image *image, const char *full)
{
	char text[IMAGE_REF_MAX];
	image_ref_familiar(full, text, sizeof(text));
	add_step(w, "untag", full, image_id(image), text);
	add_result(w->result, "Untagged", text);
}

static void plan_untag_all(struct work *w, const struct image *image)
{
	for (size_t i = 0; i < json_len(image->refs); i++)
		plan_untag(w, image, json_item_str(image->refs, i));
}

/* From here on nobody can make a container of it. */
static void plan_delete(struct work *w, struct image *image, json_object *result)
{
	for (size_t i = 0; i < json_len(image->refs); i++) {
		char text[IMAGE_REF_MAX];
		image_ref_familiar(json_item_str(image->refs, i), text, sizeof(text));
		add_result(result, "Untagged", text);
	}
	add_step(w, "delete", image_id(image), image_id(image), NULL);
	add_result(result, "Deleted", image_id(image));
	json_object *layers = json_get(image->record, "layers");
	for (size_t i = json_len(layers); i-- > 0;) {
		char digest[80];
		(void)snprintf(digest, sizeof(digest), "sha256:%.64s", json_item_str(layers, i));
		if (!is_layer_shared(w->d->images, image, json_item_str(layers, i)))
			add_result(result, "Deleted", digest);
	}
	image->deleting = true;
}

/* And what its build made it from, as far as nobody else needs that. */
static void plan_delete_all(struct work *w, struct image *image, json_object *result, bool prune)
{
	plan_delete(w, image, result);
	while (prune && (image = images_by_id(w->d->images, image_parent(image)))) {
		if (image->deleting || json_len(image->refs) || image_user(w->d, image) ||
		    image_has_children(w->d->images, image))
			return;
		plan_delete(w, image, result);
	}
}

static int conflict(const struct image *image, const struct instance *user, bool can_force,
		    struct err *err)
{
	return err_set(err, EBUSY,
		       "conflict: unable to delete %s (%s) - image is being used by %s container "
		       "%.12s",
		       short_id(image), can_force ? "must be forced" : "cannot be forced",
		       instance_is_running(user) ? "running" : "stopped", user->id);
}

static bool is_same_repository(const char *a, const char *b)
{
	size_t n = repo_length(a);
	return n == repo_length(b) && !memcmp(a, b, n);
}

/* Is @ref the digest that a pull noted beside @full, the only tag of its repository? */
static bool goes_along(const struct image *image, const char *full, const char *ref)
{
	if (strchr(full, '@') || !strchr(ref, '@') || !is_same_repository(full, ref))
		return false;
	for (size_t i = 0; i < json_len(image->refs); i++) {
		const char *other = json_item_str(image->refs, i);
		if (strcmp(other, full) != 0 && !strchr(other, '@') &&
		    is_same_repository(full, other))
			return false;
	}
	return true;
}

/* Plans to take @full away, if other names then remain. */
static bool plan_untag_one(struct work *w, const struct image *image, const char *full)
{
	size_t n = json_len(image->refs), go = 0;
	for (size_t i = 0; i < n; i++) {
		const char *ref = json_item_str(image->refs, i);
		go += !strcmp(ref, full) || goes_along(image, full, ref);
	}
	if (go >= n)
		return false;
	plan_untag(w, image, full);
	for (size_t i = 0; i < n; i++)
		if (goes_along(image, full, json_item_str(image->refs, i)))
			plan_untag(w, image, json_item_str(image->refs, i));
	return true;
}

/* @full: the name that was asked for, "" for an id. */
static int plan_remove(struct work *w, struct image *image, const char *full, bool force,
		       bool prune, struct err *err)
{
	size_t names = json_len(image->refs);
	struct instance *user = image_user(w->d, image);
	if (*full && names > 1 && plan_untag_one(w, image, full))
		return 0;
	if (!*full && names > 1 && !force && !is_one_repository(image))
		return err_set(err, EBUSY,
			       "conflict: unable to delete %s (must be forced) - image is "
			       "referenced in multiple repositories",
			       short_id(image));
	if (user && !force && *full) {
		char text[IMAGE_REF_MAX];
		image_ref_familiar(full, text, sizeof(text));
		return err_set(err, EBUSY,
			       "conflict: unable to remove repository reference \"%s\" (must "
			       "force) - container %.12s is using its referenced image %s",
			       text, user->id, short_id(image));
	}
	if (user && (!force || instance_is_running(user) || !names))
		return conflict(image, user, names && !instance_is_running(user), err);
	bool children = image_has_children(w->d->images, image);
	if (children && !*full)
		return err_set(err, EBUSY,
			       "conflict: unable to delete %s (cannot be forced) - image has "
			       "dependent child images",
			       short_id(image));
	if (user || children)
		plan_untag_all(w, image);
	else
		plan_delete_all(w, image, w->result, prune);
	return 0;
}

void image_remove(struct isolad *d, const char *ref, bool force, bool prune, op_done_fn *done,
		  void *arg)
{
	struct err err = ERR_INIT;
	char full[IMAGE_REF_MAX];
	struct work *w = work_new(d, done, arg);
	if (!w) {
		(void)err_set(&err, ENOMEM, "out of memory");
		fail(d, w, &err, done, arg);
		return;
	}
	struct image *image = images_lookup(d->images, ref, full, &err);
	if (!image || plan_remove(w, image, full, force, prune, &err) < 0)
		fail(d, w, &err, done, arg);
	else
		work_begin(w);
}

/* ---- tag ---- */

static void on_tagged(void *arg, const struct err *err, json_object *result)
{
	struct work *w = arg;
	json_object *step = json_object_array_get_idx(w->steps, 0);
	(void)result;
	if (!err)
		events_emit_image(w->d, "tag", json_str_or(step, "id", ""),
				  json_str_or(step, "ref", ""));
	w->done(w->arg, err, NULL);
	work_free(w);
}

void image_tag(struct isolad *d, const char *ref, const char *repo_tag, op_done_fn *done, void *arg)
{
	struct err err = ERR_INIT;
	char full[IMAGE_REF_MAX], text[IMAGE_REF_MAX];
	struct image_job *job;
	struct work *w = work_new(d, done, arg);
	int rc = w ? 0 : err_set(&err, ENOMEM, "out of memory");
	struct image *image = rc < 0 ? NULL : images_lookup(d->images, ref, NULL, &err);
	rc = image ? image_ref_normalize(repo_tag, full, sizeof(full), &err) : -1;
	if (rc >= 0 && strchr(full, '@'))
		rc = err_set(&err, EINVAL,
			     "refusing to create a tag with a digest reference: %.256s", repo_tag);
	if (rc >= 0) {
		image_ref_familiar(full, text, sizeof(text));
		add_step(w, "tag", full, image_id(image), text);
		const char *words[] = { "tag", image_id(image), full, NULL };
		rc = job_start(d, words, -1, &job, NULL, on_tagged, w, &err);
	}
	if (rc < 0)
		fail(d, w, &err, done, arg);
}

/* ---- prune ---- */

static const char *const prune_filters[] = { "dangling", "until", "label", "label!" };

/* A time, or an age ("24h"). */
static int parse_until(const char *text, int64_t *ret_ns)
{
	int64_t age;
	if (num_parse_time(text, ret_ns) == 0)
		return 0;
	if (num_parse_duration(text, &age) < 0)
		return -EINVAL;
	*ret_ns = num_now_ns() - age;
	return 0;
}

struct pruning {
	bool all;
	int64_t until_ns;
	json_object *filters;
};

static int parse_pruning(json_object *filters, struct pruning *ret, struct err *err)
{
	struct pruning p = { .until_ns = INT64_MAX, .filters = filters };
	const char *value;
	int rc = filter_check(filters, prune_filters,
			      sizeof(prune_filters) / sizeof(prune_filters[0]), err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; filter_value(filters, "dangling", i, &value) > 0; i++) {
		p.all = !strcmp(value, "false") || !strcmp(value, "0");
		if (!p.all && strcmp(value, "true") != 0 && strcmp(value, "1") != 0)
			return err_set(err, EINVAL, "invalid filter 'dangling=%.32s'", value);
	}
	for (size_t i = 0; filter_value(filters, "until", i, &value) > 0; i++) {
		if (parse_until(value, &p.until_ns) < 0)
			return err_set(err, EINVAL, "invalid filter 'until=%.64s'", value);
	}
	*ret = p;
	return 0;
}

static bool is_prunable(struct isolad *d, const struct image *image, const struct pruning *p)
{
	json_object *labels = json_get(json_get(image->record, "config"), "Labels");
	const char *value;
	if (image->deleting || (!p->all && json_len(image->refs)) || image_user(d, image) ||
	    image_has_children(d->images, image))
		return false;
	if (json_i64_or(image->record, "created_ns", 0) >= p->until_ns)
		return false;
	for (size_t i = 0; filter_value(p->filters, "label!", i, &value) > 0; i++) {
		if (filter_label(value, labels))
			return false;
	}
	return filter_all(p->filters, "label", filter_label, labels);
}

void image_prune(struct isolad *d, json_object *filters, op_done_fn *done, void *arg)
{
	struct err err = ERR_INIT;
	struct pruning p = { .until_ns = 0 };
	struct work *w = work_new(d, done, arg);
	int rc = w ? parse_pruning(filters, &p, &err) : err_set(&err, ENOMEM, "out of memory");
	if (rc < 0) {
		fail(d, w, &err, done, arg);
		return;
	}
	json_object *deleted = json_object_new_array(), *result = json_object_new_object();
	/* Again, while what was made from an image went. */
	for (bool more = true; more;) {
		more = false;
		for (size_t i = 0; i < d->images->n; i++) {
			struct image *image = d->images->items[i];
			if (!is_prunable(d, image, &p))
				continue;
			plan_delete_all(w, image, deleted, true);
			more = true;
		}
	}
	json_add(result, "ImagesDeleted", deleted);
	json_add_i64(result, "SpaceReclaimed", 0);
	json_object_put(w->result);
	w->result = result;
	work_begin(w);
}

/* ---- check ---- */

void image_check(struct isolad *d, bool repair, bool deep, op_done_fn *done, void *arg)
{
	const char *words[4] = { "verify" };
	size_t n = 1;
	struct err err = ERR_INIT;
	struct image_job *job;
	if (repair)
		words[n++] = "--repair";
	if (deep)
		words[n++] = "--deep";
	if (job_start(d, words, -1, &job, NULL, done, arg, &err) < 0)
		later_done(d, done, arg, &err, NULL);
}
