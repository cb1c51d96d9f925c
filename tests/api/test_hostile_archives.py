# SPDX-License-Identifier: Apache-2.0
# not in the lab: what isola-image decides, not the kernel
# time limit: 240 s
"""The archives of tests/priv/hostilelib.py (there by import, load and pull) by cp into a
container that runs and into one that does not, and by ADD: whatever becomes of one, the
host stays as it is, and what comes of it lies below the target."""
import io
import os
import sys
import tarfile

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [HERE, HERE + "/../priv"]
from hostilelib import *
from wire import *

need_root()
need_program("isolad", "isola-keeper", "isola-image", "ctrctl")
d = start_isolad() or skip_all("isolad does not start")
load_image(d, busybox_tar(T + "/root.tar"))
HOST = T + "/host"
host_tree(HOST)
host = tree(HOST)
CASES = cases(HOST)
leaves = [isinstance(want, str) and ("\\." in want or want == "symbolic link") for _, _, want in CASES]


def pack(**files):
    return tar(*(file(name, data if isinstance(data, bytes) else data.encode())
                 for name, data in files.items()))


def untouched(name):
    return check(tree(HOST) == host, name + ": the host is untouched")


# ------------------------------------------------------------------------------ cp

def put(c, path, data):
    status, _, body = d.request("PUT", "/containers/%s/archive?path=%s" % (c, path), data,
                                {"Content-Type": "application/x-tar"})
    return status, (body or {}).get("message", "") if isinstance(body, dict) else body


def strange(changes):
    """What is not below the folders that the archives went to."""
    return [x["Path"] for x in changes if not re.match(r"/t[0-9]+(/|$)", x["Path"])]


def copies(c, step):
    folders = tar(*(folder("t%d" % i) for i in range(len(CASES))))
    if not check(put(c, "/", folders)[0] == 200, c + ": folders to copy to"):
        return
    for i, (name, entries, want) in list(enumerate(CASES))[::step]:
        status, text = put(c, "/t%d" % i, tar(*entries))
        good = status == 200 if not text else status in (400, 403, 500) and "signal" not in text
        check(good and (status == 400 or not leaves[i]), "%s: %s" % (c, name), (status, text))
    untouched(c)
    status, _, changes = d.request("GET", "/containers/%s/changes" % c)
    is_((status, strange(changes)), (200, []), c + ": all of it is where it was to go")
    check(len(changes) > len(CASES), c + ": something came", changes)


# The one that runs gets all: its files are behind a mount of its own.
for name, verb, step in (("stopped", "create", 4), ("running", "run", 1)):
    flags = ["-d"] if verb == "run" else []
    got = d.ctr(verb, *flags, "--network", "none", "--name", name, "busybox", "sleep", "1000")
    if check(got.rc == 0, "a container: " + name, got):
        copies(name, step)
    remove(d, name)

# ------------------------------------------------------------------------------ ADD

def build(archive):
    """(id or None, error)"""
    body = pack(Dockerfile="FROM scratch\nADD a.tar /t/\n", **{"a.tar": archive})
    status, _, got = d.request("POST", "/build?nocache=1", body, {"Content-Type": "application/x-tar"})
    lines = got if isinstance(got, list) else [json.loads(x) for x in got.splitlines()] \
        if isinstance(got, (str, bytes)) else [got]
    ids = [x["aux"]["ID"] for x in lines if "aux" in x]
    return ids[-1] if ids else None, "".join(x.get("error", "") or x.get("message", "") for x in lines)


def layer_of(image_id):
    with open("%s/state/records/%s.json" % (T, image_id[7:])) as f:
        return "%s/state/layers/%s/fs" % (T, json.load(f)["layers"][-1])


def left():
    return [p for p in ("tmp",) if os.listdir("%s/state/%s" % (T, p))] + \
        d.ctr("images", "-aq").out.split()


before = left()
for i, (name, entries, want) in enumerate(CASES):
    image, error = build(tar(*entries))
    check((image is None) != (not error) and "signal" not in error and (error or not leaves[i]),
          "ADD: " + name, (image, error))
    if image:
        there = tree(layer_of(image))
        is_([p for p in there if p != "." and p.split("/")[0] != "t"], [], "ADD: %s: is below the target" % name)
        d.ctr("rmi", "-f", image)
    is_(left(), before, "ADD: %s: leaves nothing" % name)
untouched("ADD")
check(d.ctr("system", "check").rc == 0, "the store is good after all that")
stop_isolad()
finish()
