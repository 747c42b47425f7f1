"""What mmsession writes into PHP's error log, judged by what docs/operations.md ("Log lines") allows."""
import re
from datetime import datetime

# Written once a minute at most (EVENT_INTERVAL_US). php-fpm stamps whole seconds, a moment after the line was written.
INTERVAL_S = 60
STAMP_S = 1

_STAMP = re.compile(r"\[(\d\d-\w{3}-\d{4} \d\d:\d\d:\d\d)\] ")
_EVENT = re.compile(r'PHP message: mmsession: (.*)"$')
_STARTED = "NOTICE: fpm is running"  # it remembers nothing of what was logged before
# A node's line is its own; a foreign key is told of once, whichever node has it.
_KINDS = [
    ("down", re.compile(r"node (\S+) \(.*; (?:sessions are served by the other nodes until it is back|no other node is left: .*|"
                        r"it is the only node: .*|it is read, but takes no writes.*|by now it is used again)$")),
    ("foreign key", re.compile(r"node \S+ \(.*\): the key of a session holds something()")),
    ("settings", re.compile(r"node (\S+) \(.*\): (?:maxmemory-policy|it is a replica of|KeyDB's active-replica)")),
    ("own keys", re.compile(r"node (\S+) \(.*\): .*:(?:behind|lives)\b")),
    ("clocks", re.compile(r"clocks are wrong()")),
    ("host id", re.compile(r"another host uses host id()")),
    ("nodes", re.compile(r"lists of nodes differ()")),
]


def _kind_of(text):
    for kind, pattern in _KINDS:
        found = pattern.match(text)
        if found:
            return kind, found[1]
    return None


def events(text):
    """(start of php-fpm, seconds, kind and node; None: no kind that is documented, the line) of each line about mmsession."""
    start, found = 0, []
    for line in text.splitlines():
        start += _STARTED in line
        if "mmsession: " not in line:
            continue
        stamp, event = _STAMP.match(line), _EVENT.search(line)
        at = datetime.strptime(stamp[1], "%d-%b-%Y %H:%M:%S").timestamp() if stamp else 0
        found.append((start, at, _kind_of(event[1]) if event else None, line))
    return found


def too_many(text):
    """Lines of a log that no kind of docs/operations.md has, or that came before their node's and kind's minute was over."""
    last, found = {}, []
    for start, at, kind, line in events(text):
        if kind is None:
            found.append(line)
            continue
        if at - last.get((start, kind), -INTERVAL_S) < INTERVAL_S - STAMP_S:
            found.append(line)
        last[start, kind] = at
    return found
