/* SPDX-License-Identifier: Apache-2.0 */
/* client - see client.h: queries and their answers. isola-resolver. */
#include "client.h"

#include "gateway.h"

#include "isola/fd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

/* Seconds that a client may remember an address: members come and go. */
#define TTL_S 10

/* A query that waits for another server's answer. */
struct pending {
	struct list node;      /* in client->pending */
	struct client *client; /* NULL: it is gone */
	bool unwanted;         /* its stream is gone; it counts until it is answered */
	struct peer peer;
	struct dns_query q;
	size_t size;
	uint8_t query[];
};

static void reply(struct client *c, const struct peer *peer, const uint8_t *data, size_t size)
{
	if (peer->stream)
		stream_answer(peer->stream, data, size);
	else
		(void)sendto(peer->gateway ? peer->gateway->udp.fd : c->udp.fd, data, size,
			     MSG_DONTWAIT | MSG_NOSIGNAL, (const struct sockaddr *)&peer->to,
			     peer->to_len);
}

static void reply_code(struct client *c, const struct peer *peer, const uint8_t *query,
		       const struct dns_query *q, enum dns_rcode rcode)
{
	uint8_t buf[DNS_UDP_MIN];
	struct dns_answer a;
	dns_answer_init(&a, buf, sizeof(buf), query, q);
	reply(c, peer, buf, dns_answer_end(&a, rcode));
}

/* ---- names of ours ---- */

static void add_match(struct dns_answer *a, const struct dns_query *q, const struct match *m)
{
	if (*m->name && (q->type == DNS_PTR || q->type == DNS_ANY))
		dns_answer_name(a, m->name, TTL_S);
	for (size_t i = 0; i < m->n_addresses; i++) {
		unsigned int type = m->addresses[i].family == AF_INET6 ? DNS_AAAA : DNS_A;
		if (q->type == type || q->type == DNS_ANY)
			dns_answer_address(a, &m->addresses[i], TTL_S);
	}
}

/* Whoever has a name with others is the first one now and then. */
static bool answer_own(struct client *c, const struct peer *peer, const uint8_t *data,
		       const struct dns_query *q)
{
	static struct match found[NAMES_MATCHES_MAX];
	static uint8_t buf[32 * 1024];
	struct dns_answer a;
	size_t n = q->class == 1 ? names_find(c->r->names, c->member, q->name, found) : 0;
	if (!n)
		return false;
	dns_answer_init(&a, buf, peer->stream ? sizeof(buf) : q->udp_max, data, q);
	size_t first = n > 1 ? forward_id() % n : 0;
	for (size_t i = 0; i < n; i++)
		add_match(&a, q, &found[(first + i) % n]);
	reply(c, peer, buf, dns_answer_end(&a, DNS_NOERROR));
	return true;
}

/* ---- names of others ---- */

static void on_answer(void *arg, const uint8_t *answer, size_t size)
{
	static uint8_t buf[DNS_TCP_MAX];
	struct pending *p = arg;
	struct client *c = p->client;
	list_del(&p->node);
	if (c)
		c->queries--;
	if (c && !p->unwanted) {
		if (!answer || size > sizeof(buf) ||
		    !dns_is_answer(answer, size, p->query, &p->q)) {
			reply_code(c, &p->peer, p->query, &p->q, DNS_SERVFAIL);
		} else {
			memcpy(buf, answer, size);
			buf[0] = (uint8_t)(p->q.id >> 8);
			buf[1] = (uint8_t)p->q.id;
			if (!p->peer.stream && size > p->q.udp_max)
				size = dns_truncate(buf, &p->q);
			reply(c, &p->peer, buf, size);
		}
	}
	free(p);
}

static void ask_others(struct client *c, const struct peer *peer, const uint8_t *data, size_t size,
		       const struct dns_query *q)
{
	struct resolver *r = c->r;
	struct forward *fw = c->own ? c->own : r->host;
	struct pending *p = NULL;
	if (fw && c->queries < CLIENT_QUERIES_MAX && r->forwards.under_way < ALL_QUERIES_MAX)
		p = malloc(sizeof(*p) + size);
	if (!p) {
		reply_code(c, peer, data, q, DNS_SERVFAIL);
		return;
	}
	*p = (struct pending){ .client = c, .peer = *peer, .q = *q, .size = size };
	memcpy(p->query, data, size);
	dns_query_readdress(p->query, q, forward_id());
	list_add_tail(&c->pending, &p->node);
	c->queries++;
	forward_ask(fw, p->query, size, on_answer, p);
}

void client_query(struct client *c, const struct peer *peer, const uint8_t *data, size_t size)
{
	struct dns_query q;
	int rc = dns_query_parse(data, size, &q);
	if (rc == -EBADMSG && peer->stream)
		stream_free(peer->stream);
	if (rc == -EBADMSG)
		return;
	if (rc < 0)
		reply_code(c, peer, data, &q, rc == -EOPNOTSUPP ? DNS_NOTIMP : DNS_FORMERR);
	else if (answer_own(c, peer, data, &q))
		return;
	else if (!c->may_forward)
		/* Of an internal network: beyond its members there is nothing. */
		reply_code(c, peer, data, &q, DNS_NXDOMAIN);
	else
		ask_others(c, peer, data, size, &q);
}

void clients_forget_gateway(struct resolver *r, const struct gateway *g)
{
	list_for_each (at, &r->clients) {
		list_for_each (node, &container_of(at, struct client, node)->pending) {
			struct pending *p = container_of(node, struct pending, node);
			p->unwanted = p->unwanted || p->peer.gateway == g;
		}
	}
}

void client_forget_stream(struct client *c, const struct stream *s)
{
	list_for_each (node, &c->pending) {
		struct pending *p = container_of(node, struct pending, node);
		p->unwanted = p->unwanted || p->peer.stream == s;
	}
}

/* ---- sockets ---- */

int client_receive(int fd, struct client_batch *b)
{
	struct mmsghdr msgs[CLIENT_BATCH];
	struct iovec iov[CLIENT_BATCH];
	for (size_t i = 0; i < CLIENT_BATCH; i++) {
		b->peers[i] = (struct peer){ .stream = NULL };
		iov[i] = (struct iovec){ b->data[i], sizeof(b->data[i]) };
		msgs[i].msg_hdr = (struct msghdr){ .msg_name = &b->peers[i].to,
						   .msg_namelen = sizeof(b->peers[i].to),
						   .msg_iov = &iov[i],
						   .msg_iovlen = 1 };
	}
	int n = recvmmsg(fd, msgs, CLIENT_BATCH, MSG_DONTWAIT, NULL);
	for (int i = 0; i < n; i++) {
		b->peers[i].to_len = msgs[i].msg_hdr.msg_namelen;
		b->sizes[i] = msgs[i].msg_hdr.msg_flags & MSG_TRUNC ? 0 : msgs[i].msg_len;
	}
	return n;
}

static void on_udp(struct watch *w, uint32_t events)
{
	static struct client_batch b;
	struct client *c = container_of(w, struct client, udp);
	int n = client_receive(w->fd, &b);
	(void)events;
	for (int i = 0; i < n; i++)
		if (b.sizes[i])
			client_query(c, &b.peers[i], b.data[i], b.sizes[i]);
}

static void on_tcp(struct watch *w, uint32_t events)
{
	(void)events;
	stream_accept(container_of(w, struct client, tcp));
}

/* Sockets hold a namespace, and with it the links in it: they go with the process, also
 * when isolad is not there to say so. */
static void on_end(struct watch *w, uint32_t events)
{
	(void)events;
	client_free(container_of(w, struct client, process));
}

static void drop(struct client *c, struct watch *w)
{
	loop_remove(&c->r->loop, w);
	fd_close(&w->fd);
}

int client_serve(struct client *c, int udp, int tcp, int pidfd)
{
	c->r->served += c->process.fd < 0;
	drop(c, &c->udp);
	drop(c, &c->tcp);
	drop(c, &c->process);
	c->udp.fd = udp;
	c->tcp.fd = tcp;
	c->process.fd = pidfd;
	int rc = udp < 0 ? 0 : loop_add(&c->r->loop, &c->udp, EPOLLIN);
	if (rc == 0 && tcp >= 0)
		rc = loop_add(&c->r->loop, &c->tcp, EPOLLIN);
	return rc == 0 ? loop_add(&c->r->loop, &c->process, EPOLLIN) : rc;
}

struct client *client_of(struct resolver *r, const struct member *m)
{
	list_for_each (node, &r->clients) {
		struct client *c = container_of(node, struct client, node);
		if (c->member == m)
			return c;
	}
	return NULL;
}

struct client *client_new(struct resolver *r, struct member *m)
{
	struct client *c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->r = r;
	c->member = m;
	c->udp = (struct watch){ -1, on_udp };
	c->tcp = (struct watch){ -1, on_tcp };
	c->process = (struct watch){ -1, on_end };
	list_init(&c->pending);
	list_init(&c->streams);
	list_add_tail(&r->clients, &c->node);
	return c;
}

void client_set(struct client *c, bool may_forward, const char *servers)
{
	struct forward *old = c->own;
	c->own = forward_get(&c->r->forwards, servers);
	/* Servers that cannot be had are not the host's. */
	c->may_forward = may_forward && (c->own || !*servers);
	forward_put(old);
}

void client_free(struct client *c)
{
	streams_free(c);
	while (!list_is_empty(&c->pending)) {
		struct pending *p = container_of(c->pending.next, struct pending, node);
		list_del(&p->node);
		p->client = NULL;
	}
	c->r->served -= c->process.fd >= 0;
	drop(c, &c->udp);
	drop(c, &c->tcp);
	drop(c, &c->process);
	forward_put(c->own);
	names_remove(c->r->names, c->member);
	list_del(&c->node);
	free(c);
}
