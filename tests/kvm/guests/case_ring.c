/* SPDX-License-Identifier: Apache-2.0 */
/* case_ring - descriptors and indices that no driver would write (virtio 1.2, 2.7),
 * on every queue of every device. */
#include "evil.h"

#define HOLE  0xe0000000ULL
#define PLAIN (ALL_FEATURES & ~F_EVENT_IDX)

#define RING_CASE(name, verdict, title)                                                            \
	static void lay_##name(struct vq *q);                                                      \
	CASE(name, "all", "exit", title)                                                           \
	{                                                                                          \
		each_queue(PLAIN, verdict, lay_##name);                                            \
	}                                                                                          \
	static void lay_##name(struct vq *q)

static void one(struct vq *q, uint64_t addr, uint32_t len)
{
	desc_set(q, 0, addr, len, vq_direction(q), 0);
}

static uint64_t scratch(void)
{
	return (uint64_t)take(4096, 4096);
}

RING_CASE(loop_self, REFUSED, "a descriptor whose next is itself")
{
	desc_set(q, 0, scratch(), 16, NEXT | vq_direction(q), 0);
}

RING_CASE(loop_two, REFUSED, "two descriptors in a circle")
{
	desc_set(q, 0, scratch(), 16, NEXT | vq_direction(q), 1);
	desc_set(q, 1, scratch(), 16, NEXT | vq_direction(q), 0);
}

RING_CASE(loop_long, REFUSED, "the whole table in a circle")
{
	uint64_t at = scratch();
	for (unsigned int i = 0; i < q->size; i++)
		desc_set(q, i, at + 16 * i, 16, NEXT | vq_direction(q), (i + 1) % q->size);
}

RING_CASE(loop_tail, REFUSED, "a chain that ends in a circle")
{
	uint64_t at = scratch();
	for (unsigned int i = 0; i < 8; i++)
		desc_set(q, i, at + 16 * i, 16, NEXT | vq_direction(q), i < 7 ? i + 1 : 7);
}

RING_CASE(next_at_size, REFUSED, "next is one beyond the table")
{
	desc_set(q, 0, scratch(), 16, NEXT | vq_direction(q), q->size);
}

RING_CASE(next_far, REFUSED, "next is 65535")
{
	desc_set(q, 0, scratch(), 16, NEXT | vq_direction(q), 0xffff);
}

RING_CASE(head_at_size, REFUSED, "the avail ring names one beyond the table")
{
	vq_offer(q, q->size);
}

RING_CASE(head_far, REFUSED, "the avail ring names 65535")
{
	vq_offer(q, 0xffff);
}

RING_CASE(addr_hole, REFUSED, "a buffer in the MMIO hole")
{
	one(q, HOLE, 64);
}

RING_CASE(addr_window, REFUSED, "a buffer in the device's own registers")
{
	one(q, q->dev->base, 256);
}

RING_CASE(addr_apic, REFUSED, "a buffer in the local APIC")
{
	one(q, 0xfee00000, 64);
}

RING_CASE(addr_beyond, REFUSED, "a buffer right behind RAM")
{
	one(q, ram_high_end ? ram_high_end : ram_end, 64);
}

RING_CASE(addr_far, REFUSED, "a buffer at 2^63")
{
	one(q, 1ULL << 63, 64);
}

RING_CASE(addr_last, REFUSED, "a buffer at the last address there is")
{
	one(q, ~0ULL, 1);
}

RING_CASE(addr_wraps, REFUSED, "a buffer whose end wraps to 8")
{
	one(q, ~0ULL - 7, 16);
}

RING_CASE(len_over_ram, REFUSED, "a buffer that leaves RAM by 8 bytes")
{
	one(q, ram_end - 8, 16);
}

RING_CASE(len_max, REFUSED, "a buffer of 2^32 - 1 bytes")
{
	one(q, 0x1000000, 0xffffffff);
}

RING_CASE(len_max_last, REFUSED, "2^32 - 1 bytes at the end of RAM")
{
	one(q, ram_end - 1, 0xffffffff);
}

RING_CASE(second_bad, REFUSED, "the second buffer of a chain is in the hole")
{
	desc_set(q, 0, scratch(), 16, NEXT | vq_direction(q), 1);
	desc_set(q, 1, HOLE, 16, vq_direction(q), 0);
}

RING_CASE(order, REFUSED, "a buffer to read behind one to write")
{
	desc_set(q, 0, scratch(), 16, NEXT | WRITE, 1);
	desc_set(q, 1, scratch(), 16, 0, 0);
}

RING_CASE(len_zero, SURVIVED, "a buffer of no bytes")
{
	one(q, scratch(), 0);
}

RING_CASE(len_zero_many, SURVIVED, "a chain of empty buffers")
{
	for (unsigned int i = 0; i < q->size; i++)
		desc_set(q, i, HOLE, 0, vq_direction(q) | (i + 1U < q->size ? NEXT : 0), i + 1);
}

RING_CASE(one_byte_each, SURVIVED, "a full chain of single bytes")
{
	uint64_t at = scratch();
	for (unsigned int i = 0; i < q->size; i++)
		desc_set(q, i, at + i, 1, vq_direction(q) | (i + 1U < q->size ? NEXT : 0), i + 1);
}

RING_CASE(len_one, SURVIVED, "a buffer of one byte")
{
	one(q, scratch(), 1);
}

RING_CASE(wrong_way, SURVIVED, "a buffer of the other direction")
{
	desc_set(q, 0, scratch(), 4096, vq_direction(q) ^ WRITE, 0);
}

RING_CASE(all_ram, SURVIVED, "a buffer that is all of RAM above us")
{
	uint64_t at = (uint64_t)take(4096, 4096) + 0x400000;
	one(q, at, (uint32_t)(ram_end - at));
}

/* The sum passes 2^32, though each buffer is in RAM. */
RING_CASE(sum_wraps, SURVIVED, "lengths whose sum wraps 2^32")
{
	uint64_t at = (uint64_t)take(4096, 4096) + 0x400000;
	uint32_t len = 0x10000000 + 32;
	if (at + len > ram_end)
		len = (uint32_t)(ram_end - at);
	for (unsigned int i = 0; i < q->size; i++)
		desc_set(q, i, at, len, vq_direction(q) | (i + 1U < q->size ? NEXT : 0), i + 1);
}

RING_CASE(flags_unknown, SURVIVED, "unknown flags of a descriptor")
{
	desc_set(q, 0, scratch(), 64, vq_direction(q) | 0xfff8, 0);
}

RING_CASE(jump_one_more, REFUSED, "the avail index runs one more than the queue ahead")
{
	one(q, scratch(), 64);
	q->next_avail = (uint16_t)(q->size + 1);
	q->avail->idx = q->next_avail;
}

RING_CASE(jump_half, REFUSED, "the avail index jumps by 32768")
{
	one(q, scratch(), 64);
	q->next_avail = 0x8000;
	q->avail->idx = q->next_avail;
}

RING_CASE(jump_back, REFUSED, "the avail index goes back by one")
{
	one(q, scratch(), 64);
	q->next_avail = 0xffff;
	q->avail->idx = q->next_avail;
}

RING_CASE(jump_flips, SURVIVED, "the avail index goes to and fro")
{
	one(q, scratch(), 64);
	for (uint16_t i = 0; i < 2000; i++) {
		q->avail->idx = (uint16_t)(i * 40503U);
		if (!(i % 50))
			vq_kick(q);
	}
	q->next_avail = 1;
}

RING_CASE(same_head, SURVIVED, "one descriptor offered as often as the queue has room")
{
	one(q, scratch(), 64);
	for (unsigned int i = 0; i < q->size; i++)
		vq_offer(q, 0);
}

RING_CASE(avail_flags, SURVIVED, "unknown flags of the avail ring")
{
	one(q, scratch(), 64);
	q->avail->flags = 0xfffe;
	vq_offer(q, 0);
}

RING_CASE(into_desc, SURVIVED, "a buffer that is the descriptor table")
{
	desc_set(q, 0, (uint64_t)q->desc, 16U * q->size, vq_direction(q), 0);
}

RING_CASE(into_avail, SURVIVED, "a buffer that is the avail ring")
{
	desc_set(q, 0, (uint64_t)q->avail, 6 + 2U * q->size, vq_direction(q), 0);
}

RING_CASE(into_used, SURVIVED, "a buffer that is the used ring")
{
	desc_set(q, 0, (uint64_t)q->used, 6 + 8U * q->size, vq_direction(q), 0);
}

RING_CASE(into_used_page, SURVIVED, "buffers over all the rings, full queue")
{
	for (unsigned int i = 0; i < q->size; i++) {
		desc_set(q, i, (uint64_t)q->desc, 512, vq_direction(q), 0);
		vq_offer(q, i);
	}
}

RING_CASE(used_lies, SURVIVED, "the driver writes the used ring")
{
	one(q, scratch(), 64);
	for (uint16_t i = 0; i < 300; i++) {
		q->used->idx = (uint16_t)(i * 263U);
		q->used->flags = 0xffff;
		if (!(i % 20))
			vq_go(q);
	}
}

/* ------------------------------------------------------------------ EVENT_IDX */

static void lay_events(struct vq *q)
{
	volatile uint16_t *used_event = &q->avail->ring[q->size];
	one(q, scratch(), 64);
	for (uint16_t i = 0; i < 40; i++) {
		*used_event = (uint16_t)(i * 40503U);
		*(volatile uint16_t *)&q->used->ring[q->size] = (uint16_t)(i * 7919U);
		vq_offer(q, 0);
		vq_kick(q);
	}
}

CASE(event_junk, "all", "exit", "used_event and avail_event full of junk")
{
	each_queue(ALL_FEATURES, SURVIVED, lay_events);
}

static void lay_jump_events(struct vq *q)
{
	one(q, scratch(), 64);
	q->next_avail = 0x7fff;
	q->avail->idx = q->next_avail;
}

CASE(event_jump, "all", "exit", "the avail index jumps, with EVENT_IDX")
{
	each_queue(ALL_FEATURES, REFUSED, lay_jump_events);
}
