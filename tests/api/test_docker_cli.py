# SPDX-License-Identifier: Apache-2.0
#
# Docker's own command line client, unmodified, drives isolad: the verbs, their
# output and exit codes, pipes, terminals, streams.
# time limit: 300 s
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)) + "/..")
from lib import *

need_root()
need_program("isolad", "isola-keeper", "isola-image")
CLIENTS = [p for p in ("/usr/bin/docker", "/usr/local/bin/docker") if os.access(p, os.X_OK)]
if not CLIENTS:
    skip_all("no docker client (Debian's package docker.io has one)")
d = start_isolad() or skip_all("isolad does not start")
TAR = busybox_tar(T + "/root.tar")
ENV = dict(os.environ, DOCKER_HOST="unix://" + d.socket, DOCKER_CONFIG=T + "/docker",
           HOME=T, TERM="xterm")
ENV.pop("DOCKER_CONTEXT", None)
docker = who = None


def dk(*argv, **kw):
    return run(docker, *argv, env=ENV, **kw)


def good(name, got, out=None):
    return check(got.rc == 0 and (out is None or got.out == out), who + name,
                 "wanted: %r\n%s" % (out, got))


def bad(name, got, rc, text):
    return check(got.rc == rc and text in got.err, who + name,
                 "wanted: %d, %r\n%s" % (rc, text, got))


class Tty:
    """A client on a terminal of its own."""

    def __init__(self, *argv):
        self.master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (30, 100))
        self.p = subprocess.Popen([docker, *argv], env=ENV, stdin=slave, stdout=slave,
                                  stderr=slave, start_new_session=True,
                                  preexec_fn=lambda: __import__("fcntl").ioctl(
                                      0, termios.TIOCSCTTY, 0))
        os.close(slave)
        self.text = ""

    def type(self, text):
        os.write(self.master, text.encode())

    def until(self, pattern, limit_s=10):
        end = time.monotonic() + limit_s * SCALE
        while not (m := re.search(pattern, self.text)) and time.monotonic() < end:
            if select.select([self.master], [], [], 0.1)[0]:
                try:
                    self.text += os.read(self.master, 65536).decode(errors="replace")
                except OSError:
                    break
        return m

    def wait(self, limit_s=10):
        end = time.monotonic() + limit_s * SCALE
        while self.p.poll() is None and time.monotonic() < end:
            self.until("$^", 0.1)
        if self.p.poll() is None:
            self.p.kill()
        rc = self.p.wait()
        os.close(self.master)
        return rc


def background(*argv):
    return subprocess.Popen([docker, *argv], env=ENV, stdin=subprocess.DEVNULL, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def lines_of(process, count, limit_s=10):
    """The first lines it prints."""
    got = ""
    end = time.monotonic() + limit_s * SCALE
    while got.count("\n") < count and time.monotonic() < end:
        if select.select([process.stdout], [], [], 0.1)[0]:
            piece = os.read(process.stdout.fileno(), 65536).decode()
            if not piece:
                break
            got += piece
    return got.splitlines()


# ---------------------------------------------------------------------- chapters

def system():
    good("version", dk("version", "--format", "{{.Server.APIVersion}}"), "1.47\n")
    good("info", dk("info", "--format", "{{.OSType}} {{.Swarm.LocalNodeState}}"),
         "linux inactive\n")
    good("network ls", dk("network", "ls", "--format", "{{.Name}}"), "bridge\nhost\nnone\n")
    good("volume ls", dk("volume", "ls", "-q"), "")


def images():
    got = dk("import", "--change", "CMD [\"echo\",\"from the image\"]", TAR, "box:v1")
    good("import", got)
    like(got.out, r"^sha256:[0-9a-f]{64}\n$", who + "import prints the id, once")
    good("run an image's own command", dk("run", "--rm", "box:v1"), "from the image\n")
    with open(TAR, "rb") as f:
        p = subprocess.run([docker, "import", "-", "box:v2"], env=ENV, stdin=f,
                           capture_output=True, text=True, timeout=60 * SCALE)
    check(p.returncode == 0, who + "import from a pipe", p)
    good("tag", dk("tag", "box:v1", "other/name:x"))
    is_(sorted(dk("images", "--format", "{{.Repository}}:{{.Tag}}").out.split()),
        ["box:v1", "box:v2", "busybox:latest", "other/name:x"], who + "images")
    good("images by name", dk("images", "box", "--format", "{{.Tag}}"))
    good("image inspect", dk("image", "inspect", "--format", "{{.Os}} {{json .Config.Cmd}}",
                             "box:v1"), 'linux ["echo","from the image"]\n')
    good("rmi of one of two names", dk("rmi", "other/name:x"), "Untagged: other/name:x\n")
    got = dk("rmi", "box:v1", "box:v2")
    good("rmi of the last name", got)
    like(got.out, r"Untagged: box:v1\nDeleted: sha256:", who + "rmi says what it deleted")
    bad("rmi of nothing", dk("rmi", "box:v1"), 1, "No such image: box:v1")
    bad("run without the image", dk("run", "--rm", "nothing/here:x", "true"), 125,
        "docker.io: no such host")
    bad("pull", dk("pull", "busybox"), 1, "docker.io: no such host")
    good("image prune", dk("image", "prune", "-f"), "Total reclaimed space: 0B\n")
    good("import of one to prune", dk("import", "--change", "LABEL prune=me", TAR,
                                        "prune:me"))
    got = dk("image", "prune", "-f", "-a", "--filter", "label=prune=me")
    check(got.rc == 0 and "deleted: sha256:" in got.out and "untagged: prune:me" in got.out.lower()
          and not got.out.endswith(": 0B\n"), who + "image prune -a", repr(got))


def disk():
    got = dk("system", "df")
    good("system df", got)
    like(got.out, r"(?m)^Images +[1-9]\d* +\d+ +[1-9][0-9.]+[kM]B ", who + "df of images")
    like(got.out, r"(?m)^Containers +\d+ ", who + "df of containers")
    got = dk("system", "df", "-v")
    good("system df -v", got)
    like(got.out, r"SHARED SIZE +UNIQUE SIZE", who + "df -v of images")
    good("one to prune", dk("create", "--name", "old", "busybox", "true"))
    good("a network to prune", dk("network", "create", "--subnet", "10.91.0.0/24", "unused"))
    good("one that is young", dk("network", "create", "--subnet", "10.92.0.0/24", "--label", "keep",
                                 "young"))
    got = dk("network", "prune", "-f", "--filter", "until=1h")
    check(got.rc == 0 and "young" not in got.out, who + "network prune of old ones", got)
    got = dk("system", "prune", "-f", "--filter", "until=1h")
    check(got.rc == 0 and "Deleted" not in got.out, who + "system prune of what is old", got)
    got = dk("system", "prune", "-f", "--filter", "label!=keep")
    good("system prune", got)
    like(got.out, r"Deleted Networks:\nunused\n\n", who + "system prune of networks")
    good("network rm", dk("network", "rm", "young"))
    like(got.out, r"Deleted Containers:\n[0-9a-f]{64}\n", who + "system prune of containers")
    like(got.out, r"Total reclaimed space: ", who + "system prune says what it freed")
    got = dk("system", "prune", "-f", "--volumes")
    good("system prune --volumes", got)


def load():
    layout = T + "/layout"
    if not os.access("/usr/bin/skopeo", os.X_OK):
        skip(who + "load", "no skopeo to make an archive")
        return
    archive = T + "/archive.tar"
    if not os.path.exists(archive):
        import hashlib
        import tarfile
        import io
        layer = open(TAR, "rb").read()
        digest = hashlib.sha256(layer).hexdigest()
        config = json.dumps({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["true"]},
                             "rootfs": {"type": "layers", "diff_ids": ["sha256:" + digest]}})
        manifest = json.dumps([{"Config": "config.json", "RepoTags": ["loaded:1"],
                                "Layers": ["layer.tar"]}])
        with tarfile.open(archive, "w") as tar:
            for name, data in (("config.json", config.encode()), ("layer.tar", layer),
                               ("manifest.json", manifest.encode())):
                t = tarfile.TarInfo(name)
                t.size = len(data)
                tar.addfile(t, io.BytesIO(data))
    good("load", dk("load", "-i", archive), "Loaded image: loaded:1\n")
    with open(archive, "rb") as f:
        p = subprocess.run([docker, "load", "-q"], env=ENV, stdin=f, capture_output=True,
                           text=True, timeout=60 * SCALE)
    is_(p.stdout, "Loaded image: loaded:1\n", who + "load -q from a pipe")
    good("run what was loaded", dk("run", "--rm", "loaded:1"), "")
    with open(T + "/junk", "wb") as f:
        f.write(os.urandom(100000))
    got = dk("load", "-i", T + "/junk")
    check(got.rc == 1 and got.err, who + "load of junk says why", got)
    good("rmi", dk("rmi", "loaded:1"))


def running():
    good("run", dk("run", "--rm", "busybox", "echo", "hello"), "hello\n")
    got = dk("run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 3")
    is_((got.rc, got.out, got.err), (3, "out\n", "err\n"),
        who + "run passes exit code, stdout and stderr")
    bad("run of no command", dk("run", "--rm", "busybox", "/nothing"), 127, "/nothing")
    bad("run of a text file", dk("run", "--rm", "busybox", "/etc/passwd"), 126,
        "permission denied")
    bad("run with a wrong option", dk("run", "--rm", "--network", "there-is-none", "busybox",
                                      "true"), 125, "there-is-none")
    good("run -i with a pipe", dk("run", "--rm", "-i", "busybox", "cat", text="some input"),
         "some input")
    big = "0123456789abcdef" * 200000
    got = dk("run", "--rm", "-i", "busybox", "cat", text=big)
    check(got.rc == 0 and got.out == big, who + "3 MB in and out again",
          "%d bytes, rc %d, %s" % (len(got.out), got.rc, got.err))
    good("run -i ends at the end of input", dk("run", "--rm", "-i", "busybox", "wc", "-c",
                                               text="12345"), "5\n")
    good("run -e -w -u -h",
         dk("run", "--rm", "-e", "A=b", "-w", "/tmp", "-u", "65534", "--hostname", "box",
            "busybox", "sh", "-c", "echo $A $PWD $(id -u) $(hostname)"), "b /tmp 65534 box\n")
    good("create", dk("create", "--name", "c1", "-i", "busybox", "cat"))
    good("start -a -i", dk("start", "-a", "-i", "c1", text="again"), "again")
    good("start -a -i a second time", dk("start", "-a", "-i", "c1", text="and again"),
         "and again")
    good("rm", dk("rm", "c1"), "c1\n")
    left = dk("ps", "-aq").out
    is_(left, "", who + "--rm leaves nothing")


def life():
    good("run -d", dk("run", "-d", "--name", "web", "--label", "role=test", "busybox", "sh", "-c",
                      "trap 'exit 5' TERM; echo ready; while :; do sleep 0.1; done"))
    wait_for(10, lambda: "ready" in dk("logs", "web").out)
    good("ps", dk("ps", "--format", "{{.Names}} {{.Image}}"), "web busybox\n")
    good("ps --filter", dk("ps", "-q", "--filter", "label=role=other"), "")
    bad("ps with a wrong filter", dk("ps", "--filter", "nonsense=1"), 1, "nonsense")
    good("inspect", dk("inspect", "--format", "{{.State.Status}} {{.Name}}", "web"),
         "running /web\n")
    bad("inspect of nothing", dk("inspect", "nothing"), 1, "No such object: nothing")
    got = dk("top", "web")
    check(got.rc == 0 and "sleep" in got.out and got.out.startswith("UID "), who + "top", got)
    got = dk("stats", "--no-stream", "--format", "{{.Name}}")
    good("stats --no-stream", got, "web\n")
    p = background("stats", "--format", "{{.Name}} {{.CPUPerc}}")
    check("web" in " ".join(lines_of(p, 3, 15)), who + "stats")
    p.send_signal(signal.SIGINT)
    p.wait(10)
    p.stdout.close()
    good("pause", dk("pause", "web"), "web\n")
    good("ps of a paused one", dk("ps", "--filter", "status=paused", "--format", "{{.Names}}"),
         "web\n")
    bad("exec in a paused one", dk("exec", "web", "true"), 1, "paused")
    good("unpause", dk("unpause", "web"), "web\n")
    good("rename", dk("rename", "web", "web2"), "")
    good("update", dk("update", "--restart", "no", "web2"), "web2\n")
    bad("name in use", dk("create", "--name", "web2", "busybox", "true"), 1, "web2")
    good("kill -s", dk("kill", "-s", "WINCH", "web2"), "web2\n")
    bad("kill with no signal", dk("kill", "-s", "NONSENSE", "web2"), 1, "NONSENSE")
    bad("rm of a running one", dk("rm", "web2"), 1, "web2"[:0])
    good("stop", dk("stop", "web2"), "web2\n")
    good("wait gives the code", dk("wait", "web2"), "5\n")
    like(dk("ps", "-a", "--format", "{{.Status}}").out, r"^Exited \(5\) ", who + "ps -a")
    good("restart", dk("restart", "web2"), "web2\n")
    good("kill", dk("kill", "web2"), "web2\n")
    bad("kill of a stopped one", dk("kill", "web2"), 1, "not running")
    good("start again", dk("start", "web2"), "web2\n")
    good("rm -f", dk("rm", "-f", "web2"), "web2\n")
    good("create another", dk("create", "--name", "idle", "busybox", "true"))
    got = dk("container", "prune", "-f")
    good("container prune", got)
    like(got.out, r"Deleted Containers:\n[0-9a-f]{64}\n", who + "prune says what it deleted")


def logs():
    good("a talker", dk("run", "-d", "--name", "talk", "busybox", "sh", "-c",
                        "for i in 1 2 3; do echo out $i; echo err $i >&2; done; "
                        "while [ ! -e /tmp/go ]; do sleep 0.05; done; echo last"))
    wait_for(5, lambda: (r := dk("logs", "talk")).err.endswith("err 3\n") and
             r.out.endswith("out 3\n"))
    got = dk("logs", "talk")
    is_((got.out, got.err), ("out 1\nout 2\nout 3\n", "err 1\nerr 2\nerr 3\n"), who + "logs")
    got = dk("logs", "--tail", "2", "talk")
    is_(len((got.out + got.err).splitlines()), 2, who + "logs --tail")
    like(dk("logs", "-t", "talk").out, r"^20\d\d-\d\d-\d\dT[\d:.]+Z out 1\n", who + "logs -t")
    good("logs --since later", dk("logs", "--since", "2100-01-01T00:00:00Z", "talk"), "")
    good("logs --until earlier", dk("logs", "--until", "2000-01-01T00:00:00Z", "talk"), "")
    p = background("logs", "-f", "--tail", "1", "talk")
    lines_of(p, 1)
    good("go on", dk("exec", "talk", "touch", "/tmp/go"))
    is_(p.communicate(timeout=20 * SCALE)[0], "last\n", who + "logs -f ends with the container")
    is_(p.returncode, 0, who + "and well")
    good("rm", dk("rm", "talk"))


def execs():
    good("a sleeper", dk("run", "-d", "--name", "ex", "busybox", "sleep", "1000"))
    good("exec", dk("exec", "ex", "echo", "inside"), "inside\n")
    is_(dk("exec", "ex", "sh", "-c", "exit 9").rc, 9, who + "exec passes the exit code")
    got = dk("exec", "ex", "sh", "-c", "echo a; echo b >&2")
    is_((got.out, got.err), ("a\n", "b\n"), who + "exec's streams")
    good("exec -i", dk("exec", "-i", "ex", "cat", text="typed"), "typed")
    good("exec -e -w -u", dk("exec", "-e", "A=b", "-w", "/tmp", "-u", "65534", "ex", "sh", "-c",
                             "echo $A $PWD $(id -u)"), "b /tmp 65534\n")
    good("exec -d", dk("exec", "-d", "ex", "touch", "/tmp/done"), "")
    check(wait_for(5, lambda: dk("exec", "ex", "ls", "/tmp").out == "done\n"),
          who + "exec -d did it")
    is_(dk("exec", "ex", "/nothing").rc, 127, who + "exec of no command is 127")
    t = Tty("exec", "-it", "ex", "sh")
    t.until("# ")
    t.type("stty size; tty; exit 4\n")
    check(t.until(r"30 100\s+/dev/pts/\d"), who + "exec -it has a terminal of our size", t.text)
    is_(t.wait(), 4, who + "exec -it passes the exit code")
    good("rm -f", dk("rm", "-f", "ex"))


def terminals():
    t = Tty("run", "-it", "--name", "term", "busybox", "sh")
    check(t.until("# "), who + "run -it shows a prompt", t.text)
    t.type("stty size; echo $((6 * 7))\n")
    check(t.until(r"30 100\s+42"), who + "the terminal has our size", t.text)
    termios.tcsetwinsize(t.master, (40, 120))

    def resized():
        # again, as the client may not have listened yet
        t.p.send_signal(signal.SIGWINCH)
        t.type("stty size\n")
        return t.until("40 120", 1)
    check(wait_for(10, resized), who + "and follows it", t.text)
    t.type("\x03")
    t.type("echo alive\n")
    check(t.until("alive\r?\n"), who + "ctrl-c goes to the payload", t.text)
    t.type("\x10\x11")
    is_(t.wait(), 0, who + "ctrl-p ctrl-q leaves")
    good("it runs on", dk("ps", "--format", "{{.Names}}"), "term\n")
    t = Tty("attach", "term")
    t.type("\necho back; exit 6\n")
    check(t.until("back\r?\n"), who + "attach to a terminal", t.text)
    is_(t.wait(), 6, who + "attach passes the exit code")
    good("logs of a terminal", dk("rm", "-f", "term"))


def attaching():
    good("a reader", dk("run", "-d", "-i", "--name", "att", "busybox", "sh", "-c",
                        "while read x; do echo got $x; [ $x = two ] && exit 4; done"))
    p = subprocess.Popen([docker, "attach", "att"], env=ENV, stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    p.stdin.write(b"one\n")
    p.stdin.flush()
    is_(lines_of(p, 1), ["got one"], who + "attach with input")
    p.stdin.write(b"two\n")
    p.stdin.flush()
    is_(lines_of(p, 1), ["got two"], who + "and more of it")
    p.communicate(timeout=20 * SCALE)
    is_(p.returncode, 4, who + "attach passes the exit code")
    good("rm -f", dk("rm", "-f", "att"))
    p = background("run", "--rm", "--name", "sig", "busybox", "sh", "-c",
                   "trap 'echo caught; exit 3' TERM; echo ready; while :; do sleep 0.1; done")
    lines_of(p, 1)
    p.send_signal(signal.SIGTERM)
    out = p.communicate(timeout=20 * SCALE)[0]
    is_((out, p.returncode), ("caught\n", 3), who + "run passes signals on")


def watching():
    p = background("events", "--filter", "container=ev", "--filter", "container=mark", "--format",
                   "{{.Actor.Attributes.name}} {{.Action}}")

    def marked():
        """Makes something happen; true once the client is told of it."""
        dk("create", "--name", "mark", "busybox", "true")
        dk("rm", "mark")
        return lines_of(p, 2, 1)
    check(wait_for(20, marked), who + "events come")
    good("something happens", dk("run", "--rm", "--name", "ev", "busybox", "true"))
    want = ["create", "attach", "start", "die", "destroy"]
    got = ""
    end = time.monotonic() + 20 * SCALE
    while "ev destroy" not in got and time.monotonic() < end:
        if select.select([p.stdout], [], [], 0.1)[0]:
            got += os.read(p.stdout.fileno(), 65536).decode()
    is_([x[3:] for x in got.splitlines() if x[:3] == "ev " and x[3:] in want], want, who + "events")
    p.kill()
    p.communicate()
    got = dk("events", "--since", "60s", "--until", str(int(time.time()) + 1), "--filter", "container=ev",
             "--filter", "event=die", "--format", "{{.Actor.Attributes.exitCode}}")
    like(got.out, r"(^|\n)0\n$", who + "past events")


def copying():
    cid = dk("run", "-d", "--name", "cp", "busybox", "sleep", "1000").out.strip()
    with open(T + "/cp.txt", "w") as f:
        f.write("copied\n")
    os.makedirs(T + "/cpdir/sub", exist_ok=True)
    with open(T + "/cpdir/sub/x", "w") as f:
        f.write("x\n")
    good("cp in", dk("cp", T + "/cp.txt", "cp:/tmp/new"))
    good("it is there", dk("exec", "cp", "cat", "/tmp/new"), "copied\n")
    good("cp a folder in", dk("cp", T + "/cpdir", "cp:/root/"))
    good("cp its content in", dk("cp", T + "/cpdir/.", "cp:/root/made"))
    good("both are there", dk("exec", "cp", "cat", "/root/cpdir/sub/x", "/root/made/sub/x"), "x\nx\n")
    out = T + "/cpout-" + version
    good("cp a folder out", dk("cp", "cp:/root/cpdir", out))
    is_(open(out + "/sub/x").read(), "x\n", who + "it is there")
    good("cp a file out", dk("cp", "cp:/tmp/new", out + "/new"))
    is_(open(out + "/new").read(), "copied\n", who + "so is the file")
    got = run("sh", "-c", "%s cp cp:/root/cpdir - | tar -t" % docker, env=ENV)
    is_(sorted(got.out.split()), ["cpdir/", "cpdir/sub/", "cpdir/sub/x"], who + "cp out as tar")
    got = run("sh", "-c", "tar -C %s -c cpdir | %s cp - cp:/tmp" % (T, docker), env=ENV)
    good("cp in as tar", got)
    bad("cp of nothing", dk("cp", "cp:/none", out), 1, "none")
    like(dk("diff", "cp").out, r"(?m)^A /tmp/new$", who + "diff")
    good("export", dk("export", "-o", out + "/all.tar", "cp"))
    got = run("tar", "-tf", out + "/all.tar", "tmp/new", "root/made/sub/x")
    is_(got.rc, 0, who + "export has all files")
    good("cp from a stopped container", dk("stop", "-t", "0", "cp"))
    good("a file", dk("cp", "cp:/tmp/new", out + "/again"))
    good("and in", dk("cp", T + "/cp.txt", "cp:/tmp/later"))
    good("which starts", dk("start", "cp"))
    good("and has it", dk("exec", "cp", "cat", "/tmp/later"), "copied\n")


def moving():
    dk("run", "--name", "mv", "busybox", "sh", "-c", "echo made >/made")
    got = dk("commit", "-m", "why", "-a", "who", "-c", 'CMD ["cat", "/made"]', "mv", "moved:1")
    good("commit", got)
    like(got.out, r"^sha256:[0-9a-f]{64}\n$", who + "commit prints the id")
    good("it runs", dk("run", "--rm", "moved:1"), "made\n")
    good("commit without a name", dk("commit", "mv"))
    good("inspect", dk("image", "inspect", "-f", "{{.Comment}} {{.Author}}", "moved:1"), "why who\n")
    h = dk("history", "--no-trunc", "--format", "{{.ID}} {{.CreatedBy}} {{.Comment}}", "moved:1")
    is_(h.out.splitlines()[0], got.out.strip() + " sh -c echo made >/made why", who + "history")
    good("tag", dk("tag", "moved:1", "moved:2"))
    a = T + "/moved-%s.tar" % version
    good("save", dk("save", "-o", a, "moved:1", "busybox"))
    bad("rmi of an image in use", dk("rmi", "busybox"), 1, "unable to remove repository reference")
    good("rmi unties", dk("rmi", "moved:2"), "Untagged: moved:2\n")
    out = dk("rmi", "moved:1").out
    check("Untagged: moved:1" in out and "Deleted: " + got.out.strip() in out, who + "rmi removes", out)
    out = dk("load", "-i", a).out
    check("Loaded image: moved:1" in out and "Loaded image: busybox:latest" in out, who + "load", out)
    is_(dk("images", "-q", "--no-trunc", "moved:1").out, got.out, who + "with the same id")
    p = run("sh", "-c", "%s save moved:1 | %s load" % (docker, docker), env=ENV)
    good("save through a pipe", p)
    bad("save of nothing", dk("save", "-o", a, "nothing:1"), 1, "No such image")
    dk("rm", "mv")
    good("rmi of several", dk("rmi", "-f", "moved:1"))
    dk("image", "prune", "-f")


def unsupported():
    for what, argv in (("Driver (--driver)", ["network", "create", "--driver", "overlay", "lan"]),):
        env = dict(ENV, DOCKER_BUILDKIT="0")
        got = run(docker, *argv, env=env, text="FROM busybox\n")
        check(got.rc == 1 and what in got.err and "is not supported" in got.err,
              who + "unsupported: " + what, got)


if d.request("POST", "/images/create?fromSrc=-&repo=busybox&tag=latest",
             open(TAR, "rb").read(), timeout=60)[0] != 200:
    not_ok("an image to work with", d.log_tail())
run(CLIENTS[0], "run", "--rm", "busybox", "true", env=ENV)   # isolad keeps a helper from here on
leak_mark()
for docker in CLIENTS:
    version = run(docker, "version", "--format", "{{.Client.Version}}", env=ENV).out.strip()
    who = "docker %s: " % version.split("+")[0]
    for chapter in (system, images, load, running, life, disk, logs, execs, terminals, attaching,
                    watching, copying, moving, unsupported):
        try:
            chapter()
        except Exception as e:     # one broken chapter must not hide the others
            not_ok(who + chapter.__name__, "%s: %s" % (type(e).__name__, e))
        run(docker, "ps", "-aq", env=ENV)
        for cid in run(docker, "ps", "-aq", env=ENV).out.split():
            dk("rm", "-f", cid)
leak_check()
stop_isolad()
finish()
