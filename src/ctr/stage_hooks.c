/* SPDX-License-Identifier: Apache-2.0 */
/* stage_hooks - the hooks of a create and a start, seen from init. */
#include "channel.h"
#include "hooks.h"
#include "init.h"

#include <unistd.h>

static int run_here(const struct init *in, enum ctr_hook_kind kind, const char *status,
		    struct err *err)
{
	const struct hook_state state = {
		.id = in->id,
		.status = status,
		.pid = getpid(), /* as the container sees it (runtime.md "State") */
		.bundle = in->plan->args->bundle_path,
	};
	return hooks_run(in->spec, kind, &state, err);
}

/* The root is mounted and not yet "/": prestart and createRuntime run in the
 * parent, createContainer here, with paths of the host. */
int stage_create_hooks(struct init *in, struct err *err)
{
	if (in->spec->hooks[CTR_HOOK_PRESTART].n || in->spec->hooks[CTR_HOOK_CREATE_RUNTIME].n) {
		int rc = chan_send(in->sock, CHAN_HOOKS, 0, NULL, 0);
		if (rc < 0)
			return err_rc(err, rc, "cannot ask for the hooks");
		rc = chan_expect(in->sock, CHAN_HOOKS_DONE, err);
		if (rc < 0)
			return rc;
	}
	return run_here(in, CTR_HOOK_CREATE_CONTAINER, "creating", err);
}

/* In the container, with the payload's rights. */
int stage_start_hooks(struct init *in, struct err *err)
{
	return run_here(in, CTR_HOOK_START_CONTAINER, "created", err);
}
