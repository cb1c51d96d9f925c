# SPDX-License-Identifier: Apache-2.0
# time limit: 180 s
#
# Ports published and withdrawn while a container runs: reached at once, not reached any
# more, kept over restarts of the container and of isolad, and all or nothing.
import os
import signal
import sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/..")
from lib import *
from netlib import *

need_root()
need_program("isolad", "ctrctl", "isola-keeper", "isola-image")
need_network()
FLAGS = ("--default-network", "bridge")
d = start_isolad(*FLAGS)
if not d:
    not_ok("isolad starts")
    finish()
out = Outside(d)
busybox_tar(T + "/root.tar")
d.ctr("import", T + "/root.tar", "busybox")
leak_mark()
SERVE = "while true; do echo hello-$0 | nc -l -p $1; done"


def update(*argv):
    return d.ctr("update", *argv)


def post(**body):
    return d.request("POST", "/containers/web/update", body)


def published():
    # numbers where there is no /etc/protocols
    return sorted(re.findall(r"(tcp|udp|6|17) \. (\d+) : [0-9.]+ \. (\d+)", rules(d)))


def ports(*pairs):
    """published() as (host, inside), whatever the protocol is called."""
    return sorted((str(a), str(b)) for a, b in pairs)


def now():
    return sorted((a, b) for _, a, b in published())


def reached(port, where=out.host_address):
    return wait_for(10, lambda: in_namespace(out.process.pid, tcp_read, where, port))


def inspect(name="web"):
    return d.request("GET", "/containers/%s/json" % name)[2]


d.ctr("run", "-d", "--name", "web", "-p", "8080:80", "busybox", "sh", "-c",
      SERVE + " & while true; do echo more | nc -l -p 81; done", "web", "80")
is_(reached(8080), "hello-web\n", "a port is published at the start")

# ---- one more, one less
r = update("--publish-add", "8081:81", "web")
is_((r.rc, r.out), (0, "web\n"), "a port is added", r)
is_(reached(8081), "more\n", "it answers")
is_(reached(8080), "hello-web\n", "and so does the other")
is_(inspect()["NetworkSettings"]["Ports"],
    {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}],
     "81/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8081"}]}, "inspect shows both")
is_(d.ctr("port", "web", "81").out.split()[-1], "0.0.0.0:8081", "ctrctl port, too")
is_(update("--publish-rm", "8080:80", "web").rc, 0, "one is withdrawn")
is_(now(), ports((8081, 81)), "its rule is gone")
r = d.ctr("run", "-d", "--name", "other", "-p", "8080:80", "busybox", "sh", "-c", SERVE, "other", "80")
is_(r.rc, 0, "the port is another's to have", r)
is_(reached(8080), "hello-other\n", "who answers now")

# ---- all or nothing
before = (now(), inspect()["HostConfig"]["PortBindings"], inspect()["NetworkSettings"])
for argv, text in [
        (["--publish-add", "9000:81", "--publish-add", "8080:81"], "8080"),
        (["--publish-add", "9000-9001:81-82", "--publish-add", "8081:80"], "8081"),
        (["--publish-rm", "8081:81", "--publish-add", "8080:81"], "8080"),
        (["--publish-rm", "8081:81", "--publish-rm", "99"], "99/tcp is not published"),
        (["--publish-rm", "8082:81"], "81/tcp is not published at 8082"),
        (["--publish-rm", "10.9.9.9::81"], "81/tcp is not published at 10.9.9.9"),
        (["--publish-rm", "8081:81/udp"], "81/udp is not published"),
        (["--publish-add", "10.9.9.9:9000:81"], "10.9.9.9"),
        (["--publish-add", "nonsense"], "--publish-add"),
        (["--publish-rm", "70000"], "--publish-rm")]:
    r = update(*argv, "web")
    check(r.rc == 1 and text in r.err, "refused: " + " ".join(argv), r)
    is_((now(), inspect()["HostConfig"]["PortBindings"], inspect()["NetworkSettings"]), before,
        "and nothing changed")
got = post(PublishAdd={"82/tcp": [{}]}, Memory=1 << 26)
check(got[0] == 400 and "two updates" in got[2]["message"], "it goes alone", got)
got = post(PublishAdd={"82/tcp": "x"})
check(got[0] == 400 and "PublishAdd (--publish-add)" in got[2]["message"], "a bad type", got)
got = post(PublishAdd={"82/sctp": [{}]})
check(got[0] >= 400 and "sctp" in got[2]["message"], "a bad protocol", got)
is_((now(), inspect()["NetworkSettings"]), (before[0], before[2]), "nothing changed by these")
r = run("nsenter", "--net=/proc/%d/ns/net" % d.pid, "--", sys.executable, "-c",
        "import socket; s = socket.socket(); s.bind(('', 9000)); t = socket.socket(); t.bind(('', 9001))")
is_(r.rc, 0, "ports of refused updates are free", r)

# ---- a port moves within one update, and ranges, addresses, udp
is_(update("--publish-rm", "8081:81", "--publish-add", "8081:80", "web").rc, 0, "a port moves")
is_(now(), ports((8080, 80), (8081, 80)), "in one go")
is_(reached(8081), "hello-web\n", "and answers")
is_(update("--publish-add", "9000-9002:90-92", "--publish-add", "7000:70/udp",
           "--publish-add", out.host_address + ":9100:81", "web").rc, 0, "ranges, udp, an address")
is_(reached(9100), "more\n", "on that address")
echo = Echo(inspect()["State"]["Pid"], 70)
is_(wait_for(10, lambda: in_namespace(out.process.pid, udp_echo, out.host_address, 7000)), "ping",
    "udp answers")
echo.close()
is_(update("--publish-rm", "9000-9002:90-92", "--publish-rm", "70/udp", "web").rc, 0,
    "ranges and udp go, wherever they were")
is_(now(), ports((8080, 80), (8081, 80), (9100, 81)), "all of them")
is_(update("--publish-add", "82", "web").rc, 0, "any free port")
port = inspect()["NetworkSettings"]["Ports"]["82/tcp"][0]["HostPort"]
check(("82") in [b for _, b in now()] and int(port) > 0, "is there", now())

# ---- it lasts
d.stop(signal.SIGKILL)
is_(reached(8081), "hello-web\n", "they answer without isolad")
check(d.start(*FLAGS), "isolad starts again")
check(wait_for(10, lambda: ports((8080, 80), (8081, 80), (port, 82), (9100, 81)) == now()), "the rules are there", now())
is_(reached(8081), "hello-web\n", "and answer")
is_(reached(9100), "more\n", "the one on an address, too")
d.ctr("restart", "-t", "0", "web")
is_(reached(8081), "hello-web\n", "after a restart of the container")
is_(reached(9100), "more\n", "the address, too")
is_(update("--publish-rm", "82", "web").rc, 0, "the free one goes")

# ---- one that does not run
d.ctr("stop", "-t", "0", "web")
is_(update("--publish-rm", "80", "--publish-add", "8085:80", "web").rc, 0, "changed while stopped")
check(wait_for(10, lambda: now() == ports((8080, 80))), "no rule before its start", now())
check(update("--publish-rm", "80/udp", "web").rc == 1, "what is not there cannot go")
is_(d.ctr("start", "web").rc, 0, "it starts")
is_(reached(8085), "hello-web\n", "and answers there")
check(("8081", "80") not in now(), "and not at the old one", now())

# ---- without a network
d.ctr("run", "-d", "--name", "lone", "--network", "none", "busybox", "sleep", "1000")
r = update("--publish-add", "8099:80", "lone")
check(r.rc == 1 and "no network that publishes" in r.err, "none publishes nothing", r)

# ---- it ends while ports change: nothing is left
for i in range(5):
    d.ctr("run", "-d", "--rm", "--name", "short", "-p", "8200:80", "busybox", "sleep", "1000")
    a = subprocess.Popen([BUILD + "/ctrctl", "-H", "unix://" + d.socket, "update", "--publish-add",
                          "8201-8210:81-90", "short"], stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL)
    d.ctr("kill", "short")
    a.wait()
    wait_for(20, lambda: d.request("GET", "/containers/short/json")[0] == 404)
check(wait_for(10, lambda: [p for p in now() if p[0].startswith("82")] == []),
      "no port of what ended is left", now())
for name in ("web", "other", "lone"):
    d.ctr("rm", "-f", name)
check(wait_for(10, lambda: now() == []), "all are gone")
check(wait_for(20, lambda: "isola0" not in links(d)), "the bridge, too")
leak_check()
d.stop()
finish()
