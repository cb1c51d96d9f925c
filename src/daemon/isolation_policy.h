/* SPDX-License-Identifier: Apache-2.0 */
/* isolation_policy - the walls that this host's administrator prescribes for images: a
 * file of rules (isolad.json(5), isolation-policy). What an image says of itself - its
 * labels - decides nothing unless a rule names it. isolad, loop thread. */
#pragma once

#include "isola/err.h"

#include <json-c/json.h>
#include <stddef.h>

#define POLICY_DEFAULT_FILE "/etc/isola/isolation.json"

/* From the weakest to the strongest: what a rule prescribes is the weakest that a user
 * may have, and what one gets who asks for nothing. */
enum wall { WALL_CONTAINER, WALL_AUTO, WALL_VM };

struct isolation_policy {
	json_object *rules; /* checked, owned; NULL: none */
};

struct isolation_rule {
	enum wall wall;
	size_t number;  /* in the file, from 1 */
	char text[320]; /* image "docker.io/x", for errors */
};

/* Reads @path, or the default file where @path is "": that one may be missing. On failure
 * @p stays as it was. */
int isolation_policy_read(struct isolation_policy *p, const char *path, struct err *err);
/* The same from a document, borrowed. */
int isolation_policy_parse(struct isolation_policy *p, json_object *doc, struct err *err);
void isolation_policy_fini(struct isolation_policy *p);

/* The first rule that is for an image with these full references, this id and these
 * labels (each may be NULL): 1, or 0. @p NULL is fine. */
int isolation_policy_find(const struct isolation_policy *p, json_object *refs, const char *id,
			  json_object *labels, struct isolation_rule *ret);

const char *wall_name(enum wall wall);
/* -EINVAL for another word. */
int wall_parse(const char *name, enum wall *ret);
