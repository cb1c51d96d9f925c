/* SPDX-License-Identifier: Apache-2.0 */
/* root_image - see root_image.h. */
#include "root_image.h"

#include "create_priv.h"
#include "guests.h"
#include "images_priv.h"
#include "folders.h"
#include "isolad.h"
#include "isolation.h"
#include "persist.h"

#include "isola/fd.h"
#include "isola/image.h"
#include "isola/json.h"
#include "isola/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* What a start waits for without being told to (docs/guest.md has the times); of a larger
 * image the file is made behind, and the next container has it. */
#define WAIT_BYTES (128ll * 1024 * 1024)

/* One run of isola-image. */
struct making {
	struct list node;
	struct isolad *d;
	char id[80]; /* "sha256:..." */
	struct list waiters;
};

struct waiter {
	struct list node;
	struct instance *inst;
	op_done_fn *done;
	void *arg;
};

const char *guest_root_name(enum guest_root root)
{
	static const char *const names[] = { [GUEST_ROOT_NONE] = "",
					     [GUEST_ROOT_VIRTIOFS] = "virtiofs",
					     [GUEST_ROOT_EROFS] = "erofs" };
	return names[root];
}

const char *root_image_kind(const struct instance *inst)
{
	return guest_root_name(inst->guest_root == GUEST_ROOT_NONE ? GUEST_ROOT_VIRTIOFS
								   : inst->guest_root);
}

enum guest_root guest_root_parse(const char *name)
{
	return !strcmp(name, "erofs")      ? GUEST_ROOT_EROFS
	       : !strcmp(name, "virtiofs") ? GUEST_ROOT_VIRTIOFS
					   : GUEST_ROOT_NONE;
}

int root_image_find(const struct isolad *d, json_object *record, char *ret, size_t size)
{
	json_object *layers = json_get(record, "layers");
	size_t n = json_len(layers);
	struct stat st;
	if (!n || snprintf(ret, size, "%s/layers/%.64s/root.erofs", d->roots.state,
			   json_item_str(layers, n - 1)) >= (int)size)
		return 0;
	return lstat(ret, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0;
}

static bool is_there(const struct isolad *d, json_object *record)
{
	char path[PATH_MAX];
	return root_image_find(d, record, path, sizeof(path)) > 0;
}

/* ---- a start that waits ---- */

/* What an overlay of the one kind wrote would be misread by the other. */
static bool is_unwritten(const struct instance *inst)
{
	char path[ID_SIZE + 16];
	(void)snprintf(path, sizeof(path), "%s/%s", inst->id, folders_upper(inst));
	int fd = openat(inst->isolad->roots.instances_fd, path,
			O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	bool empty = dir != NULL && !inst->started_ns;
	struct dirent *e;
	if (!dir)
		fd_close(&fd);
	while (empty && (e = readdir(dir)))
		empty = !strcmp(e->d_name, ".") || !strcmp(e->d_name, "..");
	if (dir)
		(void)closedir(dir);
	return empty;
}

static bool give_up(struct instance *inst, const struct err *why)
{
	if (inst->isolad->stopping || !inst->guest_root_auto || !is_unwritten(inst))
		return false;
	log_warn(inst->id, "it has its root by virtio-fs: %s", why->text);
	inst->guest_root = GUEST_ROOT_VIRTIOFS;
	persist_save(inst, NULL, NULL);
	return true;
}

static void on_waited(struct waiter *w, const struct err *err)
{
	if (err && give_up(w->inst, err))
		err = NULL;
	w->done(w->arg, err, NULL);
	free(w);
}

bool root_image_cut(struct instance *inst)
{
	struct isolad *d = inst->isolad;
	struct err e = ERR_INIT;
	list_for_each (at, &d->root_makings) {
		struct making *m = container_of(at, struct making, node);
		list_for_each_safe (node, &m->waiters) {
			struct waiter *w = container_of(node, struct waiter, node);
			if (w->inst != inst)
				continue;
			list_del(&w->node);
			(void)err_set(&e, ECANCELED,
				      "it was stopped before its image's root image was made");
			later_done(d, w->done, w->arg, &e, NULL);
			free(w);
			return true;
		}
	}
	return false;
}

/* ---- making it ---- */

static struct making *find_making(const struct isolad *d, const char *id)
{
	list_for_each (node, &d->root_makings) {
		struct making *m = container_of(node, struct making, node);
		if (!strcmp(m->id, id))
			return m;
	}
	return NULL;
}

static void on_made(void *arg, const struct err *err, json_object *result)
{
	struct making *m = arg;
	(void)result;
	if (err && list_is_empty(&m->waiters))
		log_warn(NULL, "%s", err->text);
	list_del(&m->node);
	/* A waiter may start another. */
	list_for_each_safe (node, &m->waiters) {
		struct waiter *w = container_of(node, struct waiter, node);
		list_del(&w->node);
		on_waited(w, err);
	}
	free(m);
}

/* Begins, or finds what has begun. */
static int make(struct isolad *d, const char *id, struct making **ret, struct err *err)
{
	const char *const words[] = { "root", id, NULL };
	struct image_job *job = NULL;
	*ret = find_making(d, id);
	if (*ret)
		return 0;
	struct making *m = calloc(1, sizeof(*m));
	if (!m)
		return err_set(err, ENOMEM, "out of memory");
	m->d = d;
	list_init(&m->waiters);
	(void)snprintf(m->id, sizeof(m->id), "%s", id);
	int rc = job_start(d, words, -1, &job, NULL, on_made, m, err);
	if (rc < 0) {
		free(m);
		return rc;
	}
	job->tells_errno = true;
	list_add_tail(&d->root_makings, &m->node);
	*ret = m;
	return 0;
}

/* ---- the choice ---- */

static char *read_beside_kernel(const struct isolad *d, const char *name)
{
	char path[PATH_MAX], *text = NULL;
	const char *slash = strrchr(d->guests.kernel, '/');
	int n = slash ? snprintf(path, sizeof(path), "%.*s/%s", (int)(slash - d->guests.kernel),
				 d->guests.kernel, name)
		      : -1;
	if (n < 0 || n >= (int)sizeof(path) ||
	    fd_read_file(AT_FDCWD, path, 1024 * 1024, &text, NULL, NULL) < 0)
		return NULL;
	return text;
}

/* What the kernel for guests tells of itself, by its modules or its configuration. */
struct kernel {
	int has_erofs; /* and memory for it: 1 = yes, -1 = no, 0 = it does not say */
	/* Over an image by EROFS the writable layer is an upper layer by virtio-fs, of which
	 * Linux takes the name that an inode was found by for all its hard links: when it
	 * goes, the others are ESTALE. Ours and what guest/kernel/fetch makes of Debian's have
	 * that mended (guest/kernel/patches). */
	bool keeps_links;
};

static struct kernel look_at_kernel(const struct isolad *d)
{
	static const char *const modules[] = { " erofs.ko", " virtio_pmem.ko", " overlay.ko" };
	static const char *const options[] = { "\nCONFIG_EROFS_FS=y", "\nCONFIG_VIRTIO_PMEM=y",
					       "\nCONFIG_OVERLAY_FS=y" };
	cleanup_free char *list = read_beside_kernel(d, "modules/list");
	cleanup_free char *config = read_beside_kernel(d, "config");
	bool all = true;
	for (size_t i = 0; i < 3; i++)
		all &= list ? strstr(list, modules[i]) != NULL
			    : config && strstr(config, options[i]) != NULL;
	/* What is no module may be built in. */
	return (struct kernel){
		.has_erofs = all               ? 1
			     : config && !list ? -1
					       : 0,
		.keeps_links = config && strstr(config, "\nCONFIG_OVERLAY_FS_UPPER_UNLINKED=y"),
	};
}

/* Why there is no EROFS here, as part of a sentence; NULL when nothing is known against it.
 * @sure: what is not known counts, too. */
static const char *lacks(const struct isolad *d, const struct kernel *kernel, json_object *record,
			 bool sure)
{
	if (!json_len(json_get(record, "layers")))
		return "the image has no layers";
	if (kernel->has_erofs < 0 || (sure && kernel->has_erofs == 0))
		return "the kernel for guests lacks EROFS, virtio-pmem or overlayfs, or does not "
		       "say that it has them";
	if (!image_mkfs() && !is_there(d, record))
		return "there is no mkfs.erofs (package erofs-utils)";
	return NULL;
}

/* Whoever chose for one container is told in the answer, whoever did for all in the log. */
static void warn_of_links(struct instance *inst, bool wished, json_object *warnings)
{
	static const char text[] =
		"with root=erofs and this kernel for guests, hard links are lost when the first of "
		"them is removed (apt and dpkg make such), and there are no access control lists: "
		"use root=virtiofs, --read-only, or a kernel with our patches (guest/kernel/fetch "
		"or build)";
	struct guests *guests = &inst->isolad->guests;
	if (wished)
		create_warn(warnings, "%s", text);
	else if (!guests->warned_of_links)
		log_warn(NULL, "guest-root: %s", text);
	guests->warned_of_links |= !wished;
}

static enum guest_root choose_by_size(struct instance *inst)
{
	struct isolad *d = inst->isolad;
	struct making *m = NULL;
	struct err err = ERR_INIT;
	if (is_there(d, inst->image) || json_i64_or(inst->image, "size", 0) <= WAIT_BYTES)
		return GUEST_ROOT_EROFS;
	if (make(d, json_str_or(inst->image, "id", ""), &m, &err) < 0)
		log_warn(inst->id, "%s", err.text);
	return GUEST_ROOT_VIRTIOFS;
}

int root_image_choose(struct instance *inst, json_object *warnings, struct err *err)
{
	struct isolad *d = inst->isolad;
	json_object *host = inst->host_config;
	const char *wish = json_str_or(json_get(host, "StorageOpt"), "root", NULL);
	if (!isolation_is_vm(host))
		return wish ? err_set(err, EINVAL,
				      "HostConfig.StorageOpt (--storage-opt): root says what gives a "
				      "microVM its root, and this is a container (--isolation vm "
				      "makes it one)")
			    : 0;
	inst->guest_root = guest_root_parse(wish ? wish : d->config.guest_root);
	inst->guest_root_auto = inst->guest_root == GUEST_ROOT_NONE;
	const struct kernel kernel = look_at_kernel(d);
	const char *why = lacks(d, &kernel, inst->image, inst->guest_root_auto);
	bool keeps_links = kernel.keeps_links || json_bool_or(host, "ReadonlyRootfs", false);
	if (inst->guest_root_auto)
		inst->guest_root = why || !keeps_links ? GUEST_ROOT_VIRTIOFS : choose_by_size(inst);
	else if (inst->guest_root == GUEST_ROOT_EROFS && why)
		return err_set(err, EOPNOTSUPP, "%serofs is not possible here: %s",
			       wish ? "HostConfig.StorageOpt (--storage-opt) root=" : "guest-root ",
			       why);
	else if (inst->guest_root == GUEST_ROOT_EROFS && !keeps_links)
		warn_of_links(inst, wish != NULL, warnings);
	return 0;
}

/* ---- before a start ---- */

bool root_image_prepare(struct instance *inst, op_done_fn *done, void *arg)
{
	struct isolad *d = inst->isolad;
	struct making *m = NULL;
	struct err err = ERR_INIT;
	if (inst->guest_root != GUEST_ROOT_EROFS || is_there(d, inst->image))
		return true;
	struct waiter *w = calloc(1, sizeof(*w));
	int rc = w ? make(d, json_str_or(inst->image, "id", ""), &m, &err)
		   : err_set(&err, ENOMEM, "out of memory");
	if (rc == 0) {
		*w = (struct waiter){ .inst = inst, .done = done, .arg = arg };
		list_add_tail(&m->waiters, &w->node);
		return false;
	}
	free(w);
	if (give_up(inst, &err))
		return true;
	later_done(d, done, arg, &err, NULL);
	return false;
}
