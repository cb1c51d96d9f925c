/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup_reader - what the readers of linux.resources share: typed members with
 * errors that name them, and the growing list of limits. Pure. */
#pragma once

#include "cgroup_limits.h"

#define RESOURCES_ITEMS_MAX 512  /* devices, page sizes, raw keys: each */
#define RESOURCES_VALUE_MAX 4096 /* bytes written to one file at once */

struct reader {
	struct limits *limits;
	struct err *err;
};

/* Sets "resources.<text>"; -EINVAL. */
int reader_bad(struct reader *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Sets "resources.<path>: <why>"; -EOPNOTSUPP. */
int reader_cannot(struct reader *r, const char *path, const char *why);

/* Members of @o, which is called @section in errors ("memory"). 1 with the
 * value, 0 when absent, -EINVAL. */
int reader_number(struct reader *r, json_object *o, const char *section, const char *key,
		  int64_t min, int64_t max, int64_t *ret);
int reader_bool(struct reader *r, json_object *o, const char *section, const char *key, bool *ret);

/* Adds "write @value to @file"; the controller is what stands before its dot.
 * The new item, for more settings, or NULL with the error set. */
struct limit *reader_add(struct reader *r, enum limit_kind kind, const char *file,
			 const char *value, const char *what);

/* The common case: a number ("max" when negative), called "<name> <value>". */
int reader_add_number(struct reader *r, enum limit_kind kind, const char *file, const char *name,
		      int64_t value);

/* cgroup_resources_io.c: sections of linux.resources. */
int reader_block_io(struct reader *r, json_object *o);
int reader_huge_pages(struct reader *r, json_object *a);
int reader_rdma(struct reader *r, json_object *map);
int reader_unified(struct reader *r, json_object *map);
