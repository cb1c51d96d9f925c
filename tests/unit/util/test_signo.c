/* SPDX-License-Identifier: Apache-2.0 */
/* signo - the ways to write a signal. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "isola/signo.h"

#include <errno.h>
#include <signal.h>

static void signo_parse__takes_names_and_numbers(void **state)
{
	(void)state;
	const struct {
		const char *text;
		int want;
	} rows[] = {
		{ "SIGTERM", SIGTERM },
		{ "term", SIGTERM },
		{ "9", SIGKILL },
		{ "SigUsr1", SIGUSR1 },
		{ "IOT", SIGABRT },
		{ "POLL", SIGIO },
		{ "RTMIN", SIGRTMIN },
		{ "SIGRTMIN+3", SIGRTMIN + 3 },
		{ "64", 64 },
		{ "rtmax-1", SIGRTMAX - 1 },
		{ "RTMAX+1", -EINVAL },
		{ "RTMIN+31", -EINVAL },
		{ "0", -EINVAL },
		{ "65", -EINVAL },
		{ "", -EINVAL },
		{ "SIG", -EINVAL },
		{ "SIGSIGTERM", -EINVAL },
		{ "15x", -EINVAL },
		{ "-9", -EINVAL },
		{ "RTMIN+", -EINVAL },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(signo_parse(rows[i].text), rows[i].want);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(signo_parse__takes_names_and_numbers),
	};
	return cmocka_run_group_tests_name("signo", tests, NULL, NULL);
}
