/* SPDX-License-Identifier: Apache-2.0 */
/* spec_process - a "process" object: of config.json, or alone, as exec takes it
 * (config.md "Process"). */
#include "spec_parts.h"

#include "isola/caps.h"
#include "isola/json.h"
#include "isola/lsm.h"
#include "isola/strbuf.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#define GROUPS_MAX 65536 /* NGROUPS_MAX of the kernel */
#define ID_MAX     ((int64_t)UINT32_MAX - 1)
#define USER_MAX   511

static const struct spec_word rlimit_words[] = {
	{ "RLIMIT_AS", RLIMIT_AS },
	{ "RLIMIT_CORE", RLIMIT_CORE },
	{ "RLIMIT_CPU", RLIMIT_CPU },
	{ "RLIMIT_DATA", RLIMIT_DATA },
	{ "RLIMIT_FSIZE", RLIMIT_FSIZE },
	{ "RLIMIT_LOCKS", RLIMIT_LOCKS },
	{ "RLIMIT_MEMLOCK", RLIMIT_MEMLOCK },
	{ "RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE },
	{ "RLIMIT_NICE", RLIMIT_NICE },
	{ "RLIMIT_NOFILE", RLIMIT_NOFILE },
	{ "RLIMIT_NPROC", RLIMIT_NPROC },
	{ "RLIMIT_RSS", RLIMIT_RSS },
	{ "RLIMIT_RTPRIO", RLIMIT_RTPRIO },
	{ "RLIMIT_RTTIME", RLIMIT_RTTIME },
	{ "RLIMIT_SIGPENDING", RLIMIT_SIGPENDING },
	{ "RLIMIT_STACK", RLIMIT_STACK },
};

int ctr_rlimit_resource(const char *name)
{
	for (size_t i = 0; i < SPEC_N(rlimit_words); i++)
		if (!strcmp(name, rlimit_words[i].word))
			return (int)rlimit_words[i].value;
	return -1;
}

static int read_rlimit(struct spec_cx *cx, const struct at *at, json_object *o, void *ret)
{
	struct ctr_rlimit *r = ret;
	uint64_t resource = 0;
	int rc = spec_need_str(cx, at, o, "type", &r->name);
	if (rc < 0 || (rc = spec_find_word(cx, at, "type", "limit", rlimit_words,
					   SPEC_N(rlimit_words), r->name, &resource)) < 0)
		return rc;
	r->resource = (int)resource;
	rc = spec_u64(cx, at, o, "soft", &r->soft);
	if (rc <= 0)
		return rc < 0 ? rc : spec_fail(cx, at, "soft", "is missing");
	rc = spec_u64(cx, at, o, "hard", &r->hard);
	if (rc <= 0)
		return rc < 0 ? rc : spec_fail(cx, at, "hard", "is missing");
	if (r->soft > r->hard)
		return spec_fail(cx, at, "soft", "is above the hard limit");
	return 0;
}

static int parse_rlimits(struct spec_cx *cx, const struct at *at, json_object *o,
			 struct ctr_process *p)
{
	int rc = spec_items(cx, at, o, "rlimits", 2 * SPEC_N(rlimit_words),
			    sizeof(struct ctr_rlimit), read_rlimit, &p->rlimits, &p->n_rlimits);
	uint64_t seen = 0;
	for (size_t i = 0; rc > 0 && i < p->n_rlimits; i++) {
		const struct at list = { .up = at, .name = "rlimits" };
		const struct at place = { .up = &list, .index = i };
		uint64_t bit = 1ULL << p->rlimits[i].resource;
		if (seen & bit)
			return spec_fail(cx, &place, "type", "%s is listed twice",
					 p->rlimits[i].name);
		seen |= bit;
	}
	return rc < 0 ? rc : 0;
}

/* Adds @name to the list of what cannot be granted, once. */
static void note_cap(struct strbuf *list, const char *name)
{
	size_t n = strlen(name);
	for (const char *p = list->text; p && (p = strstr(p, name)); p += n)
		if ((p == list->text || p[-1] == ' ') && (!p[n] || p[n] == ' '))
			return;
	if (list->len > 1000)
		return;
	strbuf_printf(list, "%s%.60s", list->len ? " " : "", name);
}

static int read_cap_set(struct spec_cx *cx, const struct at *at, json_object *o, const char *key,
			uint64_t *ret, struct strbuf *unknown)
{
	char **names = NULL;
	size_t n = 0;
	int rc = spec_strv(cx, at, o, key, &names, &n);
	for (size_t i = 0; i < n; i++) {
		int cap = caps_parse(names[i]);
		if (cap < 0)
			note_cap(unknown, names[i]);
		else
			*ret |= 1ULL << cap;
	}
	return rc;
}

/* What the kernel would refuse as a whole is dropped one by one: "Runtimes
 * SHOULD NOT fail if the configuration requests capabilities that cannot be
 * granted" (config.md, capabilities). */
static void drop_ungrantable(struct ctr_caps *caps, struct strbuf *unknown)
{
	uint64_t effective = caps->effective & caps->permitted;
	uint64_t ambient = caps->ambient & caps->permitted & caps->inheritable;
	uint64_t lost = (caps->effective & ~effective) | (caps->ambient & ~ambient);
	for (int cap = 0; lost; cap++, lost >>= 1) {
		char name[40];
		if (lost & 1)
			note_cap(unknown, caps_name(cap, name, sizeof(name)));
	}
	caps->effective = effective;
	caps->ambient = ambient;
}

static int parse_caps(struct spec_cx *cx, const struct at *at, json_object *o,
		      struct ctr_process *p)
{
	json_object *sets = NULL;
	int rc = spec_obj(cx, at, o, "capabilities", &sets);
	if (rc <= 0)
		return rc;
	const struct at place = { .up = at, .name = "capabilities" };
	cleanup_strbuf struct strbuf unknown = STRBUF_INIT;
	struct ctr_caps *c = &p->caps;
	const struct {
		const char *key;
		uint64_t *set;
	} rows[] = {
		{ "bounding", &c->bounding },   { "effective", &c->effective },
		{ "permitted", &c->permitted }, { "inheritable", &c->inheritable },
		{ "ambient", &c->ambient },
	};
	for (size_t i = 0; i < SPEC_N(rows); i++) {
		rc = read_cap_set(cx, &place, sets, rows[i].key, rows[i].set, &unknown);
		if (rc < 0)
			return rc;
	}
	drop_ungrantable(c, &unknown);
	if (!unknown.len)
		return 0;
	char *list = spec_new(cx, unknown.len + 1, 1);
	if (!list)
		return -ENOMEM;
	memcpy(list, unknown.text, unknown.len);
	p->unknown_caps = list;
	return 0;
}

static bool is_user_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '.' || c == '-';
}

/* A name, or a number below 2^32-1 without leading zeros to stumble over. */
static bool is_user_part(const char *s, size_t n)
{
	if (n == 0 || n > 255 || *s == '-')
		return false;
	bool digits = true;
	uint64_t value = 0;
	for (size_t i = 0; i < n; i++) {
		if (!is_user_char(s[i]) && !(s[i] == '$' && i > 0 && i == n - 1))
			return false;
		digits = digits && s[i] >= '0' && s[i] <= '9';
		if (digits && value <= UINT32_MAX)
			value = value * 10 + (uint64_t)(s[i] - '0');
	}
	return !digits || (value < UINT32_MAX && (n == 1 || *s != '0'));
}

static int parse_user_text(struct spec_cx *cx, const struct at *at, json_object *user,
			   struct ctr_process *p)
{
	const char *key = "org.isola.user";
	int rc = spec_text(cx, at, user, key, &p->user);
	if (rc <= 0)
		return rc;
	const char *colon = strchr(p->user, ':');
	size_t n = colon ? (size_t)(colon - p->user) : strlen(p->user);
	if (!is_user_part(p->user, n))
		return spec_fail(cx, at, key, "\"%.100s\" has no valid user", p->user);
	if (colon && !is_user_part(colon + 1, strlen(colon + 1)))
		return spec_fail(cx, at, key, "\"%.100s\" has no valid group", p->user);
	return 0;
}

static int parse_groups(struct spec_cx *cx, const struct at *at, json_object *user,
			struct ctr_process *p)
{
	json_object *a = NULL;
	int rc = spec_arr(cx, at, user, "additionalGids", &a);
	if (rc <= 0)
		return rc;
	size_t n = json_len(a);
	if (n > GROUPS_MAX)
		return spec_fail(cx, at, "additionalGids", "has more than %d items", GROUPS_MAX);
	gid_t *groups = spec_new(cx, n, sizeof(*groups));
	if (!groups)
		return -ENOMEM;
	const struct at list = { .up = at, .name = "additionalGids" };
	for (size_t i = 0; i < n; i++) {
		json_object *v = json_object_array_get_idx(a, i);
		int64_t gid = json_object_get_int64(v);
		const struct at place = { .up = &list, .index = i };
		if (!json_object_is_type(v, json_type_int) || gid < 0 || gid > ID_MAX)
			return spec_fail(cx, &place, NULL, "must be a group id");
		groups[i] = (gid_t)gid;
	}
	p->groups = groups;
	p->n_groups = n;
	return 0;
}

static int parse_user(struct spec_cx *cx, const struct at *at, json_object *o,
		      struct ctr_process *p)
{
	json_object *user = NULL;
	const struct at place = { .up = at, .name = "user" };
	int rc = spec_obj(cx, at, o, "user", &user);
	if (rc <= 0)
		return rc;
	int64_t uid = 0, gid = 0, mask = -1;
	if ((rc = spec_int(cx, &place, user, "uid", 0, ID_MAX, &uid)) < 0 ||
	    (rc = spec_int(cx, &place, user, "gid", 0, ID_MAX, &gid)) < 0 ||
	    (rc = spec_int(cx, &place, user, "umask", 0, 0777, &mask)) < 0 ||
	    (rc = parse_groups(cx, &place, user, p)) < 0)
		return rc;
	p->uid = (uid_t)uid;
	p->gid = (gid_t)gid;
	p->umask = (int)mask;
	return parse_user_text(cx, &place, user, p);
}

static int parse_console(struct spec_cx *cx, const struct at *at, json_object *o,
			 struct ctr_process *p)
{
	json_object *size = NULL;
	int rc = spec_bool(cx, at, o, "terminal", &p->terminal);
	/* "MUST ignore consoleSize if terminal is false" */
	if (rc < 0 || !p->terminal)
		return rc;
	rc = spec_obj(cx, at, o, "consoleSize", &size);
	if (rc <= 0)
		return rc;
	const struct at place = { .up = at, .name = "consoleSize" };
	int64_t rows = 0, columns = 0;
	if ((rc = spec_need_int(cx, &place, size, "height", 0, UINT16_MAX, &rows)) < 0 ||
	    (rc = spec_need_int(cx, &place, size, "width", 0, UINT16_MAX, &columns)) < 0)
		return rc;
	p->rows = (uint16_t)rows;
	p->columns = (uint16_t)columns;
	return 0;
}

static int parse_command(struct spec_cx *cx, const struct at *at, json_object *o,
			 struct ctr_process *p)
{
	int rc = spec_strv(cx, at, o, "args", &p->args, &p->n_args);
	if (rc < 0)
		return rc;
	if (p->n_args == 0)
		return spec_fail(cx, at, "args", "is missing: what shall run?");
	if ((rc = spec_strv(cx, at, o, "env", &p->env, &p->n_env)) < 0 ||
	    (rc = spec_need_str(cx, at, o, "cwd", &p->cwd)) < 0)
		return rc;
	const struct at list = { .up = at, .name = "env" };
	for (size_t i = 0; i < p->n_env; i++) {
		const struct at place = { .up = &list, .index = i };
		const char *eq = strchr(p->env[i], '=');
		if (!eq || eq == p->env[i])
			return spec_fail(cx, &place, NULL, "must be NAME=value, not \"%.60s\"",
					 p->env[i]);
	}
	return spec_check_path(cx, at, "cwd", p->cwd);
}

static int parse_labels(struct spec_cx *cx, const struct at *at, json_object *o,
			struct ctr_process *p)
{
	int rc = spec_text(cx, at, o, "apparmorProfile", &p->apparmor_profile);
	if (rc < 0)
		return rc;
	if (rc > 0 && !lsm_has_apparmor())
		return spec_unsupported(cx, at, "apparmorProfile",
					"cannot apply \"%.100s\": this host runs no AppArmor",
					p->apparmor_profile);
	rc = spec_text(cx, at, o, "selinuxLabel", &p->selinux_label);
	if (rc > 0 && !lsm_has_selinux())
		return spec_unsupported(cx, at, "selinuxLabel",
					"cannot apply \"%.100s\": this host runs no SELinux",
					p->selinux_label);
	return rc < 0 ? rc : 0;
}

static int parse_oom_score(struct spec_cx *cx, const struct at *at, json_object *o,
			   struct ctr_process *p)
{
	int64_t score = 0;
	int rc = spec_int(cx, at, o, "oomScoreAdj", -1000, 1000, &score);
	p->oom_score_adj_set = rc > 0;
	p->oom_score_adj = (int)score;
	return rc;
}

int spec_parse_process(struct spec_cx *cx, const struct at *at, json_object *o,
		       struct ctr_process **ret_process)
{
	struct ctr_process *p = spec_new(cx, 1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->umask = -1;
	p->ioprio = -1;
	int rc = parse_console(cx, at, o, p);
	if (rc < 0 || (rc = parse_user(cx, at, o, p)) < 0 ||
	    (rc = parse_command(cx, at, o, p)) < 0 || (rc = parse_caps(cx, at, o, p)) < 0 ||
	    (rc = parse_rlimits(cx, at, o, p)) < 0 ||
	    (rc = spec_bool(cx, at, o, "noNewPrivileges", &p->no_new_privileges)) < 0 ||
	    (rc = parse_oom_score(cx, at, o, p)) < 0 || (rc = parse_labels(cx, at, o, p)) < 0 ||
	    (rc = spec_parse_sched(cx, at, o, p)) < 0)
		return rc;
	*ret_process = p;
	return 0;
}
