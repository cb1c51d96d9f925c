/* SPDX-License-Identifier: Apache-2.0 */
/* vmm - the machine file, and what a keeper and its worker (isola-vmm) say to
 * each other.
 *
 * A VM's keeper executes `isola-vmm --keeper` with descriptor 3 = one end of a
 * wire_pair(), descriptor 4 = the machine file (a memfd, read from its start), and
 * further descriptors that the machine file names. Descriptors 0, 1 and 2 are the
 * payload's stdio: serial port 0 reads 0 and writes 1 (a pty when "tty"); 2 takes
 * the worker's own messages. The worker never sees a path: it jails itself before
 * the first guest instruction. By hand, `isola-vmm --config FILE` reads the same
 * document, in which a SOURCE may be {"path": ...}.
 *
 * Machine file; an unknown field is an error that names it. SOURCE is {"fd": N},
 * or by hand {"path": "/abs"}. RATE is {"bandwidth": {"size": bytes, "refill_ms": n,
 * "burst": bytes}|absent, "ops": {same}|absent}: a token bucket.
 *   { "version": 1, "id": "name for messages",
 *     "kvm": SOURCE                                   by hand: /dev/kvm
 *     "cpus": { "count": 1-N, "threads_per_core": 1|2, "cores_per_socket": n,
 *               "template": "host" | OBJECT (docs/cpu-templates.md),
 *               "broken": [name, ...] ("broken" of isola-vmm --probe, so that a
 *               worker need not probe for itself; absent = it does where KVM
 *               works without the processor's help),
 *               "broken_kvm": text ("broken_kvm" of isola-vmm --broken: of which KVM
 *               "broken" is; it does not count on another),
 *               "affinity": [[host cpu, ...] per vCPU] },
 *     "memory": { "size": bytes, "shared": false, "hugepages": "none"|"2M"|"1G",
 *                 "thp": false, "prefault": false, "merge": false },
 *     "boot": { "kernel": SOURCE, "initrd": SOURCE|absent, "cmdline": "..." },
 *     "serial": { "input": true, "rate": RATE|absent },
 *     "disks": [{ "id", "source": SOURCE, "readonly": false, "format": "raw",
 *                 "cache": "writeback"|"writethrough"|"none"|"unsafe", "engine":
 *                 "auto"|"io_uring"|"sync", "serial": text, "queues": 1, "discard": true,
 *                 "rate": RATE }],
 *     "nets": [{ "id", "tap": SOURCE | [SOURCE per queue] | "socket": SOURCE (a
 *                connected passt stream socket) | "spare": true (see "plug"), "mac": "02:..", "mtu": n, "queues": 1,
 *                "offload": true, "rate_rx": RATE, "rate_tx": RATE }],
 *     "vsock": { "cid": 3.., "listen": SOURCE (listening Unix socket; by hand a path),
 *                "connect": "keeper" | {"path": prefix} (where guest connections go) },
 *     "consoles": [{ "id", "source": SOURCE (a pty or socket), "rows", "columns" }],
 *     "rng": { "rate": RATE } | absent = with a default limit | false,
 *     "balloon": { "size": bytes, "deflate_on_oom": true, "reporting": true,
 *                  "stats_ms": 0 } | false,
 *     "shares": [{ "tag", "socket": SOURCE (connected vhost-user socket), "queues": 1 }],
 *     "pmem": [{ "id", "source": SOURCE, "readonly": true }],
 *     "watchdog": { "action": "reset"|"poweroff"|"none" } | absent,
 *     "vmgenid": "uuid" | absent = random,
 *     "debug_exit": false (isa-debug-exit at port 0xf4: exit code is value),
 *     "seccomp": "kill"|"log"|"off",
 *     "jail": { "uid": n, "gid": n } | absent = as far as the caller's rights go }
 * Devices get their MMIO slot in the order of this list, disks first: /dev/vda is
 * the first disk.
 *
 * Requests (keeper -> worker), each { "op", "seq", ... }, answered in order by
 * { "seq", "ok": true, ... } or { "seq", "code": errno, "error": text }:
 *   run        {}   the vCPUs begin; before it the worker is built and jailed
 *   pause, resume   {}   answered when every vCPU and request rests / goes on
 *   powerdown  {}   ACPI power button
 *   nmi        {}
 *   stats      {}   -> { "vcpus": [{"exits", ...}], "devices": {id: {...}}, "memory": {...} }
 *   balloon    { "size": bytes }
 *   disk       { "id", "rate": RATE|absent, "resize": true|absent (look at the size anew) }
 *   net        { "id", "rate_rx", "rate_tx": RATE }
 *   plug       { "id", "mac", "mtu": absent } + 1 fd    a net that is spare becomes a device,
 *              by a queue of a tap; EBUSY when it is one already
 *   unplug     { "id" }                                   and is spare again
 *   pin        { "vcpu": n, "cpus": [n, ...] }
 *   console    { "id", "rows", "columns" }
 *   quit       {}   end at once, as if the power were cut
 * A request in the wrong phase (pause while paused, run twice...) is EBUSY and changes
 * nothing; an unknown op, field or id is EINVAL and names it.
 * One that is not answered within ten seconds has failed, for the keeper; it undoes a
 * pause or resume that is answered later.
 * Requests (worker -> keeper), { "ask", "seq", ... }, answered with "answer": seq:
 *   connect    { "port": n }  -> one descriptor: a stream socket connected to the
 *              VM's vsock folder, <socket>_<port>; or "code", "error"
 * Events (worker -> keeper), { "event", ... }:
 *   hello      { "version", "kernel": "bzImage"|"elf"|"pvh" }   built, jailed, waiting
 *   running    { "first_run_us", "cpu_us" }   from exec to the first KVM_RUN, and the
 *              processor time until then
 *   warn       { "text" }              for the operator's log; limited
 *   exit       VMM_EXIT                the last message
 *
 * VMM_EXIT: { "reason": one of the names below, "code": 0-255, "text": sentence }.
 * A worker that ends without it has crashed ("worker-crash"; the keeper says so).
 *   reason         exit code   what happened
 *   poweroff       0           ACPI S5 (or by debug_exit: its value)
 *   debug-exit     value       isa-debug-exit
 *   reset          0           i8042, ACPI reset register: the keeper starts a new
 *                              worker in its place, unless it is to stop
 *   panic          134         pvpanic port
 *   triple-fault   135         KVM_EXIT_SHUTDOWN
 *   watchdog       136
 *   kvm-error      137         KVM_EXIT_INTERNAL_ERROR, FAIL_ENTRY, entry refused
 *   device-error   138         a device could not go on (the host's disk vanished)
 *   protocol-error 140         keeper or worker sent what is no message; the other one ended it
 *   quit           143         asked for
 *   worker-crash   139         the worker was killed by a signal, or by its filter */
#pragma once

#define VMM_VERSION           1
#define VMM_CONTROL_FD        3
#define VMM_MACHINE_FD        4
#define VMM_FIRST_FD          5
#define VMM_MACHINE_BYTES_MAX (1024 * 1024)

/* Places on the bus of a machine: of disks, nets and all other devices together. */
#define VMM_DEVICES_MAX 18
