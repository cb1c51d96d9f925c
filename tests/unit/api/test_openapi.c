/* SPDX-License-Identifier: Apache-2.0 */
/* docs/openapi.json against the table of routes, in both directions. */
#include "api/openapi.h"
#include "api/router.h"

#include "isola/json.h"

#include <ctype.h>
#include <http_parser.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static json_object *doc;

static int load(void **state)
{
	struct err err = ERR_INIT;
	(void)state;
	return json_parse(openapi_text, openapi_size, "openapi.json", &doc, &err);
}

static int unload(void **state)
{
	(void)state;
	json_object_put(doc);
	return 0;
}

/* "/images/{name*}/json" is "/images/{name}/json" there. */
static json_object *operation_of(const struct route *route)
{
	char path[128], method[16];
	size_t n = 0;
	for (const char *p = route->pattern; *p; p++)
		if (*p != '*')
			path[n++] = *p;
	path[n] = '\0';
	(void)snprintf(method, sizeof(method), "%s",
		       http_method_str((enum http_method)route->method));
	for (char *p = method; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	return json_get(json_get(json_get(doc, "paths"), path), method);
}

static void each_route__is_described(void **state)
{
	(void)state;
	for (size_t i = 0; i < n_routes; i++) {
		json_object *op = operation_of(&routes[i]);
		if (!op)
			print_error("%s is not described\n", routes[i].pattern);
		assert_non_null(op);
		assert_string_equal(json_str_or(op, "summary", ""), routes[i].help);
		assert_non_null(json_get(op, "responses"));
		/* start's body is there only to be refused. */
		if (strcmp(routes[i].pattern, "/containers/{id}/start") != 0)
			assert_int_equal(json_get(op, "requestBody") != NULL,
					 routes[i].body != BODY_NONE);
	}
}

static size_t count_operations(void)
{
	static const char *const methods[] = { "get", "head", "post", "put", "delete", "patch" };
	size_t n = 0;
	json_object_object_foreach (json_get(doc, "paths"), path, item) {
		(void)path;
		for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
			n += json_get(item, methods[i]) != NULL;
	}
	return n;
}

/* With the test above: nothing is described that is not there. */
static void each_description__has_a_route(void **state)
{
	(void)state;
	assert_int_equal(count_operations(), n_routes);
}

static size_t count_names(const char *names)
{
	size_t n = names != NULL;
	for (; names && *names; names++)
		n += *names == ',';
	return n;
}

static void parameters__are_the_tables(void **state)
{
	(void)state;
	for (size_t i = 0; i < n_routes; i++) {
		json_object *params = json_get(operation_of(&routes[i]), "parameters");
		size_t n = 0;
		for (size_t j = 0; j < json_len(params); j++) {
			json_object *p = json_object_array_get_idx(params, j);
			const char *name = json_str_or(p, "name", "");
			bool in_query = !strcmp(json_str_or(p, "in", ""), "query");
			if (in_query && !name_in(routes[i].query, name))
				print_error("%s: %s\n", routes[i].pattern, name);
			assert_true(!in_query || name_in(routes[i].query, name));
			assert_true(in_query || strstr(routes[i].pattern, name));
			assert_false(name_in(routes[i].refuses, name));
			n += in_query;
		}
		assert_int_equal(n, count_names(routes[i].query));
	}
}

static void check_refs(json_object *o)
{
	if (json_object_is_type(o, json_type_array))
		for (size_t i = 0; i < json_len(o); i++)
			check_refs(json_object_array_get_idx(o, i));
	if (!json_object_is_type(o, json_type_object))
		return;
	json_object_object_foreach (o, key, v) {
		if (strcmp(key, "$ref") != 0) {
			check_refs(v);
			continue;
		}
		char path[128];
		json_object *at = doc;
		(void)snprintf(path, sizeof(path), "%s", json_object_get_string(v));
		assert_int_equal(strncmp(path, "#/", 2), 0);
		for (char *part = strtok(path + 2, "/"); part; part = strtok(NULL, "/"))
			at = json_get(at, part);
		assert_non_null(at);
	}
}

static void references__lead_somewhere(void **state)
{
	(void)state;
	check_refs(doc);
	assert_string_equal(json_str_or(doc, "openapi", ""), "3.1.0");
	assert_string_equal(json_str_or(json_get(doc, "info"), "version", ""), API_VERSION);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_route__is_described),
		cmocka_unit_test(each_description__has_a_route),
		cmocka_unit_test(parameters__are_the_tables),
		cmocka_unit_test(references__lead_somewhere),
	};
	return cmocka_run_group_tests(tests, load, unload);
}
