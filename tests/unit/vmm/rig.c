/* SPDX-License-Identifier: Apache-2.0 */
/* rig - see rig.h. */
#include "rig.h"

#include "isola/fd.h"

#include "vmm/platform.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

static struct rig *rig_of(const struct vm *vm)
{
	return (struct rig *)(uintptr_t)vm;
}

/* ---- vm.h ---- */

void vm_end(struct vm *vm, enum vm_reason reason, int code, const char *fmt, ...)
{
	struct rig *rig = rig_of(vm);
	(void)code;
	(void)fmt;
	if (!rig->ended)
		rig->reason = reason;
	rig->ended = true;
}

void vm_call(struct vm *vm, void (*fn)(void *arg), void *arg)
{
	(void)vm;
	fn(arg);
}

void vm_warn(struct vm *vm, const char *fmt, ...)
{
	struct rig *rig = rig_of(vm);
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(rig->warn, sizeof(rig->warn), fmt, ap);
	va_end(ap);
	rig->n_warns++;
}

int vm_take_window(struct vm *vm, uint64_t *ret_start, uint32_t *ret_gsi, struct err *err)
{
	struct rig *rig = rig_of(vm);
	if (rig->n_windows == RIG_WINDOWS_MAX)
		return err_set(err, ENOSPC, "no more windows");
	*ret_start = rig->windows[rig->n_windows] = VM_MMIO_START + VM_MMIO_SIZE * rig->n_windows;
	*ret_gsi = rig->n_windows++;
	return 0;
}

int vm_mark_place(struct vm *vm, struct err *err)
{
	(void)err;
	return (int)vm->n_places++;
}

/* platform.h: which places were filled; not where the real one is linked. */
__attribute__((weak)) void platform_fill_place(struct platform *platform, unsigned int place)
{
	((struct rig *)(void *)platform)->places |= 1U << place;
}

int vm_irqfd(struct vm *vm, uint32_t gsi, struct err *err)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd < 0)
		return err_sys(err, "eventfd");
	rig_of(vm)->irq_fds[gsi] = fd_dup(fd);
	return fd;
}

int vm_ioeventfd(struct vm *vm, uint64_t addr, uint32_t value, struct err *err)
{
	(void)vm;
	(void)addr;
	(void)value;
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return fd < 0 ? err_sys(err, "eventfd") : fd;
}

void vm_pause(struct vm *vm, void (*done)(void *arg), void *arg)
{
	(void)vm;
	done(arg);
}

void vm_resume(struct vm *vm)
{
	(void)vm;
}

bool vm_is_paused(const struct vm *vm)
{
	(void)vm;
	return false;
}

/* ---- the machine ---- */

void rig_init(struct rig *rig, uint64_t ram_bytes)
{
	struct err err = ERR_INIT;
	memset(rig, 0, sizeof(*rig));
	for (unsigned int i = 0; i < RIG_WINDOWS_MAX; i++)
		rig->irq_fds[i] = -1;
	rig->vm.kvm_fd = rig->vm.vm_fd = -1;
	rig->vm.platform = (struct platform *)(void *)rig;
	const struct memory_args args = { .size_bytes = ram_bytes ? ram_bytes : RIG_RAM_BYTES,
					  .page_bytes = 4096 };
	assert_int_equal(memory_new(&args, &rig->vm.memory, &err), 0);
	assert_int_equal(bus_new(&rig->vm.bus, &err), 0);
	assert_int_equal(uv_loop_init(&rig->vm.loop), 0);
}

void rig_fini(struct rig *rig)
{
	for (int i = 0; i < 100 && uv_run(&rig->vm.loop, UV_RUN_NOWAIT); i++)
		;
	assert_int_equal(uv_loop_close(&rig->vm.loop), 0);
	for (unsigned int i = 0; i < RIG_WINDOWS_MAX; i++)
		fd_close(&rig->irq_fds[i]);
	bus_free(rig->vm.bus);
	memory_free(rig->vm.memory);
}

void rig_turn(struct rig *rig)
{
	for (int i = 0; i < 4; i++)
		(void)uv_run(&rig->vm.loop, UV_RUN_NOWAIT);
}

static uint64_t now_ms(void)
{
	struct timespec ts;
	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void on_tick(uv_timer_t *timer)
{
	(void)timer;
}

void rig_wait(struct rig *rig, bool (*is_done)(void *arg), void *arg, unsigned int ms)
{
	uint64_t end = now_ms() + ms;
	uv_timer_t tick; /* the loop wakes up now and then to look at the time */
	assert_int_equal(uv_timer_init(&rig->vm.loop, &tick), 0);
	assert_int_equal(uv_timer_start(&tick, on_tick, 10, 10), 0);
	while (!is_done(arg) && now_ms() < end)
		(void)uv_run(&rig->vm.loop, UV_RUN_ONCE);
	bool done = is_done(arg);
	uv_close((uv_handle_t *)&tick, NULL);
	(void)uv_run(&rig->vm.loop, UV_RUN_NOWAIT);
	assert_true(done);
}

uint64_t rig_irqs(struct rig *rig, unsigned int window)
{
	uint64_t n = 0;
	if (read(rig->irq_fds[window], &n, sizeof(n)) != sizeof(n))
		n = 0;
	rig->n_irqs[window] += n;
	return n;
}

void rig_put(struct rig *rig, gpa_t gpa, const void *data, size_t size)
{
	assert_int_equal(memory_write(rig->vm.memory, gpa, data, size), 0);
}

void rig_get(struct rig *rig, gpa_t gpa, void *data, size_t size)
{
	assert_int_equal(memory_read(rig->vm.memory, gpa, data, size), 0);
}

uint32_t rig_read(struct rig *rig, unsigned int window, uint32_t offset)
{
	uint32_t value = 0xdeadbeef;
	bus_read(rig->vm.bus, BUS_MMIO, rig->windows[window] + offset, &value, sizeof(value));
	return value;
}

void rig_write(struct rig *rig, unsigned int window, uint32_t offset, uint32_t value)
{
	bus_write(rig->vm.bus, BUS_MMIO, rig->windows[window] + offset, &value, sizeof(value));
}

/* ---- the driver ---- */

static uint16_t get16(const struct rig *rig, gpa_t gpa)
{
	uint16_t value;
	assert_int_equal(memory_read(rig->vm.memory, gpa, &value, sizeof(value)), 0);
	return value;
}

static void put16(struct rig *rig, gpa_t gpa, uint16_t value)
{
	rig_put(rig, gpa, &value, sizeof(value));
}

gpa_t guestq_init(struct guestq *g, struct rig *rig, gpa_t base, uint16_t size)
{
	*g = (struct guestq){ .rig = rig, .size = size, .desc = base };
	g->avail = base + sizeof(struct vring_desc) * size;
	g->used = (g->avail + 6 + sizeof(uint16_t) * size + 3) & ~3ULL;
	gpa_t end = (g->used + 6 + sizeof(struct vring_used_elem) * size + 4095) & ~4095ULL;
	cleanup_free void *zero = calloc(1, end - base);
	assert_non_null(zero);
	rig_put(rig, base, zero, end - base);
	return end;
}

struct virtq_config guestq_config(const struct guestq *g)
{
	return (struct virtq_config){
		.size = g->size, .desc = g->desc, .avail = g->avail, .used = g->used, .ready = true
	};
}

void guest_desc(struct rig *rig, gpa_t table, uint16_t i, gpa_t gpa, uint32_t len, uint16_t flags,
		uint16_t next)
{
	const struct vring_desc d = { .addr = gpa, .len = len, .flags = flags, .next = next };
	rig_put(rig, table + sizeof(d) * i, &d, sizeof(d));
}

void guestq_desc(struct guestq *g, uint16_t i, gpa_t gpa, uint32_t len, uint16_t flags,
		 uint16_t next)
{
	guest_desc(g->rig, g->desc, i, gpa, len, flags, next);
}

void guestq_set_avail_idx(struct guestq *g, uint16_t idx)
{
	g->avail_idx = idx;
	put16(g->rig, g->avail + 2, idx);
}

void guestq_avail(struct guestq *g, uint16_t head)
{
	put16(g->rig, g->avail + 4 + 2ULL * (g->avail_idx & (g->size - 1)), head);
	guestq_set_avail_idx(g, (uint16_t)(g->avail_idx + 1));
}

uint16_t guestq_add(struct guestq *g, const struct guestbuf *bufs, unsigned int n_out,
		    unsigned int n_in)
{
	uint16_t head = g->next_desc & (uint16_t)(g->size - 1);
	for (unsigned int i = 0; i < n_out + n_in; i++) {
		uint16_t at = g->next_desc++ & (uint16_t)(g->size - 1);
		uint16_t flags = i < n_out ? 0 : VRING_DESC_F_WRITE;
		if (i + 1 < n_out + n_in)
			flags |= VRING_DESC_F_NEXT;
		guestq_desc(g, at, bufs[i].gpa, bufs[i].len, flags,
			    g->next_desc & (uint16_t)(g->size - 1));
	}
	guestq_avail(g, head);
	return head;
}

bool guestq_used(struct guestq *g, uint32_t *ret_id, uint32_t *ret_len)
{
	if (guestq_used_idx(g) == g->last_used)
		return false;
	struct vring_used_elem e;
	rig_get(g->rig, g->used + 4 + sizeof(e) * (g->last_used & (g->size - 1)), &e, sizeof(e));
	g->last_used++;
	*ret_id = e.id;
	*ret_len = e.len;
	return true;
}

uint16_t guestq_used_idx(const struct guestq *g)
{
	return get16(g->rig, g->used + 2);
}

void guestq_set_used_event(struct guestq *g, uint16_t event)
{
	put16(g->rig, g->avail + 4 + 2ULL * g->size, event);
}

uint16_t guestq_avail_event(const struct guestq *g)
{
	return get16(g->rig, g->used + 4 + 8ULL * g->size);
}

uint16_t guestq_used_flags(const struct guestq *g)
{
	return get16(g->rig, g->used);
}

void guestq_set_avail_flags(struct guestq *g, uint16_t flags)
{
	put16(g->rig, g->avail, flags);
}

static void write_gpa(struct rig *rig, unsigned int window, uint32_t low, gpa_t gpa)
{
	rig_write(rig, window, low, (uint32_t)gpa);
	rig_write(rig, window, low + 4, (uint32_t)(gpa >> 32));
}

uint32_t rig_start(struct rig *rig, unsigned int window, uint64_t features, struct guestq *queues,
		   unsigned int n)
{
	features |= 1ULL << VIRTIO_F_VERSION_1;
	rig_write(rig, window, VIRTIO_MMIO_STATUS, 0);
	uint32_t status = VIRTIO_CONFIG_S_ACKNOWLEDGE;
	rig_write(rig, window, VIRTIO_MMIO_STATUS, status);
	rig_write(rig, window, VIRTIO_MMIO_STATUS, status |= VIRTIO_CONFIG_S_DRIVER);
	for (uint32_t i = 0; i < 2; i++) {
		rig_write(rig, window, VIRTIO_MMIO_DRIVER_FEATURES_SEL, i);
		rig_write(rig, window, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(features >> 32 * i));
	}
	rig_write(rig, window, VIRTIO_MMIO_STATUS, status |= VIRTIO_CONFIG_S_FEATURES_OK);
	for (unsigned int i = 0; i < n; i++) {
		rig_write(rig, window, VIRTIO_MMIO_QUEUE_SEL, i);
		rig_write(rig, window, VIRTIO_MMIO_QUEUE_NUM, queues[i].size);
		write_gpa(rig, window, VIRTIO_MMIO_QUEUE_DESC_LOW, queues[i].desc);
		write_gpa(rig, window, VIRTIO_MMIO_QUEUE_AVAIL_LOW, queues[i].avail);
		write_gpa(rig, window, VIRTIO_MMIO_QUEUE_USED_LOW, queues[i].used);
		rig_write(rig, window, VIRTIO_MMIO_QUEUE_READY, 1);
	}
	rig_write(rig, window, VIRTIO_MMIO_STATUS, status | VIRTIO_CONFIG_S_DRIVER_OK);
	return rig_read(rig, window, VIRTIO_MMIO_STATUS);
}

void rig_kick(struct rig *rig, unsigned int window, unsigned int queue)
{
	rig_write(rig, window, VIRTIO_MMIO_QUEUE_NOTIFY, queue);
	rig_turn(rig);
}
