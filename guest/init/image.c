/* SPDX-License-Identifier: Apache-2.0 */
/* image - a root whose image is a device of the guest's, and whose writable layer the host
 * serves (GF_IMAGE): an overlay of both. Its marks are user.overlay.*, since whoever serves
 * the layer has no right to others. Where it is put together, image and served tree are
 * beside the root, and go from there when all is mounted that is wanted of them. In init's
 * own mounts what is served stays, for what comes later; it cannot be mounted once more, as
 * Linux may find one of the file systems within (virtio_fs_test_super(), 6.1). */
#include "init.h"

#include "tree.h"

#include "isola/fd.h"
#include "isola/path.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

/* A driver may still be at work on the device when the host speaks first. */
#define WAIT_MS  10000
#define PAUSE_US 500
#define BIND_FLAGS                                                                                 \
	(MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME | MS_RELATIME)

void image_place(const struct guest *g, const char *which, char ret[IMAGE_PATH])
{
	(void)snprintf(ret, IMAGE_PATH, "%s.%s", g->place, which);
}

static int mount_part(const struct mount_spec *m, const char *place, unsigned long flags,
		      const char *data, struct err *err)
{
	bool is_bind = !strcmp(m->type, "bind");
	if (mkdir(place, 0755) < 0 && errno != EEXIST)
		return err_sys(err, "cannot make a place for the root");
	if (mount(m->source, place, m->type, flags | (is_bind ? MS_BIND | MS_REC : 0), data) < 0)
		return err_sys(err, "cannot mount the root (%s %s)", m->type,
			       m->source ? m->source : "");
	return 0;
}

static int wait_for_source(const struct mount_spec *m, struct err *err)
{
	int64_t until = now_ms() + WAIT_MS;
	while (access(m->source ? m->source : "/", F_OK) < 0) {
		if (now_ms() > until)
			return err_sys(err, "the image is not there (%s)", m->source);
		(void)usleep(PAUSE_US);
	}
	return 0;
}

/* By DAX the host's pages are the guest's; where that is not possible, through its cache. */
static int mount_image(const struct mount_spec *m, const char *place, struct err *err)
{
	struct err ignored;
	int rc = wait_for_source(m, err);
	if (rc == 0 && !strcmp(m->type, "erofs") &&
	    mount_part(m, place, m->flags | MS_RDONLY, "dax=always", &ignored) == 0)
		return 0;
	return rc < 0 ? rc : mount_part(m, place, m->flags | MS_RDONLY, m->data, err);
}

int image_serve(const struct guest *g, struct err *err)
{
	char place[IMAGE_PATH];
	struct tlv_field f;
	struct mount_spec served;
	if (tlv_find(g->setup, g->setup_size, GF_IMAGE, &f) <= 0)
		return 0;
	if (tlv_find(g->setup, g->setup_size, GF_ROOT, &f) <= 0 ||
	    mount_spec_parse(f.data, f.size, &served) < 0)
		return err_set(err, EPROTO, "isola-keeper told of no root");
	image_place(g, "served", place);
	return mount_part(&served, place, served.flags, served.data, err);
}

int image_mount(const struct guest *g, const struct mount_spec *image, struct err *err)
{
	char lower[IMAGE_PATH], tree[IMAGE_PATH], options[3 * IMAGE_PATH + 128];
	image_place(g, "image", lower);
	image_place(g, "served", tree);
	load_modules(image->type);
	load_modules("overlay");
	int rc = mount_image(image, lower, err);
	(void)snprintf(options, sizeof(options),
		       "lowerdir=%s,upperdir=%s/layer/upper,workdir=%s/layer/work,userxattr", lower,
		       tree, tree);
	if (rc == 0 && mount("overlay", g->place, "overlay", 0, options) < 0)
		rc = err_sys(err, "cannot lay the container's files over the image");
	return rc;
}

#define SOURCE_PATH (IMAGE_PATH + 256)

/* What the host serves for @m: by its name, since it is mounted on a walk to it. */
static int find_source(const struct guest *g, const struct mount_spec *m, char ret[SOURCE_PATH],
		       struct err *err)
{
	char tree[IMAGE_PATH];
	image_place(g, "served", tree);
	return (size_t)snprintf(ret, SOURCE_PATH, "%s/%s", tree, m->source) < SOURCE_PATH
		       ? 0
		       : err_set(err, ENAMETOOLONG, "the source of %s is too long", m->target);
}

/* A folder or a file; made in the root where there is none, as for any container. */
static int make_target(int root, const struct stat *source, const char *target, struct err *err)
{
	int fd = S_ISDIR(source->st_mode) ? path_mkdir_in_root(root, target, 0755, err)
					  : path_mkfile_in_root(root, target, 0644, err);
	return fd < 0 ? err_prefix(err, "cannot make the place of %s", target) : fd;
}

int image_bind(const struct guest *g, int root, const struct mount_spec *m, struct err *err)
{
	char source[SOURCE_PATH], name[40];
	struct stat st;
	unsigned long flags = m->flags & BIND_FLAGS;
	int rc = find_source(g, m, source, err);
	if (rc < 0)
		return rc;
	if (stat(source, &st) < 0)
		return err_sys(err, "the host does not serve what is to be at %s", m->target);
	cleanup_fd int target = make_target(root, &st, m->target, err);
	if (target < 0)
		return target;
	(void)snprintf(name, sizeof(name), "/proc/self/fd/%d", target);
	if (mount(source, name, NULL, MS_BIND | MS_REC, NULL) < 0)
		return err_sys(err, "cannot mount at %s", m->target);
	if (!flags)
		return 0;
	/* Flags are a bind mount's by a second call, which finds it by name anew. */
	cleanup_fd int bound = path_open_in_root(root, m->target, O_PATH, 0);
	(void)snprintf(name, sizeof(name), "/proc/self/fd/%d", bound);
	if (bound < 0 || mount(NULL, name, NULL, MS_REMOUNT | MS_BIND | flags, NULL) < 0)
		return err_sys(err, "cannot restrict the mount at %s", m->target);
	return 0;
}

void image_let_go(const struct guest *g)
{
	static const char *const parts[] = { "served", "image" };
	for (size_t i = 0; i < 2; i++) {
		char place[IMAGE_PATH];
		image_place(g, parts[i], place);
		(void)umount2(place, MNT_DETACH);
	}
}

/* ---- while the container runs ---- */

static uint64_t attributes(unsigned long flags)
{
	static const struct {
		unsigned long flag;
		uint64_t attribute;
	} rows[] = {
		{ MS_RDONLY, TREE_READ_ONLY }, { MS_NOSUID, TREE_NOSUID },
		{ MS_NODEV, TREE_NODEV },      { MS_NOEXEC, TREE_NOEXEC },
		{ MS_NOATIME, TREE_NOATIME },  { MS_NODIRATIME, TREE_NODIRATIME },
	};
	uint64_t set = 0;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (flags & rows[i].flag)
			set |= rows[i].attribute;
	return set;
}

int image_open_served(const struct guest *g, const struct mount_spec *m, uint64_t inode,
		      struct err *err)
{
	char source[SOURCE_PATH];
	struct stat st;
	int rc = find_source(g, m, source, err);
	if (rc < 0)
		return rc;
	/* What is mounted on the walk is to go with this process. */
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return err_sys(err, "cannot make a mount namespace");
	cleanup_fd int fd = tree_clone(AT_FDCWD, source, true);
	if (fd < 0)
		return err_rc(err, fd, "the host does not serve what is to be at %s", m->target);
	if (fstat(fd, &st) < 0 || st.st_ino != inode)
		return err_set(err, ESTALE, "the guest does not see what the host mounted for %s",
			       m->target);
	/* The mount itself, as image_bind() does: what is below has its own from the host. */
	rc = attributes(m->flags) ? tree_restrict(fd, attributes(m->flags), false) : 0;
	if (rc < 0)
		return err_rc(err, rc, "cannot restrict the mount at %s", m->target);
	return take_fd(&fd);
}

int image_attach(int root, int tree, const struct mount_spec *m, struct err *err)
{
	struct stat st;
	if (fstat(tree, &st) < 0)
		return err_sys(err, "cannot look at the mount");
	cleanup_fd int target = make_target(root, &st, m->target, err);
	int rc = target < 0 ? target : tree_move(tree, target, "");
	if (target >= 0 && rc < 0)
		return err_rc(err, rc, "cannot mount at %s", m->target);
	return rc;
}
