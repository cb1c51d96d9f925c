# SPDX-License-Identifier: Apache-2.0
# isolad is killed at random during 120 operations on containers (tests/conformance/killing.py).
# not in the lab: emulation would only make it slow
# time limit: 110 s
import os
import sys
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)) + "/../conformance")
from killing import *

need_root()
d = start_isolad() or skip_all("isolad does not start")
import_images(d)
d.ctr("run", "--rm", "--network", "none", "conf", "true")
leak_mark()
Killing(d, ["container"], [], seed(20260601)).all(120)
leak_check()
stop_isolad()
finish()
