/* SPDX-License-Identifier: Apache-2.0 */
/* cpu_broken - see cpu_broken.h. */
#include "cpu_broken.h"

#include "isola/fd.h"
#include "isola/json.h"

#include "machine.h"
#include "probe.h"
#include "vm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Made when KVM is loaded, and gone with it, as /dev/kvm is where devtmpfs makes it. */
#define KVM_IN_SYSFS "/sys/devices/virtual/misc/kvm"

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
static int probe_now(int kvm_fd, struct cpuid *cpuid, bool ret_broken[N_ROWS], bool *ret_hung,
		     struct err *err)
{
	const char *names[N_ROWS + 1] = { NULL };
	size_t n = 0, index = 0;
	cleanup_free struct probe_result *results = calloc(probe_n_cases, sizeof(*results));
	if (!results)
		return err_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; i < N_ROWS; i++)
		if (!rows[i].costly)
			names[n++] = rows[i].probe;
	int rc = probe_run(kvm_fd, cpuid, names, results, err);
	if (rc < 0)
		return err_prefix(err, "trying what KVM can do");
	for (size_t i = 0; i < N_ROWS; i++) {
		(void)probe_find(rows[i].probe, &index);
		ret_broken[i] = rows[i].costly || (results[index].outcome != PROBE_WORKS &&
						   results[index].outcome != PROBE_MISSING);
		*ret_hung |= !rows[i].costly && results[index].outcome == PROBE_HANGS;
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

const char *broken_kvm(int kvm_fd, char *ret, size_t size)
{
	struct stat node = { 0 }, loaded = { 0 };
	(void)fstat(kvm_fd, &node);
	(void)stat(KVM_IN_SYSFS, &loaded);
	(void)snprintf(ret, size, "%llx:%llx:%lld.%09ld:%llx", (unsigned long long)node.st_dev,
		       (unsigned long long)node.st_ino, (long long)node.st_ctim.tv_sec,
		       node.st_ctim.tv_nsec, (unsigned long long)loaded.st_ino);
	return ret;
}

json_object *broken_told(int kvm_fd, const struct machine *machine)
{
	char now[BROKEN_KVM_TEXT];
	const char *of = machine->cpu_broken_kvm;
	if (of && strcmp(of, broken_kvm(kvm_fd, now, sizeof(now))) != 0)
		return NULL;
	return machine->cpu_broken;
}

int broken_report(const char *kvm_path, json_object **ret, struct err *err)
{
	bool broken[N_ROWS] = { false }, hung = false;
	char text[BROKEN_KVM_TEXT];
	cleanup_json json_object *doc = json_object_new_object();
	json_object *names = json_object_new_array();
	cleanup_free struct cpuid *cpuid = calloc(1, sizeof(*cpuid));
	json_add(doc, "broken", names);
	if (!cpuid || !doc || !names)
		return err_set(err, ENOMEM, "out of memory");
	cleanup_fd int kvm_fd = open(kvm_path, O_RDWR | O_CLOEXEC);
	if (kvm_fd < 0)
		return err_sys(err, "cannot open %s", kvm_path);
	int rc = probe_is_software() ? cpuid_supported(kvm_fd, cpuid, err) : 0;
	if (rc == 0 && probe_is_software())
		rc = probe_now(kvm_fd, cpuid, broken, &hung, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < N_ROWS; i++)
		if (broken[i])
			(void)json_object_array_add(names, json_object_new_string(rows[i].probe));
	json_add_str(doc, "broken_kvm", broken_kvm(kvm_fd, text, sizeof(text)));
	/* One that took too long may have been this moment's load. */
	if (hung || !probe_is_software()) {
		json_object_object_del(doc, "broken");
		json_object_object_del(doc, "broken_kvm");
	}
	*ret = take_ptr(doc);
	return 0;
}

int broken_remove(struct vm *vm, struct cpuid *cpuid, struct err *err)
{
	json_object *list = broken_told(vm->kvm_fd, vm->machine);
	bool broken[N_ROWS] = { false }, hung = false;
	char text[200] = "";
	if (!list && !probe_is_software())
		return 0;
	int rc = list ? 0 : probe_now(vm->kvm_fd, cpuid, broken, &hung, err);
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
