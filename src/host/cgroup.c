/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup - finding the cgroup v2 mount, making and opening cgroups. See
 * include/isola/cgroup.h. Used by isolad, isola-keeper and isola-oci; a start of
 * a container comes through here, so each system call counts. */
#include "isola/cgroup.h"

#include "isola/fd.h"
#include "isola/strbuf.h"

#include "cgroup_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define MOUNTINFO_MAX (4 * 1024 * 1024)

/* The mount's root folder, opened once and never closed: a process sees one
 * cgroup2 tree all its life. Set by compare-and-swap, so any thread may call. */
static int root_fd = -1;

static bool is_cgroup2(int fd)
{
	struct statfs fs;
	return fstatfs(fd, &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC;
}

static int open_cgroup2(const char *mount)
{
	cleanup_fd int fd = open(mount, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return is_cgroup2(fd) ? take_fd(&fd) : -ENOENT;
}

/* Undoes \040 and the like (proc_pid_mountinfo(5)), in place. */
static void unescape(char *s)
{
	char *to = s;
	for (; *s; s++) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] && s[3]) {
			*to++ = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
			s += 3;
		} else {
			*to++ = *s;
		}
	}
	*to = '\0';
}

/* Fields 4 and 5 are root and mount point; the type follows " - ". */
static bool parse_mountinfo_line(char *line, char **ret_root, char **ret_mount)
{
	char *type = strstr(line, " - ");
	if (!type || strncmp(type, " - cgroup2 ", 11))
		return false;
	char *field[5], *save = NULL;
	for (int i = 0; i < 5; i++) {
		field[i] = strtok_r(i ? NULL : line, " ", &save);
		if (!field[i])
			return false;
	}
	unescape(field[3]);
	unescape(field[4]);
	*ret_root = field[3];
	*ret_mount = field[4];
	return true;
}

/* The last one wins: it lies on top. Both results owned. */
static int find_mount(char **ret_root, char **ret_mount, struct err *err)
{
	cleanup_free char *text = NULL, *root = NULL, *mount = NULL;
	int rc = fd_read_file(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_MAX, &text, NULL, err);
	if (rc < 0)
		return rc;
	char *save = NULL;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *line_root = NULL, *line_mount = NULL;
		if (!parse_mountinfo_line(line, &line_root, &line_mount))
			continue;
		free(root);
		free(mount);
		root = strdup(line_root);
		mount = strdup(line_mount);
	}
	if (!root || !mount)
		return err_set(err, ENOENT, "no cgroup v2 is mounted on this host");
	*ret_root = take_ptr(root);
	*ret_mount = take_ptr(mount);
	return 0;
}

/* The usual places first: looking there costs less than reading mountinfo. */
static int open_root(struct err *err)
{
	static const char *const usual[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };
	for (size_t i = 0; i < 2; i++) {
		int fd = open_cgroup2(usual[i]);
		if (fd >= 0)
			return fd;
	}
	cleanup_free char *root = NULL, *mount = NULL;
	int rc = find_mount(&root, &mount, err);
	if (rc < 0)
		return rc;
	int fd = open_cgroup2(mount);
	return fd < 0 ? err_rc(err, fd, "cannot open the cgroup v2 mount %s", mount) : fd;
}

int cgroup_root(struct err *err)
{
	int fd = __atomic_load_n(&root_fd, __ATOMIC_ACQUIRE);
	if (fd >= 0)
		return fd;
	fd = open_root(err);
	if (fd < 0)
		return fd;
	int none = -1;
	if (__atomic_compare_exchange_n(&root_fd, &none, fd, false, __ATOMIC_ACQ_REL,
					__ATOMIC_ACQUIRE))
		return fd;
	(void)close(fd);
	return none;
}

int cgroup_mount_open(char **ret_mount, struct err *err)
{
	int root = cgroup_root(err);
	if (root < 0)
		return root;
	cleanup_fd int fd = fd_dup(root);
	if (fd < 0)
		return err_rc(err, fd, "cannot open the cgroup v2 mount");
	if (ret_mount) {
		char link[40], path[PATH_MAX];
		(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		ssize_t n = readlink(link, path, sizeof(path) - 1);
		if (n < 0)
			return err_sys(err, "cannot tell where cgroup v2 is mounted");
		path[n] = '\0';
		*ret_mount = strdup(path);
		if (!*ret_mount)
			return err_set(err, ENOMEM, "out of memory");
	}
	return take_fd(&fd);
}

int cgroup_self(char **ret_path, struct err *err)
{
	cleanup_free char *text = NULL, *root = NULL, *mount = NULL;
	int rc = fd_read_file(AT_FDCWD, "/proc/self/cgroup", 64 * 1024, &text, NULL, err);
	if (rc < 0 || (rc = find_mount(&root, &mount, err)) < 0)
		return rc;
	char *save = NULL;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (strncmp(line, "0::/", 4))
			continue;
		/* A mount of a part of the tree shows paths below its root only. */
		const char *path = line + 3;
		size_t n = !strcmp(root, "/") ? 0 : strlen(root);
		if (strncmp(path, root, n) || (path[n] && path[n] != '/') ||
		    !strncmp(path, "/..", 3))
			break;
		*ret_path = strdup(path[n] ? path + n : "/");
		return *ret_path ? 0 : err_set(err, ENOMEM, "out of memory");
	}
	return err_set(err, ENOENT, "our own cgroup is not below the cgroup v2 mount %s", mount);
}

/* "/a/b" -> "a/b", "/" -> "."; NULL for what is no path of a cgroup. */
static const char *relative(const char *path)
{
	if (*path != '/' || strlen(path) >= PATH_MAX)
		return NULL;
	for (const char *p = path; *p;) {
		p += strspn(p, "/");
		size_t n = strcspn(p, "/");
		if (n == 2 && !strncmp(p, "..", 2))
			return NULL;
		p += n;
	}
	path += strspn(path, "/");
	return *path ? path : ".";
}

int cgroup_relative(const char *path, const char **ret, struct err *err)
{
	*ret = relative(path);
	return *ret ? 0 : err_set(err, EINVAL, "\"%.200s\" is no path of a cgroup", path);
}

int cgroup_controllers(const char *path, char **ret, struct err *err)
{
	const char *name = NULL;
	int root = cgroup_root(err), rc = root;
	if (root < 0 || (rc = cgroup_relative(path, &name, err)) < 0)
		return rc;
	cleanup_fd int dir = openat(root, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	char text[512];
	if (dir < 0)
		return err_sys(err, "cannot open the cgroup %s", path);
	ssize_t n = cgroup_read(dir, "cgroup.controllers", text, sizeof(text));
	if (n < 0)
		return err_rc(err, (int)n, "cannot read the controllers of %s", path);
	text[strcspn(text, "\n")] = '\0';
	*ret = strdup(text);
	return *ret ? 0 : err_set(err, ENOMEM, "out of memory");
}

int cgroup_open(const char *path)
{
	const char *name = relative(path);
	int root = cgroup_root(NULL);
	if (!name || root < 0)
		return name ? root : -EINVAL;
	int fd = openat(root, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* ---- making ------------------------------------------------------------ */

bool cgroup_has_word(const char *list, const char *word, size_t n)
{
	for (const char *p = list; *p;) {
		size_t len = strcspn(p, " \n");
		if (len == n && !strncmp(p, word, n))
			return true;
		p += len;
		p += strspn(p, " \n");
	}
	return false;
}

static bool has_all(const char *list, const char *want)
{
	for (const char *p = want; *p;) {
		size_t n = strcspn(p, " ");
		if (n && !cgroup_has_word(list, p, n))
			return false;
		p += n;
		p += strspn(p, " ");
	}
	return true;
}

/* The words of @want that are in @have and, if @but is given, not in that. */
static void select_words(const char *want, const char *have, const char *but, char *ret,
			 size_t size)
{
	size_t len = 0;
	*ret = '\0';
	for (const char *p = want; *p; p += strspn(p, " ")) {
		size_t n = strcspn(p, " ");
		if (cgroup_has_word(have, p, n) && !(but && cgroup_has_word(but, p, n)) &&
		    len + n + 2 < size)
			len += (size_t)snprintf(ret + len, size - len, "%s%.*s", len ? " " : "",
						(int)n, p);
		p += n;
	}
}

/* Enables in @dir for its children what it has of @want. All at once; when the
 * kernel refuses, one by one: a single one that cannot be had must not cost the
 * others. */
static void enable_in(int dir, const char *want)
{
	char have[512], on[512], words[512], line[1024], *save = NULL;
	if (cgroup_read(dir, "cgroup.controllers", have, sizeof(have)) < 0 ||
	    cgroup_read(dir, "cgroup.subtree_control", on, sizeof(on)) < 0)
		return;
	select_words(want, have, on, words, sizeof(words));
	size_t len = 0;
	for (char *w = strtok_r(words, " ", &save); w; w = strtok_r(NULL, " ", &save))
		len += (size_t)snprintf(line + len, sizeof(line) - len, "%s+%s", len ? " " : "", w);
	if (!len || fd_write_file(dir, "cgroup.subtree_control", line) == 0)
		return;
	for (char *w = strtok_r(line, " ", &save); w; w = strtok_r(NULL, " ", &save))
		(void)fd_write_file(dir, "cgroup.subtree_control", w);
}

/* From the root down to the parent of @name, unless @have is all there is. */
static void enable_above(int root, const char *name, const char *want, const char *have)
{
	char path[PATH_MAX], all[512], possible[512];
	if (cgroup_read(root, "cgroup.controllers", all, sizeof(all)) < 0)
		return;
	select_words(want, all, NULL, possible, sizeof(possible));
	if (has_all(have, possible))
		return;
	enable_in(root, want);
	for (const char *slash = strchr(name, '/'); slash; slash = strchr(slash + 1, '/')) {
		(void)snprintf(path, sizeof(path), "%.*s", (int)(slash - name), name);
		cleanup_fd int dir = openat(root, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (dir >= 0)
			enable_in(dir, want);
	}
}

/* Makes @name and what is missing above it. @ret_made: length of the topmost one
 * that is new, 0 when all were there. */
static int make_dirs(int root, char *name, size_t *ret_made)
{
	if (mkdirat(root, name, 0755) == 0) {
		*ret_made = strlen(name);
		return 0;
	}
	if (errno == EEXIST)
		return 0;
	if (errno != ENOENT)
		return -errno;
	size_t made = 0;
	for (char *p = name;; p++) {
		p += strcspn(p, "/");
		char end = *p;
		*p = '\0';
		int rc = mkdirat(root, name, 0755) == 0 ? 1 : errno == EEXIST ? 0 : -errno;
		if (rc > 0 && !made)
			made = (size_t)(p - name);
		*p = end;
		if (made)
			*ret_made = made;
		if (rc < 0 || !end)
			return rc < 0 ? rc : 0;
	}
}

/* Removes @name and its parents, but not what was there before. */
static void undo_dirs(int root, char *name, size_t made)
{
	while (made && strlen(name) >= made) {
		(void)unlinkat(root, name, AT_REMOVEDIR);
		char *slash = strrchr(name, '/');
		if (!slash)
			return;
		*slash = '\0';
	}
}

int cgroup_make(const char *path, const char *want, struct err *err)
{
	const char *text = NULL;
	int root = cgroup_root(err), rc = root;
	if (root < 0 || (rc = cgroup_relative(path, &text, err)) < 0)
		return rc;
	char name[PATH_MAX], have[512];
	size_t made = 0, len = (size_t)snprintf(name, sizeof(name), "%s", text);
	while (len > 1 && name[len - 1] == '/')
		name[--len] = '\0';
	rc = make_dirs(root, name, &made);
	cleanup_fd int fd = -1;
	if (rc == 0) {
		fd = openat(root, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		rc = fd < 0 ? -errno : 0;
	}
	if (rc < 0) {
		undo_dirs(root, name, made);
		return err_rc(err, rc, "cannot make the cgroup %s", path);
	}
	if (want && *want && cgroup_read(fd, "cgroup.controllers", have, sizeof(have)) >= 0 &&
	    !has_all(have, want))
		enable_above(root, name, want, have);
	return take_fd(&fd);
}

int cgroup_attach(int cgroup_fd, pid_t pid)
{
	char text[16];
	(void)snprintf(text, sizeof(text), "%d", pid);
	return fd_write_file(cgroup_fd, "cgroup.procs", text);
}
