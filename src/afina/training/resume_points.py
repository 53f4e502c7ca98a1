"""Where a broken run goes on: adapter, optimizer and step, written whole or not at all, the last two kept."""

import asyncio
import hashlib
import os
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from afina.blobs import make_folder, sync_folder
from afina.schemas.record import Record

SEAL = "resume.json"
KEPT = 2


class Seal(Record):
    """What a whole resume point holds: the number of steps done, and the SHA-256 of each file."""

    step: int
    files: dict[str, str]


@dataclass(frozen=True)
class ResumePoint:
    """`step` steps are done; `path` is the engine's saved state at that moment."""

    step: int
    path: Path


async def write(folder: Path, step: int, save: Callable[[Path], Awaitable[None]]) -> ResumePoint:
    """Let `save` fill a folder, seal it with the hashes of its files, give it its name, drop all but the last two."""
    partial = folder / f".step-{step:08d}"
    make_folder(partial)
    await save(partial)
    return await asyncio.to_thread(keep, partial, step)


def keep(partial: Path, step: int) -> ResumePoint:
    """Seal and name what `save` wrote; reading it again takes a while, so this is done beside the event loop."""
    seal(partial, step)
    whole = partial.with_name(partial.name.removeprefix("."))
    partial.rename(whole)
    sync_folder(whole.parent)
    for old in sorted(whole.parent.glob("step-*"))[:-KEPT]:
        shutil.rmtree(old)
    return ResumePoint(step, whole)


def seal(folder: Path, step: int) -> None:
    """The seal comes last: a folder without it is not a resume point."""
    files = {path.name: sha256(path) for path in sorted(folder.iterdir())}
    with (folder / SEAL).open("w") as file:
        file.write(Seal(step=step, files=files).model_dump_json())
        file.flush()
        os.fsync(file.fileno())
    sync_folder(folder)


def latest(job_folder: Path) -> ResumePoint | None:
    """The furthest intact resume point in any of a job's run folders; damaged ones are passed over."""
    found = sorted(job_folder.glob("*/resume/step-*"), key=lambda path: path.name, reverse=True)
    return next((point for path in found if (point := verified(path))), None)


def verified(path: Path) -> ResumePoint | None:
    """The resume point in `path`, None unless every file is what its seal says."""
    try:
        found = read_seal(path)
        intact = all(sha256(path / name) == digest for name, digest in found.files.items())
    except (OSError, ValueError):
        return None
    return ResumePoint(found.step, path) if intact else None


def read_seal(path: Path) -> Seal:
    """What a resume point says of itself; OSError or ValueError where it is none."""
    return Seal.model_validate_json((path / SEAL).read_bytes())


def sha256(path: Path) -> str:
    """Of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
