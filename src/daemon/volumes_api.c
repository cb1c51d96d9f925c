/* SPDX-License-Identifier: Apache-2.0 */
/* volumes_api - what clients may do with volumes: create, list, inspect, remove,
 * prune. Docker Engine API 1.47, "Volumes". isolad, loop thread. */
#include "volumes.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/log.h"
#include "isola/num.h"
#include "isola/quota.h"
#include "isola/strbuf.h"

#include "fields.h"
#include "filter.h"
#include "isolad.h"
#include "mounts.h"
#include "project.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_object *options_of(const struct volume *v)
{
	char text[32];
	if (!v->project)
		return NULL;
	json_object *o = json_object_new_object();
	(void)snprintf(text, sizeof(text), "%lld", (long long)v->size_bytes);
	json_add_str(o, "size", text);
	return o;
}

/* What the kernel counts; it asks no disk. */
static json_object *status_of(const struct volume *v)
{
	struct quota q = { 0 };
	json_object *o = json_object_new_object();
	(void)quota_get(v->d->roots.state_fd, v->project, v->d->roots.state, &q, NULL);
	json_add_i64(o, "Limit", (int64_t)q.limit_bytes);
	json_add_i64(o, "Project", v->project);
	json_add_i64(o, "Used", (int64_t)q.used_bytes);
	return o;
}

json_object *volume_view(const struct volume *v)
{
	char when[64];
	cleanup_strbuf struct strbuf at = STRBUF_INIT;
	json_object *o = json_object_new_object();
	strbuf_printf(&at, "%s/" VOLUMES_DIR "/%s/" VOLUME_DATA, v->d->roots.state, v->name);
	json_add_str(o, "CreatedAt", num_format_time(v->created_ns, when, sizeof(when)));
	json_add_str(o, "Driver", "local");
	json_add(o, "Labels", json_object_get(v->labels));
	json_add_str(o, "Mountpoint", at.text);
	json_add_str(o, "Name", v->name);
	json_add(o, "Options", options_of(v));
	json_add_str(o, "Scope", "local");
	if (v->project)
		json_add(o, "Status", status_of(v));
	return o;
}

/* ---- create ---- */

static int check_driver(void *arg, const struct field *row, json_object *v, json_object **ret,
			struct err *err)
{
	(void)arg;
	(void)row;
	const char *name = json_object_get_string(v);
	if (strcmp(name, "local") != 0)
		return err_set(err, ENOENT,
			       "error looking up volume plugin %.64s: only local is "
			       "supported",
			       name);
	*ret = json_object_get(v);
	return 0;
}

static int check_name(void *arg, const struct field *row, json_object *v, json_object **ret,
		      struct err *err)
{
	(void)arg;
	(void)row;
	const char *name = json_object_get_string(v);
	if (!id_is_name(name))
		return err_set(
			err, EINVAL,
			"\"%.64s\" includes invalid characters for a local volume name, only "
			"[a-zA-Z0-9][a-zA-Z0-9_.-] (two at least) are allowed",
			name);
	*ret = json_object_get(v);
	return 0;
}

static int check_options(void *arg, const struct field *row, json_object *v, json_object **ret,
			 struct err *err)
{
	(void)arg;
	(void)row;
	int64_t size = 0;
	int rc = project_size(v, &size, err);
	if (rc == 0)
		*ret = json_object_get(v);
	return rc;
}

static const struct field rows[] = {
	{ "Name", NULL, FIELD_STR, DEFAULT_EMPTY, .check = check_name },
	{ "Driver", "--driver", FIELD_STR, DEFAULT_EMPTY, .check = check_driver },
	{ "DriverOpts", "--opt", FIELD_MAP, DEFAULT_ABSENT, .check = check_options },
	{ "Labels", "--label", FIELD_MAP, DEFAULT_OBJECT },
	{ "ClusterVolumeSpec", NULL, FIELD_OBJ, DEFAULT_ABSENT, .refuse = "on a single host" },
};

void volume_create(struct isolad *d, json_object *body, op_done_fn *done, void *arg)
{
	struct err e = ERR_INIT;
	char id[ID_SIZE];
	cleanup_json json_object *o = NULL, *labels = NULL;
	int rc = fields_check(rows, sizeof(rows) / sizeof(rows[0]), "", body, NULL, &o, &e);
	if (rc >= 0 && id_new(id) < 0)
		rc = err_set(&e, EIO, "no random numbers");
	if (rc < 0) {
		later_done(d, done, arg, &e, NULL);
		return;
	}
	const char *name = json_str_or(o, "Name", "");
	labels = json_copy(json_get(o, "Labels"));
	if (!*name)
		json_add_str(labels, VOLUME_ANONYMOUS, "");
	struct volume_spec spec = { .name = *name ? name : id, .labels = labels };
	(void)project_size(json_get(o, "DriverOpts"), &spec.size_bytes, NULL);
	if (spec.size_bytes && !volume_find(d, spec.name, NULL) &&
	    project_take(d, &spec.project, &e) < 0)
		later_done(d, done, arg, &e, NULL);
	else
		volume_make(d, &spec, done, arg);
}

/* ---- list ---- */

struct asked {
	const struct volume *v;
	json_object *users; /* {name: number} */
	bool bad, bad_name;
};

static bool is_used(const struct asked *a)
{
	return json_get(a->users, a->v->name) != NULL;
}

static bool is_dangling(const char *value, void *arg)
{
	struct asked *a = arg;
	bool yes = !strcmp(value, "true") || !strcmp(value, "1");
	a->bad |= !yes && strcmp(value, "false") != 0 && strcmp(value, "0") != 0;
	return yes == !is_used(a);
}

static bool is_driver(const char *value, void *arg)
{
	(void)arg;
	return !strcmp(value, "local");
}

static bool is_name(const char *value, void *arg)
{
	struct asked *a = arg;
	int rc = filter_pattern(value, a->v->name);
	a->bad_name |= rc < 0;
	return rc > 0;
}

static bool has_label(const char *value, void *arg)
{
	return filter_label(value, ((struct asked *)arg)->v->labels);
}

static int check_filters(json_object *filters, const char *const *keys, size_t n, struct err *err)
{
	static const struct volume nobody = { .name = (char *)"" };
	struct asked a = { .v = &nobody };
	int rc = filter_check(filters, keys, n, err);
	if (rc < 0)
		return rc;
	(void)filter_any(filters, "dangling", is_dangling, &a);
	(void)filter_any(filters, "name", is_name, &a);
	if (a.bad_name)
		return err_set(err, EINVAL, "invalid filter 'name': no regular expression");
	return a.bad ? err_set(err, EINVAL, "invalid filter 'dangling': say true or false") : 0;
}

static bool fits_list(struct asked *a, json_object *filters)
{
	return filter_any(filters, "dangling", is_dangling, a) &&
	       filter_any(filters, "driver", is_driver, a) &&
	       filter_any(filters, "name", is_name, a) &&
	       filter_all(filters, "label", has_label, a);
}

json_object *volume_list(struct isolad *d, json_object *filters, struct err *err)
{
	static const char *const keys[] = { "dangling", "driver", "label", "name" };
	if (check_filters(filters, keys, sizeof(keys) / sizeof(keys[0]), err) < 0)
		return NULL;
	cleanup_json json_object *users = volumes_count_users(d);
	json_object *o = json_object_new_object(), *list = json_object_new_array();
	list_for_each (node, &d->volumes.all) {
		struct asked a = { .v = container_of(node, struct volume, node), .users = users };
		if (!a.v->making && fits_list(&a, filters))
			(void)json_object_array_add(list, volume_view(a.v));
	}
	json_add(o, "Volumes", list);
	json_add(o, "Warnings", NULL);
	return o;
}

/* ---- remove ---- */

static int check_unused(struct volume *v, struct err *err)
{
	cleanup_json json_object *users = volume_users(v, NULL);
	cleanup_strbuf struct strbuf ids = STRBUF_INIT;
	if (v->making || v->filling)
		return err_set(err, EBUSY, "remove %.255s: volume is in use - being made", v->name);
	if (!json_len(users))
		return 0;
	for (size_t i = 0; i < json_len(users) && i < 4; i++)
		strbuf_printf(&ids, "%s%s", i ? ", " : "", json_item_str(users, i));
	return err_set(err, EBUSY, "remove %.255s: volume is in use - [%s]", v->name,
		       ids.text ? ids.text : "");
}

void volume_remove(struct isolad *d, const char *name, bool force, op_done_fn *done, void *arg)
{
	struct err e = ERR_INIT;
	struct volume *v = volume_find(d, name, &e);
	if (!v && force) {
		later_done(d, done, arg, NULL, NULL);
		return;
	}
	if (!v || check_unused(v, &e) < 0) {
		later_done(d, done, arg, &e, NULL);
		return;
	}
	volume_drop(v, false, done, arg);
}

/* ---- prune ---- */

struct pruning {
	struct isolad *d;
	json_object *names; /* that were chosen */
	size_t at;
	json_object *deleted;
	int64_t bytes;
	op_done_fn *done;
	void *arg;
};

static bool wants_all(const char *value, void *arg)
{
	(void)arg;
	return !strcmp(value, "true") || !strcmp(value, "1");
}

static bool lacks_label(const char *value, void *arg)
{
	return !has_label(value, arg);
}

static void prune_next(struct pruning *p);

static void on_pruned(void *arg, const struct err *err, json_object *result)
{
	struct pruning *p = arg;
	if (!err) {
		(void)json_object_array_add(p->deleted,
					    json_object_new_string(json_item_str(p->names, p->at)));
		p->bytes += json_i64_or(result, "bytes", 0);
	}
	p->at++;
	prune_next(p);
}

static void prune_next(struct pruning *p)
{
	for (; p->at < json_len(p->names); p->at++) {
		struct volume *v = volume_find(p->d, json_item_str(p->names, p->at), NULL);
		/* Somebody may use it by now. */
		if (!v || check_unused(v, NULL) < 0)
			continue;
		volume_drop(v, true, on_pruned, p);
		return;
	}
	json_object *o = json_object_new_object();
	json_add(o, "VolumesDeleted", json_object_get(p->deleted));
	json_add_i64(o, "SpaceReclaimed", p->bytes);
	p->done(p->arg, NULL, o);
	json_object_put(o);
	json_object_put(p->names);
	json_object_put(p->deleted);
	free(p);
}

static void prune_begin(void *arg)
{
	prune_next(arg);
}

void volume_prune(struct isolad *d, json_object *filters, bool named, op_done_fn *done, void *arg)
{
	static const char *const keys[] = { "all", "label", "label!" };
	struct err e = ERR_INIT;
	struct pruning *p = calloc(1, sizeof(*p));
	int rc = p ? check_filters(filters, keys, sizeof(keys) / sizeof(keys[0]), &e)
		   : err_set(&e, ENOMEM, "out of memory");
	if (rc < 0) {
		free(p);
		later_done(d, done, arg, &e, NULL);
		return;
	}
	*p = (struct pruning){ .d = d, .done = done, .arg = arg };
	p->names = json_object_new_array();
	p->deleted = json_object_new_array();
	if (json_get(filters, "all"))
		named = filter_any(filters, "all", wants_all, NULL);
	cleanup_json json_object *users = volumes_count_users(d);
	list_for_each (node, &d->volumes.all) {
		struct asked a = { .v = container_of(node, struct volume, node), .users = users };
		if (a.v->making || is_used(&a) || (!named && !volume_is_anonymous(a.v)) ||
		    !filter_all(filters, "label", has_label, &a) ||
		    !filter_all(filters, "label!", lacks_label, &a))
			continue;
		(void)json_object_array_add(p->names, json_object_new_string(a.v->name));
	}
	later_call(d, prune_begin, p);
}
