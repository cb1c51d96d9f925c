# SPDX-License-Identifier: Apache-2.0
#
# isola-dhcp and systemd-networkd, the client of many a distribution's guest.
import json
import os
import subprocess
import sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from dhcplib import *

NETWORKD = "/lib/systemd/systemd-networkd"
if not os.path.exists(NETWORKD) or run("getent", "passwd", "systemd-network").rc:
    skip_all("needs systemd-networkd")

# A read-only /sys tells it that no udev announces links.
START = r"""set -e
mount --make-rprivate /
mount -t tmpfs tmp /run
for d in links leases lldp; do mkdir -p /run/systemd/netif/$d; done
chown -R systemd-network /run/systemd/netif
mount -t sysfs -o ro sys /sys
mkdir /run/systemd/network
printf '[Match]\nName=eth0\n[Network]\nDHCP=ipv4\nIPv6AcceptRA=no\nLinkLocalAddressing=no\n[DHCPv4]\nUseMTU=yes\n' \
    >/run/systemd/network/eth0.network
exec """ + NETWORKD


def shown(*argv):
    r = run(*INSIDE, "ip", "-j", *argv)
    return json.loads(r.out) if r.out.strip() else []


def addresses():
    return [a["local"] for o in shown("-4", "addr", "show", "dev", "eth0") for a in o.get("addr_info", [])]


tell()
with open(T + "/log", "w") as log:
    client = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "--", *INSIDE, "unshare", "--mount", "--",
                               "sh", "-c", START], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
got = wait_for(30, lambda: addresses() == ["10.1.0.5"])
check(got, "it gets the lease", open(T + "/log").read()[-2000:])
check(wait_for(10, lambda: [r["gateway"] for r in shown("route") if r["dst"] == "default"] == ["10.1.0.1"]),
      "its default route", shown("route"))
check(wait_for(10, lambda: shown("link", "show", "dev", "eth0")[0]["mtu"] == 1400), "its MTU",
      shown("link", "show", "dev", "eth0"))
client.kill()
client.wait()
end()
finish()
