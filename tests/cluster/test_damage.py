"""Keys that are damaged or somebody else's: damage is repaired from another node, strangers are left alone."""
import struct

import pytest

from rig import record
from rig.process import until
from rig.results import bar

HEADER = record.HEADER_SIZE


def _length(data, key, length):
    """A header that is sound and lies about the payload's length."""
    return record.sealed(data[:68] + struct.pack(">I", length) + data[72:], key)


def _damages(full):
    """name -> function of (bytes, key)"""
    found = {}
    for position in range(HEADER):
        for bit in range(8) if full else (position % 8,):
            found[f"bit {bit} of byte {position}"] = (
                lambda data, _key, p=position, b=bit: data[:p] + bytes([data[p] ^ 1 << b]) + data[p + 1:])
    for length in range(3, HEADER + 1):
        found[f"cut to {length} bytes"] = lambda data, _key, n=length: data[:n]
    found["payload: one bit"] = lambda data, _key: data[:-1] + bytes([data[-1] ^ 1])
    found["payload: one byte short"] = lambda data, _key: data[:-1]
    found["payload: one byte more"] = lambda data, _key: data + b"x"
    for length in (0, 1, 0x7FFFFFFF, 0xFFFFFFFF):
        found[f"length {length:#x} under a right checksum"] = lambda data, key, n=length: _length(data, key, n)
    found["stamp of the year 2200"] = lambda data, key: record.sealed(
        data[:16] + struct.pack(">Q", 7258118400000 << 16) + data[24:], key)
    found["record of another key"] = lambda data, _key: record.sealed(data, "mms:somebody-else")
    return found


@pytest.mark.row("F24")
@pytest.mark.parametrize("where", [0, 1, 2], ids=["local", "peer", "other-peer"])
def test_a_damaged_copy_is_never_shown_and_repaired_from_another_node(cluster, new_id, full, where):
    shop, damages, prefix = cluster(3, 1), _damages(full), new_id()
    host, node = shop.hosts[0], shop.nodes[where]
    assert host.bulk("write", prefix, len(damages), value="whole")["good"] == len(damages)
    shop.wait_equal(10)
    before = shop.nodes[(where + 1) % 3].raw_records()
    with node.client() as client:
        for number, change in enumerate(damages.values()):
            key = f"mms:{prefix}{number}"
            client.call("SET", key, change(before[key[4:]], key), "KEEPTTL")
    wrong = host.bulk("read", prefix, len(damages), value="whole")["bad"]
    bar("F24", f"{len(damages)} kinds of damage: the value is read all the same", f"{len(wrong)} wrong {wrong[:2]}", not wrong)
    wrong = [answer for answer in [host.bulk("write", prefix, len(damages), value="later")] if answer["good"] < len(damages)]
    bar("F24", "and written", wrong or "all", not wrong)
    took = shop.wait_equal(10)
    final = node.raw_records()
    unsound = [key for key, data in final.items() if not record.sound(data, f"mms:{key}")]
    bar("F24", "every copy is sound and equal within 10 s", f"{len(unsound)} unsound, equal after {took:.1f} s", not unsound)


@pytest.mark.row("F24")
def test_a_damaged_copy_that_is_only_read_is_repaired_too(cluster, new_id, full):
    shop, damages, prefix = cluster(3, 1), _damages(full), new_id()
    host, node = shop.hosts[0], shop.nodes[0]
    assert host.bulk("write", prefix, len(damages), value="whole")["good"] == len(damages)
    shop.wait_equal(10)
    before = node.raw_records()
    for number, change in enumerate(damages.values()):
        key = f"mms:{prefix}{number}"
        node.call("SET", key, change(before[key[4:]], key), "KEEPTTL")
    # Copies younger than a second are left to their mirrors.
    until(lambda: not host.bulk("read", prefix, len(damages), value="whole")["bad"] and node.raw_records() == before,
          10, lambda: f"repaired; still different: {[list(damages)[int(key[len(prefix):])] for key, data in node.raw_records().items() if data != before[key]][:5]}",
          every=0.2)
    bar("F24", "repaired record equal to the one before", f"{len(damages)} of {len(damages)}", True)


@pytest.mark.row("F24")
def test_a_scan_never_spreads_a_record_that_nobody_can_have_written(cluster, new_id):
    shop, prefix, count = cluster(3, 2), new_id(), 20
    host, node = shop.hosts[0], shop.nodes[2]
    assert host.bulk("write", prefix, count, value="whole")["good"] == count
    shop.wait_equal(10)
    before = node.raw_records()
    for number, (session, data) in enumerate(before.items()):
        # Half of them with an absurd incarnation, half with an absurd stamp.
        key, position = f"mms:{session}", 8 if number % 2 else 16
        absurd = data[:position] + struct.pack(">Q", 7258118400000 << 16) + data[position + 8:]
        node.call("SET", key, record.sealed(absurd, key), "KEEPTTL")
    node.save()
    node.restart(empty=False)
    until(lambda: all(each.node_status("web3")["complete"] for each in shop.hosts), 15, "web3 complete")
    until(lambda: node.raw_records() == before, 10, "its records are the others'")
    bar("F24", "a repair scan replaces records stamped in the year 2200 and spreads none",
        f"{sum(each.raw_records() == before for each in shop.nodes)} of 3 nodes right",
        all(each.raw_records() == before for each in shop.nodes))


@pytest.mark.row("F25")
@pytest.mark.parametrize("holders", [[0], [2], [0, 1, 2]], ids=["local", "peer", "all"])
def test_a_record_of_an_unknown_format_is_left_as_it_is(cluster, new_id, holders):
    shop, session, unknown = cluster(3, 1), new_id(), []
    host = shop.hosts[0]
    assert host.put(session, "n", "1")
    shop.wait_equal(10)
    for version in (0, 2, 255):
        session = new_id()
        assert host.put(session, "n", "1") and host.flush()
        key = f"mms:{session}"
        for index in holders:
            data = shop.nodes[index].call("GET", key)
            shop.nodes[index].call("SET", key, record.sealed(data[:3] + bytes([version]) + data[4:], key), "KEEPTTL")
        before = {index: shop.nodes[index].call("GET", key) for index in holders}
        answer = host.visit(session, "start;get:n;set:n:2;close")
        host.flush()
        changed = [index for index, data in before.items() if shop.nodes[index].call("GET", key) != data]
        unknown.append((version, changed, answer["values"].get("n"), answer["id"] == session, answer["warnings"][:1]))
    bar("F25", f"unknown format on {len(holders)} nodes: the key is not changed", unknown, not any(each[1] for each in unknown))
    if len(holders) == 3:
        bar("F25", "nothing of it is shown, PHP is told", unknown, all(each[2] is None and each[4] for each in unknown))


FOREIGN = {"hash": ("HSET", "field", "value"), "list": ("RPUSH", "a", "b"), "plain string": ("SET", "x|s:5:\"apple\";"),
           "set": ("SADD", "a")}


@pytest.mark.row("F23")
@pytest.mark.parametrize("holders", [[0], [2], [0, 1, 2]], ids=["local", "peer", "all"])
def test_a_foreign_key_under_a_session_id_stays_as_it_is(cluster, new_id, holders):
    shop, outcomes = cluster(3, 2), []
    for kind, (verb, *words) in FOREIGN.items():
        session = new_id()
        for index in holders:
            shop.nodes[index].call(verb, f"mms:{session}", *words)
        before = [shop.nodes[index].call("DUMP", f"mms:{session}") for index in holders]
        answers = [host.visit(session, "start;get:a;set:a:mine;close") for host in shop.hosts]
        assert all(host.flush() for host in shop.hosts)
        answers += [host.visit(session, "strict:1;start;get:a;close") for host in shop.hosts]
        after = [shop.nodes[index].call("DUMP", f"mms:{session}") for index in holders]
        outcomes.append({"kind": kind, "changed": before != after, "shown": [each["values"].get("a") for each in answers],
                         "told": [bool(each["warnings"]) for each in answers[:2]],
                         "new id": [each["id"] != session for each in answers[2:]]})
    bar("F23", f"foreign key on {len(holders)} nodes: its bytes are unchanged", [each["kind"] for each in outcomes if each["changed"]] or "all",
        not any(each["changed"] for each in outcomes))
    bar("F23", "nothing of it reaches PHP", outcomes[0]["shown"], not any(
        value not in (None, "mine") for each in outcomes for value in each["shown"]))
    if len(holders) == 3:
        bar("F23", "PHP is told, and a strict host gives another id", outcomes,
            all(all(each["told"]) and all(each["new id"]) for each in outcomes))
