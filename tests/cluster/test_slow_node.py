"""F11: a local node that answers, but late: visitors hardly notice, and nothing gets stale by it."""
import pytest

from conftest import FULL
from measure import Phases, allowed, ms, no_harm, seconds
from rig.process import until
from rig.results import add, bar, within


def _reads_and_records(shop):
    """(reads of all hosts, times that a node was asked for a whole record). A read asks one node, and all others for 80 bytes; every
    further one is a hedge: asked of a second node beside a slow one, or because that did not answer."""
    statuses = [host.status()["counters"] for host in shop.hosts]
    return (sum(each["reads"] + each["failed_reads"] for each in statuses),
            sum(link.counts()["records"] for node in range(len(shop.nodes)) for link in shop.links_to(node)))


def _hedges(before, after):
    """Share of reads for which more than one node was asked for the record."""
    reads, records = after[0] - before[0], after[1] - before[1]
    return reads, max(0, records - reads), max(0, records - reads) / reads


@pytest.mark.row("F11")
@pytest.mark.parametrize("latency_ms", [20, *([80] if FULL else []), 500])
def test_a_slow_local_node_is_left_out(cluster, full, latency_ms):
    shop = cluster(3, 2, workers=8, proxied=True, proxied_local=True)
    link, host = shop.link(0, 0), shop.hosts[0]
    with Phases(shop, full) as phases:
        # Until it has watched the hosts for 6 s, this one can't know of a dead one's writes there, and asks it in any case.
        phases.run("healthy", seconds(full, 20, 8) - 2)
        usual = _reads_and_records(shop)
        phases.run("healthy", 2)
        fast = _reads_and_records(shop)
        before = host.status()["counters"]
        link.set(latency_ms=latency_ms, jitter=0.5)
        phases.run("slow", seconds(full, 60, 4))
        after, state = host.status()["counters"], host.node_status("web1")
        late = _reads_and_records(shop)
        link.clear()
        phases.run("healed", 1)
        until(lambda: host.node_status("web1")["state"] == "closed" and host.node_status("web1")["latency_us"] < 10000, 20,
              "web1 is fast again")
        settled = host.status()["counters"]["slow_skips"]
        phases.run("back", 2)
        skips = host.status()["counters"]["slow_skips"] - settled
    left_out = after["slow_skips"] - before["slow_skips"]
    add("F11", f"+{latency_ms} ms: how", f"{left_out} reads without web1, it is {state['state']}: {state['last_error']}")
    bar("F11", f"+{latency_ms} ms: it is left out by latency or by its breaker", f"{left_out}, {state['state']}",
        left_out > 50 or state["state"] != "closed")
    (reads, more, share), (_, _, healthy) = _hedges(fast, late), _hedges(usual, fast)
    assert reads > 100
    within("F11", f"+{latency_ms} ms: hedges <= 10 % of reads (records asked of a second node)",
           f"{more} of {reads}: {share:.1%}, healthy {healthy:.1%}", share, (0.1, 0.1 + healthy))
    # The first requests find it out; they are fewer than 1 % of a minute, and more of a few seconds.
    slow, healthy = phases.p99("slow", skip=0 if full else 1), phases.p99("healthy")
    within("F11", f"+{latency_ms} ms: p99 <= 2 ms above the base", f"{ms(slow)}, healthy {ms(healthy)}", slow,
           allowed(healthy + 2000, healthy, 2))
    bar("F11", f"+{latency_ms} ms: asked again when it is fast", f"{skips} reads without it", skips == 0)
    no_harm("F11", shop, phases, ["healthy", "slow", "healed", "back"])
    bar("F11", "all nodes equal within 10 s of the end", f"{shop.wait_equal(10):.1f} s", True)
