/* SPDX-License-Identifier: Apache-2.0 */
/* vm_refused - commands and flags that a user may expect of vmctl and that are not
 * there, each with the reason and what to use instead. Runs in vmctl. */
#include "vm_refused.h"

#include <stddef.h>

#define AGENT    "it needs an agent in the guest, which is not there yet; use vmctl console"
#define SNAPSHOT "there are no snapshots yet"
#define IMAGE    "a VM boots kernel and disks of your own, no image; see --disk"
#define VOLUME   "share a folder with --share dir:tag, a volume with --share volume=name,tag=tag"
#define INSIDE   "what runs inside is the guest's own matter; give it user data (--cloud-init)"

const struct refused vm_refused[] = {
	{ "", "cp", 0, AGENT },
	{ "", "top", 0, AGENT },
	{ "", "snapshot", 0, SNAPSHOT },
	{ "", "restore", 0, SNAPSHOT },
	{ "", "clone", 0, SNAPSHOT },
	{ "", "fork", 0, SNAPSHOT },
	{ "", "send", 0, "there is no migration yet" },
	{ "", "receive", 0, "there is no migration yet" },
	{ "", "migrate", 0, "there is no migration yet" },
	{ "", "load", 0, "there is no file of machines; create each with vmctl create" },
	{ "", "reload", 0, "there is no file of machines; isolad reads its own at its start" },
	{ "", "log", 0, "isolad's own log is in the journal; a VM's is shown by vmctl logs" },
	{ "", "images", 0, IMAGE },
	{ "", "pull", 0, IMAGE },
	{ "", "build", 0, "to build a guest kernel: vmctl kernel build" },
	{ "", "network", 0, "networks are ctrctl's: ctrctl network create, connect, ls..." },
	{ "", "volume", 0, "volumes are ctrctl's: ctrctl volume create, ls, rm..." },
	{ "run create", "volume", 'v', VOLUME },
	{ "run create", "mount", 0, VOLUME },
	{ "run create", "env", 'e', INSIDE },
	{ "run create", "user", 'u', INSIDE },
	{ "run create", "workdir", 'w', INSIDE },
	{ "run create", "hostname", 'h', INSIDE },
	{ "run create", "entrypoint", 0, INSIDE },
	{ "run create", "privileged", 0, "a VM has no rights on the host that it could be given" },
	{ "run create", "cap-add", 0, "a VM has no rights on the host that it could be given" },
	{ "run create", "device", 0, "devices cannot be passed through yet" },
	{ "run create", "gpus", 0, "devices cannot be passed through yet" },
	{ "run create", "firmware", 0,
	  "VMs boot without firmware: give --kernel, or a disk with one" },
	{ "run create", "cdrom", 0, "give it as a disk: --disk file.iso,ro" },
	{ "kill", "signal", 's', "a machine takes no signals; kill cuts its power, see powerdown" },
	{ "stop restart", "signal", 's',
	  "a machine takes no signals; stop presses its power button" },
	{ .name = NULL },
};
