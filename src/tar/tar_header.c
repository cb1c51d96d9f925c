/* SPDX-License-Identifier: Apache-2.0 */
/* tar_header - see tar_header.h. Foreign bytes: runs in isola-image's jail. The
 * layout is that of POSIX.1-2017 pax "ustar Interchange Format" and the GNU
 * tar manual, "Basic Tar Format". */
#include "tar_header.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Offset and length of the fields. */
enum {
	NAME = 0,
	NAME_LEN = 100,
	MODE = 100,
	UID = 108,
	GID = 116,
	ID_LEN = 8,
	SIZE = 124,
	MTIME = 136,
	TIME_LEN = 12,
	SUM = 148,
	TYPE = 156,
	LINK = 157,
	MAGIC = 257,
	MAJOR = 329,
	MINOR = 337,
	PREFIX = 345,
	PREFIX_LEN = 155,
	STAR_PREFIX_LEN = 131,
	STAR_MARK = 508,
	GNU_SPARSE = 386,
	GNU_REAL_SIZE = 483,
};

void tar_meta_fini(struct tar_meta *m)
{
	free(m->regions);
	free(m->xattrs);
	free(m->pax);
}

void tar_meta_reset(struct tar_meta *m)
{
	struct tar_region *regions = m->regions;
	struct tar_xattr *xattrs = m->xattrs;
	char *pax = m->pax;
	size_t cap = m->cap_regions;
	/* Not the two paths: they are large, and set before they are read. */
	m->e = (struct tar_entry){ .path = m->path, .link = m->link, .xattrs = xattrs };
	m->type = 0;
	m->stored = 0;
	m->path[0] = m->link[0] = '\0';
	m->has_path = m->has_link = m->sparse_old = m->sparse_pax = m->has_sparse_name = false;
	m->sparse_major = m->sparse_minor = -1;
	m->has_real_size = m->has_size = m->has_mtime = m->has_uid = m->has_gid = false;
	m->real_size = 0;
	m->regions = regions;
	m->n_regions = 0;
	m->cap_regions = cap;
	m->region_open = false;
	m->xattrs = xattrs;
	m->pax = pax;
	m->pax_size = 0;
}

int tar_region_add(struct tar_meta *m, uint64_t offset, uint64_t size, struct err *err)
{
	if (m->n_regions == m->cap_regions) {
		if (m->n_regions >= TAR_REGIONS_MAX)
			return err_set(err, EFBIG, "a sparse map has more than %d regions",
				       TAR_REGIONS_MAX);
		size_t cap = m->cap_regions ? m->cap_regions * 2 : 64;
		struct tar_region *more = realloc(m->regions, cap * sizeof(*more));
		if (!more)
			return err_set(err, ENOMEM, "out of memory");
		m->regions = more;
		m->cap_regions = cap;
	}
	m->regions[m->n_regions++] = (struct tar_region){ offset, size };
	return 0;
}

bool tar_block_is_zero(const unsigned char *block)
{
	return block[0] == 0 && !memcmp(block, block + 1, TAR_BLOCK_BYTES - 1);
}

static int base256(const unsigned char *field, size_t size, int64_t *ret)
{
	bool negative = field[0] & 0x40;
	uint64_t v = negative ? UINT64_MAX : 0;
	for (size_t i = 0; i < size; i++) {
		unsigned char c = field[i];
		if (i == 0)
			c = negative ? c | 0x80 : c & 0x7f;
		/* What is shifted out must be sign only. */
		if ((v >> 56) != (negative ? 0xff : 0))
			return -ERANGE;
		v = v << 8 | c;
	}
	if ((v >> 63) != (negative ? 1 : 0))
		return -ERANGE;
	*ret = (int64_t)v;
	return 0;
}

int tar_number(const unsigned char *field, size_t size, int64_t *ret)
{
	if (field[0] & 0x80)
		return base256(field, size, ret);
	size_t i = 0;
	while (i < size && (field[i] == ' ' || field[i] == '\0'))
		i++;
	uint64_t v = 0;
	for (; i < size && field[i] >= '0' && field[i] <= '7'; i++) {
		if (v >> 60)
			return -ERANGE;
		v = v << 3 | (uint64_t)(field[i] - '0');
	}
	if (i < size && field[i] != ' ' && field[i] != '\0')
		return -EINVAL;
	*ret = (int64_t)v;
	return 0;
}

static int checksum(const unsigned char *block, struct err *err)
{
	int64_t want = 0, plain = 0, with_sign = 0;
	for (int i = 0; i < TAR_BLOCK_BYTES; i++) {
		unsigned char c = i >= SUM && i < SUM + 8 ? ' ' : block[i];
		plain += c;
		with_sign += (signed char)c; /* what some old tars computed */
	}
	if (tar_number(block + SUM, 8, &want) < 0 || (want != plain && want != with_sign))
		return err_set(err, EINVAL,
			       "bad header checksum: this is no tar archive, or it "
			       "is damaged");
	return 0;
}

int tar_header_check(const unsigned char *block, char *ret_type, uint64_t *ret_size,
		     struct err *err)
{
	int64_t size = 0;
	int rc = checksum(block, err);
	if (rc < 0)
		return rc;
	if (tar_number(block + SIZE, TIME_LEN, &size) < 0 || size < 0)
		return err_set(err, EINVAL, "bad size in a header");
	*ret_type = (char)block[TYPE];
	*ret_size = (uint64_t)size;
	return 0;
}

static void copy_text(char *ret, const unsigned char *field, size_t size)
{
	size_t n = strnlen((const char *)field, size);
	memcpy(ret, field, n);
	ret[n] = '\0';
}

static void read_path(const unsigned char *block, char *ret)
{
	size_t prefix_len = 0;
	if (!memcmp(block + MAGIC, "ustar\0", 6))
		prefix_len = memcmp(block + STAR_MARK, "tar", 4) ? PREFIX_LEN : STAR_PREFIX_LEN;
	prefix_len = strnlen((const char *)block + PREFIX, prefix_len);
	if (prefix_len > 0) {
		memcpy(ret, block + PREFIX, prefix_len);
		ret[prefix_len++] = '/';
	}
	copy_text(ret + prefix_len, block + NAME, NAME_LEN);
}

static int read_id(const unsigned char *field, const char *what, uint32_t *ret, struct err *err)
{
	int64_t v = 0;
	/* 2^32-1 is chown's "leave it". */
	if (tar_number(field, ID_LEN, &v) < 0 || v < 0 || v >= UINT32_MAX)
		return err_set(err, EINVAL, "bad %s in a header", what);
	*ret = (uint32_t)v;
	return 0;
}

static int read_device(const unsigned char *block, struct tar_entry *e, struct err *err)
{
	int64_t major = 0, minor = 0;
	if (tar_number(block + MAJOR, 8, &major) < 0 || tar_number(block + MINOR, 8, &minor) < 0 ||
	    major < 0 || minor < 0 || major > 0xfff || minor > 0xfffff)
		return err_set(err, EINVAL, "bad device number in a header");
	e->major = (unsigned int)major;
	e->minor = (unsigned int)minor;
	return 0;
}

/* GNU's old sparse form: four regions in the header, then the real size. */
static int read_old_sparse(const unsigned char *block, struct tar_meta *m, struct err *err)
{
	int64_t real = 0;
	if (tar_number(block + GNU_REAL_SIZE, 12, &real) < 0 || real < 0)
		return err_set(err, EINVAL, "bad real size in a sparse header");
	m->sparse_old = true;
	m->has_real_size = true;
	m->real_size = (uint64_t)real;
	for (int i = 0; i < 4; i++) {
		const unsigned char *f = block + GNU_SPARSE + 24 * i;
		int64_t offset = 0, size = 0;
		if (f[0] == '\0')
			break;
		if (tar_number(f, 12, &offset) < 0 || tar_number(f + 12, 12, &size) < 0 ||
		    offset < 0 || size < 0)
			return err_set(err, EINVAL, "bad sparse map in a header");
		int rc = tar_region_add(m, (uint64_t)offset, (uint64_t)size, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int read_kind(struct tar_meta *m, struct err *err)
{
	static const struct {
		char type;
		enum tar_kind kind;
	} rows[] = {
		{ '0', TAR_FILE },     { '\0', TAR_FILE },   { '7', TAR_FILE }, { 'S', TAR_FILE },
		{ '1', TAR_HARDLINK }, { '2', TAR_SYMLINK }, { '3', TAR_CHAR }, { '4', TAR_BLOCK },
		{ '5', TAR_DIR },      { '6', TAR_FIFO },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (rows[i].type != m->type)
			continue;
		m->e.kind = rows[i].kind;
		size_t n = strlen(m->path);
		/* Before POSIX, a slash behind a file's name made it a folder. */
		if (m->type == '\0' && n > 0 && m->path[n - 1] == '/')
			m->e.kind = TAR_DIR;
		return 0;
	}
	return err_set(err, EINVAL, "\"%.200s\" has the unknown type 0x%02x", m->path,
		       (unsigned char)m->type);
}

int tar_header_read(const unsigned char *block, struct tar_meta *m, struct err *err)
{
	int64_t mode = 0, mtime = 0;
	uint64_t size = 0;
	int rc = tar_header_check(block, &m->type, &size, err);
	if (rc < 0)
		return rc;
	if (!m->has_path)
		read_path(block, m->path);
	if (!m->has_link)
		copy_text(m->link, block + LINK, NAME_LEN);
	if (!m->has_size)
		m->stored = size;
	if (tar_number(block + MODE, ID_LEN, &mode) < 0)
		return err_set(err, EINVAL, "\"%.200s\" has a bad mode", m->path);
	m->e.mode = (mode_t)(mode & 07777);
	if (!m->has_mtime) {
		if (tar_number(block + MTIME, TIME_LEN, &mtime) < 0)
			return err_set(err, EINVAL, "\"%.200s\" has a bad time", m->path);
		m->e.mtime_s = mtime;
	}
	if (!m->has_uid)
		rc = read_id(block + UID, "user id", &m->e.uid, err);
	if (rc == 0 && !m->has_gid)
		rc = read_id(block + GID, "group id", &m->e.gid, err);
	if (rc == 0)
		rc = read_kind(m, err);
	if (rc == 0 && (m->e.kind == TAR_CHAR || m->e.kind == TAR_BLOCK))
		rc = read_device(block, &m->e, err);
	if (rc == 0 && m->type == 'S')
		rc = read_old_sparse(block, m, err);
	if (rc < 0)
		return rc;
	/* Only files have content, whatever the size field says (Docker, GNU). */
	if (m->e.kind != TAR_FILE)
		m->stored = 0;
	m->e.size = m->sparse_old ? m->real_size : m->stored;
	return 0;
}
