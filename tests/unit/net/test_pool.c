/* SPDX-License-Identifier: Apache-2.0 */
/* Which subnet and which address is chosen. */
#include "isola/net.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

static struct net_prefix prefix(const char *text)
{
	struct net_prefix p;
	assert_int_equal(net_prefix_parse(text, &p, NULL), 0);
	return p;
}

static const char *subnet(bool is_default, const char *const *used, size_t n, struct err *err)
{
	static char buf[NET_PREFIX_TEXT];
	struct net_prefix all[8], p;
	struct net_used u = { all, n };
	for (size_t i = 0; i < n; i++)
		all[i] = prefix(used[i]);
	if (net_pool_subnet(is_default, &u, &p, err) < 0)
		return NULL;
	return net_prefix_format(&p, buf, sizeof(buf));
}

static void net_pool_subnet__avoids_what_is_used(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	static const char *const used[] = { "10.201.7.0/24", "10.202.0.0/24", "10.202.1.128/25" };
	static const char *const all[] = { "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16" };
	assert_string_equal(subnet(true, NULL, 0, NULL), "10.201.0.0/16");
	assert_string_equal(subnet(false, NULL, 0, NULL), "10.202.0.0/24");
	assert_string_equal(subnet(true, used, 3, NULL), "10.202.2.0/24");
	assert_string_equal(subnet(false, used, 3, NULL), "10.202.2.0/24");
	assert_string_equal(subnet(false, all, 1, NULL), "172.30.0.0/24");
	assert_string_equal(subnet(false, all, 2, NULL), "192.168.0.0/24");
	assert_null(subnet(true, all, 3, &err));
	assert_int_equal(err.code, ENOSPC);
	assert_non_null(strstr(err.text, "--subnet"));
}

struct taken {
	bool used[256];
};

static bool is_taken(void *arg, const struct net_addr *a)
{
	struct taken *t = arg;
	return t->used[a->bytes[3]];
}

static void net_pool_addr__goes_round(void **state)
{
	(void)state;
	struct taken t = { { false } };
	struct net_prefix s = prefix("10.5.0.0/29");
	struct net_addr last = { 0 };
	struct err err = ERR_INIT;
	t.used[1] = true; /* the gateway */
	static const int want[] = { 2, 3, 4, 5, 6 };
	for (size_t i = 0; i < 5; i++) {
		assert_int_equal(net_pool_addr(&s, &s, &last, is_taken, &t, &last, NULL), 0);
		assert_int_equal(last.bytes[3], want[i]);
		t.used[want[i]] = true;
	}
	assert_int_equal(net_pool_addr(&s, &s, &last, is_taken, &t, &last, &err), -ENOSPC);
	assert_non_null(strstr(err.text, "10.5.0.0/29"));
	/* The one that was given back first comes last. */
	t.used[3] = t.used[6] = false;
	last.bytes[3] = 3;
	assert_int_equal(net_pool_addr(&s, &s, &last, is_taken, &t, &last, NULL), 0);
	assert_int_equal(last.bytes[3], 6);
}

static void net_pool_addr__stays_in_the_range(void **state)
{
	(void)state;
	struct taken t = { { false } };
	struct net_prefix s = prefix("10.5.0.0/24"), r = prefix("10.5.0.252/30");
	struct net_addr last = { 0 };
	for (int want = 252; want < 255; want++) {
		assert_int_equal(net_pool_addr(&s, &r, &last, is_taken, &t, &last, NULL), 0);
		assert_int_equal(last.bytes[3], want);
		t.used[want] = true;
	}
	/* 255 is the broadcast address of the subnet. */
	assert_int_equal(net_pool_addr(&s, &r, &last, is_taken, &t, &last, NULL), -ENOSPC);
}

static void net_pool_addr__knows_ipv6(void **state)
{
	(void)state;
	struct taken t = { { false } };
	struct net_prefix s = prefix("fd00::/64");
	struct net_addr last = { 0 };
	assert_int_equal(net_pool_addr(&s, &s, &last, is_taken, &t, &last, NULL), 0);
	assert_int_equal(last.family, AF_INET6);
	assert_int_equal(last.bytes[15], 1);
}

static void net_pool_subnet6__goes_on_where_one_is_used(void **state)
{
	(void)state;
	static const uint8_t random[7] = { 1, 2, 3, 4, 5, 0, 0xff };
	struct net_prefix p, used[2];
	struct net_used u = { used, 0 };
	char buf[NET_PREFIX_TEXT];
	assert_int_equal(net_pool_subnet6(random, &u, &p, NULL), 0);
	assert_string_equal(net_prefix_format(&p, buf, sizeof(buf)), "fd01:203:405:ff::/64");
	used[u.n++] = p;
	assert_int_equal(net_pool_subnet6(random, &u, &p, NULL), 0);
	assert_string_equal(net_prefix_format(&p, buf, sizeof(buf)), "fd01:203:405:100::/64");
	assert_int_equal(net_prefix_parse("fc00::/7", &used[0], NULL), 0);
	assert_int_equal(net_pool_subnet6(random, &u, &p, NULL), -ENOSPC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(net_pool_subnet6__goes_on_where_one_is_used),
		cmocka_unit_test(net_pool_subnet__avoids_what_is_used),
		cmocka_unit_test(net_pool_addr__goes_round),
		cmocka_unit_test(net_pool_addr__stays_in_the_range),
		cmocka_unit_test(net_pool_addr__knows_ipv6),
	};
	return cmocka_run_group_tests_name("net_pool", tests, NULL, NULL);
}
