/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_create - a client's create body, all the way to the bundle. What was
 * accepted must be accepted again in the form inspect shows, unchanged. */
#include "create_env.h"
#include "daemon/bundle_priv.h"
#include "daemon/isolad.h"
#include "daemon/mounts.h"
#include "isola/fd.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

static int stat_device(const char *path, struct stat *ret)
{
	*ret = (struct stat){ .st_mode = S_IFCHR | 0666, .st_rdev = strlen(path) };
	return strlen(path) % 7 ? 0 : -ENOENT;
}

static json_object *seccomp(uint64_t caps, struct err *err)
{
	(void)caps;
	(void)err;
	return json_object_new_object();
}

static void make_bundle(struct instance *inst)
{
	const struct bundle_env env = {
		.state = "/s",
		.state_dir = "/s/i",
		.run_dir = "/r",
		.log_path = "/l",
		.cgroup = "/c",
		.cgroup_mount = "/m",
		.seccomp_cache = "/q",
		.donor_pid = 2,
		.donor_userns_base = 65536,
		.stat_device = stat_device,
		.seccomp = seccomp,
	};
	cleanup_json json_object *config = NULL, *keeper = NULL, *exec = NULL, *process = NULL;
	/* Walking the host's devices is slow, and says nothing about the body. */
	if (json_bool_or(inst->host_config, "Privileged", false))
		return;
	(void)bundle_config(inst, &env, &config, NULL);
	(void)bundle_keeper(inst, &env, &keeper, NULL);
	exec = json_object_new_object();
	(void)bundle_exec_process(inst, exec, &process, NULL);
}

static int find_nobody(void *arg, const char *ref, struct instance **ret, struct err *err)
{
	(void)arg;
	(void)ret;
	return err_set(err, ENOENT, "No such container: %s", ref);
}

/* What was settled must be readable, whatever the body named. */
static void settle(struct instance *inst)
{
	struct err err = ERR_INIT;
	cleanup_mounts struct mounts m = { NULL, 0 };
	if (mounts_settle(inst->config, inst->host_config, find_nobody, NULL, &inst->mount_points,
			  &err) < 0)
		return;
	if (mounts_of(inst, &m, &err) < 0)
		abort();
	for (size_t i = 0; i < m.n; i++)
		if (m.items[i].kind == MOUNT_VOLUME && !m.items[i].volume)
			abort();
}

static void take_again(const struct create_env *env, struct instance *inst)
{
	cleanup_json json_object *body = json_copy(inst->config),
				 *warnings = json_object_new_array();
	cleanup_json json_object *config = NULL, *host = NULL, *networking = NULL;
	json_add(body, "HostConfig", json_object_get(inst->host_config));
	struct err err = ERR_INIT;
	/* The name was made up; with the host's UTS namespace none may be given. */
	if (!strcmp(json_str_or(inst->host_config, "UTSMode", ""), "host"))
		json_object_object_del(body, "Hostname");
	if (create_normalise(env, body, warnings, &config, &host, &networking, &err) < 0 ||
	    !json_object_equal(host, inst->host_config))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_json json_object *body = NULL, *warnings = json_object_new_array();
	struct create_env env;
	struct err err = ERR_INIT;
	/* Secrets are in its run folder. */
	static char run[] = "/r";
	static struct isolad isolad = { .roots = { .run = run } };
	struct instance inst = { .id = "0123456789abcdef", .isolad = &isolad };
	if (json_parse((const char *)data, size, "body", &body, NULL) < 0)
		return 0;
	fuzz_env(&env);
	if (create_normalise(&env, body, warnings, &inst.config, &inst.host_config,
			     &inst.networking, &err) < 0) {
		if (!err.code || !*err.text)
			abort();
		return 0;
	}
	inst.image = env.image;
	inst.userns_base =
		strcmp(json_str_or(inst.host_config, "UsernsMode", ""), "host") ? 65536 : 0;
	take_again(&env, &inst);
	settle(&inst);
	make_bundle(&inst);
	json_object_put(inst.config);
	json_object_put(inst.host_config);
	json_object_put(inst.networking);
	json_object_put(inst.mount_points);
	return 0;
}
