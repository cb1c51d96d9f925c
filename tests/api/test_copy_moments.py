# SPDX-License-Identifier: Apache-2.0
#
# commit, cp and export at bad moments: isolad, its helper or the container goes away in
# the middle; and trees that are hard to tell of.
# time limit: 240 s
import base64
import io
import json
import os
import signal
import sys
import tarfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)) + "/..")
from warm import *


def helpers(verb="", store=T):
    """isola-image processes of this isolad."""
    got = []
    for p in os.listdir("/proc"):
        if p.isdigit():
            try:
                line = open("/proc/%s/cmdline" % p, "rb").read().split(b"\0")
                if line[0] == b"isola-image" and any(T.encode() in x for x in line) and \
                        line[1].startswith(verb.encode()):
                    got.append(int(p))
            except OSError:
                pass
    return got


def later(*argv):
    """`ctrctl ARGV` in a thread: (thread, list that gets the result)."""
    got = []
    t = threading.Thread(target=lambda: got.append(d.ctr(*argv, limit_s=90)))
    t.start()
    return t, got


def tags():
    return sorted(t for i in d.request("GET", "/images/json")[2] for t in i["RepoTags"])


def frozen(pid):
    """Is the container of process PID frozen? Asks the kernel, not isolad."""
    group = next(x for x in open("/proc/%d/cgroup" % pid).read().splitlines()
                 if x.startswith("0::"))[3:]
    return open(cgroup2_root() + group + "/cgroup.freeze").read().strip() == "1"


def signal_to(pids, sig):
    for pid in pids:
        try:
            os.kill(pid, sig)
        except ProcessLookupError:
            pass


def progress():
    """How far the commit of a big() is: from 0 to 1 its archive is written, from 1 to 2
    that is unpacked as a layer; 0 when there is none."""
    packed = unpacked = 0
    for folder, _, names in os.walk(T + "/state/tmp"):
        for name in names:
            try:
                size = os.stat(folder + "/" + name).st_size / (BIG_MIB * 1000000)
            except OSError:
                continue
            if name.startswith("blob"):
                packed += size
            else:
                unpacked += size
    return 1 + unpacked if unpacked else packed


def midway(name, tag, pid, begin=0.05):
    """A commit of NAME, whose process is PID, that stands still at BEGIN of its progress or
    somewhat later: thread, result and helpers.  A fast host may have done it by then:
    once more."""
    for _ in range(20):
        t, got = later("commit", name, tag)
        wait_for(20, lambda: not t.is_alive() or helpers("commit") and frozen(pid) and
                 progress() >= begin)
        pids = helpers("commit")
        signal_to(pids, signal.SIGSTOP)
        if pids and helpers("commit") == pids and frozen(pid) and 0 < progress() < 1.6:
            return t, got, pids
        signal_to(pids, signal.SIGCONT)
        t.join(60 * SCALE)
        d.ctr("rmi", tag)
    raise RuntimeError("no commit can be held: %r" % got)


def told_to_end(pids):
    """Whether a job that stands still has been asked to end, or is gone. It tells its own
    children when it goes on."""
    return any(not is_running(p) or not took(p, signal.SIGTERM) for p in pids)


def end_them(pids):
    """Goes on with a job that was asked to end, itself first: it tells its children, which
    could else be through before it knows."""
    first = [p for p in pids if parent_of(p) not in pids]
    signal_to(first, signal.SIGCONT)
    wait_for(10, lambda: all(not is_running(p) or took(p, signal.SIGTERM) for p in first))
    signal_to(pids, signal.SIGCONT)


BIG_MIB = 90


def big(name, **config):
    """A running container with BIG_MIB of its own, and its pid."""
    c = start(d, "sh", "-c", "for i in 1 2 3 4 5 6; do head -c %d /dev/urandom >/big$i; done; "
              "touch /ready; exec sleep 1000" % (BIG_MIB * 1000000 // 6), name=name, **config)
    wait_for(60, lambda: d.ctr("exec", name, "test", "-e", "/ready").rc == 0)
    return c, d.request("GET", "/containers/%s/json" % name)[2]["State"]["Pid"]


def tmp():
    return os.listdir(T + "/state/tmp")


def store_is_good(name):
    o = d.request("POST", "/system/check", timeout=90)[2]
    check(o["Found"] == 0, name, o)


# ------------------------------------------------------------- isolad goes away

def isolad_killed():
    c, pid = big("ki")
    had = tags()
    for i in range(3):
        t, got, pids = midway("ki", "ki:%d" % i, pid, (0.05, 0.5, 1.05)[i])
        ok("a commit has it paused")
        d.stop(signal.SIGKILL)
        check(wait_for(5, lambda: not frozen(pid)), "isolad is killed: the container goes on")
        end_them(pids)
        check(wait_for(10, lambda: not helpers()), "the commit ends with isolad")
        t.join(30)
        check(got and got[0].rc != 0, "its client is told", got)
        d.start()
        is_(d.request("GET", "/containers/ki/json")[2]["State"]["Status"], "running",
            "the next isolad knows that it runs")
        check(wait_for(10, lambda: not tmp()), "nothing is left in tmp/", tmp())
        is_(tags(), had, "no image of it")
    t, got, pids = midway("ki", "ki:stop", pid)
    d.stop()
    end_them(pids)
    check(wait_for(5, lambda: not frozen(pid)), "isolad is stopped: the container goes on")
    check(wait_for(10, lambda: not helpers()), "so does the commit end")
    t.join(30)
    d.start()
    d.ctr("pause", "ki")
    d.stop(signal.SIGKILL)
    time.sleep(0.3)
    check(frozen(pid), "what a user paused stays so without isolad")
    d.start()
    is_(d.request("GET", "/containers/ki/json")[2]["State"]["Status"], "paused", "and with it")
    d.ctr("unpause", "ki")
    good("a commit at last", d.ctr("commit", "ki", "ki:x", limit_s=60))
    d.ctr("rmi", "ki:x")
    remove(d, c)
    store_is_good("the store is good")


def stalled_clients():
    """isolad ends while a client of a copy neither sends nor reads."""
    c = create(d, "sleep", "1000", name="sc")
    r, _ = big("sr")
    for sig in (signal.SIGTERM, signal.SIGKILL):
        for which in ("sc", "sr"):
            with Wire(d) as w:
                w.send("PUT /containers/%s/archive?path=/tmp HTTP/1.1\r\nHost: x\r\n"
                       "Content-Length: 100000\r\n\r\n" % which)
                check(wait_for(5, lambda: helpers("cp-put")), "a write to %s waits" % which)
                d.stop(sig)
                check(wait_for(10, lambda: not helpers()), "and ends with isolad (%s)" % sig.name)
                d.start()
        with Wire(d) as w:
            w.ask("GET", "/containers/sr/export")
            w.head()
            check(wait_for(5, lambda: helpers("cp-export")), "a read waits")
            d.stop(sig)
            check(wait_for(10, lambda: not helpers()), "and ends with isolad (%s)" % sig.name)
            d.start()
    good("the container starts", d.ctr("start", "sc"))
    remove(d, c)
    remove(d, r)


# ------------------------------------------------------- the container goes away

def container_removed():
    had = tags()
    for i in range(3):
        c, pid = big("cr%d" % i, HostConfig={"AutoRemove": i == 2})
        t, got, pids = midway("cr%d" % i, "cr:%d" % i, pid, (0.05, 1.05, 0.5)[i])
        r, gone = later("rm", "-f", "cr%d" % i)
        check(wait_for(10, told_to_end, pids), "a removal cancels a commit")
        end_them(pids)
        r.join(60 * SCALE)
        good("a container is removed while it is committed", gone[0])
        t.join(60 * SCALE)
        check(got[0].rc == 1 and "is being removed" in got[0].err, "the commit fails and says why", got)
    is_(tags(), had, "half a container is no image")
    c, pid = big("ce")
    with Wire(d) as w:
        w.ask("GET", "/containers/ce/export")
        w.head()
        w.more()
        good("or while it is exported", d.ctr("rm", "-f", "ce"))
        while w.more():
            pass
        check(not w.buffer.endswith(b"0\r\n\r\n"), "the archive is cut off, not short")
    check(wait_for(10, lambda: not helpers()), "no helper stays")
    check(wait_for(10, lambda: not tmp()), "nothing is left in tmp/", tmp())


def together():
    """Two commits at once: the container is quiet until the last has ended."""
    c, pid = big("to")
    first, a, pids = midway("to", "to:1", pid)
    second, b = later("commit", "to", "to:2")
    wait_for(10, lambda: set(helpers("commit")) - set(pids) or not second.is_alive())
    check(frozen(pid), "it is frozen while both run")
    second.join(5 * SCALE)
    check(frozen(pid), "and while the first does")
    signal_to(pids, signal.SIGCONT)
    first.join(60 * SCALE)
    second.join(60 * SCALE)
    good("the first", a[0])
    good("the second", b[0])
    check(not frozen(pid), "then it goes on")
    is_(d.request("GET", "/containers/to/json")[2]["State"]["Status"], "running", "and is running")
    remove(d, c)
    d.ctr("rmi", "to:1")
    d.ctr("rmi", "to:2")


def helper_killed():
    """What a killed load leaves goes at once, not at the next start."""
    c, _ = big("hk")
    good("an image", d.ctr("commit", "hk", "hk:1", limit_s=60))
    good("an archive", d.ctr("save", "-o", T + "/hk.tar", "hk:1"))
    d.ctr("rmi", "hk:1")
    remove(d, c)
    p = subprocess.Popen([BUILD + "/ctrctl", "-H", "unix://" + d.socket, "load"], text=False,
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with open(T + "/hk.tar", "rb") as f:
        p.stdin.write(f.read(4 << 20))
    p.stdin.flush()
    check(wait_for(10, lambda: helpers("load") and tmp()), "a load waits for more")
    signal_to(helpers("load"), signal.SIGKILL)
    try:
        _, err = p.communicate(timeout=60 * SCALE)
    except subprocess.TimeoutExpired:
        p.kill()
        _, err = p.communicate()
    check(p.returncode == 1 and b"signal 9" in err, "killed, it says so", err)
    check(wait_for(10, lambda: not tmp()), "and its files go", tmp())
    store_is_good("the store is good")


def index_damaged():
    """isolad starts without image names, too: the repair needs it."""
    index = T + "/state/images/index.json"
    c = start(d, "sleep", "1000", name="ix")
    d.stop()
    text = open(index).read()
    open(index, "w").write(text[:100])
    check(d.start(), "isolad starts with half an index.json")
    is_(state(d, c)["Status"], "running", "containers run")
    like("".join(d.log_tail()), "ctrctl system check --repair", "its log says what to do")
    got = d.ctr("system", "check")
    check(got.rc == 1 and "index.json" in got.out, "the check finds it", got)
    got = d.ctr("system", "check", "--repair")
    check(got.rc == 0, "and mends it", got)
    ids = [i["Id"] for i in d.request("GET", "/images/json")[2]]
    is_(len(ids), 1, "the image is there again")
    good("it gets its name", d.ctr("tag", ids[0], "busybox:latest"))
    remove(d, c)


# ------------------------------------------------------------------ odd trees

def odd_names():
    """Names that are no UTF-8: JSON has a stand-in, archives have the bytes."""
    c = create(d, "true", name="on")
    b = io.BytesIO()
    with tarfile.open(fileobj=b, mode="w", format=tarfile.GNU_FORMAT, errors="surrogateescape") as t:
        for name, link in ((b"b\xffd", None), (b"plain", b"to\xfe"), ("grün".encode(), None)):
            i = tarfile.TarInfo(os.fsdecode(name))
            if link:
                i.type, i.linkname = tarfile.SYMTYPE, os.fsdecode(link)
            t.addfile(i)
    is_(d.request("PUT", "/containers/on/archive" + q(path="/root"), b.getvalue(),
                  headers={"Content-Type": "application/x-tar"})[0], 200, "odd names go in")
    got = d.ctr("diff", "on")
    good("diff shows them", got, "C /root\nA /root/b\ufffdd\nA /root/grün\nA /root/plain\n")
    for path in ("/root/b%ffd", "/root/plain"):
        for method in ("HEAD", "GET"):
            with Wire(d, 10) as w:
                w.ask(method, "/containers/on/archive?path=" + path)
                status, fields = w.head()[:2]
                is_(status, 200, "%s %s" % (method, path))
                field = next(v for k, v in fields.items() if k.lower() == "x-docker-container-path-stat")
                o = json.loads(base64.b64decode(field))
                is_((o["name"], o["linkTarget"]), ("b\ufffdd", "") if "b" in path[6:8] else
                    ("plain", "to\ufffd"), "with what it is")
    _, _, data = d.request("GET", "/containers/on/archive" + q(path="/root"))
    names = tarfile.open(fileobj=io.BytesIO(data), errors="surrogateescape").getnames()
    check(os.fsdecode(b"root/b\xffd") in names, "the archive has the very bytes", names)
    remove(d, c)


def deep():
    """A tree as deep as a path can be."""
    c = start(d, "sh", "-c", "i=0; while [ $i -lt 1500 ]; do mkdir d && cd d || exit 1; "
              "i=$((i+1)); done; echo x >f && touch /ready; exec sleep 1000", name="dp",
              WorkingDir="/root")
    check(wait_for(60, lambda: d.ctr("exec", "dp", "test", "-e", "/ready").rc == 0), "a deep tree",
          d.ctr("logs", "dp"))
    got = d.ctr("diff", "dp")
    is_((got.rc, got.out.count("\n")), (0, 1503), "diff", (got.err, got.out[:100], got.out[-100:]))
    got = d.ctr("export", "-o", T + "/deep.tar", "dp")
    is_((got.rc, max(n.count("/") for n in tarfile.open(T + "/deep.tar").getnames())), (0, 1501),
        "export", got)
    good("cp", d.ctr("cp", "dp:/root", T + "/deep"))
    run("rm", "-rf", T + "/deep")
    good("commit", d.ctr("commit", "dp", "dp:1", limit_s=60))
    remove(d, c)
    good("and away", d.ctr("rmi", "dp:1"))


def stubs():
    """Mount points that the image has are its own, and so is what changed in them."""
    with tarfile.open(T + "/root.tar", "a") as t:
        for n in ("hosts", "hostname", "resolv.conf"):
            i = tarfile.TarInfo("etc/" + n)
            t.addfile(i)
    good("an image with /etc/hosts", d.ctr("import", T + "/root.tar", "hosts:1"))
    c = start(d, "sh", "-c", "chmod 700 /etc; chown 7:8 /etc", name="sb", Image="hosts:1")
    d.ctr("wait", "sb")
    good("a commit", d.ctr("commit", "sb", "hosts:2"))
    got = d.ctr("run", "--rm", "hosts:2", "stat", "-c", "%a %u %g", "/etc")
    good("keeps what was done to /etc", got, "700 7 8\n")
    remove(d, c)
    d.ctr("rmi", "hosts:2")
    d.ctr("rmi", "hosts:1")


for chapter in (isolad_killed, stalled_clients, container_removed, together, helper_killed,
                index_damaged, odd_names, deep, stubs):
    try:
        chapter()
    except Exception as e:     # one broken chapter must not hide the others
        not_ok(chapter.__name__, "%s: %s" % (type(e).__name__, e))
for c in d.ctr("ps", "-aq").out.split():
    remove(d, c)
leak_check()
stop_isolad()
finish()
