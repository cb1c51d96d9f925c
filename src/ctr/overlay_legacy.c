/* SPDX-License-Identifier: Apache-2.0 */
/* overlay_legacy - see overlay_legacy.h. */
#include "overlay_legacy.h"

#include "scratch.h"

#include "isola/fd.h"
#include "isola/strbuf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>

#define OPTIONS_MAX 4095 /* mount(2) takes one page */

/* Attaches @tree to a new folder @name of the current one. */
static int attach_as(const char *name, int tree, struct err *err)
{
	if (mkdir(name, 0700) < 0)
		return err_sys(err, "cannot make a mount point");
	if (tree >= 0 && move_mount(tree, "", AT_FDCWD, name, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return err_sys(err, "cannot attach a layer");
	return 0;
}

static int add_layers(const struct ctr_root *root, const struct overlay_layers *l,
		      struct strbuf *options, struct err *err)
{
	char name[24];
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < l->n; i++) {
		(void)snprintf(name, sizeof(name), "%zu", i);
		rc = attach_as(name, l->lower[i], err);
		strbuf_printf(options, "%s%s", i ? ":" : "lowerdir=", name);
	}
	if (rc == 0 && l->writable >= 0) {
		rc = attach_as("w", l->writable, err);
		strbuf_printf(options, ",upperdir=w/%s,workdir=w/%s", l->upper, l->work);
	}
	for (const struct overlay_option *o = overlay_options; o->key; o++)
		strbuf_printf(options, ",%s=%s", o->key, o->value);
	if (root->volatile_upper && l->writable >= 0)
		strbuf_puts(options, ",volatile");
	if (rc == 0 && (!strbuf_ok(options) || options->len > OPTIONS_MAX))
		rc = err_set(err, E2BIG, "too many layers for this kernel (%zu)", l->n);
	return rc;
}

struct mounting {
	const struct ctr_root *root;
	const struct overlay_ids *ids;
	const struct overlay_layers *l;
};

static int mount_here(void *arg, size_t i, struct err *err)
{
	const struct mounting *m = arg;
	cleanup_strbuf struct strbuf options = STRBUF_INIT;
	(void)i; /* there is but one */
	int rc = add_layers(m->root, m->l, &options, err);
	if (rc == 0)
		rc = attach_as("m", -1, err);
	if (rc < 0)
		return rc;
	overlay_become(m->ids);
	if (mount("overlay", "m", "overlay", 0, options.text) < 0)
		return err_sys(err, "cannot mount overlay (%s)", options.text);
	int tree = open_tree(AT_FDCWD, "m", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	return tree < 0 ? err_sys(err, "cannot clone the overlay") : tree;
}

int overlay_mount_by_name(const struct ctr_root *root, const struct overlay_ids *ids,
			  const struct overlay_layers *l, struct err *err)
{
	struct mounting m = { root, ids, l };
	int tree = -1;
	int rc = scratch_trees(mount_here, &m, 1, &tree, err);
	return rc < 0 ? rc : tree;
}
