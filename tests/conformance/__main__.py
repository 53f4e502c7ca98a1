"""`python -m conformance [RESOURCE ...] [-- PYTEST ARGUMENTS]`: the official client's tests, against a real server."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

import afina.base
import tiny_encoder
from afina.schemas.embeddings import ENCODER
from afina.settings import Settings
from afina.store import hosts, keys
from afina.store.database import Database
from afina.worker.executors.local import LocalExecutor
from afina_server import Server, until
from conformance import suite
from conformance.plugin import KEY
from conformance.rows import OWNER
from conformance.tenant import Tenant

ADMIN_KEY = "My Admin API Key"  # of the suite's client, too
# The suite's own options ask for a plugin that spreads tests over processes, and make warnings errors.
PYTEST = (
    sys.executable,
    "-m",
    "pytest",
    "-p",
    "conformance.plugin",
    "-o",
    "addopts=",
    "-W",
    "default",
    "--timeout=300",
)


def main(arguments: list[str]) -> int:
    """Run the tests of the named resources, or of all; returns pytest's exit status."""
    split = arguments.index("--") if "--" in arguments else len(arguments)
    resources, options = arguments[:split] or list(suite.RESOURCES), arguments[split + 1 :]
    folder = suite.fetch()
    with (
        tempfile.TemporaryDirectory(prefix="afina-conformance-") as temporary,
        serving(Path(temporary)) as server,
    ):
        command = [*PYTEST, *options, *suite.paths(resources)]
        return subprocess.run(command, cwd=folder, env=environment(server), check=False).returncode


def environment(server: Server) -> dict[str, str]:
    """What the suite and our plugin have to know."""
    return os.environ | {
        "TEST_API_BASE_URL": f"{server.url}/v1",
        "AFINA_DATA": str(server.data),
        "PYTHONPATH": os.pathsep.join(sys.path),
        "NO_PROXY": "127.0.0.1",
    }


@contextmanager
def serving(folder: Path) -> Generator[Server]:
    """`afina serve --workers 0` with the suite's two keys, and hosts for what is generated and embedded."""
    sources = {afina.base.NAME: afina.base.path(), ENCODER: tiny_encoder.make(folder / "encoder")}
    server = Server(
        folder,
        AFINA_API_KEY=KEY,
        AFINA_WORKERS="0",
        AFINA_ENCODER=str(sources[ENCODER]),
        AFINA_LOG_LEVEL="warning",
    )
    try:
        server.start()
        settings = Settings(data=server.data, threads=1)
        tenant = Tenant.of(settings, KEY)
        with tenant.database.scope(tenant.project_id) as scope:
            keys.insert(scope, ADMIN_KEY, name="admin", role="owner", actor=OWNER)
        with hosting(settings, tenant.database, sources):
            yield server
    except BaseException:
        sys.stderr.write(server.log.read_text())
        raise
    finally:
        server.kill()


@contextmanager
def hosting(settings: Settings, database: Database, sources: Mapping[str, Path]) -> Generator[None]:
    """A host for each base, as a worker would start it."""
    executor = LocalExecutor(settings)
    try:
        for host in [executor.start(base, source, dtype="float32") for base, source in sources.items()]:
            until(lambda host=host: host.healthy() or not host.alive(), bool, what="the host is ready")
            assert host.alive(), f"the host of {host.base} has ended; it has said why"
            with database.system() as system:
                hosts.ready(system, host.base, OWNER, address=host.address, pid=host.pid)
        yield
    finally:
        executor.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
