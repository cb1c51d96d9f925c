# SPDX-License-Identifier: Apache-2.0
# time limit: 180 s
#
# A guest asks for its address. The guest here is this test: it puts frames into a queue of
# the VM's tap device and looks at what goes out by it. Real clients: udhcpc against the
# very process, on a veth, here; in guests, tests/lab/test_vm_network.py.
import fcntl
import os
import select
import signal
import struct
import sys
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from vmlib import *
from netlib import *

need_network()
if not os.path.exists("/dev/net/tun"):
    skip_all("needs /dev/net/tun")
d = need_vms()
vms = Vms(d)
leak_mark()
ETH_P_ALL = 3
TUNSETIFF, TAP_FLAGS = 0x400454ca, 0x0002 | 0x1000 | 0x4000 | 0x0100


class Guest:
    """The other end of a VM's tap: its frames in, and what is sent to it."""

    def __init__(self, tap, mac):
        self.mac = bytes.fromhex(mac.replace(":", ""))
        home = os.open("/proc/self/ns/net", os.O_RDONLY)
        there = os.open("/proc/%d/ns/net" % d.pid, os.O_RDONLY)
        try:
            if libc.setns(there, CLONE_NEWNET):
                raise OSError("setns")
            self.queue = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
            fcntl.ioctl(self.queue, TUNSETIFF, struct.pack("16sH22x", tap.encode(), TAP_FLAGS))
            self.seen = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
            self.seen.bind((tap, ETH_P_ALL))
        finally:
            libc.setns(home, CLONE_NEWNET)
            os.close(home)
            os.close(there)

    def close(self):
        self.seen.close()
        os.close(self.queue)

    def frame(self, kind, xid, options=b"", mac=None, ciaddr=b"\0" * 4):
        mac = mac or self.mac
        body = (struct.pack(">BBBBIHH", 1, 1, 6, 0, xid, 0, 0x8000) + ciaddr + bytes(12) + mac + bytes(202) +
                bytes([99, 130, 83, 99, 53, 1, kind]) + options + b"\xff")
        udp = struct.pack(">HHHH", 68, 67, 8 + len(body), 0) + body
        ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0) + bytes(4) + b"\xff" * 4
        total = sum(struct.unpack(">10H", ip))
        total = (total & 0xffff) + (total >> 16)
        ip = ip[:10] + struct.pack(">H", ~total & 0xffff) + ip[12:]
        return b"\xff" * 6 + mac + b"\x08\0" + ip + udp

    def send(self, frame):
        os.write(self.queue, bytes(12) + frame)    # a virtio_net_hdr_v1

    def answer(self, xid, limit_s):
        """The answer to @xid as (type, yiaddr, options), or None."""
        end = time.monotonic() + limit_s
        while (left := end - time.monotonic()) > 0:
            if not select.select([self.seen], [], [], left)[0]:
                return None
            f, where = self.seen.recvfrom(2048)
            if where[2] != socket.PACKET_OUTGOING or f[12:14] != b"\x08\0" or f[23] != 17 or \
                    f[34:38] != b"\0\x43\0\x44" or struct.unpack(">I", f[46:50])[0] != xid:
                continue
            options, i = {}, 282
            while i < len(f) and f[i] != 255:
                options[f[i]] = f[i + 2:i + 2 + f[i + 1]]
                i += 2 + f[i + 1]
            return options[53][0], socket.inet_ntoa(f[58:62]), options
        return None

    def ask(self, kind, xid, options=b"", **more):
        """Asks again and again, as a client does."""
        for _ in range(10):
            self.send(self.frame(kind, xid, options, **more))
            got = self.answer(xid, 2)
            if got:
                return got
        return None


def helper():
    """The pid of this isolad's isola-dhcp, or None."""
    for pid in os.listdir("/proc"):
        try:
            if pid.isdigit() and open("/proc/%s/comm" % pid).read() == "isola-dhcp\n" and \
                    " %d " % d.pid in open("/proc/%s/stat" % pid).read().split(")")[1][:12]:
                return int(pid)
        except OSError:
            pass
    return None


def dotted(text):
    return socket.inet_aton(text)


def name_servers():
    """The host's, as far as they are not on its loopback."""
    text = open("/etc/resolv.conf").read() if os.path.exists("/etc/resolv.conf") else ""
    behind = "/run/systemd/resolve/resolv.conf"
    if "nameserver 127.0.0.53" in text and os.path.exists(behind):
        text = open(behind).read()
    return [a for a in re.findall(r"^nameserver\s+([0-9.]+)\s*$", text, re.M) if not a.startswith("127.")][:3]


servers = name_servers()
is_(helper(), None, "without a VM in a network there is no isola-dhcp")
vm, console = vms.start("db", NetworkMode="bridge")
end = vms.inspect(vm)["NetworkSettings"]["Networks"]["bridge"]
address = end["IPAddress"]
guest = Guest("tap" + vm[:8] + "0", end["MacAddress"])
got = guest.ask(1, 0x1001)
check(got and got[:2] == (2, address), "a guest is offered its lease", got)
options = got[2] if got else {}
is_({k: options.get(k) for k in (1, 3, 6, 12, 26, 54)},
    {1: dotted("255.255.0.0"), 3: dotted("10.201.0.1"), 6: b"".join(map(dotted, servers)) or None, 12: b"db",
     26: b"\x05\xdc", 54: dotted("10.201.0.1")}, "with all it needs")
got = guest.ask(3, 0x1002, b"\x36\x04" + dotted("10.201.0.1") + b"\x32\x04" + dotted(address))
check(got and got[:2] == (5, address), "and gets it", got)
got = guest.ask(3, 0x1003, b"\x32\x04" + dotted("10.201.7.7"))
check(got and got[0] == 6, "another address is refused", got)
got = guest.ask(3, 0x1004, ciaddr=dotted(address))
check(got and got[:2] == (5, address), "a lease is renewed", got)

# What must not be answered is followed by what is.
guest.send(guest.frame(1, 0x2001, mac=bytes.fromhex("024200000009")))
guest.send(guest.frame(1, 0x2002)[:200])
for i in range(20):
    guest.send(os.urandom(300))
got = guest.ask(1, 0x2003)
check(got and got[:2] == (2, address), "behind what is no request of this port's", got)
is_(guest.answer(0x2001, 0.5), None, "nothing is said to another MAC address")

# ---------------------------------------------------------------- who answers
pid = helper()
check(pid, "isola-dhcp runs")
status = dict(line.split(":\t", 1) for line in open("/proc/%d/status" % pid).read().splitlines()
              if ":\t" in line)
is_([int(status[k], 16) for k in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")], [0] * 5,
    "it has no capabilities")
is_((status["Seccomp"].strip(), status["NoNewPrivs"].strip()), ("2", "1"), "it has a filter")
is_(status["Uid"].split(), ["65534"] * 4, "it is nobody")
is_(os.listdir("/proc/%d/root/" % pid), [], "its root folder is empty")
isnt(os.readlink("/proc/%d/ns/net" % pid), os.readlink("/proc/%d/ns/net" % d.pid),
     "it is not in the host's network")
os.kill(pid, signal.SIGKILL)
check(wait_for(20, lambda: helper() not in (None, pid)), "killed, it is started again")
got = guest.ask(1, 0x3001)
check(got and got[:2] == (2, address), "and answers", got)

# ------------------------------------------------------------- a second VM, isolad
other = vms.create("two-names_x", NetworkMode="bridge")
is_(vms.post(other, "start")[0], 204, "a second VM")
end = vms.inspect(other)["NetworkSettings"]["Networks"]["bridge"]
second = Guest("tap" + other[:8] + "0", end["MacAddress"])
got = second.ask(1, 0x4001)
check(got and got[1] == end["IPAddress"] and got[2][12] == other[:12].encode(),
      "has an address of its own, and its id where the name is no host name", got)
got = second.ask(3, 0x4002, b"\x32\x04" + dotted(address))
check(got and got[0] == 6, "and cannot have the first one's", got)
second.close()
vms.remove(other)
d.stop(signal.SIGKILL)
check(d.start(), "isolad is killed and starts again")
check(wait_for(20, helper), "with an isola-dhcp")
got = guest.ask(3, 0x4003, ciaddr=dotted(address))
check(got and got[:2] == (5, address), "the lease is renewed", got)
guest.close()
console.close()
vms.remove(vm)
check(wait_for(20, lambda: helper() is None), "with the last VM it ends")

# ------------------------------------------------- an internal network has no way out
is_(d.ctr("network", "create", "--internal", "--subnet", "10.88.0.0/24", "inner").rc, 0, "a network")
vm, console = vms.start(NetworkMode="inner")
end = vms.inspect(vm)["NetworkSettings"]["Networks"]["inner"]
guest = Guest("tap" + vm[:8] + "0", end["MacAddress"])
got = guest.ask(1, 0x5001)
check(got and got[1] == end["IPAddress"] and 3 not in got[2] and got[2][6] == dotted("10.88.0.1") and
      got[2][1] == dotted("255.255.255.0"),
      "no router, and names at the gateway", got)
guest.close()
console.close()
vms.remove(vm)
is_(d.ctr("network", "rm", "inner").rc, 0, "removed")
check(wait_for(20, lambda: "isola0" not in links(d)), "the bridge goes")
leak_check()
d.stop()
finish()
