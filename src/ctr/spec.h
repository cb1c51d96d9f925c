/* SPDX-License-Identifier: Apache-2.0 */
/* spec - config.json of the OCI runtime-spec 1.2, parsed and checked.
 *
 * Everything the stages need is decided here and immutable afterwards. Strings
 * are never NULL unless a comment says "or NULL". They point into the JSON
 * document, of which the spec keeps a reference: nobody may change the document
 * while a spec of it lives. Arrays come from one arena that ctr_spec_free()
 * drops; argv-like ones end with NULL.
 *
 * "Checked" means types, ranges, grammar, names, and what contradicts itself.
 * What only the host can tell (a missing controller, an unmapped id) is found
 * where it is used. Cross references: config.md (C), config-linux.md (L). */
#pragma once

#include "isola/ctr.h"

#include <sched.h>
#include <stdint.h>
#include <sys/mount.h>

struct spec_mem; /* the arena, spec_mem.h */

/* ---- namespaces (L "Namespaces") ---- */

/* In the order in which they are joined: the user namespace first, so that the
 * others may be owned by it; the mount namespace last, as it changes paths. */
enum ctr_ns {
	CTR_NS_USER,
	CTR_NS_PID,
	CTR_NS_NET,
	CTR_NS_IPC,
	CTR_NS_UTS,
	CTR_NS_CGROUP,
	CTR_NS_TIME,
	CTR_NS_MOUNT,
	CTR_NS_COUNT,
};

enum ctr_ns_mode {
	CTR_NS_HOST, /* not listed: the caller's */
	CTR_NS_NEW,
	CTR_NS_JOIN, /* by path */
};

struct ctr_namespace {
	enum ctr_ns_mode mode;
	const char *path; /* absolute, with CTR_NS_JOIN; else NULL */
};

/* Names of the types, by enum ctr_ns. */
struct ctr_ns_type {
	const char *name; /* in config.json: "network" */
	const char *proc; /* in /proc/<pid>/ns: "net" */
	int clone_flag;   /* CLONE_NEW* */
};
extern const struct ctr_ns_type ctr_ns_types[CTR_NS_COUNT];

/* One line of uid_map (L "User namespace mappings"). */
struct ctr_idmap {
	uint32_t container_id, host_id, size;
};

struct ctr_idmaps {
	const struct ctr_idmap *items;
	size_t n;
};

struct ctr_time_offset {
	const char *clock; /* "monotonic" or "boottime" */
	int64_t secs;
	uint32_t nanosecs;
};

/* ---- mounts (C "Mounts") ---- */

/* One argument of fsconfig(2). */
struct ctr_mount_param {
	const char *key;
	const char *value; /* NULL: a flag */
};

enum ctr_mount_idmap { CTR_IDMAP_NO, CTR_IDMAP_TOP, CTR_IDMAP_RECURSIVE };

#define CTR_PROPAGATIONS_MAX 4

struct ctr_mount {
	const char *destination; /* in the container; not cleaned, may hold ".." and links */
	const char *type;        /* "" when absent; "none" or "bind" also for binds */
	const char *source;      /* "" when absent; relative = to the bundle, for binds */
	bool bind;               /* option bind or rbind, or type "bind" */
	bool recursive;          /* rbind */
	const char *subpath;     /* of a bind: below @source, without links; or NULL */
	bool memory;             /* a bind: of a copy in memory, as these say */
	uid_t memory_uid;
	gid_t memory_gid;
	mode_t memory_mode;
	bool remount;   /* changes the mount that is at @destination */
	bool tmpcopyup; /* tmpfs gets what the image has there */
	/* MOUNT_ATTR_* for mount_setattr(2) or fsmount(2). A changed atime class
	 * has MOUNT_ATTR__ATIME in @attr_clr, as the kernel wants it. */
	uint64_t attr_set, attr_clr;
	uint64_t rec_attr_set, rec_attr_clr; /* the same with AT_RECURSIVE (rro, rnosuid...) */
	/* Propagation changes in the order given: MS_{SHARED,SLAVE,PRIVATE,
	 * UNBINDABLE}, with MS_REC for the r forms. */
	unsigned long propagation[CTR_PROPAGATIONS_MAX];
	size_t n_propagation;
	/* Options of the file system, superblock flags ("sync") included, as
	 * fsconfig(2) wants them. Empty for binds. "ro" is only in @attr_set: the
	 * superblock may be shared. */
	const struct ctr_mount_param *params;
	size_t n_params;
	/* The same without the superblock flags as mount(2) wants it ("a=b,c"), and
	 * these as MS_*: for values beyond fsconfig's 256 bytes. */
	const char *data;
	unsigned long sb_flags;
	enum ctr_mount_idmap idmap;
	struct ctr_idmaps uid_maps, gid_maps; /* empty with @idmap: the container's own */
};

/* ---- process (C "Process") ---- */

struct ctr_rlimit {
	int resource; /* RLIMIT_* */
	const char *name;
	uint64_t soft, hard; /* RLIM_INFINITY = unlimited */
};

/* Bit n = capability n. Only capabilities that the kernel has. */
struct ctr_caps {
	uint64_t bounding, effective, permitted, inheritable, ambient;
};

struct ctr_scheduler { /* sched_setattr(2) */
	bool set;
	uint32_t policy; /* SCHED_* */
	int32_t nice;
	uint32_t priority;
	uint64_t flags; /* SCHED_FLAG_* */
	uint64_t runtime_ns, deadline_ns, period_ns;
};

struct ctr_process {
	struct spec_mem *mem; /* its own when parsed alone, else NULL */
	json_object *doc;     /* the same */
	bool terminal;
	uint16_t rows, columns; /* consoleSize; 0 = not given */
	uid_t uid;
	gid_t gid;
	int umask; /* -1 = not given (runtime's default 0022) */
	const gid_t *groups;
	size_t n_groups;
	/* user."org.isola.user": "name[:group]" or "uid[:gid]", to be looked up in
	 * the root's passwd and group files; it overrides uid, gid, and adds the
	 * user's own groups to @groups. NULL = use the numbers. Grammar: each
	 * part not empty, a number below 2^32-1 or a name [A-Za-z0-9_.-]+ of at
	 * most 255 bytes, also with a trailing "$", not beginning with "-". */
	const char *user;
	char **args; /* at least one */
	size_t n_args;
	char **env; /* each "NAME=value" */
	size_t n_env;
	const char *cwd; /* absolute */
	struct ctr_caps caps;
	const char *unknown_caps; /* "CAP_FOO CAP_BAR": dropped, to be logged; or NULL */
	const struct ctr_rlimit *rlimits;
	size_t n_rlimits;
	bool no_new_privileges;
	bool oom_score_adj_set;
	int oom_score_adj;
	const char *apparmor_profile; /* or NULL; only where the host has AppArmor */
	const char *selinux_label;    /* or NULL; only where the host has SELinux */
	struct ctr_scheduler scheduler;
	int ioprio; /* value for ioprio_set(2), or -1 */
	/* execCPUAffinity: CPUs before the cgroup is entered, and of the payload;
	 * NULL = not given. Only exec uses them (spec 1.2). */
	const cpu_set_t *affinity_initial, *affinity_final;
};

/* ---- hooks (C "POSIX-platform Hooks") ---- */

enum ctr_hook_kind {
	CTR_HOOK_PRESTART,
	CTR_HOOK_CREATE_RUNTIME,
	CTR_HOOK_CREATE_CONTAINER,
	CTR_HOOK_START_CONTAINER,
	CTR_HOOK_POSTSTART,
	CTR_HOOK_POSTSTOP,
	CTR_HOOK_KINDS,
};
extern const char *const ctr_hook_names[CTR_HOOK_KINDS]; /* "createRuntime" */

struct ctr_hook {
	const char *path; /* absolute */
	char **args;      /* argv; { path, NULL } when not given */
	char **env;       /* { NULL } when not given */
	int timeout_s;    /* 0 = none */
};

struct ctr_hooks {
	const struct ctr_hook *items;
	size_t n;
};

/* ---- linux ---- */

struct ctr_device {       /* L "Devices"; a node to make in the container */
	const char *path; /* absolute */
	mode_t mode;      /* S_IFCHR, S_IFBLK or S_IFIFO, and permissions */
	unsigned int major, minor;
	uid_t uid; /* container's */
	gid_t gid;
};

struct ctr_sysctl {
	const char *key;  /* as given: "net.ipv4.ip_forward" or with slashes */
	const char *path; /* below /proc/sys: "net/ipv4/ip_forward"; no ".." */
	const char *value;
};

struct ctr_spec {
	struct spec_mem *mem;
	json_object *doc;

	const char *root_path; /* relative = to the bundle */
	bool root_readonly;
	const struct ctr_mount *mounts;
	size_t n_mounts;
	struct ctr_process *process; /* or NULL: create only */
	const char *hostname;        /* or NULL */
	const char *domainname;      /* or NULL */
	struct ctr_hooks hooks[CTR_HOOK_KINDS];
	json_object *annotations; /* object of strings, or NULL */

	struct ctr_namespace ns[CTR_NS_COUNT];
	struct ctr_idmaps uid_maps, gid_maps;
	const struct ctr_time_offset *time_offsets;
	size_t n_time_offsets;
	const struct ctr_device *devices;
	size_t n_devices;
	const char *cgroups_path;         /* or NULL; no ".." in it, may be relative */
	json_object *resources;           /* for cgroup_resources(); or NULL */
	json_object *resources_devices;   /* for cgroup_devices(); or NULL: do not guard. Made
					 * up when none are given but nodes could be made. */
	json_object *own_devices;         /* the same, when made up; or NULL */
	unsigned long rootfs_propagation; /* MS_* and maybe MS_REC; 0 = not given */
	json_object *seccomp;             /* for seccomp_filter_load(); or NULL */
	const struct ctr_sysctl *sysctls;
	size_t n_sysctls;
	char **masked_paths, **readonly_paths; /* absolute; never NULL */
	size_t n_masked_paths, n_readonly_paths;
	const char *mount_label; /* or NULL; only where the host has SELinux */
	bool personality_set;
	unsigned long personality; /* for personality(2) */
};

/* An item of "mounts" alone, as a spec of nothing but it. Freed with ctr_spec_free(). */
int ctr_spec_parse_mount(json_object *mount, struct ctr_spec **ret, struct err *err);

/* Whether the spec asks for a new namespace of this type. */
static inline bool ctr_spec_has_new(const struct ctr_spec *spec, enum ctr_ns ns)
{
	return spec->ns[ns].mode == CTR_NS_NEW;
}

/* CLONE_NEW* of all new namespaces. CLONE_NEWTIME is among them; the offsets can
 * only be written when it goes to unshare(2), before a child is in it. */
int ctr_spec_clone_flags(const struct ctr_spec *spec);
