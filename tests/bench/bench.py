"""Figures of one PHP process against phpredis on one unreplicated node over the same Unix socket.

Handlers take turns, a separate PHP process each time; a figure is the median of five such turns.
"""
import json
import os
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from rig.cluster import Cluster
from rig.host import Host, files_settings, php_environment, php_program, phpredis_settings, write_ini
from rig.process import cpu_seconds, memory_kib

HERE = os.path.dirname(os.path.abspath(__file__))
RUNS = int(os.environ.get("MMS_BENCH_RUNS", "5"))
FULL = os.environ.get("MMS_FULL") == "1"
VIEWS = 8000 if FULL else 3000
CONTROLS = ("phpredis", "phpredis persistent")


class Handlers:
    """php.ini files by name."""

    def __init__(self, cluster):
        self._cluster, self._files = cluster, {}
        socket = cluster.nodes[0].socket
        self._add("phpredis", phpredis_settings(f"unix://{socket}"))
        self._add("phpredis persistent", phpredis_settings(f"unix://{socket}?persistent=1"))
        for mode in ("newest", "local"):
            self._add(f"mmsession {mode}", cluster.settings(0, {"read": mode}))

    def _add(self, name, settings):
        path = os.path.join(self._cluster.folder, name.replace(" ", "-") + ".ini")
        extensions, values = settings
        write_ini(path, extensions, {**values, "max_execution_time": "0"})
        self._files[name] = path

    @property
    def names(self):
        return list(self._files)

    def run(self, name, script, *arguments):
        result = subprocess.run([php_program(), "-c", self._files[name], os.path.join(HERE, script), *map(str, arguments)],
                                capture_output=True, text=True, env=php_environment(), timeout=600)
        if result.returncode or result.stderr or not result.stdout.startswith("{"):
            raise RuntimeError(f"{name}: code {result.returncode}: {result.stdout[:200]} {result.stderr[:500]}")
        return json.loads(result.stdout)


def one_kind(cluster, handlers, kind, busy_us, views):
    """{handler: {p50, p99, cpu per view in us, CPU per view of each node in us}}, medians of all turns."""
    turns = {name: [] for name in handlers.names}
    for run in range(RUNS):
        for name in handlers.names:
            before = [cpu_seconds(node.pid) for node in cluster.nodes]
            figures = handlers.run(name, "loop.php", f"bench{run}{name.replace(' ', '')}", views, kind, busy_us)
            if not figures["kept"]:
                raise RuntimeError(f"{name}: the session does not hold what was written last")
            figures["nodes"] = [(cpu_seconds(node.pid) - then) / views * 1e6 for node, then in zip(cluster.nodes, before)]
            turns[name].append(figures)
            print(".", end="", file=sys.stderr, flush=True)
    return {name: {
        "p50": statistics.median(each["p50"] for each in figures),
        "p99": statistics.median(each["p99"] for each in figures),
        "cpu": statistics.median(each["cpu"] for each in figures) / views * 1e6,
        "nodes": [statistics.mean(values) for values in zip(*(each["nodes"] for each in figures))],
    } for name, figures in turns.items()}


def print_kind(title, figures):
    best = min(figures[name]["p50"] for name in CONTROLS)
    print(f"\n{title} (us; ratio to the faster phpredis)")
    print(f"  {'handler':<22}{'p50':>8}{'ratio':>8}{'p99':>9}{'cpu php':>9}   cpu of each node")
    for name, each in figures.items():
        nodes = " ".join(f"{value:5.1f}" for value in each["nodes"])
        print(f"  {name:<22}{each['p50']:8.1f}{each['p50'] / best:8.2f}{each['p99']:9.1f}{each['cpu']:9.1f}   {nodes}")


def mirror_lag(cluster, handlers):
    each = [handlers.run("mmsession newest", "lag.php", f"lag{run}", cluster.nodes[1].socket, 300) for run in range(RUNS)]
    print(f"\nMirror lag, idle: p50 {statistics.median(run['p50'] for run in each):.0f} us, "
          f"p99 {statistics.median(run['p99'] for run in each):.0f} us after session_write_close() has returned")


def memory(cluster, handlers):
    files = Host("files", os.path.join(cluster.folder, "files"), *files_settings(os.path.join(cluster.folder, "sessions")),
                 workers=4)
    cluster.hosts.append(files)
    files.start()
    ours = cluster.add_host(0, workers=4)
    rss = {}
    for host in (files, ours):
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda number, host=host: host.put(f"memory{number % 50}", "n", number), range(2000)))
        rss[host.name] = [memory_kib(pid) for pid in host.workers()]
    more = statistics.median(rss[ours.name]) - statistics.median(rss["files"])
    print(f"\nMemory of a worker (RssAnon): {more:+.0f} KiB against the files handler; "
          f"all: files {rss['files']}, mmsession {rss[ours.name]}")
    count = 100000
    early = handlers.run("mmsession newest", "loop.php", "growth", count // 10, "changed", 0)["rss_anon_kib"]
    late = handlers.run("mmsession newest", "loop.php", "growth", count, "changed", 0)["rss_anon_kib"]
    # The loop keeps its times in an array of 16 bytes each that doubles; the same loop over phpredis shows how much.
    base = [handlers.run("phpredis persistent", "loop.php", "growth-control", views, "changed", 0)["rss_anon_kib"]
            for views in (count // 10, count)]
    print(f"Growth from {count // 10} to {count} views: {late - early} KiB, the same loop with phpredis {base[1] - base[0]} KiB")


def main():
    with Cluster(3, 0) as cluster:
        handlers = Handlers(cluster)
        for busy_us in (0, 300):
            for kind in ("changed", "unchanged"):
                figures = one_kind(cluster, handlers, kind, busy_us, VIEWS if not busy_us else VIEWS // 2)
                print_kind(f"1 KiB session, {kind}, {busy_us} us of work between the calls, {RUNS} runs", figures)
        mirror_lag(cluster, handlers)
        memory(cluster, handlers)


if __name__ == "__main__":
    main()
