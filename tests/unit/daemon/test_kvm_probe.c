/* SPDX-License-Identifier: Apache-2.0 */
/* kvm_probe - what isola-vmm --probe prints, judged. How the child is bounded:
 * tests/api/test_guests.py. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "daemon/kvm_broken.h"
#include "daemon/kvm_probe.h"

#include "isola/json.h"

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

static void broken__is_passed_on_only_with_its_kvm(void **state)
{
	(void)state;
	static const struct {
		const char *answer;
		int count; /* -1: nothing is passed on */
	} rows[] = {
		{ "{\"broken\":[\"avx\",\"cx16\"],\"broken_kvm\":\"1:2\"}", 2 },
		{ "{\"broken\":[],\"broken_kvm\":\"1:2\"}", 0 },
		{ "{\"broken\":[\"avx\"],\"broken_kvm\":\"\"}", -1 },
		{ "{\"broken\":[\"avx\"]}", -1 },
		{ "{\"broken\":7,\"broken_kvm\":\"1:2\"}", -1 },
		{ "{\"broken_kvm\":\"1:2\"}", -1 },
		{ "{}", -1 },
		{ "[]", -1 },
		{ "{\"broken\":[", -1 },
		{ "", -1 },
	};
	struct kvm_broken b = { .out = -1 };
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(kvm_broken_read(&b, rows[i].answer, strlen(rows[i].answer)),
				 rows[i].count >= 0);
		assert_int_equal(b.broken ? (int)json_len(b.broken) : -1, rows[i].count);
		assert_true(!b.broken == !b.of);
	}
	assert_true(kvm_broken_read(&b, rows[0].answer, strlen(rows[0].answer)));
	assert_string_equal(json_object_get_string(b.of), "1:2");
	json_object_put(b.broken);
	json_object_put(b.of);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(judge__reads_the_verdict),
		cmocka_unit_test(broken__is_passed_on_only_with_its_kvm),
	};
	return cmocka_run_group_tests_name("kvm_probe", tests, NULL, NULL);
}
