#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
#
# Images whose /proc, /sys, /dev, /etc, /run, users and groups are not what they
# should be: a start works inside the container or fails with a reason; nothing
# of the host is read or written, and nothing hangs.
import os, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/..")
from lib import *
import io
import itertools
import tarfile

need_root()
need_program("isolad", "isola-keeper", "isola-image", "ctrctl")
d = start_isolad()
if not d:
    not_ok("isolad starts")
    finish()
OUT = T + "/out"                        # on the host; images point at it
UP = "../" * 40
for sub in ("proc/self/attr", "sys/fs/cgroup", "dev/pts", "dev/shm", "dev/mqueue", "etc", "run"):
    os.makedirs(OUT + "/" + sub)
for path in ("dev/null", "dev/zero", "dev/console", "etc/hosts", "etc/hostname",
             "etc/resolv.conf", "etc/passwd", "etc/group", "victim"):
    with open(OUT + "/" + path, "w") as f:
        f.write("root:x:0:0:" if path.endswith("passwd") else "host's\n")


def snapshot():
    """Names, kinds, owners and contents below OUT, and of what a host would lose."""
    found = []
    for folder, dirs, files in os.walk(OUT):
        for name in dirs + files:
            path = folder + "/" + name
            st = os.lstat(path)
            found.append((path, st.st_mode, st.st_uid, st.st_gid, st.st_rdev, st.st_mtime_ns))
    for path in ("/dev/null", "/dev/zero", "/dev/full", "/etc/passwd", "/etc/group", "/etc/hosts",
                 "/etc/resolv.conf", "/etc/hostname"):
        if os.path.lexists(path):
            st = os.lstat(path)
            found.append((path, st.st_mode, st.st_uid, st.st_gid, st.st_rdev))
    with open("/proc/self/mountinfo") as f:
        found += [line for line in f if OUT in line]
    with open("/proc/sys/kernel/core_pattern") as f:
        found.append(f.read())
    return found


numbers = itertools.count(1)


def image(**changed):
    """An image with CHANGED names ("__" is a slash): bytes, ("link", to),
    ("fifo",), ("char", major, minor), ("dir",), ("size", n), or None: missing."""
    name = "i%d" % next(numbers)
    changed = {k.replace("__", "/"): v for k, v in changed.items()}
    with tarfile.open(T + "/base.tar") as base, tarfile.open(T + "/root.tar", "w") as tar:
        for t in base:
            if not any(t.name == k or t.name.startswith(k + "/") for k in changed):
                tar.addfile(t, base.extractfile(t) if t.isreg() else None)
        for path, what in changed.items():
            t = tarfile.TarInfo(path)
            t.mode = 0o755
            data = None
            if what is None:
                continue
            if isinstance(what, bytes):
                t.size, data = len(what), io.BytesIO(what)
            elif what[0] == "link":
                t.type, t.linkname = tarfile.SYMTYPE, what[1]
            elif what[0] == "fifo":
                t.type = tarfile.FIFOTYPE
            elif what[0] == "char":
                t.type, t.devmajor, t.devminor = tarfile.CHRTYPE, what[1], what[2]
            elif what[0] == "dir":
                t.type = tarfile.DIRTYPE
            else:
                t.size, data = what[1], open("/dev/zero", "rb")
            tar.addfile(t, data)
    r = d.ctr("import", T + "/root.tar", name)
    if r.rc:
        not_ok("%s is imported" % name, r)
    return name


busybox_tar(T + "/base.tar")
image()
d.ctr("run", "--rm", "i1", "true")
before = snapshot()
leak_mark()

# ----------------------------------------------------------- folders of the kernel

CHECK = "test -c /dev/null && echo null; test -d /proc/1 && echo proc; echo x >/dev/null; " \
        "grep -q ' /proc proc ' /proc/mounts && echo mounted; exit 5"
bad, ran, why = [], [], []
modes = itertools.cycle(([], ["--userns", "host"], ["-t"], ["--privileged"], []))


def start(what, times, **changed):
    """Starts an image with CHANGED, in one mode after the other. It has to run as
    always, or to be refused."""
    name = image(**changed)
    for more in [next(modes) for _ in range(times)]:
        r = d.ctr("run", "--rm", *more, name, "sh", "-c", CHECK)
        good = r.rc == 5 and r.out.split() == ["null", "proc", "mounted"]
        refused = r.rc not in (0, 5, 124) and "cannot start the container" in r.err
        if not good and not refused or snapshot() != before:
            bad.append((what, more, r))
        (ran if good else why).append((what, *more))
    d.ctr("rmi", "-f", name)


for folder in ("proc", "sys", "dev", "etc", "run"):
    for to in (UP + OUT[1:] + "/" + folder, "/proc/self/fd/7", "/etc"):
        start(folder + " -> " + to, 2, **{folder: ("link", to)})
    start("a file " + folder, 2, **{folder: b"text"})
    start("no " + folder, 2, **{folder: None})
is_(bad, [], "kernel folders as links and files: %d ran, %d were refused" % (len(ran), len(why)))
bad, ran, why = [], [], []
for node in ("dev/null", "dev/zero", "dev/pts", "dev/shm", "dev/mqueue", "dev/ptmx", "dev/console",
             "dev/fd", "etc/hosts", "etc/hostname", "etc/resolv.conf", "sys/fs/cgroup", "proc/self",
             "proc/sys"):
    host = UP + OUT[1:] + "/" + node if os.path.lexists(OUT + "/" + node) else UP + OUT[1:] + "/victim"
    for what in (("link", host), ("link", "/proc/self/fd/3"), ("fifo",), ("dir",)):
        if what[0] == "dir" and "." not in node and node.startswith("etc"):
            continue
        start("%s: %s" % (node, " ".join(what)), 1, **{node: what})
is_(bad, [], "their entries as links, pipes, folders: %d ran, %d were refused"
    % (len(ran), len(why)))
is_(sorted(set(w[0] for w in ran)) and snapshot(), before, "the host is as it was")
with open("/dev/null") as f:
    is_(f.read(), "", "the host's /dev/null too")

# Nodes an image brings cannot be opened, whatever they are called.
r = d.ctr("run", "--rm", image(mem=("char", 1, 1), disk=("char", 8, 0), null=("char", 1, 3)),
          "sh", "-c", "cat /mem /disk >/x && echo read; (echo x >/mem) && echo written; exit 5")
check("read" not in r.out and "written" not in r.out, "device nodes of an image stay shut", r)

# --------------------------------------------------------------- users and groups

PASSWD = b"root:x:0:0:root:/root:/bin/sh\n1000:x:0:0::/:/bin/sh\nbad:x:99999999999:0::/:\n" \
         b"neg:x:-1:-1::/:\nempty:x:::/:\nhex:x:0x10:0::/:\nplus:x:+7:0::/:\nbob:x:7:8::/home:\n"
ODD = {"a pipe": ("fifo",), "a device": ("char", 1, 5), "a folder": ("dir",),
       "256 MB": ("size", 256 << 20), "a link to a device": ("link", "/dev/zero"),
       "a link to itself": ("link", "passwd"), "a link through /proc": ("link", "/proc/self/fd/0")}
for what, entry in ODD.items():
    if what == "256 MB":
        big = os.statvfs(T)
        if big.f_bavail * big.f_frsize < 1 << 30 or SCALE > 1:
            skip("passwd is 256 MB", "needs 1 GB of disk, and time")
            continue
    name = image(etc__passwd=entry, etc__group=b"root:x:0:\n")
    begin = time.monotonic()
    r = d.ctr("run", "--rm", "-u", "bob", name, "id", "-u")
    check(r.rc not in (0, 124) and "/etc/passwd" in r.err, "passwd is %s: a name is refused" % what, r)
    r = d.ctr("run", "--rm", "-u", "7:8", name, "sh", "-c", "id -u; id -g")
    check((r.rc, r.out) == (0, "7\n8\n") or "/etc/passwd" in r.err, "numbers are taken, or it is told", r)
    r = d.ctr("run", "--rm", name, "sh", "-c", "exit 5")
    is_(r.rc, 5, "and without a user it runs")
    check(time.monotonic() - begin < 15 * SCALE, "at once", "%.1f s" % (time.monotonic() - begin))
    d.ctr("rmi", "-f", name)
name = image(etc__passwd=PASSWD, etc__group=b"root:x:0:\n1000:x:0:\nwheel:x:10:bob,1000\n")
for user, want in (("1000", "1000 0"), ("bob", "7 8"), ("bob:wheel", "7 10"), ("1000:1000", "1000 1000"),
                   ("0", "0 0"), ("4294967294", None), ("4294967295", None), ("4294967296", None),
                   ("-1", None), ("bad", None), ("neg", None), ("empty", None), ("hex", None),
                   ("plus", None), ("root:none", None), ("nobody-here", None), ("0x0", None),
                   (" 0", None), ("bob:", None), ("01000", None)):
    r = d.ctr("run", "--rm", "-u", user, name, "sh", "-c", "echo $(id -u) $(id -g)")
    if want is None:
        check(r.rc not in (0, 124) and r.out == "", "user %r is refused" % user, r)
    else:
        check((r.rc, r.out) == (0, want + "\n"), "user %r is %s" % (user, want), r)

for name in d.ctr("images", "-q").out.split():
    d.ctr("rmi", "-f", name)
is_(snapshot(), before, "the host is still as it was")
leak_check()
stop_isolad()
finish()
