/* SPDX-License-Identifier: Apache-2.0 */
/* logtail - where the last lines of a log begin. */
#pragma once

#include "logset.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct logpos {
	size_t file; /* index in the set */
	off_t offset;
};

/* Finds the begin of the last @lines complete lines of @set, reading from the
 * end. All of it when there are fewer. 0 or -errno. */
int logtail_find(const struct logset *set, int64_t lines, struct logpos *ret);
