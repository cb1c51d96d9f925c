# SPDX-License-Identifier: Apache-2.0
"""The host's side of include/isola/guest.h for tests of isola-init: Peer listens where
the guest connects to; Init runs isola-init itself in namespaces of its own."""
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)) + "/..")
from lib import *

with open(SRC + "/include/isola/guest.h") as _f:
    _TEXT = _f.read()
# GUEST_SETUP, GF_ARG, ... as the header has them
globals().update({m[0]: int(m[1]) for m in re.findall(r"^\s*((?:GUEST|GF)_\w+) = (\d+)", _TEXT, re.M)})
globals().update({m[0]: int(m[1]) for m in re.findall(r"^#define (GUEST_\w+) +(\d+)", _TEXT, re.M)})
LIMIT_S = 30


def field(tag, value):
    if isinstance(value, bool) or isinstance(value, int):
        value = struct.pack("<Q", value & (1 << 64) - 1)
    elif isinstance(value, str):
        value = value.encode() + b"\0"
    elif isinstance(value, list):
        value = fields(value)
    return struct.pack("<HHI", tag, 0, len(value)) + value


def fields(pairs):
    return b"".join(field(tag, value) for tag, value in pairs)


def parse(body):
    out = []
    while body:
        tag, _zero, size = struct.unpack_from("<HHI", body)
        out.append((tag, body[8:8 + size]))
        body = body[8 + size:]
    return out


def number(pairs, tag, otherwise=None):
    for t, v in pairs:
        if t == tag:
            return struct.unpack("<Q", v)[0]
    return otherwise


def text(pairs, tag, otherwise=None):
    for t, v in pairs:
        if t == tag:
            return v[:-1].decode()
    return otherwise


class Peer:
    def __init__(self, path):
        self.path = path
        self.cond = threading.Condition()
        self.control = None
        self.ready = None
        self.streams = {}       # (process, stream): socket
        self.answers = {}       # seq: fields
        self.exited = {}        # process: (status, oom)
        self.gone = False
        self.seq = 0
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.bind(path)
        self.sock.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                conn, _ = self.sock.accept()
            except OSError:
                return
            hello = _recv(conn, 16)
            if len(hello) < 16:
                continue
            magic, version, kind, stream, process = struct.unpack("<4sHBBQ", hello)
            with self.cond:
                if magic == b"ISOG" and version == 1 and kind == 0:
                    self.control = conn
                    threading.Thread(target=self._read, daemon=True).start()
                else:
                    self.streams[process, stream] = conn
                self.cond.notify_all()

    def _read(self):
        while True:
            head = _recv(self.control, 16)
            if len(head) < 16:
                break
            size, kind, _zero, seq = struct.unpack("<IHHQ", head)
            pairs = parse(_recv(self.control, size))
            with self.cond:
                if kind == GUEST_ANSWER:
                    self.answers[seq] = pairs
                elif kind == GUEST_READY:
                    self.ready = pairs
                elif kind == GUEST_EXITED:
                    self.exited[number(pairs, GF_PROCESS)] = (number(pairs, GF_STATUS),
                                                              number(pairs, GF_OOM))
                self.cond.notify_all()
        with self.cond:
            self.gone = True
            self.cond.notify_all()

    def wait(self, predicate, limit_s=LIMIT_S):
        """Until then, or the limit; not as soon as the guest has gone."""
        with self.cond:
            return self.cond.wait_for(predicate, limit_s * SCALE)

    def send_raw(self, data):
        self.control.sendall(data)

    def ask(self, kind, pairs=()):
        """Sends a request; its number."""
        body = fields(pairs)
        self.seq += 1
        self.send_raw(struct.pack("<IHHQ", len(body), kind, 0, self.seq) + body)
        return self.seq

    def answer(self, seq):
        """(error, text, fields) of the answer to @seq."""
        if not self.wait(lambda: seq in self.answers or self.gone) or seq not in self.answers:
            return (-1, "no answer", [])
        pairs = self.answers[seq]
        return (number(pairs, GF_ERROR, 0), text(pairs, GF_TEXT, ""), pairs)

    def call(self, kind, pairs=()):
        return self.answer(self.ask(kind, pairs))

    def stream(self, process, stream):
        self.wait(lambda: (process, stream) in self.streams)
        return self.streams[process, stream]

    def read_all(self, process, stream=1):
        sock = self.stream(process, stream)
        sock.settimeout(LIMIT_S * SCALE)
        out = []
        while True:
            data = sock.recv(65536)
            if not data:
                return b"".join(out)
            out.append(data)

    def status(self, process):
        """As a shell has it; -1: not told of."""
        self.wait(lambda: process in self.exited)
        if process not in self.exited:
            return -1
        status = self.exited[process][0]
        return 128 + (status & 0x7f) if status & 0x7f else status >> 8

    def close(self):
        self.sock.close()
        for s in self.streams.values():
            s.close()
        if self.control:
            self.control.shutdown(socket.SHUT_RDWR)
            self.control.close()


def _recv(conn, size):
    out = b""
    while len(out) < size:
        try:
            data = conn.recv(size - len(out))
        except OSError:
            data = b""
        if not data:
            break
        out += data
    return out


ALL_CAPS = (1 << 41) - 1
USUAL = [(GF_CWD, "/"), (GF_ENV, "PATH=/bin")] + \
        [(t, ALL_CAPS) for t in (GF_CAPS_BOUNDING, GF_CAPS_EFFECTIVE, GF_CAPS_PERMITTED)]


def process(number_, *args, streams=6, more=(), usual=USUAL):
    return [(GF_PROCESS, number_)] + [(GF_ARG, a) for a in args] + [(GF_STREAMS, streams)] + \
        list(usual) + list(more)


DEVICES = [("null", 3), ("zero", 5), ("full", 7), ("random", 8), ("urandom", 9)]


def setup(root, more=(), kind="bind", root_more=()):
    out = [(GF_ROOT, [(GF_FSTYPE, kind), (GF_SOURCE, root)] + list(root_more)),
           (GF_HOSTNAME, "guest-name")]
    for target, fs, flags, data in [("/proc", "proc", 14, None), ("/dev", "tmpfs", 2, "mode=755"),
                                    ("/dev/pts", "devpts", 10, "newinstance,ptmxmode=0666,mode=0620"),
                                    ("/dev/shm", "tmpfs", 14, "size=1m"),
                                    ("/dev/mqueue", "mqueue", 14, None),
                                    ("/sys", "sysfs", 15, None)]:
        out.append((GF_MOUNT, [(GF_TARGET, target), (GF_FSTYPE, fs), (GF_FLAGS, flags)] +
                    ([(GF_DATA, data)] if data else [])))
    for name, minor in DEVICES:
        out.append((GF_DEVICE, [(GF_TARGET, "/dev/" + name), (GF_MODE, 0o020666), (GF_MAJOR, 1),
                                (GF_MINOR, minor)]))
    out.append((GF_DEVICE, [(GF_TARGET, "/dev/tty"), (GF_MODE, 0o020666), (GF_MAJOR, 5),
                            (GF_MINOR, 0)]))
    return out + list(more)


def make_root(path):
    """A root file system of busybox."""
    busybox_tar(T + "/root.tar")
    os.makedirs(path)
    subprocess.run(["tar", "-xf", T + "/root.tar", "-C", path], check=True)
    with open(path + "/etc/passwd", "w") as f:
        f.write("root:x:0:0::/root:/bin/sh\nu:x:1000:1001::/home/u:/bin/sh\n")
    with open(path + "/etc/group", "w") as f:
        f.write("root:x:0:\nu:x:1001:\nmore:x:7:u\n")
    with open(path + "/notexec", "w") as f:
        f.write("x")
    with open(path + "/nointerp", "w") as f:
        f.write("#!/nowhere/sh\n")
    os.chmod(path + "/nointerp", 0o755)


class Init:
    """isola-init as PID 1 of namespaces of its own, with a peer."""
    count = 0

    def __init__(self, root, more=(), begin=True, cgroup=None):
        Init.count += 1
        self.dir = "%s/i%d" % (T, Init.count)
        os.makedirs(self.dir + "/place")
        self.peer = Peer(self.dir + "/s")
        program = BUILD + "/guest/init/isola-init"
        if os.path.exists(BUILD + "/tests/priv/init_checked"):
            program = BUILD + "/tests/priv/init_checked"
        self.log = open(self.dir + "/log", "wb")
        self.proc = subprocess.Popen(
            ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--uts", "--ipc", "--net",
             program, "--test", self.dir + "/s", self.dir + "/place"] +
            ([cgroup] if cgroup else []),
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        self.setup_error = None
        if begin:
            self.peer.wait(lambda: self.peer.ready is not None)
            self.setup_error = self.peer.call(GUEST_SETUP, setup(root, more))

    def run(self, number_, *args, **kw):
        return self.peer.call(GUEST_RUN, process(number_, *args, **kw))

    def exec(self, number_, *args, **kw):
        return self.peer.call(GUEST_EXEC, process(number_, *args, **kw))

    def sh(self, number_, script, **kw):
        """(exit status, output) of @script as an exec."""
        error = self.exec(number_, "sh", "-c", script, **kw)
        if error[0]:
            return (error[0], error[1])
        return (self.peer.status(number_), self.peer.read_all(number_).decode())

    def end(self):
        """Its exit status, once it has ended by itself; None: it has not."""
        try:
            return self.proc.wait(LIMIT_S * SCALE)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            self.proc.wait()
            return None

    def said(self):
        with open(self.dir + "/log", errors="replace") as f:
            return f.read()

    def stop(self):
        if self.proc.poll() is None:
            self.peer.ask(GUEST_SHUTDOWN)
        code = self.end()
        self.peer.close()
        self.log.close()
        return code
