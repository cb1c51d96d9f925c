# SPDX-License-Identifier: Apache-2.0
#
# Snapshots, clones and restores of a volume where the disk is full: an error, nothing half-made,
# and what was there before is whole. By copies, as on file systems that share no extents.
# time limit: 120 s
# not in the lab: a tmpfs is full everywhere in the same way
import os
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)) + "/..")
from lib import *

need_root()
need_program("isolad", "isola-image", "ctrctl")
MIB = 1 << 20


def fill(path, size, seed=b"x"):
    with open(path, "wb") as f:
        f.write(seed * size)
        f.flush()
        os.fsync(f.fileno())


def use_up(where, leave):
    """A file that leaves so many bytes of the file system."""
    free = os.statvfs(where)
    left = free.f_bavail * free.f_frsize - leave
    with open(where + "/ballast", "wb") as f:
        try:
            while left > 0:
                f.write(b"b" * min(left, MIB))
                f.flush()
                left -= MIB
            os.fsync(f.fileno())
        except OSError:
            pass


small, volumes = T + "/small", T + "/state/volumes"
data = volumes + "/full/_data"
d = start_isolad() or skip_all("isolad does not start")
d.stop()
os.mkdir(small)
if run("mount", "-t", "tmpfs", "-o", "size=12m", "none", small).rc != 0:
    skip_all("no tmpfs can be mounted")
run("mount", "--bind", small, volumes)
d.start()


def vol(*words):
    return d.ctr("volume", *words, limit_s=60)


def listing():
    """What a failure may not change."""
    return (sorted((n, os.path.getsize(data + "/" + n)) for n in os.listdir(data)),
            sorted(n for n in os.listdir(volumes) if n != "ballast"), os.listdir(volumes + "/full/snapshots"))


is_(vol("create", "full").rc, 0, "a volume")
fill(data + "/old", MIB, b"o")
is_(vol("snapshot", "full", "s1").rc, 0, "a snapshot while there is room")
os.unlink(data + "/old")
for i in range(3):
    fill(data + "/new%d" % i, MIB, b"n")
before = listing()
use_up(volumes, 512 << 10)
WORK = (["snapshot", "full", "s2"], ["clone", "full", "twin"], ["restore", "full", "s1"])
for words in WORK:
    r = vol(*words)
    check(r.rc == 1 and "No space left" in r.err, "%s: the disk is full" % words[0], r)
    check(wait_for(10, lambda: listing() == before), "nothing is half-made, and the volume as it was", (listing(), before))
d.stop(signal.SIGKILL)
d.start()
is_(listing(), before, "nor after a kill of isolad")
os.unlink(volumes + "/ballast")
for words in WORK:
    r = vol(*words)
    is_(r.rc, 0, "%s works when there is room again" % words[0], r)
is_((os.listdir(data), sorted(os.listdir(volumes + "/twin/_data"))), (["old"], ["new0", "new1", "new2"]),
    "each is what it should be")
vol("prune", "-af")
d.stop()
run("umount", volumes)
run("umount", small)
finish()
