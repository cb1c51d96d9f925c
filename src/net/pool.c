/* SPDX-License-Identifier: Apache-2.0 */
/* pool - where free subnets and addresses come from. Pure; isolad. */
#include "isola/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

/* In this order; not Docker's or Podman's, so that all fit on one host. */
static const struct {
	const char *pool;
	unsigned int len; /* of one subnet */
	bool is_default;  /* for the default network first */
} pools[] = {
	{ "10.201.0.0/16", 16, true },
	{ "10.202.0.0/15", 24, false },
	{ "172.30.0.0/15", 24, false },
	{ "192.168.0.0/16", 24, false },
};

static bool is_free(const struct net_prefix *p, const struct net_used *used)
{
	for (size_t i = 0; i < used->n; i++)
		if (net_prefix_overlap(p, &used->prefixes[i]))
			return false;
	return true;
}

/* The first free one of @len bits in @pool. */
static bool find_in(const struct net_prefix *pool, unsigned int len, const struct net_used *used,
		    struct net_prefix *ret)
{
	uint64_t step = 1ull << (32 - len), n = 1ull << (len - pool->len);
	for (uint64_t i = 0; i < n; i++) {
		struct net_prefix p = { .len = (uint8_t)len };
		if (net_prefix_nth(pool, i * step, &p.addr) < 0)
			break;
		if (!is_free(&p, used))
			continue;
		*ret = p;
		return true;
	}
	return false;
}

int net_pool_subnet(bool is_default, const struct net_used *used, struct net_prefix *ret,
		    struct err *err)
{
	for (size_t i = 0; i < sizeof(pools) / sizeof(pools[0]); i++) {
		struct net_prefix pool;
		if (pools[i].is_default && !is_default)
			continue;
		int rc = net_prefix_parse(pools[i].pool, &pool, err);
		if (rc < 0)
			return rc;
		if (find_in(&pool, pools[i].len, used, ret))
			return 0;
	}
	return err_set(err, ENOSPC,
		       "no subnet is free: the host's routes and other networks overlap all that "
		       "are tried; name one with --subnet");
}

int net_pool_subnet6(const uint8_t random[7], const struct net_used *used, struct net_prefix *ret,
		     struct err *err)
{
	struct net_prefix p = { .addr = { .family = AF_INET6, .bytes = { 0xfd } }, .len = 64 };
	memcpy(p.addr.bytes + 1, random, 7);
	for (unsigned int i = 0; i < 65536; i++) {
		if (is_free(&p, used)) {
			*ret = p;
			return 0;
		}
		/* The next subnet of the site. */
		if (!++p.addr.bytes[7])
			p.addr.bytes[6]++;
	}
	return err_set(err, ENOSPC, "no IPv6 subnet is free; name one with --subnet");
}

/* How many addresses are looked at: of a large IPv6 subnet not all. */
#define ADDRESSES_MAX (1ull << 20)

static uint64_t size_of(const struct net_prefix *p)
{
	unsigned int bits = (p->addr.family == AF_INET6 ? 128u : 32u) - p->len;
	return bits >= 20 ? ADDRESSES_MAX : 1ull << bits;
}

int net_pool_addr(const struct net_prefix *subnet, const struct net_prefix *range,
		  const struct net_addr *last,
		  bool (*taken)(void *arg, const struct net_addr *addr), void *arg,
		  struct net_addr *ret, struct err *err)
{
	uint64_t size = size_of(range);
	uint64_t begin = net_prefix_holds(range, last) ? net_prefix_index(range, last) + 1 : 0;
	struct net_addr end, a;
	char text[NET_PREFIX_TEXT];
	/* The broadcast address of the subnet; IPv6 has none. */
	bool has_end = subnet->addr.family == AF_INET &&
		       net_prefix_nth(subnet, size_of(subnet) - 1, &end) == 0;
	for (uint64_t i = 0; i < size; i++) {
		if (net_prefix_nth(range, (begin + i) % size, &a) < 0 ||
		    net_addr_is_equal(&a, &subnet->addr) ||
		    (has_end && net_addr_is_equal(&a, &end)) || taken(arg, &a))
			continue;
		*ret = a;
		return 0;
	}
	return err_set(err, ENOSPC, "no address is free in %s",
		       net_prefix_format(range, text, sizeof(text)));
}
