# SPDX-License-Identifier: Apache-2.0
# nested: a Linux guest on emulated AMD-V
# Mounts that come to a running container behind the VM wall, and go again: what is there at
# once, in the record, after a kill of isolad, and after a restart; with either root.
# time limit: 200 s
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from vmlib import *

FLAGS = need_container_guests()
d = need_guests(*FLAGS)
busybox_tar(T + "/root.tar")
d.ctr("import", T + "/root.tar", "busybox")
os.makedirs(T + "/host")
with open(T + "/host/note", "w") as f:
    f.write("of the host\n")


def sh(script):
    r = d.ctr("exec", "box", "sh", "-c", script, limit_s=60)
    return r.out if r.rc == 0 else (r.rc, r.out, r.err)


def update(*flags):
    r = d.ctr("update", *flags, "box", limit_s=60)
    return (r.rc, r.out if r.rc == 0 else r.err)


def mounts():
    o = json.loads(d.ctr("inspect", "box").out)[0]
    return sorted((m["Type"], m["Destination"]) for m in o["Mounts"])


def scenario(root):
    r = d.ctr("run", "-d", "--name", "box", "--isolation", "vm", "--network", "none", "-v", "early:/early",
                  "--storage-opt", "root=" + root, "busybox", "sleep", "1000", limit_s=60)
    if not check(r.rc == 0, "one runs", r):
        diag(d.log_tail())
        return
    if root == "virtiofs":
        leak_mark()     # the initramfs is made with the first

    is_(sh("mkdir /bound; ls -A /bound /early"), "/bound:\n\n/early:\n", "it has looked at the places")
    is_(update("--mount-add", "type=volume,src=data,dst=/srv/data", "--mount-add",
               "type=bind,src=%s/host,dst=/bound,readonly" % T), (0, "box\n"), "a volume and a folder come")
    is_(sh("echo hi >/srv/data/f; cat /srv/data/f /bound/note; touch /bound/x 2>/dev/null || echo no"),
        "hi\nof the host\nno\n", "and are there at once, each as it should be")
    is_(open(T + "/state/volumes/data/_data/f").read(), "hi\n", "what it writes is the volume's")
    is_(update("--mount-add", "type=bind,src=%s/host/note,dst=/etc/note" % T), (0, "box\n"), "a file comes")
    is_(sh("cat /etc/note"), "of the host\n", "and is there")
    is_(update("--mount-add", "type=tmpfs,dst=/mem,tmpfs-size=1m,tmpfs-mode=1770"), (0, "box\n"), "a tmpfs")
    is_(sh("stat -c %a /mem; grep -c ' /mem tmpfs.*size=1024k' /proc/mounts"), "1770\n1\n", "with its options")
    r = update("--mount-add", "type=bind,src=%s/host,dst=/sys/x" % T)
    check(r[0] == 1 and "the guest's own" in r[1], "nothing of the host's comes below /sys", r)
    is_(d.ctr("pause", "box").rc, 0, "while it is paused")
    r = update("--mount-rm", "/bound")
    check(r[0] == 1 and "paused" in r[1], "nothing comes or goes", r)
    is_(d.ctr("unpause", "box").rc, 0, "it goes on")
    d.stop(signal.SIGKILL)
    d.start(*FLAGS)
    want = [("bind", "/bound"), ("bind", "/etc/note"), ("volume", "/early"), ("volume", "/srv/data")]
    is_([m for m in mounts() if m[0] != "tmpfs"], want, "isolad is killed: the record has them")
    r = d.ctr("cp", T + "/host/note", "box:/srv/data/copied", limit_s=60)
    is_((r.rc, sh("cat /srv/data/copied")), (0, "of the host\n"), "a copy into one", r)
    is_(d.ctr("cp", "box:/bound/note", T + "/out", limit_s=60).rc, 0, "and out of one")
    r = update("--mount-rm", "/early")
    check(r[0] == 1 and "goes with the next start" in r[1], "what it began with stays until then", r)
    is_(update("--mount-rm", "/bound", "--mount-rm", "/mem"), (0, "box\n"), "some go")
    is_(sh("ls -A /bound; grep -c -e ' /mem ' -e ' /bound ' /proc/mounts"), (1, "0\n", ""), "at once")
    is_(d.ctr("restart", "-t", "0", "box", limit_s=60).rc, 0, "it is started again")
    is_(sh("cat /srv/data/f /etc/note; ls -A /bound"), "hi\nof the host\n", "with what is left")
    is_(d.ctr("rm", "-f", "box", limit_s=60).rc, 0, "and removed")
    is_(d.ctr("volume", "rm", "early", "data").rc, 0, "and its volumes")


for root in ("virtiofs", "erofs"):
    diag("root=" + root)
    scenario(root)
finish()
