# SPDX-License-Identifier: Apache-2.0
# time limit: 180 s
#
# ufw, the real one, on the host of containers: it is found, what is said against it is done
# to the letter, and then traffic flows. Its files here are copies, in a mount namespace.
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
if not shutil.which("ufw") or not os.path.exists("/etc/default/ufw"):
    skip_all("needs ufw")
FLAGS = ("--default-network", "bridge")
d = Isolad()
if not d.start(*FLAGS):
    not_ok("isolad starts")
    finish()
out = Outside(d)
OUT = out.process.pid
d.ctr("import", busybox_tar(T + "/root.tar"), "busybox")
MINE = open("/etc/ufw/ufw.conf").read()

# ---- ufw in isolad's network namespace, with files of its own
wall = Firewall(d, {"/etc/ufw": "ufw", "/etc/default/ufw": "ufw-default", "/run": "ufw-run"})


def ufw(*argv):
    return wall.run("ufw", *argv)


r = ufw("--force", "enable")
if r.rc:
    skip_all("ufw does not run in a network namespace here: " + (r.err or r.out).strip()[:200])
check("Status: active" in ufw("status").out, "ufw is active in isolad's namespace")
check("policy drop" in d.in_net("nft", "list", "chain", "ip", "filter", "FORWARD").out, "and drops what is forwarded")

# ---- what does not work, and what is said
r = d.ctr("run", "-d", "--name", "web", "-p", "8080:80", "busybox", "sh", "-c",
          "while :; do echo hello-web | nc -l -p 80; done")
is_(r.rc, 0, "a container publishes a port", r)
server = in_namespace_hold(OUT, 7000)


def from_outside():
    return in_namespace(OUT, tcp_read, out.host_address, 8080)


def to_outside(name="web"):
    return d.ctr("exec", name, "timeout", "3", "nc", out.address, "7000").out


is_(from_outside(), None, "which nobody outside reaches")
is_(to_outside(), "", "nor does it reach the outside")
check(wait_for(10, lambda: "ufw route allow" in d.log_tail()), "isolad's log says why, and what helps", d.log_tail())
r = d.ctr("create", "--name", "warned", "busybox", "true")
check("ufw route allow" in r.err, "so does create", r)
d.ctr("rm", "warned")

# ---- done to the letter
said = re.search(r"\(ufw: ([^)]*)\)", r.err)
commands = [shlex.split(c) for c in said[1].split(";")] if said else []
is_(len(commands), 2, "two commands", r)
for argv in commands:
    is_(argv[0], "ufw", "%s" % " ".join(argv))
    r = ufw(*argv[1:])
    is_(r.rc, 0, "does", r)
is_(wait_for(10, lambda: from_outside() == "hello-web\n"), True, "then the port is reached from outside")
is_(to_outside(), "held\n", "and the outside from the container")

# ---- a network of its own has a bridge of its own, which is named
d.stop()
check(d.start(*FLAGS), "isolad starts again, and looks again")
r = d.ctr("run", "--rm", "busybox", "true")
is_(r.rc, 0, "a container runs", r)
stands_still(lambda: d.log_tail(5))
r = d.ctr("create", "--name", "quiet", "busybox", "true")
check(r.rc == 0 and "ufw" not in r.err, "it has nothing to say any more", r)
d.ctr("rm", "quiet")
d.ctr("network", "create", "--subnet", "10.71.0.0/24", "blue")
d.stop()
check(d.start(*FLAGS), "isolad starts again")
r = d.ctr("run", "-d", "--name", "own", "--network", "blue", "busybox", "sleep", "1000")
is_(r.rc, 0, "a container in a network of its own", r)
bridge = "isola-" + d.request("GET", "/networks/blue")[2]["Id"][:9]
check(wait_for(10, lambda: "ufw route allow in on " + bridge in d.log_tail()), "its bridge is named", d.log_tail())
is_(to_outside("own"), "", "and it does not reach the outside")
for way in ("in", "out"):
    ufw("route", "allow", way, "on", bridge)
is_(to_outside("own"), "held\n", "until that is done")

# ---- the machine's own
ufw("--force", "disable")
is_(open("/etc/ufw/ufw.conf").read(), MINE, "the machine's ufw is as it was")
wall.close()
server.close()
is_(d.ctr("rm", "-f", "web", "own").rc, 0, "all is removed")
finish()
