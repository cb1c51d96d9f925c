/* SPDX-License-Identifier: Apache-2.0 */
/* test_virtq - the device's side of a split ring against a driver that may lie. */
#include "rig.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define SIZE  8
#define RINGS 0x10000ULL
#define DATA  0x100000ULL

#define NEXT     VRING_DESC_F_NEXT
#define WRITE    VRING_DESC_F_WRITE
#define INDIRECT VRING_DESC_F_INDIRECT

struct fixture {
	struct rig rig;
	struct guestq g;
	struct virtq q;
	struct iovec iov[64];
	struct virtq_chain chain;
};

static int start(struct fixture *f, uint64_t features)
{
	struct err err = ERR_INIT;
	struct virtq_config config = guestq_config(&f->g);
	return virtq_start(&f->q, f->rig.vm.memory, &config, features, &err);
}

static void *setup_with(uint64_t ram_bytes, uint64_t features)
{
	struct fixture *f = calloc(1, sizeof(*f));
	assert_non_null(f);
	rig_init(&f->rig, ram_bytes);
	(void)guestq_init(&f->g, &f->rig, RINGS, SIZE);
	f->q.size_max = SIZE;
	virtq_chain_init(&f->chain, f->iov, 64);
	assert_int_equal(start(f, features), 0);
	return f;
}

static int setup(void **state)
{
	*state = setup_with(0, 0);
	return 0;
}

static int setup_features(void **state)
{
	*state = setup_with(0,
			    1ULL << VIRTIO_RING_F_EVENT_IDX | 1ULL << VIRTIO_RING_F_INDIRECT_DESC);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	virtq_stop(&f->q);
	rig_fini(&f->rig);
	free(f);
	return 0;
}

/* ---- start ---- */

static void start__refuses_bad_sizes(void **state)
{
	struct fixture *f = *state;
	static const uint16_t bad[] = { 0, 3, 7, 9, 16, 32768, 65535 };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		f->g.size = bad[i];
		virtq_stop(&f->q);
		assert_int_equal(start(f, 0), -EPROTO);
		assert_false(f->q.live);
	}
	f->g.size = 1;
	assert_int_equal(start(f, 0), 0);
}

static void start__refuses_unaligned_rings(void **state)
{
	struct fixture *f = *state;
	const struct guestq good = f->g;
	f->g.desc += 8;
	assert_int_equal(start(f, 0), -EPROTO);
	f->g = good;
	f->g.avail += 1;
	assert_int_equal(start(f, 0), -EPROTO);
	f->g = good;
	f->g.used += 2;
	assert_int_equal(start(f, 0), -EPROTO);
	f->g = good;
	assert_int_equal(start(f, 0), 0);
}

static void start__takes_rings_that_end_with_memory(void **state)
{
	struct fixture *f = *state;
	f->g.desc = RIG_RAM_BYTES - 16 * SIZE;
	assert_int_equal(start(f, 0), 0);
	f->g.desc += 16;
	assert_int_equal(start(f, 0), -EPROTO);
	(void)guestq_init(&f->g, &f->rig, RINGS, SIZE);
	f->g.used = (RIG_RAM_BYTES - 6 - 8 * SIZE) & ~3ULL;
	assert_int_equal(start(f, 0), 0);
	f->g.used += 4;
	assert_int_equal(start(f, 0), -EPROTO);
	(void)guestq_init(&f->g, &f->rig, RINGS, SIZE);
	f->g.avail = RIG_RAM_BYTES - 6 - 2 * SIZE;
	assert_int_equal(start(f, 0), 0);
	f->g.avail += 2;
	assert_int_equal(start(f, 0), -EPROTO);
}

static void start__refuses_rings_that_wrap(void **state)
{
	struct fixture *f = *state;
	const struct guestq good = f->g;
	f->g.desc = UINT64_MAX - 15;
	assert_int_equal(start(f, 0), -EPROTO);
	f->g = good;
	f->g.used = 0xd0000000; /* a window of a device */
	assert_int_equal(start(f, 0), -EPROTO);
}

/* ---- pop ---- */

static void pop__returns_nothing_from_an_empty_ring(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(virtq_pop(&f->q, &f->chain), 0);
	virtq_stop(&f->q);
	guestq_set_avail_idx(&f->g, 1);
	assert_int_equal(virtq_pop(&f->q, &f->chain), 0);
}

static void pop__gives_buffers_in_order(void **state)
{
	struct fixture *f = *state;
	const struct guestbuf bufs[] = { { DATA, 16 }, { DATA + 4096, 100 }, { DATA + 8192, 1 } };
	uint16_t head = guestq_add(&f->g, bufs, 2, 1);
	rig_put(&f->rig, DATA, "0123456789abcdef", 16);
	rig_put(&f->rig, DATA + 4096, "xyz", 3);
	assert_int_equal(virtq_pop(&f->q, &f->chain), 1);
	assert_int_equal(f->chain.head, head);
	assert_int_equal(f->chain.n_read, 2);
	assert_int_equal(f->chain.n_write, 1);
	assert_int_equal(f->chain.read_bytes, 116);
	assert_int_equal(f->chain.write_bytes, 1);
	char buf[8];
	assert_int_equal(chain_read(&f->chain, 14, buf, 5), 5);
	assert_memory_equal(buf, "efxyz", 5);
	assert_int_equal(virtq_pop(&f->q, &f->chain), 0);
}

static void pop__refuses_looped_chain(void **state)
{
	struct fixture *f = *state;
	guestq_desc(&f->g, 0, DATA, 8, NEXT, 1);
	guestq_desc(&f->g, 1, DATA, 8, NEXT, 0);
	guestq_avail(&f->g, 0);
	assert_int_equal(virtq_pop(&f->q, &f->chain), -EPROTO);
	/* and again, unchanged */
	assert_int_equal(virtq_pop(&f->q, &f->chain), -EPROTO);
}

static void pop__refuses_self_loop(void **state)
{
	struct fixture *f = *state;
	guestq_desc(&f->g, 3, DATA, 0, NEXT, 3);
	guestq_avail(&f->g, 3);
	assert_int_equal(virtq_pop(&f->q, &f->chain), -EPROTO);
}

static void pop__takes_a_chain_as_long_as_the_queue(void **state)
{
	struct fixture *f = *state;
	struct guestbuf bufs[SIZE];
	for (unsigned int i = 0; i < SIZE; i++)
		bufs[i] = (struct guestbuf){ DATA + 4096 * i, 4096 };
	guestq_add(&f->g, bufs, 4, 4);
	assert_int_equal(virtq_pop(&f->q, &f->chain), 1);
	assert_int_equal(f->chain.n_read + f->chain.n_write, SIZE);
}

static void pop__refuses_next_and_head_beyond_the_queue(void **state)
{
	struct fixture *f = *state;
	guestq_desc(&f->g, 0, DATA, 8, NEXT, SIZE);
	guestq_avail(&f->g, 0);
	assert_int_equal(virtq_pop(&f->q, &f->chain), -EPROTO);
	guestq_set_avail_idx(&f->g, 0);
	guestq_avail(&f->g, SIZE);
	assert_int_equal(virtq_pop(&f->q, &f->chain), -EPROTO);
	guestq_set_avail_idx(&f->g, 0);
	guestq_avail(&f->g, 65535);
	assert_int_equal(virtq_pop(&f->q, &f->chain), -EPROTO);
}

static void pop__refuses_avail_jumps(void **state)
{
	struct fixture *f = *state;
	guestq_set_avail_idx(&f->g, SIZE + 1);
	assert_int_equal(virtq_pop(&f->q, &f->chain), -EPROTO);
	guestq_set_avail_idx(&f->g, 65535); /* backwards */
	assert_int_equal(virtq_pop(&f->q, &f->chain), -EPROTO);
}

static void pop__refuses_readable_after_writable(void **state)
{
	struct fixture *f = *state;
	guestq_desc(&f->g, 0, DATA, 8, NEXT | WRITE, 1);
	guestq_desc(&f->g, 1, DATA, 8, 0, 0);
	guestq_avail(&f->g, 0);
	assert_int_equal(virtq_pop(&f->q, &f->chain), -EPROTO);
}

static void pop__refuses_what_is_not_memory(void **state)
{
	struct fixture *f = *state;
	static const struct guestbuf bad[] = {
		{ RIG_RAM_BYTES, 1 },
		{ RIG_RAM_BYTES - 1, 2 },
		{ 0, UINT32_MAX },
		{ DATA, UINT32_MAX },
		{ UINT64_MAX, 1 },
		{ UINT64_MAX, 2 },
		{ UINT64_MAX - 4095, UINT32_MAX },
		{ VM_MMIO_START, 4 },
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		guestq_set_avail_idx(&f->g, 0);
		guestq_add(&f->g, &bad[i], i % 2, 1 - i % 2);
		assert_int_equal(virtq_pop(&f->q, &f->chain), -EPROTO);
	}
}

static void pop__refuses_lengths_that_wrap(void **state)
{
	/* more RAM than 32 bits can count */
	struct fixture *big = setup_with(6ULL << 30, 0);
	(void)state;
	const struct guestbuf bufs[] = { { 1ULL << 32, 0x70000000 },
					 { 1ULL << 32, 0x70000000 },
					 { 1ULL << 32, 0x70000000 } };
	guestq_add(&big->g, bufs, 2, 0);
	assert_int_equal(virtq_pop(&big->q, &big->chain), 1);
	assert_int_equal(big->chain.read_bytes, 0xe0000000);
	guestq_add(&big->g, bufs, 3, 0);
	assert_int_equal(virtq_pop(&big->q, &big->chain), -EPROTO);
	void *state_big = big;
	(void)teardown(&state_big);
}

static void pop__refuses_more_buffers_than_there_is_room(void **state)
{
	struct fixture *f = *state;
	const struct guestbuf bufs[] = { { DATA, 1 }, { DATA + 1, 1 }, { DATA + 2, 1 } };
	virtq_chain_init(&f->chain, f->iov, 2);
	guestq_add(&f->g, bufs, 1, 1);
	guestq_add(&f->g, bufs, 2, 1);
	assert_int_equal(virtq_pop(&f->q, &f->chain), 1);
	assert_int_equal(virtq_pop(&f->q, &f->chain), -EPROTO);
}

static void pop__refuses_more_chains_than_entries(void **state)
{
	struct fixture *f = *state;
	guestq_desc(&f->g, 0, DATA, 8, 0, 0);
	for (int i = 0; i < SIZE; i++)
		guestq_avail(&f->g, 0);
	for (int i = 0; i < SIZE; i++)
		assert_int_equal(virtq_pop(&f->q, &f->chain), 1);
	guestq_avail(&f->g, 0); /* the same head once more, none was given back */
	assert_int_equal(virtq_pop(&f->q, &f->chain), -EPROTO);
	virtq_push(&f->q, 0, 0);
	assert_int_equal(virtq_pop(&f->q, &f->chain), 1);
}

static void pop__takes_empty_buffers(void **state)
{
	struct fixture *f = *state;
	const struct guestbuf bufs[] = { { DATA, 0 }, { UINT64_MAX, 0 }, { DATA, 0 } };
	guestq_add(&f->g, bufs, 2, 1);
	assert_int_equal(virtq_pop(&f->q, &f->chain), 1);
	assert_int_equal(f->chain.n_read + f->chain.n_write, 0);
}

static void pop__cuts_buffers_where_regions_meet(void **state)
{
	struct err err = ERR_INIT;
	(void)state;
	void *big = setup_with(4ULL << 30, 0);
	struct fixture *f = big;
	uint8_t *file =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(file, MAP_FAILED);
	gpa_t start_gpa, end = memory_high_end(f->rig.vm.memory);
	assert_int_equal(memory_add_file(f->rig.vm.memory, file, 4096, true, &start_gpa, &err), 0);
	assert_int_equal(start_gpa, end);
	const struct guestbuf buf = { end - 10, 20 };
	guestq_add(&f->g, &buf, 1, 0);
	assert_int_equal(virtq_pop(&f->q, &f->chain), 1);
	assert_int_equal(f->chain.n_read, 2);
	assert_int_equal(f->chain.iov[0].iov_len, 10);
	assert_ptr_equal(f->chain.iov[1].iov_base, file);
	/* the device may not write where the region is read-only */
	guestq_add(&f->g, &buf, 0, 1);
	assert_int_equal(virtq_pop(&f->q, &f->chain), -EPROTO);
	(void)teardown(&big);
}

/* ---- indirect ---- */

static void indirect__needs_to_be_negotiated(void **state)
{
	struct fixture *f = *state;
	guest_desc(&f->rig, DATA, 0, DATA + 4096, 8, 0, 0);
	guestq_desc(&f->g, 0, DATA, 16, INDIRECT, 0);
	guestq_avail(&f->g, 0);
	assert_int_equal(virtq_pop(&f->q, &f->chain), -EPROTO);
}

static void indirect__follows_the_table(void **state)
{
	struct fixture *f = *state;
	guest_desc(&f->rig, DATA, 0, DATA + 4096, 8, NEXT, 2);
	guest_desc(&f->rig, DATA, 2, DATA + 8192, 9, WRITE, 0);
	guestq_desc(&f->g, 5, DATA + 64, 3, NEXT, 6); /* a direct one first is allowed */
	guestq_desc(&f->g, 6, DATA, 48, INDIRECT | WRITE, 0);
	guestq_avail(&f->g, 5);
	assert_int_equal(virtq_pop(&f->q, &f->chain), 1);
	assert_int_equal(f->chain.head, 5);
	assert_int_equal(f->chain.read_bytes, 11);
	assert_int_equal(f->chain.write_bytes, 9);
}

static void indirect__refuses_bad_tables(void **state)
{
	struct fixture *f = *state;
	static const struct {
		gpa_t table;
		uint32_t len;
		uint16_t flags;
	} bad[] = {
		{ DATA, 0, INDIRECT },  /* empty */
		{ DATA, 15, INDIRECT }, /* no whole descriptor */
		{ DATA, 17, INDIRECT },
		{ DATA, 16 * (SIZE + 1), INDIRECT }, /* longer than the queue */
		{ DATA, UINT32_MAX, INDIRECT },
		{ DATA, UINT32_MAX - 15, INDIRECT },
		{ DATA, 16, INDIRECT | NEXT },        /* nothing may follow */
		{ RIG_RAM_BYTES - 16, 32, INDIRECT }, /* over the end */
		{ UINT64_MAX - 15, 32, INDIRECT },
	};
	guest_desc(&f->rig, DATA, 0, DATA + 4096, 8, 0, 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		guestq_desc(&f->g, 0, bad[i].table, bad[i].len, bad[i].flags, 1);
		guestq_desc(&f->g, 1, DATA + 4096, 8, 0, 0);
		guestq_set_avail_idx(&f->g, 0);
		guestq_avail(&f->g, 0);
		assert_int_equal(virtq_pop(&f->q, &f->chain), -EPROTO);
	}
}

static void indirect__refuses_indirect_in_indirect(void **state)
{
	struct fixture *f = *state;
	guest_desc(&f->rig, DATA, 0, DATA, 16, INDIRECT, 0); /* itself */
	guestq_desc(&f->g, 0, DATA, 16, INDIRECT, 0);
	guestq_avail(&f->g, 0);
	assert_int_equal(virtq_pop(&f->q, &f->chain), -EPROTO);
}

static void indirect__refuses_loops_and_overruns_in_the_table(void **state)
{
	struct fixture *f = *state;
	guest_desc(&f->rig, DATA, 0, DATA + 4096, 8, NEXT, 1);
	guest_desc(&f->rig, DATA, 1, DATA + 4096, 8, NEXT, 0);
	guestq_desc(&f->g, 0, DATA, 32, INDIRECT, 0);
	guestq_avail(&f->g, 0);
	assert_int_equal(virtq_pop(&f->q, &f->chain), -EPROTO);
	guest_desc(&f->rig, DATA, 1, DATA + 4096, 8, NEXT, 2); /* next is past the table */
	assert_int_equal(virtq_pop(&f->q, &f->chain), -EPROTO);
}

static void indirect__takes_an_unaligned_table(void **state)
{
	struct fixture *f = *state;
	guest_desc(&f->rig, DATA + 3, 0, DATA + 4096, 8, 0, 0);
	guestq_desc(&f->g, 0, DATA + 3, 16, INDIRECT, 0);
	guestq_avail(&f->g, 0);
	assert_int_equal(virtq_pop(&f->q, &f->chain), 1);
	assert_int_equal(f->chain.read_bytes, 8);
}

/* ---- push, publish, kicks ---- */

static void push__is_invisible_before_publish(void **state)
{
	struct fixture *f = *state;
	const struct guestbuf buf = { DATA, 8 };
	uint32_t id, len;
	uint16_t head = guestq_add(&f->g, &buf, 0, 1);
	assert_int_equal(virtq_pop(&f->q, &f->chain), 1);
	virtq_push(&f->q, f->chain.head, 7);
	assert_false(guestq_used(&f->g, &id, &len));
	assert_true(virtq_publish(&f->q));
	assert_true(guestq_used(&f->g, &id, &len));
	assert_int_equal(id, head);
	assert_int_equal(len, 7);
	assert_false(virtq_publish(&f->q)); /* nothing new */
}

static void unpop__gives_the_same_chain_again(void **state)
{
	struct fixture *f = *state;
	const struct guestbuf bufs[] = { { DATA, 8 }, { DATA, 9 } };
	guestq_add(&f->g, bufs, 1, 0);
	guestq_add(&f->g, bufs + 1, 1, 0);
	assert_int_equal(virtq_pop(&f->q, &f->chain), 1);
	virtq_unpop(&f->q);
	assert_true(virtq_enable_kicks(&f->q));
	assert_int_equal(virtq_pop(&f->q, &f->chain), 1);
	assert_int_equal(f->chain.read_bytes, 8);
	assert_int_equal(virtq_pop(&f->q, &f->chain), 1);
	assert_int_equal(f->chain.read_bytes, 9);
	assert_false(virtq_enable_kicks(&f->q));
}

static void publish__honours_no_interrupt_flag(void **state)
{
	struct fixture *f = *state;
	guestq_set_avail_flags(&f->g, VRING_AVAIL_F_NO_INTERRUPT);
	f->q.in_flight = 2;
	virtq_push(&f->q, 0, 0);
	assert_false(virtq_publish(&f->q));
	guestq_set_avail_flags(&f->g, 0);
	virtq_push(&f->q, 0, 0);
	assert_true(virtq_publish(&f->q));
}

static void kicks__are_switched_by_flag(void **state)
{
	struct fixture *f = *state;
	virtq_disable_kicks(&f->q);
	assert_int_equal(guestq_used_flags(&f->g), VRING_USED_F_NO_NOTIFY);
	guestq_set_avail_idx(&f->g, 1);
	assert_true(virtq_enable_kicks(&f->q));
	assert_int_equal(guestq_used_flags(&f->g), 0);
}

static void event_idx__interrupts_only_when_passed(void **state)
{
	struct fixture *f = *state;
	guestq_set_used_event(&f->g, 1); /* at the second one */
	f->q.in_flight = 4;
	virtq_push(&f->q, 0, 0);
	assert_false(virtq_publish(&f->q));
	virtq_push(&f->q, 0, 0);
	assert_true(virtq_publish(&f->q));
	virtq_push(&f->q, 0, 0);
	assert_false(virtq_publish(&f->q));
	guestq_set_used_event(&f->g, 3);
	virtq_push(&f->q, 0, 0);
	assert_true(virtq_publish(&f->q));
}

static void event_idx__works_over_the_wrap(void **state)
{
	struct fixture *f = *state;
	const struct guestbuf buf = { DATA, 8 };
	uint32_t id, len;
	guestq_set_used_event(&f->g, 65535);
	for (uint32_t i = 0; i < 65536 + 10; i++) {
		guestq_add(&f->g, &buf, 1, 0);
		assert_int_equal(virtq_pop(&f->q, &f->chain), 1);
		assert_false(virtq_enable_kicks(&f->q));
		assert_int_equal(guestq_avail_event(&f->g), (i + 1) & 0xffff);
		virtq_push(&f->q, f->chain.head, i);
		assert_int_equal(virtq_publish(&f->q), i == 65535);
		assert_true(guestq_used(&f->g, &id, &len));
		assert_int_equal(len, i);
	}
}

/* ---- copies ---- */

static void chain_copies__stop_where_the_chain_ends(void **state)
{
	struct fixture *f = *state;
	const struct guestbuf bufs[] = { { DATA, 3 }, { DATA + 100, 5 }, { DATA + 200, 2 } };
	guestq_add(&f->g, bufs, 1, 2);
	assert_int_equal(virtq_pop(&f->q, &f->chain), 1);
	char buf[16] = "";
	assert_int_equal(chain_read(&f->chain, 0, buf, sizeof(buf)), 3);
	assert_int_equal(chain_read(&f->chain, 3, buf, sizeof(buf)), 0);
	assert_int_equal(chain_read(&f->chain, SIZE_MAX, buf, sizeof(buf)), 0);
	assert_int_equal(chain_write(&f->chain, 4, "ABCDEFG", 7), 3);
	rig_get(&f->rig, DATA + 104, buf, 1);
	rig_get(&f->rig, DATA + 200, buf + 1, 2);
	assert_memory_equal(buf, "ABC", 3);
}

static void chain_slice__cuts_and_bounds(void **state)
{
	struct fixture *f = *state;
	const struct guestbuf bufs[] = { { DATA, 16 }, { DATA + 100, 5 }, { DATA + 200, 6 } };
	struct iovec out[2];
	guestq_add(&f->g, bufs, 1, 2);
	assert_int_equal(virtq_pop(&f->q, &f->chain), 1);
	assert_int_equal(chain_slice(&f->chain, true, 2, 8, out, 2), 2);
	assert_int_equal(out[0].iov_len, 3);
	assert_int_equal(out[1].iov_len, 5);
	assert_int_equal(chain_slice(&f->chain, true, 2, 8, out, 1), -EMSGSIZE);
	assert_int_equal(chain_slice(&f->chain, true, 0, 12, out, 2), -ERANGE);
	assert_int_equal(chain_slice(&f->chain, false, 16, 0, out, 2), 0);
	assert_int_equal(chain_slice(&f->chain, false, 0, 16, out, 2), 1);
}

#define T(name)  cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TF(name) cmocka_unit_test_setup_teardown(name, setup_features, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(start__refuses_bad_sizes),
		T(start__refuses_unaligned_rings),
		T(start__takes_rings_that_end_with_memory),
		T(start__refuses_rings_that_wrap),
		T(pop__returns_nothing_from_an_empty_ring),
		T(pop__gives_buffers_in_order),
		T(pop__refuses_looped_chain),
		T(pop__refuses_self_loop),
		T(pop__takes_a_chain_as_long_as_the_queue),
		T(pop__refuses_next_and_head_beyond_the_queue),
		T(pop__refuses_avail_jumps),
		T(pop__refuses_readable_after_writable),
		T(pop__refuses_what_is_not_memory),
		T(pop__refuses_lengths_that_wrap),
		T(pop__refuses_more_buffers_than_there_is_room),
		T(pop__refuses_more_chains_than_entries),
		T(pop__takes_empty_buffers),
		T(pop__cuts_buffers_where_regions_meet),
		T(indirect__needs_to_be_negotiated),
		TF(indirect__follows_the_table),
		TF(indirect__refuses_bad_tables),
		TF(indirect__refuses_indirect_in_indirect),
		TF(indirect__refuses_loops_and_overruns_in_the_table),
		TF(indirect__takes_an_unaligned_table),
		T(push__is_invisible_before_publish),
		T(unpop__gives_the_same_chain_again),
		T(publish__honours_no_interrupt_flag),
		T(kicks__are_switched_by_flag),
		TF(event_idx__interrupts_only_when_passed),
		TF(event_idx__works_over_the_wrap),
		T(chain_copies__stop_where_the_chain_ends),
		T(chain_slice__cuts_and_bounds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
