# SPDX-License-Identifier: Apache-2.0
# What this host's KVM cannot do is found out once, behind the first start of a VM, and
# told to the workers of all later ones.
import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from vmlib import *

d = need_vms()
vms = Vms(d)
leak_mark()
want = json.loads(subprocess.run([BUILD + "/isola-vmm", "--probe"], stdin=subprocess.DEVNULL,
                                 capture_output=True, timeout=60).stdout)["broken"]


def run_one():
    """Starts a VM; returns "cpus" of its machine file."""
    vm, console = vms.start()
    with open("%s/run/%s/machine.json" % (d.root, vm)) as f:
        cpus = json.load(f)["cpus"]
    vms.remove(vm)
    return cpus


cpus = run_one()
check("broken" not in cpus, "the first VM's worker tries for itself", cpus)
told, end = None, time.monotonic() + WAIT_S
while told is None and time.monotonic() < end:
    told = run_one().get("broken")
is_(told, want, "a later one is told what isola-vmm --probe finds")

vm, console = vms.start()
check(vms.post(vm, "reset")[0] == 204 and console.wait_for(b"ready\n", 2),
      "what it is told also holds for the worker behind a reset", console.text)
vms.remove(vm)
leak_check()
d.stop()
d.start()
cpus = run_one()
check("broken" not in cpus, "another isolad finds out for itself", cpus)
d.stop()
leak_check("isolad's end is the probe's end, too")
finish()
