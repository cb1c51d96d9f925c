/* SPDX-License-Identifier: Apache-2.0 */
/* probe - what KVM really does, found out by a guest of a few instructions: not every
 * KVM runs on hardware, and what it lists is not always what works.
 *
 * Each case runs in a fresh vCPU with a time limit. Uses SIGALRM while it runs, so only
 * before there are threads. isola-vmm. */
#pragma once

#include "isola/err.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROBE_LIMIT_MS 300 /* a case takes microseconds, or hangs */
/* On a host that is busy enough it may be that late, too: what Linux needs is tried again,
 * until one case has hung for so long. */
#define PROBE_AGAIN_MS 4000

struct cpuid;

enum probe_outcome {
	PROBE_WORKS,
	PROBE_WRONG,   /* an exception that should not be, or the wrong one */
	PROBE_ERROR,   /* KVM gave up: internal error, entry refused, triple fault */
	PROBE_HANGS,   /* nothing within the time limit */
	PROBE_MISSING, /* KVM does not offer the feature: not tried */
};

struct probe_result {
	enum probe_outcome outcome;
	char text[160]; /* how it failed, as the end of a sentence */
};

/* One case. */
struct probe_case {
	const char *name;    /* "syscall" */
	const char *what;    /* "a system call from user mode" */
	const char *feature; /* of cpu_cpuid.h that it needs, or NULL */
	bool user;           /* in user mode, else in the kernel's */
	bool needed;         /* unmodified Linux does not go on without */
	uint8_t size;
	uint8_t code[24];
	/* How it ends when it works: by this exception at this offset of the code, or
	 * (-1) by going on behind it. */
	int8_t vector, at;
};

extern const struct probe_case probe_cases[];
extern const size_t probe_n_cases;

/* Runs the cases @names (ends with NULL; NULL: all) on the KVM behind @kvm_fd, which
 * offers @cpuid (borrowed); results in the order of probe_cases, those of others stay. */
int probe_run(int kvm_fd, struct cpuid *cpuid, const char *const *names, struct probe_result *ret,
	      struct err *err);
const struct probe_case *probe_find(const char *name, size_t *ret_index);

/* Whether KVM here cannot be on hardware: the processor has neither VMX nor SVM. */
bool probe_is_software(void);

/* All of it for vmctl doctor: { "linux": bool, "checks": [{ "name", "ok", "needed",
 * "text", "fix" }], "broken": [name of a case, ...] }. Owned. */
int probe_report(const char *kvm_path, json_object **ret, struct err *err);
