/* SPDX-License-Identifier: Apache-2.0 */
/* spec_linux - the smaller parts of "linux" (config-linux.md): devices, cgroup,
 * propagation, personality, masked and read-only paths, labels; and what we
 * refuse. Larger parts have files of their own. */
#include "spec_parts.h"

#include "isola/cgroup.h"
#include "isola/json.h"
#include "isola/lsm.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/stat.h>

#define DEVICES_MAX 4096
#define MAJOR_MAX   ((1 << 12) - 1)
#define MINOR_MAX   ((1 << 20) - 1)

static const struct spec_word device_types[] = {
	{ "b", S_IFBLK },
	{ "c", S_IFCHR },
	{ "p", S_IFIFO },
	{ "u", S_IFCHR },
};

static const struct spec_word propagations[] = {
	{ "private", MS_PRIVATE },
	{ "rprivate", MS_PRIVATE | MS_REC },
	{ "rshared", MS_SHARED | MS_REC },
	{ "rslave", MS_SLAVE | MS_REC },
	{ "runbindable", MS_UNBINDABLE | MS_REC },
	{ "shared", MS_SHARED },
	{ "slave", MS_SLAVE },
	{ "unbindable", MS_UNBINDABLE },
};

static const struct spec_word personalities[] = {
	{ "LINUX", PER_LINUX },
	{ "LINUX32", PER_LINUX32 },
};

static int read_device(struct spec_cx *cx, const struct at *at, json_object *o, void *ret)
{
	struct ctr_device *d = ret;
	const char *type = NULL;
	uint64_t format = 0;
	int64_t major = 0, minor = 0, mode = 0666, uid = 0, gid = 0;
	int rc = spec_need_str(cx, at, o, "path", &d->path);
	if (rc < 0 || (rc = spec_check_path(cx, at, "path", d->path)) < 0 ||
	    (rc = spec_need_str(cx, at, o, "type", &type)) < 0 ||
	    (rc = spec_find_word(cx, at, "type", "type of device", device_types,
				 SPEC_N(device_types), type, &format)) < 0 ||
	    (rc = spec_int(cx, at, o, "fileMode", 0, UINT32_MAX, &mode)) < 0 ||
	    (rc = spec_int(cx, at, o, "uid", 0, UINT32_MAX - 1, &uid)) < 0 ||
	    (rc = spec_int(cx, at, o, "gid", 0, UINT32_MAX - 1, &gid)) < 0)
		return rc;
	if (format != S_IFIFO &&
	    ((rc = spec_need_int(cx, at, o, "major", 0, MAJOR_MAX, &major)) < 0 ||
	     (rc = spec_need_int(cx, at, o, "minor", 0, MINOR_MAX, &minor)) < 0))
		return rc;
	/* Callers that copy st_mode send the format as well. */
	if ((mode & ~07777) != 0 && (uint64_t)(mode & ~07777) != format)
		return spec_fail(cx, at, "fileMode", "must be permission bits only");
	d->mode = (mode_t)((uint64_t)(mode & 07777) | format);
	d->major = (unsigned int)major;
	d->minor = (unsigned int)minor;
	d->uid = (uid_t)uid;
	d->gid = (gid_t)gid;
	return 0;
}

static int parse_cgroups_path(struct spec_cx *cx, const struct at *at, json_object *o,
			      struct ctr_spec *spec)
{
	int rc = spec_text(cx, at, o, "cgroupsPath", &spec->cgroups_path);
	if (rc <= 0)
		return rc;
	if (strlen(spec->cgroups_path) >= PATH_MAX)
		return spec_fail(cx, at, "cgroupsPath", "is too long");
	for (const char *p = spec->cgroups_path; *p;) {
		size_t n = strcspn(p, "/");
		if (n == 2 && !strncmp(p, "..", 2))
			return spec_fail(cx, at, "cgroupsPath", "must not hold \"..\"");
		p += n;
		p += strspn(p, "/");
	}
	return 0;
}

static int parse_resources(struct spec_cx *cx, const struct at *at, json_object *o,
			   struct ctr_spec *spec)
{
	json_object *resources = NULL, *devices = NULL;
	const struct at place = { .up = at, .name = "resources" };
	int rc = spec_obj(cx, at, o, "resources", &resources);
	if (rc <= 0 || (rc = spec_arr(cx, &place, resources, "devices", &devices)) < 0)
		return rc;
	struct err err = ERR_INIT;
	rc = cgroup_resources_check(resources, &err);
	if (rc == 0 && devices)
		rc = cgroup_devices_check(devices, &err);
	if (rc < 0)
		return err_set(cx->err, err.code, "linux.%s", err.text);
	spec->resources = resources;
	spec->resources_devices = json_len(devices) ? devices : NULL;
	return 0;
}

static int parse_personality(struct spec_cx *cx, const struct at *at, json_object *o,
			     struct ctr_spec *spec)
{
	json_object *part = NULL, *flags = NULL;
	const char *domain = NULL;
	uint64_t value = 0;
	int rc = spec_obj(cx, at, o, "personality", &part);
	if (rc <= 0)
		return rc;
	const struct at place = { .up = at, .name = "personality" };
	if ((rc = spec_need_str(cx, &place, part, "domain", &domain)) < 0 ||
	    (rc = spec_find_word(cx, &place, "domain", "domain", personalities,
				 SPEC_N(personalities), domain, &value)) < 0 ||
	    (rc = spec_arr(cx, &place, part, "flags", &flags)) < 0)
		return rc;
	if (json_len(flags))
		return spec_fail(cx, &place, "flags", "no flag is known");
	spec->personality_set = true;
	spec->personality = value;
	return 0;
}

static int parse_propagation(struct spec_cx *cx, const struct at *at, json_object *o,
			     struct ctr_spec *spec)
{
	const char *text = NULL;
	uint64_t value = 0;
	int rc = spec_text(cx, at, o, "rootfsPropagation", &text);
	if (rc <= 0 || (rc = spec_find_word(cx, at, "rootfsPropagation", "propagation",
					    propagations, SPEC_N(propagations), text, &value)) < 0)
		return rc;
	spec->rootfs_propagation = value;
	return 0;
}

static int parse_mount_label(struct spec_cx *cx, const struct at *at, json_object *o,
			     struct ctr_spec *spec)
{
	int rc = spec_text(cx, at, o, "mountLabel", &spec->mount_label);
	if (rc > 0 && !lsm_has_selinux())
		return spec_unsupported(cx, at, "mountLabel",
					"cannot apply \"%.100s\": this host runs no SELinux",
					spec->mount_label);
	return rc;
}

/* Known to later specifications, too: silently leaving them out would give a
 * container that is not what was asked for. */
static int refuse_unsupported(struct spec_cx *cx, const struct at *at, json_object *o)
{
	static const char *const keys[] = { "intelRdt", "memoryPolicy", "netDevices" };
	for (size_t i = 0; i < SPEC_N(keys); i++) {
		json_object *part = NULL;
		int rc = spec_obj(cx, at, o, keys[i], &part);
		if (rc < 0)
			return rc;
		if (rc > 0 && json_object_object_length(part) > 0)
			return spec_unsupported(cx, at, keys[i], "is not supported");
	}
	return 0;
}

int spec_parse_linux(struct spec_cx *cx, const struct at *at, json_object *o, struct ctr_spec *spec)
{
	int rc = spec_items(cx, at, o, "devices", DEVICES_MAX, sizeof(struct ctr_device),
			    read_device, &spec->devices, &spec->n_devices);
	if (rc < 0 || (rc = parse_cgroups_path(cx, at, o, spec)) < 0 ||
	    (rc = parse_resources(cx, at, o, spec)) < 0 ||
	    (rc = parse_propagation(cx, at, o, spec)) < 0 ||
	    (rc = spec_obj(cx, at, o, "seccomp", &spec->seccomp)) < 0 ||
	    (rc = spec_path_strv(cx, at, o, "maskedPaths", &spec->masked_paths,
				 &spec->n_masked_paths)) < 0 ||
	    (rc = spec_path_strv(cx, at, o, "readonlyPaths", &spec->readonly_paths,
				 &spec->n_readonly_paths)) < 0 ||
	    (rc = parse_mount_label(cx, at, o, spec)) < 0 ||
	    (rc = parse_personality(cx, at, o, spec)) < 0)
		return rc;
	return refuse_unsupported(cx, at, o);
}
