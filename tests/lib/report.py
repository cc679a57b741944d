"""tests/lib/report.py - the pytest plugin behind tests/run.

Writes one JSON line for every finished test (so the runner counts facts, not screen text) and gives
each test a limit of time: 150 s, or what @pytest.mark.limit(seconds) says.
"""
import json
import signal

import pytest

from lib import proxy

LIMIT_S = 150


def pytest_addoption(parser):
    parser.addoption("--report-to", default=None, help="file for one JSON line per test")


def pytest_configure(config):
    config.addinivalue_line("markers", "limit(seconds): how long this test may take")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    """An alarm breaks into whatever the test waits for; fixtures are still torn down."""
    mark = item.get_closest_marker("limit")
    limit_s = mark.args[0] if mark else LIMIT_S

    def too_slow(_number, _frame):
        raise TimeoutError(f"the test took longer than {limit_s} s")

    previous = signal.signal(signal.SIGALRM, too_slow)
    signal.alarm(limit_s)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(call):
    """Fixtures still hold their daemons when a test has failed: what those said belongs to it."""
    outcome = yield
    report = outcome.get_result()
    if report.failed and call.when != "teardown":
        for daemon in proxy.running:
            report.sections.append(("the daemon's log", daemon.log[-6000:]))


class Rows:
    """Collects setup, call and teardown of each test into one row."""

    def __init__(self, path):
        self.file = open(path, "a", encoding="utf-8")
        self.seconds = 0.0
        self.outcome = "passed"
        self.log = ""

    def pytest_runtest_logstart(self):
        self.seconds, self.outcome, self.log = 0.0, "passed", ""

    def pytest_runtest_logreport(self, report):
        self.seconds += report.duration
        if report.failed:
            self.outcome = "failed"
            self.log += f"{report.when}: {report.longreprtext}\n"
            self.log += "".join(f"--- {title}\n{text}\n" for title, text in report.sections)
        elif report.skipped and self.outcome == "passed":
            self.outcome = "skipped"
            self.log = str(report.longrepr[-1] if report.longrepr else "")

    def pytest_runtest_logfinish(self, nodeid):
        self.write(nodeid.split("::", 1)[-1])

    def pytest_collectreport(self, report):
        if report.failed:
            self.outcome, self.log = "failed", report.longreprtext
            self.write("cannot be read")

    def write(self, name):
        row = {"name": name, "outcome": self.outcome, "seconds": self.seconds, "log": self.log}
        print(json.dumps(row), file=self.file, flush=True)


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session):
    path = session.config.getoption("--report-to")
    if path:
        session.config.pluginmanager.register(Rows(path))
