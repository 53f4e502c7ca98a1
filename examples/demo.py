"""The whole path in a few minutes: serve, ask the base, tune it on 64 rows, ask again.

Everything it starts ends with it; what it made stays in ./afina-demo, so that one can go on from there.
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

import httpx
from openai import APIError, DefaultHttpxClient, OpenAI
from rich.console import Console

EXAMPLES = Path(__file__).parent
DEMO = Path("afina-demo")
BASE = "afina-tiny"
QUESTIONS = ("What is asthma?", "What causes a headache?", "¿Qué es la fiebre?")
AFINA = (sys.executable, "-c", "from afina.cli import main; main()")

console = Console(highlight=False)


class DemoFailed(Exception):
    """Something on the way did not work; the server's log tells more."""


def main() -> int:
    shutil.rmtree(DEMO, ignore_errors=True)
    DEMO.mkdir()
    key = f"sk-demo-{secrets.token_hex(12)}"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    signal.signal(signal.SIGTERM, leave)
    environment = {**os.environ, "AFINA_API_KEY": key, "OPENAI_API_KEY": key, "AFINA_DATABASE_URL": ""}
    environment["OPENAI_BASE_URL"] = f"http://127.0.0.1:{port}/v1"
    log = DEMO / "serve.log"
    command = (*AFINA, "serve", "--port", port, "--data", str(DEMO / "data"), "--workers", "1")
    with log.open("wb") as output:
        server = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        wait_until_ready(server, port)
        tuned = show(environment)
    except (DemoFailed, APIError) as error:
        console.print(f"[red]the demo failed: {error}[/]\n\nthe end of {log}:", markup=True)
        console.print("\n".join(log.read_text(errors="replace").splitlines()[-30:]), markup=False)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()
    go_on(port, key, tuned)
    return 0


def leave(number: int, frame: FrameType | None) -> None:
    """Through `finally`, so that the server ends too."""
    sys.exit(128 + number)


def wait_until_ready(server: "subprocess.Popen[bytes]", port: str) -> None:
    deadline = time.monotonic() + 60
    with httpx.Client(trust_env=False) as client:
        while time.monotonic() < deadline:
            if server.poll() is not None:
                raise DemoFailed(f"afina serve ended with {server.returncode}")
            try:
                if client.get(f"http://127.0.0.1:{port}/healthz").status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.1)
    raise DemoFailed("the server was not ready within a minute")


def show(environment: dict[str, str]) -> str:
    """Before, tuning, after; the name of the tuned model."""
    client = OpenAI(
        base_url=environment["OPENAI_BASE_URL"],
        api_key=environment["OPENAI_API_KEY"],
        http_client=DefaultHttpxClient(trust_env=False),
    )
    console.rule("before: the tiny base model")
    for question in QUESTIONS:
        ask(client, BASE, question)
    console.rule("tuning on 64 rows of a clinic's own style")
    job = start(client)
    console.print(f"[dim]$ afina jobs watch {job}[/]")
    began = time.monotonic()
    if subprocess.run((*AFINA, "jobs", "watch", job), env=environment, check=False).returncode != 0:
        raise DemoFailed(f"job {job} did not succeed")
    tuned = client.fine_tuning.jobs.retrieve(job).fine_tuned_model
    assert tuned is not None
    console.rule(f"after {time.monotonic() - began:.0f} seconds: {tuned}")
    for question in QUESTIONS:
        ask(client, tuned, question)
    return tuned


def start(client: OpenAI) -> str:
    with (EXAMPLES / "data/clinic_64.jsonl").open("rb") as rows:
        training = client.files.create(file=rows, purpose="fine-tune")
    with (EXAMPLES / "data/clinic_valid_12.jsonl").open("rb") as rows:
        validation = client.files.create(file=rows, purpose="fine-tune")
    job = client.fine_tuning.jobs.create(
        model=BASE,
        training_file=training.id,
        validation_file=validation.id,
        suffix="clinic",
        seed=7,
        method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 8, "batch_size": 8}}},
    )
    return job.id


def ask(client: OpenAI, model: str, question: str) -> None:
    console.print(f"[bold cyan]{question}[/]")
    stream = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": question}],
        temperature=0,
        max_tokens=80,
        stream=True,
    )
    for chunk in stream:
        if chunk.choices:
            console.print(chunk.choices[0].delta.content or "", end="", markup=False, soft_wrap=True)
    console.print("\n")


def go_on(port: str, key: str, tuned: str) -> None:
    console.rule("go on from here")
    lines = (
        f'export PATH="{Path(sys.executable).parent}:$PATH"',
        f"afina serve --port {port} --data {DEMO / 'data'}",
        f"export OPENAI_BASE_URL=http://127.0.0.1:{port}/v1 OPENAI_API_KEY={key}",
        "afina models list",
        f'afina chat "{tuned}"',
    )
    console.print("\n".join(lines), markup=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
