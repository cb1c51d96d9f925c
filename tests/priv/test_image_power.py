#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# not in the lab: hundreds of restarts, and nothing the kernel decides
# time limit: 300 s
"""The power goes at any moment: a store lies on a file system of its own, jobs load
and remove images and make their root images, and now and then what has reached its disk is copied. Each copy is
mounted as after a power cut (the journal is replayed; what was only in memory is
lost, also data whose names were written: data=writeback). Then every image is whole
or not there, what was reported as loaded is there, and check leaves a good store."""
import itertools
import os
import random
import signal
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from imagelib import *                              # noqa: F401,F403,E402

CUTS = int(os.environ.get("ISOLA_POWER_CUTS", 24))
SIZE = 40 << 20
OPTIONS = "loop,data=writeback,noauto_da_alloc,commit=1"

need_root()
need_program("isola-image")
if not shutil.which("mkfs.ext4"):
    skip_all("needs mkfs.ext4 (package e2fsprogs)")
disk, at = T + "/disk", T + "/mnt"
os.mkdir(at)
with open(disk, "wb") as f:
    f.truncate(SIZE)
run("mkfs.ext4", "-q", "-F", "-b", "4096", disk)
made = run("mount", "-o", OPTIONS, disk, at)
if made.rc != 0:
    skip_all("cannot mount a file (no loop device): " + made.err.strip())

random.seed(7)
base = tar(folder("bin"), *(file("bin/%d" % i, os.urandom(3000), mode=0o755) for i in range(40)))
tops = [tar(*(file("top/%d-%d" % (n, i), os.urandom(2000)) for i in range(30)),
            file("bin/.wh.7", b"")) for n in range(3)]
archives = [docker_archive([base, t], name="v%d" % n, compress=gzip.compress)
            for n, t in enumerate(tops)]
store = Store("mnt")
good = {}
for n, a in enumerate(archives):
    job = store("load", data=a)
    good[job.id] = [tree(store.fs(job.id, i)) for i in range(2)]


def content(trees):
    """Names and bytes of files: a whiteout's time is that of its making."""
    return [{p: (s["kind"], s.get("mode"), s.get("data")) for p, s in t.items()} for t in trees]


good = {i: content(t) for i, t in good.items()}
ids = list(good)
is_(len(ids), len(archives), "images to begin with")

# ---- jobs without end, each in a process group of its own
state = {}                      # image -> "there", "gone", or "moving"
lock, stop, running, failed = threading.Lock(), threading.Event(), set(), []
state.update((i, "there") for i in ids)


def job(verb, *args, data=None):
    with lock:
        p = start(store.path, verb, *args, start_new_session=True)
        running.add(p)
    out, err = p.communicate(data)
    with lock:
        running.discard(p)
    if p.returncode != 0:
        failed.append((verb, out[-300:], err[-300:]))
    return p.returncode


def churn(n):
    for i in itertools.count():
        if stop.is_set():
            return
        image = ids[n]
        with lock:
            state[image] = "moving"
        job("delete", image)
        with lock:
            state[image] = "gone"
        if i % 3 == 0:
            job("check")
        with lock:
            state[image] = "moving"
        job("load", data=archives[n])
        with lock:
            state[image] = "there"
        if i % 2 and shutil.which("mkfs.erofs"):
            job("root", image)
        if i % 2:
            time.sleep(random.random() / 10)


def signal_all(number):
    for p in running:
        try:
            os.killpg(p.pid, number)
        except ProcessLookupError:
            pass        # it has just ended


def snapshot():
    """What is on the disk now, and what must be there. Nothing runs meanwhile but
    what the kernel has begun: two copies that are equal are one moment's."""
    with lock:
        signal_all(signal.SIGSTOP)
        before = dict(state)
        for _ in range(200):
            with open(disk, "rb") as f:
                first = f.read()
                f.seek(0)
                if f.read() == first:
                    break
            time.sleep(0.01)
        else:
            first = None
        signal_all(signal.SIGCONT)
    return first, before


threads = [threading.Thread(target=churn, args=(n,), daemon=True) for n in range(len(archives))]
for t in threads:
    t.start()
shots = []
while len(shots) < CUTS and not failed:
    time.sleep(random.random() * 0.4 * SCALE)
    shot = snapshot()
    if shot[0]:
        shots.append(shot)
    else:
        diag("the disk does not come to rest")
        break
stop.set()
for t in threads:
    t.join()
check(not failed, "the jobs themselves go well", failed[:3])
is_(len(shots), CUTS, "the power was cut that often")
is_(store("verify").aux["Found"], 0, "the store that had power is good")
run("umount", at)

# ---- after each cut
bad = {"mount": [], "before check": [], "lost": [], "back": [], "content": [], "good": [],
       "use": []}
seen = {"whole": 0, "gone": 0, "leftovers": 0, "roots": 0}
for k, (bytes_, before) in enumerate(shots):
    copy = "%s/copy-%d" % (T, k)
    with open(copy, "wb") as f:
        f.write(bytes_)
    r = run("mount", "-o", OPTIONS, copy, at)
    if r.rc != 0:
        bad["mount"].append(r)
        continue
    # what isolad sees at once: names and records
    names = store.names()
    records = {"sha256:" + n[:-5] for n in os.listdir(at + "/records") if n.endswith(".json")}
    first = store("verify").aux
    serious = [p for p in first["Problems"] if p["Kind"] not in ("leftover", "unreferenced") and
               "unfinished" not in p["Text"]]
    if serious or first["Found"] > 200:
        bad["before check"].append((k, serious[:3]))
    seen["leftovers"] += first["Found"] > 0
    seen["roots"] += first["Roots"]
    store("check")
    last = store("verify").aux
    if last["Found"] != 0:
        bad["good"].append((k, last["Problems"][:3]))
    for n, image in enumerate(ids):
        here = "docker.io/library/v%d:latest" % n in names
        if before[image] == "there" and not here:
            bad["lost"].append((k, n))
        if before[image] == "gone" and (here or image in records):
            bad["back"].append((k, n))
        seen["whole" if here else "gone"] += 1
        if here and content([tree(store.fs(image, i)) for i in range(2)]) != good[image]:
            bad["content"].append((k, n))
    if [store("load", data=a).rc for a in archives] != [0, 0, 0] or \
            store("verify").aux["Found"] != 0:
        bad["use"].append(k)
    run("umount", at)
    os.unlink(copy)
for key, name in (("mount", "each copy is a file system"),
                  ("before check", "nothing half-made is visible at once"),
                  ("lost", "what was reported as loaded is there"),
                  ("back", "what was reported as removed is gone"),
                  ("content", "each file of each image there has its bytes"),
                  ("good", "check leaves a good store"),
                  ("use", "which is used on")):
    check(not bad[key], name, "\n".join(str(x) for x in bad[key][:5]))
check(seen["whole"] > 0 and seen["gone"] > 0 and seen["leftovers"] > 0,
      "the cuts came before, in and after jobs", seen)
diag("%d cuts: %r" % (len(shots), seen))
finish()
