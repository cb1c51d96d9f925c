/* SPDX-License-Identifier: Apache-2.0 */
/* dev_net - virtio-net (virtio 1.2, 5.1): queue pairs over a backend (net_backend.h), a
 * control queue for multi-queue and offloads, rate limits both ways, and places for one
 * that comes while the guest runs. What goes through the queues is net_serve.c's.
 * isola-vmm, loop thread. */
#include "dev_net.h"

#include "isola/fd.h"
#include "isola/json.h"

#include "dev_net_priv.h"
#include "net_conf.h"
#include "platform.h"
#include "vm.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const struct device_type device_net;

/* --- virtio --- */

static int activate(struct virtio *v, struct err *err)
{
	struct net *net = net_of(v);
	int rc = net->backend->type->set_offloads(net->backend, v->features & NET_GUEST_OFFLOADS);
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
		if (p->poll)
			(void)uv_poll_stop(p->poll);
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
	.kick = net_kick,
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

static void on_poll_closed(uv_handle_t *handle)
{
	const struct pair *p = handle->data;
	free(handle);
	let_go(p->net);
}

/* At once, so that the place can be given another interface: the handle ends by itself. */
static void unwatch(struct pair *p)
{
	if (p->poll)
		uv_close((uv_handle_t *)p->poll, on_poll_closed);
	p->poll = NULL;
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
		unwatch(&net->pairs[i]);
	uv_close((uv_handle_t *)&net->turn.idle, on_closed);
}

static int watch_backend(struct net *net, struct err *err)
{
	for (unsigned int i = 0; net->backend && i < net->n_pairs; i++) {
		struct pair *p = &net->pairs[i];
		uv_poll_t *poll = malloc(sizeof(*poll));
		int rc = poll ? uv_poll_init(&net->v.device.vm->loop, poll, net->backend->fds[i])
			      : -ENOMEM;
		if (rc < 0) {
			free(poll);
			return err_rc(err, rc, "%s: cannot watch the network", net->v.device.id);
		}
		poll->data = p;
		p->poll = poll;
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
	rc = ratelimit_new(loop, &args->rx, net_on_rx_limit, net, &net->rx_limit, err);
	if (rc == 0)
		rc = ratelimit_new(loop, &args->tx, net_on_tx_limit, net, &net->tx_limit, err);
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
	net->place = -1;
	net->link_up = net->backend != NULL;
	net->v.absent = !net->backend;
	net->mtu = args->mtu;
	memcpy(net->mac, args->mac, sizeof(net->mac));
	for (unsigned int i = 0; i < n; i++) {
		net->pairs[i].net = net;
		net->pairs[i].index = i;
	}
	(void)turn_init(&net->turn, &vm->loop, net_turn);
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
		unwatch(&net->pairs[i]);
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

/* Its guest has had it all the time: a cable is put in again. The new interface gets the
 * descriptor of the one that is gone, which the loop knows. */
static int put_in(struct net *net, int *fd, struct err *err)
{
	struct pair *p = &net->pairs[0];
	struct net_backend *b = NULL, *old = net->backend;
	int one = take_fd(fd);
	int rc = net_tap_new(&one, 1, true, &b, err);
	if (rc < 0)
		return rc;
	(void)uv_poll_stop(p->poll);
	if (dup3(b->fds[0], old->fds[0], O_CLOEXEC) < 0) {
		b->type->free(b);
		return err_sys(err, "cannot put another tap interface in its place");
	}
	fd_close(&b->fds[0]);
	b->fds[0] = old->fds[0];
	old->fds[0] = -1;
	old->type->free(old);
	net->backend = b;
	if (net->v.active)
		(void)b->type->set_offloads(b, net->v.features & NET_GUEST_OFFLOADS);
	p->full = false;
	net->link_up = true;
	if (virtio_has(&net->v, VIRTIO_NET_F_STATUS))
		virtio_config_changed(&net->v);
	net_watch(net);
	return 0;
}

/* Also when a guest that posts no buffers has kept us from noticing. */
static bool has_lost(const struct net_backend *b)
{
	return b->type->is_gone && b->type->is_gone(b);
}

struct plug_args {
	uint8_t mac[6];
	int64_t mtu;
};

static int parse_plug(json_object *args, struct plug_args *ret, struct err *err)
{
	const char *mac = NULL;
	*ret = (struct plug_args){ .mtu = 0 };
	int rc = json_get_str(args, "mac", &mac, err);
	if (rc == 0)
		return err_set(err, EINVAL, "mac: is missing");
	if (rc > 0)
		rc = net_conf_mac(mac, ret->mac, err);
	if (rc >= 0)
		rc = machine_int(args, "", "mtu", NET_MTU_MIN, UINT16_MAX, &ret->mtu, err);
	return rc < 0 ? rc : 0;
}

/* "plug": { "id", "mac", "mtu" } with a queue of a tap interface: for an empty place, or for
 * a device whose interface is gone, with the address that its guest knows. */
static int plug(struct device *dev, json_object *args, int *fd, struct err *err)
{
	struct net *net = container_of(dev, struct net, v.device);
	struct plug_args a;
	int rc = parse_plug(args, &a, err);
	if (rc < 0)
		return rc;
	bool lost = net->backend && has_lost(net->backend);
	if (net->n_pairs != 1 || (net->backend && !lost))
		return err_set(err, EBUSY, "this place is not free");
	if (lost)
		return memcmp(net->mac, a.mac, sizeof(a.mac))
			       ? err_set(err, EBUSY, "the guest knows it by another address")
			       : put_in(net, fd, err);
	if ((rc = take_backend(net, fd, err)) < 0)
		return rc;
	memcpy(net->mac, a.mac, sizeof(net->mac));
	net->mtu = (uint16_t)a.mtu;
	net->link_up = true;
	virtio_plug(&net->v, offers(net));
	if (net->place >= 0)
		platform_fill_place(net->v.device.vm->platform, (unsigned int)net->place);
	net->place = -1;
	return 0;
}

/* --- the device --- */

static int check(json_object *conf, struct err *err)
{
	struct net_conf parsed;
	return net_conf_parse(conf, &parsed, err);
}
static int make(struct vm *vm, json_object *conf, struct device **ret, struct err *err)
{
	static const uint8_t none[6];
	struct net_backend *backend = NULL;
	struct net_conf parsed;
	int rc = net_conf_parse(conf, &parsed, err);
	if (rc < 0)
		return rc;
	if (!memcmp(parsed.args.mac, none, sizeof(none)))
		net_conf_make_mac(vm->machine ? vm->machine->id : "", parsed.args.id,
				  parsed.args.mac);
	rc = parsed.spare ? 0 : net_conf_open(&parsed, &backend, err);
	if (rc < 0)
		return err_prefix(err, "%s", parsed.args.id);
	rc = net_make(vm, &parsed.args, backend, ret, err);
	if (rc < 0 || !parsed.acpi)
		return rc;
	rc = vm_mark_place(vm, err);
	if (rc < 0) {
		net_free(take_ptr(*ret));
		return rc;
	}
	container_of(*ret, struct net, v.device)->place = rc;
	return 0;
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
	net_watch(net);
	done(arg);
}

static void resume(struct device *dev)
{
	struct net *net = container_of(dev, struct net, v.device);
	virtio_resume(&net->v);
	net_watch(net);
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
