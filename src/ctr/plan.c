/* SPDX-License-Identifier: Apache-2.0 */
/* plan - see plan.h. Runs in the parent, with the rights of its caller. */
#include "plan.h"

#include "channel.h"
#include "plan_sources.h"
#include "tree.h"

#include "isola/cgroup.h"
#include "isola/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define CGROUP_DESTROY_MS 5000

void plan_init(struct ctr_plan *plan, const struct ctr_create_args *args)
{
	*plan = (struct ctr_plan){
		.args = args,
		.spec = args->spec,
		.process = args->spec->process,
		.userns = args->spec->ns[CTR_NS_USER].mode != CTR_NS_HOST,
		.cgroup_fd = -1,
		.seccomp = SECCOMP_FILTER_INIT,
		.null_fd = -1,
		.root_dir = -1,
		.root_tree = -1,
		.parent_sock = -1,
		.child_sock = -1,
	};
	for (int i = 0; i < CTR_NS_COUNT; i++)
		plan->ns_fds[i] = -1;
}

static int open_namespaces(struct ctr_plan *plan, struct err *err)
{
	for (int i = 0; i < CTR_NS_COUNT; i++) {
		const struct ctr_namespace *ns = &plan->spec->ns[i];
		if (ns->mode != CTR_NS_JOIN)
			continue;
		plan->ns_fds[i] = open(ns->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
		if (plan->ns_fds[i] < 0)
			return err_sys(err, "cannot open the %s namespace %s", ctr_ns_types[i].name,
				       ns->path);
	}
	return 0;
}

/* Which controllers have to be on for what the spec limits; statistics want the
 * others too, where they come for free. */
static const char all_controllers[] = "cpu memory pids io cpuset hugetlb";

char *ctr_cgroup_path(const struct ctr_spec *spec, const char *id)
{
	char *path = NULL;
	const char *want = spec->cgroups_path;
	int n = want ? asprintf(&path, "%s%s", *want == '/' ? "" : "/", want)
		     : asprintf(&path, "/isola-oci/%s", id);
	return n < 0 ? NULL : path;
}

/* Without rights to make one, a container that may do without runs in ours. */
static bool is_optional(const struct ctr_plan *plan, int rc)
{
	return plan->args->cgroup_optional &&
	       (rc == -EACCES || rc == -EPERM || rc == -EROFS || rc == -ENOENT);
}

static int found_one(pid_t pid, void *arg)
{
	(void)pid;
	(void)arg;
	return -EBUSY;
}

/* A cgroup that was there before may hold processes of somebody else, whom our
 * limits would hit and our delete would kill. */
static int check_empty(const struct ctr_plan *plan, struct err *err)
{
	if (plan->args->cgroup)
		return 0; /* the caller knows */
	if (cgroup_pids(plan->cgroup_fd, found_one, NULL) != -EBUSY)
		return 0;
	return err_set(err, EBUSY, "holds processes of somebody else");
}

static int set_limits(struct ctr_plan *plan, struct err *err)
{
	const struct ctr_spec *spec = plan->spec;
	int rc = 0;
	if (spec->resources)
		rc = cgroup_resources(plan->cgroup_fd, spec->resources, true, err);
	if (rc == 0 && spec->resources_devices)
		rc = cgroup_devices(plan->cgroup_fd, spec->resources_devices, err);
	return rc;
}

static int make_cgroup(struct ctr_plan *plan, struct err *err)
{
	cleanup_free char *path = plan->args->cgroup ? strdup(plan->args->cgroup)
						     : ctr_cgroup_path(plan->spec, plan->args->id);
	if (!path)
		return err_set(err, ENOMEM, "out of memory");
	plan->cgroup_fd = cgroup_make(path, all_controllers, err);
	if (plan->cgroup_fd < 0)
		return is_optional(plan, plan->cgroup_fd) ? 0 : err_prefix(err, "cgroup %s", path);
	int rc = check_empty(plan, err);
	if (rc < 0)
		return err_prefix(err, "cgroup %s", path);
	plan->cgroup = take_ptr(path);
	rc = set_limits(plan, err);
	return rc < 0 ? err_prefix(err, "cgroup %s", plan->cgroup) : 0;
}

static int open_root(struct ctr_plan *plan, struct err *err)
{
	/* In a joined mount namespace the path means something else. */
	if (plan->args->root.n_lower > 0 || plan->spec->ns[CTR_NS_MOUNT].mode == CTR_NS_JOIN)
		return 0;
	const char *path = plan->spec->root_path;
	plan->root_dir = openat(plan->args->bundle_fd, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return plan->root_dir < 0 ? err_sys(err, "cannot open root.path %s", path) : 0;
}

static int open_null(struct ctr_plan *plan, struct err *err)
{
	const int *stdio = plan->args->stdio;
	if (stdio[0] >= 0 && stdio[1] >= 0 && stdio[2] >= 0)
		return 0;
	plan->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC | O_NOCTTY);
	return plan->null_fd < 0 ? err_sys(err, "cannot open /dev/null") : 0;
}

static int compile_seccomp(struct ctr_plan *plan, struct err *err)
{
	if (!plan->spec->seccomp || !plan->process)
		return 0;
	int rc =
		seccomp_filter_load(plan->spec->seccomp, plan->args->cache_fd, &plan->seccomp, err);
	if (rc < 0)
		return err_prefix(err, "linux.seccomp");
	plan->has_seccomp = true;
	return 0;
}

static int open_channel(struct ctr_plan *plan, struct err *err)
{
	int fds[2];
	int rc = chan_pair(fds);
	if (rc < 0)
		return err_rc(err, rc, "cannot make a socket pair");
	plan->parent_sock = fds[0];
	plan->child_sock = fds[1];
	void *page = mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		return err_sys(err, "cannot map a page");
	plan->progress = page;
	return 0;
}

int plan_prepare(struct ctr_plan *plan, struct err *err)
{
	/* The cgroup last: it is the only thing that stays. */
	static int (*const steps[])(struct ctr_plan *, struct err *) = {
		plan_check,      open_namespaces, open_root,    open_null,
		compile_seccomp, open_channel,    plan_sources, make_cgroup,
	};
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < sizeof(steps) / sizeof(steps[0]); i++)
		rc = steps[i](plan, err);
	return rc;
}

void plan_undo(struct ctr_plan *plan)
{
	fd_close(&plan->cgroup_fd);
	if (plan->cgroup)
		(void)cgroup_destroy(plan->cgroup, CGROUP_DESTROY_MS, NULL);
}

void plan_fini(struct ctr_plan *plan)
{
	fd_close(&plan->cgroup_fd);
	fd_close(&plan->null_fd);
	fd_close(&plan->root_dir);
	fd_close(&plan->root_tree);
	fd_close(&plan->parent_sock);
	fd_close(&plan->child_sock);
	for (int i = 0; i < CTR_NS_COUNT; i++)
		fd_close(&plan->ns_fds[i]);
	plan_sources_fini(plan);
	if (plan->has_seccomp)
		seccomp_filter_fini(&plan->seccomp);
	if (plan->progress)
		(void)munmap((void *)(uintptr_t)plan->progress, 1);
	free(plan->cgroup);
}
