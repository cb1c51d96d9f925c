#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""SIGKILL to init, or to isola-oci itself, at every stage of a create, a run and
an exec: nothing may be left that a delete cannot clean up."""
# time limit: 300 s
# not in the lab: tracing each system call takes minutes under emulation
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from ctr_bundle import *

oci_setup()
KILL = BUILD + "/tests/priv/stage_kill"
if not os.access(KILL, os.X_OK):
    skip_all("stage_kill is not built")


# The search for leaks stops the process by ptrace(2), which is taken here.
TRACED = dict(os.environ, ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0")


def stage_kill(*argv):
    with open(T + "/.out", "w+") as out:
        try:
            rc = subprocess.run([KILL, *argv], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                env=TRACED, timeout=30 * SCALE).returncode
        except subprocess.TimeoutExpired:
            rc = 124
        out.seek(0)
        return rc, out.read()


def bundle(userns):
    b = Bundle(userns)
    b.spec["hooks"] = {"createRuntime": [{"path": "/bin/true"}],
                       "createContainer": [{"path": "/bin/true"}]}
    if userns:
        b.spec["linux"]["devices"] = [{"path": "/dev/mine", "type": "c", "major": 1, "minor": 5}]
    return b.sh("sleep 0.2")


def processes(b):
    """What runs in the bundle's cgroup, or has its state folder open."""
    try:
        with open("%s/%s/%s/cgroup.procs" % (cgroup2_root(), CGROUP, b.id)) as f:
            return f.read().split()
    except OSError:
        return []


probe = stage_kill("list", OCI, "--root", ROOT, "run", "-b", bundle(False).save().path, "probe")
if probe[0] not in (0,):
    diag(probe)
    skip_all("this host does not let us trace")
stages = [s for s in probe[1].split() if s]
check(len(stages) >= 25, "the stages can be seen", probe)

for userns, verb in ((False, "create"), (False, "run"), (True, "create")):
    bad = []
    for stage in stages:
        if verb == "create" and stage in ("start-hook", "exec"):
            continue
        b = bundle(userns)
        b.save()
        rc, said = stage_kill("init", stage, OCI, "--root", ROOT, verb, "-b", b.path, b.id)
        if rc in (0, 99, 124) or (verb == "create" and b.state() is not None) or \
                (rc != 137 and "init" not in said and "gone" not in said):
            # a payload that was killed is no failed start
            if not (verb == "run" and rc == 137):
                bad.append((stage, rc, said, b.state()))
        if b.state() is not None or processes(b):
            bad.append((stage, "left", b.state(), processes(b)))
            b.delete()
        shutil.rmtree(b.path)
    is_(bad, [], "%s, init killed at each stage%s: an error, nothing left"
        % (verb, " (userns)" if userns else ""))

    bad = []
    for stage in stages:
        if verb == "create" and stage in ("start-hook", "exec"):
            continue
        b = bundle(userns)
        b.save()
        rc, said = stage_kill("parent", stage, OCI, "--root", ROOT, verb, "-b", b.path, b.id)
        if rc != 137:
            bad.append((stage, rc, said))
        if not wait_for(5, lambda: not processes(b)):
            bad.append((stage, "init outlived its parent", processes(b)))
        if b.status() not in ("stopped", None):
            bad.append((stage, "status", b.state()))
        r = b.verb("delete")
        if r.rc:
            bad.append((stage, "delete", r))
        if os.path.exists("%s/%s/%s" % (cgroup2_root(), CGROUP, b.id)):
            bad.append((stage, "cgroup left"))
        if sorted(os.listdir(b.path)) != ["config.json", "rootfs"]:
            bad.append((stage, "bundle", os.listdir(b.path)))
        shutil.rmtree(b.path)
    is_(bad, [], "%s, isola-oci killed at each stage%s: delete cleans up"
        % (verb, " (userns)" if userns else ""))

with Bundle() as b:
    exec_stages = stage_kill("list", OCI, "--root", ROOT, "exec", b.id, "true")[1].split()
    check(len(exec_stages) >= 10, "the stages of exec can be seen", exec_stages)
    bad = []
    for stage in exec_stages:
        rc, said = stage_kill("init", stage, OCI, "--root", ROOT, "exec", b.id, "sleep", "0.1")
        if rc not in (137, 255):
            bad.append((stage, rc, said))
        rc, said = stage_kill("parent", stage, OCI, "--root", ROOT, "exec", b.id, "sleep", "0.1")
        if rc != 137:
            bad.append((stage, rc, said))
    is_(bad, [], "exec, killed at each stage")
    check(wait_for(5, lambda: len([p for p in processes(b)]) <= 2), "nothing of it is left",
          processes(b))
    is_(b.exec("true").rc, 0, "the container lives")

leak_check()
finish()
