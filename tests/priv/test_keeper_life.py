# SPDX-License-Identifier: Apache-2.0
# isola-keeper on its own: start, exit codes, failures, kill, freeze, adoption,
# strangers and malformed messages, a keeper that is killed.
import os
import sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from keeperlib import *

need_root()
need_program("isola-keeper")
if not os.path.isdir(cgroup2_root()):
    skip_all("needs a cgroup2 mount")
os.umask(0o022)


def cgroup_is_gone(k):
    return not os.path.exists(cgroup2_root() + k.cgroup)


def gone(k, name):
    """After the link's end nothing of the container is left."""
    left = [f for f in os.listdir(k.dir) if f not in
            ("config.json", "keeper.json", "keeper.pid", "exit.json")]
    check(cgroup_is_gone(k) and not left, name + ": nothing is left", "files: %s" % left)


# ---- a plain life

k = Keeper("sh", "-c", "echo out; echo err >&2; exit 7")
is_(k.hello["state"], "created", "hello says created")
check(k.hello["pid"] > 1 and k.hello["started_ns"] == 0, "hello names init", k.hello)
is_(contents("/proc/%d/cmdline" % k.pid).rstrip(b"\0"),
    b"isola-keeper " + os.path.basename(k.dir)[:12].encode(), "ps shows what it is")
like(contents("/proc/%d/comm" % k.pid).decode(), "^isola-keeper$", "and so does the name")
is_(os.getsid(k.pid), k.pid, "it has a session of its own")
is_([os.readlink("/proc/%d/fd/%d" % (k.pid, i)) for i in range(3)], ["/dev/null"] * 3,
    "it has no stdio")
check(CGROUP not in contents("/proc/%d/cgroup" % k.pid).decode(), "it stays out of the cgroup")
pid_doc = json.loads(contents(k.dir + "/keeper.pid"))
is_(pid_doc["pid"], k.pid, "keeper.pid names it")
is_(pid_doc["start_ticks"],
    int(contents("/proc/%d/stat" % k.pid).rpartition(b") ")[2].split()[19]), "and when it began")
s = k.attach(mux=True)
before = time.time_ns()
a = k.start()
check(a.get("ok") and a["pid"] == k.hello["pid"], "start is answered", a)
check(before <= a["started_ns"] <= time.time_ns(), "with the time", a)
is_(demux(read_all(s)), (b"out\n", b"err\n"), "the client gets the output, framed")
e = k.finish()
check(e and e["exit_code"] == 7 and e["signal"] == 0 and not e["oom"], "exit 7 is told", e)
is_([x["event"] for x in k.link.events if x["event"] in ("stream_end", "exit")],
    ["exit", "stream_end"], "the exit is known before the stream ends")
is_(k.wait(), 0, "the keeper ends well")
doc = k.exit_json()
is_({**doc, "event": "exit"}, e, "exit.json says the same")
check(a["started_ns"] <= doc["finished_ns"] <= time.time_ns(), "and when it ended")
is_([(r["log"], r["stream"]) for r in k.logged()], [("out\n", "stdout"), ("err\n", "stderr")],
    "the log has it")
is_(os.stat(k.log_path).st_mode & 0o777, 0o640, "the log's mode is Docker's")
gone(k, "after exit 7")

for script, code in (("true", 0), ("exit 255", 255)):
    k = Keeper("sh", "-c", script, start=True)
    e = k.finish()
    check(e and (e["exit_code"], e["signal"]) == (code, 0), script + ": exit code", e)
    is_(k.wait(), 0, script + ": the keeper ends")

k = Keeper("sleep", "1000", start=True)
is_(k.link.call("kill", signal=0)["code"], 22, "signal 0 is refused")
check(k.link.call("kill", signal=15).get("ok"), "SIGTERM is taken by init without a handler")
check(k.link.call("kill", signal=9).get("ok"), "SIGKILL")
e = k.finish()
check(e and (e["exit_code"], e["signal"]) == (137, 9), "137 for SIGKILL", e)
gone(k, "after SIGKILL")

k = Keeper("sh", "-c", "trap 'echo caught; exit 3' TERM; echo ready; while :; do sleep 0.1; done")
s = k.attach()
k.start()
read_until(s, b"ready")
k.link.call("kill", signal=15)
is_(read_all(s), b"caught\n", "a handled signal is handled")
is_(k.finish()["exit_code"], 3, "and its exit code told")

k = Keeper("sh", "-c", "sleep 1000 & sleep 1000", start=True)
k.link.call("kill", signal=9, all=True)
is_(k.finish()["exit_code"], 137, "kill of all processes")
gone(k, "after kill of all")

# what reaches the payload
k = Keeper("sh", "-c", "ls /proc/self/fd; env; grep -E '^Sig(Blk|Ign)' /proc/self/status; "
           "cat /proc/self/limits | grep -c .; readlink /proc/self/fd/0")
s = k.attach()
k.start()
out = read_all(s).decode()
is_(out.split()[:4], ["0", "1", "2", "3"], "the payload has three descriptors (and ls's own)")
like(out, r"SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000", "no signal is blocked or ignored")
like(out, r"/dev/null\n$", "stdin is /dev/null")
check("GLIBC" not in out and "ISOLA" not in out, "nothing of our environment", out)
k.finish()

# ---- failures

k = Keeper("/no/such/program")
a = k.start()
check(a["code"] == 2 and a["exit_code"] == 127, "a missing command is 127", a)
e = k.finish()
check(e["exit_code"] == 127 and "/no/such/program" in e["error"], "the exit event says why", e)
is_(k.wait(), 0, "the keeper ends")
is_(k.exit_json()["error"], e["error"], "exit.json too")
gone(k, "missing command")

k = Keeper("/etc/passwd")
a = k.start()
check(a["code"] == 13 and a["exit_code"] == 126, "a file that is no program is 126", a)
k.finish()
k = Keeper("/etc")
is_(k.start()["exit_code"], 126, "a folder is 126")
k.finish()
gone(k, "not executable")

c = config("true")
c["root"]["path"] = T + "/nowhere"
k = Keeper(conf=c)
is_(k.hello["state"], "exited", "a root that is not there: hello says exited")
check(T + "/nowhere" in (k.exit_json() or {}).get("error", ""), "exit.json is there at once",
      k.exit_json())
s_answer, s = k.stream("attach", stdout=True)
check("error" in s_answer, "attach is answered with the error", s_answer)
is_(read_all(s), b"", "and its socket closed")
a = k.start()
check(a["code"] == 2 and a["exit_code"] == 128 and T + "/nowhere" in a["error"],
      "start is answered with the error", a)
is_(k.finish()["exit_code"], 128, "then exit")
is_(k.wait(), 0, "then the end")
gone(k, "bad root")

for name, change, why in (
        ("config.json", "{", "config.json"),
        ("config.json", {"ociVersion": "1.0.2", "process": {"args": []}}, "config.json"),
        ("keeper.json", {"version": 99}, "version 99"),
        ("keeper.json", {"version": 1, "kind": "container", "id": "a", "cgroup": "/x", "new": 1},
         '"new"')):
    k = Keeper("true", wait=False, override={name: change})
    a = k.start()
    check(why in a.get("error", ""), "a bad %s is told" % name, a)
    k.finish()
    is_(k.wait(), 0, "and the keeper ends")
    gone(k, "bad " + name)

k = Keeper("true", tty=False, conf=config("true", terminal=True))
check("tty" in k.start()["error"], "tty must agree with process.terminal")
k.finish()

k = Keeper("true", log_opts={"path": T + "/no/such/folder/log"})
check("log" in k.start()["error"], "a log that cannot be opened is an error")
k.finish()

r = run(PROGRAM, "--help")
check(r.rc == 0 and "not run by hand" in r.out, "--help says whom it is for")
like(run(PROGRAM, "--version").out, r"^isola-keeper \d", "--version")
is_(run(PROGRAM).rc, 2, "no arguments are wrong")
is_(run(PROGRAM, "run", "relative").rc, 2, "a relative folder is wrong")
is_(run(PROGRAM, "run", T + "/nothing").rc, 1, "a run folder that is not there is an error")

# nobody will ever ask
k = Keeper(conf=c)
k.link.close()
is_(k.wait(), 0, "a failed keeper without isolad ends at once")
check("error" in k.exit_json(), "and left its exit.json")

# ---- freeze

k = Keeper("sh", "-c", "while :; do echo x; sleep 0.02; done", start=True)
check(k.link.call("freeze", frozen=True).get("ok"), "freeze")
is_(k.link.call("freeze", frozen=True)["code"], 114, "twice is EALREADY")
is_(k.connect().event("hello")["state"], "paused", "hello says paused")
check(stands_still(os.path.getsize, k.log_path), "it is frozen")
size = os.path.getsize(k.log_path)
a, s = k.exec("true")
is_(a["code"], 16, "exec while paused is EBUSY")
like(read_all(s).decode(), "paused", "and the client reads why")
check(k.link.call("freeze", frozen=False).get("ok"), "thaw")
check(wait_for(5, lambda: os.path.getsize(k.log_path) > size), "it goes on")
is_(k.link.call("freeze", frozen=False, held=True)["code"], 22, "no thaw is held")
other = k.connect()
other.event("hello")
check(other.call("freeze", frozen=True, held=True).get("ok"), "frozen as long as this one lives")
is_(k.connect().event("hello")["state"], "running", "for a newcomer it runs")
is_(k.link.call("freeze", frozen=True)["code"], 114, "it is frozen")
check(stands_still(os.path.getsize, k.log_path), "really")
size = os.path.getsize(k.log_path)
other.close()
check(wait_for(5, lambda: os.path.getsize(k.log_path) > size), "the holder is gone: it goes on")
check(k.link.call("freeze", frozen=True).get("ok"), "and can be frozen")
other = k.connect()
other.event("hello")
other.close()
time.sleep(0.3)
is_(k.connect().event("hello")["state"], "paused", "which no end of another connection undoes")
k.link.call("kill", signal=9)
is_(k.finish()["exit_code"], 137, "a paused one can be killed")
gone(k, "killed while paused")

# ---- adoption

k = Keeper("sh", "-c", "while read x; do echo got $x; done; echo end", stdin=True,
           stdin_once=True)
s = k.attach(stdin=True)
k.start()
a, x = k.exec("cat", stdin=True)
k.link.close()                      # isolad is killed
s.sendall(b"one\n")
is_(read_until(s, b"\n"), b"got one\n", "the stream flows without isolad")
x.sendall(b"exec too\n")
is_(read_until(x, b"\n"), b"exec too\n", "and that of an exec")
k.link = k.connect()
h = k.link.event("hello")
check(h["state"] == "running" and h["pid"] == k.started["pid"] and
      h["started_ns"] == k.started["started_ns"], "hello says running", h)
is_(h["execs"], [{"exec": a["exec"], "pid": a["pid"]}], "and names the exec")
second = k.connect()
check(second.event("hello"), "there may be more than one")
x.shutdown(socket.SHUT_WR)
is_(read_all(x), b"", "the exec ends")
is_(k.link.event("exec_exit")["exec"], a["exec"], "its end is told to one")
is_(second.event("exec_exit")["exec"], a["exec"], "and the other")
k.link.close()
third = k.connect()
is_(third.event("hello")["ended_execs"], [{"exec": a["exec"], "exit_code": 0}],
    "a third is told about ended execs")
s2 = k.attach(link=third)
s.sendall(b"two\n")
is_(read_until(s2, b"\n"), b"got two\n", "a later client gets what comes later")
s.shutdown(socket.SHUT_WR)
is_(read_all(s), b"got two\nend\n", "the first one to the end")
is_(second.event("exit")["exit_code"], 0, "exit is told to all")
third.end()
second.end()
is_(k.wait(), 0, "the keeper ends")
is_(k.log_text(), "got one\ngot two\nend\n", "the log has no gap")

k = Keeper("sh", "-c", "sleep 0.5; exit 5", start=True)
k.link.close()
is_(k.wait(), 0, "a payload that ends while isolad is away")
is_(k.exit_json()["exit_code"], 5, "leaves its exit code")
check(cgroup_is_gone(k), "and no cgroup")

# isolad dies right behind a request, with events unread: the request counts
k = Keeper("cat", stdin=True, stdin_once=True, wait=False)
s_ours, s_theirs = socket.socketpair()
s_ours.settimeout(WAIT_S)
k.link.send({"op": "attach", "seq": 1, "stream": "s", "stdin": True, "stdout": True},
            [s_theirs.fileno()])
k.link.send({"op": "start", "seq": 2})
k.link.close()
s_theirs.close()
s_ours.sendall(b"hello")
s_ours.shutdown(socket.SHUT_WR)
is_(read_all(s_ours), b"hello", "requests of an isolad that is dead are done")
is_(k.wait(), 0, "to the end")

k = Keeper("sleep", "1000")
is_(k.link.call("exec", exec="e", process=process("true"))["code"], 3, "no exec before the start")
is_(k.link.call("kill", signal=9)["code"], 3, "no kill before the start")
check(k.start().get("ok"), "start")
is_(k.start()["code"], 114, "a second start is EALREADY")
is_(k.link.call("resize", h=1, w=1)["code"], 25, "no terminal, no resize (ENOTTY)")
is_(k.link.call("resize", h=1, w=1, exec="none")["code"], 2, "no such exec")
is_(k.link.call("exec_kill", exec="none", signal=9)["code"], 2, "no such exec to kill")
is_(k.link.call("detach", stream="none")["code"], 2, "no such stream")
is_(k.link.call("fly")["code"], 95, "an unknown op is EOPNOTSUPP")
is_(k.link.call("start", more=1)["code"], 22, "an unknown field is EINVAL")
check(k.link.call("update", log={"max_size": 1000, "max_files": 2}).get("ok"), "update of the log")
is_(k.link.call("update", log={"max_files": 0})["code"], 22, "a bad one is refused")
is_(k.link.call("update", log={"path": "/x"})["code"], 22, "and one of the path")

# malformed messages cost the connection, nothing else
for name, data in (("no JSON", b"\xff\xfe"), ("cut off", b'{"op":"start","seq":1'),
                   ("no object", b"[1]"), ("no number", b'{"op":"start"}'),
                   ("deep", b"[" * 5000), ("a wrong number", b'{"op":"start","seq":"x"}')):
    c2 = k.connect()
    c2.event("hello")
    c2.send(data)
    c2.end()
    check(c2.closed and k.process.poll() is None, name + ": the connection is closed")
c2 = k.connect()
c2.event("hello")
r_, w_ = os.pipe()
c2.send({"op": "start", "seq": 1}, [r_, w_, r_, w_])
is_(c2.answer(1)["code"], 22, "descriptors that nobody asked for are an error")
os.close(r_)
fds = wait_for(2, lambda: len(os.listdir("/proc/%d/fd" % k.pid)) < 40)
check(fds, "and closed")
c2.close()
# one that does not read is cut off
deaf = k.connect()
try:
    for i in range(20000):
        deaf.sock.send(b'{"op":"fly","seq":1}')     # waits while the keeper has not read the last ones
    cut = False
except socket.timeout:
    cut = False
except OSError:
    cut = True
check(cut, "a peer that never reads is cut off")
check(k.link.call("kill", signal=9).get("ok"), "all the while the first link works")
is_(k.finish()["exit_code"], 137, "to the end")

# other users
k = Keeper("sleep", "1000", start=True)
os.chmod(k.dir, 0o755)
os.chmod(k.dir + "/keeper.sock", 0o777)
os.chmod(T, 0o755)
r = run(sys.executable, "-c", """
import os, socket
os.setuid(65534)
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.settimeout(10)
os.chdir(%r)
s.connect("keeper.sock")
print("got", s.recv(1000))
""" % k.dir)
is_(r.out, "got b''\n", "another user is not served")
check(k.link.call("kill", signal=9).get("ok"), "and does no harm")
k.finish()

# ---- a keeper that is killed

k = Keeper("sleep", "1000")
init = k.hello["pid"]
k.process.kill()
k.process.wait()
check(wait_for(5, lambda: not is_running(init)), "before the start: init dies with it")
check(wait_for(5, remove_cgroup, k.cgroup), "and the cgroup is empty")
for ms in (1, 2, 3, 4, 5, 6, 8, 10, 15, 20):
    k = Keeper("sleep", "1000", wait=False)
    time.sleep(ms / 1000)
    k.process.kill()
    k.process.wait()
    if not check(wait_for(5, remove_cgroup, k.cgroup),
                 "killed %d ms after its begin: nothing runs on" % ms):
        break
k = Keeper("sleep", "1000", start=True)
k.process.kill()
k.process.wait()
check(is_running(k.started["pid"]), "after the start: the payload goes on, for isolad to kill")
check(k.exit_json() is None, "without an exit.json")
k.close()
check(wait_for(5, lambda: not is_running(k.started["pid"])), "by its cgroup")

# ---- an init of ours, no pid namespace, the update of limits

k = Keeper("sh", "-c", "echo $$; (sleep 0.2; exit 4) & sleep 0.1; exit 6", reaper=True)
s = k.attach()
k.start()
isnt(read_all(s).strip(), b"1", "with a reaper the payload is not pid 1")
is_(k.finish()["exit_code"], 6, "but its exit code counts")

k = Keeper("sh", "-c", "sleep 1000 & echo $!", conf=config(
    "sh", "-c", "sleep 1000 & echo $!", namespaces=("mount", "ipc", "uts", "network")))
s = k.attach()
k.start()
child = int(read_all(s))
is_(k.finish()["exit_code"], 0, "without a pid namespace: the end of the payload is the end")
check(wait_for(5, lambda: not is_running(child)), "its children are killed")
gone(k, "without a pid namespace")

if has_controller("memory"):
    k = Keeper("sh", "-c", "sleep 0.2; tail /dev/zero", start=True)
    check(k.link.call("update", resources={"memory": {"limit": 16 << 20}}).get("ok"),
          "update of memory")
    e = k.finish()
    check(e["oom"], "an OOM kill is in the exit record", e)
    check(any(x["event"] == "oom" for x in k.link.events), "and was told")
    k = Keeper("sh", "-c", "tail /dev/zero; sleep 1000", start=True)
    k.link.call("update", resources={"memory": {"limit": 16 << 20},
                                     "unified": {"memory.oom.group": "1"}})
    e = k.finish()
    check(e["oom"] and e["exit_code"] == 137, "so is one of the whole group", e)
else:
    skip("an OOM kill is told", "no memory controller")
    k = Keeper("sleep", "1000", start=True)
    a = k.link.call("update", resources={"memory": {"limit": 16 << 20}})
    check("memory" in a.get("error", ""), "a limit that cannot be is an error", a)
    k.link.call("kill", signal=9)
    k.finish()

close_all()
finish()
