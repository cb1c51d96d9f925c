# SPDX-License-Identifier: Apache-2.0
# time limit: 180 s
#
# Networks of driver macvlan, with a cable to another namespace as parent: members reach
# each other and a host on the other side, by their own MACs and addresses; modes, what is
# refused, and what is left after isolad and keepers were killed.
import os
import re
import signal
import socket
import sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/..")
from lib import *
from netlib import *

need_root()
need_program("isolad", "ctrctl", "vmctl", "isola-keeper", "isola-image")
need_network()
r = run("unshare", "--net", "--", "sh", "-c",
        "ip link add name v0 type veth peer name v1 && ip link add link v0 name m type macvlan")
if r.rc:
    skip_all("no macvlan here: " + r.err.strip()[:100])
HAS_VLAN = run("unshare", "--net", "--", "sh", "-c",
               "ip link add name v0 type veth peer name v1 && ip link add link v0 name v type vlan id 9").rc == 0
HAS_DUMMY = run("unshare", "--net", "--", "ip", "link", "add", "name", "d", "type", "dummy").rc == 0

FLAGS = ("--default-network", "none")
d = start_isolad(*FLAGS)
if not d:
    not_ok("isolad starts")
    finish()
out = Outside(d)
OUT = out.process.pid
leak_mark()
busybox_tar(T + "/root.tar")
d.ctr("import", T + "/root.tar", "busybox")
LAN = ("--subnet", "10.44.0.0/24", "--gateway", "10.44.0.2", "--ip-range", "10.44.0.128/25")


def create(name, *flags):
    return d.ctr("network", "create", "-d", "macvlan", *flags, name)


def refused(r, pattern, what):
    check(r.rc != 0 and re.search(pattern, r.err), what, r)


def start(name, *flags):
    r = d.ctr("run", "-d", "--name", name, *flags, "busybox", "sleep", "1000")
    return check(r.rc == 0, "%s runs" % name, r)


def inspect(name):
    return d.request("GET", "/containers/%s/json" % name)[2]


def pid_of(name):
    return inspect(name)["State"]["Pid"]


def place(name, network="lan"):
    return inspect(name)["NetworkSettings"]["Networks"][network]


def inside(name, *argv):
    return run("nsenter", "--net=/proc/%d/ns/net" % pid_of(name), "--", *argv)


def links_of(pid):
    """The links in the namespace of @pid."""
    return in_namespace(pid, lambda: " ".join(sorted(n for _, n in socket.if_nameindex())))


class Servers:
    """An echo in each of these namespaces."""

    def __init__(self, *pids):
        self.all = [Echo(pid, 7777) for pid in pids]

    def close(self):
        for one in self.all:
            one.close()


def reaches(pid, addr, tries=10):
    """A datagram there and back; ARP may take its time."""
    return wait_for(tries, lambda: in_namespace(pid, udp_echo, addr, 7777) == "ping")


# ---- what is refused, and says why

refused(create("xx", "-o", "parent=gone0", *LAN), r"parent gone0 is missing", "a parent that is not there")
refused(create("xx", "-o", "parent=lo", *LAN), r"parent lo .*loopback", "the loopback")
refused(create("xx", "-o", "parent=up0.5000", *LAN), r"parent up0\.5000 is missing", "no number of a VLAN")
refused(create("xx", "-o", "parent=none.5", *LAN), r"none\.5 is missing, and so is none", "a VLAN of nothing")
refused(create("xx", "-o", "parent=a/b", *LAN), r"parent: 'a/b' is no name", "no name")
refused(create("xx", "-o", "parent=up0", "-o", "macvlan_mode=loud", *LAN), r"macvlan_mode: 'loud' is none of bridge",
        "an unknown mode")
refused(create("xx", "-o", "parent=up0", "-o", "isola.guard=off", *LAN), r"isola\.guard.*macvlan has .*parent",
        "an option of bridges")
refused(d.ctr("network", "create", "-o", "parent=up0", "xx"), r"'parent' is not supported.*bridge has", "and one of macvlan's")
for argv in ["ip link add name br7 type bridge", "ip link add name p7 type veth peer name q7",
             "ip link set p7 master br7", "ip link set p7 up", "ip tuntap add tun7 mode tun", "ip link set tun7 up"]:
    d.in_net(*argv.split())
refused(create("xx", "-o", "parent=p7", *LAN), r"parent p7 .*port of a bridge", "a port of a bridge")
refused(create("xx", "-o", "parent=q7", *LAN), r"parent q7 .*is down", "one that is down")
if d.in_net("ip", "link", "show", "tun7").rc == 0:
    refused(create("xx", "-o", "parent=tun7", *LAN), r"parent tun7 .*no Ethernet", "no Ethernet")
    d.in_net("ip", "link", "del", "tun7")
d.in_net("ip", "link", "del", "p7")
d.in_net("ip", "link", "del", "br7")

# ---- two members and the other side

r = create("lan", "-o", "parent=up0", *LAN)
is_(r.rc, 0, "a network on the host's own subnet", r)
net = d.request("GET", "/networks/lan")[2]
is_((net["Driver"], net["Options"], net["Internal"]), ("macvlan", {"parent": "up0"}, False), "inspect shows it")
is_(d.ctr("network", "ls", "-q", "--filter", "driver=macvlan").out.split(), [net["Id"][:12]], "and network ls")
refused(create("xx", "-o", "parent=up0", "--subnet", "10.45.0.0/24"), r"network lan has the parent up0 already",
        "one parent has one network")
start("ant", "--network", "lan")
start("bee", "--network", "lan", "--ip", "10.44.0.77", "--mac-address", "02:00:00:00:00:77", "--network-alias", "buzz")
A, B = place("ant"), place("bee")
is_((A["IPAddress"], A["Gateway"], A["IPPrefixLen"]), ("10.44.0.128", "10.44.0.2", 24), "an address of the range")
is_((B["IPAddress"], B["MacAddress"]), ("10.44.0.77", "02:00:00:00:00:77"), "an address and a MAC of one's own")
like(inside("bee", "ip", "-o", "link", "show", "eth0").out, "02:00:00:00:00:77", "which its link has")
like(inside("ant", "ip", "route").out, r"default via 10\.44\.0\.2 dev eth0", "the gateway is the LAN's")
servers = Servers(OUT, pid_of("ant"), pid_of("bee"))
check(reaches(pid_of("ant"), "10.44.0.77"), "one member reaches the other")
check(reaches(pid_of("bee"), "10.44.0.2"), "and a host on the other side")
check(reaches(OUT, "10.44.0.128"), "which reaches a member")
like(run("nsenter", "--net=/proc/%d/ns/net" % OUT, "ip", "neigh").out, r"10\.44\.0\.128 .*" + A["MacAddress"],
     "by its own MAC address")
like(d.ctr("exec", "ant", "nslookup", "buzz.").out, r"10\.44\.0\.77", "members have names")
check("isola" not in rules(d), "our rules have no part in it")
is_(links(d), [], "and the host has no link of it")
stats = d.request("GET", "/containers/ant/stats?stream=false&one-shot=true")[2]
check(stats["networks"]["eth0"]["rx_packets"] > 0, "its frames are counted", stats.get("networks"))
counted = d.request("GET", "/networks/lan")[2]["Counters"]
check(counted["rx_bytes"] >= stats["networks"]["eth0"]["rx_bytes"] and counted["tx_packets"] > 0,
      "and the network's", counted)

# ---- ports

r = d.ctr("run", "-d", "--name", "web", "--network", "lan", "-p", "8099:80", "busybox", "sleep", "1000")
check(r.rc == 0 and "macvlan" in r.err and "ignored" in r.err, "-p is ignored, with a warning", r)
is_(inspect("web")["NetworkSettings"]["Ports"], {"80/tcp": None}, "nothing is published")
refused(d.ctr("update", "--publish-add", "8098:80", "web"), "macvlan", "nor later")
d.ctr("rm", "-f", "web")

# ---- VMs

with open(T + "/kernel", "wb") as f:
    f.write(b"\x7fELF" + bytes(4096))
r = run(BUILD + "/vmctl", "--host", "unix://" + d.socket, "create", "--kernel", T + "/kernel", "--network", "lan")
refused(r, "lan is a macvlan, and a VM", "no VM is a member")

# ---- joining and leaving

start("cat")
r = d.ctr("network", "connect", "--ip", "10.44.0.99", "lan", "cat")
is_(r.rc, 0, "one that runs joins", r)
check(reaches(pid_of("cat"), "10.44.0.128"), "and reaches a member")
is_(d.ctr("network", "disconnect", "lan", "cat").rc, 0, "it leaves")
is_(links_of(pid_of("cat")), "lo", "and its link is gone")
is_(d.ctr("network", "connect", "--ip", "10.44.0.99", "lan", "cat").rc, 0, "it comes back")

# ---- one that may change its links

r = d.ctr("run", "-d", "--name", "admin", "--network", "lan", "--cap-add", "NET_ADMIN", "busybox", "sleep", "1000")
is_(r.rc, 0, "one with CAP_NET_ADMIN runs", r)
HIDE = ("set -e; ip link set eth0 down; ip link set eth0 name lost0; ip link set lost0 address 02:00:00:00:00:99; "
        "ip link set lost0 alias nothing; ip link add link lost0 name more0 type macvlan; "
        "ip link add name own0 type veth peer name own1; ip link set lost0 up; ip link set more0 up")
r = inside("admin", "sh", "-c", HIDE)
is_((r.rc, links_of(pid_of("admin"))), (0, "lo lost0 more0 own0 own1"), "it renames its link, and makes others of it", r)
d.stop(signal.SIGKILL)
check(d.start(*FLAGS), "isolad is killed and starts again")
is_(links_of(pid_of("admin")), "lo lost0 more0 own0 own1", "it knows the link by what it is, and makes no other")
is_(d.ctr("network", "disconnect", "lan", "admin").rc, 0, "it is told to leave")
is_(links_of(pid_of("admin")), "lo own0 own1", "nothing on the parent is left to it")
d.ctr("rm", "-f", "admin")

# ---- kill -9

d.stop(signal.SIGKILL)
check(reaches(OUT, "10.44.0.128"), "without isolad a member is reached")
check(d.start(*FLAGS), "isolad starts again")
check(reaches(pid_of("bee"), "10.44.0.128"), "members reach each other")
is_(d.ctr("network", "disconnect", "lan", "cat").rc, 0, "one leaves that another isolad had plugged")
is_(links_of(pid_of("cat")), "lo", "its link is gone")

# killed in a disconnect, when the link is gone and the record does not say so yet
is_(d.ctr("network", "connect", "--ip", "10.44.0.99", "lan", "cat").rc, 0, "it comes back once more")
d.stop()
os.environ["ISOLA_DIE_AT"] = "disconnect.unlinked"
check(d.start(*FLAGS), "isolad starts, to die in a disconnect")
del os.environ["ISOLA_DIE_AT"]
process = d.process
d.ctr("network", "disconnect", "lan", "cat")
check(wait_for(15, lambda: process.poll() is not None), "which it does")
d.stop(signal.SIGKILL)
check(d.start(*FLAGS), "and starts again")
is_((links_of(pid_of("cat")), place("cat")["IPAddress"]), ("eth0 lo", "10.44.0.99"), "the link is there, as the record says")
check(reaches(pid_of("cat"), "10.44.0.128"), "and works")
is_(d.ctr("network", "disconnect", "lan", "cat").rc, 0, "it leaves for good")

# links that are missing and cannot be made: isolad's start waits for all of them together
ROW = ["row%d" % i for i in range(8)]
for name in ROW:
    start(name, "--network", "lan")
kept = {name: (pid_of(name), place(name)["MacAddress"]) for name in ROW}
d.stop(signal.SIGKILL)
for name, (pid, mac) in kept.items():
    run("nsenter", "--net=/proc/%d/ns/net" % pid, "--", "ip", "link", "del", "eth0")
    r = d.in_net("ip", "link", "add", "link", "up0", "name", "x" + name, "address", mac, "type", "macvlan")
    d.in_net("ip", "link", "set", "x" + name, "up")
    is_(r.rc, 0, "another has its MAC address", r)
begun = time.monotonic()
check(d.start(*FLAGS), "isolad starts")
took = time.monotonic() - begun
check(took < 6 or SCALE > 1, "without a second for each of them", took)
is_([links_of(pid) for pid, _ in kept.values()], ["lo"] * 8, "they have no link")
like(open(d.log).read(), "its link in network lan is missing: .*has a macvlan with the MAC address", "which the log tells")
for name in ROW:
    d.ctr("rm", "-f", name)
    d.in_net("ip", "link", "del", "x" + name)
keeper = int(open("/proc/%d/stat" % pid_of("bee")).read().rsplit(")", 1)[1].split()[1])
os.kill(keeper, signal.SIGKILL)
check(wait_for(15, lambda: not inspect("bee")["State"]["Running"]), "a keeper is killed")
is_(d.ctr("start", "bee").rc, 0, "the container starts again, with the same MAC address")
servers.close()
servers = Servers(OUT, pid_of("ant"), pid_of("bee"))
check(reaches(OUT, "10.44.0.77"), "and is reached")

# ---- who has another's network

start("guest", "--network", "container:ant")
is_(links_of(pid_of("guest")), "eth0 lo", "one has another's network")
d.ctr("rm", "-f", "ant")
check(wait_for(15, lambda: links_of(pid_of("guest")) == "lo"), "whose end takes the link from it")
servers.close()
d.ctr("rm", "-f", "bee", "guest", "cat")
is_(d.ctr("network", "rm", "lan").rc, 0, "the network is removed")

# ---- modes

create("apart", "-o", "parent=up0", "-o", "macvlan_mode=private", *LAN)
start("p1", "--network", "apart")
start("p2", "--network", "apart")
servers = Servers(OUT, pid_of("p1"), pid_of("p2"))
one, two = place("p1", "apart")["IPAddress"], place("p2", "apart")["IPAddress"]
check(reaches(OUT, one) and reaches(OUT, two), "private: both are reached from the other side")
check(in_namespace(pid_of("p1"), udp_echo, two, 7777) is None, "but not by each other")
servers.close()
d.ctr("rm", "-f", "p1", "p2")
d.ctr("network", "rm", "apart")

create("whole", "-o", "parent=up0", "-o", "macvlan_mode=passthru", *LAN)
refused(d.ctr("create", "--network", "whole", "--mac-address", "02:00:00:00:00:78", "busybox", "true"),
        r"MacAddress.*passthru", "passthru: no MAC of one's own")
start("only", "--network", "whole")
up0 = re.search(r"link/ether (\S+)", d.in_net("ip", "link", "show", "up0").out)[1]
is_(place("only", "whole")["MacAddress"], up0, "it has the parent's")
servers = Servers(pid_of("only"))
check(reaches(OUT, place("only", "whole")["IPAddress"]), "and is reached")
servers.close()
refused(d.ctr("create", "--network", "whole", "busybox", "true"), r"one member.*container only", "no second member")
is_(d.ctr("restart", "-t", "0", "only").rc, 0, "it starts again at once")
d.ctr("rm", "-f", "only")
d.ctr("network", "rm", "whole")

create("shut", "--internal", "-o", "parent=up0", *LAN)
start("inner", "--network", "shut")
check("default" not in inside("inner", "ip", "route").out, "internal: no default route")
d.ctr("rm", "-f", "inner")
d.ctr("network", "rm", "shut")

# ---- links of our own

if not HAS_VLAN:
    skip("a VLAN is made and removed", "no VLANs in this kernel")
else:
    is_(create("tagged", "-o", "parent=up0.50", "--subnet", "10.50.0.0/24").rc, 0, "a VLAN that is not there")
    is_(links(d), [], "is not made before it is needed")
    start("t1", "--network", "tagged")
    is_(links(d), ["up0.50"], "but with the first member")
    for argv in ("link add link eth0 name eth0.50 type vlan id 50", "addr add 10.50.0.200/24 dev eth0.50",
                 "link set eth0.50 up"):
        run("nsenter", "--net=/proc/%d/ns/net" % OUT, "ip", *argv.split())
    servers = Servers(OUT)
    check(reaches(pid_of("t1"), "10.50.0.200"), "frames have its tag")
    servers.close()
    d.stop(signal.SIGKILL)
    check(d.start(*FLAGS), "isolad is killed and starts")
    is_(links(d), ["up0.50"], "the VLAN stays")
    d.ctr("rm", "-f", "t1")
    check(wait_for(20, lambda: links(d) == []), "and goes some time after the last member")
    start("t2", "--network", "tagged")
    pid = pid_of("t2")
    d.stop(signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)
    check(wait_for(15, lambda: not is_running(pid)), "isolad is killed, and the last member ends")
    check(d.start(*FLAGS), "isolad starts")
    check(wait_for(20, lambda: links(d) == []), "the VLAN is removed then")
    d.ctr("rm", "-f", "t2")
    is_(d.ctr("network", "rm", "tagged").rc, 0, "the network goes")
    is_(links(d), [], "with its VLAN")
if not HAS_DUMMY:
    skip("a network without a parent", "no dummy links in this kernel")
else:
    is_(create("alone", "--subnet", "10.51.0.0/24").rc, 0, "a network without a parent")
    is_(d.request("GET", "/networks/alone")[2]["Internal"], True, "is internal")
    start("l1", "--network", "alone")
    start("l2", "--network", "alone")
    servers = Servers(pid_of("l2"))
    check(reaches(pid_of("l1"), place("l2", "alone")["IPAddress"]), "its members reach each other")
    servers.close()
    d.ctr("rm", "-f", "l1", "l2")
    check(wait_for(20, lambda: links(d) == []), "its link goes")

# ---- the end

create("unused", "-o", "parent=up0", *LAN)
check("unused" in d.ctr("network", "prune", "-f").out, "prune removes it")
d.stop(signal.SIGTERM)
check(d.start(*FLAGS), "isolad starts a last time")
create("last", "-o", "parent=up0", *LAN)
start("zoe", "--network", "last")
d.in_net("ip", "link", "set", "up0", "down")
refused(d.ctr("run", "--network", "last", "--rm", "busybox", "true"), r"parent up0 .*is down", "a parent that went down is named")
d.in_net("ip", "link", "del", "up0")
refused(d.ctr("run", "--network", "last", "--rm", "busybox", "true"), r"parent up0 is missing", "and one that is gone")
is_(d.ctr("rm", "-f", "zoe").rc, 0, "its member is removed all the same")
d.ctr("network", "rm", "last")
leak_check()
is_(d.stop(), 0, "isolad ends")
finish()
