/* SPDX-License-Identifier: Apache-2.0 */
/* guest_setup - see guest_setup.h. */
#include "guest_setup.h"

#include "guest_split.h"

#include "isola/guest.h"
#include "isola/json.h"
#include "isola/strbuf.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>

/* The only virtio-pmem that a guest has. */
#define IMAGE_DEVICE "/dev/pmem0"

/* ---- mounts ---- */

/* Options of config.json (runtime-spec, config.md "Linux mount options") that are flags of
 * mount(2). Of those about propagation none means anything to a guest alone. */
static const struct {
	const char *name;
	unsigned long set, clear;
} flags[] = {
	{ "async", 0, MS_SYNCHRONOUS },
	{ "atime", 0, MS_NOATIME },
	{ "defaults", 0, 0 },
	{ "dev", 0, MS_NODEV },
	{ "diratime", 0, MS_NODIRATIME },
	{ "dirsync", MS_DIRSYNC, 0 },
	{ "exec", 0, MS_NOEXEC },
	{ "noatime", MS_NOATIME, 0 },
	{ "nodev", MS_NODEV, 0 },
	{ "nodiratime", MS_NODIRATIME, 0 },
	{ "noexec", MS_NOEXEC, 0 },
	{ "norelatime", 0, MS_RELATIME },
	{ "nosuid", MS_NOSUID, 0 },
	{ "private", 0, 0 },
	{ "relatime", MS_RELATIME, 0 },
	{ "ro", MS_RDONLY, 0 },
	{ "rprivate", 0, 0 },
	{ "rro", MS_RDONLY, 0 },
	{ "rshared", 0, 0 },
	{ "rslave", 0, 0 },
	{ "rw", 0, MS_RDONLY },
	{ "shared", 0, 0 },
	{ "slave", 0, 0 },
	{ "strictatime", MS_STRICTATIME, 0 },
	{ "suid", 0, MS_NOSUID },
	{ "sync", MS_SYNCHRONOUS, 0 },
};

static bool is_bind(json_object *options, const char *type)
{
	for (size_t i = 0; i < json_len(options); i++)
		if (!strcmp(json_item_str(options, i), "bind") ||
		    !strcmp(json_item_str(options, i), "rbind"))
			return true;
	return !strcmp(type, "bind");
}

/* True when @option is a flag, which is applied. */
static bool apply_flag(const char *option, unsigned long *set)
{
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		if (strcmp(option, flags[i].name))
			continue;
		*set = (*set & ~flags[i].clear) | flags[i].set;
		return true;
	}
	return false;
}

void guest_setup_put_bind(struct tlv_writer *w, json_object *mount, const char *place)
{
	json_object *options = json_get(mount, "options");
	unsigned long set = 0;
	for (size_t k = 0; k < json_len(options); k++)
		(void)apply_flag(json_item_str(options, k), &set);
	size_t mark = tlv_open(w, GF_MOUNT);
	tlv_put_text(w, GF_TARGET, json_str_or(mount, "destination", ""));
	tlv_put_text(w, GF_FSTYPE, "bind");
	tlv_put_text(w, GF_SOURCE, place);
	tlv_put_u64(w, GF_FLAGS, set);
	tlv_close(w, mark);
}

int guest_setup_put_mount(struct tlv_writer *w, json_object *mount, struct err *err)
{
	json_object *options = json_get(mount, "options");
	const char *type = json_str_or(mount, "type", "");
	cleanup_strbuf struct strbuf data = STRBUF_INIT;
	unsigned long set = 0;
	for (size_t i = 0; i < json_len(options); i++) {
		const char *option = json_item_str(options, i);
		if (!strcmp(option, "tmpcopyup"))
			return err_set(err, EOPNOTSUPP,
				       "\"tmpcopyup\" is not possible with --isolation vm");
		if (!apply_flag(option, &set))
			strbuf_printf(&data, "%s%s", data.len ? "," : "", option);
	}
	size_t mark = tlv_open(w, GF_MOUNT);
	tlv_put_text(w, GF_TARGET, json_str_or(mount, "destination", ""));
	tlv_put_text(w, GF_FSTYPE, strcmp(type, "cgroup") ? type : "cgroup2");
	tlv_put_text(w, GF_SOURCE, json_str_or(mount, "source", type));
	tlv_put_u64(w, GF_FLAGS, set);
	if (data.len)
		tlv_put_text(w, GF_DATA, data.text);
	tlv_close(w, mark);
	return 0;
}

/* A bind is in the root, or with an image of the guest's beside it. */
static int put_mounts(struct tlv_writer *w, json_object *mounts, bool has_image, struct err *err)
{
	int rc = 0;
	char place[GUEST_SPLIT_PLACE];
	for (size_t i = 0; rc == 0 && i < json_len(mounts); i++) {
		json_object *mount = json_object_array_get_idx(mounts, i);
		bool bind = is_bind(json_get(mount, "options"), json_str_or(mount, "type", ""));
		if (bind && has_image)
			guest_setup_put_bind(w, mount, guest_split_place(i, place));
		else if (!bind)
			rc = guest_setup_put_mount(w, mount, err);
		if (rc < 0)
			(void)err_prefix(err, "config.json: mounts[%zu]", i);
	}
	return rc;
}

/* ---- devices ---- */

/* runtime-spec, config-linux.md "Default Devices". */
static const struct {
	const char *path;
	unsigned int major, minor;
} devices[] = {
	{ "/dev/null", 1, 3 },   { "/dev/zero", 1, 5 },    { "/dev/full", 1, 7 },
	{ "/dev/random", 1, 8 }, { "/dev/urandom", 1, 9 }, { "/dev/tty", 5, 0 },
};

static void put_devices(struct tlv_writer *w)
{
	for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]); i++) {
		size_t mark = tlv_open(w, GF_DEVICE);
		tlv_put_text(w, GF_TARGET, devices[i].path);
		tlv_put_u64(w, GF_MODE, S_IFCHR | 0666);
		tlv_put_u64(w, GF_MAJOR, devices[i].major);
		tlv_put_u64(w, GF_MINOR, devices[i].minor);
		tlv_put_u64(w, GF_UID, 0);
		tlv_put_u64(w, GF_GID, 0);
		tlv_close(w, mark);
	}
}

/* ---- the rest ---- */

static void put_tree(struct tlv_writer *w, uint16_t tag, const char *type, const char *source)
{
	size_t mark = tlv_open(w, tag);
	tlv_put_text(w, GF_FSTYPE, type);
	tlv_put_text(w, GF_SOURCE, source);
	tlv_close(w, mark);
}

/* As files below /proc/sys. Both spellings are legal; a slash first means slashes. */
static void put_sysctl(struct tlv_writer *w, const char *key, const char *value)
{
	char name[256];
	(void)snprintf(name, sizeof(name), "%s", key);
	if (key[strcspn(key, "./")] == '.')
		for (char *p = name; *p; p++)
			*p = *p == '.' ? '/' : *p == '/' ? '.' : *p;
	size_t mark = tlv_open(w, GF_SYSCTL);
	tlv_put_text(w, GF_NAME, name);
	tlv_put_text(w, GF_VALUE, value);
	tlv_close(w, mark);
}

static void put_sysctls(struct tlv_writer *w, json_object *sysctls)
{
	if (!sysctls)
		return;
	json_object_object_foreach (sysctls, key, value)
		put_sysctl(w, key, json_object_get_string(value));
}

static void put_limit(struct tlv_writer *w, const char *file, json_object *group)
{
	char text[32] = "max";
	json_object *limit = json_get(group, "limit");
	size_t mark;
	if (!limit)
		return;
	if (json_object_get_int64(limit) > 0)
		(void)snprintf(text, sizeof(text), "%lld", (long long)json_object_get_int64(limit));
	mark = tlv_open(w, GF_LIMIT);
	tlv_put_text(w, GF_NAME, file);
	tlv_put_text(w, GF_VALUE, text);
	tlv_close(w, mark);
}

/* Those that count what is inside; the others are the VM's, on the host. */
static void put_limits(struct tlv_writer *w, json_object *resources)
{
	put_limit(w, "memory.max", json_get(resources, "memory"));
	put_limit(w, "pids.max", json_get(resources, "pids"));
}

static void put_texts(struct tlv_writer *w, uint16_t tag, json_object *list)
{
	for (size_t i = 0; i < json_len(list); i++)
		tlv_put_text(w, tag, json_item_str(list, i));
}

void guest_setup_put_link(struct tlv_writer *w, json_object *link)
{
	int64_t mtu = json_i64_or(link, "mtu", 0);
	size_t mark = tlv_open(w, GF_LINK);
	tlv_put_text(w, GF_MAC, json_str_or(link, "mac", NULL));
	tlv_put_text(w, GF_NAME, json_str_or(link, "name", NULL));
	if (mtu > 0)
		tlv_put_u64(w, GF_MTU, (uint64_t)mtu);
	put_texts(w, GF_ADDRESS, json_get(link, "addresses"));
	put_texts(w, GF_GATEWAY, json_get(link, "gateways"));
	tlv_close(w, mark);
}

static void put_links(struct tlv_writer *w, json_object *links)
{
	for (size_t i = 0; i < json_len(links); i++)
		guest_setup_put_link(w, json_object_array_get_idx(links, i));
}

static void put_clock(struct tlv_writer *w)
{
	struct timespec now;
	if (clock_gettime(CLOCK_REALTIME, &now) == 0)
		tlv_put_u64(w, GF_CLOCK_NS,
			    (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
}

int guest_setup_put(struct tlv_writer *w, json_object *config, json_object *links, bool has_image,
		    struct err *err)
{
	json_object *lin = json_get(config, "linux");
	put_tree(w, GF_ROOT, "virtiofs", GUEST_ROOT_TAG);
	if (has_image)
		put_tree(w, GF_IMAGE, "erofs", IMAGE_DEVICE);
	tlv_put_text(w, GF_HOSTNAME, json_str_or(config, "hostname", NULL));
	tlv_put_text(w, GF_DOMAINNAME, json_str_or(config, "domainname", NULL));
	put_sysctls(w, json_get(lin, "sysctl"));
	put_limits(w, json_get(lin, "resources"));
	put_links(w, links);
	int rc = put_mounts(w, json_get(config, "mounts"), has_image, err);
	if (rc < 0)
		return rc;
	put_devices(w);
	put_texts(w, GF_MASKED, json_get(lin, "maskedPaths"));
	put_texts(w, GF_READONLY, json_get(lin, "readonlyPaths"));
	if (json_bool_or(json_get(config, "root"), "readonly", false))
		tlv_put_u64(w, GF_ROOT_READONLY, 1);
	put_clock(w);
	if (w->failed)
		return err_set(err, E2BIG, "config.json is too long for a guest");
	return 0;
}
