"""Takes away what nobody needs: files whose time is over, and bytes that no row speaks of.

Such bytes are there when whoever was about to write their row, or to delete them, was killed.
"""

import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from afina.blobs import Blobs
from afina.store import files, jobs, uploads
from afina.store.database import Database
from afina.store.survey import in_use

GRACE_SECONDS = 3600.0  # bytes come before their row, so young ones may still get it


def sweep(database: Database, blobs: Blobs, *, grace_seconds: float = GRACE_SECONDS) -> int:
    """Delete what has no row and what an upload that broke off left; returns how many blobs there were."""
    old = list(older(blobs, grace_seconds))  # before the rows are read: a row that comes meanwhile is seen
    with database.system(read=True) as scope:
        kept = in_use(scope)
    orphans = [key for key in old if "/".join(key.split("/")[:2]) not in kept]
    for key in orphans:
        blobs.delete(key)
    return len(orphans) + blobs.sweep(grace_seconds)


def expire(database: Database, blobs: Blobs) -> int:
    """Delete files past their `expires_at`, and the parts of uploads past theirs; returns how many there were."""
    with database.system() as scope:
        expired = [file.blob for file in files.expire(scope)]
        expired += [upload.folder for upload in uploads.expire(scope)]
    for blob in expired:
        blobs.delete(blob)
    return len(expired)


def forget_tokens(database: Database, tokens: Path) -> int:
    """Delete what was rendered from files that are not there any more; returns from how many."""
    found = list(tokens.glob("*/"))
    with database.system(read=True) as scope:
        kept = in_use(scope)
    gone = [folder for folder in found if f"files/{folder.name}" not in kept]
    for folder in gone:
        shutil.rmtree(folder, ignore_errors=True)
    return len(gone)


def forget_runs(database: Database, runs: Path) -> int:
    """Delete the run folders of jobs that are over, such as one that was cancelled while it was paused."""
    found = list(runs.glob("*/"))
    with database.system(read=True) as scope:
        kept = jobs.unfinished(scope)
    gone = [folder for folder in found if folder.name not in kept]
    for folder in gone:
        shutil.rmtree(folder, ignore_errors=True)
    return len(gone)


def older(blobs: Blobs, seconds: float) -> Iterator[str]:
    """Blobs of at least this age; one that is deleted while we look is none."""
    for key in blobs.below():
        with suppress(FileNotFoundError):
            if blobs.age(key) >= seconds:
                yield key
