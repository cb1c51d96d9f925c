#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A running isola-image and its layer process as the kernel sees them: nothing
but the state folder, few rights, no network."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from imagelib import *                              # noqa: F401,F403,E402

need_root()
need_program("isola-image")
CAPS = {n: 1 << i for i, n in enumerate(
    ("CHOWN", "DAC_OVERRIDE", None, "FOWNER", "FSETID"))}
FILES = CAPS["CHOWN"] | CAPS["DAC_OVERRIDE"] | CAPS["FOWNER"] | CAPS["FSETID"] | 1 << 27 | 1 << 31
ADMIN, CHROOT = 1 << 21, 1 << 18
store = Store()


def read(path):
    try:
        with open(path) as f:
            return f.read()
    except OSError:
        return ""


def status(pid):
    return dict(li.split(":\t", 1) for li in read("/proc/%s/status" % pid).splitlines()
                if ":\t" in li)


def judge(who, pid, caps):
    s = status(pid)
    is_((int(s["CapEff"], 16), int(s["CapPrm"], 16), int(s["CapInh"], 16), int(s["CapAmb"], 16)),
        (caps, caps, 0, 0), who + ": capabilities")
    is_(int(s["CapBnd"], 16) & ~(FILES | ADMIN | CHROOT), 0, who + ": bounding set")
    is_((s["NoNewPrivs"], s["Seccomp"]), ("1", "2"), who + ": no new privileges, seccomp")
    is_(int(s["Umask"], 8), 0 if who == "layer process" else 0o77, who + ": umask")
    mounts = [li.split() for li in read("/proc/%s/mountinfo" % pid).splitlines()]
    check(who != "isola-image" or len(mounts) == 1 and {"nosuid", "nodev", "noexec"} <= set(mounts[0][5].split(",")),
          who + ": one mount, without devices, set-id and execution", mounts)
    if who == "isola-image":
        is_(sorted(os.listdir("/proc/%s/root" % pid)), ["images", "layers", "records", "tmp"],
            who + ": its root is the state folder")
    else:
        like(os.readlink("/proc/%s/root" % pid), "/tmp/job-[0-9a-f]+/layer-0$",
             who + ": its root is the layer's folder")
        # Seen while it still locks itself in: that is not yet the layer's time.
        wait_for(5 * SCALE, lambda: not any("landlock" in v for v in open_files(pid).values()))
        fds = open_files(pid)
        known = [v for v in fds.values() if re.search(
            r"^pipe:|/layer-0(/.*)?$|/tmp/job-[0-9a-f]+/temp \(deleted\)$", v)]
        check(len(known) == len(fds) and fds[0] == fds[1] != fds[2],
              who + ": its descriptors", fds)
    is_([li.split(":")[0].strip() for li in read("/proc/%s/net/dev" % pid).splitlines()[2:]], ["lo"],
        who + ": no network")
    limits = read("/proc/%s/limits" % pid)
    check(re.search(r"Max core file size\s+0\s+0\s", limits) and
          re.search(r"Max file size\s+68719476736\s+68719476736\s", limits),
          who + ": limits", limits)
    if "asan" not in os.environ.get("ISOLA_BUILD_NAME", BUILD):
        check(re.search(r"Max address space\s+1073741824\s", limits), who + ": bounded memory", limits)


secret = os.open("/etc/passwd", os.O_RDONLY)
os.set_inheritable(secret, True)
p = start(store.path, "load", pass_fds=[secret])
os.close(secret)
data = docker_archive([tar(*(file("f%d" % i) for i in range(20000)))],
                      compress=lambda t: gzip.compress(t, 1))
p.stdin.write(data[:1 << 20])
p.stdin.flush()
if not wait_for(10, lambda: status(p.pid).get("Seccomp") == "2"):
    not_ok("isola-image confines itself", status(p.pid))
else:
    judge("isola-image", p.pid, FILES | ADMIN | CHROOT)
    fds = set(open_files(p.pid).values())
    check("/etc/passwd" not in fds and not any("socket" in f for f in fds),
          "isola-image: keeps no descriptor it was not given for the job", fds)


def child(caps):
    """A process of the job's that holds just @caps by now."""
    for kid in read("/proc/%d/task/%d/children" % (p.pid, p.pid)).split():
        if int(status(kid).get("CapEff", "-1"), 16) == caps:
            return kid
    return None


def judge_reader(pid):
    """The process that takes the archive apart, which waits for more of it."""
    s = status(pid)
    is_((s["CapEff"], s["CapPrm"], s["CapInh"], s["CapAmb"]), ("0" * 16,) * 4,
        "reader: capabilities")
    is_((s["NoNewPrivs"], s["Seccomp"]), ("1", "2"), "reader: no new privileges, seccomp")
    like(os.readlink("/proc/%s/root" % pid), "/tmp/job-[0-9a-f]+$", "reader: its root is the job's folder")
    # It may still be at it: the rules are a descriptor for a moment.
    check(wait_for(10, lambda: all(v.startswith("pipe:") for n, v in open_files(pid).items()
                                   if n != 2)), "reader: nothing but pipes", open_files(pid))


if wait_for(10, lambda: child(0)):
    judge_reader(child(0))
else:
    not_ok("the reader was seen")

seen = []


def watch():
    while p.poll() is None and not seen:
        kid = child(FILES)
        if not kid:
            continue
        try:
            os.kill(int(kid), 19)      # hold it while we look
            wait_for(5, lambda: status(kid).get("State", "T")[0] == "T")
            if int(status(kid)["CapEff"], 16) == FILES:
                seen.append(kid)
                judge("layer process", kid, FILES)
            os.kill(int(kid), 18)
        except (OSError, KeyError) as e:
            diag(e)


import threading                                    # noqa: E402
t = threading.Thread(target=watch)
t.start()
out, err = p.communicate(data[1 << 20:])
t.join()
check(seen, "the layer process was seen")
check(p.returncode == 0, "the load ends well", (out[-300:], err))

r = run("setpriv", "--reuid", "65534", "--clear-groups", IMAGE, "check", "--state", store.path)
check(r.rc == 1 and "root" in r.out, "without root: says so", r)
r = run(IMAGE, "check", "--state", T + "/secret/state", "--require-landlock")
check(r.rc == 0 or "Landlock" in r.out, "--require-landlock", r)
os.symlink(T, T + "/link")
r = run(IMAGE, "check", "--state", T + "/link/state")
check(r.rc == 0, "the state folder may be reached by a link", r)
with open(T + "/plain", "w"):
    pass
r = run(IMAGE, "check", "--state", T + "/plain")
check(r.rc == 1 and "plain" in r.out, "a state folder that is a file: says so", r)
finish()
