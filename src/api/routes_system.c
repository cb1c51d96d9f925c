/* SPDX-License-Identifier: Apache-2.0 */
/* routes_system - ping, version, info and this API's own description. Docker
 * Engine API 1.47, "System". isolad, loop thread. */
#include "openapi.h"
#include "routes.h"

#include <stdio.h>

void system_ping(struct exchange *x)
{
	(void)snprintf(x->fields, sizeof(x->fields),
		       "Cache-Control: no-cache, no-store, must-revalidate\r\n"
		       "Pragma: no-cache\r\nSwarm: inactive\r\n");
	reply_text(x, 200, "text/plain; charset=utf-8", "OK", 2);
}

void system_get_version(struct exchange *x)
{
	reply_json(x, 200, system_version(x->isolad));
}

void system_get_info(struct exchange *x)
{
	reply_json(x, 200, system_info(x->isolad));
}

void system_get_openapi(struct exchange *x)
{
	reply_text(x, 200, "application/json", openapi_text, openapi_size);
}
