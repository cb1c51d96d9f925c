#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# time limit: 120 s
#
# What isolad makes of keepers that fail, die or hang at every stage, and of being
# killed itself at any of them.  The keeper is a stand-in: tests/priv/fake_keeper.c.
import os, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/..")
from lib import *

need_root()
need_program("isolad", "isola-image", "tests/priv/fake_keeper")
FLAGS = ["--keeper", BUILD + "/tests/priv/fake_keeper"]
busybox_tar(T + "/root.tar")
d = Isolad()
if not d.start(*FLAGS):
    not_ok("isolad starts")
    finish()
with open(T + "/root.tar", "rb") as tar:
    is_(d.request("POST", "/images/create?fromSrc=-&repo=box", tar.read())[0], 200,
        "an image is imported")


def create(name, *cmd, **host):
    status, _, body = d.request("POST", "/containers/create?name=" + name,
                                {"Image": "box", "Cmd": list(cmd), "HostConfig": host})
    if status != 201:
        not_ok("%s is created" % name, body)
    return body.get("Id", "?")


def post(path):
    status, _, body = d.request("POST", path)
    return status, body["message"] if isinstance(body, dict) and "message" in body else body


def state(name, key=None):
    status, _, body = d.request("GET", "/containers/%s/json" % name)
    s = body["State"] if status == 200 else {}
    return s.get(key) if key else s


def status(name):
    return state(name, "Status")


def becomes(name, wanted, what):
    got = wait_for(15, lambda: status(name) == wanted)
    return check(got, what, "status %s: %r" % (status(name), state(name)))


def remove(name):
    return d.request("DELETE", "/containers/%s?force=1" % name)[0]


def cgroup_of(cid):
    return "%s/%s/%s" % (cgroup2_root(), CGROUP, cid)


def keepers():
    """Pids of the keepers of this daemon."""
    found = []
    for p in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/cmdline" % p, "rb") as f:
                words = f.read().split(b"\0")
        except OSError:
            continue
        if len(words) > 2 and words[1] == b"run" and words[2].startswith(d.root.encode()):
            found.append(int(p))
    return found


def crash():
    """kill -9, and start it again"""
    d.stop(signal.SIGKILL)
    return d.start(*FLAGS)


def nothing_left(cid, what):
    def gone():
        return not os.path.exists(cgroup_of(cid)) and not os.path.exists(d.root + "/run/" + cid)
    check(wait_for(8, gone), what, "cgroup %s, run folder %s" % (
        os.path.exists(cgroup_of(cid)), os.path.exists(d.root + "/run/" + cid)))


leak_mark()

# ------------------------------------------------------------- starts that fail

create("f127", "fail", "2", "127")
code, text = post("/containers/f127/start")
is_(code, 400, "a program that is not there is the request's fault")
like(str(text), "executable file not found", "the message has the words clients look for")
is_((status("f127"), state("f127", "ExitCode")), ("created", 127), "as if never started, 127")
is_(post("/containers/f127/start")[0], 400, "it may be tried again")
remove("f127")

create("f13", "fail", "13", "126")
code, text = post("/containers/f13/start")
is_((code, state("f13", "ExitCode")), (400, 126), "not executable: 126")
like(str(text), "permission denied", "and its words")
remove("f13")

cid = create("dc", "die-created")
code, text = post("/containers/dc/start")
is_(code, 500, "a keeper that dies in the start fails it")
like(str(text), "keeper", "the message says so")
check(wait_for(8, lambda: not os.path.exists(cgroup_of(cid))), "its cgroup is gone")
is_(status("dc"), "created", "the container is as before")
remove("dc")

cid = create("gone", "fail", "2", "127", AutoRemove=True)
is_(post("/containers/gone/start")[0], 400, "--rm: a start that fails")
check(wait_for(5, lambda: d.request("GET", "/containers/gone/json")[0] == 404), "removes it")
nothing_left(cid, "and all of it")

# ------------------------------------------------------------ keepers that die

cid = create("dr", "die-running")
is_(post("/containers/dr/start")[0], 204, "a container whose keeper will die starts")
pid = state("dr", "Pid")
becomes("dr", "exited", "it ends with its keeper")
is_(state("dr", "ExitCode"), 137, "its exit code is 137")
like(state("dr", "Error"), "killed by signal 9", "the error says what happened")
check(wait_for(5, lambda: not pid or not is_running(pid)), "its payload is killed")
check(wait_for(5, lambda: not os.path.exists(cgroup_of(cid))), "its cgroup is gone")
is_(post("/containers/dr/start")[0], 204, "it starts again")
becomes("dr", "exited", "and ends again")
is_(remove("dr"), 204, "it is removed")
nothing_left(cid, "nothing of it is left")

cid = create("de", "die-ended")
is_(post("/containers/de/start")[0], 204, "a keeper that will die after the end")
is_(post("/containers/de/kill?signal=15")[0], 204, "the payload is told to end")
becomes("de", "exited", "it ends")
is_(state("de", "ExitCode"), 143, "with its own exit code")
check(wait_for(5, lambda: not os.path.exists(cgroup_of(cid))), "its cgroup is removed in the keeper's place")
is_(remove("de"), 204, "it is removed")

create("ga", "garbage")
is_(post("/containers/ga/start")[0], 204, "a keeper that will talk nonsense")
becomes("ga", "exited", "is not listened to any more")
is_(remove("ga"), 204, "its container is removed")

cid = create("rm9", "die-running", AutoRemove=True)
is_(post("/containers/rm9/start")[0], 204, "--rm, and the keeper dies")
check(wait_for(8, lambda: d.request("GET", "/containers/rm9/json")[0] == 404), "it is removed")
nothing_left(cid, "without a trace")

cid = create("hang", "hang")
starter = subprocess.Popen(["curl", "-s", "--unix-socket", d.socket, "-X", "POST",
                            "http://x/containers/hang/start"], stdout=subprocess.PIPE, text=True)
check(wait_for(5, lambda: len(keepers()) == 1), "a keeper that never answers")
is_(remove("hang"), 204, "force removal gets through")
like(starter.communicate()[0], "keeper", "who asked for the start hears of it")
nothing_left(cid, "nothing is left")

# ------------------------------------------------------------------- stopping

create("st", "stubborn")
post("/containers/st/start")
t = time.monotonic()
is_(post("/containers/st/stop?t=1")[0], 204, "what ignores the signal is stopped")
check(1 <= time.monotonic() - t < 9.5, "after the time-out", "%.1f s" % (time.monotonic() - t))
is_(state("st", "ExitCode"), 137, "by SIGKILL")
is_(post("/containers/st/stop")[0], 304, "a second stop has nothing to do")
post("/containers/st/start")
is_(post("/containers/st/start")[0], 304, "nor has a second start")
is_(d.request("DELETE", "/containers/st")[0], 409, "what runs is not removed")
is_(post("/containers/st/pause")[0], 204, "pause")
is_(post("/containers/st/pause")[0], 409, "not twice")
is_(post("/containers/st/start")[0], 409, "what is paused does not start")
is_(post("/containers/st/unpause")[0], 204, "unpause")
is_(post("/containers/st/unpause")[0], 409, "not twice")
post("/containers/st/pause")
is_(post("/containers/st/kill")[0], 204, "what is paused can be killed")
becomes("st", "exited", "and ends")
is_(post("/containers/st/kill")[0], 409, "what does not run cannot")
first = subprocess.Popen(["curl", "-s", "--unix-socket", d.socket, "-X", "POST",
                          "http://x/containers/st/restart?t=60"])
becomes("st", "running", "restart starts what was stopped")
first.wait()
long = subprocess.Popen(["curl", "-s", "--unix-socket", d.socket, "-X", "POST",
                         "http://x/containers/st/stop?t=60"])
time.sleep(0.3)
check(post("/containers/st/stop?t=0")[0] in (204, 304), "a second stop may be less patient")
is_(long.wait(), 0, "and ends the first one's waiting")
is_(remove("st"), 204, "it is removed")

# -------------------------------------------------------------------- policies

create("pol", "exit", "7", RestartPolicy={"Name": "on-failure", "MaximumRetryCount": 2})
is_(post("/containers/pol/start")[0], 204, "on-failure:2")
check(wait_for(8, lambda: status("pol") == "exited" and
               d.request("GET", "/containers/pol/json")[2]["RestartCount"] == 2),
      "is tried three times", state("pol"))
is_(state("pol", "ExitCode"), 7, "and keeps the last exit code")
remove("pol")

create("alw", "exit", "0", RestartPolicy={"Name": "always"})
post("/containers/alw/start")
check(wait_for(8, lambda: d.request("GET", "/containers/alw/json")[2]["RestartCount"] > 2),
      "always starts again and again")
becomes("alw", "restarting", "with pauses between")
is_(post("/containers/alw/stop")[0], 204, "until it is stopped")
is_(status("alw"), "exited", "then it is at rest")
check(crash(), "isolad is killed, and starts again")
check(wait_for(8, lambda: state("alw", "StartedAt") and
               d.request("GET", "/containers/alw/json")[2]["RestartCount"] > 0),
      "always means: also what was stopped, at the next start of isolad")
is_(remove("alw"), 204, "it is removed while it restarts")

create("uns", "sleep", RestartPolicy={"Name": "unless-stopped"})
post("/containers/uns/start")
post("/containers/uns/stop?t=1")
check(wait_for(3, lambda: b'"exited"' in open("%s/state/instances/%s/instance.json" % (
    d.root, d.request("GET", "/containers/uns/json")[2]["Id"]), "rb").read()), "the stop is noted")
check(crash(), "isolad is killed, and starts again")
time.sleep(0.5)
is_(status("uns"), "exited", "unless-stopped stays stopped")
remove("uns")

# -------------------------------------------------- isolad is killed at any time

a = create("live", "sleep")
b = create("auto", "sleep", AutoRemove=True)
post("/containers/live/start")
post("/containers/auto/start")
pids = state("live", "Pid"), state("auto", "Pid")
writing = d.root + "/run/" + b + "/.exit.json.0badcafe.tmp"
with open(writing, "w") as f:
    f.write("{")
check(crash(), "isolad is killed, and starts again")
check(os.path.exists(writing), "what a keeper may be writing is its own")
run("rm", "-f", writing)
is_((status("live"), status("auto")), ("running", "running"), "both still run")
is_((state("live", "Pid"), state("auto", "Pid")), pids, "with the same processes")
is_(post("/containers/live/pause")[0], 204, "one is paused")
check(crash(), "isolad is killed, and starts again")
is_(status("live"), "paused", "it is still paused")
is_(post("/containers/live/unpause")[0], 204, "and can be thawed")
d.stop(signal.SIGKILL)
for k in keepers():
    # as payloads would end: through the keeper
    with open("/proc/%d/cmdline" % k, "rb") as f:
        run_dir = f.read().split(b"\0")[2].decode()
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.connect(run_dir + "/keeper.sock")
    s.recv(4096)     # left unread, it would turn into an error on the other side
    s.send(b'{"op":"kill","seq":1,"signal":15}')
    s.recv(4096)
    s.close()
check(wait_for(5, lambda: not keepers()), "both end while no isolad lives", keepers())
check(d.start(*FLAGS), "it starts again")
is_((status("live"), state("live", "ExitCode")), ("exited", 143), "the exit code is known")
check(wait_for(5, lambda: status("auto") is None), "the --rm one is gone")
nothing_left(b, "with all it had")

post("/containers/live/start")
d.stop(signal.SIGKILL)
for k in keepers():
    os.kill(k, signal.SIGKILL)
wait_for(5, lambda: not keepers())
check(d.start(*FLAGS), "isolad and the keeper are killed; isolad starts again")
is_((status("live"), state("live", "ExitCode")), ("exited", 137), "the container is ended")
like(state("live", "Error"), "keeper is gone", "the error says why")
check(wait_for(5, lambda: not os.path.exists(cgroup_of(a))), "what it left is cleared away")
is_(remove("live"), 204, "it is removed")

cid = create("half", "hang")
starter = subprocess.Popen(["curl", "-s", "--unix-socket", d.socket, "-X", "POST",
                            "http://x/containers/half/start"])
wait_for(5, lambda: len(keepers()) == 1)
check(crash(), "isolad is killed in the middle of a start")
starter.wait()
is_(status("half"), "created", "which has not happened")
check(wait_for(5, lambda: not keepers() and not os.path.exists(cgroup_of(cid))), "nothing of it runs")
is_(remove("half"), 204, "it is removed")

cid = create("slow", "slow-end")
post("/containers/slow/start")
post("/containers/slow/kill?signal=15")
becomes("slow", "exited", "a keeper that takes its time to clean up")
is_(post("/containers/slow/start")[0], 204, "a start waits until the last run is cleared away")
is_(status("slow"), "running", "and then works")
is_(remove("slow"), 204, "it is removed")
nothing_left(cid, "nothing is left")

# ------------------------------------------------------------- spoilt records

a, b, c = create("ok", "sleep"), create("bad", "sleep"), create("cut", "sleep")
d.stop()
path = d.root + "/state/instances/%s/instance.json"
with open(path % b, "w") as f:
    f.write('{"version":1,"id":')
os.unlink(path % c)
os.makedirs(d.root + "/state/instances/.removing-" + "f" * 64 + "/upper/x")
os.makedirs(d.root + "/run/" + "e" * 64)
network = [n for n in os.listdir(d.root + "/state/networks") if n.endswith(".json")][0]
cut = ["run/.resolver.pid.0badcafe.tmp", "state/networks/.%s.0badcafe.tmp" % network,
       "state/instances/%s/.instance.json.0badcafe.tmp" % a]
for name in cut:
    with open(d.root + "/" + name, "w") as f:
        f.write("{")
check(d.start(*FLAGS), "isolad starts with spoilt records")
is_([n for n in cut if os.path.exists(d.root + "/" + n)], [], "files that were being written are gone")
is_(status("ok"), "created", "a good one is there")
is_(status("bad"), None, "a bad one is not")
check(os.path.exists(path % b), "but left as it is")
like(d.log_tail(), "bad|cannot be used", "and reported")
check(wait_for(5, lambda: not os.path.exists(os.path.dirname(path % c))),
      "what has no record is cleared away")
check(wait_for(5, lambda: not os.path.exists(d.root + "/state/instances/.removing-" + "f" * 64) and
               not os.path.exists(d.root + "/run/" + "e" * 64)), "as is what was being removed")
run("rm", "-rf", os.path.dirname(path % b))
is_(remove("ok"), 204, "the good one is removed")

# -------------------------------------------------------------------- two of it

r = run(BUILD + "/isolad", *d.flags(), limit_s=20)
is_(r.rc, 1, "a second isolad with the same folders does not start")
like(r.err, "another isolad \\(pid %d\\) uses the state folder" % d.pid, "and says why")

leak_check()
is_(d.stop(), 0, "isolad ends well")
check(not os.path.exists(d.socket), "its socket is gone")
finish()
