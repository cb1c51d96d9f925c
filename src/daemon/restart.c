/* SPDX-License-Identifier: Apache-2.0 */
/* restart - see restart.h. Pure decisions; life.c acts on them. */
#include "restart.h"

#include "isola/json.h"

#include <errno.h>
#include <string.h>

static const char *const names[] = {
	[RESTART_NO] = "no",
	[RESTART_ON_FAILURE] = "on-failure",
	[RESTART_ALWAYS] = "always",
	[RESTART_UNLESS_STOPPED] = "unless-stopped",
};

const char *restart_mode_name(enum restart_mode mode)
{
	return names[mode];
}

static int mode_parse(const char *name, enum restart_mode *ret, struct err *err)
{
	if (!*name) {
		*ret = RESTART_NO;
		return 0;
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(name, names[i]))
			continue;
		*ret = (enum restart_mode)i;
		return 0;
	}
	return err_set(err, EINVAL,
		       "HostConfig.RestartPolicy.Name: invalid restart policy: unknown policy "
		       "'%.64s'; use one of no, always, on-failure, or unless-stopped",
		       name);
}

int restart_policy_parse(json_object *host_config, enum restart_mode *ret_mode,
			 unsigned int *ret_max, struct err *err)
{
	json_object *policy = NULL;
	const char *name = "";
	int64_t max = 0;
	enum restart_mode mode = RESTART_NO;
	if (json_get_obj(host_config, "RestartPolicy", &policy, err) < 0 ||
	    json_get_str(policy, "Name", &name, err) < 0 ||
	    json_get_i64(policy, "MaximumRetryCount", &max, err) < 0) {
		(void)err_prefix(err, "HostConfig.RestartPolicy");
		return -EINVAL;
	}
	int rc = mode_parse(name, &mode, err);
	if (rc < 0)
		return rc;
	if (max < 0 || max > INT32_MAX)
		return err_set(err, EINVAL,
			       "HostConfig.RestartPolicy.MaximumRetryCount: invalid restart "
			       "policy: maximum retry count cannot be negative or above %d",
			       INT32_MAX);
	if (max > 0 && mode != RESTART_ON_FAILURE)
		return err_set(err, EINVAL,
			       "HostConfig.RestartPolicy.MaximumRetryCount: invalid restart "
			       "policy: maximum retry count can only be used with 'on-failure'");
	*ret_mode = mode;
	*ret_max = (unsigned int)max;
	return 0;
}

static bool failed_and_may_retry(const struct instance *inst)
{
	return inst->exit_code != 0 &&
	       (inst->restart_max == 0 || inst->restart_count < inst->restart_max);
}

bool restart_wanted(const struct instance *inst)
{
	if (inst->manually_stopped)
		return false;
	if (inst->restart_mode == RESTART_ON_FAILURE)
		return failed_and_may_retry(inst);
	return inst->restart_mode != RESTART_NO;
}

bool restart_wanted_at_start(const struct instance *inst)
{
	switch (inst->restart_mode) {
	case RESTART_NO:
		return false;
	case RESTART_ALWAYS:
		return inst->started_ns != 0;
	case RESTART_UNLESS_STOPPED:
		return inst->started_ns != 0 && !inst->manually_stopped;
	case RESTART_ON_FAILURE:
		/* Its end was judged when it was noted. */
		return false;
	}
	return false;
}

unsigned int restart_backoff(struct instance *inst)
{
	unsigned int ms = inst->restart_backoff_ms;
	if (inst->finished_ns - inst->started_ns >= RESTART_RESET_NS)
		ms = 0;
	ms = ms == 0 ? RESTART_BACKOFF_MIN_MS : ms * 2;
	if (ms > RESTART_BACKOFF_MAX_MS)
		ms = RESTART_BACKOFF_MAX_MS;
	inst->restart_backoff_ms = ms;
	return ms;
}
