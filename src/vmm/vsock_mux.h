/* SPDX-License-Identifier: Apache-2.0 */
/* vsock_mux - the connections between a guest and host sockets: the protocol of
 * virtio-vsock (virtio 1.2, 5.10.6) without its queues.
 *
 * Host to guest: a client of the listening socket writes "CONNECT <port>\n" and is
 * answered "OK <host port>\n" once the guest has accepted. Guest to host: whoever owns
 * the mux gets the stream for a port. A connection:
 *
 *   client:  GREETING --CONNECT--> ASKED ----RESPONSE---> OPEN
 *   guest:                         FETCHING --stream----> OPEN
 *   OPEN --the host closed--> PARTING   the guest has yet to say RST
 *   any  --RST, both shut---> LEAVING   what the guest sent still goes to the host;
 *                                       ends when that is written and our RST is out
 *
 * Bounds: VSOCK_CONNS_MAX connections; what is buffered for slow readers on the host
 * is at most the credit given, and all credit comes out of one pool. Fair: each
 * connection that has something for the guest is asked for one packet in turn.
 * Everything in a packet is the guest's word and judged here. Loop thread. */
#pragma once

#include "isola/err.h"
#include "isola/list.h"

#include <linux/virtio_vsock.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>
#include <uv.h>

#define VSOCK_HOST_CID     2
#define VSOCK_CONNS_MAX    3072
#define VSOCK_PAYLOAD_MAX  (64U * 1024)
#define VSOCK_POOL_BYTES   (64U * 1024 * 1024)
#define VSOCK_CREDIT_MIN   (8U * 1024)
#define VSOCK_CREDIT_MAX   (256U * 1024)
#define VSOCK_RESETS_MAX   256
#define VSOCK_BUCKETS      512
#define VSOCK_GREETING_MAX 32 /* "CONNECT 4294967295\n" and room to be wrong in */
#define VSOCK_TIMEOUT_MS   10000
#define VSOCK_PORT_FIRST   (1U << 30) /* of the host, for its own connections */

struct vsock_mux;
struct vsock_conn;

struct vsock_owner {
	/* Something is there for the guest: call vsock_next(), but not from in here. */
	void (*wake)(struct vsock_mux *mux);
	/* The guest wants host port @port: vsock_connected() with @ticket, now or later,
	 * exactly once if 0 is returned. -errno refuses. */
	int (*connect)(struct vsock_mux *mux, uint32_t port, uint64_t ticket);
	/* The last connection is gone after vsock_fini(): @mux may be freed. */
	void (*closed)(struct vsock_mux *mux);
};

struct vsock_counters {
	uint64_t by_host, by_guest, refused, violations, from_guest_bytes, to_guest_bytes;
};

struct vsock_mux {
	const struct vsock_owner *owner;
	uv_loop_t *loop;
	uint64_t guest_cid;
	struct list all, ready;
	struct list buckets[VSOCK_BUCKETS];
	struct virtio_vsock_hdr resets[VSOCK_RESETS_MAX]; /* for nobody's packets: a ring */
	unsigned int reset_first, n_resets;
	unsigned int n_conns, n_buried; /* buried: closing their handle */
	uint32_t next_port, pool_bytes;
	uint64_t next_ticket;
	uv_timer_t timer; /* of what takes too long */
	bool finished, timer_closed;
	struct vsock_counters counters;
};

/* Sets up @mux in place; it stays where it is until owner->closed(). */
int vsock_init(struct vsock_mux *mux, uv_loop_t *loop, uint64_t guest_cid,
	       const struct vsock_owner *owner);
/* Ends every connection without a word to the guest, which was reset. */
void vsock_reset(struct vsock_mux *mux);
/* vsock_reset(), and closes the handles; owner->closed() comes from the loop. */
void vsock_fini(struct vsock_mux *mux);

/* True while a packet of the guest can be taken: there is room for a RST. */
bool vsock_can_receive(const struct vsock_mux *mux);
/* One packet of the guest; @payload has @size bytes, which may be fewer or more than
 * the header claims. */
void vsock_receive(struct vsock_mux *mux, const struct virtio_vsock_hdr *hdr,
		   const struct iovec *payload, int n_payload, size_t size);
/* The next packet for the guest: its header, and up to @room payload bytes read into
 * @space. 1, or 0 when nothing is to be said. */
int vsock_next(struct vsock_mux *mux, struct virtio_vsock_hdr *ret_hdr, const struct iovec *space,
	       int n_space, size_t room);
/* Whether vsock_next() is worth a buffer of the guest. */
bool vsock_has_next(const struct vsock_mux *mux);

/* A client of the listening socket; @fd is taken. -EMFILE: too many, closed. */
int vsock_accepted(struct vsock_mux *mux, int fd);
/* The answer to owner->connect(): a stream (taken), or -errno. */
void vsock_connected(struct vsock_mux *mux, uint64_t ticket, int fd);
