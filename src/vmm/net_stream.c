/* SPDX-License-Identifier: Apache-2.0 */
/* net_stream - frames over a stream socket as passt(1) and QEMU's "-netdev stream" have
 * them: a length of 4 bytes, big endian, and the frame without virtio header. For
 * networks without any privilege.
 *
 * The peer's lengths are foreign: one that is no frame's ends the connection, since
 * there is no way to find the next. What the socket does not take at once of a frame
 * is kept, one frame at most. */
#include "net_backend.h"

#include "isola/fd.h"
#include "isola/list.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define LENGTH_BYTES 4
#define READ_BYTES   (2 * (LENGTH_BYTES + NET_FRAME_MAX))
#define IOV_MAX_SEND 600

struct stream {
	struct net_backend b;
	bool gone;
	uint8_t *in; /* [in_first, in_end) is read, not yet taken */
	size_t in_first, in_end;
	uint8_t *out; /* the rest of a frame, [out_first, out_end) */
	size_t out_first, out_end;
};

static struct stream *stream_of(struct net_backend *b)
{
	return container_of(b, struct stream, b);
}

static int gone(struct stream *s)
{
	s->gone = true;
	return -ENOTCONN;
}

/* The frame that is whole in the buffer: its size, 0 when there is none, -EPROTO. */
static ssize_t whole_frame(const struct stream *s)
{
	uint32_t size;
	if (s->in_end - s->in_first < LENGTH_BYTES)
		return 0;
	memcpy(&size, s->in + s->in_first, LENGTH_BYTES);
	size = ntohl(size);
	if (size < NET_FRAME_MIN || size > NET_FRAME_MAX)
		return -EPROTO;
	return s->in_end - s->in_first - LENGTH_BYTES >= size ? (ssize_t)size : 0;
}

static int read_more(struct stream *s)
{
	if (s->in_first) {
		memmove(s->in, s->in + s->in_first, s->in_end - s->in_first);
		s->in_end -= s->in_first;
		s->in_first = 0;
	}
	ssize_t got;
	do
		got = recv(s->b.fds[0], s->in + s->in_end, READ_BYTES - s->in_end, MSG_DONTWAIT);
	while (got < 0 && errno == EINTR);
	if (got < 0 && errno == EAGAIN)
		return -EAGAIN;
	if (got <= 0)
		return gone(s);
	s->in_end += (size_t)got;
	return 0;
}

static ssize_t receive(struct net_backend *b, unsigned int pair, const struct iovec *iov, int n)
{
	static const struct virtio_net_hdr_v1 none = { .flags = 0 };
	struct stream *s = stream_of(b);
	ssize_t size;
	(void)pair;
	while ((size = s->gone ? -ENOTCONN : whole_frame(s)) == 0) {
		int rc = read_more(s);
		if (rc < 0)
			return rc;
	}
	if (size < 0)
		return gone(s);
	const uint8_t *parts[] = { (const uint8_t *)&none, s->in + s->in_first + LENGTH_BYTES };
	const size_t sizes[] = { NET_HDR_BYTES, (size_t)size };
	size_t done = 0, total = 0;
	for (int i = 0, part = 0; i < n && part < 2;) {
		size_t left = sizes[part] - done;
		size_t run = iov[i].iov_len - total < left ? iov[i].iov_len - total : left;
		memcpy((uint8_t *)iov[i].iov_base + total, parts[part] + done, run);
		done += run;
		total += run; /* within this iovec */
		if (done == sizes[part]) {
			part++;
			done = 0;
		}
		if (total == iov[i].iov_len) {
			i++;
			total = 0;
		}
	}
	s->in_first += LENGTH_BYTES + (size_t)size;
	return size + (ssize_t)NET_HDR_BYTES;
}

static ssize_t put(struct stream *s, const struct iovec *iov, int n)
{
	struct msghdr msg = { .msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n };
	ssize_t done;
	do
		done = sendmsg(s->b.fds[0], &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (done < 0 && errno == EINTR);
	if (done < 0 && errno == EAGAIN)
		return -EAGAIN;
	return done < 0 ? gone(s) : done;
}

static int flush(struct net_backend *b, unsigned int pair)
{
	struct stream *s = stream_of(b);
	(void)pair;
	while (!s->gone && s->out_first < s->out_end) {
		const struct iovec rest = { s->out + s->out_first, s->out_end - s->out_first };
		ssize_t done = put(s, &rest, 1);
		if (done < 0)
			return (int)done;
		s->out_first += (size_t)done;
	}
	return s->gone ? -ENOTCONN : 0;
}

/* Keeps what comes after the first @skip bytes: half a frame cannot be taken back. */
static void keep(struct stream *s, const struct iovec *iov, int n, size_t skip)
{
	s->out_first = s->out_end = 0;
	for (int i = 0; i < n; i++) {
		size_t cut = skip < iov[i].iov_len ? skip : iov[i].iov_len;
		skip -= cut;
		memcpy(s->out + s->out_end, (const uint8_t *)iov[i].iov_base + cut,
		       iov[i].iov_len - cut);
		s->out_end += iov[i].iov_len - cut;
	}
}

static int stream_send(struct net_backend *b, unsigned int pair, const struct iovec *iov, int n)
{
	struct stream *s = stream_of(b);
	struct iovec framed[IOV_MAX_SEND];
	size_t size = 0;
	int rc = flush(b, pair);
	if (rc < 0)
		return rc;
	if (n > IOV_MAX_SEND)
		return -EMSGSIZE;
	for (int i = 1; i < n; i++) {
		framed[i] = iov[i];
		size += iov[i].iov_len;
	}
	if (size < NET_FRAME_MIN || size > NET_FRAME_MAX)
		return -EMSGSIZE;
	uint32_t length = htonl((uint32_t)size);
	framed[0] = (struct iovec){ &length, LENGTH_BYTES };
	ssize_t done = put(s, framed, n);
	if (done < 0)
		return (int)done;
	if ((size_t)done == size + LENGTH_BYTES)
		return 0;
	keep(s, framed, n, (size_t)done);
	return 1;
}

static int set_offloads(struct net_backend *b, uint64_t guest_features)
{
	(void)b;
	return guest_features ? -ENOTSUP : 0;
}

static int set_pairs(struct net_backend *b, unsigned int n)
{
	(void)b;
	return n == 1 ? 0 : -ENOTSUP;
}

static void stream_free(struct net_backend *b)
{
	if (!b)
		return;
	struct stream *s = stream_of(b);
	fd_close(&b->fds[0]);
	free(s->in);
	free(s->out);
	free(s);
}

static const struct net_backend_type stream = {
	.receive = receive,
	.send = stream_send,
	.flush = flush,
	.set_offloads = set_offloads,
	.set_pairs = set_pairs,
	.free = stream_free,
};

int net_stream_new(int fd, struct net_backend **ret, struct err *err)
{
	int type = 0;
	socklen_t size = sizeof(type);
	struct stream *s = calloc(1, sizeof(*s));
	if (!s) {
		(void)close(fd);
		return err_set(err, ENOMEM, "no memory for a network device");
	}
	s->b = (struct net_backend){
		.type = &stream,
		.features = 1ULL << VIRTIO_NET_F_MRG_RXBUF,
		.n_pairs = 1,
		.fds = { fd },
	};
	s->in = malloc(READ_BYTES);
	s->out = malloc(LENGTH_BYTES + NET_FRAME_MAX);
	int rc = 0;
	if (!s->in || !s->out)
		rc = err_set(err, ENOMEM, "no memory for a network device");
	else if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != SOCK_STREAM)
		rc = err_set(err, EINVAL, "the descriptor is no stream socket");
	if (rc < 0)
		stream_free(&s->b);
	else
		*ret = &s->b;
	return rc;
}
