"""Webhook endpoints, checkpoint permissions, service accounts, usage, and what is wanted of a running job."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

COUNT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """A key without a hint was made before; `wanted` is null where a job is left alone."""
    op.add_column("jobs", words("wanted", optional=True))
    op.add_column("keys", words("hint", optional=True))
    op.add_column("keys", words("service_account_id", optional=True))
    owners()
    webhooks()
    usage()


def owners() -> None:
    """Who else may act for a project, and use its models."""
    listed(
        "service_accounts",
        project(),
        words("name"),
        words("role"),
        number("created_at"),
        number("deleted_at", optional=True),
        sa.Index(None, "project_id", "seq"),
    )
    listed(
        "checkpoint_permissions",
        project(),
        words("owner_project_id", sa.ForeignKey("projects.id")),
        words("model", sa.ForeignKey("models.id")),
        number("created_at"),
        sa.UniqueConstraint("model", "project_id"),
        sa.Index(None, "project_id"),
    )


def webhooks() -> None:
    """Who is told when something ends."""
    listed(
        "webhook_endpoints",
        project(),
        words("name"),
        words("url"),
        sa.Column("event_types", sa.JSON(), nullable=False),
        words("secret"),
        words("old_secret", optional=True),
        number("old_secret_until", optional=True),
        number("created_at"),
        number("updated_at"),
        sa.Index(None, "project_id", "seq"),
    )


def usage() -> None:
    """One row a reply."""
    op.create_table(
        "usage",
        sa.Column("seq", COUNT, sa.Identity(), primary_key=True),
        project(),
        words("api_key_id", optional=True),
        words("kind"),
        words("model"),
        number("at"),
        number("input_tokens"),
        number("cached_tokens"),
        number("output_tokens"),
        number("requests"),
        number("batch"),
        sa.Index(None, "kind", "at"),
        sqlite_autoincrement=True,
    )


def listed(name: str, *items: sa.schema.SchemaItem) -> None:
    """A table whose rows have an order and an id."""
    seq = sa.Column("seq", COUNT, sa.Identity(), primary_key=True)
    identifier = sa.Column("id", sa.Text(), nullable=False, unique=True)
    op.create_table(name, seq, identifier, *items, sqlite_autoincrement=True)


def words(name: str, *more: sa.schema.SchemaItem, optional: bool = False) -> sa.Column[str]:
    """A column of text."""
    return sa.Column(name, sa.Text(), *more, nullable=optional)


def number(name: str, *, optional: bool = False) -> sa.Column[int]:
    """A column of integers."""
    return sa.Column(name, COUNT, nullable=optional)


def project() -> sa.Column[str]:
    """Whose row it is."""
    return words("project_id", sa.ForeignKey("projects.id"))
