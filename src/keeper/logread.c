/* SPDX-License-Identifier: Apache-2.0 */
/* logread - see logread.h. */
#include "logread.h"

#include "isola/fd.h"
#include "isola/num.h"

#include "logargs.h"
#include "logline.h"
#include "logout.h"
#include "logset.h"
#include "logtail.h"
#include "logwatch.h"
#include "sandbox.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUFFER_BYTES ((size_t)128 * 1024)
/* A longer line is none of ours, and skipped. */
#define LINE_MAX_BYTES ((size_t)2 * 1024 * 1024)
/* Rotated files that a slow follower may keep on the disk. */
#define FILES_BEHIND  8
#define DETAILS_BYTES 8192

struct reader {
	struct logargs args;
	struct logset set;
	struct logwatch watch;
	struct logout out;
	size_t file; /* being read, index in the set */
	off_t offset;
	char *buffer; /* what is at @offset */
	size_t used, cap;
	off_t limit;   /* of the newest file, when not following; -1 = none */
	bool skipping; /* within a line that is too long */
	bool past_until;
	bool stirred; /* events were taken while the client was slow */
	size_t lost;  /* files given up, to be told */
};

/* ---- one record ---- */

static int put_time(struct reader *r, const struct logline *l, char *buf, size_t size)
{
	int64_t ns;
	if (!r->args.timestamps)
		return 0;
	/* Fixed width, as `docker logs -t`. */
	if (l->time_size == 30)
		return snprintf(buf, size, "%.30s ", l->time);
	char text[40];
	if (logline_time(l, &ns) < 0)
		return 0;
	return snprintf(buf, size, "%s ", num_format_time(ns, text, sizeof(text)));
}

static int put_record(struct reader *r, struct logline *l)
{
	char when[64], details[DETAILS_BYTES + 1];
	size_t n_when = (size_t)put_time(r, l, when, sizeof(when)), n_details = 0;
	if (r->args.details) {
		n_details = logline_details(l, details, DETAILS_BYTES);
		details[n_details++] = ' ';
	}
	int rc = logout_frame(&r->out, l->is_stderr, n_when + n_details + l->size);
	if (rc == 0)
		rc = logout_put(&r->out, when, n_when);
	if (rc == 0)
		rc = logout_put(&r->out, details, n_details);
	return rc < 0 ? rc : logout_put(&r->out, l->text, l->size);
}

static int take_line(struct reader *r, char *line, size_t size)
{
	struct logline l;
	if (logline_parse(line, size, &l) < 0)
		return 0;
	if (r->args.since_ns || r->args.until_ns) {
		int64_t ns = 0;
		if (logline_time(&l, &ns) < 0)
			return 0;
		if (r->args.until_ns && ns > r->args.until_ns) {
			r->past_until = true;
			return 0;
		}
		if (r->args.since_ns && ns < r->args.since_ns)
			return 0;
	}
	if (l.is_stderr ? !r->args.want_stderr : !r->args.want_stdout)
		return 0;
	return put_record(r, &l);
}

/* ---- reading ---- */

static void go_to(struct reader *r, size_t file, off_t offset)
{
	r->file = file;
	r->offset = offset;
	r->used = 0;
	r->skipping = false;
}

/* Reads on behind what is in the buffer. 1 with more, 0 at the end of the file,
 * -errno. */
static int fill(struct reader *r)
{
	if (r->used == r->cap && r->cap < LINE_MAX_BYTES) {
		char *more = realloc(r->buffer, r->cap * 2);
		if (!more)
			return -ENOMEM;
		r->buffer = more;
		r->cap *= 2;
	} else if (r->used == r->cap) {
		r->offset += (off_t)r->used;
		r->used = 0;
		r->skipping = true;
	}
	size_t room = r->cap - r->used;
	off_t at = r->offset + (off_t)r->used;
	if (r->limit >= 0 && r->file + 1 == r->set.n && r->limit - at < (off_t)room)
		room = r->limit > at ? (size_t)(r->limit - at) : 0;
	ssize_t n = pread(r->set.files[r->file].fd, r->buffer + r->used, room, at);
	if (n < 0)
		return -errno;
	r->used += (size_t)n;
	return n > 0;
}

/* Takes the complete lines out of the buffer. */
static int take_lines(struct reader *r)
{
	size_t at = 0;
	int rc = 0;
	char *nl;
	while (rc == 0 && !r->past_until && (nl = memchr(r->buffer + at, '\n', r->used - at))) {
		size_t size = (size_t)(nl - (r->buffer + at));
		if (!r->skipping)
			rc = take_line(r, r->buffer + at, size);
		r->skipping = false;
		at += size + 1;
	}
	r->offset += (off_t)at;
	r->used -= at;
	memmove(r->buffer, r->buffer + at, r->used);
	return rc;
}

/* Reads the current file to its end. An unfinished line is forgotten: it is read
 * again when there is more of it, as its writer may take it back. */
static int read_file(struct reader *r)
{
	int rc;
	while ((rc = fill(r)) > 0 && !r->past_until) {
		rc = take_lines(r);
		if (rc < 0)
			return rc;
	}
	r->used = 0;
	return rc;
}

/* A follower that is too slow must not keep more and more rotated files from
 * being freed: the oldest of those it has not begun with are given up. */
static void limit_files(struct reader *r)
{
	while (r->set.n - r->file > FILES_BEHIND + 1) {
		logset_drop(&r->set, r->file + 1);
		r->lost++;
	}
}

static int tell_lost(struct reader *r)
{
	char text[128];
	size_t lost = r->lost;
	r->lost = 0;
	if (lost == 0 || !r->args.want_stderr)
		return 0;
	int n = snprintf(text, sizeof(text),
			 "isola: %zu log files were skipped: this reader is too slow\n", lost);
	int rc = logout_frame(&r->out, true, (size_t)n);
	return rc < 0 ? rc : logout_put(&r->out, text, (size_t)n);
}

/* The next file, if there is one. Files that were read are closed. */
static int next_file(struct reader *r)
{
	go_to(r, r->file + 1, 0);
	for (; r->file > 0; r->file--)
		logset_drop(&r->set, 0);
	return tell_lost(r);
}

/* Sends all that there is. */
static int pump(struct reader *r)
{
	while (!r->past_until) {
		bool newer = r->file + 1 < r->set.n;
		int rc = r->set.n > 0 ? read_file(r) : 0;
		if (rc < 0)
			return rc;
		if (newer) {
			rc = next_file(r);
			if (rc < 0)
				return rc;
			continue;
		}
		/* The rest of this file was written before the next appeared:
		 * read once more, then go on there. */
		rc = r->args.follow ? logset_refresh(&r->set) : 0;
		if (rc < 0 || r->file + 1 >= r->set.n)
			return rc < 0 ? rc : logout_flush(&r->out);
	}
	return logout_flush(&r->out);
}

static int on_full(struct logout *out)
{
	struct reader *r = (struct reader *)(void *)((char *)out - offsetof(struct reader, out));
	int rc = logwatch_wait(&r->watch, out->fd, true, 0);
	r->stirred = true;
	if (rc == 0 && r->args.follow) {
		rc = logset_refresh(&r->set);
		limit_files(r);
	}
	return rc < 0 ? rc : 0;
}

static int follow(struct reader *r)
{
	for (;;) {
		/* Asked first: what was written before the end is read after it. */
		bool ended = logwatch_ended(&r->watch) ||
			     (r->args.until_ns && num_now_ns() > r->args.until_ns);
		r->stirred = false;
		int rc = pump(r);
		if (rc < 0 || ended || r->past_until)
			return rc;
		if (r->stirred)
			continue;
		rc = logwatch_wait(&r->watch, r->out.fd, false, r->args.until_ns);
		if (rc < 0)
			return rc;
	}
}

/* ---- begin ---- */

/* Files last written before --since hold nothing of interest. */
static void skip_old(struct reader *r)
{
	struct stat st;
	while (r->args.since_ns && r->set.n > 1 && fstat(r->set.files[0].fd, &st) == 0 &&
	       (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec < r->args.since_ns)
		logset_drop(&r->set, 0);
}

static int begin(struct reader *r, struct err *err)
{
	int rc = logset_open(&r->set, r->args.path, err);
	if (rc < 0)
		return rc;
	r->watch = (struct logwatch){ .inotify_fd = -1, .run_dir_fd = -1 };
	if (r->args.follow)
		logwatch_init(&r->watch, r->set.dir_fd, r->args.run_dir);
	r->cap = BUFFER_BYTES;
	r->buffer = malloc(r->cap);
	if (!r->buffer ||
	    logout_init(&r->out, r->args.fd, r->args.mux, r->args.chunked, on_full) < 0)
		return err_set(err, ENOMEM, "out of memory");
	rc = sandbox_enter(err);
	if (rc < 0)
		return rc;
	struct stat st;
	r->limit = -1;
	if (!r->args.follow && r->set.n > 0 && fstat(r->set.files[r->set.n - 1].fd, &st) == 0)
		r->limit = st.st_size;
	struct logpos pos = { .file = 0, .offset = 0 };
	if (r->args.tail >= 0) {
		rc = logtail_find(&r->set, r->args.tail, &pos);
		if (rc < 0)
			return err_rc(err, rc, "cannot read the log");
		go_to(r, pos.file, pos.offset);
	} else {
		skip_old(r);
	}
	return 0;
}

int logread_main(int argc, char **argv)
{
	struct reader r = { .set = { .dir_fd = -1 } };
	struct err err = ERR_INIT;
	if (logargs_parse(argc, argv, &r.args, &err) < 0) {
		(void)fprintf(stderr, "isola-keeper: %s\n", err.text);
		return 2;
	}
	(void)prctl(PR_SET_NAME, "isola-logs", 0, 0, 0);
	int rc = begin(&r, &err);
	if (rc == 0) {
		rc = r.args.follow ? follow(&r) : pump(&r);
		if (rc == 0)
			rc = logout_end(&r.out);
	}
	/* A client that left is no failure. */
	bool left = rc == -EPIPE || rc == -ECONNRESET;
	if (rc < 0 && !left)
		(void)fprintf(stderr, "isola-keeper: logs: %s\n",
			      err.code ? err.text : strerror(-rc));
	logout_fini(&r.out);
	free(r.buffer);
	logwatch_fini(&r.watch);
	logset_fini(&r.set);
	return rc < 0 && !left;
}
