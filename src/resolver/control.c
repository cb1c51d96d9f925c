/* SPDX-License-Identifier: Apache-2.0 */
/* control - see control.h. isola-resolver. */
#include "control.h"

#include "gateway.h"

#include "isola/fd.h"
#include "isola/id.h"
#include "isola/json.h"
#include "isola/list.h"
#include "isola/log.h"
#include "isola/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int set_host(struct resolver *r, json_object *msg)
{
	struct forward *old = r->host;
	r->host = forward_get(&r->forwards, json_str_or(msg, "servers", ""));
	forward_put(old);
	return 0;
}

static int set_member(struct resolver *r, json_object *msg, int *fds, size_t n_fds, struct err *err)
{
	struct member *m = NULL;
	if (n_fds != 0 && n_fds != 1 && n_fds != 3)
		return err_set(err, EINVAL, "a member with %zu descriptors", n_fds);
	int rc = names_set(r->names, json_str_or(msg, "id", ""), json_get(msg, "places"), &m, err);
	if (rc < 0)
		return rc;
	struct client *c = client_of(r, m);
	if (!c)
		c = client_new(r, m);
	if (!c) {
		names_remove(r->names, m);
		return err_set(err, ENOMEM, "out of memory");
	}
	client_set(c, json_bool_or(msg, "forward", false), json_str_or(msg, "servers", ""));
	if (!n_fds)
		return 0;
	rc = n_fds == 1 ? client_serve(c, -1, -1, take_fd(&fds[0]))
			: client_serve(c, take_fd(&fds[0]), take_fd(&fds[1]), take_fd(&fds[2]));
	return rc < 0 ? err_rc(err, rc, "cannot watch a member's sockets") : 0;
}

static int remove_member(struct resolver *r, json_object *msg)
{
	struct member *m = names_member(r->names, json_str_or(msg, "id", ""));
	struct client *c = m ? client_of(r, m) : NULL;
	if (c)
		client_free(c);
	return 0;
}

static int set_gateway(struct resolver *r, json_object *msg, int *fds, size_t n_fds,
		       struct err *err)
{
	const char *network = json_str_or(msg, "network", "");
	if (n_fds != 2 || !*network || strlen(network) >= ID_SIZE)
		return err_set(err, EINVAL, "a gateway with %zu descriptors", n_fds);
	int rc = gateway_serve(r, network, take_fd(&fds[0]), take_fd(&fds[1]));
	return rc < 0 ? err_rc(err, rc, "cannot watch a gateway's sockets") : 0;
}

static int keep_gateways(struct resolver *r, json_object *msg)
{
	gateways_keep(r, json_get(msg, "networks"));
	return 0;
}

int control_message(struct resolver *r, json_object *msg, int *fds, size_t n_fds, struct err *err)
{
	const char *op = json_str_or(msg, "op", "");
	int rc = !strcmp(op, "host")       ? set_host(r, msg)
		 : !strcmp(op, "set")      ? set_member(r, msg, fds, n_fds, err)
		 : !strcmp(op, "gone")     ? remove_member(r, msg)
		 : !strcmp(op, "gateway")  ? set_gateway(r, msg, fds, n_fds, err)
		 : !strcmp(op, "gateways") ? keep_gateways(r, msg)
					   : err_set(err, EINVAL, "unknown message '%.32s'", op);
	for (size_t i = 0; i < n_fds; i++)
		fd_close(&fds[i]);
	return rc;
}

void control_on_ready(struct watch *w, uint32_t events)
{
	struct resolver *r = container_of(w, struct resolver, control);
	cleanup_json json_object *msg = NULL;
	int fds[WIRE_FDS_MAX];
	size_t n_fds = 0;
	struct err err = ERR_INIT;
	(void)events;
	int rc = wire_recv(w->fd, &msg, fds, &n_fds, &err);
	if (rc == -EAGAIN)
		return;
	if (rc == 1) {
		if (control_message(r, msg, fds, n_fds, &err) < 0)
			log_warn(NULL, "%s", err.text);
		return;
	}
	loop_remove(&r->loop, w);
	fd_close(&w->fd);
}
