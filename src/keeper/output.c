/* SPDX-License-Identifier: Apache-2.0 */
/* output - payio.h: what a payload writes. */
#include "payio.h"

#include "isola/console.h"
#include "isola/fd.h"

#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>

/* Reads in one turn of the loop, so that one busy payload of several (execs)
 * does not starve the control socket. */
#define READS_A_TURN 4
/* How much of a dead payload's output may come from others that still write to
 * the pipe: more than any pipe holds by default. */
#define LAST_BYTES ((size_t)2 * 1024 * 1024)
/* A terminal hands its last bytes on from a kernel thread; who writes on for ever, as a guest
 * can, is waited for no longer than this in all. */
#define TTY_LAST_MS  20
#define TTY_ALL_MS   200
#define RETRY_MIN_MS 50
#define RETRY_MAX_MS 1000

static unsigned int output_index(const struct output *out)
{
	return out == &out->io->out[0] ? 0 : 1;
}

static void close_output(struct output *out)
{
	loop_timer_stop(&out->retry);
	loop_unwatch(out->io->loop, &out->src);
	fd_close(&out->src.fd);
	if (out->io->log)
		jlog_end(out->io->log, (enum jlog_stream)output_index(out));
}

/* Of its own accord. */
static void output_ended(struct output *out)
{
	struct payio *io = out->io;
	close_output(out);
	for (int i = 0; i < PAYIO_OUTPUTS; i++)
		if (io->out[i].src.fd >= 0)
			return;
	if (io->on_output_end)
		io->on_output_end(io);
}

/* One read and its copies. Returns the count, 0 at the end of the output, or
 * -errno. */
static ssize_t read_some(struct output *out)
{
	struct payio *io = out->io;
	char *data = loop_scratch(io->loop);
	if (!data)
		return -ENOMEM;
	ssize_t n = read(out->src.fd, data, LOOP_SCRATCH_BYTES);
	if (n <= 0)
		return n < 0 ? -errno : 0;
	if (io->log)
		jlog_write(io->log, (enum jlog_stream)output_index(out), data, (size_t)n);
	streams_output(io, output_index(out), data, (size_t)n);
	return n;
}

static void watch_output(struct output *out)
{
	if (out->src.fd < 0 || out->retry.node.next)
		return;
	/* Not watched at all while a client is full: a hang-up would spin. */
	if (streams_are_full(out->io, output_index(out)) && !out->io->ended)
		loop_unwatch(out->io->loop, &out->src);
	else
		(void)loop_watch(out->io->loop, &out->src, EPOLLIN);
}

/* EIO from a pty's master: nobody has the terminal open. That can change as
 * long as the payload lives, and no event tells when. Also when memory is out. */
static void read_later(struct output *out)
{
	loop_unwatch(out->io->loop, &out->src);
	unsigned int ms = out->retry_ms ? out->retry_ms * 2 : RETRY_MIN_MS;
	out->retry_ms = ms < RETRY_MAX_MS ? ms : RETRY_MAX_MS;
	loop_timer(out->io->loop, &out->retry, out->retry_ms);
}

static void on_readable(struct source *src, uint32_t events)
{
	(void)events;
	struct output *out = container_of(src, struct output, src);
	ssize_t n = 1;
	for (int i = 0; i < READS_A_TURN && n > 0; i++) {
		if (streams_are_full(out->io, output_index(out)))
			break;
		n = read_some(out);
		if (n > 0)
			out->retry_ms = 0;
		if (n > 0 && n < LOOP_SCRATCH_BYTES / 2)
			break; /* most likely all there was */
	}
	if (n > 0 || n == -EAGAIN || n == -EINTR)
		watch_output(out);
	else if (n == -ENOMEM || (n == -EIO && out->io->tty))
		read_later(out);
	else
		output_ended(out);
}

static void on_retry(struct timer *timer)
{
	struct output *out = container_of(timer, struct output, retry);
	on_readable(&out->src, 0);
}

static void on_sink_ready(struct sink *sink)
{
	streams_resume_input(container_of(sink, struct payio, in));
}

void payio_prepare(struct payio *io, struct loop *loop, bool tty, bool has_stdin)
{
	*io = (struct payio){ .loop = loop, .tty = tty };
	list_init(&io->streams);
	sink_init(&io->in, loop, -1, on_sink_ready);
	if (has_stdin)
		sink_expect(&io->in);
	for (unsigned int i = 0; i < PAYIO_OUTPUTS; i++) {
		struct output *out = &io->out[i];
		out->io = io;
		out->src = (struct source){ .fd = -1, .on_event = on_readable };
		out->retry.on_time = on_retry;
	}
}

int payio_open(struct payio *io, struct payio_fds *fds)
{
	int rc = 0;
	/* A descriptor can be watched once, and a terminal is both ends. */
	if (io->tty && fds->fd[0] >= 0) {
		fds->fd[1] = fd_dup(fds->fd[0]);
		rc = fds->fd[1] < 0 ? fds->fd[1] : 0;
	}
	for (int i = 0; i < 3 && rc == 0; i++)
		rc = fds->fd[i] >= 0 ? fd_set_nonblock(fds->fd[i], true) : 0;
	for (unsigned int i = 0; i < PAYIO_OUTPUTS; i++) {
		struct output *out = &io->out[i];
		out->src.fd = take_fd(&fds->fd[1 + i]);
		if (rc == 0 && out->src.fd >= 0)
			rc = loop_watch(io->loop, &out->src, EPOLLIN);
	}
	if (rc == 0) {
		sink_open(&io->in, take_fd(&fds->fd[0]));
		return 0;
	}
	fd_close(&fds->fd[0]);
	for (unsigned int i = 0; i < PAYIO_OUTPUTS; i++) {
		loop_unwatch(io->loop, &io->out[i].src);
		fd_close(&io->out[i].src.fd);
	}
	return rc;
}

int payio_init(struct payio *io, struct loop *loop, struct payio_fds *fds, bool tty)
{
	payio_prepare(io, loop, tty, false);
	int rc = payio_open(io, fds);
	if (rc < 0)
		payio_fini(io);
	return rc;
}

/* What is in the pipe now: all that the payload itself wrote. Whoever else has
 * the other end open (an escaped child) is not waited for. */
static void read_rest(struct output *out)
{
	size_t total = 0;
	int64_t until = loop_now_ms() + TTY_ALL_MS;
	while (out->src.fd >= 0 && total < LAST_BYTES) {
		ssize_t n = read_some(out);
		if (n > 0)
			total += (size_t)n;
		else if (n == -EAGAIN && out->io->tty) {
			struct pollfd p = { .fd = out->src.fd, .events = POLLIN };
			if (loop_now_ms() >= until || poll(&p, 1, TTY_LAST_MS) <= 0)
				return;
		} else if (n != -EINTR)
			return;
	}
}

void payio_end(struct payio *io)
{
	io->ended = true;
	sink_fini(&io->in);
	for (int i = 0; i < PAYIO_OUTPUTS; i++) {
		if (io->out[i].src.fd < 0)
			continue;
		read_rest(&io->out[i]);
		close_output(&io->out[i]);
	}
}

void payio_fini(struct payio *io)
{
	if (!io->loop)
		return;
	io->ended = true;
	streams_close(io);
	sink_fini(&io->in);
	for (int i = 0; i < PAYIO_OUTPUTS; i++)
		if (io->out[i].src.fd >= 0)
			close_output(&io->out[i]);
}

int payio_resize(struct payio *io, unsigned int rows, unsigned int columns)
{
	if (!io->tty || io->out[0].src.fd < 0)
		return -ENOTTY;
	return console_resize(io->out[0].src.fd, (uint16_t)rows, (uint16_t)columns);
}

void payio_pressure_changed(struct payio *io)
{
	for (int i = 0; i < PAYIO_OUTPUTS && !io->ended; i++)
		watch_output(&io->out[i]);
}
