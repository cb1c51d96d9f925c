#!/usr/bin/python3 -B
# SPDX-License-Identifier: Apache-2.0
"""The table flag x wall of docs/isolation.md, from src/daemon/isolation_rules.c.

    tests/lint/walls.py           prints it
    tests/lint/walls.py --write   puts it into docs/isolation.md
"""
import os
import re
import sys

SRC = os.path.dirname(os.path.realpath(__file__)) + "/../.."
RULES = SRC + "/src/daemon/isolation_rules.c"
DOC = SRC + "/docs/isolation.md"
BEGIN = "<!-- the table of src/daemon/isolation_rules.c: tests/lint/walls.py --write -->\n"
END = "<!-- end of the table -->\n"
WORDS = {"SAME": "same", "DIFFERS": "differs", "REFUSED": "refused"}
STRING = r'"((?:[^"\\]|\\.)*)"'


def rules(text=None):
    """(flag, verdict, text) of each row, in order."""
    if text is None:
        with open(RULES) as f:
            text = f.read()
    body = text[text.index("wall_rows[] = {"):text.index("wall_rows_n")]
    body = re.sub(r'"\s*\n\s*"', "", body)      # literals that the compiler joins
    row = re.compile(
        r'(SAME|DIFFERS|REFUSED)\((.*?)\)(?=,\n)|\{\s*("--.*?)\}(?=,\n)', re.S)
    found = []
    for m in row.finditer(body):
        inner = m[2] or m[3]
        strings = re.findall(STRING, inner)
        verdict = m[1] or re.search(r"WALL_(SAME|DIFFERS|REFUSED)", inner)[1]
        # After the verdict comes the text; macros of two arguments have none.
        if m[1]:
            text = strings[-1] if len(strings) > 2 else ""
        else:
            text = re.findall(STRING, inner[inner.index("WALL_"):])[0]
        found.append((strings[0], WORDS[verdict], text))
    return found


def table():
    lines = ["| flag | behind the VM wall | how, or why |\n", "|---|---|---|\n"]
    for flag, verdict, text in sorted(rules(), key=lambda r: r[0]):
        lines.append("| `%s` | %s | %s |\n" % (flag, verdict, text))
    return "".join(lines)


def in_document():
    with open(DOC) as f:
        text = f.read()
    return text[text.index(BEGIN) + len(BEGIN):text.index(END)]


def write():
    with open(DOC) as f:
        text = f.read()
    head, tail = text[:text.index(BEGIN) + len(BEGIN)], text[text.index(END):]
    with open(DOC, "w") as f:
        f.write(head + table() + tail)


if __name__ == "__main__":
    write() if sys.argv[1:] == ["--write"] else print(table(), end="")
