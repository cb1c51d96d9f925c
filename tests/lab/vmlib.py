# SPDX-License-Identifier: Apache-2.0
"""Linux guests for the tests in the lab: kernels, an initramfs made here, and a
VM on an isolad of one's own whose shell is on its serial port.

    from vmlib import *
    d = need_guests()
    vm = Vm(d, "one", cpus=2, flags=["--disk", path])
    rc, out = vm.sh("nproc")
"""
import glob
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
import zlib
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)) + "/..")
from lib import *

SHARE = "/usr/share/lab"
GUESTKIT = BUILD + "/tests/lab/guestkit"
MIB, GIB = 1 << 20, 1 << 30
BOOT_S = 60                 # scaled; a quiet lab takes 10 s for Debian's kernel
SHELL_S = 30

# In the order in which they go in; what is built in is not there.
MODULES = """virtio_ring virtio virtio_mmio
    failover net_failover virtio_net
    virtio_blk virtio_console rng-core virtio-rng virtio_balloon
    vsock vmw_vsock_virtio_transport_common vmw_vsock_virtio_transport
    fuse virtiofs overlay libcrc32c erofs
    libnvdimm nd_virtio virtio_pmem nd_btt nd_pmem
    pvpanic pvpanic-mmio vmgenid button evdev watchdog wdat_wdt""".split()

# PID 1 is the shell that the test talks to. A line in, its output and "@@N STATUS" out.
INIT = r"""#!/bin/sh
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
mkdir -p /dev/pts /dev/shm /run /tmp /mnt
mount -t devpts pts /dev/pts
mount -t tmpfs tmp /tmp
for m in $(cat /m/list); do insmod /m/$m; done
exec </dev/ttyS0 >/dev/ttyS0 2>&1
stty raw -echo opost onlcr
# the power button: an input device, or a signal to PID 1 where a kernel has none
for e in /dev/input/event*; do
	[ -c $e ] && { dd if=$e of=/dev/null bs=24 count=1 2>/dev/null && poweroff -f; } &
done
trap 'poweroff -f' 38
%s
n=0
echo "@@$n 0"
while IFS= read -r line; do
	n=$((n + 1))
	eval "$line" </dev/null
	echo "@@$n $?"
done
"""


def cpio(entries):
    """(name, mode, data) to an archive the kernel unpacks (newc)."""
    out = bytearray()
    for n, (name, mode, data) in enumerate(entries + [("TRAILER!!!", 0, b"")]):
        path = name.encode() + b"\0"
        out += b"070701" + b"".join(b"%08X" % v for v in (
            n, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(path), 0)) + path
        out += bytes(-len(out) % 4) + data
        out += bytes(-len(out) % 4)
    return bytes(out)


def _read(path):
    with open(path, "rb") as f:
        return f.read()


def initramfs(path, modules, more="", files=()):
    """busybox, guestkit, the modules (names of files in SHARE), INIT with @more, and
    @files, entries for cpio()."""
    import shutil
    busybox = shutil.which("busybox")
    entries = [(d, 0o40755, b"") for d in
               ("bin", "dev", "proc", "sys", "m", "run", "tmp", "mnt", "etc")]
    entries += [("bin/busybox", 0o100755, _read(busybox)),
                ("bin/guestkit", 0o100755, _read(GUESTKIT)),
                ("init", 0o100755, (INIT % more).encode())]
    entries += [("bin/" + a, 0o120777, b"busybox") for a in run(busybox, "--list").out.split()
                if a != "busybox"]
    names = [m + ".ko" for m in modules if os.path.exists("%s/modules/%s.ko" % (SHARE, m))]
    entries += [("m/" + n, 0o100644, _read("%s/modules/%s" % (SHARE, n))) for n in names]
    entries += files
    entries.append(("m/list", 0o100644, "".join(n + "\n" for n in names).encode()))
    with open(path, "wb") as f:
        f.write(cpio(entries))
    return path


def is_of_fragment(folder):
    """Was it built with all that guest/kernel/fragment asks for today?"""
    try:
        config = set(_read(folder + "/config").decode().splitlines())
    except OSError:
        return False
    wanted = _read(SRC + "/guest/kernel/fragment").decode().split("# optional")[0].splitlines()
    return config.issuperset(line for line in wanted if line.startswith("CONFIG_"))


def kernel_caches():
    return [os.environ.get("ISOLA_GUEST_KERNELS") or "/nowhere", SRC + "/build/guest-kernels",
            os.path.expanduser("~/.cache/isola/kernels")]


def own_kernel():
    """The folder that guest/kernel/build made of today's fragment, or None: in
    $ISOLA_GUEST_KERNELS, build/guest-kernels or ~/.cache/isola/kernels."""
    for top in kernel_caches():
        for folder in sorted(glob.glob(top + "/*")):
            if os.path.exists(folder + "/vmlinux") and is_of_fragment(folder):
                return folder
    return None


def fetched_kernel():
    """The folder that guest/kernel/fetch made of Debian's kernel, with our patches in its
    modules, as scripts/setup installs it, or None. Found as own_kernel()."""
    found = []
    for top in kernel_caches():
        for folder in glob.glob(top + "/*"):
            if os.path.exists(folder + "/vmlinuz") and os.path.exists(folder + "/config") and \
                    b"\nCONFIG_OVERLAY_FS_UPPER_UNLINKED=y" in _read(folder + "/config"):
                found.append(folder)
    return max(found, key=os.path.getmtime, default=None)


def _threads(pid):
    """Name, system call and kernel stack of each thread of a process."""
    text = []
    for folder in sorted(glob.glob("/proc/%d/task/*" % pid)):
        try:
            text += [_read(folder + "/comm").decode().strip() + ": " +
                     _read(folder + "/syscall").decode().strip(),
                     _read(folder + "/stack").decode()]
        except OSError as e:
            text.append(str(e))
    return "\n".join(text)


def _kvm_trace(seconds=1, lines=60):
    """The last of what KVM's trace points say in some seconds."""
    top = "/sys/kernel/tracing/"
    try:
        for on in "10":
            with open(top + "events/kvm/enable", "w") as f:
                f.write(on)
            time.sleep(seconds * int(on))
        text = _read(top + "trace").decode(errors="replace")
        with open(top + "trace", "w"):      # forgets it
            pass
        return "\n".join(text.splitlines()[-lines:])
    except OSError as e:
        return "no trace of KVM: %s" % e


def need_guests(*flags):
    """An isolad whose VMs can be Linux, or the script is skipped, aloud."""
    need_root()
    need_program("isolad", "isola-keeper", "isola-vmm", "vmctl")
    if not os.path.exists(GUESTKIT):
        skip_all("the guests' programs are not built")
    if not os.path.exists(SHARE + "/bzImage"):
        skip_all("needs the lab's guest kernels (tests/lab/lab)")
    if not os.path.exists("/dev/kvm"):
        skip_all("needs /dev/kvm")
    return start_isolad(*flags) or skip_all("isolad does not start")


MODULES_OF_ROOT = {"fuse": "virtiofs", "virtiofs": "virtiofs", "overlay": "overlay",
                   "libcrc32c": "erofs", "erofs": "erofs"}


def need_container_guests(debian=False, root="auto"):
    """What a container behind the VM wall needs beside an isolad, or the script is skipped:
    our own kernel, if it is built, and Debian's with its modules if not, or if @debian: what
    guest/kernel/fetch made, else the lab's, without our patches. Returns isolad's flags for
    it. @root: what gives a guest its root; ISOLA_TEST_GUEST_ROOT says it for all, in a run
    by hand."""
    if not os.access(BUILD + "/guest/init/isola-init", os.X_OK):
        skip_all("isola-init is not built")
    if not any(os.access(p, os.X_OK)
               for p in ("/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd")):
        skip_all("there is no virtiofsd (package virtiofsd or qemu-system-common)")
    if not os.path.exists(SHARE + "/bzImage"):
        skip_all("needs the lab's guest kernels (tests/lab/lab)")
    flags = ["--guest-boot-timeout", "120",
             "--guest-root", os.environ.get("ISOLA_TEST_GUEST_ROOT", root)]
    if OWN and not debian:
        return ["--guest-kernel", OWN.path] + flags
    fetched = fetched_kernel()
    if fetched:
        return ["--guest-kernel", fetched + "/vmlinuz"] + flags
    folder = T + "/state/guest"
    os.makedirs(folder + "/modules")
    os.symlink(SHARE + "/bzImage", folder + "/kernel")
    with open(folder + "/modules/list", "w") as f:
        for m in MODULES:
            if os.path.exists("%s/modules/%s.ko" % (SHARE, m)):
                shutil.copy("%s/modules/%s.ko" % (SHARE, m), folder + "/modules")
                f.write("%s %s.ko\n" % (MODULES_OF_ROOT.get(m, "-"), m))
    return flags


def guests_kernel():
    """What need_container_guests() takes, for people."""
    if OWN:
        return "our own kernel"
    return "Debian's kernel, " + ("with our patches" if fetched_kernel() else "as it is")


class Kernel:
    """A kernel by file, and the modules it wants."""

    def __init__(self, path, modules=MODULES):
        self.path, self.modules = path, modules
        self.name = os.path.basename(path)


BZIMAGE, VMLINUX = Kernel(SHARE + "/bzImage"), Kernel(SHARE + "/vmlinux")
_own = own_kernel()
OWN = Kernel(_own + "/vmlinux", []) if _own else None
FAST = OWN or VMLINUX       # for what is about devices, not about booting


class Vm:
    """vmctl run -i NAME with the guest's shell at its standard input and output."""

    def __init__(self, d, name, kernel=None, cpus=1, memory=256 * MIB, flags=(), cmdline="",
                 more="", boot=True, modules=None, files=()):
        self.d, self.name, self.kernel = d, name, kernel or FAST
        initrd = initramfs("%s/%s.cpio" % (T, name),
                           self.kernel.modules if modules is None else modules, more, files)
        self.argv = ["run", "-i", "--name", name, "--kernel", self.kernel.path,
                     "--initrd", initrd, "--cpus", str(cpus), "--memory", str(memory),
                     "--cmdline", ("quiet unknown_nmi_panic " + cmdline).strip(),
                     *map(str, flags)]
        self.sent = 0
        self.text = b""
        self.ended = False
        self.changed = threading.Condition()
        self.t0 = time.monotonic()
        self.process = subprocess.Popen([BUILD + "/vmctl", "-H", "unix://" + d.socket, *self.argv],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT)
        threading.Thread(target=self._read, daemon=True).start()
        if boot and not self.booted():
            not_ok("%s boots" % name, self.tail())
            diag(d.log_tail())

    def _read(self):
        while part := os.read(self.process.stdout.fileno(), 65536):
            with self.changed:
                self.text += part.replace(b"\r", b"")
                self.changed.notify_all()
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def tail(self, lines=30):
        return "\n".join(self.text.decode(errors="replace").splitlines()[-lines:])

    def expect(self, pattern, limit_s=SHELL_S, start=0):
        """The first match in what the guest printed from offset @start on, or None."""
        pattern = re.compile(pattern.encode() if isinstance(pattern, str) else pattern, re.M)
        end = time.monotonic() + limit_s * SCALE
        with self.changed:
            while not (m := pattern.search(self.text, start)):
                left = end - time.monotonic()
                if self.ended or left <= 0:
                    return None
                self.changed.wait(min(left, 5))
        return m

    def booted(self, limit_s=BOOT_S, start=0):
        """Whether its shell is there; a new one after a reset counts from 0 again."""
        m = self.expect(r"^@@0 0\n", limit_s, start)
        self.sent = 0
        self.boot_s = time.monotonic() - self.t0
        return bool(m)

    def send(self, line):
        """A line for the shell, whose end nobody waits for; returns where its output starts."""
        start = len(self.text)
        self.sent += 1
        try:
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()
        except OSError:
            pass
        return start

    def finished(self, start, limit_s=SHELL_S):
        """(status, output) of the line sent last; (None, ...) if it never ends: then
        the VM is looked at and ended, so that it costs no more time."""
        m = self.expect(r"@@%d (\d+)\n" % self.sent, limit_s, start)
        if not m:
            got = self.text[start:].decode(errors="replace")
            if not self.ended:
                self.autopsy()
            return None, got
        return int(m[1]), self.text[start:m.start()].decode(errors="replace")

    def autopsy(self):
        """Tells what a guest that does not answer is at: what its devices count, where
        its worker waits, what KVM does for a second (which interrupts, at which
        instructions), and whether it still takes an NMI, which makes it panic."""
        diag("%s does not answer; its state: %s" % (self.name, self.state()))
        for _ in range(2):
            try:
                told = self.stats().get("vm") or {}
                diag("vcpus %s\ndevices %s" % (told.get("vcpus"), told.get("devices")))
            except OSError as e:
                diag("no statistics: %r" % e)
            time.sleep(1)
        diag(_threads(self.state().get("Pid") or 0))
        diag(_kvm_trace())
        start = len(self.text)
        self.ctl("nmi")
        self.wait_end(10)
        diag("after an NMI: %s %s" % (self.reason(),
                                      self.text[start:].decode(errors="replace")[-4000:]))
        self.ctl("kill")
        self.wait_end(10)
        diag("isolad: " + self.d.log_tail(5))

    def sh(self, line, limit_s=SHELL_S):
        return self.finished(self.send(line), limit_s)

    def out(self, line, limit_s=SHELL_S):
        """The output of a line, without the last newline."""
        return self.sh(line, limit_s)[1].rstrip("\n")

    def ctl(self, verb, *argv, **kw):
        """vmctl VERB ... NAME"""
        return vmctl(self.d, verb, *argv, self.name, **kw)

    def inspect(self):
        status, _, doc = self.d.request("GET", "/vms/%s/json" % self.name)
        return doc if status == 200 else {}

    def state(self):
        return self.inspect().get("State") or {}

    def stats(self):
        return self.d.request("GET", "/vms/%s/stats?stream=0" % self.name)[2]

    def device(self, id):
        """What the worker counts of one device."""
        return ((self.stats().get("vm") or {}).get("devices") or {}).get(id, {})

    def reason(self):
        """(status, exit code, reason) as inspect tells them."""
        s = self.state()
        return s.get("Status"), s.get("ExitCode"), s.get("Reason")

    def wait_end(self, limit_s=SHELL_S):
        """The exit status of vmctl run, None if it stays."""
        try:
            return self.process.wait(limit_s * SCALE)
        except subprocess.TimeoutExpired:
            return None

    def wait_status(self, wanted, limit_s=SHELL_S):
        return wait_for(limit_s, lambda: self.state().get("Status") == wanted)

    def remove(self):
        r = self.ctl("rm", "-f")
        if r.rc:
            not_ok("%s is removed" % self.name, r)
        if self.process.poll() is None and self.wait_end(10) is None:
            self.process.kill()
            self.process.wait()
        os.unlink("%s/%s.cpio" % (T, self.name))

    def power_off(self, name=None):
        """The guest switches itself off; the VM goes."""
        self.send("poweroff -f")
        is_((self.wait_end(), self.reason()), (0, ("exited", 0, "poweroff")),
            name or self.name + " powers off: exit code 0")
        self.remove()


def vmctl(d, *argv, **kw):
    return run(BUILD + "/vmctl", "-H", "unix://" + d.socket, *argv, **kw)


def sparse(path, size):
    with open(path, "wb") as f:
        f.truncate(size)
    return path


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


def rss_kib(pid, field="VmRSS"):
    m = re.search(r"^%s:\s+(\d+) kB" % field, _read("/proc/%d/status" % pid).decode(), re.M)
    return int(m[1]) if m else 0


def complaints(vm):
    """What the guest's kernel says of stalls, lockups and errors since it booted."""
    rc, out = vm.sh("dmesg | grep -E 'stall|lockup|hung task|BUG:|Call Trace|I/O error|clocksource.*unstable'")
    return out
