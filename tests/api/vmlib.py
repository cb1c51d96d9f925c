# SPDX-License-Identifier: Apache-2.0
"""What the test_vm_*.py share: VMs of tests/priv/vm_guest.S on an isolad of one's
own, and their consoles."""
import json
import os
import socket
import sys
import time
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)) + "/..")
from lib import *
from wire import *

GUEST = BUILD + "/tests/priv/vm_guest.elf"
WAIT_S = 20 * SCALE
MIB = 1 << 20
# A sanitizer in the worker makes system calls of its own.
SANITIZED = "asan" in os.environ.get("ISOLA_BUILD_NAME", "") + BUILD
# For vmctl: what a sanitizer does at the end of a worker is not in the worker's filter.
FILTER = ["--seccomp", "off"] if SANITIZED else []


def need_vms():
    """An isolad that can run VMs, or the script is skipped, aloud."""
    need_root()
    need_program("isolad", "isola-keeper", "isola-vmm")
    if not os.path.exists(GUEST):
        skip_all("the test guest is not built")
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR))
    except OSError as e:
        skip_all("needs /dev/kvm: %s" % e.strerror)
    return start_isolad() or skip_all("isolad does not start")


def vm_config(**more):
    config = {"Kernel": GUEST, "Memory": {"Size": 16 * MIB}, "OpenStdin": True,
              "DebugExit": True, "StopTimeout": 5 * SCALE,
              "Seccomp": "off" if SANITIZED else "kill"}
    config.update(more)
    return {k: v for k, v in config.items() if v is not None}


class Vms:
    """The VMs of one isolad."""

    def __init__(self, d):
        self.d = d

    def ask(self, method, path, body=None, **kw):
        return self.d.request(method, path, body, **kw)

    def create(self, name=None, **more):
        got = self.ask("POST", "/vms/create" + (q(name=name) if name else ""), vm_config(**more))
        if got[0] != 201:
            not_ok("a VM is created", repr(got))
            return None
        return got[2]["Id"]

    def post(self, vm, verb, **query):
        return self.ask("POST", "/vms/%s/%s" % (vm, verb) + (q(**query) if query else ""))

    def inspect(self, vm):
        return self.ask("GET", "/vms/%s/json" % vm)[2]

    def state(self, vm):
        return self.inspect(vm)["State"]

    def wait(self, vm):
        return self.post(vm, "wait")[2]

    def remove(self, vm):
        return self.ask("DELETE", "/vms/%s?force=1" % vm)[0]

    def log(self, vm, **more):
        return self.ask("GET", "/vms/%s/logs" % vm + q(stdout=1, stderr=1, **more))[2]

    def start(self, name=None, ready=True, **more):
        """Creates and starts one; returns its id, and its console when it is ready."""
        vm = self.create(name, **more)
        console = self.attach(vm)
        got = self.post(vm, "start")
        if got[0] != 204:
            not_ok("a VM starts", "%r\n%s" % (got, self.d.log_tail(20)))
        elif ready and not console.wait_for(b"ready\n"):
            not_ok("a guest says that it is ready", "%r\n%s" % (console.text,
                                                                self.d.log_tail(20)))
        return vm, console

    def attach(self, vm, **more):
        return Console(self.d, vm, **more)


class Console:
    """An attached client: what it read is in text (demultiplexed: err is stderr)."""

    def __init__(self, d, vm, mux=True, **more):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(WAIT_S)
        self.sock.connect(d.socket)
        query = q(stream=1, stdin=1, stdout=1, stderr=1, **more)
        self.sock.sendall(("POST /vms/%s/attach%s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
                           "Upgrade: tcp\r\n\r\n" % (vm, query)).encode())
        head = b""
        while b"\r\n\r\n" not in head:
            part = self.sock.recv(1)
            if not part:
                break
            head += part
        self.head, self.mux = head, mux
        self.raw, self.text, self.err, self.ended = b"", b"", b"", False

    def type(self, text):
        self.sock.sendall(text if isinstance(text, bytes) else text.encode())

    def read(self):
        try:
            part = self.sock.recv(65536)
        except (socket.timeout, ConnectionResetError):
            part = b""
        self.ended |= not part
        if not self.mux:
            self.text += part
            return
        self.raw += part
        while len(self.raw) >= 8:
            n = int.from_bytes(self.raw[4:8], "big")
            if len(self.raw) < 8 + n:
                break
            if self.raw[0] == 1:
                self.text += self.raw[8:8 + n]
            else:
                self.err += self.raw[8:8 + n]
            self.raw = self.raw[8 + n:]

    def wait_for(self, what, count=1):
        end = time.monotonic() + WAIT_S
        while self.text.count(what) < count and not self.ended and time.monotonic() < end:
            self.read()
        return self.text.count(what) >= count

    def wait_end(self):
        end = time.monotonic() + WAIT_S
        while not self.ended and time.monotonic() < end:
            self.read()
        return self.ended

    def close(self):
        self.sock.close()
