/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_virtq - rings and descriptor tables as a guest may write them: each chain that
 * virtq_pop() accepts lies within memory, is bounded, and adds up.
 *
 * Input: size of the queue as a power of two, features, then guest memory from 0 on:
 * descriptors at 0, the available ring at 0x800, the used ring at 0xa00. */
#include "rig.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define AVAIL 0x800
#define USED  0xa00
#define RAM   (1u << 20)
#define IOVS  96

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
	if (!good)
		abort();
}

static uint64_t judge(const struct memory *memory, const struct iovec *iov, unsigned int n,
		      bool write)
{
	struct span ram;
	uint64_t sum = 0;
	check(memory_span(memory, 0, RAM, write, &ram) == 0);
	for (unsigned int i = 0; i < n; i++) {
		uint8_t *p = iov[i].iov_base;
		check(p >= ram.host && iov[i].iov_len <= RAM &&
		      (size_t)(p - ram.host) <= RAM - iov[i].iov_len);
		sum += iov[i].iov_len;
	}
	return sum;
}

static void use(const struct virtq *q, const struct virtq_chain *chain)
{
	uint8_t buf[64];
	struct iovec out[8];
	check(chain->n_read + chain->n_write <= 2 * q->size_max);
	check(judge(q->memory, chain->iov, chain->n_read, false) == chain->read_bytes);
	check(judge(q->memory, chain->iov + chain->n_read, chain->n_write, true) ==
	      chain->write_bytes);
	size_t n = chain_read(chain, 5, buf, sizeof(buf));
	check(n <= sizeof(buf) && (n == 0 || n + 5 <= chain->read_bytes));
	int slice = chain_slice(chain, true, 3, 100, out, 8);
	check(slice >= 0 ? chain->write_bytes >= 103 : slice == -ERANGE || slice == -EMSGSIZE);
	check(chain_write(chain, chain->write_bytes, buf, 1) == 0);
}

static void drain(struct virtq *q)
{
	struct iovec iov[IOVS];
	struct virtq_chain chain;
	for (int i = 0; i < 200; i++) {
		virtq_chain_init(&chain, iov, IOVS);
		int rc = virtq_pop(q, &chain);
		check(rc == 0 || rc == 1 || rc == -EPROTO);
		if (rc <= 0)
			return;
		use(q, &chain);
		check(q->in_flight <= q->size);
		if (i % 5 == 4) {
			virtq_unpop(q);
			(void)virtq_enable_kicks(q);
		} else if (i % 3) {
			virtq_push(q, chain.head, chain.write_bytes);
			(void)virtq_publish(q);
		}
		virtq_disable_kicks(q);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct memory *memory; /* one for all inputs: what they leave is input, too */
	struct err err = ERR_INIT;
	const struct memory_args args = { .size_bytes = RAM, .page_bytes = 4096 };
	if (size < 2 || size - 2 > RAM)
		return 0;
	if (!memory)
		check(memory_new(&args, &memory, &err) == 0);
	static const uint8_t zero[0x10000];
	check(memory_write(memory, 0, zero, sizeof(zero)) == 0);
	check(memory_write(memory, 0, data + 2, size - 2) == 0);
	struct virtq q = { .size_max = 64 };
	const struct virtq_config config = { .size = (uint16_t)(1u << (data[0] & 7)),
					     .desc = 0,
					     .avail = AVAIL,
					     .used = USED,
					     .ready = true };
	uint64_t features = (uint64_t)(data[1] & 1) << VIRTIO_RING_F_EVENT_IDX |
			    (uint64_t)(data[1] >> 1 & 1) << VIRTIO_RING_F_INDIRECT_DESC;
	int rc = virtq_start(&q, memory, &config, features, &err);
	check(rc == (config.size <= 64 ? 0 : -EPROTO));
	drain(&q);
	virtq_stop(&q);
	return 0;
}
