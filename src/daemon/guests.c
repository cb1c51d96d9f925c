/* SPDX-License-Identifier: Apache-2.0 */
/* guests - see guests.h. */
#include "guests.h"

#include "isolad.h"

#include "isola/fd.h"
#include "isola/initrd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define INITRD "guest.initrd"

/* The folder of our own executable, with a slash behind. */
static char *find_init(const char *configured)
{
	char beside[PATH_MAX] = "";
	if (*configured)
		return strdup(configured);
	ssize_t n = readlink("/proc/self/exe", beside, sizeof(beside) - 32);
	beside[n < 0 ? 0 : n] = '\0';
	char *slash = strrchr(beside, '/');
	const char *const places[] = { "guest/init/isola-init", "isola-init" };
	for (size_t i = 0; slash && i < 2; i++) {
		strcpy(slash + 1, places[i]);
		if (access(beside, R_OK) == 0)
			return strdup(beside);
	}
	return strdup(ISOLA_LIBEXECDIR "/isola-init");
}

static char *join(const char *folder, const char *name)
{
	char *path = NULL;
	return asprintf(&path, "%s/%s", folder, name) < 0 ? NULL : path;
}

int guests_init(struct guests *g, const struct config *config, const char *state, const char *run,
		struct err *err)
{
	g->kernel =
		*config->guest_kernel ? strdup(config->guest_kernel) : join(state, "guest/kernel");
	g->init = find_init(config->guest_init);
	g->initrd = join(run, INITRD);
	return g->kernel && g->init && g->initrd ? 0 : err_set(err, ENOMEM, "out of memory");
}

/* ---- the initramfs ---- */

/* The folder of a kernel's modules: beside it, as guest/kernel/fetch makes it. NULL: it
 * has none, or memory is out. */
static char *modules_of(const struct guests *g)
{
	const char *slash = strrchr(g->kernel, '/');
	char *path = NULL;
	if (!slash || asprintf(&path, "%.*s/modules", (int)(slash - g->kernel), g->kernel) < 0)
		return NULL;
	char *list = join(path, "list");
	if (list && access(list, R_OK) == 0) {
		free(list);
		return path;
	}
	free(list);
	free(path);
	return NULL;
}

/* Another kernel may have been put into the place of the one before. */
static int64_t stamp_of(const struct guests *g)
{
	struct stat k = { 0 }, i = { 0 };
	(void)stat(g->kernel, &k);
	(void)stat(g->init, &i);
	return (int64_t)(k.st_ino ^ i.st_ino) ^ k.st_mtim.tv_sec ^ k.st_mtim.tv_nsec ^
	       i.st_mtim.tv_sec ^ i.st_mtim.tv_nsec ^ k.st_size;
}

int guests_make_initrd(struct isolad *d, struct err *err)
{
	struct guests *g = &d->guests;
	int64_t stamp = stamp_of(g);
	if (g->made && stamp == g->stamp)
		return 0;
	cleanup_free char *modules = modules_of(g);
	cleanup_fd int fd = openat(d->roots.run_fd, INITRD ".new",
				   O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int rc = fd < 0 ? err_sys(err, "cannot make the guests' initial RAM disk")
			: initrd_write(fd, g->init, modules, err);
	if (rc == 0 && renameat(d->roots.run_fd, INITRD ".new", d->roots.run_fd, INITRD) < 0)
		rc = err_sys(err, "cannot make the guests' initial RAM disk");
	if (rc < 0)
		(void)unlinkat(d->roots.run_fd, INITRD ".new", 0);
	g->made = rc == 0;
	g->stamp = stamp;
	return rc;
}

void guests_fini(struct guests *g)
{
	free(g->kernel);
	free(g->init);
	free(g->initrd);
	*g = (struct guests){ NULL };
}

struct need {
	const char *path, *what, *help;
};

#define N_NEEDS 3
static void list_needs(const struct isolad *d, struct need ret[N_NEEDS])
{
	ret[0] = (struct need){ d->programs.paths[PROGRAM_VMM], "isola-vmm is not installed",
				"install it" };
	ret[1] = (struct need){ d->guests.kernel, "there is no kernel for guests",
				"scripts/setup puts one there, guest/kernel/build makes one; "
				"isolad --guest-kernel names another" };
	ret[2] = (struct need){ d->guests.init, "isola-init is not installed",
				"isolad --guest-init names it" };
}

static bool is_there(const struct need *n)
{
	return n->path && access(n->path, R_OK) == 0;
}

bool guests_installed(const struct isolad *d)
{
	struct need needs[N_NEEDS];
	bool all = true;
	list_needs(d, needs);
	for (size_t i = 0; i < N_NEEDS; i++)
		all &= is_there(&needs[i]);
	return all;
}

/* What KVM lacks, as a sentence's part; "" when nothing is known against it. */
static const char *kvm_lacks(const struct isolad *d)
{
	if (access("/dev/kvm", F_OK) < 0)
		return "there is no KVM: no /dev/kvm (vmctl doctor says what this host lacks, and "
		       "what would help)";
	if (access("/dev/kvm", R_OK | W_OK) < 0)
		return "isolad may not use /dev/kvm (it has to run as root, outside of a container "
		       "without that device)";
	return d->kvm_probe.verdict == KVM_BROKEN ? d->kvm_probe.text : "";
}

const char *guests_missing(struct isolad *d)
{
	struct guests *g = &d->guests;
	struct need needs[N_NEEDS];
	char *at = g->missing, *end = at + sizeof(g->missing);
	*at = '\0';
	list_needs(d, needs);
	for (size_t i = 0; i < N_NEEDS; i++) {
		const struct need *n = &needs[i];
		if (is_there(n))
			continue;
		at += snprintf(at, (size_t)(end - at), "%s%s%s%s%s (%.256s)",
			       at > g->missing ? "; " : "", n->what, n->path ? " (" : "",
			       n->path ? n->path : "", n->path ? ")" : "", n->help);
		if (at >= end)
			return g->missing;
	}
	const char *kvm = kvm_lacks(d);
	if (*kvm)
		(void)snprintf(at, (size_t)(end - at), "%s%s", at > g->missing ? "; " : "", kvm);
	return *g->missing ? g->missing : NULL;
}

const char *guests_doubt(const struct isolad *d)
{
	return d->kvm_probe.silent ? d->kvm_probe.text : NULL;
}
