/* SPDX-License-Identifier: Apache-2.0 */
/* bundle_seccomp - the default seccomp profile for a set of capabilities, made
 * once and kept: most containers share one of two or three sets. It is most of a
 * config.json, so its text is kept, too. isolad, loop thread; the cache lives as
 * long as the process. */
#include "bundle_priv.h"

#include "capset.h"

#include "isola/ctr.h"
#include "isola/fd.h"
#include "isola/json.h"

#include <errno.h>
#include <json-c/printbuf.h>
#include <stdlib.h>
#include <string.h>

#define KEPT 8

struct text {
	size_t size;
	char bytes[];
};

static struct {
	uint64_t caps;
	json_object *profile;
} kept[KEPT];
static unsigned int next_slot;

/* json-c asks this in place of walking the members. */
static int print_text(json_object *o, struct printbuf *pb, int level, int flags)
{
	const struct text *text = json_object_get_userdata(o);
	(void)level;
	(void)flags;
	return printbuf_memappend(pb, text->bytes, (int)text->size);
}

static void free_text(json_object *o, void *text)
{
	(void)o;
	free(text);
}

static void keep_text(json_object *profile)
{
	size_t size = 0;
	const char *bytes = json_object_to_json_string_length(
		profile, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &size);
	struct text *text = bytes ? malloc(sizeof(*text) + size) : NULL;
	if (!text)
		return;
	text->size = size;
	memcpy(text->bytes, bytes, size);
	json_object_set_serializer(profile, print_text, text, free_text);
}

json_object *bundle_default_seccomp(uint64_t caps, struct err *err)
{
	for (unsigned int i = 0; i < KEPT; i++) {
		if (kept[i].profile && kept[i].caps == caps)
			return json_object_get(kept[i].profile);
	}
	cleanup_json json_object *names = capset_names(caps);
	json_object *profile = ctr_seccomp_default(names, err);
	if (!profile)
		return NULL;
	keep_text(profile);
	json_object_put(kept[next_slot].profile);
	kept[next_slot].caps = caps;
	kept[next_slot].profile = json_object_get(profile);
	next_slot = (next_slot + 1) % KEPT;
	return profile;
}
