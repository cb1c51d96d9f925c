#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Mounts: file systems, binds, options, propagation, masked and read-only paths,
the root's own options, devices; with and without a user namespace."""
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from ctr_bundle import *

oci_setup()
MOUNTINFO = "cat /proc/self/mountinfo"


def mounts(text):
    """mountinfo as {mount point: (options, propagation, type, super options)}"""
    found = {}
    for line in text.splitlines():
        f = line.split()
        if "-" in f:
            dash = f.index("-")
            found[f[4]] = (f[5].split(","), f[6:dash], f[dash + 1], f[dash + 3].split(","))
    return found


def host_dir(name, owner=0):
    path = T + "/" + name
    os.makedirs(path, exist_ok=True)
    with open(path + "/file", "w") as f:
        f.write(name + "\n")
    os.chown(path, owner, owner)
    return path


# ---- what every bundle has
for userns in (False, True):
    what = " (userns)" if userns else ""
    b = Bundle(userns).sh(MOUNTINFO)
    m = mounts(b.run().out)
    is_({p: m[p][2] for p in ("/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys",
                              "/sys/fs/cgroup")},
        {"/proc": "proc", "/dev": "tmpfs", "/dev/pts": "devpts", "/dev/shm": "tmpfs",
         "/dev/mqueue": "mqueue", "/sys": "sysfs", "/sys/fs/cgroup": "cgroup2"},
        "the usual file systems" + what)
    check({"nosuid", "noexec"} <= set(m["/dev/pts"][0]), "options of devpts" + what, m)
    check("ro" in m["/sys"][0], "/sys is read-only" + what, m)
    check("ro" in m["/proc/sys"][0], "/proc/sys is read-only" + what, m)
    check(not any(p.startswith(T) or p.startswith("/host") for p in m), "nothing of the host" + what)
    is_(m["/"][1], [], "the root is private" + what)
    b.sh("cat /proc/timer_list /proc/keys | wc -c; ls /sys/firmware | wc -l; "
         "echo x 2>/dev/null >/proc/sys/kernel/hostname && echo bad; "
         "mkdir /sys/firmware/x 2>/dev/null && echo bad; ls /sys/fs/cgroup | grep -c cgroup.procs")
    is_(b.run().out.split(), ["0", "0", "1"], "masked and read-only paths" + what)
    is_(b.sh("ls -l /dev/console 2>&1").run().rc, 1, "no /dev/console without a terminal" + what)

# ---- options of the mount table
src = host_dir("src")
TABLE = [
    (["bind"], {"rw"}, set()),
    (["bind", "ro"], {"ro"}, set()),
    (["rbind", "nosuid", "nodev", "noexec"], {"nosuid", "nodev", "noexec"}, set()),
    (["bind", "noatime"], {"noatime"}, {"relatime"}),
    (["bind", "nodiratime"], {"nodiratime"}, set()),
    (["bind", "strictatime"], set(), {"relatime", "noatime"}),
    (["bind", "relatime"], {"relatime"}, set()),
    (["bind", "nosymfollow"], {"nosymfollow"}, set()),
    (["bind", "ro", "rw"], {"rw"}, {"ro"}),
]
b = Bundle().sh(MOUNTINFO)
for i, (options, want, unwanted) in enumerate(TABLE):
    b.mount("/m%d" % i, src, "bind", options)
m = mounts(b.run().out)
for i, (options, want, unwanted) in enumerate(TABLE):
    got = set(m["/m%d" % i][0])
    check(want <= got and not unwanted & got, "bind with " + ",".join(options), got)
r = Bundle().sh("true").mount("/m", src, "bind", ["bind", "frobnicate"]).run()
check(r.rc and "frobnicate" in r.err, "an unknown option of a bind is named", r)
r = Bundle().sh("true").mount("/m", "none", "tmpfs", ["frobnicate"]).run()
check(r.rc and "frobnicate" in r.err and "/m" in r.err, "an unknown option of tmpfs is named", r)
r = Bundle().mount("/m", "/nowhere", "bind", ["bind"]).run()
check(r.rc and "/nowhere" in r.err, "a missing source is named", r)
r = Bundle().mount("/m", "none", "nosuchfs").run()
check(r.rc and "nosuchfs" in r.err, "an unknown file system is named", r)

# ---- recursive binds
top = host_dir("top")
os.makedirs(top + "/below", exist_ok=True)
run("mount", "-t", "tmpfs", "below", top + "/below")
open(top + "/below/deep", "w").close()
b = Bundle().sh("ls /m/below; echo x 2>/dev/null >/m/below/new && echo written; " + MOUNTINFO)
b.mount("/m", top, "bind", ["bind"])
check("deep" not in b.run().out, "bind leaves out what is mounted below")
b.spec["mounts"][-1]["options"] = ["rbind"]
check("deep\nwritten" in b.run().out, "rbind takes it along")
b.spec["mounts"][-1]["options"] = ["rbind", "ro"]
check("written" in b.run().out, "ro is for the top one")
b.spec["mounts"][-1]["options"] = ["rbind", "rro"]
r = b.run()
check("written" not in r.out and "ro" in mounts(r.out)["/m/below"][0], "rro for all", r)

# ---- propagation
run("mount", "--make-shared", top + "/below")
for option, want in (("rprivate", ""), ("rslave", "master"), ("rshared", "shared"),
                     ("runbindable", "unbindable")):
    b = Bundle().sh(MOUNTINFO).mount("/m", top + "/below", "bind", ["rbind", option])
    fields = mounts(b.run().out)["/m"][1]
    check(any(f.startswith(want) for f in fields) if want else not fields,
          "propagation " + option, fields)
b = Bundle(userns=True).sh(MOUNTINFO).mount("/m", top + "/below", "bind", ["rbind", "rshared"])
fields = " ".join(mounts(b.run().out)["/m"][1])
check("master:" in fields, "with a user namespace rshared is the host's slave", fields)
b = Bundle().sh("until [ -e /m/sub/late ]; do sleep 0.02; done; echo seen")
b.mount("/m", top + "/below", "bind", ["rbind", "rslave"])
b.save()
p = subprocess.Popen([OCI, "--root", ROOT, "run", "-b", b.path, b.id], stdout=subprocess.PIPE,
                     text=True)
wait_for(5, lambda: b.status() == "running")
os.makedirs(top + "/below/sub")
run("mount", "-t", "tmpfs", "late", top + "/below/sub")
open(top + "/below/sub/late", "w").close()
is_(p.communicate(timeout=10 * SCALE)[0], "seen\n", "a slave sees later mounts of the host")
run("umount", top + "/below/sub")
for value, want in (("shared", "shared:"), ("slave", ""), ("private", ""), (None, "")):
    b = Bundle().sh(MOUNTINFO)
    if value:
        b.spec["linux"]["rootfsPropagation"] = value
    fields = mounts(b.run().out)["/"][1]
    check(any(f.startswith(want) for f in fields) if want else
          not any(f.startswith("shared") for f in fields), "rootfsPropagation %s" % value, fields)
run("umount", top + "/below")

# ---- the order, files, links, later mounts over earlier
b = Bundle().sh("cat /etc/motd; cat /a/b/c/file; ls /over")
b.mount("/etc/motd", src + "/file", "bind", ["bind"])
b.mount("/a/b/c", src, "bind", ["bind"])
b.mount("/over", src, "bind", ["bind"]).mount("/over", "none", "tmpfs")
is_(b.run().out, "src\nsrc\n", "files, missing folders, and one mount over another")
b = Bundle().sh("ls /real/sub; ls -ld /link")
os.makedirs(b.rootfs + "/real")
os.symlink("/real", b.rootfs + "/link")
b.mount("/link/sub", src, "bind", ["bind"])
like(b.run().out, "file\nl.*/link -> /real", "a link on the way is followed in the root")
b = Bundle().sh("cat /x/file")
b.spec["mounts"].append({"destination": "/x", "source": "rel", "options": ["bind"]})
shutil.copytree(src, b.path + "/rel")
is_(b.run().out, "src\n", "a relative source is the bundle's")

# ---- tmpfs: options, copy up, remount
b = Bundle().sh("stat -c %a:%u:%g /t; df -k /t | tail -n 1 | tr -s ' ' | cut -d ' ' -f 2")
b.mount("/t", "tmpfs", "tmpfs", ["mode=0710", "uid=5", "gid=6", "size=1m"])
is_(b.run().out.split(), ["710:5:6", "1024"], "options of tmpfs")
b = Bundle().sh("cd /t; stat -c '%a:%u:%g %n' . f d d/g; readlink l; cat f; echo more >>f")
os.makedirs(b.rootfs + "/t/d")
os.chmod(b.rootfs + "/t", 0o751)
for name in ("f", "d/g"):
    with open(b.rootfs + "/t/" + name, "w") as f:
        f.write(name + "\n")
os.chown(b.rootfs + "/t/f", 3, 4)
os.symlink("f", b.rootfs + "/t/l")
b.mount("/t", "tmpfs", "tmpfs", ["tmpcopyup"])
is_(b.run().out.splitlines(), ["751:0:0 .", "644:3:4 f", "755:0:0 d", "644:0:0 d/g", "f", "f"],
    "tmpcopyup")
is_(open(b.rootfs + "/t/f").read(), "f\n", "the image stays as it was")
b.spec["mounts"][-1]["options"] = ["tmpcopyup", "mode=1777"]
is_(b.run().out.splitlines()[0], "1777:0:0 .", "tmpcopyup with a mode")
b = Bundle().sh(MOUNTINFO).mount("/m", src, "bind", ["bind"])
b.mount("/m", "none", "none", ["remount", "ro", "nosuid"])
check({"ro", "nosuid"} <= set(mounts(b.run().out)["/m"][0]), "remount")
long = "/long" + "x" * 200
b = Bundle().sh("ls /o")
for d in (T + long, T + long + "2"):
    os.makedirs(d, exist_ok=True)
    open(d + "/" + d[-1], "w").close()
b.mount("/o", "overlay", "overlay", ["lowerdir=%s:%s" % (T + long, T + long + "2"), "ro"])
is_(b.run().out.split(), ["2", "x"], "an option beyond 256 bytes")

# ---- the root
b = Bundle().sh("echo x 2>/dev/null >/new || echo refused; echo y >/dev/shm/y; cat /dev/shm/y")
b.spec["root"]["readonly"] = True
is_(b.run().out, "refused\ny\n", "a read-only root")
b = Bundle().sh("echo fine").namespaces("pid", "network", "ipc", "uts", "mount")
is_(b.run("--no-pivot").out, "fine\n", "--no-pivot")

# ---- idmapped mounts
MAP = [{"containerID": 0, "hostID": 5000, "size": 100}]
b = Bundle().sh("stat -c %u /m/file; echo new >/m/new; stat -c %u /m/new")
mapped = host_dir("mapped")
b.mount("/m", mapped, "bind", ["bind", "idmap"])
for k in ("uidMappings", "gidMappings"):
    b.spec["mounts"][-1][k] = [{"containerID": 0, "hostID": 0, "size": 100}]
r = b.run()
is_(r.out.split(), ["0", "0"], "an idmap that changes nothing")
for k in ("uidMappings", "gidMappings"):
    b.spec["mounts"][-1][k] = MAP
r = b.sh("stat -c %u /m/file").run()
is_(r.out.split(), ["5000"], "an idmap of one's own")
b = Bundle(userns=True).sh("stat -c %u /m/file; echo new >/m/new2; stat -c %u /m/new2")
b.mount("/m", mapped, "bind", ["bind", "idmap"])
r = b.run()
is_(r.out.split(), ["0", "0"], "the container's own user namespace as idmap")
is_(os.stat(mapped + "/new2").st_uid, 0, "on the host the file is root's")
r = Bundle().mount("/m", mapped, "bind", ["bind", "idmap"]).run()
check(r.rc and "idmap" in r.err, "idmap without any map is refused", r)
r = Bundle(userns=True).mount("/m", "/proc", "bind", ["bind", "idmap"]).run()
check(r.rc and "cannot be idmapped" in r.err and "/m" in r.err,
      "a file system without idmaps is named", r)

# ---- devices
b = Bundle().sh("cd /dev; stat -c '%n %F %t:%T %a' null zero full random urandom tty my/blk; "
                "for l in fd stdin stdout stderr ptmx; do readlink $l; done; "
                "head -c 4 /dev/zero | wc -c; echo x >/dev/null; ls -l pipe")
b.spec["linux"]["devices"] = [
    {"path": "/dev/my/blk", "type": "b", "major": 7, "minor": 99, "fileMode": 0o640, "uid": 1,
     "gid": 2},
    {"path": "/dev/pipe", "type": "p", "fileMode": 0o600}]
r = b.run()
is_(r.out.splitlines()[:7], ["null character special file 1:3 666",
                             "zero character special file 1:5 666",
                             "full character special file 1:7 666",
                             "random character special file 1:8 666",
                             "urandom character special file 1:9 666",
                             "tty character special file 5:0 666",
                             "my/blk block special file 7:63 640"], "nodes in /dev")
is_(r.out.splitlines()[7:13], ["/proc/self/fd", "/proc/self/fd/0", "/proc/self/fd/1",
                               "/proc/self/fd/2", "pts/ptmx", "4"], "links in /dev")
like(r.out.splitlines()[-1], "^prw-------", "a FIFO")
b = Bundle().sh("head -c 4 /dev/zero | wc -c; head -c 1 /dev/full 2>/dev/null | wc -c; "
                "mknod /tmp/n c 1 5 2>/dev/null && head -c 4 /tmp/n 2>/dev/null| wc -c")
for k in ("bounding", "permitted", "effective"):
    b.spec["process"]["capabilities"][k] = CAPS + ["CAP_MKNOD"]
b.spec["linux"]["resources"] = {"devices": [{"allow": False, "access": "rwm"},
                                            {"allow": True, "type": "c", "major": 1, "minor": 5,
                                             "access": "rw"}]}
r = b.run()
is_(r.out.split()[0], "4", "an allowed device works")
b.spec["linux"]["resources"]["devices"] = [{"allow": False, "access": "rwm"},
                                           {"allow": True, "type": "c", "major": 10, "minor": 229,
                                            "access": "rwm"}]
b.spec["linux"]["devices"] = [{"path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11}]
r = b.sh("head -c 1 /dev/kmsg; mknod /tmp/n c 1 11 || echo refused").run()
check("not permitted" in r.err and "refused" in r.out, "a device that is not allowed does not", r)
b = Bundle(userns=True).sh("echo x >/dev/null && head -c 4 /dev/zero | wc -c; stat -c %t:%T /dev/kmsg")
b.spec["linux"]["devices"] = [{"path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11}]
is_(b.run().out.split(), ["4", "1:b"], "devices with a user namespace")
b.spec["linux"]["devices"] = [{"path": "/dev/mine", "type": "c", "major": 1, "minor": 5,
                               "fileMode": 0o640, "uid": 1000, "gid": 7},
                              {"path": "/dev/fifo", "type": "p", "fileMode": 0o604}]
b.sh("stat -c '%a %u:%g %F' /dev/mine /dev/fifo; head -c 3 /dev/mine | wc -c")
is_(b.run().out.splitlines(), ["640 1000:7 character special file", "604 0:0 fifo", "3"],
    "they have their own owner and mode")
b = Bundle().sh("ls /dev | wc -l")
b.spec["mounts"] = [m for m in b.spec["mounts"] if not m["destination"].startswith("/dev")]
b.mount("/dev", "/dev", "bind", ["rbind", "ro"])
check(int(b.run().out) > 5, "a bind on /dev is left as it is")
del b.spec["mounts"][-1]
os.rmdir(b.rootfs + "/dev")
like(b.sh("ls -l /dev/null").run().out, "1, +3", "without a mount on /dev the nodes go into the root")

leak_check()
finish()
