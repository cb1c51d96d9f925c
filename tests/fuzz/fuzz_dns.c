/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_dns - a DNS query of a container, and the answer of another server to it. What is
 * taken is in bounds; what we answer is a message whose lengths are right.
 *
 * Input: length of the query (2 bytes), the query, the answer. */
#include "resolver/message.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Exactly as long as it is, so that a sanitizer sees what reads further. */
static uint8_t *copy(const uint8_t *data, size_t size)
{
	uint8_t *p = malloc(size ? size : 1);
	if (!p)
		abort();
	memcpy(p, data, size);
	return p;
}

static void answer(const uint8_t *query, const struct dns_query *q)
{
	uint8_t buf[DNS_UDP_MAX];
	struct dns_answer a;
	struct net_addr four, six;
	(void)net_addr_parse("10.0.0.1", &four);
	(void)net_addr_parse("fd00::1", &six);
	dns_answer_init(&a, buf, q->udp_max, query, q);
	for (int i = 0; i < 300; i++) {
		dns_answer_address(&a, i & 1 ? &four : &six, 1);
		dns_answer_name(&a, q->name, 1);
	}
	size_t n = dns_answer_end(&a, DNS_NOERROR);
	if (n > q->udp_max || n < q->question_end)
		abort();
	if (q->question_end > DNS_HEADER && !dns_is_answer(buf, n, query, q))
		abort();
	if (dns_truncate(buf, q) != q->question_end)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dns_query q;
	if (size < 2)
		return 0;
	size_t n = (size_t)data[0] << 8 | data[1];
	data += 2;
	size -= 2;
	if (n > size)
		n = size;
	uint8_t *query = copy(data, n), *other = copy(data + n, size - n);
	int rc = dns_query_parse(query, n, &q);
	if (rc == 0 && (q.question_end > n || q.udp_max < DNS_UDP_MIN || q.udp_max > DNS_UDP_MAX ||
			strlen(q.name) >= DNS_NAME_TEXT || (q.opt_at && q.opt_at + 10 > n)))
		abort();
	if (rc == 0) {
		dns_query_readdress(query, &q, 4711);
		if (dns_is_answer(other, size - n, query, &q) && dns_truncate(other, &q) > size - n)
			abort();
	}
	if (rc != -EBADMSG)
		answer(query, &q);
	free(query);
	free(other);
	return 0;
}
