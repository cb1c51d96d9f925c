# SPDX-License-Identifier: Apache-2.0
# time limit: 240 s
#
# isolad, or a keeper, is killed at each named step of start, connect, disconnect and stop
# (isola/step.h), and isolad starts again. Then each container is what its state says, links,
# rules, published ports and addresses are those of what runs, and once all is removed
# nothing is left: no link, rule, mount, cgroup, process, lease or port.
import os
import re
import signal
import subprocess
import sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/..")
from lib import *
from netlib import *

need_root()
need_program("isolad", "ctrctl", "isola-keeper", "isola-image", "isola-resolver")
need_network()

FLAGS = ("--default-network", "none")
# By the program that dies; each is passed in one life of a container.
ISOLAD = ["start.prepared", "start.ports", "start.bundle", "start.spawned", "start.created",
          "plug.bridge", "plug.link", "plug.published", "start.plugged", "start.saved", "start.asked",
          "start.started", "connect.leased", "connect.linked", "connect.saved", "disconnect.left",
          "disconnect.unlinked", "stop.asked", "end.noticed", "end.unplugging", "unplug.unpublished",
          "unplug.link", "end.cleared"]
KEEPER = ["keeper.open", "keeper.created", "keeper.started", "keeper.ended", "keeper.recorded"]

d = start_isolad(*FLAGS)
if not d:
    not_ok("isolad starts")
    finish()
leak_mark()
busybox_tar(T + "/root.tar")
d.ctr("import", T + "/root.tar", "busybox")
d.stop()


def start(step=""):
    """isolad, which dies at @step, as do its keepers."""
    if step:
        os.environ["ISOLA_DIE_AT"] = step
    else:
        os.environ.pop("ISOLA_DIE_AT", None)
    if not d.start(*FLAGS):
        not_ok("isolad starts, " + (step or "afterwards"))
        finish()


def client(*argv):
    """One that may lose its daemon."""
    return subprocess.run([BUILD + "/ctrctl", "-H", "unix://" + d.socket, *argv], timeout=60 * SCALE,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def veths():
    return sorted(n for n in links(d) if n.startswith("veth"))


def published():
    return sorted(set(re.findall(r"(?:tcp|6) \. (\d+) : ", rules(d))))


def guarded():
    return sorted(set(re.findall(r'"(veth\w+)" \. [0-9a-f]{2}:', rules(d))))


def shown():
    """The one container: (running, networks it is linked to, a payload lives)."""
    status, _, doc = d.request("GET", "/containers/one/json")
    if status != 200:
        return None
    state = doc["State"]
    linked = [n for n in doc["NetworkSettings"]["Networks"].values() if n["IPAddress"]]
    return state["Running"], len(linked), bool(state["Pid"]) and is_running(state["Pid"])


def agrees():
    """What is there is what the state says."""
    s = shown()
    if s is None:
        return veths() == published() == guarded() == []
    running, linked, lives = s
    return running == lives and len(veths()) == linked == len(guarded()) and bool(published()) == running


def life():
    """All steps of one, as far as there is an isolad."""
    yield "network", "create", "--subnet", "10.71.0.0/24", "red"
    yield "network", "create", "--subnet", "10.72.0.0/24", "blue"
    yield ("create", "--name", "one", "--network", "red", "-p", "8071:80", "-v", "vol:/data", "busybox", "sleep",
           "1000")
    yield "start", "one"
    yield "network", "connect", "blue", "one"
    yield "network", "disconnect", "blue", "one"
    yield "stop", "-t", "0", "one"


def live_until(dead):
    for argv in life():
        client(*argv)
        if dead():
            return True
    return bool(wait_for(15, dead))


def judge(step):
    """isolad is there again."""
    if not wait_for(30, agrees):
        not_ok("after %s all is as the state says" % step,
               "%s %s %s %s" % (shown(), veths(), published(), guarded()))
        return
    s = shown()
    if s and not s[0]:
        r = d.ctr("start", "one", limit_s=60)
        if r.rc or not agrees():
            not_ok("after %s it can be started" % step, (r, shown(), veths(), published(), guarded()))
            return
    d.ctr("rm", "-f", "-v", "one", limit_s=60)
    for argv in (("network", "rm", "red"), ("network", "rm", "blue"), ("volume", "rm", "vol")):
        d.ctr(*argv, limit_s=60)
    left = d.request("GET", "/networks")[2]
    check(wait_for(20, lambda: not links(d) and not published() and not guarded()) and
          not [n["Name"] for n in left if n["Name"] in ("red", "blue")],
          "%s: all is as the state says, and nothing is left" % step, (links(d), rules(d), left))


for step in ISOLAD:
    start(step)
    process = d.process
    died = live_until(lambda: process.poll() is not None)
    if not died or process.returncode != -signal.SIGKILL:
        not_ok("isolad is killed at " + step, process.returncode)
    d.stop(signal.SIGKILL)
    start()
    judge(step)
    d.stop()

for step in KEEPER:
    start(step)
    codes = {argv[0]: client(*argv).returncode for argv in life()}
    check(wait_for(20, lambda: not (shown() or (True,))[0]), "%s: isolad knows that it has ended" % step, shown())
    if step in ("keeper.open", "keeper.created", "keeper.started"):
        isnt(codes["start"], 0, "a start fails when its keeper is killed at " + step)
    if step == "keeper.ended":
        like(d.request("GET", "/containers/one/json")[2]["State"]["Error"], "killed by signal 9",
             "a keeper is killed at " + step)
    d.stop()
    start()
    judge(step)
    d.stop()

start()
check(wait_for(20, lambda: not rules(d)), "no rule is left", rules(d))
leak_check()
stop_isolad()
finish()
