/* SPDX-License-Identifier: Apache-2.0 */
/* name - what a name in a layer means: a path below the layer's folder, and
 * perhaps a whiteout (image-spec layer.md, "Whiteouts"). Pure text. */
#pragma once

#include "isola/err.h"

#include <limits.h>
#include <stddef.h>

enum name_kind {
	NAME_PLAIN,
	NAME_WHITEOUT, /* ".wh.x": hides x of the layers below */
	NAME_OPAQUE,   /* ".wh..wh..opq": hides all that is below its folder */
	NAME_IGNORED,  /* other ".wh..wh.": AUFS's own bookkeeping */
};

struct name {
	enum name_kind kind;
	char path[PATH_MAX]; /* "a/b"; "" is the layer's folder itself */
	/* Of path: the folder and the last component. For a whiteout @last is
	 * what it hides, for an opaque mark "". */
	char parent[PATH_MAX];
	const char *last; /* into path */
};

/* Leading slashes, "." and empty components go; ".." anywhere is refused. "" is
 * the root itself. -EINVAL or -ENAMETOOLONG. */
int name_clean(const char *text, char ret[PATH_MAX], struct err *err);

/* name_clean() (many builders write "/app"), then the meaning. A folder called
 * ".wh...." in the middle is refused. */
int name_parse(const char *text, struct name *ret, struct err *err);

/* The same for the target of a hard link: @ret a clean path, never empty. */
int name_parse_target(const char *text, char ret[PATH_MAX], struct err *err);
