/* SPDX-License-Identifier: Apache-2.0 */
/* vm_sources - machine.json's SOURCEs (isola/keeper.h) become descriptors of the
 * worker: opened with the rights of root, but no more than each device is for. Disks
 * are locked, so that no two VMs write to one file system; the lock lives as long as
 * the worker has the descriptor (fcntl(2), open file description locks). */
#include "vm.h"

#include "guest.h"
#include "vm_tree.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/vmm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define MACHINE_BYTES_MAX ((size_t)4 * 1024 * 1024)
#define NOBODY            65534

void vm_fds_close(struct vm_fds *fds)
{
	for (size_t i = 0; i < fds->n; i++)
		fd_close(&fds->fds[i]);
	fds->n = 0;
}

int vm_fds_add(struct vm_fds *fds, int fd, struct err *err)
{
	if (fds->n >= VM_FDS_MAX) {
		(void)close(fd);
		return err_set(err, EMFILE, "more than %d files", VM_FDS_MAX);
	}
	fds->fds[fds->n] = fd;
	return VMM_FIRST_FD + (int)fds->n++;
}

int vm_machine_read(const struct keeper *k, json_object **ret, struct err *err)
{
	json_object *o = NULL;
	int rc = json_read_file(k->run_dir_fd, "machine.json", MACHINE_BYTES_MAX, &o, err);
	if (rc == 0 && !json_object_is_type(o, json_type_object)) {
		json_object_put(o);
		return err_set(err, EINVAL, "machine.json must be an object");
	}
	if (rc == 0)
		*ret = o;
	return rc;
}

/* ---- files ---- */

struct opening {
	struct vm *vm;
	json_object *machine;
	struct vm_fds *fds;
	struct err *err;
};

static const char *path_of(json_object *source)
{
	return json_str_or(source, "path", "");
}

/* A regular file, or with @block a block device, too. FIFOs and the like would hang
 * us, or tell the guest what is none of its business. */
static int open_file(const char *path, int flags, bool block, struct err *err)
{
	struct stat st;
	cleanup_fd int fd = open(path, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0 && errno == EINVAL && (flags & O_DIRECT))
		return err_set(err, EINVAL,
			       "cannot open %s: its file system has no direct I/O; use another "
			       "cache mode than none",
			       path);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(err, "cannot open %s", path);
	if (!S_ISREG(st.st_mode) && !(block && S_ISBLK(st.st_mode)))
		return err_set(err, EINVAL, "%s is no regular file%s", path,
			       block ? " and no block device" : "");
	if (fd_set_nonblock(fd, false) < 0)
		return err_sys(err, "cannot open %s", path);
	return take_fd(&fd);
}

/* Writers exclude all others; readers only writers. */
static int lock_file(int fd, bool readonly, const char *path, struct err *err)
{
	struct flock lock = { .l_type = readonly ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET };
	if (fcntl(fd, F_OFD_SETLK, &lock) == 0 || (errno != EAGAIN && errno != EACCES))
		return 0; /* a file system without locks keeps no VM from running */
	return err_set(err, EBUSY, "%s is in use by another VM%s", path,
		       readonly ? ", which writes to it" : "");
}

/* Replaces o[key] by the {"fd"} of @fd, taken. */
static int put_fd(struct opening *op, json_object *o, const char *key, int fd)
{
	int number = vm_fds_add(op->fds, fd, op->err);
	if (number < 0)
		return number;
	json_object *source = json_object_new_object();
	json_add_i64(source, "fd", number);
	json_add(o, key, source);
	return 0;
}

static int open_boot(struct opening *op, json_object *boot, const char *key)
{
	json_object *source = json_get(boot, key);
	if (!source)
		return 0;
	int fd = open_file(path_of(source), O_RDONLY, false, op->err);
	return fd < 0 ? err_prefix(op->err, "%s", key) : put_fd(op, boot, key, fd);
}

static int open_kvm(struct opening *op, json_object *machine)
{
	int fd = open(path_of(json_get(machine, "kvm")), O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return err_sys(op->err, "cannot open /dev/kvm (try vmctl doctor)");
	return put_fd(op, machine, "kvm", fd);
}

/* ---- disks ---- */

static int digit_of(char c)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c ? strchr(digits, c) : NULL;
	return at ? (int)(at - digits) : -1;
}

/* RFC 4648. Returns how many bytes @ret (of 3/4 of the text) got, or -EINVAL. */
static ssize_t decode(const char *text, unsigned char *ret)
{
	size_t n = 0;
	uint32_t bits = 0;
	unsigned int have = 0;
	for (; *text && *text != '='; text++) {
		int digit = digit_of(*text);
		if (digit < 0)
			return -EINVAL;
		bits = bits << 6 | (uint32_t)digit;
		have += 6;
		if (have >= 8) {
			have -= 8;
			ret[n++] = (unsigned char)(bits >> have);
		}
	}
	return (ssize_t)n;
}

/* A disk out of the document itself, padded to whole sectors. */
static int open_data(const char *text, struct err *err)
{
	cleanup_free unsigned char *bytes = malloc(strlen(text) / 4 * 3 + 4);
	ssize_t n = bytes ? decode(text, bytes) : -ENOMEM;
	if (n < 0)
		return err_rc(err, (int)n, "cannot read its data");
	cleanup_fd int fd = memfd_create("disk", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int rc = fd < 0 ? -errno : fd_write_all(fd, bytes, (size_t)n);
	if (rc == 0 && ftruncate(fd, (n + 511) / 512 * 512) < 0)
		rc = -errno;
	if (rc < 0)
		return err_rc(err, rc, "cannot keep its data");
	(void)fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
	return take_fd(&fd);
}

static int disk_flags(json_object *disk)
{
	const char *cache = json_str_or(disk, "cache", "");
	int flags = json_bool_or(disk, "readonly", false) ? O_RDONLY : O_RDWR;
	if (!strcmp(cache, "none"))
		flags |= O_DIRECT;
	return flags;
}

static int open_disk(struct opening *op, json_object *disk)
{
	json_object *source = json_get(disk, "source");
	const char *data = json_str_or(source, "data", NULL), *path = path_of(source);
	cleanup_fd int fd =
		data ? open_data(data, op->err) : open_file(path, disk_flags(disk), true, op->err);
	if (fd < 0)
		return fd;
	int rc = data ? 0 : lock_file(fd, json_bool_or(disk, "readonly", false), path, op->err);
	return rc < 0 ? rc : put_fd(op, disk, "source", take_fd(&fd));
}

int vm_disk_grow(struct vm *vm, const char *id, int64_t size, struct err *err)
{
	cleanup_json json_object *machine = NULL;
	json_object *disk = NULL;
	struct stat st;
	int rc = vm_machine_read(vm->k, &machine, err);
	if (rc < 0)
		return rc;
	json_object *list = json_get(machine, "disks");
	for (size_t i = 0; i < json_len(list) && !disk; i++)
		if (!strcmp(json_str_or(json_object_array_get_idx(list, i), "id", ""), id))
			disk = json_object_array_get_idx(list, i);
	const char *path = path_of(json_get(disk, "source"));
	if (!*path || json_bool_or(disk, "readonly", false))
		return err_set(err, EINVAL, "disk %s cannot be resized", id);
	cleanup_fd int fd = open_file(path, O_RDWR, false, err);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return err_sys(err, "cannot look at %s", path);
	/* Shrinking would cut off what the guest still counts on. */
	if (st.st_size > size)
		return err_set(err, EINVAL, "%s has %lld bytes already: disks only grow", path,
			       (long long)st.st_size);
	return ftruncate(fd, size) < 0 ? err_sys(err, "cannot grow %s", path) : 0;
}

static int open_pmem(struct opening *op, json_object *pmem)
{
	const char *path = path_of(json_get(pmem, "source"));
	cleanup_fd int fd = open_file(path, O_RDONLY, false, op->err);
	if (fd < 0)
		return fd;
	int rc = lock_file(fd, true, path, op->err);
	return rc < 0 ? rc : put_fd(op, pmem, "source", take_fd(&fd));
}

/* ---- networks ---- */

static int start_passt(struct opening *op, json_object *net)
{
	const struct vm_passt_args args = {
		.uid = (unsigned int)json_i64_or(json_get(op->machine, "jail"), "uid", NOBODY),
		.gid = (unsigned int)json_i64_or(json_get(op->machine, "jail"), "gid", NOBODY),
		.mtu = (unsigned int)json_i64_or(net, "mtu", 0),
	};
	return vm_passt_start(op->vm, &args, op->err);
}

static int open_net(struct opening *op, json_object *net)
{
	if (json_bool_or(net, "spare", false))
		return 0;
	if (json_get(net, "tap"))
		return vm_tap_open(op->vm, net, op->fds, op->err);
	json_object *socket = json_get(net, "socket");
	int fd = json_bool_or(socket, "passt", false) ? start_passt(op, net)
						      : vm_connect(path_of(socket), op->err);
	return fd < 0 ? fd : put_fd(op, net, "socket", fd);
}

/* ---- sockets and terminals ---- */

/* The root that a guest's holder has. */
static int open_root(struct opening *op, json_object *share)
{
	struct guest *g = op->vm->k->guest;
	if (!g || !g->k->ctr)
		return err_set(op->err, EINVAL, "only a guest has a root");
	int fd = vm_tree_start(op->vm, g->k->ctr, &op->vm->tree_pid, op->err);
	return fd < 0 ? fd : put_fd(op, share, "socket", fd);
}

static int open_share(struct opening *op, json_object *share)
{
	json_object *socket = json_get(share, "socket");
	const char *folder = json_str_or(socket, "folder", NULL);
	if (json_bool_or(socket, "root", false))
		return open_root(op, share);
	int fd = folder ? vm_share_start(op->vm, folder, json_bool_or(socket, "readonly", false),
					 op->err)
			: vm_connect(path_of(socket), op->err);
	return fd < 0 ? fd : put_fd(op, share, "socket", fd);
}

static int open_console(struct opening *op, json_object *console)
{
	json_object *source = json_get(console, "source");
	const struct vm_console *c = vm_console_find(op->vm, json_str_or(console, "id", ""));
	int fd = c ? fd_dup(c->master_fd) : vm_connect(path_of(source), op->err);
	if (fd < 0)
		return c ? err_rc(op->err, fd, "cannot hand over its terminal") : fd;
	return put_fd(op, console, "source", fd);
}

static int open_vsock(struct opening *op, json_object *machine)
{
	json_object *vsock = json_get(machine, "vsock");
	if (!vsock)
		return 0;
	int fd = fd_dup(op->vm->vsock.listen_fd);
	if (fd < 0)
		return err_rc(op->err, fd, "vsock: cannot hand over its socket");
	return put_fd(op, vsock, "listen", fd);
}

/* ---- all of them ---- */

static const struct {
	const char *key;
	int (*open)(struct opening *op, json_object *item);
} lists[] = {
	{ "disks", open_disk }, { "nets", open_net },         { "shares", open_share },
	{ "pmem", open_pmem },  { "consoles", open_console },
};

static int open_lists(struct opening *op, json_object *machine)
{
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		json_object *list = json_get(machine, lists[i].key);
		for (size_t k = 0; k < json_len(list); k++) {
			json_object *item = json_object_array_get_idx(list, k);
			if (lists[i].open(op, item) >= 0)
				continue;
			return err_prefix(op->err, "%s[%zu] (%s)", lists[i].key, k,
					  json_str_or(item, "id", json_str_or(item, "tag", "?")));
		}
	}
	return 0;
}

int vm_sources_open(struct vm *vm, json_object *machine, struct vm_fds *fds, struct err *err)
{
	struct opening op = { vm, machine, fds, err };
	json_object *boot = json_get(machine, "boot");
	int rc = open_kvm(&op, machine);
	if (rc == 0)
		rc = open_boot(&op, boot, "kernel");
	if (rc == 0)
		rc = open_boot(&op, boot, "initrd");
	if (rc == 0)
		rc = open_vsock(&op, machine);
	if (rc == 0)
		rc = open_lists(&op, machine);
	if (rc < 0)
		vm_fds_close(fds);
	return rc;
}
