/* SPDX-License-Identifier: Apache-2.0 */
/* detour - what a container sends to port 53 of its resolver's address reaches the
 * resolver at another port, so port 53 of all addresses is the container's own. In its
 * namespace, the table `ip isola-names`:
 *
 *   chain out { type filter hook output priority raw;
 *     ip daddr 127.0.0.11 udp dport 53 udp dport set PORT
 *     ip saddr 127.0.0.11 udp sport PORT udp sport set 53     (and both of TCP) }
 *
 * Both ways begin in the namespace, so no connection need be remembered: with a chain of
 * type nat conntrack would look at each packet of the container.
 *
 * One transaction of netlink (linux/netfilter/nf_tables.h), written here: libnftables would
 * read the namespace's rules first, and waits by select(2) (nft.c). Thread pool. */
#include "kernel.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <netlink/msg.h>
#include <netlink/socket.h>
#include <string.h>
#include <sys/socket.h>

#define TABLE    "isola-names"
#define CHAIN    "out"
#define PRIORITY (-300) /* raw: before conntrack, where the container has it */
#define NAMESERV 53

/* Messages that are sent as one. */
struct batch {
	uint8_t bytes[4096];
	size_t len;
	uint32_t seq;
	bool failed;
};

/* ---- messages ---- */

static struct nl_msg *message(struct batch *b, int type, int flags, uint8_t family, uint16_t res_id)
{
	struct nfgenmsg head = { .nfgen_family = family, .res_id = htons(res_id) };
	struct nl_msg *msg = nlmsg_alloc();
	if (!msg || !nlmsg_put(msg, NL_AUTO_PID, ++b->seq, type, 0, NLM_F_REQUEST | flags) ||
	    nlmsg_append(msg, &head, sizeof(head), NLMSG_ALIGNTO) < 0)
		b->failed = true;
	return msg;
}

/* Frees @msg. */
static void take(struct batch *b, struct nl_msg *msg)
{
	struct nlmsghdr *head = msg ? nlmsg_hdr(msg) : NULL;
	size_t size = head ? NLMSG_ALIGN(head->nlmsg_len) : 0;
	if (!head || b->len + size > sizeof(b->bytes))
		b->failed = true;
	else if (!b->failed)
		memcpy(b->bytes + b->len, head, head->nlmsg_len);
	b->len += b->failed ? 0 : size;
	nlmsg_free(msg);
}

static struct nl_msg *command(struct batch *b, int type, int flags)
{
	return message(b, NFNL_SUBSYS_NFTABLES << 8 | type, flags, NFPROTO_IPV4, 0);
}

static void add_border(struct batch *b, int type)
{
	take(b, message(b, type, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES));
}

static void add_table(struct batch *b, int type, int flags)
{
	struct nl_msg *msg = command(b, type, flags);
	b->failed = b->failed || nla_put_string(msg, NFTA_TABLE_NAME, TABLE) < 0;
	take(b, msg);
}

static void add_chain(struct batch *b)
{
	struct nl_msg *msg = command(b, NFT_MSG_NEWCHAIN, NLM_F_CREATE);
	struct nlattr *hook = NULL;
	b->failed = b->failed || nla_put_string(msg, NFTA_CHAIN_TABLE, TABLE) < 0 ||
		    nla_put_string(msg, NFTA_CHAIN_NAME, CHAIN) < 0 ||
		    nla_put_string(msg, NFTA_CHAIN_TYPE, "filter") < 0 ||
		    !(hook = nla_nest_start(msg, NFTA_CHAIN_HOOK)) ||
		    nla_put_u32(msg, NFTA_HOOK_HOOKNUM, htonl(NF_INET_LOCAL_OUT)) < 0 ||
		    nla_put_u32(msg, NFTA_HOOK_PRIORITY, htonl((uint32_t)PRIORITY)) < 0;
	if (hook)
		(void)nla_nest_end(msg, hook);
	take(b, msg);
}

/* ---- expressions of a rule ---- */

struct attr {
	int type;
	uint32_t value;
};

/* @name with numbers and, where @size, a value in the attribute @value_type. */
static void expr(struct batch *b, struct nl_msg *msg, const char *name, const struct attr *attrs,
		 size_t n, int value_type, const void *value, int size)
{
	struct nlattr *elem, *data = NULL, *nest = NULL;
	if (b->failed)
		return;
	elem = nla_nest_start(msg, NFTA_LIST_ELEM);
	bool ok = elem && nla_put_string(msg, NFTA_EXPR_NAME, name) == 0 &&
		  (data = nla_nest_start(msg, NFTA_EXPR_DATA));
	for (size_t i = 0; ok && i < n; i++)
		ok = nla_put_u32(msg, attrs[i].type, htonl(attrs[i].value)) == 0;
	if (ok && size)
		ok = (nest = nla_nest_start(msg, value_type)) &&
		     nla_put(msg, NFTA_DATA_VALUE, size, value) == 0;
	if (nest)
		(void)nla_nest_end(msg, nest);
	if (data)
		(void)nla_nest_end(msg, data);
	if (elem)
		(void)nla_nest_end(msg, elem);
	b->failed = !ok;
}

#define N(a) (sizeof(a) / sizeof((a)[0]))

static void load(struct batch *b, struct nl_msg *msg, enum nft_payload_bases base, uint32_t offset,
		 uint32_t size)
{
	const struct attr attrs[] = { { NFTA_PAYLOAD_DREG, NFT_REG_1 },
				      { NFTA_PAYLOAD_BASE, base },
				      { NFTA_PAYLOAD_OFFSET, offset },
				      { NFTA_PAYLOAD_LEN, size } };
	expr(b, msg, "payload", attrs, N(attrs), 0, NULL, 0);
}

static void equals(struct batch *b, struct nl_msg *msg, const void *value, int size)
{
	static const struct attr attrs[] = { { NFTA_CMP_SREG, NFT_REG_1 },
					     { NFTA_CMP_OP, NFT_CMP_EQ } };
	expr(b, msg, "cmp", attrs, N(attrs), NFTA_CMP_DATA, value, size);
}

static void store_port(struct batch *b, struct nl_msg *msg, uint32_t offset, uint32_t csum_offset,
		       uint16_t port)
{
	static const struct attr reg[] = { { NFTA_IMMEDIATE_DREG, NFT_REG_1 } };
	const struct attr attrs[] = { { NFTA_PAYLOAD_SREG, NFT_REG_1 },
				      { NFTA_PAYLOAD_BASE, NFT_PAYLOAD_TRANSPORT_HEADER },
				      { NFTA_PAYLOAD_OFFSET, offset },
				      { NFTA_PAYLOAD_LEN, sizeof(port) },
				      { NFTA_PAYLOAD_CSUM_TYPE, NFT_PAYLOAD_CSUM_INET },
				      { NFTA_PAYLOAD_CSUM_OFFSET, csum_offset } };
	port = htons(port);
	expr(b, msg, "immediate", reg, N(reg), NFTA_IMMEDIATE_DATA, &port, sizeof(port));
	expr(b, msg, "payload", attrs, N(attrs), 0, NULL, 0);
}

/* A way of a protocol. */
struct way {
	uint8_t proto;
	uint32_t addr, port, csum; /* offsets of what is compared and changed */
};

/* What goes @from that port of the resolver's address, or there, has the port @to. */
static void add_rule(struct batch *b, const struct way *w, uint16_t from, uint16_t to, int flags)
{
	struct nl_msg *msg = command(b, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND | flags);
	static const struct attr proto[] = { { NFTA_META_DREG, NFT_REG_1 },
					     { NFTA_META_KEY, NFT_META_L4PROTO } };
	struct nlattr *list = NULL;
	struct in_addr addr;
	(void)inet_pton(AF_INET, NET_RESOLVER, &addr);
	from = htons(from);
	b->failed = b->failed || nla_put_string(msg, NFTA_RULE_TABLE, TABLE) < 0 ||
		    nla_put_string(msg, NFTA_RULE_CHAIN, CHAIN) < 0 ||
		    !(list = nla_nest_start(msg, NFTA_RULE_EXPRESSIONS));
	load(b, msg, NFT_PAYLOAD_NETWORK_HEADER, w->addr, sizeof(addr));
	equals(b, msg, &addr, sizeof(addr));
	expr(b, msg, "meta", proto, N(proto), 0, NULL, 0);
	equals(b, msg, &w->proto, sizeof(w->proto));
	load(b, msg, NFT_PAYLOAD_TRANSPORT_HEADER, w->port, sizeof(from));
	equals(b, msg, &from, sizeof(from));
	store_port(b, msg, w->port, w->csum, to);
	if (list)
		(void)nla_nest_end(msg, list);
	take(b, msg);
}

/* ---- the transaction ---- */

/* Of an earlier isolad there is a table, which then goes: not asked for else, as who closes
 * the socket waits for what is removed. */
static void write_batch(struct batch *b, uint16_t udp, uint16_t tcp, bool again)
{
	/* RFC 791: source at 12, destination at 16; RFC 768, RFC 9293: ports at 0 and 2. */
	static const struct way there[] = { { IPPROTO_UDP, 16, 2, 6 }, { IPPROTO_TCP, 16, 2, 16 } };
	static const struct way back[] = { { IPPROTO_UDP, 12, 0, 6 }, { IPPROTO_TCP, 12, 0, 16 } };
	const uint16_t ports[] = { udp, tcp };
	add_border(b, NFNL_MSG_BATCH_BEGIN);
	if (again)
		add_table(b, NFT_MSG_DELTABLE, 0);
	add_table(b, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL);
	add_chain(b);
	for (size_t i = 0; i < N(ports); i++) {
		add_rule(b, &there[i], NAMESERV, ports[i], 0);
		add_rule(b, &back[i], ports[i], NAMESERV, i + 1 == N(ports) ? NLM_F_ACK : 0);
	}
	add_border(b, NFNL_MSG_BATCH_END);
}

/* The kernel has answered when the batch is sent: errors, and the last rule's "0". */
static int read_answer(int fd, struct err *err)
{
	char bytes[8192];
	ssize_t size = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	int left = (int)size, code = EIO;
	for (struct nlmsghdr *m = (void *)bytes; left > 0 && nlmsg_ok(m, left);
	     m = nlmsg_next(m, &left)) {
		const struct nlmsgerr *e = nlmsg_data(m);
		if (m->nlmsg_type != NLMSG_ERROR || nlmsg_datalen(m) < (int)sizeof(*e))
			continue;
		code = -e->error;
		if (code)
			break;
	}
	return code ? err_set(err, code, "nftables in the container: %s", strerror(code)) : 0;
}

static int run_batch(uint16_t udp, uint16_t tcp, bool again, struct err *err)
{
	struct batch b = { .len = 0 };
	write_batch(&b, udp, tcp, again);
	struct nl_sock *sock = b.failed ? NULL : nl_socket_alloc();
	if (!sock)
		return err_set(err, ENOMEM, "out of memory");
	int rc = nl_connect(sock, NETLINK_NETFILTER);
	if (rc == 0)
		rc = nl_sendto(sock, b.bytes, b.len);
	rc = rc < 0 ? kernel_err(err, rc, "lead queries to", "the resolver")
		    : read_answer(nl_socket_get_fd(sock), err);
	nl_socket_free(sock);
	return rc;
}

int kernel_detour(uint16_t udp, uint16_t tcp, struct err *err)
{
	int rc = run_batch(udp, tcp, false, err);
	if (rc != -EEXIST)
		return rc;
	*err = (struct err)ERR_INIT;
	return run_batch(udp, tcp, true, err);
}
