"""Phases of load around a fault, and bars that hold on a noisy machine too."""
import statistics

from rig.load import Load

BUDGET_US = 250000


def set_up(full):
    """Load as faults.md has it, or a short form of it."""
    if full:
        return {"rate": 200, "visitors": 2000, "threads": 50}
    return {"rate": 200, "visitors": 200, "threads": 24}


def seconds(full, long, short):
    return long if full else short


def allowed(limit_us, healthy_us, factor=1.5):
    """An absolute bar in microseconds; where the machine is noisier than the bar, what a healthy run shows counts."""
    return max(limit_us, factor * healthy_us)


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
        self._spans[name] = self.load.run_for(length)

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

    def in_flight_at(self, name):
        """Requests that were under way when the phase began."""
        moment = self._spans[name][0]
        return sum(1 for sample in self.load.samples if sample.at < moment < sample.at + sample.seconds)


def ms(microseconds):
    return f"{microseconds / 1000:.2f} ms"
