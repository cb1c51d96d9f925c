# SPDX-License-Identifier: Apache-2.0
"""isola-dhcp beside a veth whose other end, eth0, is in a namespace with a client: INSIDE
is the command in front of what runs there, tell() is isolad's part."""
import array
import ctypes
import json
import os
import socket
import subprocess
import sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/..")
from lib import *

need_root()
need_program("isola-dhcp")
libc = ctypes.CDLL(None, use_errno=True)
if libc.unshare(0x40000000):
    skip_all("no network namespaces here")
MAC = "02:42:0a:01:00:05"
if run("ip", "link", "add", "port0", "type", "veth", "peer", "name", "eth0", "address", MAC).rc:
    skip_all("no veth pairs here")
holder = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "--", "unshare", "--net", "--",
                           "sleep", "infinity"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
wait_for(10, lambda: open("/proc/%d/comm" % holder.pid).read() == "sleep\n")
INSIDE = ["nsenter", "--net=/proc/%d/ns/net" % holder.pid, "--"]
for argv in [["ip", "link", "set", "port0", "up"],
             ["ip", "link", "set", "eth0", "netns", str(holder.pid)],
             INSIDE + ["ip", "link", "set", "eth0", "up"]]:
    is_(run(*argv).rc, 0, " ".join(argv[-4:]))

ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
server = subprocess.Popen([BUILD + "/isola-dhcp"], stdin=subprocess.DEVNULL, pass_fds=[],
                          close_fds=False, preexec_fn=lambda: os.dup2(theirs.fileno(), 3))
theirs.close()


def tell(**more):
    port = {"port": "port0", "mac": MAC, "address": "10.1.0.5", "prefix": 24, "server": "10.1.0.1",
            "router": "10.1.0.1", "dns": ["10.1.0.1", "10.1.0.2"], "mtu": 1400, "hostname": "guest"}
    port.update(more)
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    s.bind(("port0", 3))
    ours.sendmsg([json.dumps(port).encode()],
                 [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [s.fileno()]))])
    s.close()



def end():
    """The namespace goes, then the connection, and the process by that."""
    is_(server.poll(), None, "isola-dhcp still runs")
    holder.kill()
    holder.wait()
    ours.close()
    check(wait_for(10, lambda: server.poll() is not None), "it ends with its connection")
    is_(server.poll(), 0, "in good order")
