"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

COUNT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Owners first: every other row refers to a project."""
    owners()
    fine_tuning()
    catalogue()
    queue()


def owners() -> None:
    """Organisations, projects, keys."""
    listed("organizations", words("slug"), words("name"))
    listed(
        "projects",
        words("organization_id", sa.ForeignKey("organizations.id")),
        words("name"),
        number("created_at"),
        number("archived_at", optional=True),
        moment("served_at", optional=True),
    )
    listed(
        "keys",
        project(),
        words("name"),
        sa.Column("sha256", sa.Text(), nullable=False, unique=True),
        words("role"),
        number("created_at"),
        number("expires_at", optional=True),
        number("revoked_at", optional=True),
        sa.Index(None, "project_id", "seq"),
    )


def fine_tuning() -> None:
    """Files, jobs, and what jobs leave behind."""
    listed(
        "files",
        project(),
        number("bytes"),
        number("created_at"),
        number("expires_at", optional=True),
        words("filename"),
        words("purpose"),
        words("status"),
        words("status_details", optional=True),
        words("sha256"),
        sa.Index(None, "project_id", "seq"),
    )
    listed(
        "jobs",
        project(),
        words("organization_id"),
        number("created_at"),
        number("finished_at", optional=True),
        number("estimated_finish", optional=True),
        words("model"),
        words("fine_tuned_model", optional=True),
        words("status"),
        words("training_file"),
        words("validation_file", optional=True),
        document("result_files"),
        number("trained_tokens", optional=True),
        number("seed"),
        document("error", optional=True),
        document("hyperparameters"),
        document("method"),
        document("integrations", optional=True),
        document("metadata", optional=True),
        words("user_provided_suffix", optional=True),
        document("afina"),
        sa.Index(None, "project_id", "seq"),
        sa.Index(None, "project_id", "status"),
    )
    listed(
        "job_events",
        project(),
        words("job_id", sa.ForeignKey("jobs.id")),
        number("number"),
        number("step", optional=True),
        number("created_at"),
        words("level"),
        words("message"),
        words("type"),
        document("data", optional=True),
        sa.UniqueConstraint("job_id", "number"),
        sa.UniqueConstraint("job_id", "step"),
        sa.Index(None, "job_id", "seq"),
    )
    listed(
        "job_checkpoints",
        project(),
        words("fine_tuning_job_id", sa.ForeignKey("jobs.id")),
        number("step_number"),
        number("created_at"),
        words("fine_tuned_model_checkpoint"),
        document("metrics"),
        sa.UniqueConstraint("fine_tuning_job_id", "step_number"),
        sa.Index(None, "fine_tuning_job_id", "seq"),
    )


def catalogue() -> None:
    """Models, their names, and the hosts that serve them."""
    listed(
        "models",
        project(optional=True),
        number("created"),
        words("owned_by"),
        words("shutdown_date", optional=True),
        words("kind"),
        words("status"),
        words("base"),
        words("source"),
        words("key"),
        words("manifest_sha256"),
        words("job_id", sa.ForeignKey("jobs.id"), optional=True),
        sa.Index(None, "project_id", "seq"),
    )
    op.create_table(
        "aliases",
        sa.Column("seq", COUNT, sa.Identity(), primary_key=True),
        project(optional=True),
        words("name"),
        words("model", sa.ForeignKey("models.id")),
        sa.UniqueConstraint("project_id", "name"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "hosts",
        sa.Column("base", sa.Text(), primary_key=True),
        words("status"),
        words("address", optional=True),
        number("pid", optional=True),
        words("owner", optional=True),
        moment("wanted_at"),
        moment("ready_at", optional=True),
    )
    everywhere = sa.text("project_id IS NULL")
    op.create_index(
        "uq_aliases_global_name",
        "aliases",
        ["name"],
        unique=True,
        sqlite_where=everywhere,
        postgresql_where=everywhere,
    )


def queue() -> None:
    """Work, and what is written beside it in one transaction."""
    op.create_table(
        "work",
        sa.Column("seq", COUNT, sa.Identity(), primary_key=True),
        sa.Column("subject", sa.Text(), nullable=False, unique=True),
        words("kind"),
        project(),
        moment("run_after"),
        number("attempts"),
        words("lease_owner", optional=True),
        moment("lease_until", optional=True),
        number("fence"),
        sa.Index(None, "project_id", "seq"),
        sa.Index(None, "lease_until"),
        sqlite_autoincrement=True,
    )
    op.create_table("fences", sa.Column("subject", sa.Text(), primary_key=True), number("fence"))
    op.create_table(
        "idempotency",
        sa.Column("seq", COUNT, sa.Identity(), primary_key=True),
        project(),
        words("route"),
        words("key"),
        words("body_sha256"),
        words("object_id"),
        number("created_at"),
        sa.UniqueConstraint("project_id", "route", "key"),
        sa.Index(None, "project_id", "created_at"),
        sqlite_autoincrement=True,
    )
    listed(
        "outbox",
        project(),
        words("type"),
        words("subject"),
        number("created_at"),
        number("delivered_at", optional=True),
        sa.UniqueConstraint("subject", "type"),
        sa.Index(None, "delivered_at", "seq"),
    )
    listed(
        "audit",
        project(),
        number("at"),
        words("actor"),
        words("action"),
        words("subject"),
        document("detail"),
        sa.Index(None, "project_id", "seq"),
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


def moment(name: str, *, optional: bool = False) -> sa.Column[float]:
    """A column of times."""
    return sa.Column(name, sa.Double(), nullable=optional)


def document(name: str, *, optional: bool = False) -> sa.Column[object]:
    """A column of JSON."""
    return sa.Column(name, sa.JSON(), nullable=optional)


def project(*, optional: bool = False) -> sa.Column[str]:
    """Whose row it is."""
    return words("project_id", sa.ForeignKey("projects.id"), optional=optional)
