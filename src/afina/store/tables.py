"""The tables, as this version of the code sees them; `migrations/` is how a database gets there.

What can be listed has `seq`, which only grows and orders its pages, and `id`, by which the wire knows it.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Dialect,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.schema import SchemaItem

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}
metadata = MetaData(naming_convention=NAMES)

Count = BigInteger().with_variant(Integer(), "sqlite")  # SQLite's integers have 64 bits under any name


class Words(TypeDecorator[str]):
    """Text; NUL and lone surrogates, which databases refuse, become U+FFFD: looking them up finds nothing."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """The value as every database takes it."""
        if value is None:
            return None
        return value.replace("\0", "\ufffd").encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def words(name: str, *more: SchemaItem, optional: bool = False) -> Column[str]:
    """A column of text."""
    return Column(name, Words(), *more, nullable=optional)


def number(name: str, *, optional: bool = False) -> Column[int]:
    """A column of integers: a count, or seconds since 1970 as the wire has them."""
    return Column(name, Count, nullable=optional)


def moment(name: str, *, optional: bool = False) -> Column[float]:
    """A column of times by the database's clock, with fractions of a second."""
    return Column(name, Double(), nullable=optional)


def document(name: str, *, optional: bool = False) -> Column[object]:
    """A column of JSON; None is the database's NULL."""
    return Column(name, JSON(none_as_null=True), nullable=optional)


def project(*, optional: bool = False) -> Column[str]:
    """Whose row it is."""
    return words("project_id", ForeignKey("projects.id"), optional=optional)


def listed(name: str, *items: SchemaItem) -> Table:
    """A table with `seq` and `id`; without AUTOINCREMENT SQLite would give a deleted row's number again."""
    seq = Column("seq", Count, Identity(), primary_key=True)
    identifier = Column("id", Words(), nullable=False, unique=True)
    return Table(name, metadata, seq, identifier, *items, sqlite_autoincrement=True)


organizations = listed("organizations", words("slug"), words("name"))

projects = listed(
    "projects",
    words("organization_id", ForeignKey("organizations.id")),
    words("name"),
    number("created_at"),
    number("archived_at", optional=True),
    moment("served_at", optional=True),
)

keys = listed(
    "keys",
    project(),
    words("name"),
    Column("sha256", Words(), nullable=False, unique=True),
    words("role"),
    number("created_at"),
    number("expires_at", optional=True),
    number("revoked_at", optional=True),
    words("hint", optional=True),
    words("service_account_id", optional=True),
    Index(None, "project_id", "seq"),
)

service_accounts = listed(
    "service_accounts",
    project(),
    words("name"),
    words("role"),
    number("created_at"),
    number("deleted_at", optional=True),
    Index(None, "project_id", "seq"),
)

files = listed(
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
    Index(None, "project_id", "seq"),
)

jobs = listed(
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
    words("wanted", optional=True),
    Index(None, "project_id", "seq"),
    Index(None, "project_id", "status"),
)

job_events = listed(
    "job_events",
    project(),
    words("job_id", ForeignKey("jobs.id")),
    number("number"),
    number("step", optional=True),  # of a metrics event: a resumed run repeats none
    number("created_at"),
    words("level"),
    words("message"),
    words("type"),
    document("data", optional=True),
    UniqueConstraint("job_id", "number"),
    UniqueConstraint("job_id", "step"),
    Index(None, "job_id", "seq"),
)

job_checkpoints = listed(
    "job_checkpoints",
    project(),
    words("fine_tuning_job_id", ForeignKey("jobs.id")),
    number("step_number"),
    number("created_at"),
    words("fine_tuned_model_checkpoint"),
    document("metrics"),
    UniqueConstraint("fine_tuning_job_id", "step_number"),
    Index(None, "fine_tuning_job_id", "seq"),
)

models = listed(
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
    words("job_id", ForeignKey("jobs.id"), optional=True),
    words("thinking", optional=True),
    Index(None, "project_id", "seq"),
)

checkpoint_permissions = listed(
    "checkpoint_permissions",
    project(),  # who may use the model
    words("owner_project_id", ForeignKey("projects.id")),
    words("model", ForeignKey("models.id")),
    number("created_at"),
    UniqueConstraint("model", "project_id"),
    Index(None, "project_id"),
)

aliases = Table(
    "aliases",
    metadata,
    Column("seq", Count, Identity(), primary_key=True),
    project(optional=True),
    words("name"),
    words("model", ForeignKey("models.id")),
    UniqueConstraint("project_id", "name"),
    sqlite_autoincrement=True,
)
# A unique constraint lets NULLs repeat; this index lets each global name exist once.
Index(
    "uq_aliases_global_name",
    aliases.c.name,
    unique=True,
    sqlite_where=aliases.c.project_id.is_(None),
    postgresql_where=aliases.c.project_id.is_(None),
)

work = Table(
    "work",
    metadata,
    Column("seq", Count, Identity(), primary_key=True),
    Column("subject", Words(), nullable=False, unique=True),
    words("kind"),
    project(),
    moment("run_after"),
    number("attempts"),
    words("lease_owner", optional=True),
    moment("lease_until", optional=True),
    number("fence"),
    Index(None, "project_id", "seq"),
    Index(None, "lease_until"),
    sqlite_autoincrement=True,
)

# The last fence of work that is done, so that a subject which comes back never meets an old one.
fences = Table("fences", metadata, Column("subject", Words(), primary_key=True), number("fence"))

idempotency = Table(
    "idempotency",
    metadata,
    Column("seq", Count, Identity(), primary_key=True),
    project(),
    words("route"),
    words("key"),
    words("body_sha256"),
    words("object_id"),
    document("detail", optional=True),
    number("created_at"),
    UniqueConstraint("project_id", "route", "key"),
    Index(None, "project_id", "created_at"),
    sqlite_autoincrement=True,
)

stored_chats = listed(
    "stored_chats",
    project(),
    number("created"),
    words("model"),
    document("completion"),
    document("request"),
    document("metadata", optional=True),
    Index(None, "project_id", "seq"),
)

outbox = listed(
    "outbox",
    project(),
    words("type"),
    words("subject"),
    number("created_at"),
    number("delivered_at", optional=True),
    UniqueConstraint("subject", "type"),
    Index(None, "delivered_at", "seq"),
)

webhook_endpoints = listed(
    "webhook_endpoints",
    project(),
    words("name"),
    words("url"),
    document("event_types"),
    words("secret"),
    words("old_secret", optional=True),
    number("old_secret_until", optional=True),
    number("created_at"),
    number("updated_at"),
    Index(None, "project_id", "seq"),
)

usage = Table(
    "usage",
    metadata,
    Column("seq", Count, Identity(), primary_key=True),
    project(),
    words("api_key_id", optional=True),
    words("kind"),
    words("model"),
    number("at"),
    number("input_tokens"),
    number("cached_tokens"),
    number("output_tokens"),
    number("requests"),
    number("batch"),  # 0 or 1
    Index(None, "kind", "at"),
    sqlite_autoincrement=True,
)

audit = listed(
    "audit",
    project(),
    number("at"),
    words("actor"),
    words("action"),
    words("subject"),
    document("detail"),
    Index(None, "project_id", "seq"),
)

hosts = Table(
    "hosts",
    metadata,
    Column("base", Words(), primary_key=True),
    words("status"),
    words("address", optional=True),
    number("pid", optional=True),
    words("owner", optional=True),
    moment("wanted_at"),
    moment("ready_at", optional=True),
)
