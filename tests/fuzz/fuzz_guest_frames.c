/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_guest_frames - the control connection on isola-init's side: the bytes of a seed, in
 * pieces as its first byte says, become whole requests with well-formed fields, or end the
 * guest; each request is answered once. */
#include "isola/fd.h"

#include "init/init.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define ENDED 1 /* plus the code */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char dir[64];
static struct sockaddr_un place = { .sun_family = AF_UNIX };
static int listener = -1;
static jmp_buf at_end;
static unsigned int asked;

/* ---- what the other files of isola-init would do ---- */

int source_watch(struct guest *g, struct source *src, uint32_t events)
{
	(void)g;
	src->events = events;
	return 0;
}

void guest_end(struct guest *g, int code, const char *why)
{
	(void)g;
	if (code != END_ASKED && (!why || !*why))
		abort();
	longjmp(at_end, ENDED + code);
}

void request_do(struct guest *g, unsigned int type, uint64_t seq, const uint8_t *body, size_t size)
{
	struct tlv_reader r = tlv_read(body, size);
	struct tlv_field f;
	struct err err = ERR_INIT;
	int rc;
	while ((rc = tlv_next(&r, &f)) > 0)
		if (f.size && (f.data < body || f.data + f.size > body + size))
			abort();
	if (rc < 0 || size > GUEST_BODY_MAX || type > UINT16_MAX)
		abort();
	asked++;
	if (type == GUEST_SHUTDOWN)
		guest_end(g, END_ASKED, NULL);
	(void)err_set(&err, 95, "request %u", type);
	link_answer(g, seq, type & 1 ? &err : NULL);
}

/* ---- the host's side ---- */

static void clean_up(void)
{
	(void)fd_remove_tree(AT_FDCWD, dir, NULL);
}

static void make_listener(void)
{
	if (listener >= 0)
		return;
	strcpy(dir, "/tmp/fg.XXXXXX");
	if (!mkdtemp(dir) || atexit(clean_up))
		abort();
	(void)snprintf(place.sun_path, sizeof(place.sun_path), "%s/s", dir);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener < 0 || bind(listener, (struct sockaddr *)&place, sizeof(place)) < 0 ||
	    listen(listener, 1) < 0)
		abort();
}

/* Whole frames, as many as there were requests. */
static unsigned int answers(int fd)
{
	unsigned int n = 0;
	uint8_t head[GUEST_FRAME_BYTES], body[1024];
	while (recv(fd, head, sizeof(head), MSG_DONTWAIT) == sizeof(head)) {
		size_t size = (size_t)tlv_load(head, 4);
		if (tlv_load(head + 4, 2) != GUEST_ANSWER || size > sizeof(body) ||
		    (size && recv(fd, body, size, MSG_DONTWAIT) != (ssize_t)size))
			abort();
		n++;
	}
	return n;
}

static void talk(struct guest *g, int fd, const uint8_t *data, size_t size, size_t piece)
{
	uint8_t hello[GUEST_HELLO_BYTES];
	unsigned int answered = 0;
	if (recv(fd, hello, sizeof(hello), MSG_DONTWAIT) != sizeof(hello) || hello[6] != 0)
		abort();
	for (size_t at = 0; at < size; at += piece) {
		size_t n = piece < size - at ? piece : size - at;
		if (send(fd, data + at, n, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)n)
			return;
		/* A turn takes so many frames; the loop would come again. */
		for (unsigned int before = asked + 1; before != asked;) {
			before = asked;
			g->control.on_event(g, &g->control, EPOLLIN | EPOLLOUT);
			answered += answers(fd);
		}
		if (answered != asked)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct guest g;
	static int fd;
	if (size < 1 || size > 65536)
		return 0;
	make_listener();
	g = (struct guest){ .test_socket = place.sun_path, .control = { .fd = -1 } };
	asked = 0;
	fd = -1;
	if (setjmp(at_end) == 0) {
		link_begin(&g);
		fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			abort();
		talk(&g, fd, data + 1, size - 1, data[0] ? data[0] : size);
	}
	free(g.body);
	free(g.out);
	fd_close(&fd);
	fd_close(&g.control.fd);
	return 0;
}
