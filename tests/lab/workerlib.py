# SPDX-License-Identifier: Apache-2.0
"""A Linux guest on isola-vmm, driven as a keeper would: the machine file in a memfd,
its control socket, the serial port on pipes.  For tests in the lab, which has Debian's
cloud kernel in /usr/share/lab and a busybox."""
import glob
import json
import os
import select
import shutil
import socket
import subprocess
import sys
import time
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/..")
from lib import *

SHARE = "/usr/share/lab"
BUSYBOX = "/bin/busybox"


def need_guest():
    """Skips the script where no Linux guest can be run."""
    need_root()
    need_program("isola-vmm")
    for path in ("/dev/kvm", SHARE + "/vmlinux", BUSYBOX):
        if not os.path.exists(path):
            skip_all("needs %s (tests/lab/lab has it)" % path)


def make_initrd(path, modules, script, files=()):
    """An initramfs: busybox, the cloud kernel's modules in this order, script (shell)
    as its init, and files, a list of (source, name)."""
    root = path + ".d"
    for d in ("bin", "dev", "proc", "sys", "tmp", "modules"):
        os.makedirs(root + "/" + d)
    shutil.copy(BUSYBOX, root + "/bin/busybox")
    lines = ["#!/bin/busybox sh", "export PATH=/bin:/sbin:/usr/bin:/usr/sbin",
             "/bin/busybox --install -s /bin", "mount -t proc proc /proc",
             "mount -t sysfs sysfs /sys", "mount -t devtmpfs devtmpfs /dev"]
    for m in modules:
        shutil.copy("%s/modules/%s.ko" % (SHARE, m), root + "/modules/")
        lines.append("insmod /modules/%s.ko" % m)
    for source, name in files:
        os.makedirs(os.path.dirname(root + name), exist_ok=True)
        shutil.copy(source, root + name)
    with open(root + "/init", "w") as f:
        f.write("\n".join(lines) + "\n" + script + "\npoweroff -f\n")
    os.chmod(root + "/init", 0o755)
    subprocess.run("cd %s && find . | busybox cpio -o -H newc >%s 2>/dev/null" % (root, path),
                   shell=True, check=True)
    shutil.rmtree(root)
    return path


def make_tools(path):
    """fio and util-linux's blkdiscard with their libraries, as a tar that a
    guest unpacks from a disk."""
    names = [p for p in ("/usr/bin/fio", "/usr/sbin/blkdiscard") if os.path.exists(p)]
    for p in list(names):
        for line in run("ldd", p).out.splitlines():
            names += [w for w in line.split() if w.startswith("/")]
    run("tar", "chf", path, "--", *sorted(set(names)))
    with open(path, "r+b") as f:
        f.truncate((os.path.getsize(path) + 511) // 512 * 512)


class Guest:
    """One isola-vmm in a keeper's hands."""

    def __init__(self, machine, initrd, cmdline="", kernel=SHARE + "/vmlinux", open_files=()):
        """machine: the machine file without kvm, boot and version; {"fd": i} in it
        stands for the i-th of open_files (descriptors, kept by the caller)."""
        self.out, self.events, self.answers, self.seq = "", [], {}, 0
        fds = [os.open("/dev/kvm", os.O_RDWR), os.open(kernel, os.O_RDONLY),
               os.open(initrd, os.O_RDONLY)]
        first = 5 + len(fds)
        doc = json.loads(json.dumps(machine),
                         object_hook=lambda o: {"fd": first + o["fd"]} if set(o) == {"fd"} else o)
        doc.update(version=1, id="guest", kvm={"fd": 5},
                   boot={"kernel": {"fd": 6}, "initrd": {"fd": 7},
                         "cmdline": "console=ttyS0 quiet panic=-1 " + cmdline})
        memfd = os.memfd_create("machine")
        os.write(memfd, json.dumps(doc).encode())
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        given = [theirs.fileno(), memfd] + fds + list(open_files)
        # all above what they become, so that no dup2() hits one that is still needed
        high = [os.dup2(fd, 200 + i, inheritable=False) for i, fd in enumerate(given)]

        def place():
            for i, fd in enumerate(high):
                os.dup2(fd, 3 + i)
        self.p = subprocess.Popen([BUILD + "/isola-vmm", "--keeper"], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  preexec_fn=place, pass_fds=range(3, 3 + len(given)))
        for fd in fds + high + [memfd]:
            os.close(fd)
        theirs.close()
        if self.event("hello", 30):
            self.ask("run")

    def _take(self, wait_s):
        """One go of whatever comes: serial output or a packet of the worker. False when
        nothing did, as at the end of both."""
        r, _, _ = select.select([self.p.stdout, self.control], [], [], wait_s)
        came = self.p.stdout in r and self._read()
        if self.control in r:
            try:
                data = self.control.recv(131072)
            except OSError:
                data = b""
            if data:
                came = True
                msg = json.loads(data)
                if "event" in msg:
                    self.events.append(msg)
                else:
                    self.answers[msg.get("seq")] = msg
        if r and not came:
            time.sleep(0.05)  # an end is readable for ever
        return came

    def _read(self):
        """What the guest and the worker wrote; False at the end."""
        data = os.read(self.p.stdout.fileno(), 65536)
        self.out += data.decode(errors="replace")
        return bool(data)

    def until(self, condition, limit_s):
        end = time.monotonic() + limit_s * SCALE
        while not (value := condition()) and time.monotonic() < end:
            self._take(0.1)
        return value

    def event(self, name, limit_s):
        """The first event of that name; None when it does not come, or the worker ended first."""
        def first():
            return next((e for e in self.events if e["event"] == name), None)
        self.until(lambda: first() or (self.p.poll() is not None and not self._take(0)), limit_s)
        return first()

    def says(self, text, limit_s=60):
        """Whether text comes on the serial port."""
        self.until(lambda: text in self.out or self.p.poll() is not None, limit_s)
        while text not in self.out and select.select([self.p.stdout], [], [], 0)[0]:
            if not self._read():
                break
        return text in self.out

    def value(self, key, limit_s=60):
        """The last KEY=value line of the guest; waits for one."""
        line = re.compile(r"^%s=(.*?)\r?\n" % re.escape(key), re.M)
        self.until(lambda: line.search(self.out) or self.p.poll() is not None, limit_s)
        found = line.findall(self.out)
        return found[-1] if found else None

    def type(self, line):
        os.write(self.p.stdin.fileno(), (line + "\n").encode())

    def ask(self, op, limit_s=30, **args):
        """One request; the answer (None: none came)."""
        self.seq += 1
        self.control.send(json.dumps(dict(args, op=op, seq=self.seq)).encode())
        seq = self.seq
        return self.until(lambda: self.answers.get(seq), limit_s)

    def stats(self, device):
        return self.ask("stats")["devices"][device]

    def end(self, limit_s=60):
        """Waits for the end by itself; VMM_EXIT."""
        return self.event("exit", limit_s)

    def close(self):
        self.p.kill()
        self.p.wait()
        self.control.close()
        self.p.stdin.close()
        self.p.stdout.close()
