/* SPDX-License-Identifier: Apache-2.0 */
/* network_subnet - a new network's subnet, which overlaps nobody's. isolad, loop thread. */
#include "network_priv.h"

#include "isola/fd.h"

#include "isolad.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

/* What a subnet must not overlap: the host's prefixes, then those of other networks. */
static int gather(const struct network *net, const struct net_prefix *host, size_t n_host,
		  struct net_prefix **ret, size_t *ret_n, struct err *err)
{
	size_t n = n_host;
	struct net_prefix *all = calloc(n_host + 2 * networks_count(net->isolad) + 1, sizeof(*all));
	if (!all)
		return err_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; i < n_host; i++)
		all[i] = host[i];
	list_for_each (node, &net->isolad->networks.all) {
		const struct network *other = container_of(node, struct network, node);
		if (other != net && other->v4.subnet.addr.family)
			all[n++] = other->v4.subnet;
		if (other != net && other->v6.subnet.addr.family)
			all[n++] = other->v6.subnet;
	}
	*ret = all;
	*ret_n = n;
	return 0;
}

static int check_asked(const struct net_prefix *subnet, const struct net_used *used, size_t n_host,
		       struct err *err)
{
	char mine[NET_PREFIX_TEXT], theirs[NET_PREFIX_TEXT];
	for (size_t i = 0; i < used->n; i++)
		if (net_prefix_overlap(&used->prefixes[i], subnet))
			return err_set(
				err, EEXIST,
				"IPAM.Config.Subnet (--subnet): %s overlaps %s, which %s",
				net_prefix_format(subnet, mine, sizeof(mine)),
				net_prefix_format(&used->prefixes[i], theirs, sizeof(theirs)),
				i < n_host ? "the host has a route to" : "is another network's");
	return 0;
}

static int choose4(struct network *net, bool is_default, const struct net_used *used,
		   struct err *err)
{
	struct addressing *a = &net->v4;
	int rc = net_pool_subnet(is_default, used, &a->subnet, err);
	a->range = a->subnet;
	return rc < 0 ? rc : net_prefix_nth(&a->subnet, 1, &a->gateway);
}

static int choose6(struct network *net, const struct net_used *used, struct err *err)
{
	struct addressing *a = &net->v6;
	uint8_t random[7];
	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return err_sys(err, "cannot choose an IPv6 subnet");
	int rc = net_pool_subnet6(random, used, &a->subnet, err);
	a->range = a->subnet;
	return rc < 0 ? rc : net_prefix_nth(&a->subnet, 1, &a->gateway);
}

int network_choose_subnet(struct network *net, bool is_default, const struct net_prefix *host,
			  size_t n_host, struct err *err)
{
	cleanup_free struct net_prefix *all = NULL;
	struct net_used used = { NULL, 0 };
	int rc = gather(net, host, n_host, &all, &used.n, err);
	used.prefixes = all;
	if (rc == 0)
		rc = net->v4.asked ? check_asked(&net->v4.subnet, &used, n_host, err)
				   : choose4(net, is_default, &used, err);
	if (rc == 0 && net->ipv6)
		rc = net->v6.asked ? check_asked(&net->v6.subnet, &used, n_host, err)
				   : choose6(net, &used, err);
	return rc;
}
