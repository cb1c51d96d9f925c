/* SPDX-License-Identifier: Apache-2.0 */
/* guest_setup - config.json as the SETUP of isola/guest.h: what a guest is made of before
 * its first process. The other side of guest_split.h. Pure but for the clock. */
#pragma once

#include "isola/err.h"
#include "isola/tlv.h"

#include <json-c/json.h>
#include <stdbool.h>

/* The tag of the share that is the root. */
#define GUEST_ROOT_TAG "root"

/* @links: [{"name","mac","mtu","addresses": ["a/24"],"gateways": [...]}] of keeper.json, or
 * NULL. @has_image: the root is an overlay on the guest's own device (GF_IMAGE), and the
 * binds are where guest_split.h has them. -EOPNOTSUPP names what a guest cannot. */
int guest_setup_put(struct tlv_writer *w, json_object *config, json_object *links, bool has_image,
		    struct err *err);

/* A new file system of "mounts" (config.json), as GF_MOUNT. */
int guest_setup_put_mount(struct tlv_writer *w, json_object *mount, struct err *err);

/* A bind, as GF_MOUNT: what the host serves at @place. */
void guest_setup_put_bind(struct tlv_writer *w, json_object *mount, const char *place);

/* One of @links, as GF_LINK. */
void guest_setup_put_link(struct tlv_writer *w, json_object *link);
