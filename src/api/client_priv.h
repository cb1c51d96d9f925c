/* SPDX-License-Identifier: Apache-2.0 */
/* client_priv - what client.c (requests) and client_read.c (answers) share. */
#pragma once

#include "isola/client.h"

#include <stdint.h>

enum body_kind {
	BODY_NONE,    /* nothing (more) to read */
	BODY_LENGTH,  /* @left bytes */
	BODY_CHUNKED, /* @left bytes of the current chunk, then its line end */
	BODY_CLOSE,   /* until the daemon closes */
};

/* A body on its way out: one piece of @src_fd, framed if chunked. */
struct upload {
	int src_fd;
	bool chunked;
	uint64_t left; /* of a regular file; the daemon was told so */
	bool at_end;   /* nothing more comes from src_fd */
	bool is_pipe;  /* its bytes go to the socket without passing us */
	size_t splice; /* so many of them belong to the chunk that is begun */
	size_t begin, end;
	char buf[256 * 1024];
};

struct client {
	struct client_host host;
	int fd; /* -1 = not connected */
	int status;
	enum body_kind body;
	uint64_t left;
	bool in_chunk;  /* the current chunk's line end is still to be read */
	bool keep_open; /* another request may follow on this connection */
	char content_type[64];
	char *path_stat;          /* X-Docker-Container-Path-Stat, as it came; owned */
	char *registry_field;     /* sent with each request, or NULL; owned */
	bool is_head;             /* of the request: its answer has no body */
	struct upload *upload;    /* NULL = none */
	struct json_tokener *tok; /* of client_next_json() */
	size_t begin, end;        /* bytes taken out of the socket, not yet read */
	char buf[16384];          /* a head or a chunk's line must fit */
};

/* Sends what can be sent of the upload and waits until the socket can be read.
 * 0, or -errno. (client.c) */
int client_pump(struct client *c, struct err *err);

/* Closes the connection; the next request makes one. (client.c) */
void client_disconnect(struct client *c);
/* A request whose answer is not read by client_receive(). (client.c) */
int client_send_upgrade(struct client *c, const char *method, const char *target,
			const char *protocol, json_object *body, struct err *err);

/* Takes a parsed head's meaning out of @head (status line to empty line,
 * @size bytes). -EPROTO when malformed. (client_read.c) */
int client_parse_head(struct client *c, const char *head, size_t size, struct err *err);
