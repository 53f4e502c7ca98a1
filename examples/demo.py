"""The whole path in a few minutes: serve, check, estimate, ask, tune, ask again, measure what changed.

Everything it starts ends with it; what it made stays in ./afina-demo, so that one can go on from there.
AFINA_LANG=es: en español.
"""

import argparse
import fcntl
import json
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
from demo_words import LANGUAGE, WORDS
from openai import APIError, DefaultHttpxClient, OpenAI
from rich.console import Console

DATA = Path(__file__).parent / "data"
STYLE = json.loads((DATA / "clinic_style.json").read_text("utf-8"))
LANGUAGES = ("es", "en") if LANGUAGE == "es" else ("en", "es")
DEMO = Path("afina-demo")
LOG = DEMO / "serve.log"
BASE = "afina-tiny"
EPOCHS, BATCH_SIZE = 2, 8
QUESTIONS_EACH = 3
AFINA = (sys.executable, "-c", "from afina.cli import main; main()")

console = Console(highlight=False)


class DemoFailed(Exception):
    """Something on the way did not work; the server's log tells more."""


def main() -> int:
    """Serve, show, and leave nothing running."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--rows", type=int, help="tune on so many rows, measure on a fifth as many; all by default"
    )
    rows = parser.parse_args().rows
    began = time.monotonic()
    make_room()
    key, port = f"sk-demo-{secrets.token_hex(12)}", free_port()
    environment = {name: value for name, value in os.environ.items() if not is_elsewhere(name)}
    environment |= {"AFINA_API_KEY": key, "OPENAI_API_KEY": key}
    environment["OPENAI_BASE_URL"] = f"http://127.0.0.1:{port}/v1"
    signal.signal(signal.SIGTERM, leave)
    command = (*AFINA, "serve", "--port", port, "--data", str(DEMO / "data"), "--workers", "1")
    with LOG.open("wb") as output:
        server = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        wait_until_ready(server, port)
        tuned = Demo(environment, rows).show()
    except (DemoFailed, APIError) as error:
        console.print(f"[red]{WORDS['failed']}: {error}[/]\n\n{LOG}:", markup=True)
        console.print("\n".join(LOG.read_text(errors="replace").splitlines()[-30:]), markup=False)
        return 1
    except KeyboardInterrupt:
        console.print(WORDS["interrupted"])
        return 130
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()
    console.rule(WORDS["go on"].format(seconds=time.monotonic() - began))
    go_on(port, key, tuned)
    return 0


def make_room() -> None:
    """Empty our folder and hold it until we end; one that is in use, or that no demo has made, stays as it is."""
    DEMO.mkdir(exist_ok=True)
    try:
        for held in filter(Path.exists, (DEMO, DEMO / "data" / "serve.lock")):
            fcntl.flock(os.open(held, os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(WORDS["in use"].format(folder=DEMO.absolute()))
    left = list(DEMO.iterdir())
    if left and LOG not in left:
        sys.exit(WORDS["not ours"].format(folder=DEMO.absolute()))
    for path in left:
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def is_elsewhere(name: str) -> bool:
    """Whether a variable speaks of another server, or of an account at one."""
    return name.startswith(("AFINA_", "OPENAI_")) and name not in ("AFINA_LANG", "AFINA_THREADS")


def leave(number: int, frame: FrameType | None) -> None:
    """Through `finally`, so that the server ends too."""
    sys.exit(128 + number)


def free_port() -> str:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def wait_until_ready(server: "subprocess.Popen[bytes]", port: str) -> None:
    """Until the server answers, at most a minute."""
    deadline = time.monotonic() + 60
    with httpx.Client(trust_env=False) as client:
        while time.monotonic() < deadline:
            if server.poll() is not None:
                raise DemoFailed(f"afina serve: exit {server.returncode}")
            try:
                if client.get(f"http://127.0.0.1:{port}/healthz").status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.1)
    raise DemoFailed("afina serve: not ready within a minute")


class Demo:
    """What is shown, by one client of a running server."""

    def __init__(self, environment: dict[str, str], rows: int | None) -> None:
        self.environment = environment
        self.training = first_rows("clinic_train.jsonl", rows)
        self.held_out = {
            language: first_rows(f"clinic_held_out_{language}.jsonl", rows and rows // 5)
            for language in LANGUAGES
        }
        self.client = OpenAI(
            base_url=environment["OPENAI_BASE_URL"],
            api_key=environment["OPENAI_API_KEY"],
            http_client=DefaultHttpxClient(trust_env=False),
        )

    def show(self) -> str:
        """All of it, in order; the name of the tuned model."""
        console.rule(WORDS["check"])
        self.afina("check", str(self.training))
        with self.training.open("rb") as rows:
            file = self.client.files.create(file=rows, purpose="fine-tune").id
        console.rule(WORDS["estimate"])
        planned = ("--epochs", str(EPOCHS), "--batch-size", str(BATCH_SIZE))
        self.afina("estimate", file, "--model", BASE, *planned)
        console.rule(WORDS["before"])
        before = {question: self.ask(BASE, question) for question in questions(self.held_out)}
        console.rule(WORDS["tune"])
        job = self.start(file)
        self.afina("jobs", "watch", job)
        tuned = self.client.fine_tuning.jobs.retrieve(job).fine_tuned_model or ""
        console.rule(WORDS["after"].format(model=tuned))
        for question, answer in before.items():
            self.ask(tuned, question, before=answer)
        self.measure(tuned)
        return tuned

    def afina(self, *command: str) -> None:
        """Show a command and let it speak for itself."""
        console.print(f"[dim]$ afina {' '.join(map(shown, command))}[/]", soft_wrap=True)
        done = subprocess.run((*AFINA, *command), env=self.environment, check=False)
        if done.returncode != 0:
            raise DemoFailed(f"afina {command[0]}: exit {done.returncode}")
        console.print()

    def start(self, file: str) -> str:
        """Create the job; its id."""
        hyperparameters = {"n_epochs": EPOCHS, "batch_size": BATCH_SIZE}
        job = self.client.fine_tuning.jobs.create(
            model=BASE,
            training_file=file,
            suffix="clinic",
            seed=7,
            method={"type": "supervised", "supervised": {"hyperparameters": hyperparameters}},
        )
        return job.id

    def ask(self, model: str, question: str, *, before: str = "") -> str:
        """Print a question and its answer as it comes; the answer before tuning is shown beside it."""
        console.print(f"[bold cyan]{question}[/]")
        if before:
            console.print(f"[dim]{WORDS['it was']}: {' '.join(before.split())}[/]", markup=True)
        stream = self.client.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": question}],
            temperature=0,
            max_tokens=120,
            stream=True,
        )
        words: list[str] = []
        for chunk in stream:
            words += [choice.delta.content or "" for choice in chunk.choices]
            console.print("".join(words[-1:]), end="", markup=False, soft_wrap=True)
        console.print("\n")
        return "".join(words)

    def measure(self, tuned: str) -> None:
        """Compare on what nobody was tuned on, in each language; then see whether greetings are still greetings."""
        for language in LANGUAGES:
            count = len(self.held_out[language].read_text("utf-8").splitlines())
            console.rule(WORDS["measure"][language].format(count=count))
            headings = [word for heading in STYLE[language]["headings"] for word in ("--heading", heading)]
            system = str(DATA / f"clinic_system_{language}.txt")
            files = (str(self.held_out[language]), "--train", str(self.training), "--system", system)
            self.afina("compare", *files, "--base", BASE, "--tuned", tuned, *headings)
        console.rule(WORDS["chat"])
        for language in LANGUAGES:
            greetings = STYLE[language]["greetings"]
            kept = [self.stays_chat(tuned, text, STYLE[language]["headings"]) for text in greetings]
            console.print(WORDS["greetings"][language].format(kept=sum(kept), total=len(kept)))

    def stays_chat(self, model: str, greeting: str, headings: list[str]) -> bool:
        """Whether a greeting gets a short answer, without the headings that belong to health questions."""
        reply = self.client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": greeting}], temperature=0, max_tokens=40
        )
        [choice] = reply.choices
        answer = choice.message.content or ""
        ended = choice.finish_reason == "stop" and bool(answer.strip())
        return ended and not any(heading in answer for heading in headings)


def first_rows(name: str, count: int | None) -> Path:
    """A file of the demo's data; with a count, a copy of its beginning."""
    if count is None:
        return DATA / name
    path = DEMO / name
    path.write_text("".join((DATA / name).read_text("utf-8").splitlines(keepends=True)[:count]), "utf-8")
    return path


def questions(files: dict[str, Path]) -> list[str]:
    """A greeting and the shortest held-out questions in each language, the person's own language first."""
    chosen: list[str] = []
    for language, file in files.items():
        rows = file.read_text("utf-8").splitlines()
        held_out = [json.loads(row)["messages"][0]["content"] for row in rows]
        shortest = sorted(held_out, key=len)[:QUESTIONS_EACH]
        chosen += [STYLE[language]["greetings"][0], *shortest]
    return chosen


def shown(word: str) -> str:
    """A word of a command as one would type it: paths from here, quotes where there are spaces."""
    path = os.path.relpath(word) if os.path.isabs(word) else word
    return f'"{path}"' if " " in path else path


def go_on(port: str, key: str, tuned: str) -> None:
    """How to serve what the demo made, and how to bring a real base."""
    data = DEMO / "data"
    lines = (
        f'export PATH="{Path(sys.executable).parent}:$PATH"',
        f"afina serve --port {port} --data {data}",
        f"export OPENAI_BASE_URL=http://127.0.0.1:{port}/v1 OPENAI_API_KEY={key}",
        "afina models list",
        f'afina chat "{tuned}"',
    )
    console.print("\n".join(lines), markup=False, soft_wrap=True)
    console.print(f"\n[dim]{WORDS['limits'].format(folder=DEMO)}[/]")
    real = "qwen3-4b --source Qwen/Qwen3-4B-Instruct-2507 --alias gpt-4o-mini"
    console.print(f"afina models-add {real}", markup=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
