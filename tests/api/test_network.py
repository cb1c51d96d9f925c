# SPDX-License-Identifier: Apache-2.0
# time limit: 240 s
#
# Networks of containers: addresses, the files of /etc, published ports, isolation,
# networks of the user's own, connect and disconnect; all in the network namespace of
# the test's own daemon, with a namespace beside it as the outside.
import json
import os
import signal
import socket
import subprocess
import sys
import threading
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
out = Outside(d)
leak_mark()
busybox_tar(T + "/root.tar")
check(d.ctr("import", T + "/root.tar", "busybox").rc == 0, "an image is imported")


def settings(name):
    return d.request("GET", "/containers/%s/json" % name)[2]["NetworkSettings"]


def address(name, network="bridge"):
    return settings(name)["Networks"][network]["IPAddress"]


def nets():
    return {n["Name"]: n for n in d.request("GET", "/networks")[2]}


def ask(*argv):
    """What a server says to a container: ask("exec", name, address, port)."""
    r = None

    def once():
        nonlocal r
        r = d.ctr(*argv[:-2], "nc", "-w", "3", *argv[-2:])
        return r.out
    wait_for(5, once)       # nc -l is away between two clients
    return r


# ---- the default network

r = d.ctr("run", "--rm", "--hostname", "h1", "--dns", "10.9.9.9", "--dns-search", "lan",
          "--add-host", "db:10.0.0.7", "--add-host", "host:host-gateway", "busybox", "sh", "-c",
          "ip addr show eth0; ip route; cat /etc/hosts /etc/resolv.conf /etc/hostname")
subnet = nets()["bridge"]["IPAM"]["Config"][0]["Subnet"]
gateway = nets()["bridge"]["IPAM"]["Config"][0]["Gateway"]
like(r.out, r"inet %s\d+/16 " % re.escape(gateway[:-1]), "a container has an address")
like(r.out, "default via %s dev eth0" % re.escape(gateway), "and a default route")
like(r.out, r"\n%s\d+\th1\n" % re.escape(gateway[:-1]), "and its name in /etc/hosts")
like(r.out, "10.0.0.7\tdb\n", "--add-host")
like(r.out, "%s\thost\n" % re.escape(gateway), "--add-host name:host-gateway")
like(r.out, "nameserver 10.9.9.9\nsearch lan\n", "--dns, --dns-search")
like(r.out, "\nh1\n", "--hostname")
servers = [in_namespace_hold(pid, 8200) for pid in (d.netns.pid, out.process.pid)]
r = ask("run", "--rm", "busybox", gateway, "8200")
is_(r.out, "held\n", "the host is reached", r)
r = ask("run", "--rm", "busybox", out.address, "8200")
is_(r.out, "held\n", "and what is beyond it", r)
r = d.ctr("run", "--rm", "--network", "none", "busybox", "ip", "link")
check("eth0" not in r.out and "lo" in r.out, "--network none has a loopback only", r)
r = d.ctr("run", "--rm", "--network", "host", "busybox", "ip", "link")
like(r.out, "isola0", "--network host is the host's")

r = d.ctr("run", "--rm", "--ip", gateway[:-1] + "200", "--mac-address", "02:00:00:00:00:07",
          "busybox", "ip", "addr", "show", "eth0")
like(r.out, "02:00:00:00:00:07.*inet %s200/16" % re.escape(gateway[:-1]), "--ip, --mac-address")
for flags, text in [(["--ip", "10.1.1.1"], r"--ip.*subnet is"),
                    (["--ip", gateway], r"--ip.*in use"),
                    (["--ip", "xx"], r"--ip.*no address"),
                    (["--mac-address", "01:00:00:00:00:00"], r"--mac-address"),
                    (["--network", "nowhere"], r"--network.*nowhere not found"),
                    (["--network", "none", "-p", "80"], r"-p.*none"),
                    (["--network", "container:x"], r"--network.*No such container: x"),
                    (["--network-alias", "xx"], r"--network-alias.*no names in network bridge"),
                    (["--ip6", "fd00::7"], r"--ip6"),
                    (["-p", "80/sctp"], r"sctp"),
                    (["-p", "1-2:3-5"], r"-p.*different size"),
                    (["-p", "70000:80"], r"-p.*no port")]:
    r = d.ctr("create", *flags, "busybox", "true")
    check(r.rc == 125 and re.search(text, r.err, re.S), "refused: %s" % " ".join(flags), r)

# ---- published ports

SERVE = "while true; do echo hello-$0 | nc -l -p 80; done"


def serve(name, *flags):
    r = d.ctr("run", "-d", "--name", name, *flags, "busybox", "sh", "-c", SERVE, name)
    is_(r.rc, 0, "%s runs" % name, r)


def connect(where, addr, port):
    """What a server says, from isolad's namespace or the outside."""
    text = in_namespace(where, tcp_read, addr, port)
    return text


serve("web", "-p", "8080:80", "-p", "127.0.0.1:8081:80", "-p", "80")
ports = settings("web")["Ports"]["80/tcp"]
is_([(p["HostIp"], p["HostPort"]) for p in ports][:2],
    [("0.0.0.0", "8080"), ("127.0.0.1", "8081")], "inspect shows what is published")
free = ports[2]["HostPort"]
check(int(free) > 1024, "-p 80 takes a free port", ports)
here, there = d.netns.pid, out.process.pid


def reached(where, addr, port, name):
    is_(wait_for(5, lambda: connect(where, addr, port)) or "", "hello-web\n", name)


reached(here, "127.0.0.1", 8080, "a published port answers on the host's loopback")
reached(here, out.host_address, 8080, "on another address of the host")
reached(here, "127.0.0.1", 8081, "one published on 127.0.0.1 answers there")
reached(here, "127.0.0.1", int(free), "a random one, too")
reached(there, out.host_address, 8080, "from the outside")
is_(connect(there, out.host_address, 8081), None, "but not one published on 127.0.0.1")
is_(connect(there, address("web"), 80), None, "nor the container's own address")
r = ask("run", "--rm", "busybox", gateway, "8080")
is_(r.out, "hello-web\n", "from another container, by the host's address", r)
r = ask("exec", "web", gateway, "8080")
is_(r.out, "hello-web\n", "from the container itself (hairpin)", r)
r = d.ctr("run", "--rm", "busybox", "nc", "-w", "2", "127.0.0.1", "8081")
check(r.rc != 0 and not r.out, "a container's loopback is its own", r)

is_(d.ctr("port", "web").out.splitlines()[0], "80/tcp -> 0.0.0.0:8080", "ctrctl port")
is_(d.ctr("port", "web", "80").out.splitlines()[1], "127.0.0.1:8081", "ctrctl port of one")
is_(d.ctr("port", "web", "81").rc, 1, "and of one that is not published")
like(d.ctr("ps").out, r"0.0.0.0:8080->80/tcp", "ps shows it")

# the client's address
d.ctr("run", "-d", "--name", "who", "-p", "8090:90", "busybox", "nc", "-ll", "-p", "90", "-e",
      "netstat", "-tn")
text = wait_for(5, lambda: in_namespace(there, tcp_read, out.host_address, 8090)) or ""
check(out.address in text, "the container sees the client's own address", text)
d.ctr("rm", "-f", "who")

# udp
d.ctr("run", "-d", "--name", "echo", "-p", "9000:9000/udp", "busybox", "sleep", "100")
echo = Echo(d.request("GET", "/containers/echo/json")[2]["State"]["Pid"], 9000)
is_(wait_for(5, lambda: in_namespace(there, udp_echo, out.host_address, 9000)), "ping",
    "a UDP port is published")
echo.close()
d.ctr("rm", "-f", "echo")

# in use
holder = in_namespace_hold(here, 8100)
r = d.ctr("run", "--name", "late", "-p", "8100:80", "busybox", "true")
check(r.rc == 125 and re.search(r"port 8100/tcp.*in use", r.err), "a port in use is an error", r)
is_(d.request("GET", "/containers/late/json")[2]["State"]["Pid"], 0, "and nothing was started")
d.ctr("rm", "late")
r = d.ctr("run", "--rm", "-p", "8100-8102:80", "busybox", "true")
is_(r.rc, 0, "of a range one is chosen that is free", r)
holder.close()
r = d.ctr("run", "--rm", "-p", "8080:80", "busybox", "true")
check(r.rc == 125 and "8080/tcp" in r.err, "so is one that another container has", r)

# any port, said in one word
d.ctr("run", "-d", "--name", "any", "-p", "80", "busybox", "sleep", "100")
check(int(settings("any")["Ports"]["80/tcp"][0]["HostPort"]) > 1024, "-p 80 alone")
d.ctr("rm", "-f", "any")

# ranges, -P
d.ctr("run", "-d", "--name", "many", "-p", "9100-9102:90-92", "busybox", "sleep", "100")
is_(sorted(settings("many")["Ports"]), ["90/tcp", "91/tcp", "92/tcp"], "ranges are published")
d.ctr("rm", "-f", "many")
d.ctr("run", "-d", "--name", "all", "--expose", "80", "-P", "busybox", "sleep", "100")
check(int(settings("all")["Ports"]["80/tcp"][0]["HostPort"]) > 1024, "-P publishes what is exposed")
d.ctr("rm", "-f", "all")

# the same port again at once, by another
d.ctr("rm", "-f", "web")
serve("web", "-p", "8080:80")
reached(there, out.host_address, 8080, "a port that was given back can be taken again")

like(d.ctr("ps", "--filter", "publish=80", "--format", "{{.Names}}").out, "^web$", "ps, by published port")
is_(d.ctr("ps", "-q", "--filter", "publish=81").out, "", "and by another")

# ---- networks of one's own

r = d.ctr("network", "create", "--subnet", "10.77.0.0/24", "--gateway", "10.77.0.9", "--ip-range",
          "10.77.0.128/25", "--label", "a=b", "blue")
check(re.fullmatch("[0-9a-f]{64}\n", r.out), "network create", r)
is_(d.ctr("network", "create", "green").rc, 0, "one without a subnet")
is_(d.ctr("network", "create", "--internal", "closed").rc, 0, "an internal one")
like(d.ctr("network", "ls").out, r"(?s)NAME +DRIVER.*bridge.*blue.*green.*host +host", "network ls")
is_(d.ctr("network", "ls", "-q", "--filter", "label=a=b").out, r.out[:12] + "\n", "with a filter")
for flags, text in [(["--subnet", "10.77.0.0/16", "xx"], "overlaps"),
                    (["--subnet", "10.78.0.1/16", "xx"], "host bits"),
                    (["--subnet", "10.78.0.0/16", "--gateway", "10.1.1.1", "xx"], "--gateway"),
                    (["--subnet", "10.78.0.0/16", "--ip-range", "10.1.0.0/24", "xx"], "--ip-range"),
                    (["--subnet", "fd00::/64", "xx"], "--ipv6"),
                    (["--subnet", out.subnet, "xx"], "host has a route"),
                    (["--driver", "ipvlan", "xx"], "--driver.*macvlan"),
                    (["-o", "a=b", "xx"], "--opt"),
                    (["blue"], "already exists"), (["host"], "already exists"),
                    (["a b"], "no name")]:
    r = d.ctr("network", "create", *flags)
    check(r.rc and re.search(text, r.err), "refused: network create %s" % " ".join(flags), r)

serve("blue1", "--network", "blue")
is_(address("blue1", "blue"), "10.77.0.128", "an address of the range")
serve("blue2", "--network", "blue", "--ip", "10.77.0.5")
is_(address("blue2", "blue"), "10.77.0.5", "--ip outside the range, within the subnet")
r = d.ctr("create", "--network", "blue", "--ip", "10.77.0.5", "busybox", "true")
check(r.rc and "in use" in r.err, "an address is given once", r)
r = d.ctr("exec", "blue1", "ip", "route")
like(r.out, "default via 10.77.0.9 ", "--gateway")
r = ask("exec", "blue1", "10.77.0.5", "80")
is_(r.out, "hello-blue2\n", "containers of a network reach each other", r)
r = d.ctr("exec", "blue1", "nc", "-w", "2", address("web"), "80")
check(r.rc and not r.out, "those of two networks do not", r)
r = ask("exec", "blue1", gateway, "8080")
is_(r.out, "hello-web\n", "but reach published ports", r)

serve("shut", "--network", "closed")
r = d.ctr("exec", "shut", "nc", "-w", "2", out.address, "8200")
check(r.rc and not r.out, "an internal network has no way out", r)
check("default" not in d.ctr("exec", "shut", "ip", "route").out, "nor a default route")
is_(wait_for(5, lambda: connect(here, address("shut", "closed"), 80)), "hello-shut\n",
    "the host reaches it")
r = d.ctr("run", "--rm", "--network", "closed", "-p", "80", "busybox", "true")
check(r.rc == 125 and "-p" in r.err, "and nothing of it can be published", r)

r = d.ctr("network", "connect", "blue", "web")
is_(r.rc, 0, "network connect of a running container", r)
r = ask("exec", "web", "10.77.0.5", "80")
is_(r.out, "hello-blue2\n", "it reaches its new neighbours", r)
is_(d.ctr("network", "connect", "blue", "web").rc, 1, "twice is an error")
is_(sorted(settings("web")["Networks"]), ["blue", "bridge"], "inspect shows both")
like(d.ctr("ps", "--filter", "network=blue", "--format", "{{.Names}}").out, "web", "ps, by network")
events = d.request("GET", "/events?since=0&until=%d&filters=%s" % (
    time.time() + 1, '{"type":["network"],"event":["connect"]}'.replace('"', "%22")))[2]
check(b"connect" in (events if isinstance(events, bytes) else str(events).encode()),
      "there are events of networks", events)
members = d.request("GET", "/networks/blue")[2]["Containers"]
is_(sorted(m["Name"] for m in members.values()), ["blue1", "blue2", "web"], "the network, its members")
r = d.ctr("network", "rm", "blue")
check(r.rc and "active endpoints" in r.err, "a network in use is not removed", r)
d.ctr("restart", "-t", "0", "web")
r = ask("exec", "web", "10.77.0.5", "80")
is_(r.out, "hello-blue2\n", "both are there after a restart", r)
r = d.ctr("network", "disconnect", "bridge", "web")
is_(r.rc, 0, "network disconnect", r)
r = d.ctr("exec", "web", "ip", "route")
like(r.out, "default via 10.77.0.9 ", "the other network takes over the default route")
r = d.ctr("network", "disconnect", "bridge", "web")
check(r.rc == 1 and "not connected" in r.err, "disconnected twice is an error", r)
is_(d.ctr("network", "rm", "bridge").rc, 1, "the default network stays")
is_(d.ctr("network", "rm", "nowhere").rc, 1, "one that is not there cannot be removed")
d.ctr("stop", "-t", "0", "web")
r = d.ctr("network", "connect", "green", "web")
is_(r.rc, 0, "network connect of a stopped container", r)
d.ctr("start", "web")
is_(sorted(settings("web")["Networks"]), ["blue", "green"], "it starts in both")
is_(d.ctr("rm", "-f", "web", "blue1", "blue2", "shut").rc, 0, "all are removed")
like(d.ctr("network", "prune", "-f").out, r"(?s)blue.*green.*closed", "network prune")
is_(sorted(nets()), ["bridge", "host", "none"], "and the default ones are left")

# options
MTU = "com.docker.network.driver.mtu"
NAME = "com.docker.network.bridge.name"
is_(d.ctr("network", "create", "-o", MTU + "=1400", "--opt", NAME + "=br0.Shop_1", "small").rc, 0,
    "network create -o")
is_(json.loads(d.ctr("network", "inspect", "small").out)[0]["Options"],
    {MTU: "1400", NAME: "br0.Shop_1"}, "inspect shows what was asked for")
serve("sm", "--network", "small")
is_(d.ctr("exec", "sm", "cat", "/sys/class/net/eth0/mtu").out, "1400\n", "the container's link has that MTU")
mtus = d.in_net("ip", "-o", "link", "show", "master", "br0.Shop_1").out
check(mtus.count("mtu 1400") == 1, "so has its other end", mtus)
check("mtu 1400" in d.in_net("ip", "link", "show", "br0.Shop_1").out, "and the bridge, by its name")
d.stop(signal.SIGKILL)
d.start("--default-network", "bridge")
is_(json.loads(d.ctr("network", "inspect", "small").out)[0]["Options"][MTU], "1400",
    "they are the same after a kill of isolad")
serve("sm2", "--network", "small")
is_(d.ctr("exec", "sm2", "cat", "/sys/class/net/eth0/mtu").out, "1400\n", "and count")
d.in_net("ip", "link", "add", "taken0", "type", "bridge")
for option, text in [(MTU + "=67", "between 68 and"), (MTU + "=x", "between 68 and"),
                     (NAME + "=a b", "no name for a link"), (NAME + "=" + 16 * "a", "no name for a link"),
                     (NAME + "=br0.Shop_1", "network small has the bridge"),
                     (NAME + "=taken0", "the host has a link named taken0"),
                     ("com.docker.network.bridge.enable_icc=false", "enable_icc' is not supported")]:
    r = d.ctr("network", "create", "-o", option, "xx")
    check(r.rc and text in r.err, "refused: -o " + option, r)
r = d.ctr("network", "create", "--ipv6", "-o", MTU + "=1000", "xx")
check(r.rc and "between 1280 and" in r.err, "refused: an MTU too small for IPv6", r)
d.in_net("ip", "link", "del", "taken0")
is_(d.ctr("rm", "-f", "sm", "sm2").rc, 0, "its members are removed")
r = d.ctr("network", "rm", "small")
is_(r.rc, 0, "and the network", r)
check("br0.Shop_1" not in d.in_net("ip", "link").out, "and the bridge")

# one whose bridge has come and gone
d.ctr("network", "create", "brief")
d.ctr("run", "--rm", "--network", "brief", "busybox", "true")
check(wait_for(10, lambda: not [n for n in links(d) if n.startswith("isola-")]),
      "the bridge of an idle network goes", links(d))
r = d.ctr("network", "rm", "brief")
is_(r.rc, 0, "and the network can be removed then", r)

# ---- docker's client

docker = shutil.which("docker")
if not docker:
    skip("docker's client", "docker is not installed")
else:
    def dk(*argv):
        return run(docker, "-H", "unix://" + d.socket, *argv)
    r = dk("network", "create", "--subnet", "10.66.0.0/24", "--label", "x=y", "red")
    is_(r.rc, 0, "docker network create", r)
    like(dk("network", "ls").out, r"(?s)bridge +bridge +local.*red +bridge", "docker network ls")
    r = dk("run", "-d", "--name", "dk", "--network", "red", "--ip", "10.66.0.7", "-p", "8080:80",
           "busybox", "sh", "-c", SERVE, "dk")
    is_(r.rc, 0, "docker run --network --ip -p", r)
    is_(wait_for(5, lambda: connect(there, out.host_address, 8080)), "hello-dk\n", "it answers")
    is_(dk("port", "dk").out.strip(), "80/tcp -> 0.0.0.0:8080", "docker port")
    like(dk("ps").out, r"0.0.0.0:8080->80/tcp", "docker ps")
    like(dk("network", "inspect", "red").out, r'"IPv4Address": "10.66.0.7/24"', "docker network inspect")
    r = dk("network", "connect", "bridge", "dk")
    is_(r.rc, 0, "docker network connect", r)
    r = dk("network", "disconnect", "red", "dk")
    is_(r.rc, 0, "docker network disconnect", r)
    r = dk("run", "--rm", "busybox", "ip", "route")
    like(r.out, "default via", "docker run has a network", )
    dk("rm", "-f", "dk")
    is_(dk("network", "rm", "red").rc, 0, "docker network rm")
    is_(dk("network", "prune", "-f").rc, 0, "docker network prune")

for server in servers:
    server.close()

# ---- nothing is left

check(wait_for(8, lambda: not links(d)), "no link is left", links(d))
is_(wait_for(5, lambda: not rules(d)) or rules(d), True, "nor a rule")
leak_check()
stop_isolad()
finish()
