/* SPDX-License-Identifier: Apache-2.0 */
/* virtio - see virtio.h: the status machine, features, kicks and failures that all
 * virtio devices share. isola-vmm's loop thread. virtio 1.2, 2.1-2.4 and 3.1. */
#include "virtio.h"

#include "isola/fd.h"

#include "virtio_mmio.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATUS_READY (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER)
#define STATUS_DRIVERS                                                                             \
	(STATUS_READY | VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK |                  \
	 VIRTIO_CONFIG_S_FAILED)
#define STATUS_OVER (VIRTIO_CONFIG_S_NEEDS_RESET | VIRTIO_CONFIG_S_FAILED)

/* What every device here offers. */
#define FEATURES_COMMON                                                                            \
	(1ULL << VIRTIO_F_VERSION_1 | 1ULL << VIRTIO_RING_F_EVENT_IDX |                            \
	 1ULL << VIRTIO_RING_F_INDIRECT_DESC)

int virtio_init(struct virtio *v, struct vm *vm, const struct device_type *device_type,
		const struct virtio_type *type, unsigned int n, uint16_t queue_size,
		uint64_t offered, uint32_t config_size, struct err *err)
{
	if (n > VIRTIO_QUEUES_MAX || queue_size > VIRTQ_SIZE_MAX)
		return err_set(err, EINVAL, "%s: %u queues of %u entries are too many",
			       v->device.id, n, queue_size);
	v->queues = calloc(n ? n : 1, sizeof(*v->queues));
	if (!v->queues)
		return err_set(err, ENOMEM, "%s: out of memory", v->device.id);
	for (unsigned int i = 0; i < n; i++)
		v->queues[i].size_max = queue_size;
	v->device.vm = vm;
	v->device.type = device_type;
	v->type = type;
	v->n_queues = n;
	v->offered = offered | FEATURES_COMMON;
	v->config_size = config_size;
	int rc = virtio_mmio_new(v, &v->transport, err);
	if (rc < 0) {
		free(take_ptr(v->queues));
		return err_prefix(err, "%s", v->device.id);
	}
	return 0;
}

/* vCPUs read it at any time. */
static void status_add(struct virtio *v, uint8_t bits)
{
	__atomic_fetch_or(&v->status, bits, __ATOMIC_SEQ_CST);
}

static void stop(struct virtio *v)
{
	if (v->active && v->type->reset)
		v->type->reset(v);
	v->active = false;
	for (unsigned int i = 0; i < v->n_queues; i++)
		virtq_stop(&v->queues[i]);
	v->features = 0;
	__atomic_store_n(&v->status, 0, __ATOMIC_SEQ_CST);
}

void virtio_plug(struct virtio *v, uint64_t offered)
{
	__atomic_store_n(&v->offered, offered | FEATURES_COMMON, __ATOMIC_SEQ_CST);
	__atomic_store_n(&v->absent, false, __ATOMIC_SEQ_CST);
}

void virtio_unplug(struct virtio *v)
{
	__atomic_store_n(&v->absent, true, __ATOMIC_SEQ_CST);
	stop(v);
	v->transport->reset(v->transport);
}

void virtio_fini(struct virtio *v)
{
	if (v->queues)
		stop(v);
	if (v->transport)
		v->transport->free(v->transport);
	v->transport = NULL;
	free(take_ptr(v->queues));
}

void virtio_publish(struct virtio *v, unsigned int index)
{
	if (!virtq_publish(&v->queues[index]))
		return;
	v->n_interrupts++;
	v->transport->interrupt(v->transport, index);
}

void virtio_again(struct virtio *v, unsigned int index)
{
	v->transport->kick(v->transport, index);
}

void virtio_config_changed(struct virtio *v)
{
	v->transport->config_interrupt(v->transport, true);
}

void virtio_fail(struct virtio *v, const char *fmt, ...)
{
	char text[256];
	if (v->status & VIRTIO_CONFIG_S_NEEDS_RESET)
		return; /* the first reason is the one to know */
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	vm_warn(v->device.vm, "%s needs a reset by its driver: %s", v->device.id, text);
	status_add(v, VIRTIO_CONFIG_S_NEEDS_RESET);
	/* Before DRIVER_OK there is nobody to tell (2.1.2). */
	if (v->status & VIRTIO_CONFIG_S_DRIVER_OK)
		v->transport->config_interrupt(v->transport, false);
}

static bool features_good(const struct virtio *v, uint64_t features)
{
	return !(features & ~v->offered) && features >> VIRTIO_F_VERSION_1 & 1;
}

static void activate(struct virtio *v, const struct virtq_config *configs)
{
	struct err err = ERR_INIT;
	for (unsigned int i = 0; i < v->n_queues; i++) {
		if (!configs[i].ready)
			continue;
		if (virtq_start(&v->queues[i], v->device.vm->memory, &configs[i], v->features,
				&err) < 0) {
			virtio_fail(v, "queue %u: %s", i, err.text);
			return;
		}
	}
	if (v->type->activate && v->type->activate(v, &err) < 0) {
		virtio_fail(v, "%s", err.text);
		return;
	}
	v->active = true;
	/* A driver that kicked too early loses nothing. */
	for (unsigned int i = 0; i < v->n_queues; i++)
		virtio_kicked(v, i);
}

void virtio_set_status(struct virtio *v, uint8_t status, uint64_t features,
		       const struct virtq_config *configs)
{
	if (virtio_is_absent(v))
		return;
	if (status == 0) {
		stop(v);
		v->transport->reset(v->transport);
		return;
	}
	/* Bits are added, in order; taking one back is no transition (2.1.1). */
	uint8_t added = (uint8_t)(status & STATUS_DRIVERS & ~v->status);
	status_add(v, added & (STATUS_READY | VIRTIO_CONFIG_S_FAILED));
	if (v->status & STATUS_OVER)
		return;
	if (added & VIRTIO_CONFIG_S_FEATURES_OK && (v->status & STATUS_READY) == STATUS_READY &&
	    features_good(v, features)) {
		v->features = features;
		status_add(v, VIRTIO_CONFIG_S_FEATURES_OK);
	}
	if (!(added & VIRTIO_CONFIG_S_DRIVER_OK))
		return;
	if (!(v->status & VIRTIO_CONFIG_S_FEATURES_OK)) {
		virtio_fail(v, "DRIVER_OK without FEATURES_OK (status %#x)", v->status);
		return;
	}
	status_add(v, VIRTIO_CONFIG_S_DRIVER_OK);
	activate(v, configs);
}

bool virtio_queues_open(const struct virtio *v)
{
	return !(virtio_status(v) & (VIRTIO_CONFIG_S_DRIVER_OK | STATUS_OVER));
}

void virtio_kicked(struct virtio *v, unsigned int index)
{
	/* Kept while paused: virtio_resume() kicks all. */
	if (!v->active || v->quiescent || v->status & STATUS_OVER || !v->queues[index].live)
		return;
	v->n_kicks++;
	if (v->type->kick)
		v->type->kick(v, index);
}

void virtio_config_read(struct virtio *v, uint64_t offset, void *data, uint32_t size)
{
	memset(data, 0, size);
	if (offset >= v->config_size || !v->type->config_read)
		return;
	uint32_t left = v->config_size - (uint32_t)offset;
	v->type->config_read(v, (uint32_t)offset, data, size < left ? size : left);
}

void virtio_config_write(struct virtio *v, uint64_t offset, const void *data, uint32_t size)
{
	if (offset < v->config_size && size <= v->config_size - offset && v->type->config_write)
		v->type->config_write(v, (uint32_t)offset, data, size);
}

void virtio_quiesce(struct virtio *v)
{
	v->quiescent = true;
}

void virtio_resume(struct virtio *v)
{
	v->quiescent = false;
	for (unsigned int i = 0; i < v->n_queues; i++)
		virtio_kicked(v, i);
}
