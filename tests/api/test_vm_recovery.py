# SPDX-License-Identifier: Apache-2.0
# isolad, a keeper or a worker is killed (kill -9) under running VMs: what must live
# lives, what cannot ends with its reason, restart policies decide, and nothing is left.
# time limit: 240 s
import os
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from vmlib import *

d = need_vms()
vms = Vms(d)
d.stop()
leak_mark()
start_isolad()


def crash(sig=signal.SIGKILL):
    d.stop(sig)
    return start_isolad() is not None


# ------------------------------------------------------------ isolad is killed
vm, console = vms.start("lives", Vsock={}, Consoles=[{}])
tmp, tmp_console = vms.start("tmp", AutoRemove=True)
paused, paused_console = vms.start("paused")
vms.post(paused, "pause")
ends, ends_console = vms.start("ends")
before = {v: vms.state(v)["Pid"] for v in (vm, tmp, paused)}
for sig in (signal.SIGKILL, signal.SIGTERM):
    d.stop(sig)
    console.type("during")
    check(console.wait_for(b"during"), "without isolad an attached client goes on", console.text)
    console.text = b""
    if sig == signal.SIGKILL:
        ends_console.type("Q6")
        check(ends_console.wait_end(), "and VMs end")
    check(start_isolad(), "isolad is back after %s" % sig.name)
    is_({v: vms.state(v)["Pid"] for v in before}, before, "the same workers run")
    is_([vms.state(v)["Status"] for v in (vm, tmp, paused)], ["running", "running", "paused"],
        "in the same states")
s = wait_for(10, lambda: vms.state(ends)["Status"] == "exited") and vms.state(ends)
is_(s and (s["Status"], s["ExitCode"], s["Reason"]), ("exited", 6, "debug-exit"),
    "an end without isolad is known, with its reason")
is_(vms.post(paused, "resume")[0], 204, "a paused one is resumed")
paused_console.type("on")
check(paused_console.wait_for(b"on"), "and goes on", paused_console.text)
console.type("later")
check(console.wait_for(b"later"), "the first client is still attached")
second = vms.attach(vm)
console.type("both")
check(second.wait_for(b"both") and console.wait_for(b"both"), "and a second one is beside it", second.text)
second.close()
o = vms.inspect(vm)
check(os.path.exists(o["Vsock"]["Path"]) and os.path.exists(o["Consoles"][0]["Path"]),
      "vsock and terminal are there", o)

d.stop(signal.SIGKILL)
console.type("R")
console.text = b""
check(console.wait_for(b"ready\n"), "a reset without isolad is one, too", console.text)
start_isolad()
s = vms.state(vm)
is_((s["Status"], s["Resets"]), ("running", 1), "and it is known afterwards")
check(is_running(s["Pid"]) and s["Pid"] != before[vm], "with the new worker", s)
tmp_console.type("P")
check(wait_for(5, lambda: vms.ask("GET", "/vms/tmp/json")[0] == 404), "an --rm one goes at its end")

# --------------------------------------------------------- its keeper is killed
o = vms.inspect(vm)
keeper, worker = o["Isola"]["KeeperPid"], o["State"]["Pid"]
os.kill(keeper, 9)
check(wait_for(5, lambda: not is_running(worker)), "the worker dies with its keeper")
got = vms.wait(vm)
is_((got["StatusCode"], got["Reason"]), (137, "keeper-died"), "and that is what it says")
check(wait_for(5, lambda: not os.path.exists(o["Vsock"]["Path"])), "its socket is gone")
is_(vms.post(vm, "start")[0], 204, "it can be started again")
check(wait_for(5, lambda: b"ready" in vms.log(vm)), "and runs")

keeper = vms.inspect(vm)["Isola"]["KeeperPid"]
worker = vms.state(vm)["Pid"]
d.stop(signal.SIGKILL)
os.kill(keeper, 9)
check(wait_for(5, lambda: not is_running(worker)), "also without isolad")
wait_for(5, lambda: not is_running(keeper))
start_isolad()
is_(vms.state(vm)["Reason"], "keeper-died", "the next isolad finds out")

# ----------------------------------------------- isolad is killed in mid-start
for delay in (0, 0.002, 0.005, 0.01, 0.02):
    half = vms.create("half")
    c = d.connection()
    c.request("POST", "/vms/half/start")
    time.sleep(delay)
    d.stop(signal.SIGKILL)
    c.close()
    start_isolad()
    check(wait_for(10, lambda: vms.state(half)["Status"] in ("created", "exited", "running")),
          "a start that was cut off settles", vms.state(half))
    vms.remove(half)

# -------------------------------------------------------------- restart policies
vm2, _ = vms.start("again", RestartPolicy={"Name": "on-failure", "MaximumRetryCount": 2})
for n in (1, 2):
    os.kill(vms.state(vm2)["Pid"], 9)
    check(wait_for(10, lambda: vms.inspect(vm2)["RestartCount"] == n and
                   vms.state(vm2)["Status"] == "running"), "a crash is a failure: start %d" % n,
          vms.inspect(vm2))
os.kill(vms.state(vm2)["Pid"], 9)
check(wait_for(10, lambda: vms.state(vm2)["Status"] == "exited"), "but no more than that")
is_(vms.state(vm2)["Reason"], "worker-crash", "the reason stays")

vm3, c3 = vms.start("always", RestartPolicy={"Name": "always"})
c3.type("P")
check(wait_for(10, lambda: vms.inspect(vm3)["RestartCount"] == 1 and
               vms.state(vm3)["Status"] == "running"), "always: also after a power-off")
crash()
is_(vms.state(vm3)["Status"], "running", "and it is adopted as any other")
is_(vms.post(vm3, "stop")[0], 204, "stopped by its user")
time.sleep(0.5)
is_(vms.state(vm3)["Status"], "exited", "it stays so")

# ------------------------------------------------------------------ reset loops
vm4 = vms.create("loop")
loop = vms.attach(vm4)
vms.post(vm4, "start")
began = []
for n in range(1, 60):
    if not loop.wait_for(b"ready\n", n):
        break
    began.append(time.monotonic())
    loop.type("R")
# The limit is of ten seconds: on a host so slow that ten resets take longer it comes later.
slow = len(began) > 9 and began[9] - began[0] > 9
check(n == 10 or slow and n > 10, "after so many resets", n)
got = vms.wait(vm4)
is_((got["StatusCode"], got["Reason"]), (1, "reset"), "a guest that only resets is given up")
like(vms.state(vm4)["ReasonText"], "within 10 seconds", "with a sentence that says so")

for v in vms.ask("GET", "/vms/json?all=1")[2]:
    vms.remove(v["Id"])
d.stop()
leak_check()
finish()
