/* SPDX-License-Identifier: Apache-2.0 */
/* link - connections to the host and frames (isola/guest.h). vsock(7). In tests a Unix
 * socket stands for CID 2 and its port. */
#include "init.h"

#include "isola/fd.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <linux/vm_sockets.h>

#define OUT_MAX       (4 * GUEST_BODY_MAX)
#define FRAMES_A_TURN 16
#define CONNECT_TRIES 3
#define CONNECT_MS    10000

/* A connection to the host. @later: it may still be under way, which finish_connect()
 * waits for. */
static int connect_once(const struct guest *g, bool later)
{
	struct sockaddr_vm host = { .svm_family = AF_VSOCK,
				    .svm_cid = VMADDR_CID_HOST,
				    .svm_port = GUEST_PORT };
	struct sockaddr_un test = { .sun_family = AF_UNIX };
	const bool is_test = g->test_socket != NULL;
	if (is_test && strlen(g->test_socket) < sizeof(test.sun_path))
		strcpy(test.sun_path, g->test_socket);
	/* A Unix socket's connect waits for room, and is never under way. */
	int type = SOCK_STREAM | SOCK_CLOEXEC | (later && !is_test ? SOCK_NONBLOCK : 0);
	cleanup_fd int fd = socket(is_test ? AF_UNIX : AF_VSOCK, type, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, is_test ? (struct sockaddr *)&test : (struct sockaddr *)&host,
		    is_test ? sizeof(test) : sizeof(host)) < 0 &&
	    !(later && errno == EINPROGRESS))
		return -errno;
	return take_fd(&fd);
}

static int connect_host(const struct guest *g)
{
	int fd = -EIO;
	for (int i = 0; i < CONNECT_TRIES && fd < 0; i++)
		fd = connect_once(g, false);
	return fd;
}

/* Of one that may be under way: a new one in its place where it has failed. */
static int finish_connect(const struct guest *g, int *fd)
{
	struct pollfd p = { .fd = *fd, .events = POLLOUT };
	int error = ETIMEDOUT;
	socklen_t size = sizeof(error);
	if (*fd >= 0 && poll(&p, 1, CONNECT_MS) > 0 &&
	    getsockopt(*fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && !error)
		return fd_set_nonblock(*fd, false);
	fd_close(fd);
	*fd = connect_host(g);
	return *fd < 0 ? *fd : 0;
}

int link_begin_open(struct guest *g)
{
	return connect_once(g, true);
}

int link_finish_open(struct guest *g, enum guest_kind kind, unsigned int stream, uint64_t process,
		     int *fd, struct err *err)
{
	uint8_t hello[GUEST_HELLO_BYTES] = GUEST_MAGIC;
	tlv_store(hello + 4, 2, GUEST_VERSION);
	hello[6] = (uint8_t)kind;
	hello[7] = (uint8_t)stream;
	tlv_store(hello + 8, 8, process);
	int rc = finish_connect(g, fd);
	if (rc == 0)
		rc = fd_write_all(*fd, hello, sizeof(hello));
	if (rc == 0)
		rc = fd_set_nonblock(*fd, true);
	return rc < 0 ? err_rc(err, rc, "cannot connect to the host") : 0;
}

static void flush(struct guest *g)
{
	size_t done = 0;
	while (done < g->out_size) {
		ssize_t n = send(g->control.fd, g->out + done, g->out_size - done, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			guest_end(g, END_PEER_GONE, "the host is gone");
		if (n < 0)
			break;
		done += (size_t)n;
	}
	g->out_size -= done;
	if (done > 0)
		memmove(g->out, g->out + done, g->out_size);
	(void)source_watch(g, &g->control, EPOLLIN | (g->out_size ? EPOLLOUT : 0));
}

void link_send(struct guest *g, enum guest_type type, uint64_t seq, const struct tlv_writer *body)
{
	size_t size = body ? body->size : 0;
	uint8_t *out = NULL;
	if (g->out_size + GUEST_FRAME_BYTES + size <= OUT_MAX && !(body && body->failed))
		out = realloc(g->out, g->out_size + GUEST_FRAME_BYTES + size);
	if (!out)
		guest_end(g, END_TROUBLE, "no memory for what the host does not read");
	g->out = out;
	out += g->out_size;
	tlv_store(out, 4, size);
	tlv_store(out + 4, 2, type);
	tlv_store(out + 6, 2, 0);
	tlv_store(out + 8, 8, seq);
	if (size)
		memcpy(out + GUEST_FRAME_BYTES, body->data, size);
	g->out_size += GUEST_FRAME_BYTES + size;
	flush(g);
}

void link_answer(struct guest *g, uint64_t seq, const struct err *err)
{
	cleanup_tlv struct tlv_writer w = { 0 };
	if (err && err->code) {
		char text[GUEST_NOTICE_MAX];
		size_t n = strnlen(err->text, sizeof(text) - 1);
		memcpy(text, err->text, n);
		text[n] = '\0';
		tlv_put_u64(&w, GF_ERROR, (uint64_t)err->code);
		tlv_put_text(&w, GF_TEXT, text);
	}
	link_send(g, GUEST_ANSWER, seq, &w);
}

/* 1 all of it, 0 not yet. */
static int fill(struct guest *g, uint8_t *to, size_t have, size_t want)
{
	while (have < want) {
		ssize_t n = recv(g->control.fd, to + have, want - have, MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n <= 0)
			guest_end(g, END_PEER_GONE, "the host is gone");
		have += (size_t)n;
		g->got += (size_t)n;
	}
	return 1;
}

static int read_frame(struct guest *g)
{
	if (g->got < GUEST_FRAME_BYTES && !fill(g, g->head, g->got, GUEST_FRAME_BYTES))
		return 0;
	size_t size = (size_t)tlv_load(g->head, 4);
	if (size > GUEST_BODY_MAX || tlv_load(g->head + 6, 2) != 0)
		guest_end(g, END_PROTOCOL, "the host sent a malformed frame");
	if (!g->body && size > 0 && !(g->body = malloc(size)))
		guest_end(g, END_TROUBLE, "no memory for what the host asks");
	if (!fill(g, g->body, g->got - GUEST_FRAME_BYTES, size))
		return 0;
	struct tlv_field ignored;
	if (tlv_find(g->body, size, 0, &ignored) < 0)
		guest_end(g, END_PROTOCOL, "the host sent malformed fields");
	request_do(g, (unsigned int)tlv_load(g->head + 4, 2), tlv_load(g->head + 8, 8), g->body,
		   size);
	free(g->body);
	g->body = NULL;
	g->got = 0;
	return 1;
}

static void on_control(struct guest *g, struct source *src, uint32_t events)
{
	(void)src;
	if (events & EPOLLOUT)
		flush(g);
	for (int i = 0; i < FRAMES_A_TURN; i++)
		if (!read_frame(g))
			break;
}

void link_begin(struct guest *g)
{
	struct err e = ERR_INIT;
	int fd = link_begin_open(g);
	if (link_finish_open(g, GUEST_CONTROL, 0, 0, &fd, &e) < 0)
		guest_end(g, END_PEER_GONE, e.text);
	g->control = (struct source){ .fd = fd, .on_event = on_control };
	(void)source_watch(g, &g->control, EPOLLIN);
}
