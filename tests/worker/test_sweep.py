"""Bytes without a row go, everything else stays."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from afina.blobs import Blobs
from afina.schemas.files import FileObject
from afina.schemas.fine_tuning import FineTuningJob, Supervised, SupervisedHyperparameters, SupervisedMethod
from afina.schemas.models import Model
from afina.store import files, jobs, models, moves, projects
from afina.store.database import Database
from afina.worker.sweep import expire, forget_tokens, sweep


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(f"sqlite:///{tmp_path / 'afina.db'}")
    opened.upgrade()
    with opened.system() as system:
        projects.create_first(system, "sk-test")
    yield opened
    opened.close()


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")


def keep_file(
    database: Database, blobs: Blobs, name: str = "file-kept", expires_at: int | None = None
) -> FileObject:
    written = blobs.write(f"files/{name}", [b"kept"])
    file = FileObject(
        id=name,
        bytes=written.bytes,
        created_at=1,
        expires_at=expires_at,
        filename="kept.jsonl",
        purpose="fine-tune",
        sha256=written.sha256,
    )
    with database.system(read=True) as system:
        project = projects.every(system)[0].id
    with database.scope(project) as scope:
        return files.insert(scope, file)


def keep_model(database: Database, blobs: Blobs, name: str) -> Model:
    blobs.write(f"models/{name}/manifest.json", [b"{}"])
    model = Model(id=f"ft:{name}", created=1, owned_by="org", kind="tuned", base="b", key=name)
    with database.system(read=True) as system:
        project = projects.every(system)[0].id
    with database.scope(project) as scope:
        return models.insert(scope, model)


def test_only_what_has_no_row_goes(database: Database, blobs: Blobs) -> None:
    file, model = keep_file(database, blobs), keep_model(database, blobs, "model-kept")
    blobs.write("files/file-orphan", [b"x"])
    blobs.write("models/model-orphan/adapter_model.safetensors", [b"x"])
    blobs.write("models/model-orphan/manifest.json", [b"x"])
    assert sweep(database, blobs, grace_seconds=0) == 3
    assert set(blobs.below()) == {file.blob, f"{model.folder}/manifest.json"}


def test_young_bytes_may_still_get_their_row(database: Database, blobs: Blobs) -> None:
    blobs.write("files/file-young", [b"x"])
    assert sweep(database, blobs) == 0
    assert list(blobs.below()) == ["files/file-young"]


def test_the_bytes_of_a_deleted_model_go(database: Database, blobs: Blobs) -> None:
    model = keep_model(database, blobs, "model-deleted")
    with database.system(read=True) as system:
        project = projects.every(system)[0].id
    with database.scope(project) as scope:
        models.delete(scope, model.id)
    assert sweep(database, blobs, grace_seconds=0) == 1
    assert list(blobs.below()) == []


def test_an_upload_that_broke_off_leaves_nothing(database: Database, blobs: Blobs) -> None:
    writer = blobs.writer("files/file-broken-off")
    writer.write(b"half")
    writer.file.close()  # and the process was killed
    assert sweep(database, blobs, grace_seconds=0) == 1
    assert list(blobs.temporary.iterdir()) == []


def test_a_file_goes_when_its_time_is_over(database: Database, blobs: Blobs) -> None:
    keep_file(database, blobs)
    keep_file(database, blobs, "file-later", expires_at=2**40)
    keep_file(database, blobs, "file-over", expires_at=2)
    assert expire(database, blobs) == 1
    assert list(blobs.below("files")) == ["files/file-kept", "files/file-later"]
    assert expire(database, blobs) == 0


@pytest.mark.parametrize("ended", [False, True])
def test_a_file_stays_as_long_as_a_job_needs_it(database: Database, blobs: Blobs, ended: bool) -> None:
    file = keep_file(database, blobs, expires_at=2)
    numbers = SupervisedHyperparameters()
    job = FineTuningJob(
        id="ftjob-needs",
        created_at=1,
        model="b",
        organization_id="org",
        status="validating_files",
        training_file=file.id,
        seed=1,
        hyperparameters=numbers,
        method=SupervisedMethod(type="supervised", supervised=Supervised(hyperparameters=numbers)),
    )
    with database.scope(file.project_id) as scope:
        jobs.insert(scope, job)
        if ended:
            moves.move(scope, job.id, "cancelled", fence=None, event="The job has been cancelled")
    assert expire(database, blobs) == ended


def test_what_was_rendered_from_a_deleted_file_goes(database: Database, blobs: Blobs, tmp_path: Path) -> None:
    kept = keep_file(database, blobs)
    for name in (kept.id, "file-deleted"):
        (tmp_path / "tokens" / name).mkdir(parents=True)
        (tmp_path / "tokens" / name / "x.safetensors").write_bytes(b"what a patient said")
    assert forget_tokens(database, tmp_path / "tokens") == 1
    assert [folder.name for folder in (tmp_path / "tokens").iterdir()] == [kept.id]
