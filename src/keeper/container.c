/* SPDX-License-Identifier: Apache-2.0 */
/* container - a container as a keeper's payload: isola/ctr.h does the work. */
#include "isola/fd.h"
#include "isola/json.h"
#include "isola/path.h"

#include "control.h"
#include "exec_ctr.h"
#include "heap.h"
#include "layers.h"
#include "life.h"
#include "stdio_set.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define CONFIG_BYTES_MAX ((size_t)4 * 1024 * 1024)
/* How long an unused config.json stays parsed. */
#define SPEC_KEEP_MS 2000

/* ---- config.json ---- */

/* Bytes of heap that a byte of config.json takes, its document and its ctr_spec. */
#define HEAP_FACTOR 12

static int read_config(struct keeper *k, struct err *err)
{
	cleanup_json json_object *config = NULL;
	struct stat st;
	if (fstatat(k->run_dir_fd, "config.json", &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    (size_t)st.st_size <= CONFIG_BYTES_MAX)
		heap_expect((size_t)st.st_size * HEAP_FACTOR);
	int rc = json_read_file(k->run_dir_fd, "config.json", CONFIG_BYTES_MAX, &config, err);
	if (rc == 0 && (rc = ctr_spec_parse(config, &k->ctr_spec, err)) < 0)
		(void)err_prefix(err, "config.json");
	heap_settle();
	return rc;
}

static void on_spec_unused(struct timer *timer)
{
	struct keeper *k = container_of(timer, struct keeper, spec_timer);
	if (k->state != STATE_RUNNING && k->state != STATE_PAUSED)
		return;
	ctr_spec_free(k->ctr_spec);
	k->ctr_spec = NULL;
	k->loop.busy = true; /* for the moment of quiet behind it */
}

int keeper_need_spec(struct keeper *k, struct err *err)
{
	int rc = k->ctr_spec ? 0 : read_config(k, err);
	k->spec_timer.on_time = on_spec_unused;
	if (rc == 0)
		loop_timer(&k->loop, &k->spec_timer, SPEC_KEEP_MS);
	return rc;
}

static int read_first_config(struct keeper *k, struct err *err)
{
	int rc = read_config(k, err);
	if (rc < 0)
		return rc;
	const struct ctr_process *process = ctr_spec_process(k->ctr_spec);
	if (!process)
		return err_set(err, EINVAL, "config.json: process is missing");
	if (ctr_process_terminal(process) != k->spec.tty)
		return err_set(err, EINVAL, "keeper.json: tty is not process.terminal's value");
	return 0;
}

/* ---- the container ---- */

static int create_with(struct keeper *k, const struct layers *root, struct stdio_set *set,
		       struct err *err)
{
	const struct ctr_create_args args = {
		.id = k->spec.id,
		.spec = k->ctr_spec,
		.root = layers_root(root, &k->spec),
		.bundle_fd = k->run_dir_fd,
		.bundle_path = k->run_dir,
		.cgroup = k->spec.cgroup,
		.stdio = { set->theirs[0], set->theirs[1], set->theirs[2] },
		.cache_fd = k->cache_fd,
		.gate_fd = -1,
		.reaper = k->spec.reaper,
	};
	int rc = ctr_create(&args, &k->ctr, err);
	if (rc < 0)
		return rc;
	if (k->spec.tty)
		set->ours.fd[0] = take_fd(&k->ctr->console_fd);
	rc = payio_init(&k->io, &k->loop, &set->ours, k->spec.tty);
	if (rc < 0) {
		(void)ctr_delete(k->ctr, k->ctr_spec, NULL);
		return err_rc(err, rc, "cannot watch the container's output");
	}
	k->io.log = k->log;
	k->io.stdin_once = k->spec.stdin_once;
	if (k->spec.tty && (k->spec.rows || k->spec.columns))
		(void)payio_resize(&k->io, k->spec.rows, k->spec.columns);
	return 0;
}

static int create(struct keeper *k, struct err *err)
{
	cleanup_stdio struct stdio_set set = STDIO_SET_INIT;
	struct layers root = LAYERS_INIT;
	int rc = read_first_config(k, err);
	const bool wanted[3] = { k->spec.keeps_stdin, true, true };
	if (rc < 0)
		return rc;
	if (!k->spec.tty)
		rc = stdio_set_pipes(&set, wanted, err);
	if (rc == 0)
		rc = layers_open(&k->spec, &root, err);
	if (rc == 0)
		rc = layers_make_dirs(&k->spec, err);
	/* Only a cache: without it filters are compiled each time. */
	if (rc == 0 && k->spec.seccomp_cache)
		k->cache_fd = open(k->spec.seccomp_cache, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (rc == 0)
		rc = create_with(k, &root, &set, err);
	layers_close(&root);
	if (rc < 0)
		return rc;
	k->init.fd = k->ctr->pidfd;
	k->rec.pid = k->ctr->pid;
	k->cgroup = k->ctr->cgroup;
	return 0;
}

/* ---- its life ---- */

static int start(struct keeper *k, struct err *err)
{
	int rc = ctr_start(k->ctr, k->ctr_spec, err);
	if (rc == 0)
		(void)keeper_need_spec(k, NULL);
	return rc;
}

static int send_signal(struct keeper *k, int signo, bool all, struct err *err)
{
	return ctr_kill(k->ctr, signo, all, err);
}

static int freeze(struct keeper *k, bool frozen, struct err *err)
{
	return ctr_freeze(k->ctr, frozen, err);
}

static int update(struct keeper *k, json_object *resources, json_object *args, struct err *err)
{
	(void)args;
	return ctr_update(k->ctr, resources, err);
}

static int change_mount(struct keeper *k, json_object *mount, bool make_source, bool gone,
			struct err *err)
{
	int rc = keeper_need_spec(k, err);
	const struct ctr_live_args args = { .pid = k->ctr->pid,
					    .pidfd = k->ctr->pidfd,
					    .spec = k->ctr_spec };
	if (rc < 0)
		return rc;
	return gone ? ctr_unmount(&args, mount, err) : ctr_mount(&args, mount, make_source, err);
}

/* ---- the end ---- */

static void remove_all(struct keeper *k)
{
	struct err err = ERR_INIT;
	if (!k->ctr)
		return;
	/* Without it no hooks run, but the rest is still removed. */
	if (keeper_need_spec(k, &err) < 0)
		control_warn(k, err.text);
	loop_timer_stop(&k->spec_timer);
	if (ctr_delete(k->ctr, k->ctr_spec, &err) < 0)
		control_warn(k, err.text);
	(void)waitpid(k->ctr->pid, NULL, WNOHANG | __WALL);
}

static void free_all(struct keeper *k)
{
	ctr_free(k->ctr);
	ctr_spec_free(k->ctr_spec);
}

const struct payload_type payload_container = {
	.noun = "container",
	.create = create,
	.start = start,
	.kill = send_signal,
	.freeze = freeze,
	.exec = exec_ctr_start,
	.update = update,
	.mount = change_mount,
	.remove = remove_all,
	.free = free_all,
};
