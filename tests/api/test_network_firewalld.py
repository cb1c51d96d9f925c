# SPDX-License-Identifier: Apache-2.0
# time limit: 180 s
#
# firewalld, the real one, on the host of containers: it is found, what is said against it is
# done to the letter, and then traffic flows. Its files and its bus here are its own. It is not
# among what scripts/setup installs: on a host with systemd it would be at work at once.
import os
import re
import shlex
import shutil
import sys
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)) + "/..")
from lib import *
from netlib import *

need_root()
need_program("isolad", "ctrctl", "isola-keeper", "isola-image")
need_network()
if not all(map(shutil.which, ("firewalld", "firewall-cmd", "dbus-daemon"))):
    skip_all("needs firewalld and dbus-daemon")
FLAGS = ("--default-network", "bridge")
d = Isolad()
if not d.start(*FLAGS):
    not_ok("isolad starts")
    finish()
out = Outside(d)
OUT = out.process.pid
d.ctr("import", busybox_tar(T + "/root.tar"), "busybox")
wall = Firewall(d, {"/etc/firewalld": "firewalld", "/run": "fw-run"},
                "mkdir -p /run/dbus /run/firewalld && dbus-daemon --system --fork --nopidfile >/dev/null && "
                "{ firewalld --nofork --nopid >%s 2>&1 & }" % shlex.quote(T + "/firewalld.log"))
if not wait_for(60, lambda: wall.run("firewall-cmd", "--state").rc == 0):
    skip_all("firewalld does not run in a namespace here: " + open(T + "/firewalld.log").read()[-300:].replace("\n", " "))
check("filter_FORWARD" in d.in_net("nft", "list", "table", "inet", "firewalld").out, "firewalld is active in isolad's namespace")

r = d.ctr("run", "-d", "--name", "web", "-p", "8080:80", "busybox", "sh", "-c",
          "while :; do echo hello-web | nc -l -p 80; done")
is_(r.rc, 0, "a container publishes a port", r)
server = in_namespace_hold(OUT, 7000)


def to_outside():
    return d.ctr("exec", "web", "timeout", "3", "nc", out.address, "7000").out


is_(to_outside(), "", "a container does not reach the outside")
check(wait_for(10, lambda: "firewall-cmd --permanent" in d.log_tail()), "isolad's log says why, and what helps", d.log_tail())
r = d.ctr("create", "--name", "warned", "busybox", "true")
d.ctr("rm", "warned")
said = re.search(r"let it through with: (firewall-cmd .*)", r.err)
check(said, "so does create", r)
for command in said[1].split("&&") if said else []:
    r = wall.run(*shlex.split(command))
    is_(r.rc, 0, command.strip(), r)
is_(wait_for(20, lambda: to_outside() == "held\n"), True, "then the container reaches the outside")
is_(wait_for(10, lambda: in_namespace(OUT, tcp_read, out.host_address, 8080) == "hello-web\n"), True,
    "and its published port is reached from there")
wall.close()
server.close()
is_(d.ctr("rm", "-f", "web").rc, 0, "all is removed")
finish()
