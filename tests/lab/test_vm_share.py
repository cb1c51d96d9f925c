# SPDX-License-Identifier: Apache-2.0
# nested: a Linux guest on emulated AMD-V
# What a Linux guest shares with its host besides disks: folders and volumes (virtiofs), files as
# memory (pmem), consoles with a size, and the serial port as a terminal.
# time limit: 80 s
import fcntl
import hashlib
import os
import pty
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from vmlib import *

d = need_guests()
have_fs = any(os.access(p, os.X_OK) for p in ("/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd"))
leak_mark()

# ------------------------------------------------------------------------ pmem
image = sparse(T + "/image", 16 * MIB)
is_(run(GUESTKIT, "write", image, 0, MIB, 4).rc, 0, "this side writes an image")
shared = T + "/shared"
os.makedirs(shared + "/sub")
with open(shared + "/hello", "w") as f:
    f.write("from the host\n")
big = os.urandom(4 * MIB)
with open(shared + "/big", "wb") as f:
    f.write(big)
os.makedirs(T + "/ro")
with open(T + "/ro/x", "w") as f:
    f.write("fixed\n")

flags = ["--pmem", image, "--console", "id=aux,rows=30,columns=90"]
if have_fs:
    flags += ["--share", shared + ":work", "--share", T + "/ro:fixed:ro", "--share", "volume=data,tag=vol"]
vm = Vm(d, "share", VMLINUX, flags=flags)
if not wait_for(20, lambda: vm.sh("[ -b /dev/pmem0 ]")[0] == 0):
    not_ok("the image is /dev/pmem0", vm.out("ls -l /sys/bus/nd/devices /sys/bus/virtio/drivers; dmesg | grep -iE 'pmem|nvdimm|nd_'"))
else:
    is_(vm.sh("guestkit verify /dev/pmem0 0 1048576 4"), (0, ""), "the image is /dev/pmem0")
    vm.sh("dd if=/dev/zero of=/dev/pmem0 bs=4096 count=1 conv=fsync 2>/dev/null")
    is_(run(GUESTKIT, "verify", image, 0, MIB, 4).rc, 0, "read-only: the guest cannot change it")
is_(vm.sh("echo alive"), (0, "alive\n"), "and has survived to try")

# ------------------------------------------------------------------- virtiofs
if have_fs:
    is_(vm.sh("mkdir -p /mnt/w /mnt/f; mount -t virtiofs work /mnt/w && mount -t virtiofs fixed /mnt/f"),
        (0, ""), "the shares can be mounted")
    is_(vm.out("cat /mnt/w/hello"), "from the host", "what is there can be read")
    is_(vm.out("sha256sum </mnt/w/big", 60).split(" ")[0], hashlib.sha256(big).hexdigest(), "whole")
    is_(vm.sh("echo from the guest >/mnt/w/sub/new; sync; mv /mnt/w/hello /mnt/w/moved; rm /mnt/w/big"),
        (0, ""), "it writes, renames, removes")
    with open(shared + "/sub/new") as f:
        is_(f.read(), "from the guest\n", "and the host sees it")
    is_(sorted(os.listdir(shared)), ["moved", "sub"], "all of it")
    with open(shared + "/later", "w") as f:
        f.write("later\n")
    is_(vm.out("cat /mnt/w/later"), "later", "a file that comes later is there, too")
    is_(vm.out("cat /mnt/f/x"), "fixed", "a read-only share can be read")
    isnt(vm.sh("echo y >/mnt/f/y 2>&1")[0], 0, "but not written")
    is_(os.listdir(T + "/ro"), ["x"], "nothing came of it")
    vm.sh("ln -s /etc/passwd /mnt/w/out; ln -s ../../../../../../etc/hostname /mnt/w/up")
    is_(vm.sh("cat /mnt/w/up 2>/dev/null")[1], "", "a link does not lead out of the folder")
    data = T + "/state/volumes/data/_data"
    is_(vm.sh("mkdir /mnt/v && mount -t virtiofs vol /mnt/v && echo one >/mnt/v/file"), (0, ""),
        "a volume can be mounted and written")
    with open(data + "/file") as f:
        is_((f.read(), os.fstat(f.fileno()).st_uid), ("one\n", 0), "the host has it, as root's")
    got = d.ctr("volume", "snapshot", "data", "first")
    is_((got.rc, vm.sh("echo two >/mnt/v/file; cat /mnt/v/file")), (0, (0, "two\n")),
        "a snapshot is taken, and the guest goes on", got)
    with open(T + "/state/volumes/data/snapshots/first/_data/file") as f:
        is_(f.read(), "one\n", "of that moment")
    vm.sh("umount /mnt/w /mnt/f /mnt/v")
else:
    skip("a folder is shared", "there is no virtiofsd (package virtiofsd or qemu-system-common)")

# -------------------------------------------------------------------- console
path = (vm.inspect().get("Consoles") or [{}])[0].get("Path", "")
check(path.startswith("/dev/pts/"), "inspect names the console's terminal", path)
is_(vm.out("stty size </dev/hvc0"), "30 90", "hvc0 has the size that was given")
is_(d.request("POST", "/vms/share/resize?console=aux&h=41&w=133")[0], 200, "resize")
check(wait_for(10, lambda: vm.out("stty size </dev/hvc0") == "41 133"), "the guest sees the new size",
      vm.out("stty size </dev/hvc0"))
fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
# held open, as hvc0 forgets its settings, and what comes in, with its last close
vm.send("exec 3<>/dev/hvc0; stty raw -echo <&3; echo to the host >&3; head -n 1 <&3; exec 3>&-")
got = b""
while b"host" not in got and (part := os.read(fd, 4096)):
    got += part
check(b"to the host" in got, "what the guest prints there comes out here", got)
os.write(fd, b"to the guest\n")
check(vm.expect("^to the guest\n"), "and what is typed here goes there", vm.tail())
os.close(fd)
vm.power_off()


# --------------------------------------------------- the serial port as terminal
class Client:
    """vmctl on a terminal of its own."""

    def __init__(self, *argv):
        self.pid, self.fd = pty.fork()
        if not self.pid:
            os.execv(BUILD + "/vmctl", [BUILD + "/vmctl", "-H", "unix://" + d.socket, *argv])
        self.text = b""

    def type(self, text):
        os.write(self.fd, text.encode())

    def expect(self, text, limit_s=SHELL_S):
        end = time.monotonic() + limit_s * SCALE
        fl = fcntl.fcntl(self.fd, fcntl.F_GETFL)
        fcntl.fcntl(self.fd, fcntl.F_SETFL, fl | os.O_NONBLOCK)
        while text.encode() not in self.text and time.monotonic() < end:
            try:
                part = os.read(self.fd, 65536)
            except BlockingIOError:
                time.sleep(0.02)
                continue
            except OSError:         # the other end has gone
                break
            self.text += part
        return text.encode() in self.text

    def end(self, limit_s=SHELL_S):
        """Its exit status."""
        def gone():
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            return (os.waitstatus_to_exitcode(status),) if pid else None
        self.expect("\0never", 0.1)
        got = wait_for(limit_s, gone)
        os.close(self.fd)
        return got[0] if got else None


initrd = initramfs(T + "/tty.cpio", FAST.modules, "echo up; exec setsid cttyhack sh -i")
c = Client("run", "-it", "--name", "tty", "--kernel", FAST.path, "--initrd", initrd,
           "--cmdline", "quiet")
check(c.expect("up", BOOT_S) and c.expect("#"), "run -it: a shell on the serial port", c.text[-500:])
c.type("stty sane; echo $((6*7))\r")
check(c.expect("42"), "does what is typed", c.text[-500:])
c.type("\x10\x11")
is_(c.end(), 0, "ctrl-p ctrl-q leaves")
is_((vmctl(d, "inspect", "--format", "{{.State.Status}}", "tty").out.strip()), "running",
    "and the VM goes on")
c = Client("console", "--detach-keys", "ctrl-x,x", "tty")
c.type("echo $((11*11))\r")
check(c.expect("121"), "vmctl console connects again", c.text[-500:])
c.type("echo g$((1))o; sleep 1000\r")
c.expect("g1o")
c.type("\x03")
c.expect("^C")
c.type("echo status $?\r")
check(c.expect("status 130"), "ctrl-c is the guest's, and ends what runs there", c.text[-500:])
c.type("\x18x")
is_(c.end(), 0, "other keys to leave can be chosen")
c = Client("console", "tty")
c.type("\rpoweroff -f\r")
c.expect("reboot: Power down")
is_(c.end(), 0, "the console ends with the guest")
is_(vmctl(d, "rm", "tty").rc, 0, "it is removed")

leak_check()
finish()
