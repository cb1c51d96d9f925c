/* SPDX-License-Identifier: Apache-2.0 */
/* dev_net - virtio-net (virtio 1.2, 5.1): queue pairs over a backend (net_backend.h), a
 * control queue for multi-queue and offloads, rate limits both ways.
 *
 * Each queue has a turn of BUDGET frames, then the others have theirs. Input is read
 * only while it is wanted; what waits in the backend meanwhile makes its descriptor
 * readable again and again, so nothing can be missed (CVE-2020-16843). The headers the
 * guest writes are copied, judged by what was negotiated, and only then given to the
 * kernel. isola-vmm, loop thread. */
#include "dev_net.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/list.h"

#include "net_rx.h"
#include "turn.h"
#include "virtio.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BIT(n)        (1ULL << (n))
#define BUDGET        64
#define CONTROL_BYTES 64 /* more than any request we know has */
#define MTU_MIN       68
#define IFACE_PATH    "/sys/class/net/"

#define GUEST_OFFLOADS                                                                             \
	(BIT(VIRTIO_NET_F_GUEST_CSUM) | BIT(VIRTIO_NET_F_GUEST_TSO4) |                             \
	 BIT(VIRTIO_NET_F_GUEST_TSO6) | BIT(VIRTIO_NET_F_GUEST_ECN) | BIT(VIRTIO_NET_F_GUEST_UFO))

struct pair {
	struct net *net;
	unsigned int index;
	uv_poll_t poll;
	bool hungry;  /* the guest has to post buffers */
	bool limited; /* input waits for the rate limit */
	bool full;    /* output waits for the backend */
	struct net_rx rx;
};

struct net {
	struct virtio v;
	struct net_backend *backend; /* NULL: an empty place */
	struct turn turn;
	struct ratelimit *rx_limit, *tx_limit;
	unsigned int handles, n_pairs, n_active;
	bool tx_limited, link_up;
	uint8_t mac[6];
	uint16_t mtu;
	uint64_t rx_frames, rx_bytes, rx_dropped, tx_frames, tx_bytes, tx_dropped, tx_refused;
	struct iovec iov[NET_CHAIN_IOV], slice[NET_CHAIN_IOV + 1];
	struct pair pairs[];
};

extern const struct device_type device_net;

static struct net *net_of(struct virtio *v)
{
	return container_of(v, struct net, v);
}

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
	if (!p->poll.data || uv_is_closing((const uv_handle_t *)&p->poll))
		return;
	int events = wants_input(p) ? UV_READABLE : 0;
	if (p->full && p->net->link_up && virtio_serving(&p->net->v))
		events |= UV_WRITABLE;
	if (events)
		(void)uv_poll_start(&p->poll, events, on_event);
	else
		(void)uv_poll_stop(&p->poll);
}

static void watch_all(struct net *net)
{
	for (unsigned int i = 0; i < net->n_pairs; i++)
		watch(&net->pairs[i]);
}

static void fail(struct net *net, const char *what)
{
	virtio_fail(&net->v, "%s", what);
	watch_all(net);
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
	watch_all(net);
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

static void on_rx_limit(void *arg)
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

static void on_tx_limit(void *arg)
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
		watch_all(net);
		return 0;
	}
	if (hdr.class == VIRTIO_NET_CTRL_GUEST_OFFLOADS &&
	    hdr.cmd == VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET &&
	    virtio_has(&net->v, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) && size == sizeof(uint64_t)) {
		uint64_t wanted;
		memcpy(&wanted, data, sizeof(wanted));
		wanted = le64toh(wanted);
		if (wanted & ~(net->v.features & GUEST_OFFLOADS))
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

static void on_kick(struct virtio *v, unsigned int index)
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

static void on_turn(struct turn *turn, unsigned int index)
{
	struct net *net = container_of(turn, struct net, turn);
	if (virtio_serving(&net->v) && net->v.queues[index].live)
		on_kick(&net->v, index);
}

/* --- virtio --- */

static int activate(struct virtio *v, struct err *err)
{
	struct net *net = net_of(v);
	int rc = net->backend->type->set_offloads(net->backend, v->features & GUEST_OFFLOADS);
	if (rc < 0)
		return err_rc(err, rc, "cannot set the offloads that were negotiated");
	for (unsigned int i = 0; i < net->n_pairs; i++)
		net_rx_start(&net->pairs[i].rx, &v->queues[2 * i],
			     virtio_has(v, VIRTIO_NET_F_MRG_RXBUF));
	net->n_active = 1;
	return 0;
}

static void reset(struct virtio *v)
{
	struct net *net = net_of(v);
	turn_forget(&net->turn);
	net->tx_limited = false;
	for (unsigned int i = 0; i < net->n_pairs; i++) {
		struct pair *p = &net->pairs[i];
		p->hungry = p->limited = p->full = false;
		(void)uv_poll_stop(&p->poll);
	}
	(void)net->backend->type->set_offloads(net->backend, 0);
	(void)net->backend->type->set_pairs(net->backend, 1);
	net->n_active = 1;
}

static void config_read(struct virtio *v, uint32_t offset, void *data, uint32_t size)
{
	const struct net *net = net_of(v);
	struct virtio_net_config config = {
		.status = htole16(net->link_up ? VIRTIO_NET_S_LINK_UP : 0),
		.max_virtqueue_pairs = htole16((uint16_t)net->n_pairs),
		.mtu = htole16(net->mtu),
	};
	memcpy(config.mac, net->mac, sizeof(config.mac));
	memcpy(data, (const uint8_t *)&config + offset, size);
}

static const struct virtio_type net_virtio = {
	.id = VIRTIO_ID_NET,
	.activate = activate,
	.reset = reset,
	.kick = on_kick,
	.config_read = config_read,
};

/* --- life --- */

static void let_go(struct net *net)
{
	if (--net->handles)
		return;
	if (net->backend)
		net->backend->type->free(net->backend);
	for (unsigned int i = 0; i < net->n_pairs; i++)
		net_rx_fini(&net->pairs[i].rx);
	free(net);
}

static void on_closed(uv_handle_t *handle)
{
	let_go(handle->data);
}

static void on_pair_closed(uv_handle_t *handle)
{
	struct pair *p = handle->data;
	handle->data = NULL;
	let_go(p->net);
}

static void net_free(struct device *dev)
{
	if (!dev)
		return;
	struct net *net = container_of(dev, struct net, v.device);
	virtio_fini(&net->v);
	ratelimit_free(net->rx_limit);
	ratelimit_free(net->tx_limit);
	for (unsigned int i = 0; i < net->n_pairs; i++)
		if (net->pairs[i].poll.data &&
		    !uv_is_closing((const uv_handle_t *)&net->pairs[i].poll))
			uv_close((uv_handle_t *)&net->pairs[i].poll, on_pair_closed);
	uv_close((uv_handle_t *)&net->turn.idle, on_closed);
}

static int watch_backend(struct net *net, struct err *err)
{
	for (unsigned int i = 0; net->backend && i < net->n_pairs; i++) {
		struct pair *p = &net->pairs[i];
		int rc = uv_poll_init(&net->v.device.vm->loop, &p->poll, net->backend->fds[i]);
		if (rc < 0)
			return err_rc(err, rc, "%s: cannot watch the network", net->v.device.id);
		p->poll.data = p;
		net->handles++;
	}
	return 0;
}

static uint64_t offers(const struct net *net)
{
	uint64_t all = BIT(VIRTIO_NET_F_MAC) | BIT(VIRTIO_NET_F_STATUS) | BIT(VIRTIO_NET_F_CTRL_VQ);
	if (net->backend)
		all |= net->backend->features;
	if (net->mtu)
		all |= BIT(VIRTIO_NET_F_MTU);
	return net->n_pairs > 1 ? all | BIT(VIRTIO_NET_F_MQ) : all;
}

static int start(struct net *net, const struct net_args *args, struct err *err)
{
	uv_loop_t *loop = &net->v.device.vm->loop;
	int rc = watch_backend(net, err);
	if (rc < 0)
		return rc;
	rc = ratelimit_new(loop, &args->rx, on_rx_limit, net, &net->rx_limit, err);
	if (rc == 0)
		rc = ratelimit_new(loop, &args->tx, on_tx_limit, net, &net->tx_limit, err);
	return rc;
}

int net_make(struct vm *vm, const struct net_args *args, struct net_backend *backend,
	     struct device **ret, struct err *err)
{
	unsigned int n = backend ? backend->n_pairs : 1;
	struct net *net = calloc(1, sizeof(*net) + n * sizeof(net->pairs[0]));
	if (!net) {
		if (backend)
			backend->type->free(backend);
		return err_set(err, ENOMEM, "no memory for a network device");
	}
	net->v.device.vm = vm;
	(void)snprintf(net->v.device.id, sizeof(net->v.device.id), "%s", args->id);
	net->backend = backend;
	net->n_pairs = n;
	net->n_active = 1;
	net->link_up = net->backend != NULL;
	net->v.absent = !net->backend;
	net->mtu = args->mtu;
	memcpy(net->mac, args->mac, sizeof(net->mac));
	for (unsigned int i = 0; i < n; i++) {
		net->pairs[i].net = net;
		net->pairs[i].index = i;
	}
	(void)turn_init(&net->turn, &vm->loop, on_turn);
	net->turn.idle.data = net;
	net->handles = 1;
	int rc = start(net, args, err);
	if (rc == 0)
		rc = virtio_init(&net->v, vm, &device_net, &net_virtio, 2 * n + 1, NET_QUEUE_SIZE,
				 offers(net), sizeof(struct virtio_net_config), err);
	if (rc < 0) {
		net_free(&net->v.device);
		return rc;
	}
	*ret = &net->v.device;
	return 0;
}

/* --- places: a device that comes and goes while the guest runs --- */

/* Its driver is to have let go of it; one that has not finds a device that was reset. */
static int unplug(struct device *dev, struct err *err)
{
	struct net *net = container_of(dev, struct net, v.device);
	(void)err;
	if (!net->backend)
		return 0;
	virtio_unplug(&net->v);
	for (unsigned int i = 0; i < net->n_pairs; i++)
		uv_close((uv_handle_t *)&net->pairs[i].poll, on_pair_closed);
	net->backend->type->free(net->backend);
	net->backend = NULL;
	net->link_up = false;
	return 0;
}

static int take_backend(struct net *net, int *fd, struct err *err)
{
	struct net_backend *b = NULL;
	int one = take_fd(fd);
	int rc = net_tap_new(&one, 1, true, &b, err);
	if (rc < 0)
		return rc;
	net->backend = b;
	rc = watch_backend(net, err);
	if (rc < 0) {
		b->type->free(b);
		net->backend = NULL;
	}
	return rc;
}

/* --- the machine file --- */

struct net_conf {
	struct net_args args;
	struct source taps[NET_PAIRS_MAX], socket;
	unsigned int n_taps; /* 0: the socket */
	int64_t queues;
	bool offload, spare; /* spare: neither, yet */
};

static int hex_digit(char c)
{
	static const char digits[] = "0123456789abcdef0123456789ABCDEF";
	const char *at = c ? strchr(digits, c) : NULL;
	return at ? (int)(at - digits) % 16 : -1;
}

static int parse_mac(const char *text, uint8_t *ret, struct err *err)
{
	uint8_t mac[6], all = 0;
	for (int i = 0; i < 6; i++) {
		int high = hex_digit(text[3 * i]);
		int low = high < 0 ? -1 : hex_digit(text[3 * i + 1]);
		if (low < 0 || text[3 * i + 2] != (i < 5 ? ':' : '\0'))
			return err_set(err, EINVAL, "mac: \"%.32s\" is not like 02:00:00:00:00:01",
				       text);
		mac[i] = (uint8_t)(16 * high + low);
		all |= mac[i];
	}
	if (mac[0] & 1 || !all)
		return err_set(err, EINVAL, "mac: %s is no address of one interface", text);
	memcpy(ret, mac, sizeof(mac));
	return 0;
}

static int parse_taps(json_object *conf, struct net_conf *ret, struct err *err)
{
	json_object *taps = json_get(conf, "tap");
	size_t n = json_len(taps);
	if (!json_object_is_type(taps, json_type_array)) {
		int rc = source_get(conf, "tap", &ret->taps[0], err);
		ret->n_taps = rc > 0;
		return rc < 0 ? rc : 0;
	}
	if (n < 1 || n > NET_PAIRS_MAX)
		return err_set(err, EINVAL, "tap: must have from 1 to %d queues", NET_PAIRS_MAX);
	for (size_t i = 0; i < n; i++)
		if (source_read(json_object_array_get_idx(taps, i), "tap", &ret->taps[i], err) < 0)
			return -EINVAL;
	ret->n_taps = (unsigned int)n;
	return 0;
}

/* By hand an interface is named by its folder; then we open as many queues as asked. */
static int check_taps(const struct net_conf *conf, struct err *err)
{
	bool named = conf->n_taps == 1 && conf->taps[0].path;
	for (unsigned int i = 0; i < conf->n_taps; i++) {
		const char *path = conf->taps[i].path;
		if (path && (!named || strncmp(path, IFACE_PATH, strlen(IFACE_PATH)) != 0))
			return err_set(err, EINVAL,
				       "tap: a path is one like " IFACE_PATH
				       "tap0, of one interface");
	}
	if (conf->queues != conf->n_taps && !named)
		return err_set(err, EINVAL, "queues: %lld, but there are %u descriptors in tap",
			       (long long)conf->queues, conf->n_taps);
	return 0;
}

/* "plug": { "id", "mac", "mtu" } with a queue of a tap interface. */
static int plug(struct device *dev, json_object *args, int *fd, struct err *err)
{
	struct net *net = container_of(dev, struct net, v.device);
	const char *mac = NULL;
	uint8_t bytes[6];
	int64_t mtu = 0;
	if (net->backend || net->pairs[0].poll.data || net->n_pairs != 1)
		return err_set(err, EBUSY, "this place is not free");
	int rc = json_get_str(args, "mac", &mac, err);
	if (rc == 0)
		return err_set(err, EINVAL, "mac: is missing");
	if (rc < 0 || (rc = parse_mac(mac, bytes, err)) < 0 ||
	    (rc = machine_int(args, "", "mtu", MTU_MIN, UINT16_MAX, &mtu, err)) < 0 ||
	    (rc = take_backend(net, fd, err)) < 0)
		return rc;
	memcpy(net->mac, bytes, sizeof(net->mac));
	net->mtu = (uint16_t)mtu;
	net->link_up = true;
	virtio_plug(&net->v, offers(net));
	return 0;
}

static int conf_parse(json_object *conf, struct net_conf *ret, struct err *err)
{
	static const char *const known[] = { "id",      "tap",    "socket",  "mac",
					     "mtu",     "queues", "offload", "rate_rx",
					     "rate_tx", "spare",  NULL };
	const char *mac = NULL;
	int64_t mtu = 0;
	*ret = (struct net_conf){ .offload = true };
	int rc = machine_only(conf, known, "", err);
	if (rc < 0 || (rc = json_get_str(conf, "id", &ret->args.id, err)) < 0 ||
	    (rc = json_get_str(conf, "mac", &mac, err)) < 0 ||
	    (rc = json_get_bool(conf, "offload", &ret->offload, err)) < 0 ||
	    (rc = json_get_bool(conf, "spare", &ret->spare, err)) < 0 ||
	    (rc = machine_int(conf, "", "mtu", MTU_MIN, UINT16_MAX, &mtu, err)) < 0 ||
	    (rc = source_get(conf, "socket", &ret->socket, err)) < 0)
		return rc;
	bool has_socket = rc > 0;
	ret->args.mtu = (uint16_t)mtu;
	rc = parse_taps(conf, ret, err);
	if (rc < 0)
		return rc;
	if (has_socket + (ret->n_taps > 0) + ret->spare != 1)
		return err_set(err, EINVAL, "must have either tap or socket, or be spare");
	ret->queues = ret->n_taps > 1 ? ret->n_taps : 1;
	rc = machine_int(conf, "", "queues", 1, ret->n_taps ? NET_PAIRS_MAX : 1, &ret->queues, err);
	if (rc < 0 || (ret->n_taps && (rc = check_taps(ret, err)) < 0))
		return rc;
	if (!ret->args.id || !*ret->args.id || strlen(ret->args.id) > 63)
		return err_set(err, EINVAL, "id: must have from 1 to 63 bytes");
	if (mac && (rc = parse_mac(mac, ret->args.mac, err)) < 0)
		return rc;
	if (ratelimit_parse(json_get(conf, "rate_rx"), &ret->args.rx, err) < 0)
		return err_prefix(err, "rate_rx");
	if (ratelimit_parse(json_get(conf, "rate_tx"), &ret->args.tx, err) < 0)
		return err_prefix(err, "rate_tx");
	return 0;
}

static int check(json_object *conf, struct err *err)
{
	struct net_conf parsed;
	return conf_parse(conf, &parsed, err);
}

static int open_backend(const struct net_conf *conf, struct net_backend **ret, struct err *err)
{
	int fds[NET_PAIRS_MAX];
	unsigned int n = (unsigned int)conf->queues;
	int rc = 0;
	if (!conf->n_taps) {
		int fd = source_open(&conf->socket, O_RDWR, err);
		return fd < 0 ? fd : net_stream_new(fd, ret, err);
	}
	if (conf->taps[0].path) {
		rc = net_tap_open(conf->taps[0].path + strlen(IFACE_PATH), n, fds, err);
		return rc < 0 ? rc : net_tap_new(fds, n, conf->offload, ret, err);
	}
	for (unsigned int i = 0; i < n; i++) {
		fds[i] = rc < 0 ? -1 : source_open(&conf->taps[i], O_RDWR, err);
		rc = fds[i] < 0 ? -EBADF : rc;
	}
	if (rc == 0)
		return net_tap_new(fds, n, conf->offload, ret, err);
	for (unsigned int i = 0; i < n; i++)
		fd_close(&fds[i]);
	return rc;
}

static uint64_t hash_text(uint64_t hash, const char *text)
{
	/* FNV-1a; the end counts, so that "a", "bc" is not "ab", "c" */
	do
		hash = (hash ^ (uint8_t)*text) * 0x100000001b3ULL;
	while (*text++);
	return hash;
}

/* The same at each start: a guest that was reset keeps its address. */
static void make_mac(const char *vm_id, const char *id, uint8_t ret[6])
{
	uint64_t hash = hash_text(hash_text(0xcbf29ce484222325ULL, vm_id), id);
	hash ^= hash >> 29;
	for (int i = 0; i < 6; i++)
		ret[i] = (uint8_t)(hash >> 8 * i);
	/* of our own making, of one interface */
	ret[0] = (uint8_t)((ret[0] & 0xfc) | 2);
}

static int make(struct vm *vm, json_object *conf, struct device **ret, struct err *err)
{
	static const uint8_t none[6];
	struct net_backend *backend = NULL;
	struct net_conf parsed;
	int rc = conf_parse(conf, &parsed, err);
	if (rc < 0)
		return rc;
	if (!memcmp(parsed.args.mac, none, sizeof(none)))
		make_mac(vm->machine ? vm->machine->id : "", parsed.args.id, parsed.args.mac);
	rc = parsed.spare ? 0 : open_backend(&parsed, &backend, err);
	if (rc < 0)
		return err_prefix(err, "%s", parsed.args.id);
	return net_make(vm, &parsed.args, backend, ret, err);
}

/* "net": { "id", "rate_rx", "rate_tx" }: what is absent stays. */
static int update(struct device *dev, const char *op, json_object *args, struct err *err)
{
	struct net *net = container_of(dev, struct net, v.device);
	struct ratelimit_args rx, tx;
	json_object *rate_rx = json_get(args, "rate_rx"), *rate_tx = json_get(args, "rate_tx");
	if (strcmp(op, "net") != 0)
		return err_set(err, ENOTSUP, "a network device knows no \"%s\"", op);
	if (ratelimit_parse(rate_rx, &rx, err) < 0)
		return err_prefix(err, "rate_rx");
	if (ratelimit_parse(rate_tx, &tx, err) < 0)
		return err_prefix(err, "rate_tx");
	if (rate_rx)
		ratelimit_set(net->rx_limit, &rx);
	if (rate_tx)
		ratelimit_set(net->tx_limit, &tx);
	return 0;
}

static json_object *stats(struct device *dev)
{
	const struct net *net = container_of(dev, struct net, v.device);
	json_object *o = json_object_new_object();
	json_add_bool(o, "link_up", net->link_up);
	json_add_i64(o, "active_pairs", net->n_active);
	json_add_i64(o, "rx_frames", (int64_t)net->rx_frames);
	json_add_i64(o, "rx_bytes", (int64_t)net->rx_bytes);
	json_add_i64(o, "rx_dropped", (int64_t)net->rx_dropped);
	json_add_i64(o, "rx_limited", (int64_t)ratelimit_refusals(net->rx_limit));
	json_add_i64(o, "tx_frames", (int64_t)net->tx_frames);
	json_add_i64(o, "tx_bytes", (int64_t)net->tx_bytes);
	json_add_i64(o, "tx_dropped", (int64_t)net->tx_dropped);
	json_add_i64(o, "tx_refused", (int64_t)net->tx_refused);
	json_add_i64(o, "tx_limited", (int64_t)ratelimit_refusals(net->tx_limit));
	return o;
}

static void quiesce(struct device *dev, void (*done)(void *arg), void *arg)
{
	struct net *net = container_of(dev, struct net, v.device);
	virtio_quiesce(&net->v);
	turn_forget(&net->turn);
	watch_all(net);
	done(arg);
}

static void resume(struct device *dev)
{
	struct net *net = container_of(dev, struct net, v.device);
	virtio_resume(&net->v);
	watch_all(net);
}

const struct device_type device_net = {
	.key = "nets",
	.many = true,
	.check = check,
	.make = make,
	.update = update,
	.plug = plug,
	.unplug = unplug,
	.stats = stats,
	.quiesce = quiesce,
	.resume = resume,
	.free = net_free,
};
