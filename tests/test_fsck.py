"""Each corruption, planted by hand, is found; and a life without faults has no findings."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from afina import ids
from afina.blobs import Blobs
from afina.errors import InvalidRequest
from afina.fsck import check
from afina.schemas.files import FileObject
from afina.schemas.fine_tuning import FineTuningJob, SupervisedHyperparameters, SupervisedMethod
from afina.schemas.models import Manifest, Model
from afina.store import events, files, jobs, models, moves, projects, work
from afina.store.database import Database
from afina.store.events import NewEvent
from afina.store.scope import Scope


class Installation:
    """A database and blobs in which one job has succeeded, one was cancelled and one is running."""

    def __init__(self, folder: Path):
        self.database = Database(f"sqlite:///{folder / 'afina.db'}")
        self.blobs = Blobs(folder / "blobs")
        self.database.upgrade()
        with self.database.system() as system:
            projects.create_first(system, "sk-first")
            self.project = projects.every(system)[0].id
        with self.database.scope(self.project) as scope:
            self.file = self.upload(scope)
            self.succeeded, self.cancelled, self.running = (self.create(scope) for _ in range(3))
        self.claims = [self.claim() for _ in range(3)]
        self.start()
        self.model = self.publish()

    def upload(self, scope: Scope) -> FileObject:
        id = ids.file_id()
        written = self.blobs.write(f"files/{id}", [b"{}\n"])
        file = FileObject(
            id=id,
            created_at=1,
            filename="a.jsonl",
            purpose="fine-tune",
            bytes=written.bytes,
            sha256=written.sha256,
        )
        return files.insert(scope, file)

    def create(self, scope: Scope) -> str:
        job = FineTuningJob(
            id=ids.job_id(),
            created_at=1,
            model="afina-tiny",
            organization_id=scope.organization_id,
            status="validating_files",
            training_file=self.file.id,
            seed=1,
            hyperparameters=SupervisedHyperparameters(),
            method=SupervisedMethod(type="supervised"),
        )
        jobs.insert(scope, job)
        events.append(scope, job.id, [NewEvent("created")], fence=None)
        work.enqueue(scope, job.id, "train")
        return job.id

    def claim(self) -> work.Claim:
        with self.database.system() as system:
            claim = work.claim(system, "w", ["train"], lease_seconds=3600.0)
        assert claim
        return claim

    def start(self) -> None:
        with self.database.scope(self.project) as scope:
            for claim in self.claims:
                moves.move(scope, claim.subject, "queued", fence=claim.fence, event="queued")
                moves.move(scope, claim.subject, "running", fence=claim.fence, event="running")
            moves.move(scope, self.cancelled, "cancelled", fence=None, event="cancelled")

    def publish(self) -> Model:
        name, key = ids.tuned_model_name("afina-tiny", "personal", None), ids.random_text(8)
        weights = self.blobs.write(f"models/{key}/adapter_model.safetensors", [b"weights"])
        manifest = Manifest(
            model=name,
            base="afina-tiny",
            base_sha256="0" * 64,
            job=self.succeeded,
            files={"adapter_model.safetensors": weights.sha256},
            training_file_sha256=self.file.sha256,
            validation_file_sha256=None,
            seed=1,
            spec={},
            versions={},
        )
        sealed = self.blobs.write(f"models/{key}/manifest.json", [manifest.model_dump_json().encode()])
        model = Model(
            id=name,
            created=1,
            owned_by="personal",
            kind="tuned",
            base="afina-tiny",
            key=key,
            manifest_sha256=sealed.sha256,
            job_id=self.succeeded,
        )
        fence = next(claim.fence for claim in self.claims if claim.subject == self.succeeded)
        with self.database.scope(self.project) as scope:
            moves.move(
                scope,
                self.succeeded,
                "succeeded",
                fence=fence,
                event="done",
                changes={"fine_tuned_model": name},
            )
            return models.insert(scope, model)

    def plant(self, statement: str, **values: object) -> None:
        """Write around the server; a corruption that changes no row would prove nothing."""
        with self.database.transaction(write=True) as connection:
            assert connection.execute(text(statement), values).rowcount > 0

    def found(self, grace_seconds: float = 0.0) -> set[tuple[str, str]]:
        findings = check(self.database, self.blobs, grace_seconds=grace_seconds)
        assert all(finding.detail and finding.cure for finding in findings)
        return {(finding.invariant, finding.subject) for finding in findings}


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    made = Installation(tmp_path)
    yield made
    made.database.close()


def test_a_life_without_faults_has_no_findings(installation: Installation):
    assert installation.found() == set()


def test_a_model_whose_base_was_deleted_is_found(installation: Installation):
    """One that was tuned as a whole is its own base; the server does not delete it while others need it."""
    whole, beside = installation.model.id, "ft:afina-tiny:personal::beside00"
    installation.plant("UPDATE models SET base = id WHERE id = :id", id=whole)
    assert installation.found() == set()
    row = installation.model.model_copy(update={"id": beside, "base": whole, "key": "other"})
    with installation.database.scope(installation.project) as scope:
        models.insert(scope, row)
        with pytest.raises(InvalidRequest, match="the base of 1 tuned models") as error:
            models.delete(scope, whole)
    assert error.value.code == "model_in_use"
    installation.plant("UPDATE models SET status = 'deleted' WHERE id = :id", id=whole)
    assert ("I5", beside) in installation.found()


def test_an_empty_installation_has_no_findings(tmp_path: Path):
    database = Database(f"sqlite:///{tmp_path / 'afina.db'}")
    database.upgrade()
    assert check(database, Blobs(tmp_path / "blobs")) == []
    database.close()


def test_work_of_a_job_that_has_ended(installation: Installation):
    with installation.database.scope(installation.project) as scope:
        work.enqueue(scope, installation.cancelled, "train")
    assert installation.found() == {("I1", installation.cancelled)}


def test_a_job_that_nobody_will_go_on_with(installation: Installation):
    installation.plant("DELETE FROM work WHERE subject = :job", job=installation.running)
    assert installation.found() == {("I1", installation.running)}


def test_a_paused_job_needs_no_work(installation: Installation):
    with installation.database.scope(installation.project) as scope:
        moves.move(scope, installation.running, "paused", fence=None, event="paused")
    assert installation.found() == set()


def test_a_lease_that_nobody_owns(installation: Installation):
    installation.plant("UPDATE work SET lease_owner = NULL")
    assert installation.found() == {("I1", installation.running)}


def test_a_final_status_that_changed(installation: Installation):
    installation.plant("UPDATE jobs SET status = 'running' WHERE id = :job", job=installation.cancelled)
    assert installation.found() == {("I3", installation.cancelled), ("I1", installation.cancelled)}


def test_a_move_after_the_end(installation: Installation):
    installation.plant(
        "INSERT INTO audit (id, project_id, at, actor, action, subject, detail) "
        "SELECT 'audit_x', project_id, at, actor, action, subject, :detail FROM audit "
        "WHERE subject = :job AND action = 'fine_tuning.job.moved' LIMIT 1",
        job=installation.cancelled,
        detail='{"from": "cancelled", "to": "cancelled"}',
    )
    assert installation.found() == {("I2", installation.cancelled)}


def test_a_move_that_was_skipped(installation: Installation):
    installation.plant(
        'DELETE FROM audit WHERE subject = :job AND detail LIKE \'%"to": "queued"%\'',
        job=installation.running,
    )
    assert installation.found() == {("I3", installation.running)}


def test_a_job_without_a_history(installation: Installation):
    installation.plant("DELETE FROM audit WHERE subject = :job", job=installation.running)
    assert installation.found() == {("I3", installation.running)}


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_gap_in_the_events(installation: Installation, number: int):
    """Of three events the first, the second or the third is gone; the last one leaves no gap."""
    installation.plant(
        "DELETE FROM job_events WHERE job_id = :job AND number = :number",
        job=installation.running,
        number=number,
    )
    assert installation.found() == (set() if number == 3 else {("I4", installation.running)})


def test_an_event_that_is_older_than_the_one_before(installation: Installation):
    installation.plant(
        "UPDATE job_events SET created_at = 5 WHERE job_id = :job AND number = 2", job=installation.running
    )
    assert installation.found() == {("I4", installation.running)}


def test_a_model_without_success_and_success_without_a_model(installation: Installation):
    installation.plant(
        "UPDATE jobs SET fine_tuned_model = 'ft:x' WHERE id = :job", job=installation.cancelled
    )
    installation.plant("UPDATE jobs SET fine_tuned_model = NULL WHERE id = :job", job=installation.succeeded)
    assert installation.found() == {("I5", installation.cancelled), ("I5", installation.succeeded)}


def test_a_model_of_another_job(installation: Installation):
    installation.plant("UPDATE models SET job_id = :job", job=installation.cancelled)
    assert installation.found() == {("I5", installation.succeeded), ("I5", installation.model.id)}


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "manifest.json"])
def test_a_models_files_that_changed_or_are_gone(installation: Installation, name: str):
    path = installation.blobs.path(f"{installation.model.folder}/{name}")
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert installation.found() == {("I5", installation.model.id)}
    path.unlink()
    assert installation.found() == {("I5", installation.model.id)}


def test_a_manifest_that_is_none(installation: Installation):
    path = installation.blobs.path(f"{installation.model.folder}/manifest.json")
    path.write_bytes(b"{}")
    installation.plant(
        "UPDATE models SET manifest_sha256 = :sha256", sha256=hashlib.sha256(b"{}").hexdigest()
    )
    assert installation.found() == {("I5", installation.model.id)}


def test_the_files_of_a_deleted_model_are_nobodys_concern(installation: Installation):
    with installation.database.scope(installation.project) as scope:
        models.delete(scope, installation.model.id)
    assert installation.found() == set()
    installation.blobs.delete_folder(installation.model.folder)
    assert installation.found() == set()


@pytest.mark.parametrize("change", ["flip", "truncate", "bytes", "sha256"])
def test_an_upload_whose_bytes_are_not_its_own(installation: Installation, change: str):
    path = installation.blobs.path(installation.file.blob)
    match change:
        case "flip":
            path.write_bytes(b"[}\n")
        case "truncate":
            path.write_bytes(b"{}")
        case "bytes":
            installation.plant("UPDATE files SET bytes = bytes + 1")
        case _:
            installation.plant("UPDATE files SET sha256 = ''")
    assert installation.found() == {("I6", installation.file.id)}


def test_a_row_without_bytes(installation: Installation):
    installation.blobs.path(installation.file.blob).unlink()
    assert installation.found() == {("I7", installation.file.id)}


def test_bytes_without_a_row_unless_they_are_young(installation: Installation):
    for key in ("files/file-nobodys", "models/nobodys/weights", "elsewhere"):
        installation.blobs.write(key, [b"x"])
    assert installation.found(grace_seconds=3600.0) == set()
    os.utime(installation.blobs.path("elsewhere"), (0, 0))
    assert installation.found(grace_seconds=3600.0) == {("I7", "elsewhere")}
    assert len(installation.found()) == 3


def test_a_writer_at_work_is_no_finding(installation: Installation):
    with installation.blobs.writer("files/file-new") as writer:
        writer.write(b"half")
        assert installation.found() == set()
