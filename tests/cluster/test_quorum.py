"""read = quorum and write_acks = quorum mean what they say, whatever minority is gone."""
import itertools
import random

import pytest

from measure import ms, seconds, unharmed
from rig.chaos import Chaos
from rig.load import Load
from rig.process import until
from rig.results import add, bar


def _all_complete(shop):
    """In use as well: a node that is down is what it was until it has been met again."""
    try:
        return all(node["complete"] and node["state"] == "closed"
                   for host in shop.hosts for node in host.get("status.php", timeout=2).json["nodes"])
    except (OSError, AssertionError):
        return False  # the worker that was asked has been killed or stopped


QUORUM = {"read": "quorum", "write_acks": "quorum", "connect_timeout_ms": 150, "read_timeout_ms": 300, "budget_ms": 900}


@pytest.mark.row("quorum")
def test_what_a_quorum_took_is_read_while_any_minority_is_gone(cluster, full):
    shop = cluster(3, 3, proxied=True, workers=8, fpm={"fpm_global": ["process_control_timeout = 10s"]}, mmsession=QUORUM)
    load = Load(shop.hosts, rate=100, visitors=60, fill=1000, threads=12, cart=50)
    chaos, faults = Chaos(shop, 7), []
    with load:
        load.run_for(1)
        end = load.now() + seconds(full, 180, 8)
        while load.now() < end:
            faults.append(chaos.one(1.5)[0])
            chaos.settle()
            until(lambda: _all_complete(shop), 60, "all nodes complete", every=0.1)
            load.run_for(0.3)
    add("quorum", "faults, one after the other", ", ".join(faults))
    unharmed("quorum", load.history, shop.hosts[0])
    unclear = [text for _, text in load.warnings if not any(word in text for word in ("quorum", "write_acks", "nodes took it", "node web"))]
    bar("quorum", "who could not be served was told why", f"{len(load.warnings)} of {load.history.count} not served, {len(unclear)} "
        f"without a reason {unclear[:1]}", not unclear)
    bar("quorum", "all nodes equal within 10 s of the end", f"{shop.wait_equal(10):.1f} s", True)


DEGRADE = "ini:mmsession.on_no_quorum:degrade;"


@pytest.mark.row("quorum")
def test_without_a_majority_it_fails_clearly_or_degrades_where_that_is_allowed(cluster, new_id):
    shop = cluster(3, 3, workers=3, mmsession=QUORUM)
    sessions, until_all = [new_id() for _ in range(10)], lambda: _all_complete(shop)
    until(until_all, 20, "all nodes complete", every=0.1)
    assert all(shop.hosts[number % 3].put(session, "n", "taken") for number, session in enumerate(sessions))
    assert all(host.flush() for host in shop.hosts)
    for node in shop.nodes[1:]:
        node.save()
        node.kill()
    answers = [(steps, host.visit(session, steps)) for host in shop.hosts for session in sessions
               for steps in ("read_and_close;get:n", "start;get:n;set:n:refused;close")]
    shown = [answer["values"] for _, answer in answers if answer["values"]["n"] is not None]
    stored = [answer for steps, answer in answers if "close" in answer["ok"] and answer["ok"]["close"] and answer["ok"]["start"]]
    unclear = [answer["warnings"] for _, answer in answers
               if not any("read = quorum: 1 of 3 nodes count, 2 are needed" in text and "web2" in text for text in answer["warnings"])]
    bar("quorum", "two of three nodes lost: every read and write fails, and says how many nodes count and why",
        f"{len(answers)} pages, {len(shown)} shown, {len(stored)} stored, {len(unclear)} unclear {unclear[:1]}; "
        f"{answers[0][1]['warnings'][:1]}",
        not shown and not stored and not unclear)
    slowest = max(answer["session_us"] for _, answer in answers)
    bar("quorum", "each of them within budget_ms", ms(slowest), slowest <= 2000 * QUORUM["budget_ms"])
    before = [host.status()["counters"] for host in shop.hosts]
    answers = [host.visit(session, f"{DEGRADE}start;get:n;set:n:degraded {index};close")
               for index, host in enumerate(shop.hosts) for session in sessions]
    expected = [f"degraded {index - 1}" if index else "taken" for index in range(3) for _ in sessions]
    bad = [answer for answer, value in zip(answers, expected) if answer["warnings"] or answer["values"]["n"] != value]
    after = [host.status()["counters"] for host in shop.hosts]
    counts = [sum(late[name] - early[name] for early, late in zip(before, after)) for name in ("degraded_reads", "degraded_writes")]
    bar("quorum", "with on_no_quorum = degrade they are served by the one that is left, and counted",
        f"{len(bad)} of {len(answers)} not {bad[:1]}; degraded_reads, degraded_writes {counts}",
        not bad and all(count == len(answers) for count in counts))
    for node in shop.nodes[1:]:
        node.restart(empty=False)
    until(until_all, 60, "all nodes complete", every=0.1)
    wrong = [(host.name, answer["values"], answer["warnings"]) for host in shop.hosts for session in sessions
             for answer in [host.visit(session, "read_and_close;get:n")] if answer["values"]["n"] != "degraded 2"]
    bar("quorum", "back from their dumps: every host shows what was written last", f"{len(wrong)} not {wrong[:1]}", not wrong)
    bar("quorum", "all nodes equal within 10 s of that", f"{shop.wait_equal(10):.1f} s", True)


@pytest.mark.row("quorum")
def test_of_five_nodes_two_may_be_lost_right_after_a_write(cluster, new_id, full):
    shop = cluster(5, 5, workers=2, mmsession=QUORUM)
    until(lambda: _all_complete(shop), 20, "all nodes complete", every=0.1)
    pairs = list(itertools.combinations(range(5), 2))
    lost, count, refused = [], 0, []
    for pair in pairs if full else random.Random(5).sample(pairs, 1):
        sessions = [new_id() for _ in range(20)]
        refused += [session for number, session in enumerate(sessions) if not shop.hosts[number % 5].put(session, "n", "before")]
        for index in pair:
            shop.nodes[index].kill()
        for turn in ("before", "after"):
            # Read on all hosts; then written on all, and read on all again.
            for host in shop.hosts:
                answers = [(session, host.visit(session, "read_and_close;get:n")) for session in sessions]
                lost += [(pair, host.name, turn, answer["values"], answer["warnings"][:1]) for session, answer in answers
                         if answer["values"]["n"] != turn]
                count += len(answers)
            if turn == "before":
                refused += [session for number, session in enumerate(sessions)
                            if not shop.hosts[number % 5].put(session, "n", "after")]
        for index in pair:
            shop.nodes[index].restart(empty=True)
        until(lambda: _all_complete(shop), 60, "all nodes complete", every=0.1)
    bar("quorum", "two of five nodes lost right after a write: read by all five hosts, and so is what is written then",
        f"{len(lost)} of {count} not {lost[:2]}, {len(refused)} refused", not lost and not refused)
    bar("quorum", "two of five nodes back empty: all equal within 10 s", f"{shop.wait_equal(10):.1f} s", True)
