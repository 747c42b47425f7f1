"""The delaying proxy (link.c) as seen from the sections."""
import subprocess
import threading

from handlers import compiled
from rig.process import end, spawn


class Links:
    """Use as context manager. add() gives a Link, whose port stands for another port of this machine."""

    def __init__(self):
        self._process = spawn([compiled("link")], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._turn = threading.Lock()

    def add(self, port):
        number, here = self.ask(f"add {port}").split()
        return Link(self, int(number), int(here))

    def ask(self, line):
        with self._turn:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline().decode().strip()
        if not answer or not (answer[0].isdigit() or answer == "ok"):
            raise RuntimeError(f"link: {line}: {answer or 'no answer'}")
        return answer

    @property
    def pid(self):
        return self._process.pid

    def close(self):
        end(self._process)

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self.close()


class Link:
    def __init__(self, links, number, port):
        self._links, self._number, self.port = links, number, port

    @property
    def url(self):
        return f"tcp://127.0.0.1:{self.port}"

    def round_trip(self, milliseconds):
        self._links.ask(f"delay {self._number} {milliseconds * 500:.0f}")

    def hold(self):
        self._links.ask(f"hold {self._number}")

    def go(self):
        self._links.ask(f"go {self._number}")
