# SPDX-License-Identifier: Apache-2.0
# What a VM gets from its host: disks and their locks, sockets, terminals, shares; and
# that its worker holds nothing else.
# time limit: 120 s
import base64
import os
import signal
import socket
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from vmlib import *

d = need_vms()
vms = Vms(d)
leak_mark()


def image(name, size=MIB):
    path = T + "/" + name
    with open(path, "wb") as f:
        f.truncate(size)
    return path


def fails(text, **more):
    """A start that is refused with these words; nothing is left of it."""
    vm = vms.create(**more)
    got = vms.post(vm, "start")
    check(got[0] >= 400 and text in got[2]["message"], "refused: " + text, got)
    vms.remove(vm)


# ------------------------------------------------------------ what a worker has
disk, other = image("disk.img"), image("other.img")
vm, console = vms.start(Disks=[{"Path": disk}, {"Path": other, "ReadOnly": True},
                               {"Data": base64.b64encode(b"seed" * 400).decode()}],
                        Pmem=[{"Path": image("pmem.img", 2 * MIB)}], Vsock={}, Consoles=[{}, {}])
o = vms.inspect(vm)
pid, uid = o["State"]["Pid"], o["Isola"]["Uid"]
proc = "/proc/%d/" % pid
status = dict(line.split(":\t", 1) for line in open(proc + "status").read().splitlines()
              if ":\t" in line)
for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
    is_(int(status[key], 16), 0, "a worker has no capabilities: " + key)
is_((status["Uid"].split(), status["Gid"].split()), ([str(uid)] * 4, [str(uid)] * 4),
    "one user and group id of its own")
is_(status["Groups"].strip(), "", "no others")
is_((status["NoNewPrivs"].strip(), status["Seccomp"].strip()), ("1", "0" if SANITIZED else "2"),
    "a filter, for good")
for ns in ("mnt", "net", "ipc", "uts", "pid", "cgroup"):
    isnt(os.readlink(proc + "ns/" + ns), os.readlink("/proc/self/ns/" + ns),
         "a namespace of its own: " + ns)
is_(os.listdir(proc + "root/"), [], "its root folder is empty")
is_(status["NSpid"].split()[-1], "1", "it sees no process but itself")
fds = [os.readlink(proc + "fd/" + f) for f in os.listdir(proc + "fd")]
files = sorted(f for f in fds if f.startswith("/") and not f.startswith("/memfd:"))
good = {GUEST, disk, other, T + "/pmem.img", "/dev/kvm", "/dev/ptmx", "/dev/pts/ptmx", "/dev/null"}
check(set(files) <= good, "it has the files of its machine open, and no others", files)
for path, mode in ((disk, 2), (other, 0)):
    for f in os.listdir(proc + "fd"):
        if os.readlink(proc + "fd/" + f) == path:
            flags = int([x for x in open(proc + "fdinfo/" + f) if x.startswith("flags")][0].split()[1], 8)
            is_(flags & 3, mode, "opened for no more than it is for: " + os.path.basename(path))
is_(len({c["Path"] for c in o["Consoles"]}), 2, "each console has a terminal")

# ------------------------------------------------------------------------ locks
fails("is in use by another VM", Disks=[{"Path": disk}])
fails("which writes to it", Disks=[{"Path": disk, "ReadOnly": True}])
fails("is in use by another VM", Disks=[{"Path": other}])
two, _ = vms.start(Disks=[{"Path": other, "ReadOnly": True}])
is_(vms.state(two)["Status"], "running", "two may read one disk")
vms.remove(two)
console.type("R")
check(console.wait_for(b"ready\n", 2), "a reset gets its disks again")
fails("is in use by another VM", Disks=[{"Path": disk}])
vms.remove(vm)
vm, _ = vms.start(Disks=[{"Path": disk}])
vms.remove(vm)
ok("and at the end it is free")

# ---------------------------------------------------------------- kinds of files
os.mkfifo(T + "/fifo")
fails("is no regular file", Disks=[{"Path": T + "/fifo"}])
fails("is no regular file", Kernel="/dev/null")
fails("is no regular file", Kernel="/dev/zero")
fails("is no regular file", Initrd=T + "/fifo")
fails("is no regular file", Pmem=[{"Path": "/dev/null"}])
os.symlink(disk, T + "/link.img")
vm, _ = vms.start(Disks=[{"Path": T + "/link.img"}])
vms.remove(vm)
ok("a link to a file is fine")

# ------------------------------------------------------------------------- vsock
path = T + "/v.sock"
vm, console = vms.start(Vsock={"Cid": 7, "Path": path})
is_(vms.inspect(vm)["Vsock"], {"Cid": 7, "Path": path}, "vsock where its user wants it")
is_(os.stat(path).st_mode & 0o777, 0o600, "for root only")
s = socket.socket(socket.AF_UNIX)
s.settimeout(WAIT_S)
s.connect(path)
s.sendall(b"CONNECT 1234\n")
console.type("x")
check(console.wait_for(b"x"), "a client that waits disturbs nobody")
s.close()
fails("cannot", Vsock={"Path": T + "/nowhere/v.sock"})
console.type("R")
check(console.wait_for(b"ready\n", 2) and os.path.exists(path), "a reset keeps the socket")
vms.remove(vm)
check(not os.path.exists(path), "and its end removes it")
with open(path, "w") as f:
    f.write("precious")
fails("cannot make the socket", Vsock={"Path": path})
is_(open(path).read(), "precious", "what is no socket is not taken away")

# ------------------------------------------------------------------------ shares
if not any(os.access(p, os.X_OK) for p in ("/usr/lib/qemu/virtiofsd", "/usr/libexec/virtiofsd",
                                           "/usr/lib/virtiofsd")):
    skip("shares", "no virtiofsd")
else:
    os.mkdir(T + "/share")
    vm, console = vms.start(Shares=[{"Tag": "a", "Path": T + "/share"},
                                    {"Tag": "b", "Path": T + "/share", "ReadOnly": True}],
                            ready=False)
    if vms.state(vm)["Status"] == "running":
        check(console.wait_for(b"ready\n"), "a VM with shares runs")
        check(vms.inspect(vm)["Config"]["Memory"]["Shared"], "its memory is shared for that")
        cgroup = cgroup2_root() + vms.inspect(vm)["Isola"]["Cgroup"] + "/cgroup.procs"
        names = [open("/proc/%s/comm" % p).read().strip() for p in open(cgroup).read().split()]
        check(names.count("virtiofsd") >= 2 and names.count("isola-vmm") == 1,
              "its servers are in its cgroup", names)
        console.type("R")
        check(console.wait_for(b"ready\n", 2), "a reset starts them anew")
    vms.remove(vm)
    fails("cannot open /nonexistent", Shares=[{"Tag": "a", "Path": "/nonexistent"}])
    fails("shares[0] (a)", Shares=[{"Tag": "a", "Socket": "/nonexistent"}])

# -------------------------------------------------------------------------- passt
def passts(vm):
    """Those in a VM's cgroup, by pid."""
    with open(cgroup2_root() + vms.inspect(vm)["Isola"]["Cgroup"] + "/cgroup.procs") as f:
        pids = f.read().split()
    return [int(p) for p in pids if open("/proc/%s/comm" % p).read().startswith("passt")]


if not os.access("/usr/bin/passt", os.X_OK):
    fails("passt is not installed (Debian: passt)", Nets=[{"Passt": True}])
    skip("passt", "it is not installed")
else:
    fails("nets[0] (net0): passt ended at its start: ", Nets=[{"Passt": True}])   # no way out
    for args in ("link add out0 type veth peer name out1", "address add 10.8.8.2/24 dev out0",
                 "link set out0 up", "link set out1 up", "route add default via 10.8.8.1"):
        d.in_net("ip", *args.split())
    vm, console = vms.start(Nets=[{"Passt": True, "Mtu": 1400}, {"Passt": True}])
    o, pids = vms.inspect(vm), passts(vm)
    is_(len(pids), 2, "two networks, two passts, in the VM's cgroup")
    proc = "/proc/%d/" % pids[0]
    status = dict(line.split(":\t", 1) for line in open(proc + "status").read().splitlines()
                  if ":\t" in line)
    uid = str(o["Isola"]["Uid"])
    is_((status["Uid"].split(), status["Gid"].split()), ([uid] * 4, [uid] * 4),
        "they are the VM's own user")
    is_((int(status["CapEff"], 16), status["Seccomp"].strip()), (0, "2"),
        "without capabilities, under a filter")
    is_(os.listdir(proc + "root/"), [], "in an empty root")
    is_(os.readlink(proc + "ns/net"), os.readlink("/proc/%d/ns/net" % d.pid),
        "in isolad's network")
    check({x for x in (os.readlink(proc + "fd/" + f).split(":")[0] for f in os.listdir(proc + "fd"))
           if x.startswith("/")} <= {"/dev/null"}, "without a file of the host")
    console.type("R")
    check(console.wait_for(b"ready\n", 2), "a reset")
    check(len(passts(vm)) == 2 and not set(passts(vm)) & set(pids), "starts them anew", passts(vm))
    pids = passts(vm)
    os.kill(pids[0], signal.SIGKILL)
    console.type("x")
    check(console.wait_for(b"x"), "one that dies takes nothing with it")
    os.kill(vms.state(vm)["Pid"], signal.SIGKILL)
    check(wait_for(10, lambda: not any(is_running(p) for p in pids)),
          "they end with the worker", pids)
    vms.remove(vm)
    vm, console = vms.start(Nets=[{"Passt": True}])
    pids = passts(vm)
    vms.remove(vm)
    check(wait_for(10, lambda: not any(is_running(p) for p in pids)), "and with the VM", pids)
    d.in_net("ip", "link", "del", "out0")

# --------------------------------------------------------------------------- taps
if os.access("/dev/net/tun", os.R_OK | os.W_OK) and \
        d.in_net("ip", "tuntap", "add", "dev", "tap9", "mode", "tap", "vnet_hdr").rc == 0:
    vm, console = vms.start(Nets=[{"Tap": "tap9"}])
    fails("in use by another VM", Nets=[{"Tap": "tap9"}])
    vms.remove(vm)
    fails("multi_queue", Nets=[{"Tap": "tap9", "Queues": 2}])
    d.in_net("ip", "tuntap", "del", "dev", "tap9", "mode", "tap")
else:
    skip("taps", "cannot make one here")

# ---------------------------------------------------------------------- seccomp
vm, console = vms.start(Seccomp="off")
status = open("/proc/%d/status" % vms.state(vm)["Pid"]).read()
like(status, r"(?m)^Seccomp:\s+0$", "Seccomp off is off")
vms.remove(vm)
leak_check()
finish()
