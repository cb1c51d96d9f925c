/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_vsock - a guest's packets and a host's clients in any order: whatever either
 * does, the device lives on, keeps within its bounds, and is empty after a reset.
 *
 * Input: steps of a byte each, with what they need behind: see step(). Ports are few,
 * so that packets meet connections. */
#include "rig.h"

#include "isola/fd.h"
#include "isola/json.h"

#include "vmm/control.h"
#include "vmm/vsock_mux.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define CID       3
#define QUEUE     32
#define TX        0x200000ULL
#define RX        0x300000ULL
#define CLIENTS   8
#define STEPS_MAX 400

extern const struct device_type device_vsock;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
	struct rig rig;
	struct device *dev;
	struct guestq q[3];
	struct sockaddr_un addr;
	socklen_t addr_size;
	int clients[CLIENTS], peers[CLIENTS];
	const uint8_t *data;
	size_t size;
};

static struct {
	control_connected_fn *fn;
	void *arg;
} asks[64];
static unsigned int n_asks;

int control_ask_connect(struct control *control, uint32_t port, control_connected_fn *fn, void *arg)
{
	(void)control;
	if (port % 5 == 4 || n_asks == 64)
		return -EAGAIN;
	asks[n_asks].fn = fn;
	asks[n_asks++].arg = arg;
	return 0;
}

static uint32_t take(struct world *w, size_t size)
{
	uint32_t value = 0;
	size_t n = size < w->size ? size : w->size;
	memcpy(&value, w->data, n);
	w->data += n;
	w->size -= n;
	return value;
}

static void guest_packet(struct world *w)
{
	uint8_t twist = (uint8_t)take(w, 1);
	struct virtio_vsock_hdr hdr = {
		.src_cid = twist & 1 && twist & 2 ? take(w, 1) : CID,
		.dst_cid = twist & 4 && twist & 8 ? take(w, 1) : VSOCK_HOST_CID,
		.op = (uint16_t)(take(w, 1) % 10),
		.type = twist & 16 && twist & 32 ? (uint16_t)take(w, 2) : VIRTIO_VSOCK_TYPE_STREAM,
		.src_port = take(w, 1) % 4,
		.flags = take(w, 1),
		.buf_alloc = take(w, 4),
		.fwd_cnt = take(w, 4),
	};
	uint8_t port = (uint8_t)take(w, 1);
	hdr.dst_port = port & 128 ? VSOCK_PORT_FIRST + port % 8 : port % 8;
	uint32_t payload = hdr.op == VIRTIO_VSOCK_OP_RW || twist & 64 ? take(w, 2) : 0, id, len;
	hdr.len = twist & 128 ? take(w, 4) : payload;
	while (guestq_used(&w->q[1], &id, &len))
		;
	rig_put(&w->rig, TX, &hdr, sizeof(hdr));
	const struct guestbuf bufs[] = { { TX, sizeof(hdr) }, { TX + sizeof(hdr), payload } };
	(void)guestq_add(&w->q[1], bufs, payload ? 2 : 1, 0);
	rig_kick(&w->rig, 0, 1);
}

static void post(struct world *w, unsigned int n)
{
	uint32_t id, len;
	while (guestq_used(&w->q[0], &id, &len))
		;
	for (unsigned int i = 0; i < n % QUEUE; i++) {
		if ((uint16_t)(w->q[0].avail_idx - w->q[0].last_used) >= QUEUE)
			break;
		const struct guestbuf buf = { RX + 4096ULL * (w->q[0].avail_idx % QUEUE), 4096 };
		(void)guestq_add(&w->q[0], &buf, 0, 1);
	}
	rig_kick(&w->rig, 0, 0);
}

static void client(struct world *w, uint8_t what)
{
	static const char *const lines[] = { "CONNECT 1\n", "CONNECT ", "2\n", "CONNECT 3\nx" };
	uint8_t i = (uint8_t)take(w, 1) % (2 * CLIENTS);
	int *fd = i < CLIENTS ? &w->clients[i] : &w->peers[i - CLIENTS];
	static char bytes[8192];
	if (*fd < 0) {
		*fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (connect(*fd, (struct sockaddr *)&w->addr, w->addr_size) < 0)
			fd_close(fd);
		return;
	}
	switch (what % 6) {
	case 0:
		(void)send(*fd, lines[what / 6 % 4], strlen(lines[what / 6 % 4]), MSG_NOSIGNAL);
		break;
	case 1:
		(void)send(*fd, bytes, take(w, 2) % sizeof(bytes), MSG_NOSIGNAL);
		break;
	case 2:
		(void)recv(*fd, bytes, sizeof(bytes), 0);
		break;
	case 3:
		(void)shutdown(*fd, what & 64 ? SHUT_WR : SHUT_RD);
		break;
	case 4:
		fd_close(fd);
		break;
	default: { /* whatever a client writes first */
		char text[40];
		size_t n = take(w, 1) % sizeof(text);
		for (size_t k = 0; k < n; k++)
			text[k] = (char)take(w, 1);
		(void)send(*fd, text, n, MSG_NOSIGNAL);
	}
	}
	rig_turn(&w->rig);
}

static void answer(struct world *w, uint8_t what)
{
	int pair[2];
	if (!n_asks)
		return;
	n_asks--;
	if (what & 1 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair)) {
		asks[n_asks].fn(asks[n_asks].arg, -ECONNREFUSED);
		return;
	}
	fd_close(&w->peers[what / 2 % CLIENTS]);
	w->peers[what / 2 % CLIENTS] = pair[1];
	asks[n_asks].fn(asks[n_asks].arg, pair[0]);
	rig_turn(&w->rig);
}

static void start(struct world *w)
{
	gpa_t at = 0x10000;
	for (unsigned int i = 0; i < 3; i++)
		at = guestq_init(&w->q[i], &w->rig, at, QUEUE);
	(void)rig_start(&w->rig, 0, 0, w->q, 3);
	rig_turn(&w->rig);
}

static int64_t connections(struct world *w)
{
	json_object *o = device_vsock.stats(w->dev);
	int64_t n = json_i64_or(o, "connections", -1);
	json_object_put(o);
	return n;
}

static void step(struct world *w)
{
	uint8_t what = (uint8_t)take(w, 1);
	switch (what % 8) {
	case 0:
	case 1:
	case 2:
		guest_packet(w);
		break;
	case 3:
		post(w, what / 8);
		break;
	case 4:
	case 5:
		client(w, what / 8);
		break;
	case 6:
		answer(w, what / 8);
		break;
	default:
		if (what == 0xff)
			start(w);
		else
			rig_turn(&w->rig);
	}
	if (connections(w) > VSOCK_CONNS_MAX)
		abort();
}

static void make(struct world *w)
{
	struct err err = ERR_INIT;
	char text[64];
	rig_init(&w->rig, 4ULL << 20);
	w->rig.vm.control = (struct control *)asks;
	for (unsigned int i = 0; i < CLIENTS; i++)
		w->clients[i] = w->peers[i] = -1;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	w->addr.sun_family = AF_UNIX;
	w->addr_size = sizeof(w->addr);
	if (bind(fd, (struct sockaddr *)&w->addr, sizeof(sa_family_t)) < 0 || listen(fd, 64) < 0 ||
	    getsockname(fd, (struct sockaddr *)&w->addr, &w->addr_size) < 0)
		abort();
	(void)snprintf(text, sizeof(text), "{\"cid\":%d,\"listen\":{\"fd\":%d}}", CID, fd);
	cleanup_json json_object *conf = json_tokener_parse(text);
	if (device_vsock.make(&w->rig.vm, conf, &w->dev, &err) < 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct world *w = calloc(1, sizeof(*w));
	if (!w)
		return 0;
	w->data = data;
	w->size = size;
	make(w);
	start(w);
	for (unsigned int i = 0; w->size && i < STEPS_MAX; i++)
		step(w);
	rig_write(&w->rig, 0, VIRTIO_MMIO_STATUS, 0);
	if (connections(w) != 0)
		abort();
	device_vsock.free(w->dev);
	while (n_asks)
		answer(w, 1);
	for (unsigned int i = 0; i < CLIENTS; i++) {
		fd_close(&w->clients[i]);
		fd_close(&w->peers[i]);
	}
	rig_fini(&w->rig);
	free(w);
	return 0;
}
