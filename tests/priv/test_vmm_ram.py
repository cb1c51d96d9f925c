# SPDX-License-Identifier: Apache-2.0
# Guest memory as the host sees it: prefault, transparent huge pages, KSM, shared
# memory, pages of the host's pool. What smaps says of the mapping is what counts.
import os
import sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from vmmlib import *

need_root()
need_kvm()
RAM = 64 * MIB
GIB = 1 << 30


def start(name, size=RAM, **memory):
    with open("%s/%s.elf" % (T, name), "wb") as f:
        f.write(elf(IDLE))
    doc = {"version": 1, "id": name, "boot": {"kernel": {"path": "%s/%s.elf" % (T, name)}},
           "memory": {"size": size, **memory}, "rng": False, "balloon": False,
           "seccomp": "off" if SANITIZED else "kill", "cpus": {"broken": []}}
    with open("%s/%s.json" % (T, name), "w") as f:
        json.dump(doc, f)
    return subprocess.Popen([PROGRAM, "--config", f.name], stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def mapping(pid, size=RAM):
    """The mapping of @pid that has the guest's memory: smaps fields, flags, name."""
    found = {}
    with open("/proc/%d/smaps" % pid) as f:
        for line in f:
            if m := re.match(r"([0-9a-f]+)-([0-9a-f]+) \S+ \S+ \S+ \S+\s*(.*)", line):
                one = {"name": m[3], "size": int(m[2], 16) - int(m[1], 16)}
                if one["size"] == size:
                    found = one
            elif m := re.match(r"(\w+): +(\d+) kB", line):
                one[m[1]] = int(m[2]) * 1024
            elif line.startswith("VmFlags:"):
                one["flags"] = line.split()[1:]
    return found


def seen(name, want, what, size=RAM, **memory):
    p = start(name, size, **memory)
    good = wait_for(WAIT_S, lambda: p.poll() is not None or want(mapping(p.pid, size)))
    state = mapping(p.pid, size) if p.poll() is None else p.stdout.read()
    check(good and p.poll() is None, what, state)
    p.kill()
    p.wait()


def few_pages(m):
    return m.get("Rss", RAM) < RAM // 2


seen("plain", lambda m: m and few_pages(m) and "mg" not in m["flags"] and "hg" not in m["flags"],
     "by default memory comes page by page, and nobody merges it")
seen("merge", lambda m: m and "mg" in m["flags"] and few_pages(m), "KSM may merge it if asked",
     merge=True)
seen("thp", lambda m: m and "hg" in m["flags"], "huge pages are asked for if asked", thp=True)
seen("prefault", lambda m: m.get("Rss") == RAM, "prefault: all of it is there", prefault=True)
seen("shared", lambda m: "memfd:" in m.get("name", "") and few_pages(m), "shared memory is a memfd",
     shared=True)
seen("both", lambda m: "memfd:" in m.get("name", "") and m["Rss"] == RAM,
     "which can be prefaulted", shared=True, prefault=True)

with open("/sys/kernel/mm/transparent_hugepage/enabled") as f:
    if "[never]" not in f.read():
        seen("huge", lambda m: m.get("AnonHugePages", 0) >= RAM // 2,
             "and transparent huge pages are got", thp=True, prefault=True)
    else:
        skip("transparent huge pages", "this host never makes them")


# ---- pages of the pool
def pool(pages, page, size):
    """Memory of @size bytes in pages of @page bytes, which "hugepages" calls @pages."""
    path, n = "/sys/kernel/mm/hugepages/hugepages-%dkB/nr_hugepages" % (page >> 10), size // page
    if not os.path.exists(path):
        skip("pages of %s" % pages, "this processor has none")
        return
    with open(path) as f:
        before = f.read()
    if int(before) == 0:
        p = start("none", size, hugepages=pages)
        out, _ = p.communicate(timeout=WAIT_S)
        check(p.returncode and "cannot get %d huge pages of %d KiB" % (n, page >> 10) in out and
              "/sys/kernel/mm/hugepages" in out,
              "a pool without pages of %s: an error that names it" % pages, out)
    try:
        with open(path, "w") as f:
            f.write("%d" % (int(before) + n))
        with open(path) as f:
            now = int(f.read())
        if now < int(before) + n:
            skip("pages of %s" % pages, "this host gives %d of them" % now)
            return
        for name, more in (("pool", {}), ("pool-shared", {"shared": True})):
            seen(name, lambda m: m.get("KernelPageSize") == page,
                 "memory of pages of %s of the pool (%s)" % (pages, name), size, hugepages=pages,
                 **more)
    finally:
        with open(path, "w") as f:
            f.write(before)


pool("2M", 2 * MIB, RAM)
pool("1G", GIB, GIB)
finish()
