/* SPDX-License-Identifier: Apache-2.0 */
/* routes_system - ping, version, info, disk usage, the store check and this API's own description. Docker
 * Engine API 1.47, "System". isolad, loop thread. */
#include "openapi.h"
#include "routes.h"

#include "isola/json.h"

#include <stdio.h>
#include <string.h>

/* From this version on BuilderSize is gone. */
#define NO_BUILDER_SIZE_SINCE_MINOR 42

void system_ping(struct exchange *x)
{
	(void)snprintf(x->fields, sizeof(x->fields),
		       "Cache-Control: no-cache, no-store, must-revalidate\r\n"
		       "Pragma: no-cache\r\nSwarm: inactive\r\n");
	reply_text(x, 200, "text/plain; charset=utf-8", "OK", 2);
}

void system_get_version(struct exchange *x)
{
	reply_json(x, 200, system_version(x->isolad));
}

void system_get_info(struct exchange *x)
{
	reply_json(x, 200, system_info(x->isolad));
}

void system_get_openapi(struct exchange *x)
{
	reply_text(x, 200, "application/json", openapi_text, openapi_size);
}

static void on_df(void *arg, const struct err *err, json_object *result)
{
	struct exchange *x = arg;
	json_object *images = json_get(result, "Images");
	for (size_t i = 0; i < json_len(images); i++)
		image_age(json_object_array_get_idx(images, i), x->api_minor, true);
	if (!err && x->api_minor < NO_BUILDER_SIZE_SINCE_MINOR)
		json_add_i64(result, "BuilderSize", 0);
	done_ok_json(x, err, result);
}

/* "type" may be there several times. 0 = an unknown one, answered. */
static unsigned int df_types(struct exchange *x)
{
	static const struct {
		const char *name;
		enum df_what what;
	} rows[] = {
		{ "image", DF_IMAGES },
		{ "container", DF_CONTAINERS },
		{ "volume", DF_VOLUMES },
		{ "build-cache", DF_BUILD_CACHE },
	};
	unsigned int what = 0;
	for (size_t i = 0; i < x->query.n; i++) {
		const struct query_pair *p = &x->query.pair[i];
		unsigned int found = 0;
		if (strcmp(p->key, "type") != 0)
			continue;
		for (size_t k = 0; k < sizeof(rows) / sizeof(rows[0]); k++)
			if (!strcmp(p->value, rows[k].name))
				found = rows[k].what;
		if (!found) {
			reply_error(x, 400, "unknown object type: %.64s", p->value);
			return 0;
		}
		what |= found;
	}
	return what ? what : DF_ALL;
}

void system_get_df(struct exchange *x)
{
	unsigned int what = df_types(x);
	if (what)
		system_df(x->isolad, what, on_df, exchange_ref(x));
}

void system_check(struct exchange *x)
{
	image_check(x->isolad, request_bool(x, "repair", false), request_bool(x, "deep", false),
		    done_ok_json, exchange_ref(x));
}
