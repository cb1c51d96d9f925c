# SPDX-License-Identifier: Apache-2.0
# nested: a Linux guest on emulated AMD-V
# One image behind either wall: a table of cases, each run as a container and in a microVM.
# time limit: 110 s
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from vmlib import *

if not OWN:
    skip_all("needs a kernel of guest/kernel/build in the cache")
INIT_PROGRAM = os.environ.get("ISOLA_INIT") or BUILD + "/guest/init/isola-init"
if not os.access(INIT_PROGRAM, os.X_OK):
    skip_all("isola-init is not built")
if not any(os.access(p, os.X_OK) for p in ("/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd")):
    skip_all("there is no virtiofsd (package virtiofsd or qemu-system-common)")
with open(T + "/initrd", "wb") as f:
    f.write(cpio([("dev", 0o40755, b""), ("proc", 0o40755, b""), ("sys", 0o40755, b""),
                  ("root", 0o40755, b""), ("init", 0o100755, open(INIT_PROGRAM, "rb").read())]))
leak_mark()
d = need_guests("--guest-kernel", OWN.path, "--guest-initrd", T + "/initrd",
                "--guest-boot-timeout", "120")
busybox_tar(T + "/root.tar")
d.ctr("import", T + "/root.tar", "busybox")


def vm(*argv, **kw):
    return d.ctr("run", "--isolation", "vm", *argv, limit_s=60, **kw)


r = vm("--rm", "busybox", "uname", "-r")
check(r.rc == 0 and r.out.strip() and r.out.strip() != os.uname().release,
      "an image runs behind the VM wall, with a kernel of its own", r)
if r.rc:
    diag(d.log_tail())
    diag(run("dmesg").out[-2000:])
r = vm("--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 7")
is_((r.rc, r.out, r.err), (7, "out\n", "err\n"), "its output and exit code", d.log_tail(5))
r = vm("--rm", "busybox", "sh", "-c", "id -u; cat /proc/1/comm; hostname; pwd; ls /; mount; ps; ls -l /dev; cat /proc/self/status; ip a; free", )
diag(r.out + r.err)
r = vm("--rm", "busybox", "/nothing")
diag(r)
r = vm("-i", "--rm", "busybox", "cat", text="hello\n")
is_((r.rc, r.out), (0, "hello\n"), "input")
r = vm("-d", "--name", "box", "busybox", "sh", "-c", "trap 'exit 5' TERM; while :; do sleep 0.1; done")
is_(r.rc, 0, "detached", r)
diag(d.ctr("ps"))
r = d.ctr("exec", "box", "sh", "-c", "echo hi; echo there >/file; exit 3")
is_((r.rc, r.out), (3, "hi\n"), "exec", r)
r = d.ctr("exec", "box", "/none")
diag(r)
r = d.ctr("cp", "box:/file", T + "/file")
diag(r); diag(run("cat", T + "/file"))
diag(d.ctr("diff", "box"))
diag(d.ctr("pause", "box")); diag(d.ctr("unpause", "box"))
r = d.ctr("exec", "box", "cat", "/file")
diag(r)
import time
t=time.time()
diag(d.ctr("stop", "box")); diag(time.time()-t)
diag(d.ctr("ps", "-a"))
diag(d.ctr("logs", "box"))
diag(d.ctr("rm", "box"))
leak_check()
diag(d.log_tail(30))
finish()
