/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_userdb - an image's passwd and group files, and what names a user in them.
 * The input is three parts with a line "--" between: user, passwd, group. */
#include "isola/userdb.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Takes what is before the next separator off *@data. */
static struct userdb_text take_part(const char **data, size_t *size)
{
	static const char separator[] = "\n--\n";
	char *end = memmem(*data, *size, separator, 4);
	struct userdb_text part = { *data, end ? (size_t)(end - *data) : *size };
	size_t used = end ? part.size + 4 : part.size;
	*data += used;
	*size -= used;
	return part;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *rest = (const char *)data;
	struct userdb_text user = take_part(&rest, &size), passwd = take_part(&rest, &size);
	struct userdb_text group = take_part(&rest, &size);
	char *spec = strndup(user.text ? user.text : "", user.size);
	struct userdb_entry e;
	struct err err = ERR_INIT;
	if (spec && userdb_find(spec, passwd, group, &e, &err) == 0) {
		assert(e.uid != (uid_t)-1 && e.gid != (gid_t)-1);
		assert(e.n_groups <= USERDB_GROUPS_MAX);
		assert(!e.home || *e.home == '/');
		userdb_entry_fini(&e);
	}
	free(userdb_home(0, passwd));
	free(spec);
	return 0;
}
