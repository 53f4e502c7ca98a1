"""An installation with a past: thousands of jobs, each with a history, and as many files as that takes."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from sqlalchemy import Table, insert

import afina.base
from afina.schemas.files import FileObject
from afina.schemas.fine_tuning import FineTuningJob, JobEvent, SupervisedHyperparameters, SupervisedMethod
from afina.store import tables
from afina.store.database import Database
from afina.store.rows import to_row
from afina.store.scope import Scope

ROWS_AT_ONCE = 20_000


@dataclass(frozen=True)
class Past:
    """How much of everything there is."""

    jobs: int
    events: int
    files: int

    @property
    def events_each(self) -> int:
        """The events of one job."""
        return self.events // self.jobs


def seed(database: Database, project: str, past: Past) -> None:
    """Write it, many rows at once: the store's own functions write one thing at a time."""
    for table, rows in (
        (tables.files, files(past)),
        (tables.jobs, jobs(past)),
        (tables.job_events, events(past)),
    ):
        write(database, project, table, rows)


def write(database: Database, project: str, table: Table, rows: Iterable[dict[str, object]]) -> None:
    """All rows, in transactions of a bearable length."""
    left = iter(rows)
    while some := list(islice(left, ROWS_AT_ONCE)):
        with database.scope(project) as scope:
            owner = owned(scope)
            scope.connection.execute(insert(table), [row | owner for row in some])


def owned(scope: Scope) -> dict[str, object]:
    """Whose the rows are."""
    return {"project_id": scope.project_id}


def job_id(number: int) -> str:
    """The id of a job of the past."""
    return f"ftjob-past{number:020}"


def files(past: Past) -> Iterator[dict[str, object]]:
    """Files that nobody reads."""
    for number in range(past.files):
        name = f"file-past{number:020}"
        about = {"bytes": 0, "created_at": number, "filename": "rows.jsonl", "purpose": "fine-tune"}
        yield to_row(tables.files, FileObject.model_validate({"id": name, **about}))


def jobs(past: Past) -> Iterator[dict[str, object]]:
    """Jobs that were cancelled, so that no worker looks at them."""
    for number in range(past.jobs):
        job = FineTuningJob(
            id=job_id(number),
            created_at=number,
            finished_at=number + 1,
            model=afina.base.NAME,
            organization_id="org-0",
            status="cancelled",
            training_file=f"file-past{number:020}",
            seed=1,
            hyperparameters=SupervisedHyperparameters(n_epochs=3, batch_size=1, learning_rate_multiplier=1.0),
            method=SupervisedMethod(type="supervised"),
        )
        yield to_row(tables.jobs, job)


def events(past: Past) -> Iterator[dict[str, object]]:
    """Each job's history, numbered."""
    for number in range(past.jobs):
        for step in range(1, past.events_each + 1):
            event = JobEvent(
                id=f"ftevent-{number}-{step}",
                created_at=number,
                message=f"Step {step}/{past.events_each}: training loss=1.00",
                type="metrics",
                data={"step": step, "train_loss": 1.0},
                number=step,
            )
            yield to_row(tables.job_events, event) | {"job_id": job_id(number), "step": step}
