/* SPDX-License-Identifier: Apache-2.0 */
/* message - see message.h. Checksums of what a guest sent are not looked at: where it
 * leaves them to its device (virtio 1.2, 5.1.6.2) they are not there yet. */
#include "message.h"

#include <arpa/inet.h>
#include <net/ethernet.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>

#define SERVER_PORT 67
#define CLIENT_PORT 68
#define LEASE_S     86400
#define BROADCAST   0x8000

static const uint8_t magic[4] = { 99, 130, 83, 99 };

enum { BOOTREQUEST = 1, BOOTREPLY = 2 };
enum { DISCOVER = 1, OFFER, REQUEST, DECLINE, ACK, NAK, RELEASE, INFORM };
enum {
	OPT_PAD = 0,
	OPT_MASK = 1,
	OPT_ROUTER = 3,
	OPT_DNS = 6,
	OPT_HOSTNAME = 12,
	OPT_MTU = 26,
	OPT_BROADCAST = 28,
	OPT_REQUESTED = 50,
	OPT_LEASE = 51,
	OPT_TYPE = 53,
	OPT_SERVER = 54,
	OPT_MESSAGE = 56,
	OPT_T1 = 58,
	OPT_T2 = 59,
	OPT_CLIENT_ID = 61,
	OPT_END = 255
};

/* RFC 2131, 2; options follow. */
struct bootp {
	uint8_t op, htype, hlen, hops;
	uint32_t xid;
	uint16_t secs, flags;
	uint32_t ciaddr, yiaddr, siaddr, giaddr;
	uint8_t chaddr[16], sname[64], file[128], cookie[4];
} __attribute__((packed));

struct packet {
	struct ether_header eth;
	struct iphdr ip;
	struct udphdr udp;
	struct bootp bootp;
	uint8_t options[];
} __attribute__((packed));

/* Addresses as they are on the wire. */
struct request {
	struct bootp bootp;
	uint8_t type;
	bool has_requested, has_server;
	uint32_t requested, server;
	uint8_t client_id[255];
	uint8_t client_id_len;
};

static uint32_t wire_addr(const struct net_addr *a)
{
	uint32_t v;
	memcpy(&v, a->bytes, sizeof(v));
	return v;
}

/* ---- the request ---- */

static void take_option(struct request *r, uint8_t code, const uint8_t *data, uint8_t len)
{
	if (code == OPT_TYPE && len == 1) {
		r->type = data[0];
	} else if (code == OPT_REQUESTED && len == 4) {
		r->has_requested = true;
		memcpy(&r->requested, data, 4);
	} else if (code == OPT_SERVER && len == 4) {
		r->has_server = true;
		memcpy(&r->server, data, 4);
	} else if (code == OPT_CLIENT_ID && len > 0) {
		memcpy(r->client_id, data, len);
		r->client_id_len = len;
	}
}

static bool take_options(struct request *r, const uint8_t *p, size_t n)
{
	size_t i = 0;
	while (i < n && p[i] != OPT_END) {
		if (p[i] == OPT_PAD) {
			i++;
			continue;
		}
		if (n - i < 2 || n - i - 2 < p[i + 1])
			return false;
		take_option(r, p[i], p + i + 2, p[i + 1]);
		i += 2 + (size_t)p[i + 1];
	}
	return true;
}

/* The UDP payload of @frame that is for a DHCP server, or NULL. */
static const uint8_t *payload(const uint8_t *frame, size_t size, size_t *ret_n)
{
	struct iphdr ip;
	struct udphdr udp;
	if (size < sizeof(struct ether_header) + sizeof(ip))
		return NULL;
	frame += sizeof(struct ether_header);
	size -= sizeof(struct ether_header);
	memcpy(&ip, frame, sizeof(ip));
	size_t head = (size_t)ip.ihl * 4, total = ntohs(ip.tot_len);
	if (ip.version != 4 || head < sizeof(ip) || ip.protocol != IPPROTO_UDP || total > size ||
	    total < head + sizeof(udp) || (ntohs(ip.frag_off) & (IP_MF | IP_OFFMASK)))
		return NULL;
	memcpy(&udp, frame + head, sizeof(udp));
	size_t len = ntohs(udp.len);
	if (ntohs(udp.dest) != SERVER_PORT || len < sizeof(udp) || len > total - head)
		return NULL;
	*ret_n = len - sizeof(udp);
	return frame + head + sizeof(udp);
}

static bool parse(const struct dhcp_lease *l, const uint8_t *frame, size_t size, struct request *r)
{
	struct ether_header eth;
	size_t n = 0;
	if (size < sizeof(eth))
		return false;
	memcpy(&eth, frame, sizeof(eth));
	if (ntohs(eth.ether_type) != ETHERTYPE_IP || memcmp(eth.ether_shost, l->mac, 6) != 0)
		return false;
	const uint8_t *p = payload(frame, size, &n);
	if (!p || n < sizeof(r->bootp))
		return false;
	memcpy(&r->bootp, p, sizeof(r->bootp));
	const struct bootp *b = &r->bootp;
	return b->op == BOOTREQUEST && b->htype == 1 && b->hlen == 6 && b->giaddr == 0 &&
	       memcmp(b->chaddr, l->mac, 6) == 0 && memcmp(b->cookie, magic, 4) == 0 &&
	       take_options(r, p + sizeof(*b), n - sizeof(*b));
}

/* What it is answered with, or 0 (RFC 2131, 4.3). */
static uint8_t judge(const struct dhcp_lease *l, const struct request *r)
{
	uint32_t address = wire_addr(&l->address);
	switch (r->type) {
	case DISCOVER:
		return OFFER;
	case INFORM:
		return r->bootp.ciaddr == address ? ACK : 0;
	case REQUEST:
		/* Another server's offer was taken. */
		if (r->has_server && r->server != wire_addr(&l->server))
			return 0;
		if (r->has_requested)
			return r->requested == address ? ACK : NAK;
		if (r->bootp.ciaddr)
			return r->bootp.ciaddr == address ? ACK : NAK;
		return 0;
	default:
		/* The lease stays whatever a guest declines or gives back. */
		return 0;
	}
}

/* ---- the answer ---- */

struct out {
	uint8_t *at, *end;
};

/* All of ours together fit. */
static void put(struct out *o, uint8_t code, const void *data, size_t len)
{
	if (len > 255 || (size_t)(o->end - o->at) < len + 2)
		return;
	*o->at++ = code;
	*o->at++ = (uint8_t)len;
	memcpy(o->at, data, len);
	o->at += len;
}

static void put_u32(struct out *o, uint8_t code, uint32_t host_order)
{
	uint32_t v = htonl(host_order);
	put(o, code, &v, sizeof(v));
}

static void put_addrs(struct out *o, uint8_t code, const struct net_addr *addrs, size_t n)
{
	uint32_t all[DHCP_DNS_MAX];
	for (size_t i = 0; i < n && i < DHCP_DNS_MAX; i++)
		all[i] = wire_addr(&addrs[i]);
	if (n)
		put(o, code, all, n * 4);
}

static void put_settings(struct out *o, const struct dhcp_lease *l)
{
	uint32_t mask = l->prefix ? ~(uint32_t)0 << (32 - l->prefix) : 0;
	uint16_t mtu = htons(l->mtu);
	put_u32(o, OPT_MASK, mask);
	put_u32(o, OPT_BROADCAST, ntohl(wire_addr(&l->address)) | ~mask);
	put_addrs(o, OPT_ROUTER, &l->router, l->router.family ? 1 : 0);
	put_addrs(o, OPT_DNS, l->dns, l->n_dns);
	if (l->mtu)
		put(o, OPT_MTU, &mtu, sizeof(mtu));
	if (*l->hostname)
		put(o, OPT_HOSTNAME, l->hostname, strlen(l->hostname));
}

static void put_options(struct out *o, const struct dhcp_lease *l, const struct request *r,
			uint8_t type)
{
	static const char other[] = "this port has another address";
	put(o, OPT_TYPE, &type, 1);
	put_addrs(o, OPT_SERVER, &l->server, 1);
	if (type == NAK) {
		put(o, OPT_MESSAGE, other, strlen(other));
	} else {
		if (r->type != INFORM) {
			put_u32(o, OPT_LEASE, LEASE_S);
			put_u32(o, OPT_T1, LEASE_S / 2);
			put_u32(o, OPT_T2, LEASE_S / 8 * 7);
		}
		put_settings(o, l);
	}
	/* RFC 6842, 3 */
	if (r->client_id_len)
		put(o, OPT_CLIENT_ID, r->client_id, r->client_id_len);
	*o->at++ = OPT_END;
}

static uint32_t sum(uint32_t total, const void *data, size_t n)
{
	const uint8_t *p = data;
	for (size_t i = 0; i < n; i += 2)
		total += (uint32_t)p[i] << 8 | (i + 1 < n ? p[i + 1] : 0u);
	return total;
}

static uint16_t fold(uint32_t total)
{
	while (total >> 16)
		total = (total & 0xffff) + (total >> 16);
	return htons((uint16_t)~total);
}

/* @n: bytes behind the IP header. */
static void set_headers(struct packet *p, const struct dhcp_lease *l, uint32_t to, size_t n)
{
	bool all = to == INADDR_BROADCAST;
	net_mac_of(&l->server, p->eth.ether_shost);
	memcpy(p->eth.ether_dhost, l->mac, 6);
	if (all)
		memset(p->eth.ether_dhost, 0xff, 6);
	p->eth.ether_type = htons(ETHERTYPE_IP);
	p->ip = (struct iphdr){ .version = 4,
				.ihl = 5,
				.tot_len = htons((uint16_t)(sizeof(p->ip) + n)),
				.ttl = 64,
				.protocol = IPPROTO_UDP,
				.saddr = wire_addr(&l->server),
				.daddr = to };
	p->ip.check = fold(sum(0, &p->ip, sizeof(p->ip)));
	p->udp = (struct udphdr){ .source = htons(SERVER_PORT),
				  .dest = htons(CLIENT_PORT),
				  .len = htons((uint16_t)n) };
	uint32_t total = sum(IPPROTO_UDP + (uint32_t)n, &p->ip.saddr, 8);
	p->udp.check = fold(sum(total, &p->udp, n));
	if (!p->udp.check)
		p->udp.check = 0xffff;
}

/* RFC 2131, 4.1 */
static uint32_t destination(const struct dhcp_lease *l, const struct request *r, uint8_t type)
{
	if (type == NAK)
		return INADDR_BROADCAST;
	if (r->bootp.ciaddr)
		return r->bootp.ciaddr;
	return ntohs(r->bootp.flags) & BROADCAST ? INADDR_BROADCAST : wire_addr(&l->address);
}

size_t dhcp_answer(const struct dhcp_lease *l, const uint8_t *frame, size_t size, uint8_t *ret)
{
	struct request r = { .type = 0 };
	uint8_t type = parse(l, frame, size, &r) ? judge(l, &r) : 0;
	if (!type)
		return 0;
	/* Zeros behind the end: some clients want as much as BOOTP had (RFC 1542, 2.1). */
	memset(ret, 0, DHCP_FRAME_MAX);
	struct packet *p = (struct packet *)ret;
	struct out o = { p->options, ret + DHCP_FRAME_MAX - 1 };
	p->bootp = (struct bootp){ .op = BOOTREPLY,
				   .htype = 1,
				   .hlen = 6,
				   .xid = r.bootp.xid,
				   .flags = r.bootp.flags,
				   .ciaddr = type == ACK ? r.bootp.ciaddr : 0,
				   .siaddr = type == NAK ? 0 : wire_addr(&l->server) };
	if (type != NAK && r.type != INFORM)
		p->bootp.yiaddr = wire_addr(&l->address);
	memcpy(p->bootp.chaddr, r.bootp.chaddr, sizeof(p->bootp.chaddr));
	memcpy(p->bootp.cookie, magic, sizeof(magic));
	put_options(&o, l, &r, type);
	size_t n = (size_t)(o.at - (uint8_t *)&p->udp), least = sizeof(p->udp) + 300;
	n = n < least ? least : n;
	set_headers(p, l, destination(l, &r, type), n);
	return sizeof(p->eth) + sizeof(p->ip) + n;
}
