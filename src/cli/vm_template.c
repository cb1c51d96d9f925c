/* SPDX-License-Identifier: Apache-2.0 */
/* vm_template - see vm_template.h. The administrator's templates come before those
 * that were installed. */
#include "vm_template.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "place.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define TEMPLATE_BYTES_MAX (256 * 1024)

static int add_file(const char *path, json_object *cpus, struct err *err)
{
	json_object *doc = NULL;
	int rc = json_read_file(AT_FDCWD, path, TEMPLATE_BYTES_MAX, &doc, err);
	if (rc < 0)
		return rc;
	json_add(cpus, "Template", doc);
	return 0;
}

int vm_template(const char *text, json_object *cpus, struct err *err)
{
	char path[PATH_MAX];
	if (!text)
		return 0;
	if (!strcmp(text, "host")) {
		json_add_str(cpus, "Template", text);
		return 0;
	}
	if (strchr(text, '/') || strstr(text, ".json")) {
		int rc = add_file(text, cpus, err);
		return rc < 0 ? err_prefix(err, "--cpu-template") : 0;
	}
	static const char *const folders[] = { "/etc/isola/cpu-templates",
					       ISOLA_DATADIR "/cpu-templates" };
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s.json", folders[i], text);
		if (access(path, F_OK) == 0)
			return add_file(path, cpus, err);
	}
	return err_set(err, ENOENT,
		       "--cpu-template %s: there is neither /etc/isola/cpu-templates/%s.json nor "
		       "one in " ISOLA_DATADIR
		       "/cpu-templates; \"host\" is always there, a file of your own is named "
		       "by its path",
		       text, text);
}
