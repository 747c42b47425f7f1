"""What clients ask of a node, command by command (MONITOR), and which process is behind a connection."""
import os
import re
import threading
from dataclasses import dataclass

from .resp import Client


@dataclass
class Line:
    at: float       # the server's clock, time.time()
    address: str    # of the client; "lua" for what a script does
    words: list     # verb in upper case, arguments as MONITOR shows them


class Monitor:
    """`lines` grows from start() to stop(). A stopped server tells of what it was asked when it goes on."""

    def __init__(self, node):
        self._client = Client(node.socket, None)
        self.lines = []
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def start(self):
        self._client.call("MONITOR")
        self._thread.start()
        return self

    def _listen(self):
        try:
            while True:
                line = _parse(self._client._read().decode(errors="replace"))
                if line:
                    self.lines.append(line)
        except (OSError, ValueError, ConnectionError):
            pass  # closed by either side

    def stop(self):
        self._client.shutdown()
        self._thread.join(10)
        self._client.close()


def _parse(text):
    found = re.match(r"([\d.]+) \[\d+ (\S+?)\] (.*)", text, re.S)
    words = re.findall(r'"((?:\\.|[^"\\])*)"', found[3]) if found else []
    return Line(float(found[1]), found[2], [words[0].upper(), *words[1:]]) if words else None


def connections(pids, port):
    """{local port: pid} of the TCP connections over loopback that these processes have to a port."""
    by_inode = {}
    with open("/proc/net/tcp") as table:
        for line in list(table)[1:]:
            cells = line.split()
            if cells[3] == "01" and int(cells[2].split(":")[1], 16) == port:
                by_inode[cells[9]] = int(cells[1].split(":")[1], 16)
    found = {}
    for pid in pids:
        for name in os.listdir(f"/proc/{pid}/fd"):
            try:
                inode = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(f"/proc/{pid}/fd/{name}"))
            except OSError:
                continue
            if inode and inode[1] in by_inode:
                found[by_inode[inode[1]]] = pid
    return found
