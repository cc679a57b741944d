"""tests/e2e/conftest.py - one lab for each test file: namespaces, a fallback registry, one client."""
import pytest

from lib.lab import CLIENTS, Lab


@pytest.fixture(scope="session")
def lab():
    with Lab() as lab:
        yield lab


@pytest.fixture(scope="module")
def client(request, lab):
    """The real client that the test file names in CLIENT."""
    return CLIENTS[request.module.CLIENT](lab)
