/* SPDX-License-Identifier: Apache-2.0 */
/* filter - a seccomp allow-list as a table, turned into BPF by us: x86-64 only, so
 * that it costs microseconds at each start of a worker, and one row can allow one
 * value of an argument (seccomp(2), bpf filters). isola-vmm. */
#pragma once

#include "isola/err.h"

#include <linux/filter.h>
#include <stddef.h>
#include <stdint.h>

enum filter_check {
	FILTER_ANY,   /* whatever the arguments */
	FILTER_IS,    /* the low half of argument @arg is @value */
	FILTER_LACKS, /* it has none of the bits of @value */
};

/* Rows for the same call follow each other; one of them must fit. */
struct filter_row {
	int nr; /* SYS_* */
	enum filter_check check;
	unsigned int arg; /* from 0 */
	uint32_t value;
	const char *why; /* for the reader */
};

#define FILTER_INSNS_MAX 1024

/* Writes the program for @rows to @code; @otherwise is a SECCOMP_RET_*. Returns its
 * length, or -E2BIG. */
int filter_compile(const struct filter_row *rows, size_t n, uint32_t otherwise,
		   struct sock_filter code[FILTER_INSNS_MAX]);
/* Compiles and installs it for the calling thread; sets no_new_privs. */
int filter_install(const struct filter_row *rows, size_t n, uint32_t otherwise, struct err *err);
