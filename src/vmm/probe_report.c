/* SPDX-License-Identifier: Apache-2.0 */
/* probe_report - what the probe found, as sentences for vmctl doctor. */
#include "probe.h"

#include "isola/fd.h"
#include "isola/json.h"

#include "cpu_cpuid.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#define FIX_KVM "load kvm_amd or kvm_intel (modprobe); this needs an x86-64 host with AMD-V or VT-x"
#define FIX_HOST                                                                                   \
	"run VMs on a host whose KVM uses AMD-V or VT-x; when this host is a VM itself, switch "   \
	"on nested virtualization for it"
#define FIX_KERNEL "use a newer kernel (6.1 or later is tested)"

static const struct {
	int cap;
	bool needed;
	const char *name;
} capabilities[] = {
	{ KVM_CAP_IRQCHIP, true, "an interrupt controller in the kernel" },
	{ KVM_CAP_IRQFD, true, "irqfd" },
	{ KVM_CAP_IOEVENTFD, true, "ioeventfd" },
	{ KVM_CAP_USER_MEMORY, true, "user memory" },
	{ KVM_CAP_READONLY_MEM, true, "read-only memory" },
	{ KVM_CAP_IMMEDIATE_EXIT, true, "immediate exit" },
	{ KVM_CAP_EXT_CPUID, true, "CPUID" },
	{ KVM_CAP_TSC_DEADLINE_TIMER, false, "the TSC deadline timer" },
	{ KVM_CAP_ADJUST_CLOCK, false, "kvmclock" },
	{ KVM_CAP_SYNC_MMU, false, "memory that can be given back" },
};

static void add(json_object *checks, const char *name, bool ok, bool needed, const char *text,
		const char *fix)
{
	json_object *c = json_object_new_object();
	json_add_str(c, "name", name);
	json_add_bool(c, "ok", ok);
	json_add_bool(c, "needed", needed);
	json_add_str(c, "text", text);
	if (!ok && fix)
		json_add_str(c, "fix", fix);
	(void)json_object_array_add(checks, c);
}

static bool add_version(json_object *checks, int kvm_fd)
{
	char text[128];
	int version = ioctl(kvm_fd, KVM_GET_API_VERSION, 0);
	bool ok = version == KVM_API_VERSION;
	(void)snprintf(text, sizeof(text), "KVM's API is version %d%s.", version,
		       ok ? "" : ", not 12");
	add(checks, "kvm-api", ok, true, text, FIX_KVM);
	return ok;
}

static bool add_capabilities(json_object *checks, int kvm_fd)
{
	char text[160];
	bool all = true, needed = true;
	for (size_t i = 0; i < sizeof(capabilities) / sizeof(capabilities[0]); i++) {
		if (ioctl(kvm_fd, KVM_CHECK_EXTENSION, capabilities[i].cap) > 0)
			continue;
		(void)snprintf(text, sizeof(text), "KVM here lacks %s.", capabilities[i].name);
		add(checks, "kvm-capability", false, capabilities[i].needed, text, FIX_KERNEL);
		all = false;
		needed = needed && !capabilities[i].needed;
	}
	if (all)
		add(checks, "kvm-capabilities", true, true, "KVM has all that isola-vmm uses.",
		    NULL);
	return needed;
}

static bool works(const struct probe_result *r)
{
	return r->outcome == PROBE_WORKS || r->outcome == PROBE_MISSING;
}

static void add_cases(json_object *checks, const struct probe_result *results)
{
	char name[64], text[320];
	for (size_t i = 0; i < probe_n_cases; i++) {
		const struct probe_case *c = &probe_cases[i];
		const struct probe_result *r = &results[i];
		(void)snprintf(name, sizeof(name), "guest-%s", c->name);
		if (r->outcome == PROBE_WORKS)
			(void)snprintf(text, sizeof(text), "A guest tried %s: it works.", c->what);
		else
			(void)snprintf(text, sizeof(text), "A guest tried %s: %s%s.", c->what,
				       r->outcome == PROBE_MISSING ? "not tried, " : "", r->text);
		if (r->outcome == PROBE_MISSING)
			(void)snprintf(text, sizeof(text), "Not tried: %s; KVM does not offer it.",
				       c->what);
		add(checks, name, works(r), c->needed, text, FIX_HOST);
	}
}

static json_object *broken_names(const struct probe_result *results)
{
	json_object *names = json_object_new_array();
	for (size_t i = 0; i < probe_n_cases; i++)
		if (!works(&results[i]))
			(void)json_object_array_add(names,
						    json_object_new_string(probe_cases[i].name));
	return names;
}

static void add_verdict(json_object *checks, const struct probe_result *results, bool kvm_ok,
			bool *ret_linux)
{
	char text[768] = "", *end = text + sizeof(text), *at = text;
	bool ok = kvm_ok;
	for (size_t i = 0; i < probe_n_cases; i++) {
		if (!probe_cases[i].needed || works(&results[i]))
			continue;
		at += snprintf(at, (size_t)(end - at), "%s%s", at == text ? "" : ", ",
			       probe_cases[i].what);
		ok = false;
	}
	char sentence[1024];
	if (ok)
		(void)snprintf(sentence, sizeof(sentence),
			       "Linux guests can run here, as they come.");
	else
		(void)snprintf(sentence, sizeof(sentence),
			       "No unmodified Linux guest can run here%s%s%s. Containers can.",
			       at == text ? "" : ": what fails is ", text,
			       probe_is_software()
				       ? "; this KVM works without help of the processor"
				       : "");
	add(checks, "linux-guests", ok, true, sentence, FIX_HOST);
	*ret_linux = ok;
}

int probe_report(const char *kvm_path, json_object **ret, struct err *err)
{
	bool linux_runs = false;
	cleanup_fd int kvm_fd = open(kvm_path, O_RDWR | O_CLOEXEC);
	if (kvm_fd < 0)
		return err_sys(err, "cannot open %s", kvm_path);
	cleanup_free struct probe_result *results = calloc(probe_n_cases, sizeof(*results));
	cleanup_free struct cpuid *cpuid = calloc(1, sizeof(*cpuid));
	if (!results || !cpuid)
		return err_set(err, ENOMEM, "out of memory");
	cleanup_json json_object *doc = json_object_new_object();
	json_object *checks = json_object_new_array();
	json_add(doc, "checks", checks);
	bool ok = add_version(checks, kvm_fd);
	ok = ok && add_capabilities(checks, kvm_fd);
	if (ok) {
		int rc = cpuid_supported(kvm_fd, cpuid, err);
		if (rc == 0)
			rc = probe_run(kvm_fd, cpuid, NULL, results, err);
		if (rc < 0)
			return rc;
		add_cases(checks, results);
		json_add(doc, "broken", broken_names(results));
	}
	add_verdict(checks, results, ok, &linux_runs);
	json_add_bool(doc, "linux", linux_runs);
	*ret = take_ptr(doc);
	return 0;
}
