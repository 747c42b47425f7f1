"""Why a mark was missed: texts made of figures of the same run, ours beside the control's. What was not counted is not said.

The functions that measure something more do so when they are asked, which is when a mark is missed.
"""
import collections
import os
import re
import signal
import subprocess
import time

import costs
from report import median, number

IDLE_TRACE_S = 10


def per_request(turns, names):
    """CPU, switches and page faults of loop.php (or floor), as medians of turns."""
    said = []
    for name in names:
        each = turns[name]
        said.append(f"{name}: {number(median(each, 'cpu'))} us of CPU of the process (request thread {number(median(each, 'thread'))}), "
                    f"servers {number(median(each, 'servers'))}; the request thread slept {number(median(each, 'sleeps'))} times, was preempted "
                    f"{number(median(each, 'preempted'))} times and had {number(median(each, 'faults'))} page faults; "
                    f"cores idle {median(each, 'idle'):.0%}")
    return "Per request, " + ". ".join(said)


def difference(turns, ours, control, field):
    """How much more p50 or p99, beside how much more CPU."""
    def more(what):
        return f"{median(turns[ours], what) - median(turns[control], what):+.1f} us"
    return f"{ours} against {control}: {field} {more(field)}, CPU of the request thread {more('thread')}, of the servers {more('servers')}"


class Instructions:
    """Counts a request's instructions in the request thread by callgrind, once for each case."""

    def __init__(self, handlers):
        self._handlers, self._counted = handlers, {}

    def text(self, names, kind="changed", size=1024):
        return "Instructions of a request in the request thread: " + "; ".join(f"{name} {self._of(name, kind, size)}" for name in names)

    def _of(self, name, kind, size):
        case = (name, kind, size)
        if case not in self._counted:
            found = costs.instructions(self._handlers, name, kind, size)
            libraries = sorted(found["libraries"].items(), key=lambda item: -item[1])[:3]
            self._counted[case] = f"{found['instructions']:.0f} ({', '.join(f'{library} {count:.0f}' for library, count in libraries)})"
        return self._counted[case]


def beside(turns, ours, controls, field, instructions=(), counted=None, kind="changed", size=1024):
    """A function for Section.mark(). instructions: names whose instructions counted (Instructions) can tell."""
    def why():
        said = [*(difference(turns, ours, control, field) for control in controls), per_request(turns, [ours, *controls])]
        if counted:
            said.append(counted.text(instructions, kind, size))
        return ". ".join(said)
    return why


def trace_of_idle(thread):
    """What a thread does while there is nothing to do, by strace, as text."""
    log = os.path.join(os.environ.get("MMS_RUN_DIR", "/tmp"), f"idle-{thread}")
    strace = subprocess.Popen(["strace", "-qq", "-o", log, "-p", str(thread)], stderr=subprocess.DEVNULL)
    time.sleep(IDLE_TRACE_S)
    strace.send_signal(signal.SIGINT)
    strace.wait(10)
    calls, ended = collections.Counter(), collections.Counter()
    with open(log, errors="replace") as lines:
        for line in lines:
            name = line.split("(", 1)[0].strip()
            calls[name] += 1
            if name in costs.WAITS and not re.search(r", 0\)\s+= ", line):  # one that looks only does not sleep
                ended["by time" if re.search(r"= 0( \(Timeout\))?$", line) else "by something to hear"] += 1
    os.unlink(log)
    waits = ", ".join(f"{count} ended {how}" for how, count in ended.items())
    return (f"in {IDLE_TRACE_S} s under strace, sleeps: {waits or 'none'}; calls: "
            + ", ".join(f"{count} {name}" for name, count in calls.most_common(6)))
