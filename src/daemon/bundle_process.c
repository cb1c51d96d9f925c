/* SPDX-License-Identifier: Apache-2.0 */
/* bundle_process - "process" of config.json (runtime-spec config.md, "Process")
 * for the container and for an exec. Pure, in isolad. The user stays text: names
 * are looked up in the image's files, which isolad never reads, by the container
 * library ("org.isola.user"). */
#include "bundle_priv.h"

#include "capset.h"
#include "create_priv.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/num.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define DEFAULT_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* ---- environment ---- */

static bool is_same_variable(const char *a, const char *b)
{
	size_t n = strcspn(a, "=");
	return n == strcspn(b, "=") && !memcmp(a, b, n);
}

/* Replaces the variable of that name or appends; "NAME" alone removes it. */
static void put_variable(json_object *env, const char *item, json_object *string)
{
	for (size_t i = 0; i < json_len(env); i++) {
		if (!is_same_variable(json_item_str(env, i), item))
			continue;
		if (strchr(item, '='))
			(void)json_object_array_put_idx(env, i, json_object_get(string));
		else
			(void)json_object_array_del_idx(env, i, 1);
		return;
	}
	if (strchr(item, '='))
		(void)json_object_array_add(env, json_object_get(string));
}

static void put_variables(json_object *env, json_object *more)
{
	for (size_t i = 0; i < json_len(more); i++)
		put_variable(env, json_item_str(more, i), json_object_array_get_idx(more, i));
}

static json_object *base_env(json_object *config, bool tty)
{
	json_object *env = json_object_new_array_ext(16);
	char hostname[128];
	(void)snprintf(hostname, sizeof(hostname), "HOSTNAME=%s",
		       json_str_or(config, "Hostname", ""));
	(void)json_object_array_add(env, json_object_new_string(DEFAULT_PATH));
	(void)json_object_array_add(env, json_object_new_string(hostname));
	if (tty)
		(void)json_object_array_add(env, json_object_new_string("TERM=xterm"));
	return env;
}

/* ---- user, limits, capabilities ---- */

static json_object *make_user(const char *user, json_object *groups)
{
	json_object *o = json_object_new_object();
	json_add_i64(o, "uid", 0);
	json_add_i64(o, "gid", 0);
	if (*user)
		json_add_str(o, "org.isola.user", user);
	if (json_len(groups)) {
		json_object *gids = json_object_new_array();
		for (size_t i = 0; i < json_len(groups); i++) {
			int64_t gid = 0;
			(void)num_parse_i64(json_item_str(groups, i), &gid);
			(void)json_object_array_add(gids, json_object_new_int64(gid));
		}
		json_add(o, "additionalGids", gids);
	}
	return o;
}

/* Bounding, effective and permitted; inheritable and ambient stay empty
 * (CVE-2022-24769). For another user than root the kernel clears the effective
 * set at exec. */
static json_object *make_capabilities(uint64_t set)
{
	json_object *o = json_object_new_object(), *names = capset_names(set);
	static const char *const sets[] = { "bounding", "effective", "permitted" };
	for (size_t i = 0; i < 3; i++)
		json_add(o, sets[i], json_object_get(names));
	json_object_put(names);
	return o;
}

static json_object *make_rlimits(json_object *ulimits)
{
	json_object *a = json_object_new_array();
	for (size_t i = 0; i < json_len(ulimits); i++) {
		json_object *u = json_object_array_get_idx(ulimits, i);
		json_object *o = json_object_new_object();
		char type[64];
		int n = snprintf(type, sizeof(type), "RLIMIT_%s", json_str_or(u, "Name", ""));
		for (int k = 0; k < n && k < (int)sizeof(type) - 1; k++)
			type[k] = (char)toupper((unsigned char)type[k]);
		json_add_str(o, "type", type);
		/* -1 is "unlimited", which is all ones in OCI too. */
		json_add(o, "soft", json_object_new_uint64((uint64_t)json_i64_or(u, "Soft", 0)));
		json_add(o, "hard", json_object_new_uint64((uint64_t)json_i64_or(u, "Hard", 0)));
		(void)json_object_array_add(a, o);
	}
	return a;
}

static void add_console_size(json_object *process, json_object *size)
{
	if (json_len(size) != 2)
		return;
	int64_t h = json_object_get_int64(json_object_array_get_idx(size, 0));
	int64_t w = json_object_get_int64(json_object_array_get_idx(size, 1));
	if (h <= 0 || w <= 0)
		return;
	json_object *o = json_object_new_object();
	json_add_i64(o, "height", h);
	json_add_i64(o, "width", w);
	json_add(process, "consoleSize", o);
}

/* "no-new-privileges", ":true" or ":false". */
static bool no_new_privileges(json_object *host)
{
	const char *value = create_security_value(host, "no-new-privileges");
	return value && strcmp(value, "false") != 0;
}

/* ---- the container's ---- */

static json_object *make_args(json_object *config)
{
	json_object *args = json_object_new_array();
	static const char *const parts[] = { "Entrypoint", "Cmd" };
	for (size_t k = 0; k < 2; k++) {
		json_object *a = json_get(config, parts[k]);
		for (size_t i = 0; i < json_len(a); i++)
			(void)json_object_array_add(
				args, json_object_get(json_object_array_get_idx(a, i)));
	}
	return args;
}

static const char *workdir_or_root(json_object *config)
{
	const char *dir = json_str_or(config, "WorkingDir", "");
	return *dir ? dir : "/";
}

int bundle_process(const struct instance *inst, json_object **ret, struct err *err)
{
	json_object *config = inst->config, *host = inst->host_config;
	bool tty = json_bool_or(config, "Tty", false);
	json_object *p = json_object_new_object();
	if (!p)
		return err_set(err, ENOMEM, "out of memory");
	json_add_bool(p, "terminal", tty);
	if (tty)
		add_console_size(p, json_get(host, "ConsoleSize"));
	json_add(p, "user", make_user(json_str_or(config, "User", ""), json_get(host, "GroupAdd")));
	json_add(p, "args", make_args(config));
	json_object *env = base_env(config, tty);
	put_variables(env, json_get(config, "Env"));
	json_add(p, "env", env);
	json_add_str(p, "cwd", workdir_or_root(config));
	json_add(p, "capabilities", make_capabilities(capset_of(host)));
	if (json_len(json_get(host, "Ulimits")))
		json_add(p, "rlimits", make_rlimits(json_get(host, "Ulimits")));
	json_add_bool(p, "noNewPrivileges", no_new_privileges(host));
	json_add_i64(p, "oomScoreAdj", json_i64_or(host, "OomScoreAdj", 0));
	*ret = p;
	return 0;
}

/* ---- an exec's ---- */

int bundle_exec_process(struct instance *inst, json_object *exec, json_object **ret,
			struct err *err)
{
	json_object *config = inst->config, *host = inst->host_config;
	bool tty = json_bool_or(exec, "Tty", false);
	json_object *p = NULL;
	int rc = bundle_process(inst, &p, err);
	if (rc < 0)
		return rc;
	const char *user = json_str_or(exec, "User", ""),
		   *dir = json_str_or(exec, "WorkingDir", "");
	json_object *size = json_get(exec, "ConsoleSize");
	json_object_object_del(p, "consoleSize");
	json_add_bool(p, "terminal", tty);
	if (tty)
		add_console_size(p, size);
	json_add(p, "user",
		 make_user(*user ? user : json_str_or(config, "User", ""),
			   json_get(host, "GroupAdd")));
	json_object *cmd = json_get(exec, "Cmd");
	json_add(p, "args", json_object_get(cmd));
	json_object *env = base_env(config, tty);
	put_variables(env, json_get(config, "Env"));
	put_variables(env, json_get(exec, "Env"));
	json_add(p, "env", env);
	json_add_str(p, "cwd", *dir ? dir : workdir_or_root(config));
	if (json_bool_or(exec, "Privileged", false)) {
		json_add(p, "capabilities", make_capabilities(capset_all()));
		json_add_bool(p, "noNewPrivileges", false);
	}
	*ret = p;
	return 0;
}
