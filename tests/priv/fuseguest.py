# SPDX-License-Identifier: Apache-2.0
"""A guest's virtio-fs driver, as far as a test of its server needs one: vhost-user to a
virtiofsd, one queue, one FUSE request after the other (linux/fuse.h).

    fs = FuseGuest(sock)
    node = fs.lookup("/etc/hostname")
    fs.mkdir("/new", 0o755)
"""
import mmap
import os
import select
import socket
import struct

SIZE = 1 << 20
BASE = 0x10000000           # where this memory lies for the server's peer
QUEUE = 64
DESC, AVAIL, USED, OUT, IN = 0, 0x2000, 0x3000, 0x10000, 0x60000
ROOT = 1
SUBMOUNTS = 1 << 27
(LOOKUP, SETATTR, READLINK, SYMLINK, MKNOD, MKDIR, UNLINK, RMDIR, READ, WRITE, INIT, GETXATTR,
 CREATE, OPEN) = (1, 4, 5, 6, 8, 9, 10, 11, 15, 16, 26, 22, 35, 14)


class Attr:
    def __init__(self, data):
        (self.ino, self.size) = struct.unpack_from("<QQ", data)
        (self.mode, self.nlink, self.uid, self.gid, self.rdev, _, self.flags) = \
            struct.unpack_from("<7I", data, 60)


class FuseGuest:
    def __init__(self, sock, limit_s=30):
        self.sock, self.unique = sock, 0
        sock.settimeout(limit_s)
        self.limit_s = limit_s
        self.memory_fd = os.memfd_create("guest")
        os.ftruncate(self.memory_fd, SIZE)
        self.m = mmap.mmap(self.memory_fd, SIZE)
        self.tell(3)                                            # SET_OWNER
        features = self.ask(1)                                  # GET_FEATURES
        self.tell(2, struct.pack("<Q", features & (1 << 32)))   # SET_FEATURES: VERSION_1
        self.tell(5, struct.pack("<IIQQQQ", 1, 0, 0, SIZE, BASE, 0), [self.memory_fd])
        self.kicks, self.calls = [], []
        for q in range(2):
            at = BASE + q * 0x8000      # queue 0 is for what hurries; it stays empty
            self.tell(8, struct.pack("<II", q, QUEUE))
            self.tell(10, struct.pack("<II", q, 0))
            self.tell(9, struct.pack("<IIQQQQ", q, 0, at + DESC, at + USED, at + AVAIL, 0))
            call, kick = os.eventfd(0), os.eventfd(0)
            self.tell(13, struct.pack("<Q", q), [call])
            self.tell(12, struct.pack("<Q", q), [kick])
            self.kicks.append(kick)
            self.calls.append(call)
        self.at = 0x8000
        got = self.call(INIT, 0, struct.pack("<IIII", 7, 31, 65536, SUBMOUNTS))
        self.major, self.minor = struct.unpack_from("<II", got)

    # ---- vhost-user

    def tell(self, what, body=b"", fds=()):
        socket.send_fds(self.sock, [struct.pack("<III", what, 1, len(body)) + body], list(fds))

    def ask(self, what):
        self.tell(what)
        head = self.sock.recv(12, socket.MSG_WAITALL)
        body = self.sock.recv(struct.unpack("<III", head)[2], socket.MSG_WAITALL)
        return struct.unpack("<Q", body)[0]

    # ---- one request

    def call(self, op, node, body=b"", room=4096, uid=0, gid=0):
        """What it answers; OSError for an error."""
        self.unique += 1
        request = struct.pack("<IIQQIIII", 40 + len(body), op, self.unique, node, uid, gid, 1,
                              0) + body
        self.m[OUT:OUT + len(request)] = request
        for i, (at, size, flags, follows) in enumerate(((OUT, len(request), 1, 1),
                                                        (IN, 16 + room, 2, 0))):
            struct.pack_into("<QIHH", self.m, self.at + DESC + 16 * i, at, size, flags, follows)
        n = (self.unique - 1) & 0xffff
        struct.pack_into("<H", self.m, self.at + AVAIL + 4 + 2 * (n % QUEUE), 0)
        struct.pack_into("<H", self.m, self.at + AVAIL + 2, (n + 1) & 0xffff)
        os.eventfd_write(self.kicks[1], 1)
        while struct.unpack_from("<H", self.m, self.at + USED + 2)[0] != (n + 1) & 0xffff:
            if not select.select([self.calls[1]], [], [], self.limit_s)[0]:
                raise TimeoutError("virtiofsd does not answer")
            os.eventfd_read(self.calls[1])
        size, error, _ = struct.unpack_from("<IiQ", self.m, IN)
        if error:
            raise OSError(-error, os.strerror(-error))
        return self.m[IN + 16:IN + size]

    # ---- files

    def lookup_at(self, node, name):
        got = self.call(LOOKUP, node, name.encode() + b"\0")
        return struct.unpack_from("<Q", got)[0], Attr(got[40:])

    def lookup(self, path):
        """(node, Attr)"""
        node, attr = ROOT, None
        for name in path.strip("/").split("/"):
            node, attr = self.lookup_at(node, name)
        return node, attr

    def _parent(self, path):
        folder, name = os.path.split(path.rstrip("/"))
        return (self.lookup(folder)[0] if folder.strip("/") else ROOT), name.encode() + b"\0"

    def mkdir(self, path, mode, **who):
        node, name = self._parent(path)
        self.call(MKDIR, node, struct.pack("<II", mode, 0) + name, **who)

    def mknod(self, path, mode, rdev=0, **who):
        node, name = self._parent(path)
        self.call(MKNOD, node, struct.pack("<IIII", mode, rdev, 0, 0) + name, **who)

    def symlink(self, path, target, **who):
        node, name = self._parent(path)
        self.call(SYMLINK, node, name + target.encode() + b"\0", **who)

    def unlink(self, path):
        node, name = self._parent(path)
        self.call(UNLINK, node, name)

    def chown(self, path, uid, gid):
        node, _ = self.lookup(path)
        body = struct.pack("<II", 1 << 1 | 1 << 2, 0) + bytes(6 * 8) + struct.pack(
            "<8I", 0, 0, 0, 0, 0, uid, gid, 0)
        self.call(SETATTR, node, body)

    def write(self, path, data, mode=0o644, **who):
        """A new file."""
        node, name = self._parent(path)
        got = self.call(CREATE, node, struct.pack("<IIII", os.O_RDWR | os.O_CREAT, mode, 0, 0) +
                        name, **who)
        node, handle = struct.unpack_from("<Q", got)[0], struct.unpack_from("<Q", got, 128)[0]
        got = self.call(WRITE, node, struct.pack("<QQIIQII", handle, 0, len(data), 0, 0, 0, 0) +
                        data, **who)
        return struct.unpack_from("<I", got)[0]

    def read(self, path):
        node, attr = self.lookup(path)
        handle = struct.unpack_from("<Q", self.call(OPEN, node, struct.pack("<II", 0, 0)))[0]
        return bytes(self.call(READ, node, struct.pack("<QQIIQII", handle, 0, 65536, 0, 0, 0, 0),
                               room=65536))
