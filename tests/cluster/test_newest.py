"""What a read must not miss: copies on nodes that were left out, not heard in time, or taken for more than they are."""
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from conftest import FULL
from rig.process import until
from rig.results import bar

COUNT = 40


def healthy(shop):
    return all(node["state"] == "closed" and node["complete"] for host in shop.hosts for node in host.status()["nodes"])


def skips(host):
    return host.status()["counters"]["slow_skips"]


def slow_down(shop, host, new_id, link):
    """The local node answers late from now on, and pages know it."""
    link.set(latency_ms=25)
    before = skips(host)
    known = new_id()
    assert host.put(known, "a", "b")
    shop.wait_equal(10)
    until(lambda: (host.fetch(known, "a"), skips(host) > before + 5)[1], 20, "the slow local node is left out")


def tally(values):
    return {str(value): values.count(value) for value in set(values)}


@pytest.mark.row("slow-restore")
@pytest.mark.parametrize("count, empty", [(2, False), *([(2, True), (3, False), (3, True)] if FULL else [])])
def test_a_slow_local_node_beside_one_that_comes_back(cluster, new_id, count, empty):
    """F11 with F30 and F31: the slow node is the only one that has what was written last."""
    shop = cluster(count, 2, workers=4, proxied=True, proxied_local=True, mmsession={"repair_rate": "128K", "budget_ms": "1000"})
    host, other = shop.hosts
    assert host.bulk("write", new_id(), 200, value="x" * 4000)["good"] == 200  # so that the repair takes its time
    carts = [new_id() for _ in range(COUNT)]
    assert all(host.put(cart, "cart", "v1") for cart in carts)
    shop.wait_equal(10)
    shop.nodes[1].save()
    assert all(host.put(cart, "cart", "v2") for cart in carts)
    shop.wait_equal(10)
    slow_down(shop, host, new_id, shop.link(0, 0))
    if count == 3:
        shop.nodes[2].kill()
    shop.nodes[1].restart(empty=empty)
    until(lambda: host.node_status("web2")["state"] == "closed", 20, "web2 is used again")
    what = f"{count} nodes, web2 is back {'empty' if empty else 'from an old dump'}"
    seen = [host.fetch(cart, "cart") for cart in carts]
    bar("slow-restore", f"{what}: 0 of {COUNT} old or missing carts", tally(seen), seen == ["v2"] * COUNT)
    wrote = [host.put(cart, "more", "w3") for cart in carts]
    shop.link(0, 0).clear()
    if count == 3:
        shop.nodes[2].start()
    for node in shop.nodes:
        until(lambda: all(node.record(cart) is not None for cart in carts), 60, "each node has the carts")
    shop.wait_equal(60)
    final = [(other.fetch(cart, "cart"), other.fetch(cart, "more")) for cart in carts]
    bar("slow-restore", f"{what}: 0 acknowledged writes lost", f"{sum(wrote)} acknowledged, {tally(final)}",
        all(wrote) and final == [("v2", "w3")] * COUNT)


@pytest.mark.row("slow-life")
def test_a_slow_local_node_after_the_death_of_its_host(cluster, new_id):
    """Writes that the local node alone has, of a PHP that was killed: the next one does not know of them."""
    shop = cluster(3, 2, workers=4, proxied=True, proxied_local=True)
    host, other = shop.hosts
    carts = [new_id() for _ in range(2)]
    assert all(host.put(cart, "cart", "v1") for cart in carts)
    shop.wait_equal(10)
    for peer in (1, 2):
        shop.link(0, peer).set(blackhole=True)
    wrote = [host.put(cart, "cart", "v2") for cart in carts]
    host.kill_all()
    for peer in (1, 2):
        shop.link(0, peer).clear()
    shop.link(0, 0).set(latency_ms=25)
    host.start()
    for _ in range(6):
        host.fetch(new_id(), "x")
    seen = [host.fetch(cart, "cart") for cart in carts]
    bar("slow-life", "what the killed PHP had acknowledged is shown", f"{wrote} {seen}, {skips(host)} reads without the local node",
        all(value == "v2" for value, good in zip(seen, wrote) if good) and any(wrote))
    assert all(host.put(cart, "more", "w3") for cart in carts)
    shop.link(0, 0).clear()
    until(lambda: [(other.fetch(cart, "cart"), other.fetch(cart, "more")) for cart in carts] == [("v2", "w3")] * 2, 30,
          "both writes are at the other host")


@pytest.mark.row("large-newest")
@pytest.mark.parametrize("length", [40000, 400000])
def test_a_newer_copy_that_is_too_large_for_the_line(cluster, new_id, length):
    """500 KB/s between two hosts: the header of the newer copy is there at once, its 400 KB are not within the budget."""
    shop = cluster(2, 2, workers=3, proxied=True)
    here, there = shop.hosts
    cart = new_id()
    answer = here.visit(cart, f"start;set:cart:v1;fill:f:{length}:x;close")
    assert answer["ok"]["close"] and not answer["warnings"], answer
    shop.wait_equal(20)
    for host in shop.hosts:
        assert all(host.put(new_id(), "a", "b") for _ in range(5))
    shop.link(0, 1).set(bytes_per_second=500000, free_bytes=4096)
    shop.link(1, 0).set(command_bytes_per_second=100000, free_bytes=4096)
    assert there.put(cart, "cart", "v2")
    answer = here.visit(cart, "start;get:cart;set:more:w3;close")
    shown, warned = answer["values"].get("cart"), " ".join(answer["warnings"])
    bar("large-newest", f"{length} bytes: the newer one is shown, or none, with a reason", f"{shown}, {warned}",
        shown == "v2" or (not answer["ok"]["start"] and "web2: no answer" in warned))
    bar("large-newest", f"{length} bytes: within the budget", f"{answer['seconds'] * 1000:.0f} ms", answer["seconds"] < 0.6)
    shop.link(0, 1).clear()
    shop.link(1, 0).clear()
    shop.wait_equal(30)
    final = there.fetch(cart, "cart")
    bar("large-newest", f"{length} bytes: 0 acknowledged writes lost", final, final == "v2")


def wake_another(host):
    """A worker that is stopped while it waits for a request is the one that the kernel wakes for the next: that one waits for the
    request after it."""
    with ThreadPoolExecutor(2) as pool:
        for _ in range(2):
            pool.submit(host.get, "ping.php", timeout=10)
            time.sleep(0.1)


@pytest.mark.row("quorum-dump")
def test_a_quorum_with_a_node_from_an_old_dump_while_nobody_watches(cluster, new_id):
    """The replicator is stopped, so nobody notices that web2 was started anew."""
    shop = cluster(3, 1, workers=4, mmsession={"read": "quorum", "write_acks": "quorum"})
    host, = shop.hosts
    cart = new_id()
    until(lambda: host.put(cart, "cart", "v1"), 10, "all nodes are met")
    shop.wait_equal(10)
    shop.nodes[1].save()
    replicator = host.status()["replicator"]["pid"]
    os.kill(replicator, signal.SIGSTOP)
    try:
        wake_another(host)
        wrote = host.put(cart, "cart", "v2")
        shop.nodes[1].restart(empty=False)
        shop.nodes[0].stop()
        answers = [host.visit(cart, "start;get:cart;set:more:w3;close") for _ in range(3)]
    finally:
        shop.nodes[0].cont()
        os.kill(replicator, signal.SIGCONT)
    shown = [answer["values"].get("cart") for answer in answers if answer["ok"]["start"]]
    bar("quorum-dump", "an acknowledged write is read, or the read fails", f"{wrote}, shown {shown} in 3", not wrote or "v1" not in shown)
    until(lambda: healthy(shop), 30, "all is well")
    until(lambda: host.fetch(cart, "cart") is not None, 20, "it is read again")
    final = host.fetch(cart, "cart")
    bar("quorum-dump", "and nothing is written over it", final, not wrote or final == "v2")


@pytest.mark.row("old-marker")
def test_a_marker_that_a_dump_brings_back(cluster, new_id):
    """web2 is saved while web3 is away, and started from that when all is well: nobody avoids web3 for it."""
    shop = cluster(3, 2, workers=3)
    host, other = shop.hosts
    assert host.put(new_id(), "a", "b") and other.put(new_id(), "a", "b")
    shop.wait_equal(10)
    shop.nodes[2].stop()
    until(lambda: (host.put(new_id(), "a", "b"), shop.nodes[1].call("HLEN", "mms::behind"))[1] > 0, 20, "a marker stands on web2")
    shop.nodes[1].save()
    saved = shop.nodes[1].call("HLEN", "mms::behind")
    shop.nodes[2].cont()
    until(lambda: healthy(shop) and not shop.nodes[1].call("HLEN", "mms::behind"), 40, "all is well, and it is gone")
    shop.nodes[1].restart(empty=False)
    until(lambda: healthy(shop), 60, "web2 is complete again")
    until(lambda: not shop.nodes[1].call("HLEN", "mms::behind"), 20, "the restored marker is gone")
    until(lambda: not any(node["avoided"] for node in other.status()["nodes"]), 20, "nobody avoids web3")
    bar("old-marker", "markers in the dump, none of which stays, and nobody avoids that node", saved, saved > 0)


@pytest.mark.row("later-wins")
@pytest.mark.parametrize("read", ["session-token", *(["newest"] if FULL else [])])
def test_of_two_pages_the_one_that_writes_last_stays(cluster, new_id, read):
    """A slow page (a checkout) begins before a quick one (a poll) and ends after it, on the same host or another."""
    shop = cluster(3, 2, workers=4, mmsession={"read": read})
    kept = []
    for there in (0, 1):
        for _ in range(3):
            cart = new_id()
            assert shop.hosts[0].put(cart, "cart", "begun")
            shop.wait_equal(10)
            with ThreadPoolExecutor(1) as pool:
                slow = pool.submit(shop.hosts[0].visit, cart, "start;sleep:300;set:cart:slow;close")
                time.sleep(0.1)
                assert shop.hosts[there].put(cart, "cart", "quick")
                answer = slow.result()
            assert answer["ok"]["close"] and not answer["warnings"], answer
            shop.wait_equal(10)
            kept.append(shop.hosts[1].fetch(cart, "cart"))
    bar("later-wins", f"read = {read}: the later write stays, 6 times", kept, kept == ["slow"] * 6)
