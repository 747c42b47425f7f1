"""Phases of load around a fault, and bars that hold on a noisy machine too."""
import re
import statistics

from rig import loglines, stalls
from rig.load import SLOW_US, Load
from rig.process import until
from rig.results import add, bar, timing, within

BUDGET_US = 250000
STALL_US = 50000  # where no healthy run is measured beside it: what the machine may add
WORKERS = 25    # of each host, as faults.md has it


def set_up(full):
    """Load as faults.md has it, or a short form of it."""
    if full:
        return {"rate": 200, "visitors": 2000, "threads": 50}
    return {"rate": 200, "visitors": 200, "threads": 24}


def seconds(full, long, short):
    return long if full else short


def allowed(limit_us, healthy_us, factor=1.5):
    """Limits for within(): an absolute bar in microseconds, and where the machine is noisier than the bar, what a healthy run
    shows."""
    return limit_us, max(limit_us, factor * healthy_us)


TURNS = 3


def turns(*names, count=TURNS):
    """Names of repeated phases: healthy and faulty ones take turns, so that the machine's noise hits both."""
    return [f"{name} {turn}" for turn in range(count) for name in names]


class Phases:
    """Load with named spans: phases.run("healthy", 2), then a fault, then phases.run("fault", 4)."""

    def __init__(self, shop, full, hosts=None, **options):
        self.load = Load(hosts or shop.hosts, **{**set_up(full), **options})
        self._spans = {}

    def __enter__(self):
        self.load.start()
        self.run("warm-up", 1)
        return self

    def __exit__(self, *_exception):
        self.load.stop()

    def run(self, name, length):
        """A phase that is run again goes on until now."""
        begin, end = self.load.run_for(length)
        self._spans[name] = self._spans.get(name, (begin,))[0], end

    def span(self, name, skip=0.0):
        begin, end = self._spans[name]
        return begin + skip, end

    def p99(self, name, skip=0.0):
        return self.load.p(0.99, *self.span(name, skip))

    def p50(self, name, skip=0.0):
        return self.load.p(0.5, *self.span(name, skip))

    def p99_of_turns(self, name, skip=0.0, count=TURNS):
        """(median, spread) of the p99 of a repeated phase."""
        each = [self.p99(f"{name} {turn}", skip) for turn in range(count)]
        return statistics.median(each), max(each) - min(each)

    def slow(self, name, skip=0.0):
        return self.load.slow(*self.span(name, skip))

    def failed(self, name, skip=0.0):
        return self.load.failed(*self.span(name, skip))

    def slowest_us(self, name):
        return max((sample.session_us for sample in self.load.between(*self.span(name))), default=0)

    def slowest_call_us(self, name):
        """Slowest session_start, session_write_close or session_destroy by itself."""
        return max((sample.call_us for sample in self.load.between(*self.span(name))), default=0)

    def run_from(self, name, fault, length):
        """As run(), from the moment just before the fault is made."""
        begin = self.load.now()
        fault()
        self.run(name, length)
        self._spans[name] = begin, self._spans[name][1]

    def in_flight_at(self, name, host=None):
        """Requests that were under way when the phase began; on all hosts or one."""
        moment = self._spans[name][0]
        return [sample for sample in self.load.samples if sample.at < moment < sample.at + sample.seconds
                and host in (None, sample.host)]


SOFT_LIMIT, WAIT_S = 3, 0.1   # soft faults in a row that open a breaker; read_timeout_ms
TO_PHP_S = 0.01  # from a visitor's request to PHP's first question to a node


def first_requests(phases, name, wait_s=WAIT_S):
    """[(slow, limit, how that is made up)] of each host after a node went silent when the phase `name` began. Whoever comes before
    three waits on his host are over can't know of it, as all of them wait at the same time. So the limit is three, and those under
    way at the fault, and those who came after the third to wait and before his wait was over: all as the visitors noted it."""
    begin, end = phases.span(name)
    found = []
    for host in range(len(phases.load.hosts)):
        flight = phases.in_flight_at(name, host)
        samples = flight + [sample for sample in phases.load.between(begin, end) if sample.host == host]
        slow = sorted((sample for sample in samples if sample.session_us > SLOW_US), key=lambda sample: sample.at)
        between = []
        if len(slow) >= SOFT_LIMIT:
            third = slow[SOFT_LIMIT - 1].at
            known = max(third, begin) + TO_PHP_S + wait_s
            between = [sample for sample in samples if third < sample.at < known and sample.at >= begin]
        found.append((len(slow), SOFT_LIMIT + len(flight) + len(between), f"{len(slow)} of {SOFT_LIMIT} + {len(flight)} + {len(between)}"))
    return found


def only_first_slow(row, phases, name, what="", wait_s=WAIT_S):
    """The bar of F04, F05 and F22. Where some are slow on the healthy machine already, so many more may be, but not more than 3 and
    a host's workers."""
    hosts, usual = first_requests(phases, name, wait_s), len(phases.load.between(*phases.span("healthy")))
    share = len(phases.slow("healthy")) / max(1, usual)
    more = share * len(phases.load.between(*phases.span(name))) / len(hosts)
    slow, limit, _ = max(hosts, key=lambda host: host[0] - host[1])
    within(row, f"{what}slow on each host <= 3 + in flight at the fault + begun while the third of them waited",
           f"{', '.join(text for _, _, text in hosts)}; healthy {share:.1%}", slow,
           (limit, max(limit, min(limit + more, SOFT_LIMIT + WORKERS))))


def ms(microseconds):
    return f"{microseconds / 1000:.2f} ms"


def no_harm(row, shop, phases, names, reader=0):
    """The universal bars after a fault: nothing failed, stale, lost, mixed up or undone, and the log is quiet."""
    none_failed(row, [sample for name in names for sample in phases.failed(name)])
    unharmed(row, phases.load.history, shop.hosts[reader])
    quiet(row, shop)


def quiet(row, shop):
    """The rule of docs/operations.md, "Log lines"; what a host's php-fpm logged since it was started or reloaded."""
    lines = [len(loglines.events(host.log_text())) for host in shop.hosts]
    excess = [line for host in shop.hosts for line in loglines.too_many(host.log_text())]
    bar(row, "log: at most one line per node, kind and minute, none of a kind that is not documented",
        f"{lines} lines, {len(excess)} too many {excess[:2]}", not excess)


def none_failed(row, failed, text="0 failed requests"):
    """failed: samples, or whatever has begin, seconds and what PHP said as `failed`. Any of them fails the row. Only where for each
    of them the machine was seen to stand still meanwhile, for as long as PHP waits for a node, it is measured again."""
    stood = [_stood_still(sample) for sample in failed]
    told = f"{len(failed)} {[sample.failed for sample in failed[:2]]}"
    if failed and all(stood):
        timing(row, text, f"{told}, the machine stood still for {ms(1e6 * max(stood))}", False)
    bar(row, text, told, not failed)


def _stood_still(sample):
    """Seconds of a stall that explains why no node answered in time; 0: none does, or something else went wrong."""
    waits = [int(found) / 1000 for found in re.findall(r"no answer within (\d+) ms", sample.failed)]
    longest = stalls.during(sample.begin, sample.begin + sample.seconds)
    return longest if waits and longest >= max(waits) else 0


def unharmed(row, history, host):
    """The bar of rig/history.py; `host` takes the last look at every session."""
    verdict = history.verdict(host)
    found = {name: each for name, each in verdict.items() if each}
    for each in found.values():
        session = each[0][0] if isinstance(each[0][0], str) else each[0][1]
        print(f"{session}:\n{history.trace(session)}")
    bar(row, "0 acknowledged writes lost, 0 stale reads, 0 logouts undone, 0 of somebody else",
        f"{', '.join(f'{len(each)} {name}' for name, each in verdict.items())} in {history.count} operations"
        + "".join(f"; {name}: {each[:2]}" for name, each in found.items()), not found)


def wait_closed(shop, name):
    """The node is in use again on all hosts."""
    until(lambda: all(host.node_status(name)["state"] == "closed" for host in shop.hosts), 15, f"{name} in use again")


def control(cluster, full, row, fault, length, count=3):
    """The same fault under phpredis with the nodes as host list: printed for contrast, no bar."""
    shop = cluster(count, 2, handler="phpredis", workers=WORKERS, proxied=True)
    with Phases(shop, full) as phases:
        phases.run("healthy", 1)
        fault(shop)
        phases.run("fault", length)
    text = (f"{len(phases.slow('fault'))} slow, {len(phases.failed('fault'))} failed of "
            f"{len(phases.load.between(*phases.span('fault')))}, slowest {ms(phases.slowest_us('fault'))}, "
            f"{len(phases.load.stale)} stale")
    add(row, "control: phpredis, host list, timeout 1 s", "", text)
    return text
