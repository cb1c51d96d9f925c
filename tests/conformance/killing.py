# SPDX-License-Identifier: Apache-2.0
"""isolad is killed at random moments while it works on instances of the walls given: what runs
goes on, and what inspect, logs and events tell afterwards is what happened."""
import random
import threading
from conformance import *

KEEP = 2                # of each wall, which nothing may end
KILL_SHARE = 0.15       # of the operations
KILL_WITHIN_S = 0.6
COUNT = "cat /proc/sys/kernel/random/uuid >>/starts; n=0; " \
    "while :; do n=$((n + 1)); echo $n >/n; sleep 0.2; done"


def seed(usual):
    """The one asked for, or @usual: what a run does follows from it but for times."""
    return int(os.environ.get("ISOLA_SEED") or usual)


class Killing:
    def __init__(self, d, walls, flags, seed):
        self.d, self.walls, self.flags = d, walls, flags
        self.random = random.Random(seed)
        self.seed = seed
        self.kept, self.began = {}, {}
        self.paused = set()
        self.kills = self.hit = 0
        self.number = 0

    # ---- what is there all the time

    def look(self, name):
        status, _, doc = self.d.request("GET", "/containers/%s/json" % name)
        return doc if status == 200 else None

    def prepare(self):
        for wall in self.walls:
            for i in range(KEEP):
                name = "keep-%s-%d" % (wall[0], i)
                r = self.d.ctr("run", "-d", "--name", name, "--isolation", wall, "--network",
                               "none", "conf", "sh", "-c", COUNT, limit_s=CASE_S)
                if r.rc:
                    not_ok("%s starts" % name, r)
                    finish()
                self.kept[name] = self.identity(name)

    def identity(self, name):
        doc = self.look(name) or {}
        state = doc.get("State", {})
        return (doc.get("Id"), state.get("Pid"), state.get("StartedAt"), state.get("Running"),
                doc.get("RestartCount"))

    # ---- operations: each says what was wrong; when isolad was hit, an error is no fault

    def keeper(self):
        name = self.random.choice(sorted(self.kept))
        return name

    def op_exec(self):
        name, code = self.keeper(), self.random.randrange(1, 100)
        r = self.d.ctr("exec", name, "sh", "-c", "echo out; exit %d" % code, limit_s=CASE_S)
        return [] if (r.rc, r.out) == (code, "out\n") else ["exec in %s: %r" % (name, r)]

    def op_copy(self):
        name = self.keeper()
        r = self.d.ctr("cp", name + ":/text", T + "/copied", limit_s=CASE_S)
        return [] if r.rc == 0 else ["cp of %s: %r" % (name, r)]

    def op_pause(self):
        name = self.keeper()
        bad = []
        for verb in ("pause", "unpause"):
            r = self.d.ctr(verb, name, limit_s=CASE_S)
            bad += ["%s %s: %r" % (verb, name, r)] if r.rc else []
        self.paused.add(name)
        return bad

    def op_look(self):
        name = self.keeper()
        r = self.d.ctr("inspect", "-f", "{{.State.Status}}", name)
        return [] if r.out == "running\n" else ["inspect of %s: %r" % (name, r)]

    def op_run(self):
        """One that ends: its code and its log are right whatever hit isolad meanwhile."""
        wall, code = self.random.choice(self.walls), self.random.randrange(100)
        self.number += 1
        name = "run-%d" % self.number
        r = self.d.ctr("run", "--name", name, "--isolation", wall, "--network", "none", "conf",
                       "sh", "-c", "echo %s; exit %d" % (name, code), limit_s=CASE_S)
        self.began[name] = (wall, code)
        return [] if (r.rc, r.out) == (code, name + "\n") else ["run behind %s: %r" % (wall, r)]

    OPS = [(op_exec, 40), (op_look, 20), (op_copy, 15), (op_pause, 10), (op_run, 15)]

    # ---- the truth afterwards

    def over(self, name):
        """A short one that began: never started, or ended."""
        state = (self.look(name) or {"State": {"Status": "gone"}})["State"]
        return state["Status"] in ("gone", "created", "exited")

    def judge_run(self, name):
        wall, code = self.began.pop(name)
        wait_for(UNTIL_S, self.over, name)
        doc = self.look(name)
        bad = []
        if doc and doc["State"]["Status"] == "exited":
            log = self.d.ctr("logs", name).out
            if doc["State"]["ExitCode"] != code or log != name + "\n":
                bad = ["%s behind %s tells exit code %s, log %r; it was %d" %
                       (name, wall, doc["State"]["ExitCode"], log, code)]
        elif doc and doc["State"]["Status"] != "created":
            bad = ["%s behind %s is %s" % (name, wall, doc["State"])]
        r = self.d.ctr("rm", "-f", name, limit_s=CASE_S) if doc else None
        return bad + (["rm %s: %r" % (name, r)] if r and r.rc else [])

    def judge(self):
        bad = []
        for name in self.paused:        # the kill may have come between the two
            if self.look(name)["State"]["Paused"]:
                self.d.ctr("unpause", name, limit_s=CASE_S)
        self.paused.clear()
        for name, was in self.kept.items():
            now = self.identity(name)
            if now != was:
                bad.append("%s was %s, is %s" % (name, was, now))
        for name in list(self.began):
            bad += self.judge_run(name)
        return bad

    def events(self):
        """Deaths of what may not die."""
        r = self.d.ctr("events", "--since", "1h", "--until", "0s", "--format",
                       "{{.Action}} {{.Actor.Attributes.name}}")
        return [line for line in r.out.splitlines() if re.match("(die|oom|kill) keep-", line)]

    # ---- all of it

    def kill_soon(self, after_s):
        time.sleep(after_s)
        self.d.stop(signal.SIGKILL)

    def one(self):
        op = self.random.choices([o for o, _ in self.OPS], [w for _, w in self.OPS])[0]
        killer = None
        if self.random.random() < KILL_SHARE:
            killer = threading.Thread(target=self.kill_soon,
                                      args=(self.random.random() ** 3 * KILL_WITHIN_S * SCALE,))
            killer.start()
        try:
            bad = op(self)
        except OSError as e:
            bad = ["%s: %r" % (op.__name__, e)]
        if killer:
            killer.join()
            self.kills += 1
            self.hit += bool(bad)
            bad = []
            if not self.d.start(*self.flags):
                return ["isolad does not start again"]
        return bad + self.judge()

    def all(self, ops, limit_s=None):
        """@ops operations, or as many as there are in @limit_s."""
        diag("seed %d, %d operations" % (self.seed, ops))
        self.prepare()
        bad, died = [], []
        t0 = time.monotonic()
        for n in range(ops):
            before = self.kills
            wrong = self.one()
            bad += ["operation %d: %s" % (n, w) for w in wrong]
            died += self.events() if self.kills > before else []
            if len(bad) > 5 or (limit_s and time.monotonic() - t0 > limit_s):
                break
        diag("%d operations, %d kills of isolad, %d hit an operation, %.0f s" %
             (n + 1, self.kills, self.hit, time.monotonic() - t0))
        is_(bad, [], "nothing dies, and what is told is true (seed %d)" % self.seed)
        is_(died + self.events(), [], "no event tells of a death that was none")
        check(self.kills >= (n + 1) * KILL_SHARE / 4 - 3, "isolad was killed often enough",
              "%d times in %d operations" % (self.kills, n + 1))
        for name in self.kept:
            one = self.d.ctr("exec", name, "cat", "/n", limit_s=CASE_S).out
            check(wait_for(UNTIL_S, lambda: self.d.ctr("exec", name, "cat", "/n",
                                                       limit_s=CASE_S).out not in ("", one)),
                  "%s counts on" % name, one)
            is_(self.d.ctr("exec", name, "wc", "-l", "/starts").out, "1 /starts\n",
                "%s was started once" % name)
            self.d.ctr("rm", "-f", name, limit_s=CASE_S)
