/* SPDX-License-Identifier: Apache-2.0 */
/* vm_passt - passt(1) for a network of a VM: what the guest sends becomes sockets of
 * an ordinary process in isolad's network namespace, and no device, address or route
 * is needed for it. It parses the guest's frames, so it is foreign to us: it runs as
 * the VM's own user, without capabilities, and puts itself into an empty root, a user
 * namespace and a filter before it reads the first one. What listens on the host's
 * loopback only is not reachable by it (--no-map-gw).
 *
 * Ready is who writes its pid file; that is a pipe of ours, so there is no file. passt
 * serves one connection and ends with it. */
#include "vm.h"

#include "isola/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define PROGRAM   "/usr/bin/passt"
#define SOCKET_FD 3
#define READY_MS  5000 /* it takes about 20 */
#define SAID_MAX  4096

struct passt {
	const struct vm_passt_args *args;
	int socket_fd, ready_fd, said_fd; /* its ends */
};

static void run(void *arg)
{
	const struct passt *p = arg;
	char fd[16], runas[32], mtu[16];
	size_t n = 0;
	char *argv[16], *const env[] = { NULL };
	cleanup_fd int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	const int from[] = { p->ready_fd, null, p->said_fd, p->socket_fd };
	const int to[] = { 0, 1, 2, SOCKET_FD };
	(void)snprintf(fd, sizeof(fd), "%d", SOCKET_FD);
	(void)snprintf(runas, sizeof(runas), "%u:%u", p->args->uid, p->args->gid);
	(void)snprintf(mtu, sizeof(mtu), "%u", p->args->mtu);
	argv[n++] = (char *)"passt";
	argv[n++] = (char *)"--foreground";
	argv[n++] = (char *)"--quiet";
	argv[n++] = (char *)"--no-map-gw";
	argv[n++] = (char *)"--pid";
	argv[n++] = (char *)"/proc/self/fd/0";
	argv[n++] = (char *)"--runas";
	argv[n++] = runas;
	argv[n++] = (char *)"--fd";
	argv[n++] = fd;
	if (p->args->mtu) {
		argv[n++] = (char *)"--mtu";
		argv[n++] = mtu;
	}
	argv[n] = NULL;
	/* Once it runs, nobody reads what it says. */
	(void)signal(SIGPIPE, SIG_IGN);
	vm_give_fds(from, to, 4);
	(void)execve(PROGRAM, argv, env);
	(void)dprintf(2, "cannot execute " PROGRAM ": %s\n", strerror(errno));
	_exit(127);
}

/* The last line that is a reason; without a syslog it complains of that, too. */
static void take_reason(int said_fd, char *ret, size_t size)
{
	char text[SAID_MAX + 1];
	ssize_t n = read(said_fd, text, SAID_MAX);
	char *rest = text;
	text[n > 0 ? n : 0] = '\0';
	(void)snprintf(ret, size, "it gave no reason");
	for (char *line; (line = strsep(&rest, "\n"));)
		if (*line && !strstr(line, "syslog"))
			(void)snprintf(ret, size, "%s", line);
}

static int wait_ready(int ready_fd, int said_fd, struct err *err)
{
	struct pollfd p = { .fd = ready_fd, .events = POLLIN };
	char reason[256];
	int n = poll(&p, 1, READY_MS);
	if (n > 0 && (p.revents & POLLIN))
		return 0;
	take_reason(said_fd, reason, sizeof(reason));
	if (n == 0)
		return err_set(err, ETIMEDOUT, "passt is not ready after %d seconds: %s",
			       READY_MS / 1000, reason);
	return err_set(err, EIO, "passt ended at its start: %s", reason);
}

int vm_passt_start(struct vm *vm, const struct vm_passt_args *args, struct err *err)
{
	int pair[2], ready[2], said[2];
	if (access(PROGRAM, X_OK) < 0)
		return err_set(err, ENOENT, "passt is not installed (Debian: passt)");
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(err, "cannot make a socket for passt");
	cleanup_fd int ours = pair[0], its = pair[1];
	if (pipe2(ready, O_CLOEXEC) < 0)
		return err_sys(err, "cannot make a pipe for passt");
	cleanup_fd int ready_in = ready[0], ready_out = ready[1];
	/* It opens its pid file as who it has become by then. */
	if (fchown(ready_out, args->uid, args->gid) < 0)
		return err_sys(err, "cannot give a pipe to passt");
	if (pipe2(said, O_CLOEXEC | O_NONBLOCK) < 0)
		return err_sys(err, "cannot make a pipe for passt");
	cleanup_fd int said_in = said[0], said_out = said[1];
	struct passt p = {
		.args = args, .socket_fd = its, .ready_fd = ready_out, .said_fd = said_out
	};
	pid_t pid = vm_helper_start(vm, run, &p, err);
	if (pid < 0)
		return pid;
	/* Ours must go, or its end would not be seen. */
	fd_close(&ready_out);
	int rc = wait_ready(ready_in, said_in, err);
	return rc < 0 ? rc : take_fd(&ours);
}
