"""Runs a python grader behind a boundary: bubblewrap, a filter of system calls, and limits. No boundary, no run.

The grader sees Python and its packages, which it cannot write to, a /tmp of its own, its order, and nothing else: no
network, no /proc, no environment, no other process. It is one process with one thread, and it ends with this one.
"""

import asyncio
import json
import math
import os
import secrets
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path

from pydantic import BaseModel, JsonValue, ValidationError

from afina.graders import inside, seccomp
from afina.graders.errors import GradingFailed, unavailable
from afina.schemas.graders import GraderErrors

MIB = 1024 * 1024
MOST_OUTPUT = 64 * 1024
NOBODY = "65534"
PACKAGES = "/grader/packages"  # wherever they are outside, which may be below our own /tmp
# The /tmp of a grader is made first, because only `mount` can bound how many files it holds.
WITH_TMP = (
    'mount -t tmpfs -o size="$1",nr_inodes="$2",mode=1777,nosuid,nodev none "$0" && shift 2 && exec "$@"'
)


@dataclass(frozen=True)
class Limits:
    """What one grade may take: seconds of time, bytes of memory and of disk, a number of files."""

    seconds: float = 120
    memory: int = 2048 * MIB
    disk: int = 64 * MIB
    files: int = 4096

    def inside(self) -> dict[str, int]:
        """The kernel's limits, by the names of Python's `resource`."""
        return {
            "AS": self.memory,
            "CPU": math.ceil(self.seconds) + 1,
            "FSIZE": self.disk,
            "NOFILE": 64,
            "CORE": 0,
            "MEMLOCK": 0,
        }


class Sandbox:
    """Grades, a few at a time; the others wait."""

    def __init__(self, limits: Limits | None = None, *, places: int = 0):
        self.limits = limits or Limits()
        self.places = asyncio.Semaphore(places or 2 * (os.cpu_count() or 1))

    async def grade(
        self, source: str, sample: Mapping[str, JsonValue], item: Mapping[str, JsonValue]
    ) -> float:
        """What `grade(sample, item)` returns; GradingFailed where that is no finite number.

        Raises InvalidRequest `grader_unavailable` where there is no boundary.
        """
        await asyncio.to_thread(require)
        order = Order(source, dict(sample), dict(item), packages=[PACKAGES])
        async with self.places:
            return await run(order, self.limits)


@dataclass(frozen=True)
class Order:
    """What goes in; an answer counts if it knows the nonce."""

    source: str
    sample: dict[str, JsonValue]
    item: dict[str, JsonValue]
    packages: list[str] = field(default_factory=list[str])
    nonce: str = field(default_factory=lambda: secrets.token_hex(16))

    def written(self, limits: Limits) -> bytes:
        """As `inside.py` reads it."""
        return json.dumps({**asdict(self), "limits": limits.inside()}).encode()


async def run(order: Order, limits: Limits) -> float:
    """The reward; GradingFailed where there is none, or the time is over."""
    with boundary(limits) as (command, filters):
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=(filters,),
            env={"PATH": os.environ.get("PATH", "")},
        )
        assert process.stdin is not None and process.stdout is not None
        try:
            async with asyncio.timeout(limits.seconds):
                _, said = await asyncio.gather(
                    give(process.stdin, order.written(limits)), take(process.stdout)
                )
                return reward(await process.wait(), said, order.nonce)
        except TimeoutError:
            raise failed(f"timed out after {limits.seconds:g} s") from None
        finally:
            if process.returncode is None:
                process.kill()  # the sandbox dies with bubblewrap, and all that is in it
            while await process.stdout.read(MOST_OUTPUT):
                pass  # `wait` waits for the end of the pipe, too
            await process.wait()


async def give(stdin: asyncio.StreamWriter, order: bytes) -> None:
    """Hand the order in; whoever does not want to read it says nothing either."""
    stdin.write(order)
    with suppress(BrokenPipeError, ConnectionResetError):
        await stdin.drain()
    stdin.close()


async def take(stdout: asyncio.StreamReader) -> bytes:
    """An answer of a bounded length; what goes on beyond it is none."""
    said = b""
    while part := await stdout.read(MOST_OUTPUT):
        said += part
        if len(said) > MOST_OUTPUT:
            raise failed(f"said more than {MOST_OUTPUT} bytes in the place of a reward")
    return said


class Answer(BaseModel, strict=True, allow_inf_nan=False, extra="forbid"):
    """What comes out: a reward, or an error in words."""

    nonce: str
    reward: float | None = None
    error: str | None = None


def reward(status: int, said: bytes, nonce: str) -> float:
    """The number in an answer that carries the nonce of its order, on a line behind that nonce."""
    begun, _, last = said.partition(b"\n")
    if begun != nonce.encode():
        flags = GraderErrors(python_grader_server_error=True, python_grader_server_error_type="sandbox_start")
        raise GradingFailed(f"the sandbox did not start, status {status}", flags)
    try:
        answer = Answer.model_validate_json(last)
    except ValidationError:
        answer = None
    if answer is None or answer.nonce != nonce:
        raise failed(f"ended without a reward, with status {status}")
    if answer.reward is None:
        raise failed(answer.error or "ended without a reward")
    return answer.reward


def failed(details: str) -> GradingFailed:
    """The grader's own fault."""
    flags = GraderErrors(python_grader_runtime_error=True, python_grader_runtime_error_details=details)
    return GradingFailed(details, flags)


def require() -> None:
    """400 `grader_unavailable` where no boundary can be put around a grader."""
    if reason := missing():
        raise unavailable(f"python graders run behind a boundary only, and {reason}")


def missing() -> str | None:
    """Why there is no boundary here; None where there is one."""
    for program in ("bwrap", "unshare", "mount"):
        if shutil.which(program) is None:
            return f"the program `{program}` is not installed; its operator can install bubblewrap and util-linux"
    if not seccomp.supported():
        return "its processor is neither x86_64 nor aarch64"
    try:
        return None if holds() else "the one that bubblewrap makes here does not hold"
    except GradingFailed:
        return "this system does not let bubblewrap make one (it needs user namespaces)"


PROBE = """
import os, socket
def grade(sample, item):
    for attempt in (os.fork, socket.socket):
        try:
            attempt()
        except PermissionError:
            continue
        return 0.0
    return 1.0
"""


@cache
def holds() -> bool:
    """Whether a grader inside can compute, and can neither fork nor reach a network: tried until it has worked once.

    Raises GradingFailed where nothing starts.
    """
    return asyncio.run(run(Order(PROBE, {}, {}), Limits(seconds=30))) == 1.0


@contextmanager
def boundary(limits: Limits) -> Generator[tuple[list[str], int]]:
    """The command that runs `inside.py` within a boundary, and the descriptor of its filter."""
    filters = os.memfd_create("seccomp")
    try:
        os.write(filters, seccomp.program())
        os.lseek(filters, 0, os.SEEK_SET)
        with tempfile.TemporaryDirectory(prefix="afina-grader-") as place:
            first = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", WITH_TMP, place]
            first += [str(limits.disk), str(limits.files)]
            yield [*first, *bubblewrap(place, filters), *python()], filters
    finally:
        os.close(filters)


def bubblewrap(place: str, filters: int) -> list[str]:
    """Nothing is shared, everything is read-only but `place`, which is the grader's /tmp."""
    shown = [part for path in runtime() for part in ("--ro-bind", path, path)]
    return [
        *[
            "bwrap",
            "--unshare-all",
            "--unshare-user",
            "--uid",
            NOBODY,
            "--gid",
            NOBODY,
            "--hostname",
            "grader",
        ],
        *["--die-with-parent", "--new-session", "--cap-drop", "ALL", "--seccomp", str(filters)],
        *["--clearenv", "--setenv", "LC_ALL", "C.UTF-8", "--setenv", "HOME", "/tmp"],
        *["--setenv", "LD_LIBRARY_PATH", f"{sys.base_prefix}/lib"],
        *[part for name in ("OMP", "OPENBLAS", "MKL") for part in ("--setenv", f"{name}_NUM_THREADS", "1")],
        *shown,
        *["--ro-bind", sysconfig.get_path("platlib"), PACKAGES],
        *["--ro-bind", str(Path(inside.__file__).resolve()), "/grader/inside.py"],
        *["--dir", "/dev", "--dev-bind", "/dev/null", "/dev/null"],
        *["--bind", place, "/tmp", "--chdir", "/tmp", "--remount-ro", "/"],
    ]


def python() -> list[str]:
    """Isolated from the environment, from `site` and its .pth files, and from files of bytecode."""
    return [interpreter(), "-I", "-S", "-B", "-X", "utf8", "/grader/inside.py"]


def interpreter() -> str:
    """The Python behind the virtual environment."""
    return os.path.realpath(sys.executable)


@cache
def runtime() -> list[str]:
    """The folders and files that this Python is made of."""
    wanted = [
        "/lib",
        "/lib64",
        "/usr/lib",
        "/usr/lib64",
        f"{sys.base_prefix}/lib",
        f"{sys.base_prefix}/lib64",
    ]
    return sorted({path for path in [*wanted, interpreter()] if os.path.exists(path)})
