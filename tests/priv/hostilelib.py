# SPDX-License-Identifier: Apache-2.0
"""Archives made to get out of their folder, to steer overlayfs, or to be read in two
ways: what they are called, their entries, and what becomes of them as a layer."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from imagelib import *                              # noqa: F401,F403,E402

UP = "../" * 40
LONG = "/".join(["d" * 200] * 25)               # 5024 bytes


def no_escape(t):
    return not any("secret" == os.path.basename(p) for p in t)


def has(t, path, **want):
    seen = t.get(path)
    return seen is not None and all(seen.get(k) == v for k, v in want.items())


def host_tree(path):
    """A folder of the host with a secret, to be left alone."""
    os.makedirs(path + "/sub")
    with open(path + "/secret", "w") as f:
        f.write("secret")
    os.chmod(path + "/secret", 0o600)
    os.symlink("secret", path + "/link")


def cases(host):
    """(name, entries, what to see: a pattern of the error, or a function of the tree); @host
    is a folder of the host."""
    rel = host.lstrip("/")
    return [
        # ---- names
        ("absolute name", [file(host + "/evil")], lambda t: has(t, rel + "/evil", kind="file")),
        ("'..' at the start", [file(UP + rel + "/evil")], r'"\.\."'),
        ("'..' in the middle", [folder("a"), file("a/../../evil")], r'"\.\."'),
        ("'..' in the middle that stays inside", [file("a/../evil")], r'"\.\."'),
        ("'..' at the end", [folder("a/..")], r'"\.\."'),
        ("'..' alone", [folder("..")], r'"\.\."'),
        ("absolute '..'", [file("/../../evil")], r'"\.\."'),
        ("'..' in a pax path", [pax([(b"path", b"../evil")]) + header(b"ok") ], r'"\.\."'),
        ("'..' in a GNU long name", [header(b"././@LongLink", b"L", 8) + padded(b"../evil\0") +
                                     header(b"ok")], r'"\.\."'),
        ("'..' in the ustar prefix", [header(b"evil", prefix=b"../..")], r'"\.\."'),
        ("empty name", [file("")], "empty name"),
        ("name of 5000 bytes", [file(LONG)], "too long|longer"),
        ("component of 300 bytes", [pax([(b"path", b"x" * 300)]) + header(b"short")], "too long"),
        ("name that is not UTF-8", [file(b"\xff\xfe\x80")],
         lambda t: has(t, os.fsdecode(b"\xff\xfe\x80"), kind="file")),
        ("decomposed and composed name", [pax([(b"path", "e\u0301".encode())]) + header(b"x"),
                                          pax([(b"path", "\u00e9".encode())]) + header(b"x")],
         lambda t: has(t, "e\u0301") and has(t, "\u00e9") and len(t) == 3),
        ("newline and control bytes in a name", [file("a\n\x1b[2Jb")],
         lambda t: has(t, "a\n\x1b[2Jb")),
        ("NUL in a pax path", [pax([(b"path", b"a\0b")]) + header(b"x")], "NUL"),
        ("NUL in a pax linkpath", [pax([(b"linkpath", b"a\0b")]) + header(b"x", b"2")], "NUL"),
        ("same name twice", [file("a", b"one"), file("a", b"two", mode=0o600)],
         lambda t: has(t, "a", data=b"two", mode=0o600) and len(t) == 2),
        ("file over a folder with content", [folder("a"), folder("a/b"), file("a/b/c"), file("a")],
         lambda t: has(t, "a", kind="file") and len(t) == 2),
        ("folder over a file", [file("a"), folder("a"), file("a/b")],
         lambda t: has(t, "a/b", kind="file")),
        ("folder over a folder keeps its content", [folder("a"), file("a/b"),
                                                    folder("a", mode=0o700, uid=5)],
         lambda t: has(t, "a", mode=0o700, owner=(5, 0)) and has(t, "a/b")),
        ("file whose name ends in a slash", [file("a/")], "slash"),
        ("file as the root", [file("./")], "root"),
        ("symlink as the root", [symlink(".", host)], "root"),
        ("file below a file", [file("a"), file("a/b")], "no folder"),
        # ---- symbolic links
        ("file through an absolute symlink", [symlink("l", host), file("l/evil")], "symbolic link"),
        ("file through a relative symlink", [symlink("l", UP + rel), file("l/evil")],
         "symbolic link"),
        ("file through a symlink that stays inside", [folder("d"), symlink("l", "d"), file("l/x")],
         "symbolic link"),
        ("file through a chain of symlinks", [symlink("a", "/"), symlink("b", "a/" + rel),
                                              file("b/evil")], "symbolic link"),
        ("folder through a symlink", [symlink("l", host), folder("l/evil")], "symbolic link"),
        ("symlink through a symlink", [symlink("l", host), symlink("l/evil", "x")], "symbolic link"),
        ("hard link through a symlink", [file("f"), symlink("l", host), hardlink("l/evil", "f")],
         "symbolic link"),
        ("file written over a symlink", [symlink("l", host + "/secret"), file("l", b"evil")],
         lambda t: has(t, "l", kind="file", data=b"evil")),
        ("symlink to nothing", [symlink("l", "")], "symbolic link to nothing"),
        ("symlink to itself, then a file in it", [symlink("l", "l"), file("l/x")], "symbolic link"),
        ("symlink called like its own folder", [folder("d"), symlink("d/d", "../d"),
                                                file("d/d/evil")], "symbolic link"),
        ("folder over a symlink", [symlink("l", host), folder("l", mode=0o700), file("l/x")],
         lambda t: has(t, "l", kind="dir", mode=0o700) and has(t, "l/x")),
        ("symlink over a folder with content", [folder("d"), file("d/x"), symlink("d", host)],
         lambda t: has(t, "d", kind="link", target=host) and len(t) == 2),
        ("symlink over a folder, then a file in it", [folder("d"), symlink("d", host),
                                                      file("d/evil")], "symbolic link"),
        ("mode and owner of a symlink stay its own", [symlink("l", host + "/secret", uid=7)],
         lambda t: has(t, "l", owner=(7, 0))),
        ("folder's entry again as a symlink, its time later", [folder("d", mtime=5),
                                                               symlink("d", host)],
         lambda t: has(t, "d", kind="link")),
        # ---- hard links
        ("hard link to '..'", [hardlink("l", UP + rel + "/secret")], r'"\.\."'),
        ("hard link to an absolute name", [hardlink("l", host + "/secret")], "not in this layer"),
        ("hard link to an absolute name of the layer", [file("etc/x"), hardlink("l", "/etc/x")],
         lambda t: has(t, "l", data=b"data")),
        ("hard link to a missing file", [hardlink("l", "none"), file("none")], "not in this layer"),
        ("hard link to a symlink, then a write", [symlink("s", host + "/secret"), hardlink("h", "s"),
                                                  file("h", b"evil", mode=0o777)],
         lambda t: has(t, "h", kind="file", data=b"evil") and has(t, "s", kind="link")),
        ("hard link to a symlink, mode and owner on it", [symlink("s", host + "/secret"),
                                                          hardlink("h", "s", mode=0o7777, uid=9)],
         lambda t: has(t, "h", kind="link", target=host + "/secret")),
        ("hard link whose target's folder is a symlink", [symlink("s", host),
                                                          hardlink("h", "s/secret")],
         "not in this layer"),
        ("hard link to a folder", [folder("d"), hardlink("h", "d")], "folder"),
        ("hard link to the root", [hardlink("h", "/")], "root"),
        ("hard link to itself", [file("f"), hardlink("f", "f")], "itself"),
        ("hard link to what it replaces", [folder("d"), file("d/f"), hardlink("d", "d/f")],
         "hard link"),
        ("hard link with a size and content that is none", [
            file("f"), header(b"h", b"1", 4096, link=b"f"), file("g")],
         lambda t: has(t, "h", data=b"data") and has(t, "g")),
        ("hard link to a device node", [entry("n", b"3", dev=(1, 3)), hardlink("h", "n")],
         lambda t: has(t, "h", kind="char", dev=(1, 3))),
        ("write to a name that is a hard link", [file("a", b"one"), hardlink("b", "a"),
                                                 file("b", b"two")],
         lambda t: has(t, "a", data=b"one") and has(t, "b", data=b"two")),
        # ---- whiteouts
        ("whiteout of '..'", [file(".wh...")], "whiteout of nothing"),
        ("whiteout of '.'", [file(".wh..")], "whiteout of nothing"),
        ("whiteout of no name", [file("d/.wh.")], "whiteout of nothing"),
        ("whiteout of a symlink hides it, not its target", [symlink("l", host), file(".wh.l")],
         lambda t: has(t, "l", kind="link")),
        ("whiteout through a symlink", [symlink("l", host), file("l/.wh.secret")],
         lambda t: sorted(t) == [".", "l"]),
        ("whiteout below a file", [file("f"), file("f/.wh.x"), file("f/g/.wh.x")],
         lambda t: sorted(t) == [".", "f"]),
        ("whiteout in a folder that is nowhere", [file("no/where/.wh.x")],
         lambda t: is_whiteout(t["no/where/x"]) and has(t, "no", kind="dir")),
        ("whiteout, then a file of that name", [file(".wh.x"), file("x")],
         lambda t: has(t, "x", kind="file") and len(t) == 2),
        ("file, then a whiteout of that name", [file("x"), file(".wh.x")],
         lambda t: has(t, "x", kind="file") and len(t) == 2),
        ("whiteout, then a folder of that name", [file(".wh.x"), folder("x"), file("x/y")],
         lambda t: is_opaque(t["x"]) and has(t, "x/y")),
        ("folder, then a whiteout of that name", [folder("x"), file("x/y"), file(".wh.x")],
         lambda t: is_opaque(t["x"]) and has(t, "x/y")),
        ("whiteout, then a file in that folder", [file(".wh.x"), file("x/y")],
         lambda t: is_opaque(t["x"]) and has(t, "x/y")),
        ("whiteout as a folder's name", [file(".wh.a/b")], "whiteout for a folder"),
        ("opaque mark in a symlinked folder", [symlink("l", host), file("l/.wh..wh..opq")],
         lambda t: sorted(t) == [".", "l"]),
        ("opaque mark last", [folder("d"), file("d/x"), file("d/.wh..wh..opq")],
         lambda t: is_opaque(t["d"]) and has(t, "d/x") and len(t) == 3),
        ("opaque mark first", [file("d/.wh..wh..opq"), folder("d", uid=3), file("d/x")],
         lambda t: is_opaque(t["d"]) and has(t, "d", owner=(3, 0)) and has(t, "d/x")),
        ("opaque mark of a folder that becomes a symlink", [
            folder("d"), file("d/.wh..wh..opq"), symlink("d", host)],
         lambda t: has(t, "d", kind="link")),
        ("AUFS's bookkeeping is ignored", [folder(".wh..wh.plnk"), file(".wh..wh.plnk/1.2"),
                                           file(".wh..wh.aufs"), file("x")],
         lambda t: sorted(t) == [".", "x"]),
        ("hard link to a whiteout", [file(".wh.x"), hardlink("y", "x")], "not in this layer"),
        ("whiteout forged as a device", [entry("x", b"3", dev=(0, 0))], "device 0:0"),
        # ---- a folder in the place of one that went: nothing that waited for that is its own
        ("folder, again, symlink, folder: the last one's look", [
            folder("d", uid=5), folder("d", mode=0o711, uid=6, mtime=4), symlink("d", host),
            folder("d", mode=0o700, uid=7, mtime=9)],
         lambda t: has(t, "d", kind="dir", mode=0o700, owner=(7, 0), mtime=9 * 10**9)),
        ("opaque mark of a folder before", [folder("d"), file("d/.wh..wh..opq"), file("d"), folder("d")],
         lambda t: has(t, "d", kind="dir") and not is_opaque(t["d"])),
        ("opaque mark below a folder before", [file("d/e/.wh..wh..opq"), symlink("d", host), file("d"),
                                               folder("d"), file("d/e/x")],
         lambda t: has(t, "d/e/x") and not is_opaque(t["d/e"])),
        ("default ACL of a folder before", [folder("d", xattrs=[(b"system.posix_acl_default", bytes.fromhex(
            "02000000" "01000700ffffffff" "04000500ffffffff" "20000500ffffffff"))]), file("d"), folder("d")],
         lambda t: has(t, "d", kind="dir") and "xattrs" not in t["d"]),
        ("opaque mark of the folder that came", [folder("d"), file("d"), folder("d"), file("d/.wh..wh..opq")],
         lambda t: is_opaque(t["d"])),
        # ---- kinds and attributes
        ("devices and FIFOs", [entry("c", b"3", dev=(1, 5), mode=0o666), entry("b", b"4", dev=(8, 1)),
                               entry("p", b"6", mode=0o600, uid=4)],
         lambda t: has(t, "c", kind="char", dev=(1, 5), mode=0o666) and
         has(t, "b", kind="block", dev=(8, 1)) and has(t, "p", kind="fifo", owner=(4, 0))),
        ("FIFO, then a file in it", [entry("p", b"6"), file("p/x")], "no folder"),
        ("FIFO, then a file of that name", [entry("p", b"6"), file("p")],
         lambda t: has(t, "p", kind="file")),
        ("device, then a file of that name", [entry("p", b"4", dev=(8, 0)), file("p", b"evil")],
         lambda t: has(t, "p", kind="file", data=b"evil")),
        ("set-id bits and owners", [file("s", mode=0o6755, uid=1, gid=2), folder("t", mode=0o1777),
                                    folder("g", mode=0o2755, gid=50), file("g/x"), folder("g/d")],
         lambda t: has(t, "s", mode=0o6755, owner=(1, 2)) and has(t, "t", mode=0o1777) and
         has(t, "g", mode=0o2755, owner=(0, 50)) and has(t, "g/x", owner=(0, 0)) and
         has(t, "g/d", owner=(0, 0), mode=0o755)),
        ("large ids", [pax([(b"uid", b"4294967294"), (b"gid", b"3000000000")]) + header(b"x")],
         lambda t: has(t, "x", owner=(4294967294, 3000000000))),
        ("id -1", [pax([(b"uid", b"4294967295")]) + header(b"x")], "uid"),
        ("overlay attributes", [
            file("f", xattrs=[(b"trusted.overlay.redirect", b"/" + rel.encode()),
                              (b"trusted.overlay.metacopy", b""), (b"user.overlay.redirect", b"/x"),
                              (b"trusted.other", b"x"), (b"security.selinux", b"evil"),
                              (b"security.ima", b"x"), (b"user.kept", b"yes\0\xff")]),
            folder("d", xattrs=[(b"trusted.overlay.opaque", b"y"), (b"user.overlay.opaque", b"y"),
                                (b"user.kept", b"d")])],
         lambda t: has(t, "f", xattrs={"user.kept": b"yes\0\xff"}) and
         has(t, "d", xattrs={"user.kept": b"d"})),
        ("file capabilities", [file("c", uid=0, xattrs=[
            (b"security.capability", bytes.fromhex("0100000200040000000000000000000000000000"))])],
         lambda t: has(t, "c", xattrs={"security.capability": bytes.fromhex(
             "0100000200040000000000000000000000000000")})),
        ("broken file capabilities", [file("c", xattrs=[(b"security.capability", b"x")])],
         "security.capability"),
        ("attributes on a symlink are not its target's", [
            symlink("l", host + "/secret", xattrs=[(b"user.evil", b"1")])],
         lambda t: has(t, "l", kind="link") and "xattrs" not in t["l"]),
        ("times", [folder("d", mtime=1), file("d/f", mtime=2), symlink("d/l", "f", mtime=3),
                   entry("d/p", b"6", mtime=4), folder("e", mtime=5), file("e/x"),
                   pax([(b"mtime", b"-1.5")]) + header(b"old"),
                   pax([(b"mtime", b"1600000000.123456789")]) + header(b"ns")],
         lambda t: [t[p]["mtime"] for p in ("d", "d/f", "d/l", "d/p", "e", "ns")] ==
         [10**9, 2 * 10**9, 3 * 10**9, 4 * 10**9, 5 * 10**9, 1600000000123456789] and
         t["old"]["mtime"] == -15 * 10**8),
        ("the root's own mode, owner, time", [folder("./", mode=0o751, uid=6, gid=7, mtime=9),
                                              file("x")],
         lambda t: has(t, ".", mode=0o751, owner=(6, 7), mtime=9 * 10**9)),
        ("missing folders are made", [file("a/b/c", uid=5)],
         lambda t: has(t, "a", mode=0o755, owner=(0, 0)) and has(t, "a/b/c", owner=(5, 0))),
        ("folder's entry behind its content", [file("a/b"), folder("a", mode=0o700, mtime=7)],
         lambda t: has(t, "a", mode=0o700, mtime=7 * 10**9)),
        ("folder without any right", [folder("a", mode=0), file("a/b", mode=0)],
         lambda t: has(t, "a", mode=0) and has(t, "a/b", mode=0)),
        # ---- kinds that are none of a layer's
        ("unknown type", [entry("x", b"Q")], "type"),
        ("GNU multi-volume part", [entry("x", b"M")], "type"),
        ("global pax header with a path", [header(b"g", b"g", 20) + padded(b"20 path=/etc/shadow\n"),
                                           file("x")], lambda t: sorted(t) == [".", "x"]),
        # ---- sparse maps and sizes
        ("sparse file", [pax([(b"GNU.sparse.size", b"1000000"), (b"GNU.sparse.map", b"10,3,999990,1")])
                         + header(b"x", size=4) + padded(b"abcd")],
         lambda t: t["x"]["data"] == b"\0" * 10 + b"abc" + b"\0" * 999977 + b"d" + b"\0" * 9),
        ("sparse file of 8 EiB", [pax([(b"GNU.sparse.size", b"9223372036854775807"),
                                       (b"GNU.sparse.map", b"0,0")]) + header(b"x")],
         "cannot make a file"),
        ("sparse map of 10^9 regions", [pax([(b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"),
                                             (b"GNU.sparse.realsize", b"5")]) +
                                        header(b"x", size=512) + padded(b"1000000000\n")],
         "regions"),
        ("sparse regions that overlap", [pax([(b"GNU.sparse.size", b"100"),
                                              (b"GNU.sparse.map", b"0,5,3,5")]) +
                                         header(b"x", size=10) + padded(b"0123456789")], "sparse"),
        ("pax header of 4 GiB", [header(b"x", b"x", 4 << 30)], "too long"),
        ("long name of 4 GiB", [header(b"x", b"L", 4 << 30)], "too long"),
        ("file of 4 GiB that is not there", [header(b"x", size=4 << 30)], "cut off"),
        ("data behind the end", [file("a"), END, file("hidden")], "behind the end"),
        ("checksum", [file("a"), b"\1" + file("b")[1:]], "checksum"),
    ]
