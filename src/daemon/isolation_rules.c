/* SPDX-License-Identifier: Apache-2.0 */
/* isolation_rules - what each flag of run and create means behind the VM wall, beside what
 * it means for a container: the table of docs/isolation.md (tests/lint/test_docs.py). In
 * isolad; isolation.c refuses by it. */
#include "isolation.h"

/* All that the guest does for itself, as a container's host would. */
#define SAME(flag, field)                                                                          \
	{                                                                                          \
		flag, field, NULL, WALL_SAME, ""                                                   \
	}
#define DIFFERS(flag, field, text)                                                                 \
	{                                                                                          \
		flag, field, NULL, WALL_DIFFERS, text                                              \
	}
#define REFUSED(flag, field, value, text)                                                          \
	{                                                                                          \
		flag, field, value, WALL_REFUSED, text                                             \
	}

const struct wall_row wall_rows[] = {
	SAME("--add-host", "ExtraHosts"),
	SAME("--annotation", "Annotations"),
	SAME("--cap-add", "CapAdd"),
	SAME("--cap-drop", "CapDrop"),
	REFUSED("--cgroupns host", "CgroupnsMode", "host",
		"the guest has no cgroups of the host's"),
	SAME("--cidfile", "ContainerIDFile"),
	SAME("--config", "Configs"),
	DIFFERS("--blkio-weight", "BlkioWeight", "of the VM's processes on the host"),
	DIFFERS("--blkio-weight-device", "BlkioWeightDevice", "of the VM's processes on the host"),
	DIFFERS("--cpu-period", "CpuPeriod", "of the VM's processes on the host"),
	DIFFERS("--cpu-quota", "CpuQuota",
		"of the VM's processes on the host; the guest has so many CPUs, rounded up"),
	DIFFERS("--cpu-shares", "CpuShares", "of the VM's processes on the host"),
	DIFFERS("--cpus", "NanoCpus",
		"the guest has so many CPUs, rounded up (default 1), and up to 3 more by `update`; "
		"the limit is exact, or, where the host has no cpu controller, whole CPUs"),
	DIFFERS("--cpuset-cpus", "CpusetCpus", "of the VM's processes on the host"),
	DIFFERS("--cpuset-mems", "CpusetMems", "of the VM's processes on the host"),
	REFUSED("--device", "Devices", NULL,
		"the guest has devices of its own, and none of the host's"),
	REFUSED("--device-cgroup-rule", "DeviceCgroupRules", NULL,
		"the guest has devices of its own, and none of the host's"),
	DIFFERS("--device-read-bps", "BlkioDeviceReadBps", "of the VM's processes on the host"),
	DIFFERS("--device-read-iops", "BlkioDeviceReadIOps", "of the VM's processes on the host"),
	DIFFERS("--device-write-bps", "BlkioDeviceWriteBps", "of the VM's processes on the host"),
	DIFFERS("--device-write-iops", "BlkioDeviceWriteIOps", "of the VM's processes on the host"),
	SAME("--dns", "Dns"),
	SAME("--dns-option", "DnsOptions"),
	SAME("--dns-search", "DnsSearch"),
	SAME("--domainname", "Domainname"),
	SAME("--entrypoint", "Entrypoint"),
	SAME("--env", "Env"),
	SAME("--expose", "ExposedPorts"),
	SAME("--group-add", "GroupAdd"),
	SAME("--health-cmd", "Healthcheck"),
	SAME("--hostname", "Hostname"),
	SAME("--init", "Init"),
	SAME("--interactive", "OpenStdin"),
	REFUSED("--ipc host", "IpcMode", "host", "the guest has a kernel of its own"),
	SAME("--ipc none", "IpcMode"),
	SAME("--label", "Labels"),
	SAME("--log-driver", "LogConfig"),
	SAME("--mac-address", "MacAddress"),
	DIFFERS("--memory", "Memory",
		"the container's in the guest, which has more RAM for its kernel (without: 256 MiB of RAM); the VM's cgroup gets what it needs beside, or, by a warning, no limit where the host has no memory controller"),
	DIFFERS("--memory-reservation", "MemoryReservation", "of the VM's processes on the host"),
	DIFFERS("--memory-swap", "MemorySwap",
		"of the VM's processes on the host; the guest has no swap"),
	DIFFERS("--memory-swappiness", "MemorySwappiness", "of the VM's processes on the host"),
	DIFFERS("--mount", "Mounts",
		"by virtio-fs; not at or below /dev, /proc and /sys; what the host mounts there later is seen, not what the guest mounts; update's --mount-add and --mount-rm not while it is paused, and what it began with goes with its next start"),
	DIFFERS("--network", "NetworkMode",
		"in a network with names the name server is the gateway; while it runs it joins "
		"three networks more than it began with, and none when that was none; no "
		"macvlan"),
	REFUSED("--network container:ID", "NetworkMode", "container:",
		"its network devices are in the guest's own kernel, which shares none with another "
		"container, nor with another VM; a network that both are in does"),
	REFUSED("--network host", "NetworkMode", "host",
		"the host's links are the host kernel's, and the guest has one of its own; -p "
		"publishes ports"),
	SAME("--network-alias", "NetworkingConfig"),
	DIFFERS("--oom-score-adj", "OomScoreAdj", "in the guest"),
	REFUSED("--pid container:ID", "PidMode", "container:", "the guest has a kernel of its own"),
	REFUSED("--pid host", "PidMode", "host", "the guest has a kernel of its own"),
	SAME("--pids-limit", "PidsLimit"),
	DIFFERS("--privileged", "Privileged",
		"everything in the guest, and nothing on the host; user ids stay the instance's own"),
	SAME("--publish", "PortBindings"),
	SAME("--publish-all", "PublishAllPorts"),
	SAME("--read-only", "ReadonlyRootfs"),
	SAME("--restart", "RestartPolicy"),
	SAME("--rm", "AutoRemove"),
	DIFFERS("--runtime", "Runtime",
		"vm is --isolation vm, ctr is --isolation container, runc says nothing"),
	SAME("--secret", "Secrets"),
	DIFFERS("--security-opt", "SecurityOpt", "in the guest"),
	SAME("--shm-size", "ShmSize"),
	SAME("--stop-signal", "StopSignal"),
	SAME("--stop-timeout", "StopTimeout"),
	DIFFERS("--storage-opt", "StorageOpt",
		"size is the same; root says what gives the microVM its root, and is for one "
		"alone"),
	SAME("--sysctl", "Sysctls"),
	SAME("--tmpfs", "Tmpfs"),
	SAME("--tty", "Tty"),
	SAME("--ulimit", "Ulimits"),
	SAME("--user", "User"),
	REFUSED("--userns host", "UsernsMode", "host", "the host's ids have no meaning in a guest"),
	REFUSED("--uts host", "UTSMode", "host", "the guest has a name of its own"),
	DIFFERS("--volume", "Binds", "as --mount"),
	SAME("--volume-driver", "VolumeDriver"),
	SAME("--volumes-from", "VolumesFrom"),
	SAME("--workdir", "WorkingDir"),
};

const size_t wall_rows_n = sizeof(wall_rows) / sizeof(wall_rows[0]);
