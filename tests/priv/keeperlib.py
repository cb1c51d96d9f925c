# SPDX-License-Identifier: Apache-2.0
"""Plays isolad for one isola-keeper: what the test_keeper_*.py share.

A Keeper makes a run folder with a bundle of busybox, starts the program on a
socket pair, and speaks the protocol of include/isola/keeper.h."""
import array
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/..")
from lib import *
from lib import _read as contents

PROGRAM = BUILD + "/isola-keeper"
WAIT_S = 20 * SCALE
# Sanitizers keep freed memory, and need system calls of their own.
SANITIZED = "asan" in os.environ.get("ISOLA_BUILD_NAME", "") + BUILD
CAPS = ["CAP_" + c for c in "CHOWN DAC_OVERRIDE FSETID FOWNER SETGID SETUID KILL".split()]


def process(*args, terminal=False, env=(), uid=0):
    return {"args": list(args), "cwd": "/", "terminal": terminal,
            "user": {"uid": uid, "gid": uid},
            "env": ["PATH=/bin", "TERM=dumb", *env],
            "capabilities": {k: CAPS for k in ("bounding", "effective", "permitted")}}


def config(*args, terminal=False, namespaces=("pid", "mount", "ipc", "uts", "network", "cgroup"),
           uid=0):
    return {
        "ociVersion": "1.0.2", "root": {"path": rootfs(), "readonly": False},
        "process": process(*args, terminal=terminal, uid=uid), "hostname": "kept",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
             "options": ["nosuid", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
             "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]}],
        "linux": {"namespaces": [{"type": n} for n in namespaces]}}


def rootfs():
    """One root folder with busybox for all keepers of a test."""
    root = T + "/rootfs"
    if not os.path.isdir(root):
        os.makedirs(root + ".new")
        busybox_tar(T + "/rootfs.tar")
        run("tar", "-C", root + ".new", "-xf", T + "/rootfs.tar")
        os.rename(root + ".new", root)
    return root


class Link:
    """One connection to a keeper."""

    def __init__(self, sock):
        self.sock = sock
        self.events = []
        self.seq = 0
        self.closed = False
        sock.settimeout(WAIT_S)

    def send(self, msg, fds=()):
        data = msg if isinstance(msg, bytes) else json.dumps(msg).encode()
        anc = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.sock.sendmsg([data], anc)

    def receive(self):
        """The next message, or None at the end."""
        if self.closed:
            return None
        try:
            data = self.sock.recv(1 << 17)
        except ConnectionResetError:
            data = b""
        if not data:
            self.closed = True
            return None
        return json.loads(data)

    def call(self, op, fds=(), **fields):
        """Sends a request; returns the answer, with events put aside."""
        self.seq += 1
        self.send({"op": op, "seq": self.seq, **fields}, fds)
        return self.answer(self.seq)

    def answer(self, seq):
        while True:
            m = self.receive()
            if m is None:
                return {"error": "the link was closed"}
            if m.get("seq") == seq:
                return m
            self.events.append(m)

    def event(self, name, **match):
        """The next event of that name (with those members), or None."""
        def fits(e):
            return e.get("event") == name and all(e.get(k) == v for k, v in match.items())
        for e in self.events:
            if fits(e):
                self.events.remove(e)
                return e
        while (m := self.receive()) is not None:
            if fits(m):
                return m
            self.events.append(m)
        return None

    def end(self):
        """Reads to the end of the link; the events."""
        while (m := self.receive()) is not None:
            self.events.append(m)
        return self.events

    def close(self):
        self.sock.close()
        self.closed = True


class Keeper:
    count = 0
    all = []

    def __init__(self, *args, tty=False, stdin=False, stdin_once=False, log="json-file",
                 conf=None, start=False, program=None, wait=True, override=None, **spec):
        Keeper.count += 1
        self.id = "%064x" % (0xc0ffee << 64 | os.getpid() << 24 | Keeper.count)
        self.dir = "%s/k%d" % (T, Keeper.count)
        self.cgroup = "/%s/%s" % (CGROUP, self.id[-16:])
        self.log_path = self.dir + "-log/%s-json.log" % self.id
        os.makedirs(self.dir, 0o700)
        os.makedirs(self.dir + "-log")
        self.write("config.json", conf or config(*args, terminal=tty))
        doc = {"version": 1, "id": self.id, "kind": "container", "cgroup": self.cgroup,
               "log": {"driver": log, "path": self.log_path, **spec.pop("log_opts", {})},
               "stdin": stdin, "stdin_once": stdin_once, "tty": tty, "reaper": False}
        doc.update(spec)
        self.write("keeper.json", doc)
        for name, text in (override or {}).items():
            self.write(name, text)
        self.spawn(program or [PROGRAM])
        Keeper.all.append(self)
        self.hello = self.link.event("hello") if wait else None
        if start:
            self.start()

    def write(self, name, doc):
        with open(self.dir + "/" + name, "w") as f:
            f.write(doc if isinstance(doc, str) else json.dumps(doc))

    def spawn(self, program):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.errors = open(self.dir + ".err", "wb")

        def to_3():
            os.dup2(theirs.fileno(), 3)
        self.process = subprocess.Popen([*program, "run", self.dir], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=self.errors,
                                        preexec_fn=to_3, close_fds=False)
        theirs.close()
        self.link = Link(ours)

    @property
    def pid(self):
        return self.process.pid

    def connect(self):
        """Like an isolad that was restarted."""
        s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        fd = os.open(self.dir, os.O_PATH)
        try:
            s.connect("/proc/self/fd/%d/keeper.sock" % fd)
        finally:
            os.close(fd)
        return Link(s)

    def start(self):
        self.started = self.link.call("start")
        return self.started

    def stream(self, op, link=None, **fields):
        """attach or exec with a stream: the answer and our end of it."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        ours.settimeout(WAIT_S)
        fields.setdefault("stream", "s%d" % theirs.fileno() + os.urandom(4).hex())
        answer = (link or self.link).call(op, fds=[theirs.fileno()], **fields)
        theirs.close()
        answer["stream"] = fields["stream"]
        return answer, ours

    def attach(self, link=None, stdin=False, stdout=True, stderr=True, mux=False, **fields):
        return self.stream("attach", link, stdin=stdin, stdout=stdout, stderr=stderr, mux=mux,
                           **fields)[1]

    def exec(self, *args, stdin=False, stdout=True, stderr=True, mux=False, terminal=False,
             link=None, uid=0, **fields):
        fields.setdefault("exec", "e" + os.urandom(8).hex())
        answer, sock = self.stream("exec", link, stdin=stdin, stdout=stdout, stderr=stderr,
                                   mux=mux, process=process(*args, terminal=terminal, uid=uid),
                                   **fields)
        answer["exec"] = fields["exec"]
        return answer, sock

    def exit_json(self):
        try:
            return json.loads(contents(self.dir + "/exit.json"))
        except ValueError:
            return None

    def wait(self):
        """The keeper's own exit status."""
        try:
            return self.process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            return None

    def finish(self):
        """Reads the link to its end; the exit event."""
        self.link.end()
        return next((e for e in self.link.events if e.get("event") == "exit"), None)

    def logged(self):
        """The log's records, oldest first."""
        names = [self.log_path + ".%d" % i for i in range(20, 0, -1)] + [self.log_path]
        text = b"".join(contents(n) for n in names)
        return [json.loads(line) for line in text.splitlines()]

    def log_text(self, stream=None):
        return "".join(r["log"] for r in self.logged() if stream in (None, r["stream"]))

    def logs(self, *flags):
        """Starts a reader of the log; our end of its socket and the process."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        ours.settimeout(WAIT_S)
        p = subprocess.Popen([PROGRAM, "logs", "--fd", str(theirs.fileno()), "--path",
                              self.log_path, *map(str, flags)], pass_fds=[theirs.fileno()],
                             stdin=subprocess.DEVNULL)
        theirs.close()
        return ours, p

    def close(self):
        """For the end of a test: kills what is left of it."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        kill = cgroup2_root() + self.cgroup + "/cgroup.kill"
        if os.path.exists(kill):
            with open(kill, "w") as f:
                f.write("1")
        self.link.close()


def close_all():
    """Ends what failed cases left behind; run before finish()."""
    for k in Keeper.all:
        k.close()
        wait_for(5, lambda k=k: remove_cgroup(k.cgroup))


def remove_cgroup(path):
    try:
        os.rmdir(cgroup2_root() + path)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def read_all(sock):
    """Until the other side ends; None if it never does."""
    parts = []
    try:
        while data := sock.recv(1 << 16):
            parts.append(data)
    except socket.timeout:
        return None
    except ConnectionResetError:
        parts.append(b"<reset>")
    sock.close()
    return b"".join(parts)


def read_together(socks):
    """read_all() of several at the same time."""
    outs = [None] * len(socks)

    def one(i):
        outs[i] = read_all(socks[i])
    threads = [threading.Thread(target=one, args=(i,)) for i in range(len(socks))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return outs


def read_until(sock, what):
    """Until @what was read (or the end came); all that was read."""
    data = b""
    while what not in data:
        part = sock.recv(1 << 16)
        if not part:
            break
        data += part
    return data


def demux(data):
    """Docker's frames -> (stdout, stderr)."""
    out = {1: b"", 2: b""}
    while data:
        kind, size = struct.unpack(">BxxxI", data[:8])
        assert len(data) >= 8 + size, "cut off frame"
        out[kind] += data[8:8 + size]
        data = data[8 + size:]
    return out[1], out[2]
