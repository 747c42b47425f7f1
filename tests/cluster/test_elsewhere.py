"""Rows that another part of tests/ shows, rows of what is not built, and what holds for them all the same."""
import os
import random
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from rig.process import until
from rig.results import add, bar

TESTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")

# row -> (unit test, one of its functions, what that shows)
UNIT = {
    "F29": ("hlc", "a_frozen_clock_carries_into_the_milliseconds", "frozen clock, 200000 stamps: unique and in order"),
}


@pytest.mark.parametrize("row", [pytest.param(row, marks=pytest.mark.row(row)) for row in UNIT])
def test_a_unit_test_shows(row):
    name, function, what = UNIT[row]
    with open(os.path.join(TESTS, "unit", f"test_{name}.c")) as source:
        assert f"cmocka_unit_test({function})" in source.read(), f"test_{name}.c has no {function}"
    result = subprocess.run([os.path.join(TESTS, "unit", "run"), name], capture_output=True, text=True, timeout=300)
    closing = result.stdout.strip().splitlines()[-1:]
    bar(row, f"{what} (tests/run unit {name})", closing, result.returncode == 0)


NOT_BUILT = {
    "F45-merge": "merge by variable is not built: docs/decisions/0017; the lock keeps all of them (F45-lock)",
    "B1-merge": "increments on both sides of a split are not added up: docs/decisions/0017",
}


@pytest.mark.parametrize("row", [pytest.param(row, marks=pytest.mark.row(row)) for row in NOT_BUILT])
def test_not_built(row):
    pytest.skip(NOT_BUILT[row])


@pytest.mark.row("F56")
def test_the_soak_is_a_program_of_its_own():
    pytest.skip("a day's soak is run by command: tests/soak 1440")


@pytest.mark.row("F51")
def test_failing_calls_are_a_program_of_their_own():
    pytest.skip("every call fails once in tests/run torture")


def conflicts_of(shop):
    return sum(host.status()["counters"]["conflicts"] for host in shop.hosts)


PARALLEL = 20


def write_at_once(host, session, signs, wave):
    """Requests of one session, each with a variable of its own, that have all read it before any of them writes."""
    signs = signs / f"{session}-{wave}"
    signs.mkdir()
    signs.chmod(0o777)
    with ThreadPoolExecutor(PARALLEL) as pool:
        answers = [pool.submit(host.visit, session, f"start;touch:{signs}/read{number};await:{signs}/go;"
                               f"set:v{wave}_{number}:1;sleep:{random.randrange(20)};close") for number in range(PARALLEL)]
        until(lambda: len(list(signs.iterdir())) == PARALLEL, 20, "all have read the session")
        (signs / "go").touch()
        answers = [answer.result() for answer in answers]
    assert all(answer["ok"]["close"] and answer["ok"]["await"] and not answer["warnings"] for answer in answers)


@pytest.mark.row("F45")
def test_parallel_requests_of_one_session_without_a_lock_are_counted(cluster, new_id, full, signs):
    """How many writes were superseded unread follows from the variables that are left. All requests of a wave are based on
    what stood before it, so the data that stands after it hold the variable of one of them: the others' writes were replaced
    by requests that had not read them, or came too late. That one is read by the whole next wave, so its variable stays, and
    whoever replaces it first has read it. So every write whose variable is gone was superseded unread, and no other was.
    """
    shop, rounds, waves = cluster(3, 2, workers=PARALLEL), 20 if full else 3, 2
    before, kept, counted = conflicts_of(shop), [], []
    for _ in range(rounds):
        session = new_id()
        assert shop.hosts[0].put(session, "start", "1")
        for wave in range(waves):
            write_at_once(shop.hosts[0], session, signs, wave)
        shop.wait_equal(10)
        values = shop.hosts[1].visit(session, "read_and_close;all")["values"]
        kept.append(len([name for name in values if name.startswith("v")]))
        counted.append(conflicts_of(shop) - before - sum(counted))
    written = waves * PARALLEL
    add("F45", f"no lock, no merge: variables kept of {written}, written in {waves} waves, in each round", kept)
    bar("F45", "off: every write that was superseded unread is counted, once", f"{sum(counted)} of "
        f"{sum(written - each for each in kept)}", counted == [written - each for each in kept] and set(kept) == {waves})

    session, before = new_id(), conflicts_of(shop)
    for number in range(PARALLEL):
        assert shop.hosts[number % 2].put(session, f"v{number}", "1")
    values = shop.hosts[0].visit(session, "read_and_close;all")["values"]
    wrong = conflicts_of(shop) - before
    bar("F45", f"{PARALLEL} requests one after the other, on two hosts in turn: all kept, none counted",
        f"{len(values)} kept, {wrong} counted", len(values) == PARALLEL and wrong == 0)
