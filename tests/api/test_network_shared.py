# SPDX-License-Identifier: Apache-2.0
# time limit: 120 s
#
# --network container:X: one network namespace and one set of files for two containers;
# what does not go with it; and what becomes of them when X ends.
import os
import sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/..")
from lib import *
from netlib import *

need_root()
need_program("isolad", "ctrctl", "isola-keeper", "isola-image")
need_network()

d = start_isolad("--default-network", "bridge")
if not d:
    not_ok("isolad starts")
    finish()
leak_mark()
busybox_tar(T + "/root.tar")
d.ctr("import", T + "/root.tar", "busybox")
d.ctr("network", "create", "blue")


def inspect(name):
    return d.request("GET", "/containers/%s/json" % name)[2]


def net_of(name):
    return os.readlink("/proc/%d/ns/net" % inspect(name)["State"]["Pid"])


def inside(name, *argv):
    return d.ctr("exec", name, *argv).out


r = d.ctr("run", "-d", "--name", "first", "--network", "blue", "--hostname", "pod", "busybox",
          "sleep", "1000")
is_(r.rc, 0, "the first runs", r)
r = d.ctr("run", "-d", "--name", "second", "--network", "container:first", "busybox", "sleep", "1000")
is_(r.rc, 0, "the second runs in its network", r)
is_(net_of("second"), net_of("first"), "they have one network namespace")
is_(inside("second", "ip", "addr"), inside("first", "ip", "addr"), "one address")
for path in ("/etc/hosts", "/etc/resolv.conf", "/etc/hostname"):
    is_(inside("second", "cat", path), inside("first", "cat", path), "one " + path)
is_(inside("second", "hostname"), "pod\n", "and one host name")
doc = inspect("second")
is_(doc["HostConfig"]["NetworkMode"], "container:" + inspect("first")["Id"], "inspect names it by id")
is_(doc["NetworkSettings"]["Networks"], {}, "it is in no network itself")
r = d.ctr("exec", "-d", "first", "sh", "-c", "while :; do echo hello | nc -l -p 90; done")
r = None


def ask():
    global r
    r = d.ctr("exec", "second", "nc", "-w", "3", "127.0.0.1", "90")
    return r.out


is_(wait_for(10, ask), "hello\n", "they meet at 127.0.0.1", r)
like(inside("second", "nslookup", "first."), r"Address: 10\.", "names are resolved")
d.ctr("network", "connect", "bridge", "first")
is_(inside("second", "ip", "addr", "show", "eth1"), inside("first", "ip", "addr", "show", "eth1"),
    "another network is there for both")

for flags, text in [(["-p", "80"], "-p"), (["-P"], "-P"), (["--hostname", "x"], "--hostname"),
                    (["--dns", "10.0.0.1"], "--dns"), (["--dns-search", "x"], "--dns-search"),
                    (["--dns-option", "x"], "--dns-option"), (["--add-host", "a:1.2.3.4"], "--add-host"),
                    (["--mac-address", "02:00:00:00:00:07"], "--mac-address"),
                    (["--ip", "10.0.0.5"], "--ip"), (["--network-alias", "x"], "--network-alias"),
                    (["--userns", "host"], "--network"), (["--domainname", "x"], "--hostname")]:
    r = d.ctr("create", "--network", "container:first", *flags, "busybox", "true")
    check(r.rc == 125 and text in r.err, "refused: %s" % " ".join(flags), r)
r = d.ctr("create", "--network", "container:second", "busybox", "true")
check(r.rc == 125 and "name that one" in r.err, "one that shares is not shared itself", r)
r = d.ctr("network", "connect", "blue", "second")
check(r.rc == 1 and "another container's" in r.err, "nor can it join a network", r)
r = d.ctr("run", "--rm", "--pid", "container:first", "--network", "container:first", "busybox", "ps")
like(r.out, "sleep 1000", "processes and network of one container")
check(d.ctr("run", "--rm", "--network", "container:first", "--pid", "host", "busybox", "true").rc == 0,
      "and the host's processes")
r = d.ctr("top", "second")
like(r.out, r"(?m)^root .*sleep 1000", "top shows whose processes they are")

d.ctr("stop", "-t", "0", "first")
check(inspect("second")["State"]["Running"], "the second runs on when the first ends")
check(wait_for(10, lambda: "eth0" not in inside("second", "ip", "link")), "without links",
      inside("second", "ip", "link"))
d.ctr("stop", "-t", "0", "second")
r = d.ctr("start", "second")
check(r.rc == 1 and "not running" in r.err, "it starts when the first runs", r)
d.ctr("start", "first")
is_(d.ctr("start", "second").rc, 0, "and does")
is_(net_of("second"), net_of("first"), "in the same namespace again")
d.ctr("restart", "-t", "0", "first")
isnt(net_of("second"), net_of("first"), "a restart of the first leaves it behind, as with Docker")
d.ctr("rm", "-f", "first")
r = d.ctr("restart", "-t", "0", "second")
check(r.rc == 1 and "No such container" in r.err, "without the first it cannot start", r)
is_(d.ctr("rm", "-f", "second").rc, 0, "it can be removed")
d.ctr("network", "rm", "blue")
leak_check()
finish()
