/* SPDX-License-Identifier: Apache-2.0 */
/* exchange - its life; see exchange.h. isolad, loop thread. */
#include "exchange.h"

#include "conn.h"
#include "router.h"
#include "server.h"

#include <stdlib.h>

struct exchange *exchange_new(struct conn *conn)
{
	struct exchange *x = calloc(1, sizeof(*x));
	if (!x)
		return NULL;
	x->refs = 1;
	x->conn = conn;
	x->isolad = conn->server->isolad;
	x->api_minor = API_VERSION_MINOR;
	return x;
}

struct exchange *exchange_ref(struct exchange *x)
{
	x->refs++;
	return x;
}

void exchange_unref(struct exchange *x)
{
	if (!x || --x->refs > 0)
		return;
	if (x->free_user)
		x->free_user(x->user);
	for (size_t i = 0; i < ROUTE_PARAMS_MAX; i++)
		free(x->param[i]);
	query_fini(&x->query);
	strbuf_fini(&x->url);
	strbuf_fini(&x->body);
	strbuf_fini(&x->registry_auth);
	free(x->refuse_text);
	free(x->long_fields);
	free(x);
}
