/* SPDX-License-Identifier: Apache-2.0 */
/* create_priv - what the parts of create share: the tables of Docker's fields
 * and what their checks may look at. */
#pragma once

#include "config.h"
#include "fields.h"
#include "isola/instance.h"

/* Facts about this host and what the request refers to; all borrowed. */
struct create_env {
	const char *id;             /* of the instance to be: its default host name */
	const char *controllers;    /* that instances' cgroups have, space-separated */
	unsigned int (*cpus)(void); /* online; asked only when a limit needs it */
	const struct config *config;
	json_object *image;                    /* IMAGE_RECORD; NULL for update */
	const char *no_guests;                 /* why no microVM can run here, or NULL */
	const char *doubt;                     /* why that is not known for sure, or NULL */
	json_object *refs;                     /* full references of the image; NULL: none */
	const struct isolation_policy *policy; /* NULL: none */
	/* Finds the container of "container:REF". */
	int (*find)(void *arg, const char *ref, struct instance **ret, struct err *err);
	void *find_arg;
};

/* The argument of every check. */
struct create {
	const struct create_env *env;
	json_object *body;     /* HostConfig or Config under check, raw; borrowed */
	json_object *warnings; /* strings are added */
	const char *pierces;   /* the flag for which "auto" chose a microVM, or NULL */
	/* Memory, CPUs and processes: create_limits_enforced() looks, when the wall is known. */
	bool limits_later;
};

struct field_table {
	const struct field *rows;
	size_t n;
};

extern const struct field_table create_config_fields;
extern const struct field_table create_host_fields;

/* Checks @body (a whole ContainerCreateRequest, borrowed) against @env and the
 * image. The results are owned: Config, HostConfig, and NetworkingConfig (may be
 * NULL). Pure. */
int create_normalise(const struct create_env *env, json_object *body, json_object *warnings,
		     json_object **ret_config, json_object **ret_host_config,
		     json_object **ret_networking, struct err *err);

/* create_rules.c: the defaults that are not plain zeros, and the rules among
 * fields. Both change the objects, which are fresh from their tables. @raw: the
 * request with the image merged in. */
int create_complete(struct create *c, json_object *raw, json_object *config, json_object *host,
		    struct err *err);
int create_agree(struct create *c, json_object *config, json_object *host, struct err *err);
/* NetworkingConfig; which networks there are is known in endpoints_create(). */
int create_check_networking(json_object *networking, const char *mode, struct err *err);

/* Checks a ContainerUpdateRequest against the current HostConfig; the result is
 * the whole new one, owned. *@ret_limits: whether a resource limit changes. */
int create_update(const struct create_env *env, json_object *host_config, json_object *body,
		  json_object *warnings, json_object **ret_host_config, bool *ret_limits,
		  struct err *err);

/* create_image.c: @body with the image's defaults filled in, as Docker merges
 * them; owned. */
int create_merge_image(json_object *body, json_object *image, json_object *warnings,
		       json_object **ret, struct err *err);

/* create_health.c */
field_fn create_check_health;
/* A Healthcheck: @user's, and of the image what that leaves out. Owned. */
json_object *create_merge_health(json_object *user, json_object *image);

/* Rows' checks that several tables use, by file. */
field_fn create_limit, create_cpuset, create_nano_cpus, create_quota; /* create_limits.c */
field_fn create_memory, create_swap, create_swappiness, create_weight_devices, create_throttle;
field_fn create_pids, create_ulimits;
field_fn create_caps, create_security_opt, create_devices,
	create_device_rules; /* create_security.c */
field_fn create_sysctls, create_paths, create_userns_mode;
field_fn create_storage_opt;                                                  /* storage_opt.c */
field_fn create_port_bindings;                                                /* publish.c */
field_fn create_log_config, create_restart, create_network, create_namespace; /* create_host.c */

/* create_rules.c: the defaults of LogConfig and RestartPolicy, which VMs have too. */
int create_complete_log_config(struct create *c, json_object *h, struct err *err);
void create_complete_restart(json_object *h);

/* create_vm.c: a VmConfig (docs/openapi.json), checked whole, with every default;
 * owned. Pure. */
int create_vm_normalise(const struct create_env *env, json_object *body, json_object *warnings,
			json_object **ret, struct err *err);
/* create_vm_update.c: a VmUpdate against the VmConfig @config: @ret is the whole new
 * one, @ret_calls what a running VM's keeper is asked, [{"op", "args" | "resources",
 * "undo": {the same, as it is now}}]; owned. */
int create_vm_update(const struct create_env *env, json_object *config, json_object *body,
		     json_object **ret, json_object **ret_calls, struct err *err);

/* The rules among limits, on a normalised HostConfig, which gets the values that
 * follow from others (MemorySwap). */
int create_limits_agree(json_object *host_config, struct err *err);

/* Refuses the limits of @limits (checked fields of a HostConfig, which errors name behind
 * @prefix) that neither this host nor, with @is_vm, the guest's kernel in its place can
 * enforce; what is the guest's alone is said by a warning. */
int create_limits_enforced(const struct create *c, const char *prefix, json_object *limits,
			   bool is_vm, struct err *err);

/* What follows "name=" in the last such SecurityOpt ("" when nothing does), or
 * NULL; borrowed. */
const char *create_security_value(json_object *host_config, const char *name);

/* An item of ExtraHosts ("db:10.0.0.7", "db=[fd00::7]") in two; -EINVAL. */
int create_split_host(const char *text, char *ret_name, size_t name_size, char *ret_address,
		      size_t address_size, struct err *err);

/* "c 1:3 rwm" (DeviceCgroupRules); -1 stands for "*". 0 or -EINVAL. */
struct device_rule {
	char type;
	int64_t major, minor;
	char access[4];
};
int create_parse_device_rule(const char *text, struct device_rule *ret);

/* Appends to @warnings. */
void create_warn(json_object *warnings, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
