/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup - the cgroup v2 tree (Documentation/admin-guide/cgroup-v2.rst).
 *
 * The mount is found through /proc/self/mountinfo, wherever it is (hybrid
 * machines have it at /sys/fs/cgroup/unified); paths are relative to it and
 * begin with "/". A limit that the delegated controllers cannot enforce is an
 * error that names the flag's controller, never dropped. */
#pragma once

#include "isola/err.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* O_PATH fd of the cgroup2 mount's root as this process sees it (owned), and
 * its mount point if @ret_mount is not NULL (owned). -ENOENT when there is none. */
int cgroup_mount_open(char **ret_mount, struct err *err);

/* Path of our own cgroup ("/system.slice/isolad.service"), owned. */
int cgroup_self(char **ret_path, struct err *err);

/* Space-separated controllers usable in children of @path (cgroup.controllers). */
int cgroup_controllers(const char *path, char **ret, struct err *err);

/* The controllers that @resources (an OCI linux.resources object, checked) needs,
 * as @want of cgroup_make(); "" when none. @ret of CGROUP_WANT_BYTES. */
#define CGROUP_WANT_BYTES 128
void cgroup_wanted(json_object *resources, char ret[CGROUP_WANT_BYTES]);

/* Makes @path and its parents and enables in each parent's subtree_control
 * what the parent has of the controllers in @want ("cpu memory"), best effort;
 * what is missing shows when a limit is applied. Returns an O_RDONLY|O_DIRECTORY
 * fd that clone3(CLONE_INTO_CGROUP) and openat can use. What it made is removed
 * again on failure. */
int cgroup_make(const char *path, const char *want, struct err *err);

/* Opens an existing one: O_RDONLY|O_DIRECTORY fd or -errno. */
int cgroup_open(const char *path);

/* cgroup.kill (or, before Linux 5.14, SIGKILL to each until empty), wait until
 * not populated (bounded by @timeout_ms), remove the folder and its children.
 * A missing one is fine. Thaws are not needed: kill reaches frozen tasks. */
int cgroup_destroy(const char *path, int timeout_ms, struct err *err);

int cgroup_freeze(int cgroup_fd, bool frozen, int timeout_ms, struct err *err);

/* Writes the pid of the caller ("0") or @pid into cgroup.procs. */
int cgroup_attach(int cgroup_fd, pid_t pid);

/* Checks (@apply false) or applies the OCI linux.resources object: memory, cpu
 * (v1 shares converted to weight as runc does), pids, blockIO, cpuset,
 * hugepageLimits, rdma, unified. Devices: see devices below.
 *
 * The check wants the controllers in @cgroup_fd's cgroup.controllers; it may also
 * be given the parent-to-be. Applying opens every file before it writes the
 * first. "No limit" (-1, 0 where that means unset) needs no controller.
 * -EOPNOTSUPP: this host cannot ("cannot enforce memory limit 67108864: ...");
 * -EBUSY: checkBeforeUpdate found more in use; -EINVAL: malformed. */
int cgroup_resources(int cgroup_fd, json_object *resources, bool apply, struct err *err);

/* Only looks whether the object is well-formed: pure, touches no host. -EINVAL
 * with the place ("resources.memory.limit: ..."). cgroup_resources() does it, too. */
int cgroup_resources_check(json_object *resources, struct err *err);
int cgroup_devices_check(json_object *devices, struct err *err);

/* Compiles linux.resources.devices to a BPF_PROG_TYPE_CGROUP_DEVICE program and
 * attaches it, replacing ours in place. Each kind of access (r, w, m) is decided
 * by the last entry that names it; what no entry names is denied. The default
 * devices of the runtime-spec, pseudo terminals, and making (not opening) any
 * node are always allowed, as with runc.
 *
 * The kernel verifies and compiles the program: 150 to 250 us, which can be spent
 * while a cloned init sets itself up, before its payload. */
int cgroup_devices(int cgroup_fd, json_object *devices, struct err *err);

/* Loads the program of @devices for later: this process and its clones attach it
 * where cgroup_devices() wants the same, which saves the kernel's verification
 * each time. Once per process. The descriptor is close-on-exec and the module's
 * own; who closes by number spares cgroup_devices_kept(). On failure, -errno,
 * nothing is kept. */
int cgroup_devices_keep(json_object *devices, struct err *err);
/* The kept program's descriptor, or -1. */
int cgroup_devices_kept(void);

/* memory.events "oom_kill" + "oom_group_kill"; 0 without a memory controller. */
uint64_t cgroup_oom_kills(int cgroup_fd);

/* One sample; a value the cgroup cannot tell is UINT64_MAX. */
struct cgroup_stat {
	uint64_t cpu_usage_us, cpu_user_us, cpu_system_us;
	uint64_t cpu_periods, cpu_throttled, cpu_throttled_us;
	uint64_t memory_current, memory_peak, memory_max, memory_inactive_file, memory_anon,
		memory_file;
	uint64_t pids_current, pids_max;
	uint64_t io_read_bytes, io_write_bytes, io_read_ops, io_write_ops;
	uint64_t psi_cpu_some_us, psi_memory_some_us, psi_memory_full_us, psi_io_some_us,
		psi_io_full_us;
};
int cgroup_stat_read(int cgroup_fd, struct cgroup_stat *ret);

/* Calls @each for every pid in the cgroup and its children. */
int cgroup_pids(int cgroup_fd, int (*each)(pid_t pid, void *arg), void *arg);
