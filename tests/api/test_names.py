# SPDX-License-Identifier: Apache-2.0
# time limit: 240 s
#
# Names of containers: for each other in one network, of others from the host's name
# server, by UDP and TCP; and who must not learn or break what.
import json
import os
import shutil
import signal
import socket
import sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/..")
from lib import *
from netlib import *
from namelib import *

need_root()
need_program("isolad", "ctrctl", "isola-keeper", "isola-image", "isola-resolver")
need_network()
for program in ("dnsmasq", "dig"):
    if not shutil.which(program):
        skip_all(program + " is not installed")
conf = own_resolv_conf("search lan.example\nnameserver %s\noptions edns0\n" % SERVER)

d = start_isolad("--default-network", "bridge")
if not d:
    not_ok("isolad starts")
    finish()
leak_mark()
up = Upstream(d.netns.pid)
busybox_tar(T + "/root.tar")
check(d.ctr("import", T + "/root.tar", "busybox").rc == 0, "an image is imported")


def inspect(name):
    return d.request("GET", "/containers/%s/json" % name)[2]


def pid_of(name):
    return inspect(name)["State"]["Pid"]


def place(name, network):
    return inspect(name)["NetworkSettings"]["Networks"][network]


def start(name, *flags):
    r = d.ctr("run", "-d", "--name", name, *flags, "busybox", "sleep", "1000")
    return check(r.rc == 0, "%s runs" % name, r)


def asks(name, what, qtype=1):
    return in_namespace(pid_of(name), ask_text, "127.0.0.11", what, qtype)


def dig(name, *argv):
    return run("nsenter", "--net=/proc/%d/ns/net" % pid_of(name), "--", "dig", "@127.0.0.11",
               "+tries=2", "+time=5", *argv).out


for argv in [("blue",), ("green",), ("--internal", "shut")]:
    check(d.ctr("network", "create", *argv).rc == 0, "network create " + " ".join(argv))
start("web", "--network", "blue", "--network-alias", "site", "--network-alias", "All",
      "--hostname", "front")
start("db", "--network", "blue", "--network-alias", "all")
start("other", "--network", "green", "--dns", "10.255.255.1")
start("closed", "--network", "shut")
start("plain")
web, db = place("web", "blue"), place("db", "blue")
short = inspect("web")["Id"][:12]

# ---- names of members

for name in ("web", "site", short, "front", "web.blue", "WEB", "Site.Blue"):
    is_(asks("db", name), "0:" + web["IPAddress"], "a member has the name " + name)
r = d.ctr("exec", "db", "nslookup", "web.")
like(r.out, re.escape(web["IPAddress"]), "busybox finds it")
r = d.ctr("exec", "db", "ping", "-c", "1", "-W", "5", "site")
check("permission" in r.err or "(%s)" % web["IPAddress"] in r.out, "and by the C library's way", r)
out = dig("db", "+short", "all")
is_(sorted(out.split()), sorted([web["IPAddress"], db["IPAddress"]]), "two have one alias")
is_(dig("db", "+short", "-x", web["IPAddress"]), "web.blue.\n", "an address has a name")
is_(asks("db", "web", 28), "0:", "no IPv6 address is not an error")
is_(asks("db", "web", 16), "0:", "nor another kind of record")
is_(dig("db", "+short", "+tcp", "web"), web["IPAddress"] + "\n", "by TCP")
is_(web["Aliases"], ["site", "All"], "inspect shows the aliases")
is_(web["DNSNames"], ["web", "site", "All", short, "front"], "and all names")
is_(asks("web", "web"), "0:" + web["IPAddress"], "its own name")

is_(asks("other", "other"), "0:" + place("other", "green")["IPAddress"], "another network's members")
is_(asks("closed", "web"), "3:", "names are for members only")
is_(asks("closed", "closed"), "0:" + place("closed", "shut")["IPAddress"], "an internal network has names")
is_(asks("closed", "a.up.example"), "3:", "and nothing else")


def serve_too(what):
    """Port 53 of all addresses, as a name server of the container's own has it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as u, socket.socket() as t:
        u.bind(("", 53))
        t.bind(("", 53))
        t.listen()
        return ask_text("127.0.0.11", what)


is_(in_namespace(pid_of("db"), serve_too, "web"), "0:" + web["IPAddress"],
    "port 53 is free for a name server of the container's own")
check(not up.asked(" web from"), "names of members are not told to the host's server")

# ---- files

text = d.ctr("exec", "web", "cat", "/etc/resolv.conf").out
is_(text, "search lan.example\noptions edns0\nnameserver 127.0.0.11\noptions ndots:0\n", "resolv.conf")
text = d.ctr("exec", "plain", "cat", "/etc/resolv.conf").out
is_(text, "search lan.example\noptions edns0\n", "the default network has no names, as with Docker")
text = d.ctr("run", "--rm", "--network", "blue", "--dns", "10.9.9.9", "--dns-option", "ndots:3",
             "--dns-search", "x.example", "busybox", "cat", "/etc/resolv.conf").out
is_(text, "nameserver 127.0.0.11\nsearch x.example\noptions ndots:3\n", "with --dns")
r = d.ctr("create", "--network", "blue", "--network-alias", "a b", "busybox", "true")
check(r.rc == 125 and "--network-alias" in r.err, "what is no name is refused", r)

# ---- names of others

is_(asks("web", "a.up.example"), "0:192.0.2.7", "the host's server is asked")
is_(asks("web", "none.example"), "3:", "and its no is passed on")
out = dig("web", "+noedns", "+ignore", "TXT", "big.example")
like(out, r"flags:[^;]* tc[ ;]", "a long answer is cut")
check("ANSWER: 0" in out, "to nothing", out)
is_(dig("web", "+noedns", "+short", "TXT", "big.example").count("x" * 200), len(BIG), "whole by TCP")
is_(dig("web", "+bufsize=4096", "+short", "+notcp", "TXT", "big.example").count("x" * 200), len(BIG),
    "or by UDP, for who takes it")
second = Upstream(d.netns.pid, "127.0.0.54", "--address=/new.example/192.0.2.9")
with open(conf, "w") as f:
    f.write("nameserver 127.0.0.54\n")
check(wait_for(15, lambda: asks("web", "new.example") == "0:192.0.2.9"),
      "another resolv.conf of the host counts at once")
third = Upstream(d.netns.pid, "127.0.0.55", "--address=/own.example/192.0.2.11")
start("owndns", "--network", "blue", "--dns", "127.0.0.55")
is_(asks("owndns", "own.example"), "0:192.0.2.11", "--dns is asked instead")
is_(asks("owndns", "web"), "0:" + web["IPAddress"], "for names of others")

# ---- changes

d.ctr("network", "connect", "--alias", "guest", "green", "db")
is_(asks("other", "guest"), "0:" + place("db", "green")["IPAddress"], "network connect --alias")
is_(asks("db", "other"), "0:" + place("other", "green")["IPAddress"], "it knows both networks")
d.ctr("network", "disconnect", "green", "db")
check(asks("db", "other") != "0:" + place("other", "green")["IPAddress"], "and one after disconnect")
d.ctr("rename", "db", "store")
is_(asks("web", "store"), "0:" + db["IPAddress"], "a new name")
isnt(asks("web", "db"), "0:" + db["IPAddress"], "the old one is gone")
d.ctr("network", "connect", "blue", "plain")
is_(asks("plain", "web"), "0:" + web["IPAddress"], "one of the default network joins")


def file_of(name, path):
    return d.ctr("exec", name, "cat", path).out


own = place("plain", "blue")["IPAddress"]
like(file_of("plain", "/etc/hosts"), r"\n%s\t%s\n%s\t" % (
    re.escape(place("plain", "bridge")["IPAddress"]), inspect("plain")["Config"]["Hostname"],
    re.escape(own)), "its hosts file follows")
like(file_of("plain", "/etc/resolv.conf"), "nameserver 127.0.0.11\n", "and its resolv.conf")
d.ctr("network", "disconnect", "blue", "plain")
check(own not in file_of("plain", "/etc/hosts"), "also when it leaves")
check("127.0.0.11" not in file_of("plain", "/etc/resolv.conf"), "in both files")
d.ctr("exec", "plain", "sh", "-c", "echo '# mine' >> /etc/hosts")
d.ctr("network", "connect", "blue", "plain")
like(file_of("plain", "/etc/hosts"), r"# mine\n$", "what a container wrote itself stays")
like(file_of("plain", "/etc/resolv.conf"), "nameserver 127.0.0.11\n", "the other file follows")
d.ctr("stop", "-t", "0", "store")
isnt(asks("web", "store"), "0:" + db["IPAddress"], "who does not run has no name")
d.ctr("start", "store")
is_(asks("web", "store"), "0:" + place("store", "blue")["IPAddress"], "and has it again")

# ---- who asks too much


def hostile(address):
    socks = [socket.create_connection((address, 53), 5) for _ in range(60)]
    for i, s in enumerate(socks):
        try:
            s.send([b"\xff\xff", b"\0\x20abc", b"\0\0", b"\0\x0c" + b"\0" * 12][i % 4])
        except OSError:
            pass
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as u:
        u.connect((address, 53))
        for i in range(3000):
            try:
                u.send([b"", b"\0" * 11, b"\xff" * 500, os.urandom(60), message("x" * 60),
                        message("a.up.example")[:-1], b"\0" * 9000, message("web", 255)][i % 8])
            except OSError:
                pass
    return "done"


before = resolver_pid(d)
is_(in_namespace(pid_of("web"), hostile, "127.0.0.11"), "done", "a hostile client has its way")
is_(asks("store", "web"), "0:" + web["IPAddress"], "others are answered")
check(wait_for(15, lambda: asks("web", "web") == "0:" + web["IPAddress"]), "and so is it")
is_(resolver_pid(d), before, "by the same process")
out = in_namespace(pid_of("web"), ask_many, "127.0.0.11", ["web", "store", "a.up.example"], 10000)
is_(out, "10000", "10,000 queries are answered")

status = open("/proc/%d/status" % before).read()
like(status, r"Uid:\t65534\t65534\t65534\t65534", "the resolver is nobody")
like(status, r"(?s)CapPrm:\t0+\n.*CapBnd:\t0+\n", "without capabilities")
like(status, r"Seccomp:\t2", "and with a filter")
is_(os.listdir("/proc/%d/root" % before), [], "it sees no file")

is_(d.ctr("rm", "-f", "web", "store", "other", "closed", "plain", "owndns").rc, 0, "all are removed")
d.ctr("network", "prune", "-f")
for server in (up, second, third):
    server.close()
leak_check()
check(d.stop() == 0, "isolad ends")
finish()
