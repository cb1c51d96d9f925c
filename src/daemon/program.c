/* SPDX-License-Identifier: Apache-2.0 */
/* program - isolad's helper programs: found and opened once at start, see
 * struct programs in child.h. open_tree(2), mount_setattr(2). */
#include "child.h"
#include "config.h"
#include "isola/fd.h"
#include "isola/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static const char *const names[PROGRAM_COUNT] = {
	[PROGRAM_KEEPER] = "isola-keeper",
	[PROGRAM_IMAGE] = "isola-image",
	[PROGRAM_RESOLVER] = "isola-resolver",
	[PROGRAM_VMM] = "isola-vmm", /* a keeper executes it, by its path */
	[PROGRAM_DHCP] = "isola-dhcp",
};

/* Descriptors 0-3 of a child are dealt out by number; ours stay clear of them. */
static int move_up(int fd)
{
	int up = fcntl(fd, F_DUPFD_CLOEXEC, 10);
	int saved = errno;
	(void)close(fd);
	errno = saved;
	return up;
}

/* A detached, read-only mount of the file behind @fd, or -errno. */
static int seal(int fd)
{
	cleanup_fd int tree = (int)syscall(SYS_open_tree, fd, "",
					   AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (tree < 0)
		return -errno;
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };
	if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
		return -errno;
	return take_fd(&tree);
}

static int open_program(const char *path, bool *ret_sealed, struct err *err)
{
	cleanup_fd int fd = open(path, O_PATH | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(err, "cannot open %s", path);
	if (!S_ISREG(st.st_mode) || !(st.st_mode & 0111))
		return err_set(err, EACCES, "%s is no executable file", path);
	int sealed = seal(fd);
	*ret_sealed = sealed >= 0;
	int ret = move_up(sealed >= 0 ? sealed : take_fd(&fd));
	return ret < 0 ? err_sys(err, "cannot keep %s open", path) : ret;
}

/* The folder of our own executable, with a slash behind. */
static void own_folder(char *ret, size_t size)
{
	ssize_t n = readlink("/proc/self/exe", ret, size - 1);
	ret[n < 0 ? 0 : n] = '\0';
	char *slash = strrchr(ret, '/');
	if (slash)
		slash[1] = '\0';
}

static int find(struct programs *p, enum program i, const char *configured, struct err *err)
{
	char beside[PATH_MAX], libexec[PATH_MAX];
	own_folder(beside, sizeof(beside) - strlen(names[i]));
	(void)strcat(beside, names[i]);
	(void)snprintf(libexec, sizeof(libexec), "%s/%s", ISOLA_LIBEXECDIR, names[i]);
	const char *const places[] = { *configured ? configured : beside,
				       *configured ? NULL : libexec, NULL };
	bool sealed = false;
	for (size_t k = 0; places[k] && p->fds[i] < 0; k++) {
		p->fds[i] = open_program(places[k], &sealed, err);
		if (p->fds[i] >= 0)
			p->paths[i] = strdup(places[k]);
	}
	if (p->fds[i] < 0 && *configured)
		return p->fds[i];
	if (p->fds[i] < 0 && i == PROGRAM_VMM)
		log_info(NULL, "there is no isola-vmm: containers only");
	else if (p->fds[i] < 0)
		log_warn(NULL, "%s is neither beside isolad nor in " ISOLA_LIBEXECDIR, names[i]);
	else if (!sealed)
		log_warn(NULL, "cannot mount %s read-only for its own use; executing the file",
			 places[0]);
	return 0;
}

void programs_init(struct programs *p)
{
	for (int i = 0; i < PROGRAM_COUNT; i++) {
		p->fds[i] = -1;
		p->paths[i] = NULL;
	}
}

int programs_open(struct programs *p, const struct config *config, struct err *err)
{
	int rc = find(p, PROGRAM_KEEPER, config->keeper, err);
	if (rc >= 0)
		rc = find(p, PROGRAM_VMM, config->vmm, err);
	if (rc >= 0)
		rc = find(p, PROGRAM_DHCP, "", err);
	if (rc >= 0)
		rc = find(p, PROGRAM_RESOLVER, config->resolver, err);
	return rc < 0 ? rc : find(p, PROGRAM_IMAGE, config->image_helper, err);
}

void programs_close(struct programs *p)
{
	for (int i = 0; i < PROGRAM_COUNT; i++) {
		fd_close(&p->fds[i]);
		free(p->paths[i]);
		p->paths[i] = NULL;
	}
}

const char *program_name(enum program i)
{
	return names[i];
}
