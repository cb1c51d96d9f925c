# SPDX-License-Identifier: Apache-2.0
# nested: a Linux guest on emulated AMD-V
# Disks of a Linux guest: what it writes is in the file, read-only, discard, growing
# while it runs, rate limits, and a power cut in the middle of writes.
# time limit: 80 s
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from vmlib import *

d = need_guests()
leak_mark()


def kit(*argv):
    """guestkit on this side: it is static."""
    return run(GUESTKIT, *argv, limit_s=60)


def allocated(path):
    return os.stat(path).st_blocks * 512


def counted(vm, what):
    """Of the first disk's queues together."""
    return sum(q[what] for q in vm.device("vda").get("queues", []))


def write_ms(vm, line):
    """How long a line takes, in ms of the guest."""
    out = vm.out("a=$(cut -d ' ' -f 1 /proc/uptime); %s; b=$(cut -d ' ' -f 1 /proc/uptime); "
                 "echo $a $b" % line, 120).split()
    return int((float(out[-1]) - float(out[-2])) * 1000)


def finish_cut(vm, last):
    """After a power cut: each block that was told as synced is in the file."""
    path, block, places = T + "/plain.img", 4096, 64
    newest = {i % places: i for i in range(last + 1)}
    bad = []
    for place, i in newest.items():
        # the block after the last one told may have begun
        if place == (last + 1) % places:
            continue
        if kit("verify", path, place * block, block, i).rc:
            bad.append(i)
    return bad


plain, ro, trim, grow, sync = (sparse("%s/%s.img" % (T, n), 32 * MIB)
                               for n in ("plain", "ro", "trim", "grow", "sync"))
is_(kit("write", ro, 0, MIB, 3).rc, 0, "this side writes what is to be read there")
with open(trim, "r+b") as f:
    f.write(b"\xaa" * (32 * MIB))
    os.fsync(f.fileno())

vm = Vm(d, "disks", flags=["--disk", plain + ",serial=PLAIN-1", "--disk", ro + ",ro",
                           "--disk", trim + ",queues=1", "--disk", grow + ",cache=none",
                           "--disk", sync + ",engine=sync,cache=writethrough,discard=false"])

# ------------------------------------------------------------------ what it sees
is_(vm.out("ls /sys/block | grep vd").split(), ["vda", "vdb", "vdc", "vdd", "vde"],
    "five disks, in their order")
is_(vm.out("cat /sys/block/vda/size"), str(32 * MIB // 512), "of the right size")
is_(vm.out("cat /sys/block/vda/serial"), "PLAIN-1", "with the serial that was given")
is_(vm.out("cat /sys/block/vd?/ro").split(), ["0", "1", "0", "0", "0"], "one of them read-only")
is_(vm.out("cat /sys/block/vda/queue/write_cache /sys/block/vde/queue/write_cache"),
    "write back\nwrite through", "the cache mode is the guest's to know")

# -------------------------------------------------------------- write and verify
for disk, path in (("vda", plain), ("vdd", grow), ("vde", sync)):
    is_(vm.sh("guestkit write /dev/%s 0 8388608 7" % disk), (0, ""), "%s takes 8 MiB" % disk)
    is_(vm.sh("guestkit verify /dev/%s 0 8388608 7" % disk), (0, ""), "and gives them back")
    is_(kit("verify", path, 0, 8 * MIB, 7).rc, 0, "and they are in its file")
is_(vm.sh("guestkit write /dev/vda 512 4096 8; guestkit verify /dev/vda 512 4096 8"), (0, ""),
    "pieces of sectors' size may lie anywhere")
is_(kit("verify", plain, 8192, 4 * MIB, 7).rc, 0, "and leave what is around them alone")
is_(vm.sh("guestkit verify /dev/vda 4096 4096 9 >/dev/null")[0], 1, "a difference would be seen")
is_(vm.sh("guestkit verify /dev/vdb 0 1048576 3"), (0, ""), "the read-only disk can be read")
rc, out = vm.sh("guestkit write /dev/vdb 0 4096 9 2>&1")
isnt(rc, 0, "but not written", out)
is_(kit("verify", ro, 0, MIB, 3).rc, 0, "and is as it was")

# ----------------------------------------------------------------------- discard
before = allocated(trim)
is_(vm.sh("blkdiscard -o 4194304 -l 16777216 /dev/vdc"), (0, ""), "discard is taken")
check(before - allocated(trim) >= 15 * MIB, "and punches a hole in the file",
      "%d before, %d after" % (before, allocated(trim)))
is_(vm.out("dd if=/dev/vdc bs=1M skip=4 count=16 2>/dev/null | tr -d '\\000' | wc -c"), "0",
    "which reads as zeros")
is_(vm.out("dd if=/dev/vdc bs=1M skip=20 count=4 2>/dev/null | tr -d '\\252' | wc -c"), "0",
    "what is behind it stayed")
is_(vm.out("cat /sys/block/vde/queue/discard_max_bytes"), "0", "discard=false offers none")

# ------------------------------------------------------------------------ growing
r = vm.ctl("update", "--disk", "vdd,size=%d" % (64 * MIB))
is_(r.rc, 0, "vmctl update makes a disk larger", r)
check(wait_for(10, lambda: vm.out("cat /sys/block/vdd/size") == str(64 * MIB // 512)),
      "the guest sees it while it runs", vm.out("cat /sys/block/vdd/size"))
is_(vm.sh("guestkit write /dev/vdd 62914560 4194304 5; guestkit verify /dev/vdd 62914560 4194304 5"),
    (0, ""), "and can write to its new end")
is_(kit("verify", grow, 60 * MIB, 4 * MIB, 5).rc, 0, "which is in the file")
r = vm.ctl("update", "--disk", "nosuch,size=1m")
isnt(r.rc, 0, "a disk that is not there cannot grow")
like(r.err, "nosuch", "and the message names it")

# -------------------------------------------------------------------- rate limits
free = write_ms(vm, "guestkit write /dev/vda 0 4194304 1")
r = vm.ctl("update", "--disk", "vda,rate=1m")
is_(r.rc, 0, "vmctl update limits a disk", r)
slow = write_ms(vm, "guestkit write /dev/vda 0 4194304 1")
check(slow - free > 1500, "4 MiB at 1 MiB/s take their time (%d ms, %d ms before)" % (slow, free))
is_(vm.ctl("update", "--disk", "vda,rate=0").rc, 0, "the limit can go")
again = write_ms(vm, "guestkit write /dev/vda 0 4194304 1")
check(again < slow / 2, "and is gone (%d ms)" % again)

r = vm.ctl("stats", "--no-stream", "--format", "{{.DiskIO}}")
like(r.out, r"^[0-9.]+[kM]?B / [0-9.]+MB$", "vmctl stats shows what was read and written")

# ---------------------------------------------------------------------- power cut
flushed = counted(vm, "flushes")
start = vm.send("guestkit commit /dev/vda 4096 262144")
check(vm.expect("^synced 80\n", 60, start), "the guest writes and syncs block after block", vm.tail())
flushes = counted(vm, "flushes") - flushed
check(flushes >= 80, "each sync is a flush of the file (%d)" % flushes)
os.kill(vm.state()["Pid"], signal.SIGKILL)
is_((vm.wait_end(), vm.reason()), (139, ("exited", 139, "worker-crash")), "its power is cut")
last = max(int(n) for n in re.findall(rb"^synced (\d+)\n", vm.text[start:], re.M))
is_(finish_cut(vm, last), [], "all %d blocks that it was told are safe are in the file" % (last + 1))
vm.remove()

leak_check()
finish()
