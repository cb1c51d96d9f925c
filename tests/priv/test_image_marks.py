#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A writable layer whose marks are a user's (user.overlay.*), as a microVM with an image of its
own writes them, above layers whose marks are trusted.overlay.*: isola-image shows one tree."""
import array
import json
import os
import socket
import subprocess
import sys
import tarfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/..")
from lib import *

need_root()


def put(path, text=None, opaque=None):
    if text is None:
        os.makedirs(T + "/" + path, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(T + "/" + path), exist_ok=True)
        with open(T + "/" + path, "w") as f:
            f.write(text)
    if opaque:
        os.setxattr(T + "/" + path, opaque + ".overlay.opaque", b"y")


put("l1/a/under", "1")
put("l1/b/under", "1")
put("l1/gone", "1")
put("l2/a", opaque="trusted")
put("l2/a/two", "2")
put("layer/upper/b", opaque="user")
put("layer/upper/b/three", "3")
put("layer/work")
os.mknod(T + "/layer/upper/gone", 0o20000, 0)


def view(verb, *words, write=False, stdin=None, **more):
    """(return code, what it said, what it sent)"""
    spec = {"id": "x", "lower": [T + "/l2", T + "/l1"], "upper": T + "/layer/upper",
            "work": T + "/layer/work", "write": write, "user_marks": True, "mounts": []}
    spec.update(more)
    text = os.memfd_create("view")
    os.write(text, json.dumps(spec).encode())
    os.lseek(text, 0, 0)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    p = subprocess.Popen([BUILD + "/isola-image", verb, *words], stdin=stdin or theirs,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, pass_fds=[3],
                         preexec_fn=lambda: os.dup2(text, 3) and None)
    theirs.close()
    os.close(text)
    a, b = socket.socketpair()
    if not write:
        ours.sendmsg([b"p"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [b.fileno()]))])
    b.close()
    a.settimeout(30 * SCALE)
    data = b""
    while not write:
        piece = a.recv(65536)
        if not piece:
            break
        data += piece
    said = p.communicate(timeout=30 * SCALE)[0]
    return p.returncode, said, data


hold = os.open("/dev/null", os.O_RDONLY)    # so that 3 is nobody's of these
if hold != 3:
    os.dup2(hold, 3)
rc, said, data = view("cp-export")
is_(rc, 0, "an export", said.decode())
with open(T + "/tar", "wb") as f:
    f.write(data)
with tarfile.open(T + "/tar") as t:
    is_(sorted(m.name for m in t if m.isfile()), ["a/two", "b/three"],
        "has what neither kind of mark hides")
rc, said, data = view("cp-changes", split=True)
is_(rc, 0, "changes", said.decode())
is_([(c["Kind"], c["Path"]) for c in json.loads(data)],
    [(0, "/b"), (1, "/b/three"), (2, "/b/under"), (2, "/gone")], "are told by the user's marks")
put("in/a/new", "4")
with tarfile.open(T + "/in.tar", "w") as t:
    t.add(T + "/in/a", "a")
size = os.path.getsize(T + "/in.tar")
with open(T + "/in.tar", "rb") as f:
    rc, said, data = view("cp-put", "--", "/", write=True, stdin=f, body={"chunked": False, "length": size})
is_(rc, 0, "a write", said.decode())
is_((sorted(os.listdir(T + "/layer/upper/a")), sorted(os.listdir(T + "/layer/upper/b"))),
    (["new"], ["three"]), "goes to the layer")
rc, said, data = view("cp-changes", split=True)
is_([(c["Kind"], c["Path"]) for c in json.loads(data)][:3], [(0, "/a"), (1, "/a/new"), (0, "/b")],
    "and is a change like any")
check("trusted.overlay.opaque" not in os.listxattr(T + "/layer/upper/b"), "which stay what they are")
finish()
