/* SPDX-License-Identifier: Apache-2.0 */
/* layer_feed - see layer_feed.h. Foreign bytes pass through ISA-L (or zlib) and zstd here: it has a
 * blob to read and two pipes, no file, no right, no network (confine_feed()). */
#include "layer_feed.h"

#include "isola/fd.h"
#include "isola/id.h"
#include "isola/num.h"
#include "cancel.h"
#include "confine.h"
#include "stream.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TELL_NS 100000000

struct feed {
	const struct layer_input *input;
	int grow_fd; /* -1 = the blob is whole */
	int data_fd, report_fd;
	int64_t told_ns;
};

/* For struct stream_options: at the end of what there is, waits for more. */
static ssize_t read_blob(void *arg, void *buf, size_t size, struct err *err)
{
	struct feed *f = arg;
	for (;;) {
		char bytes[256];
		ssize_t n = read(f->input->fd, buf, size);
		if (n > 0 || (n == 0 && f->grow_fd < 0))
			return n;
		if (n < 0 && errno != EINTR)
			return err_sys(err, "cannot read %s", f->input->what);
		if (cancel_requested())
			return err_set(err, EINTR, "%s: cancelled", f->input->what);
		/* Its end: what came between the two reads is still to be read. */
		if (n == 0 && read(f->grow_fd, bytes, sizeof(bytes)) == 0)
			fd_close(&f->grow_fd);
	}
}

static void tell(struct feed *f, const struct feed_word *word)
{
	int64_t now = num_now_ns();
	if (!word->last && now - f->told_ns < TELL_NS)
		return;
	f->told_ns = now;
	(void)fd_write_all(f->report_fd, word, sizeof(*word));
}

static int pass_on(struct feed *f, struct stream *s, struct feed_word *word, struct err *err)
{
	const unsigned char *data = NULL;
	ssize_t n;
	while ((n = stream_next(s, &data, err)) > 0) {
		int rc = fd_write_all(f->data_fd, data, (size_t)n);
		if (rc < 0)
			return err_rc(err, rc, "cannot pass on %s", f->input->what);
		word->at = stream_raw_bytes(s);
		tell(f, word);
	}
	if (n < 0)
		return (int)n;
	return stream_plain_digest(s, word->diff_id) < 0 ? err_set(err, EIO, "SHA-256 failed") : 0;
}

static int feed(struct feed *f, int root_fd, struct feed_word *word, struct err *err)
{
	const struct stream_options options = { .what = f->input->what,
						.quick = true,
						.hash_plain = true,
						.plain_max = f->input->bytes_max,
						.read = read_blob,
						.arg = f };
	const int keep[] = { f->input->fd, root_fd, f->data_fd, f->report_fd, f->grow_fd };
	cleanup_stream struct stream *s = NULL;
	int rc = confine_feed(root_fd, keep, f->grow_fd < 0 ? 4 : 5, err);
	if (rc == 0)
		rc = stream_new(f->input->fd, &options, &s, err);
	return rc < 0 ? rc : pass_on(f, s, word, err);
}

void feed_main(const struct layer_input *input, int root_fd, int data_fd, int report_fd)
{
	struct feed f = { .input = input,
			  .grow_fd = input->grows ? input->grow_fd : -1,
			  .data_fd = data_fd,
			  .report_fd = report_fd };
	struct feed_word word = { .code = 0 };
	struct err err = ERR_INIT;
	int rc = feed(&f, root_fd, &word, &err);
	word.last = true;
	word.code = rc < 0 ? -rc : 0;
	memcpy(word.text, err.text, sizeof(word.text));
	tell(&f, &word);
	_exit(0);
}

int feed_judge(const struct feed_word *word, const struct layer_input *input, struct layer *l,
	       struct err *err)
{
	char digest[DIGEST_SIZE];
	if (word->code == EPIPE)
		return -EPIPE;
	if (word->code != 0)
		return err_set(err, word->code > 0 && word->code < 4096 ? word->code : EIO, "%.*s",
			       (int)sizeof(word->text) - 1, word->text);
	(void)snprintf(digest, sizeof(digest), "%.*s", DIGEST_SIZE - 1, word->diff_id);
	if (!id_is_digest(digest))
		return err_set(err, EIO, "%s: the unpacking process failed", input->what);
	if (*l->diff_id && strcmp(l->diff_id, digest) != 0)
		return err_set(err, EINVAL,
			       "wrong digest: the content of %s is %s, the image says %s",
			       input->what, digest, l->diff_id);
	strcpy(l->diff_id, digest);
	return 0;
}
