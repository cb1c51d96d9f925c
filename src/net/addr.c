/* SPDX-License-Identifier: Apache-2.0 */
/* addr - addresses, prefixes and MAC addresses, of both families alike. Pure; isolad
 * and ctrctl. */
#include "isola/net.h"

#include "isola/num.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static unsigned int bits_of(uint8_t family)
{
	return family == AF_INET6 ? 128 : 32;
}

int net_addr_parse(const char *text, struct net_addr *ret)
{
	struct net_addr a = { 0 };
	if (inet_pton(AF_INET, text, a.bytes) == 1)
		a.family = AF_INET;
	else if (inet_pton(AF_INET6, text, a.bytes) == 1)
		a.family = AF_INET6;
	else
		return -EINVAL;
	*ret = a;
	return 0;
}

const char *net_addr_format(const struct net_addr *addr, char *buf, size_t size)
{
	if (!addr->family || !inet_ntop(addr->family, addr->bytes, buf, (socklen_t)size))
		buf[0] = '\0';
	return buf;
}

bool net_addr_is_equal(const struct net_addr *a, const struct net_addr *b)
{
	return a->family == b->family && !memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

bool net_addr_is_any(const struct net_addr *addr)
{
	static const uint8_t zero[16];
	return addr->family && !memcmp(addr->bytes, zero, sizeof(zero));
}

/* Zeroes what lies behind the first @len bits. */
static void mask(struct net_addr *a, unsigned int len)
{
	for (unsigned int i = 0; i < sizeof(a->bytes); i++) {
		unsigned int kept = len > i * 8 ? len - i * 8 : 0;
		if (kept < 8)
			a->bytes[i] &= (uint8_t)(0xff00u >> kept);
	}
}

int net_prefix_parse(const char *text, struct net_prefix *ret, struct err *err)
{
	char addr[NET_ADDR_TEXT];
	const char *slash = strchr(text, '/');
	struct net_prefix p = { 0 };
	int64_t len;
	if (!slash || (size_t)(slash - text) >= sizeof(addr))
		return err_set(err, EINVAL, "'%.64s' is no subnet like 10.1.0.0/16", text);
	(void)snprintf(addr, sizeof(addr), "%.*s", (int)(slash - text), text);
	if (net_addr_parse(addr, &p.addr) < 0 ||
	    num_parse_range(slash + 1, 0, bits_of(p.addr.family), &len) < 0)
		return err_set(err, EINVAL, "'%.64s' is no subnet like 10.1.0.0/16", text);
	p.len = (uint8_t)len;
	struct net_prefix masked = p;
	mask(&masked.addr, p.len);
	if (!net_addr_is_equal(&masked.addr, &p.addr)) {
		char buf[NET_PREFIX_TEXT];
		return err_set(err, EINVAL, "'%.64s' has host bits: the subnet is %s", text,
			       net_prefix_format(&masked, buf, sizeof(buf)));
	}
	*ret = p;
	return 0;
}

const char *net_prefix_format(const struct net_prefix *p, char *buf, size_t size)
{
	char addr[NET_ADDR_TEXT];
	if (p->addr.family)
		(void)snprintf(buf, size, "%s/%u", net_addr_format(&p->addr, addr, sizeof(addr)),
			       p->len);
	else
		buf[0] = '\0';
	return buf;
}

bool net_prefix_holds(const struct net_prefix *p, const struct net_addr *addr)
{
	struct net_addr a = *addr;
	if (!a.family || a.family != p->addr.family)
		return false;
	mask(&a, p->len);
	return net_addr_is_equal(&a, &p->addr);
}

bool net_prefix_overlap(const struct net_prefix *a, const struct net_prefix *b)
{
	return a->len <= b->len ? net_prefix_holds(a, &b->addr) : net_prefix_holds(b, &a->addr);
}

int net_prefix_nth(const struct net_prefix *p, uint64_t n, struct net_addr *ret)
{
	struct net_addr a = p->addr;
	unsigned int bytes = bits_of(a.family) / 8;
	for (unsigned int i = bytes; i-- > 0 && n; n >>= 8) {
		n += a.bytes[i];
		a.bytes[i] = (uint8_t)n;
	}
	if (n || !net_prefix_holds(p, &a))
		return -ERANGE;
	*ret = a;
	return 0;
}

uint64_t net_prefix_index(const struct net_prefix *p, const struct net_addr *addr)
{
	unsigned int bytes = bits_of(p->addr.family) / 8;
	uint64_t n = 0;
	for (unsigned int i = bytes > 8 ? bytes - 8 : 0; i < bytes; i++)
		n = n << 8 | (addr->bytes[i] ^ p->addr.bytes[i]);
	return n;
}

void net_mac_of(const struct net_addr *addr, uint8_t ret[6])
{
	const uint8_t *tail = addr->bytes + (addr->family == AF_INET6 ? 12 : 0);
	ret[0] = 0x02;
	ret[1] = 0x42;
	memcpy(ret + 2, tail, 4);
}

void net_addr_of_mac(const uint8_t mac[6], struct net_addr *ret)
{
	*ret = (struct net_addr){ .family = AF_INET6,
				  .bytes = { 0xfe, 0x80, [8] = mac[0] ^ 2, mac[1], mac[2], 0xff,
					     0xfe, mac[3], mac[4], mac[5] } };
}
