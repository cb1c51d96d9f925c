/* SPDX-License-Identifier: Apache-2.0 */
/* query - see query.h. Foreign text; isolad, loop thread. WHATWG URL 5.1 for
 * the form encoding. */
#include "query.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/num.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int query_unescape(const char *text, size_t size, bool plus_is_space, char *ret, struct err *err)
{
	size_t n = 0;
	for (size_t i = 0; i < size; i++) {
		char c = text[i];
		if (c == '+' && plus_is_space) {
			c = ' ';
		} else if (c == '%') {
			int high = i + 2 < size ? num_hex_digit(text[i + 1]) : -1;
			int low = i + 2 < size ? num_hex_digit(text[i + 2]) : -1;
			if (high < 0 || low < 0)
				return err_set(err, EINVAL, "invalid URL escape \"%.*s\"",
					       (int)(size - i < 3 ? size - i : 3), text + i);
			c = (char)(high * 16 + low);
			i += 2;
		}
		if (c == '\0')
			return err_set(err, EINVAL, "a NUL byte in the URL");
		ret[n++] = c;
	}
	ret[n] = '\0';
	return 0;
}

static size_t count_pairs(const char *text, size_t size)
{
	size_t n = 1;
	for (size_t i = 0; i < size; i++)
		n += text[i] == '&';
	return n;
}

/* Decodes one "key=value" to @to and returns where the next may go. */
static char *parse_pair(const char *text, size_t size, char *to, struct query_pair *ret,
			struct err *err)
{
	const char *equals = memchr(text, '=', size);
	size_t key_size = equals ? (size_t)(equals - text) : size;
	if (query_unescape(text, key_size, true, to, err) < 0)
		return NULL;
	ret->key = to;
	to += strlen(to) + 1;
	if (!equals) {
		to[0] = '\0';
	} else if (query_unescape(equals + 1, size - key_size - 1, true, to, err) < 0) {
		return NULL;
	}
	ret->value = to;
	return to + strlen(to) + 1;
}

int query_parse(const char *text, size_t size, struct query *ret, struct err *err)
{
	if (size == 0)
		return 0;
	size_t max = count_pairs(text, size);
	if (max > QUERY_PAIRS_MAX)
		return err_set(err, EINVAL, "more than %d parameters in the URL", QUERY_PAIRS_MAX);
	/* Decoding never grows; each pair adds a NUL for its missing "=". */
	cleanup_free char *buf = malloc(size + 2 * max + 2);
	cleanup_free struct query_pair *pair = calloc(max, sizeof(*pair));
	if (!buf || !pair)
		return err_set(err, ENOMEM, "out of memory");
	size_t n = 0;
	char *to = buf;
	for (const char *p = text, *end = text + size; p < end;) {
		const char *stop = memchr(p, '&', (size_t)(end - p));
		size_t len = (size_t)((stop ? stop : end) - p);
		if (len > 0) {
			to = parse_pair(p, len, to, &pair[n], err);
			if (!to)
				return -EINVAL;
			n++;
		}
		p += len + 1;
	}
	ret->text = take_ptr(buf);
	ret->pair = take_ptr(pair);
	ret->n = n;
	return 0;
}

void query_fini(struct query *q)
{
	free(q->text);
	free(q->pair);
	*q = (struct query){ 0 };
}

const char *query_get(const struct query *q, const char *key)
{
	for (size_t i = 0; i < q->n; i++)
		if (!strcmp(q->pair[i].key, key))
			return q->pair[i].value;
	return NULL;
}

/* ---- filters ---- */

static int bad_filters(struct err *err, const char *why)
{
	return err_set(err, EINVAL, "invalid filters: %s", why);
}

static bool has_nul(json_object *string)
{
	return strlen(json_object_get_string(string)) != (size_t)json_object_get_string_len(string);
}

static int copy_array(json_object *from, json_object *to, struct err *err)
{
	for (size_t i = 0; i < json_len(from); i++) {
		json_object *v = json_object_array_get_idx(from, i);
		if (!json_object_is_type(v, json_type_string) || has_nul(v))
			return bad_filters(err, "each value must be a string");
		(void)json_object_array_add(to, json_object_get(v));
	}
	return 0;
}

/* {"v": true}: the keys are the values, whatever they are set to. */
static int copy_map(json_object *from, json_object *to, struct err *err)
{
	json_object_object_foreach (from, key, set) {
		if (!json_object_is_type(set, json_type_boolean))
			return bad_filters(err, "a value must be set to true or false");
		(void)json_object_array_add(to, json_object_new_string(key));
	}
	return 0;
}

int filters_parse(const char *text, json_object **ret, struct err *err)
{
	cleanup_json json_object *in = NULL;
	cleanup_json json_object *out = NULL;
	if (!text || !*text) {
		*ret = NULL;
		return 0;
	}
	int rc = json_parse(text, strlen(text), "filters", &in, err);
	if (rc < 0)
		return rc;
	if (!json_object_is_type(in, json_type_object))
		return bad_filters(err, "they must be a JSON object");
	out = json_object_new_object();
	size_t n_values = 0;
	json_object_object_foreach (in, key, v) {
		json_object *values = json_object_new_array();
		json_add(out, key, values);
		if (json_object_is_type(v, json_type_array))
			rc = copy_array(v, values, err);
		else if (json_object_is_type(v, json_type_object))
			rc = copy_map(v, values, err);
		else
			rc = bad_filters(err, "a filter must be an array or an object");
		if (rc < 0)
			return rc;
		n_values += json_len(values);
	}
	if (n_values > FILTER_VALUES_MAX)
		return bad_filters(err, "too many values");
	*ret = json_object_object_length(out) > 0 ? take_ptr(out) : NULL;
	return 0;
}
