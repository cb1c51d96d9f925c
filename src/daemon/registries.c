/* SPDX-License-Identifier: Apache-2.0 */
/* registries - see registries.h. isolad, at its start. */
#include "registries.h"

#include "isola/image.h"
#include "isola/json.h"

#include <errno.h>
#include <fcntl.h>

#define DEFAULT_FILE   "/etc/isola/registries.json"
#define FILE_BYTES_MAX (1024 * 1024)

int registries_read_default(const char *path, struct err *err)
{
	cleanup_json json_object *o = NULL;
	struct err own = ERR_INIT;
	const char *host = NULL, *file = path && *path ? path : DEFAULT_FILE;
	int rc = json_read_file(AT_FDCWD, file, FILE_BYTES_MAX, &o, &own);
	if (rc == -ENOENT)
		return 0;
	if (rc == 0)
		rc = json_get_str(o, "default", &host, &own);
	if (rc > 0)
		rc = image_ref_set_default(host, &own);
	if (rc >= 0)
		return 0;
	(void)err_copy(err, &own);
	return err_prefix(err, "%s: default", file);
}
