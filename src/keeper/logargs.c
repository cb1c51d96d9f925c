/* SPDX-License-Identifier: Apache-2.0 */
/* logargs - see logargs.h. */
#include "logargs.h"

#include "isola/num.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <string.h>

static int set_fd(const char *value, struct logargs *a)
{
	int64_t v;
	int rc = num_parse_range(value, 0, INT_MAX, &v);
	if (rc == 0)
		a->fd = (int)v;
	return rc;
}

static int set_path(const char *value, struct logargs *a)
{
	a->path = value;
	return value[0] == '/' ? 0 : -EINVAL;
}

static int set_run_dir(const char *value, struct logargs *a)
{
	a->run_dir = value;
	return value[0] == '/' ? 0 : -EINVAL;
}

static int set_since(const char *value, struct logargs *a)
{
	return num_parse_i64(value, &a->since_ns);
}

static int set_until(const char *value, struct logargs *a)
{
	return num_parse_i64(value, &a->until_ns);
}

static int set_tail(const char *value, struct logargs *a)
{
	return strcmp(value, "all") ? num_parse_range(value, 0, INT64_MAX, &a->tail) : 0;
}

static const struct {
	const char *name;
	size_t flag; /* offset of the bool, when there is no @set */
	int (*set)(const char *value, struct logargs *a);
} rows[] = {
	{ "--fd", 0, set_fd },
	{ "--path", 0, set_path },
	{ "--run-dir", 0, set_run_dir },
	{ "--since", 0, set_since },
	{ "--until", 0, set_until },
	{ "--tail", 0, set_tail },
	{ "--follow", offsetof(struct logargs, follow), NULL },
	{ "--timestamps", offsetof(struct logargs, timestamps), NULL },
	{ "--details", offsetof(struct logargs, details), NULL },
	{ "--stdout", offsetof(struct logargs, want_stdout), NULL },
	{ "--stderr", offsetof(struct logargs, want_stderr), NULL },
	{ "--mux", offsetof(struct logargs, mux), NULL },
	{ "--chunked", offsetof(struct logargs, chunked), NULL },
};

#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

int logargs_parse(int argc, char **argv, struct logargs *ret, struct err *err)
{
	struct logargs a = { .fd = -1, .tail = -1 };
	for (int i = 1; i < argc; i++) {
		size_t row = 0;
		while (row < N_ROWS && strcmp(rows[row].name, argv[i]))
			row++;
		if (row == N_ROWS)
			return err_set(err, EINVAL, "logs: unknown flag \"%s\"", argv[i]);
		if (!rows[row].set) {
			*(bool *)((char *)&a + rows[row].flag) = true;
			continue;
		}
		if (++i == argc)
			return err_set(err, EINVAL, "logs: %s needs a value", rows[row].name);
		if (rows[row].set(argv[i], &a) < 0)
			return err_set(err, EINVAL, "logs: %s: \"%s\" is no good value",
				       rows[row].name, argv[i]);
	}
	if (a.fd < 0 || !a.path)
		return err_set(err, EINVAL, "logs: --fd and --path are needed");
	if (a.follow && !a.run_dir)
		return err_set(err, EINVAL, "logs: --follow needs --run-dir");
	*ret = a;
	return 0;
}
