/* SPDX-License-Identifier: Apache-2.0 */
/* kvm_probe - what isola-vmm --probe prints, judged. How the child is bounded:
 * tests/api/test_guests.py. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "daemon/kvm_probe.h"

#include <string.h>

static void judge__reads_the_verdict(void **state)
{
	(void)state;
	static const struct {
		const char *answer;
		enum kvm_verdict verdict;
		const char *text;
	} rows[] = {
		{ "{\"linux\":true,\"checks\":[]}", KVM_WORKS, "" },
		{ "{\"linux\":false,\"checks\":[{\"name\":\"x\"},{\"name\":\"linux-guests\","
		  "\"text\":\"No.\",\"fix\":\"buy one\"}]}",
		  KVM_BROKEN, "No. (buy one)" },
		{ "{\"linux\":false}", KVM_BROKEN, "vmctl doctor" },
		{ "{}", KVM_BROKEN, "vmctl doctor" },
		{ "", KVM_OPEN, "said nothing" },
		{ "{\"linux\":tr", KVM_OPEN, "its answer" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[200] = "-";
		assert_int_equal(
			kvm_probe_judge(rows[i].answer, strlen(rows[i].answer), text, sizeof(text)),
			rows[i].verdict);
		if (!strstr(text, rows[i].text))
			fail_msg("%s: %s", rows[i].answer, text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(judge__reads_the_verdict),
	};
	return cmocka_run_group_tests_name("kvm_probe", tests, NULL, NULL);
}
