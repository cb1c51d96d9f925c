# SPDX-License-Identifier: Apache-2.0
# time limit: 150 s
#
# A file system whose server does not answer, as a dead NFS has it: who names it waits,
# nobody else does, what waits can be removed, and isolad ends in time all the same.
import ctypes
import os
import subprocess
import sys
import time
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/..")
from lib import *

need_root()
need_program("isolad", "ctrctl", "vmctl", "isola-keeper", "isola-image")
if not os.path.exists("/dev/fuse"):
    skip_all("needs /dev/fuse")
ANSWER_S = 5
STOP_S = 3          # isolad lets nobody wait for longer,
STOP_WORK_S = 5     # and gives this to what writes still
GUEST = BUILD + "/tests/priv/vm_guest.elf"
LIBC = ctypes.CDLL(None, use_errno=True)


class Dead:
    """A file system that lets everybody wait until it is gone."""

    def __init__(self, at):
        self.at = at
        self.server = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        options = b"fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other" % self.server
        if LIBC.mount(b"dead", at.encode(), b"fuse", 0, options):
            skip_all("no FUSE can be mounted: " + os.strerror(ctypes.get_errno()))

    def gone(self):
        """Whoever waits gets ENOTCONN."""
        os.close(self.server)
        LIBC.umount2(self.at.encode(), 2)  # MNT_DETACH


class Request:
    """A command in the background."""

    def __init__(self, *argv, program="ctrctl"):
        self.p = subprocess.Popen([BUILD + "/" + program, "-H", "unix://" + d.socket, *argv], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def waits(self, name):
        """It goes on, and the others do not mind."""
        time.sleep(0.3)
        good = self.p.poll() is None
        check(good, name + " waits", "" if good else self.ended(1))
        r = d.ctr("ps", "-a", limit_s=ANSWER_S * SCALE)
        is_(r.rc, 0, "isolad answers others meanwhile", r)

    def ended(self, limit_s):
        try:
            text, _ = self.p.communicate(timeout=limit_s * SCALE)
        except subprocess.TimeoutExpired:
            self.p.kill()
            text, _ = self.p.communicate()
            return "it had to be killed: " + text
        return "%d: %s" % (self.p.returncode, text)


def vm(name, **config):
    """What starts a VM with that."""
    status, _, told = d.request("POST", "/vms/create?name=" + name, {"Memory": {"Size": 16 << 20}, **config})
    is_(status, 201, "a VM %s is created: its files are looked for at its start" % name, told)
    return Request("start", name, program="vmctl")


d = start_isolad() or skip_all("isolad does not start")
busybox_tar(T + "/root.tar")
is_(d.ctr("import", T + "/root.tar", "box").rc, 0, "an image")
is_(d.ctr("run", "--rm", "box", "true").rc, 0, "it runs")
at = T + "/host"
os.makedirs(at + "/dead")
leak_mark()
run("mount", "--bind", at, at)
run("mount", "--make-shared", at)
r = d.ctr("run", "-d", "--name", "sees", "-v", at + ":/host:rslave", "box", "sleep", "1000")
is_(r.rc, 0, "a container that sees what is mounted later", r)
dead = Dead(at + "/dead")

# ---- those that begin

begin = {
    "a start with a bind of it": lambda: Request("run", "--name", "bind", "-v", dead.at + ":/x", "box", "true"),
    "one of a folder in it": lambda: Request("run", "--name", "sub", "-v", dead.at + "/sub:/x", "box", "true"),
    "one that must be there": lambda: Request("run", "--name", "must", "--mount", "type=bind,source=%s/sub,target=/x" % dead.at,
                                              "box", "true"),
}
if os.path.exists(GUEST) and os.path.exists("/dev/kvm"):
    begin.update({
        "a VM's kernel": lambda: vm("kernel", Kernel=dead.at + "/k"),
        "a VM's disk": lambda: vm("disk", Kernel=GUEST, Disks=[{"Path": dead.at + "/d"}]),
        "a VM's share": lambda: vm("share", Kernel=GUEST, Shares=[{"Path": dead.at, "Tag": "x"}]),
    })
else:
    skip("a VM's files", "needs /dev/kvm and the tests' guest")
waiting = {}
for name, how in begin.items():
    waiting[name] = how()
    waiting[name].waits(name)
r = d.ctr("run", "--rm", "box", "echo", "hi", limit_s=20 * SCALE)
is_((r.rc, r.out), (0, "hi\n"), "and runs what they like", r)
is_(d.ctr("rm", "-f", "bind", limit_s=20 * SCALE).rc, 0, "one that waits is removed")
like(waiting.pop("a start with a bind of it").ended(10), "^(125|1): ", "who started it hears so")

# ---- those in one that runs

for argv in (("stats", "--no-stream", "sees"), ("diff", "sees"), ("ps", "-s"), ("top", "sees"),
             ("export", "-o", T + "/out.tar", "sees"), ("commit", "sees", "of-it"), ("inspect", "-s", "sees")):
    r = d.ctr(*argv, limit_s=20 * SCALE)
    is_(r.rc, 0, argv[0] + " does not look there", r)
for name, argv in {"an exec that looks there": ("exec", "sees", "ls", "/host/dead"),
                   "a copy out of it": ("cp", "sees:/host/dead/x", T + "/x"),
                   "a copy into it": ("cp", T + "/root.tar", "sees:/host/dead/x")}.items():
    waiting[name] = Request(*argv)
    waiting[name].waits(name)
d.ctr("rmi", "of-it")
r = d.ctr("commit", "sees", "of-it", limit_s=30 * SCALE)
like(r.err, "cannot pause container sees: the processes did not freeze .* a disk that is dead .--pause=false",
     "with processes that wait there none can be quiet for a commit")
r = d.ctr("commit", "--pause=false", "sees", "of-it", limit_s=20 * SCALE)
is_(r.rc, 0, "one that wants no pause is made", r)
d.ctr("rmi", "of-it")
is_(d.request("GET", "/containers/sees/json")[2]["State"]["Status"], "running", "the container runs on")

# ---- isolad ends and begins

t0 = time.monotonic()
is_(stop_isolad(), 0, "isolad ends well")
check(time.monotonic() - t0 < STOP_S * SCALE, "and in time", time.monotonic() - t0)
check(start_isolad(), "it begins again")
r = d.ctr("exec", "sees", "echo", "alive", limit_s=20 * SCALE)
is_((r.rc, r.out), (0, "alive\n"), "what ran goes on", r)
is_(d.ctr("rm", "-f", "sees", limit_s=20 * SCALE).rc, 0, "and can be removed")

# ---- the server is gone

dead.gone()
for name, w in waiting.items():
    isnt(w.ended(30).split(":")[0], "it had to be killed", name + " ends")
for name in ("sub", "must"):
    check(wait_for(10, lambda: d.request("GET", "/containers/%s/json" % name)[2]["State"]["Status"] in ("created", "exited")),
          name + " does not run", d.request("GET", "/containers/%s/json" % name))
    is_(d.ctr("rm", "-f", name).rc, 0, "it is removed")
for name in ("kernel", "disk", "share"):
    if d.request("GET", "/vms/%s/json" % name)[0] == 200:
        is_(d.request("DELETE", "/vms/%s?force=1" % name)[0], 204, "the VM %s is removed" % name)
run("umount", "-l", at)
leak_check()

# ---- below a volume, where a thread of isolad's own measures it

is_(d.ctr("volume", "create", "far").rc, 0, "a volume")
dead = Dead(T + "/state/volumes/far/_data")
dfs = [Request("system", "df") for _ in range(8)]      # more than there are threads
dfs[-1].waits("its size")
r = d.ctr("run", "--name", "kept", "box", "echo", "hi", limit_s=20 * SCALE)    # a thread writes its record
is_((r.rc, r.out), (0, "hi\n"), "what is measured eight times leaves room for others", r)
is_(d.ctr("rm", "-f", "kept", limit_s=20 * SCALE).rc, 0, "and for its removal")
t0 = time.monotonic()
is_(stop_isolad(), 0, "isolad ends well with a thread that waits")
check(time.monotonic() - t0 < STOP_WORK_S + STOP_S * SCALE, "in time", time.monotonic() - t0)
check("not everything ended in time" in d.log_tail(), "and says so", d.log_tail())
for df in dfs:
    df.ended(10)
dead.gone()
check(start_isolad(), "it begins again")
is_(d.ctr("volume", "rm", "far").rc, 0, "the volume is removed")
leak_check("nothing is left behind of that")
stop_isolad()
finish()
