# SPDX-License-Identifier: Apache-2.0
# time limit: 240 s
#
# isola-resolver and isolad are killed while containers ask for names: each query is
# answered in the end, and nothing is left when they are gone.
import os
import shutil
import signal
import sys
import time
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/..")
from lib import *
from netlib import *
from namelib import *

need_root()
need_program("isolad", "ctrctl", "isola-keeper", "isola-image", "isola-resolver")
need_network()
if not shutil.which("dnsmasq"):
    skip_all("dnsmasq is not installed")
own_resolv_conf("nameserver %s\n" % SERVER)

d = start_isolad()
if not d:
    not_ok("isolad starts")
    finish()
leak_mark()
up = Upstream(d.netns.pid)
busybox_tar(T + "/root.tar")
d.ctr("import", T + "/root.tar", "busybox")
d.ctr("network", "create", "blue")


def inspect(name):
    return d.request("GET", "/containers/%s/json" % name)[2]


def start(name, *flags):
    r = d.ctr("run", "-d", "--name", name, "--network", "blue", *flags, "busybox", "sleep", "1000")
    return check(r.rc == 0, "%s runs" % name, r)


start("web")
start("asker")
web = "0:" + inspect("web")["NetworkSettings"]["Networks"]["blue"]["IPAddress"]
asker = inspect("asker")["State"]["Pid"]


def asks(what):
    return in_namespace(asker, ask_text, "127.0.0.11", what)


class Asking:
    """A stream of queries in the background, each asked again until it is answered."""

    def __init__(self, count):
        self.read, write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            fd = os.open("/proc/%d/ns/net" % asker, os.O_RDONLY)
            libc.setns(fd, CLONE_NEWNET)
            os.write(write, b"+")
            good = 0
            for i in range(count):
                for _ in range(30):
                    if ask_text("127.0.0.11", ["web", "a.up.example"][i % 2], seconds=1) in \
                            (web, "0:192.0.2.7"):
                        good += 1
                        break
                time.sleep(0.001)
            os.write(write, str(good).encode())
            os._exit(0)
        os.close(write)
        os.read(self.read, 1)

    def answered(self):
        text = os.read(self.read, 100).decode()
        os.close(self.read)
        os.waitpid(self.pid, 0)
        return text


is_(asks("web"), web, "names are there")

# ---- the resolver is killed

stream = Asking(500)
for i in range(3):
    before = wait_for(20, resolver_pid, d)
    check(before > 0, "there is a resolver")
    os.kill(before, signal.SIGKILL)
    check(wait_for(20, lambda: resolver_pid(d) not in (0, before)), "killed, there is another")
    is_(asks("web"), web, "it knows the same names")
is_(stream.answered(), "500", "no query was lost")
os.kill(resolver_pid(d), signal.SIGSTOP)
stopped = resolver_pid(d)
check(start("late"), "one that hangs holds nothing up")
os.kill(stopped, signal.SIGKILL)
check(wait_for(20, lambda: asks("late") not in (None, "3:")), "and after it all is well")

# ---- isolad is killed

stream = Asking(500)
before = wait_for(20, resolver_pid, d)
d.stop(signal.SIGKILL)
is_(asks("web"), web, "names are there without isolad")
is_(asks("a.up.example"), "0:192.0.2.7", "those of others, too")
check(d.start(), "isolad starts again")
check(wait_for(20, lambda: resolver_pid(d) not in (0, before)), "there is a new resolver")
check(wait_for(20, lambda: not is_running(before)), "the old one has ended")
is_(asks("web"), web, "names are the same")
is_(stream.answered(), "500", "no query was lost")
start("new")
is_(asks("new"), "0:" + inspect("new")["NetworkSettings"]["Networks"]["blue"]["IPAddress"],
    "new ones are known")

# ---- isolad ends and comes back

before = resolver_pid(d)
is_(d.stop(), 0, "isolad ends")
is_(asks("web"), web, "names are there without it")
check(d.start(), "it starts again")
check(wait_for(20, lambda: not is_running(before)), "the old resolver has ended")
is_(asks("web"), web, "names are the same")

# ---- containers end while there is no isolad

resolver = resolver_pid(d)
pids = [inspect(n)["State"]["Pid"] for n in ("web", "new", "late")]
d.stop(signal.SIGKILL)
for pid in pids:
    os.kill(pid, signal.SIGKILL)
check(wait_for(20, lambda: asks("web") != web), "who has ended has no name, without isolad")
check(is_running(resolver), "the resolver is there for who runs")
os.kill(asker, signal.SIGKILL)
check(wait_for(20, lambda: not is_running(resolver)), "and ends with the last one")
check(d.start(), "isolad starts again")
is_(d.ctr("rm", "-f", "web", "asker", "late", "new").rc, 0, "all are removed")

# ---- a keeper is killed; a start after all that

start("web")
resolver = wait_for(20, resolver_pid, d)
os.kill(inspect("web")["Isola"]["KeeperPid"], signal.SIGKILL)
check(wait_for(20, lambda: not inspect("web")["State"]["Running"]), "a keeper is killed")
d.ctr("rm", "-f", "web")
check(wait_for(20, lambda: not is_running(resolver)), "the resolver ends when nobody needs it")
up.close()
d.ctr("network", "rm", "blue")
leak_check()
finish()
