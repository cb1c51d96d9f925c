# SPDX-License-Identifier: Apache-2.0
# nested: a Linux guest on emulated AMD-V
# Linux boots: Debian's kernel as bzImage and as ELF, and ours; what it finds of
# processors, memory, clocks and ACPI.
# time limit: 90 s
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from vmlib import *

TEMPLATE = {"version": 1, "name": "no-rdrand", "remove": ["rdrand"]}

d = need_guests()
leak_mark()


def mem_total(vm):
    return int(vm.out("sed -n 's/^MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo")) << 10


def check_memory(vm, size, lost):
    """All of it but what the kernel keeps for itself."""
    got = mem_total(vm)
    check(size - lost <= got < size, "%s has its %d MiB" % (vm.name, size >> 20),
          "MemTotal %d, that is %d MiB less" % (got, (size - got) >> 20))


def check_platform(vm):
    """What every guest ought to find, whatever its kernel."""
    is_(vm.out("cat /sys/hypervisor/type 2>/dev/null; dmesg | grep -c 'Hypervisor detected: KVM'"), "1",
        "%s knows that it runs under KVM" % vm.name)
    like(vm.out("cat /sys/devices/system/clocksource/clocksource0/current_clocksource"),
         "^(kvm-clock|tsc)$", "%s takes its time from KVM or the TSC" % vm.name)
    is_(vm.out("dmesg | grep -iE 'acpi.*(error|exception|warning)|firmware bug'"), "",
        "%s has nothing to say against ACPI" % vm.name)
    is_(complaints(vm), "", "%s does not complain" % vm.name)
    now = int(vm.out("date +%s"))
    check(abs(now - time.time()) < 20 * SCALE, "%s knows what time it is" % vm.name,
          "%d there, %d here" % (now, time.time()))
    diag("%s: %s, shell after %.1f s" % (vm.name, vm.kernel.name, vm.boot_s))


# ---------------------------------------------------- bzImage, one CPU, 128 MiB
vm = Vm(d, "bz", BZIMAGE, memory=128 * MIB)
is_(vm.out("nproc"), "1", "bzImage boots with one CPU")
check_memory(vm, 128 * MIB, 48 * MIB)
check_platform(vm)
like(vm.out("cat /sys/class/misc/hw_random/rng_current"), "^virtio_rng", "it has a source of entropy")
is_(vm.out("head -c 64 /dev/hwrng | wc -c"), "64", "which gives")
isnt(vm.out("head -c 32 /dev/hwrng | sha256sum"), vm.out("head -c 32 /dev/hwrng | sha256sum"),
     "never the same twice")
vm.power_off("it powers off: exit code 0")

# ------------------------- ELF, two threads of a core, a template, no default devices
with open(T + "/template.json", "w") as f:
    json.dump(TEMPLATE, f)
vm = Vm(d, "elf", VMLINUX, cpus="2,threads=2", memory=512 * MIB,
        flags=["--cpu-template", T + "/template.json", "--rng", "none"])
is_(vm.out("nproc"), "2", "vmlinux boots with two CPUs")
is_(vm.out("cat /sys/devices/system/cpu/cpu*/topology/thread_siblings_list"), "0-1\n0-1",
    "which are threads of one core")
check_memory(vm, 512 * MIB, 64 * MIB)
check_platform(vm)
flags = vm.out("grep -m 1 ^flags /proc/cpuinfo").split()
check("rdrand" not in flags and "fpu" in flags, "the template hides a feature", " ".join(flags))
is_(vm.sh("[ -e /dev/hwrng ] && head -c 1 /dev/hwrng >/dev/null 2>&1")[0], 1,
    "--rng none leaves no source of entropy")
vm.power_off()

# --------------------------------------------- ELF, two sockets, beyond 4 GiB
vm = Vm(d, "big", VMLINUX, cpus="4,cores=2", memory=5 * GIB, flags=["--limit-memory", "-1"])
is_(vm.out("nproc"), "4", "vmlinux boots with four CPUs")
is_(vm.out("cat /sys/devices/system/cpu/cpu*/topology/physical_package_id"), "0\n0\n1\n1",
    "on two sockets")
check_memory(vm, 5 * GIB, 256 * MIB)
check_platform(vm)
high = vm.out("dmesg | sed -n 's/.*BIOS-e820: \\[mem 0x0000000100000000-0x\\([0-9a-f]*\\)\\] usable/\\1/p'")
check(high and int(high, 16) > 4 * GIB, "part of it lies above 4 GiB", high)
rss = rss_kib(vm.state()["Pid"]) >> 10
check(0 < rss < 1024, "what the guest did not touch costs nothing (%d MiB of 5120)" % rss)
vm.power_off()

# ----------------------------------------------------------------- our kernel
if OWN:
    vm = Vm(d, "own", OWN, cpus=2, memory=128 * MIB, flags=["--debug-exit"])
    is_(vm.out("nproc"), "2", "our kernel boots")
    check_memory(vm, 128 * MIB, 32 * MIB)
    check_platform(vm)
    is_(vm.out("head -c 64 /dev/hwrng | wc -c"), "64", "it has a source of entropy")
    is_(vm.out("ls /sys/class/net"), "lo", "no interface that nobody asked for")
    vm.send("guestkit out 0xf4 42")
    is_((vm.wait_end(), vm.reason()), (42, ("exited", 42, "debug-exit")),
        "it lets a program at isa-debug-exit's port: exit code 42")
    vm.remove()
    vm = Vm(d, "own-big", OWN, cpus=4, memory=5 * GIB, flags=["--limit-memory", "-1"])
    is_(vm.out("nproc"), "4", "it boots with four CPUs")
    check_memory(vm, 5 * GIB, 256 * MIB)
    check_platform(vm)
    vm.power_off()
else:
    skip("our kernel boots", "guest/kernel/build has not built it (vmctl kernel build)")

leak_check()
finish()
