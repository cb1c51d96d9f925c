/* SPDX-License-Identifier: Apache-2.0 */
/* gateway - see gateway.h. isola-resolver. */
#include "gateway.h"

#include "isola/fd.h"
#include "isola/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static struct client *asker(const struct gateway *g, const struct sockaddr_storage *from)
{
	struct net_addr addr = { .family = AF_INET };
	const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)from;
	if (from->ss_family != AF_INET)
		return NULL;
	memcpy(addr.bytes, &in->sin_addr, sizeof(in->sin_addr));
	struct member *m = names_at(g->r->names, g->network, &addr);
	return m ? client_of(g->r, m) : NULL;
}

static void on_udp(struct watch *w, uint32_t events)
{
	static struct client_batch b;
	struct gateway *g = container_of(w, struct gateway, udp);
	int n = client_receive(w->fd, &b);
	(void)events;
	for (int i = 0; i < n; i++) {
		struct client *c = asker(g, &b.peers[i].to);
		b.peers[i].gateway = g;
		if (c && b.sizes[i])
			client_query(c, &b.peers[i], b.data[i], b.sizes[i]);
	}
}

static void on_tcp(struct watch *w, uint32_t events)
{
	struct gateway *g = container_of(w, struct gateway, tcp);
	struct sockaddr_storage from = { 0 };
	socklen_t size = sizeof(from);
	(void)events;
	cleanup_fd int fd = loop_accept(&g->r->loop, w, (struct sockaddr *)&from, &size);
	struct client *c = fd < 0 ? NULL : asker(g, &from);
	if (c)
		stream_new(c, take_fd(&fd));
}

static void gateway_free(struct gateway *g)
{
	struct watch *const both[] = { &g->udp, &g->tcp };
	clients_forget_gateway(g->r, g);
	for (size_t i = 0; i < 2; i++) {
		loop_remove(&g->r->loop, both[i]);
		fd_close(&both[i]->fd);
	}
	list_del(&g->node);
	free(g);
}

static struct gateway *find(struct resolver *r, const char *network)
{
	list_for_each (node, &r->gateways) {
		struct gateway *g = container_of(node, struct gateway, node);
		if (!strcmp(g->network, network))
			return g;
	}
	return NULL;
}

int gateway_serve(struct resolver *r, const char *network, int udp, int tcp)
{
	struct gateway *old = find(r, network);
	struct gateway *g = calloc(1, sizeof(*g) + strlen(network) + 1);
	if (!g) {
		(void)close(udp);
		(void)close(tcp);
		return -ENOMEM;
	}
	if (old)
		gateway_free(old);
	g->r = r;
	g->udp = (struct watch){ udp, on_udp };
	g->tcp = (struct watch){ tcp, on_tcp };
	(void)strcpy(g->network, network);
	list_add_tail(&r->gateways, &g->node);
	int rc = loop_add(&r->loop, &g->udp, EPOLLIN);
	if (rc == 0)
		rc = loop_add(&r->loop, &g->tcp, EPOLLIN);
	if (rc < 0)
		gateway_free(g);
	return rc;
}

static bool is_in(json_object *list, const char *network)
{
	for (size_t i = 0; i < json_len(list); i++)
		if (!strcmp(json_item_str(list, i), network))
			return true;
	return false;
}

void gateways_keep(struct resolver *r, json_object *kept)
{
	list_for_each_safe (node, &r->gateways) {
		struct gateway *g = container_of(node, struct gateway, node);
		if (!is_in(kept, g->network))
			gateway_free(g);
	}
}
