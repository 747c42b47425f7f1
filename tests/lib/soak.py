"""soak.py [minutes [seed]]: see tests/soak."""
import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict

from rig import plot
from rig.chaos import Chaos
from rig.cluster import Cluster
from rig.load import Load, percentile
from rig.process import Late, memory_kib, open_files

WORKERS = 10
RATE = 100
VISITORS = 200
HOLD_SECONDS = 3.0
PAUSE_SECONDS = 1.0
# Longer than the defaults: on a busy machine nobody may get the CPU for 100 ms, and then all nodes count as lost, each host
# goes on alone, and a visitor who hops between them is right to see two histories.
PATIENCE = {"connect_timeout_ms": 150, "read_timeout_ms": 300, "budget_ms": 900}
# Requests that these faults cut off were told to nobody: php-fpm is not the thing under test. What mmsession itself refuses then counts.
CUTS_REQUESTS = ("worker killed", "replicator killed", "replicator stopped", "php reloaded")


class Sampler:
    """Once a second: memory and descriptors of PHP and of the nodes, lag and hints as the hosts see them."""

    def __init__(self, shop, load):
        self._shop, self._load, self._stopping = shop, load, threading.Event()
        self.curves = defaultdict(list)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_exception):
        self._stopping.set()
        self._thread.join()

    def _run(self):
        while not self._stopping.wait(1.0):
            at = self._load.now()
            for name, value in [*self._processes(), *self._statuses()]:
                self.curves[name].append((at, value))

    def _processes(self):
        memory, files = [], []
        for host in self._shop.hosts:
            for pid in host.workers():
                try:
                    memory.append(memory_kib(pid) / 1024)
                    files.append(open_files(pid))
                except (OSError, KeyError):
                    pass  # it ended meanwhile
        if memory:
            yield "worker, largest", max(memory)
            yield "worker, mean", sum(memory) / len(memory)
            yield "descriptors, most", max(files)
        for node in self._shop.nodes:
            try:
                yield node.name, memory_kib(node.pid) / 1024
            except (OSError, KeyError):
                pass

    def _statuses(self):
        for host in self._shop.hosts:
            try:
                nodes = host.get("status.php", timeout=2).json["nodes"]
            except (OSError, AssertionError):
                continue
            yield f"{host.name} lag", max(node["lag_ms"] for node in nodes)
            yield f"{host.name} hints", sum(node["hints"] for node in nodes)

    def last_thirds(self, name):
        """(mean of the second third, mean of the last) of a curve."""
        values = [value for _, value in self.curves[name]]
        third = max(1, len(values) // 3)
        return (sum(values[third:2 * third]) / third, sum(values[2 * third:]) / max(1, len(values[2 * third:])))


def soak(shop, load, minutes, seed, sampler):
    """[(began, ended, name, seconds until settled)]"""
    chaos, faults = Chaos(shop, seed), []
    load.run_for(3)
    end = time.monotonic() + 60 * minutes
    while time.monotonic() < end:
        began = load.now()
        name, held = chaos.one(HOLD_SECONDS)
        settled = chaos.settle()
        faults.append((began, load.now(), name, settled))
        print(f"{began:7.1f} s  {name:<32} {held:4.1f} s, settled {settled:4.1f} s later", flush=True)
        load.run_for(PAUSE_SECONDS)
    load.run_for(3)
    return faults


def blame(load, faults):
    """Failed requests: fault -> texts; "none" for those outside of all."""
    found = defaultdict(list)
    for sample in load.failed():
        name = next((name for began, ended, name, _ in faults if began - 0.2 <= sample.at <= ended), "none")
        found[name.rsplit(" ", 1)[0]].append(sample.failed)
    return found


def brief(found):
    return {name: (len(texts), texts[0][:200]) for name, texts in found.items() if texts}


def harm(found):
    """Those that nothing but mmsession, or what it was to cope with, has to answer for."""
    return brief({name: [text for text in texts if name not in CUTS_REQUESTS or "mmsession" in text] for name, texts in found.items()})


class Report:
    def __init__(self):
        self.lines, self.good, self.bad = [], 0, 0

    def say(self, text=""):
        self.lines.append(text)
        print(text, flush=True)

    def check(self, text, passed, measured):
        self.good, self.bad = self.good + bool(passed), self.bad + (not passed)
        self.say(f"- {'yes' if passed else 'NO '}: {text}: {measured}")


def judge(report, shop, load, faults, sampler, equal):
    harmful = harm(blame(load, faults))
    report.check("nodes equal byte by byte within 10 s of the end", equal is not None, equal)
    verdict = load.history.verdict(shop.hosts[0])
    for name, found in verdict.items():
        report.check(f"0 {name}", not found, f"{len(found)} {found[:2]}")
        if found:
            session = found[0][0] if isinstance(found[0][0], str) else found[0][1]
            report.say(load.history.trace(session))
    report.check("0 failed requests but for those of killed or reloaded PHP", not harmful, harmful or 0)
    crashes = [line for host in shop.hosts for line in host.crashes()]
    report.check("0 crashes", not crashes, crashes[:2] or 0)
    before, after = sampler.last_thirds("worker, mean")
    report.check("memory of a worker stays (second third, last third)", after <= 1.05 * before + 0.5, f"{before:.2f} MiB, {after:.2f} MiB")
    before, after = sampler.last_thirds("descriptors, most")
    report.check("descriptors of a worker stay", after <= before + 2, f"{before:.1f}, {after:.1f}")
    left = {host.name: [(node["hints"], node["behind"], node["complete"]) for node in host.status()["nodes"]] for host in shop.hosts}
    report.check("0 hints left, no node behind, all complete",
                 all(each == (0, False, True) for nodes in left.values() for each in nodes), left)


def tell(report, load, faults, minutes, seed):
    took = [sample.session_us / 1000 for sample in load.samples if not sample.failed]
    report.say(f"Soak of {minutes:g} minutes, seed {seed}: {len(load.samples)} requests by {VISITORS} visitors at {RATE}/s, "
               f"{len(faults)} faults.")
    report.say()
    report.say(f"Session's share of a request: p50 {percentile(took, 0.5):.2f} ms, p99 {percentile(took, 0.99):.1f} ms, "
               f"p99.9 {percentile(took, 0.999):.1f} ms, slowest {max(took):.0f} ms.")
    report.say(f"Slowest to settle: {max((fault[3], fault[2]) for fault in faults)}.")
    report.say("Faults: " + ", ".join(f"{name} {count}" for name, count in sorted(
        Counter(name.rsplit(" ", 1)[0] for _, _, name, _ in faults).items())) + ".")
    report.say(f"Failed requests by fault: {brief(blame(load, faults)) or 'none'}.")
    report.say()
    report.lines += ["| from s | to s | fault | settled after s |", "|---|---|---|---|"]
    report.lines += [f"| {began:.1f} | {ended:.1f} | {name} | {settled:.1f} |" for began, ended, name, settled in faults] + [""]


def picture(path, load, faults, sampler, title):
    curves, length = sampler.curves, load.now()
    per_second = defaultdict(list)
    for sample in load.samples:
        per_second[int(sample.at)].append(sample.session_us / 1000)
    waits = {"p99 of each second": [(at, percentile(each, 0.99)) for at, each in sorted(per_second.items())]}

    def panel(heading, unit, names):
        return plot.Panel(heading, unit, {name: curves[name] for name in names if curves[name]})
    hosts = sorted({name.split()[0] for name in curves if name.endswith(" lag")})
    plot.write(path, title, [
        panel("memory of PHP workers", "MiB", ["worker, largest", "worker, mean"]),
        panel("memory of nodes", "MiB", [name for name in curves if name.startswith("web")]),
        panel("descriptors of a worker", "", ["descriptors, most"]),
        panel("lag", "ms", [f"{host} lag" for host in hosts]),
        panel("hints", "", [f"{host} hints" for host in hosts]),
        plot.Panel("session's share of a request", "ms", waits),
    ], [(began, name) for began, _, name, _ in faults], length)


def main(arguments):
    minutes = float(arguments[0]) if arguments else 10.0
    seed = int(arguments[1]) if len(arguments) > 1 else random.SystemRandom().randrange(1 << 32)
    folder = os.environ.get("MMS_SOAK_DIR") or tempfile.mkdtemp(prefix="mms-soak-")
    os.makedirs(folder, exist_ok=True)
    report, equal = Report(), None
    shop = Cluster(3, 3, proxied=True, workers=WORKERS, mmsession=PATIENCE, fpm={"fpm_global": ["process_control_timeout = 10s"]})
    with shop:
        load = Load(shop.hosts, rate=RATE, visitors=VISITORS, fill=4000, threads=16)
        with Sampler(shop, load) as sampler, load:
            faults = soak(shop, load, minutes, seed, sampler)
        try:
            equal = f"{shop.wait_equal(10):.1f} s"
        except Late as late:
            print(late)
        tell(report, load, faults, minutes, seed)
        judge(report, shop, load, faults, sampler, equal)
        picture(os.path.join(folder, "soak.svg"), load, faults, sampler, report.lines[0])
        if report.bad:
            load.history.write(os.path.join(folder, "history.jsonl"))
    with open(os.path.join(folder, "soak.md"), "w") as file:
        file.write("\n".join(report.lines) + "\n")
    print(f"\n{folder}/soak.md, {folder}/soak.svg\n{report.good} passed, {report.bad} failed")
    return 1 if report.bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
