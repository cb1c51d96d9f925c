/* SPDX-License-Identifier: Apache-2.0 */
/* stream - see stream.h. The frames are Docker's: stream number, three zero
 * bytes, length as 32 bits big-endian. Runs in the CLIs. */
#include "stream.h"

#include "isola/fd.h"
#include "terminal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>

#define CHUNK_BYTES 32768

struct pump {
	struct stream *s;
	struct stream_demux demux;
	bool input_open;
	unsigned char out[CHUNK_BYTES + DETACHKEYS_MAX]; /* typed, not yet sent */
	size_t sent, waiting;
	int64_t retry_at_ms; /* of the watched connection */
};

static const int proxied[] = { SIGINT,  SIGTERM, SIGHUP,  SIGQUIT, SIGUSR1,
			       SIGUSR2, SIGCONT, SIGALRM, SIGABRT };

static void signal_set(bool proxy, sigset_t *set)
{
	(void)sigemptyset(set);
	(void)sigaddset(set, SIGWINCH);
	if (proxy)
		for (size_t i = 0; i < sizeof(proxied) / sizeof(proxied[0]); i++)
			(void)sigaddset(set, proxied[i]);
}

void stream_block_signals(bool proxy)
{
	sigset_t set;
	signal_set(proxy, &set);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
}

int stream_demux(struct stream_demux *p, const void *data, size_t size, struct err *err)
{
	const unsigned char *buf = data;
	while (size > 0) {
		if (p->left == 0) {
			size_t n = sizeof(p->head) - p->head_size;
			n = n < size ? n : size;
			memcpy(p->head + p->head_size, buf, n);
			p->head_size += n;
			buf += n;
			size -= n;
			if (p->head_size < sizeof(p->head))
				return 0;
			if (p->head[0] > 2)
				return err_set(err, EPROTO, "the output stream is malformed");
			p->left = (uint32_t)p->head[4] << 24 | (uint32_t)p->head[5] << 16 |
				  (uint32_t)p->head[6] << 8 | p->head[7];
			if (p->left == 0)
				p->head_size = 0;
			continue;
		}
		size_t n = p->left < size ? p->left : size;
		int rc = fd_write_all(p->head[0] == 2 ? STDERR_FILENO : STDOUT_FILENO, buf, n);
		if (rc < 0)
			return err_rc(err, rc, "cannot write the output");
		buf += n;
		size -= n;
		p->left -= (uint32_t)n;
		if (p->left == 0)
			p->head_size = 0;
	}
	return 0;
}

/* 1 = go on, 0 = end of output. */
static int pump_output(struct pump *p, struct err *err)
{
	unsigned char buf[CHUNK_BYTES];
	ssize_t n = recv(p->s->sock, buf, sizeof(buf), 0);
	if (n < 0)
		return errno == EINTR        ? 1
		       : errno == ECONNRESET ? 0
					     : err_sys(err, "lost the output");
	if (n == 0)
		return 0;
	int rc = p->s->mux ? stream_demux(&p->demux, buf, (size_t)n, err)
			   : fd_write_all(STDOUT_FILENO, buf, (size_t)n);
	return rc < 0 ? rc : 1;
}

static void end_input(struct pump *p)
{
	p->input_open = false;
	(void)shutdown(p->s->sock, SHUT_WR);
}

/* Sends what is waiting. It never blocks: a payload that waits for us to read
 * its output would otherwise wait for ever. */
static void flush_input(struct pump *p)
{
	while (p->sent < p->waiting) {
		ssize_t n = send(p->s->sock, p->out + p->sent, p->waiting - p->sent,
				 MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) { /* reads no more: no error, its output still counts */
			p->input_open = false;
			break;
		}
		p->sent += (size_t)n;
	}
	p->sent = p->waiting = 0;
}

/* Returns 1 when the detach keys were typed. */
static int pump_input(struct pump *p)
{
	unsigned char in[CHUNK_BYTES];
	ssize_t n = read(STDIN_FILENO, in, sizeof(in));
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n <= 0) {
		end_input(p);
		return 0;
	}
	int found = 0;
	p->waiting = (size_t)n;
	if (p->s->tty)
		found = detachkeys_scan(&p->s->detach, in, (size_t)n, p->out, &p->waiting);
	else
		memcpy(p->out, in, (size_t)n);
	flush_input(p);
	return found;
}

static void pump_signal(struct pump *p, int fd)
{
	struct signalfd_siginfo si;
	int h, w;
	if (read(fd, &si, sizeof(si)) != sizeof(si))
		return;
	if (si.ssi_signo != SIGWINCH) {
		if (p->s->on_signal)
			p->s->on_signal(p->s->arg, (int)si.ssi_signo);
	} else if (p->s->tty && p->s->on_resize && terminal_size(STDIN_FILENO, &h, &w) == 0) {
		p->s->on_resize(p->s->arg, h, w);
	}
}

#define RETRY_MS 50

static int64_t now_ms(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* How long to poll: for ever, or until the next attempt. */
static int watch_timeout(const struct pump *p)
{
	if (p->s->watch_fd != STREAM_WATCH_RETRY)
		return -1;
	int64_t left = p->retry_at_ms - now_ms();
	return left > 0 ? (int)left : 0;
}

static void pump_watch(struct pump *p, short revents)
{
	struct stream *s = p->s;
	if (s->watch_fd == STREAM_WATCH_NONE)
		return;
	if (s->watch_fd == STREAM_WATCH_RETRY ? now_ms() < p->retry_at_ms : !revents)
		return;
	s->watch_fd = s->on_hangup(s->arg);
	p->retry_at_ms = now_ms() + RETRY_MS;
}

static int pump_loop(struct pump *p, int sig_fd, struct err *err)
{
	for (;;) {
		struct pollfd fds[] = {
			{ .fd = p->s->sock, .events = p->waiting ? POLLIN | POLLOUT : POLLIN },
			{ .fd = sig_fd, .events = POLLIN },
			{ .fd = p->input_open && !p->waiting ? STDIN_FILENO : -1,
			  .events = POLLIN },
			{ .fd = p->s->watch_fd, .events = POLLRDHUP },
		};
		if (poll(fds, 4, watch_timeout(p)) < 0) {
			if (errno == EINTR)
				continue;
			return err_sys(err, "cannot wait for the payload's output");
		}
		if (fds[1].revents)
			pump_signal(p, sig_fd);
		if (fds[2].revents && pump_input(p))
			return STREAM_DETACHED;
		if (fds[0].revents & POLLOUT)
			flush_input(p);
		if (fds[0].revents & ~POLLOUT) {
			int rc = pump_output(p, err);
			if (rc <= 0)
				return rc < 0 ? rc : STREAM_EOF;
		}
		pump_watch(p, fds[3].revents);
	}
}

int stream_pump(struct stream *s, struct err *err)
{
	struct pump p = { .s = s, .input_open = s->stdin_ };
	sigset_t set;
	signal_set(s->proxy, &set);
	stream_block_signals(s->proxy);
	cleanup_fd int sig_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (sig_fd < 0)
		return err_sys(err, "cannot watch signals");
	if (s->tty && s->stdin_)
		terminal_raw(STDIN_FILENO);
	int h, w;
	if (s->tty && s->on_resize && terminal_size(STDIN_FILENO, &h, &w) == 0)
		s->on_resize(s->arg, h, w);
	int rc = pump_loop(&p, sig_fd, err);
	terminal_restore();
	return rc;
}
