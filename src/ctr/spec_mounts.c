/* SPDX-License-Identifier: Apache-2.0 */
/* spec_mounts - "mounts" of config.json (config.md "Mounts", "Linux mount
 * options"): option words become attributes, propagation, and what the file
 * system itself gets. */
#include "spec_parts.h"

#include "isola/strbuf.h"

#include <errno.h>
#include <limits.h>
#include <linux/mount.h>
#include <stdlib.h>
#include <string.h>

#define MOUNTS_MAX  4096
#define OPTIONS_MAX 1024
#define DATA_MAX    4096 /* mount(2) takes one page */

enum option_kind {
	OPTION_ATTR,        /* MOUNT_ATTR_* of the mount */
	OPTION_ATIME,       /* the same, one of a class */
	OPTION_SB,          /* flag of the superblock */
	OPTION_PROPAGATION, /* MS_SHARED... */
	OPTION_BIND,
	OPTION_RBIND,
	OPTION_REMOUNT,
	OPTION_TMPCOPYUP,
	OPTION_IDMAP,
	OPTION_RIDMAP,
	OPTION_NONE, /* says what is so anyway */
};

/* With attributes @value is set, or with @clear cleared; @recursive are those
 * that reach the mounts below (rro). For superblock flags @clear takes back. */
struct option {
	const char *word;
	enum option_kind kind;
	uint64_t value;
	bool clear, recursive;
};

/* "atime" only takes back "noatime"; what is left is the kernel's default,
 * relatime. "norelatime" takes back what nobody need ask for. "ro" concerns the
 * mount, never the superblock: that one may be shared (sysfs, mqueue). */
static const struct option options[] = {
	{ "ro", OPTION_ATTR, MOUNT_ATTR_RDONLY },
	{ "rw", OPTION_ATTR, MOUNT_ATTR_RDONLY, .clear = true },
	{ "rro", OPTION_ATTR, MOUNT_ATTR_RDONLY, .recursive = true },
	{ "rrw", OPTION_ATTR, MOUNT_ATTR_RDONLY, .clear = true, .recursive = true },
	{ "nosuid", OPTION_ATTR, MOUNT_ATTR_NOSUID },
	{ "suid", OPTION_ATTR, MOUNT_ATTR_NOSUID, .clear = true },
	{ "rnosuid", OPTION_ATTR, MOUNT_ATTR_NOSUID, .recursive = true },
	{ "rsuid", OPTION_ATTR, MOUNT_ATTR_NOSUID, .clear = true, .recursive = true },
	{ "nodev", OPTION_ATTR, MOUNT_ATTR_NODEV },
	{ "dev", OPTION_ATTR, MOUNT_ATTR_NODEV, .clear = true },
	{ "rnodev", OPTION_ATTR, MOUNT_ATTR_NODEV, .recursive = true },
	{ "rdev", OPTION_ATTR, MOUNT_ATTR_NODEV, .clear = true, .recursive = true },
	{ "noexec", OPTION_ATTR, MOUNT_ATTR_NOEXEC },
	{ "exec", OPTION_ATTR, MOUNT_ATTR_NOEXEC, .clear = true },
	{ "rnoexec", OPTION_ATTR, MOUNT_ATTR_NOEXEC, .recursive = true },
	{ "rexec", OPTION_ATTR, MOUNT_ATTR_NOEXEC, .clear = true, .recursive = true },
	{ "nodiratime", OPTION_ATTR, MOUNT_ATTR_NODIRATIME },
	{ "diratime", OPTION_ATTR, MOUNT_ATTR_NODIRATIME, .clear = true },
	{ "rnodiratime", OPTION_ATTR, MOUNT_ATTR_NODIRATIME, .recursive = true },
	{ "rdiratime", OPTION_ATTR, MOUNT_ATTR_NODIRATIME, .clear = true, .recursive = true },
	{ "nosymfollow", OPTION_ATTR, MOUNT_ATTR_NOSYMFOLLOW },
	{ "symfollow", OPTION_ATTR, MOUNT_ATTR_NOSYMFOLLOW, .clear = true },
	{ "rnosymfollow", OPTION_ATTR, MOUNT_ATTR_NOSYMFOLLOW, .recursive = true },
	{ "rsymfollow", OPTION_ATTR, MOUNT_ATTR_NOSYMFOLLOW, .clear = true, .recursive = true },
	{ "noatime", OPTION_ATIME, MOUNT_ATTR_NOATIME },
	{ "rnoatime", OPTION_ATIME, MOUNT_ATTR_NOATIME, .recursive = true },
	{ "strictatime", OPTION_ATIME, MOUNT_ATTR_STRICTATIME },
	{ "rstrictatime", OPTION_ATIME, MOUNT_ATTR_STRICTATIME, .recursive = true },
	{ "relatime", OPTION_ATIME, MOUNT_ATTR_RELATIME },
	{ "rrelatime", OPTION_ATIME, MOUNT_ATTR_RELATIME, .recursive = true },
	{ "atime", OPTION_ATIME, MOUNT_ATTR_RELATIME },
	{ "ratime", OPTION_ATIME, MOUNT_ATTR_RELATIME, .recursive = true },
	{ "nostrictatime", OPTION_ATIME, MOUNT_ATTR_RELATIME },
	{ "rnostrictatime", OPTION_ATIME, MOUNT_ATTR_RELATIME, .recursive = true },
	{ "norelatime", OPTION_NONE },
	{ "rnorelatime", OPTION_NONE },
	{ "sync", OPTION_SB, MS_SYNCHRONOUS },
	{ "async", OPTION_SB, MS_SYNCHRONOUS, .clear = true },
	{ "dirsync", OPTION_SB, MS_DIRSYNC },
	{ "lazytime", OPTION_SB, MS_LAZYTIME },
	{ "nolazytime", OPTION_SB, MS_LAZYTIME, .clear = true },
	{ "mand", OPTION_SB, MS_MANDLOCK },
	{ "nomand", OPTION_SB, MS_MANDLOCK, .clear = true },
	{ "iversion", OPTION_SB, MS_I_VERSION },
	{ "noiversion", OPTION_SB, MS_I_VERSION, .clear = true },
	{ "silent", OPTION_SB, MS_SILENT },
	{ "loud", OPTION_SB, MS_SILENT, .clear = true },
	{ "shared", OPTION_PROPAGATION, MS_SHARED },
	{ "rshared", OPTION_PROPAGATION, MS_SHARED | MS_REC },
	{ "slave", OPTION_PROPAGATION, MS_SLAVE },
	{ "rslave", OPTION_PROPAGATION, MS_SLAVE | MS_REC },
	{ "private", OPTION_PROPAGATION, MS_PRIVATE },
	{ "rprivate", OPTION_PROPAGATION, MS_PRIVATE | MS_REC },
	{ "unbindable", OPTION_PROPAGATION, MS_UNBINDABLE },
	{ "runbindable", OPTION_PROPAGATION, MS_UNBINDABLE | MS_REC },
	{ "bind", OPTION_BIND },
	{ "rbind", OPTION_RBIND },
	{ "remount", OPTION_REMOUNT },
	{ "tmpcopyup", OPTION_TMPCOPYUP },
	{ "idmap", OPTION_IDMAP },
	{ "ridmap", OPTION_RIDMAP },
	{ "defaults", OPTION_NONE },
};

const char *const *spec_mount_options(void)
{
	static const char *words[SPEC_N(options) + 1];
	for (size_t i = 0; i < SPEC_N(options); i++)
		words[i] = options[i].word;
	return words;
}

/* What accumulates while the options of one mount are read. */
struct reading {
	struct spec_cx *cx;
	const struct at *at; /* of the option */
	struct ctr_mount *m;
	struct ctr_mount_param *params; /* room for one an option */
	size_t n_params_max;
	struct strbuf data;
};

static void set_attr(struct ctr_mount *m, const struct option *o)
{
	uint64_t *set = o->recursive ? &m->rec_attr_set : &m->attr_set;
	uint64_t *clr = o->recursive ? &m->rec_attr_clr : &m->attr_clr;
	uint64_t bits = o->kind == OPTION_ATIME ? (uint64_t)MOUNT_ATTR__ATIME : o->value;
	*set &= ~bits;
	*clr &= ~bits;
	if (o->kind == OPTION_ATIME) {
		*set |= o->value;
		*clr |= MOUNT_ATTR__ATIME;
	} else if (o->clear) {
		*clr |= o->value;
	} else {
		*set |= o->value;
	}
}

static int apply_option(struct reading *r, const struct option *o)
{
	struct ctr_mount *m = r->m;
	switch (o->kind) {
	case OPTION_ATTR:
	case OPTION_ATIME:
		set_attr(m, o);
		break;
	case OPTION_SB:
		m->sb_flags = o->clear ? m->sb_flags & ~o->value : m->sb_flags | o->value;
		break;
	case OPTION_PROPAGATION:
		if (m->n_propagation == CTR_PROPAGATIONS_MAX)
			return spec_fail(r->cx, r->at, NULL, "more than %d changes of propagation",
					 CTR_PROPAGATIONS_MAX);
		m->propagation[m->n_propagation++] = o->value;
		break;
	case OPTION_RBIND:
		m->recursive = true;
		m->bind = true;
		break;
	case OPTION_BIND:
		m->bind = true;
		break;
	case OPTION_REMOUNT:
		m->remount = true;
		break;
	case OPTION_TMPCOPYUP:
		m->tmpcopyup = true;
		break;
	case OPTION_IDMAP:
		m->idmap = CTR_IDMAP_TOP;
		break;
	case OPTION_RIDMAP:
		m->idmap = CTR_IDMAP_RECURSIVE;
		break;
	case OPTION_NONE:
		break;
	}
	return 0;
}

/* Adds one key=value or flag of the file system. @text is cut up in place. */
static int add_param(struct reading *r, char *text)
{
	if (!*text)
		return 0;
	struct ctr_mount *m = r->m;
	if (m->n_params == r->n_params_max)
		return spec_fail(r->cx, r->at, NULL, "too many options");
	if (r->data.len)
		strbuf_putc(&r->data, ',');
	strbuf_puts(&r->data, text);
	struct ctr_mount_param *p = &r->params[m->n_params++];
	char *value = strchr(text, '=');
	if (value == text)
		return spec_fail(r->cx, r->at, NULL, "has no name before \"=\"");
	if (value)
		*value++ = '\0';
	p->key = text;
	p->value = value;
	return 0;
}

/* An option may hold several, as mount(8) has them: "mode=755,size=1m". A comma
 * behind a backslash or in double quotes belongs to the value. */
static int add_params(struct reading *r, const char *option)
{
	size_t size = strlen(option) + 1;
	char *text = spec_new(r->cx, size, 1);
	if (!text)
		return -ENOMEM;
	memcpy(text, option, size);
	bool quoted = false;
	char *start = text;
	for (char *p = text;; p++) {
		if (*p == '\\' && p[1]) {
			p++;
			continue;
		}
		if (*p == '"')
			quoted = !quoted;
		if (*p && (*p != ',' || quoted))
			continue;
		bool last = !*p;
		*p = '\0';
		int rc = add_param(r, start);
		if (rc < 0 || last)
			return rc;
		start = p + 1;
	}
}

/* "UID:GID:MODE" */
static int read_memory(struct reading *r, const char *text)
{
	unsigned long v[3];
	for (int i = 0; i < 3; i++) {
		char *end = NULL;
		errno = 0;
		v[i] = strtoul(text, &end, i == 2 ? 8 : 10);
		if (errno || end == text || *text < '0' || *text > '9' ||
		    *end != (i < 2 ? ':' : '\0') || v[i] > (i == 2 ? 07777UL : UINT32_MAX - 1UL))
			return spec_fail(r->cx, r->at, NULL, "must be " CTR_MEMORY "UID:GID:MODE");
		text = end + 1;
	}
	r->m->memory = true;
	r->m->memory_uid = (uid_t)v[0];
	r->m->memory_gid = (gid_t)v[1];
	r->m->memory_mode = (mode_t)v[2];
	return 0;
}

static int read_option(struct reading *r, const char *text)
{
	if (!strncmp(text, CTR_SUBPATH, strlen(CTR_SUBPATH))) {
		r->m->subpath = text + strlen(CTR_SUBPATH);
		return *r->m->subpath ? 0 : spec_fail(r->cx, r->at, NULL, "names no path");
	}
	if (!strncmp(text, CTR_MEMORY, strlen(CTR_MEMORY)))
		return read_memory(r, text + strlen(CTR_MEMORY));
	for (size_t i = 0; i < SPEC_N(options); i++)
		if (!strcmp(options[i].word, text))
			return apply_option(r, &options[i]);
	return add_params(r, text);
}

/* The superblock flags as fsconfig(2) spells them; silent is not for it. */
static void add_sb_params(struct reading *r)
{
	for (size_t i = 0; i < SPEC_N(options); i++) {
		const struct option *o = &options[i];
		if (o->kind != OPTION_SB || o->clear || !(r->m->sb_flags & o->value) ||
		    o->value == MS_SILENT)
			continue;
		r->params[r->m->n_params++].key = o->word;
	}
}

static size_t count_commas(char **v)
{
	size_t n = 0;
	for (; *v; v++, n++)
		for (const char *p = *v; (p = strchr(p, ',')); p++)
			n++;
	return n;
}

static int read_options(struct spec_cx *cx, const struct at *at, json_object *o,
			struct ctr_mount *m)
{
	char **words = NULL;
	size_t n = 0;
	int rc = spec_strv(cx, at, o, "options", &words, &n);
	if (rc <= 0) {
		m->data = "";
		return rc;
	}
	struct reading r = { .cx = cx, .m = m, .n_params_max = count_commas(words) };
	if (r.n_params_max > OPTIONS_MAX)
		return spec_fail(cx, at, "options", "has more than %d items", OPTIONS_MAX);
	r.params = spec_new(cx, r.n_params_max + SPEC_N(options), sizeof(*r.params));
	if (!r.params)
		return -ENOMEM;
	m->params = r.params;
	const struct at list = { .up = at, .name = "options" };
	for (size_t i = 0; i < n && rc >= 0; i++) {
		const struct at place = { .up = &list, .index = i };
		r.at = &place;
		rc = read_option(&r, words[i]);
	}
	cleanup_strbuf struct strbuf data = r.data;
	if (rc < 0)
		return rc;
	add_sb_params(&r);
	char *copy = spec_new(cx, data.len + 1, 1);
	if (!copy)
		return -ENOMEM;
	if (!strbuf_ok(&data))
		return err_set(cx->err, ENOMEM, "out of memory");
	if (data.len >= DATA_MAX)
		return spec_fail(cx, at, "options", "those of the file system exceed %d bytes",
				 DATA_MAX - 1);
	memcpy(copy, data.text ? data.text : "", data.len);
	m->data = copy;
	return 0;
}

static int check_mount(struct spec_cx *cx, const struct at *at, struct ctr_mount *m)
{
	if (m->bind && m->n_params)
		return spec_fail(cx, at, "options", "a bind mount takes no option \"%.60s\"",
				 m->params[0].key);
	if (m->bind && !m->remount && !*m->source)
		return spec_fail(cx, at, "source", "is missing: what shall be bound?");
	if (m->subpath && (!m->bind || m->remount))
		return spec_fail(cx, at, "options", CTR_SUBPATH " is for bind mounts only");
	if (m->memory && (!m->bind || m->remount || m->subpath || m->idmap != CTR_IDMAP_NO))
		return spec_fail(cx, at, "options", CTR_MEMORY " is for plain bind mounts only");
	if (!m->bind && !m->remount && !*m->type)
		return spec_fail(cx, at, "type", "is missing");
	if (m->remount && m->tmpcopyup)
		return spec_fail(cx, at, "options", "remount and tmpcopyup exclude each other");
	if (m->tmpcopyup && (m->bind || strcmp(m->type, "tmpfs")))
		return spec_fail(cx, at, "options", "tmpcopyup is for type \"tmpfs\" only");
	if (m->uid_maps.n && m->idmap == CTR_IDMAP_NO)
		m->idmap = CTR_IDMAP_TOP;
	if (m->idmap != CTR_IDMAP_NO && (!m->bind || m->remount))
		return spec_fail(cx, at, "options", "an idmapped mount must be a bind mount");
	return 0;
}

static int read_destination(struct spec_cx *cx, const struct at *at, json_object *o,
			    struct ctr_mount *m)
{
	const char *text = NULL;
	int rc = spec_need_str(cx, at, o, "destination", &text);
	if (rc < 0)
		return rc;
	size_t len = strlen(text);
	if (len >= PATH_MAX - 1)
		return spec_fail(cx, at, "destination", "is longer than %d bytes", PATH_MAX - 2);
	m->destination = text;
	if (*text == '/')
		return 0;
	/* Relative ones are deprecated, and relative to "/". */
	char *path = spec_new(cx, len + 2, 1);
	if (!path)
		return -ENOMEM;
	path[0] = '/';
	memcpy(path + 1, text, len);
	m->destination = path;
	return 0;
}

static int read_mount(struct spec_cx *cx, const struct at *at, json_object *o, void *ret)
{
	struct ctr_mount *m = ret;
	*m = (struct ctr_mount){ .type = "", .source = "" };
	int rc = read_destination(cx, at, o, m);
	if (rc < 0 || (rc = spec_str(cx, at, o, "type", &m->type)) < 0 ||
	    (rc = spec_str(cx, at, o, "source", &m->source)) < 0)
		return rc;
	if (!strcmp(m->type, "bind"))
		m->bind = true;
	rc = read_options(cx, at, o, m);
	if (rc < 0 || (rc = spec_parse_idmaps(cx, at, o, "uidMappings", &m->uid_maps)) < 0 ||
	    (rc = spec_parse_idmaps(cx, at, o, "gidMappings", &m->gid_maps)) < 0)
		return rc;
	if (!m->uid_maps.n != !m->gid_maps.n)
		return spec_fail(cx, at, m->uid_maps.n ? "gidMappings" : "uidMappings",
				 "is missing: both or none must be given");
	return check_mount(cx, at, m);
}

int spec_parse_mounts(struct spec_cx *cx, json_object *doc, struct ctr_spec *spec)
{
	int rc = spec_items(cx, NULL, doc, "mounts", MOUNTS_MAX, sizeof(struct ctr_mount),
			    read_mount, &spec->mounts, &spec->n_mounts);
	return rc < 0 ? rc : 0;
}
