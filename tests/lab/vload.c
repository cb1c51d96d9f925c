/* SPDX-License-Identifier: Apache-2.0 */
/* vload - in a guest of the lab's tests: commands and load over vsock. Static, its only
 * needs are a kernel and a shell.
 *   vload agent PORT          each connection is a line for sh; output, then NUL and the
 *                             exit status
 *   vload echo PORT           sends back what each of any number of connections sends
 *   vload flood PORT N BYTES  N connections to the host at once, BYTES through each and
 *                             back; prints how many came through whole */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#define HOST_CID  2
#define ECHO_MAX  8192
#define PIECE_MAX 4096

static int vsock_listen(unsigned int port)
{
	struct sockaddr_vm addr = { .svm_family = AF_VSOCK,
				    .svm_cid = VMADDR_CID_ANY,
				    .svm_port = port };
	int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    listen(fd, 4096) < 0) {
		perror("vload: listen");
		exit(1);
	}
	return fd;
}

static void serve_line(int fd)
{
	char line[4096], end[16];
	size_t n = 0;
	while (n < sizeof(line) - 1 && read(fd, line + n, 1) == 1 && line[n] != '\n')
		n++;
	line[n] = '\0';
	pid_t pid = fork();
	if (pid == 0) {
		(void)dup2(fd, 1);
		(void)dup2(fd, 2);
		(void)execl("/bin/sh", "sh", "-c", line, NULL);
		_exit(127);
	}
	int status = 0;
	(void)waitpid(pid, &status, 0);
	int len = snprintf(end + 1, sizeof(end) - 1, "%d",
			   WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	end[0] = '\0';
	(void)write(fd, end, (size_t)len + 1);
	/* Also when something in the background still has it. */
	(void)shutdown(fd, SHUT_WR);
}

static _Noreturn void agent(unsigned int port)
{
	int listener = vsock_listen(port);
	(void)signal(SIGCHLD, SIG_DFL);
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			continue;
		if (fork() == 0) {
			serve_line(fd);
			_exit(0);
		}
		(void)close(fd);
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
	}
}

struct conn {
	int fd;
	size_t n, at; /* to be sent back */
	char buf[PIECE_MAX];
};

/* Reads and sends back until one would wait. False at the end. */
static bool echo_on(struct conn *c)
{
	for (;;) {
		if (c->at == c->n) {
			ssize_t n = recv(c->fd, c->buf, sizeof(c->buf), MSG_DONTWAIT);
			if (n <= 0)
				return n < 0 && errno == EAGAIN;
			c->n = (size_t)n;
			c->at = 0;
		}
		ssize_t n = send(c->fd, c->buf + c->at, c->n - c->at, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0)
			return errno == EAGAIN;
		c->at += (size_t)n;
	}
}

static _Noreturn void echo(unsigned int port)
{
	int listener = vsock_listen(port), ep = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event ev = { .events = EPOLLIN };
	(void)epoll_ctl(ep, EPOLL_CTL_ADD, listener, &ev);
	for (;;) {
		struct epoll_event got[64];
		int n = epoll_wait(ep, got, 64, -1);
		for (int i = 0; i < n; i++) {
			struct conn *c = got[i].data.ptr;
			if (!c) {
				c = calloc(1, sizeof(*c));
				c->fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
				ev = (struct epoll_event){ .events = EPOLLIN | EPOLLOUT | EPOLLET,
							   .data.ptr = c };
				if (c->fd < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &ev) < 0)
					free(c);
			} else if (!echo_on(c)) {
				(void)close(c->fd);
				free(c);
			}
		}
	}
}

static char byte_of(unsigned int conn, size_t at)
{
	return (char)(conn * 31 + at * 7 + (at >> 8));
}

/* A poll() of all: simple, and enough for some thousands. */
static int flood(unsigned int port, unsigned int n, size_t bytes)
{
	struct sockaddr_vm addr = { .svm_family = AF_VSOCK, .svm_cid = HOST_CID, .svm_port = port };
	struct pollfd *fds = calloc(n, sizeof(*fds));
	size_t *sent = calloc(n, sizeof(*sent)), *got = calloc(n, sizeof(*got));
	unsigned int opened = 0, good = 0, open;
	for (unsigned int i = 0; i < n; i++) {
		const struct timeval patience = { .tv_sec = 30 };
		fds[i].fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
		(void)setsockopt(fds[i].fd, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &patience,
				 sizeof(patience));
		if (connect(fds[i].fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
			(void)close(fds[i].fd);
			fds[i].fd = -1;
		} else {
			opened++;
		}
	}
	for (open = opened; open > 0;) {
		for (unsigned int i = 0; i < n; i++)
			fds[i].events = (short)(POLLIN | (sent[i] < bytes ? POLLOUT : 0));
		if (poll(fds, n, 20000) <= 0)
			break;
		for (unsigned int i = 0; i < n; i++) {
			char buf[PIECE_MAX];
			size_t want = bytes - sent[i] < sizeof(buf) ? bytes - sent[i] : sizeof(buf);
			bool over = false;
			if (fds[i].fd < 0 || !fds[i].revents)
				continue;
			if (want && fds[i].revents & POLLOUT) {
				for (size_t k = 0; k < want; k++)
					buf[k] = byte_of(i, sent[i] + k);
				ssize_t k = send(fds[i].fd, buf, want, MSG_DONTWAIT | MSG_NOSIGNAL);
				sent[i] += k > 0 ? (size_t)k : 0;
			}
			ssize_t k = recv(fds[i].fd, buf, sizeof(buf), MSG_DONTWAIT);
			over = k == 0 || (k < 0 && errno != EAGAIN);
			for (ssize_t j = 0; j < k; j++, got[i]++)
				over |= buf[j] != byte_of(i, got[i]);
			if (got[i] == bytes || over) {
				good += got[i] == bytes;
				(void)close(fds[i].fd);
				fds[i].fd = -1;
				open--;
			}
		}
	}
	printf("opened %u good %u\n", opened, good);
	return good == n ? 0 : 1;
}

int main(int argc, char **argv)
{
	const struct rlimit files = { 16384, 16384 };
	(void)setrlimit(RLIMIT_NOFILE, &files);
	(void)signal(SIGPIPE, SIG_IGN);
	unsigned int port = argc > 2 ? (unsigned int)strtoul(argv[2], NULL, 10) : 0;
	if (argc == 3 && !strcmp(argv[1], "agent"))
		agent(port);
	if (argc == 3 && !strcmp(argv[1], "echo"))
		echo(port);
	if (argc == 5 && !strcmp(argv[1], "flood"))
		return flood(port, (unsigned int)strtoul(argv[3], NULL, 10),
			     strtoul(argv[4], NULL, 10));
	(void)fprintf(stderr, "vload: agent PORT | echo PORT | flood PORT N BYTES\n");
	return 2;
}
