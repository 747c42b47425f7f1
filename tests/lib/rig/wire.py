"""A piece of wire between two interfaces of one network namespace, on which packets come twice or late.

  twice=P        so many percent of the packets are sent twice
  late=P, late_ms=N
                 so many percent are held back for up to N ms, while those behind them go on

A process of its own hands Ethernet frames on, as netem is not in every kernel. With their offload headers: a checksum that
the sender left to his interface is made, or found right, by the receiver's.
"""
import heapq
import json
import os
import random
import select
import socket
import subprocess
import sys
import time

if __name__ != "__main__":
    from .process import end, spawn

_ALL_PROTOCOLS = 3
_SOL_PACKET, _PACKET_OUTGOING, _PACKET_VNET_HDR = 263, 4, 15
_FRAME_MAX = 1 << 17
_BATCH_MAX = 64


class Wire:
    """The process as seen from the tests."""

    def __init__(self, namespace, one, other):
        library = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        self._process = spawn([sys.executable, "-B", "-m", "rig.wire", one, other], namespace=namespace, stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, env=dict(os.environ, PYTHONPATH=library))
        self.counts()

    def _ask(self, order):
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def set(self, **faults):
        """Replaces all faults by these; none: packets go on as they come."""
        self._ask({"faults": faults})

    def counts(self):
        """packets, twice, overtaken (by one behind them) since start."""
        return self._ask({})

    def close(self):
        end(self._process)


# The process

def _open(interface):
    end_of_wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL_PROTOCOLS))
    end_of_wire.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
    end_of_wire.bind((interface, 0))
    end_of_wire.setblocking(False)
    return end_of_wire


class _Relay:
    def __init__(self, one, other):
        self.ends = {one: other, other: one}
        self.faults = {}
        self.counts = {"packets": 0, "twice": 0, "overtaken": 0}
        self._held, self._serial = [], 0

    def take(self, source):
        """Hands on what has come in at one end."""
        for _ in range(_BATCH_MAX):
            try:
                frame, address = source.recvfrom(_FRAME_MAX)
            except BlockingIOError:
                return
            if address[2] != _PACKET_OUTGOING:
                self._pass(frame, self.ends[source])

    def _pass(self, frame, sink):
        self.counts["packets"] += 1
        if random.random() * 100 < self.faults.get("late", 0):
            self._serial += 1
            due = time.monotonic() + random.uniform(0, self.faults["late_ms"]) / 1000
            heapq.heappush(self._held, (due, self._serial, frame, sink, [False]))
            return
        for *_, held_for, overtaken in self._held:
            overtaken[0] = overtaken[0] or held_for is sink
        self._send(frame, sink)
        if random.random() * 100 < self.faults.get("twice", 0):
            self.counts["twice"] += 1
            self._send(frame, sink)

    @staticmethod
    def _send(frame, sink):
        try:
            sink.send(frame)
        except OSError:
            pass  # a full queue loses packets, on other wires too

    def release(self):
        """Sends what was held back long enough; seconds until the next, None when nothing is held."""
        while self._held and self._held[0][0] <= time.monotonic():
            _, _, frame, sink, overtaken = heapq.heappop(self._held)
            self.counts["overtaken"] += overtaken[0]
            self._send(frame, sink)
        return max(0.0, self._held[0][0] - time.monotonic()) if self._held else None


def _serve(one, other):
    try:
        os.setpriority(os.PRIO_PROCESS, 0, -10)  # a network does not wait for a busy machine's scheduler
    except PermissionError:
        pass
    relay = _Relay(_open(one), _open(other))
    while True:
        ready, _, _ = select.select([sys.stdin, *relay.ends], [], [], relay.release())
        for source in ready:
            if source is not sys.stdin:
                relay.take(source)
                continue
            order = sys.stdin.readline()
            if not order:
                return
            relay.faults = json.loads(order).get("faults", relay.faults)
            sys.stdout.write(json.dumps(relay.counts) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    _serve(sys.argv[1], sys.argv[2])
