# SPDX-License-Identifier: Apache-2.0
#
# Every route of the API, once with what it is for and once with what it must
# refuse.  The list of routes is the daemon's own (/openapi.json, which a unit
# test holds equal to its table); a route without a test here is a failure.
# time limit: 240 s
import io
import json
import os
import re
import sys
import tarfile
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)) + "/..")
from lib import *
from wire import *
import taplib

need_root()
need_program("isolad", "isola-keeper", "isola-image")
d = start_isolad() or skip_all("isolad does not start")
TAR = busybox_tar(T + "/root.tar")
load_image(d, TAR)
remove(d, start(d, "true"))      # what isolad keeps from its first start on is no leak
leak_mark()
TESTS = {}


def route(method, path):
    def add(f):
        TESTS[method, path] = f
        return f
    return add


def ask(method, path, body=None, **kw):
    return d.request(method, path, body, **kw)


def expect(name, got, status, text=None):
    body = got[2] if isinstance(got[2], (bytes, str)) else json.dumps(got[2])
    body = body.decode(errors="replace") if isinstance(body, bytes) else body
    return check(got[0] == status and (text is None or text in body), name,
                 "wanted: %d %s\ngot:    %d %s" % (status, text, got[0], body))


def json_lines(data):
    """A stream of documents; lib.py has already parsed one that is alone."""
    if isinstance(data, dict):
        return [data]
    return [json.loads(x) for x in data.splitlines() if x.strip()]


def not_found(method, path):
    expect("%s %s of nothing" % (method, path),
           ask(method, path.replace("{id}", "nothing").replace("{name}", "nothing")), 404)


class Sleeper:
    """A container that runs and does nothing, for the length of a with."""

    def __init__(self, **config):
        self.config = config

    def __enter__(self):
        self.id = start(d, "sh", "-c",
                        "trap 'exit 4' TERM; echo ready; while :; do sleep 0.1; done",
                        **self.config)
        # A first process without its trap would not hear SIGTERM.
        wait_for(10, lambda: b"ready" in ask("GET", "/containers/%s/logs?stdout=1" % self.id)[2])
        return self.id

    def __exit__(self, *_):
        remove(d, self.id)


# ------------------------------------------------------------------------ system

@route("GET", "/_ping")
def _():
    status, fields, body = ask("GET", "/_ping")
    is_((status, body), (200, b"OK"), "ping")
    is_([fields[x] for x in ("Api-Version", "Ostype", "Docker-Experimental", "Swarm")],
        ["1.47", "linux", "false", "inactive"], "ping's header fields")


@route("HEAD", "/_ping")
def _():
    status, fields, body = ask("HEAD", "/v1.41/_ping")
    is_((status, body, fields["Api-Version"]), (200, b"", "1.47"), "HEAD ping")


@route("GET", "/version")
def _():
    o = ask("GET", "/v1.24/version")[2]
    is_((o["ApiVersion"], o["MinAPIVersion"], o["Os"]), ("1.47", "1.24", "linux"), "version")
    check(o["Components"][0]["Name"], "version lists components")
    for v in ("1.23", "1.48", "2.0", "99"):
        expect("version %s is refused" % v, ask("GET", "/v%s/version" % v), 400, "client version")


@route("GET", "/info")
def _():
    o = ask("GET", "/info")[2]
    is_(o["OSType"], "linux", "info")
    for key, kind in (("ID", str), ("Containers", int), ("Images", int), ("NCPU", int),
                      ("MemTotal", int), ("Runtimes", dict), ("Plugins", dict),
                      ("SecurityOptions", list), ("Swarm", dict)):
        check(isinstance(o.get(key), kind), "info has %s" % key, o.get(key))


@route("GET", "/events")
def _():
    since = time.time()
    with Wire(d) as w:
        w.ask("GET", "/events" + q(filters={"type": ["container"]}))
        is_(w.head()[0], 200, "events begin at once")
        cid = create(d, "true", name="ev")
        e = json.loads(w.chunk())
        is_((e["Type"], e["Action"], e["Actor"]["ID"], e["Actor"]["Attributes"]["name"]),
            ("container", "create", cid, "ev"), "an event")
        is_((e["status"], e["id"]), ("create", cid), "with the old fields")
        remove(d, cid)
    got = ask("GET", "/events" + q(since=since, until=time.time(),
                                   filters={"container": ["ev"], "event": {"destroy": True}}))
    is_([e["Action"] for e in json_lines(got[2])], ["destroy"], "past events, filtered")
    expect("events with a wrong filter", ask("GET", "/events" + q(filters={"x": ["y"]})), 400, "x")
    expect("events with a wrong time", ask("GET", "/events?since=soon"), 400, "since")


@route("GET", "/metrics")
def _():
    with Sleeper(name="metered") as cid:
        text = ask("GET", "/metrics")[2].decode()
    like(text, r'(?m)^container_cpu_usage_seconds_total\{cpu="total",id="/isola/%s",'
         r'image="busybox[^"]*",name="metered"\} [\d.e+-]+$' % cid, "a container's metrics")
    like(text, r'(?m)^isola_containers\{state="running"\} \d+$', "the daemon's metrics")
    bad = [x for x in text.splitlines()
           if not re.match(r'# (HELP|TYPE) [a-z_]+ .|[a-z_]+(\{[^}]*\})? [\d.e+-]+$', x)]
    is_(bad, [], "metrics are well formed")


@route("GET", "/openapi.json")
def _():
    status, fields, o = ask("GET", "/openapi.json")
    is_((status, fields["Content-Type"], o["openapi"]), (200, "application/json", "3.1.0"),
        "the API describes itself")


# -------------------------------------------------------------------- containers

@route("GET", "/containers/json")
def _():
    a = create(d, "true", name="one", Labels={"k": "v"})
    with Sleeper(name="two") as b:
        is_([c["Id"] for c in ask("GET", "/containers/json")[2]], [b], "list of running ones")
        both = ask("GET", "/containers/json?all=1")[2]
        is_([c["Id"] for c in both], [b, a], "list of all, newest first")
        is_((both[1]["Names"], both[1]["State"], both[1]["Labels"]), (["/one"], "created",
                                                                      {"k": "v"}), "a row")
        is_([c["Id"] for c in ask("GET", "/containers/json?limit=1")[2]], [b], "list with a limit")
        for name, f, want in (("label", {"label": ["k=v"]}, [a]), ("name", {"name": ["tw"]}, [b]),
                              ("status", {"status": ["created"]}, [a]),
                              ("old form", {"status": {"running": True}}, [b]),
                              ("id", {"id": [a[:20]]}, [a]), ("none", {"label": ["k=w"]}, [])):
            got = ask("GET", "/containers/json" + q(all=1, filters=f))
            is_([c["Id"] for c in got[2]], want, "list filtered: " + name)
        sized = ask("GET", "/containers/json?size=1")[2][0]
        check(isinstance(sized.get("SizeRw"), int) and sized.get("SizeRootFs", 0) > 100000,
              "list with sizes", sized)
    remove(d, a)
    expect("list with a wrong filter", ask("GET", "/containers/json" + q(filters={"x": ["y"]})),
           400, "x")
    expect("list with broken filters", ask("GET", "/containers/json?filters=["), 400, "filters")


@route("POST", "/containers/create")
def _():
    got = ask("POST", "/containers/create?name=/made", {"Image": "busybox", "Cmd": ["true"]})
    expect("create", got, 201)
    is_(sorted(got[2]), ["Id", "Warnings"], "create's answer")
    expect("a name in use", ask("POST", "/containers/create?name=made",
                                {"Image": "busybox", "Cmd": ["true"]}), 409, "made")
    remove(d, "made")
    for name, body, status, text in (
            ("no image of that name", {"Image": "nothing"}, 404, "No such image: nothing"),
            ("no body", None, 400, "config cannot be empty"),
            ("a wrong type", {"Image": "busybox", "Cmd": 7}, 400, "Cmd"),
            ("a wrong type inside", {"Image": "busybox", "HostConfig": {"Memory": "much"}}, 400,
             "Memory"),
            ("what is not supported", {"Image": "busybox", "Cmd": ["true"],
                                       "HostConfig": {"VolumesFrom": ["x"]}}, None, "VolumesFrom")):
        got = ask("POST", "/containers/create", body)
        expect("create with " + name, got, status or got[0], text)
        check(got[0] >= 400, "is refused", got)
    expect("create with a wrong name", ask("POST", "/containers/create?name=%21",
                                           {"Image": "busybox", "Cmd": ["true"]}), 400)
    expect("create for another platform", ask("POST", "/containers/create?platform=linux/s390x",
                                              {"Image": "busybox", "Cmd": ["true"]}), 404, "s390x")
    is_(ask("GET", "/containers/json?all=1")[2], [], "nothing is left of refused ones")


@route("POST", "/containers/prune")
def _():
    a = create(d, "true", Labels={"keep": "1"})
    b = create(d, "true")
    with Sleeper() as c:
        got = ask("POST", "/containers/prune" + q(filters={"label!": ["keep"]}))
        is_(got[2].get("ContainersDeleted"), [b], "prune with a filter")
        check(isinstance(got[2].get("SpaceReclaimed"), int), "prune tells bytes", got)
        is_(ask("POST", "/containers/prune")[2]["ContainersDeleted"], [a], "prune")
        is_([x["Id"] for x in ask("GET", "/containers/json?all=1")[2]], [c],
            "prune spares what runs")
    expect("prune with a wrong filter", ask("POST", "/containers/prune" + q(filters={"x": ["y"]})),
           400, "x")


@route("GET", "/containers/{id}/json")
def _():
    with Sleeper(name="seen", Env=["A=b"]) as cid:
        for ref in (cid, cid[:12], "seen", "/seen"):
            is_(ask("GET", "/containers/%s/json" % ref)[2].get("Id"), cid, "inspect %.12s" % ref)
        o = ask("GET", "/containers/seen/json?size=1")[2]
        is_((o["Name"], o["State"]["Running"], o["HostConfig"]["NetworkMode"]),
            ("/seen", True, "none"), "inspect's fields")
        check("A=b" in o["Config"]["Env"] and o["State"]["Pid"] > 1 and "SizeRw" in o,
              "more of inspect's fields", o)
    not_found("GET", "/containers/{id}/json")


@route("GET", "/containers/{id}/explain")
def _():
    with Sleeper() as cid:
        o = ask("GET", "/containers/%s/explain" % cid)[2]
        is_((o["Wall"], o["Running"], o["Boundaries"][0]["Role"]), ("container", True, "payload"),
            "explain")
    cid = create(d, "true")
    o = ask("GET", "/containers/%s/explain" % cid)[2]
    is_((o["Running"], "Boundaries" in o), (False, False), "explain of one that does not run")
    remove(d, cid)
    not_found("GET", "/containers/{id}/explain")


@route("GET", "/containers/{id}/top")
def _():
    with Sleeper() as cid:
        o = ask("GET", "/containers/%s/top" % cid)[2]
        is_(o["Titles"], ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"], "top")
        check(any("trap" in row[7] for row in o["Processes"]), "top's rows", o)
        got = ask("GET", "/containers/%s/top?ps_args=--nonsense" % cid)
        check(got[0] == 400, "top with wrong arguments", got)
    cid = create(d, "true")
    expect("top of a stopped one", ask("GET", "/containers/%s/top" % cid), 409, "not running")
    remove(d, cid)
    not_found("GET", "/containers/{id}/top")


@route("GET", "/containers/{id}/logs")
def _():
    cid = start(d, "sh", "-c", "echo a; echo b >&2; sleep 0.3; echo c")
    wait_state(d, cid, "exited")
    path = "/containers/%s/logs" % cid
    with Wire(d) as w:
        w.ask("GET", path + "?stdout=1&stderr=1&follow=1")
        status, fields, body = w.answer()
        is_((status, fields["content-type"]),
            (200, "application/vnd.docker.multiplexed-stream"), "logs")
        is_(frames_of(body), (b"a\nc\n", b"b\n"), "logs of both streams")
    with Wire(d) as w:
        w.ask("GET", "/v1.41" + path + "?stdout=1&tail=1&timestamps=1")
        status, fields, body = w.answer()
        is_(fields["content-type"], "application/vnd.docker.raw-stream", "the type before 1.42")
        like(frames_of(body)[0].decode(), r"^20\d\d-\d\d-\d\dT[\d:.]+Z c\n$", "tail, timestamps")
    with Wire(d) as w:
        w.send("GET %s?stdout=1 HTTP/1.0\r\n\r\n" % path)
        status, fields, body = w.answer()
        is_((fields.get("transfer-encoding"), frames_of(body)[0]), (None, b"a\nc\n"),
            "logs for HTTP/1.0 are not chunked")
    expect("logs of no stream", ask("GET", path), 400, "at least one stream")
    expect("logs since nonsense", ask("GET", path + "?stdout=1&since=x"), 400, "since")
    expect("logs' tail is nonsense", ask("GET", path + "?stdout=1&tail=x"), 400, "tail")
    remove(d, cid)
    cid = start(d, "true", LogConfig={"Type": "none"})
    expect("logs where none are kept", ask("GET", "/containers/%s/logs?stdout=1" % cid), 501)
    wait_state(d, cid, "exited")
    remove(d, cid)
    not_found("GET", "/containers/{id}/logs")


@route("GET", "/containers/{id}/stats")
def _():
    with Sleeper() as cid:
        path = "/containers/%s/stats" % cid
        o = ask("GET", path + "?stream=0&one-shot=1")[2]
        is_(o["id"], cid, "stats, one shot")
        t0 = time.monotonic()
        o = ask("GET", path + "?stream=0")[2]
        check(0.8 < time.monotonic() - t0 < 10 * SCALE and "cpu_usage" in o["precpu_stats"],
              "stats with a sample before", o)
        with Wire(d) as w:
            w.ask("GET", path)
            is_(w.head()[0], 200, "stats, a stream")
            reads = [json.loads(w.chunk())["read"] for _ in range(3)]
            check(len(set(reads)) == 3, "a sample every second", reads)
    not_found("GET", "/containers/{id}/stats")


@route("POST", "/containers/{id}/start")
def _():
    cid = create(d, "sleep", "100")
    expect("start with a body", ask("POST", "/containers/%s/start" % cid, {"Binds": ["x"]}), 400,
           "non-empty request body")
    expect("start with a checkpoint", ask("POST", "/containers/%s/start?checkpoint=x" % cid), 400,
           "checkpoint is not supported yet")
    expect("start", ask("POST", "/containers/%s/start" % cid), 204)
    expect("start again", ask("POST", "/containers/%s/start" % cid), 304)
    remove(d, cid)
    cid = create(d, "/nothing")
    got = ask("POST", "/containers/%s/start" % cid)
    expect("start of no command", got, 400, "/nothing")
    # Docker's clients make exit codes 127 and 126 of these words.
    like(got[2].get("message"), "executable file not found|no such file or directory",
         "in words that clients know")
    remove(d, cid)
    not_found("POST", "/containers/{id}/start")


@route("POST", "/containers/{id}/stop")
def _():
    with Sleeper() as cid:
        expect("stop", ask("POST", "/containers/%s/stop" % cid), 204)
        is_(state(d, cid)["ExitCode"], 4, "stop sends the stop signal")
        expect("stop again", ask("POST", "/containers/%s/stop" % cid), 304)
    with Sleeper() as cid:
        expect("stop with its signal", ask("POST", "/containers/%s/stop?signal=KILL&t=5" % cid),
               204)
        is_(state(d, cid)["ExitCode"], 137, "was sent")
        expect("stop with no signal", ask("POST", "/containers/%s/stop?signal=FOO" % cid), 400,
               "invalid signal: FOO")
        expect("stop with no time", ask("POST", "/containers/%s/stop?t=x" % cid), 400, "t must be")
    not_found("POST", "/containers/{id}/stop")


@route("POST", "/containers/{id}/restart")
def _():
    with Sleeper() as cid:
        pid = state(d, cid)["Pid"]
        expect("restart", ask("POST", "/containers/%s/restart?t=5" % cid), 204)
        s = state(d, cid)
        check(s["Running"] and s["Pid"] != pid, "it runs again", s)
    not_found("POST", "/containers/{id}/restart")


@route("POST", "/containers/{id}/kill")
def _():
    with Sleeper() as cid:
        expect("kill with no signal", ask("POST", "/containers/%s/kill?signal=x" % cid), 400)
        expect("kill with a harmless signal",
               ask("POST", "/containers/%s/kill?signal=SIGWINCH" % cid), 204)
        check(state(d, cid)["Running"], "it lives")
        expect("kill", ask("POST", "/containers/%s/kill" % cid), 204)
        is_(wait_state(d, cid, "exited")["ExitCode"], 137, "it is dead")
        expect("kill again", ask("POST", "/containers/%s/kill" % cid), 409, "not running")
    not_found("POST", "/containers/{id}/kill")


@route("POST", "/containers/{id}/pause")
def _():
    with Sleeper() as cid:
        expect("pause", ask("POST", "/containers/%s/pause" % cid), 204)
        is_(state(d, cid)["Status"], "paused", "it is paused")
        expect("pause again", ask("POST", "/containers/%s/pause" % cid), 409)
    not_found("POST", "/containers/{id}/pause")


@route("POST", "/containers/{id}/unpause")
def _():
    with Sleeper() as cid:
        expect("unpause what runs", ask("POST", "/containers/%s/unpause" % cid), 409)
        ask("POST", "/containers/%s/pause" % cid)
        expect("unpause", ask("POST", "/containers/%s/unpause" % cid), 204)
        is_(state(d, cid)["Status"], "running", "it runs")
    not_found("POST", "/containers/{id}/unpause")


@route("POST", "/containers/{id}/wait")
def _():
    cid = create(d, "sh", "-c", "exit 6", AutoRemove=True)
    with Wire(d) as w, Wire(d) as v:
        w.ask("POST", "/containers/%s/wait?condition=next-exit" % cid)
        is_(w.head()[0], 200, "wait answers at once")
        v.ask("POST", "/containers/%s/wait?condition=removed" % cid)
        v.head()
        ask("POST", "/containers/%s/start" % cid)
        is_(json.loads(w.chunk())["StatusCode"], 6, "wait for the next exit")
        is_(json.loads(v.chunk())["StatusCode"], 6, "wait for the removal")
    is_(ask("GET", "/containers/%s/json" % cid)[0], 404, "it is gone")
    cid = create(d, "true")
    got = ask("POST", "/containers/%s/wait" % cid)
    is_((got[0], got[2]["StatusCode"]), (200, 0), "wait for what does not run")
    expect("wait for nonsense", ask("POST", "/containers/%s/wait?condition=x" % cid), 400,
           "invalid condition")
    remove(d, cid)
    not_found("POST", "/containers/{id}/wait")


@route("POST", "/containers/{id}/resize")
def _():
    with Sleeper(Tty=True) as cid:
        expect("resize", ask("POST", "/containers/%s/resize?h=33&w=77" % cid), 200)
        expect("resize with nonsense", ask("POST", "/containers/%s/resize?h=x&w=1" % cid), 400)
        xid = ask("POST", "/containers/%s/exec" % cid,
                  {"Cmd": ["sh", "-c", "stty size < /proc/1/fd/0"], "AttachStdout": True})[2]["Id"]
        with Wire(d) as w:
            w.upgrade("/exec/%s/start" % xid, {})
            is_(w.frames()[0], b"33 77\n", "the terminal has that size")
    not_found("POST", "/containers/{id}/resize")


@route("POST", "/containers/{id}/attach")
def _():
    cid = create(d, "sh", "-c", "read a; echo got $a; read b; echo got $b >&2; read c; echo end",
                 OpenStdin=True, StdinOnce=True, AttachStdin=True)
    path = "/containers/%s/attach" % cid
    with Wire(d) as w:
        # Input behind the request must not be lost on its way to the keeper.
        w.send("POST %s?stream=1&stdin=1&stdout=1&stderr=1 HTTP/1.1\r\nHost: x\r\n"
               "Connection: Upgrade\r\nUpgrade: tcp\r\n\r\nearly\n" % path)
        status, fields = w.head()
        is_((status, fields["upgrade"], fields["content-type"]),
            (101, "tcp", "application/vnd.docker.multiplexed-stream"), "attach")
        ask("POST", "/containers/%s/start" % cid)
        is_(w.frame(), (1, b"got early\n"), "what came behind the request is read first")
        w.send("late\n")
        is_(w.frame(), (2, b"got late\n"), "standard error has its own frames")
        w.half_close()
        is_(w.frames()[0], b"end\n", "a half-close is the end of input")
    remove(d, cid)
    with Sleeper(Tty=True) as cid:
        path = "/containers/%s/attach" % cid
        with Wire(d) as w:
            w.ask("POST", path + "?stream=1&stdout=1")
            status, fields = w.head()
            is_((status, fields["content-type"]), (200, "application/vnd.docker.raw-stream"),
                "attach without an upgrade")
        expect("attach with wrong keys", ask("POST", path + "?stream=1&detachKeys=ctrl-1"), 400)
        expect("attach to nothing of it", ask("POST", path), 400, "logs and stream")
        ask("POST", "/containers/%s/pause" % cid)
        expect("attach to a paused one", ask("POST", path + "?stream=1"), 409, "paused")
    cid = start(d, "echo", "before")
    wait_state(d, cid, "exited")
    with Wire(d) as w:
        w.upgrade("/containers/%s/attach?logs=1&stdout=1" % cid)
        is_(w.frames()[0], b"before\n", "attach to what was printed")
    remove(d, cid)
    not_found("POST", "/containers/{id}/attach")


@route("POST", "/containers/{id}/update")
def _():
    with Sleeper() as cid:
        path = "/containers/%s/update" % cid
        got = ask("POST", path, {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 2}})
        expect("update", got, 200)
        o = ask("GET", "/containers/%s/json" % cid)[2]["HostConfig"]["RestartPolicy"]
        is_(o, {"Name": "on-failure", "MaximumRetryCount": 2}, "it is noted")
        expect("update with nonsense", ask("POST", path, {"RestartPolicy": {"Name": "maybe"}}),
               400, "maybe")
        expect("update with a wrong type", ask("POST", path, {"Memory": "x"}), 400, "Memory")
        expect("update without a body", ask("POST", path), 400)
    not_found("POST", "/containers/{id}/update")


@route("POST", "/containers/{id}/mounts")
def _():
    with Sleeper() as cid:
        path = "/containers/%s/mounts" % cid
        tmpfs = {"Type": "tmpfs", "Target": "/mnt/new"}
        expect("mount", ask("POST", path, {"Add": [tmpfs]}), 200)
        o = ask("GET", "/containers/%s/json" % cid)[2]["HostConfig"]["Mounts"]
        is_(o, [tmpfs], "it is noted")
        expect("mount at the same place", ask("POST", path, {"Add": [tmpfs]}), 409, "/mnt/new")
        expect("unmount", ask("POST", path, {"Remove": ["/mnt/new"]}), 200)
        expect("unmount what is not there", ask("POST", path, {"Remove": ["/mnt/new"]}), 400)
        expect("mount with a wrong type", ask("POST", path, {"Add": "x"}), 400, "Add")
        expect("mount with a field too many", ask("POST", path, {"Mount": ["x"]}), 400, "Mount")
        expect("mount without a body", ask("POST", path), 400)
    not_found("POST", "/containers/{id}/mounts")


@route("POST", "/containers/{id}/rename")
def _():
    a, b = create(d, "true", name="a1"), create(d, "true", name="b1")
    expect("rename", ask("POST", "/containers/a1/rename?name=c1"), 204)
    is_(ask("GET", "/containers/c1/json")[2]["Id"], a, "it has the name")
    expect("rename to a name in use", ask("POST", "/containers/c1/rename?name=b1"), 409)
    expect("rename to nothing", ask("POST", "/containers/c1/rename"), 400)
    expect("rename to nonsense", ask("POST", "/containers/c1/rename?name=%2F%2F"), 400)
    remove(d, a)
    remove(d, b)
    not_found("POST", "/containers/{id}/rename")


@route("POST", "/containers/{id}/exec")
def _():
    with Sleeper() as cid:
        path = "/containers/%s/exec" % cid
        got = ask("POST", path, {"Cmd": ["true"]})
        expect("exec", got, 201)
        like(got[2]["Id"], r"^[0-9a-f]{64}$", "exec's id")
        expect("exec of nothing", ask("POST", path, {"Cmd": []}), 400, "No exec command specified")
        expect("exec without a body", ask("POST", path), 400)
        expect("exec with a wrong type", ask("POST", path, {"Cmd": "x"}), 400)
        ask("POST", "/containers/%s/pause" % cid)
        expect("exec in a paused one", ask("POST", path, {"Cmd": ["true"]}), 409, "paused")
    cid = create(d, "true")
    expect("exec in a stopped one", ask("POST", "/containers/%s/exec" % cid, {"Cmd": ["true"]}),
           409, "not running")
    remove(d, cid)
    not_found("POST", "/containers/{id}/exec")


@route("HEAD", "/containers/{id}/archive")
def _():
    cid = create(d, "true")
    status, fields, body = ask("HEAD", "/containers/%s/archive?path=/etc" % cid)
    is_((status, body), (200, b""), "what a path is")
    check(fields["X-Docker-Container-Path-Stat"], "is in a header field")
    is_(ask("HEAD", "/containers/%s/archive?path=/none" % cid)[0], 404, "nothing there")
    is_(ask("HEAD", "/containers/%s/archive" % cid)[0], 400, "no path")
    remove(d, cid)


@route("GET", "/containers/{id}/archive")
def _():
    cid = create(d, "true")
    status, fields, body = ask("GET", "/containers/%s/archive?path=/etc/passwd" % cid)
    is_((status, fields["Content-Type"]), (200, "application/x-tar"), "a file as tar")
    check(body.startswith(b"passwd\0"), "its name", body[:100])
    expect("nothing there", ask("GET", "/containers/%s/archive?path=/none" % cid), 404, "Could not find")
    expect("no path", ask("GET", "/containers/%s/archive" % cid), 400, "path")
    not_found("GET", "/containers/{id}/archive?path=/")
    remove(d, cid)


@route("PUT", "/containers/{id}/archive")
def _():
    cid = create(d, "true")
    expect("no tar", ask("PUT", "/containers/%s/archive?path=/" % cid, b"x" * 600), 400)
    expect("an empty one", ask("PUT", "/containers/%s/archive?path=/" % cid, bytes(1024)), 200)
    expect("no path", ask("PUT", "/containers/%s/archive" % cid, bytes(1024)), 400, "path")
    remove(d, cid)


@route("GET", "/containers/{id}/export")
def _():
    cid = create(d, "true")
    status, fields, body = ask("GET", "/containers/%s/export" % cid)
    is_((status, fields["Content-Type"]), (200, "application/x-tar"), "export")
    check(b"bin/busybox" in body, "has all files")
    not_found("GET", "/containers/{id}/export")
    remove(d, cid)


@route("GET", "/containers/{id}/changes")
def _():
    cid = create(d, "true")
    expect("changes of a new container", ask("GET", "/containers/%s/changes" % cid), 200, "[]")
    not_found("GET", "/containers/{id}/changes")
    remove(d, cid)


@route("DELETE", "/containers/{id}")
def _():
    cid = start(d, "sleep", "100")
    expect("remove what runs", ask("DELETE", "/containers/" + cid), 409)
    expect("remove a link", ask("DELETE", "/containers/%s?link=1" % cid), 400,
           "link is not supported yet")
    expect("remove by force", ask("DELETE", "/containers/%s?force=1&v=1" % cid), 204)
    not_found("DELETE", "/containers/{id}")


# -------------------------------------------------------------------------- exec

def prepare(cid, *cmd, **config):
    return ask("POST", "/containers/%s/exec" % cid,
               {"Cmd": list(cmd), "AttachStdout": True, "AttachStderr": True, **config})[2]["Id"]


@route("POST", "/exec/{id}/start")
def _():
    with Sleeper() as cid:
        xid = prepare(cid, "sh", "-c", "cat; echo over >&2; exit 3", AttachStdin=True)
        with Wire(d) as w:
            status, fields = w.upgrade("/exec/%s/start" % xid, {"Detach": False, "Tty": False})
            is_((status, fields["content-type"]),
                (101, "application/vnd.docker.multiplexed-stream"), "exec start")
            w.send("in")
            w.half_close()
            is_(w.frames(), (b"in", b"over\n"), "its streams")
        is_(ask("GET", "/exec/%s/json" % xid)[2]["ExitCode"], 3, "its exit code")
        expect("exec start a second time", ask("POST", "/exec/%s/start" % xid, {}), 409)
        xid = prepare(cid, "sh", "-c", "stty size; tty", Tty=True, AttachStdin=True)
        with Wire(d) as w:
            status, fields = w.upgrade("/exec/%s/start" % xid,
                                       {"Tty": True, "ConsoleSize": [20, 60]})
            is_(fields["content-type"], "application/vnd.docker.raw-stream", "with a terminal")
            like(w.rest().decode(), r"^20 60\r\n/dev/pts/\d+\r\n$", "of that size")
        xid = prepare(cid, "touch", "/tmp/ran")
        expect("exec start, detached", ask("POST", "/exec/%s/start" % xid, {"Detach": True}), 200)
        check(wait_for(5, lambda: ask("GET", "/exec/%s/json" % xid)[2]["ExitCode"] == 0), "it ran")
        xid = prepare(cid, "true")
        expect("exec start with nonsense", ask("POST", "/exec/%s/start" % xid, {"Detach": 1}), 400,
               "Detach")
    not_found("POST", "/exec/{id}/start")


@route("POST", "/exec/{id}/resize")
def _():
    with Sleeper() as cid:
        xid = prepare(cid, "sh", "-c", "read a; stty size", Tty=True, AttachStdin=True)
        with Wire(d) as w:
            w.upgrade("/exec/%s/start" % xid, {"Tty": True})
            check(wait_for(5, lambda: ask("POST", "/exec/%s/resize?h=11&w=22" % xid)[0] == 200),
                  "exec resize")
            expect("exec resize with nonsense", ask("POST", "/exec/%s/resize?h=-1&w=2" % xid), 400)
            w.send("go\n")
            like(w.rest().decode(), r"11 22\r\n$", "it has that size")
    not_found("POST", "/exec/{id}/resize")


@route("GET", "/exec/{id}/json")
def _():
    with Sleeper() as cid:
        xid = prepare(cid, "sleep", "100")
        o = ask("GET", "/exec/%s/json" % xid)[2]
        is_((o["ID"], o["ContainerID"], o["Running"], o["ExitCode"]), (xid, cid, False, None),
            "inspect of an exec")
        ask("POST", "/exec/%s/start" % xid, {"Detach": True})
        check(ask("GET", "/exec/%s/json" % xid)[2]["Running"], "while it runs")
    is_(ask("GET", "/exec/%s/json" % xid)[0], 404, "gone with its container")


# ------------------------------------------------------------------------ images

@route("GET", "/images/json")
def _():
    o = ask("GET", "/images/json")[2]
    is_([i["RepoTags"] for i in o], [["busybox:latest"]], "list of images")
    check("VirtualSize" in ask("GET", "/v1.41/images/json")[2][0] and "VirtualSize" not in o[0],
          "an old client's fields")
    is_(ask("GET", "/images/json" + q(filters={"reference": ["no*"]}))[2], [], "images filtered")
    expect("images with a wrong filter", ask("GET", "/images/json" + q(filters={"x": ["y"]})), 400,
           "x")
    expect("images with their manifests", ask("GET", "/images/json?manifests=1"), 400,
           "manifests is not supported yet")


@route("POST", "/images/load")
def _():
    with open(TAR, "rb") as f:
        got = ask("POST", "/images/load", f.read(), headers={"Content-Type": "application/x-tar"})
    check(got[0] >= 400 or "error" in json_lines(got[2])[-1], "load of what is no image", got)
    got = ask("POST", "/images/load?quiet=1", b"junk" * 10000)
    check(got[0] >= 400 or "error" in json_lines(got[2])[-1], "load of junk", got)
    expect("load for a platform", ask("POST", "/images/load?platform=x", b""), 400, "platform")
    is_(len(ask("GET", "/images/json")[2]), 1, "nothing is left of them")


@route("POST", "/images/create")
def _():
    with open(TAR, "rb") as f:
        tar = f.read()
    got = ask("POST", "/images/create" + q(fromSrc="-", repo="imp", tag="t", message="why",
                                           changes='CMD ["true"]'), tar)
    lines = json_lines(got[2])
    like(lines[-1].get("status", ""), r"^sha256:[0-9a-f]{64}$", "import tells the id")
    o = ask("GET", "/images/imp:t/json")[2]
    is_((o["Comment"], o["Config"]["Cmd"]), ("why", ["true"]), "import's message and changes")
    with Wire(d, 60) as w:
        w.ask("POST", "/images/create?fromSrc=-&repo=imp&tag=u", Transfer_Encoding="chunked")
        for i in range(0, len(tar), 100000):
            piece = tar[i:i + 100000]
            w.send(b"%x\r\n%s\r\n" % (len(piece), piece))
        w.send("0\r\n\r\n")
        is_(w.answer()[0], 200, "import in chunks")
    for ref in ("imp:t", "imp:u"):
        ask("DELETE", "/images/" + ref)
    expect("pull", ask("POST", "/images/create?fromImage=busybox&tag=x"), 500,
           "docker.io: no such host")
    expect("pull of no name", ask("POST", "/images/create?fromImage=UP"), 400)
    expect("import from the net", ask("POST", "/images/create?fromSrc=http://x/"), 501)
    expect("create from nothing", ask("POST", "/images/create"), 400)
    got = ask("POST", "/images/create" + q(fromSrc="-", repo="UPPER"), tar)
    check(got[0] == 400 and "UPPER" in str(got[2]), "import with a wrong name", got)


@route("POST", "/images/prune")
def _():
    got = ask("POST", "/images/prune")
    is_((got[0], got[2]["SpaceReclaimed"]), (200, 0), "prune of images")
    expect("prune with a wrong filter", ask("POST", "/images/prune" + q(filters={"x": ["y"]})),
           400, "x")


@route("GET", "/system/df")
def _():
    with Sleeper() as c:
        df = ask("GET", "/system/df")[2]
        image = next(i for i in df["Images"] if "busybox:latest" in i["RepoTags"])
        is_((image["Containers"], image["SharedSize"], image["Size"]),
            (1, 0, df["LayersSize"]), "df: the image")
        check(df["LayersSize"] > 100000 and df["BlobsSize"] > 100000 and df["BlobsCount"] == 3,
              "df: layers and blobs", {k: v for k, v in df.items() if k != "Images"})
        row = next(i for i in df["Containers"] if i["Id"] == c)
        check(row["SizeRootFs"] == row["SizeRw"] + image["Size"], "df: the container", row)
        is_((df["Volumes"], df["BuildCache"]), ([], []), "df: what there is not")
    is_(sorted(ask("GET", "/system/df?type=image&type=volume")[2]),
        ["BlobsCount", "BlobsSize", "Images", "LayersSize", "RootsCount", "RootsSize", "Volumes"],
        "df of some types")
    expect("df of a wrong type", ask("GET", "/system/df?type=x"), 400, "unknown object type: x")
    old = ask("GET", "/v1.41/system/df")[2]
    check(old["BuilderSize"] == 0 and "VirtualSize" in old["Images"][0], "df as it was in 1.41")


@route("POST", "/system/check")
def _():
    got = ask("POST", "/system/check")
    check(got[0] == 200 and got[2]["Found"] == 0 and got[2]["Images"] == 1 and
          got[2]["Blobs"] == 3, "check of a good store", got)
    orphan = d.root + "/state/images/blobs/sha256/" + "a" * 64
    with open(orphan, "wb"):
        pass
    got = ask("POST", "/system/check")[2]
    is_([(p["Kind"], p["Repaired"]) for p in got["Problems"]], [("unreferenced", False)],
        "check of a store with a blob too much")
    got = ask("POST", "/system/check?repair=1")[2]
    check(got["Found"] == 1 and got["Left"] == 0 and not os.path.exists(orphan),
          "repair removes it", got)
    is_(ask("POST", "/system/check")[2]["Found"], 0, "the store is good")
    is_(ask("POST", "/system/check?deep=1")[2]["Found"], 0, "deeply, too")


def tar_of(files):
    b = io.BytesIO()
    with tarfile.open(fileobj=b, mode="w") as tar:
        for name, text in files.items():
            t = tarfile.TarInfo(name)
            t.size = len(text)
            tar.addfile(t, io.BytesIO(text.encode()))
    return b.getvalue()


@route("POST", "/build")
def _():
    body = tar_of({"Dockerfile": "FROM busybox\nENV built=1\n"})
    got = d.request("POST", "/build?t=built:1", body, {"Content-Type": "application/x-tar"}, timeout=60)
    check(got[0] == 200 and b"Successfully tagged built:1" in got[2], "a build", got)
    check("built=1" in ask("GET", "/images/built:1/json")[2]["Config"]["Env"], "makes an image")
    expect("a build with BuildKit", ask("POST", "/build?version=2"), 501, "DOCKER_BUILDKIT=0")
    expect("a build with squash", ask("POST", "/build?squash=1"), 400, "squash")
    ask("DELETE", "/images/built:1")


@route("POST", "/build/prune")
def _():
    is_(ask("POST", "/build/prune?all=1")[2], {"CachesDeleted": None, "SpaceReclaimed": 0},
        "prune of the build cache")


@route("POST", "/networks/prune")
def _():
    is_(ask("POST", "/networks/prune")[2], {"NetworksDeleted": None}, "prune of networks")


@route("GET", "/images/{name}/json")
def _():
    o = ask("GET", "/images/busybox/json")[2]
    is_((o["Os"], o["RepoTags"]), ("linux", ["busybox:latest"]), "inspect of an image")
    for ref in ("busybox:latest", "docker.io/library/busybox", o["Id"], o["Id"][7:19]):
        is_(ask("GET", "/images/%s/json" % ref)[2].get("Id"), o["Id"], "by " + ref[:20])
    expect("inspect of no image", ask("GET", "/images/a/b/c:d/json"), 404,
           "No such image: a/b/c:d")


@route("GET", "/images/get")
def _():
    status, fields, body = ask("GET", "/images/get?names=busybox")
    is_((status, fields["Content-Type"]), (200, "application/x-tar"), "save")
    check(b"manifest.json" in body and b"oci-layout" in body, "is both kinds of archive")
    body = ask("GET", "/images/get?names=busybox&format=oci-archive")[2]
    check(b"manifest.json" not in body and b"oci-layout" in body, "or OCI's alone")
    expect("no names", ask("GET", "/images/get"), 400, "names")
    expect("another form", ask("GET", "/images/get?names=busybox&format=zip"), 400, "zip")
    expect("one that is not there", ask("GET", "/images/get?names=busybox&names=none"), 404)


@route("GET", "/images/{name}/get")
def _():
    is_(ask("GET", "/images/busybox:latest/get")[0], 200, "save one")
    not_found("GET", "/images/{name}/get")


@route("GET", "/images/{name}/history")
def _():
    o = ask("GET", "/images/busybox/history")[2]
    is_((len(o), o[0]["Tags"], o[0]["Comment"]), (1, ["busybox:latest"], "Imported from -"), "history")
    not_found("GET", "/images/{name}/history")


@route("POST", "/images/{name}/push")
def _():
    expect("push of nothing", ask("POST", "/images/127.0.0.1:1/nothing/push?tag=x"), 404,
           "does not exist locally")
    expect("push of a digest", ask("POST", "/images/x@sha256:%s/push" % (64 * "a")), 400,
           "digest reference")
    ask("POST", "/images/busybox/tag?repo=127.0.0.1:1/box&tag=x")
    expect("push to nobody", ask("POST", "/images/127.0.0.1:1/box/push?tag=x"), 200,
           "127.0.0.1:1: ")
    expect("push of a platform", ask("POST", "/images/busybox/push?platform=x"), 400, "platform")
    ask("DELETE", "/images/127.0.0.1:1/box:x")


@route("POST", "/auth")
def _():
    expect("a log-in at nobody's", ask("POST", "/auth", {"serveraddress": "127.0.0.1:1"}), 500,
           "127.0.0.1:1: ")
    expect("a bad server", ask("POST", "/auth", {"serveraddress": "a b"}), 400, "is no registry")
    expect("a bad body", ask("POST", "/auth", [1]), 400)


@route("POST", "/commit")
def _():
    cid = create(d, "true")
    status, _, o = ask("POST", "/commit?container=%s&repo=made&tag=x&changes=CMD+true" % cid)
    is_((status, o["Id"][:7]), (201, "sha256:"), "commit")
    expect("a bad change", ask("POST", "/commit?container=%s&changes=RUN+x" % cid), 400, "RUN")
    expect("of nothing", ask("POST", "/commit?container=none"), 404)
    expect("no container", ask("POST", "/commit"), 400, "container")
    remove(d, cid)
    ask("DELETE", "/images/made:x")


@route("POST", "/images/{name}/tag")
def _():
    expect("tag", ask("POST", "/images/busybox/tag?repo=my.host:5000/a/b&tag=v"), 201)
    is_(ask("GET", "/images/my.host:5000/a/b:v/json")[0], 200, "it has the name")
    is_(ask("DELETE", "/images/my.host:5000/a/b:v")[2], [{"Untagged": "my.host:5000/a/b:v"}],
        "and not any more")
    expect("tag with no name", ask("POST", "/images/busybox/tag"), 400)
    expect("tag with a wrong name", ask("POST", "/images/busybox/tag?repo=A%20B"), 400)
    not_found("POST", "/images/{name}/tag?repo=x")


@route("DELETE", "/images/{name}")
def _():
    cid = create(d, "true")
    expect("remove an image in use", ask("DELETE", "/images/busybox"), 409)
    remove(d, cid)
    not_found("DELETE", "/images/{name}")


# ----------------------------------------------------------- networks and volumes

@route("GET", "/networks")
def _():
    is_(sorted(n["Name"] for n in ask("GET", "/networks")[2]), ["bridge", "host", "none"], "networks")
    got = ask("GET", "/networks" + q(filters={"driver": ["null"]}))[2]
    is_([n["Name"] for n in got], ["none"], "networks filtered")
    expect("networks with a wrong filter", ask("GET", "/networks" + q(filters={"x": ["y"]})), 400)


@route("GET", "/networks/{id}")
def _():
    o = ask("GET", "/networks/host")[2]
    is_(ask("GET", "/networks/" + o["Id"])[2]["Name"], "host", "inspect of a network")
    not_found("GET", "/networks/{id}")
    is_(ask("GET", "/networks/bridge?scope=local")[2]["Driver"], "bridge", "the default one")
    expect("of another scope", ask("GET", "/networks/bridge?scope=swarm"), 404)


@route("POST", "/networks/create")
def _():
    got = ask("POST", "/networks/create", {"Name": "lan", "Labels": {"a": "b"}, "Internal": True})
    expect("create of a network", got, 201, "Id")
    o = ask("GET", "/networks/" + got[2]["Id"][:12])[2]
    is_((o["Name"], o["Internal"], o["Labels"]), ("lan", True, {"a": "b"}), "it is there")
    expect("create of another of its name", ask("POST", "/networks/create", {"Name": "lan"}), 409)
    expect("create without a name", ask("POST", "/networks/create", {}), 400, "Name")
    expect("create without a body", ask("POST", "/networks/create"), 400)
    expect("create with IPv6", ask("POST", "/networks/create", {"Name": "six", "EnableIPv6": True}), 201)
    is_(ask("GET", "/networks/six")[2].get("EnableIPv6"), True, "is one with IPv6")
    ask("DELETE", "/networks/six")
    expect("create with an unknown field", ask("POST", "/networks/create",
                                               {"Name": "six", "Bogus": 1}), 400, "Bogus")
    expect("create of another driver", ask("POST", "/networks/create",
                                           {"Name": "six", "Driver": "overlay"}), 501, "overlay")
    ask("DELETE", "/networks/lan")


@route("DELETE", "/networks/{id}")
def _():
    ask("POST", "/networks/create", {"Name": "lan"})
    expect("removing a network", ask("DELETE", "/networks/lan"), 204)
    not_found("DELETE", "/networks/{id}")
    expect("removing one that every host has", ask("DELETE", "/networks/host"), 403)
    expect("removing the default one", ask("DELETE", "/networks/bridge"), 403)


@route("POST", "/networks/{id}/connect")
def _():
    ask("POST", "/networks/create", {"Name": "lan", "IPAM": {"Config": [{"Subnet": "10.9.0.0/24"}]}})
    id = create(d, "true")
    body = {"Container": id, "EndpointConfig": {"IPAMConfig": {"IPv4Address": "10.9.0.7"}}}
    expect("connecting", ask("POST", "/networks/lan/connect", body), 200)
    nets = ask("GET", "/containers/%s/json" % id)[2]["NetworkSettings"]["Networks"]
    is_(nets["lan"]["IPAMConfig"], {"IPv4Address": "10.9.0.7"}, "it is in it")
    expect("connecting twice", ask("POST", "/networks/lan/connect", body), 409)
    expect("removing it then", ask("DELETE", "/networks/lan"), 403, "active endpoints")
    expect("connecting nothing", ask("POST", "/networks/lan/connect", {"Container": "no"}), 404)
    expect("connecting to the host's", ask("POST", "/networks/host/connect", body), 403)
    not_found("POST", "/networks/{id}/connect")
    remove(d, id)
    ask("DELETE", "/networks/lan")


@route("POST", "/networks/{id}/disconnect")
def _():
    ask("POST", "/networks/create", {"Name": "lan"})
    id = create(d, "true")
    ask("POST", "/networks/lan/connect", {"Container": id})
    expect("disconnecting", ask("POST", "/networks/lan/disconnect", {"Container": id}), 200)
    expect("disconnecting twice", ask("POST", "/networks/lan/disconnect", {"Container": id}), 400)
    expect("disconnecting nothing", ask("POST", "/networks/lan/disconnect", {"Container": "no"}), 404)
    not_found("POST", "/networks/{id}/disconnect")
    remove(d, id)
    ask("DELETE", "/networks/lan")


@route("GET", "/networks/{id}/tap")
def _():
    ask("POST", "/networks/create", {"Name": "lan"})
    expect("a tap without an upgrade", ask("GET", "/networks/lan/tap"), 426, "Upgrade: tap")
    s, status, doc, fds = taplib.ask(d, "lan", name="mine")
    if os.path.exists("/dev/net/tun"):
        check(status == 101 and len(fds) == 1 and doc["Name"] == "mine", "a tap", (status, doc))
    else:
        check(status == 500 and "/dev/net/tun" in doc["message"], "a tap needs /dev/net/tun", doc)
    s.close()
    for fd in fds:
        os.close(fd)
    expect("a tap of none", ask("GET", "/networks/none/tap"), 403, "none")
    not_found("GET", "/networks/{id}/tap")
    check(wait_for(10, lambda: ask("DELETE", "/networks/lan")[0] == 204), "then the network goes")


@route("GET", "/volumes")
def _():
    is_(ask("GET", "/volumes")[2], {"Volumes": [], "Warnings": None}, "volumes")
    expect("volumes with a wrong filter", ask("GET", "/volumes" + q(filters={"x": ["y"]})), 400)


@route("POST", "/volumes/create")
def _():
    got = ask("POST", "/volumes/create", {"Name": "rv", "Labels": {"a": "b"}})
    expect("make a volume", got, 201)
    o = got[2]
    is_((o["Name"], o["Driver"], o["Labels"]), ("rv", "local", {"a": "b"}), "the new volume")
    expect("a bad name", ask("POST", "/volumes/create", {"Name": "../x"}), 400)
    expect("a driver there is not", ask("POST", "/volumes/create", {"Driver": "nfs"}), 404)
    expect("options", ask("POST", "/volumes/create", {"DriverOpts": {"size": "1g"}}), 501, "size")


@route("GET", "/volumes/{name}")
def _():
    is_(ask("GET", "/volumes/rv")[2]["Mountpoint"], T + "/state/volumes/rv/_data", "inspect a volume")
    not_found("GET", "/volumes/{name}")


@route("POST", "/volumes/{name}/snapshots")
def _():
    expect("snapshot", ask("POST", "/volumes/rv/snapshots", {"Name": "s1"}), 201)
    expect("snapshot twice", ask("POST", "/volumes/rv/snapshots", {"Name": "s1"}), 409)
    expect("snapshot without a name", ask("POST", "/volumes/rv/snapshots", {}), 400, "Name")
    expect("snapshot with a wrong type", ask("POST", "/volumes/rv/snapshots", {"Name": 1}), 400, "Name")
    not_found("POST", "/volumes/{name}/snapshots")


@route("GET", "/volumes/{name}/snapshots")
def _():
    got = ask("GET", "/volumes/rv/snapshots")
    is_([s["Name"] for s in got[2]["Snapshots"]], ["s1"], "snapshots")
    not_found("GET", "/volumes/{name}/snapshots")


@route("POST", "/volumes/{name}/restore")
def _():
    expect("restore", ask("POST", "/volumes/rv/restore", {"Snapshot": "s1"}), 200)
    expect("restore what is not there", ask("POST", "/volumes/rv/restore", {"Snapshot": "s2"}), 404, "s2")
    expect("restore nothing", ask("POST", "/volumes/rv/restore", {}), 400, "Snapshot")
    not_found("POST", "/volumes/{name}/restore")


@route("POST", "/volumes/{name}/clone")
def _():
    got = ask("POST", "/volumes/rv/clone", {"Name": "rv2", "Snapshot": "s1", "Labels": {"a": "b"}})
    expect("clone", got, 201)
    is_((got[2]["Name"], got[2]["Labels"]), ("rv2", {"a": "b"}), "the new volume")
    expect("clone to a name in use", ask("POST", "/volumes/rv/clone", {"Name": "rv2"}), 409, "rv2")
    expect("remove the clone", ask("DELETE", "/volumes/rv2"), 204)
    not_found("POST", "/volumes/{name}/clone")


@route("DELETE", "/volumes/{name}/snapshots")
def _():
    expect("remove a snapshot", ask("DELETE", "/volumes/rv/snapshots?name=s1"), 204)
    expect("twice", ask("DELETE", "/volumes/rv/snapshots?name=s1"), 404)
    expect("without a name", ask("DELETE", "/volumes/rv/snapshots"), 400, "name")
    not_found("DELETE", "/volumes/{name}/snapshots")


@route("DELETE", "/volumes/{name}")
def _():
    expect("remove a volume", ask("DELETE", "/volumes/rv"), 204)
    expect("twice", ask("DELETE", "/volumes/rv"), 404)
    expect("with force it need not be there", ask("DELETE", "/volumes/rv?force=true"), 204)


@route("POST", "/volumes/prune")
def _():
    name = ask("POST", "/volumes/create", {})[2]["Name"]
    got = ask("POST", "/volumes/prune")
    expect("prune volumes", got, 200)
    is_((got[2]["VolumesDeleted"], got[2]["SpaceReclaimed"]), ([name], 0), "what went")
    expect("prune with a wrong filter", ask("POST", "/volumes/prune" + q(filters={"x": ["y"]})), 400)


# -------------------------------------------------------------------- all of them

def rows():
    for path, item in d.request("GET", "/openapi.json")[2]["paths"].items():
        for method in item:
            yield method.upper(), path


# those of VMs are in test_vm_routes.py
ROWS = [r for r in rows() if not r[1].startswith("/vms/")]
is_([r for r in ROWS if r not in TESTS], [], "each route has a test")
is_([r for r in TESTS if r not in ROWS], [], "each test has a route")
for row, test in TESTS.items():
    try:
        test()
    except Exception as e:
        not_ok("%s %s" % row, "%s: %s" % (type(e).__name__, e))
        if not d.ping():
            diag("isolad is gone:\n" + d.log_tail())
            break
for path, word in (("/containers/x/attach/ws", "WebSocket"),
                   ("/swarm/init", "Swarm"), ("/session", "BuildKit"),
                   ("/secrets/create", "Swarm")):
    expect("unsupported: " + path, ask("POST", path), 501, word)
expect("no such path", ask("GET", "/nothing"), 404, "page not found")
expect("no such method", ask("PUT", "/version"), 405, "allowed: GET")
leak_check()
stop_isolad()
finish()
