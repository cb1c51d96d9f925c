#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The six kinds of hooks: order, namespaces, state, environment, failures,
time-outs; and terminals: console socket, exec -t, run in the foreground."""
import array
import json
import os
import pty
import select
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from ctr_bundle import *

oci_setup()
KINDS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
LOG = T + "/hooks.log"

# ---- order, state, place
b = Bundle().sh("echo payload >>/log; sleep 0.3")
os.makedirs(b.rootfs + "/hooks")
SCRIPT = """#!/bin/sh
read -r state
{ echo "%(kind)s $1 $VAR $(readlink /proc/self/ns/uts) $state"; } >>%(log)s
"""
b.spec["hooks"] = {}
for kind in KINDS:
    inside = kind == "startContainer"
    script = SCRIPT % {"kind": kind, "log": "/log" if inside else LOG}
    path = (b.rootfs if inside else T) + "/hooks/" + kind
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        f.write(script)
    os.chmod(path, 0o755)
    b.spec["hooks"][kind] = [{"path": "/hooks/" + kind if inside else path,
                              "args": ["name", "arg of " + kind],
                              "env": ["VAR=value", "PATH=/bin:/usr/bin"], "timeout": 10}]
b.spec["annotations"] = {"org.example.key": "note"}
is_(b.create().rc, 0, "create with hooks")
lines = open(LOG).read().splitlines()
is_([x.split()[0] for x in lines], ["prestart", "createRuntime", "createContainer"],
    "create runs three kinds, in order")
pid = b.state()["pid"]
for x in lines:
    kind, rest = x.split(" ", 1)
    check(rest.startswith("arg of %s value " % kind), kind + " has its args and env", x)
    state = json.loads(rest[rest.index("{"):])
    is_((state["id"], state["status"], state["bundle"], state["annotations"]),
        (b.id, "creating", b.path, {"org.example.key": "note"}), kind + " reads the state")
    is_(state["pid"], 1 if kind == "createContainer" else pid, kind + " knows the pid")
    uts = os.readlink("/proc/%d/ns/uts" % pid if kind == "createContainer" else "/proc/self/ns/uts")
    check(uts in rest, kind + " runs in its namespaces", x)
b.start()
inside = open(b.rootfs + "/log").read().splitlines()
is_(inside[0].split()[0], "startContainer", "start runs startContainer in the container")
check("payload" not in inside[0], "before the payload", inside)
check('"status":"created"' in inside[0], "with state created", inside)
check(wait_for(5, lambda: "payload" in open(b.rootfs + "/log").read()), "then the payload")
is_([x.split()[0] for x in open(LOG).read().splitlines()][3:], ["poststart"], "then poststart")
wait_for(5, lambda: b.status() == "stopped")
is_(b.verb("delete").rc, 0, "delete")
last = open(LOG).read().splitlines()[-1]
check(last.startswith("poststop ") and '"status":"stopped"' in last, "runs poststop", last)


# ---- failures
def hook(kind, script, **more):
    b = Bundle().sh("echo payload ran")
    path = T + "/hooks/bad"
    with open(path, "w") as f:
        f.write("#!/bin/sh\n" + script)
    os.chmod(path, 0o755)
    if kind == "startContainer":
        with open(b.rootfs + "/bad", "w") as f:
            f.write("#!/bin/sh\n" + script)
        os.chmod(b.rootfs + "/bad", 0o755)
        path = "/bad"
    b.spec["hooks"] = {kind: [dict({"path": path}, **more)]}
    return b


for kind in KINDS[:4]:
    b = hook(kind, "echo why it failed >&2; exit 3")
    r = b.run()
    check(r.rc and "payload ran" not in r.out, "a failing %s stops all" % kind, r)
    check(kind in r.err and "why it failed" in r.err and "status 3" in r.err, "and is named", r)
    is_(b.status(), None, "nothing is left")
for kind in KINDS[4:]:
    r = hook(kind, "exit 3").run()
    is_((r.rc, r.out), (0, "payload ran\n"), "a failing %s stops nothing" % kind)
t = time.monotonic()
r = hook("createRuntime", "sleep 60", timeout=1).run()
check(r.rc and "longer than 1 s" in r.err and time.monotonic() - t < 20 * SCALE,
      "a hook that hangs is ended", r)
b = Bundle()
b.spec["hooks"] = {"createContainer": [{"path": "/nowhere/hook"}]}
r = b.run()
check(r.rc and "/nowhere/hook" in r.err, "a missing hook is named", r)
b = hook("poststop", "echo gone >%s/stopped" % T)
b.spec["hooks"]["createRuntime"] = [{"path": "/bin/false"}]
b.run()

# a hook may prepare the container's network namespace, found by pid
b = Bundle().sh("ip addr show lo | grep 10.9.8.7")
with open(T + "/hooks/net", "w") as f:
    f.write("#!/bin/sh\npid=$(sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/')\n"
            "nsenter -t $pid -n ip addr add 10.9.8.7/32 dev lo\n")
os.chmod(T + "/hooks/net", 0o755)
b.spec["hooks"] = {"createRuntime": [{"path": T + "/hooks/net",
                                      "env": ["PATH=" + os.environ["PATH"] + ":/sbin:/usr/sbin"]}]}
if run("sh", "-c", "command -v ip && command -v nsenter").rc == 0:
    r = b.run()
    check("10.9.8.7" in r.out, "a hook finds the namespaces by pid", r)
else:
    skip("a hook finds the namespaces by pid", "needs ip and nsenter")


# ---- terminals
def console_server(path):
    s = socket.socket(socket.AF_UNIX)
    s.bind(path)
    s.listen(1)
    return s


def receive(server):
    server.settimeout(10 * SCALE)
    conn, _ = server.accept()
    data, control, _, _ = conn.recvmsg(100, 100)
    fds = array.array("i")
    fds.frombytes(control[0][2][:4])
    conn.close()
    return fds[0]


def read_all(fd, end=None):
    text = b""
    while True:
        ready, _, _ = select.select([fd], [], [], 10 * SCALE)
        try:
            more = os.read(fd, 4096) if ready else b""
        except OSError:
            more = b""
        text += more
        if not more or (end and end in text):
            return text.decode(errors="replace").replace("\r", "")


server = console_server(T + "/console")
b = Bundle().sh("tty; stat -c '%t:%T' /dev/console; stat -c %u /dev/pts/0; stty size; "
                "read x; echo got $x; ls /proc/self/fd | tr '\\n' ' '; sleep 0.2; exit 3")
b.spec["process"]["terminal"] = True
b.spec["process"]["consoleSize"] = {"height": 33, "width": 99}
b.spec["process"]["user"] = {"uid": 1000, "gid": 1000}
r = b.create()
check(r.rc and "--console-socket" in r.err, "create with a terminal needs --console-socket", r)
is_(b.create("--console-socket", T + "/console").rc, 0, "create --console-socket")
fd = receive(server)
b.start()
text = read_all(fd, b"33 99\r\n")   # or what is typed shows in between
os.write(fd, b"typed\n")
text += read_all(fd, b"got typed")
for want in ("/dev/pts/0\n", "88:0\n", "1000\n", "33 99\n", "got typed"):
    check(want in text, "the terminal shows %r" % want, text)
read_all(fd)
os.close(fd)
b.delete()
b = Bundle()
r = b.create("--console-socket", T + "/console")
check(r.rc and "--console-socket" in r.err, "--console-socket without a terminal is refused", r)
for userns in (False, True):
    b = Bundle(userns).sh("tty; echo hello; sleep 0.1; exit 4")
    b.spec["process"]["terminal"] = True
    b.save()
    pid, fd = pty.fork()
    if pid == 0:
        os.execv(OCI, [OCI, "--root", ROOT, "run", "-b", b.path, b.id])
    text = read_all(fd)
    status = os.waitpid(pid, 0)[1]
    check("/dev/pts/0\nhello" in text and os.waitstatus_to_exitcode(status) == 4,
          "run in the foreground with a terminal%s" % (" (userns)" if userns else ""), text)
    os.close(fd)
    with Bundle(userns) as b:
        pid, fd = pty.fork()
        if pid == 0:
            os.execv(OCI, [OCI, "--root", ROOT, "exec", "-t", b.id, "sh", "-c",
                           "tty; read x; trap 'exit 6' INT; echo read $x; while :; do sleep 0.02; done"])
        text = read_all(fd, b"/dev/pts/0\r\n")      # what is typed sooner is echoed in between
        os.write(fd, b"line\n")
        text += read_all(fd, b"read line")
        os.write(fd, b"\x03")
        text += read_all(fd)
        is_(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 6, "exec -t: ctrl-c reaches it")
        check("/dev/pts/0\n" in text and "read line" in text, "exec -t: input and output", text)
        os.close(fd)
with Bundle() as b:
    is_(oci_to_files("exec", "-t", "-d", "--console-socket", T + "/console", b.id, "sh", "-c",
                     "tty; sleep 0.1").rc, 0, "exec -t -d --console-socket")
    fd = receive(server)
    check("/dev/pts/0" in read_all(fd), "its terminal arrives")
    os.close(fd)
# what is typed and not read must not hold up what is printed
with Bundle() as b:
    pid, fd = pty.fork()
    if pid == 0:
        os.execv(OCI, [OCI, "--root", ROOT, "exec", "-t", b.id, "sh", "-c",
                       "stty raw -echo; echo go; sleep 0.5; seq 20000; exit 5"])
    text = read_all(fd, b"go")
    os.set_blocking(fd, False)
    typed, end = 0, time.monotonic() + 20 * SCALE
    while time.monotonic() < end and not text.rstrip().endswith("\n20000"):
        readable, writable, _ = select.select([fd], [fd] if typed < 200000 else [], [], 1)
        try:
            if readable:
                text += os.read(fd, 65536).decode().replace("\r", "")
            if writable:
                typed += os.write(fd, b"x" * 1000)
        except BlockingIOError:
            pass
        except OSError:
            break
    check("\n20000" in text, "a payload that does not read its terminal", text[-100:])
    is_(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 5, "ends as it likes")
    os.close(fd)
# an image that has a trap for a terminal
b = Bundle().sh("ls -ld /dev/console; readlink /dev/ptmx")
b.spec["process"]["terminal"] = True
b.spec["mounts"] = [m for m in b.spec["mounts"] if m["destination"] != "/dev"]
os.makedirs(b.rootfs + "/dev/pts", exist_ok=True)
os.symlink("../../../../../../../../etc/shadow", b.rootfs + "/dev/console")
b.save()
def shadow():
    """All but when it was read: others may do that."""
    st = os.stat("/etc/shadow")
    return st.st_ino, st.st_mode, st.st_uid, st.st_gid, st.st_size, st.st_mtime_ns, st.st_ctime_ns


before = shadow()
r = oci_to_files("run", "--detach", "--console-socket", T + "/console", "-b", b.path, b.id)
check(r.rc and "link" in r.err, "an image whose /dev/console is a link is refused", r)
is_(shadow(), before, "its target is untouched")
server.close()

leak_check()
finish()
