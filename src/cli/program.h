/* SPDX-License-Identifier: Apache-2.0 */
/* program - runs a helper of ours and takes its output. Runs in vmctl. */
#pragma once

#include "isola/err.h"

#include <stddef.h>

/* Runs argv[0] with our standard input and error, and waits. At most @size - 1 bytes
 * of its standard output as text in @ret. -errno when it cannot be run, was killed
 * or ended with another exit status than 0, whose message it wrote itself. */
int program_output(char *const *argv, char *ret, size_t size, struct err *err);
