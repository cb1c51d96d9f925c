/* SPDX-License-Identifier: Apache-2.0 */
/* The table of routes: paths, methods, versions. */
#include "api/router.h"

#include <errno.h>
#include <http_parser.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct path split(const char *text)
{
	struct path path;
	struct err err = ERR_INIT;
	assert_int_equal(path_split(text, strlen(text), &path, &err), 0);
	return path;
}

static const char *pattern_of(unsigned int method, const char *text, char *ret_param)
{
	struct path path = split(text);
	size_t first = 0, n = 0;
	const struct route *route = route_find(method, &path, &first, &n);
	*ret_param = '\0';
	for (size_t i = first; i < first + n; i++)
		(void)sprintf(ret_param + strlen(ret_param), "%s%.*s", i > first ? "/" : "",
			      (int)path.segment[i].size, path.segment[i].text);
	return route ? route->pattern : "";
}

static void route_find__knows_these(void **state)
{
	static const struct {
		unsigned int method;
		const char *path, *pattern, *param;
	} rows[] = {
		{ HTTP_GET, "/_ping", "/_ping", "" },
		{ HTTP_HEAD, "/v1.41/_ping", "/_ping", "" },
		{ HTTP_GET, "/v1.24/containers/json", "/containers/json", "" },
		{ HTTP_GET, "/containers/abc/json", "/containers/{id}/json", "abc" },
		{ HTTP_GET, "/containers//abc//json/", "/containers/{id}/json", "abc" },
		{ HTTP_GET, "/containers/json/json", "/containers/{id}/json", "json" },
		{ HTTP_DELETE, "/containers/create", "/containers/{id}", "create" },
		{ HTTP_GET, "/images/json", "/images/json", "" },
		{ HTTP_GET, "/images/json/json", "/images/{name*}/json", "json" },
		{ HTTP_GET, "/images/a/b/c:tag/json", "/images/{name*}/json", "a/b/c:tag" },
		{ HTTP_DELETE, "/images/a/b", "/images/{name*}", "a/b" },
		{ HTTP_POST, "/images/localhost:5000/x/tag", "/images/{name*}/tag",
		  "localhost:5000/x" },
		{ HTTP_POST, "/exec/1/start", "/exec/{id}/start", "1" },
		{ HTTP_GET, "/vendor", "", "" },
		{ HTTP_GET, "/containers", "", "" },
		{ HTTP_GET, "/containers/a/b/json", "", "" },
		{ HTTP_POST, "/containers/a/json", "", "" },
		{ HTTP_GET, "/", "", "" },
		{ HTTP_GET, "/v1.41", "", "" },
		{ HTTP_GET, "/v1.41/v1.41/_ping", "", "" },
	};
	char param[256];
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_string_equal(pattern_of(rows[i].method, rows[i].path, param),
				    rows[i].pattern);
		assert_string_equal(param, rows[i].param);
	}
}

static void path_split__reads_versions(void **state)
{
	(void)state;
	struct path p = split("/v1.41/x");
	assert_true(p.has_version);
	assert_int_equal(p.major, 1);
	assert_int_equal(p.minor, 41);
	p = split("/v2/x");
	assert_int_equal(p.major, 2);
	assert_int_equal(p.minor, 0);
	p = split("/v1.99999999999999/x");
	assert_true(p.minor > API_VERSION_MINOR);
	assert_false(split("/v/x").has_version);
	assert_false(split("/v1x/x").has_version);
	assert_false(split("/version").has_version);
}

static void path_split__bounds_segments(void **state)
{
	char text[2 * PATH_SEGMENTS_MAX + 8] = "";
	struct path path;
	struct err err = ERR_INIT;
	(void)state;
	for (int i = 0; i <= PATH_SEGMENTS_MAX; i++)
		strcat(text, "/a");
	assert_int_equal(path_split(text, strlen(text), &path, &err), -EINVAL);
	assert_int_equal(path_split("x", 1, &path, &err), -EINVAL);
	assert_int_equal(path_split("", 0, &path, &err), -EINVAL);
	assert_int_equal(path_split("*", 1, &path, &err), -EINVAL);
}

static void route_allow__lists_methods(void **state)
{
	char allow[64];
	(void)state;
	struct path path = split("/_ping");
	assert_true(route_allow(&path, allow, sizeof(allow)));
	assert_string_equal(allow, "GET, HEAD");
	path = split("/nothing");
	assert_false(route_allow(&path, allow, sizeof(allow)));
}

static void route_unsupported__names_what_docker_has(void **state)
{
	(void)state;
	struct path path = split("/v1.41/secrets/create");
	assert_string_equal(route_unsupported(&path), "Swarm secrets");
	path = split("/containers/x/attach/ws");
	assert_non_null(route_unsupported(&path));
	path = split("/nothing");
	assert_null(route_unsupported(&path));
}

/* A row that another row before it always hides would be dead. */
static void routes__are_all_reachable(void **state)
{
	(void)state;
	for (size_t i = 0; i < n_routes; i++) {
		size_t first, n;
		struct path path = split(routes[i].pattern);
		assert_ptr_equal(route_find(routes[i].method, &path, &first, &n), &routes[i]);
		assert_non_null(routes[i].help);
	}
}

static void name_in__wants_whole_names(void **state)
{
	(void)state;
	assert_true(name_in("a,bc,d", "a"));
	assert_true(name_in("a,bc,d", "bc"));
	assert_true(name_in("a,bc,d", "d"));
	assert_false(name_in("a,bc,d", "b"));
	assert_false(name_in("a,bc,d", "bcd"));
	assert_false(name_in("a,bc,d", ""));
	assert_false(name_in(NULL, "a"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(route_find__knows_these),
		cmocka_unit_test(path_split__reads_versions),
		cmocka_unit_test(path_split__bounds_segments),
		cmocka_unit_test(route_allow__lists_methods),
		cmocka_unit_test(route_unsupported__names_what_docker_has),
		cmocka_unit_test(routes__are_all_reachable),
		cmocka_unit_test(name_in__wants_whole_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
