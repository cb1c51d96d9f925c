# SPDX-License-Identifier: Apache-2.0
# nested: a Linux guest on emulated AMD-V
# Copies into a running container behind the VM wall: its guest makes the files. What the
# archive's entries may be, and what isola-init refuses, is tests/priv/test_isola_init_copy.py's.
# time limit: 110 s
import io
import os
import sys
import tarfile
import urllib.parse

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from vmlib import *

FLAGS = need_container_guests(root="erofs")
d = need_guests(*FLAGS)
busybox_tar(T + "/root.tar")
d.ctr("import", T + "/root.tar", "busybox")
for name in ("vol", "rov"):
    os.makedirs(T + "/" + name)
T0 = 1234567890


def entry(name, data=b"", kind=tarfile.REGTYPE, link="", **fields):
    t = tarfile.TarInfo(name)
    t.type, t.linkname, t.size = kind, link, len(data)
    t.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
    for k, v in fields.items():
        setattr(t, k, v)
    return t, data


def archive(*entries):
    b = io.BytesIO()
    with tarfile.open(fileobj=b, mode="w", format=tarfile.PAX_FORMAT) as t:
        for head, data in entries:
            t.addfile(head, io.BytesIO(data))
    return b.getvalue()


def q(**params):
    return "?" + urllib.parse.urlencode(params)


def put(path, data, name="box", **query):
    status, _, body = d.request("PUT", "/containers/%s/archive%s" % (name, q(path=path, **query)),
                                data, headers={"Content-Type": "application/x-tar"})
    return status, body["message"] if isinstance(body, dict) and "message" in body else ""


def begin_put(name):
    """A copy of a large file of which only a half comes: its connection."""
    c = d.connection()
    c.connect()
    c.sock.sendall(("PUT /containers/box/archive?path=/vol HTTP/1.1\r\nHost: x\r\n"
                    "Content-Length: 900000\r\n\r\n").encode() +
                   archive(entry(name, b"x" * 800000))[:400000])
    check(wait_for(60, lambda: os.path.exists(T + "/vol/" + name)), "a copy is under way")
    return c


def sh(script, name="box"):
    r = d.ctr("exec", name, "sh", "-c", script, limit_s=60)
    return r.out if r.rc == 0 else (r.rc, r.out, r.err)


r = d.ctr("run", "-d", "--name", "box", "--isolation", "vm", "--network", "none", "--tmpfs", "/tm",
          "-v", T + "/vol:/vol", "-v", T + "/rov:/rov:ro", "busybox", "sleep", "1000", limit_s=60)
if not check(r.rc == 0, "one runs", r):
    diag(d.log_tail())
    finish()
leak_mark()     # the initramfs is made with the first

one = archive(entry("m/", kind=tarfile.DIRTYPE, mode=0o1750, uid=7, gid=8, mtime=T0),
              entry("m/s", b"set", mode=0o6755, uid=1000, gid=1001, mtime=T0),
              entry("m/h", kind=tarfile.LNKTYPE, link="m/s"),
              entry("m/l", kind=tarfile.SYMTYPE, link="/bin"),
              entry("m/p", kind=tarfile.FIFOTYPE, mode=0o600, uid=5, gid=6, mtime=T0),
              entry("m/big", b"0123456789" * 30000),
              entry("m/x", b"l", pax_headers={"SCHILY.xattr.user.k": "v"}))
is_(put("/", one), (200, ""), "an archive with everything")
is_(sh("stat -c '%a %u %g %Y %h' /m/s /m; readlink /m/l; test -p /m/p && wc -c </m/big"),
    "6755 1000 1001 %d 2\n1750 7 8 %d 2\n/bin\n300000\n" % (T0, T0), "is what the container sees, at once")
status, _, data = d.request("GET", "/containers/box/archive" + q(path="/m/x"))
got = tarfile.open(fileobj=io.BytesIO(data)).getmembers()[0] if status == 200 else None
is_(got and got.pax_headers.get("SCHILY.xattr.user.k"), "v", "attributes, and the way out again")
is_((put("/vol", archive(entry("n", b"1", uid=33))), os.stat(T + "/vol/n").st_uid % 65536),
    ((200, ""), 33), "into a bind")
is_(put("/rov", archive(entry("n", b"1"))), (403, "mounted volume is marked read-only"), "one that is read-only")
is_((put("/tm", archive(entry("n", b"1"))), sh("ls /tm")), ((200, ""), ""), "not into a tmpfs")
is_(put("/none", archive(entry("n"))), (404, "Could not find the file /none in container box"), "to nothing")
is_(put("/m/s", archive(entry("n"))), (400, "extraction point is not a directory"), "to a file")
status, text = put("/", archive(entry("m", b"a file")), noOverwriteDirNonDir="1")
check(status == 400 and "cannot overwrite directory" in text, "kinds are kept", (status, text))
status, text = put("/", archive(entry("../x", b"x")))
check(status == 400 and "../x" in text, "names that lead out are refused", (status, text))
is_(put("/", archive(entry("nd", kind=tarfile.BLKTYPE, devmajor=8, devminor=0))), (200, ""), "a device")
is_(sh("ls /nd")[0], 1, "is left out, as for a container")
status, text = put("/", archive(entry("big-id", b"1", uid=70000)))
check(status in (400, 500) and "70000" in text, "no such owner", (status, text))
os.makedirs(T + "/tree/a/b")
for n in range(20):
    with open(T + "/tree/a/b/%d" % n, "w") as f:
        f.write("%d\n" % n)
is_(d.ctr("cp", T + "/tree", "box:/tree", limit_s=60).rc, 0, "cp of a tree")
is_(sh("cat /tree/a/b/* | wc -l"), "20\n", "is there")

# ------------------------------------------- what is in the guest's page cache alone
def first(status, body):
    """The text in the first file of an archive."""
    if status != 200:
        return status, body
    tar = tarfile.open(fileobj=io.BytesIO(body))
    return tar.extractfile(tar.next()).read().rstrip(b"\0").decode()


def map_text(path, words):
    is_(d.ctr("exec", "-d", "box", "sh", "-c", "exec /bin/guestkit map %s '%s' >%s.said" % (path, words, path),
              limit_s=60).rc, 0, "a program maps a file, and writes into it")
    check(wait_for(60, lambda: sh("cat %s.said" % path) == "mapped\n"), "it has", sh("ls -l %s*" % path))


is_(d.ctr("cp", GUESTKIT, "box:/bin/guestkit", limit_s=60).rc, 0, "cp of a program")
map_text("/mm1", "by cp")
status, _, data = d.request("GET", "/containers/box/archive" + q(path="/mm1"))
is_(first(status, data), "by cp", "cp out of it has what was only mapped")
map_text("/vol/mm2", "of a bind")
status, _, data = d.request("GET", "/containers/box/archive" + q(path="/vol/mm2"))
is_(first(status, data), "of a bind", "of a bind, too")
map_text("/mm3", "by commit")
r = d.ctr("commit", "box", "mapped", limit_s=120)
is_(r.rc, 0, "commit", r)
is_(d.ctr("create", "--name", "of", "--isolation", "container", "--network", "none", "mapped", "true").rc, 0,
    "a container of the image")
status, _, data = d.request("GET", "/containers/of/archive" + q(path="/mm3"))
is_(first(status, data), "by commit", "has it as well")
is_(d.ctr("rm", "of").rc, 0, "it goes")

is_(d.ctr("pause", "box").rc, 0, "while it is paused")
status, _, data = d.request("GET", "/containers/box/archive" + q(path="/m/x"))
is_(first(status, data), "l", "it is read as the host has it")
status, text = put("/", archive(entry("paused", b"1")))
check(status == 200 or (status == 409 and "paused" in text), "a copy works, or says why not", (status, text))
is_(d.ctr("unpause", "box").rc, 0, "it goes on")

# ------------------------------------------------------------- a copy that is cut off
c = begin_put("half")
d.stop(signal.SIGKILL)
c.close()
d.start(*FLAGS)
check(wait_for(60, lambda: not os.path.exists(T + "/vol/half")), "isolad is killed: half a file is none")
is_((put("/vol", archive(entry("after", b"1"))), sh("cat /vol/after")), ((200, ""), "1"),
    "and the next isolad copies")
c = begin_put("other")
is_(d.ctr("rm", "-f", "box", limit_s=60).rc, 0, "it does not hold up its container's end")
c.close()
finish()
