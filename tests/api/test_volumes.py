# SPDX-License-Identifier: Apache-2.0
#
# Volumes: made, listed, removed; first files out of the image, owners under user
# namespaces, anonymous ones, --volumes-from, hostile images and volumes, kills of
# isolad in the middle; also with Docker's own client.
# time limit: 300 s
# not in the lab: hundreds of containers, one after the other, under emulation
import io
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)) + "/..")
from lib import *
from wire import *

need_root()
need_program("isolad", "isola-keeper", "isola-image", "ctrctl")
d = start_isolad() or skip_all("isolad does not start")
ENV = dict(os.environ, DOCKER_HOST="unix://" + d.socket, DOCKER_CONFIG=T + "/docker", HOME=T)
VOLUMES = T + "/state/volumes"
OUT = T + "/out"
os.mkdir(OUT)
ANONYMOUS = "com.docker.volume.anonymous"


def entry(tar, name, kind=tarfile.REGTYPE, data=b"", **fields):
    t = tarfile.TarInfo(name)
    t.type, t.size = kind, len(data)
    t.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
    for k, v in fields.items():
        setattr(t, k, v)
    tar.addfile(t, io.BytesIO(data))


def image(name, fill, *changes):
    """busybox and what FILL adds, with VOLUME and the like as CHANGES."""
    tar = busybox_tar(T + "/" + name + ".tar")
    with tarfile.open(tar, "a", format=tarfile.PAX_FORMAT) as t:
        fill(t)
    argv = []
    for c in changes:
        argv += ["-c", c]
    got = d.ctr("import", *argv, tar, name)
    if got.rc:
        raise RuntimeError(got)
    os.unlink(tar)


def files(t):
    entry(t, "data", tarfile.DIRTYPE, mode=0o750, uid=70, gid=71)
    entry(t, "data/a", data=b"first\n", uid=70, gid=71, mode=0o640,
          pax_headers={"SCHILY.xattr.user.note": "kept"})
    entry(t, "data/b", tarfile.LNKTYPE, linkname="data/a")
    entry(t, "data/out", tarfile.SYMTYPE, linkname=OUT)
    entry(t, "data/sub", tarfile.DIRTYPE, uid=70, gid=71)
    entry(t, "data/sub/c", data=b"c\n" * 1000, uid=65535, mode=0o4755)
    entry(t, "data/null", tarfile.CHRTYPE, devmajor=1, devminor=3)
    entry(t, "elsewhere", tarfile.SYMTYPE, linkname="data")


load_image(d, busybox_tar(T + "/root.tar"))
image("filled", files, "CMD [\"sh\"]")
image("declared", files, "CMD [\"sh\"]", "VOLUME /data")
remove(d, start(d, "true"))      # what isolad keeps from its first start on is no leak
leak_mark()


def good(name, got, out=None):
    return check(got.rc == 0 and (out is None or got.out == out), name, "wanted %r\n%s" % (out, got))


def bad(name, got, text, rc=1):
    return check(got.rc == rc and text in got.err, name, "wanted %d %r\n%s" % (rc, text, got))


def ctr(*argv, **kw):
    return d.ctr(*argv, **kw)


def names(*filters):
    argv = []
    for f in filters:
        argv += ["-f", f]
    return sorted(ctr("volume", "ls", "-q", *argv).out.split())


def anonymous():
    return names("label=" + ANONYMOUS)


def data(name, *path):
    return os.path.join(VOLUMES, name, "_data", *path)


def on_disk():
    """Names in the folder, once what is being removed is gone."""
    wait_for(10, lambda: not [n for n in os.listdir(VOLUMES) if n[0] == "."])
    return sorted(os.listdir(VOLUMES))


def clean():
    for line in ctr("ps", "-aq", "--no-trunc").out.split():
        ctr("rm", "-fv", line)
    for n in names():
        ctr("volume", "rm", n)
    return is_(on_disk(), [], "all is cleaned up")


# ------------------------------------------------------------------- the verbs
good("volume create", ctr("volume", "create", "one", "--label", "a=b", "--label", "c"), "one\n")
good("again is the same one", ctr("volume", "create", "one", "--label", "x=y"), "one\n")
good("volume create without a name", ctr("volume", "create"))
is_(len(anonymous()), 1, "it is an anonymous one")
o = json.loads(ctr("volume", "inspect", "one").out)[0]
is_({k: o[k] for k in ("Name", "Driver", "Scope", "Mountpoint", "Labels", "Options")},
    {"Name": "one", "Driver": "local", "Scope": "local", "Mountpoint": data("one"),
     "Labels": {"a": "b", "c": ""}, "Options": None}, "volume inspect")
like(o["CreatedAt"], r"^20\d\d-\d\d-\d\dT", "its time")
st = os.stat(data("one"))
is_((stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid), (0o755, 0, 0), "its folder")
is_(names("name=on"), ["one"], "filter name")
is_(names("name=^o.e$"), ["one"], "which is a regular expression")
is_(names("name=^on$"), [], "and fits or not")
bad("or is none", ctr("volume", "ls", "-f", "name=*"), "filter 'name'")
bad("one that is there gets no size", ctr("volume", "create", "-o", "size=1m", "one"), "already, without a size")
is_(names("label=a=b"), ["one"], "filter label")
is_(names("label=a=x"), [], "filter label with another value")
is_(names("driver=other"), [], "filter driver")
is_(len(names("dangling=true")), 2, "filter dangling")
is_(names("dangling=false"), [], "filter dangling=false")
bad("a filter nobody knows", ctr("volume", "ls", "-f", "x=y"), "filter 'x'")
bad("a filter's odd value", ctr("volume", "ls", "-f", "dangling=maybe"), "dangling")
good("volume ls", ctr("volume", "ls", "-f", "name=one"), None)
good("--format", ctr("volume", "ls", "-f", "name=one", "--format", "{{.Name}} {{.Driver}} {{.Labels}}"),
     "one local a=b,c=\n")
for bad_name in ("..", "x", "a/b", ".hidden", "-x-", "a" * 256, "\u00e9\u00e9"):
    status = d.request("POST", "/volumes/create", {"Name": bad_name})[0]
    is_(status, 400, "name %.10r is refused" % bad_name)
status, _, body = d.request("POST", "/volumes/create", {"Name": "large", "Labels": {"l": "x" * 300000}})
is_(status, 400, "labels that no record holds", body)
bad("a driver there is not", ctr("volume", "create", "-d", "nfs", "x2"), "only local")
bad("-o size", ctr("volume", "create", "-o", "size=much", "x2"), "DriverOpts (--opt): size")
bad("another option", ctr("volume", "create", "-o", "type=tmpfs", "x2"), "'type'")
bad("inspect a missing one", ctr("volume", "inspect", "nope"), "no such volume")
bad("rm a missing one", ctr("volume", "rm", "nope"), "no such volume")
good("rm -f a missing one", ctr("volume", "rm", "-f", "nope"), "nope\n")
good("volume rm", ctr("volume", "rm", "one"), "one\n")
good("prune takes anonymous ones", ctr("volume", "prune", "-f"))
is_(names(), [], "none is left")
ctr("volume", "create", "two")
good("prune leaves named ones", ctr("volume", "prune", "-f"))
is_(names(), ["two"], "it is there")
got = ctr("volume", "prune", "-af")
check("two" in got.out, "prune -a takes them", got)

# ------------------------------------------------- first files, owners, sharing
good("-v makes a volume and fills it",
     ctr("run", "--rm", "-v", "data:/data", "filled", "stat", "-c", "%n %a %u %g", "/data",
         "/data/a", "/data/sub/c"),
     "/data 750 70 71\n/data/a 640 70 71\n/data/sub/c 4755 65535 0\n")
st = os.stat(data("data"))
is_((stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid), (0o750, 70, 71),
    "on the disk it belongs to the container's ids")
is_(sorted(os.listdir(data("data"))), ["a", "b", "out", "sub"], "all but the device came")
is_(os.stat(data("data", "a")).st_ino, os.stat(data("data", "b")).st_ino, "hard links stay")
is_(os.readlink(data("data", "out")), OUT, "links stay links")
is_(os.listdir(OUT), [], "and lead nowhere while copying")
try:
    is_(os.getxattr(data("data", "a"), "user.note"), b"kept", "attributes")
except OSError as e:
    skip("attributes", str(e))
is_(sorted(os.listdir(VOLUMES + "/data")), ["_data", "volume.json"], "nothing else stays")
good("a second time nothing is copied",
     ctr("run", "--rm", "-v", "data:/data", "filled", "sh", "-c", "rm /data/a; echo mine > /data/new"))
good("it is as it was left", ctr("run", "--rm", "-v", "data:/data:ro", "busybox", "ls", "/data"),
     "b\nnew\nout\nsub\n")
bad("ro", ctr("run", "--rm", "-v", "data:/data:ro", "busybox", "touch", "/data/x"),
    "Read-only file system")
good("nocopy", ctr("run", "--rm", "-v", "empty:/data:nocopy", "filled", "ls", "/data"), "")
good("a link of the image is followed within it",
     ctr("run", "--rm", "-v", "linked:/elsewhere", "filled", "ls", "/elsewhere"),
     "a\nb\nout\nsub\n")
good("an emptied volume stays empty at the next start",
     ctr("run", "--name", "again", "-v", "again:/data", "filled", "sh", "-c", "rm -rf /data/*"))
good("start", ctr("start", "again"))
wait_for(10, lambda: "Exited" in ctr("ps", "-a", "--filter", "name=again", "--format", "{{.Status}}").out)
is_(os.listdir(data("again")), [], "it does")


def lines():
    try:
        with open(data("restarted", "n")) as f:
            return f.read()
    except FileNotFoundError:
        return ""


c = start(d, "sh", "-c", "echo x >> /data/n; exec sleep 60", Image="filled",
          HostConfig={"Binds": ["restarted:/data"]})
check(wait_for(10, lambda: lines() == "x\n"), "the first run writes", lines())
good("restart", ctr("restart", "-t", "0", c))
check(wait_for(10, lambda: lines() == "x\nx\n"), "the volume is there again", lines())
remove(d, c)
a = start(d, "sleep", "60", Image="busybox", HostConfig={"Binds": ["shared:/s"]})
b = start(d, "sleep", "60", Image="busybox", HostConfig={"Binds": ["shared:/s"]})
is_(json.loads(ctr("inspect", a).out)[0]["Mounts"],
    [{"Type": "volume", "Name": "shared", "Source": data("shared"), "Destination": "/s",
      "Driver": "local", "Mode": "", "RW": True, "Propagation": ""}], "inspect's Mounts")
maps = [ctr("exec", c, "cat", "/proc/self/uid_map").out for c in (a, b)]
check(maps[0] != maps[1] and "4294967295" not in maps[0], "two containers with different host ids",
      maps)
good("one writes", ctr("exec", a, "sh", "-c", "echo x > /s/f && chown 12:34 /s/f"))
good("the other sees the same owners", ctr("exec", b, "stat", "-c", "%u %g", "/s/f"), "12 34\n")
good("and may change them", ctr("exec", b, "chown", "1:2", "/s/f"))
st = os.stat(data("shared", "f"))
is_((st.st_uid, st.st_gid), (1, 2), "on the disk, too")
good("as does one without a user namespace",
     ctr("run", "--rm", "--userns", "host", "-v", "shared:/s", "busybox", "stat", "-c", "%u", "/s/f"),
     "1\n")
got = ctr("volume", "rm", "shared")
bad("one in use stays", got, "volume is in use")
check(a in got.err and b in got.err, "its users are named", got)
is_(d.request("DELETE", "/volumes/shared")[0], 409, "that is a conflict")
is_(d.request("DELETE", "/volumes/shared?force=1")[0], 409, "with force, too")
is_(names("dangling=false"), ["again", "shared"], "dangling=false")
is_(ctr("ps", "-aq", "--no-trunc", "--filter", "volume=shared").out.split(), [b, a], "ps --filter volume")
df = json.loads(json.dumps(d.request("GET", "/system/df")[2]))["Volumes"]
use = {v["Name"]: v["UsageData"] for v in df}
is_(use["shared"]["RefCount"], 2, "df counts users")
check(use["data"]["Size"] >= 2000, "and bytes", use)
like(ctr("system", "df").out, r"Local Volumes +\d+ +2 ", "system df")
like(ctr("system", "df", "-v").out, r"shared +2 ", "system df -v")
good("cp out of a volume", ctr("cp", a + ":/s/f", T + "/f"))
good("a stopped one's files, too", ctr("cp", "again:/data", T + "/copied"))
clean()

# --------------------------------------------------------------------- --mount
good("--mount type=volume",
     ctr("run", "--rm", "--mount", "type=volume,src=m1,dst=/data,volume-label=k=v", "filled", "cat",
         "/data/a"), "first\n")
is_(json.loads(ctr("volume", "inspect", "m1").out)[0]["Labels"], {"k": "v"}, "its label")
bad("readonly", ctr("run", "--rm", "--mount", "src=m1,dst=/data,readonly", "filled", "touch", "/data/x"),
    "Read-only")
good("volume-nocopy", ctr("run", "--rm", "--mount", "type=volume,src=m2,dst=/data,volume-nocopy",
                          "filled", "ls", "/data"), "")
good("volume-subpath",
     ctr("run", "--rm", "--mount", "type=volume,src=m1,dst=/x,volume-subpath=sub", "busybox", "ls", "/x"),
     "c\n")
bad("a subpath that is missing",
    ctr("run", "--rm", "--mount", "type=volume,src=m1,dst=/x,volume-subpath=nope", "busybox", "ls"),
    "nope", 125)
os.symlink(OUT, data("m1", "evil"))
os.symlink("sub", data("m1", "inner"))
for sub in ("out", "evil", "inner", "evil/.."):
    got = ctr("run", "--rm", "--mount", "type=volume,src=m1,dst=/x,volume-subpath=" + sub, "busybox",
              "ls", "/x")
    check(got.rc == 125, "a subpath through a link is refused: " + sub, got)
bad("an absolute subpath",
    ctr("run", "--rm", "--mount", "type=volume,src=m1,dst=/x,volume-subpath=/etc", "busybox", "ls"),
    "relative", 125)
bad("tmpfs options on a volume",
    ctr("run", "--rm", "--mount", "type=volume,src=m1,dst=/x,tmpfs-size=1m", "busybox", "ls"),
    "TmpfsOptions", 125)
bad("volume-opt", ctr("run", "--rm", "--mount", "type=volume,src=m9,dst=/x,volume-opt=type=nfs",
                      "busybox", "ls"), "'type': only size", 125)
bad("a size for one that is there", ctr("run", "--rm", "--mount", "type=volume,src=m1,dst=/x,volume-opt=size=1m",
                                        "busybox", "ls"), "already, without a size", 125)
bad("-v ...:ro,rw", ctr("run", "--rm", "-v", "m1:/x:ro,rw", "busybox", "true"), "exclude", 125)
bad("bind-recursive=readonly without readonly",
    ctr("run", "--rm", "--mount", "type=bind,src=/tmp,dst=/x,bind-recursive=readonly", "busybox", "true"),
    "need readonly", 125)
good("consistency", ctr("run", "--rm", "--mount", "type=volume,src=m1,dst=/x,consistency=cached", "busybox", "true"))
bad("one nobody knows", ctr("run", "--rm", "--mount", "type=volume,src=m1,dst=/x,consistency=odd", "busybox", "true"),
    "unknown consistency", 125)
good("a place of 2000 folders", ctr("run", "--rm", "-v", "m1:" + "/a" * 2000, "busybox", "echo", "ok"), "ok\n")
good("for a file, too", ctr("run", "--rm", "-v", T + "/root.tar:" + "/a" * 2000, "busybox", "echo", "ok"), "ok\n")
bad("a file onto a folder", ctr("run", "--rm", "-v", T + "/root.tar:/tmp", "busybox", "true"),
    "(/tmp): what is mounted is a file", 125)
bad("a driver there is not", ctr("run", "--rm", "--volume-driver", "nfs", "busybox", "ls"),
    "--volume-driver", 125)
os.makedirs(T + "/deep/in")
good("type=bind, bind-recursive=readonly",
     ctr("run", "--rm", "--mount",
         "type=bind,src=%s/deep,dst=/x,readonly,bind-recursive=readonly" % T, "busybox", "ls", "/x"),
     "in\n")
if run("mount", "-t", "tmpfs", "-o", "mode=1777", "below", T + "/deep/in").rc:
    skip("what is mounted below is read-only, too", "no tmpfs can be mounted")
else:
    bind = "type=bind,src=%s/deep,dst=/x,readonly" % T
    for what, argv, want in [
            ("-v ...:rro", ("-v", T + "/deep:/x:rro"), "no"), ("-v ...:ro", ("-v", T + "/deep:/x:ro"), "no"),
            ("bind-recursive=readonly", ("--mount", bind + ",bind-recursive=readonly"), "no"),
            ("bind-recursive=writable", ("--mount", bind + ",bind-recursive=writable"), "yes"),
            ("-v ... without", ("-v", T + "/deep:/x"), "yes")]:
        got = ctr("run", "--rm", "--user", "0", *argv, "busybox", "sh", "-c",
                  "(echo x >/x/in/new) 2>/dev/null && echo yes || echo no")
        good(what + ": what is mounted below", got, want + "\n")
    good("rro is shown", ctr("create", "--name", "deep", "-v", T + "/deep:/x:rro", "busybox", "true"))
    mount = json.loads(ctr("inspect", "deep").out)[0]["Mounts"][0]
    is_((mount["Mode"], mount["RW"]), ("rro", False), "in inspect")
    ctr("rm", "deep")
    run("umount", T + "/deep/in")
good("type=tmpfs", ctr("run", "--rm", "--mount", "type=tmpfs,dst=/x,tmpfs-size=1m", "busybox", "sh",
                       "-c", "df /x | tail -1 | awk '{print $2}'"), "1024\n")
clean()

# ------------------------------------------------------------------- anonymous
good("-v PATH makes one", ctr("run", "--name", "anon", "-v", "/data", "filled", "ls", "/data"),
     "a\nb\nout\nsub\n")
is_(len(anonymous()), 1, "an anonymous volume")
mount = json.loads(ctr("inspect", "anon").out)[0]["Mounts"][0]
is_((mount["Type"], mount["Name"]), ("volume", anonymous()[0]), "inspect names it")
good("rm keeps it", ctr("rm", "anon"))
is_(len(anonymous()), 1, "it is there")
good("VOLUME of the image makes one", ctr("create", "--name", "decl", "declared"))
is_(len(anonymous()), 2, "another one")
good("it has what the image has", ctr("cp", "decl:/data/a", T + "/a1"))
good("rm -v takes it along", ctr("rm", "-v", "decl"))
is_(len(anonymous()), 1, "it is gone")
good("--rm takes it along", ctr("run", "--rm", "declared", "cat", "/data/a"), "first\n")
check(wait_for(10, lambda: len(anonymous()) == 1), "it is gone, too")
good("a mount of the user's own at the same place", ctr("run", "--rm", "-v", "own:/data", "declared",
                                                       "true"))
is_(len(anonymous()), 1, "hides VOLUME")
good("so does a tmpfs", ctr("run", "--rm", "--tmpfs", "/data", "declared", "ls", "/data"), "")
good("rm -v leaves named ones", ctr("create", "--name", "nn", "-v", "own:/x", "busybox", "true"))
ctr("rm", "-v", "nn")
check("own" in names(), "it does", names())

# --------------------------------------------------------------- --volumes-from
ctr("create", "--name", "donor", "-v", "/scratch", "-v", "own:/own:ro", "-v", OUT + ":/host", "declared",
    "true")
got = ctr("run", "--name", "taker", "--volumes-from", "donor", "busybox", "sh", "-c",
          "cat /data/a; echo t > /scratch/t; touch /host/h; touch /own/x")
check(got.out == "first\n" and "/own/x: Read-only" in got.err, "--volumes-from", got)
is_(os.listdir(OUT), ["h"], "binds come along")
is_([m["Destination"] for m in json.loads(ctr("inspect", "taker").out)[0]["Mounts"]],
    ["/data", "/host", "/own", "/scratch"], "inspect shows them")
bad(":ro", ctr("run", "--rm", "--volumes-from", "donor:ro", "busybox", "touch", "/scratch/x"),
    "Read-only")
got = ctr("run", "--rm", "--volumes-from", "donor", "-v", "new:/scratch", "busybox", "ls", "/scratch")
good("what the request names itself wins", got, "")
bad("a donor there is not", ctr("run", "--rm", "--volumes-from", "nobody", "busybox", "true"), "nobody",
    125)
bad("an odd mode", ctr("run", "--rm", "--volumes-from", "donor:x", "busybox", "true"), "mode 'x'", 125)
n = len(anonymous())
good("rm -v leaves what another one uses", ctr("rm", "-v", "donor"))
is_(len(anonymous()), n, "they are there")
good("the last one takes them along", ctr("rm", "-v", "taker"))
is_(len(anonymous()), n - 2, "they are gone")
os.unlink(OUT + "/h")
clean()

# ---------------------------------------------------------------------- events
since = str(int(time.time()))
ctr("run", "--rm", "-v", "ev:/x:ro", "busybox", "true")
ctr("volume", "rm", "ev")
got = ctr("events", "--since", since, "--until", str(int(time.time()) + 1), "--filter", "volume=ev",
          "--format", "{{.Action}} {{.Actor.ID}} {{index .Actor.Attributes \"driver\"}}")
is_(got.out, "create ev local\nmount ev local\nunmount ev local\ndestroy ev local\n", "events")

# --------------------------------------------------------------- hostile images
def hostile(t):
    entry(t, "link", tarfile.SYMTYPE, linkname=OUT)
    entry(t, "up", tarfile.SYMTYPE, linkname="../../../../../../.." + OUT)
    entry(t, "loop", tarfile.SYMTYPE, linkname="loop")
    entry(t, "file", data=b"x")
    entry(t, "pipe", tarfile.FIFOTYPE)
    deep = "deep"
    for i in range(60):
        deep += "/" + "d" * 60
        entry(t, deep, tarfile.DIRTYPE)
    entry(t, "many", tarfile.DIRTYPE)
    for i in range(2000):
        entry(t, "many/%d" % i, data=b"y" * 100)
    entry(t, "odd", tarfile.DIRTYPE, mode=0, uid=12345678)
    entry(t, "odd/x\ny", data=b"z", uid=3000000000)


image("hostile", hostile)
open(OUT + "/secret", "w").write("host\n")
for path in ("/link", "/up"):
    got = ctr("create", "--name", "hh", "-v", "hv:" + path, "hostile", "true")
    good("%s leads nowhere" % path, got)
    is_(os.listdir(data("hv")), [], "and nothing of the host is copied")
    ctr("rm", "hh")
    ctr("volume", "rm", "hv")
for path in ("/loop", "/file", "/pipe"):
    got = ctr("create", "--name", "hh", "-v", "hv:" + path, "hostile", "true")
    good("%s is no folder" % path, got)
    is_(os.listdir(data("hv")), [], "the volume is empty")
    bad("and a container does not start", ctr("start", "hh"), "") if path == "/loop" else None
    ctr("rm", "hh")
    ctr("volume", "rm", "hv")
good("a deep tree", ctr("create", "--name", "hh", "-v", "hv:/deep", "hostile", "true"))
ctr("rm", "hh")
good("many files", ctr("run", "--rm", "-v", "hv2:/many", "hostile", "sh", "-c", "ls /many | wc -l"),
     "2000\n")
good("odd owners and modes", ctr("create", "--name", "hh", "-v", "hv3:/odd", "hostile", "true"))
is_(os.stat(data("hv3")).st_uid, 12345678, "are kept")
ctr("rm", "hh")
clean()

# --------------------------------------------- more than fits: nothing half-made
small = T + "/small"
os.mkdir(small)
tmpfs = run("mount", "-t", "tmpfs", "-o", "size=256k", "none", small).rc == 0
if tmpfs:
    d.stop()
    # tmpfs in the place of the volumes: the copy of 2000 files cannot fit.
    run("mount", "--bind", small, VOLUMES)
    d.start()
    got = ctr("create", "--name", "full", "-v", "fv:/many", "hostile", "true")
    bad("a full disk is an error", got, "volume fv", 125)
    is_(ctr("ps", "-aq").out, "", "the container is not there")
    check(wait_for(10, lambda: sorted(os.listdir(VOLUMES)) == ["fv"]), "nothing half-made",
          os.listdir(VOLUMES))
    is_(sorted(os.listdir(VOLUMES + "/fv")), ["_data", "volume.json"], "in the volume, either")
    ctr("volume", "rm", "fv")
    d.stop()
    run("umount", VOLUMES)
    run("umount", small)
    d.start()
else:
    skip("a full disk is an error", "no tmpfs can be mounted")

# ------------------------------------------------------------------ at one time
results = []


def at_once(n, call):
    threads = [threading.Thread(target=lambda i=i: results.append(call(i))) for i in range(n)]
    results.clear()
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return results


at_once(16, lambda i: d.request("POST", "/volumes/create", {"Name": "same", "Labels": {"n": str(i)}}))
check(len({json.dumps(r[2], sort_keys=True) for r in results}) == 1 and
      {r[0] for r in results} == {201}, "16 creations of one name make one volume", results[:3])
at_once(8, lambda i: ctr("run", "--rm", "-v", "filled-once:/data", "filled", "cat", "/data/a"))
is_([r.out for r in results], ["first\n"] * 8, "8 first users of one volume see it whole")
at_once(8, lambda i: (ctr("volume", "rm", "same").rc, ctr("volume", "create", "same").rc))
check("same" in names(), "removed and made at one time", names())
clean()

# ------------------------------------------------------------------ kills of isolad
def half_made():
    """What is neither whole nor on its way out, in the folder of volumes."""
    odd = []
    for n in os.listdir(VOLUMES):
        try:
            found = sorted(os.listdir(VOLUMES + "/" + n))
        except FileNotFoundError:       # it went meanwhile
            continue
        if found != ["_data", "volume.json"]:
            odd.append((n, found[:9]))
    return odd


def killed_during(what, delay, *argv):
    p = subprocess.Popen([BUILD + "/ctrctl", "-H", "unix://" + d.socket, *argv],
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(delay)
    d.stop(signal.SIGKILL)
    p.wait()
    return d.start()


for delay in (0.002, 0.01, 0.03, 0.06, 0.12, 0.25):
    good_start = killed_during("create", delay * SCALE, "create", "--name", "kk", "-v", "kv:/many", "-v",
                               "/anon", "hostile", "true")
    check(good_start, "isolad starts after a kill %g s into a create" % delay)
    wait_for(10, lambda: not half_made())
    is_(half_made(), [], "nothing is half-made")
    if ctr("ps", "-aq").out:
        ctr("start", "kk")
        check(wait_for(20, lambda: len(os.listdir(data("kv"))) == 2000),
              "what it had begun is made whole by the start", len(os.listdir(data("kv"))))
    elif "kv" in names():
        check(len(os.listdir(data("kv"))) in (0, 2000), "the volume is whole or empty")
    ctr("rm", "-fv", "kk")
    p = subprocess.Popen([BUILD + "/ctrctl", "-H", "unix://" + d.socket, "volume", "rm", "kv"],
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(delay / 4)
    d.stop(signal.SIGKILL)
    p.wait()
    d.start()
    wait_for(10, lambda: not half_made())
    is_(half_made(), [], "nor after a kill during a rm")
    clean()
cid = start(d, "sleep", "100", Image="declared", HostConfig={"AutoRemove": True})
is_(len(anonymous()), 1, "a --rm container's anonymous volume")
d.stop(signal.SIGKILL)
d.start()
is_(len(anonymous()), 1, "lives on with it")
d.stop(signal.SIGKILL)
pid = json.load(open(T + "/run/%s/keeper.pid" % cid))["pid"]
os.kill(pid, signal.SIGKILL)
wait_for(10, lambda: not is_running(pid))
d.start()
check(wait_for(10, lambda: not anonymous()), "and goes with it, also when nobody saw its end",
      anonymous())
with open(T + "/state/volumes/.new-x", "w"):
    pass
os.makedirs(T + "/state/volumes/broken/_data")
d.stop()
d.start()
check(wait_for(10, lambda: not os.path.exists(T + "/state/volumes/.new-x")), "rubbish is cleared away")
check(os.path.isdir(T + "/state/volumes/broken/_data"), "what is no volume is left alone")
status, _, body = d.request("POST", "/volumes/create", {"Name": "broken"})
is_(status, 409, "and its name is not taken over", body)
shutil.rmtree(T + "/state/volumes/broken")
clean()

# ------------------------------------------------------------- Docker's own client
def with_docker(docker):
    def dk(*argv):
        return run(docker, *argv, env=ENV)
    who = docker + ": "
    minor = int(dk("version", "--format", "{{.Client.APIVersion}}").out.split(".")[1])
    good(who + "volume create", dk("volume", "create", "--label", "x=y", "dv"), "dv\n")
    good(who + "volume ls", dk("volume", "ls", "--format", "{{.Driver}} {{.Name}} {{.Labels}}"),
         "local dv x=y\n")
    good(who + "volume inspect", dk("volume", "inspect", "-f", "{{.Mountpoint}}", "dv"),
         data("dv") + "\n")
    good(who + "run -v", dk("run", "--rm", "-v", "dv:/data", "filled", "cat", "/data/a"), "first\n")
    sub = ",volume-subpath=sub" if minor >= 45 else ""
    good(who + "run --mount", dk("run", "--rm", "--mount", "type=volume,src=dv,dst=/x,readonly" + sub,
                                 "busybox", "ls", "/x"), "c\n" if sub else "a\nb\nout\nsub\n")
    good(who + "create -v /anon", dk("create", "--name", "dc", "-v", "/anon", "-v", "dv:/d", "busybox",
                                     "true"))
    bad(who + "volume rm of one in use", dk("volume", "rm", "dv"), "volume is in use")
    good(who + "run --volumes-from", dk("run", "--rm", "--volumes-from", "dc", "busybox", "ls", "/d"),
         "a\nb\nout\nsub\n")
    like(dk("system", "df").out, r"Local Volumes +2 +2 ", who + "system df")
    good(who + "rm -v", dk("rm", "-v", "dc"))
    is_(names(), ["dv"], who + "the anonymous one went")
    dk("volume", "create")
    got = dk("system", "prune", "-f", "--volumes")
    check(got.rc == 0 and "Deleted Volumes:" in got.out, who + "system prune --volumes", got)
    # Until API 1.42 it meant all of them.
    is_(names(), ["dv"] if minor >= 42 else [], who + "what it takes")
    if minor >= 42:
        got = dk("volume", "prune", "-af")
        check(got.rc == 0 and "dv" in got.out, who + "volume prune -a", got)
    clean()


clients = [p for p in ("/usr/bin/docker", "/usr/local/bin/docker") if os.access(p, os.X_OK)]
for docker in clients:
    with_docker(docker)
if not clients:
    skip("Docker's client", "it is not installed")

leak_check()
stop_isolad()
finish()
