# SPDX-License-Identifier: Apache-2.0
"""A Linux guest on isola-vmm, driven as its keeper would: what the lab's VMM tests
share. The guest has busybox, the modules of the lab's kernel, and an agent on vsock
that runs commands."""
import array
import json
import os
import select
import socket
import stat
import subprocess
import sys
import threading
import time
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/..")
from lib import *

PROGRAM = BUILD + "/isola-vmm"
VLOAD = BUILD + "/tests/lab/vload"
SHARE = "/usr/share/lab"
AGENT_PORT = 1024
BOOT_S = 120 * SCALE
MODULES = ["virtio", "virtio_ring", "virtio_mmio", "failover", "net_failover", "virtio_net",
           "virtio_console", "virtio_balloon", "virtio_blk", "vsock",
           "vmw_vsock_virtio_transport_common", "vmw_vsock_virtio_transport", "fuse", "virtiofs"]
INIT = """#!/bin/sh
mount -t devtmpfs dev /dev; mount -t proc proc /proc; mount -t sysfs sys /sys
mkdir -p /dev/pts /tmp; mount -t devpts pts /dev/pts; mount -t tmpfs -o size=90%% tmp /tmp
# each once what it needs is there
for pass in 1 2 3 4; do for m in %s; do
[ -e /sys/module/$m ] || insmod /modules/$m.ko 2>/dev/null; done; done
ip link set lo up
echo 1 > /proc/sys/kernel/printk
echo GUEST-READY
exec /bin/vload agent %d
"""


# ------------------------------------------------------------------ initramfs

class Cpio:
    """A newc archive."""

    def __init__(self):
        self.parts, self.names, self.ino = [], set(), 1

    def add(self, name, mode, data=b"", rdev=(0, 0)):
        if name in self.names:
            return
        parent = os.path.dirname(name)
        if parent and parent not in self.names:
            self.add(parent, stat.S_IFDIR | 0o755)
        self.names.add(name)
        self._put(name, mode, data, rdev)

    def _put(self, name, mode, data, rdev):
        fields = [self.ino, mode, 0, 0, 1, 0, len(data), 0, 0, rdev[0], rdev[1],
                  len(name) + 1, 0]
        self.ino += 1
        head = b"070701" + b"".join(b"%08x" % f for f in fields) + name.encode() + b"\0"
        self.parts += [head, bytes(-len(head) % 4), data, bytes(-len(data) % 4)]

    def program(self, path, name=None):
        """A program and the libraries it needs."""
        with open(path, "rb") as f:
            self.add(name or path.lstrip("/"), stat.S_IFREG | 0o755, f.read())
        for line in subprocess.run(["ldd", path], capture_output=True, text=True).stdout.splitlines():
            for word in line.split():
                if word.startswith("/"):
                    with open(word, "rb") as f:
                        self.add(word.lstrip("/"), stat.S_IFREG | 0o755, f.read())

    def bytes(self):
        self._put("TRAILER!!!", 0, b"", (0, 0))
        return b"".join(self.parts)


def make_initramfs(path, programs=()):
    c = Cpio()
    for d in ("dev", "proc", "sys", "tmp", "mnt", "root", "bin", "sbin"):
        c.add(d, stat.S_IFDIR | 0o755)
    c.add("dev/console", stat.S_IFCHR | 0o600, rdev=(5, 1))
    c.program("/usr/bin/busybox", "bin/busybox")
    c.program(VLOAD, "bin/vload")
    applets = subprocess.run(["/usr/bin/busybox", "--list"], capture_output=True, text=True).stdout.split()
    for a in applets:
        if a != "busybox":
            c.add("bin/" + a, stat.S_IFLNK | 0o777, b"busybox")
    for m in MODULES:
        ko = "%s/modules/%s.ko" % (SHARE, m)
        if os.path.exists(ko):
            with open(ko, "rb") as f:
                c.add("modules/%s.ko" % m, stat.S_IFREG | 0o644, f.read())
    for p in programs:
        c.program(p)
    c.add("init", stat.S_IFREG | 0o755, (INIT % (" ".join(MODULES), AGENT_PORT)).encode())
    with open(path, "wb") as f:
        f.write(c.bytes())


# --------------------------------------------------------------------- machine

def recv_fds(sock, size, n):
    fds = array.array("i")
    msg, anc, _, _ = sock.recvmsg(size, socket.CMSG_SPACE(n * fds.itemsize))
    for level, kind, data in anc:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[:len(data) - len(data) % fds.itemsize])
    return msg, list(fds)


class Guest:
    """One isola-vmm with a Linux guest. machine: parts of the machine file, in which
    {"fd": FILE DESCRIPTOR OF OURS} is handed over."""

    def __init__(self, name, initramfs, machine, memory=256 << 20, cpus=1, shared=False,
                 cmdline="", vsock=True, kernel=SHARE + "/vmlinux"):
        self.name, self.seq, self.replies, self.events = name, 0, {}, []
        self.folder = "%s/%s" % (T, name)
        os.mkdir(self.folder)
        self.vsock = self.folder + "/vsock"
        self.lock, self.cond = threading.Lock(), threading.Condition()
        self.out, self.err_file = self.folder + "/serial", self.folder + "/stderr"
        doc = {"version": 1, "id": name, "memory": {"size": memory, "shared": shared},
               "cpus": {"count": cpus}, "kvm": {"fd": os.open("/dev/kvm", os.O_RDWR)},
               "boot": {"kernel": {"fd": os.open(kernel, os.O_RDONLY)},
                        "initrd": {"fd": os.open(initramfs, os.O_RDONLY)},
                        "cmdline": "console=ttyS0 quiet panic=-1 " + cmdline}}
        if vsock:
            s = socket.socket(socket.AF_UNIX)
            s.bind(self.vsock)
            s.listen(4096)
            doc["vsock"] = {"cid": 3, "listen": {"fd": s.detach()}, "connect": "keeper"}
        doc.update(machine)
        self.start(doc)

    def start(self, doc):
        handed = []

        def number(o):
            if isinstance(o, dict):
                if list(o) == ["fd"]:
                    handed.append(o["fd"])
                    return {"fd": 4 + len(handed)}
                return {k: number(v) for k, v in o.items()}
            return [number(v) for v in o] if isinstance(o, list) else o
        text = json.dumps(number(doc)).encode()
        self.doc = text
        memfd = os.memfd_create("machine")
        os.write(memfd, text)
        os.lseek(memfd, 0, os.SEEK_SET)
        self.sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for s in (self.sock, theirs):
            s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        fds = [theirs.fileno(), memfd] + handed

        def child():
            high = [os.dup(fd) for fd in fds]
            high = [fcntl_dup(fd) for fd in high]
            for i, fd in enumerate(high):
                os.dup2(fd, 3 + i)
            os.closerange(3 + len(high), 4096)
        self.process = subprocess.Popen([PROGRAM, "--keeper"], stdin=subprocess.DEVNULL,
                                        stdout=open(self.out, "wb"), stderr=open(self.err_file, "wb"),
                                        preexec_fn=child, close_fds=False)
        theirs.close()
        os.close(memfd)
        for fd in handed:
            os.close(fd)
        self.thread = threading.Thread(target=self.listen, daemon=True)
        self.thread.start()

    def listen(self):
        while True:
            try:
                msg, fds = recv_fds(self.sock, 1 << 20, 4)
            except OSError:
                msg, fds = b"", []
            for fd in fds:
                os.close(fd)
            if not msg:
                break
            m = json.loads(msg)
            with self.cond:
                if "ask" in m:
                    self.answer(m)
                elif "event" in m:
                    self.events.append(m)
                else:
                    self.replies[m["seq"]] = m
                self.cond.notify_all()
        with self.cond:
            self.events.append({"event": "gone"})
            self.cond.notify_all()

    def answer(self, m):
        s = socket.socket(socket.AF_UNIX)
        try:
            s.connect("%s_%d" % (self.vsock, m["port"]))
            self.sock.sendmsg([json.dumps({"answer": m["seq"]}).encode()],
                              [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [s.fileno()]))])
        except OSError as e:
            self.sock.send(json.dumps({"answer": m["seq"], "code": e.errno, "error": str(e)}).encode())
        s.close()

    def event(self, name, seconds=30):
        with self.cond:
            end = time.monotonic() + seconds * SCALE
            while True:
                for e in self.events:
                    if e["event"] == name:
                        return e
                left = end - time.monotonic()
                if left <= 0 or any(e["event"] == "gone" for e in self.events):
                    return None
                self.cond.wait(left)

    def ask(self, op, **args):
        """The answer to a request, as a dictionary."""
        with self.cond:
            self.seq += 1
            seq = self.seq
            self.sock.send(json.dumps({"op": op, "seq": seq, **args}).encode())
            end = time.monotonic() + 30 * SCALE
            while seq not in self.replies:
                left = end - time.monotonic()
                if left <= 0 or not self.cond.wait(left):
                    return {"error": "no answer"}
            return self.replies.pop(seq)

    def device(self, name):
        return self.ask("stats")["devices"].get(name, {})

    def connect(self, port, timeout=30):
        """A stream to a port of the guest, or an OSError."""
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(timeout * SCALE)
        s.connect(self.vsock)
        s.sendall(b"CONNECT %d\n" % port)
        line = b""
        while not line.endswith(b"\n"):
            c = s.recv(1)
            if not c:
                raise ConnectionRefusedError("the guest refused port %d" % port)
            line += c
        return s

    def boot(self):
        """True when the agent answers."""
        if not self.event("hello", 60):
            return False
        if not self.ask("run").get("ok"):
            return False
        end = time.monotonic() + BOOT_S
        while time.monotonic() < end and self.process.poll() is None:
            try:
                self.connect(AGENT_PORT, timeout=20).close()
                return True
            except OSError:
                time.sleep(0.5)
        return False

    def sh(self, line, timeout=120):
        """(exit status, output) of a command in the guest."""
        s = self.connect(AGENT_PORT, timeout)
        s.settimeout(timeout * SCALE)
        s.sendall(line.encode() + b"\n")
        data = b""
        try:
            while piece := s.recv(65536):
                data += piece
        except OSError as e:
            data += b"\0%d" % (e.errno or 110)
        s.close()
        out, _, status = data.rpartition(b"\0")
        return (int(status) if status.isdigit() else -1), out.decode(errors="replace").strip()

    def rss_kib(self):
        with open("/proc/%d/status" % self.process.pid) as f:
            for line in f:
                if line.startswith(("VmRSS", )):
                    return int(line.split()[1])
        return 0

    def rss_settles(self, good, seconds):
        """The RSS once good(kib), or the last seen."""
        end = time.monotonic() + seconds * SCALE
        while not good(now := self.rss_kib()) and time.monotonic() < end:
            time.sleep(0.5)
        return now

    def tell(self):
        """What is known of it, for a test that failed."""
        for f in (self.err_file, self.out):
            with open(f, "rb") as h:
                diag("%s: %s" % (os.path.basename(f), h.read()[-3000:].decode(errors="replace")))
        diag("events: %r, exit status %r" % (self.events[-5:], self.process.poll()))

    def end(self):
        if self.process.poll() is None:
            try:
                self.ask("quit")
            except OSError:
                pass
        try:
            self.process.wait(20 * SCALE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.sock.close()


def fcntl_dup(fd):
    import fcntl
    return fcntl.fcntl(fd, fcntl.F_DUPFD, 200)


# ----------------------------------------------------------------- other ends

class Echo(threading.Thread):
    """Echoes on a Unix socket, any number of connections, in one thread."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(path)
        self.server.listen(4096)
        self.server.setblocking(False)
        self.poll, self.ended, self.most = select.epoll(), False, 0
        self.poll.register(self.server, select.EPOLLIN)
        self.conns, self.late = {}, {}
        self.start()

    def run(self):
        while not self.ended:
            for fd, events in self.poll.poll(0.2):
                if fd == self.server.fileno():
                    self.accept()
                else:
                    self.serve(fd)

    def accept(self):
        try:
            while True:
                c, _ = self.server.accept()
                c.setblocking(False)
                self.conns[c.fileno()], self.late[c.fileno()] = c, b""
                self.most = max(self.most, len(self.conns))
                self.poll.register(c, select.EPOLLIN)
        except BlockingIOError:
            pass

    def serve(self, fd):
        c = self.conns[fd]
        try:
            if not self.late[fd]:
                data = c.recv(65536)
                if not data:
                    raise ConnectionResetError
                self.late[fd] = data
            self.late[fd] = self.late[fd][c.send(self.late[fd]):]
        except BlockingIOError:
            pass
        except OSError:
            self.poll.unregister(c)
            del self.conns[fd], self.late[fd]
            c.close()
            return
        self.poll.modify(c, select.EPOLLOUT if self.late[fd] else select.EPOLLIN)

    def close(self):
        self.ended = True
        self.join(5)
        self.server.close()
