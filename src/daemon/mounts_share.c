/* SPDX-License-Identifier: Apache-2.0 */
/* mounts_share - the volumes that a VM shares (Shares of its VmConfig) as mount points, so
 * that who asks which instances use a volume need not know of VMs. Nothing is copied into
 * a new one: there is no image. Pure; in isolad. */
#include "mounts.h"

#include "isola/json.h"

#include <errno.h>
#include <string.h>

static int read_share(json_object *share, struct mount_point *p, struct err *err)
{
	p->kind = MOUNT_VOLUME;
	p->no_copy = p->listed = true;
	p->read_only = json_bool_or(share, "ReadOnly", false);
	p->target = strdup(json_str_or(share, "Tag", ""));
	p->mode = strdup(p->read_only ? "ro" : "");
	if (!p->target || !p->mode)
		return err_set(err, ENOMEM, "out of memory");
	return mounts_set_volume(p, json_str_or(share, "Volume", ""), err);
}

int mounts_parse_shares(json_object *shares, struct mounts *ret, struct err *err)
{
	cleanup_mounts struct mounts m = { NULL, 0 };
	for (size_t i = 0; i < json_len(shares); i++) {
		json_object *share = json_object_array_get_idx(shares, i);
		if (!*json_str_or(share, "Volume", ""))
			continue;
		struct mount_point *p = mounts_next(&m);
		if (!p)
			return err_set(err, ENOMEM, "out of memory");
		m.n++; /* also a half-read one is freed */
		int rc = read_share(share, p, err);
		if (rc < 0)
			return err_prefix(err, "Shares[%zu]", i);
	}
	*ret = m;
	m = (struct mounts){ NULL, 0 };
	return 0;
}
