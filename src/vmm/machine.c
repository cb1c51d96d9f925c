/* SPDX-License-Identifier: Apache-2.0 */
/* machine - see machine.h; the document is described in include/isola/vmm.h and
 * docs/machine.md. isola-vmm, before anything is made. */
#include "machine.h"

#include "isola/json.h"
#include "isola/vmm.h"

#include "cpu.h"
#include "device.h"
#include "platform.h"
#include "vm.h"

#include <errno.h>
#include <string.h>

#define ID_MAX 63

/* ---- the document as a whole ---- */

struct walk {
	bool paths;
	bool *fds; /* of the machine */
};

/* {"path"} only by hand; each descriptor has one owner. */
static int walk_member(struct walk *w, const char *key, json_object *value, struct err *err)
{
	if (!strcmp(key, "path") && !w->paths)
		return err_set(err, EINVAL, "path: only with --config; a keeper hands descriptors");
	if (strcmp(key, "fd") || !json_object_is_type(value, json_type_int))
		return 0;
	int64_t fd = json_object_get_int64(value);
	if (fd < (w->paths ? VMM_CONTROL_FD : VMM_FIRST_FD) || fd >= MACHINE_FDS_MAX)
		return err_set(err, EINVAL, "fd: %lld is no descriptor that can be handed over",
			       (long long)fd);
	if (w->fds[fd])
		return err_set(err, EINVAL, "fd: %lld is named twice", (long long)fd);
	w->fds[fd] = true;
	return 0;
}

/* The parser bounds the depth. */
static int walk(struct walk *w, json_object *o, struct err *err)
{
	int rc = 0;
	if (json_object_is_type(o, json_type_object)) {
		json_object_object_foreach (o, key, value) {
			rc = walk_member(w, key, value, err);
			if (rc == 0 && (rc = walk(w, value, err)) < 0)
				(void)err_prefix(err, "%.64s", key);
			if (rc < 0)
				return rc;
		}
	}
	for (size_t i = 0; i < json_len(o); i++) {
		rc = walk(w, json_object_array_get_idx(o, i), err);
		if (rc < 0)
			return err_prefix(err, "[%zu]", i);
	}
	return 0;
}

/* Members that are ours; the others belong to a device type. */
static const char *const own_keys[] = { "version",    "id",     "kvm",      "cpus",    "memory",
					"boot",       "serial", "watchdog", "vmgenid", "seccomp",
					"debug_exit", "jail",   NULL };

static bool is_device_key(const char *key)
{
	for (size_t i = 0; device_types[i]; i++)
		if (!strcmp(device_types[i]->key, key))
			return true;
	return false;
}

static int check_keys(json_object *doc, struct err *err)
{
	json_object_object_foreach (doc, key, value) {
		(void)value;
		bool own = false;
		for (size_t i = 0; own_keys[i]; i++)
			own = own || !strcmp(own_keys[i], key);
		if (!own && !is_device_key(key))
			return err_set(err, EINVAL, "%.64s: is not known", key);
	}
	return 0;
}

/* ---- parts ---- */

static bool is_id(const char *id)
{
	static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				   "0123456789_.-";
	size_t n = strspn(id, good);
	return n >= 1 && n <= ID_MAX && id[n] == '\0';
}

static int check_id(const char *id, const char *key, struct err *err)
{
	if (is_id(id))
		return 0;
	return err_set(err, EINVAL, "%s: must be 1 to %d of a-z A-Z 0-9 _ . -", key, ID_MAX);
}

static int parse_head(json_object *doc, struct machine *m, struct err *err)
{
	int64_t version = 0;
	int rc = json_get_i64(doc, "version", &version, err);
	if (rc < 0)
		return rc;
	if (version != VMM_VERSION)
		return err_set(err, EINVAL, "version: must be %d", VMM_VERSION);
	rc = json_get_str(doc, "id", &m->id, err);
	if (rc < 0)
		return rc;
	return rc == 0 ? err_set(err, EINVAL, "id: is missing") : check_id(m->id, "id", err);
}

static int parse_kvm(json_object *doc, bool paths, struct machine *m, struct err *err)
{
	m->kvm = (struct source){ .path = "/dev/kvm", .fd = -1 };
	int rc = source_get(doc, "kvm", &m->kvm, err);
	if (rc == 0 && !paths)
		return err_set(err, EINVAL, "kvm: is missing");
	return rc < 0 ? rc : 0;
}

static int parse_topology(json_object *o, struct machine *m, struct err *err)
{
	int64_t count = 1, threads = 1, cores = 0;
	int rc = machine_int(o, "cpus", "count", 1, MACHINE_CPUS_MAX, &count, err);
	if (rc < 0 || (rc = machine_int(o, "cpus", "threads_per_core", 1, 2, &threads, err)) < 0)
		return rc;
	cores = count / threads;
	rc = machine_int(o, "cpus", "cores_per_socket", 1, MACHINE_CPUS_MAX, &cores, err);
	if (rc < 0)
		return rc;
	if (cores == 0 || count % (threads * cores))
		return err_set(err, EINVAL,
			       "cpus.count: %lld CPUs are no whole number of sockets of %lld cores "
			       "with %lld threads",
			       (long long)count, (long long)cores, (long long)threads);
	m->cpus = (unsigned int)count;
	m->threads_per_core = (unsigned int)threads;
	m->cores_per_socket = (unsigned int)cores;
	return 0;
}

static int parse_affinity(json_object *o, struct machine *m, struct err *err)
{
	int rc = json_get_arr(o, "affinity", &m->affinity, err);
	if (rc < 0)
		return err_prefix(err, "cpus");
	if (json_len(m->affinity) > m->cpus)
		return err_set(err, EINVAL, "cpus.affinity: has %zu lists for %u vCPUs",
			       json_len(m->affinity), m->cpus);
	for (size_t i = 0; i < json_len(m->affinity); i++)
		if (machine_cpu_list(json_object_array_get_idx(m->affinity, i), err) < 0)
			return err_prefix(err, "cpus.affinity[%zu]", i);
	return 0;
}

static int parse_cpus(json_object *doc, struct machine *m, struct err *err)
{
	static const char *const known[] = {
		"count",    "threads_per_core", "cores_per_socket", "template",
		"affinity", "broken",           "broken_kvm",       NULL
	};
	json_object *o = json_get(doc, "cpus");
	m->cpus = m->threads_per_core = m->cores_per_socket = 1;
	if (!o)
		return 0;
	int rc = machine_only(o, known, "cpus", err);
	if (rc < 0 || (rc = parse_topology(o, m, err)) < 0 || (rc = parse_affinity(o, m, err)) < 0)
		return rc;
	rc = json_get_strv(o, "broken", &m->cpu_broken, err);
	if (rc >= 0)
		rc = json_get_str(o, "broken_kvm", &m->cpu_broken_kvm, err);
	if (rc < 0)
		return err_prefix(err, "cpus");
	if (m->cpu_broken_kvm && !m->cpu_broken)
		return err_set(err, EINVAL, "cpus.broken_kvm: is of a list, cpus.broken");
	m->cpu_template = json_get(o, "template");
	rc = m->cpu_template ? cpu_template_check(m->cpu_template, err) : 0;
	return rc < 0 ? err_prefix(err, "cpus.template") : 0;
}

static int parse_memory(json_object *doc, struct machine *m, struct err *err)
{
	static const char *const known[] = { "size",     "shared", "hugepages", "thp",
					     "prefault", "merge",  NULL };
	static const char *const pages[] = { "none", "2M", "1G", NULL };
	static const size_t page_bytes[] = { 4096, 2 << 20, 1 << 30 };
	json_object *o = json_get(doc, "memory");
	unsigned int page = 0;
	int64_t size = 0;
	if (!o)
		return err_set(err, EINVAL, "memory: is missing");
	int rc = machine_only(o, known, "memory", err);
	if (rc < 0)
		return rc;
	rc = machine_int(o, "memory", "size", MEMORY_MIN_BYTES, MEMORY_MAX_BYTES, &size, err);
	if (rc < 0)
		return rc;
	if (rc == 0)
		return err_set(err, EINVAL, "memory.size: is missing");
	struct memory_args *a = &m->memory;
	if (machine_word(o, "memory", "hugepages", pages, &page, err) < 0)
		return -EINVAL;
	if (json_get_bool(o, "shared", &a->shared, err) < 0 ||
	    json_get_bool(o, "thp", &a->thp, err) < 0 ||
	    json_get_bool(o, "prefault", &a->prefault, err) < 0 ||
	    json_get_bool(o, "merge", &a->merge, err) < 0)
		return err_prefix(err, "memory");
	a->size_bytes = (uint64_t)size;
	a->page_bytes = page_bytes[page];
	return memory_check(a, err) < 0 ? err_prefix(err, "memory") : 0;
}

static int parse_boot(json_object *doc, struct machine *m, struct err *err)
{
	static const char *const known[] = { "kernel", "initrd", "cmdline", NULL };
	json_object *o = json_get(doc, "boot");
	m->initrd = (struct source){ .fd = -1 };
	m->cmdline = "";
	if (!o)
		return err_set(err, EINVAL, "boot: is missing");
	int rc = machine_only(o, known, "boot", err);
	if (rc < 0)
		return rc;
	rc = source_get(o, "kernel", &m->kernel, err);
	if (rc == 0)
		return err_set(err, EINVAL, "boot.kernel: is missing");
	if (rc < 0 || source_get(o, "initrd", &m->initrd, err) < 0 ||
	    json_get_str(o, "cmdline", &m->cmdline, err) < 0)
		return err_prefix(err, "boot");
	if (strlen(m->cmdline) > MACHINE_CMDLINE_MAX)
		return err_set(err, EINVAL, "boot.cmdline: is longer than %d bytes",
			       MACHINE_CMDLINE_MAX);
	return 0;
}

static bool is_uuid(const char *text)
{
	for (int i = 0; i < 36; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;
		if (dash ? text[i] != '-' : !strchr("0123456789abcdefABCDEF", text[i]) || !text[i])
			return false;
	}
	return text[36] == '\0';
}

static int parse_options(json_object *doc, struct machine *m, struct err *err)
{
	static const char *const modes[] = { "kill", "log", "off", NULL };
	unsigned int mode = 0;
	int rc = machine_word(doc, "", "seccomp", modes, &mode, err);
	if (rc < 0)
		return rc;
	m->seccomp = modes[mode];
	rc = json_get_str(doc, "vmgenid", &m->vmgenid, err);
	if (rc < 0)
		return rc;
	if (m->vmgenid && !is_uuid(m->vmgenid))
		return err_set(err, EINVAL, "vmgenid: \"%.40s\" is no UUID", m->vmgenid);
	rc = json_get_bool(doc, "debug_exit", &m->debug_exit, err);
	return rc < 0 ? rc
		      : platform_check(json_get(doc, "serial"), json_get(doc, "watchdog"), err);
}

static int parse_jail(json_object *doc, struct machine *m, struct err *err)
{
	static const char *const known[] = { "uid", "gid", NULL };
	json_object *o = json_get(doc, "jail");
	int64_t uid = 0, gid = 0;
	if (!o)
		return 0;
	int rc = machine_only(o, known, "jail", err);
	if (rc < 0)
		return rc;
	/* Never root: it owns what is mounted and mapped elsewhere. -1 is no id. */
	rc = machine_int(o, "jail", "uid", 1, UINT32_MAX - 1, &uid, err);
	if (rc > 0)
		rc = machine_int(o, "jail", "gid", 1, UINT32_MAX - 1, &gid, err);
	if (rc == 0)
		return err_set(err, EINVAL, "jail: needs uid and gid");
	m->jail = true;
	m->uid = (uint32_t)uid;
	m->gid = (uint32_t)gid;
	return rc < 0 ? rc : 0;
}

/* ---- devices ---- */

static int check_one(const struct device_type *type, json_object *conf, struct err *err)
{
	return type->check ? type->check(conf, err) : 0;
}

static int check_list(const struct device_type *type, json_object *list, struct err *err)
{
	if (!json_object_is_type(list, json_type_array))
		return err_set(err, EINVAL, "%s: must be a list", type->key);
	if (json_len(list) > VM_DEVICES_MAX)
		return err_set(err, EINVAL, "%s: a VM has at most %d devices", type->key,
			       VM_DEVICES_MAX);
	for (size_t i = 0; i < json_len(list); i++) {
		json_object *conf = json_object_array_get_idx(list, i);
		if (!json_object_is_type(conf, json_type_object))
			return err_set(err, EINVAL, "%s[%zu]: must be an object", type->key, i);
		if (check_one(type, conf, err) < 0)
			return err_prefix(err, "%s[%zu]", type->key, i);
	}
	return 0;
}

bool machine_wants(const struct machine *machine, const struct device_type *type)
{
	json_object *part = machine_part(machine, type->key);
	if (!part)
		return type->by_default;
	return !json_object_is_type(part, json_type_boolean);
}

static int check_device(const struct device_type *type, struct machine *m, struct err *err)
{
	json_object *part = machine_part(m, type->key);
	if (part && type->many)
		return check_list(type, part, err);
	if (json_object_is_type(part, json_type_boolean) && json_object_get_boolean(part))
		return err_set(err, EINVAL, "%s: must be an object or false", type->key);
	if (!machine_wants(m, type))
		return 0;
	return check_one(type, part, err) < 0 ? err_prefix(err, "%s", type->key) : 0;
}

/* Ids name devices in requests and statistics, whatever their kind. */
static int check_ids(struct machine *m, struct err *err)
{
	const char *ids[VM_DEVICES_MAX];
	size_t n = 0;
	for (size_t t = 0; device_types[t]; t++) {
		json_object *list = machine_part(m, device_types[t]->key);
		for (size_t i = 0; i < json_len(list); i++) {
			const char *id =
				json_str_or(json_object_array_get_idx(list, i), "id", NULL);
			if (!id)
				continue;
			if (check_id(id, "id", err) < 0)
				return err_prefix(err, "%s[%zu]", device_types[t]->key, i);
			for (size_t j = 0; j < n; j++)
				if (!strcmp(ids[j], id))
					return err_set(err, EINVAL, "%s[%zu].id: \"%s\" is taken",
						       device_types[t]->key, i, id);
			ids[n++] = id;
		}
	}
	return 0;
}

static int check_devices(struct machine *m, struct err *err)
{
	size_t n = 0;
	for (size_t i = 0; device_types[i]; i++) {
		int rc = check_device(device_types[i], m, err);
		if (rc < 0)
			return rc;
		if (machine_wants(m, device_types[i]))
			n += device_types[i]->many ? json_len(machine_part(m, device_types[i]->key))
						   : 1;
	}
	if (n > VM_DEVICES_MAX)
		return err_set(err, EINVAL, "%zu devices are too many: a VM has room for %d", n,
			       VM_DEVICES_MAX);
	return check_ids(m, err);
}

/* ---- all ---- */

static int parse(json_object *doc, bool paths, struct machine *m, struct err *err)
{
	struct walk w = { .paths = paths, .fds = m->fds };
	int rc = 0;
	if (!json_object_is_type(doc, json_type_object))
		return err_set(err, EINVAL, "the machine file must be an object");
	if ((rc = check_keys(doc, err)) < 0 || (rc = walk(&w, doc, err)) < 0 ||
	    (rc = parse_head(doc, m, err)) < 0 || (rc = parse_kvm(doc, paths, m, err)) < 0 ||
	    (rc = parse_cpus(doc, m, err)) < 0 || (rc = parse_memory(doc, m, err)) < 0 ||
	    (rc = parse_boot(doc, m, err)) < 0 || (rc = parse_options(doc, m, err)) < 0 ||
	    (rc = parse_jail(doc, m, err)) < 0)
		return rc;
	return check_devices(m, err);
}

int machine_parse(json_object *doc, bool paths, struct machine *ret, struct err *err)
{
	struct machine m = { .doc = doc };
	int rc = parse(doc, paths, &m, err);
	if (rc < 0) {
		machine_fini(&m);
		return rc;
	}
	*ret = m;
	return 0;
}

void machine_fini(struct machine *machine)
{
	json_object_put(machine->doc);
	*machine = (struct machine){ .doc = NULL };
}
