# SPDX-License-Identifier: Apache-2.0
"""A tap of a network, taken by the API or by hand: what comes with it, and frames."""
import array
import json
import os
import select
import socket
import struct
import time
import urllib.parse

HEADER = 12     # a virtio_net_hdr_v1


def ask(d, net, upgrade=True, **query):
    """(connection, status, document, descriptors) of GET /networks/{net}/tap."""
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.settimeout(20)
    s.connect(d.socket)
    target = "/networks/%s/tap" % net
    if query:
        target += "?" + urllib.parse.urlencode(query)
    s.sendall(("GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n" %
               (target, "Connection: Upgrade\r\nUpgrade: tap\r\n" if upgrade else "")).encode())
    data, fds = b"", []
    while True:
        head, _, body = data.partition(b"\r\n\r\n")
        status = int(head.split()[1]) if b" " in head[:12] else 0
        if (status == 101 and body.endswith(b"\n")) or (status > 101 and body.endswith(b"}")):
            break
        part, control, flags, _ = s.recvmsg(65536, socket.CMSG_SPACE(64 * 4))
        for level, kind, cdata in control:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                got = array.array("i")
                got.frombytes(cdata[:len(cdata) - len(cdata) % 4])
                fds += list(got)
        if not part:
            break
        data += part
    try:
        doc = json.loads(body)
    except ValueError:
        doc = {}
    return s, status, doc, fds


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


class Host:
    """What speaks Ethernet, ARP and ICMP on queues of a tap."""

    def __init__(self, fds, mac, address):
        self.fds = fds
        self.mac = bytes.fromhex(mac.replace(":", ""))
        self.address = socket.inet_aton(address)

    def send(self, frame, queue=0):
        os.write(self.fds[queue], bytes(HEADER) + frame)

    def frames(self, limit_s):
        """(queue, frame) as they come."""
        end = time.monotonic() + limit_s
        while (left := end - time.monotonic()) > 0:
            for fd in select.select(self.fds, [], [], left)[0]:
                yield self.fds.index(fd), os.read(fd, 70000)[HEADER:]

    def eth(self, dst, kind, data, src=None):
        return dst + (src or self.mac) + struct.pack("!H", kind) + data

    def arp(self, op, sender, target, target_mac=b"\0" * 6, mac=None):
        return struct.pack("!HHBBH", 1, 0x800, 6, 4, op) + (mac or self.mac) + sender + target_mac + target

    def resolve(self, target):
        """The MAC address of @target, or None."""
        target = socket.inet_aton(target)
        for _ in range(5):
            self.send(self.eth(b"\xff" * 6, 0x806, self.arp(1, self.address, target)))
            for _, f in self.frames(1):
                if f[12:14] == b"\x08\x06" and f[20:22] == b"\0\2" and f[28:32] == target:
                    return f[22:28]
        return None

    def ip(self, src, dst, proto, body):
        head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 1, 0, 64, proto, 0, src, dst)
        return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + body

    def ping(self, target, tag=b"tag", mac=None, src=None, queue=0, tries=5, src_mac=None):
        """The queue that the answer came by, or None. Answers what asks for us meanwhile."""
        mac = mac or self.resolve(target)
        if not mac:
            return None
        dst = socket.inet_aton(target)
        body = struct.pack("!BBHHH", 8, 0, 0, 77, 1) + tag
        body = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
        for _ in range(tries):
            self.send(self.eth(mac, 0x800, self.ip(src or self.address, dst, 1, body), src_mac), queue)
            for n, f in self.frames(1):
                if f[12:14] == b"\x08\x06" and f[20:22] == b"\0\1" and f[38:42] == self.address:
                    self.send(self.eth(f[22:28], 0x806, self.arp(2, self.address, f[28:32], f[22:28])))
                elif f[12:14] == b"\x08\0" and f[23] == 1 and f[34] == 0 and tag in f:
                    return n
        return None

    def discover(self, xid):
        """What DHCP offers: (address, router), or None."""
        body = struct.pack("!BBBBIHH", 1, 1, 6, 0, xid, 0, 0x8000) + bytes(16) + self.mac + bytes(202) + \
            bytes([99, 130, 83, 99, 53, 1, 1, 255])
        udp = struct.pack("!HHHH", 68, 67, 8 + len(body), 0) + body
        for _ in range(5):
            self.send(self.eth(b"\xff" * 6, 0x800, self.ip(bytes(4), b"\xff" * 4, 17, udp)))
            for _, f in self.frames(2):
                if f[12:14] == b"\x08\0" and f[23] == 17 and f[34:38] == b"\0\x43\0\x44" and \
                        struct.unpack("!I", f[46:50])[0] == xid:
                    at = f.find(b"\3\4", 282)
                    return socket.inet_ntoa(f[58:62]), socket.inet_ntoa(f[at + 2:at + 6]) if at > 0 else ""
        return None
