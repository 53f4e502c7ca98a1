"""Pages of large tables are read by index: what the statements of a call ask of the database, explained by it."""

import re
from collections.abc import Callable

import pytest
from sqlalchemy import event, text

from afina.store import audit, chats, eval_items, eval_runs, evals, events, files, jobs, keys, work
from afina.store.database import Database
from afina.store.scope import Scope
from afina.store.tables import metadata

FULL_SCAN = re.compile(rf"Seq Scan|^SCAN ({'|'.join(metadata.tables)})\b(?! USING)", re.MULTILINE)

# What is called, and the index that gives its rows in the order of the page.
CALLS: dict[str, tuple[Callable[[Scope, str], object], str | None]] = {
    "the first events": (lambda scope, job: events.page(scope, job), "ix_job_events_job_id_seq"),
    "later events": (
        lambda scope, job: events.page(scope, job, after="ftevent-x"),
        "ix_job_events_job_id_seq",
    ),
    "the first jobs": (lambda scope, job: jobs.page(scope), "ix_jobs_project_id_seq"),
    "later jobs": (lambda scope, job: jobs.page(scope, after=job), "ix_jobs_project_id_seq"),
    "jobs by metadata": (lambda scope, job: jobs.page(scope, metadata={"a": "b"}), "ix_jobs_project_id_seq"),
    "files": (lambda scope, job: files.page(scope, after="file-x"), "ix_files_project_id_seq"),
    "keys": (lambda scope, job: keys.page(scope), "ix_keys_project_id_seq"),
    "audit entries": (lambda scope, job: audit.page(scope), "ix_audit_project_id_seq"),
    "stored chats by metadata": (
        lambda scope, job: chats.page(scope, metadata={"a": "b"}, after="chatcmpl-x"),
        "ix_stored_chats_project_id_seq",
    ),
    "evals": (lambda scope, job: evals.page(scope, after="eval_x"), "ix_evals_project_id_seq"),
    "evals by their last change": (
        lambda scope, job: evals.page(scope, by_update=True),
        "ix_evals_project_id_updated_at_seq",
    ),
    "runs": (
        lambda scope, job: eval_runs.page(scope, "eval_x", after="evalrun_x"),
        "ix_eval_runs_eval_id_seq",
    ),
    "items of a run": (lambda scope, job: eval_items.page(scope, "evalrun_x"), "ix_eval_items_run_id_seq"),
    "items that failed": (
        lambda scope, job: eval_items.page(scope, "evalrun_x", status="fail"),
        None,
    ),
    "items that wait": (
        lambda scope, job: eval_items.waiting(scope, "evalrun_x", after=3, limit=9),
        None,
    ),
    "one job": (lambda scope, job: jobs.get(scope, job), None),
    "jobs of a file": (lambda scope, job: jobs.using_file(scope, "file-x"), None),
    "a fence": (lambda scope, job: work.holds(scope, job, 1), None),
}


@pytest.mark.parametrize("name", CALLS)
def test_no_table_is_read_from_end_to_end(database: Database, project: str, new_job, name: str):
    call, index = CALLS[name]
    with database.scope(project) as scope:
        job = new_job(scope)
        plans = explained(scope, lambda: call(scope, job.id))
    assert FULL_SCAN.search(plans) is None, plans
    if index is not None:
        assert index in plans and "TEMP B-TREE" not in plans, plans


def explained(scope: Scope, call: Callable[[], object]) -> str:
    """The plans of all statements that `call` makes."""
    seen: list[tuple[str, object]] = []

    def note(connection, cursor, statement, parameters, context, executemany) -> None:
        seen.append((statement, parameters))

    connection = scope.connection
    if connection.dialect.name == "postgresql":
        # The planner reads a table of a few rows from end to end, and rightly so; ask what it could do else.
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        connection.execute(text("SET LOCAL enable_bitmapscan = off"))
        connection.execute(text("SET LOCAL enable_sort = off"))
    event.listen(connection, "before_cursor_execute", note)
    call()
    event.remove(connection, "before_cursor_execute", note)
    explain = "EXPLAIN QUERY PLAN" if connection.dialect.name == "sqlite" else "EXPLAIN"
    plans = [connection.exec_driver_sql(f"{explain} {statement}", values).all() for statement, values in seen]
    return "\n".join(str(row[-1]) for plan in plans for row in plan)
