/* SPDX-License-Identifier: Apache-2.0 */
/* test_virtio_mmio - the register window: every register, every width, and what a
 * driver may not do. */
#include "rig.h"

#include <stdlib.h>
#include <string.h>

#define READY                                                                                      \
	(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK |      \
	 VIRTIO_CONFIG_S_DRIVER_OK)
#define CONFIG_BYTES 10

struct toy {
	struct virtio v;
	uint8_t config[CONFIG_BYTES];
	int kicks;
};

struct fixture {
	struct rig rig;
	struct toy toy;
	struct guestq g;
};

static void toy_config_read(struct virtio *v, uint32_t offset, void *data, uint32_t size)
{
	assert_true(offset + size <= CONFIG_BYTES);
	memcpy(data, ((struct toy *)v)->config + offset, size);
}

static void toy_config_write(struct virtio *v, uint32_t offset, const void *data, uint32_t size)
{
	assert_true(offset + size <= CONFIG_BYTES);
	memcpy(((struct toy *)v)->config + offset, data, size);
}

static void toy_kick(struct virtio *v, unsigned int index)
{
	(void)index;
	((struct toy *)v)->kicks++;
}

static const struct virtio_type toy_type = { .id = 0x1234,
					     .kick = toy_kick,
					     .config_read = toy_config_read,
					     .config_write = toy_config_write };

static int setup(void **state)
{
	struct err err = ERR_INIT;
	struct fixture *f = calloc(1, sizeof(*f));
	assert_non_null(f);
	rig_init(&f->rig, 0);
	strcpy(f->toy.v.device.id, "toy0");
	for (int i = 0; i < CONFIG_BYTES; i++)
		f->toy.config[i] = (uint8_t)(0xa0 + i);
	assert_int_equal(
		virtio_init(&f->toy.v, &f->rig.vm, NULL, &toy_type, 1, 8, 0, CONFIG_BYTES, &err),
		0);
	(void)guestq_init(&f->g, &f->rig, 0x10000, 8);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	virtio_fini(&f->toy.v);
	rig_fini(&f->rig);
	free(f);
	return 0;
}

static void identity__is_virtio_mmio_2(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_MAGIC_VALUE), 0x74726976);
	assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_VERSION), 2);
	assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_DEVICE_ID), 0x1234);
	assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_QUEUE_NUM_MAX), 8);
}

static void features__come_in_two_words(void **state)
{
	struct fixture *f = *state;
	static const uint32_t want[] = {
		1u << VIRTIO_RING_F_EVENT_IDX | 1u << VIRTIO_RING_F_INDIRECT_DESC, 1, 0, 0
	};
	static const uint32_t select[] = { 0, 1, 2, UINT32_MAX };
	for (int i = 0; i < 4; i++) {
		rig_write(&f->rig, 0, VIRTIO_MMIO_DEVICE_FEATURES_SEL, select[i]);
		assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_DEVICE_FEATURES), want[i]);
	}
}

static void queue_select__beyond_the_queues_is_nothing(void **state)
{
	struct fixture *f = *state;
	static const uint32_t select[] = { 1, 34, 65536, UINT32_MAX };
	for (int i = 0; i < 4; i++) {
		rig_write(&f->rig, 0, VIRTIO_MMIO_QUEUE_SEL, select[i]);
		assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_QUEUE_NUM_MAX), 0);
		rig_write(&f->rig, 0, VIRTIO_MMIO_QUEUE_READY, 1);
		assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_QUEUE_READY), 0);
	}
}

static void shared_memory__does_not_exist(void **state)
{
	struct fixture *f = *state;
	rig_write(&f->rig, 0, VIRTIO_MMIO_SHM_SEL, 0);
	assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_SHM_LEN_LOW), UINT32_MAX);
	assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_SHM_LEN_HIGH), UINT32_MAX);
}

/* A size of 65536 + 8 must not become 8. */
static void queue_size__is_not_cut(void **state)
{
	struct fixture *f = *state;
	static const uint32_t bad[] = { 0, 3, 16, 65535, 65536 + 8, UINT32_MAX };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct guestq none = f->g;
		assert_int_equal(rig_start(&f->rig, 0, 0, &none, 0), READY);
		rig_write(&f->rig, 0, VIRTIO_MMIO_STATUS, 0);
		rig_write(&f->rig, 0, VIRTIO_MMIO_QUEUE_NUM, bad[i]);
		rig_write(&f->rig, 0, VIRTIO_MMIO_QUEUE_DESC_LOW, (uint32_t)f->g.desc);
		rig_write(&f->rig, 0, VIRTIO_MMIO_QUEUE_AVAIL_LOW, (uint32_t)f->g.avail);
		rig_write(&f->rig, 0, VIRTIO_MMIO_QUEUE_USED_LOW, (uint32_t)f->g.used);
		rig_write(&f->rig, 0, VIRTIO_MMIO_QUEUE_READY, 1);
		rig_write(&f->rig, 0, VIRTIO_MMIO_STATUS, 3);
		rig_write(&f->rig, 0, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
		rig_write(&f->rig, 0, VIRTIO_MMIO_DRIVER_FEATURES, 1);
		rig_write(&f->rig, 0, VIRTIO_MMIO_STATUS, 3 | VIRTIO_CONFIG_S_FEATURES_OK);
		rig_write(&f->rig, 0, VIRTIO_MMIO_STATUS, READY);
		assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_STATUS),
				 READY | VIRTIO_CONFIG_S_NEEDS_RESET);
		assert_false(f->toy.v.queues[0].live);
	}
}

/* CVE-2026-5747: what was checked at DRIVER_OK stays so. */
static void queue_registers__freeze_at_driver_ok(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(rig_start(&f->rig, 0, 0, &f->g, 1), READY);
	const struct virtq before = f->toy.v.queues[0];
	rig_write(&f->rig, 0, VIRTIO_MMIO_QUEUE_READY, 0);
	rig_write(&f->rig, 0, VIRTIO_MMIO_QUEUE_NUM, 0);
	rig_write(&f->rig, 0, VIRTIO_MMIO_QUEUE_DESC_LOW, 0xffffffff);
	rig_write(&f->rig, 0, VIRTIO_MMIO_QUEUE_USED_HIGH, 0xffffffff);
	assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_QUEUE_READY), 1);
	assert_memory_equal(&before, &f->toy.v.queues[0], sizeof(before));
	rig_write(&f->rig, 0, VIRTIO_MMIO_STATUS, 0);
	assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_QUEUE_READY), 0);
}

static void queue_addresses__settle_with_ready(void **state)
{
	struct fixture *f = *state;
	rig_write(&f->rig, 0, VIRTIO_MMIO_QUEUE_NUM, 8);
	rig_write(&f->rig, 0, VIRTIO_MMIO_QUEUE_READY, 1);
	rig_write(&f->rig, 0, VIRTIO_MMIO_QUEUE_NUM, 4);
	rig_write(&f->rig, 0, VIRTIO_MMIO_QUEUE_READY, 0);
	assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_QUEUE_READY), 0);
}

static void interrupt__is_raised_and_acknowledged(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(rig_start(&f->rig, 0, 0, &f->g, 1), READY);
	virtio_config_changed(&f->toy.v);
	assert_int_equal(rig_irqs(&f->rig, 0), 1);
	assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_INTERRUPT_STATUS),
			 VIRTIO_MMIO_INT_CONFIG);
	rig_write(&f->rig, 0, VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_VRING);
	assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_INTERRUPT_STATUS),
			 VIRTIO_MMIO_INT_CONFIG);
	rig_write(&f->rig, 0, VIRTIO_MMIO_INTERRUPT_ACK, UINT32_MAX);
	assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
}

static void config_generation__counts_changes(void **state)
{
	struct fixture *f = *state;
	uint32_t before = rig_read(&f->rig, 0, VIRTIO_MMIO_CONFIG_GENERATION);
	virtio_config_changed(&f->toy.v);
	assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_CONFIG_GENERATION), before + 1);
	virtio_fail(&f->toy.v, "nothing changed in the configuration");
	assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_CONFIG_GENERATION), before + 1);
}

static void notify__that_exits_is_a_kick_too(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(rig_start(&f->rig, 0, 0, &f->g, 1), READY);
	int before = f->toy.kicks;
	rig_write(&f->rig, 0, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	rig_turn(&f->rig);
	assert_int_equal(f->toy.kicks, before + 1);
	rig_write(&f->rig, 0, VIRTIO_MMIO_QUEUE_NOTIFY, 1);
	rig_write(&f->rig, 0, VIRTIO_MMIO_QUEUE_NOTIFY, UINT32_MAX);
	rig_turn(&f->rig);
	assert_int_equal(f->toy.kicks, before + 1);
}

static void config__reads_any_width_and_zeroes_behind_it(void **state)
{
	struct fixture *f = *state;
	for (unsigned int offset = 0; offset < 2 * CONFIG_BYTES; offset++) {
		for (unsigned int size = 1; size <= 8; size++) {
			uint8_t data[8], want[8] = { 0 };
			memset(data, 0x55, sizeof(data));
			for (unsigned int i = 0; i < size && offset + i < CONFIG_BYTES; i++)
				want[i] = (uint8_t)(0xa0 + offset + i);
			bus_read(f->rig.vm.bus, BUS_MMIO,
				 f->rig.windows[0] + VIRTIO_MMIO_CONFIG + offset, data, size);
			assert_memory_equal(data, want, size);
		}
	}
}

static void config__writes_only_within(void **state)
{
	struct fixture *f = *state;
	uint64_t base = f->rig.windows[0] + VIRTIO_MMIO_CONFIG;
	bus_write(f->rig.vm.bus, BUS_MMIO, base + 8, "\1\2", 2);
	assert_int_equal(f->toy.config[9], 2);
	bus_write(f->rig.vm.bus, BUS_MMIO, base + 8, "\3\4\5\6", 4); /* over the end: ignored */
	assert_int_equal(f->toy.config[9], 2);
	bus_write(f->rig.vm.bus, BUS_MMIO, base + CONFIG_BYTES, "\7", 1);
}

/* Every offset at every width: odd ones read as zero and change nothing. */
static void registers__take_odd_accesses(void **state)
{
	struct fixture *f = *state;
	for (uint64_t offset = 0; offset < VM_MMIO_SIZE; offset++) {
		for (unsigned int size = 1; size <= 8; size++) {
			uint8_t data[8], zero[8] = { 0 };
			uint64_t at = f->rig.windows[0] + offset;
			memset(data, 0xff, sizeof(data));
			if (offset != VIRTIO_MMIO_STATUS || size != 4)
				bus_write(f->rig.vm.bus, BUS_MMIO, at, data, size);
			bus_read(f->rig.vm.bus, BUS_MMIO, at, data, size);
			bool whole = size == 4 && offset % 4 == 0;
			if (offset + size <= VIRTIO_MMIO_CONFIG && !whole)
				assert_memory_equal(data, zero, size);
		}
	}
	assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_STATUS), 0);
	assert_int_equal(rig_start(&f->rig, 0, 0, &f->g, 1), READY);
}

static void registers__that_do_not_exist_read_as_zero(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(rig_read(&f->rig, 0, 0x018), 0);
	assert_int_equal(rig_read(&f->rig, 0, 0x0c0), 0); /* QueueReset is not offered */
	assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_QUEUE_NOTIFY), 0);
	assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_QUEUE_DESC_LOW), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(identity__is_virtio_mmio_2),
		T(features__come_in_two_words),
		T(queue_select__beyond_the_queues_is_nothing),
		T(shared_memory__does_not_exist),
		T(queue_size__is_not_cut),
		T(queue_registers__freeze_at_driver_ok),
		T(queue_addresses__settle_with_ready),
		T(interrupt__is_raised_and_acknowledged),
		T(config_generation__counts_changes),
		T(notify__that_exits_is_a_kick_too),
		T(config__reads_any_width_and_zeroes_behind_it),
		T(config__writes_only_within),
		T(registers__take_odd_accesses),
		T(registers__that_do_not_exist_read_as_zero),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
