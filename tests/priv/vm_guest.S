/* SPDX-License-Identifier: Apache-2.0 */
/* vm_guest - a guest without a kernel for tests of keeper, isolad and API: on serial
 * port 0 it says "ready", then does what it reads there, a letter each.
 *
 *   P    powers off            Qn   ends by isa-debug-exit with n ('0' = 0 ...)
 *   R    resets itself         X    panics (pvpanic)
 *   C    prints its command line
 *   I    does not mind the power button from now on; else it powers off
 *   L    prints lines without end
 *   else the letter comes back
 *
 * It is entered as a 64-bit Linux kernel, RSI = boot_params, and polls. */
#define SERIAL	   0x3f8
#define LINE_STATE 0x3fd
#define EVENTS	   0x604
#define SLEEP	   0x600
#define PVPANIC	   0x505
#define DEBUG_EXIT 0xf4
#define I8042	   0x64

	.section .text
	.code64
	.globl	_start
_start:
	cli
	cld
	movq	%rsi, %r12
	leaq	stack_end(%rip), %rsp
	xorl	%r15d, %r15d		/* minds the button */
	leaq	ready(%rip), %rsi
	call	puts

next:
	call	getc
	cmpb	$'P', %al
	je	power_off
	cmpb	$'Q', %al
	je	quit
	cmpb	$'R', %al
	je	reset
	cmpb	$'X', %al
	je	panic
	cmpb	$'C', %al
	je	command_line
	cmpb	$'I', %al
	je	ignore
	cmpb	$'L', %al
	je	flood
	call	putc
	jmp	next

quit:
	call	getc
	subb	$'0', %al
	movw	$DEBUG_EXIT, %dx
	outb	%al, %dx
	jmp	stop
reset:
	movb	$0xfe, %al
	outb	%al, $I8042
	jmp	stop
panic:
	movb	$1, %al
	movw	$PVPANIC, %dx
	outb	%al, %dx
	jmp	stop
command_line:
	movl	0x228(%r12), %esi
	call	puts
	movb	$'\n', %al
	call	putc
	jmp	next
ignore:
	movl	$1, %r15d
	jmp	next
flood:
	leaq	line(%rip), %rsi
	call	puts
	jmp	flood
power_off:
	movb	$(5 << 2 | 0x20), %al	/* S5, go */
	movw	$SLEEP, %dx
	outb	%al, %dx
stop:
	jmp	stop

/* AL: the next byte that comes in. */
getc:
	movw	$EVENTS, %dx
	inl	%dx, %eax
	testl	$1, %eax
	jz	no_event
	testl	%r15d, %r15d
	jz	power_off
no_event:
	movw	$LINE_STATE, %dx
	inb	%dx, %al
	testb	$1, %al
	jz	getc
	movw	$SERIAL, %dx
	inb	%dx, %al
	ret

putc:
	movw	$SERIAL, %dx
	outb	%al, %dx
	ret

/* RSI: bytes and a zero. */
puts:
	lodsb
	testb	%al, %al
	jz	puts_end
	call	putc
	jmp	puts
puts_end:
	ret

	.section .rodata
ready:	.asciz	"ready\n"
line:	.asciz	"a line of sixty-four bytes, so that a flood of them is counted.\n"

	.section .bss
	.skip	4096
stack_end:

	.section .note.GNU-stack, "", @progbits
