"""What clients did and saw, operation by operation, and what no fault may do to them.

A visitor is sequential: one operation after the other, on any host. Each write puts one item of its own into the
session's cart, and replaces a filler that only this item of this session has; the session also names its owner. So every
answer can be judged by what came before it:

  stale    a read lacks an item that this visitor was told is stored, or has been shown before
  foreign  a read shows what belongs to another session: owner or filler (or a filler that is not of the cart's last item)
  undone   a session lives after its logout was acknowledged
  lost     at the end, an item that was acknowledged is neither there nor (in a cart that grows) superseded

An operation without a clear answer ("unsure") may have happened or not; both are right.
"""
import hashlib
import json
import threading
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

LOOKS = 5
ACKNOWLEDGED, UNSURE = "acknowledged", "unsure"


@dataclass
class Operation:
    session: str
    kind: str           # "add" (read and write), "look" (read only), "leave" (logout)
    host: str
    begin: float        # time.monotonic()
    end: float
    outcome: str        # of the write or logout; for "look": of the read
    item: str = ""      # what "add" put in
    seen: list = None   # cart as the read showed it; None: nothing was read
    owner: str = None   # owner as the read showed it
    fill: int = 0       # length of the filler that "add" put in
    filler: list = None  # (length, MD5) of the filler as the read showed it


def filler_digest(session, item, length):
    """(length, MD5) of the filler that "add" of this item puts in; see "fill" and "digest" in www/session.php."""
    text = hashlib.sha512(f"{session}{item}".encode()).hexdigest()
    return [length, hashlib.md5((text * (1 + length // len(text)))[:length].encode()).hexdigest()]


class History:
    """Thread-safe; operations of one session must not overlap."""

    def __init__(self):
        self._lock = threading.Lock()
        self._by_session = defaultdict(list)
        self.count = 0

    def note(self, operation):
        with self._lock:
            self._by_session[operation.session].append(operation)
            self.count += 1

    def visit(self, host, session, kind, item="", fill=0, timeout=30):
        """Does one operation on a host and notes it; returns (operation, the page's answer or None, error text)."""
        shown = "get:cart;get:own;digest:filler"
        steps = {
            "add": f"start;{shown};set:own:{session};fill:filler:{fill}:{session}{item};append:cart:{item};close",
            "look": f"read_and_close;{shown}",
            "leave": f"start;{shown};destroy",
        }[kind]
        begin, answer, error = time.monotonic(), None, ""
        try:
            answer = host.visit(session, steps, timeout=timeout)
        except Exception as failure:
            error = f"{type(failure).__name__}: {failure}"
        operation = Operation(session, kind, host.name, begin, time.monotonic(), UNSURE, item, fill=fill)
        if answer:
            error = self._read_answer(operation, answer)
        self.note(operation)
        return operation, answer, error

    @staticmethod
    def _read_answer(operation, answer):
        ok, warnings = answer["ok"], answer["warnings"]
        done = all(ok.get(step, True) for step in ("start", "read_and_close", "close", "destroy"))
        if answer["status"] == 200 and done and not warnings:
            operation.outcome = ACKNOWLEDGED
        # After a failed read PHP may show an empty session: that is an error, not an old copy.
        if not warnings and ok.get("start", ok.get("read_and_close")):
            values = answer["values"]
            operation.seen, operation.owner = list(values.get("cart") or ()), values.get("own")
            operation.filler = values.get("filler")
        return "" if operation.outcome == ACKNOWLEDGED else "; ".join(warnings) or f"status {answer['status']}"

    def of(self, session):
        """Operations of one session, in their order."""
        with self._lock:
            return list(self._by_session[session])

    def sessions(self):
        with self._lock:
            return list(self._by_session)

    def _judged(self):
        for session in self.sessions():
            yield session, _Judge(session, self.of(session))

    @property
    def stale(self):
        return [entry for _, judge in self._judged() for entry in judge.stale]

    @property
    def foreign(self):
        return [entry for _, judge in self._judged() for entry in judge.foreign]

    @property
    def undone(self):
        return [entry for _, judge in self._judged() for entry in judge.undone]

    def lost(self, host):
        """(session, missing items) of acknowledged writes that a visit on this host does not show now.

        Every session is looked at once more, so logouts that came undone are in `undone` after it.
        """
        def look(session):
            for _ in range(LOOKS):
                operation, _, _ = self.visit(host, session, "look")
                if operation.seen is not None:
                    break
                time.sleep(0.5)  # not read is not lost
            return session, _Judge(session, self.of(session)).missing(operation)
        with ThreadPoolExecutor(4) as pool:
            return [found for found in pool.map(look, self.sessions()) if found[1]]

    def verdict(self, host):
        """name -> violations, after a last look at every session."""
        lost = self.lost(host)
        return {"lost": lost, "stale": self.stale, "foreign": self.foreign, "undone": self.undone}

    def trace(self, session, count=20):
        """The last operations of a session, one per line, for people."""
        return "\n".join(
            f"{each.begin:.3f}-{each.end:.3f} {each.host} {each.kind} {each.item} {each.outcome}, saw "
            f"{'nothing' if each.seen is None else f'{len(each.seen)} items, last {each.seen[-1:]}'}"
            for each in self.of(session)[-count:])

    def write(self, path):
        """All of it as JSON lines."""
        with open(path, "w") as file:
            for session in self.sessions():
                for operation in self.of(session):
                    file.write(json.dumps(asdict(operation)) + "\n")


class _Judge:
    """Goes through one session's operations and remembers what its visitor knows."""

    def __init__(self, session, operations):
        self.stale, self.foreign, self.undone = [], [], []
        self.known, self.acknowledged, self.left = set(), set(), False
        self._fills = {operation.item: operation.fill for operation in operations if operation.kind == "add"}
        for operation in operations:
            self._take(session, operation)

    def _take(self, session, operation):
        if operation.seen is not None:
            if operation.owner not in (None, session):
                self.foreign.append((operation.begin, session, operation.host, operation.owner))
            elif not self._filler_belongs(session, operation):
                self.foreign.append((operation.begin, session, operation.host, f"filler {operation.filler}"))
            self._compare(session, operation)
        if operation.kind == "add" and operation.outcome == ACKNOWLEDGED:
            self.acknowledged.add(operation.item)
            self.known.add(operation.item)
        if operation.kind == "leave":
            # An unsure logout may have happened: then nothing can be asked of this session any more.
            self.left = operation.outcome
            self.known, self.acknowledged = set(), set()

    def _compare(self, session, operation):
        seen = set(operation.seen)
        if self.left == ACKNOWLEDGED and seen:
            self.undone.append((operation.begin, session, operation.host, sorted(seen)[:3]))
        if self.left:
            return
        missing = self.known - seen
        if missing:
            self.stale.append((operation.begin, session, operation.host, sorted(missing)))
        self.known |= seen

    def _filler_belongs(self, session, operation):
        """One write puts in an item and its filler: the last item's is there, and none where no item is."""
        if not operation.seen:
            return operation.filler is None
        item = operation.seen[-1]
        return operation.filler == filler_digest(session, item, self._fills.get(item, 0))

    def missing(self, operation):
        """Acknowledged items that this last look does not show."""
        return sorted(self.acknowledged - set(operation.seen or ()))
