/* SPDX-License-Identifier: Apache-2.0 */
/* guests - what this host has for containers in microVMs: a kernel, the initramfs with
 * isola-init, isola-vmm and /dev/kvm. isolad, loop thread. */
#pragma once

#include "isola/err.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

struct config;
struct instance;
struct isolad;
struct bundle_env;
struct endpoint;

struct guests {
	char *kernel, *init, *initrd; /* absolute paths, owned; initrd is made of init */
	bool made;                    /* the initramfs is there */
	int64_t stamp;                /* of what it was made of */
	char missing[2048];           /* what guests_missing() returns */
	bool warned_of_links;         /* see root_image.c; once is enough */
};

/* Finds kernel and isola-init, by the settings. */
int guests_init(struct guests *g, const struct config *config, const char *state, const char *run,
		struct err *err);
/* Makes the initramfs in the run folder, of isola-init and the modules that lie in the
 * folder "modules" beside the kernel, if there are any; again when one of them changed. */
int guests_make_initrd(struct isolad *d, struct err *err);
void guests_fini(struct guests *g);

/* Why no microVM can run here, as part of a sentence that says what would help - all that
 * is missing -; NULL when nothing is known against it. Looks anew each time, but for what
 * KVM does (kvm_probe.h): what is missing can be put there. */
const char *guests_missing(struct isolad *d);
/* Whether all files are there that a microVM needs. */
bool guests_installed(const struct isolad *d);
/* Why it is not known whether KVM runs guests, or NULL. */
const char *guests_doubt(const struct isolad *d);

/* ---- bundle_guest.c ---- */

/* The guest's RAM in bytes and its CPUs, for a HostConfig. */
int64_t guest_memory(json_object *host);
int64_t guest_cpus(json_object *host);
/* How many its machine has when @cpus are online, on a host with @host_cpus. */
int64_t guest_cpus_most(int64_t cpus, int64_t host_cpus);

/* The keeper's "update" for @inst, which runs and is to have @host's limits; owned. */
int guest_update_message(const struct instance *inst, json_object *host, json_object **ret,
			 struct err *err);

/* Makes a container's keeper.json a guest's. */
/* A link of keeper.json: what e's link is in the guest. Owned. */
json_object *guest_link(const struct endpoint *e);
int guest_keeper(struct instance *inst, const struct bundle_env *env, json_object *keeper,
		 struct err *err);
int guest_machine_write(struct instance *inst, const struct bundle_env *env, int dir,
			struct err *err);
