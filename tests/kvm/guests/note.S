/* SPDX-License-Identifier: Apache-2.0 */
/* note - XEN_ELFNOTE_PHYS32_ENTRY: with it in the file, a loader may choose PVH. */
	.section .note.pvh, "a", @note
	.align	4
	.long	4			/* size of the name */
	.long	4			/* size of the value */
	.long	18			/* XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz	"Xen"
	.long	start_pvh
	.section .note.GNU-stack, "", @progbits
