#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""isola-oci under those who drive OCI runtimes: podman, containerd (ctr), and an
ordinary user by hand."""
# time limit: 240 s
import json
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from ctr_bundle import *

oci_setup()
make_rootfs(T + "/image")
run("tar", "-C", T + "/image", "-cf", T + "/image.tar", ".")

# Engines look for cgroup v2 at /sys/fs/cgroup; this shows it there, to them alone.
INSIDE = "mount -t cgroup2 none /sys/fs/cgroup 2>/dev/null; cd /; "


def engine(script, limit_s=100):
    """A shell script in a mount namespace of its own; its output as lines."""
    with open(T + "/engine.out", "w+") as out:
        try:
            subprocess.run(["unshare", "-m", "sh", "-c", INSIDE + script], stdin=subprocess.DEVNULL,
                           stdout=out, stderr=subprocess.STDOUT, timeout=limit_s * SCALE)
        except subprocess.TimeoutExpired:
            out.write("(took too long)\n")
        out.seek(0)
        return out.read()


PODMAN = """
cg=/%(cg)s/podman
export XDG_RUNTIME_DIR=%(t)s/xdg; mkdir -p $XDG_RUNTIME_DIR
p() { podman --root %(t)s/pr --runroot %(t)s/prr --storage-driver vfs --cgroup-manager cgroupfs \
      --events-backend file --runtime %(oci)s "$@"; }
r="--network none --cgroup-parent $cg --pids-limit=-1 --ulimit nofile=1024:1024 --ulimit nproc=1000:1000"
p import %(t)s/image.tar box >/dev/null 2>&1
p run --rm $r box sh -c 'echo run $(id -u) $(grep Seccomp: /proc/self/status); exit 3'; echo rc=$?
p run --rm $r box missing; echo rc=$?
p run --rm -t $r box sh -c 'echo term $(tty)'; echo rc=$?
p run --rm --user 1000:1001 --read-only --tmpfs /scratch -v %(t)s/image:/vol:ro $r box \
  sh -c 'echo user $(id -u):$(id -g) $(ls /vol/etc/passwd) $(df /scratch | tail -n 1 | cut -c 1-5)'
p run -d --name one $r box sleep 100 >/dev/null; echo rc=$?
p exec one sh -c 'echo exec $(id -u); exit 4'; echo rc=$?
p exec -u 1000 -t one sh -c 'echo exec -t $(id -u)'; echo rc=$?
p exec one missing; echo rc=$?
p pause one >/dev/null; p inspect --format 'state {{.State.Status}}' one; p unpause one >/dev/null
p top one | tail -n 1 | sed 's/.*sleep/top sleep/'
p kill one >/dev/null; p wait one; p rm -f one >/dev/null; echo rc=$?
p ps -aq | wc -l
"""

if shutil.which("podman") and shutil.which("conmon"):
    text = engine(PODMAN % {"t": T, "oci": OCI, "cg": CGROUP})
    for want, name in ((r"run 0 Seccomp: 2\nrc=3\n", "run, its status, seccomp"),
                       (r"not found.*\nrc=127\n", "a missing program is 127"),
                       (r"term /dev/pts/0\s+rc=0\n", "a terminal"),
                       (r"user 1000:1001 /vol/etc/passwd tmpfs\n", "user, volume, tmpfs"),
                       (r"exec 0\nrc=4\n", "exec"), (r"exec -t 1000\s+rc=0\n", "exec -t"),
                       (r"state paused\n", "pause"), (r"top sleep 100", "top"),
                       (r"137\nrc=0\n0\n$", "kill, wait, rm")):
        like(text, want, "podman: " + name)
else:
    skip("podman", "podman is not installed")

CONTAINERD = """
cat >%(t)s/containerd.toml <<EOF
version = 2
root = "%(t)s/cd"
state = "%(t)s/cds"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.snapshotter.v1.aufs"]
[grpc]
address = "%(t)s/cd.sock"
[ttrpc]
address = "%(t)s/cdt.sock"
EOF
containerd -c %(t)s/containerd.toml >%(t)s/containerd.log 2>&1 & daemon=$!
c() { ctr -a %(t)s/cd.sock -n %(cg)s "$@"; }
i=0; until c version >/dev/null 2>&1 || [ $i = 300 ]; do i=$((i+1)); sleep 0.1; done
c images import %(t)s/oci.tar >/dev/null 2>&1; image=$(c images ls -q | head -n 1)
r="--snapshotter native --runc-binary %(oci)s --runc-root %(t)s/cdr"
c run --rm $r $image %(id)s-1 sh -c 'echo run $(id -u); exit 3'; echo rc=$?
c run --rm $r $image %(id)s-2 missing
c run -d $r $image %(id)s-3 sleep 100; echo rc=$?
c task exec --exec-id e1 %(id)s-3 sh -c 'echo exec $(id -u); exit 6'; echo rc=$?
c task exec --exec-id e2 %(id)s-3 missing
c task pause %(id)s-3; c task ls | grep -o PAUSED; c task resume %(id)s-3
c task kill -s KILL %(id)s-3
i=0; until c task ls | grep -q STOPPED || [ $i = 300 ]; do i=$((i+1)); sleep 0.1; done
c task rm %(id)s-3 2>/dev/null; c containers rm %(id)s-3; echo rc=$? left=$(c containers ls -q | wc -l)
kill $daemon; wait $daemon
"""

if not shutil.which("containerd") or not shutil.which("ctr"):
    skip("containerd", "containerd is not installed")
elif not shutil.which("skopeo"):
    skip("containerd", "skopeo is not installed: no OCI archive to import")
else:
    engine("podman --root %(t)s/pr --runroot %(t)s/prr --storage-driver vfs save --format oci-archive "
           "-o %(t)s/oci.tar box" % {"t": T})
    if not os.path.exists(T + "/oci.tar"):
        skip("containerd", "no image to import")
    else:
        text = engine(CONTAINERD % {"t": T, "oci": OCI, "cg": CGROUP,
                                    "id": "isola%d" % os.getpid()})
        for want, name in ((r"run 0\nrc=3\n", "run and its status"),
                           (r"runtime create failed:.*executable file not found", "a missing program"),
                           (r"exec 0\nrc=6\n", "exec"),
                           (r"runtime exec failed:.*executable file not found",
                            "a missing program of an exec"),
                           (r"PAUSED", "pause"), (r"rc=0 left=0\n", "kill and delete")):
            like(text, want, "containerd: " + name)

# ---- an ordinary user
USER = 65000
b = Bundle()
shutil.rmtree(b.rootfs)
make_rootfs(b.rootfs)
home = tempfile.mkdtemp(prefix="isola-user-", dir="/var/tmp")
os.makedirs(home + "/xdg")
shutil.move(b.path, home + "/b")
shutil.copy(OCI, home + "/oci")
for folder, names, files in os.walk(home):
    for n in names + files + ["."]:
        os.lchown(folder + "/" + n, USER, USER)


def as_user(*argv):
    env = {"XDG_RUNTIME_DIR": home + "/xdg", "PATH": os.environ["PATH"]}
    with open(T + "/user.out", "w+") as out:
        try:
            rc = subprocess.run([home + "/oci", *argv], stdin=subprocess.DEVNULL, stdout=out,
                                stderr=subprocess.STDOUT, env=env, cwd=home + "/b", user=USER,
                                group=USER, extra_groups=[], timeout=30 * SCALE).returncode
        except subprocess.TimeoutExpired:
            rc = 124
        out.seek(0)
        return rc, out.read()


def configure(*argv):
    with open(home + "/b/config.json") as f:
        spec = json.load(f)
    spec["process"].update({"terminal": False, "args": list(argv)})
    spec["root"]["readonly"] = False
    with open(home + "/b/config.json", "w") as f:
        json.dump(spec, f)


is_(as_user("spec", "--rootless"), (0, ""), "a user: spec --rootless")
os.chown(home + "/b/config.json", USER, USER)
configure("sh", "-c", "id -u; echo x >/tmp/x; stat -c %u /tmp/x; cat /proc/self/uid_map")
rc, text = as_user("run", "u1")
if rc and "user namespace" in text:
    skip("a user: run", "this host gives users no user namespace")
else:
    is_((rc, text.split()), (0, ["0", "0", "0", str(USER), "1"]), "a user: run")
    is_(os.stat(home + "/b/rootfs/tmp/x").st_uid, USER, "its files are the user's")
    configure("sleep", "100")
    is_(as_user("run", "--detach", "u2"), (0, ""), "a user: run --detach")
    is_(as_user("exec", "u2", "id", "-u"), (0, "0\n"), "a user: exec")
    like(as_user("list")[1], r"u2 +\d+ +running", "a user: list")
    is_(as_user("delete", "--force", "u2"), (0, ""), "a user: delete --force")
    is_(os.listdir(home + "/xdg/isola-oci"), [], "nothing is left of it") if not \
        os.path.exists(home + "/xdg/isola-oci/.seccomp") else \
        is_(os.listdir(home + "/xdg/isola-oci"), [".seccomp"], "only the cache is left")
shutil.rmtree(home)

for folder, _, _ in os.walk("%s/%s" % (cgroup2_root(), CGROUP), topdown=False):
    if os.path.basename(folder) != CGROUP:
        wait_for(5, lambda f=folder: not os.path.isdir(f) or run("rmdir", f).rc == 0)
run("umount", T + "/pr/vfs", T + "/cds")
shutil.rmtree(ROOT + "/.seccomp", ignore_errors=True)
leak_check()
finish()
