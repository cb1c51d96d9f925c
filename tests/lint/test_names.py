# SPDX-License-Identifier: Apache-2.0
# time limit: 200 s
#
# Every name that a Python script uses is one that it defines or imports, through `import *`
# too: some scripts run in the lab alone, where a name that went elsewhere is found late.
import os
import re
import sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/..")
from lib import *

# Debian's: it sees what Debian's packages bring
PYLINT = "/usr/bin/pylint"
# where the scripts look for what they import, behind their own folder; benches measure in
# the lab
LIBRARIES = ("tests/api", "tests/priv", "tests/conformance", "tests")
BEFORE = {"bench": "tests/lab"}
# guestlib reads these out of the protocol's header as it is loaded
READ = re.compile(r"'(GUEST|GF)_[A-Z_]+'")

os.chdir(SRC)
if not os.access(PYLINT, os.X_OK):
    skip_all("pylint is not installed")


def is_python(f):
    with open(f, "rb") as stream:
        return f.endswith(".py") or re.match(rb"#!.*python", stream.readline()) is not None


def undefined(folder, scripts):
    path = [SRC + "/" + p for p in (folder, BEFORE.get(folder, folder), *LIBRARIES)]
    r = run(PYLINT, "--score=n", "--persistent=n", "--disable=all", "--enable=undefined-variable,syntax-error",
            "--init-hook=import sys; sys.path[:0] = %r" % path, *scripts, limit_s=100)
    told = [line for line in r.out.splitlines() if re.search(r": E\d+: ", line) and not READ.search(line)]
    return told if r.rc in (0, 2) else [repr(r)]  # 2: errors are told


folders = {}
for f in run("git", "ls-files").out.splitlines():
    if os.path.isfile(f) and is_python(f):
        folders.setdefault(os.path.dirname(f), []).append(f)
if not folders:
    skip_all("no git tree")
with open(T + "/wrong.py", "w") as f:
    f.write("from lib import *\n\nok(no_such_name)\n")
like("\n".join(undefined("tests", [T + "/wrong.py"])), "'no_such_name'", "a name of nobody's is found")
for folder, scripts in sorted(folders.items()):
    bad = undefined(folder, scripts)
    check(not bad, "%s: every name is known" % (folder or "."), "\n".join(bad))
finish()
