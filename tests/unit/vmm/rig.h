/* SPDX-License-Identifier: Apache-2.0 */
/* rig - a VM without KVM for unit tests: real guest memory, bus and loop; the rest
 * of vm.h is made here (vm_call() is a plain call, warnings are kept). And the other
 * side of a virtqueue: a small driver that can also break every rule. */
#pragma once

#include "vmm/virtio.h"
#include "vmm/virtq.h"
#include "vmm/vm.h"

#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define RIG_RAM_BYTES   (4ULL << 20)
#define RIG_WINDOWS_MAX 18

struct rig {
	struct vm vm; /* first: rig_of() */
	unsigned int n_windows;
	uint64_t windows[RIG_WINDOWS_MAX];
	int irq_fds[RIG_WINDOWS_MAX]; /* ours: duplicates */
	uint64_t n_irqs[RIG_WINDOWS_MAX];
	uint32_t places; /* that ACPI would tell of; vm.platform is the rig */
	unsigned int n_warns;
	char warn[512]; /* the last */
	bool ended;
	enum vm_reason reason;
};

/* A machine with @ram_bytes of RAM (0: RIG_RAM_BYTES) and an empty bus. Fails the test. */
void rig_init(struct rig *rig, uint64_t ram_bytes);
/* After the devices are freed: closes the loop, which must be empty then. */
void rig_fini(struct rig *rig);
/* Lets the loop do what it can without waiting; up to @ms for rig_wait() until
 * @is_done. rig_wait() fails the test when the time is over. */
void rig_turn(struct rig *rig);
void rig_wait(struct rig *rig, bool (*is_done)(void *arg), void *arg, unsigned int ms);
/* Interrupts of device @window since the last call. */
uint64_t rig_irqs(struct rig *rig, unsigned int window);

/* Guest memory; fails the test outside of it. */
void rig_put(struct rig *rig, gpa_t gpa, const void *data, size_t size);
void rig_get(struct rig *rig, gpa_t gpa, void *data, size_t size);

/* Registers of device @window (in the order of virtio_init()), 32 bits. */
uint32_t rig_read(struct rig *rig, unsigned int window, uint32_t offset);
void rig_write(struct rig *rig, unsigned int window, uint32_t offset, uint32_t value);

/* The driver's side of one queue. */
struct guestq {
	struct rig *rig;
	uint16_t size;
	gpa_t desc, avail, used;
	uint16_t next_desc; /* descriptors are taken in a circle */
	uint16_t avail_idx, last_used;
};

struct guestbuf {
	gpa_t gpa;
	uint32_t len;
};

/* Lays the rings out from @base on (any alignment of 4096), all zero. Returns the
 * first address behind them, rounded up to 4096. */
gpa_t guestq_init(struct guestq *g, struct rig *rig, gpa_t base, uint16_t size);
struct virtq_config guestq_config(const struct guestq *g);
/* Raw descriptor @i. */
void guestq_desc(struct guestq *g, uint16_t i, gpa_t gpa, uint32_t len, uint16_t flags,
		 uint16_t next);
/* A descriptor of an indirect table at @table. */
void guest_desc(struct rig *rig, gpa_t table, uint16_t i, gpa_t gpa, uint32_t len, uint16_t flags,
		uint16_t next);
/* Makes @head available and moves the index on. */
void guestq_avail(struct guestq *g, uint16_t head);
/* A chain of @n_out buffers for the device to read, then @n_in to write. Returns its
 * head. */
uint16_t guestq_add(struct guestq *g, const struct guestbuf *bufs, unsigned int n_out,
		    unsigned int n_in);
/* The next used entry, if there is one. */
bool guestq_used(struct guestq *g, uint32_t *ret_id, uint32_t *ret_len);
uint16_t guestq_used_idx(const struct guestq *g);
void guestq_set_avail_idx(struct guestq *g, uint16_t idx);
void guestq_set_used_event(struct guestq *g, uint16_t event);
uint16_t guestq_avail_event(const struct guestq *g);
uint16_t guestq_used_flags(const struct guestq *g);
void guestq_set_avail_flags(struct guestq *g, uint16_t flags);

/* What a driver does from reset to DRIVER_OK, through the registers: takes @features
 * (VERSION_1 is added), sets up @n queues. Returns the status read back. */
uint32_t rig_start(struct rig *rig, unsigned int window, uint64_t features, struct guestq *queues,
		   unsigned int n);
/* A kick through the register (as if there were no ioeventfd), and a turn of the loop. */
void rig_kick(struct rig *rig, unsigned int window, unsigned int queue);
