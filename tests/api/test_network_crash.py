# SPDX-License-Identifier: Apache-2.0
# time limit: 240 s
#
# isolad and keepers are killed while containers get, have and lose their network:
# what runs keeps its address, links and ports; of what does not run nothing is left;
# no address is given twice. And many starts at a time.
import os
import random
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/..")
from lib import *
from netlib import *

need_root()
need_program("isolad", "ctrctl", "isola-keeper", "isola-image")
need_network()

FLAGS = ("--default-network", "bridge")
d = start_isolad(*FLAGS)
if not d:
    not_ok("isolad starts")
    finish()
out = Outside(d)
busybox_tar(T + "/root.tar")
d.ctr("import", T + "/root.tar", "busybox")
SERVE = "while true; do echo hello-$0 | nc -l -p 80; done"


def again():
    """isolad is killed and started."""
    d.stop(signal.SIGKILL)
    return check(d.start(*FLAGS), "isolad starts again")


def inspect(name):
    status, _, doc = d.request("GET", "/containers/%s/json" % name)
    return doc if status == 200 else None


def address(name, network="bridge", key="IPAddress"):
    return inspect(name)["NetworkSettings"]["Networks"][network][key]


def reached(where, addr, port):
    return wait_for(5, lambda: in_namespace(where, tcp_read, addr, port))


def living():
    return [c["Id"] for c in d.request("GET", "/containers/json")[2]]


def veths():
    return sorted(n for n in links(d) if n.startswith("veth"))


def published():
    # numbers where there is no /etc/protocols
    return sorted(re.findall(r"(?:tcp|udp|6|17) \. (\d+) : ", rules(d)))


# ---- isolad is killed while a container runs

d.ctr("run", "-d", "--name", "web", "-p", "8080:80", "-p", "80", "busybox", "sh", "-c", SERVE, "web")
d.ctr("run", "-d", "--rm", "--name", "temp", "-p", "8081:80", "busybox", "sh", "-c", SERVE, "temp")
d.ctr("network", "create", "blue")
d.ctr("network", "connect", "blue", "web")
before = inspect("web")["NetworkSettings"]
is_(reached(out.process.pid, out.host_address, 8080), "hello-web\n", "a port is published")
d.stop(signal.SIGKILL)
is_(reached(out.process.pid, out.host_address, 8080), "hello-web\n", "it is without isolad")
check(d.start(*FLAGS), "isolad starts again")
is_(inspect("web")["NetworkSettings"], before, "addresses and ports are the same")
is_(reached(out.process.pid, out.host_address, 8080), "hello-web\n", "and answer")
is_(reached(out.process.pid, out.host_address, 8081), "hello-temp\n", "those of a --rm one, too")
r = d.ctr("run", "--rm", "-p", "8080:80", "busybox", "true")
check(r.rc == 125 and "in use" in r.err, "the port is still taken", r)
d.ctr("run", "-d", "--name", "two", "busybox", "sleep", "1000")
check(len({address("web"), address("temp"), address("two")}) == 3, "no address is given twice")
d.ctr("rm", "-f", "temp")

# somebody else's rules are not ours to touch
d.in_net("nft", "add table inet theirs; add chain inet theirs f { type filter hook forward "
         "priority 10; policy accept; }")
again()
like(rules(d), "table inet theirs", "other tables stay")

# ---- a keeper is killed

os.kill(inspect("two")["Isola"]["KeeperPid"], signal.SIGKILL)
wait_for(5, lambda: not inspect("two")["State"]["Running"])
is_(wait_for(5, lambda: len(veths()) == 2), True, "a killed keeper leaves no link")
keeper = inspect("web")["Isola"]["KeeperPid"]
d.stop(signal.SIGKILL)
os.kill(keeper, signal.SIGKILL)
wait_for(5, lambda: not is_running(keeper))
check(d.start(*FLAGS), "isolad starts again, without that keeper")
is_(inspect("web")["State"]["Running"], False, "the container has ended")
is_(wait_for(5, lambda: not veths()), True, "no link is left")
is_(wait_for(5, lambda: not published()) or published(), True, "nor a published port")
r = d.ctr("start", "web")
is_(r.rc, 0, "it can be started again", r)
is_(reached(out.process.pid, out.host_address, 8080), "hello-web\n", "and is reached")
d.ctr("rm", "-f", "web", "two")
d.ctr("network", "rm", "blue")

# ---- others' firewalls

check(wait_for(8, lambda: not [n for n in links(d) if n.startswith("isola")]), "no bridge is left")
d.in_net("nft", "add table ip filter; add chain ip filter FORWARD { type filter hook forward "
         "priority 0; policy drop; }")
again()
d.ctr("run", "--rm", "busybox", "true")
check(wait_for(5, lambda: "iptables -I FORWARD" in d.log_tail()),
      "a foreign FORWARD drop is reported with its mend", d.log_tail())
r = d.ctr("create", "--name", "warned", "busybox", "true")
like(r.err, "iptables -I FORWARD", "and to who creates a container")
d.ctr("rm", "warned")
d.in_net("nft", "delete table ip filter; delete table inet theirs")
# as firewalld has it: its chain accepts, and its last rule rejects
d.in_net("nft", "add table inet firewalld; add chain inet firewalld filter_FORWARD { type filter hook forward "
         "priority 10; policy accept; }; add rule inet firewalld filter_FORWARD reject with icmpx admin-prohibited")
again()
r = d.ctr("run", "--rm", "busybox", "true")
check(wait_for(10, lambda: "firewall-cmd --permanent" in d.log_tail()), "so is firewalld, with its own", d.log_tail())
d.in_net("nft", "delete table inet firewalld")

# ---- isolad is killed at any moment

def guarded():
    """Ports that our second table knows."""
    return sorted(set(re.findall(r'"(veth\w+)" \. [0-9a-f]{2}:', rules(d))))


random.seed(7)
d.ctr("network", "create", "--ipv6", "six")
moments = 8
for i in range(moments):
    jobs = [subprocess.Popen([BUILD + "/ctrctl", "-H", "unix://" + d.socket, "run", "-d", "--rm",
                              "--network", "six", "-p", "%d:80" % (8300 + k), "busybox", "sleep", "1000"],
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL) for k in range(4)]
    time.sleep(random.random() * 0.25 * SCALE)
    d.stop(signal.SIGKILL)
    for job in jobs:
        job.wait()
    if not d.start(*FLAGS):
        not_ok("isolad starts after a kill")
        finish()
    # what was about to start does, or goes; each port is on 0.0.0.0 and on ::
    if not wait_for(20, lambda: len(veths()) * 2 == len(published()) == len(living()) * 2 and
                    guarded() == veths()):
        not_ok("links and ports after kill %d" % i,
               "%s %s %s %s" % (living(), veths(), published(), guarded()))
    alive = living()
    for key in ("IPAddress", "GlobalIPv6Address"):
        addresses = [address(c, "six", key) for c in alive]
        if len(set(addresses)) != len(alive) or "" in addresses:
            not_ok("addresses after kill %d" % i, addresses)
    for c in alive:
        d.ctr("rm", "-f", c)
ok("%d kills at random moments" % moments)
for c in d.request("GET", "/containers/json?all=1")[2]:     # made, and never started
    d.ctr("rm", "-f", c["Id"])
r = d.ctr("network", "rm", "six")
is_(r.rc, 0, "the network can be removed after them", r)
is_(d.in_net("ip", "-6", "route", "show", "table", "local", "::1").out.count("::1"), 1,
    "with its route of ::1")

# ---- many at a time

N = 32
with ThreadPoolExecutor(N) as pool:
    ran = list(pool.map(lambda i: d.ctr("run", "-d", "--name", "c%d" % i, "busybox", "sh", "-c",
                                        SERVE, "c%d" % i, limit_s=60), range(N)))
is_([r.err for r in ran if r.rc], [], "%d start at a time" % N)
addresses = {address("c%d" % i): "hello-c%d\n" % i for i in range(N)}
is_(len(addresses), N, "each with an address of its own")
wrong = [a for a, text in addresses.items() if reached(d.netns.pid, a, 80) != text]
is_(wrong, [], "all are reached")
with ThreadPoolExecutor(8) as pool:
    ran = list(pool.map(lambda i: d.ctr("rm", "-f", "c%d" % i, limit_s=60), range(N)))
is_([r.err for r in ran if r.rc], [], "all are removed")
check(wait_for(10, lambda: not links(d)), "no link is left", links(d))
is_(wait_for(5, lambda: not rules(d)) or rules(d), True, "nor a rule")
stop_isolad()
finish()
