/* SPDX-License-Identifier: Apache-2.0 */
/* proto - what devices are told, and the honest senders that cases build on. */
#pragma once

#include "virtio.h"

#include <linux/virtio_balloon.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_console.h>
#include <linux/virtio_vsock.h>

/* A disk's sector n begins with DISK_MARK + n (the program that starts us made it). */
#define DISK_MARK    0x49534f4c41000000ULL
#define DISK_SECTORS 8192ULL

struct blk_header {
	uint32_t type, ioprio;
	uint64_t sector;
};

struct blk_range {
	uint64_t sector;
	uint32_t n_sectors, flags;
};

#define NET_HEADER 12U

struct net_header {
	uint8_t flags, gso_type;
	uint16_t hdr_len, gso_size, csum_start, csum_offset, num_buffers;
};

struct vsock_header {
	uint64_t src_cid, dst_cid;
	uint32_t src_port, dst_port, len;
	uint16_t type, op;
	uint32_t flags, buf_alloc, fwd_cnt;
} __attribute__((packed));

#define FUSE_INIT 26

struct fuse_init {
	uint32_t len, opcode;
	uint64_t unique, node;
	uint32_t uid, gid, pid, padding;
	uint32_t major, minor, max_readahead, flags;
};

struct fuse_answer {
	uint32_t len;
	int32_t error;
	uint64_t unique;
};

/* Each uses descriptor @at of the queue that sends, and kicks. */
void net_send(struct vdev *d, unsigned int at, uint32_t frame_size);
void vsock_send(struct vdev *d, unsigned int at, uint16_t op, uint32_t port);
void console_control(struct vdev *d, unsigned int at, uint32_t id, uint16_t event, uint16_t value);
