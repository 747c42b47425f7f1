"""read = session-token: visitors who hop between hosts, with mirrors that are late or lost."""
import os
import random
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from conftest import FULL
from rig.process import until
from rig.results import bar, timing

# What a page may look like: closes its session before any output, has sent its headers by then, writes twice, writes the
# second time with the headers gone; only looks.
WRITES = ("start;get:n;set:n:{n};close", "start;get:n;early;set:n:{n};close", "start;get:n;early;set:n:{n}",
          "start;get:n;set:n:0{n};close;start;set:n:{n};close", "start;get:n;set:n:0{n};close;quiet;early;start;set:n:{n};close")
PATIENT = {"read_timeout_ms": 1000, "connect_timeout_ms": 1000, "budget_ms": 3000}
PLACES = {"cookies": {}, "header": {"token_header": "X-Token"}, "function": {}}
LOOKS = ("start;get:n;close", "start;get:n;early;close", "start;get:n;early", "start;get:n", "read_and_close;get:n")


class Visitor:
    """One browser: keeps cookies, clicks one page after the other. Or a client that sends back the header of the last answer."""

    def __init__(self, session, rng):
        self.jar = {"PHPSESSID": session}
        self.header = ""
        self.rng = rng
        self.number = 0
        self.stale = []
        self.warnings = []

    def click(self, host, steps):
        reply = host.get("session.php", "; ".join(f"{name}={value}" for name, value in self.jar.items()),
                         params={"HTTP_X_TOKEN": self.header}, do=steps)
        for header, text in reply.headers:
            if header.lower() == "set-cookie":
                name, _, value = text.split(";")[0].partition("=")
                self.jar[name] = value
            elif header.lower() == "x-token":
                self.header = text
            elif header.lower() == "x-answered":
                self.answered = int(text)
        answer = reply.json
        self.warnings += answer["warnings"]
        return answer

    def look_or_write(self, host, share=0.5, writes=WRITES, looks=LOOKS):
        """One click; what is shown must be what he wrote last."""
        changes = self.number == 0 or self.rng.random() < share
        template = self.rng.choice(writes if changes else looks)
        answer = self.click(host, template.format(n=self.number + 1))
        seen = answer["values"].get("n")
        if self.number > 0 and seen != str(self.number):
            self.stale.append((host.name, template, self.number, seen))
        if changes:
            self.number += 1
        return answer

    @property
    def tokens(self):
        return {name: value for name, value in self.jar.items() if "_mms" in name}


def counters(shop, *names):
    """Sums over all hosts; the status page reads a session itself, without a token, which is taken off again."""
    sums = dict.fromkeys(names, 0)
    for host in shop.hosts:
        status = host.status()["counters"]
        for name in names:
            sums[name] += status[name]
    shop.status_pages = getattr(shop, "status_pages", 0) + len(shop.hosts)
    return [sums[name] - (shop.status_pages if name == "token_full_reads" else 0) for name in names]


@pytest.fixture
def key_file(tmp_path):
    path = tmp_path / "token-key"
    path.write_text(f"{random.getrandbits(256):064x}\n")
    path.chmod(0o644)
    for parent in (tmp_path, *tmp_path.parents[:3]):
        parent.chmod(parent.stat().st_mode | 0o055)
    return str(path)


def know_all_nodes(shop):
    """From then on every host has its own slot among a visitor's tokens."""
    until(lambda: all(node["node_id"] for host in shop.hosts for node in host.status()["nodes"]), 10, "nodes are known")


def settings(key_file=None, **more):
    return {"read": "session-token", **({"token_key_file": key_file} if key_file else {}), **more}


def walk(shop, visitors, clicks, pause=0.0, parallel=6, share=0.5):
    """Every visitor clicks `clicks` times, each time on any host."""
    def one(visitor):
        for _ in range(clicks):
            visitor.look_or_write(visitor.rng.choice(shop.hosts), share)
            time.sleep(pause)
    with ThreadPoolExecutor(parallel) as pool:
        list(pool.map(one, visitors))


def nothing_stale(row, text, visitors):
    stale = [each for visitor in visitors for each in visitor.stale]
    warnings = [each for visitor in visitors for each in visitor.warnings]
    bar(row, text, f"{len(stale)} {stale[:3]}, {len(warnings)} warnings {warnings[:2]}", not stale and not warnings)


@pytest.mark.row("token")
@pytest.mark.parametrize("signed", [True, False], ids=["signed", "unsigned"])
def test_hopping_visitors_see_what_they_wrote_at_full_speed(cluster, program, new_id, full, key_file, signed):
    shop = cluster(3, 3, program=program, mmsession=settings(key_file if signed else None))
    know_all_nodes(shop)
    visitors = [Visitor(new_id(), random.Random(number)) for number in range(40 if full else 12)]
    walk(shop, visitors, 300 if full else 60)
    local, everywhere = counters(shop, "token_local_reads", "token_wide_writes")
    nothing_stale("token", f"0 stale in {sum(v.number for v in visitors)} writes and as many looks, {local} reads local, "
                  f"{everywhere} writes to all nodes", visitors)
    assert local > 0 and everywhere > 0
    assert all(len(visitor.tokens) <= 3 for visitor in visitors)


@pytest.mark.row("token-delay")
@pytest.mark.parametrize("place", ["cookies", "header"])
def test_late_mirrors_show_nobody_less_than_he_wrote(cluster, new_id, full, key_file, place):
    shop = cluster(3, 3, proxied=True, mmsession=settings(key_file, **PATIENT, **PLACES[place]))
    for host in range(3):
        for node in range(3):
            if host != node:
                shop.link(host, node).set(latency_ms=10, command_bytes_per_second=40000)
    visitors = [Visitor(new_id(), random.Random(number)) for number in range(40 if full else 12)]
    walk(shop, visitors, 100 if full else 25)
    local, = counters(shop, "token_local_reads")
    nothing_stale("token-delay", f"peers behind a line of 40 KB/s, tokens in {place}: 0 stale, {local} reads local", visitors)
    assert local > 0


@pytest.mark.row("token-local")
def test_nine_of_ten_clicks_a_second_apart_are_answered_by_the_local_node(cluster, new_id, full, key_file):
    shop = cluster(3, 3, mmsession=settings(key_file))
    visitors = [Visitor(new_id(), random.Random(number)) for number in range(24)]
    walk(shop, visitors, 1, pause=1.0, parallel=24)
    before = counters(shop, "token_local_reads", "token_full_reads")
    walk(shop, visitors, 60 if full else 12, pause=1.0, parallel=24, share=0.3)
    after = counters(shop, "token_local_reads", "token_full_reads")
    local, everywhere = (now - then for now, then in zip(after, before))
    nothing_stale("token-local", "0 stale", visitors)
    timing("token-local", "90 % of reads local, a second between clicks, most of them looks",
           f"{100 * local / (local + everywhere):.1f} % of {local + everywhere}", local >= 9 * everywhere)


@pytest.mark.row("token-lost")
def test_mirrors_lost_with_all_php_of_a_host_are_not_missed_by_their_visitor(cluster, new_id, full, key_file):
    shop = cluster(3, 3, mmsession=settings(key_file), workers=3)
    visitors = [Visitor(new_id(), random.Random(number)) for number in range(6)]
    walk(shop, visitors, 6)
    for turn in range(30 if full else 6):
        victim = shop.hosts[turn % 3]
        for visitor in visitors:
            # Written here, and nobody is left to bring it anywhere: the local node alone has it.
            visitor.look_or_write(victim, 1.0)
        victim.kill_all()
        others = [host for host in shop.hosts if host is not victim]
        for visitor in visitors:
            visitor.look_or_write(visitor.rng.choice(others))
        victim.start()
        walk(shop, visitors, 3)
    nothing_stale("token-lost", "0 stale after SIGKILL of a host's php-fpm in the middle of mirrors", visitors)


@pytest.mark.row("token-stop")
def test_a_stopped_replicator_makes_nobody_see_less(cluster, new_id, full, key_file):
    shop = cluster(3, 3, mmsession=settings(key_file), workers=8)
    visitors = [Visitor(new_id(), random.Random(number)) for number in range(6)]
    walk(shop, visitors, 6)
    for turn in range(12 if full else 3):
        host = shop.hosts[turn % 3]
        pid = host.status()["replicator"]["pid"]
        os.kill(pid, signal.SIGSTOP)
        try:
            walk(shop, visitors, 8, pause=0.05)
        finally:
            os.kill(pid, signal.SIGCONT)
        walk(shop, visitors, 4)
    nothing_stale("token-stop", "0 stale while a host's replicator is stopped and after it", visitors)


@pytest.mark.row("token-node")
def test_nodes_restarted_empty_or_from_an_old_dump_show_nobody_less(cluster, new_id, full, key_file):
    shop = cluster(3, 3, mmsession=settings(key_file))
    visitors = [Visitor(new_id(), random.Random(number)) for number in range(8)]
    for turn in range(9 if full else 3):
        walk(shop, visitors, 6, pause=0.02)
        assert all(host.flush() for host in shop.hosts)
        node = shop.nodes[turn % 3]
        node.kill()
        walk(shop, visitors, 3)
        node.start()
        walk(shop, visitors, 10, pause=0.02)
    stale = [each for visitor in visitors for each in visitor.stale]
    bar("token-node", "0 stale while nodes are killed and come back empty", f"{len(stale)} {stale[:3]}", not stale)


# Pages beside a write, that end before it, after it or in the middle of it, with headers that go out sooner or later than its own.
BESIDE = ("start;early;get:n", "start;get:n;close", "start;get:n;close;sleep:{ms}", "start;early;sleep:{ms};get:n", "start;sleep:{ms};get:n")


def click_at_once(shop, visitor, writer, value):
    """One page of a visitor: one request writes, on `writer`, four others look, all at once and with the same cookies."""
    rng = visitor.rng

    def some(steps):
        return steps.format(ms=rng.randrange(80), n=value)
    pages = [(writer, some("start;early;sleep:{ms};set:n:{n}"))]
    # A write beside an open request of its host goes to all nodes: that is kept from half of them.
    hosts = rng.choice([[writer, *shop.hosts], [host for host in shop.hosts if host is not writer]])
    pages += [(rng.choice(hosts), some(rng.choice(BESIDE))) for _ in range(4)]
    rng.shuffle(pages)
    tabs, jar = [Visitor("", rng) for _ in pages], dict(visitor.jar)
    for tab in tabs:
        tab.jar = dict(jar)
    with ThreadPoolExecutor(len(pages)) as pool:
        list(pool.map(lambda pair: pair[0].click(*pair[1]), zip(tabs, pages)))
    for tab in sorted(tabs, key=lambda each: each.answered):
        visitor.jar.update({name: value for name, value in tab.jar.items() if jar.get(name) != value})


def slow_mirrors(shop, new_id):
    """From now on mirrors wait for some 0.8 s behind a large one; requests have connections of their own, and are not slowed."""
    for host in range(3):
        for node in range(3):
            if host != node:
                shop.link(host, node).set(command_bytes_per_second=10000, free_bytes=8000)
        Visitor(new_id(), random.Random(0)).click(shop.hosts[host], "start;fill:x:16000;close")
    time.sleep(0.03)


def mirrored(shop, visitors, turn):
    """All lines are fast again; every node has what was written, and no token asks for more than that."""
    for node in range(3):
        for link in shop.links_to(node):
            link.clear()
    assert all(host.flush() for host in shop.hosts)
    for visitor in visitors:
        for host in shop.hosts:
            until(lambda: visitor.click(host, "start;get:n;close")["values"]["n"] == str(turn), 5, "mirrored")


@pytest.mark.row("token-parallel")
def test_parallel_requests_of_one_visitor_lose_none_of_his_tokens(cluster, new_id, full, key_file):
    shop = cluster(3, 3, proxied=True, mmsession=settings(key_file, **PATIENT), workers=16)
    know_all_nodes(shop)
    stale, late, visitors = [], [], [Visitor(new_id(), random.Random(number)) for number in range(6)]

    def page(visitor, turn):
        writer, reader = visitor.rng.sample(shop.hosts, 2)
        click_at_once(shop, visitor, writer, turn)
        copy = shop.nodes[shop.hosts.index(reader)].call("GET", f"mms:{visitor.jar['PHPSESSID']}")
        late.append(f's:{len(str(turn))}:"{turn}"'.encode() not in copy)
        seen = visitor.click(reader, "start;get:n;close")["values"]["n"]
        stale.extend([(visitor.jar["PHPSESSID"], turn, seen)] * (seen != str(turn)))
    for visitor in visitors:
        visitor.click(visitor.rng.choice(shop.hosts), "start;set:n:0;close")
    with ThreadPoolExecutor(len(visitors)) as pool:
        for turn in range(1, 150 if full else 9):
            mirrored(shop, visitors, turn - 1)
            slow_mirrors(shop, new_id)
            list(pool.map(lambda visitor: page(visitor, turn), visitors))
    # A busy machine makes a node late, and a read does without it (and counts that): measured again.
    uncertain, = counters(shop, "uncertain_reads")
    (timing if uncertain else bar)("token-parallel", "0 stale after parallel requests, whichever answer came last",
                                   f"{len(stale)} {stale[:3]} of {len(late)}, of which {sum(late)} came before the mirror, "
                                   f"{uncertain} reads without some node", not stale)
    assert any(late), "no mirror was late"


@pytest.mark.row("token-overlap")
def test_an_answer_that_replaces_the_token_of_a_write_beside_it_hides_nothing(cluster, new_id, full, key_file):
    shop = cluster(3, 3, proxied=True, mmsession=settings(key_file))
    know_all_nodes(shop)
    stale, trials = [], 100 if full else 12
    for number in range(trials):
        # Mirrors to peers take some 50 ms from here on; what a request sends to all nodes itself, too.
        visitor, other = Visitor(new_id(), random.Random(number)), Visitor("", random.Random(number))
        visitor.click(shop.hosts[0], "start;set:n:0;close")
        assert shop.hosts[0].flush()
        for node in (1, 2):
            shop.link(0, node).set(command_bytes_per_second=8000)
        other.jar = dict(visitor.jar)
        with ThreadPoolExecutor(1) as pool:
            # Its headers are gone at once; the look beside it begins later and ends before it writes.
            writing = pool.submit(visitor.click, shop.hosts[0], f"start;early;sleep:60;set:n:{number + 1};close")
            time.sleep(0.02)
            other.click(shop.hosts[0], "start;get:n;close")
            writing.result()
        visitor.jar.update(other.jar)
        seen = visitor.click(shop.hosts[1 + number % 2], "start;get:n;close")["values"]["n"]
        if seen != str(number + 1):
            stale.append((number, seen))
        for node in (1, 2):
            shop.link(0, node).clear()
    bar("token-overlap", f"0 stale of {trials} writes beside a look on the same host", f"{len(stale)} {stale[:3]}", not stale)


@pytest.mark.row("token-late-answer")
def test_a_look_that_is_over_but_not_answered_hides_no_write(cluster, new_id, full, key_file):
    shop = cluster(3, 3, proxied=True, mmsession=settings(key_file, **PATIENT))
    know_all_nodes(shop)
    stale, trials = [], 30 if full else 6
    for number in range(trials):
        visitor, other = Visitor(new_id(), random.Random(number)), Visitor("", random.Random(number))
        visitor.click(shop.hosts[0], "start;set:n:0;close")
        assert shop.hosts[0].flush()
        until(lambda: visitor.click(shop.hosts[1], "start;get:n;close")["values"]["n"] == "0", 5, "mirrored")
        for node in (1, 2):
            shop.link(0, node).set(command_bytes_per_second=2000)
        # Mirrors behind this one wait for some 0.6 s; a request has connections of its own.
        Visitor(new_id(), random.Random(number)).click(shop.hosts[0], "start;fill:x:1000;close")
        time.sleep(0.03)
        other.jar = dict(visitor.jar)
        with ThreadPoolExecutor(1) as pool:
            # It has closed its session before the write begins, and its headers go out after those of the write.
            looking = pool.submit(other.click, shop.hosts[0], "start;get:n;close;sleep:60")
            time.sleep(0.02)
            visitor.click(shop.hosts[0], f"start;early;set:n:{number + 1};close")
            looking.result()
        visitor.jar.update(other.jar)
        seen = visitor.click(shop.hosts[1], "start;get:n;close")["values"]["n"]
        if seen != str(number + 1):
            stale.append((number, seen))
        for node in (1, 2):
            shop.link(0, node).clear()
    bar("token-late-answer", f"0 stale of {trials} writes beside a look whose answer comes later", f"{len(stale)} {stale[:3]}", not stale)


@pytest.mark.row("token-goes-on")
@pytest.mark.parametrize("place", PLACES if FULL else ["cookies", "function"])
def test_a_page_that_writes_after_its_answer_is_not_hidden_by_the_next_page(cluster, new_id, key_file, place):
    shop = cluster(3, 3, proxied=True, mmsession=settings(key_file, **PATIENT, **PLACES[place]))
    know_all_nodes(shop)
    seen, late, trials = [], [], 4
    for number in range(trials):
        visitor = Visitor(new_id(), random.Random(number))
        given = ""

        def click(host, steps):
            nonlocal given
            if place == "function":
                steps = f"quiet;id:{visitor.jar['PHPSESSID']};token:{given};start;{steps}"
            values = visitor.click(host, steps if place == "function" else f"start;{steps}")["values"]
            given = values.get("token") or ""
            return values.get("n")

        def written(node):
            return b'"1"' in (shop.nodes[node].call("GET", f"mms:{visitor.jar['PHPSESSID']}") or b"")
        click(shop.hosts[0], "set:n:0;close;token")
        assert shop.hosts[0].flush()
        until(lambda: click(shop.hosts[1], "get:n;close;token") == "0", 5, "mirrored")
        click(shop.hosts[0], "get:n;close;token")
        for node in (1, 2):
            shop.link(0, node).set(command_bytes_per_second=2000)
        # Mirrors behind this one wait for some 3 s; a request has connections of its own.
        Visitor(new_id(), random.Random(0)).click(shop.hosts[0], "start;fill:x:6000;close")
        click(shop.hosts[0], "get:n;token;answer;sleep:200;set:n:1;close")
        seen.append(click(shop.hosts[1], "get:n;close;token"))  # all nodes agree that nothing was written
        until(lambda: written(0), 5, "written")
        late.append(not written(1))
        seen.append(click(shop.hosts[1], "get:n;close;token"))
        for node in (1, 2):
            shop.link(0, node).clear()
    bar("token-goes-on", f"tokens in {place}: 0 while nothing is written, then 1, in {trials} trials, {sum(late)} before the mirror",
        " ".join(map(str, seen)), seen == ["0", "1"] * trials)
    assert any(late), "no mirror was late"


@pytest.mark.row("two-pools")
def test_a_pool_says_nothing_of_the_mirrors_of_another_pool_beside_it(cluster, new_id, full, key_file):
    """Two pools of one php-fpm with prefix and nodes in common, but another list: two clusters, whose mailboxes differ."""
    shop = cluster(2, 0, proxied=True, mmsession=settings(key_file, **PATIENT))
    here, there = shop.nodes
    host = shop.add_host(0, second={"mmsession.nodes": f"unix://{here.socket}?name={here.name}, "
                                                       f"tcp://{there.host}:{there.port}?name={there.name}"})
    beside, elsewhere = host.second_pool(), shop.add_host(1)
    know_all_nodes(shop)
    assert beside.status()["cluster"] != host.status()["cluster"]
    seen, late, trials = [], [], 12 if full else 4
    for number in range(trials):
        visitor, neighbour = Visitor(new_id(), random.Random(number)), Visitor(new_id(), random.Random(number))
        visitor.click(host, "start;set:n:0;close")
        neighbour.click(beside, "start;set:n:0;close")
        assert host.flush() and beside.flush()
        until(lambda: visitor.click(elsewhere, "start;get:n;close")["values"]["n"] == "0", 5, "mirrored")
        shop.link(0, 1).set(command_bytes_per_second=2000)
        # Mirrors of the first pool wait for some 0.6 s behind this one.
        Visitor(new_id(), random.Random(0)).click(host, "start;fill:x:1000;close")
        time.sleep(0.03)
        visitor.click(host, "start;early;set:n:1;close")
        neighbour.click(beside, "start;set:n:1;close")
        time.sleep(0.08)
        late.append(b'"1"' not in there.call("GET", f"mms:{visitor.jar['PHPSESSID']}"))
        seen.append(visitor.click(elsewhere, "start;get:n;close")["values"]["n"])
        shop.link(0, 1).clear()
    bar("two-pools", f"{trials} writes by one pool, then a request of another: the next host shows all, {sum(late)} before the mirror",
        " ".join(map(str, seen)), seen == ["1"] * trials)
    assert any(late), "no mirror was late"


@pytest.mark.row("token-removed")
@pytest.mark.parametrize("steps", ["start;set:n:{n};close;no_headers", "start;no_headers;early;set:n:{n};close", "start;no_headers;early;set:n:{n}"],
                         ids=["after", "before", "at-the-end"])
def test_a_write_whose_token_was_removed_is_on_all_nodes_when_the_answer_ends(cluster, new_id, key_file, steps):
    shop = cluster(3, 3, proxied=True, mmsession=settings(key_file))
    know_all_nodes(shop)
    stale, trials = [], 8
    for number in range(trials):
        visitor = Visitor(new_id(), random.Random(number))
        visitor.click(shop.hosts[0], "start;set:n:0;close")
        assert shop.hosts[0].flush()
        # With his token the local node is enough from now on, and mirrors take some 50 ms.
        until(lambda: visitor.click(shop.hosts[1], "start;get:n;close")["values"]["n"] == "0", 5, "mirrored")
        for node in (1, 2):
            shop.link(0, node).set(command_bytes_per_second=8000)
        visitor.click(shop.hosts[0], steps.format(n=number + 1))
        seen = visitor.click(shop.hosts[1], "start;get:n;close")["values"]["n"]
        if seen != str(number + 1):
            stale.append((number, seen))
        for node in (1, 2):
            shop.link(0, node).clear()
    bar("token-removed", f"0 stale of {trials} writes whose token a script removed", f"{len(stale)} {stale[:3]}", not stale)


@pytest.mark.row("token-forged")
def test_tokens_that_are_missing_forged_or_foreign_cost_a_full_read_and_no_more(cluster, new_id, key_file):
    shop = cluster(3, 3, mmsession=settings(key_file))
    visitor, other = Visitor(new_id(), random.Random(1)), Visitor(new_id(), random.Random(2))
    visitor.click(shop.hosts[0], "start;set:n:1;close")
    other.click(shop.hosts[0], "start;set:n:secret;close")
    (name, token), = visitor.tokens.items()
    (_, foreign), = other.tokens.items()
    forged = token[:20] + ("A" if token[20] != "A" else "B") + token[21:]

    def full_reads(jar):
        visitor.jar = {"PHPSESSID": visitor.jar["PHPSESSID"], **jar}
        before = counters(shop, "token_full_reads")[0]
        seen = visitor.click(shop.hosts[1], "start;get:n;early;close")["values"]["n"]
        assert seen == "1"
        return counters(shop, "token_full_reads")[0] - before
    time.sleep(0.5)
    found = [full_reads(jar) for jar in ({name: token}, {}, {name: forged}, {name: foreign}, {name: "x" * 4000},
                                         {name: f"{token}.{foreign}"}, {f"{name[:-1]}7": token})]
    bar("token-forged", "good 0, missing 1, forged 1, foreign 1, rubbish 1, beside a foreign one 1, in another slot 0",
        found, found == [0, 1, 1, 1, 1, 1, 0])
