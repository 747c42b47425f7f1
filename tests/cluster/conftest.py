"""Selection by row, the closing line, and what nearly every test starts with."""
import contextlib
import os
import random
import shutil

import pytest

from cases import CASES, ELSEWHERE, rows_of
from rig import results, stalls
from rig.cluster import Cluster
from rig.node import PROGRAMS, available_programs
from rig.process import adopt_orphans, end_orphans
from rig.wrongclock import WrongClock

FULL = os.environ.get("MMS_FULL") == "1"


def pytest_addoption(parser):
    parser.addoption("--only", action="append", default=[], help="row id or part of a test's name")


def _names(item):
    rows = [str(mark.args[0]).lower() for mark in item.iter_markers("row")]
    return rows, item.name.lower()


def pytest_collection_modifyitems(config, items):
    wanted = [row for word in config.getoption("--only") for row in rows_of(word)]
    if not wanted:
        return

    def selected(item):
        rows, name = _names(item)
        return any(word in rows or word in name for word in wanted)
    dropped = [item for item in items if not selected(item)]
    config.hook.pytest_deselected(items=dropped)
    items[:] = [item for item in items if selected(item)]


class Counts:
    """One test counts once, whichever of its phases failed; tests/run adds these lines up."""

    def __init__(self):
        self.passed, self.failed, self.skipped = set(), set(), set()

    def pytest_runtest_logreport(self, report):
        if report.failed:
            self.failed.add(report.nodeid)
        elif report.skipped:
            self.skipped.add(report.nodeid)
        elif report.when == "call":
            self.passed.add(report.nodeid)

    def pytest_collectreport(self, report):
        if report.failed:
            self.failed.add(report.nodeid)

    def pytest_unconfigure(self):
        results.finish(CASES, ELSEWHERE)
        print(f"\nresults: {results.PATH}")
        if self.skipped:
            print(f"{len(self.skipped)} skipped")
        print(f"{len(self.passed - self.failed)} passed, {len(self.failed)} failed")


def pytest_configure(config):
    config.pluginmanager.register(Counts(), "counts")
    adopt_orphans()
    results.begin(keep=bool(config.getoption("--only")))
    stalls.watch()


@pytest.fixture
def full():
    """True when the test is to run at the length that faults.md gives it."""
    return FULL


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Lines of the table say on what they were measured, where that is not three nodes of redis-server."""
    item.said_no = results.count_no()
    values = getattr(getattr(item, "callspec", None), "params", {})
    server = values.get("server") or values.get("program") or os.environ.get("MMS_SERVER") or "redis-server"
    results.on(values.get("size", 3), server)


def pytest_generate_tests(metafunc):
    """A core row runs on 3 nodes; at full length on 2, 3 and 5, and on each kind of server."""
    if metafunc.definition.get_closest_marker("core") is None:
        return
    servers = os.environ.get("MMS_SERVER", "").split() or (available_programs() if FULL else ["redis-server"])
    sizes = [int(size) for size in os.environ.get("MMS_NODES", "").split()] or ([2, 3, 5] if FULL else [3])
    metafunc.parametrize("size, server", [(size, server) for server in servers for size in sizes],
                         ids=lambda value: f"{value}-nodes" if isinstance(value, int) else value)


@pytest.fixture(params=PROGRAMS)
def program(request):
    """Each kind of server; one that is not installed is skipped, but in CI redis-server has to be there."""
    if not shutil.which(request.param):
        if os.environ.get("CI") == "true" and request.param == "redis-server":
            pytest.fail("redis-server is not installed")
        pytest.skip(f"{request.param} is not installed")
    return request.param


class Clusters:
    """Makes clusters; they end with the test, or before it begins again."""

    def __init__(self):
        self._made = []

    def __call__(self, *arguments, **options):
        self._made.append(Cluster(*arguments, **options))
        return self._made[-1]

    def close(self):
        crashes = [line for each in self._made for host in each.hosts for line in host.crashes()]
        for each in reversed(self._made):
            each.close()
        self._made = []
        left = end_orphans("php")
        assert not crashes
        assert not left, f"processes of PHP outlived the test: {left}"


@pytest.fixture
def cluster():
    """cluster(...) makes a Cluster that ends with the test."""
    clusters = Clusters()
    yield clusters
    clusters.close()


ATTEMPTS = 3


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """Measures again where a bar on times was missed. A fault of ours misses it each time; all other bars get one try."""
    names = pyfuncitem._fixtureinfo.argnames
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    tries = ATTEMPTS if "cluster" in arguments else 1
    for attempt in range(1, tries + 1):
        results.last_try(attempt == tries)
        try:
            pyfuncitem.obj(**arguments)
            return True
        except results.TimingMissed as missed:
            if attempt == tries:
                raise
            print(f"attempt {attempt}: {missed}")
            arguments["cluster"].close()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item, call):
    """What skips a test leaves its line in each row of it, and so does what fails it without a bar; fixtures' doing, too."""
    if call.excinfo is None:
        return
    skipped = call.excinfo.errisinstance(pytest.skip.Exception)
    if skipped or results.count_no() == item.said_no:
        what, verdict = ("not shown", "skipped") if skipped else ("no error", "NO")
        text = call.excinfo.value.msg if skipped else call.excinfo.exconly()[:300]
        with contextlib.redirect_stdout(None):  # pytest tells of it itself
            for row in dict.fromkeys(mark.args[0] for mark in item.iter_markers("row")):
                results.add(row, f"{what}: {item.name}", text, verdict=verdict)


@pytest.fixture
def new_id():
    """new_id() gives a session id that no other test uses; random from its first byte, as phpredis shards by it."""
    return lambda: f"{random.getrandbits(104):026x}"


@pytest.fixture
def signs(tmp_path_factory):
    """A folder where pages of all hosts may make and await files."""
    folder = tmp_path_factory.mktemp("signs")
    for path in (folder, *folder.parents[:2]):
        path.chmod(0o777)
    return folder


@pytest.fixture
def wrong_clock(tmp_path_factory):
    """A clock that the test moves, for hosts and nodes that are started with its environment()."""
    folder = tmp_path_factory.mktemp("clock")
    for path in (folder, *folder.parents[:2]):
        path.chmod(0o755)
    return WrongClock(str(folder))
