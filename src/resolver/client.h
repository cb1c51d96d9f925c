/* SPDX-License-Identifier: Apache-2.0 */
/* client - whose queries are answered: a member, in whose namespace there are sockets of
 * ours at 127.0.0.11, port 53, or who asks at its network's gateway (gateway.h).
 * isola-resolver.
 *
 * What a client may use up is bounded; beyond it, queries are answered with "server
 * failure" and connections are closed. */
#pragma once

#include "forward.h"
#include "loop.h"
#include "names.h"

#include <netinet/in.h>

#define CLIENT_QUERIES_MAX 256  /* under way at other servers */
#define ALL_QUERIES_MAX    2048 /* of all clients */
#define CLIENT_STREAMS_MAX 16

struct resolver {
	struct loop loop;
	struct names *names;
	struct forwards forwards;
	struct forward *host; /* the host's servers, or NULL */
	char *host_servers;
	struct list clients, gateways;
	unsigned int served;  /* clients whose process we see */
	unsigned int streams; /* open TCP connections of all */
	struct watch control; /* isolad; fd -1: it is gone */
};

struct client {
	struct list node;
	struct resolver *r;
	struct member *member;
	struct watch udp, tcp, process; /* fds are owned; udp, tcp: -1 for one in a VM */
	bool may_forward;
	struct forward *own; /* --dns; NULL = the host's */
	unsigned int queries;
	struct list pending; /* struct pending */
	struct list streams;
};

struct stream;  /* stream.c: a TCP connection */
struct gateway; /* gateway.h */

/* Where an answer goes. */
struct peer {
	struct stream *stream;   /* NULL: by UDP, to */
	struct gateway *gateway; /* by which it came; NULL: by the client's own socket */
	struct sockaddr_storage to;
	socklen_t to_len;
};

/* Of the member; @servers: addresses of --dns, "" = the host's servers. */
struct client *client_new(struct resolver *r, struct member *m);
struct client *client_of(struct resolver *r, const struct member *m);
void client_set(struct client *c, bool may_forward, const char *servers);
/* Takes the sockets (-1: it has none), and the pidfd at whose end the client goes. */
int client_serve(struct client *c, int udp, int tcp, int pidfd);
/* The member goes with it. */
void client_free(struct client *c);

/* Answers now or later, or not at all. */
void client_query(struct client *c, const struct peer *peer, const uint8_t *data, size_t size);

/* Answers to @s are for nobody any more; of all clients, those by @g. */
void client_forget_stream(struct client *c, const struct stream *s);
void clients_forget_gateway(struct resolver *r, const struct gateway *g);

#define CLIENT_BATCH 16

/* Questions that were received from a UDP socket at once. */
struct client_batch {
	struct peer peers[CLIENT_BATCH];
	size_t sizes[CLIENT_BATCH]; /* 0: it was cut off */
	uint8_t data[CLIENT_BATCH][DNS_UDP_MAX];
};

int client_receive(int fd, struct client_batch *b);

/* ---- stream.c ---- */

void stream_accept(struct client *c);
/* A connection of @c's; takes @fd. */
void stream_new(struct client *c, int fd);
/* Sends an answer; a stream has one question at a time. */
void stream_answer(struct stream *s, const uint8_t *data, size_t size);
void stream_free(struct stream *s);
void streams_free(struct client *c);
/* Closes those that are idle for too long. */
void streams_check(struct resolver *r);
