# SPDX-License-Identifier: Apache-2.0
# time limit: 150 s
#
# A tap of a network for a worker of one's own: the descriptors come over the connection, and
# with the connection everything goes.
import os
import re
import signal
import socket
import sys
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)) + "/..")
from lib import *
from netlib import *
from taplib import Host, ask

need_root()
need_program("isolad", "ctrctl", "isola-keeper", "isola-image", "isola-dhcp", "isola-resolver")
need_network()
if not os.path.exists("/dev/net/tun"):
    skip_all("needs /dev/net/tun")
FLAGS = ("--default-network", "bridge")
d = start_isolad(*FLAGS)
if not d:
    not_ok("isolad starts")
    finish()
leak_mark()
d.ctr("import", busybox_tar(T + "/root.tar"), "busybox")
is_(d.ctr("network", "create", "--subnet", "10.68.0.0/24", "blue").rc, 0, "a network")
is_(d.ctr("run", "-d", "--name", "web", "--network", "blue", "--ip", "10.68.0.9", "busybox",
          "sleep", "1000").rc, 0, "with a container")


def members(net="blue"):
    return {m["Name"]: m for m in d.request("GET", "/networks/" + net)[2]["Containers"].values()}


def taps():
    return [n for n in links(d) if n.startswith("tap")]


def guard():
    return d.in_net("nft", "list", "table", "bridge", "isola").out


def is_gone(name, when):
    check(wait_for(10, lambda: not taps()), "%s: no device" % when, taps())
    check(wait_for(5, lambda: '"tap' not in guard()), "%s: no rule of the guard" % when, guard())
    check(name not in members(), "%s: no member" % when, members())
    r = d.ctr("exec", "web", "nslookup", name, "127.0.0.11")
    check(r.rc != 0, "%s: no name" % when, r)


# ---- what it is
s, status, doc, fds = ask(d, "blue", name="mine", ip="10.68.0.50")
is_(status, 101, "a tap is asked for", doc)
is_(len(fds), 1, "one descriptor comes")
is_({k: doc.get(k) for k in ("Name", "IPAddress", "IPPrefixLen", "Gateway", "Dns", "Mtu", "VnetHeader", "Queues",
                             "GlobalIPv6Address")},
    {"Name": "mine", "IPAddress": "10.68.0.50", "IPPrefixLen": 24, "Gateway": "10.68.0.1", "Dns": ["10.68.0.1"],
     "Mtu": 1500, "VnetHeader": 12, "Queues": 1, "GlobalIPv6Address": ""}, "and all it needs to know")
m = members().get("mine", {})
is_((m.get("Tap"), m.get("MacAddress"), m.get("IPv4Address")), (doc["Device"], doc["MacAddress"], "10.68.0.50/24"),
    "network inspect has it among the members", m)
is_(taps(), [doc["Device"]], "it is a device of the host")
h = Host(fds, doc["MacAddress"], "10.68.0.50")
check(h.resolve("10.68.0.1"), "the gateway answers ARP")
is_(h.ping("10.68.0.1", b"to-gateway"), 0, "and a ping")
is_(h.ping("10.68.0.9", b"to-web"), 0, "so does a container")
is_(h.discover(0x4711), ("10.68.0.50", "10.68.0.1"), "its lease is offered by DHCP")
check(wait_for(5, lambda: "10.68.0.50" in d.ctr("exec", "web", "nslookup", "mine", "127.0.0.11").out),
      "the container finds it by name")

# ---- the guard
web = h.resolve("10.68.0.9")
is_(h.ping("10.68.0.9", b"false-ip", web, src=socket.inet_aton("10.68.0.77"), tries=2), None, "another's address gets no answer")
for i in range(3):
    h.send(h.eth(b"\xff" * 6, 0x806, h.arp(1, socket.inet_aton("10.68.0.9"), socket.inet_aton("10.68.0.1"))))
    h.send(h.eth(b"\xff" * 6, 0x806, h.arp(1, h.address, socket.inet_aton("10.68.0.1"), mac=b"\2\0\0\0\0\7"),
                 b"\2\0\0\0\0\7"))
is_(h.ping("10.68.0.1", b"behind"), 0, "behind forged ARP what is true arrives")
neigh = d.in_net("ip", "neigh").out
check("02:00:00:00:00:07" not in neigh and not re.search(r"10\.68\.0\.9 .*%s" % doc["MacAddress"], neigh),
      "and the host believes none of the forged", neigh)

# ---- leases and limits
_, status, other, _ = ask(d, "blue", ip="10.68.0.50")
check(status == 409 and "10.68.0.50 is in use" in other.get("message", ""), "its address is nobody else's", other)
_, status, other, _ = ask(d, "blue", name="mine")
check(status == 409 and "another tap is called mine" in other.get("message", ""), "nor is its name", other)
r = d.ctr("create", "--name", "mine", "busybox", "true")
check(r.rc != 0 and '"/mine" is already in use by a tap' in r.err, "no container gets its name", r)
r = d.ctr("rename", "web", "mine")
check(r.rc != 0 and '"/mine" is already in use by a tap' in r.err, "by a rename neither", r)
_, status, other, _ = ask(d, "blue", name="web")
is_(status, 409, "nor a container's", other)
r = d.ctr("network", "rm", "blue")
check(r.rc and "active endpoints" in r.err, "the network cannot go", r)
d.ctr("network", "create", "alone")
s2, status, lone, fds2 = ask(d, "alone", name="lone")
r = d.ctr("network", "rm", "alone")
check(r.rc and "a program has the tap lone of it" in r.err and "network disconnect alone lone" in r.err,
      "nor one with nothing but a tap, and why is told", r)
r = d.ctr("network", "disconnect", "alone", "lone")
is_(r.rc, 0, "network disconnect ends it", r)
is_(s2.recv(10), b"", "whose connection closes")
s2.close()
os.close(fds2[0])
r = d.ctr("network", "rm", "alone")
is_(r.rc, 0, "then the network can go", r)
for query, status, text in [({"queues": 17}, 400, "queues must be from 1 to 16"), ({"queues": 0}, 400, "queues must be"),
                            ({"mac": "33:33:00:00:00:01"}, 400, "is no address of one device"),
                            ({"ip": "10.9.0.1"}, 400, "is no address of network blue"),
                            ({"ip6": "fd00::9"}, 400, "network blue has no IPv6"), ({"name": "a b"}, 400, "'a b' is no name")]:
    _, got, other, _ = ask(d, "blue", **query)
    check(got == status and text in other.get("message", ""), "%s is refused" % query, (got, other))
many = []
while len(many) < 70:
    one = ask(d, "blue")
    if one[1] != 101:
        break
    many.append(one)
check(len(many) == 63 and one[1] == 409 and "64 taps" in one[2]["message"], "there are 64 at most", (len(many), one))
for c, _, _, f in many:
    c.close()
    os.close(f[0])
check(wait_for(20, lambda: len(taps()) == 1), "which go with their connections", taps())

# ---- who does not wait for the answer
before = taps()
for i in range(40):
    c = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    c.connect(d.socket)
    c.sendall(b"GET /networks/blue/tap?queues=2 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tap\r\n\r\n")
    time.sleep(0.002 * (i % 8))
    c.close()
_, status, other, f = last = ask(d, "blue", name="last")
is_((status, len(f)), (101, 1), "40 that leave at once are in nobody's way", other)
last[0].close()
os.close(f[0])
check(wait_for(20, lambda: taps() == before and len(members()) == 2), "and leave nothing", (taps(), members()))

# ---- what has none
_, status, other, f = ask(d, "blue", upgrade=False)
check(status == 426 and "Upgrade: tap" in other["message"] and not f, "without an upgrade there is none", other)
for net in ("host", "none"):
    _, status, other, _ = ask(d, net)
    check(status == 403 and net in other["message"], "nor of %s" % net, other)
_, status, other, _ = ask(d, "nothing")
is_(status, 404, "nor of a network that is not there", other)
d.in_net("ip", "link", "add", "name", "par0", "type", "veth", "peer", "name", "par1")
d.in_net("ip", "link", "set", "par0", "up")
r = d.ctr("network", "create", "-d", "macvlan", "-o", "parent=par0", "--subnet", "10.69.0.0/24", "lan")
is_(r.rc, 0, "a macvlan", r)
_, status, other, _ = ask(d, "lan")
check(status == 501 and "network lan is a macvlan, and a tap" in other["message"], "has none, and says so", other)
d.ctr("network", "rm", "lan")
d.in_net("ip", "link", "del", "par0")

# ---- its end
s.close()
is_gone("mine", "closed")
try:
    os.write(fds[0], bytes(100))
    good = False
except OSError:
    good = True
check(good, "its descriptor is good for nothing any more")
os.close(fds[0])
s, status, doc, fds = ask(d, "blue", ip="10.68.0.50")
is_(status, 101, "the address is free again", doc)
os.close(fds[0])
is_(taps(), [doc["Device"]], "without its descriptor the place stays")
s.close()
check(wait_for(10, lambda: not taps()), "until the connection closes", taps())

# ---- queues
s, status, doc, fds = ask(d, "blue", name="wide", queues=2, mac="02:11:22:33:44:55")
is_((status, len(fds), doc["Queues"], doc["MacAddress"]), (101, 2, 2, "02:11:22:33:44:55"), "two queues, and a MAC of one's choice", doc)
h = Host(fds, doc["MacAddress"], doc["IPAddress"])
is_([h.ping("10.68.0.9", b"queue-%d" % q, queue=q) is not None for q in (0, 1)], [True, True], "frames go by both")
s.close()
[os.close(f) for f in fds]
is_gone("wide", "two queues")

# ---- IPv6
is_(d.ctr("network", "create", "--ipv6", "--subnet", "10.70.0.0/24", "--subnet", "fd70::/64", "six").rc, 0, "a network with IPv6")
s, status, doc, fds = ask(d, "six", ip6="fd70::50")
is_((doc.get("GlobalIPv6Address"), doc.get("GlobalIPv6PrefixLen"), doc.get("IPv6Gateway")), ("fd70::50", 64, "fd70::1"), "its IPv6", doc)
s.close()
os.close(fds[0])
check(wait_for(10, lambda: not taps()), "goes, too", taps())

# ---- isolad ends, or is killed, while the client keeps all it has
for sig, when in ((signal.SIGTERM, "isolad ended"), (signal.SIGKILL, "isolad was killed")):
    s, status, doc, fds = ask(d, "blue", name="kept")
    stop_isolad(sig)
    is_(s.recv(10), b"", "%s: the connection closes" % when)
    if sig == signal.SIGTERM:
        is_(taps(), [], "%s: the device is gone with it" % when)
    check(start_isolad(*FLAGS), "it starts again")
    is_gone("kept", when)
    s.close()
    os.close(fds[0])
is_(d.ctr("exec", "web", "true").rc, 0, "the container runs on")

# ---- the command
PROBE = ("import os, sys; sys.path.insert(0, %r); from taplib import Host; "
         "h = Host([int(f) for f in os.environ['TAP_FDS'].split(':')], os.environ['TAP_MAC'], "
         "os.environ['TAP_ADDRESS'].split('/')[0]); "
         "print(h.ping('10.68.0.9', b'cli') is not None, sys.argv[1:], os.environ['TAP_GATEWAY'], "
         "os.environ['TAP_DNS'], os.environ['TAP_MTU'], os.environ['TAP_HEADER'], os.environ['TAP_NAME']); sys.exit(7)" %
         os.path.dirname(os.path.realpath(__file__)))
r = d.ctr("network", "tap", "blue", "--queues", "2", "--ip", "10.68.0.60", "--mac-address", "02:00:00:00:00:99",
          "--name", "cli", "--", sys.executable, "-c", PROBE, "fd={fd}", "fds={fds},mac={mac}", "{address}", "{other}")
is_(r.rc, 7, "a command with a tap: its exit code", r)
is_(r.out.strip(), "True ['fd=3', 'fds=3:4,mac=02:00:00:00:00:99', '10.68.0.60/24', '{other}'] 10.68.0.1 10.68.0.1 1500 12 cli",
    "its descriptors, environment and arguments", r)
is_gone("cli", "the command ended")
r = d.ctr("network", "tap", "blue", "--fd", "10", "--", "sh", "-c", "ls -l /proc/self/fd/10 /proc/self/fd/3; echo $TAP_FDS")
check("/dev/net/tun" in r.out.split("\n")[0] and "10" == r.out.strip().split("\n")[-1] and "fd/3" in r.err + r.out,
      "--fd puts them elsewhere", r)
p = subprocess.Popen([BUILD + "/ctrctl", "-H", "unix://" + d.socket, "network", "tap", "blue", "--name", "slept", "--",
                      "sleep", "1000"])
check(wait_for(10, lambda: "slept" in members()), "while it runs it is a member")
p.kill()
p.wait()
is_gone("slept", "the command was killed")
for argv, rc, text in [(("blue", "--", "/no/such"), 127, "cannot run /no/such"), (("blue", "--", "/etc/passwd"), 126, "cannot run"),
                       (("nothing", "--", "true"), 1, "network nothing not found"),
                       (("blue", "--fd", "2", "--", "true"), 1, "--fd"), (("host", "--", "true"), 1, "host")]:
    r = d.ctr("network", "tap", *argv)
    check(r.rc == rc and text in r.err, "%s" % " ".join(argv), r)

is_(d.ctr("rm", "-f", "web").rc, 0, "all is removed")
d.ctr("network", "rm", "blue", "six")
check(wait_for(15, lambda: not links(d)), "no link is left", links(d))
check(wait_for(10, lambda: not rules(d)), "nor a rule", rules(d))
leak_check()
stop_isolad()
finish()
