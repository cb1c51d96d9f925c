/* SPDX-License-Identifier: Apache-2.0 */
/* guest_copy - a copy into a container's files by its guest (GUEST_COPY of isola/guest.h). The
 * stream that the guest opens for it is handed to whoever asked, with SCM_RIGHTS: no byte of
 * the archive passes here, and either end's death is the other's end of stream. */
#include "guest.h"

#include "isola/fd.h"
#include "isola/fd_pass.h"
#include "isola/json.h"

#include "control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct guest_copy {
	struct list node; /* guest.copies, until it is answered */
	struct guest *g;
	struct asker asker;
	uint64_t number;
	int fd;        /* a SOCK_SEQPACKET socket of who asked */
	int stream_fd; /* -1: it has not come */
};

static void copy_free(struct guest_copy *c)
{
	list_del(&c->node);
	fd_close(&c->fd);
	fd_close(&c->stream_fd);
	free(c);
}

static void refuse(int fd, const struct err *err)
{
	char text[GUEST_NOTICE_MAX + 16];
	int n = snprintf(text, sizeof(text), "%d %s", err->code, err->text);
	size_t size = n < (int)sizeof(text) ? (size_t)n : sizeof(text) - 1;
	(void)send(fd, text, size, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void on_begun(void *arg, const uint8_t *body, size_t size, const struct err *err)
{
	struct guest_copy *c = arg;
	struct keeper *k = c->g->k;
	struct asker asker = c->asker;
	(void)body;
	(void)size;
	if (err)
		refuse(c->fd, err);
	else
		/* Whoever asked may be gone: then the stream ends here, and with it the copy. */
		(void)fd_send_one(c->fd, "s", 1, c->stream_fd, MSG_DONTWAIT);
	copy_free(c);
	control_answer(k, &asker, NULL, err);
}

bool guest_copy_stream(struct guest *g, uint64_t process, int fd)
{
	list_for_each (node, &g->copies) {
		struct guest_copy *c = container_of(node, struct guest_copy, node);
		if (c->number != process)
			continue;
		fd_close(&c->stream_fd);
		c->stream_fd = fd;
		return true;
	}
	return false;
}

static int ask(struct guest_copy *c, struct err *err)
{
	cleanup_tlv struct tlv_writer w = { 0 };
	tlv_put_u64(&w, GF_PROCESS, c->number);
	tlv_put_u64(&w, GF_STREAMS, 1 << GUEST_STDIN);
	return guest_link_call(&c->g->link, GUEST_COPY, &w, GUEST_CALL_MS, on_begun, c, err);
}

int guest_copy_begin(struct keeper *k, int *fd, struct err *err)
{
	struct guest *g = k->guest;
	struct guest_copy *c = NULL;
	int rc = guest_need(g, err);
	if (rc == 0 && !(c = malloc(sizeof(*c))))
		rc = err_set(err, ENOMEM, "out of memory");
	if (rc == 0) {
		*c = (struct guest_copy){ .g = g,
					  .asker = k->asker,
					  .number = ++g->number,
					  .fd = fd_dup(*fd),
					  .stream_fd = -1 };
		list_add_tail(&g->copies, &c->node);
		rc = c->fd < 0 ? err_rc(err, c->fd, "cannot keep a descriptor") : ask(c, err);
	}
	if (rc == 0)
		return -EINPROGRESS;
	refuse(*fd, err);
	if (c)
		copy_free(c);
	return rc;
}
