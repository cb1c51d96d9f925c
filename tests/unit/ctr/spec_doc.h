/* SPDX-License-Identifier: Apache-2.0 */
/* spec_doc - config.json documents for the tests of the spec: a small good one,
 * with sections replaced. */
#pragma once

#include "isola/ctr.h"
#include "isola/json.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

static const char spec_base[] =
	"{\"ociVersion\":\"1.2.0\",\"root\":{\"path\":\"rootfs\"},"
	"\"process\":{\"args\":[\"sh\"],\"cwd\":\"/\"},"
	"\"linux\":{\"namespaces\":[{\"type\":\"mount\"},{\"type\":\"pid\"},{\"type\":\"ipc\"},"
	"{\"type\":\"uts\"},{\"type\":\"network\"}]}}";

static inline json_object *parse_json(const char *text)
{
	json_object *o = NULL;
	struct err err = ERR_INIT;
	if (json_parse(text, strlen(text), "test", &o, &err) < 0)
		fail_msg("%s in %s", err.text, text);
	return o;
}

/* The members of @more replace those of the base; of "process" and "linux" the
 * members one level down. null takes one away. Owned. */
static inline json_object *spec_doc(const char *more)
{
	json_object *doc = parse_json(spec_base);
	json_object *patch = parse_json(more);
	json_object_object_foreach (patch, key, value) {
		json_object *into = json_get(doc, key);
		bool deeper = (!strcmp(key, "process") || !strcmp(key, "linux")) && value &&
			      json_object_is_type(value, json_type_object);
		if (!deeper) {
			json_object_object_add(doc, key, json_object_get(value));
			continue;
		}
		json_object_object_foreach (value, inner, member)
			json_object_object_add(into, inner, json_object_get(member));
	}
	json_object_put(patch);
	return doc;
}

/* A good one; to be freed. */
static inline struct ctr_spec *good_spec(const char *more)
{
	json_object *doc = spec_doc(more);
	struct ctr_spec *spec = NULL;
	struct err err = ERR_INIT;
	if (ctr_spec_parse(doc, &spec, &err) < 0)
		fail_msg("%s: refused: %s", more, err.text);
	json_object_put(doc); /* the spec keeps its own reference */
	return spec;
}

struct bad_row {
	const char *more, *error;
};

/* Each must be refused with just this text. */
static inline void check_bad(const struct bad_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		json_object *doc = spec_doc(rows[i].more);
		struct ctr_spec *spec = NULL;
		struct err err = ERR_INIT;
		int rc = ctr_spec_parse(doc, &spec, &err);
		if (rc >= 0)
			fail_msg("%s: accepted", rows[i].more);
		assert_null(spec);
		assert_int_equal(rc, -err.code);
		if (strcmp(err.text, rows[i].error))
			fail_msg("%s:\n got  %s\n want %s", rows[i].more, err.text, rows[i].error);
		json_object_put(doc);
	}
}

#define CHECK_BAD(rows) check_bad(rows, sizeof(rows) / sizeof((rows)[0]))
