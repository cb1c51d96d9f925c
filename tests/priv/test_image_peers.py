#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# time limit: 300 s
# not in the lab: the peers are not installed there
"""The store and the ecosystem's tools: images made by umoci, skopeo, buildah
and podman come in with the ids these give them; what umoci unpacks is what
overlayfs shows of our layers; skopeo reads the store as the OCI layout it is."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from imagelib import *                              # noqa: F401,F403,E402

need_root()
need_program("isola-image")
if not shutil.which("umoci") and not shutil.which("buildah"):
    skip_all("needs umoci and skopeo, or buildah and podman")
store = Store()
store("check")
W = T + "/work"
os.makedirs(W)
ENV = dict(os.environ, XDG_RUNTIME_DIR=W, TMPDIR=W, HOME=W, BUILDAH_ISOLATION="chroot",
           REGISTRIES_CONFIG_PATH="/dev/null")
POLICY = W + "/policy.json"
with open(POLICY, "w") as f:
    f.write('{"default":[{"type":"insecureAcceptAnything"}]}')


def have(*tools):
    return all(shutil.which(t) for t in tools)


def must(*argv):
    r = run(*argv, cwd=W, env=ENV, limit_s=60)
    if r.rc != 0:
        diag("%s: %r" % (argv, r))
    return r


def skopeo(*argv):
    return must("skopeo", "--policy", POLICY, *argv)


def mounted(image_id):
    """The tree overlayfs makes of an image's layers."""
    layers = store.record(image_id)["layers"]
    lower = [store.fs(image_id, i) for i in reversed(range(len(layers)))]
    if len(lower) == 1:
        return tree(lower[0])
    at = W + "/mnt"
    os.makedirs(at, exist_ok=True)
    r = run("mount", "-t", "overlay", "-o", "lowerdir=" + ":".join(lower), "overlay", at)
    if r.rc != 0:
        return {"mount": r}
    try:
        return tree(at)
    finally:
        run("umount", at)


def same(got, want, name, tool=None):
    """No layer speaks of the root; buildah's tars have whole seconds only."""
    bad = []
    for p in sorted(set(got) | set(want)):
        a, b = dict(got.get(p, {})), dict(want.get(p, {}))
        if p == ".":
            a = b = None
        elif tool == "buildah":
            for x in (a, b):
                x["mtime"] = x.get("mtime", 0) // 10**9
        if a != b:
            bad.append("%s\n  ours:   %s\n  theirs: %s" % (p, a, b))
    check(not bad, name, "\n".join(bad[:10]))


# ------------------------------------------------- a root file system with bite

def fill(root, step):
    def put(name, data=b"x", mode=0o644, owner=(0, 0), mtime=1500000000):
        p = root + "/" + name
        os.makedirs(os.path.dirname(p), exist_ok=True)
        with open(p, "wb") as f:
            f.write(data)
        os.chown(p, *owner)
        os.chmod(p, mode)
        os.utime(p, (mtime, mtime))
    if step == 0:
        put("bin/busybox", open(shutil.which("busybox"), "rb").read(), 0o4755)
        os.symlink("busybox", root + "/bin/sh")
        os.link(root + "/bin/busybox", root + "/bin/true")
        put("etc/passwd", b"root:x:0:0::/:/bin/sh\n")
        put("home/u/file", owner=(1000, 1000))
        put("gone/a/b")
        put("gone/c")
        put("again/old")
        put("becomes-file/x")
        put("becomes-folder")
        put("becomes-link")
        put("n\u00e4me/e\u0301/" + "l" * 200)
        os.setxattr(root + "/etc/passwd", "user.key", b"a\0b")
        os.setxattr(root + "/bin/busybox", "security.capability",
                    bytes.fromhex("0100000200040000000000000000000000000000"))
        os.mkfifo(root + "/fifo", 0o600)
        os.mknod(root + "/null", 0o666 | 0o020000, os.makedev(1, 3))
        os.mkdir(root + "/tmp")
        os.chmod(root + "/tmp", 0o1777)
        os.chown(root + "/home/u", 1000, 1000)
    elif step == 1:
        shutil.rmtree(root + "/gone")
        shutil.rmtree(root + "/again")
        put("again/new")
        shutil.rmtree(root + "/becomes-file")
        put("becomes-file")
        os.unlink(root + "/becomes-folder")
        put("becomes-folder/x")
        os.unlink(root + "/becomes-link")
        os.symlink("etc", root + "/becomes-link")
        put("home/u/other", owner=(1000, 1000))
        os.chmod(root + "/bin/busybox", 0o755)
    elif step == 2:
        shutil.rmtree(root + "/home")
        put("gone/a/back", owner=(7, 7))
        os.unlink(root + "/becomes-link")
        put("etc/passwd", b"changed")


def archive_of(layout, tag):
    """An oci-archive of a layout's one image."""
    out = "%s/%s.tar" % (W, tag)
    if os.path.exists(out):
        os.unlink(out)
    skopeo("copy", "-q", "oci:%s:%s" % (layout, tag), "oci-archive:%s:%s" % (out, tag))
    return out


def load(name, path):
    with open(path, "rb") as f:
        job = store("load", data=f)
    check(job.rc == 0, name, job)
    return job


def raw_config_id(transport):
    """The config digest as skopeo sees it."""
    r = skopeo("inspect", "--raw", transport)
    return json.loads(r.out)["config"]["digest"] if r.rc == 0 else r


if have("umoci", "skopeo"):
    lay = W + "/layout"
    must("umoci", "init", "--layout", lay)
    must("umoci", "new", "--image", lay + ":s0")
    for step in range(3):
        bundle = "%s/bundle%d" % (W, step)
        must("umoci", "unpack", "--image", "%s:s%d" % (lay, step), bundle)
        fill(bundle + "/rootfs", step)
        r = must("umoci", "repack", "--image", "%s:s%d" % (lay, step + 1), bundle)
        shutil.rmtree(bundle)
        name = "umoci's image of %d layers" % (step + 1)
        must("umoci", "unpack", "--image", "%s:s%d" % (lay, step + 1), bundle)
        job = load(name, archive_of(lay, "s%d" % (step + 1)))
        if job.rc != 0:
            continue
        same(mounted(job.id), tree(bundle + "/rootfs"), name + ": overlayfs shows what umoci unpacks")
        is_(job.id, raw_config_id("oci:%s:s%d" % (lay, step + 1)), name + ": the id")
        shutil.rmtree(bundle)
    # as it lies there: what `load` of a folder sends
    r = must("tar", "-C", lay, "-cf", W + "/layout.tar", ".")
    job = load("the layout's folder, with all its tags", W + "/layout.tar")
    is_(sorted(job.aux["Refs"]), ["docker.io/library/s%d:latest" % i for i in (0, 1, 2, 3)],
        "the tags become names")
    is_(len(os.listdir(store.path + "/layers")), 3, "all share their layers")

    # ---- skopeo reads the store
    top = "docker.io/library/s3:latest"
    ours = "oci:%s/images:%s" % (store.path, top)
    r = skopeo("inspect", ours)
    check(r.rc == 0 and json.loads(r.out)["Os"] == "linux", "skopeo inspects the store", r)
    for dest in ("docker-archive:%s/out.da:" % W, "oci-archive:%s/out.oa:" % W, "dir:%s/out.d" % W):
        kind = dest.split(":")[0]
        want = dest + ("back:" + kind[:3] if dest.endswith(":") else "")
        check(skopeo("copy", "-q", ours, want).rc == 0, "skopeo copies from the store to " + kind)
    was = raw_config_id(ours)
    other = Store("other")
    for f, kind in ((W + "/out.da", "docker-archive"), (W + "/out.oa", "oci-archive")):
        with open(f, "rb") as stream:
            job = other("load", data=stream)
        check(job.rc == 0, "skopeo's %s comes back" % kind, job)
        is_(job.id, was, "with the same id")
    is_(len(os.listdir(other.path + "/layers")), 3, "and the same layers")
    r = must("umoci", "unpack", "--image", "%s/images:%s" % (other.path, "docker.io/library/back:oci"),
             W + "/from-store")
    check(r.rc == 0, "umoci unpacks from the store", r)
    same(mounted(was), tree(W + "/from-store/rootfs"), "and finds what it put in")
    before = sorted(os.listdir(other.path + "/images/blobs/sha256"))
    must("umoci", "gc", "--layout", other.path + "/images")
    is_(sorted(os.listdir(other.path + "/images/blobs/sha256")), before,
        "umoci's gc finds nothing to collect")
else:
    skip("umoci's images", "needs umoci and skopeo")

# --------------------------------------------------------------- podman, buildah
BASE = ["--root", W + "/graph", "--runroot", W + "/run", "--storage-driver", "vfs"]
if have("buildah", "podman"):
    ctr = must("buildah", *BASE, "from", "scratch").out.strip()
    mnt = must("buildah", *BASE, "mount", ctr).out.strip()
    fill(mnt, 0)
    must("buildah", *BASE, "config", "--cmd", "/bin/true", "--env", "A=b", "--port", "80",
         "--label", "k=v", "--user", "u", "--workingdir", "/w", "--volume", "/v", ctr)
    want = tree(mnt)
    for fmt in ("oci", "docker"):
        ref = "localhost/made:" + fmt
        must("buildah", *BASE, "commit", "-q", "--format", fmt, ctr, ref)
        r = must("podman", *BASE, "image", "inspect", "--format", "{{.Id}}", ref)
        theirs = "sha256:" + r.out.strip()
        for form in ("oci-archive", "docker-archive"):
            f = "%s/%s-%s.tar" % (W, fmt, form)
            must("podman", *BASE, "save", "-q", "--format", form, "-o", f, ref)
            job = load("podman save --format %s of a %s image" % (form, fmt), f)
            if job.rc != 0:
                continue
            if form.split("-")[0] == fmt:
                is_(job.id, theirs, "its id is podman's")
            is_(job.aux["Refs"], [ref], "its name")
            conf = store.record(job.id)["config"]
            is_([conf.get(k) for k in ("Cmd", "User", "WorkingDir", "Volumes", "ExposedPorts")] +
                ["A=b" in conf["Env"], conf["Labels"].get("k")],
                [["/bin/true"], "u", "/w", {"/v": {}}, {"80": {}}, True, "v"], "its config")
            same(mounted(job.id), want, "its files", "buildah")
    # and back: podman loads what we hold
    if have("skopeo"):
        job = store("import", "--ref", "localhost/imported:1", "--change", "CMD /bin/true",
                    data=tar(folder("bin"), file("bin/true", b"x", mode=0o755)))
        skopeo("copy", "-q", "oci:%s/images:localhost/imported:1" % store.path,
               "oci-archive:%s/imp.tar:localhost/imported:1" % W)
        must("podman", *BASE, "load", "-q", "-i", W + "/imp.tar")
        r = must("podman", *BASE, "image", "inspect", "--format", "{{.Id}}", "localhost/imported:1")
        is_("sha256:" + r.out.strip(), job.id, "podman gives an imported image the same id")
    must("buildah", *BASE, "rm", "-a")
else:
    skip("buildah's images", "needs buildah and podman")

for image in os.listdir(store.path + "/records"):
    store("delete", "sha256:" + image[:64])
is_([store.names(), os.listdir(store.path + "/layers"),
     os.listdir(store.path + "/images/blobs/sha256")], [[], [], []], "all of it can be deleted")
finish()
