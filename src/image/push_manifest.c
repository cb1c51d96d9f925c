/* SPDX-License-Identifier: Apache-2.0 */
/* push_manifest - the manifest as a registry gets it: the store's own bytes where all
 * layers go up as they are, else with new descriptors. Runs in isola-image's jail. */
#include "push.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "source.h"

#include <errno.h>
#include <string.h>

#define OCI_TAR    "application/vnd.oci.image.layer.v1.tar"
#define DOCKER_TAR "application/vnd.docker.image.rootfs.diff.tar"

static const char *gzip_type(const char *type)
{
	return !strncmp(type, DOCKER_TAR, sizeof(DOCKER_TAR) - 1) ? DOCKER_TAR ".gzip"
								  : OCI_TAR "+gzip";
}

int push_manifest(const char *text, size_t size, const char (*digests)[DIGEST_SIZE],
		  const uint64_t *sizes, size_t n, char **ret, struct err *err)
{
	cleanup_json json_object *o = NULL;
	json_object *list = NULL;
	int rc = json_parse_max(text, size, "manifest", SOURCE_VALUES_MAX, &o, err);
	if (rc == 0)
		rc = json_get_arr(o, "layers", &list, err);
	if (rc < 0)
		return rc;
	if (json_len(list) != n)
		return err_set(err, EINVAL, "the manifest has %zu layers, not %zu", json_len(list),
			       n);
	for (size_t i = 0; i < n; i++) {
		json_object *d = json_object_array_get_idx(list, i);
		if (!*digests[i])
			continue;
		json_add_str(d, "mediaType", gzip_type(json_str_or(d, "mediaType", "")));
		json_add_str(d, "digest", digests[i]);
		json_add_i64(d, "size", (int64_t)sizes[i]);
	}
	*ret = strdup(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
								JSON_C_TO_STRING_NOSLASHESCAPE));
	return *ret ? 0 : err_set(err, ENOMEM, "out of memory");
}
