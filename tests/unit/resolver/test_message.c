/* SPDX-License-Identifier: Apache-2.0 */
/* DNS messages: which queries are taken, and what answers look like. */
#include "resolver/message.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

/* A query for A of "Web.a", with recursion desired. */
static const uint8_t plain[] = { 0x12, 0x34, 1,   0,   0, 1,   0, 0, 0, 0, 0, 0,
				 3,    'W',  'e', 'b', 1, 'a', 0, 0, 1, 0, 1 };

/* The same with an OPT record of 1232 bytes behind it. */
static size_t with_opt(uint8_t *buf, unsigned int udp)
{
	const uint8_t opt[] = { 0, 0, 41, (uint8_t)(udp >> 8), (uint8_t)udp, 0, 0, 0, 0, 0, 0 };
	memcpy(buf, plain, sizeof(plain));
	memcpy(buf + sizeof(plain), opt, sizeof(opt));
	buf[11] = 1;
	return sizeof(plain) + sizeof(opt);
}

static void dns_query_parse__takes_a_question(void **state)
{
	(void)state;
	struct dns_query q;
	assert_int_equal(dns_query_parse(plain, sizeof(plain), &q), 0);
	assert_string_equal(q.name, "web.a");
	assert_int_equal(q.id, 0x1234);
	assert_int_equal(q.type, DNS_A);
	assert_int_equal(q.class, 1);
	assert_int_equal(q.question_end, sizeof(plain));
	assert_int_equal(q.udp_max, DNS_UDP_MIN);
	assert_int_equal(q.opt_at, 0);
}

static void dns_query_parse__takes_sizes_of_edns_in_bounds(void **state)
{
	(void)state;
	static const unsigned int rows[][2] = {
		{ 0, 512 }, { 511, 512 }, { 1232, 1232 }, { 4096, 4096 }, { 65535, 4096 }
	};
	uint8_t buf[64];
	struct dns_query q;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t size = with_opt(buf, rows[i][0]);
		assert_int_equal(dns_query_parse(buf, size, &q), 0);
		assert_int_equal(q.udp_max, rows[i][1]);
		dns_query_readdress(buf, &q, 0xabcd);
		assert_int_equal(buf[0] << 8 | buf[1], 0xabcd);
		assert_int_equal(buf[q.opt_at + 2] << 8 | buf[q.opt_at + 3], rows[i][1]);
	}
}

static void dns_query_parse__refuses_every_cut(void **state)
{
	(void)state;
	uint8_t buf[64];
	size_t size = with_opt(buf, 1232);
	for (size_t n = 0; n < size; n++) {
		struct dns_query q;
		uint8_t *copy = malloc(n + 1); /* so that a sanitizer sees what lies behind */
		memcpy(copy, buf, n);
		uint8_t *end = realloc(copy, n ? n : 1);
		assert_int_equal(dns_query_parse(end, n, &q), n < DNS_HEADER ? -EBADMSG : -EINVAL);
		free(end);
	}
}

static void dns_query_parse__refuses_nonsense(void **state)
{
	(void)state;
	static const struct {
		size_t at;
		uint8_t value;
		int rc;
	} rows[] = {
		{ 2, 0x81, -EBADMSG },    /* an answer */
		{ 2, 0x29, -EOPNOTSUPP }, /* UPDATE */
		{ 5, 0, -EINVAL },        /* no question */
		{ 5, 2, -EINVAL },        /* two */
		{ 12, 0xc0, -EINVAL },    /* a pointer */
		{ 12, 63, -EINVAL },      /* a label beyond the end */
		{ 12, 64, -EINVAL },      /* no label */
		{ 7, 1, -EINVAL },        /* an answer that is not there */
		{ 10, 1, -EINVAL },       /* 256 records */
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t buf[sizeof(plain)];
		struct dns_query q;
		memcpy(buf, plain, sizeof(buf));
		buf[rows[i].at] = rows[i].value;
		assert_int_equal(dns_query_parse(buf, sizeof(buf), &q), rows[i].rc);
	}
}

static void dns_query_parse__takes_no_odd_name_for_one_of_ours(void **state)
{
	(void)state;
	static const uint8_t odd[] = { '.', ' ', 0, 0xff, '\n' };
	for (size_t i = 0; i < sizeof(odd); i++) {
		uint8_t buf[sizeof(plain)];
		struct dns_query q;
		memcpy(buf, plain, sizeof(buf));
		buf[14] = odd[i];
		assert_int_equal(dns_query_parse(buf, sizeof(buf), &q), 0);
		assert_string_equal(q.name, "");
	}
}

static void dns_query_parse__takes_the_longest_name(void **state)
{
	(void)state;
	uint8_t buf[DNS_HEADER + 300] = { 0, 0, 1, 0, 0, 1 };
	struct dns_query q;
	size_t n = DNS_HEADER;
	static const uint8_t labels[] = { 63, 63, 63, 61 };
	for (size_t i = 0; i < 4; i++) {
		buf[n++] = labels[i];
		memset(buf + n, 'x', labels[i]);
		n += labels[i];
	}
	assert_int_equal(dns_query_parse(buf, n + 5, &q), 0);
	assert_int_equal(strlen(q.name), 253);
	buf[n - 62] = 62;
	assert_int_equal(dns_query_parse(buf, n + 6, &q), -EINVAL);
}

static void dns_answer__holds_the_question_and_records(void **state)
{
	(void)state;
	uint8_t query[64], buf[512];
	struct dns_query q;
	struct dns_answer a;
	struct net_addr four, six;
	size_t size = with_opt(query, 1232);
	assert_int_equal(net_addr_parse("10.1.2.3", &four), 0);
	assert_int_equal(net_addr_parse("fd00::1", &six), 0);
	assert_int_equal(dns_query_parse(query, size, &q), 0);
	dns_answer_init(&a, buf, sizeof(buf), query, &q);
	dns_answer_address(&a, &four, 10);
	dns_answer_address(&a, &six, 10);
	size = dns_answer_end(&a, DNS_NOERROR);
	assert_int_equal(size, sizeof(plain) + 16 + 28 + 11);
	assert_true(dns_is_answer(buf, size, query, &q));
	assert_int_equal(buf[7], 2);
	assert_int_equal(buf[11], 1);
	static const uint8_t record[] = { 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 10, 0, 4, 10, 1, 2, 3 };
	assert_memory_equal(buf + sizeof(plain), record, sizeof(record));
}

static void dns_answer__is_cut_where_it_does_not_fit(void **state)
{
	(void)state;
	uint8_t buf[DNS_UDP_MIN];
	struct dns_query q;
	struct dns_answer a;
	struct net_addr four;
	assert_int_equal(net_addr_parse("10.1.2.3", &four), 0);
	assert_int_equal(dns_query_parse(plain, sizeof(plain), &q), 0);
	dns_answer_init(&a, buf, sizeof(buf), plain, &q);
	for (int i = 0; i < 100; i++)
		dns_answer_address(&a, &four, 10);
	size_t size = dns_answer_end(&a, DNS_NOERROR);
	assert_true(size <= DNS_UDP_MIN);
	assert_int_equal(buf[2] & 2, 2);
	assert_int_equal(buf[7], (DNS_UDP_MIN - sizeof(plain)) / 16);
	size = dns_truncate(buf, &q);
	assert_int_equal(size, sizeof(plain));
	assert_int_equal(buf[7], 0);
}

static void dns_answer_name__leaves_out_what_is_no_name(void **state)
{
	(void)state;
	char label[80];
	const char *const bad[] = { "", ".", "a..b", label };
	uint8_t buf[DNS_UDP_MIN];
	struct dns_query q;
	struct dns_answer a;
	memset(label, 'x', sizeof(label));
	label[64] = '\0';
	assert_int_equal(dns_query_parse(plain, sizeof(plain), &q), 0);
	dns_answer_init(&a, buf, sizeof(buf), plain, &q);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		dns_answer_name(&a, bad[i], 10);
	assert_int_equal(a.size, sizeof(plain));
	dns_answer_name(&a, "web.blue", 10);
	assert_int_equal(a.size, sizeof(plain) + 12 + 10);
}

static void dns_is_answer__looks_at_the_question(void **state)
{
	(void)state;
	uint8_t answer[sizeof(plain)];
	struct dns_query q;
	memcpy(answer, plain, sizeof(plain));
	assert_int_equal(dns_query_parse(plain, sizeof(plain), &q), 0);
	assert_false(dns_is_answer(answer, sizeof(answer), plain, &q));
	answer[2] |= 0x80;
	assert_true(dns_is_answer(answer, sizeof(answer), plain, &q));
	assert_false(dns_is_answer(answer, sizeof(answer) - 1, plain, &q));
	answer[13] = 'x';
	assert_false(dns_is_answer(answer, sizeof(answer), plain, &q));
}

static void dns_reverse_name__knows_both_families(void **state)
{
	(void)state;
	struct net_addr a;
	char buf[DNS_NAME_TEXT];
	assert_int_equal(net_addr_parse("10.1.2.3", &a), 0);
	dns_reverse_name(&a, buf, sizeof(buf));
	assert_string_equal(buf, "3.2.1.10.in-addr.arpa");
	assert_int_equal(net_addr_parse("fd00::1", &a), 0);
	dns_reverse_name(&a, buf, sizeof(buf));
	assert_string_equal(
		buf, "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dns_query_parse__takes_a_question),
		cmocka_unit_test(dns_query_parse__takes_sizes_of_edns_in_bounds),
		cmocka_unit_test(dns_query_parse__refuses_every_cut),
		cmocka_unit_test(dns_query_parse__refuses_nonsense),
		cmocka_unit_test(dns_query_parse__takes_no_odd_name_for_one_of_ours),
		cmocka_unit_test(dns_query_parse__takes_the_longest_name),
		cmocka_unit_test(dns_answer__holds_the_question_and_records),
		cmocka_unit_test(dns_answer__is_cut_where_it_does_not_fit),
		cmocka_unit_test(dns_answer_name__leaves_out_what_is_no_name),
		cmocka_unit_test(dns_is_answer__looks_at_the_question),
		cmocka_unit_test(dns_reverse_name__knows_both_families),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
