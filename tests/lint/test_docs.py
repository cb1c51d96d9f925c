# SPDX-License-Identifier: Apache-2.0
# The documents are true in what can be checked: links lead somewhere, files,
# functions, structs, constants and test cases named in backticks exist, man
# pages are well-formed and name exactly the verbs, flags and keys there are.
# Programs are asked for their --help where they are built; nothing is built here.
import glob
import json
import os
import sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/..")
from lib import *

os.chdir(SRC)
tracked = [f for f in run("git", "ls-files", "--cached", "--others",
                          "--exclude-standard").out.splitlines() if os.path.isfile(f)]
if not tracked:
    skip_all("no git tree")


def read(path):
    with open(path, encoding="utf-8", errors="replace") as f:
        return f.read()


code = "\n".join(read(f) for f in tracked if f.endswith((".c", ".h")))
tests = "\n".join(read(f) for f in tracked if f.startswith("tests/") and
                  f.endswith((".c", ".py", ".sh")))
folders = {os.path.dirname(f)[:n] for f in tracked
           for n in [m.start() for m in re.finditer("/|$", os.path.dirname(f))]}
names = {os.path.basename(f) for f in tracked}


# ---- Markdown

def without_blocks(text):
    return re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)


def anchors(text):
    """The ids GitHub makes of headings."""
    return {re.sub(r"[^\w\- ]", "", h.replace("`", "")).strip().lower().replace(" ", "-")
            for h in re.findall(r"^#+ +(.*)$", without_blocks(text), re.M)}


def broken_links(path):
    bad = []
    for target in re.findall(r"\]\(([^)\s]+)\)", without_blocks(read(path))):
        file, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        to = os.path.normpath(os.path.join(os.path.dirname(path), file)) if file else path
        if not os.path.exists(to):
            bad.append("%s: (%s) is not there" % (path, target))
        elif anchor and anchor not in anchors(read(to)):
            bad.append("%s: (%s): no such heading" % (path, target))
    return bad


def is_defined(name):
    """Does a function of that name begin at the start of a line, in K&R style?"""
    return re.search(r"^[A-Za-z_][^;\n=]*\b%s\(" % name, code, re.M) is not None


def exists(path):
    return path.rstrip("/") in folders or path in tracked


# What a backticked word claims to be: (shape, how to tell that it exists).
CLAIMS = [
    (r"(?:src|include|tests|docs|bench|packaging|scripts|isola)/[\w./*-]*",
     lambda w: exists(w) or exists("include/" + w) or any(
         os.path.isfile(p) for p in glob.glob(w))),
    (r"[\w-]+\.(?:c|h|py)", lambda w: w in names),
    (r"test_[\w-]+\.sh", lambda w: w in names),
    (r"(\w+)\(\)", is_defined),
    (r"struct (\w+)", lambda w: re.search(r"\bstruct %s\b" % w, code)),
    (r"(?!CONFIG_)[A-Z][A-Z0-9]+_[A-Z0-9_]+", lambda w: re.search(r"\b%s" % w, code)),
    (r"[a-z]\w*__\w+", lambda w: re.search(r"\b%s\b" % w, tests)),
]


def false_claims(path):
    bad = []
    for word in re.findall(r"`([^`\n]+)`", without_blocks(read(path))):
        for shape, is_true in CLAIMS:
            m = re.fullmatch(shape, word)
            if m and not is_true(m[1] if m.lastindex else word):
                bad.append("%s: `%s` does not exist" % (path, word))
    return bad


def all_good(name, bad):
    check(not bad, name, "\n".join(bad))


texts = [f for f in tracked if f.endswith(".md") and not f.startswith("tests/fuzz/seeds/")]
all_good("links lead somewhere", [b for f in texts for b in broken_links(f)])
all_good("what the documents name in backticks exists",
         [b for f in texts if f.startswith("docs/") for b in false_claims(f)])


# ---- man pages

pages = {os.path.basename(f): f for f in tracked if re.fullmatch(r"packaging/.*\.[1-8]", f)}
if not shutil.which("groff"):
    skip("man pages are well-formed", "groff is not installed")
else:
    all_good("man pages are well-formed", [
        "%s: %s" % (f, r.err or "exit status %d" % r.rc) for f in pages.values()
        if (r := run("groff", "-man", "-Tutf8", "-ww", "-z", f)).err or r.rc])
listed = read("packaging/meson.build")
all_good("man pages are installed", [
    f for f in pages.values() if f[len("packaging/"):] not in listed])


def roff(line):
    """A line of a man page without its fonts and escapes."""
    line = re.sub(r"^\.(?:BR?|IR?|RB|RI|BI|IB) ", "", line)
    return re.sub(r"\\f[BIRP]|\\fP", "", line).replace("\\-", "-").replace('"', "")


def tags(path):
    """Yields (verbs in effect, tag) for each .TP; a comment sets the verbs."""
    verbs, lines = ["-"], read(path).splitlines()
    for i, line in enumerate(lines):
        if m := re.fullmatch(r'\.\\" verbs: (.*)', line):
            words = m[1].split()
            verbs = [m[1]] if words[0] in ("image", "kernel", "network", "system", "volume") else words
            for v in verbs:
                yield v, ""
        if line == ".TP":
            for v in verbs:
                yield v, roff(lines[i + 1])


LONG = re.compile(r"(?<![\w-])--([a-z][a-z0-9-]*)")


def flags_in_page(path):
    found = {}
    for verb, tag in tags(path):
        found.setdefault(verb, set()).update(LONG.findall(tag) if tag.startswith("-") else [])
    return found


def flags_in_help(text):
    return {f for line in text.splitlines() if re.match(r"\s+(-\w, *)?--", line)
            for f in LONG.findall(re.split(r"\s{2,}", line.strip())[0])}


def program(name, *sources):
    """Its path, or None when it is not built, or older than what it is made of."""
    newest = max(os.path.getmtime(f) for f in tracked if f.startswith(sources))
    for folder in filter(None, [BUILD, SRC + "/build/release", SRC + "/build/asan"]):
        path = "%s/%s" % (folder, name)
        if os.path.exists(path) and os.path.getmtime(path) >= newest:
            return path
    return None


def compare(what, have, want):
    bad = []
    for verb in sorted(have.keys() | want.keys()):
        page, real = have.get(verb), want.get(verb)
        if page is None or real is None:
            bad.append("%s is %s" % (verb, "not in the page" if page is None else "no command"))
            continue
        bad += ["%s: --%s is not in the page" % (verb, f) for f in sorted(real - page)]
        bad += ["%s: there is no --%s" % (verb, f) for f in sorted(page - real)]
    all_good(what, bad)


def verbs_of(text):
    part = re.search(r"^(?:Commands|verbs):\n(.*?)(?:\n\n|\Z)", text, re.S | re.M)
    return re.findall(r"^ +([a-z]+)\b", part[1], re.M) if part else []


def ask(prog, *argv):
    return run(prog, *argv, "--help").out


def check_verbs(name, *sources):
    """A program with verbs, and its page."""
    what = "%s has the verbs and flags there are" % name
    page = next((f for n, f in pages.items() if n.startswith(name + ".")), None)
    prog = page and program(name, *sources)
    if not prog:
        skip(what, "no page" if not page else "%s is not built, or older than the tree" % name)
        return
    top = ask(prog)
    want = {"-": flags_in_help(top)}
    for verb in verbs_of(top):
        text = ask(prog, verb)
        want[verb] = flags_in_help(text) - {"help"}
        m = re.search(r"^Usage: \w+ %s ([a-z|]+)$" % verb, text, re.M)
        for sub in m[1].split("|") if m else []:
            want[verb + " " + sub] = flags_in_help(ask(prog, verb, sub))
    compare(what, flags_in_page(page), want)


check_verbs("ctrctl", "src/cli/", "src/api/client", "src/util/")
check_verbs("vmctl", "src/cli/", "src/api/client", "src/util/")
check_verbs("isola-oci", "src/ctr/oci")

what = "isolad.json.5 has the keys there are"
prog = program("isolad", "src/daemon/config.c")
if not prog:
    skip(what, "isolad is not built, or older than the tree")
else:
    text = ask(prog)
    flags = flags_in_help(text)
    keys = {k for _, tag in tags(pages["isolad.json.5"])
            for k in re.findall(r"[a-z][a-z-]+", tag.split("(")[0])}
    compare(what, {"keys": keys}, {"keys": flags - {"config", "help", "version"}})
    if "isolad.8" in pages:
        compare("isolad.8 has the flags there are",
                {"flags": set().union(*flags_in_page(pages["isolad.8"]).values())},
                {"flags": flags})
    defaults = dict(re.findall(r"^ +--([a-z-]+).*\[([^\]=]+)\]$", text, re.M))
    said = {k: m[1] for _, tag in tags(pages["isolad.json.5"])
            if (m := re.search(r"\((?:\w+), ([^;)]+)", tag))
            for k in re.findall(r"[a-z][a-z-]+", tag.split("(")[0])}
    all_good("isolad.json.5 tells the defaults", [
        "%s: %s in the page, %s in fact" % (k, said.get(k), v) for k, v in sorted(defaults.items())
        if k != "config" and said.get(k) != v])
    example = json.loads(read("packaging/isolad.json"))
    all_good("the example of a config file holds the defaults", [
        "%s: %s, not %s" % (k, v, defaults.get(k)) for k, v in example.items()
        if (v if isinstance(v, str) else json.dumps(v)) != defaults.get(k)])
finish()
