"""Moments when the machine stood still: a process of its own sleeps a little, again and again, and tells when it overslept.

It asks for next to nothing, so whoever is late by as much as it is was held up by the machine, like everybody else then.
"""
import os
import subprocess
import sys
import threading
import time

if __name__ != "__main__":
    from .process import spawn

STEP_S = 0.005
LEAST_S = 0.05


_found = []


def watch():
    """From now on; ends with the process that called this."""
    library = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    process = spawn([sys.executable, "-B", "-m", "rig.stalls"], stdout=subprocess.PIPE, env=dict(os.environ, PYTHONPATH=library))
    process.stdout.readline()
    threading.Thread(target=_listen, args=(process,), daemon=True).start()
    return process


def _listen(process):
    for line in process.stdout:
        _found.append(tuple(map(float, line.split())))


def during(begin, end):
    """Seconds of the longest stall that overlaps these moments of time.monotonic()."""
    return max((until - since for since, until in list(_found) if since < end and until > begin), default=0.0)


# The process

def _watch():
    print("ready", flush=True)
    last = time.monotonic()
    while True:
        time.sleep(STEP_S)
        now = time.monotonic()
        if now - last - STEP_S >= LEAST_S:
            print(last + STEP_S, now, flush=True)
        last = now


if __name__ == "__main__":
    _watch()
