/* SPDX-License-Identifier: Apache-2.0 */
/* blob - see blob.h. Runs in isola-image's jail. */
#include "blob.h"

#include "isola/fd.h"
#include "isola/id.h"
#include "cancel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

bool blob_exists(const struct store *s, const char *digest)
{
	return id_is_digest(digest) &&
	       faccessat(s->blobs_fd, digest_hex(digest), F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int blob_open(const struct store *s, const char *digest, uint64_t *ret_size, struct err *err)
{
	struct stat st;
	if (!id_is_digest(digest))
		return err_set(err, EINVAL, "\"%.100s\" is no digest", digest);
	cleanup_fd int fd =
		openat(s->blobs_fd, digest_hex(digest), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? err_set(err, ENOENT, "the store lacks blob %s", digest)
				       : err_sys(err, "cannot open blob %s", digest);
	if (fstat(fd, &st) < 0)
		return err_sys(err, "cannot look at blob %s", digest);
	if (!S_ISREG(st.st_mode))
		return err_set(err, EINVAL, "blob %s is no file", digest);
	if (ret_size)
		*ret_size = (uint64_t)st.st_size;
	return take_fd(&fd);
}

int blob_text(const struct store *s, const char *digest, char **ret, size_t *ret_size,
	      struct err *err)
{
	cleanup_free char *text = NULL;
	char found[DIGEST_SIZE];
	size_t size = 0;
	if (!id_is_digest(digest))
		return err_set(err, EINVAL, "\"%.100s\" is no digest", digest);
	if (!blob_exists(s, digest))
		return err_set(err, ENOENT, "the store lacks blob %s", digest);
	int rc = fd_read_file(s->blobs_fd, digest_hex(digest), STORE_JSON_BYTES_MAX, &text, &size,
			      err);
	if (rc == 0)
		rc = digest_of(text, size, found, err);
	if (rc < 0)
		return err_prefix(err, "blob %s", digest);
	if (strcmp(found, digest) != 0)
		return err_set(err, EIO, "blob %s is damaged: its content is %s", digest, found);
	*ret = take_ptr(text);
	*ret_size = size;
	return 0;
}

/* ---- leases ---- */

/* The byte that stands for @digest: its first 60 bits. Two digests that meet there
 * wait for each other, which is no harm. */
static off_t lease_byte(const char *digest)
{
	char head[16];
	(void)snprintf(head, sizeof(head), "%.15s", digest_hex(digest));
	return (off_t)strtoull(head, NULL, 16);
}

/* Beyond all of those: that somebody waits. */
#define WANTED_FROM ((off_t)1 << 60)

/* Open-file-description locks: they belong to the job's descriptor, not to the
 * process, and change from exclusive to shared in one step. */
static int set_byte(const struct job *job, off_t byte, short kind, bool wait)
{
	struct flock f = { .l_type = kind, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1 };
	while (fcntl(job->lease_fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &f) < 0) {
		if (errno == EACCES || errno == EAGAIN)
			return -EAGAIN;
		if (errno != EINTR || cancel_requested())
			return -errno;
	}
	return 0;
}

static int set_lease(const struct job *job, const char *digest, short kind, bool wait)
{
	return set_byte(job, lease_byte(digest), kind, wait);
}

static int lease_failed(const char *digest, int rc, struct err *err)
{
	return rc == -EAGAIN ? err_set(err, EAGAIN, "another job is making blob %s", digest)
			     : err_rc(err, rc, "cannot lease blob %s", digest);
}

static int lease(const struct job *job, const char *digest, bool wait, struct err *err)
{
	/* Shared first: several jobs may use a finished one. */
	int rc = set_lease(job, digest, F_RDLCK, wait);
	if (rc == 0 && blob_exists(job->store, digest))
		return 1;
	/* Two who change from shared to exclusive would wait for each other. */
	if (rc == 0) {
		blob_unlease(job, digest);
		rc = set_lease(job, digest, F_WRLCK, wait);
	}
	if (rc < 0)
		return lease_failed(digest, rc, err);
	if (!blob_exists(job->store, digest))
		return 0;
	rc = set_lease(job, digest, F_RDLCK, false);
	return rc < 0 ? lease_failed(digest, rc, err) : 1;
}

int blob_lease(const struct job *job, const char *digest, bool wait, struct err *err)
{
	if (!id_is_digest(digest))
		return err_set(err, EINVAL, "\"%.100s\" is no digest", digest);
	off_t wanted = WANTED_FROM + lease_byte(digest);
	if (wait)
		(void)set_byte(job, wanted, F_RDLCK, false);
	int rc = lease(job, digest, wait, err);
	if (wait)
		(void)set_byte(job, wanted, F_UNLCK, false);
	return rc;
}

bool blob_is_wanted(const struct job *job, const char *digest)
{
	struct flock f = { .l_type = F_WRLCK,
			   .l_whence = SEEK_SET,
			   .l_start = WANTED_FROM + lease_byte(digest),
			   .l_len = 1 };
	return fcntl(job->lease_fd, F_OFD_GETLK, &f) == 0 && f.l_type != F_UNLCK;
}

void blob_unlease(const struct job *job, const char *digest)
{
	(void)set_lease(job, digest, F_UNLCK, false);
}

bool blob_lease_last(const struct job *job, const char *digest)
{
	return set_lease(job, digest, F_WRLCK, false) == 0;
}

/* ---- writing one ---- */

static void write_name(const struct blob_write *w, char ret[32])
{
	(void)snprintf(ret, 32, "blob-%u", w->number);
}

int blob_begin(const struct job *job, struct blob_write *ret, struct err *err)
{
	static unsigned int number;
	struct blob_write w = { .job = job, .number = number++, .fd = -1 };
	char name[32];
	write_name(&w, name);
	int rc = hasher_new(&w.hasher, err);
	if (rc < 0)
		return rc;
	w.fd = openat(job->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (w.fd < 0) {
		rc = err_sys(err, "cannot make a temporary file");
		hasher_free(w.hasher);
		return rc;
	}
	*ret = w;
	return 0;
}

int blob_add(struct blob_write *w, const void *data, size_t size, struct err *err)
{
	int rc = fd_write_all(w->fd, data, size);
	if (rc < 0)
		return err_rc(err, rc, "cannot write a temporary file");
	hasher_add(w->hasher, data, size);
	w->size += size;
	return 0;
}

int blob_reopen(const struct blob_write *w, struct err *err)
{
	char name[32];
	write_name(w, name);
	int fd = openat(w->job->fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? err_sys(err, "cannot open a temporary file") : fd;
}

int blob_compare(struct blob_write *w, const char *want_digest, int64_t want_size, struct err *err)
{
	if (!*w->digest && hasher_end(w->hasher, w->digest) < 0)
		return err_set(err, EIO, "SHA-256 failed");
	if (want_size >= 0 && (uint64_t)want_size != w->size)
		return err_set(err, EINVAL,
			       "wrong size: blob %s has %llu bytes, expected were %lld",
			       want_digest ? want_digest : w->digest, (unsigned long long)w->size,
			       (long long)want_size);
	if (want_digest && strcmp(want_digest, w->digest) != 0)
		return err_set(err, EINVAL, "wrong digest: blob %s has the content of %s",
			       want_digest, w->digest);
	return 0;
}

int blob_place(struct blob_write *w, struct err *err)
{
	const char *digest = w->digest;
	char name[32];
	write_name(w, name);
	/* Exclusive until it has its name: who gets the lease and finds no blob makes it. */
	int rc = set_lease(w->job, digest, F_WRLCK, false);
	if (rc < 0)
		rc = set_lease(w->job, digest, F_RDLCK, true);
	if (rc < 0)
		return lease_failed(digest, rc, err);
	if (renameat2(w->job->fd, name, w->job->store->blobs_fd, digest_hex(digest),
		      RENAME_NOREPLACE) < 0 &&
	    errno != EEXIST)
		return err_sys(err, "cannot put blob %s in place", digest);
	rc = set_lease(w->job, digest, F_RDLCK, false);
	if (rc < 0)
		return lease_failed(digest, rc, err);
	blob_write_fini(w);
	return 0;
}

/* Content, then name, then the folder: a crash leaves no name without content. */
int blob_commit(struct blob_write *w, const char *want_digest, int64_t want_size,
		char ret_digest[DIGEST_SIZE], struct err *err)
{
	int rc = blob_compare(w, want_digest, want_size, err);
	if (rc < 0)
		return rc;
	strcpy(ret_digest, w->digest);
	if (fsync(w->fd) < 0)
		return err_sys(err, "cannot write blob %s to disk", w->digest);
	int blobs_fd = w->job->store->blobs_fd;
	rc = blob_place(w, err);
	if (rc == 0 && fsync(blobs_fd) < 0)
		rc = err_sys(err, "cannot write blob %s to disk", ret_digest);
	return rc;
}

void blob_write_fini(struct blob_write *w)
{
	char name[32];
	if (w->fd < 0)
		return;
	write_name(w, name);
	(void)unlinkat(w->job->fd, name, 0);
	hasher_free(w->hasher);
	w->hasher = NULL;
	fd_close(&w->fd);
}
