"""read = quorum and write_acks = quorum mean what they say, whatever minority is gone."""
import pytest

from measure import seconds, unharmed
from rig.chaos import Chaos
from rig.load import Load
from rig.process import until
from rig.results import add, bar


def _all_complete(shop):
    try:
        return all(node["complete"] for host in shop.hosts for node in host.get("status.php", timeout=2).json["nodes"])
    except (OSError, AssertionError):
        return False  # the worker that was asked has been killed or stopped


@pytest.mark.row("quorum")
def test_what_a_quorum_took_is_read_while_any_minority_is_gone(cluster, full):
    shop = cluster(3, 3, proxied=True, workers=8, fpm={"fpm_global": ["process_control_timeout = 10s"]},
                   mmsession={"read": "quorum", "write_acks": "quorum", "connect_timeout_ms": 150, "read_timeout_ms": 300, "budget_ms": 900})
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
