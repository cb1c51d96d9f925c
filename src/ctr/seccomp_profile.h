/* SPDX-License-Identifier: Apache-2.0 */
/* seccomp_profile - the default system call filter, as data. seccomp_default.c
 * turns it into a linux.seccomp object. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum profile_op { PROFILE_EQ, PROFILE_LT, PROFILE_MASKED_EQ };

/* A condition on one argument; the system call is let through if it holds. */
struct profile_arg {
	unsigned int index;
	enum profile_op op;
	uint64_t value, value_two; /* MASKED_EQ: (arg & value) == value_two */
};

enum profile_need {
	PROFILE_ALWAYS,
	PROFILE_WITH,    /* if the process may have @cap */
	PROFILE_WITHOUT, /* if it may not */
};

/* One purpose, the system calls that serve it, and when. */
struct profile_group {
	const char *names; /* separated by spaces; unknown ones do not matter */
	enum profile_need need;
	const char *cap;
	int error;                     /* 0: allow; else refuse with this errno */
	const struct profile_arg *arg; /* or NULL */
};

extern const struct profile_group profile_groups[];
extern const size_t profile_n_groups;

/* The machines a kernel for this one also runs programs of; NULL-terminated. */
extern const char *const profile_machines[];
