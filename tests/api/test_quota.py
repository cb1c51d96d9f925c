# SPDX-License-Identifier: Apache-2.0
#
# Sizes of volumes and writable layers: on an ext4 and an XFS with project quotas, where the
# kernel has them (the lab's has), and a clear error elsewhere.
# time limit: 180 s
import json
import os
import shutil
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)) + "/..")
from lib import *
from wire import *

need_root()
need_program("isolad", "isola-keeper", "isola-image", "ctrctl")
os.makedirs(T + "/plain")
if run("mount", "-t", "tmpfs", "none", T + "/plain").rc:
    skip_all("no tmpfs can be mounted")
TAR = busybox_tar(T + "/root.tar")


def good(name, got, out=None):
    return check(got.rc == 0 and (out is None or got.out == out), name, "wanted %r\n%s" % (out, got))


def bad(name, got, text, rc=1):
    return check(got.rc == rc and text in got.err, name, "wanted %d %r\n%s" % (rc, text, got))


# ------------------------------------------------------------- where there are none
p = Isolad(T + "/plain")
check(p.start(), "isolad on a tmpfs")
load_image(p, TAR)
bad("a volume with a size", p.ctr("volume", "create", "-o", "size=1m", "vv"), "prjquota")
is_(p.ctr("volume", "ls", "-q").out, "", "nothing is left of it")
bad("a layer with a size", p.ctr("create", "--storage-opt", "size=1m", "busybox", "true"), "prjquota", 125)
is_(p.ctr("ps", "-aq").out, "", "nothing is left of it")
bad("no size", p.ctr("volume", "create", "-o", "size=much", "vv"), "'much'")
bad("a tiny size", p.ctr("volume", "create", "-o", "size=1k", "vv"), "at least")
bad("another option", p.ctr("volume", "create", "-o", "type=nfs", "vv"), "'type'")
bad("no size of a layer", p.ctr("create", "--storage-opt", "size=-1", "busybox", "true"), "'-1'", 125)
bad("another option of it", p.ctr("create", "--storage-opt", "inodes=1", "busybox", "true"), "'inodes'", 125)
p.stop()
run("umount", "-l", T + "/plain")

# ---------------------------------------------------------------- where there are
run("modprobe", "-q", "quota_v2")
run("modprobe", "-q", "loop")
WRITE = "dd if=/dev/zero of=%s bs=64k count=%d 2>&1 | grep -o 'No space left on device\\|Disk quota exceeded' | head -1"
FILE_SYSTEMS = {
    "ext4": ("mkfs.ext4", "-q", "-O", "quota,project"),
    "XFS": ("mkfs.xfs", "-q"),
}
d = None


def disk_of(kind):
    """The path of a new file system with project quotas, mounted; None where there is none."""
    image, path = T + "/%s.img" % kind, T + "/" + kind
    os.mkdir(path)
    with open(image, "wb") as f:
        f.truncate(400 << 20)
    got = run(*FILE_SYSTEMS[kind], image) if shutil.which(FILE_SYSTEMS[kind][0]) else None
    if got and got.rc == 0:
        got = run("mount", "-o", "loop,prjquota", image, path)
    return path if got and got.rc == 0 else None


def ctr(*argv):
    return d.ctr(*argv)


def fills(name, got):
    return check(got.out.strip() in ("No space left on device", "Disk quota exceeded"), name, got)


def status(name):
    return json.loads(ctr("volume", "inspect", name).out)[0]["Status"]


def a_volume():
    good("a volume of 4 MiB", ctr("volume", "create", "-o", "size=4m", "small"), "small\n")
    o = json.loads(ctr("volume", "inspect", "small").out)[0]
    is_((o["Options"], o["Status"]["Limit"]), ({"size": str(4 << 20)}, 4 << 20), "inspect shows it")
    fills("more than that fails inside", ctr("run", "--rm", "-v", "small:/d", "busybox", "sh", "-c", WRITE % ("/d/f", 128)))
    used = status("small")["Used"]
    check(3 << 20 < used <= 4 << 20, "it is full", used)
    like(ctr("run", "--rm", "-v", "small:/d", "busybox", "df", "-k", "/d").out, r" 4096 ", "df inside shows the limit")
    good("what is removed is room again", ctr("run", "--rm", "-v", "small:/d", "busybox", "sh", "-c",
                                             "rm /d/f; mkdir -p /d/a/b && dd if=/dev/zero of=/d/a/b/g bs=64k count=32 2>/dev/null && echo ok"), "ok\n")
    fills("below folders, too", ctr("run", "--rm", "-v", "small:/d", "busybox", "sh", "-c", WRITE % ("/d/a/b/h", 128)))


def at_the_mount():
    spec = "type=volume,src=opt,dst=/d,volume-opt=size=4m"
    fills("a size at --mount", ctr("run", "--rm", "--mount", spec, "busybox", "sh", "-c", WRITE % ("/d/f", 128)))
    is_(status("opt")["Limit"], 4 << 20, "is the volume's")
    good("the same size again", ctr("run", "--rm", "--mount", spec, "busybox", "ls", "/d"), "f\n")
    bad("another size", ctr("run", "--rm", "--mount", spec.replace("4m", "5m"), "busybox", "true"), "with a size of", 125)
    bad("another size at creation", ctr("volume", "create", "-o", "size=5m", "opt"), "with a size of")
    fills("of an anonymous one", ctr("run", "--rm", "--mount", "type=volume,dst=/d,volume-opt=size=4m", "busybox", "sh",
                                     "-c", WRITE % ("/d/f", 128)))
    good("one runs", ctr("run", "-d", "--name", "live", "busybox", "sleep", "1000"))
    good("gets one", ctr("update", "--mount-add", "type=volume,src=lv,dst=/d,volume-opt=size=4m", "live"))
    fills("with its size", ctr("exec", "live", "sh", "-c", WRITE % ("/d/f", 128)))
    good("it goes", ctr("rm", "-f", "live"))


def volumes():
    good("another volume has a limit of its own", ctr("volume", "create", "-o", "size=8m", "other"))
    isnt(status("other")["Project"], status("small")["Project"], "and a project of its own")
    good("it holds 6 MiB", ctr("run", "--rm", "-v", "other:/d", "busybox", "sh", "-c",
                               "dd if=/dev/zero of=/d/f bs=64k count=96 2>/dev/null && echo ok"), "ok\n")
    good("one without holds more", ctr("run", "--rm", "-v", "free:/d", "busybox", "sh", "-c",
                                       "dd if=/dev/zero of=/d/f bs=64k count=256 2>/dev/null && echo ok"), "ok\n")
    good("its project is nobody's business inside", ctr("run", "--rm", "-v", "small:/d", "busybox", "sh", "-c",
                                                        "chattr -p 1 /d/a 2>/dev/null || echo no"), None)
    # Snapshots do not count, a restore may not be stopped by the limit, a clone has its own.
    good("a snapshot of a full one", ctr("volume", "snapshot", "other", "s1"))
    good("is put back", ctr("volume", "restore", "other", "s1"))
    is_(status("other")["Limit"], 8 << 20, "under the same limit")
    check(6 << 20 <= status("other")["Used"] < 7 << 20, "counted once", status("other"))
    fills("which holds", ctr("run", "--rm", "-v", "other:/d", "busybox", "sh", "-c", WRITE % ("/d/g", 128)))
    good("a clone", ctr("volume", "clone", "--snapshot", "s1", "other", "twin"))
    check(status("twin")["Limit"] == 8 << 20 and status("twin")["Project"] != status("other")["Project"],
          "has a limit of its own", status("twin"))
    d.stop(signal.SIGKILL)
    d.start()
    is_(status("small")["Limit"], 4 << 20, "a new isolad knows the sizes")
    project = status("twin")["Project"]
    good("the twin goes", ctr("volume", "rm", "twin"))
    good("its files go", ctr("volume", "create", "-o", "size=1m", "next"))
    isnt(status("next")["Project"], status("small")["Project"], "no project is given twice")


def a_layer():
    good("a container of 4 MiB", ctr("run", "-d", "--name", "box", "--storage-opt", "size=4m", "busybox", "sleep", "1000"))
    fills("more than that fails inside", ctr("exec", "box", "sh", "-c", WRITE % ("/f", 128)))
    good("after some room is made", ctr("exec", "box", "sh", "-c", "rm /f; echo x > /ok && cat /ok"), "x\n")


def layers():
    good("what it copies up counts", ctr("exec", "box", "sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do cp /bin/busybox /c$i 2>/dev/null || { echo full; break; }; done"), "full\n")
    good("volumes do not count", ctr("run", "--rm", "--storage-opt", "size=1m", "-v", "free:/d", "busybox", "sh", "-c",
                                     "dd if=/dev/zero of=/d/g bs=64k count=64 2>/dev/null && echo ok"), "ok\n")
    good("restarted", ctr("restart", "-t", "0", "box"))
    fills("it is still full", ctr("exec", "box", "sh", "-c", WRITE % ("/h", 128)))
    good("without a user namespace", ctr("run", "-d", "--name", "hostbox", "--userns", "host", "--storage-opt", "size=4m",
                                         "busybox", "sleep", "1000"))
    fills("it holds, too", ctr("exec", "hostbox", "sh", "-c", WRITE % ("/f", 128)))
    good("one without is free", ctr("run", "--rm", "busybox", "sh", "-c",
                                    "dd if=/dev/zero of=/f bs=64k count=256 2>/dev/null && echo ok"), "ok\n")
    good("all goes", ctr("rm", "-f", "box", "hostbox"))
    good("and the volumes", ctr("volume", "prune", "-af"))


for kind in FILE_SYSTEMS:
    disk = disk_of(kind)
    if not disk:
        skip("project quotas of " + kind, "no mkfs for it, this kernel has none, or no loop device")
        continue
    d = Isolad(disk)
    check(d.start(), "isolad on %s with project quotas" % kind)
    load_image(d, TAR)
    a_volume()
    if kind == "ext4":  # the rest is the same everywhere, and slow in the lab
        at_the_mount()
        volumes()
    a_layer()
    if kind == "ext4":
        layers()
    ctr("rm", "-f", "box")
    ctr("volume", "prune", "-af")
    d.stop()
    run("umount", "-l", disk)
finish()
