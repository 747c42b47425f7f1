"""The table of what was measured, one line per bar, appended to the file named by MMS_RESULTS."""
import os
import tempfile

PATH = os.environ.get("MMS_RESULTS") or os.path.join(tempfile.gettempdir(), f"mms-results-{os.getuid()}.md")
_HEAD = "| row | bar | measured | control | pass |\n|---|---|---|---|---|\n"


def begin():
    with open(PATH, "w") as table:
        table.write(_HEAD)


class TimingMissed(AssertionError):
    """A bar on times was missed. The machine may have been busy with something else: conftest.py measures again."""


def add(row, bar, measured, control="", passed=True, verdict=None):
    """Writes the line and returns `passed`, for use in an assertion."""
    cells = [str(cell).replace("|", "/").replace("\n", " ") for cell in (row, bar, measured, control)]
    line = f"| {' | '.join(cells)} | {verdict or ('yes' if passed else 'NO')} |"
    with open(PATH, "a") as table:
        table.write(line + "\n")
    print(line)
    return passed


def bar(row, text, measured, passed, control=""):
    """A bar that must hold: notes it, then fails the test when it does not."""
    add(row, text, measured, control, passed)
    assert passed, f"{row}: {text}: measured {measured}" + (f" (control {control})" if control else "")


def timing(row, text, measured, passed, control=""):
    """A bar on times: as bar(), but one miss may be the machine's, so the test may measure again from its beginning."""
    add(row, text, measured, control, passed, None if passed else "missed")
    if not passed:
        raise TimingMissed(f"{row}: {text}: measured {measured}" + (f" (control {control})" if control else ""))
