/* SPDX-License-Identifier: Apache-2.0 */
/* disk_kernel - see disk_kernel.h. Disks made of one image hold the same kernel, which
 * is stored once: a stored one counts as the same only when every byte is. */
#include "disk_kernel.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/path.h"
#include "place.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define ANSWER_BYTES_MAX 4096
#define SAME_MAX         100 /* different kernels that call themselves alike */

extern char **environ;

/* Where the work is done and what came of it. */
struct job {
	char folder[PATH_MAX]; /* in the store, removed at the end */
	char store[PATH_MAX];
	json_object *answer;
};

/* A folder of our own in @store; false when we may not write there. */
static bool make_folder(struct job *job, const char *store)
{
	struct err ignored = ERR_INIT;
	if (path_mkdir_all(store, 0755, &ignored) < 0 ||
	    snprintf(job->store, sizeof(job->store), "%s", store) >= (int)sizeof(job->store) ||
	    snprintf(job->folder, sizeof(job->folder), "%s/.disk-XXXXXX", store) >=
		    (int)sizeof(job->folder))
		return false;
	return mkdtemp(job->folder) != NULL;
}

static int make_place(struct job *job, const char *store, struct err *err)
{
	char own[PATH_MAX];
	const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	if (make_folder(job, store))
		return 0;
	if (cache && *cache)
		(void)snprintf(own, sizeof(own), "%s/isola/disk-kernels", cache);
	else
		(void)snprintf(own, sizeof(own), "%s/.cache/isola/disk-kernels", home ? home : "");
	if (make_folder(job, own))
		return 0;
	return err_sys(err, "can store the disk's kernel neither in %s nor in %s", store, own);
}

/* Starts isola-bootdisk with its five descriptors; -errno or its process id. */
static int start(const char *program, int disk, int out, int kernel, int initrd)
{
	/* Above those that it gets, so that none is closed by the dealing out. */
	const int from[] = { disk, out, -1, kernel, initrd };
	int high[5];
	char *argv[] = { (char *)(uintptr_t)program, NULL };
	posix_spawn_file_actions_t actions;
	pid_t pid;
	(void)posix_spawn_file_actions_init(&actions);
	for (int i = 0; i < 5; i++) {
		high[i] = from[i] < 0 ? -1 : fcntl(from[i], F_DUPFD_CLOEXEC, 10);
		if (high[i] >= 0)
			(void)posix_spawn_file_actions_adddup2(&actions, high[i], i);
	}
	int rc = posix_spawn(&pid, program, &actions, NULL, argv, environ);
	(void)posix_spawn_file_actions_destroy(&actions);
	for (int i = 0; i < 5; i++)
		fd_close(&high[i]);
	return rc ? -rc : (int)pid;
}

static int collect(int pid, int pipe_fd, json_object **ret, struct err *err)
{
	char text[ANSWER_BYTES_MAX];
	int status = 0;
	ssize_t n = fd_read_all(pipe_fd, text, sizeof(text));
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFSIGNALED(status))
		return err_set(err, EIO,
			       "isola-bootdisk was killed by signal %d while it read the disk: is "
			       "it damaged? (give --kernel and --initrd)",
			       WTERMSIG(status));
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 || n <= 0)
		return err_set(err, EIO, "isola-bootdisk could not read the disk");
	return json_parse(text, (size_t)n, "isola-bootdisk's answer", ret, err);
}

static int open_out(const char *folder, const char *name, struct err *err)
{
	char path[PATH_MAX];
	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	return fd < 0 ? err_sys(err, "cannot make %s", path) : fd;
}

static int extract(struct job *job, const char *path, struct err *err)
{
	char program[PATH_MAX];
	int ends[2];
	int rc = place_find("isola-bootdisk", program, sizeof(program), err);
	if (rc < 0)
		return rc;
	cleanup_fd int disk = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (disk < 0)
		return err_sys(err, "cannot open the disk %s", path);
	cleanup_fd int kernel = open_out(job->folder, "vmlinuz", err);
	cleanup_fd int initrd = kernel < 0 ? -1 : open_out(job->folder, "initrd", err);
	if (initrd < 0)
		return -EIO;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(err, "cannot make a pipe");
	rc = start(program, disk, ends[1], kernel, initrd);
	fd_close(&ends[1]);
	if (rc > 0)
		rc = collect(rc, ends[0], &job->answer, err);
	else
		rc = err_set(err, -rc, "cannot execute %s: %s", program, strerror(-rc));
	fd_close(&ends[0]);
	return rc;
}

/* ---- into the store ---- */

static bool same_file(const char *a_dir, const char *b, const char *name)
{
	char path[PATH_MAX];
	struct stat sa, sb;
	(void)snprintf(path, sizeof(path), "%s/%s", a_dir, name);
	cleanup_fd int fa = open(path, O_RDONLY | O_CLOEXEC), fb = open(b, O_RDONLY | O_CLOEXEC);
	if (fa < 0 || fb < 0 || fstat(fa, &sa) < 0 || fstat(fb, &sb) < 0 ||
	    sa.st_size != sb.st_size || sa.st_size == 0)
		return false;
	size_t size = (size_t)sa.st_size;
	void *x = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fa, 0);
	void *y = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fb, 0);
	bool same = x != MAP_FAILED && y != MAP_FAILED && !memcmp(x, y, size);
	if (x != MAP_FAILED)
		(void)munmap(x, size);
	if (y != MAP_FAILED)
		(void)munmap(y, size);
	return same;
}

static bool is_same(const struct job *job, const struct kernel *k, const char *root)
{
	return !strcmp(k->root, root) && same_file(job->folder, k->kernel, "vmlinuz") &&
	       (*k->initrd ? same_file(job->folder, k->initrd, "initrd")
			   : !json_bool_or(job->answer, "initrd", false));
}

/* What the disk says of itself becomes part of a name: only harmless characters. */
static void clean_release(const char *text, char *ret, size_t size)
{
	size_t n = 0;
	for (; *text && n + 1 < size; text++)
		ret[n++] = strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				  "._-+",
				  *text)
				   ? *text
				   : '_';
	ret[n] = '\0';
}

static int store_new(const struct job *job, const char *name, const char *release,
		     struct kernel *ret, struct err *err)
{
	cleanup_json json_object *doc = json_object_new_object();
	json_add_str(doc, "name", name);
	json_add_str(doc, "kind", "disk");
	json_add_str(doc, "release", release);
	json_add_str(doc, "root", json_str_or(job->answer, "root", ""));
	json_add_str(doc, "kernel", "vmlinuz");
	if (json_bool_or(job->answer, "initrd", false))
		json_add_str(doc, "initrd", "initrd");
	cleanup_fd int dir = open(job->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return err_sys(err, "cannot open %s", job->folder);
	int rc = json_write_atomic(dir, "kernel.json", doc, FD_SYNC_NO, err);
	return rc < 0 ? rc : kernel_install(job->store, job->folder, ret, err);
}

static int store(const struct job *job, struct kernel *ret, struct err *err)
{
	char release[64], name[96];
	const char *root = json_str_or(job->answer, "root", "");
	clean_release(json_str_or(job->answer, "release", ""), release, sizeof(release));
	for (int i = 1; i <= SAME_MAX; i++) {
		struct err none = ERR_INIT;
		if (i == 1)
			(void)snprintf(name, sizeof(name), "disk-%s", release);
		else
			(void)snprintf(name, sizeof(name), "disk-%s.%d", release, i);
		int rc = kernel_find(job->store, name, ret, &none);
		if (rc == -ENOENT)
			return store_new(job, name, release, ret, err);
		if (rc == 0 && is_same(job, ret, root))
			return 0;
	}
	return err_set(err, ENOSPC,
		       "%d kernels called %s are stored already: remove some (vmctl kernel ls, rm)",
		       SAME_MAX, release);
}

static void remove_folder(const struct job *job)
{
	struct err ignored = ERR_INIT;
	cleanup_fd int fd = open(job->store, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const char *name = strrchr(job->folder, '/');
	if (fd >= 0 && name)
		(void)fd_remove_tree(fd, name + 1, &ignored);
}

int disk_kernel(const char *store_path, const char *path, struct kernel *ret, struct err *err)
{
	struct job job = { .answer = NULL };
	int rc = make_place(&job, store_path, err);
	if (rc < 0)
		return rc;
	rc = extract(&job, path, err);
	if (rc == 0 && json_get(job.answer, "release"))
		rc = store(&job, ret, err) < 0 ? -EIO : 1;
	else if (rc == 0)
		*ret = (struct kernel){ .name = "" };
	if (rc == 0)
		(void)snprintf(ret->root, sizeof(ret->root), "%s",
			       json_str_or(job.answer, "root", ""));
	json_object_put(job.answer);
	remove_folder(&job);
	return rc < 0 ? err_prefix(err, "%s", path) : rc;
}

int disk_root(const char *store_path, const char *path, char *ret, size_t size, struct err *err)
{
	struct job job = { .answer = NULL };
	int rc = make_place(&job, store_path, err);
	if (rc < 0)
		return rc;
	rc = extract(&job, path, err);
	if (rc == 0)
		(void)snprintf(ret, size, "%s", json_str_or(job.answer, "root", ""));
	json_object_put(job.answer);
	remove_folder(&job);
	return rc < 0 ? err_prefix(err, "%s", path) : 0;
}
