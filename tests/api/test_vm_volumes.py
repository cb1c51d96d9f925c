# SPDX-License-Identifier: Apache-2.0
# Volumes that plain VMs share: made at the creation, served at the start, kept while a VM
# names them, of one moment in snapshots, also when isolad is killed meanwhile.
# time limit: 120 s
import os
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from vmlib import *

d = need_vms()
need_program("ctrctl", "vmctl")
vms = Vms(d)
leak_mark()
VOLUMES = T + "/state/volumes"
have_fs = any(os.access(p, os.X_OK) for p in ("/usr/lib/qemu/virtiofsd", "/usr/libexec/virtiofsd",
                                              "/usr/lib/virtiofsd"))


def vol(*argv):
    return d.ctr("volume", *argv)


def vmctl(*argv):
    return run(BUILD + "/vmctl", "-H", "unix://" + d.socket, *argv)


def share(name="data", tag="work", **more):
    return dict({"Tag": tag, "Volume": name}, **more)


def names(what):
    return sorted(vmctl("ps", "-aq", "--no-trunc", "--filter", "volume=" + what).out.split())


# ---------------------------------------------------------------- the creation
for wrong, text in (({"Tag": "t"}, "Shares[0].Path, Shares[0].Volume or Shares[0].Socket is missing"),
                    (share(Path="/tmp"), "Shares[0].Path and Shares[0].Volume exclude each other"),
                    (share(Socket="/s"), "Shares[0].Volume and Shares[0].Socket exclude each other"),
                    (share("../x"), "Shares[0].Volume"), (share("/tmp"), "Shares[0].Volume"),
                    (share("x"), "Shares[0].Volume"), (share(7), "Shares[0].Volume")):
    got = vms.ask("POST", "/vms/create", vm_config(Shares=[wrong]))
    check(got[0] == 400 and text in got[2]["message"], "refused: " + text, got)
is_(os.listdir(VOLUMES), [], "and no volume came of it")

is_(vol("create", "--label", "team=db", "there").rc, 0, "a volume")
vm = vms.create(Shares=[share(), share("there", "ro", ReadOnly=True), share("there", "rw")])
is_(sorted(os.listdir(VOLUMES)), ["data", "there"], "a missing volume is made at the creation")
st = os.stat(VOLUMES + "/data/_data")
is_((st.st_uid, st.st_gid, st.st_mode & 0o7777), (0, 0, 0o755), "it is the guest's root's")
is_(d.request("GET", "/volumes/there")[2]["Labels"], {"team": "db"}, "one that is there stays what it is")
is_(vms.inspect(vm)["Config"]["Shares"][0]["Volume"], "data", "inspect shows it")
is_((names("data"), names("there"), names("dat")), ([vm], [vm], []), "ps finds its users")
is_(vol("ls", "-q", "-f", "dangling=true").out, "", "they are not dangling")
for name in ("data", "there"):
    got = vol("rm", name)
    check(got.rc == 1 and vm in got.err, "a VM's volume is in use: " + name, got)
is_(vol("prune", "-af").rc, 0, "prune")
is_(sorted(os.listdir(VOLUMES)), ["data", "there"], "it takes no VM's volume")
d.stop(signal.SIGKILL)
d.start()
check(vol("rm", "data").rc == 1, "a later isolad knows it, too")
is_(vms.remove(vm), 204, "the VM goes")
is_(sorted(os.listdir(VOLUMES)), ["data", "there"], "its volumes stay")
is_((vol("rm", "data", "there").rc, os.listdir(VOLUMES)), (0, []), "and can be removed")

got = vmctl("create", "--name", "cli", "--kernel", GUEST, "--share", "volume=byname,tag=w,ro")
is_((got.rc, vms.inspect("cli")["Config"]["Shares"][0]["Volume"]), (0, "byname"), "vmctl --share volume=", got)
is_(vms.inspect("cli")["Config"]["Shares"][0]["ReadOnly"], True, "its options")
is_((vms.remove("cli"), vol("rm", "byname").rc), (204, 0), "both go")

# ------------------------------------------------------------------- the start
if not have_fs:
    skip("VMs that run with volumes", "no virtiofsd")
    leak_check()
    finish()


def events(since, kind):
    got = d.ctr("events", "--since", "%.3f" % since, "--until", "%.3f" % time.time(), "--filter",
                "type=" + kind, "--format", "{{.Action}}")
    return got.out.split()


def answers(console, word):
    console.type(word)
    return console.wait_for(word.encode())


vm = vms.create(Shares=[share()])
is_(vol("rm", "-f", "data").rc, 1, "in use")
since = time.time()
console = vms.attach(vm)
got = vms.post(vm, "start")
if not check(got[0] == 204 and console.wait_for(b"ready\n"), "a VM with a volume runs",
             "%r\n%s" % (got, d.log_tail(20))):
    finish()
is_(events(since, "volume"), ["mount"], "an event tells of the volume's use")
cmdlines = []
with open(cgroup2_root() + vms.inspect(vm)["Isola"]["Cgroup"] + "/cgroup.procs") as f:
    for p in f.read().split():
        with open("/proc/%s/cmdline" % p) as c:
            cmdlines.append(c.read())
check(any("virtiofsd" in c and VOLUMES + "/data/_data" in c for c in cmdlines),
      "virtiofsd serves the volume's folder", cmdlines)

# ---------------------------------------------------------------- of one moment
with open(VOLUMES + "/data/_data/file", "w") as f:
    f.write("of the first moment\n")
got = vol("snapshot", "data", "first")
is_(got.rc, 0, "a snapshot while the VM runs", got)
check(events(since, "vm")[-2:] == ["pause", "resume"], "the VM was paused for it", events(since, "vm"))
check(answers(console, "x"), "and goes on")
got = vol("restore", "data", "first")
check(got.rc == 1 and "running VM " + vm[:12] in got.err, "a running VM's volume is not restored", got)
is_(vol("clone", "data", "copy").rc, 0, "a clone of it")
is_((open(VOLUMES + "/copy/_data/file").read(), vol("rm", "copy").rc), ("of the first moment\n", 0),
    "has the files")
is_((vms.post(vm, "pause")[0], vol("snapshot", "data", "second").rc, vms.state(vm)["Status"]),
    (204, 0, "paused"), "a paused VM is no obstacle, and stays so")
is_(vms.post(vm, "resume")[0], 204, "resumed")

# a kill while it is paused for a snapshot: it goes on without isolad
for step, word in (("snapshot.begun", "a"), ("snapshot.copied", "b"), ("snapshot.settled", "c")):
    d.stop(signal.SIGKILL)
    os.environ["ISOLA_DIE_AT"] = step
    d.start()
    vol("snapshot", "data", "k-" + step)
    check(wait_for(10, lambda: d.process.poll() is not None), "isolad dies at " + step)
    os.environ.pop("ISOLA_DIE_AT")
    d.start()
    check(wait_for(10, lambda: vms.state(vm)["Status"] == "running"), "the VM runs on", vms.state(vm))
    check(answers(console, word), "and answers")
    check(wait_for(10, lambda: not [n for n in os.listdir(VOLUMES) if n[0] == "."]),
          "nothing half made is left", os.listdir(VOLUMES))
    is_("k-" + step in vol("snapshot", "ls", "-q", "data").out.split(), step == "snapshot.settled",
        "the snapshot is whole or not there")

# ------------------------------------------------------- its end, and its next start
since = time.time()
is_(vms.post(vm, "kill")[0], 204, "killed")
vms.wait(vm)
check(wait_for(5, lambda: events(since, "volume") == ["unmount"]), "an event tells of the end of its use",
      events(since, "volume"))
with open(VOLUMES + "/data/_data/file", "w") as f:
    f.write("later\n")
is_(vol("restore", "data", "first").rc, 0, "now it can be restored")
is_(open(VOLUMES + "/data/_data/file").read(), "of the first moment\n", "to those files")
# at once behind an end, when its keeper is there yet
for _ in range(20):
    got = (vms.post(vm, "start")[0], vms.post(vm, "kill")[0])
    vms.wait(vm)
    restored = vol("restore", "data", "first")
    if got != (204, 204) or restored.rc != 0:
        break
is_((got, restored.rc), ((204, 204), 0), "restored at once behind an end", restored)
console = vms.attach(vm)
is_(vms.post(vm, "start")[0], 204, "started again")
check(console.wait_for(b"ready\n"), "it runs")
is_((vms.remove(vm), vol("rm", "data").rc), (204, 0), "the end")
check(wait_for(10, lambda: not os.listdir(VOLUMES)), "nothing is left", os.listdir(VOLUMES))
leak_check()
finish()
