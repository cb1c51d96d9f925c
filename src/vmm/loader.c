/* SPDX-License-Identifier: Apache-2.0 */
/* loader - see loader.h. */
#include "loader.h"

#include "isola/fd.h"

#include "thread.h"
#include "vm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

struct loader {
	pthread_t thread;
	bool has_thread;
	struct vm *vm;
	int kernel_fd, initrd_fd;
	gpa_t rsdp;
	/* the thread's until it is joined */
	int rc;
	struct err err;
	struct boot_entry entry;
};

static void *load(void *arg)
{
	struct loader *l = arg;
	l->rc = boot_load(l->vm, l->kernel_fd, l->initrd_fd, l->vm->machine->cmdline, l->rsdp,
			  &l->entry, &l->err);
	return NULL;
}

static void loader_free(struct loader *l)
{
	fd_close(&l->kernel_fd);
	fd_close(&l->initrd_fd);
	free(l);
}

static int open_images(struct loader *l, const struct machine *m, struct err *err)
{
	l->kernel_fd = source_open(&m->kernel, O_RDONLY, err);
	if (l->kernel_fd < 0)
		return err_prefix(err, "boot.kernel");
	if (!m->initrd.path && m->initrd.fd < 0)
		return 0;
	l->initrd_fd = source_open(&m->initrd, O_RDONLY, err);
	return l->initrd_fd < 0 ? err_prefix(err, "boot.initrd") : 0;
}

int loader_start(struct vm *vm, gpa_t rsdp, struct loader **ret, struct err *err)
{
	struct loader *l = malloc(sizeof(*l));
	if (!l)
		return err_set(err, ENOMEM, "out of memory");
	*l = (struct loader){
		.vm = vm, .kernel_fd = -1, .initrd_fd = -1, .rsdp = rsdp, .err = ERR_INIT
	};
	int rc = open_images(l, vm->machine, err);
	if (rc < 0) {
		loader_free(l);
		return rc;
	}
	l->has_thread = thread_start(&l->thread, 0, NULL, load, l) == 0;
	if (!l->has_thread)
		(void)load(l); /* later costs time, nothing else */
	*ret = l;
	return 0;
}

int loader_end(struct loader *l, struct boot_entry *ret, struct err *err)
{
	if (!l)
		return 0;
	if (l->has_thread)
		(void)pthread_join(l->thread, NULL);
	int rc = l->rc;
	if (rc < 0)
		rc = err_set(err, -rc, "boot: %s", l->err.text);
	else
		*ret = l->entry;
	loader_free(l);
	return rc;
}
