/* SPDX-License-Identifier: Apache-2.0 */
/* network - the networks that isolad manages, who is in them, and their way into the
 * kernel. "host" and "none" are not among them: nothing has to be done for them.
 *
 * A network is a record, <state>/networks/<id>.json. Its bridge is there while a
 * member runs, and some seconds longer. An address is leased with the membership,
 * from `create` or `network connect` to `rm` or `disconnect`, and is written in the
 * instance's own record (endpoint.h): there is no second list that could say
 * otherwise, and none that a crash could leave behind. Loop thread. */
#pragma once

#include "isola/id.h"
#include "isola/list.h"
#include "isola/net.h"
#include "netjob.h"

#include <json-c/json.h>

#define NETWORK_DEFAULT "bridge"

struct isolad;
struct timer;

/* What a network has of one family. */
struct addressing {
	struct net_prefix subnet, range; /* of family 0: nothing */
	struct net_addr gateway, last;   /* last: leased last */
	bool asked;                      /* the subnet, in the request */
};

struct network {
	struct list node;
	struct isolad *isolad;
	char id[ID_SIZE];
	char *name;
	struct addressing v4, v6;
	bool internal, attachable, ipv6; /* ipv6: has it, or gets it */
	enum net_kind kind;
	char bridge[NET_NAME_SIZE]; /* a macvlan's: its parent */
	enum net_mode mode;         /* macvlan */
	bool unguarded;             /* a member may send with any address */
	bool own_parent;            /* macvlan: a dummy, as none was named */
	unsigned int mtu;           /* 0: the kernel's default */
	json_object *labels, *options;
	int64_t created_ns;
	struct list members; /* struct endpoint.member */
	unsigned int live;   /* members that run, or are about to */
	bool busy;           /* being created or removed */
	bool up;             /* the bridge may be there */
	struct timer *idle;
	int names_fds[2]; /* of net_gateway_open(), kept for another isola-resolver; -1 */
	bool names_told;
};

struct networks {
	struct list all;  /* struct network, oldest first; the default one too */
	struct list jobs; /* struct netjob that wait */
	struct netjob *job;
	struct net *net;
	int dir_fd;         /* <state>/networks */
	char *conflict;     /* what of others' rules stands in the way, or NULL */
	uint64_t looked_ms; /* for it */
};

void networks_init(struct networks *all);
/* Reads the records and makes the default network's where there is none. */
int networks_open(struct isolad *d, struct err *err);
/* Once it is known what runs, before isolad serves: our rules are made anew for it,
 * links of what does not run are removed. Blocks for a moment. */
void networks_recover(struct isolad *d);
/* At the end: bridges that nobody uses go at once. */
void networks_stop(struct isolad *d);
void networks_fini(struct isolad *d);

/* By id; for records. NULL when there is none. */
struct network *network_by_id(struct isolad *d, const char *id);

/* Each of its bridges' and rules' uses: one more, one less. */
void network_use(struct network *net);
void network_unuse(struct network *net);

/* create, destroy; connect, disconnect with the id of the @container. events.c */
void events_emit_network(struct isolad *d, const char *action, const struct network *net,
			 const char *container);

void network_bridge(const struct network *net, struct net_bridge *ret);
/* "bridge", "macvlan". */
const char *network_driver(const struct network *net);

/* network_record.c: the record and back; borrowed, owned. */
json_object *network_record(const struct network *net);
int network_load(struct network *net, json_object *doc, struct err *err);
/* A NetworkCreateRequest; fills @net but for subnet and range where none was asked for. */
int network_check(struct network *net, json_object *body, struct err *err);

/* network_options.c: takes the options of a request or a record, an object of strings or
 * NULL, into @net. -EINVAL, -EOPNOTSUPP name the option. */
int network_take_options(struct network *net, json_object *options, struct err *err);
/* What a link can be called, as far as we go. */
bool network_is_bridge_name(const char *text);
