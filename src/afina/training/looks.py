"""What a run has heard at each look at the validation file, and how that was graded: files of its folder."""

import os
from collections.abc import Iterable
from pathlib import Path

from afina.blobs import make_folder, sync_folder
from afina.graders.grade import Grade
from afina.graders.judges import Said
from afina.schemas.graders import GraderErrors
from afina.schemas.record import Record


class Heard(Record):
    """One reply to the prompt with this number, and its grade."""

    question: int
    text: str
    prompt_tokens: int
    completion_tokens: int
    reward: float | None
    errors: GraderErrors
    reason: str | None
    sub_rewards: dict[str, float]
    said: list[Said]

    @property
    def grade(self) -> Grade:
        """The grade; what it took is not kept."""
        return Grade(self.reward, 0.0, self.errors, self.reason, self.sub_rewards, tuple(self.said))


def write(folder: Path, step: int, replies: Iterable[Heard]) -> None:
    """Durable before anything speaks of the look behind this step."""
    path = place(folder, step)
    make_folder(path.parent)
    with path.open("w", encoding="utf-8") as file:
        file.writelines(one.model_dump_json() + "\n" for one in replies)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path.parent)


def read(folder: Path, step: int) -> list[Heard]:
    """All replies of the look behind this step, in the order of the prompts; none where none were kept."""
    path = place(folder, step)
    lines = path.read_bytes().splitlines() if path.exists() else []
    return [Heard.model_validate_json(line) for line in lines]


def place(folder: Path, step: int) -> Path:
    """Where a look lies in a run folder."""
    return folder / "looks" / f"step-{step}.jsonl"
