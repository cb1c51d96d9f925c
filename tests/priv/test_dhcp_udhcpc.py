# SPDX-License-Identifier: Apache-2.0
#
# isola-dhcp and a real client: busybox's udhcpc behind a veth gets the address of its
# port, with everything that goes with it, renews it, and keeps others out.
import os
import signal
import subprocess
import sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from dhcplib import *

if "udhcpc" not in run("busybox", "--list").out.split():
    skip_all("busybox has no udhcpc")

with open(T + "/script", "w") as f:
    f.write("#!/bin/sh\necho \"$1 $ip $mask $router $mtu $hostname $serverid $dns\" >>%s/said\n" % T)
os.chmod(T + "/script", 0o755)


def udhcpc(*argv):
    """What the client's script was told last, or None."""
    if os.path.exists(T + "/said"):
        os.unlink(T + "/said")
    r = run(*INSIDE, "busybox", "udhcpc", "-f", "-i", "eth0", "-s", T + "/script", "-n", "-t", "10",
            "-T", "1", *argv)
    lines = open(T + "/said").read().splitlines() if os.path.exists(T + "/said") else []
    return r.rc, lines[-1] if lines else None


tell()
is_(udhcpc("-q"), (0, "bound 10.1.0.5 24 10.1.0.1 1400 guest 10.1.0.1 10.1.0.1 10.1.0.2"),
    "a client is given the lease of its port")
is_(udhcpc("-q", "-r", "10.1.0.9")[1][:14], "bound 10.1.0.5", "whatever it would like to have")
tell(router="", dns=[], hostname="")
is_(udhcpc("-q"), (0, "bound 10.1.0.5 24  1400  10.1.0.1 "), "what is not said is not told")
tell(address="10.1.0.6")
is_(udhcpc("-q")[1][:14], "bound 10.1.0.6", "what is said anew counts")
tell(mac="02:42:0a:01:00:06")
is_("bound" in str(udhcpc("-q", "-t", "2")), False, "another's port is not served")
for bad in ({"mac": "nonsense"}, {"address": "fd00::1"}, {"prefix": 0}, {"port": ""}, {"dns": ["x"]},
            {"hostname": "x" * 100}):
    tell(**bad)
is_("bound" in str(udhcpc("-q", "-t", "2")), False, "malformed messages change nothing")
tell()
is_(udhcpc("-q")[1][:14], "bound 10.1.0.5", "a good one behind them counts")

# ---- a client that stays, and renews when it is told to
os.unlink(T + "/said")
client = subprocess.Popen(INSIDE + ["busybox", "udhcpc", "-f", "-i", "eth0", "-s", T + "/script", "-T", "1"],
                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def said(word):
    return os.path.exists(T + "/said") and [x for x in open(T + "/said") if x.startswith(word)]


check(wait_for(20, said, "bound"), "bound")
run(*INSIDE, "ip", "addr", "add", "10.1.0.5/24", "dev", "eth0")
client.send_signal(signal.SIGUSR1)
check(wait_for(20, said, "renew"), "renewed")
client.kill()
client.wait()

end()
finish()
