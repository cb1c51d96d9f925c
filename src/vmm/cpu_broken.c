/* SPDX-License-Identifier: Apache-2.0 */
/* cpu_broken - see cpu_broken.h. */
#include "cpu_broken.h"

#include "isola/fd.h"
#include "isola/json.h"

#include "machine.h"
#include "probe.h"
#include "vm.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FEATURES_MAX 6

/* What goes with a case of probe_cases.c that fails. A guest that is not told of a
 * feature does without; what has no feature bit cannot be helped here. */
static const struct {
	const char *probe;
	const char *features[FEATURES_MAX];
	bool costly; /* a failing probe takes its whole time limit */
} rows[] = {
	{ "cx16", { "cx16" }, false },
	{ "popcnt", { "popcnt" }, false },
	{ "rdtscp", { "rdtscp" }, false },
	{ "smap", { "smap" }, false },
	{ "avx", { "avx" }, false },
	{ "xsave", { "xsave" }, false },
	{ "hypercall",
	  { "kvm_pv_unhalt", "kvm_pv_send_ipi", "kvm_pv_sched_yield", "kvm_hc_map_gpa_range" },
	  true },
};

#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

static bool names_have(json_object *names, const char *name)
{
	for (size_t i = 0; i < json_len(names); i++)
		if (strcmp(json_item_str(names, i), name) == 0)
			return true;
	return false;
}

/* Without the costly ones, which count as broken: a start must not wait for them. */
static int probe_now(struct vm *vm, struct cpuid *cpuid, bool ret_broken[N_ROWS], struct err *err)
{
	const char *names[N_ROWS + 1] = { NULL };
	size_t n = 0, index = 0;
	cleanup_free struct probe_result *results = calloc(probe_n_cases, sizeof(*results));
	if (!results)
		return err_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; i < N_ROWS; i++)
		if (!rows[i].costly)
			names[n++] = rows[i].probe;
	int rc = probe_run(vm->kvm_fd, cpuid, names, results, err);
	if (rc < 0)
		return err_prefix(err, "trying what KVM can do");
	for (size_t i = 0; i < N_ROWS; i++) {
		(void)probe_find(rows[i].probe, &index);
		ret_broken[i] = rows[i].costly || (results[index].outcome != PROBE_WORKS &&
						   results[index].outcome != PROBE_MISSING);
	}
	return 0;
}

/* Adds what was really taken away to @text. */
static void remove_features(size_t row, struct cpuid *cpuid, char *text, size_t size)
{
	for (size_t i = 0; i < FEATURES_MAX && rows[row].features[i]; i++) {
		const struct cpuid_feature *f = cpuid_feature(rows[row].features[i]);
		size_t used = strlen(text);
		if (!cpuid_has(cpuid, f))
			continue;
		cpuid_clear(cpuid, f);
		(void)snprintf(text + used, size - used, "%s%s", used ? ", " : "", f->name);
	}
}

int broken_remove(struct vm *vm, struct cpuid *cpuid, struct err *err)
{
	json_object *list = vm->machine->cpu_broken;
	bool broken[N_ROWS] = { false };
	char text[200] = "";
	if (!list && !probe_is_software())
		return 0;
	int rc = list ? 0 : probe_now(vm, cpuid, broken, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < N_ROWS; i++)
		if (broken[i] || names_have(list, rows[i].probe))
			remove_features(i, cpuid, text, sizeof(text));
	if (text[0])
		vm_warn(vm,
			"this host's KVM lists but cannot do: %s; the guest is not told of them",
			text);
	return 0;
}
