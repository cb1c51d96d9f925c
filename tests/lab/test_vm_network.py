# SPDX-License-Identifier: Apache-2.0
# nested: a Linux guest on emulated AMD-V
# time limit: 240 s
#
# Linux guests in isola's networks: an address by DHCP, container and VM on one network,
# a published port reached from this host, its loopback, outside and a container, two
# queues, a user-made network, and what stays after isolad was killed and a reboot.
import os
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
sys.path.append(os.path.dirname(os.path.realpath(__file__)) + "/../api")
from vmlib import *
from netlib import *

need_program("ctrctl", "isola-image", "isola-dhcp")
need_network()
d = need_guests("--default-network", "bridge")
out = Outside(d)
busybox_tar(T + "/root.tar")
d.ctr("import", T + "/root.tar", "busybox")
leak_mark()

# A script of udhcpc's that does what a distribution's would.
SCRIPT = (r"""printf '#!/bin/sh\n[ $1 = bound ] || exit 0\nip addr add $ip/$mask dev $interface\n"""
          r"""ip link set $interface mtu $mtu\n[ -n "$router" ] && ip route add default via $router\n"""
          r"""echo "lease $ip/$mask $router $mtu $hostname"\nexit 0\n' >/tmp/s; chmod 755 /tmp/s""")


def lease(vm):
    """What the guest is told by DHCP."""
    vm.sh(SCRIPT)
    rc, text = vm.sh("ip link set lo up; ip link set eth0 up; udhcpc -i eth0 -n -q -t 10 -T 2 -s /tmp/s 2>&1")
    m = re.search(r"^lease (.*)$", text, re.M)
    return m[1].split() if m else (rc, text)


def found(vm, name):
    """What the guest is told at its gateway."""
    text = vm.out("nslookup %s 10.77.0.1" % name)
    m = re.findall(r"^Address(?: 1)?: *([0-9.]+)$", text, re.M)
    return m[-1] if m else text


def endpoint(vm, network="bridge"):
    return vm.inspect()["NetworkSettings"]["Networks"][network]


def serve(vm, text):
    """A server in the guest, on port 80."""
    vm.sh("(while true; do echo %s | nc -l -p 80; done) >/dev/null 2>&1 &" % text)


def reached(pid, addr, port=80):
    return wait_for(30, lambda: in_namespace(pid, tcp_read, addr, port))


vm = Vm(d, "one", cpus=2, flags=["--network", "bridge", "--network-queues", "2", "-p", "8080:80"])
end = endpoint(vm)
address = end["IPAddress"]
is_(vm.out("cat /sys/class/net/eth0/address"), end["MacAddress"], "the device has the lease's MAC")
is_(vm.out("ls /sys/class/net/eth0/queues | wc -l"), "4", "and two pairs of queues")
is_(lease(vm), [address + "/16", "10.201.0.1", "1500", "one"],
    "udhcpc in the guest gets the lease")
rc, text = vm.sh("ping -c 3 -i 0.2 -w 30 10.201.0.1")
is_(rc, 0, "it reaches its gateway", text)
rc, text = vm.sh("ping -c 2 -i 0.2 -w 30 " + out.address)
is_(rc, 0, "and the outside, masqueraded", text)
serve(vm, "hello-from-vm")
is_(reached(d.pid, address), "hello-from-vm\n", "the host reaches it")
is_(reached(d.pid, "127.0.0.1", 8080), "hello-from-vm\n", "its published port, by the loopback")
is_(reached(out.process.pid, out.host_address, 8080), "hello-from-vm\n", "from outside")

# ---- beside a container
r = d.ctr("run", "-d", "--name", "box", "busybox", "sh", "-c",
          "while true; do echo hello-from-box | nc -l -p 80; done")
is_(r.rc, 0, "a container beside it", r)
box = d.request("GET", "/containers/box/json")[2]
boxed = box["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
pid = box["State"]["Pid"]
is_(reached(pid, address), "hello-from-vm\n", "the container reaches the VM")
is_(reached(pid, "10.201.0.1", 8080), "hello-from-vm\n", "and its published port")
is_(vm.out("nc -w 20 %s 80 </dev/null" % boxed), "hello-from-box", "the VM reaches the container")
r = d.ctr("update", "--publish-add", "8081:80", "box")
is_(vm.out("nc -w 20 10.201.0.1 8081 </dev/null"), "hello-from-box", "and what it publishes", )
r = vm.ctl("update", "--publish-rm", "8080:80", "--publish-add", "8090:80")
is_(r.rc, 0, "ports of a VM move while it runs", r)
is_(reached(out.process.pid, out.host_address, 8090), "hello-from-vm\n", "the new one answers")
is_(in_namespace(out.process.pid, tcp_read, out.host_address, 8080), None, "the old one does not")

# ---- isolad is killed; the guest renews and goes on
d.stop(signal.SIGKILL)
is_(reached(out.process.pid, out.host_address, 8090), "hello-from-vm\n", "it answers without isolad")
check(d.start("--default-network", "bridge"), "isolad starts again")
check(vm.wait_status("running"), "the VM is adopted", vm.state())
is_(reached(out.process.pid, out.host_address, 8090), "hello-from-vm\n", "and answers still")

# ---- a network of its own, and another VM
is_(d.ctr("network", "create", "--subnet", "10.77.0.0/24", "blue").rc, 0, "a network is made")
two = Vm(d, "two", flags=["--network", "blue", "--ip", "10.77.0.50"])
is_(lease(two), ["10.77.0.50/24", "10.77.0.1", "1500", "two"], "its address is the one asked for")
r = d.ctr("run", "-d", "--network", "blue", "--name", "blue-box", "busybox", "sh", "-c",
          "while true; do echo blue | nc -l -p 80; done")
is_(r.rc, 0, "a container in it", r)
o = d.request("GET", "/containers/blue-box/json")[2]
is_(two.out("nc -w 20 %s 80 </dev/null" % o["NetworkSettings"]["Networks"]["blue"]["IPAddress"]), "blue",
    "they reach each other")
serve(two, "from-two")
is_(reached(o["State"]["Pid"], "10.77.0.50"), "from-two\n", "both ways")
# names, at the gateway: a container's, another VM's, and their own for others
of_box = o["NetworkSettings"]["Networks"]["blue"]["IPAddress"]
is_(found(two, "blue-box"), of_box, "it finds the container by its name")
is_(found(two, o["Id"][:12]), of_box, "and by its short id")
is_(two.out("nc -w 20 %s 80 </dev/null" % found(two, "blue-box")), "blue", "and reaches it so")
three = Vm(d, "three", flags=["--network", "blue"], boot=False)
check(three.wait_status("running"), "another VM runs", three.state())
is_(found(two, "three"), endpoint(three, "blue")["IPAddress"], "which it finds by its name")
like(two.out("nslookup %s 10.77.0.1" % endpoint(three, "blue")["IPAddress"]), r"name = three\.blue", "and backwards")
like(d.ctr("exec", "blue-box", "nslookup", "two.").out, r"10\.77\.0\.50", "as the container finds the VM")
three.remove()
isnt(two.sh("nc -w 3 %s 80 </dev/null" % address)[0], 0, "another network's VM is out of reach")
r = d.ctr("network", "disconnect", "blue", "two")
is_(r.rc, 0, "a VM leaves its network", r)
check(wait_for(30, lambda: two.out("cat /sys/class/net/eth0/carrier") == "0"), "its cable is pulled")
two.remove()

# ---- the guest boots again
start = vm.send("reboot -f")
check(vm.booted(start=start), "the guest boots again", vm.tail())
is_(lease(vm)[0], address + "/16", "with the same lease")
rc, text = vm.sh("ping -c 2 -i 0.2 -w 30 10.201.0.1")
is_(rc, 0, "by the same port", text)
vm.remove()
for name in ("box", "blue-box"):
    d.ctr("rm", "-f", name)
is_(d.ctr("network", "rm", "blue").rc, 0, "its network is removed")
check(wait_for(30, lambda: "isola0" not in links(d)), "the bridge goes", links(d))
leak_check()
d.stop()
finish()
