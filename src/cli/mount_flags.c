/* SPDX-License-Identifier: Apache-2.0 */
/* mount_flags - -v, --mount and --tmpfs as parts of HostConfig. Relative host
 * paths are made absolute here, since only the client knows where it stands. */
#include "body.h"
#include "create_flags.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/num.h"
#include "isola/strbuf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* "src:dst[:opts]": only a source that begins with . or / is a path; "dst" alone is
 * an anonymous volume. */
static int add_bind(json_object *volumes, json_object *binds, const char *text, struct err *err)
{
	const char *colon = strchr(text, ':');
	if (!colon) {
		json_add(volumes, text, json_object_new_object());
		return 0;
	}
	if (text[0] != '.') {
		json_object_array_add(binds, json_object_new_string(text));
		return 0;
	}
	cleanup_free char *source = strndup(text, (size_t)(colon - text));
	cleanup_free char *full = source ? body_path(source) : NULL;
	cleanup_strbuf struct strbuf b = STRBUF_INIT;
	if (!full)
		return err_sys(err, "-v %s: cannot find the current folder", text);
	strbuf_printf(&b, "%s%s", full, colon);
	json_object_array_add(binds, json_object_new_string(b.text));
	return 0;
}

enum mount_key {
	MOUNT_TYPE,
	MOUNT_SOURCE,
	MOUNT_TARGET,
	MOUNT_READONLY,
	MOUNT_CONSISTENCY,
	MOUNT_PROPAGATION,
	MOUNT_NONRECURSIVE,
	MOUNT_CREATE,
	MOUNT_TMPFS_SIZE,
	MOUNT_TMPFS_MODE,
	MOUNT_RECURSIVE,
	MOUNT_NOCOPY,
	MOUNT_SUBPATH,
	MOUNT_LABEL,
	MOUNT_DRIVER,
	MOUNT_DRIVER_OPT,
};

static const struct {
	const char *name;
	enum mount_key key;
} mount_keys[] = {
	{ "type", MOUNT_TYPE },
	{ "source", MOUNT_SOURCE },
	{ "src", MOUNT_SOURCE },
	{ "target", MOUNT_TARGET },
	{ "destination", MOUNT_TARGET },
	{ "dst", MOUNT_TARGET },
	{ "readonly", MOUNT_READONLY },
	{ "ro", MOUNT_READONLY },
	{ "consistency", MOUNT_CONSISTENCY },
	{ "bind-propagation", MOUNT_PROPAGATION },
	{ "bind-nonrecursive", MOUNT_NONRECURSIVE },
	{ "bind-create-src", MOUNT_CREATE },
	{ "tmpfs-size", MOUNT_TMPFS_SIZE },
	{ "tmpfs-mode", MOUNT_TMPFS_MODE },
	{ "bind-recursive", MOUNT_RECURSIVE },
	{ "volume-nocopy", MOUNT_NOCOPY },
	{ "volume-subpath", MOUNT_SUBPATH },
	{ "volume-label", MOUNT_LABEL },
	{ "volume-driver", MOUNT_DRIVER },
	{ "volume-opt", MOUNT_DRIVER_OPT },
};

/* The nested object @key of @o, made when missing. */
static json_object *child(json_object *o, const char *key)
{
	json_object *c = json_get(o, key);
	if (!c) {
		c = json_object_new_object();
		json_add(o, key, c);
	}
	return c;
}

static int yes_or_no(const char *text, bool *ret)
{
	*ret = !text || !strcmp(text, "true") || !strcmp(text, "1");
	return *ret || !strcmp(text, "false") || !strcmp(text, "0") ? 0 : -EINVAL;
}

/* Docker's words for what is mounted below a bind. */
static int set_recursive(json_object *bind, const char *value)
{
	static const struct {
		const char *word, *field;
	} words[] = {
		{ "enabled", NULL },
		{ "disabled", "NonRecursive" },
		{ "writable", "ReadOnlyNonRecursive" },
		{ "readonly", "ReadOnlyForceRecursive" },
	};
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(words[i].word, value) != 0)
			continue;
		if (words[i].field)
			json_add_bool(bind, words[i].field, true);
		return 0;
	}
	return -EINVAL;
}

/* "key=value"; a label may be a key alone. */
static int set_pair(json_object *o, const char *text, bool alone)
{
	const char *equals = strchr(text, '=');
	size_t n = equals ? (size_t)(equals - text) : strlen(text);
	cleanup_free char *key = strndup(text, n);
	if (!key || !n || (!equals && !alone))
		return -EINVAL;
	json_add_str(o, key, equals ? equals + 1 : "");
	return 0;
}

static int set_mount_key(json_object *m, enum mount_key key, const char *value)
{
	int64_t n;
	bool yes = false;
	char *end;
	cleanup_free char *full = NULL;
	bool flag = key == MOUNT_READONLY || key == MOUNT_NONRECURSIVE || key == MOUNT_CREATE ||
		    key == MOUNT_NOCOPY;
	if (flag ? yes_or_no(value, &yes) < 0 : !value)
		return -EINVAL;
	switch (key) {
	case MOUNT_TYPE:
		json_add_str(m, "Type", value);
		return 0;
	case MOUNT_SOURCE:
		full = value[0] == '.' ? body_path(value) : strdup(value);
		json_add_str(m, "Source", full);
		return full ? 0 : -ENOMEM;
	case MOUNT_TARGET:
		json_add_str(m, "Target", value);
		return 0;
	case MOUNT_READONLY:
		json_add_bool(m, "ReadOnly", yes);
		return 0;
	case MOUNT_CONSISTENCY:
		json_add_str(m, "Consistency", value);
		return 0;
	case MOUNT_PROPAGATION:
		json_add_str(child(m, "BindOptions"), "Propagation", value);
		return 0;
	case MOUNT_NONRECURSIVE:
		json_add_bool(child(m, "BindOptions"), "NonRecursive", yes);
		return 0;
	case MOUNT_CREATE:
		json_add_bool(child(m, "BindOptions"), "CreateMountpoint", yes);
		return 0;
	case MOUNT_TMPFS_SIZE:
		if (num_parse_size(value, false, &n) < 0)
			return -EINVAL;
		json_add_i64(child(m, "TmpfsOptions"), "SizeBytes", n);
		return 0;
	case MOUNT_TMPFS_MODE:
		n = strtol(value, &end, 8);
		if (*end || !*value || n < 0 || n > 07777)
			return -EINVAL;
		json_add_i64(child(m, "TmpfsOptions"), "Mode", n);
		return 0;
	case MOUNT_RECURSIVE:
		return set_recursive(child(m, "BindOptions"), value);
	case MOUNT_NOCOPY:
		json_add_bool(child(m, "VolumeOptions"), "NoCopy", yes);
		return 0;
	case MOUNT_SUBPATH:
		json_add_str(child(m, "VolumeOptions"), "Subpath", value);
		return 0;
	case MOUNT_LABEL:
		return set_pair(child(child(m, "VolumeOptions"), "Labels"), value, true);
	case MOUNT_DRIVER:
		json_add_str(child(child(m, "VolumeOptions"), "DriverConfig"), "Name", value);
		return 0;
	case MOUNT_DRIVER_OPT:
		return set_pair(child(child(child(m, "VolumeOptions"), "DriverConfig"), "Options"),
				value, false);
	}
	return -EINVAL;
}

static int mount_option(const char *flag, json_object *m, char *option, struct err *err)
{
	char *value = strchr(option, '=');
	if (value)
		*value++ = '\0';
	for (size_t i = 0; i < sizeof(mount_keys) / sizeof(mount_keys[0]); i++) {
		if (strcmp(mount_keys[i].name, option) != 0)
			continue;
		if (set_mount_key(m, mount_keys[i].key, value) < 0)
			return err_set(err, EINVAL, "%s: invalid value for %s: \"%s\"", flag,
				       option, value ? value : "");
		return 0;
	}
	return err_set(err, EINVAL, "%s: unknown option \"%s\"", flag, option);
}

static int add_mount(const char *flag, json_object *mounts, const char *text, struct err *err)
{
	cleanup_free char *copy = strdup(text);
	cleanup_json json_object *m = json_object_new_object();
	if (!copy || !m)
		return err_set(err, ENOMEM, "out of memory");
	char *save = NULL;
	for (char *o = strtok_r(copy, ",", &save); o; o = strtok_r(NULL, ",", &save)) {
		int rc = mount_option(flag, m, o, err);
		if (rc < 0)
			return rc;
	}
	if (!json_get(m, "Type"))
		json_add_str(m, "Type", "volume");
	if (!json_get(m, "Target"))
		return err_set(err, EINVAL, "%s %s: target is missing", flag, text);
	json_object_array_add(mounts, take_ptr(m));
	return 0;
}

static void add_tmpfs(json_object *tmpfs, const char *text)
{
	const char *colon = strchr(text, ':');
	cleanup_free char *path = colon ? strndup(text, (size_t)(colon - text)) : strdup(text);
	if (path)
		json_add_str(tmpfs, path, colon ? colon + 1 : "");
}

int mount_flags(struct args *args, json_object *config, json_object *host, struct err *err)
{
	json_object *binds = json_object_new_array(), *mounts = json_object_new_array();
	json_object *tmpfs = json_object_new_object(), *volumes = json_object_new_object();
	json_add(config, "Volumes", volumes);
	json_add(host, "Binds", binds);
	json_add(host, "Mounts", mounts);
	json_add(host, "Tmpfs", tmpfs);
	const char *text;
	int rc = 0;
	for (size_t i = 0; rc == 0 && (text = args_list(args, "volume", i)); i++)
		rc = add_bind(volumes, binds, text, err);
	for (size_t i = 0; rc == 0 && (text = args_list(args, "mount", i)); i++)
		rc = add_mount("--mount", mounts, text, err);
	for (size_t i = 0; rc == 0 && (text = args_list(args, "tmpfs", i)); i++)
		add_tmpfs(tmpfs, text);
	return rc;
}

const struct flag flags_mounts[] = {
	{ "mount-add", 0, FLAG_LIST, "spec", "mount this, also while it runs (as --mount of run)" },
	{ "mount-rm", 0, FLAG_LIST, "path", "unmount what is mounted at this path in it" },
	{ .name = NULL },
};

json_object *mount_changes(struct args *args, struct err *err)
{
	cleanup_json json_object *o = json_object_new_object();
	json_object *add = json_object_new_array(), *gone = json_object_new_array();
	const char *text;
	int rc = 0;
	json_add(o, "Add", add);
	json_add(o, "Remove", gone);
	for (size_t i = 0; (text = args_list(args, "mount-rm", i)); i++)
		json_object_array_add(gone, json_object_new_string(text));
	for (size_t i = 0; rc == 0 && (text = args_list(args, "mount-add", i)); i++)
		rc = add_mount("--mount-add", add, text, err);
	return rc < 0 || json_len(add) + json_len(gone) == 0 ? NULL : take_ptr(o);
}
