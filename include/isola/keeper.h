/* SPDX-License-Identifier: Apache-2.0 */
/* keeper - what isolad and isola-keeper say to each other.
 *
 * isolad executes `isola-keeper run <run-dir>` with descriptor 3 = one end of
 * a wire_pair(); <run-dir> is /run/isola/<id>, mode 0700, and holds
 *
 *   config.json   the OCI bundle (written by isolad before the spawn; stays), or,
 *                 of a VM, machine.json, MACHINE below
 *   keeper.json   how to keep it, KEEPER_SPEC below (written by isolad)
 *   keeper.sock   SOCK_SEQPACKET, made by the keeper at start: a later isolad
 *                 connects here and adopts (through /proc/self/fd/<dir>/ when
 *                 the path is longer than sun_path); only uid 0 is served
 *   keeper.pid    {"pid","start_ticks"} of the keeper, written by the keeper
 *   boot.json     of a guest that runs: when it came how far (src/keeper/guest_times.h)
 *   exit.json     KEEPER_EXIT, written atomically when the payload ended
 *
 * The keeper creates the container at once (messages wait meanwhile), says
 * hello, and waits for "start". It outlives isolad: end of stream on a
 * connection only closes that connection. When the payload has ended, in this
 * order: its output is read to the end and the log closed; exit.json is written;
 * "exit" goes to every connection; attached streams end; the cgroup is removed
 * and poststop hooks run; keeper.sock is unlinked and every connection closed.
 * So END OF STREAM ON THE LINK MEANS: ALL IS CLEANED UP, the run folder, cgroup
 * and layers may be used again. Not before, not even after "exit". The process
 * itself may stay a little longer (up to 10 minutes without progress) if a slow
 * client has not read all of its output yet; it touches nothing else then.
 *
 * If the creation fails, or init dies before its start, exit.json with "error"
 * is written at once, nothing is left, hello says "exited", and the keeper stays
 * to answer "start" with that error; then "exit", and the link is closed. The
 * same when the start itself fails. If nobody is connected it exits at once.
 * If no "start" comes and nobody is connected for 60 s it undoes all and exits.
 *
 * A VM (kind "vm") is kept in the same way. Its first process is the worker, isola-vmm,
 * executed as isola/vmm.h says, in the cgroup, with mount, network, ipc, uts and pid
 * namespaces of its own. When the guest resets itself, or is reset, a new worker takes
 * the old one's place, in the same cgroup, with the same pipes or pty, log, streams,
 * terminals of consoles and vsock socket; everything else is opened anew. After more
 * than 8 resets that each came within 10 s the VM ends (exit code 1, reason
 * "reset"). The worker dies with its keeper.
 *
 * Should the keeper die (kill -9): an init that waits for its start ends by
 * itself. A payload that runs goes on, but its exit code, its output and its
 * streams are lost, so isolad, which sees the link's end without exit.json,
 * kills the cgroup and cleans up in the keeper's place: cgroup_destroy(), and
 * an exit.json of its own, which also ends the followers of the log.
 *
 * keeper.json (KEEPER_SPEC); an unknown field is an error:
 *   { "version": 1, "id": "<64 hex>", "kind": "container",
 *     "cgroup": "/isola/<id>",
 *     "overlay": { "lower": ["/abs/top", ...], "upper": "/abs", "work": "/abs",
 *                  "volatile": bool },             absent: the bundle's root.path
 *     "log": { "driver": "json-file" | "none", "path": "/abs/<id>-json.log",
 *              "max_size": 10485760 (<= 0: no rotation), "max_files": 3 (1-1000),
 *              "attrs": { "k": "v" } | absent (into each record, for --details) },
 *     "stdin": bool (keep a stdin pipe open), "stdin_once": bool,
 *     "tty": bool (must be process.terminal), "console_size": [h, w] | absent,
 *     "reaper": bool, "seccomp_cache": "/abs/dir" | absent,
 *     "make_dirs": ["/abs", ...] | absent (host folders that are made, mode 0755,
 *              where nothing is, before the container: Docker's -v does so) }
 * Of kind "guest" also
 *     "root": { "type": "virtiofs" } | absent (overlay is the root, and served), or
 *             { "type": "erofs", "layer": "/abs" }: no overlay; the folder that has "upper"
 *             and "work", of which the guest makes its root on machine.json's pmem "root"
 * Of kind "vm" there are no overlay, reaper, seccomp_cache and make_dirs; instead
 *     "vmm": "/abs/isola-vmm", "resources": OCI linux.resources | absent
 * and "tty" means that serial port 0 is a terminal (the worker's messages are then
 * the stderr of a pipe all the same).
 *
 * MACHINE (machine.json): the machine file of isola/vmm.h, in which a SOURCE is
 *     {"path": "/abs"}       kvm, kernel, initrd, disks, pmem: opened, as root, for
 *                            reading only where it says so (disks: O_DIRECT for
 *                            cache "none"); regular files, disks also block devices. Disks and pmem are
 *                            locked (OFD locks): one writer, or any readers. A net's
 *                            "socket", a share's "socket", a console's "source": a
 *                            listening stream socket to connect to. vsock's
 *                            "listen": a socket that the keeper makes there
 *     {"data": "base64"}     disks: a read-only one in memory
 *     {"name": "tap0"}       nets' "tap": a tap device that exists, once per queue
 *     {"port": "tap0"}       nets' "tap": one that isolad made for this VM (net_tap_add()),
 *                            multi-queue whatever "queues" says; the keeper keeps it
 *                            from worker to worker, and it goes with the keeper
 *     {"folder": "/abs", "readonly": bool}   shares: a sandboxed virtiofsd for it
 *     a net that is "spare" is a place for one that comes by "link"
 *     {"passt": true}        nets' "socket": a passt(1), as the user of "jail"
 *     {"pty": true}          consoles: a terminal of the keeper's, whose name is
 *                            written to consoles.json, {"<id>": "/dev/pts/N"}
 *
 * Requests (isolad -> keeper), each { "op", "seq": int, ... }, answered in
 * order by { "seq", "ok": true, ... } or { "seq", "code": errno, "error": text }.
 * Unknown ops are EOPNOTSUPP, unknown fields EINVAL; a message without "seq" or
 * that is no JSON object ends the connection. Booleans default to false.
 *   start    {}                                  -> { "pid", "started_ns" }
 *            On failure also "exit_code": 127, 126, or 128.
 *   attach   { "stream": id, "stdin","stdout","stderr": bool, "mux": bool,
 *              "detach_keys": "ctrl-p,ctrl-q" (when absent) | "" (never),
 *              "head": hex (at most 32 KiB of bytes) }   + 1 fd
 *            The fd is a connected stream socket on which the HTTP answer's head
 *            has been written already; the keeper now owns it. "mux": frame the
 *            output with Docker's 8-byte headers. "head": bytes that came behind
 *            the HTTP request, to be read as stdin first. Attach may precede
 *            start, so no output is lost. Without a terminal and with
 *            stdin_once the client's end of input closes the payload's stdin,
 *            and its output goes on; else, as in Docker, it ends the stream.
 *            Detach keys work on terminals only. A failed attach closes the fd.
 *   exec     { "exec": id, "process": OCI process, "privileged": bool,
 *              "h", "w" (terminal's size), "held": bool, + the fields of attach
 *              when a stream is wanted }   + 0 or 1 fd   -> { "pid" }
 *            Stdio that no stream wants is /dev/null. On failure the answer has
 *            "exit_code" (127, 126, 128), the client reads the error's text, and
 *            exec_exit is sent as well. EBUSY when paused. "held": SIGKILL for it
 *            when this connection ends.
 *   resize   { "exec": id | absent, "h", "w" }
 *   kill     { "signal": n, "all": bool }         (all: every process; VMs: 9 only)
 *   exec_kill{ "exec": id, "signal": n }
 *   freeze   { "frozen": bool, "held": bool }     EALREADY when it is
 *            "held" (only to freeze it): until thawed, or this connection ends. hello says
 *            "running" meanwhile.
 *   update   { "resources": OCI linux.resources | absent,
 *              "log": { "max_size", "max_files" } | absent, of guests also
 *              "args": { "memory", "cpus", "limits": { "pids.max": "TEXT", ... } } }:
 *            RAM in bytes and CPUs that the guest needs now (EINVAL: more than its
 *            machine has; what RAM it needs no longer goes to the host, and of the
 *            CPUs so many are online), and files of the container's cgroup in there
 *   detach   { "stream": id }                     close that stream
 *   mount    { "mount": an item of OCI "mounts", "make_source": bool }
 *   unmount  { "mount": the same }                of containers only: ctr_mount() and
 *            ctr_unmount() of isola/ctr.h; no other request is served meanwhile
 *   copy     {}   + 1 fd                          of containers in VMs only: a copy by the
 *            guest. The fd's other end gets one packet: a byte and the stream of
 *            GUEST_COPY (isola/guest.h), or "ERRNO text" when there is none; then this end
 *            is closed
 *   sync     {}                                   of containers in VMs only: what only the
 *            guest's page cache has goes to the host (GUEST_SYNC). EBUSY when paused,
 *            ETIMEDOUT after 30 seconds
 * Of VMs only, and passed on to the worker but for the first and "quit"; EBUSY while
 * it is being reset. The answer comes when the worker's has, which may be behind those
 * of later requests. (exec and exec_kill are for containers only.)
 *   reset    {}                                   a new worker
 *   quit     {}                                   the power is cut; the VM ends
 *   powerdown{ "stop": bool }                     stop: the VM is to end with it; a
 *            paused one is resumed, and a reset is no reset any more
 *   nmi      {}
 *   stats    {}                                   -> { "stats": the worker's answer
 *            and "start": { "first_run_us", "cpu_us" } of its "running" }
 *   ps       {}                                   guests only
 *            -> { "ps": what guest_tell_ps() of src/keeper/guest_tell.h makes }
 *            Of guests "stats" is what guest_tell_stats() makes.
 *   balloon, net, pin, console   { "args": {...} as isola/vmm.h has them }
 *   disk     { "args": {...} and maybe "size": bytes, to which the file grows first }
 * Of containers in VMs only; EBUSY when paused. One at a time:
 *   link     { "args": { "port": a tap device of isolad's, "new": bool,
 *                        "link": an item of "links" } }
 *            it is the guest's; or, where it was before, has these addresses and gateways,
 *            too; "new": it was made just now, and is no other of this name. ENOSPC: no place for it, in the machine file's nets, is free
 *   unlink   { "args": { "port", "name": of the link } }
 *
 * Events (keeper -> every connection), each { "event", ... }:
 *   hello      { "version", "pid" (payload's init, 0 if there is none), "state":
 *                "created"|"running"|"paused"|"exited", "started_ns",
 *                "execs": [{ "exec","pid" }],
 *                "ended_execs": [{ "exec","exit_code" }] (the latest 64) }
 *              first on each connection
 *   oom        {}                                 a process was killed for memory
 *   reset      { "pid", "resets", "by": "guest"|"user" }   a VM's new worker runs;
 *              hello of a VM has "resets" (since its start), too
 *   exec_exit  { "exec", "exit_code", "error"? }  before its stream ends
 *   stream_end { "stream", "why": "eof"|"detached"|"closed" }
 *   warn       { "text" }                         for the operator's log
 *   exit       KEEPER_EXIT
 * A connection that leaves 256 messages unread is closed.
 *
 * exit.json (KEEPER_EXIT):
 *   { "exit_code": 0-255 (128+signal when signalled), "signal": 0|n, "oom": bool,
 *     "pid", "started_ns" (0: never), "finished_ns", "error": text | absent,
 *     "execs": [{ "exec", "exit_code" }] (the latest 64) }
 * A VM's has "reason" and "text" (a sentence): those of VMM_EXIT, with its exit code,
 * or "killed" (137: by kill), "quit" (143), "oom" (137: the cgroup was out of memory),
 * "worker-crash" (139), "protocol-error" (140: the worker sent what is no message),
 * "device-error" (138: not to be started again after a reset).
 * isolad adds "keeper-died" (137).
 *
 * Nursery: isolad starts one `isola-keeper nursery NAME` with descriptor 3 = a
 * socket; it says { "nursery": KEEPER_VERSION }, and is asked for each keeper: { "run": "<run-dir>" } + the descriptor
 * that becomes the keeper's 3 -> { "pid" } or { "code", "error" }. The keeper is a
 * clone of it and isolad's child. It ends with isolad; the keepers do not.
 *
 * Logs: `isola-keeper logs` is its own process for each reader, so a reader
 * also outlives isolad and can never slow a payload:
 *   isola-keeper logs --fd N --path <log> [--follow --run-dir DIR] [--since NS]
 *       [--until NS] [--tail N|all] [--timestamps] [--details]
 *       [--stdout] [--stderr] [--mux] [--chunked]
 * writes to the socket N, raw or as HTTP chunks (--chunked; the response head was
 * written by isolad), until the end, or with --follow until exit.json is there
 * (or the run folder gone) and all is sent. */
#pragma once

#define KEEPER_VERSION    1
#define KEEPER_CONTROL_FD 3
