/* SPDX-License-Identifier: Apache-2.0 */
/* test_dev_console - one console and several, over socket pairs and a pty. */
#include "isola/fd.h"
#include "isola/json.h"

#include "rig.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_console.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define QUEUE 32
#define NEEDS VIRTIO_CONFIG_S_NEEDS_RESET
#define SIZE  (1ULL << VIRTIO_CONSOLE_F_SIZE)
#define MULTI (1ULL << VIRTIO_CONSOLE_F_MULTIPORT)
#define OUT   0x200000
#define IN    0x300000

extern const struct device_type device_console;

struct fixture {
	struct rig rig;
	struct device *dev;
	struct guestq q[6];
	int host[2];
	unsigned int n;
};

static uint32_t start(struct fixture *f)
{
	gpa_t at = 0x10000;
	unsigned int n = f->n > 1 ? 2 + 2 * f->n : 2;
	for (unsigned int i = 0; i < n; i++)
		at = guestq_init(&f->q[i], &f->rig, at, QUEUE);
	return rig_start(&f->rig, 0, SIZE | (f->n > 1 ? MULTI : 0), f->q, n);
}

static struct fixture *make(unsigned int n, const int *fds)
{
	struct err err = ERR_INIT;
	struct fixture *f = calloc(1, sizeof(*f));
	char text[256];
	assert_non_null(f);
	rig_init(&f->rig, 8ULL << 20);
	f->n = n;
	if (n == 1)
		(void)snprintf(text, sizeof(text),
			       "[{\"id\":\"a\",\"source\":{\"fd\":%d},\"rows\":24,\"columns\":80}]",
			       fds[0]);
	else
		(void)snprintf(text, sizeof(text),
			       "[{\"id\":\"a\",\"source\":{\"fd\":%d},\"rows\":24,\"columns\":80},"
			       "{\"id\":\"b\",\"source\":{\"fd\":%d}}]",
			       fds[0], fds[1]);
	json_object *conf = json_tokener_parse(text);
	assert_int_equal(device_console.check(conf, &err), 0);
	assert_int_equal(device_console.make(&f->rig.vm, conf, &f->dev, &err), 0);
	json_object_put(conf);
	assert_int_equal(start(f) & NEEDS, 0);
	return f;
}

static struct fixture *make_sockets(unsigned int n)
{
	int host[2] = { -1, -1 }, ours[2];
	for (unsigned int i = 0; i < n; i++) {
		int pair[2];
		assert_int_equal(
			socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair),
			0);
		host[i] = pair[0];
		ours[i] = pair[1];
	}
	struct fixture *f = make(n, ours);
	memcpy(f->host, host, sizeof(host));
	return f;
}

static int setup_one(void **state)
{
	*state = make_sockets(1);
	return 0;
}

static int setup_two(void **state)
{
	*state = make_sockets(2);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	device_console.free(f->dev);
	rig_fini(&f->rig);
	for (unsigned int i = 0; i < f->n; i++)
		fd_close(&f->host[i]);
	free(f);
	return 0;
}

static void put(struct fixture *f, unsigned int queue, const void *data, uint32_t size)
{
	const struct guestbuf buf = { OUT + (gpa_t)(f->q[queue].avail_idx % QUEUE) * 0x10000 / 16,
				      size };
	rig_put(&f->rig, buf.gpa, data, size);
	(void)guestq_add(&f->q[queue], &buf, 1, 0);
	rig_kick(&f->rig, 0, queue);
}

static void post(struct fixture *f, unsigned int queue, uint32_t size)
{
	const struct guestbuf buf = {
		IN + 4096ULL * (queue * QUEUE + f->q[queue].avail_idx % QUEUE), size
	};
	(void)guestq_add(&f->q[queue], &buf, 0, 1);
	rig_kick(&f->rig, 0, queue);
}

/* The next used buffer of @queue; its bytes. */
static uint32_t take(struct fixture *f, unsigned int queue, void *data, size_t size)
{
	uint32_t id, len;
	struct vring_desc desc;
	rig_turn(&f->rig);
	if (!guestq_used(&f->q[queue], &id, &len))
		return 0;
	assert_true(len <= size);
	rig_get(&f->rig, f->q[queue].desc + sizeof(desc) * id, &desc, sizeof(desc));
	rig_get(&f->rig, desc.addr, data, len);
	return len;
}

static void hears(int fd, const char *text)
{
	char buf[256];
	assert_int_equal(recv(fd, buf, sizeof(buf), 0), strlen(text));
	assert_memory_equal(buf, text, strlen(text));
}

static int64_t stat_of(struct fixture *f, const char *id, const char *name)
{
	json_object *o = device_console.stats(f->dev);
	int64_t n = json_i64_or(json_get(o, id), name, -1);
	json_object_put(o);
	return n;
}

static void one__both_ways(void **state)
{
	struct fixture *f = *state;
	char buf[64];
	put(f, 1, "login: ", 7);
	hears(f->host[0], "login: ");
	/* input waits for a buffer, and fits into as many as it takes */
	assert_int_equal(send(f->host[0], "root\nmore", 9, 0), 9);
	rig_turn(&f->rig);
	post(f, 0, 5);
	assert_int_equal(take(f, 0, buf, sizeof(buf)), 5);
	assert_memory_equal(buf, "root\n", 5);
	post(f, 0, 64);
	assert_int_equal(take(f, 0, buf, sizeof(buf)), 4);
	assert_memory_equal(buf, "more", 4);
	assert_int_equal(stat_of(f, "a", "in_bytes"), 9);
	assert_int_equal(stat_of(f, "a", "out_bytes"), 7);
}

static void one__size_in_the_configuration(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_CONFIG), 24u << 16 | 80);
	json_object *args = json_tokener_parse("{\"id\":\"a\",\"rows\":50,\"columns\":132}");
	(void)rig_irqs(&f->rig, 0);
	assert_int_equal(device_console.update(f->dev, "console", args, &err), 0);
	assert_int_equal(rig_irqs(&f->rig, 0), 1);
	assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_CONFIG), 50u << 16 | 132);
	json_object_put(args);
	args = json_tokener_parse("{\"id\":\"z\",\"rows\":50,\"columns\":132}");
	assert_int_equal(device_console.update(f->dev, "console", args, &err), -ENOENT);
	json_object_put(args);
}

static bool has_irq(void *arg)
{
	struct rig *rig = arg;
	(void)rig_irqs(rig, 0);
	return rig->n_irqs[0] > 0;
}

/* Linux reads the size only when told that it changed. */
static void one__size_is_announced(void **state)
{
	struct fixture *f = *state;
	uint32_t generation = rig_read(&f->rig, 0, VIRTIO_MMIO_CONFIG_GENERATION);
	(void)rig_irqs(&f->rig, 0);
	f->rig.n_irqs[0] = 0;
	post(f, 0, 64);
	rig_wait(&f->rig, has_irq, &f->rig, 3000);
	assert_int_not_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_CONFIG_GENERATION), generation);
}

static bool is_idle(void *arg)
{
	struct guestq *g = arg;
	return guestq_used_idx(g) == g->avail_idx;
}

/* A slow reader gets all of it; one that is not there does not stop the guest. */
static void one__slow_and_absent_readers(void **state)
{
	static char block[4096], got[1 << 20];
	struct fixture *f = *state;
	size_t sent = 0, received = 0;
	memset(block, 'x', sizeof(block));
	while (guestq_used_idx(&f->q[1]) == f->q[1].avail_idx) {
		put(f, 1, block, sizeof(block));
		sent += sizeof(block);
		assert_true(sent < (4 << 20));
	}
	while (received < sent) {
		ssize_t n = recv(f->host[0], got, sizeof(got), 0);
		received += n > 0 ? (size_t)n : 0;
		rig_turn(&f->rig);
	}
	assert_int_equal(received, sent);
	assert_int_equal(stat_of(f, "a", "dropped_bytes"), 0);
	while (guestq_used_idx(&f->q[1]) == f->q[1].avail_idx)
		put(f, 1, block, sizeof(block));
	rig_wait(&f->rig, is_idle, &f->q[1], 3000);
	assert_true(stat_of(f, "a", "dropped_bytes") > 0);
	while (recv(f->host[0], got, sizeof(got), 0) > 0)
		;
	rig_turn(&f->rig);
	put(f, 1, "back", 4);
	hears(f->host[0], "back");
}

static void one__reader_gone(void **state)
{
	struct fixture *f = *state;
	fd_close(&f->host[0]);
	rig_turn(&f->rig);
	for (int i = 0; i < 3 * QUEUE; i++) {
		put(f, 1, "nobody", 6);
		assert_true(is_idle(&f->q[1]));
	}
	post(f, 0, 64);
	assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_STATUS) & NEEDS, 0);
}

static void one__broken_chains_need_a_reset(void **state)
{
	struct fixture *f = *state;
	const struct guestbuf buf = { OUT, 64 }, empty = { OUT, 0 };
	for (int i = 0; i < 3; i++) {
		assert_int_equal(start(f) & NEEDS, 0);
		if (i == 0)
			(void)guestq_add(&f->q[1], &buf, 0, 1);
		else
			(void)guestq_add(&f->q[0], i == 1 ? &buf : &empty, i == 1, i != 1);
		rig_kick(&f->rig, 0, i != 0 ? 0 : 1);
		assert_int_equal(send(f->host[0], "x", 1, 0), 1);
		rig_turn(&f->rig);
		assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_STATUS) & NEEDS, NEEDS);
	}
	assert_int_equal(start(f) & NEEDS, 0);
	put(f, 1, "ok", 2);
	hears(f->host[0], "ok");
}

static struct virtio_console_control next_control(struct fixture *f, uint8_t *rest)
{
	uint8_t buf[128];
	struct virtio_console_control m;
	uint32_t n = take(f, 2, buf, sizeof(buf));
	assert_true(n >= sizeof(m));
	memcpy(&m, buf, sizeof(m));
	if (rest)
		memcpy(rest, buf + sizeof(m), n - sizeof(m));
	return m;
}

static void tell(struct fixture *f, uint32_t id, uint16_t event, uint16_t value)
{
	const struct virtio_console_control m = { .id = id, .event = event, .value = value };
	put(f, 3, &m, sizeof(m));
}

/* As Linux does it. */
static void open_ports(struct fixture *f)
{
	struct virtio_console_control m;
	uint8_t rest[128] = "";
	for (int i = 0; i < QUEUE; i++)
		post(f, 2, 128);
	tell(f, VIRTIO_CONSOLE_BAD_ID, VIRTIO_CONSOLE_DEVICE_READY, 1);
	for (uint32_t i = 0; i < 2; i++) {
		m = next_control(f, NULL);
		assert_int_equal(m.event, VIRTIO_CONSOLE_PORT_ADD);
		assert_int_equal(m.id, i);
	}
	for (uint32_t i = 0; i < 2; i++) {
		tell(f, i, VIRTIO_CONSOLE_PORT_READY, 1);
		m = next_control(f, NULL);
		assert_int_equal(m.event, VIRTIO_CONSOLE_CONSOLE_PORT);
		m = next_control(f, rest);
		assert_int_equal(m.event, VIRTIO_CONSOLE_PORT_NAME);
		assert_int_equal(rest[0], 'a' + (int)i);
		if (i == 0) {
			const uint16_t size[] = { 80, 24 };
			m = next_control(f, rest);
			assert_int_equal(m.event, VIRTIO_CONSOLE_RESIZE);
			assert_memory_equal(rest, size, sizeof(size));
		}
		m = next_control(f, NULL);
		assert_int_equal(m.event, VIRTIO_CONSOLE_PORT_OPEN);
		assert_int_equal(m.value, 1);
		assert_int_equal(m.id, i);
		tell(f, i, VIRTIO_CONSOLE_PORT_OPEN, 1);
	}
}

static void two__ports_open_and_talk(void **state)
{
	struct fixture *f = *state;
	char buf[64];
	struct err err = ERR_INIT;
	uint8_t rest[128];
	/* nothing is delivered before the guest opened the port */
	post(f, 4, 64);
	assert_int_equal(send(f->host[1], "early", 5, 0), 5);
	assert_int_equal(take(f, 4, buf, sizeof(buf)), 0);
	open_ports(f);
	assert_int_equal(take(f, 4, buf, sizeof(buf)), 5);
	put(f, 1, "one", 3);
	put(f, 5, "two", 3);
	hears(f->host[0], "one");
	hears(f->host[1], "two");
	json_object *args = json_tokener_parse("{\"id\":\"b\",\"rows\":50,\"columns\":132}");
	assert_int_equal(device_console.update(f->dev, "console", args, &err), 0);
	json_object_put(args);
	const uint16_t size[] = { 132, 50 };
	struct virtio_console_control m = next_control(f, rest);
	assert_int_equal(m.event, VIRTIO_CONSOLE_RESIZE);
	assert_int_equal(m.id, 1);
	assert_memory_equal(rest, size, sizeof(size));
	/* the host's end closes: the guest hears */
	fd_close(&f->host[1]);
	post(f, 4, 64);
	m = next_control(f, NULL);
	assert_int_equal(m.event, VIRTIO_CONSOLE_PORT_OPEN);
	assert_int_equal(m.value, 0);
}

static void two__strange_messages_are_passed_over(void **state)
{
	struct fixture *f = *state;
	open_ports(f);
	tell(f, 2, VIRTIO_CONSOLE_PORT_READY, 1);
	tell(f, UINT32_MAX, VIRTIO_CONSOLE_PORT_OPEN, 1);
	tell(f, 0, 999, 1);
	tell(f, 0, VIRTIO_CONSOLE_PORT_READY, 0);
	rig_turn(&f->rig);
	uint8_t buf[128];
	assert_int_equal(take(f, 2, buf, sizeof(buf)), 0);
	put(f, 1, "ok", 2);
	hears(f->host[0], "ok");
}

static void two__broken_messages_need_a_reset(void **state)
{
	struct fixture *f = *state;
	put(f, 3, "1234567", 7);
	assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_STATUS) & NEEDS, NEEDS);
	assert_int_equal(start(f) & NEEDS, 0);
	post(f, 2, 7);
	tell(f, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
	rig_turn(&f->rig);
	assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_STATUS) & NEEDS, NEEDS);
	assert_int_equal(start(f) & NEEDS, 0);
	open_ports(f);
}

static bool says_hi(void *arg)
{
	struct fixture *f = arg;
	return guestq_used_idx(&f->q[0]) != f->q[0].last_used;
}

/* A pty that nobody has open is looked at now and then, and works once someone has. */
static void pty__opened_late(void **state)
{
	(void)state;
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(master >= 0);
	assert_int_equal(grantpt(master), 0);
	assert_int_equal(unlockpt(master), 0);
	char name[64], buf[64];
	assert_int_equal(ptsname_r(master, name, sizeof(name)), 0);
	/* opened once and closed: the master hangs up from now on */
	(void)close(open(name, O_RDWR | O_NOCTTY | O_CLOEXEC));
	struct fixture *f = make(1, &master);
	f->host[0] = -1;
	post(f, 0, 64);
	rig_turn(&f->rig);
	int slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(slave >= 0);
	assert_int_equal(write(slave, "hi\n", 3), 3);
	rig_wait(&f->rig, says_hi, f, 2000);
	assert_true(take(f, 0, buf, sizeof(buf)) >= 3);
	put(f, 1, "line\n", 5);
	assert_int_equal(read(slave, buf, sizeof(buf)), 5);
	(void)close(slave);
	void *fixture = f;
	(void)teardown(&fixture);
}

static void on_quiet(void *arg)
{
	*(bool *)arg = true;
}

static void pause__keeps_what_comes(void **state)
{
	struct fixture *f = *state;
	char buf[64];
	bool quiet = false;
	post(f, 0, 64);
	device_console.quiesce(f->dev, on_quiet, &quiet);
	assert_true(quiet);
	assert_int_equal(send(f->host[0], "later", 5, 0), 5);
	put(f, 1, "out", 3);
	assert_int_equal(take(f, 0, buf, sizeof(buf)), 0);
	assert_int_equal(recv(f->host[0], buf, sizeof(buf), 0), -1);
	device_console.resume(f->dev);
	assert_int_equal(take(f, 0, buf, sizeof(buf)), 5);
	hears(f->host[0], "out");
}

static void machine_file__names_what_is_wrong(void **state)
{
	static const struct {
		const char *conf, *word;
	} bad[] = {
		{ "[]", "consoles" },
		{ "{}", "consoles" },
		{ "[{\"source\":{\"fd\":9}}]", "id" },
		{ "[{\"id\":\"a\"}]", "source" },
		{ "[{\"id\":\"a\",\"source\":{\"fd\":9},\"rows\":65536}]", "rows" },
		{ "[{\"id\":\"a\",\"source\":{\"fd\":9}},{\"id\":\"a\",\"source\":{\"fd\":8}}]",
		  "twice" },
		{ "[{\"id\":\"a\",\"source\":{\"fd\":9},\"x\":1}]", "x" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct err err = ERR_INIT;
		json_object *conf = json_tokener_parse(bad[i].conf);
		assert_true(device_console.check(conf, &err) < 0);
		assert_non_null(strstr(err.text, bad[i].word));
		json_object_put(conf);
	}
}

#define ONE(name) cmocka_unit_test_setup_teardown(name, setup_one, teardown)
#define TWO(name) cmocka_unit_test_setup_teardown(name, setup_two, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ONE(one__both_ways),
		ONE(one__size_in_the_configuration),
		ONE(one__size_is_announced),
		ONE(one__slow_and_absent_readers),
		ONE(one__reader_gone),
		ONE(one__broken_chains_need_a_reset),
		TWO(two__ports_open_and_talk),
		TWO(two__strange_messages_are_passed_over),
		TWO(two__broken_messages_need_a_reset),
		cmocka_unit_test(pty__opened_late),
		ONE(pause__keeps_what_comes),
		cmocka_unit_test(machine_file__names_what_is_wrong),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
