/* SPDX-License-Identifier: Apache-2.0 */
/* tar_pax - the records of a pax extended header ("<length> <key>=<value>\n",
 * POSIX.1-2017 pax) that matter to a layer, one row each. Foreign bytes: runs
 * in isola-image's jail. */
#include "isola/num.h"
#include "tar_header.h"

#include <ctype.h>
#include <errno.h>
#include <linux/limits.h>
#include <stdlib.h>
#include <string.h>

/* One record; @value is NUL-terminated, but may hold NULs before. */
struct record {
	char *key, *value;
	size_t size;
};

typedef int record_fn(struct tar_meta *m, const struct record *r, struct err *err);

static int bad(const struct record *r, struct err *err)
{
	return err_set(err, EINVAL, "bad pax record %.100s=%.100s", r->key, r->value);
}

static int read_u64(const struct record *r, uint64_t *ret, struct err *err)
{
	uint64_t v = 0;
	if (strlen(r->value) != r->size || num_parse_u64(r->value, &v) < 0 || v > INT64_MAX)
		return bad(r, err);
	*ret = v;
	return 0;
}

static int read_text(const struct record *r, char ret[PATH_MAX], bool *ret_has, struct err *err)
{
	if (memchr(r->value, '\0', r->size))
		return err_set(err, EINVAL, "pax record %.100s holds a NUL byte", r->key);
	if (r->size >= PATH_MAX)
		return err_set(err, ENAMETOOLONG, "pax record %.100s is longer than a path may be",
			       r->key);
	memcpy(ret, r->value, r->size + 1);
	*ret_has = r->size > 0; /* an empty value takes an earlier one back */
	return 0;
}

static int on_path(struct tar_meta *m, const struct record *r, struct err *err)
{
	return m->has_sparse_name ? 0 : read_text(r, m->path, &m->has_path, err);
}

/* The true name of a sparse file; "path" is for readers that know no better. */
static int on_sparse_name(struct tar_meta *m, const struct record *r, struct err *err)
{
	m->sparse_pax = m->has_sparse_name = true;
	return read_text(r, m->path, &m->has_path, err);
}

static int on_linkpath(struct tar_meta *m, const struct record *r, struct err *err)
{
	return read_text(r, m->link, &m->has_link, err);
}

static int on_size(struct tar_meta *m, const struct record *r, struct err *err)
{
	m->has_size = true;
	return read_u64(r, &m->stored, err);
}

static int read_id(const struct record *r, uint32_t *ret, struct err *err)
{
	uint64_t v = 0;
	int rc = read_u64(r, &v, err);
	if (rc < 0)
		return rc;
	if (v >= UINT32_MAX)
		return bad(r, err);
	*ret = (uint32_t)v;
	return 0;
}

static int on_uid(struct tar_meta *m, const struct record *r, struct err *err)
{
	m->has_uid = true;
	return read_id(r, &m->e.uid, err);
}

static int on_gid(struct tar_meta *m, const struct record *r, struct err *err)
{
	m->has_gid = true;
	return read_id(r, &m->e.gid, err);
}

/* "-1.25" is a second and a quarter before the epoch. */
static int on_mtime(struct tar_meta *m, const struct record *r, struct err *err)
{
	char *dot = strchr(r->value, '.');
	uint32_t ns = 0;
	int64_t s = 0;
	if (strlen(r->value) != r->size)
		return bad(r, err);
	if (dot) {
		*dot = '\0';
		uint32_t unit = 100000000;
		for (const char *p = dot + 1; *p; p++, unit /= 10) {
			if (!isdigit((unsigned char)*p))
				return bad(r, err);
			ns += (uint32_t)(*p - '0') * unit;
		}
	}
	if (num_parse_i64(r->value, &s) < 0)
		return bad(r, err);
	if (ns > 0 && r->value[0] == '-') {
		if (s == INT64_MIN)
			return bad(r, err);
		s--;
		ns = 1000000000 - ns;
	}
	m->has_mtime = true;
	m->e.mtime_s = s;
	m->e.mtime_ns = ns;
	return 0;
}

static int on_sparse_major(struct tar_meta *m, const struct record *r, struct err *err)
{
	m->sparse_pax = true;
	return num_parse_range(r->value, 0, 9, &m->sparse_major) < 0 ? bad(r, err) : 0;
}

static int on_sparse_minor(struct tar_meta *m, const struct record *r, struct err *err)
{
	m->sparse_pax = true;
	return num_parse_range(r->value, 0, 9, &m->sparse_minor) < 0 ? bad(r, err) : 0;
}

static int on_sparse_size(struct tar_meta *m, const struct record *r, struct err *err)
{
	m->sparse_pax = m->has_real_size = true;
	return read_u64(r, &m->real_size, err);
}

static int on_sparse_offset(struct tar_meta *m, const struct record *r, struct err *err)
{
	uint64_t v = 0;
	int rc = read_u64(r, &v, err);
	if (rc < 0 || m->region_open)
		return rc < 0 ? rc : bad(r, err);
	m->sparse_pax = m->region_open = true;
	return tar_region_add(m, v, 0, err);
}

static int on_sparse_numbytes(struct tar_meta *m, const struct record *r, struct err *err)
{
	if (!m->region_open)
		return bad(r, err);
	m->region_open = false;
	return read_u64(r, &m->regions[m->n_regions - 1].size, err);
}

/* Form 0.1: "offset,size,offset,size,..." */
static int on_sparse_map(struct tar_meta *m, const struct record *r, struct err *err)
{
	uint64_t pair[2];
	int have = 0;
	m->sparse_pax = true;
	if (strlen(r->value) != r->size)
		return bad(r, err);
	for (char *p = r->value; *p;) {
		char *end = strchrnul(p, ',');
		bool more = *end == ',';
		*end = '\0';
		if (num_parse_u64(p, &pair[have]) < 0 || pair[have] > INT64_MAX)
			return bad(r, err);
		if (++have == 2) {
			int rc = tar_region_add(m, pair[0], pair[1], err);
			if (rc < 0)
				return rc;
			have = 0;
		}
		p = end + (more ? 1 : 0);
	}
	return have == 0 ? 0 : bad(r, err);
}

static const struct {
	const char *key;
	record_fn *fn;
} rows[] = {
	{ "path", on_path },
	{ "linkpath", on_linkpath },
	{ "size", on_size },
	{ "uid", on_uid },
	{ "gid", on_gid },
	{ "mtime", on_mtime },
	{ "GNU.sparse.name", on_sparse_name },
	{ "GNU.sparse.major", on_sparse_major },
	{ "GNU.sparse.minor", on_sparse_minor },
	{ "GNU.sparse.size", on_sparse_size },
	{ "GNU.sparse.realsize", on_sparse_size },
	{ "GNU.sparse.offset", on_sparse_offset },
	{ "GNU.sparse.numbytes", on_sparse_numbytes },
	{ "GNU.sparse.map", on_sparse_map },
};

static int on_xattr(struct tar_meta *m, const char *name, const struct record *r, struct err *err)
{
	if (strlen(name) > XATTR_NAME_MAX || !*name || r->size > XATTR_SIZE_MAX)
		return err_set(err, EINVAL, "extended attribute \"%.100s\" is too long", name);
	if (m->e.n_xattrs >= TAR_XATTRS_MAX)
		return err_set(err, EINVAL, "an entry has more than %d extended attributes",
			       TAR_XATTRS_MAX);
	if (!m->xattrs) {
		m->xattrs = calloc(TAR_XATTRS_MAX, sizeof(*m->xattrs));
		if (!m->xattrs)
			return err_set(err, ENOMEM, "out of memory");
		m->e.xattrs = m->xattrs;
	}
	m->xattrs[m->e.n_xattrs++] = (struct tar_xattr){ name, r->value, r->size };
	return 0;
}

static int on_record(struct tar_meta *m, const struct record *r, struct err *err)
{
	static const char xattr[] = "SCHILY.xattr.";
	if (!strncmp(r->key, xattr, sizeof(xattr) - 1))
		return on_xattr(m, r->key + sizeof(xattr) - 1, r, err);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (!strcmp(r->key, rows[i].key))
			return rows[i].fn(m, r, err);
	return 0; /* names of users, other times, comments: nothing of a layer */
}

/* Cuts the record at @p in place. Returns its whole length or -EINVAL. */
static ssize_t cut_record(char *p, size_t left, struct record *ret, struct err *err)
{
	size_t len = 0, digits = 0;
	while (digits < left && isdigit((unsigned char)p[digits]) && digits < 8)
		len = len * 10 + (size_t)(p[digits++] - '0');
	if (digits == 0 || digits >= left || p[digits] != ' ' || len > left || len < digits + 4 ||
	    p[len - 1] != '\n')
		return err_set(err, EINVAL, "malformed pax header");
	char *key = p + digits + 1, *end = p + len - 1;
	char *eq = memchr(key, '=', (size_t)(end - key));
	if (!eq || eq == key || memchr(key, '\0', (size_t)(eq - key)))
		return err_set(err, EINVAL, "malformed pax header");
	*eq = *end = '\0';
	*ret = (struct record){ key, eq + 1, (size_t)(end - eq - 1) };
	return (ssize_t)len;
}

int tar_pax_read(struct tar_meta *m, struct err *err)
{
	for (size_t at = 0; at < m->pax_size;) {
		struct record r = { 0 };
		ssize_t n = cut_record(m->pax + at, m->pax_size - at, &r, err);
		if (n < 0)
			return (int)n;
		int rc = on_record(m, &r, err);
		if (rc < 0)
			return rc;
		at += (size_t)n;
	}
	if (m->region_open)
		return err_set(err, EINVAL, "malformed pax header: a sparse region has no size");
	return 0;
}
