/* SPDX-License-Identifier: Apache-2.0 */
/* docker_config - see docker_config.h. The format is that of Docker's client
 * (cli/config/configfile). */
#include "docker_config.h"

#include "isola/base64.h"
#include "isola/fd.h"
#include "isola/json.h"
#include "isola/path.h"
#include "isola/strbuf.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define CONFIG_BYTES_MAX (4 * 1024 * 1024)
#define SECRET_BYTES_MAX (64 * 1024)
/* As a name of the account, it says that the secret is an identity token. */
#define TOKEN_USER "<token>"

void docker_config_fini(struct docker_config *c)
{
	free(c->path);
	json_object_put(c->root);
	*c = (struct docker_config){ NULL };
}

void credentials_fini(struct credentials *c)
{
	char *all[] = { c->user, c->password, c->identity };
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (all[i])
			explicit_bzero(all[i], strlen(all[i]));
		free(all[i]);
	}
	*c = (struct credentials){ NULL };
}

static char *config_path(void)
{
	const char *folder = getenv("DOCKER_CONFIG"), *home = getenv("HOME");
	char *path = NULL;
	if (!folder || !*folder) {
		const struct passwd *pw = home && *home ? NULL : getpwuid(getuid());
		home = pw ? pw->pw_dir : home;
	}
	int n = folder && *folder ? asprintf(&path, "%s/config.json", folder)
				  : asprintf(&path, "%s/.docker/config.json", home ? home : "");
	if (n < 0)
		return NULL;
	/* A link is followed once, here, so that it stays one. */
	char *real = realpath(path, NULL);
	if (real) {
		free(path);
		return real;
	}
	return path;
}

int docker_config_parse(const char *text, size_t size, json_object **ret, struct err *err)
{
	static const char *const objects[] = { "auths", "credHelpers" };
	cleanup_json json_object *o = NULL;
	json_object *part = NULL;
	const char *store = NULL;
	int rc = json_parse(text, size, "it", &o, err);
	if (rc == 0 && !json_object_is_type(o, json_type_object))
		rc = err_set(err, EINVAL, "it must be an object");
	for (size_t i = 0; rc >= 0 && i < sizeof(objects) / sizeof(objects[0]); i++)
		rc = json_get_obj(o, objects[i], &part, err);
	if (rc >= 0)
		rc = json_get_str(o, "credsStore", &store, err);
	if (rc < 0)
		return rc;
	*ret = take_ptr(o);
	return 0;
}

int docker_config_read(struct docker_config *ret, struct err *err)
{
	cleanup_docker_config struct docker_config c = { config_path(), NULL };
	cleanup_free char *text = NULL;
	size_t size = 0;
	struct err own = ERR_INIT;
	if (!c.path)
		return err_set(err, ENOMEM, "out of memory");
	int rc = fd_read_file(AT_FDCWD, c.path, CONFIG_BYTES_MAX, &text, &size, &own);
	if (rc == -ENOENT || rc == -ENOTDIR || (rc == 0 && size == 0)) {
		rc = 0;
		c.root = json_object_new_object();
	} else if (rc == 0) {
		rc = docker_config_parse(text, size, &c.root, &own);
	}
	if (rc < 0) {
		(void)err_copy(err, &own);
		return err_prefix(err, "%s", c.path);
	}
	*ret = c;
	c = (struct docker_config){ NULL };
	return 0;
}

/* With its owner and mode where it was there before. */
static int write_config(const struct docker_config *c, struct err *err)
{
	char folder[PATH_MAX];
	struct stat st;
	const char *slash = strrchr(c->path, '/');
	const char *text = json_object_to_json_string_ext(
		c->root, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_PRETTY_TAB |
				 JSON_C_TO_STRING_NOSLASHESCAPE | JSON_C_TO_STRING_SPACED);
	(void)snprintf(folder, sizeof(folder), "%.*s", (int)(slash - c->path), c->path);
	int rc = path_mkdir_all(folder, 0700, err);
	cleanup_fd int fd = rc < 0 ? -1 : open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (rc == 0 && fd < 0)
		rc = err_sys(err, "cannot open %s", folder);
	bool old = rc == 0 && fstatat(fd, slash + 1, &st, 0) == 0;
	if (rc == 0)
		rc = fd_write_atomic(fd, slash + 1, text, strlen(text),
				     old ? st.st_mode & 0600 : 0600, FD_SYNC_YES, err);
	if (rc == 0 && old)
		(void)fchownat(fd, slash + 1, st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW);
	return rc;
}

void docker_config_key(const char *server, char *ret, size_t size)
{
	static const char *const hub[] = { "", "docker.io", "index.docker.io",
					   "registry-1.docker.io" };
	const char *host = strstr(server, "://");
	host = host ? host + 3 : server;
	size_t n = strcspn(host, "/");
	for (size_t i = 0; i < sizeof(hub) / sizeof(hub[0]); i++)
		if (strlen(hub[i]) == n && !strncasecmp(host, hub[i], n)) {
			(void)snprintf(ret, size, "%s", HUB_KEY);
			return;
		}
	(void)snprintf(ret, size, "%.*s", (int)n, host);
}

/* ---- in the file ---- */

/* The entry of @key, also where it stands there as an address. */
static json_object *entry_of(const struct docker_config *c, const char *key, const char **ret_name)
{
	json_object *all = json_get(c->root, "auths"), *exact = json_get(all, key);
	*ret_name = key;
	if (exact || !all)
		return exact;
	json_object_object_foreach (all, name, value) {
		char other[512];
		docker_config_key(name, other, sizeof(other));
		if (!strcasecmp(other, key)) {
			*ret_name = name;
			return value;
		}
	}
	return NULL;
}

static char *copy_or_null(const char *text)
{
	return text && *text ? strdup(text) : NULL;
}

/* {"auth": base64 of user:password, "identitytoken"?}, or the two by themselves. */
static int read_entry(json_object *o, struct credentials *ret, struct err *err)
{
	const char *both = json_str_or(o, "auth", ""), *user = json_str_or(o, "username", "");
	cleanup_free char *text = calloc(1, SECRET_BYTES_MAX + 1);
	if (!text)
		return err_set(err, ENOMEM, "out of memory");
	if (*both) {
		ssize_t n = base64_decode(both, text, SECRET_BYTES_MAX);
		char *colon = n < 0 || memchr(text, '\0', (size_t)n) ? NULL : strchr(text, ':');
		if (!colon)
			return err_set(err, EINVAL, "\"auth\" is no base64 of user:password");
		*colon = '\0';
		ret->user = copy_or_null(text);
		ret->password = copy_or_null(colon + 1);
	} else if (*user) {
		ret->user = strdup(user);
		ret->password = copy_or_null(json_str_or(o, "password", ""));
	}
	ret->identity = copy_or_null(json_str_or(o, "identitytoken", ""));
	explicit_bzero(text, SECRET_BYTES_MAX);
	return ret->user || ret->identity;
}

static json_object *make_entry(const struct credentials *what)
{
	cleanup_strbuf struct strbuf both = STRBUF_INIT;
	json_object *o = json_object_new_object();
	strbuf_printf(&both, "%s:%s", what->user ? what->user : "",
		      what->password ? what->password : "");
	cleanup_free char *packed = strbuf_ok(&both) ? base64_encode(both.text, both.len) : NULL;
	if (packed)
		json_add_str(o, "auth", packed);
	if (what->identity)
		json_add_str(o, "identitytoken", what->identity);
	return o;
}

/* ---- with a helper ---- */

/* The program for @key, or "". */
static const char *helper_of(const struct docker_config *c, const char *key)
{
	const char *own = json_str_or(json_get(c->root, "credHelpers"), key, "");
	return *own ? own : json_str_or(c->root, "credsStore", "");
}

static int read_helper(const char *helper, const char *key, struct credentials *ret,
		       struct err *err)
{
	cleanup_free char *text = NULL;
	cleanup_json json_object *o = NULL;
	int rc = helper_run(helper, "get", key, &text, err);
	if (rc == -ENOENT)
		return 0;
	if (rc == 0)
		rc = json_parse(text, strlen(text), "its answer", &o, err);
	if (rc < 0)
		return err_prefix(err, "docker-credential-%s", helper);
	const char *user = json_str_or(o, "Username", ""), *secret = json_str_or(o, "Secret", "");
	if (!strcmp(user, TOKEN_USER)) {
		ret->identity = copy_or_null(secret);
	} else {
		ret->user = copy_or_null(user);
		ret->password = copy_or_null(secret);
	}
	return ret->user || ret->identity;
}

static int store_helper(const char *helper, const char *key, const struct credentials *what,
			struct err *err)
{
	cleanup_json json_object *o = json_object_new_object();
	cleanup_free char *text = NULL;
	json_add_str(o, "ServerURL", key);
	json_add_str(o, "Username", what->identity ? TOKEN_USER : what->user ? what->user : "");
	json_add_str(o, "Secret",
		     what->identity   ? what->identity
		     : what->password ? what->password
				      : "");
	int rc = helper_run(helper, "store",
			    json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN), &text, err);
	return rc < 0 ? err_prefix(err, "docker-credential-%s", helper) : 0;
}

/* ---- what verbs do ---- */

int credentials_find(const struct docker_config *c, const char *key, struct credentials *ret,
		     struct err *err)
{
	const char *helper = helper_of(c, key), *name;
	json_object *o = entry_of(c, key, &name);
	if (*helper)
		return read_helper(helper, key, ret, err);
	if (!o)
		return 0;
	int rc = read_entry(o, ret, err);
	return rc < 0 ? err_prefix(err, "%s: auths: \"%s\"", c->path, name) : rc;
}

int credentials_keep(struct docker_config *c, const char *key, const struct credentials *what,
		     bool *ret_plain, struct err *err)
{
	const char *helper = helper_of(c, key);
	json_object *all = json_get(c->root, "auths");
	int rc = *helper ? store_helper(helper, key, what, err) : 0;
	if (rc < 0)
		return rc;
	if (!all) {
		all = json_object_new_object();
		json_add(c->root, "auths", all);
	}
	/* With a helper an empty entry, as Docker's client leaves it. */
	json_add(all, key, *helper ? json_object_new_object() : make_entry(what));
	if (ret_plain)
		*ret_plain = !*helper;
	return write_config(c, err);
}

int credentials_forget(struct docker_config *c, const char *key, struct err *err)
{
	const char *helper = helper_of(c, key), *name;
	cleanup_free char *text = NULL;
	bool any = entry_of(c, key, &name);
	int rc = *helper ? helper_run(helper, "erase", key, &text, err) : 0;
	if (rc == -ENOENT)
		rc = 0;
	if (rc < 0)
		return err_prefix(err, "docker-credential-%s", helper);
	if (!any)
		return *helper ? 1 : 0;
	json_object_object_del(json_get(c->root, "auths"), name);
	rc = write_config(c, err);
	return rc < 0 ? rc : 1;
}

/* AuthConfig of Docker's API. */
static json_object *auth_config(const struct credentials *c, const char *key)
{
	json_object *o = json_object_new_object();
	if (c->identity) {
		json_add_str(o, "identitytoken", c->identity);
	} else {
		json_add_str(o, "username", c->user ? c->user : "");
		json_add_str(o, "password", c->password ? c->password : "");
	}
	json_add_str(o, "serveraddress", key);
	return o;
}

static char *pack(json_object *o)
{
	const char *text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN);
	char *field = base64_encode(text, strlen(text));
	/* Docker's clients send the alphabet of URLs (RFC 4648, 5). */
	for (char *p = field; p && *p; p++)
		*p = *p == '+' ? '-' : *p == '/' ? '_' : *p;
	return field;
}

char *credentials_field(const struct credentials *c, const char *key)
{
	cleanup_json json_object *o = auth_config(c, key);
	return pack(o);
}

/* Those of the members of @names, unless @all has them. */
static void add_all(const struct docker_config *c, json_object *names, json_object *all,
		    struct err *err)
{
	if (!names)
		return;
	json_object_object_foreach (names, name, value) {
		cleanup_credentials struct credentials found = { NULL };
		struct err own = ERR_INIT;
		char key[512];
		(void)value;
		docker_config_key(name, key, sizeof(key));
		int rc = json_get(all, key) ? 0 : credentials_find(c, key, &found, &own);
		if (rc > 0)
			json_add(all, key, auth_config(&found, key));
		else if (rc < 0)
			(void)err_copy(err, &own);
	}
}

char *credentials_all(const struct docker_config *c, struct err *err)
{
	cleanup_json json_object *all = json_object_new_object();
	add_all(c, json_get(c->root, "auths"), all, err);
	add_all(c, json_get(c->root, "credHelpers"), all, err);
	if (!json_object_object_length(all))
		return NULL;
	char *field = pack(all);
	if (field && strlen(field) > REGISTRY_CONFIG_MAX) {
		(void)err_set(err, E2BIG, "all stored log-ins together are more than %d bytes",
			      REGISTRY_CONFIG_MAX);
		free(take_ptr(field));
	}
	return field;
}
