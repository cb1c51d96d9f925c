# SPDX-License-Identifier: Apache-2.0
"""Whole runs of tests/run side by side, shown one after the other."""
import os
import selectors
import subprocess
import sys
import time


class Lane:
    """A process whose lines go to on_line(text) once it is shown."""

    def __init__(self, argv, cwd, on_line):
        self.on_line = on_line
        self.shown = self.ended = False
        self.waiting, self.rest = [], b""
        sys.stdout.flush()
        self.process = subprocess.Popen(argv, cwd=cwd, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        os.set_blocking(self.process.stdout.fileno(), False)

    def read(self):
        try:
            data = os.read(self.process.stdout.fileno(), 65536)
        except BlockingIOError:
            return
        *lines, self.rest = (self.rest + data).split(b"\n")
        if not data:
            self.ended = True
            lines += [self.rest] if self.rest else []
        self.waiting += [x.decode(errors="replace") for x in lines]
        if self.shown:
            self.show()

    def show(self):
        self.shown = True
        lines, self.waiting = self.waiting, []
        for line in lines:
            self.on_line(line)

    def end(self):
        """Shows the rest, and waits; the exit status."""
        self.show()
        self.process.stdout.close()
        return self.process.wait()


def run_lanes(lanes, limit_s):
    """Runs all to their ends, the first shown as it comes. False if time ran out."""
    sel = selectors.DefaultSelector()
    for lane in lanes:
        sel.register(lane.process.stdout, selectors.EVENT_READ, lane)
    lanes[0].show()
    deadline = time.monotonic() + limit_s
    while sel.get_map():
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        for key, _ in sel.select(min(left, 5)):
            key.data.read()
            if key.data.ended:
                sel.unregister(key.fileobj)
        for lane in lanes:
            lane.show()
            if not lane.ended:
                break
    return True
