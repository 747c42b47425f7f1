"""lag: what one replicator can carry (drain.py); at parts of what this machine can write, the time from the acknowledged
write to its presence on every peer; the flood (flood.py).
"""
import json
import os
import statistics
import subprocess
import sys
import time

from drain import PEER_COUNTS, drains
from flood import floods
from handlers import HERE, MESH, Cores, Stage, our_settings, persistent_settings
from report import spread
from rig.host import php_environment, php_program

TITLE = "Mirrors"
LOADS = (0.01, 0.5, 0.9)
SECONDS = 2
PROBES = 1000  # at least so many per load, in all turns together
MARGIN = 0.75  # a load that is not quite reached brings enough probes too
WRITERS = (1, 2, 4)
SETTLED_S = 0.2  # pace.php makes its connections meanwhile, without probes


def paced(handlers, name, *arguments):
    """The closing lines of pace.php, one of each writer."""
    process = handlers.start(name, "pace.php", *arguments)
    # Not communicate(): it closes stdin, whose end would end the script.
    out, errors = process.stdout.read(), process.stderr.read()
    process.wait(60)
    process.stdin.close()
    done = [line for line in map(json.loads, filter(lambda line: line.startswith("{"), out.splitlines())) if line.get("done")]
    if process.returncode or not done:
        raise RuntimeError(f"{name}: pace.php: code {process.returncode}: {out[-300:]} {errors[-500:]}")
    return done


class Observer:
    """Watches nodes for the probes of pace.php; use as context manager, then look at seen."""

    def __init__(self, nodes, events, prefix):
        self._process = subprocess.Popen([sys.executable, "-B", os.path.join(HERE, "observer.py"), events, prefix, *(node.socket for node in nodes)],
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout.readline() == "ready\n"
        self.seen = []

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self._process.stdin.write("\n")
        self._process.stdin.close()
        self.seen = json.loads(self._process.stdout.readline() or "[]")
        self._process.wait(10)


class Kind:
    """A handler whose writes are followed to its peers.

    capacity: {writers: [writes/s of each turn]} at full speed, until all is acknowledged. ceiling: what its replicator can
    carry, in writes/s; None where there is none to be measured.
    """

    def __init__(self, name, peers, prefix, ceiling=None):
        self.name, self.peers, self.prefix, self.ceiling, self.capacity = name, peers, prefix, ceiling, {}
        for node in peers:
            node.call("CONFIG", "SET", "notify-keyspace-events", "K$g")

    def writers(self):
        """As many as write most."""
        return max(self.capacity, key=lambda count: statistics.median(self.capacity[count]))

    def written(self):
        return statistics.median(self.capacity[self.writers()])

    def whole(self):
        """Writes/s that count as 100 %: the lower of what can be written and what can be carried."""
        return min(self.written(), self.ceiling or self.written())

    def says(self):
        carried = "" if self.ceiling is None else f"; its replicator carries {self.ceiling:.0f}/s"
        lower = "the replicator" if self.ceiling and self.ceiling < self.written() else "the writers"
        return (f"{self.name}: {spread(self.capacity[self.writers()], '{:.0f}')} acknowledged writes/s of {self.writers()} PHP processes"
                f"{carried}: {lower} bound it, 100 % is {self.whole():.0f}/s")


def lags_us(probes, seen):
    """(lag of each probe that has arrived everywhere, how many have not)"""
    lags, missing = [], 0
    for turn, at in probes.items():
        arrivals = [each.get(turn) for each in seen]
        if None in arrivals:
            missing += 1
        else:
            lags.append(max(0, (max(arrivals) - at) / 1000))
    return sorted(lags), missing


def share_of(lags, share):
    return lags[min(len(lags) - 1, int(share * len(lags)))]


def lag_at(section, stage, kind, load, run):
    """One turn: lags of its probes, rate that was reached, share of the cores' time that nobody used."""
    rate = load * kind.whole()
    wanted = PROBES if rate * SECONDS > 2 * PROBES else PROBES / section.runs
    seconds = max(SECONDS * (3 if section.full else 1), 1.1 * wanted / rate + SETTLED_S)
    every = max(1, int(rate * (seconds - SETTLED_S) / wanted * MARGIN))
    session, cores = f"lag{run}x{int(1000 * load)}", Cores()
    with Observer(kind.peers, "rename_to,set", f"{kind.prefix}{session}probe") as observer:
        done = paced(stage.handlers, kind.name, session, 1024, rate, seconds, every, 1000, kind.writers())
        idle = cores.idle()
        time.sleep(0.3)  # phpredis has nothing to wait with for the last ones
    probes = {number: at for each in done for number, at in each["probes"].items()}
    lags, missing = lags_us(probes, observer.seen)
    if not lags:
        raise RuntimeError(f"{kind.name}: none of {len(probes)} probes was seen on the peers")
    count = sum(each["count"] for each in done)
    return {"lags": lags, "replicator": sum(each["replicator"] * each["count"] for each in done) / count, "p50": share_of(lags, 0.5), "p99": share_of(lags, 0.99), "most": lags[-1], "missing": missing, "idle": idle,
            "rate": count / max(each["seconds"] for each in done)}


def can_fork():
    return subprocess.run([php_program(), "-n", "-r", "exit(function_exists('pcntl_fork') ? 0 : 1);"], env=php_environment()).returncode == 0


def measure_capacity(section, stage, kinds):
    for run in range(section.runs):
        for writers in WRITERS if can_fork() else (1,):
            for kind in kinds:
                done = paced(stage.handlers, kind.name, f"capacity{run}", 1024, 0, SECONDS * (3 if section.full else 1), 0, 1000, writers)
                rate = sum(each["count"] for each in done) / max(each["seconds"] + each["behind"] for each in done)
                kind.capacity.setdefault(writers, []).append(rate)
                section.dot()


def kinds_of(stage, ceiling):
    stage.handlers.add("newest", our_settings(stage.nodes[:3], read="newest"))
    kinds = [Kind("newest", stage.nodes[1:3], "mms:", ceiling)]
    if stage.mesh:
        stage.handlers.add(MESH, persistent_settings(stage.mesh.nodes[0]))
        kinds.append(Kind(MESH, stage.mesh.nodes[1:], "PHPREDIS_SESSION:"))
    return kinds


def by_load(section, stage, ceiling):
    kinds = kinds_of(stage, ceiling)
    measure_capacity(section, stage, kinds)
    turns = {}
    for run in range(section.runs):
        for load in LOADS:
            for kind in kinds:
                turns.setdefault((kind, load), []).append(lag_at(section, stage, kind, load, run))
                section.dot()
    show(section, kinds, turns)
    mark(section, kinds[0], turns[kinds[0], 0.5])


def all_of(turns):
    return sorted(lag for turn in turns for lag in turn["lags"])


def pooled(turns, share, field):
    """Of the probes of all turns together; in brackets the least and the greatest turn."""
    each = [turn[field] for turn in turns]
    return f"{share_of(all_of(turns), share):.0f} ({min(each):.0f}..{max(each):.0f})"


def show(section, kinds, turns):
    section.say("What counts as full load, measured first: " + ". ".join(kind.says() for kind in kinds) + ".")
    rows, lines = [], {}
    for (kind, load), each in turns.items():
        rate, lags = statistics.median(turn["rate"] for turn in each), all_of(each)
        rows.append((kind.name, f"{load:.0%}", f"{rate:.0f}", f"{rate / kind.whole():.1%}", len(lags), pooled(each, 0.5, "p50"),
                     pooled(each, 0.99, "p99"), f"{lags[-1]:.0f}", sum(turn["missing"] for turn in each),
                     f"{statistics.median(turn['idle'] for turn in each):.0%}"))
        for name, share in (("p50", 0.5), ("p99", 0.99)):
            lines.setdefault(f"{kind.name}, {name}", []).append((100 * load, max(1, share_of(lags, share))))
    section.table("Lag of 1 KiB: from the return of session_write_close to presence on both peers, us, of all probes (least..most of the turns)",
                  ["handler", "load", "writes/s", "reached", "probes", "p50", "p99", "most", "missing", "cores idle"], rows)
    if not section.marks_only:
        section.picture("lag", "Mirror lag by load", "% of full load", "us (1: there before the answer)", lines, logy=True)


def mark(section, kind, turns):
    p99 = share_of(all_of(turns), 0.99) / 1000
    each = [turn["p99"] / 1000 for turn in turns]
    reached = statistics.median(turn["rate"] for turn in turns)
    section.mark("lag-half", f"{p99:.1f} ms ({min(each):.1f}..{max(each):.1f}) of {len(all_of(turns))} probes at {reached:.0f} writes/s, "
                 f"{reached / kind.whole():.0%} of full load", p99 <= 5, lambda: late(turns))


def late(turns):
    """The reason for a long lag, as far as it was counted."""
    lags = all_of(turns)
    return (f"{sum(lag > 5000 for lag in lags)} of {len(lags)} probes took longer than 5 ms; p50 {share_of(lags, 0.5) / 1000:.1f} ms, the longest "
            f"{lags[-1] / 1000:.1f} ms; the replicator took {statistics.median(turn['replicator'] for turn in turns):.1f} us of CPU per write; cores idle "
            f"{statistics.median(turn['idle'] for turn in turns):.0%}")


def run(section):
    with Stage(1 + max(PEER_COUNTS)) as stage:
        ceiling = drains(section, stage)
    with Stage(3, mesh=True) as stage:
        by_load(section, stage, ceiling)
        floods(section, stage)
