/* SPDX-License-Identifier: Apache-2.0 */
/* case_indirect - tables of descriptors elsewhere (virtio 1.2, 2.7.5.3), and what
 * must not be in them. */
#include "evil.h"

#define HOLE  0xe0000000ULL
#define PLAIN (ALL_FEATURES & ~F_EVENT_IDX)

#define INDIRECT_CASE(name, verdict, title)                                                        \
	static void lay_##name(struct vq *q);                                                      \
	CASE(name, "all", "exit", title)                                                           \
	{                                                                                          \
		each_queue(PLAIN, verdict, lay_##name);                                            \
	}                                                                                          \
	static void lay_##name(struct vq *q)

static struct vring_desc *table(struct vq *q, unsigned int n)
{
	struct vring_desc *t = take(16U * n, 16);
	uint64_t at = (uint64_t)take(4096, 4096);
	for (unsigned int i = 0; i < n; i++)
		t[i] = (struct vring_desc){
			.addr = at + i,
			.len = 1,
			.flags = (uint16_t)(vq_direction(q) | (i + 1 < n ? NEXT : 0)),
			.next = (uint16_t)(i + 1),
		};
	return t;
}

INDIRECT_CASE(nested, REFUSED, "indirect in indirect")
{
	struct vring_desc *inner = table(q, 2), *outer = table(q, 2);
	outer[0] = (struct vring_desc){ .addr = (uint64_t)inner, .len = 32, .flags = INDIRECT };
	desc_set(q, 0, (uint64_t)outer, 32, INDIRECT, 0);
}

INDIRECT_CASE(nested_self, REFUSED, "a table that names itself")
{
	struct vring_desc *t = table(q, 2);
	t[0] = (struct vring_desc){ .addr = (uint64_t)t, .len = 32, .flags = INDIRECT };
	desc_set(q, 0, (uint64_t)t, 32, INDIRECT, 0);
}

INDIRECT_CASE(with_next, REFUSED, "indirect with a next")
{
	desc_set(q, 0, (uint64_t)table(q, 2), 32, INDIRECT | NEXT, 1);
	desc_set(q, 1, (uint64_t)table(q, 2), 32, vq_direction(q), 0);
}

INDIRECT_CASE(empty, REFUSED, "a table of no bytes")
{
	desc_set(q, 0, (uint64_t)table(q, 2), 0, INDIRECT, 0);
}

INDIRECT_CASE(short_table, REFUSED, "a table of 8 bytes")
{
	desc_set(q, 0, (uint64_t)table(q, 2), 8, INDIRECT, 0);
}

INDIRECT_CASE(odd_table, REFUSED, "a table of 24 bytes")
{
	desc_set(q, 0, (uint64_t)table(q, 2), 24, INDIRECT, 0);
}

INDIRECT_CASE(table_in_hole, REFUSED, "a table in the hole")
{
	desc_set(q, 0, HOLE, 32, INDIRECT, 0);
}

INDIRECT_CASE(table_wraps, REFUSED, "a table whose end wraps")
{
	desc_set(q, 0, ~0ULL - 15, 32, INDIRECT, 0);
}

INDIRECT_CASE(table_leaves_ram, REFUSED, "a table that leaves RAM")
{
	desc_set(q, 0, ram_end - 16, 32, INDIRECT, 0);
}

INDIRECT_CASE(table_max, REFUSED, "a table of 2^32 - 16 bytes")
{
	desc_set(q, 0, (uint64_t)table(q, 2), 0xfffffff0, INDIRECT, 0);
}

INDIRECT_CASE(table_beyond_16_bits, SURVIVED, "a table of 65537 entries")
{
	desc_set(q, 0, (uint64_t)table(q, 2), 16U * 65537, INDIRECT, 0);
}

INDIRECT_CASE(inner_loop, REFUSED, "a circle within a table")
{
	struct vring_desc *t = table(q, 2);
	t[1].flags |= NEXT;
	t[1].next = 0;
	desc_set(q, 0, (uint64_t)t, 32, INDIRECT, 0);
}

INDIRECT_CASE(inner_next, REFUSED, "a next beyond the table")
{
	struct vring_desc *t = table(q, 2);
	t[0].next = 2;
	desc_set(q, 0, (uint64_t)t, 32, INDIRECT, 0);
}

INDIRECT_CASE(inner_next_far, REFUSED, "a next of 65535")
{
	struct vring_desc *t = table(q, 2);
	t[0].next = 0xffff;
	desc_set(q, 0, (uint64_t)t, 32, INDIRECT, 0);
}

INDIRECT_CASE(inner_hole, REFUSED, "a buffer of a table in the hole")
{
	struct vring_desc *t = table(q, 2);
	t[1].addr = HOLE;
	desc_set(q, 0, (uint64_t)t, 32, INDIRECT, 0);
}

INDIRECT_CASE(inner_order, REFUSED, "read behind write in a table")
{
	struct vring_desc *t = table(q, 2);
	t[0].flags |= WRITE;
	t[1].flags &= (uint16_t)~WRITE;
	desc_set(q, 0, (uint64_t)t, 32, INDIRECT, 0);
}

INDIRECT_CASE(longer_than_queue, SURVIVED, "a table with more entries than the queue")
{
	desc_set(q, 0, (uint64_t)table(q, 64), 16U * 64, INDIRECT, 0);
}

INDIRECT_CASE(longest, SURVIVED, "a table of 1024 entries")
{
	desc_set(q, 0, (uint64_t)table(q, 1024), 16U * 1024, INDIRECT, 0);
}

INDIRECT_CASE(write_flag, SURVIVED, "an indirect descriptor to write")
{
	desc_set(q, 0, (uint64_t)table(q, 2), 32, INDIRECT | WRITE, 0);
}

INDIRECT_CASE(behind_plain, SURVIVED, "a plain buffer, then a table")
{
	desc_set(q, 0, (uint64_t)take(64, 16), 16, NEXT | vq_direction(q), 1);
	desc_set(q, 1, (uint64_t)table(q, 2), 32, INDIRECT, 0);
}

INDIRECT_CASE(unaligned, SURVIVED, "a table at an odd address")
{
	uint8_t *odd = take(64, 16);
	memcpy(odd + 1, table(q, 2), 32);
	desc_set(q, 0, (uint64_t)odd + 1, 32, INDIRECT, 0);
}

INDIRECT_CASE(is_the_ring, SURVIVED, "a table that is the descriptor table")
{
	desc_set(q, 1, (uint64_t)take(64, 16), 16, vq_direction(q), 0);
	desc_set(q, 0, (uint64_t)(q->desc + 1), 16, INDIRECT, 0);
}

INDIRECT_CASE(into_itself, SURVIVED, "a table whose buffer is the table")
{
	struct vring_desc *t = table(q, 4);
	for (unsigned int i = 0; i < 4; i++) {
		t[i].addr = (uint64_t)t;
		t[i].len = 64;
	}
	desc_set(q, 0, (uint64_t)t, 64, INDIRECT, 0);
}

static void lay_not_agreed(struct vq *q)
{
	desc_set(q, 0, (uint64_t)table(q, 2), 32, INDIRECT, 0);
}

CASE(not_agreed, "all", "exit", "indirect though it was not negotiated")
{
	each_queue(PLAIN & ~F_INDIRECT, REFUSED, lay_not_agreed);
}

/* Changed after FEATURES_OK: must not count (virtio 1.2, 3.1.1). */
static void lay_late(struct vq *q)
{
	reg_set(q->dev, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	reg_set(q->dev, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)F_INDIRECT);
	desc_set(q, 0, (uint64_t)table(q, 2), 32, INDIRECT, 0);
}

CASE(agreed_too_late, "all", "exit", "indirect negotiated after DRIVER_OK")
{
	each_queue(PLAIN & ~F_INDIRECT, REFUSED, lay_late);
}
