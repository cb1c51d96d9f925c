/* SPDX-License-Identifier: Apache-2.0 */
/* guest_console - what a guest's kernel prints at the serial port, and the programs around
 * it: nobody's output, but the last lines say why a guest did not come up. The bytes are
 * foreign. */
#include "guest.h"

#include "isola/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define LINES_SHOWN  6
#define READS_A_TURN 4

static ssize_t read_some(struct guest_console *c)
{
	char buf[1024];
	ssize_t n = read(c->src.fd, buf, sizeof(buf));
	for (ssize_t i = 0; i < n; i++)
		c->tail[c->n++ % sizeof(c->tail)] = buf[i];
	return n < 0 ? -errno : n;
}

static void on_readable(struct source *src, uint32_t events)
{
	struct guest_console *c = container_of(src, struct guest_console, src);
	ssize_t n = 1;
	(void)events;
	for (int i = 0; i < READS_A_TURN && n > 0; i++)
		n = read_some(c);
	if (n == 0 || (n < 0 && n != -EAGAIN && n != -EINTR))
		guest_console_close(c);
}

int guest_console_open(struct guest_console *c, struct loop *loop, int *ret_fd, struct err *err)
{
	int p[2];
	if (pipe2(p, O_CLOEXEC) < 0)
		return err_sys(err, "cannot make a pipe");
	c->loop = loop;
	c->src = (struct source){ .fd = p[0], .on_event = on_readable };
	int rc = fd_set_nonblock(p[0], true);
	if (rc == 0)
		rc = loop_watch(loop, &c->src, EPOLLIN);
	if (rc < 0) {
		fd_close(&c->src.fd);
		fd_close(&p[1]);
		return err_rc(err, rc, "cannot watch the guest's console");
	}
	*ret_fd = p[1];
	return 0;
}

void guest_console_close(struct guest_console *c)
{
	if (c->src.fd < 0)
		return;
	loop_unwatch(c->loop, &c->src);
	fd_close(&c->src.fd);
}

/* Where the last lines begin, as a count of @c->n. */
static size_t find_lines(const struct guest_console *c)
{
	size_t at = c->n, have = c->n < sizeof(c->tail) ? c->n : sizeof(c->tail);
	size_t first = c->n - have;
	int lines = 0;
	while (at > first) {
		if (c->tail[(at - 1) % sizeof(c->tail)] == '\n' && at < c->n &&
		    ++lines == LINES_SHOWN)
			break;
		at--;
	}
	return at;
}

void guest_console_tail(struct guest_console *c, char *ret, size_t size)
{
	size_t n = 0;
	for (int i = 0; i < 16 && c->src.fd >= 0 && read_some(c) > 0; i++)
		;
	size_t at = find_lines(c);
	/* The end counts: of lines too long for @ret the first go. */
	if (c->n - at >= size)
		at = c->n - (size - 1);
	for (; at < c->n && n + 1 < size; at++) {
		char b = c->tail[at % sizeof(c->tail)];
		if (b == '\r')
			continue;
		ret[n++] = b == '\n' ? '|' : b >= ' ' && b <= '~' ? b : '?';
	}
	while (n > 0 && (ret[n - 1] == '|' || ret[n - 1] == ' '))
		n--;
	ret[n] = '\0';
}
