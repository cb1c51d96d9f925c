/* SPDX-License-Identifier: Apache-2.0 */
/* memory - see memory.h. isola-vmm.
 *
 * RAM is one mapping, cut into two regions by the PCI hole; regions are sorted by
 * address and never change once the vCPUs run, so nothing here takes a lock. */
#include "memory.h"

#include "isola/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <linux/memfd.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

#define SMALL_PAGE ((uint64_t)4096)
#define BIG_PAGE   ((uint64_t)2 << 20)
#define HUGE_PAGE  ((uint64_t)1 << 30)

#define REGIONS_MAX 34 /* two of RAM, the rest files */

struct memory {
	struct memory_args args;
	struct memory_region regions[REGIONS_MAX];
	size_t n_regions, n_ram;
	uint8_t *ram;
	int fd; /* of shared RAM, or -1 */
};

static uint64_t round_up(uint64_t n, uint64_t unit)
{
	return (n + unit - 1) / unit * unit;
}

static gpa_t region_end(const struct memory_region *r)
{
	return r->start + r->size_bytes;
}

/* ---- building ---- */

int memory_check(const struct memory_args *a, struct err *err)
{
	if (a->page_bytes != SMALL_PAGE && a->page_bytes != BIG_PAGE && a->page_bytes != HUGE_PAGE)
		return err_set(err, EINVAL, "there are no pages of %zu bytes", a->page_bytes);
	if (a->size_bytes < MEMORY_MIN_BYTES || a->size_bytes > MEMORY_MAX_BYTES)
		return err_set(err, EINVAL, "%llu bytes are not between 1 MiB and 1 TiB",
			       (unsigned long long)a->size_bytes);
	if (a->size_bytes % a->page_bytes)
		return err_set(err, EINVAL, "%llu bytes are no whole number of %zu KiB pages",
			       (unsigned long long)a->size_bytes, a->page_bytes / 1024);
	if (a->merge && (a->shared || a->page_bytes != SMALL_PAGE))
		return err_set(err, EINVAL, "only private memory in 4 KiB pages can be merged");
	return 0;
}

static int make_memfd(const struct memory_args *a, struct err *err)
{
	unsigned int flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	if (a->page_bytes == BIG_PAGE)
		flags |= MFD_HUGETLB | MFD_HUGE_2MB;
	else if (a->page_bytes == HUGE_PAGE)
		flags |= MFD_HUGETLB | MFD_HUGE_1GB;
	cleanup_fd int fd = memfd_create("guest", flags);
	if (fd < 0)
		return err_sys(err, "cannot make a memfd");
	if (ftruncate(fd, (off_t)a->size_bytes) < 0)
		return err_sys(err, "cannot size the memfd");
	/* Who maps it too (virtiofsd) must not be able to cut it under us: SIGBUS. */
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return err_sys(err, "cannot seal the memfd");
	return take_fd(&fd);
}

/* Huge pages are aligned by the kernel. Others we align to 2 MiB ourselves, or
 * transparent huge pages never line up with the guest's. */
static uint8_t *map_aligned(uint64_t size, int flags, int fd)
{
	uint64_t whole = size + BIG_PAGE;
	uint8_t *p =
		mmap(NULL, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	uint8_t *at = p + (round_up((uintptr_t)p, BIG_PAGE) - (uintptr_t)p);
	if (mmap(at, size, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd, 0) == MAP_FAILED) {
		int e = errno;
		(void)munmap(p, whole);
		errno = e;
		return NULL;
	}
	if (at > p)
		(void)munmap(p, (size_t)(at - p));
	(void)munmap(at + size, (size_t)(p + whole - at - size));
	return at;
}

static uint8_t *map_huge(const struct memory_args *a, int fd)
{
	int size = a->page_bytes == HUGE_PAGE ? 30 : 21;
	int flags = fd >= 0 ? MAP_SHARED
			    : MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | size << MAP_HUGE_SHIFT;
	/* Without MAP_NORESERVE: a pool that is short fails here, not by SIGBUS later. */
	uint8_t *p = mmap(NULL, a->size_bytes, PROT_READ | PROT_WRITE, flags, fd, 0);
	return p == MAP_FAILED ? NULL : p;
}

static int map_ram(struct memory *mem, struct err *err)
{
	const struct memory_args *a = &mem->args;
	if (a->shared) {
		mem->fd = make_memfd(a, err);
		if (mem->fd < 0)
			return mem->fd;
	}
	if (a->page_bytes != SMALL_PAGE) {
		mem->ram = map_huge(a, mem->fd);
		return mem->ram ? 0
				: err_sys(err,
					  "cannot get %llu huge pages of %zu KiB (see "
					  "/sys/kernel/mm/hugepages)",
					  (unsigned long long)(a->size_bytes / a->page_bytes),
					  a->page_bytes / 1024);
	}
	mem->ram = map_aligned(a->size_bytes,
			       mem->fd >= 0 ? MAP_SHARED | MAP_NORESERVE
					    : MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
			       mem->fd);
	return mem->ram ? 0
			: err_sys(err, "cannot map %llu bytes", (unsigned long long)a->size_bytes);
}

static int advise(struct memory *mem, int advice, const char *what, struct err *err)
{
	if (madvise(mem->ram, mem->args.size_bytes, advice) < 0)
		return err_sys(err, "cannot %s", what);
	return 0;
}

/* Before Linux 5.14. Nobody else has the memory yet. */
static void touch_pages(struct memory *mem)
{
	volatile uint8_t *p = mem->ram;
	for (uint64_t i = 0; i < mem->args.size_bytes; i += mem->args.page_bytes)
		p[i] = 0;
}

static int prefault(struct memory *mem, struct err *err)
{
	if (madvise(mem->ram, mem->args.size_bytes, MADV_POPULATE_WRITE) == 0)
		return 0;
	if (errno != EINVAL)
		return err_sys(err, "cannot prefault the memory");
	touch_pages(mem);
	return 0;
}

static int advise_ram(struct memory *mem, struct err *err)
{
	const struct memory_args *a = &mem->args;
	int rc = 0;
	/* A crash of ours must not write the guest's secrets to disk. */
	(void)madvise(mem->ram, a->size_bytes, MADV_DONTDUMP);
	if (a->thp && a->page_bytes == SMALL_PAGE)
		rc = advise(mem, MADV_HUGEPAGE, "use transparent huge pages", err);
	if (rc == 0 && a->merge)
		rc = advise(mem, MADV_MERGEABLE, "let the memory be merged (KSM)", err);
	if (rc == 0 && a->prefault)
		rc = prefault(mem, err);
	return rc;
}

static void add_region(struct memory *mem, const struct memory_region *region)
{
	mem->regions[mem->n_regions] = *region;
	/* The loader's thread may look for RAM meanwhile (find()). */
	__atomic_store_n(&mem->n_regions, mem->n_regions + 1, __ATOMIC_RELEASE);
}

static void add_ram(struct memory *mem)
{
	uint64_t size = mem->args.size_bytes;
	uint64_t low = size < MEMORY_HOLE_START ? size : MEMORY_HOLE_START;
	struct memory_region r = {
		.start = 0, .size_bytes = low, .host = mem->ram, .fd = mem->fd, .is_ram = true
	};
	add_region(mem, &r);
	if (size > low) {
		r.start = MEMORY_HOLE_END;
		r.size_bytes = size - low;
		r.host = mem->ram + low;
		r.fd_offset = low;
		add_region(mem, &r);
	}
	mem->n_ram = mem->n_regions;
}

int memory_new(const struct memory_args *args, struct memory **ret, struct err *err)
{
	int rc = memory_check(args, err);
	if (rc < 0)
		return rc;
	struct memory *mem = calloc(1, sizeof(*mem));
	if (!mem)
		return err_set(err, ENOMEM, "out of memory");
	mem->args = *args;
	mem->fd = -1;
	rc = map_ram(mem, err);
	if (rc == 0)
		rc = advise_ram(mem, err);
	if (rc < 0) {
		memory_free(mem);
		return rc;
	}
	add_ram(mem);
	*ret = mem;
	return 0;
}

void memory_free(struct memory *mem)
{
	if (!mem)
		return;
	for (size_t i = mem->n_ram; i < mem->n_regions; i++) {
		(void)munmap(mem->regions[i].host, mem->regions[i].size_bytes);
		fd_close(&mem->regions[i].fd);
	}
	if (mem->ram)
		(void)munmap(mem->ram, mem->args.size_bytes);
	fd_close(&mem->fd);
	free(mem);
}

int memory_add_file(struct memory *mem, uint8_t *host, uint64_t size_bytes, bool readonly,
		    gpa_t *ret_start, struct err *err)
{
	gpa_t end = region_end(&mem->regions[mem->n_regions - 1]);
	gpa_t start = round_up(end < MEMORY_HOLE_END ? MEMORY_HOLE_END : end, BIG_PAGE);
	if (mem->n_regions == REGIONS_MAX)
		return err_set(err, ENOSPC, "a VM has at most %d mapped files", REGIONS_MAX - 2);
	if (size_bytes == 0 || size_bytes % SMALL_PAGE || (uintptr_t)host % SMALL_PAGE)
		return err_set(err, EINVAL, "%llu bytes are no whole number of 4 KiB pages",
			       (unsigned long long)size_bytes);
	if (size_bytes > 2 * MEMORY_MAX_BYTES - start)
		return err_set(err, E2BIG, "%llu bytes do not fit behind the memory",
			       (unsigned long long)size_bytes);
	const struct memory_region r = {
		.start = start,
		.size_bytes = size_bytes,
		.host = host,
		.fd = -1,
		.readonly = readonly,
	};
	add_region(mem, &r);
	*ret_start = start;
	return 0;
}

int memory_give_to_kvm(struct memory *mem, int vm_fd, struct err *err)
{
	for (size_t i = 0; i < mem->n_regions; i++) {
		const struct memory_region *r = &mem->regions[i];
		struct kvm_userspace_memory_region arg = {
			.slot = (uint32_t)i,
			.flags = r->readonly ? KVM_MEM_READONLY : 0,
			.guest_phys_addr = r->start,
			.memory_size = r->size_bytes,
			.userspace_addr = (uintptr_t)r->host,
		};
		if (ioctl(vm_fd, KVM_SET_USER_MEMORY_REGION, &arg) < 0)
			return err_sys(err, "KVM refuses %llu bytes of memory at 0x%llx",
				       (unsigned long long)r->size_bytes,
				       (unsigned long long)r->start);
	}
	return 0;
}

/* ---- asking ---- */

size_t memory_regions(const struct memory *mem, const struct memory_region **ret)
{
	*ret = mem->regions;
	return mem->n_regions;
}

uint64_t memory_ram_bytes(const struct memory *mem)
{
	return mem->args.size_bytes;
}

gpa_t memory_low_end(const struct memory *mem)
{
	return region_end(&mem->regions[0]);
}

gpa_t memory_high_end(const struct memory *mem)
{
	return mem->n_ram > 1 ? region_end(&mem->regions[1]) : 0;
}

/* ---- access ---- */

/* Few regions, and nearly every access is in the first or second. */
static const struct memory_region *find(const struct memory *mem, gpa_t gpa)
{
	size_t n = __atomic_load_n(&mem->n_regions, __ATOMIC_ACQUIRE);
	for (size_t i = 0; i < n; i++)
		if (gpa >= mem->regions[i].start &&
		    gpa - mem->regions[i].start < mem->regions[i].size_bytes)
			return &mem->regions[i];
	return NULL;
}

int memory_piece(const struct memory *mem, gpa_t gpa, uint64_t size, bool write, struct span *ret)
{
	if (size == 0) {
		*ret = (struct span){ mem->ram, 0 };
		return 0;
	}
	const struct memory_region *r = find(mem, gpa);
	if (!r || (write && r->readonly))
		return -EFAULT;
	uint64_t offset = gpa - r->start, left = r->size_bytes - offset;
	*ret = (struct span){ r->host + offset, size < left ? size : left };
	return 0;
}

int memory_span(const struct memory *mem, gpa_t gpa, uint64_t size, bool write, struct span *ret)
{
	struct span s;
	if (memory_piece(mem, gpa, size, write, &s) < 0 || s.size != size)
		return -EFAULT;
	*ret = s;
	return 0;
}

int memory_read(const struct memory *mem, gpa_t gpa, void *buf, size_t size)
{
	struct span s;
	for (uint8_t *to = buf; size; to += s.size, gpa += s.size, size -= s.size) {
		if (memory_piece(mem, gpa, size, false, &s) < 0)
			return -EFAULT;
		memcpy(to, s.host, s.size);
	}
	return 0;
}

int memory_write(const struct memory *mem, gpa_t gpa, const void *buf, size_t size)
{
	struct span s;
	for (const uint8_t *from = buf; size; from += s.size, gpa += s.size, size -= s.size) {
		if (memory_piece(mem, gpa, size, true, &s) < 0)
			return -EFAULT;
		memcpy(s.host, from, s.size);
	}
	return 0;
}

void memory_expect(const struct memory *mem, gpa_t gpa, uint64_t size)
{
	const struct memory_region *r = find(mem, gpa);
	if (!r || !r->is_ram || mem->args.page_bytes != SMALL_PAGE || size < BIG_PAGE / 2)
		return;
	/* Whole large pages around it, as far as the region goes. */
	uint64_t from = (gpa - r->start) / BIG_PAGE * BIG_PAGE, left = r->size_bytes - from;
	uint64_t want = gpa - r->start - from + (size < left ? size : left);
	want = round_up(want, BIG_PAGE);
	(void)madvise(r->host + from, want < left ? want : left, MADV_HUGEPAGE);
}

/* ---- giving back ---- */

/* Both offsets are in the region, and whole pages. */
static int drop_pages(const struct memory *mem, const struct memory_region *r, uint64_t from,
		      uint64_t to)
{
	/* MADV_DONTNEED only unmaps pages of a memfd, they would stay. */
	if (r->fd >= 0)
		return fallocate(mem->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				 (off_t)(r->fd_offset + from), (off_t)(to - from)) < 0
			       ? -errno
			       : 0;
	return madvise(r->host + from, to - from, MADV_DONTNEED) < 0 ? -errno : 0;
}

int memory_discard(const struct memory *mem, gpa_t gpa, uint64_t size)
{
	const uint64_t page = mem->args.page_bytes;
	while (size) {
		const struct memory_region *r = find(mem, gpa);
		if (!r || !r->is_ram)
			return -EFAULT;
		uint64_t offset = gpa - r->start, left = r->size_bytes - offset;
		uint64_t n = size < left ? size : left;
		uint64_t from = round_up(offset, page), to = (offset + n) / page * page;
		int rc = from < to ? drop_pages(mem, r, from, to) : 0;
		if (rc < 0)
			return rc;
		gpa += n;
		size -= n;
	}
	return 0;
}
