/* SPDX-License-Identifier: Apache-2.0 */
/* oci_payload - the caller's side of a payload: terminal, signals, exit status. */
#pragma once

#include "isola/err.h"

#include <stdbool.h>
#include <sys/types.h>

/* --console-socket: connects; owned fd. */
int oci_console_connect(const char *path, struct err *err);

/* Writes @pid to --pid-file, which appears whole. @path NULL: nothing. */
int oci_write_pid_file(const char *path, pid_t pid, struct err *err);

/* Blocks the signals that oci_wait() takes care of; before the clone. */
void oci_block_signals(void);

/* Stays with the payload @pid until it ends: signals go to it, and with
 * @console_fd >= 0 our terminal is joined to it. Reaps. Returns the exit status,
 * 128+n when a signal ended it. */
int oci_wait(pid_t pid, int pidfd, int console_fd, struct err *err);

/* Checks terminal and socket against each other, as runc does. */
int oci_check_console(bool terminal, bool detached, const char *socket, struct err *err);

/* LISTEN_FDS meant for us (sd_listen_fds(3)), or 0. */
int oci_listen_fds(void);
