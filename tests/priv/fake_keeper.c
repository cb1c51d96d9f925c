/* SPDX-License-Identifier: Apache-2.0 */
/* fake_keeper - stands in for isola-keeper to show isolad what a good keeper never
 * does. It speaks include/isola/keeper.h; its "payload" is a sleeping child in the
 * cgroup that keeper.json names. What happens is the first word of the container's
 * command:
 *
 *   sleep          runs until a signal other than 0
 *   stubborn       runs until SIGKILL
 *   exit N         ends with N at once
 *   fail CODE N    refuses the start with errno CODE, exit code N
 *   die-created    is killed when it is told to start
 *   die-running    is killed 50 ms after the start, the payload lives
 *   die-ended      tells of the end, but is killed before it has cleaned up
 *   hang           never answers the start
 *   garbage        writes no JSON to isolad after the start
 *   slow-end       takes 500 ms from the payload's end to that of the link
 *
 * "logs" as first argument just ends: reading is tested elsewhere. */
#include "isola/cgroup.h"
#include "isola/fd.h"
#include "isola/json.h"
#include "isola/keeper.h"
#include "isola/num.h"
#include "isola/pid.h"
#include "isola/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#define CONNS 8

static int dir_fd, listen_fd;
static int conns[CONNS] = { KEEPER_CONTROL_FD, -1, -1, -1, -1, -1, -1, -1 };
static json_object *args, *keeper_spec;
static pid_t payload;
static int64_t started_ns;
static bool paused;
static const char *state = "created";

static const char *word(size_t i)
{
	return i < json_len(args) ? json_item_str(args, i) : "";
}

static bool is(const char *what)
{
	return !strcmp(word(0), what);
}

static const char *cgroup(void)
{
	return json_str_or(keeper_spec, "cgroup", "/none");
}

static void write_pid(void)
{
	uint64_t ticks = 0;
	(void)pid_start_ticks(getpid(), &ticks, NULL);
	json_object *o = json_object_new_object();
	json_add_i64(o, "pid", getpid());
	json_add_i64(o, "start_ticks", (int64_t)ticks);
	(void)json_write_atomic(dir_fd, "keeper.pid", o, FD_SYNC_NO, NULL);
	json_object_put(o);
}

static void listen_at(const char *run_dir)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	(void)snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/keeper.sock", run_dir);
	listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (bind(listen_fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(listen_fd, 8) < 0)
		_exit(1);
}

static void make_payload(void)
{
	/* Born in its cgroup, as a real one is: whoever kills the keeper at any time finds
	 * it there. */
	cleanup_fd int cg = cgroup_make(cgroup(), "", NULL);
	struct clone_args how = { .flags = CLONE_INTO_CGROUP,
				  .exit_signal = SIGCHLD,
				  .cgroup = (uint64_t)cg };
	if (cg < 0)
		_exit(1);
	payload = (pid_t)syscall(SYS_clone3, &how, sizeof(how));
	if (payload == 0) {
		/* Lives on without its keeper, as a real one does. */
		(void)close_range(3, ~0u, 0);
		(void)execlp("sleep", "sleep", "infinity", NULL);
		_exit(127);
	}
	if (payload < 0)
		_exit(1);
}

static void tell(int conn, json_object *msg)
{
	(void)wire_send(conn, msg, NULL, 0, NULL);
}

static void tell_all(json_object *msg)
{
	for (int i = 0; i < CONNS; i++)
		if (conns[i] >= 0)
			tell(conns[i], msg);
}

static void hello(int conn)
{
	json_object *o = json_object_new_object();
	json_add_str(o, "event", "hello");
	json_add_i64(o, "version", KEEPER_VERSION);
	json_add_i64(o, "pid", payload);
	json_add_str(o, "state", paused ? "paused" : state);
	json_add_i64(o, "started_ns", started_ns);
	tell(conn, o);
	json_object_put(o);
}

static void end(int exit_code, const char *error)
{
	json_object *o = json_object_new_object();
	json_add_i64(o, "exit_code", exit_code);
	json_add_i64(o, "started_ns", started_ns);
	json_add_i64(o, "finished_ns", num_now_ns());
	if (error)
		json_add_str(o, "error", error);
	(void)json_write_atomic(dir_fd, "exit.json", o, FD_SYNC_NO, NULL);
	json_add_str(o, "event", "exit");
	tell_all(o);
	if (is("die-ended"))
		(void)raise(SIGKILL);
	if (is("slow-end"))
		(void)usleep(500000);
	(void)cgroup_destroy(cgroup(), 2000, NULL);
	(void)unlinkat(dir_fd, "keeper.sock", 0);
	_exit(0);
}

static void answer(int conn, json_object *request, int code, json_object *o)
{
	json_add_i64(o, "seq", json_i64_or(request, "seq", 0));
	if (code) {
		json_add_i64(o, "code", code);
		json_add_str(o, "error", "the fake keeper was told to fail");
	} else {
		json_add_bool(o, "ok", true);
	}
	tell(conn, o);
	json_object_put(o);
}

static void on_start(int conn, json_object *msg)
{
	json_object *o = json_object_new_object();
	if (is("hang"))
		return;
	if (is("die-created"))
		(void)raise(SIGKILL);
	if (is("fail")) {
		json_add_i64(o, "exit_code", atoi(word(2)));
		answer(conn, msg, atoi(word(1)), o);
		started_ns = 0;
		end(atoi(word(2)), "the fake keeper was told to fail");
	}
	started_ns = num_now_ns();
	state = "running";
	json_add_i64(o, "pid", payload);
	json_add_i64(o, "started_ns", started_ns);
	answer(conn, msg, 0, o);
	if (is("exit"))
		end(atoi(word(1)), NULL);
	if (is("garbage"))
		(void)send(conn, "{{{", 3, MSG_NOSIGNAL);
	if (is("die-running")) {
		(void)usleep(50000);
		(void)raise(SIGKILL);
	}
}

static void on_message(int conn, json_object *msg)
{
	const char *op = json_str_or(msg, "op", "");
	int signo = (int)json_i64_or(msg, "signal", 0);
	if (!strcmp(op, "start")) {
		on_start(conn, msg);
		return;
	}
	answer(conn, msg, 0, json_object_new_object());
	if (!strcmp(op, "freeze"))
		paused = json_bool_or(msg, "frozen", false);
	if (!strcmp(op, "kill") && (signo == SIGKILL || (signo && !is("stubborn"))))
		end(128 + signo, NULL);
}

static void receive(int *conn)
{
	json_object *msg = NULL;
	int fds[WIRE_FDS_MAX];
	size_t n = 0;
	if (wire_recv(*conn, &msg, fds, &n, NULL) <= 0) {
		fd_close(conn);
		return;
	}
	while (n > 0)
		fd_close(&fds[--n]);
	on_message(*conn, msg);
	json_object_put(msg);
}

static void serve(void)
{
	for (;;) {
		struct pollfd p[CONNS + 1];
		for (int i = 0; i < CONNS; i++)
			p[i] = (struct pollfd){ .fd = conns[i], .events = POLLIN };
		p[CONNS] = (struct pollfd){ .fd = listen_fd, .events = POLLIN };
		(void)poll(p, CONNS + 1, -1);
		for (int i = 0; i < CONNS; i++)
			if (p[i].fd >= 0 && p[i].revents)
				receive(&conns[i]);
		int fd = p[CONNS].revents ? accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC) : -1;
		for (int i = 0; i < CONNS && fd >= 0; i++) {
			if (conns[i] >= 0)
				continue;
			conns[i] = fd;
			hello(fd);
			break;
		}
	}
}

int main(int argc, char **argv)
{
	json_object *config = NULL;
	if (argc < 3 || strcmp(argv[1], "run"))
		return 0;
	dir_fd = open(argv[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0 || json_read_file(dir_fd, "config.json", 1 << 20, &config, NULL) < 0 ||
	    json_read_file(dir_fd, "keeper.json", 1 << 20, &keeper_spec, NULL) < 0)
		return 1;
	args = json_get(json_get(config, "process"), "args");
	(void)fd_set_cloexec(KEEPER_CONTROL_FD, true);
	write_pid();
	listen_at(argv[2]);
	make_payload();
	hello(KEEPER_CONTROL_FD);
	serve();
}
