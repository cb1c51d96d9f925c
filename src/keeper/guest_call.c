/* SPDX-License-Identifier: Apache-2.0 */
/* guest_call - requests to a guest, their answers, and the processes they make
 * (isola/guest.h). */
#include "guest_link.h"

#include "isola/fd.h"
#include "isola/utf8.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* From the request until it has exited. */
struct guest_process {
	struct list node; /* link.processes */
	uint64_t id;
	unsigned int streams; /* bits of those that have not come */
	bool running;         /* the request was answered */
	bool given_up;        /* nobody wants to hear of it any more */
};

struct call {
	struct list node; /* link.calls */
	uint64_t seq;
	enum guest_type type;
	struct guest_process *process; /* that it makes; NULL: none */
	guest_reply_fn *reply;         /* NULL: nobody waits any more */
	void *arg;
	int64_t at_ms;
};

static void process_free(struct guest_link *l, struct guest_process *p)
{
	if (!p)
		return;
	list_del(&p->node);
	l->n_processes--;
	free(p);
}

static struct guest_process *process_find(const struct guest_link *l, uint64_t id)
{
	list_for_each (node, &l->processes) {
		struct guest_process *p = container_of(node, struct guest_process, node);
		if (p->id == id)
			return p;
	}
	return NULL;
}

static struct guest_process *process_new(struct guest_link *l, const struct tlv_writer *body,
					 struct err *err)
{
	uint64_t id = body ? tlv_u64_or(body->data, body->size, GF_PROCESS, 0) : 0;
	uint64_t streams = body ? tlv_u64_or(body->data, body->size, GF_STREAMS, 0) : 0;
	struct guest_process *p = NULL;
	if (!id || process_find(l, id) || streams >> GUEST_STREAMS)
		(void)err_set(err, EINVAL, "a process of the guest needs a number of its own");
	else if (l->n_processes >= GUEST_PROCESSES_MAX)
		(void)err_set(err, EBUSY, "the guest runs %zu processes already", l->n_processes);
	else if (!(p = calloc(1, sizeof(*p))))
		(void)err_set(err, ENOMEM, "out of memory");
	if (!p)
		return NULL;
	p->id = id;
	p->streams = (unsigned int)streams;
	list_add_tail(&l->processes, &p->node);
	l->n_processes++;
	return p;
}

int guest_link_call(struct guest_link *l, enum guest_type type, const struct tlv_writer *body,
		    int64_t within_ms, guest_reply_fn *reply, void *arg, struct err *err)
{
	struct guest_process *p = NULL;
	if (!l->ready || l->broken)
		return err_set(err, ESRCH, "the guest is not there");
	if (body && body->failed)
		return err_set(err, E2BIG, "a request is too long for the guest");
	if (l->n_calls >= GUEST_CALLS_MAX)
		return err_set(err, EBUSY, "the guest has %zu requests to answer already",
			       l->n_calls);
	bool makes = type == GUEST_RUN || type == GUEST_EXEC || type == GUEST_COPY ||
		     type == GUEST_MOUNT || type == GUEST_UNMOUNT || type == GUEST_SYNC;
	if (makes && !(p = process_new(l, body, err)))
		return -err->code;
	struct call *call = calloc(1, sizeof(*call));
	int rc = call ? 0 : err_set(err, ENOMEM, "out of memory");
	if (rc == 0)
		rc = guest_link_send(l, type, l->seq + 1, body ? body->data : NULL,
				     body ? body->size : 0, err);
	if (rc < 0) {
		process_free(l, p);
		free(call);
		return rc;
	}
	*call = (struct call){ .seq = ++l->seq,
			       .type = type,
			       .process = p,
			       .reply = reply,
			       .arg = arg,
			       .at_ms = loop_now_ms() + within_ms };
	list_add_tail(&l->calls, &call->node);
	l->n_calls++;
	guest_link_set_timer(l);
	return 0;
}

static void call_free(struct guest_link *l, struct call *call)
{
	list_del(&call->node);
	l->n_calls--;
	free(call);
}

/* It was made after all, when its asker had given up. */
static void kill_late(struct guest_link *l, const struct guest_process *p)
{
	struct err ignored;
	cleanup_tlv struct tlv_writer w = { 0 };
	tlv_put_u64(&w, GF_PROCESS, p->id);
	tlv_put_u64(&w, GF_SIGNO, SIGKILL);
	if (!w.failed)
		(void)guest_link_call(l, GUEST_SIGNAL, &w, 10000, NULL, NULL, &ignored);
}

/* 1 @ret says why it failed, 0 it did not, -EPROTO. */
static int read_error(struct guest_link *l, const uint8_t *body, size_t size, struct err *ret)
{
	struct tlv_field f;
	uint64_t code = 0;
	char text[GUEST_NOTICE_MAX];
	if (tlv_find(body, size, GF_ERROR, &f) == 0)
		return 0;
	const char *said = tlv_text_or(body, size, GF_TEXT, "the guest gave no reason");
	if (tlv_get_u64(&f, &code) < 0 || code == 0 || code >= 4096 || strlen(said) >= sizeof(text))
		return guest_link_break(l, EPROTO, "the guest answered with a malformed error");
	strcpy(text, said);
	utf8_make_harmless(text, strlen(text));
	(void)err_set(ret, (int)code, "%s", text);
	return 1;
}

static struct call *call_find(const struct guest_link *l, uint64_t seq)
{
	list_for_each (node, &l->calls) {
		struct call *call = container_of(node, struct call, node);
		if (call->seq == seq)
			return call;
	}
	return NULL;
}

int guest_call_answer(struct guest_link *l, uint64_t seq, const uint8_t *body, size_t size)
{
	struct err e = ERR_INIT;
	struct call *call = call_find(l, seq);
	if (!call)
		return guest_link_break(l, EPROTO, "the guest answered what nobody asked");
	int failed = read_error(l, body, size, &e);
	if (failed < 0)
		return failed;
	struct guest_process *p = call->process;
	if (p && !failed && p->streams)
		return guest_link_break(l, EPROTO, "the guest runs a process without its streams");
	guest_reply_fn *reply = call->reply;
	void *arg = call->arg;
	call_free(l, call);
	if (p && failed)
		process_free(l, p);
	else if (p)
		p->running = true;
	if (p && !failed && p->given_up)
		kill_late(l, p);
	guest_link_set_timer(l);
	if (reply)
		reply(arg, body, size, failed ? &e : NULL);
	return 0;
}

void guest_call_stream(struct guest_link *l, uint64_t process, unsigned int stream, int fd)
{
	struct guest_process *p = process_find(l, process);
	if (!p || stream >= GUEST_STREAMS || !(p->streams >> stream & 1)) {
		(void)close(fd);
		(void)guest_link_break(l, EPROTO,
				       "the guest opened a stream that nobody asked for");
		return;
	}
	p->streams &= ~(1U << stream);
	if (p->given_up)
		(void)close(fd);
	else
		l->ops->on_stream(l, process, (enum guest_stream)stream, fd);
}

int guest_call_exited(struct guest_link *l, const uint8_t *body, size_t size)
{
	uint64_t id = tlv_u64_or(body, size, GF_PROCESS, 0);
	uint64_t status = tlv_u64_or(body, size, GF_STATUS, UINT64_MAX);
	uint64_t oom = tlv_u64_or(body, size, GF_OOM, 0);
	struct guest_process *p = process_find(l, id);
	if (!p || !p->running)
		return guest_link_break(l, EPROTO,
					"the guest tells of the end of a process that "
					"does not run");
	/* An exit code, or a signal with or without a core; nothing else is an end. */
	if (status > 0xffff || (status & 0x7f && status >> 8) || (status & 0x7f) == 0x7f ||
	    (status & 0xff) == 0x80)
		return guest_link_break(l, EPROTO, "the guest tells of an impossible end");
	bool given_up = p->given_up;
	process_free(l, p);
	if (!given_up)
		l->ops->on_exited(l, id, (int)status, oom);
	return 0;
}

int64_t guest_call_next_ms(const struct guest_link *l)
{
	int64_t at = INT64_MAX;
	list_for_each (node, &l->calls) {
		const struct call *call = container_of(node, struct call, node);
		if (call->reply && call->at_ms < at)
			at = call->at_ms;
	}
	return at;
}

static void give_up(struct call *call)
{
	call->reply = NULL;
	if (call->process)
		call->process->given_up = true;
}

void guest_link_forget(struct guest_link *l, const void *arg)
{
	list_for_each (node, &l->calls) {
		struct call *call = container_of(node, struct call, node);
		if (call->reply && call->arg == arg)
			give_up(call);
	}
}

/* One at a time, from the front again: a call-back may do anything. */
static bool give_up_one(struct guest_link *l, int64_t now)
{
	list_for_each (node, &l->calls) {
		struct call *call = container_of(node, struct call, node);
		if (!call->reply || call->at_ms > now)
			continue;
		struct err e = ERR_INIT;
		guest_reply_fn *reply = call->reply;
		give_up(call);
		(void)err_set(&e, ETIMEDOUT, "the guest has not answered in time");
		reply(call->arg, NULL, 0, &e);
		return true;
	}
	return false;
}

void guest_call_on_time(struct guest_link *l)
{
	int64_t now = loop_now_ms();
	for (int i = 0; i < GUEST_CALLS_MAX && !l->broken && give_up_one(l, now); i++)
		continue;
}

void guest_call_end(struct guest_link *l)
{
	struct err e = ERR_INIT;
	(void)err_set(&e, ESRCH, "the guest has ended");
	while (!list_is_empty(&l->calls)) {
		struct call *call = container_of(l->calls.next, struct call, node);
		guest_reply_fn *reply = call->reply;
		void *arg = call->arg;
		call_free(l, call);
		if (reply)
			reply(arg, NULL, 0, &e);
	}
	while (!list_is_empty(&l->processes))
		process_free(l, container_of(l->processes.next, struct guest_process, node));
}
