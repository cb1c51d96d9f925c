/* SPDX-License-Identifier: Apache-2.0 */
/* message - see message.h. isola-resolver, whose jail this parser needs: see jail.h. */
#include "message.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define FLAG_QR     0x8000
#define FLAG_OPCODE 0x7800
#define FLAG_AA     0x0400
#define FLAG_TC     0x0200
#define FLAG_RD     0x0100
#define FLAG_RA     0x0080
#define OPT_SIZE    11
#define RECORDS_MAX 8 /* behind the question of a query: OPT, TSIG */

static unsigned int get16(const uint8_t *p)
{
	return (unsigned int)p[0] << 8 | p[1];
}

static void put16(uint8_t *p, unsigned int v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* ---- a query ---- */

/* The question's name, which nothing before it can be a pointer to. Returns the place
 * behind it, 0 when it is malformed. */
static size_t read_name(const uint8_t *data, size_t size, size_t at, char *name)
{
	size_t n = 0, bytes = 0;
	bool odd = false;
	while (at < size && data[at]) {
		size_t len = data[at++];
		bytes += len + 1;
		if (len > 63 || len > size - at || bytes > 254)
			return 0;
		if (n)
			name[n++] = '.';
		for (size_t i = 0; i < len; i++) {
			unsigned char c = data[at + i];
			odd = odd || c <= ' ' || c >= 127 || c == '.';
			name[n++] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
		}
		at += len;
	}
	if (at >= size)
		return 0;
	name[odd ? 0 : n] = '\0';
	return at + 1;
}

/* Behind a name that may be compressed; 0 when it leaves the message. */
static size_t skip_name(const uint8_t *data, size_t size, size_t at)
{
	while (at < size) {
		uint8_t len = data[at];
		if (!len)
			return at + 1;
		if ((len & 0xc0) == 0xc0)
			return at + 2 <= size ? at + 2 : 0;
		if (len > 63)
			return 0;
		at += 1u + len;
	}
	return 0;
}

/* Looks for OPT among the records behind the question. */
static int read_records(const uint8_t *data, size_t size, unsigned int count, struct dns_query *q)
{
	size_t at = q->question_end;
	if (count > RECORDS_MAX)
		return -EINVAL;
	for (unsigned int i = 0; i < count; i++) {
		at = skip_name(data, size, at);
		if (!at || size - at < 10)
			return -EINVAL;
		size_t len = get16(data + at + 8);
		if (len > size - at - 10)
			return -EINVAL;
		if (get16(data + at) == DNS_OPT) {
			if (q->opt_at)
				return -EINVAL; /* RFC 6891, 6.1.1 */
			q->opt_at = at;
			q->udp_max = get16(data + at + 2);
		}
		at += 10 + len;
	}
	return at == size ? 0 : -EINVAL;
}

int dns_query_parse(const uint8_t *data, size_t size, struct dns_query *ret)
{
	struct dns_query q = { .question_end = DNS_HEADER, .udp_max = DNS_UDP_MIN };
	if (size < DNS_HEADER || (get16(data + 2) & FLAG_QR))
		return -EBADMSG;
	q.id = (uint16_t)get16(data);
	q.flags = (uint16_t)get16(data + 2);
	*ret = q;
	if (q.flags & FLAG_OPCODE)
		return -EOPNOTSUPP;
	if (get16(data + 4) != 1)
		return -EINVAL;
	size_t at = read_name(data, size, DNS_HEADER, q.name);
	if (!at || size - at < 4)
		return -EINVAL;
	q.type = (uint16_t)get16(data + at);
	q.class = (uint16_t)get16(data + at + 2);
	q.question_end = at + 4;
	unsigned int count = get16(data + 6) + get16(data + 8) + get16(data + 10);
	if (read_records(data, size, count, &q) < 0)
		return -EINVAL;
	if (q.udp_max < DNS_UDP_MIN)
		q.udp_max = DNS_UDP_MIN;
	if (q.udp_max > DNS_UDP_MAX)
		q.udp_max = DNS_UDP_MAX;
	*ret = q;
	return 0;
}

void dns_query_readdress(uint8_t *data, const struct dns_query *q, uint16_t id)
{
	put16(data, id);
	if (q->opt_at)
		put16(data + q->opt_at + 2, (unsigned int)q->udp_max);
}

/* ---- an answer of ours ---- */

void dns_answer_init(struct dns_answer *a, uint8_t *buf, size_t cap, const uint8_t *query,
		     const struct dns_query *q)
{
	*a = (struct dns_answer){
		.data = buf, .size = q->question_end, .cap = cap, .edns = q->opt_at != 0
	};
	memcpy(buf, query, q->question_end);
	memset(buf + 4, 0, 8);
	put16(buf + 2, FLAG_QR | FLAG_RA | (q->flags & (FLAG_OPCODE | FLAG_RD)));
	put16(buf + 4, q->question_end > DNS_HEADER);
	if (a->edns)
		a->cap -= OPT_SIZE;
}

/* Room for a record with @len bytes of data, or NULL. */
static uint8_t *add_record(struct dns_answer *a, enum dns_type type, size_t len, uint32_t ttl)
{
	if (a->truncated || a->cap - a->size < 12 + len || get16(a->data + 6) == UINT16_MAX) {
		a->truncated = true;
		return NULL;
	}
	uint8_t *p = a->data + a->size;
	put16(p, 0xc000 | DNS_HEADER); /* the name of the question */
	put16(p + 2, type);
	put16(p + 4, 1); /* IN */
	put16(p + 6, ttl >> 16);
	put16(p + 8, ttl & 0xffff);
	put16(p + 10, (unsigned int)len);
	a->size += 12 + len;
	put16(a->data + 6, get16(a->data + 6) + 1);
	return p + 12;
}

void dns_answer_address(struct dns_answer *a, const struct net_addr *addr, uint32_t ttl)
{
	bool six = addr->family == AF_INET6;
	uint8_t *p = add_record(a, six ? DNS_AAAA : DNS_A, six ? 16 : 4, ttl);
	if (p)
		memcpy(p, addr->bytes, six ? 16 : 4);
}

/* Labels of @name; 0 when it is none. */
static size_t encode_name(const char *name, uint8_t *out)
{
	size_t n = 0;
	if (!*name)
		return 0;
	for (const char *p = name; *p;) {
		size_t len = strcspn(p, ".");
		if (!len || len > 63 || n + len + 2 > DNS_NAME_TEXT - 1)
			return 0;
		out[n++] = (uint8_t)len;
		memcpy(out + n, p, len);
		n += len;
		p += len;
		p += *p == '.';
	}
	out[n++] = 0;
	return n;
}

void dns_answer_name(struct dns_answer *a, const char *name, uint32_t ttl)
{
	uint8_t wire[DNS_NAME_TEXT];
	size_t len = encode_name(name, wire);
	uint8_t *p = len ? add_record(a, DNS_PTR, len, ttl) : NULL;
	if (p)
		memcpy(p, wire, len);
}

size_t dns_answer_end(struct dns_answer *a, enum dns_rcode rcode)
{
	unsigned int flags = get16(a->data + 2) | rcode;
	if (rcode == DNS_NOERROR)
		flags |= FLAG_AA;
	if (a->truncated)
		flags |= FLAG_TC;
	put16(a->data + 2, flags);
	if (a->edns) {
		uint8_t *p = a->data + a->size;
		memset(p, 0, OPT_SIZE);
		put16(p + 1, DNS_OPT);
		put16(p + 3, DNS_UDP_MAX);
		put16(a->data + 10, 1);
		a->size += OPT_SIZE;
	}
	return a->size;
}

/* ---- an answer of others ---- */

bool dns_is_answer(const uint8_t *answer, size_t size, const uint8_t *query,
		   const struct dns_query *q)
{
	return size >= q->question_end && (get16(answer + 2) & FLAG_QR) && get16(answer + 4) == 1 &&
	       !memcmp(answer + DNS_HEADER, query + DNS_HEADER, q->question_end - DNS_HEADER);
}

size_t dns_truncate(uint8_t *data, const struct dns_query *q)
{
	put16(data + 2, get16(data + 2) | FLAG_TC);
	memset(data + 6, 0, 6);
	return q->question_end;
}

/* ---- */

void dns_reverse_name(const struct net_addr *addr, char *buf, size_t size)
{
	const uint8_t *b = addr->bytes;
	size_t n = 0;
	if (addr->family == AF_INET) {
		(void)snprintf(buf, size, "%u.%u.%u.%u.in-addr.arpa", b[3], b[2], b[1], b[0]);
		return;
	}
	for (int i = 15; i >= 0 && n + 4 < size; i--)
		n += (size_t)snprintf(buf + n, size - n, "%x.%x.", b[i] & 15, b[i] >> 4);
	(void)snprintf(buf + n, size - n, "ip6.arpa");
}
