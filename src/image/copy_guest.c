/* SPDX-License-Identifier: Apache-2.0 */
/* copy_guest - see copy_guest.h. The request's body is taken out of its framing and
 * decompressed here, in isola-image's jail with an empty root; its tar is taken apart in the
 * guest, by the same code (isola/extract.h) that would do it here. */
#include "copy_guest.h"

#include "isola/fd.h"
#include "isola/fd_pass.h"
#include "isola/json.h"
#include "isola/num.h"
#include "isola/pieces.h"
#include "isola/tlv.h"
#include "isola/utf8.h"
#include "body.h"
#include "cancel.h"
#include "stream.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#define TEXT_MAX 1024

static int guest_gone(struct err *err)
{
	return err_set(err, EBUSY, "the container has ended meanwhile");
}

/* ---- the stream ---- */

static int keeper_error(char *text, struct err *err)
{
	int64_t code = EIO;
	char *space = strchr(text, ' ');
	if (space)
		*space++ = '\0';
	(void)num_parse_range(text, 1, 4095, &code);
	return err_set(err, (int)code, "%s", space ? space : "the guest takes no copy");
}

static int receive_stream(int from, int *ret, struct err *err)
{
	char text[TEXT_MAX];
	ssize_t n;
	do
		n = fd_receive_one(from, text, sizeof(text) - 1, ret, 0);
	while (n == -EINTR && !cancel_requested());
	if (n <= 0)
		return cancel_requested() ? err_set(err, EINTR, "cancelled") : guest_gone(err);
	text[n] = '\0';
	return *ret < 0 ? keeper_error(text, err) : 0;
}

/* Until the guest's stream is ready for @events; -EINTR when cancelled. */
static int wait_for(int fd, short events, short *ret, struct err *err)
{
	struct pollfd p = { .fd = fd, .events = events };
	while (!cancel_requested()) {
		int n = poll(&p, 1, CANCEL_LOOK_MS);
		if (n < 0 && errno != EINTR)
			return err_sys(err, "cannot wait for the guest");
		if (n <= 0)
			continue;
		*ret = p.revents;
		return 0;
	}
	return err_set(err, EINTR, "cancelled");
}

/* 0 all is sent; 1 the guest says something, or is gone. */
static int send_all(int fd, const void *data, size_t size, struct err *err)
{
	const char *at = data;
	while (size > 0) {
		short ready = 0;
		int rc = wait_for(fd, POLLIN | POLLOUT, &ready, err);
		if (rc < 0)
			return rc;
		if (ready & (POLLIN | POLLHUP | POLLERR))
			return 1;
		ssize_t n = write(fd, at, size);
		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return 1;
		if (n > 0) {
			at += n;
			size -= (size_t)n;
		}
	}
	return 0;
}

static int send_piece(int fd, const void *data, size_t size, struct err *err)
{
	uint8_t head[4];
	tlv_store(head, sizeof(head), size);
	int rc = send_all(fd, head, sizeof(head), err);
	return rc ? rc : send_all(fd, data, size, err);
}

/* ---- the answer ---- */

int copy_guest_answer(const uint8_t *data, size_t size, struct err *err)
{
	struct tlv_field f;
	uint64_t code = 0;
	char text[TEXT_MAX];
	if (size == 0)
		return 0;
	const char *said = tlv_text_or(data, size, PIECE_TEXT, NULL);
	if (tlv_find(data, size, PIECE_ERROR, &f) <= 0 || tlv_get_u64(&f, &code) < 0 || code == 0 ||
	    code >= 4096 || !said)
		return err_set(err, EPROTO, "the guest answered with what makes no sense");
	(void)snprintf(text, sizeof(text), "%s", said);
	utf8_make_harmless(text, strlen(text));
	return err_set(err, (int)code, "%s", text);
}

static int read_all(int fd, uint8_t *to, size_t size, struct err *err)
{
	while (size > 0) {
		short ready = 0;
		int rc = wait_for(fd, POLLIN, &ready, err);
		if (rc < 0)
			return rc;
		ssize_t n = read(fd, to, size);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n <= 0)
			return guest_gone(err);
		to += n;
		size -= (size_t)n;
	}
	return 0;
}

static int read_answer(int fd, struct err *err)
{
	uint8_t head[4], body[GUEST_ANSWER_MAX];
	int rc = read_all(fd, head, sizeof(head), err);
	size_t size = rc == 0 ? (size_t)tlv_load(head, 4) : 0;
	if (rc == 0 && size > sizeof(body))
		rc = err_set(err, EPROTO, "the guest answered with what makes no sense");
	if (rc == 0)
		rc = read_all(fd, body, size, err);
	return rc < 0 ? rc : copy_guest_answer(body, size, err);
}

/* ---- what the guest is told ---- */

static void put_mounts(struct tlv_writer *w, json_object *mounts)
{
	for (size_t i = 0; i < json_len(mounts); i++) {
		json_object *m = json_object_array_get_idx(mounts, i);
		uint64_t flags = (json_bool_or(m, "read_only", false) ? MS_RDONLY : 0) |
				 (json_bool_or(m, "recursive", true) ? MS_REC : 0);
		size_t mark = tlv_open(w, PIECE_MOUNT);
		tlv_put_text(w, PIECE_TARGET, json_str_or(m, "target", ""));
		tlv_put_text(w, PIECE_FSTYPE, "none");
		tlv_put_u64(w, PIECE_FLAGS, flags);
		tlv_close(w, mark);
	}
}

static int send_head(int fd, const struct view *v, const struct copy_options *o, struct err *err)
{
	cleanup_tlv struct tlv_writer w = { 0 };
	tlv_put_text(&w, PIECE_TARGET, o->path);
	tlv_put_text(&w, PIECE_NAME, json_str_or(v->spec, "name", json_str_or(v->spec, "id", "")));
	tlv_put_text(&w, PIECE_USER, o->user);
	tlv_put_u64(&w, PIECE_FLAGS, o->keep_kinds ? GUEST_COPY_KEEP_KINDS : 0);
	tlv_put_u64(&w, PIECE_NUMBER, o->entries_max);
	put_mounts(&w, json_get(v->spec, "mounts"));
	if (w.failed || w.size > GUEST_PIECE_MAX)
		return err_set(err, E2BIG, "the container has too many mounts for a copy");
	return send_piece(fd, w.data, w.size, err);
}

/* As send_all(). */
static int send_archive(int fd, struct stream *stream, const struct body *body, struct err *err)
{
	const unsigned char *data = NULL;
	for (;;) {
		ssize_t n = stream_next(stream, &data, err);
		if (n < 0 && body->other_spoke)
			return 1;
		int rc = (int)(n < 0 ? n : 0);
		for (size_t left = n > 0 ? (size_t)n : 0; rc == 0 && left > 0;) {
			size_t size = left < GUEST_PIECE_MAX ? left : GUEST_PIECE_MAX;
			rc = send_piece(fd, data, size, err);
			data += size;
			left -= size;
		}
		if (rc || n == 0)
			return rc ? rc : send_piece(fd, NULL, 0, err);
	}
}

static int talk(int fd, const struct view *v, const struct copy_options *o, struct stream *stream,
		const struct body *body, struct err *err)
{
	int early = send_head(fd, v, o, err);
	if (early == 0)
		early = send_archive(fd, stream, body, err);
	if (early < 0)
		return early;
	int rc = read_answer(fd, err);
	if (rc == 0 && early)
		rc = err_set(err, EPROTO, "the guest took only a part of the archive");
	return rc;
}

int copy_put_guest(struct view *v, const struct copy_options *o, json_object **ret_aux,
		   struct err *err)
{
	struct body body = body_of(v->spec, v->head, v->head_size);
	const struct stream_options options = {
		.what = "the archive", .plain_max = o->bytes_max, .read = body_read, .arg = &body
	};
	cleanup_stream struct stream *stream = NULL;
	cleanup_fd int fd = -1;
	int rc = receive_stream(v->guest_fd, &fd, err);
	if (rc == 0)
		rc = fd_set_nonblock(fd, true);
	body.other_fd = fd;
	if (rc == 0)
		rc = stream_new(-1, &options, &stream, err);
	if (rc == 0)
		rc = talk(fd, v, o, stream, &body, err);
	if (rc == 0)
		*ret_aux = json_object_new_object();
	return rc;
}
