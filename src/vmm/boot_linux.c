/* SPDX-License-Identifier: Apache-2.0 */
/* boot_linux - the zero page of the Linux/x86 64-bit boot protocol
 * (Documentation/arch/x86/boot.rst, zero-page.rst). */
#include "boot_priv.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/random.h>

#define LOADER_UNDEFINED 0xff
#define SEED_BYTES       32

_Static_assert(offsetof(struct boot_params, e820_table) == 0x2d0, "zero-page.rst");
_Static_assert(offsetof(struct boot_params, hdr) == 0x1f1, "zero-page.rst");
_Static_assert(sizeof(struct boot_params) == 4096, "zero-page.rst");

/* Linux 6.0 and later mix it into the pool and wipe it; older ones skip the type. */
static int write_seed(const struct boot_job *job, struct err *err)
{
	struct {
		struct setup_data head;
		uint8_t seed[SEED_BYTES];
	} node = { .head = { .type = SETUP_RNG_SEED, .len = SEED_BYTES } };
	if (getrandom(node.seed, SEED_BYTES, 0) != SEED_BYTES)
		return err_sys(err, "cannot get random bytes");
	int rc = memory_write(job->memory, BOOT_SEED, &node, sizeof(node));
	explicit_bzero(&node, sizeof(node));
	return rc < 0 ? err_set(err, E2BIG, "no room for the random seed") : 0;
}

static void fill_header(const struct boot_job *job, struct setup_header *h)
{
	*h = job->setup;
	h->type_of_loader = LOADER_UNDEFINED;
	h->boot_flag = 0xaa55;
	memcpy(&h->header, "HdrS", 4);
	h->cmd_line_ptr = BOOT_CMDLINE;
	h->ramdisk_image = (uint32_t)job->initrd;
	h->ramdisk_size = (uint32_t)job->initrd_bytes;
	h->setup_data = BOOT_SEED;
}

int boot_linux_describe(struct boot_job *job, struct boot_entry *entry, struct err *err)
{
	struct boot_params zero = { .acpi_rsdp_addr = job->rsdp };
	struct boot_range ranges[BOOT_RANGES_MAX];

	fill_header(job, &zero.hdr);
	size_t n = boot_map(job->memory, ranges);
	for (size_t i = 0; i < n; i++)
		zero.e820_table[i] =
			(struct boot_e820_entry){ ranges[i].start, ranges[i].size, ranges[i].type };
	zero.e820_entries = (uint8_t)n;
	int rc = write_seed(job, err);
	if (rc < 0)
		return rc;
	if (memory_write(job->memory, BOOT_ZERO_PAGE, &zero, sizeof(zero)) < 0)
		return err_set(err, E2BIG, "no room for the zero page");
	entry->info = BOOT_ZERO_PAGE;
	return 0;
}
