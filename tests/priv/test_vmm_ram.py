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
POOL = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"


def start(name, **memory):
    with open("%s/%s.elf" % (T, name), "wb") as f:
        f.write(elf(IDLE))
    doc = {"version": 1, "id": name, "boot": {"kernel": {"path": "%s/%s.elf" % (T, name)}},
           "memory": {"size": RAM, **memory}, "rng": False, "balloon": False,
           "seccomp": "off" if SANITIZED else "kill", "cpus": {"broken": []}}
    with open("%s/%s.json" % (T, name), "w") as f:
        json.dump(doc, f)
    return subprocess.Popen([PROGRAM, "--config", f.name], stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def mapping(pid):
    """The mapping of @pid that has the guest's memory: smaps fields, flags, name."""
    found = {}
    with open("/proc/%d/smaps" % pid) as f:
        for line in f:
            if m := re.match(r"([0-9a-f]+)-([0-9a-f]+) \S+ \S+ \S+ \S+\s*(.*)", line):
                one = {"name": m[3], "size": int(m[2], 16) - int(m[1], 16)}
                if one["size"] == RAM:
                    found = one
            elif m := re.match(r"(\w+): +(\d+) kB", line):
                one[m[1]] = int(m[2]) * 1024
            elif line.startswith("VmFlags:"):
                one["flags"] = line.split()[1:]
    return found


def seen(name, want, what, **memory):
    p = start(name, **memory)
    good = wait_for(WAIT_S, lambda: p.poll() is not None or want(mapping(p.pid)))
    state = mapping(p.pid) if p.poll() is None else p.stdout.read()
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

# ---- pages of the pool
with open("/sys/kernel/mm/transparent_hugepage/enabled") as f:
    if "[never]" not in f.read():
        seen("huge", lambda m: m.get("AnonHugePages", 0) >= RAM // 2,
             "and transparent huge pages are got", thp=True, prefault=True)
    else:
        skip("transparent huge pages", "this host never makes them")
with open(POOL) as f:
    before = f.read()
if int(before) == 0:
    p = start("none", hugepages="2M")
    out, _ = p.communicate(timeout=WAIT_S)
    check(p.returncode and "cannot get 32 huge pages of 2048 KiB" in out and
          "/sys/kernel/mm/hugepages" in out, "a pool that is empty: an error that names it", out)
try:
    with open(POOL, "w") as f:
        f.write("%d" % (int(before) + 2 * RAM // (2 * MIB)))
    with open(POOL) as f:
        now = int(f.read())
    if now < RAM // (2 * MIB):
        skip("pages of the pool", "this host gives %d of them" % now)
    else:
        for name, more in (("pool", {}), ("pool-shared", {"shared": True})):
            seen(name, lambda m: m.get("KernelPageSize") == 2 * MIB,
                 "memory of 2 MiB pages of the pool (%s)" % name, hugepages="2M", **more)
finally:
    with open(POOL, "w") as f:
        f.write(before)
finish()
