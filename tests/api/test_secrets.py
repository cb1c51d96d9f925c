# SPDX-License-Identifier: Apache-2.0
#
# Secrets and configs of a container: what is inside, that their bytes are on no disk, in no
# answer, no archive, no image; restarts, kills, reboots.
# time limit: 120 s
# not in the lab: forty containers, one after the other, under emulation
import base64
import json
import os
import shutil
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)) + "/..")
from lib import *
from wire import *

need_root()
need_program("isolad", "isola-keeper", "isola-image", "ctrctl")
TEXT = "vErYsEcReT-" + os.urandom(8).hex()
CONFIG = "cOnFiG-" + os.urandom(8).hex()
os.mkdir(T + "/run")
os.mkdir(T + "/mem")
for where in ("/run", "/mem"):
    if run("mount", "-t", "tmpfs", "none", T + where).rc:
        skip_all("no tmpfs can be mounted")
with open(T + "/mem/secret", "w") as f:
    f.write(TEXT)
d = start_isolad() or skip_all("isolad does not start")
load_image(d, busybox_tar(T + "/root.tar"))
remove(d, start(d, "true"))
leak_mark()
SECRET = "id=pass,src=%s/mem/secret" % T
ENV = dict(os.environ, TOKEN=CONFIG)


def ctr(*argv, **kw):
    return d.ctr(*argv, **kw)


def good(name, got, out=None):
    return check(got.rc == 0 and (out is None or got.out == out), name, "wanted %r\n%s" % (out, got))


def bad(name, got, text, rc=125):
    return check(got.rc == rc and text in got.err, name, "wanted %d %r\n%s" % (rc, text, got))


def found_in(folder, *texts):
    """Files below FOLDER that hold one of TEXTS, as they are or in base64."""
    wanted = []
    for t in texts:
        wanted += [t.encode()] + [base64.b64encode(b"xx"[:i] + t.encode())[4:-4] for i in range(3)]
    hits = []
    for at, _, names in os.walk(folder):
        for n in names:
            p = os.path.join(at, n)
            if not os.path.isfile(p) or os.path.islink(p):
                continue
            with open(p, "rb") as f:
                data = f.read()
            if any(w in data for w in wanted):
                hits.append(p)
    return hits


# ------------------------------------------------------------------------ inside
good("a secret is a file", ctr("run", "--rm", "--secret", SECRET, "busybox", "cat", "/run/secrets/pass"), TEXT)
good("of the container's root, which all may read",
     ctr("run", "--rm", "--secret", SECRET, "busybox", "stat", "-c", "%u:%g:%a:%s", "/run/secrets/pass"),
     "0:0:444:%d\n" % len(TEXT))
good("owner, mode and place can be chosen",
     ctr("run", "--rm", "--secret", SECRET + ",target=/etc/deep/key,uid=33,gid=44,mode=0400", "busybox",
         "stat", "-c", "%u:%g:%a", "/etc/deep/key"), "33:44:400\n")
good("who it belongs to can read it, others not",
     ctr("run", "--rm", "--user", "34", "--secret", SECRET + ",uid=33,mode=0400", "busybox", "sh", "-c",
         "cat /run/secrets/pass 2>/dev/null || echo no"), "no\n")
good("it cannot be written or unmounted",
     ctr("run", "--rm", "--secret", SECRET, "busybox", "sh", "-c",
         "(echo x > /run/secrets/pass; rm /run/secrets/pass; umount /run/secrets/pass) 2>/dev/null; "
         "cat /run/secrets/pass"), TEXT)
good("it is on a ramfs", ctr("run", "--rm", "--secret", SECRET, "busybox", "grep", "-c",
                             " /run/secrets/pass ramfs ro,nosuid,nodev,noexec", "/proc/mounts"), "1\n")
good("nothing else of its file system is there",
     ctr("run", "--rm", "--secret", SECRET, "busybox", "grep", "-c", "ramfs", "/proc/mounts"), "1\n")
good("a config, out of a variable",
     ctr("run", "--rm", "--config", "id=app.conf,env=TOKEN", "busybox", "cat", "/app.conf", env=ENV), CONFIG)
good("several, on top of memory, on a read-only root",
     ctr("run", "--rm", "--read-only", "--tmpfs", "/run", "--secret", SECRET, "--secret",
         SECRET.replace("pass", "two", 1), "busybox", "cat", "/run/secrets/pass", "/run/secrets/two"), TEXT * 2)
good("without a user namespace",
     ctr("run", "--rm", "--userns", "host", "--secret", SECRET + ",uid=5,mode=400", "busybox", "sh", "-c",
         "stat -c %u:%a /run/secrets/pass; cat /run/secrets/pass"), "5:400\n" + TEXT)
with open(T + "/mem/empty", "w"):
    pass
good("an empty one", ctr("run", "--rm", "--secret", "id=none,src=%s/mem/empty" % T, "busybox", "stat", "-c",
                         "%s", "/run/secrets/none"), "0\n")

# ---------------------------------------------------------------------- refused
for spec, text in (("id=pass", "id and src"), ("src=%s/mem/secret" % T, "id and src"),
                   ("id=pass,src=/nowhere", "/nowhere"), ("id=pass,env=NOT_THERE", "NOT_THERE"),
                   ("id=../x,src=%s/mem/secret" % T, "Name (id)"), (SECRET + ",target=/", "'/'"),
                   (SECRET + ",uid=x", "no number"), (SECRET + ",uid=70000", "Uid"),
                   (SECRET + ",mode=9", "no number"), (SECRET + ",size=1", "unknown option"),
                   ("pass", "key=value")):
    bad("--secret " + spec.replace(T, "T"), ctr("create", "--secret", spec, "busybox"), text)
bad("two at one place", ctr("create", "--secret", SECRET, "--secret", SECRET, "busybox"), "two want the place")
with open(T + "/mem/big", "w") as f:
    f.write("x" * (500 * 1024 + 1))
bad("one that is too large", ctr("create", "--secret", "id=big,src=%s/mem/big" % T, "busybox"), "larger than")


def post(item):
    return d.request("POST", "/containers/create", {"Image": "busybox", "HostConfig": {"Secrets": [item]}})


is_(post({"Name": "pass", "Data": "$$$"})[0], 400, "the API refuses what is no base64")
is_(post({"Name": "pass", "Data": base64.b64encode(b"x" * 600000).decode()})[0], 400, "and too much")
is_(post({"Name": "pass", "Secret": "x"})[0], 400, "and what it does not know")
is_(d.request("GET", "/containers/json?all=1")[2], [], "nothing was made of all these")
check(not os.path.exists(T + "/run/secrets"), "and nothing kept")

# ------------------------------------------------------------- on no disk, in no answer
good("a container", ctr("run", "-d", "--name", "keeps", "--restart", "always", "--secret", SECRET, "--config",
                        "id=app.conf,env=TOKEN", "busybox", "sleep", "1000", env=ENV))
good("has it", ctr("exec", "keeps", "cat", "/run/secrets/pass"), TEXT)
is_(found_in(T + "/state", TEXT, CONFIG), [], "the bytes are in no file of the state folder")
hits = found_in(T + "/run", TEXT, CONFIG)
is_([h.rsplit("/", 1)[1] for h in sorted(hits)], ["c0", "s0"], "in the run folder where they belong", hits)
is_([oct(os.stat(h).st_mode & 0o777) for h in hits], ["0o600"] * 2, "only root may read them")
is_(os.stat(T + "/run/secrets").st_mode & 0o777, 0o700, "nor look into the folder")
with open(d.log) as f:
    check(TEXT not in f.read(), "they are not in the log")
o = ctr("inspect", "keeps")
check(TEXT not in o.out and base64.b64encode(TEXT.encode()).decode() not in o.out, "nor in inspect")
is_(json.loads(o.out)[0]["HostConfig"]["Secrets"],
    [{"Name": "pass", "Target": "/run/secrets/pass", "Uid": 0, "Gid": 0, "Mode": 0o444}], "which shows the rest")
good("export", ctr("export", "-o", T + "/export.tar", "keeps"))
good("commit", ctr("commit", "keeps", "committed"))
good("save", ctr("save", "-o", T + "/save.tar", "committed"))
got = ctr("cp", "keeps:/run/secrets", T + "/copied")
good("diff", ctr("diff", "keeps"))
is_(found_in(T + "/state", TEXT, CONFIG) + [h for h in found_in(T, TEXT, CONFIG) if "/mem/" not in h and "/run/" not in h],
    [], "export, commit, save, cp and diff carry nothing out")
check(not os.path.exists(T + "/copied/pass") or os.stat(T + "/copied/pass").st_size == 0, "a copied one is empty")
good("what was committed has none", ctr("run", "--rm", "committed", "sh", "-c",
                                        "cat /run/secrets/pass /app.conf 2>/dev/null; true"), "")

# ------------------------------------------------------------- restarts, kills, reboots
good("it is started again", ctr("restart", "-t", "0", "keeps"))
good("and has it", ctr("exec", "keeps", "cat", "/run/secrets/pass"), TEXT)
d.stop(signal.SIGKILL)
d.start()
good("after a kill of isolad, and a start,", ctr("restart", "-t", "0", "keeps"))
good("it still has it", ctr("exec", "keeps", "cat", "/run/secrets/pass", "/app.conf"), TEXT + CONFIG)
good("stopped", ctr("stop", "-t", "0", "keeps"))
shutil.rmtree(T + "/run/secrets")          # what a reboot does
bad("after a reboot", ctr("start", "keeps"), "in memory only", 1)
good("removed", ctr("rm", "-f", "keeps"))
good("another", ctr("run", "-d", "--name", "other", "--secret", SECRET, "busybox", "sleep", "1000"))
good("goes", ctr("rm", "-f", "other"))
check(wait_for(10, lambda: not os.path.exists(T + "/run/secrets")), "with its bytes")
good("one with --rm", ctr("run", "-d", "--rm", "--name", "brief", "--secret", SECRET, "busybox", "sleep", "1000"))
os.makedirs(T + "/run/secrets/" + "ab" * 32)
d.stop(signal.SIGKILL)
d.start()
is_(len(os.listdir(T + "/run/secrets")), 1, "what belongs to nobody is swept away at the start")
good("the other goes", ctr("rm", "-f", "brief"))
check(wait_for(10, lambda: not os.path.exists(T + "/run/secrets")), "with the last")
good("the image goes", ctr("rmi", "committed"))
leak_check()
stop_isolad()

# -------------------------------------------------------- a run folder on a disk
other = Isolad(T + "/disk")
check(other.start(), "isolad with its run folder on a disk")
load_image(other, busybox_tar(T + "/root.tar"))
bad("has no secrets", other.ctr("create", "--secret", SECRET, "busybox", "true"), "in memory")
other.stop()
for where in ("/run", "/mem"):
    run("umount", "-l", T + where)
finish()
