/* SPDX-License-Identifier: Apache-2.0 */
/* test_dev_fs - a share whose back end is a thread of ours: one that maps the memory and
 * serves a queue, and ones that answer wrongly, late, or not at all. */
#include "isola/fd.h"
#include "isola/json.h"

#include "vmm/vhost_user.h"

#include "rig.h"

#include <errno.h>
#include <linux/virtio_fs.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define QUEUE    16
#define NEEDS    VIRTIO_CONFIG_S_NEEDS_RESET
#define VERSION  (1ULL << VIRTIO_F_VERSION_1)
#define PROTOCOL (1ULL << 30)

extern const struct device_type device_fs;

/* --- the back end --- */

struct message {
	uint32_t request, flags, size;
	union {
		uint64_t u64;
		struct {
			uint32_t index, num;
		} state;
		struct {
			uint32_t index, flags;
			uint64_t desc, used, avail, log;
		} addr;
		struct {
			uint32_t n, padding;
			struct {
				uint64_t gpa, size, user, offset;
			} regions[8];
		} mem;
	};
} __attribute__((packed));

struct backend {
	pthread_t thread;
	int sock;
	/* misbehaviour */
	uint32_t die_at, wrong_at, short_at;
	unsigned int late_ms; /* with the first answer */
	uint64_t protocol, queues;
	/* state */
	uint8_t *map;
	uint64_t map_gpa, map_user, map_size;
	struct {
		uint64_t desc, used, avail;
		uint16_t size, base;
		int kick, call;
		bool enabled;
	} rings[2];
	unsigned int n_seen[64], n_served;
};

static void *at_user(struct backend *b, uint64_t user)
{
	assert_true(user >= b->map_user && user < b->map_user + b->map_size);
	return b->map + (user - b->map_user);
}

/* Answers each chain of one descriptor to write to with "served". */
static void serve_ring(struct backend *b, unsigned int i)
{
	struct vring_desc *desc = at_user(b, b->rings[i].desc);
	uint16_t *avail = at_user(b, b->rings[i].avail), *used = at_user(b, b->rings[i].used);
	while (__atomic_load_n(&avail[1], __ATOMIC_ACQUIRE) != b->rings[i].base) {
		uint16_t head = avail[2 + b->rings[i].base % b->rings[i].size];
		struct vring_used_elem e = { .id = head, .len = 6 };
		memcpy(b->map + (desc[head].addr - b->map_gpa), "served", 6);
		memcpy((uint8_t *)used + 4 + 8 * (b->rings[i].base % b->rings[i].size), &e, 8);
		b->rings[i].base++;
		b->n_served++;
		__atomic_store_n(&used[1], b->rings[i].base, __ATOMIC_RELEASE);
	}
	uint64_t one = 1;
	assert_int_equal(write(b->rings[i].call, &one, 8), 8);
}

static void answer(struct backend *b, struct message *m, uint32_t size)
{
	m->flags = 1 | 4;
	m->size = size;
	if (b->wrong_at == m->request)
		m->request ^= 1;
	if (b->short_at == m->request)
		m->size = size = size / 2;
	assert_int_equal(send(b->sock, m, 12 + size, MSG_NOSIGNAL), 12 + size);
}

static void set_memory(struct backend *b, struct message *m, const int *fds)
{
	assert_int_equal(m->mem.n, 1);
	b->map_gpa = m->mem.regions[0].gpa;
	b->map_user = m->mem.regions[0].user;
	b->map_size = m->mem.regions[0].size;
	if (b->map)
		(void)munmap(b->map, b->map_size);
	b->map = mmap(NULL, b->map_size, PROT_READ | PROT_WRITE, MAP_SHARED, fds[0],
		      (off_t)m->mem.regions[0].offset);
	assert_true(b->map != MAP_FAILED);
	if (m->flags & 8) {
		m->u64 = 0;
		answer(b, m, 8);
	}
}

/* False ends the thread. */
static bool heed(struct backend *b, struct message *m, int *fds)
{
	unsigned int i = m->state.index % 2;
	b->n_seen[m->request % 64]++;
	if (b->die_at == m->request)
		return false;
	switch (m->request) {
	case 1:
		(void)poll(NULL, 0, (int)b->late_ms);
		m->u64 = VERSION | PROTOCOL | 1ULL << VIRTIO_RING_F_INDIRECT_DESC;
		answer(b, m, 8);
		break;
	case 15:
		m->u64 = b->protocol;
		answer(b, m, 8);
		break;
	case 17:
		m->u64 = b->queues;
		answer(b, m, 8);
		break;
	case 5:
		set_memory(b, m, fds);
		break;
	case 8:
		b->rings[i].size = (uint16_t)m->state.num;
		break;
	case 9:
		b->rings[i].desc = m->addr.desc;
		b->rings[i].used = m->addr.used;
		b->rings[i].avail = m->addr.avail;
		break;
	case 10:
		b->rings[i].base = (uint16_t)m->state.num;
		break;
	case 11:
		fd_close(&b->rings[i].kick);
		m->state.num = b->rings[i].base;
		answer(b, m, 8);
		break;
	case 12:
		fd_close(&b->rings[i].kick);
		b->rings[i].kick = take_fd(&fds[0]);
		break;
	case 13:
		fd_close(&b->rings[i].call);
		b->rings[i].call = take_fd(&fds[0]);
		break;
	case 18:
		b->rings[i].enabled = m->state.num;
		break;
	default:
		break;
	}
	return true;
}

static bool next_message(struct backend *b)
{
	struct message m;
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * 8)];
	} control;
	struct iovec iov = { &m, 12 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.bytes,
			      .msg_controllen = sizeof(control.bytes) };
	int fds[8] = { -1, -1, -1, -1, -1, -1, -1, -1 };
	if (recvmsg(b->sock, &msg, MSG_WAITALL | MSG_CMSG_CLOEXEC) != 12)
		return false;
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	if (c && c->cmsg_type == SCM_RIGHTS)
		memcpy(fds, CMSG_DATA(c), c->cmsg_len - CMSG_LEN(0));
	assert_true(m.size <= sizeof(m) - 12);
	assert_int_equal(m.flags & 3, 1);
	if (m.size)
		assert_int_equal(recv(b->sock, &m.u64, m.size, MSG_WAITALL), m.size);
	bool more = heed(b, &m, fds);
	for (int i = 0; i < 8; i++)
		fd_close(&fds[i]);
	return more;
}

static void *backend_main(void *arg)
{
	struct backend *b = arg;
	for (bool more = true; more;) {
		struct pollfd p[3] = { { .fd = b->sock, .events = POLLIN },
				       { .fd = b->rings[0].kick, .events = POLLIN },
				       { .fd = b->rings[1].kick, .events = POLLIN } };
		assert_true(poll(p, 3, 10000) > 0);
		for (unsigned int i = 0; i < 2; i++) {
			uint64_t n;
			if (p[1 + i].revents && b->rings[i].enabled &&
			    read(b->rings[i].kick, &n, 8) == 8)
				serve_ring(b, i);
		}
		if (p[0].revents)
			more = next_message(b);
	}
	fd_close(&b->sock);
	for (unsigned int i = 0; i < 2; i++) {
		fd_close(&b->rings[i].kick);
		fd_close(&b->rings[i].call);
	}
	if (b->map)
		(void)munmap(b->map, b->map_size);
	return NULL;
}

/* --- the fixture --- */

struct fixture {
	struct rig rig;
	struct machine machine;
	struct device *dev;
	struct backend backend;
	struct guestq q[2];
	bool joined;
};

static struct fixture *fixture_new(void)
{
	struct err err = ERR_INIT;
	struct fixture *f = calloc(1, sizeof(*f));
	const struct memory_args args = { .size_bytes = 4ULL << 20,
					  .page_bytes = 4096,
					  .shared = true };
	assert_non_null(f);
	rig_init(&f->rig, 0);
	memory_free(f->rig.vm.memory);
	assert_int_equal(memory_new(&args, &f->rig.vm.memory, &err), 0);
	f->machine.memory = args;
	f->rig.vm.machine = &f->machine;
	f->backend.protocol = 1ULL << 0 | 1ULL << 3 | 1ULL << 5 | 1ULL << 63;
	f->backend.queues = 2;
	for (unsigned int i = 0; i < 2; i++)
		f->backend.rings[i].kick = f->backend.rings[i].call = -1;
	return f;
}

static int make(struct fixture *f, struct err *err)
{
	char text[128];
	int pair[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	f->backend.sock = pair[0];
	assert_int_equal(pthread_create(&f->backend.thread, NULL, backend_main, &f->backend), 0);
	(void)snprintf(text, sizeof(text), "{\"tag\":\"work\",\"socket\":{\"fd\":%d}}", pair[1]);
	json_object *conf = json_tokener_parse(text);
	assert_int_equal(device_fs.check(conf, err), 0);
	int rc = device_fs.make(&f->rig.vm, conf, &f->dev, err);
	json_object_put(conf);
	return rc < 0 ? rc : device_fs.meet(f->dev, err);
}

static uint32_t start(struct fixture *f)
{
	gpa_t at = guestq_init(&f->q[0], &f->rig, 0x10000, QUEUE);
	(void)guestq_init(&f->q[1], &f->rig, at, QUEUE);
	return rig_start(&f->rig, 0, 0, f->q, 2);
}

static void fixture_free(struct fixture *f)
{
	device_fs.free(f->dev);
	for (int i = 0; i < 10; i++)
		rig_turn(&f->rig);
	if (!f->joined)
		assert_int_equal(pthread_join(f->backend.thread, NULL), 0);
	rig_fini(&f->rig);
	free(f);
}

static int setup(void **state)
{
	struct err err = ERR_INIT;
	struct fixture *f = fixture_new();
	assert_int_equal(make(f, &err), 0);
	assert_int_equal(start(f) & NEEDS, 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	fixture_free(*state);
	return 0;
}

static bool has_used(void *arg)
{
	struct guestq *g = arg;
	return guestq_used_idx(g) != g->last_used;
}

static void request(struct fixture *f, unsigned int queue)
{
	const struct guestbuf buf = { 0x200000, 64 };
	uint32_t id, len;
	char got[6] = "";
	rig_put(&f->rig, 0x200000, "......", 6);
	(void)guestq_add(&f->q[queue], &buf, 0, 1);
	(void)rig_irqs(&f->rig, 0);
	rig_kick(&f->rig, 0, queue);
	rig_wait(&f->rig, has_used, &f->q[queue], 3000);
	assert_true(guestq_used(&f->q[queue], &id, &len));
	assert_int_equal(len, 6);
	rig_get(&f->rig, 0x200000, got, 6);
	assert_memory_equal(got, "served", 6);
	uint64_t irqs = 0;
	for (int i = 0; i < 200 && !irqs; i++) {
		rig_turn(&f->rig);
		irqs = rig_irqs(&f->rig, 0);
		(void)poll(NULL, 0, 5);
	}
	assert_true(irqs > 0);
}

/* --- --- */

static void share__serves_requests(void **state)
{
	struct fixture *f = *state;
	for (int i = 0; i < 3 * QUEUE; i++)
		request(f, (unsigned int)i % 2);
	assert_int_equal(f->backend.n_served, 3 * QUEUE);
}

static void share__configuration_and_features(void **state)
{
	struct fixture *f = *state;
	uint32_t tag = 0;
	memcpy(&tag, "work", 4);
	assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_CONFIG), tag);
	assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_CONFIG + 4), 0);
	assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_CONFIG + 36), 1);
	/* what the back end does not know is not offered */
	rig_write(&f->rig, 0, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
	uint32_t low = rig_read(&f->rig, 0, VIRTIO_MMIO_DEVICE_FEATURES);
	assert_int_equal(low >> VIRTIO_RING_F_EVENT_IDX & 1, 0);
	assert_int_equal(low >> VIRTIO_RING_F_INDIRECT_DESC & 1, 1);
}

static void share__works_again_after_a_reset(void **state)
{
	struct fixture *f = *state;
	request(f, 1);
	rig_write(&f->rig, 0, VIRTIO_MMIO_STATUS, 0);
	assert_int_equal(f->backend.n_seen[11], 2);
	assert_int_equal(start(f) & NEEDS, 0);
	request(f, 1);
}

static void on_quiet(void *arg)
{
	*(bool *)arg = true;
}

static void share__pauses_and_goes_on(void **state)
{
	struct fixture *f = *state;
	bool quiet = false;
	for (int i = 0; i < 3; i++)
		request(f, 1);
	device_fs.quiesce(f->dev, on_quiet, &quiet);
	assert_true(quiet);
	assert_int_equal(f->backend.n_seen[11], 2);
	device_fs.resume(f->dev);
	assert_int_equal(f->backend.rings[1].base, 3);
	request(f, 1);
}

/* The back end dies: the device says so, and says so again after a reset. */
static void death__needs_a_reset(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(shutdown(f->backend.sock, SHUT_RDWR), 0);
	assert_int_equal(pthread_join(f->backend.thread, NULL), 0);
	f->joined = true;
	rig_turn(&f->rig);
	assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_STATUS) & NEEDS, NEEDS);
	assert_int_equal(start(f) & NEEDS, NEEDS);
	rig_kick(&f->rig, 0, 1);
	assert_true(f->rig.n_warns > 0);
}

/* Each question in turn is answered wrongly, cut, or by hanging up. */
static void answers__wrong_ones_end_it(void **state)
{
	static const uint32_t asked[] = { 1, 15, 17, 5, 11 };
	(void)state;
	for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++)
		for (int how = 0; how < 3; how++) {
			struct err err = ERR_INIT;
			struct fixture *f = fixture_new();
			if (how == 0)
				f->backend.wrong_at = asked[i];
			else if (how == 1)
				f->backend.short_at = asked[i];
			else
				f->backend.die_at = asked[i];
			int rc = make(f, &err);
			assert_int_equal(rc < 0, i < 3);
			if (rc == 0)
				assert_int_equal(start(f) & NEEDS, i == 3 ? NEEDS : 0);
			if (i == 4) {
				rig_write(&f->rig, 0, VIRTIO_MMIO_STATUS, 0);
				assert_int_equal(start(f) & NEEDS, NEEDS);
			}
			fixture_free(f);
		}
}

static void answers__none_is_waited_for_with_an_end(void **state)
{
	struct err err = ERR_INIT;
	int fds[2];
	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	struct vhost_user u = { .sock = fds[0], .timeout_ms = 50 };
	assert_int_equal(vhost_user_greet(&u, 1, &err), -ETIMEDOUT);
	assert_true(u.dead);
	(void)close(fds[0]);
	(void)close(fds[1]);
}

/* One whose program is still being started, on a host with much to do. */
static void answers__the_first_may_be_late(void **state)
{
	struct err err = ERR_INIT;
	struct fixture *f = fixture_new();
	(void)state;
	f->backend.late_ms = 3200;
	assert_int_equal(make(f, &err), 0);
	assert_int_equal(start(f) & NEEDS, 0);
	fixture_free(f);
}

static void answers__too_few_queues(void **state)
{
	struct err err = ERR_INIT;
	struct fixture *f = fixture_new();
	(void)state;
	f->backend.queues = 1;
	assert_int_equal(make(f, &err), -ENOTSUP);
	assert_non_null(strstr(err.text, "work"));
	fixture_free(f);
}

static void memory__must_be_shared(void **state)
{
	struct err err = ERR_INIT;
	struct fixture *f = fixture_new();
	(void)state;
	f->machine.memory.shared = false;
	assert_int_equal(make(f, &err), -EINVAL);
	assert_non_null(strstr(err.text, "memory.shared"));
	/* the descriptor was not taken: the back end still waits */
	assert_int_equal(shutdown(f->backend.sock, SHUT_RDWR), 0);
	fixture_free(f);
}

static void machine_file__names_what_is_wrong(void **state)
{
	static const struct {
		const char *conf, *word;
	} bad[] = {
		{ "{\"socket\":{\"fd\":9}}", "tag" },
		{ "{\"tag\":\"\",\"socket\":{\"fd\":9}}", "tag" },
		{ "{\"tag\":\"0123456789012345678901234567890123456\",\"socket\":{\"fd\":9}}",
		  "tag" },
		{ "{\"tag\":\"a\"}", "socket" },
		{ "{\"tag\":\"a\",\"socket\":{\"fd\":9},\"queues\":0}", "queues" },
		{ "{\"tag\":\"a\",\"socket\":{\"fd\":9},\"x\":0}", "x" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct err err = ERR_INIT;
		json_object *conf = json_tokener_parse(bad[i].conf);
		assert_true(device_fs.check(conf, &err) < 0);
		assert_non_null(strstr(err.text, bad[i].word));
		json_object_put(conf);
	}
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(share__serves_requests),
		CASE(share__configuration_and_features),
		CASE(share__works_again_after_a_reset),
		CASE(share__pauses_and_goes_on),
		CASE(death__needs_a_reset),
		cmocka_unit_test(answers__wrong_ones_end_it),
		cmocka_unit_test(answers__none_is_waited_for_with_an_end),
		cmocka_unit_test(answers__the_first_may_be_late),
		cmocka_unit_test(answers__too_few_queues),
		cmocka_unit_test(memory__must_be_shared),
		cmocka_unit_test(machine_file__names_what_is_wrong),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
