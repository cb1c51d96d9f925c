/* SPDX-License-Identifier: Apache-2.0 */
/* dhcp - see dhcp.h. A port's socket is made for the telling and not kept. */
#include "dhcp.h"

#include "isola/dhcp.h"
#include "isola/fd.h"
#include "isola/json.h"
#include "isola/mac.h"
#include "isola/wire.h"

#include "bundle_priv.h"
#include "child.h"
#include "isolad.h"
#include "life.h"
#include "name_servers.h"
#include "resolver.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

/* One that dies sooner than this is not started again at once. */
#define SOON_MS  5000
#define AGAIN_MS 1000
/* When its socket is full. */
#define FULL_MS      20
#define MTU          1500
#define DNS_MAX      3
#define DNS_LOOK     64 /* lines that are looked at for these */
#define NAME_MAX_LEN 63

void dhcp_init(struct dhcp *dhcp)
{
	*dhcp = (struct dhcp){ .sock = -1 };
}

/* ---- what a port is told by ---- */

static bool is_host_name(const char *name)
{
	size_t n = strlen(name);
	for (const char *p = name; *p; p++)
		if (!isalnum((unsigned char)*p) && *p != '-')
			return false;
	return n > 0 && n <= NAME_MAX_LEN && name[n - 1] != '-';
}

static void add_host_name(json_object *o, const struct instance *inst)
{
	char id[ID_SHORT_LEN + 1];
	(void)snprintf(id, sizeof(id), "%s", inst->id);
	json_add_str(o, "hostname", inst->name && is_host_name(inst->name) ? inst->name : id);
}

/* The host's servers of IPv4, but for those on its loopback, which are not the guest's. */
static json_object *guest_servers(void)
{
	struct net_addr addrs[DNS_LOOK];
	json_object *list = json_object_new_array();
	size_t n = name_servers(bundle_host_resolv(), addrs, DNS_LOOK);
	for (size_t i = 0; i < n && json_len(list) < DNS_MAX; i++) {
		char text[NET_ADDR_TEXT];
		if (addrs[i].family == AF_INET && addrs[i].bytes[0] != 127)
			(void)json_object_array_add(list, json_object_new_string(net_addr_format(
								  &addrs[i], text, sizeof(text))));
	}
	return list;
}

static json_object *one_server(const char *addr)
{
	json_object *list = json_object_new_array();
	(void)json_object_array_add(list, json_object_new_string(addr));
	return list;
}

json_object *dhcp_servers(const struct endpoint *e)
{
	char gateway[NET_ADDR_TEXT];
	/* Where there are names, all others are asked of the gateway, too. */
	if (resolver_serves(e->network))
		return one_server(
			net_addr_format(&e->network->v4.gateway, gateway, sizeof(gateway)));
	return endpoint_gateway(e->inst) == e ? guest_servers() : NULL;
}

static json_object *describe(struct endpoint *e)
{
	json_object *o = json_object_new_object();
	bool out = endpoint_gateway(e->inst) == e;
	char name[NET_NAME_SIZE], mac[MAC_TEXT], addr[NET_ADDR_TEXT], gateway[NET_ADDR_TEXT];
	endpoint_host_name(e, name);
	net_addr_format(&e->network->v4.gateway, gateway, sizeof(gateway));
	json_add_str(o, "port", name);
	json_add_str(o, "mac", mac_format(e->mac, mac, sizeof(mac)));
	json_add_str(o, "address", net_addr_format(&e->addr, addr, sizeof(addr)));
	json_add_i64(o, "prefix", e->network->v4.subnet.len);
	json_add_str(o, "server", gateway);
	json_add_str(o, "router", out ? gateway : "");
	json_object *servers = dhcp_servers(e);
	if (servers)
		json_add(o, "dns", servers);
	json_add_i64(o, "mtu", e->network->mtu ? e->network->mtu : MTU);
	add_host_name(o, e->inst);
	return o;
}

static int tell(struct isolad *d, struct endpoint *e, struct err *err)
{
	char name[NET_NAME_SIZE];
	cleanup_json json_object *msg = describe(e);
	cleanup_fd int fd = -1;
	endpoint_host_name(e, name);
	int rc = net_dhcp_socket(name, &fd, err);
	return rc < 0 ? rc : wire_send(d->dhcp.sock, msg, &fd, 1, err);
}

/* ---- all of them ---- */

static bool is_served(const struct endpoint *e)
{
	/* A container in a VM is told by its keeper. */
	return e->live && e->inst->kind == INSTANCE_VM;
}

typedef bool each_fn(struct isolad *d, struct endpoint *e);

/* Until @each says false. */
static bool for_each(struct isolad *d, each_fn *each)
{
	list_for_each (net_node, &d->networks.all) {
		struct network *net = container_of(net_node, struct network, node);
		list_for_each (node, &net->members) {
			struct endpoint *e = container_of(node, struct endpoint, member);
			if (is_served(e) && !each(d, e))
				return false;
		}
	}
	return true;
}

static bool none(struct isolad *d, struct endpoint *e)
{
	(void)d;
	(void)e;
	return false;
}

static bool untell(struct isolad *d, struct endpoint *e)
{
	(void)d;
	e->dhcp_told = false;
	return true;
}

/* ---- the process ---- */

static void let_go(struct isolad *d)
{
	struct dhcp *dhcp = &d->dhcp;
	timer_stop(&dhcp->again);
	fd_close(&dhcp->sock);
	child_forget(dhcp->child);
	dhcp->child = NULL;
	(void)for_each(d, untell);
}

static void on_again(void *arg)
{
	struct isolad *d = arg;
	timer_stop(&d->dhcp.again);
	dhcp_flush(d);
}

static void try_again(struct isolad *d, unsigned int ms)
{
	if (!d->dhcp.again && !d->stopping)
		d->dhcp.again = timer_start(d, ms, on_again, d);
}

static void on_exit_of(void *arg, int status)
{
	struct isolad *d = arg;
	d->dhcp.child = NULL;
	let_go(d);
	log_warn(NULL, "isola-dhcp ended (%s %d)", WIFSIGNALED(status) ? "signal" : "status",
		 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	try_again(d, uv_now(&d->loop) - d->dhcp.born_ms < SOON_MS ? AGAIN_MS : 1);
}

static int begin(struct isolad *d, struct err *err)
{
	static const char *const argv[] = { "isola-dhcp", NULL };
	struct dhcp *dhcp = &d->dhcp;
	int socks[2];
	int rc = wire_pair(socks, err);
	if (rc < 0)
		return rc;
	const struct child_args args = { .program = PROGRAM_DHCP,
					 .argv = argv,
					 .stdin_fd = -1,
					 .stdout_fd = -1,
					 .fd3 = socks[1] };
	dhcp->born_ms = uv_now(&d->loop);
	rc = fd_set_nonblock(socks[0], true);
	if (rc == 0)
		rc = child_spawn(d, &args, on_exit_of, d, &dhcp->child, err);
	fd_close(&socks[1]);
	if (rc < 0)
		fd_close(&socks[0]);
	else
		dhcp->sock = socks[0];
	return rc;
}

static bool flush_one(struct isolad *d, struct endpoint *e)
{
	struct err err = ERR_INIT;
	int rc = e->dhcp_told ? 0 : tell(d, e, &err);
	if (rc == -EAGAIN) {
		try_again(d, FULL_MS);
		return false;
	}
	/* It has ended, of which we hear. */
	if (rc == -EPIPE || rc == -ECONNRESET)
		return false;
	e->dhcp_told = true;
	if (rc < 0)
		log_warn(e->inst->id, "its guest gets no address by DHCP: %s", err.text);
	return true;
}

void dhcp_flush(struct isolad *d)
{
	struct dhcp *dhcp = &d->dhcp;
	struct err err = ERR_INIT;
	if (d->stopping || dhcp->again || for_each(d, none))
		return;
	int rc = dhcp->sock >= 0 ? 0 : begin(d, &err);
	if (rc == 0) {
		(void)for_each(d, flush_one);
		return;
	}
	if (!dhcp->missing)
		log_error(NULL, "guests get no addresses by DHCP: %s", err.text);
	dhcp->missing = true;
}

void dhcp_forget(struct endpoint *e)
{
	struct isolad *d = e->network->isolad;
	e->dhcp_told = false;
	if (for_each(d, none))
		let_go(d);
}

void dhcp_stop(struct isolad *d)
{
	let_go(d);
}
