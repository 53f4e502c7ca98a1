"""Responses, kept so that a later one can go on from them, and conversations."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

COUNT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the tables."""
    listed(
        "responses",
        words("status"),
        words("previous_response_id", optional=True),
        document("response"),
        document("input"),
        document("cuts"),
        document("request", optional=True),
    )
    listed(
        "conversations",
        document("metadata"),
        document("items"),
        words("last_response_id", optional=True),
    )


def listed(name: str, *columns: sa.Column[object]) -> None:
    """A project's table, newest first by `seq`."""
    op.create_table(
        name,
        sa.Column("seq", COUNT, sa.Identity(), primary_key=True),
        sa.Column("id", sa.Text(), nullable=False, unique=True),
        sa.Column("project_id", sa.Text(), sa.ForeignKey("projects.id"), nullable=False),
        sa.Column("created_at", COUNT, nullable=False),
        *columns,
        sa.Index(None, "project_id", "seq"),
        sqlite_autoincrement=True,
    )


def words(name: str, *, optional: bool = False) -> sa.Column[object]:
    """A column of text."""
    return sa.Column(name, sa.Text(), nullable=optional)


def document(name: str, *, optional: bool = False) -> sa.Column[object]:
    """A column of JSON."""
    return sa.Column(name, sa.JSON(), nullable=optional)
