# SPDX-License-Identifier: Apache-2.0
# time limit: 120 s
# not in the lab: its host has no such servers
#
# Real servers in containers, and real clients: nginx behind a published port, with busybox's
# httpd behind it by name, and iperf3 by TCP and UDP. dnsmasq is in test_names.py.
import hashlib
import json
import os
import shutil
import sys
import urllib.request
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/..")
from lib import *
from netlib import *

need_root()
need_program("isolad", "ctrctl", "isola-keeper", "isola-image", "isola-resolver")
need_network()
NGINX, IPERF = (p if p and os.access(p, os.X_OK) else None for p in ("/usr/sbin/nginx", shutil.which("iperf3")))
if not NGINX and not IPERF:
    skip_all("needs nginx or iperf3")

d = start_isolad("--default-network", "bridge")
if not d:
    not_ok("isolad starts")
    finish()
out = Outside(d)
OUT = out.process.pid
leak_mark()


def image(name, *programs):
    """busybox and these programs of the host's, with their libraries."""
    busybox_tar(T + "/root.tar")
    names = [os.path.realpath(p) for p in programs if p]
    for p in list(names):
        names += [w for line in run("ldd", p).out.splitlines() for w in line.split() if w.startswith("/")]
    # where the loader looks for them, whatever /lib is on the host
    run("tar", "rhf", T + "/root.tar", "--", *sorted(set(names)))
    r = d.ctr("import", T + "/root.tar", name)
    is_(r.rc, 0, "an image with %s" % " ".join(os.path.basename(p) for p in programs if p), r)
    os.unlink(T + "/root.tar")


def address(name, network):
    return d.request("GET", "/containers/%s/json" % name)[2]["NetworkSettings"]["Networks"][network]["IPAddress"]


def get(addr, port, path):
    with urllib.request.urlopen("http://%s:%d%s" % (addr, port, path), timeout=10) as answer:
        data = answer.read()
        return "%s %d %s" % (answer.headers.get("Server", ""), len(data), hashlib.sha256(data).hexdigest())


def fetched(pid, addr, port, path):
    """The first answer there, for somebody may be about to listen."""
    return wait_for(15, lambda: in_namespace(pid, get, addr, port, path)) or ""


os.makedirs(T + "/files")
blob = os.urandom(8 << 20)
with open(T + "/files/blob", "wb") as f:
    f.write(blob)
want = "%d %s" % (len(blob), hashlib.sha256(blob).hexdigest())
is_(d.ctr("network", "create", "--subnet", "10.88.0.0/24", "web").rc, 0, "a network")
image("servers", NGINX, IPERF)
r = d.ctr("run", "-d", "--name", "files", "--network", "web", "-v", T + "/files:/www:ro", "-p", "8001:80", "servers",
          "httpd", "-f", "-p", "80", "-h", "/www")
is_(r.rc, 0, "busybox's httpd runs", r)
like(fetched(OUT, out.host_address, 8001, "/blob"), " " + want, "a file of 8 MiB from outside")
like(fetched(d.netns.pid, "127.0.0.1", 8001, "/blob"), " " + want, "and by the host's loopback")

# ---- nginx, which passes on to the other by its name

CONF = """daemon off; user nobody nogroup; pid /tmp/pid; error_log stderr; worker_processes 2;
events { worker_connections 64; }
http { access_log /dev/stdout; client_body_temp_path /tmp/a; proxy_temp_path /tmp/b;
  fastcgi_temp_path /tmp/c; uwsgi_temp_path /tmp/d; scgi_temp_path /tmp/e;
  resolver 127.0.0.11 valid=1s;
  server { listen 80; root /www; location /files/ { set $to files; proxy_pass http://$to:80/blob; } } }
"""
if not NGINX:
    skip("nginx answers", "there is no nginx (package nginx-light)")
else:
    with open(T + "/nginx.conf", "w") as f:
        f.write(CONF)
    r = d.ctr("run", "-d", "--name", "front", "--network", "web", "-p", "8002:80", "--tmpfs", "/var/log/nginx",
              "-v", T + "/nginx.conf:/nginx.conf:ro", "-v", T + "/files:/www:ro", "servers", NGINX, "-c", "/nginx.conf")
    is_(r.rc, 0, "nginx runs", r)
    like(fetched(OUT, out.host_address, 8002, "/blob") or repr(d.ctr("logs", "front")), "^nginx.* " + want, "it answers outside")
    like(fetched(OUT, out.host_address, 8002, "/files/x"), "^nginx.* " + want, "what it asks of the other by its name")
    like(fetched(d.netns.pid, "127.0.0.1", 8002, "/blob"), "^nginx.* " + want, "the host's loopback")
    inside = d.request("GET", "/containers/files/json")[2]["State"]["Pid"]
    like(fetched(inside, out.host_address, 8002, "/blob"), "^nginx.* " + want, "another container, by the host's address")
    log = wait_for(10, lambda: (lambda t: t if t.count("GET") >= 4 else "")(d.ctr("logs", "front").out))
    like(log, r"(?m)^%s - .*GET /blob" % out.address.replace(".", r"\."), "it logs the client's own address")
    like(log, r"(?m)^10\.88\.0\.1 - .*GET /blob", "and the gateway's for who asks by the loopback")

# ---- iperf3

if not IPERF:
    skip("iperf3 through a published port", "there is no iperf3")
else:
    r = d.ctr("run", "-d", "--name", "perf", "--network", "web", "-p", "8003:5201", "-p", "8003:5201/udp", "servers",
              IPERF, "-s")
    is_(r.rc, 0, "iperf3 runs", r)

    def measured(*flags):
        """What the server got, in bytes, and the loss. None when it did not take the connection:
        with -J iperf3 says so in its answer, and ends with 0 all the same."""
        r = run("nsenter", "--net=/proc/%d/ns/net" % OUT, "--", IPERF, "-J", "-c", out.host_address, "-p", "8003", *flags)
        answer = json.loads(r.out) if r.out.strip() else {}
        s = answer.get("end", {}).get("sum_received") or answer.get("end", {}).get("sum")
        return (s.get("bytes", 0), s.get("lost_packets", 0)) if r.rc == 0 and s and "error" not in answer else None

    # By time, not by bytes: of what took milliseconds iperf3's server may report nothing.
    got = wait_for(15, lambda: measured("-t", "1"))
    check(got and got[0] >= 16 << 20, "a second of TCP from outside: 16 MiB and more", got)
    got = wait_for(15, lambda: measured("-t", "1", "-R"))
    check(got and got[0] >= 16 << 20, "and the other way", got)
    got = wait_for(15, lambda: measured("-u", "-b", "20M", "-n", "1M"))
    check(got and got[0] >= 1 << 19, "1 MiB by UDP", got)

for name in ("front", "files", "perf"):
    if d.request("GET", "/containers/%s/json" % name)[0] == 200:
        is_(d.ctr("rm", "-f", name).rc, 0, name + " is removed")
is_(d.ctr("network", "rm", "web").rc, 0, "and the network")
check(wait_for(20, lambda: not links(d) and not rules(d)), "no link or rule is left", (links(d), rules(d)))
leak_check()
stop_isolad()
finish()
