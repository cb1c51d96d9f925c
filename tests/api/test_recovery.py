#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# time limit: 150 s
#
# isolad is killed (kill -9), ended and started again under running containers:
# every payload lives, every stream that was handed over flows, no log has a gap,
# every exit code is known, nothing is lost and nothing is there twice.
import os, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/..")
from lib import *
import threading

need_root()
need_program("isolad", "isola-keeper", "isola-image", "ctrctl")
d = start_isolad()
if not d:
    not_ok("isolad starts")
    finish()
busybox_tar(T + "/root.tar")
check(d.ctr("import", T + "/root.tar", "box").rc == 0, "an image is imported")
CTR = [BUILD + "/ctrctl", "-H", "unix://" + d.socket]


def get(name, path="State"):
    status, _, body = d.request("GET", "/containers/%s/json" % name)
    for part in path.split("."):
        body = body.get(part) if status == 200 and body is not None else None
    return body


def crash(sig=signal.SIGKILL):
    d.stop(sig)
    return start_isolad() is not None


def spawn(*argv, **kw):
    return subprocess.Popen([*CTR, *argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, bufsize=0, **kw)


def read_until(p, what, limit_s=20):
    """Collects p's output until WHAT appears in it, or the end."""
    got = b""
    end = time.monotonic() + limit_s * SCALE
    os.set_blocking(p.stdout.fileno(), False)
    while what not in got and time.monotonic() < end:
        more = p.stdout.read(65536)
        if more == b"":
            break
        got += more or b""
        if not more:
            time.sleep(0.01)
    return got


d.stop()
leak_mark()          # and looks again without it: each isolad has a helper of its own
start_isolad()

# ---------------------------------------------------------- what runs goes on

COUNT = "i=0; while :; do echo $i; i=$((i+1)); sleep 0.02; done"
check(d.ctr("run", "-d", "--name", "count", "box", "sh", "-c", COUNT).rc == 0, "one counts")
check(d.ctr("run", "-d", "--name", "tmp", "--rm", "box", "sleep", "1000").rc == 0, "one is --rm")
echo = spawn("run", "-i", "--name", "echo", "box", "cat")
echo.stdin.write(b"before\n")
is_(read_until(echo, b"before\n"), b"before\n", "one is attached to")
follow = spawn("logs", "-f", "count")
check(b"3\n" in read_until(follow, b"\n3\n"), "a log is followed")
inside = spawn("exec", "-i", "count", "cat")
inside.stdin.write(b"in\n")
is_(read_until(inside, b"in\n"), b"in\n", "an exec is attached to")
detached = d.request("POST", "/containers/count/exec", {"Cmd": ["sleep", "1000"]})[2]["Id"]
d.request("POST", "/exec/%s/start" % detached, {"Detach": True})
before = {n: get(n, "State.Pid") for n in ("count", "tmp", "echo")}
is_(d.request("GET", "/exec/%s/json" % detached)[2]["Running"], True, "an exec runs alone")

for what, sig in (("kill -9", signal.SIGKILL), ("SIGTERM", signal.SIGTERM)):
    t = time.monotonic()
    d.stop(sig)
    if sig == signal.SIGTERM:
        # a busy machine has its say; what there is to wait for lasts for ever
        check(time.monotonic() - t < 5 * SCALE, "isolad ends at once",
              "%.2f s" % (time.monotonic() - t))
    echo.stdin.write(b"without\n")
    is_(read_until(echo, b"without\n"), b"without\n", what + ": attached streams flow without isolad")
    inside.stdin.write(b"exec\n")
    is_(read_until(inside, b"exec\n"), b"exec\n", what + ": so do those of an exec")
    check(b"\n" in read_until(follow, b"\n"), what + ": and a followed log")
    check(start_isolad(), what + ": isolad starts again")
    is_({n: get(n, "State.Pid") for n in before}, before, what + ": the same payloads run")
    is_(get("count", "State.Status"), "running", what + ": and are known to")
    echo.stdin.write(b"after\n")
    is_(read_until(echo, b"after\n"), b"after\n", what + ": the stream still flows")
    exec_state = d.request("GET", "/exec/%s/json" % detached)[2]
    is_(exec_state.get("Running"), True, what + ": the exec is known", )
    is_(len(get("count", "ExecIDs") or []), 2, what + ": both execs are listed")
    is_(d.ctr("exec", "count", "echo", "new").out, "new\n", what + ": exec works")
    time.sleep(0.2)
    lines = d.ctr("logs", "count").out.split()
    check(lines == [str(i) for i in range(len(lines))] and len(lines) > 5, what + ": the log has no gap",
          lines[:20])

inside.stdin.close()
wait_for(5, lambda: inside.poll() is not None)
wait_for(5, lambda: len(get("count", "ExecIDs") or []) == 1)
is_(len(get("count", "ExecIDs") or []), 1, "the end of an exec that was adopted is noted")
echo.stdin.close()
wait_for(5, lambda: echo.poll() is not None)
check(wait_for(5, lambda: get("echo", "State.Status") == "exited"), "its stdin's end ends cat")
is_(get("echo", "State.ExitCode"), 0, "with its exit code")
is_(d.ctr("rm", "echo").rc, 0, "it is removed")

# ------------------------------------------- what ends while nobody looks

d.ctr("run", "-d", "--name", "e5", "box", "sh", "-c", "echo bye; sleep 1.5; exit 5")
d.ctr("run", "-d", "--name", "sig", "box", "sleep", "1000")
wait_for(10, lambda: d.ctr("logs", "e5").out == "bye\n")
pids = get("e5", "State.Pid"), get("sig", "State.Pid")
d.stop(signal.SIGKILL)
os.kill(pids[1], signal.SIGKILL)
check(wait_for(10, lambda: not any(is_running(p) for p in pids)), "two end while isolad is away")
check(start_isolad(), "it starts again")
wait_for(10, lambda: get("e5", "State.Status") == get("sig", "State.Status") == "exited")
is_((get("e5", "State.Status"), get("e5", "State.ExitCode")), ("exited", 5), "an exit code is known")
is_((get("sig", "State.Status"), get("sig", "State.ExitCode")), ("exited", 137), "a signal, too")
is_(d.ctr("logs", "e5").out, "bye\n", "and the last words")
check(get("e5", "State.FinishedAt") > get("e5", "State.StartedAt"), "and the times")
is_(d.ctr("start", "e5").rc, 0, "it starts again")
is_(d.ctr("wait", "e5").out, "5\n", "and ends again")
d.ctr("rm", "-f", "e5", "sig")

pid = get("tmp", "State.Pid")
d.stop(signal.SIGKILL)
os.kill(pid, signal.SIGKILL)
wait_for(5, lambda: not is_running(pid))
time.sleep(0.3)
check(start_isolad(), "a --rm one ended meanwhile")
check(wait_for(5, lambda: get("tmp") is None), "it is gone")

# ---------------------------------------------------- waiting across restarts

d.ctr("run", "-d", "--name", "wtr", "box", "sh", "-c", "sleep %d; exit 9" % (2 + SCALE))
waiter = spawn("wait", "wtr")
wait_for(10, asks, waiter.pid)
crash()
is_((waiter.wait(30 * SCALE), waiter.stdout.read()), (0, b"9\n"),
    "who waited waits on, and gets the exit code")
r = d.ctr("wait", "wtr")
is_((r.out, r.err), ("9\n", ""), "as does who asks later")
d.ctr("rm", "wtr")

# -------------------------------------------------------- policies after a crash

d.ctr("run", "-d", "--name", "pol", "--restart", "always", "box", "sh", "-c", "sleep 0.3; exit 1")
d.stop(signal.SIGKILL)
time.sleep(0.6)
check(start_isolad(), "one with a policy ended meanwhile")
check(wait_for(5, lambda: (get("pol", "RestartCount") or 0) >= 1), "it starts again by itself")
check(wait_for(5, lambda: (get("pol", "RestartCount") or 0) >= 3), "and again")
d.ctr("rm", "-f", "pol")

# ------------------------------------------------- killed at any moment, often

def churn():
    """Creates, starts, stops and removes, while isolad comes and goes."""
    n = 0
    while not stop.is_set():
        n += 1
        name = "churn%d" % n
        run(*CTR, "run", "-d", "--name", name, "box", "sh", "-c", "sleep 0.05; exit 4", limit_s=10)
        run(*CTR, "run", "--rm", "box", "true", limit_s=10)
        run(*CTR, "rm", "-f", name, limit_s=10)
        if d.process is None:
            time.sleep(0.05)


stop = threading.Event()
threads = [threading.Thread(target=churn)]
for t in threads:
    t.start()
started = True
for i in range(12):
    time.sleep(0.05 + 0.037 * i)
    d.stop(signal.SIGKILL)
    started = started and start_isolad() is not None
stop.set()
for t in threads:
    t.join()
check(started, "isolad starts again each of twelve times")
is_(get("count", "State.Pid"), before["count"], "who counts still counts")
names = d.ctr("ps", "-a", "--format", "{{.Names}} {{.Status}}").out.split("\n")
check(wait_for(20, lambda: not any("Up" in n or "Created" not in n and "Exited" not in n
                                  for n in d.ctr("ps", "-a", "--format", "{{.Names}} {{.Status}}")
                                  .out.strip().split("\n") if n and not n.startswith("count"))),
      "what was cut off is either created or exited", names)
for line in d.ctr("ps", "-a", "--format", "{{.Names}}").out.split():
    if line != "count":
        d.ctr("rm", "-f", line)
check(wait_for(10, lambda: d.ctr("ps", "-aq").out.count("\n") == 1), "all of it can be removed",
      d.ctr("ps", "-a"))
counted = d.ctr("logs", "count").out.split()
check(counted == [str(i) for i in range(len(counted))], "and the log still has no gap")

d.ctr("rm", "-f", "count")
wait_for(5, lambda: follow.poll() is not None)
is_(follow.poll(), 0, "who follows the log sees its end")
check(wait_for(10, lambda: not os.listdir(T + "/state/instances")), "no state folder is left",
      os.listdir(T + "/state/instances"))
d.stop()
leak_check()
is_(d.log_tail(500).count("Sanitizer"), 0, "no sanitizer spoke")
finish()
