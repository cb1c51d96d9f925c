# SPDX-License-Identifier: Apache-2.0
"""What the tests of isola-image share: tar archives byte by byte (tarfile is
too polite), image archives, a store, and what trees look like."""
import ctypes
import gzip
import hashlib
import json
import os
import stat
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/..")
from lib import *                                   # noqa: F401,F403,E402

IMAGE = BUILD + "/isola-image"


def zstd(data):
    """Compressed, by the library isola-image links, too."""
    lib = ctypes.CDLL("libzstd.so.1")
    size = len(data) + len(data) // 100 + 1000
    out = ctypes.create_string_buffer(size)
    lib.ZSTD_compress.restype = ctypes.c_size_t
    n = lib.ZSTD_compress(out, ctypes.c_size_t(size), data, ctypes.c_size_t(len(data)), 3)
    return out.raw[:n]


def has_user_xattrs(path):
    """Before Linux 6.6 tmpfs has none."""
    try:
        os.setxattr(path, "user.probe", b"x")
        os.removexattr(path, "user.probe")
        return True
    except OSError:
        return False


# ------------------------------------------------------------------------- tar

def octal(value, size):
    return b"%0*o\0" % (size - 1, value)


def header(name, kind=b"0", size=0, mode=0o644, uid=0, gid=0, mtime=1000000000, link=b"",
           dev=(0, 0), magic=b"ustar\x0000", prefix=b""):
    """One header block, checksum included."""
    h = bytearray(512)
    fields = ((0, name[:100]), (100, octal(mode, 8)), (108, octal(uid, 8)), (116, octal(gid, 8)),
              (124, octal(size, 12)), (136, octal(mtime, 12)), (156, kind), (157, link[:100]),
              (257, magic), (329, octal(dev[0], 8)), (337, octal(dev[1], 8)), (345, prefix))
    for at, text in fields:
        h[at:at + len(text)] = text
    h[148:156] = b" " * 8
    h[148:156] = b"%06o\0 " % sum(h)
    return bytes(h)


def padded(data):
    return data + b"\0" * (-len(data) % 512)


def pax(records):
    """An extended header; @records: (key, value) pairs of bytes."""
    body = b""
    for key, value in records:
        rest = b" " + key + b"=" + value + b"\n"
        n = len(rest) + 1
        while n != len(rest) + len(b"%d" % n):
            n = len(rest) + len(b"%d" % n)
        body += b"%d" % n + rest
    return header(b"PaxHeader", b"x", len(body)) + padded(body)


def entry(name, kind=b"0", data=b"", xattrs=(), **fields):
    """A whole entry. Names and links that do not fit go into a pax header."""
    name = name.encode() if isinstance(name, str) else name
    link = fields.pop("link", b"")
    link = link.encode() if isinstance(link, str) else link
    records = [(b"SCHILY.xattr." + k, v) for k, v in xattrs]
    if len(name) > 100:
        records.append((b"path", name))
    if len(link) > 100:
        records.append((b"linkpath", link))
    return (pax(records) if records else b"") + \
        header(name, kind, len(data), link=link, **fields) + padded(data)


def file(name, data=b"data", **fields):
    return entry(name, b"0", data, **fields)


def folder(name, **fields):
    fields.setdefault("mode", 0o755)
    return entry(name, b"5", **fields)


def symlink(name, target, **fields):
    return entry(name, b"2", link=target, mode=0o777, **fields)


def hardlink(name, target, **fields):
    return entry(name, b"1", link=target, **fields)


END = b"\0" * 1024


def tar(*entries):
    return b"".join(entries) + END


# ---------------------------------------------------------------------- images

def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def config(layers, **more):
    """The text of a config; @layers: their tars, uncompressed."""
    doc = {"architecture": "amd64", "os": "linux", "created": "2020-01-01T00:00:00Z",
           "config": {"Cmd": ["/bin/sh"]},
           "rootfs": {"type": "layers", "diff_ids": [sha256(t) for t in layers]}}
    doc.update(more)
    return json.dumps(doc).encode()


def docker_archive(layers, name="test:1", compress=lambda t: t, conf=None, order=0, **more):
    """As `docker save` writes it. @order 1: the manifest first."""
    conf = conf or config(layers, **more)
    conf_name = sha256(conf)[7:] + ".json"
    parts = [file(conf_name, conf)]
    names = []
    for i, t in enumerate(layers):
        names.append("%d/layer.tar" % i)
        parts.append(file(names[-1], compress(t)))
    tags = [name] if isinstance(name, str) else name
    manifest = json.dumps([{"Config": conf_name, "RepoTags": tags, "Layers": names}])
    parts.insert(0 if order else len(parts), file("manifest.json", manifest.encode()))
    return tar(*parts)


class Layout:
    """An OCI image layout, built up in memory."""

    def __init__(self):
        self.blobs, self.manifests = {}, []

    def blob(self, data, kind, **more):
        digest = sha256(data)
        self.blobs[digest] = data
        return dict({"mediaType": kind, "digest": digest, "size": len(data)}, **more)

    def image(self, layers, compress=gzip.compress, suffix="+gzip", conf=None, **more):
        """Adds an image's blobs; returns its manifest's descriptor."""
        base = "application/vnd.oci.image."
        m = {"schemaVersion": 2, "mediaType": base + "manifest.v1+json",
             "config": self.blob(conf or config(layers, **more), base + "config.v1+json"),
             "layers": [self.blob(compress(t), base + "layer.v1.tar" + suffix) for t in layers]}
        return self.blob(json.dumps(m).encode(), m["mediaType"])

    def index(self, descriptors):
        kind = "application/vnd.oci.image.index.v1+json"
        return self.blob(json.dumps({"schemaVersion": 2, "mediaType": kind,
                                     "manifests": descriptors}).encode(), kind)

    def add(self, descriptor, name=None, **more):
        d = dict(descriptor, **more)
        if name:
            d["annotations"] = {"org.opencontainers.image.ref.name": name}
        self.manifests.append(d)

    def parts(self):
        index = {"schemaVersion": 2, "manifests": self.manifests}
        return [("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'),
                ("index.json", json.dumps(index).encode())] + \
            [("blobs/sha256/" + d[7:], data) for d, data in self.blobs.items()]

    def archive(self, reverse=False):
        parts = self.parts()
        return tar(*(file(n, d) for n, d in (reversed(parts) if reverse else parts)))


# ----------------------------------------------------------------------- store

class Job:
    """What a run of isola-image did."""

    def __init__(self, rc, out, err):
        self.rc, self.err = rc, err
        self.lines = []
        for line in out.splitlines():
            try:
                self.lines.append(json.loads(line))
            except ValueError:
                self.lines.append({"garbage": line.decode(errors="replace")})
        last = self.lines[-1] if self.lines else {}
        self.aux = last.get("aux")
        self.error = last.get("error", "")
        self.id = (self.aux or {}).get("ID")

    def __repr__(self):
        return "rc %s, last line %r, stderr %r" % (self.rc, self.lines[-1:], self.err)


def start(state, verb, *args, **kw):
    kw.setdefault("stdin", subprocess.PIPE)
    kw.setdefault("stdout", subprocess.PIPE)
    kw.setdefault("stderr", subprocess.PIPE)
    return subprocess.Popen([IMAGE, verb, "--state", state] + [str(a) for a in args], **kw)


class Store:
    def __init__(self, name="state"):
        self.path = T + "/" + name

    def __call__(self, verb, *args, data=None, limit_s=60):
        """Runs a job; @data: bytes for its standard input, or an open file."""
        stream = data if hasattr(data, "fileno") else None
        p = start(self.path, verb, *args, stdin=stream or subprocess.PIPE)
        try:
            out, err = p.communicate(data if isinstance(data, bytes) else None, limit_s * SCALE)
        except subprocess.TimeoutExpired:
            p.kill()
            out, err = p.communicate()
            err += b" (killed: took too long)"
        return Job(p.returncode, out, err.decode(errors="replace"))

    def record(self, image_id):
        with open("%s/records/%s.json" % (self.path, image_id[7:])) as f:
            return json.load(f)

    def fs(self, image_id, layer=-1):
        """The folder of one of an image's layers."""
        return "%s/layers/%s/fs" % (self.path, self.record(image_id)["layers"][layer])

    def names(self):
        with open(self.path + "/images/index.json") as f:
            return sorted(m.get("annotations", {}).get("org.opencontainers.image.ref.name", "")
                          for m in json.load(f)["manifests"])

    def files(self):
        """Every path of the store but its locks."""
        return sorted(_paths(self.path))


def _paths(top):
    found = []
    for d, dirs, files in os.walk(os.fsencode(top)):
        for n in dirs + files:
            p = os.path.relpath(os.path.join(d, n), os.fsencode(top))
            if p not in (b"images/.lock", b"images/.leases"):
                found.append(p)
    return found


# ----------------------------------------------------------------------- trees

def look(path):
    """What one file is: kind, mode, owner, time, content, attributes."""
    st = os.lstat(path)
    kind = {stat.S_IFREG: "file", stat.S_IFDIR: "dir", stat.S_IFLNK: "link",
            stat.S_IFCHR: "char", stat.S_IFBLK: "block", stat.S_IFIFO: "fifo",
            stat.S_IFSOCK: "socket"}[stat.S_IFMT(st.st_mode)]
    seen = {"kind": kind, "mode": stat.S_IMODE(st.st_mode), "owner": (st.st_uid, st.st_gid),
            "mtime": st.st_mtime_ns}
    if kind == "file":
        with open(path, "rb") as f:
            seen["data"] = f.read() if st.st_size < 1 << 20 else \
                hashlib.sha256(f.read()).hexdigest()
    elif kind == "link":
        seen["target"] = os.fsdecode(os.readlink(path))
        del seen["mode"]
    elif kind in ("char", "block"):
        seen["dev"] = (os.major(st.st_rdev), os.minor(st.st_rdev))
    names = os.listxattr(path, follow_symlinks=False)
    if names:
        seen["xattrs"] = {n: os.getxattr(path, n, follow_symlinks=False) for n in names}
    return seen


def tree(top):
    """{relative path: look()}; "." is the top itself."""
    top = os.fsencode(top)
    seen = {".": look(top)}
    for d, dirs, files in os.walk(top):
        for n in dirs + files:
            p = os.path.join(d, n)
            seen[os.fsdecode(os.path.relpath(p, top))] = look(p)
    return seen


def paths(top):
    return sorted(p for p in tree(top) if p != ".")


WHITEOUT = ("char", (0, 0))


def is_whiteout(seen):
    return (seen["kind"], seen.get("dev")) == WHITEOUT


def is_opaque(seen):
    return seen.get("xattrs", {}).get("trusted.overlay.opaque") == b"y"
