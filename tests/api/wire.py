# SPDX-License-Identifier: Apache-2.0
"""HTTP by hand over the Unix socket, for what http.client hides: upgraded
streams, half-closes, broken requests.  And containers for tests."""
import json
import socket
import struct
import time
import urllib.parse

from lib import SCALE


def q(**params):
    """A query string, filters as JSON."""
    return "?" + urllib.parse.urlencode(
        {k: json.dumps(v) if isinstance(v, dict) else v for k, v in params.items()})


class Wire:
    """One connection."""

    def __init__(self, d, timeout=20):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(d.socket)
        self.sock.settimeout(timeout * SCALE)
        self.buffer = b""

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data):
        self.sock.sendall(data.encode() if isinstance(data, str) else data)

    def ask(self, method, path, body=None, **fields):
        """Sends a request; the answer is to be read."""
        data = b"" if body is None else body if isinstance(body, bytes) else \
            json.dumps(body).encode()
        head = {"Host": "isola", **{k.replace("_", "-"): v for k, v in fields.items()}}
        if body is not None:
            head.setdefault("Content-Type", "application/json")
            head.setdefault("Content-Length", str(len(data)))
        lines = ["%s %s HTTP/1.1" % (method, path)] + ["%s: %s" % x for x in head.items()]
        self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + data)

    def upgrade(self, path, body=None):
        """A POST that asks for the raw connection; returns (status, fields)."""
        self.ask("POST", path, body, Connection="Upgrade", Upgrade="tcp")
        return self.head()

    def more(self):
        data = self.sock.recv(65536)
        self.buffer += data
        return bool(data)

    def until(self, mark):
        while mark not in self.buffer:
            if not self.more():
                raise EOFError("no %r in %r" % (mark, self.buffer))
        at = self.buffer.index(mark) + len(mark)
        data, self.buffer = self.buffer[:at], self.buffer[at:]
        return data

    def exactly(self, size):
        while len(self.buffer) < size:
            if not self.more():
                raise EOFError("%d of %d bytes" % (len(self.buffer), size))
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def rest(self):
        """All bytes up to the end of the stream."""
        try:
            while self.more():
                pass
        except ConnectionResetError:
            pass
        data, self.buffer = self.buffer, b""
        return data

    def head(self):
        lines = self.until(b"\r\n\r\n").decode().split("\r\n")
        fields = dict(x.split(": ", 1) for x in lines[1:] if x)
        return int(lines[0].split()[1]), {k.lower(): v for k, v in fields.items()}

    def chunk(self):
        """The next chunk; b"" is the last."""
        size = int(self.until(b"\r\n").split(b";")[0], 16)
        data = self.exactly(size)
        self.until(b"\r\n")
        return data

    def answer(self):
        """A whole answer: (status, fields, body)."""
        status, fields = self.head()
        if fields.get("transfer-encoding") == "chunked":
            body = b"".join(iter(self.chunk, b""))
        elif "content-length" in fields:
            body = self.exactly(int(fields["content-length"]))
        else:
            body = b"" if status in (101, 204, 304) else self.rest()
        return status, fields, body

    def frame(self):
        """The next frame of a multiplexed stream: (stream, data), or None."""
        try:
            kind, size = struct.unpack(">BxxxL", self.exactly(8))
        except EOFError:
            return None
        return kind, self.exactly(size)

    def frames(self):
        """All frames to the end: (stdout, stderr)."""
        out = {1: b"", 2: b""}
        while (f := self.frame()) is not None:
            out[f[0]] += f[1]
        return out[1], out[2]

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def is_closed(self):
        """Waits for the other side's end of stream."""
        try:
            return not self.sock.recv(65536)
        except ConnectionResetError:
            return True
        except socket.timeout:
            return False


def frames_of(data):
    """Demultiplexes a whole body: (stdout, stderr)."""
    out = {1: b"", 2: b""}
    while data:
        kind, size = struct.unpack(">BxxxL", data[:8])
        out[kind] += data[8:8 + size]
        data = data[8 + size:]
    return out[1], out[2]


def create(d, *cmd, name=None, **config):
    """A container of the test's image; HostConfig's keys may be given, too."""
    host = {k: config.pop(k) for k in list(config) if k in HOST_KEYS}
    body = {"Image": "busybox", "Cmd": list(cmd), "HostConfig": {"NetworkMode": "none", **host},
            **config}
    status, _, o = d.request("POST", "/containers/create" + (q(name=name) if name else ""), body)
    if status != 201:
        raise RuntimeError("create: %s %s" % (status, o))
    return o["Id"]


HOST_KEYS = ("AutoRemove", "RestartPolicy", "LogConfig", "NetworkMode", "Init", "UsernsMode")


def start(d, *cmd, **config):
    cid = create(d, *cmd, **config)
    status, _, o = d.request("POST", "/containers/%s/start" % cid)
    if status != 204:
        raise RuntimeError("start: %s %s" % (status, o))
    return cid


def remove(d, cid):
    return d.request("DELETE", "/containers/%s?force=1" % cid)[0]


def state(d, cid):
    return d.request("GET", "/containers/%s/json" % cid)[2]["State"]


def wait_state(d, cid, name, limit_s=10):
    end = time.monotonic() + limit_s * SCALE
    while (s := state(d, cid))["Status"] != name and time.monotonic() < end:
        time.sleep(0.02)
    return s


def load_image(d, tar):
    """The test's image, busybox:latest, from a root file system."""
    with open(tar, "rb") as f:
        status, _, o = d.request("POST", "/images/create" + q(fromSrc="-", repo="busybox",
                                                               tag="latest"),
                                 f.read(), {"Content-Type": "application/x-tar"})
    if status != 200 or b"error" in (o if isinstance(o, bytes) else b""):
        raise RuntimeError("import: %s %s" % (status, o))
