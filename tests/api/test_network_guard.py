# SPDX-License-Identifier: Apache-2.0
# time limit: 180 s
#
# What a hostile container with CAP_NET_RAW writes to its link: frames with others' MAC and
# IP addresses, false ARP and neighbour advertisements, router advertisements, VLAN tags.
# None of them may reach a neighbour or the host, all that is its own must.
import os
import re
import select
import signal
import socket
import struct
import sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/..")
from lib import *
from netlib import *

need_root()
need_program("isolad", "ctrctl", "isola-keeper", "isola-image")
need_network()
if not os.path.exists("/proc/sys/net/ipv6"):
    skip_all("this kernel has no IPv6")

FLAGS = ("--default-network", "bridge")
d = start_isolad(*FLAGS)
if not d:
    not_ok("isolad starts")
    finish()
leak_mark()
busybox_tar(T + "/root.tar")
d.ctr("import", T + "/root.tar", "busybox")
r = d.ctr("network", "create", "--ipv6", "--subnet", "10.66.0.0/24", "--subnet", "fd66::/64", "six")
is_(r.rc, 0, "a network", r)
names = {"hostile": "7", "victim": "8", "third": "9"}
for name, n in names.items():
    r = d.ctr("run", "-d", "--name", name, "--network", "six", "--ip", "10.66.0." + n, "--ip6",
              "fd66::" + n, *(["--cap-add", "NET_RAW"] if name == "hostile" else []), "busybox", "sleep", "1000")
    is_(r.rc, 0, "%s runs" % name, r)
doc = {n: d.request("GET", "/containers/%s/json" % n)[2] for n in names}
pid = {n: doc[n]["State"]["Pid"] for n in names}
mac = {n: bytes.fromhex(doc[n]["NetworkSettings"]["Networks"]["six"]["MacAddress"].replace(":", ""))
       for n in names}
r = d.ctr("exec", "hostile", "grep", "CapEff", "/proc/self/status")
check(int(r.out.split()[1], 16) & 1 << 13, "one has CAP_NET_RAW", r)
BROADCAST = b"\xff" * 6
HOSTILE4, VICTIM4, THIRD4, HOST4 = ("10.66.0.%d" % n for n in (7, 8, 9, 1))
HOSTILE6, VICTIM6, THIRD6, HOST6 = ("fd66::%d" % n for n in (7, 8, 9, 1))


def checksum(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def p4(a):
    return socket.inet_pton(socket.AF_INET, a)


def p6(a):
    return socket.inet_pton(socket.AF_INET6, a)


def eth(src, kind, data, dst=None):
    return (dst or mac["victim"]) + src + struct.pack("!H", kind) + data


def udp4(src, dst, tag, sport=1000, dport=1000):
    body = struct.pack("!HHHH", sport, dport, 8 + len(tag), 0) + tag
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0, 64, 17, 0) + p4(src) + p4(dst)
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + body


def ip6(src, dst, kind, body, hops=255):
    return struct.pack("!IHBB", 6 << 28, len(body), kind, hops) + p6(src) + p6(dst) + body


def icmp6(src, dst, kind, body):
    text = struct.pack("!BBH", kind, 0, 0) + body
    text += b"\0" * (len(text) % 2)
    pseudo = p6(src) + p6(dst) + struct.pack("!II", len(text), 58)
    return ip6(src, dst, 58, text[:2] + struct.pack("!H", checksum(pseudo + text)) + text[4:])


def arp(op, sender_mac, sender, target_mac, target):
    return struct.pack("!HHBBH", 1, 0x800, 6, 4, op) + sender_mac + p4(sender) + target_mac + p4(target)


def advert(src, target, link, tag=b""):
    """A neighbour advertisement that overrides."""
    return icmp6(src, VICTIM6, 136, struct.pack("!I", 0x20000000) + p6(target) + b"\2\1" + link + tag)


H = mac["hostile"]
LINK6 = socket.inet_ntop(socket.AF_INET6, b"\xfe\x80" + b"\0" * 6 + bytes([H[0] ^ 2]) + H[1:3] +
                         b"\xff\xfe" + H[3:])
bad = {
    "another's MAC": eth(mac["third"], 0x800, udp4(HOSTILE4, VICTIM4, b"bad-01")),
    "another's IPv4 address": eth(H, 0x800, udp4(THIRD4, VICTIM4, b"bad-02")),
    "the host's IPv4 address": eth(H, 0x800, udp4(HOST4, VICTIM4, b"bad-03")),
    "an address of elsewhere": eth(H, 0x800, udp4("192.0.2.1", VICTIM4, b"bad-04")),
    "no address": eth(H, 0x800, udp4("0.0.0.0", VICTIM4, b"bad-05")),
    "ARP: the host is me": eth(H, 0x806, arp(2, H, HOST4, mac["victim"], VICTIM4) + b"bad-06"),
    "ARP: a neighbour is me": eth(H, 0x806, arp(1, H, THIRD4, b"\0" * 6, VICTIM4) + b"bad-07", BROADCAST),
    "ARP: I am a neighbour's MAC": eth(H, 0x806, arp(2, mac["third"], HOSTILE4, mac["victim"], VICTIM4) + b"bad-08"),
    "ARP: a neighbour's answer": eth(H, 0x806, arp(2, H, "0.0.0.0", mac["victim"], VICTIM4) + b"bad-09"),
    "another's IPv6 address": eth(H, 0x86dd, icmp6(THIRD6, VICTIM6, 129, b"\0\0\0\0bad-10")),
    "the host's IPv6 address": eth(H, 0x86dd, icmp6(HOST6, VICTIM6, 129, b"\0\0\0\0bad-11")),
    "a neighbour's solicitation": eth(H, 0x86dd, icmp6(THIRD6, VICTIM6, 135, b"\0\0\0\0" + p6(VICTIM6) + b"\1\1" + H + b"bad-12")),
    "advertised: the host is me": eth(H, 0x86dd, advert(HOSTILE6, HOST6, H, b"bad-13")),
    "advertised: a neighbour is me": eth(H, 0x86dd, advert(HOSTILE6, THIRD6, H, b"bad-14")),
    "a router": eth(H, 0x86dd, icmp6(LINK6, "ff02::1", 134, struct.pack("!BBHII", 64, 0, 1800, 0, 0) + b"bad-15"), b"\x33\x33\0\0\0\1"),
    "a redirect": eth(H, 0x86dd, icmp6(HOSTILE6, VICTIM6, 137, b"\0\0\0\0" + p6(HOSTILE6) + p6(HOST6) + b"bad-16")),
    "a VLAN tag": eth(H, 0x8100, struct.pack("!HH", 5, 0x800) + udp4(THIRD4, VICTIM4, b"bad-17")),
    "another kind of frame": eth(H, 0x88cc, b"bad-18" + b"\0" * 50),
    "a lease": eth(H, 0x800, udp4(HOSTILE4, VICTIM4, b"bad-20", 67, 68)),
    "no IPv6 address": eth(H, 0x86dd, icmp6("::", VICTIM6, 129, b"\0\0\0\0bad-19")),
}
good = {
    "its own IPv4 address": eth(H, 0x800, udp4(HOSTILE4, VICTIM4, b"good-1")),
    "its own ARP": eth(H, 0x806, arp(1, H, HOSTILE4, b"\0" * 6, VICTIM4) + b"good-2", BROADCAST),
    "a probe for a duplicate": eth(H, 0x806, arp(1, H, "0.0.0.0", b"\0" * 6, "10.66.0.50") + b"good-3", BROADCAST),
    "its own IPv6 address": eth(H, 0x86dd, icmp6(HOSTILE6, VICTIM6, 129, b"\0\0\0\0good-4")),
    "its own advertisement": eth(H, 0x86dd, advert(HOSTILE6, HOSTILE6, H, b"good-5")),
    "the end": eth(H, 0x800, udp4(HOSTILE4, VICTIM4, b"good-6")),
}


def send_all():
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as s:
        s.bind(("eth0", 0))
        for frame in list(bad.values()) + list(good.values()):
            s.send(frame)
    return "sent"


def attack(victim, link):
    """The tags of what arrives in a namespace."""
    ready, told = os.pipe()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            fd = os.open("/proc/%d/ns/net" % victim, os.O_RDONLY)
            libc.setns(fd, CLONE_NEWNET)
            s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            s.bind((link, 3))
            os.write(told, b"r")
            seen = set()
            end = time.time() + 20
            while time.time() < end and "good-6" not in seen:
                if select.select([s], [], [], 0.5)[0]:
                    seen.update(re.findall("(?:bad|good)-[0-9]+", s.recv(2000).decode("latin1")))
            os.write(write, " ".join(sorted(seen)).encode())
        finally:
            os._exit(0)
    os.close(told)
    os.close(write)
    os.read(ready, 1)
    sent = in_namespace(pid["hostile"], send_all)
    text = os.read(read, 65536).decode()
    os.waitpid(child, 0)
    os.close(ready)
    os.close(read)
    return text.split() if sent else None


def neighbours(of):
    return run("nsenter", "--net=/proc/%d/ns/net" % of, "--", "ip", "neigh").out


def judge(when):
    bridge = [n for n in links(d) if n.startswith("isola-")][0]
    for where, link, what in [(pid["victim"], "eth0", "a neighbour"), (d.netns.pid, bridge, "the host")]:
        seen = attack(where, link)
        is_([w for i, w in enumerate(bad) if "bad-%02d" % (i + 1) in seen], [],
            "no forged frame reaches %s%s" % (what, when))
        if what == "a neighbour":
            missing = [w for i, w in enumerate(good) if "good-%d" % (i + 1) not in seen]
        else:   # broadcasts only are for the host
            missing = [w for i, w in enumerate(good) if i in (1, 2) and "good-%d" % (i + 1) not in seen]
        is_(missing, [], "what is its own does%s" % when)


# Who listens on the bridge sees no unicast of others; so the end is a broadcast there.
good["the end"] = eth(H, 0x806, arp(1, H, HOSTILE4, b"\0" * 6, VICTIM4) + b"good-6", BROADCAST)
server = in_namespace_hold(pid["third"], 80)
is_(in_namespace(pid["victim"], tcp_read, THIRD4, 80), "held\n", "neighbours know each other")
judge("")
text = neighbours(pid["victim"])
hexed = ":".join("%02x" % b for b in H)
wrong = [line for line in text.splitlines() if hexed in line and
         not line.startswith((HOSTILE4 + " ", HOSTILE6 + " ", "fe80:"))]
is_(wrong, [], "and nobody takes it for another")
is_(in_namespace(pid["victim"], tcp_read, THIRD4, 80), "held\n", "neighbours still reach each other")
check("fe80" not in d.in_net("ip", "-6", "route", "show", "default").out, "the host has no route from it")

# the same after isolad was away, and in a second network
stop_isolad(signal.SIGKILL)
check(start_isolad(*FLAGS), "isolad is killed, and starts again")
judge(", after that")
server.close()
MACS = r'"veth\w+" \. [0-9a-f]{2}(?::[0-9a-f]{2}){5}'
d.ctr("network", "create", "blue")
d.ctr("network", "connect", "blue", "hostile")
table = d.in_net("nft", "list", "table", "bridge", "isola").out
is_(len(re.findall(MACS, table)), 4, "a port of another network is guarded, too", table)
d.ctr("network", "disconnect", "blue", "hostile")
table = d.in_net("nft", "list", "table", "bridge", "isola").out
is_(len(re.findall(MACS, table)), 3, "and is not any more", table)

# further addresses, where a network is made for them
r = d.ctr("network", "create", "-o", "isola.guard=maybe", "loose")
check(r.rc != 0 and "isola.guard: 'maybe' is neither on nor off" in r.err, "what is no setting is refused", r)
is_(d.ctr("network", "create", "-o", "isola.guard=off", "--subnet", "10.67.0.0/24", "loose").rc, 0, "a network without guard")
for name, network in (("free", "loose"), ("near", "loose")):
    is_(d.ctr("run", "-d", "--name", name, "--network", network, "busybox", "sleep", "1000").rc, 0, name + " runs")
    pid[name] = d.request("GET", "/containers/%s/json" % name)[2]["State"]["Pid"]


def has_second(name, addr, other):
    """Whether @other has an answer from a further address of @name."""
    run("nsenter", "--net=/proc/%d/ns/net" % pid[name], "--", "ip", "addr", "add", addr + "/24", "dev", "eth0")
    port = 7000 + int(addr.split(".")[3])
    second = in_namespace_hold(pid[name], port)
    got = in_namespace(pid[other], tcp_read, addr, port)
    second.close()
    return got


is_(has_second("third", "10.66.0.200", "victim"), None, "an address beside the lease is heard of by nobody")
is_(has_second("free", "10.67.0.200", "near"), "held\n", "but in that network")
stop_isolad(signal.SIGKILL)
check(start_isolad(*FLAGS), "isolad is killed, and starts again")
is_(has_second("free", "10.67.0.201", "near"), "held\n", "it still is")
is_(has_second("third", "10.66.0.201", "victim"), None, "and the others' guard, too")
d.ctr("rm", "-f", "free", "near")

# that all this can be seen at all
d.in_net("nft", "delete", "table", "bridge", "isola")
seen = attack(pid["victim"], "eth0")
missing = [w for i, w in enumerate(bad) if "bad-%02d" % (i + 1) not in seen]
is_(missing, [], "without our table every forged frame arrives")
is_(d.ctr("rm", "-f", *names).rc, 0, "all are removed")
check(wait_for(15, lambda: not links(d)), "no link is left", links(d))
check(wait_for(10, lambda: not rules(d)), "nor a rule", rules(d))
leak_check()
stop_isolad()
finish()
