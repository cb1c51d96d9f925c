/* SPDX-License-Identifier: Apache-2.0 */
/* virtio_mmio - see virtio_mmio.h for what runs on which thread. Registers that do
 * not exist, and accesses that are not 32 bits wide and aligned, read as 0 and are
 * not written; the configuration space takes any width. virtio 1.2, 4.2.2. */
#include "virtio_mmio.h"

#include "isola/fd.h"

#include <errno.h>
#include <linux/virtio_mmio.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAGIC   0x74726976u /* "virt" */
#define VERSION 2u
#define VENDOR  0x414c5349u /* "ISLA" */

struct kick {
	uv_poll_t poll; /* data: the kick */
	struct virtio_mmio *mmio;
	unsigned int index;
	int fd;
	bool polled; /* poll is to be closed */
};

struct virtio_mmio {
	struct virtio_transport transport;
	struct virtio *v; /* NULL after free() */
	uint64_t start;
	int irq_fd;
	uint32_t interrupt_status; /* atomic: any thread */
	uint32_t generation;       /* atomic: the loop writes it */
	pthread_mutex_t lock;      /* of what the driver sets, by any vCPU: */
	uint32_t features_select, driver_select, queue_select;
	uint64_t driver_features;
	struct virtq_config *configs;
	/* the loop's */
	unsigned int n_kicks, n_closing;
	struct kick kicks[];
};

static struct virtio_mmio *mmio_of(struct virtio_transport *t)
{
	return (struct virtio_mmio *)t;
}

static void lock(struct virtio_mmio *m)
{
	(void)pthread_mutex_lock(&m->lock);
}

static void unlock(struct virtio_mmio *m)
{
	(void)pthread_mutex_unlock(&m->lock);
}

static void eventfd_raise(int fd)
{
	uint64_t one = 1;
	(void)write(fd, &one, sizeof(one)); /* full: raised already */
}

static void raise_irq(struct virtio_mmio *m, uint32_t why)
{
	__atomic_fetch_or(&m->interrupt_status, why, __ATOMIC_SEQ_CST);
	eventfd_raise(m->irq_fd);
}

static void on_interrupt(struct virtio_transport *t, unsigned int index)
{
	(void)index; /* one interrupt for all queues */
	raise_irq(mmio_of(t), VIRTIO_MMIO_INT_VRING);
}

static void on_config_interrupt(struct virtio_transport *t, bool changed)
{
	struct virtio_mmio *m = mmio_of(t);
	if (changed)
		__atomic_fetch_add(&m->generation, 1, __ATOMIC_SEQ_CST);
	raise_irq(m, VIRTIO_MMIO_INT_CONFIG);
}

static void on_reset(struct virtio_transport *t)
{
	struct virtio_mmio *m = mmio_of(t);
	__atomic_store_n(&m->interrupt_status, 0, __ATOMIC_SEQ_CST);
	lock(m);
	m->features_select = m->driver_select = m->queue_select = 0;
	m->driver_features = 0;
	memset(m->configs, 0, sizeof(*m->configs) * m->v->n_queues);
	unlock(m);
}

static void on_kick_again(struct virtio_transport *t, unsigned int index)
{
	eventfd_raise(mmio_of(t)->kicks[index].fd);
}

/* The part of @features (64 bits) that @select asks for. */
static uint32_t feature_word(uint64_t features, uint32_t select)
{
	return select > 1 ? 0 : (uint32_t)(features >> 32 * select);
}

static struct virtq_config *selected(const struct virtio_mmio *m)
{
	return m->queue_select < m->v->n_queues ? &m->configs[m->queue_select] : NULL;
}

/* --- what the vCPU's thread does itself: a way to the loop and back costs more than
 * the exit, and a driver sets up its device by some thirty accesses --- */

/* Under the lock. False: the loop answers. */
static bool read_here(const struct virtio_mmio *m, uint32_t offset, uint32_t *ret)
{
	const struct virtq_config *q = selected(m);
	switch (offset) {
	case VIRTIO_MMIO_MAGIC_VALUE:
		*ret = MAGIC;
		return true;
	case VIRTIO_MMIO_VERSION:
		*ret = VERSION;
		return true;
	case VIRTIO_MMIO_DEVICE_ID:
		*ret = virtio_is_absent(m->v) ? 0 : m->v->type->id;
		return true;
	case VIRTIO_MMIO_VENDOR_ID:
		*ret = VENDOR;
		return true;
	case VIRTIO_MMIO_INTERRUPT_STATUS:
		*ret = __atomic_load_n(&m->interrupt_status, __ATOMIC_SEQ_CST);
		return true;
	case VIRTIO_MMIO_DEVICE_FEATURES:
		*ret = feature_word(__atomic_load_n(&m->v->offered, __ATOMIC_SEQ_CST),
				    m->features_select);
		return true;
	case VIRTIO_MMIO_QUEUE_READY:
		*ret = q ? q->ready : 0;
		return true;
	case VIRTIO_MMIO_STATUS:
		*ret = virtio_status(m->v);
		return true;
	case VIRTIO_MMIO_CONFIG_GENERATION:
		*ret = __atomic_load_n(&m->generation, __ATOMIC_SEQ_CST);
		return true;
	/* no shared memory regions: length and base are all ones (4.2.2) */
	case VIRTIO_MMIO_SHM_LEN_LOW:
	case VIRTIO_MMIO_SHM_LEN_HIGH:
	case VIRTIO_MMIO_SHM_BASE_LOW:
	case VIRTIO_MMIO_SHM_BASE_HIGH:
		*ret = UINT32_MAX;
		return true;
	case VIRTIO_MMIO_QUEUE_NUM_MAX:
		return false;
	default:
		*ret = 0;
		return true;
	}
}

static void set_half(gpa_t *gpa, bool high, uint32_t value)
{
	*gpa = high ? (*gpa & UINT32_MAX) | (uint64_t)value << 32
		    : (*gpa & ~(uint64_t)UINT32_MAX) | value;
}

/* Addresses and size settle with QueueReady, all of it with DRIVER_OK. */
static void queue_write(struct virtio_mmio *m, uint32_t offset, uint32_t value)
{
	struct virtq_config *q = selected(m);
	if (!q || !virtio_queues_open(m->v))
		return;
	if (offset == VIRTIO_MMIO_QUEUE_READY) {
		q->ready = value & 1;
		return;
	}
	if (q->ready)
		return;
	switch (offset) {
	case VIRTIO_MMIO_QUEUE_NUM:
		/* what does not fit becomes a size that virtq_start() refuses */
		q->size = value > UINT16_MAX ? 0 : (uint16_t)value;
		return;
	case VIRTIO_MMIO_QUEUE_DESC_LOW:
	case VIRTIO_MMIO_QUEUE_DESC_HIGH:
		set_half(&q->desc, offset == VIRTIO_MMIO_QUEUE_DESC_HIGH, value);
		return;
	case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
	case VIRTIO_MMIO_QUEUE_AVAIL_HIGH:
		set_half(&q->avail, offset == VIRTIO_MMIO_QUEUE_AVAIL_HIGH, value);
		return;
	default:
		set_half(&q->used, offset == VIRTIO_MMIO_QUEUE_USED_HIGH, value);
	}
}

static void feature_write(struct virtio_mmio *m, uint32_t value)
{
	if (m->driver_select > 1)
		return;
	unsigned int shift = 32 * m->driver_select;
	m->driver_features = (m->driver_features & ~(0xffffffffULL << shift)) | (uint64_t)value
											<< shift;
}

/* Under the lock. False: the loop's. */
static bool write_here(struct virtio_mmio *m, uint32_t offset, uint32_t value)
{
	switch (offset) {
	case VIRTIO_MMIO_INTERRUPT_ACK:
		__atomic_fetch_and(&m->interrupt_status, ~value, __ATOMIC_SEQ_CST);
		return true;
	case VIRTIO_MMIO_QUEUE_NOTIFY:
		if (value < m->n_kicks)
			eventfd_raise(m->kicks[value].fd);
		return true;
	case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
		m->features_select = value;
		return true;
	case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
		m->driver_select = value;
		return true;
	case VIRTIO_MMIO_DRIVER_FEATURES:
		feature_write(m, value);
		return true;
	case VIRTIO_MMIO_QUEUE_SEL:
		m->queue_select = value;
		return true;
	case VIRTIO_MMIO_QUEUE_NUM:
	case VIRTIO_MMIO_QUEUE_READY:
	case VIRTIO_MMIO_QUEUE_DESC_LOW:
	case VIRTIO_MMIO_QUEUE_DESC_HIGH:
	case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
	case VIRTIO_MMIO_QUEUE_AVAIL_HIGH:
	case VIRTIO_MMIO_QUEUE_USED_LOW:
	case VIRTIO_MMIO_QUEUE_USED_HIGH:
		queue_write(m, offset, value);
		return true;
	case VIRTIO_MMIO_STATUS:
		return false;
	default:
		return true;
	}
}

/* --- and what is the loop's: the status, and the configuration space --- */

/* The driver's settings as they are now: another vCPU may go on writing while they
 * are judged and used. */
static void status_write(struct virtio_mmio *m, uint32_t value)
{
	struct virtq_config configs[VIRTIO_QUEUES_MAX];
	if (value > UINT8_MAX)
		return;
	lock(m);
	uint64_t features = m->driver_features;
	memcpy(configs, m->configs, sizeof(*configs) * m->v->n_queues);
	unlock(m);
	virtio_set_status(m->v, (uint8_t)value, features, configs);
}

static uint32_t queue_max(struct virtio_mmio *m)
{
	lock(m);
	uint32_t select = m->queue_select;
	unlock(m);
	return select < m->v->n_queues ? m->v->queues[select].size_max : 0;
}

/* One access as it travels to the loop's thread. */
struct access {
	struct virtio_mmio *mmio;
	uint64_t offset;
	void *in;
	const void *out;
	unsigned int size;
};

static void read_on_loop(void *arg)
{
	struct access *a = arg;
	if (!a->mmio->v) {
		memset(a->in, 0, a->size);
		return;
	}
	if (a->offset >= VIRTIO_MMIO_CONFIG) {
		virtio_config_read(a->mmio->v, a->offset - VIRTIO_MMIO_CONFIG, a->in, a->size);
		return;
	}
	uint32_t value = queue_max(a->mmio);
	memcpy(a->in, &value, sizeof(value));
}

static void write_on_loop(void *arg)
{
	struct access *a = arg;
	if (!a->mmio->v)
		return;
	if (a->offset >= VIRTIO_MMIO_CONFIG) {
		virtio_config_write(a->mmio->v, a->offset - VIRTIO_MMIO_CONFIG, a->out, a->size);
		return;
	}
	uint32_t value;
	memcpy(&value, a->out, sizeof(value));
	status_write(a->mmio, value);
}

static bool is_register(uint64_t offset, unsigned int size)
{
	return offset < VIRTIO_MMIO_CONFIG && size == 4 && offset % 4 == 0;
}

static void on_read(void *arg, uint64_t offset, void *data, unsigned int size)
{
	struct virtio_mmio *m = arg;
	uint32_t value = 0;
	bool done = offset < VIRTIO_MMIO_CONFIG;
	if (is_register(offset, size)) {
		lock(m);
		done = read_here(m, (uint32_t)offset, &value);
		unlock(m);
	}
	if (!done) {
		struct access a = { m, offset, data, NULL, size };
		vm_call(m->v->device.vm, read_on_loop, &a);
		return;
	}
	memset(data, 0, size);
	if (is_register(offset, size))
		memcpy(data, &value, sizeof(value));
}

static void on_write(void *arg, uint64_t offset, const void *data, unsigned int size)
{
	struct virtio_mmio *m = arg;
	uint32_t value;
	bool done = offset < VIRTIO_MMIO_CONFIG;
	if (is_register(offset, size)) {
		memcpy(&value, data, sizeof(value));
		lock(m);
		done = write_here(m, (uint32_t)offset, value);
		unlock(m);
	}
	if (!done) {
		struct access a = { m, offset, NULL, data, size };
		vm_call(m->v->device.vm, write_on_loop, &a);
	}
}

static const struct bus_handler registers = { .read = on_read, .write = on_write };

static void on_kick(uv_poll_t *poll, int status, int events)
{
	struct kick *k = poll->data;
	uint64_t count;
	(void)events;
	if (status < 0 || read(k->fd, &count, sizeof(count)) != sizeof(count))
		return;
	virtio_kicked(k->mmio->v, k->index);
}

static void mmio_free(struct virtio_mmio *m)
{
	for (unsigned int i = 0; i < m->n_kicks; i++)
		fd_close(&m->kicks[i].fd);
	fd_close(&m->irq_fd);
	(void)pthread_mutex_destroy(&m->lock);
	free(m->configs);
	free(m);
}

static void on_poll_closed(uv_handle_t *handle)
{
	struct kick *k = handle->data;
	if (--k->mmio->n_closing == 0)
		mmio_free(k->mmio);
}

static void on_free(struct virtio_transport *t)
{
	struct virtio_mmio *m = mmio_of(t);
	m->v = NULL;
	for (unsigned int i = 0; i < m->n_kicks; i++)
		m->n_closing += m->kicks[i].polled;
	if (m->n_closing == 0) {
		mmio_free(m);
		return;
	}
	for (unsigned int i = 0; i < m->n_kicks; i++)
		if (m->kicks[i].polled)
			uv_close((uv_handle_t *)&m->kicks[i].poll, on_poll_closed);
}

static int watch_kick(struct virtio_mmio *m, unsigned int index, struct err *err)
{
	struct kick *k = &m->kicks[index];
	*k = (struct kick){ .mmio = m, .index = index };
	m->n_kicks++;
	k->fd = vm_ioeventfd(m->v->device.vm, m->start + VIRTIO_MMIO_QUEUE_NOTIFY, index, err);
	if (k->fd < 0)
		return k->fd;
	int rc = uv_poll_init(&m->v->device.vm->loop, &k->poll, k->fd);
	if (rc < 0)
		return err_rc(err, rc, "cannot watch the kicks of queue %u", index);
	k->polled = true;
	k->poll.data = k;
	rc = uv_poll_start(&k->poll, UV_READABLE, on_kick);
	return rc < 0 ? err_rc(err, rc, "cannot watch the kicks of queue %u", index) : 0;
}

int virtio_mmio_new(struct virtio *v, struct virtio_transport **ret, struct err *err)
{
	struct vm *vm = v->device.vm;
	struct virtio_mmio *m = calloc(1, sizeof(*m) + sizeof(m->kicks[0]) * v->n_queues);
	if (!m)
		return err_set(err, ENOMEM, "out of memory");
	m->transport = (struct virtio_transport){ .interrupt = on_interrupt,
						  .config_interrupt = on_config_interrupt,
						  .reset = on_reset,
						  .kick = on_kick_again,
						  .free = on_free };
	m->v = v;
	(void)pthread_mutex_init(&m->lock, NULL);
	m->irq_fd = -1;
	m->configs = calloc(v->n_queues ? v->n_queues : 1, sizeof(*m->configs));
	uint32_t gsi;
	int rc = m->configs ? vm_take_window(vm, &m->start, &gsi, err)
			    : err_set(err, ENOMEM, "out of memory");
	if (rc < 0)
		goto fail;
	rc = m->irq_fd = vm_irqfd(vm, gsi, err);
	if (rc < 0)
		goto fail;
	for (unsigned int i = 0; i < v->n_queues; i++) {
		rc = watch_kick(m, i, err);
		if (rc < 0)
			goto fail;
	}
	/* Last: the bus knows no way back. */
	rc = bus_add(vm->bus, BUS_MMIO, m->start, VM_MMIO_SIZE, &registers, m, err);
	if (rc < 0)
		goto fail;
	*ret = &m->transport;
	return 0;
fail:
	on_free(&m->transport);
	return rc;
}
