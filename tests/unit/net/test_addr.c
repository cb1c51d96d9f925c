/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses, prefixes and MAC addresses. */
#include "isola/mac.h"
#include "isola/net.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

static void net_prefix_parse__takes_both_families(void **state)
{
	(void)state;
	static const char *const good[] = { "0.0.0.0/0",     "10.0.0.0/8",  "10.201.0.0/16",
					    "10.0.0.4/30",   "10.0.0.7/32", "fd00::/8",
					    "fd00:1:2::/48", "::/0",        "fd00::7/128" };
	char buf[NET_PREFIX_TEXT];
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct net_prefix p;
		assert_int_equal(net_prefix_parse(good[i], &p, NULL), 0);
		assert_string_equal(net_prefix_format(&p, buf, sizeof(buf)), good[i]);
	}
}

static void net_prefix_parse__refuses_nonsense(void **state)
{
	(void)state;
	static const char *const bad[] = { "",
					   "/",
					   "10.0.0.0",
					   "10.0.0.0/",
					   "10.0.0.0/33",
					   "10.0.0.0/-1",
					   "10.0.0/8",
					   "10.0.0.1/24",
					   "fd00::1/64",
					   "fd00::/129",
					   "x/8",
					   "10.0.0.0/8x",
					   "10.0.0.0/ 8",
					   " 10.0.0.0/8" };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct net_prefix p;
		struct err err = ERR_INIT;
		assert_int_equal(net_prefix_parse(bad[i], &p, &err), -EINVAL);
		assert_true(*err.text);
	}
}

static struct net_prefix prefix(const char *text)
{
	struct net_prefix p;
	assert_int_equal(net_prefix_parse(text, &p, NULL), 0);
	return p;
}

static struct net_addr addr(const char *text)
{
	struct net_addr a;
	assert_int_equal(net_addr_parse(text, &a), 0);
	return a;
}

static void net_prefix_overlap__goes_both_ways(void **state)
{
	(void)state;
	static const struct {
		const char *a, *b;
		bool overlap;
	} rows[] = {
		{ "10.0.0.0/8", "10.1.0.0/16", true },   { "10.1.0.0/16", "10.1.0.0/16", true },
		{ "10.1.0.0/16", "10.2.0.0/16", false }, { "0.0.0.0/0", "10.2.0.0/16", true },
		{ "fd00::/8", "fd00:1::/32", true },     { "::/0", "10.0.0.0/8", false },
		{ "10.0.0.0/23", "10.0.1.0/24", true },  { "10.0.0.0/24", "10.0.1.0/24", false },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct net_prefix a = prefix(rows[i].a), b = prefix(rows[i].b);
		assert_int_equal(net_prefix_overlap(&a, &b), rows[i].overlap);
		assert_int_equal(net_prefix_overlap(&b, &a), rows[i].overlap);
	}
}

static void net_prefix_nth__carries_and_ends(void **state)
{
	(void)state;
	struct net_prefix p = prefix("10.0.254.0/23");
	struct net_addr a, want = addr("10.0.255.1");
	assert_int_equal(net_prefix_nth(&p, 257, &a), 0);
	assert_true(net_addr_is_equal(&a, &want));
	assert_int_equal(net_prefix_index(&p, &a), 257);
	assert_int_equal(net_prefix_nth(&p, 512, &a), -ERANGE);
	assert_int_equal(net_prefix_nth(&p, UINT64_MAX, &a), -ERANGE);
	p = prefix("fd00::/64");
	want = addr("fd00::1:0:0");
	assert_int_equal(net_prefix_nth(&p, 1ull << 32, &a), 0);
	assert_true(net_addr_is_equal(&a, &want));
	assert_true(net_prefix_index(&p, &a) == 1ull << 32);
}

static void net_mac_of__is_local_and_ends_as_the_address(void **state)
{
	(void)state;
	uint8_t mac[MAC_BYTES];
	char buf[MAC_TEXT];
	struct net_addr a = addr("10.201.0.7");
	net_mac_of(&a, mac);
	assert_string_equal(mac_format(mac, buf, sizeof(buf)), "02:42:0a:c9:00:07");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(net_prefix_parse__takes_both_families),
		cmocka_unit_test(net_prefix_parse__refuses_nonsense),
		cmocka_unit_test(net_prefix_overlap__goes_both_ways),
		cmocka_unit_test(net_prefix_nth__carries_and_ends),
		cmocka_unit_test(net_mac_of__is_local_and_ends_as_the_address),
	};
	return cmocka_run_group_tests_name("net_addr", tests, NULL, NULL);
}
