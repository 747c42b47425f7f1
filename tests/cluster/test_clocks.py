"""Hosts and servers whose clock is wrong: they spoil nothing, and are named."""
import os
import threading
import time

import pytest

from conftest import FULL
from rig.process import until
from rig.results import bar


OFFSETS = [(1, "step"), (86400, "start"), (-3600, "step"), (-86400, "start")]
if FULL:
    OFFSETS += [(3600, "step"), (86400, "step"), (-1, "step"), (-86400, "step")]


def make_shop(cluster, wrong_clock, hosts=3):
    """Host 1 has the clock that the test moves."""
    shop = cluster(3, 0)
    shop.add_host(0, environment=wrong_clock.environment())
    for index in range(1, hosts):
        shop.add_host(index)
    return shop


def hop(shop, session, first, count):
    """Writes on one host after the other, reads on the next: what was old or missing, and the versions in order."""
    stale, versions = [], []
    for number in range(first, first + count):
        writer, reader = shop.hosts[number % len(shop.hosts)], shop.hosts[(number + 1) % len(shop.hosts)]
        assert writer.put(session, "n", number), (writer.name, number)
        seen = reader.fetch(session, "n")
        if seen != str(number):
            stale.append((number, writer.name, seen))
        versions.append(max(record.version for record in (node.record(session) for node in shop.nodes) if record))
    return stale, versions


def warnings(host, kind):
    return [warning for warning in host.status()["warnings"] if warning["kind"] == kind]


def named(host, name):
    return [warning["text"] for warning in warnings(host, "clock") if warning["active"] and f"host {name} is" in warning["text"]]


@pytest.mark.row("F26")
@pytest.mark.row("F27")
@pytest.mark.parametrize("seconds, when", OFFSETS)
def test_a_host_whose_clock_is_off_spoils_nothing_and_is_named(cluster, new_id, wrong_clock, seconds, when):
    """step: PHP runs when the clock changes, so its stamps never go back; start: it has seen no other time."""
    wrong_clock.set(seconds if when == "start" else 0)
    shop = make_shop(cluster, wrong_clock)
    untouched, touched, row = new_id(), new_id(), "F26" if seconds > 0 else "F27"
    before = hop(shop, touched, 0, 9)
    wrong_clock.set(seconds)
    during = hop(shop, touched, 9, 18)
    right = shop.hosts[1:]
    assert right[0].put(untouched, "a", "b") and right[1].fetch(untouched, "a") == "b"
    fresh = new_id()
    assert shop.hosts[0].put(fresh, "first", "wrong")  # made by the wrong host, changed by a right one
    assert right[0].put(fresh, "second", "right") and right[1].fetch(fresh, "second") == "right"
    stale = before[0] + during[0]
    versions = before[1] + during[1]
    bar(row, f"{seconds:+} s: every write is read by the next host, versions only grow", f"{len(stale)} stale",
        not stale and versions == sorted(set(versions)))
    ahead = max((node.record(untouched).hlc >> 16) / 1000 - time.time() for node in shop.nodes if node.record(untouched))
    bar(row, f"{seconds:+} s: sessions that it did not touch keep the right time, within 500 ms", f"{ahead:+.3f} s", ahead < 0.5)
    lives = [node.call("PTTL", "mms:" + touched) / 1000 for node in shop.nodes]
    bar(row, f"{seconds:+} s: nothing expires early", lives, min(lives) > 1440 - 60 and max(lives) <= 1441)
    until(lambda: all(named(host, "host1") for host in shop.hosts), 20, "all hosts name host1")
    texts = [named(host, "host1")[0] for host in shop.hosts]
    assert not any(named(host, other) for host in shop.hosts for other in ("host2", "host3"))
    for host in shop.hosts:
        assert host.put(new_id(), "a", "b")  # whoever closes a session writes the line
    lines = [len([line for line in host.log_lines("clocks are wrong") if "host1" in line]) for host in shop.hosts]
    bar(row, f"{seconds:+} s: host1 is named in the status and by one line in the log of each host", f"{texts[1]}; lines {lines}",
        lines == [1] * len(shop.hosts))
    wrong_clock.set(0)
    stale, versions_after = hop(shop, touched, 27, 9)
    bar(row, f"{seconds:+} s: and so after it was put right", f"{len(stale)} stale",
        not stale and versions[-1] < versions_after[0] and versions_after == sorted(set(versions_after)))
    shop.wait_equal(10)


@pytest.mark.row("F27")
def test_a_strobing_clock_spoils_nothing(cluster, new_id, full, wrong_clock):
    shop = make_shop(cluster, wrong_clock)
    stopping = threading.Event()

    def strobe():
        turn = 0
        while not stopping.wait(0.013):
            turn += 1
            wrong_clock.set((1 if turn % 2 else -1) * 0.004 * 2 ** (turn % 17))  # 4 ms to 262 s, either way
    thread = threading.Thread(target=strobe)
    thread.start()
    try:
        stale, versions = [], []
        for _ in range(20 if full else 3):
            session = new_id()
            found = hop(shop, session, 0, 60)
            stale += found[0]
            versions.append(found[1])
    finally:
        stopping.set()
        thread.join()
    regressions = sum(1 for each in versions if each != sorted(set(each)))
    bar("F27", "strobe of 4 ms to 262 s: 0 stale, 0 version regressions", f"{len(stale)} stale, {regressions} regressions "
        f"in {60 * len(versions)} writes", not stale and not regressions)
    shop.wait_equal(10)


@pytest.mark.row("F26")
def test_a_logout_on_a_wrong_clock_stays_and_one_elsewhere_beats_it(cluster, new_id, wrong_clock):
    shop = make_shop(cluster, wrong_clock)
    outcomes = []
    for seconds in (86400, -86400):
        wrong_clock.set(seconds)
        for destroyer, other in ((0, 1), (1, 0)):
            session = new_id()
            assert shop.hosts[0].put(session, "user", "somebody") and shop.hosts[1].put(session, "cart", "full")
            assert shop.hosts[destroyer].visit(session, "start;destroy")["ok"]["destroy"]
            alive = [host.name for host in shop.hosts if host.fetch(session, "user")]
            assert shop.hosts[other].put(session, "user", "again")
            seen = [host.fetch(session, "user") for host in shop.hosts]
            outcomes.append((seconds, destroyer, alive, seen))
    bar("F26", "logouts hold and new logins come through, whichever clock is wrong", outcomes,
        all(not alive and seen == ["again"] * 3 for _, _, alive, seen in outcomes))


ROLLOVER = 1024 * 7 * 86400  # of the week number of GPS: 19.6 years


def leap_once(shop, wrong_clock, new_id):
    """One page with the clock 19.6 years ahead; the carts of before, and ten new ones when it is right again."""
    old, during = [new_id() for _ in range(3)], new_id()
    for session in old:
        assert shop.hosts[1].put(session, "cart", "full")
    wrong_clock.set(ROLLOVER)
    assert shop.hosts[0].put(during, "n", "during")
    return old, during


def after_the_leap(shop, old, new_id):
    """What other hosts miss of what the host that leapt has written since, and of the carts that it has written to."""
    fresh, missing = [new_id() for _ in range(10)], []
    for session in fresh:
        assert shop.hosts[0].put(session, "n", session)
    for session in old:
        assert shop.hosts[0].put(session, "n", session)
    for session in fresh + old:
        missing += [host.name for host in shop.hosts if host.fetch(session, "n") != session]
    missing += [host.name for session in old for host in shop.hosts if host.fetch(session, "cart") != "full"]
    return missing


@pytest.mark.row("F26")
def test_a_clock_that_leaps_by_decades_is_not_followed_and_costs_nothing_later(cluster, new_id, wrong_clock):
    wrong_clock.set(0)
    shop = make_shop(cluster, wrong_clock)
    old, during = leap_once(shop, wrong_clock, new_id)
    seen = [host.fetch(during, "n") for host in shop.hosts]
    bar("F26", "clock leaps 19.6 years: what is written then is shown by all", seen, seen == ["during"] * 3)
    until(lambda: any("is not followed" in warning["text"] for warning in warnings(shop.hosts[0], "clock")), 20,
          "its status says that it is not followed")
    missing = after_the_leap(shop, old, new_id)
    wrong_clock.set(0)
    missing += after_the_leap(shop, old, new_id)
    bar("F26", "clock leaps 19.6 years: 0 sessions lost during that and later", f"{len(missing)} lost", not missing)
    shop.wait_equal(10)


@pytest.mark.row("F26")
def test_a_php_that_started_decades_ahead_listens_to_the_nodes_and_costs_nothing_later(cluster, new_id, wrong_clock):
    wrong_clock.set(ROLLOVER)
    shop = make_shop(cluster, wrong_clock)
    old, _ = leap_once(shop, wrong_clock, new_id)
    wrong_clock.set(0)
    missing = after_the_leap(shop, old, new_id)
    bar("F26", "PHP starts 19.6 years ahead, and is put right: 0 sessions lost later", f"{len(missing)} lost", not missing)
    wrong_clock.set(ROLLOVER)
    again = make_shop(cluster, wrong_clock)
    leap_once(again, wrong_clock, new_id)
    until(lambda: any("is not followed" in warning["text"] for warning in warnings(again.hosts[0], "clock")), 20,
          "the nodes have told it")
    missing = after_the_leap(again, [], new_id)
    bar("F26", "PHP starts 19.6 years ahead: 0 sessions lost once it has asked the nodes", f"{len(missing)} lost", not missing)


@pytest.mark.row("F27")
def test_a_wrong_clock_makes_nobody_compare_everything_again(cluster, new_id, wrong_clock):
    wrong_clock.set(-400 * 86400)
    shop = make_shop(cluster, wrong_clock, hosts=2)
    for host in shop.hosts:
        assert host.put(new_id(), "a", "b")

    def sweeps():
        return sum(host.status()["sweep"]["finished"] for host in shop.hosts)
    until(lambda: sweeps() > 0, 60, "the sweep of a first installation is over")
    started = time.monotonic()
    until(lambda: sweeps() > 1 or time.monotonic() - started > 15, 30, "15 s")
    bar("F27", "a clock 400 days behind: everything is compared once, by one host", f"{sweeps()} in 15 s", sweeps() == 1)


@pytest.mark.row("F50")
def test_two_hosts_with_one_id_are_told(cluster, new_id, full):
    shop = cluster(3, 1)
    shop.add_host(1)
    for host in shop.hosts:
        assert host.put(new_id(), "a", "b")
    until(lambda: all(host.status()["replicator"]["pid"] for host in shop.hosts), 10, "replicators")
    assert not any(warnings(host, "host_id") for host in shop.hosts)
    twin = shop.add_host(2, ini={"mmsession.host_id": "host1"})
    assert twin.put(new_id(), "a", "b")
    until(lambda: all(warnings(host, "host_id") for host in (shop.hosts[0], twin)), 20, "both are told")
    assert not warnings(shop.hosts[1], "host_id")
    for host in (shop.hosts[0], twin):
        assert host.put(new_id(), "a", "b")
    lines = [host.log_lines("another host uses host id host1 too") for host in (shop.hosts[0], twin)]
    bar("F50", "both hosts of one id are told by one line that names it and the remedy", lines,
        [len(each) for each in lines] == [1, 1] and all("mmsession.host_id" in each[0] for each in lines))
    if full:
        twin.stop()
        until(lambda: not any(warning["active"] for warning in warnings(shop.hosts[0], "host_id")), 60, "over when the other is gone")
