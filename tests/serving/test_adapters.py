"""The files of tuned models are hashed once, and nobody waits for those of a model that is not asked for."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import afina.base
import whole_models
from afina.blobs import Blobs, Written
from afina.schemas.models import Model
from afina.serving.adapters import Adapters
from afina.serving.bases import BUNDLED, Bases

BASE = Model(id="afina-tiny", created=1, owned_by="us", base="afina-tiny", source=BUNDLED)
LONG = 60.0  # only a failing test waits for it


class Watched(Blobs):
    """Blobs that say when they are about to be hashed."""

    def __init__(self, root: Path):
        super().__init__(root)
        self.hashed: Counter[str] = Counter()
        self.meanwhile: Callable[[str], object] = str

    def verify(self, key: str, sha256: str) -> Written:
        self.hashed[key] += 1
        self.meanwhile(key)
        return super().verify(key, sha256)


@pytest.fixture
def blobs(tmp_path: Path) -> Watched:
    return Watched(tmp_path / "blobs")


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    """What a base speaks with; its weights do not matter here."""
    folder = tmp_path / "speech"
    folder.mkdir()
    for path in afina.base.path().iterdir():
        if path.suffix in (".json", ".jinja"):
            (folder / path.name).write_bytes(path.read_bytes())
    return folder


def test_who_asks_for_a_model_at_once_has_it_hashed_once(blobs, speech):
    model, adapters = whole_models.publish(blobs, speech, "whole"), Adapters(blobs)
    with ThreadPoolExecutor(8) as pool:
        folders = set(pool.map(adapters.folder, [model] * 8))
    assert folders == {blobs.path("models/whole").absolute()}
    assert set(blobs.hashed.values()) == {1}


def test_nobody_waits_while_the_files_of_another_model_are_hashed(blobs, speech):
    one, two = (whole_models.publish(blobs, speech, key) for key in ("one", "two"))
    bases = Bases(Adapters(blobs))
    with ThreadPoolExecutor(1) as others:

        def meanwhile(key: str) -> None:
            if key.startswith(one.folder):
                assert others.submit(bases.get, BASE).result(LONG).name == BASE.id
                assert others.submit(bases.get, two).result(LONG).name == two.id

        blobs.meanwhile = meanwhile
        assert bases.get(one).name == one.id
    assert set(blobs.hashed.values()) == {1}
