/* SPDX-License-Identifier: Apache-2.0 */
/* dev_vsock - virtio-vsock (virtio 1.2, 5.10): streams between the guest and Unix
 * sockets of the host, by Firecracker's protocol. A program of the host connects to
 * the one listening socket and writes "CONNECT <port>\n"; a program of the guest that
 * connects to host port N gets <socket>_N, which the keeper opens for us (by hand
 * vsock_dial.c does).
 *
 * vsock_mux.c is the protocol, this file its queues. isola-vmm, loop thread. */
#include "isola/fd.h"
#include "isola/json.h"
#include "isola/list.h"

#include "control.h"
#include "device.h"
#include "turn.h"
#include "virtio.h"
#include "vsock_dial.h"
#include "vsock_mux.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define QUEUE_SIZE      256
#define IOV_MAX_CHAIN   (2 * QUEUE_SIZE)
#define HDR_BYTES       sizeof(struct virtio_vsock_hdr)
#define BUDGET          128 /* packets in one turn of a queue */
#define ACCEPTS_AT_ONCE 16
#define ACCEPT_PAUSE_MS 200 /* after an accept that failed: too many files open */
#define CID_MAX         0xfffffffeLL

enum { QUEUE_RX, QUEUE_TX, QUEUE_EVENT, N_QUEUES };

struct vsock {
	struct virtio v;
	struct vsock_mux mux;
	struct turn turn;
	uv_poll_t listener;
	uv_timer_t pause;
	int listen_fd;
	unsigned int handles;    /* of this file and, as one, the mux */
	bool tx_stalled;         /* the mux has no room for one more RST */
	struct vsock_dial *dial; /* by hand; NULL: the keeper connects */
	struct list asks, later; /* later: the keeper has too many to answer already */
	struct iovec iov[IOV_MAX_CHAIN], space[IOV_MAX_CHAIN];
};

/* What was asked of the keeper; outlives the device if need be. */
struct ask {
	struct list in_asks;
	struct vsock *vsock; /* NULL: the device is gone */
	uint64_t ticket;
	uint32_t port;
};

extern const struct device_type device_vsock;

static struct vsock *vsock_of(struct virtio *v)
{
	return container_of(v, struct vsock, v);
}

static void on_listener(uv_poll_t *poll, int status, int events);

/* Clients wait in the socket's queue while nobody in the guest could answer. */
static void watch_listener(struct vsock *s)
{
	if (virtio_serving(&s->v) && !uv_is_active((uv_handle_t *)&s->pause))
		(void)uv_poll_start(&s->listener, UV_READABLE, on_listener);
	else
		(void)uv_poll_stop(&s->listener);
}

static void broken(struct vsock *s, const char *what)
{
	virtio_fail(&s->v, "%s", what);
	watch_listener(s);
}

/* --- host to guest --- */

/* One packet into one buffer of the guest. 1, 0: no buffer or no packet, -EPROTO. */
static int send_one(struct vsock *s)
{
	struct virtq *q = &s->v.queues[QUEUE_RX];
	struct virtq_chain chain;
	virtq_chain_init(&chain, s->iov, IOV_MAX_CHAIN);
	int rc = virtq_pop(q, &chain);
	if (rc <= 0)
		return rc;
	if (chain.n_read || chain.write_bytes <= HDR_BYTES)
		return -EPROTO;
	size_t room = chain.write_bytes - HDR_BYTES;
	if (room > VSOCK_PAYLOAD_MAX)
		room = VSOCK_PAYLOAD_MAX;
	int n = chain_slice(&chain, true, HDR_BYTES, room, s->space, IOV_MAX_CHAIN);
	struct virtio_vsock_hdr hdr;
	if (n < 0)
		return n;
	if (!vsock_next(&s->mux, &hdr, s->space, n, room)) {
		virtq_unpop(q);
		return 0;
	}
	(void)chain_write(&chain, 0, &hdr, HDR_BYTES);
	virtq_push(q, chain.head, (uint32_t)HDR_BYTES + le32toh(hdr.len));
	return 1;
}

static void serve_rx(struct vsock *s)
{
	struct virtq *q = &s->v.queues[QUEUE_RX];
	unsigned int n = 0;
	int rc = 1;
	virtq_disable_kicks(q);
	while (vsock_has_next(&s->mux) && n < BUDGET) {
		rc = send_one(s);
		if (rc == 0 && vsock_has_next(&s->mux) && virtq_enable_kicks(q))
			continue;
		if (rc <= 0)
			break;
		n++;
	}
	if (rc < 0) {
		broken(s, "a receive buffer that is no room for a packet to be written to");
		return;
	}
	virtio_publish(&s->v, QUEUE_RX);
	if (n == BUDGET)
		turn_again(&s->turn, QUEUE_RX);
	if (s->tx_stalled && vsock_can_receive(&s->mux)) {
		s->tx_stalled = false;
		turn_again(&s->turn, QUEUE_TX);
	}
}

static void on_wake(struct vsock_mux *mux)
{
	struct vsock *s = container_of(mux, struct vsock, mux);
	turn_again(&s->turn, QUEUE_RX);
}

/* --- guest to host --- */

static int take_one(struct vsock *s, const struct virtq_chain *chain)
{
	struct virtio_vsock_hdr hdr;
	if (chain->n_write || chain->read_bytes < HDR_BYTES ||
	    chain->read_bytes - HDR_BYTES > VSOCK_PAYLOAD_MAX)
		return -EPROTO;
	(void)chain_read(chain, 0, &hdr, HDR_BYTES);
	size_t size = chain->read_bytes - HDR_BYTES;
	/* Longer than it says is not wrong by itself: 5.10.6.4 trusts the header. */
	if (le32toh(hdr.len) < size)
		size = le32toh(hdr.len);
	int n = chain_slice(chain, false, HDR_BYTES, size, s->space, IOV_MAX_CHAIN);
	if (n < 0)
		return n;
	vsock_receive(&s->mux, &hdr, s->space, n, size);
	return 0;
}

static void serve_tx(struct vsock *s)
{
	struct virtq *q = &s->v.queues[QUEUE_TX];
	unsigned int n = 0;
	int rc = 1;
	virtq_disable_kicks(q);
	while (n < BUDGET && vsock_can_receive(&s->mux)) {
		struct virtq_chain chain;
		virtq_chain_init(&chain, s->iov, IOV_MAX_CHAIN);
		rc = virtq_pop(q, &chain);
		if (rc == 0 && virtq_enable_kicks(q))
			continue;
		if (rc <= 0)
			break;
		rc = take_one(s, &chain);
		if (rc < 0)
			break;
		virtq_push(q, chain.head, 0);
		rc = 1;
		n++;
	}
	if (rc < 0) {
		broken(s, "a packet to send that is too short, too long, or to be written to");
		return;
	}
	virtio_publish(&s->v, QUEUE_TX);
	s->tx_stalled = !vsock_can_receive(&s->mux);
	if (n == BUDGET && !s->tx_stalled)
		turn_again(&s->turn, QUEUE_TX);
}

static void on_kick(struct virtio *v, unsigned int index)
{
	struct vsock *s = vsock_of(v);
	if (index == QUEUE_RX)
		serve_rx(s);
	else if (index == QUEUE_TX && !s->tx_stalled)
		serve_tx(s);
}

static void on_turn(struct turn *turn, unsigned int index)
{
	struct vsock *s = container_of(turn, struct vsock, turn);
	if (index == QUEUE_EVENT)
		watch_listener(s);
	else if (virtio_serving(&s->v))
		on_kick(&s->v, index);
}

/* --- streams of the host --- */

static void on_pause_over(uv_timer_t *timer)
{
	watch_listener(timer->data);
}

static void on_listener(uv_poll_t *poll, int status, int events)
{
	struct vsock *s = poll->data;
	(void)events;
	for (int i = 0; status == 0 && i < ACCEPTS_AT_ONCE; i++) {
		int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0) {
			(void)vsock_accepted(&s->mux, fd);
			continue;
		}
		if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
			return;
		vm_warn(s->v.device.vm, "vsock: cannot accept a connection: %s", strerror(errno));
		status = -errno;
	}
	if (status < 0) {
		(void)uv_timer_start(&s->pause, on_pause_over, ACCEPT_PAUSE_MS, 0);
		watch_listener(s);
	}
}

static int ask_now(struct ask *ask);

/* An answer makes room for the next question. */
static void ask_next(struct vsock *s)
{
	while (!list_is_empty(&s->later)) {
		struct ask *ask = container_of(s->later.next, struct ask, in_asks);
		int rc = ask_now(ask);
		if (rc == -EAGAIN && !list_is_empty(&s->asks))
			return;
		if (rc < 0) {
			vsock_connected(&s->mux, ask->ticket, rc);
			list_del(&ask->in_asks);
			free(ask);
		}
	}
}

static void on_answer(void *arg, int fd)
{
	struct ask *ask = arg;
	struct vsock *s = ask->vsock;
	list_del(&ask->in_asks);
	if (s) {
		vsock_connected(&s->mux, ask->ticket, fd);
		ask_next(s);
	} else if (fd >= 0) {
		(void)close(fd);
	}
	free(ask);
}

static int ask_now(struct ask *ask)
{
	struct control *control = ask->vsock->v.device.vm->control;
	int rc = control ? control_ask_connect(control, ask->port, on_answer, ask) : -ENOTCONN;
	if (rc == 0) {
		list_del(&ask->in_asks);
		list_add_tail(&ask->vsock->asks, &ask->in_asks);
	}
	return rc;
}

static int ask_keeper(struct vsock *s, uint32_t port, uint64_t ticket)
{
	struct ask *ask = calloc(1, sizeof(*ask));
	if (!ask)
		return -ENOMEM;
	*ask = (struct ask){ .vsock = s, .ticket = ticket, .port = port };
	list_init(&ask->in_asks);
	int rc = ask_now(ask);
	if (rc == -EAGAIN && !list_is_empty(&s->asks)) {
		list_add_tail(&s->later, &ask->in_asks);
		return 0;
	}
	if (rc < 0)
		free(ask);
	return rc;
}

static void on_dialled(void *arg, uint64_t ticket, int fd)
{
	struct vsock *s = arg;
	vsock_connected(&s->mux, ticket, fd);
}

static int unix_socket(const char *path, struct sockaddr_un *ret_addr, struct err *err)
{
	size_t n = strlen(path);
	if (n >= sizeof(ret_addr->sun_path))
		return err_set(err, ENAMETOOLONG,
			       "%s: longer than the %zu bytes of a socket's name", path,
			       sizeof(ret_addr->sun_path) - 1);
	*ret_addr = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(ret_addr->sun_path, path, n + 1);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return fd < 0 ? err_sys(err, "cannot make a socket") : fd;
}

static int on_connect(struct vsock_mux *mux, uint32_t port, uint64_t ticket)
{
	struct vsock *s = container_of(mux, struct vsock, mux);
	return s->dial ? vsock_dial_port(s->dial, port, ticket) : ask_keeper(s, port, ticket);
}

/* --- virtio --- */

static int activate(struct virtio *v, struct err *err)
{
	struct vsock *s = vsock_of(v);
	if (!v->queues[QUEUE_RX].live || !v->queues[QUEUE_TX].live)
		return err_set(err, EPROTO, "the receive and transmit queues are not set up");
	s->tx_stalled = false;
	/* The device is active only once we return: the listener a turn later. */
	turn_again(&s->turn, QUEUE_EVENT);
	return 0;
}

static void reset(struct virtio *v)
{
	struct vsock *s = vsock_of(v);
	vsock_reset(&s->mux);
	turn_forget(&s->turn);
	(void)uv_poll_stop(&s->listener);
	(void)uv_timer_stop(&s->pause);
}

static void config_read(struct virtio *v, uint32_t offset, void *data, uint32_t size)
{
	struct virtio_vsock_config config = { .guest_cid = htole64(vsock_of(v)->mux.guest_cid) };
	memcpy(data, (const uint8_t *)&config + offset, size);
}

static const struct virtio_type vsock_virtio = {
	.id = VIRTIO_ID_VSOCK,
	.activate = activate,
	.reset = reset,
	.kick = on_kick,
	.config_read = config_read,
};

/* --- the machine file --- */

struct vsock_conf {
	int64_t cid;
	struct source listen;
	const char *prefix;
};

static int connect_parse(json_object *conf, struct vsock_conf *ret, struct err *err)
{
	static const char *const known[] = { "path", NULL };
	json_object *o = json_get(conf, "connect");
	if (!o)
		return 0;
	if (json_object_is_type(o, json_type_string)) {
		if (!strcmp(json_object_get_string(o), "keeper"))
			return 0;
		return err_set(err, EINVAL,
			       "vsock.connect: must be \"keeper\" or {\"path\": prefix}");
	}
	if (machine_only(o, known, "vsock.connect", err) < 0)
		return -EINVAL;
	int rc = json_get_str(o, "path", &ret->prefix, err);
	if (rc < 0)
		return err_prefix(err, "vsock.connect");
	return rc ? 0 : err_set(err, EINVAL, "vsock.connect.path: is missing");
}

static int conf_parse(json_object *conf, struct vsock_conf *ret, struct err *err)
{
	static const char *const known[] = { "cid", "listen", "connect", NULL };
	*ret = (struct vsock_conf){ .cid = 3 };
	if (machine_only(conf, known, "vsock", err) < 0 ||
	    machine_int(conf, "vsock", "cid", 3, CID_MAX, &ret->cid, err) < 0)
		return -EINVAL;
	int rc = source_get(conf, "listen", &ret->listen, err);
	if (rc < 0)
		return err_prefix(err, "vsock");
	if (rc == 0)
		return err_set(err, EINVAL, "vsock.listen: is missing");
	return connect_parse(conf, ret, err);
}

static int check(json_object *conf, struct err *err)
{
	struct vsock_conf parsed;
	return conf_parse(conf, &parsed, err);
}

static int listen_at(const struct source *source, struct err *err)
{
	struct sockaddr_un addr;
	if (source->fd >= 0) {
		cleanup_fd int fd = source_open(source, O_RDWR, err);
		int listens = 0;
		socklen_t size = sizeof(listens);
		if (fd < 0)
			return fd;
		if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) < 0 || !listens)
			return err_set(err, EINVAL, "descriptor %d is no listening socket", fd);
		return take_fd(&fd);
	}
	cleanup_fd int fd = unix_socket(source->path, &addr, err);
	if (fd < 0)
		return fd;
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return err_sys(err, "cannot make the socket %s", source->path);
	if (listen(fd, SOMAXCONN) < 0)
		return err_sys(err, "cannot listen on %s", source->path);
	return take_fd(&fd);
}

static void unref(struct vsock *s)
{
	if (--s->handles)
		return;
	fd_close(&s->listen_fd);
	free(s);
}

static void on_handle_closed(uv_handle_t *handle)
{
	unref(handle->data);
}

static void on_mux_closed(struct vsock_mux *mux)
{
	unref(container_of(mux, struct vsock, mux));
}

static const struct vsock_owner vsock_owner = {
	.wake = on_wake,
	.connect = on_connect,
	.closed = on_mux_closed,
};

static void vsock_free(struct device *dev)
{
	if (!dev)
		return;
	struct vsock *s = container_of(dev, struct vsock, v.device);
	virtio_fini(&s->v);
	list_for_each_safe (pos, &s->asks) {
		container_of(pos, struct ask, in_asks)->vsock = NULL;
		list_del(pos);
	}
	list_for_each_safe (pos, &s->later) {
		list_del(pos);
		free(container_of(pos, struct ask, in_asks));
	}
	vsock_dial_free(s->dial);
	vsock_fini(&s->mux);
	uv_close((uv_handle_t *)&s->listener, on_handle_closed);
	uv_close((uv_handle_t *)&s->turn.idle, on_handle_closed);
	uv_close((uv_handle_t *)&s->pause, on_handle_closed);
}

/* From here on vsock_free() undoes it. */
static int start(struct vsock *s, uint64_t cid, struct err *err)
{
	uv_loop_t *loop = &s->v.device.vm->loop;
	int rc = uv_poll_init(loop, &s->listener, s->listen_fd);
	if (rc < 0)
		return err_rc(err, rc, "vsock: cannot watch the listening socket");
	(void)turn_init(&s->turn, loop, on_turn);
	(void)uv_timer_init(loop, &s->pause);
	(void)vsock_init(&s->mux, loop, cid, &vsock_owner);
	s->listener.data = s->turn.idle.data = s->pause.data = s;
	s->handles = 4;
	return 0;
}

static int make(struct vm *vm, json_object *conf, struct device **ret, struct err *err)
{
	struct vsock_conf parsed;
	int rc = conf_parse(conf, &parsed, err);
	if (rc < 0)
		return rc;
	struct vsock *s = calloc(1, sizeof(*s));
	if (!s)
		return err_set(err, ENOMEM, "no memory for vsock");
	list_init(&s->asks);
	list_init(&s->later);
	memcpy(s->v.device.id, "vsock", sizeof("vsock"));
	rc = s->listen_fd = listen_at(&parsed.listen, err);
	if (rc < 0)
		(void)err_prefix(err, "vsock.listen");
	else if (parsed.prefix)
		rc = vsock_dial_new(&vm->loop, parsed.prefix, on_dialled, s, &s->dial, err);
	if (rc >= 0)
		rc = virtio_init(&s->v, vm, &device_vsock, &vsock_virtio, N_QUEUES, QUEUE_SIZE, 0,
				 sizeof(struct virtio_vsock_config), err);
	if (rc == 0 && (rc = start(s, (uint64_t)parsed.cid, err)) < 0)
		virtio_fini(&s->v);
	if (rc < 0) {
		vsock_dial_free(s->dial);
		fd_close(&s->listen_fd);
		free(s);
		return rc;
	}
	*ret = &s->v.device;
	return 0;
}

static unsigned int count_asks(const struct vsock *s)
{
	unsigned int n = 0;
	list_for_each (pos, &s->asks)
		n++;
	list_for_each (pos, &s->later)
		n++;
	return n;
}

static json_object *stats(struct device *dev)
{
	const struct vsock *s = container_of(dev, struct vsock, v.device);
	const struct vsock_counters *c = &s->mux.counters;
	json_object *o = json_object_new_object();
	json_add_i64(o, "connections", s->mux.n_conns);
	json_add_i64(o, "opened_by_host", (int64_t)c->by_host);
	json_add_i64(o, "opened_by_guest", (int64_t)c->by_guest);
	json_add_i64(o, "refused", (int64_t)c->refused);
	json_add_i64(o, "violations", (int64_t)c->violations);
	json_add_i64(o, "from_guest_bytes", (int64_t)c->from_guest_bytes);
	json_add_i64(o, "to_guest_bytes", (int64_t)c->to_guest_bytes);
	json_add_i64(o, "asking_keeper", count_asks(s));
	json_add_i64(o, "kicks", (int64_t)s->v.n_kicks);
	json_add_i64(o, "interrupts", (int64_t)s->v.n_interrupts);
	return o;
}

static void quiesce(struct device *dev, void (*done)(void *arg), void *arg)
{
	struct vsock *s = container_of(dev, struct vsock, v.device);
	virtio_quiesce(&s->v);
	turn_forget(&s->turn);
	watch_listener(s);
	done(arg);
}

static void resume(struct device *dev)
{
	struct vsock *s = container_of(dev, struct vsock, v.device);
	virtio_resume(&s->v);
	watch_listener(s);
}

const struct device_type device_vsock = {
	.key = "vsock",
	.check = check,
	.make = make,
	.stats = stats,
	.quiesce = quiesce,
	.resume = resume,
	.free = vsock_free,
};
