/* SPDX-License-Identifier: Apache-2.0 */
/* boot - see boot.h. The root is the first file system that looks like one; kernels
 * on it are better than those on another part, which is then its /boot. */
#include "boot.h"

#include "extfs.h"
#include "isola/json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define KERNEL_BYTES_MAX (256ULL * 1024 * 1024)
#define INITRD_BYTES_MAX (1024ULL * 1024 * 1024)

struct found {
	bool root, kernel;
	struct part root_part, kernel_part;
	struct extfs_kernel boot;
};

static void look_at(const struct disk *disk, const struct part *part, struct found *f)
{
	struct extfs_kernel k;
	struct extfs *fs = extfs_open(disk, part);
	if (!fs)
		return;
	bool is_root = !f->root && extfs_is_root(fs);
	if (is_root) {
		f->root = true;
		f->root_part = *part;
	}
	if ((!f->kernel || is_root) && extfs_newest(fs, &k)) {
		f->kernel = true;
		f->kernel_part = *part;
		f->boot = k;
	}
	extfs_close(fs);
}

/* Other file systems that a root may be, by their magic numbers. */
static bool is_other_root(const struct disk *disk, const struct part *part)
{
	static const struct {
		uint64_t at;
		const char *magic;
		size_t size;
	} rows[] = {
		{ 1024, "\xe2\xe1\xf5\xe0", 4 }, /* EROFS */
		{ 0, "hsqs", 4 },                /* SquashFS */
		{ 0, "XFSB", 4 },                /* XFS */
		{ 0x10040, "_BHRfS_M", 8 },      /* Btrfs */
		{ 0x438, "\x53\xef", 2 },        /* ext, with nothing of a root yet */
	};
	char buf[8];
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (part->size > rows[i].at + rows[i].size &&
		    disk_read(disk, part->start + rows[i].at, buf, rows[i].size) &&
		    !memcmp(buf, rows[i].magic, rows[i].size))
			return true;
	return false;
}

static void look_everywhere(const struct disk *disk, struct found *f)
{
	struct part parts[PARTS_MAX];
	size_t n = disk_parts(disk, parts);
	for (size_t i = 0; i < n; i++)
		look_at(disk, &parts[i], f);
	for (size_t i = 0; i < n && !f->root; i++) {
		if (!is_other_root(disk, &parts[i]))
			continue;
		f->root = true;
		f->root_part = parts[i];
	}
}

static void add_root(json_object *o, const struct part *part)
{
	char text[64];
	(void)snprintf(text, sizeof(text), part->number ? "root=PARTUUID=%s" : "root=/dev/vda%s",
		       part->uuid);
	json_add_str(o, "root", text);
}

static int copy(const struct disk *disk, const struct found *f, int kernel_fd, int initrd_fd,
		struct err *err)
{
	struct extfs *fs = extfs_open(disk, &f->kernel_part);
	if (!fs)
		return err_set(err, EIO, "the disk's file system cannot be opened again");
	int rc = extfs_copy(fs, f->boot.kernel, KERNEL_BYTES_MAX, kernel_fd, err);
	if (rc == 0 && f->boot.initrd)
		rc = extfs_copy(fs, f->boot.initrd, INITRD_BYTES_MAX, initrd_fd, err);
	extfs_close(fs);
	return rc;
}

int boot_find(const struct disk *disk, int kernel_fd, int initrd_fd, json_object **ret,
	      struct err *err)
{
	struct found f = { .root = false };
	look_everywhere(disk, &f);
	if (f.kernel) {
		int rc = copy(disk, &f, kernel_fd, initrd_fd, err);
		if (rc < 0)
			return rc;
	}
	json_object *o = json_object_new_object();
	if (f.root)
		add_root(o, &f.root_part);
	if (f.kernel) {
		json_add_str(o, "release", f.boot.version);
		json_add_bool(o, "initrd", f.boot.initrd != 0);
	}
	*ret = o;
	return 0;
}
