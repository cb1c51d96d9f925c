# SPDX-License-Identifier: Apache-2.0
# Tests the daemon and leak helpers of tests/lib.py with a stand-in for isolad.
import os
import sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/..")
import lib
from lib import *

need_root()
lib.BUILD = T + "/b"
os.makedirs(lib.BUILD)
shutil.copy(SRC + "/tests/runner/stand-in.py", lib.BUILD + "/isolad")
d = start_isolad()
if not d:
    not_ok("isolad starts")
    finish()
leak_mark()
is_(d.request("GET", "/_ping")[0], 200, "it answers")
leak_check("a request leaves nothing")
d.request("POST", "/leak/file")
is_(lib._leak_now() == lib._leaks, False, "a file left behind is found")
os.rmdir(T + "/run/leaked")
leak_check("a file that went away is none")
isnt(os.readlink("/proc/%d/ns/net" % d.pid), os.readlink("/proc/self/ns/net"),
     "it has a network namespace of its own")
r = d.in_net("ip", "-o", "link", "show", "lo", "up")
check("LOOPBACK,UP" in r.out, "with lo up", r)
is_(stop_isolad(), 0, "it stops")
check(start_isolad(), "it starts again")
other = Isolad(T + "/other")
check(other.start(), "a second daemon starts beside it")
is_(other.request("GET", "/_ping")[0], 200, "and answers")
is_(other.stop(signal.SIGKILL), -9, "it can be killed")
t0 = time.monotonic()
is_(run("sleep", "30", limit_s=0.2).rc, 124, "a command that takes too long is ended")
check(time.monotonic() - t0 < 10, "in time")
finish()
