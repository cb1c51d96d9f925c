/* SPDX-License-Identifier: Apache-2.0 */
/* explain - the real boundary of an instance: what the kernel says of its processes on
 * this host (/proc, its cgroup), not what was asked for. What only a guest knows is
 * marked as told to the guest. isolad, loop thread; reads small files of /proc and of
 * cgroupfs, none of which a payload can make slow or long. */
#pragma once

#include "isola/daemon.h"

#include <json-c/json.h>
#include <sys/types.h>

/* ---- explain_proc.c: facts of one process ---- */

/* { "Pid", "Parent", "Role", "Command", "Uid", "Gid" }, owned; NULL when it is gone. */
json_object *explain_brief(pid_t pid, const char *role);

/* One of the kernel's that does some work for who is in the cgroup (KVM's, to split huge
 * pages, say), and runs no program. */
bool explain_is_kernel_thread(pid_t pid);

/* The same, and "UidMap", "GidMap", "Namespaces", "Capabilities", "NoNewPrivileges",
 * "Seccomp", "SeccompFilters". @isolad finds who else is in a namespace. */
json_object *explain_process(struct isolad *isolad, const struct instance *inst, pid_t pid,
			     const char *role);

/* What it has mounted, at most EXPLAIN_MOUNTS_MAX; NULL when it is gone. */
#define EXPLAIN_MOUNTS_MAX 512
json_object *explain_mounts(pid_t pid);

/* Pure parts: a line of mountinfo (proc(5), changed) as an object, or NULL; "Seccomp" and
 * the like of a status file into @o; [{ "Inside", "Outside", "Size" }] of a map. */
json_object *explain_mount_line(char *line);
void explain_status(json_object *o, const char *status);
json_object *explain_map(const char *text);
/* PF_KTHREAD in a stat file. */
bool explain_is_kthread_stat(const char *stat);
