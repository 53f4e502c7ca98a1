"""The data directory belongs to one process at a time, by a lock that ends with the process that holds it."""

import fcntl
import os
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from afina.cli.output import CommandFailed

LOCK = "serve.lock"
NAME = "serve.name"


@contextmanager
def exclusively(data: Path) -> Generator[None]:
    """Hold the directory, made if it is not there; refused while another process holds it."""
    try:
        data.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(data / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        message = f"the data directory {data} cannot be used: {error.strerror}"
        raise CommandFailed(message, cure="choose another with --data") from error
    try:
        hold(descriptor, data)
        yield
    finally:
        os.close(descriptor)


def hold(descriptor: int, data: Path) -> None:
    """Take the lock at once or not at all, and leave our process id for whoever comes next."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
        message = f"the data directory {data} is being served (process {holder})"
        raise CommandFailed(message, cure="stop that server first, or choose another directory") from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)


def name_of(data: Path) -> str:
    """The directory's own name, equal at every start: by it, rows tell whose processes held them."""
    path = data / NAME
    if not path.exists():
        path.write_text(secrets.token_hex(8))
    return path.read_text()
