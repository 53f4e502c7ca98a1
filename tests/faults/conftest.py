"""A server that tests may hurt, and an unbroken run to compare with."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from afina_server import Server, Twin, ended, jsonl, rows, served, upload


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with served(tmp_path_factory.mktemp("hurt")) as running:
        yield running


@pytest.fixture(scope="session")
def twin(server: Server) -> Twin:
    """The unbroken run, on the same server."""
    with server.client() as client:
        training_file = upload(client, jsonl(rows(16))).id
        job = ended(client, Twin.begin(client, training_file).id)
        assert job.fine_tuned_model is not None, job.error
        table = client.files.content(job.result_files[0]).read()
        return Twin(training_file, server.weights(job.fine_tuned_model), table)


@pytest.fixture(autouse=True)
def the_log_of_a_failure(server: Server) -> Iterator[None]:
    """Whoever reads of a failed test also reads what the server said meanwhile."""
    begun = server.log.stat().st_size
    yield
    print("serve.log:", said_since(server.log, begun), sep="\n")


def said_since(log: Path, offset: int) -> str:
    with log.open("rb") as file:
        file.seek(offset)
        return file.read().decode(errors="replace")[-8000:]
