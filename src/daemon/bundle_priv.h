/* SPDX-License-Identifier: Apache-2.0 */
/* bundle_priv - the parts that bundle.c puts together. All but bundle_write()
 * are functions of the instance and this environment alone. */
#pragma once

#include "bundle.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

struct bundle_env {
	const char *state;     /* isolad's state folder: layers lie below it */
	const char *state_dir; /* the instance's */
	const char *run_dir;   /* the instance's */
	const char *log_path;
	const char *cgroup;       /* the instance's, below the mount */
	const char *cgroup_mount; /* where the host has cgroup2 */
	const char *seccomp_cache;
	bool has_mqueue; /* the host has /dev/mqueue */
	/* Whose user namespace is joined, as it owns what is shared; 0 = nobody's. */
	pid_t donor_pid;
	pid_t pid_donor, net_donor; /* PidMode, NetworkMode container:X */
	const char *net_run_dir;    /* of the latter: its files of /etc are shared */
	uint32_t donor_userns_base;
	/* stat(2) of a device node; 0 or -errno. */
	int (*stat_device)(const char *path, struct stat *ret);
	/* The default seccomp profile for a set of capabilities; owned by the caller
	 * (a reference), NULL when memory is out. */
	json_object *(*seccomp)(uint64_t caps, struct err *err);
};

/* The two documents, owned. */
int bundle_config(const struct instance *inst, const struct bundle_env *env, json_object **ret,
		  struct err *err);
int bundle_keeper(const struct instance *inst, const struct bundle_env *env, json_object **ret,
		  struct err *err);

/* The OCI linux.resources of a HostConfig without its devices, owned; also what
 * an update applies. */
int bundle_limits(json_object *host_config, json_object **ret, struct err *err);

/* bundle_process.c: "process" of the container, and of an exec in it. */
int bundle_process(const struct instance *inst, json_object **ret, struct err *err);

/* bundle_mounts.c: "mounts". */
int bundle_mounts(const struct instance *inst, const struct bundle_env *env, json_object **ret,
		  struct err *err);

struct mount_point;
/* One of the user's alone, as in "mounts", owned; NULL when memory is out. */
json_object *bundle_mount(const struct mount_point *p, bool userns);

/* bundle_devices.c: "linux.devices" (owned; NULL when there are none) and rules for
 * "linux.resources.devices" (owned). */
int bundle_devices(const struct instance *inst, const struct bundle_env *env,
		   json_object **ret_devices, json_object **ret_rules, struct err *err);

/* The host's file of name servers that others than its own programs can ask. */
const char *bundle_host_resolv(void);

/* bundle_files.c: hosts, hostname and resolv.conf into the run folder, as files of
 * the container's root, host id @owner. */
int bundle_files(const struct instance *inst, uint32_t owner, int run_dir_fd, struct err *err);

/* bundle_seccomp.c: the default profile by capabilities, made once each. */
json_object *bundle_default_seccomp(uint64_t caps, struct err *err);

/* "log" of keeper.json; owned. */
json_object *bundle_log(const struct instance *inst, const char *log_path);
/* Writes @o as the file @name of the run folder @dir. */
int bundle_document(int dir, const char *name, json_object *o, struct err *err);

/* First host id of the user namespace the payload will be in; 0 = the host's. */
uint32_t bundle_userns_base(const struct instance *inst, const struct bundle_env *env);

/* Adds {"destination","type","source","options"} to @mounts; @options separated
 * by commas. Memory failures show as a missing item; json-c has no more. */
void bundle_add_mount(json_object *mounts, const char *destination, const char *type,
		      const char *source, const char *options);
