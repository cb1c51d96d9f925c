/* SPDX-License-Identifier: Apache-2.0 */
/* name - see name.h. Foreign text: runs in isola-image's jail. */
#include "name.h"

#include "isola/tar.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define WHITEOUT ".wh."
#define OPAQUE   ".wh..wh..opq"
#define RESERVED ".wh..wh."

static bool begins(const char *text, const char *with)
{
	return !strncmp(text, with, strlen(with));
}

int name_clean(const char *text, char ret[PATH_MAX], struct err *err)
{
	return tar_clean_name(text, ret, err);
}

/* A whiteout's name is the last component's; in the middle it would be a
 * folder that the next export of this tree turns into a whiteout. */
static int check_parent(struct name *name, struct err *err)
{
	for (const char *p = name->parent; *p;) {
		if (begins(p, RESERVED))
			name->kind = NAME_IGNORED;
		else if (begins(p, WHITEOUT))
			return err_set(err, EINVAL, "\"%.300s\" has a whiteout for a folder",
				       name->path);
		p += strcspn(p, "/");
		p += *p == '/';
	}
	return 0;
}

static int parse_whiteout(struct name *name, struct err *err)
{
	const char *hidden = name->last + strlen(WHITEOUT);
	if (!strcmp(name->last, OPAQUE)) {
		name->kind = NAME_OPAQUE;
		name->last = "";
		return 0;
	}
	if (begins(name->last, RESERVED)) {
		name->kind = NAME_IGNORED;
		return 0;
	}
	if (!*hidden || !strcmp(hidden, ".") || !strcmp(hidden, ".."))
		return err_set(err, EINVAL, "\"%.300s\" is a whiteout of nothing", name->path);
	name->kind = NAME_WHITEOUT;
	name->last = hidden;
	return 0;
}

int name_parse(const char *text, struct name *ret, struct err *err)
{
	ret->kind = NAME_PLAIN;
	int rc = name_clean(text, ret->path, err);
	if (rc < 0)
		return rc;
	const char *slash = strrchr(ret->path, '/');
	size_t n = slash ? (size_t)(slash - ret->path) : 0;
	memcpy(ret->parent, ret->path, n);
	ret->parent[n] = '\0';
	ret->last = slash ? slash + 1 : ret->path;
	if (begins(ret->last, WHITEOUT))
		rc = parse_whiteout(ret, err);
	return rc < 0 ? rc : check_parent(ret, err);
}

int name_parse_target(const char *text, char ret[PATH_MAX], struct err *err)
{
	int rc = name_clean(text, ret, err);
	if (rc == 0 && !*ret)
		rc = err_set(err, EINVAL, "a hard link to the root folder");
	return rc;
}
