# SPDX-License-Identifier: Apache-2.0
"""An isolad that has busybox and has started a container: what it keeps from its first
start on is no leak any more. The script's own, as d; tests of commands have good and bad."""
from lib import *
from wire import *

need_root()
need_program("isolad", "isola-keeper", "isola-image", "ctrctl")
d = start_isolad() or skip_all("isolad does not start")
load_image(d, busybox_tar(T + "/root.tar"))
remove(d, start(d, "true"))
leak_mark()


def good(name, got, out=None):
    return check(got.rc == 0 and (out is None or got.out == out), name, got)


def bad(name, got, text):
    return check(got.rc == 1 and text in got.err, name, "wanted %r\n%s" % (text, got))
