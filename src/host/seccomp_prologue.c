/* SPDX-License-Identifier: Apache-2.0 */
/* seccomp_prologue - what stands before libseccomp's code in a filter whose
 * default is to refuse: ENOSYS for calls that are newer than the profile, and a
 * guard against old machines' calls of many purposes. */
#include "seccomp_rules.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <string.h>

#define N(array) (sizeof(array) / sizeof((array)[0]))
#define X32_BIT  0x40000000

/* Old machines (i386, s390, powerpc) reach these through one call with a number
 * in its first argument. A rule that looks at the arguments of one libseccomp
 * widens there to "any", as they lie in memory; see emit_guards(). */
static const struct {
	const char *mux, *name;
	uint32_t number;
} muxed[] = {
	{ "socketcall", "socket", 1 },
	{ "socketcall", "bind", 2 },
	{ "socketcall", "connect", 3 },
	{ "socketcall", "listen", 4 },
	{ "socketcall", "accept", 5 },
	{ "socketcall", "getsockname", 6 },
	{ "socketcall", "getpeername", 7 },
	{ "socketcall", "socketpair", 8 },
	{ "socketcall", "send", 9 },
	{ "socketcall", "recv", 10 },
	{ "socketcall", "sendto", 11 },
	{ "socketcall", "recvfrom", 12 },
	{ "socketcall", "shutdown", 13 },
	{ "socketcall", "setsockopt", 14 },
	{ "socketcall", "getsockopt", 15 },
	{ "socketcall", "sendmsg", 16 },
	{ "socketcall", "recvmsg", 17 },
	{ "socketcall", "accept4", 18 },
	{ "socketcall", "recvmmsg", 19 },
	{ "socketcall", "sendmmsg", 20 },
	{ "ipc", "semop", 1 },
	{ "ipc", "semget", 2 },
	{ "ipc", "semctl", 3 },
	{ "ipc", "semtimedop", 4 },
	{ "ipc", "msgsnd", 11 },
	{ "ipc", "msgrcv", 12 },
	{ "ipc", "msgget", 13 },
	{ "ipc", "msgctl", 14 },
	{ "ipc", "shmat", 21 },
	{ "ipc", "shmdt", 22 },
	{ "ipc", "shmget", 23 },
	{ "ipc", "shmctl", 24 },
};

void seccomp_note_number(struct seccomp_summary *s, const char *name)
{
	for (size_t i = 0; i < s->n_machines; i++) {
		struct seccomp_machine *m = &s->machines[i];
		int nr = seccomp_syscall_resolve_name_arch(m->token, name);
		if (nr >= 0 && m->token == SCMP_ARCH_X32)
			nr &= ~X32_BIT;
		if (nr > m->highest)
			m->highest = nr;
	}
}

void seccomp_note_arguments(struct seccomp_summary *s, const char *name, bool has_args)
{
	if (!has_args && !strcmp(name, "socketcall"))
		s->open_socketcall = true;
	if (!has_args && !strcmp(name, "ipc"))
		s->open_ipc = true;
	for (size_t i = 0; has_args && i < N(muxed); i++)
		if (!strcmp(muxed[i].name, name))
			s->guarded |= 1ULL << i;
}

static void emit(struct seccomp_code *p, int op, uint32_t k, int jt, int jf)
{
	p->insns[p->n++] = (struct sock_filter){ (uint16_t)op, (uint8_t)jt, (uint8_t)jf, k };
}

static const struct seccomp_machine *find_machine(const struct seccomp_summary *s, uint32_t token)
{
	for (size_t i = 0; i < s->n_machines; i++)
		if (s->machines[i].token == token && s->machines[i].highest >= 0)
			return &s->machines[i];
	return NULL;
}

/* The one call in @mux: whichever of @s->guarded it is about gets the default
 * action. Needs the number in the accumulator and leaves it there. */
static void emit_guards(const struct seccomp_summary *s, struct seccomp_code *p,
			const struct seccomp_machine *m, const char *mux)
{
	const uint32_t low = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 4 : 0;
	int nr = seccomp_syscall_resolve_name_arch(m->token, mux);
	size_t n = 0;
	for (size_t i = 0; i < N(muxed); i++)
		n += (s->guarded & 1ULL << i) && !strcmp(muxed[i].mux, mux);
	if (nr < 0 || n == 0)
		return;
	emit(p, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)nr, 0, (int)(2 * n + 2));
	emit(p, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args) + low, 0, 0);
	for (size_t i = 0; i < N(muxed); i++) {
		if (!(s->guarded & 1ULL << i) || strcmp(muxed[i].mux, mux))
			continue;
		emit(p, BPF_JMP | BPF_JEQ | BPF_K, muxed[i].number, 0, 1);
		emit(p, BPF_RET | BPF_K, s->default_action, 0, 0);
	}
	emit(p, BPF_JMP | BPF_JA, 0, 0, 0); /* to the end; patched */
}

/* Above the highest number ENOSYS, else on to the filter proper. x32 is x86-64
 * with a bit in the number; unless asked for it is above all. */
static void emit_limit(struct seccomp_code *p, const struct seccomp_machine *m,
		       const struct seccomp_machine *x32)
{
	if (x32) {
		emit(p, BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 1, 0);
		emit(p, BPF_JMP | BPF_JGT | BPF_K, (uint32_t)m->highest, 1, 2);
		emit(p, BPF_JMP | BPF_JGT | BPF_K, X32_BIT | (uint32_t)x32->highest, 0, 1);
	} else {
		emit(p, BPF_JMP | BPF_JGT | BPF_K, (uint32_t)m->highest, 0, 1);
	}
	emit(p, BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS, 0, 0);
	emit(p, BPF_JMP | BPF_JA, 0, 0, 0); /* to the end; patched */
}

static void emit_machine(const struct seccomp_summary *s, struct seccomp_code *p,
			 const struct seccomp_machine *m)
{
	size_t start = p->n;
	emit(p, BPF_JMP | BPF_JEQ | BPF_K, m->token, 0, 0);
	emit(p, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr), 0, 0);
	if (!s->open_socketcall)
		emit_guards(s, p, m, "socketcall");
	if (!s->open_ipc)
		emit_guards(s, p, m, "ipc");
	emit_limit(p, m, m->token == SCMP_ARCH_X86_64 ? find_machine(s, SCMP_ARCH_X32) : NULL);
	p->insns[start].jf = (uint8_t)(p->n - start - 1);
}

void seccomp_prologue(const struct seccomp_summary *s, struct seccomp_code *p)
{
	emit(p, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch), 0, 0);
	for (size_t i = 0; i < s->n_machines; i++) {
		const struct seccomp_machine *m = &s->machines[i];
		if (m->highest < 0 || m->token == SCMP_ARCH_X32)
			continue;
		emit_machine(s, p, m);
	}
	for (size_t i = 0; i < p->n; i++)
		if (p->insns[i].code == (BPF_JMP | BPF_JA))
			p->insns[i].k = (uint32_t)(p->n - i - 1);
}
