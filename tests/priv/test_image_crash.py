#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# not in the lab: kills at any moment, again and again, and nothing the kernel decides
# time limit: 300 s
"""Jobs that do not get to their end: cut-off streams, SIGKILL and SIGTERM at any
moment, full disks, readers that go away; and jobs that meet each other."""
import os
import random
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from imagelib import *                              # noqa: F401,F403,E402

need_root()
need_program("isola-image")
random.seed(7)
store = Store()
os.mkdir(store.path)
run("mount", "-t", "tmpfs", "none", store.path)     # hundreds of jobs: spare the disk
store("check")
clean = store.files()


def many(n, size=100):
    return tar(*(folder("d%d" % (i // 100)) if i % 101 == 0 else
                 file("d%d/f%d" % (i // 100, i), os.urandom(size)) for i in range(n)))


# ---- cut-off streams
small = tar(folder("a"), file("a/b", b"x" * 700), symlink("a/c", "b"))
for what, verb, data in (
        ("docker-archive", "load", docker_archive([small])),
        ("docker-archive in gzip", "load", gzip.compress(docker_archive([small]))),
        ("rootfs", "import", small),
        ("rootfs in gzip", "import", gzip.compress(small))):
    # behind the last entry the archive is complete, but for its end mark
    end = len(data) - (1024 if data[:1] != b"\x1f" else 1)
    cuts = sorted(set([0, 1, 5, 100, 511, 512, 513, 1024, end - 512, end - 1, end] +
                      [random.randrange(end) for _ in range(30)]))
    bad = []
    for cut in cuts:
        if not 0 <= cut <= end:
            continue
        job = store(verb, data=data[:cut])
        if job.rc != 1 or not job.error or store.files() != clean:
            bad.append("cut at %d of %d: %r" % (cut, len(data), job))
    check(not bad, "%s cut off at %d places: refused, nothing left" % (what, len(cuts)),
          "\n".join(bad[:5]))

# ---- SIGKILL at any moment, then check
layer = many(3000)
want = sorted({p.rstrip("/") for p in subprocess.run(
    ["tar", "-t"], input=layer, stdout=subprocess.PIPE).stdout.decode().split("\n") if p})
archive = T + "/archive.tar"
with open(archive, "wb") as f:
    f.write(docker_archive([layer, small], compress=lambda t: gzip.compress(t, 1)))
with open(archive, "rb") as f:
    t0 = time.monotonic()
    job = store("load", data=f)
    took = time.monotonic() - t0
check(job.rc == 0 and paths(store.fs(job.id, 0)) == want, "a load that is not killed", job)
store("delete", job.id)


def after_check():
    """Nothing is left, or (when the kill came behind the last write) all."""
    if store("check").rc != 0:
        return None
    if store.files() == clean:
        return "clean"
    ids = [r[:64] for r in os.listdir(store.path + "/records")]
    if len(ids) == 1 and store.names() == ["docker.io/library/test:1"] and \
            paths(store.fs("sha256:" + ids[0], 0)) == want:
        store("delete", "sha256:" + ids[0])
        return "whole" if store.files() == clean else None
    return None


bad, done, left = [], 0, 0
for i in range(40):
    with open(archive, "rb") as f:
        p = start(store.path, "load", stdin=f, stdout=subprocess.DEVNULL)
        time.sleep(took * 1.1 * i / 40)
        p.kill()
        p.wait()
        p.stderr.close()
    left += store.files() != clean
    # the process that unpacks a layer dies with its parent, but not at once:
    # until then the job's folder is in use
    how = wait_for(5, after_check)
    done += how == "whole"
    if not how:
        bad.append("after %d/40 of the time: %s" % (i, store.files()[:20]))
        break
check(not bad, "SIGKILL at 40 moments: check leaves nothing or all", "\n".join(bad))
diag("%d left something, %d were complete" % (left, done))
is_(store.files(), clean, "the store is as before")

# the same for a removal and a repair: the image goes whole, or stays whole
for verb in ("delete", "verify"):
    with open(archive, "rb") as f:
        image = store("load", data=f).id
    args = [image] if verb == "delete" else ["--repair"]
    bad, took_, ends = [], None, set()
    for i in range(24):
        if not os.path.exists("%s/records/%s.json" % (store.path, image[7:])):
            with open(archive, "rb") as f:
                store("load", data=f)
        if verb == "verify":        # something to be made again
            shutil.rmtree(os.path.dirname(store.fs(image, 0)), ignore_errors=True)
        t0 = time.monotonic()
        p = start(store.path, verb, *args, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        if took_ is not None:
            time.sleep(took_ * 1.1 * i / 24)
            p.kill()
        p.wait()
        p.stderr.close()
        took_ = took_ or time.monotonic() - t0
        wait_for(5, lambda: store("check").rc == 0 and not os.listdir(store.path + "/tmp"))
        if verb == "verify":
            store("verify", "--repair")
        aux, names = store("verify").aux, store.names()
        whole = names == ["docker.io/library/test:1"] and paths(store.fs(image, 0)) == want
        ends.add("whole" if whole else "gone")
        if aux["Found"] or not (whole or (verb == "delete" and store.files() == clean)):
            bad.append((i, names, aux["Problems"][:3]))
    check(not bad, "SIGKILL at 23 moments of %s: the image is whole or gone" % verb, bad[:3])
    check(verb == "verify" or ends == {"whole", "gone"}, "some were early, some late (%s)" % verb,
          ends)
    if store.names():
        store("delete", image)
    is_(store.files(), clean, "nothing is left after %s" % verb)

# ---- SIGTERM
for when in (0, 0.2, 0.5, 0.8):
    with open(archive, "rb") as f:
        p = start(store.path, "load", stdin=f)
        wait_for(10, lambda: p.poll() is not None or minds(p.pid, signal.SIGTERM))
        time.sleep(took * when)
        p.terminate()
        out, err = p.communicate(timeout=30 * SCALE)
    job = Job(p.returncode, out, err.decode())
    if job.rc == 0:
        store("delete", job.id)
    check((job.rc == 0 or (job.rc == 1 and job.error)) and store.files() == clean,
          "SIGTERM after %d %%: says so, cleans up itself" % (when * 100), job)
p = start(store.path, "load")
wait_for(10, lambda: minds(p.pid, signal.SIGTERM) and asks(p.pid))
p.terminate()
out, err = p.communicate(timeout=30 * SCALE)
check(p.returncode == 1 and b"cancelled" in out and store.files() == clean,
      "SIGTERM while the client says nothing", (p.returncode, out, err))

# ---- SIGKILL of the process that takes the archive apart
def children(pid):
    with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
        return [int(kid) for kid in f.read().split()]


p = start(store.path, "load")
wait_for(10, lambda: children(p.pid))
for kid in children(p.pid):
    os.kill(kid, signal.SIGKILL)
out, err = p.communicate(timeout=30 * SCALE)
check(p.returncode == 1 and b"reads the archive was killed by signal 9" in out and
      store.files() == clean, "kill -9 of the reader: says so, cleans up", (p.returncode, out, err))

# ---- the reader of the progress goes away
r, w = os.pipe()
os.close(r)
with open(archive, "rb") as f:
    p = start(store.path, "load", stdin=f, stdout=w)
    os.close(w)
    err = p.communicate()[1]
check(p.returncode == 0 and store.names() == ["docker.io/library/test:1"],
      "nobody reads the progress: the load ends well", (p.returncode, err))
store("delete", "sha256:" + os.listdir(store.path + "/records")[0][:64])

# ---- full disks of every size
small_archive = T + "/small.tar"
with open(small_archive, "wb") as f:
    f.write(docker_archive([many(60, 3000), small]))
full = Store("full")
os.mkdir(full.path)
if run("mount", "-t", "tmpfs", "-o", "size=64k", "none", full.path).rc != 0:
    skip("full disks", "cannot mount a tmpfs")
else:
    for option, sizes in (("size=%dk", range(24, 1000, 36)), ("nr_inodes=%d", range(3, 160, 5))):
        bad, ends = [], set()
        for n in sizes:
            run("umount", full.path)
            run("mount", "-t", "tmpfs", "-o", "size=100m," + option % n if "inodes" in option
                else option % n, "none", full.path)
            made = full("check").rc == 0
            before = full.files()
            with open(small_archive, "rb") as f:
                job = full("load", data=f)
            ends.add(job.rc)
            if job.rc == 1:
                if "No space left" not in job.error or (made and full.files() != before):
                    bad.append("%s: %r, left: %s" % (option % n, job, set(full.files()) - set(before)))
            if made and (full("verify").aux or {}).get("Found", 1) != 0 and \
                    "No space" not in full("verify").error:
                bad.append("%s: %r" % (option % n, full("verify")))
            if job.rc == 1:
                continue
            if full("delete", job.id).rc != 0 or full("check").aux is None:
                bad.append("%s: cannot delete" % (option % n))
        check(not bad and ends == {0, 1},
              "tmpfs with %s of %d..%d: loaded, or told and nothing left" % (
                  option.split("=")[0], sizes[0], sizes[-1]), "\n".join(bad[:5]))
    run("umount", full.path)
run("umount", store.path)
store("check")

# ---- jobs that meet
ps = []
for _ in range(4):
    f = open(archive, "rb")
    ps.append(start(store.path, "load", stdin=f))
    f.close()
jobs = []
threads = [threading.Thread(target=lambda p=p: jobs.append(
    Job(p.returncode, *[x if i == 0 else x.decode() for i, x in enumerate(p.communicate())])))
    for p in ps]
for t in threads:
    t.start()
for t in threads:
    t.join()
check(all(p.returncode == 0 for p in ps) and len({j.id for j in jobs}) == 1,
      "four loads of one image at once", jobs)
unpacked = [j for j in jobs if any(li.get("status") == "Loading layer" for li in j.lines)]
layers = sum(li.get("progressDetail", {}).get("current") == 0 for j in jobs for li in j.lines)
is_(layers, 2, "unpack each of its two layers once")
check(paths(store.fs(jobs[0].id, 0)) == want, "which is complete")
job = store("check")
is_(job.aux["Removed"], dict.fromkeys(("Records", "Names", "Blobs", "Layers", "Jobs"), 0),
    "and leave nothing for check")
store("delete", jobs[0].id)

# loads, deletes, checks and tags of images that share layers, all at once
variants = [docker_archive([small, many(50 * i)], name="v%d" % i) for i in (1, 2, 3)]
stop, wrong = time.monotonic() + 6 * SCALE, []


def churn(i):
    while time.monotonic() < stop:
        job = store("load", data=variants[i])
        if job.rc != 0:
            wrong.append(job)
            break
        for verb, args in (("tag", (job.id, "again%d" % i)), ("untag", ("again%d" % i,)),
                           ("check", ()), ("delete", (job.id,))):
            j = store(verb, *args)
            if j.rc != 0:
                wrong.append((verb, j))


threads = [threading.Thread(target=churn, args=(i,)) for i in range(3)]
for t in threads:
    t.start()
for t in threads:
    t.join()
check(not wrong, "loads, tags, checks and deletes at once", wrong[:3])
store("check")
is_(store.files(), clean, "end with an empty store")

# a check leaves a running job alone
with open(archive, "rb") as f:
    data = f.read()
p = start(store.path, "load")
p.stdin.write(data[:len(data) // 2])
p.stdin.flush()
is_(store("check").aux["Removed"]["Jobs"], 0, "check leaves a running job alone")
p.stdin.write(data[len(data) // 2:])
out, err = p.communicate()
check(p.returncode == 0, "which then ends well", out)

# ---- damage
index = store.path + "/images/index.json"
with open(index) as f:
    text = f.read()
with open(index, "w") as f:
    f.write("{broken")
before = store.files()
for verb, args in (("check", ()), ("delete", (Job(0, out, "").id,)), ("tag", (Job(0, out, "").id, "x"))):
    job = store(verb, *args)
    check(job.rc == 1 and "index.json" in job.error and store.files() == before,
          "%s with a broken index.json: says so, touches nothing" % verb, job)
with open(index, "w") as f:
    f.write(text)
is_(store("delete", Job(0, out, "").id).rc, 0, "the index is back: delete works")
finish()
