/* SPDX-License-Identifier: Apache-2.0 */
/* The grammar of published ports. */
#include "isola/net.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

static void net_publish_parse__takes_dockers_forms(void **state)
{
	(void)state;
	static const struct {
		const char *text, *ip;
		struct net_ports host, inside;
		enum net_proto proto;
	} rows[] = {
		{ "80", "", { 0, 0 }, { 80, 80 }, NET_TCP },
		{ "8080:80", "", { 8080, 8080 }, { 80, 80 }, NET_TCP },
		{ ":80", "", { 0, 0 }, { 80, 80 }, NET_TCP },
		{ "53:53/udp", "", { 53, 53 }, { 53, 53 }, NET_UDP },
		{ "127.0.0.1:8080:80/tcp", "127.0.0.1", { 8080, 8080 }, { 80, 80 }, NET_TCP },
		{ "127.0.0.1::80", "127.0.0.1", { 0, 0 }, { 80, 80 }, NET_TCP },
		{ "[::1]:8080:80", "::1", { 8080, 8080 }, { 80, 80 }, NET_TCP },
		{ "1-3:4-6", "", { 1, 3 }, { 4, 6 }, NET_TCP },
		{ "8000-9000:80", "", { 8000, 9000 }, { 80, 80 }, NET_TCP },
		{ "65535:65535", "", { 65535, 65535 }, { 65535, 65535 }, NET_TCP },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct net_publish p;
		assert_int_equal(net_publish_parse(rows[i].text, &p, NULL), 0);
		assert_string_equal(p.host_ip, rows[i].ip);
		assert_memory_equal(&p.host, &rows[i].host, sizeof(p.host));
		assert_memory_equal(&p.inside, &rows[i].inside, sizeof(p.inside));
		assert_int_equal(p.proto, rows[i].proto);
	}
}

static void net_publish_parse__refuses_nonsense(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"",     ":",           "0",       "65536",   "80/",        "80/icmp",
		"a:80", "80:a",        "80:",     "1-2:3-5", "3-1",        "1-:2",
		"-1:2", "1.2.3:80:80", "[::1:80", "[::1]80", "1:2:3:4",    "80 ",
		"+80",  "::80:80",     "1-2-3",   "[x]:1:2", "80/tcp/udp",
	};
	struct net_publish p;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct err err = ERR_INIT;
		int rc = net_publish_parse(bad[i], &p, &err);
		if (rc != -EINVAL)
			fail_msg("%s: %d", bad[i], rc);
		assert_true(*err.text);
	}
	assert_int_equal(net_publish_parse("80/sctp", &p, NULL), -EOPNOTSUPP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(net_publish_parse__takes_dockers_forms),
		cmocka_unit_test(net_publish_parse__refuses_nonsense),
	};
	return cmocka_run_group_tests_name("net_port", tests, NULL, NULL);
}
