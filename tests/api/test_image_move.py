# SPDX-License-Identifier: Apache-2.0
# not in the lab: what programs decide, not the kernel
#
# commit, save, load, history, rmi: images out of containers, out of the store and
# back, with stable ids; skopeo and umoci as witnesses.
# time limit: 240 s
import hashlib
import io
import json
import os
import re
import signal
import shutil
import sys
import tarfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)) + "/..")
from warm import *


def image(ref):
    return d.request("GET", "/images/%s/json" % ref)[2]


def ids():
    return {t: i["Id"] for i in d.request("GET", "/images/json")[2] for t in i["RepoTags"]}


def blobs():
    return sorted(os.listdir(T + "/state/images/blobs/sha256")) if \
        os.path.isdir(T + "/state/images/blobs/sha256") else sorted(
            f for base, _, fs in os.walk(T) if base.endswith("images/blobs/sha256") for f in fs)


def changed(name="cm", **config):
    """A running container that added, changed and removed things."""
    c = start(d, "sh", "-c", "rm /etc/group; echo hi >/new; mkdir -p /d/e; rm -r /var; mkdir /var; "
              "echo v >/var/v; chmod 700 /root; ln /new /hard; ln -s new /soft; mkfifo /pipe; "
              "chmod 4755 /hard; chown 1000:1001 /d; touch /ready; exec sleep 1000", name=name, **config)
    wait_for(10, lambda: d.ctr("exec", name, "test", "-e", "/ready").rc == 0)
    return c


def commits():
    c = changed(Env=["K=1"], Labels={"l": "1"}, WorkingDir="/d", User="0:0")
    since = time.time()
    got = d.ctr("commit", "-m", "a comment", "-a", "an author", "-c", 'CMD ["cat", "/new"]',
                "-c", "ENV A=b K=2", "-c", "LABEL x=y", "-c", "EXPOSE 80", "-c", "USER nobody",
                "-c", "VOLUME /data", "-c", "WORKDIR /d/e", "-c", "STOPSIGNAL INT",
                "-c", "ONBUILD RUN make", "-c", 'ENTRYPOINT ["env"]', "cm", "my/img:1")
    good("commit of a running container", got)
    o = image("my/img:1")
    is_(o["Id"], got.out.strip(), "prints its id")
    cfg = o["Config"]
    is_((cfg["Cmd"], cfg["Entrypoint"], cfg["User"], cfg["WorkingDir"], cfg["StopSignal"]),
        (["cat", "/new"], ["env"], "nobody", "/d/e", "INT"), "changes are in its config")
    check({"A=b", "K=2"} <= set(cfg["Env"]) and "K=1" not in cfg["Env"], "so is its Env", cfg["Env"])
    is_((cfg["Labels"], list(cfg["ExposedPorts"]), list(cfg["Volumes"]), cfg["OnBuild"]),
        ({"l": "1", "x": "y"}, ["80/tcp"], ["/data"], ["RUN make"]), "and the rest")
    is_((o["Comment"], o["Author"], len(o["RootFS"]["Layers"])), ("a comment", "an author", 2),
        "comment, author, one more layer")
    got = d.ctr("run", "--rm", "--entrypoint", "sh", "-u", "0", "my/img:1", "-c",
                "cat /new /soft; ls /var; test -e /etc/group || echo gone; stat -c '%a %u %g %F' "
                "/hard /d /root /pipe | tr '\\n' ,; stat -c %h /hard")
    good("its files are the container's", got,
         "hi\nhi\nv\ngone\n4755 0 0 regular file,755 1000 1001 directory,"
         "700 0 0 directory,644 0 0 fifo,2\n")
    events = d.ctr("events", "--since", str(since), "--until", str(time.time() + 1),
                   "--format", "{{.Action}}").out.split()
    check("commit" in events and "pause" in events and "unpause" in events, "events", events)
    is_(d.request("GET", "/containers/cm/json")[2]["State"]["Paused"], False, "it runs on")
    h = d.request("GET", "/images/my/img:1/history")[2]
    is_([(x["Id"] == o["Id"], x["Comment"], x["Tags"]) for x in h],
        [(True, "a comment", ["my/img:1"]), (False, "Imported from -", None)], "history")
    check(h[0]["CreatedBy"].startswith("sh -c rm /etc/group") and h[1]["Size"] > 1000000,
          "with commands and sizes", h)
    good("history for people", d.ctr("history", "-q", "--no-trunc", "my/img:1"),
         o["Id"] + "\n<missing>\n")
    d.ctr("stop", "-t", "0", "cm")
    got = d.ctr("commit", "cm")
    good("commit of a stopped container, without a name", got)
    cfg = image(got.out.strip())["Config"]
    is_((cfg["Cmd"][0], cfg["WorkingDir"], cfg["Labels"]), ("sh", "/d", {"l": "1"}),
        "the container's own configuration")
    good("which is removed by id", d.ctr("rmi", got.out.strip()))
    status, _, o = d.request("POST", "/commit" + q(container="cm", repo="by/api", pause="0"),
                             {"Cmd": ["true"], "Env": ["Z=1"], "Labels": {"m": "2"}})
    is_(status, 201, "POST /commit")
    cfg = image("by/api")["Config"]
    is_((cfg["Cmd"], cfg["Env"], cfg["Labels"]), (["true"], ["Z=1"], {"l": "1", "m": "2"}),
        "its body wins")
    bad("commit of nothing", d.ctr("commit", "none"), "No such container")
    bad("a bad name", d.ctr("commit", "cm", "Not/Valid"), "")
    bad("a bad change", d.ctr("commit", "-c", "RUN x", "cm"), "not a supported instruction")
    bad("ONBUILD of itself", d.ctr("commit", "-c", "ONBUILD FROM x", "cm"), "not allowed")
    is_(d.request("POST", "/commit")[0], 400, "no container")
    is_(d.request("POST", "/commit" + q(container="cm"), {"Cmd": 5})[0], 400, "a wrong type")
    e = create(d, "true", name="em")
    got = d.ctr("commit", "em", "em:1")
    is_((got.rc, len(image("em:1")["RootFS"]["Layers"])), (0, 1), "no change, no layer")
    good("twice", d.ctr("commit", "-c", "LABEL n=1", "em", "em:2"))
    c2 = start(d, "sleep", "1000", name="co")
    d.ctr("pause", "co")
    good("a paused container", d.ctr("commit", "co", "paused:1"))
    is_(d.request("GET", "/containers/co/json")[2]["State"]["Paused"], True, "stays paused")
    bad("an image in use", d.ctr("rmi", "busybox"), "using its referenced image")
    for x in (c, e, c2):
        remove(d, x)
    # an image of an image, and its container
    x = start(d, "sh", "-c", "rm /new; echo 2 >/d/two; mkdir /var/w", name="cx", Image="my/img:1",
              Entrypoint=[], User="0")
    wait_for(10, lambda: d.request("GET", "/containers/cx/json")[2]["State"]["Status"] == "exited")
    good("commit on a commit", d.ctr("commit", "-c", "ENTRYPOINT []", "cx", "my/img:2"))
    got = d.ctr("run", "--rm", "--entrypoint", "sh", "-u", "0", "my/img:2", "-c",
                "cat /d/two /var/v; ls -d /new /hard /var/w")
    check(got.out == "2\nv\n/hard\n/var/w\n", "three layers", got)
    remove(d, x)


def saves():
    before = ids()
    names = sorted(before)
    good("save", d.ctr("save", "-o", T + "/all.tar", *names))
    t = tarfile.open(T + "/all.tar")
    inside = t.getnames()
    is_(len(inside), len(set(inside)), "every blob is there once")
    m = json.load(t.extractfile("manifest.json"))
    is_({r: "sha256:" + x["Config"].split("/")[-1] for x in m for r in x["RepoTags"]}, before,
        "a docker-archive with these ids")
    good("all images are removed", d.ctr("rmi", "-f", *sorted(set(before.values()))))
    is_(ids(), {}, "none is left")
    got = d.ctr("load", "-i", T + "/all.tar")
    good("load", got)
    is_(sorted(x[len("Loaded image: "):] for x in got.out.splitlines()), names, "says all names")
    is_(ids(), before, "names and ids are the same")
    good("one that is used again", d.ctr("run", "--rm", "--entrypoint", "cat", "my/img:2", "/d/two"),
         "2\n")
    good("an OCI archive", d.ctr("save", "--format", "oci-archive", "-o", T + "/oci.tar", "my/img:2",
                                 "busybox"))
    check("manifest.json" not in tarfile.open(T + "/oci.tar").getnames(), "is only that")
    good("is loaded", d.ctr("load", "-i", T + "/oci.tar"))
    is_(ids(), before, "and changes nothing")
    d.ctr("tag", "my/img:2", "my/img:3")
    d.ctr("tag", "busybox", "my/other")
    d.ctr("save", "-o", T + "/repo.tar", "my/img")
    m = json.load(tarfile.open(T + "/repo.tar").extractfile("manifest.json"))
    is_(sorted(r for x in m for r in x["RepoTags"]), ["my/img:1", "my/img:2", "my/img:3"],
        "a name without tag is all tags")
    d.ctr("save", "-o", T + "/id.tar", before["busybox:latest"])
    m = json.load(tarfile.open(T + "/id.tar").extractfile("manifest.json"))
    is_([x["RepoTags"] for x in m], [[]], "an id is an image without names")
    bad("save of nothing", d.ctr("save", "-o", T + "/x.tar", "busybox", "none"), "No such image")
    check(not [x for x in os.listdir(T) if x.startswith("x.tar")], "leaves no file")
    bad("an unknown form", d.ctr("save", "--format", "zip", "busybox", "-o", T + "/x.tar"), "zip")
    is_(d.request("GET", "/images/get")[0], 400, "no names")
    is_(d.request("GET", "/images/busybox/get")[0], 200, "one image")


def witnesses():
    if not shutil.which("skopeo"):
        skip("round trips with skopeo", "skopeo is not installed")
        return
    want = ids()["my/img:2"]
    for form, ref in (("docker-archive:%s/all.tar:my/img:2", None),
                      ("oci-archive:%s/oci.tar:docker.io/my/img:2", None)):
        src = form % T
        got = run("skopeo", "inspect", "--raw", "--config", src, limit_s=60)
        check(got.rc == 0 and "/d/e" in got.out, "skopeo reads " + form.split(":")[0], got)
        for to in ("docker-archive", "oci-archive"):
            out = "%s/back.tar" % T
            if os.path.exists(out):
                os.unlink(out)
            got = run("skopeo", "copy", src, "%s:%s:docker.io/back/img:1" % (to, out), limit_s=60)
            good("skopeo: %s to %s" % (form.split(":")[0], to), got)
            good("and back", d.ctr("load", "-i", out))
            # from Docker's form to OCI's skopeo writes the config anew
            if (form[:3], to[:3]) != ("doc", "oci"):
                is_(ids().get("back/img:1"), want, "with the same id")
            d.ctr("rmi", "back/img:1")
    host = "unix://" + d.socket
    got = run("skopeo", "copy", "--src-daemon-host", host, "docker-daemon:my/img:2",
              "--dest-daemon-host", host, "docker-daemon:through/daemon:1", limit_s=60)
    good("skopeo: docker-daemon to docker-daemon", got)
    check(wait_for(20, lambda: ids().get("through/daemon:1") == want), "with the same id", ids())
    d.ctr("rmi", "through/daemon:1")
    if not shutil.which("umoci"):
        skip("umoci unpack", "umoci is not installed")
        return
    os.makedirs(T + "/layout")
    run("tar", "-C", T + "/layout", "-xf", T + "/oci.tar")
    # umoci's tag grammar has no slashes
    p = T + "/layout/index.json"
    index = json.load(open(p))
    for m in index["manifests"]:
        m["annotations"] = {"org.opencontainers.image.ref.name":
                            m["annotations"]["org.opencontainers.image.ref.name"].split("/")[-1]
                            .replace(":", "-")}
    json.dump(index, open(p, "w"))
    got = run("umoci", "unpack", "--image", T + "/layout:img-2", T + "/bundle", limit_s=60)
    good("umoci unpack", got)
    cid = create(d, "true", Image="my/img:2", Entrypoint=[])
    os.makedirs(T + "/ours")
    run("sh", "-c", "%s/ctrctl -H %s export %s | tar -C %s/ours -xp --numeric-owner"
        % (BUILD, d.socket, cid, T))
    script = ("cd %s && find . -mindepth 1 \\( -type f -printf '%%p %%m %%U %%G %%s\\n' -o -type l "
              "-printf '%%p %%l\\n' -o -printf '%%p %%m %%U %%G %%y\\n' \\) | sort")
    a, b = (run("sh", "-c", script % x).out for x in (T + "/bundle/rootfs", T + "/ours"))
    # mount points that all roots have
    b = re.sub(r"(?m)^\./etc/(hosts|hostname|resolv\.conf) .*\n", "", b)
    check(a == b, "umoci sees the same tree as export", set(a.split("\n")) ^ set(b.split("\n")))
    remove(d, cid)


def labels():
    """What an image says in labels is shown, and nothing else."""
    c = create(d, "true", name="lb")
    good("labels that look like settings", d.ctr(
        "commit", "-c", "LABEL io.isola.privileged=true com.docker.runtime=host "
        "org.opencontainers.image.ref.name=evil:1", "lb", "lb:1"))
    x = create(d, "true", Image="lb:1")
    o = d.request("GET", "/containers/%s/json" % x)[2]["HostConfig"]
    is_((o["Privileged"], o["Runtime"] in ("ctr", "", None)), (False, True), "change no setting")
    check("evil:1" not in ids(), "give no name", ids())
    remove(d, x)
    remove(d, c)
    d.ctr("rmi", "lb:1")


def helper_pids():
    got = []
    for p in os.listdir("/proc"):
        if p.isdigit():
            try:
                line = open("/proc/%s/cmdline" % p, "rb").read()
                if line.startswith(b"isola-image\0") and T.encode() in line:
                    got.append(int(p))
            except OSError:
                pass
    return got


def bad_moments():
    c = start(d, "sh", "-c", "head -c 60000000 /dev/urandom >/big; touch /ready; exec sleep 1000",
              name="bm")
    wait_for(20, lambda: d.ctr("exec", "bm", "test", "-e", "/ready").rc == 0)
    before, had = blobs(), ids()
    for i in range(4):
        got = []
        t = threading.Thread(target=lambda: got.append(d.ctr("commit", "bm", "bm:%d" % i)))
        t.start()
        wait_for(5, helper_pids)
        time.sleep(0.05 * i)
        for pid in helper_pids():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        t.join(60)
        if got[0].rc == 0:
            d.ctr("rmi", "bm:%d" % i)
        check(d.request("GET", "/containers/bm/json")[2]["State"]["Status"] == "running",
              "a killed commit leaves the container running (%d)" % got[0].rc)
    good("it works afterwards", d.ctr("commit", "bm", "bm:x"))
    with Wire(d) as w:
        w.ask("GET", "/images/bm:x/get")
        w.head()
    check(wait_for(10, lambda: not helper_pids()), "a save ends with its client")
    good("and goes", d.ctr("rmi", "bm:x"))
    remove(d, c)
    is_(ids(), had, "no image more or less")
    d.stop()
    d.start()
    check(wait_for(10, lambda: blobs() == before), "nothing half-made is left after a start",
          set(blobs()) ^ set(before))


def digests():
    """What a pull of lib/x:1 leaves in index.json, without the registry."""
    index = T + "/state/images/index.json"
    c = create(d, "true", name="dg")
    good("an image", d.ctr("commit", "-c", "LABEL dg=1", "dg", "lib/x:1"))
    remove(d, c)
    d.stop()
    o = json.load(open(index))
    m = next(x for x in o["manifests"] if x["annotations"][
        "org.opencontainers.image.ref.name"] == "docker.io/lib/x:1")
    digest = "lib/x@" + m["digest"]
    o["manifests"].append(dict(m, annotations={
        "org.opencontainers.image.ref.name": "docker.io/" + digest}))
    json.dump(o, open(index, "w"))
    d.start()
    is_(image("lib/x:1")["RepoDigests"], [digest], "with the digest of a pull")
    good("another name", d.ctr("tag", "lib/x:1", "other:1"))
    good("rmi of the pulled name", d.ctr("rmi", "lib/x:1"),
         "Untagged: lib/x:1\nUntagged: %s\n" % digest)
    o = image("other:1")
    is_((o["RepoTags"], o["RepoDigests"]), (["other:1"], []), "takes its digest along")
    d.ctr("tag", "other:1", "lib/x:1")
    got = d.ctr("rmi", "other:1")
    good("the last name but one", got, "Untagged: other:1\n")
    got = d.ctr("rmi", o["Id"][7:19])
    check(got.rc == 0 and got.out.startswith("Untagged: lib/x:1\nDeleted: " + o["Id"]),
          "the rest by a short id", got)


def many():
    """Archives with a great many names: all are told of, or it is an error."""
    def named(n, images=1):
        b, layer = io.BytesIO(), b"\0" * 1024
        with tarfile.open(fileobj=b, mode="w") as t:
            def add(name, data):
                i = tarfile.TarInfo(name)
                i.size = len(data)
                t.addfile(i, io.BytesIO(data))
            for k in range(images):
                add("c%d" % k, json.dumps({"os": "linux", "architecture": "amd64", "author": str(k),
                                           "rootfs": {"type": "layers", "diff_ids": [
                                               "sha256:" + hashlib.sha256(layer).hexdigest()]}}).encode())
            add("l", layer)
            add("manifest.json", json.dumps([{"Config": "c%d" % k, "Layers": ["l"], "RepoTags": [
                "registry.example.org/%s/%d:%d" % ("x" * 200, k, i) for i in range(n)]}
                for k in range(images)]).encode())
        return b.getvalue()
    def load(data):
        o = d.request("POST", "/images/load", data, {"Content-Type": "application/x-tar"}, 120)[2]
        return o if isinstance(o, bytes) else json.dumps(o).encode()
    had = ids()
    o = load(named(1000))
    check(b"error" not in o and o.count(b"Loaded image") == 1000, "1000 names of an image", o[-300:])
    is_(len(ids()), len(had) + 1000, "it has them")
    one = next(i["Id"] for i in d.request("GET", "/images/json")[2] if len(i["RepoTags"]) == 1000)
    good("and goes with them", d.ctr("rmi", "-f", one[7:19]))
    check(b"more than 1000 names" in load(named(1001)), "more are an error")
    check(b"more than 4096 images" in load(named(5, 900)), "as are too many in all")
    is_(ids(), had, "which adds nothing")


for chapter in (commits, saves, witnesses, labels, digests, many, bad_moments):
    try:
        chapter()
    except Exception as e:     # one broken chapter must not hide the others
        not_ok(chapter.__name__, "%s: %s" % (type(e).__name__, e))
for c in d.ctr("ps", "-aq").out.split():
    remove(d, c)
leak_check()
stop_isolad()
finish()
