/* SPDX-License-Identifier: Apache-2.0 */
/* names - see names.h: one hash table of (network, name), whose chains hold the places. */
#include "names.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/list.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ID_MAX        64
#define PLACES_MAX    256
#define PLACE_NAMES   256
#define ADDRESSES_MAX 4
#define BUCKETS_FIRST 64u

struct entry {
	struct list node; /* in its bucket */
	struct place *place;
	uint32_t hash;
	bool reverse;
	char name[];
};

struct place {
	struct member *member;
	char network[ID_MAX + 1], domain[DNS_NAME_TEXT], first[DNS_NAME_TEXT];
	struct net_addr addresses[ADDRESSES_MAX];
	size_t n_addresses;
	struct entry **entries;
	size_t n_entries, cap_entries;
};

struct member {
	struct list node;
	char id[ID_MAX + 1];
	struct place *places;
	size_t n_places;
};

struct names {
	struct list members;
	struct list *buckets;
	size_t n_buckets, n_entries;
};

/* FNV-1a. Names come from who runs isolad, not from who asks. */
static uint32_t hash_of(const char *network, const char *name)
{
	uint32_t h = 2166136261u;
	for (const char *p = network; *p; p++)
		h = (h ^ (unsigned char)*p) * 16777619u;
	for (const char *p = name; *p; p++)
		h = (h ^ (unsigned char)*p) * 16777619u;
	return h;
}

static struct list *bucket(const struct names *n, uint32_t hash)
{
	return &n->buckets[hash & (n->n_buckets - 1)];
}

static struct list *make_buckets(size_t n)
{
	struct list *buckets = calloc(n, sizeof(*buckets));
	for (size_t i = 0; buckets && i < n; i++)
		list_init(&buckets[i]);
	return buckets;
}

struct names *names_new(void)
{
	struct names *n = calloc(1, sizeof(*n));
	if (!n)
		return NULL;
	list_init(&n->members);
	n->n_buckets = BUCKETS_FIRST;
	n->buckets = make_buckets(n->n_buckets);
	if (n->buckets)
		return n;
	free(n);
	return NULL;
}

/* Without memory the chains just get longer. */
static void grow(struct names *n)
{
	struct list *old = n->buckets, *more = make_buckets(n->n_buckets * 2);
	size_t n_old = n->n_buckets;
	if (!more)
		return;
	n->buckets = more;
	n->n_buckets *= 2;
	for (size_t i = 0; i < n_old; i++) {
		list_for_each_safe (node, &old[i]) {
			struct entry *e = container_of(node, struct entry, node);
			list_del(&e->node);
			list_add_tail(bucket(n, e->hash), &e->node);
		}
	}
	free(old);
}

/* ---- a member ---- */

static void places_free(struct names *n, struct place *places, size_t n_places)
{
	for (size_t i = 0; i < n_places; i++) {
		for (size_t k = 0; k < places[i].n_entries; k++) {
			n->n_entries -= !list_is_empty(&places[i].entries[k]->node);
			list_del(&places[i].entries[k]->node);
			free(places[i].entries[k]);
		}
		free(places[i].entries);
	}
	free(places);
}

static int add_entry(struct place *p, const char *name, bool reverse)
{
	size_t len = strlen(name);
	if (p->n_entries == p->cap_entries) {
		size_t cap = p->cap_entries ? p->cap_entries * 2 : 8;
		void *more = realloc(p->entries, cap * sizeof(struct entry *));
		if (!more)
			return -ENOMEM;
		p->entries = more;
		p->cap_entries = cap;
	}
	struct entry *e = calloc(1, sizeof(*e) + len + 1);
	if (!e)
		return -ENOMEM;
	list_init(&e->node);
	e->place = p;
	e->reverse = reverse;
	for (size_t i = 0; i < len; i++)
		e->name[i] = (char)tolower((unsigned char)name[i]);
	for (size_t i = 0; i < p->n_entries; i++) {
		if (strcmp(p->entries[i]->name, e->name) != 0)
			continue;
		free(e);
		return 0;
	}
	e->hash = hash_of(p->network, e->name);
	p->entries[p->n_entries++] = e;
	return 0;
}

/* "web", and "web.NETWORK" as Docker has it. */
static int add_names(struct place *p, json_object *list)
{
	char whole[2 * DNS_NAME_TEXT];
	int rc = json_len(list) > PLACE_NAMES ? -EINVAL : 0;
	for (size_t i = 0; rc == 0 && i < json_len(list); i++) {
		const char *name = json_item_str(list, i);
		if (!*name || strlen(name) >= DNS_NAME_TEXT)
			return -EINVAL;
		if (!*p->first)
			(void)snprintf(p->first, sizeof(p->first), "%s", name);
		(void)snprintf(whole, sizeof(whole), "%s.%s", name, p->domain);
		rc = add_entry(p, name, false);
		if (rc == 0)
			rc = add_entry(p, whole, false);
	}
	return rc;
}

static int add_addresses(struct place *p, json_object *list)
{
	char name[DNS_NAME_TEXT];
	int rc = json_len(list) > ADDRESSES_MAX ? -EINVAL : 0;
	for (size_t i = 0; rc == 0 && i < json_len(list); i++) {
		struct net_addr *a = &p->addresses[p->n_addresses++];
		rc = net_addr_parse(json_item_str(list, i), a);
		if (rc < 0)
			return rc;
		dns_reverse_name(a, name, sizeof(name));
		rc = add_entry(p, name, true);
	}
	return rc;
}

static int fill_place(struct place *p, json_object *o)
{
	const char *network = json_str_or(o, "network", ""), *domain = json_str_or(o, "name", "");
	if (!*network || strlen(network) > ID_MAX || !*domain || strlen(domain) >= DNS_NAME_TEXT)
		return -EINVAL;
	(void)strcpy(p->network, network);
	(void)strcpy(p->domain, domain);
	int rc = add_names(p, json_get(o, "names"));
	return rc < 0 ? rc : add_addresses(p, json_get(o, "addresses"));
}

static struct member *add_member(struct names *n, const char *id)
{
	struct member *m = names_member(n, id);
	if (m)
		return m;
	m = calloc(1, sizeof(*m));
	if (!m)
		return NULL;
	(void)strcpy(m->id, id);
	list_add_tail(&n->members, &m->node);
	return m;
}

static void enter(struct names *n, struct place *p)
{
	for (size_t i = 0; i < p->n_entries; i++) {
		if (n->n_entries >= n->n_buckets)
			grow(n);
		list_add_tail(bucket(n, p->entries[i]->hash), &p->entries[i]->node);
		n->n_entries++;
	}
}

int names_set(struct names *n, const char *id, json_object *places, struct member **ret,
	      struct err *err)
{
	size_t count = json_len(places);
	if (!*id || strlen(id) > ID_MAX || count > PLACES_MAX)
		return err_set(err, EINVAL, "a member without an id, or in too many networks");
	struct place *made = calloc(count + 1, sizeof(*made));
	int rc = made ? 0 : -ENOMEM;
	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = fill_place(&made[i], json_object_array_get_idx(places, i));
	struct member *m = rc == 0 ? add_member(n, id) : NULL;
	if (!m) {
		if (made)
			places_free(n, made, count);
		return err_rc(err, rc < 0 ? rc : -ENOMEM, "the names of %.12s", id);
	}
	places_free(n, m->places, m->n_places);
	m->places = made;
	m->n_places = count;
	for (size_t i = 0; i < count; i++) {
		made[i].member = m;
		enter(n, &made[i]);
	}
	*ret = m;
	return 0;
}

struct member *names_member(struct names *n, const char *id)
{
	list_for_each (node, &n->members) {
		struct member *m = container_of(node, struct member, node);
		if (!strcmp(m->id, id))
			return m;
	}
	return NULL;
}

void names_remove(struct names *n, struct member *m)
{
	if (!m)
		return;
	list_del(&m->node);
	places_free(n, m->places, m->n_places);
	free(m);
}

void names_free(struct names *n)
{
	if (!n)
		return;
	while (!list_is_empty(&n->members))
		names_remove(n, container_of(n->members.next, struct member, node));
	free(n->buckets);
	free(n);
}

/* ---- look-ups ---- */

static size_t find_in(const struct names *n, const char *network, const char *name,
		      struct match *ret)
{
	uint32_t hash = hash_of(network, name);
	size_t found = 0;
	list_for_each (node, bucket(n, hash)) {
		const struct entry *e = container_of(node, struct entry, node);
		if (e->hash != hash || strcmp(e->name, name) != 0 ||
		    strcmp(e->place->network, network) != 0)
			continue;
		struct match *m = &ret[found++];
		m->addresses = e->place->addresses;
		m->n_addresses = e->reverse ? 0 : e->place->n_addresses;
		m->name[0] = '\0';
		if (e->reverse)
			(void)snprintf(m->name, sizeof(m->name), "%s.%s", e->place->first,
				       e->place->domain);
		if (found == NAMES_MATCHES_MAX)
			break;
	}
	return found;
}

struct member *names_at(const struct names *n, const char *network, const struct net_addr *addr)
{
	char name[DNS_NAME_TEXT];
	dns_reverse_name(addr, name, sizeof(name));
	uint32_t hash = hash_of(network, name);
	list_for_each (node, bucket(n, hash)) {
		const struct entry *e = container_of(node, struct entry, node);
		if (e->reverse && e->hash == hash && !strcmp(e->name, name) &&
		    !strcmp(e->place->network, network))
			return e->place->member;
	}
	return NULL;
}

size_t names_find(const struct names *n, const struct member *asker, const char *name,
		  struct match ret[NAMES_MATCHES_MAX])
{
	size_t found = 0;
	for (size_t i = 0; *name && !found && i < asker->n_places; i++)
		found = find_in(n, asker->places[i].network, name, ret);
	return found;
}
