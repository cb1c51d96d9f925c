#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# not in the lab: what the unpacker decides, not the kernel
# time limit: 240 s
"""Layers made to get out of their folder, to steer overlayfs, or to be read in
two ways. Each goes in by import, by load, and by a pull from a registry that has it;
whatever becomes of it, a tree on the host stays as it is, and a refusal leaves nothing
in the store. (By cp and ADD: tests/api/test_hostile_archives.py.)"""
import http.server
import os
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from hostilelib import *                            # noqa: F401,F403,E402

need_root()
need_program("isola-image")

HOST = T + "/host"
host_tree(HOST)


def judge(how, name, want, job, store, before):
    if isinstance(want, str):
        good = job.rc == 1 and re.search(want, job.error) is not None
        check(good, "%s: %s: refused" % (how, name), "wanted: %s\n%r" % (want, job))
        left = [p for p in store.files() if p not in before]
        return check(not left, "%s: %s: nothing is left" % (how, name), left)
    if job.rc != 0:
        return not_ok("%s: %s" % (how, name), job)
    t = tree(store.fs(job.id))
    check(want(t) and no_escape(t), "%s: %s" % (how, name),
          "\n".join("%s: %s" % kv for kv in sorted(t.items())))
    return check(store("delete", job.id).rc == 0 and store.files() == before,
                 "%s: %s: deleted without a trace" % (how, name), store.files())


class Registry(http.server.BaseHTTPRequestHandler):
    """Has one image, and a name for it."""
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True      # else each answer waits for a delayed ACK
    parts = {}

    def do_GET(self):
        kind, data = self.parts.get(self.path, ("text/plain", None))
        self.send_response(200 if data is not None else 404)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data or b"")))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data or b"")

    do_HEAD = do_GET

    def log_message(self, *args):
        pass


def serve(layer, **changes):
    """An image of this layer; @changes: of its manifest."""
    layout = Layout()
    digest = layout.image([layer])["digest"]
    manifest = json.loads(layout.blobs[digest])
    manifest.update(changes)
    Registry.parts = {"/v2/x/blobs/" + d: ("application/octet-stream", data)
                      for d, data in layout.blobs.items()}
    Registry.parts["/v2/x/manifests/1"] = (manifest["mediaType"], json.dumps(manifest).encode())


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry)
threading.Thread(target=server.serve_forever, daemon=True).start()
NAME = "127.0.0.1:%d/x:1" % server.server_port

store = Store()
check(store("check").rc == 0, "an empty store checks")
clean = store.files()
host = tree(HOST)
for name, entries, want in cases(HOST):
    if name == "overlay attributes" and not has_user_xattrs(store.path):
        skip(name, "this file system has no user attributes")
        continue
    layer = tar(*entries)
    judge("import", name, want, store("import", "--ref", "x", data=layer), store, clean)
    judge("load", name, want, store("load", data=docker_archive([layer])), store, clean)
    serve(layer)
    judge("pull", name, want, store("pull", "--ref", NAME, data=b""), store, clean)
    if not check(tree(HOST) == host, "%s: the host is untouched" % name):
        break

# What a registry says of its blobs
config_d = {"mediaType": "application/vnd.oci.image.config.v1+json", "size": 2}
layer_d = {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "size": 2}
for name, want, change in (
        ("a config's digest is a path", "is not sha256",
         {"config": dict(config_d, digest="sha256:" + UP + "etc/passwd")}),
        ("a layer's digest is a path", "is not sha256",
         {"layers": [dict(layer_d, digest="sha256:../../" + "x" * 60)]}),
        ("another algorithm", "is not sha256",
         {"layers": [dict(layer_d, digest="sha512:" + "0" * 128)]}),
        ("a negative size", "no size", {"layers": [dict(layer_d, digest=sha256(b""), size=-1)]}),
        ("layers that are no list", "no array", {"layers": {"0": layer_d}}),
        ("more layers than an image may have", "more than",
         {"layers": [dict(layer_d, digest=sha256(b""))] * 2000}),
        ("a layer more than the config has", "diff_ids",
         {"layers": [dict(layer_d, digest=sha256(b""))] * 2})):
    serve(tar(file("x")), **change)
    judge("pull", name, want, store("pull", "--ref", NAME, data=b""), store, clean)
finish()
