/* SPDX-License-Identifier: Apache-2.0 */
/* life - what is done to a container that exists: kill, freeze, update, delete
 * of ctr.h. */
#include "channel.h"
#include "create.h"
#include "hooks.h"

#include "isola/cgroup.h"
#include "isola/fd.h"
#include "isola/json.h"
#include "isola/pid.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#define FREEZE_MS  10000
#define DESTROY_MS 10000
#define DEATH_MS   10000

void ctr_free(struct ctr *ctr)
{
	if (!ctr)
		return;
	fd_close(&ctr->pidfd);
	fd_close(&ctr->console_fd);
	if (ctr->gate) {
		fd_close(&ctr->gate->sock);
		free(ctr->gate->bundle);
		free(ctr->gate);
	}
	free(ctr->cgroup);
	free(ctr->id);
	free(ctr);
}

static int open_cgroup(const struct ctr *ctr, struct err *err)
{
	if (!ctr->cgroup)
		return err_set(err, EOPNOTSUPP, "container %s has no cgroup of its own", ctr->id);
	int fd = cgroup_open(ctr->cgroup);
	return fd < 0 ? err_rc(err, fd, "cannot open cgroup %s", ctr->cgroup) : fd;
}

static int kill_one(pid_t pid, void *arg)
{
	/* One that has just ended is as good as signalled. */
	return kill(pid, *(int *)arg) < 0 && errno != ESRCH ? -errno : 0;
}

static int kill_all(const struct ctr *ctr, int signo, struct err *err)
{
	cleanup_fd int fd = open_cgroup(ctr, err);
	if (fd < 0)
		return fd;
	/* Also reaches what is frozen, and what forks meanwhile (Linux 5.14). */
	if (signo == SIGKILL && fd_write_file(fd, "cgroup.kill", "1") == 0)
		return 0;
	int rc = cgroup_pids(fd, kill_one, &signo);
	return rc < 0 ? err_rc(err, rc, "cannot signal all of container %s", ctr->id) : 0;
}

int ctr_kill(const struct ctr *ctr, int signo, bool all, struct err *err)
{
	if (all && ctr->cgroup)
		return kill_all(ctr, signo, err);
	int rc = pid_signal(ctr->pidfd, signo);
	if (rc == -ESRCH)
		return err_set(err, ESRCH, "container not running: %s has ended", ctr->id);
	return rc < 0 ? err_rc(err, rc, "cannot signal container %s", ctr->id) : 0;
}

int ctr_freeze(const struct ctr *ctr, bool frozen, struct err *err)
{
	cleanup_fd int fd = open_cgroup(ctr, err);
	return fd < 0 ? fd : cgroup_freeze(fd, frozen, FREEZE_MS, err);
}

int ctr_update(const struct ctr *ctr, json_object *resources, struct err *err)
{
	cleanup_fd int fd = open_cgroup(ctr, err);
	if (fd < 0)
		return fd;
	int rc = cgroup_resources(fd, resources, false, err);
	if (rc == 0)
		rc = cgroup_resources(fd, resources, true, err);
	json_object *devices = json_get(resources, "devices");
	if (rc == 0 && json_len(devices) > 0)
		rc = cgroup_devices(fd, devices, err);
	return rc;
}

/* Our child is reaped; anybody else's is waited for. */
static int end_init(struct ctr *ctr, struct err *err)
{
	siginfo_t info;
	if (ctr->pidfd < 0)
		return 0;
	(void)pid_signal(ctr->pidfd, SIGKILL);
	int rc = pid_wait_end(ctr->pidfd, DEATH_MS);
	if (rc == 0)
		return err_set(err, EBUSY, "init of container %s (pid %d) does not die", ctr->id,
			       ctr->pid);
	(void)waitid(P_PIDFD, (id_t)ctr->pidfd, &info, WEXITED | WNOHANG);
	return 0;
}

int ctr_delete(struct ctr *ctr, const struct ctr_spec *spec, struct err *err)
{
	return ctr_delete_at(ctr, spec, ctr->gate ? ctr->gate->bundle : "", err);
}

int ctr_delete_at(struct ctr *ctr, const struct ctr_spec *spec, const char *bundle_path,
		  struct err *err)
{
	int rc = end_init(ctr, err);
	if (rc == 0 && ctr->cgroup)
		rc = cgroup_destroy(ctr->cgroup, DESTROY_MS, err);
	if (rc < 0)
		return err_prefix(err, "cannot delete container %s", ctr->id);
	if (spec) {
		const struct hook_state state = { ctr->id, "stopped", 0, bundle_path };
		hooks_run_all(spec, CTR_HOOK_POSTSTOP, &state);
	}
	return 0;
}
