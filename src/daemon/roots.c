/* SPDX-License-Identifier: Apache-2.0 */
/* roots - see roots.h. The locks are flock(2) on a file in each folder; they go
 * with the process, however it ends. isolad, before the loop runs. */
#include "roots.h"

#include "config.h"
#include "folders.h"
#include "isola/fd.h"
#include "isola/path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define LOCK_TRIES    50
#define LOCK_PAUSE_US 20000

static int open_folder(const char *path, mode_t mode, struct err *err)
{
	int rc = path_mkdir_all(path, mode, err);
	if (rc < 0)
		return rc;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? err_sys(err, "cannot open %s", path) : fd;
}

/* A predecessor that was just killed may take a moment to go. */
static int lock_soon(int fd)
{
	for (int i = 0; i < LOCK_TRIES; i++) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return 0;
		if (errno != EWOULDBLOCK && errno != EINTR)
			return -1;
		(void)usleep(LOCK_PAUSE_US);
	}
	errno = EWOULDBLOCK;
	return -1;
}

static int lock_folder(int dir_fd, const char *what, const char *path, const char *flag,
		       struct err *err)
{
	cleanup_fd int fd =
		openat(dir_fd, ".lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_sys(err, "cannot open %s/.lock", path);
	char pid[32] = "";
	if (lock_soon(fd) < 0) {
		if (errno != EWOULDBLOCK)
			return err_sys(err, "cannot lock %s/.lock", path);
		(void)fd_read_all(fd, pid, sizeof(pid) - 1);
		pid[strcspn(pid, "\n")] = '\0';
		return err_set(err, EBUSY,
			       "another isolad (pid %s) uses the %s folder %s: stop it, or give "
			       "this one a folder of its own with %s",
			       *pid ? pid : "unknown", what, path, flag);
	}
	int n = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, (size_t)n, 0) != n)
		return err_sys(err, "cannot write %s/.lock", path);
	return take_fd(&fd);
}

/* What every root has, whatever its image: the places that a container's own files
 * and file systems are mounted on. As the lowest layer it is there where the image
 * lacks it, and no start has to make it in the writable layer (60 us a file), where
 * it would count as the container's change. */
static const struct {
	const char *name;
	bool folder;
} base[] = {
	{ "dev", true },
	{ "etc", true },
	{ "etc/hostname", false },
	{ "etc/hosts", false },
	{ "etc/resolv.conf", false },
	{ "proc", true },
	{ "sys", true },
};

/* By its owner's rights only, whatever the umask. */
static int make_place(int fd, const char *name, bool folder)
{
	if (folder) {
		if (mkdirat(fd, name, 0755) < 0)
			return errno == EEXIST ? 0 : -errno;
		return fchmodat(fd, name, 0755, 0) < 0 ? -errno : 0;
	}
	cleanup_fd int file =
		openat(fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (file < 0)
		return errno == EEXIST ? 0 : -errno;
	return fchmod(file, 0644) < 0 ? -errno : 0;
}

static int make_base(struct roots *roots, struct err *err)
{
	int rc = make_place(roots->state_fd, ROOTS_BASE, true);
	cleanup_fd int fd = rc < 0 ? -1
				   : openat(roots->state_fd, ROOTS_BASE,
					    O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (rc == 0 && fd < 0)
		rc = -errno;
	for (size_t i = 0; rc == 0 && i < sizeof(base) / sizeof(*base); i++)
		rc = make_place(fd, base[i].name, base[i].folder);
	return rc < 0 ? err_rc(err, rc, "cannot make %s/" ROOTS_BASE, roots->state) : 0;
}

void roots_init(struct roots *roots)
{
	*roots = (struct roots){ .state_fd = -1,
				 .run_fd = -1,
				 .instances_fd = -1,
				 .state_lock_fd = -1,
				 .run_lock_fd = -1 };
}

int roots_open(struct roots *roots, const struct config *config, struct err *err)
{
	roots->state = strdup(config->state);
	roots->run = strdup(config->run);
	if (!roots->state || !roots->run)
		return err_set(err, ENOMEM, "out of memory");
	/* 0711: payloads mapped to other ids walk through to their own layers. */
	roots->state_fd = open_folder(roots->state, 0711, err);
	if (roots->state_fd < 0)
		return roots->state_fd;
	roots->run_fd = open_folder(roots->run, 0755, err);
	if (roots->run_fd < 0)
		return roots->run_fd;
	roots->state_lock_fd = lock_folder(roots->state_fd, "state", roots->state, "--state", err);
	if (roots->state_lock_fd < 0)
		return roots->state_lock_fd;
	roots->run_lock_fd = lock_folder(roots->run_fd, "run", roots->run, "--run", err);
	if (roots->run_lock_fd < 0)
		return roots->run_lock_fd;
	fd_sweep_temp(roots->run_fd);
	if (mkdirat(roots->state_fd, "instances", 0700) < 0 && errno != EEXIST)
		return err_sys(err, "cannot make %s/instances", roots->state);
	roots->instances_fd =
		openat(roots->state_fd, "instances", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (roots->instances_fd < 0)
		return err_sys(err, "cannot open %s/instances", roots->state);
	folders_clear_spare(roots);
	return make_base(roots, err);
}

void roots_close(struct roots *roots)
{
	fd_close(&roots->instances_fd);
	fd_close(&roots->run_lock_fd);
	fd_close(&roots->state_lock_fd);
	fd_close(&roots->run_fd);
	fd_close(&roots->state_fd);
	free(roots->state);
	free(roots->run);
	roots->state = roots->run = NULL;
}
