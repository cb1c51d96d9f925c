/* SPDX-License-Identifier: Apache-2.0 */
/* routes_auth - log-ins at registries. Docker Engine API 1.47, "System". isolad, loop
 * thread. */
#include "routes.h"

#include "isola/fd.h"
#include "isola/json.h"

#include <errno.h>

static void on_checked(void *arg, const struct err *err, json_object *result)
{
	struct exchange *x = arg;
	if (err && err->code == EACCES) {
		reply_error(x, 401, "%s", err->text);
		exchange_unref(x);
	} else {
		done_ok_json(x, err, result);
	}
}

void auth_check(struct exchange *x)
{
	struct err err = ERR_INIT;
	cleanup_json json_object *body = NULL;
	if (request_json(x, &body, &err) < 0)
		reply_err(x, &err);
	else
		registry_login(x->isolad, body, on_checked, exchange_ref(x));
}
