"""Bytes by key: a folder in which a blob is whole or is not there.

A blob is a file, or, where it was joined from others, a folder that holds its pieces in order. Rows are unknown here:
who owns a key, and whether it is still needed, is for the store to say.
"""

import errno
import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from afina.errors import AfinaError, CorruptBlob, Unavailable

CHUNK = 1 << 20
NAME = r"[A-Za-z0-9_-][A-Za-z0-9._-]*"  # does not start with a dot
KEY = re.compile(rf"{NAME}(/{NAME})*")
TEMPORARY = ".tmp"


@dataclass(frozen=True)
class Written:
    """What a blob holds: its length and the SHA-256 of its bytes, in hexadecimal."""

    bytes: int
    sha256: str


class Blobs:
    """Blobs in the folder `root`. A full disk raises `Unavailable` with code `insufficient_storage`."""

    def __init__(self, root: Path):
        self.root = root
        self.temporary = root / TEMPORARY
        self.temporary.mkdir(parents=True, exist_ok=True)

    def path(self, key: str) -> Path:
        """Where the bytes of `key` lie, or would lie; a key that could lead elsewhere is refused."""
        if not KEY.fullmatch(key):
            raise AfinaError(
                "A blob's key has letters, digits, '.', '_', '-' and '/', and no part starts with '.'"
            )
        return self.root / key

    def write(self, key: str, chunks: Iterable[bytes]) -> Written:
        """Store a blob; when this returns it survives a power cut."""
        with self.writer(key) as writer:
            for chunk in chunks:
                writer.write(chunk)
            return writer.commit()

    def writer(self, key: str) -> "Writer":
        """Store a blob piece by piece: a context in which what is not committed leaves nothing behind."""
        return Writer(self.path(key), self.temporary)

    def join(self, key: str, parts: Sequence[str]) -> None:
        """Make a blob of other blobs' bytes, in this order and not copied; the others can go then."""
        target = self.path(key)
        with room():
            folder = Path(tempfile.mkdtemp(dir=self.temporary))
        try:
            for number, part in enumerate(parts, 1):
                piece = folder / f"{number:05}"
                with missing(part):
                    piece.hardlink_to(self.path(part))
                os.utime(piece)  # young again: its row is about to be written
            sync_folder(folder)
            make_folder(target.parent)
            folder.replace(target)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        sync_folder(target.parent)

    def read(self, key: str, chunk: int = CHUNK) -> Iterator[bytes]:
        """The bytes of a blob in order; a missing one raises `CorruptBlob` here, not at the first piece."""
        path = self.path(key)
        if path.is_dir():
            inner = (f"{key}/{piece.name}" for piece in sorted(path.iterdir()))
            return chain.from_iterable(self.read(piece, chunk) for piece in inner)
        with missing(key):
            return pieces(path.open("rb"), chunk)

    def verify(self, key: str, sha256: str) -> Written:
        """Read a blob to its end; `CorruptBlob` where its bytes are not those with this SHA-256."""
        found = measure(self.read(key))
        if found.sha256 != sha256:
            raise CorruptBlob(f"The stored bytes of {key} are not those that were written. Restore a backup.")
        return found

    def put(self, key: str, file: Path) -> Written:
        """Store a copy of a file."""
        return self.write(key, pieces(file.open("rb"), CHUNK))

    def delete(self, key: str) -> None:
        """Remove a blob; one that is not there is removed already."""
        path = self.path(key)
        if path.is_dir():
            self.delete_joined(path)
        path.unlink(missing_ok=True)
        if path.parent.exists():
            sync_folder(path.parent)

    def delete_joined(self, path: Path) -> None:
        """Take all pieces of a blob away at once; where this breaks off, the sweep goes on with them."""
        aside = Path(tempfile.mkdtemp(dir=self.temporary))
        with suppress(FileNotFoundError):  # somebody else was quicker
            path.replace(aside)
        shutil.rmtree(aside, ignore_errors=True)

    def delete_folder(self, prefix: str) -> None:
        """Remove all blobs below `prefix`, which must name something: nobody means to remove everything."""
        self.path(prefix)
        for key in list(self.below(prefix)):
            self.delete(key)

    def below(self, prefix: str = "") -> Iterator[str]:
        """All keys below `prefix`, or all keys, in order."""
        top = self.path(prefix) if prefix else self.root
        for path in sorted(top.rglob("*")):
            if path.is_file() and not path.is_relative_to(self.temporary):
                yield path.relative_to(self.root).as_posix()

    def age(self, key: str) -> float:
        """Seconds since a blob was written, by this machine's clock."""
        return time.time() - self.path(key).stat().st_mtime

    def sweep(self, older_than: float = 3600.0) -> int:
        """Remove temporary files that nobody touched for `older_than` seconds; returns how many."""
        limit = time.time() - older_than
        swept = 0
        for path in self.temporary.iterdir():
            with suppress(FileNotFoundError):  # its writer has just finished
                if path.stat().st_mtime < limit:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
                    swept += 1
        return swept


class Writer:
    """One blob on its way: bytes go to a temporary file, `commit` makes them the blob."""

    def __init__(self, target: Path, temporary: Path):
        self.target = target
        self.bytes = 0
        self.digest = hashlib.sha256()
        with room():
            handle, name = tempfile.mkstemp(dir=temporary)
        self.file = os.fdopen(handle, "wb")
        self.path = Path(name)

    def write(self, chunk: bytes) -> None:
        """Append bytes."""
        with room():
            self.file.write(chunk)
        self.digest.update(chunk)
        self.bytes += len(chunk)

    def commit(self) -> Written:
        """Make the bytes durable under their key. A sync that fails is not repeated: the file is given up."""
        with room():
            self.file.flush()
            os.fsync(self.file.fileno())
            self.file.close()
            make_folder(self.target.parent)
            self.path.replace(self.target)
            sync_folder(self.target.parent)
        return Written(self.bytes, self.digest.hexdigest())

    def __enter__(self) -> "Writer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # bytes that no longer fit belong to a file that is being given up
            self.file.close()
        self.path.unlink(missing_ok=True)


@contextmanager
def room() -> Generator[None]:
    """A full disk, in this project's words."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise Unavailable(
            "There is no room left in the data directory. Make room on its disk.",
            code="insufficient_storage",
            retry_after=None,
        ) from error


@contextmanager
def missing(key: str) -> Generator[None]:
    """A blob that is not there, in this project's words."""
    try:
        yield
    except FileNotFoundError:
        raise CorruptBlob(f"The stored bytes of {key} are missing. Restore them from a backup.") from None


def pieces(file: BinaryIO, chunk: int) -> Iterator[bytes]:
    """The rest of a file, piece by piece; closes it."""
    with file:
        while piece := file.read(chunk):
            yield piece


def measure(chunks: Iterable[bytes]) -> Written:
    """Length and SHA-256 of bytes."""
    digest, length = hashlib.sha256(), 0
    for chunk in chunks:
        digest.update(chunk)
        length += len(chunk)
    return Written(length, digest.hexdigest())


def make_folder(folder: Path) -> None:
    """Make a folder that survives a power cut, and the folders above it."""
    if folder.exists():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
