"""Uploads in parts, and batches."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

COUNT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the tables."""
    uploads()
    batches()


def uploads() -> None:
    """Files on their way, and their parts."""
    listed(
        "uploads",
        project(),
        number("bytes"),
        number("created_at"),
        number("expires_at"),
        words("filename"),
        words("purpose"),
        words("mime_type"),
        words("status"),
        number("expires_after", optional=True),
        words("file_id", optional=True),
        sa.Index(None, "project_id", "status"),
        sa.Index(None, "status", "expires_at"),
    )
    listed(
        "upload_parts",
        project(),
        words("upload_id", sa.ForeignKey("uploads.id")),
        number("created_at"),
        number("bytes"),
        words("sha256"),
        sa.Index(None, "upload_id", "seq"),
    )


def batches() -> None:
    """Batches, and what their requests were answered with until it becomes a file."""
    stages = ("in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled")
    listed(
        "batches",
        project(),
        words("endpoint"),
        words("model", optional=True),
        document("errors", optional=True),
        words("input_file_id"),
        words("status"),
        words("output_file_id", optional=True),
        words("error_file_id", optional=True),
        number("created_at"),
        number("expires_at"),
        *(number(f"{stage}_at", optional=True) for stage in stages),
        document("request_counts"),
        document("usage"),
        document("metadata", optional=True),
        number("output_expires_after", optional=True),
        sa.Index(None, "project_id", "seq"),
        sa.Index(None, "project_id", "status"),
    )
    op.create_table(
        "batch_results",
        sa.Column("batch_id", sa.Text(), sa.ForeignKey("batches.id"), primary_key=True),
        sa.Column("line", COUNT, primary_key=True, autoincrement=False),
        project(),
        sa.Column("good", sa.Boolean(), nullable=False),
        words("result"),
    )


def listed(name: str, *items: sa.schema.SchemaItem) -> None:
    """A table with `seq` and `id`."""
    seq = sa.Column("seq", COUNT, sa.Identity(), primary_key=True)
    op.create_table(
        name,
        seq,
        sa.Column("id", sa.Text(), nullable=False, unique=True),
        *items,
        sqlite_autoincrement=True,
    )


def words(name: str, *more: sa.schema.SchemaItem, optional: bool = False) -> sa.Column[Any]:
    """A column of text."""
    return sa.Column(name, sa.Text(), *more, nullable=optional)


def number(name: str, *, optional: bool = False) -> sa.Column[Any]:
    """A column of integers."""
    return sa.Column(name, COUNT, nullable=optional)


def document(name: str, *, optional: bool = False) -> sa.Column[Any]:
    """A column of JSON."""
    return sa.Column(name, sa.JSON(), nullable=optional)


def project() -> sa.Column[Any]:
    """Whose row it is."""
    return words("project_id", sa.ForeignKey("projects.id"))
