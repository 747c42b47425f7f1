"""F32: a node that comes up empty while its host reaches nobody else must not wipe what the others have."""
import pytest

from rig import record
from rig.network import Namespaces, namespaces_allowed
from rig.process import until
from rig.results import bar


def _visit_all(host, ids, steps):
    return [host.visit(session, steps) for session in ids]


@pytest.mark.core
@pytest.mark.row("F32")
def test_an_emptied_node_behind_a_cut_wipes_no_cart(cluster, new_id, full, size, server):
    if namespaces_allowed():
        shop = cluster(size, size, network=Namespaces(size), program=server)
    else:
        shop = cluster(size, size, proxied=True, program=server)
    count = 1000 if full else 120
    here, there = shop.hosts[0], shop.hosts[1]
    carts = [new_id() for _ in range(count)]
    assert all(there.put(session, "cart", f"full {session}") for session in carts)
    shop.wait_equal(10)
    shop.split([0], list(range(1, size)))
    shop.nodes[0].restart(empty=True)
    until(lambda: all(here.node_status(f"web{number + 1}")["state"] != "closed" for number in range(1, size)), 10, "cut off")
    # Visitors meet an empty node: most start a new cart, some are logged out by the page because they look logged out,
    # some are only looked at; meanwhile a few shop on at the other side.
    thirds = carts[:count // 3], carts[count // 3:2 * count // 3], carts[2 * count // 3:]
    blind = _visit_all(here, thirds[0], "start;get:cart;set:cart:blind;close")
    blind += _visit_all(here, thirds[0], "start;get:cart;set:more:blind;close")
    destroyed = _visit_all(here, thirds[1], "start;get:cart;destroy")
    # With a message for them, on the next page or on the same one: it must not count for more than the logout that was none.
    destroyed += _visit_all(here, thirds[1][::2], "start;set:flash:blind;close")
    destroyed += [here.visit(session, f"start;get:cart;destroy;id:{session};start;set:flash:blind;close") for session in thirds[2][::3]]
    looked = _visit_all(here, thirds[2], "start;get:cart;close")
    bar("F32", "the cut-off side serves", f"{sum(not each['ok'].get('start') for each in blind + destroyed + looked)} failed",
        all(each["ok"].get("start") and not each["warnings"] for each in blind + destroyed + looked))
    assert all(each["values"].get("cart") is None for each in blind[:len(thirds[0])]), "the node was not empty"
    marked = [record.parse(data).blind for data in shop.nodes[0].raw_records().values()]
    bar("F32", "all that is stored there is blind", f"{sum(marked)} of {len(marked)}", len(marked) >= len(thirds[0]) and all(marked))
    moved_on = thirds[0][::4] + thirds[1][::4] + thirds[2][::6]
    assert all(there.put(session, "more", "real") for session in moved_on)
    shop.join()
    until(lambda: all(node["state"] == "closed" for host in shop.hosts for node in host.status()["nodes"]), 20, "all in use again")
    took = shop.wait_equal(10)
    wrong = [(host.name, session) for host in (here, shop.hosts[-1]) for session in carts
             if host.fetch(session, "cart") != f"full {session}"]
    wrong += [(host.name, session) for host in (here, there) for session in moved_on if host.fetch(session, "more") != "real"]
    left = [session for session in carts for node in shop.nodes if node.record(session).blind or node.record(session).tombstone]
    bar("F32", f"after the heal the real cart wins, {count} of {count}", f"{len(wrong)} wrong {wrong[:2]}, {len(left)} blind or "
        f"logged out, equal after {took:.1f} s", not wrong and not left)


@pytest.mark.row("F32")
def test_what_began_blind_and_met_nobody_becomes_real(cluster, new_id):
    shop = cluster(3, 3, network=Namespaces(3)) if namespaces_allowed() else cluster(3, 3, proxied=True)
    here = shop.hosts[0]
    assert here.put(new_id(), "a", "b")
    shop.wait_equal(10)
    shop.split([0], [1, 2])
    until(lambda: all(here.node_status(name)["state"] != "closed" for name in ("web2", "web3")) or not here.put(new_id(), "a", "b"),
          10, "cut off")
    session = new_id()
    assert here.put(session, "cart", "new")
    assert shop.nodes[0].record(session).blind
    shop.join()
    until(lambda: all(node["state"] == "closed" and node["complete"] for host in shop.hosts for node in host.status()["nodes"]),
          30, "all complete")
    shop.wait_equal(10)
    seen = [host.fetch(session, "cart") for host in shop.hosts]
    assert shop.hosts[1].visit(session, "start;get:cart;close")["ok"]["close"]  # an unchanged page by whom all answer
    until(lambda: not any(node.record(session).blind for node in shop.nodes), 5, "real on all nodes")
    bar("F32", "a session that began behind the cut stays, and becomes real", seen, seen == ["new"] * 3)
