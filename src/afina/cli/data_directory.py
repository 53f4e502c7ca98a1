"""The data directory belongs to one process at a time, by a lock that ends with the process that holds it."""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from afina.cli.output import CommandFailed

LOCK = "serve.lock"


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
