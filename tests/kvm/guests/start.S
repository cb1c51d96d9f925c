/* SPDX-License-Identifier: Apache-2.0 */
/* start - the first instructions of a test guest: both ways in, page tables, GDT,
 * stubs of the IDT, and what a second processor wakes up in.
 *
 * start_linux is entered as a 64-bit Linux kernel (long mode, RSI = boot_params),
 * start_pvh by Xen's PVH protocol (32-bit, no paging, EBX = hvm_start_info). */

#define CR0_PE_PG_WP_NE 0x80010023
#define CR4_PAE		0x20
#define MSR_EFER	0xc0000080
#define EFER_LME	0x100

	.section .text.start, "ax"
	.code64
	.globl	start_linux
start_linux:
	cli
	cld
	leaq	boot_stack_end(%rip), %rsp
	movq	$pml4, %rax
	movq	%rax, %cr3
	movq	%rsi, %rdi		/* boot_params */
	xorl	%esi, %esi
	jmp	start_common

	.code32
	.globl	start_pvh
start_pvh:
	cli
	cld
	movl	$boot_stack_end, %esp
	movl	$CR4_PAE, %eax
	movl	%eax, %cr4
	movl	$pml4, %eax
	movl	%eax, %cr3
	movl	$MSR_EFER, %ecx
	rdmsr
	orl	$EFER_LME, %eax
	wrmsr
	movl	%cr0, %eax
	orl	$CR0_PE_PG_WP_NE, %eax
	movl	%eax, %cr0
	lgdt	gdt_pointer
	ljmp	$0x08, $pvh_long
	.code64
pvh_long:
	xorl	%edi, %edi
	movl	%ebx, %esi		/* hvm_start_info */

start_common:
	lgdt	gdt_pointer(%rip)
	call	load_segments
	pushq	$0
	popfq
	call	guest_main		/* (boot_params, start_info); never returns */
	ud2

/* CS by IRETQ: the one far jump that software KVMs know. */
load_segments:
	popq	%rdx
	movq	%rsp, %rax
	pushq	$0x10
	pushq	%rax
	pushfq
	pushq	$0x08
	leaq	1f(%rip), %rax
	pushq	%rax
	iretq
1:	movl	$0x10, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	xorl	%eax, %eax
	movl	%eax, %fs
	movl	%eax, %gs
	pushq	%rdx
	ret

/* ------------------------------------------------------------ exceptions */

	.macro	stub n
	.align	16
	.if (\n == 8) || ((\n >= 10) && (\n <= 14)) || (\n == 17) || (\n == 21)
	nop				/* the processor pushed an error code */
	nop
	.else
	pushq	$0
	.endif
	pushq	$\n
	jmp	trap_common
	.endm

	.text
	.align	16
	.globl	trap_stubs
trap_stubs:
	.set	i, 0
	.rept	256
	stub	i
	.set	i, i + 1
	.endr

trap_common:
	pushq	%rax
	pushq	%rcx
	pushq	%rdx
	pushq	%rbx
	pushq	%rbp
	pushq	%rsi
	pushq	%rdi
	pushq	%r8
	pushq	%r9
	pushq	%r10
	pushq	%r11
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	movq	%rsp, %rdi
	movq	%rsp, %rbp
	andq	$-16, %rsp
	cld
	call	trap
	movq	%rbp, %rsp
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%r11
	popq	%r10
	popq	%r9
	popq	%r8
	popq	%rdi
	popq	%rsi
	popq	%rbp
	popq	%rbx
	popq	%rdx
	popq	%rcx
	popq	%rax
	addq	$16, %rsp
	iretq

/* ------------------------------------------ a second processor wakes up here */

/* Copied to page 8 (0x8000); the STARTUP message's vector is that page. */
#define WAKE(label) (0x8000 + label - wake_start)
	.section .rodata
	.globl	wake_start, wake_end
	.code16
wake_start:
	cli
	xorw	%ax, %ax
	movw	%ax, %ds
	movl	$CR4_PAE, %eax
	movl	%eax, %cr4
	movl	$pml4, %eax
	movl	%eax, %cr3
	movl	$MSR_EFER, %ecx
	rdmsr
	orl	$EFER_LME, %eax
	wrmsr
	movl	%cr0, %eax
	andl	$0x9fffffff, %eax	/* caches on */
	orl	$CR0_PE_PG_WP_NE, %eax
	movl	%eax, %cr0
	lgdtl	WAKE(wake_gdt)
	ljmpl	$0x08, $wake_long
	.align	4
wake_gdt:
	.word	gdt_end - gdt - 1
	.long	gdt
wake_end:

	.text
	.code64
wake_long:
	movq	$second_stack_end, %rsp
	call	load_segments
	pushq	$0
	popfq
	call	second_main
1:	hlt
	jmp	1b

/* ------------------------------------------------------------------- tables */

	.section .data
	.align	8
	.globl	gdt
gdt:	.quad	0
	.quad	0x00af9a000000ffff	/* 0x08: 64-bit code */
	.quad	0x00cf92000000ffff	/* 0x10: data */
gdt_end:
	.align	8
gdt_pointer:
	.word	gdt_end - gdt - 1
	.quad	gdt

/* Address = physical, the first 8 GiB, pages of 2 MiB. */
	.align	4096
	.globl	pml4
pml4:	.quad	pdpt + 3
	.fill	511, 8, 0
pdpt:
	.set	i, 0
	.rept	8
	.quad	pd + 4096 * i + 3
	.set	i, i + 1
	.endr
	.fill	504, 8, 0
pd:
	.set	i, 0
	.rept	8 * 512
	.quad	0x83 + 0x200000 * i
	.set	i, i + 1
	.endr

	.bss
	.align	16
	.skip	16384
boot_stack_end:
	.skip	16384
second_stack_end:

	.section .note.GNU-stack, "", @progbits
