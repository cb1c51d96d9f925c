/* SPDX-License-Identifier: Apache-2.0 */
/* spec_get - typed members of config.json whose errors name their JSON path
 * ("linux.namespaces[2].type: ..."). Only for the spec_*.c files. */
#pragma once

#include "isola/err.h"

#include "spec_mem.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

struct spec_cx {
	struct spec_mem *mem;
	struct err *err;
};

/* A place in the document. Lives on the stack of whoever descends; the text is
 * only made when something is wrong. */
struct at {
	const struct at *up; /* NULL: the top */
	const char *name;    /* NULL: item @index of an array */
	size_t index;
};

/* Sets the error "<path of at>.<key>: <text>"; @key may be NULL. -EINVAL. */
int spec_fail(struct spec_cx *cx, const struct at *at, const char *key, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* The same with -EOPNOTSUPP: valid, but neither we nor this host can do it. */
int spec_unsupported(struct spec_cx *cx, const struct at *at, const char *key, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* Zeroed memory of the spec, or NULL with the error set. */
void *spec_new(struct spec_cx *cx, size_t n, size_t size);

/* Members of @o: 1 and the value, 0 when absent or null (@ret untouched), or
 * -EINVAL with the error set. Strings never hold a NUL byte. */
int spec_str(struct spec_cx *cx, const struct at *at, json_object *o, const char *key,
	     const char **ret);
int spec_int(struct spec_cx *cx, const struct at *at, json_object *o, const char *key, int64_t min,
	     int64_t max, int64_t *ret);
int spec_u64(struct spec_cx *cx, const struct at *at, json_object *o, const char *key,
	     uint64_t *ret);
int spec_bool(struct spec_cx *cx, const struct at *at, json_object *o, const char *key, bool *ret);
int spec_obj(struct spec_cx *cx, const struct at *at, json_object *o, const char *key,
	     json_object **ret);
int spec_arr(struct spec_cx *cx, const struct at *at, json_object *o, const char *key,
	     json_object **ret);

/* As above, where absence is an error. 1 or -EINVAL. */
int spec_need_str(struct spec_cx *cx, const struct at *at, json_object *o, const char *key,
		  const char **ret);
int spec_need_int(struct spec_cx *cx, const struct at *at, json_object *o, const char *key,
		  int64_t min, int64_t max, int64_t *ret);

/* As spec_str(), but "" counts as absent: callers written in Go send it. */
int spec_text(struct spec_cx *cx, const struct at *at, json_object *o, const char *key,
	      const char **ret);

/* An array of strings as a vector that ends with NULL; { NULL } when absent.
 * 1, 0 or -errno; @ret_n may be NULL. */
int spec_strv(struct spec_cx *cx, const struct at *at, json_object *o, const char *key, char ***ret,
	      size_t *ret_n);

/* The same, every string an absolute path. */
int spec_path_strv(struct spec_cx *cx, const struct at *at, json_object *o, const char *key,
		   char ***ret, size_t *ret_n);

/* Checks that @path begins with "/" and is no longer than the kernel takes. */
int spec_check_path(struct spec_cx *cx, const struct at *at, const char *key, const char *path);

/* An array of objects, at most @max, each read by @item into @size bytes. */
typedef int spec_item_fn(struct spec_cx *cx, const struct at *at, json_object *o, void *ret);
int spec_items(struct spec_cx *cx, const struct at *at, json_object *o, const char *key, size_t max,
	       size_t size, spec_item_fn *item, void *ret_items, size_t *ret_n);

/* Words with a meaning. */
struct spec_word {
	const char *word;
	uint64_t value;
};

/* Looks @text up; on failure "<path>.<key>: unknown <what> "<text>"". */
int spec_find_word(struct spec_cx *cx, const struct at *at, const char *key, const char *what,
		   const struct spec_word *words, size_t n, const char *text, uint64_t *ret);

#define SPEC_N(array) (sizeof(array) / sizeof((array)[0]))
