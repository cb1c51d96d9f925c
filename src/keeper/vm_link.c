/* SPDX-License-Identifier: Apache-2.0 */
/* vm_link - what a keeper and its worker say to each other (isola/vmm.h). The worker
 * is foreign: whatever it says is bounded, and what is malformed ends it. */
#include "vm.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/vmm.h"
#include "isola/wire.h"

#include "control.h"
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGES_A_TURN 16
#define CALLS_MAX       64
#define CALL_MS         10000 /* then its asker hears that there is no answer */
#define WARNS_A_MINUTE  20
#define DRAIN_MAX       1024

struct call {
	struct list node; /* vm.calls */
	int64_t seq;
	const char *op; /* static */
	struct asker asker;
	vm_reply_fn *reply; /* NULL: nobody waits, or not any more */
	int64_t at_ms;      /* until then it should be answered */
	bool late, told;    /* given up; and somebody has heard so */
};

void vm_warn(struct vm *vm, const char *text)
{
	int64_t now = loop_now_ms();
	if (now - vm->warns_since_ms >= 60000) {
		vm->warns_since_ms = now;
		vm->n_warns = 0;
	}
	if (vm->n_warns++ < WARNS_A_MINUTE)
		control_warn(vm->k, text);
}

/* ---- calls ---- */

static void call_end(struct vm *vm, struct call *call, json_object *reply, const struct err *err)
{
	list_del(&call->node);
	if (call->reply)
		call->reply(vm, &call->asker, reply, err);
	free(call);
}

/* All have the same time, so they stand in the order of their ends. */
static void watch_time(struct vm *vm)
{
	loop_timer_stop(&vm->call_timer);
	list_for_each (node, &vm->calls) {
		const struct call *call = container_of(node, struct call, node);
		int64_t left = call->at_ms - loop_now_ms();
		if (call->late)
			continue;
		loop_timer(&vm->k->loop, &vm->call_timer, left > 0 ? left : 0);
		return;
	}
}

static void give_up(struct vm *vm, struct call *call)
{
	struct err e = ERR_INIT;
	vm_reply_fn *reply = call->reply;
	call->late = true;
	call->told = reply != NULL;
	call->reply = NULL;
	(void)err_set(&e, ETIMEDOUT,
		      "isola-vmm has not answered \"%s\" for %d seconds; a kill ends it", call->op,
		      CALL_MS / 1000);
	if (reply)
		reply(vm, &call->asker, NULL, &e);
}

/* A worker that hangs holds up nobody for ever. A call stays in the list: its answer
 * may come yet. */
void vm_link_on_time(struct timer *timer)
{
	struct vm *vm = container_of(timer, struct vm, call_timer);
	list_for_each_safe (node, &vm->calls) {
		struct call *call = container_of(node, struct call, node);
		if (!call->late && call->at_ms <= loop_now_ms())
			give_up(vm, call);
	}
	watch_time(vm);
}

int vm_call(struct vm *vm, const char *op, json_object *args, const struct asker *asker,
	    vm_reply_fn *reply, struct err *err)
{
	return vm_call_fd(vm, op, args, -1, asker, reply, err);
}

int vm_call_fd(struct vm *vm, const char *op, json_object *args, int fd, const struct asker *asker,
	       vm_reply_fn *reply, struct err *err)
{
	size_t n = 0;
	cleanup_json json_object *msg = args ? args : json_object_new_object();
	struct call *call = NULL;
	list_for_each (node, &vm->calls)
		n++;
	if (vm->link.fd < 0 || !vm->alive)
		return err_set(err, ESRCH, "the VM is not running");
	if (n >= CALLS_MAX)
		return err_set(err, EBUSY, "isola-vmm has %zu requests to answer already", n);
	if (!msg || !(call = calloc(1, sizeof(*call))))
		return err_set(err, ENOMEM, "out of memory");
	call->seq = ++vm->seq;
	call->op = op;
	call->reply = reply;
	call->at_ms = loop_now_ms() + CALL_MS;
	if (asker)
		call->asker = *asker;
	json_add_str(msg, "op", op);
	json_add_i64(msg, "seq", call->seq);
	int rc = wire_send(vm->link.fd, msg, &fd, fd >= 0, err);
	if (rc < 0) {
		free(call);
		return rc == -EAGAIN ? err_set(err, EBUSY, "isola-vmm does not read its requests")
				     : rc;
	}
	list_add_tail(&vm->calls, &call->node);
	watch_time(vm);
	return 0;
}

static void on_reply(struct vm *vm, json_object *msg, int64_t seq)
{
	list_for_each (node, &vm->calls) {
		struct call *call = container_of(node, struct call, node);
		if (call->seq != seq)
			continue;
		struct err e = ERR_INIT;
		if (!json_bool_or(msg, "ok", false)) {
			int64_t code = json_i64_or(msg, "code", EIO);
			(void)err_set(&e, code > 0 && code < 4096 ? (int)code : EIO, "%.400s",
				      json_str_or(msg, "error", "isola-vmm gave no reason"));
		}
		json_object_object_del(msg, "seq");
		json_object_object_del(msg, "ok");
		if (call->told && !e.code)
			vm_on_late(vm, call->op);
		call_end(vm, call, msg, e.code ? &e : NULL);
		watch_time(vm);
		return;
	}
}

/* ---- what it asks for ---- */

static int answer(struct vm *vm, int64_t seq, int fd, const struct err *err)
{
	struct err ignored;
	cleanup_json json_object *o = json_object_new_object();
	json_add_i64(o, "answer", seq);
	if (fd < 0) {
		json_add_i64(o, "code", err->code);
		json_add_str(o, "error", err->text);
	}
	return wire_send(vm->link.fd, o, &fd, fd >= 0, &ignored);
}

/* A guest's own port leads to us; there are no others. */
static int connect_port(struct vm *vm, int64_t port, struct err *err)
{
	struct guest *g = vm->k->guest;
	if (!g)
		return vm_vsock_connect(vm, port, err);
	if (port != GUEST_PORT)
		return err_set(err, ECONNREFUSED, "no such port");
	return guest_link_connect(&g->link, err);
}

static void on_ask(struct vm *vm, json_object *msg)
{
	struct err e = ERR_INIT;
	int64_t seq = json_i64_or(msg, "seq", 0);
	const char *what = json_str_or(msg, "ask", "");
	cleanup_fd int fd = -1;
	if (strcmp(what, "connect"))
		(void)err_set(&e, EOPNOTSUPP, "\"%.32s\" is not known to this isola-keeper", what);
	else
		fd = connect_port(vm, json_i64_or(msg, "port", -1), &e);
	int rc = answer(vm, seq, fd, &e);
	/* One that does not read its answers has only itself to blame; but a descriptor
	 * that cannot be sent (ETOOMANYREFS) would keep it waiting for good. */
	if (rc < 0 && rc != -EAGAIN && fd >= 0) {
		(void)err_rc(&e, rc, "cannot hand over the connection");
		(void)answer(vm, seq, -1, &e);
	}
}

/* ---- events ---- */

static void on_event(struct vm *vm, const char *event, json_object *msg)
{
	if (!strcmp(event, "hello")) {
		vm_on_hello(vm);
	} else if (!strcmp(event, "exit")) {
		vm_on_exit(vm, msg);
	} else if (!strcmp(event, "warn")) {
		char text[400];
		(void)snprintf(text, sizeof(text), "%s", json_str_or(msg, "text", ""));
		vm_warn(vm, text);
	} else if (!strcmp(event, "running")) {
		vm->first_run_us = json_i64_or(msg, "first_run_us", 0);
		vm->start_cpu_us = json_i64_or(msg, "cpu_us", 0);
	}
}

/* 1 go on, 0 nothing there now, -errno: the link is of no more use. */
static int receive(struct vm *vm)
{
	cleanup_json json_object *msg = NULL;
	int fds[WIRE_FDS_MAX];
	size_t n_fds = 0;
	struct err err = ERR_INIT;
	int rc = wire_recv(vm->link.fd, &msg, fds, &n_fds, &err);
	if (rc == -EAGAIN)
		return 0;
	if (rc <= 0)
		return rc < 0 ? rc : -EPIPE;
	while (n_fds > 0)
		fd_close(&fds[--n_fds]);
	const char *event = json_str_or(msg, "event", NULL);
	int64_t seq = json_i64_or(msg, "seq", 0);
	if (event)
		on_event(vm, event, msg);
	else if (json_get(msg, "ask"))
		on_ask(vm, msg);
	else
		on_reply(vm, msg, seq);
	return vm->link.fd < 0 ? 0 : 1;
}

/* Not read any more: what came behind it is not believed. */
static void on_malformed(struct vm *vm)
{
	vm_warn(vm, "isola-vmm sent what is no message; it is ended");
	fd_close(&vm->link.fd);
	vm_on_malformed(vm);
}

static void on_readable(struct source *src, uint32_t events)
{
	struct vm *vm = container_of(src, struct vm, link);
	int rc = 1;
	(void)events;
	for (int i = 0; i < MESSAGES_A_TURN && rc > 0; i++)
		rc = receive(vm);
	if (rc >= 0)
		return;
	/* Its process ends, too, or is made to: nobody could reach it any more. */
	loop_unwatch(&vm->k->loop, src);
	if (rc == -EPROTO)
		on_malformed(vm);
}

int vm_link_begin(struct vm *vm, int fd, struct err *err)
{
	vm->link = (struct source){ .fd = fd, .on_event = on_readable };
	vm->seq = 0;
	int rc = fd_set_nonblock(fd, true);
	if (rc == 0)
		rc = loop_watch(&vm->k->loop, &vm->link, EPOLLIN);
	if (rc < 0) {
		fd_close(&vm->link.fd);
		return err_rc(err, rc, "cannot watch isola-vmm's socket");
	}
	return 0;
}

void vm_link_end(struct vm *vm)
{
	struct err e;
	int rc = vm->link.fd < 0 ? 0 : 1;
	/* Its last words: bounded by what a socket holds, and once more. */
	for (int i = 0; i < DRAIN_MAX && rc > 0; i++)
		rc = receive(vm);
	loop_unwatch(&vm->k->loop, &vm->link);
	if (rc == -EPROTO)
		on_malformed(vm);
	fd_close(&vm->link.fd);
	(void)err_set(&e, ESRCH, "the VM has ended");
	list_for_each_safe (node, &vm->calls)
		call_end(vm, container_of(node, struct call, node), NULL, &e);
	loop_timer_stop(&vm->call_timer);
}
