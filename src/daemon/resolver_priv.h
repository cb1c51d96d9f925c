/* SPDX-License-Identifier: Apache-2.0 */
/* resolver_priv - what resolver.c and resolver_process.c share. */
#pragma once

#include "resolver.h"

struct known {
	struct list node;
	struct instance *inst; /* NULL: it has ended, and that is still to be told */
	char id[ID_SIZE];
	int fds[3]; /* kept, for another isola-resolver; a VM has the last one alone */
	bool dirty, told, sockets_told;
};

/* ---- resolver.c ---- */

/* Tells what has changed, as far as the connection takes it. */
void resolver_flush(struct isolad *d);
/* A new process knows nothing. */
void resolver_forget_told(struct isolad *d);

/* ---- resolver_gateway.c ---- */

/* False when the connection is full or gone. */
bool resolver_tell_gateways(struct isolad *d);
/* After a crash. */
void resolver_reopen_gateways(struct isolad *d);

/* ---- resolver_process.c ---- */

/* Starts it where it does not run; false when it cannot be had now. */
bool resolver_begin(struct isolad *d);
/* Lets it go: it ends when it serves nobody. */
void resolver_end(struct isolad *d);
int resolver_send(struct resolver *r, json_object *msg, const int *fds, size_t n_fds,
		  struct err *err);
void resolver_want_writable(struct resolver *r, bool on);
/* The one that an earlier isolad started. */
void resolver_find_old(struct isolad *d);
/* The host's name servers, separated by commas; owned. */
char *resolver_host_servers(void);
