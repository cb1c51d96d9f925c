/* SPDX-License-Identifier: Apache-2.0 */
/* spec - what the host asks for, taken apart. Pure: nothing is done, nothing of the
 * guest is looked at. All borrows from the frame's body. */
#pragma once

#include "isola/err.h"
#include "isola/guest.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SPEC_STRINGS_MAX 65536 /* arguments, or variables */

struct body {
	const uint8_t *data;
	size_t size;
};

/* Of GUEST_RUN and GUEST_EXEC. */
struct process_spec {
	uint64_t id;
	char **args, **env; /* NULL at the end; the arrays are owned */
	size_t n_args, n_env, n_groups, n_rlimits;
	const char *cwd, *user; /* user NULL: uid and gid */
	uint32_t uid, gid;
	uint32_t *groups; /* owned */
	int umask;
	struct {
		uint64_t bounding, effective, permitted, inheritable, ambient;
	} caps;
	bool no_new_privs, tty, make_cwd, reaper, has_oom_score;
	int oom_score;
	unsigned int streams; /* bits */
	uint16_t rows, columns;
	const uint8_t *seccomp; /* struct sock_filter[]; not aligned */
	size_t n_seccomp;
	struct body rlimits; /* the whole body; only GF_RLIMIT counts */
};

/* -EPROTO, or -ENOMEM: what was made is freed. */
int process_spec_parse(const uint8_t *data, size_t size, struct process_spec *ret, struct err *err);
void process_spec_fini(struct process_spec *spec);

/* Of GF_RLIMIT: 0 or -EPROTO. */
struct rlimit_spec {
	uint64_t resource, soft, hard;
};
int rlimit_spec_parse(const uint8_t *data, size_t size, struct rlimit_spec *ret);

/* Of GF_ROOT, GF_IMAGE and GF_MOUNT. */
struct mount_spec {
	const char *target, *type, *source, *data; /* target: "" for the root */
	unsigned long flags;
};
/* A "bind" with a target has a source that is a path without ".." and its first slash. */
int mount_spec_parse(const uint8_t *data, size_t size, struct mount_spec *ret);

/* Of the first piece of a copy. */
struct copy_spec {
	const char *target, *name, *user; /* user NULL: owners are the archive's */
	uint64_t entries_max;
	bool keep_kinds;
	size_t n_mounts;
	struct body fields; /* GF_MOUNT, which are as they should be */
};
int copy_spec_parse(const uint8_t *data, size_t size, struct copy_spec *ret, struct err *err);
/* Of a GF_MOUNT in it. */
int copy_mount_parse(const uint8_t *data, size_t size, struct mount_spec *ret);

/* Of GUEST_MOUNT and GUEST_UNMOUNT: a tmpfs, a "bind" of what is served, or "none": the
 * host's in the root. */
struct live_spec {
	uint64_t id;
	struct mount_spec mount;
	uint64_t inode; /* of what the host has there */
};
int live_spec_parse(const uint8_t *data, size_t size, struct live_spec *ret, struct err *err);

/* Of GF_DEVICE. */
struct device_spec {
	const char *target;
	uint32_t mode, major, minor, uid, gid;
};
int device_spec_parse(const uint8_t *data, size_t size, struct device_spec *ret);

/* Of GF_LIMIT. */
struct limit_spec {
	const char *file, *value; /* a name without slashes that does not begin with a dot */
};
int limit_spec_parse(const uint8_t *data, size_t size, struct limit_spec *ret);

/* An address, with "/PREFIX" or without. 0 or -EPROTO. */
struct ip_spec {
	int family; /* AF_INET, AF_INET6 */
	unsigned int prefix;
	uint8_t bytes[16];
	unsigned short size;
};
int ip_spec_parse(const char *text, bool with_prefix, struct ip_spec *ret);

/* Of GF_LINK. */
struct link_spec {
	const char *name;
	bool has_mac;
	uint8_t mac[6];
	unsigned int mtu;   /* 0: as it is */
	struct body fields; /* GF_ADDRESS and GF_GATEWAY, which are as they should be */
};
int link_spec_parse(const uint8_t *data, size_t size, struct link_spec *ret);

/* Looks at all fields of GUEST_SETUP: afterwards parsing a part of it does not fail. */
int setup_spec_check(const uint8_t *data, size_t size, struct err *err);

/* Whether @path begins at "/" and has no "..": all that is a path here. */
bool spec_is_path(const char *path);
