/* SPDX-License-Identifier: Apache-2.0 */
/* secret_flags - --secret and --config as parts of HostConfig. The file, or the variable of
 * the environment, is read here. */
#include "create_flags.h"

#include "isola/base64.h"
#include "isola/fd.h"
#include "isola/json.h"
#include "isola/num.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define BYTES_MAX (500 * 1024)

static int add_data(json_object *o, const char *data, size_t size, struct err *err)
{
	char *text = base64_encode(data, size);
	if (!text)
		return err_set(err, ENOMEM, "out of memory");
	json_add_str(o, "Data", text);
	explicit_bzero(text, strlen(text));
	free(text);
	return 0;
}

static int read_file(json_object *o, const char *path, struct err *err)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	char *data = malloc(BYTES_MAX + 1);
	if (!data)
		return err_set(err, ENOMEM, "out of memory");
	ssize_t n = fd < 0 ? -errno : fd_read_all(fd, data, BYTES_MAX + 1);
	int rc = n < 0 ? err_rc(err, (int)n, "cannot read %s", path)
		 : n > BYTES_MAX
			 ? err_set(err, EFBIG, "%s is larger than %d bytes", path, BYTES_MAX)
			 : add_data(o, data, (size_t)n, err);
	explicit_bzero(data, BYTES_MAX + 1);
	free(data);
	return rc;
}

static int read_variable(json_object *o, const char *name, struct err *err)
{
	const char *value = getenv(name);
	return value ? add_data(o, value, strlen(value), err)
		     : err_set(err, ENOENT, "there is no variable %s", name);
}

static int add_number(json_object *o, const char *key, const char *value, int base, struct err *err)
{
	char *end = NULL;
	long n = strtol(value, &end, base);
	if (!*value || *end || n < 0)
		return err_set(err, EINVAL, "\"%s\" is no number", value);
	json_add_i64(o, key, n);
	return 0;
}

static int add_part(json_object *o, const char *key, const char *value, struct err *err)
{
	if (!strcmp(key, "id"))
		json_add_str(o, "Name", value);
	else if (!strcmp(key, "target") || !strcmp(key, "dst"))
		json_add_str(o, "Target", value);
	else if (!strcmp(key, "src") || !strcmp(key, "source"))
		return read_file(o, value, err);
	else if (!strcmp(key, "env"))
		return read_variable(o, value, err);
	else if (!strcmp(key, "uid"))
		return add_number(o, "Uid", value, 10, err);
	else if (!strcmp(key, "gid"))
		return add_number(o, "Gid", value, 10, err);
	else if (!strcmp(key, "mode"))
		return add_number(o, "Mode", value, 8, err);
	else
		return err_set(err, EINVAL, "unknown option \"%s\"", key);
	return 0;
}

static int parse(json_object *list, char *text, struct err *err)
{
	cleanup_json json_object *o = json_object_new_object();
	char *save = NULL;
	for (char *part = strtok_r(text, ",", &save); part; part = strtok_r(NULL, ",", &save)) {
		char *equals = strchr(part, '=');
		if (!equals)
			return err_set(err, EINVAL, "\"%s\" is no key=value", part);
		*equals = '\0';
		int rc = add_part(o, part, equals + 1, err);
		if (rc < 0)
			return rc;
	}
	if (!json_get(o, "Name") || !json_get(o, "Data"))
		return err_set(err, EINVAL, "id and src, or id and env, are needed");
	(void)json_object_array_add(list, take_ptr(o));
	return 0;
}

static int add_all(struct args *args, const char *flag, const char *key, json_object *host,
		   struct err *err)
{
	cleanup_json json_object *list = json_object_new_array();
	const char *text;
	for (size_t i = 0; (text = args_list(args, flag, i)); i++) {
		cleanup_free char *copy = strdup(text);
		int rc = copy ? parse(list, copy, err) : err_set(err, ENOMEM, "out of memory");
		if (rc < 0)
			return err_prefix(err, "--%s", flag);
	}
	if (json_len(list))
		json_add(host, key, take_ptr(list));
	return 0;
}

int secret_flags(struct args *args, json_object *host, struct err *err)
{
	int rc = add_all(args, "secret", "Secrets", host, err);
	return rc < 0 ? rc : add_all(args, "config", "Configs", host, err);
}
