/* SPDX-License-Identifier: Apache-2.0 */
/* names - see names.h. The index is small: plain walks. Runs in isola-image. */
#include "names.h"

#include "isola/fd.h"
#include "isola/id.h"
#include "isola/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define INDEX_BYTES_MAX (16 * 1024 * 1024)
#define REF_NAME        "org.opencontainers.image.ref.name"

static json_object *new_index(void)
{
	json_object *o = json_object_new_object();
	json_add_i64(o, "schemaVersion", 2);
	json_add_str(o, "mediaType", "application/vnd.oci.image.index.v1+json");
	json_add(o, "manifests", json_object_new_array());
	return o;
}

int names_read(const struct store *s, json_object **ret, struct err *err)
{
	if (faccessat(s->images_fd, "index.json", F_OK, AT_SYMLINK_NOFOLLOW) < 0 &&
	    errno == ENOENT) {
		*ret = new_index();
		return *ret ? 0 : err_set(err, ENOMEM, "out of memory");
	}
	cleanup_json json_object *o = NULL;
	json_object *list = NULL;
	int rc = json_read_file(s->images_fd, "index.json", INDEX_BYTES_MAX, &o, err);
	if (rc == 0)
		rc = json_get_arr(o, "manifests", &list, err);
	if (rc == 0)
		rc = err_set(err, EINVAL, "manifests is missing");
	if (rc < 0)
		return err_prefix(err, "images/index.json is damaged");
	*ret = take_ptr(o);
	return 0;
}

int names_write(const struct store *s, json_object *index, struct err *err)
{
	return json_write_atomic(s->images_fd, "index.json", index, FD_SYNC_YES, err);
}

json_object *names_descriptor(json_object *record)
{
	json_object *d = json_object_new_object(), *p = json_object_new_object();
	json_add_str(d, "mediaType", json_str_or(record, "manifest_type", ""));
	json_add_str(d, "digest", json_str_or(record, "manifest", ""));
	json_add_i64(d, "size", json_i64_or(record, "manifest_size", 0));
	json_add_str(p, "architecture", json_str_or(record, "architecture", ""));
	json_add_str(p, "os", json_str_or(record, "os", "linux"));
	if (json_get(record, "variant"))
		json_add_str(p, "variant", json_str_or(record, "variant", ""));
	json_add(d, "platform", p);
	return d;
}

static json_object *list_of(json_object *index)
{
	return json_get(index, "manifests");
}

static const char *digest_at(json_object *list, size_t i)
{
	return json_str_or(json_object_array_get_idx(list, i), "digest", "");
}

/* The name of descriptor @i, or "". */
static const char *name_at(json_object *list, size_t i)
{
	json_object *d = json_object_array_get_idx(list, i);
	return json_str_or(json_get(d, "annotations"), REF_NAME, "");
}

static int add(json_object *index, json_object *descriptor, const char *ref, struct err *err)
{
	json_object *copy = json_copy(descriptor);
	if (!copy)
		return err_set(err, ENOMEM, "out of memory");
	if (ref) {
		json_object *a = json_object_new_object();
		json_add_str(a, REF_NAME, ref);
		json_add(copy, "annotations", a);
	}
	if (json_object_array_add(list_of(index), copy) < 0) {
		json_object_put(copy);
		return err_set(err, ENOMEM, "out of memory");
	}
	return 0;
}

static bool has_any(json_object *list, const char *digest)
{
	for (size_t i = 0; i < json_len(list); i++)
		if (!strcmp(digest_at(list, i), digest))
			return true;
	return false;
}

int names_keep(json_object *index, json_object *descriptor, struct err *err)
{
	if (has_any(list_of(index), json_str_or(descriptor, "digest", "")))
		return 0;
	return add(index, descriptor, NULL, err);
}

int names_unset(json_object *index, const char *ref, char *ret_digest, size_t size, struct err *err)
{
	json_object *list = list_of(index);
	for (size_t i = 0; i < json_len(list); i++) {
		if (strcmp(name_at(list, i), ref) != 0)
			continue;
		cleanup_json json_object *d = json_copy(json_object_array_get_idx(list, i));
		if (!d)
			return err_set(err, ENOMEM, "out of memory");
		(void)snprintf(ret_digest, size, "%s", digest_at(list, i));
		json_object_object_del(d, "annotations");
		(void)json_object_array_del_idx(list, i, 1);
		int rc = names_keep(index, d, err);
		return rc < 0 ? rc : 1;
	}
	return 0;
}

int names_set(json_object *index, const char *ref, json_object *descriptor, char *ret_old,
	      size_t old_size, struct err *err)
{
	json_object *list = list_of(index);
	char old[256] = "";
	const char *digest = json_str_or(descriptor, "digest", "");
	int rc = names_unset(index, ref, old, sizeof(old), err);
	if (rc < 0)
		return rc;
	/* A named image needs no bare descriptor. */
	for (size_t i = json_len(list); i-- > 0;)
		if (!strcmp(digest_at(list, i), digest) && !*name_at(list, i))
			(void)json_object_array_del_idx(list, i, 1);
	rc = add(index, descriptor, ref, err);
	if (rc == 0 && ret_old)
		(void)snprintf(ret_old, old_size, "%s", strcmp(old, digest) ? old : "");
	return rc;
}

void names_drop(json_object *index, const char *manifest)
{
	json_object *list = list_of(index);
	for (size_t i = json_len(list); i-- > 0;)
		if (!strcmp(digest_at(list, i), manifest))
			(void)json_object_array_del_idx(list, i, 1);
}

json_object *names_of(json_object *index, const char *manifest)
{
	json_object *list = list_of(index), *names = json_object_new_array();
	for (size_t i = 0; i < json_len(list); i++)
		if (!strcmp(digest_at(list, i), manifest) && *name_at(list, i))
			(void)json_object_array_add(names,
						    json_object_new_string(name_at(list, i)));
	return names;
}
