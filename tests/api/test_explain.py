# SPDX-License-Identifier: Apache-2.0
#
# ctrctl explain: what it says of a container is what the kernel says, also where the
# container was opened on purpose. (Behind the VM wall: tests/lab/test_walls.py.)
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)) + "/..")
from lib import *

need_root()
need_program("isolad", "ctrctl")
d = start_isolad() or skip_all("isolad does not start")
busybox_tar(T + "/root.tar")
is_(d.ctr("import", T + "/root.tar", "busybox").rc, 0, "an image")
os.makedirs(T + "/shared")


def start(name, *flags):
    r = d.ctr("run", "-d", "--name", name, *flags, "busybox", "sleep", "1000", limit_s=60)
    if r.rc:
        not_ok("%s starts" % name, r)
        finish()


def explain(name):
    r = d.ctr("explain", "--format", "json", name)
    return json.loads(r.out) if r.rc == 0 else {"error": repr(r)}


def status(pid, key):
    with open("/proc/%d/status" % pid) as f:
        return [l.split()[1] for l in f if l.startswith(key + ":")][0]


def names(capabilities):
    """A set of the kernel's as a bit mask."""
    return sum(1 << CAPS.index(c) for c in capabilities)


with open("/proc/sys/kernel/cap_last_cap") as f:
    LAST = int(f.read())
CAPS = [None] * 64
for bit, name in enumerate(
        "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP "
        "LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER "
        "SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE "
        "SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP "
        "MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF "
        "CHECKPOINT_RESTORE".split()):
    CAPS[bit] = "CAP_" + name

# --------------------------------------------------------------------- as it comes
start("plain")
o = explain("plain")
p = o["Boundaries"][0]
pid = d.request("GET", "/containers/plain/json")[2]["State"]["Pid"]
is_((o["Wall"], o["Kind"], o["Running"], p["Role"], p["Pid"]),
    ("container", "container", True, "payload", pid), "which instance, and its payload")
is_((o["Kernel"]["Own"], o["Kernel"]["Release"]), (False, os.uname().release), "the host's kernel")
is_([names(p["Capabilities"][n]) for n in ("Effective", "Bounding")],
    [int(status(pid, k), 16) for k in ("CapEff", "CapBnd")], "capabilities are the kernel's")
is_((p["Seccomp"], p["NoNewPrivileges"]), ("filter", status(pid, "NoNewPrivs") == "1"),
    "seccomp and no_new_privs")
with open("/proc/%d/uid_map" % pid) as f:
    inside, outside, size = map(int, f.read().split())
is_(p["UidMap"], [{"Inside": inside, "Outside": outside, "Size": size}], "user ids")
own = {n["Type"]: (n["Of"], n["Inode"]) for n in p["Namespaces"]}
is_({t for t, (of, _) in own.items() if of == "own"},
    {"cgroup", "ipc", "mnt", "net", "pid", "user", "uts"}, "its own namespaces")
is_(own["pid"][1], os.stat("/proc/%d/ns/pid" % pid).st_ino, "by number")
with open("/proc/%d/mountinfo" % pid) as f:
    is_([m["Target"] for m in o["Mounts"]], [l.split()[4] for l in f], "mounts")
roles = [(x["Role"], x["Parent"]) for x in o["Processes"]]
is_([r for r, _ in roles], ["keeper", "payload"], "the process tree on the host")
is_(roles[1][1], o["Processes"][0]["Pid"], "of which the keeper is the parent")
check("/dev/null" in o["Given"]["Devices"] and o["Given"]["MaskedPaths"], "devices and masks",
      o["Given"])
is_(o["Holes"], [], "nothing weakens the wall")
is_(o["Reach"]["Api"]["Socket"], d.socket, "the API's socket is named")
text = d.ctr("explain", "plain").out
for want in ("a container: namespaces of the host's kernel", "seccomp        filter",
             "the host's: time\n", "nothing known weakens the wall",
             "0 inside is %d on the host" % outside):
    check(want in text, "people read: " + want.strip(), text)

# --------------------------------------------------------------------- opened
start("open", "--privileged", "--pid", "host", "-v", T + "/shared:/shared")
o = explain("open")
p = o["Boundaries"][0]
is_([n["Of"] for n in p["Namespaces"] if n["Type"] == "pid"], ["host"], "a namespace of the host's")
is_(p["Seccomp"], "none", "no filter")
check("CAP_SYS_ADMIN" in p["Capabilities"]["Bounding"], "more capabilities", p)
holes = "\n".join(o["Holes"])
for want in ("its pid namespace is the host's", "it may have CAP_SYS_ADMIN", "no seccomp filter",
             "files of the host: %s/shared" % T, "no path of /proc and /sys is masked"):
    check(want in holes, "what weakens the wall: " + want.replace(T, ""), holes)
# A sentence that is cut off is cut between characters: one of these two would not be.
for odd in ("", "a"):
    long = T + "/" + odd + "\u00e9" * 120
    os.makedirs(long)
    start("long" + odd, "-v", long + ":/long")
    doc = d.request("GET", "/containers/long%s/explain" % odd)[2]
    check(isinstance(doc, dict) and "files of the host: " + T in doc["Holes"][0],
          "a long path is UTF-8 in the answer", doc)
    d.ctr("rm", "-f", "long" + odd)
start("joined", "--network", "container:plain")
of = {n["Type"]: n["Of"] for n in explain("joined")["Boundaries"][0]["Namespaces"]}
is_(of["net"], "shared with plain", "a namespace of another container's")
start("root", "--userns", "host")
holes = "\n".join(explain("root")["Holes"])
check("root in it is root of the host" in holes, "the host's user namespace", holes)

# --------------------------------------------------------------------- odd ones
r = d.ctr("explain", "plain", "nobody", "open", "--format", "{{.Name}} {{.Wall}}")
is_((r.rc, r.out), (1, "/plain container\n/open container\n"), "several, and one that is missing", r)
check("nobody" in r.err, "which is named", r)
d.ctr("stop", "-t", "0", "plain")
o = explain("plain")
is_((o["Running"], "Boundaries" in o), (False, False), "of one that does not run there is none")
check("it does not run" in d.ctr("explain", "plain").out, "which is said")
d.ctr("rm", "-f", "plain", "open", "joined", "root")
finish()
