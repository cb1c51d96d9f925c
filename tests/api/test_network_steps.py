# SPDX-License-Identifier: Apache-2.0
# time limit: 240 s
#
# isolad, or a keeper, is killed at each named step of start, connect, disconnect and stop of
# a container (isola/step.h), and isolad starts again (steplib.py). Nothing is left: no link,
# rule, mount, cgroup, process, lease or port.
import os
import sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/..")
from lib import *
from netlib import *
from steplib import *

need_root()
need_program("isolad", "ctrctl", "isola-keeper", "isola-image", "isola-resolver")
need_network()

# By the program that dies; each is passed in one life of a container.
ISOLAD = ["start.prepared", "start.ports", "start.bundle", "start.spawned", "start.created",
          "plug.bridge", "plug.link", "plug.published", "start.plugged", "start.saved", "start.asked",
          "start.started", "connect.leased", "connect.linked", "connect.saved", "disconnect.left",
          "disconnect.unlinked", "stop.asked", "end.noticed", "end.unplugging", "unplug.unpublished",
          "unplug.link", "end.cleared"]
KEEPER = ["keeper.open", "keeper.created", "keeper.started", "keeper.ended", "keeper.recorded"]
LIFE = [("ctrctl", "create", "--name", "one", "--network", "red", "-p", "8071:80", "-v", "vol:/data", "busybox",
         "sleep", "1000"),
        ("ctrctl", "start", "one"),
        ("ctrctl", "network", "connect", "blue", "one"),
        ("ctrctl", "network", "disconnect", "blue", "one"),
        ("ctrctl", "stop", "-t", "0", "one")]

d = start_isolad(*FLAGS)
if not d:
    not_ok("isolad starts")
    finish()
leak_mark()
busybox_tar(T + "/root.tar")
d.ctr("import", T + "/root.tar", "busybox")
d.stop()

steps = Steps(d, "ctrctl", "containers", "veth", LIFE, more=[("ctrctl", "volume", "rm", "vol")])
for step in ISOLAD:
    steps.kill_isolad(step)
for step in KEEPER:
    steps.kill_keeper(step)
steps.start()
check(wait_for(20, lambda: not rules(d)), "no rule is left", rules(d))
leak_check()
stop_isolad()
finish()
