/* SPDX-License-Identifier: Apache-2.0 */
/* storage_opt - StorageOpt (--storage-opt): how much a writable layer may hold, and what
 * gives a microVM its root. isolad, loop thread. */
#include "create_priv.h"
#include "isolad.h"
#include "project.h"
#include "root_image.h"

#include "isola/json.h"

#include <errno.h>
#include <string.h>

static const char *const roots[] = { "auto", "erofs", "virtiofs" };

static int check_root(const char *text, struct err *err)
{
	for (size_t i = 0; i < sizeof(roots) / sizeof(roots[0]); i++)
		if (!strcmp(text, roots[i]))
			return 0;
	return err_set(err, EINVAL, "root: '%.64s' is not auto, erofs or virtiofs", text);
}

int create_storage_opt(void *arg, const struct field *row, json_object *v, json_object **ret,
		       struct err *err)
{
	int64_t size = 0;
	int rc = 0;
	(void)arg;
	(void)row;
	json_object_object_foreach (v, key, value) {
		cleanup_json json_object *one = json_object_new_object();
		if (rc < 0)
			break;
		json_add(one, key, json_object_get(value));
		if (!strcmp(key, "root"))
			rc = check_root(json_object_get_string(value), err);
		else if (!strcmp(key, "size"))
			rc = project_size(one, &size, err);
		else
			rc = err_set(err, EOPNOTSUPP, "'%.64s': only size and root are supported",
				     key);
	}
	if (rc == 0)
		*ret = json_object_get(v);
	return rc;
}

int storage_size(json_object *host_config, int64_t *ret, struct err *err)
{
	json_object *size = json_get(json_get(host_config, "StorageOpt"), "size");
	cleanup_json json_object *alone = size ? json_object_new_object() : NULL;
	if (!size)
		return 0;
	json_add(alone, "size", json_object_get(size));
	return project_size(alone, ret, err);
}

int storage_settle(struct instance *inst, json_object *warnings, struct err *err)
{
	int64_t size = 0;
	int rc = storage_size(inst->host_config, &size, err);
	if (rc == 0 && size > 0)
		rc = project_take(inst->isolad, &inst->project, err);
	return rc < 0 ? rc : root_image_choose(inst, warnings, err);
}
