/* SPDX-License-Identifier: Apache-2.0 */
/* verify_repair - what --repair does beside moving the broken away: images again
 * from their blobs, and the sweep. Runs in isola-image's jail. */
#include "verify.h"

#include "isola/fd.h"
#include "isola/id.h"
#include "isola/json.h"
#include "names.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define TRIES_MAX 100

int verify_quarantine(struct verify *v, int dir_fd, const char *name, const char *as,
		      struct err *err)
{
	int root = v->job->store->root_fd;
	if (mkdirat(root, "quarantine", 0700) < 0 && errno != EEXIST)
		return err_sys(err, "cannot make the folder quarantine");
	cleanup_fd int to =
		openat(root, "quarantine", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (to < 0)
		return err_sys(err, "cannot open the folder quarantine");
	for (int i = 0; i < TRIES_MAX; i++) {
		char path[300];
		if (i == 0)
			(void)snprintf(path, sizeof(path), "%.200s", as);
		else
			(void)snprintf(path, sizeof(path), "%.200s.%d", as, i);
		if (renameat2(dir_fd, name, to, path, RENAME_NOREPLACE) == 0)
			return fsync(to) < 0 || fsync(dir_fd) < 0
				       ? err_sys(err, "cannot write quarantine/ to disk")
				       : 0;
		if (errno != EEXIST)
			break;
	}
	return err_sys(err, "cannot move %s to quarantine/", name);
}

void verify_want_rebuild(struct verify *v, const char *manifest, json_object *problem)
{
	json_object *list = json_get(v->rebuild, manifest);
	if (!list) {
		list = json_object_new_array();
		json_add(v->rebuild, manifest, list);
	}
	(void)json_object_array_add(list, json_object_get(problem));
}

/* The first descriptor of @manifest, borrowed. */
static json_object *find_descriptor(const struct verify *v, const char *manifest)
{
	json_object *list = json_get(v->index, "manifests");
	for (size_t i = 0; i < json_len(list); i++) {
		json_object *d = json_object_array_get_idx(list, i);
		if (!strcmp(json_str_or(d, "digest", ""), manifest))
			return d;
	}
	return NULL;
}

static int rebuild_image(struct verify *v, const char *manifest, struct err *err)
{
	cleanup_source struct source src = { 0 };
	json_object *d = find_descriptor(v, manifest);
	const char *type = json_str_or(d, "mediaType", "");
	if (!id_is_digest(manifest))
		return err_set(err, EINVAL, "\"%.100s\" is no digest", manifest);
	int rc = source_from_store(v->job->store, manifest, type, &src, err);
	if (rc < 0)
		return rc;
	json_object_put(src.refs);
	src.refs = names_of(v->index, manifest);
	return image_add(v->job, NULL, v->limits, &src, err);
}

/* Names of images that could not be made again point to nothing. */
static int drop_dangling(struct verify *v, const char *manifest, struct err *err)
{
	cleanup_references struct references needed = { 0 };
	int rc = references_read(v->job->store, &needed, err);
	if (rc < 0 || references_has(needed.manifests, manifest))
		return rc;
	cleanup_json json_object *index = NULL;
	rc = names_read(v->job->store, &index, err);
	if (rc < 0)
		return rc;
	names_drop(index, manifest);
	return names_write(v->job->store, index, err);
}

static int rebuild_one(struct verify *v, const char *manifest, json_object *problems,
		       struct err *err)
{
	struct err why = ERR_INIT;
	int made = rebuild_image(v, manifest, &why);
	bool gone = false;
	if (made < 0) {
		cleanup_fd int lock = store_lock(v->job->store, err);
		int rc = lock < 0 ? lock : drop_dangling(v, manifest, err);
		if (rc < 0)
			return rc;
	}
	for (size_t i = 0; i < json_len(problems); i++) {
		json_object *p = json_object_array_get_idx(problems, i);
		/* A name that pointed to nothing is gone: no problem any more. */
		gone = !strcmp(json_str_or(p, "Kind", ""), "name");
		if (made == 0 || gone)
			verify_mend(v, p);
		if (made == 0 || !p)
			continue;
		char text[900];
		(void)snprintf(text, sizeof(text), "%s It cannot be made again: %.300s.%s",
			       json_str_or(p, "Text", ""), why.text,
			       gone ? " Its name was removed." : "");
		json_add_text(p, "Text", text);
	}
	return 0;
}

int verify_rebuild(struct verify *v, struct err *err)
{
	json_object_object_foreach (v->rebuild, manifest, problems) {
		int rc = rebuild_one(v, manifest, problems, err);
		if (rc < 0)
			return rc;
	}
	cleanup_fd int lock = store_lock(v->job->store, err);
	int rc = lock < 0 ? lock : verify_judge_orphans(v, err);
	return rc < 0 ? rc : collect_sweep(v->job, NULL, err);
}
