"""tests/proto/conftest.py - an origin, a standby, and the daemon between them and the test."""
import contextlib

import pytest

from lib.image import make_image
from lib.origin import Origin
from lib.proxy import Darter

REPO = "library/web"


@pytest.fixture
def origin():
    with Origin() as server:
        yield server


@pytest.fixture
def standby():
    """A second registry with nothing in it yet."""
    with Origin() as server:
        yield server


@pytest.fixture
def image(origin):
    """A small image at the origin: library/web:latest."""
    return origin.add(REPO, make_image(), "latest")


@pytest.fixture
def run_darter():
    """A function that starts a daemon which is stopped, and examined, at the end of the test."""
    with contextlib.ExitStack() as stack:
        def run(*arguments, **more):
            return stack.enter_context(Darter(*arguments, **more))
        yield run


@pytest.fixture
def darter(origin, run_darter):
    """The daemon with one upstream of one endpoint."""
    return run_darter({"test.local": [origin.url]})
