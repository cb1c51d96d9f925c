/* SPDX-License-Identifier: Apache-2.0 */
/* login - does a registry take the credentials? (Docker Engine API, "Check auth
 * configuration"; OCI distribution-spec, end-1.) */
#pragma once

#include "net.h"

#include <json-c/json.h>

int job_login(const struct registry *r, struct net *net, json_object **ret_aux, struct err *err);
