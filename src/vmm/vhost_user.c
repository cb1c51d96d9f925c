/* SPDX-License-Identifier: Apache-2.0 */
/* vhost_user - see vhost_user.h. isola-vmm, the loop's
 * thread. */
#include "vhost_user.h"

#include "isola/fd_pass.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

/* Messages and features, by their numbers in the specification. */
enum request {
	GET_FEATURES = 1,
	SET_FEATURES = 2,
	SET_OWNER = 3,
	SET_MEM_TABLE = 5,
	SET_VRING_NUM = 8,
	SET_VRING_ADDR = 9,
	SET_VRING_BASE = 10,
	GET_VRING_BASE = 11,
	SET_VRING_KICK = 12,
	SET_VRING_CALL = 13,
	GET_PROTOCOL_FEATURES = 15,
	SET_PROTOCOL_FEATURES = 16,
	GET_QUEUE_NUM = 17,
	SET_VRING_ENABLE = 18,
};

#define F_PROTOCOL_FEATURES (1ULL << 30) /* among virtio's features */
#define P_MQ                (1ULL << 0)
#define P_REPLY_ACK         (1ULL << 3)

#define FLAG_VERSION    1U
#define FLAG_VERSION_IS 3U /* mask */
#define FLAG_REPLY      4U
#define FLAG_NEED_REPLY 8U

#define REGIONS_MAX 8 /* that a back end must take */

struct header {
	uint32_t request, flags, size;
} __attribute__((packed));

struct ring_state {
	uint32_t index, num;
};

struct ring_addr {
	uint32_t index, flags;
	uint64_t desc, used, avail, log;
};

struct mem_region {
	uint64_t gpa, size, user, offset;
};

struct mem_table {
	uint32_t n, padding;
	struct mem_region regions[REGIONS_MAX];
};

static uint64_t now_ms(void)
{
	struct timespec ts;
	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* Whatever went wrong, where we are in the conversation is not known any more. */
static int dead(struct vhost_user *u, int code, const char *what, struct err *err)
{
	u->dead = true;
	return err_set(err, code, "the back end %s", what);
}

static int wait_for(struct vhost_user *u, short events, uint64_t end_ms, struct err *err)
{
	for (;;) {
		uint64_t now = now_ms();
		struct pollfd p = { .fd = u->sock, .events = events };
		int rc = poll(&p, 1, now < end_ms ? (int)(end_ms - now) : 0);
		if (rc > 0)
			return 0;
		if (rc == 0)
			return dead(u, ETIMEDOUT, "does not answer in time", err);
		if (errno != EINTR)
			return dead(u, errno, "cannot be waited for", err);
	}
}

static int send_all(struct vhost_user *u, struct iovec iov[2], const int *fds, size_t n_fds,
		    struct err *err)
{
	uint64_t end = now_ms() + (uint64_t)u->timeout_ms;
	while (iov[0].iov_len + iov[1].iov_len) {
		ssize_t n = fd_send(u->sock, iov, 2, fds, n_fds, MSG_DONTWAIT);
		if (n == -EAGAIN) {
			int rc = wait_for(u, POLLOUT, end, err);
			if (rc < 0)
				return rc;
			continue;
		}
		if (n < 0)
			return dead(u, (int)-n, "is gone", err);
		/* The descriptors went with the first byte. */
		n_fds = 0;
		for (int i = 0; i < 2; i++) {
			size_t cut = (size_t)n < iov[i].iov_len ? (size_t)n : iov[i].iov_len;
			iov[i].iov_base = (uint8_t *)iov[i].iov_base + cut;
			iov[i].iov_len -= cut;
			n -= (ssize_t)cut;
		}
	}
	return 0;
}

/* Exactly @size bytes. Without room for them, descriptors never arrive. */
static int receive_all(struct vhost_user *u, void *buf, size_t size, uint64_t end, struct err *err)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = recv(u->sock, (uint8_t *)buf + done, size - done, MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			int rc = wait_for(u, POLLIN, end, err);
			if (rc < 0)
				return rc;
			continue;
		}
		if (n <= 0)
			return dead(u, n < 0 ? errno : EPIPE, "is gone", err);
		done += (size_t)n;
	}
	return 0;
}

static int tell(struct vhost_user *u, enum request request, uint32_t flags, const void *payload,
		uint32_t size, const int *fds, size_t n_fds, struct err *err)
{
	struct header h = { .request = request, .flags = FLAG_VERSION | flags, .size = size };
	struct iovec iov[2] = { { &h, sizeof(h) }, { (void *)(uintptr_t)payload, size } };
	if (u->dead)
		return err_set(err, EPIPE, "the back end is gone");
	return send_all(u, iov, fds, n_fds, err);
}

static int hear(struct vhost_user *u, enum request request, void *payload, uint32_t size,
		struct err *err)
{
	uint64_t end = now_ms() + (uint64_t)u->timeout_ms;
	struct header h;
	int rc = receive_all(u, &h, sizeof(h), end, err);
	if (rc < 0)
		return rc;
	if (h.request != (uint32_t)request || (h.flags & FLAG_VERSION_IS) != FLAG_VERSION ||
	    !(h.flags & FLAG_REPLY) || h.size != size)
		return dead(u, EPROTO, "gave an answer that does not fit the question", err);
	return receive_all(u, payload, size, end, err);
}

static int ask_u64(struct vhost_user *u, enum request request, uint64_t *ret, struct err *err)
{
	uint64_t value;
	int rc = tell(u, request, 0, NULL, 0, NULL, 0, err);
	if (rc == 0)
		rc = hear(u, request, &value, sizeof(value), err);
	if (rc == 0)
		*ret = value;
	return rc;
}

static int tell_u64(struct vhost_user *u, enum request request, uint64_t value, struct err *err)
{
	return tell(u, request, 0, &value, sizeof(value), NULL, 0, err);
}

static int tell_ring(struct vhost_user *u, enum request request, unsigned int index, uint32_t num,
		     struct err *err)
{
	const struct ring_state state = { .index = index, .num = num };
	return tell(u, request, 0, &state, sizeof(state), NULL, 0, err);
}

static int tell_fd(struct vhost_user *u, enum request request, unsigned int index, int fd,
		   struct err *err)
{
	/* bit 8 would say that none comes */
	uint64_t value = index;
	return tell(u, request, 0, &value, sizeof(value), &fd, 1, err);
}

int vhost_user_greet(struct vhost_user *u, unsigned int n_queues, struct err *err)
{
	uint64_t offered = 0, queues = 0;
	int rc = tell(u, SET_OWNER, 0, NULL, 0, NULL, 0, err);
	if (rc < 0 || (rc = ask_u64(u, GET_FEATURES, &u->features, err)) < 0)
		return rc;
	if (!(u->features >> VIRTIO_F_VERSION_1 & 1))
		return dead(u, ENOTSUP, "knows only virtio before version 1", err);
	u->has_protocol = u->features & F_PROTOCOL_FEATURES;
	u->features &= ~F_PROTOCOL_FEATURES;
	if (!u->has_protocol)
		return 0;
	rc = ask_u64(u, GET_PROTOCOL_FEATURES, &offered, err);
	if (rc < 0)
		return rc;
	u->protocol = offered & (P_MQ | P_REPLY_ACK);
	rc = tell_u64(u, SET_PROTOCOL_FEATURES, u->protocol, err);
	if (rc < 0 || !(u->protocol & P_MQ))
		return rc;
	rc = ask_u64(u, GET_QUEUE_NUM, &queues, err);
	if (rc == 0 && queues < n_queues)
		return dead(u, ENOTSUP, "has fewer queues than were asked for", err);
	return rc;
}

static int set_memory(struct vhost_user *u, const struct memory *memory, struct err *err)
{
	const struct memory_region *regions;
	size_t n_regions = memory_regions(memory, &regions);
	struct mem_table table = { .n = 0 };
	int fds[REGIONS_MAX];
	for (size_t i = 0; i < n_regions; i++) {
		if (!regions[i].is_ram || regions[i].fd < 0)
			continue;
		if (table.n == REGIONS_MAX)
			return err_set(err, E2BIG, "the memory has more than %d parts",
				       REGIONS_MAX);
		fds[table.n] = regions[i].fd;
		table.regions[table.n++] = (struct mem_region){
			.gpa = regions[i].start,
			.size = regions[i].size_bytes,
			.user = (uintptr_t)regions[i].host,
			.offset = regions[i].fd_offset,
		};
	}
	if (table.n == 0)
		return err_set(err, EINVAL, "the memory is not shared: memory.shared must be true");
	uint64_t ack = 0;
	bool acked = u->protocol & P_REPLY_ACK;
	uint32_t size = (uint32_t)(offsetof(struct mem_table, regions) +
				   table.n * sizeof(table.regions[0]));
	int rc = tell(u, SET_MEM_TABLE, acked ? FLAG_NEED_REPLY : 0, &table, size, fds, table.n,
		      err);
	if (rc == 0 && acked)
		rc = hear(u, SET_MEM_TABLE, &ack, sizeof(ack), err);
	return rc == 0 && ack ? dead(u, EIO, "cannot map the guest's memory", err) : rc;
}

int vhost_user_set_up(struct vhost_user *u, uint64_t features, const struct memory *memory,
		      struct err *err)
{
	features &= u->features;
	if (u->has_protocol)
		features |= F_PROTOCOL_FEATURES;
	int rc = tell_u64(u, SET_FEATURES, features, err);
	return rc < 0 ? rc : set_memory(u, memory, err);
}

int vhost_user_start_ring(struct vhost_user *u, unsigned int index, const struct virtq *q,
			  uint16_t base, int kick_fd, int call_fd, struct err *err)
{
	const struct ring_addr addr = {
		.index = index,
		.desc = (uintptr_t)q->desc.host,
		.used = (uintptr_t)q->used.host,
		.avail = (uintptr_t)q->avail.host,
	};
	int rc = tell_ring(u, SET_VRING_NUM, index, q->size, err);
	if (rc == 0)
		rc = tell_ring(u, SET_VRING_BASE, index, base, err);
	if (rc == 0)
		rc = tell(u, SET_VRING_ADDR, 0, &addr, sizeof(addr), NULL, 0, err);
	if (rc == 0)
		rc = tell_fd(u, SET_VRING_CALL, index, call_fd, err);
	if (rc == 0)
		rc = tell_fd(u, SET_VRING_KICK, index, kick_fd, err);
	if (rc == 0 && u->has_protocol)
		rc = tell_ring(u, SET_VRING_ENABLE, index, 1, err);
	return rc;
}

int vhost_user_stop_ring(struct vhost_user *u, unsigned int index, uint16_t *ret_base,
			 struct err *err)
{
	struct ring_state state;
	int rc = tell_ring(u, GET_VRING_BASE, index, 0, err);
	if (rc == 0)
		rc = hear(u, GET_VRING_BASE, &state, sizeof(state), err);
	if (rc < 0)
		return rc;
	if (state.index != index || state.num > UINT16_MAX)
		return dead(u, EPROTO, "gave back another ring than was asked for", err);
	*ret_base = (uint16_t)state.num;
	return 0;
}
