/* SPDX-License-Identifier: Apache-2.0 */
/* spool - see spool.h. Foreign bytes: runs in isola-image's jail, behind a reader that takes
 * the archive apart. */
#include "spool.h"

#include "isola/fd.h"
#include "name.h"
#include "parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void spool_fini(struct spool *s)
{
	for (size_t i = 0; i < s->n; i++) {
		free(s->files[i].name);
		free(s->files[i].link);
	}
	free(s->files);
	s->files = NULL;
	s->n = s->cap = 0;
}

void spool_name(const struct spool_file *f, char *ret, size_t size)
{
	(void)snprintf(ret, size, "part-%u", f->number);
}

int spool_open(const struct spool *s, const struct spool_file *f, struct err *err)
{
	char name[32];
	spool_name(f, name, sizeof(name));
	int fd = openat(s->job->fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? err_sys(err, "cannot open %s of the archive", f->name) : fd;
}

int spool_format(const struct spool *s, const struct spool_file *f, enum stream_format *ret,
		 struct err *err)
{
	unsigned char head[8];
	cleanup_fd int fd = spool_open(s, f, err);
	if (fd < 0)
		return fd;
	ssize_t n = fd_read_all(fd, head, sizeof(head));
	if (n < 0)
		return err_rc(err, (int)n, "cannot read %s of the archive", f->name);
	*ret = stream_format_of(head, (size_t)n);
	return 0;
}

int spool_text(const struct spool *s, const struct spool_file *f, char **ret, size_t *ret_size,
	       struct err *err)
{
	char name[32];
	if (f->size > STORE_JSON_BYTES_MAX)
		return err_set(err, EFBIG, "%.200s of the archive is larger than %d bytes", f->name,
			       STORE_JSON_BYTES_MAX);
	spool_name(f, name, sizeof(name));
	return fd_read_file(s->job->fd, name, STORE_JSON_BYTES_MAX, ret, ret_size, err);
}

/* A new element at the end, with its name. */
static int add(struct spool *s, const char *name, struct spool_file **ret, struct err *err)
{
	s->name_bytes += strlen(name) + 1;
	if (s->n >= SPOOL_FILES_MAX || s->name_bytes > SPOOL_NAMES_MAX)
		return err_set(err, EFBIG,
			       "more than %d files: this is no image archive (a root file system "
			       "is imported)",
			       SPOOL_FILES_MAX);
	if (s->n == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 64;
		struct spool_file *more = realloc(s->files, cap * sizeof(*more));
		if (!more)
			return err_set(err, ENOMEM, "out of memory");
		s->files = more;
		s->cap = cap;
	}
	struct spool_file *f = &s->files[s->n];
	*f = (struct spool_file){ .name = strdup(name), .number = (unsigned int)s->n };
	if (!f->name)
		return err_set(err, ENOMEM, "out of memory");
	s->n++;
	*ret = f;
	return 0;
}

static int create(const struct spool *s, const struct spool_file *f, struct err *err)
{
	char name[32];
	spool_name(f, name, sizeof(name));
	int fd = openat(s->job->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
			0600);
	return fd < 0 ? err_sys(err, "cannot make a temporary file") : fd;
}

/* What the reader tells is taken, entry by entry. */
struct taking {
	struct spool *s;
	struct parts *parts;
	struct hasher *hasher;
	int fd; /* of the file whose content comes, -1 = none */
	uint64_t left, total, total_max;
};

static int end_file(struct taking *t, struct err *err)
{
	struct spool_file *f = &t->s->files[t->s->n - 1];
	fd_close(&t->fd);
	return hasher_end(t->hasher, f->digest) < 0 ? err_set(err, EIO, "SHA-256 failed") : 0;
}

static int begin_file(struct taking *t, const char *name, struct err *err)
{
	struct spool_file *f = NULL;
	int rc = add(t->s, name, &f, err);
	if (rc == 0)
		rc = t->fd = create(t->s, f, err);
	t->left = t->parts->size;
	if (rc < 0)
		return rc;
	return t->left ? 0 : end_file(t, err);
}

static int put_data(struct taking *t, struct err *err)
{
	const struct parts *p = t->parts;
	if (t->fd < 0 || p->data_size > t->left || p->data_size > t->total_max - t->total)
		return err_set(err, EPROTO, "more comes than was told");
	hasher_add(t->hasher, p->data, p->data_size);
	int rc = fd_write_all(t->fd, p->data, p->data_size);
	if (rc < 0)
		return err_rc(err, rc, "cannot write a temporary file");
	t->s->files[t->s->n - 1].size += p->data_size;
	t->total += p->data_size;
	t->left -= p->data_size;
	return t->left ? 0 : end_file(t, err);
}

/* Resolves @link, as it stands in the folder of @name, by text alone. */
static int resolve(const char *name, const char *link, bool hard, char ret[PATH_MAX],
		   struct err *err)
{
	const char *slash = hard ? NULL : strrchr(name, '/');
	size_t n = slash ? (size_t)(slash - name) : 0;
	memcpy(ret, name, n);
	for (const char *p = link; *p;) {
		size_t len = strcspn(p, "/");
		if (len == 2 && !strncmp(p, "..", 2)) {
			if (n == 0)
				return err_set(err, EINVAL, "a link leaves the archive");
			while (n > 0 && ret[--n] != '/')
				;
		} else if (len > 0 && !(len == 1 && *p == '.')) {
			if (n + len + 2 > PATH_MAX)
				return err_set(err, ENAMETOOLONG, "a link is too long");
			if (n > 0)
				ret[n++] = '/';
			memcpy(ret + n, p, len);
			n += len;
		}
		p += len;
		p += *p == '/';
	}
	ret[n] = '\0';
	return 0;
}

static int put_link(struct spool *s, const struct parts *p, const char *name, struct err *err)
{
	char target[PATH_MAX];
	struct spool_file *f = NULL;
	int rc = resolve(name, p->link, p->kind == TAR_HARDLINK, target, err);
	if (rc == 0)
		rc = add(s, name, &f, err);
	if (rc < 0)
		return rc;
	s->name_bytes += strlen(target) + 1;
	f->link = strdup(target);
	return f->link ? 0 : err_set(err, ENOMEM, "out of memory");
}

static int put_entry(struct taking *t, struct err *err)
{
	const struct parts *p = t->parts;
	char name[PATH_MAX];
	if (t->fd >= 0)
		return err_set(err, EPROTO, "the one before is not whole");
	int rc = name_clean(p->name, name, err);
	if (rc < 0)
		return rc;
	switch (p->kind) {
	case TAR_DIR:
		return 0;
	case TAR_FILE:
		return begin_file(t, name, err);
	case TAR_SYMLINK:
	case TAR_HARDLINK:
		return put_link(t->s, p, name, err);
	default:
		return err_set(err, EINVAL, "a device or FIFO has no place in an image archive");
	}
}

/* By name; of equal ones the later one of the archive first. */
static int compare(const void *a, const void *b)
{
	const struct spool_file *x = a, *y = b;
	int rc = strcmp(x->name, y->name);
	return rc ? rc : (x->number < y->number) - (x->number > y->number);
}

int spool_take(const struct job *job, const struct reader *reader, uint64_t bytes_max,
	       struct spool *ret, struct err *err)
{
	cleanup_free struct parts *parts = calloc(1, sizeof(*parts));
	cleanup_hasher struct hasher *hasher = NULL;
	struct taking t = { .s = ret, .parts = parts, .fd = -1, .total_max = bytes_max };
	ret->job = job;
	int rc = parts ? hasher_new(&hasher, err) : err_set(err, ENOMEM, "out of memory");
	t.hasher = hasher;
	if (rc == 0)
		parts->reader = reader;
	while (rc == 0 && (rc = parts_next(parts, err)) > 0) {
		rc = parts->data ? put_data(&t, err) : put_entry(&t, err);
		if (rc < 0 && !parts->data)
			(void)err_prefix(err, "archive entry \"%.300s\"", parts->name);
	}
	fd_close(&t.fd);
	if (rc == 0 && ret->n > 0)
		qsort(ret->files, ret->n, sizeof(*ret->files), compare);
	return rc;
}

int spool_read(const struct job *job, int fd, uint64_t bytes_max, struct spool *ret,
	       struct err *err)
{
	cleanup_reader struct reader reader = READER_INIT;
	int rc = reader_start(job, fd, parts_write, &bytes_max, &reader, err);
	if (rc == 0)
		rc = spool_take(job, &reader, bytes_max, ret, err);
	return rc < 0 ? rc : reader_end(&reader, "the archive", err);
}

int spool_one(const struct job *job, int fd, const char *what, uint64_t bytes_max,
	      struct spool *ret, struct err *err)
{
	const struct stream_options options = {
		.what = what, .plain_only = true, .hash_raw = true, .plain_max = bytes_max
	};
	cleanup_stream struct stream *stream = NULL;
	struct spool_file *f = NULL;
	const unsigned char *data = NULL;
	ret->job = job;
	int rc = stream_new(fd, &options, &stream, err);
	if (rc == 0)
		rc = add(ret, what, &f, err);
	if (rc < 0)
		return rc;
	cleanup_fd int out = create(ret, f, err);
	if (out < 0)
		return out;
	ssize_t n;
	while ((n = stream_next(stream, &data, err)) > 0) {
		rc = fd_write_all(out, data, (size_t)n);
		if (rc < 0)
			return err_rc(err, rc, "cannot write a temporary file");
		f->size += (uint64_t)n;
	}
	if (n < 0)
		return (int)n;
	rc = stream_raw_digest(stream, f->digest);
	return rc < 0 ? err_set(err, -rc, "SHA-256 failed") : 0;
}

static const struct spool_file *find_one(const struct spool *s, const char *name)
{
	/* The first of equal names: the last one in the archive, as tar has it. */
	size_t low = 0, high = s->n;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (strcmp(s->files[mid].name, name) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low < s->n && !strcmp(s->files[low].name, name) ? &s->files[low] : NULL;
}

const struct spool_file *spool_find(const struct spool *s, const char *name)
{
	char clean[PATH_MAX];
	if (name_clean(name, clean, NULL) < 0)
		return NULL;
	const struct spool_file *f = find_one(s, clean);
	for (int i = 0; f && f->link; i++) {
		if (i >= SPOOL_LINKS_MAX)
			return NULL;
		f = find_one(s, f->link);
	}
	return f;
}
