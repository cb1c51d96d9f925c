# SPDX-License-Identifier: Apache-2.0
#
# Hostile and unusual HTTP against a whole isolad: it answers, closes, or waits,
# and is as light and alive afterwards as before.
# time limit: 180 s
# not in the lab: the parser's bounds, and nothing the kernel decides
import os
import socket
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)) + "/..")
from lib import *
from wire import Wire

need_root()
need_program("isolad")
d = start_isolad() or skip_all("isolad does not start")
leak_mark()
HOST = "Host: x\r\n"


def rss_kib():
    with open("/proc/%d/status" % d.pid) as f:
        return int(next(x for x in f if x.startswith("VmRSS")).split()[1])


def fds():
    return len(os.listdir("/proc/%d/fd" % d.pid))


def one(data):
    """Status of the answer to some bytes, and whether the connection was closed."""
    with Wire(d, 5) as w:
        try:
            w.send(data)
        except (BrokenPipeError, ConnectionResetError):
            pass
        try:
            status = w.answer()[0]
        except (EOFError, ConnectionResetError):
            status = 0
        return status, w.is_closed()


# ---- malformed: an answer, and the end

for name, data, want in [
    ("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", (400, True)),
    ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (400, True)),
    ("no version", "GET /_ping\r\n\r\n", (505, True)),
    ("an unknown method", "FOO / HTTP/1.1\r\n\r\n", (400, True)),
    ("no Host", "GET /_ping HTTP/1.1\r\n\r\n", (400, True)),
    ("two Hosts", "GET /_ping HTTP/1.1\r\n" + HOST + HOST + "\r\n", (400, True)),
    ("a blank in a field's name", "GET /_ping HTTP/1.1\r\n" + HOST + "A : b\r\n\r\n", (400, True)),
    ("two lengths", "POST /containers/x/stop HTTP/1.1\r\n" + HOST +
     "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", (400, True)),
    ("a length and chunks", "POST /containers/x/stop HTTP/1.1\r\n" + HOST +
     "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", (400, True)),
    ("another transfer coding", "POST /containers/x/stop HTTP/1.1\r\n" + HOST +
     "Transfer-Encoding: gzip\r\n\r\n", (501, True)),
    ("a length beyond 64 bits", "POST /containers/x/stop HTTP/1.1\r\n" + HOST +
     "Content-Length: 99999999999999999999\r\n\r\n", (400, True)),
    ("a huge length", "POST /containers/create HTTP/1.1\r\n" + HOST +
     "Content-Length: 9999999999999\r\n\r\n{", (413, True)),
    ("a wrong chunk", "POST /containers/create HTTP/1.1\r\n" + HOST +
     "Transfer-Encoding: chunked\r\n\r\nxyz\r\n", (400, True)),
    ("a long target", "GET /" + "a" * 20000 + " HTTP/1.1\r\n" + HOST + "\r\n", (414, True)),
    ("a long head", "GET /_ping HTTP/1.1\r\n" + HOST + "A: " + "b" * 70000 + "\r\n\r\n",
     (431, True)),
    ("many fields", "GET /_ping HTTP/1.1\r\n" + HOST + "A: b\r\n" * 20000 + "\r\n", (431, True)),
    ("HTTP/1.0", "GET /_ping HTTP/1.0\r\n\r\n", (200, True)),
]:
    is_(one(data), want, "%s: %d" % (name, want[0]))

# ---- JSON

create = "POST /containers/create HTTP/1.1\r\n" + HOST + \
    "Connection: close\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
for name, body in [("deep", "[" * 100000), ("deep in fields", '{"a":' * 50000),
                   ("cut off", '{"Image":"x"'), ("two documents", "{}{}"), ("a number", "1"),
                   ("a list", "[]"), ("wrong types", '{"Image":1}'),
                   ("rubbish", "\x01\x02"), ("bad UTF-8", '{"Image":"\udcff"}'),
                   ("an open string", '"' + "a" * 100000), ("nothing", " " * 1000)]:
    data = body.encode(errors="surrogateescape")
    status = one((create % (len(data), "")).encode() + data)[0]
    is_(status, 400, "JSON: %s" % name)
body = '{"Image":"x","Labels":{%s}}' % ",".join('"%d":"%s"' % (i, "x" * 20) for i in range(90000))
check(one(create % (len(body), body))[0] in (400, 404), "JSON: very many labels")

# ---- order, half-close, byte by byte

with Wire(d) as w:
    w.send(("GET /_ping HTTP/1.1\r\n" + HOST + "\r\n") * 200 + "GET /version HTTP/1.1\r\n" + HOST +
           "\r\nGET /nothing HTTP/1.1\r\n" + HOST + "\r\n")
    w.half_close()
    got = [w.answer()[0] for _ in range(202)]
    is_(got, [200] * 201 + [404], "202 pipelined requests are answered in order")
    check(w.is_closed(), "a half-closed connection ends after the last answer")

with Wire(d) as w:
    for c in "GET /_ping HTTP/1.1\r\n" + HOST + "\r\n":
        w.send(c)
        time.sleep(0.001)
    is_(w.answer()[2], b"OK", "a request that comes byte by byte")

with Wire(d) as w:
    w.ask("POST", "/containers/create", b"", Expect="100-continue", Content_Length="2")
    is_(w.head()[0], 100, "Expect gets a go-ahead")
    w.send("{}")
    is_(w.answer()[0], 400, "then the answer")

with Wire(d) as w:
    # Answers nobody reads must not pile up in isolad.
    w.sock.setblocking(False)
    request = ("GET /openapi.json HTTP/1.1\r\n" + HOST + "\r\n").encode() * 100
    before, sent = rss_kib(), 0
    for _ in range(200):
        try:
            sent += w.sock.send(request)
        except BlockingIOError:
            time.sleep(0.005)
    check(rss_kib() - before < 4096, "unread answers stop the reading of requests",
          "%d KiB more" % (rss_kib() - before))

# ---- many connections

before = fds()
many = [Wire(d) for _ in range(1000)]
wait_for(5, lambda: fds() >= before + 1000)
grown = rss_kib()
check(d.ping(), "with 1000 idle connections isolad answers")
more = []
try:
    for _ in range(100):
        more.append(Wire(d, 5))
    time.sleep(0.2)
    statuses = set()
    for w in more:
        w.sock.settimeout(0.2)
        try:
            statuses.add(w.head()[0])
        except (socket.timeout, TimeoutError):
            statuses.add(0)
        except EOFError:
            statuses.add(-1)
    check(503 in statuses, "beyond 1024 connections there is 503", statuses)
finally:
    for w in many + more:
        w.close()
check(wait_for(5, lambda: fds() <= before), "all descriptors are free again",
      "%d, before %d" % (fds(), before))

# ---- slow clients

t0 = time.monotonic()           # isolad's own clock begins later, by what a busy host takes
with Wire(d, 30) as slow, Wire(d, 30) as idle:
    slow.send("GET /_ping HTTP/1.1\r\nX-")
    while time.monotonic() - t0 < 10 + 15 * SCALE:
        try:
            slow.send("a")         # dripping does not help
        except (BrokenPipeError, ConnectionResetError):
            break
        time.sleep(0.5)
    took = time.monotonic() - t0
    check(9.9 < took < 10 + 10 * SCALE, "a head must arrive within 10 s", "%.1f s" % took)
    is_(slow.answer()[0], 408, "and is told so")
    idle.ask("GET", "/_ping")
    is_(idle.answer()[0], 200, "an idle connection may stay")

check(d.ping(), "isolad lives")
leak_check()
stop_isolad()
finish()
