/* SPDX-License-Identifier: Apache-2.0 */
/* sandbox - what a reader of logs gives up before it parses its first byte: all
 * capabilities, privileges by exec, and every system call it has no need of. */
#pragma once

#include "isola/err.h"

/* For good. The descriptors that are open stay; files can be opened to read
 * only. Sanitizer builds keep their system calls. */
int sandbox_enter(struct err *err);
