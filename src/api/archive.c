/* SPDX-License-Identifier: Apache-2.0 */
/* archive - files into and out of containers. isolad writes the head of an answer;
 * the bytes go between the client's socket and isola-image, and never through
 * here. Docker Engine API 1.47, "Containers": archive, export, changes. isolad,
 * loop thread. */
#include "conn.h"
#include "router.h"
#include "routes.h"

#include "isola/base64.h"
#include "isola/fd.h"
#include "isola/json.h"
#include "isola/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define STAT_FIELD "X-Docker-Container-Path-Stat"

static const char *path_of(struct exchange *x)
{
	const char *path = query_get(&x->query, "path");
	if (!path || !*path)
		reply_error(x, 400, "the parameter path is missing");
	return path && *path ? path : NULL;
}

static int set_stat_field(struct exchange *x, json_object *stat)
{
	struct strbuf b = STRBUF_INIT;
	const char *text = json_object_to_json_string_ext(
		stat, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	cleanup_free char *packed = text ? base64_encode(text, strlen(text)) : NULL;
	if (!packed)
		return -ENOMEM;
	strbuf_printf(&b, STAT_FIELD ": %s\r\n", packed);
	x->long_fields = strbuf_take(&b);
	return x->long_fields ? 0 : -ENOMEM;
}

/* ---- HEAD ---- */

static void on_stat(void *arg, const struct err *err, json_object *result)
{
	struct exchange *x = arg;
	if (err)
		reply_err(x, err);
	else if (set_stat_field(x, result) < 0)
		reply_error(x, 500, "out of memory");
	else
		reply_text(x, 200, "application/json", "", 0);
	exchange_unref(x);
}

void containers_stat_path(struct exchange *x)
{
	struct instance *inst = route_instance(x);
	const char *path = inst ? path_of(x) : NULL;
	if (path)
		instance_stat_path(inst, path, on_stat, exchange_ref(x));
}

/* ---- GET ---- */

static void on_ready(void *arg, struct copy *copy, json_object *stat)
{
	struct exchange *x = arg;
	bool json = strstr(x->route->pattern, "/changes") != NULL, chunked = false;
	int fd = strstr(x->route->pattern, "/archive") ? set_stat_field(x, stat) : 0;
	x->on_gone = NULL;
	if (fd == 0)
		fd = stream_take_plain(x, json ? "application/json" : "application/x-tar",
				       &chunked);
	if (fd >= 0)
		copy_give(copy, fd, chunked);
	else
		copy_cancel(copy);
}

static void on_read(void *arg, const struct err *err, json_object *result)
{
	struct exchange *x = arg;
	(void)result;
	if (err && x->replied)
		log_warn(NULL, "api: %s ended early: %s", x->url.text, err->text);
	else if (err)
		reply_err(x, err);
	exchange_unref(x);
}

void containers_get_archive(struct exchange *x)
{
	struct instance *inst = route_instance(x);
	const char *path = inst ? path_of(x) : NULL;
	if (path)
		instance_read_files(inst, COPY_PATH, path, on_ready, on_read, exchange_ref(x));
}

void containers_export(struct exchange *x)
{
	struct instance *inst = route_instance(x);
	if (inst)
		instance_read_files(inst, COPY_EXPORT, NULL, on_ready, on_read, exchange_ref(x));
}

void containers_changes(struct exchange *x)
{
	struct instance *inst = route_instance(x);
	if (inst)
		instance_read_files(inst, COPY_CHANGES, NULL, on_ready, on_read, exchange_ref(x));
}

/* ---- images ---- */

/* Ours: "docker-archive" (which is an OCI layout, too; the default) or
 * "oci-archive". */
static void save(struct exchange *x, json_object *names)
{
	const char *format = query_get(&x->query, "format");
	bool oci = format && !strcmp(format, "oci-archive");
	if (format && *format && !oci && strcmp(format, "docker-archive") != 0)
		reply_error(x, 400, "format must be docker-archive or oci-archive, not %.50s",
			    format);
	else if (json_len(names) == 0)
		reply_error(x, 400, "the parameter names is missing");
	else
		image_save(x->isolad, names, oci, on_ready, on_read, exchange_ref(x));
}

void images_get(struct exchange *x)
{
	cleanup_json json_object *names = query_list(x, "names");
	save(x, names);
}

void images_get_one(struct exchange *x)
{
	cleanup_json json_object *names = json_object_new_array();
	(void)json_object_array_add(names, json_object_new_string(x->param[0]));
	save(x, names);
}

/* ---- PUT ---- */

static int take_body(struct exchange *x, struct copy_put *put, int *ret_fd, struct err *err)
{
	const http_parser *parser = &x->conn->parser;
	const char *head = "";
	put->chunked = parser->flags & F_CHUNKED;
	put->length = put->chunked || !x->has_body ? 0 : parser->content_length;
	int rc = stream_take_body(x, ret_fd, &head, &put->head_size, err);
	put->head = head;
	put->fd = *ret_fd;
	return rc;
}

void containers_put_archive(struct exchange *x)
{
	struct err err = ERR_INIT;
	struct instance *inst = route_instance(x);
	const char *path = inst ? path_of(x) : NULL;
	cleanup_fd int fd = -1;
	struct copy_put put = {
		.path = path,
		.keep_kinds = request_bool(x, "noOverwriteDirNonDir", false),
		.to_user = request_bool(x, "copyUIDGID", false),
	};
	if (!path)
		return;
	if (take_body(x, &put, &fd, &err) < 0)
		reply_err(x, &err);
	else
		instance_write_files(inst, &put, done_ok_empty, exchange_ref(x));
}
