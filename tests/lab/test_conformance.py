# SPDX-License-Identifier: Apache-2.0
# nested: a Linux guest on emulated AMD-V
# Cases of tests/conformance behind each wall: those about rights and about what a system
# looks like from within.
# time limit: 400 s
import os
import sys
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)) + "/../conformance")
from vmlib import *
from conformance import behind_both, run_in_memory

FLAGS = need_container_guests()
run_in_memory()
d = need_guests(*FLAGS)
# Starts are what costs: with a kernel that takes ten seconds for each only some instances.
behind_both(d, () if OWN else ("plain2", "bare", "free", "sys"))
stop_isolad()
run("umount", "-l", T + "/run")
finish()
