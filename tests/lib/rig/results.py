"""The table of what was measured, one line per bar, in the file named by MMS_RESULTS; sorted by row at the end."""
import os
import re
import tempfile

PATH = os.environ.get("MMS_RESULTS") or os.path.join(tempfile.gettempdir(), f"mms-results-{os.getuid()}.md")
_HEAD = """# Results

Written by `MMS_RESULTS=docs/results.md tests/run cluster [row...]`; with `MMS_FULL=1` at the length of the fault matrix. Rows F01 to F56
are faults, A1 to C15 cases (`tests/cluster/cases.py`), D1 to D12 the simulator's directed schedules (`tests/sim/directed.c`) on real
nodes; the others have names of their own. Each runs alone by its name. The control is phpredis with the same nodes as host
list. Pass: "noisy" is a bar on times that was not met as it stands, but by no more than what the machine does to a healthy run
(printed beside it); "missed" one that was measured again, and "NO" where that did not help; "open" a goal that is not met yet,
"skipped" says why. On three nodes of redis-server unless the row says otherwise.

| row | bar | measured | control | pass |
|---|---|---|---|---|
"""
_lines, _kept, _where, _last_try = [], [], "", True
NOISY, MISSED = "noisy", "missed"


def begin(keep):
    """keep: only some rows run; those of an earlier run that the file holds stay until they are measured again."""
    if keep and os.path.exists(PATH):
        with open(PATH) as table:
            text = table.read().split("\n## Cases", 1)[0]
        _kept.extend(line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| row |"))
    with open(PATH, "w") as table:
        table.write(_HEAD)


def _row(line):
    return line.split("|")[1].strip()


def _bar(line):
    """What a line is about: its row and bar; a row may have several tests, of which some run."""
    return tuple(cell.strip() for cell in line.split("|")[1:3])


def _all():
    bars, rows = {_bar(line) for line in _lines}, {_row(line) for line in _lines}
    return _lines + [line for line in _kept if _bar(line) not in bars
                     and not (_row(line) in rows and _verdict_in(line) in ("NO", MISSED))]


def on(size, server):
    """What the lines to come are measured on."""
    global _where
    parts = [f"{size} nodes"] * (size != 3) + [server] * (server != "redis-server")
    _where = f" ({', '.join(parts)})" if parts else ""


def last_try(last):
    """Whether a bar on times that is missed from now on is measured again (False) or not."""
    global _last_try
    _last_try = last


def count_no():
    """How many lines say NO."""
    return sum(_verdict_in(line) == "NO" for line in _lines)


def _verdict_in(line):
    return line.rsplit("|", 2)[1].strip()


def _order(line):
    """F2 before F10; names last."""
    row = _row(line)
    found = re.match(r"([A-DF])(\d+)(.*)", row)
    return (0, found[1] != "F", found[1], int(found[2]), found[3]) if found else (1, False, row, 0, "")


def finish(cases=(), elsewhere=None):
    """cases: name -> (complaint, rows that show it); elsewhere: name -> what to look at instead."""
    with open(PATH, "w") as table:
        table.write(_HEAD + "".join(line + "\n" for line in sorted(_all(), key=_order)))
        if cases:
            table.write("\n## Cases\n\n| case | complaint | shown by | pass |\n|---|---|---|---|\n")
        for name in cases:
            complaint, rows = cases[name]
            table.write(f"| {name} | {complaint} | {rows or elsewhere[name]} | {_verdict(rows)} |\n")


def _verdict(rows):
    """Over all lines of these rows. A "missed" is forgiven where another try's lines follow it."""
    wanted = {row.lower() for row in (rows or "").split()}
    lines = [(_row(line), _verdict_in(line)) for line in _all() if _row(line).split("(")[0].strip().lower() in wanted]
    if not lines:
        return "not in this run" if rows else "elsewhere"
    found = {verdict for _, verdict in lines}
    if "NO" in found or MISSED in dict(lines).values():
        return "NO"
    if found == {"skipped"}:
        return "skipped"
    return "in part" if found & {"open", "skipped"} else NOISY if NOISY in found else "yes"


def _cell(value):
    text = str(value).replace("|", "/").replace("\n", " ")
    # The run's own folder says nothing to the reader.
    return re.sub(r"/\S*?/(cluster-\w+|mms-run-\w+)/", "", text)


class TimingMissed(AssertionError):
    """A bar on times was missed. The machine may have been busy with something else: conftest.py measures again, some times."""


def add(row, bar, measured, control="", passed=True, verdict=None):
    """Writes the line and returns `passed`, for use in an assertion."""
    cells = [_cell(cell) for cell in (row + _where, bar, measured, control)]
    line = f"| {' | '.join(cells)} | {verdict or ('yes' if passed else 'NO')} |"
    _lines.append(line)
    with open(PATH, "a") as table:
        table.write(line + "\n")
    print(line)
    return passed


def bar(row, text, measured, passed, control=""):
    """A bar that must hold: notes it, then fails the test when it does not."""
    add(row, text, measured, control, passed)
    assert passed, f"{row}: {text}: measured {measured}" + (f" (control {control})" if control else "")


def verdict_of(value, limit, widest):
    """What the table says of a measured value: "noisy" when only the allowance for the machine's noise lets it pass."""
    return "yes" if value <= limit else NOISY if value <= widest else MISSED


def within(row, text, measured, value, limits, control=""):
    """A bar on times that a noisy machine may widen. limits: the bar, and how far noise may take it; value is in their unit."""
    verdict = verdict_of(value, *limits)
    if verdict == MISSED:
        timing(row, text, measured, False, control)
    add(row, text, measured, control, verdict=verdict)


def timing(row, text, measured, passed, control=""):
    """A bar on times: as bar(), but one miss may be the machine's, so the test may measure again from its beginning."""
    add(row, text, measured, control, passed, None if passed or _last_try else MISSED)
    if not passed:
        raise TimingMissed(f"{row}: {text}: measured {measured}" + (f" (control {control})" if control else ""))
