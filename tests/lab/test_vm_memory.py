# SPDX-License-Identifier: Apache-2.0
# nested: a Linux guest on emulated AMD-V
# processors: 2
# Memory of a Linux guest as the host sees it: free pages go back, the balloon in and
# out, limits of the VM's cgroup; pause and resume; vCPUs on given processors.
# time limit: 100 s
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from vmlib import *

d = need_guests()
leak_mark()


def free_mib(vm):
    return int(vm.out("sed -n 's/^MemFree: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo")) >> 10


def rss_mib(vm):
    return rss_kib(vm.state()["Pid"]) >> 10


def group(vm, name):
    """A file of the VM's cgroup, of the first folder from the worker's up that sets it."""
    folder = cgroup2_root() + re.search(r"^0::(.*)$", _text("/proc/%d/cgroup" % vm.state()["Pid"]),
                                        re.M)[1]
    while len(folder) > len(cgroup2_root()):
        text = _text(folder + "/" + name).strip()
        if text and not text.startswith("max"):
            return text
        folder = os.path.dirname(folder)
    return "none"


def _text(path):
    try:
        with open(path) as f:
            return f.read()
    except OSError:
        return ""


def cpu_us(vm):
    return int(re.search(r"^usage_usec (\d+)", group(vm, "cpu.stat"), re.M)[1])


# ---------------------------------------------------------- free page reporting
vm = Vm(d, "memory", cpus=2, memory=256 * MIB, flags=["--limit-cpus", "1.5"])
before = rss_mib(vm)
is_(vm.sh("head -c 100663296 /dev/zero >/tmp/fill"), (0, ""), "the guest fills 96 MiB")
full = rss_mib(vm)
check(full - before > 60, "its worker grows (%d to %d MiB)" % (before, full))
vm.sh("rm /tmp/fill")
check(wait_for(30, lambda: rss_mib(vm) < full - 60), "and shrinks when the guest has freed them "
      "(to %d MiB)" % rss_mib(vm), vm.device("balloon"))

# ----------------------------------------------------------------------- balloon
had = free_mib(vm)
r = vm.ctl("update", "--balloon", "100m")
is_(r.rc, 0, "vmctl update fills the balloon", r)
check(wait_for(30, lambda: free_mib(vm) < had - 80), "the guest has 100 MiB less", "%d MiB free, "
      "%d before" % (free_mib(vm), had))
is_(vm.inspect()["Config"]["Balloon"]["Size"], 100 * MIB, "inspect knows")
is_(vm.ctl("update", "--balloon", "0").rc, 0, "and empties it")
check(wait_for(30, lambda: free_mib(vm) > had - 20), "the guest has them back",
      "%d MiB free, %d before" % (free_mib(vm), had))
is_(vm.ctl("update", "--balloon", "150m").rc, 0, "150 of 256 MiB in the balloon")
wait_for(30, lambda: free_mib(vm) < had - 130)
start = vm.send("guestkit hold 150; echo ended $?")
check(vm.expect("^held\n", 60, start), "deflates when the guest runs out of memory", vm.tail())
check(vm.expect("^ended 0\n", 60, start), "and no process is killed", vm.tail())
vm.finished(start)
r = vm.ctl("update", "--balloon", "1t")
isnt(r.rc, 0, "a balloon larger than the guest is refused")
vm.ctl("update", "--balloon", "0")

# ----------------------------------------------------------------- pause, resume
drift = int(vm.out("date +%s")) - int(time.time())
r = vm.ctl("pause")
is_((r.rc, vm.state()["Status"]), (0, "paused"), "vmctl pause", r)
used = cpu_us(vm)
start = vm.send("echo awake")
time.sleep(3)
check(vm.expect("^awake", 0.01, start) is None, "a paused guest does nothing")
check(cpu_us(vm) - used < 100000, "and uses no processor", "%d us" % (cpu_us(vm) - used))
is_(vm.ctl("resume").rc, 0, "vmctl resume")
is_(vm.finished(start), (0, "awake\n"), "it goes on")
now = int(vm.out("date +%s")) - int(time.time())
check(abs(now - drift) <= 2 + SCALE, "with the right time (%d s off, %d before)" % (now, drift))
is_(complaints(vm), "", "and no stall")

# ------------------------------------------------------------------------ limits
is_(group(vm, "memory.max"), str(384 * MIB), "its cgroup may have the guest's memory and 128 MiB")
is_(group(vm, "cpu.max"), "150000 100000", "and 1.5 processors")
r = vm.ctl("update", "--limit-cpus", "0.5", "--pin", "1:1")
is_(r.rc, 0, "vmctl update changes limits and pins the vCPUs", r)
is_(group(vm, "cpu.max"), "50000 100000", "half a processor")
pid = vm.state()["Pid"]
pinned = [re.search(r"^Cpus_allowed_list:\s*(\S+)", _text("/proc/%d/task/%s/status" % (pid, t)),
                    re.M)[1] for t in os.listdir("/proc/%d/task" % pid)]
is_(pinned.count("1"), 2, "both vCPU threads run on processor 1 only")
vm.send("while :; do :; done")
used, t0 = cpu_us(vm), time.monotonic()
time.sleep(3)
share = (cpu_us(vm) - used) / 1e6 / (time.monotonic() - t0)
check(0.05 < share < 0.65, "a busy guest gets no more than that (%.2f)" % share)
is_(vm.ctl("kill").rc, 0, "a busy guest is killed")
is_((vm.wait_end(), vm.reason()), (137, ("exited", 137, "killed")), "exit code 137")
vm.remove()

# ------------------------------------- a limit that cannot be; prefault, memfd
r = vmctl(d, "create", "--kernel", FAST.path, "--memory", "256m", "--limit-memory", "160m")
isnt(r.rc, 0, "a limit below the guest's memory is refused")
like(r.err, "Limits.Memory", "and the message names it")

vm = Vm(d, "eager", memory=96 * MIB, flags=["--prefault", "--shared-memory", "--balloon", "none"],
        boot=False)
check(vm.wait_status("running"), "prefault and shared memory", vm.tail())
pid = vm.state()["Pid"]
# the kernel counts in batches for each thread
check(wait_for(20, lambda: rss_kib(pid, "RssShmem") >= 95 << 10), "it has all of its memory at once",
      "%d KiB of shared memory" % rss_kib(pid, "RssShmem"))
vm.ctl("kill")
vm.remove()

leak_check()
finish()
