# SPDX-License-Identifier: Apache-2.0
# nested: a Linux guest on emulated AMD-V
# Debian's kernel, put where scripts/setup puts it, with its modules: isolad finds out by
# its probe that guests run here, boots images with it, and tells what is around them.
# time limit: 110 s
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from vmlib import *

d = need_guests(*need_container_guests(debian=True))


def log():
    with open(d.log) as f:
        return f.read()


check(wait_for(30, lambda: "KVM runs Linux guests" in log()),
      "the probe finds that guests run, without being asked", d.log_tail())
busybox_tar(T + "/root.tar")
d.ctr("import", T + "/root.tar", "busybox")
r = run(BUILD + "/vmctl", "-H", "unix://" + d.socket, "run", "--rm", "--network", "none",
        "--hostname", "inside", "busybox", "sh", "-c", "hostname; uname -r; cat /proc/sys/kernel/random/boot_id; exit 3", limit_s=90)
is_((r.rc, r.out.split()[:1]), (3, ["inside"]), "vmctl run IMAGE", r)
if r.rc != 3:
    diag(d.log_tail())
    finish()
release = r.out.split()[1]
with open("/proc/sys/kernel/random/boot_id") as f:
    isnt(r.out.split()[2], f.read().strip(), "with a kernel of its own")

# -------------------------------------------------------------------------------- explain
r = d.ctr("run", "-d", "--name", "box", "--isolation", "auto", "--privileged", "--network", "none",
          "busybox", "sleep", "1000", limit_s=90)
is_(r.rc, 0, "auto runs what pierces a container's wall", r)
like(r.err, "--privileged pierces a container's wall: it runs in a microVM", "and says where")
is_(d.ctr("exec", "box", "uname", "-r").out.strip(), release, "which is true")
r = d.ctr("explain", "--format", "json", "box")
o = json.loads(r.out) if r.rc == 0 else {}
is_((o.get("Wall"), o.get("Kind"), o.get("Kernel", {}).get("Own")), ("vm", "container", True),
    "explain: the wall", r)
is_(o["Kernel"]["Release"], release, "explain: the guest's kernel")
by_role = {p["Role"]: p for p in o["Boundaries"]}
is_(sorted(by_role), ["file server", "worker"], "explain: what the host runs for it")
worker, server = by_role["worker"], by_role["file server"]
is_((worker["Command"], worker["Capabilities"]["Effective"], worker["Seccomp"],
     worker["NoNewPrivileges"]), ("isola-vmm", [], "filter", True), "explain: the worker's jail")
base = d.request("GET", "/containers/box/json")[2]["Isola"]["UsernsBase"]
check(worker["Uid"] >= base and server["UidMap"] and server["UidMap"][0]["Outside"] == base,
      "explain: both have ids that are nobody's", (worker, server))
of = {n["Type"]: n["Of"] for n in server["Namespaces"]}
is_((of["user"], of["mnt"]), ("own", "own"), "explain: the file server is in the container's")
check("CAP_SYS_ADMIN" in o["Given"]["Capabilities"] and o["Given"]["InGuest"],
      "explain: what the guest was told", o["Given"])
is_(o["Holes"], [], "explain: nothing of it weakens the wall")
text = d.ctr("explain", "box").out
for want in ("a microVM around an image", "its own: " + release, "in the guest, as the guest was"):
    check(want in text, "explain for people: " + want, text)
r = d.ctr("ps", "--format", "{{.Names}} {{.Isolation}}")
is_(r.out, "box vm\n", "ps tells the wall")

# -------------------------------------------------------------- vmctl, with what runs an image


def vmctl(*argv):
    return run(BUILD + "/vmctl", "-H", "unix://" + d.socket, *argv, limit_s=90)


r = vmctl("exec", "box", "sh", "-c", "echo here; echo there >&2; exit 4")
is_((r.rc, r.out, r.err), (4, "here\n", "there\n"), "vmctl exec")
is_((vmctl("pause", "box").rc, vmctl("resume", "box").rc), (0, 0), "vmctl pause and resume")
r = vmctl("stats", "box")
check(r.rc == 1 and "a container in a microVM" in r.err, "vmctl stats is of machines", r)
is_((vmctl("kill", "box").out, vmctl("wait", "box").out), ("box\n", "137\n"), "vmctl kill and wait")
is_((vmctl("logs", "box").rc, vmctl("rm", "box").out), (0, "box\n"), "vmctl logs and rm")
finish()
