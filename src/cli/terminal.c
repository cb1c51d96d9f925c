/* SPDX-License-Identifier: Apache-2.0 */
/* terminal - see terminal.h; termios(3). Runs in the CLIs. */
#include "terminal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>

static struct termios saved;
static int saved_fd = -1;

void terminal_restore(void)
{
	if (saved_fd < 0)
		return;
	(void)tcsetattr(saved_fd, TCSADRAIN, &saved);
	saved_fd = -1;
}

void terminal_raw(int fd)
{
	struct termios raw;
	if (saved_fd >= 0 || tcgetattr(fd, &raw) < 0)
		return;
	saved = raw;
	saved_fd = fd;
	static bool registered;
	if (!registered)
		(void)atexit(terminal_restore);
	registered = true;
	cfmakeraw(&raw);
	(void)tcsetattr(fd, TCSADRAIN, &raw);
}

int terminal_size(int fd, int *ret_h, int *ret_w)
{
	struct winsize ws;
	if (ioctl(fd, TIOCGWINSZ, &ws) < 0)
		return -errno;
	*ret_h = ws.ws_row;
	*ret_w = ws.ws_col;
	return 0;
}
