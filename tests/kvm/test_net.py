# SPDX-License-Identifier: Apache-2.0
# time limit: 600 s
# Hostile guests: frames and control messages full of lies (guests/case_net.c).
import os
import sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kvmlib import *

run_guest("net")
