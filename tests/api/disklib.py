# SPDX-License-Identifier: Apache-2.0
# Disk images for tests: a file system out of a folder, with a partition table round it.
import os
import struct
import subprocess
import uuid
import zlib

SECTOR = 512
LINUX = uuid.UUID("0FC63DAF-8483-4772-8E79-3D69D8477DE4")
BIOS_BOOT = uuid.UUID("21686148-6449-6E6F-744E-656564454649")


def ext4(path, folder, size_mib=64, *flags):
    """An ext4 file system with what is in FOLDER."""
    with open(path, "wb") as f:
        f.truncate(size_mib << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", *flags, "-d", folder, path], check=True)
    return path


def gpt(path, parts, align=2048):
    """A GPT disk of (type, PARTUUID, content file or size in bytes); the tables are right
    in every checksum. ALIGN is in sectors."""
    entries, at, contents = b"", align, []
    for kind, part_uuid, content in parts:
        size = content if isinstance(content, int) else os.path.getsize(content)
        last = at + (size + SECTOR - 1) // SECTOR - 1
        entries += struct.pack("<16s16sQQQ72s", kind.bytes_le, uuid.UUID(part_uuid).bytes_le,
                               at, last, 0, "".encode("utf-16-le"))
        contents.append((at, content))
        at = (last + align) // align * align
    entries = entries.ljust(128 * 128, b"\0")
    total = at + align

    def header(own, other, table):
        head = struct.pack("<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, 92, 0, 0, own, other, 34,
                           total - 34, uuid.UUID(int=1).bytes_le, table, 128, 128,
                           zlib.crc32(entries))
        return head[:16] + struct.pack("<I", zlib.crc32(head)) + head[20:]

    with open(path, "wb") as f:
        f.truncate(total * SECTOR)
        f.seek(446)
        f.write(struct.pack("<B3sB3sII", 0, b"\0\2\0", 0xee, b"\xff\xff\xff", 1, total - 1))
        f.seek(510)
        f.write(b"\x55\xaa" + header(1, total - 1, 2).ljust(SECTOR, b"\0") + entries)
        f.seek((total - 33) * SECTOR)
        f.write(entries + header(total - 1, 1, total - 33).ljust(SECTOR, b"\0"))
        for start, content in contents:
            if isinstance(content, int):
                continue
            f.seek(start * SECTOR)
            with open(content, "rb") as src:
                while chunk := src.read(1 << 20):
                    f.write(chunk)
    return path


def mbr(path, disk_id, parts, align=2048):
    """An MBR disk of (type, content file); ALIGN is in sectors."""
    at, table = align, b""
    with open(path, "wb") as f:
        for kind, content in parts:
            size = os.path.getsize(content) // SECTOR
            table += struct.pack("<B3sB3sII", 0, b"\0\2\0", kind, b"\xff\xff\xff", at, size)
            f.seek(at * SECTOR)
            with open(content, "rb") as src:
                f.write(src.read())
            at = (at + size + align - 1) // align * align
        f.truncate(at * SECTOR)
        f.seek(440)
        f.write(struct.pack("<IH", disk_id, 0) + table.ljust(64, b"\0") + b"\x55\xaa")
    return path
