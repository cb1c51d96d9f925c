# SPDX-License-Identifier: Apache-2.0
"""Copies into a container by its guest (GUEST_COPY), without a guest: isola-init as PID 1 of
namespaces, alone, and with isola-image at the other end of the stream, as isola-keeper
connects them."""
# not in the lab: nothing here asks the kernel for more than test_isola_init.py does
import io
import json
import os
import socket
import stat
import struct
import subprocess
import sys
import tarfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from guestlib import *

need_root()
IMAGE = BUILD + "/isola-image"
GUEST_COPY_KEEP_KINDS = 1     # include/isola/pieces.h
MS_RDONLY, MS_BIND, MS_REC = 1, 4096, 16384
root = T + "/root"
make_root(root)
for name in ("vol", "rov", "tmpfs"):
    os.mkdir(root + "/" + name)
os.makedirs(T + "/vol")
os.makedirs(T + "/rov")
with open(T + "/secret", "w") as f:
    f.write("init's own\n")


def entry(name, data=b"", kind=tarfile.REGTYPE, link="", **fields_):
    t = tarfile.TarInfo(name)
    t.type, t.linkname, t.size = kind, link, len(data)
    t.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
    for k, v in fields_.items():
        setattr(t, k, v)
    return t, data


def archive(*entries):
    b = io.BytesIO()
    with tarfile.open(fileobj=b, mode="w", format=tarfile.PAX_FORMAT) as t:
        for head, data in entries:
            t.addfile(head, io.BytesIO(data))
    return b.getvalue()


def piece(data):
    return struct.pack("<I", len(data)) + data


def mounts():
    return [(GF_MOUNT, [(GF_TARGET, "/vol"), (GF_FSTYPE, "none"), (GF_FLAGS, MS_REC)]),
            (GF_MOUNT, [(GF_TARGET, "/rov"), (GF_FSTYPE, "none"), (GF_FLAGS, MS_REC | MS_RDONLY)]),
            (GF_MOUNT, [(GF_TARGET, "/gone"), (GF_FSTYPE, "none")])]


def head(path, more=(), entries=1000):
    return fields([(GF_TARGET, path), (GF_NAME, "box"), (GF_NUMBER, entries)] + mounts() +
                  list(more))


def binds(read_only_root=False):
    out = [(GF_MOUNT, [(GF_TARGET, "/" + n), (GF_FSTYPE, "none"), (GF_SOURCE, T + "/" + n),
                       (GF_FLAGS, MS_BIND)]) for n in ("vol", "rov")]
    out.append((GF_MOUNT, [(GF_TARGET, "/tmpfs"), (GF_FSTYPE, "tmpfs")]))
    return out + ([(GF_ROOT_READONLY, 1)] if read_only_root else [])


LAST = [100]


def begin(p):
    """A copy's number and its stream."""
    LAST[0] += 1
    is_error = p.call(GUEST_COPY, [(GF_PROCESS, LAST[0]), (GF_STREAMS, 1)])
    if is_error[0]:
        return LAST[0], None, is_error
    return LAST[0], p.stream(LAST[0], 0), is_error


def hear(sock):
    """(error, text) of the guest's answer."""
    sock.settimeout(LIMIT_S * SCALE)
    data = b""
    while True:
        try:
            more = sock.recv(65536)
        except ConnectionResetError:    # it did not read all that it was sent
            break
        if not more:
            break
        data += more
    if len(data) < 4 or len(data) != 4 + struct.unpack_from("<I", data)[0]:
        return (-1, "no answer: %r" % data)
    pairs = parse(data[4:])
    return (number(pairs, GF_ERROR, 0), text(pairs, GF_TEXT, ""))


def put_raw(p, *pieces):
    """What isola-init answers to these bytes."""
    n, sock, error = begin(p)
    if not sock:
        return error[:2]
    try:
        for data in pieces:
            sock.sendall(data)
    except (BrokenPipeError, ConnectionResetError):
        pass
    got = hear(sock)
    sock.close()
    p.status(n)
    return got


def put_tar(p, path, data, more=(), **kw):
    return put_raw(p, piece(head(path, more, **kw)),
                   *[piece(data[i:i + 60000]) for i in range(0, len(data), 60000)], piece(b""))


# ------------------------------------------------------------------- isola-init alone
i = Init(root, binds())
p = i.peer
is_(i.setup_error[:2], (0, ""), "it is set up")
is_(p.call(GUEST_COPY, [(GF_PROCESS, 99), (GF_STREAMS, 1)])[0], 3, "no copy before the first process")
is_(p.call(GUEST_SYNC, [(GF_PROCESS, 99), (GF_STREAMS, 0)])[0], 3, "and no sync")
is_(i.run(1, "sleep", "1000")[:2], (0, ""), "the first process runs")
is_(p.call(GUEST_COPY, [(GF_STREAMS, 1)])[0], 71, "a copy needs a number")

T0 = 1234567890
one = archive(entry("m/", kind=tarfile.DIRTYPE, mode=0o1750, uid=7, gid=8, mtime=T0),
              entry("m/s", b"set", mode=0o6755, uid=1000, gid=1001, mtime=T0),
              entry("m/h", kind=tarfile.LNKTYPE, link="m/s"),
              entry("m/l", kind=tarfile.SYMTYPE, link="/etc/passwd"),
              entry("m/p", kind=tarfile.FIFOTYPE, mode=0o600, uid=5, gid=6, mtime=T0),
              entry("m/big", os.urandom(300000)),
              entry("m/" + "long" * 40, b"l", mtime=T0, pax_headers={
                  "mtime": "1234567890.123456789", "SCHILY.xattr.user.k": "v",
                  "SCHILY.xattr.user.overlay.opaque": "y"}))
is_(put_tar(p, "/", one), (0, ""), "an archive with everything")
st = os.stat(root + "/m/s")
is_((stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid, st.st_mtime, st.st_nlink),
    (0o6755, 1000, 1001, T0, 2), "mode, owner, time, hard link")
st = os.stat(root + "/m")
is_((stat.S_IMODE(st.st_mode), st.st_uid, st.st_mtime), (0o1750, 7, T0), "of a folder")
is_(os.readlink(root + "/m/l"), "/etc/passwd", "a link")
check(stat.S_ISFIFO(os.lstat(root + "/m/p").st_mode), "a FIFO")
is_(os.path.getsize(root + "/m/big"), 300000, "a file of several pieces")
long_ = root + "/m/" + "long" * 40
is_((os.stat(long_).st_mtime_ns % 10**9, os.listxattr(long_)), (123456789, ["user.k"]),
    "nanoseconds, and attributes, never overlay's")
is_(i.sh(2, "stat -c '%a %u %g' /m/s; cat /m/l | head -1 | cut -d: -f1"), (0, "6755 1000 1001\nroot\n"),
    "the container sees them")

# ---------------------------------------------------------- its page cache, to the host
is_(p.call(GUEST_SYNC, [(GF_STREAMS, 0)])[0], 71, "a sync needs a number")
is_(p.call(GUEST_SYNC, [(GF_PROCESS, 1), (GF_STREAMS, 0)])[0], 22, "of its own")
is_(p.call(GUEST_SYNC, [(GF_PROCESS, 90), (GF_STREAMS, 0)])[:2], (0, ""), "its files are synced")
is_(p.status(90), 0, "by a process, which ends")
many = [p.ask(GUEST_SYNC, [(GF_PROCESS, n), (GF_STREAMS, 0)]) for n in range(200, 240)]
got = [p.answer(seq)[0] for seq in many]
check(0 in got and set(got) <= {0, 11}, "of many at once each is done, or told to try again", got)
is_([p.status(200 + n) for n, error in enumerate(got) if not error], [0] * got.count(0), "and each ends")
is_(p.call(GUEST_SYNC, [(GF_PROCESS, 91), (GF_STREAMS, 0)])[0], 0, "and then there is room again")
p.status(91)

# ---------------------------------------------------------------- where it may copy to
is_(put_tar(p, "/vol", archive(entry("n", b"1", uid=33))), (0, ""), "into a bind")
is_((os.stat(T + "/vol/n").st_uid, os.listdir(root + "/vol")), (33, []), "it is in its source")
is_(put_tar(p, "/rov", archive(entry("n", b"1"))), (30, "mounted volume is marked read-only"),
    "a bind that the host calls read-only")
is_(put_tar(p, "/tmpfs", archive(entry("n", b"1"))), (0, ""), "a tmpfs of the container")
is_((os.listdir(root + "/tmpfs"), i.sh(3, "ls /tmpfs")), (["n"], (0, "")),
    "is not there, as for a container: the root below it is")
is_(put_tar(p, "/proc", archive(entry("n", b"1"))), (0, ""), "/proc is a folder of the root")
is_(os.listdir(root + "/proc"), ["n"], "and no procfs")
is_(put_tar(p, "/none", archive(entry("n", b"1"))),
    (2, "Could not find the file /none in container box"), "nothing that is there")
is_(put_tar(p, "/m/s", archive(entry("n"))), (22, "extraction point is not a directory"), "a file")
is_(put_tar(p, "/m/../m/./", archive(entry("dots", b"1"))), (0, ""), "a path with dots")
is_(i.sh(4, "ln -s %s /out; ln -s ../../../../../../%s /rel; ln -s / /top" % (T, T))[0], 0, "links")
is_(put_tar(p, "/out", archive(entry("x", b"x")))[0], 2, "a link out leads nowhere")
is_(put_tar(p, "/rel", archive(entry("x", b"x")))[0], 2, "nor does one of dots")
is_(put_tar(p, "/top/m", archive(entry("in", b"x"))), (0, ""), "a link inside is followed")
check(os.path.exists(root + "/m/in"), "to where it leads")

# -------------------------------------------------------------------- what is refused
for what, entries, says in (
        ("..", [entry("../x", b"x")], "../x"),
        ("below a link", [entry("out/x", b"x")], "out/x"),
        ("a hard link out", [entry("h", kind=tarfile.LNKTYPE, link="../../" + T + "/secret")], '"h"'),
        ("a hard link through a link", [entry("h", kind=tarfile.LNKTYPE, link="out/secret")], '"h"'),
        ("a whiteout", [entry("w", kind=tarfile.CHRTYPE, devmajor=0, devminor=0)], '"w"'),
        ("a file as the folder", [entry("./", b"x")], "copied to")):
    error = put_tar(p, "/", archive(*entries))
    check(error[0] == 22 and says in error[1], "refused, by its name: " + what, error)
is_(open(T + "/secret").read(), "init's own\n", "nothing of init's was touched")
is_(put_tar(p, "/", archive(entry("m", b"a file")), [(GF_FLAGS, GUEST_COPY_KEEP_KINDS)]),
    (22, '"m": cannot overwrite directory "m" with non-directory'), "kinds are kept")
is_(put_tar(p, "/", archive(entry("m", b"a file"))), (0, ""), "unless not asked to")
check(os.path.isfile(root + "/m"), "a file in a folder's place")
is_(put_tar(p, "/", archive(*[entry("e%d" % n) for n in range(9)]), entries=8)[0], 27, "too many entries")
is_(put_tar(p, "/vol", archive(entry("u", b"1", uid=5)), [(GF_USER, "u")]), (0, ""), "to the user")
is_((os.stat(T + "/vol/u").st_uid, os.stat(T + "/vol/u").st_gid), (1000, 1001), "whose it becomes")
like(put_tar(p, "/vol", archive(entry("u")), [(GF_USER, "nobody-such")])[1], "nobody-such", "whom it has not")
is_(put_tar(p, "/vol", b"no tar at all" * 100)[0], 22, "rubbish")
is_(put_tar(p, "/vol", archive(entry("cut", b"x" * 9000))[:5000])[0], 22, "cut off")
check(not os.path.exists(T + "/vol/cut"), "half a file is none")

# ------------------------------------------------------------------- malformed, cut off
for what, data in (("a piece that is too long", struct.pack("<I", 65537)),
                   ("no fields", piece(b"x" * 20)), ("no place", piece(b"")),
                   ("a field of another's", piece(fields([(GF_ARG, "x")]))),
                   ("a mount of another kind", piece(head("/", [(GF_MOUNT, [
                       (GF_TARGET, "/a"), (GF_FSTYPE, "tmpfs")])]))),
                   ("a mount with a way out", piece(head("/", [(GF_MOUNT, [
                       (GF_TARGET, "/../a"), (GF_FSTYPE, "none")])]))),
                   ("unknown flags", piece(head("/", [(GF_FLAGS, 8)])))):
    is_(put_raw(p, data)[0], 71, what + " is refused")
n, sock, _ = begin(p)
sock.sendall(piece(head("/vol")) + piece(archive(entry("half", b"x" * 50000))[:20000]))
check(wait_for(LIMIT_S, lambda: os.path.exists(T + "/vol/half")), "a copy is under way")
sock.close()
check(p.status(n) > 0, "it ends when its stream does")
check(not os.path.exists(T + "/vol/half"), "without half a file")
streams = [begin(p) for _ in range(GUEST_COPIES_MAX)]
is_([e[2][0] for e in streams], [0] * GUEST_COPIES_MAX, "several at a time")
is_(begin(p)[2][0], 16, "but not without end")
is_(i.sh(5, "ls / | grep -c copy; ps | grep -c init")[1].split()[:1], ["0"], "the container goes on")
p.call(GUEST_SIGNAL, [(GF_PROCESS, streams[0][0]), (GF_SIGNO, 9)])
is_(p.status(streams[0][0]), 137, "one can be killed")
for n, sock, _ in streams:
    sock.close()
for n, _, _ in streams:
    p.status(n)
is_(put_tar(p, "/vol", archive(entry("after", b"1"))), (0, ""), "and then there is room again")

# ------------------------------------------------------------- mounts that come and go
def live(kind, target, fstype="none", inode=None, more=(), answered=True):
    LAST[0] += 1
    seq = p.ask(kind, [(GF_PROCESS, LAST[0]), (GF_STREAMS, 0),
                       (GF_MOUNT, [(GF_TARGET, target), (GF_FSTYPE, fstype)] + list(more))] +
                ([(GF_NUMBER, inode)] if inode else []))
    return p.answer(seq)[:2] if answered else seq


is_(live(GUEST_MOUNT, "/live/tm", "tmpfs", more=[(GF_DATA, "size=64k,mode=1770")]), (0, ""), "a tmpfs comes")
is_(i.sh(6, "stat -c %a /live/tm; grep -c ' /live/tm tmpfs.*size=64k' /proc/mounts"), (0, "1770\n1\n"),
    "with its options")
is_(live(GUEST_UNMOUNT, "/live/tm", "tmpfs"), (0, ""), "and goes")
is_(i.sh(7, "grep -c /live/tm /proc/mounts"), (1, "0\n"), "from the container")
is_(live(GUEST_UNMOUNT, "/live/tm", "tmpfs")[0], 22, "once")
is_(live(GUEST_UNMOUNT, "/live/none", "tmpfs")[0], 2, "a place that is not there")
is_(i.sh(8, "mkdir /place")[0], 0, "a place for the host's")
inode = os.stat(T + "/rov").st_ino
seq = live(GUEST_MOUNT, "/place", inode=inode, answered=False)
is_(i.sh(9, "mount -o bind /rov /place")[0], 0, "which it mounts there")
is_(p.answer(seq)[:2], (0, ""), "is seen")
seq = live(GUEST_UNMOUNT, "/place", inode=inode, answered=False)
is_(i.sh(10, "umount /place")[0], 0, "which it takes away")
is_(p.answer(seq)[:2], (0, ""), "is seen, too")
is_([live(GUEST_MOUNT, "/x", "ext4")[0], live(GUEST_MOUNT, "/x")[0], live(GUEST_MOUNT, "/../x", "tmpfs")[0],
     p.call(GUEST_MOUNT, [(GF_PROCESS, 5000)])[0]], [71] * 4, "what makes no sense is refused")

# -------------------------------------------------------------------- with isola-image
def cp_put(path, body, *flags, chunked=False, refuse=None):
    """isola-image cp-put, its way to the guest as the keeper makes it: its last line."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    client, server = socket.socketpair()
    if refuse:
        ours.send(refuse)
    else:
        _, stream, error = begin(p)
        socket.send_fds(ours, [b"s"], [stream.fileno()])
        stream.close()
    ours.close()
    view = {"id": "x" * 64, "name": "box", "write": True, "guest": True, "mapped": True,
            "mounts": [{"target": "/vol", "source": "/", "recursive": True},
                       {"target": "/rov", "source": "/", "read_only": True}],
            "body": {"chunked": chunked, "length": 0 if chunked else len(body)}}
    with open(T + "/spec", "w") as f:
        f.write(json.dumps(view) + "\0")
    proc = subprocess.Popen(
        ["bash", "-c", 'exec "$0" "$@" 3<%s/spec 4<&%d' % (T, its.fileno()), IMAGE, "cp-put",
         *flags, "--", path], stdin=server, stdout=subprocess.PIPE, pass_fds=[its.fileno()])
    its.close()
    server.close()
    return proc, client


def copied(proc, client, body):
    try:
        client.sendall(body)
    except (BrokenPipeError, ConnectionResetError):
        pass
    out = proc.communicate(timeout=LIMIT_S * SCALE)[0].decode()
    client.close()
    o = json.loads(out.splitlines()[-1]) if out else {"errno": -1, "error": "it says nothing"}
    return o.get("errno", 0), o.get("error", "")


def image_put(path, body, *flags, **kw):
    return copied(*cp_put(path, body, *flags, **kw), body)


big = archive(*[entry("t/%d" % n, os.urandom(5000), uid=n) for n in range(300)])
is_(image_put("/", big), (0, ""), "a whole tree through isola-image")
is_((len(os.listdir(root + "/t")), os.stat(root + "/t/7").st_uid), (300, 7), "is there")
import gzip
is_(image_put("/vol", gzip.compress(archive(entry("gz", b"1")))), (0, ""), "one that is compressed")
check(os.path.exists(T + "/vol/gz"), "is there")
data = archive(entry("ch", b"1"))
is_(image_put("/vol", b"%x\r\n" % len(data) + data + b"\r\n0\r\n\r\n", chunked=True), (0, ""),
    "one in chunks")
is_(image_put("/vol", b""), (0, ""), "nothing")
is_(image_put("/rov", big)[0], 30, "the guest's refusal, while it is sent")
is_(image_put("/none", data), (2, "Could not find the file /none in container box"), "its sentence")
is_(image_put("/vol", data, "--owner", "u"), (0, ""), "--owner")
is_(os.stat(T + "/vol/ch").st_uid, 1000, "is looked up in the container")
is_(image_put("/vol", data, refuse=b"16 the container is paused, and its guest with it"),
    (16, "the container is paused, and its guest with it"), "the keeper's refusal")
is_(image_put("/vol", data, refuse=b"x")[0], 5, "a refusal without a reason")

# both ends die
proc, client = cp_put("/vol", b"x" * 10**7)
client.sendall(archive(entry("cut2", b"x" * 500000))[:300000])
check(wait_for(LIMIT_S, lambda: os.path.exists(T + "/vol/cut2")), "a copy through isola-image")
proc.kill()
proc.communicate()
client.close()
check(wait_for(LIMIT_S, lambda: not os.path.exists(T + "/vol/cut2")),
      "isola-image is killed: half a file is none")
proc, client = cp_put("/vol", b"x" * 10**7)
client.sendall(archive(entry("cut3", b"x" * 500000))[:300000])
check(wait_for(LIMIT_S, lambda: os.path.exists(T + "/vol/cut3")), "another")
client.close()
is_(json.loads(proc.communicate(timeout=LIMIT_S * SCALE)[0].splitlines()[-1])["errno"], 104,
    "the client goes away")
check(wait_for(LIMIT_S, lambda: not os.path.exists(T + "/vol/cut3")), "half a file is none")
proc, client = cp_put("/vol", b"x" * 10**7)
client.sendall(archive(entry("cut4", b"x" * 500000))[:300000])
check(wait_for(LIMIT_S, lambda: os.path.exists(T + "/vol/cut4")), "and another")
i.proc.kill()
o = json.loads(proc.communicate(timeout=LIMIT_S * SCALE)[0].splitlines()[-1])
is_((o["errno"], o["error"]), (16, "the container has ended meanwhile"), "the guest dies")
client.close()
i.stop()

# --------------------------------------------------------------------- a guest that lies
def take(sock, size):
    out = b""
    while len(out) < size:
        more = sock.recv(size - len(out))
        if not more:
            break
        out += more
    return out


def take_pieces(sock):
    """Up to the empty one, or the end."""
    while len(take(sock, struct.unpack("<I", take(sock, 4).ljust(4, b"\0"))[0])):
        pass


def lying(*answer, read=True):
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    a, b = socket.socketpair()
    client, server = socket.socketpair()
    socket.send_fds(ours, [b"s"], [b.fileno()])
    b.close()
    with open(T + "/spec", "w") as f:
        f.write(json.dumps({"id": "x", "name": "box", "write": True, "guest": True, "mounts": [],
                            "body": {"chunked": False, "length": len(data)}}) + "\0")
    proc = subprocess.Popen(
        ["bash", "-c", 'exec "$0" "$@" 3<%s/spec 4<&%d' % (T, its.fileno()), IMAGE, "cp-put",
         "--", "/vol"], stdin=server, stdout=subprocess.PIPE, pass_fds=[its.fileno()])
    its.close()
    server.close()
    ours.close()
    if read:            # all that it sends, so that the answer is in its place
        client.sendall(data)
        a.settimeout(LIMIT_S * SCALE)
        take_pieces(a)
    for part in answer:
        a.sendall(part)
    a.close()
    got = copied(proc, client, b"" if read else data)
    return got


SENSE = (71, "the guest answered with what makes no sense")
is_(lying(piece(b"")), (0, ""), "a guest that says yes")
is_(lying(piece(fields([(GF_ERROR, 28), (GF_TEXT, "full\x1b[2J")]))), (28, "full?[2J"),
    "its text does not reach the terminal as it is")
is_(lying(piece(b"x" * 9)), SENSE, "no fields")
is_(lying(struct.pack("<I", 2**31)), SENSE, "too much")
is_(lying(piece(fields([(GF_ERROR, 0), (GF_TEXT, "x")]))), SENSE, "no error")
is_(lying(piece(fields([(GF_ERROR, 2**40), (GF_TEXT, "x")]))), SENSE, "a strange one")
is_(lying(piece(fields([(GF_ERROR, 5)]))), SENSE, "without a sentence")
is_(lying(b"\0\0")[0], 16, "half an answer")
is_(lying()[0], 16, "none")
is_(lying(piece(b""), read=False), (71, "the guest took only a part of the archive"),
    "yes before it has read all")

# ----------------------------------------------------------------- a root that is read-only
j = Init(root, binds(read_only_root=True))
is_(j.run(1, "sleep", "1000")[:2], (0, ""), "a root that is read-only")
is_(put_tar(j.peer, "/", archive(entry("ro", b"1"))), (30, "container rootfs is marked read-only"),
    "takes no copy")
is_(put_tar(j.peer, "/vol", archive(entry("rw", b"1"))), (0, ""), "a bind on it does")
j.stop()
finish()
