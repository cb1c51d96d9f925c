/* SPDX-License-Identifier: Apache-2.0 */
/* console - see include/isola/console.h. */
#include "isola/console.h"

#include "isola/fd.h"
#include "isola/fd_pass.h"

#include <asm/ioctls.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>

int console_open(int devpts_fd, int *ret_master_fd, int *ret_slave_fd, unsigned int *ret_index,
		 struct err *err)
{
	cleanup_fd int own = -1;
	if (devpts_fd < 0) {
		own = devpts_fd = open("/dev/pts", O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (own < 0)
			return err_sys(err, "cannot open /dev/pts");
	}
	/* Before anything in it is opened: it may be a folder of the image. */
	struct statfs fs;
	if (fstatfs(devpts_fd, &fs) < 0)
		return err_sys(err, "cannot check /dev/pts");
	if (fs.f_type != DEVPTS_SUPER_MAGIC)
		return err_set(err, EINVAL,
			       "cannot make a terminal: no devpts is mounted at /dev/pts");
	cleanup_fd int master =
		openat(devpts_fd, "ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NOFOLLOW);
	/* Hosts keep that node to root and have another one beside the folder. */
	if (master < 0 && errno == EACCES && own >= 0)
		master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (master < 0)
		return err_sys(err, "cannot open /dev/pts/ptmx");
	int locked = 0;
	unsigned int index = 0;
	if (ioctl(master, TIOCSPTLCK, &locked) < 0 || ioctl(master, TIOCGPTN, &index) < 0)
		return err_sys(err, "cannot set up the terminal");
	cleanup_fd int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0)
		return err_sys(err, "cannot open the terminal /dev/pts/%u", index);
	*ret_master_fd = take_fd(&master);
	*ret_slave_fd = take_fd(&slave);
	if (ret_index)
		*ret_index = index;
	return 0;
}

int console_resize(int fd, uint16_t rows, uint16_t columns)
{
	struct winsize size = { .ws_row = rows, .ws_col = columns };
	return ioctl(fd, TIOCSWINSZ, &size) < 0 ? -errno : 0;
}

int console_size(int fd, uint16_t *ret_rows, uint16_t *ret_columns)
{
	struct winsize size;
	if (ioctl(fd, TIOCGWINSZ, &size) < 0)
		return -errno;
	*ret_rows = size.ws_row;
	*ret_columns = size.ws_col;
	return 0;
}

int console_become(int slave_fd)
{
	if (setsid() < 0 || ioctl(slave_fd, TIOCSCTTY, 0) < 0)
		return -errno;
	for (int fd = 0; fd < 3; fd++) {
		if (fd == slave_fd ? fcntl(fd, F_SETFD, 0) < 0 : dup2(slave_fd, fd) < 0)
			return -errno;
	}
	return 0;
}

int console_raw(int fd, struct termios *ret_before)
{
	struct termios before, raw;
	if (tcgetattr(fd, &before) < 0)
		return -errno;
	raw = before;
	cfmakeraw(&raw);
	if (tcsetattr(fd, TCSANOW, &raw) < 0)
		return -errno;
	*ret_before = before;
	return 0;
}

void console_restore(int fd, const struct termios *before)
{
	(void)tcsetattr(fd, TCSANOW, before);
}

int console_send(int sock, int master_fd, const char *name)
{
	return fd_send_one(sock, name, strlen(name), master_fd, 0);
}
