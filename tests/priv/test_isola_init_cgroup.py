#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""isola-init with a cgroup for its container, and with the tiny init of --init, without a
guest: its processes as ps(1) has them, numbers, limits, freezing."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from guestlib import *

need_root()
base = cgroup2_root()
if not os.path.isdir(base):
    skip_all("needs a cgroup2 mount")
parent = base + "/" + CGROUP
os.makedirs(parent, exist_ok=True)
root = T + "/root"
make_root(root)
LONG = "x" * 1000


def rows(p):
    """pid: fields of each process."""
    code, why, pairs = p.call(GUEST_PS)
    listed = [parse(v) for t, v in pairs if t == GF_PS]
    return {number(r, GF_PID): r for r in listed}, pairs


def words(row):
    """Its command line; "" while it is none."""
    return " ".join(v.rstrip(b"\0").replace(b"\0", b" ").decode()
                    for t, v in row if t == GF_COMMAND)


def sees(p, want):
    return any(words(r) == want for r in rows(p)[0].values())


def stat(p, name):
    for t, v in p.call(GUEST_STATS)[2]:
        pairs = parse(v)
        if t == GF_STAT and text(pairs, GF_NAME) == name:
            return number(pairs, GF_NUMBER)
    return None


i = Init(root, cgroup=parent + "/container")
p = i.peer
is_(i.setup_error[:2], (0, ""), "it is set up")
is_(i.run(1, "sh", "-c", "trap 'exit 9' TERM; echo up; while :; do sleep 0.1; done", streams=2,
          more=[(GF_REAPER, 1), (GF_UID, 5), (GF_GID, 6)])[:2], (0, ""), "the first runs, with an init")
is_(p.stream(1, 1).recv(100), b"up\n", "and is heard")
is_(i.sh(2, "cat /proc/1/comm; grep -E '^Uid|^NoNew' /proc/1/status | cut -f 2; ls /proc/1/fd | wc -l",
         more=[(GF_UID, 5), (GF_GID, 6)])[1].split("\n")[:2], ["isola-init", "5"],
    "init is PID 1, as the same user")
is_(i.sh(3, "(sleep 0.2 &) ; exit 0")[0], 0, "an orphan")
check(wait_for(30, lambda: "Z" not in i.sh(100 + len(p.exited), "ps -o stat | tr -d '\\n'")[1]),
      "which init reaps")

# ------------------------------------------------------------------- processes
is_(i.exec(4, "sleep", "1000", LONG, more=[(GF_UID, 77), (GF_GID, 78)])[0], 0, "one more")
check(p.status(4) == 1, "which ends: its time is none")
is_(i.exec(5, "sh", "-c", "while :; do sleep 100; done", "name with\na line",
           more=[(GF_UID, 77), (GF_GID, 78)])[0], 0, "one more")
check(wait_for(30, sees, p, "sh -c while :; do sleep 100; done name with\na line"), "is listed")
listed, pairs = rows(p)
check(number(pairs, GF_BOOT_US) > 0, "with the uptime")
row = next(r for r in listed.values() if "a line" in words(r))
is_((number(row, GF_UID), number(row, GF_GID), text(row, GF_NAME)), (77, 78, "sh"), "who and what it is")
numbers = [struct.unpack("<q", v)[0] for t, v in row if t == GF_NUMBER]
is_(len(numbers), GUEST_PS_NUMBERS, "its numbers")
check(numbers[0] >= 0 and numbers[5] == 1 and 0 < numbers[6] <= number(pairs, GF_BOOT_US) // 10000 and
      numbers[7] > numbers[8] >= 0, "parent, threads, start, sizes", numbers)
is_(i.exec(6, "sh", "-c", "while :; do sleep 100; done", LONG)[0], 0, "one with a long command line")
check(wait_for(30, lambda: any(len(v) == GUEST_COMMAND_MAX for r in rows(p)[0].values()
                               for t, v in r if t == GF_COMMAND)), "is cut short")

# ---------------------------------------------------------------------- limits
file = "cgroup.max.depth"       # what each cgroup2 has
is_(p.call(GUEST_LIMIT, [(GF_LIMIT, [(GF_NAME, file), (GF_VALUE, "3")])])[0], 0, "a limit")
with open(parent + "/container/" + file) as f:
    is_(f.read(), "3\n", "is set")
error = p.call(GUEST_LIMIT, [(GF_LIMIT, [(GF_NAME, "nothing.max"), (GF_VALUE, "3")])])
check(error[0] == 2 and "nothing.max" in error[1], "one that this kernel has not is named", error)
for bad in ("", "../" + file, "a/b", ".x"):
    is_(p.call(GUEST_LIMIT, [(GF_LIMIT, [(GF_NAME, bad), (GF_VALUE, "3")])])[0], 71, "no name: %r" % bad)
check(stat(p, "usage_usec") > 0, "a number", stat(p, "usage_usec"))
is_(p.call(GUEST_FREEZE)[0], 0, "freeze")
is_(p.call(GUEST_THAW)[0], 0, "thaw")

# ------------------------------------------------------------------------- end
is_(p.call(GUEST_SIGNAL, [(GF_PROCESS, 1), (GF_SIGNO, 15)])[0], 0, "the first is sent a signal")
is_(p.status(1), 9, "init has passed it on, and ends as the program did")
is_(i.stop(), 0, "a shutdown")
is_(i.said(), "", "it had nothing to say")
i = Init(root, [(GF_LIMIT, [(GF_NAME, "nothing.max"), (GF_VALUE, "3")])], cgroup=parent + "/container")
check(i.setup_error[0] == 2 and "nothing.max" in i.setup_error[1],
      "a guest whose kernel lacks a limit is not set up", i.setup_error)
is_(i.stop(), 0, "it ends")


def gone():
    try:
        os.rmdir(parent + "/container")
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


check(wait_for(30, gone), "its cgroup is empty")
os.rmdir(parent)
finish()
