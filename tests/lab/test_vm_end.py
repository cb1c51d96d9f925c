# SPDX-License-Identifier: Apache-2.0
# nested: a Linux guest on emulated AMD-V
# How a Linux guest ends, and what is told of it: power-off, reset, panic, triple
# fault, power button, watchdog, isa-debug-exit; and who survives a kill -9 of whom.
# time limit: 120 s
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from vmlib import *

d = need_guests()
leak_mark()


def events_of(vm, action):
    """Attributes of its events of one kind so far."""
    query = "/events?since=0&until=%d" % (time.time() + 1)
    _, _, got = d.request("GET", query)
    docs = got if isinstance(got, list) else [got] if isinstance(got, dict) else \
        [json.loads(x) for x in got.splitlines() if x.strip()]
    return [e["Actor"]["Attributes"] for e in docs if e.get("Action") == action and
            e["Actor"]["Attributes"].get("name") == vm.name]


# -------------------------------------------------------- a reset, then a panic
vm = Vm(d, "phoenix")
first = vm.state().get("Pid")
vm.sh("touch /tmp/here")
start = vm.send("reboot -f")
check(vm.booted(start=start), "a guest that reboots comes again, for the same client", vm.tail())
is_(vm.sh("[ -e /tmp/here ]")[0], 1, "with an empty memory")
s = vm.state()
is_((s.get("Status"), s.get("Resets")), ("running", 1), "that was one reset")
isnt(s.get("Pid"), first, "in a new worker")
vm.send("echo c >/proc/sysrq-trigger")
is_((vm.wait_end(), vm.reason()), (134, ("exited", 134, "panic")), "a panic: exit code 134")
vm.remove()

# ---------------------------- triple fault, a restart policy, the power button
vm = Vm(d, "triple", cmdline="reboot=t", flags=["--restart", "on-failure:2", "--stop-timeout", 20 * SCALE])
start = vm.send("reboot -f")
check(wait_for(20, lambda: events_of(vm, "die")), "a triple fault ends the VM", vm.tail())
is_([(e.get("exitCode"), e.get("reason")) for e in events_of(vm, "die")], [("135", "triple-fault")],
    "an event tells why: exit code 135")
check(wait_for(20, lambda: vm.state().get("Running") and vm.inspect().get("RestartCount") == 1),
      "the restart policy starts it again", vm.inspect())
boots = "@@0 0"
check(wait_for(BOOT_S, lambda: vm.ctl("logs").out.count(boots) == 2), "it boots again", vm.tail())
r = vm.ctl("stop", limit_s=90)
is_((r.rc, vm.reason()), (0, ("exited", 0, "poweroff")), "vmctl stop presses its power button")
is_(vm.inspect().get("RestartCount"), 1, "and nobody starts it again")
vm.remove()

# ------------------------------------------------------------------- watchdog
vm = Vm(d, "dog", flags=["--watchdog", "poweroff"])
if vm.sh("[ -c /dev/watchdog ]")[0]:
    skip("a guest that does not feed its watchdog ends", "the guest's kernel has no wdat_wdt")
    vm.ctl("kill")
else:
    vm.send("watchdog -T 2 -t 1000 -F /dev/watchdog")
    is_((vm.wait_end(), vm.reason()), (136, ("exited", 136, "watchdog")),
        "a guest that does not feed its watchdog ends: exit code 136")
vm.remove()

# ---------------------------------- kill -9 of isolad, of a keeper, of a worker
vm = Vm(d, "orphan", VMLINUX, flags=["--debug-exit"])
vm.send("i=0; while [ $i -lt 400 ]; do i=$((i+1)); echo line $i; usleep 5000; done")
check(vm.expect("^line 20$"), "a guest counts")
worker = vm.state()["Pid"]
stop_isolad(signal.SIGKILL)
check(vm.expect(r"^line [0-9]*[05]0$", start=len(vm.text)), "it goes on when isolad is killed, "
      "and its client sees it", vm.tail(5))
d = vm.d = start_isolad()
s = vm.state()
is_((s.get("Status"), s.get("Pid")), ("running", worker), "the next isolad finds it: same worker")
check(vm.expect("^line 400$"), "and the client still sees it", vm.tail(5))
lines = [int(n) for n in re.findall(r"^line (\d+)$", vm.ctl("logs").out, re.M)]
is_(lines, list(range(1, 401)), "its log has no gap")
vm.send("guestkit out 0xf4 42")
is_((vm.wait_end(), vm.reason()), (42, ("exited", 42, "debug-exit")),
    "isa-debug-exit: the guest's own exit code, known to a daemon that did not start it")
is_(vm.ctl("wait").out.strip(), "42", "vmctl wait prints it")

# no guest is needed for what follows, only that it runs
r = vm.ctl("start")
check(r.rc == 0 and vm.wait_status("running"), "it starts again", r)
os.kill(vm.state()["Pid"], signal.SIGKILL)
check(vm.wait_status("exited"), "a killed worker ends the VM")
is_(vm.reason(), ("exited", 139, "worker-crash"), "as what it is: exit code 139")
vm.ctl("start")
vm.wait_status("running")
worker, keeper = vm.state()["Pid"], vm.inspect()["Isola"]["KeeperPid"]
os.kill(keeper, signal.SIGKILL)
check(wait_for(10, lambda: not is_running(worker)), "a worker does not outlive its keeper")
check(wait_for(10, lambda: not vm.state()["Running"]), "isolad sees that it is gone", vm.state())
diag("after kill -9 of the keeper: %s, %s" % (vm.reason(), vm.state()["Error"]))
isnt(vm.state()["ExitCode"], 0, "which is no success")
r = vm.ctl("start")
check(r.rc == 0 and vm.wait_status("running"), "and it starts again", r)
is_(vm.ctl("kill").rc, 0, "it is killed")
check(vm.wait_status("exited"), "and gone")
is_(vm.reason(), ("exited", 137, "killed"), "by us: exit code 137")
vm.remove()

leak_check()
finish()
