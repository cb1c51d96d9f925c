/* SPDX-License-Identifier: Apache-2.0 */
/* init - the cloned process on its way to the payload: what it carries from
 * stage to stage.
 *
 * Stages are rows of a table (stages.c, exec.c), each one noun's file. They run
 * in the child, single-threaded; a failure ends the child and is reported with
 * the stage's name over the channel. Nothing here returns into the parent. */
#pragma once

#include "plan.h"
#include "isola/userdb.h"

struct init {
	struct ctr_plan *plan; /* NULL for exec */
	const struct ctr_spec *spec;
	const struct ctr_process *process; /* may be NULL: create only */
	const char *id;
	int sock; /* channel to the parent */
	int gate_fd;
	const struct clone_join *join; /* exec: the container's namespaces */
	int preserve_fds, listen_fds;
	int stdio[3];
	bool make_cwd;
	bool new_keyring;
	bool reaper;
	const struct seccomp_filter *seccomp; /* or NULL */

	int place_fd;  /* where the root is attached at first */
	int root_fd;   /* the container's "/" */
	int proc_fd;   /* a procfs of the container's namespaces that we mounted, or -1 */
	int devpts_fd; /* the container's devpts that we mounted, or -1 */
	int *fs_trees; /* by mount: file systems made here */
	int mask_fd;   /* empty folder, attached, shared by all masked folders; or -1 */
	int slave_fd;  /* terminal */
	struct userdb_entry user;
	char *program; /* path of the payload's file */
	char **env;
	struct ctr_caps caps; /* as far as we can give them */
	bool keeps_admin;     /* CAP_SYS_ADMIN is held for seccomp_install() */
	bool cwd_pending;     /* to be tried again as the user */
};

struct stage {
	const char *name;
	int (*run)(struct init *in, struct err *err);
};

/* Runs @stages up to the sentinel; the last one executes the payload, so this
 * never returns. @progress may be NULL. */
void init_run(struct init *in, const struct stage *stages, volatile unsigned char *progress)
	__attribute__((noreturn));

/* A struct init with nothing open. */
void init_setup(struct init *in, const struct ctr_spec *spec, const struct ctr_process *process);

/* The stages, by file. */

/* stage_start.c */
int stage_guard(struct init *in, struct err *err);
int stage_time(struct init *in, struct err *err);
int stage_ids(struct init *in, struct err *err);
int stage_namespaces(struct init *in, struct err *err);
int stage_network(struct init *in, struct err *err);
int stage_hostname(struct init *in, struct err *err);
int stage_session(struct init *in, struct err *err);
int start_become_root(const struct init *in, struct err *err);

/* stage_root.c */
int stage_place(struct init *in, struct err *err);
int stage_sources(struct init *in, struct err *err);
int stage_root(struct init *in, struct err *err);
int stage_pivot(struct init *in, struct err *err);

/* stage_mounts.c */
int stage_filesystems(struct init *in, struct err *err);
int stage_mounts(struct init *in, struct err *err);

/* stage_dev.c */
int stage_devices(struct init *in, struct err *err);
int stage_console(struct init *in, struct err *err);

/* stage_mask.c */
int stage_mask(struct init *in, struct err *err);

/* stage_proc.c */
int stage_sysctl(struct init *in, struct err *err);
int stage_schedule(struct init *in, struct err *err);
int stage_labels(struct init *in, struct err *err);

/* stage_hooks.c */
int stage_create_hooks(struct init *in, struct err *err);
int stage_start_hooks(struct init *in, struct err *err);

/* stage_user.c */
int stage_user(struct init *in, struct err *err);
int stage_cwd(struct init *in, struct err *err);

/* stage_rights.c */
int stage_rights(struct init *in, struct err *err);
int rights_finish(struct init *in, struct err *err);

/* stage_exec.c */
int stage_descriptors(struct init *in, struct err *err);
int stage_program(struct init *in, struct err *err);
int stage_gate(struct init *in, struct err *err);
int stage_exec(struct init *in, struct err *err);
