"""scale: memory and connections by workers, nodes and sessions, and what a request costs in system calls, allocations and
instructions (costs.py)."""
import os
import re
import statistics
import time

import costs
from handlers import Stage, cpu_us, our_settings
from report import number
from rig.host import Host, files_settings, phpredis_settings
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


def by_workers(section, stage):
    rows = []
    kinds = {"files": files_settings(os.path.join(stage.folder, "scale-sessions")),
             "phpredis persistent": phpredis_settings(f"unix://{stage.nodes[0].socket}?persistent=1"),
             **{mode: our_settings(stage.nodes[:3], read=mode, prefix="w:") for mode in stage.modes}}
    for name, settings in kinds.items():
        for workers in WORKERS:
            host = fpm(stage, settings, workers)
            try:
                anon, shared, files = memory_of(host)
                rows.append((name, workers, f"{anon:.0f}", f"{shared:.0f}", f"{files:.0f}", *(node.connections() for node in stage.nodes[:3])))
            finally:
                host.close()
            section.dot()
    section.table("php-fpm by workers, 3 nodes: memory of a worker in KiB, its descriptors, connections of each node",
                  ["handler", "workers", "anonymous", "shared", "descriptors", "node 1", "node 2", "node 3"], rows)


def by_nodes(section, stage):
    rows = []
    for count in NODE_COUNTS:
        host = fpm(stage, our_settings(stage.nodes[:count], prefix=f"m{count}:"), 8)
        try:
            anon, shared, files = memory_of(host)
            rows.append((count, f"{anon:.0f}", f"{shared:.0f}", f"{files:.0f}", stage.nodes[0].connections()))
        finally:
            host.close()
        section.dot()
    section.table("newest by nodes, 8 workers: memory of a worker in KiB, its descriptors, connections of the local node",
                  ["nodes", "anonymous", "shared", "descriptors", "connections"], rows)


def by_sessions(section, stage):
    """A worker's memory must not know how many sessions there are; a node's memory per session."""
    rows = []
    stage.handlers.add("many", our_settings(stage.nodes[:3], prefix="s:", mailbox_size="64M"))
    for count in (1000, 10000, 100000 if section.full else 30000):
        for node in stage.nodes[:3]:
            node.call("FLUSHALL")
        before = [int(node.info("memory")["used_memory"]) for node in stage.nodes[:3]]
        figures = stage.handlers.run("many", "flood.php", f"c{count}", 1024, count)
        after = [int(node.info("memory")["used_memory"]) for node in stage.nodes[:3]]
        rows.append((count, figures["anon_kib"], figures["shared_kib"],
                     *(f"{(new - old) / count:.0f}" for new, old in zip(after, before))))
        section.dot()
    section.table("newest by sessions of 1 KiB, one process that wrote them all: its memory in KiB; bytes per session on each node",
                  ["sessions", "anonymous", "shared", "node 1", "node 2", "node 3"], rows)


def replicator_wakeups(stage):
    """Voluntary context switches per second of each thread but the first, with nothing to do; also CPU in us/s."""
    process = stage.handlers.start("idle", "flood.php", "idle", 1024, 100, "stay")
    try:
        assert process.stdout.readline().startswith("{")
        time.sleep(13)  # what is hot goes cold, and the first sweep, 10 s after the start, is over

        def switches():
            found = {}
            for task in os.listdir(f"/proc/{process.pid}/task"):
                if int(task) != process.pid:
                    with open(f"/proc/{process.pid}/task/{task}/status") as status:
                        found[task] = int(re.search(r"\nvoluntary_ctxt_switches:\s+(\d+)", status.read()).group(1))
            return found
        before, cpu = switches(), cpu_us(process.pid)
        time.sleep(IDLE_SECONDS)
        after = switches()
        return ([(after[task] - before.get(task, 0)) / IDLE_SECONDS for task in sorted(after)],
                (cpu_us(process.pid) - cpu) / IDLE_SECONDS)
    finally:
        process.stdin.close()
        process.wait(20)


def replicator_idle(section, stage):
    stage.handlers.add("idle", our_settings(stage.nodes[:3], prefix="i:"))
    each, cpu = replicator_wakeups(stage)
    section.table("Idle replicator, 3 nodes", ["thread", "wake-ups per second"],
                  [(str(index + 1), f"{value:.1f}") for index, value in enumerate(each)] + [("CPU of all, us per second", f"{cpu:.0f}")])
    section.mark("idle", f"{max(each):.1f}/s, {cpu:.0f} us of CPU per second", max(each) <= 1.05)


def of_a_request(section, stage):
    # As set by default too: what a spin adds happens to be what it is.
    for mode in stage.modes:
        stage.handlers.add(f"{mode} spinning", our_settings(stage.nodes[:3], read=mode, prefix="sp:"))
    stage.add_phpredis(persistent_only=True)
    stage.add_files()
    found = costs.measure(stage)
    for name in ("files", "phpredis persistent"):
        for kind in ("changed", "unchanged"):
            found[f"{name} {kind} 1 KiB"] = {**costs.system_calls(stage.handlers, name, kind, 1024),
                                             **costs.instructions(stage.handlers, name, kind, 1024)}
            section.dot()
    rows = [(case, *(number(figures[field]) for field in costs.FIELDS), number(figures["libraries"].get("mmsession.so", 0)),
             number(figures["libraries"].get("libc.so.6", 0)), figures["names"]) for case, figures in found.items()]
    section.table("A request in the request thread, without spinning (system calls of one typical view last)",
                  ["case", *costs.FIELDS, "in mmsession.so", "in libc", "system calls"], rows)
    rows = []
    for mode in stage.modes:
        for kind in ("changed", "unchanged"):
            figures = costs.system_calls(stage.handlers, f"{mode} spinning", kind, 1024)
            rows.append((f"{mode} {kind}", number(figures["total"]), number(figures["waits"]), figures["names"]))
    section.table("System calls of a request with mmsession.spin_us as it is by default", ["case", "all", "waits", "one typical view"], rows)
    changed = found.get("session-token changed 1 KiB")
    stand_in = found["local changed 1 KiB"]
    section.mark("calls-token", f"{changed['total']:.0f}" if changed else f"no session-token in this build; local {stand_in['total']:.0f}",
                 changed["total"] <= 6 if changed else None)
    same = found.get("session-token unchanged 1 KiB")
    stand_in = found["local unchanged 1 KiB"]
    section.mark("unchanged-round-trips", f"{same['sends']:.0f} sent" if same else
                 f"no session-token in this build; local {stand_in['sends']:.0f} sent", same["sends"] <= 1 if same else None)


def run(section):
    with Stage(max(NODE_COUNTS)) as stage:
        of_a_request(section, stage)
        replicator_idle(section, stage)
        if section.marks_only:
            return
        by_workers(section, stage)
        by_nodes(section, stage)
        by_sessions(section, stage)
