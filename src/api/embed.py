# SPDX-License-Identifier: Apache-2.0
"""Turns docs/openapi.json into C: embed.py IN OUT.  Checks that it is JSON and
drops the white space that only people need."""
import json
import sys

with open(sys.argv[1], encoding="utf-8") as f:
    text = json.dumps(json.load(f), separators=(",", ":"), ensure_ascii=False).encode()
lines = [text[i:i + 64] for i in range(0, len(text), 64)]


def literal(piece):
    """Octal for all but plain characters, so that no escape runs on."""
    return "".join(chr(b) if 32 <= b < 127 and b not in b'"\\?' else "\\%03o" % b for b in piece)


with open(sys.argv[2], "w", encoding="ascii") as f:
    f.write('#include "api/openapi.h"\n\nconst char openapi_text[] =\n')
    f.write("\n".join('\t"%s"' % literal(x) for x in lines))
    f.write(";\nconst size_t openapi_size = sizeof(openapi_text) - 1;\n")
