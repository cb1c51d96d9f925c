# SPDX-License-Identifier: Apache-2.0
# nested: a Linux guest on emulated AMD-V
# The cases of tests/conformance, behind each wall.
# time limit: 240 s
import os
import sys
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)) + "/../conformance")
from vmlib import *
from conformance import behind_both, run_in_memory

if not OWN:
    skip_all("needs a kernel of guest/kernel/build in the cache")
if not os.access(BUILD + "/guest/init/isola-init", os.X_OK):
    skip_all("isola-init is not built")
if not any(os.access(p, os.X_OK) for p in ("/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd")):
    skip_all("there is no virtiofsd (package virtiofsd or qemu-system-common)")
run_in_memory()
d = need_guests("--guest-kernel", OWN.path, "--guest-boot-timeout", "120")
behind_both(d)
stop_isolad()
run("umount", "-l", T + "/run")
finish()
