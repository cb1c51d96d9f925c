/* SPDX-License-Identifier: Apache-2.0 */
/* mounts - what a HostConfig says about mounts (Binds, Mounts, Tmpfs), as one
 * list that create checks, bundle turns into OCI mounts and inspect shows.
 *
 * What a HostConfig cannot say is settled once, at creation (mounts_settle()), and
 * kept in the instance's record: the names of anonymous volumes, what VOLUME in the
 * image asks for, what comes from other containers. mounts_of() is both together. */
#pragma once

#include "isola/err.h"

#include "isola/instance.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

/* A volume's folder of files, below "volumes/<name>" of the state folder. */
#define VOLUME_DATA "_data"

enum mount_kind { MOUNT_BIND, MOUNT_TMPFS, MOUNT_VOLUME };

struct mount_point {
	enum mount_kind kind;
	/* Clean absolute host path; NULL for tmpfs; a volume's is known to mounts_of() */
	char *source;
	char *volume;  /* its name; NULL while an anonymous one has none yet */
	char *subpath; /* volume: only this folder or file of it, relative; or NULL */
	char *target;  /* clean absolute path in the container; of a VM: the tag */
	char *mode;    /* the options as typed ("ro,rslave", "size=1m"), never NULL */
	bool read_only;
	bool writable;           /* "rw" was said */
	bool recursive;          /* bind: what is mounted below comes along */
	bool shallow_read_only;  /* read-only, but not what is mounted below */
	bool make_source;        /* a missing source folder is made (-v, CreateMountpoint) */
	bool unmapped;           /* "noidmap": files show the host's own ids, mostly nobody */
	bool listed;             /* inspect shows it in Mounts (all but HostConfig.Tmpfs) */
	const char *propagation; /* bind: "rprivate", "rslave"...; static */
	char *tmpfs;             /* tmpfs: options for the mount, with Docker's defaults */
	bool no_copy;            /* volume: the image's files are not copied into a new one */
	bool anonymous;          /* volume: nobody named it; goes with --rm and rm -v */
	json_object *labels;     /* volume: for a new one, owned; or NULL */
	int64_t size_bytes;      /* volume: for a new one (volume-opt=size=); 0 = no limit */
};

struct mounts {
	struct mount_point *items;
	size_t n;
};

/* Parses and checks all three fields of @host_config (checked for types).
 * @ret: sorted so that a parent comes before what lies below it. -EINVAL names
 * the item. mounts_fini() frees it. */
int mounts_parse(json_object *host_config, struct mounts *ret, struct err *err);
void mounts_fini(struct mounts *m);
#define cleanup_mounts __attribute__((cleanup(mounts_fini)))

/* The one that is mounted at @target, or NULL. */
const struct mount_point *mounts_find(const struct mounts *m, const char *target);

/* ---- with what was settled at creation (mounts_settle.c) ---- */

/* All mounts of @inst, sorted. Of a VM: those of its Shares that are volumes, by their
 * tags, as where its guest mounts them is not known here. */
int mounts_of(const struct instance *inst, struct mounts *ret, struct err *err);

/* Finds the container of "REF" in VolumesFrom. */
typedef int mounts_find_fn(void *arg, const char *ref, struct instance **ret, struct err *err);

/* Settles what @config (Volumes, with the image's merged in) and @host_config leave
 * open. @ret: an array for instance.mount_points, owned, NULL when nothing was open. */
int mounts_settle(json_object *config, json_object *host_config, mounts_find_fn *find, void *arg,
		  json_object **ret, struct err *err);

/* ---- for mounts.c, mounts_mount.c, mounts_share.c and mounts_settle.c ---- */

/* Zeroed room for one more, which counts once the caller raises m->n; the free of one;
 * the order. */
struct mount_point *mounts_next(struct mounts *m);
void mount_point_fini(struct mount_point *p);
void mounts_sort(struct mounts *m);
int mounts_clean_target(const char *path, char **ret, struct err *err);
/* A clean absolute path, owned; @what names it in errors. */
int mounts_clean(const char *path, char **ret, const char *what, struct err *err);
int mounts_set_volume(struct mount_point *p, const char *name, struct err *err);
/* p->mode becomes p->tmpfs, Docker's defaults first. */
int mounts_finish_tmpfs(struct mount_point *p, struct err *err);
/* Options that change nothing here: hints for file sharing into macOS. */
bool mounts_is_hint(const char *option, size_t len);
/* One object of HostConfig.Mounts into @p, which is zeroed. */
int mounts_parse_mount(json_object *raw, struct mount_point *p, struct err *err);
/* The volumes in Shares of a VmConfig (mounts_share.c). */
int mounts_parse_shares(json_object *shares, struct mounts *ret, struct err *err);
/* One of the six words, static, or NULL. */
const char *mounts_propagation(const char *name, size_t len);
