/* SPDX-License-Identifier: Apache-2.0 */
/* root - see root.h. Runs in isola-image's jail. */
#include "root.h"

#include "isola/fd.h"
#include "isola/id.h"
#include "isola/json.h"
#include "cancel.h"
#include "collect.h"
#include "digest.h"
#include "layer.h"
#include "mkfs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#define OUT             "out"
#define FACTS_BYTES_MAX 4096
#define WAIT_MS         (20 * 60 * 1000)
#define SPARE_BYTES     (4ULL * 1024 * 1024) /* inodes, folders */
#define FULL_BYTES      (64 * 1024)
#define MAGIC           0xe0f5e1e2u
#define MAGIC_AT        1024

struct making {
	const struct job *job;
	const struct limits *limits;
	struct layer *layers; /* bottom first */
	size_t n;
};

/* ---- what is there ---- */

static int open_folder(const struct store *s, const char *chain_hex)
{
	return openat(s->layers_fd, chain_hex, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static uint64_t bytes_in(int dir)
{
	struct stat st;
	bool ok = fstatat(dir, ROOT_FILE, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode);
	return ok ? (uint64_t)st.st_size : 0;
}

uint64_t root_bytes(const struct store *s, const char *chain_hex)
{
	cleanup_fd int dir = open_folder(s, chain_hex);
	return dir < 0 ? 0 : bytes_in(dir);
}

static int verify_in(int dir, int file, uint64_t *ret_bytes, struct err *err)
{
	cleanup_json json_object *facts = NULL;
	char digest[DIGEST_SIZE] = "";
	uint64_t bytes = 0;
	int rc = json_read_file(dir, ROOT_FACTS, FACTS_BYTES_MAX, &facts, err);
	if (rc < 0)
		return err_prefix(err, "its " ROOT_FACTS);
	rc = digest_fd(file, digest, &bytes, err);
	*ret_bytes += bytes;
	if (rc < 0)
		return rc;
	if (bytes != (uint64_t)json_i64_or(facts, "size", -1))
		return err_set(err, EIO, "it has %llu bytes and should have %lld",
			       (unsigned long long)bytes,
			       (long long)json_i64_or(facts, "size", -1));
	if (strcmp(digest, json_str_or(facts, "digest", "")) != 0)
		return err_set(err, EIO, "its content is %s", digest);
	return 0;
}

int root_verify(const struct store *s, const char *chain_hex, uint64_t *ret_bytes, struct err *err)
{
	cleanup_fd int dir = open_folder(s, chain_hex);
	cleanup_fd int file =
		dir < 0 ? -1 : openat(dir, ROOT_FILE, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (file < 0)
		return errno == ENOENT ? 0 : err_set(err, EIO, "it cannot be opened");
	int rc = verify_in(dir, file, ret_bytes, err);
	return rc == 0 || rc == -EINTR ? rc : -EIO;
}

static int open_lock(int dir, struct err *err)
{
	int fd = openat(dir, "root.lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	return fd < 0 ? err_sys(err, "cannot open root.lock") : fd;
}

int root_remove(const struct store *s, const char *chain_hex, uint64_t *ret_bytes, struct err *err)
{
	cleanup_fd int dir = open_folder(s, chain_hex);
	if (dir < 0 || faccessat(dir, ROOT_FILE, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	cleanup_fd int lock = open_lock(dir, err);
	if (lock < 0)
		return lock;
	if (flock(lock, LOCK_EX | LOCK_NB) < 0)
		return 0;
	uint64_t bytes = bytes_in(dir);
	if (unlinkat(dir, ROOT_FILE, 0) < 0)
		return errno == ENOENT ? 0 : err_sys(err, "cannot remove a root image");
	(void)unlinkat(dir, ROOT_FACTS, 0);
	if (ret_bytes)
		*ret_bytes += bytes;
	return 1;
}

/* ---- making it ---- */

static void let_go(struct making *m)
{
	for (size_t i = 0; i < m->n; i++)
		layer_fini(m->job->store, &m->layers[i]);
	free(m->layers);
	m->layers = NULL;
	m->n = 0;
}

/* Claims all layers, from the bottom. */
static int hold_layers(struct making *m, json_object *record, struct err *err)
{
	json_object *list = json_get(record, "layers");
	size_t n = json_len(list);
	if (n == 0 || n > STORE_LAYERS_MAX)
		return err_set(err, EINVAL, "the image has %s", n ? "too many layers" : "no layer");
	m->layers = calloc(n, sizeof(*m->layers));
	if (!m->layers)
		return err_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; i < n; i++) {
		struct layer *l = &m->layers[m->n++];
		*l = (struct layer)LAYER_INIT;
		(void)snprintf(l->chain, sizeof(l->chain), "sha256:%.64s", json_item_str(list, i));
		int rc = id_is_digest(l->chain)
				 ? layer_claim(m->job->store, l, err)
				 : err_set(err, EINVAL, "the image's record names no layer");
		if (rc < 0)
			return rc;
		if (!l->present)
			return err_set(err, ENOENT, "layer %.12s is missing", digest_hex(l->chain));
	}
	return 0;
}

/* A disk that is too full is told of before it is filled for everybody. */
static int check_room(const struct making *m, struct err *err)
{
	struct statvfs fs;
	uint64_t bytes = SPARE_BYTES;
	for (size_t i = 0; i < m->n; i++)
		bytes += m->layers[i].bytes;
	if (fstatvfs(m->job->fd, &fs) < 0)
		return err_sys(err, "cannot look at the file system of the store");
	if (bytes > m->limits->bytes)
		return err_set(err, EFBIG, "the image's files have more than %llu bytes",
			       (unsigned long long)m->limits->bytes);
	/* An overestimate: layers may hide each other's files. */
	if (bytes / fs.f_frsize > fs.f_bavail)
		return err_set(err, ENOSPC,
			       "there is no room for it: up to %llu MiB are needed, and %llu MiB "
			       "are free",
			       (unsigned long long)(bytes >> 20),
			       (unsigned long long)(fs.f_bavail * fs.f_frsize >> 20));
	return 0;
}

/* mkfs.erofs 1.5 takes a full disk for other things; what it wrote is still there. */
static bool is_full(const struct job *job)
{
	struct statvfs fs;
	return fstatvfs(job->fd, &fs) == 0 && fs.f_bavail * fs.f_frsize < FULL_BYTES;
}

static int tell_full(struct err *err)
{
	struct err said = *err;
	return err_set(err, ENOSPC, "the disk is full (%.400s)", said.text);
}

static int run_mkfs(const struct making *m, struct err *err)
{
	const struct mkfs_limits limits = { .file_bytes = m->limits->bytes, .wait_ms = WAIT_MS };
	if (mkdirat(m->job->fd, OUT, 0700) < 0 ||
	    fchownat(m->job->fd, OUT, MKFS_USER, MKFS_USER, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(err, "cannot make a folder for mkfs.erofs");
	char(*chains)[DIGEST_HEX_SIZE] = calloc(m->n, DIGEST_HEX_SIZE);
	if (!chains)
		return err_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; i < m->n; i++)
		strcpy(chains[i], digest_hex(m->layers[m->n - 1 - i].chain));
	int rc = mkfs_run(m->job->name, OUT, (const char(*)[65])chains, m->n, &limits, err);
	free(chains);
	return rc < 0 && rc != -EINTR && is_full(m->job) ? tell_full(err) : rc;
}

/* What a foreign program made of foreign bytes: an ordinary file of nobody else's, with
 * the right beginning. Whether a kernel likes the rest is the guest's kernel's business. */
static int take_file(int out, uint64_t bytes_max, struct err *err)
{
	uint32_t magic = 0;
	struct stat st;
	cleanup_fd int fd = openat(out, MKFS_FILE, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(err, "mkfs.erofs made nothing");
	if (!S_ISREG(st.st_mode) || st.st_nlink != 1 || (uint64_t)st.st_size > bytes_max ||
	    pread(fd, &magic, sizeof(magic), MAGIC_AT) != sizeof(magic) || magic != MAGIC)
		return err_set(err, EIO, "what mkfs.erofs made is no EROFS file system");
	uint64_t size = ((uint64_t)st.st_size + ROOT_ALIGN - 1) / ROOT_ALIGN * ROOT_ALIGN;
	if (fchown(fd, 0, 0) < 0 || fchmod(fd, 0400) < 0 || ftruncate(fd, (off_t)size) < 0)
		return err_sys(err, "cannot finish the root image");
	return take_fd(&fd);
}

static int write_facts(const struct job *job, int file, json_object *facts, struct err *err)
{
	char digest[DIGEST_SIZE];
	uint64_t bytes = 0;
	int rc = digest_fd(file, digest, &bytes, err);
	if (rc < 0)
		return rc;
	json_add_i64(facts, "version", 1);
	json_add_str(facts, "digest", digest);
	json_add_i64(facts, "size", (int64_t)bytes);
	return json_write_atomic(job->fd, ROOT_FACTS, facts, FD_SYNC_YES, err);
}

/* The file last: with it, it is made. */
static int publish(const struct job *job, int out, int to, struct err *err)
{
	if (renameat(job->fd, ROOT_FACTS, to, ROOT_FACTS) < 0 || fsync(to) < 0 ||
	    renameat(out, MKFS_FILE, to, ROOT_FILE) < 0 || fsync(to) < 0)
		return err_sys(err, "cannot put the root image in place");
	return 0;
}

static int make(const struct making *m, int to, json_object *facts, struct err *err)
{
	int rc = check_room(m, err);
	if (rc == 0)
		rc = run_mkfs(m, err);
	cleanup_fd int out =
		rc < 0 ? -1
		       : openat(m->job->fd, OUT, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (rc < 0)
		return rc;
	cleanup_fd int file = take_file(out, m->limits->bytes, err);
	if (file < 0)
		return file;
	rc = write_facts(m->job, file, facts, err);
	if (rc == 0 && fsync(file) < 0)
		rc = err_sys(err, "cannot write the root image to disk");
	return rc < 0 ? rc : publish(m->job, out, to, err);
}

/* 1 = made here, 0 = it was there. */
static int make_once(const struct making *m, json_object **ret_facts, struct err *err)
{
	int to = m->layers[m->n - 1].lock_fd;
	cleanup_fd int lock = open_lock(to, err);
	if (lock < 0)
		return lock;
	while (flock(lock, LOCK_EX) < 0)
		if (errno != EINTR || cancel_requested())
			return err_sys(err, "cannot lock the root image");
	if (bytes_in(to) && json_read_file(to, ROOT_FACTS, FACTS_BYTES_MAX, ret_facts, NULL) == 0)
		return 0;
	*ret_facts = json_object_new_object();
	int rc = make(m, to, *ret_facts, err);
	return rc < 0 ? rc : 1;
}

/* The image may have been removed meanwhile; its layers were held. */
static int sweep_if_gone(const struct job *job, const char *id, struct err *err)
{
	cleanup_json json_object *record = NULL;
	cleanup_fd int lock = store_lock(job->store, err);
	if (lock < 0)
		return lock;
	int rc = record_read(job->store, id, &record, err);
	if (rc != 0)
		return rc < 0 ? rc : 0;
	rc = collect_sweep(job, NULL, err);
	return rc < 0 ? rc : err_set(err, ENOENT, "No such image: %s", id);
}

int job_root(const struct store *s, const struct limits *limits, const char *id,
	     json_object **ret_aux, struct err *err)
{
	cleanup_job struct job job = JOB_INIT;
	cleanup_json json_object *record = NULL, *facts = NULL;
	struct making m = { .job = &job, .limits = limits };
	int rc = record_read(s, id, &record, err);
	if (rc <= 0)
		return rc < 0 ? rc : err_set(err, ENOENT, "No such image: %s", id);
	rc = job_open(s, &job, err);
	if (rc == 0)
		rc = hold_layers(&m, record, err);
	if (rc == 0)
		rc = make_once(&m, &facts, err);
	bool made = rc > 0;
	let_go(&m);
	/* Also when it failed: what was held is to go with the image. */
	struct err own = ERR_INIT;
	int gone = job.fd < 0 ? 0 : sweep_if_gone(&job, id, &own);
	if (rc < 0)
		return err_prefix(err, "cannot make the root image of %.19s", id);
	if (gone < 0)
		return err_copy(err, &own);
	json_object *aux = json_object_new_object();
	json_add_str(aux, "ID", id);
	json_add_str(aux, "Digest", json_str_or(facts, "digest", ""));
	json_add_i64(aux, "Size", json_i64_or(facts, "size", 0));
	json_add_bool(aux, "Made", made);
	*ret_aux = aux;
	return 0;
}
