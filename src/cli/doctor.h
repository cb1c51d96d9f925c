/* SPDX-License-Identifier: Apache-2.0 */
/* doctor - findings about this host: what VMs need, what makes them slow or weak.
 * Runs in vmctl, with the rights of its caller; changes nothing. */
#pragma once

#include "cli.h"

enum finding {
	FINDING_OK,
	FINDING_NOTE, /* to be known */
	FINDING_WARN, /* works, but worse than it could */
	FINDING_FAIL, /* VMs cannot run, or not as they should */
};

struct doctor {
	struct cli *cli;
	struct args *args;
	json_object *checks; /* [{"name", "status", "text", "fix"}] */
	bool broken;         /* no Linux guest can run */
};

/* Adds a finding. @fix: what to do about it, or NULL. */
void doctor_add(struct doctor *d, const char *name, enum finding status, const char *fix,
		const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* The checks, in the order of the report (doctor_checks.c). */
extern void (*const doctor_checks[])(struct doctor *d);
