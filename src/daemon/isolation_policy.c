/* SPDX-License-Identifier: Apache-2.0 */
/* isolation_policy - see isolation_policy.h. isolad. */
#include "isolation_policy.h"

#include "filter.h"

#include "isola/image.h"
#include "isola/json.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define FILE_BYTES_MAX ((size_t)1024 * 1024)
#define RULES_MAX      1000
#define PATTERN_MAX    255

static const char *const wall_names[] = {
	[WALL_CONTAINER] = "container",
	[WALL_AUTO] = "auto",
	[WALL_VM] = "vm",
};

const char *wall_name(enum wall wall)
{
	return wall_names[wall];
}

int wall_parse(const char *name, enum wall *ret)
{
	for (size_t i = 0; i < sizeof(wall_names) / sizeof(wall_names[0]); i++)
		if (!strcmp(wall_names[i], name)) {
			*ret = (enum wall)i;
			return 0;
		}
	return -EINVAL;
}

/* ---- reading ---- */

static bool is_key(const char *key)
{
	return !strcmp(key, "image") || !strcmp(key, "label") || !strcmp(key, "isolation");
}

static int check_rule(json_object *rule, struct err *err)
{
	enum wall wall;
	if (!json_object_is_type(rule, json_type_object))
		return err_set(err, EINVAL,
			       "it must be an object with image or label, and isolation");
	json_object_object_foreach (rule, key, v) {
		if (!is_key(key))
			return err_set(err, EINVAL,
				       "there is no \"%.64s\", only image, label and isolation",
				       key);
		const char *text =
			json_object_is_type(v, json_type_string) ? json_object_get_string(v) : "";
		if (!*text || strlen(text) > PATTERN_MAX)
			return err_set(err, EINVAL, "%s must be a string of 1 to %d bytes", key,
				       PATTERN_MAX);
	}
	if (!json_get(rule, "image") && !json_get(rule, "label"))
		return err_set(err, EINVAL,
			       "it must say for which image (\"*\" is any) or label it is");
	if (wall_parse(json_str_or(rule, "isolation", ""), &wall) < 0)
		return err_set(err, EINVAL, "isolation must be container, auto or vm");
	return 0;
}

int isolation_policy_parse(struct isolation_policy *p, json_object *doc, struct err *err)
{
	json_object *rules = json_get(doc, "rules");
	if (!json_object_is_type(doc, json_type_object) || json_object_object_length(doc) != 1 ||
	    !json_object_is_type(rules, json_type_array))
		return err_set(err, EINVAL, "it must be an object with the list \"rules\" alone");
	if (json_len(rules) > RULES_MAX)
		return err_set(err, EINVAL, "there are more than %d rules", RULES_MAX);
	for (size_t i = 0; i < json_len(rules); i++) {
		int rc = check_rule(json_object_array_get_idx(rules, i), err);
		if (rc < 0)
			return err_prefix(err, "rule %zu", i + 1);
	}
	json_object *fresh = json_object_get(rules);
	json_object_put(p->rules);
	p->rules = fresh;
	return 0;
}

int isolation_policy_read(struct isolation_policy *p, const char *path, struct err *err)
{
	cleanup_json json_object *doc = NULL;
	const char *file = *path ? path : POLICY_DEFAULT_FILE;
	int rc = json_read_file(AT_FDCWD, file, FILE_BYTES_MAX, &doc, err);
	if (rc == -ENOENT && !*path) {
		isolation_policy_fini(p);
		return 0;
	}
	if (rc == 0)
		rc = isolation_policy_parse(p, doc, err);
	return rc < 0 ? err_prefix(err, "isolation-policy: %s", file) : 0;
}

void isolation_policy_fini(struct isolation_policy *p)
{
	json_object_put(p->rules);
	p->rules = NULL;
}

/* ---- which rule ---- */

/* Without tag and digest. */
static void bare_name(const char *ref, char *ret, size_t size)
{
	size_t n = strcspn(ref, "@");
	const char *slash = memrchr(ref, '/', n), *from = slash ? slash : ref;
	const char *colon = memchr(from, ':', n - (size_t)(from - ref));
	(void)snprintf(ret, size, "%.*s", (int)(colon ? colon - ref : (long)n), ref);
}

/* A name as people write it or in full, with its tag or digest or without. */
static bool is_named(const char *pattern, const char *ref)
{
	char familiar[IMAGE_REF_MAX], bare[IMAGE_REF_MAX];
	const char *forms[] = { ref, familiar };
	image_ref_familiar(ref, familiar, sizeof(familiar));
	for (size_t i = 0; i < 2; i++) {
		bare_name(forms[i], bare, sizeof(bare));
		if (fnmatch(pattern, forms[i], 0) == 0 || fnmatch(pattern, bare, 0) == 0)
			return true;
	}
	return false;
}

static bool fits_image(const char *pattern, json_object *refs, const char *id)
{
	if (id && fnmatch(pattern, id, 0) == 0)
		return true;
	for (size_t i = 0; i < json_len(refs); i++)
		if (is_named(pattern, json_item_str(refs, i)))
			return true;
	return !strcmp(pattern, "*");
}

int isolation_policy_find(const struct isolation_policy *p, json_object *refs, const char *id,
			  json_object *labels, struct isolation_rule *ret)
{
	for (size_t i = 0; p && i < json_len(p->rules); i++) {
		json_object *rule = json_object_array_get_idx(p->rules, i);
		const char *image = json_str_or(rule, "image", NULL);
		const char *label = json_str_or(rule, "label", NULL);
		if ((image && !fits_image(image, refs, id)) ||
		    (label && !filter_label(label, labels)))
			continue;
		ret->number = i + 1;
		(void)wall_parse(json_str_or(rule, "isolation", ""), &ret->wall);
		(void)snprintf(ret->text, sizeof(ret->text), "%s \"%s\"", image ? "image" : "label",
			       image ? image : label);
		return 1;
	}
	return 0;
}
