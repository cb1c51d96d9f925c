/* SPDX-License-Identifier: Apache-2.0 */
/* keepspec - keeper.json, KEEPER_SPEC of isola/keeper.h: how isolad wants this
 * payload kept. Immutable once parsed. */
#pragma once

#include "isola/err.h"
#include "isola/id.h"

#include "jlog.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

#define KEEPSPEC_LOWER_MAX 500 /* what overlayfs takes */

enum keep_kind { KEEP_CONTAINER, KEEP_VM, KEEP_GUEST, KEEP_KINDS };

struct keepspec {
	enum keep_kind kind;
	json_object *doc; /* owned; the strings below point into it */
	const char *id;
	const char *cgroup;
	json_object *lower; /* array of strings, or NULL: no overlay */
	const char *upper, *work;
	bool volatile_upper;
	const char *log_path; /* NULL: not logged */
	struct jlog_limits log_limits;
	json_object *log_attrs;    /* or NULL */
	json_object *make_dirs;    /* array of absolute paths, or NULL */
	const char *seccomp_cache; /* or NULL */
	json_object *resources;    /* of a VM: OCI linux.resources, or NULL */
	json_object *links;        /* of a guest: an array, or NULL */
	int64_t boot_ms, cpus;     /* of a guest; cpus: online from its boot on */
	const char *layer;         /* of a guest with an image of its own: the folder of
				    * "upper" and "work"; NULL: the root is served */
	const char *vmm;           /* of a VM: path of isola-vmm */
	bool keeps_stdin, stdin_once, tty, reaper;
	unsigned int rows, columns; /* 0: not given */
};

/* @doc: taken, also on failure. Errors name the field. An unknown field is an
 * error, as it may mean something that this keeper does not do. */
int keepspec_parse(json_object *doc, struct keepspec *ret, struct err *err);
/* Once the container is made: frees the document; every pointer is NULL then. */
void keepspec_shrink(struct keepspec *spec);
void keepspec_fini(struct keepspec *spec);

/* "max_size" and "max_files" of @log into @limits, for update too. */
int keepspec_log_limits(json_object *log, struct jlog_limits *limits, struct err *err);

/* Refuses fields of @o other than those in @known (ends with NULL). */
int keepspec_only(json_object *o, const char *const *known, const char *what, struct err *err);
