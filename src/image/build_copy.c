/* SPDX-License-Identifier: Apache-2.0 */
/* build_copy - COPY and ADD: which sources, from where, to where, as whose; what they
 * are goes into the cache's key by content (Docker's Dockerfile reference, "COPY").
 * Runs in isola-image. */
#include "build_priv.h"

#include "isola/fd.h"
#include "isola/ignore.h"
#include "isola/json.h"
#include "isola/num.h"
#include "isola/path.h"
#include "change.h"
#include "collect.h"
#include "owner.h"
#include "progress.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define USERS_BYTES_MAX ((size_t)1024 * 1024)
#define SOURCES_MAX     100000

struct copy {
	struct build *b;
	const struct step *step;
	json_object *words;   /* sources, then the destination; owned */
	json_object *sources; /* paths without links, those that match; owned */
	struct stack image;   /* of --from, else unused */
	const struct stack *from;
	char *chown, *chmod, *origin; /* of the flags, expanded; owned or NULL */
	bool folder;                  /* the destination ends in a slash */
	char to[PATH_MAX];            /* absolute */
	uid_t uid;
	gid_t gid;
	mode_t mode;
};

static void copy_fini(struct copy *c)
{
	json_object_put(c->words);
	json_object_put(c->sources);
	stack_fini(&c->image);
	free(c->chown);
	free(c->chmod);
	free(c->origin);
}

/* ---- words ---- */

static int expand_words(struct copy *c, struct err *err)
{
	struct words_scope scope;
	scope_of(c->b, &scope);
	int rc = change_list(c->step->args, &scope, &c->words, err);
	json_object_put(scope.env);
	if (rc != 0)
		return rc < 0 ? rc : 0;
	/* White space separates, before any variable is replaced; quotes do not hold it
	 * together. */
	c->words = json_object_new_array();
	for (const char *p = c->step->args + strspn(c->step->args, " \t"); *p;) {
		size_t n = strcspn(p, " \t");
		cleanup_free char *word = strndup(p, n), *text = NULL;
		if (!word || !c->words)
			return err_set(err, ENOMEM, "out of memory");
		rc = scope_expand(c->b, word, &text, err);
		if (rc < 0)
			return rc;
		(void)json_object_array_add(c->words, json_object_new_string(text));
		p += n + strspn(p + n, " \t");
	}
	return 0;
}

static int expand_flags(struct copy *c, struct err *err)
{
	int rc = 0;
	if (c->step->chown)
		rc = scope_expand(c->b, c->step->chown, &c->chown, err);
	if (rc == 0 && c->step->chmod)
		rc = scope_expand(c->b, c->step->chmod, &c->chmod, err);
	if (rc == 0 && c->step->from)
		rc = scope_expand(c->b, c->step->from, &c->origin, err);
	if (rc == 0 && c->chmod) {
		char *end = NULL;
		unsigned long mode = strtoul(c->chmod, &end, 8);
		if (!*c->chmod || *end || mode > 07777 || *c->chmod == '-')
			return err_set(err, EINVAL,
				       "--chmod=%.50s: the mode must be an octal number, 0 to 7777",
				       c->chmod);
		c->mode = (mode_t)mode;
	}
	return rc;
}

static const char *word_at(const struct copy *c, size_t i)
{
	return json_item_str(c->words, i);
}

static int set_destination(struct copy *c, struct err *err)
{
	char joined[2 * PATH_MAX];
	size_t n = json_len(c->words);
	if (n < 2)
		return err_set(err, EINVAL, "%s requires at least two arguments", c->step->name);
	const char *to = word_at(c, n - 1);
	size_t len = strlen(to);
	if (!len)
		return err_set(err, EINVAL, "%s: the destination is empty", c->step->name);
	c->folder =
		to[len - 1] == '/' || !strcmp(to, ".") || (len > 1 && !strcmp(to + len - 2, "/."));
	int size = snprintf(joined, sizeof(joined), "/%s/%s",
			    *to == '/' ? "" : json_str_or(c->b->config, "WorkingDir", ""), to);
	if (size >= (int)sizeof(joined) || path_clean(joined, c->to, sizeof(c->to)) < 0)
		return err_set(err, ENAMETOOLONG, "%s: the destination is too long", c->step->name);
	if (n > 2 && !c->folder)
		return err_set(err, EINVAL,
			       "When using %s with more than one source file, the destination "
			       "must be a directory and end with a /",
			       c->step->name);
	return 0;
}

/* ---- sources ---- */

static int open_origin(struct copy *c, struct err *err)
{
	cleanup_json json_object *record = NULL;
	char id[DIGEST_SIZE];
	c->from = &c->b->context;
	if (!c->origin)
		return 0;
	const struct stage *stage = build_find_stage(c->b, c->origin);
	if (stage && !*stage->id)
		return err_set(err, EINVAL, "--from=%.100s: that stage made no image", c->origin);
	int rc = build_find_image(c->b, stage ? stage->id : c->origin, false, NULL, id, &record,
				  err);
	if (rc == 0)
		rc = stack_of_image(c->b->job->store, record, &c->image, err);
	c->from = &c->image;
	return rc < 0 ? err_prefix(err, "--from=%.100s", c->origin) : 0;
}

static bool has_wildcard(const char *text)
{
	for (; *text; text++) {
		if (*text == '\\' && text[1])
			text++;
		else if (strchr("*?[", *text))
			return true;
	}
	return false;
}

static bool is_url(const char *text)
{
	static const char *const heads[] = { "http://", "https://", "git@", "git://", "ssh://" };
	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++)
		if (!strncmp(text, heads[i], strlen(heads[i])))
			return true;
	return false;
}

static int add_source(struct copy *c, const char *path, struct err *err)
{
	if (json_len(c->sources) >= SOURCES_MAX)
		return err_set(err, E2BIG, "more than %d sources", SOURCES_MAX);
	(void)json_object_array_add(c->sources, json_object_new_string(path));
	return 0;
}

struct globbing {
	struct copy *c;
	const char *pattern;
};

static int match_one(void *arg, int dir_fd, const char *name, const char *path,
		     const struct stat *st, struct err *err)
{
	const struct globbing *g = arg;
	(void)dir_fd;
	(void)name;
	(void)st;
	int rc = ignore_glob(g->pattern, path, false);
	if (rc < 0)
		return err_set(err, EINVAL, "malformed pattern \"%.200s\"", g->pattern);
	return rc ? add_source(g->c, path, err) : 0;
}

static int find_one(struct copy *c, const char *clean, const char *text, struct err *err)
{
	struct stack_spot spot;
	int rc = stack_find(c->from, clean, true, &spot, err);
	if (rc == -ENOTDIR || (rc == 0 && !spot.exists))
		return err_set(err, ENOENT,
			       "%s failed: file not found in build context or excluded by "
			       ".dockerignore: stat %.300s: file does not exist",
			       c->step->name, text);
	/* By its own name, should it be a link. */
	if (rc == 0)
		rc = stack_find(c->from, clean, false, &spot, err);
	return rc < 0 ? rc : add_source(c, spot.path, err);
}

static int find_sources(struct copy *c, struct err *err)
{
	int rc = 0;
	c->sources = json_object_new_array();
	for (size_t i = 0; rc == 0 && i + 1 < json_len(c->words); i++) {
		const char *text = word_at(c, i);
		char joined[PATH_MAX + 2], clean[PATH_MAX];
		if (c->step->kind == INSTR_ADD && is_url(text))
			return err_set(err, EOPNOTSUPP,
				       "ADD %.200s: ADD from a URL is not supported: fetch it in a "
				       "RUN, or before the build",
				       text);
		if (snprintf(joined, sizeof(joined), "/%s", text) >= (int)sizeof(joined) ||
		    path_clean(joined, clean, sizeof(clean)) < 0)
			return err_set(err, ENAMETOOLONG, "a source's path is too long");
		struct globbing g = { c, clean + 1 };
		size_t before = json_len(c->sources);
		if (!has_wildcard(text))
			rc = find_one(c, clean, text, err);
		else
			rc = stack_walk(c->from, "", c->b->limits->entries, match_one, &g, err);
		if (rc == 0 && json_len(c->sources) == before)
			rc = err_set(err, ENOENT,
				     "%s failed: no source files were specified: "
				     "nothing matches \"%.200s\"",
				     c->step->name, text);
	}
	return rc;
}

/* ---- whose ---- */

static int id_of(const char *name, const char *users, unsigned int field, uint32_t *ret)
{
	int64_t v;
	if (num_parse_range(name, 0, UINT32_MAX - 1, &v) == 0) {
		*ret = (uint32_t)v;
		return 0;
	}
	return users ? owner_field(users, name, 0, field, ret) : -ENOENT;
}

/* "user[:group]", by the image's own files; without a group the user's number is the
 * group's, too. */
static int find_owner(struct copy *c, const struct stack *root, struct err *err)
{
	cleanup_free char *users = NULL, *groups = NULL, *name = NULL;
	if (!c->chown)
		return 0;
	const char *colon = strchr(c->chown, ':');
	int rc = stack_read(root, "/etc/passwd", USERS_BYTES_MAX, &users, NULL, err);
	if (rc == 0)
		rc = stack_read(root, "/etc/group", USERS_BYTES_MAX, &groups, NULL, err);
	if (rc < 0)
		return rc;
	name = strndup(c->chown, colon ? (size_t)(colon - c->chown) : strlen(c->chown));
	if (!name)
		return err_set(err, ENOMEM, "out of memory");
	if (id_of(name, users, 2, &c->uid) < 0)
		return err_set(err, EINVAL,
			       "--chown: unable to convert uid/gid chown string to host mapping: "
			       "can't find uid for user %.100s: no such user: %.100s",
			       name, name);
	c->gid = c->uid;
	if (colon && id_of(colon + 1, groups, 2, &c->gid) < 0)
		return err_set(err, EINVAL,
			       "--chown: can't find gid for group %.100s: no such group",
			       colon + 1);
	return 0;
}

/* ---- into the layer ---- */

static const char *last_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

static int below(const char *dir, const char *name, char ret[PATH_MAX], struct err *err)
{
	int n = snprintf(ret, PATH_MAX, "%s%s%s", dir, *dir && *name ? "/" : "", name);
	return n >= PATH_MAX ? err_set(err, ENAMETOOLONG, "the path is too long") : 0;
}

static int not_folder(const struct copy *c, struct err *err)
{
	return err_set(err, ENOTDIR, "%s failed: %.300s: not a directory", c->step->name, c->to);
}

/* Where things go: a folder that gets them, or the name of the one file. */
struct target {
	char path[PATH_MAX]; /* without links */
	bool exists, folder;
	bool with_parents; /* its folders are in the layer already */
};

static int find_target(struct copy *c, const struct stack *root, struct target *ret,
		       struct err *err)
{
	struct stack_spot spot;
	int rc = stack_find(root, c->to, true, &spot, err);
	if (rc == -ENOTDIR)
		return not_folder(c, err);
	if (rc < 0)
		return rc;
	strcpy(ret->path, spot.path);
	ret->exists = spot.exists;
	ret->folder = spot.exists && S_ISDIR(spot.st.st_mode);
	if (spot.exists && !ret->folder && c->folder)
		return not_folder(c, err);
	return 0;
}

static int put_parents(const struct copy *c, struct copying *w, struct target *t, bool folder,
		       struct err *err)
{
	if (t->with_parents)
		return 0;
	if (folder && t->exists && !t->folder)
		return not_folder(c, err);
	t->with_parents = true;
	return files_parents(w, t->path, folder, err);
}

static int put_source(struct copy *c, struct copying *w, struct target *t, const char *path,
		      struct err *err)
{
	struct stack_spot spot;
	char as[PATH_MAX];
	int rc = stack_find(c->from, path, true, &spot, err);
	if (rc == 0 && !spot.exists)
		rc = err_set(err, ENOENT, "%.300s is a link to nothing", path);
	if (rc < 0)
		return rc;
	bool folder = S_ISDIR(spot.st.st_mode);
	int archive = 0;
	if (c->step->kind == INSTR_ADD && S_ISREG(spot.st.st_mode)) {
		archive = archive_is_one(w, spot.path, err);
		if (archive < 0)
			return archive;
	}
	bool into = folder || archive || t->folder || c->folder || json_len(c->sources) > 1;
	rc = put_parents(c, w, t, into, err);
	if (rc < 0)
		return rc;
	if (folder)
		return files_below(w, spot.path, t->path, err);
	if (archive)
		return archive_below(w, spot.path, t->path, err);
	rc = below(t->path, into ? last_of(path) : "", as, err);
	return rc < 0 ? rc : files_one(w, spot.path, as, err);
}

static int put_all(struct copy *c, struct derive *d, struct err *err)
{
	cleanup_stack struct stack root = STACK_INIT;
	cleanup_layer_out struct layer_out out = LAYER_OUT_INIT;
	struct target t = { .exists = false };
	int rc = build_root(c->b, &root, err);
	if (rc == 0)
		rc = find_owner(c, &root, err);
	if (rc == 0)
		rc = find_target(c, &root, &t, err);
	if (rc == 0)
		rc = layer_out_begin(c->b->job, c->b->limits->bytes, &out, err);
	if (rc < 0)
		return rc;
	struct pack_options pack = { .out = out.tar,
				     .proc_fd = c->b->proc_fd,
				     .shallow = true,
				     .fixed_owner = true,
				     .uid = c->uid,
				     .gid = c->gid,
				     .fixed_mode = c->chmod != NULL,
				     .mode = c->mode };
	struct copying w = { .b = c->b,
			     .from = c->from,
			     .onto = &root,
			     .out = &out,
			     .pack = &pack,
			     .chowned = c->chown != NULL };
	rc = pack_new(&pack, &w.packer, err);
	for (size_t i = 0; rc == 0 && i < json_len(c->sources); i++)
		rc = put_source(c, &w, &t, json_item_str(c->sources, i), err);
	pack_free(w.packer);
	return rc < 0 ? rc : layer_out_end(&out, d, err);
}

/* ---- the step ---- */

/* "COPY --chown=1:1 file:HASH in /x ": what it is called in a history, and its key. */
static int describe(struct copy *c, char **ret, struct err *err)
{
	cleanup_hasher struct hasher *h = NULL;
	char digest[DIGEST_SIZE];
	size_t n = json_len(c->sources);
	const char *kind = "multi";
	int rc = hasher_new(&h, err);
	struct copying w = { .b = c->b, .from = c->from, .hasher = h };
	for (size_t i = 0; rc == 0 && i < n; i++) {
		struct stack_spot spot;
		const char *path = json_item_str(c->sources, i);
		rc = stack_find(c->from, path, true, &spot, err);
		if (rc < 0)
			break;
		if (n == 1)
			kind = S_ISDIR(spot.st.st_mode) ? "dir" : "file";
		/* A folder's own name goes nowhere. */
		const char *name = S_ISDIR(spot.st.st_mode) ? "" : last_of(path);
		hasher_add(h, name, strlen(name) + 1);
		rc = files_hash(&w, spot.path, err);
	}
	if (rc < 0)
		return rc;
	if (hasher_end(h, digest) < 0)
		return err_set(err, EIO, "SHA-256 failed");
	struct strbuf b = STRBUF_INIT;
	strbuf_printf(&b, "%s ", c->step->name);
	if (c->chown)
		strbuf_printf(&b, "--chown=%s ", c->chown);
	if (c->chmod)
		strbuf_printf(&b, "--chmod=%s ", c->chmod);
	strbuf_printf(&b, "%s:%s in %s%s ", kind, digest_hex(digest), c->to,
		      c->folder && c->to[1] ? "/" : "");
	*ret = strbuf_take(&b);
	return *ret ? 0 : err_set(err, ENOMEM, "out of memory");
}

static int commit(struct copy *c, const char *text, struct err *err)
{
	cleanup_derive struct derive d = DERIVE_INIT;
	char key[DIGEST_SIZE];
	cleanup_free char *by = step_nop(c->b, text);
	if (!by)
		return err_set(err, ENOMEM, "out of memory");
	int rc = step_cached(c->b, text, key, err);
	if (rc != 0)
		return rc < 0 ? rc : 0;
	rc = derive_from(c->b->job, c->b->id, &d, err);
	if (rc == 0)
		rc = put_all(c, &d, err);
	d.key = key;
	return rc < 0 ? rc : step_commit(c->b, &d, by, err);
}

static int copy_step(struct copy *c, struct err *err)
{
	cleanup_free char *text = NULL;
	int rc = expand_words(c, err);
	if (rc == 0)
		rc = expand_flags(c, err);
	if (rc == 0)
		rc = set_destination(c, err);
	if (rc == 0)
		rc = open_origin(c, err);
	if (rc == 0)
		rc = find_sources(c, err);
	if (rc == 0 && json_len(c->sources) > 1 && !c->folder)
		rc = err_set(err, EINVAL,
			     "When using %s with more than one source file, the destination must "
			     "be a directory and end with a /",
			     c->step->name);
	if (rc == 0)
		rc = describe(c, &text, err);
	return rc < 0 ? rc : commit(c, text, err);
}

int step_copy(struct build *b, const struct step *s, struct err *err)
{
	struct copy c = { .b = b, .step = s };
	int rc = copy_step(&c, err);
	copy_fini(&c);
	return rc;
}
