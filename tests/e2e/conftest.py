"""One server for all tests of the whole product that break nothing."""

from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from afina_server import Server, served


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with served(tmp_path_factory.mktemp("served")) as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[openai.OpenAI]:
    with server.client() as opened:
        yield opened


@pytest.fixture(autouse=True)
def the_log_of_a_failure(request: pytest.FixtureRequest, server: Server) -> Iterator[None]:
    """Whoever reads of a failed test also reads what the server said meanwhile."""
    begun = server.log.stat().st_size
    yield
    print("serve.log:", said_since(server.log, begun), sep="\n")


def said_since(log: Path, offset: int) -> str:
    with log.open("rb") as file:
        file.seek(offset)
        return file.read().decode(errors="replace")[-8000:]
