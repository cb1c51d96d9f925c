/* SPDX-License-Identifier: Apache-2.0 */
/* guest_greet - a connection of the guest until it has said hello (isola/guest.h). */
#include "guest_link.h"

#include "isola/fd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define HELLO_MS 30000 /* an emulated guest is slow */

struct greet {
	struct list node; /* link.greets, oldest first */
	struct guest_link *link;
	struct source src;
	int64_t at_ms; /* until then it has said hello */
	uint8_t hello[GUEST_HELLO_BYTES];
	size_t got;
};

static void greet_free(struct greet *g)
{
	loop_unwatch(g->link->loop, &g->src);
	fd_close(&g->src.fd);
	list_del(&g->node);
	g->link->n_greets--;
	free(g);
}

static void on_hello(struct greet *g)
{
	struct guest_link *l = g->link;
	unsigned int version = (unsigned int)tlv_load(g->hello + 4, 2);
	unsigned int kind = g->hello[6], stream = g->hello[7];
	uint64_t process = tlv_load(g->hello + 8, 8);
	bool is_ours = !memcmp(g->hello, GUEST_MAGIC, 4);
	int fd = -1;
	loop_unwatch(l->loop, &g->src);
	fd = take_fd(&g->src.fd);
	greet_free(g);
	if (is_ours && version == GUEST_VERSION && kind == GUEST_STREAM) {
		guest_call_stream(l, process, stream, fd);
		return;
	}
	if (is_ours && version == GUEST_VERSION && kind == GUEST_CONTROL && !stream && !process &&
	    l->control.fd < 0) {
		(void)guest_link_control(l, fd);
		return;
	}
	fd_close(&fd);
	if (is_ours && version != GUEST_VERSION)
		(void)guest_link_break(
			l, EPROTO,
			"the guest's isola-init speaks version %u, this isola-keeper "
			"version %d: the initramfs is of another build",
			version, GUEST_VERSION);
	else
		(void)guest_link_break(l, EPROTO,
				       "a connection of the guest began with no hello, "
				       "or with one too many");
}

/* @g is gone afterwards, or waits for more. */
static void greet_read(struct greet *g)
{
	while (g->got < GUEST_HELLO_BYTES) {
		ssize_t n = recv(g->src.fd, g->hello + g->got, GUEST_HELLO_BYTES - g->got,
				 MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) { /* it thought better of it */
			greet_free(g);
			return;
		}
		g->got += (size_t)n;
	}
	on_hello(g);
}

static void on_event(struct source *src, uint32_t events)
{
	(void)events;
	greet_read(container_of(src, struct greet, src));
}

int guest_link_connect(struct guest_link *l, struct err *err)
{
	int fds[2];
	if (l->broken)
		return err_set(err, ESRCH, "the guest is not heard any more");
	if (l->n_greets >= GUEST_GREETS_MAX)
		return err_set(err, EBUSY, "%zu connections of the guest say nothing", l->n_greets);
	struct greet *g = calloc(1, sizeof(*g));
	if (!g)
		return err_set(err, ENOMEM, "out of memory");
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0) {
		free(g);
		return err_sys(err, "cannot make a socket pair");
	}
	g->link = l;
	g->src = (struct source){ .fd = fds[0], .on_event = on_event };
	g->at_ms = loop_now_ms() + HELLO_MS;
	list_add_tail(&l->greets, &g->node);
	l->n_greets++;
	int rc = loop_watch(l->loop, &g->src, EPOLLIN);
	if (rc < 0) {
		greet_free(g);
		(void)close(fds[1]);
		return err_rc(err, rc, "cannot watch a connection of the guest");
	}
	guest_link_set_timer(l);
	return fds[1];
}

/* Each of them may end the link, and with it the list. */
void guest_greet_all(struct guest_link *l)
{
	struct list *node = l->greets.next;
	for (size_t n = l->n_greets; n > 0 && !l->broken && node != &l->greets; n--) {
		struct list *next = node->next;
		greet_read(container_of(node, struct greet, node));
		node = next;
	}
}

int64_t guest_greet_next_ms(const struct guest_link *l)
{
	return list_is_empty(&l->greets) ? INT64_MAX
					 : container_of(l->greets.next, struct greet, node)->at_ms;
}

void guest_greet_on_time(struct guest_link *l)
{
	int64_t now = loop_now_ms();
	list_for_each_safe (node, &l->greets) {
		struct greet *g = container_of(node, struct greet, node);
		if (g->at_ms <= now)
			greet_free(g);
	}
}

void guest_greet_end(struct guest_link *l)
{
	list_for_each_safe (node, &l->greets)
		greet_free(container_of(node, struct greet, node));
}
