/* SPDX-License-Identifier: Apache-2.0 */
/* boot - the kernel's kind by its content, command line and initrd; see boot.h.
 * The formats themselves: boot_bzimage.c, boot_elf.c, boot_pvh.c. */
#include "boot.h"

#include "boot_priv.h"
#include "vm.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE 4096ULL

/* Places the kernel and says where it begins, and its kind. */
typedef int (*loader_fn)(struct boot_job *job, struct boot_entry *entry, struct err *err);

const char *boot_kind_name(enum boot_kind kind)
{
	static const char *const names[] = {
		[BOOT_BZIMAGE] = "bzImage", [BOOT_ELF] = "elf", [BOOT_PVH] = "pvh"
	};
	return names[kind];
}

/* ---- reading the image ---- */

static int read_all(int fd, uint64_t offset, void *buf, uint64_t size)
{
	for (uint8_t *to = buf; size;) {
		ssize_t n = pread(fd, to, size, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -ENODATA;
		to += n;
		offset += (uint64_t)n;
		size -= (uint64_t)n;
	}
	return 0;
}

static int read_failed(int rc, struct err *err)
{
	if (rc == -ENODATA)
		return err_set(err, ENOEXEC, "the kernel image is cut off");
	return err_rc(err, rc, "cannot read the kernel image");
}

int boot_read(const struct boot_job *job, uint64_t offset, void *buf, size_t size, struct err *err)
{
	if (offset > job->image_bytes || size > job->image_bytes - offset)
		return read_failed(-ENODATA, err);
	int rc = read_all(job->fd, offset, buf, size);
	return rc < 0 ? read_failed(rc, err) : 0;
}

int boot_check_room(const struct boot_job *job, gpa_t start, uint64_t size, struct err *err)
{
	gpa_t end = memory_low_end(job->memory);
	if (start < BOOT_HIGH_START)
		return err_set(err, ENOEXEC, "the kernel wants to lie at 0x%llx, below 1 MiB",
			       (unsigned long long)start);
	if (start > end || size > end - start)
		return err_set(
			err, E2BIG,
			"the kernel needs %llu KiB at 0x%llx; the VM's memory ends at 0x%llx",
			(unsigned long long)(size / 1024), (unsigned long long)start,
			(unsigned long long)end);
	return 0;
}

int boot_read_to_guest(const struct boot_job *job, uint64_t offset, gpa_t gpa, uint64_t size,
		       struct err *err)
{
	struct span to;
	if (offset > job->image_bytes || size > job->image_bytes - offset)
		return read_failed(-ENODATA, err);
	if (memory_span(job->memory, gpa, size, true, &to) < 0)
		return err_set(err, E2BIG, "the kernel does not fit into the VM's memory");
	memory_expect(job->memory, gpa, size);
	int rc = read_all(job->fd, offset, to.host, size);
	return rc < 0 ? read_failed(rc, err) : 0;
}

static int open_image(struct boot_job *job, struct err *err)
{
	struct stat st;
	if (fstat(job->fd, &st) < 0)
		return err_sys(err, "cannot look at the kernel image");
	if (!S_ISREG(st.st_mode))
		return err_set(err, ENOEXEC, "the kernel image is not a regular file");
	job->image_bytes = (uint64_t)st.st_size;
	uint64_t n = job->image_bytes < sizeof(job->head) ? job->image_bytes : sizeof(job->head);
	return boot_read(job, 0, job->head, n, err);
}

/* ---- what it is ---- */

/* What people hand over by mistake, by its first bytes. */
static const struct {
	uint16_t offset;
	uint8_t size;
	const char *magic, *what;
} strangers[] = {
	{ 0, 2, "\x1f\x8b", "gzip-compressed; unpack it first" },
	{ 0, 4, "\x28\xb5\x2f\xfd", "zstd-compressed; unpack it first" },
	{ 0, 6,
	  "\xfd"
	  "7zXZ\0",
	  "xz-compressed; unpack it first" },
	{ 0, 3, "BZh", "bzip2-compressed; unpack it first" },
	{ 0, 4, "\x04\x22\x4d\x18", "lz4-compressed; unpack it first" },
	{ 0, 6, "070701", "an initramfs, not a kernel" },
	{ 0, 8, "!<arch>\n", "a Debian package or archive; unpack it first" },
	{ 56, 4, "ARM\x64", "for 64-bit ARM, not x86-64" },
	{ 0, 4, "QFI\xfb", "a qcow2 disk, not a kernel" },
	{ 0, 2, "MZ", "an EFI program without the Linux boot header" },
};

static int refuse_stranger(const struct boot_job *job, struct err *err)
{
	if (job->image_bytes == 0)
		return err_set(err, ENOEXEC, "the kernel image is empty");
	for (size_t i = 0; i < sizeof(strangers) / sizeof(strangers[0]); i++)
		if (memcmp(job->head + strangers[i].offset, strangers[i].magic,
			   strangers[i].size) == 0)
			return err_set(err, ENOEXEC, "the kernel image is %s", strangers[i].what);
	return err_set(err, ENOEXEC, "the kernel image is neither a bzImage nor an ELF vmlinux");
}

static int choose(const struct boot_job *job, loader_fn *ret, struct err *err)
{
	if (memcmp(job->head, ELFMAG, SELFMAG) == 0)
		*ret = boot_elf_load;
	else if (memcmp(job->head + 0x202, "HdrS", 4) == 0)
		*ret = boot_bzimage_load;
	else
		return refuse_stranger(job, err);
	return 0;
}

/* ---- command line and initrd ---- */

static int write_cmdline(const struct boot_job *job, const char *cmdline, struct err *err)
{
	size_t length = strlen(cmdline);
	size_t max = job->cmdline_max;
	if (max > BOOT_CMDLINE_BYTES - 1)
		max = BOOT_CMDLINE_BYTES - 1;
	if (length > max)
		return err_set(err, E2BIG,
			       "the kernel command line has %zu characters; this kernel takes %zu",
			       length, max);
	if (memory_write(job->memory, BOOT_CMDLINE, cmdline, length + 1) < 0)
		return err_set(err, E2BIG, "no room for the kernel command line");
	return 0;
}

/* As high as the kernel allows: what it unpacks grows from below. */
static int place_initrd(struct boot_job *job, struct err *err)
{
	gpa_t limit = memory_low_end(job->memory);
	if (job->initrd_limit < limit)
		limit = job->initrd_limit;
	gpa_t floor = job->kernel_end;
	if (limit <= job->kernel_start) /* all of it lies below the kernel */
		floor = BOOT_HIGH_START;
	limit &= ~(PAGE - 1);
	if (floor >= limit || job->initrd_bytes > limit - floor)
		return err_set(
			err, E2BIG, "the initrd (%llu KiB) does not fit between kernel and 0x%llx",
			(unsigned long long)(job->initrd_bytes / 1024), (unsigned long long)limit);
	gpa_t at = (limit - job->initrd_bytes) & ~(PAGE - 1);
	if (at < floor)
		return err_set(err, E2BIG, "the initrd does not fit behind the kernel");
	job->initrd = at;
	return 0;
}

static int load_initrd(struct boot_job *job, int fd, struct err *err)
{
	struct stat st;
	struct span to;
	if (fd < 0)
		return 0;
	if (fstat(fd, &st) < 0)
		return err_sys(err, "cannot look at the initrd");
	if (!S_ISREG(st.st_mode))
		return err_set(err, EINVAL, "the initrd is not a regular file");
	if (st.st_size == 0)
		return 0;
	job->initrd_bytes = (uint64_t)st.st_size;
	int rc = place_initrd(job, err);
	if (rc < 0)
		return rc;
	if (memory_span(job->memory, job->initrd, job->initrd_bytes, true, &to) < 0)
		return err_set(err, E2BIG, "the initrd does not fit into the VM's memory");
	memory_expect(job->memory, job->initrd, to.size);
	rc = read_all(fd, 0, to.host, to.size);
	return rc < 0 ? err_rc(err, rc, "cannot read the initrd") : 0;
}

/* ---- memory map ---- */

static void add_range(struct boot_range *ranges, size_t *n, gpa_t start, gpa_t end, uint32_t type)
{
	if (end > start)
		ranges[(*n)++] = (struct boot_range){ start, end - start, type };
}

size_t boot_map(const struct memory *memory, struct boot_range ret[BOOT_RANGES_MAX])
{
	size_t n = 0;
	add_range(ret, &n, 0, BOOT_LOW_END, BOOT_RAM);
	add_range(ret, &n, BOOT_LOW_END, BOOT_HIGH_START, BOOT_RESERVED);
	add_range(ret, &n, BOOT_HIGH_START, memory_low_end(memory), BOOT_RAM);
	/* I/O APIC, local APICs, and the pages KVM itself needs on Intel. */
	add_range(ret, &n, 0xfec00000, MEMORY_HOLE_END, BOOT_RESERVED);
	add_range(ret, &n, MEMORY_HOLE_END, memory_high_end(memory), BOOT_RAM);
	return n;
}

int boot_load(struct vm *vm, int kernel_fd, int initrd_fd, const char *cmdline, gpa_t rsdp,
	      struct boot_entry *ret, struct err *err)
{
	struct boot_job job = { .memory = vm->memory, .fd = kernel_fd, .rsdp = rsdp };
	loader_fn load = NULL;
	struct boot_entry entry = { 0 };

	int rc = open_image(&job, err);
	if (rc == 0)
		rc = choose(&job, &load, err);
	if (rc == 0)
		rc = load(&job, &entry, err);
	if (rc == 0)
		rc = write_cmdline(&job, cmdline, err);
	if (rc == 0)
		rc = load_initrd(&job, initrd_fd, err);
	if (rc == 0)
		rc = entry.kind == BOOT_PVH ? boot_pvh_describe(&job, &entry, err)
					    : boot_linux_describe(&job, &entry, err);
	if (rc == 0)
		rc = boot_write_tables(&job, entry.kind, err);
	if (rc == 0)
		*ret = entry;
	return rc;
}
