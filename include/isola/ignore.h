/* SPDX-License-Identifier: Apache-2.0 */
/* ignore - the patterns of a .dockerignore (Docker's reference, "dockerignore
 * files"): which names of a build context are left out. Pure text.
 *
 * One pattern a line: "*" and "?" stop at a slash, "**" does not, "[a-z]", "\x";
 * "!" takes back; "#" at the start of a line is a comment. The last pattern that
 * matches a name, or a folder it is in, decides. */
#pragma once

#include "isola/err.h"

#include <stdbool.h>
#include <stddef.h>

struct ignore;

/* -EINVAL for a malformed pattern, with its line. */
int ignore_parse(const char *text, size_t size, struct ignore **ret, struct err *err);
void ignore_free(struct ignore *ignore);

static inline void ignore_cleanup(struct ignore **ignore)
{
	ignore_free(*ignore);
	*ignore = NULL;
}

#define cleanup_ignore __attribute__((cleanup(ignore_cleanup)))

/* @path: "a/b", without a slash at either end. NULL ignores nothing. */
bool ignore_matches(const struct ignore *ignore, const char *path);

/* Is there a pattern with "!"? Then something below what is ignored may not be. */
bool ignore_takes_back(const struct ignore *ignore);

/* One pattern of Go's path/filepath.Match, in which "*" stops at a slash: 1, 0, or
 * -EINVAL for a malformed one. With @deep "**" matches across slashes. */
int ignore_glob(const char *pattern, const char *text, bool deep);
