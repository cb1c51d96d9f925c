/* SPDX-License-Identifier: Apache-2.0 */
/* isolation - see isolation.h. */
#include "isolation.h"

#include "create.h"
#include "create_priv.h"

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

static const char *piercing_cap(json_object *host)
{
	json_object *list = json_get(host, "CapAdd");
	for (size_t i = 0; i < json_len(list); i++) {
		const char *name = json_item_str(list, i);
		if (!strncmp(name, "CAP_", 4))
			name += 4;
		for (size_t k = 0; k < sizeof(piercing_caps) / sizeof(piercing_caps[0]); k++)
			if (!strcmp(name, piercing_caps[k].name))
				return piercing_caps[k].flag;
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

/* ---- the choice ---- */

/* "vm", "container", "auto"; NULL and an error when two fields contradict. */
static const char *asked(const struct create *c, json_object *host, struct err *err)
{
	const char *isolation = json_str_or(host, "Isolation", "");
	const char *runtime = json_str_or(host, "Runtime", "");
	bool vm = !strcmp(isolation, "vm"), says = *isolation && strcmp(isolation, "default") != 0;
	if (!strcmp(runtime, "vm") && says && !vm) {
		(void)err_set(err, EINVAL,
			      "HostConfig.Runtime (--runtime) vm contradicts HostConfig.Isolation "
			      "(--isolation) %s",
			      isolation);
		return NULL;
	}
	if (*runtime && strcmp(runtime, "vm") != 0 && vm) {
		(void)err_set(err, EINVAL,
			      "HostConfig.Runtime (--runtime) %s contradicts HostConfig.Isolation "
			      "(--isolation) vm",
			      runtime);
		return NULL;
	}
	if (*runtime && !says)
		return !strcmp(runtime, "vm") ? "vm" : "container";
	return !says                           ? c->env->config->default_isolation
	       : !strcmp(isolation, "process") ? "container"
					       : isolation;
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

int isolation_choose(struct create *c, json_object *host, struct err *err)
{
	const char *mode = asked(c, host, err);
	if (!mode)
		return -err->code;
	const char *why = strcmp(mode, "auto") ? NULL : isolation_pierced(host);
	bool vm = why || !strcmp(mode, "vm");
	int rc = vm ? need_vm(c, why, err) : 0;
	if (rc < 0)
		return rc;
	if (why)
		create_warn(c->warnings,
			    "%s pierces a container's wall: it runs in a microVM (--isolation "
			    "container runs it as a container)",
			    why);
	json_add_str(host, "Isolation", vm ? "vm" : "container");
	if (vm || !*json_str_or(host, "Runtime", ""))
		json_add_str(host, "Runtime", vm ? "vm" : "ctr");
	return 0;
}

/* ---- the rules ---- */

int isolation_refuse(const struct instance *inst, const char *what, struct err *err)
{
	if (!isolation_is_vm(inst->host_config))
		return 0;
	return err_set(err, EOPNOTSUPP,
		       "%s is not possible yet with --isolation vm, which container %.12s has",
		       what, inst->id);
}

static bool meets(json_object *host, const struct wall_row *row)
{
	json_object *v = json_get(host, row->field);
	if (json_is_zero(v))
		return false;
	if (row->except && !strcmp(json_str_or(host, row->field, ""), row->except))
		return false;
	return !row->value ||
	       !strncmp(json_str_or(host, row->field, ""), row->value, strlen(row->value));
}

int isolation_agree(json_object *host, struct err *err)
{
	if (!isolation_is_vm(host))
		return 0;
	for (size_t i = 0; i < wall_rows_n; i++) {
		const struct wall_row *row = &wall_rows[i];
		if (row->verdict == WALL_REFUSED && meets(host, row))
			return err_set(err, EOPNOTSUPP,
				       "HostConfig.%s (%s) is not possible with --isolation vm: %s",
				       row->field, row->flag, row->text);
	}
	return 0;
}
