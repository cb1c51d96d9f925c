/* SPDX-License-Identifier: Apache-2.0 */
/* case_vsock - packets that no driver would send (virtio 1.2, 5.10.6). The host has
 * somebody at ports 5000 (echoes), 5001 (never reads), 5002 (hangs up). */
#include "evil.h"

#define PLAIN (ALL_FEATURES & ~F_EVENT_IDX)
#define RX    0
#define TX    1
#define CID   5

#define OP_REQUEST  1
#define OP_RESPONSE 2
#define OP_RST      3
#define OP_SHUTDOWN 4
#define OP_RW       5
#define OP_UPDATE   6
#define OP_ASK      7

static struct vsock_header *received[VQ_SIZE];

static void offer_all(struct vdev *d)
{
	for (unsigned int i = 0; i < VQ_SIZE; i++) {
		received[i] = take(4096, 8);
		desc_set(&d->q[RX], i, (uint64_t)received[i], 4096, WRITE, 0);
		vq_offer(&d->q[RX], i);
	}
	vq_kick(&d->q[RX]);
}

static struct vdev *start(void)
{
	struct vdev *d = vdev_find(VIRTIO_ID_VSOCK, 0);
	if (!d || !vdev_start(d, PLAIN)) {
		result(false, "the vsock device comes up");
		finish();
	}
	offer_all(d);
	return d;
}

static struct vsock_header packet(uint16_t op, uint32_t from, uint32_t to)
{
	return (struct vsock_header){ .src_cid = CID,
				      .dst_cid = 2,
				      .src_port = from,
				      .dst_port = to,
				      .type = 1,
				      .op = op,
				      .buf_alloc = 65536 };
}

/* @size bytes of the header are sent, then @data of @len. Waits until it is taken. */
static bool send_part(struct vdev *d, const struct vsock_header *h, uint32_t size, uint32_t len)
{
	struct vq *q = &d->q[TX];
	uint8_t *buf = take(size + 8, 8);
	memcpy(buf, h, size < sizeof(*h) ? size : sizeof(*h));
	desc_set(q, 0, (uint64_t)buf, size, len ? NEXT : 0, 1);
	desc_set(q, 1, (uint64_t)take(len ? len : 1, 8), len, 0, 0);
	vq_go(q);
	return vq_used(q, PATIENCE_MS, NULL, NULL);
}

static bool send(struct vdev *d, struct vsock_header h)
{
	return send_part(d, &h, sizeof(h), 0);
}

/* Waits for a packet with @op, giving back the buffers. */
static bool wait_op(struct vdev *d, uint16_t op)
{
	uint32_t id;
	for (unsigned int i = 0; i < 64 && vq_used(&d->q[RX], PATIENCE_MS, &id, NULL); i++) {
		if (id >= VQ_SIZE)
			return false;
		uint16_t got = received[id]->op;
		vq_offer(&d->q[RX], id);
		vq_kick(&d->q[RX]);
		if (got == op)
			return true;
	}
	return false;
}

static bool connect(struct vdev *d, uint32_t from, uint32_t to)
{
	return send(d, packet(OP_REQUEST, from, to)) && wait_op(d, OP_RESPONSE);
}

static void lie(const char *what, struct vsock_header h)
{
	void *mark = take_mark();
	struct vdev *d = start();
	bool back = send(d, h);
	result(back || status(d) & NEEDS_RESET, "answered: %s", what);
	(void)works_again(d, what);
	take_release(mark);
}

CASE(vsock_works, "vsock", "exit", "an honest connection, the ground for the rest")
{
	struct vdev *d = start();
	result(connect(d, 1000, 5000), "connected");
	struct vsock_header h = packet(OP_RW, 1000, 5000);
	h.len = 100;
	result(send_part(d, &h, sizeof(h), 100) && wait_op(d, OP_RW), "echoed");
	h = packet(OP_SHUTDOWN, 1000, 5000);
	h.flags = 3;
	result(send(d, h) && wait_op(d, OP_RST), "closed");
	(void)works_again(d, "");
}

CASE(vsock_ops, "vsock", "exit", "operations that are none, and out of order")
{
	for (uint16_t op = 0; op < 20; op++)
		lie("to nobody", packet(op, 1000, 1));
	static const uint16_t far[] = { 0xff, 0x100, 0x101, 0x7fff, 0x8000, 0xffff };
	for (unsigned int i = 0; i < 6; i++)
		lie("a far operation", packet(far[i], 1000, 5000));
}

CASE(vsock_ops_connected, "vsock", "exit", "every operation on a connection that is up")
{
	for (uint16_t op = 0; op < 12; op++) {
		void *mark = take_mark();
		struct vdev *d = start();
		result(connect(d, 1000, 5000), "connected");
		for (unsigned int i = 0; i < 3; i++)
			(void)send(d, packet(op, 1000, 5000));
		(void)works_again(d, "");
		take_release(mark);
	}
}

CASE(vsock_cids, "vsock", "exit", "addresses that are not the guest's, or nobody's")
{
	static const uint64_t cids[] = { 0,
					 1,
					 2,
					 3,
					 4,
					 6,
					 0xffffffff,
					 1ULL << 32,
					 ~0ULL,
					 0x100000002ULL,
					 0x8000000000000002ULL };
	for (unsigned int i = 0; i < sizeof(cids) / sizeof(cids[0]); i++) {
		struct vsock_header h = packet(OP_REQUEST, 1000, 5000);
		h.dst_cid = cids[i];
		lie("a wrong target", h);
		h = packet(OP_REQUEST, 1000, 5000);
		h.src_cid = cids[i];
		lie("a wrong source", h);
	}
}

CASE(vsock_types, "vsock", "exit", "socket types that are none")
{
	static const uint16_t types[] = { 0, 2, 3, 0x100, 0xffff };
	for (unsigned int i = 0; i < 5; i++) {
		struct vsock_header h = packet(OP_REQUEST, 1000, 5000);
		h.type = types[i];
		lie("a wrong type", h);
	}
}

CASE(vsock_flags, "vsock", "exit", "flags of shutdown, all of them")
{
	static const uint32_t flags[] = { 0, 1, 2, 3, 4, 0xfffffffc, 0xffffffff };
	for (unsigned int i = 0; i < 7; i++) {
		void *mark = take_mark();
		struct vdev *d = start();
		result(connect(d, 1000, 5000), "connected");
		struct vsock_header h = packet(OP_SHUTDOWN, 1000, 5000);
		h.flags = flags[i];
		(void)send(d, h);
		(void)send(d, h);
		h = packet(OP_RW, 1000, 5000);
		h.len = 10;
		(void)send_part(d, &h, sizeof(h), 10);
		(void)works_again(d, "");
		take_release(mark);
	}
}

CASE(vsock_lengths, "vsock", "exit", "lengths that are not those of the data")
{
	static const uint32_t lengths[] = {
		1, 100, 4096, 65536, 65537, 1 << 20, 0x7fffffff, 0x80000000, 0xffffffd4, 0xffffffff
	};
	for (unsigned int i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
		for (unsigned int has = 0; has < 2; has++) {
			void *mark = take_mark();
			struct vdev *d = start();
			result(connect(d, 1000, 5000), "connected");
			struct vsock_header h = packet(OP_RW, 1000, 5000);
			h.len = lengths[i];
			bool back = send_part(d, &h, sizeof(h), has ? 64 : 0);
			result(back || status(d) & NEEDS_RESET, "answered: length %x", lengths[i]);
			(void)works_again(d, "");
			take_release(mark);
		}
}

CASE(vsock_short, "vsock", "exit", "packets shorter than a header")
{
	for (uint32_t size = 0; size <= sizeof(struct vsock_header); size += 3) {
		void *mark = take_mark();
		struct vdev *d = start();
		struct vsock_header h = packet(OP_REQUEST, 1000, 5000);
		(void)send_part(d, &h, size, 0);
		(void)works_again(d, "");
		take_release(mark);
	}
}

CASE(vsock_split, "vsock", "exit", "a header in 44 pieces, and one over two buffers with data")
{
	struct vdev *d = start();
	struct vsock_header *h = take(256, 8);
	*h = packet(OP_REQUEST, 1000, 5000);
	(void)vdev_start_sized(d, PLAIN, 64);
	offer_all(d);
	for (unsigned int i = 0; i < 44; i++)
		desc_set(&d->q[TX], i, (uint64_t)h + i, 1, i < 43 ? NEXT : 0, i + 1);
	vq_go(&d->q[TX]);
	result(vq_used(&d->q[TX], PATIENCE_MS, NULL, NULL) || status(d) & NEEDS_RESET, "answered");
	(void)works_again(d, "");
}

CASE(vsock_credit, "vsock", "exit", "credit that is a lie")
{
	static const struct {
		uint32_t buf_alloc, fwd_cnt;
	} lies[] = { { 0, 0 },
		     { 1, 0 },
		     { 0xffffffff, 0 },
		     { 65536, 0x80000000 },
		     { 65536, 0xffffffff },
		     { 0, 0xffffffff },
		     { 0xffffffff, 0xffffffff } };
	for (unsigned int i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		void *mark = take_mark();
		struct vdev *d = start();
		result(connect(d, 1000, 5000), "connected");
		struct vsock_header h = packet(OP_UPDATE, 1000, 5000);
		h.buf_alloc = lies[i].buf_alloc;
		h.fwd_cnt = lies[i].fwd_cnt;
		(void)send(d, h);
		h.op = OP_RW;
		h.len = 4000;
		for (unsigned int j = 0; j < 10; j++)
			(void)send_part(d, &h, sizeof(h), 4000);
		h.op = OP_ASK;
		h.len = 0;
		(void)send(d, h);
		(void)works_again(d, "");
		take_release(mark);
	}
}

/* Port 5001 never reads: what we send beyond the credit we were given must not pile
 * up in the host. */
CASE(vsock_no_credit, "vsock limit=120", "exit", "4 MiB to somebody who does not read")
{
	struct vdev *d = start();
	result(connect(d, 1000, 5001), "connected");
	struct vsock_header h = packet(OP_RW, 1000, 5001);
	h.len = 32768;
	void *mark = take_mark();
	for (unsigned int i = 0; i < 128 && !(status(d) & NEEDS_RESET); i++) {
		(void)send_part(d, &h, sizeof(h), 32768);
		take_release(mark);
	}
	offer_all(d);
	(void)works_again(d, "");
}

CASE(vsock_port_flood, "vsock limit=180", "exit", "2000 connections nobody closes")
{
	struct vdev *d = start();
	void *mark = take_mark();
	unsigned int n = 0;
	for (uint32_t port = 0; port < 2000; port++) {
		uint32_t id;
		n += send(d, packet(OP_REQUEST, port, 5000));
		while (d->q[RX].used->idx != d->q[RX].seen_used)
			if (vq_used(&d->q[RX], 1, &id, NULL) && id < VQ_SIZE)
				vq_offer(&d->q[RX], id);
		vq_kick(&d->q[RX]);
		take_release(mark);
	}
	result(n == 2000 || status(d) & NEEDS_RESET, "%u were answered", n);
	(void)works_again(d, "");
}

CASE(vsock_refused_flood, "vsock limit=120", "exit",
     "2000 connections to nobody, answers not taken")
{
	struct vdev *d = start();
	void *mark = take_mark();
	for (uint32_t port = 0; port < 2000; port++) {
		(void)send(d, packet(OP_REQUEST, port, port + 6000));
		take_release(mark);
	}
	(void)works_again(d, "");
}

CASE(vsock_same_port, "vsock", "exit", "the same connection again and again")
{
	struct vdev *d = start();
	for (unsigned int i = 0; i < 20; i++)
		(void)send(d, packet(OP_REQUEST, 1000, 5000));
	for (unsigned int i = 0; i < 20; i++) {
		(void)send(d, packet(OP_RST, 1000, 5000));
		(void)send(d, packet(OP_REQUEST, 1000, 5002));
	}
	(void)works_again(d, "");
}

CASE(vsock_receive_short, "vsock", "exit", "answers come and the buffers are too small")
{
	static const uint32_t sizes[] = { 0, 1, 43, 44, 45, 64 };
	for (unsigned int i = 0; i < 6; i++) {
		void *mark = take_mark();
		struct vdev *d = start();
		(void)vdev_start(d, PLAIN);
		for (unsigned int j = 0; j < VQ_SIZE; j++) {
			desc_set(&d->q[RX], j, (uint64_t)take(64, 8), sizes[i], WRITE, 0);
			vq_offer(&d->q[RX], j);
		}
		vq_kick(&d->q[RX]);
		(void)send(d, packet(OP_REQUEST, 1000, 5000));
		struct vsock_header h = packet(OP_RW, 1000, 5000);
		h.len = 4000;
		(void)send_part(d, &h, sizeof(h), 4000);
		wait_ms(5);
		(void)works_again(d, "");
		take_release(mark);
	}
}

CASE(vsock_no_buffers, "vsock", "exit", "answers come and there are no buffers")
{
	struct vdev *d = start();
	(void)vdev_start(d, PLAIN);
	for (uint32_t i = 0; i < 200; i++)
		(void)send(d, packet(OP_REQUEST, i, 5000));
	for (uint32_t i = 0; i < 200; i++)
		(void)send(d, packet(OP_ASK, i, 1));
	(void)works_again(d, "");
}

CASE(vsock_hung_up, "vsock", "exit", "data to somebody who hangs up at once")
{
	struct vdev *d = start();
	for (uint32_t i = 0; i < 20; i++) {
		(void)send(d, packet(OP_REQUEST, 2000 + i, 5002));
		struct vsock_header h = packet(OP_RW, 2000 + i, 5002);
		h.len = 100;
		for (unsigned int j = 0; j < 5; j++)
			(void)send_part(d, &h, sizeof(h), 100);
	}
	(void)works_again(d, "");
}

CASE(vsock_end_connected, "vsock", "exit", "the machine ends with 100 connections")
{
	struct vdev *d = start();
	unsigned int n = 0;
	for (uint32_t i = 0; i < 100; i++)
		n += connect(d, 3000 + i, 5000);
	result(n > 0, "%u connections", n);
}

CASE(vsock_reset_connected, "vsock", "exit", "resets with 50 connections and data under way")
{
	for (unsigned int i = 0; i < 10; i++) {
		void *mark = take_mark();
		struct vdev *d = start();
		struct vsock_header h = packet(OP_RW, 0, 5000);
		h.len = 4000;
		for (uint32_t port = 0; port < 50; port++) {
			(void)send(d, packet(OP_REQUEST, port, 5000 + port % 3));
			h.src_port = port;
			h.dst_port = 5000 + port % 3;
			(void)send_part(d, &h, sizeof(h), 4000);
		}
		result(vdev_reset(d), "reset");
		take_release(mark);
	}
	(void)works_again(vdev_find(VIRTIO_ID_VSOCK, 0), "");
}

CASE(vsock_reset_connecting, "vsock", "exit", "100 resets right after a connection was asked for")
{
	for (uint32_t i = 0; i < 100; i++) {
		void *mark = take_mark();
		struct vdev *d = start();
		for (uint32_t port = 0; port < 4; port++)
			(void)send(d, packet(OP_REQUEST, port, 5000));
		(void)vdev_reset(d);
		take_release(mark);
	}
	(void)works_again(vdev_find(VIRTIO_ID_VSOCK, 0), "");
}

/* What the host does not read piles up in the worker only as far as its pool goes (64
 * MiB): who runs us looks. */
CASE(vsock_piles, "vsock kib=69632", "quit", "256 KiB each on 100 connections that nobody reads")
{
	struct vdev *d = start();
	unsigned int n = 0;
	for (uint32_t port = 0; port < 100 && !(status(d) & NEEDS_RESET); port++) {
		void *mark = take_mark();
		(void)send(d, packet(OP_REQUEST, port, 5001));
		struct vsock_header h = packet(OP_RW, port, 5001);
		h.len = 32768;
		for (unsigned int i = 0; i < 8; i++)
			n += send_part(d, &h, sizeof(h), 32768);
		uint32_t id;
		while (d->q[RX].used->idx != d->q[RX].seen_used)
			if (vq_used(&d->q[RX], 1, &id, NULL) && id < VQ_SIZE)
				vq_offer(&d->q[RX], id);
		vq_kick(&d->q[RX]);
		take_release(mark);
	}
	note("%u packets taken", n);
	say("spinning\n");
	for (;;)
		__asm__ volatile("cli; hlt");
}
