/* SPDX-License-Identifier: Apache-2.0 */
/* boot_elf - an ELF kernel (vmlinux, or anything with a PVH note): its segments go
 * to their physical addresses. */
#include "boot_priv.h"

#include "isola/fd.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#define SEGMENTS_MAX    128
#define NOTES_BYTES_MAX (64 * 1024)
#define CMDLINE_LINUX   2047 /* COMMAND_LINE_SIZE of x86 Linux, less the NUL */

static int check_header(const Elf64_Ehdr *h, struct err *err)
{
	if (h->e_ident[EI_CLASS] != ELFCLASS64)
		return err_set(err, ENOEXEC, "the ELF kernel is not a 64-bit one");
	if (h->e_ident[EI_DATA] != ELFDATA2LSB || h->e_machine != EM_X86_64)
		return err_set(err, ENOEXEC, "the ELF kernel is not for x86-64 (machine %u)",
			       h->e_machine);
	if (h->e_type != ET_EXEC && h->e_type != ET_DYN)
		return err_set(err, ENOEXEC, "the ELF kernel is not executable (type %u)",
			       h->e_type);
	if (h->e_phentsize != sizeof(Elf64_Phdr))
		return err_set(err, ENOEXEC, "the ELF kernel's program headers have %u bytes",
			       h->e_phentsize);
	if (h->e_phnum == 0 || h->e_phnum > SEGMENTS_MAX)
		return err_set(err, ENOEXEC,
			       "the ELF kernel has %u program headers; 1 to %d are fine",
			       h->e_phnum, SEGMENTS_MAX);
	return 0;
}

static int load_segment(struct boot_job *job, const Elf64_Phdr *p, uint64_t *left, struct err *err)
{
	if (p->p_filesz > p->p_memsz)
		return err_set(err, ENOEXEC, "a segment's file part is larger than the segment");
	/* No kernel loads a byte twice; and so no image makes us read for ever. */
	if (p->p_filesz > *left)
		return err_set(err, ENOEXEC, "the segments are larger than the file");
	*left -= p->p_filesz;
	int rc = boot_check_room(job, p->p_paddr, p->p_memsz, err);
	if (rc == 0)
		rc = boot_read_to_guest(job, p->p_offset, p->p_paddr, p->p_filesz, err);
	if (rc < 0)
		return rc;
	if (p->p_paddr < job->kernel_start || job->kernel_end == 0)
		job->kernel_start = p->p_paddr;
	if (p->p_paddr + p->p_memsz > job->kernel_end)
		job->kernel_end = p->p_paddr + p->p_memsz;
	return 0;
}

/* Where @addr lies among the loaded segments, as a physical address: Linux gives
 * physical entries, others virtual ones. */
static int find_entry(const Elf64_Phdr *ph, unsigned int n, uint64_t addr, gpa_t *ret,
		      struct err *err)
{
	for (unsigned int i = 0; i < n; i++)
		if (ph[i].p_type == PT_LOAD && addr >= ph[i].p_paddr &&
		    addr - ph[i].p_paddr < ph[i].p_memsz) {
			*ret = addr;
			return 0;
		}
	for (unsigned int i = 0; i < n; i++)
		if (ph[i].p_type == PT_LOAD && addr >= ph[i].p_vaddr &&
		    addr - ph[i].p_vaddr < ph[i].p_memsz) {
			*ret = ph[i].p_paddr + (addr - ph[i].p_vaddr);
			return 0;
		}
	return err_set(err, ENOEXEC, "the ELF kernel's entry 0x%llx lies in none of its segments",
		       (unsigned long long)addr);
}

/* 1 and the PVH entry, 0 without one. */
static int find_pvh(struct boot_job *job, const Elf64_Phdr *ph, unsigned int n, uint64_t *ret,
		    struct err *err)
{
	for (unsigned int i = 0; i < n; i++) {
		if (ph[i].p_type != PT_NOTE || ph[i].p_filesz == 0)
			continue;
		if (ph[i].p_filesz > NOTES_BYTES_MAX)
			return err_set(err, ENOEXEC, "the ELF kernel has %llu bytes of notes",
				       (unsigned long long)ph[i].p_filesz);
		cleanup_free uint8_t *notes = malloc(ph[i].p_filesz);
		if (!notes)
			return err_set(err, ENOMEM, "out of memory");
		int rc = boot_read(job, ph[i].p_offset, notes, ph[i].p_filesz, err);
		if (rc == 0)
			rc = boot_pvh_note(notes, ph[i].p_filesz, ret, err);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int load_segments(struct boot_job *job, const Elf64_Phdr *ph, unsigned int n,
			 struct err *err)
{
	uint64_t left = job->image_bytes;
	for (unsigned int i = 0; i < n; i++) {
		if (ph[i].p_type != PT_LOAD || ph[i].p_memsz == 0)
			continue;
		int rc = load_segment(job, &ph[i], &left, err);
		if (rc < 0)
			return rc;
	}
	if (job->kernel_end == 0)
		return err_set(err, ENOEXEC, "the ELF kernel has no segment to load");
	return 0;
}

int boot_elf_load(struct boot_job *job, struct boot_entry *entry, struct err *err)
{
	Elf64_Ehdr h;
	Elf64_Phdr ph[SEGMENTS_MAX];
	uint64_t start = 0;

	memcpy(&h, job->head, sizeof(h));
	int rc = check_header(&h, err);
	if (rc == 0)
		rc = boot_read(job, h.e_phoff, ph, h.e_phnum * sizeof(ph[0]), err);
	if (rc == 0)
		rc = load_segments(job, ph, h.e_phnum, err);
	if (rc < 0)
		return rc;
	rc = find_pvh(job, ph, h.e_phnum, &start, err);
	if (rc < 0)
		return rc;
	entry->kind = rc ? BOOT_PVH : BOOT_ELF;
	job->initrd_limit = memory_low_end(job->memory);
	job->cmdline_max = CMDLINE_LINUX;
	return find_entry(ph, h.e_phnum, rc ? start : h.e_entry, &entry->rip, err);
}
