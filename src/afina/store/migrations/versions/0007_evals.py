"""Evals, their runs, and the items that runs go through."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

COUNT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the tables."""
    listed(
        "evals",
        project(),
        number("created_at"),
        number("updated_at"),
        words("name"),
        document("data_source_config"),
        document("testing_criteria"),
        document("metadata", optional=True),
        sa.Index(None, "project_id", "seq"),
        sa.Index(None, "project_id", "updated_at", "seq"),
    )
    listed(
        "eval_runs",
        project(),
        words("eval_id", sa.ForeignKey("evals.id")),
        number("created_at"),
        words("name"),
        words("model"),
        words("status"),
        document("data_source"),
        document("result_counts"),
        document("per_model_usage"),
        document("per_testing_criteria_results"),
        document("error"),
        document("metadata", optional=True),
        sa.Index(None, "eval_id", "seq"),
        sa.Index(None, "project_id", "status"),
    )
    listed(
        "eval_items",
        project(),
        words("eval_id"),
        words("run_id", sa.ForeignKey("eval_runs.id")),
        number("created_at"),
        number("datasource_item_id"),
        document("datasource_item"),
        document("recorded", optional=True),
        words("status", optional=True),
        document("results", optional=True),
        document("sample", optional=True),
        sa.Index(None, "run_id", "seq"),
        sa.Index(None, "run_id", "status", "seq"),
    )


def listed(name: str, *items: sa.schema.SchemaItem) -> None:
    """A table with `seq` and `id`."""
    seq = sa.Column("seq", COUNT, sa.Identity(), primary_key=True)
    identifier = sa.Column("id", sa.Text(), nullable=False, unique=True)
    op.create_table(name, seq, identifier, *items, sqlite_autoincrement=True)


def words(name: str, *more: sa.schema.SchemaItem, optional: bool = False) -> sa.Column[Any]:
    """A column of text."""
    return sa.Column(name, sa.Text(), *more, nullable=optional)


def number(name: str) -> sa.Column[Any]:
    """A column of integers."""
    return sa.Column(name, COUNT, nullable=False)


def document(name: str, *, optional: bool = False) -> sa.Column[Any]:
    """A column of JSON."""
    return sa.Column(name, sa.JSON(), nullable=optional)


def project() -> sa.Column[Any]:
    """Whose row it is."""
    return words("project_id", sa.ForeignKey("projects.id"))
