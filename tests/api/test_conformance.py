# SPDX-License-Identifier: Apache-2.0
# The cases of tests/conformance behind the container's wall, on this machine.
# time limit: 120 s
# not in the lab: tests/lab/test_conformance.py has those that are done there
import os
import sys
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)) + "/../conformance")
from conformance import natively

natively()
