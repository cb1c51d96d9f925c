/* SPDX-License-Identifier: Apache-2.0 */
/* explain_proc - see explain.h: what /proc says of one process (proc(5)). isolad, loop
 * thread. Names are foreign text and made harmless. */
#include "explain.h"

#include "capset.h"
#include "isolad.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/utf8.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX ((size_t)256 * 1024)

/* A file of the process's folder, owned; "" when it cannot be read. */
static char *read_of(int dir, const char *name)
{
	char *text = malloc(FILE_MAX);
	cleanup_fd int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 || !text ? -1 : fd_read_all(fd, text, FILE_MAX - 1);
	if (text)
		text[n < 0 ? 0 : n] = '\0';
	return text;
}

static int open_proc(pid_t pid)
{
	char path[32];
	(void)snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* What follows "Key:\t" at a line's beginning; NULL without. */
static const char *line_of(const char *status, const char *key)
{
	size_t n = strlen(key);
	for (const char *p = status; p && *p; p = strchr(p, '\n'), p = p ? p + 1 : NULL)
		if (!strncmp(p, key, n) && p[n] == ':')
			return p + n + 1 + strspn(p + n + 1, " \t");
	return NULL;
}

static int64_t number_of(const char *status, const char *key, int64_t fallback)
{
	const char *text = line_of(status, key);
	return text ? strtoll(text, NULL, 10) : fallback;
}

/* ---- maps, status ---- */

json_object *explain_map(const char *text)
{
	json_object *list = json_object_new_array();
	unsigned int inside, outside, size;
	int n = 0;
	for (const char *p = text; sscanf(p, "%u %u %u%n", &inside, &outside, &size, &n) == 3;
	     p += n) {
		json_object *o = json_object_new_object();
		json_add_i64(o, "Inside", inside);
		json_add_i64(o, "Outside", outside);
		json_add_i64(o, "Size", size);
		(void)json_object_array_add(list, o);
	}
	return list;
}

void explain_status(json_object *o, const char *status)
{
	static const char *const modes[] = { "none", "strict", "filter" };
	static const char *const sets[][2] = {
		{ "Effective", "CapEff" }, { "Permitted", "CapPrm" }, { "Inheritable", "CapInh" },
		{ "Bounding", "CapBnd" },  { "Ambient", "CapAmb" },
	};
	json_object *caps = json_object_new_object();
	for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
		const char *hex = line_of(status, sets[i][1]);
		json_add(caps, sets[i][0], capset_names(hex ? strtoull(hex, NULL, 16) : 0));
	}
	json_add(o, "Capabilities", caps);
	json_add_bool(o, "NoNewPrivileges", number_of(status, "NoNewPrivs", 0) == 1);
	int64_t mode = number_of(status, "Seccomp", 0);
	json_add_str(o, "Seccomp", mode >= 0 && mode <= 2 ? modes[mode] : "unknown");
	json_add_i64(o, "SeccompFilters", number_of(status, "Seccomp_filters", 0));
}

/* ---- namespaces ---- */

static ino_t inode_of(pid_t pid, const char *type)
{
	char path[64];
	struct stat st;
	if (pid)
		(void)snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pid, type);
	else
		(void)snprintf(path, sizeof(path), "/proc/self/ns/%s", type);
	return stat(path, &st) < 0 ? 0 : st.st_ino;
}

/* "own", "host", or who else has it. */
static const char *owner_of(struct isolad *d, const struct instance *inst, const char *type,
			    ino_t inode, char *buf, size_t size)
{
	if (inode == inode_of(0, type))
		return "host";
	list_for_each (node, &d->registry.instances) {
		struct instance *other = container_of(node, struct instance, node);
		if (other == inst || !instance_is_running(other) || !other->pid)
			continue;
		if (inode == inode_of(other->pid, type)) {
			(void)snprintf(buf, size, "shared with %s", other->name);
			return buf;
		}
	}
	return "own";
}

static json_object *namespaces(struct isolad *d, const struct instance *inst, pid_t pid)
{
	static const char *const types[] = { "cgroup", "ipc",  "mnt",  "net",
					     "pid",    "time", "user", "uts" };
	json_object *list = json_object_new_array();
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		ino_t inode = inode_of(pid, types[i]);
		char buf[300];
		if (!inode)
			continue;
		json_object *o = json_object_new_object();
		json_add_str(o, "Type", types[i]);
		json_add_i64(o, "Inode", (int64_t)inode);
		json_add_str(o, "Of", owner_of(d, inst, types[i], inode, buf, sizeof(buf)));
		(void)json_object_array_add(list, o);
	}
	return list;
}

/* ---- a process ---- */

static json_object *brief(int dir, pid_t pid, const char *role, const char *status)
{
	char comm[64] = "";
	struct stat st;
	const char *name = line_of(status, "Name");
	if (!name || fstat(dir, &st) < 0)
		return NULL;
	(void)snprintf(comm, sizeof(comm), "%.*s", (int)strcspn(name, "\n"), name);
	utf8_make_harmless(comm, strlen(comm));
	json_object *o = json_object_new_object();
	json_add_i64(o, "Pid", pid);
	json_add_i64(o, "Parent", number_of(status, "PPid", 0));
	json_add_str(o, "Role", role);
	json_add_str(o, "Command", comm);
	json_add_i64(o, "Uid", number_of(status, "Uid", -1));
	json_add_i64(o, "Gid", number_of(status, "Gid", -1));
	return o;
}

json_object *explain_brief(pid_t pid, const char *role)
{
	cleanup_fd int dir = open_proc(pid);
	cleanup_free char *status = dir < 0 ? NULL : read_of(dir, "status");
	return status ? brief(dir, pid, role, status) : NULL;
}

#define KTHREAD 0x00200000UL /* PF_KTHREAD of the kernel's sched.h */

bool explain_is_kthread_stat(const char *stat)
{
	const char *rest = strrchr(stat, ')'); /* behind the name, which may have any */
	unsigned long flags = 0;
	return rest && sscanf(rest, ") %*c %*d %*d %*d %*d %*d %lu", &flags) == 1 &&
	       (flags & KTHREAD);
}

bool explain_is_kernel_thread(pid_t pid)
{
	cleanup_fd int dir = open_proc(pid);
	cleanup_free char *stat = dir < 0 ? NULL : read_of(dir, "stat");
	return stat && explain_is_kthread_stat(stat);
}

json_object *explain_process(struct isolad *d, const struct instance *inst, pid_t pid,
			     const char *role)
{
	cleanup_fd int dir = open_proc(pid);
	cleanup_free char *status = dir < 0 ? NULL : read_of(dir, "status");
	cleanup_free char *uids = dir < 0 ? NULL : read_of(dir, "uid_map");
	cleanup_free char *gids = dir < 0 ? NULL : read_of(dir, "gid_map");
	json_object *o = status && uids && gids ? brief(dir, pid, role, status) : NULL;
	if (!o)
		return NULL;
	json_add(o, "UidMap", explain_map(uids));
	json_add(o, "GidMap", explain_map(gids));
	json_add(o, "Namespaces", namespaces(d, inst, pid));
	explain_status(o, status);
	return o;
}

/* ---- mounts ---- */

/* "\040" and the like. */
static void unescape(char *text)
{
	char *to = text;
	for (const char *p = text; *p; p++) {
		bool octal = p[0] == '\\' && p[1] >= '0' && p[1] <= '3' && p[2] >= '0' &&
			     p[2] <= '7' && p[3] >= '0' && p[3] <= '7';
		if (octal)
			*to++ = (char)((p[1] - '0') << 6 | (p[2] - '0') << 3 | (p[3] - '0'));
		else
			*to++ = *p;
		p += octal ? 3 : 0;
	}
	*to = '\0';
	utf8_make_harmless(text, strlen(text));
}

static char *next_word(char **at)
{
	char *word = strsep(at, " ");
	return word ? word : (char *)(uintptr_t) "";
}

json_object *explain_mount_line(char *line)
{
	char *at = line;
	for (int i = 0; i < 3; i++)
		(void)next_word(&at);
	char *root = next_word(&at), *target = next_word(&at), *options = next_word(&at);
	while (at && strcmp(next_word(&at), "-") != 0)
		;
	if (!at)
		return NULL;
	char *type = next_word(&at), *source = next_word(&at);
	if (!*target || !*type)
		return NULL;
	char *const words[] = { root, target, type, source };
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (words[i][0])
			unescape(words[i]);
	json_object *o = json_object_new_object();
	json_add_str(o, "Target", target);
	json_add_str(o, "Type", type);
	json_add_str(o, "Source", source);
	json_add_str(o, "Root", root);
	json_add_str(o, "Options", options);
	json_add_bool(o, "ReadOnly",
		      !strncmp(options, "ro", 2) && (!options[2] || options[2] == ','));
	return o;
}

json_object *explain_mounts(pid_t pid)
{
	cleanup_fd int dir = open_proc(pid);
	cleanup_free char *text = dir < 0 ? NULL : read_of(dir, "mountinfo");
	if (!text || !*text)
		return NULL;
	json_object *list = json_object_new_array();
	char *at = text, *line;
	while ((line = strsep(&at, "\n")) && json_len(list) < EXPLAIN_MOUNTS_MAX) {
		json_object *o = explain_mount_line(line);
		if (o)
			(void)json_object_array_add(list, o);
	}
	return list;
}
