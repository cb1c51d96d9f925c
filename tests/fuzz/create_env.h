/* SPDX-License-Identifier: Apache-2.0 */
/* create_env - a host for create's and update's fuzz targets: every controller,
 * a small image, one container to join. */
#pragma once

#include "daemon/create_priv.h"
#include "isola/json.h"

#include <errno.h>
#include <string.h>

static unsigned int fuzz_cpus(void)
{
	return 4;
}

static int fuzz_find(void *arg, const char *ref, struct instance **ret, struct err *err)
{
	static struct instance donor = { .id = "dd", .userns_base = 65536, .pid = 2 };
	(void)arg;
	if (strcmp(ref, "dd") != 0)
		return err_set(err, ENOENT, "No such container: %.300s", ref);
	*ret = &donor;
	return 0;
}

static const struct config fuzz_config = {
	.default_log_driver = (char *)(uintptr_t) "json-file",
	.default_log_max_size = 1000000,
	.default_log_max_file = 3,
	.default_shm_size = 1000000,
	.default_pids_limit = 100,
	.default_isolation = (char *)(uintptr_t) "container",
	.default_userns = (char *)(uintptr_t) "private",
};

/* The image is made once. */
static inline void fuzz_env(struct create_env *env)
{
	static json_object *image;
	if (!image)
		image = json_tokener_parse("{\"id\":\"sha256:0\",\"layers\":[\"aa\",\"bb\"],"
					   "\"config\":{\"Cmd\":[\"sh\"],\"Env\":[\"A=b\"],"
					   "\"Labels\":{\"k\":\"v\"},\"Volumes\":{\"/v\":{}},"
					   "\"ExposedPorts\":{\"80/tcp\":{}}}}");
	*env = (struct create_env){
		.id = "0123456789abcdef",
		.controllers = "cpu cpuset io memory pids",
		.cpus = fuzz_cpus,
		.config = &fuzz_config,
		.image = image,
		.find = fuzz_find,
	};
}
