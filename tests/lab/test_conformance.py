# SPDX-License-Identifier: Apache-2.0
# nested: a Linux guest on emulated AMD-V
# The cases of tests/conformance behind each wall.
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
# Starts are what costs: with a kernel that takes ten seconds for each only those that share
# an instance.
behind_both(d, loose=OWN)
stop_isolad()
run("umount", "-l", T + "/run")
finish()
