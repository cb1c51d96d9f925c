/* SPDX-License-Identifier: Apache-2.0 */
/* bundle_mounts - "mounts" of config.json: Docker's usual set, the files of the
 * instance, then what the user asked for. Pure, in isolad.
 *
 * The kernel mounts a fresh proc, sysfs, mqueue or cgroup2 only for who owns the
 * namespace it shows. A container with a user namespace of its own that shares
 * one of these namespaces with the host therefore gets the host's mount, bound. */
#include "bundle_priv.h"

#include "mounts.h"
#include "secrets.h"

#include "isola/ctr.h"
#include "isola/fd.h"
#include "isola/json.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

void bundle_add_mount(json_object *mounts, const char *destination, const char *type,
		      const char *source, const char *options)
{
	json_object *m = json_object_new_object(), *list = json_object_new_array_ext(8);
	json_add_str(m, "destination", destination);
	json_add_str(m, "type", type);
	json_add_str(m, "source", source);
	while (*options) {
		size_t n = strcspn(options, ",");
		if (n)
			(void)json_object_array_add(list,
						    json_object_new_string_len(options, (int)n));
		options += n;
		options += *options == ',';
	}
	json_add(m, "options", list);
	(void)json_object_array_add(mounts, m);
}

/* What decides how the usual mounts look. */
struct shape {
	const struct bundle_env *env;
	json_object *host;
	const struct mounts *user;
	bool userns, privileged;
};

static bool is_mode(const struct shape *s, const char *field, const char *mode)
{
	return !strcmp(json_str_or(s->host, field, ""), mode);
}

/* The user's own mount wins, also one on all of /dev. */
static bool is_hidden(const struct shape *s, const char *target)
{
	return mounts_find(s->user, target) ||
	       (!strncmp(target, "/dev/", 5) && mounts_find(s->user, "/dev"));
}

static void add_default(json_object *out, const struct shape *s, const char *target,
			const char *type, const char *source, const char *options)
{
	if (!is_hidden(s, target))
		bundle_add_mount(out, target, type, source, options);
}

static void add_proc(json_object *out, const struct shape *s)
{
	if (s->userns && is_mode(s, "PidMode", "host"))
		add_default(out, s, "/proc", "none", "/proc", "rbind,nosuid,noexec,nodev");
	else
		add_default(out, s, "/proc", "proc", "proc", "nosuid,noexec,nodev");
}

static void add_dev(json_object *out, const struct shape *s)
{
	add_default(out, s, "/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k");
	add_default(out, s, "/dev/pts", "devpts", "devpts",
		    "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5");
}

static void add_sys(json_object *out, const struct shape *s)
{
	const char *mode = s->privileged ? "rw" : "ro", *deep = s->privileged ? "rw" : "rro";
	char options[96];
	bool bound = s->userns && is_mode(s, "NetworkMode", "host");
	(void)snprintf(options, sizeof(options), "%snosuid,noexec,nodev,%s", bound ? "rbind," : "",
		       bound ? deep : mode);
	add_default(out, s, "/sys", bound ? "none" : "sysfs", bound ? "/sys" : "sysfs", options);
	bound = s->userns && is_mode(s, "CgroupnsMode", "host");
	(void)snprintf(options, sizeof(options), "%snosuid,noexec,nodev,%s", bound ? "rbind," : "",
		       bound ? deep : mode);
	add_default(out, s, "/sys/fs/cgroup", bound ? "none" : "cgroup",
		    bound ? s->env->cgroup_mount : "cgroup", options);
}

static void add_ipc(json_object *out, const struct shape *s)
{
	bool of_host = is_mode(s, "IpcMode", "host");
	if (!(s->userns && of_host))
		add_default(out, s, "/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev");
	else if (s->env->has_mqueue)
		add_default(out, s, "/dev/mqueue", "none", "/dev/mqueue",
			    "bind,nosuid,noexec,nodev");
	if (of_host) {
		add_default(out, s, "/dev/shm", "none", "/dev/shm", "rbind,nosuid,noexec,nodev");
	} else if (!is_mode(s, "IpcMode", "none")) {
		char options[96];
		(void)snprintf(options, sizeof(options), "nosuid,noexec,nodev,mode=1777,size=%lld",
			       (long long)json_i64_or(s->host, "ShmSize", 0));
		add_default(out, s, "/dev/shm", "tmpfs", "shm", options);
	}
}

/* ---- the user's ---- */

/* Whole, as it may hold commas. */
static void add_subpath(json_object *mount, const char *subpath)
{
	cleanup_free char *option = NULL;
	if (asprintf(&option, CTR_SUBPATH "%s", subpath) >= 0)
		(void)json_object_array_add(json_get(mount, "options"),
					    json_object_new_string(option));
}

static void add_bind(json_object *out, bool userns, const struct mount_point *p)
{
	char options[64];
	/* Inside, files belong to who owns them on the host, as with Docker: the
	 * mount is mapped the way the user namespace is. */
	(void)snprintf(options, sizeof(options), "%s,%s,%s%s", p->recursive ? "rbind" : "bind",
		       !p->read_only                           ? "rw"
		       : p->shallow_read_only || !p->recursive ? "ro"
							       : "rro",
		       p->propagation,
		       !userns || p->unmapped ? ""
		       : p->recursive         ? ",ridmap"
					      : ",idmap");
	bundle_add_mount(out, p->target, "none", p->source, options);
	if (p->subpath)
		add_subpath(json_object_array_get_idx(out, json_len(out) - 1), p->subpath);
}

static void add_user(json_object *out, bool userns, const struct mount_point *p)
{
	if (p->kind == MOUNT_TMPFS)
		bundle_add_mount(out, p->target, "tmpfs", "tmpfs", p->tmpfs);
	else
		add_bind(out, userns, p);
}

json_object *bundle_mount(const struct mount_point *p, bool userns)
{
	cleanup_json json_object *list = json_object_new_array();
	add_user(list, userns, p);
	return json_object_get(json_object_array_get_idx(list, 0));
}

/* Written by isolad, owned by the container's root, so not mapped. */
static void add_file(json_object *out, const struct shape *s, const char *target, const char *name)
{
	char source[PATH_MAX];
	if (is_hidden(s, target))
		return;
	(void)snprintf(source, sizeof(source), "%s/%s",
		       s->env->net_run_dir ? s->env->net_run_dir : s->env->run_dir, name);
	bundle_add_mount(out, target, "none", source, "rbind,rprivate");
}

static const char *const files[][2] = {
	{ "/etc/hostname", "hostname" },
	{ "/etc/hosts", "hosts" },
	{ "/etc/resolv.conf", "resolv.conf" },
};
#define N_FILES (sizeof(files) / sizeof(files[0]))

/* Both lists are sorted, so what is mounted on /etc comes before /etc/hosts. */
static void add_rest(json_object *out, const struct shape *s)
{
	size_t f = 0;
	for (size_t i = 0; i < s->user->n; i++) {
		const struct mount_point *p = &s->user->items[i];
		for (; f < N_FILES && strcmp(files[f][0], p->target) < 0; f++)
			add_file(out, s, files[f][0], files[f][1]);
		add_user(out, s->userns, p);
	}
	for (; f < N_FILES; f++)
		add_file(out, s, files[f][0], files[f][1]);
}

int bundle_mounts(const struct instance *inst, const struct bundle_env *env, json_object **ret,
		  struct err *err)
{
	cleanup_mounts struct mounts user = { NULL, 0 };
	int rc = mounts_of(inst, &user, err);
	if (rc < 0)
		return rc;
	const struct shape s = {
		.env = env,
		.host = inst->host_config,
		.user = &user,
		.userns = bundle_userns_base(inst, env) != 0,
		.privileged = json_bool_or(inst->host_config, "Privileged", false),
	};
	json_object *out = json_object_new_array_ext(16);
	add_proc(out, &s);
	add_dev(out, &s);
	add_sys(out, &s);
	add_ipc(out, &s);
	add_rest(out, &s);
	rc = secrets_mounts(inst, bundle_userns_base(inst, env), out, err);
	if (rc < 0) {
		json_object_put(out);
		return rc;
	}
	*ret = out;
	return 0;
}
