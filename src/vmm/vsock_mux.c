/* SPDX-License-Identifier: Apache-2.0 */
/* vsock_mux - see vsock_mux.h. isola-vmm, loop thread; never waits. */
#include "vsock_mux.h"

#include "isola/fd.h"

#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define TICK_MS 500
/* This many connections get the largest credit, later ones a share of the rest. */
#define CONNS_AT_EASE 32
#define POOL_SHARES   1280 /* so that VSOCK_CONNS_MAX get at least the smallest */

enum state { GREETING, ASKED, FETCHING, OPEN, PARTING, LEAVING };

/* What is to be said to the guest, in this order. */
enum {
	SAY_RST = 1,
	SAY_REQUEST = 2,
	SAY_RESPONSE = 4,
	SAY_DATA = 8, /* the stream may have some */
	SAY_SHUTDOWN = 16,
	SAY_CREDIT_REQUEST = 32,
	SAY_CREDIT_UPDATE = 64,
};

struct vsock_conn {
	struct vsock_mux *mux;
	struct list in_all, in_ready, in_bucket;
	enum state state;
	uint32_t host_port, guest_port;
	uint64_t ticket;
	int fd;          /* -1: none (yet), or no more */
	uv_poll_t *poll; /* of fd */
	unsigned int say;
	uint64_t deadline_ms; /* 0: none */
	char greeting[VSOCK_GREETING_MAX];
	unsigned int n_greeting;
	bool host_ended;   /* end of file read */
	bool credit_asked; /* since the guest's credit ran out */
	uint8_t guest_shut, said_shut;
	/* Guest to host: received and passed on, modulo 2^32 as on the wire. */
	uint32_t credit, rx_count, fwd_count, fwd_said;
	uint8_t *late; /* ring of @credit bytes, only while the reader is slow */
	uint32_t late_first, late_bytes;
	/* Host to guest. */
	uint32_t peer_credit, peer_fwd, tx_count;
};

static void on_event(uv_poll_t *poll, int status, int events);

/* --- the table --- */

static struct list *bucket_of(struct vsock_mux *mux, uint32_t host_port, uint32_t guest_port)
{
	uint32_t hash = (host_port * 2654435761U) ^ (guest_port * 2246822519U);
	return &mux->buckets[(hash ^ hash >> 15) % VSOCK_BUCKETS];
}

static struct vsock_conn *find(struct vsock_mux *mux, uint32_t host_port, uint32_t guest_port)
{
	list_for_each (pos, bucket_of(mux, host_port, guest_port)) {
		struct vsock_conn *c = container_of(pos, struct vsock_conn, in_bucket);
		if (c->host_port == host_port && c->guest_port == guest_port)
			return c;
	}
	return NULL;
}

static void enter(struct vsock_conn *c, uint32_t host_port, uint32_t guest_port)
{
	c->host_port = host_port;
	c->guest_port = guest_port;
	list_add_tail(bucket_of(c->mux, host_port, guest_port), &c->in_bucket);
}

static struct vsock_conn *conn_new(struct vsock_mux *mux, enum state state)
{
	uint32_t credit = VSOCK_CREDIT_MAX;
	if (mux->n_conns >= CONNS_AT_EASE)
		credit = mux->pool_bytes / POOL_SHARES;
	if (credit > VSOCK_CREDIT_MAX)
		credit = VSOCK_CREDIT_MAX;
	if (credit < VSOCK_CREDIT_MIN)
		credit = VSOCK_CREDIT_MIN;
	if (mux->n_conns >= VSOCK_CONNS_MAX || mux->pool_bytes < credit)
		return NULL;
	struct vsock_conn *c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->mux = mux;
	c->state = state;
	c->fd = -1;
	c->credit = credit;
	c->deadline_ms = uv_now(mux->loop) + VSOCK_TIMEOUT_MS;
	mux->pool_bytes -= credit;
	mux->n_conns++;
	list_add_tail(&mux->all, &c->in_all);
	list_init(&c->in_ready);
	list_init(&c->in_bucket);
	if (!uv_is_active((uv_handle_t *)&mux->timer))
		uv_timer_again(&mux->timer);
	return c;
}

static void maybe_closed(struct vsock_mux *mux)
{
	if (mux->finished && mux->timer_closed && mux->n_buried == 0)
		mux->owner->closed(mux);
}

static void on_buried(uv_handle_t *handle)
{
	struct vsock_mux *mux = handle->data;
	free(handle);
	mux->n_buried--;
	maybe_closed(mux);
}

static void close_stream(struct vsock_conn *c)
{
	if (c->poll) {
		/* Now, not later: the descriptor's number will be someone else's. */
		c->poll->data = c->mux;
		c->mux->n_buried++;
		uv_close((uv_handle_t *)take_ptr(c->poll), on_buried);
	}
	fd_close(&c->fd);
	free(take_ptr(c->late));
	c->late_bytes = 0;
}

static void bury(struct vsock_conn *c)
{
	struct vsock_mux *mux = c->mux;
	list_del(&c->in_all);
	list_del(&c->in_ready);
	list_del(&c->in_bucket);
	mux->pool_bytes += c->credit;
	mux->n_conns--;
	close_stream(c);
	free(c);
}

/* --- what is to be said --- */

/* What the guest has room for, by its own account. */
static uint32_t peer_room(const struct vsock_conn *c)
{
	uint32_t in_flight = c->tx_count - c->peer_fwd;
	return in_flight < c->peer_credit ? c->peer_credit - in_flight : 0;
}

static void say(struct vsock_conn *c, unsigned int what)
{
	c->say |= what;
	if (list_is_empty(&c->in_ready))
		list_add_tail(&c->mux->ready, &c->in_ready);
	c->mux->owner->wake(c->mux);
}

/* Watches the stream for what we can use now. */
static void watch(struct vsock_conn *c)
{
	if (c->fd < 0)
		return;
	int events = 0;
	bool reads = c->state == OPEN || c->state == GREETING;
	if (reads && !c->host_ended && !(c->say & SAY_DATA) &&
	    !(c->guest_shut & VIRTIO_VSOCK_SHUTDOWN_RCV))
		events |= UV_READABLE;
	if (c->late_bytes)
		events |= UV_WRITABLE;
	/* A hang-up is always told, but only to who asks for something. */
	if (!events)
		events = UV_PRIORITIZED;
	(void)uv_poll_start(c->poll, events, on_event);
}

/* The guest is done with it, or breaks the rules: it hears RST (unless it said so
 * itself), its ports are free after that, and what it sent still goes out. */
static void leave(struct vsock_conn *c, bool tell)
{
	c->state = LEAVING;
	c->deadline_ms = 0;
	c->say = 0;
	list_del(&c->in_ready);
	if (!c->late_bytes)
		close_stream(c);
	if (tell) {
		say(c, SAY_RST);
	} else {
		list_del(&c->in_bucket);
		if (c->fd < 0) {
			bury(c);
			return;
		}
	}
	watch(c);
}

/* Nobody on the host is left to talk to. */
static void host_gone(struct vsock_conn *c)
{
	close_stream(c);
	if (c->state == LEAVING) {
		if (!(c->say & SAY_RST))
			bury(c);
	} else if (c->state == GREETING) {
		bury(c);
	} else {
		leave(c, true);
	}
}

/* The host's program closed the stream whole, and all of its data was read: the
 * guest may read on, but what it writes is for nobody. */
static void part(struct vsock_conn *c)
{
	close_stream(c);
	c->state = PARTING;
	c->deadline_ms = uv_now(c->mux->loop) + VSOCK_TIMEOUT_MS;
	if (!uv_is_active((uv_handle_t *)&c->mux->timer))
		uv_timer_again(&c->mux->timer);
	say(c, SAY_SHUTDOWN);
}

static bool hung_up(const struct vsock_conn *c)
{
	struct pollfd p = { .fd = c->fd };
	return poll(&p, 1, 0) == 1 && (p.revents & (POLLHUP | POLLERR));
}

static void shut_write(struct vsock_conn *c)
{
	if ((c->guest_shut & VIRTIO_VSOCK_SHUTDOWN_SEND) && c->fd >= 0 && !c->late_bytes)
		(void)shutdown(c->fd, SHUT_WR);
}

/* --- guest to host --- */

/* The guest blocks once it has used up its credit: tell it in time. */
static void tell_credit(struct vsock_conn *c)
{
	uint32_t unknown = c->fwd_count - c->fwd_said;
	if (c->state == OPEN && unknown >= c->credit / 2)
		say(c, SAY_CREDIT_UPDATE);
}

static void flush_late(struct vsock_conn *c)
{
	while (c->late_bytes) {
		uint32_t run = c->credit - c->late_first;
		if (run > c->late_bytes)
			run = c->late_bytes;
		ssize_t n = send(c->fd, c->late + c->late_first, run, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			host_gone(c);
			return;
		}
		c->late_first = (c->late_first + (uint32_t)n) % c->credit;
		c->late_bytes -= (uint32_t)n;
		c->fwd_count += (uint32_t)n;
	}
	if (!c->late_bytes) {
		free(take_ptr(c->late));
		shut_write(c);
		if (c->state == LEAVING) {
			host_gone(c);
			return;
		}
	}
	tell_credit(c);
	watch(c);
}

/* Keeps @size bytes of the iovecs from @skip on; the credit check made the room. */
static int keep_late(struct vsock_conn *c, const struct iovec *iov, int n, size_t skip)
{
	if (!c->late && !(c->late = malloc(c->credit)))
		return -ENOMEM;
	if (!c->late_bytes)
		c->late_first = 0;
	for (int i = 0; i < n; i++) {
		const uint8_t *from = iov[i].iov_base;
		size_t len = iov[i].iov_len;
		size_t cut = skip < len ? skip : len;
		skip -= cut;
		from += cut;
		len -= cut;
		while (len) {
			uint32_t at = (c->late_first + c->late_bytes) % c->credit;
			size_t run = c->credit - at < len ? c->credit - at : len;
			memcpy(c->late + at, from, run);
			c->late_bytes += (uint32_t)run;
			from += run;
			len -= run;
		}
	}
	return 0;
}

static void receive_data(struct vsock_conn *c, const struct iovec *iov, int n, uint32_t len)
{
	if (len > c->credit - (c->rx_count - c->fwd_count)) {
		c->mux->counters.violations++;
		leave(c, true);
		return;
	}
	c->rx_count += len;
	c->mux->counters.from_guest_bytes += len;
	ssize_t sent = 0;
	if (!c->late_bytes) {
		struct msghdr msg = { .msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n };
		do
			sent = sendmsg(c->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
		while (sent < 0 && errno == EINTR);
		if (sent < 0 && errno != EAGAIN) {
			host_gone(c);
			return;
		}
		if (sent < 0)
			sent = 0;
		c->fwd_count += (uint32_t)sent;
	}
	if ((uint32_t)sent < len && keep_late(c, iov, n, (size_t)sent) < 0) {
		leave(c, true);
		return;
	}
	tell_credit(c);
	if (c->late_bytes)
		watch(c);
}

static void receive_shutdown(struct vsock_conn *c, uint32_t flags)
{
	c->guest_shut |= flags & (VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND);
	if (c->guest_shut == (VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND)) {
		leave(c, true);
		return;
	}
	if ((c->guest_shut & VIRTIO_VSOCK_SHUTDOWN_RCV) && c->fd >= 0) {
		c->say &= ~(unsigned int)SAY_DATA;
		(void)shutdown(c->fd, SHUT_RD);
	}
	shut_write(c);
	watch(c);
}

static void open_for_business(struct vsock_conn *c)
{
	c->state = OPEN;
	c->deadline_ms = 0;
	watch(c);
}

static void receive_response(struct vsock_conn *c)
{
	char ok[32];
	int n = snprintf(ok, sizeof(ok), "OK %u\n", c->host_port);
	c->mux->counters.by_host++;
	if (send(c->fd, ok, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL) != n)
		host_gone(c);
	else
		open_for_business(c);
}

static void refuse(struct vsock_mux *mux, const struct virtio_vsock_hdr *hdr)
{
	/* No RST for a RST, or two ends would never stop. */
	if (le16toh(hdr->op) == VIRTIO_VSOCK_OP_RST || mux->n_resets == VSOCK_RESETS_MAX)
		return;
	unsigned int at = (mux->reset_first + mux->n_resets++) % VSOCK_RESETS_MAX;
	mux->resets[at] = (struct virtio_vsock_hdr){
		.src_cid = hdr->dst_cid,
		.dst_cid = hdr->src_cid,
		.src_port = hdr->dst_port,
		.dst_port = hdr->src_port,
		.type = hdr->type,
		.op = htole16(VIRTIO_VSOCK_OP_RST),
	};
	mux->counters.refused++;
	mux->owner->wake(mux);
}

static void take_credit(struct vsock_conn *c, const struct virtio_vsock_hdr *hdr)
{
	c->peer_credit = le32toh(hdr->buf_alloc);
	c->peer_fwd = le32toh(hdr->fwd_cnt);
	if ((c->say & SAY_DATA) && peer_room(c))
		say(c, SAY_DATA);
}

static void receive_request(struct vsock_mux *mux, const struct virtio_vsock_hdr *hdr)
{
	struct vsock_conn *c = conn_new(mux, FETCHING);
	if (!c) {
		refuse(mux, hdr);
		return;
	}
	enter(c, le32toh(hdr->dst_port), le32toh(hdr->src_port));
	take_credit(c, hdr);
	c->ticket = ++mux->next_ticket;
	if (mux->owner->connect(mux, c->host_port, c->ticket) < 0) {
		/* The owner may have answered at once. */
		c = find(mux, le32toh(hdr->dst_port), le32toh(hdr->src_port));
		if (c && c->state == FETCHING)
			leave(c, true);
	}
}

static void receive_for(struct vsock_conn *c, const struct virtio_vsock_hdr *hdr,
			const struct iovec *iov, int n, uint32_t len)
{
	uint16_t op = le16toh(hdr->op);
	if (c->state == LEAVING) {
		/* Our RST is on its way. */
		if (op == VIRTIO_VSOCK_OP_RST)
			leave(c, false);
		return;
	}
	take_credit(c, hdr);
	switch (op) {
	case VIRTIO_VSOCK_OP_RST:
		leave(c, false);
		return;
	case VIRTIO_VSOCK_OP_RESPONSE:
		if (c->state != ASKED || (c->say & SAY_REQUEST))
			break;
		receive_response(c);
		return;
	case VIRTIO_VSOCK_OP_RW:
		if (c->state == PARTING)
			return; /* for nobody */
		if (c->state != OPEN || (c->guest_shut & VIRTIO_VSOCK_SHUTDOWN_SEND))
			break;
		if (len)
			receive_data(c, iov, n, len);
		return;
	case VIRTIO_VSOCK_OP_SHUTDOWN:
		if (c->state != OPEN && c->state != PARTING)
			break;
		receive_shutdown(c, le32toh(hdr->flags));
		return;
	case VIRTIO_VSOCK_OP_CREDIT_REQUEST:
		say(c, SAY_CREDIT_UPDATE);
		return;
	case VIRTIO_VSOCK_OP_CREDIT_UPDATE:
		return;
	default:
		break;
	}
	c->mux->counters.violations++;
	leave(c, true);
}

bool vsock_can_receive(const struct vsock_mux *mux)
{
	return mux->n_resets < VSOCK_RESETS_MAX;
}

void vsock_receive(struct vsock_mux *mux, const struct virtio_vsock_hdr *hdr,
		   const struct iovec *payload, int n_payload, size_t size)
{
	uint32_t len = le32toh(hdr->len);
	/* A wrong sender cannot be answered: it is not who would get it. */
	if (le64toh(hdr->src_cid) != mux->guest_cid) {
		mux->counters.violations++;
		return;
	}
	struct vsock_conn *c = NULL;
	if (le64toh(hdr->dst_cid) == VSOCK_HOST_CID &&
	    le16toh(hdr->type) == VIRTIO_VSOCK_TYPE_STREAM)
		c = find(mux, le32toh(hdr->dst_port), le32toh(hdr->src_port));
	bool sound = le64toh(hdr->dst_cid) == VSOCK_HOST_CID &&
		     le16toh(hdr->type) == VIRTIO_VSOCK_TYPE_STREAM && len == size &&
		     len <= VSOCK_PAYLOAD_MAX &&
		     (len == 0 || le16toh(hdr->op) == VIRTIO_VSOCK_OP_RW);
	if (!sound) {
		mux->counters.violations++;
		if (c && c->state != LEAVING)
			leave(c, true);
		else if (!c)
			refuse(mux, hdr);
	} else if (c) {
		receive_for(c, hdr, payload, n_payload, len);
	} else if (le16toh(hdr->op) == VIRTIO_VSOCK_OP_REQUEST) {
		receive_request(mux, hdr);
	} else {
		refuse(mux, hdr);
	}
}

/* --- host to guest --- */

/* Data of the stream as one packet. 1, or 0 when there is none now. */
static int next_data(struct vsock_conn *c, struct virtio_vsock_hdr *hdr, const struct iovec *space,
		     int n_space, size_t room)
{
	struct iovec iov[64];
	size_t most = peer_room(c);
	int n = 0;
	if (most > VSOCK_PAYLOAD_MAX)
		most = VSOCK_PAYLOAD_MAX;
	if (most > room)
		most = room;
	for (size_t left = most; left && n < n_space && n < 64; n++) {
		iov[n] = space[n];
		if (iov[n].iov_len > left)
			iov[n].iov_len = left;
		left -= iov[n].iov_len;
	}
	if (n == 0)
		return 0;
	ssize_t got;
	do
		got = readv(c->fd, iov, n);
	while (got < 0 && errno == EINTR);
	if (got > 0) {
		hdr->op = htole16(VIRTIO_VSOCK_OP_RW);
		hdr->len = htole32((uint32_t)got);
		c->tx_count += (uint32_t)got;
		c->credit_asked = false;
		c->mux->counters.to_guest_bytes += (uint64_t)got;
		return 1;
	}
	c->say &= ~(unsigned int)SAY_DATA;
	if (got == 0 || errno != EAGAIN) {
		c->host_ended = true;
		if (got < 0 || hung_up(c))
			part(c);
		else
			c->say |= SAY_SHUTDOWN;
	}
	watch(c);
	return 0;
}

/* The next thing @c says: removes its bit and gives the packet's op, 0 when silent. */
static uint16_t next_word(struct vsock_conn *c)
{
	static const struct {
		unsigned int bit;
		uint16_t op;
	} words[] = {
		{ SAY_RST, VIRTIO_VSOCK_OP_RST },
		{ SAY_REQUEST, VIRTIO_VSOCK_OP_REQUEST },
		{ SAY_RESPONSE, VIRTIO_VSOCK_OP_RESPONSE },
		{ SAY_SHUTDOWN, VIRTIO_VSOCK_OP_SHUTDOWN },
		{ SAY_CREDIT_REQUEST, VIRTIO_VSOCK_OP_CREDIT_REQUEST },
		{ SAY_CREDIT_UPDATE, VIRTIO_VSOCK_OP_CREDIT_UPDATE },
	};
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (c->say & words[i].bit) {
			c->say &= ~words[i].bit;
			return words[i].op;
		}
	return 0;
}

static int next_of(struct vsock_conn *c, struct virtio_vsock_hdr *hdr, const struct iovec *space,
		   int n_space, size_t room)
{
	bool data = c->say & SAY_DATA, silent = c->say & (SAY_RST | SAY_REQUEST | SAY_RESPONSE);
	if (data && !silent && peer_room(c)) {
		if (next_data(c, hdr, space, n_space, room))
			return 1;
	} else if (data && !silent && !c->credit_asked) {
		/* Once, or a guest that does not read and we would talk for ever. */
		c->credit_asked = true;
		c->say |= SAY_CREDIT_REQUEST;
	}
	uint16_t op = next_word(c);
	hdr->op = htole16(op);
	if (op == VIRTIO_VSOCK_OP_SHUTDOWN) {
		c->said_shut |= VIRTIO_VSOCK_SHUTDOWN_SEND;
		if (c->state == PARTING)
			c->said_shut |= VIRTIO_VSOCK_SHUTDOWN_RCV;
		hdr->flags = htole32(c->said_shut);
	}
	return op != 0;
}

static void fill(struct vsock_conn *c, struct virtio_vsock_hdr *hdr)
{
	hdr->src_cid = htole64(VSOCK_HOST_CID);
	hdr->dst_cid = htole64(c->mux->guest_cid);
	hdr->src_port = htole32(c->host_port);
	hdr->dst_port = htole32(c->guest_port);
	hdr->type = htole16(VIRTIO_VSOCK_TYPE_STREAM);
	hdr->buf_alloc = htole32(c->credit);
	hdr->fwd_cnt = htole32(c->fwd_count);
	c->fwd_said = c->fwd_count;
	c->say &= ~(unsigned int)SAY_CREDIT_UPDATE;
}

bool vsock_has_next(const struct vsock_mux *mux)
{
	return mux->n_resets || !list_is_empty(&mux->ready);
}

int vsock_next(struct vsock_mux *mux, struct virtio_vsock_hdr *ret_hdr, const struct iovec *space,
	       int n_space, size_t room)
{
	if (mux->n_resets) {
		*ret_hdr = mux->resets[mux->reset_first];
		mux->reset_first = (mux->reset_first + 1) % VSOCK_RESETS_MAX;
		mux->n_resets--;
		return 1;
	}
	while (!list_is_empty(&mux->ready)) {
		struct vsock_conn *c = container_of(mux->ready.next, struct vsock_conn, in_ready);
		struct virtio_vsock_hdr hdr = { .len = 0 };
		list_del(&c->in_ready);
		int rc = next_of(c, &hdr, space, n_space, room);
		bool more = (c->say & ~(unsigned int)SAY_DATA) ||
			    ((c->say & SAY_DATA) && (peer_room(c) || !c->credit_asked));
		if (more && list_is_empty(&c->in_ready))
			list_add_tail(&mux->ready, &c->in_ready);
		if (!rc)
			continue;
		fill(c, &hdr);
		*ret_hdr = hdr;
		if (c->state == LEAVING && le16toh(hdr.op) == VIRTIO_VSOCK_OP_RST)
			leave(c, false);
		return 1;
	}
	return 0;
}

/* --- streams --- */

static int take_stream(struct vsock_conn *c, int fd)
{
	cleanup_free uv_poll_t *poll_handle = calloc(1, sizeof(*poll_handle));
	if (!poll_handle)
		return -ENOMEM;
	int rc = uv_poll_init(c->mux->loop, poll_handle, fd);
	if (rc < 0)
		return rc;
	poll_handle->data = c;
	c->poll = take_ptr(poll_handle);
	c->fd = fd;
	return 0;
}

/* "CONNECT 52" -> 52. */
static int parse_greeting(const char *text, uint32_t *ret)
{
	uint64_t port = 0;
	if (strncmp(text, "CONNECT ", 8) != 0 || text[8] < '0' || text[8] > '9')
		return -EINVAL;
	for (text += 8; *text >= '0' && *text <= '9'; text++) {
		port = port * 10 + (uint64_t)(*text - '0');
		if (port > UINT32_MAX)
			return -ERANGE;
	}
	*ret = (uint32_t)port;
	return *text ? -EINVAL : 0;
}

/* A free port of the host for a connection to @guest_port. */
static uint32_t free_port(struct vsock_mux *mux, uint32_t guest_port)
{
	do {
		if (++mux->next_port < VSOCK_PORT_FIRST)
			mux->next_port = VSOCK_PORT_FIRST;
	} while (find(mux, mux->next_port, guest_port));
	return mux->next_port;
}

/* Reads no byte behind the line: those are the guest's. */
static void greet(struct vsock_conn *c)
{
	char buf[VSOCK_GREETING_MAX];
	size_t room = sizeof(c->greeting) - c->n_greeting;
	ssize_t n = recv(c->fd, buf, room, MSG_PEEK | MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		host_gone(c);
		return;
	}
	const char *end = memchr(buf, '\n', (size_t)n);
	size_t take = end ? (size_t)(end - buf) + 1 : (size_t)n;
	if (recv(c->fd, c->greeting + c->n_greeting, take, MSG_DONTWAIT) != (ssize_t)take) {
		host_gone(c);
		return;
	}
	c->n_greeting += (unsigned int)take;
	if (!end) {
		if (c->n_greeting == sizeof(c->greeting))
			host_gone(c);
		return;
	}
	uint32_t port;
	c->greeting[c->n_greeting - 1] = '\0';
	if (parse_greeting(c->greeting, &port) < 0) {
		host_gone(c);
		return;
	}
	enter(c, free_port(c->mux, port), port);
	c->state = ASKED;
	say(c, SAY_REQUEST);
	watch(c);
}

static void on_event(uv_poll_t *poll, int status, int events)
{
	struct vsock_conn *c = poll->data;
	if (status < 0) {
		host_gone(c);
		return;
	}
	if ((events & UV_WRITABLE) && c->late_bytes) {
		/* May end the connection. */
		flush_late(c);
		return;
	}
	if (events & UV_READABLE) {
		if (c->state == GREETING) {
			greet(c);
		} else if (c->state == OPEN) {
			say(c, SAY_DATA);
			watch(c);
		}
		return;
	}
	if ((events & UV_PRIORITIZED) && hung_up(c)) {
		/* What it sent before is still to be read, unless that is over. */
		if (c->state == OPEN && (c->say & SAY_DATA))
			(void)uv_poll_stop(c->poll);
		else if (c->state == OPEN && c->host_ended)
			part(c);
		else
			host_gone(c);
	}
}

int vsock_accepted(struct vsock_mux *mux, int fd)
{
	struct vsock_conn *c = mux->finished ? NULL : conn_new(mux, GREETING);
	if (!c || take_stream(c, fd) < 0) {
		(void)close(fd);
		if (c)
			bury(c);
		mux->counters.refused++;
		return -EMFILE;
	}
	watch(c);
	return 0;
}

void vsock_connected(struct vsock_mux *mux, uint64_t ticket, int fd)
{
	struct vsock_conn *c = NULL;
	list_for_each (pos, &mux->all) {
		struct vsock_conn *it = container_of(pos, struct vsock_conn, in_all);
		if (it->state == FETCHING && it->ticket == ticket)
			c = it;
	}
	if (c && fd >= 0 && take_stream(c, fd) == 0) {
		mux->counters.by_guest++;
		say(c, SAY_RESPONSE);
		open_for_business(c);
		return;
	}
	/* The guest did not wait, or nobody listens there. */
	if (fd >= 0)
		(void)close(fd);
	if (c) {
		mux->counters.refused++;
		leave(c, true);
	}
}

/* --- life --- */

static void on_tick(uv_timer_t *timer)
{
	struct vsock_mux *mux = timer->data;
	uint64_t now = uv_now(mux->loop);
	bool waiting = false;
	list_for_each_safe (pos, &mux->all) {
		struct vsock_conn *c = container_of(pos, struct vsock_conn, in_all);
		if (c->deadline_ms && now >= c->deadline_ms)
			host_gone(c);
		else
			waiting |= c->deadline_ms != 0;
	}
	if (!waiting)
		(void)uv_timer_stop(timer);
}

int vsock_init(struct vsock_mux *mux, uv_loop_t *loop, uint64_t guest_cid,
	       const struct vsock_owner *owner)
{
	*mux = (struct vsock_mux){
		.owner = owner,
		.loop = loop,
		.guest_cid = guest_cid,
		.next_port = VSOCK_PORT_FIRST - 1,
		.pool_bytes = VSOCK_POOL_BYTES,
	};
	list_init(&mux->all);
	list_init(&mux->ready);
	for (unsigned int i = 0; i < VSOCK_BUCKETS; i++)
		list_init(&mux->buckets[i]);
	int rc = uv_timer_init(loop, &mux->timer);
	mux->timer.data = mux;
	if (rc == 0)
		rc = uv_timer_start(&mux->timer, on_tick, TICK_MS, TICK_MS);
	return rc;
}

void vsock_reset(struct vsock_mux *mux)
{
	list_for_each_safe (pos, &mux->all)
		bury(container_of(pos, struct vsock_conn, in_all));
	mux->n_resets = 0;
}

static void on_timer_closed(uv_handle_t *handle)
{
	struct vsock_mux *mux = handle->data;
	mux->timer_closed = true;
	maybe_closed(mux);
}

void vsock_fini(struct vsock_mux *mux)
{
	vsock_reset(mux);
	mux->finished = true;
	uv_close((uv_handle_t *)&mux->timer, on_timer_closed);
}
