/* SPDX-License-Identifier: Apache-2.0 */
/* login - see login.h. Runs in isola-image's jail. */
#include "login.h"

#include "isola/fd.h"
#include "isola/json.h"

#include <errno.h>
#include <string.h>

int job_login(const struct registry *r, struct net *net, json_object **ret_aux, struct err *err)
{
	cleanup_free char *identity = calloc(1, NET_URL_MAX);
	struct net_get g = { .method = "GET", .path = "/v2/", .ret_identity = identity };
	if (!identity)
		return err_set(err, ENOMEM, "out of memory");
	int rc = net_do(net, &g, err);
	if (rc == -EAGAIN)
		return err_set(err, EIO, "%s", g.text);
	if (rc == 0 && !strncmp(g.type, "text/html", 9))
		return err_set(err, EPROTO, "%s answers with a page of HTML: this is no registry",
			       r->host);
	if (rc < 0)
		return rc;
	*ret_aux = json_object_new_object();
	json_add_str(*ret_aux, "Status", "Login Succeeded");
	json_add_str(*ret_aux, "IdentityToken", identity);
	return 0;
}
