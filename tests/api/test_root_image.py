# SPDX-License-Identifier: Apache-2.0
#
# Root images of microVMs as isolad has them: the choice at creation, made before the first
# start, kept over a restart of isolad, counted, checked, gone with the image. A stand-in for
# isola-vmm (tests/priv/fake_vmm.c) never becomes a guest, so each start fails in the end: what
# counts is what was there before.
# not in the lab: no guest runs, and mkfs.erofs is the same program everywhere
# time limit: 120 s
import json
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)) + "/..")
from lib import *

FAKE = BUILD + "/tests/priv/fake_vmm"
need_root()
need_program("isolad", "ctrctl")
if not os.access(FAKE, os.X_OK):
    skip_all("fake_vmm is not built")
if not os.access("/dev/kvm", os.R_OK | os.W_OK):
    skip_all("needs /dev/kvm: without it no microVM is created")
if not shutil.which("mkfs.erofs"):
    skip_all("needs mkfs.erofs (package erofs-utils)")

os.environ["FAKE_PROBE"] = T + "/answer"
with open(T + "/answer", "w") as f:
    json.dump({"linux": True, "checks": []}, f)
for name in ("/kernel", "/init"):
    with open(T + name, "w") as f:
        f.write("x")
FLAGS = ["--vmm", FAKE, "--guest-kernel", T + "/kernel", "--guest-init", T + "/init",
         "--guest-boot-timeout", "1"]
OPTIONS = ("CONFIG_EROFS_FS", "CONFIG_VIRTIO_PMEM", "CONFIG_OVERLAY_FS", "CONFIG_OVERLAY_FS_UPPER_UNLINKED")


def kernel_says(text):
    """What the guests' kernel has, in the file beside it; None: there is no such file."""
    if text is None:
        os.unlink(T + "/config")
        return
    with open(T + "/config", "w") as f:
        f.write(text)


def create(*flags, image="busybox"):
    return d.ctr("create", "--network", "none", *flags, image, "true", limit_s=60)


def vm(*flags, **kw):
    r = create("--isolation", "vm", *flags, **kw)
    if r.rc != 0:
        not_ok("a microVM is created", r)
    return r.out.strip()


def inspect(box):
    return d.request("GET", "/containers/%s/json" % box)[2]


def root_of(box):
    return inspect(box)["Isola"].get("Root")


def files():
    return sorted(os.path.join(where, "root.erofs") for where, _, names in
                  os.walk(d.root + "/state/layers") if "root.erofs" in names)


def log():
    with open(d.log) as f:
        return f.read()


d = start_isolad(*FLAGS) or skip_all("isolad does not start")
busybox_tar(T + "/root.tar")
is_(d.ctr("import", T + "/root.tar", "busybox").rc, 0, "an image")
kernel_says("".join("\n%s=y" % o for o in OPTIONS))

# ------------------------------------------------------------------------------- the choice
is_(root_of(vm()), "erofs", "the default is auto: the image is small")
r = create("--storage-opt", "root=erofs")
check(r.rc and "this is a container (--isolation vm makes it one)" in r.err,
      "a container has no such choice", r)
r = create("--isolation", "vm", "--storage-opt", "root=nfs")
check(r.rc and "root: 'nfs' is not auto, erofs or virtiofs" in r.err, "what is none", r)
is_(root_of(vm("--storage-opt", "root=virtiofs")), "virtiofs", "the one")
box = vm("--storage-opt", "root=erofs")
is_((root_of(box), inspect(box)["HostConfig"]["StorageOpt"]), ("erofs", {"root": "erofs"}),
    "the other")
is_(root_of(vm("--storage-opt", "root=auto")), "erofs", "auto: the image is small")
is_("Root" in inspect(create().out.strip())["Isola"], False, "a container has none")
kernel_says("\nCONFIG_EROFS_FS=y\n# CONFIG_VIRTIO_PMEM is not set\nCONFIG_OVERLAY_FS=y")
r = create("--isolation", "vm", "--storage-opt", "root=erofs")
check(r.rc and "root=erofs is not possible here: the kernel for guests lacks" in r.err,
      "a kernel without memory for it", r)
is_(root_of(vm("--storage-opt", "root=auto")), "virtiofs", "auto does without")
kernel_says("".join("\n%s=y" % o for o in OPTIONS[:3]))
is_(root_of(vm()), "virtiofs", "a kernel that loses hard links of a writable layer")
is_(root_of(vm("--read-only")), "erofs", "where there is none to lose")
r = create("--isolation", "vm", "--storage-opt", "root=erofs")
check(r.rc == 0 and "WARNING: with root=erofs" in r.err and "hard links are lost" in r.err and
      root_of(r.out.strip()) == "erofs", "who wants it hears of it", r)
r = create("--isolation", "vm", "--read-only", "--storage-opt", "root=erofs")
is_((r.rc, r.err), (0, ""), "if there is something to lose")
kernel_says(None)
is_(root_of(vm("--storage-opt", "root=auto")), "virtiofs", "auto, and a kernel that says nothing")
is_(root_of(vm("--storage-opt", "root=erofs")), "erofs", "which is no reason to refuse")
kernel_says("".join("\n%s=y" % o for o in OPTIONS))
is_(files(), [], "nothing is made before a start")

# ---------------------------------------------------------------------------------- made once
boxes = [box] + [vm("--storage-opt", "root=erofs") for _ in range(3)]
with ThreadPoolExecutor(4) as pool:
    ends = list(pool.map(lambda b: d.ctr("start", b, limit_s=60), boxes))
check(len(files()) == 1 and all(e.rc and "root image" not in e.err for e in ends),
      "four starts at once: it is there, and none fails for it", (ends, files()))
made = os.stat(files()[0])
d.ctr("start", box, limit_s=60)
is_(os.stat(files()[0]).st_ino, made.st_ino, "the next start has the same")
df = d.request("GET", "/system/df")[2]
is_((df["RootsCount"], df["RootsSize"]), (1, made.st_size), "df counts it")
like(d.ctr("system", "df").out, r"Root Images +1 +1 +[0-9.]+MB", "and shows it")
doc = d.request("GET", "/containers/%s/explain" % box)[2]
is_(doc["Root"], {"Type": "erofs", "File": files()[0]}, "explain names it")
like(d.ctr("explain", box).out, r"root +EROFS, read-only", "for people, too")
d.stop(signal.SIGKILL)
start_isolad(*FLAGS, "--guest-root", "virtiofs")
is_(root_of(box), "erofs", "the choice is on record")
is_(root_of(vm()), "virtiofs", "guest-root virtiofs")
is_(root_of(vm("--storage-opt", "root=auto")), "erofs", "which one may choose otherwise than")
with open(files()[0], "r+b") as f:
    f.seek(5000)
    f.write(b"damage")
_, _, said = d.request("POST", "/system/check?repair=1")
is_([(p["Kind"], p["Repaired"]) for p in said["Problems"]], [("root", True)], "the check finds damage")
is_(files(), [], "and repairs by removing")
d.ctr("start", box, limit_s=60)
is_(len(files()), 1, "what is made again at the next start")
d.ctr("rm", "-f", *d.ctr("ps", "-aq").out.split(), limit_s=60)
r = d.ctr("image", "prune", "-af")
check(r.rc == 0 and files() == [], "it goes with its image", r)

# ------------------------------------------- limits that the guest enforces, where nobody else can
info = d.request("GET", "/info")[2]
if info["MemoryLimit"]:
    skip("limits without a controller", "this host has the memory controller")
else:
    is_(d.ctr("import", T + "/root.tar", "busybox").rc, 0, "an image")
    r = create("--isolation", "vm", "-m", "64m", "--cpus", "1", "--pids-limit", "50")
    check(r.rc == 0 and "memory" in r.err and "CPU" in r.err.upper(), "the guest enforces them, and what is not is said", r)
    limited = r.out.strip()
    host = inspect(limited)["HostConfig"]
    is_((host["Memory"], host["NanoCpus"], host["PidsLimit"]), (64 << 20, 10**9, 50), "inspect has them")
    r = d.ctr("start", limited, limit_s=60)
    check(r.rc and "cgroup" not in r.err and "controller" not in r.err, "a start is not held up by them", r)
    r = create("-m", "64m")
    check(r.rc and "cannot enforce 64m" in r.err, "a container's are refused as ever", r)
    for flags in (["--cpus", "0.5"], ["--cpu-quota", "50000"], ["--memory-reservation", "32m"]):
        r = create("--isolation", "vm", *flags)
        check(r.rc and "cannot enforce" in r.err, "as is what no guest enforces: %s" % " ".join(flags), r)
    d.ctr("rm", "-f", limited)
    d.ctr("image", "prune", "-af")

# ------------------------------------------------------------ a start that waits is cut short
def makers():
    """The processes that make a file: isola-image's, with all that they started."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/cmdline" % pid, "rb") as f:
                words = f.read().split(b"\0")
            with open("/proc/%s/stat" % pid) as f:
                parent = int(f.read().rpartition(") ")[2].split()[1])
        except OSError:
            continue
        if parent == d.pid and words[0].endswith(b"isola-image") and b"root" in words:
            found.append(int(pid))
    return found


def hold():
    """Stops who makes the file, as soon as there is somebody."""
    if not wait_for(20, makers):
        return []
    pids = makers()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    return pids


os.makedirs(T + "/large")
with open(T + "/large/data", "wb") as f:
    f.write(os.urandom(1 << 20) * 96)
run("tar", "-C", T + "/large", "-rf", T + "/root.tar", "data")
is_(d.ctr("import", T + "/root.tar", "busybox").rc, 0, "a larger image")
cuts = {"stop": ["stop"], "kill": ["kill"], "rm": ["rm", "-f"]}
boxes = {verb: vm("--storage-opt", "root=erofs") for verb in cuts}
other = vm("--storage-opt", "root=erofs")
with ThreadPoolExecutor(4) as pool:
    starts = {verb: pool.submit(d.ctr, "start", box, limit_s=60) for verb, box in boxes.items()}
    waits = pool.submit(d.ctr, "start", other, limit_s=60)
    held = hold()
    check(held, "the file is being made, and is held up")
    check(wait_for(20, lambda: all(inspect(b)["State"]["Status"] in ("created", "starting")
                                   for b in boxes.values())), "four wait for it")
    for verb, words in cuts.items():
        r = d.ctr(*words, boxes[verb], limit_s=20)
        is_(r.rc, 0, "%s does not wait" % verb, r)
        r = starts[verb].result(20)
        check(r.rc and "it was stopped before its image's root image was made" in r.err,
              "and the start says so", r)
    is_((waits.done(), files()), (False, []), "another waits still")
    for pid in held:
        os.kill(pid, signal.SIGCONT)
    check("root image" not in waits.result(60).err and len(files()) == 1, "until it is there", waits.result())
is_(sorted(inspect(b)["State"]["Running"] for v, b in boxes.items() if v != "rm"), [False, False], "they run not")
d.ctr("rm", "-f", *d.ctr("ps", "-aq").out.split(), limit_s=60)
d.ctr("image", "prune", "-af")
is_(files(), [], "all is gone")
run("tar", "--delete", "-f", T + "/root.tar", "data")

# ------------------------------------------------------------------------ what cannot be made
d.stop()
os.environ["ISOLA_IMAGE_MAX_BYTES"] = "4m"      # of files; a root image needs some more
start_isolad(*FLAGS)
is_(d.ctr("import", T + "/root.tar", "busybox").rc, 0, "an image again")
sure, auto = vm("--storage-opt", "root=erofs"), vm("--storage-opt", "root=auto")
is_((root_of(sure), root_of(auto)), ("erofs", "erofs"), "two that want it")
r = d.ctr("start", sure, limit_s=60)
check(r.rc and "cannot make the root image" in r.err and "more than" in r.err,
      "it cannot be made: the start says why", r)
is_(root_of(sure), "erofs", "who wanted nothing else gets nothing else")
r = d.ctr("start", auto, limit_s=60)
check("root image" not in r.err and root_of(auto) == "virtiofs", "auto goes on by virtio-fs", r)
check("it has its root by virtio-fs: cannot make the root image" in log(), "which the log says",
      d.log_tail())
d.stop(signal.SIGKILL)
start_isolad(*FLAGS)
is_(root_of(auto), "virtiofs", "and the record")
is_(os.listdir(d.root + "/state/tmp"), [], "nothing is left behind")
d.stop()
finish()
