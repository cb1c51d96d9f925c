/* SPDX-License-Identifier: Apache-2.0 */
/* client - requests: address, connection, sending. Runs in ctrctl and the other
 * command line programs. HTTP/1.1: RFC 9112; see include/isola/client.h. */
#include "isola/client.h"

#include "isola/fd.h"
#include "isola/json.h"

#include "client_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>

#define UPLOAD_BUFFER_BYTES (1024 * 1024) /* of the socket */

/* A chunk in upload.buf: room for its length line before and CRLF behind. */
#define CHUNK_HEAD 10
#define CHUNK_TAIL 2

_Static_assert(sizeof(((struct client_host *)0)->path) ==
		       sizeof(((struct sockaddr_un *)0)->sun_path),
	       "client_host.path is a socket address");

int client_host_parse(const char *text, struct client_host *ret, struct err *err)
{
	static const char *const sources[] = { "ISOLA_SOCKET", "DOCKER_HOST" };
	const char *source = "--host", *path = text;
	for (size_t i = 0; i < 2 && (!path || !*path); i++) {
		source = sources[i];
		path = getenv(source);
	}
	if (!path || !*path)
		path = CLIENT_SOCKET_DEFAULT;
	const char *scheme_end = strstr(path, "://");
	if (scheme_end && strncmp(path, "unix://", 7) != 0)
		return err_set(err, EINVAL,
			       "%s: %.*s:// is not supported, only unix:///path/of/the/socket",
			       source, (int)(scheme_end - path), path);
	if (scheme_end)
		path = scheme_end + 3;
	if (!*path)
		return err_set(err, EINVAL, "%s: the socket's path is missing", source);
	if (strlen(path) >= sizeof(ret->path))
		return err_set(err, EINVAL, "%s: the socket's path is longer than %zu bytes: %s",
			       source, sizeof(ret->path) - 1, path);
	memset(ret, 0, sizeof(*ret));
	memcpy(ret->path, path, strlen(path));
	return 0;
}

static void add_encoded(struct strbuf *b, const char *text)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				    "0123456789-._~:@,";
	for (; *text; text++) {
		if (strchr(plain, *text))
			strbuf_putc(b, *text);
		else
			strbuf_printf(b, "%%%02X", (unsigned char)*text);
	}
}

void client_target_path(struct strbuf *target, const char *segment)
{
	strbuf_putc(target, '/');
	/* A dot segment would be folded away by whoever normalises paths. */
	if (!strcmp(segment, ".") || !strcmp(segment, ".."))
		strbuf_puts(target, segment[1] ? "%2E%2E" : "%2E");
	else
		add_encoded(target, segment);
}

void client_target_query(struct strbuf *target, const char *key, const char *value)
{
	strbuf_putc(target, target->text && strchr(target->text, '?') ? '&' : '?');
	add_encoded(target, key);
	strbuf_putc(target, '=');
	add_encoded(target, value);
}

struct client *client_new(const struct client_host *host)
{
	struct client *c = malloc(sizeof(*c));
	if (!c)
		return NULL;
	memset(c, 0, offsetof(struct client, buf));
	c->host = *host;
	c->fd = -1;
	return c;
}

static int set_registry(struct client *c, const char *field, const char *text)
{
	char *copy = NULL;
	if (text && asprintf(&copy, "%s: %s\r\n", field, text) < 0)
		return -ENOMEM;
	free(c->registry_field);
	c->registry_field = copy;
	return 0;
}

int client_set_registry_auth(struct client *c, const char *text)
{
	return set_registry(c, "X-Registry-Auth", text);
}

int client_set_registry_config(struct client *c, const char *text)
{
	return set_registry(c, "X-Registry-Config", text);
}

static void forget_answer(struct client *c)
{
	if (c->tok)
		json_tokener_free(c->tok);
	c->tok = NULL;
	free(c->upload);
	c->upload = NULL;
	c->body = BODY_NONE;
	c->in_chunk = false;
	c->left = 0;
	c->status = 0;
	c->content_type[0] = '\0';
}

void client_disconnect(struct client *c)
{
	forget_answer(c);
	fd_close(&c->fd);
	c->begin = c->end = 0;
	c->keep_open = false;
}

void client_free(struct client *c)
{
	if (!c)
		return;
	client_disconnect(c);
	free(c->path_stat);
	free(c->registry_field);
	free(c);
}

static int unreachable(const struct client *c, int code, struct err *err)
{
	const char *hint = "";
	if (code == ENOENT || code == ECONNREFUSED)
		hint = " (is it running? start it with: systemctl start isolad, or isolad &)";
	else if (code == EACCES || code == EPERM)
		hint = " (only root and the socket's group may use it)";
	char reason[128];
	return err_set(err, code, "cannot reach isolad at %s: %s%s", c->host.path,
		       strerror_r(code, reason, sizeof(reason)), hint);
}

static int connect_to(struct client *c, struct err *err)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	memcpy(addr.sun_path, c->host.path, sizeof(addr.sun_path));
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return err_sys(err, "cannot make a socket");
	while (connect(c->fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		if (errno == EINTR)
			continue;
		int code = errno;
		client_disconnect(c);
		return unreachable(c, code, err);
	}
	c->keep_open = true;
	return 0;
}

/* A connection on which nothing is under way. */
static int make_ready(struct client *c, struct err *err)
{
	if (c->fd >= 0 && c->keep_open && c->body == BODY_NONE && !c->upload &&
	    c->begin == c->end) {
		forget_answer(c);
		return 0;
	}
	client_disconnect(c);
	return connect_to(c, err);
}

/* The daemon may refuse a request before it has read all of it; its answer is
 * then waiting, so a broken pipe is left for client_receive() to explain. */
static int send_parts(struct client *c, struct iovec *part, size_t n, struct err *err)
{
	struct msghdr msg = { .msg_iov = part, .msg_iovlen = n };
	while (msg.msg_iovlen > 0) {
		ssize_t sent = sendmsg(c->fd, &msg, MSG_NOSIGNAL);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && errno == EPIPE) {
			c->keep_open = false;
			return 0;
		}
		if (sent < 0)
			return err_sys(err, "cannot send to isolad");
		while (msg.msg_iovlen > 0 && (size_t)sent >= msg.msg_iov->iov_len) {
			sent -= (ssize_t)msg.msg_iov->iov_len;
			msg.msg_iov++;
			msg.msg_iovlen--;
		}
		if (msg.msg_iovlen > 0) {
			msg.msg_iov->iov_base = (char *)msg.msg_iov->iov_base + sent;
			msg.msg_iov->iov_len -= (size_t)sent;
		}
	}
	return 0;
}

static int send_head(struct client *c, const char *method, const char *target, const char *fields,
		     const char *body, size_t size, struct err *err)
{
	cleanup_strbuf struct strbuf head = STRBUF_INIT;
	c->is_head = !strcmp(method, "HEAD");
	strbuf_printf(&head, "%s %s HTTP/1.1\r\nHost: isola\r\nUser-Agent: isola/%s\r\n%s%s\r\n",
		      method, target, ISOLA_VERSION, c->registry_field ? c->registry_field : "",
		      fields);
	if (!strbuf_ok(&head))
		return err_set(err, ENOMEM, "out of memory");
	struct iovec part[2] = {
		{ .iov_base = head.text, .iov_len = head.len },
		{ .iov_base = (void *)(uintptr_t)body, .iov_len = size },
	};
	return send_parts(c, part, size ? 2 : 1, err);
}

static int send_json(struct client *c, const char *method, const char *target,
		     const char *more_fields, json_object *body, struct err *err)
{
	int rc = make_ready(c, err);
	if (rc < 0)
		return rc;
	size_t size = 0;
	const char *text = NULL;
	char fields[256];
	if (body) {
		text = json_object_to_json_string_length(
			body, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &size);
		if (!text)
			return err_set(err, ENOMEM, "out of memory");
		(void)snprintf(fields, sizeof(fields),
			       "%sContent-Type: application/json\r\nContent-Length: %zu\r\n",
			       more_fields, size);
	} else {
		(void)snprintf(fields, sizeof(fields), "%s%s", more_fields,
			       strcmp(method, "POST") ? "" : "Content-Length: 0\r\n");
	}
	return send_head(c, method, target, fields, text, size, err);
}

int client_send(struct client *c, const char *method, const char *target, json_object *body,
		struct err *err)
{
	return send_json(c, method, target, "", body, err);
}

/* ---- uploads ---- */

/* More at one time: sender and receiver take turns less often, and on a busy machine each
 * turn is a wait. Root may go beyond the host's limit. */
static void widen(int fd)
{
	const int size = UPLOAD_BUFFER_BYTES;
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

int client_send_fd(struct client *c, const char *method, const char *target,
		   const char *content_type, int fd, struct err *err)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return err_sys(err, "cannot read the input");
	off_t at = S_ISREG(st.st_mode) ? lseek(fd, 0, SEEK_CUR) : -1;
	int rc = make_ready(c, err);
	if (rc < 0)
		return rc;
	c->upload = malloc(sizeof(*c->upload));
	if (!c->upload)
		return err_set(err, ENOMEM, "out of memory");
	memset(c->upload, 0, offsetof(struct upload, buf));
	c->upload->src_fd = fd;
	c->upload->chunked = at < 0;
	c->upload->is_pipe = S_ISFIFO(st.st_mode);
	char fields[256];
	widen(c->fd);
	if (at < 0) {
		(void)snprintf(fields, sizeof(fields),
			       "Content-Type: %s\r\nTransfer-Encoding: chunked\r\n", content_type);
	} else {
		c->upload->left = at < st.st_size ? (uint64_t)(st.st_size - at) : 0;
		c->upload->at_end = c->upload->left == 0;
		(void)snprintf(fields, sizeof(fields),
			       "Content-Type: %s\r\nContent-Length: %llu\r\n", content_type,
			       (unsigned long long)c->upload->left);
	}
	return send_head(c, method, target, fields, NULL, 0, err);
}

static void frame_chunk(struct upload *u, size_t size)
{
	char line[CHUNK_HEAD + 1];
	int n = snprintf(line, sizeof(line), "%zx\r\n", size);
	u->begin = CHUNK_HEAD - (size_t)n;
	memcpy(u->buf + u->begin, line, (size_t)n);
	memcpy(u->buf + CHUNK_HEAD + size, "\r\n", CHUNK_TAIL);
	u->end = CHUNK_HEAD + size + CHUNK_TAIL;
}

/* Begins a chunk of what is in the pipe. 1, or 0 when nothing is: its end. */
static int begin_splice(struct upload *u)
{
	int n = 0;
	if (!u->is_pipe || ioctl(u->src_fd, FIONREAD, &n) < 0 || n <= 0)
		return 0;
	u->begin = 0;
	u->end = (size_t)snprintf(u->buf, sizeof(u->buf), "%x\r\n", (unsigned int)n);
	u->splice = (size_t)n;
	return 1;
}

/* splice(2) as send(2) with MSG_NOSIGNAL and MSG_DONTWAIT. */
static ssize_t splice_quietly(int from, int to, size_t size)
{
	sigset_t pipe, before, waiting;
	struct timespec now = { 0, 0 };
	(void)sigemptyset(&pipe);
	(void)sigaddset(&pipe, SIGPIPE);
	(void)sigpending(&waiting);
	(void)pthread_sigmask(SIG_BLOCK, &pipe, &before);
	(void)fd_set_nonblock(to, true);
	ssize_t n = splice(from, NULL, to, NULL, size, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	int saved = errno;
	if (n < 0 && saved == EPIPE && !sigismember(&waiting, SIGPIPE))
		(void)sigtimedwait(&pipe, NULL, &now);
	(void)fd_set_nonblock(to, false);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	errno = saved;
	return n;
}

/* Reads the next piece of the input. */
static int refill_upload(struct upload *u, struct err *err)
{
	if (begin_splice(u))
		return 0;
	size_t room = sizeof(u->buf) - CHUNK_HEAD - CHUNK_TAIL;
	if (!u->chunked && u->left < room)
		room = (size_t)u->left;
	ssize_t n = read(u->src_fd, u->buf + CHUNK_HEAD, room);
	if (n < 0)
		return errno == EINTR || errno == EAGAIN ? 0
							 : err_sys(err, "cannot read the input");
	if (u->chunked) {
		/* An empty chunk is the end; its CRLF ends the (empty) trailer. */
		frame_chunk(u, (size_t)n);
		u->at_end = n == 0;
		return 0;
	}
	if (n == 0)
		return err_set(err, EIO, "the input file became shorter while it was sent");
	u->begin = CHUNK_HEAD;
	u->end = CHUNK_HEAD + (size_t)n;
	u->left -= (uint64_t)n;
	u->at_end = u->left == 0;
	return 0;
}

static int drain_upload(struct client *c, struct err *err)
{
	struct upload *u = c->upload;
	bool framed = u->begin < u->end;
	ssize_t n = framed ? send(c->fd, u->buf + u->begin, u->end - u->begin,
				  MSG_NOSIGNAL | MSG_DONTWAIT)
			   : splice_quietly(u->src_fd, c->fd, u->splice);
	if (n >= 0 && framed) {
		u->begin += (size_t)n;
		return 0;
	}
	if (n > 0) {
		u->splice -= (size_t)n;
		if (u->splice == 0) {
			memcpy(u->buf, "\r\n", CHUNK_TAIL);
			u->begin = 0;
			u->end = CHUNK_TAIL;
		}
		return 0;
	}
	if (n == 0)
		return err_set(err, EIO, "the input was read by somebody else, too");
	if (errno == EAGAIN || errno == EINTR)
		return 0;
	if (errno != EPIPE && errno != ECONNRESET)
		return err_sys(err, "cannot send to isolad");
	/* Refused half-way: the answer says why. */
	u->begin = u->end = u->splice = 0;
	u->at_end = true;
	c->keep_open = false;
	return 0;
}

int client_pump(struct client *c, struct err *err)
{
	while (c->upload) {
		struct upload *u = c->upload;
		bool pending = u->begin < u->end || u->splice > 0;
		if (!pending && u->at_end) {
			free(take_ptr(c->upload));
			break;
		}
		struct pollfd p[2] = {
			{ .fd = c->fd, .events = (short)(POLLIN | (pending ? POLLOUT : 0)) },
			{ .fd = pending ? -1 : u->src_fd, .events = POLLIN },
		};
		if (poll(p, 2, -1) < 0) {
			if (errno == EINTR)
				continue;
			return err_sys(err, "cannot wait for isolad");
		}
		int rc = 0;
		if (p[0].revents & POLLOUT)
			rc = drain_upload(c, err);
		else if (p[1].revents)
			rc = refill_upload(u, err);
		if (rc < 0)
			return rc;
		if (p[0].revents & (POLLIN | POLLHUP | POLLERR))
			return 0;
	}
	return 0;
}

/* ---- whole requests ---- */

int client_call(struct client *c, const char *method, const char *target, json_object *body,
		json_object **ret_result, struct err *err)
{
	int rc = client_send(c, method, target, body, err);
	if (rc < 0)
		return rc;
	int status = client_receive(c, err);
	if (status < 0)
		return status;
	if (status >= 400)
		return client_fail(c, err);
	json_object *result = NULL;
	if (!strcmp(c->content_type, "application/json") && c->body != BODY_NONE) {
		rc = client_read_json(c, &result, err);
		if (rc < 0)
			return rc;
	}
	/* What nobody reads must not be taken for the next answer. */
	char rest[512];
	ssize_t n;
	while ((n = client_read(c, rest, sizeof(rest), err)) > 0)
		;
	if (n < 0) {
		json_object_put(result);
		return (int)n;
	}
	if (ret_result)
		*ret_result = take_ptr(result);
	json_object_put(result);
	return status;
}

int client_send_upgrade(struct client *c, const char *method, const char *target,
			const char *protocol, json_object *body, struct err *err)
{
	char fields[64];
	(void)snprintf(fields, sizeof(fields), "Connection: Upgrade\r\nUpgrade: %s\r\n", protocol);
	return send_json(c, method, target, fields, body, err);
}

/* Reads a head and leaves what follows in the socket: looks (MSG_PEEK), then
 * takes only what belongs to the head. */
static int receive_exactly(struct client *c, struct err *err)
{
	c->begin = c->end = 0;
	for (;;) {
		ssize_t n = recv(c->fd, c->buf + c->end, sizeof(c->buf) - c->end, MSG_PEEK);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, "cannot read isolad's answer");
		if (n == 0)
			return err_set(err, ECONNRESET,
				       c->end == sizeof(c->buf)
					       ? "isolad's answer has too long a head"
					       : "isolad closed the connection without an answer");
		size_t from = c->end > 3 ? c->end - 3 : 0;
		char *stop = memmem(c->buf + from, c->end + (size_t)n - from, "\r\n\r\n", 4);
		size_t take = stop ? (size_t)(stop + 4 - (c->buf + c->end)) : (size_t)n;
		if (recv(c->fd, c->buf + c->end, take, 0) != (ssize_t)take)
			return err_set(err, EIO, "cannot read isolad's answer");
		c->end += take;
		if (stop)
			break;
	}
	size_t size = c->end;
	c->end = 0;
	return client_parse_head(c, c->buf, size, err);
}

int client_hijack(struct client *c, const char *target, json_object *body, int *ret_fd,
		  bool *ret_mux, struct err *err)
{
	int rc = client_send_upgrade(c, "POST", target, "tcp", body, err);
	if (rc == 0)
		rc = receive_exactly(c, err);
	if (rc < 0) {
		client_disconnect(c);
		return rc;
	}
	if (c->status >= 400)
		return client_fail(c, err);
	if (c->status != 101 && c->status != 200) {
		int status = c->status;
		client_disconnect(c);
		return err_set(err, EPROTO, "isolad answered %d where a stream was asked for",
			       status);
	}
	int status = c->status;
	if (ret_mux)
		*ret_mux = !strcmp(c->content_type, "application/vnd.docker.multiplexed-stream");
	*ret_fd = take_fd(&c->fd);
	client_disconnect(c);
	return status;
}
