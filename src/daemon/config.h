/* SPDX-License-Identifier: Apache-2.0 */
/* config - what isolad was told: defaults, then the config file, then flags.
 *
 * Every setting is one row of the table in config.c: the flag --some-name and
 * the key "some-name" of the JSON file are the same row. */
#pragma once

#include "isola/err.h"
#include "isola/log.h"

#include <stdbool.h>
#include <stdint.h>

struct config {
	/* Strings are owned, never NULL unless said so. */
	char *file;         /* config file */
	char *state, *run;  /* absolute folders */
	char *socket;       /* absolute path of the API socket */
	char *group;        /* owner group of the socket; "" = root's */
	char *cgroup;       /* parent of the instances' cgroups; "" = choose */
	char *keeper;       /* path of isola-keeper; "" = look for it */
	char *resolver;     /* path of isola-resolver */
	char *image_helper; /* path of isola-image; "" = look for it */
	char *registries;   /* path of the registries file; "" = the default one */
	char *vmm;          /* path of isola-vmm; "" = look for it */
	enum log_level log_level;

	/* Host ids for user namespaces: range i is userns_first + i * 65536. */
	int64_t userns_first, userns_ranges;

	/* What a create request that says nothing gets. */
	char *default_log_driver; /* "json-file" or "none" */
	int64_t default_log_max_size;
	int64_t default_log_max_file;
	int64_t default_stop_timeout; /* seconds */
	int64_t default_shm_size;     /* bytes */
	int64_t default_pids_limit;   /* 0 = none */
	bool default_init;
	bool default_no_new_privileges;
	char *default_userns;    /* "private" or "host" */
	char *default_network;   /* "bridge", "none" or "host" */
	char *default_isolation; /* "container", "vm" or "auto" */

	char *isolation_policy; /* file of rules; "" = the default one */

	char *guest_kernel;         /* "" = in the state folder */
	char *guest_root;           /* "auto", "erofs" or "virtiofs" */
	char *guest_init;           /* path of isola-init; "" = look for it */
	int64_t guest_boot_timeout; /* seconds */
};

enum config_action { CONFIG_RUN, CONFIG_EXIT };

/* Defaults, the file, then @argv. Prints for --help and --version and then says
 * CONFIG_EXIT. -EINVAL names the unknown or malformed flag or key. A missing
 * file is an error only when --config named it. */
int config_load(struct config *config, int argc, char **argv, enum config_action *ret_action,
		struct err *err);

/* Reads file and flags again (SIGHUP) and takes over what can change while isolad
 * runs; warns of the rest. On failure nothing has changed. */
int config_reload(struct config *config, int argc, char **argv, struct err *err);

void config_fini(struct config *config);
