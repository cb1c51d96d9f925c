/* SPDX-License-Identifier: Apache-2.0 */
/* probe - see probe.h. isola-vmm, main thread, before there are others. */
#include "probe.h"

#include "isola/fd.h"

#include "cpu_cpuid.h"
#include "probe_guest.h"

#include <cpuid.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>

#define EXITS_MAX 16
#define MSR_STAR  0xc0000081
#define MSR_LSTAR 0xc0000082
#define MSR_FMASK 0xc0000084
#define VECTOR_UD 6

struct bench {
	int kvm_fd, vm_fd;
	struct cpuid *cpuid;
	uint8_t *memory;
	size_t run_bytes;
	unsigned int limit_ms, n_vcpus;
};

/* One try. */
struct attempt {
	const struct probe_case *c;
	int vcpu_fd;
	struct kvm_run *run;
	uint64_t end;   /* behind the case's code */
	bool in_kernel; /* the system call's handler ran with the kernel's CS */
};

/* ---- the time limit ---- */

static volatile sig_atomic_t is_over;
static struct kvm_run *volatile running;

/* Also between the check and KVM_RUN: immediate_exit makes that return at once. */
static void on_alarm(int signo)
{
	(void)signo;
	is_over = 1;
	if (running)
		running->immediate_exit = 1;
}

static void set_timer(unsigned int ms)
{
	const struct itimerval timer = { .it_value = { .tv_sec = ms / 1000,
						       .tv_usec = ms % 1000 * 1000 } };
	(void)setitimer(ITIMER_REAL, &timer, NULL);
}

/* ---- one case ---- */

static void fail(struct probe_result *r, enum probe_outcome outcome, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void fail(struct probe_result *r, enum probe_outcome outcome, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	r->outcome = outcome;
	(void)vsnprintf(r->text, sizeof(r->text), fmt, ap);
	va_end(ap);
}

/* An exception came: is it the one that should? */
static void judge_exception(const struct bench *b, const struct attempt *a, unsigned int vector,
			    struct probe_result *r)
{
	const struct probe_case *c = a->c;
	struct kvm_regs regs;
	uint64_t frame[3]; /* error code, RIP, CS */
	uint64_t cs = c->user ? GUEST_USER_CS : GUEST_KERNEL_CS;
	uint64_t rip = c->vector < 0 ? a->end : GUEST_CODE + (uint64_t)c->at;
	unsigned int expected = c->vector < 0 ? VECTOR_UD : (unsigned int)c->vector;
	if (ioctl(a->vcpu_fd, KVM_GET_REGS, &regs) < 0 || regs.rsp > GUEST_BYTES - sizeof(frame)) {
		fail(r, PROBE_WRONG, "exception %u, and a stack that cannot be", vector);
		return;
	}
	memcpy(frame, b->memory + regs.rsp, sizeof(frame));
	bool may_end_so = c->user || c->vector >= 0;
	if (!may_end_so || vector != expected || frame[1] != rip || (frame[2] & 0xffff) != cs)
		fail(r, PROBE_WRONG, "exception %u at 0x%llx in ring %u", vector,
		     (unsigned long long)frame[1], (unsigned int)frame[2] & 3);
	else if (strcmp(c->name, "syscall") == 0 && !a->in_kernel)
		fail(r, PROBE_WRONG, "it does not reach the kernel");
	else
		r->outcome = PROBE_WORKS;
}

/* True when the guest goes on. */
static bool judge_port(const struct bench *b, struct attempt *a, struct probe_result *r)
{
	unsigned int value = *((const uint8_t *)a->run + a->run->io.data_offset);
	switch (a->run->io.port) {
	case PORT_SYSCALL:
		a->in_kernel = value == GUEST_KERNEL_CS;
		return true;
	case PORT_EXCEPTION:
		judge_exception(b, a, value, r);
		return false;
	case PORT_DONE:
		if (a->c->user || a->c->vector >= 0)
			fail(r, PROBE_WRONG, "nothing happens");
		else
			r->outcome = PROBE_WORKS;
		return false;
	default:
		fail(r, PROBE_WRONG, "it ends up at port 0x%x", a->run->io.port);
		return false;
	}
}

static bool judge_exit(const struct bench *b, struct attempt *a, struct probe_result *r)
{
	const struct kvm_run *run = a->run;
	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		return judge_port(b, a, r);
	case KVM_EXIT_INTERNAL_ERROR:
		fail(r, PROBE_ERROR, "KVM cannot execute it (internal error %u)",
		     run->internal.suberror);
		return false;
	case KVM_EXIT_SHUTDOWN:
		fail(r, PROBE_ERROR, "triple fault");
		return false;
	case KVM_EXIT_FAIL_ENTRY:
		fail(r, PROBE_ERROR, "the processor refuses to enter the guest (0x%llx)",
		     (unsigned long long)run->fail_entry.hardware_entry_failure_reason);
		return false;
	default:
		fail(r, PROBE_ERROR, "KVM leaves the guest for reason %u", run->exit_reason);
		return false;
	}
}

static void run_guest(const struct bench *b, struct attempt *a, struct probe_result *r)
{
	is_over = 0;
	running = a->run;
	set_timer(b->limit_ms);
	for (int i = 0; i < EXITS_MAX; i++) {
		int rc = ioctl(a->vcpu_fd, KVM_RUN, 0);
		if (rc < 0 && (errno == EINTR || errno == EAGAIN)) {
			if (!is_over)
				continue;
			fail(r, PROBE_HANGS, "it does not end within %u ms", b->limit_ms);
			break;
		}
		if (rc < 0) {
			fail(r, PROBE_ERROR, "KVM_RUN: %s", strerror(errno));
			break;
		}
		if (!judge_exit(b, a, r))
			break;
	}
	set_timer(0);
	running = NULL;
}

static bool has(const struct bench *b, const char *feature)
{
	return !feature || cpuid_has(b->cpuid, cpuid_feature(feature));
}

static int set_system_call(int vcpu_fd)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entries[3];
	} msrs = { .head.nmsrs = 3,
		   .entries = { { .index = MSR_STAR, .data = GUEST_STAR },
				{ .index = MSR_LSTAR, .data = GUEST_SYSCALL },
				{ .index = MSR_FMASK, .data = 0x200 } } };
	return ioctl(vcpu_fd, KVM_SET_MSRS, &msrs) == 3 ? 0 : -1;
}

/* x87, SSE and, where it is, AVX. */
static int set_vectors(const struct bench *b, int vcpu_fd)
{
	struct kvm_xcrs xcrs = { .nr_xcrs = 1, .xcrs = { { .value = has(b, "avx") ? 7 : 3 } } };
	return has(b, "xsave") ? ioctl(vcpu_fd, KVM_SET_XCRS, &xcrs) : 0;
}

static int set_registers(const struct bench *b, int vcpu_fd)
{
	const struct kvm_regs regs = { .rip = GUEST_START,
				       .rflags = 2,
				       .rsp = GUEST_STACK - 5 * sizeof(uint64_t) };
	struct kvm_sregs sregs;
	if (ioctl(vcpu_fd, KVM_SET_CPUID2, b->cpuid) < 0 ||
	    ioctl(vcpu_fd, KVM_GET_SREGS, &sregs) < 0)
		return -1;
	guest_sregs(&sregs, has(b, "xsave"));
	if (ioctl(vcpu_fd, KVM_SET_SREGS, &sregs) < 0 || ioctl(vcpu_fd, KVM_SET_REGS, &regs) < 0)
		return -1;
	return set_vectors(b, vcpu_fd) < 0 ? -1 : set_system_call(vcpu_fd);
}

static int try_case(struct bench *b, const struct probe_case *c, struct probe_result *r,
		    struct err *err)
{
	cleanup_fd int vcpu_fd = ioctl(b->vm_fd, KVM_CREATE_VCPU, b->n_vcpus++);
	if (vcpu_fd < 0)
		return err_sys(err, "KVM makes no vCPU");
	struct attempt a = { .c = c, .vcpu_fd = vcpu_fd };
	a.end = guest_write(b->memory, c);
	a.run = mmap(NULL, b->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu_fd, 0);
	if (a.run == MAP_FAILED)
		return err_sys(err, "cannot map a vCPU");
	int rc = 0;
	if (set_registers(b, vcpu_fd) < 0)
		rc = err_sys(err, "KVM refuses the registers of a vCPU");
	else
		run_guest(b, &a, r);
	(void)munmap(a.run, b->run_bytes);
	return rc;
}

static int try_again(struct bench *b, const struct probe_case *c, struct probe_result *r,
		     struct err *err)
{
	memset(r, 0, sizeof(*r));
	b->limit_ms = PROBE_AGAIN_MS;
	int rc = try_case(b, c, r, err);
	b->limit_ms = PROBE_LIMIT_MS;
	return rc;
}

/* ---- all of them ---- */

static bool is_asked(const char *const *names, const char *name)
{
	for (size_t i = 0; names && names[i]; i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return !names;
}

static int try_cases(struct bench *b, const char *const *names, struct probe_result *ret,
		     struct err *err)
{
	bool hung = false;
	for (size_t i = 0; i < probe_n_cases; i++) {
		const struct probe_case *c = &probe_cases[i];
		if (!is_asked(names, c->name))
			continue;
		memset(&ret[i], 0, sizeof(ret[i]));
		if (!has(b, c->feature)) {
			fail(&ret[i], PROBE_MISSING, "KVM does not offer it");
			continue;
		}
		int rc = try_case(b, c, &ret[i], err);
		if (rc == 0 && c->needed && ret[i].outcome == PROBE_HANGS && !hung) {
			rc = try_again(b, c, &ret[i], err);
			hung = ret[i].outcome == PROBE_HANGS;
		}
		if (rc < 0)
			return err_prefix(err, "%s", c->name);
	}
	return 0;
}

static int bench_fill(struct bench *b, struct err *err)
{
	b->vm_fd = ioctl(b->kvm_fd, KVM_CREATE_VM, 0);
	if (b->vm_fd < 0)
		return err_sys(err, "KVM makes no VM");
	int bytes = ioctl(b->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (bytes < (int)sizeof(struct kvm_run))
		return err_set(err, EPROTO, "KVM has no room for a vCPU's state");
	b->run_bytes = (size_t)bytes;
	struct kvm_userspace_memory_region region = { .memory_size = GUEST_BYTES,
						      .userspace_addr = (uintptr_t)b->memory };
	if (ioctl(b->vm_fd, KVM_SET_USER_MEMORY_REGION, &region) < 0)
		return err_sys(err, "KVM refuses the guest's memory");
	/* Intel without "unrestricted guest" wants these places. */
	uint64_t identity = 0xfffbc000;
	(void)ioctl(b->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity);
	(void)ioctl(b->vm_fd, KVM_SET_TSS_ADDR, 0xfffbd000UL);
	return 0;
}

int probe_run(int kvm_fd, struct cpuid *cpuid, const char *const *names, struct probe_result *ret,
	      struct err *err)
{
	struct sigaction action = { .sa_handler = on_alarm }, before; /* no SA_RESTART */
	struct bench b = {
		.kvm_fd = kvm_fd, .vm_fd = -1, .cpuid = cpuid, .limit_ms = PROBE_LIMIT_MS
	};
	b.memory =
		mmap(NULL, GUEST_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (b.memory == MAP_FAILED)
		return err_set(err, ENOMEM, "out of memory");
	int rc = bench_fill(&b, err);
	if (rc == 0) {
		(void)sigaction(SIGALRM, &action, &before);
		rc = try_cases(&b, names, ret, err);
		(void)sigaction(SIGALRM, &before, NULL);
	}
	fd_close(&b.vm_fd);
	(void)munmap(b.memory, GUEST_BYTES);
	return rc;
}

bool probe_is_software(void)
{
	unsigned int a, b, c = 0, d, amd_c = 0;
	(void)__get_cpuid(1, &a, &b, &c, &d);
	(void)__get_cpuid(0x80000001, &a, &b, &amd_c, &d);
	return !(c >> 5 & 1) && !(amd_c >> 2 & 1); /* VMX, SVM */
}
