# SPDX-License-Identifier: Apache-2.0
#
# pull: from Debian's registry, in the clear, with TLS and with log-ins; indexes, digests
# and platforms; and what a registry that cuts, stalls, lies and redirects gets.
# time limit: 240 s
import base64
import fcntl
import gzip
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)) + "/..")
from lib import *
from reglib import *

need_root()
need_program("isolad", "isola-keeper", "isola-image", "ctrctl")
for tool in ("docker-registry", "htpasswd", "openssl"):
    if run("sh", "-c", "command -v " + tool).rc:
        skip_all(tool + " is not installed")
CONF = T + "/registries.json"
MODE, LOG = T + "/mode", T + "/proxy.log"
open(CONF, "w").write('{"registries": {}}')
d = start_isolad("--registries", CONF) or skip_all("isolad does not start")


# ------------------------------------------------------- an image, put in place by hand

def put(kind, data, **kw):
    return put_there(d, kind, data, **kw)


def image(layers, **kw):
    return image_there(d, layers, **kw)


registry(d, 5000, "plain", data="data")
spawn(d, sys.executable, HERE + "/proxy.py", "5001", "5000", MODE, LOG)
make_certificate()
run("htpasswd", "-Bbc", T + "/users", "jo", "secret")
registry(d, 5002, "tls", tls=True, data="data")
registry(d, 5003, "users", htpasswd=T + "/users", data="data")
open(MODE, "w").write("pass")
need_answers(d, 5000, 5001, 5002, 5003)

busybox = open(run("sh", "-c", "command -v busybox").out.strip(), "rb").read()
noise = os.urandom(300000)
LAYERS = [layer({"bin/busybox": busybox}, {"bin/sh": "busybox", "bin/cat": "busybox"}),
          layer({"noise": noise}), layer({"who": b"amd64\n"})]
app = image(LAYERS)
app_digest = put("manifest", app, name="1", media=OCI)


def pull(ref, *flags, **kw):
    return d.ctr("pull", *flags, ref, **kw)


def forget():
    ids = d.ctr("images", "-q").out.split()
    if ids:
        d.ctr("rmi", "-f", *sorted(set(ids)))


def mode(text):
    open(MODE, "w").write(text)
    open(LOG, "w").close()
    forget()


def log():
    with open(LOG) as f:                    # the proxy may be at a line right now
        return [json.loads(x) for x in f if x.endswith("\n")]


def clean():
    """The store is whole, and holds nothing of a job."""
    state = T + "/state"
    left = [x for part in ("/tmp", "/layers", "/images/blobs/sha256")
            if os.path.isdir(state + part) for x in os.listdir(state + part)]
    return left == [] or repr(left)


def fails(name, ref, text, *flags):
    got = pull(ref, *flags, limit_s=60)
    check(got.rc == 1 and re.search(text, got.err), name, "wanted %r\n%s" % (text, got))
    is_(wait_for(10, lambda: clean() is True) or clean(), True, name + ": nothing is left")


# ------------------------------------------------------------------------ plain http

got = pull("127.0.0.1:5000/t/app:1")
check(got.rc == 0 and "Downloaded newer image for 127.0.0.1:5000/t/app:1" in got.out,
      "an image comes, in the clear from this machine", got)
got = d.ctr("run", "--rm", "127.0.0.1:5000/t/app:1")
check(got.rc == 0 and got.out == "amd64\n", "and runs", got)
got = d.ctr("inspect", "-f", "{{.RepoDigests}}", "127.0.0.1:5000/t/app:1")
check(app_digest in got.out, "its digest is one of its names", got)
got = d.ctr("rmi", "127.0.0.1:5000/t/app:1")
is_(d.ctr("images", "-q").out, "", "rmi of its only tag removes it")
is_(clean(), True, "all of it")

got = pull("127.0.0.1:5000/t/app@" + app_digest)
check(got.rc == 0, "by digest", got)
mode("pass")
pull("127.0.0.1:5001/t/app:1")
open(LOG, "w").close()
got = pull("127.0.0.1:5001/t/app:1")
check(got.rc == 0 and "Image is up to date" in got.out, "an unchanged tag is up to date", got)
is_([x[:2] for x in log()], [["HEAD", "/v2/t/app/manifests/1"]], "in one round trip")
got = pull("127.0.0.1:5001/t/app:1", "-q")
is_(got.out, "127.0.0.1:5001/t/app:1\n", "-q says the name alone")
forget()

# ------------------------------------------------------------- run and create

APP = "127.0.0.1:5001/t/app:1"
got = d.ctr("run", "--rm", APP)
check(got.rc == 0 and got.out == "amd64\n", "run pulls what is missing", got)
check("No such image: " + APP in got.err and "Status: Downloaded newer image" in got.err,
      "and says so on standard error", got)
open(LOG, "w").close()
got = d.ctr("run", "--rm", APP)
is_([got.out, got.err, log()], ["amd64\n", "", []], "what is here is not asked for")
got = d.ctr("run", "--rm", "--pull", "always", APP)
check(got.out == "amd64\n" and "Image is up to date" in got.err and len(log()) == 1,
      "--pull always asks", got)
got = d.ctr("create", "-q", "--pull=always", APP)
check(got.rc == 0 and got.err == "" and len(log()) == 2, "-q quietly", got)
d.ctr("rm", got.out.strip())
forget()
got = d.ctr("run", "--rm", "--pull", "never", APP)
check(got.rc == 125 and "No such image: " + APP in got.err, "--pull never does not", got)
got = d.ctr("run", "--rm", "-q", "127.0.0.1:5001/t/app:none")
check(got.rc == 125 and "not found" in got.err, "run of what no registry has", got)
is_(clean(), True, "run: nothing is left")


def in_terminal(*argv):
    """ctrctl on a terminal of 60 columns: its exit status and what it wrote."""
    pid, fd = pty.fork()
    if pid == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 20, 60, 0, 0))
        os.execv(BUILD + "/ctrctl", ["ctrctl", "--host", d.socket, *argv])
    text = b""
    while True:
        try:
            piece = os.read(fd, 65536)
        except OSError:
            piece = b""
        if not piece:
            return os.waitpid(pid, 0)[1] >> 8, text.decode()
        text += piece


rc, text = in_terminal("pull", APP)
check(rc == 0 and re.search("[0-9a-f]{12}: Pull complete\033\\[K", text) and "\033[4A" in text,
      "a terminal sees rows that are drawn in their place", repr(text))
lines = [x for x in re.sub("\033\\[[0-9]*[AKJ]", "", text).replace("\r", "").split("\n")]
check(max(len(x) for x in lines if ": P" in x or ": D" in x) < 60, "no wider than it is", lines)
forget()

# --------------------------------------------------------- kinds of images

docker2 = put("manifest", image(LAYERS, media=DOCKER), name="docker", media=DOCKER)
check(pull("127.0.0.1:5000/t/app:docker").rc == 0, "Docker's schema 2")
forget()


def zstd(data):
    return subprocess.run(["zstd", "-qc"], input=data, stdout=subprocess.PIPE, check=True).stdout


if run("sh", "-c", "command -v zstd").rc == 0:
    put("manifest", image(LAYERS, squeeze=zstd, suffix="+zstd"), name="zstd", media=OCI)
    check(pull("127.0.0.1:5000/t/app:zstd").rc == 0, "layers of zstd")
    forget()
else:
    skip("layers of zstd", "zstd is not installed")

other = image([LAYERS[0], layer({"who": b"arm64\n"})], arch="arm64")
put("manifest", other, media=OCI)
INDEX = "application/vnd.oci.image.index.v1+json"
index = json.dumps({
    "schemaVersion": 2, "mediaType": INDEX,
    "manifests": [{"mediaType": OCI, "size": len(m), "digest": digest(m),
                   "platform": {"os": "linux", "architecture": a}}
                  for m, a in ((other, "arm64"), (app, "amd64"))]}).encode()
put("manifest", index, name="many", media="application/vnd.oci.image.index.v1+json")
got = pull("127.0.0.1:5000/t/app:many")
got = d.ctr("run", "--rm", "127.0.0.1:5000/t/app:many")
is_(got.out, "amd64\n", "an index gives this host's image")
got = pull("127.0.0.1:5000/t/app:many", "--platform", "linux/arm64")
got = d.ctr("inspect", "-f", "{{.Architecture}}", "127.0.0.1:5000/t/app:many")
is_(got.out, "arm64\n", "--platform gives another")
got = d.ctr("create", "127.0.0.1:5000/t/app:many")
check(got.rc == 0 and "WARNING: the image is for linux/arm64, this host is linux/" in got.err,
      "a create warns of it", got)
d.ctr("rm", got.out.strip())
got = d.ctr("run", "--rm", "--platform", "linux/amd64", "127.0.0.1:5000/t/app:many")
check(got.out == "amd64\n" and "(linux/arm64) does not match the specified platform (linux/amd64)"
      in got.err, "run --platform pulls the wanted one", got)
got = d.ctr("run", "--rm", "--pull=never", "--platform", "arm64", "127.0.0.1:5000/t/app:many")
check(got.rc == 125 and "its platform (linux/amd64) does not match the specified platform (arm64)"
      in got.err, "or says what the image is for", got)
forget()
fails("an image for one platform alone", "127.0.0.1:5000/t/app:1",
      "the image is for linux/amd64, not for the wanted linux/arm64", "--platform", "linux/arm64")
forget()
fails("a platform that is not there", "127.0.0.1:5000/t/app:many", "but for linux/arm64",
      "--platform", "linux/s390x")

artifact = json.dumps({"schemaVersion": 2, "mediaType": OCI, "config": {
    "mediaType": "application/vnd.oci.empty.v1+json", "size": 2, "digest": put("blob", b"{}")},
    "layers": []}).encode()
put("manifest", artifact, name="artifact", media=OCI)
fails("an artifact", "127.0.0.1:5000/t/app:artifact", "this is no container image")
fails("a tag that is not there", "127.0.0.1:5000/t/app:none", "not found")
sized = json.loads(image(LAYERS))
sized["layers"][1]["size"] -= 1
put("manifest", json.dumps(sized).encode(), name="sized", media=OCI)
fails("a descriptor with a wrong size", "127.0.0.1:5000/t/app:sized", "wrong size: blob")
sized["layers"][1]["size"] = 1 << 50
put("manifest", json.dumps(sized).encode(), name="vast", media=OCI)
fails("a layer of a PiB", "127.0.0.1:5000/t/app:vast", "more than --max-bytes")
escape = image(LAYERS, kind="application/x\033[31m+json")
put("manifest", escape, name="escape", media=OCI)
got = pull("127.0.0.1:5000/t/app:escape")
check(got.rc == 1 and "application/x?[31m" in got.err and "\033" not in got.err,
      "escapes of a manifest do not reach the terminal", got)
nested = index
for depth in range(6):
    nested = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
        {"mediaType": INDEX, "size": len(nested), "digest": put("manifest", nested, media=INDEX),
         "platform": {"os": "linux", "architecture": "amd64"}}]}).encode()
    if depth == 2:
        put("manifest", nested, name="nested", media=INDEX)
put("manifest", nested, name="deep", media=INDEX)
check(pull("127.0.0.1:5000/t/app:nested").rc == 0, "an index of indexes")
forget()
fails("indexes without end", "127.0.0.1:5000/t/app:deep", "nested deeper than")
bad = json.loads(image(LAYERS))
bad["layers"].reverse()
put("manifest", json.dumps(bad).encode(), name="mixed", media=OCI)
fails("layers whose content is not the config's", "127.0.0.1:5000/t/app:mixed", "wrong digest")

# ----------------------------------------------------------------- a registry's bad day

mode("cut")
got = pull("127.0.0.1:5001/t/app:1")
check(got.rc == 0, "cut-off downloads", got)
check([x for x in log() if "Range" in x[2]], "go on where they were cut", log())
mode("busy")
got = pull("127.0.0.1:5001/t/app:1")
check(got.rc == 0, "a busy registry is asked again", got)
when = [x[3] for x in log() if "/manifests/" in x[1]]
check(when[1] - when[0] > 0.99, "not before the time that it names", when)
check(when[2] - when[1] > 0.49, "and later each time", when)
mode("redirect")
got = pull("127.0.0.1:5001/t/app:1")
check(got.rc == 0 and [x for x in log() if x[2]["Host"].startswith("localhost")],
      "redirects to another host are followed", got)
mode("stall")
json.dump({"registries": {"127.0.0.1:5001": {"stall_seconds": 1}}}, open(CONF, "w"))
got = pull("127.0.0.1:5001/t/app:1")
check(got.rc == 0, "a download that stalls is begun anew", got)
json.dump({"registries": {}}, open(CONF, "w"))


def children_of(pid, name):
    out = []
    for p in filter(str.isdigit, os.listdir("/proc")):
        try:
            parent = open("/proc/%s/stat" % p).read().rsplit(") ", 1)[1].split()[1]
            words = open("/proc/%s/cmdline" % p).read()
        except OSError:
            continue
        if parent == str(pid) and name in words:
            out.append(int(p))
    return out


def jobs():
    """Pairs of a job of isola-image and its processes."""
    return [(j, children_of(j, "isola-image")) for j in children_of(d.pid, "isola-image")]


def halfway():
    """A pull that stands still in the middle: its thread and its processes."""
    mode("hang")
    t = threading.Thread(target=lambda: out.append(pull("127.0.0.1:5001/t/app:1", limit_s=60)))
    out.clear()
    t.start()
    check(wait_for(20, stands), "a pull stands still in the middle", jobs())
    return t, jobs()


def stands():
    """Does a pull that hangs wait for a layer?"""
    return [x for x in log() if "/blobs/" in x[1] and "config" not in x[1]] and \
        any(kids for _, kids in jobs()) and len(os.listdir(T + "/state/tmp")) > 0


def network_processes(found):
    return [p for _, kids in found for p in kids if "\nUid:\t65534" in open("/proc/%d/status" % p).read()]


out = []
t, found = halfway()
net = network_processes(found)
status = open("/proc/%d/status" % net[0]).read() if net else repr(found)
check(all(x in status for x in ("\nCapEff:\t0000000000000000\n", "\nNoNewPrivs:\t1\n",
                                "\nSeccomp:\t2\n")),
      "the network process: nobody, no rights, a list of system calls", status)
os.kill(found[0][0], signal.SIGKILL)
t.join()
check(out[0].rc == 1 and "killed by signal 9" in out[0].err, "kill -9 of the job", out)
is_(wait_for(10, lambda: not any(os.path.exists("/proc/%d" % p) for p in net)), True,
    "takes the network process along")
check(wait_for(10, lambda: os.listdir(T + "/state/tmp") == []), "isolad sweeps up behind it",
      os.listdir(T + "/state/tmp"))
got = d.ctr("system", "check")
check(got.rc == 0, "the store is whole", got)
mode("pass")
fails("a pull of nothing behind it", "127.0.0.1:5000/t/app:none", "not found")

t, found = halfway()
os.kill(network_processes(found)[0], signal.SIGKILL)
t.join()
check(out[0].rc == 1 and "network process of the job has ended" in out[0].err,
      "kill -9 of the network process", out)
mode("pass")
is_(wait_for(10, lambda: clean() is True) or clean(), True, "nothing is left of it")

t, found = halfway()
pids = [p for j, kids in found for p in [j, *kids]]
d.stop(signal.SIGKILL)
t.join()
is_(wait_for(20, lambda: not any(os.path.exists("/proc/%d" % p) for p in pids)), True,
    "kill -9 of isolad ends the job")
d.start("--registries", CONF)
mode("pass")
is_(wait_for(10, lambda: clean() is True), True, "and what it left is gone after the start")
got = d.ctr("system", "check")
check(got.rc == 0, "the store is whole", got)

mode("hang")
ctl = subprocess.Popen([BUILD + "/ctrctl", "-H", "unix://" + d.socket, "pull",
                        "127.0.0.1:5001/t/app:1"], stdout=subprocess.DEVNULL)
check(wait_for(20, stands), "a client waits for its pull", jobs())
ctl.send_signal(signal.SIGINT)
ctl.wait()
is_(wait_for(10, lambda: not jobs()), True, "a client that leaves cancels its pull")
mode("pass")
is_(wait_for(10, lambda: clean() is True) or clean(), True, "and nothing is left of it")

mode("corrupt")
fails("a changed byte", "127.0.0.1:5001/t/app:1", r"wrong digest: blob|layer 1 \(")
mode("short")
fails("fewer bytes than said", "127.0.0.1:5001/t/app:1", r"wrong size: blob|layer 1 \(")
mode("long")
fails("more bytes than said", "127.0.0.1:5001/t/app:1", "wrong size")
mode("html")
fails("a page of HTML", "127.0.0.1:5001/t/app:1", "text/html")
mode("endless")
fails("an answer without an end", "127.0.0.1:5001/t/app:1", "answers 404")
mode("round")
fails("redirects in a circle", "127.0.0.1:5001/t/app:1", "redirects more than")

# --------------------------------------------------------------------------- log-ins


def create(port, auth=None, host="127.0.0.1:%d"):
    h = {"X-Registry-Auth": base64.urlsafe_b64encode(json.dumps(auth).encode()).decode()} \
        if auth else {}
    host = host % port if port else host
    return repr(d.request("POST", "/images/create?fromImage=%s/t/app&tag=1" % host, headers=h))


JO = {"username": "jo", "password": "secret"}
mode("token")
check("up to date" not in create(5001, {**JO, "password": "no"}) and
      d.ctr("images", "-q").out == "", "a wrong password gets no token")
check("Downloaded newer" in create(5001, JO), "a token by X-Registry-Auth")
is_([x for x in log() if x[1].startswith("/v2/") and
     x[2].get("Authorization", "").startswith("Basic")], [], "the password goes to the realm alone")
mode("token-away")
check("Downloaded newer" in create(5001, JO), "a redirect to another host, logged in")
is_([x[2].get("Authorization") for x in log() if x[2]["Host"].startswith("localhost")],
    [None] * (len(LAYERS) + 1), "which is not told the token")
mode("pass")
fails("Basic without a log-in", "127.0.0.1:5003/t/app:1", "wants a log-in")
check("Downloaded newer" in create(5003, JO), "Basic by X-Registry-Auth")
forget()

# ------------------------------------------------------------------------------- TLS

fails("a certificate nobody vouches for", "localhost:5002/t/app:1", "is not trusted")
# This one answers a question in the clear with an alert.
spawn(d, "openssl", "s_server", "-www", "-accept", "127.0.0.1:5010", "-cert", T + "/cert.pem",
      "-key", T + "/key.pem")
if not wait_for(20, lambda: d.in_net("curl", "-sko", "/dev/null", "--max-time", "1",
                                     "https://127.0.0.1:5010/").rc == 0):
    skip_all("nothing answers on port 5010")
fails("also of a server that does not answer in the clear", "localhost:5010/t/app:1",
      "is not trusted")
json.dump({"registries": {"localhost:5002": {"ca_file": T + "/cert.pem"}}}, open(CONF, "w"))
check(pull("localhost:5002/t/app:1").rc == 0, "TLS with a CA of the registries file")
forget()
json.dump({"registries": {"reg.test": {"mirrors": ["http://127.0.0.1:5009",
                                                   "http://127.0.0.1:5000"]}}}, open(CONF, "w"))
got = pull("reg.test/t/app:1")
check(got.rc == 0, "a dead mirror is passed over, the next one serves", got)
forget()
json.dump({"registries": {"reg.test": {"mirrors": ["http://127.0.0.1:5001"]}}}, open(CONF, "w"))
mode("pass")
check("Downloaded newer" in create(0, {**JO, "serveraddress": "reg.test"}, host="reg.test"),
      "a mirror, by one who is logged in")
is_({x[2].get("Authorization") for x in log()}, {None}, "which is not told the credentials")
forget()
got = d.request("GET", "/images/search?term=app")
check(got[0] == 501 and "not supported yet: searching registries (GET /images/search)" in repr(got),
      "a search says that there is none", got)
json.dump({"registries": {"reg.test": {"mirror": []}}}, open(CONF, "w"))
fails("an unknown key of the registries file", "reg.test/t/app:1", '"mirror" is no key')
json.dump({"registries": {}}, open(CONF, "w"))

# -------------------------------------------------------------------- two at one time

mode("pass")
out.clear()
ts = [threading.Thread(target=lambda: out.append(pull("127.0.0.1:5001/t/app:1")))
      for _ in range(2)]
[t.start() for t in ts]
[t.join() for t in ts]
blobs = [x[1] for x in log() if x[0] == "GET" and "/blobs/" in x[1]]
layers = {"/v2/t/app/blobs/" + x["digest"] for x in json.loads(app)["layers"]}
check(all(x.rc == 0 for x in out) and sorted(x for x in blobs if x in layers) == sorted(layers),
      "two pulls at once load each layer once", blobs)
forget()
is_(clean(), True, "nothing is left in the store")

# ------------------------------------------------------------------ Docker's client

if run("sh", "-c", "command -v docker").rc == 0:
    def docker(*argv):
        return run("docker", "-H", "unix://" + d.socket, *argv, limit_s=60)
    got = docker("pull", "127.0.0.1:5001/t/app:1")
    check(got.rc == 0 and "Pull complete" in got.out and "Downloaded newer image" in got.out,
          "docker pull", got)
    got = docker("pull", "127.0.0.1:5001/t/app:1")
    check(got.rc == 0 and "Image is up to date" in got.out, "docker pull again", got)
    got = docker("pull", "-q", "127.0.0.1:5001/t/app:none")
    check(got.rc == 1 and "not found" in got.err, "docker pull of what is not there", got)
    forget()
    got = docker("run", "--rm", "--network", "none", "127.0.0.1:5001/t/app:1")
    check(got.rc == 0 and got.out == "amd64\n" and "Unable to find image" in got.err,
          "docker run pulls", got)
    forget()
else:
    skip("docker pull", "docker is not installed")

# -------------------------------------------------------------------------- full disk

small = Isolad(T + "/small")
small.netns = d.netns
os.makedirs(T + "/small/state")
if run("mount", "-t", "tmpfs", "-o", "size=1200k", "small", T + "/small/state").rc == 0:
    check(small.start("--registries", CONF), "an isolad on a small disk starts")
    open(T + "/big.tar", "wb").write(layer({"noise": os.urandom(900000)}))
    os.makedirs(T + "/ctx")
    os.rename(T + "/big.tar", T + "/ctx/big.tar")
    open(T + "/ctx/Dockerfile", "w").write("FROM scratch\nADD big.tar /\n")
    for what, argv in (("pull", ["pull", "127.0.0.1:5000/t/app:1"]),
                       ("import", ["import", T + "/ctx/big.tar", "big"]),
                       ("build", ["build", "-t", "big", T + "/ctx"])):
        got = small.ctr(*argv, limit_s=60)
        check(got.rc == 1 and "No space left" in got.err, what + ": a disk that gets full", got)
        got = small.ctr("system", "check")
        check(got.rc == 0, what + ": leaves a good store", got)
        left = [x for _, _, files in os.walk(T + "/small/state/images/blobs") for x in files]
        left += os.listdir(T + "/small/state/tmp") + os.listdir(T + "/small/state/layers")
        is_(left, [], what + ": and nothing of it")
    small.stop()
    run("umount", T + "/small/state")
else:
    skip("a disk that gets full", "no tmpfs can be mounted")
end_children()
finish()
