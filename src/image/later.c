/* SPDX-License-Identifier: Apache-2.0 */
/* later - see later.h. Written by the process that unpacks a layer, read by its
 * parent, which does not trust it. */
#include "later.h"

#include "isola/fd.h"

#include <errno.h>
#include <linux/limits.h>
#include <stdlib.h>
#include <string.h>

#define BUFFER_BYTES (128 * 1024)

struct later {
	int fd;
	size_t used;
	unsigned char buf[BUFFER_BYTES];
};

/* In front of each item: then path and NUL, xattr and NUL, value. */
struct head {
	uint32_t kind, mode, uid, gid, mtime_ns, path_size, xattr_size, value_size;
	int64_t mtime_s;
};

#define ITEM_BYTES_MAX (sizeof(struct head) + PATH_MAX + XATTR_NAME_MAX + 2 + XATTR_SIZE_MAX)

int later_new(int fd, struct later **ret, struct err *err)
{
	struct later *l = malloc(sizeof(*l));
	if (!l)
		return err_set(err, ENOMEM, "out of memory");
	l->fd = fd;
	l->used = 0;
	*ret = l;
	return 0;
}

void later_free(struct later *l)
{
	free(l);
}

int later_flush(struct later *l, struct err *err)
{
	int rc = fd_write_all(l->fd, l->buf, l->used);
	if (rc < 0)
		return err_rc(err, rc, "cannot write a temporary file");
	l->used = 0;
	return 0;
}

static void put(struct later *l, const void *data, size_t size)
{
	if (size > 0)
		memcpy(l->buf + l->used, data, size);
	l->used += size;
}

int later_add(struct later *l, const struct later_item *item, struct err *err)
{
	const char *xattr = item->xattr ? item->xattr : "";
	struct head h = {
		.kind = item->kind,
		.mode = item->mode,
		.uid = item->uid,
		.gid = item->gid,
		.mtime_s = item->mtime_s,
		.mtime_ns = item->mtime_ns,
		.path_size = (uint32_t)strlen(item->path) + 1,
		.xattr_size = (uint32_t)strlen(xattr) + 1,
		.value_size = (uint32_t)item->size,
	};
	size_t size = sizeof(h) + h.path_size + h.xattr_size + h.value_size;
	if (h.path_size > PATH_MAX || size > ITEM_BYTES_MAX)
		return err_set(err, ENAMETOOLONG, "\"%.200s\" is too long", item->path);
	if (l->used + size > sizeof(l->buf)) {
		int rc = later_flush(l, err);
		if (rc < 0)
			return rc;
	}
	put(l, &h, sizeof(h));
	put(l, item->path, h.path_size);
	put(l, xattr, h.xattr_size);
	put(l, item->value, h.value_size);
	return 0;
}

/* The item at @p, of at most @left bytes. Returns its size, 0 when there is
 * not all of it yet, -EPROTO. */
static ssize_t parse(const unsigned char *p, size_t left, struct later_item *ret)
{
	struct head h;
	if (left < sizeof(h))
		return 0;
	memcpy(&h, p, sizeof(h));
	if (h.kind > LATER_ANEW || h.path_size < 1 || h.path_size > PATH_MAX || h.xattr_size < 1 ||
	    h.xattr_size > XATTR_NAME_MAX + 1 || h.value_size > XATTR_SIZE_MAX ||
	    h.mtime_ns > 999999999 || h.mode > 07777)
		return -EPROTO;
	size_t size = sizeof(h) + h.path_size + h.xattr_size + h.value_size;
	if (left < size)
		return 0;
	const char *path = (const char *)p + sizeof(h), *xattr = path + h.path_size;
	if (strnlen(path, h.path_size) != h.path_size - 1 ||
	    strnlen(xattr, h.xattr_size) != h.xattr_size - 1)
		return -EPROTO;
	*ret = (struct later_item){
		.kind = (enum later_kind)h.kind,
		.path = path,
		.mode = h.mode,
		.uid = h.uid,
		.gid = h.gid,
		.mtime_s = h.mtime_s,
		.mtime_ns = h.mtime_ns,
		.xattr = xattr,
		.value = xattr + h.xattr_size,
		.size = h.value_size,
	};
	return (ssize_t)size;
}

int later_each(int fd, later_fn *each, void *arg, struct err *err)
{
	cleanup_free unsigned char *buf = malloc(BUFFER_BYTES);
	if (!buf)
		return err_set(err, ENOMEM, "out of memory");
	if (lseek(fd, 0, SEEK_SET) < 0)
		return err_sys(err, "cannot read a temporary file");
	size_t have = 0;
	for (;;) {
		ssize_t n = fd_read_all(fd, buf + have, BUFFER_BYTES - have);
		if (n < 0)
			return err_rc(err, (int)n, "cannot read a temporary file");
		have += (size_t)n;
		size_t at = 0;
		struct later_item item;
		ssize_t size;
		while ((size = parse(buf + at, have - at, &item)) > 0) {
			int rc = each(&item, arg, err);
			if (rc < 0)
				return rc;
			at += (size_t)size;
		}
		if (size < 0 || (n == 0 && at != have))
			return err_set(err, EPROTO, "a temporary file is malformed");
		if (n == 0)
			return 0;
		have -= at;
		memmove(buf, buf + at, have);
	}
}
