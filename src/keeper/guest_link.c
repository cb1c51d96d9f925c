/* SPDX-License-Identifier: Apache-2.0 */
/* guest_link - see guest_link.h. Runs in isola-keeper. */
#include "guest_link.h"

#include "isola/fd.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define FRAMES_A_TURN    16
#define OUT_MAX          (4 * GUEST_BODY_MAX)
#define NOTICES_A_MINUTE 20

static void on_time(struct timer *timer);
static void on_control(struct source *src, uint32_t events);

void guest_link_init(struct guest_link *l, struct loop *loop, const struct guest_link_ops *ops)
{
	*l = (struct guest_link){ .loop = loop,
				  .ops = ops,
				  .control = { .fd = -1, .on_event = on_control },
				  .timer = { .on_time = on_time } };
	list_init(&l->greets);
	list_init(&l->calls);
	list_init(&l->processes);
}

static void close_all(struct guest_link *l)
{
	loop_timer_stop(&l->timer);
	loop_unwatch(l->loop, &l->control);
	fd_close(&l->control.fd);
	guest_greet_end(l);
	free(l->body);
	free(l->out);
	l->body = l->out = NULL;
	l->out_size = l->got = 0;
	guest_call_end(l);
}

void guest_link_fini(struct guest_link *l)
{
	l->broken = true;
	close_all(l);
}

int guest_link_break(struct guest_link *l, int code, const char *fmt, ...)
{
	struct err e = ERR_INIT;
	char text[ERR_TEXT_BYTES];
	va_list ap;
	if (l->broken)
		return -EPROTO;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	(void)err_set(&e, code, "%s", text);
	l->broken = true;
	close_all(l);
	l->ops->on_broken(l, &e);
	return -EPROTO;
}

/* ---- time ---- */

void guest_link_set_timer(struct guest_link *l)
{
	int64_t greet = guest_greet_next_ms(l), call = guest_call_next_ms(l);
	int64_t at = greet < call ? greet : call;
	loop_timer_stop(&l->timer);
	if (l->broken || at == INT64_MAX)
		return;
	int64_t left = at - loop_now_ms();
	loop_timer(l->loop, &l->timer, left > 0 ? left : 0);
}

static void on_time(struct timer *timer)
{
	struct guest_link *l = container_of(timer, struct guest_link, timer);
	guest_call_on_time(l);
	if (!l->broken)
		guest_greet_on_time(l);
	guest_link_set_timer(l);
}

/* ---- to the guest ---- */

static int flush(struct guest_link *l)
{
	size_t done = 0;
	while (done < l->out_size) {
		ssize_t n = send(l->control.fd, l->out + done, l->out_size - done,
				 MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			return -errno;
		if (n < 0)
			break;
		done += (size_t)n;
	}
	l->out_size -= done;
	if (l->out_size == 0) {
		free(l->out);
		l->out = NULL;
	} else if (done > 0) {
		memmove(l->out, l->out + done, l->out_size);
	}
	return loop_watch(l->loop, &l->control, EPOLLIN | (l->out_size ? EPOLLOUT : 0));
}

int guest_link_send(struct guest_link *l, enum guest_type type, uint64_t seq, const void *body,
		    size_t size, struct err *err)
{
	if (l->broken || l->control.fd < 0)
		return err_set(err, ESRCH, "the guest is not there");
	if (size > GUEST_BODY_MAX)
		return err_set(err, E2BIG, "a request of %zu bytes is too long for the guest",
			       size);
	if (l->out_size + GUEST_FRAME_BYTES + size > OUT_MAX)
		return err_set(err, EBUSY, "the guest does not read its requests");
	uint8_t *out = realloc(l->out, l->out_size + GUEST_FRAME_BYTES + size);
	if (!out)
		return err_set(err, ENOMEM, "out of memory");
	l->out = out;
	out += l->out_size;
	tlv_store(out, 4, size);
	tlv_store(out + 4, 2, type);
	tlv_store(out + 6, 2, 0);
	tlv_store(out + 8, 8, seq);
	if (size)
		memcpy(out + GUEST_FRAME_BYTES, body, size);
	l->out_size += GUEST_FRAME_BYTES + size;
	/* What is wrong with the socket its reader finds out. */
	(void)flush(l);
	return 0;
}

int guest_link_shutdown(struct guest_link *l, struct err *err)
{
	return guest_link_send(l, GUEST_SHUTDOWN, 0, NULL, 0, err);
}

/* ---- from the guest ---- */

/* Bytes of a terminal's language do not reach the operator's. */
static void make_printable(const char *text, char *ret, size_t size)
{
	size_t n = 0;
	for (; *text && n + 1 < size; text++)
		ret[n++] = *text >= ' ' && *text <= '~' ? *text : '?';
	ret[n] = '\0';
}

/* A guest cannot make others busy with what it has to tell. */
static bool may_tell(struct guest_link *l)
{
	int64_t now = loop_now_ms();
	if (now - l->notices_since_ms >= 60000) {
		l->notices_since_ms = now;
		l->n_notices = 0;
	}
	return l->n_notices++ < NOTICES_A_MINUTE;
}

static int on_oom(struct guest_link *l, const uint8_t *body, size_t size)
{
	uint64_t kills = tlv_u64_or(body, size, GF_OOM, 0);
	if (kills == 0)
		return guest_link_break(l, EPROTO, "the guest tells of no kill");
	if (may_tell(l))
		l->ops->on_oom(l, kills);
	return 0;
}

static int on_notice(struct guest_link *l, const uint8_t *body, size_t size)
{
	const char *text = tlv_text_or(body, size, GF_TEXT, NULL);
	char clean[GUEST_NOTICE_MAX];
	if (!text || strlen(text) >= GUEST_NOTICE_MAX)
		return guest_link_break(l, EPROTO,
					"the guest sent a notice without a text, or "
					"with one too long");
	if (!may_tell(l))
		return 0;
	make_printable(text, clean, sizeof(clean));
	l->ops->on_notice(l, clean);
	return 0;
}

static int on_ready(struct guest_link *l, const uint8_t *body, size_t size)
{
	char release[65]; /* as of uname(2) */
	const char *text = tlv_text_or(body, size, GF_RELEASE, NULL);
	uint64_t boot_us = tlv_u64_or(body, size, GF_BOOT_US, UINT64_MAX);
	if (l->ready)
		return guest_link_break(l, EPROTO, "the guest was ready twice");
	if (!text || strlen(text) >= sizeof(release) || boot_us == UINT64_MAX)
		return guest_link_break(l, EPROTO,
					"the guest says it is ready, but not what it is");
	make_printable(text, release, sizeof(release));
	l->ready = true;
	l->ops->on_ready(l, release, boot_us);
	return 0;
}

static int on_frame(struct guest_link *l)
{
	size_t size = (size_t)tlv_load(l->head, 4);
	unsigned int type = (unsigned int)tlv_load(l->head + 4, 2);
	uint64_t seq = tlv_load(l->head + 8, 8);
	struct tlv_field ignored;
	if (tlv_find(l->body, size, 0, &ignored) < 0)
		return guest_link_break(l, EPROTO, "the guest sent a frame with malformed fields");
	if ((type == GUEST_ANSWER) != (seq != 0))
		return guest_link_break(l, EPROTO,
					"the guest sent a frame of type %u with number "
					"%llu",
					type, (unsigned long long)seq);
	if (!l->ready && type != GUEST_READY)
		return guest_link_break(l, EPROTO, "the guest speaks before it is ready");
	switch (type) {
	case GUEST_ANSWER:
		return guest_call_answer(l, seq, l->body, size);
	case GUEST_READY:
		return on_ready(l, l->body, size);
	case GUEST_EXITED:
		return guest_call_exited(l, l->body, size);
	case GUEST_NOTICE:
		return on_notice(l, l->body, size);
	case GUEST_OOM:
		return on_oom(l, l->body, size);
	default:
		return guest_link_break(l, EPROTO, "the guest sent a frame of unknown type %u",
					type);
	}
}

/* Reads up to @want bytes of the frame in all. 1 they are there, 0 not yet. */
static int fill(struct guest_link *l, uint8_t *to, size_t have, size_t want)
{
	while (have < want) {
		ssize_t n = recv(l->control.fd, to + have, want - have, MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n <= 0)
			return guest_link_break(l, EPIPE,
						"the guest closed its control connection");
		have += (size_t)n;
		l->got += (size_t)n;
	}
	return 1;
}

/* 1 a frame was handled, 0 none is there yet, -EPROTO the link has ended. */
static int read_frame(struct guest_link *l)
{
	if (l->got < GUEST_FRAME_BYTES) {
		int rc = fill(l, l->head, l->got, GUEST_FRAME_BYTES);
		if (rc <= 0)
			return rc;
	}
	size_t size = (size_t)tlv_load(l->head, 4);
	if (size > GUEST_BODY_MAX || tlv_load(l->head + 6, 2) != 0)
		return guest_link_break(l, EPROTO, "the guest sent a malformed frame");
	if (!l->body && size > 0 && !(l->body = malloc(size)))
		return guest_link_break(l, ENOMEM, "out of memory for what the guest says");
	int rc = fill(l, l->body, l->got - GUEST_FRAME_BYTES, size);
	if (rc <= 0)
		return rc;
	/* A process's streams came before what is told of it, on other connections. */
	guest_greet_all(l);
	rc = l->broken ? -EPROTO : on_frame(l);
	if (l->broken)
		return -EPROTO;
	free(l->body);
	l->body = NULL;
	l->got = 0;
	return rc < 0 ? rc : 1;
}

static void on_control(struct source *src, uint32_t events)
{
	struct guest_link *l = container_of(src, struct guest_link, control);
	int rc = 1;
	if (events & EPOLLOUT && flush(l) < 0) {
		(void)guest_link_break(l, EPIPE, "the guest closed its control connection");
		return;
	}
	for (int i = 0; i < FRAMES_A_TURN && rc > 0; i++)
		rc = read_frame(l);
}

int guest_link_control(struct guest_link *l, int fd)
{
	l->control.fd = fd;
	int rc = loop_watch(l->loop, &l->control, EPOLLIN);
	return rc < 0 ? guest_link_break(l, -rc, "cannot watch the guest's control connection") : 0;
}
