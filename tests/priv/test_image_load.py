#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# time limit: 240 s
"""Image archives of every form into the store, names, sharing, removal, and
archives that lie about what they hold."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from imagelib import *                              # noqa: F401,F403,E402

need_root()
need_program("isola-image")


BASE = tar(folder("./"), folder("etc"), file("etc/passwd", b"root"), file("etc/gone"))
TOP = tar(file("etc/.wh.gone"), file("etc/new", b"new"))
MEDIA = "application/vnd.oci.image."
store = Store()


def loads(name, data, *names, **kw):
    """One image, with these (full) names; gone afterwards. Returns the job."""
    job = store("load", data=data, **kw)
    if job.rc != 0:
        not_ok(name, job)
        return job
    is_(sorted(job.aux["Refs"]), sorted(names), name)
    return job


def drop(job):
    for image in job.aux["Images"] if job.aux else []:
        store("delete", image["ID"])


def same_layers(job, name):
    r = store.record(job.id)
    check(r["diff_ids"] == [sha256(BASE), sha256(TOP)] and
          paths(store.fs(job.id, 0)) == ["etc", "etc/gone", "etc/passwd"] and
          paths(store.fs(job.id, 1)) == ["etc", "etc/gone", "etc/new"] and
          is_whiteout(tree(store.fs(job.id, 1))["etc/gone"]), name, r)


store("check")
clean = store.files()
X = "docker.io/library/test:1"

# ---- forms
for what, compress in (("plain", lambda t: t), ("gzip", gzip.compress), ("zstd", zstd),
                       ("gzip in two members", lambda t: gzip.compress(t[:700]) +
                        gzip.compress(t[700:]))):
    for outer, pack in (("", lambda a: a), (" in gzip", gzip.compress), (" in zstd", zstd)):
        job = loads("docker-archive, %s layers%s" % (what, outer),
                    pack(docker_archive([BASE, TOP], compress=compress)), X)
        same_layers(job, "its layers")
        is_(job.id, sha256(config([BASE, TOP])), "its id is the config's digest")
        drop(job)
job = loads("docker-archive, manifest first", docker_archive([BASE, TOP], order=1), X)
drop(job)
for suffix, compress in (("", lambda t: t), ("+gzip", gzip.compress), ("+zstd", zstd)):
    for reverse in (False, True):
        lay = Layout()
        lay.add(lay.image([BASE, TOP], compress, suffix), "test:1")
        job = loads("OCI layout, layers %s%s" % (suffix, ", backwards" * reverse),
                    lay.archive(reverse), X)
        same_layers(job, "its layers")
        m = lay.manifests[0]["digest"]
        is_(store.record(job.id)["manifest"], m, "its manifest is kept")
        drop(job)
is_(store.files(), clean, "all is gone again")

# as Docker 25 writes it: a layout and a docker-archive at once
lay = Layout()
lay.add(lay.image([BASE, TOP], lambda t: t, ""), "1")
lay.manifests[0]["annotations"]["io.containerd.image.name"] = X
c = sha256(config([BASE, TOP]))[7:]
both = json.dumps([{"Config": "blobs/sha256/" + c, "RepoTags": ["test:1"], "Layers":
                    ["blobs/sha256/" + sha256(t)[7:] for t in (BASE, TOP)]}]).encode()
job = loads("both forms at once", tar(*(file(n, d) for n, d in lay.parts()),
                                      file("manifest.json", both)), X)
same_layers(job, "its layers")
drop(job)
job = loads("the docker-archive's names are blobs", tar(
    file("manifest.json", both), *(file(n, d) for n, d in lay.parts() if n != "index.json")), X)
drop(job)

# links between layers, as older Dockers wrote them
conf = config([BASE, BASE])
m = [{"Config": "c.json", "RepoTags": None, "Layers": ["a/layer.tar", "b/layer.tar"]}]
job = loads("the same layer twice, by a symbolic link", tar(
    file("c.json", conf), folder("a"), file("a/layer.tar", BASE), folder("b"),
    symlink("b/layer.tar", "../a/layer.tar"), file("manifest.json", json.dumps(m).encode())))
like(str(job.lines), "Loaded image ID: sha256:", "without a name it is told by its id")
is_(store.names(), [""], "and has a bare descriptor")
drop(job)

# before Docker 1.10
ids = ["%064x" % i for i in (1, 2)]
old = [file("repositories", json.dumps({"old": {"1": ids[1]}}).encode())]
for i, t in zip(ids, (BASE, TOP)):
    doc = {"id": i, "created": "2015-01-01T00:00:00Z", "os": "linux", "architecture": "amd64",
           "container_config": {"Cmd": ["/bin/sh", "-c", "x"]}, "config": {"Cmd": ["/old"]}}
    if i != ids[0]:
        doc["parent"] = ids[0]
    old += [folder(i), file(i + "/json", json.dumps(doc).encode()), file(i + "/VERSION", b"1.0"),
            file(i + "/layer.tar", t)]
job = loads("an archive from before Docker 1.10", tar(*old), "docker.io/library/old:1")
same_layers(job, "its layers")
r = store.record(job.id)
is_((r["config"], [h["created_by"] for h in r["history"]]), ({"Cmd": ["/old"]}, ["/bin/sh -c x"] * 2),
    "its config and history")
drop(job)

# ---- several images, platforms
lay = Layout()
lay.add(lay.image([BASE]), "one:1")
lay.add(lay.image([BASE, TOP]), "two:2")
lay.add(lay.image([BASE, TOP]), "two:3")
job = loads("several images and names", lay.archive(), "docker.io/library/one:1",
            "docker.io/library/two:2", "docker.io/library/two:3")
is_(len(os.listdir(store.path + "/layers")), 2, "the layer they share is there once")
drop(job)

HOST = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine)
OTHER = "s390x"


def multi(*arches, depth=1, keep=True):
    lay = Layout()
    inner = []
    for a in arches:
        d = dict(lay.image([BASE], architecture=a), platform={"os": "linux", "architecture": a})
        if not keep and a != HOST:
            del lay.blobs[d["digest"]]
        inner.append(d)
    inner.append(dict(lay.blob(b"{}", MEDIA + "manifest.v1+json"),
                      platform={"os": "unknown", "architecture": "unknown"}))
    for _ in range(depth):
        inner = [lay.index(inner)]
    lay.add(inner[0], "multi:1")
    return lay


if HOST:
    for what, lay in (("an index", multi(OTHER, HOST)), ("nested indexes", multi(OTHER, HOST, depth=3)),
                      ("an index of which only one is there", multi(OTHER, HOST, keep=False))):
        job = loads(what + ": this host's image is taken", lay.archive(),
                    "docker.io/library/multi:1")
        is_(store.record(job.id).get("architecture"), HOST, "it is for this machine")
        drop(job)
    job = store("load", data=multi(OTHER).archive())
    like(job.error, "no image for linux/%s .*linux/s390x" % HOST, "none for this host: says so")
    like(store("load", data=multi(HOST, depth=9).archive()).error, "nested deeper",
         "indexes nine deep are refused")
    lay = Layout()
    inner = lay.image([TOP], architecture=HOST)
    for _ in range(3):      # 8000^3 ways to the image
        inner = lay.index([inner] * 8000)
    lay.add(inner, "many:1")
    before, t0 = store.files(), time.monotonic()
    job = store("load", data=lay.archive())
    check("more than 100000 manifests" in job.error and store.files() == before and
          time.monotonic() - t0 < 20 * SCALE, "indexes that name indexes without end are refused",
          job)

# ---- names
job = loads("an image", docker_archive([BASE], name="busybox"), "docker.io/library/busybox:latest")
first = job.id
job = loads("another of that name", docker_archive([TOP], name="busybox"),
            "docker.io/library/busybox:latest")
like(str(job.lines), "renaming the old one", "the older one hears that it lost it")
is_(store.names(), ["", "docker.io/library/busybox:latest"], "and stays without a name")
job = store("tag", first, "me/app:v1")
is_(job.aux, {"ID": first, "Refs": ["docker.io/me/app:v1"]}, "tag")
is_(store.names(), ["docker.io/library/busybox:latest", "docker.io/me/app:v1"], "names")
is_(store("tag", first[7:], "me/app:v1").rc, 0, "tag again, by the digits alone")
is_(store("untag", "me/app:v1").aux, {"ID": first, "Refs": []}, "untag")
for verb, args, says in (("tag", ("sha256:" + "0" * 64, "x"), "No such image"),
                         ("tag", ("sha256:../../x", "x"), "no image id"),
                         ("tag", (first, "UPPER"), "lowercase"),
                         ("tag", (first, "x@" + first), "digest"),
                         ("untag", ("none:1",), "No such image"),
                         ("delete", ("sha256:" + "0" * 64,), "No such image"),
                         ("delete", ("abc",), "no image id"),
                         ("delete", (), "usage"), ("tag", (first,), "usage"),
                         ("frob", (), "unknown command"), ("check", ("--frob",), "unknown flag"),
                         ("load", ("--max-bytes", "x"), "max-bytes"),
                         ("load", ("--max-entries", "0"), "max-entries"),
                         ("import", ("--platform", "windows/amd64"), "only linux"),
                         ("import", ("--platform", "linux/"), "os/architecture"),
                         ("import", ("--change", "RUN x"), "RUN"),
                         ("import", ("--ref", "a b"), "invalid reference")):
    job = store(verb, *args, data=b"")
    check(job.rc == 1 and says in job.error, "%s %s: refused" % (verb, " ".join(args)), job)
for image in list(os.listdir(store.path + "/records")):
    is_(store("delete", image[:64]).rc, 0, "delete")
is_(store.files(), clean, "all is gone again")

# the same image with other layers' compression keeps its manifest
a = loads("an image, plain", docker_archive([BASE, TOP], name="a"), "docker.io/library/a:latest")
m = store.record(a.id)["manifest"]
b = loads("the same, compressed", docker_archive([BASE, TOP], name="b", compress=gzip.compress),
          "docker.io/library/b:latest")
is_((b.id, store.record(a.id)["manifest"]), (a.id, m), "is the same image")
is_(store.names(), ["docker.io/library/a:latest", "docker.io/library/b:latest"], "with two names")
drop(a)
is_(store.files(), clean, "no blob of the second is left")

# ---- import
job = store("import", "--ref", "imp:1", "--message", "hello", "--platform", "linux/arm/v7",
            "--change", 'CMD ["/x"]', "--change", "ENV A=1", data=gzip.compress(BASE))
r = store.record(job.id)
is_((r["architecture"], r["variant"], r["comment"], r["diff_ids"]),
    ("arm", "v7", "hello", [sha256(BASE)]), "import: platform, message, layer")
is_(r["config"], {"Cmd": ["/x"], "Env": ["A=1"]}, "import: changes")
is_(paths(store.fs(job.id)), ["etc", "etc/gone", "etc/passwd"], "import: files")
with open("%s/images/blobs/sha256/%s" % (store.path, job.id[7:]), "rb") as f:
    is_(sha256(f.read()), job.id, "import: the id is the config's digest")
again = store("import", data=BASE)
check(again.rc == 0 and len(os.listdir(store.path + "/layers")) == 1,
      "import of the same files shares the layer, and needs no name", again)
store("delete", job.id)
is_(paths(store.fs(again.id)), ["etc", "etc/gone", "etc/passwd"], "which outlives the first image")
store("delete", again.id)

# ---- what overlayfs does not do itself
hidden = tar(file(".wh..wh..opq"), file("only"))
job = loads("an opaque root", docker_archive([BASE, TOP, hidden]), X)
r = store.record(job.id)
is_((len(r["layers"]), len(r["diff_ids"])), (1, 3), "hides all layers below")
is_(paths(store.fs(job.id)), ["only"], "and has its own files")
drop(job)
base = tar(folder("./", mode=0o700, uid=3), folder("home", mode=0o711, uid=8, gid=9, mtime=77),
           folder("home/u", mode=0o750, uid=8))
job = loads("folders that a layer does not mention", docker_archive(
    [base, tar(file("home/.wh.u")), tar(file("home/u/x"), file("home/v/x"))]), X)
t = tree(store.fs(job.id))
is_((t["home"]["mode"], t["home"]["owner"], t["home"]["mtime"]), (0o711, (8, 9), 77 * 10**9),
    "look as they do below")
is_((t["."]["mode"], t["."]["owner"]), (0o700, (3, 0)), "the root, too")
is_((t["home/u"]["mode"], t["home/v"]["mode"]), (0o755, 0o755), "but not as one that was hidden")
drop(job)

# ---- lies
conf, arch = config([BASE]), docker_archive([BASE])
lay = Layout()
good = lay.image([BASE])


def layout_with(change, name="bad:1"):
    """A layout whose manifest went through change(doc)."""
    lay = Layout()
    doc = json.loads(lay.blobs[lay.image([BASE])["digest"]])
    doc = change(doc, lay) or doc
    text = doc if isinstance(doc, bytes) else json.dumps(doc).encode()
    lay.add(lay.blob(text, MEDIA + "manifest.v1+json"), name)
    return lay.archive()


def with_config(**kw):
    return docker_archive([BASE], conf=config([BASE], **kw))


def with_manifest(doc, *more):
    text = doc if isinstance(doc, bytes) else json.dumps(doc).encode()
    return tar(file("manifest.json", text), file("c.json", conf), file("l.tar", BASE), *more)


ONE = {"Config": "c.json", "RepoTags": ["x:1"], "Layers": ["l.tar"]}
wrong = Layout()
wrong.add(wrong.image([BASE]), "x")
for d in list(wrong.blobs):
    if wrong.blobs[d][:2] == b"\x1f\x8b":
        wrong.blobs[d] = gzip.compress(TOP)
LIES = [
    ("nothing", b"", "empty"),
    ("no tar", b"hello world " * 100, "checksum"),
    ("zeros", b"\0" * 4096, "no image archive"),
    ("a root file system", BASE, "no image archive"),
    ("a tar without an end", arch[:-1024], "no end mark"),
    ("an xz archive", b"\xfd7zXZ\0" + b"x" * 600, "xz"),
    ("layer that is not the diff id's", docker_archive([TOP], conf=conf), "wrong digest"),
    ("compressed layer that is not the diff id's", docker_archive([TOP], conf=conf,
                                                                  compress=gzip.compress), "wrong digest"),
    ("blob that is not its digest's", wrong.archive(), "wrong digest"),
    ("fewer layers than diff ids", docker_archive([BASE], conf=config([BASE, TOP])), "diff_ids"),
    ("config's name is another digest", arch.replace(
        sha256(conf)[7:].encode(), b"0" * 64), "checksum|wrong digest"),
    ("config missing", with_manifest([dict(ONE, Config="none.json")]), "no config"),
    ("layer missing", with_manifest([dict(ONE, Layers=["none"])]), "no layer"),
    ("layer's name leaves the archive", with_manifest([dict(ONE, Layers=["../../etc/passwd"])]),
     "no layer"),
    ("layer is a link that leaves the archive", with_manifest(
        [dict(ONE, Layers=["a/l"])], symlink("a/l", "../../../etc/passwd")), "leaves"),
    ("layer is an absolute link", with_manifest(
        [dict(ONE, Layers=["a"])], symlink("a", "/etc/passwd")), "no layer"),
    ("layer is a link to itself", with_manifest([dict(ONE, Layers=["a"])], symlink("a", "a")),
     "no layer"),
    ("a device in the archive", with_manifest([ONE], entry("d", b"3", dev=(1, 3))), "device"),
    ("'..' in the archive's names", with_manifest([ONE], file("../x")), r'\.\.'),
    ("manifest.json is no JSON", with_manifest(b"{"), "JSON"),
    ("manifest.json is an object", with_manifest({}), "lists no images"),
    ("manifest.json is empty", with_manifest([]), "lists no images"),
    ("manifest.json holds a number", with_manifest([1]), "object"),
    ("Config is a number", with_manifest([dict(ONE, Config=1)]), "Config"),
    ("Layers is a string", with_manifest([dict(ONE, Layers="l.tar")]), "Layers"),
    ("RepoTags holds a number", with_manifest([dict(ONE, RepoTags=[1])]), "RepoTags"),
    ("RepoTags holds no name", with_manifest([dict(ONE, RepoTags=["A B"])]), "invalid reference"),
    ("RepoTags holds a path", with_manifest([dict(ONE, RepoTags=["../../x:1"])]),
     "invalid reference"),
    ("manifest.json of 5 MiB", with_manifest(b"[" + b" " * (5 << 20) + b"]"), "larger"),
    ("manifest.json 100 deep", with_manifest(b"[" * 100 + b"]" * 100), "JSON|nest"),
    ("config of 5 MiB", with_config(author="x" * (5 << 20)), "larger"),
    ("config for Windows", with_config(os="windows"), "windows"),
    ("config with a bad Env", with_config(config={"Env": "A"}), "Env"),
    ("config with 501 layers", docker_archive([], conf=config([BASE] * 501)), "501 layers"),
    ("config without rootfs", with_config(rootfs=None), "rootfs"),
    ("layout without manifests", tar(file("oci-layout", b"{}"), file("index.json", b"{}")),
     "no image"),
    ("layout whose blob is missing", tar(*(file(n, d) for n, d in wrong.parts()[:3])), "lacks blob"),
    ("manifest's blob of the wrong size", layout_with(
        lambda m, l: m["layers"][0].update(size=1)), "bytes, its descriptor says 1"),
    ("digest that is a path", layout_with(
        lambda m, l: m["layers"][0].update(digest="sha256:../../../../etc/passwd")), "digest"),
    ("digest of another kind", layout_with(
        lambda m, l: m["config"].update(digest="sha512:" + "0" * 128)), "sha256"),
    ("layer of an unknown media type", layout_with(
        lambda m, l: m["layers"][0].update(mediaType="application/x-evil")), "x-evil"),
    ("artifact, not an image", layout_with(
        lambda m, l: m["config"].update(mediaType="application/vnd.cncf.helm.config.v1+json")),
     "helm"),
    ("schemaVersion 1", layout_with(lambda m, l: m.update(schemaVersion=1)), "schemaVersion"),
    ("manifest that calls itself an index", layout_with(
        lambda m, l: m.update(mediaType=MEDIA + "index.v1+json")), "mediaType"),
    ("manifest that is no JSON", layout_with(lambda m, l: b"nonsense"), "JSON"),
    ("name with a digest", layout_with(lambda m, l: None, "x@" + sha256(b"")), "digest"),
    ("repositories without images", tar(file("repositories", b"{}")), "no images"),
    ("repositories with a loop", tar(
        file("repositories", json.dumps({"x": {"1": ids[0]}}).encode()),
        file(ids[0] + "/layer.tar", BASE),
        file(ids[0] + "/json", json.dumps({"parent": ids[0]}).encode())), "loop"),
    ("repositories with a path for an id", tar(
        file("repositories", json.dumps({"x": {"1": "../../etc"}}).encode())), "no layer id"),
]
for what, data, says in LIES:
    job = store("load", data=data)
    check(job.rc == 1 and re.search(says, job.error), what + ": refused", "wanted %s\n%r" % (says, job))
    is_(store.files(), clean, what + ": nothing is left")

# one bad image among good ones: found before the first is stored
lay = Layout()
lay.add(lay.image([BASE]), "good:1")
lay.add(lay.image([TOP]), "bad:1")
del lay.blobs[[d for d in lay.blobs if lay.blobs[d][:2] == b"\x1f\x8b"][1]]
job = store("load", data=lay.archive())
check(job.rc == 1 and store.files() == clean, "a bad image among good ones: none is stored", job)

# several removed by one job, which has what they share only once
images = [store("load", data=docker_archive([BASE, tar(file("n", b"%d" % n))], name="n%d" % n)).id
          for n in range(3)]
job = store("delete", *images)
check(job.rc == 0 and job.aux["Freed"] > 0 and store.files() == clean, "three images, one job", job)
images = [store("load", data=docker_archive([BASE, tar(file("n", b"%d" % n))], name="n%d" % n)).id
          for n in range(2)]
job = store("delete", images[0], "sha256:" + "0" * 64, images[1])
check(job.rc == 1 and "No such image" in job.error, "one of them is not there", job)
is_(store.names(), ["docker.io/library/n1:latest"], "those before it are gone, those behind stay")
is_(store("verify").aux["Found"], 0, "and the store is whole")
store("delete", images[1])
is_(store.files(), clean, "nothing is left")
finish()
