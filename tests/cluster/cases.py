"""The cases that mmsession exists for (hosting companies' and mailing lists' complaints), and what shows each of them.

A case that is a test of its own bears its name there; the others run the rows named here: tests/run cluster B4.
"""

CASES = {
    "A1": ("latency that varies with the list of hosts", "A1"),
    "A2": ("a dead or slow node makes PHP wait, node after node", "F01 F04 F07"),
    "A3": ("PHP does not bear the backend's errors", "F15 F16 F17 F18 F19 F20 F21 F22 F23"),
    "A4": ("written on one, read on the other before replication", "A4 hop"),
    "A5": ("failover of an asynchronous replica loses data", "F03 F01"),
    "A6": ("only a master takes writes", "hop"),
    "A7": ("data that diverges for good", "pairs"),
    "A8": ("sessions lost in a failover", "F54"),
    "A9": ("a ring that stops at one break", "A9 F33"),
    "A10": ("the application has to change", "A10"),
    "A11": ("carts lost", "A11"),
    "A12": ("one server's product only", "hop pairs"),
    "B1": ("increments on both sides of a split", "F33"),
    "B2": ("a rejoining node is sent everything many times over", "B2"),
    "B3": ("writes passed on again and again", "B3"),
    "B4": ("the application hangs while a node is down", "F01 F04"),
    "B5": ("a switch that loses data", "F49"),
    "B6": ("clients loop on INFO", "B6"),
    "B7": ("replication halves the throughput", None),
    "B8": ("replication buffers overflow", "B8"),
    "B9": ("DBSIZE differs without an error", "B9"),
    "B10": ("traffic between nodes", "B10"),
    "B11": ("LOADING is passed on to clients", "F15"),
    "B12": ("slower than isolated servers", None),
    "B13": ("maintenance is noticed", "F54"),
    "B14": ("idle replicas", "B14"),
    "C1": ("new logins after a site is lost", "C1"),
    "C2": ("the older one wins after a split", "F33"),
    "C3": ("one key written on two masters", "pairs"),
    "C4": ("deleted on one, alive on the other", "F34 F48 outage-hints"),
    "C5": ("a late write brings a logout back", "late-write"),
    "C6": ("two hosts, no third vote", None),
    "C7": ("buffers in a long outage", "F48"),
    "C8": ("stale or missing during lag", "A4 hop"),
    "C9": ("an operator has to bring a node back", "F06 F30 F31"),
    "C10": ("users move between more than two sites", "C10"),
    "C11": ("stability", "A11"),
    "C12": ("other types under last-writer-wins", None),
    "C13": ("older writes are discarded silently", "F33 F45"),
    "C14": ("wrong clocks", "F26 F27 F28 F29"),
    "C15": ("cache misses when traffic moves", "C15"),
}

# Cases that no test of the cluster shows, and where to look instead.
ELSEWHERE = {
    "B7": "tests/run bench: throughput with and without mirrors",
    "B12": "tests/run bench: against phpredis on one node",
    "C6": "MMS_NODES=2 tests/run cluster F01 F02 F04 F05 F07 F15 F30 F33 F34 F37",
    "C12": "out of scope: one session is one value (README.md)",
}


def rows_of(word):
    """The rows, or names of tests, that a case stands for; the word itself when it is no case."""
    case = CASES.get(word.upper())
    if case is None or case[1] is None:
        return [word.lower()]
    return case[1].lower().split()
