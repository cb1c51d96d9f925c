/* SPDX-License-Identifier: Apache-2.0 */
/* terminal - raw mode and size of the user's terminal. */
#pragma once

#include <stdbool.h>

/* Puts the terminal @fd into raw mode; restored by terminal_restore(), which is
 * also run at exit. No-op when @fd is no terminal. */
void terminal_raw(int fd);
void terminal_restore(void);
/* 0 and the size, or -errno. */
int terminal_size(int fd, int *ret_h, int *ret_w);
