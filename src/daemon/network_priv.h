/* SPDX-License-Identifier: Apache-2.0 */
/* network_priv - what the files of networks share:
 *
 *   network.c          the list
 *   network_open.c     the records, read when isolad starts
 *   network_record.c   a record's and a request's form
 *   network_create.c, network_remove.c
 *   network_options.c  what -o says
 *   network_subnet.c   which subnet a new one gets
 *   network_bridge.c   bridges come and go with their users
 *   network_recover.c  what a crash left
 *
 * Loop thread, but for network_save(). */
#pragma once

#include "network.h"

/* Not in the list yet. */
struct network *network_new(struct isolad *d);
void network_free(struct network *net);
struct network *network_by_name(struct isolad *d, const char *name);
size_t networks_count(const struct isolad *d);

/* Writes the @record of the network @id into @dir_fd. Any thread. */
int network_save(int dir_fd, const char *id, json_object *record, struct err *err);

/* Chooses a subnet where none was asked for. None may overlap @host's prefixes or another
 * network's: -EEXIST, -ENOSPC. */
int network_choose_subnet(struct network *net, bool is_default, const struct net_prefix *host,
			  size_t n_host, struct err *err);
void network_name_bridge(struct network *net, bool is_default);
/* -EEXIST when another network, or a link of the host, has the name of @net's bridge. */
int network_bridge_is_free(const struct network *net, struct err *err);
/* Our table goes once no bridge is up. */
void networks_drop_table(struct isolad *d);
