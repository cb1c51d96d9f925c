# SPDX-License-Identifier: Apache-2.0
# nested: a Linux guest on emulated AMD-V
# isolad is killed at random during operations on instances of both kinds
# (tests/conformance/killing.py): 25 of them, or those of 40 seconds. ISOLA_KILL_OPS and
# ISOLA_KILL_S ask for more, ISOLA_SEED for the row of another run.
# time limit: 300 s
import os
import sys
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)) + "/../conformance")
from vmlib import *
from killing import *

FLAGS = need_container_guests()
d = need_guests(*FLAGS)
import_images(d)
for wall in WALLS:
    d.ctr("run", "--rm", "--isolation", wall, "--network", "none", "conf", "true", limit_s=CASE_S)
leak_mark()     # the initramfs is made with the first
Killing(d, WALLS, FLAGS, seed(20260602)).all(int(os.environ.get("ISOLA_KILL_OPS") or 25),
                                             float(os.environ.get("ISOLA_KILL_S") or 40))
leak_check()
stop_isolad()
finish()
