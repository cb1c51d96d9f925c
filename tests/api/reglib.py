# SPDX-License-Identifier: Apache-2.0
"""Registries for tests: Debian's on loopback, and helpers of the tests' own."""
import atexit
import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile

from lib import *

HERE = os.path.dirname(os.path.realpath(__file__))
_children = []


@atexit.register
def end_children():
    for p in _children:
        p.kill()
        p.wait()
    _children.clear()


def spawn(d, *argv, **env):
    """Runs a server in the network of @d."""
    p = subprocess.Popen(["nsenter", "--net=/proc/%d/ns/net" % d.netns.pid, "--", *argv],
                         stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL, env={**os.environ, **env})
    _children.append(p)
    return p


def registry(d, port, name, tls=False, htpasswd=None, more="", host="127.0.0.1", data=None):
    """docker-registry; the folder @data of T, or its name's, has what it keeps."""
    conf = "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: %s/%s\n%shttp:\n" \
           "  addr: %s:%d\n" % (T, data or name, more, host, port)
    if tls:
        conf += "  tls:\n    certificate: %s/cert.pem\n    key: %s/key.pem\n" % (T, T)
    if htpasswd:
        conf += "auth:\n  htpasswd:\n    realm: test\n    path: %s\n" % htpasswd
    with open(T + "/" + name + ".yml", "w") as f:
        f.write(conf)
    return spawn(d, "docker-registry", "serve", T + "/" + name + ".yml")


def make_certificate():
    return run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout",
               T + "/key.pem", "-out", T + "/cert.pem", "-days", "2", "-subj", "/CN=reg.test",
               "-addext", "subjectAltName=DNS:localhost,DNS:reg.test,IP:127.0.0.1").rc == 0


def answers(d, port, host="127.0.0.1"):
    return d.in_net("curl", "-sko", "/dev/null", "--max-time", "1",
                    "http://%s:%d/v2/" % (host, port)).rc == 0


def need_answers(d, *ports, host="127.0.0.1"):
    for port in ports:
        if not wait_for(20, answers, d, port, host):
            skip_all("nothing answers on port %d" % port)


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def layer(files, link=None):
    """A plain tar archive."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            t = tarfile.TarInfo(name)
            t.size, t.mode = len(data), 0o755
            tar.addfile(t, io.BytesIO(data))
        for name, to in (link or {}).items():
            t = tarfile.TarInfo(name)
            t.type, t.linkname = tarfile.SYMTYPE, to
            tar.addfile(t)
    return out.getvalue()


def put_there(d, kind, data, repo="t/app", name=None, media=None):
    """Uploads a blob or a manifest to the registry at port 5000; its digest."""
    f = T + "/body"
    open(f, "wb").write(data)
    base = "http://127.0.0.1:5000/v2/%s" % repo
    if kind == "manifest":
        out = d.in_net("curl", "-sf", "-X", "PUT", "-H", "Content-Type: " + media,
                       "--data-binary", "@" + f, base + "/manifests/" + (name or digest(data)))
    else:
        out = d.in_net("sh", "-ec", 'u=$(curl -sf -X POST -D - -o /dev/null $1/blobs/uploads/ |'
                       ' sed -n "s/^Location: //p" | tr -d "\\r");'
                       'curl -sf -X PUT -H Content-Type:application/octet-stream --data-binary @$2'
                       ' "$u&digest=$3"',
                       "sh", base, f, digest(data))
    if out.rc:
        skip_all("cannot fill the registry: %r" % out)
    return digest(data)


DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
OCI = "application/vnd.oci.image.manifest.v1+json"


def image_there(d, layers, arch="amd64", media=OCI,
                kind="application/vnd.oci.image.config.v1+json", squeeze=gzip.compress,
                suffix="+gzip"):
    """The manifest of an image whose blobs are uploaded."""
    config = json.dumps({"architecture": arch, "os": "linux",
                         "config": {"Cmd": ["/bin/sh", "-c", "cat /who"]},
                         "rootfs": {"type": "layers", "diff_ids": [digest(x) for x in layers]}}
                        ).encode()
    blobs = [squeeze(x) for x in layers]
    m = {"schemaVersion": 2, "mediaType": media,
         "config": {"mediaType": kind, "size": len(config), "digest": put_there(d, "blob", config)},
         "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar" + suffix,
                     "size": len(b), "digest": put_there(d, "blob", b)} for b in blobs]}
    if media == DOCKER:
        for x in m["layers"]:
            x["mediaType"] = "application/vnd.docker.image.rootfs.diff.tar.gzip"
        m["config"]["mediaType"] = "application/vnd.docker.container.image.v1+json"
    return json.dumps(m).encode()
