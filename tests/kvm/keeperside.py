# SPDX-License-Identifier: Apache-2.0
"""Plays the keeper of an isola-vmm (include/isola/vmm.h): a socket at descriptor 3,
the machine file at 4, what it names above."""
import array
import contextlib
import fcntl
import select
from kvmlib import *

FIRST_FD = 20        # ours, when they are handed over; below are the worker's fixed ones


class Worker(Machine):
    """A Machine that is run by a keeper instead of by hand."""

    def __init__(self, *args, **kw):
        super().__init__(*args, **kw)
        self.seq, self.events, self.answers = 0, [], {}
        self.closed = False
        self.asked, self.replies = 0, True

    def handed(self, value):
        """Paths become descriptors, all the way down."""
        if isinstance(value, list):
            return [self.handed(v) for v in value]
        if not isinstance(value, dict):
            return value
        if set(value) == {"path"}:
            path = value["path"]
            fd = os.open(path, os.O_RDONLY if "ro.img" in path or "pmem" in path or ".elf" in path
                         else os.O_RDWR)
            return {"fd": self.move(fd)}
        if set(value) == {"fd"}:
            return {"fd": self.move(os.dup(value["fd"]))}
        return {k: self.handed(v) for k, v in value.items()}

    def move(self, fd):
        high = fcntl.fcntl(fd, fcntl.F_DUPFD, FIRST_FD + len(self.handed_fds))
        os.close(fd)
        self.handed_fds.append(high)
        return high

    def start(self, stdout=None):
        self.handed_fds = []
        doc = dict(self.doc)
        if "vsock" in doc and doc["vsock"]:
            server = socket.socket(socket.AF_UNIX)
            server.bind(self.path("w"))
            server.listen(8)
            doc["vsock"] = {"cid": 5, "listen": {"fd": self.move(server.detach())},
                            "connect": "keeper"}
        doc = self.handed({**doc, "kvm": {"path": "/dev/kvm"}})
        self.sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for s in (self.sock, theirs):
            for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                s.setsockopt(socket.SOL_SOCKET, option, 1 << 20)
        self.sock.settimeout(20 * SCALE)
        file = os.memfd_create("machine")
        os.write(file, json.dumps(doc).encode())
        control, file = self.move(theirs.detach()), self.move(file)
        env = {k: v for k, v in os.environ.items() if not k.endswith("SAN_OPTIONS")}
        env["ASAN_OPTIONS"] = "detect_leaks=0"
        env["UBSAN_OPTIONS"] = "print_stacktrace=1:halt_on_error=1"
        self.process = subprocess.Popen(
            ["/bin/bash", "-c", "exec \"$0\" --keeper 3<&%d 4<&%d" % (control, file), PROGRAM],
            stdin=subprocess.DEVNULL, stdout=stdout or subprocess.PIPE, stderr=subprocess.PIPE,
            pass_fds=self.handed_fds, env=env, start_new_session=True)
        for fd in self.handed_fds:
            os.close(fd)
        streams = [(self.process.stderr, "errors")]
        if not stdout:
            streams.append((self.process.stdout, "output"))
        self.readers = [threading.Thread(target=self.read, args=a, daemon=True) for a in streams]
        for r in self.readers:
            r.start()
        return self

    def receive(self):
        """The next message sorted in; False at the end or after too long."""
        try:
            data = self.sock.recv(1 << 18)
        except OSError as e:
            self.closed = not isinstance(e, socket.timeout)
            return False
        if not data:
            self.closed = True
            return False
        msg = json.loads(data)
        if "event" in msg:
            self.events.append(msg)
        elif "ask" in msg:
            self.asked += 1
            if self.replies:         # nobody is there; and it may be gone itself by now
                with contextlib.suppress(OSError):
                    self.raw({"answer": msg["seq"], "code": 111, "error": "refused"})
        else:
            self.answers[msg["seq"]] = msg
        return True

    def pump(self, seconds):
        """Lives for a while, answering what the worker asks."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if select.select([self.sock], [], [], left)[0] and not self.receive():
                return

    def event(self, name):
        """Waits for it; None if it does not come."""
        while True:
            for e in self.events:
                if e["event"] == name:
                    return e
            if not self.receive():
                return None

    def raw(self, data, fds=()):
        anc = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.sock.sendmsg([data if isinstance(data, bytes) else json.dumps(data).encode()], anc)

    def ask(self, op, **members):
        """Sends a request and waits for its answer; None: there was none."""
        self.seq += 1
        try:
            self.raw({"op": op, "seq": self.seq, **members})
        except OSError:
            return None
        while self.seq not in self.answers:
            if not self.receive():
                return None
        return self.answers.pop(self.seq)

    def good(self, op, **members):
        answer = self.ask(op, **members)
        return bool(answer) and answer.get("ok") is True

    def exits(self):
        answer = self.ask("stats")
        return sum(v["exits"] for v in answer["vcpus"]) if answer else None

    def clean(self):
        self.sock.close()
        if os.path.exists(self.path("w")):
            os.unlink(self.path("w"))
        return self.close()

    def finish(self, name, neighbour, reasons=("quit",), codes=None):
        """The exit event, the process's end, and nothing left."""
        e = self.event("exit")
        in_time = self.ended()
        wrong = [] if (e and e["reason"]) in reasons else ["said %s, not %s" % (e, reasons)]
        if not in_time:
            wrong.append("still running\n" + self.hang)
        elif self.process.returncode < 0:
            wrong.append("killed by signal %d" % -self.process.returncode)
        elif codes and self.process.returncode not in codes:
            wrong.append("exit status %d" % self.process.returncode)
        if s := SAN.search(self.errors.decode(errors="replace")):
            wrong.append(self.errors[s.start():].decode(errors="replace")[:3000])
        wrong += self.clean()
        wrong += filter(None, [neighbour.check()])
        return check(not wrong, name, "\n".join(map(str, wrong)) + "\n" +
                     self.errors[-500:].decode(errors="replace"))
