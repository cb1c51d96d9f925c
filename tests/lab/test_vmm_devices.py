#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# nested: a Linux guest on emulated AMD-V
# processors: 2
# time limit: 120 s
#
# Debian's kernel on isola-vmm with every device that talks to the host, used for real:
# tap, vsock, consoles, balloon, shares, passt.
import fcntl
import os
import pty
import struct
import sys
import termios
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from vmmlib import *

need_root()
need_program("isola-vmm")
if not os.path.exists(SHARE + "/vmlinux") or not os.path.exists("/dev/kvm"):
    skip_all("needs the lab: its kernels and /dev/kvm")
N, BYTES = 1000, 4096
INITRAMFS = T + "/initramfs"
IPERF = shutil.which("iperf3")
make_initramfs(INITRAMFS, [IPERF] if IPERF else [])
spawned = []


def tap(name, addr, queues=1):
    """Descriptors of a tap interface that is up and has an address."""
    fds = []
    for _ in range(queues):
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        flags = 0x0002 | 0x1000 | 0x4000 | (0x0100 if queues > 1 else 0)
        fcntl.ioctl(fd, 0x400454ca, struct.pack("16sH22x", name.encode(), flags))
        fds.append(fd)
    for args in (["addr", "add", addr, "dev", name], ["link", "set", name, "up"]):
        subprocess.run(["ip"] + args, check=True)
    return fds


def spawn(*args):
    p = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True)
    spawned.append(p)
    return p


def gbits(out):
    """Of iperf3's -J."""
    try:
        return json.loads(out[out.index("{"):])["end"]["sum_received"]["bits_per_second"] / 1e9
    except (ValueError, KeyError):
        return 0


# -------------------------------------------------------------------- network

def network(g, host, where):
    rc, out = g.sh("ping -c 3 -i 0.2 -W 3 %s" % host)
    check(rc == 0, where + ": the guest reaches the host", out)
    if not IPERF:
        skip(where + ": iperf3 both ways", "no iperf3 here")
        return
    server = spawn(IPERF, "-s", "-B", host)
    time.sleep(1)
    for flag, way in (("", "to the host"), ("-R", "to the guest")):
        rc, out = g.sh("iperf3 -c %s -t 4 -J %s" % (host, flag))
        diag("iperf3 %s: %.2f Gbit/s" % (way, gbits(out)))
        if not check(rc == 0 and gbits(out) > 0, "%s: iperf3 %s" % (where, way), out[-400:]):
            diag(g.device("net0"))
    server.terminate()


def test_tap(g):
    g.sh("ip addr add 10.9.0.2/24 dev eth0; ip link set eth0 up")
    is_(g.sh("cat /sys/class/net/eth0/address")[1], "02:00:00:00:00:07", "tap: the MAC address")
    is_(g.sh("cat /sys/class/net/eth0/mtu")[1], "1450", "tap: the MTU")
    p = subprocess.run(["ping", "-c", "3", "-i", "0.2", "-W", "3", "10.9.0.2"], capture_output=True)
    check(p.returncode == 0, "tap: the host reaches the guest", p.stdout.decode())
    network(g, "10.9.0.1", "tap")
    limit = {"bandwidth": {"size": 1 << 20, "refill_ms": 1000}}
    check(g.ask("net", id="net0", rate_tx=limit, rate_rx=limit).get("ok"), "tap: a limit is set live")
    if IPERF:
        server = spawn(IPERF, "-s", "-B", "10.9.0.1")
        time.sleep(1)
        for flag in ("", "-R"):
            rc, out = g.sh("iperf3 -c 10.9.0.1 -t 5 -J %s" % flag)
            check(0.001 < gbits(out) < 0.014, "tap: 1 MiB a second are kept %s" % flag,
                  "%.4f Gbit/s %s" % (gbits(out), out[-300:]))
        server.terminate()
    g.ask("net", id="net0", rate_tx={}, rate_rx={})


def test_queues(g):
    g.sh("ip addr add 10.9.1.2/24 dev eth0; ip link set eth0 up")
    is_(g.device("net0").get("active_pairs"), 2, "two queues: Linux uses both pairs")
    network(g, "10.9.1.1", "two queues")


def test_passt(g):
    g.sh("ip link set eth1 up")
    rc, out = g.sh("udhcpc -i eth1 -n -q -t 5 -s /bin/true")
    if not check("lease of 10.8.8.2" in out, "passt: DHCP answers", out):
        return
    g.sh("ip addr add 10.8.8.2/24 dev eth1; ip route add default via 10.8.8.1")
    check(g.device("net1").get("link_up"), "passt: the link is up")
    # the gateway is the host's own loopback
    server = socket.socket()
    server.bind(("127.0.0.1", 7777))
    server.listen()
    server.settimeout(60)
    g.sh("dd if=/dev/zero bs=64k count=64 2>/dev/null | nc 10.8.8.1 7777 &")
    got, n = b"", 0
    try:
        c, _ = server.accept()
        c.settimeout(60)
        while piece := c.recv(65536):
            n += len(piece)
    except OSError as e:
        diag(e)
    is_(n, 4 << 20, "passt: 4 MiB through TCP")


# ---------------------------------------------------------------------- vsock

def test_vsock(g):
    g.sh("vload echo 7 > /dev/null 2>&1 &")
    time.sleep(1)
    began = time.monotonic()
    conns, good = [], 0
    try:
        for _ in range(N):
            conns.append(g.connect(7))
    except OSError as e:
        diag("after %d connections: %s" % (len(conns), e))
    is_(g.device("vsock").get("connections"), N, "vsock: %d connections to the guest at once" % N)
    for i, c in enumerate(conns):
        c.sendall(b"%08d" % i * (BYTES // 8))
    for i, c in enumerate(conns):
        got = b""
        while len(got) < BYTES and (piece := c.recv(BYTES)):
            got += piece
        good += got == b"%08d" % i * (BYTES // 8)
    for c in conns:
        c.close()
    is_(good, N, "vsock: an echo through each of them")
    diag("%.1f s" % (time.monotonic() - began))
    server = Echo(g.vsock + "_9")
    began = time.monotonic()
    rc, out = g.sh("vload flood 9 %d %d" % (N, BYTES), timeout=200)
    is_(out, "opened %d good %d" % (N, N), "vsock: %d connections to the host, an echo each" % N)
    diag("%.1f s, at most %d at once" % (time.monotonic() - began, server.most))
    rc, out = g.sh("vload flood 10 1 1")
    is_(out, "opened 0 good 0", "vsock: a port where nobody listens is refused")
    rc, out = g.sh("vload flood 9 4 4000000", timeout=200)
    is_(out, "opened 4 good 4", "vsock: 4 MB through each of four connections")
    server.close()
    end = time.monotonic() + 20
    while g.device("vsock").get("connections", 0) > 1 and time.monotonic() < end:
        time.sleep(0.5)
    is_(g.device("vsock").get("connections"), 0, "vsock: nothing is left of them")


# -------------------------------------------------------------------- memory

def fill(g, mib):
    return g.sh("dd if=/dev/zero of=/tmp/fill bs=1M count=%d 2>/dev/null" % mib)[0] == 0


def test_reporting(g):
    check(fill(g, 100), "reporting: the guest uses 100 MiB")
    full = g.rss_kib()
    g.sh("rm /tmp/fill")
    free = g.rss_settles(lambda kib: kib < full - 70 * 1024, 40)
    diag("RSS %d MiB, after the guest freed it %d MiB" % (full >> 10, free >> 10))
    check(free < full - 70 * 1024, "reporting: freed memory returns to the host by itself")
    check(g.device("balloon").get("reported", 0) > 70 << 20, "reporting: it is counted")


def test_balloon(g):
    check(fill(g, 100), "balloon: the guest uses 100 MiB")
    g.sh("rm /tmp/fill")
    time.sleep(3)
    full = g.rss_kib()
    check(g.ask("balloon", size=120 << 20).get("ok"), "balloon: a target is set")
    less = g.rss_settles(lambda kib: kib < full - 80 * 1024, 40)
    diag("RSS %d MiB, inflated %d MiB" % (full >> 10, less >> 10))
    check(less < full - 80 * 1024, "balloon: the host has the memory back")
    end = time.monotonic() + 30
    while g.device("balloon").get("actual") != 120 << 20 and time.monotonic() < end:
        time.sleep(0.5)
    is_(g.device("balloon").get("actual"), 120 << 20, "balloon: it holds what was asked for")
    wait_for(30, lambda: g.device("balloon").get("guest", {}).get("total", 0))
    stats = g.device("balloon").get("guest", {})
    check(0 < stats.get("free", 0) < stats.get("total", 0), "balloon: the guest's statistics", stats)
    check(not g.ask("balloon", size=1 << 40).get("ok"), "balloon: more than there is is refused")
    g.ask("balloon", size=0)
    end = time.monotonic() + 30
    while g.device("balloon").get("actual") != 0 and time.monotonic() < end:
        time.sleep(0.5)
    is_(g.device("balloon").get("actual"), 0, "balloon: deflated")
    check(fill(g, 100), "balloon: the guest uses that memory again")
    g.sh("rm /tmp/fill")


# ------------------------------------------------------------------- consoles

def reads(g, path):
    """Has a program of the guest's opened that terminal?"""
    return g.sh("ls -l /proc/[0-9]*/fd 2>/dev/null | grep -q ' %s$'" % path)[0] == 0


def size_of(g, tty):
    return g.sh("stty -F /dev/%s size" % tty)[1]


def test_console(g, master):
    is_(size_of(g, "hvc0"), "24 80", "console: its size at the start")
    check(g.ask("console", id="a", rows=50, columns=132).get("ok"), "console: a resize")
    check(wait_for(30, lambda: size_of(g, "hvc0") == "50 132"), "console: the guest sees it",
          size_of(g, "hvc0"))
    g.sh("echo from the guest > /dev/hvc0")
    got = b""
    while b"from the guest" not in got and select.select([master], [], [], 30)[0]:
        got += os.read(master, 100)
    check(b"from the guest" in got, "console: output arrives", got)
    g.sh("head -n 1 /dev/hvc0 > /tmp/line &")
    wait_for(30, reads, g, "/dev/hvc0")
    os.write(master, b"from the host\n")
    check(wait_for(30, lambda: g.sh("cat /tmp/line")[1] == "from the host"), "console: input arrives",
          g.sh("cat /tmp/line"))
    rc, out = g.sh("for i in $(seq 300); do echo 0123456789012345678901234567890123456789012345678901234567890123456789; done > /dev/hvc0; echo done")
    check("done" in out, "console: a reader that is not there stops nobody", out)


def test_ports(g, ends):
    is_(g.sh("cat /sys/class/virtio-ports/*/name")[1].split(), ["a", "b"], "ports: their names")
    for i, end in enumerate(ends):
        g.sh("stty -F /dev/hvc%d raw; echo port %d > /dev/hvc%d" % (i, i, i))
        end.settimeout(30)
        got = b""
        while b"port %d" % i not in got and (piece := end.recv(100)):
            got += piece
        check(b"port %d" % i in got, "ports: output of hvc%d" % i, got)
        g.sh("head -n 1 /dev/hvc%d > /tmp/line%d &" % (i, i))
        wait_for(30, reads, g, "/dev/hvc%d" % i)
        end.sendall(b"to port %d\n" % i)
        check(wait_for(30, lambda: g.sh("cat /tmp/line%d" % i)[1] == "to port %d" % i),
              "ports: input of hvc%d" % i, g.sh("cat /tmp/line%d" % i))
    check(g.ask("console", id="b", rows=50, columns=132).get("ok"), "ports: a resize")
    check(wait_for(30, lambda: size_of(g, "hvc1") == "50 132"), "ports: the guest sees it",
          size_of(g, "hvc1"))


# --------------------------------------------------------------------- shares

def test_share(g, folder, daemon):
    with open(folder + "/host", "w") as f:
        f.write("written by the host")
    rc, out = g.sh("mount -t virtiofs work /mnt")
    check(rc == 0, "share: mounted", out)
    is_(g.sh("cat /mnt/host")[1], "written by the host", "share: the guest reads")
    g.sh("echo written by the guest > /mnt/guest; sync")
    is_(open(folder + "/guest").read().strip(), "written by the guest", "share: the guest writes")
    rc, out = g.sh("dd if=/dev/urandom of=/mnt/big bs=1M count=16 2>/dev/null; sync; md5sum < /mnt/big")
    mine = subprocess.run("md5sum < %s/big" % folder, shell=True, capture_output=True, text=True).stdout
    is_(out, mine.strip(), "share: 16 MiB are the same on both sides")
    check(g.ask("pause").get("ok") and g.ask("resume").get("ok"), "share: paused and resumed")
    is_(g.sh("cat /mnt/host")[1], "written by the host", "share: and it goes on")
    daemon.kill()
    daemon.wait()
    check(wait_for(30, lambda: not g.device("work").get("alive", True)),
          "share: a dead virtiofsd is seen")
    is_(g.sh("echo alive")[1], "alive", "share: and the guest lives")


def virtiofsd(folder):
    path = next((p for p in ("/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd")
                 if os.path.exists(p)), None)
    if not path:
        return None, None
    sock = T + "/virtiofsd.sock"
    os.mkdir(folder)
    # the C one of QEMU 7 stays in the foreground only when told to
    daemon = spawn(path, "--socket-path=" + sock, *(
        ("-o", "source=" + folder, "-f") if "qemu" in path else ("--shared-dir", folder)))
    for _ in range(100):
        try:
            s = socket.socket(socket.AF_UNIX)
            s.connect(sock)
            return daemon, s.detach()
        except OSError:
            s.close()
            time.sleep(0.1)
    diag(daemon.stdout.read())
    return daemon, None


def passt():
    path, sock = shutil.which("passt"), T + "/passt.sock"
    if not path:
        return None
    # it wants a way out, which the lab has not
    for args in ("link add ivd0 type dummy", "addr add 10.8.8.2/24 dev ivd0", "link set ivd0 up",
                 "route add default via 10.8.8.1"):
        subprocess.run(["ip"] + args.split())
    os.chmod(T, 0o777)
    p = spawn(path, "-f", "-s", sock)
    for _ in range(100):
        try:
            s = socket.socket(socket.AF_UNIX)
            s.connect(sock)
            return s.detach()
        except OSError:
            s.close()
            time.sleep(0.1)
    p.kill()
    diag(p.stdout.read())
    return None


# ------------------------------------------------------------------------ all

def first():
    """Shared memory, a share, a console on a pty, free page reporting."""
    master, slave = pty.openpty()
    folder = T + "/work"
    daemon, fs = virtiofsd(folder)
    net = {"id": "net0", "tap": {"fd": tap("ivt0", "10.9.0.1/24")[0]}, "mac": "02:00:00:00:00:07",
           "mtu": 1450}
    machine = {"nets": [net], "balloon": {"size": 0},
               "consoles": [{"id": "a", "source": {"fd": slave}, "rows": 24, "columns": 80}]}
    attr = termios.tcgetattr(master)
    attr[3] &= ~(termios.ECHO | termios.ICANON)
    termios.tcsetattr(master, termios.TCSANOW, attr)
    if fs:
        machine["shares"] = [{"tag": "work", "socket": {"fd": fs}}]
    g = Guest("first", INITRAMFS, machine, shared=True, memory=320 << 20)
    if not check(g.boot(), "a guest with shared memory boots"):
        g.tell()
        return g
    test_tap(g)
    test_vsock(g)
    test_reporting(g)
    test_console(g, master)
    if fs:
        test_share(g, folder, daemon)
    else:
        skip("share", "no virtiofsd here")
    return g


def second():
    """Anonymous memory, two ports, two queues, passt, no reporting."""
    pairs = [socket.socketpair() for _ in range(2)]
    taps = tap("ivt1", "10.9.1.1/24", 2)
    nets = [{"id": "net0", "tap": [{"fd": fd} for fd in taps], "queues": 2}]
    user = passt()
    if user:
        nets.append({"id": "net1", "socket": {"fd": user}})
    g = Guest("second", INITRAMFS, {
        "nets": nets, "balloon": {"size": 0, "reporting": False, "stats_ms": 500},
        "consoles": [{"id": n, "source": {"fd": p[1].detach()}, "rows": 24, "columns": 80}
                     for n, p in zip("ab", pairs)]}, cpus=2, memory=320 << 20)
    if not check(g.boot(), "a guest with two vCPUs boots"):
        g.tell()
        return g
    test_ports(g, [p[0] for p in pairs])
    test_balloon(g)
    test_queues(g)
    if user:
        test_passt(g)
    else:
        skip("passt", "no passt here")
    return g


only = sys.argv[1:]
for part in (first, second):
    if only and part.__name__ not in only:
        continue
    g = part()
    warns = [e["text"] for e in g.events if e["event"] == "warn"]
    if warns:
        diag("warnings: %r" % warns)
    g.end()
    check(g.process.returncode in (0, 143), "%s: it ends when told to" % part.__name__,
          "exit status %r" % g.process.returncode)
    if g.process.returncode not in (0, 143):
        g.tell()
for p in spawned:
    p.kill()
    p.wait()
finish()
