/* SPDX-License-Identifier: Apache-2.0 */
/* top - the options of ps that are taken, and how columns look. */
#include "fixture.h"

#include "daemon/top.h"

#include <stdio.h>
#include <string.h>

static void top_parse__makes_columns(void **state)
{
	(void)state;
	static const struct {
		const char *args, *want;
	} rows[] = {
		{ NULL, "UID PID PPID C STIME TTY TIME CMD" },
		{ "", "UID PID PPID C STIME TTY TIME CMD" },
		{ "-ef", "UID PID PPID C STIME TTY TIME CMD" },
		{ "-e", "PID TTY TIME CMD" },
		{ "aux", "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND" },
		{ "-o pid,comm", "PID COMMAND" },
		{ "-opid", "PID" },
		{ "-eo pid,ppid cmd", "PID PPID CMD" },
		{ "o user", "USER" },
		{ "  -o %cpu, %mem", "%CPU %MEM" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct top_column *columns[TOP_COLUMNS_MAX];
		struct err err = ERR_INIT;
		char got[512] = "";
		int n = top_parse(rows[i].args, columns, &err);
		for (int k = 0; k < n; k++)
			(void)snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%s",
				       k ? " " : "", columns[k]->title);
		assert_string_equal(got, rows[i].want);
	}
}

static void top_parse__names_what_it_lacks(void **state)
{
	(void)state;
	static const struct {
		const char *args, *error;
	} rows[] = {
		{ "-o pid,label", "ps: the column 'label' is not supported by top" },
		{ "-o ", "ps: -o needs a list of columns" },
		{ "-L", "ps: the options '-L' are not supported by top: use -ef, aux or -o LIST" },
		{ "-ef; rm", "ps: the options '-ef; rm' are not supported by top: use -ef, aux or "
			     "-o LIST" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct top_column *columns[TOP_COLUMNS_MAX];
		struct err err = ERR_INIT;
		assert_true(top_parse(rows[i].args, columns, &err) < 0);
		assert_string_equal(err.text, rows[i].error);
	}
	char many[1024] = "-o ";
	for (int i = 0; i < 40; i++)
		strcat(many, "pid,");
	const struct top_column *columns[TOP_COLUMNS_MAX];
	assert_true(top_parse(many, columns, NULL) < 0);
}

static void top_columns__format(void **state)
{
	(void)state;
	static const struct {
		const char *column, *want;
	} rows[] = {
		{ "user", "root" },    { "uid", "0" },         { "group", "1000" },
		{ "tty", "pts/3" },    { "time", "00:01:40" }, { "etime", "16:40" },
		{ "c", "10" },         { "pcpu", "10.0" },     { "args", "a b" },
		{ "comm", "a" },       { "s", "R" },           { "vsz", "12" },
		{ "bsdtime", "1:40" },
	};
	const struct top_process p = {
		.pid = 1,
		.uid = 0,
		.gid = 1000,
		.stat = { .comm = "a",
			  .state = 'R',
			  .tty = 136 << 8 | 3,
			  .vsz_kib = 12,
			  .cpu_ticks = 100 * 100 },
		.command = "a b",
		.elapsed_ticks = 1000 * 100,
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct top_column *columns[TOP_COLUMNS_MAX];
		char args[64], buf[64];
		(void)snprintf(args, sizeof(args), "-o %s", rows[i].column);
		assert_int_equal(top_parse(args, columns, NULL), 1);
		columns[0]->format(&p, buf, sizeof(buf));
		assert_string_equal(buf, rows[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(top_parse__makes_columns),
		cmocka_unit_test(top_parse__names_what_it_lacks),
		cmocka_unit_test(top_columns__format),
	};
	return cmocka_run_group_tests_name("top", tests, NULL, NULL);
}
