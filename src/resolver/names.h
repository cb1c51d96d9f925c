/* SPDX-License-Identifier: Apache-2.0 */
/* names - who has which name in which network: what isola-resolver was told by isolad.
 * A member is an instance that runs; it has a place in each network that gives names.
 *
 * Names of a network are for its members alone. Pure, one thread. */
#pragma once

#include "isola/net.h"
#include "message.h"

#include <json-c/json.h>

#define NAMES_MATCHES_MAX 256

struct names;
struct member;

struct names *names_new(void);
void names_free(struct names *n);

/* Makes the member @id anew, or for the first time, of @places:
 *
 *	[{ "network": ID, "name": NAME OF THE NETWORK, "addresses": ["10.5.0.2", ...],
 *	   "names": ["web", ...] }, ...]
 *
 * The first of its names is the one of reverse look-ups. -EINVAL with a text, and
 * the member is as before. @ret is valid until names_remove(). */
int names_set(struct names *n, const char *id, json_object *places, struct member **ret,
	      struct err *err);
struct member *names_member(struct names *n, const char *id);
void names_remove(struct names *n, struct member *m);

struct match {
	const struct net_addr *addresses; /* borrowed; n_addresses may be 0 */
	size_t n_addresses;
	char name[DNS_NAME_TEXT]; /* of a reverse look-up, else "" */
};

/* The member with @addr in the network @network; NULL when there is none. */
struct member *names_at(const struct names *n, const char *network, const struct net_addr *addr);

/* Everything that @asker may know by @name: of the first of its networks that has it.
 * Their number, at most NAMES_MATCHES_MAX. */
size_t names_find(const struct names *n, const struct member *asker, const char *name,
		  struct match ret[NAMES_MATCHES_MAX]);
