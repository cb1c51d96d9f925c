/* SPDX-License-Identifier: Apache-2.0 */
/* cpu - see cpu.h. isola-vmm, before the jail; cpu_setup() on the main thread. */
#include "cpu.h"

#include "isola/fd.h"

#include "cpu_template.h"
#include "cpu_topology.h"
#include "cpu_broken.h"
#include "cpu_cpuid.h"
#include "machine.h"
#include "vm.h"

#include <cpuid.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#define MSR_MISC_ENABLE    0x1a0
#define MISC_FAST_STRINGS  1
#define MSR_MTRR_DEFAULT   0x2ff
#define MTRR_ON_WRITE_BACK 0x806
#define APIC_LVT0          0x350
#define APIC_LVT1          0x360
#define APIC_MODE_NMI      0x400
#define APIC_MODE_EXTINT   0x700
#define APIC_MODE_MASK     0x700
#define LEAF_BRAND         0x80000002 /* three leaves */
#define LEAF_KVM           0x40000000
#define LEAF_TSC           0x40000010 /* kHz of TSC and APIC bus, as VMware and QEMU tell */
#define APIC_BUS_KHZ       1000000    /* KVM's local APIC counts nanoseconds */
#define TSC_DEADLINE_BIT   24
#define HYPERVISOR_BIT     31

struct cpu_plan {
	struct cpuid cpuid; /* of all vCPUs, before topology */
	struct cpu_topology topology;
	struct cpu_msrs msrs;
};

static struct cpu_topology topology_of(const struct machine *machine)
{
	struct cpu_topology t = {
		.threads = machine->threads_per_core ? machine->threads_per_core : 1,
		.cores = machine->cores_per_socket,
		.cpus = machine->cpus,
	};
	if (t.cores == 0)
		t.cores = (t.cpus + t.threads - 1) / t.threads;
	return t;
}

uint32_t cpu_apic_id(const struct machine *machine, unsigned int index)
{
	struct cpu_topology t = topology_of(machine);
	return topology_apic_id(&t, index);
}

int cpu_template_check(json_object *tpl, struct err *err)
{
	if (json_object_is_type(tpl, json_type_string)) {
		if (strcmp(json_object_get_string(tpl), "host") == 0)
			return 0;
		return err_set(err, EINVAL,
			       "\"%.40s\" is not \"host\"; other templates are given as objects",
			       json_object_get_string(tpl));
	}
	return template_check(tpl, err);
}

/* What KVM does not always list: the deadline timer, as it depends on the local APIC
 * being KVM's (ours is), and that there is a hypervisor to look for. */
static void add_unlisted(int kvm_fd, struct cpuid *cpuid)
{
	struct kvm_cpuid_entry2 *e = cpuid_find(cpuid, 1, 0);
	if (!e)
		return;
	e->ecx |= 1U << HYPERVISOR_BIT;
	if (ioctl(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0)
		e->ecx |= 1U << TSC_DEADLINE_BIT;
}

/* The processor's name, which KVM leaves out of its list. */
static int add_brand(struct cpuid *cpuid, struct err *err)
{
	for (uint32_t leaf = LEAF_BRAND; leaf < LEAF_BRAND + 3; leaf++) {
		struct kvm_cpuid_entry2 *e = cpuid_make(cpuid, leaf, 0, false);
		if (!e)
			return err_set(err, E2BIG, "no room for the processor's name");
		__cpuid(leaf, e->eax, e->ebx, e->ecx, e->edx);
	}
	return 0;
}

int cpu_plan_new(struct vm *vm, struct cpu_plan **ret, struct err *err)
{
	json_object *tpl = vm->machine->cpu_template;
	cleanup_free struct cpu_plan *plan = calloc(1, sizeof(*plan));
	if (!plan)
		return err_set(err, ENOMEM, "out of memory");
	plan->topology = topology_of(vm->machine);
	plan->msrs = (struct cpu_msrs){
		.list = { { MSR_MISC_ENABLE, MISC_FAST_STRINGS },
			  { MSR_MTRR_DEFAULT, MTRR_ON_WRITE_BACK } },
		.n = 2,
	};
	int rc = cpuid_supported(vm->kvm_fd, &plan->cpuid, err);
	if (rc < 0)
		return rc;
	add_unlisted(vm->kvm_fd, &plan->cpuid);
	rc = add_brand(&plan->cpuid, err);
	if (rc == 0)
		rc = broken_remove(vm, &plan->cpuid, err);
	if (rc < 0)
		return rc;
	cpuid_settle(&plan->cpuid);
	if (tpl && json_object_is_type(tpl, json_type_object)) {
		rc = template_apply(tpl, &plan->cpuid, &plan->msrs, err);
		if (rc < 0)
			return err_prefix(err, "CPU template");
	}
	*ret = take_ptr(plan);
	return 0;
}

void cpu_plan_free(struct cpu_plan *plan)
{
	free(plan);
}

/* ---- one vCPU ---- */

/* Where the TSC runs evenly, the guest need not measure it. */
static int add_frequency(int vcpu_fd, struct cpuid *cpuid, struct err *err)
{
	struct kvm_cpuid_entry2 *base = cpuid_find(cpuid, LEAF_KVM, 0);
	if (!base || !cpuid_has(cpuid, cpuid_feature("invtsc")))
		return 0;
	int khz = ioctl(vcpu_fd, KVM_GET_TSC_KHZ, 0);
	if (khz <= 0)
		return 0;
	if (base->eax < LEAF_TSC)
		base->eax = LEAF_TSC;
	struct kvm_cpuid_entry2 *e = cpuid_make(cpuid, LEAF_TSC, 0, false);
	if (!e)
		return err_set(err, E2BIG, "no room for the CPUID leaf of the TSC");
	e->eax = (uint32_t)khz;
	e->ebx = APIC_BUS_KHZ;
	return 0;
}

static int set_msrs(const struct cpu_msrs *msrs, int vcpu_fd, struct err *err)
{
	size_t bytes = sizeof(struct kvm_msrs) + msrs->n * sizeof(struct kvm_msr_entry);
	cleanup_free struct kvm_msrs *arg = calloc(1, bytes);
	if (!arg)
		return err_set(err, ENOMEM, "out of memory");
	arg->nmsrs = msrs->n;
	for (unsigned int i = 0; i < msrs->n; i++)
		arg->entries[i] = (struct kvm_msr_entry){ .index = msrs->list[i].index,
							  .data = msrs->list[i].value };
	int n = ioctl(vcpu_fd, KVM_SET_MSRS, arg);
	if (n < 0)
		return err_sys(err, "KVM_SET_MSRS");
	if ((unsigned int)n < msrs->n)
		return err_set(err, EINVAL, "KVM refuses 0x%llx for MSR 0x%x",
			       (unsigned long long)msrs->list[n].value, msrs->list[n].index);
	return 0;
}

static void set_lvt(struct kvm_lapic_state *apic, size_t offset, uint32_t mode)
{
	uint32_t value;
	memcpy(&value, apic->regs + offset, sizeof(value));
	value = (value & ~(uint32_t)APIC_MODE_MASK) | mode;
	memcpy(apic->regs + offset, &value, sizeof(value));
}

/* As firmware leaves them: LINT0 the 8259's, LINT1 the NMI. */
static int set_apic(int vcpu_fd, struct err *err)
{
	struct kvm_lapic_state apic;
	if (ioctl(vcpu_fd, KVM_GET_LAPIC, &apic) < 0)
		return err_sys(err, "KVM_GET_LAPIC");
	set_lvt(&apic, APIC_LVT0, APIC_MODE_EXTINT);
	set_lvt(&apic, APIC_LVT1, APIC_MODE_NMI);
	if (ioctl(vcpu_fd, KVM_SET_LAPIC, &apic) < 0)
		return err_sys(err, "KVM_SET_LAPIC");
	return 0;
}

int cpu_setup(const struct cpu_plan *plan, unsigned int index, int vcpu_fd, struct err *err)
{
	cleanup_free struct cpuid *cpuid = malloc(sizeof(*cpuid));
	if (!cpuid)
		return err_set(err, ENOMEM, "out of memory");
	*cpuid = plan->cpuid;
	int rc = topology_apply(&plan->topology, index, cpuid, err);
	if (rc == 0)
		rc = add_frequency(vcpu_fd, cpuid, err);
	if (rc == 0 && ioctl(vcpu_fd, KVM_SET_CPUID2, cpuid) < 0)
		rc = err_sys(err, "KVM refuses the CPUID of vCPU %u", index);
	/* Not before: what an MSR may hold depends on CPUID. */
	if (rc == 0)
		rc = set_msrs(&plan->msrs, vcpu_fd, err);
	if (rc == 0)
		rc = set_apic(vcpu_fd, err);
	return rc;
}
