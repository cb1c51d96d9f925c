/* SPDX-License-Identifier: Apache-2.0 */
/* spec - config.json (OCI runtime-spec 1.2) to struct ctr_spec. The container
 * library's callers run it: isola-keeper, isola-oci. See spec.h. */
#include "spec.h"

#include "isola/json.h"

#include "spec_parts.h"

#include <errno.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static bool is_digits(const char **p)
{
	const char *start = *p;
	while (**p >= '0' && **p <= '9')
		(*p)++;
	return *p > start;
}

/* Semantic version with major 1: within it all are compatible. */
static int check_version(struct spec_cx *cx, json_object *doc)
{
	const char *version = NULL;
	int rc = spec_need_str(cx, NULL, doc, "ociVersion", &version);
	if (rc < 0)
		return rc;
	const char *p = version;
	bool good = p[0] == '1' && *(p += 1) == '.' && p++ && is_digits(&p) && *p == '.' && p++ &&
		    is_digits(&p) && (!*p || *p == '-' || *p == '+');
	if (!good)
		return spec_fail(cx, NULL, "ociVersion", "\"%.60s\" is not supported, 1.x.y is",
				 version);
	return 0;
}

static int parse_root(struct spec_cx *cx, json_object *doc, struct ctr_spec *spec)
{
	json_object *root = NULL;
	const struct at at = { .name = "root" };
	int rc = spec_obj(cx, NULL, doc, "root", &root);
	if (rc <= 0)
		return rc < 0 ? rc : spec_fail(cx, NULL, "root", "is missing");
	if ((rc = spec_need_str(cx, &at, root, "path", &spec->root_path)) < 0 ||
	    (rc = spec_bool(cx, &at, root, "readonly", &spec->root_readonly)) < 0)
		return rc;
	if (strlen(spec->root_path) >= PATH_MAX)
		return spec_fail(cx, &at, "path", "is longer than %d bytes", PATH_MAX - 1);
	return 0;
}

static int parse_name(struct spec_cx *cx, json_object *doc, const char *key, const char **ret)
{
	int rc = spec_text(cx, NULL, doc, key, ret);
	if (rc > 0 && strlen(*ret) > 64)
		return spec_fail(cx, NULL, key, "is longer than 64 bytes");
	return rc;
}

static int parse_annotations(struct spec_cx *cx, json_object *doc, struct ctr_spec *spec)
{
	json_object *map = NULL;
	int rc = spec_obj(cx, NULL, doc, "annotations", &map);
	if (rc <= 0)
		return rc;
	const struct at list = { .name = "annotations" };
	json_object_object_foreach (map, key, value) {
		const struct at place = { .up = &list, .name = key };
		if (!*key)
			return spec_fail(cx, NULL, "annotations", "has an empty key");
		if (!json_object_is_type(value, json_type_string))
			return spec_fail(cx, &place, NULL, "must be a string");
	}
	spec->annotations = map;
	return 0;
}

static int parse_process(struct spec_cx *cx, json_object *doc, struct ctr_spec *spec)
{
	json_object *process = NULL;
	const struct at at = { .name = "process" };
	int rc = spec_obj(cx, NULL, doc, "process", &process);
	return rc <= 0 ? rc : spec_parse_process(cx, &at, process, &spec->process);
}

static int parse_linux(struct spec_cx *cx, json_object *doc, struct ctr_spec *spec)
{
	json_object *part = NULL;
	const struct at at = { .name = "linux" };
	int rc = spec_obj(cx, NULL, doc, "linux", &part);
	if (rc <= 0)
		return rc < 0 ? rc : spec_fail(cx, NULL, "linux", "is missing");
	if ((rc = spec_parse_ns(cx, &at, part, spec)) < 0 ||
	    (rc = spec_parse_sysctl(cx, &at, part, spec)) < 0)
		return rc;
	return spec_parse_linux(cx, &at, part, spec);
}

static json_object *device_rule(const struct ctr_device *d)
{
	json_object *rule = json_object_new_object();
	json_add_bool(rule, "allow", true);
	json_add_str(rule, "type", S_ISBLK(d->mode) ? "b" : "c");
	json_add_i64(rule, "major", d->major);
	json_add_i64(rule, "minor", d->minor);
	return rule;
}

/* "Containers MAY NOT access any device node that is not either explicitly
 * referenced in the devices array or listed as being part of the default devices"
 * (config-linux.md, "Devices"). Where the caller gives no rules this matters only
 * to a process that can make nodes: one of the host's user namespace with
 * CAP_MKNOD. Others are spared the eBPF program. */
static int guard_devices(struct spec_cx *cx, struct ctr_spec *spec)
{
	if (spec->resources_devices || spec->ns[CTR_NS_USER].mode != CTR_NS_HOST ||
	    !spec->process || !(spec->process->caps.bounding & 1ULL << CAP_MKNOD))
		return 0;
	json_object *rules = json_object_new_array();
	if (!rules)
		return err_set(cx->err, ENOMEM, "out of memory");
	for (size_t i = 0; i < spec->n_devices; i++) {
		json_object *rule =
			S_ISFIFO(spec->devices[i].mode) ? NULL : device_rule(&spec->devices[i]);
		if (rule && json_object_array_add(rules, rule) < 0)
			json_object_put(rule);
	}
	spec->own_devices = spec->resources_devices = rules;
	return 0;
}

static int parse_all(struct spec_cx *cx, json_object *doc, struct ctr_spec *spec)
{
	if (!json_object_is_type(doc, json_type_object))
		return spec_fail(cx, NULL, NULL, "config.json must be an object");
	int rc = check_version(cx, doc);
	if (rc < 0 || (rc = parse_root(cx, doc, spec)) < 0 ||
	    (rc = spec_parse_mounts(cx, doc, spec)) < 0 ||
	    (rc = parse_process(cx, doc, spec)) < 0 ||
	    (rc = parse_name(cx, doc, "hostname", &spec->hostname)) < 0 ||
	    (rc = parse_name(cx, doc, "domainname", &spec->domainname)) < 0 ||
	    (rc = spec_parse_hooks(cx, doc, spec)) < 0 ||
	    (rc = parse_annotations(cx, doc, spec)) < 0 || (rc = parse_linux(cx, doc, spec)) < 0)
		return rc;
	if ((rc = spec_check(cx, spec)) < 0)
		return rc;
	return guard_devices(cx, spec);
}

int ctr_spec_parse(json_object *doc, struct ctr_spec **ret, struct err *err)
{
	struct spec_cx cx = { .mem = spec_mem_new(), .err = err };
	struct ctr_spec *spec = cx.mem ? spec_mem_alloc(cx.mem, 1, sizeof(*spec)) : NULL;
	if (!spec) {
		spec_mem_free(cx.mem);
		return err_set(err, ENOMEM, "out of memory");
	}
	spec->mem = cx.mem;
	int rc = parse_all(&cx, doc, spec);
	if (rc < 0) {
		spec_mem_free(cx.mem);
		return rc;
	}
	spec->doc = json_object_get(doc);
	*ret = spec;
	return 0;
}

void ctr_spec_free(struct ctr_spec *spec)
{
	if (!spec)
		return;
	json_object_put(spec->doc);
	json_object_put(spec->own_devices);
	spec_mem_free(spec->mem); /* the spec lies in it */
}

int ctr_spec_parse_mount(json_object *mount, struct ctr_spec **ret, struct err *err)
{
	struct spec_cx cx = { .mem = spec_mem_new(), .err = err };
	struct ctr_spec *spec = cx.mem ? spec_mem_alloc(cx.mem, 1, sizeof(*spec)) : NULL;
	json_object *doc = json_object_new_object(), *list = json_object_new_array();
	if (spec && doc && list) {
		(void)json_object_array_add(list, json_object_get(mount));
		(void)json_object_object_add(doc, "mounts", list);
	}
	int rc = spec && doc && list ? spec_parse_mounts(&cx, doc, spec)
				     : err_set(err, ENOMEM, "out of memory");
	if (rc < 0) {
		json_object_put(doc);
		spec_mem_free(cx.mem);
		return rc;
	}
	spec->mem = cx.mem;
	spec->doc = doc;
	*ret = spec;
	return 0;
}

int ctr_process_parse(json_object *doc, struct ctr_process **ret, struct err *err)
{
	struct spec_cx cx = { .mem = spec_mem_new(), .err = err };
	if (!cx.mem)
		return err_set(err, ENOMEM, "out of memory");
	const struct at at = { .name = "process" };
	struct ctr_process *p = NULL;
	int rc = json_object_is_type(doc, json_type_object)
			 ? spec_parse_process(&cx, &at, doc, &p)
			 : spec_fail(&cx, &at, NULL, "must be an object");
	if (rc < 0) {
		spec_mem_free(cx.mem);
		return rc;
	}
	p->mem = cx.mem;
	p->doc = json_object_get(doc);
	*ret = p;
	return 0;
}

void ctr_process_free(struct ctr_process *process)
{
	if (!process || !process->mem)
		return;
	json_object_put(process->doc);
	spec_mem_free(process->mem);
}

bool ctr_process_terminal(const struct ctr_process *process)
{
	return process->terminal;
}

json_object *ctr_spec_seccomp(const struct ctr_spec *spec)
{
	return spec->seccomp;
}

const struct ctr_process *ctr_spec_process(const struct ctr_spec *spec)
{
	return spec->process;
}

int ctr_spec_clone_flags(const struct ctr_spec *spec)
{
	int flags = 0;
	for (int i = 0; i < CTR_NS_COUNT; i++)
		if (spec->ns[i].mode == CTR_NS_NEW)
			flags |= ctr_ns_types[i].clone_flag;
	return flags;
}
