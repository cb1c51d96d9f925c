/* SPDX-License-Identifier: Apache-2.0 */
/* parts - see parts.h. Its one half runs in the reader, the other in isola-image's jail;
 * foreign bytes in both. */
#include "parts.h"

#include "isola/fd.h"
#include "stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

enum part_type { PART_ENTRY, PART_DATA };

struct frame {
	uint32_t type, size; /* of what follows it */
};

/* Behind it: the name, its NUL, the link, its NUL. */
struct entry {
	uint32_t kind, name_size, link_size;
	uint64_t size;
};

/* ---- in the reader ---- */

static int say(int fd, uint32_t type, const void *data, size_t size, struct err *err)
{
	const struct frame frame = { type, (uint32_t)size };
	int rc = fd_write_all(fd, &frame, sizeof(frame));
	if (rc == 0)
		rc = fd_write_all(fd, data, size);
	return rc < 0 ? err_rc(err, rc, "cannot pass on the archive") : 0;
}

static int say_data(int fd, const unsigned char *data, size_t size, struct err *err)
{
	int rc = 0;
	for (size_t n; rc == 0 && size > 0; data += n, size -= n) {
		n = size < PARTS_DATA_MAX ? size : PARTS_DATA_MAX;
		rc = say(fd, PART_DATA, data, n, err);
	}
	return rc;
}

static int say_entry(int fd, const struct tar_entry *e, struct err *err)
{
	unsigned char buf[sizeof(struct entry) + 2 * PARTS_NAME_MAX];
	size_t name_size = strlen(e->path) + 1, link_size = strlen(e->link) + 1;
	if (name_size > PARTS_NAME_MAX || link_size > PARTS_NAME_MAX)
		return err_set(err, ENAMETOOLONG, "its name or its link is too long");
	const struct entry head = { e->kind, (uint32_t)name_size, (uint32_t)link_size, e->size };
	memcpy(buf, &head, sizeof(head));
	memcpy(buf + sizeof(head), e->path, name_size);
	memcpy(buf + sizeof(head) + name_size, e->link, link_size);
	return say(fd, PART_ENTRY, buf, sizeof(head) + name_size + link_size, err);
}

static int say_file(int fd, struct tar *tar, const struct tar_entry *e, struct err *err)
{
	const unsigned char *data = NULL;
	size_t n = 0;
	uint64_t offset = 0, at = 0, size = e->size;
	int rc = say_entry(fd, e, err);
	while (rc == 0 && (rc = tar_data(tar, &data, &n, &offset, err)) > 0) {
		if (offset != at)
			break;
		at += n;
		rc = say_data(fd, data, n, err);
	}
	if (rc >= 0 && at != size)
		rc = err_set(err, EINVAL, "a part of an image archive is sparse");
	return rc;
}

int parts_write(int in_fd, int out_fd, const void *arg, struct err *err)
{
	const uint64_t *bytes_max = arg;
	const struct stream_options options = { .what = "the archive",
						.quick = true,
						.plain_max = *bytes_max };
	cleanup_stream struct stream *stream = NULL;
	cleanup_tar struct tar *tar = NULL;
	const struct tar_entry *e = NULL;
	int rc = stream_new(in_fd, &options, &stream, err);
	if (rc == 0)
		rc = tar_new(stream_read, stream, &tar, err);
	while (rc == 0 && (rc = tar_next(tar, &e, err)) > 0) {
		rc = e->kind == TAR_FILE ? say_file(out_fd, tar, e, err)
					 : say_entry(out_fd, e, err);
		if (rc < 0)
			(void)err_prefix(err, "archive entry \"%.300s\"", e->path);
	}
	if (rc == 0 && !tar_has_end_mark(tar))
		rc = err_set(err, EINVAL, "%s",
			     stream_raw_bytes(stream) ? "the archive is cut off: it has no end mark"
						      : "the archive is empty");
	return rc;
}

/* ---- in the job ---- */

static int nonsense(struct err *err)
{
	return err_set(err, EPROTO, "the process that reads the archive says nonsense");
}

static int take_entry(struct parts *p, size_t size, struct err *err)
{
	struct entry e;
	if (size < sizeof(e))
		return nonsense(err);
	memcpy(&e, p->buf, sizeof(e));
	const char *name = (const char *)p->buf + sizeof(e);
	size -= sizeof(e);
	/* Both are texts: what follows counts on the NULs, and on no other. */
	if (e.kind > TAR_FIFO || !e.name_size || !e.link_size || e.name_size > size ||
	    e.link_size != size - e.name_size || strnlen(name, e.name_size) != e.name_size - 1 ||
	    strnlen(name + e.name_size, e.link_size) != e.link_size - 1)
		return nonsense(err);
	p->kind = (enum tar_kind)e.kind;
	p->size = e.size;
	p->name = name;
	p->link = name + e.name_size;
	p->data = NULL;
	p->data_size = 0;
	return 1;
}

int parts_next(struct parts *p, struct err *err)
{
	struct frame frame;
	ssize_t n = reader_data(p->reader, &frame, sizeof(frame), err);
	if (n <= 0)
		return (int)n;
	if (n != sizeof(frame) || frame.size > sizeof(p->buf) || frame.type > PART_DATA)
		return nonsense(err);
	n = reader_data(p->reader, p->buf, frame.size, err);
	if (n < 0)
		return (int)n;
	if ((size_t)n != frame.size)
		return nonsense(err);
	if (frame.type == PART_ENTRY)
		return take_entry(p, frame.size, err);
	p->data = p->buf;
	p->data_size = frame.size;
	return 1;
}
