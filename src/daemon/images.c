/* SPDX-License-Identifier: Apache-2.0 */
/* images - isolad's table of the image store: index.json and the records, read
 * at start and after each job, looked up by name, id and prefix. Both files are
 * isola-image's, yet they are read with bounds and checked as foreign ones.
 * isolad, loop thread; image-spec image-layout.md. */
#include "images_priv.h"

#include "isola/fd.h"
#include "isola/image.h"
#include "isola/json.h"
#include "isola/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INDEX_BYTES_MAX (16 * 1024 * 1024)
#define REF_NAME        "org.opencontainers.image.ref.name"
#define DIGEST_PREFIX   "sha256:"
#define PREFIX_LEN      (sizeof(DIGEST_PREFIX) - 1)
#define HEX_LEN         64

const char *image_id(const struct image *image)
{
	return json_str_or(image->record, "id", "");
}

static bool is_hex64(const char *text)
{
	return strlen(text) == HEX_LEN && id_is_prefix(text);
}

static bool is_digest(const char *text)
{
	return !strncmp(text, DIGEST_PREFIX, PREFIX_LEN) && is_hex64(text + PREFIX_LEN);
}

static void image_free(struct image *image)
{
	if (!image)
		return;
	json_object_put(image->record);
	json_object_put(image->refs);
	free(image);
}

/* ---- reading ---- */

static struct stamp stamp_of(const struct stat *st)
{
	return (struct stamp){ st->st_ino, st->st_mtim, st->st_size };
}

static bool is_same(const struct stamp *a, const struct stamp *b)
{
	return a->ino == b->ino && a->size == b->size && a->mtime.tv_sec == b->mtime.tv_sec &&
	       a->mtime.tv_nsec == b->mtime.tv_nsec;
}

/* Layer names become paths, so they must be what they claim to be. */
static int check_layers(json_object *record, struct err *err)
{
	json_object *layers = NULL;
	int rc = json_get_strv(record, "layers", &layers, err);
	if (rc <= 0)
		return rc < 0 ? rc : err_set(err, EINVAL, "layers is missing");
	for (size_t i = 0; i < json_len(layers); i++) {
		if (!is_hex64(json_item_str(layers, i)))
			return err_set(err, EINVAL, "layers[%zu] is no chain id", i);
	}
	return 0;
}

static int check_config(json_object *record, struct err *err)
{
	static const char *const lists[] = { "Env", "Entrypoint", "Cmd", "Shell", "OnBuild" };
	static const char *const maps[] = { "Labels", "ExposedPorts", "Volumes", "Healthcheck" };
	static const char *const texts[] = { "User", "WorkingDir", "StopSignal" };
	json_object *config = NULL, *part = NULL;
	const char *text;
	int rc = json_get_obj(record, "config", &config, err);
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]) && rc >= 0; i++)
		rc = json_get_strv(config, lists[i], &part, err);
	for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]) && rc >= 0; i++)
		rc = json_get_obj(config, maps[i], &part, err);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]) && rc >= 0; i++)
		rc = json_get_str(config, texts[i], &text, err);
	return rc < 0 ? err_prefix(err, "config") : 0;
}

static int check_record(json_object *record, const char *hex, struct err *err)
{
	const char *id = json_str_or(record, "id", "");
	if (json_i64_or(record, "version", 0) != 1)
		return err_set(err, EINVAL, "its version is not 1");
	if (!is_digest(id) || strcmp(id + PREFIX_LEN, hex) != 0)
		return err_set(err, EINVAL, "its id does not match its name");
	if (!is_digest(json_str_or(record, "manifest", "")))
		return err_set(err, EINVAL, "manifest is no sha256 digest");
	json_object *built = NULL;
	const char *parent = "";
	int rc = json_get_obj(record, "built", &built, err);
	if (rc >= 0)
		rc = json_get_str(built, "parent", &parent, err);
	if (rc >= 0)
		rc = check_layers(record, err);
	return rc < 0 ? rc : check_config(record, err);
}

static struct image *find_hex(struct images *t, const char *hex)
{
	for (size_t i = 0; i < t->n; i++) {
		if (!strcmp(image_id(t->items[i]) + PREFIX_LEN, hex))
			return t->items[i];
	}
	return NULL;
}

struct image *images_by_id(struct images *t, const char *id)
{
	return strncmp(id, DIGEST_PREFIX, PREFIX_LEN) ? NULL : find_hex(t, id + PREFIX_LEN);
}

static int add_image(struct images *t, json_object *record, const struct stamp *stamp)
{
	struct image **items = realloc(t->items, (t->n + 1) * sizeof(*items));
	if (!items)
		return -ENOMEM;
	t->items = items;
	struct image *image = calloc(1, sizeof(*image));
	if (!image)
		return -ENOMEM;
	*image = (struct image){ .record = record, .stamp = *stamp, .seen = true };
	items[t->n++] = image;
	return 0;
}

/* Reads @name ("<hex>.json") unless it is known unchanged. */
static int read_record(struct images *t, int dir, const char *name, struct err *err)
{
	char hex[HEX_LEN + 1];
	struct stat st;
	(void)snprintf(hex, sizeof(hex), "%.*s", HEX_LEN, name);
	struct image *image = find_hex(t, hex);
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(err, "cannot look at it");
	struct stamp stamp = stamp_of(&st);
	if (image && is_same(&image->stamp, &stamp)) {
		image->seen = true;
		return 0;
	}
	cleanup_json json_object *record = NULL;
	int rc = json_read_file(dir, name, IMAGE_RECORD_BYTES_MAX, &record, err);
	if (rc >= 0)
		rc = check_record(record, hex, err);
	if (rc < 0)
		return rc;
	if (!image) {
		rc = add_image(t, record, &stamp);
		if (rc < 0)
			return err_set(err, ENOMEM, "out of memory");
		record = NULL;
		return 1;
	}
	json_object_put(image->record);
	image->record = take_ptr(record);
	image->stamp = stamp;
	image->seen = true;
	return 1;
}

static bool is_record_name(const char *name)
{
	char hex[HEX_LEN + 1];
	(void)snprintf(hex, sizeof(hex), "%.*s", HEX_LEN, name);
	return is_hex64(hex) && !strcmp(name + HEX_LEN, ".json");
}

static void drop_unseen(struct images *t)
{
	size_t kept = 0;
	for (size_t i = 0; i < t->n; i++) {
		if (t->items[i]->seen)
			t->items[kept++] = t->items[i];
		else
			image_free(t->items[i]);
	}
	t->n = kept;
}

/* 1 when anything changed. */
static int read_records(struct images *t, struct err *err)
{
	int fd = openat(t->d->roots.state_fd, "records", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && errno != ENOENT)
		return err_sys(err, "cannot open %s/records", t->d->roots.state);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (fd >= 0 && !dir) {
		fd_close(&fd);
		return err_set(err, ENOMEM, "out of memory");
	}
	size_t before = t->n;
	int changed = 0;
	for (size_t i = 0; i < t->n; i++)
		t->items[i]->seen = false;
	struct dirent *e;
	while (dir && (e = readdir(dir))) {
		struct err bad = ERR_INIT;
		if (!is_record_name(e->d_name))
			continue;
		int rc = read_record(t, fd, e->d_name, &bad);
		if (rc < 0)
			log_warn(NULL, "image record %s is left out: %s", e->d_name, bad.text);
		changed |= rc > 0;
	}
	if (dir)
		(void)closedir(dir);
	size_t read = t->n;
	drop_unseen(t);
	return changed || t->n != read || t->n != before;
}

/* ---- names ---- */

static int compare_strings(const void *a, const void *b)
{
	json_object *const *x = a, *const *y = b;
	return strcmp(json_object_get_string(*x), json_object_get_string(*y));
}

static void name_image(struct images *t, const char *manifest, const char *ref)
{
	for (size_t i = 0; i < t->n; i++) {
		if (!strcmp(json_str_or(t->items[i]->record, "manifest", ""), manifest))
			(void)json_object_array_add(t->items[i]->refs, json_object_new_string(ref));
	}
}

static int clear_names(struct images *t)
{
	for (size_t i = 0; i < t->n; i++) {
		json_object_put(t->items[i]->refs);
		t->items[i]->refs = json_object_new_array();
		if (!t->items[i]->refs)
			return -ENOMEM;
	}
	return 0;
}

static int apply_index(struct images *t, json_object *index, struct err *err)
{
	json_object *manifests = NULL;
	int rc = index ? json_get_arr(index, "manifests", &manifests, err) : 0;
	if (rc < 0)
		return rc;
	if (clear_names(t) < 0)
		return err_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; i < json_len(manifests); i++) {
		json_object *m = json_object_array_get_idx(manifests, i);
		const char *ref = json_str_or(json_get(m, "annotations"), REF_NAME, "");
		char full[IMAGE_REF_MAX];
		if (*ref && image_ref_normalize(ref, full, sizeof(full), NULL) == 0)
			name_image(t, json_str_or(m, "digest", ""), full);
	}
	for (size_t i = 0; i < t->n; i++)
		json_object_array_sort(t->items[i]->refs, compare_strings);
	return 0;
}

int images_reload(struct images *t, struct err *err)
{
	int changed = read_records(t, err);
	if (changed < 0)
		return changed;
	struct stat st = { 0 };
	bool exists =
		fstatat(t->d->roots.state_fd, "images/index.json", &st, AT_SYMLINK_NOFOLLOW) == 0;
	struct stamp stamp = stamp_of(&st);
	if (!changed && is_same(&stamp, &t->index_stamp))
		return 0;
	cleanup_json json_object *index = NULL;
	int rc = exists ? json_read_file(t->d->roots.state_fd, "images/index.json", INDEX_BYTES_MAX,
					 &index, err)
			: 0;
	if (rc >= 0)
		rc = apply_index(t, index, err);
	if (rc < 0)
		return rc;
	t->index_stamp = stamp;
	return 0;
}

/* ---- life ---- */

static void on_checked(void *arg, const struct err *err, json_object *result)
{
	(void)arg;
	(void)result;
	if (err)
		log_warn(NULL, "cannot clean the image store: %s", err->text);
}

/* Only what a killed job left behind is in tmp; isola-image knows what still
 * belongs to one that lives, and what else goes with the rest. */
void images_clean(struct isolad *d)
{
	int fd = openat(d->roots.state_fd, "tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	bool any = false;
	while (dir && (e = readdir(dir)))
		any |= strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
	if (dir)
		(void)closedir(dir);
	else
		fd_close(&fd);
	static const char *const words[] = { "check", NULL };
	struct image_job *job;
	struct err err = ERR_INIT;
	if (!any)
		return;
	if (job_start(d, words, -1, &job, NULL, on_checked, NULL, &err) < 0)
		log_warn(NULL, "cannot clean the image store: %s", err.text);
	else
		job->cleans = true;
}

int images_open(struct isolad *d, struct images **ret, struct err *err)
{
	struct images *t = calloc(1, sizeof(*t));
	if (!t)
		return err_set(err, ENOMEM, "out of memory");
	t->d = d;
	list_init(&t->jobs);
	struct err why = ERR_INIT;
	/* Containers matter more than the images' names, and a repair needs isolad. */
	if (images_reload(t, &why) < 0)
		log_error(NULL,
			  "cannot read the image store in %s: %s: images are missing until "
			  "`ctrctl system check --repair`",
			  d->roots.state, why.text);
	d->images = t;
	images_clean(d);
	*ret = t;
	return 0;
}

void images_close(struct images *t)
{
	if (!t)
		return;
	images_stop(t);
	list_del(&t->jobs); /* the last ones end while the loop closes */
	t->d->images = NULL;
	for (size_t i = 0; i < t->n; i++)
		image_free(t->items[i]);
	free(t->items);
	free(t);
}

/* ---- look-up ---- */

static bool has_ref(const struct image *image, const char *full)
{
	for (size_t i = 0; i < json_len(image->refs); i++) {
		if (!strcmp(json_item_str(image->refs, i), full))
			return true;
	}
	return false;
}

/* "repo:tag" or "repo@sha256:x": the part before tag or digest. */
static size_t repo_length(const char *full)
{
	const char *at = strchr(full, '@'), *slash = strrchr(full, '/');
	if (at)
		return (size_t)(at - full);
	const char *colon = strchr(slash ? slash : full, ':');
	return colon ? (size_t)(colon - full) : strlen(full);
}

/* name@digest also means the image with that manifest and any tag of that name. */
static bool has_digest_ref(const struct image *image, const char *full)
{
	const char *at = strchr(full, '@');
	if (!at || strcmp(json_str_or(image->record, "manifest", ""), at + 1) != 0)
		return false;
	size_t n = (size_t)(at - full);
	for (size_t i = 0; i < json_len(image->refs); i++) {
		const char *ref = json_item_str(image->refs, i);
		if (repo_length(ref) == n && !memcmp(ref, full, n))
			return true;
	}
	return false;
}

static struct image *find_name(struct images *t, const char *full)
{
	for (size_t i = 0; i < t->n; i++) {
		struct image *image = t->items[i];
		if (!image->deleting && (has_ref(image, full) || has_digest_ref(image, full)))
			return image;
	}
	return NULL;
}

static struct image *find_prefix(struct images *t, const char *hex, const char *ref,
				 struct err *err)
{
	struct image *found = NULL;
	for (size_t i = 0; i < t->n; i++) {
		struct image *image = t->items[i];
		if (image->deleting || strncmp(image_id(image) + PREFIX_LEN, hex, strlen(hex)) != 0)
			continue;
		if (found) {
			(void)err_set(err, EINVAL, "the image id prefix %.64s is ambiguous", ref);
			return NULL;
		}
		found = image;
	}
	if (!found)
		(void)err_set(err, ENOENT, "No such image: %.256s", ref);
	return found;
}

struct image *images_lookup(struct images *t, const char *ref, char *ret_ref, struct err *err)
{
	char full[IMAGE_REF_MAX] = "";
	if (ret_ref)
		*ret_ref = '\0';
	bool prefixed = !strncmp(ref, DIGEST_PREFIX, PREFIX_LEN);
	const char *hex = prefixed ? ref + PREFIX_LEN : ref;
	int rc = prefixed || is_hex64(ref) ? -1 : image_ref_normalize(ref, full, sizeof(full), err);
	struct image *image = rc < 0 ? NULL : find_name(t, full);
	if (image) {
		if (ret_ref)
			(void)snprintf(ret_ref, IMAGE_REF_MAX, "%s", full);
		return image;
	}
	if (*hex && id_is_prefix(hex)) {
		image = find_prefix(t, hex, ref, err);
		if (image || (err && err->code == EINVAL))
			return image;
	}
	if (rc == 0) {
		char shown[IMAGE_REF_MAX];
		image_ref_familiar(full, shown, sizeof(shown));
		(void)err_set(err, ENOENT, "No such image: %s", shown);
	} else if (prefixed || is_hex64(ref)) {
		(void)err_set(err, ENOENT, "No such image: %.256s", ref);
	}
	return NULL;
}

json_object *image_find(struct isolad *d, const char *ref, struct err *err)
{
	struct err own = ERR_INIT;
	struct image *image = images_lookup(d->images, ref, NULL, err ? err : &own);
	return image ? image->record : NULL;
}

static json_object *familiar_refs(const struct image *image, bool digests)
{
	json_object *out = json_object_new_array();
	for (size_t i = 0; i < json_len(image->refs); i++) {
		const char *ref = json_item_str(image->refs, i);
		char text[IMAGE_REF_MAX];
		if (!strchr(ref, '@') == digests)
			continue;
		image_ref_familiar(ref, text, sizeof(text));
		(void)json_object_array_add(out, json_object_new_string(text));
	}
	return out;
}

json_object *image_tags(const struct image *image)
{
	return familiar_refs(image, false);
}

json_object *image_digests(const struct image *image)
{
	return familiar_refs(image, true);
}

json_object *image_refs(struct isolad *d, const char *id)
{
	struct image *image = images_by_id(d->images, id);
	return image ? image_tags(image) : json_object_new_array();
}

struct instance *image_user(struct isolad *d, const struct image *image)
{
	struct instance *user = NULL;
	list_for_each (node, registry_list(d)) {
		struct instance *inst = container_of(node, struct instance, node);
		if (strcmp(json_str_or(inst->image, "id", ""), image_id(image)) != 0)
			continue;
		if (instance_is_running(inst))
			return inst;
		if (!user)
			user = inst;
	}
	return user;
}

const char *image_parent(const struct image *image)
{
	return json_str_or(json_get(image->record, "built"), "parent", "");
}

bool image_has_children(const struct images *t, const struct image *image)
{
	for (size_t i = 0; i < t->n; i++)
		if (!t->items[i]->deleting && !strcmp(image_parent(t->items[i]), image_id(image)))
			return true;
	return false;
}
