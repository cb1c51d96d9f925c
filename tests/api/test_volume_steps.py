# SPDX-License-Identifier: Apache-2.0
#
# isolad, or a keeper, is killed at each named step of work on volumes and of mounts on a
# running container (isola/step.h), and isolad starts again. Then a volume is whole or not
# there, its files are the old or the new ones, what is mounted is in the record, and once
# all is removed nothing is left.
# time limit: 240 s
# not in the lab: dozens of starts of isolad, which are the same there
import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)) + "/..")
from lib import *
from wire import *

need_root()
need_program("isolad", "isola-keeper", "isola-image", "ctrctl")
VOLUMES = T + "/state/volumes"
ISOLAD = ["volume.whole", "volume.named", "fill.begun", "fill.copied", "fill.settled", "mount.recorded",
          "mount.prepared", "mount.mounted", "mount.unmounted", "mount.forgotten", "snapshot.begun",
          "snapshot.copied", "snapshot.settled", "clone.begun", "clone.copied", "clone.settled", "restore.begun",
          "restore.copied", "restore.settled", "volume.gone"]
KEEPER = ["keeper.mounting", "keeper.mounted"]
LIFE = [("volume", "create", "free"),
        ("create", "--name", "one", "-v", "full:/bin", "-v", "/anon", "busybox", "sleep", "1000"),
        ("start", "one"),
        ("update", "--mount-add", "type=volume,src=free,dst=/live", "one"),
        ("update", "--mount-rm", "/live", "one"),
        ("exec", "one", "touch", "/bin/.old"),
        ("volume", "snapshot", "full", "s1"),
        ("volume", "clone", "full", "twin"),
        ("exec", "one", "sh", "-c", "rm /bin/.old; touch /bin/.new"),
        ("kill", "one"),
        ("wait", "one"),
        ("volume", "restore", "full", "s1"),
        ("rm", "-v", "one")]

d = start_isolad() or skip_all("isolad does not start")
load_image(d, busybox_tar(T + "/root.tar"))
remove(d, start(d, "true"))
leak_mark()
d.stop()


def begin(step=""):
    """isolad, which dies at @step, as do its keepers."""
    if step:
        os.environ["ISOLA_DIE_AT"] = step
    else:
        os.environ.pop("ISOLA_DIE_AT", None)
    if not d.start():
        not_ok("isolad starts, " + (step or "afterwards"))
        finish()


def client(*argv):
    """One that may lose its daemon."""
    return subprocess.run([BUILD + "/ctrctl", "-H", "unix://" + d.socket, *argv], timeout=60 * SCALE,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def folder(name, *below):
    return os.path.join(VOLUMES, name, *below)


def files(name):
    """In the volume @name: how many of the image's, and which of the others."""
    found = set(os.listdir(folder(name, "_data"))) if os.path.isdir(folder(name)) else set()
    return len(found - {".old", ".new"}), found & {".old", ".new"}


def odd():
    """What is neither a whole volume nor a whole snapshot."""
    found = []
    for n in os.listdir(VOLUMES):
        try:
            inside = set(os.listdir(folder(n)))
        except FileNotFoundError:       # it went meanwhile
            continue
        if n[0] == "." or inside - {"snapshots"} != {"_data", "volume.json"}:
            found.append((n, inside))
        if "snapshots" in inside:
            for s in os.listdir(folder(n, "snapshots")):
                if set(os.listdir(folder(n, "snapshots", s))) != {"_data", "snapshot.json"}:
                    found.append((n, s))
    return found


def recorded():
    status, _, doc = d.request("GET", "/containers/one/json")
    return {m["Destination"] for m in doc["Mounts"]} if status == 200 else set()


def mounted():
    status, _, doc = d.request("GET", "/containers/one/json")
    if status != 200 or not doc["State"]["Running"]:
        return set()
    try:
        with open("/proc/%d/mounts" % doc["State"]["Pid"]) as f:
            return {x.split()[1] for x in f} & {"/live", "/bin", "/anon"}
    except OSError:                     # it has just ended
        return set()


FULL = None


def judge(step):
    """isolad is there again."""
    check(wait_for(30, lambda: not odd()), step + ": nothing is half-made", odd())
    extra = mounted() - recorded()
    is_(extra, set(), step + ": what is mounted is in the record")
    for name in ("full", "twin"):
        count, others = files(name)
        check(count in (0, FULL) and len(others) < 2, step + ": %s is whole" % name, (count, others))
    if recorded() and not mounted():
        got = client("start", "one")
        check(got.returncode == 0 and mounted() == recorded(), step + ": a start mounts all", (got, mounted()))
        is_(files("full")[0], FULL, step + ": and its first files are there")
    client("rm", "-f", "-v", "one")
    client("volume", "prune", "-af")
    check(wait_for(30, lambda: os.listdir(VOLUMES) == []), step + ": all can be removed", os.listdir(VOLUMES))


begin()
for argv in LIFE[:2]:
    client(*argv)
FULL = files("full")[0]
check(FULL > 1, "the image's files are in the volume", FULL)
client("rm", "-v", "one")
client("volume", "prune", "-af")
d.stop()

for step in ISOLAD:
    begin(step)
    process = d.process
    for argv in LIFE:
        client(*argv)
        if process.poll() is not None:
            break
    died = wait_for(15, lambda: process.poll() is not None)
    check(died and process.returncode == -signal.SIGKILL, step + ": isolad is killed there", process.returncode)
    d.stop(signal.SIGKILL)
    begin()
    judge(step)
    d.stop()

for step in KEEPER:
    begin(step)
    for argv in LIFE[:3]:
        client(*argv)
    got = client(*LIFE[3])
    isnt(got.returncode, 0, step + ": the mount fails with the keeper")
    check(wait_for(30, lambda: not mounted()), step + ": isolad knows that the container has ended", mounted())
    check("/live" not in recorded(), step + ": and the record has no such mount", recorded())
    d.stop()
    begin()
    judge(step)
    d.stop()

# The process that mounts, a clone of the keeper's: what it has done already is undone.
begin("live.done")
for argv in LIFE[:3]:
    client(*argv)
got = client(*LIFE[3])
check(got.returncode != 0 and b"gone" in got.stdout, "live.done: the mount fails with who makes it", got)
is_((mounted(), recorded()), ({"/bin", "/anon"}, {"/bin", "/anon"}), "live.done: and is neither there nor on record")
d.stop()
begin()
client("restart", "-t", "0", "one")     # with a keeper whose clones live
got = client(*LIFE[3])
is_((got.returncode, "/live" in mounted()), (0, True), "live.done: nothing is in the way of a second try", got)
judge("live.done")
d.stop()

begin()
leak_check()
stop_isolad()
finish()
