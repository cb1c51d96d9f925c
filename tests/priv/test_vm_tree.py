# SPDX-License-Identifier: Apache-2.0
# A container's root as a guest's: the container library makes it, virtiofsd serves it in
# the container's user namespace, and what a guest does there looks on the disk as if a
# container had done it (tree_holder.c; fuseguest.py plays the guest).
# time limit: 60 s
import errno
import json
import os
import socket
import stat
import subprocess
import sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/..")
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fuseguest import FuseGuest
from lib import *

need_root()
HOLDER = BUILD + "/tests/priv/tree_holder"
if not os.access(HOLDER, os.X_OK):
    skip_all("tree_holder is not built")
if not any(os.access(p, os.X_OK) for p in ("/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd")):
    skip_all("there is no virtiofsd (package virtiofsd or qemu-system-common)")
BASE = 200000
leak_mark()


class Tree:
    """A container over the layers l0 (top) and l1, and a guest that has its root."""
    count = 0

    def __init__(self, mounts=(), readonly=False, userns=True):
        Tree.count += 1
        self.dir = "%s/t%d" % (T, Tree.count)
        for name in ("l0/etc", "l1/etc", "l1/tmp", "l1/proc", "l1/vol", "l1/bin", "rw/upper",
                     "rw/work", "run"):
            os.makedirs(self.dir + "/" + name)
        # Nothing is executed; a program has to be there all the same.
        with open(self.dir + "/l1/bin/true", "w") as f:
            f.write("#!/bin/true\n")
        os.chmod(self.dir + "/l1/bin/true", 0o755)
        os.chmod(self.dir + "/l1/tmp", 0o1777)
        for layer, name, text in (("l1", "etc/lower", "lower\n"), ("l0", "etc/both", "top\n"),
                                  ("l1", "etc/both", "bottom\n")):
            with open("%s/%s/%s" % (self.dir, layer, name), "w") as f:
                f.write(text)
        os.chown(self.dir + "/l1/etc/lower", 5, 6)
        namespaces = ["mount", "pid", "network", "ipc", "uts"] + ["user"] * userns
        linux = {"namespaces": [{"type": n} for n in namespaces]}
        if userns:
            for key in ("uidMappings", "gidMappings"):
                linux[key] = [{"containerID": 0, "hostID": BASE, "size": 65536}]
        spec = {"ociVersion": "1.0.2", "root": {"path": "unused", "readonly": readonly},
                "process": {"user": {"uid": 0, "gid": 0}, "cwd": "/", "args": ["/bin/true"]},
                "mounts": list(mounts), "linux": linux}
        with open(self.dir + "/run/config.json", "w") as f:
            json.dump(spec, f)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.link = ours
        ours.settimeout(30 * SCALE)
        where = self.dir + "/"
        self.errors = open(where + "errors", "w+")
        self.process = subprocess.Popen(
            [HOLDER, where + "run", "/%s/tree%d" % (CGROUP, Tree.count), where + "l0",
             where + "l1", where + "rw/upper", where + "rw/work"], stdin=theirs,
            stderr=self.errors)
        theirs.close()
        data, fds, _, _ = socket.recv_fds(ours, 100, 1)
        if not fds:
            not_ok("virtiofsd serves the root", self.said())
            finish()
        self.helper, self.root = map(int, data.split())
        self.fs = FuseGuest(socket.socket(fileno=fds[0]), 30 * SCALE)

    def said(self):
        self.errors.seek(0)
        return self.errors.read()

    def upper(self, name):
        return os.lstat(self.dir + "/rw/upper/" + name)

    def end(self):
        self.link.close()
        rc = self.process.wait(30 * SCALE)
        is_(rc, 0, "all of it goes", self.said())
        self.errors.close()


def fails(want, what, *args, **kw):
    try:
        what(*args, **kw)
    except OSError as e:
        return e.errno == want
    return False


# ------------------------------------------------------------------------- the root
t = Tree()
fs = t.fs
check(t.root > 0, "virtiofsd is there, and the holder has gone", t.said())
is_(fs.read("/etc/lower"), b"lower\n", "a file of the lowest layer can be read")
is_(fs.read("/etc/both"), b"top\n", "the upper of two layers counts")
_, a = fs.lookup("/etc/lower")
is_((a.uid, a.gid), (5, 6), "files have the image's owners")
is_(fs.write("/new", b"from the guest\n"), 15, "the guest's root writes a file")
fs.mkdir("/folder", 0o750)
fs.chown("/folder", 7, 8)
fs.write("/folder/theirs", b"x", uid=7, gid=8)
fs.symlink("/link", "../../etc/passwd")
fs.unlink("/etc/lower")
st = t.upper("new")
is_((st.st_uid, st.st_gid, stat.S_IMODE(st.st_mode)), (0, 0, 0o644), "on the disk it is root's")
is_((t.upper("folder").st_uid, t.upper("folder").st_gid), (7, 8), "a chown has the image's ids")
is_(t.upper("folder/theirs").st_uid, 7, "so has what another user of the guest makes")
st = t.upper("etc/lower")
check(stat.S_ISCHR(st.st_mode) and st.st_rdev == 0, "what it removes is a whiteout", st)
is_(os.readlink(t.dir + "/rw/upper/link"), "../../etc/passwd", "a link stays what it is")
check(fails(errno.ENOENT, fs.lookup, "/nothing"), "what is not there is not there")
check(fails(errno.EPERM, fs.mknod, "/device", stat.S_IFBLK | 0o600, os.makedev(8, 0)),
      "no device of the host can be made")
fs.mknod("/fifo", stat.S_IFIFO | 0o600)
check(stat.S_ISFIFO(t.upper("fifo").st_mode), "a fifo can")
with open("/proc/%d/root/new" % t.root) as f:
    is_(f.read(), "from the guest\n", "the host reaches the same files through its root")
with open("/proc/%d/uid_map" % t.root) as f:
    is_(f.read().split(), ["0", str(BASE), "65536"], "it has the container's ids, and no others")
with open("/proc/%d/status" % t.root) as f:
    uids = [line.split()[1:] for line in f if line.startswith("Uid:")]
is_(uids, [[str(BASE)] * 4], "its root is nobody on the host")
is_(sorted(os.listdir("/proc/%d/root" % t.root)),
    ["bin", "etc", "fifo", "folder", "link", "new", "proc", "tmp", "vol"],
    "and it sees nothing of the host")
t.end()
check(wait_for(10, lambda: not os.path.exists("/proc/%d" % t.root)), "virtiofsd ends with it")

# --------------------------------------------------------------------------- mounts
host = T + "/volume"
os.makedirs(host + "/sub")
os.chown(host, BASE + 3, BASE + 3)
os.makedirs(T + "/mapped")
os.makedirs(T + "/fixed")
with open(T + "/fixed/file", "w") as f:
    f.write("fixed\n")
t = Tree([{"destination": "/vol", "type": "bind", "source": host, "options": ["rbind"]},
          {"destination": "/made/on/the/way", "type": "bind", "source": T + "/fixed",
           "options": ["rbind", "ro"]},
          {"destination": "/idmapped", "type": "bind", "source": T + "/mapped",
           "options": ["rbind", "idmap"]}])
fs = t.fs
_, a = fs.lookup("/vol")
is_(a.uid, 3, "a bind is there, with the owner that a container sees")
check(a.flags & 1, "and it is a mount of its own for the guest", a.flags)
check(fails(errno.EACCES, fs.write, "/vol/sub/x", b"y"), "what no id of the container owns is safe")
is_(fs.read("/made/on/the/way/file"), b"fixed\n", "a place that the image lacks is made")
check(fails(errno.EROFS, fs.write, "/made/on/the/way/y", b"y"), "read-only binds are")
fs.write("/idmapped/mine", b"z")
is_(os.stat(T + "/mapped/mine").st_uid, 0, "an idmapped bind has the guest's ids on the disk")
t.end()

t = Tree(readonly=True)
check(fails(errno.EROFS, t.fs.write, "/new", b"x"), "a read-only root is")
is_(t.fs.read("/etc/both"), b"top\n", "and can be read")
t.end()

# ------------------------------------------------------------------------- a bad end
t = Tree()
t.process.kill()
t.process.wait()
check(wait_for(10, lambda: not os.path.exists("/proc/%d" % t.helper)),
      "virtiofsd dies with its keeper")
check(wait_for(10, lambda: not os.path.exists("/proc/%d" % t.root)), "its sandbox, too")
t.link.close()
t.errors.close()
os.rmdir("%s/%s/tree%d" % (cgroup2_root(), CGROUP, Tree.count))
leak_check()
finish()
