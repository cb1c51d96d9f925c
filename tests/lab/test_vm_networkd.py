# SPDX-License-Identifier: Apache-2.0
# nested: a Linux guest on emulated AMD-V
# time limit: 180 s
#
# systemd-networkd as a guest's DHCP client, with Debian's udev, but without systemd as PID 1,
# which takes minutes here. networkd waits for a link until udev has seen it.
import os
import shutil
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
sys.path.append(os.path.dirname(os.path.realpath(__file__)) + "/../api")
from vmlib import *
from vmlib import _read
from netlib import *

NETWORKD, UDEVADM = "/lib/systemd/systemd-networkd", shutil.which("udevadm") or "/usr/bin/udevadm"
need_program("isola-dhcp")
need_network()
for program in (NETWORKD, UDEVADM):
    if not os.path.exists(program):
        skip_all("needs " + program)
d = need_guests("--default-network", "bridge")


def files_of(*programs):
    """The programs and what they load, as entries of an archive."""
    paths = set()
    for program in programs:
        paths |= set(re.findall(r"(/\S+) \(0x", run("ldd", program).out))
    folders, entries = set(), []
    for path in sorted(paths) + list(programs):
        name = path.lstrip("/")
        parts = name.split("/")[:-1]
        folders |= {"/".join(parts[:i + 1]) for i in range(len(parts))}
        entries.append((name, 0o100755, _read(path)))
    return [(f, 0o40755, b"") for f in sorted(folders)] + entries


ETC = {"passwd": "root:x:0:0::/:/bin/sh\nsystemd-network:x:998:998::/:/bin/false\n",
       "group": "root:x:0:\nsystemd-network:x:998:\n",
       "machine-id": "0123456789abcdef0123456789abcdef\n",
       "systemd/network/eth0.network": "[Match]\nName=eth0\n[Network]\nDHCP=ipv4\n"}
files = files_of(NETWORKD, UDEVADM) + \
    [(f, 0o40755, b"") for f in ("etc/systemd", "etc/systemd/network", "lib/systemd")] + \
    [("lib/systemd/systemd-udevd", 0o120777, UDEVADM.encode())] + \
    [("etc/" + name, 0o100644, text.encode()) for name, text in ETC.items()]
files = list({f[0]: f for f in files}.values())

vm = Vm(d, "one", memory=512 * MIB, files=files, flags=["--network", "bridge"])
diag("booted after %.1f s" % vm.boot_s)
end = vm.inspect()["NetworkSettings"]["Networks"]["bridge"]
address = end["IPAddress"]
begun = time.monotonic()
# What systemd would have made.
vm.sh("mkdir -p /run/systemd/netif/leases /run/systemd/netif/links /run/systemd/netif/lldp; "
      "chown -R 998:998 /run/systemd/netif")
vm.sh("ip link set lo up; /lib/systemd/systemd-udevd --daemon")
rc, text = vm.sh("%s trigger --type=devices --action=add --subsystem-match=net && %s settle --timeout=60" % (UDEVADM, UDEVADM), 90)
is_(rc, 0, "udev has seen the devices", text)
diag("udev after %.1f s" % (time.monotonic() - begun))
vm.sh("SYSTEMD_LOG_LEVEL=info %s >/tmp/log 2>&1 &" % NETWORKD)
got = wait_for(60, lambda: address in vm.out("ip -4 addr show dev eth0"))
check(got, "systemd-networkd has the lease", vm.out("cat /tmp/log; ip addr; ls -R /run/systemd/netif"))
diag("the lease after %.1f s" % (time.monotonic() - begun))
wait_for(20, lambda: "ADDRESS=" in vm.out("cat /run/systemd/netif/leases/*"))
lease = dict(re.findall(r"^([A-Z_]+)=(.*)$", vm.out("cat /run/systemd/netif/leases/*"), re.M))
is_({k: lease.get(k) for k in ("ADDRESS", "NETMASK", "ROUTER", "SERVER_ADDRESS", "MTU", "HOSTNAME")},
    {"ADDRESS": address, "NETMASK": "255.255.0.0", "ROUTER": "10.201.0.1", "SERVER_ADDRESS": "10.201.0.1",
     "MTU": "1500", "HOSTNAME": "one"}, "with all that belongs to it", lease)
check("default via 10.201.0.1" in vm.out("ip route"), "its route", vm.out("ip route"))
rc, text = vm.sh("ping -c 2 -i 0.2 -w 30 10.201.0.1")
is_(rc, 0, "and reaches the gateway", text)
vm.remove()
d.stop()
finish()
