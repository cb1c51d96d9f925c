/* SPDX-License-Identifier: Apache-2.0 */
/* boot_pvh - the PVH boot protocol (Xen, docs/misc/pvh.pandoc): a 32-bit entry named
 * by an ELF note, and hvm_start_info with memory map and initrd. */
#include "boot_priv.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#define NOTE_PHYS32_ENTRY 18
#define START_MAGIC       0x336ec578
#define START_VERSION     1

struct start_info {
	uint32_t magic, version, flags, n_modules;
	uint64_t modules, cmdline, rsdp, map; /* addresses */
	uint32_t n_map, reserved;
};

struct start_module {
	uint64_t addr, size, cmdline, reserved;
};

struct start_range {
	uint64_t addr, size;
	uint32_t type, reserved;
};

static uint64_t align4(uint64_t n)
{
	return (n + 3) & ~3ULL;
}

int boot_pvh_note(const uint8_t *notes, size_t size, uint64_t *ret, struct err *err)
{
	for (uint64_t at = 0; at + sizeof(Elf64_Nhdr) <= size;) {
		Elf64_Nhdr h;
		memcpy(&h, notes + at, sizeof(h));
		uint64_t name = at + sizeof(h);
		uint64_t desc = name + align4(h.n_namesz);
		at = desc + align4(h.n_descsz);
		if (desc + h.n_descsz > size)
			return err_set(err, ENOEXEC, "the ELF kernel's notes are cut off");
		if (h.n_type != NOTE_PHYS32_ENTRY || h.n_namesz != 4 ||
		    memcmp(notes + name, "Xen", 4) != 0)
			continue;
		uint64_t entry = 0;
		if (h.n_descsz != 4 && h.n_descsz != 8)
			return err_set(err, ENOEXEC, "the PVH entry has %u bytes", h.n_descsz);
		memcpy(&entry, notes + desc, h.n_descsz);
		if (entry > UINT32_MAX)
			return err_set(err, ENOEXEC, "the PVH entry 0x%llx is above 4 GiB",
				       (unsigned long long)entry);
		*ret = entry;
		return 1;
	}
	return 0;
}

static uint32_t write_map(const struct boot_job *job, int *rc)
{
	struct boot_range ranges[BOOT_RANGES_MAX];
	struct start_range out[BOOT_RANGES_MAX] = { { 0 } };
	size_t n = boot_map(job->memory, ranges);
	for (size_t i = 0; i < n; i++)
		out[i] = (struct start_range){ ranges[i].start, ranges[i].size, ranges[i].type, 0 };
	*rc = memory_write(job->memory, BOOT_PVH_MAP, out, n * sizeof(out[0]));
	return (uint32_t)n;
}

int boot_pvh_describe(struct boot_job *job, struct boot_entry *entry, struct err *err)
{
	int rc;
	struct start_info info = {
		.magic = START_MAGIC,
		.version = START_VERSION,
		.cmdline = BOOT_CMDLINE,
		.rsdp = job->rsdp,
		.map = BOOT_PVH_MAP,
		.n_map = write_map(job, &rc),
	};
	struct start_module module = { .addr = job->initrd, .size = job->initrd_bytes };
	if (job->initrd_bytes) {
		info.n_modules = 1;
		info.modules = BOOT_PVH_MODULE;
	}
	if (rc < 0 || memory_write(job->memory, BOOT_PVH_MODULE, &module, sizeof(module)) < 0 ||
	    memory_write(job->memory, BOOT_PVH_INFO, &info, sizeof(info)) < 0)
		return err_set(err, E2BIG, "no room for the start info");
	entry->info = BOOT_PVH_INFO;
	return 0;
}
