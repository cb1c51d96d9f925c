# SPDX-License-Identifier: Apache-2.0
# isola-keeper and attached clients: with and without a terminal, half-close,
# detach keys, slow and vanishing clients, many clients.
import os
import sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from keeperlib import *

need_root()
need_program("isola-keeper")
if not os.path.isdir(cgroup2_root()):
    skip_all("needs a cgroup2 mount")


def kill(k):
    k.link.call("kill", signal=9)
    k.finish()
    return k.wait()


# ---- without a terminal

k = Keeper("sh", "-c", "cat; echo done >&2", stdin=True, stdin_once=True)
s = k.attach(stdin=True, mux=True, head=b"from the head ".hex())
k.start()
s.sendall(b"and typed\n")
s.shutdown(socket.SHUT_WR)
is_(demux(read_all(s)), (b"from the head and typed\n", b"done\n"),
    "head, input, half-close, output to the end")
is_(k.finish()["exit_code"], 0, "exit")

k = Keeper("cat", stdin=True, stdin_once=True)
s = k.attach(stdin=True)
k.start()
s.sendall(b"x")
s.close()
is_(k.finish()["exit_code"], 0, "a client that closes ends stdin, too")
is_(k.log_text(), "x", "after its input")
check(any(e["event"] == "stream_end" and e["why"] == "closed" for e in k.link.events),
      "stream_end says closed")

k = Keeper("sh", "-c", "read a; echo $a; read b; echo $b", stdin=True)
s = k.attach(stdin=True)
k.start()
s.sendall(b"one\n")
s.shutdown(socket.SHUT_WR)
read_all(s)
is_(k.link.event("stream_end")["why"], "closed",
    "without stdin_once the end of input ends the stream")
wait_for(5, lambda: k.log_text() == "one\n")
s = k.attach(stdin=True)
s.sendall(b"two\n")
is_(read_all(s), b"two\n", "and another client can go on")
k.finish()
is_(k.log_text(), "one\ntwo\n", "the payload saw both")

k = Keeper("sh", "-c", "echo out; echo err >&2", log="none")
o, e, n = k.attach(stderr=False), k.attach(stdout=False), k.attach(stdout=False, stderr=False)
k.start()
is_((read_all(o), read_all(e), read_all(n)), (b"out\n", b"err\n", b""),
    "each gets what it asked for")
k.finish()
check(not os.path.exists(k.log_path), "log driver none writes none")

k = Keeper("sh", "-c", "sleep 1; exit 3", stdin=True)
s = k.attach(stdin=True)
k.start()
s.sendall(b"never read" * 1000)
is_(read_all(s), b"", "input that was never read does not reset the connection")
is_(k.finish()["exit_code"], 3, "exit")

k = Keeper("sh", "-c", "exec <&-; echo closed; sleep 1; echo still", stdin=True)
s = k.attach(stdin=True)
k.start()
is_(read_until(s, b"\n"), b"closed\n", "a payload closes its stdin")
s.sendall(b"nobody listens")
is_(read_all(s), b"still\n", "a payload that closed its stdin goes on")
k.finish()

# all output is there, at the end, and in the log
k = Keeper("sh", "-c", "seq 1 100000; seq 1 1000 >&2")
s = k.attach(mux=True)
k.start()
out, err = demux(read_all(s))
want = "".join("%d\n" % i for i in range(1, 100001))
check(out.decode() == want, "100000 lines arrive")
is_(len(err.split()), 1000, "and those of stderr")
k.finish()
check(k.log_text("stdout") == want, "and are logged")

# a pipe that somebody else holds open
k = Keeper("sh", "-c", "echo before; sleep 1000 & exit 0", conf=config(
    "sh", "-c", "echo before; sleep 1000 & exit 0", namespaces=("mount", "ipc", "uts")))
s = k.attach()
t0 = time.monotonic()
k.start()
is_(read_all(s), b"before\n", "output ends with the payload, not with who holds its pipe")
check(time.monotonic() - t0 < 100, "and at once")        # not when who holds it ends
k.finish()

# ---- slow, vanishing, many

k = Keeper("sh", "-c", "yes 0123456789012345678901234567890123456789 | head -c 20000000")
slow, fast = k.attach(), k.attach()
k.start()
got = 0
fast.settimeout(0.5)
try:
    while data := fast.recv(1 << 20):
        got += len(data)
except socket.timeout:
    pass
fast.settimeout(WAIT_S)
check(got < 5000000, "a client that does not read holds the payload up, as in Docker", got)
pss = sum(int(line.split()[1]) for line in contents("/proc/%d/smaps_rollup" % k.pid).splitlines()
          if line.startswith(b"Private_Dirty"))
check(SANITIZED or pss < 1500, "within bounds", "%d KiB" % pss)
counts = [len(x or b"") for x in read_together([slow, fast])]
counts[1] += got
is_(counts, [20000000] * 2, "when it reads again both get everything")
k.finish()

k = Keeper("sh", "-c", "yes %s | head -c 3000000; echo end >&2" % ("x" * 99))
slow = k.attach(stderr=False)
err = k.attach(stdout=False)
k.start()
time.sleep(0.3)
slow.close()
is_(read_all(err), b"end\n", "a slow client that vanishes lets go")
k.finish()
is_(len(k.log_text("stdout")), 3000000, "nothing is missing in the log")

k = Keeper("sh", "-c", "yes | head -c 300000")
slow = k.attach()
k.start()
check(k.finish(), "the payload ends though its client has not read all")
check(k.process.poll() is None, "the keeper stays for the client")
is_([os.path.exists(k.dir + "/keeper.sock"), os.path.exists(cgroup2_root() + k.cgroup)],
    [False, False], "but has cleaned up")
is_(len(read_all(slow)), 300000, "which gets everything")
is_(k.wait(), 0, "then it ends")

k = Keeper("cat", stdin=True, stdin_once=True)
clients = [k.attach() for _ in range(64)]
typist = k.attach(stdin=True)
k.start()
for i in range(10):
    typist.sendall(b"line %d\n" % i)
    time.sleep(0.01)
clients[7].close()
typist.shutdown(socket.SHUT_WR)
want = b"".join(b"line %d\n" % i for i in range(10))
del clients[7]
check(all(read_all(c) == want for c in clients), "64 clients get all of it")
is_(read_all(typist), want, "the one who types, too")
is_(k.finish()["exit_code"], 0, "exit")

k = Keeper("sh", "-c", "while :; do echo x; done", log="none", start=True)
for i in range(200):
    c = k.attach(stdin=i % 2 == 0, mux=i % 3 == 0)
    if i % 5 == 0:
        c.recv(100)
    c.close()
check(k.link.call("kill", signal=9).get("ok"), "200 clients that come and go")
n = len([e for e in k.link.end() if e["event"] == "stream_end"])
is_(n, 200, "each end is told")
k.wait()

a, s = Keeper("true").stream("attach", stdout=True)
k = Keeper.all[-1]
k.start()
read_all(s)
k.finish()

k = Keeper("sleep", "1000", start=True)
a1, s1 = k.stream("attach", stream="same")
a2, s2 = k.stream("attach", stream="same")
is_(a2["code"], 17, "a stream's id is used once")
is_(read_all(s2), b"", "the second is closed")
check(k.link.call("detach", stream="same").get("ok"), "detach by isolad")
is_(read_all(s1), b"", "closes the stream")
is_(k.link.event("stream_end")["why"], "detached", "and is told")
a, s = k.stream("attach", stream="bad id!")
is_(a["code"], 22, "an id must be one")
kill(k)

# ---- with a terminal

k = Keeper("sh", "-c", "tty; stty size; stty -echo -ixon; echo ready; read x; echo \"<$x>\"; "
           "stty size; cat", tty=True, stdin=True, stdin_once=True, console_size=[40, 132])
s = k.attach(stdin=True, mux=True)
k.start()
like(read_until(s, b"ready\r\n").decode(), r"^/dev/(pts/0|console)\r\n40 132\r\n",
     "a terminal of the size asked for, unframed")
check(k.link.call("resize", h=24, w=80).get("ok"), "resize")
s.sendall(b"typed\r")
is_(read_until(s, b"80\r\n"), b"<typed>\r\n24 80\r\n", "input and the new size arrive")
s2 = k.attach(stdin=True, detach_keys="ctrl-x,x,y")
s3 = k.attach(stdin=True, detach_keys="")
s.sendall(b"a\x10b\r")
is_(read_until(s2, b"\n"), b"a\x10b\r\n", "keys that only begin the sequence are passed on")
s2.sendall(b"\x18x\x18xy")
is_(read_all(s2), b"", "other detach keys work")
is_(k.link.event("stream_end")["why"], "detached", "and are told")
read_until(s, b"\n")
read_until(s3, b"\n")
s3.sendall(b"\x10\x11\r")
like(read_until(s, b"\n"), rb"\x18x\x10\x11\r\n", "no detach keys: all is passed on")
s3.shutdown(socket.SHUT_WR)
read_all(s3)
is_(k.link.event("stream_end")["why"], "closed", "a client's end of input ends its stream only")
s.sendall(b"\x10\x11")
read_all(s)
is_(k.link.event("stream_end")["why"], "detached", "ctrl-p ctrl-q detaches")
check(is_running(k.started["pid"]), "the payload runs on")
s = k.attach(stdin=True)
s.sendall(b"\x04")
read_all(s)
is_(k.finish()["exit_code"], 0, "ctrl-d ends cat")
is_(k.wait(), 0, "the keeper ends")
like(k.log_text(), "40 132\r\nready\r\n", "the terminal's output is logged")
check(all(r["stream"] == "stdout" for r in k.logged()), "as stdout")

k = Keeper("sh", "-c", "trap 'exit 9' INT; printf prompt; read x", tty=True)
s = k.attach(stdin=True)
k.start()
is_(read_until(s, b"prompt"), b"prompt", "a prompt without a line end comes at once")
s.sendall(b"\x03")
is_(k.finish()["exit_code"], 9, "ctrl-c is sent")
read_all(s)
is_(k.log_text(), "prompt^C", "and echoed")

k = Keeper("sh", "-c", "seq 1 50000", tty=True)
s = k.attach()
k.start()
is_(read_all(s).split(), [b"%d" % i for i in range(1, 50001)], "a terminal loses nothing")
k.finish()

# a session that closes the terminal and comes back to it
k = Keeper("sh", "-c", "trap '' HUP; exec </dev/null >/dev/null 2>&1; sleep 0.4; "
           "echo back >/dev/pts/0; sleep 0.2", tty=True)
s = k.attach()
k.start()
is_(read_all(s), b"back\r\n", "a terminal that nobody has open for a while")
k.finish()

close_all()
finish()
