/* SPDX-License-Identifier: Apache-2.0 */
/* child - processes that isolad starts and their end, by pidfd: no SIGCHLD, no
 * wait for any pid, so nobody reaps somebody else's child. Loop thread.
 *
 * A child gets descriptors 0-2 and what child_args names, nothing else: all
 * of isolad's are close-on-exec. It runs in a session of its own and outlives
 * isolad. */
#pragma once

#include "isola/daemon.h"

enum program {
	PROGRAM_KEEPER,
	PROGRAM_IMAGE,
	PROGRAM_VMM,
	PROGRAM_DHCP,
	PROGRAM_RESOLVER,
	PROGRAM_COUNT,
};

/* The helper programs, opened once at start: a detached read-only bind mount of
 * the file (so that nothing that reaches /proc/<pid>/exe of a child can write to
 * it, CVE-2019-5736), or the file itself where the kernel refuses that. */
struct programs {
	int fds[PROGRAM_COUNT]; /* O_PATH, -1 when not found */
	char *paths[PROGRAM_COUNT];
};

struct config;

void programs_init(struct programs *p);
/* Looks at the configured path, beside isolad, then in libexecdir. A missing
 * program is reported when it is needed. */
int programs_open(struct programs *p, const struct config *config, struct err *err);
void programs_close(struct programs *p);
const char *program_name(enum program program);

struct child;
/* @status: as waitpid(2) gives it; -1 when the process is no child of ours. The
 * child is freed behind this call. */
typedef void child_exit_fn(void *arg, int status);

struct child_args {
	enum program program;
	const char *const *argv; /* argv[0] included, NULL at the end */
	int stdin_fd, stdout_fd; /* borrowed; -1 = /dev/null */
	int fd3;                 /* becomes descriptor 3; borrowed; -1 = none */
	int fd4;                 /* the same of 4; 0 = none */
};

/* Returns at once (vfork speed). @ret is valid until @on_exit was called. */
int child_spawn(struct isolad *d, const struct child_args *args, child_exit_fn *on_exit, void *arg,
		struct child **ret, struct err *err);
/* Watches a process that an earlier isolad started. @pidfd is taken. */
int child_adopt(struct isolad *d, pid_t pid, int pidfd, child_exit_fn *on_exit, void *arg,
		struct child **ret, struct err *err);

pid_t child_pid(const struct child *child);
int child_kill(struct child *child, int signo);
/* Tells somebody else of its end. */
void child_hand_over(struct child *child, child_exit_fn *on_exit, void *arg);
/* Nobody is told of its end any more; it is still reaped. NULL is fine. */
void child_forget(struct child *child);
/* Forgets all, unreaped, at the end of isolad, which they outlive. Every struct
 * child is invalid afterwards. */
void children_close(struct isolad *d);
