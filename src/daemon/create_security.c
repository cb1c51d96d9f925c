/* SPDX-License-Identifier: Apache-2.0 */
/* create_security - fields of a HostConfig that widen or narrow what a container
 * may do: capabilities, SecurityOpt, devices, sysctls, paths, user namespace.
 * Pure, in isolad. Everything that weakens a default is something the user wrote. */
#include "capset.h"
#include "create_priv.h"
#include "profile.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/lsm.h"
#include "isola/num.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

int create_caps(void *arg, const struct field *row, json_object *v, json_object **ret,
		struct err *err)
{
	(void)arg;
	(void)row;
	cleanup_json json_object *out = json_object_new_array();
	for (size_t i = 0; i < json_len(v); i++) {
		char name[40];
		int rc = capset_normalise(json_item_str(v, i), name, err);
		if (rc < 0)
			return rc;
		(void)json_object_array_add(out, json_object_new_string(name));
	}
	*ret = take_ptr(out);
	return 0;
}

/* ---- SecurityOpt ---- */

static int opt_no_new_privileges(const char *value, struct err *err)
{
	if (!*value || !strcmp(value, "true") || !strcmp(value, "false"))
		return 0;
	return err_set(err, EINVAL, "invalid --security-opt 'no-new-privileges:%.32s'", value);
}

static int opt_seccomp(const char *value, struct err *err)
{
	if (!strcmp(value, "unconfined") || !strcmp(value, "builtin"))
		return 0;
	if (*value != '{')
		return err_set(
			err, EINVAL,
			"seccomp: expected unconfined, builtin or a JSON profile (the client "
			"reads the file), got '%.64s'",
			value);
	return profile_check(value, err);
}

/* Confinement we don't set up must not be asked for in vain; being without it
 * is what one gets. */
static int opt_apparmor(const char *value, struct err *err)
{
	if (!strcmp(value, "unconfined"))
		return 0;
	return err_set(err, EOPNOTSUPP, "apparmor=%.64s is not supported%s", value,
		       lsm_has_apparmor() ? " yet; only unconfined is"
					  : ": this host runs without AppArmor");
}

static int opt_label(const char *value, struct err *err)
{
	if (!strcmp(value, "disable"))
		return 0;
	return err_set(err, EOPNOTSUPP, "label=%.64s is not supported%s", value,
		       lsm_has_selinux() ? " yet; only disable is"
					 : ": this host runs without SELinux");
}

static int opt_systempaths(const char *value, struct err *err)
{
	if (!strcmp(value, "unconfined"))
		return 0;
	return err_set(err, EINVAL, "systempaths: only unconfined is a value");
}

static const struct {
	const char *name;
	int (*check)(const char *value, struct err *err);
} security_opts[] = {
	{ "no-new-privileges", opt_no_new_privileges },
	{ "seccomp", opt_seccomp },
	{ "apparmor", opt_apparmor },
	{ "label", opt_label },
	{ "systempaths", opt_systempaths },
};

int create_security_opt(void *arg, const struct field *row, json_object *v, json_object **ret,
			struct err *err)
{
	(void)arg;
	(void)row;
	for (size_t i = 0; i < json_len(v); i++) {
		const char *opt = json_item_str(v, i);
		size_t n = strcspn(opt, "=:"), k = 0;
		while (k < sizeof(security_opts) / sizeof(security_opts[0]) &&
		       (strlen(security_opts[k].name) != n ||
			memcmp(security_opts[k].name, opt, n) != 0))
			k++;
		if (k == sizeof(security_opts) / sizeof(security_opts[0]))
			return err_set(err, EINVAL, "invalid --security-opt: '%.64s'", opt);
		int rc = security_opts[k].check(opt[n] ? opt + n + 1 : "", err);
		if (rc < 0)
			return rc;
	}
	*ret = json_object_get(v);
	return 0;
}

const char *create_security_value(json_object *host_config, const char *name)
{
	json_object *opts = json_get(host_config, "SecurityOpt");
	size_t n = strlen(name);
	const char *value = NULL;
	for (size_t i = 0; i < json_len(opts); i++) {
		const char *opt = json_item_str(opts, i);
		if (strncmp(opt, name, n) == 0 && (!opt[n] || opt[n] == '=' || opt[n] == ':'))
			value = opt[n] ? opt + n + 1 : "";
	}
	return value;
}

/* ---- devices ---- */

static bool is_access(const char *text)
{
	return *text && strspn(text, "rwm") == strlen(text) && strlen(text) <= 3;
}

static int check_device(json_object *item, struct err *err)
{
	static const struct field rows[] = {
		{ "PathOnHost", NULL, FIELD_STR, DEFAULT_EMPTY },
		{ "PathInContainer", NULL, FIELD_STR, DEFAULT_EMPTY },
		{ "CgroupPermissions", NULL, FIELD_STR, DEFAULT_EMPTY },
	};
	cleanup_json json_object *device = NULL;
	int rc = fields_check(rows, 3, "", item, NULL, &device, err);
	if (rc < 0)
		return rc;
	const char *host = json_str_or(device, "PathOnHost", "");
	const char *inside = json_str_or(device, "PathInContainer", "");
	const char *access = json_str_or(device, "CgroupPermissions", "");
	if (*host != '/' || strlen(host) >= PATH_MAX)
		return err_set(err, EINVAL, "PathOnHost '%.128s' is no absolute path", host);
	if (*inside && (*inside != '/' || strlen(inside) >= PATH_MAX))
		return err_set(err, EINVAL, "PathInContainer '%.128s' is no absolute path", inside);
	if (*access && !is_access(access))
		return err_set(err, EINVAL, "invalid device mode: '%.32s'", access);
	return 0;
}

int create_devices(void *arg, const struct field *row, json_object *v, json_object **ret,
		   struct err *err)
{
	(void)arg;
	(void)row;
	for (size_t i = 0; i < json_len(v); i++) {
		int rc = check_device(json_object_array_get_idx(v, i), err);
		if (rc < 0) {
			(void)err_prefix(err, "[%zu]", i);
			return rc;
		}
	}
	*ret = json_object_get(v);
	return 0;
}

static const char *parse_device_number(const char *p, int64_t *ret)
{
	if (*p == '*') {
		*ret = -1;
		return p + 1;
	}
	char digits[12];
	size_t n = strspn(p, "0123456789");
	if (n == 0 || n >= sizeof(digits))
		return NULL;
	memcpy(digits, p, n);
	digits[n] = '\0';
	return num_parse_range(digits, 0, UINT32_MAX, ret) < 0 ? NULL : p + n;
}

int create_parse_device_rule(const char *text, struct device_rule *ret)
{
	struct device_rule rule = { .type = text[0] };
	if (!text[0] || !strchr("abc", text[0]) || text[1] != ' ')
		return -EINVAL;
	const char *p = parse_device_number(text + 2, &rule.major);
	if (!p || *p != ':')
		return -EINVAL;
	p = parse_device_number(p + 1, &rule.minor);
	if (!p || *p != ' ' || !is_access(p + 1))
		return -EINVAL;
	(void)snprintf(rule.access, sizeof(rule.access), "%s", p + 1);
	*ret = rule;
	return 0;
}

int create_device_rules(void *arg, const struct field *row, json_object *v, json_object **ret,
			struct err *err)
{
	(void)arg;
	(void)row;
	for (size_t i = 0; i < json_len(v); i++) {
		struct device_rule rule;
		if (create_parse_device_rule(json_item_str(v, i), &rule) < 0)
			return err_set(err, EINVAL,
				       "invalid device cgroup rule format: '%.64s' (like 'c 1:3 "
				       "rwm')",
				       json_item_str(v, i));
	}
	*ret = json_object_get(v);
	return 0;
}

/* ---- sysctls, paths, user namespace ---- */

static bool is_sysctl_key(const char *key)
{
	for (const char *p = key; *p; p++) {
		if (!isalnum((unsigned char)*p) && !strchr("._-/", *p))
			return false;
	}
	return *key && !strstr(key, "..") && strlen(key) < 256;
}

int create_sysctls(void *arg, const struct field *row, json_object *v, json_object **ret,
		   struct err *err)
{
	(void)arg;
	(void)row;
	json_object_object_foreach (v, key, value) {
		(void)value;
		if (!is_sysctl_key(key))
			return err_set(err, EINVAL, "'%.64s' is no name of a sysctl", key);
	}
	*ret = json_object_get(v);
	return 0;
}

int create_paths(void *arg, const struct field *row, json_object *v, json_object **ret,
		 struct err *err)
{
	(void)arg;
	(void)row;
	for (size_t i = 0; i < json_len(v); i++) {
		if (*json_item_str(v, i) != '/')
			return err_set(err, EINVAL, "'%.64s' is no absolute path",
				       json_item_str(v, i));
	}
	*ret = json_object_get(v);
	return 0;
}

int create_userns_mode(void *arg, const struct field *row, json_object *v, json_object **ret,
		       struct err *err)
{
	(void)arg;
	(void)row;
	const char *mode = json_object_get_string(v);
	if (strcmp(mode, "host") && strcmp(mode, "private"))
		return err_set(err, EINVAL,
			       "invalid USER mode: '%.32s' (private, the default, or host)", mode);
	*ret = json_object_get(v);
	return 0;
}
