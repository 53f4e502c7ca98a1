"""Does what is stored keep the promises? One finding for each one that is broken; nothing is changed.

Rows are read before bytes: what somebody deletes between the two is reported as missing.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from pydantic import ValidationError

from afina.blobs import Blobs, Written, measure
from afina.errors import CorruptBlob
from afina.schemas.files import FileObject
from afina.schemas.fine_tuning import FINAL, FineTuningJob
from afina.schemas.models import Manifest, Model
from afina.store.database import Database
from afina.store.moves import LEGAL
from afina.store.survey import Survey, survey

GRACE_SECONDS = 3600.0  # a blob comes before its row, so a young one may still get it
MANIFEST = "manifest.json"
WRITTEN_AROUND = "something other than the server has written to the database: restore a backup"
RESTART_UPLOAD = "cancel the upload and send its parts again"
RESTORE_FILE = "restore the blob from a backup, or delete the file and upload it again"
LEGAL_NAMES: Mapping[str, frozenset[str]] = {before: frozenset(after) for before, after in LEGAL.items()}


@dataclass(frozen=True)
class Finding:
    """A broken promise: which one, of what, in what way, and what mends it."""

    invariant: str
    subject: str
    detail: str
    cure: str


def check(database: Database, blobs: Blobs, *, grace_seconds: float = GRACE_SECONDS) -> list[Finding]:
    """All findings, in the order of the invariants."""
    with database.system(read=True) as system:
        seen = survey(system)
    return [
        *check_work(seen),
        *check_histories(seen),
        *check_events(seen),
        *check_outcomes(seen, blobs),
        *check_files(seen, blobs),
        *check_uploads(seen, blobs),
        *check_orphans(seen, blobs, grace_seconds),
    ]


def check_work(seen: Survey) -> Iterator[Finding]:
    """I1: one piece of work for what goes on, none for what has ended, and a lease has an owner."""
    queued = Counter(item.subject for item in seen.work)
    for job in seen.jobs:
        wanted = 0 if job.status in FINAL else 1
        if queued[job.id] > wanted:
            detail = f"a job that is {job.status} has {queued[job.id]} rows in the queue"
            yield Finding("I1", job.id, detail, "delete the rows of the table work with this subject")
        if queued[job.id] < wanted and job.status != "paused":
            detail = f"a job that is {job.status} is not in the queue, so nobody will go on with it"
            yield Finding("I1", job.id, detail, "cancel the job and create it again")
    for one in seen.asked:
        if queued[one.id] != one.open:
            cure = "cancel it and create it again" if one.open else "delete its rows of the table work"
            detail = f"it is {one.status}, and has {queued[one.id]} rows in the queue"
            yield Finding("I1", one.id, detail, cure)
    for item in seen.work:
        if (item.lease_owner is None) != (item.lease_until is None):
            yield Finding(
                "I1", item.subject, "a lease without an owner, or without an end", "restart the workers"
            )


def check_histories(seen: Survey) -> Iterator[Finding]:
    """I2 and I3: each status came from the one before it by a legal move, and the last one is the job's."""
    for job in seen.jobs:
        statuses = seen.histories.get(job.id, [])
        if not statuses or statuses[0] != "validating_files" or statuses[-1] != job.status:
            detail = f"the job is {job.status}, but its audit entries tell another story"
            yield Finding("I3", job.id, detail, WRITTEN_AROUND)
        for before, after in pairwise(statuses):
            if after not in LEGAL_NAMES.get(before, ()):
                invariant = "I2" if before in FINAL else "I3"
                yield Finding(invariant, job.id, f"the job went from {before} to {after}", WRITTEN_AROUND)


def check_events(seen: Survey) -> Iterator[Finding]:
    """I4: a job's events are numbered from 1 without gaps, and their time does not go back."""
    for job_id in seen.jobs_with_gaps:
        yield Finding("I4", job_id, "the numbers of its events are not 1, 2, 3 and so on", WRITTEN_AROUND)
    for job_id in seen.jobs_going_back:
        yield Finding("I4", job_id, "an event is older than the one before it", WRITTEN_AROUND)


def check_outcomes(seen: Survey, blobs: Blobs) -> Iterator[Finding]:
    """I5: a job has a model if, and only if, it succeeded; and what is served is what its manifest says."""
    tuned = {model.id: model for model in seen.models if model.kind == "tuned"}
    for job in seen.jobs:
        if (job.fine_tuned_model is not None) != (job.status == "succeeded"):
            detail = f"the job is {job.status} and its model is {job.fine_tuned_model}"
            yield Finding("I5", job.id, detail, WRITTEN_AROUND)
        elif job.fine_tuned_model is not None and not made_by(tuned.get(job.fine_tuned_model), job):
            yield Finding("I5", job.id, "its model has no row that names the job", WRITTEN_AROUND)
    for model in seen.models:
        wrong = problem_of(model, blobs) if model.kind != "base" and model.status != "deleted" else None
        if wrong is not None:
            yield Finding("I5", model.id, wrong, "restore its folder from a backup, or tune it again")
    deleted = {model.id for model in seen.models if model.status == "deleted"}
    for model in seen.models:
        if model.status != "deleted" and model.base in deleted:
            yield Finding("I5", model.id, "the model that it was tuned on has been deleted", WRITTEN_AROUND)


def made_by(model: Model | None, job: FineTuningJob) -> bool:
    """Whether the model is there, and is this job's."""
    return model is not None and model.job_id == job.id and model.project_id == job.project_id


def problem_of(model: Model, blobs: Blobs) -> str | None:
    """What is wrong with a model's files, or None."""
    try:
        blobs.verify(f"{model.folder}/{MANIFEST}", model.manifest_sha256)
        manifest = Manifest.model_validate_json(b"".join(blobs.read(f"{model.folder}/{MANIFEST}")))
        for name, sha256 in manifest.files.items():
            blobs.verify(f"{model.folder}/{name}", sha256)
    except CorruptBlob as error:
        return error.message
    except ValidationError:
        return "its manifest cannot be read"
    if (manifest.model, manifest.job) != (model.id, model.job_id):
        return "its manifest is that of another model"
    return None


def check_files(seen: Survey, blobs: Blobs) -> Iterator[Finding]:
    """I6 and the first half of I7: each file has its bytes, and those of a processed one are what was uploaded."""
    for file in seen.files:
        if not blobs.path(file.blob).exists():
            yield Finding("I7", file.id, "the file has a row but no bytes", RESTORE_FILE)
        elif file.status == "processed" and not intact(file, blobs):
            yield Finding("I6", file.id, "the stored bytes are not those that were uploaded", RESTORE_FILE)


def check_uploads(seen: Survey, blobs: Blobs) -> Iterator[Finding]:
    """I6 and I7 for parts: those of an open upload have their bytes, and only an open one has parts."""
    statuses = {upload.id: upload.status for upload in seen.uploads}
    for part in seen.parts:
        if (status := statuses.get(part.upload_id)) != "pending":
            detail = f"a part of an upload that is {status or 'not there'}"
            yield Finding("I7", part.id, detail, "delete its row of the table upload_parts")
        elif not blobs.path(part.blob).exists():
            yield Finding("I7", part.id, "the part has a row but no bytes", RESTART_UPLOAD)
        elif measure(blobs.read(part.blob)) != Written(part.bytes, part.sha256):
            yield Finding("I6", part.id, "the stored bytes are not those that were uploaded", RESTART_UPLOAD)
    for upload in seen.uploads:
        if (upload.file_id is not None) != (upload.status == "completed"):
            detail = f"the upload is {upload.status} and its file is {upload.file_id}"
            yield Finding("I7", upload.id, detail, WRITTEN_AROUND)


def intact(file: FileObject, blobs: Blobs) -> bool:
    """Whether a file's bytes have the length and the hash in its row."""
    found = measure(blobs.read(file.blob))
    return (found.bytes, found.sha256) == (file.bytes, file.sha256)


def check_orphans(seen: Survey, blobs: Blobs, grace_seconds: float) -> Iterator[Finding]:
    """The second half of I7: bytes that no row speaks of, unless they are young and may still get one."""
    known = {file.blob for file in seen.files} | seen.open_uploads
    known |= {model.folder for model in seen.models if model.kind != "base"}
    for key in blobs.below():
        if "/".join(key.split("/")[:2]) not in known and blobs.age(key) >= grace_seconds:
            yield Finding("I7", key, "bytes without a row", "delete the blob")
