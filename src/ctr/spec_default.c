/* SPDX-License-Identifier: Apache-2.0 */
/* spec_default - the config.json that `isola-oci spec` writes: a shell on a
 * terminal, with everything of its own and nothing that it does not need. */
#include "isola/ctr.h"

#include "isola/json.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The masked files tell about, or meddle with, the host's hardware and kernel;
 * the read-only ones steer it (/proc and /sys are not divided by namespaces). */
static const char text[] =
	"{\"ociVersion\":\"1.2.0\","
	"\"process\":{\"terminal\":true,\"user\":{\"uid\":0,\"gid\":0},\"args\":[\"sh\"],"
	"\"env\":[\"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\","
	"\"TERM=xterm\"],\"cwd\":\"/\","
	"\"capabilities\":{"
	"\"bounding\":[\"CAP_AUDIT_WRITE\",\"CAP_KILL\",\"CAP_NET_BIND_SERVICE\"],"
	"\"effective\":[\"CAP_AUDIT_WRITE\",\"CAP_KILL\",\"CAP_NET_BIND_SERVICE\"],"
	"\"permitted\":[\"CAP_AUDIT_WRITE\",\"CAP_KILL\",\"CAP_NET_BIND_SERVICE\"]},"
	"\"rlimits\":[{\"type\":\"RLIMIT_NOFILE\",\"hard\":1024,\"soft\":1024}],"
	"\"noNewPrivileges\":true},"
	"\"root\":{\"path\":\"rootfs\",\"readonly\":true},"
	"\"hostname\":\"isola\","
	"\"mounts\":["
	"{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\","
	"\"options\":[\"nosuid\",\"noexec\",\"nodev\"]},"
	"{\"destination\":\"/dev\",\"type\":\"tmpfs\",\"source\":\"tmpfs\","
	"\"options\":[\"nosuid\",\"strictatime\",\"mode=755\",\"size=65536k\"]},"
	"{\"destination\":\"/dev/pts\",\"type\":\"devpts\",\"source\":\"devpts\",\"options\":["
	"\"nosuid\",\"noexec\",\"newinstance\",\"ptmxmode=0666\",\"mode=0620\",\"gid=5\"]},"
	"{\"destination\":\"/dev/shm\",\"type\":\"tmpfs\",\"source\":\"shm\","
	"\"options\":[\"nosuid\",\"noexec\",\"nodev\",\"mode=1777\",\"size=65536k\"]},"
	"{\"destination\":\"/dev/mqueue\",\"type\":\"mqueue\",\"source\":\"mqueue\","
	"\"options\":[\"nosuid\",\"noexec\",\"nodev\"]},"
	"{\"destination\":\"/sys\",\"type\":\"sysfs\",\"source\":\"sysfs\","
	"\"options\":[\"nosuid\",\"noexec\",\"nodev\",\"ro\"]},"
	"{\"destination\":\"/sys/fs/cgroup\",\"type\":\"cgroup\",\"source\":\"cgroup\","
	"\"options\":[\"nosuid\",\"noexec\",\"nodev\",\"relatime\",\"ro\"]}],"
	"\"linux\":{"
	"\"resources\":{\"devices\":[{\"allow\":false,\"access\":\"rwm\"}]},"
	"\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"network\"},{\"type\":\"ipc\"},"
	"{\"type\":\"uts\"},{\"type\":\"mount\"},{\"type\":\"cgroup\"}],"
	"\"maskedPaths\":[\"/proc/acpi\",\"/proc/asound\",\"/proc/interrupts\",\"/proc/kcore\","
	"\"/proc/keys\",\"/proc/latency_stats\",\"/proc/sched_debug\",\"/proc/scsi\","
	"\"/proc/timer_list\",\"/proc/timer_stats\",\"/sys/devices/virtual/powercap\","
	"\"/sys/firmware\"],"
	"\"readonlyPaths\":[\"/proc/bus\",\"/proc/fs\",\"/proc/irq\",\"/proc/sys\","
	"\"/proc/sysrq-trigger\"]}}";

static void add_idmap(json_object *linux_part, const char *key, unsigned int id)
{
	json_object *map = json_object_new_object(), *maps = json_object_new_array();
	json_add_i64(map, "containerID", 0);
	json_add_i64(map, "hostID", id);
	json_add_i64(map, "size", 1);
	if (json_object_array_add(maps, map) < 0)
		json_object_put(map);
	json_add(linux_part, key, maps);
}

/* One id is mapped: no group 5 for terminals. sysfs needs a network namespace
 * of one's own user namespace, cgroups need rights that such a caller has not. */
static void make_rootless(json_object *doc)
{
	json_object *mounts = json_get(doc, "mounts"), *part = json_get(doc, "linux");
	json_object *ns = json_object_new_object();
	json_add_str(ns, "type", "user");
	if (json_object_array_add(json_get(part, "namespaces"), ns) < 0)
		json_object_put(ns);
	add_idmap(part, "uidMappings", geteuid());
	add_idmap(part, "gidMappings", getegid());
	json_object_object_del(part, "resources");
	for (size_t i = 0; i < json_len(mounts); i++) {
		json_object *options = json_get(json_object_array_get_idx(mounts, i), "options");
		for (size_t k = 0; k < json_len(options); k++)
			if (!strcmp(json_item_str(options, k), "gid=5"))
				(void)json_object_array_del_idx(options, k, 1);
	}
}

json_object *ctr_spec_default(bool rootless)
{
	json_object *doc = NULL;
	if (json_parse(text, sizeof(text) - 1, "default config.json", &doc, NULL) < 0)
		return NULL;
	json_object *caps = json_get(json_get(doc, "process"), "capabilities");
	json_object *part = json_get(doc, "linux");
	json_object *seccomp = ctr_seccomp_default(json_get(caps, "bounding"), NULL);
	if (!seccomp) {
		json_object_put(doc);
		return NULL;
	}
	json_add(part, "seccomp", seccomp);
	if (rootless)
		make_rootless(doc);
	return doc;
}
