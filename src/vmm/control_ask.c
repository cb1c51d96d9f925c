/* SPDX-License-Identifier: Apache-2.0 */
/* control_ask - what the worker asks its keeper for: connections that it may not make
 * itself. See control.h. isola-vmm, loop. */
#include "control_priv.h"

#include "isola/fd.h"
#include "isola/json.h"

#include <errno.h>
#include <stdlib.h>

struct ask {
	struct list node;
	int64_t seq;
	control_connected_fn *fn;
	void *arg;
};

int control_ask_connect(struct control *control, uint32_t port, control_connected_fn *fn, void *arg)
{
	if (control->gone)
		return -EPIPE;
	if (control->n_asks == CONTROL_ASKS_MAX)
		return -EAGAIN;
	struct ask *ask = malloc(sizeof(*ask));
	json_object *msg = json_object_new_object();
	if (!ask || !msg) {
		free(ask);
		json_object_put(msg);
		return -ENOMEM;
	}
	*ask = (struct ask){ .seq = control->next_ask++, .fn = fn, .arg = arg };
	json_add_str(msg, "ask", "connect");
	json_add_i64(msg, "seq", ask->seq);
	json_add_i64(msg, "port", port);
	int rc = control_send(control, msg);
	if (rc < 0) {
		free(ask);
		return rc;
	}
	list_add_tail(&control->asks, &ask->node);
	control->n_asks++;
	return 0;
}

static void finish(struct control *c, struct ask *ask, int fd)
{
	list_del(&ask->node);
	c->n_asks--;
	ask->fn(ask->arg, fd);
	free(ask);
}

void control_answered(struct control *c, const struct request *r, int fd)
{
	list_for_each (pos, &c->asks) {
		struct ask *ask = container_of(pos, struct ask, node);
		if (ask->seq != r->seq)
			continue;
		if (r->code)
			fd_close(&fd);
		/* Neither a descriptor nor a reason is no answer that makes sense. */
		finish(c, ask, r->code ? -r->code : fd >= 0 ? fd : -EPROTO);
		return;
	}
	fd_close(&fd); /* of a question that was never asked */
}

void control_cancel_asks(struct control *c)
{
	while (!list_is_empty(&c->asks))
		finish(c, container_of(c->asks.next, struct ask, node), -ECANCELED);
}
