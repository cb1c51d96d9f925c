# SPDX-License-Identifier: Apache-2.0
"""Plays the keeper for one isola-vmm: what the test_vmm_*.py share.

A Worker starts the program with a socket, a machine file and descriptors, as
include/isola/vmm.h says, and speaks its protocol. Guests are a few bytes of
machine code in an ELF file."""
import array
import ctypes
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/..")
from lib import *
from lib import _read as contents

PROGRAM = BUILD + "/isola-vmm"
WAIT_S = 20 * SCALE
# Sanitizers need system calls of their own.
SANITIZED = "asan" in os.environ.get("ISOLA_BUILD_NAME", "") + BUILD
# At the end the leak checker looks for /proc, which is not there any more.
os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
MIB = 1 << 20

IDLE = b"\xf4\xeb\xfd"                                  # 1: hlt; jmp 1b
SPIN = b"\xeb\xfe"                                      # 1: jmp 1b
PORTS = b"\xe6\x80\xeb\xfc"                             # 1: outb $0x80; jmp 1b
TRIPLE = b"\x0f\x01\x1d\x02\x00\x00\x00\x0f\x0b" + bytes(10)   # lidt 0: no handler; ud2


def elf(code, at=0x200000):
    """A kernel that is nothing but @code."""
    head = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 2, 62, 1, at, 64, 0, 0,
                       64, 56, 1, 0, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 5, 4096, at, at, len(code), len(code), 4096)
    return (head + load).ljust(4096, b"\0") + code


def say(port, text):
    """Machine code: writes @text to @port, byte by byte."""
    return b"".join(b"\xb0" + bytes([c]) + b"\xba" + struct.pack("<I", port) + b"\xee"
                    for c in text)


def memfd(name, data):
    fd = os.memfd_create(name)
    os.write(fd, data)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def need_kvm():
    need_program("isola-vmm")
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR))
    except OSError as e:
        skip_all("needs /dev/kvm: %s" % e.strerror)


class Worker:
    """fds: more descriptors, by the number they shall have in the worker."""

    def __init__(self, code=IDLE, fds=None, raw=None, kernel=None, wait_hello=True, **more):
        self.sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        doc = {"version": 1, "id": "test", "kvm": {"fd": 5}, "boot": {"kernel": {"fd": 6}},
               "memory": {"size": 128 * MIB}, "rng": False, "balloon": False,
               "seccomp": "off" if SANITIZED else "kill", "jail": {"uid": 64001, "gid": 64002}}
        doc.update(more)
        own = {3: theirs.fileno(),
               4: memfd("machine", raw if raw is not None else json.dumps(doc).encode()),
               5: os.open("/dev/kvm", os.O_RDWR),
               6: memfd("kernel", kernel or elf(code))}
        own.update(fds or {})
        self.events, self.seq, self.status = [], 0, None
        self.out_r, out_w = os.pipe()
        self.err_r, err_w = os.pipe()
        self.pid = self._spawn({0: os.open("/dev/null", os.O_RDWR), 1: out_w, 2: err_w, **own})
        for fd in [out_w, err_w] + [own[n] for n in (4, 5, 6)]:
            os.close(fd)
        theirs.close()
        self.hello = self.event("hello") if wait_hello else None

    def _spawn(self, fds):
        pid = os.fork()
        if pid:
            return pid
        try:
            # Out of the way first: a number may be taken by another one's source.
            high = {n: os.dup2(fd, 200 + n) for n, fd in fds.items()}
            for n, fd in high.items():
                os.dup2(fd, n, inheritable=True)
            os.closerange(200, 400)
            os.execv(PROGRAM, ["isola-vmm", "--keeper"])
        finally:
            os._exit(126)

    # messages

    def receive(self, timeout=WAIT_S):
        """The next message, or None at the end of the stream or time."""
        if not select.select([self.sock], [], [], timeout)[0]:
            return None
        try:
            data = self.sock.recv(1 << 17)
        except ConnectionError:
            return None
        return json.loads(data) if data else None

    def event(self, name, timeout=WAIT_S):
        for e in self.events:
            if e.get("event") == name:
                self.events.remove(e)
                return e
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            m = self.receive(max(0, end - time.monotonic()))
            if m is None:
                return None
            if m.get("event") == name:
                return m
            self.events.append(m)
        return None

    def ask(self, op, **args):
        self.seq += 1
        self.sock.send(json.dumps({"op": op, "seq": self.seq, **args}).encode())
        while True:
            m = self.receive()
            if m is None or m.get("seq") == self.seq and "event" not in m:
                return m
            self.events.append(m)

    # its end

    def wait(self, timeout=WAIT_S):
        """Its exit status, -N for signal N, or None while it runs."""
        end = time.monotonic() + timeout
        while self.status is None and time.monotonic() < end:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
            else:
                time.sleep(0.01)
        return self.status

    def output(self, fd):
        data = b""
        while select.select([fd], [], [], 0)[0]:
            piece = os.read(fd, 65536)
            if not piece:
                break
            data += piece
        return data

    def end(self):
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            self.wait()
        self.sock.close()
        os.close(self.out_r)
        os.close(self.err_r)

    # what the kernel says

    def status_of(self, task=None):
        path = "/proc/%d/status" % self.pid if task is None else \
            "/proc/%d/task/%d/status" % (self.pid, task)
        return dict(line.split(":\t", 1) for line in contents(path).decode().splitlines()
                    if ":\t" in line)

    def tasks(self):
        return {int(t): contents("/proc/%d/task/%s/comm" % (self.pid, t)).decode().strip()
                for t in os.listdir("/proc/%d/task" % self.pid)}


# ---------------------------------------------------------------------- ptrace

PTRACE_CONT, PTRACE_GETREGS, PTRACE_SETREGS, PTRACE_ATTACH, PTRACE_DETACH = 7, 12, 13, 16, 17
REGS = ("r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp "
        "ss fs_base gs_base ds es fs gs").split()


class Registers(ctypes.Structure):
    _fields_ = [(n, ctypes.c_ulonglong) for n in REGS]


def inject_call(tid, number, *args):
    """Makes thread @tid, which waits in a system call, do another one instead."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]

    def ptrace(what, data=None):
        if libc.ptrace(what, tid, None, data) < 0:
            e = ctypes.get_errno()
            raise OSError(e, "ptrace %d: %s" % (what, os.strerror(e)))
    regs = Registers()
    for _ in range(500):
        ptrace(PTRACE_ATTACH)
        os.waitpid(tid, 0x40000000)     # __WALL
        ptrace(PTRACE_GETREGS, ctypes.byref(regs))
        if regs.orig_rax < 1 << 63:
            break
        ptrace(PTRACE_DETACH)           # it was about to
        time.sleep(0.02)
    regs.rip -= 2                   # on the syscall instruction again
    regs.rax, regs.orig_rax = number, (1 << 64) - 1
    for name, value in zip(("rdi", "rsi", "rdx", "r10"), args):
        setattr(regs, name, value)
    ptrace(PTRACE_SETREGS, ctypes.byref(regs))
    ptrace(PTRACE_DETACH)
