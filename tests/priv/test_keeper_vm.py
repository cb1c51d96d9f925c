# SPDX-License-Identifier: Apache-2.0
# A keeper and its worker: what is handed over, and workers that fail, hang, flood or
# lie (fake_vmm.c). Whatever one does, the keeper answers, ends, and leaves nothing.
# time limit: 120 s
import json
import os
import socket
import sys
import time
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from keeperlib import *

need_root()
need_program("isola-keeper")
FAKE = BUILD + "/tests/priv/fake_vmm"
if not os.access(FAKE, os.X_OK):
    skip_all("fake_vmm is not built")
if not os.path.exists("/dev/kvm"):
    skip_all("needs /dev/kvm")
leak_mark()
KERNEL = T + "/kernel"
with open(KERNEL, "w") as f:
    f.write("kernel")


class Vm(Keeper):
    def __init__(self, mode, machine=None, start=True, **spec):
        n = Keeper.count + 1
        self.run = "%s/k%d" % (T, n)
        doc = {"version": 1, "id": "fake", "kvm": {"path": "/dev/kvm"},
               "memory": {"size": 1 << 20},
               "boot": {"kernel": {"path": KERNEL}, "cmdline": mode}}
        doc.update(machine or {})
        keep = {"version": 1, "id": "%064x" % (0xc0ffee << 64 | os.getpid() << 24 | n),
                "kind": "vm", "cgroup": "/%s/%016x" % (CGROUP, os.getpid() << 24 | n),
                "vmm": FAKE, "log": {"driver": "json-file", "path": "%s-log/%064x-json.log" % (
                    self.run, 0xc0ffee << 64 | os.getpid() << 24 | n)}}
        keep.update(spec)
        super().__init__("x", override={"keeper.json": keep, "machine.json": doc})
        self.cgroup = keep["cgroup"]
        if start:
            self.start()


def ended(k, code, reason, name, text=None):
    e = k.finish()
    check(e and (e["exit_code"], e.get("reason")) == (code, reason) and
          (text is None or text in e.get("text", "")), name, e)
    is_(k.wait(), 0, "and its keeper ends well")
    check(not os.path.exists(cgroup2_root() + k.cgroup), "no cgroup is left")


# ------------------------------------------------------------- what is handed over
disk = T + "/disk"
with open(disk, "wb") as f:
    f.truncate(4096)
k = Vm("good", {"disks": [{"id": "a", "source": {"path": disk}, "readonly": True},
                          {"id": "b", "source": {"data": "aGVsbG8="}, "readonly": True}],
                "vsock": {"cid": 3, "listen": {"path": T + "/v"}, "connect": "keeper"},
                "consoles": [{"id": "c", "source": {"pty": True}}]})
check(k.started.get("ok") and k.started["pid"] > 1, "a worker starts", k.started)
wait_for(5, lambda: "memory" in k.log_text())
text = k.log_text()
machine = json.loads(text.splitlines()[-1])
fds = dict(line.split(" ", 2)[1:] for line in text.splitlines() if line.startswith("fd "))
is_(set(fds), {str(n) for n in range(5 + 6)}, "it has what is named, and nothing else")
for what, number, target in (("kvm", machine["kvm"], "/dev/kvm"),
                             ("kernel", machine["boot"]["kernel"], KERNEL),
                             ("a disk", machine["disks"][0]["source"], disk),
                             ("bytes as a disk", machine["disks"][1]["source"], "/memfd:disk"),
                             ("vsock", machine["vsock"]["listen"], "socket:"),
                             ("a terminal", machine["consoles"][0]["source"], "/dev/p")):
    check(fds[str(number["fd"])].startswith(target), what + " is the right descriptor",
          (number, fds))
check("path" not in json.dumps(machine) and "pty" not in json.dumps(machine),
      "the worker reads no path", machine)
check(os.path.exists(json.loads(contents(k.dir + "/consoles.json"))["c"]), "consoles.json is there")
is_(k.link.call("stats")["stats"], {"did": "stats", "start": {"first_run_us": 0, "cpu_us": 0}},
    "a request is passed on, and its answer")
is_(k.link.call("balloon", args={"size": 4096}).get("ok"), True, "with arguments")
for op in ("exec", "exec_kill"):
    fields = {"exec": "e", "process": {}} if op == "exec" else {"exec": "e", "signal": 9}
    is_(k.link.call(op, **fields).get("code"), 95, "a VM knows no " + op)
is_(k.link.call("freeze", frozen=True).get("ok"), True, "it is paused")
is_(k.connect().event("hello")["state"], "paused", "which hello says")
is_(k.link.call("freeze", frozen=True).get("code"), 114, "once")
is_(k.link.call("freeze", frozen=False).get("ok"), True, "and resumed")
worker = k.started["pid"]
other = k.connect()
other.event("hello")
is_(other.call("freeze", frozen=True, held=True).get("ok"), True, "paused as long as this one lives")
os.kill(worker, 19)
other.close()
time.sleep(0.3)
is_(k.connect().event("hello")["state"], "running", "the holder is gone: for a newcomer it runs, "
    "though its worker takes its time")
os.kill(worker, 18)
check(wait_for(5, lambda: k.log_text().endswith("did resume\n")), "it is resumed")
os.kill(worker, 19)
for seq in (60, 61):
    other = k.connect()
    other.event("hello")
    other.send({"op": "freeze", "seq": seq, "frozen": True, "held": True})
    time.sleep(0.3)
    other.close()
    time.sleep(0.3)
newcomer = k.connect()
newcomer.event("hello")
os.kill(worker, 18)
check(wait_for(5, lambda: k.log_text().endswith("did pause\ndid resume\n" * 2)),
      "two holders that go before it is paused", k.log_text()[-100:])
is_((k.connect().event("hello")["state"], newcomer.call("freeze", frozen=True).get("ok")),
    ("running", True), "leave it running, and another may pause it")
is_(k.connect().event("hello")["state"], "paused", "which is the new one's pause")
is_(newcomer.call("freeze", frozen=False).get("ok"), True, "and its to end")
is_(k.link.call("kill", signal=15).get("code"), 22, "it takes no signals")
is_(k.link.call("powerdown", stop=True).get("ok"), True, "it is powered down")
ended(k, 0, "poweroff", "and that is how it ends")
check(not os.path.exists(T + "/v"), "its socket is gone")

# ------------------------------------------------------------------ starts that fail
for mode, code, text in (("die", 5, "status 7"), ("wrong", 8, "told to fail"),
                         ("garbage", 5, "is no message"), ("no-run", 5, "told not to run")):
    k = Vm(mode, start=False)
    got = k.start()
    check(got.get("code") == code and text in got["error"], "a start that fails (%s) says why" % mode,
          got)
    e = k.finish()
    check(e and text in e["error"], "so does its end", e)
    is_(k.wait(), 0, "and its keeper ends well")
k = Vm("good", {"boot": {"kernel": {"path": "/nonexistent"}, "cmdline": "good"}}, start=False)
got = k.start()
check("kernel: cannot open /nonexistent" in got.get("error", ""), "a missing kernel is named", got)
k.finish()
k.wait()

k = Vm("mute", start=False)
k.link.send({"op": "start", "seq": 50})
time.sleep(0.3)
other = k.connect()
is_(other.event("hello")["state"], "created", "a worker that says nothing has not started")
k.process.kill()
k.wait()
check(wait_for(5, lambda: not open(cgroup2_root() + k.cgroup + "/cgroup.procs").read()),
      "and dies with its keeper")

# ---------------------------------------------------------- workers that misbehave
k = Vm("deaf")
is_(k.link.call("quit").get("ok"), True, "one that reads nothing is asked to end")
began = time.monotonic()
ended(k, 143, "quit", "and ended")
check(time.monotonic() - began < 10 * SCALE, "in time")
k = Vm("deaf")
is_(k.link.call("kill", signal=9).get("ok"), True, "or killed")
ended(k, 137, "killed", "at once")
k = Vm("good")
worker = k.started["pid"]
os.kill(worker, 19)
began = time.monotonic()
k.link.send({"op": "freeze", "seq": 70, "frozen": True})
k.link.send({"op": "stats", "seq": 71})
got = [k.link.answer(70), k.link.answer(71)]
took = time.monotonic() - began
check(all(g.get("code") == 110 for g in got) and "not answered \"pause\"" in got[0]["error"] and
      "not answered \"stats\"" in got[1]["error"], "requests to one that is stopped fail", got)
check(9 < took < 10 + 10 * SCALE, "after ten seconds", took)
is_(k.connect().event("hello")["state"], "running", "nothing has changed")
os.kill(worker, 18)
check(wait_for(5, lambda: k.log_text().count("did ") >= 3 and k.log_text().endswith("did resume\n")),
      "a pause that comes late is undone", k.log_text()[-200:])
is_(k.link.call("stats").get("ok"), True, "it answers again")
os.kill(worker, 19)
is_(k.link.call("kill", signal=9).get("ok"), True, "and is killed while it is stopped")
ended(k, 137, "killed", "at once")
k = Vm("hang")
ended(k, 0, "poweroff", "one that says exit and stays is helped")
k = Vm("babble")
ended(k, 140, "protocol-error", "one that sends what is no message is ended, for that", "no message")
k = Vm("odd")
e = k.finish()
check(e and 0 <= e["exit_code"] <= 255 and len(e["reason"]) < 64, "odd words are cut to size", e)
k.wait()
k = Vm("flood")
warns = k.link.event("warn") is not None
time.sleep(1)
got = k.link.call("kill", signal=9)
is_(got.get("ok"), True, "one that floods is killed")
ended(k, 137, "killed", "like any other")
warns += sum(e.get("event") == "warn" for e in k.link.events)
check(1 <= warns <= 25, "of its warnings a few are passed on", warns)

# ------------------------------------------------------------------------ vsock
server = socket.socket(socket.AF_UNIX)
server.bind(T + "/w_5000")
server.listen(4)
server.settimeout(WAIT_S)
k = Vm("asks", {"vsock": {"cid": 3, "listen": {"path": T + "/w"}, "connect": "keeper"}})
wait_for(5, lambda: k.log_text().count("answer") == 6)
got = dict(line.split(" ", 2)[1:] for line in k.log_text().splitlines())
is_(got, {"1": "code 0 fd 1", "2": "code 2 fd 0", "3": "code 22 fd 0", "4": "code 22 fd 0",
          "5": "code 95 fd 0", "6": "code 0 fd 1"}, "connections of the guest, granted and refused")
for _ in range(2):
    c, _ = server.accept()
    c.settimeout(WAIT_S)
    is_(c.recv(100), b"from the guest\n", "the host hears the guest")
k.link.call("quit")
ended(k, 143, "quit", "the VM ends")

# ------------------------------------------------------------------------ resets
k = Vm("slow-reset")
e = k.link.event("reset")
is_((e["resets"], e["by"]), (1, "guest"), "a reset is told when the new worker runs")
check(e["pid"] != k.started["pid"], "and its pid", e)
got = k.link.call("powerdown", stop=True)
check(got.get("ok") or got.get("code") == 16, "it is stopped meanwhile", got)
e = k.finish()
check(e and e["exit_code"] in (0, 143), "and ends", e)
k.wait()
k = Vm("again", start=False)
began = time.monotonic()
k.start()
e = k.finish()
is_((e["exit_code"], e["reason"]), (1, "reset"), "one that is only reset is given up")
check(3 < time.monotonic() - began < 60 * SCALE, "not at once", time.monotonic() - began)
k.wait()
k = Vm("again")
time.sleep(1.5)
is_(k.link.call("kill", signal=9).get("ok"), True, "between two workers it can be killed")
ended(k, 137, "killed", "and ends")

close_all()
leak_check()
finish()
