#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
#
# Payloads that want out: our own binary, our processes on their way in, our
# sockets, system calls, capabilities, working folders through /proc, volumes on
# /proc.  docs/security.md names the holes of other engines that these stand for.
import os, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/..")
from lib import *
import hashlib
import io
import tarfile
import threading

need_root()
need_program("isolad", "isola-keeper", "isola-image", "ctrctl", "tests/priv/hostile_probe")
PROGRAMS = ["isolad", "isola-keeper", "isola-image", "ctrctl", "isola-oci"]
d = start_isolad()
if not d:
    not_ok("isolad starts")
    finish()


def image(name, *more):
    """Busybox, the probe, and MORE (name, mode, data, link) instead of what is there."""
    busybox_tar(T + "/root.tar")
    with tarfile.open(T + "/root.tar", "a") as tar:
        def add(path, mode, data=b"", link=""):
            t = tarfile.TarInfo(path)
            t.mode, t.size, t.linkname = mode, len(data), link
            t.type = tarfile.SYMTYPE if link else tarfile.REGTYPE
            tar.addfile(t, io.BytesIO(data))
        with open(BUILD + "/tests/priv/hostile_probe", "rb") as f:
            add("bin/probe", 0o755, f.read())
        for entry in more:
            add(*entry)
    return d.ctr("import", T + "/root.tar", name)


def digests():
    found = {}
    for p in PROGRAMS:
        with open(BUILD + "/" + p, "rb") as f:
            found[p] = hashlib.sha256(f.read()).hexdigest()
    return found


before = digests()
r = image("box", ("self", 0o755, b"#!/proc/self/exe\n"), ("link", 0o777, b"", "/proc/self/exe"),
          ("lib64/ld-linux-x86-64.so.2", 0o755, b"", "/bin/probe"),
          ("cwdlink", 0o777, b"", "/proc/self/fd/5"), (T.lstrip("/") + "/out/inside", 0o644))
check(r.rc == 0, "an image is imported", r)
d.ctr("run", "--rm", "box", "true")     # what isolad starts once, is there
leak_mark()

# ---------------------------------------------------- our programs, from inside

MODES = {"its own user namespace": [], "--userns host": ["--userns", "host"],
         "--privileged": ["--privileged"]}
for mode, flags in MODES.items():
    for entry in ("/self", "/link", "/proc/self/exe"):
        r = d.ctr("run", "--rm", *flags, "box", entry, "write", "/proc/self/exe", "/proc/1/exe")
        check(" done" not in r.out and r.rc != 124, "%s as entry point, %s" % (entry, mode), r)
    r = d.ctr("run", "-d", "--name", "spied", *flags, "box", "probe", "spy", str(4000 * SCALE))
    check(r.rc == 0, "a spy runs, %s" % mode, r)
    end = time.monotonic() + 2.5 * SCALE
    while time.monotonic() < end:
        for argv in (["true"], ["/self"], ["/proc/self/exe"]):
            d.ctr("exec", "spied", *argv)
    wait_for(8, lambda: d.ctr("inspect", "-f", "{{.State.Running}}", "spied").out == "false\n")
    seen = set(d.ctr("logs", "spied").out.splitlines())
    d.ctr("rm", "-f", "spied")
    check(any(s.startswith("looks ") for s in seen), "it looked for the whole time")
    bad = sorted(s for s in seen if s.startswith("writable ") and "/bin/" not in s)
    is_(bad, [], "it can write no program of ours, %s" % mode)
    if mode == "--privileged":
        continue                        # may look into everybody, as told
    # "exe /" is a payload that executes ours as /proc/self/exe; see above
    bad = sorted(s for s in seen if not s.startswith("looks ") and not (
        s.split()[0] in ("exe", "writable") and s.split()[1].startswith("/bin/") or
        s in ("exe /", "root /", "cwd /", "cwd /root") or s.startswith("fd/") and
        (s.split()[1].startswith(("pipe:", "socket:", "/dev/null", "/proc")) and
         int(s.split()[0][3:]) < 3 or s.split()[1] in ("/self", "/link"))))
    is_(bad, [], "nor see anything of a process on its way in, %s" % mode)
is_(digests(), before, "our programs are as they were")

# ------------------------------------------------ descriptors, working folders

r = d.ctr("run", "--rm", "--userns", "host", "box", "ls", "/proc/1/fd")
is_(r.out.split(), ["0", "1", "2", "3"], "a payload has three descriptors (and ls its folder)")
status, _, body = d.request("POST", "/containers/create?name=host",
                            {"Image": "box", "Cmd": ["sleep", "1000"],
                             "HostConfig": {"UsernsMode": "host"}})
d.ctr("start", "host")
r = d.ctr("exec", "host", "sh", "-c", "ls /proc/$$/fd")
is_(sorted(set(r.out.split()) - {"3"}), ["0", "1", "2"], "and so has an exec")
inside = []
for n in range(3, 65):
    for cwd in ("/proc/self/fd/%d" % n, "/proc/1/fd/%d/.." % n):
        r1 = d.request("POST", "/containers/host/exec",
                       {"Cmd": ["cat", "/etc/shadow"], "WorkingDir": cwd, "AttachStdout": True})
        if r1[0] != 201:
            continue
        r2 = d.request("POST", "/exec/%s/start" % r1[2]["Id"], {"Detach": True})
        if r2[0] < 400:
            inside.append(cwd)
is_(inside, [], "no exec starts in /proc/self/fd/N")
started = []
for n in (list(range(3, 24)) + [32, 48, 64]):
    r = d.ctr("run", "--rm", "--userns", "host", "-w", "/proc/self/fd/%d" % n, "box", "true")
    if r.rc == 0:
        started.append(n)
r = d.ctr("run", "--rm", "-w", "/cwdlink", "box", "true")
is_(started + [r.rc] * (r.rc == 0), [], "no container starts there, or through a link to it")

# --------------------------------------------------------------- capabilities

bad = []
for user in ([], ["-u", "nobody"], ["-u", "1000:1000"], ["-u", "0:5"]):
    for caps in ([], ["--cap-add", "SYS_PTRACE"], ["--userns", "host"], ["--privileged"]):
        r = d.ctr("run", "--rm", *user, *caps, "box", "grep", "-E", "Cap(Inh|Amb)",
                  "/proc/self/status")
        if set(r.out.split()) != {"CapInh:", "CapAmb:", "0000000000000000"}:
            bad.append((user, caps, r))
    for flags in ([], ["--privileged"]):
        r = d.ctr("exec", *user, *flags, "host", "grep", "-E", "Cap(Inh|Amb)",
                  "/proc/self/status")
        if set(r.out.split()) != {"CapInh:", "CapAmb:", "0000000000000000"}:
            bad.append((user, flags, r))
is_(bad, [], "nothing is inheritable or ambient, for whom and how ever it starts")
r = d.ctr("run", "--rm", "-u", "1000", "box", "grep", "-E", "Cap(Eff|Prm)", "/proc/self/status")
is_(set(r.out.split()), {"CapEff:", "CapPrm:", "0000000000000000"},
    "a user has no capability in effect")

# --------------------------------------------------------------- system calls

for mode, flags in (("its own user namespace", []), ("--userns host", ["--userns", "host"])):
    r = d.ctr("run", "--rm", *flags, "box", "probe", "calls")
    got = dict(line.split() for line in r.out.splitlines())
    is_(got.pop("unix", None), "done", "the probe may make sockets, %s" % mode)
    is_(sorted(k for k, v in got.items() if v == "done"), [], "but has no way out, %s" % mode)
    # a masked /proc/kcore is /dev/null: it can be read, and is empty
    r = d.ctr("run", "--rm", *flags, "box", "sh", "-c", "mkdir /tmp/c; unshare -UrmC "
              "mount -t cgroup2 c /tmp/c && echo 1; unshare -UrC mount -t cgroup -o rdma c "
              "/tmp/c && echo 2; mount -t cgroup2 c /tmp/c && echo 3; "
              "echo 1 >/sys/fs/cgroup/cgroup.procs && echo 4; "
              "echo x >/proc/sysrq-trigger && echo 5; echo x >/proc/sys/kernel/core_pattern "
              "&& echo 6; [ $(head -c 1 /proc/kcore | wc -c) = 0 ] || echo 7; echo end")
    is_(r.out, "end\n", "no cgroup is mounted or changed, no sysctl, %s" % mode)

# ---------------------------------------------------------------- our sockets

r = d.ctr("run", "--rm", "--network", "host", "--pid", "host", "--userns", "host", "box", "sh",
          "-c", "cat /proc/net/unix; ls -l %s %s/run; ls /proc/%d/root %s"
          % (d.socket, T, d.pid, "/proc/1/root" + T))
ours = [line for line in r.out.splitlines() if "@" in line and "isola" in line.lower()]
is_(ours, [], "no socket of ours is abstract")
check("keeper.sock" not in r.out.replace(T, "") or not re.search(r"^[sd]", r.out, re.M),
      "with the host's network and pids no folder of ours can be entered", r)
r = d.ctr("run", "--rm", "--network", "host", "--pid", "host", "box", "sh", "-c",
          "for p in /proc/[0-9]*; do cat $p/environ $p/maps >/dev/null && "
          "grep -q isola $p/comm && echo $p; ls $p/root/ $p/fd/ >/dev/null && "
          "grep -q isola $p/comm && echo $p; done 2>/dev/null; kill -9 %d && echo killed; "
          "kill -9 $(pidof isola-keeper) && echo killed; true" % d.pid)
is_(r.out, "", "and no process of ours can be looked into or killed")
check(d.ping(), "isolad is well")

# ------------------------------------------------------------ volumes on /proc

os.makedirs(T + "/vol/self/attr")
for target in ("/proc", "/proc/self", "/proc/sys", "/./proc/../proc/", "/proc/self/fd/5"):
    r = d.ctr("run", "--rm", "-v", T + "/vol:" + target, "box", "true")
    check(r.rc not in (0, 124), "a volume on %s is refused" % target, r)
r = d.ctr("run", "--rm", "--tmpfs", "/proc", "box", "true")
check(r.rc not in (0, 124), "and so is a tmpfs", r)
r = d.ctr("run", "--rm", "-v", "/proc:/x", "box", "true")
like(r.err, "cannot be idmapped", "the host's /proc is not bound into a user namespace")

# --------------------------------------------------- swapped while it is mounted

os.makedirs(T + "/share/dir/sub")
os.makedirs(T + "/out")
os.symlink("../../../../../../../../../.." + T + "/out", T + "/share/link")
os.symlink("/proc/self/fd/9", T + "/share/magic")
d.ctr("run", "-d", "--name", "swapper", "-v", T + "/share:/s", "box", "probe", "swap", "/s/dir",
      "/s/link", str(10000 * SCALE))
bad, ran = [], [0, 0]
for i in range(50 // SCALE):
    r = d.ctr("run", "--rm", "-v", T + "/share:/s", "-v", T + "/vol:/s/dir", "--tmpfs",
              "/s/dir/made%d" % i, "box", "sh", "-c", "ls -d /s/dir/self /self %s 2>/dev/null"
              % (T + "/out/self"))
    ran[r.rc == 0] += 1
    if r.rc == 124 or os.listdir(T + "/out") or "mount namespace" in r.err:
        bad.append(r)
d.ctr("rm", "-f", "swapper")
is_(bad, [], "mounts onto a name that is swapped stay inside (%d ended well, %d not)"
    % (ran[1], ran[0]))
with open("/proc/self/mountinfo") as f:
    is_([line for line in f if T + "/out" in line], [], "nothing is mounted on the host")

d.ctr("rm", "-f", "host")
leak_check()
stop_isolad()
finish()
