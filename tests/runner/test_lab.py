# SPDX-License-Identifier: Apache-2.0
# Tests the part of tests/lab that tells a lab that stands still from one that is idle, on
# stand-ins with threads called as QEMU calls its processors.
import os
import subprocess
import sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/..")
from lib import *

STAND_IN = """
import ctypes, threading, time
def processor():
    ctypes.CDLL(None).prctl(15, b"%s 0/TCG", 0, 0, 0)
    while True:
        end = time.monotonic() + %s
        while time.monotonic() < end:
            pass
        time.sleep(0.5)
threading.Thread(target=processor, daemon=True).start()
time.sleep(%d)
"""


def still(name, work_s, lives_s):
    """wait-still's status for a stand-in whose thread NAME works WORK_S in each half second,
    or None when it says nothing in six seconds."""
    p = subprocess.Popen([sys.executable, "-c", STAND_IN % (name, work_s, lives_s)])
    w = subprocess.Popen([SRC + "/tests/lab/wait-still", str(p.pid), "3"])
    try:
        if lives_s < 6:
            p.wait(lives_s + 20)
        return w.wait(6)
    except subprocess.TimeoutExpired:
        return None
    finally:
        for x in (p, w):
            x.kill()
            x.wait()


is_(still("CPU", 0.0, 60), 0, "a processor that never works stands still")
is_(still("CPU", 0.05, 60), None, "one that works now and then does not")
is_(still("IO", 0.0, 60), None, "other threads do not count")
is_(still("CPU", 0.0, 1), 1, "one that ends is not still")
finish()
