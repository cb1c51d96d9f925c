# SPDX-License-Identifier: Apache-2.0
# time limit: 600 s
# Guests that never rest, while their keeper pauses, resumes, asks and ends them; a
# keeper that sends junk, reads nothing or goes away (include/isola/vmm.h).
import os
import sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from keeperside import *

RESTLESS = ["never_yields", "never_wakes", "always_exits", "always_kicks", "always_prints",
            "always_works"]
CASES = {}


def running(name, **kw):
    """A worker whose guest has begun to do what it does for ever."""
    case = CASES[name]
    w = Worker("cpu", name, [d for d in case.devices if d in Machine.have and d != "fs"],
               case.options).start(**kw)
    hello = w.event("hello")
    if not check(hello and hello["kernel"] == "elf", name + ": built", repr(w.errors[-500:])):
        return w
    check(w.good("run"), name + ": runs")
    if not kw:
        wait_for(20, lambda: b"spinning\n" in w.output or w.process.poll() is not None)
    return w


def works_on(w):
    """Whether the guest makes more exits than up to now."""
    a = w.exits()

    def more():
        w.pump(0.1)
        return w.exits() > a
    return wait_for(20, more)


def rests(name, neighbour):
    w = running(name)
    for i in range(5):
        t0 = time.monotonic()
        if not check(w.good("pause"), "%s: pauses" % name):
            break
        before = w.exits()
        time.sleep(0.1)
        is_(w.exits(), before, "%s: no exit while paused" % name)
        refused = w.ask("pause")
        check(refused and refused.get("code"), "%s: a second pause is refused" % name, refused)
        check(w.good("resume"), "%s: goes on" % name)
        w.pump(0.05)
    if name.startswith("always"):
        check(works_on(w), "%s: works on after it" % name)
    check(w.good("quit"), "%s: told to end" % name)
    w.finish("%s: ended by quit, all else untouched" % name, neighbour, codes=[143])


def ends_paused(name, neighbour):
    w = running(name)
    check(w.good("pause"), "%s: pauses" % name)
    check(w.good("quit"), "%s: told to end while paused" % name)
    w.finish("%s: ended while paused" % name, neighbour, codes=[143])


def keeper_vanishes(name, neighbour, paused):
    w = running(name)
    if paused:
        check(w.good("pause"), "%s: pauses" % name)
    w.sock.shutdown(socket.SHUT_RDWR)
    check(w.ended(20), "%s: ends when its keeper goes%s" % (name, " (paused)" if paused else ""))
    wrong = w.clean()
    check(not wrong and not neighbour.check(), "%s: nothing is left" % name, wrong)


def output_blocked(neighbour):
    """Nobody reads the serial port: pause and quit are answered all the same."""
    r, wr = os.pipe()
    w = running("always_prints", stdout=wr)
    os.close(wr)
    time.sleep(0.5)
    check(w.good("pause"), "blocked output: pauses")
    check(w.good("resume"), "blocked output: goes on")
    check(w.good("quit"), "blocked output: told to end")
    w.finish("blocked output: ended by quit", neighbour, codes=[143])
    os.close(r)


def storm_of_requests(neighbour):
    """Pauses, resumes and updates as fast as they are answered."""
    w = running("always_works")
    good = 0
    for i in range(40):
        good += w.good("pause") and w.good("resume")
        w.ask("balloon", size=(i % 3) << 20)
        w.ask("console", id="hvc0", rows=i, columns=i)
    is_(good, 40, "40 pauses amid I/O")
    check(works_on(w), "and the guest still works")
    w.good("quit")
    w.finish("pauses amid I/O: ended by quit", neighbour, codes=[143])


JUNK = [
    {"op": "jump", "seq": 1}, {"op": 7, "seq": 2}, {"op": None, "seq": 3}, {"seq": 4},
    {"op": "stats", "seq": -1}, {"op": "stats", "seq": "x"}, {"op": "stats", "seq": 1e300},
    {"op": "stats"}, {"op": "stats", "seq": 5, "more": 1}, {}, {"answer": 99},
    {"answer": -1}, {"answer": 1, "code": 99999999}, {"answer": "x"}, {"answer": {}},
    {"op": "balloon", "seq": 6, "size": -1}, {"op": "balloon", "seq": 7, "size": 1 << 62},
    {"op": "balloon", "seq": 8, "size": "all"}, {"op": "balloon", "seq": 9},
    {"op": "balloon", "seq": 10, "size": 1 << 63},
    {"op": "disk", "seq": 11}, {"op": "disk", "seq": 12, "id": "nobody"},
    {"op": "disk", "seq": 13, "id": "rw", "rate": {"bandwidth": {"size": -1, "refill_ms": 0}}},
    {"op": "disk", "seq": 14, "id": "rw", "rate": {"ops": {"size": 0, "refill_ms": 1}}},
    {"op": "disk", "seq": 15, "id": "rw", "rate": []}, {"op": "disk", "seq": 16, "id": 5},
    {"op": "disk", "seq": 17, "id": "rw", "resize": "yes"},
    {"op": "net", "seq": 18, "id": "x" * 5000}, {"op": "net", "seq": 19, "id": "net0"},
    {"op": "net", "seq": 20, "id": "net0", "rate_rx": {"ops": {"size": 1 << 63}}},
    {"op": "console", "seq": 21, "id": "hvc0", "rows": -1, "columns": 1 << 40},
    {"op": "console", "seq": 22, "id": "hvc0"}, {"op": "console", "seq": 23, "id": "rw"},
    {"op": "pin", "seq": 24, "vcpu": 0, "cpus": []}, {"op": "pin", "seq": 25, "vcpu": 99,
                                                     "cpus": [0]},
    {"op": "pin", "seq": 26, "vcpu": 0, "cpus": [1 << 40]},
    {"op": "pin", "seq": 27, "vcpu": 0, "cpus": [-1]}, {"op": "pin", "seq": 28},
    {"op": "pin", "seq": 29, "vcpu": 0, "cpus": ["a"]}, {"op": "run", "seq": 30},
    {"op": "resume", "seq": 31}, {"op": "quit ", "seq": 32}, {"op": "answer", "seq": 33},
]


def junk(neighbour):
    w = running("always_works")
    w.seq = 1000
    null = os.open("/dev/null", os.O_RDONLY)
    for msg in JUNK:
        w.raw(msg, [null, null])
        if not check(w.exits() is not None, "lives on after %s" % json.dumps(msg)[:90],
                     w.errors[-500:]):
            break
    os.close(null)
    good = [a for a in w.answers.values() if a.get("ok")]
    allowed = {19, 22}       # nothing asked for, nothing done
    check(all(a["seq"] in allowed for a in good), "none of it was carried out", good)
    fds = len(os.listdir("/proc/%d/fd" % w.process.pid))
    for i in range(50):
        w.raw({"op": "jump", "seq": 5000 + i}, [w.sock.fileno()] * 4)
    w.exits()
    is_(len(os.listdir("/proc/%d/fd" % w.process.pid)), fds, "no descriptor stays")
    w.good("quit")
    w.finish("junk: ended by quit", neighbour, codes=[143])


def broken_frames(neighbour):
    """What is no message ends the worker, which says so."""
    for frame in (b"\0", b"{", b"[" * 5000, b"{\"op\":" * 3000, b"\xff" * 100, b"null", b"[]",
                  b"{}{}", b"x" * (100 << 10)):
        w = running("never_wakes")
        w.raw(frame)
        w.finish("frame %r: told as the end" % frame[:12], neighbour, ("protocol-error",), [140])


def reads_nothing(neighbour):
    """3000 requests and no answer read; then the end must still be told."""
    w = running("never_yields")
    w.sock.settimeout(0.5)
    sent = 0
    try:
        for i in range(3000):
            w.raw({"op": "stats", "seq": 100 + i})
            sent += 1
    except OSError:
        pass
    rss = int(re.search(rb"VmRSS:\s*(\d+)", contents("/proc/%d/status" % w.process.pid))[1])
    check(rss < 400 << 10, "the worker does not pile answers up (%d KiB, %d sent)" % (rss, sent))
    w.sock.settimeout(20 * SCALE)
    t = threading.Thread(target=lambda: [w.receive() for _ in range(sent)], daemon=True)
    t.start()
    t.join(3)
    w.process.terminate()
    t.join(20)
    w.finish("reads nothing: the end is told all the same", neighbour, codes=[143])


def answers_nothing(neighbour):
    """A guest asks for connections without end, and its keeper never answers."""
    for case in cases_of("vsock"):
        if case.name not in ("vsock_port_flood", "vsock_refused_flood", "vsock_reset_connecting"):
            continue
        w = Worker("vsock", case.name, ["vsock"], case.options)
        w.replies = False
        w.start()
        w.event("hello")
        w.good("run")

        def asks_first():
            w.pump(0.1)
            return w.asked or w.closed
        wait_for(20, asks_first)
        w.pump(1.5)
        lives = w.exits() is not None
        ended = [e for e in w.events if e["event"] == "exit" and e["reason"] == "debug-exit"]
        check(lives or ended, "%s: the worker answers, or the guest is done" % case.name, w.events)
        check(0 < w.asked <= 4096, "%s: %d questions" % (case.name, w.asked))
        fds = len(os.listdir("/proc/%d/fd" % w.process.pid))
        check(fds < 200, "%s: %d descriptors" % (case.name, fds))
        w.good("quit")
        w.finish("%s: ended with questions open" % case.name, neighbour, ("quit", "debug-exit"))


def before_run(neighbour):
    w = Worker("smoke", "hello").start()
    w.event("hello")
    for op in ("pause", "resume", "powerdown", "nmi"):
        answer = w.ask(op)
        check(answer and answer.get("code"), "%s before run is refused" % op, answer)
    check(w.good("quit"), "quit before run")
    w.finish("ended before it ran", neighbour, codes=[143])
    w = Worker("smoke", "hello").start()
    w.event("hello")
    check(w.good("run"), "run")
    w.finish("a guest that ends by itself: debug-exit", neighbour, ["debug-exit"], [80])


def nmi(neighbour):
    w = running("never_wakes")
    check(w.good("powerdown"), "power button of a guest that sleeps")
    check(w.good("nmi"), "an NMI is accepted")
    w.finish("and ends a guest that does not expect it", neighbour, ["debug-exit"], [82])


def bad_files(neighbour):
    """The worker says why it does not start, and ends with 125."""
    def broken(what, change):
        w = Worker("smoke", "hello")
        change(w.doc)
        w.start()
        w.finish("start: %s" % what, neighbour, ["start-error"], [125])
    broken("no kernel image", lambda d: d["boot"].update(kernel={"path": "/dev/null"}))
    broken("an unknown key", lambda d: d.update(more=1))
    broken("no memory", lambda d: d.pop("memory"))
    broken("too little memory", lambda d: d["memory"].update(size=1 << 20))
    broken("a disk that is a pipe", lambda d: d.update(
        disks=[{"id": "a", "source": {"path": "/dev/null"}}]))


def main():
    need_kvm()
    Machine.have = known_devices()
    CASES.update((c.name, c) for c in cases_of("cpu"))
    neighbour = Neighbour()
    if not check(neighbour.good, "a neighbour runs", neighbour.tail()):
        finish()
    for name in RESTLESS:
        rests(name, neighbour)
    for name in ("never_wakes", "always_works"):
        ends_paused(name, neighbour)
    for name in RESTLESS:
        keeper_vanishes(name, neighbour, False)
    keeper_vanishes("always_works", neighbour, True)
    output_blocked(neighbour)
    storm_of_requests(neighbour)
    junk(neighbour)
    broken_frames(neighbour)
    reads_nothing(neighbour)
    answers_nothing(neighbour)
    before_run(neighbour)
    nmi(neighbour)
    bad_files(neighbour)
    neighbour.end()
    finish()


main()
