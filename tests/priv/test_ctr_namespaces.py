#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Namespaces: each kind new, of the host, and joined by path; id maps, time
offsets, host names, cgroup."""
import os
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from ctr_bundle import *

oci_setup()
KINDS = {"pid": "pid", "network": "net", "ipc": "ipc", "uts": "uts", "cgroup": "cgroup",
         "time": "time", "user": "user"}
SHOW = "; ".join("readlink /proc/self/ns/%s" % n for n in KINDS.values())


def of(pid="self"):
    return {k: os.readlink("/proc/%s/ns/%s" % (pid, n)) for k, n in KINDS.items()}


def shown(r):
    return dict(zip(KINDS, r.out.split()))


host = of()

# ---- new and host's
b = Bundle().namespaces("mount", "pid", "network", "ipc", "uts", "cgroup", "time").sh(SHOW)
got = shown(b.run())
for kind in KINDS:
    if kind == "user":
        is_(got[kind], host[kind], "no user namespace unless it is asked for")
    else:
        isnt(got[kind], host[kind], "a new %s namespace" % kind)
b = Bundle(userns=True).sh(SHOW)
isnt(shown(b.run())["user"], host["user"], "a new user namespace")
b = Bundle().namespaces("mount").sh(SHOW)
del b.spec["hostname"]
b.spec["mounts"] = b.spec["mounts"][:1]
is_(shown(b.run()), host, "all of the host but mount")
with Bundle() as b:
    init = of(b.state()["pid"])
    got = shown(b.exec("sh", "-c", SHOW))
    is_(got, init, "exec is in all namespaces of init")
with Bundle(userns=True) as b:
    init = of(b.state()["pid"])
    is_(shown(b.exec("sh", "-c", SHOW)), init, "with a user namespace, too")
b = Bundle().namespaces("mount", "time", "pid").sh("sleep 100")
del b.spec["hostname"]
b.run_detached()
is_(shown(b.exec("sh", "-c", SHOW)), of(b.state()["pid"]), "and a time namespace")
b.delete()

# ---- by path
for userns in (False, True):
    what = " (userns)" if userns else ""
    with Bundle(userns) as first:
        pid = first.state()["pid"]
        want = of(pid)
        kinds = [k for k in KINDS if k != "user" or userns]
        for kind in kinds:
            if kind in ("time",) or (userns and kind == "user"):
                continue
            b = Bundle(userns).sh(SHOW)
            path = "/proc/%d/ns/%s" % (pid, KINDS[kind])
            ns = [n for n in b.spec["linux"]["namespaces"] if n["type"] not in (kind, "user")]
            if userns:
                ns.append({"type": "user", "path": "/proc/%d/ns/user" % pid})
                for k in ("uidMappings", "gidMappings"):
                    del b.spec["linux"][k]
            b.namespaces(*ns, {"type": kind, "path": path})
            if kind == "uts":
                del b.spec["hostname"]
            if kind in ("cgroup", "network", "ipc"):
                b.spec["mounts"] = b.spec["mounts"][:4]
            r = b.run()
            got = shown(r)
            check(got.get(kind) == want[kind], "%s namespace by path%s" % (kind, what), r)
            if userns:
                check(got.get("user") == want["user"], "and the user namespace", r)
        b = Bundle(userns).sh(SHOW)
        ns = [{"type": k, "path": "/proc/%d/ns/%s" % (pid, KINDS[k])}
              for k in ("network", "ipc", "uts", "pid")] + [{"type": "mount"}]
        if userns:
            ns.append({"type": "user", "path": "/proc/%d/ns/user" % pid})
            for k in ("uidMappings", "gidMappings"):
                del b.spec["linux"][k]
        b.namespaces(*ns)
        del b.spec["hostname"]
        b.spec["mounts"] = b.spec["mounts"][:4]
        r = b.run()
        is_({k: shown(r).get(k) for k in ("network", "ipc", "uts", "pid")},
            {k: want[k] for k in ("network", "ipc", "uts", "pid")}, "all of a pod at once" + what)
b = Bundle().namespaces("mount", {"type": "network", "path": "/nowhere"})
del b.spec["hostname"]
r = b.run()
check(r.rc and "/nowhere" in r.err, "a missing path is named", r)
b.namespaces("mount", {"type": "network", "path": "/proc/self/ns/ipc"})
r = b.run()
check(r.rc and "network" in r.err, "a namespace of another kind is refused", r)
b.namespaces("mount", {"type": "network", "path": "/etc/passwd"})
check(b.run().rc, "so is a file that is none")

# ---- the mount namespace of others
b = Bundle().namespaces("pid").sh("pwd; ls /bin/busybox; ls -d /proc /home/u")
del b.spec["hostname"]
r = b.run()
check(r.rc and "mount namespace" in r.err, "mounts need a mount namespace", r)
b.spec["mounts"] = []
for k in ("maskedPaths", "readonlyPaths"):
    del b.spec["linux"][k]
r = b.run()
is_(r.out.split(), ["/", "/bin/busybox", "/home/u", "/proc"], "a root without any is a chroot")
if r.rc:
    diag(r)
with Bundle() as first:
    b.namespaces({"type": "mount", "path": "/proc/%d/ns/mnt" % first.state()["pid"]})
    open(first.rootfs + "/etc/only-there", "w").close()
    b.save()
    b.spec["root"]["path"] = "/etc"
    b.spec["process"]["args"] = ["/only-there"]
    r = b.run()
    check("permission denied" in r.err, "a mount namespace by path: root.path is in it", r)

# ---- id maps
b = Bundle().sh("cat /proc/self/uid_map /proc/self/gid_map; id -u; id -g")
b.use_userns()
b.spec["linux"]["uidMappings"] = [{"containerID": 0, "hostID": BASE, "size": 1000},
                                  {"containerID": 1000, "hostID": BASE + 5000, "size": 10}]
r = b.run()
is_(r.out.split(), ["0", str(BASE), "1000", "1000", str(BASE + 5000), "10", "0", str(BASE),
                    "65536", "0", "0"], "several ranges")
b.spec["process"]["user"] = {"uid": 2000, "gid": 0}
r = b.run()
check(r.rc and "uidMappings" in r.err, "a user that is not mapped is refused", r)
b = Bundle(userns=True)
b.spec["linux"]["uidMappings"] = [{"containerID": 0, "hostID": 4294967290, "size": 100}]
check(b.run().rc, "a map beyond the last id is refused")

# ---- time offsets
b = Bundle().namespaces("mount", "pid", "time").sh("cut -d . -f 1 /proc/uptime")
del b.spec["hostname"]
b.spec["linux"]["timeOffsets"] = {"boottime": {"secs": 1000000, "nanosecs": 0},
                                  "monotonic": {"secs": 5}}
r = b.run()
check(r.rc == 0 and int(r.out) >= 1000000, "timeOffsets", r)

# ---- names, lo, session
b = Bundle().sh("hostname; cat /proc/sys/kernel/domainname; ip addr show lo; cat /proc/self/stat")
b.spec["domainname"] = "example"
r = b.run()
is_(r.out.splitlines()[:2], ["test", "example"], "hostname and domainname")
check("127.0.0.1/8" in r.out and "UP" in r.out, "lo is up", r)
isnt(os.uname().nodename, "test", "the host keeps its name")

# ---- cgroup
b = Bundle().sh("cat /proc/self/cgroup | tail -n 1; ls /sys/fs/cgroup | grep -c procs")
is_(b.run().out.split(), ["0::/", "1"], "the cgroup namespace's root is the container's cgroup")
b.namespaces("pid", "network", "ipc", "uts", "mount")
is_(b.run().out.split()[0], "0::/%s/%s" % (CGROUP, b.id), "without one the path is the host's")
b = Bundle(userns=True).sh("mkdir /sys/fs/cgroup/x 2>&1; ls /sys/fs/cgroup | grep -c procs")
r = b.run()
check("ead-only" in r.out, "/sys/fs/cgroup is read-only", r)
b = Bundle()
b.spec["linux"]["cgroupsPath"] = "/"
r = b.run()
check(r.rc and "somebody else" in r.err, "a cgroup that others use is refused", r)
check(os.path.isdir("/proc/self"), "and nobody in it was killed")

leak_check()
finish()
