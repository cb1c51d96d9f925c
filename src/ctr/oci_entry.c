/* SPDX-License-Identifier: Apache-2.0 */
/* oci_entry - the first instructions of isola-oci: goes to the read-only place of
 * ctr_protect_self() before the C library starts.
 *
 * Every start of a C library asks the processor what it is, some seventy times;
 * in a virtual machine each question costs microseconds, half a millisecond
 * together. As isola-oci executes itself anew in every call, the first of the two
 * starts is worth leaving out. There is no libc here: no errno, no thread-local
 * storage, no relocated pointer; plain system calls only. Whatever fails is left
 * to ctr_protect_self(), which tells why. Only in static builds on the machines
 * below; elsewhere the program starts as any other. */
#include <fcntl.h>
#include <linux/mount.h>
#include <stdint.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#define BARE __attribute__((no_stack_protector, visibility("hidden"), used))

#if defined(__x86_64__)

/* The stack pointer is all we get; _start wants it, and rdx, unchanged. */
__asm__(".text\n"
	".globl oci_entry\n"
	".type oci_entry, @function\n"
	"oci_entry:\n"
	"	xor %ebp, %ebp\n"
	"	mov %rsp, %rbx\n"
	"	mov %rdx, %r12\n"
	"	mov %rsp, %rdi\n"
	"	and $-16, %rsp\n"
	"	call oci_entry_protect\n"
	"	mov %rbx, %rsp\n"
	"	mov %r12, %rdx\n"
	"	jmp _start\n");

static inline long call(long number, long a, long b, long c, long d, long e)
{
	long ret;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
			 : "rcx", "r11", "memory");
	return ret;
}

#elif defined(__aarch64__)

__asm__(".text\n"
	".globl oci_entry\n"
	".type oci_entry, %function\n"
	"oci_entry:\n"
	"	mov x29, #0\n"
	"	mov x30, #0\n"
	"	mov x19, x0\n"
	"	mov x0, sp\n"
	"	bl oci_entry_protect\n"
	"	mov x0, x19\n"
	"	mov x29, #0\n"
	"	mov x30, #0\n"
	"	b _start\n");

static inline long call(long number, long a, long b, long c, long d, long e)
{
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	__asm__ volatile("svc #0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4)
			 : "memory");
	return x0;
}

#else
#error "oci_entry.c is only for the machines that meson.build names"
#endif

/* Returns when there is nothing to do or no way to do it. @stack: argc, argv,
 * NULL, the environment, NULL (the ABI's process start). */
BARE void oci_entry_protect(long *stack);

BARE void oci_entry_protect(long *stack)
{
	char **argv = (char **)(stack + 1), **env = argv + stack[0] + 1;
	struct statfs fs;
	struct mount_attr attr;
	long exe = call(SYS_openat, AT_FDCWD, (long)"/proc/self/exe", O_PATH | O_CLOEXEC, 0, 0);
	if (exe < 0)
		return;
	if (call(SYS_fstatfs, exe, (long)&fs, 0, 0, 0) < 0 || fs.f_flags & ST_RDONLY) {
		(void)call(SYS_close, exe, 0, 0, 0, 0);
		return;
	}
	long tree = call(SYS_open_tree, exe, (long)"",
			 OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH, 0, 0);
	attr.attr_set = MOUNT_ATTR_RDONLY;
	attr.attr_clr = 0;
	attr.propagation = 0;
	attr.userns_fd = 0;
	if (tree >= 0 &&
	    call(SYS_mount_setattr, tree, (long)"", AT_EMPTY_PATH, (long)&attr, sizeof(attr)) == 0)
		(void)call(SYS_execveat, tree, (long)"", (long)argv, (long)env, AT_EMPTY_PATH);
	if (tree >= 0)
		(void)call(SYS_close, tree, 0, 0, 0, 0);
	(void)call(SYS_close, exe, 0, 0, 0, 0);
}
