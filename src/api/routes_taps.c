/* SPDX-License-Identifier: Apache-2.0 */
/* routes_taps - taps of networks for workers of the client's own: the descriptors go over the
 * connection, and what they belong to lasts as long as it. isolad, loop thread. */
#include "routes.h"

#include <http_parser.h>

/* x->user: the tap, until one side ends it; its callbacks hold a reference. */

static void on_gone(struct exchange *x)
{
	struct tap *tap = x->user;
	x->user = NULL;
	if (!tap)
		return;
	tap_close(tap);
	exchange_unref(x);
}

static void on_ready(void *arg, const struct err *err, json_object *facts, const int *fds,
		     size_t n_fds)
{
	struct exchange *x = arg;
	if (!err) {
		(void)stream_lend(x, facts, fds, n_fds);
		return;
	}
	x->user = NULL;
	reply_err(x, err);
	exchange_unref(x);
}

static void on_put_out(void *arg)
{
	exchange_end(arg);
}

static const char *asked(const struct exchange *x, const char *key)
{
	const char *text = query_get(&x->query, key);
	return text ? text : "";
}

void networks_tap(struct exchange *x)
{
	struct err err = ERR_INIT;
	struct network *net = route_network(x);
	int64_t queues = 1;
	if (!net)
		return;
	if (!x->wants_upgrade || x->method != HTTP_GET) {
		reply_error(x, 426,
			    "a tap's descriptors come with an upgraded connection: send "
			    "Connection: Upgrade and Upgrade: tap");
		return;
	}
	struct tap_request ask = { asked(x, "name"), asked(x, "mac"), asked(x, "ip"),
				   asked(x, "ip6"), 1 };
	struct tap *tap = NULL;
	if (request_i64(x, "queues", 1, TAP_QUEUES_MAX, 1, &queues, &err) == 0) {
		ask.queues = (unsigned int)queues;
		tap = tap_open(net, &ask, on_ready, on_put_out, x, &err);
	}
	if (!tap) {
		reply_err(x, &err);
		return;
	}
	(void)exchange_ref(x);
	x->user = tap;
	x->on_gone = on_gone;
}
