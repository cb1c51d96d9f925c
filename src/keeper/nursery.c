/* SPDX-License-Identifier: Apache-2.0 */
/* nursery - see nursery.h; isola/keeper.h has the messages. clone3(2) with
 * CLONE_PARENT: the new keeper's parent is isolad, which watches its end, and
 * nothing of it is left to reap here.
 *
 * The nursery keeps no state between requests, so each keeper begins as fresh as
 * after an exec of the same program. */
#include "nursery.h"

#include "isola/cgroup.h"
#include "isola/fd.h"
#include "isola/json.h"
#include "isola/keeper.h"
#include "isola/wire.h"

#include <errno.h>
#include <limits.h>
#include <linux/sched.h>
#include <string.h>
#include <sys/syscall.h>

struct request {
	json_object *msg;
	int fds[WIRE_FDS_MAX];
	size_t n_fds;
};

static void request_fini(struct request *r)
{
	json_object_put(r->msg);
	for (size_t i = 0; i < r->n_fds; i++)
		fd_close(&r->fds[i]);
}

/* The exit signal is our own leader's, as CLONE_PARENT has it: SIGCHLD. */
static pid_t clone_sibling(void)
{
	struct clone_args args = { .flags = CLONE_PARENT };
	long pid = syscall(SYS_clone3, &args, sizeof(args));
	return pid < 0 ? -errno : (pid_t)pid;
}

/* All but what a keeper has from birth. */
static void close_others(void)
{
	unsigned int from = KEEPER_CONTROL_FD + 1;
	int kept = cgroup_devices_kept();
	if (kept >= (int)from) {
		if (kept > (int)from)
			(void)close_range(from, (unsigned int)kept - 1, 0);
		from = (unsigned int)kept + 1;
	}
	(void)close_range(from, UINT_MAX, 0);
}

static int become_keeper(struct request *r, const char *run, char **ret_run_dir)
{
	char *copy = strdup(run);
	int fd = r->fds[0];
	json_object_put(r->msg); /* @run was part of it */
	if (!copy || (fd != KEEPER_CONTROL_FD && dup2(fd, KEEPER_CONTROL_FD) < 0))
		_exit(1);
	close_others();
	*ret_run_dir = copy;
	return 1;
}

static void answer(int sock, pid_t pid, const struct err *err)
{
	cleanup_json json_object *o = json_object_new_object();
	if (pid > 0) {
		json_add_i64(o, "pid", pid);
	} else {
		json_add_i64(o, "code", err->code);
		json_add_str(o, "error", err->text);
	}
	struct err ignored;
	(void)wire_send(sock, o, NULL, 0, &ignored);
}

static pid_t serve_one(const struct request *r, struct err *err)
{
	const char *run = json_str_or(r->msg, "run", "");
	if (r->n_fds != 1 || run[0] != '/')
		return err_set(err, EPROTO, "a request needs a run folder and a socket");
	pid_t pid = clone_sibling();
	return pid < 0 ? err_rc(err, pid, "cannot make a keeper") : pid;
}

/* Tells isolad that this program knows what it is asked to be. */
static int say_ready(int sock)
{
	cleanup_json json_object *o = json_object_new_object();
	json_add_i64(o, "nursery", KEEPER_VERSION);
	struct err ignored;
	return wire_send(sock, o, NULL, 0, &ignored);
}

/* The device rules of nearly all containers, verified by the kernel only once;
 * without them each keeper loads its own. */
static void keep_device_rules(void)
{
	cleanup_json json_object *rules =
		json_tokener_parse("[{\"allow\": false, \"access\": \"rwm\"}]");
	struct err ignored;
	if (rules)
		(void)cgroup_devices_keep(rules, &ignored);
}

int nursery_serve(int sock, char **ret_run_dir)
{
	keep_device_rules();
	if (say_ready(sock) < 0)
		return 0;
	for (;;) {
		struct request r = { .n_fds = 0 };
		struct err err = ERR_INIT;
		if (wire_recv(sock, &r.msg, r.fds, &r.n_fds, &err) <= 0)
			return 0; /* isolad is gone, or talks nonsense: it makes a new one */
		pid_t pid = serve_one(&r, &err);
		if (pid == 0)
			return become_keeper(&r, json_str_or(r.msg, "run", ""), ret_run_dir);
		answer(sock, pid, &err);
		request_fini(&r);
	}
}
