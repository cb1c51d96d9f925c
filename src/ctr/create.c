/* SPDX-License-Identifier: Apache-2.0 */
/* create - the parent's side of making a container: ctr_create() of ctr.h.
 *
 *   parent                              init
 *   plan: open, compile, cgroup
 *   clone3 --------------------------->  guard, time
 *   id maps, limits -- CHAN_MAPPED --->  ids, namespaces, network, ...
 *   idmaps, overlay -- CHAN_TREES ---->  root, mounts, devices    (user ns only)
 *   hooks <----------- CHAN_HOOKS -----
 *         ------------ HOOKS_DONE ---->  createContainer, masks, pivot, user, rights
 *   ctr_create() ends <- CHAN_READY ---  gate
 *   ctr_start() ------ CHAN_START ---->  startContainer, exec
 *               <----- end of stream --  (the payload runs)
 */
#include "channel.h"
#include "clone.h"
#include "create.h"
#include "hooks.h"
#include "ids.h"
#include "init.h"
#include "rlimits.h"
#include "overlay.h"
#include "plan.h"
#include "plan_sources.h"
#include "tree.h"

#include "isola/fd.h"
#include "isola/pid.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

static const struct stage stages[] = {
	{ "guard", stage_guard },
	{ "time", stage_time },
	{ "place", stage_place },
	{ "ids", stage_ids },
	{ "namespaces", stage_namespaces },
	{ "network", stage_network },
	{ "hostname", stage_hostname },
	{ "session", stage_session },
	{ "sources", stage_sources },
	{ "filesystems", stage_filesystems },
	{ "root", stage_root },
	{ "mounts", stage_mounts },
	{ "devices", stage_devices },
	{ "console", stage_console },
	{ "hooks", stage_create_hooks },
	{ "sysctl", stage_sysctl },
	{ "mask", stage_mask },
	{ "pivot", stage_pivot },
	{ "user", stage_user },
	{ "labels", stage_labels },
	{ "descriptors", stage_descriptors },
	{ "cwd", stage_cwd },
	{ "schedule", stage_schedule },
	{ "rights", stage_rights },
	{ "program", stage_program },
	{ "gate", stage_gate },
	{ "start-hooks", stage_start_hooks },
	{ "exec", stage_exec },
	{ NULL, NULL },
};

static void init_main(void *arg)
{
	struct ctr_plan *plan = arg;
	const struct ctr_create_args *args = plan->args;
	struct init in;
	init_setup(&in, plan->spec, plan->process);
	in.plan = plan;
	in.id = args->id;
	in.sock = plan->child_sock;
	in.gate_fd = args->gate_fd;
	in.preserve_fds = args->preserve_fds;
	in.listen_fds = args->listen_fds;
	for (int i = 0; i < 3; i++)
		in.stdio[i] = args->stdio[i] >= 0 ? args->stdio[i] : plan->null_fd;
	in.make_cwd = true;
	in.new_keyring = !args->no_new_keyring;
	in.reaper = args->reaper;
	in.seccomp = plan->has_seccomp ? &plan->seccomp : NULL;
	fd_close(&plan->parent_sock);
	init_run(&in, stages, plan->progress);
}

static int clone_init(struct ctr_plan *plan, struct ctr *ctr, struct err *err)
{
	const struct ctr_spec *spec = plan->spec;
	struct clone_join joins[2];
	struct clone_request req = {
		/* Time and cgroup namespaces are entered by init itself, see
		 * stage_time() and stage_namespaces(). */
		.flags = (uint64_t)ctr_spec_clone_flags(spec) &
			 ~(uint64_t)(CLONE_NEWTIME | CLONE_NEWCGROUP),
		.cgroup_fd = plan->cgroup_fd,
		.joins = joins,
		.run = init_main,
		.arg = plan,
	};
	for (int i = CTR_NS_USER; i <= CTR_NS_PID; i++)
		if (plan->ns_fds[i] >= 0)
			joins[req.n_joins++] =
				(struct clone_join){ plan->ns_fds[i], ctr_ns_types[i].clone_flag,
						     spec->ns[i].path };
	ctr->pid = clone_run(&req, &ctr->pidfd, err);
	fd_close(&plan->child_sock);
	return ctr->pid < 0 ? ctr->pid : pid_start_ticks(ctr->pid, &ctr->start_ticks, NULL);
}

/* ---- what needs init's namespaces ---- */

/* @ret_userns: init's user namespace, if it has one of its own; owned. Opened
 * before init goes on: then it is undumpable, and closed to an ordinary user. */
static int map_ids(const struct ctr_plan *plan, pid_t pid, int *ret_userns, struct err *err)
{
	const struct ctr_spec *spec = plan->spec;
	int rc = plan->process ? limits_raise(pid, plan->process, err) : 0;
	if (rc == 0 && ctr_spec_has_new(spec, CTR_NS_USER))
		rc = ids_write_maps(pid, &spec->uid_maps, &spec->gid_maps, err);
	if (rc == 0 && spec->ns[CTR_NS_USER].mode != CTR_NS_HOST)
		ids_give_stdio(pid, plan->args->stdio);
	if (rc < 0 || !plan->userns)
		return rc;
	rc = ids_open_userns(pid, err);
	if (rc < 0)
		return rc;
	*ret_userns = rc;
	rc = chan_send(plan->parent_sock, CHAN_MAPPED, 0, NULL, 0);
	return rc < 0 ? err_rc(err, rc, "the container's init died") : 0;
}

static int idmap_mount(const struct ctr_plan *plan, size_t i, int userns_fd, struct err *err)
{
	const struct ctr_mount *m = &plan->spec->mounts[i];
	if (m->idmap == CTR_IDMAP_NO || plan->mounts[i].tree < 0)
		return 0;
	int rc = plan_idmap_bind(m, plan->mounts[i].tree, userns_fd, err);
	return rc < 0 ? err_prefix(err, "mounts[%zu] (%s)", i, m->destination) : 0;
}

/* @userns: init's user namespace, or -1. */
static int make_trees(struct ctr_plan *plan, pid_t pid, int userns, struct err *err)
{
	const struct ctr_root *root = &plan->args->root;
	struct overlay_ids ids = { .userns_fd = -1 };
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < plan->spec->n_mounts && plan->mounts; i++)
		rc = idmap_mount(plan, i, userns, err);
	if (rc < 0 || root->n_lower == 0)
		return rc;
	if (plan->userns) {
		ids.userns_fd = userns;
		rc = ids_root_of(pid, &ids.uid, &ids.gid, err);
		if (rc < 0)
			return rc;
	}
	plan->root_tree = overlay_make(root, &ids, err);
	return plan->root_tree < 0 ? plan->root_tree : 0;
}

/* With a user namespace init waits for what only its maps make possible. */
static int finish_trees(struct ctr_plan *plan, pid_t pid, int userns, struct err *err)
{
	if (!plan->userns)
		return 0;
	int rc = make_trees(plan, pid, userns, err);
	if (rc < 0)
		return rc;
	bool send = plan->args->root.n_lower > 0;
	rc = chan_send(plan->parent_sock, CHAN_TREES, 0, &plan->root_tree, send ? 1 : 0);
	return rc < 0 ? err_rc(err, rc, "the container's init died") : 0;
}

/* ---- the conversation ---- */

static int run_hooks(const struct ctr_plan *plan, const struct ctr *ctr, struct err *err)
{
	const struct hook_state state = {
		.id = ctr->id,
		.status = "creating",
		.pid = ctr->pid,
		.bundle = plan->args->bundle_path,
	};
	int rc = hooks_run(plan->spec, CTR_HOOK_PRESTART, &state, err);
	if (rc == 0)
		rc = hooks_run(plan->spec, CTR_HOOK_CREATE_RUNTIME, &state, err);
	if (rc < 0)
		return rc;
	rc = chan_send(plan->parent_sock, CHAN_HOOKS_DONE, 0, NULL, 0);
	return rc < 0 ? err_rc(err, rc, "the container's init died") : 0;
}

/* End of stream without a word: init was killed. Says in which stage. */
static int explain_death(const struct ctr_plan *plan, const struct ctr *ctr, struct err *err)
{
	siginfo_t info = { .si_pid = 0 };
	unsigned char stage = *plan->progress;
	const char *name =
		stage < sizeof(stages) / sizeof(stages[0]) - 1 ? stages[stage].name : "?";
	(void)pid_wait_end(ctr->pidfd, 1000);
	if (waitid(P_PIDFD, (id_t)ctr->pidfd, &info, WEXITED | WNOHANG | WNOWAIT) < 0)
		info.si_status = 0;
	if (info.si_code == CLD_KILLED || info.si_code == CLD_DUMPED)
		return err_set(
			err, ECHILD, "the container's init was killed by signal %d in stage %s%s",
			info.si_status, name, info.si_status == SIGKILL ? " (out of memory?)" : "");
	return err_set(err, ECHILD, "the container's init died in stage %s", name);
}

static int converse(struct ctr_plan *plan, struct ctr *ctr, struct err *err)
{
	for (;;) {
		struct chan_msg msg;
		int fd = -1, rc;
		size_t n = 0;
		rc = chan_recv(plan->parent_sock, &msg, &fd, 1, &n);
		if (rc < 0)
			return err_rc(err, rc, "cannot hear the container's init");
		if (rc == 0)
			return explain_death(plan, ctr, err);
		if (msg.type == CHAN_CONSOLE && n == 1 && ctr->console_fd < 0) {
			ctr->console_fd = fd;
			continue;
		}
		fd_close(&fd);
		switch (msg.type) {
		case CHAN_READY:
			return 0;
		case CHAN_ERROR:
			return err_set(err, msg.value, "%s", msg.text);
		case CHAN_HOOKS:
			rc = run_hooks(plan, ctr, err);
			break;
		default:
			rc = err_set(err, EPROTO, "unexpected message %d from init", msg.type);
		}
		if (rc < 0)
			return rc;
	}
}

static struct ctr *ctr_new(const struct ctr_create_args *args)
{
	struct ctr *ctr = calloc(1, sizeof(*ctr));
	struct ctr_gate *gate = calloc(1, sizeof(*gate));
	char *id = strdup(args->id), *bundle = strdup(args->bundle_path);
	if (!ctr || !gate || !id || !bundle) {
		free(ctr);
		free(gate);
		free(id);
		free(bundle);
		return NULL;
	}
	*gate = (struct ctr_gate){ .sock = -1, .external = args->gate_fd >= 0, .bundle = bundle };
	ctr->id = id;
	ctr->pidfd = ctr->console_fd = -1;
	ctr->gate = gate;
	return ctr;
}

static int make_container(struct ctr_plan *plan, struct ctr *ctr, struct err *err)
{
	cleanup_fd int userns = -1;
	int rc = plan_prepare(plan, err);
	if (rc == 0 && plan->cgroup && !(ctr->cgroup = strdup(plan->cgroup)))
		rc = err_set(err, ENOMEM, "out of memory");
	if (rc == 0 && !plan->userns)
		rc = make_trees(plan, 0, -1, err);
	if (rc == 0)
		rc = clone_init(plan, ctr, err);
	if (rc == 0)
		rc = map_ids(plan, ctr->pid, &userns, err);
	if (rc == 0)
		rc = finish_trees(plan, ctr->pid, userns, err);
	if (rc == 0 && plan->args->on_cloned)
		rc = plan->args->on_cloned(ctr, plan->args->on_cloned_arg, err);
	if (rc == 0)
		rc = converse(plan, ctr, err);
	return rc;
}

/* An init that failed says why better than we, whose message it did not take. */
static void prefer_word_of_init(const struct ctr_plan *plan, struct err *err)
{
	struct chan_msg msg;
	int fd = -1;
	while (err && err->code == EPIPE && plan->parent_sock >= 0 &&
	       chan_recv(plan->parent_sock, &msg, &fd, 1, NULL) > 0) {
		fd_close(&fd);
		if (msg.type == CHAN_ERROR)
			(void)err_set(err, msg.value, "%s", msg.text);
	}
}

int ctr_create(const struct ctr_create_args *args, struct ctr **ret, struct err *err)
{
	struct ctr_plan plan;
	struct ctr *ctr = ctr_new(args);
	if (!ctr)
		return err_set(err, ENOMEM, "out of memory");
	plan_init(&plan, args);
	int rc = make_container(&plan, ctr, err);
	if (rc < 0) {
		prefer_word_of_init(&plan, err);
		clone_kill(&ctr->pidfd);
		plan_undo(&plan);
		plan_fini(&plan);
		ctr_free(ctr);
		return rc;
	}
	ctr->gate->sock = take_fd(&plan.parent_sock);
	plan_fini(&plan);
	*ret = ctr;
	return 0;
}
