/* SPDX-License-Identifier: Apache-2.0 */
/* message - DNS messages (RFC 1035, 4; RFC 6891), as far as isola-resolver looks into
 * them: a query is judged whole, an answer of ours is written. What an upstream server
 * answered is passed on as it is. Pure; every byte that comes in is a stranger's. */
#pragma once

#include "isola/net.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DNS_HEADER    12
#define DNS_NAME_TEXT 256  /* with the NUL; at most 253 characters */
#define DNS_UDP_MIN   512  /* what every client takes */
#define DNS_UDP_MAX   4096 /* what we take, and send at most */
#define DNS_TCP_MAX   65535

enum dns_type { DNS_A = 1, DNS_PTR = 12, DNS_AAAA = 28, DNS_OPT = 41, DNS_ANY = 255 };
enum dns_rcode {
	DNS_NOERROR,
	DNS_FORMERR,
	DNS_SERVFAIL,
	DNS_NXDOMAIN,
	DNS_NOTIMP,
	DNS_REFUSED,
};

struct dns_query {
	uint16_t id, flags, type, class;
	/* Lower case, without the last dot. "" for the root, and for what is no name of a
	 * host: labels with dots or bytes that do not print. */
	char name[DNS_NAME_TEXT];
	size_t question_end; /* bytes of header and question */
	size_t opt_at;       /* of the OPT record's type; 0 = none */
	size_t udp_max;      /* the longest answer that the client takes by UDP */
};

/* 0; -EBADMSG when it deserves no answer (too short, or an answer itself), -EINVAL for
 * DNS_FORMERR, -EOPNOTSUPP for DNS_NOTIMP. Of these two, id and flags are set, and
 * question_end is DNS_HEADER. */
int dns_query_parse(const uint8_t *data, size_t size, struct dns_query *ret);

/* Makes a query fit to be sent on: its id becomes @id, and the size of answers it allows
 * one that we can take. */
void dns_query_readdress(uint8_t *data, const struct dns_query *q, uint16_t id);

/* An answer under way, in a buffer of @cap bytes (at least DNS_UDP_MIN). */
struct dns_answer {
	uint8_t *data;
	size_t size, cap;
	bool edns, truncated;
};

/* Begins the answer to @query, whose bytes are copied as far as the question goes. */
void dns_answer_init(struct dns_answer *a, uint8_t *buf, size_t cap, const uint8_t *query,
		     const struct dns_query *q);
/* Records about the name that was asked for. One that does not fit sets "truncated". */
void dns_answer_address(struct dns_answer *a, const struct net_addr *addr, uint32_t ttl);
void dns_answer_name(struct dns_answer *a, const char *name, uint32_t ttl);
/* Its length. */
size_t dns_answer_end(struct dns_answer *a, enum dns_rcode rcode);

/* Whether @answer is one to the question of @query (byte for byte). */
bool dns_is_answer(const uint8_t *answer, size_t size, const uint8_t *query,
		   const struct dns_query *q);
/* Cuts an answer back to its question, with the mark that makes the client come again by
 * TCP. @data is at least q->question_end long. Its new length. */
size_t dns_truncate(uint8_t *data, const struct dns_query *q);

/* "7.0.0.10.in-addr.arpa", "...ip6.arpa". */
void dns_reverse_name(const struct net_addr *addr, char *buf, size_t size);
