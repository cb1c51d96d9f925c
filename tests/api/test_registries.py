# SPDX-License-Identifier: Apache-2.0
#
# The registries file: a default registry in place of Docker Hub, registries that are no
# neighbours of ours and speak plain http or have a certificate of their own, and
# what is wrong in the file.
# time limit: 200 s
# not in the lab: it says nothing of the host that is not shown here
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)) + "/..")
from lib import *
from reglib import *

need_root()
need_program("isolad", "isola-keeper", "isola-image", "ctrctl")
for tool in ("docker-registry", "openssl"):
    if run("sh", "-c", "command -v " + tool).rc:
        skip_all(tool + " is not installed")
CONF = T + "/registries.json"
HOST = "10.99.0.1"              # on lo, but for Isola a host like any other
os.environ["DOCKER_CONFIG"] = T + "/docker"


def conf(**registries):
    json.dump({"registries": registries}, open(CONF, "w"))


open(CONF, "w").write('{"default": "127.0.0.1:5000"}')
if not make_certificate():
    skip_all("cannot make a certificate")
d = start_isolad("--registries", CONF) or skip_all("isolad does not start")
d.in_net("ip", "address", "add", HOST + "/32", "dev", "lo")
registry(d, 5000, "default")
registry(d, 5001, "plain", host=HOST)
registry(d, 5002, "tls", tls=True, host=HOST)
need_answers(d, 5000)
need_answers(d, 5001, 5002, host=HOST)

# ------------------------------------------------------------------ the default registry

d.ctr("import", busybox_tar(T + "/root.tar"), "box:1")
got = d.ctr("images", "--format", "{{.Repository}}:{{.Tag}}")
is_(got.out, "box:1\n", "a short name is shown as it was given")
got = d.ctr("push", "box:1")
check(got.rc == 0 and "[127.0.0.1:5000/box]" in got.out, "and is pushed to the default", got)
got = d.ctr("inspect", "-f", "{{.RepoTags}}", "127.0.0.1:5000/box:1")
is_(got.out.strip(), "[box:1]", "it is the same as the whole name")
is_(d.request("GET", "/info")[2]["IndexServerAddress"], "127.0.0.1:5000", "info tells it")
d.ctr("rmi", "-f", "box:1")
check(d.ctr("pull", "box:1").rc == 0, "a short name is pulled from there")
check(d.ctr("run", "--rm", "box:1", "true").rc == 0, "and runs")
got = d.ctr("pull", "docker.io/library/box:1")
check(got.rc == 1 and "docker.io: no such host" in got.err, "Docker Hub is asked by its name", got)
d.ctr("tag", "box:1", "docker.io/library/other:1")
got = d.ctr("images", "other", "-q")
is_(got.out, "", "whose names are others")
d.ctr("save", "-o", T + "/all.tar", "box:1")
got = run("tar", "xOf", T + "/all.tar", "manifest.json")
check("127.0.0.1:5000/box:1" in got.out, "an archive has the whole name", got)
d.ctr("rmi", "-f", "box:1", "docker.io/library/other:1")
got = d.ctr("load", "-i", T + "/all.tar")
check(got.rc == 0 and d.ctr("run", "--rm", "box:1", "true").rc == 0, "and comes back with it", got)

# --------------------------------------------------------------------------- others

conf()
d.ctr("tag", "box:1", HOST + ":5001/t/box:1")
d.ctr("tag", "box:1", HOST + ":5002/t/box:1")
got = d.ctr("push", HOST + ":5001/t/box:1", limit_s=60)
check(got.rc == 1 and HOST + ":5001: " in got.err, "another host must speak https", got)
got = d.ctr("push", HOST + ":5002/t/box:1", limit_s=60)
check(got.rc == 1 and "is not trusted" in got.err, "with a certificate that is trusted", got)
conf(**{HOST + ":5001": {"plain_http": True}, HOST + ":5002": {"skip_verify": True}})
for port in ("5001", "5002"):
    ref = "%s:%s/t/box:1" % (HOST, port)
    got = d.ctr("push", ref)
    check(got.rc == 0, port + " takes a push, as the file says", got)
    d.ctr("rmi", ref)
    got = d.ctr("pull", ref)
    check(got.rc == 0, port + " gives it back", got)
conf(**{HOST + ":5001": {"plain_http": True, "mirrors": ["http://127.0.0.1:5000"]}})
d.ctr("tag", "box:1", HOST + ":5001/t/mirrored:1")
got = d.ctr("push", HOST + ":5001/t/mirrored:1")
check(got.rc == 0 and not os.path.exists(
    T + "/default/docker/registry/v2/repositories/t/mirrored"), "no push goes to a mirror", got)

# --------------------------------------------------------------------------- mistakes

for text, word in (('{"default": "reg"}', '"reg" is no registry'),
                   ('{"default": 5}', "default must be a string"), ("{", "registries.json")):
    open(CONF, "w").write(text)
    d.stop()
    got = d.in_net(BUILD + "/isolad", *d.flags(), "--registries", CONF, limit_s=10)
    check(got.rc == 1 and word in got.err, "isolad does not start with " + text, got)
    conf()
    d.start("--registries", CONF)
open(CONF, "w").write('{"registry": {}}')
got = d.ctr("pull", "127.0.0.1:5000/box:1")
check(got.rc == 1 and '"registry" is no key of the file' in got.err, "an unknown key", got)
end_children()
finish()
