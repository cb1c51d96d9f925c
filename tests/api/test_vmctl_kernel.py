# SPDX-License-Identifier: Apache-2.0
# vmctl kernel on packages made here: what is fetched, stored, listed, chosen and
# removed; that nothing is made twice; what is said when something is missing.
# No daemon, no network, no compiler.
import glob
import json
import os
import shutil
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)) + "/..")
from lib import *

need_program("vmctl", "isola-boot-init")
if not shutil.which("dpkg-deb"):
    skip_all("needs dpkg-deb")
STATE = T + "/state"
CACHE = T + "/cache"
os.environ["XDG_CACHE_HOME"] = CACHE
os.environ["ISOLA_SOCKET"] = T + "/nobody.sock"


def vmctl(*argv):
    return run(BUILD + "/vmctl", *argv, limit_s=60 * SCALE)


def kernel(verb, *argv):
    return vmctl("kernel", verb, "--state", STATE, *argv)


def package(name, version, modules, content="a kernel", config=""):
    """A linux-image package; modules: {name: what it needs}."""
    top = "%s/deb-%s-%s" % (T, name, version)
    os.makedirs(top + "/DEBIAN")
    os.makedirs(top + "/boot")
    release = name[len("linux-image-"):]
    drivers = "%s/lib/modules/%s/kernel/drivers" % (top, release)
    os.makedirs(drivers)
    with open(top + "/DEBIAN/control", "w") as f:
        f.write("Package: %s\nVersion: %s\nArchitecture: amd64\nMaintainer: t <t@example.org>\n"
                "Description: test\n" % (name, version))
    with open(top + "/boot/vmlinuz-" + release, "w") as f:
        f.write(content)
    if config:
        with open(top + "/boot/config-" + release, "w") as f:
            f.write(config)
    for module, needs in modules.items():
        with open("%s/%s.ko" % (drivers, module), "wb") as f:
            f.write(b"\x7fELF\0depends=" + needs.encode() + b"\0name=" + module.encode() + b"\0")
    deb = top + ".deb"
    if run("dpkg-deb", "-b", "--root-owner-group", top, deb).rc:
        skip_all("dpkg-deb builds no package")
    return deb


def cpio(path):
    """The files of a newc archive, in order."""
    data, at, files = open(path, "rb").read(), 0, {}
    while True:
        head = data[at:at + 110]
        if head[:6] != b"070701":
            return None
        field = lambda i: int(head[6 + 8 * i:14 + 8 * i], 16)
        size, namesize = field(6), field(11)
        name = data[at + 110:at + 110 + namesize - 1].decode()
        body = (at + 110 + namesize + 3) // 4 * 4
        if name == "TRAILER!!!":
            return files
        files[name] = (field(1), data[body:body + size])
        at = (body + size + 3) // 4 * 4


ONE = package("linux-image-6.9-cloud-amd64", "6.9-1",
              {"virtio": "", "virtio_ring": "", "virtio_mmio": "virtio,virtio_ring",
               "virtio_blk": "virtio,virtio_ring", "net_failover": "failover", "failover": "",
               "virtio_net": "net_failover,virtio", "erofs": "libcrc32c", "libcrc32c": "",
               "unwanted": ""})

r = kernel("ls")
is_((r.rc, r.out.split("\n")[0].split()[:2]), (0, ["NAME", "RELEASE"]), "an empty store is listed")
r = kernel("fetch", "--package", ONE)
is_((r.rc, r.out), (0, "debian-6.9-cloud-amd64\n"), "a package is fetched", repr(r))
folder = STATE + "/kernels/debian-6.9-cloud-amd64"
is_(open(folder + "/vmlinuz").read(), "a kernel", "its kernel is stored")
files = cpio(folder + "/initrd")
check(files is not None, "the initial RAM disk is a cpio archive")
check(files["init"][0] == 0o100755 and files["init"][1] == open(
    os.path.realpath(BUILD + "/isola-boot-init"), "rb").read(), "with our init")
order = files["m/list"][1].decode().splitlines()
check("- virtio.ko" in order and order.index("- virtio.ko") < order.index("- virtio_mmio.ko") and
      order.index("- failover.ko") < order.index("- net_failover.ko") <
      order.index("- virtio_net.ko"), "modules come after what they need", "\n".join(order))
is_([x for x in order if x.startswith("erofs")], ["erofs libcrc32c.ko", "erofs erofs.ko"],
    "those of a file system wait for it")
check("m/virtio_blk.ko" in files and "m/unwanted.ko" not in files, "only what is wanted is in it")
is_(len(order), len(set(order)), "and each once")

# ---------------------------------------------------------------- nothing twice
keys = [x for x in os.listdir(CACHE + "/isola/kernels") if not x.startswith(".")]
is_(len(keys), 1, "the cache has one result, and nothing half done",
    os.listdir(CACHE + "/isola/kernels"))
made = CACHE + "/isola/kernels/" + keys[0] + "/kernel.json"
before = os.stat(made).st_mtime_ns
r = kernel("fetch", "--package", ONE)
is_((r.rc, os.stat(made).st_mtime_ns), (0, before), "a second fetch takes it from there")

# What our patches are for, but nothing to build it of: it is taken as it is, and said.
BARE = package("linux-image-6.8-cloud-amd64", "6.8-1", {"overlay": ""}, config="CONFIG_X=y\n")
r = kernel("fetch", "--package", BARE)
check(r.rc == 0 and "without our patches" in r.err, "modules that cannot be built are Debian's", r)
# Without the programs for it that is final, else it is tried again.
can = all(shutil.which(p) for p in ("gcc", "make", "patch", "xz", "objcopy"))
r = kernel("fetch", "--package", BARE)
is_((r.rc, "without our patches" in r.err), (0, can), "and are so the second time", r)
bare = [x for x in glob.glob(CACHE + "/isola/kernels/*") if "6.8" in open(x + "/kernel.json").read()]
is_(len(bare), 1, "which is kept once")
kernel("rm", "debian-6.8-cloud-amd64")
is_(open(bare[0] + "/config").read(), "CONFIG_X=y\n", "and its config does not claim them")
TWO = package("linux-image-6.10-cloud-amd64", "6.10-1", {"virtio_mmio": ""}, "another")
many = [subprocess.Popen([BUILD + "/vmctl", "kernel", "fetch", "--state", "%s-%d" % (STATE, i),
                          "--package", TWO], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for i in range(4)]
is_([p.wait(60 * SCALE) for p in many], [0] * 4, "four at a time")
is_([os.listdir("%s-%d/kernels" % (STATE, i)).count("debian-6.10-cloud-amd64") for i in range(4)],
    [1] * 4, "each store has it")
is_(len([x for x in os.listdir(CACHE + "/isola/kernels") if not x.startswith(".")]), 3,
    "the cache has it once")

# ------------------------------------------------------------------- use and rm
r = kernel("fetch", "--package", TWO)
is_(kernel("ls", "--format", "{{.Name}} {{.Default}}").out,
    "debian-6.10-cloud-amd64 \ndebian-6.9-cloud-amd64 *\n", "the first one is the default")
is_(kernel("use", "debian-6.10-cloud-amd64").rc, 0, "use")
is_(kernel("ls", "--format", "{{.Name}} {{.Default}}").out,
    "debian-6.10-cloud-amd64 *\ndebian-6.9-cloud-amd64 \n", "changes it")
is_(kernel("rm", "debian-6.9-cloud-amd64").rc, 0, "rm")
is_(kernel("ls", "-q").out, "debian-6.10-cloud-amd64\n", "removes one")
r = kernel("add", CACHE + "/isola/kernels/" + keys[0])
is_((r.rc, r.out), (0, "debian-6.9-cloud-amd64\n"), "add takes a folder of the cache")
r = kernel("use", "nope")
check(r.rc == 1 and 'there is no guest kernel "nope"' in r.err, "an unknown one", repr(r))
r = kernel("rm", "../../etc")
check(r.rc == 1 and "is no name of a kernel" in r.err, "a name that leads elsewhere", repr(r))

# ------------------------------------------------------------------ what is bad
r = kernel("fetch", "--package", "/nonexistent.deb")
check(r.rc == 1 and "failed" in r.err, "a package that is not there", repr(r))
with open(T + "/bad.deb", "w") as f:
    f.write("no package")
r = kernel("fetch", "--package", T + "/bad.deb")
check(r.rc == 1 and "failed" in r.err, "a file that is no package", repr(r))
EMPTY = package("linux-image-6.11-cloud-amd64", "1", {})
os.environ["PATH"], path = T + "/bin:/nonexistent", os.environ["PATH"]
r = kernel("build", "--package", EMPTY)
os.environ["PATH"] = path
check(r.rc == 1, "a build without programs fails", repr(r))
is_(sorted(x for x in os.listdir(STATE + "/kernels") if x.startswith(".")), [],
    "what failed left nothing in the store")
finish()
