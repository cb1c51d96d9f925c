/* SPDX-License-Identifier: Apache-2.0 */
/* test_dev_net - frames both ways, over a stand-in for a tap (a datagram socket keeps
 * frames whole as a tap does) and over passt's stream. */
#include "isola/fd.h"
#include "isola/json.h"

#include "vmm/dev_net.h"
#include "vmm/dev_net_priv.h"
#include "vmm/net_rx.h"

#include "rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_ids.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define BIT(n)  (1ULL << (n))
#define QUEUE   32
#define NEEDS   VIRTIO_CONFIG_S_NEEDS_RESET
#define HDR     ((uint32_t)NET_HDR_BYTES)
#define MRG     BIT(VIRTIO_NET_F_MRG_RXBUF)
#define STATUS  BIT(VIRTIO_NET_F_STATUS)
#define CTRLQ   BIT(VIRTIO_NET_F_CTRL_VQ)
#define TX      0x400000
#define RX      0x800000
#define RX_STEP 0x11000

extern const struct device_type device_net;

/* --- a tap that is a socket --- */

struct fake {
	struct net_backend b;
	uint64_t offloads;
	unsigned int pairs;
};

static ssize_t fake_receive(struct net_backend *b, unsigned int pair, const struct iovec *iov,
			    int n)
{
	ssize_t got = readv(b->fds[pair], iov, n);
	return got < 0 ? -errno : got;
}

static int fake_send(struct net_backend *b, unsigned int pair, const struct iovec *iov, int n)
{
	assert_int_equal(iov[0].iov_len, NET_HDR_BYTES);
	return writev(b->fds[pair], iov, n) < 0 ? -errno : 0;
}

static int fake_offloads(struct net_backend *b, uint64_t features)
{
	((struct fake *)b)->offloads = features;
	return 0;
}

static int fake_pairs(struct net_backend *b, unsigned int n)
{
	((struct fake *)b)->pairs = n;
	return 0;
}

static void fake_free(struct net_backend *b)
{
	for (unsigned int i = 0; i < b->n_pairs; i++)
		fd_close(&b->fds[i]);
	free(b);
}

static const struct net_backend_type fake_type = {
	.receive = fake_receive,
	.send = fake_send,
	.set_offloads = fake_offloads,
	.set_pairs = fake_pairs,
	.free = fake_free,
};

/* --- the fixture --- */

struct fixture {
	struct rig rig;
	struct device *dev;
	struct fake *fake;
	struct guestq q[5];
	unsigned int n_pairs;
	int host[2];
};

static uint32_t start(struct fixture *f, uint64_t features, unsigned int n_queues)
{
	gpa_t at = 0x10000;
	for (unsigned int i = 0; i < n_queues; i++)
		at = guestq_init(&f->q[i], &f->rig, at, QUEUE);
	return rig_start(&f->rig, 0, features, f->q, n_queues);
}

static const struct net_args plain = { .id = "net0", .mac = { 2, 0, 0, 0, 0, 1 }, .mtu = 1400 };

static struct fixture *make(unsigned int n_pairs, const struct net_args *args)
{
	struct err err = ERR_INIT;
	struct fixture *f = calloc(1, sizeof(*f));
	assert_non_null(f);
	rig_init(&f->rig, 16ULL << 20);
	f->fake = calloc(1, sizeof(*f->fake));
	f->fake->b = (struct net_backend){
		.type = &fake_type,
		.features = MRG | BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_HOST_TSO4) |
			    BIT(VIRTIO_NET_F_GUEST_CSUM) | BIT(VIRTIO_NET_F_GUEST_TSO4) |
			    BIT(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS),
		.n_pairs = n_pairs,
	};
	f->n_pairs = n_pairs;
	f->host[1] = -1;
	for (unsigned int i = 0; i < n_pairs; i++) {
		int pair[2], size = 1 << 20;
		assert_int_equal(
			socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
		(void)setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
		f->host[i] = pair[0];
		f->fake->b.fds[i] = pair[1];
	}
	assert_int_equal(net_make(&f->rig.vm, args, &f->fake->b, &f->dev, &err), 0);
	return f;
}

static int setup(void **state)
{
	struct fixture *f = make(1, &plain);
	assert_int_equal(start(f, MRG | CTRLQ, 3) & NEEDS, 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	device_net.free(f->dev);
	rig_fini(&f->rig);
	fd_close(&f->host[0]);
	fd_close(&f->host[1]);
	free(f);
	return 0;
}

static int64_t stat_of(struct fixture *f, const char *name)
{
	json_object *o = device_net.stats(f->dev);
	int64_t n = json_i64_or(o, name, -1);
	json_object_put(o);
	return n;
}

static void frame_init(uint8_t *frame, size_t size, unsigned int seed)
{
	for (size_t i = 0; i < size; i++)
		frame[i] = (uint8_t)(i * 13 + seed);
}

static void post(struct fixture *f, unsigned int queue, uint32_t size)
{
	const struct guestbuf buf = { RX + (gpa_t)RX_STEP * (f->q[queue].avail_idx % QUEUE), size };
	(void)guestq_add(&f->q[queue], &buf, 0, 1);
}

static void host_sends(struct fixture *f, unsigned int pair, const uint8_t *frame, size_t size)
{
	struct virtio_net_hdr_v1 hdr = { .flags = 0 };
	const struct iovec iov[] = { { &hdr, sizeof(hdr) }, { (void *)(uintptr_t)frame, size } };
	assert_int_equal(writev(f->host[pair], iov, 2), sizeof(hdr) + size);
	rig_turn(&f->rig);
}

/* A whole frame out of the used buffers; its size, 0 without one. */
static size_t guest_takes(struct fixture *f, unsigned int queue, uint8_t *ret, size_t size)
{
	uint32_t id, len;
	uint16_t n = 1;
	size_t done = 0;
	rig_turn(&f->rig);
	for (uint16_t i = 0; i < n; i++) {
		struct vring_desc desc;
		uint32_t skip = 0;
		if (!guestq_used(&f->q[queue], &id, &len)) {
			assert_int_equal(i, 0);
			return 0;
		}
		rig_get(&f->rig, f->q[queue].desc + sizeof(desc) * id, &desc, sizeof(desc));
		if (i == 0) {
			struct virtio_net_hdr_v1 hdr;
			rig_get(&f->rig, desc.addr, &hdr, sizeof(hdr));
			n = hdr.num_buffers;
			skip = HDR;
		}
		assert_true(done + len - skip <= size);
		rig_get(&f->rig, desc.addr + skip, ret + done, len - skip);
		done += len - skip;
	}
	return done;
}

static void guest_sends_header(struct fixture *f, unsigned int queue,
			       const struct virtio_net_hdr_v1 *hdr, const uint8_t *frame,
			       size_t size)
{
	uint32_t id, len;
	while (guestq_used(&f->q[queue], &id, &len))
		;
	gpa_t at = TX + (gpa_t)RX_STEP * (f->q[queue].avail_idx % QUEUE);
	rig_put(&f->rig, at, hdr, sizeof(*hdr));
	rig_put(&f->rig, at + HDR, frame, size);
	const struct guestbuf bufs[] = { { at, HDR }, { at + HDR, (uint32_t)size } };
	(void)guestq_add(&f->q[queue], bufs, size ? 2 : 1, 0);
	rig_kick(&f->rig, 0, queue);
}

static void guest_sends(struct fixture *f, unsigned int queue, const uint8_t *frame, size_t size)
{
	const struct virtio_net_hdr_v1 hdr = { .flags = 0 };
	guest_sends_header(f, queue, &hdr, frame, size);
}

static ssize_t host_takes(struct fixture *f, unsigned int pair, uint8_t *ret, size_t size)
{
	struct virtio_net_hdr_v1 hdr;
	struct iovec iov[] = { { &hdr, sizeof(hdr) }, { ret, size } };
	ssize_t n = readv(f->host[pair], iov, 2);
	return n < 0 ? n : n - (ssize_t)sizeof(hdr);
}

/* --- frames --- */

static void frames__both_ways(void **state)
{
	struct fixture *f = *state;
	uint8_t frame[1514], got[2048];
	frame_init(frame, sizeof(frame), 1);
	post(f, 0, 2048);
	rig_kick(&f->rig, 0, 0);
	host_sends(f, 0, frame, sizeof(frame));
	assert_int_equal(guest_takes(f, 0, got, sizeof(got)), sizeof(frame));
	assert_memory_equal(got, frame, sizeof(frame));
	guest_sends(f, 1, frame, sizeof(frame));
	assert_int_equal(host_takes(f, 0, got, sizeof(got)), sizeof(frame));
	assert_memory_equal(got, frame, sizeof(frame));
	assert_int_equal(stat_of(f, "rx_bytes"), sizeof(frame));
	assert_int_equal(stat_of(f, "tx_bytes"), sizeof(frame));
}

/* A large frame over many small buffers; straight, and by way of our buffer. */
static void frames__merged_buffers(void **state)
{
	static uint8_t frame[65000], got[70000];
	struct fixture *f = *state;
	frame_init(frame, sizeof(frame), 3);
	/* 32 x 1024 is too little for the largest frame: this goes through ours */
	for (unsigned int i = 0; i < QUEUE; i++)
		post(f, 0, 1024);
	rig_kick(&f->rig, 0, 0);
	for (unsigned int i = 0; i < 20; i++) {
		size_t size = 1 + i * 1000;
		host_sends(f, 0, frame, size);
		assert_int_equal(guest_takes(f, 0, got, sizeof(got)), size);
		assert_memory_equal(got, frame, size);
		while (f->q[0].avail_idx - f->q[0].last_used < QUEUE)
			post(f, 0, 1024);
		rig_kick(&f->rig, 0, 0);
	}
	/* 32 x 4096 is enough: straight into the guest */
	assert_int_equal(start(f, MRG | CTRLQ, 3) & NEEDS, 0);
	for (unsigned int i = 0; i < QUEUE; i++)
		post(f, 0, 4096);
	rig_kick(&f->rig, 0, 0);
	for (unsigned int i = 0; i < 20; i++) {
		size_t size = i % 2 ? sizeof(frame) : 100 + i;
		host_sends(f, 0, frame, size);
		assert_int_equal(guest_takes(f, 0, got, sizeof(got)), size);
		assert_memory_equal(got, frame, size);
		while (f->q[0].avail_idx - f->q[0].last_used < QUEUE)
			post(f, 0, 4096);
		rig_kick(&f->rig, 0, 0);
	}
	assert_int_equal(stat_of(f, "rx_dropped"), 0);
}

static void frames__without_merging(void **state)
{
	struct fixture *f = *state;
	uint8_t frame[3000], got[4096];
	frame_init(frame, sizeof(frame), 5);
	assert_int_equal(start(f, 0, 2) & NEEDS, 0);
	for (unsigned int i = 0; i < 4; i++)
		post(f, 0, 1526);
	rig_kick(&f->rig, 0, 0);
	host_sends(f, 0, frame, 1514);
	assert_int_equal(guest_takes(f, 0, got, sizeof(got)), 1514);
	/* too large for one buffer: lost, the next one comes */
	host_sends(f, 0, frame, 1515);
	host_sends(f, 0, frame, 60);
	assert_int_equal(guest_takes(f, 0, got, sizeof(got)), 60);
	assert_int_equal(stat_of(f, "rx_dropped"), 1);
}

/* CVE-2020-16843: input that waits while there are no buffers is not forgotten. */
static void frames__more_than_buffers_come_later(void **state)
{
	struct fixture *f = *state;
	uint8_t frame[100], got[256];
	for (unsigned int i = 0; i < 10; i++) {
		frame_init(frame, sizeof(frame), i);
		host_sends(f, 0, frame, sizeof(frame));
	}
	for (unsigned int i = 0; i < 3; i++)
		rig_turn(&f->rig);
	for (unsigned int i = 0; i < 10; i++) {
		frame_init(frame, sizeof(frame), i);
		assert_int_equal(guest_takes(f, 0, got, sizeof(got)), 0);
		post(f, 0, 256);
		rig_kick(&f->rig, 0, 0);
		assert_int_equal(guest_takes(f, 0, got, sizeof(got)), sizeof(frame));
		assert_memory_equal(got, frame, sizeof(frame));
	}
}

/* A ring that can never hold the frame loses it, and goes on. */
static void frames__larger_than_the_ring(void **state)
{
	static uint8_t frame[2000], got[4096];
	struct fixture *f = *state;
	frame_init(frame, sizeof(frame), 5);
	for (unsigned int i = 0; i < QUEUE; i++)
		post(f, 0, 32);
	rig_kick(&f->rig, 0, 0);
	host_sends(f, 0, frame, 2000);
	host_sends(f, 0, frame, 100);
	assert_int_equal(guest_takes(f, 0, got, sizeof(got)), 100);
	assert_int_equal(stat_of(f, "rx_dropped"), 1);
}

static void frames__many_in_one_turn(void **state)
{
	struct fixture *f = *state;
	uint8_t frame[60], got[100];
	const struct virtio_net_hdr_v1 hdr = { .flags = 0 };
	frame_init(frame, sizeof(frame), 1);
	for (unsigned int i = 0; i < QUEUE; i++) {
		gpa_t at = TX + (gpa_t)RX_STEP * i;
		const struct guestbuf buf = { at, HDR + sizeof(frame) };
		rig_put(&f->rig, at, &hdr, sizeof(hdr));
		rig_put(&f->rig, at + HDR, frame, sizeof(frame));
		(void)guestq_add(&f->q[1], &buf, 1, 0);
	}
	rig_kick(&f->rig, 0, 1);
	unsigned int n = 0;
	for (int i = 0; i < 20; i++) {
		while (host_takes(f, 0, got, sizeof(got)) == sizeof(frame))
			n++;
		rig_turn(&f->rig);
	}
	assert_int_equal(n, QUEUE);
	assert_int_equal(guestq_used_idx(&f->q[1]), QUEUE);
}

/* --- malformed --- */

static void headers__only_what_was_negotiated(void **state)
{
	static const struct virtio_net_hdr_v1 bad[] = {
		{ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM },
		{ .gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 1400 },
		{ .gso_type = VIRTIO_NET_HDR_GSO_TCPV6 },
		{ .gso_type = VIRTIO_NET_HDR_GSO_UDP },
		{ .gso_type = VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN },
		{ .gso_type = VIRTIO_NET_HDR_GSO_ECN },
		{ .gso_type = 0x7f },
		{ .gso_type = 0xff },
	};
	struct fixture *f = *state;
	uint8_t frame[100], got[256];
	frame_init(frame, sizeof(frame), 1);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		guest_sends_header(f, 1, &bad[i], frame, sizeof(frame));
	assert_int_equal(host_takes(f, 0, got, sizeof(got)), -1);
	assert_int_equal(stat_of(f, "tx_dropped"), sizeof(bad) / sizeof(bad[0]));
	assert_int_equal(
		start(f, MRG | BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_HOST_TSO4), 2) & NEEDS, 0);
	guest_sends_header(f, 1, &bad[0], frame, sizeof(frame));
	guest_sends_header(f, 1, &bad[1], frame, sizeof(frame));
	assert_int_equal(host_takes(f, 0, got, sizeof(got)), sizeof(frame));
	assert_int_equal(host_takes(f, 0, got, sizeof(got)), sizeof(frame));
	assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_STATUS) & NEEDS, 0);
}

static void frames__too_short_or_long_are_lost(void **state)
{
	struct fixture *f = *state;
	static const uint32_t sizes[] = { HDR, HDR + 13, HDR + NET_FRAME_MAX + 1, 0x100000 };
	uint8_t got[256];
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		const struct guestbuf buf = { TX, sizes[i] };
		(void)guestq_add(&f->q[1], &buf, 1, 0);
		rig_kick(&f->rig, 0, 1);
	}
	assert_int_equal(guestq_used_idx(&f->q[1]), sizeof(sizes) / sizeof(sizes[0]));
	assert_int_equal(host_takes(f, 0, got, sizeof(got)), -1);
	assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_STATUS) & NEEDS, 0);
}

static void chains__broken_need_a_reset(void **state)
{
	static const struct {
		unsigned int queue, n_out, n_in;
		struct guestbuf bufs[2];
	} bad[] = {
		{ 1, 1, 0, { { TX, HDR - 1 } } },        { 1, 0, 1, { { TX, 100 } } },
		{ 1, 1, 1, { { TX, 100 }, { RX, 1 } } }, { 0, 1, 0, { { TX, 2048 } } },
		{ 0, 0, 1, { { RX, HDR - 1 } } },        { 2, 1, 0, { { TX, 10 } } },
		{ 2, 1, 1, { { TX, 1 }, { RX, 1 } } },   { 2, 0, 1, { { RX, 1 } } },
	};
	struct fixture *f = *state;
	uint8_t frame[60] = "";
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(start(f, MRG | CTRLQ, 3) & NEEDS, 0);
		(void)guestq_add(&f->q[bad[i].queue], bad[i].bufs, bad[i].n_out, bad[i].n_in);
		rig_kick(&f->rig, 0, bad[i].queue);
		if (bad[i].queue == 0)
			host_sends(f, 0, frame, sizeof(frame));
		assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_STATUS) & NEEDS, NEEDS);
	}
	assert_int_equal(start(f, MRG | CTRLQ, 3) & NEEDS, 0);
	guest_sends(f, 1, frame, sizeof(frame));
	assert_int_equal(host_takes(f, 0, frame, sizeof(frame)), sizeof(frame));
}

/* --- the control queue --- */

static uint8_t control(struct fixture *f, unsigned int queue, uint8_t class, uint8_t cmd,
		       const void *data, uint32_t size)
{
	const struct virtio_net_ctrl_hdr hdr = { .class = class, .cmd = cmd };
	const struct guestbuf bufs[] = { { TX, sizeof(hdr) + size }, { RX, 1 } };
	uint8_t ack = 0xee;
	uint32_t id, len;
	rig_put(&f->rig, TX, &hdr, sizeof(hdr));
	if (size)
		rig_put(&f->rig, TX + sizeof(hdr), data, size);
	(void)guestq_add(&f->q[queue], bufs, 1, 1);
	rig_kick(&f->rig, 0, queue);
	assert_true(guestq_used(&f->q[queue], &id, &len));
	assert_int_equal(len, 1);
	rig_get(&f->rig, RX, &ack, 1);
	return ack;
}

static void control__offloads(void **state)
{
	struct fixture *f = *state;
	uint64_t want = BIT(VIRTIO_NET_F_GUEST_CSUM) | BIT(VIRTIO_NET_F_GUEST_TSO4);
	assert_int_equal(
		start(f, MRG | CTRLQ | want | BIT(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS), 3) & NEEDS, 0);
	assert_int_equal(f->fake->offloads, want);
	uint64_t less = BIT(VIRTIO_NET_F_GUEST_CSUM), more = want | BIT(VIRTIO_NET_F_GUEST_UFO);
	assert_int_equal(control(f, 2, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, &less, 8), VIRTIO_NET_OK);
	assert_int_equal(f->fake->offloads, less);
	assert_int_equal(control(f, 2, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, &more, 8),
			 VIRTIO_NET_ERR);
	assert_int_equal(control(f, 2, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, &less, 7),
			 VIRTIO_NET_ERR);
	assert_int_equal(control(f, 2, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 1, &less, 8),
			 VIRTIO_NET_ERR);
	assert_int_equal(control(f, 2, 99, 99, NULL, 0), VIRTIO_NET_ERR);
	assert_int_equal(control(f, 2, VIRTIO_NET_CTRL_MQ, 0, &less, 2), VIRTIO_NET_ERR);
	assert_int_equal(f->fake->offloads, less);
	rig_write(&f->rig, 0, VIRTIO_MMIO_STATUS, 0);
	assert_int_equal(f->fake->offloads, 0);
}

static void control__queue_pairs(void **state)
{
	struct fixture *f = make(2, &plain);
	uint8_t frame[60], got[256];
	frame_init(frame, sizeof(frame), 9);
	(void)state;
	assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_CONFIG + 8) & 0xffff, 2);
	assert_int_equal(start(f, MRG | CTRLQ | BIT(VIRTIO_NET_F_MQ), 5) & NEEDS, 0);
	post(f, 2, 256);
	rig_kick(&f->rig, 0, 2);
	host_sends(f, 1, frame, sizeof(frame));
	assert_int_equal(guest_takes(f, 2, got, sizeof(got)), 0); /* not active yet */
	static const struct {
		uint16_t n;
		uint8_t ack;
	} asks[] = { { 0, 1 }, { 3, 1 }, { 0x8000, 1 }, { 2, 0 } };
	for (size_t i = 0; i < sizeof(asks) / sizeof(asks[0]); i++)
		assert_int_equal(control(f, 4, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET,
					 &asks[i].n, 2),
				 asks[i].ack);
	assert_int_equal(f->fake->pairs, 2);
	assert_int_equal(guest_takes(f, 2, got, sizeof(got)), sizeof(frame));
	guest_sends(f, 3, frame, sizeof(frame));
	assert_int_equal(host_takes(f, 1, got, sizeof(got)), sizeof(frame));
	/* without MQ the control queue is the third */
	assert_int_equal(start(f, MRG | CTRLQ, 3) & NEEDS, 0);
	assert_int_equal(f->fake->pairs, 1);
	assert_int_equal(control(f, 2, VIRTIO_NET_CTRL_MQ, 0, &asks[3].n, 2), VIRTIO_NET_ERR);
	void *fixture = f;
	(void)teardown(&fixture);
}

static void config__mac_status_mtu(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_CONFIG), 2);
	assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_CONFIG + 4), 1u << 16 | 0x0100);
	assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_CONFIG + 8), 1400u << 16 | 1);
}

/* --- limits --- */

static bool all_through(void *arg)
{
	struct fixture *f = arg;
	return guestq_used_idx(&f->q[0]) == 8 && guestq_used_idx(&f->q[1]) == 8;
}

static void limits__hold_back_and_let_go(void **state)
{
	/* 4 frames at once, then one every 10 ms; both ways */
	const struct net_args args = {
		.id = "net0",
		.rx.ops = { .size = 4, .refill_ms = 40 },
		.tx.ops = { .size = 4, .refill_ms = 40 },
	};
	struct fixture *f = make(1, &args);
	uint8_t frame[60];
	(void)state;
	frame_init(frame, sizeof(frame), 9);
	assert_int_equal(start(f, MRG, 2) & NEEDS, 0);
	for (unsigned int i = 0; i < QUEUE; i++)
		post(f, 0, 2048);
	rig_kick(&f->rig, 0, 0);
	uint64_t began = uv_hrtime();
	for (unsigned int i = 0; i < 8; i++) {
		host_sends(f, 0, frame, sizeof(frame));
		guest_sends(f, 1, frame, sizeof(frame));
	}
	rig_wait(&f->rig, all_through, f, 3000);
	assert_true(uv_hrtime() - began >= 30 * 1000000ULL);
	assert_true(stat_of(f, "rx_limited") > 0);
	assert_true(stat_of(f, "tx_limited") > 0);
	struct err err = ERR_INIT;
	json_object *o = json_tokener_parse("{\"id\":\"net0\",\"rate_rx\":{},\"rate_tx\":{}}");
	assert_int_equal(device_net.update(f->dev, "net", o, &err), 0);
	json_object_put(o);
	int64_t before = stat_of(f, "rx_limited");
	for (unsigned int i = 0; i < 16; i++)
		host_sends(f, 0, frame, sizeof(frame));
	assert_int_equal(stat_of(f, "rx_limited"), before);
	void *fixture = f;
	(void)teardown(&fixture);
}

/* Bytes are owed: what came in large is paid for by waiting. */
static void limits__bytes_are_owed(void **state)
{
	const struct net_args args = {
		.id = "net0",
		.rx.bandwidth = { .size = 1000, .refill_ms = 100 },
	};
	struct fixture *f = make(1, &args);
	static uint8_t frame[1500];
	(void)state;
	assert_int_equal(start(f, MRG, 2) & NEEDS, 0);
	for (unsigned int i = 0; i < QUEUE; i++)
		post(f, 0, 4096);
	rig_kick(&f->rig, 0, 0);
	uint64_t began = uv_hrtime();
	for (unsigned int i = 0; i < 4; i++)
		host_sends(f, 0, frame, sizeof(frame));
	while (guestq_used_idx(&f->q[0]) < 4 && uv_hrtime() - began < 3000 * 1000000ULL)
		rig_turn(&f->rig);
	/* 4 x 1500, less 1000 at first and the last one, which is still owed */
	assert_int_equal(guestq_used_idx(&f->q[0]), 4);
	assert_true(uv_hrtime() - began >= 300 * 1000000ULL);
	void *fixture = f;
	(void)teardown(&fixture);
}

/* --- life --- */

static void on_quiet(void *arg)
{
	*(bool *)arg = true;
}

static void pause__keeps_what_comes(void **state)
{
	struct fixture *f = *state;
	uint8_t frame[60], got[256];
	bool quiet = false;
	frame_init(frame, sizeof(frame), 2);
	post(f, 0, 2048);
	rig_kick(&f->rig, 0, 0);
	device_net.quiesce(f->dev, on_quiet, &quiet);
	assert_true(quiet);
	host_sends(f, 0, frame, sizeof(frame));
	guest_sends(f, 1, frame, sizeof(frame));
	assert_int_equal(guestq_used_idx(&f->q[0]), 0);
	assert_int_equal(host_takes(f, 0, got, sizeof(got)), -1);
	device_net.resume(f->dev);
	assert_int_equal(guest_takes(f, 0, got, sizeof(got)), sizeof(frame));
	assert_int_equal(host_takes(f, 0, got, sizeof(got)), sizeof(frame));
}

/* Buffers that were held are not written to after a reset. */
static void reset__forgets_held_buffers(void **state)
{
	struct fixture *f = *state;
	uint8_t frame[60], byte = 0;
	memset(frame, 0xff, sizeof(frame));
	for (unsigned int i = 0; i < QUEUE; i++)
		post(f, 0, 2048);
	rig_kick(&f->rig, 0, 0);
	host_sends(f, 0, frame, sizeof(frame));
	assert_int_equal(guestq_used_idx(&f->q[0]), 1);
	rig_write(&f->rig, 0, VIRTIO_MMIO_STATUS, 0);
	host_sends(f, 0, frame, sizeof(frame));
	rig_get(&f->rig, RX + RX_STEP + HDR, &byte, 1);
	assert_int_equal(byte, 0);
}

/* --- the stream --- */

static struct fixture *make_stream(void)
{
	struct err err = ERR_INIT;
	struct fixture *f = calloc(1, sizeof(*f));
	char text[64];
	int pair[2];
	assert_non_null(f);
	rig_init(&f->rig, 16ULL << 20);
	f->host[1] = -1;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair),
			 0);
	f->host[0] = pair[0];
	(void)snprintf(text, sizeof(text), "{\"id\":\"n\",\"socket\":{\"fd\":%d}}", pair[1]);
	json_object *conf = json_tokener_parse(text);
	assert_int_equal(device_net.check(conf, &err), 0);
	assert_int_equal(device_net.make(&f->rig.vm, conf, &f->dev, &err), 0);
	json_object_put(conf);
	assert_int_equal(start(f, MRG | BIT(VIRTIO_NET_F_STATUS), 2) & NEEDS, 0);
	for (unsigned int i = 0; i < QUEUE; i++)
		post(f, 0, 4096);
	rig_kick(&f->rig, 0, 0);
	return f;
}

static void stream_send(struct fixture *f, const uint8_t *frame, uint32_t size, size_t cut)
{
	static uint8_t buf[70000];
	uint32_t length = htonl(size);
	memcpy(buf, &length, 4);
	memcpy(buf + 4, frame, size);
	for (size_t at = 0; at < size + 4;) {
		size_t n = size + 4 - at < cut ? size + 4 - at : cut;
		assert_int_equal(send(f->host[0], buf + at, n, 0), n);
		at += n;
		rig_turn(&f->rig);
	}
}

static void stream__frames_both_ways(void **state)
{
	static uint8_t frame[65535 + 18], got[70000];
	struct fixture *f = make_stream();
	(void)state;
	frame_init(frame, sizeof(frame), 1);
	/* no offload is offered over a stream */
	assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_DEVICE_FEATURES) & 0x7f81, 0);
	/* nor an address given: one is made, of one interface and of our own making */
	assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_CONFIG) & 3, 2);
	static const uint32_t sizes[] = { 60, 14, 1514, 9000, 65553 };
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		stream_send(f, frame, sizes[i], i == 2 ? 7 : 100000);
		assert_int_equal(guest_takes(f, 0, got, sizeof(got)), sizes[i]);
		assert_memory_equal(got, frame, sizes[i]);
		while (f->q[0].avail_idx - f->q[0].last_used < QUEUE)
			post(f, 0, 4096);
		rig_kick(&f->rig, 0, 0);
		guest_sends(f, 1, frame, sizes[i]);
		uint32_t length = 0;
		size_t n = 0;
		while (n < 4 + sizes[i]) {
			ssize_t more = recv(f->host[0], got + n, sizeof(got) - n, 0);
			n += more > 0 ? (size_t)more : 0;
			rig_turn(&f->rig);
		}
		memcpy(&length, got, 4);
		assert_int_equal(ntohl(length), sizes[i]);
		assert_memory_equal(got + 4, frame, sizes[i]);
	}
	void *fixture = f;
	(void)teardown(&fixture);
}

/* A peer that does not read: frames stay whole, the guest waits, nothing is lost. */
static void stream__slow_peer(void **state)
{
	static uint8_t frame[30000], got[70000];
	struct fixture *f = make_stream();
	(void)state;
	unsigned int sent = 0, received = 0;
	for (; guestq_used_idx(&f->q[1]) == f->q[1].avail_idx; sent++) {
		assert_true(sent < 1000);
		frame_init(frame, sizeof(frame), sent);
		guest_sends(f, 1, frame, sizeof(frame));
	}
	for (size_t n = 0; received < sent;) {
		ssize_t more = recv(f->host[0], got + n, 4 + sizeof(frame) - n, 0);
		n += more > 0 ? (size_t)more : 0;
		rig_turn(&f->rig);
		if (n < 4 + sizeof(frame))
			continue;
		frame_init(frame, sizeof(frame), received++);
		assert_memory_equal(got + 4, frame, sizeof(frame));
		n = 0;
	}
	assert_int_equal(guestq_used_idx(&f->q[1]), f->q[1].avail_idx);
	void *fixture = f;
	(void)teardown(&fixture);
}

static void stream__bad_lengths_pull_the_cable(void **state)
{
	static const uint32_t bad[] = { 0, 13, NET_FRAME_MAX + 1, UINT32_MAX };
	(void)state;
	for (size_t i = 0; i <= sizeof(bad) / sizeof(bad[0]); i++) {
		struct fixture *f = make_stream();
		uint8_t frame[60] = "";
		(void)rig_irqs(&f->rig, 0);
		if (i < sizeof(bad) / sizeof(bad[0])) {
			uint32_t length = htonl(bad[i]);
			assert_int_equal(send(f->host[0], &length, 4, 0), 4);
		} else {
			fd_close(&f->host[0]);
		}
		rig_turn(&f->rig);
		assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_CONFIG + 4) >> 16, 0);
		assert_true(rig_irqs(&f->rig, 0) > 0);
		assert_int_equal(f->rig.n_warns, 1);
		/* what the guest sends is lost, and does not wait for ever */
		guest_sends(f, 1, frame, sizeof(frame));
		assert_int_equal(guestq_used_idx(&f->q[1]), 1);
		assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_STATUS) & NEEDS, 0);
		void *fixture = f;
		(void)teardown(&fixture);
	}
}

static void machine_file__names_what_is_wrong(void **state)
{
	static const struct {
		const char *conf, *word;
	} bad[] = {
		{ "{\"id\":\"n\"}", "tap or socket" },
		{ "{\"id\":\"n\",\"tap\":{\"fd\":9},\"socket\":{\"fd\":8}}", "tap or socket" },
		{ "{\"tap\":{\"fd\":9}}", "id" },
		{ "{\"id\":\"n\",\"tap\":{\"fd\":9},\"mac\":\"02:00\"}", "mac" },
		{ "{\"id\":\"n\",\"tap\":{\"fd\":9},\"mac\":\"01:00:00:00:00:01\"}", "mac" },
		{ "{\"id\":\"n\",\"tap\":{\"fd\":9},\"mac\":\"02:00:00:00:00:0x\"}", "mac" },
		{ "{\"id\":\"n\",\"tap\":{\"fd\":9},\"mtu\":67}", "mtu" },
		{ "{\"id\":\"n\",\"tap\":{\"fd\":9},\"mtu\":65536}", "mtu" },
		{ "{\"id\":\"n\",\"tap\":{\"fd\":9},\"queues\":2}", "queues" },
		{ "{\"id\":\"n\",\"tap\":[{\"fd\":9},{\"fd\":8}],\"queues\":3}", "queues" },
		{ "{\"id\":\"n\",\"tap\":[]}", "tap" },
		{ "{\"id\":\"n\",\"socket\":{\"fd\":9},\"queues\":2}", "queues" },
		{ "{\"id\":\"n\",\"tap\":{\"path\":\"/dev/null\"}}", "/sys/class/net" },
		{ "{\"id\":\"n\",\"tap\":{\"fd\":9},\"rate_rx\":{\"ops\":{\"size\":0}}}",
		  "rate_rx" },
		{ "{\"id\":\"n\",\"tap\":{\"fd\":9},\"x\":1}", "x" },
		{ "{\"id\":\"n\",\"tap\":{\"fd\":9},\"spare\":true}", "spare" },
		{ "{\"id\":\"n\",\"spare\":true,\"queues\":2}", "queues" },
		{ "{\"id\":\"n\",\"tap\":{\"fd\":9},\"acpi\":true}", "acpi" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct err err = ERR_INIT;
		json_object *conf = json_tokener_parse(bad[i].conf);
		assert_true(device_net.check(conf, &err) < 0);
		assert_non_null(strstr(err.text, bad[i].word));
		json_object_put(conf);
	}
}

/* --- places --- */

static bool link_is_up(struct fixture *f)
{
	cleanup_json json_object *o = device_net.stats(f->dev);
	return json_bool_or(o, "link_up", false);
}

static uint32_t device_id(struct fixture *f)
{
	return rig_read(&f->rig, 0, VIRTIO_MMIO_DEVICE_ID);
}

/* No driver gets it to do anything. */
static void assert_is_empty(struct fixture *f)
{
	assert_int_equal(device_id(f), 0);
	assert_int_equal(start(f, MRG | CTRLQ, 3), 0);
	rig_kick(&f->rig, 0, 1);
	bool quiet = false;
	device_net.quiesce(f->dev, on_quiet, &quiet);
	device_net.resume(f->dev);
	assert_int_equal(link_is_up(f), false);
	assert_int_equal(f->rig.n_warns, 0);
}

static void unplug__leaves_an_empty_place(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	uint8_t frame[100], got[200];
	frame_init(frame, sizeof(frame), 1);
	guest_sends(f, 1, frame, sizeof(frame));
	assert_int_equal(host_takes(f, 0, got, sizeof(got)), sizeof(frame));
	assert_int_equal(device_id(f), VIRTIO_ID_NET);
	assert_int_equal(device_net.unplug(f->dev, &err), 0);
	assert_is_empty(f);
	rig_turn(&f->rig);
	assert_is_empty(f);
	/* The other end sees that nobody is there. */
	assert_int_equal(send(f->host[0], "x", 1, MSG_NOSIGNAL), -1);
	assert_int_equal(device_net.unplug(f->dev, &err), 0);
}

static void unplug__and_the_end_at_once(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	assert_int_equal(device_net.unplug(f->dev, &err), 0);
	/* teardown() frees it before the loop has turned. */
}

static struct fixture *make_spare(void)
{
	struct err err = ERR_INIT;
	struct fixture *f = calloc(1, sizeof(*f));
	assert_non_null(f);
	rig_init(&f->rig, 16ULL << 20);
	f->host[0] = f->host[1] = -1;
	assert_int_equal(net_make(&f->rig.vm, &plain, NULL, &f->dev, &err), 0);
	return f;
}

static int plug(struct fixture *f, const char *args, int *fd)
{
	struct err err = ERR_INIT;
	cleanup_json json_object *o = json_tokener_parse(args);
	int rc = device_net.plug(f->dev, o, fd, &err);
	assert_true(rc == 0 || *err.text);
	return rc;
}

static void plug__refuses_what_is_no_tap(void **state)
{
	struct fixture *f = make_spare();
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_is_empty(f);
	assert_int_equal(plug(f, "{}", &fd), -EINVAL);
	assert_int_equal(plug(f, "{\"mac\":\"03:00:00:00:00:01\"}", &fd), -EINVAL);
	assert_int_equal(plug(f, "{\"mac\":\"02:00:00:00:00:01\",\"mtu\":1}", &fd), -EINVAL);
	assert_true(fd >= 0);
	assert_true(plug(f, "{\"mac\":\"02:00:00:00:00:01\"}", &fd) < 0);
	assert_int_equal(fd, -1);
	assert_is_empty(f);
	*state = f;
	assert_int_equal(teardown(state), 0);
}

static int open_tap(void)
{
	struct ifreq req = { .ifr_name = "tap0",
			     .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE };
	if (unshare(CLONE_NEWNET) < 0)
		return -1;
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &req) == 0)
		return fd;
	(void)close(fd);
	return -1;
}

static void plug__makes_a_device_again_and_again(void **state)
{
	struct err err = ERR_INIT;
	struct fixture *f = make_spare();
	*state = f;
	for (int i = 0; i < 3; i++) {
		int fd = open_tap(), other = -1;
		if (fd < 0) {
			assert_int_equal(teardown(state), 0);
			skip();
		}
		assert_int_equal(plug(f, "{\"mac\":\"02:00:00:00:00:07\",\"mtu\":1300}", &fd), 0);
		assert_int_equal(fd, -1);
		assert_int_equal(device_id(f), VIRTIO_ID_NET);
		assert_int_equal(plug(f, "{\"mac\":\"02:00:00:00:00:08\"}", &other), -EBUSY);
		assert_int_equal(start(f, MRG | CTRLQ | BIT(VIRTIO_NET_F_MTU), 3) & NEEDS, 0);
		uint32_t mac = rig_read(&f->rig, 0, VIRTIO_MMIO_CONFIG + 4);
		assert_int_equal((mac >> 8) & 0xff, 7);
		assert_int_equal(link_is_up(f), true);
		assert_int_equal(device_net.unplug(f->dev, &err), 0);
		assert_is_empty(f);
		/* At once, and after a turn of the loop. */
		if (i > 0)
			rig_turn(&f->rig);
		assert_is_empty(f);
	}
	assert_int_equal(teardown(state), 0);
}

/* A network that goes takes the interface along; the guest keeps the device, and knows it by
 * its address. */
static void plug__puts_a_cable_in_again(void **state)
{
	struct fixture *f = make_spare();
	struct net *net = container_of(f->dev, struct net, v.device);
	*state = f;
	net->place = 2; /* as of a machine file's "acpi" */
	for (int i = 0; i < 3; i++) {
		int fd = open_tap(), other = -1;
		if (fd < 0) {
			assert_int_equal(teardown(state), 0);
			skip();
		}
		assert_int_equal(plug(f, "{\"mac\":\"02:00:00:00:00:07\"}", &fd), 0);
		assert_int_equal(fd, -1);
		/* told of once: afterwards the guest has it */
		assert_int_equal(f->rig.places, i == 0 ? 4 : 0);
		f->rig.places = 0;
		if (i == 0)
			assert_int_equal(start(f, MRG | CTRLQ | STATUS, 3) & NEEDS, 0);
		post(f, 0, 2048);
		rig_kick(&f->rig, 0, 0);
		rig_turn(&f->rig);
		assert_true(link_is_up(f));
		assert_int_equal(plug(f, "{\"mac\":\"02:00:00:00:00:07\"}", &other), -EBUSY);
		(void)rig_irqs(&f->rig, 0);
		assert_int_equal(system("ip link set tap0 up && ip link del tap0"), 0);
		for (int k = 0; k < 100 && link_is_up(f); k++) {
			rig_turn(&f->rig);
			(void)usleep(1000);
		}
		assert_false(link_is_up(f));
		assert_true(rig_irqs(&f->rig, 0) > 0);
		/* not the one that the guest knows */
		assert_int_equal(plug(f, "{\"mac\":\"02:00:00:00:00:08\"}", &other), -EBUSY);
	}
	assert_int_equal(device_id(f), VIRTIO_ID_NET);
	assert_int_equal(teardown(state), 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(frames__both_ways),
		CASE(frames__merged_buffers),
		CASE(frames__without_merging),
		CASE(frames__more_than_buffers_come_later),
		CASE(frames__larger_than_the_ring),
		CASE(frames__many_in_one_turn),
		CASE(headers__only_what_was_negotiated),
		CASE(frames__too_short_or_long_are_lost),
		CASE(chains__broken_need_a_reset),
		CASE(control__offloads),
		cmocka_unit_test(control__queue_pairs),
		CASE(config__mac_status_mtu),
		cmocka_unit_test(limits__hold_back_and_let_go),
		cmocka_unit_test(limits__bytes_are_owed),
		CASE(pause__keeps_what_comes),
		CASE(reset__forgets_held_buffers),
		cmocka_unit_test(stream__frames_both_ways),
		cmocka_unit_test(stream__slow_peer),
		cmocka_unit_test(stream__bad_lengths_pull_the_cable),
		CASE(unplug__leaves_an_empty_place),
		CASE(unplug__and_the_end_at_once),
		cmocka_unit_test(plug__refuses_what_is_no_tap),
		cmocka_unit_test(plug__makes_a_device_again_and_again),
		cmocka_unit_test(plug__puts_a_cable_in_again),
		cmocka_unit_test(machine_file__names_what_is_wrong),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
