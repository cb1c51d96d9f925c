#!/usr/bin/python3 -B
# SPDX-License-Identifier: Apache-2.0
#
# Health checks: from starting to healthy to unhealthy and back, start period, time-outs,
# pauses, restarts, a dead isolad; flags, image's HEALTHCHECK, views, events; with
# Docker's own client, too.
import json
import os
import shutil
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)) + "/..")
from lib import *
from wire import *

need_root()
need_program("isolad", "isola-keeper", "isola-image", "ctrctl")
d = start_isolad() or skip_all("isolad does not start")
ctr = d.ctr
got = ctr("import", busybox_tar(T + "/busybox.tar"), "busybox")
if got.rc:
    skip_all(got)
leak_mark()


def health(name):
    return json.loads(ctr("inspect", name).out)[0]["State"].get("Health")


def status(name):
    return (health(name) or {}).get("Status")


def becomes(name, want, text, limit_s=20):
    is_(wait_for(limit_s, lambda: status(name) == want) and want, want, text, health(name))


def good(text, got, out=None):
    check(got.rc == 0 and (out is None or got.out == out), text, got)


def bad(text, got, error):
    check(got.rc != 0 and error in got.err, text, got)


def run_d(name, *flags, cmd=("sleep", "1000"), image="busybox"):
    return ctr("run", "-d", "--name", name, *flags, image, *cmd)


FAST = ("--health-interval", "100ms", "--health-retries", "2")

# -------------------------------------------------------------------- its course
good("a check of a file that is not there",
     run_d("web", "--health-cmd", "echo looking; test -f /ok", *FAST))
becomes("web", "unhealthy", "fails, and is unhealthy")
h = health("web")
check(h["FailingStreak"] >= 2, "each failure in a row counts", h)
last = h["Log"][-1]
is_((last["ExitCode"], last["Output"]), (1, "looking\n"), "its result is in the log")
check(last["Start"] < last["End"], "with its times", last)
like(ctr("ps", "--format", "{{.Status}}").out, r"^Up .*\(unhealthy\)\n$", "ps shows it")
is_(ctr("ps", "-q", "--filter", "health=unhealthy").out.count("\n"), 1, "ps finds it")
is_(ctr("ps", "-q", "--filter", "health=healthy").out, "", "by what it is")
good("it gets well", ctr("exec", "web", "touch", "/ok"))
becomes("web", "healthy", "and is healthy")
is_(health("web")["FailingStreak"], 0, "no failure in a row")
wait_for(20, lambda: len(health("web")["Log"]) == 5 and
         all(r["ExitCode"] == 0 for r in health("web")["Log"]))
is_([r["ExitCode"] for r in health("web")["Log"]], [0] * 5, "the last five results are kept")
like(ctr("ps", "--format", "{{.Status}}").out, r"^Up .*\(healthy\)\n$", "ps shows that")
events = ctr("events", "--since", "0", "--until", "0s", "--filter", "container=web", "--format",
             "{{.Action}}").out.splitlines()
is_([e for e in events if e.startswith("health_status")],
    ["health_status: unhealthy", "health_status: healthy"], "each change is an event")

# ------------------------------------------------------------- pauses, ends, restarts
good("a pause", ctr("pause", "web"))
is_(status("web"), "healthy", "is no change of health")
n = health("web")["Log"][-1]
good("the end of it", ctr("unpause", "web"))
check(wait_for(20, lambda: health("web")["Log"][-1] != n), "it is asked again", health("web"))
good("a stop", ctr("stop", "-t", "0", "web"))
is_(status("web"), "unhealthy", "what does not run is not well")
good("a start", ctr("start", "web"))
becomes("web", "healthy", "and it is asked anew")
d.stop(signal.SIGKILL)
d.start()
check(status("web") in ("starting", "healthy"), "another isolad begins anew", health("web"))
becomes("web", "healthy", "and asks")
good("removed", ctr("rm", "-f", "web"))

# ------------------------------------------------------------------- start period
good("failures within the start period",
     run_d("slow", "--health-cmd", "false", "--health-interval", "1h", "--health-retries", "1",
           "--health-start-period", "1h", "--health-start-interval", "50ms"))
check(wait_for(20, lambda: len(health("slow")["Log"]) >= 3), "are asked at its own interval",
      health("slow"))
is_((status("slow"), health("slow")["FailingStreak"]), ("starting", 0), "and do not count")
like(ctr("ps", "--format", "{{.Status}}").out, r"\(health: starting\)", "ps shows that")
good("removed", ctr("rm", "-f", "slow"))

# --------------------------------------------------------------- checks that hang
good("a check that hangs",
     run_d("hung", "--health-cmd", "echo before; exec sleep 998", "--health-timeout",
           "%dms" % (1000 * SCALE), *FAST))      # time enough to say something
becomes("hung", "unhealthy", "is a failure")
last = health("hung")["Log"][-1]
is_(last["ExitCode"], -1, "with no exit code")
like(last["Output"], r"exceeded timeout.*before", "and why, and what it printed")
good("a pause", ctr("pause", "hung"))


def sleepers():
    return [p for p in os.listdir("/proc") if p.isdigit() and
            cmdline(p) == b"sleep\x00998\x00" and group(p)]


def cmdline(pid):
    try:
        with open("/proc/%s/cmdline" % pid, "rb") as f:
            return f.read()
    except OSError:
        return b""


def group(pid):
    """Whether PID is of this test's containers."""
    try:
        with open("/proc/%s/cgroup" % pid) as f:
            return CGROUP in f.read()
    except OSError:
        return False


good("its end", ctr("unpause", "hung"))
good("removed", ctr("rm", "-f", "hung"))
is_(sleepers(), [], "none of them is left")
good("one that hangs for long",
     run_d("long", "--health-cmd", "exec sleep 998", "--health-timeout", "1h", *FAST))
check(wait_for(20, sleepers), "is under way")
d.stop(signal.SIGKILL)
check(wait_for(20, lambda: not sleepers()), "it ends with isolad")
d.start()
good("the container lives", ctr("exec", "long", "true"))
check(wait_for(20, sleepers), "and is asked again")
good("a stop in the middle of it", ctr("stop", "-t", "0", "long"))
is_(status("long"), "unhealthy", "is no result")
good("removed", ctr("rm", "-f", "long"))

# ---------------------------------------------------------------- what they print
good("a check that prints much, and no text",
     run_d("loud", "--health-cmd", "printf '\\377\\000x'; head -c 1000000 /dev/zero | tr '\\0' y", *FAST))
becomes("loud", "healthy", "is healthy")
text = health("loud")["Log"][-1]["Output"]
check(text.startswith("??x") and text.endswith("y...") and len(text) == 4099,
      "4096 bytes of it are kept, as text", repr(text[:20]) + repr(text[-8:]) + str(len(text)))
good("removed", ctr("rm", "-f", "loud"))
cid = create(d, "sleep", "1000", Image="busybox",
             Healthcheck={"Test": ["CMD", "/not/there"], "Interval": 10**8, "Retries": 1})
good("a check that cannot run", ctr("start", cid))
becomes(cid, "unhealthy", "is a failure")
last = health(cid)["Log"][-1]
is_(last["ExitCode"], -1, "with no exit code")
like(last["Output"], r"/not/there", "and why")
remove(d, cid)
good("one that speaks on stderr, as another user", run_d(
    "who", "-u", "12:34", "--health-cmd", "id -u >&2", *FAST))
becomes("who", "healthy", "is healthy")
is_(health("who")["Log"][-1]["Output"], "12\n", "it has the container's user")
good("removed", ctr("rm", "-f", "who"))

# --------------------------------------------------------------- flags and images
good("an image with a check", ctr("import", "-c",
     "HEALTHCHECK --interval=100ms --retries=1 CMD test -f /here", T + "/busybox.tar", "checked"))
good("without flags", run_d("im", image="checked"))
becomes("im", "unhealthy", "it is asked")
good("with one of its own", run_d("im2", "--health-cmd", "true", image="checked"))
becomes("im2", "healthy", "that is asked, at the image's interval")
good("with none", run_d("im3", "--no-healthcheck", image="checked"))
is_(health("im3"), None, "none is asked")
is_(ctr("ps", "-q", "--no-trunc", "--filter", "health=none").out,
    ctr("inspect", "--format", "{{.Id}}", "im3").out, "its health is none")
for name in ("im", "im2", "im3"):
    good("removed", ctr("rm", "-f", name))
for flags, error in (
        (("--health-interval", "x"), "--health-interval: 'x' is no duration"),
        (("--health-interval", "10us", "--health-cmd", "x"), "Interval: 10000 is out of range"),
        (("--health-retries", "-1"), "--health-retries cannot be negative"),
        (("--no-healthcheck", "--health-cmd", "x"), "conflicts with --health-* options")):
    bad(" ".join(flags), ctr("create", *flags, "busybox"), error)
is_(ctr("ps", "-aq").out, "", "nothing is left of them")

# ---------------------------------------------------------------- Docker's client
docker = shutil.which("docker")
if not docker:
    skip("docker's own client", "docker is not installed")
else:
    env = dict(os.environ, DOCKER_HOST="unix://" + d.socket, HOME=T)
    good("docker run", run(docker, "run", "-d", "--name", "dk", "--health-cmd", "true",
                           "--health-interval", "100ms", "busybox", "sleep", "1000", env=env))
    becomes("dk", "healthy", "is healthy")
    is_(run(docker, "inspect", "-f", "{{.State.Health.Status}}", "dk", env=env).out, "healthy\n",
        "docker inspect")
    like(run(docker, "ps", env=env).out, r"\(healthy\)", "docker ps")
    good("docker rm", run(docker, "rm", "-f", "dk", env=env))

leak_check()
finish()
