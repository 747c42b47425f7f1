"""Clusters that are not all alike: places far from each other, other locales, other lists of nodes, wrong clocks."""
import os
import random
import shutil
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from measure import Phases, ms, none_failed, seconds, unharmed
from rig.load import Load, percentile
from rig.node import differences
from rig.process import until
from rig.results import add, bar, timing
from rig.wrongclock import WrongClock
from test_partitions import apart, newest_of
from test_token import Visitor, know_all_nodes, nothing_stale

PLAIN_WRITES, PLAIN_LOOKS = ("start;get:n;set:n:{n};close",), ("start;get:n;close", "read_and_close;get:n")

LOCALES = ["en_US.UTF-8", "cs_CZ.UTF-8", "tr_TR.UTF-8"]


def _make_locales(folder):
    """Compiles the locales into a folder of the test's own: nothing of the machine is changed."""
    if not shutil.which("localedef") or not os.path.isdir("/usr/share/i18n/locales"):
        pytest.skip("localedef or the sources of the locales (Debian package locales) are not installed")
    for name in LOCALES:
        subprocess.run(["localedef", "-i", name.split(".")[0], "-f", "UTF-8", os.path.join(folder, name)], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return [{"LOCPATH": str(folder), "LC_ALL": name, "LANG": name} for name in LOCALES]


@pytest.mark.row("F53")
def test_servers_with_different_locales_agree_on_what_is_newest(cluster, new_id, full, tmp_path):
    shop = apart(cluster, 3, node_environments=_make_locales(tmp_path))
    collation = [node.call("EVAL", "return tostring('a' < 'B')", "0").decode() for node in shop.nodes]
    bar("F53", "control: 'a' < 'B' in each server's Lua is not false everywhere, as it is in C", collation, "true" in collation)
    count, prefix = 2000 if full else 300, new_id()
    assert shop.hosts[0].bulk("write", prefix, count, value="before")["good"] == count
    shop.wait_equal(10)
    shop.split([0], [1], [2])
    for turn in range(5):
        # The stamps' bytes run through all values: a comparison by collation would err on some of them.
        assert all(host.bulk("write", prefix, count, value=f"{host.name} {turn}")["good"] == count for host in shop.hosts)
    assert all(host.flush(10000) for host in shop.hosts)
    contents = [node.raw_records() for node in shop.nodes]
    expected = newest_of(contents)
    assert len(differences(contents)) == count
    shop.join()
    took = shop.wait_equal(10)
    final = shop.nodes[0].raw_records()
    right = sum(1 for key, data in expected.items() if final.get(key) == data)
    bar("F53", f"{', '.join(LOCALES)}: the winner is the higher version in all", f"{right} of {count}, equal after {took:.1f} s",
        right == count)


class Lag:
    """Samples of the lag of some nodes as one host sees it, in ms."""

    def __init__(self, host, names):
        self._host, self._names, self.samples = host, names, []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def _sample(self):
        while not self._stopping.wait(0.02):
            self.samples += [node["lag_ms"] for node in self._host.status()["nodes"] if node["name"] in self._names]

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_exception):
        self._stopping.set()
        self._thread.join()


def _two_sites(cluster, **mmsession):
    """Nodes and hosts 1 and 2 are 80 ms away from 3 and 4."""
    shop = cluster(4, 4, proxied=True, workers=6,
                   mmsession={"connect_timeout_ms": 300, "read_timeout_ms": 300, "budget_ms": 600, **mmsession})
    for host in range(4):
        for node in range(4):
            if host // 2 != node // 2:
                shop.link(host, node).set(latency_ms=80, jitter=0.1)
    return shop


def _start_times(host, new_id, count):
    session, times = new_id(), []
    for number in range(count):
        answer = host.visit(session, f"start;set:n:{number};close;sleep:2")
        assert not answer["warnings"]
        times.append(answer["us"]["start"])
    return times


@pytest.mark.row("F55")
def test_a_far_site_costs_the_near_one_nothing_but_lag(cluster, new_id, full):
    shop = _two_sites(cluster, read="local")
    load = Load(shop.hosts[:2], rate=100, visitors=50, threads=8)
    with Lag(shop.hosts[0], ("web3", "web4")) as lag, load:
        load.run_for(seconds(full, 60, 3))
        begin = time.monotonic()
        starts = _start_times(shop.hosts[0], new_id, 200)
        assert time.monotonic() - begin < 60
    timing("F55", "read = local: session_start p50 < 1 ms", ms(percentile(starts, 0.5)), percentile(starts, 0.5) < 1000)
    timing("F55", "mirror lag to the far site, p99 < 200 ms", f"{percentile(lag.samples, 0.99)} ms, "
           f"median {percentile(lag.samples, 0.5)} ms", percentile(lag.samples, 0.99) < 200)
    none_failed("F55", load.failed())
    bar("F55", "all nodes equal within 10 s of the end", f"{shop.wait_equal(10):.1f} s", True)
    # A page that comes back to a host of the same site may find an older copy there: that is what read = local means.
    lost = load.history.lost(shop.hosts[0])
    add("F55", "read = local, hops within a site (no bar)", f"{len(load.stale)} older copies seen, {len(lost)} lost by that")
    newest = _two_sites(cluster)
    starts = _start_times(newest.hosts[0], new_id, 10)
    add("F55", "read = newest for contrast: session_start p50", ms(percentile(starts, 0.5)))


@pytest.mark.row("F55")
def test_with_session_tokens_a_far_site_costs_nothing_either_and_nothing_old_is_shown(cluster, new_id, full):
    """Visitors of one site who hop between its hosts, clicking once in half a second: the mirror within the site is there by then."""
    shop = _two_sites(cluster, read="session-token")
    know_all_nodes(shop)
    visitors = [Visitor(new_id(), random.Random(number)) for number in range(24)]
    near, starts, clicks = shop.hosts[:2], [], (120 if full else 6)

    def walk(visitor):
        for _ in range(clicks):
            answer = visitor.look_or_write(visitor.rng.choice(near), writes=PLAIN_WRITES, looks=PLAIN_LOOKS)
            starts.append(answer["us"].get("start") or answer["us"]["read_and_close"])
            time.sleep(0.5)
    before = [host.status()["counters"] for host in near]
    with Lag(near[0], ("web3", "web4")) as first, Lag(near[1], ("web3", "web4")) as second, ThreadPoolExecutor(24) as pool:
        list(pool.map(walk, visitors))
    after = [host.status()["counters"] for host in near]
    local, whole = (sum(late[name] - early[name] for early, late in zip(before, after))
                    for name in ("token_local_reads", "token_full_reads"))
    lag = [each for each in first.samples + second.samples if each > 0]  # while something is on its way
    add("F55", "read = session-token: reads by the local node, of all nodes", f"{local}, {whole} (the first click's, and the test's own)")
    timing("F55", "read = session-token: session_start p50 < 1 ms", f"{ms(percentile(starts, 0.5))} of {len(starts)}",
           percentile(starts, 0.5) < 1000)
    timing("F55", "read = session-token: mirror lag to the far site, p99 < 200 ms", f"{percentile(lag, 0.99)} ms, "
           f"median {percentile(lag, 0.5)} ms", percentile(lag, 0.99) < 200)
    nothing_stale("F55", f"read = session-token: 0 stale in {len(starts)} clicks that hop within the site", visitors)
    bar("F55", "all nodes equal within 10 s of the end", f"{shop.wait_equal(10):.1f} s", True)


@pytest.mark.row("C1")
@pytest.mark.row("C15")
def test_users_go_on_at_the_other_site_when_one_is_lost(cluster, new_id, full):
    shop, count, prefix = cluster(4, 4, workers=4), 1000, new_id()
    for host in shop.hosts[:2]:
        assert host.bulk("write", f"{prefix}{host.name}", count // 2, value="logged in")["good"] == count // 2
    assert all(host.flush() for host in shop.hosts[:2])
    for host in shop.hosts[:2]:
        host.kill_all()
    for node in shop.nodes[:2]:
        node.kill()
    out = []
    for number in range(count if full else 200):
        home, host = shop.hosts[number % 2], shop.hosts[2 + number // 2 % 2]
        session = f"{prefix}{home.name}{number // 2}"
        answer = host.visit(session, "strict:1;start;get:value;set:seen:yes;close")
        if answer["id"] != session or answer["values"]["value"] != "logged in" or answer["warnings"]:
            out.append((session, answer["values"], answer["warnings"]))
    misses = sum(count // 2 - host.bulk("read", f"{prefix}{home.name}", count // 2, value="logged in")["good"]
                 for host in shop.hosts[2:] for home in shop.hosts[:2])
    bar("C1", f"site with two hosts and two nodes lost: 0 of {count if full else 200} logged out at the other", f"{len(out)} {out[:1]}", not out)
    bar("C15", f"0 misses of {2 * count} there", misses, misses == 0)


@pytest.mark.row("C10")
def test_users_who_hop_between_five_places_never_see_an_older_copy(cluster, full):
    shop = cluster(5, 5, workers=4)
    load = Load(shop.hosts, rate=1000 if full else 200, visitors=500 if full else 50, fill=500, threads=16)
    with load:
        load.run_for(seconds(full, 1000, 4))
    none_failed("C10", load.failed())
    unharmed("C10", load.history, shop.hosts[2])
    bar("C10", "all nodes equal within 10 s of the end", f"{shop.wait_equal(10):.1f} s", True)


def _list_of(shop, own, others):
    """mmsession.nodes of a host whose local node is `own`."""
    return ", ".join([f"unix://{own.socket}?name={own.name}"]
                     + [f"tcp://{node.host}:{node.port}?name={node.name}" for node in others])


@pytest.mark.row("F49")
@pytest.mark.row("B5")
def test_lists_in_another_order_or_with_a_node_more_converge(cluster, new_id):
    shop = cluster(4, 0)
    web1, web2, web3, web4 = shop.nodes
    host = shop.add_host(0, ini={"mmsession.nodes": _list_of(shop, web1, [web2, web3])})
    turned = shop.add_host(1, ini={"mmsession.nodes": _list_of(shop, web2, [web3, web1])})
    fewer = shop.add_host(1, ini={"mmsession.nodes": _list_of(shop, web2, [web1])})
    more = shop.add_host(2, ini={"mmsession.nodes": _list_of(shop, web3, [web4, web1, web2])})
    hosts, count, prefix = (host, turned, fewer, more), 100, new_id()
    for each in hosts:
        assert each.bulk("write", f"{prefix}{each.name}", count, value=each.name)["good"] == count
        assert each.flush()
    wrong = [(reader.name, writer.name, answer["bad"]) for reader in hosts for writer in hosts
             for answer in [reader.bulk("read", f"{prefix}{writer.name}", count, value=writer.name)] if answer["bad"]]
    bar("F49", "every host reads what any other wrote, at once", wrong[:2] or "all", not wrong)
    own = {each.node_status("web2")["node_id"] for each in hosts}
    bar("F49", "hosts agree on nodes by their id, not by place in the list", own, len(own) == 1)

    def whole():
        for each in hosts:
            for writer in hosts:
                each.bulk("read", f"{prefix}{writer.name}", count, value=writer.name)
        return not differences([node.raw_records() for node in shop.nodes])
    began = time.monotonic()
    until(whole, 10, "read repair has brought all to all", every=0.3)
    bar("F49", "sessions in use are on all nodes within 10 s", f"{time.monotonic() - began:.1f} s", True)

    def told(each):
        return [warning["text"] for warning in each.status()["warnings"] if warning["kind"] == "nodes" and warning["active"]]
    until(lambda: any("node web3" in text for text in told(turned)) and any("node web4" in text for text in told(more)), 20, lambda:
          f"who knows more than others says so: {[told(each) for each in hosts]}")
    bar("F49", "a host that knows a node which another has not met names both", told(more)[:1], f"host {fewer.name} has not met" in told(turned)[0])
    bar("F49", "one that knows less than others says nothing", told(fewer), not told(fewer))


@pytest.fixture
def wrong_clock(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clock")
    for path in (folder, *folder.parents[:2]):
        path.chmod(0o755)
    return WrongClock(str(folder))


@pytest.mark.row("F28")
def test_a_server_with_a_wrong_clock_keeps_sessions_for_the_same_time(cluster, new_id, wrong_clock):
    wrong_clock.set(86400)
    shop = cluster(3, 2, node_environments=[wrong_clock.environment()])
    times = [int(node.call("TIME")[0]) for node in shop.nodes]
    assert times[0] - times[1] > 86000, "the server's clock is not off"
    sessions = [new_id() for _ in range(50)]
    assert all(shop.hosts[number % 2].put(session, "n", "1") for number, session in enumerate(sessions))
    shop.wait_equal(10)
    lives = [[node.call("PTTL", f"mms:{session}") / 1000 for node in shop.nodes] for session in sessions]
    spread = max(max(each) - min(each) for each in lives)
    bar("F28", "server's clock a day ahead: lives differ by touch_interval (60 s) at most",
        f"{spread:.1f} s, between {min(map(min, lives)):.0f} and {max(map(max, lives)):.0f} s of 1440",
        spread <= 60 and min(map(min, lives)) > 1440 - 60)
    # A step ahead lets a server throw out what it holds: the others have it.
    wrong_clock.set(86400 + 7200)
    gone = sum(1 for session in sessions if not shop.nodes[0].call("EXISTS", f"mms:{session}"))
    seen = [host.fetch(session, "n") for host in shop.hosts for session in sessions]
    bar("F28", "the clock steps two hours ahead: 0 sessions lost", f"{gone} of {len(sessions)} thrown out there, "
        f"{sum(1 for each in seen if each != '1')} of {len(seen)} reads missed them", gone and all(each == "1" for each in seen))
    wrong_clock.set(-86400)
    assert all(host.put(new_id(), "n", "1") for host in shop.hosts for _ in range(10))
    seen = [host.fetch(session, "n") for host in shop.hosts for session in sessions]
    bar("F28", "the clock steps three days back: 0 sessions lost", f"{sum(1 for each in seen if each != '1')} of {len(seen)}",
        all(each == "1" for each in seen))
