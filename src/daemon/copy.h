/* SPDX-License-Identifier: Apache-2.0 */
/* copy - runs of isola-image that are told by a JSON text on descriptor 3 and talk
 * to a client's socket themselves: copy.c, images_save.c. Loop thread. */
#pragma once

#include "isola/daemon.h"

struct copy {
	struct list node; /* in isolad's copies */
	struct isolad *d;
	struct image_job *job; /* NULL before it runs */
	char of[ID_SIZE];      /* the instance whose files these are, or "" */
	bool orphaned;         /* which is being removed */
	int pair;              /* our end of the job's standard input */
	copy_ready_fn *ready;
	enum copy_what what; /* of a read */
	op_done_fn *done;
	void *arg;
	/* Of a write into a container. */
	struct op *op; /* NULL once nobody waits in the queue */
	bool running;  /* into a running container */
	int client_fd;
	int guest_fd; /* until the job has it: where the guest's stream comes from; 0 = none */
	char *path;   /* of a read, too; owned */
	bool keep_kinds, to_user;
	json_object *framing; /* {"chunked","length"} */
	char *head;
	size_t head_size;
};

/* NULL with memory out, after @done was set off with ENOMEM. */
struct copy *copy_new(struct isolad *d, op_done_fn *done, void *arg);
/* It works on the files of this instance: copies_cancel() finds it. */
void copy_of_instance(struct copy *c, const char *id);
/* The instance's files go away: ends all that read them. */
void copies_cancel(const struct instance *inst);
/* Starts the job; c->done comes at its end. */
int copy_run(struct copy *c, const char *const *words, int stdin_fd, json_object *spec,
	     struct err *err);
/* The same for one that sends: c->ready comes first, and copy_give(). */
int copy_run_reader(struct copy *c, const char *const *words, json_object *spec, struct err *err);
/* The job did not begin: tells c->done, frees @c. */
void copy_fail(struct copy *c, const struct err *err);
