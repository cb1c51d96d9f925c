/* SPDX-License-Identifier: Apache-2.0 */
/* oci_state - see oci_state.h. */
#include "oci_state.h"

#include "isola/fd.h"
#include "isola/cgroup.h"
#include "isola/id.h"
#include "isola/json.h"
#include "isola/num.h"
#include "isola/path.h"
#include "isola/pid.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define STATE_MAX (1 << 20)

const char *const oci_status_names[] = {
	[OCI_CREATING] = "creating", [OCI_CREATED] = "created", [OCI_RUNNING] = "running",
	[OCI_PAUSED] = "paused",     [OCI_STOPPED] = "stopped",
};

const char *oci_root(const struct oci *oci, char *buf, size_t size)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	if (oci->root)
		return oci->root;
	if (geteuid() == 0 || !runtime)
		return "/run/isola-oci";
	(void)snprintf(buf, size, "%s/isola-oci", runtime);
	return buf;
}

static int open_root(const struct oci *oci, bool make, struct oci_box *box, struct err *err)
{
	char buf[PATH_MAX];
	const char *root = oci_root(oci, buf, sizeof(buf));
	int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT && make) {
		int rc = path_mkdir_all(root, 0700, err);
		if (rc < 0)
			return rc;
		fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	if (fd < 0 && errno == ENOENT)
		return err_set(err, ENOENT, "container \"%s\" does not exist", box->id);
	if (fd < 0)
		return err_sys(err, "cannot open the state folder %s", root);
	box->root = strdup(root);
	return fd;
}

static int take_id(struct oci_box *box, const char *id, struct err *err)
{
	if (!id_is_container_id(id))
		return err_set(err, EINVAL,
			       "invalid container id \"%s\": letters, digits, _ + - and, not "
			       "first, dots",
			       id);
	box->id = strdup(id);
	box->ctr.id = box->id;
	return box->id ? 0 : err_set(err, ENOMEM, "out of memory");
}

int oci_box_lock(struct oci_box *box, struct err *err)
{
	if (flock(box->dir_fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK
			       ? err_set(err, EBUSY,
					 "container \"%s\" is being worked on by another "
					 "isola-oci",
					 box->id)
			       : err_sys(err, "cannot lock container \"%s\"", box->id);
	box->locked = true;
	return 0;
}

void oci_box_unlock(struct oci_box *box)
{
	(void)flock(box->dir_fd, LOCK_UN);
	box->locked = false;
}

int oci_box_cache(const struct oci_box *box)
{
	cleanup_fd int root = open(box->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return -1;
	(void)mkdirat(root, ".seccomp", 0700); /* no id begins with a dot */
	return openat(root, ".seccomp", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

int oci_box_new(const struct oci *oci, const char *id, const char *config, size_t size,
		struct oci_box *box, struct err *err)
{
	int rc = take_id(box, id, err);
	if (rc < 0)
		return rc;
	cleanup_fd int root = open_root(oci, true, box, err);
	if (root < 0)
		return root;
	if (mkdirat(root, id, 0700) < 0)
		return errno == EEXIST
			       ? err_set(err, EEXIST, "container with id exists already: %s", id)
			       : err_sys(err, "cannot make the state folder of %s", id);
	box->dir_fd = openat(root, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (box->dir_fd < 0)
		return err_sys(err, "cannot open the state folder of %s", id);
	rc = oci_box_lock(box, err);
	if (rc < 0)
		return rc;
	cleanup_fd int fd =
		openat(box->dir_fd, "config.json", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	rc = fd < 0 ? -errno : fd_write_all(fd, config, size);
	return rc < 0 ? err_rc(err, rc, "cannot write the state of %s", id) : 0;
}

int oci_box_save(const struct oci_box *box, struct err *err)
{
	cleanup_json json_object *o = json_object_new_object();
	if (!o)
		return err_set(err, ENOMEM, "out of memory");
	json_add_i64(o, "version", 1);
	json_add_str(o, "bundle", box->bundle);
	json_add_str(o, "rootfs", box->rootfs);
	json_add_str(o, "created", box->created);
	json_add_str(o, "owner", box->owner);
	json_add_i64(o, "pid", box->ctr.pid);
	json_add_i64(o, "pid_start", (int64_t)box->ctr.start_ticks);
	json_add_str(o, "cgroup", box->ctr.cgroup);
	return json_write_atomic(box->dir_fd, "state.json", o, FD_SYNC_NO, err);
}

static char *copy_str(json_object *o, const char *key)
{
	const char *text = json_str_or(o, key, NULL);
	return text ? strdup(text) : NULL;
}

int oci_box_parse(struct oci_box *box, struct err *err)
{
	if (box->spec)
		return 0;
	int rc = json_read_file(box->dir_fd, "config.json", OCI_CONFIG_MAX, &box->config, err);
	if (rc == 0)
		rc = ctr_spec_parse(box->config, &box->spec, err);
	return rc < 0 ? err_prefix(err, "container \"%s\"", box->id) : 0;
}

/* The create was killed before it wrote state.json: what it may have made. */
static int guess_state(struct oci_box *box)
{
	if (oci_box_parse(box, NULL) < 0)
		return 0;
	box->ctr.cgroup = ctr_cgroup_path(box->spec, box->id);
	return box->ctr.cgroup ? 0 : -ENOMEM;
}

static int read_state(struct oci_box *box, struct err *err)
{
	cleanup_json json_object *o = NULL;
	int rc = json_read_file(box->dir_fd, "state.json", STATE_MAX, &o, err);
	if (rc == -ENOENT)
		return guess_state(box);
	if (rc < 0)
		return err_prefix(err, "container \"%s\"", box->id);
	box->bundle = copy_str(o, "bundle");
	box->rootfs = copy_str(o, "rootfs");
	box->created = copy_str(o, "created");
	box->owner = copy_str(o, "owner");
	box->ctr.cgroup = copy_str(o, "cgroup");
	box->ctr.pid = (pid_t)json_i64_or(o, "pid", 0);
	box->ctr.start_ticks = (uint64_t)json_i64_or(o, "pid_start", 0);
	if (box->ctr.pid > 0)
		box->ctr.pidfd = pid_open_same(box->ctr.pid, box->ctr.start_ticks);
	if (box->ctr.pidfd < 0)
		box->ctr.pidfd = -1;
	return 0;
}

int oci_box_open(const struct oci *oci, const char *id, bool want_spec, struct oci_box *box,
		 struct err *err)
{
	int rc = take_id(box, id, err);
	if (rc < 0)
		return rc;
	cleanup_fd int root = open_root(oci, false, box, err);
	if (root < 0)
		return root;
	box->dir_fd = openat(root, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (box->dir_fd < 0)
		return errno == ENOENT ? err_set(err, ENOENT, "container \"%s\" does not exist", id)
				       : err_sys(err, "cannot open the state folder of %s", id);
	rc = read_state(box, err);
	if (rc == 0 && want_spec)
		rc = oci_box_parse(box, err);
	return rc;
}

static bool is_frozen(const struct oci_box *box)
{
	cleanup_fd int dir = box->ctr.cgroup ? cgroup_open(box->ctr.cgroup) : -1;
	cleanup_fd int fd = dir < 0 ? -1 : openat(dir, "cgroup.freeze", O_RDONLY | O_CLOEXEC);
	char c = '0';
	return fd >= 0 && read(fd, &c, 1) == 1 && c == '1';
}

static bool is_locked(const struct oci_box *box)
{
	if (box->locked)
		return false; /* by us */
	cleanup_fd int fd = openat(box->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

enum oci_status oci_box_status(const struct oci_box *box)
{
	if (box->ctr.pid <= 0)
		return is_locked(box) ? OCI_CREATING : OCI_STOPPED;
	if (box->ctr.pidfd < 0)
		return OCI_STOPPED;
	if (is_frozen(box))
		return OCI_PAUSED;
	return faccessat(box->dir_fd, OCI_START_SOCK, F_OK, 0) == 0 ? OCI_CREATED : OCI_RUNNING;
}

json_object *oci_box_document(const struct oci_box *box)
{
	enum oci_status status = oci_box_status(box);
	json_object *o = json_object_new_object();
	json_add_str(o, "ociVersion", "1.2.0");
	json_add_str(o, "id", box->id);
	json_add_i64(o, "pid", status == OCI_STOPPED ? 0 : box->ctr.pid);
	json_add_str(o, "status", oci_status_names[status]);
	json_add_str(o, "bundle", box->bundle ? box->bundle : "");
	json_add_str(o, "rootfs", box->rootfs ? box->rootfs : "");
	json_add_str(o, "created", box->created ? box->created : "");
	json_object *annotations = json_get(box->config, "annotations");
	if (annotations)
		json_add(o, "annotations", json_object_get(annotations));
	json_add_str(o, "owner", box->owner ? box->owner : "");
	return o;
}

int oci_box_remove(struct oci_box *box, struct err *err)
{
	cleanup_fd int root = open(box->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return err_sys(err, "cannot open %s", box->root);
	return fd_remove_tree(root, box->id, err);
}

void oci_box_fini(struct oci_box *box)
{
	ctr_spec_free(box->spec);
	json_object_put(box->config);
	fd_close(&box->ctr.pidfd);
	fd_close(&box->ctr.console_fd);
	fd_close(&box->dir_fd);
	free(box->ctr.cgroup);
	free(box->bundle);
	free(box->rootfs);
	free(box->created);
	free(box->owner);
	free(box->root);
	free(box->id);
}
