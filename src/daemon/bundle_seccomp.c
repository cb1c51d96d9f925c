/* SPDX-License-Identifier: Apache-2.0 */
/* bundle_seccomp - the default seccomp profile for a set of capabilities, made
 * once and kept: most containers share one of two or three sets. isolad, loop
 * thread; the cache lives as long as the process. */
#include "bundle_priv.h"

#include "capset.h"

#include "isola/ctr.h"
#include "isola/fd.h"
#include "isola/json.h"

#include <errno.h>

#define KEPT 8

static struct {
	uint64_t caps;
	json_object *profile;
} kept[KEPT];
static unsigned int next_slot;

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
	json_object_put(kept[next_slot].profile);
	kept[next_slot].caps = caps;
	kept[next_slot].profile = json_object_get(profile);
	next_slot = (next_slot + 1) % KEPT;
	return profile;
}
