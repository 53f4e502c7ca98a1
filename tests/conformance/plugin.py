"""For pytest, in the suite's own run: before each test, the rows that it takes for granted."""

import pytest

from afina.settings import from_environment
from conformance.calls import calls
from conformance.tenant import Tenant

TENANT = pytest.StashKey[Tenant]()
KEY = "My API Key"  # what the suite's client says


def pytest_sessionstart(session: pytest.Session) -> None:
    """Find the installation that `AFINA_DATA` names."""
    session.stash[TENANT] = Tenant.of(from_environment(), KEY)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Each test begins with rows of its own."""
    assert isinstance(item, pytest.Function)
    item.session.stash[TENANT].prepare(calls(item.function))
