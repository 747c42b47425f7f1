"""distance: what a session costs with all peers some way off, by read mode."""
import statistics

from handlers import Stage, our_settings
from links import Links
from report import Ratio, number, spread

TITLE = "Distance"
ROUND_TRIPS_MS = (0, 0.5, 2, 20, 80)
DIRECT = "no proxy"  # in place of a round trip: what the others are compared with, as the proxy takes CPU of its own
TURN_SECONDS = 0.6
BUSY_US = 300
PATIENT = {"connect_timeout_ms": 1000, "read_timeout_ms": 1000, "budget_ms": 5000}


def views_for(mode, round_trip_ms, full):
    """As many as fit into a turn; a newest read waits for the peers, others don't."""
    wait_us = round_trip_ms * 1000 if mode == "newest" else 0
    return max(12, min(1500, int(TURN_SECONDS * (3 if full else 1) * 1e6 / (BUSY_US + 200 + wait_us))))


def take_turns(section, stage, links, kind):
    """{(mode, round trip): [figures]}"""
    turns = {}
    for run in range(section.runs):
        for round_trip in ROUND_TRIPS_MS:
            for link in links:
                link.round_trip(round_trip)
            for mode in stage.modes:
                views = views_for(mode, round_trip, section.full)
                turns.setdefault((mode, round_trip), []).append(
                    stage.handlers.run(mode, "loop.php", f"far{run}", 1024, views, kind, BUSY_US, 20))
                section.dot()
        for mode in stage.modes:
            turns.setdefault((mode, DIRECT), []).append(
                stage.handlers.run(f"{mode}, direct", "loop.php", f"near{run}", 1024, views_for(mode, 0, section.full), kind, BUSY_US, 20))
    return turns


def show(section, turns, modes, kind):
    rows = []
    for mode in modes:
        near = turns[mode, DIRECT]
        for round_trip in (DIRECT, *ROUND_TRIPS_MS):
            each = turns[mode, round_trip]
            rows.append((mode, round_trip, *(number(statistics.median(turn[field] for turn in each)) for field in ("start", "close", "p99")),
                         Ratio([turn["close"] for turn in each], [turn["close"] for turn in near])))
    section.table(f"1 KiB, {kind}, both peers so many ms away (round trip), {BUSY_US} us of other work; microseconds",
                  ["read mode", "ms", "start p50", "close p50", "both p99", "close to that without the proxy (least..most)"], rows)


def by_distance(turns, mode):
    """The reason, when the write far away is dearer: what the proxy alone adds, and each distance."""
    near = [turn["close"] for turn in turns[mode, DIRECT]]
    each = "; ".join(f"{round_trip} ms {Ratio([turn['close'] for turn in turns[mode, round_trip]], near)}x" for round_trip in ROUND_TRIPS_MS)
    events = "; ".join(f"{where} {number(statistics.median(turn[field] for turn in turns[mode, round_trip]))} {what}"
                       for where, round_trip in (("without the proxy", DIRECT), ("80 ms", 80))
                       for field, what in (("thread", "us of CPU of the request thread"), ("preempted", "times preempted")))
    return f"Through the same proxies, by round trip: {each}. Per request: {events}"


def run(section):
    with Stage(3) as stage, Links() as proxy:
        links = [proxy.add(node.port) for node in stage.nodes[1:]]
        for mode in stage.modes:
            local = f"unix://{stage.nodes[0].socket}?name=web1"
            stage.handlers.add(mode, our_settings([local, *(link.url for link in links)], read=mode, prefix=f"{mode}:", **PATIENT))
            stage.handlers.add(f"{mode}, direct", our_settings(stage.nodes[:3], read=mode, prefix=f"{mode}-direct:", **PATIENT))
        kinds = ("changed",) if section.marks_only else ("changed", "unchanged")
        for kind in kinds:
            turns = take_turns(section, stage, links, kind)
            show(section, turns, stage.modes, kind)
            if kind == "changed":
                # A mode whose read is local: the write is not paced by waits for the peers.
                mode = stage.modes[-1]
                far = [turn["close"] for turn in turns[mode, 80]]
                value = Ratio(far, [turn["close"] for turn in turns[mode, DIRECT]])
                section.mark("far-write", f"{value}x, read = {mode}, {spread(far)} us", value.middle <= 1.05, lambda: by_distance(turns, mode))
            if not section.marks_only:
                lines = {mode: [(round_trip or 0.1, statistics.median(turn["p50"] for turn in turns[mode, round_trip]))
                                for round_trip in ROUND_TRIPS_MS] for mode in stage.modes}
                lines.update({f"{mode}, write alone": [(round_trip or 0.1, statistics.median(turn["close"] for turn in turns[mode, round_trip]))
                                                       for round_trip in ROUND_TRIPS_MS] for mode in stage.modes})
                section.picture(f"distance-{kind}", f"1 KiB, {kind}, by distance of both peers", "ms of round trip (0.1: none)", "us, p50", lines,
                                logx=True, logy=True)
