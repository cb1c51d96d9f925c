#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# time limit: 180 s
"""The check of the whole store: each kind of damage is found and said in a
sentence, --repair mends or removes it and nothing else, what runs is left alone."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from imagelib import *                              # noqa: F401,F403,E402

need_root()
need_program("isola-image")

base = tar(folder("bin"), file("bin/sh", b"x" * 3000, mode=0o755), symlink("sh", "bin/sh"),
           hardlink("bin/ash", "bin/sh"), folder("empty"), file("deep/er/file", b"y"))
top = tar(file("etc/conf", b"conf"), file("bin/.wh.ash", b""), file("empty/.wh..wh..opq", b""))
twice = tar(file("a", b"1"), file("a", b"22"))
archives = [docker_archive([base, top], name="one:1", compress=gzip.compress),
            docker_archive([base, twice], name="two:1")]


def fresh(name):
    s = Store(name)
    ids = [s("load", data=a).id for a in archives]
    return s, ids


def verify(store, *flags):
    job = store("verify", *flags)
    if job.rc != 0:
        diag("verify: %r" % job)
    return job.aux or {}


def kinds(aux):
    return sorted((p["Kind"], p["Repaired"]) for p in aux.get("Problems", [()]))


def layers(s, one, two):
    """What the layers hold, in a line; a whiteout's time is that of its making."""
    trees = [tree(s.fs(one, 0)), tree(s.fs(one, 1)), tree(s.fs(two, 1))]
    for t in trees:
        for seen in t.values():
            if is_whiteout(seen):
                del seen["mtime"]
    return hashlib.sha256(repr([sorted(t.items()) for t in trees]).encode()).hexdigest()


def blob(store, digest):
    return store.path + "/images/blobs/sha256/" + digest[7:]


def damage(path, at=0):
    with open(path, "r+b") as f:
        f.seek(at)
        byte = f.read(1)
        f.seek(at)
        f.write(bytes([byte[0] ^ 1]))


# ---- a good store
store, (one, two) = fresh("good")
aux = verify(store)
check(aux.get("Found") == 0 and aux["Images"] == 2 and aux["Layers"] == 3 and
      aux["Blobs"] == len(store.record(one)["blobs"]) + len(store.record(two)["blobs"]),
      "a good store: nothing is wrong, everything was looked at", aux)
before = store.files()
aux = verify(store, "--repair")
check(aux.get("Found") == 0 and store.files() == before, "--repair changes nothing in it", aux)
whole = layers(store, one, two)


def case(name, break_it, want, repaired, mends=True, text="", same=True, flags=()):
    """Breaks a store; @want: kinds found; @repaired: those left as they are."""
    s, ids = fresh(name.replace(" ", "-").replace("/", "-"))
    clean = s.files()
    break_it(s, *ids)
    broken = s.files()
    aux = verify(s, *flags)
    check(kinds(aux) == sorted((k, False) for k in want) and aux.get("Left") == len(want) and
          s.files() == broken, name + ": is found, nothing is touched", aux)
    check(all(p["Text"].endswith(".") and len(p["Text"]) > 20 for p in aux.get("Problems", [])) and
          text in " ".join(p["Text"] for p in aux.get("Problems", [])),
          name + ": is said in sentences", aux)
    aux = verify(s, "--repair", *flags)
    check(kinds(aux) == sorted(repaired), name + ": --repair", aux)
    if not mends:
        return s, ids
    again = verify(s, *flags)
    check(again.get("Found") == 0, name + ": nothing is wrong afterwards", again)
    if same:
        kept = [p for p in s.files() if not p.startswith(b"quarantine")]
        is_(kept, clean, name + ": the store is whole again")
        is_(layers(s, *ids), whole,
            name + ": so are its layers")
        is_(s.names(), ["docker.io/library/one:1", "docker.io/library/two:1"],
            name + ": so are its names")
    return s, ids


def quarantined(s):
    return sorted(os.listdir(s.path + "/quarantine"))


# ---- blobs
layer_blob = [None]


def damage_layer_blob(s, one, two):
    layer_blob[0] = s.record(one)["blobs"][1]
    damage(blob(s, layer_blob[0]), 20)


s, ids = case("a damaged blob", damage_layer_blob, ["blob"], [("blob", False)], mends=False,
              text="its content is sha256:")
is_(quarantined(s), [layer_blob[0][7:]], "a damaged blob is moved away, not deleted")
is_(kinds(verify(s)), [("blob", False)], "the image lacks it from then on")
s("load", data=archives[0])
is_(verify(s).get("Found"), 0, "loading the image again brings it back")

s, ids = case("a missing blob", lambda s, one, two: os.unlink(blob(s, s.record(two)["blobs"][0])),
              ["blob"], [("blob", False)], mends=False, text="load or pull it again")
s("load", data=archives[1])
is_(verify(s).get("Found"), 0, "a missing blob: loading the image again brings it back")

case("a blob nobody needs", lambda s, *_: open(
    blob(s, "sha256:" + "a" * 64), "wb").close(), ["unreferenced"],
    [("unreferenced", True)], text="No image needs blob")
case("a file that is no blob", lambda s, *_: open(
    s.path + "/images/blobs/sha256/readme", "wb").close(), ["unreferenced"],
    [("unreferenced", True)], text="is no blob")


# ---- layers
def layer(s, image, i):
    return os.path.dirname(s.fs(image, i))


case("a layer that is gone", lambda s, one, two: shutil.rmtree(layer(s, one, 1)), ["layer"],
     [("layer", True)], text="it is missing")
case("a layer without its facts", lambda s, one, two: os.unlink(layer(s, one, 1) + "/layer.json"),
     ["layer"], [("layer", True)])
case("a shared layer with a file less",
     lambda s, one, two: os.unlink(s.fs(one, 0) + "/bin/ash"), ["layer", "layer"],
     [("layer", True), ("layer", True)], text="names and should have")
case("a layer with a cut-off file", lambda s, one, two: os.truncate(s.fs(one, 1) + "/etc/conf", 1),
     ["layer"], [("layer", True)], text="bytes and should have")
case("a layer nobody needs", lambda s, *_: os.makedirs(s.path + "/layers/%s/fs/x" % ("b" * 64)),
     ["unreferenced"], [("unreferenced", True)], text="No image needs layer")


def lose_both(s, one, two):
    damage_layer_blob(s, one, two)
    shutil.rmtree(layer(s, one, 1))


s, ids = case("a layer and its blob", lose_both, ["blob", "layer"],
              [("blob", False), ("layer", False)], mends=False)
is_(kinds(verify(s)), [("blob", False), ("layer", False)], "cannot be mended")
is_(s("load", data=archives[0]).rc, 0, "but loading the image again")
is_(verify(s).get("Found"), 0, "mends both")


# ---- every byte of a layer
deep = ("--deep",)


def touched(change):
    """CHANGE(path) of a file of the shared layer, with its time as it was."""
    def run_it(s, one, two):
        path = s.fs(one, 0) + "/bin/sh"
        st = os.stat(path)
        change(path)
        os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns))
    return run_it


for what, change, text in (
        ("a byte", lambda p: damage(p, 2999), '"bin/sh": its content is another'),
        ("a mode", lambda p: os.chmod(p, 0o4755), '"bin/sh": it has another mode'),
        ("an owner", lambda p: os.chown(p, 5, 0), '"bin/sh": it has another owner')):
    case("a layer with %s changed" % what, touched(change), ["layer", "layer"],
         [("layer", True), ("layer", True)], text=text, flags=deep)
case("a layer with a time changed", lambda s, one, two: os.utime(s.fs(one, 0) + "/bin/sh", (9, 9)),
     ["layer", "layer"], [("layer", True), ("layer", True)], text="it has another time", flags=deep)


def lead_elsewhere(s, one, two):
    path = s.fs(one, 0) + "/sh"
    st = os.lstat(path)
    os.unlink(path)
    os.symlink("bin/no", path)
    os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns), follow_symlinks=False)


def part(s, one, two):
    shutil.copy2(s.fs(one, 0) + "/bin/sh", s.fs(one, 0) + "/bin/ash2")
    os.rename(s.fs(one, 0) + "/bin/ash2", s.fs(one, 0) + "/bin/ash")
    os.utime(s.fs(one, 0) + "/bin", (1000000000, 1000000000))


case("a layer with a link that leads elsewhere", lead_elsewhere, ["layer"] * 2,
     [("layer", True)] * 2, text='"sh": it leads elsewhere', flags=deep)
case("a layer with hard links parted", part, ["layer"] * 2, [("layer", True)] * 2,
     text='"bin/ash": it is another hard link', flags=deep)

s = Store("deep-good")
with open(T + "/hole", "wb") as f:
    f.seek(1 << 20)
    f.write(b"x" * 5000)
    f.truncate(3 << 20)
sparse = subprocess.run(["tar", "-C", T, "-cS", "hole"], stdout=subprocess.PIPE).stdout
every = tar(folder("d", mode=0o3775, uid=5, gid=6), file("d/f", b"f" * 70000, mode=0o6755, uid=7, gid=8, xattrs=((b"user.k", b"v"),)),
            folder("d/sub", mode=0o755), entry("fifo", kind=b"6", mode=0o640),
            entry("dev", kind=b"3", dev=(1, 3), mode=0o666, uid=1), symlink("l", "/nowhere"),
            hardlink("l2", "l"), hardlink("d/h", "d/f"), file("x/implied", b""),
            file(".wh.gone", b""), folder("o"), file("o/.wh..wh..opq", b""))
for name, layer_tar in (("every", every), ("sparse", sparse)):
    job = s("load", data=docker_archive([layer_tar], name=name + ":1"))
    check(job.rc == 0, "a layer of all kinds of entries: " + name, job)
is_(verify(s, "--deep").get("Problems"), [], "is good, deeply")
hole = next(p for p in (s.path + "/layers/%s/fs/hole" % c for c in os.listdir(s.path + "/layers"))
            if os.path.exists(p))
st = os.stat(hole)
damage(hole, 5)
os.utime(hole, ns=(st.st_atime_ns, st.st_mtime_ns))
aux = verify(s, "--deep")
check(kinds(aux) == [("layer", False)] and "hole" in str(aux), "a hole that is none any more", aux)
s, ids = fresh("deep-replaced")
is_(verify(s, "--deep").get("Found"), 0, "a layer in which an entry replaces another is good, deeply")
damage(s.fs(ids[1], 1) + "/a", 1)
os.utime(s.fs(ids[1], 1) + "/a", (0, 0))
is_(kinds(verify(s, "--deep")), [("layer", False)], "until it is damaged")
is_(kinds(verify(s)), [], "which is not seen from outside")


# ---- records and names
def write(path, text):
    with open(path, "w") as f:
        f.write(text)


def record(s, image):
    return s.path + "/records/%s.json" % image[7:]


case("a damaged record", lambda s, one, two: write(record(s, one), "{"), ["name", "record"],
     [("name", True), ("record", True)], text="cannot be used")
case("a missing record", lambda s, one, two: os.unlink(record(s, one)), ["name"],
     [("name", True)], text="has no record")


def no_names(s, one, two):
    with open(s.path + "/images/index.json") as f:
        doc = json.load(f)
    doc["manifests"] = [m for m in doc["manifests"] if "one" not in json.dumps(m)]
    write(s.path + "/images/index.json", json.dumps(doc))


s, ids = case("an image without a descriptor", no_names, ["record"],
              [("record", True)] + [("unreferenced", True)] * 5, same=False, text="unfinished")
is_(s.names(), ["docker.io/library/two:1"], "what was unfinished is gone")
is_(sorted(paths(s.fs(ids[1], 1))), ["a"], "the other image is whole")

s, ids = case("a damaged index", lambda s, *_: write(s.path + "/images/index.json", "[]"),
              ["index"], [("index", True)], same=False, text="lost their names")
is_((s.names(), quarantined(s)), (["", ""], ["index.json"]), "the images are there without names")
is_([s("tag", i, "again:%d" % n).rc for n, i in enumerate(ids)], [0, 0], "and can be named")

case("a wrong layout mark", lambda s, *_: write(s.path + "/images/oci-layout", "{}"), ["layout"],
     [("layout", True)])
case("leftovers", lambda s, *_: [write(s.path + "/images/.index.json.tmp", "x"),
                                 write(s.path + "/records/.x.tmp", "x"),
                                 os.makedirs(s.path + "/tmp/job-00000000/layer-0/x")],
     ["leftover"] * 3, [("leftover", True)] * 3, text="killed job")

# ---- beside jobs that run
s, ids = fresh("busy")
big = docker_archive([tar(*(file("f%d" % i, b"z" * 4000) for i in range(500)))], name="three:1")
p = start(s.path, "load")
p.stdin.write(big[:len(big) // 2])
p.stdin.flush()
wait_for(10, lambda: os.listdir(s.path + "/tmp"))
aux = verify(s, "--repair")
is_(aux.get("Found"), 0, "what a running job has made is no problem")
p.stdin.write(big[len(big) // 2:])
out, err = p.communicate()
is_(p.returncode, 0, "and the job ends well")
is_(verify(s).get("Found"), 0, "with a good store")
p = start(s.path, "verify", "--repair")
job = s("delete", ids[0])
out, err = p.communicate()
check(job.rc == 0 and p.returncode == 0 and Job(0, out, "").aux["Found"] == 0,
      "an image removed during the check is no problem", out)

# ---- a store of the version before: no leases, no counts in layer.json
s, ids = fresh("old")
os.unlink(s.path + "/images/.leases")
for chain in os.listdir(s.path + "/layers"):
    at = "%s/layers/%s/layer.json" % (s.path, chain)
    with open(at) as f:
        doc = json.load(f)
    doc.pop("names", None), doc.pop("file_bytes", None)
    write(at, json.dumps(doc))
is_(verify(s).get("Found"), 0, "a store written by the version before is good")
is_([s("load", data=a).rc for a in archives] + [s("delete", i).rc for i in ids], [0] * 4,
    "and is used on")
finish()
