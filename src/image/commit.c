/* SPDX-License-Identifier: Apache-2.0 */
/* commit - a container's writable layer becomes the top layer of a new image: a
 * tar with whiteouts (image-spec layer.md) is made of it as a blob, unpacked again
 * like any layer of a stranger, and described by a config that goes on from the
 * base image's. A container that changed nothing gives an image without a new
 * layer. Foreign trees: in isola-image's jail, of which the layer is a part.
 *
 * COMMIT_SPEC on descriptor 3: { "image": "sha256:...", "upper": path below the
 *   state folder, "user_marks"?: bool, "config": Docker's Config, "changes": [...], "author", "comment",
 *   "created_by", "ref" } */
#include "commit.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/pack.h"
#include "isola/path.h"
#include "change.h"
#include "derive.h"
#include "stub.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* ---- the layer ---- */

/* Has the base image something at @path? */
static bool image_has(const struct derive *d, const char *path)
{
	json_object *layers = json_get(d->record, "layers");
	for (size_t i = json_len(layers); i-- > 0;) {
		char full[PATH_MAX + 128];
		struct stat st;
		(void)snprintf(full, sizeof(full), "%s/fs/%s", json_item_str(layers, i), path);
		cleanup_fd int fd =
			path_open_beneath(d->job->store->layers_fd, full, O_PATH | O_NOFOLLOW, 0);
		if (fd == -ENOENT)
			continue;
		return fd < 0 || fstat(fd, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != 0;
	}
	return false;
}

static bool skip_stub(const char *as, const struct stat *st, void *arg)
{
	char path[PATH_MAX + 1];
	(void)snprintf(path, sizeof(path), "/%s", as);
	return stub_is(path, st) && !image_has(arg, as);
}

int commit_upper(struct derive *d, const char *path, bool user_marks, int proc_fd, struct err *err)
{
	cleanup_layer_out struct layer_out out = LAYER_OUT_INIT;
	cleanup_fd int upper =
		path_open_beneath(d->job->store->root_fd, path, O_RDONLY | O_DIRECTORY, 0);
	if (upper < 0)
		return err_rc(err, upper, "cannot open the container's layer %s", path);
	int rc = layer_out_begin(d->job, 0, &out, err);
	const struct pack_options pack = {
		.out = out.tar,
		.proc_fd = proc_fd,
		.layer = true,
		.user_marks = user_marks,
		.skip = skip_stub,
		.skip_arg = d,
	};
	if (rc == 0)
		rc = pack_below(&pack, upper, err);
	return rc < 0 ? rc : layer_out_end(&out, d, err);
}

/* ---- the config ---- */

static int make_config(struct derive *d, json_object *spec, struct err *err)
{
	json_object *run = json_copy(json_get(spec, "config"));
	json_object *changes = json_get(spec, "changes");
	if (!run)
		run = json_object_new_object();
	json_add(d->config, "config", run);
	for (size_t i = 0; i < json_len(changes); i++) {
		int rc = change_apply(run, json_item_str(changes, i), err);
		if (rc < 0)
			return rc;
	}
	json_add_str(d->config, "author", json_str_or(spec, "author", ""));
	json_add_str(d->config, "comment", json_str_or(spec, "comment", ""));
	return 0;
}

static json_object *make_step(json_object *spec)
{
	static const char *const keys[] = { "created_by", "author", "comment" };
	json_object *step = json_object_new_object();
	for (size_t i = 0; i < 3; i++)
		if (*json_str_or(spec, keys[i], ""))
			json_add_str(step, keys[i], json_str_or(spec, keys[i], ""));
	return step;
}

static int commit(const struct job *job, const struct limits *limits, json_object *spec,
		  int proc_fd, json_object **ret_aux, struct err *err)
{
	cleanup_derive struct derive d = DERIVE_INIT;
	char id[DIGEST_SIZE];
	const char *ref = json_str_or(spec, "ref", "");
	int rc = derive_from(job, json_str_or(spec, "image", ""), &d, err);
	if (rc < 0)
		return err_prefix(err, "the container's image");
	rc = make_config(&d, spec, err);
	if (rc == 0)
		rc = commit_upper(&d, json_str_or(spec, "upper", ""),
				  json_bool_or(spec, "user_marks", false), proc_fd, err);
	if (rc == 0)
		rc = derive_commit(&d, limits, make_step(spec), ref, id, err);
	if (rc < 0)
		return rc;
	json_object *aux = json_object_new_object(), *refs = json_object_new_array();
	if (*ref)
		(void)json_object_array_add(refs, json_object_new_string(ref));
	json_add_str(aux, "ID", id);
	json_add(aux, "Refs", refs);
	*ret_aux = aux;
	return 0;
}

int job_commit(const struct store *s, const struct limits *limits, json_object *spec, int proc_fd,
	       json_object **ret_aux, struct err *err)
{
	cleanup_job struct job job = JOB_INIT;
	int rc = job_open(s, &job, err);
	return rc < 0 ? rc : commit(&job, limits, spec, proc_fd, ret_aux, err);
}
