/* SPDX-License-Identifier: Apache-2.0 */
/* blk_file - see blk_file.h. */
#include "blk_file.h"

#include "isola/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>

#define ALIGN_MAX     4096
#define LOCK_TRIES    10
#define LOCK_PAUSE_NS 50000000

#ifndef STATX_DIOALIGN
#define STATX_DIOALIGN 0x2000 /* Linux 6.1 */
#endif

static int check_kind(struct blk_file *f, bool readonly, struct err *err)
{
	struct stat st;
	if (fstat(f->fd, &st) < 0)
		return err_sys(err, "cannot look at the disk");
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return err_set(err, EINVAL,
			       "the disk is neither a regular file nor a block device");
	f->device = S_ISBLK(st.st_mode);
	int flags = fcntl(f->fd, F_GETFL);
	if (flags < 0)
		return err_sys(err, "cannot look at the disk");
	if ((flags & O_ACCMODE) == O_WRONLY || (!readonly && (flags & O_ACCMODE) != O_RDWR))
		return err_set(err, EINVAL, "the disk is not open for %s",
			       readonly ? "reading" : "reading and writing: set readonly");
	if (flags & O_APPEND)
		return err_set(err, EINVAL, "the disk is open for appending only");
	/* The page cache is what fd stands for. */
	if (flags & O_DIRECT && fcntl(f->fd, F_SETFL, flags & ~O_DIRECT) < 0)
		return err_sys(err, "cannot clear O_DIRECT of the disk");
	return 0;
}

/* A worker that was killed may have left requests with the kernel, which hold its lock
 * until they are done: so not at once no. */
static int take_lock(const struct blk_file *f, bool readonly, struct err *err)
{
	struct flock lock = { .l_type = readonly ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET };
	const struct timespec pause = { .tv_nsec = LOCK_PAUSE_NS };
	for (int i = 0;; i++) {
		if (fcntl(f->fd, F_OFD_SETLK, &lock) == 0)
			return 0;
		if (errno != EAGAIN && errno != EACCES)
			return err_sys(err, "cannot lock the disk");
		if (i == LOCK_TRIES)
			break;
		(void)nanosleep(&pause, NULL);
	}
	return err_set(err, EBUSY,
		       "the disk is in use: another VM %s it; only readers can share one",
		       readonly ? "writes to" : "has");
}

/* What O_DIRECT asks for: from the kernel (6.1), the device, or by trying. */
static int find_alignment(struct blk_file *f, struct err *err)
{
	f->block_bytes = f->memory_align = BLK_SECTOR_BYTES;
	struct statx sx;
	if (statx(f->direct_fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &sx) == 0 &&
	    sx.stx_mask & STATX_DIOALIGN && sx.stx_dio_offset_align > 0) {
		if (sx.stx_dio_offset_align > f->block_bytes)
			f->block_bytes = sx.stx_dio_offset_align;
		f->memory_align = sx.stx_dio_mem_align > 0 ? sx.stx_dio_mem_align : f->block_bytes;
		return 0;
	}
	int size;
	if (f->device && ioctl(f->direct_fd, BLKSSZGET, &size) == 0 && size > BLK_SECTOR_BYTES)
		f->block_bytes = f->memory_align = (uint32_t)size;
	void *buf;
	if (f->device || posix_memalign(&buf, ALIGN_MAX, ALIGN_MAX) != 0)
		return 0;
	if (pread(f->direct_fd, buf, BLK_SECTOR_BYTES, BLK_SECTOR_BYTES) < 0 && errno == EINVAL)
		f->block_bytes = f->memory_align = ALIGN_MAX;
	bool good = pread(f->direct_fd, buf, ALIGN_MAX, 0) >= 0;
	int saved = errno;
	free(buf);
	errno = saved;
	return good ? 0 : err_sys(err, "cannot read the disk with O_DIRECT (cache \"none\")");
}

/* A second description of the same file: the first keeps its lock and its cache. */
static int open_direct(struct blk_file *f, bool readonly, struct err *err)
{
	char name[32];
	(void)snprintf(name, sizeof(name), "/proc/self/fd/%d", f->fd);
	f->direct_fd = open(name, (readonly ? O_RDONLY : O_RDWR) | O_DIRECT | O_CLOEXEC);
	if (f->direct_fd < 0)
		return errno == EINVAL
			       ? err_set(err, EINVAL,
					 "cache \"none\": the disk's file system has no O_DIRECT; "
					 "use \"writeback\"")
			       : err_sys(err, "cache \"none\": cannot open the disk with O_DIRECT");
	return find_alignment(f, err);
}

int blk_file_measure(const struct blk_file *f, uint64_t *ret_sectors, uint32_t *ret_tail_bytes)
{
	/* Also for block devices; reads and writes name their offset, so the position
	 * is nobody's. */
	off_t end = lseek(f->fd, 0, SEEK_END);
	if (end < 0)
		return -errno;
	*ret_sectors = (uint64_t)end / BLK_SECTOR_BYTES;
	*ret_tail_bytes = (uint32_t)((uint64_t)end % BLK_SECTOR_BYTES);
	return 0;
}

int blk_file_open(struct blk_file *f, const struct source *source, bool readonly,
		  enum blk_cache cache, struct err *err)
{
	*f = (struct blk_file){
		.fd = -1, .direct_fd = -1, .block_bytes = BLK_SECTOR_BYTES, .memory_align = 1
	};
	/* not to wait for the other end if it is a FIFO */
	int rc = source_open(source, (readonly ? O_RDONLY : O_RDWR) | O_NONBLOCK, err);
	if (rc < 0)
		return rc;
	f->fd = rc;
	rc = check_kind(f, readonly, err);
	if (rc == 0)
		rc = take_lock(f, readonly, err);
	if (rc == 0 && cache == BLK_NONE)
		rc = open_direct(f, readonly, err);
	if (rc == 0) {
		rc = blk_file_measure(f, &f->sectors, &f->tail_bytes);
		if (rc < 0)
			err_rc(err, rc, "cannot find the size of the disk");
	}
	if (rc == 0 && f->sectors == 0)
		rc = err_set(err, EINVAL, "the disk is smaller than a sector of %d bytes",
			     BLK_SECTOR_BYTES);
	if (rc < 0)
		blk_file_close(f);
	return rc;
}

void blk_file_close(struct blk_file *f)
{
	fd_close(&f->direct_fd);
	fd_close(&f->fd);
}

bool blk_file_is_aligned(const struct blk_file *f, uint64_t offset, const struct iovec *iov, int n)
{
	uintptr_t bits = offset;
	for (int i = 0; i < n; i++) {
		bits |= iov[i].iov_len;
		if ((uintptr_t)iov[i].iov_base & (f->memory_align - 1))
			return false;
	}
	return !(bits & (f->block_bytes - 1));
}
