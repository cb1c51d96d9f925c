# SPDX-License-Identifier: Apache-2.0
# nested: a Linux guest on emulated AMD-V
# processors: 2
# A container in a microVM lives as any: top, stats, limits, update, init, OOM.
# time limit: 110 s
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from vmlib import *

FLAGS = need_container_guests(root="virtiofs")
d = need_guests(*FLAGS)
busybox_tar(T + "/root.tar")
d.ctr("import", T + "/root.tar", "busybox")


def vm(*argv, **kw):
    return d.ctr("run", "--isolation", "vm", "--network", "none", *argv, limit_s=60, **kw)


def state(name):
    return d.request("GET", "/containers/%s/json" % name)[2]["State"]


def stats(name):
    return d.request("GET", "/containers/%s/stats?stream=0&one-shot=1" % name)[2]


def cpu_percent(name):
    """As Docker's clients reckon it, of two samples a second apart."""
    s = d.request("GET", "/containers/%s/stats?stream=0" % name)[2]
    now, pre = s["cpu_stats"], s["precpu_stats"]
    used = now["cpu_usage"]["total_usage"] - pre["cpu_usage"]["total_usage"]
    return used / (now["system_cpu_usage"] - pre["system_cpu_usage"]) * now["online_cpus"] * 100


def cgroup(name, file):
    """What its cgroup on the host says."""
    pid = state(name)["Pid"]
    with open("/proc/%d/cgroup" % pid) as f:
        path = f.read().split("::", 1)[1].strip()
    with open("/sys/fs/cgroup" + path + "/" + file) as f:
        return f.read().strip()


r = vm("-d", "--name", "box", "--init", "--memory", "64m", "--pids-limit", "20", "--cpus", "0.5",
       "--user", "7:8", "busybox", "sh", "-c", "echo up; sleep 1000")
if not check(r.rc == 0, "one runs with limits and an init", r):
    diag(d.log_tail())
    finish()
check(wait_for(30, lambda: d.ctr("logs", "box").out == "up\n"), "it runs")

# --------------------------------------------------------------------- top, init
r = d.ctr("top", "box", "-o", "pid,ppid,user,args")
rows = [line.split(None, 3) for line in r.out.splitlines()]
check(r.rc == 0 and rows[0] == ["PID", "PPID", "USER", "COMMAND"], "top: titles", r)
check(any(row[2:] == ["7", "isola-init"] for row in rows), "top: --init's, as the user", r)
check(any(row[2:] == ["7", "sh -c echo up; sleep 1000"] or row[3] == "sleep 1000" for row in rows),
      "top: the process", r)
is_(d.ctr("top", "box").out.split("\n")[0].split(), "UID PID PPID C STIME TTY TIME CMD".split(),
    "top: the usual columns")
is_(d.ctr("exec", "box", "cat", "/proc/1/comm").out, "isola-init\n", "init is PID 1")

# ------------------------------------------------------------------------- limits
s = stats("box")
check(2 <= s["pids_stats"]["current"] <= 5 and s["pids_stats"]["limit"] == 20, "stats: processes", s)
check(0 < s["memory_stats"]["usage"] < 64 << 20 and s["memory_stats"]["limit"] == 64 << 20,
      "stats: memory", s["memory_stats"])
check(s["cpu_stats"]["cpu_usage"]["total_usage"] > 0, "stats: CPU", s["cpu_stats"])
host = s["isola"]["host"]
check(host["memory_usage"] > s["memory_stats"]["usage"] and host["cpu_usage"] > 0 and
      s["isola"]["missing"] == [], "stats: the whole VM's beside it", s["isola"])
is_(cgroup("box", "cpu.max"), "50000 100000", "--cpus is the whole VM's")
r = d.ctr("exec", "box", "sh", "-c", "for i in $(seq 30); do sleep 5 & done; echo all")
check(r.rc and "fork" in r.err, "--pids-limit", r)
before = int(cgroup("box", "memory.max"))

# ------------------------------------------------------------------------- update
r = d.ctr("update", "--memory", "32m", "--memory-swap", "32m", "--pids-limit", "40",
          "--cpus", "0.25", "box")
check(r.rc == 0, "update of one that runs", r)
s = stats("box")
is_((s["pids_stats"]["limit"], s["memory_stats"]["limit"]), (40, 32 << 20), "which its guest has")
is_(cgroup("box", "cpu.max"), "25000 100000", "and the VM")
is_(int(cgroup("box", "memory.max")), before, "the VM's memory stays that of its boot")
r = d.ctr("update", "--memory", "64m", "--memory-swap", "64m", "box")
is_((r.rc, stats("box")["memory_stats"]["limit"]), (0, 64 << 20), "back up, as far as it was booted")
r = d.ctr("update", "--memory", "500m", "--memory-swap", "500m", "box")
check(r.rc and "Memory (--memory)" in r.err and "booted" in r.err, "no further: says why", r)
most = min(os.cpu_count(), 4)


def nproc():
    return d.ctr("exec", "box", "nproc").out.strip()


is_((nproc(), stats("box")["cpu_stats"]["online_cpus"]), ("1", 1), "one CPU at first")
r = d.ctr("update", "--cpus", str(most), "box")
is_((r.rc, nproc()), (0, str(most)), "and another while it runs", r)
is_(cgroup("box", "cpu.max"), "%d 100000" % (most * 100000), "which the VM may use")
is_(stats("box")["cpu_stats"]["online_cpus"], most, "and stats counts")
d.ctr("exec", "-d", "box", "timeout", "8", "sh", "-c", "while :; do :; done")
percent = cpu_percent("box")
check(50 < percent < 150, "stats: 100 % is one CPU that is busy", percent)
is_(d.request("GET", "/containers/box/json")[2]["HostConfig"]["NanoCpus"], most * 10**9, "inspect says so")
r = d.ctr("update", "--cpus", str(most + 1), "box")
check(r.rc and "NanoCpus (--cpus)" in r.err, "no more CPUs than its machine has", r)
is_(nproc(), str(most), "and it has what it had")
r = d.ctr("update", "--cpus", "0.25", "box")
is_((r.rc, nproc(), cgroup("box", "cpu.max")), (0, "1", "25000 100000"), "back to one", r)
is_(d.ctr("update", "--cpus", str(most), "box").rc, 0, "for its next start: one more")
is_(d.request("GET", "/containers/box/json")[2]["HostConfig"]["Memory"], 64 << 20, "nothing of it is kept")

# ---------------------------------------------------------------- pause, the clock
is_(d.ctr("pause", "box").rc, 0, "pause")
r = d.ctr("top", "box")
check(r.rc and "paused" in r.err, "top says that it is paused", r)
check(stats("box")["isola"]["missing"] == ["cpu", "memory", "pids"], "and stats has the host's only")
is_(d.ctr("unpause", "box").rc, 0, "unpause")
near = d.ctr("exec", "box", "date", "+%s")
check(near.rc == 0 and abs(int(near.out) - time.time()) < 5, "its clock is right", near)

# ---------------------------------------------------------------- signals, the end
is_(d.ctr("stop", "-t", "20", "box").rc, 0, "stop")
is_(state("box")["ExitCode"], 143, "init passed the signal on")
r = d.ctr("update", "--memory", "128m", "--memory-swap", "128m", "box")
is_(r.rc, 0, "one that is stopped can have more", r)
is_(d.ctr("start", "box").rc, 0, "from its next start on")
is_(stats("box")["memory_stats"]["limit"], 128 << 20, "it has")
is_(nproc(), str(most), "and its CPUs")

# ------------------------------------------------------------- memory comes back
MIB = 1 << 20


def used():
    return int(cgroup("box", "memory.current"))


def settled():
    """What it uses once that stands still: what the boot freed goes back within seconds."""
    last, end = used(), time.monotonic() + 20 * SCALE
    while time.monotonic() < end:
        time.sleep(4)
        now = used()
        if abs(now - last) < MIB:
            break
        last = now
    return used()


def comes_back(mib):
    """A file of that size in /dev/shm comes and goes."""
    before = settled()
    is_(d.ctr("exec", "box", "dd", "if=/dev/zero", "of=/dev/shm/x", "bs=1M", "count=%d" % mib).rc, 0,
        "%d MiB are touched" % mib)
    full = used()
    is_(d.ctr("exec", "box", "rm", "/dev/shm/x").rc, 0, "and freed")
    # Some of its pages are such as the host had given already, too scattered to be reported.
    check(full - before > mib // 3 * 2 * MIB and wait_for(30, lambda: used() < full - mib // 3 * 2 * MIB),
          "the host has them again", (before, full, used()))
    diag("memory of the VM's cgroup in KiB: before %d, touched %d, freed %d" %
         (before >> 10, full >> 10, used() >> 10))


comes_back(60)
is_(d.ctr("rm", "-f", "box").rc, 0, "removed")
# A small one has little to spare, and still gives it back.
is_(vm("-d", "--name", "box", "--memory", "48m", "busybox", "sleep", "1000").rc, 0, "a small one")
comes_back(36)
is_(d.ctr("rm", "-f", "box").rc, 0, "goes")

# ---------------------------------------------------------------------------- OOM
r = vm("--name", "oom", "--memory", "32m", "busybox", "sh", "-c",
       "exec dd if=/dev/zero of=/dev/null bs=100M")
is_(r.rc, 137, "too much memory: killed", r)
s = state("oom")
is_((s["OOMKilled"], s["ExitCode"]), (True, 137), "and inspect says why")
r = d.ctr("events", "--since", "0", "--until", str(int(time.time()) + 1), "--filter", "event=oom",
          "--format", "{{.Action}}")
is_(r.out, "oom\n", "an event, too", r)
d.ctr("rm", "oom")
finish()
