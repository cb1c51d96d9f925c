# SPDX-License-Identifier: Apache-2.0
"""Runs hostile guests (guests/*.c) on isola-vmm: what the test_*.py here share.

A guest's cases are rows of its section .caseinfo: name, the machine it needs, how
it may end, title. run_guest("ring") runs each in a machine of its own and demands:
it ended in time and in one of these ways, no sanitizer spoke, no file was touched
that it may not touch, no process is left, and the neighbour, a VM that runs all the
while, still has its memory and its devices."""
import hashlib
import json
import os
import re
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

PROGRAM = BUILD + "/isola-vmm"
GUESTS = BUILD + "/tests/kvm/guests/"
SANITIZED = "asan" in os.environ.get("ISOLA_BUILD_NAME", "") + BUILD
SAN = re.compile(r"(Sanitizer|runtime error:|==\d+==).*")
LIMIT_S = 60
DISK_MARK, DISK_SECTORS = 0x49534f4c41000000, 8192
OUTPUT_MAX = 4 << 20
WORKER_KIB_MAX = 4 << 10             # whatever a guest does
EXIT_GOOD = 80
VIRTIOFSD = "/usr/lib/qemu/virtiofsd"
# How a machine file's "kind" of device is called in the tables of devices.c, by
# the names that cases use.
KEYS = {"blk": "disks", "net": "nets", "vsock": "vsock", "console": "consoles", "rng": "rng",
        "balloon": "balloon", "pmem": "pmem", "fs": "shares"}


def need_kvm():
    """Skips the script, aloud, where no VM can run."""
    need_program("isola-vmm")
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR))
    except OSError as e:
        skip_all("needs /dev/kvm: %s" % e.strerror)


# --------------------------------------------------------------------- guests

def section(path, name):
    """The bytes of a section of an ELF file."""
    data = contents(path)
    at, = struct.unpack_from("<Q", data, 0x28)
    size, n, strings = struct.unpack_from("<HHH", data, 0x3a)
    rows = [struct.unpack_from("<IIQQQQ", data, at + size * i) for i in range(n)]
    names = rows[strings][4]
    for row in rows:
        start = names + row[0]
        if data[start:data.index(b"\0", start)] == name:
            return data[row[4]:row[4] + row[5]]
    return b""


class Case:
    def __init__(self, text):
        self.name, self.needs, ends, self.title = text.split("\t")
        words = self.needs.split()
        self.devices = [k for k in KEYS if k != "fs"] if words[0] == "all" else \
            [] if words[0] == "none" else words[0].split(",")
        self.options = dict(w.split("=", 1) for w in words[1:])
        self.ends = ends.split("|")


def cases_of(guest):
    text = section(GUESTS + guest + ".elf", b".caseinfo").decode()
    return [Case(t) for t in text.split("\0") if t][::-1]


# ------------------------------------------------------------- other ends

class Peer(threading.Thread):
    """The host's end of a socket: "echo" sends passt's frames (a length of 32
    bits, the frame) back, "flood" sends frames without end, "drain" only reads."""

    def __init__(self, how):
        super().__init__(daemon=True)
        self.how = how
        self.mine, self.theirs = socket.socketpair()
        self.got = 0
        self.start()

    def run(self):
        try:
            if self.how == "flood":
                self.mine.settimeout(0.2)
                frame = struct.pack(">I", 1514) + b"\xff" * 6 + bytes(1508)
                while True:
                    try:
                        self.mine.sendall(frame * 8)
                    except socket.timeout:
                        return
            pending = b""
            while data := self.mine.recv(65536):
                self.got += len(data)
                if self.how == "echo":
                    pending = self.echo(pending + data)
        except OSError:
            pass

    def echo(self, data):
        while len(data) >= 4:
            n, = struct.unpack_from(">I", data)
            if len(data) < 4 + n:
                break
            self.mine.sendall(data[:4 + n])
            data = data[4 + n:]
        return data

    def close(self):
        for s in (self.mine, self.theirs):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.join(2)
        self.mine.close()
        self.theirs.close()


class VsockHost(threading.Thread):
    """Unix sockets that guests can connect to: port 5000 echoes, port 5001 never
    reads, port 5002 hangs up at once."""

    def __init__(self, prefix):
        super().__init__(daemon=True)
        self.servers, self.open = [], []
        for port in (5000, 5001, 5002):
            s = socket.socket(socket.AF_UNIX)
            s.bind("%s_%d" % (prefix, port))
            s.listen(64)
            s.settimeout(0.1)
            self.servers.append(s)
        self.prefix, self.ended = prefix, False
        self.start()

    def run(self):
        while not self.ended:
            for i, server in enumerate(self.servers):
                try:
                    c, _ = server.accept()
                except OSError:
                    continue
                if i == 2:
                    c.close()
                    continue
                self.open.append(c)
                if i == 0:
                    threading.Thread(target=self.echo, args=(c,), daemon=True).start()

    @staticmethod
    def echo(c):
        try:
            while data := c.recv(65536):
                c.sendall(data)
        except OSError:
            pass

    def close(self):
        self.ended = True
        self.join(2)
        for c in self.servers + self.open:
            c.close()
        for port in (5000, 5001, 5002):
            os.unlink("%s_%d" % (self.prefix, port))


def make_disk(path):
    if not os.path.exists(path):
        with open(path, "wb") as f:
            for n in range(DISK_SECTORS):
                f.write(struct.pack("<Q", DISK_MARK + n) + bytes(504))


def digest(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


# -------------------------------------------------------------------- machines

class Machine:
    """One isola-vmm, run by hand with a machine file."""
    serial = 0
    have = []                # names of KEYS that this isola-vmm knows

    def __init__(self, guest, case, devices=(), options=None):
        Machine.serial += 1
        self.options = dict(options or {})
        self.folder = "%s/m%d" % (T, Machine.serial)
        os.mkdir(self.folder)
        self.fds, self.closers, self.frozen = [], [], {}
        self.output, self.errors = b"", b""
        self.process = self.virtiofsd = None
        self.doc = {
            "version": 1, "id": case,
            "memory": {"size": int(self.options.get("mem", 128)) << 20},
            "cpus": {"count": int(self.options.get("cpus", 1))},
            "boot": {"kernel": {"path": GUESTS + guest + ".elf"},
                     "cmdline": ""},
            "debug_exit": True,
            # sanitizers make system calls of their own
            "seccomp": "off" if SANITIZED else "kill",
        }
        for name in ("rng", "balloon"):       # these are there unless refused
            if name in Machine.have:
                self.doc[name] = False
        if "watchdog" in self.options:
            self.doc["watchdog"] = {"action": self.options["watchdog"]}
        words = ["case=" + case, "pvh=%d" % guest.endswith("-pvh")]
        for name in devices:
            getattr(self, "add_" + name)(words)
        words += ["%s=%s" % o for o in self.options.items()]
        self.doc["boot"]["cmdline"] = " ".join(words)

    def path(self, name):
        return self.folder + "/" + name

    def keep(self, name):
        """This file must be the same afterwards."""
        self.frozen[name] = digest(self.path(name))

    def fd(self, sock):
        self.fds.append(sock.fileno())
        return {"fd": sock.fileno()}

    def rate(self):
        size = int(self.options["rate"])
        return {"bandwidth": {"size": size, "refill_ms": 100},
                "ops": {"size": 4, "refill_ms": 100}}

    def add_blk(self, _):
        make_disk(T + "/disk.pattern")
        for name in ("rw.img", "ro.img"):
            run("cp", T + "/disk.pattern", self.path(name))
        self.doc["disks"] = [
            {"id": "rw", "source": {"path": self.path("rw.img")}, "serial": "hostile",
             "queues": int(self.options.get("queues", 2)),
             "engine": self.options.get("engine", "auto")},
            {"id": "ro", "source": {"path": self.path("ro.img")}, "readonly": True}]
        if "rate" in self.options:
            self.doc["disks"][0]["rate"] = self.rate()
        self.keep("ro.img")

    def add_net(self, words):
        peer = Peer(self.options.get("peer", "echo"))
        self.closers.append(peer)
        if peer.how == "echo":
            words.append("echo=1")
        self.doc["nets"] = [{"id": "net0", "socket": self.fd(peer.theirs)}]
        if "rate" in self.options:
            self.doc["nets"][0].update(rate_rx=self.rate(), rate_tx=self.rate())

    def add_vsock(self, words):
        host = VsockHost(self.path("v"))
        self.closers.append(host)
        words.append("cid=5")
        self.doc["vsock"] = {"cid": 5, "listen": {"path": self.path("v")},
                             "connect": {"path": self.path("v")}}

    def add_console(self, _):
        self.doc["consoles"] = []
        for name in ("hvc0", "hvc1"):
            peer = Peer("drain")
            self.closers.append(peer)
            self.doc["consoles"].append({"id": name, "source": self.fd(peer.theirs)})

    def add_rng(self, _):
        self.doc["rng"] = {}

    def add_balloon(self, _):
        self.doc["balloon"] = {"size": 0, "stats_ms": 100}

    def add_pmem(self, _):
        with open(self.path("pmem.img"), "wb") as f:
            f.write(b"\xa5" * (2 << 20))
        self.keep("pmem.img")
        self.doc["pmem"] = [{"id": "pmem0", "source": {"path": self.path("pmem.img")},
                             "readonly": True}]

    def add_fs(self, _):
        """A folder, served by virtiofsd over a connected socket."""
        os.mkdir(self.path("share"))
        with open(self.path("share/file"), "w") as f:
            f.write("shared")
        server = socket.socket(socket.AF_UNIX)
        server.bind(self.path("fs"))
        server.listen(1)
        self.virtiofsd = subprocess.Popen(
            [VIRTIOFSD, "--fd=%d" % server.fileno(), "-o", "source=" + self.path("share"), "-f"],
            pass_fds=[server.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        server.close()
        client = socket.socket(socket.AF_UNIX)
        client.connect(self.path("fs"))
        os.unlink(self.path("fs"))
        self.closers.append(client)
        self.doc["memory"]["shared"] = True
        self.doc["shares"] = [{"tag": "share", "socket": self.fd(client)}]

    def start(self, *flags, stdin=None):
        config = self.path("machine.json")
        with open(config, "w") as f:
            json.dump(self.doc, f)
        env = {k: v for k, v in os.environ.items() if not k.endswith("SAN_OPTIONS")}
        # in the empty root of a jail there is no file to write a report to
        env["ASAN_OPTIONS"] = "detect_leaks=0"
        env["UBSAN_OPTIONS"] = "print_stacktrace=1:halt_on_error=1"
        self.process = subprocess.Popen(
            [PROGRAM, "--config", config, *flags], stdin=stdin or subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=self.fds, env=env,
            start_new_session=True)
        self.readers = [threading.Thread(target=self.read, args=a, daemon=True)
                        for a in ((self.process.stdout, "output"), (self.process.stderr, "errors"))]
        for r in self.readers:
            r.start()
        return self

    def read(self, stream, name):
        """Keeps the last of it: guests flood."""
        while data := os.read(stream.fileno(), 65536):
            setattr(self, name, (getattr(self, name) + data)[-OUTPUT_MAX:])

    def ended(self, limit_s=LIMIT_S):
        """Waits; True if it ended by itself."""
        try:
            self.process.wait(limit_s * SCALE)
            return True
        except subprocess.TimeoutExpired:
            return False
        finally:
            if self.process.poll() is None:
                self.hang = "\n".join(
                    "%s %s" % (contents("/proc/%d/task/%s/comm" % (self.process.pid, t)),
                               contents("/proc/%d/task/%s/wchan" % (self.process.pid, t)))
                    for t in os.listdir("/proc/%d/task" % self.process.pid))
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
            for r in self.readers:
                r.join(5)

    def reason(self):
        """exit, trap (an exception in the guest), or what isola-vmm said."""
        rc = self.process.returncode
        if rc < 0:
            return "worker-crash"
        said = re.findall(rb"^isola-vmm: [^:\n]*: ([a-z-]+): ", self.errors, re.M)
        reason = said[-1].decode() if said else "nothing"
        if reason == "debug-exit":
            return "trap" if rc == 82 else "exit"
        return reason

    def close(self):
        """Returns what is wrong with the host: a list of lines."""
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        wrong = []
        for name, was in self.frozen.items():
            if digest(self.path(name)) != was:
                wrong.append(name + " was written to")
        for c in self.closers:
            c.close()
        if self.virtiofsd:
            try:
                self.virtiofsd.wait(5)
            except subprocess.TimeoutExpired:
                self.virtiofsd.kill()
                self.virtiofsd.wait()
        allowed = {"machine.json", "rw.img", "ro.img", "pmem.img", "v", "share"}
        wrong += ["left file " + n for n in os.listdir(self.folder) if n not in allowed]
        if self.process and (left := session_of(self.process.pid)):
            wrong += ["left process %s" % p for p in left]
        run("rm", "-rf", "--one-file-system", self.folder)
        return wrong


def cpu_seconds(pid):
    stat = contents("/proc/%d/stat" % pid).rpartition(b") ")[2].split()
    return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK") if stat else 0


def busy_share(pid):
    """How much of a processor it takes."""
    t0, before = time.monotonic(), cpu_seconds(pid)
    time.sleep(0.5)
    return (cpu_seconds(pid) - before) / (time.monotonic() - t0)


def overhead_kib(pid, ram_mib):
    """Memory of a worker that is not its guest's RAM."""
    total = size = 0
    for line in contents("/proc/%d/smaps" % pid).decode(errors="replace").splitlines():
        words = line.split()
        if words[0] == "Size:":
            size = int(words[1])
        elif words[0] == "Rss:" and size < ram_mib << 9:
            total += int(words[1])
    return total


def session_of(pid):
    """Living processes of a session."""
    found = []
    for p in filter(str.isdigit, os.listdir("/proc")):
        stat = contents("/proc/%s/stat" % p).rpartition(b") ")[2].split()
        if len(stat) > 3 and int(stat[3]) == pid and stat[0] not in (b"Z", b"X"):
            found.append(p)
    return found


# ------------------------------------------------------------------- neighbour

class Neighbour:
    """A VM that checks its memory and a disk each time it gets a byte."""

    def __init__(self):
        self.machine = Machine("neighbour", "watch",
                               [d for d in ("blk", "rng") if d in Machine.have])
        self.machine.start(stdin=subprocess.PIPE)
        self.asked = 0
        self.good = wait_for(20, lambda: b"ready\n" in self.machine.output or
                             self.machine.process.poll() is not None) and \
            self.machine.process.poll() is None

    def check(self):
        """"" if all is well."""
        self.asked += 1
        want = b"well %d\n" % self.asked
        try:
            os.write(self.machine.process.stdin.fileno(), b"?")
        except OSError as e:
            return "the neighbour is gone (%s): %s" % (e, self.tail())
        if not wait_for(20, lambda: want in self.machine.output or
                        self.machine.process.poll() is not None):
            return "the neighbour does not answer: " + self.tail()
        return "" if want in self.machine.output else "the neighbour ended: " + self.tail()

    def tail(self):
        return repr(self.machine.output[-300:] + self.machine.errors[-300:])

    def end(self):
        try:
            os.write(self.machine.process.stdin.fileno(), b"q")
        except OSError:
            pass         # said by the check below
        is_(self.machine.ended() and self.machine.process.returncode, EXIT_GOOD,
            "the neighbour lived through all of it")
        check(not (wrong := self.machine.close()), "and left nothing", wrong)


# ------------------------------------------------------------------ whole tests

def known_devices():
    """What this isola-vmm has, by asking it: a key it does not know is refused."""
    have = []
    for name, key in KEYS.items():
        m = Machine("smoke", "hello")
        m.doc[key] = [] if name not in ("vsock", "rng", "balloon") else False
        with open(m.path("machine.json"), "w") as f:
            json.dump(m.doc, f)
        r = run(PROGRAM, "--config", m.path("machine.json"), "--check")
        if "is not known" not in r.err:
            have.append(name)
        m.close()
    return [d for d in have if d != "fs" or os.path.exists(VIRTIOFSD)]


def report_tap(case, output):
    """The guest's own results become ours; returns how many there were."""
    n = 0
    for m in re.finditer(rb"^(ok|not ok) \d+ - ([^\r\n]*)", output, re.M):
        n += 1
        check(m[1] == b"ok", "%s: %s" % (case, m[2].decode(errors="replace")))
    return n


def judge(m, case):
    """After the machine's end: everything but its results."""
    errors = m.errors.decode(errors="replace")
    if s := SAN.search(errors):
        return "sanitizer: " + errors[s.start():][:3000]
    reason = m.reason()
    if reason not in case.ends:
        return "ended by %s (status %d)\n%s\n%s" % (
            reason, m.process.returncode, m.output[-400:].decode(errors="replace"), errors[-800:])
    plan = re.search(rb"^1\.\.(\d+)", m.output, re.M)
    if reason == "exit" and (not plan or m.process.returncode not in (80, 81)):
        return "the guest did not come to its end:\n" + \
            m.output[-600:].decode(errors="replace")
    return ""


def run_case(guest, case, have, neighbour):
    devices = [d for d in case.devices if d in have]
    missing = [d for d in case.devices if d not in have]
    if missing and case.needs.split()[0] != "all":
        skip("%s: %s" % (case.name, case.title), "there is no " + ", ".join(missing))
        return 0
    m = Machine(guest, case.name, devices, case.options).start()
    if case.ends == ["quit"]:        # goes on until somebody ends it
        wait_for(20, lambda: b"spinning\n" in m.output or m.process.poll() is not None)
        busy = busy_share(m.process.pid)
        if "idle" in case.options:
            check(busy < 0.3, "%s: the worker rests, too" % case.name, "%.2f busy" % busy)
        kib = overhead_kib(m.process.pid, int(case.options.get("mem", 128)))
        check(SANITIZED or 0 < kib < int(case.options.get("kib", WORKER_KIB_MAX)),
              "%s: the worker stays small (%d KiB)" % (case.name, kib))
        m.process.terminate()
    in_time = m.ended(int(case.options.get("limit", LIMIT_S)))
    n = report_tap(case.name, m.output)
    wrong = judge(m, case) if in_time else \
        "still running after its time limit\n%s\n%s" % (m.hang, m.output[-600:])
    wrong = "\n".join(filter(None, [wrong, *m.close(), neighbour.check()]))
    if wrong and not in_time:
        wrong += "\n" + m.errors[-600:].decode(errors="replace")
    check(not wrong, "%s: %s: ended by %s, all else untouched" %
          (case.name, case.title, "|".join(case.ends)), wrong)
    return n + 1


def run_guest(*guests):
    """The whole of a test script."""
    need_kvm()
    have = Machine.have = known_devices()
    neighbour = Neighbour()
    if not check(neighbour.good, "a neighbour runs", neighbour.tail()):
        finish()
    machines = results = 0
    for guest in guests:
        for case in cases_of(guest):
            if not re.match(os.environ.get("KVM_CASE", ""), case.name):
                continue
            results += run_case(guest, case, have, neighbour)
            machines += 1
    neighbour.end()
    diag("%d hostile machines, %d results, devices: %s" % (machines, results, " ".join(have)))
    finish()
