# SPDX-License-Identifier: Apache-2.0
"""What one image does behind each wall, as data: cases.json has a flags, a command, maybe
an input; what comes of it - status, output, error output - is the same behind both."""
import json
import os

HERE = os.path.dirname(os.path.realpath(__file__))


def cases():
    with open(HERE + "/cases.json") as f:
        return json.load(f)


def run_case(d, case, wall, folder, limit_s=60):
    """(status, output, error output) of one case; @folder: what @BIND@ is."""
    flags = [f.replace("@BIND@", folder).replace("data:", "data-%s:" % wall)
             for f in case.get("flags", [])]
    r = d.ctr("run", "--rm", "--isolation", wall, "--network", "none", *flags, "busybox",
              *case["command"], text=case.get("input", ""), limit_s=limit_s)
    return r.rc, r.out, r.err
