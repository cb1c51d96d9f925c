/* SPDX-License-Identifier: Apache-2.0 */
/* seccomp_words - the names that a linux.seccomp object is made of, and which of
 * them this kernel knows (config-linux.md "Seccomp"). */
#include "seccomp_rules.h"

#include "isola/json.h"
#include "isola/seccomp.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

/* With a value that takes an errno or a message in its low half. */
static const struct seccomp_word actions[] = {
	{ "SCMP_ACT_KILL", SCMP_ACT_KILL },
	{ "SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS },
	{ "SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL_THREAD },
	{ "SCMP_ACT_TRAP", SCMP_ACT_TRAP },
	{ "SCMP_ACT_ERRNO", SCMP_ACT_ERRNO(0) },
	{ "SCMP_ACT_TRACE", SCMP_ACT_TRACE(0) },
	{ "SCMP_ACT_ALLOW", SCMP_ACT_ALLOW },
	{ "SCMP_ACT_LOG", SCMP_ACT_LOG },
	{ "SCMP_ACT_NOTIFY", SCMP_ACT_NOTIFY },
};

static const struct seccomp_word operators[] = {
	{ "SCMP_CMP_NE", SCMP_CMP_NE },
	{ "SCMP_CMP_LT", SCMP_CMP_LT },
	{ "SCMP_CMP_LE", SCMP_CMP_LE },
	{ "SCMP_CMP_EQ", SCMP_CMP_EQ },
	{ "SCMP_CMP_GE", SCMP_CMP_GE },
	{ "SCMP_CMP_GT", SCMP_CMP_GT },
	{ "SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ },
};

static const struct seccomp_word arches[] = {
	{ "SCMP_ARCH_X86", SCMP_ARCH_X86 },
	{ "SCMP_ARCH_X86_64", SCMP_ARCH_X86_64 },
	{ "SCMP_ARCH_X32", SCMP_ARCH_X32 },
	{ "SCMP_ARCH_ARM", SCMP_ARCH_ARM },
	{ "SCMP_ARCH_AARCH64", SCMP_ARCH_AARCH64 },
	{ "SCMP_ARCH_MIPS", SCMP_ARCH_MIPS },
	{ "SCMP_ARCH_MIPS64", SCMP_ARCH_MIPS64 },
	{ "SCMP_ARCH_MIPS64N32", SCMP_ARCH_MIPS64N32 },
	{ "SCMP_ARCH_MIPSEL", SCMP_ARCH_MIPSEL },
	{ "SCMP_ARCH_MIPSEL64", SCMP_ARCH_MIPSEL64 },
	{ "SCMP_ARCH_MIPSEL64N32", SCMP_ARCH_MIPSEL64N32 },
	{ "SCMP_ARCH_PPC", SCMP_ARCH_PPC },
	{ "SCMP_ARCH_PPC64", SCMP_ARCH_PPC64 },
	{ "SCMP_ARCH_PPC64LE", SCMP_ARCH_PPC64LE },
	{ "SCMP_ARCH_S390", SCMP_ARCH_S390 },
	{ "SCMP_ARCH_S390X", SCMP_ARCH_S390X },
	{ "SCMP_ARCH_PARISC", SCMP_ARCH_PARISC },
	{ "SCMP_ARCH_PARISC64", SCMP_ARCH_PARISC64 },
	{ "SCMP_ARCH_RISCV64", SCMP_ARCH_RISCV64 },
};

static const struct seccomp_word flags[] = {
	{ "SECCOMP_FILTER_FLAG_TSYNC", SECCOMP_FILTER_FLAG_TSYNC },
	{ "SECCOMP_FILTER_FLAG_LOG", SECCOMP_FILTER_FLAG_LOG },
	{ "SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FILTER_FLAG_SPEC_ALLOW },
	{ "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV },
};

#define N(array) (sizeof(array) / sizeof((array)[0]))

static const struct {
	const struct seccomp_word *words;
	size_t n;
} tables[] = {
	[SECCOMP_ACTIONS] = { actions, N(actions) },
	[SECCOMP_OPERATORS] = { operators, N(operators) },
	[SECCOMP_ARCHES] = { arches, N(arches) },
	[SECCOMP_FLAGS] = { flags, N(flags) },
};

const struct seccomp_word *seccomp_find(enum seccomp_kind kind, const char *name)
{
	for (size_t i = 0; i < tables[kind].n; i++)
		if (!strcmp(tables[kind].words[i].name, name))
			return &tables[kind].words[i];
	return NULL;
}

size_t seccomp_words(enum seccomp_kind kind, const char **ret, size_t max)
{
	size_t n = tables[kind].n < max ? tables[kind].n : max;
	for (size_t i = 0; i < n; i++)
		ret[i] = tables[kind].words[i].name;
	return n;
}

bool seccomp_has_action(const char *name)
{
	const struct seccomp_word *w = seccomp_find(SECCOMP_ACTIONS, name);
	uint32_t action = w ? w->value : 0;
	return w && syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

/* The kernel looks at the flags before the program: EFAULT means it knows it. */
bool seccomp_has_flag(const char *name)
{
	const struct seccomp_word *w = seccomp_find(SECCOMP_FLAGS, name);
	unsigned int value = w ? w->value : 0;
	if (value == SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV)
		value |= SECCOMP_FILTER_FLAG_NEW_LISTENER; /* means nothing alone */
	return w && syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, value, NULL) < 0 &&
	       errno == EFAULT;
}

int seccomp_read_flags(json_object *profile, unsigned int *ret, struct err *err)
{
	json_object *a = NULL;
	int rc = json_get_strv(profile, "flags", &a, err);
	if (rc < 0)
		return rc;
	unsigned int value = rc ? 0 : SECCOMP_FILTER_FLAG_SPEC_ALLOW;
	for (size_t i = 0; i < json_len(a); i++) {
		const struct seccomp_word *w = seccomp_find(SECCOMP_FLAGS, json_item_str(a, i));
		if (!w)
			return err_set(err, EINVAL, "flags[%zu]: unknown flag \"%.60s\"", i,
				       json_item_str(a, i));
		value |= w->value;
	}
	*ret = value;
	return 0;
}

bool seccomp_uses_notify(json_object *profile)
{
	json_object *a = json_get(profile, "syscalls");
	if (!json_object_is_type(a, json_type_array))
		return false;
	for (size_t i = 0; i < json_len(a); i++)
		if (!strcmp(json_str_or(json_object_array_get_idx(a, i), "action", ""),
			    "SCMP_ACT_NOTIFY"))
			return true;
	return false;
}
