/* SPDX-License-Identifier: Apache-2.0 */
/* guests - see guests.h. */
#include "guests.h"

#include "isolad.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *place(const char *configured, const char *state, const char *name)
{
	char *path = NULL;
	if (*configured)
		return strdup(configured);
	return asprintf(&path, "%s/guest/%s", state, name) < 0 ? NULL : path;
}

int guests_init(struct guests *g, const struct config *config, const char *state, struct err *err)
{
	g->kernel = place(config->guest_kernel, state, "kernel");
	g->initrd = place(config->guest_initrd, state, "initrd");
	return g->kernel && g->initrd ? 0 : err_set(err, ENOMEM, "out of memory");
}

void guests_fini(struct guests *g)
{
	free(g->kernel);
	free(g->initrd);
	*g = (struct guests){ NULL };
}

const char *guests_missing(struct isolad *d)
{
	struct guests *g = &d->guests;
	const struct {
		const char *path, *what, *help;
	} needs[] = {
		{ d->programs.paths[PROGRAM_VMM], "isola-vmm is not installed", "install it" },
		{ g->kernel, "there is no kernel for guests",
		  "put one there (guest/kernel/build makes one), or name one: isolad "
		  "--guest-kernel" },
		{ g->initrd, "there is no initramfs for guests", "isolad --guest-initrd names it" },
		{ "/dev/kvm", "there is no KVM",
		  "vmctl doctor says what this host lacks, and what would help" },
	};
	for (size_t i = 0; i < sizeof(needs) / sizeof(needs[0]); i++) {
		if (needs[i].path && access(needs[i].path, R_OK) == 0)
			continue;
		(void)snprintf(g->missing, sizeof(g->missing), "%s%s%s%s (%s)", needs[i].what,
			       needs[i].path ? " (" : "", needs[i].path ? needs[i].path : "",
			       needs[i].path ? ")" : "", needs[i].help);
		return g->missing;
	}
	return NULL;
}
