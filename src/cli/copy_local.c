/* SPDX-License-Identifier: Apache-2.0 */
/* copy_local - see copy_local.h. Runs in ctrctl; an archive from a container is
 * foreign (isola/extract.h). */
#include "copy_local.h"

#include "isola/extract.h"
#include "isola/fd.h"
#include "isola/pack.h"
#include "packer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

int local_path_read(const char *path, struct local_path *ret, struct err *err)
{
	struct stat st;
	size_t n = strlen(path);
	*ret = (struct local_path){ 0 };
	if (n == 0 || n >= PATH_MAX)
		return err_set(err, ENAMETOOLONG, "\"%.100s\" is no path", path);
	ret->slash = path[n - 1] == '/';
	ret->contents = !strcmp(path, ".") || (n >= 2 && !strcmp(path + n - 2, "/."));
	ret->exists = stat(path, &st) == 0;
	ret->is_dir = ret->exists && S_ISDIR(st.st_mode);
	while (n > 1 && path[n - 1] == '/')
		n--;
	size_t from = n;
	while (from > 0 && path[from - 1] != '/')
		from--;
	if (n - from > NAME_MAX)
		return err_set(err, ENAMETOOLONG, "a name in \"%.100s\" is too long", path);
	(void)snprintf(ret->base, sizeof(ret->base), "%.*s", (int)(n - from), path + from);
	(void)snprintf(ret->dir, sizeof(ret->dir), "%.*s", from > 0 ? (int)from : 1,
		       from > 0 ? path : ".");
	if (!strcmp(path, "/"))
		strcpy(ret->base, ".");
	return 0;
}

/* ---- packing, in a child ---- */

struct local {
	const char *path, *as;
	bool follow, owners;
};

/* With @follow the folder that @path's link leads to holds what is packed. */
static int open_source(const char *path, bool follow, char name[NAME_MAX + 1], struct err *err)
{
	cleanup_free char *real = follow ? realpath(path, NULL) : NULL;
	struct local_path p;
	if (follow && !real)
		return err_sys(err, "cannot follow %s", path);
	int rc = local_path_read(real ? real : path, &p, err);
	if (rc < 0)
		return rc;
	bool into = p.contents || p.slash || !strcmp(p.base, ".") || !strcmp(p.base, "..");
	int fd = open(into ? real ? real : path : p.dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	strcpy(name, into ? "" : p.base);
	return fd < 0 ? err_sys(err, "cannot open %s", path) : fd;
}

static int pack_to(int out, const void *arg, struct err *err)
{
	const struct local *l = arg;
	char name[NAME_MAX + 1];
	cleanup_tarw struct tarw *t = NULL;
	cleanup_fd int proc = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	cleanup_fd int dir = open_source(l->path, l->follow, name, err);
	struct stat st;
	if (dir < 0)
		return dir;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW | (*name ? 0 : AT_EMPTY_PATH)) < 0)
		return err_sys(err, "cannot open %s", l->path);
	int rc = tarw_new(packer_write, &out, &t, err);
	const struct pack_options o = { .out = t, .proc_fd = proc, .root_owned = !l->owners };
	if (rc == 0)
		rc = pack_tree(&o, dir, name, l->as, err);
	return rc < 0 ? rc : tarw_end(t, err);
}

int local_pack(const char *path, const char *as, bool follow, bool owners, pid_t *ret_pid,
	       struct err *err)
{
	const struct local l = { path, as, follow, owners };
	return packer_start(pack_to, &l, path, ret_pid, err);
}

int local_pack_end(pid_t pid, struct err *err)
{
	return packer_end(pid, "not everything could be copied", err);
}

/* ---- extracting ---- */

int local_extract(tar_read_fn *read, void *arg, const char *dir, const char *first, bool owners,
		  struct err *err)
{
	cleanup_tar struct tar *tar = NULL;
	cleanup_fd int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, "cannot open the folder %s", dir);
	const struct extract_options o = {
		.root_fd = fd,
		.keep_kinds = true,
		.owner = owners ? EXTRACT_OWNER_ENTRY : EXTRACT_OWNER_NONE,
		.lenient = true,
		.first = first,
		.entries_max = UINT64_MAX,
	};
	int rc = tar_new(read, arg, &tar, err);
	return rc < 0 ? rc : extract(tar, &o, err);
}
