# SPDX-License-Identifier: Apache-2.0
# nested: a Linux guest on emulated AMD-V
# time limit: 200 s
#
# A VM of the user's own, which runs, joins networks and leaves them: its kernel hears of the
# device by ACPI, nobody inside helps.
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
busybox_tar(T + "/root.tar")
d.ctr("import", T + "/root.tar", "busybox")
leak_mark()
is_(d.ctr("network", "create", "--subnet", "10.77.0.0/24", "blue").rc, 0, "a network is made")
r = d.ctr("run", "-d", "--network", "blue", "--ip", "10.77.0.9", "--name", "box", "busybox", "sh", "-c",
          "while true; do echo hello-from-box | nc -l -p 80; done")
is_(r.rc, 0, "a container in it", r)

SCRIPT = (r"""printf '#!/bin/sh\n[ $1 = bound ] || exit 0\nip addr flush dev $interface\n"""
          r"""ip addr add $ip/$mask dev $interface\necho "lease $ip/$mask $mtu"\nexit 0\n' >/tmp/s; """
          r"""chmod 755 /tmp/s""")


def network(verb, *words):
    r = d.ctr("network", verb, *words, limit_s=60)
    return (r.rc, r.err if r.rc else "")


def endpoint(name="blue"):
    return vm.inspect()["NetworkSettings"]["Networks"].get(name)


def devices():
    return vm.out("ls /sys/class/net").split()


def lease(device):
    vm.sh(SCRIPT)
    _, text = vm.sh("ip link set %s up; udhcpc -i %s -n -q -t 10 -T 2 -s /tmp/s 2>&1" % (device, device))
    m = re.search(r"^lease (.*)$", text, re.M)
    return m[1].split() if m else text


def answers():
    return vm.out("nc -w 20 10.77.0.9 80 </dev/null")


vm = Vm(d, "one", flags=["--network", "none"])
is_(devices(), ["lo"], "it begins without a network")
is_(vm.out("dmesg | grep -ciE 'LNRO|container.*fail|ACPI.*error'"), "0", "and nothing is said of the places")
is_(network("connect", "blue", "one"), (0, ""), "it joins one while it runs")
check(wait_for(30, lambda: devices() == ["eth0", "lo"]), "its kernel finds the device", vm.tail())
is_(vm.out("cat /sys/class/net/eth0/address"), endpoint()["MacAddress"], "by its address")
is_(lease("eth0"), [endpoint()["IPAddress"] + "/24", "1500"], "gets the lease by DHCP")
is_(answers(), "hello-from-box", "and reaches what is there")
mac = endpoint()["MacAddress"]

is_(network("disconnect", "blue", "one"), (0, ""), "it leaves")
check(wait_for(30, lambda: vm.out("cat /sys/class/net/eth0/carrier") == "0"), "its cable is pulled")
is_(endpoint(), None, "inspect knows")
is_(network("connect", "--ip", "10.77.0.70", "blue", "one"), (0, ""), "and comes back")
check(wait_for(30, lambda: vm.out("cat /sys/class/net/eth0/carrier") == "1"), "by the same device", devices())
is_((endpoint()["MacAddress"], devices()), (mac, ["eth0", "lo"]), "with the address that the guest knows")
is_(lease("eth0"), ["10.77.0.70/24", "1500"], "another lease")
is_(answers(), "hello-from-box", "and it works")

# ---- isolad is killed; two more networks
d.stop(signal.SIGKILL)
check(d.start("--default-network", "bridge"), "isolad is killed and starts again")
check(vm.wait_status("running"), "the VM is adopted", vm.state())
is_(answers(), "hello-from-box", "and still there")
is_(network("connect", "bridge", "one"), (0, ""), "it joins another")
check(wait_for(30, lambda: devices() == ["eth0", "eth1", "lo"]), "whose device is found", devices())
is_(lease("eth1"), [endpoint("bridge")["IPAddress"] + "/16", "1500"], "with its lease")
is_(d.ctr("network", "create", "red").rc, 0, "one more network")
is_(network("connect", "red", "one"), (0, ""), "takes the last place")
check(wait_for(30, lambda: len(devices()) == 4), "is found", devices())
is_(d.ctr("network", "create", "green").rc, 0, "a fourth")
rc, said = network("connect", "green", "one")
check(rc != 0 and "no place for a further network device" in said, "finds none, and says so", said)
is_(endpoint("green"), None, "and leaves nothing")
is_(vm.ctl("pause").rc, 0, "paused")
rc, said = network("disconnect", "red", "one")
check(rc != 0 and "paused" in said, "it does not leave", said)
is_(vm.ctl("resume").rc, 0, "it goes on")

# ---- it boots again: all are devices from the start, and there are new places
start = vm.send("reboot -f")
check(vm.booted(start=start), "the guest boots again", vm.tail())
is_(len(devices()), 4, "with the devices of its networks")
is_(network("connect", "green", "one"), (0, ""), "and room for another")
check(wait_for(30, lambda: len(devices()) == 5), "which is found", devices())
vm.remove()
for name in ("red", "green"):
    is_(d.ctr("network", "rm", name).rc, 0, "network %s is empty" % name)
d.ctr("rm", "-f", "box")
is_(d.ctr("network", "rm", "blue").rc, 0, "as is the container's")
leak_check()
d.stop()
finish()
