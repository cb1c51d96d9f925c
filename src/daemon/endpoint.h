/* SPDX-License-Identifier: Apache-2.0 */
/* endpoint - an instance's place in a network: its lease, and its link while it runs.
 *
 *   create -> endpoints_create()                                 leased
 *   start  -> veth: keeper has made the container -> endpoints_up()   linked
 *          -> tap: endpoints_up() -> keeper makes the VM -> it runs: endpoints_settled()
 *   payload's end -> endpoints_down()                            leased
 *   rm     -> endpoints_free()                                   gone
 *
 * Which kind of link an instance has is asked of endpoint_link(), and nowhere else. A
 * tap is given to a worker by its name in the machine file, {"tap": {"port": name}}
 * (isola/keeper.h): vm_endpoint_net() makes that item, with the lease's MAC. The address
 * itself is e->addr in e->network->v4.subnet behind e->network->v4.gateway: a guest asks for it
 * by DHCP, or is told by who makes its machine file.
 *
 * Loop thread. */
#pragma once

#include "isola/instance.h"
#include "isola/net.h"
#include "network.h"

struct op;

struct endpoint {
	struct list node;   /* in inst->endpoints, by index */
	struct list member; /* in network->members */
	struct instance *inst;
	struct network *network;
	char id[ID_SIZE];
	unsigned int index;          /* eth<index> */
	struct net_addr addr, addr6; /* 6: where the network has IPv6 */
	uint8_t mac[6];
	json_object *aliases; /* array of strings, owned; NULL = none */
	bool asked_addr, asked_addr6;
	bool live;  /* counted in network->live */
	int tap_fd; /* keeps a tap until the keeper does; -1 */
	int ns_fd;  /* where a macvlan is, to remove it there; -1 */
	bool dhcp_told;
	bool leaving; /* no part of the record any more */
	bool late;    /* its device has come to a plain VM that ran: one of one queue */
};

/* What a binding of the host leads to. */
struct net_addrs endpoint_addrs(const struct endpoint *e);
/* Its link, for the kernel. */
void endpoint_port(const struct endpoint *e, struct net_port *ret);

/* By what @inst meets its networks. */
enum net_link endpoint_link(const struct instance *inst);

/* Whether what @e is the gateway of can be reached by ports of the host: not where members
 * have addresses of their own beside the host's. */
bool endpoint_publishes(const struct endpoint *e);

/* Published ports of a run. */
struct bindings {
	struct net_binding *items;
	size_t n;
};

void bindings_clear(struct bindings *b);

/* The membership that HostConfig.NetworkMode, NetworkingConfig and MacAddress of a new
 * instance ask for, with its lease. Nothing for none and host. */
int endpoints_create(struct instance *inst, struct err *err);
/* One more: of @net, with an EndpointSettings (NULL = all by itself). */
int endpoint_add(struct instance *inst, struct network *net, json_object *settings,
		 struct endpoint **ret, struct err *err);
void endpoint_free(struct endpoint *e);
void endpoints_free(struct instance *inst);
/* The host's end: "veth" or "tap", 8 digits of the instance's id, the index. */
void endpoint_host_name(const struct endpoint *e, char ret[NET_NAME_SIZE]);
struct endpoint *endpoint_find(struct instance *inst, const struct network *net);
/* The one with the default route, or NULL. */
struct endpoint *endpoint_gateway(struct instance *inst);

/* Record: "endpoints" and "bindings"; NULL when there are none. */
json_object *endpoints_record(const struct instance *inst);
json_object *bindings_record(const struct instance *inst);
int endpoints_load(struct instance *inst, json_object *doc, struct err *err);

/* ---- the kernel (plug.c) ---- */

typedef void plug_fn(void *arg, const struct err *err);

/* Links all endpoints, publishes the bindings, and calls @done; on failure nothing is
 * left. @pid: the process that the keeper has made (veth), or 0 (tap). @inst must not go
 * away meanwhile. */
void endpoints_up(struct instance *inst, pid_t pid, plug_fn *done, void *arg);
/* The keeper has opened the taps: isolad's own descriptors go. */
void endpoints_settled(struct instance *inst);
/* As endpoints_up() for one, of a container that runs. */
void endpoint_up(struct endpoint *e, plug_fn *done, void *arg);
/* The end of a run: links, rules and ports of the host go, leases stay. Returns at
 * once; @inst may go away. */
void endpoints_down(struct instance *inst);
/* Unlinks one of an instance that runs, which keeps a default route where it can; @e may
 * go away, the instance not before @done. */
void endpoint_down(struct endpoint *e, plug_fn *done, void *arg);
/* What recovery found running. */
void endpoints_adopt(struct instance *inst);

/* ---- published ports (publish.c) ---- */

/* Takes all ports that the instance publishes; on failure none. */
int publish_take(struct instance *inst, struct err *err);
/* HostIp and HostPort of one binding (NULL: any); 0-0 = whichever port is free. */
int publish_parse_host(json_object *o, struct net_addr *ret_ip, struct net_ports *ret,
		       struct err *err);
/* Takes the ports of the host that publish @key ("80/tcp") of @to as @list says, appending
 * to @b: where it names no address, those of both families that @to has. What is in @held (may be NULL) is taken by ourselves: it gets a descriptor of the
 * same port. On failure what was appended stays. */
int publish_take_key(struct bindings *b, const struct endpoint *to, const char *key,
		     json_object *list, const struct bindings *held, struct err *err);

/* publish_live.c: whether the body of an update is about ports, and the op for it. */
bool publish_is_asked(json_object *body);
void publish_update_run(struct op *op);

/* ---- views (view_network.c, stats_network.c) ---- */

json_object *view_endpoints(struct instance *inst); /* name -> EndpointSettings */
void view_add_network_settings(json_object *o, struct instance *inst); /* over the empty fields */
json_object *view_ports(struct instance *inst);                        /* as in ps */
/* Docker's "networks" of a sample: eth0 and the like -> counters; NULL when it has none. */
json_object *stats_networks(const struct instance *inst);
