#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# time limit: 240 s
# not in the lab: a million entries, and nothing the kernel decides
"""Large layers in bounded memory, and archives that grow when they are read:
bombs, endless maps, deep trees, many layers."""
import os
import sys
import zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from imagelib import *                              # noqa: F401,F403,E402

need_root()
need_program("isola-image")
SANITIZED = "asan" in os.environ.get("ISOLA_BUILD_NAME", BUILD)
store = Store()
os.mkdir(store.path)
run("mount", "-t", "tmpfs", "none", store.path)
store("check")
clean = store.files()


def peak_kib(pid):
    """The highest RSS so far of a process and of its children."""
    def hwm(p):
        m = re.search(rb"VmHWM:\s+(\d+)", _read("/proc/%s/status" % p))
        return int(m.group(1)) if m else 0
    kids = _read("/proc/%d/task/%d/children" % (pid, pid)).split()
    return hwm(pid), max([hwm(k.decode()) for k in kids] or [0])


def _read(path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except OSError:
        return b""


def watched(path, verb):
    """Runs a job on a file; (job, seconds, peak of it, peak of its child)."""
    peaks = [0, 0]
    with open(path, "rb") as f:
        t0 = time.monotonic()
        p = start(store.path, verb, stdin=f, stdout=open(T + "/out", "wb"))
        while p.poll() is None:
            peaks = [max(a, b) for a, b in zip(peaks, peak_kib(p.pid))]
            time.sleep(0.005)
        took = time.monotonic() - t0
    return Job(p.returncode, _read(T + "/out"), p.stderr.read().decode()), took, *peaks


def many(path, n):
    with open(path, "wb") as f:
        for i in range(n):
            if i % 100 == 0:
                f.write(folder("d%05d" % (i // 100), mtime=5))
            f.write(file("d%05d/f%02d" % (i // 100, i % 100), b"x" * 10))
        f.write(END)


# ---- 100,000 files
peaks = {}
for n in (10000, 100000):
    many(T + "/many.tar", n)
    job, took, main, child = watched(T + "/many.tar", "import")
    if not check(job.rc == 0, "%d files are imported" % n, job):
        finish()
    peaks[n] = (main, child)
    d = store.fs(job.id) + "/d%05d" % (n // 100 - 1)
    check(len(os.listdir(d)) == 100 and os.stat(d).st_mtime == 5, "%d files: all there" % n)
    diag("%d files: %.2f s, peak RSS %d KiB, of the unpacking process %d KiB" % (
        n, took, main, child))
    os.mkdir(store.path + "/x")
    t0 = time.monotonic()
    run("tar", "-C", store.path + "/x", "-xf", T + "/many.tar")
    diag("tar -xf: %.2f s" % (time.monotonic() - t0))
    shutil.rmtree(store.path + "/x")
    store("delete", job.id)
# A sanitizer keeps what was freed for a while.
check(all(b - a < (4096 if "asan" in os.environ.get("ISOLA_BUILD_NAME", BUILD) else 1024)
          for a, b in zip(*peaks.values())),
      "ten times the files take no more memory (KiB: %s)" % peaks)
check(SANITIZED or all(max(p) < 32768 for p in peaks.values()), "less than 32 MiB")

# ---- deep trees
deep = tar(file("a/" * 2040 + "f"), *(file("a/" * i + "g") for i in range(0, 2040, 20)))
job = store("import", data=deep)
check(job.rc == 0, "a tree 2040 deep", job)
check(store("delete", job.id).rc == 0 and store.files() == clean, "and its removal")
entries = b"".join(file("%d/" % i + "a/" * 2000 + "f") for i in range(60))
job = store("import", "--max-entries", 100000, data=entries + END)
check(job.rc == 1 and "entries" in job.error and store.files() == clean,
      "60 files that want 120,000 folders count as that many", job)

# ---- limits
layer = tar(*(file("f%d" % i) for i in range(50)))
for what, data in (("import", layer), ("load", docker_archive([layer]))):
    job = store(what, "--max-entries", 50, data=data)
    check(job.rc == 0, "%s: as many entries as allowed" % what, job)
    store("delete", job.id)
    job = store(what, "--max-entries", 49, data=data)
    check(job.rc == 1 and "--max-entries" in job.error and store.files() == clean,
          "%s: one more" % what, job)
    job = store(what, "--max-bytes", "20k", data=data)
    check(job.rc == 1 and "--max-bytes" in job.error and store.files() == clean,
          "%s: more bytes than allowed" % what, job)
os.environ["ISOLA_IMAGE_MAX_ENTRIES"] = "49"
like(store("import", data=layer).error, "--max-entries", "the environment limits, too")
del os.environ["ISOLA_IMAGE_MAX_ENTRIES"]


def bomb(head, size):
    """gzip of @head and @size zeros, made without holding them."""
    c = zlib.compressobj(9, zlib.DEFLATED, 31)
    parts, block = [c.compress(head)], b"\0" * (1 << 20)
    parts += [c.compress(block) for _ in range(size >> 20)]
    return b"".join(parts) + c.flush()


big = bomb(header(b"zeros", size=3 << 30), 3 << 30)
job = store("import", "--max-bytes", "64m", data=big)
check(job.rc == 1 and "--max-bytes" in job.error and store.files() == clean,
      "3 GiB of zeros in %d KiB: stopped at the limit" % (len(big) >> 10), job)
twice = bomb(header(b"manifest.json", size=1 << 30), 1 << 30)
job = store("load", "--max-bytes", "64m", data=gzip.compress(twice))
check(job.rc == 1 and store.files() == clean, "a bomb in a gzip in a load", job)
job = store("load", "--max-bytes", "64m", data=twice)
check(job.rc == 1 and "--max-bytes" in job.error and store.files() == clean,
      "an archive that is a bomb", job)
job = store("load", "--max-bytes", "64m", data=docker_archive([b"x"], compress=lambda t: big))
check(job.rc == 1 and "--max-bytes" in job.error and store.files() == clean,
      "a layer that is a bomb", job)
tail = gzip.compress(tar(file("a"))) + bomb(b"", 1 << 30)
job = store("import", "--max-bytes", "64m", data=tail)
check(job.rc == 1 and "--max-bytes" in job.error and store.files() == clean,
      "a bomb behind the archive's end", job)

# ---- memory that JSON or maps would like
for what, text in (("numbers", b"[" + b"0," * 2000000 + b"0]"),
                   ("empty objects", b"[" + b"{}," * 1300000 + b"{}]"),
                   ("long keys", b'{"' + b"k" * 4000000 + b'":1}')):
    job = store("load", data=tar(file("manifest.json", text)))
    check(job.rc == 1 and job.error and store.files() == clean,
          "4 MB of %s for a manifest" % what, job)
regions = b"".join(b"%d\n1\n" % (2 * i) for i in range(400000))
content = b"%d\n" % 400000 + regions
content += b"\0" * (-len(content) % 512) + b"x" * 400000
sparse = pax([(b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"),
              (b"GNU.sparse.realsize", b"800000")]) + header(b"s", size=len(content)) + padded(content)
job = store("import", data=sparse + END)
check(job.rc == 0 and tree(store.fs(job.id))["s"]["data"] == b"x\0" * 400000,
      "a sparse file of 400,000 regions", job)
store("delete", job.id)
xattrs = [(b"user.%d" % i, b"v") for i in range(257)]
like(store("import", data=tar(file("x", xattrs=xattrs))).error, "extended attributes",
     "257 extended attributes")
like(store("load", data=tar(*(file("%d" % i, b"") for i in range(65537)))).error,
     "no image archive", "65,537 files in a load")

# ---- many layers
layers = [tar(file("f%d" % i)) for i in range(500)]
job = store("load", data=docker_archive(layers))
check(job.rc == 0 and len(store.record(job.id)["layers"]) == 500, "an image of 500 layers", job)
check(store("delete", job.id).rc == 0 and store.files() == clean, "and its removal")
run("umount", store.path)
finish()
