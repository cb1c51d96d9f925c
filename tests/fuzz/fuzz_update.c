/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_update - a client's update body against a container with limits. */
#include "create_env.h"
#include "daemon/bundle_priv.h"
#include "isola/fd.h"

#include <stdlib.h>

static json_object *make_host_config(const struct create_env *env)
{
	cleanup_json json_object *warnings = json_object_new_array();
	cleanup_json json_object *body =
		json_tokener_parse("{\"HostConfig\":{\"Memory\":1000000,\"CpuShares\":10,"
				   "\"PidsLimit\":9,\"CpusetCpus\":\"0-1\"}}");
	json_object *config = NULL, *host = NULL, *networking = NULL;
	if (create_normalise(env, body, warnings, &config, &host, &networking, NULL) < 0)
		abort();
	json_object_put(config);
	return host;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static json_object *host;
	cleanup_json json_object *body = NULL, *next = NULL, *resources = NULL;
	cleanup_json json_object *warnings = json_object_new_array();
	struct create_env env;
	struct err err = ERR_INIT;
	bool limits = false;
	fuzz_env(&env);
	if (!host)
		host = make_host_config(&env);
	if (json_parse((const char *)data, size, "body", &body, NULL) < 0)
		return 0;
	if (create_update(&env, host, body, warnings, &next, &limits, &err) < 0) {
		if (!err.code || !*err.text)
			abort();
		return 0;
	}
	if (json_object_object_length(next) != json_object_object_length(host))
		abort();
	(void)bundle_limits(next, &resources, NULL);
	return 0;
}
