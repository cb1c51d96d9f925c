# SPDX-License-Identifier: Apache-2.0
# The console through vmctl: a terminal, its size, the keys that leave it, signals as
# buttons of the machine, and a daemon that is killed meanwhile.
# time limit: 200 s
import fcntl
import os
import pty
import select
import sys
import termios

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from vmlib import *

d = need_vms()
need_program("vmctl")
VM = [BUILD + "/vmctl", "-H", "unix://" + d.socket]
BASE = ["--kernel", GUEST, "--memory", "16m", "--debug-exit", "--stop-timeout", str(10 * SCALE), *FILTER]
leak_mark()


def vmctl(*argv, **kw):
    return run(*VM, *argv, limit_s=60 * SCALE, **kw)


class Tty:
    """A vmctl on a terminal of its own."""

    def __init__(self, *argv, size=(30, 100)):
        self.master, self.slave = pty.openpty()
        termios.tcsetwinsize(self.slave, size)
        self.before = termios.tcgetattr(self.slave)
        self.p = subprocess.Popen([*VM, *argv], stdin=self.slave, stdout=self.slave,
                                  stderr=self.slave, start_new_session=True,
                                  preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        self.text = ""

    def type(self, text):
        os.write(self.master, text.encode())

    def until(self, pattern, limit_s=WAIT_S):
        end = time.monotonic() + limit_s
        while not (m := re.search(pattern, self.text)) and time.monotonic() < end:
            if select.select([self.master], [], [], 0.05)[0]:
                self.text += os.read(self.master, 65536).decode(errors="replace")
        return m

    def wait(self):
        end = time.monotonic() + WAIT_S
        while self.p.poll() is None and time.monotonic() < end:
            self.until("$^", 0.05)
        if self.p.poll() is None:
            self.p.kill()
        self.p.wait()
        self.until("$^", 0.1)     # what it said last
        self.after = termios.tcgetattr(self.slave)
        os.close(self.slave)
        os.close(self.master)
        return self.p.returncode


# ------------------------------------------------------------------ a terminal
t = Tty("run", "-it", "--name", "one", *BASE, size=(31, 77))
check(t.until("ready"), "run -it: the guest's output comes", t.text)
t.type("abc")
check(t.until("abc"), "what is typed comes back from the guest, not from the terminal", t.text)
check(wait_for(WAIT_S, lambda: "resize" in vmctl(
    "events", "--since", "10m", "--until", "0s", "--format", "{{.Action}}").out.split()),
    "the terminal's size is told")
t.type("\x10\x11")                        # ctrl-p ctrl-q
is_(t.wait(), 0, "the detach keys leave it")
check("read escape sequence" in t.text and t.after == t.before,
      "it says so, and the terminal is as it was", t.text)
is_(vmctl("inspect", "-f", "{{.State.Status}}", "one").out, "running\n", "the VM goes on")
t = Tty("console", "--detach-keys", "ctrl-x", "one")
t.type("de")
check(t.until("de"), "console connects again", t.text)
t.type("\x18")
is_(t.wait(), 0, "with detach keys of one's own")
t = Tty("console", "one")
check(wait_for(WAIT_S, lambda: termios.tcgetattr(t.slave) != t.before), "the terminal is raw")
t.type("\x03f")                           # ^C is for the guest
check(t.until("\x03f"), "^C goes to the guest", repr(t.text))
t.type("Q5")
is_((t.wait(), t.after == t.before), (5, True), "the guest's exit code is console's")
bad = vmctl("console", "one")
check(bad.rc == 1 and "cannot attach to a stopped VM, start it first" in bad.err,
      "a stopped VM has no console", repr(bad))
t = Tty("start", "-ai", "one")
check(t.until("ready"), "start -ai", t.text)
t.type("Q6")
is_(t.wait(), 6, "and its exit code")
vmctl("rm", "one")
r = vmctl("run", "-it", *BASE)
check(r.rc == 1 and "not a TTY" in r.err, "run -it without a terminal says so", repr(r))

# --------------------------------------------------------------------- signals


def piped(*argv):
    return subprocess.Popen([*VM, "run", *argv, *BASE], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


p = piped("-i", "--rm")
p.stdout.read(6)
p.send_signal(signal.SIGTERM)
is_(p.wait(WAIT_S), 0, "a signal presses the power button")
p = piped("-i", "--rm")
p.stdout.read(6)
p.stdin.write(b"I.")                      # the guest does not mind the button
p.stdin.flush()
is_(p.stdout.read(1), b".", "a guest is told not to mind its button")
p.send_signal(signal.SIGTERM)
wait_for(10, took, p.pid, signal.SIGTERM)     # two that wait are one
time.sleep(0.5)
check(p.poll() is None, "a guest that does not mind goes on")
p.send_signal(signal.SIGTERM)
is_(p.wait(WAIT_S), 137, "the next one cuts the power")

# ------------------------------------------------------------ without the daemon
p = piped("-i", "--name", "kept")
p.stdout.read(6)
stop_isolad(signal.SIGKILL)
p.stdin.write(b"hello")
p.stdin.flush()
is_(p.stdout.read(5), b"hello", "the console goes on without isolad")
if not start_isolad():
    not_ok("isolad starts again")
    finish()
p.stdin.write(b"Q4")
p.stdin.flush()
is_(p.wait(WAIT_S), 4, "the exit code comes from the isolad that came after")
vmctl("rm", "kept")
leak_check()
finish()
