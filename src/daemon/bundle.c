/* SPDX-License-Identifier: Apache-2.0 */
/* bundle - see bundle.h. isolad, loop thread, before each start, so it only
 * builds and writes small documents; runtime-spec 1.2, config.md and
 * config-linux.md, and KEEPER_SPEC of include/isola/keeper.h. */
#include "bundle.h"
#include "bundle_priv.h"

#include "capset.h"
#include "create_priv.h"
#include "folders.h"
#include "isolation.h"
#include "isolad.h"
#include "mounts.h"
#include "profile.h"
#include "vm.h"

#include "isola/cgroup.h"
#include "isola/fd.h"
#include "isola/json.h"
#include "isola/keeper.h"
#include "isola/num.h"
#include "isola/strbuf.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

uint32_t bundle_userns_base(const struct instance *inst, const struct bundle_env *env)
{
	return env->donor_pid ? env->donor_userns_base : inst->userns_base;
}

static bool is_mode(const struct instance *inst, const char *field, const char *mode)
{
	return !strcmp(json_str_or(inst->host_config, field, ""), mode);
}

/* ---- namespaces ---- */

static void add_namespace(json_object *list, const char *type, pid_t of, const char *proc)
{
	json_object *o = json_object_new_object();
	json_add_str(o, "type", type);
	if (of) {
		char path[64];
		(void)snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)of, proc);
		json_add_str(o, "path", path);
	}
	(void)json_object_array_add(list, o);
}

static json_object *make_namespaces(const struct instance *inst, const struct bundle_env *env)
{
	json_object *list = json_object_new_array();
	add_namespace(list, "mount", 0, NULL);
	if (bundle_userns_base(inst, env))
		add_namespace(list, "user", env->donor_pid, "user");
	if (!is_mode(inst, "PidMode", "host"))
		add_namespace(list, "pid", env->pid_donor, "pid");
	if (!is_mode(inst, "NetworkMode", "host"))
		add_namespace(list, "network", env->net_donor, "net");
	if (!is_mode(inst, "IpcMode", "host"))
		add_namespace(list, "ipc", 0, NULL);
	if (!is_mode(inst, "UTSMode", "host"))
		add_namespace(list, "uts", 0, NULL);
	if (!is_mode(inst, "CgroupnsMode", "host"))
		add_namespace(list, "cgroup", 0, NULL);
	return list;
}

/* A joined user namespace has its own. */
static void add_mappings(json_object *lin, const struct bundle_env *env, uint32_t base)
{
	static const char *const keys[] = { "uidMappings", "gidMappings" };
	for (size_t i = 0; base && !env->donor_pid && i < 2; i++) {
		json_object *list = json_object_new_array_ext(1), *o = json_object_new_object();
		json_add_i64(o, "containerID", 0);
		json_add_i64(o, "hostID", base);
		json_add_i64(o, "size", UIDRANGE_SIZE);
		(void)json_object_array_add(list, o);
		json_add(lin, keys[i], list);
	}
}

/* ---- the rest of "linux" ---- */

/* What Docker sets in each network namespace of its own, so that nobody needs a
 * capability to ping or to listen on port 80. Groups end where the mapping does.
 * Sysctls are written through a fresh procfs, which a user namespace cannot have
 * of the host's processes. */
static json_object *make_sysctls(const struct instance *inst, const struct bundle_env *env,
				 uint32_t base)
{
	json_object *o = json_object_new_object();
	bool no_procfs = base && is_mode(inst, "PidMode", "host");
	if (!is_mode(inst, "NetworkMode", "host") && !env->net_donor && !no_procfs) {
		json_add_str(o, "net.ipv4.ip_unprivileged_port_start", "0");
		json_add_str(o, "net.ipv4.ping_group_range", base ? "0 65535" : "0 2147483647");
	}
	json_object *own = json_get(inst->host_config, "Sysctls");
	if (own) {
		json_object_object_foreach (own, key, v)
			json_add(o, key, json_object_get(v));
	}
	return o;
}

static int add_seccomp(json_object *lin, const struct instance *inst, const struct bundle_env *env,
		       struct err *err)
{
	json_object *host = inst->host_config, *profile = NULL;
	const char *opt = create_security_value(host, "seccomp");
	if (json_bool_or(host, "Privileged", false) || (opt && !strcmp(opt, "unconfined")))
		return 0;
	uint64_t caps = capset_of(host);
	if (opt && *opt == '{') {
		int rc = profile_convert(opt, caps, &profile, err);
		if (rc < 0)
			return rc;
	} else {
		profile = env->seccomp(caps, err);
		if (!profile)
			return -err->code;
	}
	json_add(lin, "seccomp", profile);
	return 0;
}

/* A shared mount of the user is one only if the root passes it on. */
static const char *root_propagation(const struct instance *inst)
{
	cleanup_mounts struct mounts m = { NULL, 0 };
	const char *result = NULL;
	if (mounts_of(inst, &m, NULL) < 0)
		return NULL;
	for (size_t i = 0; i < m.n; i++) {
		const char *p = m.items[i].propagation;
		if (strstr(p, "shared"))
			return "rshared";
		if (strstr(p, "slave"))
			result = "rslave";
	}
	return result;
}

static void copy(json_object *out, const char *to, json_object *from, const char *key)
{
	json_object *v = json_get(from, key);
	if (json_object_is_type(v, json_type_array) ? json_len(v) : !!v)
		json_add(out, to, json_object_get(v));
}

static int make_linux(const struct instance *inst, const struct bundle_env *env, json_object **ret,
		      struct err *err)
{
	json_object *host = inst->host_config, *resources = NULL, *devices = NULL, *rules = NULL;
	uint32_t base = bundle_userns_base(inst, env);
	cleanup_json json_object *lin = json_object_new_object();
	json_add(lin, "namespaces", make_namespaces(inst, env));
	add_mappings(lin, env, base);
	int rc = bundle_limits(host, &resources, err);
	if (rc < 0)
		return rc;
	json_add(lin, "resources", resources);
	rc = bundle_devices(inst, env, &devices, &rules, err);
	if (rc < 0)
		return rc;
	json_add(resources, "devices", rules);
	if (devices)
		json_add(lin, "devices", devices);
	json_add(lin, "sysctl", make_sysctls(inst, env, base));
	copy(lin, "maskedPaths", host, "MaskedPaths");
	copy(lin, "readonlyPaths", host, "ReadonlyPaths");
	const char *propagation = root_propagation(inst);
	if (propagation)
		json_add_str(lin, "rootfsPropagation", propagation);
	rc = add_seccomp(lin, inst, env, err);
	if (rc < 0)
		return rc;
	*ret = take_ptr(lin);
	return 0;
}

/* ---- config.json ---- */

int bundle_config(const struct instance *inst, const struct bundle_env *env, json_object **ret,
		  struct err *err)
{
	json_object *process = NULL, *mounts = NULL, *lin = NULL;
	cleanup_json json_object *o = json_object_new_object();
	if (!o)
		return err_set(err, ENOMEM, "out of memory");
	json_add_str(o, "ociVersion", "1.2.0");
	int rc = bundle_process(inst, &process, err);
	if (rc < 0)
		return rc;
	json_add(o, "process", process);
	json_object *root = json_object_new_object();
	json_add_str(root, "path", "rootfs"); /* required; keeper.json's overlay counts */
	json_add_bool(root, "readonly", json_bool_or(inst->host_config, "ReadonlyRootfs", false));
	json_add(o, "root", root);
	if (!is_mode(inst, "UTSMode", "host")) {
		json_add_str(o, "hostname", json_str_or(inst->config, "Hostname", ""));
		const char *domain = json_str_or(inst->config, "Domainname", "");
		if (*domain)
			json_add_str(o, "domainname", domain);
	}
	rc = bundle_mounts(inst, env, &mounts, err);
	if (rc < 0)
		return rc;
	json_add(o, "mounts", mounts);
	copy(o, "annotations", inst->host_config, "Annotations");
	rc = make_linux(inst, env, &lin, err);
	if (rc < 0)
		return rc;
	json_add(o, "linux", lin);
	*ret = take_ptr(o);
	return 0;
}

/* ---- keeper.json ---- */

static void add_path(json_object *o, const char *key, const char *a, const char *b)
{
	char path[PATH_MAX];
	(void)snprintf(path, sizeof(path), "%s/%s", a, b);
	json_add_str(o, key, path);
}

static json_object *make_overlay(const struct instance *inst, const struct bundle_env *env)
{
	json_object *o = json_object_new_object();
	json_add(o, "lower", folders_lower(env->state, inst->image));
	add_path(o, "upper", env->state_dir, folders_upper(inst));
	add_path(o, "work", env->state_dir, folders_work(inst));
	/* What --rm throws away needs no sync to the disk at unmount. */
	json_add_bool(o, "volatile", inst->auto_remove);
	return o;
}

json_object *bundle_log(const struct instance *inst, const char *log_path)
{
	json_object *o = json_object_new_object();
	json_object *log = json_get(inst->host_config, "LogConfig"),
		    *opts = json_get(log, "Config");
	const char *driver = json_str_or(log, "Type", "json-file");
	int64_t size = -1, files = 1;
	json_add_str(o, "driver", driver);
	if (strcmp(driver, "json-file") != 0)
		return o;
	(void)num_parse_size(json_str_or(opts, "max-size", "-1"), 1, &size);
	(void)num_parse_i64(json_str_or(opts, "max-file", "1"), &files);
	json_add_str(o, "path", log_path);
	json_add_i64(o, "max_size", size);
	json_add_i64(o, "max_files", files);
	return o;
}

/* Folders of -v that may be missing: the keeper makes them, as a host file system
 * may hang and isolad must not. */
static int add_make_dirs(json_object *o, const struct instance *inst, struct err *err)
{
	cleanup_mounts struct mounts m = { NULL, 0 };
	json_object *list = NULL;
	int rc = mounts_of(inst, &m, err);
	for (size_t i = 0; rc >= 0 && i < m.n; i++) {
		if (!m.items[i].make_source)
			continue;
		if (!list)
			list = json_object_new_array();
		(void)json_object_array_add(list, json_object_new_string(m.items[i].source));
	}
	if (list)
		json_add(o, "make_dirs", list);
	return rc;
}

int bundle_keeper(const struct instance *inst, const struct bundle_env *env, json_object **ret,
		  struct err *err)
{
	json_object *config = inst->config, *host = inst->host_config;
	cleanup_json json_object *o = json_object_new_object();
	if (!o)
		return err_set(err, ENOMEM, "out of memory");
	int rc = add_make_dirs(o, inst, err);
	if (rc < 0)
		return rc;
	bool tty = json_bool_or(config, "Tty", false);
	json_add_i64(o, "version", KEEPER_VERSION);
	json_add_str(o, "id", inst->id);
	json_add_str(o, "kind", "container");
	json_add_str(o, "cgroup", env->cgroup);
	if (inst->guest_root != GUEST_ROOT_EROFS)
		json_add(o, "overlay", make_overlay(inst, env));
	json_add(o, "log", bundle_log(inst, env->log_path));
	json_add_bool(o, "stdin", json_bool_or(config, "OpenStdin", false));
	json_add_bool(o, "stdin_once", json_bool_or(config, "StdinOnce", false));
	json_add_bool(o, "tty", tty);
	json_object *size = json_get(host, "ConsoleSize");
	if (tty && json_len(size) == 2 &&
	    json_object_get_int64(json_object_array_get_idx(size, 0)) > 0)
		json_add(o, "console_size", json_object_get(size));
	json_add_bool(o, "reaper", json_bool_or(host, "Init", false));
	json_add_str(o, "seccomp_cache", env->seccomp_cache);
	*ret = take_ptr(o);
	return 0;
}

/* ---- into the run folder ---- */

int bundle_document(int dir, const char *name, json_object *o, struct err *err)
{
	size_t size = 0;
	const char *text = json_object_to_json_string_length(
		o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &size);
	if (!text)
		return err_set(err, ENOMEM, "cannot write %s: out of memory", name);
	cleanup_fd int fd =
		openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_sys(err, "cannot make %s", name);
	int rc = fd_write_all(fd, text, size);
	return rc < 0 ? err_rc(err, rc, "cannot write %s", name) : 0;
}

static int stat_device(const char *path, struct stat *ret)
{
	return stat(path, ret) < 0 ? -errno : 0;
}

/* Of the host; they don't change while isolad runs. */
static void host_facts(struct bundle_env *env)
{
	static char *mount;
	static bool looked, has_mqueue;
	if (!looked) {
		int fd = cgroup_mount_open(&mount, NULL);
		fd_close(&fd);
		has_mqueue = faccessat(AT_FDCWD, "/dev/mqueue", F_OK, 0) == 0;
		looked = true;
	}
	env->cgroup_mount = mount ? mount : "/sys/fs/cgroup";
	env->has_mqueue = has_mqueue;
	env->stat_device = stat_device;
	env->seccomp = bundle_default_seccomp;
}

uint32_t bundle_userns_of(const struct instance *inst)
{
	for (int depth = 0; depth < 8; depth++) {
		const struct instance *donor = bundle_donor(inst, "PidMode", NULL);
		if (!donor)
			donor = bundle_donor(inst, "NetworkMode", NULL);
		if (!donor)
			break;
		inst = donor;
	}
	return inst->userns_base;
}

struct instance *bundle_donor(const struct instance *inst, const char *field, struct err *err)
{
	const char *mode = json_str_or(inst->host_config, field, "");
	if (strncmp(mode, "container:", 10) != 0)
		return NULL;
	return registry_find(inst->isolad, INSTANCE_CONTAINER, mode + 10, err);
}

/* @ret stays as it is when @field names nobody. */
static int find_donor(struct instance *inst, struct bundle_env *env, const char *field,
		      const char *what, struct instance **ret, struct err *err)
{
	struct err e = ERR_INIT;
	struct instance *donor = bundle_donor(inst, field, &e);
	if (!donor)
		return e.code ? err_copy(err, &e) : 0;
	if (!instance_is_running(donor) || !donor->pid)
		return err_set(err, EBUSY,
			       "cannot join the %s of container %.12s: it is not running", what,
			       donor->id);
	uint32_t base = bundle_userns_of(donor);
	if (!base != !inst->userns_base)
		return err_set(err, EINVAL,
			       "cannot join the %s of container %.12s: one of the two has the "
			       "host's user namespace",
			       what, donor->id);
	if (env->donor_pid && env->donor_userns_base != base)
		return err_set(err, EINVAL,
			       "PidMode (--pid) and NetworkMode (--network) name containers with "
			       "different user namespaces");
	env->donor_pid = donor->pid;
	env->donor_userns_base = base;
	*ret = donor;
	return 0;
}

static int find_donors(struct instance *inst, struct bundle_env *env, char **ret_run_dir,
		       struct err *err)
{
	struct instance *pid = NULL, *net = NULL;
	int rc = find_donor(inst, env, "PidMode", "PID namespace", &pid, err);
	if (rc == 0)
		rc = find_donor(inst, env, "NetworkMode", "network", &net, err);
	if (rc < 0)
		return rc;
	env->pid_donor = pid ? pid->pid : 0;
	env->net_donor = net ? net->pid : 0;
	if (net && !(*ret_run_dir = instance_run_dir(net)))
		return err_set(err, ENOMEM, "out of memory");
	env->net_run_dir = *ret_run_dir;
	return 0;
}

/* overlayfs marks a volatile upper so that it isn't used again after a crash of
 * the host (overlayfs.rst, "Volatile mount"). Ours dies with the host's uptime
 * (--rm), so a mark from an earlier start in the same uptime means nothing. */
static void clear_volatile_mark(struct isolad *d, const struct instance *inst)
{
	char path[ID_SIZE + 64];
	if (!inst->auto_remove)
		return;
	static const char *const marks[] = { "incompat/volatile", "incompat" };
	for (size_t i = 0; i < 2; i++) {
		(void)snprintf(path, sizeof(path), "%s/%s/work/%s", inst->id, folders_work(inst),
			       marks[i]);
		(void)unlinkat(d->roots.instances_fd, path, AT_REMOVEDIR);
	}
}

static int write_all(struct instance *inst, const struct bundle_env *env, int dir, struct err *err)
{
	cleanup_json json_object *config = NULL, *keeper = NULL;
	int rc = bundle_config(inst, env, &config, err);
	if (rc >= 0)
		rc = bundle_keeper(inst, env, &keeper, err);
	bool vm = isolation_is_vm(inst->host_config);
	if (rc >= 0 && vm)
		rc = guest_keeper(inst, env, keeper, err);
	if (rc >= 0 && vm)
		rc = guest_machine_write(inst, env, dir, err);
	if (rc >= 0)
		rc = bundle_document(dir, "config.json", config, err);
	if (rc >= 0)
		rc = bundle_document(dir, "keeper.json", keeper, err);
	return rc < 0 ? rc : bundle_files(inst, bundle_userns_base(inst, env), dir, err);
}

int bundle_write(struct instance *inst, int run_dir_fd, struct err *err)
{
	if (inst->kind == INSTANCE_VM)
		return vm_bundle_write(inst, run_dir_fd, err);
	struct isolad *d = inst->isolad;
	cleanup_free char *state_dir = instance_state_dir(inst), *run_dir = instance_run_dir(inst);
	cleanup_free char *log_path = instance_log_path(inst), *cgroup = instance_cgroup(inst);
	char cache[PATH_MAX];
	if (!state_dir || !run_dir || !log_path || !cgroup)
		return err_set(err, ENOMEM, "out of memory");
	(void)snprintf(cache, sizeof(cache), "%s/seccomp", d->roots.state);
	if (mkdirat(d->roots.state_fd, "seccomp", 0700) < 0 && errno != EEXIST)
		return err_sys(err, "cannot make %s", cache);
	struct bundle_env env = {
		.state = d->roots.state,
		.state_dir = state_dir,
		.run_dir = run_dir,
		.log_path = log_path,
		.cgroup = cgroup,
		.seccomp_cache = cache,
	};
	host_facts(&env);
	clear_volatile_mark(d, inst);
	cleanup_free char *net_run_dir = NULL;
	int rc = find_donors(inst, &env, &net_run_dir, err);
	return rc < 0 ? rc : write_all(inst, &env, run_dir_fd, err);
}
