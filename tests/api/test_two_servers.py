"""Two server processes over one database: what one has done, the other one knows."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import httpx
import openai
import pytest

from afina.settings import Settings
from afina.store import jobs
from afina.store.database import Database
from afina_server import free_port, until

ROW = b'{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]}\n'


@contextmanager
def process(settings: Settings) -> Iterator[openai.OpenAI]:
    """A client before a server process of its own."""
    port = free_port()
    environment = os.environ | settings.to_environment() | {"AFINA_PORT": str(port), "NO_PROXY": "127.0.0.1"}
    running = subprocess.Popen([sys.executable, "-m", "afina.api"], env=environment)
    try:
        until(lambda: answers(port), bool, what="the server is ready")
        with openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="sk-owner") as client:
            yield client
    finally:
        running.terminate()
        running.wait(30)


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def test_sixteen_equal_submits_and_one_after_a_restart_are_one_job(
    settings: Settings, database: Database, project: str
):
    with ExitStack() as stack:
        clients = [stack.enter_context(process(settings)) for _ in range(2)]
        file = clients[0].files.create(file=("rows.jsonl", ROW * 10), purpose="fine-tune").id

        def submit(client: openai.OpenAI, key: str = "same") -> str:
            headers = {"idempotency-key": key}
            made = client.fine_tuning.jobs.create(
                model="afina-tiny", training_file=file, extra_headers=headers
            )
            return made.id

        with ThreadPoolExecutor(16) as pool:
            made = set(pool.map(submit, clients * 8))
    with process(settings) as client:
        made |= {submit(client)}
        other = submit(client, key="another")
    with database.read(project) as scope:
        assert {job.id for job in jobs.page(scope).data} == made | {other}
    assert len(made) == 1


def test_a_key_that_one_has_revoked_is_refused_by_the_other(settings: Settings):
    with process(settings) as one, process(settings) as other:
        made = one.post("/afina/keys", cast_to=dict[str, object], body={"name": "robot", "role": "member"})
        robot = other.with_options(api_key=str(made["secret"]), max_retries=0)
        assert [robot.files.list().data for _ in range(3)] == [[]] * 3
        one.delete(f"/afina/keys/{made['id']}", cast_to=dict[str, object])
        with pytest.raises(openai.AuthenticationError):
            robot.files.list()
