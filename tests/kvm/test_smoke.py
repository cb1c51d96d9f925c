# SPDX-License-Identifier: Apache-2.0
# time limit: 600 s
# Hostile guests: the kit itself, on isola-vmm (guests/case_smoke.c).
import os
import sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kvmlib import *

run_guest("smoke", "smoke-pvh")
