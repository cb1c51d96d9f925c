/* SPDX-License-Identifier: Apache-2.0 */
/* instance - one container or VM that isolad manages.
 *
 * State machine (src/daemon/state.c holds it as a table):
 *
 *   create          start            spawned+exec ok
 *  ------> CREATED -------> STARTING ---------------> RUNNING <-----> PAUSED
 *             |                | failed                 |  unpause/pause
 *             |                v                        | payload ended
 *             |   start     EXITED <--------------------+
 *             |  <-------------|   ^                    | policy says again
 *             |                |   +--- RESTARTING <----+ (back-off timer)
 *             v remove         v remove       | start
 *          REMOVING --------> gone            +------> STARTING
 *   DEAD: removal failed half-way; remove may be tried again.
 *
 * All fields belong to the loop thread. config and host_config are immutable
 * once set, but for update and rename, which replace them whole. */
#pragma once

#include "isola/err.h"
#include "isola/id.h"
#include "isola/list.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct isolad;
struct link; /* connection to a keeper, src/daemon/link.c */

enum instance_kind { INSTANCE_CONTAINER, INSTANCE_VM };

/* "container", "VM": for sentences. */
static inline const char *instance_noun(enum instance_kind kind)
{
	return kind == INSTANCE_VM ? "VM" : "container";
}

enum instance_state {
	INSTANCE_CREATED,
	INSTANCE_STARTING,
	INSTANCE_RUNNING,
	INSTANCE_PAUSED,
	INSTANCE_RESTARTING,
	INSTANCE_EXITED,
	INSTANCE_REMOVING,
	INSTANCE_DEAD,
};

enum restart_mode { RESTART_NO, RESTART_ON_FAILURE, RESTART_ALWAYS, RESTART_UNLESS_STOPPED };

/* What gives a container in a microVM its root (docs/guest.md, "The root"); NONE: it is
 * in no microVM. Settled at creation, as its writable layer is written accordingly. */
enum guest_root { GUEST_ROOT_NONE, GUEST_ROOT_VIRTIOFS, GUEST_ROOT_EROFS };

struct instance {
	struct list node; /* in isolad's registry, oldest first */
	struct isolad *isolad;
	enum instance_kind kind;
	char id[ID_SIZE];
	char *name;
	enum instance_state state;

	/* What was asked for, normalised by create.c: Docker's ContainerConfig
	 * with the image's defaults merged in, and its HostConfig with every
	 * default explicit. Both are what inspect shows. A VM's are one object, its
	 * VmConfig (docs/openapi.json), twice. */
	json_object *config;
	json_object *host_config;
	json_object *networking;   /* NetworkingConfig, or NULL */
	json_object *image;        /* IMAGE_RECORD at creation (image.h), owned; a VM: NULL */
	json_object *mount_points; /* settled at creation (src/daemon/mounts.h), or NULL */
	char *image_ref;           /* as the user typed it; shown by ps; a VM: NULL */
	/* First host id of its 65536; 0 = host's user namespace. A VM's worker has
	 * the first one. */
	uint32_t userns_base;
	uint32_t project; /* of its writable layer, when that has a size (src/daemon/project.h) */
	bool auto_remove; /* --rm: kept in the run folder only, gone after a reboot */

	enum guest_root guest_root;
	bool guest_root_auto; /* chosen by us: virtio-fs will do where EROFS cannot be had */

	bool lent;     /* somebody else's worker has its tap; in no registry (src/daemon/tap.h) */
	bool building; /* a step of a build: goes with the build, and with isolad */

	int64_t created_ns, started_ns, finished_ns;
	pid_t pid;      /* payload's init, 0 when not running; a VM's: its worker */
	pid_t root_pid; /* whose root is the payload's: pid, or a guest's virtiofsd; 0 */
	int exit_code;
	bool oom_killed;
	char *error;                /* last start failure, or NULL */
	char *reason, *reason_text; /* why a VM ended (isola/vmm.h), or NULL */
	unsigned int resets;        /* of this run of a VM */
	unsigned int restart_count;
	bool manually_stopped; /* stop/kill by a user: unless-stopped and back-off care */

	enum restart_mode restart_mode; /* parsed out of host_config */
	unsigned int restart_max;
	unsigned int restart_backoff_ms;

	pid_t keeper_pid;
	struct link *link;                        /* NULL without a live keeper */
	struct list waiters, execs, streams, ops; /* src/daemon's own */
	struct list endpoints;                    /* struct endpoint, of networks */
	void *priv;                               /* src/daemon/life.c: timers, pending callbacks */
};

/* "created", "running", "paused", "restarting", "removing", "exited", "dead"
 * (STARTING shows as "created" or "restarting", as Docker has no such state). */
const char *instance_state_name(const struct instance *inst);
static inline bool instance_is_running(const struct instance *inst)
{
	return inst->state == INSTANCE_RUNNING || inst->state == INSTANCE_PAUSED;
}

/* Paths, owned by the caller: <state>/instances/<id>, <run>/<id>, log file,
 * cgroup ("<parent>/<id>"). NULL when memory is out. */
char *instance_state_dir(const struct instance *inst);
char *instance_run_dir(const struct instance *inst);
char *instance_log_path(const struct instance *inst);
char *instance_cgroup(const struct instance *inst);
