"""scale: memory and connections by workers, nodes and sessions, and what a request costs in system calls, allocations and
instructions (costs.py)."""
import itertools
import os
import re
import statistics
import time

import costs
from handlers import Stage, cpu_us, our_settings, persistent_settings
from reasons import trace_of_idle
from report import span, whole
from rig.host import Host, files_settings
from rig.process import memory_kib, open_files

TITLE = "Scale"
WORKERS = (2, 8, 32)
NODE_COUNTS = (1, 2, 3, 5, 7)
IDLE_SECONDS = 10


def fpm(stage, settings, workers):
    """A php-fpm host of which every worker has served: requests that wait for each other reach all of them."""
    name = f"fpm{time.monotonic_ns()}"
    host = Host(name, os.path.join(stage.folder, name), *settings, workers=workers)
    host.start()
    from concurrent.futures import ThreadPoolExecutor
    try:
        with ThreadPoolExecutor(workers) as pool:
            for _ in range(3):
                list(pool.map(lambda number: host.visit(f"scale{number}", "start;fill:filler:1000:s;sleep:30;close"), range(workers)))
    except BaseException:
        host.close()
        raise
    return host


def memory_of(host):
    """(median RssAnon of a worker, its shared pages, its open files)"""
    workers = host.workers()
    return (statistics.median(memory_kib(pid) for pid in workers), statistics.median(memory_kib(pid, "RssShmem") for pid in workers),
            statistics.median(open_files(pid) for pid in workers))


def figures_of(stage, settings, workers):
    """Of a php-fpm host with so many workers: (anonymous KiB, shared KiB, descriptors, connections of each node...)"""
    host = fpm(stage, settings, workers)
    try:
        return (*memory_of(host), *(node.connections() for node in stage.nodes[:3]))
    finally:
        host.close()


def spans(turns, form=whole):
    """Each column of some turns."""
    return (span(column, form) for column in zip(*turns))


def by_workers(section, stage):
    kinds = {"files": files_settings(os.path.join(stage.folder, "scale-sessions")),
             "phpredis persistent": persistent_settings(stage.nodes[0]),
             **{mode: our_settings(stage.nodes[:3], read=mode, prefix="w:") for mode in stage.modes}}
    turns = {}
    for _ in range(section.runs):
        for name, settings in kinds.items():
            for workers in WORKERS:
                turns.setdefault((name, workers), []).append(figures_of(stage, settings, workers))
                section.dot()
    section.table("php-fpm by workers, 3 nodes: memory of a worker in KiB, its descriptors, connections of each node (least..most where turns differ)",
                  ["handler", "workers", "anonymous", "shared", "descriptors", "node 1", "node 2", "node 3"],
                  [(*case, *spans(each)) for case, each in turns.items()])


def by_nodes(section, stage):
    turns = {count: [] for count in NODE_COUNTS}
    for _ in range(section.runs):
        for count in NODE_COUNTS:
            turns[count].append(figures_of(stage, our_settings(stage.nodes[:count], prefix=f"m{count}:"), 8)[:4])
            section.dot()
    section.table("newest by nodes, 8 workers: memory of a worker in KiB, its descriptors, connections of the local node",
                  ["nodes", "anonymous", "shared", "descriptors", "connections"], [(count, *spans(each)) for count, each in turns.items()])


def of_sessions(stage, count):
    """(anonymous KiB, shared KiB of the process that wrote them; bytes per session on each node...)"""
    for node in stage.nodes[:3]:
        node.call("FLUSHALL")
    before = [int(node.info("memory")["used_memory"]) for node in stage.nodes[:3]]
    figures = stage.handlers.run("many", "flood.php", f"c{count}", 1024, count)
    after = [int(node.info("memory")["used_memory"]) for node in stage.nodes[:3]]
    return (figures["anon_kib"], figures["shared_kib"], *((new - old) / count for new, old in zip(after, before)))


def by_sessions(section, stage):
    """A worker's memory must not know how many sessions there are; a node's memory per session."""
    stage.handlers.add("many", our_settings(stage.nodes[:3], prefix="s:", mailbox_size="64M"))
    turns = {count: [] for count in (1000, 10000, 100000 if section.largest else 30000)}
    for _ in range(section.few_runs()):
        for count, each in turns.items():
            each.append(of_sessions(stage, count))
            section.dot()
    section.table(f"newest by sessions of 1 KiB, one process that wrote them all: its memory in KiB; bytes per session on each node; {section.few_runs()} turns",
                  ["sessions", "anonymous", "shared", "node 1", "node 2", "node 3"], [(count, *spans(each)) for count, each in turns.items()])


class Idle:
    """A process that has written and has nothing to do any more; use as context manager."""

    def __init__(self, stage):
        self._process = stage.handlers.start("idle", "flood.php", "idle", 1024, 100, "stay")
        assert self._process.stdout.readline().startswith("{")
        time.sleep(13)  # what is hot goes cold, and the first sweep, 10 s after the start, is over

    def switches(self):
        """{thread: its voluntary context switches}; not of the first one."""
        found = {}
        for task in os.listdir(f"/proc/{self._process.pid}/task"):
            if int(task) != self._process.pid:
                with open(f"/proc/{self._process.pid}/task/{task}/status") as status:
                    found[int(task)] = int(re.search(r"\nvoluntary_ctxt_switches:\s+(\d+)", status.read()).group(1))
        return found

    def cpu(self):
        return cpu_us(self._process.pid)

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self._process.stdin.close()
        self._process.wait(20)


def replicator_wakeups(stage):
    """Voluntary context switches per second of each thread but the first, with nothing to do; also CPU in us/s."""
    with Idle(stage) as idle:
        before, cpu = idle.switches(), idle.cpu()
        time.sleep(IDLE_SECONDS)
        after = idle.switches()
        return [(after[task] - before.get(task, 0)) / IDLE_SECONDS for task in sorted(after)], (idle.cpu() - cpu) / IDLE_SECONDS


def traced(stage):
    """The reason for too many wake-ups: what each thread does when it is idle."""
    with Idle(stage) as idle:
        return "; ".join(f"thread {1 + index}, {trace_of_idle(thread)}" for index, thread in enumerate(sorted(idle.switches())))


def replicator_idle(section, stage):
    stage.handlers.add("idle", our_settings(stage.nodes[:3], prefix="i:"))
    turns = []
    for _ in range(section.few_runs()):
        turns.append(replicator_wakeups(stage))
        section.dot()
    cpu = [turn[1] for turn in turns]
    threads = itertools.zip_longest(*(turn[0] for turn in turns), fillvalue=0.0)
    section.table(f"Idle replicator, 3 nodes, {len(turns)} processes for {IDLE_SECONDS} s each", ["thread", "wake-ups per second"],
                  [(str(1 + index), span(each)) for index, each in enumerate(threads)] + [("CPU of all, us per second", span(cpu, whole))])
    most = [max(turn[0]) for turn in turns]
    section.mark("idle", f"{span(most)}/s, {span(cpu, whole)} us of CPU per second", statistics.median(most) <= 1.05, lambda: traced(stage))


def count_requests(section, stage):
    """{case: [figures of each turn]}"""
    stage.add_phpredis(persistent_only=True)
    stage.add_files()
    turns = {}
    for _ in range(section.few_runs()):
        found = costs.measure(stage)
        for name in ("files", "phpredis persistent"):
            for kind in ("changed", "unchanged"):
                found[f"{name} {kind} 1 KiB"] = {**costs.system_calls(stage.handlers, name, kind, 1024),
                                                 **costs.instructions(stage.handlers, name, kind, 1024)}
                section.dot()
        for case, figures in found.items():
            turns.setdefault(case, []).append(figures)
    return turns


def of_a_request(section, stage):
    turns = count_requests(section, stage)
    rows = [(case, *(span([turn[field] for turn in each]) for field in costs.FIELDS),
             *(span([turn["libraries"].get(library, 0) for turn in each], whole) for library in ("mmsession.so", "libc.so.6")), each[0]["names"])
            for case, each in turns.items()]
    section.table(f"A request in the request thread, without spinning, {section.few_runs()} turns (system calls of one typical view last)",
                  ["case", *costs.FIELDS, "in mmsession.so", "in libc", "system calls"], rows)
    for key, field, bar, case, unit in (("calls-token", "total", 6, "changed 1 KiB", ""), ("unchanged-round-trips", "sends", 1, "unchanged 1 KiB", " sent")):
        each = turns.get(f"session-token {case}")
        value = span([turn[field] for turn in each or turns[f"local {case}"]], whole) + unit
        section.mark(key, value if each else f"no session-token in this build; local {value}",
                     statistics.median(turn[field] for turn in each) <= bar if each else None,
                     lambda each=each: "; ".join(f"a typical view of turn {1 + index}: {turn['names']}" for index, turn in enumerate(each)))


def run(section):
    with Stage(max(NODE_COUNTS)) as stage:
        of_a_request(section, stage)
        replicator_idle(section, stage)
        if section.marks_only:
            return
        by_workers(section, stage)
        by_nodes(section, stage)
        by_sessions(section, stage)
