# SPDX-License-Identifier: Apache-2.0
#
# A small registry that takes uploads, on a good or a bad day: what the file MODE says.
# uploads.py PORT MODE-FILE LOG-FILE
import base64
import hashlib
import http.server
import json
import re
import sys
import threading
import time
import urllib.parse

PORT = int(sys.argv[1])
BLOBS, MANIFESTS, UPLOADS, SEEN, HURT = {}, {}, {}, {}, {}
LOCK = threading.Lock()
RANGED = ("cut", "stall", "crawl")       # modes that know how far an upload came


def mode():
    with open(sys.argv[2]) as f:
        return f.read().strip()


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True      # else each answer waits for a delayed ACK

    def log_message(self, *a):
        pass

    def answer(self, status, body=b"", **fields):
        self.send_response(status)
        for k, v in fields.items():
            self.send_header(k.replace("_", "-"), v)
        if "Content_Length" not in fields:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status, code, message):
        self.close_connection = True
        self.answer(status, json.dumps({"errors": [{"code": code, "message": message}]}).encode(),
                    Content_Type="application/json")

    def hang_up(self):
        self.close_connection = True
        self.connection.shutdown(2)

    def hurts(self, times):
        """Is this one of the first requests that the mode is about?"""
        with LOCK:
            HURT[self.mode] = HURT.get(self.mode, 0) + 1
            return HURT[self.mode] <= times

    def token(self, query):
        good = self.headers.get("Authorization") == "Basic " + \
            base64.b64encode(b"jo:secret").decode()
        form = {}
        if self.command == "POST":
            form = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"]))
                                         .decode())
            good = form.get("refresh_token") == ["keep-me"]
            with open(sys.argv[3], "a") as log:
                log.write(json.dumps(["form", "", form]) + "\n")
        scopes = query.get("scope", []) or " ".join(form.get("scope", [])).split()
        if not good or (self.mode == "token-narrow" and len(scopes) > 1):
            return self.refuse(401, "UNAUTHORIZED", "no")
        text = base64.urlsafe_b64encode(" ".join(["test"] + scopes).encode()).decode()
        answer = {"token": text}
        if "offline_token" in query:
            answer["refresh_token"] = "keep-me"
        self.answer(200, json.dumps(answer).encode())

    def allowed(self, repo, query):
        """What the token of the request is good for, in the modes with tokens."""
        kind, _, text = self.headers.get("Authorization", "").partition(" ")
        scopes = base64.urlsafe_b64decode(text).decode().split() if kind == "Bearer" else None
        action = "pull" if self.command in ("GET", "HEAD") else "pull,push"
        if not repo:
            return scopes is not None
        if scopes is None or not any(s.startswith("repository:%s:" % repo) and
                                     action in s for s in scopes):
            return False
        source = query.get("from", [None])[0]
        return not source or "repository:%s:pull" % source in scopes

    def do_GET(self):
        url = urllib.parse.urlparse(self.path)
        query = urllib.parse.parse_qs(url.query)
        self.mode = mode()
        with open(sys.argv[3], "a") as log:
            log.write(json.dumps([self.command, self.path, dict(self.headers)]) + "\n")
        with LOCK:
            key = (self.mode, self.command, url.path)
            n = SEEN.get(key, 0)
            SEEN[key] = n + 1
        if url.path == "/token":
            return self.token(query)
        m = re.match(r"/v2/(?:(.+)/(blobs/uploads|blobs|manifests)/(.*))?$", url.path)
        if not m:
            return self.refuse(404, "UNSUPPORTED", "no such route")
        repo, kind, name = m.groups()
        if self.mode == "html":
            return self.answer(200, b"<html>Welcome</html>", Content_Type="text/html")
        if self.mode.startswith("token") and not self.allowed(repo, query):
            scope = ',scope="repository:%s:%s"' % (
                repo, "pull" if self.command in ("GET", "HEAD") else "pull,push") if repo else ""
            return self.answer(401, b"{}", WWW_Authenticate='Bearer realm="http://127.0.0.1:%d/'
                               'token",service="test"%s' % (PORT, scope),
                               **({"Connection": "close"}))
        if not repo:
            return self.answer(200, b"{}")
        if kind == "blobs/uploads":
            return self.upload(repo, name, query, n)
        if kind == "manifests" and self.command == "PUT":
            return self.put_manifest(repo, name, n)
        data = BLOBS.get((repo, name)) if kind == "blobs" else \
            MANIFESTS.get((repo, name), (None, None))[1]
        if data is None:
            return self.refuse(404, "BLOB_UNKNOWN", "blob unknown to registry")
        media = MANIFESTS[(repo, name)][0] if kind == "manifests" else "application/octet-stream"
        self.answer(200, data, Docker_Content_Digest=digest(data), Content_Type=media,
                    Content_Length=str(len(data)))

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def put_manifest(self, repo, name, n):
        data = self.rfile.read(int(self.headers["Content-Length"]))
        if self.mode == "busy" and n < 2:
            return self.answer(503, b"busy")
        m = json.loads(data)
        for d in [m["config"], *m["layers"]]:
            if (repo, d["digest"]) not in BLOBS or len(BLOBS[(repo, d["digest"])]) != d["size"]:
                return self.refuse(400, "MANIFEST_BLOB_UNKNOWN", "blob unknown: " + d["digest"])
        for key in (name, digest(data)):
            MANIFESTS[(repo, key)] = (self.headers["Content-Type"], data)
        said = "sha256:" + 64 * "0" if self.mode == "liar" else digest(data)
        self.answer(201, Docker_Content_Digest=said, Location="/v2/%s/manifests/x" % repo)

    def take(self, upload, limit=None):
        """Reads the body into the upload, at most @limit bytes of it."""
        left = int(self.headers.get("Content-Length", 0))
        if self.headers.get("Content-Range"):
            if int(self.headers["Content-Range"].split("-")[0]) != len(upload["data"]):
                self.refuse(416, "BLOB_UPLOAD_INVALID", "wrong offset")
                return False
        while left and (limit is None or limit > 0):
            piece = self.rfile.read(min(left, 65536, limit or 65536))
            if not piece:
                return False
            upload["data"] += piece
            left -= len(piece)
            limit = limit and limit - len(piece)
            while self.mode == "hold" and mode() == "hold":     # takes no more until it may
                time.sleep(0.1)
        return True

    def upload(self, repo, name, query, n):
        if self.mode == "denied":
            return self.refuse(403, "DENIED", "requested access to the resource is denied")
        if self.mode == "readonly":
            return self.refuse(405, "UNSUPPORTED", "The operation is unsupported.")
        if self.command == "POST":
            if self.mode == "busy" and n < 2:
                return self.answer(503, b"busy", Retry_After="1")
            source, wanted = query.get("from", [""])[0], query.get("mount", [""])[0]
            if (source, wanted) in BLOBS:
                BLOBS[(repo, wanted)] = BLOBS[(source, wanted)]
                return self.answer(201, Location="/v2/%s/blobs/%s" % (repo, wanted))
            name = "u%d" % len(UPLOADS)
            UPLOADS[name] = {"data": b""}
            host = "http://localhost:%d" % PORT if self.mode == "away" else ""
            return self.answer(202, Location="%s/v2/%s/blobs/uploads/%s?state=x" %
                               (host, repo, name), Range="0-0")
        upload = UPLOADS.get(name)
        if upload is None:
            return self.refuse(404, "BLOB_UPLOAD_UNKNOWN", "upload unknown")
        if self.command == "GET":
            if self.mode not in RANGED:
                return self.refuse(404, "BLOB_UPLOAD_UNKNOWN", "upload unknown")
            return self.answer(204, Range="0-%d" % max(0, len(upload["data"]) - 1),
                               Location="/v2/%s/blobs/uploads/%s?state=y" % (repo, name))
        size = int(self.headers.get("Content-Length", 0))
        if self.mode == "quota":
            self.take(upload)
            return self.refuse(413, "DENIED", "the quota of the project is exceeded")
        if self.mode in ("cut", "forget", "stall") and size > 1000 and self.hurts(2):
            self.take(upload, size // 2)
            if self.mode == "stall":
                time.sleep(4)
            return self.hang_up()
        if self.mode == "crawl" and size > 60000:      # a third of what is left, then cut
            self.take(upload, size // 3)
            return self.hang_up()
        if self.mode == "busy" and self.hurts(3):
            self.take(upload)
            return self.answer(500, b"{}")
        if not self.take(upload):
            return
        if self.command == "PATCH":
            return self.answer(202, Location="/v2/%s/blobs/uploads/%s?state=z" % (repo, name),
                               Range="0-%d" % (len(upload["data"]) - 1))
        wanted = query["digest"][0]
        del UPLOADS[name]
        UPLOADS["gone%d" % len(UPLOADS)] = None
        if digest(upload["data"]) != wanted or self.mode == "corrupt":
            return self.refuse(400, "DIGEST_INVALID", "provided digest did not match")
        BLOBS[(repo, wanted)] = upload["data"]
        if self.mode == "lost" and size > 1000 and self.hurts(1):
            return self.hang_up()
        self.answer(201, Docker_Content_Digest=wanted, Location="/v2/%s/blobs/%s" % (repo, wanted))


http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
