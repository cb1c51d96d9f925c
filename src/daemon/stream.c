/* SPDX-License-Identifier: Apache-2.0 */
/* stream - see stream.h. A client's socket is handed over whole: isolad keeps no
 * copy, so the stream outlives it. Before the start it waits here, watched, so
 * that a client that goes away leaves nothing. isolad, loop thread. */
#include "stream.h"

#include "isola/detachkeys.h"
#include "isola/fd.h"
#include "isola/json.h"
#include "isola/num.h"
#include "isola/strbuf.h"
#include "isolad.h"
#include "life.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* What a client may have sent behind its request, and how many may wait. */
#define HEAD_BYTES_MAX 32768
#define PENDING_MAX    64

struct stream {
	struct list node; /* in inst->streams */
	uv_poll_t poll;
	int fd;
	json_object *msg; /* "attach" */
};

static char *hex(const unsigned char *data, size_t size)
{
	struct strbuf b = STRBUF_INIT;
	for (size_t i = 0; i < size; i++)
		strbuf_printf(&b, "%02x", data[i]);
	return strbuf_take(&b);
}

void stream_describe(const struct stream_request *req, const char *id, json_object *msg)
{
	json_add_str(msg, "stream", id);
	json_add_bool(msg, "stdin", req->want_stdin);
	json_add_bool(msg, "stdout", req->want_stdout);
	json_add_bool(msg, "stderr", req->want_stderr);
	json_add_bool(msg, "mux", req->mux);
	json_add_str(msg, "detach_keys", req->detach_keys ? req->detach_keys : DETACHKEYS_DEFAULT);
	if (req->head_size) {
		cleanup_free char *head = hex(req->head, req->head_size);
		json_add_str(msg, "head", head);
	}
}

static void on_closed(uv_handle_t *handle)
{
	struct stream *stream = container_of(handle, struct stream, poll);
	fd_close(&stream->fd);
	json_object_put(stream->msg);
	free(stream);
}

static void drop(struct stream *stream)
{
	list_del(&stream->node);
	uv_close((uv_handle_t *)&stream->poll, on_closed);
}

static void on_gone(uv_poll_t *handle, int status, int events)
{
	(void)status;
	(void)events;
	drop(container_of(handle, struct stream, poll));
}

static int wait_for_start(struct instance *inst, int fd, json_object *msg, struct err *err)
{
	unsigned int n = 0;
	list_for_each (node, &inst->streams)
		n++;
	struct stream *stream = n < PENDING_MAX ? calloc(1, sizeof(*stream)) : NULL;
	int rc = stream ? uv_poll_init(&inst->isolad->loop, &stream->poll, fd) : -ENOBUFS;
	if (rc < 0) {
		free(stream);
		return err_rc(err, rc, "%s %s: cannot hold another attached client",
			      instance_noun(inst->kind), inst->id);
	}
	stream->fd = fd;
	stream->msg = json_object_get(msg);
	/* Only a hang-up counts. A client that has sent all its input half-closes
	 * (UV_DISCONNECT would fire) and still wants the output. */
	(void)uv_poll_start(&stream->poll, UV_PRIORITIZED, on_gone);
	list_add_tail(&inst->streams, &stream->node);
	return 0;
}

static void send_attach(struct instance *inst, json_object *msg, int fd)
{
	link_call(inst->link, "attach", msg, fd, NULL, NULL);
}

void streams_send_pending(struct instance *inst)
{
	list_for_each_safe (node, &inst->streams) {
		struct stream *stream = container_of(node, struct stream, node);
		int fd = fd_dup(stream->fd);
		if (fd >= 0)
			send_attach(inst, json_object_get(stream->msg), fd);
		drop(stream);
	}
}

void streams_drop(struct instance *inst)
{
	list_for_each_safe (node, &inst->streams)
		drop(container_of(node, struct stream, node));
}

static int check(const struct instance *inst, const struct stream_request *req, struct err *err)
{
	int rc = state_next(inst, EVENT_ATTACH, err);
	if (rc < 0)
		return rc;
	if (req->head_size > HEAD_BYTES_MAX)
		return err_set(err, EINVAL, "more than %d bytes came behind the request",
			       HEAD_BYTES_MAX);
	return 0;
}

void instance_attach(struct instance *inst, const struct stream_request *req, op_done_fn *done,
		     void *arg)
{
	cleanup_fd int fd = req->fd;
	struct life *life = life_of(inst);
	struct err e = ERR_INIT;
	int rc = check(inst, req, &e);
	json_object *msg = rc < 0 ? NULL : json_object_new_object();
	if (msg) {
		/* Streams of an isolad from before live on in the keeper: no second of an id. */
		char id[40];
		(void)snprintf(id, sizeof(id), "a%llx.%u", (unsigned long long)num_now_ns(),
			       ++life->next_stream);
		stream_describe(req, id, msg);
	}
	/* A keeper whose payload has ended takes no more. */
	bool now = inst->link && !life->ended;
	if (rc == 0 && now) {
		send_attach(inst, msg, take_fd(&fd));
	} else if (rc == 0) {
		rc = wait_for_start(inst, fd, msg, &e);
		json_object_put(msg);
		if (rc == 0)
			(void)take_fd(&fd);
	}
	if (rc == 0)
		events_emit_instance(inst, "attach", NULL);
	later_done(inst->isolad, done, arg, rc < 0 ? &e : NULL, NULL);
}
