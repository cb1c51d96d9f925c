/* SPDX-License-Identifier: Apache-2.0 */
/* store - see store.h. Runs in isola-image, after its jail is closed: "/" may
 * be the state folder itself. */
#include "store.h"

#include "isola/fd.h"
#include "isola/id.h"
#include "isola/image.h"
#include "isola/json.h"
#include "isola/path.h"
#include "cancel.h"
#include "digest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>

#define RECORD_BYTES_MAX (16 * 1024 * 1024)

static int open_dir(int at, const char *name, struct err *err)
{
	if (mkdirat(at, name, 0700) < 0 && errno != EEXIST)
		return err_sys(err, "cannot make the folder %s", name);
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? err_sys(err, "cannot open the folder %s", name) : fd;
}

static int write_marker(const struct store *s, struct err *err)
{
	static const char text[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
	if (faccessat(s->images_fd, "oci-layout", F_OK, 0) == 0)
		return 0;
	return fd_write_atomic(s->images_fd, "oci-layout", text, sizeof(text) - 1, 0, FD_SYNC_YES,
			       err);
}

int store_open(const char *path, struct store *ret, struct err *err)
{
	struct store s = STORE_INIT;
	cleanup_fd int blobs = -1;
	int rc = s.root_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (rc < 0)
		rc = err_sys(err, "cannot open the state folder %s", path);
	const struct {
		int *fd, *at;
		const char *name;
	} rows[] = {
		{ &s.images_fd, &s.root_fd, "images" },   { &blobs, &s.images_fd, "blobs" },
		{ &s.blobs_fd, &blobs, "sha256" },        { &s.layers_fd, &s.root_fd, "layers" },
		{ &s.records_fd, &s.root_fd, "records" }, { &s.tmp_fd, &s.root_fd, "tmp" },
	};
	for (size_t i = 0; rc >= 0 && i < sizeof(rows) / sizeof(rows[0]); i++)
		rc = *rows[i].fd = open_dir(*rows[i].at, rows[i].name, err);
	if (rc >= 0)
		rc = write_marker(&s, err);
	if (rc < 0) {
		store_fini(&s);
		return err_prefix(err, "image store");
	}
	*ret = s;
	return 0;
}

void store_fini(struct store *s)
{
	int *fds[] = { &s->root_fd,   &s->images_fd,  &s->blobs_fd,
		       &s->layers_fd, &s->records_fd, &s->tmp_fd };
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		fd_close(fds[i]);
}

static int lock_wait(int fd)
{
	while (flock(fd, LOCK_EX) < 0)
		if (errno != EINTR || cancel_requested())
			return -errno;
	return 0;
}

int store_lock(const struct store *s, struct err *err)
{
	cleanup_fd int fd =
		openat(s->images_fd, ".lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_sys(err, "cannot open images/.lock");
	int rc = lock_wait(fd);
	return rc < 0 ? err_rc(err, rc, "cannot lock the image store") : take_fd(&fd);
}

int store_sync(const struct store *s, struct err *err)
{
	return syncfs(s->root_fd) < 0 ? err_sys(err, "cannot write the image to disk") : 0;
}

/* ---- jobs ---- */

static int open_leases(const struct store *s, struct err *err)
{
	int fd = openat(s->images_fd, ".leases", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	return fd < 0 ? err_sys(err, "cannot open images/.leases") : fd;
}

int job_open(const struct store *s, struct job *ret, struct err *err)
{
	cleanup_fd int lease_fd = open_leases(s, err);
	if (lease_fd < 0)
		return lease_fd;
	for (int tries = 0; tries < 100; tries++) {
		struct job j = { .store = s, .fd = -1, .lease_fd = -1 };
		unsigned int rnd = 0;
		(void)getrandom(&rnd, sizeof(rnd), 0);
		(void)snprintf(j.name, sizeof(j.name), "job-%08x", rnd);
		if (mkdirat(s->tmp_fd, j.name, 0700) < 0) {
			if (errno == EEXIST)
				continue;
			break;
		}
		j.fd = openat(s->tmp_fd, j.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		struct stat st;
		/* `check` may have taken it for a leftover before the lock. */
		if (j.fd >= 0 && flock(j.fd, LOCK_EX | LOCK_NB) == 0 && fstat(j.fd, &st) == 0 &&
		    st.st_nlink > 0) {
			j.lease_fd = take_fd(&lease_fd);
			*ret = j;
			return 0;
		}
		fd_close(&j.fd);
	}
	return err_sys(err, "cannot make a folder in tmp/");
}

void job_fini(struct job *j)
{
	if (j->fd < 0)
		return;
	(void)fd_remove_tree(j->store->tmp_fd, j->name, NULL);
	fd_close(&j->fd);
	fd_close(&j->lease_fd);
}

int job_temp(const struct job *j, struct err *err)
{
	int fd = openat(j->fd, "temp", O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 || unlinkat(j->fd, "temp", 0) < 0) {
		(void)err_sys(err, "cannot make a temporary file");
		fd_close(&fd);
		return -EIO;
	}
	return fd;
}

/* ---- records ---- */

static int record_name(const char *id, char ret[DIGEST_HEX_SIZE + 5], struct err *err)
{
	if (!id_is_digest(id))
		return err_set(err, EINVAL, "\"%.100s\" is no image id", id);
	(void)snprintf(ret, DIGEST_HEX_SIZE + 5, "%s.json", digest_hex(id));
	return 0;
}

int record_read(const struct store *s, const char *id, json_object **ret, struct err *err)
{
	char name[DIGEST_HEX_SIZE + 5];
	int rc = record_name(id, name, err);
	if (rc < 0)
		return rc;
	if (faccessat(s->records_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
		return 0;
	cleanup_json json_object *o = NULL;
	rc = json_read_file(s->records_fd, name, RECORD_BYTES_MAX, &o, err);
	if (rc < 0)
		return err_prefix(err, "image record");
	if (strcmp(json_str_or(o, "id", ""), id) != 0)
		return err_set(err, EINVAL, "image record %s is damaged", name);
	*ret = take_ptr(o);
	return 1;
}

int record_write(const struct store *s, json_object *record, struct err *err)
{
	char name[DIGEST_HEX_SIZE + 5];
	size_t size = 0;
	int rc = record_name(json_str_or(record, "id", ""), name, err);
	if (rc < 0)
		return rc;
	(void)json_object_to_json_string_length(
		record, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &size);
	if (size > IMAGE_RECORD_BYTES_MAX)
		return err_set(err, EFBIG, "the image's config is too large");
	return json_write_atomic(s->records_fd, name, record, FD_SYNC_YES, err);
}

int record_remove(const struct store *s, const char *id, struct err *err)
{
	char name[DIGEST_HEX_SIZE + 5];
	int rc = record_name(id, name, err);
	if (rc < 0)
		return rc;
	if (unlinkat(s->records_fd, name, 0) < 0 && errno != ENOENT)
		return err_sys(err, "cannot remove records/%s", name);
	return fsync(s->records_fd) < 0 ? err_sys(err, "cannot sync records/") : 0;
}

int record_each(const struct store *s, record_fn *each, void *arg, struct err *err)
{
	int copy = openat(s->records_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	if (!d) {
		fd_close(&copy);
		return err_sys(err, "cannot read records/");
	}
	int rc = 0;
	struct dirent *e;
	while (rc >= 0 && (e = readdir(d))) {
		char id[DIGEST_SIZE];
		size_t n = strlen(e->d_name);
		if (n != DIGEST_HEX_SIZE - 1 + 5 || strcmp(e->d_name + n - 5, ".json") != 0)
			continue;
		(void)snprintf(id, sizeof(id), "sha256:%.64s", e->d_name);
		cleanup_json json_object *record = NULL;
		if (!id_is_digest(id))
			continue;
		rc = record_read(s, id, &record, err);
		if (rc > 0)
			rc = each(record, arg, err);
	}
	(void)closedir(d);
	return rc < 0 ? rc : 0;
}
