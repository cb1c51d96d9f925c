/* SPDX-License-Identifier: Apache-2.0 */
/* project - see project.h. */
#include "project.h"

#include "isolad.h"

#include "isola/json.h"
#include "isola/num.h"
#include "isola/quota.h"

#include <errno.h>
#include <string.h>

#define WHERE "the state folder"
/* Less holds not even the folders. */
#define SIZE_MIN (64 * 1024)

static bool is_recorded(struct isolad *d, uint32_t project)
{
	list_for_each (node, &d->volumes.all)
		if (container_of(node, struct volume, node)->project == project)
			return true;
	list_for_each (node, registry_list(d))
		if (container_of(node, struct instance, node)->project == project)
			return true;
	return false;
}

int project_take(struct isolad *d, uint32_t *ret, struct err *err)
{
	for (uint32_t id = PROJECT_FIRST; id <= PROJECT_LAST; id++) {
		struct quota q;
		if (is_recorded(d, id))
			continue;
		int rc = quota_get(d->roots.state_fd, id, d->roots.state, &q, err);
		if (rc < 0)
			return rc;
		if (q.used_files || q.used_bytes)
			continue;
		*ret = id;
		return 0;
	}
	return err_set(err, ENOSPC, "no project id is free");
}

int project_size(json_object *options, int64_t *ret, struct err *err)
{
	if (!options)
		return 0;
	json_object_object_foreach (options, key, value) {
		const char *text = json_object_get_string(value);
		if (strcmp(key, "size") != 0)
			return err_set(err, EOPNOTSUPP, "'%.64s': only size is supported", key);
		if (num_parse_size(text, 0, ret) < 0 || *ret < SIZE_MIN)
			return err_set(err, EINVAL, "size: '%.64s' is no size of at least %d bytes",
				       text, SIZE_MIN);
	}
	return 0;
}

int project_begin(int state_fd, int dir_fd, uint32_t project, int64_t bytes, struct err *err)
{
	int rc = quota_assign(dir_fd, project, err);
	return rc < 0 ? rc : quota_limit(state_fd, project, (uint64_t)bytes, WHERE, err);
}

void project_end(int state_fd, uint32_t project)
{
	if (project)
		(void)quota_limit(state_fd, project, 0, WHERE, NULL);
}
