/* SPDX-License-Identifier: Apache-2.0 */
/* create_image - an image's defaults under a create request, by Docker's rules
 * (image-spec config.md says what each means). Pure, in isolad. What an image
 * says may fill a gap in Config, never in HostConfig: labels and the like of an
 * image configure nothing (CVE-2026-53488). */
#include "create_priv.h"

#include "isola/fd.h"
#include "isola/image.h"
#include "isola/json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

void create_warn(json_object *warnings, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	(void)json_object_array_add(warnings, json_object_new_string(text));
}

static bool is_same_variable(const char *a, const char *b)
{
	size_t n = strcspn(a, "=");
	return n == strcspn(b, "=") && !memcmp(a, b, n);
}

static bool has_variable(json_object *env, const char *item)
{
	for (size_t i = 0; i < json_len(env); i++) {
		if (is_same_variable(json_item_str(env, i), item))
			return true;
	}
	return false;
}

/* The request's variables first, then those of the image it does not name. */
static int merge_env(json_object *out, json_object *user, json_object *image, struct err *err)
{
	if (!json_len(image))
		return 0;
	json_object *merged = json_object_new_array();
	if (!merged)
		return err_set(err, ENOMEM, "out of memory");
	json_add(out, "Env", merged);
	for (size_t i = 0; i < json_len(user); i++)
		(void)json_object_array_add(merged,
					    json_object_get(json_object_array_get_idx(user, i)));
	for (size_t i = 0; i < json_len(image); i++) {
		json_object *item = json_object_array_get_idx(image, i);
		if (!has_variable(user, json_item_str(image, i)))
			(void)json_object_array_add(merged, json_object_get(item));
	}
	return 0;
}

/* Objects (Labels, ExposedPorts, Volumes): the request's members win. */
static int merge_members(json_object *out, const char *key, json_object *user, json_object *image,
			 struct err *err)
{
	if (!json_object_is_type(image, json_type_object) || !json_object_object_length(image))
		return 0;
	json_object *merged = json_object_new_object();
	if (!merged)
		return err_set(err, ENOMEM, "out of memory");
	json_add(out, key, merged);
	json_object *const parts[] = { image, user };
	for (size_t i = 0; i < 2; i++) {
		if (!parts[i])
			continue;
		json_object_object_foreach (parts[i], name, v)
			json_add(merged, name, json_object_get(v));
	}
	return 0;
}

static void fill(json_object *out, json_object *image, const char *key)
{
	json_object *v = json_get(image, key);
	if (v && json_is_zero(json_get(out, key)))
		json_add(out, key, json_object_get(v));
}

/* The image's Cmd belongs to the image's entry point: whoever brings an entry
 * point of their own gets only their own arguments. */
static void merge_command(json_object *out, json_object *image)
{
	bool own_entrypoint = !json_is_zero(json_get(out, "Entrypoint"));
	if (!own_entrypoint)
		fill(out, image, "Cmd");
	if (!json_get(out, "Entrypoint"))
		fill(out, image, "Entrypoint");
}

/* It may run all the same: the kernel may know an emulator (binfmt_misc). */
static void warn_of_platform(json_object *image, json_object *warnings)
{
	struct err has = ERR_INIT;
	const char *host = image_platform_of_host();
	if (*json_str_or(image, "architecture", "") &&
	    image_platform_check(host, image, &has) == -ENOENT)
		create_warn(warnings, "the image is for %s, this host is %s", has.text, host);
}

/* A shallow copy: the members are shared, none is changed. */
static json_object *copy_members(json_object *o)
{
	json_object *copy = json_object_new_object();
	if (!copy)
		return NULL;
	json_object_object_foreach (o, key, v)
		json_add(copy, key, json_object_get(v));
	return copy;
}

/* A part of the wrong type is left as it is: the table's check refuses it. */
static json_object *typed(json_object *o, const char *key, enum json_type type)
{
	json_object *v = json_get(o, key);
	return json_object_is_type(v, type) ? v : NULL;
}

int create_merge_image(json_object *body, json_object *image, json_object *warnings,
		       json_object **ret, struct err *err)
{
	json_object *config = json_get(image, "config");
	cleanup_json json_object *out = copy_members(body);
	if (!out)
		return err_set(err, ENOMEM, "out of memory");
	static const char *const plain[] = { "User", "WorkingDir", "StopSignal", "Shell" };
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		fill(out, config, plain[i]);
	merge_command(out, config);
	int rc = 0;
	if (!json_get(body, "Env") || typed(body, "Env", json_type_array))
		rc = merge_env(out, json_get(body, "Env"), json_get(config, "Env"), err);
	static const char *const objects[] = { "Labels", "ExposedPorts", "Volumes" };
	for (size_t i = 0; i < 3 && rc >= 0; i++) {
		json_object *user = json_get(body, objects[i]);
		if (!user || json_object_is_type(user, json_type_object))
			rc = merge_members(out, objects[i], user, json_get(config, objects[i]),
					   err);
	}
	if (rc < 0)
		return rc;
	json_object *health = json_get(body, "Healthcheck");
	if (typed(config, "Healthcheck", json_type_object) &&
	    (!health || json_object_is_type(health, json_type_object)))
		json_add(out, "Healthcheck",
			 create_merge_health(health, json_get(config, "Healthcheck")));
	warn_of_platform(image, warnings);
	*ret = take_ptr(out);
	return 0;
}
