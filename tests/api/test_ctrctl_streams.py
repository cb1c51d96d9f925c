# SPDX-License-Identifier: Apache-2.0
#
# What goes through ctrctl: large input and output, half-closed pipes, terminals,
# detach keys, window sizes, exec, attach, logs.
import os, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/..")
from lib import *
import hashlib
import pty
import select
import termios

need_root()
need_program("isolad", "isola-keeper", "isola-image", "ctrctl")
d = start_isolad()
if not d:
    not_ok("isolad starts")
    finish()
busybox_tar(T + "/root.tar")
check(d.ctr("import", T + "/root.tar", "box").rc == 0, "an image is imported")
check(d.ctr("run", "--rm", "box", "true").rc == 0, "a container runs")
CTR = [BUILD + "/ctrctl", "-H", "unix://" + d.socket]
leak_mark()


def good(name, r, out):
    check((r.rc, r.out) == (0, out), name, "wanted %r, got %r" % (out, r))


def pipe(data, *argv):
    """Exit status and output of a ctrctl that is fed DATA."""
    p = subprocess.run([*CTR, *argv], input=data, stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, timeout=50 * SCALE)
    return p.returncode, p.stdout


def digest(data):
    return hashlib.sha256(data).hexdigest()


class Tty:
    """A ctrctl on a terminal of its own."""

    def __init__(self, *argv, size=(30, 100)):
        self.master, slave = pty.openpty()
        termios.tcsetwinsize(slave, size)
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.p = subprocess.Popen([*CTR, *argv], stdin=slave, stdout=slave, stderr=slave,
                                  start_new_session=True,
                                  preexec_fn=lambda: __import__("fcntl").ioctl(
                                      0, termios.TIOCSCTTY, 0))
        self.text = ""

    def is_raw(self):
        """Waits until the terminal is the payload's."""
        return wait_for(10, lambda: termios.tcgetattr(self.slave) != self.before)

    def type(self, text):
        os.write(self.master, text.encode())

    def until(self, pattern, limit_s=20):
        end = time.monotonic() + limit_s * SCALE
        while not (m := re.search(pattern, self.text)) and time.monotonic() < end:
            if select.select([self.master], [], [], 0.05)[0]:
                self.text += os.read(self.master, 65536).decode(errors="replace")
        return m

    def wait(self, limit_s=30):
        end = time.monotonic() + limit_s * SCALE
        while self.p.poll() is None and time.monotonic() < end:
            self.until("$^", 0.05)
        if self.p.poll() is None:
            self.p.kill()
        self.p.wait()
        self.after = termios.tcgetattr(self.slave)
        os.close(self.slave)
        os.close(self.master)
        return self.p.returncode


# ------------------------------------------------------------------ large data

big = os.urandom(1 << 20) * 50
rc, out = pipe(big, "run", "--rm", "-i", "box", "cat")
is_((rc, len(out), digest(out)), (0, len(big), digest(big)), "run -i: 50 MiB through cat")
rc, out = pipe(big, "run", "--rm", "-i", "--log-driver", "none", "box", "sha256sum")
is_((rc, out[:64].decode()), (0, digest(big)), "50 MiB in, and its end is seen")
d.ctr("run", "-d", "--name", "host", "box", "sleep", "1000")
rc, out = pipe(big, "exec", "-i", "host", "cat")
is_((rc, digest(out)), (0, digest(big)), "exec -i: 50 MiB through cat")
rc, out = pipe(b"", "exec", "host", "head", "-c", str(len(big)), "/dev/zero")
is_((rc, len(out), out.strip(b"\0")), (0, len(big), b""), "exec: 50 MiB out")
rc, out = pipe(big, "run", "--rm", "-i", "box", "head", "-c", "5")
is_((rc, out), (0, big[:5]), "a payload that stops reading is no error")
rc, out = pipe(b"in\n", "run", "--rm", "-i", "box", "sh", "-c", "cat; sleep 0.5; echo after; exit 3")
is_((rc, out), (3, b"in\nafter\n"), "the end of the input leaves the output open")
p = subprocess.run([*CTR, "run", "--rm", "box", "sh", "-c", "echo out; echo err >&2"],
                   capture_output=True, text=True, stdin=subprocess.DEVNULL)
is_((p.stdout, p.stderr), ("out\n", "err\n"), "standard output and error stay apart")
p = subprocess.Popen([*CTR, "run", "--rm", "box", "yes"], stdout=subprocess.PIPE,
                     stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
p.stdout.read(100)
p.stdout.close()
check(wait_for(10, lambda: p.poll() is not None), "ctrctl ends when its reader does")
p.kill()
for c in d.ctr("ps", "-q", "--filter", "ancestor=box").out.split():
    if d.ctr("inspect", "-f", "{{.Name}}", c).out.strip() != "/host":
        d.ctr("rm", "-f", c)

# ------------------------------------------------------------------- terminals

t = Tty("run", "-it", "--rm", "box", "sh", size=(31, 77))
check(t.until(r"[#$] "), "run -it: a prompt", t.text)
t.type("stty size; tty\r")
check(t.until("31 77"), "the size of the terminal", t.text)
check(t.until("/dev/(pts/0|console)"), "a terminal inside", t.text)
termios.tcsetwinsize(t.slave, (12, 34))
os.kill(t.p.pid, signal.SIGWINCH)


def resized():
    t.type("stty size\r")
    return t.until("12 34", 1)


check(wait_for(10, resized), "a new size is passed on", t.text)
t.type("sh -c 'echo go$((40+2)); exec sleep 100'\r")
check(t.until("go42"), "something runs in the terminal", t.text)
t.type("\x03")
t.type("echo rc=$?\r")
check(t.until("rc=130"), "ctrl-c reaches what runs in the terminal", t.text)
t.type("exit 9\r")
is_(t.wait(), 9, "its exit code")
is_(t.after, t.before, "our terminal is as it was")

t = Tty("run", "-it", "--name", "det", "box", "sh")
t.until(r"[#$] ")
t.type("\x10\x11")
is_(t.wait(), 0, "ctrl-p ctrl-q detaches")
is_(d.ctr("inspect", "-f", "{{.State.Running}}", "det").out, "true\n", "it goes on")
t = Tty("attach", "--detach-keys", "ctrl-x,q", "det")
t.type("echo at$((40+2))\r")
check(t.until("at42"), "attach", t.text)
t.type("\x18q")
is_(t.wait(), 0, "--detach-keys")
t = Tty("attach", "det")
t.is_raw()
t.type("exit 5\r")
is_(t.wait(), 5, "attach ends with the exit code")
t = Tty("start", "-ai", "det")
t.is_raw()
t.type("exit 6\r")
is_(t.wait(), 6, "start -ai")
d.ctr("rm", "det")
t = Tty("exec", "-it", "host", "sh")
check(t.until(r"[#$] "), "exec -it: a prompt", t.text)
t.type("exit 4\r")
is_(t.wait(), 4, "exec -it: its exit code")
r = d.ctr("run", "-it", "--rm", "box", "true")
check(r.rc == 1 and "not a TTY" in r.err, "-it without a terminal is refused", r)
r = d.ctr("run", "-t", "--rm", "box", "tty")
check(r.rc == 0 and "/dev/" in r.out, "-t alone is fine", r)
r = d.ctr("run", "--detach-keys", "ctrl-", "--rm", "box", "true")
check(r.rc != 0 and "ctrl-" in r.err, "bad --detach-keys", r)

# ------------------------------------------------------------------------ exec

good("exec -e -w -u", d.ctr("exec", "-e", "A=1", "-w", "/tmp", "-u", "65534", "host", "sh", "-c",
                            "echo $A $(pwd) $(id -u)"), "1 /tmp 65534\n")
with open(T + "/env", "w") as f:
    f.write("# no\nB=2\n")
good("exec --env-file", d.ctr("exec", "--env-file", T + "/env", "host", "sh", "-c", "echo $B"), "2\n")
good("exec --privileged", d.ctr("exec", "--privileged", "host", "sh", "-c",
                                "[ $(sed -n 's/^CapEff:.0*//p' /proc/self/status) != 0 ] && echo all"),
     "all\n")
good("exec -d", d.ctr("exec", "-d", "host", "sh", "-c", "echo x >/tmp/d"), "")
check(wait_for(5, lambda: d.ctr("exec", "host", "cat", "/tmp/d").out == "x\n"), "it ran")
for argv, rc in ((("sh", "-c", "exit 3"), 3), (("nope",), 127), (("/tmp",), 126),
                 (("sh", "-c", "kill -9 $$"), 137)):
    is_(d.ctr("exec", "host", *argv).rc, rc, "exec %s: exit code" % " ".join(argv))
r = d.ctr("exec", "host")
check(r.rc == 125 and "at least 2 arguments" in r.err, "exec of nothing", r)

# ------------------------------------------------------------------------ logs

d.ctr("run", "--name", "log", "box", "sh", "-c",
      "for i in 1 2 3; do echo l$i; done; sleep 1.2; echo err >&2; echo l4")
r = d.ctr("logs", "log")
is_((r.out, r.err), ("l1\nl2\nl3\nl4\n", "err\n"), "logs")
good("logs -n", d.ctr("logs", "-n", "2", "log"), "l4\n")
good("logs --tail 0", d.ctr("logs", "--tail=0", "log"), "")
r = d.ctr("logs", "-t", "log")
stamps = [l.split()[0] for l in r.out.splitlines()]
check(len(stamps) == 4 and all(re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:]+\.\d{9}Z", s) for s in stamps),
      "logs -t", r)
good("logs --until", d.ctr("logs", "--until", stamps[2], "log"), "l1\nl2\nl3\n")
good("logs --since", d.ctr("logs", "--since", stamps[3], "log"), "l4\n")
good("logs --since, a span", d.ctr("logs", "--since", "10m", "log"), "l1\nl2\nl3\nl4\n")
r = d.ctr("logs", "--since", "yesterday", "log")
check(r.rc != 0 and "--since yesterday" in r.err, "a bad time", r)
good("logs --details", d.ctr("logs", "--details", "-n", "1", "log"), " l4\n")
d.ctr("run", "-d", "--name", "fol", "box", "sh", "-c", "for i in 1 2 3 4; do echo f$i; sleep 0.3; done")
good("logs -f goes to the end", d.ctr("logs", "-f", "fol"), "f1\nf2\nf3\nf4\n")
d.ctr("run", "--log-driver", "none", "--name", "nol", "box", "echo", "x")
r = d.ctr("logs", "nol")
check(r.rc == 1 and r.err, "logs of --log-driver none", r)
d.ctr("run", "--log-opt", "max-size=10k", "--log-opt", "max-file=2", "--name", "rot", "box", "seq", "9000")
r = d.ctr("logs", "rot")
check(r.out.endswith("8999\n9000\n") and len(r.out) < 30000, "--log-opt max-size forgets the oldest",
      len(r.out))
d.ctr("run", "-t", "--name", "tlog", "box", "echo", "x")
# lib.py reads text: \r\n becomes \n
good("logs of a terminal", d.ctr("logs", "tlog"), "x\n")

d.ctr("rm", "-f", *d.ctr("ps", "-aq").out.split())
# ---- opened again by name, as the log files of nginx's image are (links to /dev/stdout)
AGAIN = "echo out >/dev/stdout; echo err >/dev/stderr; cat /dev/stdin"
for user in ("0", "77"):
    r = d.ctr("run", "--rm", "-u", user, "box", "sh", "-c", AGAIN)
    is_((r.rc, r.out, r.err), (0, "out\n", "err\n"), "user %s opens /dev/stdout by name" % user)
is_(pipe(b"in\n", "run", "--rm", "-i", "box", "sh", "-c", AGAIN), (0, b"out\nin\n"), "and /dev/stdin")
is_(d.ctr("run", "-d", "--name", "again", "box", "sleep", "1000").rc, 0, "a container to execute in")
for user in ("0", "77"):
    r = d.ctr("exec", "-u", user, "again", "sh", "-c", AGAIN)
    is_((r.rc, r.out, r.err), (0, "out\n", "err\n"), "so does what exec -u %s runs" % user)
d.ctr("rm", "-f", "again")

leak_check()
finish()
