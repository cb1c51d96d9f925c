# SPDX-License-Identifier: Apache-2.0
# nested: a Linux guest on emulated AMD-V
# time limit: 60 s
#
# Disks of a Linux guest for real: fio's own verification, discard, read-only, cache
# modes, resize and limits while it runs, pause during I/O, flush that reaches the
# host's disk, and what a killed worker leaves.
import os
import sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from workerlib import *

MIB = 1 << 20

need_guest()

GUEST = r"""
step() { # NAME COMMAND...: its result as NAME=ok or NAME=failed
	local name=$1
	shift
	if "$@" >/tmp/out 2>&1; then echo "$name=ok"; else echo "$name=failed"; cat /tmp/out; fi
}
expect() { echo "WAIT $1"; read -r line; } # until the host has looked
verify() { # DISK RW BLOCK DEPTH ENGINE SIZE
	fio --name=v --filename=$1 --direct=1 --rw=$2 --bs=$3 --iodepth=$4 --ioengine=$5 --size=$6 \
		--verify=crc32c --verify_fatal=1 --do_verify=1 --fallocate=none --thread \
		--output=/tmp/fio
}
echo "sizes=$(blockdev --getsz /dev/vda) $(blockdev --getsz /dev/vdb) $(blockdev --getsz /dev/vdc)"
echo "ro=$(blockdev --getro /dev/vda) $(blockdev --getro /dev/vdb)"
echo "serial=$(cat /sys/block/vda/serial)"
echo "cache=$(cat /sys/block/vda/queue/write_cache), $(cat /sys/block/vdc/queue/write_cache)"
if dd if=/dev/zero of=/dev/vdb bs=512 count=1 conv=fsync 2>/dev/null; then
	echo "write_ro=taken"; else echo "write_ro=refused"; fi
tar xf /dev/vdb -C / && echo "tools=ok"
rngtest() { [ "$(dd if=/dev/hwrng bs=64 count=4 2>/dev/null | wc -c)" = 256 ]; }
step rng rngtest
if [ -x /usr/bin/fio ]; then
	step fio_random verify /dev/vda randwrite 4k 16 libaio 12M
	step fio_large verify /dev/vda write 1M 4 libaio 32M
	step fio_mixed verify /dev/vda randrw 512-64k 8 libaio 8M
	step fio_none verify /dev/vdc randwrite 4k 16 libaio 8M
	step fio_through verify /dev/vdd randwrite 4k 4 psync 1M
fi
expect full
step discard blkdiscard /dev/vda
expect discarded
if [ -x /usr/sbin/blkdiscard ]; then
	step zeroes /usr/sbin/blkdiscard -z -o 1048576 -l 4194304 /dev/vdc
	echo "zeroes_read=$(dd if=/dev/vdc bs=1M skip=1 count=4 2>/dev/null | tr -d '\0' | wc -c)"
fi
expect resize
i=0
while [ "$(blockdev --getsz /dev/vda)" = 131072 ] && [ $i -lt 100 ]; do usleep 100000; i=$((i+1)); done
echo "resized=$(blockdev --getsz /dev/vda)"
dd if=/dev/urandom of=/dev/vda bs=1M seek=90 count=1 conv=fsync 2>/dev/null && echo "behind=ok"
expect limit
a=$(cut -d. -f1 /proc/uptime)
dd if=/dev/vda of=/dev/null bs=4096 count=60 iflag=direct 2>/dev/null
b=$(cut -d. -f1 /proc/uptime)
echo "limited=$((b-a))"
expect pause
dd if=/dev/zero of=/dev/vda bs=64k count=800 conv=fsync 2>/dev/null && echo "paused=ok"
expect flushes
i=1
while [ $i -lt 1000 ]; do
	yes "$(printf 'block %08d!' $i)" | head -c 4096 | dd of=/dev/vdc bs=4096 seek=$i conv=fsync,notrunc 2>/dev/null
	echo "F $i"
	i=$((i+1))
done
"""


def make_file(name, size):
    path = T + "/" + name
    with open(path, "wb") as f:
        f.truncate(size)
    return path


def open_disks(paths):
    return [os.open(p, os.O_RDONLY if "tools" in p else os.O_RDWR) for p in paths]


def space(path):
    return os.stat(path).st_blocks * 512


def host_flushes():
    """How often the loop device was flushed (Documentation/block/stat.rst)."""
    return int(contents("/sys/block/%s/stat" % os.path.basename(loop)).split()[15])


def contents(path):
    with open(path) as f:
        return f.read()


initrd = make_initrd(T + "/initrd", ["virtio_ring", "virtio", "virtio_mmio", "virtio_blk",
                                     "virtio-rng"], GUEST)
vda, vdc, vdd = make_file("vda", 64 * MIB), make_file("vdc", 16 * MIB), make_file("vdd", 4 * MIB)
# a block device, for O_DIRECT and to count what it is asked to flush
run("modprobe", "loop")
loop = run("losetup", "--find", "--show", vdc).out.strip()
if not loop:
    skip_all("needs a loop device")
tools = T + "/tools"
make_tools(tools)
disks = open_disks([vda, tools, loop, vdd])
engine = os.environ.get("VM_DISK_ENGINE", "auto")
g = Guest({"memory": {"size": 640 * MIB},
           "disks": [{"id": "vda", "source": {"fd": 0}, "serial": "isola-lab", "engine": engine},
                     {"id": "vdb", "source": {"fd": 1}, "readonly": True},
                     {"id": "vdc", "source": {"fd": 2}, "cache": "none", "engine": engine},
                     {"id": "vdd", "source": {"fd": 3}, "cache": "writethrough"}]},
          initrd, open_files=disks)
diag("engine %s" % g.stats("vda")["engine"])

check(g.says("sizes=", 120), "Linux sees its disks", g.out[-2000:] + str(g.events))
if not is_(g.value("sizes"), "131072 %d 32768" % (os.path.getsize(tools) // 512),
           "of the right sizes"):
    diag(g.out[-2000:])
    g.close()
    run("losetup", "--detach", loop)
    finish()
is_(g.value("ro"), "0 1", "and knows which is read-only")
is_(g.value("serial"), "isola-lab", "the serial number is there")
is_(g.value("cache"), "write back, write back", "with a cache to flush")
is_(g.value("write_ro"), "refused", "a read-only disk takes no write")
check(g.says("tools=ok", 60), "a read-only disk can be read whole", g.out[-1000:])
check(g.value("rng") == "ok", "the guest has randomness", g.out[-500:])
if os.path.exists("/usr/bin/fio"):
    for name, title in (("random", "4k at random, 16 deep"), ("large", "1M in a row"),
                        ("mixed", "sizes of 512 bytes to 64k mixed with reads"),
                        ("none", "cache none (O_DIRECT)"), ("through", "cache writethrough")):
        check(g.value("fio_" + name, 120) == "ok", "fio verifies: " + title, g.out[-1500:])
else:
    skip("fio verifies", "no fio here (lab --package fio)")
g.says("WAIT full", 60)
full = space(vda)
g.type("")
check(g.says("discard=ok"), "the guest discards its disk", g.out[-500:])
g.says("WAIT discarded")
check(space(vda) < MIB and (full > 30 * MIB or not os.path.exists("/usr/bin/fio")),
      "and the host has the space back", "%d -> %d" % (full, space(vda)))
g.type("")
check(g.says("zeroes=ok"), "the guest writes zeroes", g.out[-500:])
is_(g.value("zeroes_read"), "0", "which read as zeroes")
check(space(vdc) >= 4 * MIB, "and keep their space", str(space(vdc)))

g.says("WAIT resize")
os.truncate(vda, 96 * MIB)
check(g.ask("disk", id="vda", resize=True).get("ok"), "the disk is made larger while it runs")
g.type("")
check(g.says("resized=196608", 60), "and Linux hears of it", g.out[-500:])
check(g.says("behind=ok"), "and writes to the new part", g.out[-500:])

g.says("WAIT limit")
rate = {"ops": {"size": 20, "refill_ms": 1000}}
check(g.ask("disk", id="vda", rate=rate).get("ok"), "a limit of 20 operations a second is set")
g.type("")
check(g.value("limited") in ("1", "2", "3", "4"), "60 of them, the first 20 at once, take 2 s",
      str(g.value("limited")))
check(g.ask("disk", id="vda", rate={}).get("ok"), "and the limit is lifted")
check(g.stats("vda")["throttled"] > 0, "the statistics tell of it")

g.says("WAIT pause")
g.type("")
for _ in range(5):
    a = g.ask("pause")
    b = g.stats("vda")
    time.sleep(0.2)
    c = g.stats("vda")
    good = a.get("ok") and b["in_flight"] == 0 and b["queues"] == c["queues"]
    if not g.ask("resume").get("ok") or not good:
        break
check(good, "five times paused during writes: nothing under way, nothing begun", str((a, b, c)))
check(g.says("paused=ok", 60), "and all the writes came through", g.out[-500:])

g.says("WAIT flushes")
before, guest_before = host_flushes(), g.stats("vdc")["queues"][0]["flushes"]
g.type("")
g.says("F 60\r\n", 90)
flushed = host_flushes() - before
guest_flushed = g.stats("vdc")["queues"][0]["flushes"] - guest_before
check(guest_flushed >= 60, "each fsync is a flush", str(guest_flushed))
check(flushed >= 60, "and reaches the host's disk", str(flushed))
stats = g.stats("vda")
g.p.kill()
g.p.wait()
while g._read():
    pass
last = max(int(n) for n in re.findall(r"^F (\d+)\r?$", g.out, re.M))
with open(vdc, "rb") as f:
    data = f.read()
bad = [i for i in range(1, last + 1)
       if not data[4096 * i:].startswith(b"block %08d!" % i)]
check(last >= 60 and not bad, "after SIGKILL of the worker all that was flushed is there",
      "last %d, bad %s" % (last, bad[:5]))
g.close()
run("losetup", "--detach", loop)
diag("vda: %s" % json.dumps(stats))
finish()
