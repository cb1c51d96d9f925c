/* SPDX-License-Identifier: Apache-2.0 */
/* volumes - folders of files that outlive containers.
 *
 *   <state>/volumes/<name>/volume.json   the record, written once
 *                          _data/        the files, as the container's root (0) and
 *                                        users own them: mounts are idmapped
 *                          fill/         while the image's files are copied
 *                          snapshots/<name>/{snapshot.json,_data/}
 *   <state>/volumes/.new-<id>/           being made: gone at the next start
 *   <state>/volumes/.gone-<id>           being removed: likewise
 *
 * A volume is there when its folder has its name: one rename makes it, one takes it
 * away, so whatever kills isolad leaves a whole one or none. The same holds for its
 * first files: "fill" takes the place of an empty "_data" by a rename.
 *
 * Who uses a volume is not counted but looked up: all instances whose mounts name
 * it. An instance is in the registry before its volumes are made. Loop thread. */
#pragma once

#include "isola/daemon.h"
#include "isola/id.h"

struct mount_point;

#define VOLUMES_DIR      "volumes"
#define VOLUME_FILL      "fill"
#define VOLUME_RECORD    "volume.json"
#define VOLUME_SNAPSHOTS "snapshots"
#define VOLUME_NEW       ".new-"
#define VOLUME_ANONYMOUS "com.docker.volume.anonymous" /* the label clients know */

struct volumes {
	struct list all; /* struct volume, oldest first */
	int dir_fd;
};

struct volume {
	struct list node;
	struct isolad *d;
	char *name;
	int64_t created_ns;
	int64_t size_bytes;     /* as a project quota; 0 = without */
	uint32_t project;       /* then its project, project.h */
	json_object *labels;    /* object */
	json_object *snapshots; /* {name: snapshot.json} */
	/* An anonymous one of a --rm container: no use without it. */
	char temporary_of[ID_SIZE];
	bool making;         /* its folder is not there yet */
	bool filling;        /* files are on their way into it, or into a snapshot of it */
	bool unfilled;       /* that was cut off */
	struct list waiters; /* for the end of either, struct waiter of volumes.c */
};

void volumes_init(struct volumes *v);
/* Opens the folder, reads what is there and clears away what was half done. */
int volumes_open(struct isolad *d, struct err *err);
void volumes_close(struct volumes *v);

bool volume_is_anonymous(const struct volume *v);

struct volume_spec {
	const char *name;         /* grammar checked */
	json_object *labels;      /* borrowed, or NULL */
	const char *temporary_of; /* an instance's id, or NULL */
	int64_t size_bytes;       /* 0 = no limit */
	uint32_t project;         /* else what project_take() gave */
};
/* Whether it has the limit that somebody asks for; 0 asks for none. -EEXIST says what it has. */
int volume_check_size(const struct volume *v, int64_t size_bytes, struct err *err);
/* Makes it, unless there is one of that name; @done when it is there. One of another size
 * is an error. */
void volume_make(struct isolad *d, const struct volume_spec *spec, op_done_fn *done, void *arg);
/* The same in parts: the name is taken, and the volume is "making" until it is settled,
 * by somebody else who makes its folder. Not when there is one. With @err it is gone. */
struct volume *volume_reserve(struct isolad *d, const struct volume_spec *spec);
void volume_settle(struct volume *v, const struct err *err);
json_object *volume_record(const struct volume *v); /* its volume.json, owned */
/* The folder @name in @fd, still empty, gets its limit, if there is one. Any thread. */
int volume_limit(struct isolad *d, int fd, const char *name, uint32_t project, int64_t bytes,
		 struct err *err);

/* @done once nobody makes or fills it any more; it may be gone then. */
void volume_wait(struct volume *v, op_done_fn *done, void *arg);
/* Lets those go on who wait for it. */
void volume_wake(struct volume *v, const struct err *err);
/* Whoever uses it: gone for everybody at once, from the disk in the thread pool.
 * @done may be NULL; result: {"bytes"} if @measure. */
void volume_drop(struct volume *v, bool measure, op_done_fn *done, void *arg);
/* Removes <volumes>/@path ("name/fill") the same way. */
int volumes_discard(struct isolad *d, const char *path, struct err *err);

/* ---- volume_use.c: the volumes of one instance ---- */

/* Makes those that are missing and, into new ones, copies what the image has there.
 * @create: at creation. Returns true when nothing is to be done, and @done is not
 * called. @inst must stay until then. */
bool volumes_prepare(struct instance *inst, bool create, op_done_fn *done, void *arg);

/* ---- volume_users.c ---- */

/* Ids of instances that use it, owned array of strings; @but may be NULL. */
json_object *volume_users(const struct volume *v, const struct instance *but);
/* Whether another instance than @but has it mounted, or is about to. */
bool volume_is_mounted(const struct instance *but, const char *name);
/* @inst needs its volumes no more. @anonymous: those of its own go with it, unless
 * another instance uses them. */
void volumes_release(struct instance *inst, bool anonymous);
/* "mount" or "unmount", for each of its volumes. */
void volumes_emit(struct instance *inst, const char *action);
void volume_emit_mount(struct instance *inst, const struct mount_point *p, const char *action);
/* Ids of the containers and VMs that may be writing to it now, owned array. */
json_object *volume_writers(const struct volume *v);
/* After the recovery: removes those of --rm containers that are gone. */
void volumes_clear_temporary(struct isolad *d);
/* {name: number of instances}, owned. */
json_object *volumes_count_users(struct isolad *d);

/* ---- snapshot.c ---- */

/* What is in the folder @fd of @v, into v->snapshots. */
void snapshots_read(struct volume *v, int fd);

/* ---- events.c ---- */
void events_emit_volume(struct isolad *d, const char *action, const char *name,
			json_object *attributes);
