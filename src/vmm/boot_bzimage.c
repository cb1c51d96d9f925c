/* SPDX-License-Identifier: Apache-2.0 */
/* boot_bzimage - the Linux/x86 boot protocol's image (Documentation/arch/x86/boot.rst):
 * real-mode setup that we skip, then the kernel, entered in 64-bit mode at 0x200. */
#include "boot_priv.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#define SECTOR         512ULL
#define HEADER_OFFSET  0x1f1
#define HEADER_JUMP    0x201 /* its operand says how long the header is */
#define VERSION_64     0x20c /* the first with xloadflags and a 64-bit entry */
#define ENTRY_64       0x200
#define DEFAULT_SETUP  4 /* sectors when setup_sects is 0 */
#define CMDLINE_64_MIN 255

/* The header is as long as it says; what it does not have stays zero. */
static void read_header(struct boot_job *job)
{
	size_t length = 0x202 - HEADER_OFFSET + (size_t)job->head[HEADER_JUMP];
	if (length > sizeof(job->setup))
		length = sizeof(job->setup);
	memcpy(&job->setup, job->head + HEADER_OFFSET, length);
}

static int check_header(const struct setup_header *h, struct err *err)
{
	if (h->boot_flag != 0xaa55)
		return err_set(err, ENOEXEC, "the bzImage has no boot signature");
	if (h->version < VERSION_64)
		return err_set(err, ENOEXEC,
			       "the bzImage speaks boot protocol %d.%02d; 2.12 is the oldest that "
			       "has a 64-bit entry (Linux 3.8)",
			       h->version >> 8, h->version & 0xff);
	if (!(h->loadflags & LOADED_HIGH))
		return err_set(err, ENOEXEC, "this is a zImage, not a bzImage");
	if (!(h->xloadflags & XLF_KERNEL_64))
		return err_set(err, ENOEXEC, "the bzImage is a 32-bit kernel");
	return 0;
}

/* The kernel's bytes: what the header counts, in 16s, of what the file has (a
 * signature may follow). */
static int payload_bytes(const struct boot_job *job, uint64_t setup, uint64_t *ret, struct err *err)
{
	uint64_t said = (uint64_t)job->setup.syssize * 16;
	if (setup >= job->image_bytes || said <= ENTRY_64)
		return err_set(err, ENOEXEC, "the bzImage has no kernel behind its setup");
	uint64_t left = job->image_bytes - setup;
	if (said > left + 15)
		return err_set(err, ENOEXEC, "the bzImage is cut off: %llu of %llu bytes",
			       (unsigned long long)left, (unsigned long long)said);
	*ret = said < left ? said : left;
	return 0;
}

int boot_bzimage_load(struct boot_job *job, struct boot_entry *entry, struct err *err)
{
	struct setup_header *h = &job->setup;
	uint64_t size = 0;

	read_header(job);
	int rc = check_header(h, err);
	if (rc < 0)
		return rc;
	uint64_t setup = ((h->setup_sects ? h->setup_sects : DEFAULT_SETUP) + 1) * SECTOR;
	rc = payload_bytes(job, setup, &size, err);
	if (rc < 0)
		return rc;
	/* It unpacks itself in place: init_size counts from where it lies. */
	uint64_t room = h->init_size > size ? h->init_size : size;
	rc = boot_check_room(job, h->pref_address, room, err);
	if (rc == 0)
		rc = boot_read_to_guest(job, setup, h->pref_address, size, err);
	if (rc < 0)
		return rc;
	job->kernel_start = h->pref_address;
	job->kernel_end = h->pref_address + room;
	job->initrd_limit = (uint64_t)h->initrd_addr_max + 1;
	job->cmdline_max = h->cmdline_size ? h->cmdline_size : CMDLINE_64_MIN;
	entry->kind = BOOT_BZIMAGE;
	entry->rip = h->pref_address + ENTRY_64;
	return 0;
}
