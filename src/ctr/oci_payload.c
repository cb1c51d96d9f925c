/* SPDX-License-Identifier: Apache-2.0 */
/* oci_payload - see oci_payload.h. */
#include "oci_payload.h"

#include "isola/console.h"
#include "isola/fd.h"
#include "isola/num.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

int oci_console_connect(const char *path, struct err *err)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(addr.sun_path))
		return err_set(err, ENAMETOOLONG, "--console-socket: the path is too long");
	strcpy(addr.sun_path, path);
	cleanup_fd int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (sock < 0 || connect(sock, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return err_sys(err, "cannot connect to --console-socket %s", path);
	return take_fd(&sock);
}

int oci_check_console(bool terminal, bool detached, const char *socket, struct err *err)
{
	if (terminal && detached && !socket)
		return err_set(err, EINVAL,
			       "a detached container with process.terminal needs --console-socket");
	if (socket && !(terminal && detached))
		return err_set(err, EINVAL,
			       "--console-socket is only for a detached container with a terminal");
	return 0;
}

int oci_write_pid_file(const char *path, pid_t pid, struct err *err)
{
	if (!path)
		return 0;
	char text[16], *copy = strdup(path);
	if (!copy)
		return err_set(err, ENOMEM, "out of memory");
	char *slash = strrchr(copy, '/');
	const char *name = slash ? slash + 1 : copy;
	cleanup_fd int dir = -1;
	if (slash)
		*slash = '\0';
	dir = open(!slash ? "." : *copy ? copy : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	(void)snprintf(text, sizeof(text), "%d", pid);
	int rc = dir < 0 ? -errno
			 : fd_write_atomic(dir, name, text, strlen(text), 0644, FD_SYNC_NO, NULL);
	free(copy);
	return rc < 0 ? err_rc(err, rc, "cannot write --pid-file %s", path) : 0;
}

static void fill_signals(sigset_t *set)
{
	(void)sigfillset(set);
	/* Those mean us, not the payload. */
	static const int ours[] = { SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTTOU };
	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		(void)sigdelset(set, ours[i]);
}

void oci_block_signals(void)
{
	sigset_t set;
	fill_signals(&set);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
}

struct session {
	pid_t pid;
	int pidfd, console_fd, signal_fd;
	bool stdin_open, is_raw;
	struct termios before;
	char typed[4096]; /* what the terminal has not taken yet */
	size_t n_typed;
};

static void fit_size(const struct session *s)
{
	uint16_t rows, columns;
	if (s->console_fd >= 0 && console_size(0, &rows, &columns) == 0)
		(void)console_resize(s->console_fd, rows, columns);
}

static void on_signal(const struct session *s)
{
	struct signalfd_siginfo info;
	while (read(s->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGWINCH && s->console_fd >= 0)
			fit_size(s);
		else if (info.ssi_signo != SIGCHLD && info.ssi_signo != SIGPIPE)
			(void)kill(s->pid, (int)info.ssi_signo);
	}
}

/* -EIO is how a terminal tells that its other side is closed. */
static ssize_t pump(int from, int to)
{
	char buf[16384];
	ssize_t n = read(from, buf, sizeof(buf));
	if (n < 0)
		return errno == EINTR || errno == EAGAIN ? 1 : 0;
	if (n > 0 && fd_write_all(to, buf, (size_t)n) < 0)
		return 0;
	return n;
}

static void drain(const struct session *s)
{
	struct pollfd p = { .fd = s->console_fd, .events = POLLIN };
	while (s->console_fd >= 0 && poll(&p, 1, 0) > 0 && pump(s->console_fd, 1) > 0)
		;
}

/* A payload that does not read its terminal must not keep its output from us. */
static void on_input(struct session *s, bool readable, bool writable)
{
	if (readable && s->n_typed == 0) {
		ssize_t n = read(0, s->typed, sizeof(s->typed));
		if (n > 0)
			s->n_typed = (size_t)n;
		else if (n == 0 || (errno != EINTR && errno != EAGAIN))
			s->stdin_open = false;
	}
	if (!writable || s->n_typed == 0)
		return;
	ssize_t n = write(s->console_fd, s->typed, s->n_typed);
	if (n < 0 && errno != EINTR && errno != EAGAIN)
		s->n_typed = 0; /* nobody is there to read it */
	if (n <= 0)
		return;
	s->n_typed -= (size_t)n;
	memmove(s->typed, s->typed + n, s->n_typed);
}

/* Until the payload ends. */
static int relay(struct session *s, struct err *err)
{
	for (;;) {
		bool tty = s->console_fd >= 0;
		struct pollfd p[] = {
			{ .fd = s->pidfd, .events = POLLIN },
			{ .fd = s->signal_fd, .events = POLLIN },
			{ .fd = s->console_fd, .events = s->n_typed ? POLLIN | POLLOUT : POLLIN },
			{ .fd = tty && s->stdin_open && !s->n_typed ? 0 : -1, .events = POLLIN },
		};
		if (poll(p, 4, -1) < 0 && errno != EINTR)
			return err_sys(err, "cannot wait for the payload");
		if (p[1].revents)
			on_signal(s);
		on_input(s, p[3].revents, tty && p[2].revents & POLLOUT);
		if (p[2].revents & ~POLLOUT && pump(s->console_fd, 1) <= 0)
			s->console_fd = -1;
		if (p[0].revents) {
			drain(s);
			return 0;
		}
	}
}

static int reap(const struct session *s, struct err *err)
{
	siginfo_t info;
	while (waitid(P_PIDFD, (id_t)s->pidfd, &info, WEXITED) < 0)
		if (errno != EINTR)
			return err_sys(err, "cannot wait for the payload");
	/* Orphans that came to us as their subreaper. */
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
}

int oci_wait(pid_t pid, int pidfd, int console_fd, struct err *err)
{
	sigset_t set;
	struct session s = {
		.pid = pid, .pidfd = pidfd, .console_fd = console_fd, .stdin_open = true
	};
	fill_signals(&set);
	s.signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s.signal_fd < 0)
		return err_sys(err, "cannot receive signals");
	fit_size(&s);
	s.is_raw = console_fd >= 0 && console_raw(0, &s.before) == 0;
	if (console_fd >= 0)
		(void)fd_set_nonblock(console_fd, true);
	int rc = relay(&s, err);
	if (s.is_raw)
		console_restore(0, &s.before);
	(void)close(s.signal_fd);
	return rc < 0 ? rc : reap(&s, err);
}

int oci_listen_fds(void)
{
	const char *n = getenv("LISTEN_FDS"), *pid = getenv("LISTEN_PID");
	int64_t count, whom;
	if (!n || num_parse_range(n, 1, 1024, &count) < 0)
		return 0;
	if (pid && (num_parse_i64(pid, &whom) < 0 || whom != getpid()))
		return 0;
	return (int)count;
}
