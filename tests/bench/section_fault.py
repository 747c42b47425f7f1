"""fault: what visitors wait, second by second, while a node is killed, comes back empty, is stopped and is blackholed; all
handlers at once, with servers of their own, so that they meet the same faults on the same machine.
"""
import json
import statistics
import threading
import time

from handlers import MEMCACHED, MESH, Memcached, Mesh, Stage, memcached_settings, our_settings, scratch, start_nodes
from links import Links
from report import number
from rig.host import phpredis_settings

TITLE = "Faults"
# (name, how many seconds, what happens to the node when it begins)
PHASES = (("healthy", 2, None), ("killed", 2, "kill"), ("back, empty", 3, "restart"), ("stopped", 2, "stop"), ("goes on", 3, "cont"),
          ("blackholed", 2, "hold"), ("reachable", 3, "go"))
RATE, PROCESSES = 40, 3
OWN, PEER = "newest, its own node", "newest, a peer"
SHARDED = "phpredis, list of nodes"


class Victim:
    """The server that the faults hit, and the link in front of it."""

    def __init__(self, server, link, rejoin=None):
        self._server, self._link, self._rejoin = server, link, rejoin

    def suffer(self, what):
        if what in ("hold", "go"):
            getattr(self._link, what)()
        else:
            getattr(self._server, what)()
            if what == "restart" and self._rejoin:
                self._rejoin(self._server)


class Shops:
    """Each handler with three servers of its own behind links, and the processes that serve its visitors."""

    def __init__(self, stage, links):
        self._stage, self._links, self.victims, self._closing = stage, links, {}, []
        folder = scratch("shops-")
        try:
            for name, victim in ((OWN, 0), (PEER, 2)):
                nodes, doors = self._nodes(folder, name)
                stage.handlers.add(name, our_settings([door.url + f"?name=web{i + 1}" for i, door in enumerate(doors)]))
                self.victims[name] = Victim(nodes[victim], doors[victim])
            nodes, doors = self._nodes(folder, SHARDED)
            stage.handlers.add(SHARDED, phpredis_settings(", ".join(f"{door.url}?timeout=1&read_timeout=1" for door in doors)))
            self.victims[SHARDED] = Victim(nodes[0], doors[0])
            if Mesh.available():
                mesh = Mesh(folder)
                self._closing += mesh.nodes
                door = links.add(mesh.nodes[0].port)
                stage.handlers.add(MESH, phpredis_settings(f"{door.url}?timeout=1&read_timeout=1"))
                self.victims[MESH] = Victim(mesh.nodes[0], door, mesh.join)
            memcached = Memcached(folder, megabytes=64)
            self._closing += memcached.servers
            doors = [links.add(port) for port in memcached.ports]
            stage.handlers.add(MEMCACHED, memcached_settings([door.port for door in doors]))
            self.victims[MEMCACHED] = Victim(memcached.servers[0], doors[0])
        except BaseException:
            self.close()
            raise

    def _nodes(self, folder, name):
        nodes = start_nodes(3, f"{folder}/{''.join(letter for letter in name if letter.isalnum())}")
        self._closing += nodes
        return nodes, [self._links.add(node.port) for node in nodes]

    def close(self):
        for server in self._closing:
            server.kill()

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self.close()


class Visitors:
    """pace.php processes of all handlers; lines[handler] collects what they say of each second."""

    def __init__(self, stage, names, seconds):
        self.lines = {name: [] for name in names}
        self._processes, self._threads = [], []
        for name in names:
            for number_ in range(PROCESSES):
                process = stage.handlers.start(name, "pace.php", f"visitor{number_}x", 1024, RATE, seconds, 0, 100)
                thread = threading.Thread(target=self._read, args=(name, process), daemon=True)
                thread.start()
                self._processes.append(process)
                self._threads.append(thread)

    def _read(self, name, process):
        for line in process.stdout:
            if line.startswith("{"):
                self.lines[name].append(json.loads(line))

    def close(self):
        for process in self._processes:
            process.stdin.close()
        for thread in self._threads:
            thread.join(10)
        for process in self._processes:
            process.kill()
            process.wait(10)


def at_second(moment):
    """Sleeps until CLOCK_MONOTONIC shows this whole second."""
    time.sleep(max(0, moment - time.monotonic()))


def by_second(lines):
    """{second: (slowest, mean, failed, count)} over all processes of a handler."""
    found = {}
    for line in lines:
        if "at" in line and line["count"]:
            found.setdefault(line["at"], []).append(line)
    return {at: (max(each["slowest"] for each in lines_), sum(each["mean"] * each["count"] for each in lines_) / sum(each["count"] for each in lines_),
                 sum(each["failed"] for each in lines_), sum(each["count"] for each in lines_)) for at, lines_ in found.items()}


def suffer_all(shops, what):
    """At the same moment for all; a restart takes its time."""
    threads = [threading.Thread(target=victim.suffer, args=(what,)) for victim in shops.victims.values()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def suffer_in_turn(shops, what):
    # Servers are started from the main thread: they die with the thread that started them.
    for victim in shops.victims.values():
        victim.suffer(what)


def run(section):
    length = sum(seconds for _, seconds, _ in PHASES)
    with Stage(1) as stage, Links() as links, Shops(stage, links) as shops:
        visitors = Visitors(stage, shops.victims, (section.runs + 1) * (length + 2))
        begins = []
        try:
            at_second(int(time.monotonic()) + 3)
            for _ in range(section.runs):
                moment = int(time.monotonic()) + 1
                begins.append(moment)
                for _, seconds, what in PHASES:
                    at_second(moment)
                    if what:
                        (suffer_in_turn if what == "restart" else suffer_all)(shops, what)
                    moment += seconds
                at_second(moment)
                section.dot()
        finally:
            visitors.close()
    show(section, {name: by_second(visitors.lines[name]) for name in shops.victims}, begins)


def show(section, figures, begins):
    rows, lines = [], {}
    for name, seconds_of in figures.items():
        offset = 0
        for phase, length, _ in PHASES:
            slowest, mean, failed, count = [], [], 0, 0
            for begin in begins:
                here = [seconds_of[begin + offset + i] for i in range(length) if begin + offset + i in seconds_of]
                slowest.append(max((each[0] for each in here), default=0) / 1000)
                total = sum(each[3] for each in here)
                mean.append(sum(each[1] * each[3] for each in here) / total / 1000 if total else float("nan"))
                failed, count = failed + sum(each[2] for each in here), count + total
            rows.append((name, phase, number(statistics.median(slowest)), number(max(slowest)), number(statistics.median(mean)), failed, count))
            offset += length
        total = offset
        points = []
        for second in range(total):
            each = [seconds_of[begin + second][0] for begin in begins if begin + second in seconds_of]
            if each:
                points.append((second, statistics.median(each) / 1000))
        lines[name] = points or [(0, 1)]
    section.table(f"Session cost in ms while a server has a fault, {PROCESSES} processes with {RATE} requests/s each: the slowest (median of "
                  "turns, and of all turns), the mean, failed ones, all", ["handler", "phase", "slowest", "of all", "mean", "failed", "requests"], rows)
    edges, offset = [], 0
    for phase, length, _ in PHASES:
        edges.append(f'"{phase}" {offset}')
        offset += length
    section.picture("fault", "Slowest request of each second", "", "ms", lines, logy=True, xtics=edges, slanted=True)
