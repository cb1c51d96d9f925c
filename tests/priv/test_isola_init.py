#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""isola-init as PID 1 of namespaces, without a guest: processes, their rights, streams,
terminals, signals and ends, as include/isola/guest.h has them."""
import os
import signal
import socket
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from guestlib import *

need_root()
root = T + "/root"
make_root(root)

size = os.path.getsize(BUILD + "/guest/init/isola-init")
check(size <= 200 * 1024, "isola-init is no larger than 200 KiB", "%d bytes" % size)

# Four processors of no consequence, for isola-init to switch.
CPUS = "/sys/devices/system/cpu"
is_(run("mount", "-t", "tmpfs", "cpus", CPUS).rc, 0, "processors that are files")
for n in range(4):
    os.mkdir("%s/cpu%d" % (CPUS, n))
    if n:
        with open("%s/cpu%d/online" % (CPUS, n), "w") as f:
            f.write("%d" % (n < 2))

# ------------------------------------------------------------ the first process
i = Init(root, [(GF_MASKED, "/proc/kcore"), (GF_MASKED, "/proc/scsi"), (GF_READONLY, "/proc/sys"),
                (GF_SYSCTL, [(GF_NAME, "kernel/msgmax"), (GF_VALUE, "5000")])])
p = i.peer
isnt(text(p.ready, GF_RELEASE), None, "it says which kernel it has")
is_(p.call(GUEST_RUN, process(1, "true", usual=USUAL[1:]))[0], 71, "a process without a folder is refused")
is_(p.call(GUEST_EXEC, process(1, "true"))[0], 3, "no process before the first")
is_(i.setup_error[:2], (0, ""), "it is set up")
is_(p.call(GUEST_SETUP, setup(root))[0], 114, "once")
is_(i.run(1, "sh", "-c", "trap 'echo term; exit 9' TERM; echo up; while :; do sleep 1; done",
          streams=7)[:2], (0, ""), "the first process runs")
is_(p.stream(1, 1).recv(100), b"up\n", "and is heard")
is_(i.run(50, "true")[0], 22, "once")

# ---------------------------------------------------------------- what it is in
is_(i.sh(2, "cat /proc/1/comm; hostname; cat /proc/sys/kernel/msgmax"), (0, "sh\nguest-name\n5000\n"),
    "namespaces: it is PID 1, its host name, its sysctl")
code, out = i.sh(3, "ls /dev | sort | tr '\\n' ' '; readlink /dev/ptmx; cat /proc/kcore | wc -c; "
                 "ls /proc/scsi | wc -l; touch /proc/sys/kernel/x 2>&1 | wc -l")
is_(out.splitlines(), ["fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero "
                       "pts/ptmx", "0", "0", "1"], "devices, links, masked and read-only paths")
is_(i.sh(4, "echo x > /proc/sys/kernel/domainname")[0], 1, "/proc/sys cannot be written")
is_(i.sh(5, "ls -A /proc/self/fd | wc -l; pwd; echo $HOME"), (0, "4\n/\n/root\n"),
    "descriptors, folder, HOME")

# --------------------------------------------------------------------- its network
is_(i.sh(60, "ip -o link show up | cut -d: -f2"), (0, " lo\n"), "lo is up")
error = p.call(GUEST_LINK, [(GF_LINK, [(GF_NAME, "eth0"), (GF_MAC, "02:00:00:00:00:01")])])
is_(error[0], 19, "a link that is not there")
like(error[1], "eth0", "is named")
is_(i.sh(61, "ip link add old0 type veth peer name old1 && ip link set old0 address 02:00:00:00:00:01 2>&1"), (0, ""), "one is made")
link = [(GF_NAME, "eth0"), (GF_MAC, "02:00:00:00:00:01"), (GF_MTU, 1400), (GF_ADDRESS, "10.9.8.7/24"),
        (GF_ADDRESS, "fd00::7/64"), (GF_GATEWAY, "10.9.8.1"), (GF_GATEWAY, "fd00::1")]
is_(p.call(GUEST_LINK, [(GF_LINK, link)])[:2], (0, ""), "and set up")
is_(p.call(GUEST_LINK, [(GF_LINK, link)])[:2], (0, ""), "twice is fine")
code, out = i.sh(62, "ip addr show dev eth0; ip route; ip -6 route")
for want in ("mtu 1400", "inet 10.9.8.7/24", "inet6 fd00::7/64", "default via 10.9.8.1 dev eth0",
             "default via fd00::1 dev eth0"):
    check(want in out, "eth0 has: %s" % want, out)
for bad in ("10.9.8.7", "10.9.8.7/33", "x/8", "1.2.3.4/", "fd00::1/129"):
    is_(p.call(GUEST_LINK, [(GF_LINK, [(GF_NAME, "eth0"), (GF_ADDRESS, bad)])])[0], 71, "no address: " + bad)
is_(i.sh(63, "ip link add old2 type veth peer name old3 && ip link set old2 address 02:00:00:00:00:02 2>&1"), (0, ""), "another one")
is_(p.call(GUEST_LINK, [(GF_LINK, [(GF_NAME, "eth1"), (GF_MAC, "02:00:00:00:00:02"),
                                   (GF_ADDRESS, "10.9.9.7/24")])])[:2], (0, ""), "with IPv4 alone")
is_(i.sh(64, "ip -6 addr show dev eth1"), (0, ""), "has nothing of IPv6")
for name in ("eth0", "eth7"):
    error = p.call(GUEST_UNLINK, [(GF_LINK, [(GF_NAME, name)])])
    is_(error[0], 19, "no device of the machine's: " + name, error)
    like(error[1], name, "is named")

# ------------------------------------------------------------------------- CPUs
def online():
    text = ""
    for n in range(1, 4):
        with open("%s/cpu%d/online" % (CPUS, n)) as f:
            text += f.read()
    return text


for cpus, want in ((4, "111"), (1, "000"), (3, "110"), (3, "110")):
    is_((p.call(GUEST_ONLINE, [(GF_CPUS, cpus)])[:2], online()), ((0, ""), want), "%d CPUs" % cpus)
for bad in (0, 5000):
    is_((p.call(GUEST_ONLINE, [(GF_CPUS, bad)])[0], online()), (22, "110"), "no number of CPUs: %d" % bad)
error = p.call(GUEST_ONLINE, [(GF_CPUS, 5)])
is_(error[:2], (2, "the guest has 4 processors"), "more CPUs than there are")
is_(run("umount", CPUS).rc, 0, "they go")

# ------------------------------------------------------------------------- who
is_(i.sh(6, "id -u; id -g; id -G; echo $HOME", more=[(GF_USER, "u")]), (0, "1000\n1001\n1001 7\n/home/u\n"),
    "a user by name, with groups and HOME")
is_(i.sh(7, "id -u; id -g; id -G", more=[(GF_UID, 5), (GF_GID, 6), (GF_GROUP, 8), (GF_GROUP, 9)]),
    (0, "5\n6\n6 8 9\n"), "a user by number")
like(i.sh(8, "true", more=[(GF_USER, "nobody-here")])[1], "nobody-here", "an unknown one is named")

CAPS = [(GF_CAPS_BOUNDING, 0x21), (GF_CAPS_PERMITTED, 0x21), (GF_CAPS_EFFECTIVE, 1),
        (GF_CAPS_INHERITABLE, 0x20), (GF_CAPS_AMBIENT, 0x20)]
code, out = i.sh(9, "grep -E 'Cap|NoNew|Umask' /proc/self/status", usual=USUAL[:2],
                 more=CAPS + [(GF_NO_NEW_PRIVS, 1), (GF_UMASK, 0o27), (GF_UID, 1000), (GF_GID, 1)])
is_([l.split()[1] for l in out.splitlines()],
    ["0027", "%016x" % 0x20, "%016x" % 0x20, "%016x" % 0x20, "%016x" % 0x21, "%016x" % 0x20, "1"],
    "umask, the five sets of capabilities, no_new_privs")
is_(i.sh(10, "ulimit -n; ulimit -Hn", more=[(GF_RLIMIT, [(GF_RESOURCE, 7), (GF_SOFT, 99), (GF_HARD, 111)])]),
    (0, "99\n111\n"), "limits")
is_(i.sh(11, "cat /proc/self/oom_score_adj", more=[(GF_OOM_SCORE, 321)]), (0, "321\n"), "the OOM score")
# mkdir, or mkdirat, gives EPERM
NR = {"x86_64": 83, "aarch64": 34}[os.uname().machine]
BPF = b"".join(struct.pack("<HBBI", *r) for r in [(0x20, 0, 0, 0), (0x15, 0, 1, NR), (6, 0, 0, 0x50001),
                                                  (6, 0, 0, 0x7fff0000)])
for n, nnp in ((12, 0), (13, 1)):
    code, out = i.sh(n, "grep Seccomp: /proc/self/status; mkdir /tmp/x 2>&1",
                     usual=USUAL[:2], more=CAPS + [(GF_NO_NEW_PRIVS, nnp), (GF_SECCOMP, BPF)])
    check("Seccomp:\t2" in out and "not permitted" in out and code == 1,
          "seccomp%s" % (" with no_new_privs" if nnp else ""), out)

# --------------------------------------------------------------- how it is found
for n, (args, want, words) in enumerate([
        (["nothing-here"], 2, "not found in \\$PATH"), (["/nothing"], 2, "no such file"),
        (["/notexec"], 13, "permission denied"), (["/etc"], 13, "permission denied"),
        (["/nointerp"], 2, "interpreter")], 20):
    error = i.exec(n, *args)
    is_(error[0], want, "%s: error %d" % (args[0], want))
    like(error[1], words, "%s: told why" % args[0])
is_(i.exec(30, "true", usual=[(GF_CWD, "/not/here")])[0], 2, "a folder that is not there")
is_(i.sh(31, "pwd", usual=USUAL[1:], more=[(GF_CWD, "/made/up"), (GF_MAKE_CWD, 1)]), (0, "/made/up\n"),
    "one that is made")

# ----------------------------------------------------------------------- its end
is_(i.sh(32, "exit 77")[0], 77, "an exit code")
is_(i.sh(33, "kill -9 $$")[0], 137, "a signal")
is_(i.exec(34, "sleep", "1000")[0], 0, "one that sleeps")
is_(p.call(GUEST_SIGNAL, [(GF_PROCESS, 34), (GF_SIGNO, 15)])[0], 0, "is sent a signal")
is_(p.status(34), 143, "which ends it")
is_(p.call(GUEST_SIGNAL, [(GF_PROCESS, 34), (GF_SIGNO, 15)])[0], 3, "and is there no more")
is_(p.call(GUEST_SIGNAL, [(GF_PROCESS, 1), (GF_SIGNO, 99)])[0], 22, "no such signal")
is_(i.sh(35, "(sleep 1000 &) ; echo done"), (0, "done\n"),
    "one left behind with the output open does not hold up the end")
is_(i.sh(36, "for n in $(seq 200); do ps -o ppid,args | grep -q '^ *1 [s]leep 1000' && echo yes && exit; "
         "sleep 0.1; done"), (0, "yes\n"), "the container's PID 1 has it")

# ----------------------------------------------------------------------- streams
is_(i.exec(40, "sh", "-c", "cat; echo end; echo err >&2", streams=7)[0], 0, "one that reads")
p.stream(40, 0).sendall(b"some\n")
is_(p.stream(40, 1).recv(100), b"some\n", "what it reads it writes")
p.stream(40, 0).shutdown(socket.SHUT_WR)
is_((p.read_all(40), p.read_all(40, 2), p.status(40)), (b"end\n", b"err\n", 0),
    "the end of its input; outputs are apart")
is_(i.exec(41, "cat", streams=2)[0], 0, "one without input")
is_((p.read_all(41), p.status(41)), (b"", 0), "reads its end at once")
is_(i.exec(42, "yes", streams=2)[0], 0, "one that writes without end")
p.stream(42, 1).recv(10)
p.stream(42, 1).close()
is_(p.status(42), 141, "ends when nobody reads: SIGPIPE")

MIB = 100
is_(i.exec(43, "sh", "-c", "head -c %d /dev/zero" % (MIB << 20), streams=2)[0], 0, "100 MiB of output")
is_((len(p.read_all(43)), p.status(43)), (MIB << 20, 0), "come whole")

seqs = [p.ask(GUEST_EXEC, process(100 + n, "sh", "-c", "echo %d; exit %d" % (n, n))) for n in range(100)]
answers = [p.answer(s)[0] for s in seqs]
is_(answers, [0] * 100, "100 at once")
is_([p.status(100 + n) for n in range(100)], list(range(100)), "each with its own end")
is_([p.read_all(100 + n) for n in range(100)], [b"%d\n" % n for n in range(100)], "and output")

# ---------------------------------------------------------------------- terminal
is_(i.exec(300, "sh", streams=2, more=[(GF_TTY, 1), (GF_ROWS, 33), (GF_COLUMNS, 99)])[0], 0, "a terminal")
tty = p.stream(300, 1)


def talk(line, want):
    """What the terminal says to @line, up to @want."""
    tty.settimeout(LIMIT_S * SCALE)
    tty.sendall(line.encode())
    out = b""
    while want not in out:
        data = tty.recv(4096)
        if not data:
            break
        out += data
    return out


check(b"33 99" in talk("stty size; tty\n", b"/dev/pts/"), "it has the size that was asked for")
is_(p.call(GUEST_RESIZE, [(GF_PROCESS, 300), (GF_ROWS, 44), (GF_COLUMNS, 55)])[0], 0, "it is resized")
check(b"44 55" in talk("stty size\n", b"44 55"), "and knows it")
is_(p.call(GUEST_RESIZE, [(GF_PROCESS, 1), (GF_ROWS, 1), (GF_COLUMNS, 1)])[0], 25, "others have none")
# said by the job itself: before it is in front, ^C would be the shell's
talk("sh -c 'echo now$((1+1)); exec sleep 1000'\n", b"now2")
talk("\x03", b"# ")
check(b"=130" in talk("echo =$?\n", b"=130"), "^C reaches the job")
tty.sendall(b"exit 5\n")
is_(p.status(300), 5, "and its end is told")
is_(i.exec(301, "true", streams=6, more=[(GF_TTY, 1)])[0], 71, "a terminal has one stream")
is_(p.call(GUEST_PS)[0], 95, "without a cgroup there is no list")
is_(p.call(999)[0], 95, "an unknown request is answered")

# ------------------------------------------------------------------------ the end
is_(i.exec(302, "sleep", "1000")[0], 0, "one more")
is_(p.call(GUEST_SIGNAL, [(GF_PROCESS, 1), (GF_SIGNO, 15)])[0], 0, "the first is asked to end")
is_((p.status(1), p.status(302)), (9, 137), "it does, and the others with it")
is_(p.read_all(1), b"term\n", "its last words were heard")
is_(i.exec(303, "true")[0], 3, "nothing runs afterwards")
is_(i.stop(), 0, "a shutdown")
is_(i.said(), "", "it had nothing to say")

# ----------------------------------------------------------- a root that is read-only
i = Init(root, [(GF_ROOT_READONLY, 1)])
is_(i.run(1, "sh", "-c", "touch /x; echo $?; touch /dev/shm/x; echo $?", streams=2)[0], 0, "read-only root")
is_(i.peer.read_all(1), b"1\n0\n", "of which only what is mounted can be written")
is_(i.stop(), 0, "it ends")

i = Init(root, [(GF_MOUNT, [(GF_TARGET, "/x"), (GF_FSTYPE, "nofs")])])
error = i.run(1, "true")
is_(error[0], 19, "a mount that cannot be: the run fails")
like(error[1], "cannot mount nofs at /x", "told why")
is_(i.stop(), 0, "it ends")

# ------------------------------------------------ a root that is an overlay on an image
served = T + "/served"
for name in ("layer/upper", "layer/work", "mounts/0"):
    os.makedirs(served + "/" + name)
for name, said in (("mounts/0/in", "zero\n"), ("mounts/1", "one\n")):
    with open(served + "/" + name, "w") as f:
        f.write(said)
os.makedirs(root + "/old/below")
image = (GF_IMAGE, [(GF_FSTYPE, "bind"), (GF_SOURCE, root)])


def served_bind(target, source, flags=0):
    return (GF_MOUNT, [(GF_TARGET, target), (GF_FSTYPE, "bind"), (GF_SOURCE, source), (GF_FLAGS, flags)])


BINDS = [image, served_bind("/new/folder", "mounts/0", 1), served_bind("/etc/new-file", "mounts/1")]
i = Init(served, BINDS)
is_(i.run(1, "sh", "-c", "cat /new/folder/in /etc/new-file; touch /new/folder/x || echo no; "
          "echo two >/etc/new-file; rm -r /old; mkdir /old; echo made >/old/file; "
          "cut -d' ' -f5 /proc/self/mountinfo | grep -c -e served -e image; true", streams=2)[0], 0,
    "a root of an image and a served layer")
is_(i.peer.status(1), 0, "whose process runs")
is_(i.peer.read_all(1), b"zero\none\nno\n0\n",
    "with the binds in it, one read-only, and no way to what they are of")
is_(i.stop(), 0, "it ends")
is_(open(served + "/mounts/1").read(), "two\n", "a bind is written through")
is_((sorted(os.listdir(served + "/layer/upper/old")), os.path.isdir(root + "/old/below")),
    (["file"], True), "what it writes is in the layer, the image is as it was")
is_(os.getxattr(served + "/layer/upper/old", "user.overlay.opaque"), b"y", "with a user's marks")
i = Init(served, BINDS)
is_(i.run(1, "sh", "-c", "ls /old; cat /old/file", streams=2)[0], 0, "and once more")
is_(i.peer.read_all(1), b"file\nmade\n", "has what was written")
is_(i.stop(), 0, "it ends")

# ---------------------------------------------- and what comes to it while it runs
os.makedirs(served + "/mounts/later1")
with open(served + "/mounts/later1/in", "w") as f:
    f.write("later\n")
with open(served + "/mounts/later2", "w") as f:
    f.write("a file\n")
PROCESSES = [100]


def live(kind, target, source, inode=None, flags=0):
    PROCESSES[0] += 1
    inode = inode or os.stat(served + "/" + source).st_ino
    return i.peer.call(kind, [(GF_PROCESS, PROCESSES[0]), (GF_STREAMS, 0), served_bind(target, source, flags),
                              (GF_NUMBER, inode)])[:2]


def sh(script):
    PROCESSES[0] += 1
    return i.sh(PROCESSES[0], script)


i = Init(served, BINDS)
is_(i.run(1, "sleep", "1000")[0], 0, "a container that goes on")
is_(live(GUEST_MOUNT, "/come/here", "mounts/later1", flags=1), (0, ""), "a folder comes")
is_(live(GUEST_MOUNT, "/etc/come", "mounts/later2"), (0, ""), "and a file")
is_(sh("cat /come/here/in /etc/come; touch /come/here/x 2>/dev/null || echo no; echo new >/etc/come"),
    (0, "later\na file\nno\n"), "and are there, one read-only")
is_(open(served + "/mounts/later2").read(), "new\n", "the other written through")
is_(sh("cut -d' ' -f5 /proc/self/mountinfo | grep -c -e served -e image"), (1, "0\n"),
    "there is still no way to what they are of")
inode = os.stat(served + "/mounts/later1").st_ino
is_(live(GUEST_MOUNT, "/none/x", "mounts/later2", inode)[0], 116, "another than the host said does not come")
like(live(GUEST_MOUNT, "/none/x", "mounts/later9", inode)[1], "does not serve what is to be at /none/x",
     "nor one that is not served")
is_(sh("ls -d /none")[0], 1, "nor is a place made for it")
is_(live(GUEST_MOUNT, "/none/x", "../x", inode)[0], 71, "nor one of elsewhere")
is_(sh("mount -t tmpfs none /come/here; touch /come/here/mine")[0], 0, "one that the container hides")
is_(live(GUEST_UNMOUNT, "/come/here", "mounts/later1")[0], 16, "does not go")
is_(sh("ls /come/here; umount /come/here; ls /come/here"), (0, "mine\nin\n"), "but when it is seen again")
is_(live(GUEST_UNMOUNT, "/come/here", "mounts/later1"), (0, ""), "it goes")
is_(sh("umount /etc/come")[0], 0, "one that the container has taken away itself")
is_(live(GUEST_UNMOUNT, "/etc/come", "mounts/later2"), (0, ""), "is gone")
is_(sh("ls -A /come/here; cat /etc/come; grep -c come /proc/mounts"), (1, "0\n"), "and nothing is left of both")
is_(live(GUEST_UNMOUNT, "/nowhere/x", "mounts/later2"), (0, ""), "as where there is no place any more")
is_(i.stop(), 0, "it ends")
i = Init(root)
is_(i.run(1, "sleep", "1000")[0], 0, "one whose root is what is served")
check(live(GUEST_MOUNT, "/none/x", "mounts/later1")[0], "takes nothing from beside it")
is_(i.stop(), 0, "it ends")

for source in ("../x", "/etc", ""):
    i = Init(served, [image, served_bind("/x", source)])
    is_(i.setup_error[0], 71, "refused: a bind of %r" % source)
    i.stop()
i = Init(served, [image, image])
is_(i.setup_error[0], 71, "refused: two images")
i.stop()
i = Init(served, [image, served_bind("/x", "mounts/7")])
like(i.run(1, "true")[1], "does not serve what is to be at /x", "a bind that is not served")
is_(i.stop(), 0, "it ends")

# ------------------------------------------------------------------ peers gone bad
HEAD = "<IHHQ"
for name, data, want in [
        ("garbage", b"\xa5" * 5000, 2), ("a huge frame", struct.pack(HEAD, 1 << 31, 17, 0, 1), 2),
        ("malformed fields", struct.pack(HEAD, 3, 17, 0, 1) + b"abc", 2),
        ("a frame cut short", struct.pack(HEAD, 100, 17, 0, 1) + b"abc", 1)]:
    i = Init(root)
    is_(i.run(1, "sleep", "1000")[0], 0, "a peer that sends %s" % name)
    i.peer.send_raw(data)
    if want == 1:
        i.peer.control.shutdown(socket.SHUT_WR)
    is_(i.end(), want, "ends the guest")
    i.peer.close()

i = Init(root)
is_(i.run(1, "yes", streams=2)[0], 0, "a peer that vanishes while output flows")
i.peer.close()
is_(i.end(), 1, "ends the guest")
i = Init(root, begin=False)
check(i.peer.wait(lambda: i.peer.ready is not None), "one that never asks for anything")
i.peer.close()
is_(i.end(), 1, "and goes, too")
finish()
