/* SPDX-License-Identifier: Apache-2.0 */
/* probe_cases - what is tried, a row each. The code begins with RAX pointing to 64-byte
 * aligned memory and RCX, RDX as Linux would have them; see probe_guest.c for the rest. */
#include "probe.h"

#include <string.h>

/* clang-format off */

#define CODE(...) .size = sizeof((uint8_t[]){ __VA_ARGS__ }), .code = { __VA_ARGS__ }
#define GOES_ON	  .vector = -1

const struct probe_case probe_cases[] = {
	{ "syscall", "a system call from user mode", NULL, true, true,
	  CODE(0x0f, 0x05), GOES_ON },
	{ "user-fault", "a page fault in user mode", NULL, true, true,
	  CODE(0x48, 0x8b, 0x04, 0x25, 0x00, 0x00, 0x40, 0x00), .vector = 14, .at = 0 },
	{ "user-sse", "SSE in user mode", "sse2", true, true,
	  CODE(0x0f, 0x10, 0x00, 0x66, 0x0f, 0xef, 0xc0), GOES_ON },
	{ "user-avx", "AVX in user mode", "avx", true, true,
	  CODE(0xc5, 0xfe, 0x6f, 0x00), GOES_ON },
	{ "int3", "a breakpoint (int3) in the kernel", NULL, false, true,
	  CODE(0xcc), .vector = 3, .at = 1 },
	{ "ud2", "an undefined instruction in the kernel", NULL, false, true,
	  CODE(0x0f, 0x0b), .vector = 6, .at = 0 },
	{ "fwait", "fwait in the kernel", NULL, false, true,
	  CODE(0x9b), GOES_ON },
	{ "msr", "reading and writing an MSR", NULL, false, true,
	  CODE(0xb9, 0x82, 0x00, 0x00, 0xc0, 0x0f, 0x32, 0x0f, 0x30), GOES_ON },
	{ "cpuid", "CPUID", NULL, false, true,
	  CODE(0x31, 0xc0, 0x0f, 0xa2), GOES_ON },
	{ "xsave", "saving vector registers (xsave, xrstor) in the kernel", "xsave", false, true,
	  /* lea rbx, [rax]; mov eax, 3; xor edx, edx; xsave64 [rbx]; xrstor64 [rbx] */
	  CODE(0x48, 0x8d, 0x18, 0xb8, 0x03, 0, 0, 0, 0x31, 0xd2, 0x48, 0x0f, 0xae, 0x23,
	       0x48, 0x0f, 0xae, 0x2b), GOES_ON },
	{ "smap", "stac and clac in the kernel", "smap", false, true,
	  CODE(0x0f, 0x01, 0xcb, 0x0f, 0x01, 0xca), GOES_ON },
	{ "popcnt", "popcnt in the kernel", "popcnt", false, true,
	  CODE(0xf3, 0x0f, 0xb8, 0xc0), GOES_ON },
	{ "sse", "SSE in the kernel", "sse2", false, false,
	  CODE(0x0f, 0x10, 0x00, 0x66, 0x0f, 0xef, 0xc0), GOES_ON },
	{ "avx", "AVX in the kernel", "avx", false, false,
	  CODE(0xc5, 0xfe, 0x6f, 0x00), GOES_ON },
	{ "cx16", "cmpxchg16b in the kernel", "cx16", false, false,
	  CODE(0x48, 0x0f, 0xc7, 0x08), GOES_ON },
	{ "rdtscp", "rdtscp in the kernel", "rdtscp", false, false,
	  CODE(0x0f, 0x01, 0xf9), GOES_ON },
	/* KVM puts the processor's own instruction in the place of the other one. The
	 * number is none of KVM's: it answers -ENOSYS. */
	{ "hypercall", "a hypercall", NULL, false, false,
	  CODE(0xb8, 0xe8, 0x03, 0x00, 0x00, 0x0f, 0x01, 0xc1), GOES_ON },
};

/* clang-format on */

const size_t probe_n_cases = sizeof(probe_cases) / sizeof(probe_cases[0]);

const struct probe_case *probe_find(const char *name, size_t *ret_index)
{
	for (size_t i = 0; i < probe_n_cases; i++)
		if (strcmp(probe_cases[i].name, name) == 0) {
			if (ret_index)
				*ret_index = i;
			return &probe_cases[i];
		}
	return NULL;
}
