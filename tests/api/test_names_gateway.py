# SPDX-License-Identifier: Apache-2.0
# time limit: 120 s
#
# Where VMs ask for names: at the gateway of their network. Asked here by a container of the
# same network, who is known there by his address, too; by guests in
# tests/lab/test_isolation_net.py and test_vm_network.py.
import os
import signal
import socket
import struct
import sys
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from vmlib import *
from netlib import *
from namelib import *

need_network()
need_program("ctrctl", "isola-image", "isola-resolver")
if not os.path.exists("/dev/net/tun"):
    skip_all("needs /dev/net/tun")
d = need_vms()
vms = Vms(d)
leak_mark()
GATEWAY = "10.77.0.1"
busybox_tar(T + "/root.tar")
check(d.ctr("import", T + "/root.tar", "busybox").rc == 0, "an image is imported")
for name, subnet in (("blue", "10.77.0.0/24"), ("red", "10.78.0.0/24")):
    is_(d.ctr("network", "create", "--internal", "--subnet", subnet, name).rc, 0, "a network is made")
for name, network in (("box", "blue"), ("stranger", "red")):
    r = d.ctr("run", "-d", "--name", name, "--network", network, "busybox", "sleep", "1000")
    is_(r.rc, 0, name + " runs", r)


def pid_of(name):
    return d.request("GET", "/containers/%s/json" % name)[2]["State"]["Pid"]


def asks(name, what, gateway=GATEWAY, qtype=1, seconds=5):
    return in_namespace(pid_of(name), ask_text, gateway, what, qtype, seconds)


def ask_tcp(address, what):
    with socket.create_connection((address, 53), 5) as s:
        s.settimeout(5)
        data = message(what)
        s.sendall(struct.pack(">H", len(data)) + data)
        got = b""
        while len(got) < 2 or len(got) < 2 + struct.unpack(">H", got[:2])[0]:
            chunk = s.recv(4096)
            if not chunk:
                return None
            got += chunk
        return "%d:%s" % (got[5] & 15, ".".join(map(str, got[-4:])))


is_(asks("box", "box", seconds=1), None, "without a VM nobody listens at the gateway")
vm, console = vms.start("one", NetworkMode="blue")
address = vms.inspect(vm)["NetworkSettings"]["Networks"]["blue"]["IPAddress"]
check(wait_for(10, lambda: asks("box", "one") == "0:" + address), "the VM's name, at the gateway")
is_(asks("box", vm[:12]), "0:" + address, "its short id")
is_(in_namespace(pid_of("box"), ask_tcp, GATEWAY, "one.blue"), "0:" + address, "by TCP")
is_(asks("box", "up.example"), "3:", "no other names in an internal network")
is_(asks("stranger", "one", seconds=1), None, "another network gets no answer there")
is_(in_namespace(d.netns.pid, ask_text, GATEWAY, "one", 1, 1), None, "the host neither")

# ---- another resolver, another isolad
first = resolver_pid(d)
os.kill(first, signal.SIGKILL)
check(wait_for(10, lambda: resolver_pid(d) not in (0, first)), "another resolver takes its place")
check(wait_for(10, lambda: asks("box", "one") == "0:" + address), "and answers")
box = pid_of("box")
d.stop(signal.SIGKILL)
is_(in_namespace(box, ask_text, GATEWAY, "one"), "0:" + address, "it answers without isolad")
check(d.start(), "isolad starts again")
check(wait_for(10, lambda: asks("box", "one") == "0:" + address), "the next isolad's answers")

# ---- the end
console.close()
is_(vms.remove(vm), 204, "the VM is removed")
check(wait_for(10, lambda: asks("box", "one") == "3:"), "its name goes")
for name in ("box", "stranger"):
    is_(d.ctr("rm", "-f", name).rc, 0, name + " is removed")
for name in ("blue", "red"):
    is_(d.ctr("network", "rm", name).rc, 0, "the network, too")
check(wait_for(10, lambda: resolver_pid(d) == 0), "the resolver ends")

# a VM alone, whose isolad is gone: its end is the resolver's
is_(d.ctr("network", "create", "--internal", "--subnet", "10.77.0.0/24", "blue").rc, 0, "a network")
vm, console = vms.start("two", NetworkMode="blue")
check(wait_for(10, lambda: resolver_pid(d) != 0), "a resolver for it")
pid, keeper = resolver_pid(d), vms.inspect(vm)["Isola"]["KeeperPid"]
d.stop(signal.SIGKILL)
check(is_running(pid), "it goes on without isolad")
os.kill(keeper, signal.SIGKILL)
check(wait_for(10, lambda: not is_running(pid)), "and ends with the VM")
check(d.start(), "isolad starts again")
check(wait_for(20, lambda: not vms.state(vm)["Running"]), "and sees that the VM ended")
console.close()
is_(vms.remove(vm), 204, "it is removed")
is_(d.ctr("network", "rm", "blue").rc, 0, "and its network")
leak_check()
d.stop()
finish()
