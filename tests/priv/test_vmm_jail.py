# SPDX-License-Identifier: Apache-2.0
# The worker's jail: what /proc says of isola-vmm while a guest runs, which system calls
# end it, and what it does not inherit.
import os
import sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from vmmlib import *

need_root()
need_kvm()

SYS_SOCKET, SYS_EXECVE, SYS_OPENAT, SYS_CLONE, SYS_MMAP, SYS_IOCTL, SYS_ALARM = \
    41, 59, 257, 56, 9, 16, 37
NAMESPACES = ["mnt", "net", "ipc", "uts", "cgroup"]


def ns(pid, kind):
    return os.readlink("/proc/%s/ns/%s" % (pid, kind))


def check_jail(w):
    st = w.status_of()
    is_(st["Uid"].split(), ["64001"] * 4, "its uid is that of the machine file, all four")
    is_(st["Gid"].split(), ["64002"] * 4, "its gid, too")
    is_(st["Groups"].split(), [], "it has no other groups")
    for cap in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        is_(int(st[cap], 16), 0, "%s is empty" % cap)
    is_(st["NoNewPrivs"], "1", "no_new_privs is set")
    for kind in NAMESPACES:
        isnt(ns(w.pid, kind), ns("self", kind), "its %s namespace is its own" % kind)
    is_(os.readlink("/proc/%d/root" % w.pid), "/", "it has a root")
    is_(os.listdir("/proc/%d/root" % w.pid), [], "its root is empty")
    is_(os.readlink("/proc/%d/cwd" % w.pid), "/", "its working folder is that root")
    mounts = contents("/proc/%d/mounts" % w.pid).decode().splitlines()
    is_(len(mounts), 1, "one mount is all there is")
    options = mounts[0].split()[3].split(",")
    check({"ro", "nosuid", "nodev", "noexec"} <= set(options), "it is ro, nosuid, nodev, noexec",
          mounts[0])
    try:
        os.mkdir("/proc/%d/root/x" % w.pid)
        not_ok("even root cannot write to it")
    except OSError as e:
        is_(e.strerror, "Read-only file system", "even root cannot write to it")
    links = os.listdir("/proc/%d/net/dev_snmp6" % w.pid)
    is_(links, ["lo"], "its network is a loopback that is down")


def check_threads(w):
    own = {t: n for t, n in w.tasks().items() if n.startswith(("isola-vmm", "vcpu"))}
    is_(sorted(own.values()), ["isola-vmm", "vcpu0", "vcpu1"], "a loop and a thread for each vCPU")
    for tid, name in own.items():
        st = w.status_of(tid)
        is_(int(st["CapEff"], 16), 0, "%s: no capabilities" % name)
        is_(st["Uid"].split()[1], "64001", "%s: the same uid" % name)
        if not SANITIZED:
            is_(st["Seccomp"], "2", "%s: has a filter" % name)


def check_fds(w):
    fds = open_files(w.pid)
    foreign = {n: p for n, p in fds.items() if n > 2 and
               not p.startswith(("anon_inode:", "socket:", "pipe:")) and
               p not in ("/dev/kvm", "/dev/null")}
    is_(foreign, {}, "nothing is open but KVM, events, its socket and stdio")
    check("/secret" not in str(fds) and 20 not in fds, "what nobody named is closed", fds)
    is_([p for p in fds.values() if "machine" in p or "kernel" in p], [],
        "machine file and kernel are closed")


def check_memory(w):
    bad = [line for line in contents("/proc/%d/maps" % w.pid).decode().splitlines()
           if "w" in line.split()[1] and "x" in line.split()[1]]
    is_(bad, [], "no memory is writable and executable")
    limits = contents("/proc/%d/limits" % w.pid).decode()
    check(re.search(r"Max core file size +0 +0 ", limits), "it leaves no core", limits)


secret = os.memfd_create("secret")
w = Worker(PORTS, fds={20: secret}, cpus={"count": 2})
try:
    is_(w.hello and w.hello["kernel"], "elf", "it says hello")
    is_(w.hello and w.hello["version"], 1, "with its version")
    is_(w.ask("run"), {"seq": 1, "ok": True}, "run is answered")
    running = w.event("running")
    check(running and running["first_run_us"] > 0, "it tells when the guest began", running)
    diag("first KVM_RUN after %s" % running)
    check_jail(w)
    check_threads(w)
    check_fds(w)
    if not SANITIZED:
        check_memory(w)
    is_(w.ask("quit").get("ok"), True, "quit is answered")
    is_(w.event("exit"), {"event": "exit", "reason": "quit", "code": 143,
                          "text": "it was asked to end"}, "the last message says why it ended")
    is_(w.wait(), 143, "and so does its exit status")
finally:
    w.end()
os.close(secret)

# ---- forbidden calls end it, in either kind of thread

CALLS = [("vcpu0", "socket", SYS_SOCKET, (2, 1, 0)), ("vcpu0", "execve", SYS_EXECVE, (0, 0, 0)),
         ("vcpu0", "openat", SYS_OPENAT, (-100 & (1 << 64) - 1, 0, 0)),
         ("vcpu0", "mmap of code", SYS_MMAP, (0, 4096, 7, 0x22)),
         ("vcpu0", "another ioctl", SYS_IOCTL, (5, 0xae01, 0)),
         ("isola-vmm", "socket", SYS_SOCKET, (2, 1, 0)), ("isola-vmm", "clone", SYS_CLONE, (0, 0)),
         ("isola-vmm", "openat", SYS_OPENAT, (-100 & (1 << 64) - 1, 0, 0)),
         ("isola-vmm", "mmap of code", SYS_MMAP, (0, 4096, 5, 0x22)),
         ("isola-vmm", "KVM_CREATE_VM", SYS_IOCTL, (5, 0xae01, 0))]

for thread, what, number, args in CALLS if not SANITIZED else []:
    w = Worker(IDLE)
    try:
        w.ask("run")
        w.event("running")
        tid = [t for t, n in w.tasks().items() if n == thread][0]
        inject_call(tid, number, *args)
        is_(w.wait(), -signal.SIGSYS, "%s: %s kills the whole worker" % (thread, what))
        is_(w.event("exit", 1), None, "%s: %s: and there is no last word" % (thread, what))
    except OSError as e:
        not_ok("%s: %s kills the whole worker" % (thread, what), e)
    finally:
        w.end()
if SANITIZED:
    skip("forbidden calls kill the worker", "a sanitizer needs calls of its own")

# ---- modes

if SANITIZED:
    skip("log mode lets it live", "a sanitizer needs calls of its own")
else:
    w = Worker(IDLE, seccomp="log")
    try:
        # It waits for run by futex(), and 0 is what that may return, too.
        inject_call([t for t, n in w.tasks().items() if n == "vcpu0"][0], SYS_ALARM, 0)
        is_(w.wait(0.5), None, "log mode lets it live")
        is_(w.status_of()["Seccomp"], "2", "log mode has a filter")
    finally:
        w.end()
w = Worker(IDLE, seccomp="off")
try:
    is_(w.status_of()["Seccomp"], "0", "off has none")
finally:
    w.end()

# ---- without uid and gid

w = Worker(IDLE, jail=None)
try:
    is_(w.status_of()["Uid"].split()[1], "65534", "without ids it is nobody")
finally:
    w.end()

# ---- by a user without rights, who has been handed /dev/kvm

with open("/proc/sys/user/max_user_namespaces") as f:
    can = int(f.read()) > 0
if not can:
    skip("by hand, without rights", "user namespaces are off")
else:
    kvm = os.open("/dev/kvm", os.O_RDWR)
    kernel = memfd("kernel", elf(say(0xf4, b"\x2a") + IDLE))
    doc = {"version": 1, "id": "hand", "kvm": {"fd": kvm}, "boot": {"kernel": {"fd": kernel}},
           "memory": {"size": 64 * MIB}, "debug_exit": True, "rng": False, "balloon": False,
           "cpus": {"broken": []},
           "seccomp": "off" if SANITIZED else "kill"}
    config = memfd("config", json.dumps(doc).encode())
    p = subprocess.run([PROGRAM, "--config", "/proc/self/fd/%d" % config], user=64003, group=64003,
                       extra_groups=[], pass_fds=(kvm, kernel, config), stdin=subprocess.DEVNULL,
                       capture_output=True, timeout=WAIT_S)
    if b"user namespace" in p.stderr:
        skip("by hand, without rights, it runs", p.stderr.decode())
    else:
        is_(p.returncode, 42, "by hand, without rights, it runs")
        is_(p.stderr, b"isola-vmm: hand: debug-exit: the guest ended with 42\n",
            "and says how it ended")
finish()
