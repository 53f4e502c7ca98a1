"""Where a broken run goes on: adapter, optimizer and step, written whole or not at all, the last two kept."""

import hashlib
import json
import os
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

MANIFEST = "resume.json"
KEPT = 2


@dataclass(frozen=True)
class ResumePoint:
    """`step` steps are done; `path` is the engine's saved state at that moment."""

    step: int
    path: Path


async def write(folder: Path, step: int, save: Callable[[Path], Awaitable[None]]) -> ResumePoint:
    """Let `save` fill a folder, seal it with the hashes of its files, give it its name, drop all but the last two."""
    partial = folder / f".step-{step:08d}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    await save(partial)
    seal(partial, step)
    whole = folder / partial.name.removeprefix(".")
    if not whole.exists():
        partial.rename(whole)
        sync_folder(folder)
    for old in sorted(folder.glob("step-*"))[:-KEPT]:
        shutil.rmtree(old)
    return ResumePoint(step, whole)


def seal(folder: Path, step: int) -> None:
    """The manifest comes last: a folder without it is not a resume point."""
    files = {path.name: sha256(path) for path in sorted(folder.iterdir())}
    with (folder / MANIFEST).open("w") as manifest:
        json.dump({"step": step, "files": files}, manifest)
        manifest.flush()
        os.fsync(manifest.fileno())
    sync_folder(folder)


def latest(job_folder: Path) -> ResumePoint | None:
    """The furthest intact resume point in any of a job's run folders; damaged ones are passed over."""
    found = sorted(job_folder.glob("*/resume/step-*"), key=lambda path: path.name, reverse=True)
    return next((point for path in found if (point := verified(path))), None)


def verified(path: Path) -> ResumePoint | None:
    """The resume point in `path`, None unless every file is what its manifest says."""
    try:
        manifest = json.loads((path / MANIFEST).read_bytes())
        intact = all(sha256(path / name) == digest for name, digest in manifest["files"].items())
    except (OSError, ValueError, KeyError):
        return None
    return ResumePoint(manifest["step"], path) if intact else None


def sha256(path: Path) -> str:
    """Of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_folder(path: Path) -> None:
    """Make a rename durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
