# SPDX-License-Identifier: Apache-2.0
# nested: Linux guests on emulated AMD-V
# What scripts/setup installs, and nobody asked for more: the microVMs of one image share its
# pages on the host, hard links outlive their first name, access control lists are kept.
# time limit: 150 s
import os
import sys
import tarfile

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from vmlib import *

if not fetched_kernel():
    skip_all("guest/kernel/fetch has not patched Debian's modules (scripts/setup)")
d = need_guests(*need_container_guests(debian=True))
FILE_MIB = 24

busybox_tar(T + "/root.tar")
with open(T + "/big", "wb") as f:
    f.write(os.urandom(FILE_MIB * MIB))
with tarfile.open(T + "/root.tar", "a") as tar:
    tar.add(T + "/big", "big")
    tar.add(BUILD + "/tests/conformance/probe", "bin/probe")
is_(d.ctr("import", T + "/root.tar", "box").rc, 0, "an image")


def start(name):
    r = d.ctr("run", "-d", "--name", name, "--isolation", "vm", "--network", "none", "box",
              "sleep", "1000", limit_s=90)
    if r.rc != 0:
        not_ok(name + " starts", r)
        diag(d.log_tail())
        finish()


def worker_of(name):
    doc = json.loads(d.ctr("explain", "--format", "json", name).out)
    return next(b["Pid"] for b in doc["Boundaries"] if b["Role"] == "worker")


def sh(name, text):
    return d.ctr("exec", name, "sh", "-c", text, limit_s=60).out


# ------------------------------------------------------------------------ shared pages
for name in ("one", "two"):
    start(name)
    is_(d.request("GET", "/containers/%s/json" % name)[2]["Isola"].get("Root"), "erofs",
        name + " has a root of the image's file")
    is_(sh(name, "cat /big | wc -c").strip(), str(FILE_MIB * MIB), name + " reads it")
for name in ("one", "two"):
    rss, shared = shared_kib(worker_of(name), "root.erofs")
    check(rss >= FILE_MIB << 10 and shared == rss, name + " shares with the other what it read",
          "resident %d KiB, shared %d KiB" % (rss, shared))

# ----------------------------------------------------------- what the patches are for
is_(sh("one", "cd /root; echo x >a; ln a b; ln a c; rm a; cat b; echo y >new; mv new b; cat b c; "
              "ls | tr '\\n' ' '"), "x\ny\nx\nb c ", "hard links outlive their first name")
is_(sh("one", "ln /big /big2; rm /big; wc -c </big2; cd /etc; ln group g; rm group; grep -c root g")
    .split(), [str(FILE_MIB * MIB), "1"], "those of the image's files, too")
like(sh("one", "mkdir -m 777 /acl && probe acl /acl"),
     "^set ok\nsame [01]\nthe one ok\nto write EACCES\n$", "access control lists are kept")
is_(d.ctr("exec", "two", "sh", "-c", "cat /big | wc -c", limit_s=60).out.strip(), str(FILE_MIB * MIB),
    "the other has its own")
is_(d.ctr("rm", "-f", "one", "two").rc, 0, "they go")
finish()
