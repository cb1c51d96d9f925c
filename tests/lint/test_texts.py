# SPDX-License-Identifier: Apache-2.0
# The texts in the tree: C as clang-format writes it, scripts that parse, an
# SPDX line on top, no stray white space.
import os
import sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/..")
from lib import *

os.chdir(SRC)
files = [f for f in run("git", "ls-files").out.splitlines() if os.path.isfile(f)]
if not files:
    skip_all("no git tree")
text = {}
for f in files:
    try:
        with open(f, encoding="utf-8") as stream:
            text[f] = stream.read()
    except UnicodeDecodeError:
        pass                             # seeds and pictures


def kind(f):
    """What interprets a script, or the ending of its name."""
    first = text[f].split("\n", 1)[0]
    if first.startswith("#!"):
        return "py" if "python" in first else "sh"
    return f.rsplit(".", 1)[-1] if "." in os.path.basename(f) else ""


def all_good(name, bad):
    check(not bad, name, "\n".join(bad))


c = [f for f in text if f.endswith((".c", ".h"))]
if not os.path.exists(".clang-format"):
    skip("C is formatted", "no .clang-format")
elif not shutil.which("clang-format"):
    skip("C is formatted", "clang-format is not installed")
elif c:
    r = run("clang-format", "--dry-run", "-Werror", *c, limit_s=100)
    check(r.rc == 0, "C is formatted", "\n".join(
        line for line in r.err.splitlines() if "error:" in line))

SOURCES = {"c", "h", "sh", "py", "build", "S", "service", "socket"}
all_good("every source begins with its licence", [
    f for f in text if kind(f) in SOURCES | {"meson.build"} and text[f].strip() and
    not any("SPDX-License-Identifier: Apache-2.0" in line for line in text[f].splitlines()[:3])])
all_good("no stray white space", [
    "%s:%d" % (f, n) for f in text if not f.startswith("tests/fuzz/seeds/")
    and not f.endswith(".patch")
    for n, line in enumerate(text[f].split("\n"), 1) if line != line.rstrip()])
all_good("every text ends with a line end", [
    f for f in text if text[f] and not text[f].endswith("\n")
    and not f.startswith("tests/fuzz/seeds/") and kind(f) in SOURCES])
all_good("shell scripts parse", [
    r.err for f in text if kind(f) == "sh" and (r := run("bash", "-n", f)).rc])


def compiles(f):
    try:
        compile(text[f], f, "exec")
        return ""
    except SyntaxError as e:
        return "%s: %s" % (f, e)


all_good("Python scripts parse", [e for f in text if kind(f) == "py" and (e := compiles(f))])
all_good("programs are executable", [
    "%s starts with #! but is not executable" % f for f in text
    if text[f].startswith("#!") and not os.access(f, os.X_OK)])
finish()
