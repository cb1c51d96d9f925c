/* SPDX-License-Identifier: Apache-2.0 */
/* mounts_settle - see mounts.h. A point of the record is a JSON object with the
 * fields of struct mount_point. Docker's order of rank: --volumes-from, then what
 * the request itself names at the same place, then VOLUME of the image. isolad,
 * loop thread; nothing of the disk is touched. */
#include "isola/fd.h"
#include "isola/id.h"
#include "isola/json.h"

#include "isolad.h"
#include "mounts.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* ---- to and from the record ---- */

static json_object *point_json(const struct mount_point *p)
{
	json_object *o = json_object_new_object();
	json_add_str(o, "kind", p->kind == MOUNT_VOLUME ? "volume" : "bind");
	json_add_str(o, "target", p->target);
	json_add_str(o, "mode", p->mode);
	json_add_bool(o, "read_only", p->read_only);
	if (p->kind == MOUNT_VOLUME) {
		json_add_str(o, "volume", p->volume);
		json_add_bool(o, "anonymous", p->anonymous);
		json_add_bool(o, "no_copy", p->no_copy);
		if (p->labels)
			json_add(o, "labels", json_object_get(p->labels));
		if (p->subpath)
			json_add_str(o, "subpath", p->subpath);
		if (p->size_bytes)
			json_add_i64(o, "size_bytes", p->size_bytes);
	} else {
		json_add_str(o, "source", p->source);
		json_add_str(o, "propagation", p->propagation);
		json_add_bool(o, "make_source", p->make_source);
	}
	json_add_bool(o, "recursive", p->recursive);
	json_add_bool(o, "shallow_read_only", p->shallow_read_only);
	json_add_bool(o, "unmapped", p->unmapped);
	return o;
}

static int read_volume(struct mount_point *p, json_object *o)
{
	const char *name = json_str_or(o, "volume", ""), *subpath = json_str_or(o, "subpath", "");
	json_object *labels = json_get(o, "labels");
	if (!id_is_name(name))
		return -EINVAL;
	p->volume = strdup(name);
	p->subpath = *subpath ? strdup(subpath) : NULL;
	p->anonymous = json_bool_or(o, "anonymous", false);
	p->no_copy = json_bool_or(o, "no_copy", false);
	p->size_bytes = json_i64_or(o, "size_bytes", 0);
	if (json_object_is_type(labels, json_type_object))
		p->labels = json_object_get(labels);
	return p->volume && (p->subpath || !*subpath) ? 0 : -ENOMEM;
}

static int read_bind(struct mount_point *p, json_object *o)
{
	const char *source = json_str_or(o, "source", "");
	const char *propagation = json_str_or(o, "propagation", "");
	p->propagation = mounts_propagation(propagation, strlen(propagation));
	if (*source != '/' || !p->propagation)
		return -EINVAL;
	p->make_source = json_bool_or(o, "make_source", false);
	p->source = strdup(source);
	return p->source ? 0 : -ENOMEM;
}

static int read_point(struct mount_point *p, json_object *o, struct err *err)
{
	int rc = mounts_clean_target(json_str_or(o, "target", ""), &p->target, err);
	if (rc < 0)
		return rc;
	p->kind = !strcmp(json_str_or(o, "kind", ""), "volume") ? MOUNT_VOLUME : MOUNT_BIND;
	p->listed = true;
	p->read_only = json_bool_or(o, "read_only", false);
	p->recursive = json_bool_or(o, "recursive", true);
	p->shallow_read_only = json_bool_or(o, "shallow_read_only", false);
	p->unmapped = json_bool_or(o, "unmapped", false);
	p->mode = strdup(json_str_or(o, "mode", ""));
	rc = !p->mode ? -ENOMEM : p->kind == MOUNT_VOLUME ? read_volume(p, o) : read_bind(p, o);
	return rc < 0 ? err_rc(err, rc, "the settled mount at %.128s cannot be used", p->target)
		      : 0;
}

/* ---- both together ---- */

/* In the place of the one at the same target, if there is one. */
static int put_point(struct mounts *m, json_object *o, struct err *err)
{
	struct mount_point p = { .propagation = "rprivate", .recursive = true };
	int rc = read_point(&p, o, err);
	for (size_t i = 0; rc == 0 && i < m->n; i++) {
		if (strcmp(m->items[i].target, p.target) != 0)
			continue;
		mount_point_fini(&m->items[i]);
		m->items[i] = p;
		return 0;
	}
	struct mount_point *room = rc == 0 ? mounts_next(m) : NULL;
	if (room) {
		*room = p;
		m->n++;
		return 0;
	}
	mount_point_fini(&p);
	return rc < 0 ? rc : err_set(err, ENOMEM, "out of memory");
}

static int name_source(const char *state, struct mount_point *p)
{
	if (p->kind != MOUNT_VOLUME || !p->volume)
		return 0;
	free(p->source);
	if (asprintf(&p->source, "%s/volumes/%s/" VOLUME_DATA, state, p->volume) >= 0)
		return 0;
	p->source = NULL;
	return -ENOMEM;
}

int mounts_of(const struct instance *inst, struct mounts *ret, struct err *err)
{
	cleanup_mounts struct mounts m = { NULL, 0 };
	bool vm = inst->kind == INSTANCE_VM;
	int rc = vm ? mounts_parse_shares(json_get(inst->config, "Shares"), &m, err)
		    : mounts_parse(inst->host_config, &m, err);
	for (size_t i = 0; rc >= 0 && i < json_len(inst->mount_points); i++)
		rc = put_point(&m, json_object_array_get_idx(inst->mount_points, i), err);
	const char *state =
		inst->isolad && inst->isolad->roots.state ? inst->isolad->roots.state : "";
	for (size_t i = 0; rc >= 0 && i < m.n; i++)
		if (name_source(state, &m.items[i]) < 0)
			rc = err_set(err, ENOMEM, "out of memory");
	if (rc < 0)
		return rc;
	mounts_sort(&m);
	*ret = m;
	m = (struct mounts){ NULL, 0 };
	return 0;
}

/* ---- at creation ---- */

/* A later one at the same place wins, as with Docker. */
static void replace(json_object *points, json_object *taken)
{
	const char *target = json_str_or(taken, "target", "");
	for (size_t i = 0; i < json_len(points); i++) {
		json_object *o = json_object_array_get_idx(points, i);
		if (strcmp(json_str_or(o, "target", ""), target) != 0)
			continue;
		(void)json_object_array_put_idx(points, i, taken);
		return;
	}
	(void)json_object_array_add(points, taken);
}

static bool has_target(json_object *points, const char *target)
{
	for (size_t i = 0; i < json_len(points); i++)
		if (!strcmp(json_str_or(json_object_array_get_idx(points, i), "target", ""),
			    target))
			return true;
	return false;
}

/* "REF[:ro|rw]". */
static int split_from(const char *text, char *ref, size_t size, bool *ret_read_only,
		      struct err *err)
{
	const char *colon = strchr(text, ':');
	size_t n = colon ? (size_t)(colon - text) : strlen(text);
	if (n == 0 || n >= size)
		return err_set(err, EINVAL, "names no container");
	(void)snprintf(ref, size, "%.*s", (int)n, text);
	*ret_read_only = colon && !strcmp(colon + 1, "ro");
	if (colon && !*ret_read_only && strcmp(colon + 1, "rw") != 0)
		return err_set(err, EINVAL, "invalid mode '%.32s': only ro and rw are", colon + 1);
	return 0;
}

static int take_from(json_object *points, const struct mounts *own, const char *text,
		     mounts_find_fn *find, void *arg, struct err *err)
{
	char ref[256];
	bool read_only;
	struct instance *donor = NULL;
	cleanup_mounts struct mounts theirs = { NULL, 0 };
	int rc = split_from(text, ref, sizeof(ref), &read_only, err);
	if (rc >= 0)
		rc = find(arg, ref, &donor, err);
	if (rc >= 0)
		rc = mounts_of(donor, &theirs, err);
	for (size_t i = 0; rc >= 0 && i < theirs.n; i++) {
		struct mount_point *p = &theirs.items[i];
		if (p->kind == MOUNT_TMPFS || mounts_find(own, p->target))
			continue;
		p->read_only |= read_only;
		replace(points, point_json(p));
	}
	return rc < 0 ? err_prefix(err, "HostConfig.VolumesFrom (--volumes-from) '%.128s'", text)
		      : 0;
}

static int name_anonymous(json_object *points, struct mount_point *p, struct err *err)
{
	char id[ID_SIZE];
	if (id_new(id) < 0)
		return err_set(err, EIO, "cannot make a name for an anonymous volume");
	free(p->volume);
	p->volume = strdup(id);
	if (!p->volume)
		return err_set(err, ENOMEM, "out of memory");
	(void)json_object_array_add(points, point_json(p));
	return 0;
}

static int add_declared(json_object *points, const struct mounts *own, json_object *volumes,
			struct err *err)
{
	if (!json_object_is_type(volumes, json_type_object))
		return 0;
	json_object_object_foreach (volumes, path, unused) {
		(void)unused;
		struct mount_point p = { .kind = MOUNT_VOLUME,
					 .propagation = "rprivate",
					 .recursive = true,
					 .anonymous = true,
					 .mode = strdup("") };
		int rc = mounts_clean_target(path, &p.target, err);
		if (rc < 0)
			rc = err_prefix(err, "Volumes (-v, or the image's VOLUME)");
		else if (!mounts_find(own, p.target) && !has_target(points, p.target))
			rc = name_anonymous(points, &p, err);
		mount_point_fini(&p);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int mounts_settle(json_object *config, json_object *host_config, mounts_find_fn *find, void *arg,
		  json_object **ret, struct err *err)
{
	cleanup_mounts struct mounts own = { NULL, 0 };
	cleanup_json json_object *points = json_object_new_array();
	json_object *from = json_get(host_config, "VolumesFrom");
	if (!points)
		return err_set(err, ENOMEM, "out of memory");
	int rc = mounts_parse(host_config, &own, err);
	for (size_t i = 0; rc >= 0 && i < json_len(from); i++)
		rc = take_from(points, &own, json_item_str(from, i), find, arg, err);
	for (size_t i = 0; rc >= 0 && i < own.n; i++)
		if (own.items[i].kind == MOUNT_VOLUME && !own.items[i].volume)
			rc = name_anonymous(points, &own.items[i], err);
	if (rc >= 0)
		rc = add_declared(points, &own, json_get(config, "Volumes"), err);
	if (rc < 0)
		return rc;
	*ret = json_len(points) ? take_ptr(points) : NULL;
	return 0;
}
