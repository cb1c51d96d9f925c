/* SPDX-License-Identifier: Apache-2.0 */
/* resolver - isolad's side of isola-resolver (src/resolver/main.c): which names there
 * are, and at which sockets containers ask for them. isolad itself never reads a query.
 *
 * It runs while an instance runs that is in a network with names, and some seconds
 * longer. When it dies, isolad starts another with the same sockets, in which questions
 * wait meanwhile. When isolad dies, it goes on; the next isolad opens new sockets beside
 * its, starts another resolver, and ends the old one. Loop thread. */
#pragma once

#include "endpoint.h"
#include "isola/instance.h"
#include "network.h"

#include <uv.h>

struct child;
struct connection;
struct timer;

struct resolver {
	struct child *child;     /* NULL while none runs */
	struct connection *conn; /* to it */
	struct list known;       /* struct known: instances it knows of, or should */
	uv_fs_poll_t *host_file; /* the host's resolv.conf is watched */
	bool host_told;
	struct timer *idle, *again;
	uint64_t born_ms;
	unsigned int opening; /* jobs of the recovery */
	bool gateways_gone;   /* some, which is still to be told */
	int old_pidfd;        /* an earlier isolad's; -1 */
};

void resolver_init(struct resolver *r);
/* It lives on while what it serves runs. */
void resolver_stop(struct isolad *d);
void resolver_fini(struct isolad *d);

/* Whether members of @net have names for each other: as in Docker, not in the default
 * network. */
bool resolver_serves(const struct network *net);
/* Whether @inst is in one of those. */
bool resolver_is_wanted(const struct instance *inst);

/* The instance runs, or is about to, in networks with names. @fds: of
 * net_resolver_open(), taken; NULL for a VM, which asks at gateways. */
void resolver_add(struct instance *inst, int fds[3]);
/* A VM's keeper runs, so it is served as long as that does. */
void resolver_settle(struct instance *inst);
bool resolver_knows(const struct instance *inst);
/* Its name or its networks have changed. */
void resolver_update(struct instance *inst);
/* The end of its run; it may go away. */
void resolver_remove(struct instance *inst);

/* resolver_gateway.c: where VMs ask. Whether @net is to have sockets and has not; they are
 * opened behind its bridge, and go with it. @fds: taken. */
bool resolver_gateway_is_missing(const struct network *net);
void resolver_gateway_open(struct network *net, int fds[2]);
void resolver_gateway_close(struct network *net);

/* After what runs has been adopted. */
void resolver_recover(struct isolad *d);

/* The names of a member in one network, its own first; owned. */
json_object *resolver_names(const struct endpoint *e);
