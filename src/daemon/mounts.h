/* SPDX-License-Identifier: Apache-2.0 */
/* mounts - what a HostConfig says about mounts (Binds, Mounts, Tmpfs), as one
 * list that create checks, bundle turns into OCI mounts and inspect shows. */
#pragma once

#include "isola/err.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

enum mount_kind { MOUNT_BIND, MOUNT_TMPFS };

struct mount_point {
	enum mount_kind kind;
	char *source; /* clean absolute host path; NULL for tmpfs */
	char *target; /* clean absolute path in the container */
	char *mode;   /* the options as typed ("ro,rslave", "size=1m"), never NULL */
	bool read_only;
	bool recursive;          /* bind: what is mounted below comes along */
	bool shallow_read_only;  /* read-only, but not what is mounted below */
	bool make_source;        /* a missing source folder is made (-v, CreateMountpoint) */
	bool unmapped;           /* "noidmap": files show the host's own ids, mostly nobody */
	bool listed;             /* inspect shows it in Mounts (all but HostConfig.Tmpfs) */
	const char *propagation; /* bind: "rprivate", "rslave"...; static */
	char *tmpfs;             /* tmpfs: options for the mount, with Docker's defaults */
};

struct mounts {
	struct mount_point *items;
	size_t n;
};

/* Parses and checks all three fields of @host_config (checked for types).
 * @ret: sorted so that a parent comes before what lies below it. -EINVAL names
 * the item, -EOPNOTSUPP for volumes. mounts_fini() frees it. */
int mounts_parse(json_object *host_config, struct mounts *ret, struct err *err);
void mounts_fini(struct mounts *m);
#define cleanup_mounts __attribute__((cleanup(mounts_fini)))

/* The one that is mounted at @target, or NULL. */
const struct mount_point *mounts_find(const struct mounts *m, const char *target);
