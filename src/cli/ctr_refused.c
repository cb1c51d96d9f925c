/* SPDX-License-Identifier: Apache-2.0 */
/* ctr_refused - flags that Docker's command line has and ours has not, each with the
 * reason, so that a script that is moved over is told what to change. Runs in
 * ctrctl. */
#include "verbs.h"

#include <stddef.h>

#define LINKS   "members of a network have names for each other: --network-alias gives more"
#define GROUP   "every container has its own cgroup below isolad's"
#define RT      "cgroup v2 has no real-time CPU limits; use --cpus"
#define KMEM    "cgroup v2 counts kernel memory in --memory"
#define STREAMS "all streams are attached; redirect what is not wanted, leave out -i, or use -d"

const struct refused ctr_refused[] = {
	{ "run create", "attach", 'a', STREAMS },
	{ "run create", "cgroup-parent", 0, GROUP },
	{ "run create update", "cpu-rt-period", 0, RT },
	{ "run create update", "cpu-rt-runtime", 0, RT },
	{ "run create pull", "disable-content-trust", 0, "no content trust is in use" },
	{ "run create", "gpus", 0, "there are no device drivers; pass nodes with --device" },
	{ "run create update", "kernel-memory", 0, KMEM },
	{ "run create connect", "link", 0, LINKS },
	{ "run create connect", "link-local-ip", 0,
	  "a link-local address follows from the MAC (--mac-address)" },
	{ "connect", "driver-opt", 0, "a bridge has no options" },
	{ "create", "aux-address", 0, "keep addresses free with --ip-range" },
	{ "create", "config-from", 0, "a network is configured by its own flags" },
	{ "create", "config-only", 0, "a network is configured by its own flags" },
	{ "create", "ingress", 0, "it is for Swarm's networks" },
	{ "create", "ipam-driver", 0, "addresses come from isolad" },
	{ "create", "ipam-opt", 0, "addresses come from isolad" },
	{ "create", "scope", 0, "every network is of this host" },
	{ "run create", "use-api-socket", 0, "bind the socket with -v" },
	{ "build", "add-host", 0, "RUN has no resolver of ours; write to /etc/hosts in the step" },
	{ "build", "cache-from", 0, "all images of the store are the cache" },
	{ "build", "cgroup-parent", 0, GROUP },
	{ "build", "compress", 0, "the context goes through a local socket" },
	{ "build", "disable-content-trust", 0, "no content trust is in use" },
	{ "build", "isolation", 0, "steps run in containers" },
	{ "build", "output", 'o', "the result is an image; use create and cp, or save" },
	{ "build", "progress", 0, "there is one form: Docker's classic builder's" },
	{ "build", "secret", 0, "RUN --mount is BuildKit's" },
	{ "build", "security-opt", 0, "RUN has the default rights" },
	{ "build", "squash", 0, "each step that changes files is a layer" },
	{ "build", "ssh", 0, "RUN --mount is BuildKit's" },
	{ "build", "ulimit", 0, "RUN has the default limits; use ulimit in the step" },
	{ "pull", "all-tags", 'a', "one tag at a time; name it" },
	{ "rm", "link", 'l', "there are no links" },
	{ "load", "platform", 0, "all that the archive holds for this host is loaded" },
	{ "images ls", "tree", 0, "an image is of one platform" },
	{ "prune", "volumes", 0, "system prune --volumes or volume prune removes volumes" },
	{ "start", "checkpoint", 0, "there are no checkpoints" },
	{ "start", "checkpoint-dir", 0, "there are no checkpoints" },
	{ .name = NULL },
};
