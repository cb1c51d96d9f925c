/* SPDX-License-Identifier: Apache-2.0 */
/* net_conf - a network device in the machine file (docs/machine.md). */
#pragma once

#include "dev_net.h"
#include "machine.h"
#include "net_backend.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#define NET_MTU_MIN 68

struct net_conf {
	struct net_args args; /* mac: all 0 where none is given */
	struct source taps[NET_PAIRS_MAX], socket;
	unsigned int n_taps; /* 0: the socket */
	int64_t queues;
	bool offload, spare, acpi; /* spare: neither, yet; acpi: which ACPI tells of then */
};

/* Texts in @ret are @conf's. 0, or -EINVAL with the field's name in @err. */
int net_conf_parse(json_object *conf, struct net_conf *ret, struct err *err);

/* "02:00:00:00:00:01", of one interface. */
int net_conf_mac(const char *text, uint8_t *ret, struct err *err);

/* One made of names: the same at each start, so a guest that was reset keeps it. */
void net_conf_make_mac(const char *vm_id, const char *id, uint8_t ret[6]);

/* The backend that @conf asks for. */
int net_conf_open(const struct net_conf *conf, struct net_backend **ret, struct err *err);
