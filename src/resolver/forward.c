/* SPDX-License-Identifier: Apache-2.0 */
/* forward - see forward.h. isola-resolver. */
#define CARES_NO_DEPRECATED /* 1.28 has newer calls, which Debian 12 has not */
#include "forward.h"

#include "isola/net.h"

#include <ares.h>
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>

#define TIMEOUT_MS  2000
#define TRIES       2
#define SERVERS_MAX 8
#define CHECK_MS    250
/* Sockets of one set: a UDP and a TCP one for each server. */
#define SOCKETS_MAX (2 * SERVERS_MAX)

struct sock {
	struct watch watch;
	struct forward *fw;
};

struct forward {
	struct list node;
	struct forwards *all;
	char *servers;
	unsigned int refs;
	ares_channel channel;
	struct sock socks[SOCKETS_MAX];
};

struct question {
	struct forward *fw;
	forward_fn *done;
	void *arg;
};

static void on_ready(struct watch *w, uint32_t events)
{
	struct sock *s = container_of(w, struct sock, watch);
	bool broken = events & (EPOLLERR | EPOLLHUP);
	ares_process_fd(s->fw->channel, broken || (events & EPOLLIN) ? w->fd : ARES_SOCKET_BAD,
			events & EPOLLOUT ? w->fd : ARES_SOCKET_BAD);
}

static struct sock *find_sock(struct forward *fw, int fd)
{
	for (size_t i = 0; i < SOCKETS_MAX; i++)
		if (fw->socks[i].watch.fd == fd)
			return &fw->socks[i];
	return NULL;
}

/* c-ares tells what it waits for; 0 and 0: it is about to close it. */
static void on_sock(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct forward *fw = arg;
	struct loop *loop = fw->all->loop;
	struct sock *s = find_sock(fw, fd);
	uint32_t events = (readable ? EPOLLIN : 0u) | (writable ? EPOLLOUT : 0u);
	if (s && !events) {
		loop_remove(loop, &s->watch);
		s->watch.fd = -1;
	} else if (s) {
		loop_change(loop, &s->watch, events);
	} else if (events && (s = find_sock(fw, -1))) {
		s->watch.fd = fd;
		if (loop_add(loop, &s->watch, events) < 0)
			s->watch.fd = -1; /* and the query runs into its time-out */
	}
}

/* ---- sets of servers ---- */

static int set_servers(struct forward *fw)
{
	struct ares_addr_node nodes[SERVERS_MAX] = { 0 };
	size_t n = 0;
	char text[NET_ADDR_TEXT];
	for (const char *p = fw->servers; *p && n < SERVERS_MAX; p += *p == ',') {
		size_t len = strcspn(p, ",");
		struct net_addr a;
		if (len < sizeof(text)) {
			memcpy(text, p, len);
			text[len] = '\0';
			if (net_addr_parse(text, &a) == 0) {
				nodes[n].family = a.family;
				memcpy(&nodes[n].addr, a.bytes, a.family == AF_INET6 ? 16 : 4);
				nodes[n].next = NULL;
				if (n)
					nodes[n - 1].next = &nodes[n];
				n++;
			}
		}
		p += len;
	}
	return n ? ares_set_servers(fw->channel, nodes) : ARES_ENOTFOUND;
}

static int open_channel(struct forward *fw)
{
	struct ares_options options = {
		.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES,
		.timeout = TIMEOUT_MS,
		.tries = TRIES,
		.sock_state_cb = on_sock,
		.sock_state_cb_data = fw,
		.lookups = (char[]){ "b" },
		.ednspsz = 4096,
	};
	int rc = ares_init_options(&fw->channel, &options,
				   ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
					   ARES_OPT_SOCK_STATE_CB | ARES_OPT_LOOKUPS |
					   ARES_OPT_EDNSPSZ);
	if (rc != ARES_SUCCESS)
		return rc;
	rc = set_servers(fw);
	if (rc != ARES_SUCCESS)
		ares_destroy(fw->channel);
	return rc;
}

void forwards_init(struct forwards *f, struct loop *loop)
{
	*f = (struct forwards){ .loop = loop };
	list_init(&f->all);
	(void)ares_library_init(ARES_LIB_INIT_ALL);
}

struct forward *forward_get(struct forwards *f, const char *servers)
{
	if (!*servers)
		return NULL;
	list_for_each (node, &f->all) {
		struct forward *fw = container_of(node, struct forward, node);
		if (strcmp(fw->servers, servers) != 0)
			continue;
		fw->refs++;
		return fw;
	}
	struct forward *fw = calloc(1, sizeof(*fw));
	if (!fw)
		return NULL;
	fw->all = f;
	fw->refs = 1;
	for (size_t i = 0; i < SOCKETS_MAX; i++)
		fw->socks[i] = (struct sock){ { -1, on_ready }, fw };
	fw->servers = strdup(servers);
	if (!fw->servers || open_channel(fw) != ARES_SUCCESS) {
		free(fw->servers);
		free(fw);
		return NULL;
	}
	list_add_tail(&f->all, &fw->node);
	return fw;
}

static void destroy(struct forward *fw)
{
	list_del(&fw->node);
	ares_destroy(fw->channel); /* answers what is under way */
	free(fw->servers);
	free(fw);
}

/* Not at once: this may be called from within its channel. */
void forward_put(struct forward *fw)
{
	if (fw)
		fw->refs--;
}

void forwards_fini(struct forwards *f)
{
	while (!list_is_empty(&f->all))
		destroy(container_of(f->all.next, struct forward, node));
}

void forwards_check(struct forwards *f)
{
	bool late = f->loop->now_ms - f->looked_ms >= CHECK_MS;
	if (late)
		f->looked_ms = f->loop->now_ms;
	list_for_each_safe (node, &f->all) {
		struct forward *fw = container_of(node, struct forward, node);
		if (!fw->refs)
			destroy(fw);
		else if (late && f->under_way)
			ares_process_fd(fw->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	}
}

/* ---- questions ---- */

static void on_answer(void *arg, int status, int timeouts, unsigned char *answer, int size)
{
	struct question *q = arg;
	(void)timeouts;
	q->fw->all->under_way--;
	/* With a failure of the server there may be an answer that says so. */
	bool any = answer && size > 0 && (status == ARES_SUCCESS || size >= 12);
	q->done(q->arg, any ? answer : NULL, any ? (size_t)size : 0);
	free(q);
}

void forward_ask(struct forward *fw, const uint8_t *query, size_t size, forward_fn *done, void *arg)
{
	struct question *q = malloc(sizeof(*q));
	if (!q) {
		done(arg, NULL, 0);
		return;
	}
	*q = (struct question){ fw, done, arg };
	fw->all->under_way++;
	ares_send(fw->channel, query, (int)size, on_answer, q);
}

uint16_t forward_id(void)
{
	/* A system call for many ids. */
	static uint16_t pool[64];
	static size_t left;
	if (!left) {
		if (getrandom(pool, sizeof(pool), 0) != (ssize_t)sizeof(pool))
			abort();
		left = sizeof(pool) / sizeof(pool[0]);
	}
	return pool[--left];
}
