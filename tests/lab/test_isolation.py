# SPDX-License-Identifier: Apache-2.0
# nested: a Linux guest on emulated AMD-V
# A life behind the VM wall; what a container does there is test_conformance.py's.
# time limit: 110 s
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from vmlib import *

FLAGS = need_container_guests(root="erofs")
d = need_guests(*FLAGS)
busybox_tar(T + "/root.tar")
d.ctr("import", T + "/root.tar", "busybox")
os.makedirs(T + "/bind")
with open(T + "/bind/file", "w") as f:
    f.write("of the host\n")


def vm(*argv, **kw):
    return d.ctr("run", "--isolation", "vm", "--network", "none", *argv, limit_s=60, **kw)


r = vm("--rm", "busybox", "uname", "-r")
check(r.rc == 0 and r.out.strip() and r.out.strip() != os.uname().release,
      "an image runs behind the VM wall, with a kernel of its own", r)
if r.rc:
    diag(d.log_tail())
    finish()
release = r.out.strip()
leak_mark()     # the initramfs is made with the first

# ------------------------------------------------------------------------- a life
r = vm("-d", "--name", "box", "busybox", "sh", "-c",
       "trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 0.1; done")
is_(r.rc, 0, "one runs detached", r)
r = d.ctr("explain", "-f", "json", "box")
doc = json.loads(r.out) if r.rc == 0 else {}
is_(doc.get("Kernel", {}).get("Release"), release, "explain: the release of the guest's kernel", r)
is_([p for p in doc.get("Processes", []) if p["Command"].startswith("kvm-") and
     p["Role"] != "kernel thread"], [], "explain: KVM's kernel thread is called one")
r = d.ctr("exec", "box", "sh", "-c", "echo hi; echo no >&2; echo there >/file; exit 3")
is_((r.rc, r.out, r.err), (3, "hi\n", "no\n"), "exec: output, error output, exit code")
r = d.ctr("exec", "-i", "box", "cat", text="in\n")
is_((r.rc, r.out), (0, "in\n"), "exec: input")
r = d.ctr("exec", "box", "/none")
is_(r.rc, 127, "exec: a program that is missing", r)
r = d.ctr("cp", "box:/file", T + "/file")
is_((r.rc, open(T + "/file").read() if r.rc == 0 else ""), (0, "there\n"), "cp out of it", r)
r = d.ctr("cp", T + "/bind/file", "box:/copied")
is_(r.rc, 0, "cp into it", r)
check(wait_for(30, lambda: d.ctr("exec", "box", "cat", "/copied").out == "of the host\n"),
      "which it sees")
is_(d.ctr("diff", "box").out, "A /copied\nA /file\n", "diff")
is_((d.ctr("pause", "box").rc, d.ctr("unpause", "box").rc), (0, 0), "pause and unpause")
r = d.ctr("commit", "box", "kept")
is_(r.rc, 0, "commit", r)
d.stop(signal.SIGKILL)
d.start(*FLAGS)
r = d.ctr("exec", "box", "cat", "/file")
is_((r.rc, r.out), (0, "there\n"), "it outlives a killed isolad", r)
is_(d.ctr("stop", "-t", "20", "box").rc, 0, "it is stopped")
s = d.request("GET", "/containers/box/json")[2]
is_((s["State"]["ExitCode"], s["HostConfig"]["Isolation"]), (5, "vm"),
    "with its exit code, and inspect tells of the wall")
is_(d.ctr("logs", "box").out, "up\nbye\n", "its log")
is_(d.ctr("run", "--rm", "--network", "none", "kept", "cat", "/file").out, "there\n",
    "what was committed is an image like any")
is_(d.ctr("rm", "box").rc, 0, "it is removed")
for flags, text in ((["--pid", "host"], "--pid host"), (["--device", "/dev/null"], "--device")):
    r = vm(*flags, "busybox", "true")
    check(r.rc and text in r.err and "--isolation vm" in r.err, "refused by name: " + text, r)
r = d.ctr("run", "--isolation", "vm", "--network", "host", "busybox", "true")
check(r.rc and "--network" in r.err, "refused by name: --network", r)
d.ctr("rmi", "kept")
d.ctr("volume", "prune", "-f", "-a")
leak_check()
finish()
