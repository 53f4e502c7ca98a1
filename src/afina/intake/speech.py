"""Whether a model's folder can turn chats into tokens, as a process found out that is killed when it takes too long."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from afina.intake import documents
from afina.intake.network import DOWNLOAD_AGAIN, Network
from afina.intake.unfit import Unfit
from afina.schemas.models import Thinking

Asked = Literal["auto", "off", "on", "none"]

MEND = "mend the template, or choose another base"
DOCUMENTS = ("tokenizer_config.json", "special_tokens_map.json", "generation_config.json")
ONE_THREAD = {"TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Limits:
    """What a trial may take."""

    seconds: int = 60
    bytes: int = 4 * 2**30


@dataclass(frozen=True)
class Found:
    """The largest token id, how the base will be rendered, and what its template cannot do."""

    largest_id: int
    thinking: Thinking | None
    without: list[str]


def attempt(folder: Path, network: Network, asked: Asked, limits: Limits | None = None) -> Found:
    """Try tokenizer and template on conversations; raises `Unfit`."""
    for name in DOCUMENTS:
        if (folder / name).is_file():
            documents.read(folder / name, cure=DOWNLOAD_AGAIN)
    if not (folder / "tokenizer.json").is_file():
        cure = "save the tokenizer with transformers, which writes tokenizer.json"
        raise Unfit("tokenizer.json", "it is not in the folder", cure=cure)
    found = outcome(run(folder, asked, limits or Limits()))
    if found.largest_id >= network.vocabulary:
        message = f"it has ids up to {found.largest_id}, and the model's vocabulary has {network.vocabulary}"
        raise Unfit("tokenizer.json", message, cure="use the tokenizer that belongs to these weights")
    return found


def run(folder: Path, asked: Asked, limits: Limits) -> list[str]:
    """What the trial said; raises `Unfit` for one that had to be killed, or that ended otherwise than planned."""
    command = [sys.executable, "-P", "-m", "afina.intake.trial", str(folder), "--thinking", asked]
    command += ["--seconds", str(limits.seconds), "--bytes", str(limits.bytes), "--parent", str(os.getpid())]
    environment = {**os.environ, **ONE_THREAD}
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as trial:
        try:
            said, complaint = trial.communicate(timeout=limits.seconds)
        except subprocess.TimeoutExpired:
            trial.kill()
            said, complaint = trial.communicate()
    lines = said.decode(errors="replace").splitlines()
    if trial.returncode < 0:
        message = f"it did not come to an end within {limits.seconds} s: it may hold an endless loop"
        raise Unfit(place(lines), message, cure=MEND)
    if trial.returncode > 0 and b"MemoryError" in complaint:
        raise Unfit(place(lines), f"it takes more than {limits.bytes / 2**30:.1f} GiB of memory", cure=MEND)
    if trial.returncode > 0:
        raise Unfit(place(lines), "it cannot be read", cure=DOWNLOAD_AGAIN)
    return lines


def place(lines: list[str]) -> str:
    """The file that was being tried last."""
    places = [str(line["at"]) for line in map(json.loads, lines) if "at" in line]
    return places[-1] if places else "tokenizer.json"


def outcome(lines: list[str]) -> Found:
    """The trial's last word."""
    last = json.loads(lines[-1])
    if "unfit" in last:
        file, message, cure = last["unfit"]
        raise Unfit(file, message, cure=cure)
    return Found(**last["found"])
