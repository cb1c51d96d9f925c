# SPDX-License-Identifier: Apache-2.0
# time limit: 240 s
#
# IPv6 in networks of containers: subnets, leases, routes, masquerade, published ports,
# networks connected and left; in the network namespace of the test's own daemon, with a
# namespace beside it as the outside.
import ipaddress
import os
import re
import signal
import socket
import sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/..")
from lib import *
from netlib import *

need_root()
need_program("isolad", "ctrctl", "isola-keeper", "isola-image")
need_network()
if not os.path.exists("/proc/sys/net/ipv6"):
    skip_all("this kernel has no IPv6")

d = start_isolad("--default-network", "bridge")
if not d:
    not_ok("isolad starts")
    finish()
out = Outside(d)
out.add6(d)
leak_mark()
busybox_tar(T + "/root.tar")
check(d.ctr("import", T + "/root.tar", "busybox").rc == 0, "an image is imported")


class Serve6(in_namespace_hold):
    """Says who asks, on ::."""
    CODE = ("import socket\ns = socket.socket(socket.AF_INET6)\n"
            "s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n"
            "s.bind(('::', %d))\ns.listen()\nprint('on', flush=True)\n"
            "while True:\n c, a = s.accept()\n c.send(a[0].encode() + b'\\n')\n c.close()")


def inspect(name):
    return d.request("GET", "/containers/%s/json" % name)[2]


def endpoint(name, network):
    return inspect(name)["NetworkSettings"]["Networks"][network]


def pid_of(name):
    return inspect(name)["State"]["Pid"]


def sysctl(path, value):
    r = d.in_net("sh", "-c", "echo %s > /proc/sys/net/%s" % (value, path))
    return r.rc == 0


def asked(where, addr, port):
    """What a server says; None when nothing comes within the time."""
    return in_namespace(where, tcp_read, addr, port)


here, there = d.netns.pid, out.process.pid

# ---- networks

r = d.ctr("network", "create", "--ipv6", "--subnet", "10.66.0.0/24", "--subnet", "fd66::/64",
          "--gateway", "fd66::9", "--ip-range", "fd66::100/120", "six")
is_(r.rc, 0, "network create --ipv6, with two subnets", r)
net = d.request("GET", "/networks/six")[2]
check(net["EnableIPv6"] is True, "inspect has EnableIPv6", net)
is_(net["IPAM"]["Config"], [{"Subnet": "10.66.0.0/24", "Gateway": "10.66.0.1"},
                            {"Subnet": "fd66::/64", "IPRange": "fd66::100/120",
                             "Gateway": "fd66::9"}], "and both subnets, gateway and range with theirs")
is_(d.ctr("network", "create", "--ipv6", "free").rc, 0, "network create --ipv6 alone")
chosen = d.request("GET", "/networks/free")[2]["IPAM"]["Config"][1]
subnet = ipaddress.ip_network(chosen["Subnet"])
check(subnet.prefixlen == 64 and subnet.subnet_of(ipaddress.ip_network("fd00::/8")),
      "a ULA subnet is chosen", chosen)
like(d.ctr("network", "ls", "--format", "{{.Name}} {{.IPv6}}").out, "six true", "network ls knows")
for flags, text in [(["--subnet", "fd67::/64", "xx"], "EnableIPv6.*--ipv6"),
                    (["--ipv6", "--subnet", "fd66::/80", "xx"], "overlaps"),
                    (["--ipv6", "--subnet", "fe80::/64", "xx"], "link-local"),
                    (["--ipv6", "--subnet", "fd67::/8", "xx"], "host bits"),
                    (["--ipv6", "--subnet", "fd67::/64", "--subnet", "fd68::/64", "xx"], "more than one"),
                    (["--ipv6", "--subnet", "fd67::/64", "--gateway", "fd68::1", "xx"], "--gateway"),
                    (["--ipv6", "--subnet", "fd67::/64", "--gateway", "fd67::", "xx"], "--gateway"),
                    (["--ipv6", "--subnet", out.subnet6, "xx"], "host has a route")]:
    r = d.ctr("network", "create", *flags)
    check(r.rc and re.search(text, r.err), "refused: network create %s" % " ".join(flags), r)

# ---- addresses

r = d.ctr("run", "--rm", "--network", "six", "--hostname", "h6", "busybox", "sh", "-c",
          "ip -6 addr show eth0; ip -6 route; cat /etc/hosts")
like(r.out, r"inet6 fd66::100/64 scope global", "a container has an address of the range")
check("tentative" not in r.out, "which it can use at once", r)
like(r.out, r"inet6 fe80::", "and a link-local one")
like(r.out, "default via fd66::9 dev eth0", "and a default route")
like(r.out, r"\nfd66::100\th6\n", "and its name in /etc/hosts")
r = d.ctr("run", "--rm", "busybox", "ip", "-6", "addr", "show", "eth0")
check("inet6" not in r.out, "without --ipv6 a link has none at all", r)
for flags, text in [(["--network", "six", "--ip6", "fd67::7"], r"--ip6.*subnet is fd66::/64"),
                    (["--network", "six", "--ip6", "fd66::9"], r"--ip6.*in use"),
                    (["--network", "six", "--ip6", "fd66::"], r"--ip6.*no address of"),
                    (["--network", "six", "--ip6", "xx"], r"--ip6.*no address"),
                    (["--ip6", "fd66::7"], r"--ip6.*no IPv6"),
                    (["-p", "[::]:80:80"], r"-p.*no IPv6")]:
    r = d.ctr("create", *flags, "busybox", "true")
    if not r.rc:    # ports are taken by a start
        name = r.out.strip()
        r = d.ctr("start", name)
        d.ctr("rm", name)
    check(r.rc and re.search(text, r.err, re.S), "refused: %s" % " ".join(flags), r)

r = d.ctr("run", "-d", "--name", "web", "--network", "six", "--ip6", "fd66::7", "-p", "8080:80",
          "-p", "[::]:8081:80", "-p", "[%s]:8082:80" % out.host_address6, "-p", "80",
          "busybox", "sleep", "1000")
is_(r.rc, 0, "run --ip6, with published ports", r)
e = endpoint("web", "six")
is_([e["GlobalIPv6Address"], e["GlobalIPv6PrefixLen"], e["IPv6Gateway"], e["IPAMConfig"]],
    ["fd66::7", 64, "fd66::9", {"IPv6Address": "fd66::7"}], "inspect of it")
member = list(d.request("GET", "/networks/six")[2]["Containers"].values())[0]
is_(member["IPv6Address"], "fd66::7/64", "and of the network")
r = d.ctr("run", "-d", "--name", "other", "--network", "six", "busybox", "sleep", "1000")
server = Serve6(pid_of("web"), 80)
other = pid_of("other")
is_(asked(other, "fd66::7", 80), endpoint("other", "six")["GlobalIPv6Address"] + "\n",
    "containers reach each other")
is_(asked(here, "fd66::7", 80), "fd66::9\n", "the host reaches them")

# ---- out

outside = Serve6(there, 8200)
is_(asked(other, out.address6, 8200), out.host_address6 + "\n", "the outside sees the host's address")
is_(asked(there, "fd66::7", 80), None, "and reaches no container that it has a route to")

# ---- published ports

ports = inspect("web")["NetworkSettings"]["Ports"]["80/tcp"]
is_([(p["HostIp"], p["HostPort"]) for p in ports][:4],
    [("0.0.0.0", "8080"), ("::", "8080"), ("::", "8081"), (out.host_address6, "8082")],
    "a port without an address is published on both families")
is_([ports[4]["HostIp"], ports[5]["HostIp"], ports[4]["HostPort"]],
    ["0.0.0.0", "::", ports[5]["HostPort"]], "a free one is the same of both")
like(d.ctr("port", "web").out, r"80/tcp -> \[::\]:8080\n", "ctrctl port")
like(d.ctr("ps").out, r"\[::\]:8080->80/tcp", "ctrctl ps")
for port in (8080, 8081, 8082, int(ports[4]["HostPort"])):
    is_(asked(there, out.host_address6, port), out.address6 + "\n",
        "%s answers to the outside, and sees its address" % (port if port < 9000 else "the free one"))
is_(asked(there, out.host_address, 8080), "::ffff:%s\n" % out.address, "so it does by IPv4")
check(asked(here, out.host_address6, 8082), "the host reaches it by the address that was named")
check(asked(here, "fd66::9", 8081), "and by any of its own")
check(asked(other, out.host_address6, 8080), "a neighbour reaches it by the host's address")
check(asked(pid_of("web"), out.host_address6, 8080), "and it reaches itself (hairpin)")
holder = Serve6(here, 8100)
r = d.ctr("run", "--rm", "--network", "six", "-p", "8100:80", "busybox", "true")
check(r.rc == 125 and re.search(r"port 8100/tcp.*in use", r.err), "a port in use on :: is an error", r)
r = d.ctr("run", "--rm", "--network", "six", "-p", "8100-8101:80", "busybox", "true")
is_(r.rc, 0, "of a range the next one is taken", r)
holder.close()

# while it runs
r = d.ctr("update", "--publish-add", "[::]:8400:80", "web")
is_(r.rc, 0, "a port of IPv6 is published while it runs", r)
check(wait_for(10, lambda: asked(there, out.host_address6, 8400) == out.address6 + "\n"), "and answers outside")
is_(asked(there, out.host_address, 8400), None, "not by IPv4")
is_(d.ctr("update", "--publish-rm", "[::]:8400:80", "web").rc, 0, "it is withdrawn")
is_(asked(there, out.host_address6, 8400), None, "and gone")

# ::1
bridged = os.path.exists("/proc/sys/net/bridge/bridge-nf-call-ip6tables")
if bridged:
    sysctl("bridge/bridge-nf-call-ip6tables", 1)
    r = d.ctr("run", "--rm", "--network", "six", "-p", "[::1]:8300:80", "busybox", "true")
    check(r.rc == 125 and "bridge-nf-call-ip6tables" in r.err,
          "::1 is refused where br_netfilter would lose the answers", r)
    sysctl("bridge/bridge-nf-call-ip6tables", 0)
r = d.ctr("run", "-d", "--name", "lo", "--network", "six", "-p", "[::1]:8300:80", "busybox", "sleep", "1000")
is_(r.rc, 0, "-p [::1]:...", r)
lo = Serve6(pid_of("lo"), 80)
check(wait_for(10, lambda: asked(here, "::1", 8300)), "it answers on the host's loopback")
is_(asked(there, out.host_address6, 8300), None, "and nowhere else")
is_(asked(other, "::1", 8300), None, "a container's loopback is its own")
lo.close()
d.ctr("rm", "-f", "lo")

# the same after isolad was away
stop_isolad(signal.SIGKILL)
check(start_isolad("--default-network", "bridge"), "isolad is killed, and starts again")
check(wait_for(10, lambda: asked(there, out.host_address6, 8080)), "the port goes on")
e = endpoint("web", "six")
is_(e["GlobalIPv6Address"], "fd66::7", "and the address")
r = d.ctr("create", "--network", "six", "--ip6", "fd66::7", "busybox", "true")
check(r.rc and "in use" in r.err, "which is not given twice", r)

# ---- several networks

is_(d.ctr("network", "create", "--ipv6", "--internal", "closed").rc, 0, "an internal network")
r = d.ctr("network", "connect", "--ip6", str(subnet[0x77]), "free", "other")
is_(r.rc, 0, "network connect --ip6", r)
is_(endpoint("other", "free")["GlobalIPv6Address"], str(subnet[0x77]), "it has the address")
r = d.ctr("network", "connect", "closed", "other")
is_(endpoint("other", "closed")["IPv6Gateway"], "", "an internal network has no gateway")
d.ctr("network", "disconnect", "six", "other")
like(d.ctr("exec", "other", "ip", "-6", "route").out, "default via %s " % subnet[1],
     "the other network takes the default route over")
is_(asked(other, out.address6, 8200), out.host_address6 + "\n", "and leads out")
is_(asked(other, "fd66::7", 80), None, "another network's containers are not reached")
check(asked(other, out.host_address6, 8080), "but their published ports are")

# ---- the host's own routes

is_(d.in_net("cat", "/proc/sys/net/ipv6/conf/up0/accept_ra").out, "2\n",
    "the host's link goes on taking its routes from the LAN")
bridge = [n for n in links(d) if n.startswith("isola-")][0]
is_(d.in_net("cat", "/proc/sys/net/ipv6/conf/%s/accept_ra" % bridge).out, "0\n",
    "a bridge takes none from containers")

for s in (server, outside):
    s.close()
is_(d.ctr("rm", "-f", "web", "other").rc, 0, "all are removed")
check(wait_for(15, lambda: not links(d)), "no link is left", links(d))
check(wait_for(10, lambda: not rules(d)), "nor a rule", rules(d))
is_(d.in_net("ip", "-6", "route", "show", "table", "local", "::1").out.count("::1"), 1,
    "nor a route of ::1")
leak_check()
stop_isolad()
finish()
