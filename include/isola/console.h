/* SPDX-License-Identifier: Apache-2.0 */
/* console - pseudo terminals, made by descriptor so that no name in a
 * container's /dev is trusted (CVE-2025-31133, CVE-2025-52565). pty(7). */
#pragma once

#include "isola/err.h"

#include <stdint.h>
#include <termios.h>

/* Makes a pair in the devpts instance that @devpts_fd (a folder: /dev/pts of
 * the container, O_PATH will do) belongs to; -1 = the caller's /dev/pts. It is
 * verified to be devpts. The master is opened by "ptmx" in it, the slave by
 * TIOCGPTPEER. Both are close-on-exec and not the controlling terminal.
 * @ret_index, the N of /dev/pts/N, may be NULL. */
int console_open(int devpts_fd, int *ret_master_fd, int *ret_slave_fd, unsigned int *ret_index,
		 struct err *err);

/* Sets or tells the size; 0 or -errno. */
int console_resize(int fd, uint16_t rows, uint16_t columns);
int console_size(int fd, uint16_t *ret_rows, uint16_t *ret_columns);

/* New session with @slave_fd as its controlling terminal, and as stdin, stdout
 * and stderr. For a clone's child: system calls only. 0 or -errno. */
int console_become(int slave_fd);

/* Raw mode (cfmakeraw) for the terminal a client sits at; the settings before
 * it go to @ret_before, for console_restore(). -ENOTTY when it is none. */
int console_raw(int fd, struct termios *ret_before);
void console_restore(int fd, const struct termios *before);

/* Hands @master_fd over the connected Unix stream socket @sock as runc's
 * --console-socket protocol has it (one SCM_RIGHTS message whose data is
 * @name). 0 or -errno. */
int console_send(int sock, int master_fd, const char *name);
