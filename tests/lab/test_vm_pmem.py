# SPDX-License-Identifier: Apache-2.0
# time limit: 240 s
#
# An image as memory of two Linux guests at once: they read what is in the file, share
# its pages with the host and each other, and cannot change it.
import hashlib
import os
import sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from workerlib import *

SECTION = 2 << 20
SIZE = 8 * SECTION + 12345  # no whole section, no whole page

need_guest()
if not os.path.exists(SHARE + "/modules/nd_pmem.ko"):
    skip_all("needs the guest kernel's nd_pmem module (a newer lab image)")

GUEST = r"""
i=0
while [ ! -b /dev/pmem0 ] && [ $i -lt 100 ]; do usleep 100000; i=$((i+1)); done
echo "size=$(blockdev --getsize64 /dev/pmem0)"
echo "sum=$(sha256sum </dev/pmem0 | cut -d' ' -f1)"
dd if=/dev/zero of=/dev/pmem0 bs=512 count=1 conv=fsync 2>/dev/null
echo "wrote=1"
sync
echo 3 >/proc/sys/vm/drop_caches
echo "again=$(sha256sum </dev/pmem0 | cut -d' ' -f1)"
echo WAIT
read -r line
"""


def shared_kib(pid, path):
    """Of the mapping of that file: what is resident, what of it is shared with others."""
    rss = shared = 0
    ours = False
    with open("/proc/%d/smaps" % pid) as f:
        for line in f:
            if "-" in line.split()[0]:
                ours = path in line
            elif ours and line.startswith("Rss:"):
                rss += int(line.split()[1])
            elif ours and line.startswith("Shared_"):
                shared += int(line.split()[1])
    return rss, shared


image = T + "/image"
data = os.urandom(SIZE)
with open(image, "wb") as f:
    f.write(data)
whole = (SIZE + SECTION - 1) // SECTION * SECTION
want = hashlib.sha256(data + bytes(whole - SIZE)).hexdigest()
initrd = make_initrd(T + "/initrd", ["virtio_ring", "virtio", "virtio_mmio", "libnvdimm",
                                     "nd_virtio", "virtio_pmem", "nd_btt", "nd_pmem"], GUEST)
guests = []
for n in range(2):
    fd = os.open(image, os.O_RDONLY)
    guests.append(Guest({"memory": {"size": 192 << 20},
                         "pmem": [{"id": "pmem0", "source": {"fd": 0}}]}, initrd,
                        open_files=[fd]))
    os.close(fd)
for n, g in enumerate(guests):
    if not is_(g.value("size", 120), str(whole), "guest %d has the image, in whole sections" % n):
        diag(g.out[-2000:] + str(g.events))
    is_(g.value("sum"), want, "and reads what is in the file, and zeroes behind it")
    is_(g.value("wrote"), "1", "it tries to write")
    is_(g.value("again"), want, "which changes nothing for it")
    g.says("WAIT")
with open(image, "rb") as f:
    check(f.read() == data, "nor in the file")
for g in guests:
    rss, shared = shared_kib(g.p.pid, image)
    check(rss >= SIZE // 1024 and shared == rss, "its pages are the host's page cache, shared",
          "resident %d KiB, shared %d KiB" % (rss, shared))
fd = os.open(image, os.O_RDWR)
g = Guest({"memory": {"size": 64 << 20}, "disks": [{"id": "vda", "source": {"fd": 0}}]}, initrd,
          open_files=[fd])
os.close(fd)
end = g.end(30) or {}
check("in use" in end.get("text", ""), "nobody gets it as a disk to write to meanwhile", str(end))
g.close()
for g in guests:
    g.type("")
    end = g.end(60) or {}
    is_(end.get("reason"), "poweroff", "the guest ends by itself")
    g.close()
finish()
