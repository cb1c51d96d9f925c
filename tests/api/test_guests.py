# SPDX-License-Identifier: Apache-2.0
#
# Which wall an image gets, and whether there can be a microVM at all: what a stand-in
# for isola-vmm (tests/priv/fake_vmm.c) says when it is asked to probe KVM - good, bad,
# nothing, never -, the daemon's default, and the administrator's rules.
# time limit: 120 s
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)) + "/..")
from lib import *

FAKE = BUILD + "/tests/priv/fake_vmm"
need_root()
need_program("isolad", "ctrctl")
if not os.access(FAKE, os.X_OK):
    skip_all("fake_vmm is not built")
if not os.access("/dev/kvm", os.R_OK | os.W_OK):
    skip_all("needs /dev/kvm: without it there is nothing to ask")

ANSWER = T + "/answer"
os.environ["FAKE_PROBE"] = ANSWER
GOOD = json.dumps({"linux": True, "checks": []})
BAD = json.dumps({"linux": False, "checks": [
    {"name": "linux-guests", "ok": False, "text": "No guest runs: int3 fails.",
     "fix": "take a host with AMD-V"}]})
for name in ("/kernel", "/init"):
    with open(T + name, "w") as f:
        f.write("x")
FLAGS = ["--vmm", FAKE, "--guest-kernel", T + "/kernel", "--guest-init", T + "/init"]


def says(text):
    with open(ANSWER + ".new", "w") as f:
        f.write(text)
    os.rename(ANSWER + ".new", ANSWER)


def probe_pid():
    """Of the last probe that began; 0: none."""
    try:
        with open(ANSWER + ".pid") as f:
            return int(f.read() or 0)
    except FileNotFoundError:
        return 0


def forget_pid():
    if os.path.exists(ANSWER + ".pid"):
        os.unlink(ANSWER + ".pid")


def create(*flags, image="busybox", limit_s=60):
    return d.ctr("create", "--network", "none", *flags, image, "true", limit_s=limit_s)


def wall(r):
    """Of what was created."""
    return d.request("GET", "/containers/%s/json" % r.out.strip())[2]["HostConfig"]["Isolation"]


def log():
    with open(d.log) as f:
        return f.read()


# ---------------------------------------------------------------------- a host where it works
says(GOOD)
d = start_isolad(*FLAGS) or skip_all("isolad does not start")
check(wait_for(30, lambda: "KVM runs Linux guests" in log()),
      "the probe runs at isolad's start, by itself", d.log_tail())
busybox_tar(T + "/root.tar")
is_(d.ctr("import", T + "/root.tar", "busybox").rc, 0, "an image")
r = create("--isolation", "vm")
is_((r.rc, r.err), (0, ""), "a good verdict: a microVM is created, without a word")
is_(wall(r), "vm", "and it is one")
is_(wall(create()), "container", "the default is a container")
r = create("--isolation", "auto", "--privileged")
is_(wall(r), "vm", "auto moves what pierces the wall")
like(r.err, "--privileged pierces a container's wall: it runs in a microVM", "and says so")
r = create("--isolation", "auto", "--cap-add", "NET_ADMIN")
is_((wall(r), r.err), ("container", ""), "auto leaves the usual where it is")


# ------------------------------------------------------------------------- seen from the CLIs
def vmctl(*argv, **kw):
    return run(BUILD + "/vmctl", "-H", "unix://" + d.socket, *argv, limit_s=60, **kw)


none = ("--network", "none")
r = vmctl("create", "--name", "box", "--hostname", "h", "-e", "A=B", *none, "busybox",
          "echo", "--disk", "x")
is_((r.rc, r.err), (0, ""), "vmctl create IMAGE takes ctrctl's flags")
is_(wall(r), "vm", "and makes a microVM")
r = vmctl("create", "--isolation", "container", *none, "busybox")
check(r.rc and "ctrctl does that" in r.err, "and nothing else", r)
r = vmctl("create", "--disk", T + "/nothing", "--", "busybox")
check(r.rc and "/nothing" in r.err, "a disk, or what is behind --, makes a machine", r)
r = vmctl("ps", "-a", "--filter", "name=box")
like(r.out, r"^VM ID +KERNEL OR IMAGE +CPUS .*\n[0-9a-f]{12} +image busybox +1 +256MiB .*Created "
     r"+box\n$", "vmctl ps shows it")
is_(len(vmctl("ps", "-aq").out.split()), len(d.ctr("ps", "-aq", "-f", "isolation=vm").out.split()),
    "and all of them")
is_(vmctl("ps", "-q", "-n", "2").out.split(),
    d.ctr("ps", "-q", "-n", "2", "-f", "isolation=vm").out.split(), "the newest two")
r = d.ctr("ps", "-a", "--format", "{{.Names}} {{.Isolation}}", "-f", "name=box")
is_(r.out, "box vm\n", "ctrctl ps tells the wall")
r = d.ctr("ps", "-a", "--format", "{{.Isolation}}", "--filter", "isolation=container")
is_(set(r.out.split()), {"container"}, "and filters by it")
r = vmctl("inspect", "-f", "{{.Name}} {{.HostConfig.Isolation}}", "box")
is_((r.rc, r.out), (0, "/box vm\n"), "vmctl inspect shows it", r)
r = vmctl("explain", "-f", "{{.Name}} {{.Wall}}", "box")
is_((r.rc, r.out), (0, "/box vm\n"), "vmctl explain", r)
is_((vmctl("stop", "box").rc, vmctl("logs", "box").rc), (0, 0), "vmctl stop and logs know it")
r = vmctl("exec", "box", "true")
check(r.rc == 1 and "not running" in r.err, "vmctl exec: what a container says", r)
for verb, text in (("reset", "no such button"), ("powerdown", "no such button"),
                   ("nmi", "no such button"), ("stats", "a container in a microVM")):
    r = vmctl(verb, "box")
    check(r.rc == 1 and text in r.err, "vmctl %s: it is none of a machine's" % verb, r)
r = vmctl("update", "--pids-limit", "64", "box")
check(r.rc == 1 and "ctrctl update" in r.err, "vmctl update says who does that", r)
r = vmctl("create", "--name", "machine", "--kernel", T + "/kernel")
check(r.rc == 0 and vmctl("inspect", "-f", "{{.Name}}", "box", "machine").out ==
      "/box\n/machine\n", "one command, some of each kind", r)
r = vmctl("exec", "machine", "true")
check(r.rc == 1 and "vmctl console" in r.err, "a machine of disks has no exec", r)
r = vmctl("exec", "none", "true")
check(r.rc == 1 and "No such VM: none" in r.err, "nor has one that is not there", r)
is_((vmctl("rename", "box", "crate").rc, vmctl("rm", "crate", "machine").out), (0, "crate\nmachine\n"),
    "vmctl rename and rm")
d.ctr("create", "--name", "plain", *none, "busybox", "true")
for verb in ("stop", "rm", "inspect"):
    r = vmctl(verb, "plain")
    check(r.rc == 1 and "No such VM: plain" in r.err, "vmctl %s leaves containers alone" % verb, r)
is_(d.ctr("rm", "plain").rc, 0, "which is there")
vmctl("create", "--name", "box", *none, "busybox", "true")
if shutil.which("docker"):
    r = run("docker", "-H", "unix://" + d.socket, "create", "--runtime", "vm", *none, "busybox", "true",
            limit_s=60)
    is_(wall(r) if r.rc == 0 else r, "vm", "docker create --runtime vm")
else:
    skip("docker create --runtime vm", "needs the docker CLI")

# ---------------------------------------------------------------------------- defaults, rules
POLICY = T + "/policy.json"


def rules(*rows):
    with open(POLICY + ".new", "w") as f:
        json.dump({"rules": rows}, f)
    os.rename(POLICY + ".new", POLICY)


d.ctr("tag", "busybox", "example.org/low:1")
rules({"image": "example.org/*", "isolation": "vm"})
d.stop()
start_isolad(*FLAGS, "--default-isolation", "vm")
is_(wall(create()), "vm", "default-isolation vm")
is_(wall(create("--isolation", "container")), "container", "which a flag overrides")
is_(d.request("GET", "/info")[2]["DefaultRuntime"], "vm", "which info tells")
d.stop()
start_isolad(*FLAGS, "--isolation-policy", POLICY)
is_(wall(create(image="example.org/low:1")), "vm", "a rule by the image's name")
is_(wall(create()), "vm", "which other names of the image do not evade")
for flag in (["--isolation", "container"], ["--isolation", "auto"], ["--runtime", "ctr"]):
    r = create(*flag)
    check(r.rc and "refused: this host's administrator wants this image in a microVM" in r.err
          and "rule 1" in r.err, "a weaker wall is refused: " + " ".join(flag), r)
status, _, answer = d.request("POST", "/containers/create", {
    "Image": "busybox", "HostConfig": {"Isolation": "container", "NetworkMode": "none"}})
is_(status, 403, "with the status for what is forbidden", answer)
rules({"image": "example.org/*", "isolation": "nonsense"})
os.kill(d.pid, signal.SIGHUP)
check(wait_for(30, lambda: "the rules stay as they are" in log()),
      "rules that cannot be read are said", d.log_tail())
is_(wall(create()), "vm", "and the old ones hold")
rules()
os.kill(d.pid, signal.SIGHUP)
check(wait_for(30, lambda: wall(create()) == "container"), "SIGHUP reads them again")
d.stop()
r = run(BUILD + "/isolad", *d.flags(), "--isolation-policy", T + "/missing.json", limit_s=30)
check(r.rc and "isolation-policy" in r.err and "missing.json" in r.err,
      "a file that was named and is missing is an error", r)

# ------------------------------------------------------------------ a host where it does not
says(BAD)
start_isolad(*FLAGS)
r = create("--isolation", "vm")
check(r.rc and "No guest runs: int3 fails. (take a host with AMD-V)" in r.err,
      "a bad verdict: the error says what fails, and what would help", r)
r = create("--isolation", "auto", "--privileged")
check(r.rc and "--isolation container runs it as a container all the same" in r.err,
      "auto, too, and what would work here", r)
is_(create().rc, 0, "containers run on")
says(GOOD)
check(wait_for(40, lambda: create("--isolation", "vm").rc == 0),
      "a host that was mended is found out, without a restart", d.log_tail())
d.stop()
start_isolad("--vmm", FAKE, "--guest-kernel", T + "/no-kernel", "--guest-init", T + "/no-init")
says(BAD)
r = create("--isolation", "vm")
check(r.rc and all(x in r.err for x in ("/no-kernel", "/no-init", "int3 fails")),
      "the error has all that is missing", r)
d.stop()

# ---------------------------------------------------------------------- one that never answers
says("hang")
forget_pid()
start_isolad(*FLAGS)
check(wait_for(30, probe_pid), "a probe that hangs runs")
pid = probe_pid()
with ThreadPoolExecutor(1) as pool:
    waits = pool.submit(create, "--isolation", "vm")
    is_(wait_for(10, lambda: d.request("GET", "/_ping")[0]), 200, "isolad answers beside it")
    check(is_running(pid), "which still hangs")
    is_(d.stop(), 0, "isolad ends at once")
    r = waits.result()
check(r.rc != 0, "who waited hears of it", r)
check(wait_for(15, lambda: not is_running(pid)), "the probe ends with it")
forget_pid()
start_isolad(*FLAGS)
check(wait_for(30, probe_pid), "another one hangs")
pid = probe_pid()
r = create("--isolation", "vm")     # waits for 20 s
check(r.rc == 0 and "not known: isola-vmm --probe did not end within 20 s" in r.err,
      "it is given up; the microVM is created, with a warning", r)
check(wait_for(15, lambda: not is_running(pid)), "and killed")
d.stop(signal.SIGKILL)
finish()
