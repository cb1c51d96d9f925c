/* SPDX-License-Identifier: Apache-2.0 */
/* vcpu - see vcpu.h. One thread each: KVM_RUN, the exit to the bus, again.
 * kvm/api.rst, "KVM_RUN". isola-vmm.
 *
 * Getting a vCPU out, without a race: the caller makes run_is_called() true, sets
 * immediate_exit, sends the signal. The thread clears immediate_exit, then looks at
 * run_is_called(), then enters: whichever way these mix, it sees one of the two. */
#include "vcpu.h"

#include "isola/fd.h"

#include "cpu.h"
#include "jail.h"
#include "run.h"
#include "thread.h"
#include "vm.h"

#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#define STACK_BYTES    (256 * 1024)
#define PENDING_MAX    4096 /* exits that may follow before a pause has its way */
#define INSN_BYTES_MAX 15

struct vcpu {
	struct vm *vm;
	unsigned int index;
	int fd;
	struct kvm_run *run;
	size_t run_bytes;
	pthread_t thread;
	bool started;
	pid_t tid; /* atomic; 0 while there is no thread */
	bool nmi;  /* atomic: to be injected by its thread, as KVM locks the vCPU while it runs */
	bool pending;            /* KVM wants to be entered to finish the last exit */
	struct vcpu_stats stats; /* atomic, written by its thread */
	cpu_set_t *pinned;       /* from before the start, or NULL; owned */
};

static int kick_signal(void)
{
	return SIGRTMIN;
}

static void on_kick(int signo)
{
	(void)signo; /* to interrupt is all it is for */
}

static void set_immediate_exit(struct vcpu *v, uint8_t on)
{
	__atomic_store_n(&v->run->immediate_exit, on, __ATOMIC_SEQ_CST);
}

static void count(uint64_t *n)
{
	__atomic_store_n(n, *n + 1, __ATOMIC_RELAXED);
}

/* ---- why the guest ended ---- */

static void end_kvm_error(struct vcpu *v, const char *what)
{
	vm_end(v->vm, VM_KVM_ERROR, -1, "cpu %u: %s", v->index, what);
}

static uint64_t where(struct vcpu *v)
{
	struct kvm_regs regs;
	return ioctl(v->fd, KVM_GET_REGS, &regs) < 0 ? 0 : regs.rip;
}

/* The bytes of the instruction that KVM could not carry out, if it tells. */
static size_t failed_bytes(const struct kvm_run *run, const uint8_t **ret)
{
	if (run->internal.ndata < 4 ||
	    !(run->emulation_failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES))
		return 0;
	*ret = run->emulation_failure.insn_bytes;
	size_t n = run->emulation_failure.insn_size;
	return n < INSN_BYTES_MAX ? n : INSN_BYTES_MAX;
}

static void on_internal_error(struct vcpu *v)
{
	const uint8_t *bytes = NULL;
	char text[200], hex[3 * INSN_BYTES_MAX + 1] = "";
	uint32_t sub = v->run->internal.suberror;
	if (sub != KVM_INTERNAL_ERROR_EMULATION) {
		(void)snprintf(text, sizeof(text), "KVM has an internal error (%u) at 0x%llx", sub,
			       (unsigned long long)where(v));
		end_kvm_error(v, text);
		return;
	}
	size_t n = failed_bytes(v->run, &bytes);
	for (size_t i = 0; i < n; i++)
		(void)snprintf(hex + 3 * i, 4, " %02x", bytes[i]);
	(void)snprintf(text, sizeof(text),
		       "this host's KVM cannot carry out the instruction at 0x%llx (bytes%s); "
		       "`vmctl doctor` explains",
		       (unsigned long long)where(v), n ? hex : " unknown");
	end_kvm_error(v, text);
}

static void on_fail_entry(struct vcpu *v)
{
	char text[160];
	(void)snprintf(
		text, sizeof(text),
		"the processor refuses to enter the guest (hardware reason 0x%llx) at 0x%llx",
		(unsigned long long)v->run->fail_entry.hardware_entry_failure_reason,
		(unsigned long long)where(v));
	end_kvm_error(v, text);
}

static void on_shutdown(struct vcpu *v)
{
	vm_end(v->vm, VM_TRIPLE_FAULT, -1, "cpu %u: triple fault", v->index);
}

static void on_system_event(struct vcpu *v)
{
	switch (v->run->system_event.type) {
	case KVM_SYSTEM_EVENT_SHUTDOWN:
		vm_end(v->vm, VM_POWEROFF, -1, "the guest powered off (by KVM)");
		break;
	case KVM_SYSTEM_EVENT_RESET:
		vm_end(v->vm, VM_RESET, -1, "the guest asked for a reset (by KVM)");
		break;
	case KVM_SYSTEM_EVENT_CRASH:
		vm_end(v->vm, VM_PANIC, -1, "the guest reported a crash (by KVM)");
		break;
	default:
		end_kvm_error(v, "KVM reports a system event that is not known");
	}
}

static void on_unknown_exit(struct vcpu *v)
{
	char text[80];
	(void)snprintf(text, sizeof(text), "KVM ends with reason %u, which is not known",
		       v->run->exit_reason);
	end_kvm_error(v, text);
}

/* KVM_RUN itself failed. */
static void on_run_failed(struct vcpu *v, int e)
{
	char text[160];
	if (e == EFAULT || e == EHWPOISON || e == ENOMEM)
		(void)snprintf(text, sizeof(text),
			       "the host cannot provide a page of the guest's memory (%s)",
			       strerror(e));
	else
		(void)snprintf(text, sizeof(text), "KVM_RUN: %s", strerror(e));
	end_kvm_error(v, text);
}

/* ---- exits that go on ---- */

static void on_io(struct vcpu *v)
{
	const struct kvm_run *run = v->run;
	unsigned int size = run->io.size;
	uint8_t *data = (uint8_t *)v->run + run->io.data_offset;
	count(&v->stats.pio);
	for (uint32_t i = 0; i < run->io.count; i++, data += size) {
		if (run->io.direction == KVM_EXIT_IO_OUT)
			bus_write(v->vm->bus, BUS_PIO, run->io.port, data, size);
		else
			bus_read(v->vm->bus, BUS_PIO, run->io.port, data, size);
	}
}

static void on_mmio(struct vcpu *v)
{
	struct kvm_run *run = v->run;
	count(&v->stats.mmio);
	if (run->mmio.is_write)
		bus_write(v->vm->bus, BUS_MMIO, run->mmio.phys_addr, run->mmio.data, run->mmio.len);
	else
		bus_read(v->vm->bus, BUS_MMIO, run->mmio.phys_addr, run->mmio.data, run->mmio.len);
}

static void on_exit_reason(struct vcpu *v)
{
	count(&v->stats.exits);
	v->pending = false;
	switch (v->run->exit_reason) {
	case KVM_EXIT_IO:
		v->pending = true;
		on_io(v);
		break;
	case KVM_EXIT_MMIO:
		v->pending = true;
		on_mmio(v);
		break;
	case KVM_EXIT_HLT: /* only without an interrupt controller in KVM */
		count(&v->stats.hlt);
		break;
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
		count(&v->stats.interrupted);
		break;
	case KVM_EXIT_SHUTDOWN:
		on_shutdown(v);
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		on_internal_error(v);
		break;
	case KVM_EXIT_FAIL_ENTRY:
		on_fail_entry(v);
		break;
	case KVM_EXIT_SYSTEM_EVENT:
		on_system_event(v);
		break;
	default:
		count(&v->stats.other);
		on_unknown_exit(v);
	}
}

static void enter(struct vcpu *v)
{
	if (ioctl(v->fd, KVM_RUN, 0) == 0) {
		on_exit_reason(v);
		return;
	}
	/* EAGAIN: an AP that has just left "wait for SIPI". */
	if (errno == EINTR || errno == EAGAIN) {
		v->pending = false;
		count(&v->stats.interrupted);
		return;
	}
	on_run_failed(v, errno);
}

/* ---- the thread ---- */

/* The registers are whole only once KVM has finished the last exit. A long string
 * instruction may exit over and over; there is a limit to our patience. */
static void complete(struct vcpu *v)
{
	for (int i = 0; v->pending && i < PENDING_MAX; i++) {
		set_immediate_exit(v, 1);
		enter(v);
	}
	v->pending = false;
}

static void run_guest(struct vcpu *v)
{
	bool was_paused = false, first = v->index == 0;
	for (;;) {
		set_immediate_exit(v, 0);
		if (__atomic_exchange_n(&v->nmi, false, __ATOMIC_SEQ_CST))
			(void)ioctl(v->fd, KVM_NMI, 0);
		if (run_is_called(v->vm)) {
			complete(v);
			if (!run_rest(v->vm, &was_paused))
				return;
			/* Or the guest's watchdogs take the pause for a lock-up. Fails
			 * when the guest has no kvmclock. */
			if (was_paused && !first)
				(void)ioctl(v->fd, KVM_KVMCLOCK_CTRL, 0);
			continue;
		}
		if (first)
			run_note_first(v->vm);
		first = false;
		enter(v);
	}
}

static void *thread_main(void *arg)
{
	struct vcpu *v = arg;
	struct err err = ERR_INIT;
	char name[16];
	sigset_t kick;
	(void)snprintf(name, sizeof(name), "vcpu%u", v->index);
	(void)prctl(PR_SET_NAME, name, 0, 0, 0);
	(void)sigemptyset(&kick);
	(void)sigaddset(&kick, kick_signal());
	(void)pthread_sigmask(SIG_UNBLOCK, &kick, NULL);
	__atomic_store_n(&v->tid, gettid(), __ATOMIC_SEQ_CST);
	if (jail_filter(JAIL_VCPU, v->vm->machine->seccomp, &err) < 0)
		vm_end(v->vm, VM_DEVICE_ERROR, -1, "cpu %u: %s", v->index, err.text);
	run_guest(v);
	return NULL;
}

int vcpu_start(struct vcpu *vcpu, struct err *err)
{
	const struct sigaction sa = { .sa_handler = on_kick };
	if (sigaction(kick_signal(), &sa, NULL) < 0)
		return err_sys(err, "cannot handle the kick signal");
	run_add_thread(vcpu->vm);
	int rc = thread_start(&vcpu->thread, STACK_BYTES, vcpu->pinned, thread_main, vcpu);
	if (rc < 0)
		return err_rc(err, rc, "cannot start the thread of vCPU %u%s", vcpu->index,
			      vcpu->pinned ? " (are its host CPUs there?)" : "");
	vcpu->started = true;
	return 0;
}

void vcpu_kick(struct vcpu *vcpu)
{
	set_immediate_exit(vcpu, 1);
	pid_t tid = __atomic_load_n(&vcpu->tid, __ATOMIC_SEQ_CST);
	/* By tid, not pthread_kill(): the loop may have joined it meanwhile. */
	if (tid && tid != gettid())
		(void)tgkill(getpid(), tid, kick_signal());
}

void vcpu_nmi(struct vcpu *vcpu)
{
	__atomic_store_n(&vcpu->nmi, true, __ATOMIC_SEQ_CST);
	vcpu_kick(vcpu);
}

void vcpu_join(struct vcpu *vcpu)
{
	if (!vcpu || !vcpu->started)
		return;
	(void)pthread_join(vcpu->thread, NULL);
	vcpu->started = false;
}

/* ---- making one ---- */

int vcpu_pin(struct vcpu *vcpu, json_object *cpus, struct err *err)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	for (size_t i = 0; i < json_object_array_length(cpus); i++) {
		int64_t cpu = json_object_get_int64(json_object_array_get_idx(cpus, i));
		CPU_SET(cpu, &set); /* does nothing beyond its end */
	}
	pid_t tid = __atomic_load_n(&vcpu->tid, __ATOMIC_SEQ_CST);
	if (tid && sched_setaffinity(tid, sizeof(set), &set) < 0)
		return err_sys(err, "cannot pin vCPU %u", vcpu->index);
	if (tid)
		return 0;
	if (!vcpu->pinned && !(vcpu->pinned = malloc(sizeof(set))))
		return err_set(err, ENOMEM, "out of memory");
	*vcpu->pinned = set;
	return 0;
}

static int map_run(struct vcpu *v, struct err *err)
{
	int n = ioctl(v->vm->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (n < (int)sizeof(struct kvm_run))
		return err_sys(err, "KVM_GET_VCPU_MMAP_SIZE");
	void *p = mmap(NULL, (size_t)n, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
	if (p == MAP_FAILED)
		return err_sys(err, "cannot map vCPU %u", v->index);
	v->run = p;
	v->run_bytes = (size_t)n;
	return 0;
}

int vcpu_new(struct vm *vm, unsigned int index, struct vcpu **ret, struct err *err)
{
	struct vcpu *v = calloc(1, sizeof(*v));
	if (!v)
		return err_set(err, ENOMEM, "out of memory");
	*v = (struct vcpu){ .vm = vm, .index = index, .fd = -1 };
	v->fd = ioctl(vm->vm_fd, KVM_CREATE_VCPU, (unsigned long)cpu_apic_id(vm->machine, index));
	int rc = v->fd < 0 ? err_sys(err, "KVM does not make vCPU %u", index) : map_run(v, err);
	if (rc < 0) {
		vcpu_free(v);
		return rc;
	}
	*ret = v;
	return 0;
}

int vcpu_fd(const struct vcpu *vcpu)
{
	return vcpu->fd;
}

void vcpu_free(struct vcpu *vcpu)
{
	if (!vcpu)
		return;
	vcpu_join(vcpu);
	if (vcpu->run)
		(void)munmap(vcpu->run, vcpu->run_bytes);
	fd_close(&vcpu->fd);
	free(vcpu->pinned);
	free(vcpu);
}

void vcpu_stats(const struct vcpu *vcpu, struct vcpu_stats *ret)
{
	const struct vcpu_stats *s = &vcpu->stats;
	*ret = (struct vcpu_stats){
		.exits = __atomic_load_n(&s->exits, __ATOMIC_RELAXED),
		.pio = __atomic_load_n(&s->pio, __ATOMIC_RELAXED),
		.mmio = __atomic_load_n(&s->mmio, __ATOMIC_RELAXED),
		.hlt = __atomic_load_n(&s->hlt, __ATOMIC_RELAXED),
		.interrupted = __atomic_load_n(&s->interrupted, __ATOMIC_RELAXED),
		.other = __atomic_load_n(&s->other, __ATOMIC_RELAXED),
	};
}
