"""fpm: the whole stack, nginx, php-fpm and wrk, with more and more workers."""
import json
import os
import shutil
import subprocess

from handlers import CONTROLS, HERE, MEMCACHED, MESH, Cores, Stage, cpu_us, memcached_settings, our_settings, persistent_settings
from report import median, number, ratio
from rig.balancer import Balancer
from rig.host import Host, files_settings, phpredis_settings
from rig.process import until

TITLE = "nginx, php-fpm, wrk"
WORKERS = (8, 32, 128)
SECONDS = 2


class Fronts:
    """One nginx and one php-fpm per handler; those whose turn it is not are idle.

    balancers: by the handler's name, as are php and servers: pids whose CPU counts for it.
    """

    def __init__(self, stage, workers):
        self._hosts, self.balancers, self.php = [], {}, {}
        self.servers = {"files": [], MESH: [node.pid for node in stage.mesh.nodes] if stage.mesh else [], MEMCACHED: stage.memcached.pids,
                        **{name: stage.pids(1) for name in CONTROLS}, **{mode: stage.pids() for mode in stage.modes}}
        node = stage.nodes[0]
        kinds = {"files": files_settings(os.path.join(stage.folder, "fpm-sessions")),
                 "phpredis": phpredis_settings(f"unix://{node.socket}"),
                 "phpredis persistent": persistent_settings(node)}
        if stage.mesh:
            kinds[MESH] = persistent_settings(stage.mesh.nodes[0])
        kinds[MEMCACHED] = memcached_settings(stage.memcached.ports)
        for mode in stage.modes:
            kinds[mode] = our_settings(stage.nodes, read=mode, host_id=f"fpm-{mode}")
        try:
            for name, settings in kinds.items():
                folder = os.path.join(stage.folder, f"fpm-{workers}-{len(self._hosts)}")
                host = Host(name.replace(" ", "-"), folder, *settings, workers=workers)
                self._hosts.append(host)
                shutil.copy(os.path.join(HERE, "www", "page.php"), host.www)
                host.start()
                balancer = Balancer(f"{folder}-nginx", [host], "page.php")
                self.balancers[name] = balancer
                balancer.start()
                until(lambda host=host: len(host.workers()) == workers, 30, f"{name}: all {workers} workers are there")
                self.php[name] = [host.master, *host.workers()]
        except BaseException:
            self.close()
            raise

    def close(self):
        for balancer in self.balancers.values():
            balancer.close()
        for host in self._hosts:
            host.close()

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self.close()


def wrk(balancer, connections, seconds, work_us):
    result = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", os.path.join(HERE, "visitors.lua"),
                             balancer.url, *([str(work_us)] if work_us else [])], capture_output=True, text=True, timeout=120)
    figures = json.loads(result.stdout.splitlines()[-1])
    if figures["requests"] == 0 or figures["errors"] > figures["requests"] // 100:
        raise RuntimeError(f"wrk: {result.stdout[-800:]} {result.stderr[-400:]}")
    figures["rate"] = figures["requests"] / figures["us"] * 1e6
    return figures


def measured(fronts, name, seconds, workers, work_us):
    """A turn of wrk with the CPU of PHP and of the servers per request, in us, and the cores' idle share."""
    def cpu():
        return [sum(cpu_us(pid) for pid in pids) for pids in (fronts.php[name], fronts.servers[name])]
    before, cores = cpu(), Cores()
    figures = wrk(fronts.balancers[name], workers, seconds, work_us)
    figures["php"], figures["servers"] = ((now - then) / figures["requests"] for now, then in zip(cpu(), before))
    figures["idle"] = cores.idle()
    return figures


def take_turns(section, fronts, workers, work_us):
    turns = {name: [] for name in fronts.balancers}
    for name, balancer in fronts.balancers.items():
        wrk(balancer, workers, 1, work_us)  # connections, opcache, sessions
    for _ in range(section.runs):
        for name in fronts.balancers:
            turns[name].append(measured(fronts, name, SECONDS * (3 if section.full else 1), workers, work_us))
            section.dot()
    return turns


def base_of(turns):
    """The faster phpredis here is the one that serves more."""
    return max((name for name in CONTROLS if name in turns), key=lambda name: median(turns[name], "rate"))


def show(section, title, turns):
    base = base_of(turns)
    rows = [(name, number(median(each, "rate")), ratio(turns, name, base, "rate"),
             *(number(median(each, field) / 1000) for field in ("p50", "p99", "p999")),
             number(median(each, "php")), number(median(each, "servers")), f"{median(each, 'idle'):.0%}",
             sum(turn["errors"] for turn in each)) for name, each in turns.items()]
    section.table(f"{title}; ratio to {base}, times in ms; CPU per request in us", ["handler", "requests/s", "ratio (least..most)", "p50", "p99", "p99.9", "CPU PHP", "CPU servers",
                   "cores idle", "errors"], rows)


def run(section):
    rates = {}
    with Stage(3, mesh=True, memcached=True) as stage:
        for workers in (32,) if section.marks_only else WORKERS:
            with Fronts(stage, workers) as fronts:
                turns = take_turns(section, fronts, workers, 0)
                show(section, f"{workers} workers and connections, no other work", turns)
                for name, each in turns.items():
                    rates.setdefault(name, []).append((str(workers), median(each, "rate")))
                if workers == 32:
                    marks(section, turns)
                    if not section.marks_only:
                        show(section, f"{workers} workers and connections, 300 us of other work", take_turns(section, fronts, workers, 300))
    if not section.marks_only:
        section.picture("fpm", "nginx, php-fpm, wrk: 1 KiB changed", "workers", "requests/s", rates, bars=True)


def cpu_of(turns, names):
    """The reason when too few requests are served: what the cores were busy with."""
    return "CPU per request: " + "; ".join(f"{name}: PHP {number(median(turns[name], 'php'))} us, servers {number(median(turns[name], 'servers'))} us, "
                                           f"cores idle {median(turns[name], 'idle'):.0%}" for name in names)


def marks(section, turns):
    base = base_of(turns)
    value = ratio(turns, "newest", base, "rate")
    section.mark("fpm-phpredis", f"{value}x", value.middle >= 0.95, lambda: cpu_of(turns, ["newest", base]))
    if MESH in turns:
        value = ratio(turns, "newest", MESH, "rate")
        section.mark("fpm-mesh", f"{value}x", value.middle >= 1.3, lambda: cpu_of(turns, ["newest", MESH]))
    else:
        section.mark("fpm-mesh", "no keydb-server here", None, None)
