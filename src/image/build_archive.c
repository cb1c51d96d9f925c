/* SPDX-License-Identifier: Apache-2.0 */
/* build_archive - the archives that ADD unpacks:
 *
 *   isola-image                          reader (confine_feed())
 *   opens the file, forks          -->   decompresses, parses, judges each entry,
 *   adds what comes to the layer   <--   writes it as an entry of the layer
 *
 * A stranger's archive passes through decompressor and parser in a process that has a
 * file to read, two pipes and no right. What it writes is not looked at before the whole
 * layer is unpacked, by a process that takes its tar for a stranger's, too. */
#include "build_priv.h"

#include "isola/fd.h"
#include "cancel.h"
#include "confine.h"
#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PIECE_BYTES 65536
#define BLOCK       512
#define PIPE_BYTES  (1024 * 1024)

/* What the reader says at its end; less than PIPE_BUF, so in one piece. */
struct report {
	int32_t code; /* errno of a failure, with its text */
	bool is_archive;
	uint64_t entries;
	char text[ERR_TEXT_BYTES];
};

struct reading {
	int fd; /* the archive */
	int data_fd, report_fd;
	const char *as; /* where it goes; NULL: is it one? */
	const struct copying *c;
	uint64_t entries; /* so far, in the whole step */
	struct tarw *out;
};

/* ---- in the reader ---- */

static int join(const char *dir, const char *name, char ret[PATH_MAX], struct err *err)
{
	int n = snprintf(ret, PATH_MAX, "%s%s%s", dir, *dir && *name ? "/" : "", name);
	return n >= PATH_MAX ? err_set(err, ENAMETOOLONG, "the path is too long") : 0;
}

static int write_zeros(struct tarw *out, uint64_t size, struct err *err)
{
	static const char zeros[PIECE_BYTES];
	int rc = 0;
	for (size_t n; rc == 0 && size > 0; size -= n) {
		n = size < sizeof(zeros) ? (size_t)size : sizeof(zeros);
		rc = tarw_data(out, zeros, n, err);
	}
	return rc;
}

/* Holes become zeros: the layer's tar has none. */
static int copy_data(struct tarw *out, struct tar *tar, uint64_t size, struct err *err)
{
	const unsigned char *data = NULL;
	size_t n = 0;
	uint64_t offset = 0, at = 0;
	int rc;
	while ((rc = tar_data(tar, &data, &n, &offset, err)) > 0) {
		rc = write_zeros(out, offset - at, err);
		if (rc == 0)
			rc = tarw_data(out, data, n, err);
		if (rc < 0)
			return rc;
		at = offset + n;
	}
	return rc < 0 ? rc : write_zeros(out, size - at, err);
}

static int put_entry(struct reading *r, struct tar *tar, const struct tar_entry *from,
		     struct err *err)
{
	struct tar_entry e = *from;
	char clean[PATH_MAX], path[PATH_MAX], target[PATH_MAX];
	int rc = tar_clean_name(from->path, clean, err);
	/* The folder that is unpacked to stays as it is. */
	if (rc < 0 || !*clean)
		return rc;
	if (files_is_mark(clean))
		return err_set(err, EINVAL, "its name is a mark of image layers");
	if (e.kind == TAR_CHAR || e.kind == TAR_BLOCK)
		return err_set(err, EINVAL, "it is a device, which has no place here");
	/* A few bytes may describe a hole of EiB, and holes are written. */
	if (e.size > r->c->b->limits->bytes)
		return err_set(err, EFBIG, "more than %llu bytes, the limit",
			       (unsigned long long)r->c->b->limits->bytes);
	rc = join(r->as, clean, path, err);
	e.path = path;
	if (rc == 0 && e.kind == TAR_HARDLINK) {
		rc = tar_clean_name(from->link, clean, err);
		if (rc == 0)
			rc = join(r->as, clean, target, err);
		e.link = target;
	}
	if (r->c->chowned) {
		e.uid = r->c->pack->uid;
		e.gid = r->c->pack->gid;
	}
	if (rc == 0)
		rc = tarw_entry(r->out, &e, err);
	return rc == 0 && e.kind == TAR_FILE ? copy_data(r->out, tar, e.size, err) : rc;
}

static int count(struct reading *r, struct err *err)
{
	uint64_t max = r->c->b->limits->entries;
	return ++r->entries > max ? err_set(err, EFBIG, "more than %llu entries, the limit",
					    (unsigned long long)max)
				  : 0;
}

static int put_all(struct reading *r, struct tar *tar, const struct tar_entry *e, struct err *err)
{
	int rc;
	do {
		rc = count(r, err);
		if (rc == 0)
			rc = put_entry(r, tar, e, err);
		if (rc < 0)
			return err_prefix(err, "\"%.300s\"", e->path);
		rc = tar_next(tar, &e, err);
	} while (rc > 0);
	return rc < 0 ? rc : tarw_flush(r->out, err);
}

static int write_data(void *arg, const void *data, size_t size, struct err *err)
{
	const struct reading *r = arg;
	int rc = cancel_requested() ? -EINTR : fd_write_all(r->data_fd, data, size);
	return rc < 0 ? err_rc(err, rc, "cannot pass on an entry") : 0;
}

/* What does not begin like an archive is none. */
static int read_archive(struct reading *r, bool *ret_is_one, struct err *err)
{
	static const struct stream_options options = { .what = "the archive",
						       .quick = true,
						       .plain_max = UINT64_MAX };
	const int root_fd = r->c->b->job->fd;
	const int keep[] = { r->fd, root_fd, r->data_fd, r->report_fd };
	cleanup_stream struct stream *stream = NULL;
	cleanup_tar struct tar *tar = NULL;
	const struct tar_entry *e = NULL;
	int rc = confine_feed(root_fd, keep, sizeof(keep) / sizeof(keep[0]), err);
	if (rc == 0)
		rc = stream_new(r->fd, &options, &stream, err);
	if (rc == 0)
		rc = tar_new(stream_read, stream, &tar, err);
	if (rc < 0)
		return rc;
	*ret_is_one = tar_next(tar, &e, NULL) > 0;
	if (!*ret_is_one || !r->as)
		return 0;
	rc = tarw_new(write_data, r, &r->out, err);
	if (rc == 0)
		rc = put_all(r, tar, e, err);
	tarw_free(r->out);
	return rc;
}

static void __attribute__((noreturn)) reader_main(struct reading *r)
{
	struct report report = { .code = 0 };
	struct err err = ERR_INIT;
	cancel_be_child();
	int rc = read_archive(r, &report.is_archive, &err);
	report.entries = r->entries;
	if (rc < 0) {
		report.code = -rc;
		memcpy(report.text, err.text, sizeof(report.text));
	}
	(void)fd_write_all(r->report_fd, &report, sizeof(report));
	_exit(0);
}

/* ---- in the job ---- */

/* All that comes, behind the layer's entries so far. */
static int take_data(const struct copying *c, int fd, struct err *err)
{
	cleanup_free char *buf = malloc(PIECE_BYTES);
	uint64_t size = 0;
	ssize_t n;
	if (!buf)
		return err_set(err, ENOMEM, "out of memory");
	while ((n = fd_read_all(fd, buf, PIECE_BYTES)) > 0) {
		int rc = tarw_raw(c->out->tar, buf, (size_t)n, err);
		if (rc < 0)
			return rc;
		size += (uint64_t)n;
	}
	if (n < 0)
		return err_rc(err, (int)n, "cannot hear the process that reads the archive");
	return size % BLOCK ? err_set(err, EIO, "the process that reads the archive failed") : 0;
}

static int judge(struct copying *c, struct report *r, ssize_t heard, int status, struct err *err)
{
	if (WIFSIGNALED(status))
		return err_set(err, EIO,
			       "the process that reads the archive was killed by signal %d",
			       WTERMSIG(status));
	if (heard != sizeof(*r) || WEXITSTATUS(status) != 0)
		return err_set(err, EIO, "the process that reads the archive failed");
	r->text[sizeof(r->text) - 1] = '\0';
	if (r->code != 0)
		return err_set(err, r->code > 0 && r->code < 4096 ? r->code : EIO, "%s", r->text);
	if (r->entries < c->entries || r->entries > c->b->limits->entries)
		return err_set(err, EIO, "the process that reads the archive failed");
	c->entries = r->entries;
	return r->is_archive;
}

/* Forks the reader of @fd. 1, or 0 = it is no archive. */
static int read_by_child(struct copying *c, int fd, const char *as, struct err *err)
{
	int data[2], words[2], status = 0;
	struct report report;
	if (pipe2(data, O_CLOEXEC) < 0)
		return err_sys(err, "cannot make a pipe");
	cleanup_fd int in = data[0], out = data[1];
	if (pipe2(words, O_CLOEXEC) < 0)
		return err_sys(err, "cannot make a pipe");
	cleanup_fd int hear = words[0], say = words[1];
	(void)fcntl(out, F_SETPIPE_SZ, PIPE_BYTES);
	pid_t parent = getpid(), pid = fork();
	if (pid < 0)
		return err_sys(err, "cannot start a process");
	if (pid == 0) {
		struct reading r = { .fd = fd,
				     .data_fd = out,
				     .report_fd = say,
				     .as = as,
				     .c = c,
				     .entries = c->entries };
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		reader_main(&r);
	}
	fd_close(&out);
	fd_close(&say);
	int rc = as ? take_data(c, in, err) : 0;
	/* Who writes to nobody stops. */
	fd_close(&in);
	ssize_t heard = fd_read_all(hear, &report, sizeof(report));
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (rc == 0 && cancel_requested())
		rc = err_set(err, EINTR, "cancelled");
	return rc < 0 ? rc : judge(c, &report, heard, status, err);
}

struct opening {
	int fd;
};

static int open_file(void *arg, int dir_fd, const char *name, const char *path,
		     const struct stat *st, struct err *err)
{
	struct opening *o = arg;
	if (!S_ISREG(st->st_mode))
		return 0;
	o->fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	return o->fd < 0 ? err_sys(err, "cannot open %.300s", path) : 0;
}

static int refuse_unknown(const char *path, int fd, struct err *err)
{
	static const struct {
		const char *name;
		unsigned char head[6];
		ssize_t size;
	} unknown[] = {
		{ "xz", { 0xfd, '7', 'z', 'X', 'Z', 0 }, 6 },
		{ "bzip2", { 'B', 'Z', 'h' }, 3 },
	};
	unsigned char head[8];
	ssize_t n = pread(fd, head, sizeof(head), 0);
	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
		if (n >= unknown[i].size && !memcmp(head, unknown[i].head, (size_t)unknown[i].size))
			return err_set(err, EOPNOTSUPP,
				       "ADD %.200s: %s archives are not unpacked: use gzip, zstd "
				       "or plain tar, or COPY it as it is",
				       path, unknown[i].name);
	return 0;
}

int archive_is_one(struct copying *c, const char *path, struct err *err)
{
	struct opening o = { .fd = -1 };
	int rc = stack_entry(c->from, path, open_file, &o, err);
	cleanup_fd int fd = o.fd;
	if (rc == 0 && fd >= 0)
		rc = refuse_unknown(path, fd, err);
	if (rc < 0 || fd < 0)
		return rc;
	return read_by_child(c, fd, NULL, err);
}

/* What comes out of it counts against the layer's limit. */
int archive_below(struct copying *c, const char *path, const char *as, struct err *err)
{
	struct opening o = { .fd = -1 };
	int rc = stack_entry(c->from, path, open_file, &o, err);
	cleanup_fd int fd = o.fd;
	if (rc == 0 && fd >= 0)
		rc = read_by_child(c, fd, as, err);
	return rc < 0 ? err_prefix(err, "ADD %.200s", path) : 0;
}
