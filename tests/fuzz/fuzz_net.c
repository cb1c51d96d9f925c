/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_net - a network device between a hostile guest (headers, buffers, control
 * requests) and a hostile peer of its stream. It lives on, and what the guest sends
 * arrives in frames of a lawful size or not at all.
 *
 * Input: features (1 byte), then steps: see step(). */
#include "rig.h"

#include "isola/fd.h"
#include "isola/json.h"

#include "vmm/net_backend.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define QUEUE     32
#define TX        0x200000ULL
#define RX        0x300000ULL
#define STEPS_MAX 400

extern const struct device_type device_net;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
	struct rig rig;
	struct device *dev;
	struct guestq q[3];
	int peer;
	uint8_t features;
	uint8_t got[1 << 18]; /* what the peer has read, up to a whole frame */
	size_t n_got;
	const uint8_t *data;
	size_t size;
};

static uint32_t take(struct world *w, size_t size)
{
	uint32_t value = 0;
	size_t n = size < w->size ? size : w->size;
	memcpy(&value, w->data, n);
	w->data += n;
	w->size -= n;
	return value;
}

static void drain(struct guestq *g)
{
	uint32_t id, len;
	while (guestq_used(g, &id, &len))
		;
}

static bool has_room(const struct guestq *g, unsigned int n)
{
	return (uint16_t)(g->avail_idx - g->last_used) + n <= QUEUE / 2;
}

static void start(struct world *w)
{
	uint64_t features = (w->features & 1 ? 1ULL << VIRTIO_NET_F_MRG_RXBUF : 0) |
			    1ULL << VIRTIO_NET_F_CTRL_VQ | 1ULL << VIRTIO_NET_F_STATUS |
			    (w->features & 2 ? 1ULL << VIRTIO_RING_F_EVENT_IDX : 0);
	gpa_t at = 0x10000;
	for (unsigned int i = 0; i < 3; i++)
		at = guestq_init(&w->q[i], &w->rig, at, QUEUE);
	(void)rig_start(&w->rig, 0, features, w->q, 3);
	rig_turn(&w->rig);
}

static void guest_frame(struct world *w)
{
	struct virtio_net_hdr_v1 hdr = {
		.flags = (uint8_t)take(w, 1),
		.gso_type = (uint8_t)take(w, 1),
		.hdr_len = (uint16_t)take(w, 2),
	};
	uint32_t first = take(w, 1), second = take(w, 4) & 0x3ffff;
	drain(&w->q[1]);
	if (!has_room(&w->q[1], 1))
		return;
	rig_put(&w->rig, TX, &hdr, sizeof(hdr));
	const struct guestbuf bufs[] = { { TX, first }, { TX + first, second } };
	(void)guestq_add(&w->q[1], bufs, second ? 2 : 1, 0);
	rig_kick(&w->rig, 0, 1);
}

static void post(struct world *w, uint8_t how)
{
	static const uint32_t sizes[] = { 12, 13, 64, 1526, 4096, 65600, 0x20000 };
	drain(&w->q[0]);
	for (unsigned int i = 0; i < how % 8u && has_room(&w->q[0], 2); i++) {
		const struct guestbuf bufs[] = { { RX, sizes[how / 8 % 7] }, { RX + 64, 100 } };
		(void)guestq_add(&w->q[0], bufs, 0, how & 128 ? 2 : 1);
	}
	rig_kick(&w->rig, 0, 0);
}

static void control(struct world *w)
{
	uint8_t request[96];
	uint32_t size = take(w, 1) % sizeof(request);
	drain(&w->q[2]);
	if (!has_room(&w->q[2], 1))
		return;
	for (uint32_t i = 0; i < size; i++)
		request[i] = (uint8_t)take(w, 1);
	rig_put(&w->rig, TX, request, size);
	const struct guestbuf bufs[] = { { TX, size }, { RX, 1 } };
	(void)guestq_add(&w->q[2], bufs, 1, 1);
	rig_kick(&w->rig, 0, 2);
}

static void peer_sends(struct world *w, uint8_t how)
{
	static uint8_t bytes[70000];
	uint32_t size = take(w, 2), length = how & 1 ? take(w, 4) : size;
	length = htonl(length);
	if (how & 2)
		(void)send(w->peer, &length, 4, MSG_NOSIGNAL | MSG_DONTWAIT);
	(void)send(w->peer, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
	rig_turn(&w->rig);
}

static void peer_reads(struct world *w)
{
	ssize_t n = recv(w->peer, w->got + w->n_got, sizeof(w->got) - w->n_got, MSG_DONTWAIT);
	w->n_got += n > 0 ? (size_t)n : 0;
	for (uint32_t size; w->n_got >= 4; w->n_got -= 4 + size) {
		memcpy(&size, w->got, 4);
		size = ntohl(size);
		if (size < NET_FRAME_MIN || size > NET_FRAME_MAX)
			abort();
		if (w->n_got < 4 + size)
			break;
		memmove(w->got, w->got + 4 + size, w->n_got - 4 - size);
	}
	rig_turn(&w->rig);
}

static void step(struct world *w)
{
	uint8_t what = (uint8_t)take(w, 1);
	switch (what % 8) {
	case 0:
	case 1:
		guest_frame(w);
		break;
	case 2:
		post(w, (uint8_t)take(w, 1));
		break;
	case 3:
		control(w);
		break;
	case 4:
	case 5:
		peer_sends(w, what / 8);
		break;
	case 6:
		peer_reads(w);
		break;
	default:
		if (what == 0xff)
			start(w);
		else
			rig_turn(&w->rig);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = ERR_INIT;
	struct world *w = calloc(1, sizeof(*w));
	int pair[2];
	char text[64];
	if (!w || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		abort();
	w->data = data;
	w->size = size;
	rig_init(&w->rig, 4ULL << 20);
	w->peer = pair[0];
	(void)snprintf(text, sizeof(text), "{\"id\":\"n\",\"socket\":{\"fd\":%d}}", pair[1]);
	cleanup_json json_object *conf = json_tokener_parse(text);
	if (device_net.make(&w->rig.vm, conf, &w->dev, &err) < 0)
		abort();
	w->features = (uint8_t)take(w, 1);
	start(w);
	for (unsigned int i = 0; w->size && i < STEPS_MAX; i++)
		step(w);
	peer_reads(w);
	device_net.free(w->dev);
	rig_fini(&w->rig);
	fd_close(&w->peer);
	free(w);
	return 0;
}
