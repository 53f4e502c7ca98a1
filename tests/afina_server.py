"""A real `afina serve` for tests: started over a folder, talked to by the plain client, ended by process id."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import httpx
import openai
from openai.types import FileObject
from openai.types.fine_tuning import FineTuningJob, FineTuningJobEvent

from afina.processes import die_with

AFINA = str(Path(sys.executable).with_name("afina"))
KEY = "sk-of-the-owner-in-tests"
MARK = "AFINA_TEST_SERVER"
FINAL = ("succeeded", "failed", "cancelled")
LONGEST_SECONDS = 240.0
Seen = TypeVar("Seen")


class Server:
    """`afina serve` on a free port over `folder`; every process that comes of it carries our mark."""

    def __init__(self, folder: Path, **environment: str):
        self.folder = folder
        self.data = folder / "data"
        self.log = folder / "serve.log"
        self.port = free_port()
        self.mark = f"{folder.name}-{os.getpid()}-{self.port}"
        ours = {"AFINA_API_KEY": KEY, "AFINA_THREADS": "1", "OMP_NUM_THREADS": "1", "NO_PROXY": "127.0.0.1"}
        self.environment = {**os.environ, **ours, MARK: self.mark, **environment}

    def start(self) -> "Server":
        """Return when the server answers."""
        folder, port = str(self.data), str(self.port)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [AFINA, "serve", "--port", port, "--data", folder],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=partial(die_with, os.getpid(), signal.SIGTERM),
            )
        until(self.answers, bool, what="the server is ready")
        return self

    def answers(self) -> bool:
        """Whether the server is ready; a server that has ended will never be."""
        assert self.process.poll() is None, f"afina serve ended with {self.process.returncode}"
        try:
            return httpx.get(f"{self.url}/healthz", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, key: str = KEY, retries: int = 2) -> openai.OpenAI:
        return openai.OpenAI(
            base_url=f"{self.url}/v1", api_key=key, max_retries=retries, timeout=LONGEST_SECONDS
        )

    def pids(self, program: str = "") -> list[int]:
        """Living processes of this server whose command line holds `program`."""
        return [pid for pid in processes() if is_marked(pid, self.mark) and program in command_of(pid)]

    def stop(self) -> float:
        """SIGTERM, as a deploy sends it; the seconds until the last of its processes had ended."""
        begun = time.monotonic()
        self.process.terminate()
        until(self.pids, lambda left: not left, what="all processes have ended")
        self.process.wait()
        return time.monotonic() - begun

    def kill(self) -> None:
        """End whatever is left, at once: for tests that are over."""
        while left := self.pids():
            for pid in left:
                kill(pid)
        self.process.wait()

    def step(self, job: str) -> int:
        """The last step that a run of the job has written down, whether or not anybody has read it."""
        found = [0]
        for path in (self.data / "runs" / job).glob("*/events.jsonl"):
            said = [
                json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")
            ]
            found += [event["metrics"]["step"] for event in said if event["kind"] == "step"]
        return max(found)

    def fsck(self) -> str:
        """What `afina fsck` finds; empty when every invariant holds. The server must have ended."""
        command = [AFINA, "fsck", "--json", "--data", str(self.data)]
        done = subprocess.run(command, capture_output=True, text=True, env=self.environment, check=False)
        assert done.returncode == (1 if done.stdout else 0), done.stderr
        return done.stdout

    def model_folder(self, model: str) -> Path:
        """Where the files of a published model lie."""
        found = [path.parent for path in self.manifests() if named(path, model)]
        assert len(found) == 1, f"{len(found)} folders hold {model}"
        return found[0]

    def manifests(self) -> list[Path]:
        return list((self.data / "blobs" / "models").glob("*/manifest.json"))

    def weights(self, model: str) -> bytes:
        """The bytes of a published adapter."""
        return (self.model_folder(model) / "adapter_model.safetensors").read_bytes()


def named(manifest: Path, model: str) -> bool:
    return json.loads(manifest.read_bytes())["model"] == model


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def is_marked(pid: int, mark: str) -> bool:
    """Whether a process inherited our mark; a zombie has no environment any more."""
    return f"{MARK}={mark}" in proc(pid, "environ").split("\0")


def command_of(pid: int) -> str:
    return proc(pid, "cmdline").replace("\0", " ")


def proc(pid: int, name: str) -> str:
    """A file of a process, empty where it has ended."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def kill(pid: int, how: signal.Signals = signal.SIGKILL) -> None:
    """One signal to one process, which may have ended meanwhile."""
    try:
        os.kill(pid, how)
    except ProcessLookupError:
        return


def let_run(pid: int, seconds: float) -> None:
    """A stopped process runs for a moment and is stopped again."""
    kill(pid, signal.SIGCONT)
    time.sleep(seconds)
    kill(pid, signal.SIGSTOP)


def until(
    look: Callable[[], Seen], ready: Callable[[Seen], object], *, what: str, seconds: float = LONGEST_SECONDS
) -> Seen:
    """Look until what is seen is `ready`; a test that waits in vain fails and says for `what`."""
    deadline = time.monotonic() + seconds
    while not ready(seen := look()):
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.05)
    return seen


def rows(count: int, first: int = 0, answer: str = "{name} is number {number}.") -> list[dict[str, object]]:
    """Sound chat examples, all different."""
    names = ("Ana", "Berta", "Carla", "Dora", "Elena", "Flora", "Gema", "Hilda")
    made: list[dict[str, object]] = []
    for number in range(first, first + count):
        name = names[number % len(names)]
        question = {"role": "user", "content": f"Who is number {number}?"}
        reply = {"role": "assistant", "content": answer.format(name=name, number=number)}
        made.append({"messages": [question, reply]})
    return made


def jsonl(examples: Iterable[Mapping[str, object]]) -> bytes:
    return "".join(json.dumps(example) + "\n" for example in examples).encode()


def upload(client: openai.OpenAI, content: bytes, name: str = "rows.jsonl") -> FileObject:
    return client.files.create(file=(name, content), purpose="fine-tune")


def tune(client: openai.OpenAI, training_file: str, **numbers: int) -> FineTuningJob:
    """A job on the bundled base, with a fixed seed; `numbers` are its hyperparameters."""
    return client.fine_tuning.jobs.create(
        model="afina-tiny", training_file=training_file, seed=5, hyperparameters=numbers
    )


def ended(client: openai.OpenAI, job: str, seconds: float = LONGEST_SECONDS) -> FineTuningJob:
    """The job, once it is over."""
    return until(
        lambda: client.fine_tuning.jobs.retrieve(job),
        lambda seen: seen.status in FINAL,
        what=f"{job} has ended",
        seconds=seconds,
    )


def events(client: openai.OpenAI, job: str) -> list[FineTuningJobEvent]:
    """All events of a job, oldest first."""
    return list(client.fine_tuning.jobs.list_events(job, limit=100))[::-1]


def steps(client: openai.OpenAI, job: str) -> list[int]:
    """The steps that were reported, in the order in which they were."""
    return [event.data["step"] for event in events(client, job) if event.type == "metrics"]


def answer(client: openai.OpenAI, model: str, max_tokens: int = 16) -> str:
    """What a model says to a question of the training data, greedily."""
    reply = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": "Who is number 3?"}],
        temperature=0,
        max_tokens=max_tokens,
    )
    assert reply.model == model
    assert reply.choices[0].finish_reason in ("stop", "length")
    assert reply.usage is not None and 0 < reply.usage.completion_tokens <= max_tokens
    return reply.choices[0].message.content or ""


@dataclass(frozen=True)
class Twin:
    """What the same job becomes when nobody disturbs it; `begin` starts it once more."""

    training_file: str
    weights: bytes
    table: bytes
    steps = 64

    @staticmethod
    def begin(client: openai.OpenAI, training_file: str) -> FineTuningJob:
        """Four epochs of sixteen steps."""
        return tune(client, training_file, n_epochs=4, batch_size=1)


@contextmanager
def served(folder: Path) -> Generator[Server]:
    """A server in `folder` that ends in order, with everything in it whole."""
    running = Server(folder)
    try:
        yield running.start()
        running.stop()
        assert running.fsck() == ""
    finally:
        running.kill()
