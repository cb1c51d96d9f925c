/* SPDX-License-Identifier: Apache-2.0 */
/* net_serve - frames and requests between a network device's queues and its backend.
 *
 * Each queue has a turn of BUDGET frames, then the others have theirs. Input is read
 * only while it is wanted; what waits in the backend meanwhile makes its descriptor
 * readable again and again, so nothing can be missed (CVE-2020-16843). The headers the
 * guest writes are copied, judged by what was negotiated, and only then given to the
 * kernel. Loop thread. */
#include "dev_net_priv.h"

#include "device.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#define BUDGET        64
#define CONTROL_BYTES 64 /* more than any request we know has */

static unsigned int rx_queue(const struct pair *p)
{
	return 2 * p->index;
}

static unsigned int tx_queue(const struct pair *p)
{
	return 2 * p->index + 1;
}
/* 5.1.2: behind the pairs that were negotiated. */
static unsigned int control_queue(const struct net *net)
{
	return virtio_has(&net->v, VIRTIO_NET_F_MQ) ? 2 * net->n_pairs : 2;
}

static void on_event(uv_poll_t *poll, int status, int events);

static bool wants_input(const struct pair *p)
{
	const struct net *net = p->net;
	return net->backend && virtio_serving(&net->v) && net->link_up &&
	       p->index < net->n_active && !p->hungry && !p->limited &&
	       net->v.queues[rx_queue(p)].live;
}

/* Only with a backend there is something to watch. */
static void watch(struct pair *p)
{
	if (!p->poll)
		return;
	int events = wants_input(p) ? UV_READABLE : 0;
	if (p->full && p->net->link_up && virtio_serving(&p->net->v))
		events |= UV_WRITABLE;
	if (events)
		(void)uv_poll_start(p->poll, events, on_event);
	else
		(void)uv_poll_stop(p->poll);
}

void net_watch(struct net *net)
{
	for (unsigned int i = 0; i < net->n_pairs; i++)
		watch(&net->pairs[i]);
}

static void fail(struct net *net, const char *what)
{
	virtio_fail(&net->v, "%s", what);
	net_watch(net);
}

/* The other end of the backend is gone: the guest sees its cable pulled. */
static void link_lost(struct net *net)
{
	if (!net->link_up)
		return;
	net->link_up = false;
	vm_warn(net->v.device.vm, "%s: the other end of the network is gone", net->v.device.id);
	if (virtio_has(&net->v, VIRTIO_NET_F_STATUS))
		virtio_config_changed(&net->v);
	net_watch(net);
}

/* --- host to guest --- */

static void serve_rx(struct pair *p)
{
	struct net *net = p->net;
	unsigned int n = 0;
	ssize_t got = 0;
	virtq_disable_kicks(&net->v.queues[rx_queue(p)]);
	for (; n < BUDGET && wants_input(p); n++) {
		/* Its size is known only when it is here: that part is owed. */
		if (!ratelimit_take(net->rx_limit, 0, 1)) {
			p->limited = true;
			break;
		}
		got = net_rx_receive(&p->rx, net->backend, p->index);
		if (got < 0) {
			ratelimit_give_back(net->rx_limit, 0, 1);
			break;
		}
		if (got == 0) {
			net->rx_dropped++;
			continue;
		}
		ratelimit_owe(net->rx_limit, (uint64_t)got - NET_HDR_BYTES, 0);
		net->rx_frames++;
		net->rx_bytes += (uint64_t)got - NET_HDR_BYTES;
	}
	virtio_publish(&net->v, rx_queue(p));
	p->hungry = got == -ENOBUFS;
	if (got == -EPROTO)
		fail(net, "a receive buffer that is no room for a frame to be written to");
	else if (got < 0 && got != -EAGAIN && got != -ENOBUFS && got != -ENOMEM)
		link_lost(net);
	/* A stream may have read more than it gave: its descriptor alone does not tell. */
	else if (n == BUDGET && wants_input(p))
		turn_again(&net->turn, rx_queue(p));
	watch(p);
}

/* --- guest to host --- */

/* What the guest may ask of the kernel is what it negotiated (5.1.6.2). */
static bool header_good(const struct net *net, const struct virtio_net_hdr_v1 *hdr)
{
	static const struct {
		uint8_t gso_type, feature;
	} kinds[] = {
		{ VIRTIO_NET_HDR_GSO_TCPV4, VIRTIO_NET_F_HOST_TSO4 },
		{ VIRTIO_NET_HDR_GSO_TCPV6, VIRTIO_NET_F_HOST_TSO6 },
		{ VIRTIO_NET_HDR_GSO_UDP, VIRTIO_NET_F_HOST_UFO },
	};
	if (hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM && !virtio_has(&net->v, VIRTIO_NET_F_CSUM))
		return false;
	if (hdr->gso_type == VIRTIO_NET_HDR_GSO_NONE)
		return true;
	if (hdr->gso_type & VIRTIO_NET_HDR_GSO_ECN && !virtio_has(&net->v, VIRTIO_NET_F_HOST_ECN))
		return false;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if ((hdr->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) == kinds[i].gso_type)
			return virtio_has(&net->v, kinds[i].feature);
	return false;
}

/* 1: the chain is done with; 0: later; -EPROTO; -ENOTCONN. */
static int send_chain(struct pair *p, const struct virtq_chain *chain)
{
	struct net *net = p->net;
	struct virtio_net_hdr_v1 hdr;
	if (chain->n_write || chain_read(chain, 0, &hdr, sizeof(hdr)) != sizeof(hdr))
		return -EPROTO;
	size_t size = chain->read_bytes - sizeof(hdr);
	if (size < NET_FRAME_MIN || size > NET_FRAME_MAX || !header_good(net, &hdr)) {
		net->tx_dropped++;
		return 1;
	}
	if (!ratelimit_take(net->tx_limit, size, 1)) {
		net->tx_limited = true;
		return 0;
	}
	hdr.flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM;
	hdr.num_buffers = 0;
	net->slice[0] = (struct iovec){ &hdr, sizeof(hdr) };
	int n = chain_slice(chain, false, sizeof(hdr), size, net->slice + 1, NET_CHAIN_IOV);
	if (n < 0)
		return n;
	int rc = net->backend->type->send(net->backend, p->index, net->slice, n + 1);
	if (rc == -EAGAIN) {
		/* The tokens come back: it goes out only once. */
		ratelimit_give_back(net->tx_limit, size, 1);
		p->full = true;
		return 0;
	}
	if (rc >= 0) {
		p->full = rc > 0;
		net->tx_frames++;
		net->tx_bytes += size;
	} else {
		net->tx_refused++;
	}
	return rc == -ENOTCONN ? rc : 1;
}

static bool can_send(const struct pair *p)
{
	return virtio_serving(&p->net->v) && !p->full && !p->net->tx_limited &&
	       p->net->v.queues[tx_queue(p)].live;
}

static void serve_tx(struct pair *p)
{
	struct net *net = p->net;
	struct virtq *q = &net->v.queues[tx_queue(p)];
	unsigned int n = 0;
	int rc = 1;
	virtq_disable_kicks(q);
	while (n < BUDGET && can_send(p)) {
		struct virtq_chain chain;
		virtq_chain_init(&chain, net->iov, NET_CHAIN_IOV);
		rc = virtq_pop(q, &chain);
		if (rc == 0 && virtq_enable_kicks(q))
			continue;
		if (rc <= 0)
			break;
		/* Without a cable frames are lost, as they are on Ethernet. */
		rc = net->link_up ? send_chain(p, &chain) : 1;
		if (rc == -ENOTCONN) {
			link_lost(net);
			rc = 1;
		}
		if (rc == 0)
			virtq_unpop(q);
		if (rc <= 0)
			break;
		virtq_push(q, chain.head, 0);
		n++;
	}
	if (rc < 0) {
		fail(net, "a frame to send that is shorter than its header, or to be written to");
		return;
	}
	virtio_publish(&net->v, tx_queue(p));
	if (n == BUDGET)
		turn_again(&net->turn, tx_queue(p));
	watch(p);
}

/* --- descriptors, limits, kicks --- */

static void on_event(uv_poll_t *poll, int status, int events)
{
	struct pair *p = poll->data;
	struct net *net = p->net;
	if (!virtio_serving(&net->v)) {
		(void)uv_poll_stop(poll);
		return;
	}
	if (status < 0) {
		link_lost(net);
		return;
	}
	if (events & UV_WRITABLE && p->full) {
		int rc = net->backend->type->flush
				 ? net->backend->type->flush(net->backend, p->index)
				 : 0;
		p->full = rc == -EAGAIN;
		if (rc < 0 && rc != -EAGAIN)
			link_lost(net);
		serve_tx(p);
	}
	if (events & UV_READABLE && wants_input(p))
		serve_rx(p);
	watch(p);
}

void net_on_rx_limit(void *arg)
{
	struct net *net = arg;
	for (unsigned int i = 0; i < net->n_pairs; i++) {
		struct pair *p = &net->pairs[i];
		bool limited = p->limited;
		p->limited = false;
		if (limited && wants_input(p))
			serve_rx(p);
	}
}

void net_on_tx_limit(void *arg)
{
	struct net *net = arg;
	net->tx_limited = false;
	/* Each gets its turn, or the first would take it all again. */
	for (unsigned int i = 0; i < net->n_pairs && virtio_serving(&net->v); i++)
		turn_again(&net->turn, tx_queue(&net->pairs[i]));
}

static int control(struct net *net, const uint8_t *request, size_t size)
{
	struct virtio_net_ctrl_hdr hdr;
	memcpy(&hdr, request, sizeof(hdr));
	const uint8_t *data = request + sizeof(hdr);
	size -= sizeof(hdr);
	if (hdr.class == VIRTIO_NET_CTRL_MQ && hdr.cmd == VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET &&
	    virtio_has(&net->v, VIRTIO_NET_F_MQ) && size == sizeof(uint16_t)) {
		uint16_t n;
		memcpy(&n, data, sizeof(n));
		n = le16toh(n);
		if (n < 1 || n > net->n_pairs || net->backend->type->set_pairs(net->backend, n) < 0)
			return -EINVAL;
		net->n_active = n;
		net_watch(net);
		return 0;
	}
	if (hdr.class == VIRTIO_NET_CTRL_GUEST_OFFLOADS &&
	    hdr.cmd == VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET &&
	    virtio_has(&net->v, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) && size == sizeof(uint64_t)) {
		uint64_t wanted;
		memcpy(&wanted, data, sizeof(wanted));
		wanted = le64toh(wanted);
		if (wanted & ~(net->v.features & NET_GUEST_OFFLOADS))
			return -EINVAL;
		return net->backend->type->set_offloads(net->backend, wanted);
	}
	return -ENOTSUP;
}

static int serve_control_one(struct net *net, struct virtq *q)
{
	struct virtq_chain chain;
	uint8_t request[CONTROL_BYTES];
	virtq_chain_init(&chain, net->iov, NET_CHAIN_IOV);
	int rc = virtq_pop(q, &chain);
	if (rc <= 0)
		return rc;
	size_t size = chain_read(&chain, 0, request, sizeof(request));
	if (size < sizeof(struct virtio_net_ctrl_hdr) || chain.write_bytes < 1)
		return -EPROTO;
	/* Longer than any request we know is one that we do not know. */
	uint8_t ack = VIRTIO_NET_ERR;
	if (size == chain.read_bytes && control(net, request, size) == 0)
		ack = VIRTIO_NET_OK;
	(void)chain_write(&chain, 0, &ack, sizeof(ack));
	virtq_push(q, chain.head, sizeof(ack));
	return 1;
}

static void serve_control(struct net *net, unsigned int index)
{
	struct virtq *q = &net->v.queues[index];
	unsigned int n = 0;
	int rc = 1;
	for (; rc > 0 && n < BUDGET; n++) {
		rc = serve_control_one(net, q);
		if (rc == 0 && virtq_enable_kicks(q))
			rc = 1;
	}
	if (rc < 0) {
		fail(net, "a control request that is too short, or has no room for the answer");
		return;
	}
	virtio_publish(&net->v, index);
	if (rc > 0)
		turn_again(&net->turn, index);
}

void net_kick(struct virtio *v, unsigned int index)
{
	struct net *net = net_of(v);
	if (index == control_queue(net)) {
		if (virtio_has(v, VIRTIO_NET_F_CTRL_VQ))
			serve_control(net, index);
		return;
	}
	if (index / 2 >= net->n_pairs)
		return;
	struct pair *p = &net->pairs[index / 2];
	if (index % 2) {
		serve_tx(p);
		return;
	}
	/* New buffers: what waits goes first, then the descriptor tells. */
	p->hungry = false;
	if (wants_input(p))
		serve_rx(p);
}

void net_turn(struct turn *turn, unsigned int index)
{
	struct net *net = container_of(turn, struct net, turn);
	if (virtio_serving(&net->v) && net->v.queues[index].live)
		net_kick(&net->v, index);
}
