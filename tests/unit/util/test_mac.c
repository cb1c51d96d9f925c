/* SPDX-License-Identifier: Apache-2.0 */
/* mac - which texts are the address of one device. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "isola/mac.h"

#include <errno.h>

static void mac_parse__takes_six_pairs_of_one_device(void **state)
{
	(void)state;
	const struct {
		const char *text;
		int want;
	} rows[] = {
		{ "02:42:0A:01:02:ff", 0 },
		{ "00:00:00:00:00:01", 0 },
		{ "", -EINVAL },
		{ "02:42:0a:01:02", -EINVAL },
		{ "02:42:0a:01:02:", -EINVAL },
		{ "02:42:0a:01:02:03:04", -EINVAL },
		{ "02:42:0a:01:02:03 ", -EINVAL },
		{ "02-42-0a-01-02-03", -EINVAL },
		{ "0g:42:0a:01:02:03", -EINVAL },
		{ "2:42:0a:01:02:003", -EINVAL },
		{ "02:00: 0:00:00:01", -EINVAL },
		{ "02:00:+0:00:00:01", -EINVAL },
		{ "02:00:-1:00:00:01", -EINVAL },
		{ "02:00:0x:00:00:01", -EINVAL },
		{ "01:42:0a:01:02:03", -EADDRNOTAVAIL },
		{ "ff:ff:ff:ff:ff:ff", -EADDRNOTAVAIL },
		{ "00:00:00:00:00:00", -EADDRNOTAVAIL },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t mac[MAC_BYTES] = { 0 };
		assert_int_equal(mac_parse(rows[i].text, mac), rows[i].want);
	}
}

static void mac_format__writes_small_letters(void **state)
{
	(void)state;
	uint8_t mac[MAC_BYTES];
	char buf[MAC_TEXT];
	assert_int_equal(mac_parse("02:42:0A:01:02:ff", mac), 0);
	assert_string_equal(mac_format(mac, buf, sizeof(buf)), "02:42:0a:01:02:ff");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mac_parse__takes_six_pairs_of_one_device),
		cmocka_unit_test(mac_format__writes_small_letters),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
