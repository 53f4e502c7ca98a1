"""`python -m load [--quick]`: what the server holds under load, as ratios to a server that does nothing."""

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

import httpx

from afina.processes import die_with
from afina.settings import Settings
from afina.store import keys
from afina.store.database import Database
from afina_server import KEY, Server, free_port, until
from load import scenarios
from load.scenarios import Outcome, Sides
from load.seed import Past, seed

FULL = Past(jobs=10_000, events=1_000_000, files=50_000)
QUICK = Past(jobs=1_000, events=50_000, files=2_000)
ROW = b'{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]}\n'


def main(arguments: list[str]) -> int:
    """Run the scenarios, print what came of them; 1 where something did not hold."""
    parser = argparse.ArgumentParser(prog="load", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    quick = parser.parse_args(arguments).quick
    with tempfile.TemporaryDirectory(prefix="afina-load-") as folder, served(Path(folder)) as (ours, stub):
        begun = time.monotonic()
        write_past(ours, QUICK if quick else FULL)
        print(f"wrote the past in {time.monotonic() - begun:.0f} s", flush=True)
        outcomes = asyncio.run(measure(ours, stub, quick=quick))
    for each in outcomes:
        print(f"{each.name}\n  ours  {each.ours}\n  stub  {each.stub}\n  p95 ratio {each.ratio:.2f}")
        for broken in each.broken:
            print(f"  DOES NOT HOLD: {broken}")
    return 1 if any(each.broken for each in outcomes) else 0


@contextmanager
def served(folder: Path) -> Iterator[tuple[Server, str]]:
    """Our server without workers, and the stub's URL."""
    server = Server(folder, AFINA_WORKERS="0", AFINA_LOG_LEVEL="warning")
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "load.stub:app",
        "--port",
        str(port),
        "--log-level",
        "warning",
        "--http",
        "h11",
    ]
    environment = os.environ | {
        "STUB_FILE": str(folder / "stub.jsonl"),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    stub = subprocess.Popen(
        command, env=environment, preexec_fn=partial(die_with, os.getpid(), signal.SIGTERM)
    )
    try:
        server.start()
        until(lambda: answers(f"http://127.0.0.1:{port}"), bool, what="the stub is ready")
        yield server, f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        stub.terminate()
        stub.wait()


def answers(url: str) -> bool:
    """Whether a server is ready."""
    try:
        return httpx.get(f"{url}/healthz", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def write_past(server: Server, past: Past) -> None:
    """Rows for the server's one project."""
    database = Database(Settings(data=server.data).database)
    with database.system(read=True) as system:
        key = keys.find(system, KEY)
    assert key is not None
    seed(database, key.project_id, past)
    database.close()


async def measure(server: Server, stub: str, *, quick: bool) -> list[Outcome]:
    """All scenarios, one after the other."""
    past, scale = (QUICK, 0.1) if quick else (FULL, 1.0)
    file = server.client().files.create(file=("rows.jsonl", ROW * 10), purpose="fine-tune").id
    async with AsyncExitStack() as stack:
        sides = Sides(*[await stack.enter_async_context(client(url)) for url in (server.url, stub)])
        return [
            await scenarios.read_jobs(sides, past, count=int(12_000 * scale), rate=100),
            await scenarios.list_jobs(sides, past, count=int(3_000 * scale), rate=50),
            await scenarios.follow_events(sides, past, watchers=int(100 * scale), seconds=30),
            await scenarios.submit_jobs(sides, file=file, count=90 if quick else 1_005, rate=17),
        ]


@asynccontextmanager
async def client(url: str) -> AsyncIterator[httpx.AsyncClient]:
    """Connections enough for all that are on their way."""
    limits = httpx.Limits(max_connections=128, max_keepalive_connections=128)
    headers = {"authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(
        base_url=url, headers=headers, limits=limits, timeout=60, trust_env=False
    ) as opened:
        yield opened


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
