/* SPDX-License-Identifier: Apache-2.0 */
/* userdb - see include/isola/userdb.h. */
#include "isola/userdb.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define FIELDS_MAX 7
#define NAME_MAX_  255
#define HOME_MAX   4095

struct field {
	const char *p;
	size_t len;
};

/* A line cut at ':'; what is behind the last wanted field stays in it. */
struct line {
	struct field f[FIELDS_MAX];
	size_t n;
};

/* Takes the next line off @t. Comments and empty lines are skipped. */
static bool next_line(struct userdb_text *t, struct line *ret)
{
	while (t->size > 0) {
		const char *start = t->text;
		const char *end = memchr(start, '\n', t->size);
		size_t len = end ? (size_t)(end - start) : t->size;
		size_t used = end ? len + 1 : len;
		t->text += used;
		t->size -= used;
		if (len == 0 || *start == '#' || memchr(start, '\0', len))
			continue;
		ret->n = 0;
		while (ret->n < FIELDS_MAX) {
			const char *colon = memchr(start, ':', len);
			size_t n = colon ? (size_t)(colon - start) : len;
			ret->f[ret->n++] = (struct field){ start, n };
			if (!colon)
				break;
			start += n + 1;
			len -= n + 1;
		}
		return true;
	}
	return false;
}

static bool is_text(struct field f, const char *text, size_t len)
{
	return f.len == len && memcmp(f.p, text, len) == 0;
}

/* Digits only, and below (id_t)-1, which system calls read as "no change". */
static bool parse_id(const char *p, size_t len, uint32_t *ret)
{
	uint64_t v = 0;
	if (len == 0 || len > 10)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (p[i] < '0' || p[i] > '9')
			return false;
		v = v * 10 + (uint64_t)(p[i] - '0');
	}
	if (v >= UINT32_MAX)
		return false;
	*ret = (uint32_t)v;
	return true;
}

static bool is_digits(const char *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (p[i] < '0' || p[i] > '9')
			return false;
	return len > 0;
}

/* name:password:uid:gid:gecos:home:shell */
static bool is_user_line(const struct line *l, uint32_t *ret_uid, uint32_t *ret_gid)
{
	return l->n >= 4 && l->f[0].len > 0 && parse_id(l->f[2].p, l->f[2].len, ret_uid) &&
	       parse_id(l->f[3].p, l->f[3].len, ret_gid);
}

static char *copy_home(const struct line *l)
{
	if (l->n < 6 || l->f[5].len == 0 || l->f[5].len > HOME_MAX || l->f[5].p[0] != '/')
		return NULL;
	return strndup(l->f[5].p, l->f[5].len);
}

struct user_part {
	const char *p;
	size_t len;
	bool is_number;
	uint32_t id;
};

static int parse_part(const char *p, size_t len, const char *what, struct user_part *ret,
		      struct err *err)
{
	*ret = (struct user_part){ .p = p, .len = len };
	if (len == 0 || len > NAME_MAX_)
		return err_set(err, EINVAL, "the %s is %s", what, len ? "too long" : "empty");
	ret->is_number = parse_id(p, len, &ret->id);
	if (!ret->is_number && (is_digits(p, len) || *p == '-' || *p == '+'))
		return err_set(err, EINVAL, "%.*s is no valid %s number", (int)len, p, what);
	return 0;
}

/* Fills uid, gid, home; the user's own name, as its groups list it, goes to
 * @ret_name. 1 when a line was found, else 0. */
static int find_user(const struct user_part *user, struct userdb_text passwd,
		     struct userdb_entry *e, struct field *ret_name)
{
	struct line l;
	while (next_line(&passwd, &l)) {
		uint32_t uid, gid;
		if (!is_user_line(&l, &uid, &gid))
			continue;
		if (user->is_number ? uid != user->id : !is_text(l.f[0], user->p, user->len))
			continue;
		e->uid = uid;
		e->gid = gid;
		e->home = copy_home(&l);
		*ret_name = l.f[0];
		return 1;
	}
	return 0;
}

/* name:password:gid:member,member */
static bool has_member(struct field members, struct field name)
{
	const char *p = members.p, *end = p + members.len;
	/* Anything behind a fourth colon is not the list. */
	const char *colon = memchr(p, ':', members.len);
	if (colon)
		end = colon;
	while (p < end) {
		const char *comma = memchr(p, ',', (size_t)(end - p));
		size_t n = (size_t)((comma ? comma : end) - p);
		if (n == name.len && memcmp(p, name.p, n) == 0)
			return true;
		p += n + 1;
	}
	return false;
}

static int add_group(struct userdb_entry *e, gid_t gid)
{
	if (e->n_groups == USERDB_GROUPS_MAX)
		return 0;
	if ((e->n_groups & (e->n_groups - 1)) == 0) {
		size_t cap = e->n_groups ? e->n_groups * 2 : 8;
		gid_t *more = realloc(e->groups, cap * sizeof(*more));
		if (!more)
			return -ENOMEM;
		e->groups = more;
	}
	e->groups[e->n_groups++] = gid;
	return 0;
}

static int by_number(const void *a, const void *b)
{
	gid_t x = *(const gid_t *)a, y = *(const gid_t *)b;
	return (x > y) - (x < y);
}

/* Sorted, each once: a hostile file may name some ten thousand. */
static void tidy_groups(struct userdb_entry *e)
{
	size_t n = 0;
	if (e->n_groups)
		qsort(e->groups, e->n_groups, sizeof(*e->groups), by_number);
	for (size_t i = 0; i < e->n_groups; i++)
		if (n == 0 || e->groups[n - 1] != e->groups[i])
			e->groups[n++] = e->groups[i];
	e->n_groups = n;
}

static int find_groups_of(struct field name, struct userdb_text group, struct userdb_entry *e)
{
	struct line l;
	while (next_line(&group, &l)) {
		uint32_t gid;
		if (l.n < 4 || !parse_id(l.f[2].p, l.f[2].len, &gid) || !has_member(l.f[3], name))
			continue;
		if (add_group(e, gid) < 0)
			return -ENOMEM;
	}
	tidy_groups(e);
	return 0;
}

static int find_group(const struct user_part *want, struct userdb_text group, gid_t *ret)
{
	struct line l;
	if (want->is_number) {
		*ret = want->id;
		return 0;
	}
	while (next_line(&group, &l)) {
		uint32_t gid;
		if (l.n >= 3 && is_text(l.f[0], want->p, want->len) &&
		    parse_id(l.f[2].p, l.f[2].len, &gid)) {
			*ret = gid;
			return 0;
		}
	}
	return -ENOENT;
}

static int find_both(const struct user_part *user, const struct user_part *want_group,
		     struct userdb_text passwd, struct userdb_text group, struct userdb_entry *e,
		     struct err *err)
{
	struct field name;
	int found = find_user(user, passwd, e, &name);
	if (!found && !user->is_number)
		return err_set(err, ENOENT, "no user %.*s in the image's /etc/passwd",
			       (int)user->len, user->p);
	if (!found)
		e->uid = user->id;
	if (want_group) {
		if (find_group(want_group, group, &e->gid) < 0)
			return err_set(err, ENOENT, "no group %.*s in the image's /etc/group",
				       (int)want_group->len, want_group->p);
	} else if (found && find_groups_of(name, group, e) < 0) {
		return err_set(err, ENOMEM, "out of memory");
	}
	return 0;
}

int userdb_find(const char *spec, struct userdb_text passwd, struct userdb_text group,
		struct userdb_entry *ret, struct err *err)
{
	struct user_part user, want_group;
	const char *colon = strchr(spec, ':');
	int rc =
		parse_part(spec, colon ? (size_t)(colon - spec) : strlen(spec), "user", &user, err);
	if (rc == 0 && colon)
		rc = parse_part(colon + 1, strlen(colon + 1), "group", &want_group, err);
	if (rc < 0)
		return rc;
	struct userdb_entry e = { .uid = 0 };
	rc = find_both(&user, colon ? &want_group : NULL, passwd, group, &e, err);
	if (rc < 0) {
		userdb_entry_fini(&e);
		return rc;
	}
	*ret = e;
	return 0;
}

char *userdb_home(uid_t uid, struct userdb_text passwd)
{
	struct userdb_entry e = { .uid = 0 };
	struct field name;
	const struct user_part user = { .is_number = true, .id = uid };
	return find_user(&user, passwd, &e, &name) ? e.home : NULL;
}

void userdb_entry_fini(struct userdb_entry *e)
{
	free(e->groups);
	free(e->home);
	*e = (struct userdb_entry){ .uid = 0 };
}
