# SPDX-License-Identifier: Apache-2.0
"""Bundles for the tests of the container library and isola-oci: a root file
system of busybox, and a config.json that a test changes as it likes.

    b = Bundle()                    # T/b1 with rootfs and spec
    b.spec["process"]["args"] = ["id", "-u"]
    r = b.run()                     # isola-oci run; .rc .out .err
"""
import copy
import itertools
import json
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/..")
from lib import *  # noqa: E402,F401,F403
import lib  # noqa: E402

T = lib.T
OCI = BUILD + "/isola-oci"
ROOT = T + "/run"  # what leak_check() looks at
BASE = 0x10000 * 3  # first host id of a test's user namespace

_numbers = itertools.count(1)

CAPS = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_SETGID", "CAP_SETUID",
        "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL"]

SPEC = {
    "ociVersion": "1.0.2",
    "process": {
        "terminal": False,
        "user": {"uid": 0, "gid": 0},
        "args": ["true"],
        "env": ["PATH=/bin:/usr/bin", "TERM=xterm"],
        "cwd": "/",
        "capabilities": {k: CAPS for k in ("bounding", "effective", "permitted")},
        "noNewPrivileges": True,
    },
    "root": {"path": "rootfs"},
    "hostname": "test",
    "mounts": [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
         "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
         "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
        {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
         "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
         "options": ["nosuid", "noexec", "nodev"]},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs",
         "options": ["nosuid", "noexec", "nodev", "ro"]},
        {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
         "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]},
    ],
    "linux": {
        "namespaces": [{"type": t} for t in ("pid", "network", "ipc", "uts", "mount", "cgroup")],
        "maskedPaths": ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list",
                        "/sys/firmware"],
        "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                          "/proc/sysrq-trigger"],
    },
}


def oci(*argv, **kw):
    """isola-oci with the test's own state folder."""
    return run(OCI, "--root", ROOT, *argv, **kw)


def oci_to_files(*argv):
    """The same with files for its output: for what leaves a container behind,
    which would keep a pipe open."""
    with open(T + "/.out", "w+") as out, open(T + "/.err", "w+") as err:
        try:
            rc = subprocess.run([OCI, "--root", ROOT, *argv], stdin=subprocess.DEVNULL, stdout=out,
                                stderr=err, timeout=30 * SCALE).returncode
        except subprocess.TimeoutExpired:
            rc = 124
        out.seek(0)
        err.seek(0)
        return lib.Ran(rc, out.read(), err.read())


def make_rootfs(path):
    """busybox under all its names, the folders that a container needs, users."""
    for d in ("bin", "etc", "proc", "sys", "dev", "root", "tmp", "home/u"):
        os.makedirs(path + "/" + d, exist_ok=True)
    os.chmod(path + "/tmp", 0o1777)
    shutil.copy(shutil.which("busybox"), path + "/bin/busybox")
    for a in run(path + "/bin/busybox", "--list").out.split():
        if a != "busybox":
            os.symlink("busybox", path + "/bin/" + a)
    with open(path + "/etc/passwd", "w") as f:
        f.write("root:x:0:0:root:/root:/bin/sh\nu:x:1000:1001:u:/home/u:/bin/sh\n")
    with open(path + "/etc/group", "w") as f:
        f.write("root:x:0:\nug:x:1001:\nextra:x:2000:u\nother:x:2001:root,u\n")
    return path


class Bundle:
    """One bundle; the files of the root are hard links to the first one's."""
    _first = None

    def __init__(self, userns=False):
        n = next(_numbers)
        self.id = "c%d" % n
        self.path = "%s/b%d" % (T, n)
        self.rootfs = self.path + "/rootfs"
        os.makedirs(self.path)
        if Bundle._first is None:
            Bundle._first = make_rootfs(T + "/first")
        shutil.copytree(Bundle._first, self.rootfs, symlinks=True, copy_function=os.link)
        self.spec = copy.deepcopy(SPEC)
        self.spec["linux"]["cgroupsPath"] = "/%s/%s" % (CGROUP, self.id)
        if userns:
            self.use_userns()

    def use_userns(self):
        """A user namespace; the root's files go to its ids, as podman has it."""
        linux = self.spec["linux"]
        linux["namespaces"].append({"type": "user"})
        for k in ("uidMappings", "gidMappings"):
            linux[k] = [{"containerID": 0, "hostID": BASE, "size": 65536}]
        shutil.rmtree(self.rootfs)
        make_rootfs(self.rootfs)
        for folder, names, files in os.walk(self.rootfs):
            for name in names + files + ["."]:
                os.lchown(folder + "/" + name, BASE, BASE)

    def sh(self, script):
        """The payload: a shell script."""
        self.spec["process"]["args"] = ["sh", "-c", script]
        return self

    def namespaces(self, *types):
        self.spec["linux"]["namespaces"] = [t if isinstance(t, dict) else {"type": t}
                                            for t in types]
        return self

    def mount(self, destination, source="none", type="bind", options=()):
        self.spec["mounts"].append({"destination": destination, "source": source, "type": type,
                                    "options": list(options)})
        return self

    def save(self):
        with open(self.path + "/config.json", "w") as f:
            json.dump(self.spec, f)
        return self

    def run(self, *flags, **kw):
        self.save()
        return oci("run", "-b", self.path, *flags, self.id, **kw)

    def verb(self, name, *argv, **kw):
        """isola-oci NAME ID ARGV..."""
        return oci(name, self.id, *argv, **kw)

    def run_detached(self, *flags):
        self.save()
        return oci_to_files("run", "--detach", "-b", self.path, *flags, self.id)

    def create(self, *flags):
        self.save()
        return oci_to_files("create", "-b", self.path, *flags, self.id)

    def start(self):
        return self.verb("start")

    def exec(self, *argv, flags=(), **kw):
        return oci("exec", *flags, self.id, *argv, **kw)

    def state(self):
        r = self.verb("state")
        return json.loads(r.out) if r.rc == 0 else None

    def status(self):
        s = self.state()
        return s["status"] if s else None

    def delete(self):
        return oci("delete", "--force", self.id)

    def __enter__(self):
        """A container that waits, for the tests of exec and others."""
        self.sh("trap 'exit 0' TERM; while :; do sleep 0.05; done")
        r = self.run_detached()
        if r.rc:
            not_ok("the container runs", r)
        return self

    def __exit__(self, *_):
        self.delete()


def oci_setup():
    need_root()
    need_program("isola-oci")
    if not shutil.which("busybox"):
        skip_all("needs busybox-static")
    leak_mark()
