/* SPDX-License-Identifier: Apache-2.0 */
/* tarw - see isola/tarw.h. Runs in isola-image and ctrctl. */
#include "isola/tarw.h"

#include "isola/fd.h"
#include "isola/strbuf.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define BLOCK 512

struct ustar {
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], sum[8], type, link[100];
	char magic[6], version[2], user[32], group[32], major[8], minor[8], prefix[155], pad[12];
};
_Static_assert(sizeof(struct ustar) == BLOCK, "ustar header");

struct tarw {
	tarw_write_fn *write;
	void *arg;
	char *buf;
	size_t n;
	uint64_t left;    /* of the present content */
	unsigned int pad; /* behind it */
};

int tarw_new(tarw_write_fn *write, void *arg, struct tarw **ret, struct err *err)
{
	struct tarw *t = calloc(1, sizeof(*t));
	if (t)
		t->buf = malloc(TARW_BUFFER_BYTES);
	if (!t || !t->buf) {
		free(t);
		return err_set(err, ENOMEM, "out of memory");
	}
	t->write = write;
	t->arg = arg;
	*ret = t;
	return 0;
}

void tarw_free(struct tarw *t)
{
	if (!t)
		return;
	free(t->buf);
	free(t);
}

/* ---- bytes ---- */

static int flush(struct tarw *t, struct err *err)
{
	int rc = t->n > 0 ? t->write(t->arg, t->buf, t->n, err) : 0;
	t->n = 0;
	return rc;
}

static int put(struct tarw *t, const void *data, size_t size, struct err *err)
{
	const char *p = data;
	while (size > 0) {
		size_t room = TARW_BUFFER_BYTES - t->n, n = size < room ? size : room;
		memcpy(t->buf + t->n, p, n);
		t->n += n;
		p += n;
		size -= n;
		int rc = t->n == TARW_BUFFER_BYTES ? flush(t, err) : 0;
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int put_zeros(struct tarw *t, size_t size, struct err *err)
{
	static const char zeros[2 * BLOCK];
	return put(t, zeros, size, err);
}

static void begin_content(struct tarw *t, uint64_t size)
{
	t->left = size;
	t->pad = (unsigned int)(-size & (BLOCK - 1));
}

static int content_written(struct tarw *t, uint64_t size, struct err *err)
{
	t->left -= size;
	if (t->left > 0 || t->pad == 0)
		return 0;
	unsigned int pad = t->pad;
	t->pad = 0;
	return put_zeros(t, pad, err);
}

int tarw_data(struct tarw *t, const void *data, size_t size, struct err *err)
{
	if (size > t->left)
		return err_set(err, EINVAL, "more content than the header of an entry says");
	int rc = put(t, data, size, err);
	return rc < 0 ? rc : content_written(t, size, err);
}

int tarw_file(struct tarw *t, int fd, uint64_t size, struct err *err)
{
	if (size > t->left)
		return err_set(err, EINVAL, "more content than the header of an entry says");
	for (uint64_t left = size; left > 0;) {
		size_t room = TARW_BUFFER_BYTES - t->n;
		ssize_t n = read(fd, t->buf + t->n, left < room ? (size_t)left : room);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, "cannot read it");
		if (n == 0)
			return err_set(err, EIO, "it became shorter while it was read");
		t->n += (size_t)n;
		left -= (uint64_t)n;
		int rc = t->n == TARW_BUFFER_BYTES ? flush(t, err) : 0;
		if (rc < 0)
			return rc;
	}
	return content_written(t, size, err);
}

/* ---- headers ---- */

/* "<length> key=value\n", where the length counts its own digits. */
static void add_record(struct strbuf *b, const char *key, const void *value, size_t size)
{
	size_t rest = strlen(key) + size + 3, total = rest + 1, digits;
	do {
		digits = (size_t)snprintf(NULL, 0, "%zu", total);
		if (rest + digits == total)
			break;
		total = rest + digits;
	} while (true);
	strbuf_printf(b, "%zu %s=", total, key);
	strbuf_add(b, value, size);
	strbuf_putc(b, '\n');
}

static void add_text(struct strbuf *b, const char *key, const char *value)
{
	add_record(b, key, value, strlen(value));
}

static void add_number(struct strbuf *b, const char *key, uint64_t v)
{
	char text[24];
	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)v);
	add_text(b, key, text);
}

/* Octal into @field with a NUL; false when it has no room. */
static bool put_octal(char *field, size_t size, uint64_t v)
{
	char text[32];
	int n = snprintf(text, sizeof(text), "%0*llo", (int)size - 1, (unsigned long long)v);
	if (n != (int)size - 1)
		return false;
	memcpy(field, text, size);
	return true;
}

/* A field that does not fit holds zero; the pax record counts. */
static void number(char *field, size_t size, uint64_t v, struct strbuf *pax, const char *key)
{
	if (put_octal(field, size, v))
		return;
	(void)put_octal(field, size, 0);
	add_number(pax, key, v);
}

static void add_time(struct ustar *h, const struct tar_entry *e, struct strbuf *pax)
{
	bool fits = e->mtime_s >= 0 && put_octal(h->mtime, sizeof(h->mtime), (uint64_t)e->mtime_s);
	char text[48];
	if (!fits)
		(void)put_octal(h->mtime, sizeof(h->mtime), 0);
	if (fits && e->mtime_ns == 0)
		return;
	/* Before 1970 the fraction still counts upwards: -1.5 is -2 s and 500 ms. */
	if (e->mtime_s < 0 && e->mtime_ns > 0)
		(void)snprintf(text, sizeof(text), "-%lld.%09u", (long long)-(e->mtime_s + 1),
			       1000000000U - e->mtime_ns);
	else
		(void)snprintf(text, sizeof(text), "%lld.%09u", (long long)e->mtime_s, e->mtime_ns);
	add_text(pax, "mtime", text);
}

static void add_xattrs(const struct tar_entry *e, struct strbuf *pax)
{
	for (size_t i = 0; i < e->n_xattrs; i++) {
		char key[320];
		const struct tar_xattr *x = &e->xattrs[i];
		if (strchr(x->name, '=') || strchr(x->name, '\n'))
			continue;
		(void)snprintf(key, sizeof(key), "SCHILY.xattr.%s", x->name);
		add_record(pax, key, x->value, x->size);
	}
}

static void seal(struct ustar *h)
{
	memcpy(h->magic, "ustar", 6);
	memcpy(h->version, "00", 2);
	memset(h->sum, ' ', sizeof(h->sum));
	unsigned int sum = 0;
	for (size_t i = 0; i < sizeof(*h); i++)
		sum += ((unsigned char *)h)[i];
	(void)snprintf(h->sum, sizeof(h->sum) - 1, "%06o", sum & 0777777);
	h->sum[7] = ' ';
}

/* @text into a field that needs no NUL when it is full; else a pax record. */
static void put_text(char *field, size_t size, const char *text, struct strbuf *pax,
		     const char *key)
{
	size_t n = strlen(text);
	memcpy(field, text, n < size ? n : size);
	if (n > size)
		add_text(pax, key, text);
}

static const char types[] = {
	[TAR_FILE] = '0', [TAR_DIR] = '5',   [TAR_SYMLINK] = '2', [TAR_HARDLINK] = '1',
	[TAR_CHAR] = '3', [TAR_BLOCK] = '4', [TAR_FIFO] = '6',
};

static int put_pax(struct tarw *t, const struct strbuf *pax, struct err *err)
{
	struct ustar h = { .name = "PaxHeaders/entry", .type = 'x' };
	(void)put_octal(h.mode, sizeof(h.mode), 0644);
	(void)put_octal(h.uid, sizeof(h.uid), 0);
	(void)put_octal(h.gid, sizeof(h.gid), 0);
	(void)put_octal(h.size, sizeof(h.size), pax->len);
	(void)put_octal(h.mtime, sizeof(h.mtime), 0);
	seal(&h);
	begin_content(t, pax->len);
	int rc = put(t, &h, sizeof(h), err);
	return rc < 0 ? rc : tarw_data(t, pax->text, pax->len, err);
}

int tarw_entry(struct tarw *t, const struct tar_entry *e, struct err *err)
{
	struct ustar h = { .type = types[e->kind] };
	cleanup_strbuf struct strbuf pax = STRBUF_INIT, path = STRBUF_INIT;
	uint64_t size = e->kind == TAR_FILE ? e->size : 0;
	bool device = e->kind == TAR_CHAR || e->kind == TAR_BLOCK;
	if (t->left > 0)
		return err_set(err, EINVAL, "content of the entry before is missing");
	strbuf_puts(&path, e->path);
	if (e->kind == TAR_DIR && (path.len == 0 || path.text[path.len - 1] != '/'))
		strbuf_putc(&path, '/');
	if (!strbuf_ok(&path))
		return err_set(err, ENOMEM, "out of memory");
	put_text(h.name, sizeof(h.name), path.text, &pax, "path");
	put_text(h.link, sizeof(h.link), e->link ? e->link : "", &pax, "linkpath");
	(void)put_octal(h.mode, sizeof(h.mode), e->mode & 07777);
	number(h.uid, sizeof(h.uid), e->uid, &pax, "uid");
	number(h.gid, sizeof(h.gid), e->gid, &pax, "gid");
	number(h.size, sizeof(h.size), size, &pax, "size");
	/* Device numbers beyond 2^21 exist nowhere. */
	(void)put_octal(h.major, sizeof(h.major), device ? e->major : 0);
	(void)put_octal(h.minor, sizeof(h.minor), device ? e->minor : 0);
	add_time(&h, e, &pax);
	add_xattrs(e, &pax);
	seal(&h);
	if (!strbuf_ok(&pax))
		return err_set(err, ENOMEM, "out of memory");
	int rc = pax.len > 0 ? put_pax(t, &pax, err) : 0;
	if (rc == 0)
		rc = put(t, &h, sizeof(h), err);
	begin_content(t, size);
	return rc;
}

int tarw_raw(struct tarw *t, const void *data, size_t size, struct err *err)
{
	if (t->left > 0)
		return err_set(err, EINVAL, "content of the entry before is missing");
	return put(t, data, size, err);
}

int tarw_flush(struct tarw *t, struct err *err)
{
	if (t->left > 0)
		return err_set(err, EINVAL, "content of the last entry is missing");
	return flush(t, err);
}

int tarw_end(struct tarw *t, struct err *err)
{
	if (t->left > 0)
		return err_set(err, EINVAL, "content of the last entry is missing");
	int rc = put_zeros(t, 2 * (size_t)BLOCK, err);
	return rc < 0 ? rc : flush(t, err);
}
