# SPDX-License-Identifier: Apache-2.0
# isola-keeper logs: readers of a real container's log, following it across
# rotation, a full disk, an isolad that dies.
import os
import sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from keeperlib import *

need_root()
need_program("isola-keeper")
if not os.path.isdir(cgroup2_root()):
    skip_all("needs a cgroup2 mount")


def logs(k, *flags):
    s, p = k.logs(*flags)
    text = read_all(s)
    is_(p.wait(WAIT_S), 0, "logs %s ends well" % " ".join(map(str, flags)))
    return text


def follows(p):
    """Whether a reader has begun to watch the run folder and the log."""
    return any("inotify" in what for what in open_files(p.pid).values())


def numbers(first, last):
    return b"".join(b"%d\n" % i for i in range(first, last + 1))


# ---- flags

k = Keeper("sh", "-c", "for i in 1 2 3 4 5; do echo $i; sleep 0.02; echo e$i >&2; sleep 0.02; done",
           log_opts={"attrs": {"a b": "c"}}, start=True)
k.finish()
both = b"".join(b"%d\ne%d\n" % (i, i) for i in range(1, 6))
is_(logs(k, "--stdout", "--stderr"), both, "all of both")
is_(logs(k, "--stderr"), b"e1\ne2\ne3\ne4\ne5\n", "stderr only")
is_(demux(logs(k, "--stdout", "--stderr", "--mux")), (b"1\n2\n3\n4\n5\n", b"e1\ne2\ne3\ne4\ne5\n"),
    "framed")
is_(logs(k, "--stdout", "--stderr", "--tail", 3), b"e4\n5\ne5\n", "tail")
like(logs(k, "--stdout", "--tail", 2, "--timestamps").decode(),
     r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z 5\n$", "timestamps")
is_(logs(k, "--stdout", "--tail", 2, "--details"), b"a+b=c 5\n", "details")
when = [r["time"] for r in k.logged()]


def ns(text):
    import calendar
    return calendar.timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")) * 10**9 + int(text[20:29])


is_(logs(k, "--stdout", "--stderr", "--since", ns(when[7])), b"e4\n5\ne5\n", "since")
is_(logs(k, "--stdout", "--stderr", "--until", ns(when[2])), b"1\ne1\n2\n", "until")
is_(logs(k, "--stdout", "--follow", "--run-dir", k.dir), b"1\n2\n3\n4\n5\n",
    "following what has ended ends")
chunked = logs(k, "--stdout", "--chunked")
is_(chunked, b"a\r\n1\n2\n3\n4\n5\n\r\n0\r\n\r\n", "chunked")

r = run(PROGRAM, "logs", "--fd", "3", "--path", k.log_path, "--what")
check(r.rc == 2 and "--what" in r.err, "an unknown flag is named")

# ---- follow

k = Keeper("sh", "-c", "echo first; read x; echo second; read x; printf last", stdin=True)
w = k.attach(stdin=True, stdout=False, stderr=False)
s, p = k.logs("--stdout", "--follow", "--run-dir", k.dir)
k.start()
is_(read_until(s, b"\n"), b"first\n", "a follower of a container that is yet to start")
k.link.close()                        # isolad dies
w.sendall(b"\n")
is_(read_until(s, b"\n"), b"second\n", "follows on without isolad")
status = contents("/proc/%d/status" % p.pid).decode()
like(status, r"CapEff:\t0000000000000000\n", "a reader has no capabilities")
like(status, r"NoNewPrivs:\t1\n", "gets none by exec")
if not SANITIZED:
    like(status, r"Seccomp:\t2\n", "and is confined")
w.sendall(b"\n")
is_(read_all(s), b"last", "to the end, which needs no line end")
is_(p.wait(WAIT_S), 0, "and ends")
is_(k.wait(), 0, "the keeper, too")

k = Keeper("sleep", "1000", start=True)
s, p = k.logs("--stdout", "--follow", "--run-dir", k.dir)
wait_for(10, follows, p)
s.close()
is_(p.wait(WAIT_S), 0, "a reader whose client has left ends, though nothing is logged")
s, p = k.logs("--stdout", "--follow", "--run-dir", k.dir)
wait_for(10, follows, p)
k.process.kill()
k.process.wait()
time.sleep(0.3)
check(p.poll() is None, "a follower of a keeper that was killed waits")
k.write("exit.json", {"exit_code": 137})     # what isolad does
is_(read_all(s), b"", "until isolad writes the exit record")
is_(p.wait(WAIT_S), 0, "and ends")
k.close()

k = Keeper("sleep", "1000", start=True)
s, p = k.logs("--stdout", "--follow", "--run-dir", k.dir)
s2, p2 = k.logs("--stdout", "--follow", "--run-dir", k.dir)
check(wait_for(10, lambda: follows(p) and follows(p2)), "two follow")
k.link.call("kill", signal=9)
k.finish()
run("rm", "-rf", k.dir)
is_((read_all(s), p.wait(WAIT_S)), (b"", 0), "a run folder that is removed ends them")
s2.close()
p2.wait(WAIT_S)

# ---- rotation: every line once, in order

N = 100000
k = Keeper("seq", "1", str(N), log_opts={"max_size": 1000000, "max_files": 10})
followers = [k.logs("--stdout", "--follow", "--run-dir", k.dir) for _ in range(3)]
k.start()
check(read_together([s for s, _ in followers]) == [numbers(1, N)] * 3,
      "100000 lines at full speed over nine rotations")
k.finish()
for s, p in followers:
    is_(p.wait(WAIT_S), 0, "the follower ends")

# Five files of 200 kB hold 13000 lines: at this speed a reader may well be
# overtaken. What it sees is in order, and goes to the end.
k = Keeper("seq", "1", str(N), log_opts={"max_size": 200000, "max_files": 5})
followers = [k.logs("--stdout", "--follow", "--run-dir", k.dir) for _ in range(3)]
wait_for(10, lambda: all(follows(p) for _, p in followers))
k.start()
outs = read_together([s for s, _ in followers])
k.finish()
for out, (_, p) in zip(outs, followers):
    seen = [int(x) for x in out.split()]
    check(seen == sorted(set(seen)) and seen[-1] == N,
          "a follower that is overtaken: in order, to the end", "%d of %d" % (len(seen), N))
    p.wait(WAIT_S)
sizes = [os.path.getsize(k.log_path + x) for x in ("", ".1", ".2", ".3", ".4")]
check(all(0 < x <= 200000 for x in sizes) and not os.path.exists(k.log_path + ".5"),
      "the log is bounded", sizes)
seen = [int(r["log"]) for r in k.logged()]
is_(seen, list(range(seen[0], N + 1)), "and has the last lines, in order")
is_(logs(k, "--stdout"), numbers(seen[0], N), "as a reader says")
is_(logs(k, "--stdout", "--tail", 5000), numbers(N - 4999, N), "tail across rotated files")

# The payload waits for the followers: at most a dozen of 400 pieces are unread, and the
# log keeps some 40.
k = Keeper("sh", "-c", "for i in $(seq 1 400); do read x; seq $((i * 250 - 249)) $((i * 250)); done",
           log_opts={"max_size": 300000, "max_files": 4}, stdin=True)
w = k.attach(stdin=True, stdout=False, stderr=False)
followers = [k.logs("--stdout", "--follow", "--run-dir", k.dir) for _ in range(3)]
wait_for(10, lambda: all(follows(p) for _, p in followers))
k.start()
outs = [b""] * len(followers)
sent = 0
ends = {s.fileno(): n for n, (s, _) in enumerate(followers)}
lines = [0] * len(followers)
limit = time.monotonic() + WAIT_S + 30 * SCALE
while ends and time.monotonic() < limit:
    while sent < 400 and sent < min(lines) // 250 + 12:
        w.sendall(b"\n")
        sent += 1
    for fd in select.select(list(ends), [], [], 5)[0]:
        n = ends[fd]
        piece = followers[n][0].recv(1 << 16)
        if not piece:
            del ends[fd]
        outs[n] += piece
        lines[n] += piece.count(b"\n")
check(all(out == numbers(1, N) for out in outs),
      "100000 lines over dozens of rotations: no gap, nothing twice")
k.finish()
for s, p in followers:
    is_(p.wait(WAIT_S), 0, "the follower ends")

# ---- content

k = Keeper("sh", "-c", r"printf 'tab\tquote\042back\\slash nul\000 bad\377\376 gr\303\274n \342\202\254\n'")
k.start()
k.finish()
is_(k.log_text(), "tab\tquote\"back\\slash nul\0 bad\ufffd\ufffd grün €\n", "any bytes become JSON")
is_(logs(k, "--stdout"), k.log_text().encode(), "and come back")

k = Keeper("sh", "-c", "head -c 40000 /dev/zero | tr '\\0' x; echo; echo short")
k.start()
k.finish()
is_([len(r["log"]) for r in k.logged()], [16384, 16384, 40000 - 2 * 16384 + 1, 6],
    "a long line is split as Docker does")
is_(len(logs(k, "--stdout")), 40007, "and put together")

# two runs, one log
path = k.log_path
k = Keeper("echo", "again", log_opts={"path": path}, start=True)
k.finish()
check(contents(path).count(b"\n") == 5 and b"again" in contents(path), "a second run appends")

# ---- a full disk

disk = T + "/disk"
os.mkdir(disk)
if run("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk).rc:
    skip("a full disk", "cannot mount a tmpfs")
else:
    k = Keeper("sh", "-c", "seq 1 20000; read x; echo after; exit 4", stdin=True,
               log_opts={"path": disk + "/log", "max_size": -1})
    s = k.attach(stdin=True)
    k.start()
    is_(read_until(s, b"\n20000\n")[-7:], b"\n20000\n", "a full disk: the payload and clients go on")
    lines = contents(disk + "/log").splitlines()
    check(all(json.loads(x) for x in lines), "whole records only")
    run("mount", "-o", "remount,size=1m", disk)
    s.sendall(b"\n")
    read_all(s)
    e = k.finish()
    is_(e["exit_code"], 4, "the exit code is told")
    last = [json.loads(x) for x in contents(disk + "/log").splitlines()][-2:]
    like(last[0]["log"], r"isola: \d+ lines of output could not be logged here: No space left",
         "the log says what is missing")
    is_(last[1]["log"], "after\n", "and goes on")
    is_(int(re.search(r"\d+", last[0]["log"])[0]) + len(lines), 20000, "the count is right")
    check(any(x["event"] == "warn" and "missing" in x["text"] for x in k.link.events),
          "isolad is told")
    run("umount", disk)

close_all()
finish()
