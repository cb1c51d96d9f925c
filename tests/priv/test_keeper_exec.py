# SPDX-License-Identifier: Apache-2.0
# time limit: 300 s
# isola-keeper: more processes in a running container, and that a thousand of
# them leave nothing behind.
import os
import sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from keeperlib import *

need_root()
need_program("isola-keeper")
if not os.path.isdir(cgroup2_root()):
    skip_all("needs a cgroup2 mount")


def kept(k, name):
    """What the kernel counts for the keeper."""
    if name == "fds":
        return len(os.listdir("/proc/%d/fd" % k.pid))
    return sum(int(line.split()[1]) for line in
               contents("/proc/%d/smaps_rollup" % k.pid).splitlines()
               if line.startswith(b"Private_Dirty"))


def end(k):
    k.link.call("kill", signal=9)
    k.finish()
    return k.wait()


k = Keeper("sleep", "1000", start=True)

a, s = k.exec("sh", "-c", "echo out; echo err >&2; exit 3", mux=True)
check(a.get("ok") and a["pid"] > 1, "exec is answered with a pid", a)
is_(demux(read_all(s)), (b"out\n", b"err\n"), "its output arrives")
e = k.link.event("exec_exit", exec=a["exec"])
is_(e["exit_code"], 3, "its exit code is told")
names = [x["event"] for x in k.link.events]
check("stream_end" not in names, "before its stream ends", names)
is_(k.link.event("stream_end")["why"], "eof", "which is told, too")

a, s = k.exec("cat", stdin=True, head=b"head ".hex())
s.sendall(b"input")
s.shutdown(socket.SHUT_WR)
is_(read_all(s), b"head input", "input, and its end")
is_(k.link.event("exec_exit", exec=a["exec"])["exit_code"], 0, "exit 0")

a, s = k.exec("sh", "-c", "kill -9 $$")
is_(k.link.event("exec_exit", exec=a["exec"])["exit_code"], 137, "128 + signal")
a, s = k.exec("sh", "-c", "readlink /proc/self/fd/0; readlink /proc/self/fd/2; ls /proc/self/fd | grep -c .",
              stderr=False)
is_(read_all(s), b"/dev/null\n/dev/null\n4\n", "what nobody wants is /dev/null; no more is open")
a, s = k.exec("id", "-u", uid=1234)
is_(read_all(s), b"1234\n", "another user")
a, s = k.exec("sh", "-c", "echo to stdout by name > /dev/stdout", uid=1234)
is_(read_all(s), b"to stdout by name\n", "which may open its own stdout")

for program, code in (("/no/such", 127), ("nosuch", 127), ("/etc/passwd", 126), ("/etc", 126)):
    a, s = k.exec(program)
    is_(a["exit_code"], code, "%s is %d" % (program, code))
    text = read_all(s).decode()
    like(text, r"^OCI runtime exec failed: exec failed: .*%s.*\r\n$" % program,
         "its client reads why")
    e = k.link.event("exec_exit", exec=a["exec"])
    check(e["exit_code"] == code and program in e["error"], "exec_exit says it, too", e)
a, s = k.exec("/no/such", mux=True)
like(demux(read_all(s))[0].decode(), "^OCI runtime exec failed", "framed, if asked for")
a = k.link.call("exec", exec="plain", process=process("/no/such"))
is_(a["exit_code"], 127, "the same without a client")
k.link.event("exec_exit", exec="plain")
for bad in ({}, {"args": []}, {"args": ["a"], "cwd": "relative"}, {"args": "a"},
            {"args": ["true"], "cwd": "/proc/self/fd/3", "user": {"uid": 0, "gid": 0}}):
    a = k.link.call("exec", exec="bad", process=bad)
    check("error" in a and a["exit_code"] in (126, 127, 128), "a bad process is refused: %s" % bad, a)
    k.link.event("exec_exit", exec="bad")

a = k.link.call("exec", exec="detached", process=process("sh", "-c", "exit 9"))
check(a.get("ok"), "without a client")
is_(k.link.event("exec_exit", exec="detached")["exit_code"], 9, "its exit code is told")

a, s = k.exec("sleep", "1000")
is_(k.link.call("exec", exec=a["exec"], process=process("true"))["code"], 17, "an id is used once")
check(k.link.call("exec_kill", exec=a["exec"], signal=15).get("ok"), "exec_kill")
is_(read_all(s), b"", "ends it")
is_(k.link.event("exec_exit", exec=a["exec"])["exit_code"], 143, "128 + 15")

a, s = k.exec("sh", "-c", "tty; stty size; stty -echo; echo ready; read x; echo $x; stty size",
              terminal=True, stdin=True, mux=True, h=30, w=90)
like(read_until(s, b"ready\r\n").decode(), "^/dev/pts/[0-9]+\r\n30 90\r\nready\r\n$",
     "with a terminal, of the size asked for")
k.link.call("resize", exec=a["exec"], h=31, w=91)
s.sendall(b"x\r")
is_(read_all(s), b"x\r\n31 91\r\n", "which can be resized")
a, s = k.exec("cat", terminal=True, stdin=True)
s.sendall(b"\x10\x11")
is_(read_all(s), b"", "detach keys leave an exec")
check(is_running(a["pid"]), "which runs on")
check(k.link.call("exec_kill", exec=a["exec"], signal=9).get("ok"), "and can be killed")
k.link.event("exec_exit", exec=a["exec"])
a = k.link.call("exec", exec="tty-detached", process=process("sh", "-c", "seq 1 20000; exit 2",
                                                             terminal=True))
is_(k.link.event("exec_exit", exec="tty-detached")["exit_code"], 2,
    "a terminal without a client does not block")

a, s = k.exec("sh", "-c", "(sleep 1000; echo late) & echo early")
t0 = time.monotonic()
is_(read_all(s), b"early\n", "a child that stays behind does not keep the stream")
check(time.monotonic() - t0 < 100, "nor the exec")
k.link.event("exec_exit", exec=a["exec"])

a, s = k.exec("sh", "-c", "yes | head -c 5000000")
time.sleep(0.2)
got = len(read_all(s))
is_(got, 5000000, "a slow client gets all")
k.link.event("exec_exit", exec=a["exec"])
a, s = k.exec("sh", "-c", "yes | head -c 200000")
e = k.link.event("exec_exit", exec=a["exec"])
is_(len(read_all(s)), 200000, "also what was left when the process ended")
a, s = k.exec("yes")
s.recv(100)
s.close()
is_(k.link.call("exec_kill", exec=a["exec"], signal=9).get("ok"), True, "a client that vanishes")
k.link.event("exec_exit", exec=a["exec"])

# many at once
many = [k.exec("sh", "-c", "read x; echo %d; exit %d" % (i, i % 200), stdin=True)
        for i in range(100)]
for _, s in many:
    s.sendall(b"\n")
outs = read_together([s for _, s in many])
is_(outs, [b"%d\n" % i for i in range(100)], "100 at once, each its own output")
codes = [k.link.event("exec_exit", exec=a["exec"])["exit_code"] for a, _ in many]
is_(codes, [i % 200 for i in range(100)], "and exit code")

# and one after the other, for leaks
N = 1000 if SCALE == 1 else 400
before = None
for i in range(N):
    if i == 200:
        stands_still(kept, k, "fds")
        before = kept(k, "fds"), kept(k, "memory")
    a, s = k.exec("true", stdin=i % 2 == 0, terminal=i % 5 == 0)
    s.close() if i % 3 == 0 else read_all(s)
    if k.link.event("exec_exit", exec=a["exec"])["exit_code"]:
        not_ok("exec %d" % i)
    k.link.events.clear()
stands_still(kept, k, "fds")
is_(kept(k, "fds"), before[0], "after %d execs: no descriptor more" % N)
after = SANITIZED or wait_for(5, lambda: kept(k, "memory") <= before[1] + 16)
check(after, "nor memory", "%d KiB, then %d KiB" % (before[1], kept(k, "memory")))
is_([p for p in os.listdir("/proc") if p.isdigit() and
     contents("/proc/%s/stat" % p).rpartition(b") ")[2].split()[:2] == [b"Z", b"%d" % k.pid]],
    [], "nor a zombie")

# the end of the container is theirs
left = [k.exec("sleep", "1000") for _ in range(5)]
k.link.call("kill", signal=9)
k.finish()
told = [x for x in k.link.events if x["event"] in ("exec_exit", "exit")]
is_([x["event"] for x in told], ["exec_exit"] * 5 + ["exit"], "execs are told before the container")
check(all(x["exit_code"] == 137 for x in told), "killed", told)
is_([read_all(s) for _, s in left], [b""] * 5, "their streams end")
last = {x["exec"]: x["exit_code"] for x in k.exit_json()["execs"]}
is_([last[a["exec"]] for a, _ in left], [137] * 5, "exit.json has them")
is_(k.wait(), 0, "the keeper ends")

k = Keeper("sleep", "1000", conf=config("sleep", "1000", namespaces=("mount", "ipc", "uts")),
           start=True)
a, s = k.exec("sleep", "1000")
k.link.call("kill", signal=9)
e = k.finish()
is_(k.exit_json()["execs"], [{"exec": a["exec"], "exit_code": 137}],
    "without a pid namespace they are killed, too")
check(wait_for(5, lambda: not is_running(a["pid"])), "really")

k = Keeper("sleep", "1000", start=True)
os.rename(k.dir + "/config.json", k.dir + "/away")
time.sleep(3)
a, s = k.exec("true")
check("config.json" in a["error"], "a bundle that is gone is an error", a)
read_all(s)
os.rename(k.dir + "/away", k.dir + "/config.json")
a, s = k.exec("echo", "back")
is_(read_all(s), b"back\n", "and nothing worse")
is_(end(k), 0, "the keeper ends")

close_all()
finish()
