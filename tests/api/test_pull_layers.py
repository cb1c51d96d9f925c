# SPDX-License-Identifier: Apache-2.0
#
# pull: several layers of an image are unpacked at one time, whatever becomes of one of
# them; what is seen of it while one stands still, one sync at the end, and kills.
# time limit: 240 s
import gzip
import json
import os
import re
import signal
import subprocess
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)) + "/..")
from lib import *
from reglib import *

need_root()
need_program("isolad", "isola-keeper", "isola-image", "ctrctl")
if run("sh", "-c", "command -v docker-registry").rc:
    skip_all("docker-registry is not installed")
CONF, MODE, LOG = T + "/registries.json", T + "/mode", T + "/proxy.log"
REF, STATE = "127.0.0.1:5001/t/app:1", T + "/state"
open(CONF, "w").write('{"registries": {}}')
open(MODE, "w").write("pass")
open(LOG, "w").close()
d = start_isolad("--registries", CONF) or skip_all("isolad does not start")
registry(d, 5000, "plain")
spawn(d, sys.executable, HERE + "/proxy.py", "5001", "5000", MODE, LOG)
need_answers(d, 5000, 5001)


def tarred(*entries):
    """(name, mode, content or None for a folder)"""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, bits, data in entries:
            t = tarfile.TarInfo(name)
            t.mode, t.mtime = bits, 1000000000
            t.type = tarfile.DIRTYPE if data is None else tarfile.REGTYPE
            t.size = len(data or b"")
            tar.addfile(t, io.BytesIO(data or b""))
    return out.getvalue()


busybox = open(run("sh", "-c", "command -v busybox").out.strip(), "rb").read()
TWICE = tarred(("again", 0o644, os.urandom(3000)))
LAYERS = [
    tarred(("bin", 0o755, None), ("bin/busybox", 0o755, busybox), ("deep", 0o711, None),
           ("deep/er", 0o1777, None)),
    # The folders are named below only: they look as they do there.
    tarred(("deep/er/one", 0o644, os.urandom(200000))),
    tarred(("deep/er/two", 0o644, os.urandom(200000)), ("deep/.wh.er2", 0o644, b"")),
    TWICE,
    tarred(("deep/er/.wh.one", 0o644, b""), ("three", 0o644, os.urandom(2000))),
    TWICE,
    tarred(("deep/er/last", 0o644, b"last"), ("noise", 0o644, os.urandom(1500))),
]
BLOBS = [digest(gzip.compress(x, mtime=0)) for x in LAYERS]
app = image_there(d, LAYERS, squeeze=lambda x: gzip.compress(x, mtime=0))
put_there(d, "manifest", app, name="1", media=OCI)


def mode(text):
    ids = d.ctr("images", "-q").out.split()
    if ids:
        d.ctr("rmi", "-f", *sorted(set(ids)))
    open(MODE, "w").write(text)


def clean():
    left = [x for part in ("/tmp", "/layers", "/images/blobs/sha256")
            if os.path.isdir(STATE + part) for x in os.listdir(STATE + part)]
    return left == [] or repr(left)


def whole(name):
    got = d.ctr("run", "--rm", "--network", "none", REF, "busybox", "stat", "-c", "%a %n",
                "deep", "deep/er", "deep/er/two", "deep/er/last", "again", limit_s=60)
    is_(got.out, "711 deep\n1777 deep/er\n644 deep/er/two\n644 deep/er/last\n644 again\n", name)
    got = d.ctr("run", "--rm", "--network", "none", REF, "busybox", "ls", "deep/er", limit_s=60)
    is_(got.out.split(), ["last", "two"], name + ": whiteouts count")
    got = d.ctr("system", "check")
    check(got.rc == 0, name + ": the store is whole", got)


# ------------------------------------------------------------------- one stands still


def read(path):
    try:
        with open(path) as f:
            return f.read()
    except OSError:
        return ""


def children_of(pid):
    return [int(p) for p in os.listdir("/proc") if p.isdigit() and
            read("/proc/%s/stat" % p).rpartition(") ")[2].split()[1:2] == [str(pid)]]


def folders():
    """Layers of the job whose files are there: the numbers of their folders."""
    return {int(where.split("/layer-")[1].split("/")[0])
            for where, _, files in os.walk(STATE + "/tmp") if files and "/layer-" in where}


def halfway(n):
    """A pull whose layer @n does not come, when three above it are unpacked; the job's
    pid and its processes."""
    mode("hang " + BLOBS[n])
    out.clear()
    t = threading.Thread(target=lambda: out.append(d.ctr("pull", REF, limit_s=90)))
    t.start()
    ok = wait_for(30, lambda: folders() >= {n + 1, n + 2, n + 3})
    check(ok, "layers above layer %d are unpacked while it stands still" % n, folders())
    job = [p for p in children_of(d.pid) if "pull" in read("/proc/%d/cmdline" % p)]
    return t, job[0], children_of(job[0])


def caps(pid):
    found = re.search("CapEff:\t([0-9a-f]+)", read("/proc/%d/status" % pid))
    return int(found.group(1), 16) if found else None


def root_of(pid):
    try:
        return os.readlink("/proc/%d/root" % pid)
    except OSError:
        return ""       # it has just ended


def layer0():
    """The processes that have layer 0, once they are locked in: feed, unpacker."""
    def found():
        pids = [p for p in children_of(job) if root_of(p).endswith("/layer-0")]
        feed, unpacker = [p for p in pids if caps(p) == 0], [p for p in pids if caps(p)]
        locked = not any(caps(p) & 1 << 21 for p in unpacker)       # CAP_SYS_ADMIN
        return feed + unpacker if len(feed) == len(unpacker) == 1 and locked else None
    return wait_for(30, found)


out = []
t, job, kids = halfway(0)
is_(os.listdir(STATE + "/images/blobs/sha256"), [], "nothing has a name yet")
pss = sum(int((re.search("Pss: +([0-9]+) kB", read("/proc/%d/smaps_rollup" % p)) or [0, 0])[1])
          for p in [job, *kids])
if "asan" not in os.environ.get("ISOLA_BUILD_NAME", BUILD):
    check(0 < pss <= 64 << 10, "all its processes together: at most 64 MiB", "%d KiB" % pss)
pair = layer0()
check(pair, "two processes have the layer that waits, and its folder for a root; one has no right",
      kids)
feed = pair[0]
status = read("/proc/%d/status" % feed)
check("\nNoNewPrivs:\t1\n" in status and "\nSeccomp:\t2\n" in status,
      "and with a list of system calls", status)
fds = open_files(feed)
check(all(re.search("^pipe:|/tmp/job-[0-9a-f]+/blob-[0-9]+$|/dev/null$", f) or n == 2
          for n, f in fds.items()) and any("/blob-" in f for f in fds.values()),
      "it has its blob, pipes and nothing else", fds)
open(MODE, "w").write("pass")
t.join()
check(out[0].rc == 0, "it goes on when the layer comes", out)
whole("an image whose lowest layer came last")

for who, name in enumerate(("the process that decompresses", "the one that unpacks")):
    t, job, kids = halfway(0)
    os.kill(layer0()[who], signal.SIGKILL)
    t.join()
    check(out[0].rc == 1 and "killed by signal 9" in out[0].err, "kill -9 of " + name, out)
    is_(wait_for(20, lambda: not os.path.exists("/proc/%d" % job)), True, "ends the job")
    is_(wait_for(20, lambda: clean() is True), True, "and nothing is left of it")

t, job, kids = halfway(1)
os.kill(job, signal.SIGKILL)
t.join()
check(out[0].rc == 1, "kill -9 of the job", out)
is_(wait_for(20, lambda: not any(os.path.exists("/proc/%d" % p) for p in kids)), True,
    "takes all its processes along")
is_(wait_for(20, lambda: clean() is True), True, "isolad sweeps up behind it")

t, job, kids = halfway(0)
os.kill(job, signal.SIGTERM)
t.join()
check(out[0].rc == 1 and "cancelled" in out[0].err, "a cancelled pull says so", out)
is_(wait_for(20, lambda: not any(os.path.exists("/proc/%d" % p) for p in kids)), True,
    "its processes end")
is_(wait_for(20, lambda: clean() is True), True, "nothing is left")

# --------------------------------------------------------------- one that others want

LOW = REF[:-1] + "low"
put_there(d, "manifest", image_there(d, LAYERS[:1], squeeze=lambda x: gzip.compress(x, mtime=0)),
          name="low", media=OCI)


def low_meanwhile():
    """A pull of the lowest layer alone, while that of all seven waits for another one."""
    found = halfway(1)
    low = d.ctr("pull", LOW, limit_s=60)
    check(low.rc == 0 and found[0].is_alive() and out == [],
          "a pull whose layer is here ends before the other one that made it", (low, out))
    got = d.ctr("run", "--rm", "--network", "none", LOW, "busybox", "stat", "-c", "%a", "deep",
                limit_s=60)
    is_(got.out, "711\n", "its image runs")
    loads = [x for x in open(LOG) if '"GET"' in x and BLOBS[0] in x]
    is_(len(loads), 1, "and the layer was loaded once")
    return found


def loaded():
    return sorted(os.listdir(STATE + "/layers"))


open(LOG, "w").close()
t, job, kids = low_meanwhile()
check(os.path.isdir(STATE + "/layers/%s/fs" % digest(LAYERS[0])[7:]),
      "the layer is in its place", loaded())
open(MODE, "w").write("pass")
t.join()
check(out[0].rc == 0, "the other one ends well, too", out)
whole("an image whose lowest layer was shared on the way")

open(LOG, "w").close()
t, job, kids = low_meanwhile()
os.kill(job, signal.SIGKILL)
t.join()
is_(wait_for(20, lambda: os.listdir(STATE + "/tmp") == [] and len(loaded()) == 1), True,
    "after its kill nothing of it is left")
got = d.ctr("system", "check")
check(got.rc == 0, "the store is whole", got)
is_(loaded(), [digest(LAYERS[0])[7:]], "with the one layer that is needed")
got = d.ctr("run", "--rm", "--network", "none", LOW, "busybox", "true", limit_s=60)
check(got.rc == 0, "which goes on", got)

# ---------------------------------------------------------------- a layer that is bad

mode("pass")
bad = json.loads(app)
torn = gzip.compress(LAYERS[2], mtime=0)[:-2000]
bad["layers"][2].update(size=len(torn), digest=put_there(d, "blob", torn))
put_there(d, "manifest", json.dumps(bad).encode(), name="bad", media=OCI)
got = d.ctr("pull", REF[:-1] + "bad", limit_s=60)
check(got.rc == 1 and "layer 3 (" in got.err and "cut off" in got.err, "a layer that is torn", got)
is_(clean(), True, "and nothing of the others is left")

# ------------------------------------------------------------------------ one sync

if run("sh", "-c", "command -v strace").rc == 0:
    run(BUILD + "/isola-image", "check", "--state", T + "/other")       # makes the store
    got = d.in_net("strace", "-f", "-e", "trace=syncfs,fsync,fdatasync", "-o", T + "/trace",
                   BUILD + "/isola-image", "pull", "--state", T + "/other", "--ref", REF)
    trace = open(T + "/trace").read()
    if "= ?" in trace and "syncfs" not in trace:
        skip("one sync", "strace cannot follow")
    else:
        check(got.rc == 0, "a pull that is looked at", got)
        is_(trace.count("syncfs("), 1, "one syncfs for all layers and blobs")
        first = trace.index("syncfs(")
        is_(len(re.findall(r"fsync\(", trace[:first])), 0, "and nothing is synced before")
else:
    skip("one sync", "strace is not installed")

got = d.ctr("pull", REF, limit_s=60)
check(got.rc == 0, "pulled", got)
whole("after all that")
end_children()
finish()
