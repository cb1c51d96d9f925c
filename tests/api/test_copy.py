# SPDX-License-Identifier: Apache-2.0
#
# cp both ways, diff and export: what paths mean, owners and modes, stopped and running
# containers, and what hostile containers, archives and clients get.
# time limit: 240 s
import base64
import io
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import tarfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)) + "/..")
from warm import *

H = T + "/host"
os.mkdir(H)


def cp(*argv, **kw):
    return d.ctr("cp", *argv, **kw)


def tree(path):
    """{name: (kind and mode, owner, content)} below PATH."""
    out = {}
    for base, dirs, files in os.walk(path):
        for n in dirs + files:
            p = os.path.join(base, n)
            st = os.lstat(p)
            what = os.readlink(p) if stat.S_ISLNK(st.st_mode) else \
                open(p, "rb").read() if stat.S_ISREG(st.st_mode) else None
            out[os.path.relpath(p, path)] = (stat.filemode(st.st_mode), st.st_uid, what)
    return out


def write(path, text="x\n", mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        f.write(text)
    os.chmod(path, mode)


def put(cid, path, data, **query):
    return d.request("PUT", "/containers/%s/archive%s" % (cid, q(path=path, **query)), data,
                     headers={"Content-Type": "application/x-tar"})


def get(cid, path):
    status, _, data = d.request("GET", "/containers/%s/archive%s" % (cid, q(path=path)))
    return tarfile.open(fileobj=io.BytesIO(data)) if status == 200 else (status, data)


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


def helpers():
    """isola-image processes of this isolad."""
    got = []
    for p in os.listdir("/proc"):
        if p.isdigit():
            try:
                line = open("/proc/%s/cmdline" % p, "rb").read()
                if line.startswith(b"isola-image\0") and T.encode() in line:
                    got.append(int(p))
            except OSError:
                pass
    return got


# ------------------------------------------------------------------ what paths mean

def paths(c, run_it):
    """The table of cp's destinations, for container C; RUN_IT: it runs."""
    who = ("running: " if run_it else "stopped: ")
    write(H + "/f", "file\n", 0o640)
    write(H + "/dir/a", "a\n")
    write(H + "/dir/sub/b", "b\n", 0o4755)
    os.symlink("a", H + "/dir/l") if not os.path.lexists(H + "/dir/l") else None
    good(who + "a file into a folder", cp(H + "/f", c + ":/tmp"))
    good(who + "a file under a new name", cp(H + "/f", c + ":/tmp/g"))
    good(who + "a file over a file", cp(H + "/dir/a", c + ":/tmp/g"))
    bad(who + "a file to a folder that is not there", cp(H + "/f", c + ":/tmp/none/"),
        "no such directory")
    bad(who + "a file below one that is not there", cp(H + "/f", c + ":/tmp/none/f"),
        "Could not find")
    good(who + "a folder into a folder", cp(H + "/dir", c + ":/tmp"))
    good(who + "a folder as a new one", cp(H + "/dir", c + ":/tmp/d2"))
    good(who + "the content of a folder", cp(H + "/dir/.", c + ":/tmp/d2"))
    good(who + "the content of a folder as a new one", cp(H + "/dir/.", c + ":/tmp/d3"))
    bad(who + "a folder over a file", cp(H + "/dir", c + ":/tmp/g"), "cannot copy directory")
    bad(who + "a missing source", cp(H + "/none", c + ":/tmp"), "No such file")
    bad(who + "a file with a slash", cp(H + "/f/", c + ":/tmp"), "ot a directory")
    out = H + "/out"
    run("rm", "-rf", out)
    os.mkdir(out)
    good(who + "a folder out into a folder", cp(c + ":/tmp", out))
    want = {"a": ("-rw-r--r--", 0, b"a\n"), "l": ("lrwxrwxrwx", 0, "a"),
            "sub": ("drwxr-xr-x", 0, None), "sub/b": ("-rwsr-xr-x", 0, b"b\n")}
    got = tree(out + "/tmp")
    for folder in ("dir", "d2", "d3"):
        is_({k[len(folder) + 1:]: v for k, v in got.items() if k.startswith(folder + "/")}, want,
            who + folder + " is what was copied")
    is_((got["f"], got["g"]), (("-rw-r-----", 0, b"file\n"), ("-rw-r--r--", 0, b"a\n")),
        who + "so are the files")
    good(who + "a folder out as a new one", cp(c + ":/tmp/dir", out + "/new"))
    is_(tree(out + "/new"), want, who + "it is what was copied")
    good(who + "content out", cp(c + ":/tmp/dir/.", out + "/new2"))
    is_(tree(out + "/new2"), want, who + "content is what was copied")
    good(who + "a file out", cp(c + ":/tmp/f", out + "/ff"))
    good(who + "a file out over a file", cp(c + ":/tmp/g", out + "/ff"))
    is_(open(out + "/ff").read(), "a\n", who + "the file was replaced")
    bad(who + "a folder out over a file", cp(c + ":/tmp/dir", out + "/ff"), "cannot copy directory")
    bad(who + "out to a folder that is not there", cp(c + ":/tmp/f", out + "/none/"),
        "no such directory")
    bad(who + "nothing out", cp(c + ":/tmp/none", out), "Could not find the file /tmp/none")
    good(who + "a link out", cp(c + ":/tmp/dir/l", out + "/l1"))
    is_(os.readlink(out + "/l1"), "a", who + "a link stays one")
    good(who + "-L", cp("-L", c + ":/tmp/dir/l", out + "/l2"))
    is_(open(out + "/l2").read(), "a\n", who + "-L follows it")
    good(who + "-L into a folder", cp("-L", c + ":/tmp/dir/l", out))
    is_(open(out + "/l").read(), "a\n", who + "-L keeps the link's name")
    good(who + "-L in", cp("-L", H + "/dir/l", c + ":/tmp/fromlink"))
    got = run("sh", "-c", "%s/ctrctl -H %s cp %s:/tmp/dir - | tar -t" % (BUILD, d.socket, c))
    is_(sorted(got.out.split()), ["dir/", "dir/a", "dir/l", "dir/sub/", "dir/sub/b"],
        who + "out as tar")
    got = run("sh", "-c", "tar -C %s -c dir | %s/ctrctl -H %s cp - %s:/root" % (H, BUILD, d.socket, c))
    good(who + "in as tar", got)
    bad(who + "tar to a file", run("sh", "-c", "tar -C %s -c dir | %s/ctrctl -H %s cp - %s:/tmp/f"
                                   % (H, BUILD, d.socket, c)), "must be a directory")
    is_(sorted(x.name for x in get(c, "/root").getmembers()),
        ["root", "root/dir", "root/dir/a", "root/dir/l", "root/dir/sub", "root/dir/sub/b"],
        who + "names in an archive")
    is_(sorted(x.name for x in get(c, "/root/dir/sub/.").getmembers()), [".", "./b"],
        who + "names with /.")
    bad(who + "between containers", cp(c + ":/a", c + ":/b"), "between containers")
    bad(who + "between host paths", cp(H + "/f", H + "/g"), "CONTAINER:PATH")


stopped = create(d, "sleep", "1000", name="st")
running = start(d, "sleep", "1000", name="ru")
paths("st", False)
paths("ru", True)
good("what was copied is there", d.ctr("exec", "ru", "cat", "/tmp/dir/sub/b"), "b\n")
got = d.ctr("start", "st")
good("a container that was copied into starts", got)
good("and has it", d.ctr("exec", "st", "cat", "/tmp/d3/a"), "a\n")
d.ctr("stop", "-t", "0", "st")


# ------------------------------------------------------------------ what is kept

def metadata():
    t = 1234567890
    one = archive(entry("m/", kind=tarfile.DIRTYPE, mode=0o1750, uid=7, gid=8, mtime=t),
                  entry("m/s", b"set", mode=0o6755, uid=1000, gid=1001, mtime=t),
                  entry("m/h", kind=tarfile.LNKTYPE, link="m/s"),
                  entry("m/p", kind=tarfile.FIFOTYPE, mode=0o600, uid=5, gid=6, mtime=t),
                  entry("m/" + "long" * 40, b"l", mtime=t, pax_headers={
                      "mtime": "1234567890.123456789", "SCHILY.xattr.user.k": "v",
                      "SCHILY.xattr.trusted.overlay.opaque": "y",
                      "SCHILY.xattr.user.overlay.opaque": "y"}))
    for c in ("st", "ru"):
        is_(put(c, "/", one)[0], 200, c + ": an archive with everything")
        got = {x.name: x for x in get(c, "/m").getmembers()}
        x = got["m/s"]
        is_((x.mode, x.uid, x.gid, x.mtime), (0o6755, 1000, 1001, t), c + ": mode, owner, time")
        is_((got["m"].mode, got["m"].uid, got["m"].mtime), (0o1750, 7, t), c + ": of a folder")
        is_((got["m/p"].type, got["m/p"].uid), (tarfile.FIFOTYPE, 5), c + ": a FIFO")
        links = sorted(n for n in ("m/s", "m/h") if got[n].islnk())
        is_(len(links), 1, c + ": a hard link")
        x = got["m/" + "long" * 40]
        is_(x.pax_headers.get("mtime"), "1234567890.123456789", c + ": nanoseconds")
        is_((x.pax_headers.get("SCHILY.xattr.user.k"), [k for k in x.pax_headers if "overlay" in k]),
            ("v", []), c + ": attributes, never overlay's")
    is_(d.ctr("exec", "ru", "stat", "-c", "%a %u %g", "/m/s").out, "6755 1000 1001\n",
        "the container sees these owners")
    good("-a keeps owners", cp("-a", "ru:/m/s", H + "/own"))
    st = os.stat(H + "/own")
    is_((st.st_uid, st.st_gid), (1000, 1001), "on the host")
    good("-a in", cp("-a", H + "/own", "ru:/m/own"))
    is_(d.ctr("exec", "ru", "stat", "-c", "%u:%g", "/m/own").out, "1000:1001\n", "and back")
    u = create(d, "true", name="us", User="nobody")
    is_(put("us", "/tmp", archive(entry("x", b"1", uid=5)), copyUIDGID="true")[0], 200, "copyUIDGID")
    is_(get("us", "/tmp/x").getmembers()[0].uid, 65534, "gives it to the container's user")
    remove(d, u)
    status, _, body = put("st", "/tmp", archive(entry("big", b"1", uid=70000)))
    check(status == 400 and b"70000" in json.dumps(body).encode(), "no such owner, stopped", body)
    status, _, body = put("ru", "/tmp", archive(entry("big", b"1", uid=70000)))
    check(status in (400, 500) and b"70000" in json.dumps(body).encode(), "no such owner, running",
          body)


def stat_header():
    for c in ("st", "ru"):
        status, fields, _ = d.request("HEAD", "/containers/%s/archive%s" % (c, q(path="/tmp/dir/l")))
        o = json.loads(base64.b64decode(fields["X-Docker-Container-Path-Stat"]))
        is_((status, o["name"], o["mode"], o["linkTarget"]), (200, "l", 0o777 | 1 << 27, "/tmp/dir/a"),
            c + ": stat of a link")
        o = json.loads(base64.b64decode(d.request(
            "GET", "/containers/%s/archive%s" % (c, q(path="/tmp/dir/sub/b")))[1]
            ["X-Docker-Container-Path-Stat"]))
        is_((o["mode"], o["size"]), (0o755 | 1 << 23, 2), c + ": of a set-id file")
    for method, path, status in (("HEAD", "/none", 404), ("GET", "/none", 404), ("GET", "", 400),
                                 ("GET", "/tmp/f/", 400), ("GET", "/" + "x" * 5000, 400)):
        is_(d.request(method, "/containers/st/archive" + q(path=path))[0], status,
            "%s %.10s is %d" % (method, path, status))
    is_(put("st", "/none", archive(entry("x")))[0], 404, "PUT to nothing")
    is_(put("st", "/tmp/f", archive(entry("x")))[0], 400, "PUT to a file")
    status, _, body = put("st", "/tmp", archive(entry("f/", kind=tarfile.DIRTYPE)),
                          noOverwriteDirNonDir="1")
    check(status == 400 and "cannot overwrite non-directory" in body["message"], "kinds are kept", body)
    is_(put("st", "/tmp", archive(entry("dir", b"now a file")))[0], 200, "unless not asked to")


def read_only():
    write(T + "/vol/in", "bound\n")
    write(T + "/rov/in", "bound\n")
    c = start(d, "sleep", "1000", name="ro", HostConfig={
        "ReadonlyRootfs": True, "Binds": [T + "/vol:/vol", T + "/rov:/rov:ro"]})
    for state in ("running", "stopped"):
        for path, text in (("/", "rootfs is marked read-only"), ("/rov", "volume is marked read-only")):
            status, _, body = put("ro", path, archive(entry("n", b"1")))
            check(status == 403 and text in body["message"], "%s: %s is 403" % (state, path), body)
        is_(put("ro", "/vol", archive(entry("n-" + state, b"1", uid=33)))[0], 200,
            state + ": into a bind")
        is_(os.stat(T + "/vol/n-" + state).st_uid, 33, state + ": owned as inside")
        is_(get("ro", "/rov/in").getmembers()[0].uid, 0, state + ": out of a bind")
        is_(sorted(x.name for x in get("ro", "/vol").getmembers())[:2], ["vol", "vol/in"],
            state + ": a bind is a folder")
        d.ctr("stop", "-t", "0", "ro")
    remove(d, c)


def differences():
    is_(d.ctr("diff", "ru").out.splitlines()[0], "A /m", "diff begins with what was added")
    c = start(d, "sh", "-c", "rm /etc/group; echo x >>/etc/passwd; mkdir /n; touch /n/f; "
              "chmod 700 /root; rm -r /var; mkdir /var; exec sleep 1000", name="df")
    pid = state(d, c)["Pid"]
    wait_for(10, lambda: open("/proc/%d/cmdline" % pid).read() == "sleep\0001000\0")   # its last word
    want = ["C /etc", "D /etc/group", "C /etc/passwd", "A /n", "A /n/f", "C /root"]
    is_(d.ctr("diff", "df").out.splitlines(), want, "diff of a running container")
    d.ctr("stop", "-t", "0", "df")
    is_(d.ctr("diff", "df").out.splitlines(), want, "diff of a stopped one")
    o = d.request("GET", "/containers/df/changes")[2]
    is_(o[1], {"Path": "/etc/group", "Kind": 2}, "Docker's kinds")
    good("export", d.ctr("export", "-o", H + "/x.tar", "df"))
    names = tarfile.open(H + "/x.tar").getnames()
    check("n/f" in names and "etc/group" not in names and "bin/busybox" in names, "what export has",
          names[:20])
    check(not os.path.exists(H + "/x.tar.part"), "nothing half-written")
    bad("export to nowhere", d.ctr("export", "-o", H + "/none/x", "df"), "No such file")
    remove(d, c)
    e = create(d, "true", name="em")
    is_(d.request("GET", "/containers/em/changes")[2], [], "nothing changed")
    remove(d, e)
    for path in ("changes", "export"):
        is_(d.request("GET", "/containers/none/" + path)[0], 404, path + " of nothing")


# ------------------------------------------------------------------ hostile

def hostile_links():
    write(T + "/secret", "host\n")
    c = start(d, "sh", "-c", "ln -s %s /abs; ln -s ../../../../../..%s /rel; ln -s / /top; "
              "ln -s %s /dirlink; ln -s /proc/self/root /magic; mkfifo /fifo; ln -s loop /loop; "
              "touch /ready; exec sleep 1000" % (T + "/secret", T + "/secret", T), name="ho")
    wait_for(10, lambda: d.ctr("exec", "ho", "test", "-e", "/ready").rc == 0)
    for link in ("abs", "rel"):
        x = get("ho", "/" + link).getmembers()
        is_([(m.name, m.issym()) for m in x], [(link, True)], link + " is only a link")
        bad("-L through " + link, cp("-L", "ho:/" + link, H + "/stolen"), "Could not find")
    status, data = get("ho", "/dirlink/")
    is_(status, 404, "a link to a folder of the host leads nowhere")
    status, data = get("ho", "/magic/etc/passwd")
    is_(status, 404, "nor does one to /proc/self/root")
    is_(get("ho", "/loop/x")[0] in (400, 500), True, "a loop of links is an error")
    is_(get("ho", "/top/bin/sh").getnames(), ["sh"], "a link inside is followed")
    is_(get("ho", "/fifo").getmembers()[0].type, tarfile.FIFOTYPE, "a FIFO is not opened")
    names = get("ho", "/proc").getnames()
    is_(names, ["proc"], "the container's /proc is not there")
    for path in ("/abs", "/dirlink", "/top/dirlink"):
        status, _, body = put("ho", path, archive(entry("x", b"x")))
        check(status in (400, 404), "PUT to %s" % path, body)
    for what, entries in {
            "..": [entry("../x", b"x")], "a/../../x": [entry("a/../../x", b"x")],
            "below a link": [entry("dirlink/x", b"x")],
            "below a link of its own": [entry("n", kind=tarfile.SYMTYPE, link=T), entry("n/x", b"x")],
            "a hard link out": [entry("h", kind=tarfile.LNKTYPE, link="../../" + T + "/secret")],
            "a hard link through a link": [entry("h", kind=tarfile.LNKTYPE, link="dirlink/secret")],
            "a whiteout": [entry("w", kind=tarfile.CHRTYPE, devmajor=0, devminor=0)],
            "a file as the folder": [entry("./", b"x")]}.items():
        status, _, body = put("ho", "/", archive(*entries))
        check(status == 400, "refused: " + what, (status, body))
    is_(put("ho", "/", archive(entry("dev", kind=tarfile.DIRTYPE), entry(
        "nd", kind=tarfile.BLKTYPE, devmajor=8, devminor=0)))[0], 200, "a device is left out")
    is_(get("ho", "/nd")[0], 404, "it is not there")
    is_(put("st", "/tmp", archive(entry("nd", kind=tarfile.BLKTYPE, devmajor=8, devminor=0)))[0], 200,
        "also into a stopped container")
    is_(get("st", "/tmp/nd")[0], 404, "a device is left out")
    is_(put("ho", "/", archive(entry("abs", b"through?")))[0], 200, "a file over a link")
    is_(open(T + "/secret").read(), "host\n", "replaces the link")
    is_(put("ho", "/", b"no tar at all" * 100)[0], 400, "rubbish")
    is_(put("ho", "/", archive(entry("cut", b"x" * 9000))[:5000])[0], 400, "cut off")
    is_(put("ho", "/", b"")[0], 200, "nothing")
    remove(d, c)


def programs():
    """Nothing of the container is run or mapped while files are copied."""
    c = start(d, "sh", "-c", "for p in tar gzip xz unpigz; do printf '#!/bin/sh\\ntouch /ran\\n' "
              ">/bin/$p.n; chmod 755 /bin/$p.n; mv /bin/$p.n /bin/$p; done; touch /ready; "
              "exec sleep 1000", name="pr")
    wait_for(10, lambda: d.ctr("exec", "pr", "test", "-e", "/ready").rc == 0)
    b = io.BytesIO()
    with tarfile.open(fileobj=b, mode="w:gz") as t:
        t.addfile(*[(h, io.BytesIO(x)) for h, x in [entry("z", b"zip")]][0])
    is_(put("pr", "/tmp", b.getvalue())[0], 200, "a compressed archive")
    get("pr", "/etc")
    is_(d.ctr("exec", "pr", "test", "-e", "/ran").rc, 1, "no program of the container ran")
    remove(d, c)


def races():
    """The container swaps folders for links while files go in and out."""
    c = start(d, "sh", "-c", "mkdir /r /r/a; ln -s %s /evil; touch /ready; while :; do "
              "mv /r/a /r/b; cp -a /evil /r/a; rm /r/a; mv /r/b /r/a; done 2>/dev/null" % T, name="ra")
    wait_for(10, lambda: d.ctr("exec", "ra", "test", "-e", "/ready").rc == 0)
    before = sorted(os.listdir(T))
    one = archive(entry("a/", kind=tarfile.DIRTYPE), entry("a/planted", b"x"))
    end, last = time.monotonic() + 4, time.monotonic() + 60 * SCALE
    n = 0
    while time.monotonic() < end or n < 6 and time.monotonic() < last:
        put("ra", "/r", one)
        put("ra", "/r/a", archive(entry("planted", b"x")))
        got = get("ra", "/r/a/")
        if not isinstance(got, tuple) and any("secret" in x for x in got.getnames()):
            not_ok("the host's files never come out", got.getnames())
        n += 1
    check(n > 5, "copied while it raced (%d times)" % n)
    is_(sorted(os.listdir(T)), before, "nothing was planted on the host")
    remove(d, c)


# ------------------------------------------------------------------ ends

def vanishing():
    run("sh", "-c", "head -c 200M /dev/zero >%s/big" % H)
    cp(H + "/big", "ru:/big", limit_s=60)
    with Wire(d) as w:
        w.ask("GET", "/containers/ru/archive?path=/big")
        w.head()
        check(wait_for(5, helpers), "a helper is at work")
    check(wait_for(10, lambda: not helpers()), "it ends with its client")
    for c in ("st", "ru"):
        with Wire(d) as w:
            w.send("PUT /containers/%s/archive?path=/tmp HTTP/1.1\r\nHost: x\r\n"
                   "Content-Length: 100000\r\n\r\n" % c)
            w.send(archive(entry("half", b"h" * 50000))[:20000])
            check(wait_for(5, helpers), c + ": a helper waits for the rest")
        check(wait_for(10, lambda: not helpers()), c + ": and ends with its client")
    good("the container starts afterwards", d.ctr("start", "st"))
    d.ctr("stop", "-t", "0", "st")
    with Wire(d) as w:
        w.ask("GET", "/containers/ru/archive?path=/big")
        w.head()
        wait_for(5, helpers)
        for pid in helpers():
            os.kill(pid, signal.SIGKILL)
        data = b""
        while w.more():
            pass
        check(not w.buffer.endswith(b"0\r\n\r\n"), "a killed helper's answer has no end")
    got = []
    with Wire(d) as w:
        w.send("PUT /containers/st/archive?path=/tmp HTTP/1.1\r\nHost: x\r\n"
               "Transfer-Encoding: chunked\r\n\r\n")
        check(wait_for(5, helpers), "a helper waits for chunks")
        t = threading.Thread(target=lambda: got.append(d.ctr("start", "st")))
        t.start()
        time.sleep(0.5)
        check(t.is_alive(), "a start waits for the copy")
        for pid in helpers():
            os.kill(pid, signal.SIGKILL)
        is_(w.head()[0], 500, "the client of a killed helper is told")
        t.join(20)
    check(got and got[0].rc == 0, "and the start goes on", got)
    with Wire(d) as w:
        w.send("PUT /containers/st/archive?path=/tmp HTTP/1.1\r\nHost: x\r\n"
               "Transfer-Encoding: chunked\r\n\r\n")
        wait_for(5, helpers)
        good("a container being copied into is removed", d.ctr("rm", "-f", "st"))
        check(w.head()[0] in (409, 500), "its client is told")
    check(wait_for(10, lambda: not helpers()), "and nobody works on it")


def framing():
    c = create(d, "true", name="fr")
    one = archive(entry("x", b"x" * 3000))
    head = "PUT /containers/fr/archive?path=/tmp HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    for step in (1, 7, 1000):
        with Wire(d) as w:
            body = b"".join(b"%x;ext=1\r\n%s\r\n" % (len(one[i:i + 2000]), one[i:i + 2000])
                            for i in range(0, len(one), 2000)) + b"0\r\nTrailer: x\r\n\r\n"
            data = head.encode() + body
            for i in range(0, len(data), step if step > 1 else 499):
                w.send(data[i:i + (step if step > 1 else 499)])
            is_(w.head()[0], 200, "chunks in pieces of %d" % step)
    for text in ("zz\r\n", "-1\r\n", "ffffffffffffffffff\r\n", "5\r\nabcdefgh\r\n"):
        with Wire(d) as w:
            w.send(head + text)
            check(w.head()[0] in (400, 500), "a bad chunk: %r" % text)
    remove(d, c)


def full_disk():
    os.makedirs(T + "/small", exist_ok=True)
    run("mount", "-t", "tmpfs", "-o", "size=1m", "none", T + "/small")
    try:
        # older kernels have no idmapped tmpfs
        c = start(d, "sleep", "1000", name="fu", HostConfig={
            "Binds": [T + "/small:/s"], "UsernsMode": "host", "NetworkMode": "none"})
        status, _, body = put("fu", "/s", archive(entry("x", b"x" * (2 << 20))))
        check(status == 500 and "No space left" in body["message"], "a full disk is told", body)
        is_(put("fu", "/s", archive(entry("y", b"y" * 100)))[0], 200, "a small file has room")
        remove(d, c)
    finally:
        run("umount", T + "/small")


for chapter in (metadata, stat_header, read_only, differences, hostile_links, programs, races,
                framing, vanishing, full_disk):
    try:
        chapter()
    except Exception as e:     # one broken chapter must not hide the others
        not_ok(chapter.__name__, "%s: %s" % (type(e).__name__, e))
for c in d.ctr("ps", "-aq").out.split():
    remove(d, c)
leak_check()
stop_isolad()
finish()
