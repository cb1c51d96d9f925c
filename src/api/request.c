/* SPDX-License-Identifier: Apache-2.0 */
/* request - what handlers read of a request: parameters and the JSON body. All
 * foreign; each error names the parameter. isolad, loop thread. */
#include "exchange.h"

#include "isola/json.h"
#include "isola/num.h"
#include "isola/signo.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

int request_json(struct exchange *x, json_object **ret, struct err *err)
{
	if (x->body.len == 0)
		return 0;
	if (strcmp(x->content_type, "application/json") != 0)
		return err_set(err, EINVAL,
			       "unsupported Content-Type header (%s): must be 'application/json'",
			       x->content_type);
	json_object *o = NULL;
	int rc = json_parse(x->body.text, x->body.len, "invalid JSON", &o, err);
	if (rc < 0)
		return rc;
	/* Some clients send null for "nothing to say". */
	if (!o)
		return 0;
	if (!json_object_is_type(o, json_type_object)) {
		json_object_put(o);
		return err_set(err, EINVAL, "invalid JSON: the body must be an object");
	}
	*ret = o;
	return 1;
}

bool request_bool(const struct exchange *x, const char *key, bool fallback)
{
	static const char *const off[] = { "", "0", "no", "false", "none" };
	const char *v = query_get(&x->query, key);
	if (!v)
		return fallback;
	for (size_t i = 0; i < sizeof(off) / sizeof(off[0]); i++)
		if (!strcasecmp(v, off[i]))
			return false;
	return true;
}

int request_i64(const struct exchange *x, const char *key, int64_t min, int64_t max,
		int64_t fallback, int64_t *ret, struct err *err)
{
	const char *v = query_get(&x->query, key);
	if (!v || !*v) {
		*ret = fallback;
		return 0;
	}
	int rc = num_parse_range(v, min, max, ret);
	if (rc == -ERANGE)
		return err_set(err, EINVAL, "%s must be from %lld to %lld, not %s", key,
			       (long long)min, (long long)max, v);
	if (rc < 0)
		return err_set(err, EINVAL, "%s must be a whole number, not \"%s\"", key, v);
	return 0;
}

int request_time(const struct exchange *x, const char *key, int64_t *ret_ns, struct err *err)
{
	const char *v = query_get(&x->query, key);
	if (!v || !*v || !strcmp(v, "0")) {
		*ret_ns = 0;
		return 0;
	}
	if (num_parse_time(v, ret_ns) < 0)
		return err_set(err, EINVAL,
			       "invalid value for '%s': \"%s\" is neither seconds since 1970 nor "
			       "an RFC 3339 time",
			       key, v);
	return 0;
}

int request_signal(const struct exchange *x, const char *key, int *ret, struct err *err)
{
	const char *v = query_get(&x->query, key);
	*ret = 0;
	if (!v || !*v)
		return 0;
	int number = signo_parse(v);
	if (number < 0)
		return err_set(err, EINVAL, "invalid signal: %s", v);
	*ret = number;
	return 0;
}

int request_filters(const struct exchange *x, json_object **ret, struct err *err)
{
	return filters_parse(query_get(&x->query, "filters"), ret, err);
}
