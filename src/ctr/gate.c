/* SPDX-License-Identifier: Apache-2.0 */
/* gate - from a created container to a running one: ctr_start(), ctr_let_go(),
 * ctr_gate_open() of ctr.h. Parent's side. */
#include "channel.h"
#include "create.h"
#include "hooks.h"
#include "notify.h"

#include "isola/fd.h"
#include "isola/pid.h"

#include <errno.h>
#include <signal.h>

struct starting {
	const struct ctr *ctr;
	const struct ctr_spec *spec;
	const char *bundle;
};

static int forward_listener(const struct starting *s, int listener, struct err *err)
{
	const struct hook_state state = { s->ctr->id, "created", s->ctr->pid, s->bundle };
	return notify_forward(s->spec, listener, &state, err);
}

/* Until init's end closes: the kernel does that when it executes the payload, or
 * ends init. Those two differ by the word that comes before. */
static int wait_exec(int sock, const struct starting *s, struct err *err)
{
	for (;;) {
		struct chan_msg msg;
		int fd = -1;
		size_t n = 0;
		int rc = chan_recv(sock, &msg, &fd, 1, &n);
		if (rc < 0)
			return err_rc(err, rc, "cannot hear the container's init");
		if (rc == 0)
			return 0;
		if (msg.type == CHAN_LISTENER && n == 1)
			rc = forward_listener(s, fd, err);
		else if (msg.type == CHAN_ERROR)
			rc = err_set(err, msg.value, "%s", msg.text);
		else
			rc = err_set(err, EPROTO, "unexpected message %d from init", msg.type);
		fd_close(&fd);
		if (rc < 0)
			return rc;
	}
}

static int start(int sock, const struct starting *s, struct err *err)
{
	int rc = chan_send(sock, CHAN_START, 0, NULL, 0);
	if (rc < 0)
		return err_rc(err, rc, "the container's init is gone");
	rc = wait_exec(sock, s, err);
	if (rc < 0)
		return rc;
	const struct hook_state state = { s->ctr->id, "running", s->ctr->pid, s->bundle };
	hooks_run_all(s->spec, CTR_HOOK_POSTSTART, &state);
	return 0;
}

int ctr_start(struct ctr *ctr, const struct ctr_spec *spec, struct err *err)
{
	struct ctr_gate *gate = ctr->gate;
	const struct starting s = { ctr, spec, gate ? gate->bundle : "" };
	if (!gate || gate->sock < 0)
		return err_set(err, EALREADY, "the container was started already");
	int rc = start(gate->sock, &s, err);
	fd_close(&gate->sock);
	if (rc < 0)
		(void)pid_signal(ctr->pidfd, SIGKILL);
	return rc;
}

int ctr_let_go(struct ctr *ctr, struct err *err)
{
	struct ctr_gate *gate = ctr->gate;
	if (!gate || gate->sock < 0 || !gate->external)
		return err_set(err, EINVAL, "the container has no gate of its own");
	int rc = chan_send(gate->sock, CHAN_LET_GO, 0, NULL, 0);
	if (rc < 0)
		return err_rc(err, rc, "the container's init is gone");
	rc = chan_expect(gate->sock, CHAN_GOES_ON, err);
	fd_close(&gate->sock);
	return rc;
}

int ctr_gate_open(int sock, const struct ctr *ctr, const struct ctr_spec *spec,
		  const char *bundle_path, struct err *err)
{
	const struct starting s = { ctr, spec, bundle_path };
	int rc = start(sock, &s, err);
	fd_close(&sock);
	return rc;
}
