/* SPDX-License-Identifier: Apache-2.0 */
/* oci_cli - isola-oci's command line: verbs and options are rows. The grammar and
 * the names are runc's, so that podman, containerd and CRI-O need not be told. */
#pragma once

#include "isola/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum oci_kind {
	OCI_FLAG,  /* bool */
	OCI_TEXT,  /* const char *; the last one wins */
	OCI_COUNT, /* int, 0 .. 65536 */
	OCI_LIST,  /* struct oci_list */
};

struct oci_list {
	const char **items; /* borrowed texts, owned array */
	size_t n;
};

/* @offset: of the value in the struct that the options of a verb fill. */
struct oci_opt {
	const char *name; /* long form; NULL ends the table */
	char letter;      /* 0 = none */
	enum oci_kind kind;
	size_t offset;
	const char *metavar; /* "FILE"; NULL for flags */
	const char *help;
};

/* The options before the verb. */
struct oci {
	const char *root, *log, *log_format, *rootless;
	bool debug, systemd_cgroup;
	bool help, version;
	const char *verb; /* for messages */
};

struct oci_verb {
	const char *name;       /* NULL ends the table */
	const char *args;       /* "ID"; shown in the help */
	int min_args, max_args; /* -1 = any */
	bool in_order;          /* what follows the first argument is no option */
	const char *help;       /* one line */
	const char *examples;
	const struct oci_opt *opts;
	/* @opts: the verb's zeroed struct, filled. @args ends with NULL. Returns
	 * the exit status, or -errno with @err set. */
	int (*run)(struct oci *oci, void *opts, char **args, struct err *err);
	size_t opts_size;
};

/* Parses @argv (which ends with NULL) by @rows into @opts and packs the other
 * words into @argv's front; returns their number, or -EINVAL naming the option.
 * @in_order: stop at the first word that is no option. */
int oci_parse(const struct oci_opt *rows, char **argv, bool in_order, void *opts, struct err *err);

/* Frees the lists that oci_parse() made. */
void oci_opts_fini(const struct oci_opt *rows, void *opts);

void oci_help_verb(const struct oci_verb *verb);
void oci_help(const struct oci_verb *verbs, const struct oci_opt *globals);

/* ---- the verbs' tables, one in each oci_*.c ---- */
extern const struct oci_verb oci_verbs_create[], oci_verbs_life[], oci_verbs_exec[],
	oci_verbs_show[], oci_verbs_update[], oci_verbs_events[], oci_verbs_spec[];

/* main() of isola-oci. */
int oci_main(int argc, char **argv);
