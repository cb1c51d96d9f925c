#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The payload's process: user, groups, capabilities, no_new_privs, seccomp,
rlimits, sysctls, cwd, environment, umask; for run and for exec."""
import array
import json
import os
import resource
import shutil
import socket
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from ctr_bundle import *

oci_setup()


def status(text, key):
    for line in text.splitlines():
        if line.startswith(key + ":"):
            return line.split(":", 1)[1].strip()
    return None


def mask(*names):
    all_caps = ["CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID",
                "SETUID", "SETPCAP", "LINUX_IMMUTABLE", "NET_BIND_SERVICE"]
    return "%016x" % sum(1 << all_caps.index(n) for n in names)


STATUS = "cat /proc/self/status"

# ---- user and groups by number
b = Bundle().sh("id -u; id -g; id -G; echo $HOME; " + STATUS)
b.spec["process"]["user"] = {"uid": 1000, "gid": 1001, "additionalGids": [7, 8]}
r = b.run()
is_(r.out.splitlines()[:4], ["1000", "1001", "1001 7 8", "/home/u"], "user, group, groups, HOME")
is_(status(r.out, "Uid"), "1000\t1000\t1000\t1000", "all four user ids")
is_(status(r.out, "Gid"), "1001\t1001\t1001\t1001", "all four group ids")
is_(status(r.out, "CapEff"), "0" * 16, "a user has no effective capabilities")
b.spec["process"]["env"].append("HOME=/given")
is_(b.run().out.splitlines()[3], "/given", "a HOME that is given stays")
b.spec["process"]["user"] = {"uid": 4242, "gid": 0}
b.spec["process"]["env"].pop()
is_(b.run().out.splitlines()[3], "/", "HOME of an unknown user is /")

# ---- user by name: Docker's rules
CASES = [
    ("u", ["1000", "1001", "1001 2000 2001", "/home/u"]),
    ("root", ["0", "0", "0 2001", "/root"]),
    ("u:other", ["1000", "2001", "2001", "/home/u"]),
    ("u:77", ["1000", "77", "77", "/home/u"]),
    ("1000", ["1000", "1001", "1001 2000 2001", "/home/u"]),
    ("4711", ["4711", "0", "0", "/"]),
    ("4711:ug", ["4711", "1001", "1001", "/"]),
    ("0:0", ["0", "0", "0", "/root"]),
]
b = Bundle().sh("id -u; id -g; id -G; echo $HOME")
with open(b.rootfs + "/etc/passwd", "r") as f:
    passwd = f.read()
os.unlink(b.rootfs + "/etc/passwd")  # a hard link to the other bundles'
for extra in ("", "4711:x:0:0:trap:/trap:/bin/sh\n"):
    with open(b.rootfs + "/etc/passwd", "w") as f:
        f.write(extra + passwd)
    for spec, want in CASES:
        b.spec["process"]["user"] = {"org.isola.user": spec}
        if extra and spec == "0:0":
            want = want[:3] + ["/trap"]  # the first line with that number
        is_(b.run().out.splitlines(), want,
            "user %r%s" % (spec, " beside a user named 4711" if extra else ""))
for spec in ("nobody", "u:nogroup"):
    b.spec["process"]["user"] = {"org.isola.user": spec}
    r = b.run()
    check(r.rc and spec.split(":")[-1] in r.err, "unknown %r is refused" % spec, r)
for spec in (":1", "1:", "1x", "-1", "4294967295", "99999999999", "a b", "x" * 300):
    b.spec["process"]["user"] = {"org.isola.user": spec}
    r = b.run()
    check(r.rc and not r.out, "malformed user %r is refused" % spec[:20], r)

# ---- hostile passwd files
for kind in ("fifo", "device", "folder", "huge", "loop", "link outside"):
    b = Bundle().sh("echo started")
    b.spec["process"]["user"] = {"org.isola.user": "u"}
    path = b.rootfs + "/etc/passwd"
    os.unlink(path)
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        os.mknod(path, 0o20666, os.makedev(1, 5))  # /dev/zero
    elif kind == "folder":
        os.mkdir(path)
    elif kind == "huge":
        with open(path, "w") as f:
            f.truncate(1 << 30)
    elif kind == "loop":
        os.symlink("passwd", path)
    else:
        os.symlink("../../../../../../../../../etc/passwd", path)
    r = b.run(limit_s=10)
    check(r.rc not in (0, 124), "a passwd file that is a %s does no harm" % kind, r)
    b.spec["process"]["user"] = {"uid": 1000, "gid": 0}
    is_(b.run(limit_s=10).out, "started\n", "nor to a numeric user")

# ---- capabilities
b = Bundle().sh(STATUS)
caps = b.spec["process"]["capabilities"] = {
    "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_SETPCAP"],
    "permitted": ["CAP_CHOWN", "CAP_KILL"],
    "effective": ["CAP_KILL"],
    "inheritable": ["CAP_KILL"],
    "ambient": ["CAP_KILL"]}
b.spec["process"]["user"] = {"uid": 1000, "gid": 1000}
r = b.run()
is_([status(r.out, k) for k in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")],
    [mask("KILL"), mask("KILL"), mask("KILL"), mask("CHOWN", "KILL", "SETPCAP"), mask("KILL")],
    "the five sets of a user with an ambient capability")
b.spec["process"]["user"] = {"uid": 0, "gid": 0}
del caps["ambient"], caps["inheritable"]
r = b.run()
is_([status(r.out, k) for k in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")],
    [mask(), mask("CHOWN", "KILL"), mask("CHOWN", "KILL"), mask("CHOWN", "KILL", "SETPCAP"),
     mask()], "with no_new_privs root keeps to its permitted set")
b.spec["process"]["noNewPrivileges"] = False
is_(status(b.run().out, "CapEff"), mask("CHOWN", "KILL", "SETPCAP"),
    "without, the exec gives it its bounding set")
del b.spec["process"]["capabilities"]
r = b.run()
is_([status(r.out, k) for k in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")], [mask()] * 5,
    "no capabilities when none are given")

# ---- no_new_privs and seccomp
PROFILE = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
    {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 99}]}
for nnp in (True, False):
    for user in (0, 1000):
        for userns in (False, True):
            b = Bundle(userns).sh("mkdir /tmp/x; " + STATUS)
            b.spec["process"]["noNewPrivileges"] = nnp
            b.spec["process"]["user"] = {"uid": user, "gid": user}
            b.spec["linux"]["seccomp"] = PROFILE
            r = b.run()
            what = "%snnp, user %d%s" % ("" if nnp else "no ", user, ", userns" if userns else "")
            is_(status(r.out, "Seccomp"), "2", "seccomp filters (%s)" % what)
            is_(status(r.out, "NoNewPrivs"), str(int(nnp)), "no_new_privs (%s)" % what)
            check("not assign" in r.err or "99" in r.err or "annot create" in r.err,
                  "a refused call fails (%s)" % what, r)
            want = mask() if user else mask("CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "SETGID",
                                            "SETUID", "SETPCAP", "NET_BIND_SERVICE", "KILL")
            eff = int(status(r.out, "CapEff"), 16)
            is_(eff >> 21 & 1, 0, "CAP_SYS_ADMIN is not left over (%s)" % what)
with Bundle() as b:
    r = b.exec("sh", "-c", STATUS)
    is_(status(r.out, "NoNewPrivs"), "1", "exec has the container's no_new_privs")
b = Bundle()
b.spec["linux"]["seccomp"] = PROFILE
with b:
    r = b.exec("sh", "-c", "mkdir /tmp/y; " + STATUS)
    is_(status(r.out, "Seccomp"), "2", "exec has the container's seccomp filter")

# ---- a seccomp agent
def agent_run(start):
    """Runs @start beside an agent; what the agent was told, and the result."""
    path = T + "/agent"
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen(1)
    server.settimeout(10 * SCALE)
    told = []

    def serve():
        conn, _ = server.accept()
        data, control, _, _ = conn.recvmsg(65536, 1000)
        fds = array.array("i")
        fds.frombytes(control[0][2])
        told.append(json.loads(data))
        for fd in fds:
            os.close(fd)  # whoever waits for an answer gets ENOSYS

    thread = threading.Thread(target=serve)
    thread.start()
    r = start()
    thread.join()
    server.close()
    os.unlink(path)
    return told, r


NOTIFY = {"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": T + "/agent",
          "listenerMetadata": "for the agent",
          "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"}]}
b = Bundle().sh("sleep 0.2; mkdir /tmp/x; echo $?; sleep 0.5")
b.spec["linux"]["seccomp"] = NOTIFY
told, r = agent_run(b.run)
is_(r.out, "1\n", "a call that the agent does not answer fails")
is_([told[0][k] for k in ("fds", "metadata")], [["seccompFd"], "for the agent"],
    "the agent is told what it is for")
is_(told[0]["state"]["id"], b.id, "and for which container")
b.sh("sleep 100")
agent_run(b.run_detached)
told, r = agent_run(lambda: b.exec("sh", "-c", "mkdir /tmp/y; echo $?"))
is_((r.out, told[0]["state"]["id"]), ("1\n", b.id), "an exec has the agent, too")
b.delete()
r = b.run()
check(r.rc and "agent" in r.err, "without an agent the start fails", r)

# ---- personality, scheduling
b = Bundle().sh("uname -m; cut -d ' ' -f 19,41 /proc/self/stat")
b.spec["linux"]["personality"] = {"domain": "LINUX32"}
b.spec["process"]["scheduler"] = {"policy": "SCHED_BATCH", "nice": 7}
b.spec["process"]["ioPriority"] = {"class": "IOPRIO_CLASS_BE", "priority": 6}
out = b.run().out.split()
check(out[:1] in (["i686"], ["armv8l"]) and out[1:] == ["7", "3"], "personality and scheduler", out)

# ---- rlimits, umask, oom score
b = Bundle().sh("ulimit -Sn; ulimit -Hn; ulimit -Sc; umask; cat /proc/self/oom_score_adj")
b.spec["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 17, "hard": 33},
                                {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]
b.spec["process"]["user"]["umask"] = 0o27
b.spec["process"]["oomScoreAdj"] = 500
is_(b.run().out.split(), ["17", "33", "0", "0027", "500"], "rlimits, umask, oomScoreAdj")
b.spec["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 4, "hard": 4}]
is_(b.run().out.split()[0], "4", "an rlimit too small for our own work")
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
b.spec["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 16, "hard": hard + 1}]
r = b.run()
check(r.rc == 0 or "RLIMIT_NOFILE" in r.err, "a raised limit is set or refused by name", r)
b = Bundle(userns=True).sh("ulimit -Hn; cat /proc/self/oom_score_adj")
b.spec["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 17, "hard": 33}]
b.spec["process"]["oomScoreAdj"] = 700
is_(b.run().out.split(), ["33", "700"], "the same with a user namespace")

# ---- sysctls
b = Bundle().sh("cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmni")
b.spec["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1", "kernel.shmmni": "77"}
is_(b.run().out.split(), ["1", "77"], "sysctls of the container's namespaces")
b.spec["linux"]["sysctl"] = {"net.ipv4.no_such_thing": "1"}
r = b.run()
check(r.rc and "no_such_thing" in r.err, "an unknown sysctl is named", r)
b.spec["linux"]["sysctl"] = {"kernel.panic": "1"}
r = b.run()
check(r.rc and "kernel.panic" in r.err, "a sysctl of the host is refused", r)
b = Bundle(userns=True).sh("cat /proc/sys/net/ipv4/ip_forward")
b.spec["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1"}
is_(b.run().out.split(), ["1"], "a sysctl with a user namespace")

# ---- cwd
b = Bundle().sh("pwd; stat -c %a:%u .")
b.spec["process"]["cwd"] = "/new/folder"
is_(b.run().out.split(), ["/new/folder", "755:0"], "a missing cwd is made")
os.symlink("/tmp", b.rootfs + "/link")
b.spec["process"]["cwd"] = "/link"
is_(b.run().out.split()[0], "/tmp", "a cwd may be a link")
os.symlink("../../../../../../etc", b.rootfs + "/out")
b.spec["process"]["cwd"] = "/out"
r = b.sh("pwd; ls passwd group shadow hostname").run()
check("shadow" not in r.out.split(), "a link in cwd stays in the root", r)
b = Bundle().sh("pwd; ls")
for n in range(0, 20):
    for form in ("/proc/self/fd/%d", "/proc/self/fd/%d/../..", "/proc/1/fd/%d", "/dev/fd/%d"):
        b.spec["process"]["cwd"] = form % n
        r = b.run()
        if r.rc == 0:
            not_ok("cwd %s is refused" % b.spec["process"]["cwd"], r)
ok("no cwd through a descriptor (CVE-2024-21626)")
b = Bundle().sh("pwd")
os.mkdir(b.rootfs + "/private", 0o700)
b.spec["process"]["cwd"] = "/private"
b.spec["process"]["user"] = {"uid": 1000, "gid": 1000}
is_(b.run().out, "/private\n", "a cwd that only root may enter")
with Bundle() as b:
    bad = [n for n in range(0, 65)
           if b.exec("ls", flags=("--cwd", "/proc/self/fd/%d" % n)).rc == 0]
    is_(bad, [], "exec: no cwd through a descriptor")
    r = b.exec("true", flags=("--cwd", "/missing"))
    check(r.rc == 255 and "/missing" in r.err, "exec does not make a missing cwd", r)
    is_(b.exec("ls", "/proc/1/fd").out.split(), ["0", "1", "2"], "init has three descriptors")

# ---- args and environment
b = Bundle()
b.spec["process"]["args"] = ["env"]
b.spec["process"]["env"] = ["PATH=/bin", "A=1", "B=with space", "HOME=/"]
is_(sorted(b.run().out.split("\n")[:-1]), ["A=1", "B=with space", "HOME=/", "PATH=/bin"],
    "the environment is the spec's")
b.spec["process"]["env"] = ["PATH=/nowhere:/bin"]
is_(b.run().rc, 0, "PATH is searched")
b.spec["process"]["env"] = []
is_(b.run().rc, 0, "without PATH the usual folders are")
b.spec["process"]["args"] = ["./env"]
b.spec["process"]["cwd"] = "/bin"
is_(b.run().rc, 0, "a relative program is taken from cwd")

# ---- exec's flags
with Bundle() as b:
    r = b.exec("sh", "-c", "id -u; id -g; id -G; pwd; echo $X $HOME",
               flags=("-u", "1000:1001", "-g", "5", "-g", "6", "--cwd", "/tmp", "-e", "X=y"))
    is_(r.out.splitlines(), ["1000", "1001", "1001 5 6", "/tmp", "y /home/u"],
        "exec -u -g --cwd -e")
    for bad in ("1x", ":1", "1:", "-1", "", "root", "4294967296"):
        r = b.exec("id", flags=("--user=" + bad,))
        check(r.rc == 255 and "--user" in r.err, "exec -u %r is refused" % bad, r)
    r = b.exec("sh", "-c", STATUS, flags=("--cap", "CAP_SYS_PTRACE",))
    is_(int(status(r.out, "CapEff"), 16) >> 19 & 1, 1, "exec --cap")
    is_(status(r.out, "CapInh"), mask(), "and no inheritable capability")
    with open(T + "/process.json", "w") as f:
        json.dump({"user": {"uid": 3, "gid": 4}, "cwd": "/", "args": ["id"],
                   "env": ["PATH=/bin"]}, f)
    like(oci("exec", "--process", T + "/process.json", b.id).out, "uid=3 gid=4", "exec --process")
    r = b.exec("missing")
    check(r.rc == 255 and "executable file not found" in r.err, "exec of a missing program", r)
    is_(b.exec("sh", "-c", "exit 42").rc, 42, "exec passes on the exit status")
    is_(b.exec("sh", "-c", "kill -9 $$").rc, 137, "128 + n for a signal")
    is_(b.exec("cat", text="in").out, "in", "and standard input")
    r = oci_to_files("exec", "-d", "--pid-file", T + "/pid", b.id, "sleep", "50")
    is_(r.rc, 0, "exec -d")
    pid = int(open(T + "/pid").read())
    check(is_running(pid), "its pid file names it")
    is_(os.readlink("/proc/%d/ns/pid" % pid), os.readlink("/proc/%d/ns/pid" % b.state()["pid"]),
        "it is in the container")
    is_(open("/proc/%d/cgroup" % pid).read().splitlines()[-1],
        open("/proc/%d/cgroup" % b.state()["pid"]).read().splitlines()[-1], "and in its cgroup")
with Bundle(userns=True) as b:
    r = b.exec("sh", "-c", "id -u; cat /proc/self/uid_map; echo x > /tmp/y; stat -c %u /tmp/y")
    is_(r.out.split(), ["0", "0", str(BASE), "65536", "0"], "exec joins the user namespace")
    is_(os.stat(b.rootfs + "/tmp/y").st_uid, BASE, "on the host its files have mapped ids")
b = Bundle()
b.save()
b.create()
is_(b.exec("echo", "early").out, "early\n", "exec in a created container")
b.delete()
r = b.exec("true")
check(r.rc == 255 and "does not exist" in r.err, "exec in no container", r)

shutil.rmtree(ROOT + "/.seccomp", ignore_errors=True)  # a cache
leak_check()
finish()
