# SPDX-License-Identifier: Apache-2.0
#
# A registry's bad day: stands before a registry on loopback and does what the file MODE
# says. proxy.py PORT UPSTREAM-PORT MODE-FILE LOG-FILE
import base64
import http.client
import http.server
import json
import sys
import time

PORT, UPSTREAM = int(sys.argv[1]), int(sys.argv[2])
SEEN = {}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True      # else each answer waits for a delayed ACK

    def log_message(self, *a):
        pass

    def answer(self, status, body=b"", **fields):
        self.send_response(status)
        for k, v in fields.items():
            self.send_header(k.replace("_", "-"), v)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self):
        mode = open(sys.argv[3]).read().strip()
        with open(sys.argv[4], "a") as log:
            log.write(json.dumps([self.command, self.path, dict(self.headers), time.monotonic()]) + "\n")
        auth = self.headers.get("Authorization", "")
        blob, n = "/blobs/" in self.path, SEEN.get((mode, self.path), 0)
        SEEN[(mode, self.path)] = n + 1
        if self.path.startswith("/token"):
            good = auth == "Basic " + base64.b64encode(b"jo:secret").decode()
            return self.answer(200 if good else 401, b'{"token":"t0ken"}' if good else b"{}")
        if mode.startswith("token") and auth != "Bearer t0ken" and \
                not self.headers["Host"].startswith("localhost"):
            return self.answer(401, b"{}", WWW_Authenticate='Bearer realm="http://127.0.0.1:%d/'
                               'token",service="test",scope="repository:t/app:pull"' % PORT)
        if mode == "token-away" and blob and self.headers["Host"].startswith("127."):
            return self.answer(307, Location="http://localhost:%d%s" % (PORT, self.path))
        if mode == "html" and not blob:
            return self.answer(200, b"<html>Welcome</html>", Content_Type="text/html")
        if mode == "busy" and n < 2:
            return self.answer(503, b"busy", **({} if n or blob else {"Retry_After": "1"}))
        if mode == "redirect" and blob and "Host" in self.headers and \
                self.headers["Host"].startswith("127."):
            return self.answer(307, Location="http://localhost:%d%s" % (PORT, self.path))
        if mode == "round" and blob:
            return self.answer(307, Location=self.path)
        up = http.client.HTTPConnection("127.0.0.1", UPSTREAM)
        up.request(self.command, self.path, headers={
            k: v for k, v in self.headers.items() if k in ("Accept", "Range")})
        r = up.getresponse()
        body = r.read()
        if mode == "corrupt" and blob and len(body) > 1000:
            body = body[:500] + bytes([body[500] ^ 1]) + body[501:]
        if mode == "short" and blob and len(body) > 1000:
            body = body[:-100]
        if mode == "long" and blob and len(body) > 1000:
            body += b"x" * 100
        if mode == "endless" and blob:
            self.send_response(404)
            self.end_headers()
            self.close_connection = True
            try:
                while open(sys.argv[3]).read().strip() == mode:
                    self.wfile.write(b"no such blob" * 1000)
            except OSError:
                return
        # "hang": all large blobs; "hang sha256:...": this one
        if blob and len(body) > 1000 and (mode == "hang" or mode == "hang " + self.path[-71:]):
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[:len(body) // 2])
            self.wfile.flush()
            while open(sys.argv[3]).read().strip() == mode:
                time.sleep(0.1)
            self.close_connection = True
            return self.connection.shutdown(2)
        if mode == "stall" and blob and n == 0:
            time.sleep(4)
        self.send_response(r.status)
        for k, v in r.getheaders():
            if k in ("Content-Type", "Docker-Content-Digest", "Content-Range"):
                self.send_header(k, v)
        self.send_header("Content-Length", r.getheader("Content-Length")
                         if self.command == "HEAD" else str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if mode == "cut" and blob and len(body) > 1000 and n < 2:
            self.wfile.write(body[:len(body) // 2])
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(2)
            return
        self.wfile.write(body)

    do_HEAD = do_GET


http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
