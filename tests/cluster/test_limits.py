"""Connections, descriptors, ports and sizes that run out; PHP's own rules while a node is away."""
import os
import re
import time

import pytest

from conftest import FULL
from measure import Phases, no_harm, seconds, wait_closed
from rig.network import Namespaces, namespaces_allowed
from rig.process import Late, until
from rig.results import bar, within

MB = 1 << 20
PATIENT = "ini:mmsession.read_timeout_ms:1000;ini:mmsession.budget_ms:3000;"  # a busy machine moves 16 MB three times meanwhile


def _fill_up(node, count=40):
    """Takes all connections that the node allows, and closes those of everybody else."""
    held = [node.client() for _ in range(count)]
    own = {client.call("CLIENT", "ID") for client in held}
    held[0].call("CONFIG", "SET", "maxclients", count)
    listing = held[0].call("CLIENT", "LIST").decode()
    for number in map(int, re.findall(r"(?m)^id=(\d+)", listing)):
        if number not in own:
            held[0].call("CLIENT", "KILL", "ID", number)
    return held


@pytest.mark.row("F40")
@pytest.mark.parametrize("index", [0, 2], ids=["local", "peer"])
def test_a_node_without_room_for_connections_is_done_without(cluster, full, index):
    shop = cluster(3, 2)
    with Phases(shop, full) as phases:
        phases.run("healthy", 1)
        held = _fill_up(shop.nodes[index])
        phases.run("full", seconds(full, 30, 1.5))
        statuses = [host.node_status(shop.nodes[index].name) for host in shop.hosts]
        held[0].call("CONFIG", "SET", "maxclients", 10000)
        for client in held:
            client.close()
        wait_closed(shop, shop.nodes[index].name)
        phases.run("back", 1)
    bar("F40", "maxclients reached: the node is out of use, and the reason named",
        [(each["state"], each["last_error"]) for each in statuses],
        all(each["state"] != "closed" and "max number of clients" in str(each["last_error"]) for each in statuses))
    no_harm("F40", shop, phases, ["healthy", "full", "back"])
    bar("F40", "all nodes equal within 10 s of the end", f"{shop.wait_equal(10):.1f} s", True)


@pytest.mark.row("F40")
def test_a_worker_without_descriptors_serves_with_what_it_has(cluster, new_id, full):
    shop = cluster(3, 1, workers=1)
    # A worker that has not served yet; the number of the next descriptor is what counts, not how many there are.
    top = max(max(int(name) for name in os.listdir(f"/proc/{pid}/fd")) for pid in shop.hosts[0].workers())
    served, failed, states = [], [], []
    # One for the request, one for the script, then one after the other for nodes and the replicator.
    for spare in range(3, 18 if full else 11):
        host = shop.add_host(0, pool=[f"rlimit_files = {top + 1 + spare}"])
        for _ in range(100 if full else 10):
            session = new_id()
            answer = host.visit(session, "start;set:n:1;close;status", timeout=10)
            (failed if answer["warnings"] else served).append((spare, session, answer["warnings"]))
        states.append([node["state"] for node in answer["values"]["status"]["nodes"]])
    # The last one may be the replicator's, which is a thread of the same process: then the request is told so.
    bar("F40", "descriptors run out: served wherever one node can be connected to",
        f"{len(served)} served, {len(failed)} failed {failed[:1]}",
        len(served) > 10 * len(failed) and all(spare == 3 and "Too many open files" in told[0] for spare, _, told in failed))
    bar("F40", "no node is blamed for it", states, all(state == "closed" for each in states for state in each))
    for host in shop.hosts[1:]:
        host.stop()
    took = shop.wait_equal(10)
    stored = set(shop.nodes[1].raw_records())
    missing = [each for each in served if each[1] not in stored]
    bar("F40", "what was acknowledged is on all nodes", f"{len(missing)} missing of {len(served)}, equal after {took:.1f} s",
        not missing)


@pytest.mark.row("F40")
def test_a_host_without_free_ports_serves_from_its_own_node(cluster, full):
    if not namespaces_allowed():
        pytest.skip("network namespaces are refused here: the range of ports is the whole machine's")
    network = Namespaces(3)
    shop = cluster(3, 3, network=network)
    with Phases(shop, full) as phases:
        phases.run("healthy", 1)
        # Three ports to each peer for nine connections; those that stand are closed, so that all must connect.
        network.set(0, "net.ipv4.ip_local_port_range", "61000 61002")
        for node in shop.nodes[1:]:
            node.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        phases.run("no ports", seconds(full, 30, 1.5))
        network.set(0, "net.ipv4.ip_local_port_range", "32768 60999")
        phases.run("back", 1)
    no_harm("F40", shop, phases, ["healthy", "no ports", "back"])
    bar("F40", "no free ports: 0 failed, all nodes equal within 10 s of the end", f"{shop.wait_equal(10):.1f} s", True)


def _sized(host, session, size, timeout=60):
    return host.visit(session, f"start;fill:big:{size}:{session};close", timeout=timeout)


def _slowest(node, reading):
    """(ms, verb) of the slowest GET or GETRANGE in the node's slow log, or of whatever else is there but what the rig itself looks at."""
    entries = [(entry[2] / 1000, entry[3][0].decode().upper()) for entry in node.call("SLOWLOG", "GET", "10000")]
    return max((entry for entry in entries if entry[1] not in ("SLOWLOG", "CONFIG", "INFO") and entry[1].startswith("GET") == reading),
               default=(0.0, "none"))


def _plain(node, size):
    """(writing, reading): what the same server takes for plain commands of so many bytes, without mmsession: SET and RENAME over a
    value of that size, GET and GETRANGE of one."""
    node.call("CONFIG", "SET", "slowlog-max-len", "10000")
    node.call("CONFIG", "SET", "slowlog-log-slower-than", "0")
    with node.client(timeout=30) as client:
        for _ in range(5):
            client.call("SET", "plain", b"x" * size)
            client.call("SET", "other", b"y" * size)
            client.call("GET", "plain")
            client.call("GETRANGE", "plain", 0, size)
            client.call("RENAME", "other", "plain")
        client.call("DEL", "plain")
    found = _slowest(node, False), _slowest(node, True)
    node.call("SLOWLOG", "RESET")
    return found


@pytest.mark.row("F44")
def test_sessions_up_to_the_limit_work_and_larger_ones_are_refused(cluster, new_id, full):
    shop = cluster(3, 2, workers=2, ini={"memory_limit": "3G"})
    host, other = shop.hosts
    sizes = {"1 MB": MB, "15.9 MB": int(15.9 * MB)}
    plain = [_plain(node, sizes["15.9 MB"]) for node in shop.nodes]
    for name, size in sizes.items():
        session = new_id()
        answer = host.visit(session, f"start;fill:big:{size}:{session};close")
        seen = other.visit(session, "read_and_close;size:big")["values"]["big"]
        bar("F44", f"{name}: stored, and read on another host at once", f"{answer['warnings']}, {seen} bytes",
            not answer["warnings"] and seen == size)
    # Once more over what is there, of which the servers must let go.
    answer = other.visit(session, f"{PATIENT}start;fill:big:{size}:{session}again;close")
    bar("F44", f"{name}: stored over another of that size", answer["warnings"], not answer["warnings"])
    assert host.flush(10000) and other.flush(10000)
    until(lambda: not any(node["hints"] for each in shop.hosts for node in each.status()["nodes"]), 10, "hints delivered")
    writes, reads = (max(_slowest(node, reading) for node in shop.nodes) for reading in (False, True))
    over = {"17 MB": 17 * MB, "64 MB": 64 * MB, **({"511 MB": 511 * MB} if full else {})}
    for name, size in over.items():
        session = new_id()
        assert host.put(session, "n", "old")
        answer = host.visit(session, f"start;fill:big:{size}:{session};close", timeout=120)
        seen = other.visit(session, "read_and_close;get:n;size:big")["values"]
        bar("F44", f"{name}: refused with a warning, the older content stays", f"{answer['warnings'][:1]}, {seen}",
            bool(answer["warnings"]) and "max_session_size" in answer["warnings"][0] and seen == {"n": "old", "big": None})
    bar("F44", "all nodes equal within 10 s", f"{shop.wait_equal(10):.1f} s", True)
    # A server takes a long argument as it is, and copies a long answer: GET and GETRANGE take that long whoever asks.
    for text, found, usual in (
            ("16 MB: no write and no script holds a server for 5 ms (SLOWLOG)", writes, max(each[0] for each in plain)),
            ("16 MB: no read holds it for 5 ms, or longer than a plain GET of that size", reads, max(each[1] for each in plain))):
        within("F44", text, f"{found[1]} {found[0]:.1f} ms", found[0], (5.0, max(5.0, 1.5 * usual[0])),
               f"the same server, plain {usual[1]}: {usual[0]:.1f} ms")


def _states(shop):
    return [node["state"] for host in shop.hosts for node in host.status()["nodes"]]


def _spread(host, new_id, count=100):
    """Small carts, one after the other: the ids of those that were acknowledged."""
    ids = [new_id() for _ in range(count)]
    return [each for each in ids if host.put(each, "n", each)]


def _missing(shop, ids):
    return {node.name: len(set(ids) - set(node.raw_records())) for node in shop.nodes}


@pytest.mark.row("sizes")
def test_a_session_larger_than_the_replicators_own_limit_holds_up_no_other(cluster, new_id):
    shop = cluster(3, 2, workers=2, mmsession={"mailbox_size": "256M", "budget_ms": "5000", "read_timeout_ms": "1000"},
                   ini={"memory_limit": "1G"})
    host, other = shop.hosts
    small = _spread(host, new_id, 10)
    session = new_id()
    answer = host.visit(session, f"ini:mmsession.max_session_size:64M;start;fill:big:{40 * MB}:{session};close")
    small += _spread(host, new_id)
    equal = shop.wait_equal(20)
    missing = _missing(shop, small + [session])
    bar("sizes", "40 MB by ini_set() in one script of a host: stored, and mirrored by a process whose limit is 16 MB",
        f"{answer['warnings']}, equal after {equal:.1f} s", answer["ok"]["close"] and not answer["warnings"])
    bar("sizes", "the carts behind it are on all nodes", f"{len(small)} acknowledged, missing {missing}",
        len(small) == 110 and not any(missing.values()))
    states = _states(shop)
    bar("sizes", "no node is blamed, and no hint left", states, set(states) == {"closed"}
        and not any(node["hints"] for node in host.status()["nodes"]))
    seen = other.visit(session, "ini:mmsession.max_session_size:64M;read_and_close;size:big")["values"]["big"]
    bar("sizes", "read on another host by a script that raised its own limit", f"{seen} bytes", seen == 40 * MB)


@pytest.mark.row("sizes")
def test_a_session_over_a_hosts_limit_fails_alone_there(cluster, new_id):
    shop = cluster(3, 0, workers=2, mmsession={"mailbox_size": "64M", "budget_ms": "5000", "read_timeout_ms": "1000"},
                   ini={"memory_limit": "1G"})
    large = shop.add_host(0, mmsession={"max_session_size": "64M"})
    low = shop.add_host(1, mmsession={"max_session_size": "1M"})
    session, foreign = new_id(), new_id()
    small = _spread(large, new_id, 20)
    stored = large.visit(session, f"start;fill:big:{24 * MB}:{session};close")["ok"]["close"]
    for node in shop.nodes:
        node.call("SET", f"mms:{foreign}", b"x" * (8 * MB))
    assert large.flush(10000)
    said, lost = [], []
    for each in small:
        said.append(low.visit(session, "read_and_close;size:big")["warnings"])
        low.visit(foreign, "read_and_close")
        if low.fetch(each, "n") != each:
            lost.append(each)
    states = _states(shop)
    bar("sizes", "24 MB where 1 MB is allowed: that session fails, naming node, size and setting", said[0],
        stored and all(words and "web2" in words[0] and f"{24 * MB}"[:6] in words[0]
                       and "mmsession.max_session_size (1048576)" in words[0] for words in said))
    bar("sizes", "all other visitors are served in between, no node is blamed", f"{len(lost)} lost, {states}",
        not lost and set(states) == {"closed"})
    for node in shop.nodes:
        node.call("DEL", f"mms:{foreign}")
    large.stop()
    finished = low.node_status("web3")["repair"]["finished"]
    shop.nodes[2].restart()
    # What it was until `low` has met it again, it is until then.
    until(lambda: low.node_status("web3")["repair"]["finished"] > finished and low.node_status("web3")["complete"], 30,
          "the emptied node filled by the host of 1 MB")
    held = shop.nodes[2].raw_records()
    bar("sizes", "a node that came back empty is filled by the host of 1 MB, the large session too",
        f"{len(held)} records, large: {session in held}", session in held and set(small) <= set(held))


@pytest.mark.row("sizes")
@pytest.mark.parametrize("setting", ["client-query-buffer-limit", *(["proto-max-bulk-len"] if FULL else [])])
def test_a_session_that_a_peer_never_takes_holds_up_no_other(cluster, new_id, setting):
    """The server ends the connection at the first, at the second it answers with an error and ends it."""
    shop = cluster(3, 1, workers=2, ini={"memory_limit": "1G"})
    host, peer = shop.hosts[0], shop.nodes[1]
    small = _spread(host, new_id, 10)
    assert host.flush(5000)
    peer.call("CONFIG", "SET", setting, MB)
    session = new_id()
    stored = host.visit(session, f"start;fill:big:{2 * MB}:{session};close")
    small += _spread(host, new_id)
    begun = time.monotonic()
    try:
        until(lambda: not any(_missing(shop, small).values()), 10, "all others on all nodes")
    except Late:
        pass
    took = time.monotonic() - begun
    missing = _missing(shop, small)
    bar("sizes", f"{setting} 1mb on a peer, a session of 2 MB: stored, and the {len(small)} others are on all nodes within 10 s",
        f"{stored['warnings']}, missing {missing}, {took:.1f} s", stored["ok"]["close"] and not any(missing.values()))
    used = []
    for _ in range(100):
        used.append(host.node_status(peer.name)["state"] == "closed")
        time.sleep(0.05)
    info = dict(line.split(":", 1) for line in peer.call("INFO", "stats").decode().split("\r\n") if ":" in line)
    before = int(info["total_connections_received"])
    time.sleep(3)
    info = dict(line.split(":", 1) for line in peer.call("INFO", "stats").decode().split("\r\n") if ":" in line)
    made = (int(info["total_connections_received"]) - before) / 3
    bar("sizes", f"{setting} 1mb: the peer stays in use (95 % of 5 s), at most 5 connections a second are made anew",
        f"{sum(used)} of {len(used)}, {made:.1f}", sum(used) >= 95 and made <= 5)
    peer.call("CONFIG", "SET", setting, 512 * MB)
    equal = shop.wait_equal(20)
    bar("sizes", f"{setting} as before: the session is there too", f"equal after {equal:.1f} s", equal is not None)


@pytest.mark.row("F47")
@pytest.mark.parametrize("away", [None, 0, 2], ids=["healthy", "local-away", "peer-away"])
def test_the_rules_of_phps_handlers_hold_with_a_node_away(cluster, new_id, away):
    shop = cluster(3, 2)
    host, other = shop.hosts
    if away is not None:
        assert host.put(new_id(), "a", "b")
        shop.nodes[away].kill()
    session, said = new_id(), []

    def visit(steps, where=host, sid=None):
        answer = where.visit(sid or session, steps)
        said.extend(answer["warnings"])
        return answer
    assert visit("start;set:n:1;close")["ok"]["close"]
    seen = {"read_and_close": visit("read_and_close;get:n;set:n:2", other)["values"]["n"]}
    seen["after it"] = other.fetch(session, "n")
    visit("start;set:n:3;abort")
    seen["after abort"] = other.fetch(session, "n")
    seen["reset"] = visit("start;set:n:4;reset;get:n;close")["values"]["n"]
    fresh = visit("start;regenerate:1;set:n:5;close")["id"]
    seen["regenerated"] = other.fetch(fresh, "n")
    seen["old id"] = other.fetch(session, "n")
    kept = visit("start;regenerate;close", other, fresh)["id"]
    seen["regenerated, old kept"] = (host.fetch(kept, "n"), host.fetch(fresh, "n"))
    answer = visit("start;gc;close", host, kept)
    seen["gc"] = answer["values"]["gc"]
    visit("start;destroy", other, kept)
    seen["destroyed"] = host.fetch(kept, "n")
    expected = {"read_and_close": "1", "after it": "1", "after abort": "1", "reset": "1", "regenerated": "5", "old id": None,
                "regenerated, old kept": ("5", "5"), "gc": 0, "destroyed": None}
    wrong = {name: value for name, value in seen.items() if value != expected[name]}
    bar("F47", f"read_and_close, abort, reset, regenerate, gc, destroy with {away if away is None else shop.nodes[away].name} away",
        wrong or "as PHP has it", not wrong and not said)
