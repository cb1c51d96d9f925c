/* SPDX-License-Identifier: Apache-2.0 */
/* test_dev_vsock - a guest's side of virtio-vsock, well behaved and not, against real
 * Unix sockets of the host. */
#include "isola/fd.h"
#include "isola/json.h"

#include "vmm/control.h"
#include "vmm/vsock_mux.h"

#include "rig.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#define CID      7
#define QUEUE    64
#define BUF      4096
#define HDR      ((uint32_t)sizeof(struct virtio_vsock_hdr))
#define GUEST_RX 0x100000 /* QUEUE buffers of BUF */
#define GUEST_TX 0x200000
#define NEEDS    VIRTIO_CONFIG_S_NEEDS_RESET
#define CREDIT   (256U * 1024)

extern const struct device_type device_vsock;

struct fixture {
	struct rig rig;
	struct device *dev;
	struct guestq q[3];
	int listen_fd;
	struct sockaddr_un addr;
	socklen_t addr_size;
};

/* The keeper: answers its last question when told to. */
static struct {
	struct {
		control_connected_fn *fn;
		void *arg;
		uint32_t port;
	} asks[VSOCK_CONNS_MAX + 1];
	unsigned int n_asks, n_ever, most; /* most: 0 is no limit */
	uint32_t port;
	int refuse;
} keeper;

int control_ask_connect(struct control *control, uint32_t port, control_connected_fn *fn, void *arg)
{
	(void)control;
	keeper.port = port;
	keeper.n_ever++;
	if (keeper.refuse)
		return keeper.refuse;
	if (keeper.most && keeper.n_asks == keeper.most)
		return -EAGAIN;
	assert_true(keeper.n_asks <= VSOCK_CONNS_MAX);
	keeper.asks[keeper.n_asks].port = port;
	keeper.asks[keeper.n_asks].fn = fn;
	keeper.asks[keeper.n_asks++].arg = arg;
	return 0;
}

static void keeper_answers(int fd)
{
	assert_true(keeper.n_asks > 0);
	keeper.n_asks--;
	keeper.asks[keeper.n_asks].fn(keeper.asks[keeper.n_asks].arg, fd);
}

/* --- the fixture --- */

static void post_rx(struct fixture *f, unsigned int slot)
{
	const struct guestbuf buf = { GUEST_RX + (gpa_t)slot * BUF, BUF };
	(void)guestq_add(&f->q[0], &buf, 0, 1);
}

static void start_driver(struct fixture *f)
{
	gpa_t at = 0x10000;
	for (unsigned int i = 0; i < 3; i++)
		at = guestq_init(&f->q[i], &f->rig, at, QUEUE);
	for (unsigned int i = 0; i < QUEUE; i++)
		post_rx(f, i);
	assert_int_equal(rig_start(&f->rig, 0, 0, f->q, 3) & NEEDS, 0);
	rig_turn(&f->rig);
}

static int setup(void **state)
{
	struct err err = ERR_INIT;
	struct fixture *f = calloc(1, sizeof(*f));
	assert_non_null(f);
	memset(&keeper, 0, sizeof(keeper));
	rig_init(&f->rig, 8ULL << 20);
	f->rig.vm.control = (struct control *)&keeper;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	/* an abstract name of the kernel's choice */
	f->addr.sun_family = AF_UNIX;
	assert_int_equal(bind(fd, (struct sockaddr *)&f->addr, sizeof(sa_family_t)), 0);
	f->addr_size = sizeof(f->addr);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&f->addr, &f->addr_size), 0);
	assert_int_equal(listen(fd, 4096), 0);
	char text[128];
	(void)snprintf(text, sizeof(text), "{\"cid\":%d,\"listen\":{\"fd\":%d}}", CID, fd);
	json_object *conf = json_tokener_parse(text);
	assert_int_equal(device_vsock.check(conf, &err), 0);
	assert_int_equal(device_vsock.make(&f->rig.vm, conf, &f->dev, &err), 0);
	json_object_put(conf);
	start_driver(f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	device_vsock.free(f->dev);
	while (keeper.n_asks)
		keeper_answers(-ECANCELED);
	rig_fini(&f->rig);
	free(f);
	return 0;
}

static int64_t stat_of(struct fixture *f, const char *name)
{
	json_object *o = device_vsock.stats(f->dev);
	int64_t n = json_i64_or(o, name, -1);
	json_object_put(o);
	return n;
}

/* --- the guest --- */

static struct virtio_vsock_hdr packet(uint16_t op, uint32_t guest_port, uint32_t host_port)
{
	return (struct virtio_vsock_hdr){
		.src_cid = CID,
		.dst_cid = VSOCK_HOST_CID,
		.src_port = guest_port,
		.dst_port = host_port,
		.type = VIRTIO_VSOCK_TYPE_STREAM,
		.op = op,
		.buf_alloc = CREDIT,
	};
}

static void send_raw(struct fixture *f, const struct virtio_vsock_hdr *hdr, const void *data,
		     uint32_t size)
{
	uint32_t id, len;
	while (guestq_used(&f->q[1], &id, &len))
		;
	gpa_t at = GUEST_TX + (gpa_t)(f->q[1].avail_idx % QUEUE) * 0x11000;
	rig_put(&f->rig, at, hdr, sizeof(*hdr));
	if (size)
		rig_put(&f->rig, at + HDR, data, size);
	const struct guestbuf bufs[] = { { at, HDR }, { at + HDR, size } };
	(void)guestq_add(&f->q[1], bufs, size ? 2 : 1, 0);
	rig_kick(&f->rig, 0, 1);
}

static void send_op(struct fixture *f, uint16_t op, uint32_t guest_port, uint32_t host_port)
{
	struct virtio_vsock_hdr hdr = packet(op, guest_port, host_port);
	send_raw(f, &hdr, NULL, 0);
}

static void send_data(struct fixture *f, uint32_t guest_port, uint32_t host_port, const void *data,
		      uint32_t size)
{
	struct virtio_vsock_hdr hdr = packet(VIRTIO_VSOCK_OP_RW, guest_port, host_port);
	hdr.len = size;
	send_raw(f, &hdr, data, size);
}

/* The next packet for the guest, if there is one; its buffer is posted again. */
static bool next_packet(struct fixture *f, struct virtio_vsock_hdr *ret, uint8_t *data)
{
	uint32_t id, len;
	struct vring_desc desc;
	rig_turn(&f->rig);
	if (!guestq_used(&f->q[0], &id, &len))
		return false;
	rig_get(&f->rig, f->q[0].desc + sizeof(desc) * id, &desc, sizeof(desc));
	rig_get(&f->rig, desc.addr, ret, sizeof(*ret));
	assert_int_equal(len, HDR + ret->len);
	assert_int_equal(ret->src_cid, VSOCK_HOST_CID);
	assert_int_equal(ret->dst_cid, CID);
	if (data)
		rig_get(&f->rig, desc.addr + HDR, data, ret->len);
	post_rx(f, (unsigned int)((desc.addr - GUEST_RX) / BUF));
	rig_kick(&f->rig, 0, 0);
	return true;
}

static struct virtio_vsock_hdr expect(struct fixture *f, uint16_t op, uint8_t *data)
{
	struct virtio_vsock_hdr hdr = { .op = 0 };
	assert_true(next_packet(f, &hdr, data));
	assert_int_equal(hdr.op, op);
	return hdr;
}

static void expect_silence(struct fixture *f)
{
	struct virtio_vsock_hdr hdr;
	assert_false(next_packet(f, &hdr, NULL));
}

/* --- the host --- */

static int host_connect(struct fixture *f)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&f->addr, f->addr_size), 0);
	rig_turn(&f->rig);
	return fd;
}

static void host_say(struct fixture *f, int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
	rig_turn(&f->rig);
}

static void host_hears(int fd, const char *text)
{
	char buf[64];
	ssize_t n = recv(fd, buf, sizeof(buf), 0);
	assert_int_equal(n, strlen(text));
	assert_memory_equal(buf, text, strlen(text));
}

/* Closed, maybe with something of ours not read. */
static bool host_eof(int fd)
{
	char c;
	ssize_t n = recv(fd, &c, 1, 0);
	return n == 0 || (n < 0 && errno == ECONNRESET);
}

/* Client and guest agree; the stream's host end, its port in @ret. */
static int open_by_host(struct fixture *f, uint32_t guest_port, uint32_t *ret_port)
{
	char text[32];
	int fd = host_connect(f);
	(void)snprintf(text, sizeof(text), "CONNECT %u\n", guest_port);
	host_say(f, fd, text);
	struct virtio_vsock_hdr hdr = expect(f, VIRTIO_VSOCK_OP_REQUEST, NULL);
	assert_int_equal(hdr.dst_port, guest_port);
	*ret_port = hdr.src_port;
	send_op(f, VIRTIO_VSOCK_OP_RESPONSE, guest_port, hdr.src_port);
	(void)snprintf(text, sizeof(text), "OK %u\n", hdr.src_port);
	host_hears(fd, text);
	return fd;
}

/* The guest connects, the keeper finds a listener. */
static int open_by_guest(struct fixture *f, uint32_t guest_port, uint32_t host_port)
{
	int pair[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair),
			 0);
	send_op(f, VIRTIO_VSOCK_OP_REQUEST, guest_port, host_port);
	assert_int_equal(keeper.port, host_port);
	expect_silence(f);
	keeper_answers(pair[0]);
	(void)expect(f, VIRTIO_VSOCK_OP_RESPONSE, NULL);
	return pair[1];
}

/* --- connections --- */

static void host_opens__both_ways_and_ends(void **state)
{
	struct fixture *f = *state;
	uint8_t data[BUF];
	uint32_t port;
	int fd = open_by_host(f, 52, &port);
	assert_true(port >= VSOCK_PORT_FIRST);
	host_say(f, fd, "hello");
	struct virtio_vsock_hdr hdr = expect(f, VIRTIO_VSOCK_OP_RW, data);
	assert_int_equal(hdr.len, 5);
	assert_memory_equal(data, "hello", 5);
	send_data(f, 52, port, "world", 5);
	host_hears(fd, "world");
	assert_int_equal(close(fd), 0);
	hdr = expect(f, VIRTIO_VSOCK_OP_SHUTDOWN, NULL);
	assert_int_equal(hdr.flags, VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND);
	send_op(f, VIRTIO_VSOCK_OP_RST, 52, port);
	expect_silence(f);
	assert_int_equal(stat_of(f, "connections"), 0);
	assert_int_equal(stat_of(f, "opened_by_host"), 1);
}

/* What follows the line is the guest's, and the line may come in pieces. */
static void host_opens__line_in_pieces_with_data_behind(void **state)
{
	struct fixture *f = *state;
	uint8_t data[BUF];
	int fd = host_connect(f);
	host_say(f, fd, "CONN");
	host_say(f, fd, "ECT 52\nearly");
	struct virtio_vsock_hdr hdr = expect(f, VIRTIO_VSOCK_OP_REQUEST, NULL);
	expect_silence(f);
	send_op(f, VIRTIO_VSOCK_OP_RESPONSE, 52, hdr.src_port);
	hdr = expect(f, VIRTIO_VSOCK_OP_RW, data);
	assert_int_equal(hdr.len, 5);
	assert_memory_equal(data, "early", 5);
	(void)close(fd);
}

static void host_opens__bad_greetings_are_closed(void **state)
{
	static const char *const bad[] = {
		"HELLO 1\n",
		"CONNECT\n",
		"CONNECT x\n",
		"CONNECT 4294967296\n",
		"CONNECT 1 2\n",
		"CONNECT -1\n",
		"connect 1\n",
		"\n",
		"CONNECT 00000000000000000000000000000001\n",
	};
	struct fixture *f = *state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int fd = host_connect(f);
		host_say(f, fd, bad[i]);
		assert_true(host_eof(fd));
		assert_int_equal(close(fd), 0);
	}
	expect_silence(f);
	assert_int_equal(stat_of(f, "connections"), 0);
}

static void host_opens__guest_refuses(void **state)
{
	struct fixture *f = *state;
	int fd = host_connect(f);
	host_say(f, fd, "CONNECT 9\n");
	struct virtio_vsock_hdr hdr = expect(f, VIRTIO_VSOCK_OP_REQUEST, NULL);
	send_op(f, VIRTIO_VSOCK_OP_RST, 9, hdr.src_port);
	assert_true(host_eof(fd));
	(void)close(fd);
	expect_silence(f);
}

/* A client that went away before the guest answered. */
static void host_opens__client_gone_before_answer(void **state)
{
	struct fixture *f = *state;
	int fd = host_connect(f);
	host_say(f, fd, "CONNECT 9\n");
	struct virtio_vsock_hdr hdr = expect(f, VIRTIO_VSOCK_OP_REQUEST, NULL);
	assert_int_equal(close(fd), 0);
	(void)expect(f, VIRTIO_VSOCK_OP_RST, NULL);
	send_op(f, VIRTIO_VSOCK_OP_RESPONSE, 9, hdr.src_port);
	(void)expect(f, VIRTIO_VSOCK_OP_RST, NULL);
	assert_int_equal(stat_of(f, "connections"), 0);
}

static void guest_opens__both_ways(void **state)
{
	struct fixture *f = *state;
	uint8_t data[BUF];
	int fd = open_by_guest(f, 1000, 80);
	send_data(f, 1000, 80, "ping", 4);
	host_hears(fd, "ping");
	host_say(f, fd, "pong");
	(void)expect(f, VIRTIO_VSOCK_OP_RW, data);
	assert_memory_equal(data, "pong", 4);
	(void)close(fd);
}

static void guest_opens__nobody_listens(void **state)
{
	struct fixture *f = *state;
	send_op(f, VIRTIO_VSOCK_OP_REQUEST, 1000, 80);
	keeper_answers(-ECONNREFUSED);
	struct virtio_vsock_hdr hdr = expect(f, VIRTIO_VSOCK_OP_RST, NULL);
	assert_int_equal(hdr.dst_port, 1000);
	assert_int_equal(hdr.src_port, 80);
	keeper.refuse = -EAGAIN;
	send_op(f, VIRTIO_VSOCK_OP_REQUEST, 1001, 80);
	(void)expect(f, VIRTIO_VSOCK_OP_RST, NULL);
	assert_int_equal(stat_of(f, "connections"), 0);
}

/* The answer comes after the guest gave up, and after the device is gone. */
static void guest_opens__late_answers(void **state)
{
	struct fixture *f = *state;
	int pair[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	send_op(f, VIRTIO_VSOCK_OP_REQUEST, 1000, 80);
	send_op(f, VIRTIO_VSOCK_OP_RST, 1000, 80);
	keeper_answers(pair[0]);
	assert_true(host_eof(pair[1]));
	(void)close(pair[1]);
	expect_silence(f);
	send_op(f, VIRTIO_VSOCK_OP_REQUEST, 1000, 80);
	device_vsock.free(f->dev);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	keeper_answers(pair[0]);
	assert_true(host_eof(pair[1]));
	(void)close(pair[1]);
	f->dev = NULL;
}

/* More questions than the keeper takes at once wait for their turn. */
static void guest_opens__more_than_the_keeper_takes(void **state)
{
	struct fixture *f = *state;
	unsigned int n = 0;
	keeper.most = 3;
	for (uint32_t i = 0; i < 20; i++)
		send_op(f, VIRTIO_VSOCK_OP_REQUEST, 1000 + i, 80);
	assert_int_equal(keeper.n_asks, 3);
	assert_int_equal(stat_of(f, "asking_keeper"), 20);
	expect_silence(f);
	for (; keeper.n_asks; n++) {
		keeper_answers(-ECONNREFUSED);
		(void)expect(f, VIRTIO_VSOCK_OP_RST, NULL);
	}
	assert_int_equal(n, 20);
	assert_int_equal(stat_of(f, "asking_keeper"), 0);
	for (uint32_t i = 0; i < 20; i++)
		send_op(f, VIRTIO_VSOCK_OP_REQUEST, 1000 + i, 80);
	/* and the rest goes with the device */
	assert_int_equal(stat_of(f, "connections"), 20);
}

/* --- half close --- */

static void half_close__host_first(void **state)
{
	struct fixture *f = *state;
	uint32_t port;
	int fd = open_by_host(f, 52, &port);
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	struct virtio_vsock_hdr hdr = expect(f, VIRTIO_VSOCK_OP_SHUTDOWN, NULL);
	assert_int_equal(hdr.flags, VIRTIO_VSOCK_SHUTDOWN_SEND);
	send_data(f, 52, port, "answer", 6);
	host_hears(fd, "answer");
	hdr = packet(VIRTIO_VSOCK_OP_SHUTDOWN, 52, port);
	hdr.flags = VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND;
	send_raw(f, &hdr, NULL, 0);
	(void)expect(f, VIRTIO_VSOCK_OP_RST, NULL);
	assert_true(host_eof(fd));
	(void)close(fd);
	assert_int_equal(stat_of(f, "connections"), 0);
}

static void half_close__guest_first(void **state)
{
	struct fixture *f = *state;
	uint8_t data[BUF];
	uint32_t port;
	int fd = open_by_host(f, 52, &port);
	struct virtio_vsock_hdr hdr = packet(VIRTIO_VSOCK_OP_SHUTDOWN, 52, port);
	hdr.flags = VIRTIO_VSOCK_SHUTDOWN_SEND;
	send_raw(f, &hdr, NULL, 0);
	assert_true(host_eof(fd));
	host_say(f, fd, "still");
	hdr = expect(f, VIRTIO_VSOCK_OP_RW, data);
	assert_memory_equal(data, "still", 5);
	/* data after SHUTDOWN(SEND) breaks the rules */
	send_data(f, 52, port, "x", 1);
	(void)expect(f, VIRTIO_VSOCK_OP_RST, NULL);
	(void)close(fd);
}

/* Closed after half closed: seen although nothing is read any more. */
static void half_close__host_then_closes(void **state)
{
	struct fixture *f = *state;
	uint32_t port;
	int fd = open_by_host(f, 52, &port);
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	(void)expect(f, VIRTIO_VSOCK_OP_SHUTDOWN, NULL);
	assert_int_equal(close(fd), 0);
	struct virtio_vsock_hdr hdr = expect(f, VIRTIO_VSOCK_OP_SHUTDOWN, NULL);
	assert_int_equal(hdr.flags, VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND);
	send_data(f, 52, port, "for nobody", 10);
	expect_silence(f);
	send_op(f, VIRTIO_VSOCK_OP_RST, 52, port);
	assert_int_equal(stat_of(f, "connections"), 0);
}

/* --- credit --- */

/* A reader that does not read: the guest's credit is kept for it, then all arrives. */
static void credit__slow_host_reader(void **state)
{
	static uint8_t block[32 * 1024], got[32 * 1024];
	struct fixture *f = *state;
	uint32_t port;
	size_t sent = 0, received = 0;
	int fd = open_by_host(f, 52, &port);
	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = (uint8_t)(i * 7);
	for (int i = 0; i < 8; i++, sent += sizeof(block))
		send_data(f, 52, port, block, sizeof(block));
	while (received < sent) {
		ssize_t n = recv(fd, got, sizeof(got), 0);
		if (n < 0)
			assert_int_equal(errno, EAGAIN);
		for (ssize_t i = 0; i < n; i++)
			assert_int_equal(got[i],
					 (uint8_t)((received + (size_t)i) % sizeof(block) * 7));
		received += n > 0 ? (size_t)n : 0;
		rig_turn(&f->rig);
	}
	/* it heard in time that there is room again */
	struct virtio_vsock_hdr hdr, last = { .fwd_cnt = 0 };
	while (next_packet(f, &hdr, NULL)) {
		assert_int_equal(hdr.op, VIRTIO_VSOCK_OP_CREDIT_UPDATE);
		last = hdr;
	}
	assert_true(last.fwd_cnt >= sent / 2);
	send_op(f, VIRTIO_VSOCK_OP_CREDIT_REQUEST, 52, port);
	hdr = expect(f, VIRTIO_VSOCK_OP_CREDIT_UPDATE, NULL);
	assert_int_equal(hdr.fwd_cnt, sent);
	(void)close(fd);
}

static void credit__more_than_given_is_reset(void **state)
{
	static uint8_t block[VSOCK_PAYLOAD_MAX];
	struct fixture *f = *state;
	uint32_t port;
	int fd = open_by_host(f, 52, &port);
	struct virtio_vsock_hdr hdr = { .op = 0 };
	/* the socket's own buffer takes some; then the credit, and not a byte more */
	for (int i = 0; i < 64 && hdr.op != VIRTIO_VSOCK_OP_RST; i++) {
		send_data(f, 52, port, block, sizeof(block));
		(void)next_packet(f, &hdr, NULL);
	}
	assert_int_equal(hdr.op, VIRTIO_VSOCK_OP_RST);
	assert_int_equal(stat_of(f, "violations"), 1);
	(void)close(fd);
	rig_turn(&f->rig);
	assert_int_equal(stat_of(f, "connections"), 0);
}

static void credit__of_the_guest_is_kept_to(void **state)
{
	struct fixture *f = *state;
	uint8_t data[BUF];
	int fd = host_connect(f);
	host_say(f, fd, "CONNECT 52\n");
	struct virtio_vsock_hdr hdr = expect(f, VIRTIO_VSOCK_OP_REQUEST, NULL);
	uint32_t port = hdr.src_port;
	hdr = packet(VIRTIO_VSOCK_OP_RESPONSE, 52, port);
	hdr.buf_alloc = 8;
	send_raw(f, &hdr, NULL, 0);
	host_say(f, fd, "0123456789abcdef");
	hdr = expect(f, VIRTIO_VSOCK_OP_RW, data);
	assert_int_equal(hdr.len, 8);
	(void)expect(f, VIRTIO_VSOCK_OP_CREDIT_REQUEST, NULL);
	/* an answer without room is no reason to ask again */
	hdr = packet(VIRTIO_VSOCK_OP_CREDIT_UPDATE, 52, port);
	hdr.buf_alloc = 8;
	send_raw(f, &hdr, NULL, 0);
	expect_silence(f);
	hdr.fwd_cnt = 5;
	send_raw(f, &hdr, NULL, 0);
	hdr = expect(f, VIRTIO_VSOCK_OP_RW, data);
	assert_int_equal(hdr.len, 5);
	/* it claims to have passed on more than it got */
	hdr = packet(VIRTIO_VSOCK_OP_CREDIT_UPDATE, 52, port);
	hdr.buf_alloc = 8;
	hdr.fwd_cnt = 0x80000000;
	send_raw(f, &hdr, NULL, 0);
	while (next_packet(f, &hdr, NULL))
		assert_int_not_equal(hdr.op, VIRTIO_VSOCK_OP_RW);
	(void)close(fd);
}

/* --- malformed --- */

static void packets__unknown_connection_is_reset(void **state)
{
	static const uint16_t ops[] = {
		VIRTIO_VSOCK_OP_RESPONSE,
		VIRTIO_VSOCK_OP_RW,
		VIRTIO_VSOCK_OP_SHUTDOWN,
		VIRTIO_VSOCK_OP_CREDIT_UPDATE,
		VIRTIO_VSOCK_OP_CREDIT_REQUEST,
		0,
		99,
	};
	struct fixture *f = *state;
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		send_op(f, ops[i], 5, 6);
		struct virtio_vsock_hdr hdr = expect(f, VIRTIO_VSOCK_OP_RST, NULL);
		assert_int_equal(hdr.src_port, 6);
		assert_int_equal(hdr.dst_port, 5);
	}
	send_op(f, VIRTIO_VSOCK_OP_RST, 5, 6);
	expect_silence(f);
}

static void packets__malformed_end_their_connection(void **state)
{
	struct fixture *f = *state;
	for (int i = 0; i < 8; i++) {
		uint32_t port;
		int fd = open_by_host(f, 52, &port);
		struct virtio_vsock_hdr hdr = packet(VIRTIO_VSOCK_OP_RW, 52, port);
		uint32_t size = 0;
		switch (i) {
		case 0: /* claims more than it brings */
			hdr.len = 100;
			size = 10;
			break;
		case 1:
			hdr.len = UINT32_MAX;
			break;
		case 2: /* a type we do not have */
			hdr.type = VIRTIO_VSOCK_TYPE_SEQPACKET;
			break;
		case 3: /* data where none belongs */
			hdr.op = VIRTIO_VSOCK_OP_SHUTDOWN;
			hdr.len = size = 4;
			break;
		case 4: /* twice */
			hdr.op = VIRTIO_VSOCK_OP_REQUEST;
			break;
		case 5:
			hdr.op = VIRTIO_VSOCK_OP_RESPONSE;
			break;
		case 6:
			hdr.op = 0;
			break;
		default:
			hdr.op = 0xffff;
		}
		send_raw(f, &hdr, "0123456789", size);
		(void)expect(f, VIRTIO_VSOCK_OP_RST, NULL);
		if (i != 2) {
			assert_true(host_eof(fd));
			assert_int_equal(stat_of(f, "connections"), 0);
		} else {
			send_op(f, VIRTIO_VSOCK_OP_RST, 52, port);
		}
		(void)close(fd);
	}
	assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_STATUS) & NEEDS, 0);
}

static void packets__from_another_cid_are_nothing(void **state)
{
	struct fixture *f = *state;
	struct virtio_vsock_hdr hdr = packet(VIRTIO_VSOCK_OP_REQUEST, 5, 6);
	hdr.src_cid = 8;
	send_raw(f, &hdr, NULL, 0);
	expect_silence(f);
	hdr = packet(VIRTIO_VSOCK_OP_REQUEST, 5, 6);
	hdr.dst_cid = 1;
	send_raw(f, &hdr, NULL, 0);
	uint32_t id, len;
	rig_turn(&f->rig);
	assert_true(guestq_used(&f->q[0], &id, &len)); /* a RST of CID 1 */
	assert_int_equal(keeper.n_ever, 0);
}

/* Chains that are no packet. */
static void chains__broken_need_a_reset(void **state)
{
	static const struct {
		unsigned int queue, n_out, n_in;
		struct guestbuf bufs[2];
	} bad[] = {
		{ 1, 1, 0, { { GUEST_TX, 43 } } },                       /* short header */
		{ 1, 0, 1, { { GUEST_TX, 44 } } },                       /* the wrong way */
		{ 1, 1, 1, { { GUEST_TX, 44 }, { GUEST_TX + 64, 4 } } }, /* both ways */
		{ 1, 1, 0, { { GUEST_TX, 44 + 65537 } } },               /* too long */
		{ 0, 0, 1, { { GUEST_RX, 44 } } },                       /* no room for data */
		{ 0, 1, 1, { { GUEST_TX, 4 }, { GUEST_RX, 4096 } } },
	};
	struct fixture *f = *state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		gpa_t at = 0x10000;
		for (unsigned int q = 0; q < 3; q++)
			at = guestq_init(&f->q[q], &f->rig, at, QUEUE);
		assert_int_equal(rig_start(&f->rig, 0, 0, f->q, 3) & NEEDS, 0);
		rig_turn(&f->rig);
		(void)guestq_add(&f->q[bad[i].queue], bad[i].bufs, bad[i].n_out, bad[i].n_in);
		rig_kick(&f->rig, 0, bad[i].queue);
		if (bad[i].queue == 0) /* something to put there */
			send_op(f, VIRTIO_VSOCK_OP_RW, 1, 2);
		rig_turn(&f->rig);
		assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_STATUS) & NEEDS, NEEDS);
	}
	/* and a reset mends it */
	start_driver(f);
	uint32_t port;
	(void)close(open_by_host(f, 52, &port));
}

/* The guest never takes our RSTs: we stop listening to it, and go on when it does. */
static void flood__of_nonsense_without_buffers(void **state)
{
	struct fixture *f = *state;
	gpa_t at = 0x10000;
	for (unsigned int q = 0; q < 3; q++)
		at = guestq_init(&f->q[q], &f->rig, at, QUEUE);
	assert_int_equal(rig_start(&f->rig, 0, 0, f->q, 3) & NEEDS, 0);
	unsigned int taken = 0;
	for (unsigned int round = 0; round < 8; round++) {
		for (unsigned int i = 0; i < QUEUE; i++) {
			struct virtio_vsock_hdr hdr = packet(VIRTIO_VSOCK_OP_RW, i, 6);
			rig_put(&f->rig, GUEST_TX + i * 64, &hdr, sizeof(hdr));
			const struct guestbuf buf = { GUEST_TX + i * 64, HDR };
			(void)guestq_add(&f->q[1], &buf, 1, 0);
		}
		rig_kick(&f->rig, 0, 1);
		taken = guestq_used_idx(&f->q[1]);
		if (taken < (round + 1) * QUEUE)
			break;
	}
	assert_int_equal(taken, VSOCK_RESETS_MAX);
	for (unsigned int i = 0; i < QUEUE; i++)
		post_rx(f, i);
	rig_kick(&f->rig, 0, 0);
	rig_turn(&f->rig);
	assert_int_equal(guestq_used_idx(&f->q[0]), QUEUE);
	assert_int_equal(guestq_used_idx(&f->q[1]), VSOCK_RESETS_MAX + QUEUE);
}

/* --- many --- */

/* 1,000 each way at once, an echo through each, none starved. */
static void many__a_thousand_each_way(void **state)
{
	struct fixture *f = *state;
	const unsigned int n = 1000;
	struct rlimit lim;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &lim), 0);
	lim.rlim_cur = lim.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &lim);
	if (lim.rlim_max < 4200)
		skip(); /* not enough descriptors allowed here */
	int *by_host = calloc(n, sizeof(*by_host)), *by_guest = calloc(n, sizeof(*by_guest));
	uint32_t *ports = calloc(n, sizeof(*ports));
	bool *seen = calloc(2 * n, sizeof(*seen));
	for (unsigned int i = 0; i < n; i++) {
		by_host[i] = open_by_host(f, 52, &ports[i]);
		by_guest[i] = open_by_guest(f, 10000 + i, 80);
	}
	assert_int_equal(stat_of(f, "connections"), 2 * n);
	for (unsigned int i = 0; i < n; i++) {
		assert_int_equal(send(by_host[i], "a", 1, 0), 1);
		assert_int_equal(send(by_guest[i], "b", 1, 0), 1);
	}
	struct virtio_vsock_hdr hdr;
	unsigned int packets = 0;
	while (packets < 2 * n && next_packet(f, &hdr, NULL)) {
		assert_int_equal(hdr.op, VIRTIO_VSOCK_OP_RW);
		unsigned int at =
			hdr.dst_port == 52 ? hdr.src_port - ports[0] : n + hdr.dst_port - 10000;
		assert_true(at < 2 * n && !seen[at]);
		seen[at] = true;
		packets++;
		send_data(f, hdr.dst_port, hdr.src_port, "c", 1);
	}
	assert_int_equal(packets, 2 * n);
	for (unsigned int i = 0; i < n; i++) {
		host_hears(by_host[i], "c");
		host_hears(by_guest[i], "c");
		(void)close(by_host[i]);
		(void)close(by_guest[i]);
	}
	rig_turn(&f->rig);
	free(by_host);
	free(by_guest);
	free(ports);
	free(seen);
}

/* --- any order --- */

/* A connection of the guest as both its ends see it, port 1000 + i to 5000 + i. */
enum stage { IDLE, ASKED, OPEN, CLOSING };

#define PEERS      48
#define STEPS      40000
#define UNREAD_MAX 4000 /* below the least credit */

struct peer {
	enum stage stage;
	int fd; /* the host's end; -1: not made, or closed */
	uint8_t guest_said, host_heard, host_said, guest_heard;
	uint32_t unread; /* what the guest sent and the host has not read */
};

struct crowd {
	struct fixture *f;
	struct peer peers[PEERS];
	uint32_t seed;
	unsigned int n_open, n_refused, n_bytes;
};

static uint32_t dice(struct crowd *c, uint32_t sides)
{
	c->seed ^= c->seed << 13;
	c->seed ^= c->seed >> 17;
	c->seed ^= c->seed << 5;
	return c->seed % sides;
}

static void hang_up(struct peer *p)
{
	if (p->fd >= 0)
		assert_int_equal(close(p->fd), 0);
	p->fd = -1;
}

/* One packet as a driver takes it; false when there is none. */
static bool guest_takes(struct crowd *c)
{
	uint8_t data[BUF];
	struct virtio_vsock_hdr hdr;
	if (!next_packet(c->f, &hdr, data))
		return false;
	uint32_t i = hdr.dst_port - 1000;
	assert_true(i < PEERS);
	assert_int_equal(hdr.src_port, 5000 + i);
	struct peer *p = &c->peers[i];
	switch (hdr.op) {
	case VIRTIO_VSOCK_OP_RESPONSE:
		assert_int_equal(p->stage, ASKED);
		p->stage = OPEN;
		c->n_open++;
		break;
	case VIRTIO_VSOCK_OP_RW:
		assert_true(p->stage == OPEN || p->stage == CLOSING);
		for (uint32_t k = 0; k < hdr.len; k++)
			assert_int_equal(data[k], p->guest_heard++);
		c->n_bytes += hdr.len;
		break;
	case VIRTIO_VSOCK_OP_SHUTDOWN:
		assert_true(p->stage == OPEN || p->stage == CLOSING);
		send_op(c->f, VIRTIO_VSOCK_OP_RST, 1000 + i, 5000 + i);
		p->stage = IDLE;
		break;
	case VIRTIO_VSOCK_OP_RST:
		/* when idle it crossed ours */
		c->n_refused += p->stage == ASKED;
		p->stage = IDLE;
		break;
	default:
		assert_int_equal(hdr.op, VIRTIO_VSOCK_OP_CREDIT_UPDATE);
	}
	return true;
}

static void keeper_decides(struct crowd *c, bool yes)
{
	int pair[2];
	if (keeper.n_asks == 0)
		return;
	/* any of them */
	uint32_t at = dice(c, keeper.n_asks), last = keeper.n_asks - 1;
	struct peer *p = &c->peers[keeper.asks[at].port - 5000];
	__typeof__(keeper.asks[0]) chosen = keeper.asks[at];
	keeper.asks[at] = keeper.asks[last];
	keeper.asks[last] = chosen;
	if (!yes) {
		keeper_answers(-ECONNREFUSED);
		return;
	}
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair),
			 0);
	keeper_answers(pair[0]);
	/* of an earlier one that the guest gave up: closed at once */
	if (p->stage != ASKED || p->fd >= 0) {
		assert_true(host_eof(pair[1]));
		(void)close(pair[1]);
		return;
	}
	char byte;
	if (recv(pair[1], &byte, 1, MSG_PEEK) == 0) {
		(void)close(pair[1]);
		return;
	}
	*p = (struct peer){ .stage = ASKED, .fd = pair[1] };
}

static void host_reads(struct peer *p)
{
	uint8_t data[BUF];
	ssize_t n = p->fd < 0 ? 0 : recv(p->fd, data, sizeof(data), 0);
	for (ssize_t k = 0; k < n; k++)
		assert_int_equal(data[k], p->host_heard++);
	if (n > 0)
		p->unread -= (uint32_t)n;
	if (n == 0 || (n < 0 && errno != EAGAIN))
		hang_up(p);
}

static void guest_sends(struct crowd *c, uint32_t i)
{
	uint8_t data[64];
	struct peer *p = &c->peers[i];
	uint32_t n = 1 + dice(c, sizeof(data));
	if (p->stage != OPEN || p->unread + n > UNREAD_MAX)
		return;
	for (uint32_t k = 0; k < n; k++)
		data[k] = p->guest_said++;
	p->unread += n;
	send_data(c->f, 1000 + i, 5000 + i, data, n);
}

static void host_sends(struct crowd *c, struct peer *p)
{
	uint8_t data[64];
	uint32_t n = 1 + dice(c, sizeof(data));
	for (uint32_t k = 0; k < n; k++)
		data[k] = (uint8_t)(p->host_said + k);
	if (p->fd >= 0 && send(p->fd, data, n, MSG_NOSIGNAL) == (ssize_t)n)
		p->host_said = (uint8_t)(p->host_said + n);
}

/* The guest ends it, in one of its ways; what is under way to it comes before. */
static void guest_ends(struct crowd *c, uint32_t i)
{
	struct peer *p = &c->peers[i];
	struct virtio_vsock_hdr hdr = packet(VIRTIO_VSOCK_OP_SHUTDOWN, 1000 + i, 5000 + i);
	hdr.flags = VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND;
	if (p->stage == OPEN && dice(c, 2)) {
		p->stage = CLOSING;
		send_raw(c->f, &hdr, NULL, 0);
		return;
	}
	while (guest_takes(c))
		;
	if (p->stage != ASKED && p->stage != OPEN)
		return;
	send_op(c->f, VIRTIO_VSOCK_OP_RST, 1000 + i, 5000 + i);
	p->stage = IDLE;
	hang_up(p);
}

static void step(struct crowd *c)
{
	uint32_t i = dice(c, PEERS);
	struct peer *p = &c->peers[i];
	switch (dice(c, 12)) {
	case 0:
	case 1:
		if (p->stage != IDLE || p->fd >= 0)
			break;
		while (guest_takes(c))
			;
		*p = (struct peer){ .stage = ASKED, .fd = -1 };
		send_op(c->f, VIRTIO_VSOCK_OP_REQUEST, 1000 + i, 5000 + i);
		break;
	case 2:
	case 3:
		keeper_decides(c, dice(c, 8));
		break;
	case 4:
	case 5:
		guest_sends(c, i);
		break;
	case 6:
	case 7:
		host_sends(c, p);
		break;
	case 8:
		host_reads(p);
		break;
	case 9:
		if (dice(c, 4) == 0)
			hang_up(p);
		break;
	case 10:
		if (dice(c, 4) == 0)
			guest_ends(c, i);
		break;
	default:
		for (uint32_t n = dice(c, 40); n && guest_takes(c); n--)
			;
	}
	rig_turn(&c->f->rig);
}

/* Connects, late and refused answers, data, ends from either side, in any order and
 * with a guest that looks only now and then: what arrives is what was sent, and at the
 * end nothing is left, nor does anybody wait. */
static void any_order__nothing_is_lost_or_left(void **state)
{
	struct crowd c = { .f = *state, .seed = 2463534242 };
	keeper.most = 5;
	for (uint32_t i = 0; i < PEERS; i++)
		c.peers[i].fd = -1;
	for (unsigned int n = 0; n < STEPS; n++)
		step(&c);
	for (unsigned int n = 0; n < 1000 && (keeper.n_asks || n == 0); n++)
		keeper_decides(&c, true);
	while (guest_takes(&c))
		;
	/* each that is open still works, both ways */
	for (uint32_t i = 0; i < PEERS; i++) {
		struct peer *p = &c.peers[i];
		assert_int_not_equal(p->stage, ASKED);
		if (p->stage != OPEN)
			continue;
		guest_sends(&c, i);
		host_sends(&c, p);
		while (guest_takes(&c))
			;
		for (int n = 0; n < 100 && p->unread; n++) {
			host_reads(p);
			rig_turn(&c.f->rig);
		}
		assert_int_equal(p->unread, 0);
		assert_int_equal(p->host_heard, p->guest_said);
		assert_int_equal(p->guest_heard, p->host_said);
	}
	for (uint32_t i = 0; i < PEERS; i++)
		hang_up(&c.peers[i]);
	while (guest_takes(&c))
		;
	for (uint32_t i = 0; i < PEERS; i++)
		assert_int_equal(c.peers[i].stage, IDLE);
	assert_int_equal(stat_of(c.f, "connections"), 0);
	assert_int_equal(stat_of(c.f, "violations"), 0);
	assert_true(c.n_open > 500 && c.n_refused > 50 && c.n_bytes > 10000);
}

static void many__more_than_the_limit_are_refused(void **state)
{
	struct fixture *f = *state;
	for (unsigned int i = 0; i < VSOCK_CONNS_MAX; i++)
		send_op(f, VIRTIO_VSOCK_OP_REQUEST, i, 80);
	assert_int_equal(stat_of(f, "connections"), VSOCK_CONNS_MAX);
	expect_silence(f);
	send_op(f, VIRTIO_VSOCK_OP_REQUEST, 999999, 80);
	(void)expect(f, VIRTIO_VSOCK_OP_RST, NULL);
}

/* --- life --- */

static void reset__ends_all_and_starts_anew(void **state)
{
	struct fixture *f = *state;
	uint32_t port;
	int fd = open_by_host(f, 52, &port), pending = host_connect(f);
	host_say(f, pending, "CONNECT 52\n");
	start_driver(f);
	assert_true(host_eof(fd));
	assert_true(host_eof(pending));
	assert_int_equal(stat_of(f, "connections"), 0);
	(void)close(fd);
	(void)close(pending);
	(void)close(open_by_host(f, 52, &port));
}

static void on_quiet(void *arg)
{
	*(bool *)arg = true;
}

static void pause__keeps_what_comes(void **state)
{
	struct fixture *f = *state;
	uint32_t port;
	bool quiet = false;
	int fd = open_by_host(f, 52, &port);
	device_vsock.quiesce(f->dev, on_quiet, &quiet);
	assert_true(quiet);
	host_say(f, fd, "later");
	int other = host_connect(f);
	host_say(f, other, "CONNECT 53\n");
	uint16_t before = guestq_used_idx(&f->q[0]);
	rig_turn(&f->rig);
	assert_int_equal(guestq_used_idx(&f->q[0]), before);
	device_vsock.resume(f->dev);
	(void)expect(f, VIRTIO_VSOCK_OP_RW, NULL);
	(void)expect(f, VIRTIO_VSOCK_OP_REQUEST, NULL);
	(void)close(fd);
	(void)close(other);
}

static void config__is_the_cid(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_CONFIG), CID);
	assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_CONFIG + 4), 0);
}

static void machine_file__names_what_is_wrong(void **state)
{
	static const struct {
		const char *conf, *word;
	} bad[] = {
		{ "{\"cid\":2,\"listen\":{\"fd\":9}}", "cid" },
		{ "{\"cid\":4294967295,\"listen\":{\"fd\":9}}", "cid" },
		{ "{\"cid\":3}", "listen" },
		{ "{\"listen\":{\"fd\":9},\"x\":1}", "x" },
		{ "{\"listen\":{\"fd\":9},\"connect\":\"me\"}", "connect" },
		{ "{\"listen\":{\"fd\":9},\"connect\":{}}", "path" },
		{ "[]", "vsock" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct err err = ERR_INIT;
		json_object *conf = json_tokener_parse(bad[i].conf);
		assert_true(device_vsock.check(conf, &err) < 0);
		assert_non_null(strstr(err.text, bad[i].word));
		json_object_put(conf);
	}
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(host_opens__both_ways_and_ends),
		CASE(host_opens__line_in_pieces_with_data_behind),
		CASE(host_opens__bad_greetings_are_closed),
		CASE(host_opens__guest_refuses),
		CASE(host_opens__client_gone_before_answer),
		CASE(guest_opens__both_ways),
		CASE(guest_opens__nobody_listens),
		CASE(guest_opens__late_answers),
		CASE(guest_opens__more_than_the_keeper_takes),
		CASE(half_close__host_first),
		CASE(half_close__guest_first),
		CASE(half_close__host_then_closes),
		CASE(credit__slow_host_reader),
		CASE(credit__more_than_given_is_reset),
		CASE(credit__of_the_guest_is_kept_to),
		CASE(packets__unknown_connection_is_reset),
		CASE(packets__malformed_end_their_connection),
		CASE(packets__from_another_cid_are_nothing),
		CASE(chains__broken_need_a_reset),
		CASE(flood__of_nonsense_without_buffers),
		CASE(many__a_thousand_each_way),
		CASE(any_order__nothing_is_lost_or_left),
		CASE(many__more_than_the_limit_are_refused),
		CASE(reset__ends_all_and_starts_anew),
		CASE(pause__keeps_what_comes),
		CASE(config__is_the_cid),
		cmocka_unit_test(machine_file__names_what_is_wrong),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
