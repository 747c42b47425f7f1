"""Nodes over TLS: a cluster of them lives as any other, and what is wrong with one is refused, said, and never plain text."""
import os
import shutil
import signal

import pytest

from measure import BUDGET_US, Phases, ms, no_harm, seconds
from rig.process import free_port, until
from rig.results import bar, timing
from rig.tls import Certificates, Tap

pytestmark = pytest.mark.row("F39")


@pytest.fixture
def certificates():
    made = Certificates()
    yield made
    made.close()


@pytest.fixture
def tap():
    """tap(target) makes a wire tap that ends with the test."""
    made = []

    def make(target):
        made.append(Tap(target))
        return made[-1]
    yield make
    for each in made:
        each.close()


def speak_tls(node, certificates, name="node", clients="no"):
    """The node, started anew; returns its port for TLS."""
    port = free_port()
    node._settings += certificates.server_settings(port, name, clients)
    node.restart()
    return port


def tls_ini(certificates, addresses, **more):
    settings = {"tls_ca_file": certificates.path("ca.pem"), **more}
    return {"mmsession.nodes": ", ".join(addresses), **{f"mmsession.{name}": value for name, value in settings.items()}}


def assert_secret(row, taps, words):
    """Nothing that may not be seen was, although something was there to be seen."""
    found = [word for word in words for tap in taps if word.encode() in tap.seen]
    passed = sum(len(tap.seen) for tap in taps)
    bar(row, "no session id, payload or command is readable on the wire", f"{found} in {passed} bytes", not found and passed > 0)


def test_a_node_killed_among_tls_nodes_costs_nobody_a_session(cluster, full, certificates):
    shop = cluster(3, 0)
    ports = [speak_tls(node, certificates) for node in shop.nodes]
    for index in (0, 1):
        order = [(index + step) % 3 for step in range(3)]
        shop.add_host(index, ini=tls_ini(certificates, [f"tls://127.0.0.1:{ports[k]}?name={shop.nodes[k].name}" for k in order]))
    with Phases(shop, full) as phases:
        phases.run("healthy", seconds(full, 10, 2))
        shop.nodes[2].kill()
        phases.run("one dead", seconds(full, 20, 3))
        shop.nodes[2].start()
        phases.run("back", seconds(full, 10, 3))
    timing("F39", "three nodes over TLS, one killed: nothing above 250 ms", f"{ms(phases.slowest_us('one dead'))}, healthy "
           f"{ms(phases.slowest_us('healthy'))}", phases.slowest_us("one dead") <= BUDGET_US + phases.slowest_us("healthy"))
    no_harm("F39", shop, phases, ["healthy", "one dead", "back"])
    bar("F39", "all nodes equal within 10 s of the end", f"{shop.wait_equal(10):.1f} s", True)
    encrypted = {each["tls"].split()[0] for host in shop.hosts for each in host.status()["nodes"]}
    bar("F39", "the status says how nodes are encrypted", encrypted, bool(encrypted & {"TLSv1.2", "TLSv1.3"}))


def test_nothing_readable_passes_between_host_and_nodes(cluster, certificates, tap, new_id):
    shop = cluster(3, 0)
    taps = [tap(("127.0.0.1", speak_tls(node, certificates))) for node in shop.nodes]
    host = shop.add_host(0, ini=tls_ini(certificates, [f"tls://127.0.0.1:{each.port}?name={node.name}"
                                                       for each, node in zip(taps, shop.nodes)], connect_timeout_ms=1000))
    sessions = [new_id() for _ in range(20)]
    for session in sessions:
        assert host.put(session, "word", "unmistakable")
        assert host.fetch(session, "word") == "unmistakable"
    assert host.flush()
    shop.wait_equal(10)
    assert all(node.record(sessions[0]) is not None for node in shop.nodes)
    assert_secret("F39", taps, ["unmistakable", "mms:", "SCRIPT", "GETRANGE", *sessions])


# what is wrong -> (certificate of the node, its demand of clients, settings of the host, what the message must say)
WRONG = {
    "expired certificate": ("expired", "no", {}, "certificate has expired: renew it on the node"),
    "wrong CA": ("node", "no", {"tls_ca_file": "other.pem"}, "mmsession.tls_ca_file must hold the certificate of the CA"),
    "wrong name": ("elsewhere", "no", {}, "the node's certificate is not for 127.0.0.1"),
    "no client certificate": ("node", "yes", {}, "set mmsession.tls_cert_file and mmsession.tls_key_file"),
    "a port without TLS": (None, "no", {}, "TLS handshake"),
}


def visits(host, new_id, count):
    """Sessions written by that many requests; what PHP said, and the slowest."""
    answers, sessions = [], []
    for _ in range(count):
        sessions.append(new_id())
        answers.append(host.visit(sessions[-1], "start;set:word:unmistakable;close"))
    failed = [answer["warnings"] for answer in answers if answer["warnings"] or not answer["ok"]["close"]]
    return sessions, failed, max(sum(answer["us"].values()) for answer in answers)


@pytest.mark.parametrize("what", WRONG, ids=lambda what: what.replace(" ", "-"))
def test_a_node_that_is_not_what_it_should_be_is_refused(cluster, certificates, tap, new_id, what):
    name, clients, settings, message = WRONG[what]
    shop = cluster(2, 0)
    wrong = shop.nodes[1]
    wire = tap(("127.0.0.1", speak_tls(wrong, certificates, name, clients) if name else wrong.port))
    settings = {key: certificates.path(value) for key, value in settings.items()}
    host = shop.add_host(0, ini=tls_ini(certificates, [f"unix://{shop.nodes[0].socket}?name=web1",
                                                       f"tls://127.0.0.1:{wire.port}?name=web2"], **settings))
    sessions, failed, slowest = visits(host, new_id, 10)
    until(lambda: host.node_status("web2")["state"] == "open", 5, "the breaker is open")
    error = host.node_status("web2")["last_error"]
    bar("F39", f"{what}: refused, with node, cause and remedy", error, message in error and "node web2 (tls://" in error)
    timing("F39", f"{what}: 0 failed requests, none above 250 ms", f"{failed[:2]}, {ms(slowest)}", not failed and slowest <= BUDGET_US)
    bar("F39", f"{what}: nothing reached that node", f"{len(wrong.raw_records())} sessions", not wrong.raw_records())
    assert_secret("F39", [wire], ["unmistakable", "mms:", "SCRIPT", *sessions])


def test_a_stalled_handshake_is_an_answer_that_does_not_come(cluster, certificates, tap, new_id):
    shop = cluster(2, 0)
    wire = tap(("127.0.0.1", speak_tls(shop.nodes[1], certificates)))
    wire.hold()
    host = shop.add_host(0, ini=tls_ini(certificates, [f"unix://{shop.nodes[0].socket}?name=web1",
                                                       f"tls://127.0.0.1:{wire.port}?name=web2"]))
    _, failed, slowest = visits(host, new_id, 20)
    until(lambda: host.node_status("web2")["state"] == "open", 5, "the breaker is open")
    error = host.node_status("web2")["last_error"]
    bar("F39", "handshake stall: the breaker opens, and says at what it was", error, "TLS handshake (is this a port for TLS?)" in error)
    timing("F39", "handshake stall: 0 failed requests, none above 250 ms", f"{failed[:2]}, {ms(slowest)}",
           not failed and slowest <= BUDGET_US)
    wire.release()
    until(lambda: host.node_status("web2")["state"] == "closed", 15, "web2 in use again")
    bar("F39", "and when it goes on, the node gets what it missed", f"{shop.wait_equal(10):.1f} s", True)


def test_plain_text_at_a_port_for_tls_is_a_node_that_is_down(cluster, certificates, tap, new_id):
    shop = cluster(2, 0)
    port = speak_tls(shop.nodes[1], certificates)
    host = shop.add_host(0, ini=tls_ini(certificates, [f"unix://{shop.nodes[0].socket}?name=web1", f"tcp://127.0.0.1:{port}?name=web2"]))
    _, failed, slowest = visits(host, new_id, 20)
    until(lambda: host.node_status("web2")["state"] == "open", 5, "the breaker is open")
    timing("F39", "tcp:// to a port for TLS: the breaker opens, 0 failed requests, none above 250 ms", f"{failed[:2]}, {ms(slowest)}, "
           f"{host.node_status('web2')['last_error']}", not failed and slowest <= BUDGET_US)


def test_client_certificates_and_a_renewal_without_a_restart(cluster, certificates, new_id):
    """The node's CA is changed under a running PHP: the file is replaced, and the next connection knows it."""
    shop = cluster(2, 0)
    port = speak_tls(shop.nodes[1], certificates, "node", "yes")
    mine = certificates.path("trusted.pem")
    with open(certificates.path("other.pem")) as wrong, open(mine, "w") as file:
        file.write(wrong.read())
    host = shop.add_host(0, ini=tls_ini(
        certificates, [f"unix://{shop.nodes[0].socket}?name=web1", f"tls://127.0.0.1:{port}?name=web2"], tls_ca_file=mine,
        tls_cert_file=certificates.path("client.pem"), tls_key_file=certificates.path("client.key")))
    assert host.put(new_id(), "n", "1")
    until(lambda: host.node_status("web2")["state"] == "open", 5, "the breaker is open")
    with open(certificates.path("ca.pem")) as right, open(mine, "w") as file:
        file.write(right.read())
    until(lambda: host.node_status("web2")["state"] == "closed", 15, "web2 in use")
    bar("F39", "a client certificate is shown; a replaced CA file counts at the next connect", f"{shop.wait_equal(10):.1f} s", True)


@pytest.mark.parametrize("way", ["drain", "last-words"])
def test_the_masters_last_drain_reads_the_workers_files_and_reaches_tls_nodes(cluster, certificates, tap, new_id, way):
    """Workers die with writes for web2 in the mailbox; the master, which is root, delivers them with their client certificate:
    by its own connection, or, when that is lost, by one that wants no answers."""
    shop = cluster(2, 0)
    wire = tap(("127.0.0.1", speak_tls(shop.nodes[1], certificates, "node", "yes")))
    key = certificates.path("client.key")
    os.chmod(key, 0o400)
    if os.geteuid() == 0:
        shutil.chown(key, "www-data")
    host = shop.add_host(0, ini=tls_ini(
        certificates, [f"unix://{shop.nodes[0].socket}?name=web1", f"tls://127.0.0.1:{wire.port}?name=web2"],
        tls_cert_file=certificates.path("client.pem"), tls_key_file=key, read="local", read_timeout_ms=1000, budget_ms=2000))
    assert host.put(new_id(), "n", "1") and host.flush()
    until(lambda: all(node["complete"] for node in host.status()["nodes"]), 15, "both nodes are complete")
    wire.hold()
    sessions = [new_id() for _ in range(10)]
    for session in sessions:
        assert host.put(session, "n", "1")
    missing = [session for session in sessions if shop.nodes[1].record(session) is None]
    before = wire.connections
    host.send_signal(signal.SIGTERM)
    until(lambda: not host.workers(), 10, "the workers are gone", every=0.001)
    if way == "last-words":  # the connection of the master's replicator is lost
        until(lambda: wire.connections > before, 5, "the master connects", every=0.001)
    wire.cut()
    wire.release()
    host.stop()
    late = [session for session in sessions if shop.nodes[1].record(session) is None]
    bar("F39", f"{way} of the master, over TLS with a client certificate: all delivered",
        f"{len(missing)} of {len(sessions)} missing before, {len(late)} after", len(missing) == len(sessions) and not late)
