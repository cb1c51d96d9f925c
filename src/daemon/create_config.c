/* SPDX-License-Identifier: Apache-2.0 */
/* create_config - the rows of Docker's ContainerConfig and their checks. Pure,
 * in isolad. The image's own defaults are merged in before, so a malformed image
 * ends here with the same sentences. */
#include "create_priv.h"

#include "isola/json.h"
#include "isola/num.h"
#include "isola/signo.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <string.h>

#define HOSTNAME_BYTES_MAX 64 /* __NEW_UTS_LEN, sethostname(2) */
#define USER_PART_MAX      255

/* Goes into /etc/hosts and /etc/hostname, so nothing that breaks a line. */
static int check_hostname(void *arg, const struct field *row, json_object *v, json_object **ret,
			  struct err *err)
{
	(void)arg;
	(void)row;
	const char *name = json_object_get_string(v);
	if (strlen(name) > HOSTNAME_BYTES_MAX)
		return err_set(err, EINVAL, "longer than %d bytes", HOSTNAME_BYTES_MAX);
	for (const char *p = name; *p; p++) {
		if (!isalnum((unsigned char)*p) && !strchr("-._", *p))
			return err_set(err, EINVAL,
				       "'%s' may hold only letters, digits, '-', '_' and '.'",
				       name);
	}
	if (strchr("-._", *name))
		return err_set(err, EINVAL, "'%s' must begin with a letter or digit", name);
	*ret = json_object_get(v);
	return 0;
}

/* A number below 2^32-1, or a name. CVE-2026-30892: "1:", ":1", "1x" must not
 * end as somebody else, so the whole part has to be one or the other. */
static bool is_user_part(const char *s, size_t len)
{
	if (len == 0 || len > USER_PART_MAX || *s == '-')
		return false;
	size_t digits = 0;
	for (size_t i = 0; i < len; i++) {
		digits += isdigit((unsigned char)s[i]) != 0;
		if (!isalnum((unsigned char)s[i]) && !strchr("_.-", s[i]) &&
		    !(s[i] == '$' && i == len - 1 && i > 0))
			return false;
	}
	if (digits < len)
		return true;
	char number[USER_PART_MAX + 1];
	memcpy(number, s, len);
	number[len] = '\0';
	int64_t id;
	return num_parse_range(number, 0, (int64_t)UINT32_MAX - 1, &id) == 0;
}

static int check_user(void *arg, const struct field *row, json_object *v, json_object **ret,
		      struct err *err)
{
	(void)arg;
	(void)row;
	const char *text = json_object_get_string(v), *colon = strchr(text, ':');
	size_t user = colon ? (size_t)(colon - text) : strlen(text);
	if (!is_user_part(text, user) || (colon && !is_user_part(colon + 1, strlen(colon + 1))))
		return err_set(err, EINVAL, "'%.64s' is not name|uid[:group|gid]", text);
	*ret = json_object_get(v);
	return 0;
}

/* "80/tcp", "53/udp", "8000-8010/tcp", "80". Only shown: publishing needs -p. */
static bool is_port(const char *text)
{
	char buf[32];
	if (strlen(text) >= sizeof(buf))
		return false;
	strcpy(buf, text);
	char *proto = strchr(buf, '/');
	if (proto) {
		*proto++ = '\0';
		if (strcmp(proto, "tcp") && strcmp(proto, "udp") && strcmp(proto, "sctp"))
			return false;
	}
	char *end = strchr(buf, '-');
	if (end)
		*end++ = '\0';
	int64_t low, high;
	if (num_parse_range(buf, 1, 65535, &low) < 0)
		return false;
	return !end || (num_parse_range(end, 1, 65535, &high) == 0 && low <= high);
}

static int check_ports(void *arg, const struct field *row, json_object *v, json_object **ret,
		       struct err *err)
{
	(void)arg;
	(void)row;
	json_object_object_foreach (v, key, unused) {
		(void)unused;
		if (!is_port(key))
			return err_set(err, EINVAL, "'%.32s' is not port[-port][/tcp|/udp|/sctp]",
				       key);
	}
	*ret = json_object_get(v);
	return 0;
}

static int check_env(void *arg, const struct field *row, json_object *v, json_object **ret,
		     struct err *err)
{
	(void)arg;
	(void)row;
	for (size_t i = 0; i < json_len(v); i++) {
		const char *item = json_item_str(v, i);
		if (!*item || *item == '=')
			return err_set(err, EINVAL, "invalid environment variable: '%.64s'", item);
	}
	*ret = json_object_get(v);
	return 0;
}

/* Docker takes "ls" for ["ls"]. */
static int check_command(void *arg, const struct field *row, json_object *v, json_object **ret,
			 struct err *err)
{
	(void)arg;
	(void)row;
	if (json_object_is_type(v, json_type_array)) {
		*ret = json_object_get(v);
		return 0;
	}
	json_object *a = json_object_new_array_ext(1);
	if (!a || json_object_array_add(a, json_object_get(v)) < 0)
		return err_set(err, ENOMEM, "out of memory");
	*ret = a;
	return 0;
}

/* [] and [""] are how clients say "no entry point at all". */
static int check_entrypoint(void *arg, const struct field *row, json_object *v, json_object **ret,
			    struct err *err)
{
	if (json_is_zero(v) || (json_len(v) == 1 && !*json_item_str(v, 0)))
		return 0;
	return check_command(arg, row, v, ret, err);
}

static int check_workdir(void *arg, const struct field *row, json_object *v, json_object **ret,
			 struct err *err)
{
	(void)arg;
	(void)row;
	const char *dir = json_object_get_string(v);
	if (*dir != '/')
		return err_set(err, EINVAL,
			       "the working directory '%.128s' is invalid, it needs to be an "
			       "absolute path",
			       dir);
	if (strlen(dir) >= PATH_MAX)
		return err_set(err, EINVAL, "too long");
	*ret = json_object_get(v);
	return 0;
}

static int check_signal(void *arg, const struct field *row, json_object *v, json_object **ret,
			struct err *err)
{
	(void)arg;
	(void)row;
	if (signo_parse(json_object_get_string(v)) < 0)
		return err_set(err, EINVAL, "Invalid signal: %.32s", json_object_get_string(v));
	*ret = json_object_get(v);
	return 0;
}

/* HostConfig and NetworkingConfig ride in the same object; they have tables and
 * checks of their own. */
static int check_elsewhere(void *arg, const struct field *row, json_object *v, json_object **ret,
			   struct err *err)
{
	(void)arg;
	(void)row;
	(void)v;
	(void)ret;
	(void)err;
	return 0;
}

static const struct field rows[] = {
	{ "Hostname", "--hostname", FIELD_STR, DEFAULT_EMPTY, .check = check_hostname },
	{ "Domainname", "--domainname", FIELD_STR, DEFAULT_EMPTY, .check = check_hostname },
	{ "User", "--user", FIELD_STR, DEFAULT_EMPTY, .check = check_user },
	{ "AttachStdin", NULL, FIELD_BOOL, DEFAULT_FALSE },
	{ "AttachStdout", NULL, FIELD_BOOL, DEFAULT_FALSE },
	{ "AttachStderr", NULL, FIELD_BOOL, DEFAULT_FALSE },
	{ "ExposedPorts", "--expose", FIELD_SET, DEFAULT_ABSENT, .check = check_ports },
	{ "Tty", "--tty", FIELD_BOOL, DEFAULT_FALSE },
	{ "OpenStdin", "--interactive", FIELD_BOOL, DEFAULT_FALSE },
	{ "StdinOnce", NULL, FIELD_BOOL, DEFAULT_FALSE },
	{ "Env", "--env", FIELD_STRS, DEFAULT_NULL, .check = check_env },
	{ "Cmd", NULL, FIELD_COMMAND, DEFAULT_NULL, .check = check_command },
	{ "Healthcheck", "--health-cmd", FIELD_OBJ, DEFAULT_ABSENT, .check = create_check_health },
	{ "ArgsEscaped", NULL, FIELD_BOOL, DEFAULT_ABSENT, .refuse = "on Linux" },
	{ "Image", NULL, FIELD_STR, DEFAULT_EMPTY },
	{ "Volumes", "-v", FIELD_SET, DEFAULT_NULL },
	{ "WorkingDir", "--workdir", FIELD_STR, DEFAULT_EMPTY, .check = check_workdir },
	{ "Entrypoint", "--entrypoint", FIELD_COMMAND, DEFAULT_NULL, .only_null = true,
	  .check = check_entrypoint },
	{ "NetworkDisabled", NULL, FIELD_BOOL, DEFAULT_ABSENT },
	{ "MacAddress", "--mac-address", FIELD_STR, DEFAULT_ABSENT },
	{ "OnBuild", NULL, FIELD_STRS, DEFAULT_NULL, .refuse = "for a container, only in a build" },
	{ "Labels", "--label", FIELD_MAP, DEFAULT_OBJECT },
	{ "StopSignal", "--stop-signal", FIELD_STR, DEFAULT_ABSENT, .check = check_signal },
	{ "StopTimeout", "--stop-timeout", FIELD_INT, DEFAULT_ABSENT, .only_null = true, .min = -1,
	  .max = INT32_MAX },
	/* For "RUN x" in a build; a running container never reads it. Kept because
	 * tools create containers from what inspect showed. */
	{ "Shell", NULL, FIELD_STRS, DEFAULT_ABSENT },
	{ "HostConfig", NULL, FIELD_OBJ, DEFAULT_ABSENT, .check = check_elsewhere },
	{ "NetworkingConfig", NULL, FIELD_OBJ, DEFAULT_ABSENT, .check = check_elsewhere },
};

const struct field_table create_config_fields = { rows, sizeof(rows) / sizeof(rows[0]) };
