# SPDX-License-Identifier: Apache-2.0
# nested: a Linux guest on emulated AMD-V
# A container in a microVM is looked after as any: health, secrets, restart policies (also
# when its worker is killed), attach, wait, the signal and the time of a stop, ulimits.
# Starts are what takes long: our own kernel's two at a time; with Debian's, which takes ten
# times as long, one after the other, and without health and what does not listen.
# time limit: 60 s
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from vmlib import *

FLAGS = need_container_guests()
# secrets are kept in memory only
os.mkdir(T + "/run")
if run("mount", "-t", "tmpfs", "none", T + "/run").rc:
    skip_all("no tmpfs can be mounted")
d = need_guests(*FLAGS)
busybox_tar(T + "/root.tar")
d.ctr("import", T + "/root.tar", "busybox")
with open(T + "/secret", "w") as f:
    f.write("hidden\n")
os.chmod(T + "/secret", 0o600)


def vm(name, *argv):
    return d.ctr("run", "-d", "--name", name, "--isolation", "vm", "--network", "none", *argv,
                 limit_s=60)


def inspect(name):
    return d.request("GET", "/containers/%s/json" % name)[2]


def state(name):
    return inspect(name)["State"]


LOOP = "while :; do sleep 0.1; done"
BOXES = {
    "box": ["--restart", "always", "--secret", "id=word,src=" + T + "/secret", "--health-interval",
            "1s", "--health-cmd", "test -e /run/secrets/word", "--health-start-period", "60s",
            "busybox", "sh", "-c", "echo up; sleep 1000"],
    "fails": ["--restart", "on-failure:1", "busybox", "sh", "-c", "echo no; exit 3"],
    "cat": ["-i", "--stop-signal", "USR1", "--ulimit", "nofile=77:88", "busybox", "sh", "-c",
            "trap 'echo usr1; exit 6' USR1; read x; echo got $x; ulimit -n; ulimit -Hn; " + LOOP],
    "deaf": ["--stop-timeout", "1", "busybox", "sh", "-c", "trap '' TERM; echo deaf; " + LOOP],
}
if not OWN:
    del BOXES["box"], BOXES["deaf"]
with ThreadPoolExecutor(2 if OWN else 1) as pool:
    runs = {name: pool.submit(vm, name, *argv) for name, argv in BOXES.items()}
for name, r in runs.items():
    if not check(r.result().rc == 0, name + " starts", r.result()):
        diag(d.log_tail())
        finish()

# ------------------------------------------- secrets, health, restart after a crash
if "box" in BOXES:
    check(wait_for(30, lambda: state("box")["Health"]["Status"] == "healthy"),
          "it is healthy, by its secret", state("box"))
    is_(d.ctr("exec", "box", "cat", "/run/secrets/word").out, "hidden\n", "which it can read")
    os.kill(state("box")["Pid"], signal.SIGKILL)
    check(wait_for(30, lambda: inspect("box")["RestartCount"] == 1 and state("box")["Running"]),
          "its worker is killed: it is started again", state("box"))
    check(wait_for(30, lambda: d.ctr("logs", "box").out == "up\nup\n"), "and runs", d.ctr("logs", "box"))
    check(wait_for(30, lambda: d.ctr("exec", "box", "cat", "/run/secrets/word").out == "hidden\n"),
          "with its secret")
    is_(d.ctr("rm", "-f", "box").rc, 0, "it is removed")

# ------------------------------------------------------ on-failure, wait and events
check(wait_for(30, lambda: inspect("fails")["RestartCount"] == 1 and
               state("fails")["Status"] == "exited"), "on-failure:1 starts it once more",
      state("fails"))
is_((d.ctr("wait", "fails").out, d.ctr("logs", "fails").out), ("3\n", "no\nno\n"), "wait and its log")
r = d.ctr("events", "--since", "1h", "--until", "0s", "--filter", "container=fails",
          "--filter", "event=die", "--format", "{{.Action}} {{.Actor.Attributes.exitCode}}")
is_(r.out, "die 3\ndie 3\n", "events", r)

# -------------------------------------- attach, ulimits, the signal and the time of a stop
waiting = subprocess.Popen([BUILD + "/ctrctl", "-H", "unix://" + d.socket, "wait", "cat"],
                           stdout=subprocess.PIPE, text=True)
p = subprocess.Popen(["timeout", "100", BUILD + "/ctrctl", "-H", "unix://" + d.socket, "attach",
                      "--sig-proxy=false", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
p.stdin.write(b"word\n")
p.stdin.flush()
WANT = "got word\n77\n88\n"
check(wait_for(30, lambda: d.ctr("logs", "cat").out == WANT), "attach is heard; ulimits",
      d.ctr("logs", "cat"))
is_(d.ctr("stop", "-t", "30", "cat").rc, 0, "stop")
out, _ = p.communicate(timeout=30 * SCALE)
is_((p.returncode, out.decode()), (6, WANT + "usr1\n"), "attach: what it says, and its exit code")
is_((waiting.communicate(timeout=30 * SCALE)[0], state("cat")["ExitCode"]), ("6\n", 6),
    "by the signal that was asked for; wait tells the code")
if "deaf" in BOXES:
    check(wait_for(30, lambda: d.ctr("logs", "deaf").out == "deaf\n"), "one does not listen")
    is_((d.ctr("stop", "deaf", limit_s=60).rc, state("deaf")["ExitCode"]), (0, 137),
        "it is killed after the time that was asked for")
d.ctr("rm", *[name for name in BOXES if name != "box"])
stop_isolad()
run("umount", "-l", T + "/run")
finish()
