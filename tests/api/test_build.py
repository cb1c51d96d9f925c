# SPDX-License-Identifier: Apache-2.0
#
# Builds: POST /build and ctrctl build on a whole isolad, with Docker's own client and
# buildah beside them. Steps, cache, COPY, errors with their line, hostile contexts,
# a client that leaves, isolad killed in the middle.
# time limit: 300 s
# not in the lab: dozens of containers, one after the other, under emulation
import base64
import gzip
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import urllib.parse

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)) + "/..")
from lib import *
from wire import *

need_root()
need_program("isolad", "isola-keeper", "isola-image", "ctrctl")
d = start_isolad() or skip_all("isolad does not start")
TAR = busybox_tar(T + "/root.tar")
load_image(d, TAR)
remove(d, start(d, "true"))      # what isolad keeps from its first start on is no leak
leak_mark()
CONTEXT = T + "/ctx"


def entry(name, data=b"", mode=0o644, kind=tarfile.REGTYPE, link="", mtime=1000000000, **more):
    t = tarfile.TarInfo(name)
    data = data.encode() if isinstance(data, str) else data
    t.size, t.mode, t.type, t.linkname, t.mtime = len(data), mode, kind, link, mtime
    for key, value in more.items():
        setattr(t, key, value)
    return t, data


def pack(files, extra=()):
    """files: {name: text}, more entries as of entry()."""
    b = io.BytesIO()
    with tarfile.open(fileobj=b, mode="w") as tar:
        for t, data in [entry(n, c) for n, c in files.items()] + list(extra):
            tar.addfile(t, io.BytesIO(data))
    return b.getvalue()


class Built:
    """One POST /build and what came of it."""

    def __init__(self, files, extra=(), body=None, **params):
        path = "/build?" + urllib.parse.urlencode(params, doseq=True)
        body = pack(files, extra) if body is None else body
        self.status, _, got = d.request("POST", path, body, {"Content-Type": "application/x-tar"},
                                        timeout=90 * SCALE)
        lines = [got] if isinstance(got, dict) else \
            [json.loads(x) for x in got.decode().splitlines()]
        self.error = "".join(x.get("error", x.get("message", "")) for x in lines)
        self.code = next((x["errorDetail"].get("code") for x in lines if "errorDetail" in x), None)
        self.id = next((x["aux"]["ID"] for x in lines if "aux" in x), None)
        self.out = "".join(x.get("stream", "") for x in lines)
        self.lines = lines
        self.cached = self.out.count("Using cache")

    def __repr__(self):
        return "%s %s %s\n%s" % (self.status, self.error, self.id, self.out)


def built(name, files, *a, **k):
    b = Built(files, *a, **k)
    check(b.status == 200 and b.id and not b.error, name, b)
    return b


def refused(name, files, text, *a, **k):
    b = Built(files, *a, **k)
    check(b.error and text in b.error and not b.id, name, "wanted %r\n%r" % (text, b))
    return b


def inside(image, script):
    got = d.ctr("run", "--rm", "--entrypoint", "/bin/sh", "-u", "0", image, "-c", script)
    return got.out if got.rc == 0 else repr(got)


def image(ref):
    return d.request("GET", "/images/%s/json" % ref)[2]


def history(ref):
    return [h["CreatedBy"] for h in reversed(d.request("GET", "/images/%s/history" % ref)[2])]


def quiet():
    """Nothing is left of any build."""
    check(wait_for(10, lambda: os.listdir(T + "/state/tmp") == []), "no folder of a job is left",
          os.listdir(T + "/state/tmp"))
    is_(d.request("GET", "/containers/json?all=1")[2], [], "no container is left")
    got = d.request("POST", "/system/check")[2]
    is_((got["Found"], got["Problems"]), (0, []), "the store passes its check")


def steps():
    b = built("a build of many instructions", {"Dockerfile": """# escape=\\
ARG TAG=latest
FROM busybox:$TAG AS base
MAINTAINER somebody
LABEL a=1 "b c"="d e"
ENV X=1 Y="$X-${Z:-z}" W=${X:+set}
ARG V=default
RUN echo "$V $X" \\
    # a comment inside

    > /made && mkdir /d
EXPOSE 80 53/udp
VOLUME ["/data"]
USER nobody
WORKDIR /w
WORKDIR x/${X}
STOPSIGNAL SIGINT
HEALTHCHECK --interval=5s CMD true
SHELL ["/bin/sh", "-ec"]
ONBUILD RUN echo later
CMD echo hi
ENTRYPOINT ["env"]
"""}, t=["b:1", "b:2"], buildargs=json.dumps({"V": "given"}), labels=json.dumps({"l": "$x\"y"}))
    check(b.out.startswith("Step 1/19 : ARG TAG=latest\nStep 2/19 : FROM busybox:$TAG AS base\n ---> "),
          "Docker's words for steps", b.out[:200])
    check("Successfully built %s\nSuccessfully tagged b:1\nSuccessfully tagged b:2\n" % b.id[7:19]
          in b.out, "and for the end", b.out[-200:])
    check(" ---> Running in " in b.out and " ---> Removed intermediate container " in b.out,
          "and for a RUN", b.out)
    o = image("b:1")
    c = o["Config"]
    is_(o["Id"], b.id, "the tag is the image's")
    is_((o["Author"], c["Labels"]), ("somebody", {"a": "1", "b c": "d e", "l": '$x"y'}),
        "MAINTAINER, LABEL, --label")
    is_([e for e in c["Env"] if not e.startswith("PATH")], ["X=1", "Y=-z", "W="],
        "ENV, of what was before the instruction")
    is_((c["User"], c["WorkingDir"], c["StopSignal"], list(c["Volumes"]), sorted(c["ExposedPorts"])),
        ("nobody", "/w/x/1", "SIGINT", ["/data"], ["53/udp", "80/tcp"]), "USER, WORKDIR and others")
    is_((c["Healthcheck"], c["Shell"], c["OnBuild"]),
        ({"Test": ["CMD-SHELL", "true"], "Interval": 5000000000}, ["/bin/sh", "-ec"],
         ["RUN echo later"]), "HEALTHCHECK, SHELL, ONBUILD")
    is_((c["Cmd"], c["Entrypoint"]), (["/bin/sh", "-ec", "echo hi"], ["env"]), "CMD by SHELL, ENTRYPOINT")
    is_(inside("b:1", "cat /made; stat -c '%a %u' /w/x/1"), "given 1\n755 0\n", "RUN ran, with ARG and ENV")
    h = history("b:1")
    check("/bin/sh -c #(nop)  ENV X=1 Y=-z W=" in h and
          any(x.startswith("|1 V=given /bin/sh -c echo") for x in h) and
          "/bin/sh -c #(nop) WORKDIR /w/x/1".replace("WORKDIR", " WORKDIR") in h, "history in Docker's words", h)
    is_(len(o["RootFS"]["Layers"]), 4, "a layer only where files changed: base, RUN, two WORKDIR")
    is_(o["Parent"][:7], "sha256:", "it has a parent")
    b = built("its ONBUILD", {"Dockerfile": "FROM b:1\nUSER 0\n"}, t="b:3")
    check("# Executing 1 build trigger\n" in b.out and "later\n" in b.out, "runs in the next build", b.out)
    is_(image("b:3")["Config"]["OnBuild"], None, "and only there")
    b = built("ENTRYPOINT alone", {"Dockerfile": "FROM b:1\nENTRYPOINT [\"/bin/true\"]\n"})
    is_(image(b.id)["Config"]["Cmd"], None, "takes the base's CMD away")


def stages():
    f = {"Dockerfile": """ARG GLOBAL=g
FROM busybox AS one
ARG GLOBAL
RUN mkdir -p /out/sub && echo $GLOBAL >/out/f && ln -s f /out/link && echo x >/out/sub/x && chown 5:6 /out/f
FROM busybox AS two
RUN echo two >/two
FROM scratch
COPY --from=one /out /o
COPY --from=1 /two /
COPY --from=busybox /bin/busybox /bin/busybox
COPY --from=one --chown=7 /out/link /l
CMD ["/bin/busybox", "true"]
""", "unused": "x"}
    b = built("several stages", f, t="st:1")
    is_(d.ctr("run", "--rm", "st:1", "/bin/busybox", "sh", "-c",
              "busybox cat /o/f /o/link /o/sub/x /two; busybox stat -c '%u:%g' /o/f /l").out,
        "g\ng\nx\ntwo\n0:0\n7:7\n", "COPY --from a stage by name, by number, and an image")
    is_([x.split(" ")[0] for x in d.ctr("run", "--rm", "st:1", "/bin/busybox", "ls", "-1", "/").out.split()],
        ["bin", "dev", "etc", "l", "o", "proc", "sys", "two"], "nothing else is in scratch")
    is_(built("the same again", f).cached, 8, "is all in the cache")
    b = built("--target", f, target="two")
    check("Step 1/6" in b.out and inside(b.id, "cat /two") == "two\n", "ends there", b)
    refused("an unknown target", f, "failed to reach build target x", target="x")
    refused("a stage that comes later", {"Dockerfile": "FROM busybox\nCOPY --from=later /x /\nFROM busybox AS later\n"},
            "Dockerfile:2: --from=later: ")


def cache():
    df = "FROM busybox\nARG A=1\nCOPY d /d\nRUN date +%N >/when; echo $A\n"

    def ask(text=df, f="one", mode=0o644, mtime=1, **k):
        return built("build", {"Dockerfile": text}, [entry("d/f", f, mode, mtime=mtime)], **k)
    first = ask()
    is_((ask().id, ask().cached), (first.id, 3), "nothing changed: all of it is cached")
    is_(ask(mtime=99).id, first.id, "nor does a file's time count")
    is_(ask(f="two").cached, 1, "its content does, for it and what follows")
    is_(ask(mode=0o600).cached, 1, "and its mode")
    is_(ask(buildargs='{"A": "2"}').cached, 2, "an ARG's value counts for RUN")
    is_(ask(nocache="1").cached, 0, "--no-cache looks for nothing")
    is_(ask(df + "ENV x=y\n").cached, 3, "more steps go on from there")
    is_(ask(df.replace("date", "true; date")).cached, 2, "another command is another step")
    is_(ask(buildargs='{"HTTP_PROXY": "http://p"}').cached, 3, "a proxy is for RUN alone")
    b = built("a proxy", {"Dockerfile": "FROM busybox\nRUN echo [$HTTP_PROXY]\n"},
              buildargs='{"HTTP_PROXY": "http://p"}', nocache=1)
    check("[http://p]" in b.out and "http://p" not in str(history(b.id)), "is in no history", b)
    b = built("an unused argument", {"Dockerfile": "FROM busybox\n"}, buildargs='{"NOPE": "1"}')
    check("[Warning] One or more build-args [NOPE] were not consumed" in b.out, "is told", b.out)


def lists():
    """Images of steps, in lists and when images go."""
    df = "FROM busybox\nRUN echo lists >/l\nENV a=b\nCMD x\n"
    b = built("an image", {"Dockerfile": df}, t="li:1")
    shown = [i["Id"] for i in d.request("GET", "/images/json")[2]]
    everything = {i["Id"]: i["ParentId"] for i in d.request("GET", "/images/json?all=1")[2]}
    parent = everything[b.id]
    check(b.id in shown and parent in everything and parent not in shown,
          "steps' images are shown with -a alone", (shown, everything))
    got = d.ctr("rmi", parent)
    check(got.rc == 1 and "has dependent child images" in got.err, "one is not removed alone", got)
    got = d.ctr("rmi", "li:1")
    left = [i["Id"] for i in d.request("GET", "/images/json?all=1")[2]]
    check(got.rc == 0 and got.out.count("Deleted: ") >= 4 and b.id not in left and parent not in left,
          "they go with what was made of them", (got, left))
    b = built("one more", {"Dockerfile": df}, t="li:2")
    got = d.ctr("rmi", "--no-prune", "li:2")
    is_((got.rc, got.out.count("Deleted: sha256:%s" % b.id[7:]), built("another", {"Dockerfile": df}).cached), (0, 1, 2),
        "--no-prune keeps the steps before it")
    b = built("without a name", {"Dockerfile": df})
    got = d.request("POST", "/images/prune")[2]
    left = [i["Id"] for i in d.request("GET", "/images/json?all=1")[2]]
    check(b.id not in left and image("busybox")["Id"] in left, "prune takes it with its steps", (got, left))
    is_(built("again", {"Dockerfile": df}).cached, 0, "so nothing is cached any more")


def copying():
    tree = [entry("src/", kind=tarfile.DIRTYPE, mode=0o750), entry("src/a", "a", 0o640),
            entry("src/sub/", kind=tarfile.DIRTYPE, mode=0o755), entry("src/sub/b", "b", 0o4755),
            entry("src/ln", kind=tarfile.SYMTYPE, link="sub/b"), entry("one.txt", "1"),
            entry("src/hard", kind=tarfile.LNKTYPE, link="src/a"),
            entry("two.txt", "2"), entry("lnk", kind=tarfile.SYMTYPE, link="one.txt"),
            entry("na me", "space")]
    inner = pack({"t/x": "X", "y": "Y"}, [entry("own", "o", uid=3, gid=4)])
    tree += [entry("a.tar", inner), entry("a.tgz", gzip.compress(inner)), entry("not.tar", "text")]
    b = built("copies of all kinds", {"Dockerfile": """FROM busybox
RUN mkdir /have && ln -s /have /link && echo old >/have/old && chmod 711 /have && adduser -D bob 2>/dev/null || echo bob:x:1000:1001::/:/bin/sh >>/etc/passwd; echo grp:x:77: >>/etc/group
WORKDIR /w
COPY one.txt plain
COPY one.txt two.txt dir/
COPY *.txt ./globbed/
COPY src d1
COPY src/ d2/
COPY one.txt /link/
COPY one.txt /link/renamed
COPY ["na me", "/w/js on/"]
COPY --chown=bob:grp one.txt /w/owned
COPY --chown=9:8 --chmod=600 src /w/ch
COPY lnk /w/linked
COPY . /w/all/
ADD a.tar /w/ar
ADD a.tgz /w/gz/
ADD not.tar /w/nt/
ADD one.txt /w/added
"""}, tree, t="cp:1")
    if not b.id:
        return
    out = inside("cp:1", """cd /w
cat plain dir/one.txt dir/two.txt globbed/one.txt globbed/two.txt; echo
ls d1 d2 | tr '\\n' ' '; echo
stat -c '%a %u:%g' d1/a d1/sub d1/sub/b; readlink d1/ln; stat -c %h d1/a
cat /have/old; cat /have/one.txt /have/renamed; echo; stat -c %a /have; readlink /link
cat 'js on/na me'; echo
stat -c '%u:%g' owned; stat -c '%a %u:%g' ch/a ch/sub/b
stat -c %F linked; cat linked; echo
ls all | tr '\\n' ' '; echo
ls ar gz | tr '\\n' ' '; cat ar/t/x gz/y; stat -c '%u:%g' ar/own; ls nt added
""")
    lines = out.splitlines()
    is_(lines[0], "11212", "files: plain, into a folder, by a pattern")
    is_(lines[1].split(), "d1: a hard ln sub d2: a hard ln sub".split(), "a folder's contents")
    is_(lines[2:7], ["640 0:0", "755 0:0", "4755 0:0", "sub/b", "2"],
        "modes, links and names of one file stay; all is root's")
    is_(lines[7:11], ["old", "11", "711", "/have"], "through a link of the image, beside what is there")
    is_(lines[11], "space", "names with spaces in the JSON form")
    check(lines[12].split(":")[1] == "77" and lines[13:15] == ["600 9:8"] * 2, "--chown, --chmod", lines[12:15])
    is_(lines[15:17], ["regular file", "1"], "a source that is a link is what it leads to")
    is_(lines[17].split(), "Dockerfile a.tar a.tgz lnk na me not.tar one.txt src two.txt".split(),
        "the whole context")
    is_(lines[18].split(), "ar: own t y gz: own t y XY3:4".split(), "ADD unpacks tar and tar.gz")
    is_(lines[19:], ["added", "", "nt:", "not.tar"], "and nothing else")
    f = {"f": "x", "a.tar.xz": b"\xfd7zXZ\0abc"}
    for name, line, text in (
            ("a file that is not there", "COPY no /", "file not found in build context"),
            ("a pattern without a match", "COPY *.no /x/", "no source files were specified"),
            ("many to one", "COPY f Dockerfile /x", "must be a directory and end with a /"),
            ("one word", "COPY f", "at least two arguments"),
            ("ADD of a URL", "ADD http://x/y /z", "ADD from a URL is not supported"),
            ("xz", "ADD a.tar.xz /z", "xz archives are not unpacked"),
            ("an unknown user", "COPY --chown=nobodyknows f /z", "no such user"),
            ("a bad mode", "COPY --chmod=u+x f /z", "octal"),
            ("a folder over a file", "COPY . /bin/busybox", "not a directory"),
            ("out of the context", "COPY ../../etc/passwd /", "file not found in build context"),
            ("--link", "COPY --link f /", "COPY --link is not supported"),
            ("a here document", "COPY <<EOF /x", "here documents")):
        refused(name, dict(f, Dockerfile="FROM busybox\n\n" + line + "\n"), "Dockerfile:3: ")
        refused(name, dict(f, Dockerfile="FROM busybox\n\n" + line + "\n"), text)


def ignoring():
    f = {"Dockerfile": "FROM busybox\nCOPY . /c\n", ".dockerignore":
         "# comment\n*.log\n**/tmp\nsecret\n!keep.log\nsub/*\n!sub/yes\nDockerfile\n.dockerignore\n",
         "a.log": "1", "keep.log": "1", "x/tmp/y": "1", "x/z": "1", "secret/a": "1", "sub/no": "1",
         "sub/yes": "1", "tmp": "1", "d/a.log": "1"}
    b = built("a .dockerignore", f)
    is_(inside(b.id, "cd /c; find . -type f | sort | tr '\\n' ' '"), "./d/a.log ./keep.log ./sub/yes ./x/z ",
        "leaves out what it names")
    is_(built("a change of what is left out", dict(f, tmp="2")).cached, 1, "does not count")
    refused("a file that is left out", dict(f, Dockerfile="FROM busybox\nCOPY secret /\n"),
            "excluded by .dockerignore")
    refused("a bad pattern", dict(f, **{".dockerignore": "a\n[\n"}), ".dockerignore:2: malformed pattern")


def failing():
    b = refused("a RUN that fails", {"Dockerfile": "FROM busybox\nRUN echo out; echo err >&2; exit 3\n"},
                "The command '/bin/sh -c echo out; echo err >&2; exit 3' returned a non-zero code: 3", forcerm=1)
    check(b.status == 200 and b.code == 3 and "out\n" in b.out and "err\n" in b.out, "its output and status", b)
    b = refused("one that cannot start", {"Dockerfile": 'FROM busybox\nRUN ["/no/such"]\n'}, "/no/such", forcerm=1)
    check("Dockerfile:2: " in b.error, "names the line", b)
    b = refused("without --force-rm", {"Dockerfile": "FROM busybox\nRUN exit 4\n"}, "non-zero code: 4")
    left = d.request("GET", "/containers/json?all=1")[2]
    is_([c["Status"][:10] for c in left], ["Exited (4)"], "the container stays to be looked at")
    remove(d, left[0]["Id"])
    b = built("--rm=false", {"Dockerfile": "FROM busybox\nRUN echo keep\n"}, rm=0)
    left = d.request("GET", "/containers/json?all=1")[2]
    is_(len(left), 1, "keeps it, too")
    remove(d, left[0]["Id"])
    for name, text, error in (
            ("no instruction", "FROM busybox\nRUNX a\n", "Dockerfile:2: unknown instruction: RUNX"),
            ("an empty file", "# only\n", "the Dockerfile (Dockerfile) cannot be empty"),
            ("no FROM", "RUN x\n", "Dockerfile:1: no build stage in current context"),
            ("RUN --mount", "FROM busybox\nRUN --mount=type=cache,target=/x make\n",
             "Dockerfile:2: RUN --mount is not supported"),
            ("a here document", "FROM busybox\n\nRUN <<EOF\nls\nEOF\n", "Dockerfile:3: RUN: here documents"),
            ("two escapes", "# escape=`\n# escape=\\\nFROM x\n", "Dockerfile:2: only one escape"),
            ("a bad escape", "# escape=x\nFROM x\n", "Dockerfile:1: invalid escape"),
            ("a bad variable", "FROM busybox\nENV a=${b\n", "Dockerfile:2: a ${...} is not closed"),
            ("SHELL as text", "FROM busybox\nSHELL /bin/sh\n", "Dockerfile:2: SHELL requires"),
            ("a bad port", "FROM busybox\nEXPOSE x\n", "Dockerfile:2: EXPOSE"),
            ("no such image", "FROM localhost:1/no/such\n", "Dockerfile:1: "),
            ("RUN on scratch", "FROM scratch\nRUN x\n", "Dockerfile:2: RUN on scratch"),
            ("nothing at all", "FROM scratch\n", "No image was generated"),
            ("a NUL", "FROM busybox\0\n", "not a text")):
        refused("bad: " + name, {"Dockerfile": text}, error)
    refused("no Dockerfile", {"x": "y"}, "Cannot locate specified Dockerfile: Dockerfile")
    refused("another Dockerfile", {"x": "FROM busybox\nRUNX\n"}, "x:2: unknown", dockerfile="x")
    for name, text, params in (
            ("squash", "squash", {"squash": 1}), ("a URL", "remote context", {"remote": "http://x"}),
            ("BuildKit", "DOCKER_BUILDKIT=0", {"version": 2}), ("cache-from", "--cache-from", {"cachefrom": '["x"]'}),
            ("arguments", "buildargs", {"buildargs": "x"}), ("labels", "labels", {"labels": '{"a": 1}'}),
            ("a tag", "t: ", {"t": "A B"})):
        b = refused("refused: " + name, {"Dockerfile": "FROM busybox\n"}, text, **params)
        check(b.status in (400, 501), "with a status", b.status)
    b = Built({"Dockerfile": "FROM busybox\nRUN echo noise\n"}, q=1)
    is_([list(x) for x in b.lines], [["stream"]], "quiet: one line")
    check(b.out.startswith("sha256:") and image(b.out.strip())["Id"] == b.out.strip(), "the id", b)
    b = built("limits of RUN", {"Dockerfile": "FROM busybox\nRUN cat /proc/mounts | grep shm\n"}, shmsize=1 << 20)
    check("size=1024k" in b.out, "are the request's", b.out)


def hostile():
    df = {"Dockerfile": "FROM busybox\nCOPY . /c\n"}
    outside = T + "/outside"
    os.makedirs(outside, exist_ok=True)
    with open(outside + "/secret", "w") as f:
        f.write("SECRET")
    for name, extra, text in (
            ("..", [entry("../x", "x")], "build context"),
            ("a name through a link", [entry("l", kind=tarfile.SYMTYPE, link=outside), entry("l/x", "x")],
             "symbolic link"),
            ("a hard link out", [entry("h", kind=tarfile.LNKTYPE, link="../../../etc/passwd")], "build context"),
            ("a device", [entry("dev", kind=tarfile.CHRTYPE, devmajor=1, devminor=3)], "it is a device"),
            ("a whiteout device", [entry("dev", kind=tarfile.CHRTYPE, devmajor=0, devminor=0)], "build context")):
        b = refused("hostile: " + name, df, text, extra)
        check(b.status == 400, "is refused before anything is built", b)
    check(os.listdir(outside) == ["secret"], "nothing was written outside", os.listdir(outside))
    b = built("links out of the context", df, [entry("out", kind=tarfile.SYMTYPE, link=outside + "/secret"),
                                              entry("up", kind=tarfile.SYMTYPE, link="../../../../etc/passwd")])
    is_(inside(b.id, "cat /c/out 2>/dev/null; readlink /c/out"), outside + "/secret\n", "are copied as links")
    refused("a source that is one", {"Dockerfile": "FROM busybox\nCOPY out /\n"}, "file not found",
            [entry("out", kind=tarfile.SYMTYPE, link=outside + "/secret")])
    refused("a Dockerfile that is one", {}, "Cannot locate",
            [entry("Dockerfile", kind=tarfile.SYMTYPE, link=outside + "/secret")])
    b = built("an image whose /c is a link", {"Dockerfile": "FROM busybox\nRUN ln -s /../../../tmp /c\nCOPY f /c/\n",
                                              "f": "in"})
    is_(inside(b.id, "cat /tmp/f"), "in", "is followed inside of it")
    check(not os.path.exists("/tmp/f"), "never outside")
    refused("an archive with a mark", {"Dockerfile": "FROM busybox\nADD a.tar /\n"}, "mark of image layers",
            [entry("a.tar", pack({".wh.bin": ""}))])
    refused("an archive that leaves", {"Dockerfile": "FROM busybox\nADD a.tar /x/\n"}, "..",
            [entry("a.tar", pack({"../../y": "y"}))])
    b = built("names of marks in a context", {"Dockerfile": "FROM busybox\nCOPY f /f\n", "f": "", ".wh.f": ""})
    refused("that are copied", df, "mark of image layers", [entry(".wh.etc", "")])
    for name, body in (("no tar", b"x" * 4096), ("nothing", b""), ("half", pack({"Dockerfile": "FROM busybox\n"})[:515]),
                       ("half of a gzip", gzip.compress(pack({"Dockerfile": "FROM x\n"}))[:60])):
        refused("a body that is " + name, {}, "", body=body)
    b = Built({}, body=gzip.compress(pack({"Dockerfile": "FROM busybox\n"})))
    check(b.id, "a gzip is fine", b)
    deep = built("many and deep names", {"Dockerfile": "FROM busybox\nCOPY . /d\n"},
                 [entry("/".join(["d"] * 200) + "/f", "x")] + [entry("m/%d" % i, "") for i in range(2000)])
    is_(inside(deep.id, "ls /d/m | wc -l"), "2000\n", "are copied")


def reading():
    """Who reads an archive that is unpacked: a process that has given up every right."""
    if run("sh", "-c", "command -v strace").rc:
        return skip("who reads an archive", "strace is not installed")
    trace = T + "/trace"
    tracer = subprocess.Popen(["strace", "-f", "-qq", "-s", "4", "-e", "trace=read,capset", "-o", trace, "-p",
                               str(d.pid)], stderr=subprocess.DEVNULL)
    follows = wait_for(15, lambda: "\nTracerPid:\t%d\n" % tracer.pid in open("/proc/%d/status" % d.pid).read())
    if follows:
        b = built("an archive that is looked at", {"Dockerfile": "FROM scratch\nADD a.tgz /in\n"},
                  [entry("a.tgz", gzip.compress(pack({"x": "y" * 5000})))])
    tracer.terminate()
    tracer.wait()
    if not follows:
        return skip("who reads an archive", "strace cannot follow")
    caps, readers = {}, []
    for line in open(trace, errors="replace"):
        pid = line.split()[0]
        got = re.search(r"capset\(.*effective=([^,}]+)", line)
        if got:
            caps[pid] = got.group(1)
        # the decompressor's pieces; the hash of a source takes smaller ones
        # (a call may be shown in two lines, its bytes in the second)
        if re.search(r'read(\(| resumed>).*"\\37\\213.*, 262144\)', line):
            readers.append(caps.get(pid))
    is_(set(readers), {"0"}, "it is decompressed and parsed without a capability")
    check(b.id and len(readers) == 2, "once to see whether it is an archive, once to unpack it", readers)


def huge():
    """What is too much, by the limits of isola-image."""
    os.environ.update(ISOLA_IMAGE_MAX_ENTRIES="50", ISOLA_IMAGE_MAX_BYTES="4m")
    d.stop()
    check(d.start(), "isolad with small limits", d.log_tail())
    df = {"Dockerfile": "FROM scratch\nCOPY . /c\n"}
    refused("too many names", df, "more than 50 entries", [entry("m/%d" % i, "") for i in range(60)])
    refused("too many bytes", df, "build context", [entry("big", b"x" * (5 << 20))])
    refused("a bomb", df, "build context", body=gzip.compress(pack(df, [entry("big", bytes(64 << 20))])))
    refused("a bomb to ADD", {"Dockerfile": "FROM scratch\nADD a.tgz /\n"}, "limit",
            [entry("a.tgz", gzip.compress(pack({}, [entry("big", bytes(64 << 20))])))])
    is_(len(os.listdir(T + "/state/tmp")), 0, "nothing of it is left")
    del os.environ["ISOLA_IMAGE_MAX_ENTRIES"], os.environ["ISOLA_IMAGE_MAX_BYTES"]
    d.stop()
    check(d.start(), "isolad with its own limits again", d.log_tail())


def children(pid):
    with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
        return [int(kid) for kid in f.read().split()]


def context_kid(caps):
    """The process with these capabilities that works for an image job of isolad."""
    for job in children(d.pid):
        for kid in children(job):
            with open("/proc/%d/status" % kid) as f:
                if "\nCapEff:\t%016x\n" % caps in f.read():
                    return kid
    return None


def leaving():
    """Clients that go, isolad that is killed, while something runs."""
    def begin(dockerfile, wait="MARK"):
        body = pack({"Dockerfile": dockerfile})
        w = Wire(d)
        w.ask("POST", "/build?nocache=1", body, Content_Type="application/x-tar")
        wait_for(20, lambda: w.more() and wait.encode() in w.buffer)
        return w

    def running():
        return d.request("GET", "/containers/json")[2]
    w = begin("FROM busybox\nRUN echo MA''RK; exec sleep 1000\n")
    is_(len(running()), 1, "a RUN is under way")
    w.close()
    check(wait_for(20, lambda: not d.request("GET", "/containers/json?all=1")[2]),
          "a client that leaves ends it", running())
    check(wait_for(20, lambda: not os.listdir(T + "/state/tmp")), "and the job")
    w = begin("FROM busybox\nRUN echo MA''RK; exec sleep 1000\n")
    cid = running()[0]["Id"]
    got = d.ctr("rm", "-f", cid)
    check(wait_for(20, lambda: b"error" in w.buffer or not w.more() or b"error" in w.buffer),
          "a container that is taken away fails the build", w.buffer)
    w.close()
    w = begin("FROM busybox\nRUN echo MA''RK; exec sleep 1000\n")
    cid = running()[0]["Id"]
    d.stop(signal.SIGKILL)
    w.close()
    check(d.start() and wait_for(20, lambda: not d.request("GET", "/containers/json?all=1")[2]),
          "the next isolad removes what a killed one was building", d.log_tail())
    check(wait_for(20, lambda: not os.listdir(T + "/state/tmp")), "and the job ended",
          os.listdir(T + "/state/tmp"))
    # in the middle of a context
    w = Wire(d)
    w.send("POST /build HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + "x" * 100)
    time.sleep(0.2)
    d.stop(signal.SIGKILL)
    w.close()
    check(d.start() and wait_for(20, lambda: not os.listdir(T + "/state/tmp")), "also while it got the context")
    # the processes that a context goes through: one without any right, one with a few
    for who, caps in (("reader", 0), ("unpacker", 0x8800001b)):
        w = Wire(d)
        w.send(b"POST /build HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-tar\r\n"
               b"Content-Length: 100000\r\n\r\n" + pack({"f": "x" * 9000})[:4000])
        if check(wait_for(20, lambda: context_kid(caps)), "a build waits for its context: " + who):
            os.kill(context_kid(caps), signal.SIGKILL)
            check(b"the process that" in w.until(b"build context"), "kill -9 of the %s fails it" % who)
        w.close()
        check(wait_for(20, lambda: not os.listdir(T + "/state/tmp")), "and nothing is left")
    is_(inside(built("a build", {"Dockerfile": "FROM busybox\nRUN echo after >/a\n"}).id, "cat /a"), "after\n",
        "works after all that")


def slow():
    """A client that is behind slows the command down, and misses nothing."""
    got = run("sh", "-c", "printf 'FROM busybox\\nRUN yes a123456789 | head -c 11000000\\n' | '%s/ctrctl' "
              "--host unix://%s build --no-cache - | (sleep 2; grep -c a123456789)" % (
                  os.environ.get("ISOLA_BUILD", SRC + "/build/release"), d.socket))
    is_(got.out, "1000001\n", "all of a long output comes, also late")


def pulling():
    """FROM and COPY --from of what only a registry has, which wants a log-in."""
    if not shutil.which("docker-registry") or not shutil.which("htpasswd") or not shutil.which("skopeo"):
        skip("a base is pulled", "needs docker-registry, htpasswd, skopeo")
        return
    with open(T + "/htpasswd", "w") as f:
        f.write(run("htpasswd", "-Bbn", "me", "secret").out)
    with open(T + "/registry.yml", "w") as f:
        f.write("version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: %s/reg\nhttp:\n  addr: 127.0.0.1:5000\n"
                "auth:\n  htpasswd:\n    realm: test\n    path: %s/htpasswd\n" % (T, T))
    p = subprocess.Popen(["nsenter", "--net=/proc/%d/ns/net" % d.netns.pid, "--", "docker-registry", "serve",
                          T + "/registry.yml"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        built("an image to push", {"Dockerfile": "FROM busybox\nRUN echo remote >/r\n"}, t="push:1")
        d.ctr("save", "-o", T + "/push.tar", "push:1")

        def push():
            return d.in_net("skopeo", "copy", "--dest-tls-verify=false", "--dest-creds", "me:secret",
                            "docker-archive:%s/push.tar" % T, "docker://127.0.0.1:5000/t/app:1").rc == 0
        check(wait_for(20, push), "is pushed")
        auth = base64.urlsafe_b64encode(json.dumps({"127.0.0.1:5000": {
            "username": "me", "password": "secret"}, "other:1": {"username": "x", "password": "y"}}).encode()).decode()
        df = {"Dockerfile": "FROM 127.0.0.1:5000/t/app:1\nCOPY --from=127.0.0.1:5000/t/app:1 /r /r2\nRUN cat /r2\n"}
        refused("a base that wants a log-in", df, "Dockerfile:1: ")
        got = d.request("POST", "/build", pack(df), {"Content-Type": "application/x-tar", "X-Registry-Config": auth}, timeout=60)
        check(b"remote\\n" in got[2] and b"Successfully built" in got[2], "is pulled with X-Registry-Config", got)
        check(b"Pull complete" in got[2] or b"Downloaded newer image" in got[2], "and is told of", got)
        got = d.request("POST", "/build?pull=1", pack(df), {"Content-Type": "application/x-tar", "X-Registry-Config": auth}, timeout=60)
        check(b"Image is up to date" in got[2], "--pull asks again", got)
        refused("--pull of what is here alone", {"Dockerfile": "FROM push:1\n"}, "Dockerfile:1: ", pull=1)
    finally:
        p.kill()
        p.wait()


def cli():
    shutil.rmtree(CONTEXT, ignore_errors=True)
    os.makedirs(CONTEXT + "/sub")
    for name, text in (("Dockerfile", "FROM busybox\nARG A\nCOPY . /c\nRUN echo arg=$A; ls -A /c | tr '\\n' ' '\n"),
                       ("f", "x"), ("skip.log", "x"), (".dockerignore", "*.log\n"), ("sub/Other", "FROM busybox\nENV other=1\n")):
        with open(CONTEXT + "/" + name, "w") as f:
            f.write(text)
    got = d.ctr("build", "-t", "cli:1", "--build-arg", "A=1", "--label", "x=y", "--iidfile", T + "/iid", CONTEXT)
    check(got.rc == 0 and "arg=1" in got.out and ".dockerignore Dockerfile f sub " in got.out, "ctrctl build", got)
    is_(open(T + "/iid").read(), image("cli:1")["Id"], "--iidfile has the id")
    is_(image("cli:1")["Config"]["Labels"], {"x": "y"}, "--label")
    got = d.ctr("build", "-q", "-f", CONTEXT + "/sub/Other", CONTEXT)
    check(got.rc == 0 and "other=1" in image(got.out.strip())["Config"]["Env"], "-f inside, -q", got)
    with open(T + "/Outside", "w") as f:
        f.write("FROM busybox\nCOPY . /c\nRUN ls -A /c | tr '\\n' ' '\n")
    got = d.ctr("build", "-f", T + "/Outside", CONTEXT)
    check(got.rc == 0 and ".dockerignore Dockerfile f sub \n" in got.out.replace(" ---> ", "\n"), "-f outside", got)
    got = d.ctr("build", "-f", "-", CONTEXT, text="FROM busybox\nCOPY f /i\n")
    check(got.rc == 0, "-f -", got)
    got = d.ctr("build", "-", text="FROM busybox\nRUN echo only\n")
    check(got.rc == 0 and "only\n" in got.out, "a Dockerfile on standard input", got)
    got = d.ctr("build", "-f", "sub/x", "-", text=pack({"sub/x": "FROM busybox\nENV t=1\n"}).decode("latin1"))
    check(got.rc == 0, "an archive on standard input", got)
    got = d.ctr("build", "-", text="FROM busybox\nRUN exit 7\n")
    check(got.rc == 7 and "non-zero code: 7" in got.err, "a command's status is the client's", got)
    for argv, text in ((("--squash", "."), "squash"), (("--secret", "x", "."), "secret"), (("--nope", "."), "--nope"),
                       ((T + "/nothing",), "nothing"), ((T + "/iid",), "must be a directory"),
                       (("http://x/y.git",), "URL"), ((), "at least 1 argument")):
        got = d.ctr("build", *argv)
        check(got.rc != 0 and text in got.err, "ctrctl build %s is refused" % " ".join(argv), got)
    for c in d.request("GET", "/containers/json?all=1")[2]:
        remove(d, c["Id"])


def docker():
    """Docker's own client, classic builder."""
    for client in ("/usr/bin/docker", "/usr/local/bin/docker"):
        if not os.access(client, os.X_OK):
            continue
        env = dict(os.environ, DOCKER_HOST="unix://" + d.socket, DOCKER_CONFIG=T + "/docker", HOME=T,
                   DOCKER_BUILDKIT="0")
        got = run(client, "build", "-t", "dk:1", "--build-arg", "A=2", "--no-cache", "--iidfile", T + "/iid2", CONTEXT, env=env)
        check(got.rc == 0 and "arg=2" in got.out and "Successfully tagged dk:1" in got.out, client + " build", got)
        is_(open(T + "/iid2").read() if os.path.exists(T + "/iid2") else "", image("dk:1")["Id"], "--iidfile")
        got = run(client, "build", "-", env=env, text="FROM busybox\nRUN exit 5\n")
        check(got.rc == 5 and "returned a non-zero code: 5" in got.err, "a failing RUN", got)
        got = run(client, "build", "-q", "-f", T + "/Outside", CONTEXT, env=env)
        check(got.rc == 0 and got.out.startswith("sha256:"), "-q, -f outside", got)
        got = run(client, "build", "--target", "a", "-t", "dk:2", "-", env=env,
                  text="FROM busybox AS a\nENV s=a\nFROM busybox\nRUN exit 1\n")
        check(got.rc == 0 and "s=a" in image("dk:2")["Config"]["Env"], "--target", got)
        got = run(client, "rmi", "dk:1", "dk:2", env=env)
        check(got.rc == 0, "rmi", got)
    for c in d.request("GET", "/containers/json?all=1")[2]:
        remove(d, c["Id"])


ORACLE = """FROM scratch AS base
ADD root.tar /
ENV A=1
FROM base
COPY src /app/
COPY --chown=4:5 src/a src/sub/b /app/more/
ADD in.tar /un/packed
WORKDIR /app/work
ENV B=${A}2 C="x y"
LABEL l=1
EXPOSE 80
USER 12:13
VOLUME /vol
ENTRYPOINT ["/bin/sh"]
CMD ["-c", "true"]
"""


def tree(path):
    out = {}
    for base, dirs, files in os.walk(path):
        for n in dirs + files:
            p = os.path.join(base, n)
            st = os.lstat(p)
            kind = st.st_mode & 0o170000
            out[os.path.relpath(p, path)] = (
                oct(st.st_mode), st.st_uid, st.st_gid,
                os.readlink(p) if kind == 0o120000 else open(p, "rb").read() if kind == 0o100000 else "")
    return out


def oracle():
    """buildah makes the same tree and configuration of the same Dockerfile."""
    if not shutil.which("buildah") or not shutil.which("umoci") or not shutil.which("skopeo"):
        skip("buildah builds the same", "needs buildah, skopeo, umoci")
        return
    o = T + "/oracle"
    os.makedirs(o + "/src/sub")
    shutil.copy(TAR, o + "/root.tar")
    for name, data, mode in (("src/a", b"a", 0o640), ("src/sub/b", b"b", 0o755), ("Dockerfile", ORACLE.encode(), 0o644),
                             ("in.tar", pack({"p/q": "r"}, [entry("s", "t", 0o600, uid=7, gid=8)]), 0o644)):
        with open(o + "/" + name, "wb") as f:
            f.write(data)
        os.chmod(o + "/" + name, mode)
    os.symlink("sub/b", o + "/src/ln")
    base = ["--root", T + "/bs", "--runroot", T + "/br", "--storage-driver", "vfs"]
    got = run("buildah", *base, "bud", "--isolation", "chroot", "-t", "oracle", "--format", "oci", o)
    if got.rc != 0:
        skip("buildah builds the same", "buildah cannot build here: " + got.err[-200:])
        return
    got = run("buildah", *base, "push", "oracle", "oci:%s/theirs:x" % T)
    check(got.rc == 0, "buildah's image", got)
    got = d.ctr("build", "-t", "oracle:1", o)
    check(got.rc == 0, "ours", got)
    got = run("skopeo", "copy", "oci:%s/state/images:docker.io/library/oracle:1" % T, "oci:%s/ours:x" % T)
    check(got.rc == 0, "skopeo reads it", got)
    for who in ("ours", "theirs"):
        got = run("umoci", "unpack", "--image", "%s/%s:x" % (T, who), "%s/un-%s" % (T, who))
        check(got.rc == 0, "umoci unpacks " + who, got)
    a, b = tree(T + "/un-ours/rootfs"), tree(T + "/un-theirs/rootfs")
    is_({k: v for k, v in a.items() if b.get(k) != v}, {}, "our files are theirs")
    is_(sorted(set(b) - set(a)), ["vol"] if "vol" in b and "vol" not in a else [], "and theirs ours")
    configs = []
    for who in ("ours", "theirs"):
        got = run("skopeo", "inspect", "--config", "oci:%s/%s:x" % (T, who))
        c = json.loads(got.out)["config"]
        configs.append({k: c.get(k) for k in ("User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir")}
                       | {"Labels": {k: v for k, v in (c.get("Labels") or {}).items() if "buildah" not in k}})
    is_(configs[0], configs[1], "so is the configuration")
    for p in ("bs", "br"):
        run("umount", "-l", "%s/%s/overlay" % (T, p))


for chapter in (steps, stages, cache, lists, copying, ignoring, failing, hostile, reading, huge, leaving, slow, pulling,
                cli, docker, oracle):
    try:
        chapter()
    except Exception as e:
        import traceback
        not_ok(chapter.__name__, traceback.format_exc())
        if not d.ping():
            diag("isolad is gone:\n" + d.log_tail())
            break
quiet()
leak_check()
stop_isolad()
finish()
