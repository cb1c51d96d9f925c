#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# not in the lab: mkfs.erofs is the same program everywhere, and no kernel of ours is asked
# time limit: 120 s
"""Root images: an image's merged tree in one EROFS file. What is in it, made once, gone with
its image, checked and made again; kills, full disks; what mkfs.erofs may do meanwhile."""
import fcntl
import os
import re
import shutil
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from imagelib import *                              # noqa: F401,F403,E402

need_root()
need_program("isola-image")
if not shutil.which("mkfs.erofs"):
    skip_all("needs mkfs.erofs (package erofs-utils)")
store = Store()
os.mkdir(store.path)
run("mount", "-t", "tmpfs", "none", store.path)     # many syncs: spare the disk
store("check")
clean = store.files()
# it lives with a layer's folder, and goes with it
own = (b"root.erofs", b"root.json", b"root.lock")

CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")
base = tar(folder("etc", mode=0o751, uid=3, gid=4), file("etc/passwd", b"root"), folder("gone"),
           file("gone/x"), folder("opaque"), file("opaque/old"), file("replaced", b"old"),
           file("hidden", b"s" * 5000, mode=0, uid=5, gid=6), hardlink("other", "hidden"),
           symlink("link", "etc/passwd"), symlink("out", "/../../../etc/shadow"),
           entry("zero", b"3", dev=(1, 5)), entry("disk", b"4", dev=(8, 0)), entry("fifo", b"6"),
           file("setid", b"x", mode=0o6755), folder("private", mode=0o700, uid=1000),
           file("private/in", b"q" * 4097, mode=0o600, uid=1000, mtime=1234567890),
           file("attributes", b"z", xattrs=[(b"user.k", b"v"),
                                            (b"security.capability", CAPABILITY)]),
           file("n" * 250, b"long"), file("new\nline", b""), file("odd\xff", b"1"))
top = tar(file(".wh.gone", b""), folder("opaque"), file("opaque/.wh..wh..opq", b""),
          file("opaque/new", b"n"), file("replaced", b"new"), file("empty", b""))


def load(*layers, name="test:1"):
    job = store("load", data=docker_archive(list(layers), name=name))
    if job.rc != 0:
        raise RuntimeError("cannot load %s: %r" % (name, job))
    return job.id


def root_of(image):
    return os.path.dirname(store.fs(image)) + "/root.erofs"


def verified(what, found=0, *args):
    job = store("verify", *args)
    check(job.rc == 0 and job.aux["Found"] == found, "verify: %s" % what, job)
    return (job.aux or {}).get("Problems", [])


# ---- what is in it
image = load(base, top)
job = store("root", image)
made = job.aux or {}
check(job.rc == 0 and made.get("Made") is True and made["ID"] == image, "a root image is made", job)
with open(root_of(image), "rb") as f:
    data = f.read()
st = os.stat(root_of(image))
check((sha256(data), len(data)) == (made["Digest"], made["Size"]) and len(data) % (2 << 20) == 0,
      "its digest and size are told, and it is padded", (made, len(data)))
check((st.st_uid, st.st_gid, st.st_mode & 0o7777, st.st_nlink) == (0, 0, 0o400, 1),
      "it is root's, and nobody can write to it", st)
with open(root_of(image)[:-5] + "json") as f:
    check(json.load(f) == {"version": 1, "digest": made["Digest"], "size": made["Size"]},
          "its digest is on record")

at = T + "/tree"
os.mkdir(at)
want = tree(store.fs(image, 0))
upper = tree(store.fs(image, 1))
for p in ("gone", "gone/x", "opaque/old"):
    del want[p]
want.update({p: look for p, look in upper.items() if not is_whiteout(look)})
for seen in want.values():
    seen.pop("xattrs", None)
want["attributes"]["xattrs"] = {"user.k": b"v", "security.capability": CAPABILITY}
with open("/proc/filesystems") as f:
    mounts = "\terofs\n" in f.read() and run("mount", "-o", "loop,ro", root_of(image), at).rc == 0
if mounts:
    got = tree(at)
    check(os.stat(at + "/other").st_nlink == 2 and
          os.stat(at + "/other").st_ino == os.stat(at + "/hidden").st_ino, "hard links are links")
    run("umount", at)
    check(got == want, "the tree is the merged one of its layers, with all attributes",
          [(p, got.get(p), want.get(p)) for p in sorted(set(got) | set(want))
           if got.get(p) != want.get(p)])
else:
    diag("this kernel mounts no EROFS: files are compared, but not all of their attributes")
    run("fsck.erofs", "--extract=" + at, "--force", root_of(image))
    got = {p: (s["kind"], s.get("data"), s.get("target")) for p, s in tree(at).items()}
    check(got == {p: (s["kind"], s.get("data"), s.get("target")) for p, s in want.items()},
          "the tree is the merged one of its layers", sorted(got))
verified("nothing to say of it")

# ---- what every root has lies lowest
os.makedirs(store.path + "/base/proc")
os.unlink(root_of(image))
again = store("root", image)
shutil.rmtree(store.path + "/base")
found = run("dump.erofs", "--path=/proc", root_of(image))
check(again.rc == 0 and "directory" in found.out, "folders that every root has", (again, found))

# ---- once
again = store("root", image)
check(again.rc == 0 and again.aux["Made"] is False, "the second time it is there", again)
os.unlink(root_of(image))
jobs = [start(store.path, "root", image) for _ in range(4)]
ends = [Job(p.returncode, out, err.decode()) for p, (out, err) in
        ((p, p.communicate(timeout=60 * SCALE)) for p in jobs)]
check([e.rc for e in ends] == [0] * 4 and sorted(e.aux["Made"] for e in ends) ==
      [False, False, False, True] and len({e.aux["Digest"] for e in ends}) == 1,
      "four at once: one makes it, and all have it", ends)

# ---- the check, and repair
with open(root_of(image), "r+b") as f:
    f.seek(4096)
    f.write(b"damage")
said = verified("a byte that is not as it was", 1)
check(said and said[0]["Kind"] == "root" and not said[0]["Repaired"] and
      os.path.exists(root_of(image)), "it is told, and stays", said)
said = verified("with --repair", 1, "--repair")
check(said and said[0]["Repaired"] and not os.path.exists(root_of(image)),
      "it is removed, as it can be made again", said)
verified("nothing left")
again = store("root", image)
check(again.rc == 0 and again.aux["Made"], "and is made again", again)
os.unlink(root_of(image)[:-5] + "json")
said = verified("one without its digest", 1, "--repair")
check(store("root", image).aux["Made"], "that is made again, too", said)
with open(store.fs(image, 0) + "/etc/passwd", "w") as f:
    f.write("evil")
said = verified("of a layer that was damaged", 2, "--deep", "--repair")
check(sorted(p["Kind"] for p in said) == ["layer", "root"] and not os.path.exists(root_of(image)),
      "what was made of it is not trusted either", said)
verified("repaired", 0, "--deep")
shutil.rmtree(store.path + "/quarantine")

# ---- with its image
one = load(base, name="test:2")
for i in (one, image):
    job = store("root", i)
    check(job.rc == 0, "root images of two images that share a layer", job)
job = store("delete", one)
check(job.rc == 0 and job.aux["Freed"] >= made["Size"] and os.path.exists(root_of(image)) and
      len([p for p in store.files() if p.endswith(b"root.erofs")]) == 1,
      "the one goes with its image, though its layer stays", job)
lock = open(root_of(image)[:-5] + "lock", "rb")
os.unlink(root_of(image))
fcntl.flock(lock, fcntl.LOCK_EX)
p = start(store.path, "root", image)
# it has its layers when it waits for the lock: a delete cannot take them
folder_of = os.path.dirname(store.fs(image))
check(wait_for(30, lambda: run("flock", "-n", folder_of, "true").rc != 0), "a job holds its layers")
job = store("delete", image)
lock.close()
out, err = p.communicate(timeout=60 * SCALE)
end = Job(p.returncode, out, err.decode())
check(job.rc == 0 and end.rc == 1 and "No such image" in end.error and store.files() == clean,
      "an image removed meanwhile: nothing is left", (job, end))
job = store("root", image)
check(job.rc == 1 and "No such image" in job.error, "of an image that is not there", job)
long = load(tar(file("n" * 255)), name="long:1")
job = store("root", long)
check(job.rc == 0 or "mkfs.erofs failed" in job.error, "mkfs.erofs 1.5 has no such long names", job)
store("delete", long)

# ---- kills at any moment
big = load(tar(*(file("f%d" % i, b"%d" % i) for i in range(1000))), name="big:1")
layer = os.path.dirname(store.fs(big))
before = store.files()
job = store("root", big)
took = 0
for _ in range(3):
    os.unlink(root_of(big))
    t0 = time.monotonic()
    store("root", big)
    took = max(took, time.monotonic() - t0)
bad, whole = [], 0
for i in range(20):
    if os.path.exists(root_of(big)):
        os.unlink(root_of(big))
    p = start(store.path, "root", big)
    time.sleep(took * (i + 1) / 20)
    p.send_signal(signal.SIGTERM if i % 3 == 2 else signal.SIGKILL)
    p.communicate(timeout=60 * SCALE)
    store("check")
    left = [f for f in store.files() if f not in before and os.path.basename(f) not in own]
    job = store("verify")
    whole += os.path.exists(root_of(big))
    if left or job.rc != 0 or job.aux["Found"]:
        bad.append("kill %d: %r %r" % (i, left, job))
check(not bad, "killed at 20 moments: all or nothing (%d were whole)" % whole, "\n".join(bad[:5]))

# ---- what it may do, seen while it runs
def mkfs_of(p):
    """The mkfs.erofs below process @p."""
    for line in run("ps", "-eo", "pid,ppid,comm").out.splitlines()[1:]:
        pid, _, name = line.split(None, 2)
        if name.startswith("mkfs.erofs") and is_below(int(pid), p.pid):
            return int(pid)
    return None


def is_below(pid, top):
    while pid > 1:
        if pid == top:
            return True
        try:
            with open("/proc/%d/stat" % pid) as f:
                pid = int(f.read().rsplit(")", 1)[1].split()[1])
        except OSError:
            return False
    return False


def catch(image):
    """A job whose mkfs.erofs is stopped: (job, its pid)."""
    for _ in range(50):
        if os.path.exists(root_of(image)):
            os.unlink(root_of(image))
        p = start(store.path, "root", image)
        pid = None
        while p.poll() is None and not pid:
            pid = mkfs_of(p)
        try:
            if pid:
                os.kill(pid, signal.SIGSTOP)
        except OSError:
            pid = None
        if pid and os.path.exists("/proc/%d/exe" % pid):
            return p, pid
        p.communicate(timeout=60 * SCALE)
    raise RuntimeError("mkfs.erofs was never seen")


def is_gone(pid):
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rsplit(")", 1)[1].split()[0] in "ZX"
    except OSError:
        return True


huge = load(tar(file("huge", os.urandom(1 << 20) * 100)), name="huge:1")
p, pid = catch(huge)
with open("/proc/%d/status" % pid) as f:
    status = dict(re.findall(r"(\w+):[ \t]*(.*)", f.read()))
check(status["Uid"].split() == ["65534"] * 4 and status["Groups"].strip() == "",
      "it is nobody", status)
check([int(status["Cap" + s], 16) for s in ("Prm", "Eff", "Bnd", "Inh", "Amb")] == [4] * 5,
      "it can read every file (CAP_DAC_READ_SEARCH), and has no other capability", status)
check(status["NoNewPrivs"] == "1" and status["Seccomp"] == "2" and status["NSpid"].split()[-1] == "1",
      "no new privileges, a seccomp filter, PID 1 of a namespace", status)
same = [n for n in ("mnt", "net", "ipc", "uts", "pid")
        if os.readlink("/proc/%d/ns/%s" % (pid, n)) == os.readlink("/proc/self/ns/" + n)]
check(not same, "namespaces of its own", same)
there = sorted(os.listdir("/proc/%d/root" % pid))
with open("/proc/%d/mountinfo" % pid) as f:
    points = {line.split()[4]: line.split()[5].split(",") for line in f}
check(set(there) <= {"bin", "lib", "lib32", "lib64", "none", "out", "sbin", "tree", "usr"} and
      set(points) == {"/", "/tree", "/usr", "/out"}, "nothing else of the host is there",
      (there, points))
check(all("nodev" in o and "nosuid" in o and ("ro" in o) == (m != "/out")
          for m, o in points.items()) and "noexec" in points["/out"] and
      "noexec" in points["/tree"], "it can write to one folder alone", points)
fds = open_files(pid)
check(not [f for f in fds.values() if "socket" in f or store.path in f], "no descriptor of the job", fds)
with open("/proc/%d/limits" % pid) as f:
    limits = f.read()
check(re.search(r"Max cpu time +900 ", limits) and re.search(r"Max core file size +0 ", limits) and
      not re.search(r"Max (address space|file size) +unlimited", limits), "limits", limits)
p.kill()
p.communicate(timeout=60 * SCALE)
check(wait_for(30, is_gone, pid), "killed with its job")
store("check")
p, pid = catch(huge)
p.terminate()
out, _ = p.communicate(timeout=60 * SCALE)
end = Job(p.returncode, out, "")
check(end.rc == 1 and "cancelled" in end.error and is_gone(pid) and
      not os.listdir(store.path + "/tmp"), "ended with its job, and nothing is left", end)
p, pid = catch(huge)
os.kill(pid, signal.SIGKILL)
out, _ = p.communicate(timeout=60 * SCALE)
end = Job(p.returncode, out, "")
check(end.rc == 1 and "killed by signal 9" in end.error and not os.path.exists(root_of(huge)),
      "one that dies is told of", end)

# ---- no room
for i in (huge, big):
    store("delete", i)
check(store.files() == clean, "everything is gone with the images")
many = load(tar(*(file("f%d" % i, b"%d" % i) for i in range(6000))), name="many:1")
wide = load(tar(file("huge", b"\0" * (64 << 20))), name="wide:1")
run("mount", "-o", "remount,size=%d" % ((90 << 20) + 12000 * 4096), store.path)
fill = open(store.path + "/fill", "wb")
fs = os.statvfs(store.path)
os.posix_fallocate(fill.fileno(), 0, (fs.f_bavail - 5000) * fs.f_bsize)     # 20 MB are left
state = store.files()
job = store("root", many)
left = [f for f in store.files() if f not in state and os.path.basename(f) != b"root.lock"]
check(job.rc == 1 and "the disk is full" in job.error and job.lines[-1]["errno"] == 28 and not left,
      "the disk is full in the middle: an error, nothing left", (job, left))
job = store("root", wide)
check(job.rc == 1 and "no room" in job.error, "a disk that is too small is not filled", job)
fill.close()
os.unlink(store.path + "/fill")
job = store("root", many)
check(job.rc == 0, "with room again", job)
job = store("root", "--max-bytes", "30m", wide)
check(job.rc == 1 and "more than" in job.error, "larger than what is allowed", job)
verified("at the end")
run("umount", store.path)
finish()
