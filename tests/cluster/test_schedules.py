"""Schedules that break a simpler design, D1 to D12: tests/sim/directed.c has the same in simulated time.

Host n uses node n as its local one. Each ends when all that was cut, stopped or killed is back: every node must then hold
the newest, and nothing may be left of hints and behind markers.
"""
import os
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from rig.process import Late, until
from rig.results import bar

OFF = {"refuse": True}  # connections are refused, those that stood are reset


def cut(shop, host, *nodes, how=None):
    for node in nodes:
        link = shop.link(host, node)
        link.set(**(how or OFF))
        if how is None:
            link.reset_all()


def mend(shop, host, *nodes):
    for node in nodes:
        shop.link(host, node).clear()


def content(node, session):
    """What the node has of the session: a value, "logged out" or nothing."""
    record = node.record(session)
    if record is None:
        return "nothing"
    found = re.search(rb'n\|s:\d+:"([^"]*)"', record.payload)
    return "logged out" if record.tombstone else found[1].decode() if found else "something else"


def everywhere(shop, *sessions, value, seconds=10):
    """Waits for nodes that all hold this; the mirrors of a healthy cluster."""
    until(lambda: all(content(node, session) == value for node in shop.nodes for session in sessions), seconds,
          lambda: f"all nodes hold {value}: {[content(node, session) for node in shop.nodes for session in sessions]}")


def begins(shop, writer, session):
    """Every host has a replicator; all nodes hold the session that this one wrote."""
    for index, host in enumerate(shop.hosts):
        assert host.put(f"{session}{index}", "n", "other")
    assert shop.hosts[writer].put(session, "n", "first")
    everywhere(shop, session, value="first")


def back(host, session):
    """Its PHP, killed before, serves again."""
    host.start()
    assert host.put(f"{session}back", "n", "other")


def missed(host, name, count=1):
    """The host has hints for this node, and its marker tells the other nodes."""
    def noted():
        status = host.node_status(name)
        return status["hints"] == count and status["behind"]
    until(noted, 10, lambda: f"{host.name} notes what {name} missed: {host.node_status(name)}")


def leaves_alone(host, name, session):
    """The host has noticed that a node is stopped. What it sent there until now waits in a socket; what follows does not."""
    until(lambda: host.put(f"{session}probe", "n", "other") and host.node_status(name)["state"] == "open", 10, f"{name} left alone")


def state(host, name, wanted):
    until(lambda: host.node_status(name)["state"] == wanted, 10, f"{name} {wanted} for {host.name}")


def markers_left(shop):
    """What the nodes and hosts say when markers stay."""
    told = [f"{node.name}: {node.call('HGETALL', 'mms::behind')}, lives {node.call('HGETALL', 'mms::lives')}" for node in shop.nodes]
    for host in shop.hosts:
        status = host.status()
        told.append(f"{host.name}: {status['nodes']}, replicator {status['replicator']}, sweep {status['sweep']}, "
                    f"{ {name: count for name, count in status['counters'].items() if count} }, {host.log_lines()}")
    return "no behind markers are left:\n" + "\n".join(told)


def converges(row, shop, *sessions, value, seconds=15, emptied=False):
    """The end of every schedule. Nodes are looked at first: what hosts are asked for, they repair."""
    began = time.monotonic()
    try:
        everywhere(shop, *sessions, value=value, seconds=seconds)
    except Late:
        pass
    took = time.monotonic() - began
    held = [content(node, session) for node in shop.nodes for session in sessions]
    bar(row, f"every node ends with '{value}'", f"{held} after {took:.1f} s", set(held) == {value})
    shop.wait_equal(5)
    until(lambda: not any(node["hints"] for host in shop.hosts for node in host.status()["nodes"]), 10, "no hints are left")
    if not emptied:  # a marker under the id of an emptied node stays
        until(lambda: not any(node.call("HLEN", "mms::behind") for node in shop.nodes), 15, lambda: markers_left(shop))
    wanted = None if value == "logged out" else value
    seen = [host.fetch(session, "n") for host in shop.hosts for session in sessions]
    bar(row, "and so every host shows it; all nodes hold equal bytes", seen, all(each == wanted for each in seen))
    shop.wait_equal(5)


@pytest.mark.row("D1")
def test_a_session_missed_again_while_its_hint_is_on_its_way_arrives(cluster, new_id):
    shop, session = cluster(3, 2, proxied=True), new_id()
    host, link = shop.hosts[0], shop.link(0, 2)
    begins(shop, 0, session)
    cut(shop, 0, 2)
    assert host.put(session, "n", "second")
    missed(host, "web3")
    # The delivery asks the node what it has, and hears nothing.
    before = link.counts()["hit"]
    link.set(rules=[{"verb": "GETRANGE", "do": "delay", "delay_ms": 5000}])
    until(lambda: link.counts()["hit"] > before, 10, "the hint is under way")
    cut(shop, 0, 2)
    assert host.put(session, "n", "third")
    assert content(shop.nodes[2], session) != "third"
    mend(shop, 0, 2)
    converges("D1", shop, session, value="third")


@pytest.mark.row("D1")
def test_a_session_missed_again_while_its_hint_is_acknowledged_arrives(cluster, new_id):
    """As above, but the node answers. What is larger than the mailbox goes to two nodes, and is a hint for the third at once."""
    shop = cluster(3, 2, proxied=True, mmsession={"mailbox_size": "64K", "read_timeout_ms": 5000, "budget_ms": 10000})
    session, host, link = new_id(), shop.hosts[0], shop.link(0, 2)
    begins(shop, 0, session)
    cut(shop, 0, 2)
    assert host.put(session, "n", "second")
    missed(host, "web3")
    link.set(rules=[{"verb": "EVALSHA", "do": "delay", "delay_ms": 2000}])
    until(lambda: content(shop.nodes[2], session) == "second", 10, "the hint is delivered")
    delivered = host.status()["counters"]["hints_delivered"]
    answer = host.visit(session, "start;set:n:third;fill:filler:60000;close")
    assert answer["ok"]["close"] and not answer["warnings"], answer
    assert [content(node, session) for node in shop.nodes] == ["third", "third", "second"]
    assert host.status()["counters"]["hints_delivered"] == delivered, "too late for this"
    mend(shop, 0, 2)
    converges("D1", shop, session, value="third")


@pytest.mark.row("D2")
def test_a_hint_stays_while_the_node_of_the_newest_copy_is_away(cluster, new_id):
    shop, session = cluster(3, 3, proxied=True), new_id()
    host, others = shop.hosts[0], shop.nodes[1:]
    begins(shop, 0, session)
    cut(shop, 0, 1, 2)
    assert host.put(session, "n", "second") and host.put(session, "n", "third")

    def kept():
        return [node["hints"] for node in host.status()["nodes"][1:]]
    until(lambda: kept() == [1, 1], 10, "hints for both")
    shop.nodes[0].stop()
    mend(shop, 0, 1, 2)
    state(host, "web1", "open")
    for name in ("web2", "web3"):
        state(host, name, "closed")

    def asked():
        return [node.command_calls().get("getrange", 0) for node in others]
    before = asked()
    until(lambda: all(now > count + 4 for now, count in zip(asked(), before)) or kept() != [1, 1], 10, "deliveries were tried",
          every=0.05)
    left = kept()
    bar("D2", "hints whose newest copy can't be asked for stay", left, left == [1, 1])
    shop.nodes[0].cont()
    converges("D2", shop, session, value="third")


@pytest.mark.row("D3")
def test_a_host_does_not_clear_the_marker_of_another_with_the_same_local_node(cluster, new_id):
    shop = cluster(3, 0, proxied=True)
    for local in (0, 0, 2):
        shop.add_host(local)
    first, second = shop.hosts[:2]
    sessions = [new_id(), new_id()]
    for writer, session in enumerate(sessions):
        begins(shop, writer, session)
    cut(shop, 0, 2)
    cut(shop, 1, 2)
    assert first.put(sessions[0], "n", "second") and second.put(sessions[1], "n", "second")
    missed(first, "web3")
    missed(second, "web3")
    mend(shop, 0, 2)
    until(lambda: shop.nodes[0].call("HLEN", "mms::behind") == 1, 10, "the first host has cleared its marker")
    assert content(shop.nodes[2], sessions[0]) == "second" and content(shop.nodes[2], sessions[1]) == "first"
    second.kill_all()
    mend(shop, 1, 2)
    back(second, sessions[1])
    converges("D3", shop, *sessions, value="second")


def _failover_then_killed(row, shop, session, also_cut=()):
    host, node = shop.hosts[0], shop.nodes[0]
    begins(shop, 0, session)
    node.stop()
    cut(shop, 0, *also_cut)
    leaves_alone(host, "web1", session)
    assert host.put(session, "n", "third")
    for name in ("web1", *(f"web{index + 1}" for index in also_cut)):
        missed(host, name, 2)
    host.kill_all()
    node.cont()
    mend(shop, 0, *also_cut)
    back(host, session)
    converges(row, shop, session, value="third")


@pytest.mark.row("D4")
def test_what_a_stopped_local_node_missed_survives_the_end_of_php(cluster, new_id):
    _failover_then_killed("D4", cluster(3, 3, proxied=True), new_id())


@pytest.mark.row("D4b")
def test_what_a_stopped_local_node_and_a_peer_missed_survives_the_end_of_php(cluster, new_id):
    _failover_then_killed("D4b", cluster(3, 3, proxied=True), new_id(), also_cut=[2])


@pytest.mark.row("D5")
def test_a_logout_outlives_the_session_that_lived_long(cluster, new_id, wrong_clock):
    """The clock of everybody goes on by 70 minutes: longer than the host that logs out lets sessions live, and an hour."""
    shop, session = cluster(3, 0, node_environments=[wrong_clock.environment()] * 3), new_id()
    for index, lifetime in enumerate((40000, 100, 100)):
        shop.add_host(index, mmsession={"lifetime": lifetime}, environment=wrong_clock.environment())
    begins(shop, 0, session)
    away = shop.nodes[2]
    away.stop()
    for host in shop.hosts[:2]:
        leaves_alone(host, "web3", session)
    assert shop.hosts[1].visit(session, "start;destroy")["ok"]["destroy"]
    until(lambda: content(shop.nodes[0], session) == "logged out", 5, "the logout is on both nodes")
    wrong_clock.set(4200)
    for host in shop.hosts[:2]:
        host.kill_all()  # hints go by a clock that does not jump, and they must not help
        host.start()
    away.cont()
    seen = [host.fetch(session, "n") for host in (shop.hosts[2], *shop.hosts[:2])]
    bar("D5", "no host shows the session when the node is back", seen, seen == [None] * 3)
    converges("D5", shop, session, value="logged out")


@pytest.mark.row("D6")
def test_what_was_still_in_the_mailbox_of_a_killed_host_reaches_all_nodes(cluster, new_id):
    shop, session = cluster(3, 3, proxied=True), new_id()
    host = shop.hosts[0]
    begins(shop, 0, session)
    cut(shop, 0, 1, 2, how={"blackhole": True})
    assert host.put(session, "n", "second")
    host.kill_all()
    assert [content(node, session) for node in shop.nodes] == ["second", "first", "first"]
    mend(shop, 0, 1, 2)
    back(host, session)
    converges("D6", shop, session, value="second")


@pytest.mark.row("D7")
def test_two_requests_with_one_stamp_are_told_apart(cluster, new_id, signs, wrong_clock):
    shop, session = cluster(3, 0), new_id()
    shop.add_host(0, environment=wrong_clock.environment())
    for index in (1, 2):
        shop.add_host(index)
    host, node = shop.hosts[0], shop.nodes[0]
    begins(shop, 2, session)
    wrong_clock.set(-10)
    host.reload()  # no stamp of before keeps its clock up
    stamps, order = [], []
    with ThreadPoolExecutor(2) as pool:
        for turn in range(2):
            requests = []
            for name in (f"early{turn}", f"late{turn}"):
                steps = f"start;touch:{signs}/{name}.read;await:{signs}/{name}.go;set:n:{name};close"
                requests.append((name, pool.submit(host.visit, session, steps)))
            until(lambda: all((signs / f"{name}.read").exists() for name, _ in requests), 10, "both have read")
            for name, request in requests:
                (signs / f"{name}.go").touch()
                answer = request.result()
                assert answer["ok"]["close"] and not answer["warnings"], answer
                stamps.append(node.record(session).hlc)
                order.append((content(node, session), node.record(session).version))
            everywhere(shop, session, value=f"late{turn}")
    bar("D7", "two requests that read the same get one stamp", stamps, stamps[0] == stamps[1] and stamps[2] == stamps[3])
    bar("D7", "of two with one stamp the later one is newer", [name for name, _ in order],
        [name for name, _ in order] == ["early0", "late0", "early1", "late1"]
        and all(before[1] < after[1] for before, after in zip(order, order[1:])))
    converges("D7", shop, session, value="late1")


@pytest.mark.row("D8")
def test_a_session_larger_than_the_mailbox_is_not_on_one_node_alone(cluster, new_id):
    shop, session = cluster(3, 3, mmsession={"mailbox_size": "64K"}), new_id()
    host, node = shop.hosts[2], shop.nodes[2]
    begins(shop, 2, session)
    answer = host.visit(session, "start;set:n:second;fill:filler:60000;close")
    os.kill(node.pid, signal.SIGKILL)
    assert answer["ok"]["close"] and not answer["warnings"], answer
    held = [content(each, session) for each in shop.nodes[:2]]
    bar("D8", "another node has it when the local one is killed after the answer", held, "second" in held)
    node.restart(empty=True)
    converges("D8", shop, session, value="second", emptied=True)


def _put_with_replicator_stopped(host, new_id):
    """(session, pid): a new session on the local node alone; its mirrors wait until the replicator goes on."""
    owner = until(lambda: host.status()["replicator"]["pid"], 5, "a replicator")
    os.kill(owner, signal.SIGSTOP)
    while True:
        session = new_id()
        try:
            answer = host.visit(session, "start;set:n:first;close", timeout=0.5)
        except OSError:
            continue  # php-fpm gave the request to the stopped worker
        assert answer["ok"]["close"] and not answer["warnings"], answer
        return session, owner


@pytest.mark.row("D9")
def test_an_acknowledgement_ends_with_the_node_that_gave_it(cluster, new_id):
    shop, old = cluster(3, 3), new_id()
    assert shop.hosts[0].put(old, "n", "old")
    everywhere(shop, old, value="old")
    node = shop.nodes[2]
    session, owner = _put_with_replicator_stopped(shop.hosts[2], new_id)
    try:
        held = [content(each, session) for each in shop.nodes]
        node.restart(empty=True)
        # Only a scan brings it: of another host, or of whoever has succeeded the stopped replicator.
        until(lambda: content(node, old) == "old", 10, "the emptied node has been scanned", every=0.05)
    finally:
        os.kill(owner, signal.SIGCONT)
    assert held == ["nothing", "nothing", "first"]
    converges("D9", shop, session, value="first", emptied=True)


@pytest.mark.row("D10")
def test_a_node_restored_from_a_dump_is_compared(cluster, new_id):
    shop, session = cluster(3, 3), new_id()
    host, node = shop.hosts[0], shop.nodes[0]
    begins(shop, 0, session)
    node.save()
    assert host.put(session, "n", "second")
    everywhere(shop, session, value="second")
    marker = node.call("GET", "mms::node").split()[0]
    node.restart(empty=False)
    assert content(node, session) == "first" and node.call("GET", "mms::node").split()[0] == marker
    converges("D10", shop, session, value="second")


@pytest.mark.row("D11")
def test_a_logout_that_one_emptied_node_had_is_delivered_from_its_hint(cluster, new_id):
    shop, session = cluster(2, 2, proxied=True), new_id()
    host, node = shop.hosts[1], shop.nodes[1]
    begins(shop, 1, session)
    cut(shop, 1, 0)
    cut(shop, 0, 1)
    assert host.visit(session, "start;destroy")["ok"]["destroy"]
    missed(host, "web1")
    assert [content(each, session) for each in shop.nodes] == ["first", "logged out"]
    node.restart(empty=True)
    mend(shop, 1, 0)
    mend(shop, 0, 1)
    converges("D11", shop, session, value="logged out", emptied=True)


@pytest.mark.row("D12")
def test_an_emptied_node_is_filled_from_every_node(cluster, new_id):
    """The host that does it asks its own node first, which has less than the one whose host is gone."""
    shop, session = cluster(3, 2, proxied=True), new_id()
    host, node = shop.hosts[0], shop.nodes[2]
    begins(shop, 1, session)
    cut(shop, 0, 1, 2)
    assert host.put(session, "n", "second")
    host.kill_all()
    assert [content(each, session) for each in shop.nodes] == ["second", "first", "first"]
    node.restart(empty=True)
    until(lambda: (node.call("GET", "mms::node") or b"").endswith(b" 1"), 15, "web3 is complete again")
    held = [content(each, session) for each in shop.nodes]
    bar("D12", "the emptied node has the newest when it is complete", held, held[2] == "second")
    mend(shop, 0, 1, 2)
    back(host, session)
    converges("D12", shop, session, value="second", emptied=True)
