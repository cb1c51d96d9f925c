# SPDX-License-Identifier: Apache-2.0
"""What tests of networks share: an outside beside isolad's network namespace, and code
that runs in a namespace."""
import ctypes
import os
import re
import socket
import subprocess
import sys

from lib import *

libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000


def need_network():
    """Links, bridges and nftables in a network namespace."""
    r = run("unshare", "--net", "--", "sh", "-c",
            "ip link add name b0 type bridge && ip link add name v0 type veth peer name v1 && "
            "nft add table inet x")
    if r.rc:
        skip_all("no bridges, veth pairs or nftables here: " + r.err.strip()[:100])


class Outside:
    """A namespace that a cable joins to isolad's: the rest of the world."""
    address, host_address, subnet = "10.44.0.2", "10.44.0.1", "10.44.0.0/24"
    address6, host_address6, subnet6 = "fd44::2", "fd44::1", "fd44::/64"

    def __init__(self, d):
        self.process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "--", "unshare",
                                         "--net", "--", "sleep", "infinity"],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        wait_for(5, lambda: open("/proc/%d/comm" % self.process.pid).read() == "sleep\n")
        pid = str(self.process.pid)
        for argv in [("ip", "link", "add", "up0", "type", "veth", "peer", "name", "eth0", "netns", pid),
                     ("ip", "addr", "add", self.host_address + "/24", "dev", "up0"),
                     ("ip", "link", "set", "up0", "up")]:
            r = d.in_net(*argv)
            if r.rc:
                not_ok("the outside is made", r)
        for argv in [("ip", "link", "set", "lo", "up"),
                     ("ip", "addr", "add", self.address + "/24", "dev", "eth0"),
                     ("ip", "link", "set", "eth0", "up"),
                     # to containers as well: only rules keep it out
                     ("ip", "route", "add", "default", "via", self.host_address)]:
            run("nsenter", "--net=/proc/%s/ns/net" % pid, "--", *argv)


    def add6(self, d):
        """The same of IPv6."""
        for argv in [("ip", "addr", "add", self.host_address6 + "/64", "dev", "up0", "nodad"),
                     ("nsenter", "--net=/proc/%d/ns/net" % self.process.pid, "--", "sh", "-c",
                      "ip addr add %s/64 dev eth0 nodad && ip route add default via %s" %
                      (self.address6, self.host_address6))]:
            r = d.in_net(*argv)
            if r.rc:
                not_ok("the outside has IPv6", r)


def in_namespace(pid, function, *argv):
    """function(*argv) in the network namespace of @pid; text or None."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            fd = os.open("/proc/%d/ns/net" % pid, os.O_RDONLY)
            if libc.setns(fd, CLONE_NEWNET) == 0:
                text = function(*argv)
                if text is not None:
                    os.write(write, text.encode())
                    code = 0
        except OSError:
            pass
        os._exit(code)
    os.close(write)
    data = b""
    while chunk := os.read(read, 65536):
        data += chunk
    os.close(read)
    _, status = os.waitpid(child, 0)
    return data.decode(errors="replace") if status == 0 else None


def tcp_read(addr, port):
    with socket.create_connection((addr, port), 2) as s:
        s.settimeout(3)
        data = b""
        try:
            while chunk := s.recv(65536):
                data += chunk
        except OSError:
            pass
        return data.decode() or None


def udp_echo(addr, port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(2)
        s.connect((addr, port))
        s.send(b"ping")
        return s.recv(100).decode()


class in_namespace_hold:
    """A server in the network namespace of @pid that says "held", until close()."""

    CODE = ("import socket\ns = socket.socket()\ns.bind(('0.0.0.0', %d))\ns.listen()\n"
            "print('on', flush=True)\n"
            "while True:\n c = s.accept()[0]\n c.send(b'held\\n')\n c.close()")

    def __init__(self, pid, port):
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", "nsenter", "--net=/proc/%d/ns/net" % pid, "--",
             sys.executable, "-c", self.CODE % port],
            stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        self.process.stdout.readline()

    def close(self):
        self.process.kill()
        self.process.wait()


class Echo(in_namespace_hold):
    """A UDP server that sends back what comes."""
    CODE = ("import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
            "s.bind(('0.0.0.0', %d))\nprint('on', flush=True)\n"
            "while True:\n s.sendto(*s.recvfrom(100))")


class Firewall:
    """A firewall's program in isolad's network namespace, where files of its own, copies, are
    over the machine's."""

    def __init__(self, d, copies, more="true"):
        """@copies: {path of the machine: name in T}; @more: a command behind the mounts."""
        import shlex
        import shutil
        self.net = d.netns.pid
        mounts = []
        for path, name in copies.items():
            if not os.path.isdir(path):
                shutil.copy(path, T + "/" + name)
            elif path == "/run":
                os.mkdir(T + "/" + name)
            else:
                shutil.copytree(path, T + "/" + name)
            mounts.append("mount --bind %s %s" % (shlex.quote(T + "/" + name), shlex.quote(path)))
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", "nsenter", "--net=/proc/%d/ns/net" % self.net, "--", "unshare",
             "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--",
             "sh", "-c", " && ".join(mounts) + " && " + more + " && echo on && exec sleep infinity"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        while (line := self.process.stdout.readline()) not in ("on\n", ""):
            pass
        children = open("/proc/%d/task/%d/children" % ((self.process.pid,) * 2)).read().split()
        self.pid = int(children[0]) if children else 0

    def run(self, *argv, **kw):
        return run("nsenter", "--net", "--mount", "--pid", "-t", str(self.pid), "--", *argv, **kw)

    def close(self):
        self.process.kill()
        self.process.wait()


def links(d):
    """Links in isolad's namespace but for the loopback and the outside's."""
    names = re.findall(r"^\d+: ([^:@]+)", d.in_net("ip", "link").out, re.M)
    return [n for n in names if n not in ("lo", "up0")]


def rules(d):
    return d.in_net("nft", "list", "ruleset").out
