# SPDX-License-Identifier: Apache-2.0
# nested: a Linux guest on emulated AMD-V
# isolad is killed at random during 300 operations on instances of both kinds
# (tests/conformance/killing.py).
# time limit: 200 s
import os
import sys
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)) + "/../conformance")
from vmlib import *
from killing import *

need_container_guests()
FLAGS = ["--guest-kernel", OWN.path, "--guest-boot-timeout", "120"]
d = need_guests(*FLAGS)
import_images(d)
for wall in WALLS:
    d.ctr("run", "--rm", "--isolation", wall, "--network", "none", "conf", "true", limit_s=CASE_S)
leak_mark()     # the initramfs is made with the first
Killing(d, WALLS, FLAGS, 20260602).all(300)
leak_check()
stop_isolad()
finish()
