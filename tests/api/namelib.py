# SPDX-License-Identifier: Apache-2.0
"""What tests of names share: a host's resolv.conf of their own, a name server on the
host, DNS messages."""
import ctypes
import json
import os
import select
import socket
import struct
import subprocess

from lib import *
from netlib import *

CLONE_NEWNS = 0x20000
SERVER = "127.0.0.53"
BIG = ["x" * 200] * 12


def own_resolv_conf(text):
    """/etc/resolv.conf of this script and what it starts; its path elsewhere."""
    path = T + "/resolv.conf"
    with open(path, "w") as f:
        f.write(text)
    if libc.unshare(CLONE_NEWNS) != 0:
        skip_all("no mount namespaces here")
    for argv in [("mount", "--make-rprivate", "/"),
                 ("mount", "--bind", path, os.path.realpath("/etc/resolv.conf")),
                 ("mount", "--make-rshared", "/")]:
        r = run(*argv)
        if r.rc:
            skip_all("a resolv.conf of its own cannot be mounted: " + r.err.strip())
    return path


class Upstream:
    """dnsmasq in a network namespace."""

    def __init__(self, pid, address=SERVER, *more):
        log = open(T + "/dnsmasq-%s.log" % address, "w")
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", "nsenter", "--net=/proc/%d/ns/net" % pid, "--",
             "dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null",
             "--listen-address=" + address, "--bind-interfaces", "--pid-file=",
             "--user=root", "--group=root", "--log-facility=-", "--log-queries",
             "--address=/up.example/192.0.2.7", "--txt-record=big.example," + ",".join(BIG),
             "--local=/example/", *more],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.log = log.name
        wait_for(10, lambda: in_namespace(pid, ask_text, address, "a.up.example"))

    def asked(self, name):
        with open(self.log) as f:
            return name in f.read()

    def close(self):
        self.process.kill()
        self.process.wait()


def message(name, qtype=1, ident=7, opt=0):
    labels = b"".join(bytes([len(p)]) + p.encode() for p in name.split(".") if p)
    tail = struct.pack(">BHHIH", 0, 41, opt, 0, 0) if opt else b""
    return struct.pack(">6H", ident, 0x100, 1, 0, 0, 1 if opt else 0) + labels + b"\0" + \
        struct.pack(">2H", qtype, 1) + tail


def exchange(address, data, seconds=5):
    """One datagram there, one back; b"" without."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(seconds)
        s.connect((address, 53))
        try:
            s.send(data)
            return s.recv(65536)
        except OSError:
            return b""


def ask_text(address, name, qtype=1, seconds=5):
    """"rcode: last four bytes" of the answer; None without."""
    data = exchange(address, message(name, qtype), seconds)
    if len(data) < 12:
        return None
    return "%d:%s" % (data[3] & 15, ".".join(map(str, data[-4:])) if data[6:8] != b"\0\0" else "")


def ask_many(address, names, count, window=64):
    """How many of @count queries got the right id back; each is asked up to five times."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect((address, 53))
        s.setblocking(False)
        got = 0
        left = {}
        sent = 0
        while got < count:
            while sent < count and len(left) < window:
                left[sent & 0xffff] = message(names[sent % len(names)], ident=sent & 0xffff)
                s.send(left[sent & 0xffff])
                sent += 1
            if not select.select([s], [], [], 2)[0]:
                for data in left.values():      # lost: full buffers
                    s.send(data)
                if not select.select([s], [], [], 10)[0]:
                    break
            while True:
                try:
                    data = s.recv(4096)
                except BlockingIOError:
                    break
                got += left.pop(struct.unpack(">H", data[:2])[0], None) is not None
        return str(got)


def resolver_pid(d):
    """Of the isola-resolver that isolad has now; 0 for none."""
    try:
        with open(d.root + "/run/resolver.pid") as f:
            pid = json.load(f)["pid"]
    except (OSError, ValueError):
        return 0
    return pid if is_running(pid) else 0
