/* SPDX-License-Identifier: Apache-2.0 */
/* tar - see tar.h. The walk over headers, bodies and content. Foreign bytes:
 * runs in isola-image's jail (layers: in a process of their own). */
#include "isola/tar.h"

#include "isola/fd.h"
#include "tar_header.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct tar {
	tar_read_fn *read;
	void *arg;
	const unsigned char *p; /* what the stream gave and nobody took yet */
	size_t n;
	uint64_t at; /* offset of p in the archive */
	struct tar_meta m;
	unsigned char block[TAR_BLOCK_BYTES];
	uint64_t left; /* of the present content, in the archive */
	unsigned int pad;
	size_t region;        /* being read; regions == 0: plain content */
	uint64_t region_done; /* bytes of it */
	bool ended, has_mark;
};

int tar_clean_name(const char *text, char ret[PATH_MAX], struct err *err)
{
	size_t n = 0;
	if (!*text)
		return err_set(err, EINVAL, "an entry has an empty name");
	for (const char *p = text; *p;) {
		while (*p == '/')
			p++;
		size_t len = strcspn(p, "/");
		if (len == 2 && p[0] == '.' && p[1] == '.')
			return err_set(err, EINVAL, "\"%.300s\" holds \"..\"", text);
		if (len > NAME_MAX || n + len + 2 > PATH_MAX)
			return err_set(err, ENAMETOOLONG, "the name \"%.300s...\" is too long",
				       text);
		if (len > 0 && !(len == 1 && p[0] == '.')) {
			if (n > 0)
				ret[n++] = '/';
			memcpy(ret + n, p, len);
			n += len;
		}
		p += len;
	}
	ret[n] = '\0';
	return 0;
}

int tar_new(tar_read_fn *read, void *arg, struct tar **ret, struct err *err)
{
	struct tar *t = calloc(1, sizeof(*t));
	if (!t)
		return err_set(err, ENOMEM, "out of memory");
	t->read = read;
	t->arg = arg;
	*ret = t;
	return 0;
}

void tar_free(struct tar *t)
{
	if (!t)
		return;
	tar_meta_fini(&t->m);
	free(t);
}

bool tar_has_end_mark(const struct tar *t)
{
	return t->has_mark;
}

static int cut_off(struct err *err)
{
	return err_set(err, EINVAL, "the tar archive is cut off");
}

static void advance(struct tar *t, size_t size)
{
	t->p += size;
	t->n -= size;
	t->at += size;
}

/* Makes sure that a byte is there. 1, or 0 at the end of the stream. */
static int have(struct tar *t, struct err *err)
{
	if (t->n > 0)
		return 1;
	ssize_t n = t->read(t->arg, &t->p, err);
	if (n <= 0)
		return (int)n;
	t->n = (size_t)n;
	return 1;
}

/* Copies @size bytes. Returns how many there were. */
static ssize_t take(struct tar *t, void *ret, size_t size, struct err *err)
{
	size_t got = 0;
	while (got < size) {
		int rc = have(t, err);
		if (rc < 0)
			return rc;
		if (rc == 0)
			break;
		size_t n = size - got < t->n ? size - got : t->n;
		memcpy((char *)ret + got, t->p, n);
		advance(t, n);
		got += n;
	}
	return (ssize_t)got;
}

static int take_all(struct tar *t, void *ret, size_t size, struct err *err)
{
	ssize_t n = take(t, ret, size, err);
	if (n < 0)
		return (int)n;
	return (size_t)n == size ? 0 : cut_off(err);
}

static int skip(struct tar *t, uint64_t size, struct err *err)
{
	while (size > 0) {
		int rc = have(t, err);
		if (rc <= 0)
			return rc < 0 ? rc : cut_off(err);
		size_t n = size < t->n ? (size_t)size : t->n;
		advance(t, n);
		size -= n;
	}
	return 0;
}

static unsigned int padding(uint64_t size)
{
	return (unsigned int)(-size & (TAR_BLOCK_BYTES - 1));
}

/* Nothing but zeros may follow the end mark: other bytes would be content that
 * some readers see and others do not. */
static int read_tail(struct tar *t, struct err *err)
{
	int rc;
	t->ended = true;
	while ((rc = have(t, err)) > 0) {
		if (*t->p != 0 || memcmp(t->p, t->p + 1, t->n - 1) != 0)
			return err_set(err, EINVAL, "data behind the end of the tar archive");
		advance(t, t->n);
	}
	return rc;
}

/* Reads a body of pax records or of a long name into a NUL-terminated buffer
 * that lives in m->pax. */
static int read_special(struct tar *t, uint64_t size, struct err *err)
{
	if (size > TAR_SPECIAL_BYTES_MAX)
		return err_set(err, EFBIG, "a pax or long-name header of %llu bytes is too long",
			       (unsigned long long)size);
	char *buf = realloc(t->m.pax, (size_t)size + 1);
	if (!buf)
		return err_set(err, ENOMEM, "out of memory");
	t->m.pax = buf;
	t->m.pax_size = (size_t)size;
	buf[size] = '\0';
	int rc = take_all(t, buf, (size_t)size, err);
	return rc < 0 ? rc : skip(t, padding(size), err);
}

/* GNU 'L' and 'K': the name is the body, up to a NUL. */
static int read_long_name(struct tar *t, uint64_t size, char ret[PATH_MAX], struct err *err)
{
	/* Its own buffer: attributes of an 'x' before it point into m->pax. */
	if (size > TAR_SPECIAL_BYTES_MAX)
		return err_set(err, EFBIG, "a long name of %llu bytes is too long",
			       (unsigned long long)size);
	cleanup_free char *buf = malloc((size_t)size + 1);
	if (!buf)
		return err_set(err, ENOMEM, "out of memory");
	int rc = take_all(t, buf, (size_t)size, err);
	if (rc == 0)
		rc = skip(t, padding(size), err);
	if (rc < 0)
		return rc;
	buf[size] = '\0';
	size_t n = strlen(buf);
	if (n >= PATH_MAX)
		return err_set(err, ENAMETOOLONG, "a name of %zu bytes is too long", n);
	memcpy(ret, buf, n + 1);
	return 0;
}

/* Headers that speak about the next entry. 1 = it was one, 0 = an entry's. */
static int read_extension(struct tar *t, char type, uint64_t size, struct err *err)
{
	int rc;
	switch (type) {
	case 'x':
	case 'X':                    /* Solaris */
		t->m.e.n_xattrs = 0; /* a second 'x' replaces the first, with its buffer */
		rc = read_special(t, size, err);
		if (rc == 0)
			rc = tar_pax_read(&t->m, err);
		break;
	case 'g':
	case 'V': /* GNU volume label */
		rc = skip(t, size, err);
		if (rc == 0)
			rc = skip(t, padding(size), err);
		break;
	case 'L':
		t->m.has_path = true;
		rc = read_long_name(t, size, t->m.path, err);
		break;
	case 'K':
		t->m.has_link = true;
		rc = read_long_name(t, size, t->m.link, err);
		break;
	default:
		return 0;
	}
	return rc < 0 ? rc : 1;
}

/* The rest of an old sparse map: blocks of 21 regions each. */
static int read_old_map(struct tar *t, struct err *err)
{
	bool more = t->block[482] != 0;
	while (more) {
		unsigned char b[TAR_BLOCK_BYTES];
		int rc = take_all(t, b, sizeof(b), err);
		if (rc < 0)
			return rc;
		for (int i = 0; i < 21 && b[24 * i] != '\0'; i++) {
			int64_t offset = 0, size = 0;
			if (tar_number(b + 24 * i, 12, &offset) < 0 ||
			    tar_number(b + 24 * i + 12, 12, &size) < 0 || offset < 0 || size < 0)
				return err_set(err, EINVAL, "bad sparse map");
			rc = tar_region_add(&t->m, (uint64_t)offset, (uint64_t)size, err);
			if (rc < 0)
				return rc;
		}
		more = b[504] != 0;
	}
	return 0;
}

/* One decimal line of a sparse map of form 1.0; bytes count against content. */
static int read_map_number(struct tar *t, uint64_t *ret, struct err *err)
{
	uint64_t v = 0;
	for (int digits = 0;; digits++) {
		int rc = t->left > 0 ? have(t, err) : 0;
		if (rc <= 0)
			return rc < 0 ? rc : cut_off(err);
		unsigned char c = *t->p;
		advance(t, 1);
		t->left--;
		if (c == '\n' && digits > 0)
			break;
		if (c < '0' || c > '9' || digits > 18)
			return err_set(err, EINVAL, "bad sparse map");
		v = v * 10 + (uint64_t)(c - '0');
	}
	*ret = v;
	return 0;
}

static int read_map_10(struct tar *t, struct err *err)
{
	uint64_t n = 0, before = t->left;
	int rc = read_map_number(t, &n, err);
	if (rc == 0 && n > TAR_REGIONS_MAX)
		return err_set(err, EFBIG, "a sparse map has more than %d regions",
			       TAR_REGIONS_MAX);
	for (uint64_t i = 0; rc == 0 && i < n; i++) {
		uint64_t offset = 0, size = 0;
		rc = read_map_number(t, &offset, err);
		if (rc == 0)
			rc = read_map_number(t, &size, err);
		if (rc == 0)
			rc = tar_region_add(&t->m, offset, size, err);
	}
	if (rc < 0)
		return rc;
	unsigned int pad = padding(before - t->left);
	if (pad > t->left)
		return cut_off(err);
	t->left -= pad;
	return skip(t, pad, err);
}

/* Regions must rise, lie in the file, and need all the content there is. */
static int check_regions(struct tar *t, struct err *err)
{
	struct tar_meta *m = &t->m;
	uint64_t end = 0, sum = 0;
	if (!m->has_real_size)
		return err_set(err, EINVAL, "a sparse file has no real size");
	for (size_t i = 0; i < m->n_regions; i++) {
		const struct tar_region *r = &m->regions[i];
		if (r->offset < end || r->size > m->real_size || r->offset > m->real_size - r->size)
			return err_set(err, EINVAL,
				       "a sparse map has regions out of order or "
				       "beyond the file's end");
		end = r->offset + r->size;
		sum += r->size;
	}
	if (sum != t->left)
		return err_set(err, EINVAL, "a sparse map does not fit its content");
	m->e.size = m->real_size;
	return 0;
}

static int read_sparse(struct tar *t, struct err *err)
{
	struct tar_meta *m = &t->m;
	int rc = 0;
	if (m->sparse_old) {
		rc = read_old_map(t, err);
	} else if (m->sparse_major == 1 && m->sparse_minor == 0) {
		if (m->n_regions > 0)
			return err_set(err, EINVAL, "a sparse file has two maps");
		rc = read_map_10(t, err);
	} else if (m->sparse_major > 0 || m->sparse_minor > 1) {
		return err_set(err, EINVAL, "sparse file of unknown form %lld.%lld",
			       (long long)m->sparse_major, (long long)m->sparse_minor);
	} else if (!m->has_real_size && m->n_regions == 0) {
		return 0;
	}
	return rc < 0 ? rc : check_regions(t, err);
}

static int read_entry(struct tar *t, struct err *err)
{
	struct tar_meta *m = &t->m;
	int rc = tar_header_read(t->block, m, err);
	if (rc < 0)
		return rc;
	t->left = m->stored;
	t->pad = padding(m->stored);
	t->region = 0;
	t->region_done = 0;
	if (m->e.kind != TAR_FILE)
		m->n_regions = 0;
	else if (m->sparse_old || m->sparse_pax)
		rc = read_sparse(t, err);
	return rc < 0 ? rc : 1;
}

/* Headers up to and with the next entry's. 1, or 0 at the end. */
static int next_entry(struct tar *t, struct err *err)
{
	bool extended = false;
	tar_meta_reset(&t->m);
	for (;;) {
		ssize_t n = take(t, t->block, TAR_BLOCK_BYTES, err);
		if (n < 0)
			return (int)n;
		bool zero = n == TAR_BLOCK_BYTES && tar_block_is_zero(t->block);
		if ((n == 0 || zero) && !extended) {
			t->has_mark = zero;
			return read_tail(t, err);
		}
		if (n != TAR_BLOCK_BYTES || zero)
			return cut_off(err);
		char type = 0;
		uint64_t size = 0;
		int rc = tar_header_check(t->block, &type, &size, err);
		if (rc == 0)
			rc = read_extension(t, type, size, err);
		if (rc < 0)
			return rc;
		if (rc == 0)
			return read_entry(t, err);
		extended = type != 'g' && type != 'V';
	}
}

/* Of the last entry it may be missing: some writers end there (umoci's insert), and
 * readers of Go and GNU take it for the end. */
static int skip_padding(struct tar *t, struct err *err)
{
	int rc;
	for (size_t size = t->pad; size > 0;) {
		if ((rc = have(t, err)) <= 0) {
			t->ended = rc == 0;
			return rc;
		}
		size_t n = size < t->n ? size : t->n;
		advance(t, n);
		size -= n;
	}
	return 0;
}

int tar_next(struct tar *t, const struct tar_entry **ret, struct err *err)
{
	if (t->ended)
		return 0;
	int rc = skip(t, t->left, err);
	if (rc == 0)
		rc = skip_padding(t, err);
	if (rc == 0 && t->ended)
		return 0;
	uint64_t at = t->at;
	t->left = t->pad = 0;
	if (rc == 0)
		rc = next_entry(t, err);
	if (rc < 0)
		return err_prefix(err, "entry at byte %llu", (unsigned long long)at);
	if (rc > 0)
		*ret = &t->m.e;
	return rc;
}

int tar_data(struct tar *t, const unsigned char **ret_data, size_t *ret_size, uint64_t *ret_offset,
	     struct err *err)
{
	const struct tar_meta *m = &t->m;
	while (t->region < m->n_regions && t->region_done == m->regions[t->region].size) {
		t->region++;
		t->region_done = 0;
	}
	if (t->left == 0)
		return 0;
	int rc = have(t, err);
	if (rc <= 0)
		return rc < 0 ? rc : cut_off(err);
	uint64_t max = t->left;
	*ret_offset = m->stored - t->left;
	if (m->n_regions > 0) {
		const struct tar_region *r = &m->regions[t->region];
		max = r->size - t->region_done;
		*ret_offset = r->offset + t->region_done;
	}
	*ret_data = t->p;
	*ret_size = max < t->n ? (size_t)max : t->n;
	advance(t, *ret_size);
	t->left -= *ret_size;
	t->region_done += *ret_size;
	return 1;
}
