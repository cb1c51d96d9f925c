/* SPDX-License-Identifier: Apache-2.0 */
/* roots - see roots.h. The locks are flock(2) on a file in each folder; they go
 * with the process, however it ends. isolad, before the loop runs. */
#include "roots.h"

#include "config.h"
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
	if (mkdirat(roots->state_fd, "instances", 0700) < 0 && errno != EEXIST)
		return err_sys(err, "cannot make %s/instances", roots->state);
	roots->instances_fd =
		openat(roots->state_fd, "instances", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (roots->instances_fd < 0)
		return err_sys(err, "cannot open %s/instances", roots->state);
	return 0;
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
