/* SPDX-License-Identifier: Apache-2.0 */
/* isola-resolver - names of containers for each other: answers DNS queries that come
 * through sockets in the containers' own network namespaces (client.h), from what isolad
 * told (control.h), or by asking the host's name servers (forward.h). What a container
 * or another name server sends is read here and nowhere else, in a jail (confine.h).
 *
 * isolad starts it with a connection as descriptor 3, when the first container needs it.
 * When that connection ends and nobody is left to be served, it ends; while containers
 * run it goes on without isolad, and the next isolad starts another in its place. */
#include "client.h"
#include "confine.h"
#include "control.h"

#include "isola/fd.h"
#include "isola/log.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

#define CONTROL_FD 3
#define CHECK_MS   250

static int begin(struct resolver *r, struct err *err)
{
	list_init(&r->clients);
	list_init(&r->gateways);
	r->control = (struct watch){ CONTROL_FD, control_on_ready };
	r->names = names_new();
	int rc = r->names ? loop_init(&r->loop) : -ENOMEM;
	if (rc == 0)
		rc = fd_set_nonblock(CONTROL_FD, true);
	if (rc == 0)
		rc = loop_add(&r->loop, &r->control, EPOLLIN);
	if (rc < 0)
		return err_rc(err, rc, "cannot watch the connection to isolad");
	forwards_init(&r->forwards, &r->loop);
	return 0;
}

static void run(struct resolver *r)
{
	int64_t checked_ms = 0;
	while (r->control.fd >= 0 || r->served) {
		loop_turn(&r->loop, r->forwards.under_way || r->streams ? CHECK_MS : -1);
		forwards_check(&r->forwards);
		if (r->loop.now_ms - checked_ms < CHECK_MS)
			continue;
		checked_ms = r->loop.now_ms;
		streams_check(r);
	}
}

int main(int argc, char **argv)
{
	struct resolver r = { 0 };
	struct err err = ERR_INIT;
	if (argc > 1) {
		(void)fprintf(stderr, "Usage: %s 3<>CONNECTION\n", argv[0]);
		return 2;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	(void)prctl(PR_SET_NAME, "isola-resolver"); /* executed by descriptor, it is a number */
	int rc = begin(&r, &err);
	if (rc == 0)
		rc = confine(&err);
	if (rc < 0) {
		(void)dprintf(STDERR_FILENO, "isola-resolver: %s\n", err.text);
		return 1;
	}
	run(&r);
	forwards_fini(&r.forwards);
	names_free(r.names);
	/* Nothing may run behind us: what looks for leaks needs calls that are gone. */
	_exit(0);
}
