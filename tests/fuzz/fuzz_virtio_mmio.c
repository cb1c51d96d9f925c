/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_virtio_mmio - registers of two live devices, and the guest's memory, written
 * in any order at any width: what identifies a device stays, status bits only leave
 * by a reset, features stay within what was offered.
 *
 * Input: a run of steps. First byte: bits 0-1 width (1, 2, 4, 8), bit 2 write, bit 3
 * which device, bit 4 memory instead of a register, bit 5 let the loop turn. Then two
 * bytes of offset (memory: in units of 8 bytes), and what is written. */
#include "rig.h"

#include <stdlib.h>
#include <string.h>

#define STEPS_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

extern const struct device_type device_rng, device_balloon;

struct step {
	unsigned int width;
	bool write, memory, turn;
	unsigned int device;
	uint16_t offset;
	uint8_t data[8];
};

static void check(bool good)
{
	if (!good)
		abort();
}

static bool take(const uint8_t **data, size_t *size, void *out, size_t n)
{
	if (*size < n)
		return false;
	memcpy(out, *data, n);
	*data += n;
	*size -= n;
	return true;
}

static bool next_step(const uint8_t **data, size_t *size, struct step *ret)
{
	uint8_t kind;
	*ret = (struct step){ .width = 0 };
	if (!take(data, size, &kind, 1) || !take(data, size, &ret->offset, 2))
		return false;
	ret->width = 1U << (kind & 3);
	ret->write = kind & 4;
	ret->device = kind >> 3 & 1;
	ret->memory = kind & 16;
	ret->turn = kind & 32;
	return !ret->write || take(data, size, ret->data, ret->width);
}

static void carry_out(struct rig *rig, struct device *const *devices, struct step *s)
{
	const struct virtio *v = (const struct virtio *)devices[s->device];
	uint64_t base = rig->windows[s->device];
	uint8_t was = v->status;
	if (s->memory) {
		if (s->write)
			(void)memory_write(rig->vm.memory, s->offset * 8ULL, s->data, s->width);
		return;
	}
	if (!s->write) {
		bus_read(rig->vm.bus, BUS_MMIO, base + s->offset % VM_MMIO_SIZE, s->data, s->width);
		return;
	}
	bus_write(rig->vm.bus, BUS_MMIO, base + s->offset % VM_MMIO_SIZE, s->data, s->width);
	check(v->status == 0 || (v->status & was) == was);
	check(!(v->status & VIRTIO_CONFIG_S_FEATURES_OK) || !(v->features & ~v->offered));
}

static void check_identity(struct rig *rig, unsigned int window, uint32_t id)
{
	check(rig_read(rig, window, VIRTIO_MMIO_MAGIC_VALUE) == 0x74726976);
	check(rig_read(rig, window, VIRTIO_MMIO_VERSION) == 2);
	check(rig_read(rig, window, VIRTIO_MMIO_DEVICE_ID) == id);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct device_type *const types[] = { &device_rng, &device_balloon };
	struct rig rig;
	struct device *devices[2] = { NULL, NULL };
	uint32_t ids[2];
	struct err err = ERR_INIT;
	struct step step;
	rig_init(&rig, 0);
	for (unsigned int i = 0; i < 2; i++) {
		check(types[i]->make(&rig.vm, NULL, &devices[i], &err) == 0);
		ids[i] = rig_read(&rig, i, VIRTIO_MMIO_DEVICE_ID);
	}
	for (int i = 0; i < STEPS_MAX && next_step(&data, &size, &step); i++) {
		carry_out(&rig, devices, &step);
		if (step.turn)
			rig_turn(&rig);
	}
	rig_turn(&rig);
	for (unsigned int i = 0; i < 2; i++) {
		check_identity(&rig, i, ids[i]);
		rig_write(&rig, i, VIRTIO_MMIO_STATUS, 0);
		check(rig_read(&rig, i, VIRTIO_MMIO_STATUS) == 0);
		types[i]->free(devices[i]);
	}
	rig_fini(&rig);
	return 0;
}
