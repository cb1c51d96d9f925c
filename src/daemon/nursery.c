/* SPDX-License-Identifier: Apache-2.0 */
/* nursery - see nursery.h. The answer takes a clone of a small process, about
 * 0.1 ms, so isolad waits for it as it would for vfork; a nursery that does not
 * answer in time is killed and done without. isolad, loop thread. */
#include "nursery.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/keeper.h"
#include "isola/log.h"
#include "isola/pid.h"
#include "isola/wire.h"
#include "isolad.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>

#define ANSWER_MS 2000

void nursery_init(struct nursery *n)
{
	*n = (struct nursery){ .sock = -1 };
}

void nursery_fini(struct nursery *n)
{
	fd_close(&n->sock);
	child_forget(n->child);
	n->child = NULL;
}

/* The next message, owned; waits ANSWER_MS at most. */
static int receive(int sock, json_object **ret, struct err *err)
{
	struct pollfd pfd = { .fd = sock, .events = POLLIN };
	int fds[WIRE_FDS_MAX];
	size_t n_fds = 0;
	if (poll(&pfd, 1, ANSWER_MS) != 1)
		return err_set(err, ETIMEDOUT, "the nursery does not answer");
	int rc = wire_recv(sock, ret, fds, &n_fds, err);
	while (n_fds > 0)
		fd_close(&fds[--n_fds]);
	return rc > 0 ? 0 : rc < 0 ? rc : err_set(err, EPIPE, "the nursery has ended");
}

static int receive_pid(int sock, pid_t *ret, struct err *err)
{
	cleanup_json json_object *msg = NULL;
	int rc = receive(sock, &msg, err);
	if (rc < 0)
		return rc;
	int64_t pid = json_i64_or(msg, "pid", 0);
	if (pid <= 0 || pid > INT32_MAX)
		return err_set(err, EPROTO, "%s", json_str_or(msg, "error", "malformed answer"));
	*ret = (pid_t)pid;
	return 0;
}

static void give_up(struct nursery *n)
{
	if (n->child)
		(void)child_kill(n->child, SIGKILL);
	fd_close(&n->sock);
}

static void on_nursery_exit(void *arg, int status)
{
	struct nursery *n = arg;
	(void)status;
	n->child = NULL;
	fd_close(&n->sock); /* the next keeper makes a new one */
}

static int start_nursery(struct isolad *d, struct err *err)
{
	int socks[2];
	int rc = wire_pair(socks, err);
	if (rc < 0)
		return rc;
	/* The run folder tells people whose it is, and leaves room for a title. */
	const char *const argv[] = { "isola-keeper", "nursery", d->config.run, NULL };
	struct child_args args = { .program = PROGRAM_KEEPER,
				   .argv = argv,
				   .stdin_fd = -1,
				   .stdout_fd = -1,
				   .fd3 = socks[1] };
	rc = child_spawn(d, &args, on_nursery_exit, &d->nursery, &d->nursery.child, err);
	fd_close(&socks[1]);
	if (rc < 0) {
		fd_close(&socks[0]);
		return rc;
	}
	d->nursery.sock = socks[0];
	cleanup_json json_object *hello = NULL;
	rc = receive(d->nursery.sock, &hello, err);
	if (rc == 0 && json_i64_or(hello, "nursery", 0) != KEEPER_VERSION)
		rc = err_set(err, EPROTO, "the nursery speaks another version");
	if (rc < 0) {
		give_up(&d->nursery);
		d->nursery.refused = true;
		log_warn(NULL, "%s: each keeper is executed instead", err->text);
	}
	return rc;
}

static int send_request(struct nursery *n, const char *run_dir, int fd3, struct err *err)
{
	cleanup_json json_object *msg = json_object_new_object();
	json_add_str(msg, "run", run_dir);
	return wire_send(n->sock, msg, &fd3, 1, err);
}

/* Behind the request nothing is tried again: a keeper may have been made. */
static int receive_keeper(struct isolad *d, child_exit_fn *on_exit, void *arg, struct child **ret,
			  struct err *err)
{
	pid_t pid = 0;
	int rc = receive_pid(d->nursery.sock, &pid, err);
	if (rc < 0) {
		give_up(&d->nursery);
		return rc;
	}
	/* It is our own child and not reaped, so the pid is still its. */
	int pidfd = pid_open(pid);
	return pidfd < 0 ? err_rc(err, pidfd, "cannot open a pidfd of the keeper")
			 : child_adopt(d, pid, pidfd, on_exit, arg, ret, err);
}

int nursery_spawn(struct isolad *d, const char *run_dir, int fd3, child_exit_fn *on_exit, void *arg,
		  struct child **ret, struct err *err)
{
	int rc = d->nursery.refused ? -EPROTO : d->nursery.sock < 0 ? start_nursery(d, err) : 0;
	if (rc == 0)
		rc = send_request(&d->nursery, run_dir, fd3, err);
	if (rc == 0)
		return receive_keeper(d, on_exit, arg, ret, err);
	if (!d->nursery.refused)
		give_up(&d->nursery);
	const char *const argv[] = { "isola-keeper", "run", run_dir, NULL };
	struct child_args args = {
		.program = PROGRAM_KEEPER, .argv = argv, .stdin_fd = -1, .stdout_fd = -1, .fd3 = fd3
	};
	return child_spawn(d, &args, on_exit, arg, ret, err);
}
