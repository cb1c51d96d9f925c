/* SPDX-License-Identifier: Apache-2.0 */
/* registry - see registry.h. Runs in isola-image before it confines itself. */
#include "registry.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "auth.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define CONF_DEFAULT    "/etc/isola/registries.json"
#define CONF_BYTES_MAX  (1024 * 1024)
#define CA_BYTES_MAX    (4 * 1024 * 1024)
#define AUTH_BYTES_MAX  (64 * 1024)
#define AUTH_VALUES_MAX 2000 /* of them */
#define STALL_S         30

void registry_fini(struct registry *r)
{
	for (size_t i = 0; i < r->n_bases; i++)
		free(r->bases[i]);
	free(r->ca);
	free(r->user);
	free(r->password);
	free(r->identity);
	*r = (struct registry){ 0 };
}

static bool is_loopback(const char *host)
{
	size_t n = strcspn(host, ":");
	return (n == 9 && !strncmp(host, "localhost", 9)) || !strncmp(host, "127.", 4) ||
	       !strncmp(host, "[::1]", 5);
}

/* "host/repo:tag@digest", as image_ref_normalize() makes it. */
static int split(struct registry *r, const char *full, struct err *err)
{
	const char *slash = strchr(full, '/'), *at = strchr(full, '@');
	size_t end = at ? (size_t)(at - full) : strlen(full);
	if (!slash)
		return err_set(err, EINVAL, "\"%.200s\" names no registry", full);
	const char *colon = memchr(slash, ':', (size_t)(full + end - slash));
	size_t repo_end = colon ? (size_t)(colon - full) : end;
	int n[4] = {
		snprintf(r->host, sizeof(r->host), "%.*s", (int)(slash - full), full),
		snprintf(r->repo, sizeof(r->repo), "%.*s", (int)(full + repo_end - slash - 1),
			 slash + 1),
		colon ? snprintf(r->tag, sizeof(r->tag), "%.*s", (int)(full + end - colon - 1),
				 colon + 1)
		      : 0,
		at ? snprintf(r->digest, sizeof(r->digest), "%s", at + 1) : 0,
	};
	if (n[0] >= (int)sizeof(r->host) || n[1] >= (int)sizeof(r->repo) ||
	    n[2] >= (int)sizeof(r->tag) || n[3] >= (int)sizeof(r->digest))
		return err_set(err, EINVAL, "the name \"%.200s\" is too long", full);
	return 0;
}

static int add_base(struct registry *r, const char *scheme, const char *host, struct err *err)
{
	if (r->n_bases == REGISTRY_BASES_MAX)
		return err_set(err, E2BIG, "more than %d mirrors", REGISTRY_BASES_MAX - 1);
	if (asprintf(&r->bases[r->n_bases], "%s%s", scheme, host) < 0)
		return err_set(err, ENOMEM, "out of memory");
	r->n_bases++;
	return 0;
}

static int add_mirrors(struct registry *r, json_object *list, struct err *err)
{
	for (size_t i = 0; i < json_len(list); i++) {
		const char *url = json_item_str(list, i);
		size_t n = strlen(url);
		if ((strncmp(url, "https://", 8) && strncmp(url, "http://", 7)) ||
		    url[n - 1] == '/')
			return err_set(err, EINVAL,
				       "mirrors[%zu]: \"%.200s\" is not like https://host[:port]",
				       i, url);
		int rc = add_base(r, "", url, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int check_keys(json_object *o, const char *const *keys, const char *what, struct err *err)
{
	if (!json_object_is_type(o, json_type_object))
		return err_set(err, EINVAL, "%s must be an object", what);
	json_object_object_foreach (o, key, value) {
		bool known = false;
		(void)value;
		for (size_t i = 0; keys[i]; i++)
			known = known || !strcmp(key, keys[i]);
		if (!known)
			return err_set(err, EINVAL, "\"%.100s\" is no key of %s", key, what);
	}
	return 0;
}

static int apply(struct registry *r, json_object *o, bool *ret_plain, struct err *err)
{
	json_object *mirrors = NULL;
	const char *ca = NULL;
	int64_t stall = STALL_S;
	static const char *const keys[] = { "mirrors", "plain_http",    "skip_verify",
					    "ca_file", "stall_seconds", NULL };
	int rc = check_keys(o, keys, "a registry", err);
	if (rc >= 0)
		rc = json_get_strv(o, "mirrors", &mirrors, err);
	if (rc >= 0)
		rc = add_mirrors(r, mirrors, err);
	if (rc >= 0)
		rc = json_get_bool(o, "plain_http", ret_plain, err);
	if (rc >= 0)
		rc = json_get_bool(o, "skip_verify", &r->skip_verify, err);
	if (rc >= 0)
		rc = json_get_i64(o, "stall_seconds", &stall, err);
	if (rc >= 0 && (stall < 1 || stall > 3600))
		rc = err_set(err, EINVAL, "stall_seconds must be 1 to 3600");
	if (rc >= 0)
		rc = json_get_str(o, "ca_file", &ca, err);
	if (rc >= 0 && ca)
		rc = fd_read_file(AT_FDCWD, ca, CA_BYTES_MAX, &r->ca, &r->ca_size, err);
	r->stall_s = (int)stall;
	return rc < 0 ? rc : 0;
}

static int read_conf(struct registry *r, const char *path, bool *ret_plain, struct err *err)
{
	cleanup_json json_object *conf = NULL;
	json_object *all = NULL, *mine = NULL;
	struct err own = ERR_INIT;
	int rc = json_read_file(AT_FDCWD, path ? path : CONF_DEFAULT, CONF_BYTES_MAX, &conf, &own);
	if (rc == -ENOENT && !path)
		return 0;
	if (rc < 0)
		return err_copy(err, &own);
	static const char *const keys[] = { "default", "registries", NULL };
	rc = check_keys(conf, keys, "the file", err);
	if (rc >= 0)
		rc = json_get_obj(conf, "registries", &all, err);
	if (rc > 0)
		rc = json_get_obj(all, r->host, &mine, err);
	if (rc > 0)
		rc = apply(r, mine, ret_plain, err);
	return rc < 0 ? err_prefix(err, "%s", path ? path : CONF_DEFAULT) : 0;
}

int registry_init(struct registry *ret, const char *full, const char *path, struct err *err)
{
	struct registry r = { .stall_s = STALL_S };
	bool plain = false;
	int rc = split(&r, full, err);
	if (rc == 0)
		rc = read_conf(&r, path, &plain, err);
	r.try_http = !plain && is_loopback(r.host);
	r.wants_tls = r.ca || r.skip_verify;
	if (rc == 0)
		rc = add_base(&r, plain ? "http://" : "https://",
			      !strcmp(r.host, "docker.io") ? "registry-1.docker.io" : r.host, err);
	if (rc < 0)
		registry_fini(&r);
	else
		*ret = r;
	return rc;
}

int registry_of_server(const char *server, char *ret, size_t size, struct err *err)
{
	static const char *const hub[] = { "", "index.docker.io", "registry-1.docker.io" };
	const char *host = strstr(server, "://");
	host = host ? host + 3 : server;
	size_t n = strcspn(host, "/");
	for (size_t i = 0; i < sizeof(hub) / sizeof(hub[0]); i++)
		if (strlen(hub[i]) == n && !strncasecmp(host, hub[i], n)) {
			host = "docker.io";
			n = strlen(host);
		}
	if (strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]") <
	    n)
		return err_set(err, EINVAL, "\"%.200s\" is no registry (host or host:port)",
			       server);
	if ((size_t)snprintf(ret, size, "%.*s/", (int)n, host) >= size)
		return err_set(err, EINVAL, "the registry's name is too long");
	return 0;
}

void registry_drop_mirrors(struct registry *r)
{
	for (size_t i = 0; i + 1 < r->n_bases; i++)
		free(r->bases[i]);
	r->bases[0] = r->bases[r->n_bases - 1];
	r->n_bases = 1;
}

static bool is_same_host(const struct registry *r, const char *server)
{
	char name[sizeof(r->host) + 1];
	size_t n = strlen(r->host);
	return registry_of_server(server, name, sizeof(name), NULL) == 0 &&
	       !strncasecmp(name, r->host, n) && !strcmp(name + n, "/");
}

/* {"username","password","auth","identitytoken","serveraddress"...} */
static int take_auth(struct registry *r, json_object *o, struct err *err)
{
	const char *user = json_str_or(o, "username", ""), *pass = json_str_or(o, "password", "");
	const char *both = json_str_or(o, "auth", ""),
		   *identity = json_str_or(o, "identitytoken", "");
	const char *server = json_str_or(o, "serveraddress", "");
	cleanup_free char *text = NULL;
	/* Of another registry: not for this one's eyes. */
	if (*server && !is_same_host(r, server))
		return 0;
	if (!*user && *both) {
		int rc = auth_decode(both, &text, err);
		char *colon = rc < 0 ? NULL : strchr(text, ':');
		if (!colon)
			return rc < 0 ? rc : err_set(err, EINVAL, "\"auth\" is not user:password");
		*colon = '\0';
		user = text;
		pass = colon + 1;
	}
	if (*identity)
		r->identity = strdup(identity);
	if (*user) {
		r->user = strdup(user);
		r->password = strdup(pass);
	}
	return 0;
}

/* Is a member an object? Credentials are texts. */
static bool has_objects(json_object *o)
{
	if (!json_object_is_type(o, json_type_object))
		return false;
	json_object_object_foreach (o, key, value) {
		(void)key;
		if (json_object_is_type(value, json_type_object))
			return true;
	}
	return false;
}

int registry_read_auth(struct registry *r, int fd, struct err *err)
{
	cleanup_free char *buf = malloc(AUTH_BYTES_MAX + 1), *text = NULL;
	cleanup_json json_object *o = NULL;
	if (!buf)
		return err_set(err, ENOMEM, "out of memory");
	ssize_t n = fd_read_all(fd, buf, AUTH_BYTES_MAX);
	if (n <= 0)
		return n == 0 ? 0 : err_rc(err, (int)n, "cannot read the credentials");
	buf[n] = '\0';
	int rc = auth_decode(buf, &text, err);
	if (rc == 0 && *text)
		rc = json_parse_max(text, strlen(text), "X-Registry-Auth", AUTH_VALUES_MAX, &o,
				    err);
	if (rc < 0 || !o)
		return rc;
	/* One for each registry (X-Registry-Config)? Then ours. */
	json_object *ours = json_get(o, r->host);
	if (!ours && !strcmp(r->host, "docker.io"))
		ours = json_get(o, "https://index.docker.io/v1/");
	if (ours)
		return take_auth(r, ours, err);
	return has_objects(o) ? 0 : take_auth(r, o, err);
}
