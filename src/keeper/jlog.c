/* SPDX-License-Identifier: Apache-2.0 */
/* jlog - see jlog.h. The records' text: splitting into lines, escaping, the
 * buffer. Where it goes is jlogfile.c's. */
#include "jlog.h"

#include "isola/fd.h"
#include "isola/num.h"
#include "isola/strbuf.h"

#include "jlogfile.h"
#include "jsonesc.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Records are handed to the file when this many bytes wait. Behind it there is
 * room for one more record of the largest size. */
#define FLUSH_BYTES  (64 * 1024)
#define HEAD         "{\"log\":\""
#define ATTRS_MAX    (8 * 1024)
#define RECORD_FRAME (sizeof(HEAD) + 128 + ATTRS_MAX)
#define RECORD_MAX   (JSONESC_GROWTH * JLOG_LINE_MAX + 8 + RECORD_FRAME)
#define BUFFER_BYTES (FLUSH_BYTES + RECORD_MAX)
#define TIME_BYTES   40
#define N_STREAMS    2

struct stamp {
	int64_t ns;
	char text[TIME_BYTES];
};

/* The beginning of a line whose end has not come yet, and of what record. */
struct partial {
	char *bytes; /* JLOG_LINE_MAX, or NULL */
	size_t size;
	/* All pieces of a split line bear the time of the first; 0 = none yet. */
	int64_t since_ns;
};

struct jlog {
	struct jlogfile *file;
	char *buffer; /* BUFFER_BYTES, or NULL */
	size_t used;
	struct partial partial[N_STREAMS];
	char *tail[N_STREAMS]; /* what follows the text, up to the time */
	uint64_t dropped, reported;
	int last_errno;
};

static const char *const stream_names[N_STREAMS] = { "stdout", "stderr" };

static int make_tail(struct jlog *log, int i, json_object *attrs, struct err *err)
{
	cleanup_strbuf struct strbuf b = STRBUF_INIT;
	strbuf_printf(&b, "\",\"stream\":\"%s\",", stream_names[i]);
	if (attrs && json_object_object_length(attrs) > 0) {
		const char *text = json_object_to_json_string_ext(
			attrs, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
		if (!text || strlen(text) > ATTRS_MAX - 64)
			return err_set(err, EINVAL, "log.attrs is larger than %d bytes",
				       ATTRS_MAX - 64);
		strbuf_printf(&b, "\"attrs\":%s,", text);
	}
	strbuf_puts(&b, "\"time\":\"");
	log->tail[i] = strbuf_take(&b);
	return log->tail[i] ? 0 : err_set(err, ENOMEM, "out of memory");
}

static void jlog_free(struct jlog *log)
{
	jlogfile_close(log->file);
	free(log->buffer);
	for (int i = 0; i < N_STREAMS; i++) {
		free(log->partial[i].bytes);
		free(log->tail[i]);
	}
	free(log);
}

int jlog_open(const char *path, const struct jlog_limits *limits, json_object *attrs,
	      struct jlog **ret, struct err *err)
{
	struct jlog *log = calloc(1, sizeof(*log));
	if (!log)
		return err_set(err, ENOMEM, "out of memory");
	int rc = jlogfile_open(path, limits, &log->file, err);
	for (int i = 0; i < N_STREAMS && rc == 0; i++)
		rc = make_tail(log, i, attrs, err);
	if (rc < 0) {
		jlog_free(log);
		return rc;
	}
	*ret = log;
	return 0;
}

/* ---- records ---- */

static void drop(struct jlog *log, uint64_t records, int code)
{
	log->dropped += records;
	log->last_errno = code;
}

static uint64_t count_records(const char *text, size_t size)
{
	uint64_t n = 0;
	for (const char *p = text; (p = memchr(p, '\n', size - (size_t)(p - text))); p++)
		n++;
	return n;
}

static size_t put_record(const struct jlog *log, char *out, int stream, const char *text,
			 size_t size, const char *line_end, const char *when)
{
	char *o = stpcpy(out, HEAD);
	o += jsonesc(o, text, size);
	o = stpcpy(o, line_end);
	o = stpcpy(o, log->tail[stream]);
	o = stpcpy(o, when);
	o = stpcpy(o, "\"}\n");
	return (size_t)(o - out);
}

/* Tells in the log itself that records are missing, where they are missing. */
static int report_dropped(struct jlog *log)
{
	char when[TIME_BYTES], text[256], record[1024 + ATTRS_MAX];
	int n = snprintf(
		text, sizeof(text), "isola: %llu lines of output could not be logged here: %s",
		(unsigned long long)(log->dropped - log->reported), strerror(log->last_errno));
	size_t size = put_record(log, record, JLOG_STDERR, text, (size_t)n, "\\n",
				 num_format_time(num_now_ns(), when, sizeof(when)));
	int rc = jlogfile_write(log->file, record, size, NULL);
	if (rc == 0)
		log->reported = log->dropped;
	return rc;
}

static void flush(struct jlog *log)
{
	if (log->used == 0)
		return;
	size_t written = 0;
	int rc = log->dropped > log->reported ? report_dropped(log) : 0;
	if (rc == 0)
		rc = jlogfile_write(log->file, log->buffer, log->used, &written);
	if (rc < 0)
		drop(log, count_records(log->buffer + written, log->used - written), -rc);
	log->used = 0;
}

static void add_record(struct jlog *log, int stream, const char *text, size_t size, bool ends,
		       const char *when)
{
	if (!log->buffer)
		log->buffer = malloc(BUFFER_BYTES);
	if (!log->buffer) {
		drop(log, 1, ENOMEM);
		return;
	}
	char *out = log->buffer + log->used;
	size_t n = put_record(log, out, stream, text, size, ends ? "\\n" : "", when);
	if (jlogfile_is_full(log->file, log->used, n)) {
		/* This record opens the next file, unless (with a full disk) the
		 * current one is still empty. */
		flush(log);
		int rc = jlogfile_is_full(log->file, 0, n) ? jlogfile_rotate(log->file) : 0;
		if (rc < 0)
			log->last_errno = -rc;
		memmove(log->buffer, out, n);
	}
	log->used += n;
	if (log->used >= FLUSH_BYTES)
		flush(log);
}

/* ---- lines ---- */

/* Keeps bytes of an unfinished line; they fit, as a line is split in time. */
static bool keep(struct jlog *log, struct partial *p, const char *data, size_t size)
{
	if (!p->bytes)
		p->bytes = malloc(JLOG_LINE_MAX);
	if (!p->bytes) {
		drop(log, 1, ENOMEM);
		p->size = 0;
		return false;
	}
	memcpy(p->bytes + p->size, data, size);
	p->size += size;
	return true;
}

/* Logs one record of @size bytes of @text; @ends: it is (the last) of a line. */
static void log_text(struct jlog *log, int stream, const char *text, size_t size, bool ends,
		     const struct stamp *now)
{
	struct partial *p = &log->partial[stream];
	struct stamp first;
	if (p->since_ns) {
		first.ns = p->since_ns;
		num_format_time(first.ns, first.text, sizeof(first.text));
		now = &first;
	}
	p->since_ns = ends ? 0 : now->ns;
	add_record(log, stream, text, size, ends, now->text);
}

/* The line ends behind @size bytes of @data. */
static void end_line(struct jlog *log, int stream, const char *data, size_t size,
		     const struct stamp *now)
{
	struct partial *p = &log->partial[stream];
	if (p->size == 0) {
		log_text(log, stream, data, size, true, now);
	} else if (keep(log, p, data, size)) {
		log_text(log, stream, p->bytes, p->size, true, now);
		p->size = 0;
	}
}

/* The line is as long as a record may be: logs what there is of it, but never
 * half a character. Returns how much of @data was taken. */
static size_t split_line(struct jlog *log, int stream, const char *data, size_t size,
			 const struct stamp *now)
{
	struct partial *p = &log->partial[stream];
	size_t cut;
	if (p->size == 0) {
		cut = jsonesc_cut(data, size);
		log_text(log, stream, data, cut, false, now);
		return cut;
	}
	if (!keep(log, p, data, size))
		return size;
	cut = jsonesc_cut(p->bytes, p->size);
	log_text(log, stream, p->bytes, cut, false, now);
	p->size -= cut;
	memmove(p->bytes, p->bytes + cut, p->size);
	return size;
}

void jlog_write(struct jlog *log, enum jlog_stream stream, const char *data, size_t size)
{
	struct stamp now = { .ns = num_now_ns() };
	num_format_time(now.ns, now.text, sizeof(now.text));
	while (size > 0) {
		size_t room = JLOG_LINE_MAX - log->partial[stream].size;
		size_t n = size < room ? size : room;
		const char *nl = memchr(data, '\n', n);
		if (nl) {
			n = (size_t)(nl - data);
			end_line(log, (int)stream, data, n, &now);
			n++;
		} else if (n == room) {
			n = split_line(log, (int)stream, data, n, &now);
		} else {
			(void)keep(log, &log->partial[stream], data, n);
		}
		data += n;
		size -= n;
	}
	flush(log);
}

void jlog_end(struct jlog *log, enum jlog_stream stream)
{
	struct partial *p = &log->partial[stream];
	if (p->size > 0) {
		struct stamp now = { .ns = num_now_ns() };
		num_format_time(now.ns, now.text, sizeof(now.text));
		log_text(log, (int)stream, p->bytes, p->size, false, &now);
	}
	p->size = 0;
	p->since_ns = 0;
	flush(log);
}

void jlog_trim(struct jlog *log)
{
	free(log->buffer);
	log->buffer = NULL;
	for (int i = 0; i < N_STREAMS; i++) {
		if (log->partial[i].size > 0)
			continue;
		free(log->partial[i].bytes);
		log->partial[i].bytes = NULL;
	}
}

void jlog_limit(struct jlog *log, const struct jlog_limits *limits)
{
	jlogfile_limit(log->file, limits);
}

uint64_t jlog_dropped(const struct jlog *log, int *ret_errno)
{
	*ret_errno = log->last_errno;
	return log->dropped;
}

void jlog_close(struct jlog *log)
{
	if (!log)
		return;
	jlog_end(log, JLOG_STDOUT);
	jlog_end(log, JLOG_STDERR);
	jlog_free(log);
}
