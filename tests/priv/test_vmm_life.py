# SPDX-License-Identifier: Apache-2.0
# The worker's life by its protocol: phases, pause under load, statistics, pinning, what
# is refused, and each way to end with its reason and code.
import os
import sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from vmmlib import *

need_root()
need_kvm()

UD2_BYTES = b"\x66\x0f\xef\xc0" + SPIN        # pxor: not with every KVM


def ends(name, code, reason, exit_code, text=None, **more):
    """A guest of @code ends the VM with this reason, code and text."""
    w = Worker(code, **more)
    try:
        w.ask("run")
        e = w.event("exit") or {}
        is_((e.get("reason"), e.get("code")), (reason, exit_code), name)
        is_(w.wait(), exit_code, "%s: the exit status, too" % name)
        if text:
            check(text in e.get("text", ""), "%s: says \"%s\"" % (name, text), e)
        return e
    finally:
        w.end()


# ---- ends

ends("debug exit", say(0xf4, b"\x07") + IDLE, "debug-exit", 7, debug_exit=True)
ends("triple fault", TRIPLE, "triple-fault", 135, "cpu 0")
ends("i8042 reset", say(0x64, b"\xfe") + IDLE, "reset", 0)
ends("pvpanic", say(0x505, b"\x01") + IDLE, "panic", 134)

# Execution where nothing is: the emulator cannot fetch.
ends("a jump into nothing", b"\x48\xb8" + struct.pack("<Q", 0xd8000000) + b"\xff\xe0",
     "kvm-error", 137, "vmctl doctor")

w = Worker(PORTS)
try:
    w.ask("run")
    w.event("running")
    w.sock.close()
    is_(w.wait(), 143, "it ends when the keeper closes its socket")
finally:
    w.end()

w = Worker(PORTS)
try:
    w.ask("run")
    w.sock.send(b"{ not json")
    e = w.event("exit")
    is_(w.wait(), 140, "it ends when the keeper talks nonsense")
    is_((e or {}).get("reason"), "protocol-error", "and tells it so")
finally:
    w.end()

w = Worker(SPIN)
try:
    w.ask("run")
    os.kill(w.pid, signal.SIGTERM)
    e = w.event("exit") or {}
    is_((e.get("reason"), w.wait()), ("quit", 143), "SIGTERM ends it in good order")
finally:
    w.end()

# ---- phases

w = Worker(PORTS, cpus={"count": 2})
try:
    is_(w.ask("pause").get("code"), 16, "pause before run is EBUSY")
    is_(w.ask("resume").get("code"), 16, "resume before run, too")
    is_(w.ask("powerdown").get("code"), 16, "powerdown before run, too")
    stats = w.ask("stats")
    is_([v["exits"] for v in stats["vcpus"]], [0, 0], "before run nothing has run")
    is_(stats["memory"]["size"], 128 * MIB, "stats tell the size of memory")
    is_(w.ask("run").get("ok"), True, "run")
    is_(w.ask("run").get("code"), 16, "run twice is EBUSY")
    w.event("running")
    wait_for(20, lambda: w.ask("stats")["vcpus"][0]["exits"] > 0)
    is_(w.ask("resume").get("code"), 16, "resume while running is EBUSY")
    is_(w.ask("pause").get("ok"), True, "pause")
    is_(w.ask("pause").get("code"), 16, "pause twice is EBUSY")
    a = w.ask("stats")["vcpus"][0]["exits"]
    time.sleep(0.2)
    is_(w.ask("stats")["vcpus"][0]["exits"], a, "a paused guest does not run")
    check(a > 0, "it ran before", a)
    is_(w.ask("resume").get("ok"), True, "resume")
    check(wait_for(20, lambda: w.ask("stats")["vcpus"][0]["exits"] > a), "a resumed guest does", a)
    # refusals
    for name, args, word in [
            ("fly", {}, "fly"), ("pin", {}, "vcpu"), ("pin", {"vcpu": 9, "cpus": [0]}, "vCPU 9"),
            ("pin", {"vcpu": 0, "cpus": []}, "cpus"), ("pin", {"vcpu": 0, "cpus": [2000]}, "cpus"),
            ("disk", {"id": "vdz"}, "vdz"), ("disk", {}, "id"), ("net", {"id": "eth9"}, "eth9"),
            ("run", {"fast": True}, "fast"), ("balloon", {"size": 1}, "balloon")]:
        r = w.ask(name, **args)
        check(r.get("code") == 22 and word in r["error"], "%s %s is EINVAL" % (name, args), r)
    is_(w.ask("pin", vcpu=1, cpus=[0]).get("ok"), True, "pin")
    tid = [t for t, n in w.tasks().items() if n == "vcpu1"][0]
    is_(os.sched_getaffinity(tid), {0}, "pins the thread")
    is_(w.ask("nmi").get("ok"), True, "nmi")
    # it had no handler for that
    e = w.event("exit") or {}
    check(e.get("reason") in ("triple-fault", "kvm-error"), "reaches the guest", e)
finally:
    w.end()

# ---- pauses under load

w = Worker(PORTS, cpus={"count": 4})
try:
    w.ask("run")
    still, moved = 0, 0
    for i in range(100):
        r = w.ask("pause")
        a = w.ask("stats")["vcpus"][0]["exits"]
        b = w.ask("stats")["vcpus"][0]["exits"]
        still += r.get("ok") is True and a == b
        w.ask("resume")
        # a busy host may not let it run for a while
        moved += bool(wait_for(20, lambda: w.ask("stats")["vcpus"][0]["exits"] > a))
    is_(still, 100, "100 pauses of a guest that exits all the time: it stands still")
    is_(moved, 100, "and runs in between")
    w.ask("quit")
    is_(w.wait(), 143, "and ends")
finally:
    w.end()

# Ends in the middle of a pause.
for i in range(5):
    w = Worker(PORTS, cpus={"count": 4})
    try:
        w.ask("run")
        w.sock.send(b'{"op":"pause","seq":100}')
        w.sock.send(b'{"op":"quit","seq":101}')
        e = w.event("exit") or {}
        is_((e.get("reason"), w.wait()), ("quit", 143), "quit right behind a pause (%d)" % i)
    finally:
        w.end()

# ---- affinity from the start

w = Worker(IDLE, cpus={"count": 2, "affinity": [[1], [0]]}) if os.cpu_count() > 1 else None
if w:
    try:
        tids = {n: t for t, n in w.tasks().items()}
        is_([os.sched_getaffinity(tids["vcpu%d" % i]) for i in range(2)], [{1}, {0}],
            "vCPUs begin where the machine file says")
    finally:
        w.end()
else:
    skip("vCPUs begin where the machine file says", "needs two CPUs")

# ---- what cannot be started


def start_error(name, number, word, **args):
    w = Worker(wait_hello=False, **args)
    try:
        e = w.event("exit") or {}
        check(e.get("reason") == "start-error" and e.get("code") == 125 and
              e.get("errno") == number and word in e.get("text", ""), name, e)
        is_(w.wait(), 125, "%s: exit status" % name)
    finally:
        w.end()


start_error("a machine file that is no JSON", 22, "JSON", raw=b"{")
start_error("an empty machine file", 22, "empty", raw=b"")
start_error("a machine file that is too long", 27, "longer than", raw=b" " * (MIB + 1))
start_error("an unknown member", 22, "colour", colour=1)
start_error("a descriptor that is not there", 9, "boot.initrd",
            boot={"kernel": {"fd": 6}, "initrd": {"fd": 99}})
start_error("a kernel that is none", 8, "boot", kernel=b"#!/bin/sh\n" * 100)
start_error("what is no /dev/kvm", 95, "kvm", fds={5: os.open("/dev/null", os.O_RDWR)})
start_error("memory for which there are no huge pages", 12, "huge pages",
            memory={"size": 1 << 39, "hugepages": "2M"})
start_error("a path", 22, "path", boot={"kernel": {"path": "/boot/vmlinuz"}})
start_error("host CPUs that are not there", 22, "vCPU 0", cpus={"affinity": [[1023]]})
finish()
