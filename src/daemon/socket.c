/* SPDX-License-Identifier: Apache-2.0 */
/* socket - see socket.h. unix(7). isolad, at start. */
#include "socket.h"

#include "isola/fd.h"
#include "isola/path.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define USUAL_GROUP "isola"
#define BACKLOG     512

static int find_group(const char *name, gid_t *ret, struct err *err)
{
	struct group *g = getgrnam(*name ? name : USUAL_GROUP);
	if (!g && *name)
		return err_set(err, ENOENT, "group: there is no group \"%s\" on this host", name);
	*ret = g ? g->gr_gid : 0;
	return 0;
}

static int make_folder(const char *path, struct err *err)
{
	char dir[PATH_MAX];
	if (snprintf(dir, sizeof(dir), "%s", path) >= (int)sizeof(dir))
		return err_set(err, ENAMETOOLONG, "socket: the path is too long");
	char *slash = strrchr(dir, '/');
	if (!slash || slash == dir)
		return 0;
	*slash = '\0';
	return path_mkdir_all(dir, 0755, err);
}

/* Removes a socket that nobody serves any more. */
static int clear_stale(const struct sockaddr_un *sa, struct err *err)
{
	struct stat st;
	if (lstat(sa->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : err_sys(err, "cannot look at %s", sa->sun_path);
	if (!S_ISSOCK(st.st_mode))
		return err_set(err, EEXIST, "socket: %s exists and is no socket", sa->sun_path);
	cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_sys(err, "cannot make a socket");
	if (connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) == 0 || errno == EAGAIN)
		return err_set(err, EADDRINUSE,
			       "socket: another program serves %s: stop it, or give this isolad "
			       "a socket of its own with --socket",
			       sa->sun_path);
	if (unlink(sa->sun_path) < 0 && errno != ENOENT)
		return err_sys(err, "cannot remove the stale socket %s", sa->sun_path);
	return 0;
}

int socket_listen(const char *path, const char *group, struct err *err)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	gid_t gid = 0;
	if (strlen(path) >= sizeof(sa.sun_path))
		return err_set(err, ENAMETOOLONG, "socket: %s is longer than %zu bytes", path,
			       sizeof(sa.sun_path) - 1);
	memcpy(sa.sun_path, path, strlen(path));
	int rc = find_group(group, &gid, err);
	if (rc == 0)
		rc = make_folder(path, err);
	if (rc == 0)
		rc = clear_stale(&sa, err);
	if (rc < 0)
		return rc;
	cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_sys(err, "cannot make a socket");
	/* Nobody gets in before owner and mode are right. */
	mode_t old = umask(0177);
	rc = bind(fd, (struct sockaddr *)&sa, sizeof(sa));
	(void)umask(old);
	if (rc < 0)
		return err_sys(err, "cannot bind %s", sa.sun_path);
	if (chown(path, 0, gid) < 0 || chmod(path, 0660) < 0 || listen(fd, BACKLOG) < 0) {
		rc = err_sys(err, "cannot set up %s", sa.sun_path);
		(void)unlink(path);
		return rc;
	}
	return take_fd(&fd);
}
