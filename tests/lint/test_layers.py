# SPDX-License-Identifier: Apache-2.0
# The folder tells which process you are in: #include may only look down the
# layers.  util <- host <- vmm, ctr, image, net <- keeper, daemon <- api <- cli.
import os
import sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/..")
from lib import *

LAYER = {"util": 0, "host": 1, "vmm": 2, "ctr": 2, "image": 2, "net": 2,
         "bootdisk": 2, "tar": 1, "build": 1,
         "dhcp": 3, "resolver": 3, "keeper": 3, "daemon": 3, "api": 4, "cli": 5}
STRANGERS = [{"vmm", "ctr"}]           # never include each other
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)

files = run("git", "-C", SRC, "ls-files", "src", "include", "guest").out.split()
sources = [f for f in files if f.endswith((".c", ".h")) and os.path.exists(SRC + "/" + f)]
if not sources:
    skip_all("no sources")


def folder_of(path):
    """src/ctr/x.c -> ctr"""
    parts = path.split("/")
    return parts[1] if parts[0] == "src" and len(parts) > 2 else None


def owner(seam):
    """The folder behind include/isola/SEAM.h: named after it or after a file of it."""
    if seam in LAYER:
        return seam
    for f in sources:
        if re.search("/%s[.][ch]$" % re.escape(seam), f) and folder_of(f):
            return folder_of(f)
    return None


def is_top(path):
    """The one file of a program that may include everything."""
    return re.search(r"(^|/)(\w+_)?main\.c$", path) is not None


def breach(path, name):
    """What is wrong with PATH including NAME, or None."""
    # a seam belongs to the folder behind it
    folder = folder_of(path) or owner(os.path.basename(path)[:-len(".h")])
    if name.startswith("isola/"):
        seam = owner(name[len("isola/"):-len(".h")])
        if not os.path.exists("%s/include/%s" % (SRC, name)):
            return "there is no such seam"
        if seam is None or folder is None or is_top(path):
            return None
        if {seam, folder} in STRANGERS:
            return "%s and %s are strangers" % (folder, seam)
        if LAYER.get(seam, 0) > LAYER.get(folder, 99):
            return "%s lies above %s" % (seam, folder)
        return None
    if "/" in name:
        return None if is_top(path) else "a folder's own headers are not for others"
    if not os.path.exists(os.path.join(SRC, os.path.dirname(path), name)):
        return "it is not beside the file"
    return None


seen = sorted({folder_of(f) for f in sources if folder_of(f)})
unknown = [f for f in seen if f not in LAYER]
check(not unknown, "every folder of src has a layer", "add to %s: %s" % (__file__, unknown))
for folder in seen + ["include"]:
    bad = []
    for path in sources:
        if folder_of(path) != folder and not (folder == "include" and path.startswith("include")):
            continue
        with open(SRC + "/" + path, encoding="utf-8") as f:
            for name in INCLUDE.findall(f.read()):
                why = breach(path, name)
                if why:
                    bad.append('%s includes "%s": %s' % (path, name, why))
    check(not bad, "%s includes only what is below it" % folder, "\n".join(bad))
finish()
