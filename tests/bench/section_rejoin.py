"""rejoin: a node comes back empty: how many bytes and seconds until it has all again, and what requests notice meanwhile."""
import json
import statistics
import threading
import time

from handlers import MESH, Stage, our_settings, persistent_settings
from report import span, spread
from rig.process import until

TITLE = "A node comes back empty"
COUNTS, FULL_COUNTS = (10000, 100000), (10000, 100000, 1000000)
RATE = 100
CALM_SECONDS = 2
LIMIT_SECONDS = {10000: 60, 100000: 120, 1000000: 900}
LIFETIME_S = 6 * 3600  # no session ends while this runs
COPIES = 1.5  # memory beside what the servers hold: a full sync works on a copy, and pages change meanwhile


class Paced:
    """pace.php beside a rejoin; lines by second."""

    def __init__(self, handlers, name):
        self.lines = []
        self._process = handlers.start(name, "pace.php", "pace", 1024, RATE, 100000, 0, 200)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        for line in self._process.stdout:
            if line.startswith("{"):
                self.lines.append(json.loads(line))

    def close(self):
        self._process.stdin.close()
        self._thread.join(30)
        self._process.kill()
        self._process.wait(10)

    def between(self, begin, end):
        return [line for line in self.lines if "at" in line and begin <= line["at"] < end and line["count"]]


def net(nodes):
    """(bytes in, bytes out) of nodes since they started."""
    stats = [node.info("stats") for node in nodes]
    return sum(int(each["total_net_input_bytes"]) for each in stats), sum(int(each["total_net_output_bytes"]) for each in stats)


def keys_of(node):
    try:
        return node.call("DBSIZE")
    except Exception:  # while it loads
        return -1


def one_rejoin(stage, name, nodes, count, back, is_whole):
    """Kills the last node, starts it empty, waits until it is whole; back(node): what it needs besides."""
    victim, others = nodes[-1], nodes[:-1]
    paced = Paced(stage.handlers, name)
    try:
        time.sleep(CALM_SECONDS + 1)
        fell = time.monotonic()
        victim.kill()
        _, out = net(others)
        victim.restart(empty=True)
        back(victim)
        began = time.monotonic()
        try:
            until(lambda: keys_of(victim) >= count and is_whole(victim), LIMIT_SECONDS[count], "", every=0.05)
            seconds = time.monotonic() - began
        except AssertionError:
            seconds = float("nan")
        ended = time.monotonic()
        _, out_after = net(others)
        memory = int(victim.info("memory")["used_memory_peak"])
        time.sleep(1)
    finally:
        paced.close()
    calm, meanwhile = paced.between(fell - CALM_SECONDS, int(fell)), paced.between(int(fell), ended + 1)
    return {
        "seconds": seconds, "keys": keys_of(victim), "out": out_after - out, "memory": memory,
        "calm": mean(calm), "mean": mean(meanwhile), "slowest": max((line["slowest"] for line in meanwhile), default=0),
        "calm_slowest": max((line["slowest"] for line in calm), default=0), "failed": sum(line["failed"] for line in meanwhile),
        "kib": max((line["kib"] for line in meanwhile), default=0) - max((line["kib"] for line in calm), default=0),
    }


def load(stage, name, nodes, first, last):
    """Sessions number first to last; those of the mesh by one connection, as phpredis would take minutes."""
    if name != MESH:
        stage.handlers.run(name, "flood.php", f"more{last}x", 1024, last - first, timeout=3000)
    else:
        value = b"payload|s:1004:\"" + b"x" * 1004 + b"\";"
        with nodes[0].client(timeout=60) as client:
            for start in range(first, last, 500):
                client.pipeline([("SETEX", f"PHPREDIS_SESSION:more{number}", LIFETIME_S, value) for number in range(start, min(last, start + 500))])
    until(lambda: len({keys_of(node) // 100 for node in nodes}) == 1 and keys_of(nodes[0]) >= last, 300, f"{name}: all nodes are loaded",
          every=0.2)


def mean(lines):
    requests = sum(line["count"] for line in lines)
    return sum(line["mean"] * line["count"] for line in lines) / requests if requests else float("nan")


def complete(prefix):
    """The marker says so, under the run that the server has now."""
    def is_complete(node):
        words = (node.call("GET", f"{prefix}:node") or b"").decode().split()
        return len(words) == 3 and words[2] == "1" and words[1] == node.info("server")["run_id"]
    return is_complete


def available_mib():
    with open("/proc/meminfo") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")) / 1024


def fits(section, nodes, loaded, count):
    """Whether this machine has the memory for so many sessions, by what the loaded ones take; says so where it has not."""
    if not loaded:
        return True
    used = sum(int(node.info("memory")["used_memory_rss"]) for node in nodes) / 2 ** 20
    need = used * COPIES * count / loaded - used
    if need > available_mib():
        section.say(f"{count} sessions are left out: {loaded} take {used:.0f} MiB on {len(nodes)} servers here, so these would take {need:.0f} MiB more "
                    f"with copies for full syncs, and MemAvailable is {available_mib():.0f} MiB.")
        return False
    return True


def take_turns(section, stage, kinds):
    """{(name, count): [figures]}; kinds: {name: (nodes, what a node needs when it is back, whether it is whole)}"""
    turns, loaded = {}, 0
    for count in FULL_COUNTS if section.largest else COUNTS:
        if not fits(section, [node for nodes, _, _ in kinds.values() for node in nodes], loaded, count):
            break
        for name, (nodes, _, _) in kinds.items():
            load(stage, name, nodes, loaded, count)
        loaded = count
        for _ in range(section.runs if count <= 100000 else section.few_runs()):
            for name, (nodes, back, is_whole) in kinds.items():
                turns.setdefault((name, count), []).append(one_rejoin(stage, name, nodes, count, back, is_whole))
                section.dot()
    return turns


def run(section):
    with Stage(3, mesh=True) as stage:
        stage.handlers.add("newest", our_settings(stage.nodes, prefix="r:", lifetime=LIFETIME_S))
        kinds = {"newest": (stage.nodes, lambda node: None, complete("r:"))}
        if stage.mesh:
            stage.handlers.add(MESH, persistent_settings(stage.mesh.nodes[0]))
            kinds[MESH] = (stage.mesh.nodes, stage.mesh.join, lambda _node: stage.mesh.joined())
        show(section, take_turns(section, stage, kinds))


def show(section, turns):
    rows, lines = [], {}
    for (name, count), each in turns.items():
        def middle(field, divisor=1.0, each=each):
            return span([turn[field] / divisor for turn in each])
        late = sum(turn["seconds"] != turn["seconds"] for turn in each)
        whole = [turn["seconds"] for turn in each if turn["seconds"] == turn["seconds"]]
        rows.append((name, f"{count:,}".replace(",", " "), len(each), (spread(whole) if whole else "-") + (f", {late} never" if late else ""),
                     middle("out", 1e6), middle("memory", 1e6), middle("kib", 1024), middle("calm"), middle("mean"),
                     middle("calm_slowest", 1000), middle("slowest", 1000), sum(turn["failed"] for turn in each)))
        if whole:
            lines.setdefault(name, []).append((count, statistics.median(whole)))
    section.table(f"Sessions of 1 KiB, {RATE} requests/s meanwhile: until the node has all of them again; MB that the others sent; MB at most on the "
                  "node; MiB more in PHP; mean request before and meanwhile, us; slowest, ms",
                  ["handler", "sessions", "turns", "seconds (least..most)", "MB sent", "node MB", "PHP +MiB", "mean before", "mean", "slowest before",
                   "slowest", "failed"], rows)
    section.picture("rejoin", "A node comes back empty", "sessions of 1 KiB", "s until it has all", lines, logx=True, logy=True)
