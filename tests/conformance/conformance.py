# SPDX-License-Identifier: Apache-2.0
"""What one image does behind each wall, as data (README.md beside this file): reads
cases/*.json, runs a case behind a wall, and says what was not as the case has it."""
import concurrent.futures
import glob
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import threading
import time

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, HERE + "/..")
from lib import *

WALLS = ("container", "vm")
CASE_S = 60
UNTIL_S = 30
EXPECTED = ("rc", "out", "like", "err", "err_like")
# For each wall in the lab; what is not reached by then is skipped, aloud.
LAB_S = float(os.environ.get("ISOLA_CASES_S") or 360)
NO_TIME = "no time was left"
AGAIN_MAX = 3       # of a run in the lab, whose emulation loses a guest now and then


class Table:
    """The cases of some topics (files of cases/), or of all."""

    def __init__(self, *topics, root=""):
        """@root: what gives the guests their root, "erofs" or "virtiofs"."""
        self.cases, self.instances = [], {}
        for path in sorted(glob.glob(HERE + "/cases/*.json")):
            topic = os.path.basename(path)[:-5]
            if topics and topic not in topics:
                continue
            with open(path) as f:
                doc = json.load(f)
            self.instances.update(doc.get("instances", {}))
            for case in doc["cases"]:
                case["topic"] = topic
                if case.get("root", root) != root:      # a difference of the other kind of root
                    del case["vm"], case["differs"]
                self.cases.append(case)

    def groups(self):
        """Lists of cases that belong one after the other: those in one instance."""
        by, loose = {}, []
        for case in self.cases:
            if "in" in case:
                by.setdefault(case["in"], []).append(case)
            else:
                loose.append([case])
        return list(by.values()) + loose

    def faults(self):
        """What is wrong with the table itself."""
        ids = [c.get("id") for c in self.cases]
        bad = ["two cases are %s" % i for i in sorted(set(ids), key=str) if ids.count(i) > 1]
        for c in self.cases:
            if not re.fullmatch(r"[a-z0-9-]{2,40}", c.get("id") or "") or not c.get("name"):
                bad.append("%s: needs id and name" % c)
            if not any(k in step for step in steps_of(c, "container") for k in EXPECTED):
                bad.append("%s expects nothing" % c["id"])
            if "steps" not in c and 0 < c.get("rc", 0) < 128 and \
                    not any(c.get(k) for k in EXPECTED if k != "rc"):
                bad.append("%s expects a failure, but not why" % c["id"])
            if "in" in c and c["in"] not in self.instances:
                bad.append("%s: no instance %s" % (c["id"], c["in"]))
            if ("vm" in c) != ("differs" in c):
                bad.append("%s: \"vm\" goes with \"differs\"" % c["id"])
        return bad


def listed_differences():
    """The ids in docs/isolation.md below "Known differences"."""
    text = open(SRC + "/docs/isolation.md").read()
    part = re.search(r"^##+ Known differences\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    return set(re.findall(r"^\| `([a-z0-9-]+)` \|", part[1], re.M)) if part else set()


def shell(command):
    return ["sh", "-c", command] if isinstance(command, str) else command


def steps_of(case, wall):
    """A case as a list of steps; one of a single command is a run, or an exec."""
    if "steps" in case:
        steps = [dict(s) for s in case["steps"]]
    else:
        step = {k: case[k] for k in EXPECTED + ("input",) if k in case}
        command = shell(case.get("command", []))
        step["do"] = ["exec", *case.get("flags", []), "@I@", *command] if "in" in case else \
            ["run", "--rm", *case.get("flags", []), case.get("image", "conf"), *command]
        steps = [step]
    if wall == "vm" and "vm" in case:
        steps[case.get("vm_step", -1)].update(case["vm"])
    return steps


def in_batch(case):
    """Whether a case is one that many of its instance can be done with in one exec."""
    return "in" in case and isinstance(case.get("command"), str) and \
        not any(k in case for k in ("flags", "input", "steps"))


def batch_script(cases):
    """Each command in a shell of its own, with its outputs and exit code apart."""
    return "mkdir /batch; " + "".join(
        "sh -c %s </dev/null >/batch/out 2>/batch/err; printf '\\035%s %%d\\036' $?; "
        "cat /batch/out; printf '\\036'; cat /batch/err; rm /batch/*; " %
        (shlex.quote(c["command"]), c["id"]) for c in cases)


def batch_results(text):
    """{id: result} of what such a script printed."""
    got = {}
    for part in text.split("\035")[1:]:
        head, out, err = part.split("\036")
        got[head.split()[0]] = Ran(int(head.split()[1]), out, err)
    return got


def with_wall(argv, wall):
    """run and create get the wall, and no network unless one is asked for."""
    if argv[0] not in ("run", "create"):
        return argv
    net = [] if any(a.startswith("--net") for a in argv) else ["--network", "none"]
    return [argv[0], "--isolation", wall, *net, *argv[1:]]


def mismatch(step, got):     # of a step whose names are filled in
    """What of @got the step did not want, or nothing."""
    bad = []
    if got.rc != step.get("rc", 0):
        bad.append("exit code %s, not %s" % (got.rc, step.get("rc", 0)))
    if "out" in step and got.out != step["out"]:
        bad.append("output %r, not %r" % (got.out, step["out"]))
    if "like" in step and not re.search(step["like"], got.out, re.M):
        bad.append("output %r is not like %r" % (got.out, step["like"]))
    err = step.get("err", "" if not got.rc and "err_like" not in step else None)
    if err is not None and got.err != err:
        bad.append("error output %r, not %r" % (got.err, err))
    if "err_like" in step and not re.search(step["err_like"], got.err, re.M):
        bad.append("error output %r is not like %r" % (got.err, step["err_like"]))
    return "; ".join(bad) + ("" if not bad else "; error output %r" % got.err[-400:])


class Side:
    """One wall of one isolad."""

    def __init__(self, d, wall, table, limit_s=None):
        self.d, self.wall, self.table = d, wall, table
        self.end = time.monotonic() + limit_s if limit_s else None
        self.places = T + "/c-" + wall
        self.started = set()
        self.seconds = {}

    def number(self, case):
        """One that no other case of either wall has, below 250 while there are few."""
        n = [c["id"] for c in self.table.cases if c["topic"] == "network"].index(case["id"]) \
            if case["topic"] == "network" else 0
        return 2 * n + WALLS.index(self.wall) + 1

    def fill(self, case, text):
        """@text with its names, which are the wall's own."""
        names = {"@C@": "%s-%s" % (case["id"], self.wall[0]),
                 "@V@": "v-%s-%s" % (case.get("in") or case["id"], self.wall[0]),
                 "@I@": "in-%s-%s" % (case.get("in", ""), self.wall[0]),
                 "@B@": "%s/%s" % (self.places, case["id"]),
                 "@IB@": "%s/in-%s" % (self.places, case.get("in", "")), "@T@": T + "/given",
                 "@PORT@": "8%03d" % self.number(case), "@OCTET@": str(self.number(case)),
                 "@LONG@": "x" * 100000, "@MIB@": "0123456789abcde\n" * 65536}
        for name, value in names.items():
            text = text.replace(name, value)
        return text

    def instance(self, case):
        """Starts what a case wants to be executed in; says what failed."""
        name = case.get("in")
        if not name or name in self.started:
            return ""
        spec = self.table.instances[name]
        self.end_instance(case)     # of one whose guest was lost
        if "host" in spec:
            os.makedirs(self.fill(case, "@IB@"))
            run("sh", "-c", self.fill(case, spec["host"]), limit_s=CASE_S)
        argv = ["run", "-d", "--name", "@I@", *spec.get("flags", []), spec.get("image", "conf"),
                *shell(spec.get("command", ["sleep", "100000"]))]
        r = self.d.ctr(*with_wall([self.fill(case, a) for a in argv], self.wall), limit_s=CASE_S)
        if r.rc:
            return "its instance does not start: %r" % r
        self.started.add(name)
        return ""

    def end_instance(self, case):
        self.d.ctr("rm", "-f", "-v", self.fill(case, "@I@"), limit_s=CASE_S)
        for words in self.table.instances[case["in"]].get("clean", []):
            self.d.ctr(*[self.fill(case, a) for a in words], limit_s=CASE_S)
        shutil.rmtree(self.fill(case, "@IB@"), ignore_errors=True)
        self.started.discard(case["in"])

    def step(self, case, step):
        if "host" in step:
            return run("sh", "-c", step["host"], limit_s=CASE_S)
        if "in_net" in step:
            return self.d.in_net("sh", "-c", step["in_net"], limit_s=CASE_S)
        argv = [self.fill(case, a) for a in step["do"]]
        return self.d.ctr(*with_wall(argv, self.wall), text=step.get("input"), limit_s=CASE_S)

    def one(self, case):
        """Runs a case; returns what was wrong, or nothing."""
        bad = self.instance(case)
        if bad:
            return bad
        os.makedirs(self.fill(case, "@B@"))
        for n, step in enumerate(steps_of(case, self.wall)):
            step = {k: self.fill(case, v) if isinstance(v, str) else v for k, v in step.items()}
            if "then" in step:      # until it is so
                got = []
                wait_for(UNTIL_S, lambda: (got.append(self.step(case, {"do": step["then"]})),
                                           not mismatch(step, got[-1]))[1])
                bad = mismatch(step, got[-1])
            else:
                bad = mismatch(step, self.step(case, step))
            if bad:
                return "step %d: %s" % (n + 1, bad)
        return ""

    def clean(self, case):
        if "steps" in case and "in" not in case:
            self.d.ctr("rm", "-f", "-v", self.fill(case, "@C@"), self.fill(case, "@C@2"),
                       limit_s=CASE_S)
        for cleanup in case.get("clean", []):
            self.d.ctr(*[self.fill(case, a) for a in cleanup], limit_s=CASE_S)
        shutil.rmtree(self.fill(case, "@B@"), ignore_errors=True)

    def batch(self, cases):
        """Those that are well when done in one exec; of the others each gets its own."""
        if len(cases) < 2 or self.instance(cases[0]):
            return set()
        r = self.d.ctr("exec", self.fill(cases[0], "@I@"), "sh", "-c", batch_script(cases),
                       limit_s=CASE_S)
        got = batch_results(r.out)
        return {c["id"] for c in cases if c["id"] in got and
                not mismatch(steps_of(c, self.wall)[0], got[c["id"]])}

    def group(self, cases):
        """What was wrong with each of a group; the group's instance goes."""
        if self.end and time.monotonic() > self.end:
            return [NO_TIME] * len(cases)
        result = []
        t0 = time.monotonic()
        batch = [c for c in cases if in_batch(c)]
        well = self.batch(batch)
        if len(well) < len(batch) and cases[0]["in"] in self.started:
            self.end_instance(cases[0])     # what the others did there is not in the way
        if well:
            self.seconds["all of " + cases[0]["in"]] = time.monotonic() - t0
        for case in cases:
            if case["id"] in well:
                result.append("")
                continue
            t0 = time.monotonic()
            try:
                result.append(self.one(case))
            finally:
                self.clean(case)
            self.seconds[case["id"]] = time.monotonic() - t0
        if "in" in cases[0]:
            self.end_instance(cases[0])
        return result

    def all(self, threads, again=0):
        """{id: what was wrong} of the table, @threads groups at a time. What a lost guest
        may have spoiled gets another chance, which is told."""
        wrong = {}
        groups = self.table.groups()
        with concurrent.futures.ThreadPoolExecutor(threads) as pool:
            for cases, bad in zip(groups, pool.map(self.group, groups)):
                wrong.update(zip([c["id"] for c in cases], bad))
        failed = [c for c in self.table.cases if wrong[c["id"]] not in ("", NO_TIME)]
        for case in failed if len(failed) <= again else []:
            diag("%s behind %s, again after: %s" % (case["id"], self.wall, wrong[case["id"]]))
            wrong[case["id"]] = self.group([case])[0]
        return wrong


def has(needs):
    """Whether this machine can do what a case needs beside a kernel."""
    return all(has_controller(n) for n in needs)


def image_tar(path):
    """The image: busybox, the probe, and files of several kinds and owners."""
    import io
    busybox_tar(path)
    with tarfile.open(path, "a") as tar:
        def add(name, kind=tarfile.REGTYPE, mode=0o644, data=b"", link="", uid=0, gid=0, **pax):
            t = tarfile.TarInfo(name)
            t.type, t.mode, t.size, t.linkname, t.uid, t.gid = kind, mode, len(data), link, uid, gid
            t.pax_headers = pax
            tar.addfile(t, io.BytesIO(data))
        with open(BUILD + "/tests/conformance/probe", "rb") as f:
            add("bin/probe", mode=0o755, data=f.read())
        add("etc/passwd", data=b"root:x:0:0:root:/root:/bin/sh\nann:x:1000:100:Ann:/home/ann:"
            b"/bin/sh\nbob:x:1001:1001::/home/bob:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")
        add("etc/group", data=b"root:x:0:\nusers:x:100:\ndisk:x:6:ann\naudio:x:29:ann,bob\n"
            b"bob:x:1001:\nnogroup:x:65534:\n")
        add("home", tarfile.DIRTYPE, 0o755)
        add("home/ann", tarfile.DIRTYPE, 0o700, uid=1000, gid=100)
        add("home/ann/mine", data=b"mine\n", uid=1000, gid=100, mode=0o600)
        add("seed", tarfile.DIRTYPE, 0o750, uid=1000, gid=100)
        add("seed/a", data=b"seed a\n", uid=1001, gid=1001)
        add("seed/link", tarfile.SYMTYPE, link="a")
        add("seed/hard", tarfile.LNKTYPE, link="seed/a")
        add("seed/sub", tarfile.DIRTYPE, 0o2775)
        add("seed/sub/b", data=b"b\n", mode=0o4755)
        add("lib-link", tarfile.SYMTYPE, link="seed")
        add("text", data=b"a text\n")
        add("no-x", mode=0o644, data=b"#!/bin/sh\necho never\n")
        add("script", mode=0o755, data=b"#!/bin/sh\necho script \"$@\"\n")
        add("bad-interp", mode=0o755, data=b"#!/no/such/thing\n")
        add("not-elf", mode=0o755, data=b"\x7fNOTELF\n")
        with open(BUILD + "/tests/conformance/probe", "rb") as f:
            add("bin/su-probe", mode=0o4755, data=f.read())
        add("l", tarfile.DIRTYPE, 0o755)
        for name in ("gone/a", "gone/b", "hidden/old", "hidden/sub/old", "emptied/old", "file/in-it",
                     "partly/a", "partly/b", "partly/sub/c", "linked"):
            add("l/" + name, data=name.encode() + b"\n")
        add("l/folder", data=b"a file\n")
        add("l/map", data=b"".join(c + bytes(4095) for c in (b"a", b"b", b"c")))
        add("l/attrs", data=b"x\n", **{"SCHILY.xattr.user.colour": "blue"})
        add("l/capable", mode=0o755, data=b"x\n", **{"SCHILY.xattr.security.capability":
            "\1\0\0\2" + "\0\4\0\0" + "\0" * 12})
    return path


# What a second layer does to the first one's files, and one with many of its own.
LAYERED = """FROM conf
RUN rm /l/gone/a && rm -r /l/emptied && mkdir /l/emptied && \\
    rm -r /l/hidden && mkdir /l/hidden && echo new >/l/hidden/new && \\
    rm -r /l/file && echo now a file >/l/file && rm /l/folder && mkdir /l/folder && \\
    echo x >/l/folder/x && rm /l/partly/a && rm -r /l/partly/sub && mkdir /l/partly/sub
RUN mkdir /l/many && cd /l/many && seq -w 10000 | sed s.^.entry-. | xargs touch && \\
    echo last >entry-10000 && mkdir /l/partly/sub/sub && echo z >/l/partly/a
"""


def give_files():
    """What cases find at @T@."""
    os.makedirs(T + "/given")
    with open(T + "/given/env", "w") as f:
        f.write("# a comment\nA=1\nB=two words\n")
    with open(T + "/given/nomkdir.json", "w") as f:
        json.dump({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}]}, f)


FULL = ["ENTRYPOINT [\"/script\", \"one\"]", "CMD [\"two\", \"three\"]", "ENV COLOUR=blue SIZE=9",
        "WORKDIR /seed/sub", "USER ann", "STOPSIGNAL SIGUSR1", "LABEL maker=us",
        "VOLUME /seed", "EXPOSE 80"]


def import_images(d):
    """The images of the table: conf is bare, full says all that an image may say."""
    need_program("isolad", "isola-keeper", "isola-image", "ctrctl", "tests/conformance/probe")
    image_tar(T + "/conf.tar")
    give_files()
    changes = [a for c in FULL for a in ("-c", c)]
    for r in (d.ctr("import", "-c", "CMD [\"sh\"]", T + "/conf.tar", "conf"),
              d.ctr("import", *changes, T + "/conf.tar", "full")):
        if r.rc:
            not_ok("the images are imported", r)
            finish()


def build_layered(d, table):
    """The image of several layers, if a case is executed in it."""
    if not any(table.instances[c["in"]].get("image") == "layered" for c in table.cases if "in" in c):
        return
    os.mkdir(T + "/layered")
    with open(T + "/layered/Dockerfile", "w") as f:
        f.write(LAYERED)
    r = d.ctr("build", "-q", "--network", "none", "-t", "layered", T + "/layered", limit_s=300)
    if r.rc:
        not_ok("the image of several layers is built", r)
        finish()


def run_in_memory():
    """The run folder in memory, as /run is: secrets want that."""
    os.makedirs(T + "/run")
    if run("mount", "-t", "tmpfs", "none", T + "/run").rc:
        skip_all("no tmpfs can be mounted")


def natively(*topics):
    """The container side of some topics, on this machine: a whole test."""
    need_root()
    run_in_memory()
    d = start_isolad() or skip_all("isolad does not start")
    table = Table(*topics)
    is_(table.faults(), [], "the table is in order")
    import_images(d)
    for c in [c for c in table.cases if not has(c.get("needs", []))]:
        skip(c["name"], "needs cgroup v2's " + ", ".join(c["needs"]))
        table.cases.remove(c)
    build_layered(d, table)
    d.ctr("run", "--rm", "--network", "none", "conf", "true")
    leak_mark()
    wrong = Side(d, "container", table).all(2)
    for c in table.cases:
        is_(wrong[c["id"]], "", "%s: %s" % (c["id"], c["name"]))
    leak_check()
    stop_isolad()
    run("umount", "-l", T + "/run")
    finish()


def behind_both(d, loose=True):
    """All cases, or only those that share an instance (not @loose), behind both walls: how
    many are equal."""
    import_images(d)
    r = d.ctr("create", "--isolation", "vm", "--network", "none", "conf", "true")
    root = d.request("GET", "/containers/%s/json" % r.out.strip())[2]["Isola"]["Root"]
    d.ctr("rm", r.out.strip())
    diag("guests have their root by " + root)
    table = Table(root=root)
    is_(table.faults(), [], "the table is in order")
    is_({c["differs"] for c in table.cases if "differs" in c} - listed_differences(), set(),
        "each difference is in docs/isolation.md")
    wanted = os.environ.get("ISOLA_CASES", "").replace(",", " ").split()
    if wanted:
        table.cases = [c for c in table.cases if c["id"] in wanted]
    elif not loose:
        table.cases = [c for c in table.cases if "in" in c]
    build_layered(d, table)
    wrong = {}
    for wall in WALLS:
        t0 = time.monotonic()
        side = Side(d, wall, table, LAB_S)
        wrong[wall] = side.all(3, AGAIN_MAX)
        diag("%s: %.0f s; slowest: %s" % (wall, time.monotonic() - t0, ", ".join(
            "%s %.1f" % x for x in sorted(side.seconds.items(), key=lambda x: -x[1])[:8])))
    equal = differ = late = 0
    for c in table.cases:
        bad = {w: wrong[w][c["id"]] for w in WALLS if wrong[w][c["id"]]}
        name = "%s: %s" % (c["id"], c["name"])
        if NO_TIME in bad.values():
            skip(name, "no time was left for it in the lab")
            late += 1
            continue
        check(not bad, name, bad)
        equal += not bad and "differs" not in c
        differ += not bad and "differs" in c
    print("# %d cases, %d equal behind both walls, %d listed as different, %d not reached" %
          (len(table.cases), equal, differ, late), flush=True)
