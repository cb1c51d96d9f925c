/* SPDX-License-Identifier: Apache-2.0 */
/* What nftables is told, and what is made of the rules of others. */
#include "isola/net.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

static struct net_addr addr(const char *text)
{
	struct net_addr a;
	assert_int_equal(net_addr_parse(text, &a), 0);
	return a;
}

static void net_rules__are_elements_of_sets(void **state)
{
	(void)state;
	struct net_bridge b = { .name = "isola0", .gateway = addr("10.5.0.1") };
	struct net_addrs to = { addr("10.5.0.7"), addr("fd05::7") };
	struct net_binding all = { addr("0.0.0.0"), 8080, 80, NET_TCP, -1 };
	struct net_binding one = { addr("127.0.0.1"), 53, 5353, NET_UDP, -1 };
	struct net_binding all6 = { addr("::"), 8080, 80, NET_TCP, -1 };
	struct net_binding one6 = { addr("::1"), 53, 5353, NET_UDP, -1 };
	cleanup_strbuf struct strbuf s = STRBUF_INIT;
	assert_int_equal(net_prefix_parse("10.5.0.0/24", &b.subnet, NULL), 0);
	net_rules_text_bridge(&s, &b, true);
	net_rules_text_binding(&s, &to, &all, true);
	net_rules_text_binding(&s, &to, &one, false);
	assert_string_equal(
		s.text,
		"add element inet isola bridges { \"isola0\" }\n"
		"add element inet isola within { \"isola0\" . \"isola0\" }\n"
		"add element inet isola subnets4 { 10.5.0.0/24 }\n"
		"add element inet isola same4 { 10.5.0.0/24 . 10.5.0.0/24 }\n"
		"add element inet isola all4 { tcp . 8080 : 10.5.0.7 . 80 }\n"
		"delete element inet isola one4 { 127.0.0.1 . udp . 53 : 10.5.0.7 . 5353 }\n");
	strbuf_reset(&s);
	assert_int_equal(net_prefix_parse("fd05::/64", &b.subnet6, NULL), 0);
	net_rules_text_bridge(&s, &b, true);
	net_rules_text_binding(&s, &to, &all6, true);
	net_rules_text_binding(&s, &to, &one6, false);
	assert_non_null(strstr(s.text, "add element inet isola subnets6 { fd05::/64 }\n"
				       "add element inet isola same6 { fd05::/64 . fd05::/64 }\n"
				       "add element inet isola all6 { tcp . 8080 : fd05::7 . 80 }\n"
				       "delete element inet isola one6 { ::1 . udp . 53 : fd05::7 "
				       ". 5353 }\n"));
	strbuf_reset(&s);
	b.internal = true;
	net_rules_text_bridge(&s, &b, true);
	assert_non_null(strstr(s.text, "internal { \"isola0\" }"));
	assert_null(strstr(s.text, "subnets4"));
}

static void net_guard__knows_all_of_a_port(void **state)
{
	(void)state;
	struct net_port p = { .host_name = "veth0",
			      .addr = addr("10.5.0.7"),
			      .mac = { 2, 66, 10, 5, 0, 7 } };
	cleanup_strbuf struct strbuf s = STRBUF_INIT;
	net_guard_text_port(&s, &p, true);
	assert_string_equal(s.text,
			    "add element bridge isola ports { \"veth0\" }\n"
			    "add element bridge isola macs { \"veth0\" . 02:42:0a:05:00:07 }\n"
			    "add element bridge isola addrs4 { \"veth0\" . 10.5.0.7 }\n");
	strbuf_reset(&s);
	p.addr6 = addr("fd05::7");
	net_guard_text_port(&s, &p, true);
	assert_non_null(strstr(s.text, "addrs6 { \"veth0\" . fd05::7 }"));
	assert_non_null(strstr(s.text, "addrs6 { \"veth0\" . fe80::42:aff:fe05:7 }"));
	assert_non_null(strstr(s.text, "nd6 { \"veth0\" . 0xfd050000000000000000000000000007 }"));
	/* Where it is missing, it is added first. */
	strbuf_reset(&s);
	net_guard_text_port(&s, &p, false);
	assert_non_null(strstr(s.text, "add element bridge isola ports { \"veth0\" }\n"
				       "delete element bridge isola ports { \"veth0\" }\n"));
}

static void net_guard__lets_who_is_unguarded(void **state)
{
	(void)state;
	cleanup_strbuf struct strbuf s = STRBUF_INIT;
	struct net_port p = { .host_name = "veth1", .unguarded = true };
	assert_int_equal(net_addr_parse("10.201.0.2", &p.addr), 0);
	net_guard_text_port(&s, &p, true);
	net_guard_text_port(&s, &p, false);
	assert_int_equal(s.len, 0);
}

#define CHAIN(family, table, name, hook, policy)                                                   \
	"{\"chain\":{\"family\":\"" family "\",\"table\":\"" table "\",\"name\":\"" name           \
	"\",\"hook\":\"" hook "\",\"policy\":\"" policy "\"}}"
#define RULESET(chains) "{\"nftables\":[{\"metainfo\":{}}," chains "]}"

static void net_rules_find_conflict__names_the_mend(void **state)
{
	(void)state;
	static const struct {
		const char *json, *text;
	} rows[] = {
		{ RULESET(CHAIN("ip", "filter", "FORWARD", "forward", "drop")),
		  "iptables -I FORWARD -i isola0" },
		{ RULESET(CHAIN("inet", "firewalld", "filter_FORWARD", "forward", "accept")),
		  "firewall-cmd" },
		{ RULESET(CHAIN("inet", "mine", "f", "forward", "drop")), "policy drop" },
		{ RULESET(CHAIN("ip", "filter", "FORWARD", "forward", "accept")), NULL },
		{ RULESET(CHAIN("ip", "filter", "INPUT", "input", "drop")), NULL },
		{ RULESET(CHAIN("inet", "isola", "forward", "forward", "drop")), NULL },
		{ "{}", NULL },
		{ "", NULL },
		{ "{\"nftables\":[1,null,{\"chain\":7}]}", NULL },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct net_bridge bridge = { .name = "isola0" };
		char *text = net_rules_find_conflict(NULL, rows[i].json, &bridge, 1);
		if (!rows[i].text)
			assert_null(text);
		else if (!text || !strstr(text, rows[i].text))
			fail_msg("%zu: %s", i, text ? text : "nothing");
		free(text);
	}
}

#define RULE(exprs) "{\"rule\":{\"family\":\"ip\",\"table\":\"filter\",\"expr\":[" exprs "]}}"
#define MATCH(key, op, name)                                                                       \
	"{\"match\":{\"op\":\"" op "\",\"left\":{\"meta\":{\"key\":\"" key                         \
	"\"}},\"right\":\"" name "\"}}"
#define COUNTER "{\"counter\":{\"packets\":0}}"
#define ACCEPT  "{\"accept\":null}"
#define OUT     RULE(MATCH("oifname", "==", "isola0") "," ACCEPT)

static void net_rules_let_through__wants_both_ways_and_no_other_match(void **state)
{
	(void)state;
	static const struct {
		const char *json;
		bool through;
	} rows[] = {
		{ RULESET(RULE(MATCH("iifname", "==", "isola0") "," COUNTER "," ACCEPT) "," OUT),
		  true },
		{ RULESET(OUT), false },
		{ RULESET(RULE(MATCH("iifname", "==", "isola1") "," ACCEPT) "," OUT), false },
		{ RULESET(RULE(MATCH("iifname", "!=", "isola0") "," ACCEPT) "," OUT), false },
		{ RULESET(RULE(MATCH("iifname", "==", "isola0") "," COUNTER) "," OUT), false },
		{ RULESET(RULE(MATCH("iifname", "==", "isola0") "," MATCH(
			  "oifname", "==", "eth0") "," ACCEPT) "," OUT),
		  false },
		{ RULESET(RULE(ACCEPT)), false },
		{ "{\"nftables\":[1,null,{\"rule\":7},{\"rule\":{\"expr\":[1,null]}}]}", false },
		{ "", false },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (net_rules_let_through(rows[i].json, "isola0") != rows[i].through)
			fail_msg("row %zu", i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(net_rules__are_elements_of_sets),
		cmocka_unit_test(net_guard__knows_all_of_a_port),
		cmocka_unit_test(net_guard__lets_who_is_unguarded),
		cmocka_unit_test(net_rules_find_conflict__names_the_mend),
		cmocka_unit_test(net_rules_let_through__wants_both_ways_and_no_other_match),
	};
	return cmocka_run_group_tests_name("net_rules", tests, NULL, NULL);
}
