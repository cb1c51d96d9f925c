# SPDX-License-Identifier: Apache-2.0
"""Kills at named steps (isola/step.h) of one instance's life, "one", in the networks "red" and
"blue": what the test_*network_steps.py share. After each kill isolad starts again; then the
instance is what its state says, links, rules and published ports are those of what runs, and
once all is removed nothing is left."""
import os
import re
import signal
import subprocess

from lib import *
from netlib import *

FLAGS = ("--default-network", "none")
NETWORKS = [("ctrctl", "network", "create", "--subnet", "10.71.0.0/24", "red"),
            ("ctrctl", "network", "create", "--subnet", "10.72.0.0/24", "blue")]


class Steps:
    """@program and @path ("containers", "vms") manage it, @link is how its links' names begin,
    @life its commands, the first words of which are programs, @more what else goes at the end."""

    def __init__(self, d, program, path, link, life, more=()):
        self.d, self.program, self.path, self.link = d, program, path, link
        self.life, self.more = NETWORKS + life, more

    def start(self, step=""):
        """isolad, which dies at @step, as do its keepers."""
        if step:
            os.environ["ISOLA_DIE_AT"] = step
        else:
            os.environ.pop("ISOLA_DIE_AT", None)
        if not self.d.start(*FLAGS):
            not_ok("isolad starts, " + (step or "afterwards"))
            finish()

    def client(self, program, *argv):
        """One that may lose its daemon."""
        return subprocess.run([BUILD + "/" + program, "-H", "unix://" + self.d.socket, *argv],
                              timeout=60 * SCALE, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)

    def links(self):
        return sorted(n for n in links(self.d) if n.startswith(self.link))

    def published(self):
        return sorted(set(re.findall(r"(?:tcp|6) \. (\d+) : ", rules(self.d))))

    def guarded(self):
        return sorted(set(re.findall(r'"(%s\w+)" \. [0-9a-f]{2}:' % self.link, rules(self.d))))

    def inspect(self):
        status, _, doc = self.d.request("GET", "/%s/one/json" % self.path)
        return doc if status == 200 else None

    def shown(self):
        """(running, networks it is linked to, a payload lives)."""
        doc = self.inspect()
        if doc is None:
            return None
        state = doc["State"]
        linked = [n for n in doc["NetworkSettings"]["Networks"].values() if n["IPAddress"]]
        return state["Running"], len(linked), bool(state["Pid"]) and is_running(state["Pid"])

    def agrees(self):
        """What is there is what the state says."""
        s = self.shown()
        if s is None:
            return self.links() == self.published() == self.guarded() == []
        running, linked, lives = s
        return running == lives and len(self.links()) == linked == len(self.guarded()) and \
            bool(self.published()) == running

    def live_until(self, dead):
        """All steps of its life, as far as there is an isolad."""
        for argv in self.life:
            self.client(*argv)
            if dead():
                return True
        return bool(wait_for(15, dead))

    def judge(self, step):
        """isolad is there again."""
        if not wait_for(30, self.agrees):
            not_ok("after %s all is as the state says" % step,
                   "%s %s %s %s" % (self.shown(), self.links(), self.published(), self.guarded()))
            return
        s = self.shown()
        if s and not s[0]:
            r = self.client(self.program, "start", "one")
            if r.returncode or not self.agrees():
                not_ok("after %s it can be started" % step,
                       (r.stdout, self.shown(), self.links(), self.published(), self.guarded()))
                return
        for argv in [(self.program, "rm", "-f", "one"), ("ctrctl", "network", "rm", "red"),
                     ("ctrctl", "network", "rm", "blue"), *self.more]:
            self.client(*argv)
        left = self.d.request("GET", "/networks")[2]
        check(wait_for(20, lambda: not links(self.d) and not self.published() and not self.guarded()) and
              not [n["Name"] for n in left if n["Name"] in ("red", "blue")],
              "%s: all is as the state says, and nothing is left" % step, (links(self.d), rules(self.d), left))

    def kill_isolad(self, step):
        self.start(step)
        process = self.d.process
        died = self.live_until(lambda: process.poll() is not None)
        if not died or process.returncode != -signal.SIGKILL:
            not_ok("isolad is killed at " + step, process.returncode)
        self.d.stop(signal.SIGKILL)
        self.start()
        self.judge(step)
        self.d.stop()

    def kill_keeper(self, step):
        self.start(step)
        codes = {argv[1]: self.client(*argv).returncode for argv in self.life}
        check(wait_for(20, lambda: not (self.shown() or (True,))[0]),
              "%s: isolad knows that it has ended" % step, self.shown())
        if step in ("keeper.open", "keeper.created", "keeper.started"):
            isnt(codes["start"], 0, "a start fails when its keeper is killed at " + step)
        if step == "keeper.ended":
            like(self.inspect()["State"]["Error"], "killed by signal 9", "a keeper is killed at " + step)
        self.d.stop()
        self.start()
        self.judge(step)
        self.d.stop()
