# SPDX-License-Identifier: Apache-2.0
# isola-vmm by hand: flags, --check, serial port 0 on a terminal, exit statuses.
import os
import pty
import sys
import termios
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from vmmlib import *

need_root()
need_kvm()

# Echoes serial input upper-cased by 1, until "q": then debug exit with 9.
# 1: in (0x3fd); test 1; jz 1b; in (0x3f8); cmp 'q'; je 2f; inc; out; jmp 1b; 2: exit
ECHO = (b"\x66\xba\xfd\x03\xec\xa8\x01\x74\xf7" b"\x66\xba\xf8\x03\xec\x3c\x71\x74\x05"
        b"\xfe\xc0\xee\xeb\xe9" b"\xb0\x09\x66\xba\xf4\x00\xee\xf4\xeb\xfd")


def write(name, data):
    path = "%s/%s" % (T, name)
    with open(path, "wb") as f:
        f.write(data)
    return path


def config(name, code=IDLE, **more):
    doc = {"version": 1, "id": name, "boot": {"kernel": {"path": write(name + ".elf", elf(code))}},
           "memory": {"size": 32 * MIB}, "debug_exit": True, "rng": False, "balloon": False,
           "seccomp": "off" if SANITIZED else "kill",
           "cpus": {"broken": []}, **more}      # or it says what this KVM lacks
    return write(name + ".json", json.dumps(doc).encode())


def vmm(*args, **kw):
    return subprocess.run([PROGRAM, *args], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=WAIT_S, **kw)


# ---- flags

p = vmm("--help")
check(p.returncode == 0 and "Example of a FILE" in p.stdout, "--help has an example", p)
example = p.stdout[p.stdout.index("  { \"version\""):]
p = vmm("--config", write("example.json", example.encode()), "--check")
is_((p.returncode, p.stderr), (0, ""), "and the example is a valid file")
p = vmm("--version")
check(p.returncode == 0 and re.match(r"isola-vmm \d", p.stdout), "--version", p)
for args, word in [((), "--config"), (("--config",), "needs a value"), (("--fast",), "--fast"),
                   (("--keeper", "--config", "x"), "either"), (("--keeper", "--check"), "either"),
                   (("--config", "x", "--seccomp", "maybe"), "maybe"), (("one.json",), "one.json")]:
    p = vmm(*args)
    check(p.returncode == 2 and word in p.stderr and p.stderr.count("\n") == 1,
          "isola-vmm %s is refused in one line" % " ".join(args), p)

# ---- check

p = vmm("--config", config("good"), "--check")
is_((p.returncode, p.stdout), (0, "%s/good.json: ok\n" % T), "--check of a good file")
p = vmm("--config", config("bad", cpus={"count": 0}), "--check")
is_((p.returncode, p.stderr),
    (1, "isola-vmm: %s/bad.json: cpus.count: 0 is less than 1\n" % T), "--check of a bad one")
p = vmm("--config", T + "/none.json")
check(p.returncode == 125 and "cannot open" in p.stderr, "a file that is not there", p)
p = vmm("--config", config("nokernel", boot={"kernel": {"path": "/nonexistent"}}))
check(p.returncode == 125 and "boot.kernel: cannot open /nonexistent" in p.stderr,
      "a kernel that is not there", p)

# ---- ends

p = vmm("--config", config("five", say(0x3f8, b"five\n") + say(0xf4, b"\x05") + IDLE))
is_((p.returncode, p.stdout), (5, "five\n"), "output, and the guest's exit status")
is_(p.stderr, "isola-vmm: five: debug-exit: the guest ended with 5\n", "one line says why")
path = config("spin", SPIN)
q = subprocess.Popen([PROGRAM, "--config", path], stdin=subprocess.DEVNULL,
                     stderr=subprocess.PIPE, text=True)
wait_for(10, lambda: minds(q.pid, signal.SIGINT) and "vcpu0" in [
    contents("/proc/%d/task/%s/comm" % (q.pid, t)).decode().strip()
    for t in os.listdir("/proc/%d/task" % q.pid)])
q.send_signal(signal.SIGINT)
is_((q.wait(WAIT_S), q.stderr.read()), (143, "isola-vmm: spin: quit: ended by signal 2\n"),
    "Ctrl-C ends it")

# ---- a terminal

path = config("echo", ECHO)
pid, master = pty.fork()
if pid == 0:
    os.execv(PROGRAM, ["isola-vmm", "--config", path])
before = termios.tcgetattr(master)


def expect(want, timeout=WAIT_S):
    data, end = b"", time.monotonic() + timeout
    while want not in data and time.monotonic() < end:
        if select.select([master], [], [], 0.1)[0]:
            try:
                data += os.read(master, 4096)
            except OSError:
                break
    return data


end = time.monotonic() + WAIT_S
while termios.tcgetattr(master)[3] & termios.ECHO and time.monotonic() < end:
    time.sleep(0.02)
check(not termios.tcgetattr(master)[3] & (termios.ECHO | termios.ICANON), "the terminal is raw")
check(termios.tcgetattr(master)[3] & termios.ISIG, "but for signals")
os.write(master, b"abc")
is_(expect(b"bcd"), b"bcd", "keys reach the guest, its output the terminal")
os.write(master, b"q")
check(b"the guest ended with 9" in expect(b"ended with 9"), "the guest ends it")
_, status = os.waitpid(pid, 0)
is_(os.waitstatus_to_exitcode(status), 9, "with its value")
is_(termios.tcgetattr(master)[3], before[3], "the terminal is as before")
os.close(master)

# ---- closed stdio

q = subprocess.run(["sh", "-c", "exec \"$0\" --config \"$1\" <&- >&- 2>&-", PROGRAM,
                    config("closed", say(0x3f8, b"x") + say(0xf4, b"\x03") + IDLE)], timeout=WAIT_S)
is_(q.returncode, 3, "it runs with stdin, stdout and stderr closed")
finish()
