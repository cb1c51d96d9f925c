/* SPDX-License-Identifier: Apache-2.0 */
/* network - see network.h: the list of networks. isolad, loop thread. */
#include "network_priv.h"

#include "isola/fd.h"

#include "isolad.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void networks_init(struct networks *all)
{
	*all = (struct networks){ .dir_fd = -1 };
	list_init(&all->all);
	list_init(&all->jobs);
}

struct network *network_new(struct isolad *d)
{
	struct network *net = calloc(1, sizeof(*net));
	if (!net)
		return NULL;
	net->isolad = d;
	net->names_fds[0] = net->names_fds[1] = -1;
	list_init(&net->node);
	list_init(&net->members);
	return net;
}

void network_free(struct network *net)
{
	list_del(&net->node);
	timer_stop(&net->idle);
	for (size_t i = 0; i < 2; i++)
		fd_close(&net->names_fds[i]);
	json_object_put(net->labels);
	json_object_put(net->options);
	free(net->name);
	free(net);
}

size_t networks_count(const struct isolad *d)
{
	size_t n = 0;
	list_for_each (node, &d->networks.all)
		n++;
	return n;
}

struct network *network_by_id(struct isolad *d, const char *id)
{
	list_for_each (node, &d->networks.all) {
		struct network *net = container_of(node, struct network, node);
		if (!strcmp(net->id, id))
			return net;
	}
	return NULL;
}

struct network *network_by_name(struct isolad *d, const char *name)
{
	list_for_each (node, &d->networks.all) {
		struct network *net = container_of(node, struct network, node);
		if (!strcmp(net->name, name))
			return net;
	}
	return NULL;
}

struct network *network_find(struct isolad *d, const char *ref, struct err *err)
{
	struct network *found = network_by_name(d, ref);
	size_t len = strlen(ref), n = 0;
	if (found)
		return found;
	list_for_each (node, &d->networks.all) {
		struct network *net = container_of(node, struct network, node);
		if (!len || strncmp(net->id, ref, len) != 0)
			continue;
		found = net;
		n++;
	}
	if (n == 1)
		return found;
	(void)(n ? err_set(err, EINVAL, "network %.128s is ambiguous: %zu ids begin so", ref, n)
		 : err_set(err, ENOENT, "network %.128s not found", ref));
	return NULL;
}

struct network *network_next(struct isolad *d, const struct network *net)
{
	struct list *node = net ? net->node.next : d->networks.all.next;
	return node == &d->networks.all ? NULL : container_of(node, struct network, node);
}

const char *network_name(const struct network *net)
{
	return net->name;
}

int64_t network_created_ns(const struct network *net)
{
	return net->created_ns;
}

const char *network_driver(const struct network *net)
{
	return net->kind == NET_KIND_MACVLAN ? "macvlan" : "bridge";
}

void network_bridge(const struct network *net, struct net_bridge *ret)
{
	*ret = (struct net_bridge){ .kind = net->kind,
				    .mode = net->mode,
				    .is_own = net->own_parent,
				    .subnet = net->v4.subnet,
				    .subnet6 = net->v6.subnet,
				    .gateway = net->v4.gateway,
				    .gateway6 = net->v6.gateway,
				    .internal = net->internal,
				    .mtu = net->mtu };
	memcpy(ret->name, net->bridge, sizeof(ret->name));
	memcpy(ret->id, net->id, sizeof(ret->id));
}

void networks_fini(struct isolad *d)
{
	struct networks *all = &d->networks;
	while (all->all.next && !list_is_empty(&all->all))
		network_free(container_of(all->all.next, struct network, node));
	net_free(all->net);
	all->net = NULL;
	fd_close(&all->dir_fd);
	free(all->conflict);
	all->conflict = NULL;
}
