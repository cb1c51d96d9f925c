#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""isola-oci's verbs: life of a container, its states, flags, and errors."""
import json
import os
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from ctr_bundle import *

oci_setup()

# ---- run
b = Bundle().sh("echo out; echo err >&2; exit 7")
r = b.run()
is_((r.rc, r.out, r.err), (7, "out\n", "err\n"), "run passes on output and exit status")
b.namespaces("mount", "ipc", "uts", "network")  # PID 1 of a namespace cannot kill itself
is_(b.sh("kill -9 $$").run().rc, 137, "a payload ended by a signal gives 128 + n")
r = Bundle().sh("cat").run(text="through\n")
is_(r.out, "through\n", "standard input reaches the payload")

b = Bundle()
b.spec["process"]["args"] = ["missing"]
r = b.run()
is_(r.rc, 1, "a missing program fails")
like(r.err, '"missing": executable file not found in \\$PATH', "it is named")
b.spec["process"]["args"] = ["/etc/passwd"]
like(b.run().err, "permission denied|Permission denied", "a file that is no program is refused")
b.spec["process"]["args"] = ["/bin"]
like(b.run().err, "(?i)permission denied", "so is a folder")
is_(b.status(), None, "a failed run leaves no state")

# ---- create, start, state, kill, delete
b = Bundle().sh("trap 'exit 5' TERM; echo started > /tmp/mark; while :; do sleep 0.05; done")
pid_file = T + "/pid"
is_(b.create("--pid-file", pid_file).rc, 0, "create works")
s = b.state()
is_(s["status"], "created", "then the state is created")
is_(int(open(pid_file).read()), s["pid"], "the pid file holds init's pid")
is_(s["bundle"], b.path, "the state tells the bundle")
check(is_running(s["pid"]), "init is there")
check(not os.path.exists(b.rootfs + "/tmp/mark"), "the payload is not started yet")
r = b.create()
check(r.rc and "exists" in r.err, "a second create with the id is refused", r)
check(is_running(s["pid"]), "and does no harm")
is_(b.start().rc, 0, "start works")
is_(b.status(), "running", "then the state is running")
check(wait_for(5, os.path.exists, b.rootfs + "/tmp/mark"), "the payload runs")
r = b.start()
check(r.rc and "running" in r.err, "a second start is refused", r)
r = b.verb("delete")
check(r.rc and "running" in r.err, "a running container is not deleted", r)
is_(b.verb("kill", "TERM").rc, 0, "kill works")
check(wait_for(5, lambda: b.status() == "stopped"), "then the state is stopped", b.state())
is_(b.state()["pid"], 0, "a stopped container has no pid")
r = b.verb("kill", "TERM")
check(r.rc and "not running" in r.err, "a signal to a stopped container fails", r)
is_(b.verb("delete").rc, 0, "delete works")
is_(b.status(), None, "then it is gone")
r = b.verb("delete")
check(r.rc and "does not exist" in r.err, "a second delete says so", r)
is_(b.delete().rc, 0, "but not with --force")

b = Bundle()
b.create()
is_(b.verb("delete").rc, 0, "a created container may be deleted")
b = Bundle().sh("sleep 100")
b.run_detached()
is_(b.delete().rc, 0, "delete --force kills a running one")

b = Bundle()
b.spec["process"]["args"] = ["missing"]
r = b.create()
check(r.rc and "not found" in r.err, "create tells that the program is missing", r)
is_(b.status(), None, "and leaves nothing")
b.sh("")
b.spec["process"]["args"] = ["/script"]
with open(b.rootfs + "/script", "w") as f:
    f.write("#!/missing\n")
os.chmod(b.rootfs + "/script", 0o755)
b.create()
r = b.start()
check(r.rc and "interpreter" in r.err, "start tells that the interpreter is missing", r)
check(wait_for(5, lambda: b.status() == "stopped"), "the container is stopped then")
b.delete()

b = Bundle()
del b.spec["process"]
is_(b.create().rc, 0, "a bundle without process can be created")
r = b.start()
check(r.rc and "process" in r.err, "but not started", r)
b.delete()

# ---- signals
for name in ("USR1", "SIGUSR1", str(int(signal.SIGUSR1)), "usr1"):
    b = Bundle().sh("trap 'exit 9' USR1; while :; do sleep 0.05; done")
    p = subprocess.Popen([OCI, "--root", ROOT, "run", "-b", b.save().path, b.id])
    wait_for(5, lambda: b.status() == "running")
    b.exec("sh", "-c", "true")
    time.sleep(0.1)
    b.verb("kill", name)
    is_(p.wait(10), 9, "kill %s" % name)
b = Bundle().sh("trap 'exit 8' TERM; while :; do sleep 0.05; done")
p = subprocess.Popen([OCI, "--root", ROOT, "run", "-b", b.save().path, b.id])
wait_for(5, lambda: b.status() == "running")
time.sleep(0.2)
p.send_signal(signal.SIGTERM)
is_(p.wait(10), 8, "run passes on the signals that it gets")
r = b.verb("kill", "NOPE")
check("unknown signal" in r.err, "an unknown signal is named", r)

# ---- kill --all without a pid namespace
b = Bundle().namespaces("mount", "ipc", "uts", "network").sh("sleep 1000 & sleep 1000")
b.run_detached()
wait_for(5, lambda: len(json.loads(oci("ps", "-f", "json", b.id).out)) > 1)
pids = json.loads(oci("ps", "-f", "json", b.id).out)
is_(oci("kill", "--all", b.id, "KILL").rc, 0, "kill --all works without a pid namespace")
check(wait_for(5, lambda: not any(is_running(p) for p in pids)), "it reaches all")
is_(b.verb("delete").rc, 0, "and the container can be deleted")

# ---- list, ps, pause, resume
with Bundle() as b:
    r = oci("list", "-q")
    is_(r.out, b.id + "\n", "list -q shows the id")
    r = oci("list")
    like(r.out, r"ID +PID +STATUS +BUNDLE +CREATED +OWNER\n%s +\d+ +running " % b.id,
         "list shows a table")
    docs = json.loads(oci("list", "--format", "json").out)
    is_([d["id"] for d in docs], [b.id], "list --format json is an array of states")
    like(oci("ps", b.id).out, r"PID.*\n.*sh -c trap", "ps shows the processes")
    like(oci("ps", b.id, "-o", "pid,comm").out, r"PID +COMMAND\n *\d+ +sh", "ps passes on options")
    is_(b.verb("pause").rc, 0, "pause works")
    is_(b.status(), "paused", "then the state is paused")
    r = b.exec("true")
    check(r.rc == 255 and "paused" in r.err, "exec in a paused container is refused", r)
    r = b.verb("pause")
    check(r.rc, "a second pause is refused", r)
    is_(b.verb("resume").rc, 0, "resume works")
    is_(b.status(), "running", "then it runs again")
    check(b.verb("resume").rc, "a second resume is refused")
    b.verb("pause")
    is_(b.delete().rc, 0, "a paused container can be deleted by force")

# ---- events, update
with Bundle() as b:
    r = oci("events", "--stats", b.id)
    doc = json.loads(r.out)
    is_((doc["type"], doc["id"]), ("stats", b.id), "events --stats prints one sample")
    check(doc["data"]["cpu"]["usage"]["total"] > 0, "with CPU time", doc)
    for controller, usage in (("pids", lambda d: d["pids"]["current"]),
                              ("memory", lambda d: d["memory"]["usage"]["usage"])):
        if has_controller(controller):
            check(usage(doc["data"]) > 0, "with what %s tells" % controller, doc)
        else:
            skip("with what %s tells" % controller, "no controller")
    p = subprocess.Popen([OCI, "--root", ROOT, "events", "--interval", "100ms", b.id],
                         stdout=subprocess.PIPE, text=True)
    lines = [json.loads(p.stdout.readline()) for _ in range(3)]
    is_([x["type"] for x in lines], ["stats"] * 3, "events goes on")
    b.verb("kill", "KILL")
    is_(p.wait(10), 0, "until the container ends")
    p.stdout.close()
    check("--interval" in oci("events", "--interval", "soon", b.id).err, "a bad interval is refused")
with Bundle() as b:
    r = oci("update", b.id)
    check(r.rc and "at least one" in r.err, "update needs a limit", r)
    r = oci("update", "--pids-limit", "many", b.id)
    check(r.rc and "--pids-limit" in r.err, "update names the flag with a bad value", r)
    if has_controller("pids"):
        is_(oci("update", "--pids-limit", "33", b.id).rc, 0, "update sets a limit")
        is_(open("%s/%s/%s/pids.max" % (cgroup2_root(), CGROUP, b.id)).read(), "33\n",
            "which the cgroup has then")
        r = oci("update", "-r", "-", b.id, text='{"pids":{"limit":44}}')
        is_(open("%s/%s/%s/pids.max" % (cgroup2_root(), CGROUP, b.id)).read(), "44\n",
            "so does a resources object")
    else:
        r = oci("update", "--pids-limit", "33", b.id)
        check(r.rc and "pids" in r.err, "a limit this host cannot enforce is refused", r)

# ---- bundles and ids
b = Bundle()
check("config.json" in oci("run", "-b", b.path, "x").err, "a bundle without config.json is refused")
for bad in ("../x", "a/b", ".x", "", "a b"):
    r = oci("create", "-b", b.save().path, bad)
    check(r.rc and "id" in r.err, "id %r is refused" % bad, r)
b.spec["linux"]["namespaces"].append({"type": "pid"})
r = b.run()
check(r.rc and "namespaces" in r.err, "an invalid config.json is refused by name", r)
b = Bundle()
b.spec["root"]["path"] = "nowhere"
r = b.run()
check(r.rc and "nowhere" in r.err, "a missing root is named", r)

# ---- the command line
r = oci("frobnicate")
check(r.rc == 1 and "frobnicate" in r.err, "an unknown verb is named", r)
r = oci("run", "--frobnicate", "x")
check(r.rc == 1 and "--frobnicate" in r.err, "an unknown option is named", r)
r = run(OCI, "--systemd-cgroup", "list")
check(r.rc == 1 and "--systemd-cgroup" in r.err, "--systemd-cgroup is refused", r)
check("no-pivot" in oci("run", "--help").out, "a verb has help")
check("create" in run(OCI, "--help").out, "so has the program")
like(run(OCI, "--version").out, r"isola-oci version \S+\nspec: 1\.", "--version")
check("ociVersionMax" in json.loads(oci("features").out), "features prints its document")
log = T + "/log.json"
r = run(OCI, "--root", ROOT, "--log", log, "--log-format", "json", "state", "nobody")
doc = json.loads(open(log).read())
is_((doc["level"], doc["msg"]), ("error", 'container "nobody" does not exist'),
    "--log and --log-format json")
like(doc["time"], r"^\d{4}-\d\d-\d\dT.*Z$", "with the time")
check("does not exist" in r.err, "stderr has it, too")
os.makedirs(T + "/spec")
is_(oci("spec", "-b", T + "/spec").rc, 0, "spec writes a config.json")
check("exists" in oci("spec", "-b", T + "/spec").err, "but not over one")
os.rename(b.rootfs, T + "/spec/rootfs")
spec = json.load(open(T + "/spec/config.json"))
spec["process"]["args"] = ["echo", "made by spec"]
spec["process"]["terminal"] = False
spec["linux"]["cgroupsPath"] = "/%s/spec" % CGROUP
json.dump(spec, open(T + "/spec/config.json", "w"))
r = oci("run", "-b", T + "/spec", "spec")
is_(r.out, "made by spec\n", "which runs")

# ---- descriptors
b = Bundle().sh("ls /proc/self/fd | tr '\\n' ' '; readlink /proc/self/fd/3")
with open(T + "/kept", "w") as f:
    os.set_inheritable(f.fileno(), True)
    fd = f.fileno()
    b.save()
    r = run("sh", "-c", 'exec "$@" 3<%s/kept' % T, "sh", OCI, "--root", ROOT, "run", "-b", b.path,
            "--preserve-fds", "1", b.id, pass_fds=[fd])
like(r.out, r"0 1 2 3 4", "--preserve-fds passes descriptor 3")
b = Bundle().sh("ls /proc/self/fd | wc -w")
b.save()
r = run("sh", "-c", 'exec "$@" 3</ 4</etc/passwd 9</proc', "sh", OCI, "--root", ROOT, "run",
        "-b", b.path, b.id)
is_(r.out.strip(), "4", "others of the caller do not reach the payload")  # 0 1 2 and ls's own
b = Bundle().sh("echo $LISTEN_FDS $LISTEN_PID $$")
b.save()
r = run("sh", "-c", 'LISTEN_FDS=1 LISTEN_PID=$$ exec "$@" 3</dev/null', "sh", OCI, "--root", ROOT,
        "run", "-b", b.path, b.id)
is_(r.out, "1 1 1\n", "LISTEN_FDS is passed on")

shutil.rmtree(ROOT + "/.seccomp", ignore_errors=True)  # a cache
leak_check()
finish()
