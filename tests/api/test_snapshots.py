# SPDX-License-Identifier: Apache-2.0
#
# Snapshots of volumes: taken, listed, put back, made volumes; what of a file is kept, what
# is shared (XFS and btrfs on a loop device), containers paused meanwhile, kills.
# time limit: 200 s
# not in the lab: file systems are made on loop devices, natively twice
import hashlib
import json
import os
import signal
import stat
import subprocess
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)) + "/..")
from lib import *
from wire import *

need_root()
need_program("isolad", "isola-keeper", "isola-image", "ctrctl")
d = start_isolad() or skip_all("isolad does not start")
load_image(d, busybox_tar(T + "/root.tar"))
remove(d, start(d, "true"))
leak_mark()


def ctr(*argv, **kw):
    return d.ctr(*argv, **kw)


def vol(*argv):
    return d.ctr("volume", *argv)


def good(name, got, out=None):
    return check(got.rc == 0 and (out is None or got.out == out), name, "wanted %r\n%s" % (out, got))


def bad(name, got, text, rc=1):
    return check(got.rc == rc and text in got.err, name, "wanted %d %r\n%s" % (rc, text, got))


def folder(daemon, name):
    return daemon.root + "/state/volumes/%s/_data" % name


def listing(root):
    """All that matters of a tree, by path."""
    found = {}
    inodes = {}
    for at, dirs, names in os.walk(root):
        for n in ["."] + sorted(dirs) + sorted(names):
            if n == "." and at != root:
                continue
            p = os.path.join(at, n)
            st = os.lstat(p)
            o = [stat.filemode(st.st_mode), st.st_uid, st.st_gid, st.st_mtime_ns]
            if stat.S_ISREG(st.st_mode):
                with open(p, "rb") as f:
                    o += [st.st_size, hashlib.sha256(f.read()).hexdigest()]
                if st.st_nlink > 1:
                    o.append(inodes.setdefault(st.st_ino, os.path.relpath(p, root)))
            elif stat.S_ISLNK(st.st_mode):
                o.append(os.readlink(p))
            elif stat.S_ISCHR(st.st_mode):
                o.append(st.st_rdev)
            if not stat.S_ISLNK(st.st_mode):
                o.append({k: os.getxattr(p, k) for k in os.listxattr(p)})
            found[os.path.relpath(p, root)] = o
    return found


def fill(root):
    os.makedirs(root + "/a/b")
    with open(root + "/a/file", "w") as f:
        f.write("x" * 70000)
    os.chown(root + "/a/file", 1000, 1001)
    os.chmod(root + "/a/file", 0o4751)
    os.setxattr(root + "/a/file", "user.note", b"kept")
    os.setxattr(root + "/a/file", "security.capability",
                bytes.fromhex("0100000200200000000000000000000000000000"))
    os.link(root + "/a/file", root + "/a/b/other")
    os.symlink("/etc/passwd", root + "/link")
    os.chown(root + "/link", 5, 6, follow_symlinks=False)
    os.mkfifo(root + "/fifo", 0o600)
    os.mknod(root + "/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    with open(root + "/sparse", "wb") as f:
        f.truncate(64 << 20)
        f.seek(10 << 20)
        f.write(b"middle")
    with open(root + "/empty", "w"):
        pass
    os.chown(root + "/a", 7, 8)
    os.chmod(root + "/a", 0o3770)
    os.setxattr(root + "/a", "user.dir", b"d")
    os.utime(root + "/a", ns=(10 ** 18, 10 ** 18 + 123456789))
    os.chown(root, 9, 9)
    os.utime(root, ns=(10 ** 18, 10 ** 18 + 1))


# ------------------------------------------------------------------ the same files
good("a volume", vol("create", "data", "--label", "x=y"))
fill(folder(d, "data"))
want = listing(folder(d, "data"))
good("a snapshot is taken", vol("snapshot", "data", "s1"), "s1\n")
is_(listing(T + "/state/volumes/data/snapshots/s1/_data"), want, "it has all of every file")
check(os.stat(T + "/state/volumes/data/snapshots/s1/_data/sparse").st_blocks * 512 < 1 << 20,
      "holes are kept")
bad("the same name again", vol("snapshot", "data", "s1"), "has a snapshot s1 already")
bad("an odd name", vol("snapshot", "data", "../x"), "is no name")
bad("of no volume", vol("snapshot", "nothing", "s1"), "no such volume")
bad("too few words", vol("snapshot", "data", "a", "b"), "say:", 125)
o = d.request("GET", "/volumes/data/snapshots")[2]["Snapshots"][0]
is_((o["Name"], o["Volume"], sorted(o)), ("s1", "data", ["CreatedAt", "Name", "SharedBytes", "Size", "Volume"]),
    "the API's list")
good("snapshot ls", vol("snapshot", "ls", "data", "-q"), "s1\n")
like(vol("snapshot", "ls", "data").out, r"NAME +CREATED +SIZE +SHARED\ns1 ", "as a table")
good("a file changes", ctr("run", "--rm", "-v", "data:/d", "busybox", "sh", "-c", "echo new > /d/new; rm -r /d/a"))
good("a second snapshot", vol("snapshot", "data", "s2"))
good("the first is put back", vol("restore", "data", "s1"), "data\n")
is_(listing(folder(d, "data")), want, "it is all as it was")
good("the second", vol("restore", "data", "s2"))
is_((os.path.exists(folder(d, "data") + "/new"), os.path.exists(folder(d, "data") + "/a")), (True, False),
    "is put back")
bad("one that is not there", vol("restore", "data", "s3"), "has no snapshot s3")
good("a clone of a snapshot", vol("clone", "--snapshot", "s1", "-l", "k=v", "data", "twin"), "twin\n")
is_(listing(folder(d, "twin")), want, "has its files")
o = json.loads(vol("inspect", "twin").out)[0]
is_((o["Name"], o["Labels"]), ("twin", {"k": "v"}), "and is a volume of its own")
good("a clone of the volume", vol("clone", "data", "twin2"))
good("has its files", ctr("run", "--rm", "-v", "twin2:/d", "busybox", "cat", "/d/new"), "new\n")
bad("a clone to a name that is taken", vol("clone", "data", "twin"), "is a volume twin already")
d.stop(signal.SIGKILL)
d.start()
good("a new isolad knows them", vol("snapshot", "ls", "data", "-q"), "s1\ns2\n")
good("and the clones", vol("ls", "-q"), "data\ntwin\ntwin2\n")
good("snapshot rm", vol("snapshot", "rm", "data", "s2", "s1"), "s2\ns1\n")
bad("again", vol("snapshot", "rm", "data", "s1"), "has no snapshot s1")
good("none is left", vol("snapshot", "ls", "data", "-q"), "")
good("volumes go", vol("rm", "data", "twin", "twin2"))

# ------------------------------------------------------------------ hostile trees
def nest(levels):
    return ("cd /d && i=0; while [ $i -lt %d ]; do mkdir d && cd d || exit 1; i=$((i+1)); done; touch end"
            % levels)


good("a deep tree", ctr("run", "--rm", "-v", "deep:/d", "busybox", "sh", "-c", nest(1000)))
good("is copied", vol("snapshot", "deep", "s1"))
good("whole", vol("clone", "--snapshot", "s1", "deep", "deep2"))
good("to its end", ctr("run", "--rm", "-v", "deep2:/d", "busybox", "sh", "-c", "find /d | wc -l"), "1002\n")
good("another volume", vol("create", "deeper"))
at = os.open(folder(d, "deeper"), os.O_PATH)
for _ in range(1700):
    os.mkdir("d", dir_fd=at)
    below = os.open("d", os.O_PATH, dir_fd=at)
    os.close(at)
    at = below
os.close(at)
bad("one that is too deep is refused", vol("snapshot", "deeper", "s1"), "too deep")
good("and nothing is left of it", vol("snapshot", "ls", "-q", "deeper"), "")
good("they go", vol("rm", "deep", "deep2", "deeper"))

# --------------------------------------------------------------------- in use
good("a writer runs", ctr("run", "-d", "--name", "writer", "-v", "live:/d", "busybox", "sh", "-c",
                          "i=0; while :; do i=$((i+1)); echo $i > /d/a; echo $i > /d/b; done"))
check(wait_for(10, lambda: os.path.exists(folder(d, "live") + "/b")), "and writes")


def numbers(root):
    got = []
    for n in "ab":
        with open(root + "/" + n) as f:
            got.append(int(f.read() or -1))
    return got


apart = []
for i in range(5):
    got = vol("snapshot", "live", "n%d" % i)
    if got.rc:
        not_ok("a snapshot of a volume in use", got)
        break
    a, b = numbers(T + "/state/volumes/live/snapshots/n%d/_data" % i)
    # The shell may be stopped between the truncation and the write.
    if a not in (b, b + 1) and -1 not in (a, b):
        apart.append((a, b))
is_(apart, [], "no two files are of different times")
is_(d.request("GET", "/containers/writer/json")[2]["State"]["Status"], "running", "the writer goes on")
before = numbers(folder(d, "live"))
check(wait_for(10, lambda: numbers(folder(d, "live")) != before), "and writes again")
bad("restoring it while in use", vol("restore", "live", "n0"), "in use by the running container")
is_(d.request("POST", "/volumes/live/restore", {"Snapshot": "n0"})[0], 409, "is a conflict")
good("without a pause", vol("snapshot", "--pause=false", "live", "quick"))
good("a paused user is no obstacle", ctr("pause", "writer"))
good("nor is it resumed", vol("snapshot", "live", "still"))
is_(d.request("GET", "/containers/writer/json")[2]["State"]["Status"], "paused", "it is still paused")
bad("restoring it then", vol("restore", "live", "n0"), "in use by the running container")
good("an anonymous volume of a container with --rm", ctr("run", "-d", "--rm", "--name", "brief", "-v", "/d", "busybox",
     "sh", "-c", "for i in $(seq 2000); do echo > /d/$i; done; echo made; exec sleep 1000"))
check(wait_for(30, lambda: ctr("logs", "brief").out == "made\n"), "has its files")
own = json.loads(ctr("inspect", "brief").out)[0]["Mounts"][0]["Name"]


def held():
    """Stops a snapshot of it half-way: its process and the client's."""
    for i in range(20):
        p = subprocess.Popen([BUILD + "/ctrctl", "-H", "unix://" + d.socket, "volume", "snapshot", "--pause=false",
                              own, "s%d" % i], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while p.poll() is None:
            for pid in children_of(d.pid, "cp-clone"):
                os.kill(pid, signal.SIGSTOP)
                if wait_for(10, lambda: stat_of(pid)[0] == "T"):
                    return pid, p
    return None, p


def stat_of(pid):
    with open("/proc/%d/stat" % pid) as f:
        return f.read().rsplit(") ", 1)[1].split()


def children_of(pid, name):
    found = []
    for p in map(int, filter(str.isdigit, os.listdir("/proc"))):
        try:
            with open("/proc/%d/cmdline" % p) as f:
                if name in f.read() and stat_of(p)[1] == str(pid):
                    found.append(p)
        except OSError:
            pass
    return found


pid, p = held()
check(pid, "a snapshot of it is under way")
ctr("rm", "-f", "brief")
check(wait_for(30, lambda: "brief" not in ctr("ps", "-a").out), "when the container goes")
if pid:
    os.kill(pid, signal.SIGCONT)
p.wait()
check(wait_for(30, lambda: own not in vol("ls", "-q").out), "the volume goes, too, once the snapshot is over",
      vol("ls"))
good("stopped", ctr("rm", "-f", "writer"))
good("it can be restored", vol("restore", "live", "n0"))
good("a volume goes with its snapshots", vol("rm", "live"))
check(wait_for(10, lambda: not os.listdir(T + "/state/volumes")), "all of it",
      os.listdir(T + "/state/volumes"))

# ------------------------------------------------------------------ kills
good("a volume of many files", ctr("run", "--rm", "-v", "many:/d", "busybox", "sh", "-c",
                                   "cd /d; for i in $(seq 300); do echo $i > f$i; done; mkdir old"))
good("a snapshot of it", vol("snapshot", "many", "base"))
good("it changes", ctr("run", "--rm", "-v", "many:/d", "busybox", "sh", "-c", "rmdir /d/old; mkdir /d/new"))
good("a user runs", ctr("run", "-d", "--name", "user", "-v", "many:/d", "busybox", "sleep", "1000"))


def half():
    return [n for n in os.listdir(T + "/state/volumes") if n[0] == "."]


def kill_during(delay, *argv):
    p = subprocess.Popen([BUILD + "/ctrctl", "-H", "unix://" + d.socket, "volume", *argv],
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    threading.Event().wait(delay)
    d.stop(signal.SIGKILL)
    p.wait()
    d.start()
    return wait_for(20, lambda: not half())


for i, delay in enumerate((0, 0.01, 0.02, 0.04, 0.08)):
    check(kill_during(delay, "snapshot", "many", "k%d" % i), "killed %d: nothing half made is left" % i, half())
    path = T + "/state/volumes/many/snapshots/k%d" % i
    there = vol("snapshot", "ls", "many", "-q").out.split()
    whole = os.path.isdir(path) and len(os.listdir(path + "/_data")) == 301
    is_("k%d" % i in there, whole, "it is whole or not there")
    check(wait_for(10, lambda: d.request("GET", "/containers/user/json")[2]["State"]["Status"] == "running"),
          "the user runs on")
good("stopped", ctr("rm", "-f", "user"))
for i, delay in enumerate((0, 0.01, 0.02, 0.04, 0.08)):
    check(kill_during(delay, "restore", "many", "base"), "killed %d: nothing is left of a restore" % i, half())
    names = os.listdir(folder(d, "many"))
    is_((len(names), "old" in names), (301, "new" not in names), "it has the old files or the new")
for i, delay in enumerate((0, 0.01, 0.03)):
    check(kill_during(delay, "clone", "many", "cc%d" % i), "killed %d: nothing is left of a clone" % i, half())
    if "cc%d" % i in vol("ls", "-q").out.split():
        is_(len(os.listdir(folder(d, "cc%d" % i))), 301, "a clone is whole")
        good("it goes", vol("rm", "cc%d" % i))
good("it goes", vol("rm", "many"))
leak_check()

# ------------------------------------------------------------------ shared blocks
def on(kind, *mkfs):
    where = T + "/" + kind
    image = T + "/%s.img" % kind
    os.mkdir(where)
    with open(image, "wb") as f:
        f.truncate(400 << 20)
    got = run(*mkfs, image)
    if got.rc == 0:
        got = run("mount", "-o", "loop", image, where)
    if got.rc:
        skip("blocks are shared on " + kind, got.err.strip().split("\n")[-1] or "no mkfs")
        return
    try:
        other = Isolad(where)
        check(other.start(), "isolad on " + kind)
        good(kind + ": a volume", other.ctr("volume", "create", "data"))
        root = where + "/state/volumes/data/_data"
        fill(root)
        with open(root + "/big", "wb") as f:
            for _ in range(24):
                f.write(os.urandom(1 << 20))
        os.sync()
        want = listing(root)
        free = os.statvfs(where)
        good(kind + ": a snapshot", other.ctr("volume", "snapshot", "data", "one"))
        os.sync()
        now = os.statvfs(where)
        check((free.f_bfree - now.f_bfree) * now.f_frsize < 8 << 20, kind + ": it takes no second room",
              (free.f_bfree, now.f_bfree))
        o = other.request("GET", "/volumes/data/snapshots")[2]["Snapshots"][0]
        check(o["SharedBytes"] >= 24 << 20, kind + ": and says so", o)
        is_(listing(where + "/state/volumes/data/snapshots/one/_data"), want, kind + ": the same files")
        with open(root + "/big", "r+b") as f:
            f.write(b"changed")
        good(kind + ": put back", other.ctr("volume", "restore", "data", "one"))
        is_(listing(root), want, kind + ": as it was")
        other.stop()
    finally:
        run("umount", "-l", where)


on("xfs", "mkfs.xfs", "-q")
on("btrfs", "mkfs.btrfs", "-q")

stop_isolad()
finish()
