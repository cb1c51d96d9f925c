/* SPDX-License-Identifier: Apache-2.0 */
/* kernel_store - see kernel_store.h. */
#include "kernel_store.h"

#include "isola/fd.h"
#include "isola/initrd.h"
#include "isola/json.h"
#include "isola/path.h"
#include "place.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#define KERNEL_JSON    "kernel.json"
#define JSON_BYTES_MAX (64 * 1024)
#define COPY_BYTES_MAX (1024L * 1024 * 1024)

/* One word that cannot leave its folder. */
static bool is_name(const char *name)
{
	if (!isalnum((unsigned char)name[0]) || strlen(name) >= 100)
		return false;
	for (const char *p = name; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("._-+~", *p))
			return false;
	return true;
}

static int open_store(const char *store, struct err *err)
{
	int fd = open(store, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return err_set(err, ENOENT,
			       "there are no guest kernels in %s: \"vmctl kernel fetch\" brings "
			       "Debian's, \"vmctl kernel build\" makes our own",
			       store);
	return fd < 0 ? err_sys(err, "cannot open %s", store) : fd;
}

static int open_store_to_write(const char *store, struct err *err)
{
	int rc = path_mkdir_all(store, 0755, err);
	if (rc == -EACCES || rc == -EPERM)
		return err_set(err, EACCES,
			       "you may not write to %s: run it as root, or choose a folder with "
			       "--state",
			       store);
	return rc < 0 ? rc : open_store(store, err);
}

/* The document of NAME, with its own name checked. */
static int read_doc(int store_fd, const char *name, json_object **ret, struct err *err)
{
	char path[160];
	(void)snprintf(path, sizeof(path), "%s/" KERNEL_JSON, name);
	int rc = json_read_file(store_fd, path, JSON_BYTES_MAX, ret, err);
	if (rc < 0)
		return rc;
	const char *own = json_str_or(*ret, "name", ""), *kernel = json_str_or(*ret, "kernel", "");
	const char *initrd = json_str_or(*ret, "initrd", "initrd");
	if (is_name(own) && is_name(kernel) && is_name(initrd))
		return 0;
	json_object_put(*ret);
	*ret = NULL;
	return err_set(err, EINVAL, "%s is no description of a kernel", path);
}

int kernel_find(const char *store, const char *name, struct kernel *ret, struct err *err)
{
	cleanup_json json_object *doc = NULL;
	if (!is_name(name))
		return err_set(err, EINVAL, "\"%s\" is no name of a kernel", name);
	cleanup_fd int fd = open_store(store, err);
	if (fd < 0)
		return fd;
	int rc = read_doc(fd, name, &doc, err);
	if (rc == -ENOENT && !strcmp(name, KERNEL_DEFAULT))
		return err_set(err, ENOENT,
			       "no guest kernel is in use in %s: choose one with \"vmctl kernel "
			       "use NAME\", or get one with \"vmctl kernel fetch\"",
			       store);
	if (rc == -ENOENT)
		return err_set(err, ENOENT,
			       "there is no guest kernel \"%s\" in %s (see vmctl "
			       "kernel ls)",
			       name, store);
	if (rc < 0)
		return rc;
	*ret = (struct kernel){ .name = "" };
	(void)snprintf(ret->name, sizeof(ret->name), "%s", json_str_or(doc, "name", ""));
	(void)snprintf(ret->root, sizeof(ret->root), "%s", json_str_or(doc, "root", ""));
	(void)snprintf(ret->kernel, sizeof(ret->kernel), "%s/%s/%s", store, ret->name,
		       json_str_or(doc, "kernel", ""));
	const char *initrd = json_str_or(doc, "initrd", NULL);
	if (initrd)
		(void)snprintf(ret->initrd, sizeof(ret->initrd), "%s/%s/%s", store, ret->name,
			       initrd);
	return 0;
}

/* ---- the list ---- */

static int64_t size_of(int store_fd, const char *name, const char *file)
{
	char path[320];
	struct stat st;
	(void)snprintf(path, sizeof(path), "%s/%s", name, file);
	return fstatat(store_fd, path, &st, 0) < 0 ? 0 : st.st_size;
}

static int by_name(const void *a, const void *b)
{
	json_object *const *x = a, *const *y = b;
	return strcmp(json_str_or(*x, "name", ""), json_str_or(*y, "name", ""));
}

json_object *kernel_list(const char *store, struct err *err)
{
	json_object *list = json_object_new_array();
	int fd = open(store, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return list;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		(void)err_sys(err, "cannot open %s", store);
		fd_close(&fd);
		json_object_put(list);
		return NULL;
	}
	char in_use[128] = "";
	(void)!readlinkat(fd, KERNEL_DEFAULT, in_use, sizeof(in_use) - 1);
	for (struct dirent *e; (e = readdir(dir));) {
		struct err why = ERR_INIT;
		json_object *doc = NULL;
		if (!is_name(e->d_name) || !strcmp(e->d_name, KERNEL_DEFAULT) ||
		    read_doc(fd, e->d_name, &doc, &why) < 0)
			continue;
		json_add_i64(doc, "size",
			     size_of(fd, e->d_name, json_str_or(doc, "kernel", "")) +
				     size_of(fd, e->d_name, json_str_or(doc, "initrd", "")));
		json_add_bool(doc, "default", !strcmp(in_use, e->d_name));
		json_object_array_add(list, doc);
	}
	(void)closedir(dir);
	json_object_array_sort(list, by_name);
	return list;
}

/* ---- installation ---- */

static int copy_file(const char *from_dir, const char *name, int to_dir, struct err *err)
{
	char path[PATH_MAX];
	struct stat st;
	(void)snprintf(path, sizeof(path), "%s/%s", from_dir, name);
	cleanup_fd int from = open(path, O_RDONLY | O_CLOEXEC);
	if (from < 0 || fstat(from, &st) < 0)
		return err_sys(err, "cannot open %s", path);
	if (!S_ISREG(st.st_mode) || st.st_size > COPY_BYTES_MAX)
		return err_set(err, EINVAL, "%s is no kernel", path);
	cleanup_fd int to = openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (to < 0)
		return err_sys(err, "cannot make %s", name);
	if (ioctl(to, FICLONE, from) == 0)
		return 0;
	for (off_t left = st.st_size; left > 0;) {
		ssize_t n = sendfile(to, from, NULL, (size_t)left);
		if (n <= 0)
			return err_sys(err, "cannot copy %s", path);
		left -= n;
	}
	return fsync(to) < 0 ? err_sys(err, "cannot write %s", name) : 0;
}

/* A kernel out of a disk brings its own; ours get our init and their modules. */
static int add_initrd(const char *from, json_object *doc, int to_dir, struct err *err)
{
	char init[PATH_MAX], modules[PATH_MAX];
	const char *own = json_str_or(doc, "initrd", NULL);
	if (own)
		return copy_file(from, own, to_dir, err);
	if (!strcmp(json_str_or(doc, "kind", ""), "disk"))
		return 0; /* it boots without */
	int rc = place_find("isola-boot-init", init, sizeof(init), err);
	if (rc < 0)
		return rc;
	cleanup_fd int fd = openat(to_dir, "initrd", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return err_sys(err, "cannot make initrd");
	(void)snprintf(modules, sizeof(modules), "%s/modules", from);
	rc = initrd_write(fd, init, access(modules, F_OK) == 0 ? modules : NULL, err);
	json_add_str(doc, "initrd", "initrd");
	return rc == 0 && fsync(fd) < 0 ? err_sys(err, "cannot write initrd") : rc;
}

static int fill(const char *from, json_object *doc, int dir_fd, struct err *err)
{
	int rc = copy_file(from, json_str_or(doc, "kernel", ""), dir_fd, err);
	if (rc == 0)
		rc = add_initrd(from, doc, dir_fd, err);
	if (rc < 0)
		return rc;
	rc = json_write_atomic(dir_fd, KERNEL_JSON, doc, FD_SYNC_YES, err);
	return rc == 0 && fchmodat(dir_fd, KERNEL_JSON, 0644, 0) < 0
		       ? err_sys(err, "cannot open " KERNEL_JSON " to readers")
		       : rc;
}

/* The new folder takes the place of an old one in one step. */
static int put_in_place(int store_fd, const char *tmp, const char *name, struct err *err)
{
	if (renameat2(store_fd, tmp, store_fd, name, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EEXIST || renameat2(store_fd, tmp, store_fd, name, RENAME_EXCHANGE) < 0)
		return err_sys(err, "cannot put %s in its place", name);
	return fd_remove_tree(store_fd, tmp, err);
}

static int install(int store_fd, const char *from, json_object *doc, struct err *err)
{
	char tmp[32];
	(void)snprintf(tmp, sizeof(tmp), ".new-%d", (int)getpid());
	(void)fd_remove_tree(store_fd, tmp, err);
	if (mkdirat(store_fd, tmp, 0755) < 0)
		return err_sys(err, "cannot make a folder in the store of kernels");
	cleanup_fd int dir_fd = openat(store_fd, tmp, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = dir_fd < 0 ? err_sys(err, "cannot open %s", tmp) : fill(from, doc, dir_fd, err);
	if (rc == 0)
		rc = put_in_place(store_fd, tmp, json_str_or(doc, "name", ""), err);
	struct err ignored = ERR_INIT;
	if (rc < 0)
		(void)fd_remove_tree(store_fd, tmp, &ignored);
	return rc;
}

static int set_default(int store_fd, const char *name, struct err *err)
{
	(void)unlinkat(store_fd, ".default", 0);
	if (symlinkat(name, store_fd, ".default") < 0 ||
	    renameat(store_fd, ".default", store_fd, KERNEL_DEFAULT) < 0)
		return err_sys(err, "cannot make %s the default kernel", name);
	return 0;
}

int kernel_install(const char *store, const char *from, struct kernel *ret, struct err *err)
{
	cleanup_json json_object *doc = NULL;
	cleanup_fd int from_fd = open(from, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (from_fd < 0)
		return err_sys(err, "cannot open %s", from);
	int rc = read_doc(from_fd, ".", &doc, err);
	if (rc < 0)
		return rc;
	cleanup_fd int fd = open_store_to_write(store, err);
	if (fd < 0)
		return fd;
	const char *name = json_str_or(doc, "name", "");
	rc = install(fd, from, doc, err);
	bool none = faccessat(fd, KERNEL_DEFAULT, F_OK, 0) < 0;
	bool of_disk = !strcmp(json_str_or(doc, "kind", ""), "disk");
	if (rc == 0 && none && !of_disk)
		rc = set_default(fd, name, err);
	return rc < 0 ? rc : kernel_find(store, name, ret, err);
}

int kernel_use(const char *store, const char *name, struct err *err)
{
	struct kernel k;
	int rc = kernel_find(store, name, &k, err);
	if (rc < 0)
		return rc;
	cleanup_fd int fd = open_store_to_write(store, err);
	return fd < 0 ? fd : set_default(fd, k.name, err);
}

int kernel_remove(const char *store, const char *name, struct err *err)
{
	struct kernel k;
	char in_use[128] = "";
	int rc = kernel_find(store, name, &k, err);
	if (rc < 0)
		return rc;
	cleanup_fd int fd = open_store_to_write(store, err);
	if (fd < 0)
		return fd;
	(void)!readlinkat(fd, KERNEL_DEFAULT, in_use, sizeof(in_use) - 1);
	if (!strcmp(in_use, k.name) && unlinkat(fd, KERNEL_DEFAULT, 0) < 0)
		return err_sys(err, "cannot remove the link to %s", k.name);
	rc = fd_remove_tree(fd, k.name, err);
	return rc < 0 ? rc : 0;
}
