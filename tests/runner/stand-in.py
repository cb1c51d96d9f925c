#!/usr/bin/python3 -B
# SPDX-License-Identifier: Apache-2.0
"""A stand-in for isolad: takes its flags, answers _ping, and leaks what it is
asked for (POST /leak/process|mount|cgroup|file|link), for the tests of the
test libraries."""
import os
import signal
import socket
import subprocess
import sys

flags = dict(zip(sys.argv[1::2], sys.argv[2::2]))
if flags.get("--die"):
    sys.exit("the stand-in was told to die")


def cgroup2_root():
    with open("/proc/self/mountinfo") as f:
        return next(line.split()[4] for line in f if " - cgroup2 " in line)


def leak(what):
    state = flags["--state"]
    group = "%s/%s/leaked" % (cgroup2_root(), flags["--cgroup"])
    if what == "process":      # no trace of its origin but the network namespace
        subprocess.Popen(["setsid", "-f", "sleep", "1000"], env={}, cwd="/",
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    elif what == "mount":
        os.makedirs(state + "/m", exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "leak", state + "/m"], check=True)
    elif what == "cgroup":
        os.makedirs(group)
    elif what == "file":
        os.mkdir(flags["--run"] + "/leaked")
    elif what == "link":
        subprocess.run(["ip", "link", "add", "veth7", "type", "veth"], check=True)
    return "200 OK"


listener = socket.socket(socket.AF_UNIX)
if os.path.exists(flags["--socket"]):
    os.unlink(flags["--socket"])
listener.bind(flags["--socket"])
listener.listen()
signal.signal(signal.SIGTERM, lambda *_: sys.exit(int(flags.get("--exit", 0))))
while True:
    client = listener.accept()[0]
    line = client.recv(4096).decode().split("\r\n")[0].split(" ")
    status = leak(line[1][len("/leak/"):]) if line[1].startswith("/leak/") else "200 OK"
    client.sendall(("HTTP/1.1 %s\r\nContent-Length: 2\r\nConnection: close\r\n\r\nOK" %
                    status).encode())
    client.close()
