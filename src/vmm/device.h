/* SPDX-License-Identifier: Apache-2.0 */
/* device - what the VM knows of a device: one file and one row of the table in
 * devices.c each.
 *
 * A device type reads its own part of the machine file. Checks (ranges, unknown
 * fields) happen in parse(), before anything is made; make() runs before the jail
 * and may open what {"path"} names; afterwards only descriptors are used. */
#pragma once

#include "isola/err.h"

#include <json-c/json.h>
#include <stdbool.h>

struct vm;
struct device;

struct device_type {
	const char *key; /* of the machine file: "disks" */
	bool many;       /* an array of them */
	bool by_default; /* made also when the key is absent (conf is NULL then) */
	/* Checks @conf (NULL when absent) and names the field that is wrong. */
	int (*check)(json_object *conf, struct err *err);
	int (*make)(struct vm *vm, json_object *conf, struct device **ret, struct err *err);
	/* May be NULL: what make() left for later, as it waits for another program. Jailed, on
	 * the loop's thread, before the loop and the guest run. */
	int (*meet)(struct device *dev, struct err *err);
	/* May be NULL: nothing to do. On the loop's thread. */
	int (*update)(struct device *dev, const char *op, json_object *args, struct err *err);
	/* May be NULL: it is there for good. A place becomes a device that uses @fd (taken by
	 * setting it to -1) as @args say, and becomes free again. On the loop's thread. */
	int (*plug)(struct device *dev, json_object *args, int *fd, struct err *err);
	int (*unplug)(struct device *dev, struct err *err);
	json_object *(*stats)(struct device *dev); /* owned */
	/* Finish what is under way and begin nothing new; @done when at rest. */
	void (*quiesce)(struct device *dev, void (*done)(void *arg), void *arg);
	void (*resume)(struct device *dev);
	void (*free)(struct device *dev); /* NULL is fine */
};

/* Embedded first in each device. */
struct device {
	const struct device_type *type;
	struct vm *vm;
	char id[64]; /* "vda", "net0": unique in the VM */
};

/* The table. */
extern const struct device_type *const device_types[]; /* ends with NULL */
