/* SPDX-License-Identifier: Apache-2.0 */
/* blk_file - the raw file or block device behind a disk: opened, locked, measured.
 *
 * Nothing of its content is looked at: what a guest writes into sector 0 never
 * changes what the disk is (no formats but raw, never a guess). isola-vmm, before the
 * jail; blk_file_measure() also later. */
#pragma once

#include "isola/err.h"

#include "machine.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#define BLK_SECTOR_BYTES 512

/* Where a write is when the guest hears that it is done, and what a flush does:
 * writeback     in the host's page cache; a flush makes it durable
 * writethrough  durable; the guest has no flush to send
 * none          in the disk's own cache (O_DIRECT); a flush makes it durable
 * unsafe        in the page cache; a flush does nothing */
enum blk_cache { BLK_WRITEBACK, BLK_WRITETHROUGH, BLK_NONE, BLK_UNSAFE };

struct blk_file {
	int fd;        /* through the page cache; holds the lock */
	int direct_fd; /* O_DIRECT with BLK_NONE, else -1 */
	bool device;
	uint32_t block_bytes;  /* what O_DIRECT asks of offsets and lengths; else 512 */
	uint32_t memory_align; /* and of buffers */
	uint64_t sectors;
	uint32_t tail_bytes; /* behind the last whole sector: not shown to the guest */
};

/* Opens @source and takes the lock: shared when @readonly, else exclusive, so that
 * never two VMs write one disk nor one reads what another writes (-EBUSY). The lock
 * is an OFD lock: it goes with the last descriptor. */
int blk_file_open(struct blk_file *f, const struct source *source, bool readonly,
		  enum blk_cache cache, struct err *err);
void blk_file_close(struct blk_file *f);
/* The size as it is now. */
int blk_file_measure(const struct blk_file *f, uint64_t *ret_sectors, uint32_t *ret_tail_bytes);
/* Whether a transfer may go past the page cache. What may not goes through fd: the
 * kernel keeps both views of the file the same. */
bool blk_file_is_aligned(const struct blk_file *f, uint64_t offset, const struct iovec *iov, int n);
