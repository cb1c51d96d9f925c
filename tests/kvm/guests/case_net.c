/* SPDX-License-Identifier: Apache-2.0 */
/* case_net - frames, headers and control messages that no driver would send (virtio
 * 1.2, 5.1.6). The other end of the network sends every frame back. */
#include "evil.h"

#include <linux/virtio_net.h>

#define PLAIN (ALL_FEATURES & ~F_EVENT_IDX)
#define RX    0
#define TX    1

static struct vdev *start(uint64_t features)
{
	struct vdev *d = vdev_find(VIRTIO_ID_NET, 0);
	if (!d || !vdev_start(d, features)) {
		result(false, "the network device comes up");
		finish();
	}
	for (unsigned int i = 0; i < VQ_SIZE; i++) {
		desc_set(&d->q[RX], i, (uint64_t)take(2048, 1), 2048, WRITE, 0);
		vq_offer(&d->q[RX], i);
	}
	vq_kick(&d->q[RX]);
	return d;
}

static uint8_t *frame(uint32_t size)
{
	uint8_t *f = take(NET_HEADER + size, 1);
	memset(f + NET_HEADER, 0xff, size < 12 ? size : 12);
	if (size > 13) {
		f[NET_HEADER + 12] = 0x88;
		f[NET_HEADER + 13] = 0xb5;
	}
	return f;
}

/* Sent or refused, but the device lives. */
static void send(struct vdev *d, const char *what)
{
	vq_go(&d->q[TX]);
	bool back = vq_used(&d->q[TX], PATIENCE_MS, NULL, NULL);
	result(back || status(d) & NEEDS_RESET, "answered: %s", what);
	(void)works_again(d, what);
}

static void one_buffer(const char *what, uint32_t len)
{
	void *mark = take_mark();
	struct vdev *d = start(PLAIN);
	desc_set(&d->q[TX], 0, (uint64_t)frame(len), len, 0, 0);
	send(d, what);
	take_release(mark);
}

CASE(net_short, "net", "exit", "frames of 0 to 30 bytes, header and all")
{
	for (uint32_t len = 0; len <= 30; len++)
		one_buffer("a short frame", len);
}

CASE(net_long, "net", "exit", "frames that are too long for anything")
{
	static const uint32_t sizes[] = { 1514,  1515,  1518,  1600,  9000,   65535,  65536,
					  65537, 65549, 65550, 65562, 131072, 1 << 20 };
	for (unsigned int i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		one_buffer("a long frame", NET_HEADER + sizes[i]);
}

CASE(net_huge, "net", "exit", "one frame of all buffers, each as long as can be")
{
	static const uint32_t sizes[] = { 65536, 1 << 20, 16 << 20, 64 << 20 };
	for (unsigned int s = 0; s < 4; s++) {
		void *mark = take_mark();
		struct vdev *d = start(PLAIN);
		uint64_t at = (uint64_t)frame(65536);
		for (unsigned int i = 0; i < VQ_SIZE; i++)
			desc_set(&d->q[TX], i, at, sizes[s], i < VQ_SIZE - 1 ? NEXT : 0, i + 1);
		send(d, "a frame of up to 1 GiB");
		take_release(mark);
	}
}

CASE(net_pieces, "net", "exit", "a frame in pieces of one byte")
{
	struct vdev *d = start(PLAIN);
	(void)vdev_start_sized(d, PLAIN, 128);
	uint8_t *f = frame(60);
	for (unsigned int i = 0; i < 72; i++)
		desc_set(&d->q[TX], i, (uint64_t)f + i, 1, i < 71 ? NEXT : 0, i + 1);
	send(d, "72 pieces");
}

static const struct {
	const char *what;
	struct net_header h;
} headers[] = {
	{ "gso type 2", { .gso_type = 2, .gso_size = 100 } },
	{ "gso type 255", { .gso_type = 0xff, .gso_size = 100, .hdr_len = 54 } },
	{ "gso type 0x7f", { .gso_type = 0x7f } },
	{ "TCPv4 without a size", { .flags = 1, .gso_type = 1, .gso_size = 0, .hdr_len = 54 } },
	{ "TCPv4 of 1 byte", { .flags = 1, .gso_type = 1, .gso_size = 1, .hdr_len = 54 } },
	{ "TCPv4 of 65535", { .flags = 1, .gso_type = 1, .gso_size = 0xffff, .hdr_len = 54 } },
	{ "TCPv4 without a checksum", { .gso_type = 1, .gso_size = 1448, .hdr_len = 54 } },
	{ "header longer than the frame",
	  { .flags = 1, .gso_type = 1, .gso_size = 1448, .hdr_len = 0xffff } },
	{ "header of nothing", { .flags = 1, .gso_type = 4, .gso_size = 1448, .hdr_len = 0 } },
	{ "UDP fragments", { .flags = 1, .gso_type = 3, .gso_size = 8, .hdr_len = 42 } },
	{ "ECN alone", { .gso_type = 0x80 } },
	{ "UDP segments", { .flags = 1, .gso_type = 5, .gso_size = 3, .hdr_len = 42 } },
	{ "checksum beyond the frame", { .flags = 1, .csum_start = 1000, .csum_offset = 16 } },
	{ "checksum at 65535", { .flags = 1, .csum_start = 0xffff, .csum_offset = 0xffff } },
	{ "checksum that wraps", { .flags = 1, .csum_start = 0xfff8, .csum_offset = 8 } },
	{ "checksum in the last byte", { .flags = 1, .csum_start = 0, .csum_offset = 59 } },
	{ "checksum behind the last byte", { .flags = 1, .csum_start = 58, .csum_offset = 2 } },
	{ "all flags", { .flags = 0xff } },
	{ "flags the device sets", { .flags = 6 } },
	{ "num_buffers", { .num_buffers = 0xffff } },
	{ "all ones", { 0xff, 0xff, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff } },
};

static void send_headers(uint64_t features)
{
	for (unsigned int i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
		void *mark = take_mark();
		struct vdev *d = start(features);
		uint8_t *f = frame(60);
		memcpy(f, &headers[i].h, NET_HEADER);
		desc_set(&d->q[TX], 0, (uint64_t)f, NET_HEADER + 60, 0, 0);
		send(d, headers[i].what);
		take_release(mark);
	}
}

CASE(net_headers, "net", "exit", "headers full of lies")
{
	send_headers(PLAIN);
}

CASE(net_headers_plain, "net", "exit", "offloads that were not negotiated")
{
	send_headers(F_VERSION_1);
}

/* ------------------------------------------------------------------- receiving */

static void receive(const char *what, uint32_t len, unsigned int n, uint64_t features)
{
	void *mark = take_mark();
	struct vdev *d = start(F_VERSION_1);
	(void)vdev_start(d, features);
	for (unsigned int i = 0; i < n; i++) {
		desc_set(&d->q[RX], i, (uint64_t)take(2048, 1), len, WRITE, 0);
		vq_offer(&d->q[RX], i);
	}
	if (n)
		vq_kick(&d->q[RX]);
	for (unsigned int i = 0; i < VQ_SIZE; i++)
		net_send(d, i, 1000);
	wait_ms(5);
	(void)works_again(d, what);
	take_release(mark);
}

CASE(net_receive_short, "net", "exit", "frames arrive and the buffers are too small")
{
	static const uint32_t sizes[] = { 0, 1, 11, 12, 13, 60, 64, 500, 1011 };
	for (unsigned int i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		receive("mergeable", sizes[i], VQ_SIZE, PLAIN);
		receive("plain", sizes[i], VQ_SIZE, F_VERSION_1);
		receive("only two", sizes[i], 2, PLAIN);
	}
}

CASE(net_receive_none, "net", "exit", "frames arrive and there are no buffers")
{
	for (unsigned int i = 0; i < 10; i++)
		receive("no buffer at all", 0, 0, PLAIN);
}

CASE(net_receive_evil, "net", "exit", "frames arrive and the buffers are no buffers")
{
	static const struct {
		uint64_t addr;
		uint32_t len;
		unsigned int flags;
	} rows[] = {
		{ 0xe0000000, 2048, WRITE },    { 0xd0000000, 2048, WRITE },
		{ ~0ULL, 2048, WRITE },         { 0x1000000, 0xffffffff, WRITE },
		{ 0x1000000, 2048, 0 },         { 0x1000000, 2048, WRITE | NEXT },
		{ 0xe0000000, 2048, INDIRECT }, { 0x1000000, 2048, INDIRECT | WRITE | NEXT },
	};
	for (unsigned int i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		void *mark = take_mark();
		struct vdev *d = start(F_VERSION_1);
		(void)vdev_start(d, PLAIN);
		desc_set(&d->q[RX], 0, rows[i].addr, rows[i].len, rows[i].flags, 0);
		vq_go(&d->q[RX]);
		net_send(d, 0, 100);
		if (option_number("echo", 0))
			result(needs_reset(d, PATIENCE_MS), "refused when a frame comes");
		(void)works_again(d, "");
		take_release(mark);
	}
}

CASE(net_receive_own_rings, "net", "exit", "frames arrive into the rings")
{
	struct vdev *d = start(F_VERSION_1);
	(void)vdev_start(d, PLAIN);
	for (unsigned int i = 0; i < VQ_SIZE; i++) {
		desc_set(&d->q[RX], i, (uint64_t)d->q[i % d->n_queues].desc, 2048, WRITE, 0);
		vq_offer(&d->q[RX], i);
	}
	vq_kick(&d->q[RX]);
	for (unsigned int i = 0; i < 8; i++)
		net_send(d, i, 1000);
	wait_ms(10);
	(void)works_again(d, "");
}

/* "peer=flood": the network never stops sending. */
CASE(net_flood, "net peer=flood", "exit", "a network that floods while buffers come and go")
{
	struct vdev *d = start(PLAIN);
	uint32_t id = 0;
	for (unsigned int i = 0; i < 300 && vq_used(&d->q[RX], PATIENCE_MS, &id, NULL); i++) {
		vq_offer(&d->q[RX], id % VQ_SIZE);
		vq_kick(&d->q[RX]);
	}
	result(!(status(d) & NEEDS_RESET), "300 frames taken");
	for (unsigned int i = 0; i < 20; i++)
		result(vdev_reset(d) && vdev_start(d, PLAIN), "reset under load");
	(void)works_again(d, "");
}

CASE(net_transmit_flood, "net limit=120", "exit", "2000 frames as fast as can be, none taken back")
{
	struct vdev *d = start(PLAIN);
	void *mark = take_mark();
	for (unsigned int i = 0; i < 2000; i++) {
		net_send(d, i % VQ_SIZE, 1400);
		if (i % 100 == 99)
			take_release(mark);
	}
	(void)works_again(d, "");
}

CASE(net_limited, "net rate=4096 limit=120", "exit",
     "frames held back by a limit, resets amid them")
{
	for (unsigned int i = 0; i < 20; i++) {
		void *mark = take_mark();
		struct vdev *d = start(PLAIN);
		for (unsigned int j = 0; j < VQ_SIZE; j++)
			net_send(d, j, 1400);
		result(vdev_reset(d), "reset amid them");
		take_release(mark);
	}
	(void)works_again(vdev_find(VIRTIO_ID_NET, 0), "");
}

CASE(net_ends_limited, "net rate=4096", "exit", "the machine ends with frames held back")
{
	struct vdev *d = start(PLAIN);
	for (unsigned int j = 0; j < VQ_SIZE; j++)
		net_send(d, j, 1400);
	result(true, "sent");
}

/* --------------------------------------------------------------------- control */

struct control {
	uint8_t class, command;
	uint8_t data[254];
};

static void control(const char *what, uint8_t class, uint8_t command, const void *data,
		    uint32_t len, bool ack)
{
	void *mark = take_mark();
	struct vdev *d = start(PLAIN);
	struct vq *q = &d->q[d->n_queues - 1];
	struct control *c = take(sizeof(*c), 1);
	volatile uint8_t *answer = take(1, 1);
	*answer = 0xee;
	*c = (struct control){ .class = class, .command = command };
	memcpy(c->data, data, len);
	desc_set(q, 0, (uint64_t)c, 2 + len, ack ? NEXT : 0, 1);
	desc_set(q, 1, (uint64_t)answer, 1, WRITE, 0);
	vq_go(q);
	bool back = vq_used(q, PATIENCE_MS, NULL, NULL);
	result((back && (*answer <= 1 || !ack)) || status(d) & NEEDS_RESET, "answered with %x: %s",
	       *answer, what);
	(void)works_again(d, what);
	take_release(mark);
}

CASE(net_control, "net", "exit", "control messages full of junk")
{
	struct vdev *d = start(PLAIN);
	if (d->n_queues % 2 == 0) {
		result(true, "there is no control queue");
		return;
	}
	static const uint8_t ones[128] = { [0 ... 127] = 0xff };
	static const uint8_t zeros[128];
	for (unsigned int class = 0; class < 8; class ++)
		for (unsigned int command = 0; command < 8; command++) {
			control("ones", (uint8_t) class, (uint8_t)command, ones, 8, true);
			control("nothing", (uint8_t) class, (uint8_t)command, ones, 0, true);
		}
	control("class 255", 255, 255, ones, 128, true);
	control("MAC table of 2^32-1", 1, 0, ones, 12, true);
	control("MAC table that is short", 1, 0, zeros, 3, true);
	control("no room for the answer", 0, 0, zeros, 1, false);
	for (uint16_t pairs = 0; pairs < 3; pairs++)
		control("queue pairs", 4, 0, &pairs, 2, true);
	uint16_t many = 0x8001;
	control("0x8001 queue pairs", 4, 0, &many, 2, true);
	control("half a number of queue pairs", 4, 0, &many, 1, true);
}

CASE(net_control_framing, "net", "exit", "control messages without a head, or of 1 GiB")
{
	for (unsigned int i = 0; i < 6; i++) {
		void *mark = take_mark();
		struct vdev *d = start(PLAIN);
		struct vq *q = &d->q[d->n_queues - 1];
		uint64_t at = (uint64_t)take(4096, 4096);
		static const uint32_t lengths[] = { 0, 1, 2, 4096, 0x4000000, 1 };
		desc_set(q, 0, at, lengths[i], i == 5 ? WRITE : NEXT, 1);
		desc_set(q, 1, at + 64, lengths[i], WRITE, 0);
		vq_go(q);
		(void)vq_used(q, 300, NULL, NULL);
		(void)works_again(d, "");
		take_release(mark);
	}
}
