/* SPDX-License-Identifier: Apache-2.0 */
/* mounts - see mounts.h. Pure text work in isolad; paths are only cleaned here,
 * the keeper opens them. Docker's rules: API docs of HostConfig.Binds, Mounts,
 * Tmpfs. */
#include "mounts.h"

#include "isola/fd.h"
#include "isola/id.h"
#include "isola/json.h"
#include "isola/lsm.h"
#include "isola/path.h"
#include "isola/strbuf.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TMPFS_DEFAULTS "nosuid,nodev,noexec"

void mount_point_fini(struct mount_point *p)
{
	free(p->source);
	free(p->target);
	free(p->mode);
	free(p->tmpfs);
	free(p->volume);
	free(p->subpath);
	json_object_put(p->labels);
}

void mounts_fini(struct mounts *m)
{
	for (size_t i = 0; i < m->n; i++)
		mount_point_fini(&m->items[i]);
	free(m->items);
	*m = (struct mounts){ NULL, 0 };
}

const struct mount_point *mounts_find(const struct mounts *m, const char *target)
{
	for (size_t i = 0; i < m->n; i++) {
		if (!strcmp(m->items[i].target, target))
			return &m->items[i];
	}
	return NULL;
}

struct mount_point *mounts_next(struct mounts *m)
{
	struct mount_point *items = realloc(m->items, (m->n + 1) * sizeof(*items));
	if (!items)
		return NULL;
	m->items = items;
	items[m->n] = (struct mount_point){ .propagation = "rprivate", .recursive = true };
	return &items[m->n];
}

int mounts_clean(const char *path, char **ret, const char *what, struct err *err)
{
	char buf[PATH_MAX];
	int rc = path_clean(path, buf, sizeof(buf));
	if (rc == -EINVAL)
		return err_set(err, EINVAL, "the %s '%.128s' must be an absolute path", what, path);
	if (rc < 0)
		return err_set(err, EINVAL, "the %s is too long", what);
	*ret = strdup(buf);
	return *ret ? 0 : err_set(err, ENOMEM, "out of memory");
}

int mounts_clean_target(const char *path, char **ret, struct err *err)
{
	char *target = NULL;
	int rc = mounts_clean(path, &target, "mount target", err);
	if (rc < 0)
		return rc;
	if (!target[1]) {
		free(target);
		return err_set(err, EINVAL, "the mount target can't be '/'");
	}
	*ret = target;
	return 0;
}

/* ---- propagation and the options of -v ---- */

static const char *const propagations[] = { "private", "rprivate", "slave",
					    "rslave",  "shared",   "rshared" };

const char *mounts_propagation(const char *name, size_t len)
{
	for (size_t i = 0; i < sizeof(propagations) / sizeof(propagations[0]); i++) {
		if (strlen(propagations[i]) == len && !memcmp(propagations[i], name, len))
			return propagations[i];
	}
	return NULL;
}

bool mounts_is_hint(const char *option, size_t len)
{
	static const char *const names[] = { "consistent", "cached", "delegated" };
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strlen(names[i]) == len && !memcmp(names[i], option, len))
			return true;
	}
	return false;
}

static int contradicts(struct err *err)
{
	return err_set(err, EINVAL, "'ro' and 'rw' exclude each other");
}

static int apply_option(struct mount_point *p, const char *option, size_t len, struct err *err)
{
	const char *propagation = mounts_propagation(option, len);
	if (propagation && p->kind == MOUNT_VOLUME)
		return err_set(err, EINVAL,
			       "propagation (%s) goes with a folder of the host, not with a volume",
			       propagation);
	if (propagation) {
		p->propagation = propagation;
		return 0;
	}
	/* A bind never copies. */
	if (len == 6 && !memcmp(option, "nocopy", 6)) {
		p->no_copy = true;
		return 0;
	}
	/* As with Docker, "ro" is of all that is mounted below, too; "rro" says so. */
	if ((len == 2 && !memcmp(option, "ro", 2)) || (len == 3 && !memcmp(option, "rro", 3))) {
		p->read_only = true;
		return p->writable ? contradicts(err) : 0;
	}
	if (len == 2 && !memcmp(option, "rw", 2)) {
		p->writable = true;
		return p->read_only ? contradicts(err) : 0;
	}
	/* Ours: for file systems that cannot be idmapped (sysfs, procfs, NFS, before
	 * Linux 6.3 tmpfs). */
	if (len == 7 && !memcmp(option, "noidmap", 7)) {
		p->unmapped = true;
		return 0;
	}
	/* Without SELinux there are no labels, so nothing is left undone. */
	if (len == 1 && (*option == 'z' || *option == 'Z') && !lsm_has_selinux())
		return 0;
	if (len == 1 && (*option == 'z' || *option == 'Z'))
		return err_set(err, EOPNOTSUPP,
			       "option '%c' (SELinux relabelling) is not supported yet: label the "
			       "folder on the host with chcon",
			       *option);
	if (mounts_is_hint(option, len))
		return 0;
	return err_set(err, EINVAL, "unknown mount option '%.*s'", (int)(len > 64 ? 64 : len),
		       option);
}

static int apply_options(struct mount_point *p, const char *options, struct err *err)
{
	while (*options) {
		size_t len = strcspn(options, ",");
		int rc = apply_option(p, options, len, err);
		if (rc < 0)
			return rc;
		options += len;
		options += *options == ',';
	}
	return 0;
}

/* ---- Binds ---- */

int mounts_set_volume(struct mount_point *p, const char *name, struct err *err)
{
	if (!id_is_name(name))
		return err_set(err, EINVAL,
			       "'%.64s' is no volume name ([a-zA-Z0-9][a-zA-Z0-9_.-]+); a folder "
			       "of the host is named by its absolute path",
			       name);
	p->volume = strdup(name);
	return p->volume ? 0 : err_set(err, ENOMEM, "out of memory");
}

/* "source:target[:options]" or, for an anonymous volume, "target". A colon cannot be
 * quoted, as in Docker. */
static int parse_bind(const char *text, struct mount_point *p, struct err *err)
{
	const char *colon = strchr(text, ':');
	const char *target = colon ? colon + 1 : text, *rest = colon ? strchr(target, ':') : NULL;
	if (rest && strchr(rest + 1, ':'))
		return err_set(err, EINVAL,
			       "invalid volume specification: expected source:target[:options]");
	cleanup_free char *source = colon ? strndup(text, (size_t)(colon - text)) : strdup("");
	cleanup_free char *target_text =
		rest ? strndup(target, (size_t)(rest - target)) : strdup(target);
	p->mode = strdup(rest ? rest + 1 : "");
	if (!source || !target_text || !p->mode)
		return err_set(err, ENOMEM, "out of memory");
	int rc = mounts_clean_target(target_text, &p->target, err);
	if (rc < 0)
		return rc;
	if (colon && !*source)
		return err_set(err, EINVAL, "invalid volume specification: the source is empty");
	p->listed = true;
	p->anonymous = !colon;
	p->kind = *source == '/' ? MOUNT_BIND : MOUNT_VOLUME;
	p->make_source = p->kind == MOUNT_BIND;
	if (p->kind == MOUNT_BIND)
		rc = mounts_clean(source, &p->source, "source", err);
	else if (colon)
		rc = mounts_set_volume(p, source, err);
	return rc < 0 ? rc : apply_options(p, p->mode, err);
}

static int add_binds(struct mounts *m, json_object *binds, struct err *err)
{
	for (size_t i = 0; i < json_len(binds); i++) {
		struct mount_point *p = mounts_next(m);
		if (!p)
			return err_set(err, ENOMEM, "out of memory");
		const char *text = json_item_str(binds, i);
		int rc = parse_bind(text, p, err);
		if (rc < 0) {
			mount_point_fini(p);
			(void)err_prefix(err, "HostConfig.Binds (-v) '%.128s'", text);
			return rc;
		}
		m->n++;
	}
	return 0;
}

/* ---- Tmpfs ---- */

/* What tmpfs(5) and mount(8) know; a trailing "=" asks for a value. */
static const char *const tmpfs_options[] = {
	"defaults",   "ro",       "rw",         "suid",        "nosuid",
	"dev",        "nodev",    "exec",       "noexec",      "sync",
	"async",      "dirsync",  "atime",      "noatime",     "diratime",
	"nodiratime", "relatime", "norelatime", "strictatime", "nostrictatime",
	"size=",      "mode=",    "uid=",       "gid=",        "nr_inodes=",
	"nr_blocks=", "mpol=",    "huge=",
};

static bool is_tmpfs_option(const char *option, size_t len)
{
	for (size_t i = 0; i < sizeof(tmpfs_options) / sizeof(tmpfs_options[0]); i++) {
		size_t n = strlen(tmpfs_options[i]);
		bool valued = tmpfs_options[i][n - 1] == '=';
		if ((valued ? len > n : len == n) && !memcmp(tmpfs_options[i], option, n))
			return true;
	}
	return false;
}

int mounts_finish_tmpfs(struct mount_point *p, struct err *err)
{
	cleanup_strbuf struct strbuf b = STRBUF_INIT;
	strbuf_puts(&b, TMPFS_DEFAULTS);
	for (const char *o = p->mode; *o;) {
		size_t len = strcspn(o, ",");
		if (len && !is_tmpfs_option(o, len))
			return err_set(err, EINVAL, "unknown tmpfs option '%.*s'",
				       (int)(len > 64 ? 64 : len), o);
		if (len == 2 && !memcmp(o, "ro", 2))
			p->read_only = true;
		if (len && !(len == 8 && !memcmp(o, "defaults", 8))) {
			strbuf_putc(&b, ',');
			strbuf_add(&b, o, len);
		}
		o += len;
		o += *o == ',';
	}
	p->kind = MOUNT_TMPFS;
	p->tmpfs = strbuf_take(&b);
	return p->tmpfs ? 0 : err_set(err, ENOMEM, "out of memory");
}

static int add_tmpfs(struct mounts *m, json_object *tmpfs, struct err *err)
{
	if (!tmpfs)
		return 0;
	json_object_object_foreach (tmpfs, target, options) {
		struct mount_point *p = mounts_next(m);
		if (!p)
			return err_set(err, ENOMEM, "out of memory");
		p->mode = strdup(options ? json_object_get_string(options) : "");
		int rc = p->mode ? mounts_clean_target(target, &p->target, err)
				 : err_set(err, ENOMEM, "out of memory");
		if (rc >= 0)
			rc = mounts_finish_tmpfs(p, err);
		if (rc < 0) {
			mount_point_fini(p);
			(void)err_prefix(err, "HostConfig.Tmpfs (--tmpfs) '%.128s'", target);
			return rc;
		}
		m->n++;
	}
	return 0;
}

/* ---- Mounts ---- */

static int add_mounts(struct mounts *m, json_object *mounts, struct err *err)
{
	for (size_t i = 0; i < json_len(mounts); i++) {
		struct mount_point *p = mounts_next(m);
		if (!p)
			return err_set(err, ENOMEM, "out of memory");
		int rc = mounts_parse_mount(json_object_array_get_idx(mounts, i), p, err);
		if (rc < 0) {
			mount_point_fini(p);
			(void)err_prefix(err, "HostConfig.Mounts[%zu] (--mount)", i);
			return rc;
		}
		m->n++;
	}
	return 0;
}

/* ---- all ---- */

static int compare_targets(const void *a, const void *b)
{
	return strcmp(((const struct mount_point *)a)->target,
		      ((const struct mount_point *)b)->target);
}

/* By text a parent sorts before what is below it ("/a" < "/a/b"). */
void mounts_sort(struct mounts *m)
{
	if (m->n > 1)
		qsort(m->items, m->n, sizeof(m->items[0]), compare_targets);
}

int mounts_parse(json_object *host_config, struct mounts *ret, struct err *err)
{
	cleanup_mounts struct mounts m = { NULL, 0 };
	int rc = add_binds(&m, json_get(host_config, "Binds"), err);
	if (rc >= 0)
		rc = add_mounts(&m, json_get(host_config, "Mounts"), err);
	if (rc >= 0)
		rc = add_tmpfs(&m, json_get(host_config, "Tmpfs"), err);
	if (rc < 0)
		return rc;
	mounts_sort(&m);
	for (size_t i = 1; i < m.n; i++) {
		if (!strcmp(m.items[i - 1].target, m.items[i].target))
			return err_set(err, EINVAL, "Duplicate mount point: %.128s",
				       m.items[i].target);
	}
	*ret = m;
	m = (struct mounts){ NULL, 0 };
	return 0;
}
