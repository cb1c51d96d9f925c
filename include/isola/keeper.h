/* SPDX-License-Identifier: Apache-2.0 */
/* keeper - what isolad and isola-keeper say to each other.
 *
 * isolad executes `isola-keeper run <run-dir>` with descriptor 3 = one end of
 * a wire_pair(); <run-dir> is /run/isola/<id>, mode 0700, and holds
 *
 *   config.json   the OCI bundle (written by isolad before the spawn)
 *   keeper.json   how to keep it, KEEPER_SPEC below (written by isolad)
 *   keeper.sock   SOCK_SEQPACKET, made by the keeper at start: a later isolad
 *                 connects here and adopts
 *   keeper.pid    {"pid","start_ticks"} of the keeper, written by the keeper
 *   exit.json     KEEPER_EXIT, written atomically when the payload ended
 *
 * The keeper creates the container at once (that work overlaps with the
 * messages) and waits for "start". It outlives isolad: end of stream on a
 * connection only closes that connection. When the payload has ended it drains
 * the output, writes exit.json, tells every connection, removes the cgroup,
 * finishes attached streams and exits. If the creation fails it answers "start"
 * with the error, writes exit.json with "error", and exits; nothing is left.
 * If no "start" comes within 60 s and fd 3 is closed it undoes all and exits.
 *
 * keeper.json (KEEPER_SPEC):
 *   { "version": 1, "id": "<64 hex>", "kind": "container",
 *     "cgroup": "/isola/<id>",
 *     "overlay": { "lower": ["/abs/top", ...], "upper": "/abs", "work": "/abs",
 *                  "volatile": bool },             absent: the bundle's root.path
 *     "log": { "driver": "json-file" | "none", "path": "/abs/<id>-json.log",
 *              "max_size": 10485760, "max_files": 3 },
 *     "stdin": bool (keep a stdin pipe open), "stdin_once": bool,
 *     "tty": bool, "console_size": [h, w] | absent, "reaper": bool,
 *     "seccomp_cache": "/abs/dir" }
 *
 * Requests (isolad -> keeper), each { "op", "seq": int, ... }, answered in
 * order by { "seq", "ok": true, ... } or { "seq", "code": errno, "error": text }:
 *   start    {}                                  -> { "pid", "started_ns" }
 *   attach   { "stream": id, "stdin","stdout","stderr": bool, "mux": bool,
 *              "detach_keys": "ctrl-p,ctrl-q"|"", "head": hex }   + 1 fd
 *            The fd is a connected stream socket on which the HTTP answer's head
 *            has been written already; the keeper now owns it. "mux": frame the
 *            output with Docker's 8-byte headers. "head": bytes that came behind
 *            the HTTP request, to be read as stdin first. Attach may precede
 *            start, so no output is lost.
 *   exec     { "exec": id, "process": OCI process, "privileged": bool,
 *              + the fields of attach when a stream is wanted }   + 0 or 1 fd
 *                                                -> { "pid" }
 *   resize   { "exec": id | absent, "h", "w" }
 *   kill     { "signal": n, "all": bool }         (all: every process)
 *   exec_kill{ "exec": id, "signal": n }
 *   freeze   { "frozen": bool }
 *   update   { "resources": OCI linux.resources } or { "log": ... }
 *   detach   { "stream": id }                     close that stream
 *
 * Events (keeper -> every connection), each { "event", ... }:
 *   hello      { "version", "pid" (payload, 0 before create), "state":
 *                "creating"|"created"|"running"|"paused"|"exited",
 *                "started_ns", "execs": [{ "exec","pid" }] }   first on each connection
 *   oom        {}
 *   exec_exit  { "exec", "exit_code", "error"? }
 *   stream_end { "stream", "why": "eof"|"detached"|"closed" }
 *   exit       KEEPER_EXIT
 *
 * exit.json (KEEPER_EXIT):
 *   { "exit_code": 0-255 (128+signal when signalled), "signal": 0|n, "oom": bool,
 *     "pid", "started_ns", "finished_ns", "error": text | absent,
 *     "execs": [{ "exec", "exit_code" }] }
 *
 * Logs: `isola-keeper logs` is its own process for each reader, so a reader
 * also outlives isolad and can never slow a payload:
 *   isola-keeper logs --fd N --path <log> [--follow --run-dir DIR] [--since NS]
 *       [--until NS] [--tail N|all] [--timestamps] [--details]
 *       [--stdout] [--stderr] [--mux] [--chunked]
 * writes to the socket N, raw or as HTTP chunks (--chunked; the response head was
 * written by isolad), until the end, or with --follow until exit.json is there
 * and all is sent. */
#pragma once

#define KEEPER_VERSION    1
#define KEEPER_CONTROL_FD 3
