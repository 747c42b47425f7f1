"""Visitors: who come at a rate, hop from host to host, and remember what they put into their carts."""
import random
import threading
import time
from dataclasses import dataclass

from .history import History

SLOW_US = 20000  # faults.md: the session cost the request more than 20 ms


@dataclass
class Sample:
    at: float           # seconds since the load began, when the request was sent
    host: int
    session_us: int     # session_start + session_write_close as measured in PHP
    seconds: float      # whole request as the visitor saw it
    failed: str         # "" or what went wrong
    call_us: int        # the slowest of these calls alone
    begin: float = 0.0  # time.monotonic() when it was sent


class Visitor:
    """Who holds a session now, and how many items went into it."""

    def __init__(self, session_id):
        self.session_id, self.items = session_id, 0


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


class Load:
    """Runs in threads of its own from start() to stop().

    Each request adds one item to a visitor's cart on a random host, then closes; `leave` is the share of requests that
    log out instead, and every visitor who did looks at the old session once more now and then. A visitor with a full
    cart comes back with a new session. `history` has it all and says what went wrong.
    """

    def __init__(self, hosts, rate=100, visitors=100, fill=8192, threads=16, hop=True, cart=40, leave=0.01, pin=None):
        """pin: function from a visitor's number to the index of the only host that this visitor uses."""
        self.hosts, self._rate, self._fill, self._hop, self._cart = hosts, rate, fill, hop, cart
        self._leave, self._pin = leave, pin
        # Random from the first byte on: phpredis shards by the first four.
        self.visitors = [Visitor(f"{random.getrandbits(104):026x}") for _ in range(visitors)]
        self._numbers = {id(visitor): number for number, visitor in enumerate(self.visitors)}
        self.samples, self.warnings = [], []
        self.history = History()
        self._count = threads
        self._stopping = threading.Event()
        self._threads = []
        self.began = 0.0

    def start(self):
        self.began = time.monotonic()
        self._threads = [threading.Thread(target=self._run, args=(number,), daemon=True)
                         for number in range(self._count)]
        for thread in self._threads:
            thread.start()
        return self

    def now(self):
        return time.monotonic() - self.began

    def run_for(self, seconds):
        """Lets the load run on; returns (from, to) on its own clock."""
        begin = self.now()
        self._stopping.wait(seconds)
        return begin, self.now()

    def stop(self):
        self._stopping.set()
        for thread in self._threads:
            thread.join(60)
        return self

    def __enter__(self):
        return self.start()

    def __exit__(self, *_exception):
        self.stop()

    def _run(self, number):
        chance = random.Random(number)
        mine = self.visitors[number::self._count]
        step = self._count / self._rate
        due = self.began + number * step / self._count
        while mine and not self._stopping.is_set():
            pause = due - time.monotonic()
            if pause > 0 and self._stopping.wait(pause):
                return
            due = max(due + step, time.monotonic() - step)
            self._visit(chance.choice(mine), number, chance)

    def _host_of(self, visitor, number, chance):
        if self._pin:
            return self._pin(self._numbers[id(visitor)])
        return chance.randrange(len(self.hosts)) if self._hop else number % len(self.hosts)

    def _visit(self, visitor, number, chance):
        host = self._host_of(visitor, number, chance)
        if visitor.items and chance.random() < self._leave:
            old = visitor.session_id
            self._operate(host, old, "leave")
            self._renew(visitor)
            self._operate(self._host_of(visitor, number, chance), old, "look")
            return
        if visitor.items >= self._cart:
            self._renew(visitor)
        visitor.items += 1
        self._operate(host, visitor.session_id, "add", f"i{visitor.items}")

    @staticmethod
    def _renew(visitor):
        visitor.session_id, visitor.items = f"{visitor.session_id}n", 0

    def _operate(self, host, session, kind, item=""):
        at = self.now()
        operation, answer, error = self.history.visit(self.hosts[host], session, kind, item, self._fill)
        took = operation.end - operation.begin
        if answer and error:
            self.warnings.append((at, error))
        # No answer of the page: what the visitor waited is all that is known.
        calls = answer["us"].values() if answer else [int(took * 1e6)]
        self.samples.append(Sample(at, host, sum(calls), took, error, max(calls), operation.begin))

    # What came of it

    def between(self, begin, end):
        return [sample for sample in self.samples if begin <= sample.at < end]

    def failed(self, begin=0.0, end=1e9):
        return [sample for sample in self.between(begin, end) if sample.failed]

    def slow(self, begin=0.0, end=1e9, more_than_us=SLOW_US):
        return [sample for sample in self.between(begin, end) if sample.session_us > more_than_us]

    def p(self, share, begin=0.0, end=1e9):
        """Percentile of the session's cost in microseconds."""
        return percentile([sample.session_us for sample in self.between(begin, end) if not sample.failed], share)

    @property
    def stale(self):
        """Reads that lacked what their visitor knew of: (seconds since the load began, session, host, items)."""
        return [(at - self.began, *rest) for at, *rest in self.history.stale]

    def lost(self, host):
        return self.history.lost(host)
