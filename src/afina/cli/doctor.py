"""What this machine has, line by line: fine, worth knowing, or in the way."""

import os
import platform
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from afina.cli.output import size
from afina.settings import Settings, multiplies_bf16
from afina.store.database import WAL_IS_SAFE

GIB = 1024**3


@dataclass(frozen=True)
class Seen:
    """One line of the report; `cure` only where something is to be done."""

    name: str
    level: Literal["ok", "warn", "bad"]
    found: str
    cure: str = ""


def examine(settings: Settings) -> Iterator[Seen]:
    """Every check, the cheap ones first."""
    yield python()
    yield memory()
    yield disk(settings.data)
    yield sqlite()
    if settings.database_url.startswith("postgres"):
        yield postgresql(settings.database_url)
    yield port(settings.host, settings.port)
    yield bubblewrap()
    yield from torch(settings)


def python() -> Seen:
    """The interpreter: 3.11 is the least."""
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    return Seen("python", "ok" if sys.version_info >= (3, 11) else "bad", found)


def memory() -> Seen:
    """What an engine and its runs could use now."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return Seen("memory", "warn", "unknown on this system", "leave 2 GB free")
    kib = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    free = kib["MemAvailable"] * 1024
    cure = "" if free >= 2 * GIB else "close something: the tiny base alone needs 1 GB, others more"
    return Seen(
        "memory", "warn" if cure else "ok", f"{size(free)} of {size(kib['MemTotal'] * 1024)} free", cure
    )


def disk(data: Path) -> Seen:
    """Room for what is uploaded and trained, where the data directory is or will be."""
    place = next(folder for folder in (data.absolute(), *data.absolute().parents) if folder.exists())
    free = shutil.disk_usage(place).free
    if not os.access(place, os.W_OK):
        return Seen("disk", "bad", f"{place} cannot be written", "choose another place with --data")
    cure = "" if free >= 2 * GIB else "free some room, or choose another place with --data"
    return Seen("disk", "warn" if cure else "ok", f"{size(free)} free at {place}", cure)


def sqlite() -> Seen:
    """The version decides on the journal: both are safe, the newer lets readers and a writer work at once."""
    journal = "write-ahead log" if sqlite3.sqlite_version_info >= WAL_IS_SAFE else "rollback journal"
    return Seen("sqlite", "ok", f"{sqlite3.sqlite_version}: {journal}")


def postgresql(url: str) -> Seen:
    """Whether the configured database lets us in."""
    try:
        import psycopg
    except ImportError:
        return Seen("postgresql", "bad", "psycopg is not installed", "pip install 'afina[postgres]'")
    try:
        address = "postgresql://" + url.split("://", 1)[-1]
        with psycopg.connect(address, connect_timeout=5) as connection:
            return Seen("postgresql", "ok", f"version {connection.info.server_version // 10000}")
    except psycopg.Error as error:
        said = str(error).strip().splitlines()[:1] or ["no reply"]
        return Seen("postgresql", "bad", said[0], "check AFINA_DATABASE_URL and that the server runs")


def port(host: str, number: int) -> Seen:
    """Whether a server could listen."""
    try:
        require_free(host, number)
    except OSError as error:
        cure = "end what uses it, or choose another with --port"
        return Seen("port", "warn", f"{host}:{number}: {error.strerror}", cure)
    return Seen("port", "ok", f"{host}:{number} is free")


def require_free(host: str, number: int) -> None:
    """Listen for a moment as the server would; `OSError` when that is not possible."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        attempt.bind((host, number))


def bubblewrap() -> Seen:
    """The boundary around graders written in Python: without it they do not run."""
    if (found := shutil.which("bwrap")) is not None:
        return Seen("bubblewrap", "ok", found)
    return Seen("bubblewrap", "warn", "not found", "install bubblewrap, if you want Python graders")


def torch(settings: Settings) -> Iterator[Seen]:
    """The engine's ground: its library, cores, and where bf16 is fast. Asked in a process of its own."""
    look = (
        "import torch; print(torch.__version__, torch.cuda.is_available() and torch.cuda.get_device_name(0))"
    )
    reply = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=False)
    if reply.returncode != 0:
        said = reply.stderr.strip().splitlines()[-1:] or ["it cannot be imported"]
        yield Seen("torch", "bad", said[0], "install it again: make setup")
        return
    version, gpu = reply.stdout.strip().split(" ", 1)
    yield Seen("torch", "ok", version)
    yield Seen("gpu", "ok", "none: small models train on the CPU" if gpu == "False" else gpu)
    cores, threads = os.cpu_count() or 1, settings.engine_threads
    cure = f"set AFINA_THREADS to {cores} or less" if threads > cores else ""
    yield Seen("threads", "warn" if cure else "ok", f"{threads} of {cores} cores for one engine", cure)
    yield Seen(
        "bf16", "ok", "fast on this CPU" if multiplies_bf16() else "slow on this CPU: float32 is used there"
    )
