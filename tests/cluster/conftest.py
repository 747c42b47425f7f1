"""Selection by row, the closing line, and what nearly every test starts with."""
import os
import random
import shutil

import pytest

from rig import results
from rig.cluster import Cluster
from rig.node import PROGRAMS

FULL = os.environ.get("MMS_FULL") == "1"


def pytest_addoption(parser):
    parser.addoption("--only", action="append", default=[], help="row id or part of a test's name")


def _names(item):
    rows = [str(mark.args[0]).lower() for mark in item.iter_markers("row")]
    return rows, item.name.lower()


def pytest_collection_modifyitems(config, items):
    wanted = [word.lower() for word in config.getoption("--only")]
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
        print(f"\nresults: {results.PATH}")
        if self.skipped:
            print(f"{len(self.skipped)} skipped")
        print(f"{len(self.passed - self.failed)} passed, {len(self.failed)} failed")


def pytest_configure(config):
    config.pluginmanager.register(Counts(), "counts")
    results.begin()


@pytest.fixture
def full():
    """True when the test is to run at the length that faults.md gives it."""
    return FULL


@pytest.fixture(params=PROGRAMS)
def program(request):
    """Each kind of server; one that is not installed is skipped, but in CI redis-server has to be there."""
    if not shutil.which(request.param):
        if os.environ.get("CI") == "true" and request.param == "redis-server":
            pytest.fail("redis-server is not installed")
        pytest.skip(f"{request.param} is not installed")
    return request.param


@pytest.fixture
def cluster():
    """cluster(...) makes a Cluster that ends with the test."""
    made = []

    def make(*arguments, **options):
        made.append(Cluster(*arguments, **options))
        return made[-1]
    yield make
    crashes = [line for each in made for host in each.hosts for line in host.crashes()]
    for each in reversed(made):
        each.close()
    assert not crashes


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
