# SPDX-License-Identifier: Apache-2.0
# nested: a Linux guest on emulated AMD-V
# Linux guests through vmctl: Debian's cloud kernel and our own, with the initial RAM
# disk that "vmctl kernel" makes: a command in a disk and its exit code, a disk's own
# init, user data, a disk with its own kernel, the power button.
# time limit: 110 s
import json
import os
import shutil
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, HERE + "/..")
sys.path.insert(0, HERE + "/../api")
sys.path.insert(0, HERE)
from lib import *
from disklib import *
from vmlib import own_kernel

need_root()
need_program("isolad", "isola-keeper", "isola-vmm", "vmctl", "isola-bootdisk", "isola-boot-init")
LAB = "/usr/share/lab"
if not os.path.exists(LAB + "/bzImage"):
    skip_all("not in the lab")
d = start_isolad() or skip_all("isolad does not start")
VM = [BUILD + "/vmctl", "-H", "unix://" + d.socket]
GUEST_S = 40                              # one boot, generously, before the scale


def vmctl(*argv, text="", limit_s=GUEST_S):
    return run(*VM, *argv, text=text, limit_s=limit_s * SCALE)


def logs(vm):
    return vmctl("logs", vm).out


# ------------------------------------------------------- kernels for the store

def debian_kernel():
    """As guest/kernel/fetch makes it, from what the lab holds of the package."""
    folder = T + "/debian"
    os.makedirs(folder + "/modules")
    shutil.copy(LAB + "/bzImage", folder + "/vmlinuz")
    order = ["virtio_ring", "virtio", "virtio_mmio", "virtio_blk", "rng-core", "virtio-rng"]
    with open(folder + "/modules/list", "w") as f:
        for name in order:
            if os.path.exists("%s/modules/%s.ko" % (LAB, name)):
                shutil.copy("%s/modules/%s.ko" % (LAB, name), folder + "/modules")
                f.write("- %s.ko\n" % name)
    with open(folder + "/kernel.json", "w") as f:
        json.dump({"name": "debian", "kind": "debian", "release": "?", "kernel": "vmlinuz"}, f)
    return folder


def busybox_root(folder, inittab):
    for sub in ("bin", "sbin", "etc", "proc", "sys", "dev", "run", "tmp", "boot"):
        os.makedirs(folder + "/" + sub)
    shutil.copy("/bin/busybox", folder + "/bin/busybox")
    for name in ("sh", "echo", "cat", "uname", "mount", "sleep", "poweroff", "wc", "kill"):
        os.symlink("busybox", folder + "/bin/" + name)
    os.symlink("../bin/busybox", folder + "/sbin/init")
    with open(folder + "/etc/inittab", "w") as f:
        f.write(inittab)
    with open(folder + "/etc/fstab", "w") as f:
        f.write("/dev/vda / ext4 defaults 0 1\n")
    return folder


ROOT = busybox_root(T + "/root", "::sysinit:/bin/mount -t proc proc /proc\n"
                                 "::respawn:/bin/sh -c 'echo up; while :; do sleep 1; done'\n")
DISK = ext4(T + "/disk.raw", ROOT, 32)
with open(T + "/user-data", "w") as f:
    f.write("#cloud-config\n# of the test\n")


def try_kernel(name):
    """What every stored kernel can."""
    args = ["--kernel", name, "--memory", "256m", "--disk", DISK]
    r = vmctl("run", "--rm", *args, "--", "/bin/sh", "-c",
              'echo "it is $(uname -r)"; echo "%41"; exit 7')
    check(r.rc == 7 and re.search(r"^it is \d+\.\d+\.\S+\r?$", r.out, re.M) and "%41" in r.out,
          name + ": a command in a disk, its output and exit code", repr(r))
    r = vmctl("run", "--rm", *args, "--", "/no/such/program")
    is_(r.rc, 127, name + ": a command that is not there", )
    # A guest gives up on a processor that does not come within its time: in a busy
    # lab that happens, so it has three tries.
    for _ in range(3):
        r = vmctl("run", "--rm", *args, "--cpus", "2", "--", "/bin/sh", "-c",
                  "mount -t proc proc /proc; cat /proc/cpuinfo")
        if r.out.count("processor\t") == 2:
            break
        diag("a processor did not come: %r" % r)
    is_(r.out.count("processor\t"), 2, name + ": two vCPUs")
    r = vmctl("run", "-d", "--name", "up-" + name, *args)
    check(wait_for(GUEST_S * SCALE, lambda: "up" in logs("up-" + name).split()),
          name + ": without a command the disk's own init runs", logs("up-" + name)[-2000:])
    vmctl("rm", "-f", "up-" + name)


r = vmctl("kernel", "add", debian_kernel())
is_((r.rc, r.out), (0, "debian\n"), "a kernel is added to the store")
leak_mark()
try_kernel("debian")

own = own_kernel()
if not own:
    skip("our own kernel boots", "it is not built of this fragment (guest/kernel/build)")
else:
    name = vmctl("kernel", "add", "--use", own).out.strip()
    try_kernel(name)
    args = ["--memory", "128m", "--disk", DISK]
    r = vmctl("run", "--rm", *args, "--cloud-init", T + "/user-data", "--", "/bin/sh", "-c",
              "mount -t iso9660 /dev/vdb /tmp; cat /tmp/user-data")
    check(r.rc == 0 and "# of the test" in r.out, "user data is on a disk that Linux reads", repr(r))
    r = vmctl("run", "-d", "--name", "button", *args, "--stop-timeout", "60", "--", "/bin/sh", "-c",
              "echo up; while :; do sleep 1; done")
    wait_for(GUEST_S * SCALE, lambda: "up" in logs("button").split())
    vmctl("stop", "button", limit_s=80)
    is_(vmctl("inspect", "-f", "{{.State.Reason}}", "button").out, "poweroff\n",
        "the power button ends it")
    vmctl("rm", "-f", "button")
    # the same kernel out of a disk, with an initial RAM disk of its own
    k = json.loads(vmctl("kernel", "ls", "--format", "json").out.splitlines()[-1])
    shutil.copy(k["Kernel"], ROOT + "/boot/vmlinuz-6.1-own")
    shutil.copy(k["Initrd"], ROOT + "/boot/initrd.img-6.1-own")
    gpt(T + "/gpt.raw", [(BIOS_BOOT, "11111111-2222-3333-4444-555555555555", 1 << 20),
                         (LINUX, "aabbccdd-1122-3344-5566-778899aabbcc",
                          ext4(T + "/fs", ROOT, 96))])
    r = vmctl("run", "-d", "--name", "own", "--memory", "256m", "--disk", T + "/gpt.raw")
    check(wait_for(GUEST_S * SCALE, lambda: "up" in logs("own").split()),
          "a disk boots the kernel in it, with the root that it names", logs("own")[-2000:])
    vmctl("rm", "-f", "own")
leak_check()
finish()
