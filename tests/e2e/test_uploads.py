"""A large file in parts through a real server: byte for byte, in bounded memory, without a second copy."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from afina_server import Server

PART = 64 * 2**20
PARTS = 16
GROWTH = 100 * 2**20


def resident(pid: int) -> int:
    """Bytes of a process that are in memory now, without those that a file backs."""
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("RssAnon:"))
    return int(line.split()[1]) * 1024


@contextmanager
def watched(pid: int) -> Iterator[list[int]]:
    """The resident bytes of a process, looked at all the time."""
    seen, done = [resident(pid)], threading.Event()

    def look() -> None:
        while not done.wait(0.05):
            seen.append(resident(pid))

    looking = threading.Thread(target=look)
    looking.start()
    yield seen
    done.set()
    looking.join()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_gigabyte_takes_little_memory_and_no_second_copy(tmp_path: Path):
    server = Server(tmp_path, AFINA_WORKERS="0").start()
    try:
        client = server.client()
        (api,) = server.pids("afina.api")
        client.models.list()
        begun = client.uploads.create(
            bytes=PART * PARTS, filename="large.bin", mime_type="text/plain", purpose="user_data"
        )
        digest, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
        parts: list[str] = []
        with watched(api) as seen:
            for number in range(PARTS):
                piece = hashlib.sha256(str(number).encode()).digest() * (PART // 32)
                digest.update(piece)
                md5.update(piece)
                parts.append(client.uploads.parts.create(begun.id, data=piece).id)
            done = client.uploads.complete(begun.id, part_ids=parts, md5=md5.hexdigest())
            assert done.file is not None
            back = hashlib.sha256()
            with client.files.with_streaming_response.content(done.file.id) as reply:
                for chunk in reply.iter_bytes(2**20):
                    back.update(chunk)
        assert back.digest() == digest.digest()
        assert max(seen) - seen[0] <= GROWTH
        blobs = server.data / "blobs"
        stored = sum(path.stat().st_size for path in blobs.rglob("*") if path.is_file())
        assert stored == PART * PARTS
    finally:
        server.kill()
