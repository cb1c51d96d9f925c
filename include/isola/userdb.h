/* SPDX-License-Identifier: Apache-2.0 */
/* userdb - users and groups of an image's /etc/passwd and /etc/group (passwd(5),
 * group(5)), with Docker's rules. Pure text work over hostile bytes: bounded,
 * no allocation but the result. */
#pragma once

#include "isola/err.h"

#include <stddef.h>
#include <sys/types.h>

#define USERDB_FILE_MAX   (1 << 20)
#define USERDB_GROUPS_MAX 65536 /* NGROUPS_MAX of the kernel */

struct userdb_text {
	const char *text; /* may hold NUL bytes; NULL = no such file */
	size_t size;
};

struct userdb_entry {
	uid_t uid;
	gid_t gid;
	gid_t *groups; /* supplementary ones out of the group file; owned */
	size_t n_groups;
	char *home; /* out of the passwd file, or NULL; owned */
};

/* Looks @spec up: "user", "user:group"; either part a name or a number.
 *
 * A number is never looked up as a name; it need not be in the files. A user
 * without ":group" gets the gid of its passwd line (0 when a number has none)
 * and, when it was found there, the groups that list its name. An explicit
 * group comes without any others. -EINVAL: malformed; -ENOENT: no such name. */
int userdb_find(const char *spec, struct userdb_text passwd, struct userdb_text group,
		struct userdb_entry *ret, struct err *err);

/* Home of @uid, owned; NULL when the file does not tell. */
char *userdb_home(uid_t uid, struct userdb_text passwd);

void userdb_entry_fini(struct userdb_entry *e);
