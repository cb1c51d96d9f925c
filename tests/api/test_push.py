# SPDX-License-Identifier: Apache-2.0
#
# push: to Debian's registry and back, and to a registry that cuts, stalls, forgets,
# refuses and lies; what is there already, or elsewhere at that registry, is not sent.
# time limit: 300 s
# not in the lab: it says nothing of the host that is not shown here
import base64
import json
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)) + "/..")
from lib import *
from reglib import *

need_root()
need_program("isolad", "isola-keeper", "isola-image", "ctrctl")
for tool in ("docker-registry", "skopeo"):
    if run("sh", "-c", "command -v " + tool).rc:
        skip_all(tool + " is not installed")
CONF, MODE, LOG = T + "/registries.json", T + "/mode", T + "/log"
HOME = T + "/docker"
os.environ["DOCKER_CONFIG"] = HOME
open(CONF, "w").write('{"registries": {}}')
open(MODE, "w").write("pass")
d = start_isolad("--registries", CONF) or skip_all("isolad does not start")
registry(d, 5000, "plain")
spawn(d, sys.executable, HERE + "/uploads.py", "5001", MODE, LOG)
need_answers(d, 5000, 5001)

busybox = open(run("sh", "-c", "command -v busybox").out.strip(), "rb").read()
BASE = layer({"bin/busybox": busybox}, {"bin/sh": "busybox", "bin/cat": "busybox"})
NOISE = layer({"noise": os.urandom(400000)})


def load(name, *layers):
    """An image of plain layers, as an OCI layout."""
    out = T + "/layout"
    run("rm", "-rf", out)
    os.makedirs(out + "/blobs/sha256")

    def put(data, media):
        open(out + "/blobs/sha256/" + digest(data)[7:], "wb").write(data)
        return {"mediaType": media, "size": len(data), "digest": digest(data)}

    kind = "application/vnd.oci.image."
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["cat", "/who"]},
                         "rootfs": {"type": "layers", "diff_ids": [digest(x) for x in layers]}})
    m = {"schemaVersion": 2, "mediaType": kind + "manifest.v1+json",
         "config": put(config.encode(), kind + "config.v1+json"),
         "layers": [put(x, kind + "layer.v1.tar") for x in layers]}
    top = put(json.dumps(m).encode(), kind + "manifest.v1+json")
    top["annotations"] = {"org.opencontainers.image.ref.name": name}
    open(out + "/index.json", "w").write(json.dumps({"schemaVersion": 2, "manifests": [top]}))
    open(out + "/oci-layout", "w").write('{"imageLayoutVersion":"1.0.0"}')
    got = d.ctr("load", "-i", out)
    if got.rc:
        skip_all("cannot load an image: %r" % got)
    return digest(config.encode())


def push(ref, *flags, **kw):
    return d.ctr("push", *flags, ref, **kw)


def mode(text):
    open(MODE, "w").write(text)
    open(LOG, "w").close()


def log(*methods):
    with open(LOG) as f:                    # the registry may be at a line right now
        lines = [json.loads(x) for x in f if x.endswith("\n")]
    return [x for x in lines if not methods or x[0] in methods]


def clean():
    """Nothing of a job is left."""
    left = [x for x in os.listdir(T + "/state/tmp")] if os.path.isdir(T + "/state/tmp") else []
    return left == [] or repr(left)


def inspect(ref, *flags):
    got = d.in_net("skopeo", "inspect", "--tls-verify=false", *(flags or ("-n",)), "docker://" + ref)
    return json.loads(got.out) if got.rc == 0 else {"error": repr(got)}


def good(name, got, *texts):
    return check(got.rc == 0 and all(t in got.out for t in texts), name,
                 "wanted %r\n%s" % (texts, got))


serial = 0


def fresh(repo="t/app", port=5001):
    """An image that nobody has seen, so that there is something to send."""
    global serial
    serial += 1
    ref = "127.0.0.1:%d/%s:%d" % (port, repo, serial)
    load(ref, BASE, layer({"noise": os.urandom(200000)}), layer({"who": b"%d\n" % serial}))
    return ref


def fails(name, text, *flags, status=None):
    ref = fresh()
    got = push(ref, *flags, limit_s=60)
    check(got.rc == 1 and text in got.err, name, "wanted %r\n%s" % (text, got))
    is_(clean(), True, name + ": nothing is left")


# --------------------------------------------------------------------- to and fro

image_id = load("127.0.0.1:5000/t/app:1", BASE, NOISE, layer({"who": b"me\n"}))
got = push("127.0.0.1:5000/t/app:1")
good("an image goes up", got, "The push refers to repository [127.0.0.1:5000/t/app]",
     "Pushed", "1: digest: sha256:")
is_(clean(), True, "nothing is left")
pushed = got.out.split("digest: ")[1].split()[0]
seen = inspect("127.0.0.1:5000/t/app:1")
is_(seen.get("Digest"), pushed, "skopeo sees the digest that was told")
seen = inspect("127.0.0.1:5000/t/app:1", "--raw")
is_([x["mediaType"][-9:] for x in seen.get("layers", [])], 3 * [".tar+gzip"],
    "plain layers are compressed")
got = d.ctr("inspect", "-f", "{{.RepoDigests}}", "127.0.0.1:5000/t/app:1")
check(pushed in got.out, "the digest is one of its names", got)
got = push("127.0.0.1:5000/t/app:1")
good("again", got, "1: digest: " + pushed)
check(got.out.count("Layer already exists") == 3 and "Pushed" not in got.out and
      "Compressing" not in got.out, "nothing is sent or compressed twice", got)
got = push("127.0.0.1:5000/t/app:1", "-q")
is_(got.out, "127.0.0.1:5000/t/app:1\n", "-q says the name alone")

d.ctr("tag", "127.0.0.1:5000/t/app:1", "127.0.0.1:5000/t/other:2")
got = push("127.0.0.1:5000/t/other:2")
good("to another repository", got, "2: digest: " + pushed, "Mounted from t/app")
is_(got.out.count("Mounted from t/app"), 3, "all layers are mounted from the first")

for n in ("3", "4"):
    d.ctr("tag", "127.0.0.1:5000/t/app:1", "127.0.0.1:5000/t/app:" + n)
got = push("127.0.0.1:5000/t/app", "--all-tags")
good("--all-tags", got, "1: digest: " + pushed, "3: digest: " + pushed, "4: digest: " + pushed)
is_(sorted(inspect("127.0.0.1:5000/t/app:1", "--tls-verify=false").get("RepoTags", [])), ["1", "3", "4"],
    "all are there")

ids = d.ctr("images", "-q", "--no-trunc").out.split()
d.ctr("rmi", "-f", *sorted(set(ids)))
got = d.ctr("pull", "127.0.0.1:5000/t/app@" + pushed)
good("it comes back by digest", got)
got = d.ctr("inspect", "-f", "{{.Id}}", "127.0.0.1:5000/t/app@" + pushed)
is_(got.out.strip(), image_id, "with the same id")
d.ctr("tag", "127.0.0.1:5000/t/app@" + pushed, "127.0.0.1:5001/x/app:1")
mode("pass")
got = push("127.0.0.1:5001/x/app:1")
good("what was pulled goes on as it is", got, "1: digest: " + pushed)
is_([x[2].get("Content-Type") for x in log("PUT") if "manifests" in x[1]],
    ["application/vnd.oci.image.manifest.v1+json"], "with its media type")

if run("sh", "-c", "command -v umoci").rc == 0:
    got = d.in_net("sh", "-ec", "cd %s; skopeo copy -q --src-tls-verify=false "
                   "docker://127.0.0.1:5000/t/app:1 oci:back:1; umoci unpack --image back:1 tree; "
                   "cat tree/rootfs/who; sha256sum < tree/rootfs/noise" % T, limit_s=60)
    check(got.rc == 0 and got.out.startswith("me\n"), "skopeo and umoci get its files", got)
    got2 = d.ctr("run", "--rm", "127.0.0.1:5000/t/app@" + pushed, "sh", "-c",
                 "busybox sha256sum < /noise")
    is_(got2.out, got.out[3:], "the same as a container has")
else:
    skip("skopeo and umoci get its files", "umoci is not installed")

# ------------------------------------------------------------------- what is committed

got = d.ctr("run", "--name", "box", "127.0.0.1:5000/t/app@" + pushed, "sh", "-c",
            "busybox echo more > /more")
d.ctr("commit", "box", "127.0.0.1:5000/t/app:more")
got = push("127.0.0.1:5000/t/app:more")
good("an image of a container", got, "Layer already exists", "Pushed")
is_(got.out.count("Layer already exists"), 3, "without what is there")
d.ctr("rm", "box")
with open(T + "/rootfs.tar", "wb") as f:
    f.write(BASE)
d.ctr("import", T + "/rootfs.tar", "127.0.0.1:5000/t/app:rootfs")
got = push("127.0.0.1:5000/t/app:rootfs")
good("an imported root file system", got, "rootfs: digest: sha256:")

# ------------------------------------------------------------------ a registry's bad day


def arrives(name, ref, *texts, limit_s=60):
    got = push(ref, limit_s=limit_s)
    good(name, got, *texts)
    check("Digest" in inspect(ref), name + ": all of it is there", inspect(ref))
    is_(clean(), True, name + ": nothing is left")
    return got


mode("pass")
arrives("the registry of the tests", fresh())
mode("cut")
arrives("cut-off uploads", fresh(), "Retrying")
check([x for x in log("PATCH") if x[2].get("Content-Range")], "go on where they were cut", log())
mode("crawl")
arrives("an upload that is cut again and again", fresh())
check(len(log("PATCH")) > 2, "goes on each time", log())
mode("forget")
arrives("an upload that was forgotten begins anew", fresh())
mode("lost")
arrives("an answer that was lost", fresh(), "Pushed")
check(len([x for x in log("PUT") if "uploads" in x[1] and
           int(x[2]["Content-Length"]) > 100000]) <= 2, "is no reason to send it twice", log("PUT"))
mode("busy")
arrives("a busy registry is asked again", fresh())
mode("stall")
json.dump({"registries": {"127.0.0.1:5001": {"stall_seconds": 1}}}, open(CONF, "w"))
arrives("an upload that stalls", fresh())
json.dump({"registries": {}}, open(CONF, "w"))
mode("denied")
fails("denied", "requested access to the resource is denied")
mode("readonly")
fails("a read-only registry", "The operation is unsupported")
mode("quota")
fails("a quota", "the quota of the project is exceeded")
mode("html")
fails("a page of HTML", "is this a registry?")
mode("corrupt")
fails("bytes that changed on the way", "provided digest did not match")
mode("liar")
fails("another digest than ours", "took the manifest for")
got = push("127.0.0.1:5009/t/app:1")
check(got.rc == 1 and "does not exist locally with the tag: 127.0.0.1:5009/t/app" in got.err,
      "an image that is not here", got)
got = push("127.0.0.1:5001/t/app@" + pushed)
check(got.rc == 1 and "cannot push a digest reference" in got.err, "a digest is no tag", got)
d.ctr("tag", "127.0.0.1:5000/t/app:more", "127.0.0.1:5009/t/app:1")
got = push("127.0.0.1:5009/t/app:1", limit_s=60)
check(got.rc == 1 and "127.0.0.1:5009: " in got.err, "nobody is there", got)

# ------------------------------------------------------------------------- log-ins


def with_auth(ref, auth):
    name, _, tag = ref.rpartition(":")
    h = {"X-Registry-Auth": base64.urlsafe_b64encode(json.dumps(auth).encode()).decode()}
    return repr(d.request("POST", "/images/%s/push?tag=%s" % (name, tag), headers=h, timeout=60))


JO = {"username": "jo", "password": "secret"}
mode("token")
check("digest: sha256" not in with_auth(fresh(), {**JO, "password": "no"}),
      "a wrong password gets no token")
check("digest: sha256" in with_auth(fresh(), JO), "a token by X-Registry-Auth")
scopes = [x[1] for x in log("GET") if x[1].startswith("/token")]
check(all("pull%2Cpush" in x for x in scopes), "is good for both", scopes)
is_([x for x in log() if x[1].startswith("/v2/") and
     x[2].get("Authorization", "").startswith("Basic")], [], "the password goes to the realm alone")
check("digest: sha256" not in with_auth(fresh(), {**JO, "serveraddress": "other.test"}),
      "a password of another registry is not used")
check("digest: sha256" in with_auth(fresh(), {"identitytoken": "keep-me"}), "an identity token")
ref = fresh()
with_auth(ref, JO)
d.ctr("tag", ref, "127.0.0.1:5001/t/mine:1")
mode("token")
got = with_auth("127.0.0.1:5001/t/mine:1", JO)
check(got.count("Mounted from ") == 3, "a mount asks for the right to read", got)
d.ctr("tag", ref, "127.0.0.1:5001/t/ours:1")
mode("token-narrow")
got = with_auth("127.0.0.1:5001/t/ours:1", JO)
check("digest: sha256" in got and "Mounted" not in got, "without it all is sent", got)
mode("away")
ref = fresh()
check("digest: sha256" in with_auth(ref, JO), "uploads that go to another host")
check(len(log("PUT")) > 3 and not [x for x in log() if x[2]["Host"].startswith("localhost") and
                                   "Authorization" in x[2]], "which is not told who we are", log())

# --------------------------------------------------------------------------- the end

mode("hold")
ref = fresh()
slow = subprocess.Popen([BUILD + "/ctrctl", "push", ref],
                        env={**os.environ, "ISOLA_SOCKET": d.socket},
                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def jobs():
    return run("pgrep", "-P", str(d.pid), "-f", "isola-image push").out.split()


check(wait_for(10, lambda: log("PUT") and jobs()), "an upload is under way")
for pid in jobs():
    os.kill(int(pid), signal.SIGKILL)
is_(slow.wait(30 * SCALE), 1, "a push whose job is killed fails")
wait_for(10, lambda: not jobs())
check(wait_for(10, lambda: clean() is True), "its folder is removed", clean())
got = d.ctr("system", "check")
check(got.rc == 0 and clean() is True, "the store is whole", got)
mode("hold")
slow = subprocess.Popen([BUILD + "/ctrctl", "push", ref],
                        env={**os.environ, "ISOLA_SOCKET": d.socket},
                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
check(wait_for(10, lambda: log("PUT") and jobs()), "another one")
slow.kill()
slow.wait()
check(wait_for(10, lambda: not jobs()), "ends when its client goes")
d.stop()
d.start("--registries", CONF)
check(wait_for(10, lambda: clean() is True), "nothing is left behind a restart", clean())
mode("pass")
arrives("and then it works", ref)
end_children()
finish()
