"""Our leg of `data`: what a job does with its file before it is trained."""

import hashlib
import shutil
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

import afina.base
from afina.blobs import Blobs
from afina.data.tokens import TokenFile
from afina.schemas.files import FileObject
from afina.training import datasets
from afina.training.bases import Base
from afina.training.datasets import Source
from bench.data import Preparation, Prepared
from bench.legs import peak_bytes
from bench.rows import tokens_of

LEAST = 0.5  # seconds of a turn, so that the machine's meters can tell who else was there


def ours(connection: Connection, given: Preparation) -> None:
    """A leg that prepares the file: `cold` without a cache, `again` with it, `digest` to be compared."""
    blobs, cache = Blobs(given.folder / "blobs"), given.folder / "tokens"
    source = stored(blobs, given.file)
    connection.send("ready")
    while (request := connection.recv()) is not None:
        if request != "again":
            shutil.rmtree(cache, ignore_errors=True)
        count, begun = 0, time.perf_counter()
        while not count or (request == "again" and time.perf_counter() - begun < LEAST):
            made = datasets.sound(source, blobs, cache)
            count += 1
        seconds = (time.perf_counter() - begun) / count
        digest = digest_of(made.path) if request == "digest" else ""
        connection.send(Prepared(seconds, made.stats.rows, made.stats.tokens, digest, peak_bytes()))


def stored(blobs: Blobs, file: Path) -> Source:
    """The file as it lies there after its upload."""
    key = "files/file-bench"
    written = blobs.put(key, file)
    uploaded = FileObject(
        id="file-bench",
        bytes=written.bytes,
        created_at=0,
        filename=file.name,
        purpose="fine-tune",
        sha256=written.sha256,
    )
    base = Base.read(afina.base.NAME, afina.base.path())
    assert uploaded.blob == key
    return Source(uploaded, "training", base, max_length=base.max_length(None))


def digest_of(path: Path) -> str:
    """Of all ids and of what is supervised, row by row."""
    data, digest = TokenFile.open(path), hashlib.sha256()
    for row in range(len(data)):
        seen = tokens_of(data, [row])
        digest.update(seen.ids.astype(np.int32).tobytes() + seen.supervised.astype(np.uint8).tobytes())
    return digest.hexdigest()
