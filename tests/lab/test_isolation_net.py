# SPDX-License-Identifier: Apache-2.0
# nested: a Linux guest on emulated AMD-V
# time limit: 180 s
#
# Containers behind the VM wall in networks: addresses, published ports, names, both ways
# between container and VM; what they see of it is what a container sees.
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
sys.path.append(os.path.dirname(os.path.realpath(__file__)) + "/../api")
from vmlib import *
from netlib import *

need_program("ctrctl", "isola-image", "isola-resolver")
need_network()
FLAGS = (*need_container_guests(), "--default-network", "bridge")
d = need_guests(*FLAGS)
out = Outside(d)
busybox_tar(T + "/root.tar")
d.ctr("import", T + "/root.tar", "busybox")


def start(name, *flags, vm=True, text=None):
    """A server of @text on port 80, detached."""
    r = d.ctr("run", "-d", "--name", name, *(["--isolation", "vm"] if vm else []), *flags, "busybox",
              "sh", "-c", "while :; do echo %s | nc -l -p 80; done" % (text or name), limit_s=60)
    if r.rc:
        not_ok(name + " starts", r)
        diag(d.log_tail())
        finish()
    return name


def sh(name, line, limit_s=60):
    r = d.ctr("exec", name, "sh", "-c", line, limit_s=limit_s)
    return r.out if r.rc == 0 else "%d: %s%s" % (r.rc, r.out, r.err)


def inspect(name):
    return d.request("GET", "/containers/%s/json" % name)[2]


def end(name, network="bridge"):
    return inspect(name)["NetworkSettings"]["Networks"][network]


def reached(pid, addr, port=80):
    return wait_for(30, lambda: in_namespace(pid, tcp_read, addr, port))


def answers(name, host, text=None):
    """What @name hears at @host's port 80."""
    return wait_for(30, lambda: sh(name, "nc -w 5 %s 80 </dev/null" % host) == (text or host) + "\n")


# ---- the default network
start("one", "--cap-add", "NET_RAW", "-p", "8080:80", "--hostname", "alpha", "--add-host", "extra:192.0.2.9")
leak_mark()     # the initramfs is made with the first
e = end("one")
is_(sh("one", "cat /sys/class/net/eth0/address"), e["MacAddress"] + "\n", "its MAC is the lease's")
like(sh("one", "ip -4 addr show eth0"), re.escape("inet %s/16 " % e["IPAddress"]),
     "and its address, without DHCP")
like(sh("one", "ip route"), r"default via 10\.201\.0\.1 dev eth0", "its default route")
is_(sh("one", "ls /sys/class/net"), "eth0\nlo\n", "it has these links and no others")
is_(sh("one", "cat /proc/net/if_inet6 | grep -v ' lo$'; true"), "", "and nothing of IPv6")
is_(reached(d.pid, e["IPAddress"]), "one\n", "the host reaches it")
is_(reached(d.pid, "127.0.0.1", 8080), "one\n", "its published port, by the loopback")
is_(reached(out.process.pid, out.host_address, 8080), "one\n", "from outside")
is_(inspect("one")["NetworkSettings"]["Ports"]["80/tcp"][0]["HostPort"], "8080", "inspect tells of it")
like(sh("one", "ping -c 1 -w 20 %s" % out.address), "1 packets received", "it reaches the outside")
like(sh("one", "cat /etc/hosts"), r"192\.0\.2\.9\textra\n%s\talpha\n" % re.escape(e["IPAddress"]),
     "/etc/hosts is a container's")
is_(d.ctr("update", "--publish-add", "8090:80", "--publish-rm", "8080:80", "one").rc, 0,
    "ports move while it runs")
is_(reached(out.process.pid, out.host_address, 8090), "one\n", "the new one answers")
is_(in_namespace(out.process.pid, tcp_read, out.host_address, 8080), None, "the old one does not")
s = d.request("GET", "/containers/one/stats?stream=false&one-shot=true")[2]["networks"]["eth0"]
check(s["rx_bytes"] > 0 and s["tx_bytes"] > 0, "its links are counted", s)

# ---- names, both ways
is_(d.ctr("network", "create", "--ipv6", "--subnet", "10.77.0.0/24", "--subnet", "fd77::/64",
          "blue").rc, 0, "a network is made")
start("box", "--network", "blue", "--network-alias", "both", vm=False)
start("two", "--network", "blue", "--ip", "10.77.0.50", "--ip6", "fd77::50", "--mac-address",
      "02:00:00:00:77:50", "--network-alias", "both")
e = end("two", "blue")
is_((e["IPAddress"], e["GlobalIPv6Address"], e["MacAddress"]),
    ("10.77.0.50", "fd77::50", "02:00:00:00:77:50"), "addresses that were asked for")
is_(sh("two", "cat /etc/resolv.conf | head -1"), "nameserver 10.77.0.1\n", "its name server is the gateway")
check(answers("two", "box"), "the VM reaches the container by its name")
check(answers("box", "two"), "the container the VM")
check(answers("box", "fd77::50", "two"), "by IPv6")
both = sh("two", "nslookup both 10.77.0.1")
check("10.77.0.50" in both and end("box", "blue")["IPAddress"] in both,
      "an alias of both is answered with both", both)
like(sh("two", "nslookup %s" % end("box", "blue")["IPAddress"]), r"name = box\.blue",
     "an address, backwards")
like(sh("two", "nslookup %s" % inspect("box")["Id"][:12]), re.escape(end("box", "blue")["IPAddress"]),
     "a short id")

# ---- networks come and go while it runs
is_(d.ctr("network", "connect", "--alias", "uno", "blue", "one").rc, 0, "it joins a network")
is_(sh("one", "ls /sys/class/net"), "eth0\neth1\nlo\n", "and has a link more")
is_(sh("one", "cat /sys/class/net/eth1/address"), end("one", "blue")["MacAddress"] + "\n", "with its MAC")
like(sh("one", "ip route"), r"default via 10\.201\.0\.1 dev eth0", "its default route is as before")
check(answers("box", "uno", "one"), "its alias is known")
check(wait_for(30, lambda: sh("one", "head -n 1 /etc/resolv.conf") == "nameserver 10.77.0.1\n"),
      "it has a name server now")
check(answers("one", "box"), "which knows the others")
is_(d.ctr("network", "disconnect", "bridge", "one").rc, 0, "it leaves its first network")
is_(sh("one", "ls /sys/class/net"), "eth1\nlo\n", "whose link goes")
like(sh("one", "ip route"), r"default via 10\.77\.0\.1 dev eth1", "the next one has the default route")
is_(d.ctr("network", "connect", "bridge", "one").rc, 0, "it joins that again")
is_(sh("one", "ls /sys/class/net"), "eth1\neth2\nlo\n", "by a link of its own")
is_(reached(d.pid, end("one")["IPAddress"]), "one\n", "the host reaches it there")
is_(d.ctr("network", "disconnect", "blue", "one").rc, 0, "and it leaves the other")
is_(sh("one", "ls /sys/class/net"), "eth2\nlo\n", "with that link alone")
r = d.ctr("update", "--publish-add", "8090:80", "one")
is_(r.rc, 0, "what was published went with the first network, and is published anew", r)

# ---- isolad dies amid a connect: what the guest has got goes, and comes anew
d.stop(signal.SIGKILL)
os.environ["ISOLA_DIE_AT"] = "connect.guest"
check(d.start(*FLAGS), "isolad starts, to die")
del os.environ["ISOLA_DIE_AT"]
r = d.ctr("network", "connect", "blue", "one", limit_s=60)
check(r.rc and wait_for(30, lambda: not is_running(d.pid)), "it dies when the guest has its link", r)
d.stop(signal.SIGKILL)
check(d.start(*FLAGS), "isolad starts again")
is_(sorted(inspect("one")["NetworkSettings"]["Networks"]), ["bridge"], "nobody knows of the link")
r = d.ctr("network", "connect", "blue", "one")
is_(r.rc, 0, "it joins once more", r)
is_(sh("one", "ls /sys/class/net"), "eth2\neth3\nlo\n", "with a link of that name, one")
check(answers("one", "box"), "which has a network behind it")
is_(d.ctr("network", "disconnect", "blue", "one").rc, 0, "and it leaves again")

# ---- isolad is killed
d.stop(signal.SIGKILL)
is_(reached(out.process.pid, out.host_address, 8090), "one\n", "it answers without isolad")
check(d.start(*FLAGS), "isolad starts again")
is_(reached(out.process.pid, out.host_address, 8090), "one\n", "and it answers")
check(answers("two", "box"), "names are there still")

# ---- what cannot be
for flags, text in ((["--network", "host"], "--network host"),
                    (["--network", "container:one"], "shares none with another")):
    r = d.ctr("run", "--isolation", "vm", *flags, "busybox", "true")
    check(r.rc and text in r.err and "--isolation vm" in r.err, "refused: " + " ".join(flags), r)
r = d.ctr("run", "--network", "container:one", "busybox", "true")
check(r.rc and "is in a microVM" in r.err, "a container that joins a VM's network is refused", r)

for name in ("one", "two", "box"):
    is_(d.ctr("rm", "-f", name).rc, 0, name + " is removed")
is_(d.ctr("network", "rm", "blue").rc, 0, "its network, too")
check(wait_for(30, lambda: "isola0" not in links(d)), "the bridge goes", links(d))
leak_check()
d.stop()
finish()
