"""Fifty hosts with fifty nodes: what each host does for all others by itself must not grow into a load of its own."""
import time

import pytest

from measure import BUDGET_US, ms
from rig.process import cpu_seconds, until
from rig.results import bar

FIFTY = 50
WATCHED = 5.0  # seconds


def numbers_of(node):
    """INFO stats of a server."""
    text = node.call("INFO", "stats").decode()
    return {name: float(value) for name, value in (line.split(":", 1) for line in text.splitlines() if ":" in line)
            if value.replace(".", "").isdigit()}


def spent(hosts, nodes):
    """Seconds of CPU of all workers, and bytes that all nodes have sent."""
    return (sum(cpu_seconds(pid) for host in hosts for pid in host.workers()),
            sum(numbers_of(node)["total_net_output_bytes"] for node in nodes))


def costs_little(what, hosts, nodes, bytes_max):
    began, before = time.monotonic(), spent(hosts, nodes)
    time.sleep(WATCHED)
    cpu, sent = (after - first for after, first in zip(spent(hosts, nodes), before))
    took = time.monotonic() - began
    bar("fifty", what, f"{100 * cpu / took / FIFTY:.2f} %, {sent / took / FIFTY / 1000:.0f} kB/s",
        cpu / took / FIFTY < 0.04 and sent / took / FIFTY < bytes_max)


@pytest.mark.row("fifty")
def test_fifty_hosts_with_fifty_nodes_cost_little_and_mend_a_node(cluster, new_id):
    shop = cluster(FIFTY, FIFTY, workers=1)
    sessions, quiet = [new_id() for _ in shop.hosts], [new_id() for _ in shop.hosts]
    wrong = [host.name for host, *both in zip(shop.hosts, sessions, quiet) if not all(host.put(each, "n", host.name) for each in both)]
    bar("fifty", "each of fifty hosts writes two sessions, all nodes have all", f"{wrong} wrong, equal after {shop.wait_equal(30):.1f} s",
        not wrong)

    costs_little("a host without visitors costs 4 % of a core at most, a node sends 2 MB/s at most", shop.hosts, shop.nodes, 2e6)
    away = shop.nodes[7]
    away.kill()
    answers = [host.visit(session, "start;get:n;set:m:1;close") for host, session in zip(shop.hosts, sessions[1:] + sessions[:1])]
    wrong = [answer for answer, host in zip(answers, shop.hosts[1:] + shop.hosts[:1])
             if answer["warnings"] or answer["values"]["n"] != host.name]
    slowest = max(answer["session_us"] for answer in answers)
    bar("fifty", "one is killed: every host reads and writes what another one wrote, within the budget",
        f"{len(wrong)} wrong {wrong[:1]}, slowest {ms(slowest)}", not wrong and slowest <= BUDGET_US)
    for host in shop.hosts[10:20]:
        host.kill_all()
        host.start()
    until(lambda: shop.hosts[0].node_status(away.name)["behind"], 10, "the marker")
    costs_little("ten hosts' PHPs were killed and started while it is away: 4 % of a core, 5 MB/s", shop.hosts,
                 [node for node in shop.nodes if node is not away], 5e6)
    gone = shop.hosts[0].node_status(away.name)["node_id"]
    away.start()
    equal = shop.wait_equal(60)

    def filled():
        found = [host.node_status(away.name) for host in shop.hosts]
        return all(node["complete"] and node["node_id"] not in (None, gone) for node in found)
    began = time.monotonic()
    until(filled, 60, f"{away.name} is complete for all")
    bar("fifty", "it comes back empty, gets all sessions, and is complete for all hosts",
        f"equal after {equal:.1f} s, complete {time.monotonic() - began:.1f} s later", True)
    moved = sum(host.status()["counters"]["repair_moved"] for host in shop.hosts)
    bar("fifty", f"the {FIFTY} that nobody wrote meanwhile by one host's scan, the others from hints", f"{moved} records moved",
        FIFTY <= moved <= 2 * FIFTY)
