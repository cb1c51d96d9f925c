/* SPDX-License-Identifier: Apache-2.0 */
/* ctr - the container library: an OCI runtime-spec 1.2 config.json becomes a
 * running container. Used by isola-keeper and isola-oci; it needs no daemon.
 *
 * Life of a container here:
 *
 *   spec_parse -> ctr_create -> [init waits at the start gate] -> ctr_start
 *        |            |                                              |
 *    no side        clone3 into the cgroup, stages in               payload
 *    effects        init (named, so a hang says where)              runs
 *
 * and ctr_delete removes what create made, at whatever stage it stopped. All
 * calls block; single-threaded callers only (init is cloned from the caller).
 * Nothing here logs; every failure is an errno and a sentence. */
#pragma once

#include "isola/err.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Executes this very program anew from a read-only place that no container can
 * write to (CVE-2019-5736), unless it runs from one already: the first call of a
 * main() that clones containers. @argv: main's. Returns 0 when protected. */
int ctr_protect_self(char **argv, struct err *err);

/* Option of a bind mount in config.json, ours: "isola.subpath=a/b" binds what that
 * is below the source, opened without following a link: what lies there may belong
 * to a container. */
#define CTR_SUBPATH "isola.subpath="

/* Option of a bind mount of a file, ours: "isola.memory=UID:GID:MODE" (host's ids, octal
 * mode) binds a copy of it, at most CTR_MEMORY_BYTES, on a ramfs made for it. */
#define CTR_MEMORY       "isola.memory="
#define CTR_MEMORY_BYTES (1024 * 1024)

/* ---- what to run ------------------------------------------------------- */

/* A parsed, checked config.json; immutable. Unknown properties are ignored,
 * invalid values refused here, before any side effect. Layout: src/ctr/spec.h. */
struct ctr_spec;

/* @doc: the config.json document. The result keeps a reference to it and points
 * into it: do not change it while that lives. Returns owned. -EINVAL names the
 * property ("process.rlimits[0].type: unknown RLIMIT_FOO"). */
int ctr_spec_parse(json_object *doc, struct ctr_spec **ret, struct err *err);
void ctr_spec_free(struct ctr_spec *spec);

/* The "process" object alone, as exec takes it. */
struct ctr_process;
int ctr_process_parse(json_object *doc, struct ctr_process **ret, struct err *err);
void ctr_process_free(struct ctr_process *process);

bool ctr_process_terminal(const struct ctr_process *process);
/* The resource of setrlimit(2) that a "type" of process.rlimits names ("RLIMIT_NOFILE");
 * -1: none. Any thread. */
int ctr_rlimit_resource(const char *name);
/* linux.seccomp, borrowed; may be NULL. */
json_object *ctr_spec_seccomp(const struct ctr_spec *spec);
const struct ctr_process *ctr_spec_process(const struct ctr_spec *spec); /* borrowed; may be NULL */

/* What becomes "/". With @n_lower > 0 an overlay is built from descriptors:
 * @lower_fds are O_PATH folders, topmost first; @upper_fd and @work_fd are -1
 * for a read-only root. Otherwise spec.root.path is used, relative to the
 * bundle. Layers are idmapped into the container's user namespace when it has
 * one: on disk, files keep the image's own ids. All borrowed. */
struct ctr_root {
	const int *lower_fds;
	size_t n_lower;
	int upper_fd, work_fd;
	bool volatile_upper; /* overlay "volatile": no sync on unmount */
};

struct ctr;

struct ctr_create_args {
	const char *id;
	const struct ctr_spec *spec;
	struct ctr_root root;
	int bundle_fd;           /* folder of config.json */
	const char *bundle_path; /* absolute; told to hooks */
	/* cgroup below the cgroup2 mount ("/isola/ab12"); NULL = linux.cgroupsPath
	 * of the spec, or, when that is absent, "/isola-oci/<id>". */
	const char *cgroup;
	bool cgroup_optional; /* may we not make one, it runs in ours (rootless) */
	int stdio[3];         /* given to the payload; -1 = /dev/null. Unused with a terminal */
	int preserve_fds;     /* 3 .. 3+n-1 reach the payload */
	int listen_fds;       /* > 0: told to the payload as LISTEN_FDS, with LISTEN_PID */
	int cache_fd;         /* private folder for compiled seccomp filters, or -1 */
	/* Listening SOCK_SEQPACKET Unix socket at which init waits before the exec,
	 * for a caller that ends before the start: call ctr_let_go(), and later
	 * ctr_gate_open() on a connection to it. -1 = ctr_start() opens the gate,
	 * and init dies with its parent until then. */
	int gate_fd;
	bool no_new_keyring, no_pivot;
	bool reaper;     /* run the payload under a tiny init of ours (--init) */
	bool no_devices; /* /dev stays as root and mounts have it: whoever gets the root fills it */
	/* Called once the pid is known, while init is still at work: the moment
	 * to write it down. @ctr is borrowed, complete but for console_fd. An
	 * error undoes all. NULL = none. */
	int (*on_cloned)(const struct ctr *ctr, void *arg, struct err *err);
	void *on_cloned_arg;
};

/* A container as its parent sees it. */
struct ctr {
	char *id;
	pid_t pid; /* of init, in our pid namespace */
	int pidfd;
	int console_fd;       /* pty master, -1 without a terminal */
	char *cgroup;         /* below the cgroup2 mount; NULL = none used */
	uint64_t start_ticks; /* /proc/<pid>/stat field 22: tells a reused pid */
	struct ctr_gate *gate;
};

/* Path of the cgroup that ctr_create() makes when args.cgroup is NULL; owned. */
char *ctr_cgroup_path(const struct ctr_spec *spec, const char *id);

/* Makes everything up to, not including, the exec of the payload: cgroup and
 * limits, namespaces, root, mounts, hooks up to createContainer. On failure
 * everything it made is gone again. @ret is owned. */
int ctr_create(const struct ctr_create_args *args, struct ctr **ret, struct err *err);

/* Opens the gate; returns once the payload's exec happened, and the poststart
 * hooks ran. On failure err->code tells the shell's code: ENOENT 127,
 * EACCES/ENOEXEC/EISDIR 126, and init is dead (ctr_delete() still to be called). */
int ctr_start(struct ctr *ctr, const struct ctr_spec *spec, struct err *err);

/* With args.gate_fd: from now on init lives on when we end. The last step of a
 * create, after all about the container is on disk. */
int ctr_let_go(struct ctr *ctr, struct err *err);

/* ctr_start() for a gate of another process (isola-oci start). @sock: connected
 * to the gate; taken. @ctr: id and pid are enough. @bundle_path: for hooks. */
int ctr_gate_open(int sock, const struct ctr *ctr, const struct ctr_spec *spec,
		  const char *bundle_path, struct err *err);

/* Joins a running container and starts one more process there. */
struct ctr_exec_args {
	const char *id;     /* of the container; names the session keyring. NULL = a new one */
	pid_t pid;          /* of init */
	int pidfd;          /* of init; -1 = opened from @pid */
	const char *cgroup; /* of the container, or one below it; NULL = the caller's */
	const struct ctr_spec *spec; /* of the container: user namespace, seccomp */
	const struct ctr_process *process;
	int stdio[3];
	int preserve_fds;
	int cache_fd;
	bool no_new_keyring;
	bool into_paused; /* a paused container: wait until it is resumed; else -EBUSY */
	bool privileged;  /* caller asked for all capabilities (docker exec --privileged) */
};

struct ctr_child {
	pid_t pid;
	int pidfd;
	int console_fd; /* pty master or -1 */
};

/* Returns once the process has executed. Errors as ctr_start(). The caller is
 * the child's parent and reaps it. */
int ctr_exec(const struct ctr_exec_args *args, struct ctr_child *ret, struct err *err);

/* Where it is instead, when the container's root is @root_fd, a folder of the host that it
 * cannot write to itself: what is missing of @path is made there. */
struct ctr_live_place {
	int root_fd;
	const char *path;
};

/* A mount in a running container that has a mount namespace of its own. */
struct ctr_live_args {
	pid_t pid; /* of init */
	int pidfd;
	const struct ctr_spec *spec;        /* of the container: its user namespace */
	const struct ctr_live_place *place; /* NULL: the mount's destination */
};

/* @mount: an item of "mounts" of config.json, a bind or a new file system. Its place is
 * resolved inside the container's root, whatever the container does meanwhile, and made
 * where nothing is, with the rights of the container's root. @make_source: a missing
 * folder of the host is made, mode 0755. Works on a paused container, too. Gives up after
 * ten seconds (-ETIMEDOUT): a file system may hang. */
int ctr_mount(const struct ctr_live_args *args, json_object *mount, bool make_source,
	      struct err *err);

/* Detaches what is mounted at the place of @mount, if that is what @mount says: a bind of
 * the same source, or a file system of its type at a path without links. Else -EBUSY:
 * the container may have moved things. -EINVAL: nothing is mounted there. */
int ctr_unmount(const struct ctr_live_args *args, json_object *mount, struct err *err);

/* Kills what is left, removes the cgroup, runs poststop hooks. A missing part
 * is fine. Frees nothing of @ctr but what the kernel holds. */
int ctr_delete(struct ctr *ctr, const struct ctr_spec *spec, struct err *err);
/* The same for a @ctr that was not made by this process; @bundle_path: for hooks. */
int ctr_delete_at(struct ctr *ctr, const struct ctr_spec *spec, const char *bundle_path,
		  struct err *err);
void ctr_free(struct ctr *ctr);

/* Sends @signo to init by pidfd; with @all, to every process of the cgroup. */
int ctr_kill(const struct ctr *ctr, int signo, bool all, struct err *err);

/* cgroup.freeze; returns when the kernel reports it (bounded; thaws on failure). */
int ctr_freeze(const struct ctr *ctr, bool frozen, struct err *err);

/* Applies an OCI linux.resources object to the running container: checked whole
 * before the first write. */
int ctr_update(const struct ctr *ctr, json_object *resources, struct err *err);

/* The default config.json of `isola-oci spec`; owned. */
json_object *ctr_spec_default(bool rootless);
/* The features document (runtime-spec features.md); owned. */
json_object *ctr_features(void);
/* The default seccomp profile as an OCI linux.seccomp object for a process with
 * these capabilities ("CAP_..." strings, array); owned. */
json_object *ctr_seccomp_default(json_object *caps, struct err *err);
