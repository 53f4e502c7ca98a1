"""A job's files as its run reads them."""

from afina.data.report import FileKind, Report
from afina.schemas.files import FileObject
from afina.schemas.fine_tuning import FineTuningJob
from afina.store import files
from afina.training import datasets
from afina.training.bases import Base
from afina.training.datasets import Dataset, Source
from afina.worker.context import Context


def of_job(context: Context, job: FineTuningJob, base: Base, kind: FileKind) -> Dataset:
    """The token file of one of a job's files, made anew only if the cache has it no more."""
    return datasets.make(source(context, job, base, kind), context.blobs, context.settings.tokens)


def report(context: Context, job: FineTuningJob, base: Base, kind: FileKind) -> Report:
    """What a check of one of a job's files finds."""
    return datasets.report(source(context, job, base, kind), context.blobs)


def source(context: Context, job: FineTuningJob, base: Base, kind: FileKind) -> Source:
    """One of a job's files, as its base is trained on it."""
    length = base.max_length(job.afina.max_length)
    file, format = file_of(context, job, kind), datasets.FORMATS[job.method.type]
    return Source(file, kind, base, length, format=format, grader=job.method.grader)


def file_of(context: Context, job: FineTuningJob, kind: FileKind) -> FileObject:
    """A job's training or validation file."""
    id = job.training_file if kind == "training" else job.validation_file
    assert id is not None
    with context.database.read(job.project_id) as scope:
        return files.get(scope, id)
