/* SPDX-License-Identifier: Apache-2.0 */
/* images_priv - the image table and the jobs, for images*.c. */
#pragma once

#include "images.h"
#include "isolad.h"

#include "isola/strbuf.h"

#include <sys/stat.h>

/* Says whether a file was replaced since we read it: every write is a rename. */
struct stamp {
	ino_t ino;
	struct timespec mtime;
	off_t size;
};

struct image {
	json_object *record; /* IMAGE_RECORD, checked; owned */
	json_object *refs;   /* full references, sorted; owned */
	struct stamp stamp;
	bool seen;     /* by the reload that runs */
	bool deleting; /* a job removes it: nobody finds it any more */
};

struct images {
	struct isolad *d;
	struct image **items;
	size_t n;
	struct stamp index_stamp;
	struct list jobs; /* struct image_job */
};

/* Reads what changed on disk; bad records are logged and left out. */
int images_reload(struct images *images, struct err *err);

/* Has isola-image remove what killed jobs left behind, if there may be any. */
void images_clean(struct isolad *d);

const char *image_id(const struct image *image);

/* By reference, id or id prefix. @ret_ref (of IMAGE_REF_MAX bytes, may be NULL)
 * gets the full reference when @ref is a name, else "". NULL with ENOENT, or
 * EINVAL for a malformed or ambiguous one. */
struct image *images_lookup(struct images *images, const char *ref, char *ret_ref, struct err *err);
struct image *images_by_id(struct images *images, const char *id);

/* One container that needs the image, running ones first; NULL when there is none. */
struct instance *image_user(struct isolad *d, const struct image *image);

/* What a build made it from (id, or ""), and whether one went on from it to an image
 * that is not being removed. */
const char *image_parent(const struct image *image);
bool image_has_children(const struct images *images, const struct image *image);

/* Array of the familiar forms, of tags or of digests; owned. */
json_object *image_tags(const struct image *image);
json_object *image_digests(const struct image *image);

/* ---- images_job.c ---- */

struct image_job {
	struct list node;
	struct isolad *d;
	struct child *child; /* NULL once it has ended */
	uv_pipe_t out;       /* its standard output */
	bool out_open, cancelled;
	bool cleans; /* of images_clean() */
	int handles; /* of ours that are not closed yet */
	int status;
	struct strbuf line;
	json_object *aux; /* from the last line, owned */
	char *error;      /* the same */
	int error_code;   /* its errno; 0 = EINVAL, the archive's fault */
	bool tells_errno; /* the job's error lines count for that */
	image_progress_fn *progress;
	op_done_fn *done;
	void *arg;
	const char *event; /* emitted for what the job reports, or NULL */
};

/* Descriptors of a job: borrowed; -1 = none. */
struct job_fds {
	int in, third;
	int fourth; /* 0 = none */
};

/* Runs isola-image with @words (its command and arguments; NULL at the end). @done gets the
 * job's last line. */
int job_start_fds(struct isolad *d, const char *const *words, const struct job_fds *fds,
		  struct image_job **ret, image_progress_fn *progress, op_done_fn *done, void *arg,
		  struct err *err);
/* The same with a standard input alone. */
int job_start(struct isolad *d, const char *const *words, int stdin_fd, struct image_job **ret,
	      image_progress_fn *progress, op_done_fn *done, void *arg, struct err *err);
