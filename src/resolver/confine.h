/* SPDX-License-Identifier: Apache-2.0 */
/* confine - what isola-resolver gives up before it reads the first byte of a container:
 * files, capabilities, its user, nearly all system calls. */
#pragma once

#include "isola/err.h"

int confine(struct err *err);
