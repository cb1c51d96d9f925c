/* SPDX-License-Identifier: Apache-2.0 */
/* client - a small blocking HTTP/1.1 client for isolad's Unix socket.
 *
 * For the command line programs: no loop, no threads, a handful of allocations,
 * links statically. One struct client is one connection, used for one request
 * after the other (it reconnects by itself where the daemon closed after an
 * answer or an answer was not read to its end); a program that waits for two
 * things makes two. Everything from the daemon is bounded and checked like any
 * foreign input. SIGPIPE is never raised. One thread at a time per client.
 *
 * The usual call:
 *	struct client_host host;
 *	if (client_host_parse(flag_or_NULL, &host, err) < 0) ...
 *	struct client *c = client_new(&host);
 *	cleanup_strbuf struct strbuf target = STRBUF_INIT;
 *	client_target_path(&target, "containers");
 *	client_target_path(&target, id);
 *	client_target_path(&target, "stop");
 *	client_target_query(&target, "t", "10");
 *	if (client_call(c, "POST", target.text, NULL, NULL, err) < 0) ... */
#pragma once

#include "isola/err.h"
#include "isola/strbuf.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define CLIENT_SOCKET_DEFAULT "/run/isola/isola.sock"
#define CLIENT_JSON_BYTES_MAX (64 * 1024 * 1024)

/* ---- where the daemon is ---- */

struct client_host {
	char path[108]; /* of the Unix socket */
};

/* @text: "unix:///path", "unix://path" or a path, as --host takes it; NULL or ""
 * asks the environment: ISOLA_SOCKET, then DOCKER_HOST, then the default.
 * -EINVAL with a text that names the source, for another scheme (tcp, ssh) or
 * a path that does not fit a socket address. */
int client_host_parse(const char *text, struct client_host *ret, struct err *err);

/* ---- request targets ---- */

/* Adds "/<segment>" percent-encoded, so that no segment can be two or leave its
 * place. */
void client_target_path(struct strbuf *target, const char *segment);
/* Adds "?key=value" or "&key=value", the value percent-encoded. */
void client_target_query(struct strbuf *target, const char *key, const char *value);

/* ---- requests ---- */

struct client;

/* X-Registry-Auth of all requests from now on (copied); NULL = none. -ENOMEM. */
int client_set_registry_auth(struct client *c, const char *text);
/* X-Registry-Config in its place, for a build. */
int client_set_registry_config(struct client *c, const char *text);

/* Connects at the first request, not here. @host is copied. NULL = no memory. */
struct client *client_new(const struct client_host *host);
/* Closes the connection. NULL is fine. */
void client_free(struct client *c);
static inline void client_cleanup(struct client **c)
{
	client_free(*c);
	*c = NULL;
}
#define cleanup_client __attribute__((cleanup(client_cleanup)))

/* The whole of a simple request: sends, reads the answer, and turns a status of
 * 400 and more into @err (text: the daemon's message; code: 404 ENOENT, 400
 * EINVAL, 409 EBUSY, 413 EMSGSIZE, 501 EOPNOTSUPP, 503 EAGAIN, others EIO).
 * @body may be NULL (borrowed). @ret_result may be NULL, else it is the owned
 * answer, NULL when that is empty or no JSON. Returns the status (200, 201,
 * 204, 304 = there was nothing to do), or -errno. When nobody listens the text
 * says how to start the daemon. */
int client_call(struct client *c, const char *method, const char *target, json_object *body,
		json_object **ret_result, struct err *err);

/* The parts of it. client_send() writes the request and returns at once, e.g.
 * for POST /containers/x/wait; client_receive() waits for the answer's head and
 * returns its status, of whatever kind: see client_fail(). */
int client_send(struct client *c, const char *method, const char *target, json_object *body,
		struct err *err);
int client_receive(struct client *c, struct err *err);
/* Reads the answer's body as an error message. To be called once when
 * client_receive() gave 400 or more; returns -errno as client_call() does. */
int client_fail(struct client *c, struct err *err);

/* Sends the bytes of @fd (borrowed, until the answer is read or c is freed) as
 * the body: an archive from a file, a pipe or a terminal. Its bytes go out while
 * client_receive() and the readers below wait, so that neither side can block
 * the other. A regular file is sent with its length, else in chunks. */
int client_send_fd(struct client *c, const char *method, const char *target,
		   const char *content_type, int fd, struct err *err);

/* ---- answers ---- */

/* Of the answer whose head came last; "" or 0 when there was none. */
int client_status(const struct client *c);
const char *client_content_type(const struct client *c); /* without parameters, lower case */

/* X-Docker-Container-Path-Stat as it came (base64 of JSON); "" without one. Borrowed
 * until the next answer. */
const char *client_path_stat(const struct client *c);

/* Body bytes, chunks already taken apart: a count, 0 at the end, or -errno
 * (-EPROTO for malformed framing, -ECONNRESET when it was cut off). */
ssize_t client_read(struct client *c, void *buf, size_t size, struct err *err);

/* The whole body as one document. */
int client_read_json(struct client *c, json_object **ret, struct err *err);

/* The next document of a stream of them (events, stats, progress): 1 with an
 * owned object, 0 at the end, or -errno. */
int client_next_json(struct client *c, json_object **ret, struct err *err);

/* Has (a part of) a further object come already, behind what client_next_json() gave? */
bool client_has_next(const struct client *c);

/* For poll(2): the socket, and whether bytes were already taken out of it
 * (then do not wait, read). -1 before the first request. */
int client_fd(const struct client *c);
bool client_is_buffered(const struct client *c);

/* ---- raw streams ---- */

/* Asks for an upgrade by GET whose answer, one line of JSON (owned), has descriptors with it
 * (owned, close-on-exec): up to *@n_fds, of which there are as many as it says then. The
 * connection (owned, close-on-exec) is given away, too: what was asked for lasts as long as
 * it is open. 0, or -errno with the daemon's message. */
int client_take_fds(struct client *c, const char *target, json_object **ret, int *ret_fds,
		    size_t *n_fds, int *ret_fd, struct err *err);

/* Asks for an upgrade (attach, exec start): sends, reads exactly the answer's
 * head and no byte more, and gives the connected socket away (owned by the
 * caller, blocking, close-on-exec); shutdown(SHUT_WR) on it ends the payload's
 * input. @c can be used for further requests, on a new connection. @ret_mux:
 * output comes in 8-byte frames (the answer's content type says so); may be
 * NULL. Returns 101 or 200, or -errno with the daemon's message. */
int client_hijack(struct client *c, const char *target, json_object *body, int *ret_fd,
		  bool *ret_mux, struct err *err);
