"""mms::behind and mms::lives: a user who may not use them, keys of others in their place. Nodes are used all the same, and named."""
import os
import re
import time

import pytest

from conftest import FULL
from measure import quiet
from rig.process import Late, until
from rig.results import bar

OPERATIONS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs", "operations.md")


def documented_user(without):
    """Command line for a server: the user that docs/operations.md gives, without one of his commands."""
    with open(OPERATIONS) as text:
        words = next(line for line in text if line.startswith("user mmsession ")).split()
    assert without is None or f"+{without}" in words
    return ["--user", *(word for word in words[1:] if word != f"+{without}")]


@pytest.fixture
def password_file(tmp_path):
    path = tmp_path / "password"
    path.write_text("secret\n")
    path.chmod(0o644)
    for parent in (tmp_path, *tmp_path.parents[:3]):
        parent.chmod(parent.stat().st_mode | 0o055)
    return str(path)


def told(shop, key, *words):
    """Names of nodes that each host warns of now, with this key and these words."""
    found = []
    for host in shop.hosts:
        texts = [each["text"] for each in host.status()["warnings"] if each["kind"] == "node" and each["active"]]
        texts = [text for text in texts if re.search(key, text) and all(re.search(rf"\b{word}\b", text, re.I) for word in words)]
        found.append({node.name for node in shop.nodes if any(f"node {node.name} " in text for text in texts)})
    return found


def warnings(shop):
    return [each for host in shop.hosts for each in host.status()["warnings"]]


def in_time(predicate, seconds):
    """Whether it becomes true: a bar says so, and what was there instead."""
    try:
        return bool(until(predicate, seconds, "", every=0.1))
    except Late:
        return False


def requests(shop, new_id, seconds):
    """Requests on all hosts for so long: how many, and what those said that failed."""
    count, failed, end = 0, [], time.monotonic() + seconds
    while time.monotonic() < end:
        for host in shop.hosts:
            answer = host.visit(new_id(), "start;set:n:1;close")
            count += 1
            if answer["warnings"] or not answer["ok"]["close"]:
                failed.append(answer["warnings"])
        time.sleep(0.01)
    return count, failed


def whole(shop, complete=True):
    """No host misses anything of a node, or does without it."""
    return all(node["state"] == "closed" and node["writable"] and (node["complete"] or not complete) and not node["hints"]
               for host in shop.hosts for node in host.status()["nodes"])


def states(shop):
    return [(node["name"], node["state"], node["complete"], node["hints"], node["behind"], node["last_error"])
            for host in shop.hosts for node in host.status()["nodes"]]


@pytest.mark.row("no-permission")
@pytest.mark.parametrize("command", ["hset", "hdel", *([None, "hgetall", "hget"] if FULL else [])])
def test_a_user_without_one_of_the_commands_for_markers_costs_no_request(cluster, new_id, password_file, command):
    shop = cluster(3, 2, workers=4, node_settings=documented_user(command),
                   mmsession={"user": "mmsession", "password_file": password_file})
    nodes, peer, key = {node.name for node in shop.nodes}, shop.nodes[2], "mms::(behind|lives)"
    what = f"without {command}" if command else "with the documented user"
    count, failed = requests(shop, new_id, 0.5)
    if command in ("hset", "hgetall"):  # tried every second
        warned = in_time(lambda: all(each == nodes for each in told(shop, key, command, "permission")), 4)
        bar("no-permission", f"{what}: before anything fails, each host warns of each node, with key, command and remedy",
            warnings(shop), warned)
    peer.save()
    peer.kill()
    more, failed_more = requests(shop, new_id, 2)
    bar("no-permission", f"{what}: 0 failed requests while all nodes are there, then one is not",
        f"{len(failed)} of {count}, {len(failed_more)} of {more} {(failed + failed_more)[:1]}", not failed + failed_more)
    peer.restart(empty=False)
    knows = command != "hgetall"  # who can't read markers can't know that nobody misses anything
    back = in_time(lambda: whole(shop, complete=knows), 15)
    bar("no-permission", f"{what}: it is back, all nodes are used{' and complete' if knows else ''}, no hint is left",
        "yes" if back else states(shop), back)
    in_time(lambda: not any(node.call("HLEN", "mms::behind") for node in shop.nodes), 3)
    left = {node.name for node in shop.nodes if node.call("HLEN", "mms::behind")}
    if command in ("hdel", "hget"):  # in a script: the server doesn't say which of its commands was refused
        warned = in_time(lambda: all(each and each >= left for each in told(shop, "mms::behind", "permission")), 4)
        bar("no-permission", f"{what}: each host warns of nodes where lines stay, with key and remedy",
            f"on {sorted(left)}, {warnings(shop)}", warned)
    else:
        lines = {node.name: node.call("HGETALL", "mms::behind") for node in shop.nodes}
        bar("no-permission", f"{what}: no marker is left", lines if left else "none", not left)
        wanted = nodes if command else set()
        bar("no-permission", f"{what}: a warning of a node {'stands' if command else 'does not come'}", warnings(shop),
            all(each == wanted for each in told(shop, key, "permission")))
    count, failed = requests(shop, new_id, 0.2)
    assert not failed
    lines = [host.log_lines("permission")[:1] for host in shop.hosts]
    bar("no-permission", f"{what}: {'each log has it' if command else 'nor does one in the logs'}", lines,
        all(bool(each) == bool(command) for each in lines))
    quiet("no-permission", shop)
    bar("no-permission", f"{what}: all nodes equal within 10 s", f"{shop.wait_equal(10):.1f} s", True)


@pytest.mark.row("foreign-key-of-ours")
@pytest.mark.parametrize("name", ["behind", *(["lives"] if FULL else [])])
def test_a_key_in_the_place_of_the_modules_own_holds_up_nothing_and_is_named(cluster, new_id, name):
    shop, key, what = cluster(3, 2, workers=4), f"mms::{name}", f"a string at mms::{name}"
    emptied, odd = shop.nodes[1:]
    count, failed = requests(shop, new_id, 1)
    odd.call("SET", key, "x")
    emptied.kill()
    more, failed_more = requests(shop, new_id, 1.5)
    bar("foreign-key-of-ours", f"{what} of a node, and another one away: 0 failed requests",
        f"{len(failed)} of {count}, {len(failed_more)} of {more} {(failed + failed_more)[:1]}", not failed + failed_more)
    drained = in_time(lambda: not any(host.status()["mailbox"]["entries"] for host in shop.hosts), 3)
    bar("foreign-key-of-ours", f"{what}: mailboxes are empty within 3 s", [host.status()["mailbox"] for host in shop.hosts], drained)
    before = odd.command_calls().get("hset", 0)
    time.sleep(2)
    calls = odd.command_calls().get("hset", 0) - before
    bar("foreign-key-of-ours", f"{what}: fewer than 20 HSET there in 2 s", calls, calls < 20)
    warned = in_time(lambda: all(each == {odd.name} for each in told(shop, key, "DEL")), 4)
    bar("foreign-key-of-ours", f"{what}: each host warns of it, with node, key and remedy", warnings(shop), warned)
    emptied.start()
    back = in_time(lambda: whole(shop), 15)
    bar("foreign-key-of-ours", f"{what}: the other one is back, empty, and made complete", "yes" if back else states(shop), back)
    finished = [host.node_status(emptied.name)["repair"]["finished"] for host in shop.hosts]
    emptied.call("FLUSHALL")
    requests(shop, new_id, 0.2)
    # What it was until somebody met it again, it is until then.
    back = in_time(lambda: whole(shop) and [host.node_status(emptied.name)["repair"]["finished"] for host in shop.hosts] != finished, 20)
    bar("foreign-key-of-ours", f"{what}: the same after FLUSHALL", "yes" if back else states(shop), back)
    untouched = odd.call("GET", key)
    odd.call("DEL", key)
    over = in_time(lambda: told(shop, key) == [set(), set()], 10)
    bar("foreign-key-of-ours", f"{what} stays, and when it is deleted, the warning is over within 10 s", warnings(shop),
        over and untouched == b"x")
    quiet("foreign-key-of-ours", shop)
    emptied.kill()
    count, failed = requests(shop, new_id, 0.5)
    noted = in_time(lambda: odd.call("HLEN", key), 5)
    emptied.start()
    back = in_time(lambda: whole(shop), 15)
    bar("foreign-key-of-ours", f"{what} was deleted: a node goes and comes, and all is as usual", f"{len(failed)} of {count}, {key} "
        f"{'is' if noted else 'is not'} written, {'complete' if back else states(shop)}", not failed and noted and back)
    bar("foreign-key-of-ours", "all nodes equal within 10 s", f"{shop.wait_equal(10):.1f} s", True)
