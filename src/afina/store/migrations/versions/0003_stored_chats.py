"""Chats kept by request, with their messages."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

COUNT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the table: what was answered, and what was asked."""
    op.create_table(
        "stored_chats",
        sa.Column("seq", COUNT, sa.Identity(), primary_key=True),
        sa.Column("id", sa.Text(), nullable=False, unique=True),
        sa.Column("project_id", sa.Text(), sa.ForeignKey("projects.id"), nullable=False),
        sa.Column("created", COUNT, nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("completion", sa.JSON(), nullable=False),
        sa.Column("request", sa.JSON(), nullable=False),
        sa.Column("metadata", sa.JSON(), nullable=True),
        sa.Index(None, "project_id", "seq"),
        sqlite_autoincrement=True,
    )
