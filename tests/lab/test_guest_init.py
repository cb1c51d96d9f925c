# SPDX-License-Identifier: Apache-2.0
# nested: a Linux guest on emulated AMD-V
# isola-init in a guest: from the initramfs that initrd_write() makes, a root by virtiofs,
# the protocol by vsock; the container's cgroup, which only a guest has.
# time limit: 90 s
import os
import shutil
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from vmlib import *

sys.path.insert(0, SRC + "/tests/priv")
from guestlib import *

d = need_guests()
if not any(os.access(p, os.X_OK) for p in ("/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd")):
    skip_all("needs virtiofsd")
leak_mark()
root = T + "/root"
make_root(root)
BOOT_S = 60


class Guest:
    """A VM whose init is isola-init."""

    def __init__(self, name, kernel):
        modules = None
        if kernel.modules:
            modules = T + "/modules"
            os.makedirs(modules)
            names = [m + ".ko" for m in kernel.modules if os.path.exists("%s/modules/%s.ko" % (SHARE, m))]
            for n in names:
                shutil.copy("%s/modules/%s" % (SHARE, n), modules)
            with open(modules + "/list", "w") as f:
                f.writelines("- %s\n" % n for n in names)
        initrd = T + "/" + name + ".cpio"
        with open(initrd, "wb") as f:
            r = subprocess.run([BUILD + "/tests/priv/make_initrd", BUILD + "/guest/init/isola-init"] +
                               ([modules] if modules else []), stdout=f, stderr=subprocess.PIPE)
        is_((r.returncode, r.stderr), (0, b""), "%s: an initramfs is made" % name)
        self.name = name
        r = vmctl(d, "create", "--name", name, "--kernel", kernel.path, "--initrd", initrd, "--memory",
                  str(256 * MIB), "--cmdline", "quiet console=ttyS0", "--vsock", "cid=7", "--share",
                  root + ":root")
        is_(r.rc, 0, "%s: a VM is created" % name, r)
        doc = d.request("GET", "/vms/%s/json" % name)[2]
        path = (doc.get("Vsock") or {}).get("Path", "")
        check(path, "%s: its socket is known" % name, doc)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self.peer = Peer(path + "_%d" % GUEST_PORT)
        os.chmod(path + "_%d" % GUEST_PORT, 0o777)
        t0 = time.monotonic()
        is_(vmctl(d, "start", name).rc, 0, "%s: and started" % name)
        ready = self.peer.wait(lambda: self.peer.ready is not None, BOOT_S)
        check(ready, "%s: isola-init is ready" % name, vmctl(d, "logs", name))
        diag("%s: ready after %.1f s, its kernel says %.1f s" % (
            name, time.monotonic() - t0, number(self.peer.ready or [], GF_BOOT_US, 0) / 1e6))

    def sh(self, n, script, **kw):
        error = self.peer.call(GUEST_EXEC, process(n, "sh", "-c", script, **kw))
        return error[:2] if error[0] else (self.peer.status(n), self.peer.read_all(n).decode())

    def ended(self):
        return wait_for(30, lambda: (d.request("GET", "/vms/%s/json" % self.name)[2].get("State") or {})
                        .get("Status") == "exited")


MORE = [(GF_MOUNT, [(GF_TARGET, "/sys/fs/cgroup"), (GF_FSTYPE, "cgroup2"), (GF_FLAGS, 15)])]
for name, kernel in [("own", OWN), ("debian", VMLINUX)]:
    if not kernel:
        skip("our kernel", "guest/kernel/build has not built it (vmctl kernel build)")
        continue
    g = Guest(name, kernel)
    p = g.peer
    if not p.ready:
        continue
    isnt(text(p.ready, GF_RELEASE), os.uname().release, "a kernel of its own")
    now = int(time.time() * 1e9)
    is_(p.call(GUEST_SETUP, setup("root", MORE + [(GF_CLOCK_NS, now)], kind="virtiofs"))[:2], (0, ""),
        "%s: it is set up" % name)
    is_(p.call(GUEST_RUN, process(1, "sh", "-c", "trap 'exit 9' TERM; echo up; while :; do sleep 1; done"))[:2],
        (0, ""), "the first process runs")
    is_(p.stream(1, 1).recv(100), b"up\n", "from the shared root")
    if kernel is VMLINUX and OWN:       # all else has been seen
        p.ask(GUEST_SHUTDOWN)
        check(g.ended(), "%s: a shutdown ends the VM with all in it" % name, vmctl(d, "logs", name))
        p.close()
        is_(vmctl(d, "rm", "-f", name).rc, 0, "%s: removed" % name)
        continue
    is_(g.sh(2, "cat /proc/1/comm; hostname; cat /proc/self/cgroup; uname -r"),
        (0, "sh\nguest-name\n0::/\n%s\n" % text(p.ready, GF_RELEASE)), "an exec sees a container")
    code, out = g.sh(3, "date +%s")
    check(code == 0 and 0 <= int(out) - now // 10**9 < 60 * SCALE, "it knows the time", out)
    pids = [v for t, v in p.call(GUEST_PS)[2] if t == GF_PS]
    check(len(pids) >= 1, "its processes are listed", pids)
    stats = {text(parse(v), GF_NAME): number(parse(v), GF_NUMBER) for t, v in p.call(GUEST_STATS)[2]
             if t == GF_STAT}
    check(stats.get("pids.current", 0) >= 1 and stats.get("memory.current", 0) > 0 and
          "usage_usec" in stats, "its numbers are told", stats)
    is_(p.call(GUEST_FREEZE)[:2], (0, ""), "it is frozen")
    is_(p.call(GUEST_THAW)[:2], (0, ""), "and thawed")
    is_(g.sh(4, "exit 7")[0], 7, "and alive")
    is_(p.call(GUEST_EXEC, process(5, "nothing"))[0], 2, "no such program")
    is_(p.call(GUEST_EXEC, process(6, "cat", streams=7))[0], 0, "input by vsock")
    p.stream(6, 0).sendall(b"x" * 300000)
    p.stream(6, 0).shutdown(socket.SHUT_WR)
    is_((len(p.read_all(6)), p.status(6)), (300000, 0), "comes back, to its end")
    is_(p.call(GUEST_SIGNAL, [(GF_PROCESS, 1), (GF_SIGNO, 15)])[0], 0, "the first is asked to end")
    is_(p.status(1), 9, "it does")
    p.ask(GUEST_SHUTDOWN)
    check(g.ended(), "%s: a shutdown ends the VM" % name, vmctl(d, "logs", name))
    p.close()
    is_(vmctl(d, "rm", "-f", name).rc, 0, "%s: removed" % name)
leak_check()
finish()
