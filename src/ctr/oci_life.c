/* SPDX-License-Identifier: Apache-2.0 */
/* oci_life - the verbs kill, delete, pause and resume. */
#include "oci_state.h"

#include "isola/cgroup.h"
#include "isola/fd.h"
#include "isola/pid.h"
#include "isola/signo.h"

#include <errno.h>
#include <signal.h>

struct kill_opts {
	bool all;
};

struct delete_opts {
	bool force;
};

static const struct oci_opt kill_options[] = {
	{ "all", 'a', OCI_FLAG, offsetof(struct kill_opts, all), NULL,
	  "to every process of the container" },
	{ NULL },
};

static const struct oci_opt delete_options[] = {
	{ "force", 'f', OCI_FLAG, offsetof(struct delete_opts, force), NULL,
	  "kill it first; no error if it does not exist" },
	{ NULL },
};

static int run_kill(struct oci *oci, void *opts, char **args, struct err *err)
{
	const struct kill_opts *o = opts;
	const char *name = args[1] ? args[1] : "TERM";
	int signo = signo_parse(name);
	if (signo < 0)
		return err_set(err, EINVAL, "unknown signal \"%s\"", name);
	struct oci_box box = OCI_BOX_INIT;
	int rc = oci_box_open(oci, args[0], false, &box, err);
	if (rc == 0 && box.ctr.pidfd < 0 && !o->all)
		rc = err_set(err, ESRCH, "container not running: \"%s\"", args[0]);
	if (rc == 0)
		rc = ctr_kill(&box.ctr, signo, o->all, err);
	oci_box_fini(&box);
	return rc;
}

static int found_one(pid_t pid, void *arg)
{
	(void)pid;
	(void)arg;
	return -EBUSY;
}

/* A create that was killed left at most an empty cgroup: its init died with it.
 * Processes in it would be somebody else's. */
static int delete_half_made(struct oci_box *box, struct err *err)
{
	cleanup_fd int fd = box->ctr.cgroup ? cgroup_open(box->ctr.cgroup) : -1;
	if (fd < 0 || cgroup_pids(fd, found_one, NULL) == -EBUSY)
		return 0;
	return cgroup_destroy(box->ctr.cgroup, 1000, err);
}

static int delete_box(struct oci_box *box, bool force, struct err *err)
{
	int rc = oci_box_lock(box, err);
	if (rc < 0)
		return rc;
	enum oci_status status = oci_box_status(box);
	if (status != OCI_STOPPED && status != OCI_CREATED && !force)
		return err_set(err, EBUSY,
			       "cannot delete container \"%s\": it is %s; stop it first, or use "
			       "--force",
			       box->id, oci_status_names[status]);
	if (box->ctr.pid <= 0)
		rc = delete_half_made(box, err);
	else
		rc = ctr_delete_at(&box->ctr, box->spec, box->bundle ? box->bundle : "", err);
	return rc < 0 ? rc : oci_box_remove(box, err);
}

static int run_delete(struct oci *oci, void *opts, char **args, struct err *err)
{
	const struct delete_opts *o = opts;
	struct oci_box box = OCI_BOX_INIT;
	int rc = oci_box_open(oci, args[0], false, &box, err);
	if (rc == -ENOENT && o->force) {
		oci_box_fini(&box);
		return 0;
	}
	/* For poststop hooks; a broken config.json must not keep it for ever. */
	if (rc == 0)
		(void)oci_box_parse(&box, NULL);
	if (rc == 0)
		rc = delete_box(&box, o->force, err);
	oci_box_fini(&box);
	return rc;
}

static int set_frozen(struct oci *oci, const char *id, bool frozen, struct err *err)
{
	struct oci_box box = OCI_BOX_INIT;
	int rc = oci_box_open(oci, id, false, &box, err);
	enum oci_status status = rc < 0 ? OCI_STOPPED : oci_box_status(&box);
	if (rc == 0 &&
	    (frozen ? status != OCI_RUNNING && status != OCI_CREATED : status != OCI_PAUSED))
		rc = err_set(err, EINVAL, "cannot %s container \"%s\": it is %s",
			     frozen ? "pause" : "resume", id, oci_status_names[status]);
	if (rc == 0)
		rc = ctr_freeze(&box.ctr, frozen, err);
	oci_box_fini(&box);
	return rc;
}

static int run_pause(struct oci *oci, void *opts, char **args, struct err *err)
{
	(void)opts;
	return set_frozen(oci, args[0], true, err);
}

static int run_resume(struct oci *oci, void *opts, char **args, struct err *err)
{
	(void)opts;
	return set_frozen(oci, args[0], false, err);
}

const struct oci_verb oci_verbs_life[] = {
	{ .name = "kill",
	  .args = "ID [SIGNAL]",
	  .min_args = 1,
	  .max_args = 2,
	  .help = "send a signal (TERM) to a container's init",
	  .examples = "  isola-oci kill web KILL\n  isola-oci kill --all web 15\n",
	  .opts = kill_options,
	  .opts_size = sizeof(struct kill_opts),
	  .run = run_kill },
	{ .name = "delete",
	  .args = "ID",
	  .min_args = 1,
	  .max_args = 1,
	  .help = "remove what is left of a container",
	  .examples = "  isola-oci delete web\n  isola-oci delete --force web\n",
	  .opts = delete_options,
	  .opts_size = sizeof(struct delete_opts),
	  .run = run_delete },
	{ .name = "pause",
	  .args = "ID",
	  .min_args = 1,
	  .max_args = 1,
	  .help = "freeze a container's processes",
	  .run = run_pause },
	{ .name = "resume",
	  .args = "ID",
	  .min_args = 1,
	  .max_args = 1,
	  .help = "thaw a paused container",
	  .run = run_resume },
	{ NULL },
};
