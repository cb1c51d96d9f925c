#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
#
# Much at once: every exec and every run gives its own exit code and output.
import os, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/..")
from lib import *
from concurrent.futures import ThreadPoolExecutor

need_root()
need_program("isolad", "isola-keeper", "isola-image", "ctrctl")
d = start_isolad()
if not d:
    not_ok("isolad starts")
    finish()
busybox_tar(T + "/root.tar")
check(d.ctr("import", T + "/root.tar", "box").rc == 0, "an image is imported")
check(d.ctr("run", "-d", "--name", "many", "box", "sleep", "1000").rc == 0, "a container runs")
leak_mark()


def wrong(n, at_once, *argv):
    """The results that are not what number I of N has to print and return."""
    def one(i):
        return d.ctr(*argv, "sh", "-c", "echo %d; exit %d" % (i, i % 120), limit_s=60)
    with ThreadPoolExecutor(at_once) as pool:
        return [(i, r) for i, r in enumerate(pool.map(one, range(n)))
                if (r.rc, r.out) != (i % 120, "%d\n" % i)]


is_(wrong(300 // SCALE, 40, "exec", "many"), [], "execs at once in one container")
is_(wrong(120 // SCALE, 32, "run", "--rm", "box"), [], "containers at once")
leak_check()
d.ctr("rm", "-f", "many")
stop_isolad()
finish()
