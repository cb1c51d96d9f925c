/* SPDX-License-Identifier: Apache-2.0 */
/* folders - see folders.h. isolad, loop thread and thread pool: renames alone
 * decide who gets the spare, and whose spare it is. */
#include "folders.h"

#include "project.h"

#include "isola/fd.h"
#include "isola/json.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

/* In the state folder, beside "instances". */
#define SPARE      "spare"
#define HALF_SPARE "spare-half"

json_object *folders_lower(const char *state, json_object *image)
{
	json_object *lower = json_object_new_array(), *layers = json_get(image, "layers");
	char path[PATH_MAX];
	for (size_t i = json_len(layers); i-- > 0;) {
		(void)snprintf(path, sizeof(path), "%s/layers/%s/fs", state,
			       json_item_str(layers, i));
		(void)json_object_array_add(lower, json_object_new_string(path));
	}
	(void)snprintf(path, sizeof(path), "%s/" ROOTS_BASE, state);
	(void)json_object_array_add(lower, json_object_new_string(path));
	return lower;
}

static int make(int dir_fd, const char *name, enum instance_kind kind)
{
	if (mkdirat(dir_fd, name, 0700) < 0)
		return -errno;
	if (kind == INSTANCE_VM)
		return 0;
	cleanup_fd int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	/* upper becomes the payload's "/". */
	if (fd < 0 || mkdirat(fd, "upper", 0755) < 0 || mkdirat(fd, "work", 0700) < 0 ||
	    fchmodat(fd, "upper", 0755, 0) < 0)
		return -errno;
	return 0;
}

static bool take_spare(const struct roots *roots, const char *id)
{
	return renameat2(roots->state_fd, SPARE, roots->instances_fd, id, RENAME_NOREPLACE) == 0;
}

const char *folders_upper(const struct instance *inst)
{
	return inst->guest_root == GUEST_ROOT_NONE ? "upper" : FOLDERS_LAYER "/upper";
}

const char *folders_work(const struct instance *inst)
{
	return inst->guest_root == GUEST_ROOT_NONE ? "work" : FOLDERS_LAYER "/work";
}

/* In a folder of their own. */
static int wrap(int instances_fd, const char *id)
{
	cleanup_fd int fd =
		openat(instances_fd, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || mkdirat(fd, FOLDERS_LAYER, 0755) < 0 ||
	    fchmodat(fd, FOLDERS_LAYER, 0755, 0) < 0 ||
	    renameat(fd, "upper", fd, FOLDERS_LAYER "/upper") < 0 ||
	    renameat(fd, "work", fd, FOLDERS_LAYER "/work") < 0)
		return -errno;
	return 0;
}

int folders_make(const struct roots *roots, const char *id, enum instance_kind kind, bool layer,
		 struct err *err)
{
	int rc = 0;
	if (kind != INSTANCE_CONTAINER || !take_spare(roots, id))
		rc = make(roots->instances_fd, id, kind);
	if (rc == 0 && layer)
		rc = wrap(roots->instances_fd, id);
	return rc < 0 ? err_rc(err, rc, "cannot make the instance's folder") : 0;
}

int folders_limit(const struct roots *roots, const char *id, bool layer, uint32_t project,
		  int64_t bytes, struct err *err)
{
	/* Both: overlayfs renames from the one to the other. */
	static const char *const names[] = { "upper", "work" };
	int rc = 0;
	for (size_t i = 0; rc == 0 && project && i < 2; i++) {
		char path[NAME_MAX];
		(void)snprintf(path, sizeof(path), "%s%s/%s", id, layer ? "/" FOLDERS_LAYER : "",
			       names[i]);
		cleanup_fd int fd = openat(roots->instances_fd, path,
					   O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		rc = fd < 0 ? err_sys(err, "cannot open the writable layer")
			    : project_begin(roots->state_fd, fd, project, bytes, err);
	}
	return rc;
}

void folders_make_spare(const struct roots *roots)
{
	int fd = roots->state_fd;
	if (faccessat(fd, SPARE, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return;
	int rc = make(fd, HALF_SPARE, INSTANCE_CONTAINER);
	if (rc == -EEXIST)
		return; /* another thread is at it */
	if (rc < 0 || renameat2(fd, HALF_SPARE, fd, SPARE, RENAME_NOREPLACE) < 0)
		(void)fd_remove_tree(fd, HALF_SPARE, NULL);
}

void folders_clear_spare(const struct roots *roots)
{
	(void)fd_remove_tree(roots->state_fd, HALF_SPARE, NULL);
	(void)fd_remove_tree(roots->state_fd, SPARE, NULL);
}
