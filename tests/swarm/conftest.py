"""tests/swarm/conftest.py - what a test of swarms may ask for."""
import contextlib

import pytest

from lib.proxy import is_instrumented
from lib.swarm import Swarm

LIMIT_S = 100
SLOWER = 5  # links and limits of time under a sanitizer


def pytest_collection_modifyitems(items):
    for item in items:
        item.add_marker(pytest.mark.limit(LIMIT_S * (SLOWER if is_instrumented() else 1)))


@pytest.fixture
def make_swarm():
    """make_swarm(n_supernodes=1, n_nodes=5, mbit=100): everybody is up and known when it returns.

    The supernodes are a pair. More are added by hand."""
    with contextlib.ExitStack() as stack:
        def make(n_supernodes=1, n_nodes=5, mbit=100, **more):
            if is_instrumented():
                mbit = mbit / SLOWER
            swarm = stack.enter_context(Swarm(mbit, **more))
            if n_supernodes:
                swarm.add_supernode(n_pair=n_supernodes)
            swarm.add_nodes(n_nodes)
            swarm.everybody_is_known()
            return swarm

        yield make
