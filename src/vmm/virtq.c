/* SPDX-License-Identifier: Apache-2.0 */
/* virtq - see virtq.h. isola-vmm's loop thread; the guest writes the rings at the
 * same time, so nothing here is read twice. Little endian hosts only, as the rings
 * are. virtio 1.2, 2.7. */
#include "virtq.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "rings are little endian");

/* Where things are in the two rings (2.7.6, 2.7.8). */
#define RING_FLAGS   0
#define RING_IDX     2
#define RING_ENTRIES 4

static uint16_t *u16_at(const struct span *s, size_t offset)
{
	return (uint16_t *)(void *)(s->host + offset);
}

static uint16_t avail_load(const struct virtq *q, size_t offset)
{
	return __atomic_load_n(u16_at(&q->avail, offset), __ATOMIC_ACQUIRE);
}

static void used_store(const struct virtq *q, size_t offset, uint16_t value)
{
	__atomic_store_n(u16_at(&q->used, offset), value, __ATOMIC_RELEASE);
}

static size_t used_event_offset(const struct virtq *q)
{
	return RING_ENTRIES + sizeof(uint16_t) * q->size;
}

static size_t avail_event_offset(const struct virtq *q)
{
	return RING_ENTRIES + sizeof(struct vring_used_elem) * q->size;
}

/* A copy that the compiler may not read again from where the guest can write. */
static void copy_once(void *dst, const void *src, size_t size)
{
	memcpy(dst, src, size);
	__asm__ volatile("" ::: "memory");
}

static int take_ring(const struct memory *memory, const char *what, gpa_t gpa, size_t size,
		     unsigned int align, bool write, struct span *ret, struct err *err)
{
	if (gpa % align)
		return err_set(err, EPROTO, "the %s at %#llx is not aligned to %u", what,
			       (unsigned long long)gpa, align);
	if (memory_span(memory, gpa, size, write, ret) < 0)
		return err_set(err, EPROTO, "the %s at %#llx (%zu bytes) is not within memory",
			       what, (unsigned long long)gpa, size);
	return 0;
}

int virtq_start(struct virtq *q, const struct memory *memory, const struct virtq_config *config,
		uint64_t features, struct err *err)
{
	uint16_t n = config->size;
	if (n == 0 || n & (n - 1) || n > q->size_max)
		return err_set(err, EPROTO, "queue size %u is not a power of two from 1 to %u", n,
			       q->size_max);
	struct virtq new = { .memory = memory, .size = n, .size_max = q->size_max, .live = true };
	if (take_ring(memory, "descriptor table", config->desc, sizeof(struct vring_desc) * n, 16,
		      false, &new.desc, err) < 0)
		return -EPROTO;
	if (take_ring(memory, "available ring", config->avail,
		      RING_ENTRIES + sizeof(uint16_t) * n + sizeof(uint16_t), 2, false, &new.avail,
		      err) < 0)
		return -EPROTO;
	if (take_ring(memory, "used ring", config->used,
		      RING_ENTRIES + sizeof(struct vring_used_elem) * n + sizeof(uint16_t), 4, true,
		      &new.used, err) < 0)
		return -EPROTO;
	new.event_idx = features >> VIRTIO_RING_F_EVENT_IDX & 1;
	new.indirect = features >> VIRTIO_RING_F_INDIRECT_DESC & 1;
	*q = new;
	return 0;
}

void virtq_stop(struct virtq *q)
{
	*q = (struct virtq){ .size_max = q->size_max };
}

/* Appends the buffer of one descriptor, piece by piece where regions meet. */
static int add_buffer(const struct virtq *q, struct virtq_chain *chain,
		      const struct vring_desc *desc)
{
	bool write = desc->flags & VRING_DESC_F_WRITE;
	if (!write && chain->n_write > 0)
		return -EPROTO; /* what the device reads comes first (2.7.4.2) */
	uint32_t *total = write ? &chain->write_bytes : &chain->read_bytes;
	if (__builtin_add_overflow(*total, desc->len, total))
		return -EPROTO;
	gpa_t gpa = desc->addr;
	for (uint64_t left = desc->len; left > 0;) {
		struct span piece;
		if (chain->n_read + chain->n_write >= chain->iov_max ||
		    memory_piece(q->memory, gpa, left, write, &piece) < 0)
			return -EPROTO;
		chain->iov[chain->n_read + chain->n_write] =
			(struct iovec){ piece.host, piece.size };
		if (write)
			chain->n_write++;
		else
			chain->n_read++;
		gpa += piece.size;
		left -= piece.size;
	}
	return 0;
}

/* Follows NEXT through @table of @n descriptors from @at, for at most @n steps. A
 * descriptor that points to an indirect table ends it and is left in @ret_indirect;
 * without one its length is 0. */
static int walk(const struct virtq *q, struct virtq_chain *chain, const struct span *table,
		uint32_t n, uint32_t at, struct vring_desc *ret_indirect)
{
	ret_indirect->len = 0;
	for (uint32_t steps = 0; steps < n; steps++) {
		if (at >= n)
			return -EPROTO;
		struct vring_desc desc;
		copy_once(&desc, table->host + sizeof(desc) * at, sizeof(desc));
		if (desc.flags & VRING_DESC_F_INDIRECT) {
			/* nothing may follow it, and an empty one is no chain (2.7.5.3.1) */
			if (desc.flags & VRING_DESC_F_NEXT || desc.len == 0)
				return -EPROTO;
			*ret_indirect = desc;
			return 0;
		}
		int rc = add_buffer(q, chain, &desc);
		if (rc < 0)
			return rc;
		if (!(desc.flags & VRING_DESC_F_NEXT))
			return 0;
		at = desc.next;
	}
	return -EPROTO; /* longer than the table: a loop */
}

static int walk_indirect(const struct virtq *q, struct virtq_chain *chain,
			 const struct vring_desc *desc)
{
	uint32_t n = desc->len / (uint32_t)sizeof(struct vring_desc);
	struct span table;
	struct vring_desc nested;
	if (!q->indirect || desc->len % sizeof(struct vring_desc) || n > q->size_max ||
	    memory_span(q->memory, desc->addr, desc->len, false, &table) < 0)
		return -EPROTO;
	int rc = walk(q, chain, &table, n, 0, &nested);
	return rc < 0 || nested.len == 0 ? rc : -EPROTO; /* never a table in a table */
}

int virtq_pop(struct virtq *q, struct virtq_chain *chain)
{
	if (!q->live)
		return 0;
	uint16_t waiting = (uint16_t)(avail_load(q, RING_IDX) - q->next_avail);
	if (waiting == 0)
		return 0;
	if (waiting > q->size || q->in_flight >= q->size)
		return -EPROTO;
	uint16_t slot = q->next_avail & (uint16_t)(q->size - 1);
	uint16_t head = avail_load(q, RING_ENTRIES + sizeof(uint16_t) * slot);
	virtq_chain_init(chain, chain->iov, chain->iov_max);
	struct vring_desc indirect;
	int rc = walk(q, chain, &q->desc, q->size, head, &indirect);
	if (rc == 0 && indirect.len > 0)
		rc = walk_indirect(q, chain, &indirect);
	if (rc < 0)
		return rc;
	chain->head = head;
	q->next_avail++;
	q->in_flight++;
	return 1;
}

void virtq_unpop(struct virtq *q)
{
	q->next_avail--;
	q->in_flight--;
}

void virtq_push(struct virtq *q, uint16_t head, uint32_t written)
{
	if (!q->live)
		return;
	struct vring_used_elem elem = { .id = head, .len = written };
	uint16_t slot = q->next_used & (uint16_t)(q->size - 1);
	memcpy(q->used.host + RING_ENTRIES + sizeof(elem) * slot, &elem, sizeof(elem));
	q->next_used++;
	q->in_flight--;
}

bool virtq_publish(struct virtq *q)
{
	if (!q->live || q->used_published == q->next_used)
		return false;
	uint16_t old = q->used_published;
	used_store(q, RING_IDX, q->next_used);
	q->used_published = q->next_used;
	/* The driver sets used_event or flags, then looks at idx: so do we, the other
	 * way round, with a full fence between (2.7.7.2, 2.7.10). */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!q->event_idx)
		return !(avail_load(q, RING_FLAGS) & VRING_AVAIL_F_NO_INTERRUPT);
	return vring_need_event(avail_load(q, used_event_offset(q)), q->next_used, old);
}

void virtq_disable_kicks(struct virtq *q)
{
	/* With EVENT_IDX the event that was asked for lies behind already. */
	if (q->live && !q->event_idx)
		used_store(q, RING_FLAGS, VRING_USED_F_NO_NOTIFY);
}

bool virtq_enable_kicks(struct virtq *q)
{
	if (!q->live)
		return false;
	if (q->event_idx)
		used_store(q, avail_event_offset(q), q->next_avail);
	else
		used_store(q, RING_FLAGS, 0);
	/* What came before the driver could see this brings no kick. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return avail_load(q, RING_IDX) != q->next_avail;
}

size_t chain_read(const struct virtq_chain *chain, size_t offset, void *buf, size_t size)
{
	size_t done = 0;
	for (uint16_t i = 0; i < chain->n_read && done < size; i++) {
		const struct iovec *v = &chain->iov[i];
		if (offset >= v->iov_len) {
			offset -= v->iov_len;
			continue;
		}
		size_t n = v->iov_len - offset < size - done ? v->iov_len - offset : size - done;
		copy_once((uint8_t *)buf + done, (const uint8_t *)v->iov_base + offset, n);
		done += n;
		offset = 0;
	}
	return done;
}

size_t chain_write(const struct virtq_chain *chain, size_t offset, const void *buf, size_t size)
{
	size_t done = 0;
	for (uint16_t i = chain->n_read; i < chain->n_read + chain->n_write && done < size; i++) {
		const struct iovec *v = &chain->iov[i];
		if (offset >= v->iov_len) {
			offset -= v->iov_len;
			continue;
		}
		size_t n = v->iov_len - offset < size - done ? v->iov_len - offset : size - done;
		memcpy((uint8_t *)v->iov_base + offset, (const uint8_t *)buf + done, n);
		done += n;
		offset = 0;
	}
	return done;
}

int chain_slice(const struct virtq_chain *chain, bool write, size_t offset, size_t size,
		struct iovec *out, int max)
{
	const struct iovec *v = chain->iov + (write ? chain->n_read : 0);
	const struct iovec *end = v + (write ? chain->n_write : chain->n_read);
	int n = 0;
	for (; v < end && size > 0; v++) {
		if (offset >= v->iov_len) {
			offset -= v->iov_len;
			continue;
		}
		if (n >= max)
			return -EMSGSIZE;
		size_t part = v->iov_len - offset < size ? v->iov_len - offset : size;
		out[n++] = (struct iovec){ (uint8_t *)v->iov_base + offset, part };
		size -= part;
		offset = 0;
	}
	return size > 0 ? -ERANGE : n;
}
