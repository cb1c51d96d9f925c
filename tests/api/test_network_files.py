#!/usr/bin/python3 -B
# SPDX-License-Identifier: Apache-2.0
# time limit: 240 s
# not in the lab: hundreds of containers, one after the other, under emulation
#
# The first network of an isolad that has more than 1024 files open: libnftables waits by
# select(2), which knows no more.
import os
import sys
from concurrent.futures import ThreadPoolExecutor
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/..")
from lib import *
from netlib import *

need_root()
need_program("isolad", "ctrctl", "isola-keeper", "isola-image")
need_network()
d = start_isolad()
if not d:
    not_ok("isolad starts")
    finish()
leak_mark()
busybox_tar(T + "/root.tar")
check(d.ctr("import", T + "/root.tar", "busybox").rc == 0, "an image is imported")


def files():
    return len(os.listdir("/proc/%d/fd" % d.pid))


def start(i):
    return d.ctr("run", "-d", "--network", "none", "--name", "n%d" % i, "busybox", "sleep", "1000",
                 limit_s=120)


before, made = files(), 0
with ThreadPoolExecutor(16) as pool:
    while files() < 1100 and made < 640:
        ran = list(pool.map(start, range(made, made + 40)))
        made += 40
        if any(r.rc for r in ran):
            break
is_([r.err for r in ran if r.rc], [], "they start")
check(files() >= 1100, "isolad has many files open (%d for %d containers)" % (files() - before, made))
r = d.ctr("network", "create", "blue")
check(r.rc == 0, "a network", r)
r = d.ctr("run", "--rm", "--network", "blue", "-p", "8080:80", "busybox", "echo", "hi")
check((r.rc, r.out) == (0, "hi\n"), "a container on it", r)
check(wait_for(20, lambda: not links(d)), "its bridge goes", links(d)[:5])
r = d.ctr("run", "--rm", "--network", "blue", "busybox", "echo", "hi")
check((r.rc, r.out) == (0, "hi\n"), "and comes again", r)
with ThreadPoolExecutor(8) as pool:
    ran = list(pool.map(lambda i: d.ctr("rm", "-f", "n%d" % i, limit_s=120), range(made)))
is_([r.err for r in ran if r.rc], [], "all are removed")
is_(d.ctr("network", "rm", "blue").rc, 0, "the network, too")
check(wait_for(30, lambda: files() <= before + 8), "the files are closed", files())
leak_check()
stop_isolad()
finish()
