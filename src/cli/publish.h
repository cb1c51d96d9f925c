/* SPDX-License-Identifier: Apache-2.0 */
/* publish - the flags of run and create that are about ports and addresses and have a
 * grammar. */
#pragma once

#include "args.h"

#include <json-c/json.h>

/* --publish and --expose: ExposedPorts and PortBindings. */
int publish_flags(struct args *args, json_object *config, json_object *host, struct err *err);

/* What the list @flag publishes, into @host's PortBindings. */
int publish_bindings(struct args *args, const char *flag, json_object *host, struct err *err);

/* --publish-add and --publish-rm, and the body of their request; NULL without @err for
 * none. */
extern const struct flag flags_publish_live[];
json_object *publish_changes(struct args *args, struct err *err);

/* --ip, --ip6, --network-alias: NetworkingConfig, of @network (NULL: the default one). */
void network_flags(struct args *args, const char *network, json_object *config);
