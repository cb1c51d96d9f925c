# SPDX-License-Identifier: Apache-2.0
# docs/isolation.md shows what src/daemon/isolation_rules.c decides, and that table has
# every flag of create that says anything about a container.
import os
import sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/..")
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import *
import walls

# Flags of the client's own, or of the record: no wall is in their way.
CLIENT = {"cidfile", "env-file", "isolation", "label-file", "name", "no-healthcheck", "platform",
          "pull", "quiet"}
# What a row of another flag speaks for.
PART_OF = {"health-interval": "health-cmd", "health-retries": "health-cmd",
           "health-start-interval": "health-cmd", "health-start-period": "health-cmd",
           "health-timeout": "health-cmd", "ip": "network", "log-opt": "log-driver",
           "net": "network", "net-alias": "network", "network-alias": "network"}
NOWHERE = {"oom-kill-disable"}      # refused behind both

rows = walls.rules()
check(len(rows) > 60, "the table is read", rows)
is_(walls.in_document(), walls.table(),
    "docs/isolation.md shows the table (tests/lint/walls.py --write)")
check(all(text or verdict == "same" for _, verdict, text in rows),
      "what is not the same says how, or why", [r for r in rows if not r[2] and r[1] != "same"])
have = {flag.split()[0][2:] for flag, _, _ in rows}
with open(SRC + "/src/cli/create_flags.c") as f:
    source = f.read()
flags = set(re.findall(r'^\t\{ "([a-z][a-z-]+)", (?:0|\'.\'), FLAG_', source, re.M))
check(len(flags) > 60, "the flags of create are read", sorted(flags))
is_(sorted(flags - have - CLIENT - set(PART_OF) - NOWHERE), [], "every flag has a row")
is_(sorted(v for v in PART_OF.values() if v not in have), [], "and so has what others stand for")
finish()
