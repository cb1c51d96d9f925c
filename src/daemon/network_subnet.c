/* SPDX-License-Identifier: Apache-2.0 */
/* network_subnet - a new network's subnet, which overlaps nobody's. isolad, loop thread. */
#include "network_priv.h"

#include "isola/fd.h"

#include "isolad.h"

#include <errno.h>
#include <stdlib.h>

int network_choose_subnet(struct network *net, bool is_default, const struct net_prefix *host,
			  size_t n_host, struct err *err)
{
	struct isolad *d = net->isolad;
	cleanup_free struct net_prefix *all = calloc(n_host + networks_count(d) + 1, sizeof(*all));
	struct net_used used = { all, 0 };
	char mine[NET_PREFIX_TEXT], theirs[NET_PREFIX_TEXT];
	if (!all)
		return err_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; i < n_host; i++)
		all[used.n++] = host[i];
	list_for_each (node, &d->networks.all) {
		struct network *other = container_of(node, struct network, node);
		if (other != net && other->subnet.addr.family)
			all[used.n++] = other->subnet;
	}
	for (size_t i = 0; i < used.n && net->asked_subnet; i++)
		if (net_prefix_overlap(&all[i], &net->subnet))
			return err_set(err, EEXIST,
				       "IPAM.Config.Subnet (--subnet): %s overlaps %s, which %s",
				       net_prefix_format(&net->subnet, mine, sizeof(mine)),
				       net_prefix_format(&all[i], theirs, sizeof(theirs)),
				       i < n_host ? "the host has a route to"
						  : "is another network's");
	if (net->asked_subnet)
		return 0;
	int rc = net_pool_subnet(is_default, &used, &net->subnet, err);
	net->range = net->subnet;
	return rc < 0 ? rc : net_prefix_nth(&net->subnet, 1, &net->gateway);
}
