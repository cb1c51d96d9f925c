# SPDX-License-Identifier: Apache-2.0
#
# Mounts that come to a running container and go again: what is there inside, in the
# record and after a restart; containers that swap links meanwhile; kills of isolad.
# time limit: 200 s
# not in the lab: a hundred calls, one after the other, under emulation
import json
import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)) + "/..")
from lib import *
from wire import *

need_root()
need_program("isolad", "isola-keeper", "isola-image", "ctrctl")
d = start_isolad() or skip_all("isolad does not start")
VOLUMES = T + "/state/volumes"
HOST = T + "/host"
os.makedirs(HOST + "/sub")
with open(HOST + "/note", "w") as f:
    f.write("of the host\n")
load_image(d, busybox_tar(T + "/root.tar"))
remove(d, start(d, "true"))
leak_mark()


def ctr(*argv, **kw):
    return d.ctr(*argv, **kw)


def good(name, got, out=None):
    return check(got.rc == 0 and (out is None or got.out == out), name, "wanted %r\n%s" % (out, got))


def bad(name, got, text, rc=1):
    return check(got.rc == rc and text in got.err, name, "wanted %d %r\n%s" % (rc, text, got))


def inside(name, *argv):
    return ctr("exec", name, *argv)


def mounts(name):
    o = json.loads(ctr("inspect", name).out)[0]
    return sorted((m["Type"], m["Destination"], m["RW"]) for m in o["Mounts"])


def sleeper(name, *flags):
    return good("%s runs" % name, ctr("run", "-d", "--name", name, *flags, "busybox", "sleep", "1000"))


def update(name, *flags):
    return ctr("update", *flags, name)


# -------------------------------------------------------------- what can be mounted
sleeper("c1", "-v", "early:/early")
good("a volume comes", update("c1", "--mount-add", "type=volume,src=data,dst=/srv/data"), "c1\n")
good("it can be written", inside("c1", "sh", "-c", "echo hi > /srv/data/f; cat /srv/data/f"), "hi\n")
st = os.stat(VOLUMES + "/data/_data/f")
is_((st.st_uid, st.st_gid), (0, 0), "its owner on the disk is the container's root")
bad("the volume is in use", ctr("volume", "rm", "data"), "volume is in use")
good("a folder of the host comes, read-only",
     update("c1", "--mount-add", "type=bind,src=%s,dst=/host,readonly" % HOST))
good("it is that folder", inside("c1", "cat", "/host/note"), "of the host\n")
good("its owner is the host's", inside("c1", "stat", "-c", "%u:%g", "/host/note"), "0:0\n")
bad("it is read-only", inside("c1", "touch", "/host/x"), "Read-only")
good("a file of the host comes", update("c1", "--mount-add", "type=bind,src=%s/note,dst=/etc/note" % HOST))
good("it is that file", inside("c1", "cat", "/etc/note"), "of the host\n")
good("memory comes", update("c1", "--mount-add", "type=tmpfs,dst=/mem,tmpfs-size=1m,tmpfs-mode=1770"))
good("with its options", inside("c1", "sh", "-c", "stat -c %a:%u /mem; grep -c ' /mem tmpfs.*size=1024k' /proc/mounts"),
     "1770:0\n1\n")
good("a part of a volume comes, and memory goes, in one request",
     update("c1", "--mount-rm", "/mem", "--mount-add",
            "type=volume,src=data,dst=/part,volume-subpath=f,readonly"))
good("the part", inside("c1", "cat", "/part"), "hi\n")
bad("the memory is gone", inside("c1", "grep", " /mem ", "/proc/mounts"), "")
bind = [("bind", "/etc/note", True), ("bind", "/host", False)]
volume = [("volume", "/early", True), ("volume", "/part", False), ("volume", "/srv/data", True)]
is_(mounts("c1"), bind + volume, "inspect shows them")
good("limits in the same command",
     update("c1", "--mount-add", "type=tmpfs,dst=/m2", "--restart", "no"))
good("both took effect", inside("c1", "grep", "-c", " /m2 ", "/proc/mounts"), "1\n")
good("and it goes", update("c1", "--mount-rm", "/m2"))

# ------------------------------------------------------------------- what is refused
before = mounts("c1")
for flags, text in (
        (("--mount-add", "type=volume,src=data,dst=/early"), "mounted at /early already"),
        (("--mount-add", "type=volume,dst=/anon"), "needs a name"),
        (("--mount-add", "type=bind,src=/nowhere,dst=/x"), "/nowhere"),
        (("--mount-add", "type=volume,src=data,dst=/"), "can't be '/'"),
        (("--mount-add", "type=volume,src=data,dst=/proc/sys"), "/proc"),
        (("--mount-add", "type=bind,src=/tmp,dst=/proc"), "proc"),
        (("--mount-add", "type=volume,src=data,dst=/x,volume-subpath=missing"), "missing"),
        (("--mount-add", "type=volume,src=data"), "target is missing"),
        (("--mount-rm", "/tmp"), "nothing of the user's is mounted"),
        (("--mount-rm", "/etc/hosts"), "nothing of the user's is mounted"),
        (("--mount-rm", "relative"), "absolute")):
    bad(" ".join(flags), update("c1", *flags), text)
is_(mounts("c1"), before, "and nothing changed")
status, _, body = d.request("POST", "/containers/c1/mounts", {})
is_((status, "Add" in str(body)), (400, True), "a body that asks for nothing")
status, _, body = d.request("POST", "/containers/c1/mounts", {"add": []})
is_(status, 400, "nor one with an empty list", body)
status, _, body = d.request("POST", "/containers/nobody/mounts", {"Remove": ["/x"]})
is_(status, 404, "a container that is not there")

# ------------------------------------------------------------- stops, starts, kills
good("it is started again", ctr("restart", "-t", "0", "c1"))
is_(mounts("c1"), before, "the mounts are still its own")
good("and there", inside("c1", "sh", "-c", "cat /srv/data/f /host/note /part"), "hi\nof the host\nhi\n")
good("what came at creation goes, too", update("c1", "--mount-rm", "/early"))
bad("from the container", inside("c1", "grep", " /early ", "/proc/mounts"), "")
good("from the record, so the volume is free", ctr("volume", "rm", "early"))
good("a paused one", ctr("pause", "c1"))
good("gets a mount", update("c1", "--mount-add", "type=volume,src=data,dst=/again"))
good("is resumed", ctr("unpause", "c1"))
good("and has it", inside("c1", "cat", "/again/f"), "hi\n")
d.stop(signal.SIGKILL)
d.start()
good("after a kill of isolad it can be removed", update("c1", "--mount-rm", "/again"))
good("it is gone", inside("c1", "ls", "/again"), "")
good("a stopped one", ctr("stop", "-t", "0", "c1"))
good("is changed for its next start",
     update("c1", "--mount-add", "type=volume,src=later,dst=/later", "--mount-rm", "/host"))
good("which it gets", ctr("start", "c1"))
good("so", inside("c1", "sh", "-c", "echo x > /later/x; ls /host"), "")
good("removed", ctr("rm", "-f", "c1"))
good("its volumes are free", ctr("volume", "rm", "data", "later"), "data\nlater\n")

# -------------------------------------------------------------- other kinds of roots
sleeper("ro", "--read-only")
bad("a read-only root without the folder", update("ro", "--mount-add", "type=tmpfs,dst=/new"), "ead-only")
is_(mounts("ro"), [], "is not in the record")
good("with the folder", update("ro", "--mount-add", "type=volume,src=v2,dst=/tmp"))
good("works", inside("ro", "touch", "/tmp/x"))
good("removed", ctr("rm", "-f", "ro"))
sleeper("hh", "--userns", "host")
good("without a user namespace", update("hh", "--mount-add", "type=volume,src=v2,dst=/v",
                                        "--mount-add", "type=tmpfs,dst=/mem"))
good("it works", inside("hh", "sh", "-c", "ls /v; touch /mem/x && ls /mem"), "x\nx\n")
good("and back", update("hh", "--mount-rm", "/v", "--mount-rm", "/mem"))
good("gone", inside("hh", "ls", "/v"), "")
good("removed", ctr("rm", "-f", "hh"))

# ------------------------------------------------------------------- hostile insides
OUT = T + "/out"
os.mkdir(OUT)
SWAP = ("mkdir -p /d /real; while :; do rm -rf /d; ln -s %s /d; rm /d; ln -s ../../../../../.. /d; "
        "rm /d; ln -s /proc /d; rm /d; mkdir /d; done" % OUT)
good("one that swaps links runs", ctr("run", "-d", "--name", "evil", "busybox", "sh", "-c", SWAP))
seen = set()
for i in range(12):
    got = update("evil", "--mount-add", "type=bind,src=%s,dst=/d/t%d" % (HOST, i))
    seen.add(got.rc)
    update("evil", "--mount-rm", "/d/t%d" % i)
is_(os.listdir(OUT), [], "nothing came to be outside")
with open("/proc/self/mountinfo") as f:
    is_([x for x in f if "/t1" in x.split()[4]], [], "nor is anything mounted outside")
# The masks that hide parts of /proc are mounts, too.
MASK = "head -c 1 /proc/timer_list | wc -c; grep -c ' /proc/timer_list ' /proc/mounts"
good("the masks of /proc stand", inside("evil", "sh", "-c", MASK), "0\n1\n")
good("removed", ctr("rm", "-f", "evil"))
sleeper("liar", "--userns", "host")
good("a mount", update("liar", "--mount-add", "type=bind,src=/dev/null,dst=/d/timer_list"))
good("whose folder is moved", inside("liar", "sh", "-c", "mv /d /e && ln -s /proc /d"))
bad("is not taken for what a link leads to", update("liar", "--mount-rm", "/d/timer_list"), "/d/timer_list")
good("and the mask stands", inside("liar", "sh", "-c", MASK), "0\n1\n")
good("moved back", inside("liar", "sh", "-c", "rm /d && mv /e /d"))
good("it goes", update("liar", "--mount-rm", "/d/timer_list"))
good("removed", ctr("rm", "-f", "liar"))
sleeper("links")
good("a place behind links of its own", inside("links", "ln", "-s", "/var", "/lnk"))
good("is found", update("links", "--mount-add", "type=volume,src=v2,dst=/lnk/place"))
good("inside its root", inside("links", "ls", "/var/place"), "x\n")
good("and found again", update("links", "--mount-rm", "/lnk/place"))
good("it is gone", inside("links", "ls", "/var/place"), "")
good("removed", ctr("rm", "-f", "links"))

# --------------------------------------------------------------- kills in the middle
sleeper("kk")
for i in range(6):
    p = subprocess.Popen([BUILD + "/ctrctl", "-H", "unix://" + d.socket, "update", "--mount-add",
                          "type=volume,src=kv%d,dst=/kv%d" % (i, i), "kk"],
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    d.stop(signal.SIGKILL)
    p.wait()
    d.start()
    listed = ("volume", "/kv%d" % i, True) in mounts("kk")
    there = inside("kk", "grep", "-q", " /kv%d " % i, "/proc/mounts").rc == 0
    check(listed or not there, "killed %d: what is mounted is in the record" % i, (listed, there))
good("removed", ctr("rm", "-f", "kk"))
good("volumes go", ctr("volume", "prune", "-af"))

leak_check()
stop_isolad()
finish()
