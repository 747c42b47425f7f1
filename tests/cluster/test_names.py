"""F38: nodes by name, and a name server that is silent, away or slow, or tells of addresses where nobody is or nobody was."""
import time

import pytest

from conftest import FULL
from measure import BUDGET_US, STALL_US, Phases, allowed, ms, no_harm, seconds
from rig.nameserver import own_resolv_conf_allowed
from rig.network import Namespaces, namespaces_allowed
from rig.process import until
from rig.results import bar, timing, within

NOBODY, MOVED = 99, 23  # last numbers of addresses: of no place at all; where web3 goes to
FOUND_S = 30


class Town:
    """Two hosts that know their nodes' addresses from a name server alone; each has its own node by its socket."""

    def __init__(self, cluster, folder):
        self.network = Namespaces(4)
        self.server = self.network.name_server(3)
        conf = folder / "resolv.conf"
        conf.write_text(f"nameserver {self.server.address}\n")
        for path in (folder, *folder.parents[:3]):
            path.chmod(path.stat().st_mode | 0o055)
        self.shop = cluster(3, 2, network=self.network, named=True, fpm={"resolv_conf": str(conf)})

    def tell(self, web1, web2, web3, **how):
        """Last numbers of the addresses that each node's name has from now on."""
        names = {"web1.test": web1, "web2.test": web2, "web3.test": web3}
        self.server.set({name: [self.network.address(each) for each in found] for name, found in names.items()}, **how)

    def wait_used(self, phases, name, new_id, *nodes):
        """Load goes on until what any host writes is on all these nodes; seconds that it took."""
        began = time.monotonic()

        def used():
            written = [new_id() for _ in self.shop.hosts]
            good = [host.put(session, "a", "b") for host, session in zip(self.shop.hosts, written)]
            phases.run(name, 0.2)
            return all(good) and all(node.call("EXISTS", f"mms:{session}") for node in nodes for session in written)
        until(used, FOUND_S + 5, f"{[node.name for node in nodes]} in use")
        return time.monotonic() - began

    def questions(self, phases, name, length):
        """Load for so long; how often the name server was asked meanwhile. Whoever asks a node has to connect, every half second."""
        asked, end = self.server.asked(), time.monotonic() + length
        while time.monotonic() < end:
            for node in self.shop.nodes:
                node.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            phases.run(name, 0.5)
        return self.server.asked() - asked

    def move_web3(self):
        """To another address, with its data; nobody is told, and nobody answers where it was."""
        node = self.shop.nodes[2]
        node.save()
        self.network.move(2, MOVED)
        node.host = self.network.address(MOVED)
        node.restart(empty=False)


@pytest.mark.row("F38")
@pytest.mark.parametrize("how", ["silent", "away"] if FULL else ["silent"])
def test_no_request_waits_for_names_and_new_addresses_are_found(cluster, new_id, full, tmp_path, how):
    if not namespaces_allowed():
        pytest.skip("network namespaces are refused here: a name server and addresses that change can't be staged")
    if not own_resolv_conf_allowed():
        pytest.skip("mount namespaces are refused here: PHP can't have a resolv.conf of its own")
    town = Town(cluster, tmp_path)
    server, shop, delay_ms = town.server, town.shop, 5000 if full else 500
    server.set(how=how)
    asked, found = {}, {}
    # At first each host knows its own node alone, and in a split both serve: a visitor stays on one.
    with Phases(shop, full, pin=lambda number: number % 2) as phases:
        asked["no name known"] = town.questions(phases, "no name known", seconds(full, 30, 1.5))
        town.tell([NOBODY], [NOBODY], [3], delay_ms=delay_ms)
        found["a slow name server"] = town.wait_used(phases, "slow server", new_id, shop.nodes[2])
        server.set(how=how)
        asked["some known"] = town.questions(phases, "some known", seconds(full, 60, 2))
        town.tell([NOBODY, 1], [NOBODY, 2], [3])
        found["the second of two addresses"] = town.wait_used(phases, "second address", new_id, *shop.nodes)
        phases.run("healthy", seconds(full, 10, 2))
        phases.run("moved", 0.05)
        town.move_web3()
        town.tell([1], [2], [MOVED])
        found["a new address"] = town.wait_used(phases, "moved", new_id, *shop.nodes)
        phases.run("moved", seconds(full, 10, 1))
    bars(shop, phases, how, asked, found)


CONNECT_US, READ_US = 50000, 100000  # what PHP waits, by default, for a node where nobody is


def slowest(phases, *names):
    return max(map(phases.slowest_us, names)), {name: ms(phases.slowest_us(name)) for name in names}


def bars(shop, phases, how, asked, found):
    healthy = phases.slowest_us("healthy")
    value, each = slowest(phases, "warm-up", *asked)
    within("F38", f"name server {how}: no request waits for it, none above {ms(STALL_US)}", f"{each}, healthy {ms(healthy)}, asked {asked}",
           value, (STALL_US, BUDGET_US))
    assert all(asked.values()) or how == "away", "nobody asked while the name server was silent"
    value, each = slowest(phases, "slow server", "second address", "moved")
    within("F38", f"name server {how}: an address where nobody is costs one wait to connect and one to read", each,
           value, allowed(CONNECT_US + READ_US + STALL_US, healthy))
    for what, took in found.items():
        timing("F38", f"name server {how}, then {what}: in use within {FOUND_S} s", f"{took:.1f} s", took <= FOUND_S)
    bar("F38", "all nodes equal within 10 s of the end", f"{shop.wait_equal(10):.1f} s", True)
    no_harm("F38", shop, phases, [*asked, "slow server", "second address", "healthy", "moved"])
