# SPDX-License-Identifier: Apache-2.0
# nested: a Linux guest on emulated AMD-V
# time limit: 60 s
#
# An image as memory of two Linux guests at once: they read what is in the file, share
# its pages with the host and each other, and cannot change it.
import hashlib
import os
import sys
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, HERE + "/../api"]
from workerlib import *
from disklib import ext4
from vmlib import own_kernel, shared_kib

SECTION = 2 << 20
SIZE = 2 * SECTION + 12345  # no whole section, no whole page

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


DAX_GUEST = r"""
mount -t ext4 -o ro,dax /dev/pmem0 /tmp
echo "dax=$(grep -c '^/dev/pmem0 /tmp ext4 ro,.*dax=always' /proc/mounts)"
echo "sum=$(sha256sum </tmp/file | cut -d' ' -f1)"
"""


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

# ---------------------------------------------------------------- our kernel, DAX
own = own_kernel()
if own:
    os.mkdir(T + "/root")
    with open(T + "/root/file", "wb") as f:
        f.write(data)
    image = ext4(T + "/ext4", T + "/root", 64, "-b", "4096")    # DAX wants whole pages
    fd = os.open(image, os.O_RDONLY)
    g = Guest({"memory": {"size": 128 << 20}, "pmem": [{"id": "pmem0", "source": {"fd": 0}}]},
              make_initrd(T + "/initrd-own", [], DAX_GUEST), open_files=[fd],
              kernel=own + "/vmlinux")
    os.close(fd)
    if not is_(g.value("dax", 120), "1", "our kernel mounts a file system in one, with DAX"):
        diag(g.out[-2000:])
    is_(g.value("sum"), hashlib.sha256(data).hexdigest(), "and reads what is in its file")
    is_((g.end(60) or {}).get("reason"), "poweroff", "it ends by itself")
    g.close()
else:
    skip("our kernel mounts an image with DAX", "guest/kernel/build has not built it of this fragment")
finish()
