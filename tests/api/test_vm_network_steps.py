# SPDX-License-Identifier: Apache-2.0
# time limit: 240 s
# not in the lab: the guest is the test's own, and each kill takes seconds under emulation
#
# isolad, or a keeper, is killed at each named step of start, connect, disconnect and stop of
# a VM in networks, and isolad starts again (steplib.py): no tap, rule, port or process is left.
import os
import sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/..")
from vmlib import *
from netlib import *
from steplib import *

need_network()
need_program("ctrctl", "vmctl", "isola-dhcp", "isola-resolver")
if not os.path.exists("/dev/net/tun"):
    skip_all("needs /dev/net/tun")

# By the program that dies; each is passed in one life of a VM, which joins while it is stopped.
# Those that have nothing to do with its kind are a container's (test_network_steps.py).
ISOLAD = ["start.ports", "start.bundle", "start.spawned", "plug.bridge", "plug.link", "plug.published",
          "start.plugged", "start.saved", "start.asked", "start.started", "disconnect.saved", "disconnect.left",
          "disconnect.unlinked", "stop.asked", "end.unplugging", "unplug.link"]
KEEPER = ["keeper.open", "keeper.created", "keeper.started", "keeper.ended", "keeper.recorded"]
if SANITIZED:       # what is a VM's alone: each life is slow
    ISOLAD = ["plug.link", "start.plugged", "disconnect.saved", "disconnect.unlinked", "unplug.link"]
    KEEPER = ["keeper.created", "keeper.ended"]
LIFE = [("vmctl", "create", "--name", "one", "--kernel", GUEST, "--memory", "16m", *FILTER, "--network", "red",
         "--network-queues", "2", "-p", "8071:80"),
        ("ctrctl", "network", "connect", "blue", "one"),
        ("vmctl", "start", "one"),
        ("ctrctl", "network", "disconnect", "blue", "one"),
        ("vmctl", "stop", "-t", "0", "one")]

d = need_vms()
leak_mark()
d.stop()

steps = Steps(d, "vmctl", "vms", "tap", LIFE)
for step in ISOLAD:
    steps.kill_isolad(step)
for step in KEEPER:
    steps.kill_keeper(step)
steps.start()
check(wait_for(20, lambda: not rules(d)), "no rule is left", rules(d))
leak_check()
stop_isolad()
finish()
