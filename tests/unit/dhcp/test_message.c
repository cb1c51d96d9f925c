/* SPDX-License-Identifier: Apache-2.0 */
/* message - what a guest may ask, and what it must not get. */
#include "dhcp/message.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define MAC      "\x02\x42\x0a\xc9\x00\x03"
#define BOOTP_AT 42
#define OPTS_AT  (BOOTP_AT + 240)

struct guest {
	uint8_t frame[1600];
	size_t size;
};

static struct dhcp_lease lease_of(void)
{
	struct dhcp_lease l = {
		.mac = MAC, .prefix = 16, .mtu = 1500, .n_dns = 1, .hostname = "db"
	};
	(void)net_addr_parse("10.201.0.3", &l.address);
	(void)net_addr_parse("10.201.0.1", &l.server);
	l.router = l.dns[0] = l.server;
	return l;
}

static void put16(uint8_t *p, size_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void finish(struct guest *g)
{
	put16(g->frame + 16, g->size - 14);
	put16(g->frame + 38, g->size - 34);
}

static void add(struct guest *g, const void *bytes, size_t n)
{
	memcpy(g->frame + g->size, bytes, n);
	g->size += n;
	finish(g);
}
#define ADD(g, bytes) add(g, bytes, sizeof(bytes) - 1)

/* Without options behind the type. */
static struct guest request(uint8_t type)
{
	struct guest g = { .size = OPTS_AT };
	uint8_t *f = g.frame, option[3] = { 53, 1, type };
	memset(f, 0xff, 6);
	memcpy(f + 6, MAC, 6);
	put16(f + 12, 0x0800);
	f[14] = 0x45;
	f[22] = 64;
	f[23] = 17;
	memset(f + 30, 0xff, 4);
	put16(f + 34, 68);
	put16(f + 36, 67);
	memcpy(f + BOOTP_AT, "\1\1\6\0\xde\xad\xbe\xef", 8);
	memcpy(f + BOOTP_AT + 28, MAC, 6);
	memcpy(f + BOOTP_AT + 236, "\x63\x82\x53\x63", 4);
	add(&g, option, 3);
	return g;
}

/* An option of an answer: its length, or -1. */
static int option_of(const uint8_t *answer, size_t n, uint8_t code, const uint8_t **ret)
{
	for (size_t i = OPTS_AT; i + 1 < n && answer[i] != 255; i += 2 + (size_t)answer[i + 1]) {
		if (answer[i] != code)
			continue;
		*ret = answer + i + 2;
		return answer[i + 1];
	}
	return -1;
}

static void assert_option(const uint8_t *answer, size_t n, uint8_t code, const char *want, int len)
{
	const uint8_t *got = NULL;
	assert_int_equal(option_of(answer, n, code, &got), len);
	if (len > 0)
		assert_memory_equal(got, want, len);
}

static unsigned int sum(unsigned int total, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i += 2)
		total += (unsigned int)p[i] << 8 | (i + 1 < n ? p[i + 1] : 0u);
	while (total >> 16)
		total = (total & 0xffff) + (total >> 16);
	return total;
}

static void assert_whole(const uint8_t *a, size_t n)
{
	size_t udp = (size_t)a[38] << 8 | a[39];
	assert_int_equal(n, 34 + udp);
	assert_int_equal((size_t)a[16] << 8 | a[17], 20 + udp);
	assert_int_equal(sum(0, a + 14, 20), 0xffff);
	unsigned int pseudo = sum(17 + (unsigned int)udp, a + 26, 8);
	assert_int_equal(sum(pseudo, a + 34, udp), 0xffff);
	assert_memory_equal(a + 34, "\0\x43\0\x44", 4);
}

/* The type of the answer to @g, 0 = none. */
static int answered(const struct guest *g, uint8_t *answer, size_t *ret_n)
{
	static uint8_t own[DHCP_FRAME_MAX];
	const struct dhcp_lease l = lease_of();
	const uint8_t *type = NULL;
	size_t n = dhcp_answer(&l, g->frame, g->size, answer ? answer : own);
	if (ret_n)
		*ret_n = n;
	return n && option_of(answer ? answer : own, n, 53, &type) == 1 ? type[0] : 0;
}

static void answer__offers_the_lease(void **state)
{
	(void)state;
	struct guest g = request(1);
	uint8_t a[DHCP_FRAME_MAX];
	size_t n;
	ADD(&g, "\x3d\x07\x01" MAC "\xff");
	assert_int_equal(answered(&g, a, &n), 2);
	assert_whole(a, n);
	assert_memory_equal(a, MAC, 6);
	assert_memory_equal(a + 30, "\x0a\xc9\0\x03", 4);
	assert_memory_equal(a + BOOTP_AT, "\2\1\6\0\xde\xad\xbe\xef", 8);
	assert_memory_equal(a + BOOTP_AT + 16, "\x0a\xc9\0\x03", 4);
	assert_option(a, n, 1, "\xff\xff\0\0", 4);
	assert_option(a, n, 3, "\x0a\xc9\0\x01", 4);
	assert_option(a, n, 6, "\x0a\xc9\0\x01", 4);
	assert_option(a, n, 12, "db", 2);
	assert_option(a, n, 26, "\x05\xdc", 2);
	assert_option(a, n, 28, "\x0a\xc9\xff\xff", 4);
	assert_option(a, n, 51, "\0\x01\x51\x80", 4);
	assert_option(a, n, 54, "\x0a\xc9\0\x01", 4);
	assert_option(a, n, 61, "\x01" MAC, 7);
}

static void answer__leaves_out_what_there_is_not(void **state)
{
	(void)state;
	struct dhcp_lease l = lease_of();
	struct guest g = request(1);
	uint8_t a[DHCP_FRAME_MAX];
	const uint8_t *p;
	l.router.family = 0;
	l.n_dns = 0;
	l.mtu = 0;
	l.hostname[0] = '\0';
	size_t n = dhcp_answer(&l, g.frame, g.size, a);
	static const uint8_t codes[] = { 3, 6, 12, 26, 61 };
	assert_true(n > 0);
	for (size_t i = 0; i < sizeof(codes); i++)
		assert_int_equal(option_of(a, n, codes[i], &p), -1);
}

#define ASKED  "\x32\x04\x0a\xc9\0\x03"
#define WRONG  "\x32\x04\x0a\xc9\0\x04"
#define OURS   "\x36\x04\x0a\xc9\0\x01"
#define OTHERS "\x36\x04\x0a\xc9\0\x09"

static void answer__judges_requests(void **state)
{
	(void)state;
	static const struct {
		uint8_t type;
		const char *ciaddr; /* four bytes */
		const char *options;
		size_t n;
		int want;
	} rows[] = {
#define ROW(type, ciaddr, options, want) { type, ciaddr, options, sizeof(options) - 1, want }
		ROW(3, NULL, OURS ASKED, 5),
		ROW(3, NULL, OURS WRONG, 6),
		ROW(3, NULL, OTHERS ASKED, 0),
		ROW(3, NULL, ASKED, 5),
		ROW(3, NULL, WRONG, 6),
		ROW(3, "\x0a\xc9\0\x03", "", 5),
		ROW(3, "\x0a\xc9\0\x04", "", 6),
		ROW(3, NULL, "", 0),
		ROW(4, NULL, OURS ASKED, 0),
		ROW(7, "\x0a\xc9\0\x03", OURS, 0),
		ROW(8, "\x0a\xc9\0\x03", "", 5),
		ROW(8, "\x0a\xc9\0\x04", "", 0),
		ROW(2, NULL, "", 0),
		ROW(5, NULL, "", 0),
		ROW(0, NULL, "", 0),
		ROW(13, NULL, "", 0),
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct guest g = request(rows[i].type);
		add(&g, rows[i].options, rows[i].n);
		ADD(&g, "\xff");
		if (rows[i].ciaddr)
			memcpy(g.frame + BOOTP_AT + 12, rows[i].ciaddr, 4);
		if (answered(&g, NULL, NULL) != rows[i].want)
			fail_msg("row %zu: %d", i, answered(&g, NULL, NULL));
	}
}

static void answer__goes_where_it_can_be_heard(void **state)
{
	(void)state;
	struct guest g = request(1);
	uint8_t a[DHCP_FRAME_MAX];
	size_t n;
	g.frame[BOOTP_AT + 10] = 0x80;
	assert_int_equal(answered(&g, a, &n), 2);
	assert_whole(a, n);
	assert_memory_equal(a, "\xff\xff\xff\xff\xff\xff", 6);
	assert_memory_equal(a + 30, "\xff\xff\xff\xff", 4);
	struct guest nak = request(3);
	ADD(&nak, WRONG "\xff");
	assert_int_equal(answered(&nak, a, &n), 6);
	assert_whole(a, n);
	assert_memory_equal(a, "\xff\xff\xff\xff\xff\xff", 6);
	assert_memory_equal(a + BOOTP_AT + 16, "\0\0\0\0", 4);
	struct guest inform = request(8);
	const uint8_t *p;
	memcpy(inform.frame + BOOTP_AT + 12, "\x0a\xc9\0\x03", 4);
	assert_int_equal(answered(&inform, a, &n), 5);
	assert_memory_equal(a + BOOTP_AT + 16, "\0\0\0\0", 4);
	assert_int_equal(option_of(a, n, 51, &p), -1);
}

/* One byte of a good request changed: nothing is answered. */
static void answer__is_for_its_port_alone(void **state)
{
	(void)state;
	static const struct {
		size_t at;
		uint8_t value;
	} rows[] = {
		{ 6, 4 },
		{ 11, 4 },
		{ 12, 0x86 },
		{ 14, 0x65 },
		{ 14, 0x44 },
		{ 14, 0x4f },
		{ 20, 0x20 },
		{ 21, 1 },
		{ 23, 6 },
		{ 37, 68 },
		{ BOOTP_AT, 2 },
		{ BOOTP_AT + 1, 6 },
		{ BOOTP_AT + 2, 16 },
		{ BOOTP_AT + 27, 1 },
		{ BOOTP_AT + 28, 4 },
		{ BOOTP_AT + 33, 4 },
		{ BOOTP_AT + 236, 0 },
		{ OPTS_AT + 1, 200 },
		{ OPTS_AT + 1, 2 },
		{ 16, 255 },
		{ 38, 255 },
		{ 39, 7 },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct guest g = request(1);
		ADD(&g, "\xff");
		assert_int_equal(answered(&g, NULL, NULL), 2);
		g.frame[rows[i].at] = rows[i].value;
		if (answered(&g, NULL, NULL))
			fail_msg("row %zu is answered", i);
	}
	struct guest g = request(1);
	for (; g.size > 0; g.size--)
		if (g.size < OPTS_AT + 3)
			assert_int_equal(answered(&g, NULL, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answer__offers_the_lease),
		cmocka_unit_test(answer__leaves_out_what_there_is_not),
		cmocka_unit_test(answer__judges_requests),
		cmocka_unit_test(answer__goes_where_it_can_be_heard),
		cmocka_unit_test(answer__is_for_its_port_alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
