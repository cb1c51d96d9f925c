/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_query - paths, query strings and filters as isolad's router reads them. */
#include "api/query.h"
#include "api/router.h"

#include "isola/json.h"

#include <http_parser.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = ERR_INIT;
	struct query query = { 0 };
	struct path path;
	size_t first = 0, n = 0;
	char allow[96];
	char *text = malloc(size + 1);
	if (!text)
		return 0;
	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	size_t path_size = strcspn(text, "?");
	if (path_split(text, path_size, &path, &err) == 0) {
		(void)route_find(HTTP_GET, &path, &first, &n);
		(void)route_find(HTTP_DELETE, &path, &first, &n);
		if (first + n > path.n)
			abort();
		(void)route_allow(&path, allow, sizeof(allow));
		(void)route_unsupported(&path);
	}
	const char *rest = text[path_size] ? text + path_size + 1 : text;
	if (query_parse(rest, strlen(rest), &query, &err) == 0) {
		json_object *filters = NULL;
		const char *f = query_get(&query, "filters");
		if (filters_parse(f ? f : rest, &filters, &err) == 0)
			json_object_put(filters);
		query_fini(&query);
	}
	free(text);
	return 0;
}
