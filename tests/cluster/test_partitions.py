"""Networks that fall apart: every side serves, and what they did meets in one way only."""
import random
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from measure import BUDGET_US, STALL_US, Phases, ms, no_harm, none_failed, seconds, unharmed, wait_closed
from rig import record
from rig.load import Load
from rig.network import Namespaces, namespaces_allowed
from rig.node import differences
from rig.process import until
from rig.results import add, bar, within


def needs_namespaces():
    if not namespaces_allowed():
        pytest.skip("network namespaces are refused here: one-way cuts and packet loss can't be staged")


def apart(cluster, count, hosts=None, **options):
    """A cluster with one host per node; cut by namespaces, or by proxies where those are refused."""
    if namespaces_allowed():
        return cluster(count, hosts or count, network=Namespaces(count), **options)
    return cluster(count, hosts or count, proxied=True, **options)


def all_closed(shop, limit=15):
    """Every host uses every node again."""
    until(lambda: all(node["state"] == "closed" for host in shop.hosts for node in host.status()["nodes"]), limit,
          "all nodes in use again")


def wait_given_up(host, names, limit=5):
    until(lambda: all(host.node_status(name)["state"] != "closed" for name in names), limit, f"{names} given up")


def newest_of(contents):
    """Session id -> the record that the merge order puts first, over several nodes' raw records."""
    ids = set().union(*contents)
    return {key: max((content[key] for content in contents if key in content), key=lambda data: record.parse(data).version)
            for key in ids}


def unread_copies(contents, expected):
    """(copies, sessions): how many copies on how many nodes the newest write replaces although its request had not read them, and
    of how many sessions: what one side of a cut did and the other one's write discards. What is older than the write that the
    winner was based on can't be told from an ancestor, and is not counted here either."""
    found = [sum(record.replaced_unread(data, content[key]) for content in contents if key in content)
             for key, data in expected.items()]
    return sum(found), sum(1 for each in found if each)


def counted(shop, name):
    return sum(host.status()["counters"][name] for host in shop.hosts)


def _meet(shop, row, what, expected):
    """After the cut: all nodes hold the expected bytes within 10 s."""
    shop.join()
    healed = time.monotonic()
    took = shop.wait_equal(10)
    final = shop.nodes[0].raw_records()
    right = sum(1 for key, data in expected.items() if final.get(key) == data)
    contents = [node.raw_records() for node in shop.nodes]
    diverged = differences(contents)
    bar(row, f"{what}: 0 of {len(expected)} diverged 10 s after the heal",
        f"{len(diverged)}, equal after {took:.1f} s", not diverged)
    bar(row, f"{what}: the winner is the higher version in all", f"{right} of {len(expected)}", right == len(expected))
    return healed


CUTS = {
    "both-ways": lambda shop, last: shop.split(range(last), [last]),
    "deaf": lambda shop, last: [shop.cut(last, other) for other in range(last)],
    "mute": lambda shop, last: [shop.cut(other, last) for other in range(last)],
}


def _both_write(shop, prefix, count, sides, turn):
    """Both sides write the same sessions at the same time; what was not acknowledged."""
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(
            lambda side: shop.hosts[side].bulk("write", prefix, count, value=f"side {side} turn {turn}"), sides))
    return [answer["bad"] for answer in answers if answer["good"] < count], max(each["slowest_us"] for each in answers)


@pytest.mark.core
@pytest.mark.row("F33")
@pytest.mark.parametrize("cut", CUTS)
def test_writes_on_both_sides_of_a_cut_end_as_the_newest_everywhere(cluster, new_id, full, cut, size, server):
    if cut != "both-ways":
        needs_namespaces()
    shop, last, count, prefix = apart(cluster, size, program=server), size - 1, 2000 if full else 300, new_id()
    assert shop.hosts[0].bulk("write", prefix, count, value="before")["good"] == count
    shop.wait_equal(10)
    CUTS[cut](shop, last)
    began, turn, refused, slowest, chance = time.monotonic(), 0, [], 0, random.Random(33)
    while turn < 2 or time.monotonic() - began < seconds(full, 60, 2):
        bad, slow = _both_write(shop, prefix, count, (0, last), turn)
        refused, slowest, turn = refused + bad, max(slowest, slow), turn + 1
        # The sides change who is last, session by session.
        for number in chance.sample(range(count), count // 10):
            shop.hosts[chance.choice((0, last))].put(f"{prefix}{number}", "value", f"single {turn}")
    bar("F33", f"{cut}: both sides serve", f"{len(refused)} refused {refused[:1]} of {2 * turn * count}", not refused)
    within("F33", f"{cut}: each within budget", ms(slowest), slowest, (BUDGET_US, BUDGET_US + STALL_US))
    assert all(host.flush(10000) for host in shop.hosts)
    contents = [node.raw_records() for node in shop.nodes]
    add("F33", f"{cut}: sessions that differ at the heal", len(differences(contents)))
    assert cut != "both-ways" or differences(contents), "the cut did not cut"
    expected, before = newest_of(contents), counted(shop, "discards")
    copies, sessions = unread_copies(contents, expected)
    _meet(shop, "F33", cut, expected)
    # A replicator counts when it hears the answer, which is after the record stands there.
    deadline = time.monotonic() + 2
    while counted(shop, "discards") - before < copies and time.monotonic() < deadline:
        time.sleep(0.02)
    discards = counted(shop, "discards") - before
    bar("F33", f"{cut}: each write that is discarded and newer than what the winner had read is counted, for each node that held it",
        f"{discards} counted of {copies} copies, of {sessions} sessions; {len(differences(contents))} differed", discards == copies and (copies or cut != "both-ways"))
    all_closed(shop)
    seen = {host.bulk("read", prefix, count)["digest"] for host in shop.hosts}
    bar("F33", f"{cut}: all hosts show the same", f"{len(seen)} kinds of answers", len(seen) == 1)


@pytest.mark.core
@pytest.mark.row("F34")
@pytest.mark.row("C4")
def test_a_logout_on_one_side_of_a_cut_beats_activity_on_the_other(cluster, new_id, full, size, server):
    shop, last, count, prefix = apart(cluster, size, program=server), size - 1, 1000 if full else 150, new_id()
    assert shop.hosts[0].bulk("write", prefix, count, value="before")["good"] == count
    shop.wait_equal(10)
    shop.split(range(last), [last])
    half = count // 2
    # Half of the logouts come before the other side's activity, half after it; and on either side.
    done = [shop.hosts[0].bulk("destroy", prefix, half)["good"],
            shop.hosts[last].bulk("write", prefix, half, value="later")["good"],
            shop.hosts[0].bulk("write", prefix, count - half, start=half, value="earlier")["good"],
            shop.hosts[last].bulk("destroy", prefix, count - half, start=half)["good"]]
    time.sleep(seconds(full, 50, 0))
    bar("F34", "both sides serve during the cut", done, done == [half, half, count - half, count - half])
    shop.join()
    took = shop.wait_equal(10)
    alive = [key for node in shop.nodes for key, data in node.raw_records().items()
             if key.startswith(prefix) and not record.parse(data).tombstone]
    bar("F34", f"0 of {count} alive after the heal", f"{len(alive)}, equal after {took:.1f} s", not alive)
    shown = sum(host.bulk("read", prefix, count, value=value)["good"] for host in shop.hosts for value in ("later", "earlier"))
    bar("F34", "no host shows one", shown, shown == 0)


def _ring_of_majorities(shop):
    """Each of five places hears from itself and its two neighbours."""
    for here in range(5):
        for there in ((here + 2) % 5, (here + 3) % 5):
            shop.cut(here, there)


def _one_bridge(shop):
    """Two halves that don't see each other; place 2 sees both and is seen by both."""
    for here, there in ((0, 3), (0, 4), (1, 3), (1, 4)):
        shop.cut(here, there)
        shop.cut(there, here)


@pytest.mark.row("F35")
@pytest.mark.parametrize("cut", [_ring_of_majorities, _one_bridge], ids=["majorities-ring", "bridge"])
def test_five_places_that_see_different_majorities_serve_and_converge(cluster, full, cut):
    needs_namespaces()
    shop = apart(cluster, 5, workers=6)
    # A visitor stays on a host: what a host that can't be heard from did, nobody can show elsewhere.
    load = Load(shop.hosts, rate=150, visitors=500 if full else 100, fill=2000, threads=16, pin=lambda number: number % 5)
    with load:
        load.run_for(1.5)
        cut(shop)
        begin, end = load.run_for(seconds(full, 60, 3))
        shop.join()
        load.run_for(seconds(full, 10, 1))
    none_failed("F35", load.failed(), f"{cut.__name__.strip('_')}: all hosts serve, 0 failed of {len(load.samples)}")
    slowest = max(sample.session_us for sample in load.between(begin, end))
    within("F35", "each within budget", ms(slowest), slowest, (BUDGET_US, BUDGET_US + STALL_US))
    bar("F35", "all nodes equal within 10 s of the heal", f"{shop.wait_equal(10):.1f} s", True)
    unharmed("F35", load.history, shop.hosts[3])


def _flap(shop, links, phases, number):
    """200 ms down, 200 ms up; returns how many hosts use the node at the end of that."""
    for link in links:
        link.set(reset="connect")  # accepts and resets, so that every attempt is counted
        link.reset_all()
    phases.run(f"down {number}", 0.2)
    for link in links:
        link.clear()
    phases.run(f"up {number}", 0.2)
    return [host.node_status("web3")["state"] == "closed" for host in shop.hosts]


@pytest.mark.row("F36")
def test_a_flapping_node_is_held_out_longer_each_time(cluster, full):
    shop = cluster(3, 2, proxied=[2])
    links, length, used = shop.links_to(2), seconds(full, 60, 6), [0, 0]
    rounds = int(length / 0.4)
    with Phases(shop, full) as phases:
        phases.run("healthy", 2)
        before = [link.counts()["connections"] for link in links]
        for number in range(rounds):
            used = [count + each for count, each in zip(used, _flap(shop, links, phases, number))]
        spent = [link.counts()["connections"] - count for link, count in zip(links, before)]
        wait_closed(shop, "web3")
    begin, end = phases.span("down 0")[0], phases.span(f"up {rounds - 1}")[1]
    total, slow = len(phases.load.between(begin, end)), len(phases.load.slow(begin, end))
    usual = len(phases.slow("healthy")) / max(1, len(phases.load.between(*phases.span("healthy"))))
    within("F36", "slow <= 1 %", f"{slow} of {total}, healthy {usual:.1%}", slow, (0.01 * total, max(0.01, usual) * total))
    # Each time a host uses the node again, its workers connect once more. The first waits are short: half of a
    # minute's probes may come in the first seconds.
    probes = [count - times * (shop.hosts[0].workers_max + 1) for count, times in zip(spent, used)]
    limit = 30 if full else 15
    bar("F36", f"probes <= {limit} in {length} s", f"{probes}; {spent} connections, used {used} times of {rounds}",
        max(probes) <= limit and max(used) < rounds / 2)
    no_harm("F36", shop, phases, ["healthy", *(f"{way} {number}" for number in range(rounds) for way in ("down", "up"))])
    bar("F36", "all nodes equal within 10 s of the end", f"{shop.wait_equal(10):.1f} s", True)
