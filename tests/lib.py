# SPDX-License-Identifier: Apache-2.0
"""What Python tests share: TAP results, bounded commands, an isolad of one's
own, and the search for leaks.  tests/README.md explains how to use it.

    import os, sys
    sys.path.insert(0, os.path.dirname(__file__) + "/..")
    from lib import *

Run as a program it lists what a shell test could have leaked (lib.sh).
"""
import atexit
import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

SRC = os.environ.setdefault("ISOLA_SRC",
                            os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
BUILD = os.environ.setdefault("ISOLA_BUILD", SRC + "/build/release")
SCALE = int(os.environ.get("ISOLA_TIME_SCALE") or 1)
WAIT_MIN_S = 15
# Numbers of x86-64's system calls, as /proc/PID/syscall has them.
READING = ("0", "45", "47")                     # read, recvfrom, recvmsg
WAITING_ON_MANY = ("7", "271", "232", "281")    # poll, ppoll, epoll_wait, epoll_pwait
CGROUP = os.environ.get("CGROUP") or os.environ.get("ISOLA_CGROUP") or \
    "isola-test-%d" % os.getpid()


# --------------------------------------------------------------------- results

class _Tap:
    count = failed = 0
    done = own_tmp = False


def _result(good, name, directive=""):
    _Tap.count += 1
    _Tap.failed += not good
    print("%s %d - %s%s" % ("ok" if good else "not ok", _Tap.count, name, directive), flush=True)
    return good


def diag(text):
    for line in str(text).splitlines():
        print("# " + line, flush=True)


def ok(name):
    return _result(True, name)


def not_ok(name, detail=""):
    _result(False, name)
    diag(detail)
    return False


def skip(name, reason):
    return _result(True, name, " # SKIP " + reason)


def skip_all(reason):
    """Leaves the script."""
    _Tap.done = True
    _cleanup()
    print(reason, flush=True)
    os._exit(77)


def check(condition, name, detail=""):
    return ok(name) if condition else not_ok(name, detail)


def is_(got, want, name, detail=""):
    return check(got == want, name, "got:    %r\nwanted: %r\n%s" % (got, want, detail))


def isnt(got, unwanted, name, detail=""):
    return check(got != unwanted, name, "got: %r\n%s" % (got, detail))


def like(got, pattern, name):
    return check(re.search(pattern, got, re.S) is not None, name,
                 "got:     %r\npattern: %r" % (got, pattern))


def finish():
    """The last call of every test script."""
    _Tap.done = True
    _cleanup()
    print("1..%d" % _Tap.count, flush=True)
    sys.stdout.flush()
    os._exit(1 if _Tap.failed else 0)


def _cleanup():
    for d in list(Isolad.all):
        d.close()
    for folder, _, _ in os.walk(cgroup2_root() + "/" + CGROUP, topdown=False):
        try:
            os.rmdir(folder)
        except OSError:
            pass
    if _Tap.own_tmp:
        subprocess.run(["rm", "-rf", "--one-file-system", "--", T], check=False)


def _left_early():
    if not _Tap.done:
        not_ok("the script ran to its end", "it left early")
        _Tap.done = True
        _cleanup()
        os._exit(1)


# -------------------------------------------------------------------- commands

class Ran:
    """What a command did: rc (124 if it took too long), out, err."""

    def __init__(self, rc, out, err):
        self.rc, self.out, self.err = rc, out, err

    def __repr__(self):
        return "rc %s\nout: %s\nerr: %s" % (self.rc, self.out, self.err)


def run(*argv, limit_s=30, text=None, **kw):
    """Runs a command with a (scaled) time limit and both outputs caught."""
    p = subprocess.Popen([str(a) for a in argv], text=True, errors="replace",
                         stdin=subprocess.DEVNULL if text is None else subprocess.PIPE,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, **kw)
    try:
        out, err = p.communicate(text, limit_s * SCALE)
        return Ran(p.returncode, out, err)
    except subprocess.TimeoutExpired:
        p.kill()
        out, err = p.communicate()
        return Ran(124, out, err + "\n(killed after %d s)" % (limit_s * SCALE))


run_bounded = run


def wait_for(limit_s, condition, *args):
    """Until condition(*args) is true; returns its value, or the last one. A bound costs
    nothing where all is well, and a busy machine needs one: it is at least WAIT_MIN_S."""
    end = time.monotonic() + max(limit_s, WAIT_MIN_S) * SCALE

    def now():
        try:
            return condition(*args)
        except (FileNotFoundError, ProcessLookupError):
            return None      # it reads what is not there yet, or just went
    while not (value := now()) and time.monotonic() < end:
        time.sleep(0.02)
    return value


def stands_still(value, *args):
    """Whether value(*args) stops to change: what is on its way may still arrive."""
    def same():
        before = value(*args)
        time.sleep(0.3)
        return value(*args) == before
    return wait_for(WAIT_MIN_S, same)


def minds(pid, sig):
    """Whether process @pid has a handler for a signal by now, or waits for it."""
    masks = re.findall(rb"^Sig(?:Blk|Cgt):\t([0-9a-f]+)$", _read("/proc/%d/status" % pid), re.M)
    return any(int(m, 16) >> (sig - 1) & 1 for m in masks)


def took(pid, sig):
    """Whether no such signal waits for process @pid any more."""
    masks = re.findall(rb"^S(?:ig|hd)Pnd:\t([0-9a-f]+)$", _read("/proc/%d/status" % pid), re.M)
    return not any(int(m, 16) >> (sig - 1) & 1 for m in masks)


def asks(pid):
    """Whether a client has asked by now: it waits for an answer on a socket."""
    number, _, rest = _read("/proc/%d/syscall" % pid).decode().partition(" ")
    if number in WAITING_ON_MANY:
        return True
    fd = rest.partition(" ")[0]
    return number in READING and fd.startswith("0x") and \
        _readlink("/proc/%d/fd/%d" % (pid, int(fd, 16))).startswith("socket:")


def need_root():
    if os.geteuid():
        skip_all("needs root")


def need_program(*names):
    for name in names:
        if not os.access(BUILD + "/" + name, os.X_OK):
            skip_all(name + " is not built")


# ---------------------------------------------------------------- this machine

def cgroup2_root():
    """The first cgroup2 mount, e.g. /sys/fs/cgroup[/unified]."""
    with open("/proc/self/mountinfo") as f:
        for line in f:
            if " - cgroup2 " in line:
                return line.split()[4]
    return "/nonexistent"


def has_controller(name):
    """Can cgroup v2 limit this here?"""
    return name in _read(cgroup2_root() + "/cgroup.controllers").decode().split()


def is_running(pid):
    """Alive and no zombie."""
    return _read("/proc/%d/stat" % pid).rpartition(b") ")[2][:1] not in (b"", b"Z", b"X")


def parent_of(pid):
    """0 of one that is gone."""
    return int((_read("/proc/%d/stat" % pid).rpartition(b") ")[2].split() or [b"", b"0"])[1])


def _read(path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except OSError:
        return b""


def _readlink(path):
    try:
        return os.readlink(path)
    except OSError:
        return ""


def open_files(pid):
    """What each descriptor of a process is, without those closed meanwhile."""
    fds = "/proc/%s/fd/" % pid
    found = {int(n): _readlink(fds + n) for n in os.listdir(fds)}
    return {n: what for n, what in found.items() if what}


# ---------------------------------------------------------------------- isolad

class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("isola", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Isolad:
    """A daemon with folders, cgroup and network namespace of its own; the
    namespace is kept from start to start."""
    all = []

    def __init__(self, root=None):
        self.root = root or T
        self.socket = self.root + "/isola.sock"
        self.log = self.root + "/isolad.log"
        self.process = self.netns = None
        os.makedirs(self.root, exist_ok=True)
        Isolad.all.append(self)

    @property
    def pid(self):
        return self.process.pid if self.process else 0

    def flags(self):
        """The daemon's flags, in one place."""
        return ["--state", self.root + "/state", "--run", self.root + "/run",
                "--socket", self.socket, "--cgroup", CGROUP,
                "--default-network", "none"]     # a bridge is for who asks: less to wait for

    def start(self, *flags, program=None):
        """False, with the log shown, if the daemon does not answer."""
        if not self.netns:
            self.netns = subprocess.Popen(
                ["unshare", "--net", "--", "sh", "-c", "ip link set lo up && exec sleep infinity"],
                stdin=subprocess.DEVNULL)
            wait_for(5, lambda: _read("/proc/%d/comm" % self.netns.pid) == b"sleep\n")
        for folder in ("/state", "/run"):
            os.makedirs(self.root + folder, exist_ok=True)
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                ["nsenter", "--net=/proc/%d/ns/net" % self.netns.pid, "--",
                 program or BUILD + "/isolad", *self.flags(), *flags],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        if wait_for(30, lambda: self.process.poll() is not None or self.ping()) and \
                self.process.poll() is None:
            return True
        diag("isolad does not answer on %s:" % self.socket)
        diag(self.log_tail())
        self.process.kill()
        self.process.wait()
        self.process = None
        return False

    def log_tail(self, lines=40):
        return "\n".join(_read(self.log).decode(errors="replace").splitlines()[-lines:])

    def ping(self):
        try:
            return self.request("GET", "/_ping", timeout=2)[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def stop(self, sig=signal.SIGTERM):
        """Returns the exit status.  A daemon asked to terminate that fails, or
        takes too long, is a failed test."""
        p, self.process = self.process, None
        if not p:
            return 0
        p.send_signal(sig)
        try:
            rc = p.wait(30 * SCALE)
        except subprocess.TimeoutExpired:
            not_ok("isolad ends on %s" % sig.name, "still there, killed")
            p.kill()
            return p.wait()
        if rc and sig == signal.SIGTERM:
            not_ok("isolad ends well", "exit status %d\n%s" % (rc, self.log_tail()))
        return rc

    def close(self):
        self.stop()
        if self.netns:
            self.netns.kill()
            self.netns.wait()
            self.netns = None
        if self in Isolad.all:
            Isolad.all.remove(self)

    def connection(self, timeout=30):
        return _UnixConnection(self.socket, timeout * SCALE)

    def request(self, method, path, body=None, headers=None, timeout=30):
        """One HTTP request: (status, headers, body).  A dict or list as body
        goes out as JSON; a JSON answer comes back parsed."""
        import json
        headers = dict(headers or {})
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
            headers.setdefault("Content-Type", "application/json")
        c = self.connection(timeout)
        try:
            c.request(method, path, body, headers)
            r = c.getresponse()
            data = r.read()
        finally:
            c.close()
        if data and (r.getheader("Content-Type") or "").startswith("application/json"):
            try:
                data = json.loads(data)
            except ValueError:
                pass         # a stream of documents: the caller takes it apart
        return r.status, r.headers, data

    def ctr(self, *argv, **kw):
        """ctrctl, talking to this daemon."""
        return run(BUILD + "/ctrctl", "-H", "unix://" + self.socket, *argv, **kw)

    def in_net(self, *argv, **kw):
        """A command in the daemon's network namespace."""
        return run("nsenter", "--net=/proc/%d/ns/net" % self.netns.pid, "--", *argv, **kw)


_default = None


def start_isolad(*flags):
    """Starts (or starts again) the test's one daemon; returns it, or None."""
    global _default
    _default = _default or Isolad()
    return _default if _default.start(*flags) else None


def stop_isolad(sig=signal.SIGTERM):
    return _default.stop(sig) if _default else 0


def busybox_tar(path):
    """A root file system of busybox and what it needs, as a tar file."""
    import io
    import tarfile
    busybox = shutil.which("busybox")
    with tarfile.open(path, "w") as tar:
        def add(name, kind, mode=0o755, data=b"", link=""):
            t = tarfile.TarInfo(name)
            t.type, t.mode, t.size, t.linkname = kind, mode, len(data), link
            tar.addfile(t, io.BytesIO(data))
        for d in ("bin", "etc", "proc", "sys", "dev", "root", "var"):
            add(d, tarfile.DIRTYPE)
        add("tmp", tarfile.DIRTYPE, 0o1777)
        add("bin/busybox", tarfile.REGTYPE, data=_read(busybox))
        for a in run(busybox, "--list").out.split():
            if a != "busybox":
                add("bin/" + a, tarfile.SYMTYPE, link="busybox")
        add("etc/passwd", tarfile.REGTYPE, 0o644,
            b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")
        add("etc/group", tarfile.REGTYPE, 0o644, b"root:x:0:\nnogroup:x:65534:\n")
    return path


# ----------------------------------------------------------------------- leaks

def leak_list(script_pid, isolad_pid, netns_pid):
    """Everything of ours that could be left, one line each, sorted.

    Processes: any in isolad's network namespace or cgroup, any that has the
    test's folder in its command line, environment, root, cwd or exe.  The
    script itself and what runs below it do not count (the runner looks after
    these), but what runs below isolad does."""
    parent = {}
    for p in filter(str.isdigit, os.listdir("/proc")):
        stat = _read("/proc/%s/stat" % p).rpartition(b") ")[2].split()
        if len(stat) > 1 and stat[0] not in (b"Z", b"X"):
            parent[int(p)] = int(stat[1])

    def ancestors(pid):
        while pid in parent:
            yield pid
            pid = parent[pid]

    # isolad's one helper for good, made at the first need: not a leak, nor are
    # isolad's socket and pidfd of it
    nursery = {pid for pid, above in parent.items() if isolad_pid and above == isolad_pid and
               _read("/proc/%d/cmdline" % pid).startswith(b"isola-keeper\0nursery\0")}
    above = set(ancestors(script_pid))
    net = _readlink("/proc/%d/ns/net" % netns_pid) if netns_pid else None
    lines = []
    for pid in parent:
        if pid in above or pid in nursery or pid in (isolad_pid, netns_pid, os.getpid()):
            continue
        chain = list(ancestors(pid))
        if script_pid in chain and isolad_pid not in chain:
            continue
        if _is_ours("/proc/%d/" % pid, net):
            cmd = _read("/proc/%d/cmdline" % pid).replace(b"\0", b" ").decode(errors="replace")
            comm = _read("/proc/%d/comm" % pid).decode(errors="replace").strip()
            lines.append("process %d %s" % (pid, cmd.strip()[:200] or "[%s]" % comm))
    # as isolad sees the mounts, while it is there
    for line in _read("/proc/%s/mountinfo" % (isolad_pid or "self")).decode().splitlines():
        field = line.split()
        if field[4].startswith(T + "/") or T + "/" in field[3]:
            lines.append("mount %s" % field[4])
    top = cgroup2_root() + "/" + CGROUP
    for folder, names, _ in os.walk(top):
        lines += ["cgroup " + os.path.relpath(folder + "/" + n, top) for n in names]
    for folder, names, files in os.walk(T + "/run"):
        lines += ["file " + os.path.relpath(folder + "/" + n, T) for n in names + files]
    if netns_pid:
        for line in _read("/proc/%d/net/dev" % netns_pid).decode().splitlines()[2:]:
            name = line.split(":")[0].strip()
            if re.match("veth|tap|vnet|macv", name):
                lines.append("link " + name)
    # a line for every eight files more than isolad has of itself (24), so that many
    # more show; a few come and go with connections
    fds = "/proc/%d/fd" % isolad_pid
    if isolad_pid and os.path.isdir(fds):
        lines += ["isolad has %d or more open files" % n
                  for n in range(12, len(os.listdir(fds)) - 2 * len(nursery), 8)]
    return sorted(lines)


def _is_ours(proc, net):
    if net and _readlink(proc + "ns/net") == net:
        return True
    if any(_readlink(proc + link).startswith(T + "/") for link in ("cwd", "root", "exe")):
        return True
    if ("/%s/" % CGROUP).encode() in _read(proc + "cgroup").replace(b"\n", b"/\n"):
        return True
    return (T + "/").encode() in _read(proc + "cmdline") or \
        b"ISOLA_TMP=%s" % T.encode() in _read(proc + "environ").split(b"\0")


_leaks = []


def _leak_now():
    d = _default
    return leak_list(os.getpid(), d.pid if d else 0, d.netns.pid if d and d.netns else 0)


def leak_mark():
    """Remembers what there is now."""
    _leaks[:] = _leak_now()


def leak_check(name="nothing is left behind"):
    """Fails if there is more than at leak_mark(); what is about to go gets
    some seconds for it."""
    def more():
        return [line for line in _leak_now() if line not in _leaks]
    left = wait_for(WAIT_MIN_S, lambda: not more()) or more()
    if left is True or not left:
        return ok(name)
    if any("open files" in line for line in left):
        left += sorted("  " + what for what in open_files(_default.pid).values())
    return not_ok(name, "\n".join(left))


# ----------------------------------------------------------------------- start

if "ISOLA_TMP" not in os.environ:
    os.environ["ISOLA_TMP"] = tempfile.mkdtemp(prefix="i.", dir=os.environ.get("TMPDIR", "/var/tmp"))
    _Tap.own_tmp = True
T = os.environ["ISOLA_TMP"]     # short, as sockets live below it

if __name__ == "__main__":
    if len(sys.argv) != 5 or sys.argv[1] != "leaks":
        sys.exit("usage: lib.py leaks SCRIPT_PID ISOLAD_PID NETNS_PID")
    for _line in leak_list(*map(int, sys.argv[2:])):
        print(_line)
else:
    atexit.register(_left_early)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
