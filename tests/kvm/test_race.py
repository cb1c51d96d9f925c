# SPDX-License-Identifier: Apache-2.0
# time limit: 900 s
# Hostile guests: a second processor that rewrites what a device looks at (guests/case_race.c).
import os
import sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kvmlib import *

run_guest("race")
