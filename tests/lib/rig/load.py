"""Visitors: who come at a rate, hop from host to host, and remember what they put into their carts."""
import random
import threading
import time
from dataclasses import dataclass, field

SLOW_US = 20000  # faults.md: the session cost the request more than 20 ms


@dataclass
class Sample:
    at: float           # seconds since the load began, when the request was sent
    host: int
    session_us: int     # session_start + session_write_close as measured in PHP
    seconds: float      # whole request as the visitor saw it
    failed: str         # "" or what went wrong


@dataclass
class Visitor:
    session_id: str
    acknowledged: list = field(default_factory=list)
    unsure: set = field(default_factory=set)


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


class Load:
    """Runs in threads of its own from start() to stop().

    Each request adds one item to a visitor's cart on a random host, then closes. Items that were in the cart
    once and are missing now count as stale; whether a write is lost is judged at the end, by lost().
    """

    def __init__(self, hosts, rate=100, visitors=100, fill=8192, threads=16, hop=True, cart=40):
        self._hosts, self._rate, self._fill, self._hop, self._cart = hosts, rate, fill, hop, cart
        # Random from the first byte on: phpredis shards by the first four.
        self.visitors = [Visitor(f"{random.getrandbits(104):026x}") for _ in range(visitors)]
        self.samples, self.stale, self.warnings = [], [], []
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

    def _visit(self, visitor, number, chance):
        host = chance.randrange(len(self._hosts)) if self._hop else number % len(self._hosts)
        if len(visitor.acknowledged) + len(visitor.unsure) >= self._cart:
            visitor = self._renew(visitor)
        item = f"i{len(visitor.acknowledged) + len(visitor.unsure)}"
        at, began = self.now(), time.perf_counter()
        try:
            answer = self._hosts[host].visit(
                visitor.session_id, f"start;get:cart;fill:filler:{self._fill}:{visitor.session_id}{item};append:cart:{item};close", timeout=30)
        except Exception as error:
            visitor.unsure.add(item)
            # No answer of the page: what the visitor waited is all that is known.
            took = time.perf_counter() - began
            self.samples.append(Sample(at, host, int(took * 1e6), took, f"{type(error).__name__}: {error}"))
            return
        self._judge(visitor, item, answer, at, host)

    def _renew(self, visitor):
        """A full cart is checked at the end as it is; its visitor comes back with a new session."""
        fresh = Visitor(f"{visitor.session_id}n")
        self.visitors.append(Visitor(visitor.session_id, list(visitor.acknowledged), set(visitor.unsure)))
        visitor.session_id, visitor.acknowledged, visitor.unsure = fresh.session_id, [], set()
        return visitor

    def _judge(self, visitor, item, answer, at, host):
        warnings = answer["warnings"]
        acknowledged = answer["ok"].get("start") and answer["ok"].get("close") and not warnings
        failed = "" if acknowledged and answer["status"] == 200 else "; ".join(warnings) or f"status {answer['status']}"
        if answer["ok"].get("start") and not warnings:
            missing = set(visitor.acknowledged) - set(answer["values"].get("cart") or ())
            if missing:
                self.stale.append((at, visitor.session_id, host, sorted(missing)))
        if acknowledged:
            visitor.acknowledged.append(item)
        else:
            visitor.unsure.add(item)
            self.warnings.append((at, failed))
        self.samples.append(Sample(at, host, answer["session_us"], answer["seconds"], failed))

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

    def lost(self, host):
        """(session, missing items) of acknowledged writes that a visit on this host does not show."""
        found = []
        for visitor in self.visitors:
            if not visitor.acknowledged:
                continue
            cart = host.visit(visitor.session_id, "read_and_close;get:cart")["values"].get("cart") or []
            missing = set(visitor.acknowledged) - set(cart)
            if missing:
                found.append((visitor.session_id, sorted(missing)))
        return found
