"""A base is what was registered, or nothing is trained on it."""

import shutil
from collections import Counter
from pathlib import Path

import pytest

import whole_models
from afina.blobs import Written
from afina.errors import RunFailed
from afina.schemas.models import Model
from afina.store import models
from afina.training.bases import Base, folder_sha256
from afina.worker import bases, validate
from afina.worker.context import Hold


@pytest.fixture
def own(rooms, base, tmp_path):
    """A base in a folder of the test's own, with its hash on record."""
    folder = Path(shutil.copytree(base, tmp_path / "own"))
    model = Model(
        id="own",
        created=1,
        owned_by="us",
        base="own",
        source=str(folder),
        manifest_sha256=folder_sha256(folder),
    )
    with rooms.database.system() as system:
        models.register(system, model)
    return folder


def test_files_as_they_were(context, own):
    assert bases.find(context, "own").folder == own
    assert bases.folder(context, "own") == own


def test_files_that_have_changed_fail_the_job(rooms, context, own):
    path = own / "chat_template.jinja"
    path.write_text(path.read_text() + " ")
    job = rooms.submit(model="own")
    validate.validate(context, Hold(rooms.claim()))
    error = rooms.job(job.id).error
    assert error.code == "base_model_changed"
    assert "not those that were registered" in error.message
    assert str(own) not in error.message


def test_files_that_are_gone_fail_the_job(context, own):
    shutil.rmtree(own)
    with pytest.raises(RunFailed, match="cannot be read") as failed:
        bases.find(context, "own")
    assert failed.value.code == "base_model_changed"


def test_a_name_that_is_no_base(context):
    with pytest.raises(RunFailed) as failed:
        bases.folder(context, "nobody")
    assert failed.value.code == "model_not_found"


def test_the_thinking_mode_decides_the_tokens(own):
    plain = Base.read("own", own)
    assert Base.read("own", own, options={"enable_thinking": False}).speech != plain.speech == plain.sha256


def test_the_stored_hash_spares_the_reading(own):
    assert Base.read("own", own, sha256="known").sha256 == "known"


def test_the_weights_of_a_model_that_was_tuned_as_a_whole_are_hashed_once(rooms, context, base, monkeypatch):
    model = whole_models.publish(rooms.blobs, base, "whole")
    with rooms.database.scope(rooms.project) as scope:
        models.insert(scope, model)
    hashed: Counter[str] = Counter()
    verify = rooms.blobs.verify

    def watched(key: str, sha256: str) -> Written:
        hashed[key] += 1
        return verify(key, sha256)

    monkeypatch.setattr(rooms.blobs, "verify", watched)
    found = bases.find(context, model.id)
    assert (bases.find(context, model.id), bases.folder(context, model.id)) == (found, found.folder)
    assert hashed[f"{model.folder}/model.safetensors"] == 1
    assert set(hashed.values()) == {1}
