/* SPDX-License-Identifier: Apache-2.0 */
/* router - the table of routes and the search in it. The same rows answer
 * requests, make 404 and 405, and are checked against docs/openapi.json and the
 * tests. Pure text work, loop thread. */
#pragma once

#include "isola/err.h"

#include <stdbool.h>
#include <stddef.h>

#define API_VERSION_MAJOR       1
#define API_VERSION_MINOR       47
#define API_VERSION_MINOR_MIN   24
#define API_VERSION_MINOR_TOOLS 22 /* of /images alone */
#define API_VERSION             "1.47"
#define API_VERSION_MIN         "1.24"

struct exchange;

enum body_kind {
	BODY_NONE,   /* a body is read and dropped, as Docker does */
	BODY_JSON,   /* up to API_JSON_BYTES, collected before the handler runs */
	BODY_STREAM, /* the handler runs first and takes the bytes as they come */
};

struct route {
	unsigned int method; /* enum http_method */
	/* Segments; {x} is any one segment, {x*} one or more of them. */
	const char *pattern;
	void (*handler)(struct exchange *x);
	const char *help; /* for people: what it does */
	enum body_kind body;
	const char *query;   /* parameters it takes, comma-separated; NULL = none */
	const char *refuses; /* parameters Docker knows and we do not support yet */
	bool open_ended;     /* may last for ever: ends when the client leaves */
};

extern const struct route routes[];
extern const size_t n_routes;

/* What Docker has and we do not have yet: 501 with a text that names it. */
struct unsupported_route {
	const char *pattern;
	const char *what;
};
extern const struct unsupported_route unsupported_routes[];
extern const size_t n_unsupported_routes;

/* A target's path, split: version prefix taken off, empty segments dropped. */
#define PATH_SEGMENTS_MAX 32
struct path {
	bool has_version;
	unsigned int major, minor;
	size_t n;
	struct {
		const char *text;
		size_t size;
	} segment[PATH_SEGMENTS_MAX]; /* borrowed from the target, still escaped */
};

/* -EINVAL with a text, for a path that is none or has too many segments. */
int path_split(const char *path, size_t size, struct path *ret, struct err *err);

/* The first row that fits, or NULL. @ret_first and @ret_n: the segments the
 * pattern's variable stands for. */
const struct route *route_find(unsigned int method, const struct path *path, size_t *ret_first,
			       size_t *ret_n);

/* The methods that @path has, as for Allow ("GET, HEAD"); false if none. */
bool route_allow(const struct path *path, char *ret, size_t size);

/* What an unsupported path would be, or NULL. */
const char *route_unsupported(const struct path *path);

/* Is @name in the comma-separated @names? */
bool name_in(const char *names, const char *name);
