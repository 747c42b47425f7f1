"""fault: what visitors wait, second by second, while a node is killed, comes back empty, is stopped and is blackholed; all
handlers at once, each kind with servers of its own, so that they meet the same faults on the same machine.
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
LENGTH = sum(seconds for _, seconds, _ in PHASES)
RATE, PROCESSES = 40, 3
OWN, PEER = "newest, its own node", "newest, a peer"
SHARDED = "phpredis, list of nodes"
CONNECT_MS, READ_MS = 50, 100  # defaults of mmsession.connect_timeout_ms and mmsession.read_timeout_ms
# What each control is measured with: (its name, seconds to connect, seconds to wait for an answer). First what an
# application sets that knows of no other; phpredis' own defaults, a day and a minute, would outlast every phase.
TIMEOUTS = (("1 s", 1, 1), (f"{CONNECT_MS}/{READ_MS} ms", CONNECT_MS / 1000, READ_MS / 1000))


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
    """Each kind of handler with three servers of its own behind links; a control's time-outs share its servers.

    names: of the handlers. victims: one per three servers.
    """

    def __init__(self, stage, links):
        self._handlers, self._links, self._closing = stage.handlers, links, []
        self.names, self.victims = [], []
        folder = scratch("shops-")
        try:
            self._add_ours(folder)
            self._add_sharded(folder)
            if Mesh.available():
                self._add_mesh(folder)
            self._add_memcached(folder)
        except BaseException:
            self.close()
            raise

    def _nodes(self, folder):
        nodes = start_nodes(3, folder)
        self._closing += nodes
        return nodes, [self._links.add(node.port) for node in nodes]

    def _add(self, name, settings):
        self._handlers.add(name, settings)
        self.names.append(name)

    def _add_phpredis(self, name, doors):
        for label, connect, read in TIMEOUTS:
            options = f"timeout={connect}&read_timeout={read}&prefix={'q' if read < 1 else 'u'}:"
            self._add(f"{name}, {label}", phpredis_settings(", ".join(f"{door.url}?{options}" for door in doors)))

    def _add_ours(self, folder):
        for name, victim in ((OWN, 0), (PEER, 2)):
            nodes, doors = self._nodes(f"{folder}/ours{victim}")
            self._add(name, our_settings([door.url + f"?name=web{i + 1}" for i, door in enumerate(doors)],
                                         connect_timeout_ms=CONNECT_MS, read_timeout_ms=READ_MS))
            self.victims.append(Victim(nodes[victim], doors[victim]))

    def _add_sharded(self, folder):
        nodes, doors = self._nodes(f"{folder}/sharded")
        self._add_phpredis(SHARDED, doors)
        self.victims.append(Victim(nodes[0], doors[0]))

    def _add_mesh(self, folder):
        mesh = Mesh(folder)
        self._closing += mesh.nodes
        door = self._links.add(mesh.nodes[0].port)
        self._add_phpredis(MESH, [door])
        self.victims.append(Victim(mesh.nodes[0], door, mesh.join))

    def _add_memcached(self, folder):
        memcached = Memcached(folder, megabytes=64)
        self._closing += memcached.servers
        doors = [self._links.add(port) for port in memcached.ports]
        for label, connect, _ in (TIMEOUTS[0], (f"{CONNECT_MS} ms to connect", CONNECT_MS / 1000, None)):
            extensions, values = memcached_settings([door.port for door in doors], int(connect * 1000))
            self._add(f"{MEMCACHED}, {label}", (extensions, {**values, "memcached.sess_prefix": f"memc.{int(connect * 1000)}."}))
        self.victims.append(Victim(memcached.servers[0], doors[0]))

    def suffer(self, what):
        """At the same moment for all. A restart goes one by one: servers die with the thread that started them."""
        if what == "restart":
            for victim in self.victims:
                victim.suffer(what)
            return
        threads = [threading.Thread(target=victim.suffer, args=(what,)) for victim in self.victims]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

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


class Second:
    """The requests of one handler that began in one second: slowest and mean in ms; how many, how many of them failed."""

    def __init__(self, lines):
        self.count = sum(line["count"] for line in lines)
        self.failed = sum(line["failed"] for line in lines)
        self.slowest = max(line["slowest"] for line in lines) / 1000
        self.mean = sum(line["mean"] * line["count"] for line in lines) / self.count / 1000


def by_second(lines, begins):
    """[{second of the turn: Second} of each turn]; no entry where no request began, as all processes were waiting."""
    found = {}
    for line in lines:
        if "at" in line and line["count"]:
            found.setdefault(line["at"], []).append(line)
    return [{second: Second(found[begin + second]) for second in range(LENGTH) if begin + second in found} for begin in begins]


def phases():
    """(name, its seconds of a turn)"""
    first = 0
    for name, length, _ in PHASES:
        yield name, range(first, first + length)
        first += length


def take_turns(section, shops):
    """Monotonic seconds at which the turns began."""
    begins = []
    at_second(int(time.monotonic()) + 3)
    for _ in range(section.runs):
        moment = int(time.monotonic()) + 1
        begins.append(moment)
        for _, seconds, what in PHASES:
            at_second(moment)
            if what:
                shops.suffer(what)
            moment += seconds
        at_second(moment)
        section.dot()
    return begins


def run(section):
    with Stage(1) as stage, Links() as links, Shops(stage, links) as shops:
        visitors = Visitors(stage, shops.names, (section.runs + 1) * (LENGTH + 2))
        try:
            begins = take_turns(section, shops)
        finally:
            visitors.close()
        show(section, {name: by_second(visitors.lines[name], begins) for name in shops.names})


class Phase:
    """One phase of one handler. worst: the second with the slowest request, of each turn that has any."""

    def __init__(self, seconds, turns):
        there = [[turn[second] for second in seconds if second in turn] for turn in turns]
        self.worst = [max(here, key=lambda second: second.slowest) for here in there if here]
        self.failed = sum(second.failed for here in there for second in here)
        self.count = sum(second.count for here in there for second in here)

    def row(self):
        """Of the slowest second its slowest request and its mean one; failed ones, all."""
        if not self.worst:
            return "-", "-", "-", self.failed, self.count
        slowest = [second.slowest for second in self.worst]
        return (number(statistics.median(slowest)), number(max(slowest)), number(statistics.median(second.mean for second in self.worst)),
                self.failed, self.count)

    def brief(self):
        slowest, _, mean, failed, _ = self.row()
        return f"{slowest} / {mean}" + (f", {failed / self.count:.0%} failed" if failed else "")


def every_second(figures):
    """Rows of the file: every second of every turn."""
    names = {second: phase for phase, seconds in phases() for second in seconds}
    for handler, turns in figures.items():
        for turn, found in enumerate(turns):
            for second in range(LENGTH):
                each = found.get(second)
                yield (handler.replace(",", ""), 1 + turn, second, names[second].replace(",", ""),
                       *((f"{each.slowest:.2f}", f"{each.mean:.2f}", each.count, each.failed) if each else ("", "", 0, 0)))


def line_of(turns, field):
    """[(second, median of the turns)]"""
    points = []
    for second in range(LENGTH):
        each = [getattr(turn[second], field) for turn in turns if second in turn]
        if each:
            points.append((second, statistics.median(each)))
    return points or [(0, 1)]


def show(section, figures):
    found = {(name, phase): Phase(seconds, turns) for name, turns in figures.items() for phase, seconds in phases()}
    section.table("ms of the slowest request / of the mean one, in the slowest second of each phase, median of turns",
                  ["handler", *(phase for phase, _, _ in PHASES)],
                  [(name, *(found[name, phase].brief() for phase, _, _ in PHASES)) for name in figures], overview=True)
    rows = [(*case, *phase.row()) for case, phase in found.items()]
    section.table(f"Session cost in ms while a server has a fault, {PROCESSES} processes with {RATE} requests/s each. Of the slowest second of "
                  "a phase: the slowest request (median of turns, and of all turns) and the mean; of the phase: failed ones, all",
                  ["handler", "phase", "slowest", "of all turns", "mean", "failed", "requests"], rows)
    section.say(f"mmsession waits {CONNECT_MS} ms for a connection and {READ_MS} ms for an answer, its defaults. phpredis is there with 1 s for "
                "both, and with the same as mmsession. Of php-memcached only the wait for a connection can be set for sessions. A request "
                "counts for the second in which it began; a process that waits begins none. The turns follow each other in the same processes, "
                "as a worker lives through several faults: with sess_remove_failed_servers a process of php-memcached never uses a server "
                "again that it has removed, and fails a third of its requests from then on, in later turns' healthy phases too.")
    section.file("fault-seconds", ["handler", "turn", "second", "phase", "slowest ms", "mean ms", "requests", "failed"], every_second(figures))
    events = [(seconds[0], phase) for phase, seconds in phases()]
    for field in ("slowest", "mean"):
        section.picture(f"fault-{field}", f"{field.capitalize()} request of each second, median of turns", "seconds", "ms",
                        {name: line_of(turns, field) for name, turns in figures.items()}, logy=True, events=events)
