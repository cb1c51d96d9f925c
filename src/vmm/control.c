/* SPDX-License-Identifier: Apache-2.0 */
/* control - see control.h and include/isola/vmm.h. isola-vmm, loop.
 *
 * Requests are answered in order: while a pause is under way the socket is not read.
 * Messages to a keeper that does not read wait in a queue with an end. */
#include "control_priv.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/wire.h"

#include "device.h"
#include "platform.h"
#include "vcpu.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define LAST_WORDS_MS 1000
#define READS_A_TURN  16

struct message {
	struct list node;
	json_object *doc;
};

/* ---- out ---- */

static void on_events(uv_poll_t *poll, int status, int events);

static void watch(struct control *c)
{
	int events =
		(c->busy || c->deaf ? 0 : UV_READABLE) | (list_is_empty(&c->out) ? 0 : UV_WRITABLE);
	if (c->gone || events == 0)
		(void)uv_poll_stop(&c->poll);
	else
		(void)uv_poll_start(&c->poll, events, on_events);
}

static void drop_first(struct control *c)
{
	struct message *m = container_of(c->out.next, struct message, node);
	list_del(&m->node);
	c->n_out--;
	json_object_put(m->doc);
	free(m);
}

static int enqueue(struct control *c, json_object *doc)
{
	struct message *m = c->n_out < CONTROL_OUT_MAX ? malloc(sizeof(*m)) : NULL;
	if (!m) {
		json_object_put(doc);
		return -EAGAIN;
	}
	m->doc = doc;
	list_add_tail(&c->out, &m->node);
	c->n_out++;
	watch(c);
	return 0;
}

int control_send(struct control *c, json_object *msg)
{
	struct err err = ERR_INIT;
	int rc = -EPIPE;
	if (!c->gone && msg)
		rc = list_is_empty(&c->out) ? wire_send(c->sock, msg, NULL, 0, &err) : -EAGAIN;
	if (rc == -EAGAIN)
		return enqueue(c, msg);
	json_object_put(msg);
	return rc;
}

static void flush(struct control *c)
{
	struct err err = ERR_INIT;
	while (!list_is_empty(&c->out)) {
		struct message *m = container_of(c->out.next, struct message, node);
		int rc = wire_send(c->sock, m->doc, NULL, 0, &err);
		if (rc == -EAGAIN)
			break;
		drop_first(c); /* sent, or nobody is there */
	}
	watch(c);
}

static json_object *new_event(const char *name)
{
	json_object *msg = json_object_new_object();
	json_add_str(msg, "event", name);
	return msg;
}

static json_object *new_reply(int64_t seq)
{
	json_object *msg = json_object_new_object();
	json_add_i64(msg, "seq", seq);
	return msg;
}

static void reply_ok(struct control *c, int64_t seq)
{
	json_object *msg = new_reply(seq);
	json_add_bool(msg, "ok", true);
	(void)control_send(c, msg);
}

static void reply_error(struct control *c, int64_t seq, const struct err *err)
{
	json_object *msg = new_reply(seq);
	json_add_i64(msg, "code", err->code ? err->code : EIO);
	json_add_str(msg, "error", err->text);
	(void)control_send(c, msg);
}

void control_hello(struct control *control)
{
	json_object *msg = new_event("hello");
	json_add_i64(msg, "version", VMM_VERSION);
	json_add_str(msg, "kernel", boot_kind_name(control->vm->entry.kind));
	(void)control_send(control, msg);
}

void control_running(struct control *control, uint64_t first_run_us, uint64_t cpu_us)
{
	json_object *msg = new_event("running");
	json_add_i64(msg, "first_run_us", (int64_t)first_run_us);
	json_add_i64(msg, "cpu_us", (int64_t)cpu_us);
	(void)control_send(control, msg);
}

void control_warn(struct control *control, const char *text)
{
	json_object *msg = new_event("warn");
	json_add_str(msg, "text", text);
	(void)control_send(control, msg);
}

/* ---- requests ---- */

static json_object *vcpu_json(const struct vcpu *vcpu)
{
	struct vcpu_stats s;
	json_object *o = json_object_new_object();
	vcpu_stats(vcpu, &s);
	json_add_i64(o, "exits", (int64_t)s.exits);
	json_add_i64(o, "pio", (int64_t)s.pio);
	json_add_i64(o, "mmio", (int64_t)s.mmio);
	json_add_i64(o, "hlt", (int64_t)s.hlt);
	json_add_i64(o, "interrupted", (int64_t)s.interrupted);
	json_add_i64(o, "other", (int64_t)s.other);
	return o;
}

static void reply_stats(struct control *c, int64_t seq)
{
	struct vm *vm = c->vm;
	json_object *msg = new_reply(seq), *vcpus = json_object_new_array();
	json_object *devices = json_object_new_object(), *memory = json_object_new_object();
	for (unsigned int i = 0; i < vm->n_vcpus; i++)
		(void)json_object_array_add(vcpus, vcpu_json(vm->vcpus[i]));
	for (unsigned int i = 0; i < vm->n_devices; i++)
		if (vm->devices[i]->type->stats)
			json_add(devices, vm->devices[i]->id,
				 vm->devices[i]->type->stats(vm->devices[i]));
	json_add_i64(memory, "size", (int64_t)memory_ram_bytes(vm->memory));
	json_add_bool(msg, "ok", true);
	json_add(msg, "vcpus", vcpus);
	json_add(msg, "devices", devices);
	json_add(msg, "memory", memory);
	(void)control_send(c, msg);
}

static struct device *find_device(struct vm *vm, const struct request *r)
{
	for (unsigned int i = 0; i < vm->n_devices; i++)
		if (!strcmp(vm->devices[i]->type->key, r->device_key) &&
		    (!r->id || !vm->devices[i]->type->many || !strcmp(vm->devices[i]->id, r->id)))
			return vm->devices[i];
	return NULL;
}

static int update_device(struct control *c, const struct request *r, json_object *msg,
			 struct err *err)
{
	struct device *dev = find_device(c->vm, r);
	if (!dev)
		return err_set(err, EINVAL, "%s: there is no %s%s%.64s", r->name, r->name,
			       r->id ? " " : "", r->id ? r->id : "");
	if (!dev->type->update)
		return err_set(err, EOPNOTSUPP, "%s: %s cannot be changed", r->name, dev->id);
	return dev->type->update(dev, r->name, msg, err) < 0 ? err_prefix(err, "%s", dev->id) : 0;
}

static int plug_device(struct control *c, const struct request *r, json_object *msg, int *fd,
		       struct err *err)
{
	bool plug = r->op == REQUEST_PLUG;
	struct device *dev = find_device(c->vm, r);
	if (!dev)
		return err_set(err, EINVAL, "%s: there is no %.64s", r->name, r->id);
	if (!dev->type->plug || !dev->type->unplug)
		return err_set(err, EOPNOTSUPP, "%s: %s is there for good", r->name, dev->id);
	if (plug && *fd < 0)
		return err_set(err, EINVAL, "%s: no descriptor came with it", r->name);
	int rc = plug ? dev->type->plug(dev, msg, fd, err) : dev->type->unplug(dev, err);
	return rc < 0 ? err_prefix(err, "%s", dev->id) : 0;
}

static int pin(struct control *c, const struct request *r, struct err *err)
{
	if (r->vcpu >= c->vm->n_vcpus)
		return err_set(err, EINVAL, "pin: there is no vCPU %u", r->vcpu);
	return vcpu_pin(c->vm->vcpus[r->vcpu], r->cpus, err);
}

static void on_paused(void *arg)
{
	struct control *c = arg;
	c->busy = false;
	c->phase = PHASE_PAUSED;
	reply_ok(c, c->busy_seq);
	watch(c);
}

static void inject_nmi(struct vm *vm)
{
	for (unsigned int i = 0; i < vm->n_vcpus; i++)
		vcpu_nmi(vm->vcpus[i]);
}

/* Does it; 1: it answers by itself. */
static int carry_out(struct control *c, const struct request *r, json_object *msg, int *fd,
		     struct err *err)
{
	switch (r->op) {
	case REQUEST_RUN:
		c->phase = PHASE_RUNNING;
		vm_resume(c->vm);
		return 0;
	case REQUEST_PAUSE:
		c->busy = true;
		c->busy_seq = r->seq;
		vm_rest(c->vm, on_paused, c);
		return 1;
	case REQUEST_RESUME:
		c->phase = PHASE_RUNNING;
		vm_go_on(c->vm);
		return 0;
	case REQUEST_POWERDOWN:
		platform_powerdown(c->vm->platform);
		return 0;
	case REQUEST_NMI:
		inject_nmi(c->vm);
		return 0;
	case REQUEST_STATS:
		reply_stats(c, r->seq);
		return 1;
	case REQUEST_PIN:
		return pin(c, r, err);
	case REQUEST_QUIT:
		vm_end(c->vm, VM_QUIT, -1, "it was asked to end");
		return 0;
	case REQUEST_BALLOON:
	case REQUEST_DISK:
	case REQUEST_NET:
	case REQUEST_CONSOLE:
		return update_device(c, r, msg, err);
	case REQUEST_PLUG:
	case REQUEST_UNPLUG:
		return plug_device(c, r, msg, fd, err);
	case REQUEST_ANSWER:
		break;
	}
	return err_set(err, EINVAL, "%s: is no request", r->name);
}

static const char *phase_name(enum request_phase phase)
{
	return phase == PHASE_BUILT    ? "not running yet"
	       : phase == PHASE_PAUSED ? "paused"
				       : "running";
}

static void on_request(struct control *c, json_object *msg, int *fd)
{
	struct request r;
	struct err err = ERR_INIT;
	int rc = request_parse(msg, &r, &err);
	if (rc == 0 && r.op == REQUEST_ANSWER) {
		control_answered(c, &r, take_fd(fd));
		return;
	}
	if (rc == 0 && !(r.phases & c->phase))
		rc = err_set(&err, EBUSY, "%s: the VM is %s", r.name, phase_name(c->phase));
	if (rc == 0)
		rc = carry_out(c, &r, msg, fd, &err);
	if (rc < 0)
		reply_error(c, r.seq, &err);
	else if (rc == 0)
		reply_ok(c, r.seq);
}

/* ---- in ---- */

static void on_gone(struct control *c, const char *why)
{
	c->gone = true;
	watch(c);
	control_cancel_asks(c);
	vm_end(c->vm, VM_QUIT, -1, "the keeper is gone (%s)", why);
}

/* Nothing behind it can be trusted; but the keeper is there, and is told. */
static void on_malformed(struct control *c)
{
	c->deaf = true;
	watch(c);
	vm_end(c->vm, VM_PROTOCOL_ERROR, -1, "the keeper sent what is no message");
}

/* 1: there may be more. */
static int read_one(struct control *c)
{
	struct err err = ERR_INIT;
	cleanup_json json_object *msg = NULL;
	int fds[WIRE_FDS_MAX];
	size_t n_fds = 0;
	int rc = wire_recv(c->sock, &msg, fds, &n_fds, &err);
	if (rc == -EAGAIN || rc == -EINTR)
		return 0;
	if (rc == -EPROTO) {
		on_malformed(c);
		return 0;
	}
	if (rc <= 0) {
		on_gone(c, rc == 0 ? "it closed the socket" : err.text);
		return 0;
	}
	int fd = n_fds > 0 ? fds[0] : -1;
	on_request(c, msg, &fd);
	/* Whatever a message did not need. */
	fd_close(&fd);
	for (size_t i = 1; i < n_fds; i++)
		fd_close(&fds[i]);
	return 1;
}

static void on_events(uv_poll_t *poll, int status, int events)
{
	struct control *c = container_of(poll, struct control, poll);
	if (status < 0) {
		on_gone(c, uv_strerror(status));
		return;
	}
	if (events & UV_WRITABLE)
		flush(c);
	for (int i = 0; (events & UV_READABLE) && !c->busy && !c->gone && i < READS_A_TURN; i++)
		if (read_one(c) == 0)
			break;
	watch(c);
}

/* ---- life ---- */

int control_new(struct vm *vm, int sock, struct control **ret, struct err *err)
{
	struct control *c = calloc(1, sizeof(*c));
	if (!c)
		return err_set(err, ENOMEM, "out of memory");
	*c = (struct control){ .vm = vm, .sock = sock, .phase = PHASE_BUILT };
	list_init(&c->out);
	list_init(&c->asks);
	int rc = fd_set_nonblock(sock, true);
	if (rc == 0)
		rc = uv_poll_init(&vm->loop, &c->poll, sock);
	if (rc < 0) {
		free(c);
		return err_rc(err, rc, "cannot watch the keeper's socket");
	}
	*ret = c;
	return 0;
}

void control_start(struct control *control)
{
	watch(control);
}

static bool wait_writable(const struct control *c)
{
	struct pollfd p = { .fd = c->sock, .events = POLLOUT };
	return poll(&p, 1, LAST_WORDS_MS) == 1;
}

void control_exit(struct control *control, const struct vm_exit *exit, int code)
{
	struct err err = ERR_INIT;
	json_object *msg = new_event("exit");
	json_add_str(msg, "reason", exit->reason);
	json_add_i64(msg, "code", exit->code);
	json_add_str(msg, "text", exit->text);
	if (code)
		json_add_i64(msg, "errno", code);
	(void)control_send(control, msg);
	for (int i = 0; i < CONTROL_OUT_MAX && !list_is_empty(&control->out); i++) {
		struct message *m = container_of(control->out.next, struct message, node);
		if (!wait_writable(control) ||
		    wire_send(control->sock, m->doc, NULL, 0, &err) == -EAGAIN)
			break;
		drop_first(control);
	}
	watch(control);
}

static void on_closed(uv_handle_t *handle)
{
	struct control *c = container_of((uv_poll_t *)handle, struct control, poll);
	fd_close(&c->sock);
	free(c);
}

void control_free(struct control *control)
{
	if (!control)
		return;
	control->gone = true;
	control_cancel_asks(control);
	while (!list_is_empty(&control->out))
		drop_first(control);
	uv_close((uv_handle_t *)&control->poll, on_closed);
}
