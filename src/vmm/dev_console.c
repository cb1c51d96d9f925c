/* SPDX-License-Identifier: Apache-2.0 */
/* dev_console - virtio-console (virtio 1.2, 5.3): the machine file's consoles, each
 * a pty or a stream socket of ours.
 *
 * One console is the plain device: two queues, its size in the configuration. More
 * are ports of one device (MULTIPORT) with a pair of control queues; there sizes
 * travel as control messages. Nothing of a console's bytes is kept here: a guest
 * waits for a slow reader, but not for one who is not there (GIVE_UP_MS), since
 * Linux spins while its console does not take output. isola-vmm, loop thread. */
#include "isola/fd.h"
#include "isola/json.h"
#include "isola/list.h"

#include "device.h"
#include "turn.h"
#include "virtio.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <linux/virtio_console.h>
#include <linux/virtio_ids.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define QUEUE_SIZE    128
#define IOV_MAX_CHAIN (2 * QUEUE_SIZE)
#define PORTS_MAX     ((VIRTIO_QUEUES_MAX - 2) / 2)
#define BUDGET        32
#define READ_MAX      (64U * 1024)
#define GIVE_UP_MS    1000 /* a reader that took nothing for so long is away */
#define ANNOUNCE_MS   500
#define RETRY_MS      250 /* a pty that nobody has open */
#define CONTROL_MAX   (sizeof(struct virtio_console_control) + 64)

enum { CONTROL_RX = 2, CONTROL_TX = 3 };

/* Control messages that wait for a buffer, in the order in which Linux wants them. */
enum { SAY_ADD = 1, SAY_CONSOLE = 2, SAY_NAME = 4, SAY_RESIZE = 8, SAY_OPEN = 16 };

struct port {
	struct consoles *owner;
	unsigned int index;
	char id[64];
	int fd;
	bool is_socket, made; /* made: the handles are to be closed */
	uv_poll_t poll;
	uv_timer_t retry, give_up;
	uint16_t rows, columns;
	unsigned int say;
	bool known;      /* the driver said PORT_READY */
	bool guest_open; /* someone in the guest reads */
	bool ended;      /* the host's end said it sends no more */
	bool hungry;     /* no buffer of the guest for what is to be read */
	bool away;       /* the reader is: output is dropped until it takes some */
	bool full;       /* the descriptor takes no more at the moment */
	size_t done;     /* of the chain at hand: written already */
	uint64_t in_bytes, out_bytes, dropped_bytes;
};

struct consoles {
	struct virtio v;
	struct turn turn;
	unsigned int handles, n_ports;
	uv_timer_t announce;
	bool announced;
	struct iovec iov[IOV_MAX_CHAIN];
	struct port ports[];
};

extern const struct device_type device_console;

static struct consoles *consoles_of(struct virtio *v)
{
	return container_of(v, struct consoles, v);
}

static bool is_multiport(const struct consoles *c)
{
	return virtio_has(&c->v, VIRTIO_CONSOLE_F_MULTIPORT);
}

/* 5.3.2: port 0 has the first two queues, the control queues are the next. */
static unsigned int rx_queue(const struct port *p)
{
	return p->index ? 2 + 2 * p->index : 0;
}

static unsigned int tx_queue(const struct port *p)
{
	return rx_queue(p) + 1;
}

static void on_event(uv_poll_t *poll, int status, int events);

static bool wants_input(const struct port *p)
{
	return virtio_serving(&p->owner->v) && !p->ended && !p->hungry && p->guest_open &&
	       !uv_is_active((const uv_handle_t *)&p->retry) &&
	       p->owner->v.queues[rx_queue(p)].live;
}

static void watch(struct port *p)
{
	int events = wants_input(p) ? UV_READABLE : 0;
	if (p->full && virtio_serving(&p->owner->v) &&
	    !uv_is_active((const uv_handle_t *)&p->retry))
		events |= UV_WRITABLE;
	if (events)
		(void)uv_poll_start(&p->poll, events, on_event);
	else
		(void)uv_poll_stop(&p->poll);
}

static void fail(struct consoles *c, const char *what)
{
	virtio_fail(&c->v, "%s", what);
	for (unsigned int i = 0; i < c->n_ports; i++)
		watch(&c->ports[i]);
}

/* --- control messages to the guest --- */

static size_t put_message(struct port *p, unsigned int what, uint8_t *buf)
{
	struct virtio_console_control m = { .id = htole32(p->index) };
	size_t n = 0;
	switch (what) {
	case SAY_ADD:
		m.event = htole16(VIRTIO_CONSOLE_PORT_ADD);
		break;
	case SAY_CONSOLE:
		m.event = htole16(VIRTIO_CONSOLE_CONSOLE_PORT);
		m.value = htole16(1);
		break;
	case SAY_NAME:
		m.event = htole16(VIRTIO_CONSOLE_PORT_NAME);
		m.value = htole16(1);
		n = strlen(p->id) < 64 ? strlen(p->id) : 63;
		memcpy(buf + sizeof(m), p->id, n);
		break;
	case SAY_RESIZE: {
		/* Columns first (5.3.6.2). Linux had it the other way round before 6.15, and
		 * before what its stable branches got in 2025. One console has no such
		 * doubt: its size is in the configuration. */
		const uint16_t size[2] = { htole16(p->columns), htole16(p->rows) };
		m.event = htole16(VIRTIO_CONSOLE_RESIZE);
		n = sizeof(size);
		memcpy(buf + sizeof(m), size, n);
		break;
	}
	default:
		m.event = htole16(VIRTIO_CONSOLE_PORT_OPEN);
		m.value = htole16(!p->ended);
	}
	memcpy(buf, &m, sizeof(m));
	return sizeof(m) + n;
}

/* One message of @p into one buffer. 1, 0 without a buffer, -EPROTO. */
static int say_one(struct port *p)
{
	struct consoles *c = p->owner;
	struct virtq *q = &c->v.queues[CONTROL_RX];
	struct virtq_chain chain;
	uint8_t buf[CONTROL_MAX];
	virtq_chain_init(&chain, c->iov, IOV_MAX_CHAIN);
	int rc = virtq_pop(q, &chain);
	if (rc <= 0)
		return rc;
	unsigned int what = p->say & -p->say; /* the lowest bit */
	size_t n = put_message(p, what, buf);
	if (chain.n_read || chain.write_bytes < n)
		return -EPROTO;
	(void)chain_write(&chain, 0, buf, n);
	virtq_push(q, chain.head, (uint32_t)n);
	p->say &= ~what;
	return 1;
}

static void serve_control_rx(struct consoles *c)
{
	int rc = 1;
	if (!is_multiport(c) || !virtio_serving(&c->v))
		return;
	for (unsigned int i = 0; i < c->n_ports && rc > 0;) {
		if (!c->ports[i].say) {
			i++;
			continue;
		}
		rc = say_one(&c->ports[i]);
		if (rc == 0 && virtq_enable_kicks(&c->v.queues[CONTROL_RX]))
			rc = 1;
	}
	if (rc < 0)
		fail(c, "a control buffer that is no room for a message to be written to");
	else
		virtio_publish(&c->v, CONTROL_RX);
}

static void say(struct port *p, unsigned int what)
{
	p->say |= what;
	turn_again(&p->owner->turn, CONTROL_RX);
}

/* --- control messages of the guest --- */

static void heed(struct consoles *c, const struct virtio_console_control *m)
{
	uint32_t id = le32toh(m->id);
	uint16_t event = le16toh(m->event), value = le16toh(m->value);
	if (event == VIRTIO_CONSOLE_DEVICE_READY) {
		for (unsigned int i = 0; value && i < c->n_ports; i++)
			say(&c->ports[i], SAY_ADD);
		return;
	}
	if (id >= c->n_ports)
		return; /* not a port of ours: nothing to do for it */
	struct port *p = &c->ports[id];
	if (event == VIRTIO_CONSOLE_PORT_READY && value) {
		p->known = true;
		say(p, SAY_CONSOLE | SAY_NAME | SAY_OPEN | (p->rows ? SAY_RESIZE : 0));
	} else if (event == VIRTIO_CONSOLE_PORT_READY) {
		p->known = false; /* the driver could not add it */
	} else if (event == VIRTIO_CONSOLE_PORT_OPEN) {
		p->guest_open = value;
		watch(p);
	}
}

static int heed_one(struct consoles *c)
{
	struct virtq *q = &c->v.queues[CONTROL_TX];
	struct virtio_console_control m;
	struct virtq_chain chain;
	virtq_chain_init(&chain, c->iov, IOV_MAX_CHAIN);
	int rc = virtq_pop(q, &chain);
	if (rc <= 0)
		return rc;
	if (chain.n_write || chain_read(&chain, 0, &m, sizeof(m)) != sizeof(m))
		return -EPROTO;
	virtq_push(q, chain.head, 0);
	if (is_multiport(c))
		heed(c, &m);
	return 1;
}

static void serve_control_tx(struct consoles *c)
{
	unsigned int n = 0;
	int rc = 1;
	for (; rc > 0 && n < BUDGET; n++) {
		rc = heed_one(c);
		if (rc == 0 && virtq_enable_kicks(&c->v.queues[CONTROL_TX]))
			rc = 1;
	}
	if (rc < 0) {
		fail(c, "a control message that is too short, or to be written to");
		return;
	}
	virtio_publish(&c->v, CONTROL_TX);
	if (rc > 0)
		turn_again(&c->turn, CONTROL_TX);
}

/* --- the guest's output --- */

static ssize_t put(const struct port *p, const struct iovec *iov, int n)
{
	struct msghdr msg = { .msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n };
	ssize_t put;
	do
		put = p->is_socket ? sendmsg(p->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL)
				   : writev(p->fd, iov, n);
	while (put < 0 && errno == EINTR);
	return put < 0 ? -errno : put;
}

/* The rest of a chain. 1 when it is through, 0 when the descriptor is full. */
static int put_chain(struct port *p, const struct virtq_chain *chain)
{
	while (p->done < chain->read_bytes) {
		struct iovec iov[IOV_MAX_CHAIN];
		size_t left = chain->read_bytes - p->done;
		int n = chain_slice(chain, false, p->done, left, iov, IOV_MAX_CHAIN);
		ssize_t got = n < 0 ? n : -EAGAIN;
		if (!p->away && n > 0)
			got = put(p, iov, n);
		if (got > 0) {
			p->done += (size_t)got;
			p->out_bytes += (uint64_t)got;
			(void)uv_timer_stop(&p->give_up);
			continue;
		}
		if (got == -EAGAIN && !p->away)
			return 0;
		/* Nobody is there to read it. */
		p->dropped_bytes += left;
		break;
	}
	p->done = 0;
	return 1;
}

static void on_give_up(uv_timer_t *timer);

static void serve_tx(struct port *p)
{
	struct consoles *c = p->owner;
	struct virtq *q = &c->v.queues[tx_queue(p)];
	unsigned int n = 0;
	int rc = 1;
	virtq_disable_kicks(q);
	for (; n < BUDGET && !(p->full && !p->away); n++) {
		struct virtq_chain chain;
		virtq_chain_init(&chain, c->iov, IOV_MAX_CHAIN);
		rc = virtq_pop(q, &chain);
		if (rc == 0 && virtq_enable_kicks(q))
			continue;
		if (rc <= 0)
			break;
		if (chain.n_write) {
			rc = -EPROTO;
			break;
		}
		if (!put_chain(p, &chain)) {
			virtq_unpop(q);
			p->full = true;
			(void)uv_timer_start(&p->give_up, on_give_up, GIVE_UP_MS, 0);
			break;
		}
		virtq_push(q, chain.head, 0);
	}
	if (rc < 0) {
		fail(c, "output that is to be written to, or a broken queue");
		return;
	}
	virtio_publish(&c->v, tx_queue(p));
	if (n == BUDGET)
		turn_again(&c->turn, tx_queue(p));
	watch(p);
}

static void on_give_up(uv_timer_t *timer)
{
	struct port *p = timer->data;
	p->away = true;
	if (virtio_serving(&p->owner->v))
		serve_tx(p);
}

/* --- input for the guest --- */

static void on_retry(uv_timer_t *timer)
{
	watch(timer->data);
}

/* A pty whose other end nobody has open calls itself writable (it hung up) and takes
 * nothing: then it is looked at now and then only. */
static void serve_writable(struct port *p)
{
	uint64_t before = p->out_bytes;
	p->full = p->away = false;
	(void)uv_timer_stop(&p->give_up);
	serve_tx(p);
	if (p->full && p->out_bytes == before) {
		p->away = true;
		(void)uv_timer_start(&p->retry, on_retry, RETRY_MS, 0);
		serve_tx(p);
	}
}

/* End of file: a socket is over for good, a pty until someone opens it. */
static void input_ended(struct port *p, int error)
{
	if (!p->is_socket) {
		(void)uv_timer_start(&p->retry, on_retry, RETRY_MS, 0);
		return;
	}
	p->ended = true;
	(void)error;
	if (p->known)
		say(p, SAY_OPEN);
}

/* One buffer's worth. 1 when something came, 0 when not, -EPROTO. */
static int get_one(struct port *p)
{
	struct consoles *c = p->owner;
	struct virtq *q = &c->v.queues[rx_queue(p)];
	struct iovec iov[IOV_MAX_CHAIN];
	struct virtq_chain chain;
	virtq_chain_init(&chain, c->iov, IOV_MAX_CHAIN);
	int rc = virtq_pop(q, &chain);
	if (rc == 0)
		p->hungry = !virtq_enable_kicks(q);
	if (rc <= 0)
		return rc;
	if (chain.n_read || chain.write_bytes == 0)
		return -EPROTO;
	size_t most = chain.write_bytes < READ_MAX ? chain.write_bytes : READ_MAX;
	int n = chain_slice(&chain, true, 0, most, iov, IOV_MAX_CHAIN);
	if (n < 0)
		return n;
	ssize_t got = readv(p->fd, iov, n);
	if (got > 0) {
		p->in_bytes += (uint64_t)got;
		virtq_push(q, chain.head, (uint32_t)got);
		return 1;
	}
	virtq_unpop(q);
	if (got == 0 || (errno != EAGAIN && errno != EINTR))
		input_ended(p, got < 0 ? errno : 0);
	return 0;
}

static void serve_rx(struct port *p)
{
	int rc = 1;
	/* Level-triggered: what is left comes in the loop's next round. */
	for (unsigned int n = 0; rc > 0 && n < BUDGET && !p->hungry; n++)
		rc = get_one(p);
	if (rc < 0) {
		fail(p->owner, "an input buffer that is no room to be written to");
		return;
	}
	virtio_publish(&p->owner->v, rx_queue(p));
	watch(p);
}

static void on_event(uv_poll_t *poll, int status, int events)
{
	struct port *p = poll->data;
	if (!virtio_serving(&p->owner->v)) {
		(void)uv_poll_stop(poll);
		return;
	}
	if (status < 0) {
		/* A socket whose peer is gone: what is written finds out, too. */
		events = p->full ? UV_WRITABLE : 0;
		input_ended(p, -status);
	}
	if (events & UV_WRITABLE && p->full)
		serve_writable(p);
	if (events & UV_READABLE && wants_input(p))
		serve_rx(p);
	watch(p);
}

/* --- virtio --- */

/* Linux looks at the size in the configuration only when it hears that it changed, and
 * not before its port is whole: a moment after that has posted its first buffers. */
static void on_announce(uv_timer_t *timer)
{
	struct consoles *c = timer->data;
	if (virtio_serving(&c->v))
		virtio_config_changed(&c->v);
}

static void announce_size(struct consoles *c)
{
	if (c->announced || is_multiport(c) || !c->ports[0].rows ||
	    !virtq_enable_kicks(&c->v.queues[0]))
		return;
	c->announced = true;
	(void)uv_timer_start(&c->announce, on_announce, ANNOUNCE_MS, 0);
}

static struct port *port_of_queue(struct consoles *c, unsigned int index)
{
	unsigned int i = index < 2 ? 0 : (index - 2) / 2;
	return i < c->n_ports ? &c->ports[i] : NULL;
}

static void on_kick(struct virtio *v, unsigned int index)
{
	struct consoles *c = consoles_of(v);
	struct port *p = port_of_queue(c, index);
	if (index == CONTROL_RX) {
		serve_control_rx(c);
	} else if (index == CONTROL_TX) {
		serve_control_tx(c);
	} else if (p && index == tx_queue(p)) {
		serve_tx(p);
	} else if (p) {
		p->hungry = false;
		watch(p);
		announce_size(c);
	}
}

static void on_turn(struct turn *turn, unsigned int index)
{
	struct consoles *c = container_of(turn, struct consoles, turn);
	if (virtio_serving(&c->v) && c->v.queues[index].live)
		on_kick(&c->v, index);
}

static void port_reset(struct port *p)
{
	p->say = 0;
	p->done = 0;
	p->known = p->guest_open = p->hungry = p->away = p->full = false;
	(void)uv_timer_stop(&p->retry);
	(void)uv_timer_stop(&p->give_up);
	(void)uv_poll_stop(&p->poll);
}

static int activate(struct virtio *v, struct err *err)
{
	struct consoles *c = consoles_of(v);
	(void)err;
	/* Without MULTIPORT there is one port, open and without messages. */
	if (!is_multiport(c))
		c->ports[0].guest_open = true;
	return 0;
}

static void reset(struct virtio *v)
{
	struct consoles *c = consoles_of(v);
	turn_forget(&c->turn);
	c->announced = false;
	(void)uv_timer_stop(&c->announce);
	for (unsigned int i = 0; i < c->n_ports; i++)
		port_reset(&c->ports[i]);
}

static void config_read(struct virtio *v, uint32_t offset, void *data, uint32_t size)
{
	const struct consoles *c = consoles_of(v);
	struct virtio_console_config config = {
		.cols = htole16(c->ports[0].columns),
		.rows = htole16(c->ports[0].rows),
		.max_nr_ports = htole32(c->n_ports),
	};
	memcpy(data, (const uint8_t *)&config + offset, size);
}

static const struct virtio_type console_virtio = {
	.id = VIRTIO_ID_CONSOLE,
	.activate = activate,
	.reset = reset,
	.kick = on_kick,
	.config_read = config_read,
};

/* --- the machine file --- */

struct port_conf {
	const char *id;
	struct source source;
	int64_t rows, columns;
};

static int port_parse(json_object *conf, struct port_conf *ret, struct err *err)
{
	static const char *const known[] = { "id", "source", "rows", "columns", NULL };
	*ret = (struct port_conf){ .id = NULL };
	if (machine_only(conf, known, "", err) < 0 ||
	    machine_int(conf, "", "rows", 0, UINT16_MAX, &ret->rows, err) < 0 ||
	    machine_int(conf, "", "columns", 0, UINT16_MAX, &ret->columns, err) < 0 ||
	    json_get_str(conf, "id", &ret->id, err) < 0)
		return -EINVAL;
	if (!ret->id || !*ret->id || strlen(ret->id) >= sizeof(((struct port *)0)->id))
		return err_set(err, EINVAL, "id: must have from 1 to 63 bytes");
	int rc = source_get(conf, "source", &ret->source, err);
	return rc ? (rc < 0 ? rc : 0) : err_set(err, EINVAL, "source: is missing");
}

static int check(json_object *conf, struct err *err)
{
	size_t n = json_len(conf);
	if (!json_object_is_type(conf, json_type_array) || n < 1 || n > PORTS_MAX)
		return err_set(err, EINVAL, "consoles: must be an array of 1 to %d", PORTS_MAX);
	for (size_t i = 0; i < n; i++) {
		struct port_conf parsed, other;
		if (port_parse(json_object_array_get_idx(conf, i), &parsed, err) < 0)
			return err_prefix(err, "consoles[%zu]", i);
		for (size_t j = 0; j < i; j++)
			if (port_parse(json_object_array_get_idx(conf, j), &other, err) == 0 &&
			    !strcmp(other.id, parsed.id))
				return err_set(err, EINVAL,
					       "consoles[%zu].id: \"%s\" is there twice", i,
					       parsed.id);
	}
	return 0;
}

static void unref(struct consoles *c)
{
	if (--c->handles)
		return;
	for (unsigned int i = 0; i < c->n_ports; i++)
		fd_close(&c->ports[i].fd);
	free(c);
}

static void on_closed(uv_handle_t *handle)
{
	unref(((struct port *)handle->data)->owner);
}

static void on_turn_closed(uv_handle_t *handle)
{
	unref(handle->data);
}

static void console_free(struct device *dev)
{
	if (!dev)
		return;
	struct consoles *c = container_of(dev, struct consoles, v.device);
	virtio_fini(&c->v);
	for (unsigned int i = 0; i < c->n_ports; i++) {
		struct port *p = &c->ports[i];
		if (!p->made)
			continue;
		c->handles += 3;
		uv_close((uv_handle_t *)&p->poll, on_closed);
		uv_close((uv_handle_t *)&p->retry, on_closed);
		uv_close((uv_handle_t *)&p->give_up, on_closed);
	}
	c->handles += 2;
	uv_close((uv_handle_t *)&c->turn.idle, on_turn_closed);
	uv_close((uv_handle_t *)&c->announce, on_turn_closed);
}

static int port_init(struct port *p, uv_loop_t *loop, json_object *conf, struct err *err)
{
	struct port_conf parsed;
	int type = 0, rc = port_parse(conf, &parsed, err);
	socklen_t size = sizeof(type);
	if (rc < 0)
		return rc;
	memcpy(p->id, parsed.id, strlen(parsed.id) + 1);
	p->rows = (uint16_t)parsed.rows;
	p->columns = (uint16_t)parsed.columns;
	p->fd = source_open(&parsed.source, O_RDWR | O_NOCTTY | O_NONBLOCK, err);
	if (p->fd < 0)
		return p->fd;
	p->is_socket = getsockopt(p->fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0;
	rc = uv_poll_init(loop, &p->poll, p->fd);
	if (rc < 0)
		return err_rc(err, rc, "source: is not a pty or a socket");
	(void)uv_timer_init(loop, &p->retry);
	(void)uv_timer_init(loop, &p->give_up);
	p->poll.data = p->retry.data = p->give_up.data = p;
	p->made = true;
	return 0;
}

static int make(struct vm *vm, json_object *conf, struct device **ret, struct err *err)
{
	int rc = check(conf, err);
	if (rc < 0)
		return rc;
	unsigned int n = (unsigned int)json_len(conf);
	struct consoles *c = calloc(1, sizeof(*c) + sizeof(c->ports[0]) * n);
	if (!c)
		return err_set(err, ENOMEM, "no memory for the consoles");
	c->v.device.vm = vm;
	memcpy(c->v.device.id, "consoles", sizeof("consoles"));
	c->n_ports = n;
	for (unsigned int i = 0; i < n; i++)
		c->ports[i] = (struct port){ .owner = c, .index = i, .fd = -1 };
	(void)turn_init(&c->turn, &vm->loop, on_turn);
	(void)uv_timer_init(&vm->loop, &c->announce);
	c->turn.idle.data = c->announce.data = c;
	for (unsigned int i = 0; i < n && rc == 0; i++) {
		rc = port_init(&c->ports[i], &vm->loop, json_object_array_get_idx(conf, i), err);
		if (rc < 0)
			(void)err_prefix(err, "consoles[%u]", i);
	}
	uint64_t offered = 1ULL << VIRTIO_CONSOLE_F_SIZE;
	if (n > 1)
		offered |= 1ULL << VIRTIO_CONSOLE_F_MULTIPORT;
	if (rc == 0)
		rc = virtio_init(&c->v, vm, &device_console, &console_virtio, n > 1 ? 2 + 2 * n : 2,
				 QUEUE_SIZE, offered, sizeof(struct virtio_console_config), err);
	if (rc < 0) {
		console_free(&c->v.device);
		return rc;
	}
	*ret = &c->v.device;
	return 0;
}

static struct port *port_by_id(struct consoles *c, const char *id)
{
	for (unsigned int i = 0; id && i < c->n_ports; i++)
		if (!strcmp(c->ports[i].id, id))
			return &c->ports[i];
	return NULL;
}

/* "console": { "id", "rows", "columns" } */
static int update(struct device *dev, const char *op, json_object *args, struct err *err)
{
	struct consoles *c = container_of(dev, struct consoles, v.device);
	const char *id = NULL;
	int64_t rows = 0, columns = 0;
	if (strcmp(op, "console") != 0)
		return err_set(err, ENOTSUP, "a console knows no \"%s\"", op);
	int rc = json_get_str(args, "id", &id, err);
	if (rc < 0 || (rc = machine_int(args, "", "rows", 0, UINT16_MAX, &rows, err)) < 0 ||
	    (rc = machine_int(args, "", "columns", 0, UINT16_MAX, &columns, err)) < 0)
		return rc;
	struct port *p = port_by_id(c, id);
	if (!p)
		return err_set(err, ENOENT, "no console \"%s\"", id ? id : "");
	p->rows = (uint16_t)rows;
	p->columns = (uint16_t)columns;
	if (p->known)
		say(p, SAY_RESIZE);
	if (p->index == 0)
		virtio_config_changed(&c->v);
	return 0;
}

static json_object *stats(struct device *dev)
{
	const struct consoles *c = container_of(dev, struct consoles, v.device);
	json_object *all = json_object_new_object();
	for (unsigned int i = 0; i < c->n_ports; i++) {
		json_object *o = json_object_new_object();
		json_add_i64(o, "in_bytes", (int64_t)c->ports[i].in_bytes);
		json_add_i64(o, "out_bytes", (int64_t)c->ports[i].out_bytes);
		json_add_i64(o, "dropped_bytes", (int64_t)c->ports[i].dropped_bytes);
		json_add(all, c->ports[i].id, o);
	}
	return all;
}

static void quiesce(struct device *dev, void (*done)(void *arg), void *arg)
{
	struct consoles *c = container_of(dev, struct consoles, v.device);
	virtio_quiesce(&c->v);
	turn_forget(&c->turn);
	for (unsigned int i = 0; i < c->n_ports; i++)
		watch(&c->ports[i]);
	done(arg);
}

static void resume(struct device *dev)
{
	struct consoles *c = container_of(dev, struct consoles, v.device);
	virtio_resume(&c->v);
	for (unsigned int i = 0; i < c->n_ports; i++)
		watch(&c->ports[i]);
}

const struct device_type device_console = {
	.key = "consoles",
	.check = check,
	.make = make,
	.update = update,
	.stats = stats,
	.quiesce = quiesce,
	.resume = resume,
	.free = console_free,
};
