# SPDX-License-Identifier: Apache-2.0
#
# Clients that vanish in the middle of anything: isolad cancels what it did for
# them, keeps nothing, and the containers do not notice.  Then isolad itself
# vanishes: streams whose sockets were handed over go on.
# time limit: 240 s
import json
import os
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)) + "/..")
from lib import *
from wire import *

need_root()
need_program("isolad", "isola-keeper", "isola-image")
d = start_isolad() or skip_all("isolad does not start")
TAR = busybox_tar(T + "/root.tar")
load_image(d, TAR)


def fds():
    return len(os.listdir("/proc/%d/fd" % d.pid))


def children():
    """isolad's helpers and keepers by name."""
    names = []
    for p in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/cmdline" % p, "rb") as f:
                line = f.read().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if T in line and ("isola-image" in line or "isola-keeper logs" in line):
            names.append(line)
    return names


def settles(name, limit_s=10):
    """Descriptors and helpers go back to what they were."""
    got = wait_for(limit_s, lambda: fds() <= base and not children())
    return check(got, name, "%d descriptors, were %d; %s" % (fds(), base, children()))


cid = start(d, "sh", "-c", "while :; do echo tick; sleep 0.05; done", name="ticker")
leak_mark()
stands_still(fds)
base = fds()

# ---- streams that isolad keeps

for name, method, path in (
        ("wait", "POST", "/containers/ticker/wait"),
        ("wait for removal", "POST", "/containers/ticker/wait?condition=removed"),
        ("events", "GET", "/events"),
        ("events until", "GET", "/events?until=%d" % (time.time() + 1000)),
        ("stats", "GET", "/containers/ticker/stats"),
        ("one stats", "GET", "/containers/ticker/stats?stream=0"),
        ("stop", "POST", "/containers/ticker/kill?signal=WINCH"),
        ("list with sizes", "GET", "/containers/json?size=1")):
    many = []
    for _ in range(20):
        w = Wire(d)
        w.ask(method, path)
        many.append(w)
    time.sleep(0.1)
    for w in many:
        w.close()
    settles("20 clients vanish from " + name)

# ---- streams that went to others

for name, ask in (
        ("logs", lambda w: w.ask("GET", "/containers/ticker/logs?follow=1&stdout=1")),
        ("attach", lambda w: w.upgrade("/containers/ticker/attach?stream=1&stdout=1")),
        ("attach with stdin", lambda w: w.upgrade(
            "/containers/ticker/attach?stream=1&stdout=1&stdin=1"))):
    many = []
    for _ in range(10):
        w = Wire(d)
        ask(w)
        many.append(w)
    time.sleep(0.2)
    for w in many:
        w.close()
    settles("10 clients vanish from " + name)

for reads in (True, False):
    for _ in range(5):
        xid = d.request("POST", "/containers/ticker/exec",
                        {"Cmd": ["sh", "-c", "cat >/dev/null"], "AttachStdin": True,
                         "AttachStdout": True})[2]["Id"]
        w = Wire(d)
        w.ask("POST", "/exec/%s/start" % xid, {}, Connection="Upgrade", Upgrade="tcp")
        if reads:
            w.head()
        w.close()
    settles("clients vanish from exec " + ("once it runs" if reads else "before they read"))
check(wait_for(10, lambda: "cat >" not in json.dumps(
    d.request("GET", "/containers/ticker/top")[2])), "execs end with their input")

# ---- uploads

with open(TAR, "rb") as f:
    tar = f.read()
for name, size in (("at the beginning", 0), ("in the middle", len(tar) // 2),
                   ("one byte before the end", len(tar) - 1)):
    for kind, fields in (("a length", {"Content_Length": str(len(tar))}),
                         ("chunks", {"Transfer_Encoding": "chunked"})):
        w = Wire(d)
        w.ask("POST", "/images/create?fromSrc=-&repo=half", **fields)
        if size and kind == "chunks":
            w.send(b"%x\r\n%s\r\n" % (size, tar[:size]))
        elif size:
            w.send(tar[:size])
        w.close()
        settles("an upload with %s breaks off %s" % (kind, name))
is_(d.request("GET", "/images/half/json")[0], 404, "no half image is left")
left = [x for x in os.listdir(T + "/state/tmp")] if os.path.isdir(T + "/state/tmp") else []
is_(left, [], "no half files are left")

# ---- half requests

for data in ("P", "POST /containers/create HTTP/1.1\r\n", "POST /containers/create HTTP/1.1\r\n"
             "Host: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"Image\":"):
    many = [Wire(d) for _ in range(20)]
    for w in many:
        w.send(data)
        w.close()
settles("half requests")
leak_check("clients that vanished left nothing behind")

# ---- isolad vanishes

with Wire(d) as att, Wire(d) as log, Wire(d) as ex:
    att.upgrade("/containers/ticker/attach?stream=1&stdout=1")
    log.ask("GET", "/containers/ticker/logs?follow=1&stdout=1&tail=0")
    log.head()
    xid = d.request("POST", "/containers/ticker/exec",
                    {"Cmd": ["cat"], "AttachStdin": True, "AttachStdout": True})[2]["Id"]
    ex.upgrade("/exec/%s/start" % xid, {})
    ex.send("before\n")
    is_(ex.frame(), (1, b"before\n"), "an exec's stream")
    stop_isolad(signal.SIGKILL)
    got = [att.frame()[1] for _ in range(5)]
    check(got == [b"tick\n"] * 5 or b"".join(got).count(b"tick") >= 5,
          "attach goes on without isolad", got)
    got = b"".join(log.chunk() for _ in range(5))
    check(got.count(b"tick") >= 4, "logs -f goes on without isolad", got)
    ex.send("after\n")
    is_(ex.frame(), (1, b"after\n"), "exec goes on without isolad")
    check(start_isolad() is not None, "isolad starts again")
    is_(state(d, "ticker")["Status"], "running", "and knows the container")
    att.frame()
    ok("attach goes on after the restart")
    is_(d.request("GET", "/exec/%s/json" % xid)[2].get("Running"), True, "and the exec")
    remove(d, "ticker")
    check(log.rest().endswith(b"0\r\n\r\n"), "logs -f ends with the container")
    is_(ex.frame(), None, "so does exec")

is_(remove(d, "ticker"), 404, "the container is gone")
stop_isolad()
finish()
