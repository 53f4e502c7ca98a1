"""What a comparison is made on: held-out conversations, and what the base's best prompt may be made of."""

import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from afina.cli import conversations
from afina.cli.client import connected
from afina.cli.output import CommandFailed
from afina.data.messages import Conversation
from afina.evals.compare import Case
from afina.evals.prompts import Draw, draw, identity, said
from afina.evals.prompts import spoken as language_of
from afina.evals.ready import Language

NO_PROMPT = "there is nothing to make a prompt of"
MORE_ROWS = "give --system, or more rows to --train than are held out"
WITHOUT_ROWS = "give --train FILE, the tuned model's training file, or --system TEXT"


@dataclass(frozen=True)
class Trial:
    """What is asked: the held-out conversations, and what a prompt may be made of."""

    talks: tuple[Conversation, ...]
    system: str | None
    drawn: Draw
    seen: int | None  # held-out conversations that are in the training file too; None without such a file

    @cached_property
    def cases(self) -> list[Case]:
        """The last question of each conversation, and its answer."""
        found: list[Case] = []
        for talk in self.talks:
            asked = [said(message) for message in talk.messages if message["role"] == "user"]
            found.append(Case(asked[-1] if asked else "", said(talk.messages[-1])))
        return found

    @property
    def language(self) -> Language:
        """The language in which answers are judged."""
        return "es" if language_of(self.talks) == "es" else "en"


def prepare(held_out: Path, *, tuned: str, train: Path | None, system: str | None) -> Trial:
    """Read the files; held-out rows whose last answer is no text cannot be compared and are left out.

    Without a training file, the one that the tuned model was trained on is asked of the server, which may not have it.
    """
    talks = tuple(talk for talk in conversations.read(held_out) if said(talk.messages[-1]))
    if not talks:
        raise CommandFailed(f"{held_out} holds no answer in words", cure="compare on answers that are text")
    told = None if system is None else text_or_file(system)
    rows = trained_on(tuned) if train is None else conversations.read(train)
    known = {identity(row) for row in rows}
    seen = sum(identity(talk) in known for talk in talks) if rows else None
    trial = Trial(talks, told, draw(rows, talks), seen)
    if told is None and not trial.drawn.examples:
        raise CommandFailed(NO_PROMPT, cure=MORE_ROWS if rows else WITHOUT_ROWS)
    return trial


def trained_on(tuned: str) -> list[Conversation]:
    """The rows of the tuned model's job; none where the job or its file is gone, or they are no conversations."""
    from openai import NotFoundError

    with connected() as client, tempfile.TemporaryDirectory(prefix="afina-compare-") as folder:
        file = Path(folder) / "train.jsonl"
        job = next((job for job in client.fine_tuning.jobs.list() if job.fine_tuned_model == tuned), None)
        if job is None or (job.method is not None and job.method.type != "supervised"):
            return []
        try:
            client.files.content(job.training_file).write_to_file(file)
        except NotFoundError:
            return []
        return conversations.read(file)


def text_or_file(text: str) -> str:
    """The text of a file of that name, where there is one."""
    try:
        return Path(text).read_text("utf-8").strip() if Path(text).is_file() else text
    except OSError:  # longer than a name may be
        return text
    except UnicodeDecodeError:
        raise CommandFailed(f"{text} is not UTF-8 text", cure="save it as UTF-8") from None
