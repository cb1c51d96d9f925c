/* SPDX-License-Identifier: Apache-2.0 */
/* create_rules - what the tables can't say of one field: defaults that depend on
 * the host or on other fields, and fields that exclude each other. Pure but for
 * the host's name; in isolad. After it, inspect shows every default. */
#include "create_priv.h"

#include "bundle.h"
#include "isolation.h"
#include "mounts.h"

#include "isola/fd.h"
#include "isola/json.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Docker's, and side channels of the hardware (GHSA-6fw5-f8r9-fgfm,
 * GHSA-jq35-85cj-fj4p): power and thermal counters. */
static const char *const masked_paths[] = {
	"/proc/acpi",
	"/proc/asound",
	"/proc/interrupts",
	"/proc/kcore",
	"/proc/keys",
	"/proc/latency_stats",
	"/proc/sched_debug",
	"/proc/scsi",
	"/proc/timer_list",
	"/proc/timer_stats",
	"/sys/devices/virtual/powercap",
	"/sys/firmware",
};

static const char *const readonly_paths[] = {
	"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
};

static json_object *new_strings(const char *const *items, size_t n)
{
	json_object *a = json_object_new_array_ext((int)n + 1);
	for (size_t i = 0; a && i < n; i++)
		(void)json_object_array_add(a, json_object_new_string(items[i]));
	return a;
}

static void complete_paths(json_object *h)
{
	if (json_bool_or(h, "Privileged", false))
		return;
	bool bare = create_security_value(h, "systempaths") != NULL;
	if (!json_get(h, "MaskedPaths"))
		json_add(h, "MaskedPaths",
			 new_strings(masked_paths,
				     bare ? 0 : sizeof(masked_paths) / sizeof(*masked_paths)));
	if (!json_get(h, "ReadonlyPaths"))
		json_add(h, "ReadonlyPaths",
			 new_strings(readonly_paths,
				     bare ? 0 : sizeof(readonly_paths) / sizeof(*readonly_paths)));
}

static bool is_shared(json_object *h)
{
	return !strncmp(json_str_or(h, "NetworkMode", ""), "container:", 10);
}

static void set_if_empty(json_object *o, const char *key, const char *value)
{
	if (!*json_str_or(o, key, ""))
		json_add_str(o, key, value);
}

static bool has_private_shm(json_object *h)
{
	const char *ipc = json_str_or(h, "IpcMode", "");
	return !strcmp(ipc, "private") || !strcmp(ipc, "shareable");
}

/* "--pid container:X" and "--network container:X" need X's user namespace, or the new
 * process would have no rights over what it sees. @ret NULL: it joins nobody. */
static int find_donor(struct create *c, json_object *h, const char *field, struct instance **ret,
		      struct err *err)
{
	const char *mode = json_str_or(h, field, "");
	*ret = NULL;
	if (strncmp(mode, "container:", 10) != 0)
		return 0;
	int rc = c->env->find(c->env->find_arg, mode + 10, ret, err);
	return rc < 0 ? rc : isolation_agree_to_join(h, field, *ret, err);
}

static int complete_userns(struct create *c, json_object *h, struct err *err)
{
	struct instance *donor;
	int rc = find_donor(c, h, "PidMode", &donor, err);
	bool pid = donor != NULL;
	if (rc == 0 && !donor)
		rc = find_donor(c, h, "NetworkMode", &donor, err);
	if (rc < 0)
		return rc;
	const char *asked = json_str_or(h, "UsernsMode", "");
	bool vm = isolation_is_vm(h);
	const char *mode = vm && strcmp(asked, "host") != 0       ? "private"
			   : vm                                   ? asked
			   : json_bool_or(h, "Privileged", false) ? "host"
			   : donor  ? (donor->userns_base ? "private" : "host")
			   : *asked ? asked
				    : c->env->config->default_userns;
	if (*asked && strcmp(asked, mode) != 0)
		return err_set(err, EINVAL,
			       "HostConfig.UsernsMode (--userns): %s does not go with %s", asked,
			       pid     ? "the container whose processes it shares (--pid)"
			       : donor ? "the container whose network it shares (--network)"
				       : "--privileged, which means the host's user namespace");
	char copy[16];
	(void)snprintf(copy, sizeof(copy), "%s", mode);
	json_add_str(h, "UsernsMode", copy);
	return 0;
}

int create_complete_log_config(struct create *c, json_object *h, struct err *err)
{
	if (json_get(h, "LogConfig"))
		return 0;
	json_object *log = NULL;
	cleanup_json json_object *empty = json_object_new_object();
	int rc = create_log_config(c, NULL, empty, &log, err);
	if (rc >= 0)
		json_add(h, "LogConfig", log);
	return rc;
}

void create_complete_restart(json_object *h)
{
	if (json_get(h, "RestartPolicy"))
		return;
	json_object *policy = json_object_new_object();
	json_add_str(policy, "Name", "no");
	json_add_i64(policy, "MaximumRetryCount", 0);
	json_add(h, "RestartPolicy", policy);
}

static void complete_plain(struct create *c, json_object *h)
{
	const struct config *config = c->env->config;
	set_if_empty(h, "NetworkMode", config->default_network ? config->default_network : "none");
	set_if_empty(h, "IpcMode", "private");
	set_if_empty(h, "CgroupnsMode", "private");
	create_complete_restart(h);
	if (!json_len(json_get(h, "ConsoleSize"))) {
		json_object *size = json_object_new_array_ext(2);
		(void)json_object_array_add(size, json_object_new_int(0));
		(void)json_object_array_add(size, json_object_new_int(0));
		json_add(h, "ConsoleSize", size);
	}
	if (!json_i64_or(h, "ShmSize", 0) && has_private_shm(h))
		json_add_i64(h, "ShmSize", config->default_shm_size);
	bool vm = isolation_is_vm(h);
	if (!json_get(h, "Init") && config->default_init)
		json_add_bool(h, "Init", true);
	if (!json_get(h, "PidsLimit") && config->default_pids_limit &&
	    (vm || strstr(c->env->controllers, "pids")))
		json_add_i64(h, "PidsLimit", config->default_pids_limit);
	complete_paths(h);
}

static void complete_no_new_privileges(struct create *c, json_object *h)
{
	if (!c->env->config->default_no_new_privileges || json_bool_or(h, "Privileged", false) ||
	    create_security_value(h, "no-new-privileges"))
		return;
	json_object *opts = json_object_new_array();
	json_object *old = json_get(h, "SecurityOpt");
	for (size_t i = 0; i < json_len(old); i++)
		(void)json_object_array_add(opts,
					    json_object_get(json_object_array_get_idx(old, i)));
	(void)json_object_array_add(opts, json_object_new_string("no-new-privileges"));
	json_add(h, "SecurityOpt", opts);
}

/* The files of /etc are the other's, and so are the names in them. */
static int share_hostname(struct create *c, json_object *config, json_object *h, struct err *err)
{
	static const char *const keys[] = { "Hostname", "Domainname" };
	struct instance *donor = NULL;
	int rc = find_donor(c, h, "NetworkMode", &donor, err);
	if (rc < 0 || !donor)
		return rc;
	if (*json_str_or(config, "Hostname", "") || *json_str_or(config, "Domainname", ""))
		return err_set(err, EINVAL,
			       "conflicting options: Hostname (--hostname) and NetworkMode "
			       "(--network) container:...");
	if (is_shared(donor->host_config))
		return err_set(err, EINVAL,
			       "HostConfig.NetworkMode (--network): container %.12s has itself the "
			       "network of another, %s: name that one",
			       donor->id, json_str_or(donor->host_config, "NetworkMode", ""));
	for (size_t i = 0; i < 2; i++)
		json_add_str(config, keys[i], json_str_or(donor->config, keys[i], ""));
	return 0;
}

static void complete_hostname(struct create *c, json_object *config, json_object *h)
{
	if (*json_str_or(config, "Hostname", ""))
		return;
	char name[HOST_NAME_MAX + 1] = "";
	if (!strcmp(json_str_or(h, "UTSMode", ""), "host"))
		(void)gethostname(name, sizeof(name) - 1);
	else
		(void)snprintf(name, sizeof(name), "%.*s", ID_SHORT_LEN, c->env->id);
	json_add_str(config, "Hostname", name);
}

int create_complete(struct create *c, json_object *raw, json_object *config, json_object *h,
		    struct err *err)
{
	/* Before the default name hides whether one was asked for. */
	if (!strcmp(json_str_or(h, "UTSMode", ""), "host") &&
	    (*json_str_or(raw, "Hostname", "") || *json_str_or(raw, "Domainname", "")))
		return err_set(err, EINVAL,
			       "conflicting options: Hostname (--hostname) and the UTS mode host");
	int rc = isolation_choose(c, h, err);
	if (rc < 0)
		return rc;
	complete_plain(c, h);
	rc = share_hostname(c, config, h, err);
	if (rc < 0)
		return rc;
	complete_hostname(c, config, h);
	complete_no_new_privileges(c, h);
	rc = complete_userns(c, h, err);
	return rc < 0 ? rc : create_complete_log_config(c, h, err);
}

/* ---- rules ---- */

/* Sysctls that belong to a namespace, and the mode that gives the container its
 * own (sysctl.rst; the same set as Docker's). */
static const struct {
	const char *key;
	bool prefix;
	const char *mode, *hosts;
} sysctls[] = {
	{ "net.", true, "NetworkMode", "host" },
	{ "fs.mqueue.", true, "IpcMode", "host" },
	{ "kernel.msgmax", false, "IpcMode", "host" },
	{ "kernel.msgmnb", false, "IpcMode", "host" },
	{ "kernel.msgmni", false, "IpcMode", "host" },
	{ "kernel.sem", false, "IpcMode", "host" },
	{ "kernel.shmall", false, "IpcMode", "host" },
	{ "kernel.shmmax", false, "IpcMode", "host" },
	{ "kernel.shmmni", false, "IpcMode", "host" },
	{ "kernel.shm_rmid_forced", false, "IpcMode", "host" },
};

static int sysctl_agrees(json_object *h, const char *key, struct err *err)
{
	char dotted[256];
	(void)snprintf(dotted, sizeof(dotted), "%s", key);
	/* Both spellings are legal; a slash first means slashes throughout. */
	if (key[strcspn(key, "./")] == '/') {
		for (char *p = dotted; *p; p++)
			*p = *p == '/' ? '.' : *p == '.' ? '/' : *p;
	}
	for (size_t i = 0; i < sizeof(sysctls) / sizeof(sysctls[0]); i++) {
		size_t n = strlen(sysctls[i].key);
		if (sysctls[i].prefix ? strncmp(dotted, sysctls[i].key, n)
				      : strcmp(dotted, sysctls[i].key))
			continue;
		if (!strcmp(json_str_or(h, sysctls[i].mode, ""), sysctls[i].hosts))
			return err_set(err, EINVAL,
				       "HostConfig.Sysctls (--sysctl): '%.64s' not allowed with "
				       "%s host",
				       key, sysctls[i].mode);
		return 0;
	}
	return err_set(err, EINVAL,
		       "HostConfig.Sysctls (--sysctl): '%.64s' is not separate for each container",
		       key);
}

static int sysctls_agree(json_object *h, struct err *err)
{
	json_object *all = json_get(h, "Sysctls");
	if (!all)
		return 0;
	json_object_object_foreach (all, key, unused) {
		(void)unused;
		int rc = sysctl_agrees(h, key, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* What belongs to a network that is another's. */
static int nothing_of_its_own(json_object *h, struct err *err)
{
	static const char *const rows[][2] = { { "Dns", "--dns" },
					       { "DnsSearch", "--dns-search" },
					       { "DnsOptions", "--dns-option" },
					       { "ExtraHosts", "--add-host" } };
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (json_len(json_get(h, rows[i][0])))
			return err_set(err, EINVAL,
				       "conflicting options: HostConfig.%s (%s) and NetworkMode "
				       "(--network) container:...",
				       rows[i][0], rows[i][1]);
	return 0;
}

static int network_agrees(json_object *config, json_object *h, struct err *err)
{
	const char *mode = json_str_or(h, "NetworkMode", "");
	json_object *ports = json_get(h, "PortBindings");
	int rc = is_shared(h) ? nothing_of_its_own(h, err) : 0;
	if (rc < 0 || (strcmp(mode, "none") != 0 && strcmp(mode, "host") != 0 && !is_shared(h)))
		return rc;
	if (ports && json_object_object_length(ports))
		return err_set(err, EINVAL,
			       "HostConfig.PortBindings (-p): nothing can be published with "
			       "NetworkMode (--network) %s",
			       mode);
	if (json_bool_or(h, "PublishAllPorts", false))
		return err_set(err, EINVAL,
			       "HostConfig.PublishAllPorts (-P): nothing can be published with "
			       "NetworkMode (--network) %s",
			       mode);
	if (*json_str_or(config, "MacAddress", ""))
		return err_set(
			err, EINVAL,
			"MacAddress (--mac-address) goes not with NetworkMode (--network) %s",
			mode);
	return 0;
}

static bool has_host_gateway(json_object *h)
{
	json_object *extra = json_get(h, "ExtraHosts");
	for (size_t i = 0; i < json_len(extra); i++) {
		const char *text = json_item_str(extra, i);
		if (!strcmp(text + strcspn(text, ":="), ":host-gateway") ||
		    !strcmp(text + strcspn(text, ":="), "=host-gateway"))
			return true;
	}
	return false;
}

int create_agree(struct create *c, json_object *config, json_object *h, struct err *err)
{
	const char *restart = json_str_or(json_get(h, "RestartPolicy"), "Name", "no");
	if (json_bool_or(h, "AutoRemove", false) && strcmp(restart, "no") != 0)
		return err_set(err, EINVAL,
			       "can't create 'AutoRemove' container with restart policy");
	if (json_bool_or(config, "NetworkDisabled", false) &&
	    strcmp(json_str_or(h, "NetworkMode", ""), "none") != 0)
		return err_set(err, EINVAL, "NetworkDisabled goes only with NetworkMode none");
	if (json_i64_or(h, "ShmSize", 0) && !has_private_shm(h))
		return err_set(err, EINVAL,
			       "HostConfig.ShmSize (--shm-size) needs a private IpcMode (--ipc)");
	if (!json_len(json_get(config, "Cmd")) && !json_len(json_get(config, "Entrypoint")))
		return err_set(err, EINVAL, "no command specified");
	const char *network = json_str_or(h, "NetworkMode", "");
	if (has_host_gateway(h) && (!strcmp(network, "none") || !strcmp(network, "host")))
		return err_set(err, EINVAL,
			       "HostConfig.ExtraHosts (--add-host): there is no host-gateway with "
			       "NetworkMode (--network) %s",
			       network);
	cleanup_mounts struct mounts mounts = { NULL, 0 };
	int rc = isolation_agree(c, h, err);
	if (rc >= 0)
		rc = create_limits_enforced(c, "HostConfig.", h, isolation_is_vm(h), err);
	if (rc >= 0)
		rc = mounts_parse(h, &mounts, err);
	if (rc >= 0)
		rc = network_agrees(config, h, err);
	if (rc >= 0)
		rc = sysctls_agree(h, err);
	return rc < 0 ? rc : create_limits_agree(h, err);
}

int create_check_networking(json_object *networking, const char *mode, struct err *err)
{
	static const struct field rows[] = {
		{ "EndpointsConfig", NULL, FIELD_OBJ, DEFAULT_ABSENT },
	};
	cleanup_json json_object *checked = NULL;
	int rc = fields_check(rows, 1, "NetworkingConfig.", networking, NULL, &checked, err);
	if (rc < 0 || !json_get(networking, "EndpointsConfig"))
		return rc;
	if (strcmp(mode, "none") != 0 && strcmp(mode, "host") != 0 &&
	    strncmp(mode, "container:", 10) != 0)
		return 0;
	json_object_object_foreach (json_get(networking, "EndpointsConfig"), name, endpoint) {
		if (strcmp(name, mode) != 0 && strcmp(name, "default") != 0 &&
		    strncmp(mode, "container:", 10) != 0)
			return err_set(err, EINVAL,
				       "NetworkingConfig.EndpointsConfig: network '%.64s' goes not "
				       "with NetworkMode %s",
				       name, mode);
		if (!json_is_zero(endpoint))
			return err_set(
				err, EOPNOTSUPP,
				"NetworkingConfig.EndpointsConfig.%.64s: settings of an "
				"endpoint (--ip, --network-alias) are not supported with network "
				"none, host or container:...",
				name);
	}
	return 0;
}
