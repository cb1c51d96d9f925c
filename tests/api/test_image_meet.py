#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# not in the lab: hundreds of jobs at once, and nothing the kernel decides
# time limit: 240 s
"""Loads, removals, prunes, checks and runs of the same images at once, then the same
while jobs are killed: a run works or says that there is no image, and what is left is
a good store."""
import os
import random
import signal
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)) + "/../priv")
from imagelib import *                              # noqa: F401,F403,E402

need_root()
need_program("isolad", "isola-keeper", "isola-image", "ctrctl")
random.seed(3)
d = start_isolad() or skip_all("isolad does not start")
busybox_tar(T + "/root.tar")
with open(T + "/root.tar", "rb") as f:
    base = f.read()
N = 3
for n in range(N):
    top = tar(*(file("top/%d" % i, os.urandom(500)) for i in range(100)), file("which", b"%d" % n))
    with open("%s/v%d.tar" % (T, n), "wb") as f:
        f.write(docker_archive([base, top], name="meet:v%d" % n, compress=gzip.compress))
first = d.ctr("load", "-i", T + "/v0.tar")
check(first.rc == 0, "the first load", repr(first))
d.ctr("run", "--rm", "meet:v0", "true")     # isolad keeps a helper from here on
d.ctr("image", "prune", "-af")
leak_mark()


def allowed(r, texts):
    return r.rc == 0 or any(t in r.err + r.out for t in texts)


def load(n):
    return d.ctr("load", "-q", "-i", "%s/v%d.tar" % (T, n)), []


def remove(n):
    return d.ctr("rmi", "-f", "meet:v%d" % n), ["No such image", "being used"]


def prune(n):
    return d.ctr("image", "prune", "-af"), ["No such image"]


def check_store(n):
    r = d.request("POST", "/system/check?repair=1")
    return run("false" if r[0] != 200 else "true"), []


def run_it(n):
    r = d.ctr("run", "--rm", "meet:v%d" % n, "cat", "/which")
    if r.rc == 0 and r.out != "%d" % n:
        wrong.append("run gave %r" % r.out)
    return r, ["No such image", "not supported yet", "Unable to find image"]


def round_of(name, seconds, killing):
    """Everything at once for a while; what a killed job answers is not judged."""
    end, counts = time.monotonic() + seconds * SCALE, {}
    last = end + 60 * SCALE
    must = (load, prune) if killing else (load, remove, prune, run_it, check_store)

    def goes_on():
        """Longer where a busy host has not come to all of it."""
        now = time.monotonic()
        return now < end or now < last and not wrong and (
            not all(0 in counts.get(w.__name__, []) for w in must) or
            killing and len(killed) < 6)

    def again(what):
        while goes_on() and not wrong:
            r, texts = what(random.randrange(N))
            counts.setdefault(what.__name__, []).append(r.rc)
            if killing and what is not run_it:
                continue
            if not allowed(r, texts):
                wrong.append((what.__name__, repr(r)))
            time.sleep(random.random() / 50)

    def kill():
        while goes_on():
            time.sleep(random.random() / 2)
            # by its command line, which names this test's own folder
            pids = run("pgrep", "-f", "^isola-image .*" + d.root + "/state").out.split()
            for pid in pids[:1]:
                try:
                    os.kill(int(pid), signal.SIGKILL)
                    killed.append(pid)
                except ProcessLookupError:
                    pass

    threads = [threading.Thread(target=again, args=(w,), daemon=True)
               for w in (load, load, remove, prune, check_store, run_it, run_it)]
    if killing:
        threads.append(threading.Thread(target=kill, daemon=True))
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    check(not wrong and d.ping(), name + ": each ends as it may", wrong[:3])
    good = {k: v.count(0) for k, v in counts.items()}
    check(all(good.get(w.__name__) for w in must),
          name + ": each worked at least once", good)
    diag("%s: %r of %r" % (name, good, {k: len(v) for k, v in counts.items()}))


wrong, killed = [], []
round_of("together", 8, False)
store = Store()
store.path = d.root + "/state"
got = d.request("POST", "/system/check")[2]
is_((got["Found"], got["Problems"]), (0, []), "together: the store is good")
round_of("with kills", 8, True)
check(len(killed) > 5, "jobs were killed", killed)
# the layer processes of the killed ones die with them, but not at once
wait_for(10, lambda: store("check").rc == 0 and store("verify").aux["Found"] == 0)
got = store("verify").aux
is_((got["Found"], got["Problems"]), (0, []), "with kills: check leaves a good store")
for n in range(N):
    r = load(n)[0]
    check(r.rc == 0 and run_it(n)[0].rc == 0, "image %d is loaded and run" % n, repr(r))
check(not wrong, "each is the right one", wrong)
d.ctr("image", "prune", "-af")
store("check")
is_([os.listdir(store.path + "/" + p) for p in ("images/blobs/sha256", "layers", "records", "tmp")],
    [[]] * 4, "nothing is left when all images are gone")
leak_check()
stop_isolad()
finish()
