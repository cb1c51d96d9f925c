# SPDX-License-Identifier: Apache-2.0
# What a VM goes through: create, start, its console, every way to end, and the
# exit record, events and answers that tell of it.
# nested: its guests are on emulated AMD-V in the lab
# time limit: 240 s
import json
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from vmlib import *

d = need_vms()
vms = Vms(d)
leak_mark()


def reason(vm):
    s = vms.state(vm)
    return s["Status"], s["ExitCode"], s["Reason"]


# ------------------------------------------------------------- the usual life
vm = vms.create("one")
s = vms.inspect(vm)
is_((s["Name"], s["State"]["Status"], s["Config"]["Memory"]["Size"]), ("/one", "created", 16 * MIB),
    "a created VM can be inspected")
console = vms.attach(vm)
is_(vms.post(vm, "start")[0], 204, "it starts")
check(console.wait_for(b"ready\n"), "its console says what the guest printed", console.text)
is_(vms.post(vm, "start")[0], 304, "a running one is running already")
s = vms.inspect(vm)
is_((s["State"]["Status"], s["State"]["Running"]), ("running", True), "it runs")
worker = s["State"]["Pid"]
check(is_running(worker), "inspect names its worker", worker)
is_(open("/proc/%d/comm" % worker).read().strip(), "isola-vmm", "which is isola-vmm")
like(open("/proc/%d/status" % worker).read(), r"(?m)^Uid:\s+%d\s+%d\s" % ((s["Isola"]["Uid"],) * 2),
     "under a user id of its own")
like(open("/proc/%d/cgroup" % worker).read(), s["Isola"]["Cgroup"], "in the VM's cgroup")
console.type("xyz")
check(console.wait_for(b"xyz"), "what is typed arrives", console.text)
console.type("Q5")
check(console.wait_end(), "the stream ends with the VM")
is_(vms.wait(vm), {"StatusCode": 5, "Reason": "debug-exit"}, "wait tells the guest's exit code")
is_(reason(vm), ("exited", 5, "debug-exit"), "and so does inspect")
log = vms.log(vm)
check(b"ready\n" in log and b"xyz" in log, "the log has its output", log)
is_(vms.remove(vm), 204, "it is removed")
is_(vms.ask("GET", "/vms/one/json")[0], 404, "and is gone")

# ---------------------------------------------------------- every way to end
for name, keys, code, why in (("power off", "P", 0, "poweroff"), ("a panic", "X", 134, "panic"),
                              ("isa-debug-exit", "Q0", 0, "debug-exit")):
    vm, console = vms.start()
    console.type(keys)
    got = vms.wait(vm)
    is_((got["StatusCode"], got["Reason"]), (code, why), "end by " + name)
    vms.remove(vm)

vm, console = vms.start()
is_(vms.post(vm, "kill")[0], 204, "a VM is killed")
is_(reason(vm), ("exited", 137, "killed"), "and that is what it says")
is_(vms.post(vm, "kill")[0], 409, "a second time there is nothing to kill")
is_(vms.post(vm, "start")[0], 204, "it starts again")
is_(vms.post(vm, "stop")[0], 204, "it is stopped")
is_(reason(vm), ("exited", 0, "poweroff"), "by its power button")
is_(vms.post(vm, "stop")[0], 304, "a stopped one is stopped already")
vms.remove(vm)

vm, console = vms.start()
console.type("I.")
console.wait_for(b".")
began = time.monotonic()
is_(vms.post(vm, "stop", t=1)[0], 204, "one that does not mind its button is stopped, too")
check(1 <= time.monotonic() - began < 8 * SCALE, "after the time-out")
is_(reason(vm), ("exited", 143, "quit"), "with another reason")
vms.remove(vm)

vm, console = vms.start()
os.kill(vms.state(vm)["Pid"], 9)
got = vms.wait(vm)
is_((got["StatusCode"], got["Reason"]), (139, "worker-crash"), "a worker that is killed has crashed")
like(vms.state(vm)["ReasonText"], "signal 9", "and by what")
vms.remove(vm)

# --------------------------------------------------------------------- resets
vm, console = vms.start()
first = vms.state(vm)["Pid"]
console.type("R")
check(console.wait_for(b"ready\n", 2), "a guest that resets itself boots anew, same client",
      console.text)
s = vms.state(vm)
is_((s["Status"], s["Resets"]), ("running", 1), "that counts, and it still runs")
isnt(s["Pid"], first, "in a new worker")
is_(vms.post(vm, "reset")[0], 204, "the reset button")
check(console.wait_for(b"ready\n", 3), "boots it, too", console.text)
is_(vms.state(vm)["Resets"], 2, "and counts")
console.type("I.")
console.wait_for(b".")
is_(vms.post(vm, "powerdown")[0], 204, "the power button")
is_(vms.state(vm)["Status"], "running", "is the guest's to answer")
is_(vms.post(vm, "nmi")[0], 204, "an NMI is sent")
vms.remove(vm)

# ------------------------------------------------------------- pause, resume
vm, console = vms.start()
is_(vms.post(vm, "resume")[0], 409, "a running VM is not resumed")
is_(vms.post(vm, "pause")[0], 204, "a VM is paused")
is_(vms.state(vm)["Status"], "paused", "and says so")
console.type("abc")
time.sleep(0.5)
for verb in ("pause", "nmi", "powerdown", "reset"):
    is_(vms.post(vm, verb)[0], 409, verb + " is refused meanwhile")
is_(vms.state(vm)["Status"], "paused", "and nothing changed")
check(b"abc" not in console.text, "it does nothing")
is_(vms.post(vm, "resume")[0], 204, "it is resumed")
check(console.wait_for(b"abc"), "and does what it missed", console.text)
is_(vms.post(vm, "pause")[0], 204, "paused again")
is_(vms.post(vm, "stop")[0], 204, "a paused VM can be stopped")
is_(reason(vm), ("exited", 0, "poweroff"), "by its power button")
vms.remove(vm)

# --------------------------------------------------------------- many at once
many = [vms.create("m%d" % i) for i in range(6)]
is_([vms.post(v, "start")[0] for v in many], [204] * 6, "six VMs start")
is_(sorted(v["Names"][0] for v in vms.ask("GET", "/vms/json")[2]), ["/m%d" % i for i in range(6)],
    "and are listed")
is_([vms.post(v, "stop")[0] for v in many], [204] * 6, "and stop", [reason(v) for v in many])
is_(len(vms.ask("GET", "/vms/json")[2]), 0, "running ones only")
is_(len(vms.ask("GET", "/vms/json?all=1")[2]), 6, "or all")
got = vms.ask("POST", "/vms/prune")[2]
is_((sorted(got["VmsDeleted"]), got["SpaceReclaimed"]), (sorted(many), 0), "prune removes them")

# ---------------------------------------------------------------------- --rm
vm, console = vms.start(AutoRemove=True)
console.type("P")
console.wait_end()
check(wait_for(5, lambda: vms.ask("GET", "/vms/%s/json" % vm)[0] == 404),
      "an auto-removed VM goes when it ends")

leak_check()
finish()
