# SPDX-License-Identifier: Apache-2.0
# VMs through vmctl: the same tiny guest as test_vm_life.py, by the commands that a
# user types, with the exit codes, tables and messages that a user gets.
# time limit: 240 s
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from vmlib import *
from disklib import *

d = need_vms()
need_program("vmctl", "isola-bootdisk", "isola-boot-init")
VM = [BUILD + "/vmctl", "-H", "unix://" + d.socket]
BASE = ["--kernel", GUEST, "--memory", "16m", "--debug-exit", "--stop-timeout", str(10 * SCALE), *FILTER]
leak_mark()


def vmctl(*argv, text="", limit_s=60):
    return run(*VM, *argv, text=text, limit_s=limit_s * SCALE)


def good(r, out, name):
    check((r.rc, r.out) == (0, out), name, "got %r" % (r,))


def bad(r, rc, pattern, name):
    check(r.rc == rc and re.search(pattern, r.err), name, "got %r" % (r,))


def state(vm, what):
    return vmctl("inspect", "-f", "{{.State.%s}}" % what, vm).out.strip()


def tiny_kernel():
    """The guest as a folder that "kernel add" takes."""
    os.makedirs(T + "/tiny")
    shutil.copy(GUEST, T + "/tiny/vmlinux")
    with open(T + "/tiny/kernel.json", "w") as f:
        json.dump({"name": "tiny", "kind": "built", "release": "0", "kernel": "vmlinux"}, f)
    return T + "/tiny"


# ------------------------------------------------------------------------ run
r = vmctl("run", "-i", "--rm", *BASE, text="abcQ7")
check(r.rc == 7 and r.out.startswith("ready\n") and "abc" in r.out,
      "run -i: input and output pass, the exit code is the guest's", repr(r))
for keys, code in (("P", 0), ("X", 134)):
    r = vmctl("run", "-i", "--rm", *BASE, text=keys)
    is_(r.rc, code, "run: exit code of a guest that types " + keys)
good(vmctl("ps", "-aq"), "", "--rm leaves no VM")
r = vmctl("run", "-i", "--rm", *BASE, "--cmdline", "one=1", "--", "two", "three four", text="CP")
like(r.out, r'one=1 -- two "three four"', "run -- COMMAND goes behind the command line")
bad(vmctl("run", "--rm", *BASE, "--", 'a"b'), 125, "double quote",
    "a word that no command line can hold is refused")

# ------------------------------------------------------------- in the background
r = vmctl("run", "-d", "-i", "--name", "web", "--label", "a=b", *BASE)
check(r.rc == 0 and re.fullmatch(r"[0-9a-f]{64}\n", r.out), "run -d prints the id", repr(r))
vm = r.out.strip()
is_(state("web", "Status"), "running", "it runs")
r = vmctl("ps")
like(r.out, r"^VM ID +KERNEL OR IMAGE +CPUS +MEMORY +CREATED +STATUS +PORTS +NAMES\n%s +vm_guest.elf +1 +16MiB "
     r"+.* ago +Up .* +web\n$" % vm[:12], "ps shows it")
good(vmctl("ps", "--filter", "label=a=b", "--format", "{{.Names}} {{.State}}"), "web running\n",
     "ps takes filters and templates")
good(vmctl("status", "-q", "--no-trunc"), vm + "\n", "status is ps")
check(wait_for(WAIT_S, lambda: vmctl("logs", "web").out == "ready\n"), "logs has its output",
      repr(vmctl("logs", "web")))
good(vmctl("pause", "web"), "web\n", "pause")
is_(state("web", "Status"), "paused", "it is paused")
bad(vmctl("console", "web"), 1, "cannot attach to a paused VM, resume it first",
    "a paused VM has no console")
good(vmctl("unpause", "web"), "web\n", "unpause is resume")
r = vmctl("stats", "--no-stream", "--format", "{{.Name}} {{.Exits}}", "web")
like(r.out, r"^web [0-9]+\n$", "stats counts its exits")
good(vmctl("rename", "web", "db"), "", "rename")
good(vmctl("reset", "db"), "db\n", "reset")
check(wait_for(WAIT_S, lambda: vmctl("logs", "db").out.count("ready\n") == 2),
      "it booted anew, with the same log", repr(vmctl("logs", "db")))
good(vmctl("update", "--balloon", "1m", "--stop-timeout", "33", "db"), "db\n", "update")
is_(vmctl("inspect", "-f", "{{.Config.StopTimeout}}", "db").out, "33\n", "and it is kept")
good(vmctl("stop", "db"), "db\n", "stop presses the power button")
is_((state("db", "Status"), state("db", "Reason"), state("db", "ExitCode")),
    ("exited", "poweroff", "0"), "and it ended by itself")
good(vmctl("wait", "db"), "0\n", "wait tells the exit code")
good(vmctl("start", "db"), "db\n", "start")
good(vmctl("kill", "db"), "db\n", "kill cuts the power")
is_(state("db", "Reason"), "killed", "which is the reason")
r = vmctl("events", "--since", "10m", "--until", "0s", "--format", "{{.Type}} {{.Action}}")
check(set(r.out.split("\n")) >= {"vm create", "vm start", "vm die", "vm pause"} and
      "container" not in r.out, "events are those of VMs", repr(r))
good(vmctl("rm", "db"), "db\n", "rm")
bad(vmctl("inspect", "db"), 1, "[Nn]o such (VM|vm)", "it is gone")
r = vmctl("create", "--name", "idle", *BASE)
check(r.rc == 0, "create", repr(r))
r = vmctl("prune", "-f")
check(r.rc == 0 and "Total reclaimed space" in r.out and vmctl("ps", "-aq").out == "",
      "prune", repr(r))

# ------------------------------------------------------------ what it refuses
bad(vmctl("cp", "x:/y", "z"), 125, '"cp" is not supported yet', "cp says why it is not there")
bad(vmctl("frobnicate"), 125, "is not a command", "an unknown verb")
bad(vmctl("run", "--volume", "/a:/b"), 125, "--volume is not supported yet: .*--share",
    "a flag of containers says what to use")
bad(vmctl("run", "--kernel", "/nonexistent"), 125, "--kernel /nonexistent", "no such kernel file")
bad(vmctl("run", "--kernel", "nope"), 125, 'no guest kernels? ', "no such stored kernel")
bad(vmctl("run", "--rm", *BASE, "--disk", "/nonexistent"), 125, "/nonexistent", "no such disk")
bad(vmctl("run", "--rm", *BASE, "--net", "tap=isola-none"), 125, "isola-none", "no such tap device")
good(vmctl("ps", "-aq"), "", "what was refused left nothing")

# -------------------------------------------- a kernel out of a disk, user data
root = T + "/root"
os.makedirs(root + "/boot")
os.makedirs(root + "/etc")
open(root + "/etc/fstab", "w").close()
shutil.copy(GUEST, root + "/boot/vmlinuz-6.1.0-10-tiny")
with open(root + "/boot/vmlinuz-6.1.0-9-tiny", "w") as f:
    f.write("an older one")
with open(root + "/boot/initrd.img-6.1.0-10-tiny", "w") as f:
    f.write("initial RAM disk")
gpt(T + "/disk.raw", [(BIOS_BOOT, "11111111-2222-3333-4444-555555555555", 1 << 20),
                      (LINUX, "aabbccdd-1122-3344-5566-778899aabbcc",
                       ext4(T + "/fs", root, 16))])
with open(T + "/user-data", "w") as f:
    f.write("#cloud-config\nhostname: x\n")
r = vmctl("run", "-i", *FILTER, "--name", "cloud", "--memory", "16m", "--debug-exit", "--disk",
          T + "/disk.raw", "--cloud-init", T + "/user-data", text="CQ3")
check(r.rc == 3 and "root=PARTUUID=aabbccdd-1122-3344-5566-778899aabbcc ro" in r.out,
      "a disk without --kernel boots its newest kernel, with its root", repr(r))
doc = json.loads(vmctl("inspect", "cloud").out)[0]
like(doc["Config"]["Kernel"], "/kernels/disk-6.1.0-10-tiny/vmlinuz$", "which is kept in the store")
is_(open(doc["Config"]["Initrd"]).read(), "initial RAM disk", "with its initial RAM disk")
is_([x["Id"] for x in doc["Config"]["Disks"]][1:], ["cidata"], "user data is one more disk")
r = vmctl("kernel", "ls", "--format", "{{.Name}} {{.Kind}}")
is_(r.out, "disk-6.1.0-10-tiny disk\n", "kernel ls shows it")
shutil.copy(T + "/disk.raw", T + "/second.raw")
vmctl("create", *FILTER, "--name", "second", "--disk", T + "/second.raw")
is_(len(vmctl("kernel", "ls", "-q").out.split()), 1, "a copy of the disk shares its kernel")
bad(vmctl("kernel", "rm", "disk-6.1.0-10-tiny"), 1, "is needed by VM", "a kernel in use stays")
vmctl("rm", "cloud", "second")
good(vmctl("kernel", "rm", "disk-6.1.0-10-tiny"), "disk-6.1.0-10-tiny\n", "else it goes")
r = vmctl("kernel", "add", tiny_kernel())
is_(r.out, "tiny\n", "a kernel is added to the store")
r = vmctl("run", "-i", "--rm", *FILTER, "--memory", "16m", "--kernel", "tiny", "--disk", T + "/disk.raw",
          "--", "a b", 'c"d', text="CQ2")
check(r.rc == 2 and "root=PARTUUID=aabbccdd-1122-3344-5566-778899aabbcc rw quiet "
      "-- a%20b c%22d" in r.out, "a stored kernel gets the disk's root, and any words", repr(r))
is_(vmctl("kernel", "ls", "-q").out, "tiny\n", "and nothing of the disk is stored")
vmctl("kernel", "rm", "tiny")
with open(T + "/broken.raw", "wb") as f:
    f.write(open(T + "/disk.raw", "rb").read()[:1 << 20] + os.urandom(1 << 20))
bad(vmctl("run", "--disk", T + "/broken.raw"), 125,
    "broken.raw holds no kernel, and: no guest kernel is in use.*vmctl kernel fetch", "a disk without one says so")

# --------------------------------------------------------------- CPU templates
r = vmctl("templates", "-q")
is_((r.rc, {"host", "portable", "x86-64-v2", "x86-64-v3"} - set(r.out.split())), (0, set()),
    "templates lists those of the build folder")
like(vmctl("templates").out, r"(?m)^NAME +DESCRIPTION\n(.*\n)*portable +What Intel",
     "with their descriptions")
r = vmctl("create", *BASE, "--name", "tpl", "--cpu-template", "x86-64-v2")
is_((r.rc, vmctl("inspect", "-f", "{{.Config.Cpus.Template.name}}", "tpl").out),
    (0, "x86-64-v2\n"), "a template is found by its name")
vmctl("rm", "tpl")
bad(vmctl("create", *BASE, "--cpu-template", "i386"), 125,
    "--cpu-template i386: there is no such template; known are: host, portable, x86-64-v2",
    "an unknown name is answered with those there are")

# ---------------------------------------------------------------------- doctor
r = vmctl("doctor", "--format", "json")
doc = json.loads(r.out)
is_(r.rc, 0 if doc["linuxGuests"] else 1, "doctor's exit status is its verdict")
check(any(c["name"] == "kvm" and c["status"] == "ok" for c in doc["checks"]),
      "doctor finds KVM", repr(doc))
leak_check()
finish()
