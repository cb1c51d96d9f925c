/* SPDX-License-Identifier: Apache-2.0 */
/* isolation - see isolation.h. */
#include "isolation.h"

#include "create.h"
#include "create_priv.h"
#include "isolation_policy.h"

#include "isola/json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

bool isolation_is_vm(json_object *host_config)
{
	return !strcmp(json_str_or(host_config, "Isolation", ""), "vm");
}

/* ---- what pierces a container's wall ---- */

/* Capabilities that reach the host's kernel in spite of a user namespace, or take most of
 * what the wall is made of. */
static const struct {
	const char *name, *flag;
} piercing_caps[] = {
	{ "ALL", "--cap-add ALL" },
	{ "BPF", "--cap-add BPF" },
	{ "DAC_READ_SEARCH", "--cap-add DAC_READ_SEARCH" },
	{ "MAC_ADMIN", "--cap-add MAC_ADMIN" },
	{ "MAC_OVERRIDE", "--cap-add MAC_OVERRIDE" },
	{ "PERFMON", "--cap-add PERFMON" },
	{ "SYS_ADMIN", "--cap-add SYS_ADMIN" },
	{ "SYS_BOOT", "--cap-add SYS_BOOT" },
	{ "SYS_MODULE", "--cap-add SYS_MODULE" },
	{ "SYS_PTRACE", "--cap-add SYS_PTRACE" },
	{ "SYS_RAWIO", "--cap-add SYS_RAWIO" },
	{ "SYS_TIME", "--cap-add SYS_TIME" },
	{ "SYSLOG", "--cap-add SYSLOG" },
};

static const char *piercing_flag(const char *name)
{
	if (!strncmp(name, "CAP_", 4))
		name += 4;
	for (size_t k = 0; k < sizeof(piercing_caps) / sizeof(piercing_caps[0]); k++)
		if (!strcmp(name, piercing_caps[k].name))
			return piercing_caps[k].flag;
	return NULL;
}

bool isolation_is_piercing(const char *capability)
{
	return piercing_flag(capability) != NULL;
}

static const char *piercing_cap(json_object *host)
{
	json_object *list = json_get(host, "CapAdd");
	for (size_t i = 0; i < json_len(list); i++) {
		const char *flag = piercing_flag(json_item_str(list, i));
		if (flag)
			return flag;
	}
	return NULL;
}

static bool is_option(json_object *host, const char *name, const char *value)
{
	const char *v = create_security_value(host, name);
	return v && !strcmp(v, value);
}

const char *isolation_pierced(json_object *host)
{
	if (json_bool_or(host, "Privileged", false))
		return "--privileged";
	if (is_option(host, "seccomp", "unconfined"))
		return "--security-opt seccomp=unconfined";
	if (is_option(host, "systempaths", "unconfined"))
		return "--security-opt systempaths=unconfined";
	if (!strcmp(json_str_or(host, "UsernsMode", ""), "host"))
		return "--userns host";
	return piercing_cap(host);
}

/* What a container shares with the host, and no microVM can. */
static const char *shared_with_host(json_object *host)
{
	static const struct {
		const char *field, *flag;
	} modes[] = {
		{ "CgroupnsMode", "--cgroupns host" }, { "IpcMode", "--ipc host" },
		{ "NetworkMode", "--network host" },   { "PidMode", "--pid host" },
		{ "UTSMode", "--uts host" },
	};
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (!strcmp(json_str_or(host, modes[i].field, ""), "host"))
			return modes[i].flag;
	return json_len(json_get(host, "Devices")) ? "--device" : NULL;
}

/* ---- the choice ---- */

/* What the request says: 1, or 0 when it says nothing; -EINVAL when two fields contradict. */
static int asked(json_object *host, enum wall *ret, struct err *err)
{
	const char *isolation = json_str_or(host, "Isolation", "");
	const char *runtime = json_str_or(host, "Runtime", "");
	bool vm = !strcmp(isolation, "vm");
	bool says = *isolation && strcmp(isolation, "default") != 0;
	if (*runtime && says && !strcmp(runtime, "vm") != vm)
		return err_set(err, EINVAL,
			       "HostConfig.Runtime (--runtime) %s contradicts HostConfig.Isolation "
			       "(--isolation) %s",
			       runtime, isolation);
	if (!says && !*runtime)
		return 0;
	if (!says)
		isolation = !strcmp(runtime, "vm") ? "vm" : "container";
	if (wall_parse(isolation, ret) < 0)
		return err_set(err, EINVAL,
			       "HostConfig.Isolation (--isolation) '%.32s' is not container, vm "
			       "or auto",
			       isolation);
	return 1;
}

static int policy_rule(const struct create *c, struct isolation_rule *ret)
{
	json_object *image = c->env->image;
	return isolation_policy_find(c->env->policy, c->env->refs, json_str_or(image, "id", NULL),
				     json_get(json_get(image, "config"), "Labels"), ret);
}

/* A rule is the least there is: whoever asks for less is refused. */
static int obey(const struct isolation_rule *rule, json_object *host, enum wall wish,
		struct err *err)
{
	const char *why = rule->wall == WALL_AUTO ? isolation_pierced(host) : NULL;
	if (wish >= rule->wall || (rule->wall == WALL_AUTO && !why))
		return 0;
	return err_set(err, EPERM,
		       "--isolation %s is refused: this host's administrator wants %s%s in a "
		       "microVM (rule %zu of isolation-policy, for %s)",
		       wall_name(wish), why ? why : "this image", why ? " of this image" : "",
		       rule->number, rule->text);
}

static int need_vm(const struct create *c, const char *why, struct err *err)
{
	if (!c->env->no_guests)
		return 0;
	if (!why)
		return err_set(err, EOPNOTSUPP,
			       "HostConfig.Isolation (--isolation) vm is not possible here: %s",
			       c->env->no_guests);
	return err_set(
		err, EOPNOTSUPP,
		"%s pierces a container's wall, so it is for a microVM, which is not possible "
		"here: %s (--isolation container runs it as a container all the same)",
		why, c->env->no_guests);
}

static void tell_auto(struct create *c, json_object *host)
{
	const char *shared = shared_with_host(host);
	if (c->pierces)
		create_warn(c->warnings,
			    "%s pierces a container's wall: it runs in a microVM (--isolation "
			    "container runs it as a container)",
			    c->pierces);
	else if (shared)
		create_warn(c->warnings,
			    "%s opens a container's wall, and no microVM can give it: it runs as "
			    "a container",
			    shared);
}

/* The wall that holds: what was asked for, what the administrator prescribes, or the
 * daemon's default. */
static int wall_of(const struct create *c, json_object *host, enum wall *ret, struct err *err)
{
	enum wall wall = WALL_CONTAINER;
	struct isolation_rule rule;
	int says = asked(host, &wall, err);
	if (says < 0)
		return says;
	bool ruled = policy_rule(c, &rule) > 0;
	if (says && ruled) {
		int rc = obey(&rule, host, wall, err);
		if (rc < 0)
			return rc;
	} else if (!says && ruled) {
		wall = rule.wall;
	} else if (!says) {
		(void)wall_parse(c->env->config->default_isolation, &wall);
	}
	*ret = wall;
	return 0;
}

int isolation_choose(struct create *c, json_object *host, struct err *err)
{
	enum wall wall;
	int rc = wall_of(c, host, &wall, err);
	if (rc < 0)
		return rc;
	c->pierces = wall == WALL_AUTO ? isolation_pierced(host) : NULL;
	bool vm = c->pierces || wall == WALL_VM;
	rc = vm ? need_vm(c, c->pierces, err) : 0;
	if (rc < 0)
		return rc;
	if (wall == WALL_AUTO)
		tell_auto(c, host);
	if (vm && c->env->doubt)
		create_warn(c->warnings, "Whether microVMs run here is not known: %s",
			    c->env->doubt);
	json_add_str(host, "Isolation", vm ? "vm" : "container");
	if (vm || !*json_str_or(host, "Runtime", ""))
		json_add_str(host, "Runtime", vm ? "vm" : "ctr");
	return 0;
}

bool isolation_may_be_vm(const struct config *config, const struct isolation_policy *policy,
			 json_object *body)
{
	enum wall wall;
	int says = asked(json_get(body, "HostConfig"), &wall, NULL);
	if (says)
		return says > 0 && wall != WALL_CONTAINER;
	return json_len(policy->rules) || strcmp(config->default_isolation, "container") != 0;
}

/* ---- the rules ---- */

int isolation_agree_to_join(json_object *host, const char *field, const struct instance *donor,
			    struct err *err)
{
	bool net = !strcmp(field, "NetworkMode");
	if (isolation_is_vm(host) || !isolation_is_vm(donor->host_config))
		return 0;
	return err_set(err, EOPNOTSUPP,
		       "HostConfig.%s (%s): container %.12s is in a microVM (--isolation vm): %s "
		       "are in the guest's own kernel, where no other container can join them",
		       field, net ? "--network" : "--pid", donor->id,
		       net ? "its network devices" : "its processes");
}

static bool meets(json_object *host, const struct wall_row *row)
{
	json_object *v = json_get(host, row->field);
	if (json_is_zero(v))
		return false;
	if (!row->value)
		return true;
	/* "container:" is a beginning, "host" is all of it: a network may be named host2. */
	const char *text = json_str_or(host, row->field, "");
	size_t n = strlen(row->value);
	return row->value[n - 1] == ':' ? !strncmp(text, row->value, n) : !strcmp(text, row->value);
}

int isolation_agree(const struct create *c, json_object *host, struct err *err)
{
	if (!isolation_is_vm(host))
		return 0;
	for (size_t i = 0; i < wall_rows_n; i++) {
		const struct wall_row *row = &wall_rows[i];
		if (row->verdict == WALL_REFUSED && meets(host, row))
			return err_set(
				err, EOPNOTSUPP,
				"HostConfig.%s (%s) is not possible with --isolation vm%s%s: "
				"%s",
				row->field, row->flag, c->pierces ? ", chosen for " : "",
				c->pierces ? c->pierces : "", row->text);
	}
	return 0;
}
