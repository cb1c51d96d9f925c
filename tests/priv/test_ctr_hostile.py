#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Hostile images and neighbours: each row is an attack that worked on a runtime
once. Nothing may appear, change or be reachable outside of the root."""
# time limit: 240 s
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from ctr_bundle import *

oci_setup()
OUT = T + "/outside"


def link_out(path, target=OUT):
    """A link that would lead out of the root if it were followed by name."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    os.symlink("../" * 20 + target.lstrip("/"), path)


def tree(path):
    return sorted((os.path.join(d, n), os.lstat(os.path.join(d, n)).st_mode)
                  for d, names, files in os.walk(path) for n in names + files)


os.makedirs(OUT + "/deep")
open(OUT + "/file", "w").close()
before = tree(OUT)


def untouched(name):
    is_(tree(OUT), before, name)


# ---- folders of the image that are links (CVE-2026-41579, CVE-2025-24965)
for userns in (False, True):
    what = " (userns)" if userns else ""
    for name in ("dev", "etc", "tmp", "root"):
        b = Bundle(userns).sh("echo ran")
        link_out(b.rootfs + "/" + name)
        b.mount("/%s/below/file" % name, "/etc/hostname", "bind", ["bind"])
        b.mount("/%s/tmp" % name, "tmpfs", "tmpfs")
        b.spec["process"]["cwd"] = "/%s/cwd" % name
        b.run()
        untouched("/%s is a link out of the image%s" % (name, what))
    # CVE-2019-19921, CVE-2023-27561, CVE-2023-28642
    for name in ("proc", "sys"):
        b = Bundle(userns).sh("echo ran")
        link_out(b.rootfs + "/" + name)
        r = b.run()
        check(r.rc and "ran" not in r.out and "plain folder" in r.err,
              "/%s is a link: refused%s" % (name, what), r)
        untouched("nothing outside changed")
        os.unlink(b.rootfs + "/" + name)
        os.makedirs(b.rootfs + "/evil")
        os.symlink("/evil", b.rootfs + "/" + name)
        r = b.run()
        check(r.rc and "ran" not in r.out, "/%s is a link inside: refused%s" % (name, what), r)
    b = Bundle(userns).sh("echo ran")
    link_out(b.rootfs + "/sys2")
    b.mount("/sys2/x", "tmpfs", "tmpfs")
    b.run()
    untouched("a mount point below a link%s" % what)

# ---- /proc as a volume, and mounts over files of it
volume = T + "/volume"
os.makedirs(volume + "/self/attr")
b = Bundle().sh("echo ran").mount("/proc", volume, "bind", ["bind"])
r = b.run()
check(r.rc and "/proc" in r.err, "a volume on /proc is refused", r)
b = Bundle().sh("echo ran")
b.spec["mounts"][0] = {"destination": "/proc", "type": "tmpfs", "source": "tmpfs"}
check(b.run().rc, "so is a tmpfs")
for path in ("/proc/self/attr", "/proc/sys/kernel", "/proc/1/fd", "/tmp/../proc/bus"):
    r = Bundle().sh("echo ran").mount(path, volume, "bind", ["bind"]).run()
    check(r.rc and "ran" not in r.out, "a volume on %s is refused" % path, r)
b = Bundle().sh("echo ran").mount("/a/b", volume, "bind", ["bind"])
os.symlink("/proc/sys", b.rootfs + "/a")
check(b.run().rc, "a volume in /proc by way of a link is refused")
b = Bundle().sh("cat /proc/uptime").mount("/proc/uptime", T + "/uptime", "bind", ["bind"])
with open(T + "/uptime", "w") as f:
    f.write("fake\n")
is_(b.run().out, "fake\n", "but lxcfs's files may be mounted over")

# ---- device nodes that are links (CVE-2025-31133, CVE-2025-52565)
for userns in (False, True):
    b = Bundle(userns).sh("echo ran; cat /proc/keys | wc -c")
    b.spec["mounts"] = [m for m in b.spec["mounts"] if not m["destination"].startswith("/dev")]
    secret = OUT + "/file"
    for name in ("null", "zero", "tty"):
        path = b.rootfs + "/dev/" + name
        link_out(path, secret)
        r = b.run()
        check(r.rc and "ran" not in r.out and name in r.err, "/dev/%s is a link: refused" % name, r)
        os.unlink(path)
    untouched("nothing outside changed")
    r = b.run()
    is_(r.out, "ran\n0\n" if r.rc == 0 else r.out, "masked files are empty")
# the mask is the host's null, whatever the image has
b = Bundle().sh("cat /proc/keys /proc/timer_list | wc -c; echo x >/proc/keys")
b.spec["mounts"] = [m for m in b.spec["mounts"] if not m["destination"].startswith("/dev")]
is_(b.run().out, "0\n", "masked paths without a /dev of our own")

# ---- masked paths cannot be undone by links
b = Bundle().sh("ls /proc/acpi /sys/firmware 2>/dev/null | grep -v : | wc -w")
b.spec["linux"]["maskedPaths"] += ["/link", "/link/x", "/up", "/none/such"]
link_out(b.rootfs + "/link")
os.symlink("../../../../..", b.rootfs + "/up2")
r = b.run()
is_(r.out.strip(), "0", "masking by way of a link stays in the root")
untouched("nothing outside changed")

# ---- our own binary (CVE-2019-5736): the entry point is the runtime itself, which a
# FIFO as its log keeps alive; init opens it by /proc/<pid>/exe, ends it, and writes
# once nobody runs it any more. A copy is what would suffer.
COPY = T + "/oci-copy"
shutil.copy(OCI, COPY)
program = hashlib.sha256(open(COPY, "rb").read()).hexdigest()
b = Bundle().sh("""
echo up >/tmp/up
while :; do
  for p in /proc/[0-9]*; do
    case $(readlink $p/exe) in */busybox|'') continue;; esac
    exec 9<$p/exe || continue
    readlink $p/exe >/tmp/saw
    kill -9 ${p#/proc/}
    sleep 0.5
    echo pwned 2>/tmp/why >>/proc/self/fd/9 && echo wrote >/tmp/wrote
    sleep 100
  done
done""")
for k in ("bounding", "effective", "permitted"):
    b.spec["process"]["capabilities"][k] = CAPS + ["CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"]
os.mkfifo(b.rootfs + "/fifo")
# a dynamic runtime (a sanitizer build) is executed only where it finds its libraries
ldd = subprocess.run(["ldd", COPY], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
for library in re.findall(r"(/\S+) \(0x", ldd.stdout):
    os.makedirs(b.rootfs + os.path.dirname(library), exist_ok=True)
    shutil.copy(library, b.rootfs + library)
with open(b.rootfs + "/entry", "w") as f:
    f.write("#!/proc/self/exe --log=/fifo\n")
os.chmod(b.rootfs + "/entry", 0o755)
b.save()
with open(os.devnull, "w") as null:
    def copy(*argv):
        return subprocess.run([COPY, "--root", ROOT, *argv], stdin=subprocess.DEVNULL,
                              stdout=null, stderr=null).returncode
    copy("run", "--detach", "-b", b.path, b.id)
    wait_for(10, os.path.exists, b.rootfs + "/tmp/up")
    copy("exec", "--detach", b.id, "/entry")
    check(wait_for(10, lambda: os.path.getsize(b.rootfs + "/tmp/why")), "the attack takes place",
          os.listdir(b.rootfs + "/tmp"))
    like(open(b.rootfs + "/tmp/why").read(), "Read-only|not permitted",
         "the runtime cannot be written to")
    copy("delete", "--force", b.id)
check(not os.path.exists(b.rootfs + "/tmp/wrote"), "it was not written to")
is_(hashlib.sha256(open(COPY, "rb").read()).hexdigest(), program, "and is the same as before")

# ---- a neighbour swaps the way to a mount point (CVE-2021-30465, CVE-2024-45310)
shared = T + "/shared"
os.makedirs(shared + "/a/target")
os.symlink("../" * 20 + OUT.lstrip("/"), shared + "/b")
swapper = subprocess.Popen([sys.executable, "-c", """
import ctypes, os, sys
libc = ctypes.CDLL(None)
a, b = (sys.argv[1] + "/a").encode(), (sys.argv[1] + "/b").encode()
while True:
    libc.renameat2(-100, a, -100, b, 2)
""", shared])
starts = 50 if SCALE > 1 else 100
fine = 0
for i in range(starts):
    b = Bundle().sh("echo ran")
    b.mount("/shared", shared, "bind", ["bind"])
    b.mount("/shared/a/target", "/etc", "bind", ["bind", "ro"])
    b.mount("/shared/a/new%d/file" % i, "/etc/hostname", "bind", ["bind"])
    b.mount("/shared/a/tmp%d" % i, "tmpfs", "tmpfs")
    fine += b.run().rc == 0
    shutil.rmtree(b.path)
swapper.kill()
swapper.wait()
untouched("%d starts beside one that swaps (%d of them went well)" % (starts, fine))
check(not any(T in line and "/b" not in line for line in open("/proc/self/mountinfo")
              if OUT in line), "no mount appeared outside")

# ---- sysctls through a swapped /proc (CVE-2025-52881)
host = open("/proc/sys/kernel/core_pattern").read()
b = Bundle().sh("echo ran")
b.spec["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1"}
b.mount("/proc/sys/net", volume, "bind", ["bind"])
check(b.run().rc, "a volume in /proc/sys is refused")
is_(open("/proc/sys/kernel/core_pattern").read(), host, "the host's sysctls are the same")

# ---- what is visible inside
b = Bundle().sh("ls -l /proc/self/fd /proc/1/fd; cat /proc/1/environ | tr '\\0' '\\n'; "
                "grep -c . /proc/self/mountinfo; grep cgroup /proc/self/mountinfo")
env = dict(os.environ, SECRET="of the host")
b.save()
r = run(OCI, "--root", ROOT, "run", "-b", b.path, b.id, env=env)
check("SECRET" not in r.out, "the caller's environment stays outside", r)
check(T not in "".join(x for x in r.out.splitlines() if "mountinfo" not in x and "/ / " not in x),
      "no path of the host shows", r)
check(" cgroup cgroup " not in r.out, "no cgroup v1 hierarchy is visible (CVE-2022-0492)", r)
b = Bundle(userns=True).sh("mount -t cgroup -o rdma cgroup /tmp 2>&1; mount -t tmpfs x /tmp 2>&1; "
                           "unshare -Ur true 2>&1; ls /sys/fs/cgroup/.. | wc -l")
r = b.run()
check("ermission denied" in r.out or "not permitted" in r.out, "mounting is refused inside", r)
b = Bundle(userns=True).sh("echo 1 >/sys/fs/cgroup/cgroup.procs && echo wrote; "
                           "echo 0 >/proc/sys/kernel/panic && echo wrote; true")
check("wrote" not in b.run().out, "nothing of the host is writable (CVE-2023-25809)")
with Bundle() as b:
    r = b.exec("sh", "-c", "grep -E 'CapInh|CapAmb' /proc/self/status /proc/1/status")
    is_(r.out.count("0000000000000000"), 4, "no inheritable capabilities (CVE-2022-24769, 29162)")

# ---- config.json itself
b = Bundle()
with open(b.path + "/config.json", "w") as f:
    f.write("[" * 100000)
r = run(OCI, "--root", ROOT, "run", "-b", b.path, b.id)
check(r.rc == 1 and "config.json" in r.err, "a deep config.json is refused", r)
os.unlink(b.path + "/config.json")
os.mkfifo(b.path + "/config.json")
r = run(OCI, "--root", ROOT, "run", "-b", b.path, b.id, limit_s=10)
check(r.rc == 1, "so is one that is a FIFO", r)
os.unlink(b.path + "/config.json")
os.symlink("/dev/zero", b.path + "/config.json")
r = run(OCI, "--root", ROOT, "run", "-b", b.path, b.id, limit_s=10)
check(r.rc == 1, "or a device", r)

leak_check()
finish()
