# SPDX-License-Identifier: Apache-2.0
# nested: a Linux guest on emulated AMD-V
# Network and vsock of a Linux guest: a tap on a bridge with two queues, bulk both
# ways, limits; passt; vsock both ways and a thousand connections at a time.
# time limit: 90 s
import ctypes
import hashlib
import os
import selectors
import socket
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from vmlib import *

BULK = 16 * MIB
MANY = 1000
STEP_S = 30                 # scaled; the longest step takes 5 s in a quiet lab, 65 at a load of 14
HOST, GUEST, NETMASK = "10.99.0.1", "10.99.0.2", 24

d = need_guests()


def in_netns(work):
    """Runs work() in the daemon's network namespace, in a thread of its own."""
    got = {}

    def body():
        fd = os.open("/proc/%d/ns/net" % d.netns.pid, os.O_RDONLY)
        if ctypes.CDLL(None, use_errno=True).setns(fd, 0x40000000):
            got["error"] = "setns: " + os.strerror(ctypes.get_errno())
        else:
            try:
                got["value"] = work()
            except OSError as e:
                got["error"] = e
        os.close(fd)
    t = threading.Thread(target=body)
    t.start()
    t.join()
    if "error" in got:
        raise OSError(got["error"])
    return got["value"]


def listener(port):
    def make():
        s = socket.create_server((HOST, port))
        s.settimeout(STEP_S * SCALE)
        return s
    return in_netns(make)


def serve(listening, work):
    """Accepts one connection and calls work with it; returns a thread, whose .value
    is what it gave."""
    class Server(threading.Thread):
        value = None

        def run(self):
            try:
                c, _ = listening.accept()
                c.settimeout(STEP_S * SCALE)
                with c:
                    self.value = work(c)
            except Exception as e:      # whoever looks at .value sees it
                self.value = repr(e)
    t = Server(daemon=True)
    t.start()
    return t


def read_hash(c):
    h, n = hashlib.md5(), 0
    while part := c.recv(1 << 20):
        h.update(part)
        n += len(part)
    return n, h.hexdigest()


def exchange(socks, data):
    """Sends data[i] to socks[i] and reads as much back; the indexes of those that gave
    other bytes, all at the same time."""
    sel, back, bad = selectors.DefaultSelector(), [b""] * len(socks), []
    for i, s in enumerate(socks):
        s.sendall(data[i])
        sel.register(s, selectors.EVENT_READ, i)
    end = time.monotonic() + STEP_S * SCALE
    while sel.get_map() and time.monotonic() < end:
        for key, _ in sel.select(1):
            i = key.data
            part = key.fileobj.recv(65536)
            back[i] += part
            if not part or len(back[i]) >= len(data[i]):
                sel.unregister(key.fileobj)
    return [i for i in range(len(socks)) if back[i] != data[i]]


def vsock_connect(path, port):
    """The host's side: CONNECT, and the rest of the answer's line."""
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(STEP_S * SCALE)
    s.connect(path)
    s.sendall(b"CONNECT %d\n" % port)
    line = b""
    while not line.endswith(b"\n"):
        part = s.recv(1)
        if not part:
            break
        line += part
    return s, line


for argv in (["ip", "tuntap", "add", "tap0", "mode", "tap", "vnet_hdr", "multi_queue"],
             ["ip", "link", "add", "br0", "type", "bridge"],
             ["ip", "link", "set", "tap0", "master", "br0", "up"],
             ["ip", "address", "add", "%s/%d" % (HOST, NETMASK), "dev", "br0"],
             ["ip", "link", "set", "br0", "up"]):
    r = d.in_net(*argv)
    if r.rc:
        not_ok("a bridge and a tap are made", r)
leak_mark()

FLAGS = ["--net", "tap=tap0,mac=02:00:00:00:99:02,mtu=1400,queues=2", "--vsock", "cid=7"]
PASST = os.access("/usr/bin/passt", os.X_OK)
if PASST:                   # it wants a way out
    for args in ("link add out0 type veth peer name out1", "address add 10.8.8.2/24 dev out0",
                 "link set out0 up", "link set out1 up", "route add default via 10.8.8.1"):
        d.in_net("ip", *args.split())
    leak_mark()
vm = Vm(d, "pairs", cpus=2, flags=FLAGS + (["--net", "passt"] if PASST else []))

# ----------------------------------------------------------------------- network
is_(vm.out("cat /sys/class/net/eth0/address /sys/class/net/eth0/mtu"), "02:00:00:00:99:02\n1400",
    "eth0 has the address and the MTU that were given")
is_(vm.out("ls /sys/class/net/eth0/queues | wc -l"), "4", "and two pairs of queues")
is_(vm.sh("ip addr add %s/%d dev eth0; ip link set eth0 up" % (GUEST, NETMASK)), (0, ""), "it comes up")
rc, out = vm.sh("ping -c 3 -i 0.2 -w 20 " + HOST)
is_(rc, 0, "the guest reaches this side", out)
r = d.in_net("ping", "-c", "3", "-i", "0.2", "-w", "20", GUEST)
is_(r.rc, 0, "and this side the guest", r)
is_(vm.sh("ping -c 2 -w 20 -s 6000 " + HOST)[0], 0, "fragments fit together again")
if PASST:
    # The tap goes, so that the host's address is behind passt.
    vm.sh("ip link set eth0 down; ip link set eth1 up")
    rc, out = vm.sh("udhcpc -i eth1 -n -q -t 5 -s /bin/true 2>&1")
    check("lease of 10.8.8.2" in out, "passt gives the guest the host's address", out)
    vm.sh("ip addr add 10.8.8.2/24 dev eth1; ip route add default via 10.8.8.1")
    s = listener(5005)
    t = serve(s, read_hash)
    is_(vm.sh("guestkit tcp-send %s 5005 4" % HOST, STEP_S), (0, ""),
        "4 MiB go out by it")
    t.join(STEP_S * SCALE)
    is_((t.value or [0])[0], 4 * MIB, "and arrive")
    s.close()
    s = in_netns(lambda: socket.create_server(("127.0.0.1", 5006)))
    isnt(vm.sh("timeout 5 guestkit tcp-send 10.8.8.1 5006 1 2>/dev/null")[0], 0,
         "the host's loopback is out of reach")
    s.close()
else:
    skip("passt", "it is not installed")
vm.power_off()

# What takes its time does so on one vCPU: two of a nested guest wait for each other
# for minutes when the lab's own processors are busy.
vm = Vm(d, "net", flags=FLAGS)
is_(vm.sh("ip addr add %s/%d dev eth0; ip link set eth0 up" % (GUEST, NETMASK)), (0, ""),
    "on one vCPU, too")

data = subprocess.run([GUESTKIT, "pattern", str(BULK >> 20)], stdout=subprocess.PIPE,
                      check=True).stdout
s = listener(5001)
t = serve(s, lambda c: c.sendall(data))
t0 = time.monotonic()
is_(vm.sh("guestkit tcp-recv %s 5001 %d" % (HOST, BULK >> 20), STEP_S), (0, ""),
    "%d MiB come in whole" % (BULK >> 20))
diag("in:  %.1f MiB/s" % (BULK / MIB / (time.monotonic() - t0)))
t.join(10)
s.close()

s = listener(5002)
t = serve(s, read_hash)
t0 = time.monotonic()
is_(vm.sh("guestkit tcp-send %s 5002 %d" % (HOST, BULK >> 20), STEP_S), (0, ""), "and go out")
t.join(STEP_S * SCALE)
is_(t.value, (BULK, hashlib.md5(data).hexdigest()), "whole")
diag("out: %.1f MiB/s" % (BULK / MIB / (time.monotonic() - t0)))
s.close()
counted = vm.device("net0")
check(counted.get("rx_bytes", 0) > BULK and counted.get("tx_bytes", 0) > BULK, "stats count them",
      counted)

r = vm.ctl("update", "--net", "net0,tx-rate=1m")
is_(r.rc, 0, "vmctl update limits a network", r)
s = listener(5003)
t = serve(s, read_hash)
t0 = time.monotonic()
vm.sh("guestkit tcp-send %s 5003 4" % HOST, STEP_S)
t.join(STEP_S * SCALE)
took = time.monotonic() - t0
check(took > 2, "4 MiB at 1 MiB/s take their time (%.1f s)" % took)
is_((t.value or [0])[0], 4 * MIB, "and arrive")
s.close()
is_(complaints(vm), "", "the guest does not complain")

# ------------------------------------------------------------------------- vsock
path = (vm.inspect().get("Vsock") or {}).get("Path", "")
check(os.path.exists(path), "inspect names the host's socket", vm.inspect().get("Vsock"))
s, line = vsock_connect(path, 9000)
check(not line.startswith(b"OK"), "where nobody listens nobody answers", line)
s.close()
vm.send("guestkit vsock-echo 9000 >/tmp/echo & sleep 0")
check(wait_for(20, lambda: vm.out("cat /tmp/echo") == "listening"), "a server in the guest listens",
      vm.tail())
s, line = vsock_connect(path, 9000)
like(line.decode(), r"^OK \d+\n$", "this side connects to it")
big = os.urandom(MIB)
threading.Thread(target=s.sendall, args=(big,), daemon=True).start()
got = b""
while len(got) < len(big) and (part := s.recv(1 << 20)):
    got += part
check(got == big, "and gets back what it sends, 1 MiB", "%d bytes" % len(got))
s.close()

t0 = time.monotonic()
both = [vsock_connect(path, 9000) for _ in range(MANY)]
is_([x for _, x in both if not x.startswith(b"OK")], [], "%d connections at a time" % MANY)
socks = [x for x, _ in both]
is_(exchange(socks, [b"%06d" % i * 100 for i in range(MANY)]), [], "each gets back its own")
for x in socks:
    x.close()
diag("host to guest: %.1f s" % (time.monotonic() - t0))
s, line = vsock_connect(path, 9000)
like(line.decode(), r"^OK \d+\n$", "and then there is room for another")
s.close()


class Echo(threading.Thread):
    """Echoes to all who connect to a path, until it is told to end."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path = path
        self.seen = self.most = self.sent = self.ended = 0
        self.errors = []
        self.over = False
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(path)
        os.chmod(path, 0o777)
        self.listening.listen(2 * MANY)
        self.listening.setblocking(False)
        self.sel = selectors.DefaultSelector()
        self.sel.register(self.listening, selectors.EVENT_READ)
        self.start()

    def run(self):
        while not self.over:
            for key, _ in self.sel.select(0.2):
                try:
                    if key.fileobj is self.listening:
                        self.take()
                    else:
                        self.answer(key.fileobj)
                except Exception as e:
                    self.errors.append(repr(e))
                    if key.fileobj is not self.listening:
                        self.drop(key.fileobj)
                    elif len(self.errors) > 99:
                        return
        for key in list(self.sel.get_map().values()):
            self.drop(key.fileobj)
        self.sel.close()

    def take(self):
        c, _ = self.listening.accept()
        self.seen += 1
        self.sel.register(c, selectors.EVENT_READ)
        self.most = max(self.most, len(self.sel.get_map()) - 1)

    def answer(self, c):
        part = c.recv(65536)
        if not part:
            self.drop(c)
            return
        c.sendall(part)
        self.sent += len(part)

    def drop(self, c):
        self.ended += 1
        self.sel.unregister(c)
        c.close()

    def end(self):
        self.over = True
        self.join(STEP_S * SCALE)
        os.unlink(self.path)

    def __str__(self):
        return "echo: %d seen, %d at a time, %d bytes sent, %d ended, %s, errors %s" % (
            self.seen, self.most, self.sent, self.ended,
            "alive" if self.is_alive() else "NOT alive", self.errors[:3])


# the guest connects: to PATH_PORT on this side
echo = Echo(path + "_9001")
before = vm.device("vsock")
t0 = time.monotonic()
rc, out = vm.sh("guestkit vsock-dial 9001 %d 600 %d 2>&1" % (MANY, STEP_S * SCALE - 10), STEP_S)
if not is_((rc, out), (0, "%d connections\n" % MANY),
           "%d connections from the guest, each gets back its own" % MANY, echo):
    diag("vsock before: %s\nand after: %s" % (before, vm.device("vsock")))
diag("guest to host: %.1f s" % (time.monotonic() - t0))
is_((echo.seen, echo.most, echo.errors), (MANY, MANY, []), "all of them at the same time")
rc, out = vm.sh("guestkit vsock-dial 9002 1 8 20 2>&1")
is_(rc, 1, "where nobody listens on this side the guest is refused", out)
echo.end()

flood = socket.socket(socket.AF_UNIX)
flood.bind(path + "_9003")
os.chmod(path + "_9003", 0o777)
flood.listen(1)
flood.settimeout(STEP_S * SCALE)
t = serve(flood, read_hash)
t0 = time.monotonic()
is_(vm.sh("guestkit vsock-send 9003 8", STEP_S), (0, ""), "the guest sends 8 MiB")
t.join(STEP_S * SCALE)
is_(t.value, (8 * MIB, hashlib.md5(data[:8 * MIB]).hexdigest()), "and they arrive whole")
diag("vsock out: %.1f MiB/s" % (8 / (time.monotonic() - t0)))
flood.close()
os.unlink(path + "_9003")
is_(complaints(vm), "", "the guest still does not complain")
vm.power_off()

leak_check()
finish()
