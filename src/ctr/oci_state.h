/* SPDX-License-Identifier: Apache-2.0 */
/* oci_state - what isola-oci knows of a container between two calls.
 *
 *   <root>/<id>/config.json   the bundle's, as it was at create
 *               state.json    pid, cgroup, bundle...; written once the pid is known
 *               start.sock    init waits there until `start`
 *
 * The folder is made first and removed last; who works on a container holds a
 * lock (flock) on it, so that a create that was killed half-way is told from one
 * still at work. <root> is 0700 and on a tmpfs: nothing is synced. */
#pragma once

#include "oci_cli.h"

#include "isola/ctr.h"

#define OCI_CONFIG_MAX (16 << 20)
#define OCI_START_SOCK "start.sock"

struct oci_box {
	char *id;
	char *root; /* state root */
	int dir_fd; /* <root>/<id> */
	bool locked;
	char *bundle;  /* absolute */
	char *rootfs;  /* absolute, for people */
	char *created; /* RFC 3339 */
	char *owner;
	json_object *config;   /* document of @spec, or NULL */
	struct ctr_spec *spec; /* or NULL */
	struct ctr ctr;        /* pidfd -1 when init has ended; never freed by ctr_free() */
};

enum oci_status { OCI_CREATING, OCI_CREATED, OCI_RUNNING, OCI_PAUSED, OCI_STOPPED };
extern const char *const oci_status_names[];

#define OCI_BOX_INIT                                                                               \
	{                                                                                          \
		.dir_fd = -1, .ctr = {.pidfd = -1, .console_fd = -1 }                              \
	}

/* The folder of all containers: --root, or the default. */
const char *oci_root(const struct oci *oci, char *buf, size_t size);

/* Makes the folder of a new container, locked, with its config.json. -EEXIST. */
int oci_box_new(const struct oci *oci, const char *id, const char *config, size_t size,
		struct oci_box *box, struct err *err);

/* Writes state.json. */
int oci_box_save(const struct oci_box *box, struct err *err);

/* Opens an existing one; @want_spec also parses its config.json. A folder
 * without state.json is one whose create was killed: ctr.pid is 0 then, and
 * ctr.cgroup is where the cgroup would be. -ENOENT: no such container. */
int oci_box_open(const struct oci *oci, const char *id, bool want_spec, struct oci_box *box,
		 struct err *err);

/* Parses the config.json of an open one into box->spec. */
int oci_box_parse(struct oci_box *box, struct err *err);

/* Locks; -EBUSY when somebody else is at work on it. */
int oci_box_lock(struct oci_box *box, struct err *err);
void oci_box_unlock(struct oci_box *box);

/* Folder of compiled seccomp filters, or -1: it is only a cache. Owned. */
int oci_box_cache(const struct oci_box *box);

enum oci_status oci_box_status(const struct oci_box *box);

/* The state document of runtime.md "State"; owned. */
json_object *oci_box_document(const struct oci_box *box);

/* Removes the folder. */
int oci_box_remove(struct oci_box *box, struct err *err);
void oci_box_fini(struct oci_box *box);
