"""Servers that are full, read-only, evicting, replicating or in cluster mode: used as far as they can be, and named."""
import os

import pytest

from conftest import FULL
from measure import Phases, no_harm, seconds, wait_closed
from rig.process import free_port, until
from rig.results import bar


def _full(node):
    node.call("CONFIG", "SET", "maxmemory-policy", "noeviction")
    node.call("CONFIG", "SET", "maxmemory", "1")


def _roomy(node):
    node.call("CONFIG", "SET", "maxmemory", "0")


def _read_only(node):
    node.call("REPLICAOF", "127.0.0.1", "1")  # a replica of nobody: it serves what it has


def _writable(node):
    node.call("REPLICAOF", "NO", "ONE")


def _disk_broken(node):
    os.mkdir(os.path.join(node.folder, "dump.rdb"))  # no snapshot can be put there
    node.call("CONFIG", "SET", "save", "3600 1")
    node.call("BGSAVE")
    until(lambda: node.info("persistence")["rdb_last_bgsave_status"] == "err", 10, "a failed snapshot")


def _disk_good(node):
    os.rmdir(os.path.join(node.folder, "dump.rdb"))
    node.call("BGSAVE")
    until(lambda: node.info("persistence")["rdb_last_bgsave_status"] == "ok", 10, "a good snapshot")


def _rejected(node):
    """SET commands that the server refused before it ran them; servers that don't count them give 0."""
    fields = dict(field.split("=") for field in node.info("commandstats").get("cmdstat_set", "").split(",") if field)
    return int(fields.get("rejected_calls", 0))


_FULL = "raise the server's maxmemory, or remove what else it holds"
_REPLICA = "it is a replica: REPLICAOF NO ONE, or list its master instead"
_DISK = "see its log and the space on its disk, or set stop-writes-on-bgsave-error no"


_LOCAL, _PEER = 0, 2


@pytest.mark.parametrize("index, row, cause, remedy, refuse, heal", [
    pytest.param(index, *refusal, marks=pytest.mark.row(refusal[0]), id=f"{refusal[0]}-{'peer' if index else 'local'}")
    for refusal, in_short in (
        (("F16", "OOM", _FULL, _full, _roomy), (_LOCAL, _PEER)),
        (("F18", "READONLY", _REPLICA, _read_only, _writable), (_PEER,)),
        (("F19", "MISCONF", _DISK, _disk_broken, _disk_good), (_LOCAL,)))
    for index in ((_LOCAL, _PEER) if FULL else in_short)
])
def test_a_node_that_refuses_writes_is_read_on(cluster, full, row, cause, remedy, refuse, heal, index):
    shop = cluster(3, 2, workers=8)
    node = shop.nodes[index]
    name = node.name
    with Phases(shop, full) as phases:
        phases.run("healthy", 1)
        refuse(node)
        phases.run("refused", 1)
        before, rejected, states = node.command_calls(), _rejected(node), []
        for turn in range(seconds(full, 30, 3)):
            phases.run(f"on {turn}", 1)
            states += [host.node_status(name) for host in shop.hosts]
        after, tried = node.command_calls(), _rejected(node)
        heal(node)
        phases.run("healed", 1)
        until(lambda: all(host.node_status(name)["writable"] for host in shop.hosts), 10, f"{name} written again")
        phases.run("back", 2)
    read = sum(after.get(verb, 0) - before.get(verb, 0) for verb in ("get", "getrange"))
    tried = after.get("set", 0) - before.get("set", 0) + tried - rejected
    requests = sum(len(phases.load.between(*phases.span(f"on {turn}"))) for turn in range(seconds(full, 30, 3)))
    bar(row, f"{cause} on {name}: reads go on there", f"{read} reads, {requests} requests",
        read > requests // 2 and all(state["state"] == "closed" for state in states))
    bar(row, f"{cause} on {name}: not written, but for probes (each host at most every 80 ms)", f"{tried} SET, {requests} "
        "requests", all(not state["writable"] for state in states) and tried <= 2 * seconds(full, 30, 3) * 13)
    texts = {str(state["last_error"]) for state in states}
    bar(row, f"{cause} on {name}: node, cause and remedy are said", sorted(texts)[:2],
        all(text.startswith(f"node {name} (") and f"): server answered: {cause} " in text and text.endswith(f": {remedy}")
            for text in texts))
    lines = [host.log_lines(f"mmsession: node {name}") for host in shop.hosts]
    bar(row, f"{cause} on {name}: one line in each log, with what follows", [each[:1] for each in lines],
        all(len(each) == 1 and cause in each[0] and f"{remedy}; it is read, but takes no writes: they go to the other nodes until "
            "it does" in each[0] for each in lines))
    no_harm(row, shop, phases, ["healthy", "refused", "healed", "back"])
    bar(row, "all nodes equal within 10 s of the end", f"{shop.wait_equal(10):.1f} s", True)


@pytest.mark.row("F17")
def test_an_evicting_node_loses_nothing_and_is_warned_of(cluster, new_id):
    shop = cluster(3, 0)
    node = shop.nodes[0]
    node.call("CONFIG", "SET", "maxmemory-policy", "allkeys-random")
    node.call("CONFIG", "SET", "maxmemory", int(node.info("memory")["used_memory"]) + (2 << 20))
    for index in range(2):
        shop.add_host(index)
    prefix, count = new_id(), 600
    assert shop.hosts[0].bulk("write", prefix, count, value="kept", fill=8000)["good"] == count
    assert all(host.flush() for host in shop.hosts)
    evicted = int(node.info("stats")["evicted_keys"])
    lost = [number for host in shop.hosts for number in range(count) if host.fetch(f"{prefix}{number}", "value") != "kept"]
    bar("F17", "0 lost sessions while a copy exists", f"{evicted} evicted, {len(lost)} lost", evicted > 100 and not lost)
    until(lambda: all(any("allkeys-random throws out" in each["text"] for each in host.status()["warnings"])
                      for host in shop.hosts), 10, "a warning in the status")
    for host in shop.hosts:
        assert host.put(new_id(), "a", "b")
    lines = [host.log_lines("throws out sessions and logouts") for host in shop.hosts]
    bar("F17", "warned once, node and remedy named", lines,
        all(len(each) == 1 and "node web1" in each[0] and "set noeviction" in each[0] for each in lines))


def _told(shop, new_id, part):
    """Lines with this part in each host's log, after a visit."""
    until(lambda: all(any(part in each["text"] and each["active"] for each in host.status()["warnings"]) for host in shop.hosts),
          10, f"a warning with {part!r}")
    assert all(host.put(new_id(), "a", "b") for host in shop.hosts)
    return [host.log_lines(part) for host in shop.hosts]


@pytest.mark.row("F52")
def test_replication_underneath_is_warned_of(cluster, new_id):
    shop = cluster(3, 0)
    shop.nodes[1].call("REPLICAOF", shop.nodes[2].host, shop.nodes[2].port)
    for index in range(2):
        shop.add_host(index)
    lines = _told(shop, new_id, "it is a replica of")
    bar("F52", "a replica among the nodes: one line with node and remedy", lines,
        all(len(each) == 1 and "node web2" in each[0] and "REPLICAOF NO ONE" in each[0] for each in lines))


@pytest.mark.row("F52")
def test_active_replicas_are_warned_of(cluster, new_id):
    from rig.node import available_programs
    if "keydb-server" not in available_programs():
        pytest.skip("keydb-server is not installed")
    shop = cluster(2, 0, program="keydb-server", node_settings=["--active-replica", "yes"])
    shop.nodes[0].call("REPLICAOF", shop.nodes[1].host, shop.nodes[1].port)
    until(lambda: shop.nodes[0].info("replication")["role"] == "active-replica", 10, "an active replica")
    shop.add_host(0)
    lines = _told(shop, new_id, "active-replica")
    bar("F52", "an active replica: one line with node and remedy", lines,
        len(lines[0]) == 1 and "node web1" in lines[0][0] and "set active-replica no" in lines[0][0])


@pytest.mark.row("F52")
def test_a_node_in_cluster_mode_is_refused_with_the_remedy(cluster, new_id, full):
    shop = cluster(3, 0)
    shop.nodes[1].kill()
    while shop.nodes[1].port > 55535:  # the cluster's own port is 10000 above
        shop.nodes[1].port = free_port()
    shop.nodes[1]._settings += ["--cluster-enabled", "yes"]
    shop.nodes[1].start()
    for index in range(2):
        shop.add_host(index)
    failed = [host.name for _ in range(30) for host in shop.hosts if not host.put(new_id(), "a", "b")]
    until(lambda: all(host.node_status("web2")["state"] != "closed" for host in shop.hosts), 5, "web2 refused")
    texts = [str(host.node_status("web2")["last_error"]) for host in shop.hosts]
    assert all(host.put(new_id(), "a", "b") for host in shop.hosts)
    lines = [host.log_lines("node web2") for host in shop.hosts]
    bar("F52", "Redis Cluster mode: the node is refused, the others serve, the remedy is said", f"{len(failed)} failed, {texts}, "
        f"log {lines}", not failed and all("web2" in text and "set cluster-enabled no" in text for text in texts)
        and all(len(each) == 1 and "set cluster-enabled no" in each[0] for each in lines))
