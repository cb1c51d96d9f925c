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
	struct net_addr to = addr("10.5.0.7");
	struct net_binding all = { addr("0.0.0.0"), 8080, 80, NET_TCP, -1 };
	struct net_binding one = { addr("127.0.0.1"), 53, 5353, NET_UDP, -1 };
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
	b.internal = true;
	net_rules_text_bridge(&s, &b, true);
	assert_non_null(strstr(s.text, "internal { \"isola0\" }"));
	assert_null(strstr(s.text, "subnets4"));
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
		char *text = net_rules_find_conflict(rows[i].json);
		if (!rows[i].text)
			assert_null(text);
		else if (!text || !strstr(text, rows[i].text))
			fail_msg("%zu: %s", i, text ? text : "nothing");
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(net_rules__are_elements_of_sets),
		cmocka_unit_test(net_rules_find_conflict__names_the_mend),
	};
	return cmocka_run_group_tests_name("net_rules", tests, NULL, NULL);
}
