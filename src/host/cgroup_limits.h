/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup_limits - an OCI linux.resources object as the list of files to write.
 * cgroup_resources.c makes it (pure), cgroup_limits.c checks and writes it. */
#pragma once

#include "isola/err.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum limit_kind {
	LIMIT_PLAIN,
	LIMIT_NONE,   /* asks for what is so anyway: no matter when it cannot be written */
	LIMIT_PERIOD, /* of cpu.max: the quota that is there stays */
	LIMIT_BURST,  /* if refused, once more after the next one (cpu.max) */
};

struct limit {
	enum limit_kind kind;
	bool optional;       /* no matter when the file is missing */
	char controller[24]; /* "memory"; "" = cgroup's own files, always there */
	char file[128];
	char *value;          /* owned */
	const char *alt_file; /* in place of @file when that is missing; or NULL */
	char *alt_value;      /* owned */
	char what[96];        /* for people: "memory limit 67108864" */
};

struct limits {
	struct limit *items;
	size_t n, cap;
	int64_t check_usage; /* bytes: refuse when more are in use; 0 = do not look */
};

#define LIMITS_INIT                                                                                \
	{                                                                                          \
		.n = 0                                                                             \
	}

/* Reads @resources into @ret (initialised with LIMITS_INIT; to be finished with
 * limits_fini() in any case). 0, -EINVAL with the JSON path, -EOPNOTSUPP for what
 * cgroup v2 cannot do at all, -ENOMEM. Pure. */
int limits_parse(json_object *resources, struct limits *ret, struct err *err);
void limits_fini(struct limits *limits);

/* CPU shares of cgroup v1 (2 to 262144) as weight of v2 (1 to 10000); 0 = unset. */
uint64_t limits_cpu_weight(uint64_t shares);

/* blkio weight of v1 (10 to 1000) as io weight of v2 (1 to 10000). */
uint64_t limits_io_weight(uint64_t weight);
